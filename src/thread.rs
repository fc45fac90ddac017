//! Threads of the library inside the host's process, and the threads of the host that call it.
#![allow(unsafe_code)]

use crate::signal;
#[cfg(all(test, loom))]
use loom::thread;
use std::io;
#[cfg(not(all(test, loom)))]
use std::thread;

/// Size of a thread's stack. Without one the standard library would read an environment variable of the host.
const STACK_BYTES: usize = 2 * 1024 * 1024;

/// Starts a thread that blocks the host's signals, so that their handlers run on the host's own threads.
pub(crate) fn start(body: Box<dyn FnOnce() + Send>) -> io::Result<()> {
    start_named("floatlease", body)
}

/// Starts such a thread under a name of its own, for debuggers. Linux shows 15 characters of it.
pub(crate) fn start_named(name: &str, body: Box<dyn FnOnce() + Send>) -> io::Result<()> {
    let builder = thread::Builder::new().name(name.to_owned()).stack_size(STACK_BYTES);
    signal::with_host_signals_blocked(|| builder.spawn(body)).map(drop)
}

/// Returns the system's number of the calling thread, which no other thread has while this one lives.
///
/// `std::thread::current` panics once the thread's local data is gone. A host may call the library even then, from a
/// destructor that runs at the end of a thread.
pub(crate) fn current_id() -> usize {
    #[cfg(unix)]
    // SAFETY: the function takes nothing and never fails.
    let id = unsafe { libc::pthread_self() } as usize;
    #[cfg(windows)]
    let id = {
        #[link(name = "kernel32")]
        unsafe extern "system" {
            fn GetCurrentThreadId() -> u32;
        }
        // SAFETY: the function takes nothing and never fails.
        unsafe { GetCurrentThreadId() as usize }
    };
    id
}

#[cfg(test)]
#[cfg(all(target_os = "linux", not(loom)))]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    /// Returns the signals that a thread blocks, as a set of bits.
    fn blocked(status: &str) -> u64 {
        let blocked = status.lines().find_map(|line| line.strip_prefix("SigBlk:")).unwrap();
        u64::from_str_radix(blocked.trim(), 16).unwrap()
    }

    fn status() -> String {
        std::fs::read_to_string("/proc/thread-self/status").unwrap()
    }

    #[test]
    fn thread_blocks_signals_of_host_but_no_faults() {
        let before = blocked(&status());
        let (sender, statuses) = channel();
        start(Box::new(move || sender.send(status()).unwrap())).unwrap();
        let blocked_by_thread = blocked(&statuses.recv().unwrap());
        let is_blocked = |signal: i32| blocked_by_thread >> (signal - 1) & 1 == 1;
        for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGCHLD, libc::SIGALRM, libc::SIGPROF, libc::SIGUSR1] {
            assert!(is_blocked(signal), "{signal}");
        }
        for signal in [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGABRT] {
            assert!(!is_blocked(signal), "{signal}");
        }
        assert_eq!(blocked(&status()), before, "the thread that starts it");
    }

    #[test]
    fn threads_that_live_have_different_ids() {
        let here = current_id();
        assert_eq!(current_id(), here);
        assert_ne!(std::thread::spawn(current_id).join().unwrap(), here);
    }
}
