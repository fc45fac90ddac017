//! The signals that are meant for the command of `lease`, as they reach this process.

/// A signal that this process was sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Received {
    /// Its number.
    pub(crate) number: i32,
    /// True if it asks this process to end.
    pub(crate) is_end: bool,
    /// True if the command gets it too, because the terminal sends it to all processes of the foreground.
    pub(crate) reaches_command: bool,
}

#[cfg(unix)]
mod system {
    use std::thread;
    use std::{fs, io};

    use nix::sys::signal::{SigSet, Signal};

    use super::Received;

    /// Signals that are passed on to the command.
    const PASSED_ON: [Signal; 7] = [
        Signal::SIGTERM,
        Signal::SIGHUP,
        Signal::SIGINT,
        Signal::SIGQUIT,
        Signal::SIGUSR1,
        Signal::SIGUSR2,
        Signal::SIGWINCH,
    ];
    /// Those of them that ask a process to end.
    const ENDS: [Signal; 4] = [Signal::SIGTERM, Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT];
    /// Those of them that a terminal sends to all processes of the foreground. Of a terminal that is gone it tells the
    /// first process of the session alone, so SIGHUP is not among them.
    const OF_TERMINAL: [Signal; 3] = [Signal::SIGINT, Signal::SIGQUIT, Signal::SIGWINCH];

    /// The signals to read. One that is ignored, as by `nohup`, is ignored by the command too, and not read.
    fn read_here() -> SigSet {
        let ignored = ignored();
        PASSED_ON.into_iter().filter(|signal| ignored & (1 << (*signal as i32 - 1)) == 0).collect()
    }

    /// Returns the signals that are ignored, one bit each. Returns 0 where the system does not tell.
    fn ignored() -> u64 {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
        mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default()
    }

    /// Blocks the signals in this thread and in those that it starts, and calls `tell` for each that comes from now on.
    ///
    /// A blocked signal can't end this process before the slot is given back.
    pub(crate) fn catch(tell: impl Fn(Received) + Send + 'static) -> io::Result<()> {
        let signals = read_here();
        signals.thread_block()?;
        let mut source = Source::new(signals)?;
        let read = move || {
            while let Some((signal, reaches_command)) = source.next() {
                tell(Received { number: signal as i32, is_end: ENDS.contains(&signal), reaches_command });
            }
        };
        thread::Builder::new().spawn(read).map(drop)
    }

    /// Lets the signals through again, in a process that becomes the command.
    pub(crate) fn let_through() -> io::Result<()> {
        Ok(PASSED_ON.into_iter().collect::<SigSet>().thread_unblock()?)
    }

    /// Reads the signals with their origin.
    #[cfg(target_os = "linux")]
    struct Source(nix::sys::signalfd::SignalFd);

    #[cfg(target_os = "linux")]
    impl Source {
        /// The code of a signal that the kernel itself has sent, as for a key of the terminal.
        const SI_KERNEL: i32 = 0x80;

        fn new(signals: SigSet) -> io::Result<Source> {
            use nix::sys::signalfd::{SfdFlags, SignalFd};
            Ok(Source(SignalFd::with_flags(&signals, SfdFlags::SFD_CLOEXEC)?))
        }

        fn next(&mut self) -> Option<(Signal, bool)> {
            loop {
                match self.0.read_signal() {
                    Ok(Some(info)) => {
                        let signal =
                            i32::try_from(info.ssi_signo).ok().and_then(|number| Signal::try_from(number).ok())?;
                        let is_of_kernel = info.ssi_code == Source::SI_KERNEL;
                        return Some((signal, is_of_kernel && OF_TERMINAL.contains(&signal)));
                    }
                    Ok(None) | Err(nix::errno::Errno::EINTR) => {}
                    Err(_) => return None,
                }
            }
        }
    }

    /// Reads the signals. Their origin is not told, so a key of the terminal is assumed while this process is in its
    /// foreground.
    #[cfg(not(target_os = "linux"))]
    struct Source(SigSet);

    #[cfg(not(target_os = "linux"))]
    impl Source {
        fn new(signals: SigSet) -> io::Result<Source> {
            Ok(Source(signals))
        }

        fn next(&mut self) -> Option<(Signal, bool)> {
            let signal = self.0.wait().ok()?;
            Some((signal, OF_TERMINAL.contains(&signal) && is_in_foreground()))
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn is_in_foreground() -> bool {
        use nix::unistd::{getpgrp, tcgetpgrp};
        std::fs::File::open("/dev/tty").is_ok_and(|terminal| tcgetpgrp(&terminal) == Ok(getpgrp()))
    }
}

#[cfg(windows)]
mod system {
    use std::io;

    use super::Received;

    /// The number of the signal that Ctrl-C is elsewhere.
    const SIGINT: i32 = 2;

    /// Calls `tell` for each Ctrl-C from now on. It reaches the command too, and no longer ends this process.
    pub(crate) fn catch(tell: impl Fn(Received) + Send + 'static) -> io::Result<()> {
        let received = Received { number: SIGINT, is_end: true, reaches_command: true };
        ctrlc::set_handler(move || tell(received)).map_err(io::Error::other)
    }
}

pub(crate) use system::catch;
#[cfg(unix)]
pub(crate) use system::let_through;
