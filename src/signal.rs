//! Signals inside the host's process: the threads of the library take none, and its calls raise none.
#![allow(unsafe_code)]

#[cfg(unix)]
pub(crate) use unix::{with_host_signals_blocked, without_file_size_signal};

#[cfg(not(unix))]
pub(crate) fn with_host_signals_blocked<T>(start: impl FnOnce() -> T) -> T {
    start()
}

#[cfg(not(unix))]
pub(crate) fn without_file_size_signal<T>(write: impl FnOnce() -> T) -> T {
    write()
}

#[cfg(unix)]
mod unix {
    use libc::sigset_t;
    use std::mem::zeroed;
    use std::ptr;

    /// Signals that report a fault of the thread itself. A crash reporter of the host handles them.
    const FAULTS: [libc::c_int; 7] =
        [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGTRAP, libc::SIGABRT, libc::SIGSYS];

    /// Runs `start` while this thread blocks every signal but [`FAULTS`]. A thread that is started meanwhile blocks them
    /// for as long as it lives, from its first instruction on.
    pub(crate) fn with_host_signals_blocked<T>(start: impl FnOnce() -> T) -> T {
        // SAFETY: all zeros are a valid set, which is filled before it is used. No other thread has it.
        let signals = unsafe {
            let mut signals = zeroed();
            libc::sigfillset(&raw mut signals);
            FAULTS.iter().for_each(|fault| _ = libc::sigdelset(&raw mut signals, *fault));
            signals
        };
        let _blocked = Blocked::new(&signals);
        start()
    }

    /// Runs `write`, and drops the SIGXFSZ that the system sends this thread for a file that would become larger than
    /// the process may write (`ulimit -f`). By default that signal ends the process. The write itself fails too.
    pub(crate) fn without_file_size_signal<T>(write: impl FnOnce() -> T) -> T {
        // SAFETY: all zeros are a valid set, which is emptied before it is used. No other thread has it.
        let signal = unsafe {
            let mut signal = zeroed();
            libc::sigemptyset(&raw mut signal);
            libc::sigaddset(&raw mut signal, libc::SIGXFSZ);
            signal
        };
        // A signal that waited before is the host's.
        let was_pending = is_pending();
        let blocked = Blocked::new(&signal);
        let result = write();
        if !was_pending && is_pending() {
            take(&signal);
        }
        drop(blocked);
        result
    }

    /// Blocks signals on this thread until it is dropped.
    struct Blocked {
        before: sigset_t,
    }

    impl Blocked {
        fn new(signals: &sigset_t) -> Blocked {
            // SAFETY: both sets live as long as the call, and all zeros are a valid set.
            unsafe {
                let mut before = zeroed();
                libc::pthread_sigmask(libc::SIG_BLOCK, signals, &raw mut before);
                Blocked { before }
            }
        }
    }

    impl Drop for Blocked {
        fn drop(&mut self) {
            // SAFETY: the set lives as long as the call, and a null old set is allowed.
            unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.before, ptr::null_mut()) };
        }
    }

    fn is_pending() -> bool {
        // SAFETY: the set lives as long as the calls, and all zeros are a valid set.
        unsafe {
            let mut pending = zeroed();
            libc::sigpending(&raw mut pending) == 0 && libc::sigismember(&raw const pending, libc::SIGXFSZ) == 1
        }
    }

    /// Takes a pending signal of this set off the thread.
    fn take(signal: &sigset_t) {
        #[cfg(not(target_vendor = "apple"))]
        // SAFETY: the set and the time live as long as the call, and no details of the signal are asked for. The time is
        // zero, so the call returns at once if another thread was faster to take a signal of the whole process.
        unsafe {
            let at_once = libc::timespec { tv_sec: 0, tv_nsec: 0 };
            libc::sigtimedwait(signal, ptr::null_mut(), &raw const at_once);
        }
        #[cfg(target_vendor = "apple")]
        // SAFETY: both live as long as the call. The signal is pending on this thread, so the call returns at once.
        unsafe {
            let mut taken = 0;
            libc::sigwait(signal, &raw mut taken);
        }
    }
}
