//! Files that somebody else has open for a moment.

use std::io;

/// Tries again for a while if another program has the file open: Windows refuses then, and the virus scanners and
/// indexers there look into whatever has just been written. Elsewhere nobody is in the way.
pub(super) fn patiently<T>(mut attempt: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    for wait_ms in WAITS_MS {
        match attempt() {
            Err(error) if error.raw_os_error().is_some_and(|code| IN_USE.contains(&code)) => {
                std::thread::sleep(std::time::Duration::from_millis(*wait_ms));
            }
            answer => return answer,
        }
    }
    attempt()
}

/// Half a second in all: longer than a look takes, and short enough for who really may not.
#[cfg(windows)]
const WAITS_MS: &[u64] = &[1, 2, 5, 10, 20, 40, 80, 160, 160];
#[cfg(not(windows))]
const WAITS_MS: &[u64] = &[];

/// ERROR_ACCESS_DENIED, which is also said of a name that is being replaced, and ERROR_SHARING_VIOLATION.
#[cfg(windows)]
const IN_USE: [i32; 2] = [5, 32];
#[cfg(not(windows))]
const IN_USE: [i32; 0] = [];
