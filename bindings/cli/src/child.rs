//! The command of `lease`: how it is started, how signals reach it, and how it ends.

use std::ffi::OsString;
use std::io;
use std::process::{Command, ExitStatus};

use crate::exit_code;
#[cfg(windows)]
use crate::failure::Failure;
#[cfg(windows)]
use floatlease::Status;

pub(crate) use system::{Child, run_tethered};

/// A command that could not be started: the exit code that shells use for it, and the message.
pub(crate) struct NotStarted {
    pub(crate) code: u8,
    pub(crate) message: String,
}

impl NotStarted {
    fn new(command: &[OsString], error: &io::Error) -> NotStarted {
        let is_missing = error.kind() == io::ErrorKind::NotFound;
        let name = command.first().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        NotStarted {
            code: if is_missing { exit_code::NO_COMMAND } else { exit_code::NO_PROGRAM },
            message: format!("{name} can't be run: {error}. Check the command after --."),
        }
    }
}

/// Returns the exit code as a shell does: 128 plus the signal for a command that a signal has ended.
pub(crate) fn exit_code(status: ExitStatus) -> u8 {
    #[cfg(unix)]
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
        return of_signal(signal);
    }
    status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(exit_code::NO)
}

/// Returns the exit code of a command that this signal has ended.
pub(crate) fn of_signal(number: i32) -> u8 {
    u8::try_from(number).ok().and_then(|number| exit_code::SIGNAL.checked_add(number)).unwrap_or(u8::MAX)
}

fn program(command: &[OsString]) -> io::Result<Command> {
    let (program, arguments) = command.split_first().ok_or(io::ErrorKind::NotFound)?;
    let mut process = Command::new(program);
    process.args(arguments);
    Ok(process)
}

#[cfg(unix)]
mod system {
    use std::env;
    use std::ffi::OsString;
    use std::io;
    use std::os::unix::process::CommandExt;
    use std::path::PathBuf;
    use std::process::{self, Command, ExitStatus};
    use std::sync::{Arc, Mutex, PoisonError};
    use std::thread;

    use nix::sys::signal::{self, Signal};
    use nix::unistd::{self, Pid};

    use super::{NotStarted, program};
    use crate::failure::Failure;
    use crate::signals;
    use floatlease::Status;

    /// A command that runs.
    pub(crate) struct Child {
        /// `None` once the command has ended: its number may be another process's by then.
        running: Arc<Mutex<Option<Pid>>>,
    }

    impl Child {
        /// Starts the command, and calls `ended` when it ends. The calling thread must live as long as the command.
        ///
        /// The process that is started is this program, which becomes the command after it has undone what the command
        /// must not inherit. That needs no code between fork and exec, and so no unsafe code.
        pub(crate) fn start(
            command: &[OsString],
            ended: impl FnOnce(io::Result<ExitStatus>) + Send + 'static,
        ) -> Result<Child, NotStarted> {
            let not_started = |error| NotStarted::new(command, &error);
            let mut tethered = Command::new(this_program().map_err(not_started)?);
            tethered.arg("tethered").arg(process::id().to_string()).arg("--").args(command);
            let mut process = tethered.spawn().map_err(not_started)?;
            let pid = i32::try_from(process.id()).map(Pid::from_raw);
            let running = Arc::new(Mutex::new(pid.ok()));
            let ends = Arc::clone(&running);
            let wait = move || {
                loop {
                    pid.into_iter().for_each(wait_for_end);
                    // The number stays the command's until its exit status is read, under the lock.
                    let mut running = ends.lock().unwrap_or_else(PoisonError::into_inner);
                    if let Some(status) = process.try_wait().transpose() {
                        *running = None;
                        drop(running);
                        return ended(status);
                    }
                }
            };
            let child = Child { running };
            // A command that nobody waits for would run on without a license.
            thread::Builder::new()
                .spawn(wait)
                .inspect_err(|_| child.pass_on(Signal::SIGKILL as i32))
                .map_err(not_started)?;
            Ok(child)
        }

        /// Sends a signal to the command, unless it has ended.
        pub(crate) fn pass_on(&self, number: i32) {
            let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
            if let (Some(pid), Ok(signal)) = (*running, Signal::try_from(number)) {
                // A command of another user can't be signalled, and nothing can be done about it.
                let _ = signal::kill(pid, signal);
            }
        }

