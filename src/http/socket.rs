//! The system calls that std has no safe form of: connects and waits that can be cancelled, a look at an idle socket.

use super::call::Stop;
use std::io;

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
pub(crate) use unix::{Waits, first_ready, is_quiet, start_connect};
#[cfg(windows)]
pub(crate) use windows::{Waits, first_ready, is_quiet, start_connect};

/// How waiting for a socket ended without it.
#[derive(Debug)]
pub(crate) enum WaitError {
    Stopped(Stop),
    Io(io::Error),
}

impl From<io::Error> for WaitError {
    fn from(error: io::Error) -> Self {
        WaitError::Io(error)
    }
}

impl From<Stop> for WaitError {
    fn from(stop: Stop) -> Self {
        WaitError::Stopped(stop)
    }
}
