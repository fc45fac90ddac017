//! What the system has run out of. A shortage passes, so a failure by it is told apart from failures that stay.

use std::hint::black_box;
use std::io::{self, ErrorKind};

/// The detail of an error by a thread that can't be started. The system gives one error for all of these limits.
#[cfg(unix)]
pub(crate) const THREADS: &str =
    "No thread can be started: as many run as the user or the container may have (ulimit -u), or no memory is left.";
#[cfg(not(unix))]
pub(crate) const THREADS: &str = "No thread can be started: no memory is left.";

#[cfg(unix)]
const MEMORY: &str = "No memory is left: this process or the system uses as much as it may (ulimit -v).";
#[cfg(not(unix))]
const MEMORY: &str = "No memory is left: this process or the system uses as much as it may.";

/// The codes of the system's errors, and what each says is missing.
#[cfg(unix)]
const RESOURCES: &[(i32, &str)] = &[
    (
        libc::EMFILE,
        "No file descriptor is left: this process has as many files and sockets open as it may (ulimit -n).",
    ),
    (libc::ENFILE, "No file descriptor is left: the system has as many files and sockets open as it may."),
    (libc::ENOMEM, MEMORY),
    (libc::ENOBUFS, "No memory is left for the system's network buffers."),
];

/// ERROR_TOO_MANY_OPEN_FILES, ERROR_NOT_ENOUGH_MEMORY, ERROR_OUTOFMEMORY, ERROR_NO_SYSTEM_RESOURCES,
/// ERROR_COMMITMENT_LIMIT, WSAEMFILE and WSAENOBUFS.
#[cfg(windows)]
const RESOURCES: &[(i32, &str)] = &[
    (4, "No handle is left: this process has as many files open as it may."),
    (8, MEMORY),
    (14, MEMORY),
    (1450, "No system resource is left."),
    (1455, MEMORY),
    (10024, "No handle is left: this process has as many sockets open as it may."),
    (10055, "No memory is left for the system's network buffers."),
];

#[cfg(not(any(unix, windows)))]
const RESOURCES: &[(i32, &str)] = &[];

/// Returns a sentence that names the resource, if the system failed by a lack of one.
pub(crate) fn named(error: &io::Error) -> Option<&'static str> {
    let by_code = |code| RESOURCES.iter().find(|(known, _)| *known == code).map(|(_, words)| *words);
    let by_kind = (error.kind() == ErrorKind::OutOfMemory).then_some(MEMORY);
    error.raw_os_error().and_then(by_code).or(by_kind)
}

/// Fails if fewer bytes than these can be had now. For work that takes memory piece by piece, in code that can't be told
/// of a shortage: std ends the process if it can't get a piece. Other threads may still be faster.
pub(crate) fn expect_room(bytes: usize) -> io::Result<()> {
    let mut room = Vec::<u8>::new();
    room.try_reserve_exact(bytes).map_err(|_| ErrorKind::OutOfMemory)?;
    // Without this the compiler would leave out what nobody uses.
    black_box(&room);
    Ok(())
}

/// Returns the shortage behind a failed look-up of a name. The C library tells some of them as a failure of the name
/// service: it could open neither its files nor a socket.
pub(crate) fn behind_lookup(error: io::Error) -> io::Error {
    #[cfg(unix)]
    if let Err(shortage) = crate::descriptor::open(|| std::fs::File::open("/"))
        && named(&shortage).is_some()
    {
        return shortage;
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn only_a_shortage_is_named() {
        for (code, word) in [(libc::EMFILE, "this process"), (libc::ENFILE, "the system"), (libc::ENOMEM, "memory")] {
            assert!(named(&io::Error::from_raw_os_error(code)).unwrap().contains(word), "{code}");
        }
        for code in [libc::EACCES, libc::ENOENT, libc::ENOSPC, libc::EFBIG, libc::ECONNREFUSED] {
            assert_eq!(named(&io::Error::from_raw_os_error(code)), None, "{code}");
        }
        assert!(named(&ErrorKind::OutOfMemory.into()).is_some());
    }
}
