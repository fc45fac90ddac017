//! Signals: which end the server, and which are for the command that runs beside it.

#[cfg(unix)]
mod system {
    use std::fs::{self, File};
    use std::io;

    use nix::sys::signal::{Signal, kill};
    use nix::unistd::{Pid, getpgrp, tcgetpgrp};
    use tokio::signal::unix::{self, SignalKind, signal};

    /// What a supervisor sends to a program that it believes to be the command.
    const PASSED_ON: [Signal; 6] =
        [Signal::SIGTERM, Signal::SIGHUP, Signal::SIGUSR1, Signal::SIGUSR2, Signal::SIGINT, Signal::SIGQUIT];
    /// A terminal sends these to the command as well.
    const FROM_THE_KEYBOARD: [Signal; 2] = [Signal::SIGINT, Signal::SIGQUIT];

    /// Over after SIGTERM.
    pub(crate) async fn terminated() {
        match signal(SignalKind::terminate()) {
            Ok(mut signals) => drop(signals.recv().await),
            Err(_) => std::future::pending().await,
        }
    }

    /// Catches signals for a command that is about to be started.
    pub(crate) struct PassedOn(Vec<(Signal, unix::Signal)>);

    impl PassedOn {
        pub(crate) fn new() -> io::Result<PassedOn> {
            let catch = |caught: Signal| Ok((caught, signal(SignalKind::from_raw(caught as i32))?));
            // What `nohup` or a shell in the background has said to ignore, the command is to ignore too.
            let ignored = ignored();
            let caught = PASSED_ON.into_iter().filter(|signal| ignored & (1 << (*signal as i32 - 1)) == 0);
            caught.map(catch).collect::<io::Result<_>>().map(PassedOn)
        }

        /// Sends what comes on to the command, which decides what it means.
        pub(crate) fn to(self, id: Option<u32>) {
            let command = id.and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
            let keyboard = hears_the_keyboard();
            for (caught, mut signals) in self.0 {
                let has_it_already = keyboard && FROM_THE_KEYBOARD.contains(&caught);
                tokio::spawn(async move {
                    while signals.recv().await.is_some() {
                        if let Some(command) = command.filter(|_| !has_it_already) {
                            // It may have ended just now.
                            let _ = kill(command, caught);
                        }
                    }
                });
            }
        }
    }

    /// Whether a terminal's Ctrl-C reaches this process's group, and so the command too.
    fn hears_the_keyboard() -> bool {
        File::open("/dev/tty").is_ok_and(|terminal| tcgetpgrp(&terminal) == Ok(getpgrp()))
    }

    /// The signals that are ignored, one bit each; none where the system does not say.
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

    /// What Windows tells a console program that is to end. After the last two the system ends the process itself, a few
    /// seconds later; tokio keeps it from doing so at once.
    ///
    /// The end of a session is not among them: it is told to services, of every user's session, and a service is not to
    /// end because somebody logged off.
    struct Endings {
        ctrl_break: CtrlBreak,
        close: CtrlClose,
        shutdown: CtrlShutdown,
    }

    impl Endings {
        fn catch() -> io::Result<Endings> {
            Ok(Endings { ctrl_break: ctrl_break()?, close: ctrl_close()?, shutdown: ctrl_shutdown()? })
        }

        async fn next(&mut self) {
            tokio::select! {
                _ = self.ctrl_break.recv() => {}
                _ = self.close.recv() => {}
                _ = self.shutdown.recv() => {}
            }
        }
    }

    /// Over after Ctrl-Break, when the console is closed, and when the system is shut down.
    pub(crate) async fn terminated() {
        match Endings::catch() {
            Ok(mut endings) => endings.next().await,
            Err(_) => std::future::pending().await,
        }
    }

    /// All of these reach the command by themselves, which decides what they mean; it needs the server until then.
    pub(crate) struct PassedOn {
        ctrl_c: CtrlC,
        endings: Endings,
    }

    impl PassedOn {
        pub(crate) fn new() -> io::Result<PassedOn> {
            Ok(PassedOn { ctrl_c: ctrl_c()?, endings: Endings::catch()? })
        }

        /// Stays deaf to them while the command runs.
        pub(crate) fn to(mut self, _: Option<u32>) {
            tokio::spawn(async move {
                loop {
                    tokio::select! {
                        _ = self.ctrl_c.recv() => {}
                        () = self.endings.next() => {}
                    }
                }
            });
        }
    }
}

pub(crate) use system::{PassedOn, terminated};
