//! What makes a file's content outlast a power cut.
#![cfg_attr(target_vendor = "apple", allow(unsafe_code))]

use std::fs::File;
use std::io;

/// Returns when what was written to this file, or the names in this folder, are on disk.
///
/// On Apple's systems std asks for F_FULLFSYNC, which empties the disk's own cache too. File systems that have no disk of
/// their own to do that with, such as SMB's, refuse it; `fsync` is then the most that they do.
pub(crate) fn flush(file: &File) -> io::Result<()> {
    let full = file.sync_all();
    #[cfg(target_vendor = "apple")]
    let full = full_or_plain(full, || plain(file));
    full
}

/// Falls back to a plain flush only where the full one is not supported: after a failing disk's EIO, a plain one that
/// succeeds would promise what was not kept.
#[cfg(any(target_vendor = "apple", all(unix, test)))]
fn full_or_plain(full: io::Result<()>, plain: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    const NOT_SUPPORTED: [i32; 5] = [libc::ENOTSUP, libc::EOPNOTSUPP, libc::EINVAL, libc::ENOTTY, libc::ENOSYS];
    match full {
        Err(error) if error.raw_os_error().is_some_and(|code| NOT_SUPPORTED.contains(&code)) => plain(),
        answer => answer,
    }
}

#[cfg(target_vendor = "apple")]
fn plain(file: &File) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    loop {
        // SAFETY: no pointers; `file` owns the descriptor.
        if unsafe { libc::fsync(file.as_raw_fd()) } == 0 {
            return Ok(());
        }
        match io::Error::last_os_error() {
            error if error.kind() == io::ErrorKind::Interrupted => {}
            error => return Err(error),
        }
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;

    /// The answer when the full flush ends with `full` and the plain one with EIO, and whether the plain one was made.
    fn answer_after(full: io::Result<()>) -> (Option<i32>, bool) {
        let mut is_plain = false;
        let answer = full_or_plain(full, || {
            is_plain = true;
            Err(io::Error::from_raw_os_error(libc::EIO))
        });
        (answer.err().and_then(|error| error.raw_os_error()), is_plain)
    }

    #[test]
    fn full_flush_that_succeeds_is_enough() {
        assert_eq!(answer_after(Ok(())), (None, false));
    }

    #[test]
    fn full_flush_that_is_not_supported_is_followed_by_a_plain_one() {
        for code in [libc::ENOTSUP, libc::EOPNOTSUPP, libc::EINVAL, libc::ENOTTY, libc::ENOSYS] {
            assert_eq!(answer_after(Err(io::Error::from_raw_os_error(code))), (Some(libc::EIO), true), "{code}");
            assert!(full_or_plain(Err(io::Error::from_raw_os_error(code)), || Ok(())).is_ok(), "{code}");
        }
    }

    #[test]
    fn full_flush_that_fails_otherwise_has_failed() {
        for code in [libc::EIO, libc::ENOSPC, libc::EDQUOT, libc::EBADF, libc::EROFS] {
            assert_eq!(answer_after(Err(io::Error::from_raw_os_error(code))), (Some(code), false), "{code}");
        }
        assert!(full_or_plain(Err(io::ErrorKind::Other.into()), || Ok(())).is_err());
    }

    #[test]
    fn files_and_folders_are_flushed() {
        let folder = std::env::temp_dir();
        let path = folder.join(format!("floatlease-disk-{}", std::process::id()));
        flush(&File::create(&path).unwrap()).unwrap();
        flush(&File::open(&folder).unwrap()).unwrap();
        std::fs::remove_file(path).unwrap();
    }
}
