//! Notices that the files of the open database were deleted or replaced.
//!
//! On Unix, a deleted file stays writable for the program that has it open. The server would go on, and lose everything
//! that it has acknowledged since. Windows refuses to delete an open database.

use std::path::{Path, PathBuf};

/// The files of the database, as they were when it was opened.
#[derive(Debug)]
pub(super) struct OpenFiles {
    files: Vec<(PathBuf, Option<Identity>)>,
}

/// A file's device and number.
type Identity = (u64, u64);

impl OpenFiles {
    /// Remembers the database, its write-ahead log and its shared memory.
    pub(super) fn of(database: &Path) -> OpenFiles {
        let files = ["", "-wal", "-shm"].map(|suffix| {
            let mut path = database.as_os_str().to_owned();
            path.push(suffix);
            PathBuf::from(path)
        });
        OpenFiles { files: files.map(|path| (path.clone(), identity(&path))).to_vec() }
    }

    /// Returns a file that is no longer the one that was opened.
    pub(super) fn lost(&self) -> Option<&Path> {
        let is_lost = |(path, opened): &&(PathBuf, Option<Identity>)| *opened != identity(path);
        self.files.iter().find(is_lost).map(|(path, _)| path.as_path())
    }
}

#[cfg(unix)]
fn identity(path: &Path) -> Option<Identity> {
    use std::os::unix::fs::MetadataExt;
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

#[cfg(not(unix))]
fn identity(_: &Path) -> Option<Identity> {
    None
}