        /// Asks the command to end.
        pub(crate) fn stop(&self) {
            self.pass_on(Signal::SIGTERM as i32);
        }
    }

    /// The file of this program, on Linux also after an update has replaced it.
    fn this_program() -> io::Result<PathBuf> {
        if cfg!(target_os = "linux") { Ok(PathBuf::from("/proc/self/exe")) } else { env::current_exe() }
    }

    /// Waits until the command has ended, and leaves its exit status to be read.
    #[cfg(target_os = "linux")]
    fn wait_for_end(pid: Pid) {
        use nix::errno::Errno;
        use nix::sys::wait::{Id, WaitPidFlag, waitid};
        while waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT) == Err(Errno::EINTR) {}
    }

    /// Waits a moment. Elsewhere nothing waits without reading the exit status, so the end is polled for.
    #[cfg(not(target_os = "linux"))]
    fn wait_for_end(_: Pid) {
        thread::sleep(std::time::Duration::from_millis(20));
    }

    /// Becomes the command, in the process that [`Child::start`] has started for it.
    ///
    /// Where the system can do that, the command is sent SIGTERM when its parent is killed, because nobody would hold its
    /// license then.
    pub(crate) fn run_tethered(parent: i32, command: &[OsString]) -> Result<u8, Failure> {
        let not_started = |error: &io::Error| {
            let NotStarted { code, message } = NotStarted::new(command, error);
            Failure::usage(Status::BadValue, message).with_code(code)
        };
        tether().map_err(|error| not_started(&error))?;
        if unistd::getppid() != Pid::from_raw(parent) {
            let message = "tethered is a part of floatlease lease, which starts it: use floatlease lease -- COMMAND.";
            return Err(Failure::usage(Status::BadValue, message));
        }
        signals::let_through().map_err(|error| not_started(&error))?;
        let error = program(command).map_or_else(|error| error, |mut program| program.exec());
        Err(not_started(&error))
    }

    #[cfg(target_os = "linux")]
    fn tether() -> io::Result<()> {
        Ok(nix::sys::prctl::set_pdeathsig(Signal::SIGTERM)?)
    }

    #[cfg(not(target_os = "linux"))]
    fn tether() -> io::Result<()> {
        Ok(())
    }
}

#[cfg(windows)]
mod system {
    use std::ffi::OsString;
    use std::io;
    use std::process::{self, ExitStatus};
    use std::sync::{Arc, Mutex, PoisonError};
    use std::thread;
    use std::time::Duration;

    use super::{Failure, NotStarted, Status, program};

    /// How often a command is asked whether it has ended.
    const POLL_INTERVAL: Duration = Duration::from_millis(20);

    /// A command that runs.
    pub(crate) struct Child(Arc<Mutex<process::Child>>);

    impl Child {
        /// Starts the command, and calls `ended` when it ends.
        pub(crate) fn start(
            command: &[OsString],
            ended: impl FnOnce(io::Result<ExitStatus>) + Send + 'static,
        ) -> Result<Child, NotStarted> {
            let not_started = |error| NotStarted::new(command, &error);
            let process = program(command).and_then(|mut program| program.spawn()).map_err(not_started)?;
            let process = Arc::new(Mutex::new(process));
            let waited_for = Arc::clone(&process);
            let wait = move || {
                loop {
                    match waited_for.lock().unwrap_or_else(PoisonError::into_inner).try_wait() {
                        Ok(None) => {}
                        Ok(Some(status)) => return ended(Ok(status)),
                        Err(error) => return ended(Err(error)),
                    }
                    thread::sleep(POLL_INTERVAL);
                }
            };
            let child = Child(process);
            // A command that nobody waits for would run on without a license.
            thread::Builder::new().spawn(wait).inspect_err(|_| child.stop()).map_err(not_started)?;
            Ok(child)
        }

        /// Windows has no signals.
        pub(crate) fn pass_on(&self, _: i32) {}

        /// Ends the command.
        pub(crate) fn stop(&self) {
            // It may have ended just now.
            let _ = self.0.lock().unwrap_or_else(PoisonError::into_inner).kill();
        }
    }

    /// Windows needs no such process.
    pub(crate) fn run_tethered(_: i32, _: &[OsString]) -> Result<u8, Failure> {
        Err(Failure::usage(Status::BadValue, "Windows has no tethered: use floatlease lease -- COMMAND."))
    }
}
