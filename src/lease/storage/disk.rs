//! The folder for stored files, and flushing to the disk, so that what was written survives a power cut.
#![cfg_attr(target_vendor = "apple", allow(unsafe_code))]

#[cfg(unix)]
use crate::descriptor;
use crate::error::Error;
use crate::status::Status;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::Path;

/// Creates a folder with its parents, accessible to this user alone.
pub(crate) fn make_folder(folder: &Path) -> Result<(), Error> {
    make_private(folder).map_err(|error| {
        Error::of_system(Status::Storage, format!("{} can't be created: {error}.", folder.display()), &error)
    })
}

fn make_private(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    let mut created = builder.create(folder);
    if created.as_ref().is_err_and(|error| error.kind() == ErrorKind::NotFound)
        && let Some(parent) = folder.parent().filter(|parent| !parent.as_os_str().is_empty())
    {
        make_private(parent)?;
        // Some file systems say this of a folder that can't be made, whether its parent is there or not.
        created = builder.create(folder);
    }
    match created {
        Ok(()) => {
            set_mode(0o700, || fs::metadata(folder), |mode| fs::set_permissions(folder, mode));
            Ok(())
        }
        Err(_) if folder.is_dir() => Ok(()),
        Err(error) => Err(error),
    }
}

/// Makes a file that may be new accessible to its owner, as he may have been forbidden by the umask.
pub(crate) fn make_file_accessible(file: &File) {
    set_mode(0o600, || file.metadata(), |mode| file.set_permissions(mode));
}

/// Sets the mode of what was created if its owner lacks a right, because the umask of the process may forbid too much.
/// Wider rights that a user has given stay. If the mode can't be set, as on FAT, whoever opens the file later hears what
/// is wrong.
#[cfg(unix)]
fn set_mode(
    mode: u32,
    metadata: impl FnOnce() -> io::Result<fs::Metadata>,
    set: impl FnOnce(fs::Permissions) -> io::Result<()>,
) {
    use std::os::unix::fs::PermissionsExt;
    if let Ok(metadata) = metadata()
        && metadata.permissions().mode() & mode != mode
    {
        let _ = set(fs::Permissions::from_mode(metadata.permissions().mode() | mode));
    }
}

#[cfg(not(unix))]
fn set_mode(_: u32, _: impl FnOnce() -> io::Result<fs::Metadata>, _: impl FnOnce(fs::Permissions) -> io::Result<()>) {}

/// The errors by which systems say that they can't flush this at all.
#[cfg(unix)]
const NOT_SUPPORTED: [i32; 5] = [libc::ENOTSUP, libc::EOPNOTSUPP, libc::EINVAL, libc::ENOTTY, libc::ENOSYS];

/// Flushes the names in a folder to the disk. Returns false if its file system can't do that for folders, as SMB and
/// some of FUSE: then the drive decides when a new name is there, and a power cut may bring the old file back.
#[cfg(unix)]
pub(crate) fn flush_folder(folder: &Path) -> io::Result<bool> {
    is_supported(descriptor::open(|| File::open(folder)).and_then(|folder| flush(&folder)))
}

/// Does nothing: on Windows a name is flushed with its file.
#[cfg(not(unix))]
pub(crate) fn flush_folder(_: &Path) -> io::Result<bool> {
    Ok(true)
}

#[cfg(unix)]
fn is_supported(flushed: io::Result<()>) -> io::Result<bool> {
    match flushed {
        Ok(()) => Ok(true),
        Err(error) if error.raw_os_error().is_some_and(|code| NOT_SUPPORTED.contains(&code)) => Ok(false),
        Err(error) => Err(error),
    }
}

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
    if is_supported(full)? { Ok(()) } else { plain() }
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
