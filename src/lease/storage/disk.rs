//! Flushing a file to the disk, so that its content survives a power cut.
#![cfg_attr(target_vendor = "apple", allow(unsafe_code))]

use std::fs::File;
use std::io;

/// Flushes the content of a file, or the names in a folder, to the disk. Returns when they are there.
///
/// On Apple's systems std calls F_FULLFSYNC, which also empties the disk's own cache. File systems without a local
/// disk, such as SMB, do not support it; there this calls `fsync`, the most that they offer.
pub(crate) fn flush(file: &File) -> io::Result<()> {
    let full = file.sync_all();
    #[cfg(target_vendor = "apple")]
    let full = full_or_plain(full, || plain(file));
    full
}

/// Falls back to a plain flush only where the full flush is not supported. After any other error, such as EIO of a
/// failing disk, a plain flush might succeed although the content is not on the disk.
#[cfg(any(target_vendor = "apple", all(unix, test)))]
fn full_or_plain(full: io::Result<()>, plain: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    const NOT_SUPPORTED: [i32; 5] = [libc::ENOTSUP, libc::EOPNOTSUPP, libc::EINVAL, libc::ENOTTY, libc::ENOSYS];
    match full {
        Err(error) if error.raw_os_error().is_some_and(|code| NOT_SUPPORTED.contains(&code)) => plain(),
        result => result,
    }
}

#[cfg(target_vendor = "apple")]
fn plain(file: &File) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    loop {
        // SAFETY: fsync takes no pointers, and `file` keeps the descriptor open.
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

    /// Returns the error after a full flush that ends with `full` and a plain one that ends with EIO, and whether the
    /// plain one was made.
    fn error_after(full: io::Result<()>) -> (Option<i32>, bool) {
        let mut is_plain = false;
        let result = full_or_plain(full, || {
            is_plain = true;
            Err(io::Error::from_raw_os_error(libc::EIO))
        });
        (result.err().and_then(|error| error.raw_os_error()), is_plain)
    }

    #[test]
    fn full_flush_that_succeeds_is_enough() {
        assert_eq!(error_after(Ok(())), (None, false));
    }

    #[test]
    fn unsupported_full_flush_is_followed_by_plain_one() {
        for code in [libc::ENOTSUP, libc::EOPNOTSUPP, libc::EINVAL, libc::ENOTTY, libc::ENOSYS] {
            assert_eq!(error_after(Err(io::Error::from_raw_os_error(code))), (Some(libc::EIO), true), "{code}");
            assert!(full_or_plain(Err(io::Error::from_raw_os_error(code)), || Ok(())).is_ok(), "{code}");
        }
    }

    #[test]
    fn full_flush_that_fails_otherwise_is_an_error() {
        for code in [libc::EIO, libc::ENOSPC, libc::EDQUOT, libc::EBADF, libc::EROFS] {
            assert_eq!(error_after(Err(io::Error::from_raw_os_error(code))), (Some(code), false), "{code}");
        }
        assert!(full_or_plain(Err(io::ErrorKind::Other.into()), || Ok(())).is_err());
    }

    #[test]
    fn files_and_folders_can_be_flushed() {
        let folder = std::env::temp_dir();
        let path = folder.join(format!("floatlease-disk-{}", std::process::id()));
        flush(&File::create(&path).unwrap()).unwrap();
        flush(&File::open(&folder).unwrap()).unwrap();
        std::fs::remove_file(path).unwrap();
    }
}
