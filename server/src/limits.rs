//! The limits that the system sets for this process.

use std::io;

/// Lets the process open as many files as the system allows it. Each connection needs one.
pub(crate) fn raise_open_files() {
    #[cfg(unix)]
    {
        use nix::sys::resource::{Resource, getrlimit, setrlimit};
        if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
            // If this fails, there is room for fewer connections.
            let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
        }
    }
}

/// Makes a write beyond the limit on file sizes (`ulimit -f`) fail, instead of ending the process by SIGXFSZ.
///
/// The handler does nothing and stays installed.
pub(crate) fn survive_file_size() -> io::Result<()> {
    #[cfg(unix)]
    {
        use nix::sys::signal::Signal;
        use tokio::signal::unix::{SignalKind, signal};
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        let _inside = runtime.enter();
        drop(signal(SignalKind::from_raw(Signal::SIGXFSZ as i32))?);
    }
    Ok(())
}
