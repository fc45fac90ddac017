//! Threads of ours, inside somebody else's process.
#![allow(unsafe_code)]

use crate::lease::sync::thread;
use std::io;

/// Said, because the standard library would ask the environment.
const STACK_BYTES: usize = 2 * 1024 * 1024;

/// Starts a thread that the host's signals leave alone: their handlers run on the host's own threads.
pub(crate) fn start(body: Box<dyn FnOnce() + Send>) -> io::Result<()> {
    let body = move || {
        leave_signals_to_the_host();
        body();
    };
    thread::Builder::new().name("floatlease".to_owned()).stack_size(STACK_BYTES).spawn(body).map(drop)
}

/// All but those by which the processor reports what this very thread has done: a host's crash reporter wants them.
#[cfg(unix)]
fn leave_signals_to_the_host() {
    const OF_THIS_THREAD: [libc::c_int; 7] =
        [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGTRAP, libc::SIGABRT, libc::SIGSYS];
    // SAFETY: the set is filled before it is used, lives for the calls, and nothing else has it; a null old set is
    // allowed.
    unsafe {
        let mut signals = std::mem::zeroed();
        libc::sigfillset(&raw mut signals);
        for signal in OF_THIS_THREAD {
            libc::sigdelset(&raw mut signals, signal);
        }
        libc::pthread_sigmask(libc::SIG_BLOCK, &raw const signals, std::ptr::null_mut());
    }
}

#[cfg(not(unix))]
fn leave_signals_to_the_host() {}

#[cfg(test)]
#[cfg(all(target_os = "linux", not(loom)))]
mod tests {
    use std::sync::mpsc::channel;

    #[test]
    fn a_host_signals_its_own_threads_and_a_crash_is_reported_all_the_same() {
        let (push, notices) = channel();
        let read = move || push.send(std::fs::read_to_string("/proc/thread-self/status").unwrap()).unwrap();
        super::start(Box::new(read)).unwrap();
        let status = notices.recv().unwrap();
        let blocked = status.lines().find_map(|queue| queue.strip_prefix("SigBlk:")).unwrap();
        let blocked = u64::from_str_radix(blocked.trim(), 16).unwrap();
        let is_blocked = |signal: i32| blocked >> (signal - 1) & 1 == 1;
        for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGCHLD, libc::SIGALRM, libc::SIGPROF, libc::SIGUSR1] {
            assert!(is_blocked(signal), "{signal}");
        }
        for signal in [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGABRT] {
            assert!(!is_blocked(signal), "{signal}");
        }
    }
}
