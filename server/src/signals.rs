//! Signals that end the server, and signals that are forwarded to the command of `exec`.

#[cfg(unix)]
mod system {
    use std::fs::{self, File};
    use std::io;

    use nix::sys::signal::{Signal, kill};
    use nix::unistd::{Pid, getpgrp, tcgetpgrp};
    use tokio::signal::unix::{self, SignalKind, signal};

    /// Signals that a supervisor sends to `exec` and means for the command.
    const FORWARDED: [Signal; 6] =
        [Signal::SIGTERM, Signal::SIGHUP, Signal::SIGUSR1, Signal::SIGUSR2, Signal::SIGINT, Signal::SIGQUIT];
    /// Signals that a terminal sends to the command as well.
    const FROM_THE_KEYBOARD: [Signal; 2] = [Signal::SIGINT, Signal::SIGQUIT];

    /// SIGTERM and Ctrl-C, which end a server in order.
    pub(crate) struct EndSignals {
        terminate: unix::Signal,
        ctrl_c: unix::Signal,
    }

    impl EndSignals {
        /// Catches the signals from now on. Until then they end the process as it stands.
        pub(crate) fn catch() -> io::Result<EndSignals> {
            Ok(EndSignals { terminate: signal(SignalKind::terminate())?, ctrl_c: signal(SignalKind::interrupt())? })
        }

        /// Resolves after one of the signals, also if it came before this call.
        pub(crate) async fn received(mut self) {
            tokio::select! {
                _ = self.terminate.recv() => {}
                _ = self.ctrl_c.recv() => {}
            }
        }
    }

    /// Catches signals for a command that is about to be started.
    pub(crate) struct SignalForwarder(Vec<(Signal, unix::Signal)>);

    impl SignalForwarder {
        pub(crate) fn new() -> io::Result<SignalForwarder> {
            let catch = |caught: Signal| Ok((caught, signal(SignalKind::from_raw(caught as i32))?));
            // If `nohup` or a shell has made this process ignore a signal, the command is to ignore it too.
            let ignored = ignored();
            let caught = FORWARDED.into_iter().filter(|signal| ignored & (1 << (*signal as i32 - 1)) == 0);
            caught.map(catch).collect::<io::Result<_>>().map(SignalForwarder)
        }

        /// Forwards the signals to the command, which decides what they mean.
        pub(crate) fn forward_to(self, id: Option<u32>) {
            let command = id.and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
            let in_foreground = is_in_foreground();
            for (caught, mut signals) in self.0 {
                let has_it_already = in_foreground && FROM_THE_KEYBOARD.contains(&caught);
                tokio::spawn(async move {
                    while signals.recv().await.is_some() {
                        if let Some(command) = command.filter(|_| !has_it_already) {
                            // The command may have ended just now.
                            let _ = kill(command, caught);
                        }
                    }
                });
            }
        }
    }

    /// Returns whether a terminal's Ctrl-C reaches this process's group, and so the command too.
    fn is_in_foreground() -> bool {
        File::open("/dev/tty").is_ok_and(|terminal| tcgetpgrp(&terminal) == Ok(getpgrp()))
    }

    /// Returns the signals that are ignored, one bit each. Returns 0 where the system does not tell.
    fn ignored() -> u64 {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
        mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default()
    }
}

#[cfg(windows)]
mod system {
    use std::io;
    use tokio::signal::windows::{
        CtrlBreak, CtrlC, CtrlClose, CtrlShutdown, ctrl_break, ctrl_c, ctrl_close, ctrl_shutdown,
    };

    /// The events by which Windows tells a console program to end.
    ///
    /// After the last two, Windows ends the process itself a few seconds later; tokio keeps it from doing so at once. The
    /// end of a session is not among the events: a service gets it for every user's session, and must not end when a user
    /// logs off.
    struct EndEvents {
        ctrl_break: CtrlBreak,
        close: CtrlClose,
        shutdown: CtrlShutdown,
    }

    impl EndEvents {
        fn catch() -> io::Result<EndEvents> {
            Ok(EndEvents { ctrl_break: ctrl_break()?, close: ctrl_close()?, shutdown: ctrl_shutdown()? })
        }

        async fn next(&mut self) {
            tokio::select! {
                _ = self.ctrl_break.recv() => {}
                _ = self.close.recv() => {}
                _ = self.shutdown.recv() => {}
            }
        }
    }

    /// Ctrl-C and the other events, which end a server in order.
    pub(crate) struct EndSignals {
        ctrl_c: CtrlC,
        end_events: EndEvents,
    }

    impl EndSignals {
        /// Catches the events from now on. Until then they end the process as it stands.
        pub(crate) fn catch() -> io::Result<EndSignals> {
            Ok(EndSignals { ctrl_c: ctrl_c()?, end_events: EndEvents::catch()? })
        }

        /// Resolves after one of the events, also if it came before this call.
        pub(crate) async fn received(mut self) {
            tokio::select! {
                _ = self.ctrl_c.recv() => {}
                () = self.end_events.next() => {}
            }
        }
    }

    /// Catches the events while the command runs. They reach the command by themselves, and it needs the server until its
    /// end.
    pub(crate) struct SignalForwarder {
        ctrl_c: CtrlC,
        end_events: EndEvents,
    }

    impl SignalForwarder {
        pub(crate) fn new() -> io::Result<SignalForwarder> {
            Ok(SignalForwarder { ctrl_c: ctrl_c()?, end_events: EndEvents::catch()? })
        }

        /// Ignores the events while the command runs.
        pub(crate) fn forward_to(mut self, _: Option<u32>) {
            tokio::spawn(async move {
                loop {
                    tokio::select! {
                        _ = self.ctrl_c.recv() => {}
                        () = self.end_events.next() => {}
                    }
                }
            });
        }
    }
}

pub(crate) use system::{EndSignals, SignalForwarder};
