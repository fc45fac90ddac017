//! Threads of the library inside the host's process, and the threads of the host that call it.
#![allow(unsafe_code)]

use crate::signal;
#[cfg(all(test, loom))]
use loom::thread;
use std::io;
#[cfg(not(all(test, loom)))]
use std::thread;

/// Size of a stack for the library's own work. A call needs a tenth of it, but the storage of all thread-local variables
/// of the host is taken from it too. Without a size the standard library would read an environment variable of the host.
const STACK_BYTES: usize = 512 * 1024;

/// Size of a stack for the system's work: it may load modules for host names or certificates, which may need any size.
const SYSTEM_STACK_BYTES: usize = 2 * 1024 * 1024;

/// Starts a thread that blocks the host's signals, so that their handlers run on the host's own threads. It is scheduled
/// as the process is, whichever of the host's threads starts it.
pub(crate) fn start(body: Box<dyn FnOnce() + Send>) -> io::Result<()> {
    start_with("floatlease", STACK_BYTES, body)
}

/// Starts such a thread for work of the system, under a name of its own, for debuggers. Linux shows 15 characters of it.
pub(crate) fn start_named(name: &str, body: Box<dyn FnOnce() + Send>) -> io::Result<()> {
    start_with(name, SYSTEM_STACK_BYTES, body)
}

fn start_with(name: &str, stack_bytes: usize, body: Box<dyn FnOnce() + Send>) -> io::Result<()> {
    let builder = thread::Builder::new().name(name.to_owned()).stack_size(stack_bytes);
    let body = move || {
        // The builder has no attribute for it, so the thread does it itself, before any work.
        #[cfg(all(target_os = "linux", not(all(test, loom))))]
        scheduling::take_from_process();
        body();
    };
    signal::with_host_signals_blocked(|| builder.spawn(body)).map(drop)
}

/// How a thread is scheduled on Linux, where it begins with the class, the nice value and the processors of the thread that
/// starts it. An audio thread of the host would make ours compete with it, on the processor that is its own.
///
/// Elsewhere there is nothing to undo: Windows gives a new thread the normal priority and the processors of the process,
/// and macOS gives it the default class of quality of service.
#[cfg(all(target_os = "linux", not(all(test, loom))))]
mod scheduling {
    use libc::{SCHED_DEADLINE, SCHED_FIFO, SCHED_OTHER, SCHED_RESET_ON_FORK, SCHED_RR, c_int, c_long, pid_t};

    /// The calling thread, for the calls below.
    const SELF: pid_t = 0;

    /// Names a thread in the calls about nice values. The C libraries differ in its type.
    const PRIO_PROCESS: c_long = libc::PRIO_PROCESS as c_long;

    /// A set of 8,192 processors, the most that Linux supports.
    type Processors = [usize; 8192 / usize::BITS as usize];

    /// Gives the calling thread the scheduling of the process, as far as the system allows it.
    ///
    /// The main thread stands for the process, because a tool such as `chrt`, `nice` or `taskset` has set it for all threads
    /// there. The system may refuse, because to make a thread less nice takes a privilege. It then stays as it is.
    pub(super) fn take_from_process() {
        let main = pid_t::try_from(std::process::id()).unwrap_or(SELF);
        take_class(main);
        take_nice_value(main);
        take_processors(main);
    }

    /// Leaves a class that only the calling thread has, and each real-time class: work that waits for a network has no
    /// deadline of that kind.
    fn take_class(main: pid_t) {
        let own = class_of(SELF);
        let is_real_time = [SCHED_FIFO, SCHED_RR, SCHED_DEADLINE].contains(&own);
        if own != SCHED_OTHER && (is_real_time || own != class_of(main)) {
            let priority: c_int = 0;
            // SAFETY: `sched_param` is one int, which is read during the call. The C library of musl has no such function.
            unsafe { libc::syscall(libc::SYS_sched_setscheduler, SELF, SCHED_OTHER, &raw const priority) };
        }
    }

    fn class_of(thread: pid_t) -> c_int {
        // SAFETY: the call takes no pointer.
        let class = unsafe { libc::syscall(libc::SYS_sched_getscheduler, thread) };
        c_int::try_from(class).map_or(SCHED_OTHER, |class| class & !SCHED_RESET_ON_FORK)
    }

    fn take_nice_value(main: pid_t) {
        let [own, of_main] = [SELF, main].map(nice_value_of);
        if let Some(of_main) = of_main.filter(|_| own != of_main) {
            // SAFETY: the call takes no pointer. Linux changes the calling thread alone.
            unsafe { libc::syscall(libc::SYS_setpriority, PRIO_PROCESS, SELF, of_main) };
        }
    }

    fn nice_value_of(thread: pid_t) -> Option<c_long> {
        // SAFETY: the call takes no pointer. It returns 20 less the nice value, so that a negative number is an error.
        let result = unsafe { libc::syscall(libc::SYS_getpriority, PRIO_PROCESS, thread) };
        (result > 0).then_some(20 - result)
    }

    /// Lets the calling thread run on the main thread's processors too, besides those of the thread that started it. Either
    /// of the two may be bound to a processor of its own.
    fn take_processors(main: pid_t) {
        let (Some(own), Some(of_main)) = (processors_of(SELF), processors_of(main)) else { return };
        let mut all = own;
        all.iter_mut().zip(of_main).for_each(|(all, of_main)| *all |= of_main);
        if all != own {
            // SAFETY: the set is as long as is said, and is read during the call.
            unsafe { libc::sched_setaffinity(SELF, size_of_val(&all), all.as_ptr().cast()) };
        }
    }

    fn processors_of(thread: pid_t) -> Option<Processors> {
        let mut processors: Processors = [0; _];
        // SAFETY: the set is as long as is said, and is written during the call.
        let result =
            unsafe { libc::sched_getaffinity(thread, size_of_val(&processors), processors.as_mut_ptr().cast()) };
        (result == 0).then_some(processors)
    }
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
