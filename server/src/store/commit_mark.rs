//! The number of the last commit, kept in a file beside the database.
//!
//! SQLite opens a database whose write-ahead log was deleted without a word, and the commits in the log are gone. The same
//! is true for an older copy of the database. The database counts its commits, and a start compares this with the file.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

/// The file with the number of the last commit.
#[derive(Debug)]
pub(super) struct CommitMark {
    file: File,
}

impl CommitMark {
    /// Opens the file, and returns it with the number in it. A missing or damaged file counts as 0.
    pub(super) fn open(path: &Path) -> io::Result<(CommitMark, u64)> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(path)?;
        let mut text = Vec::new();
        file.read_to_end(&mut text)?;
        let number = std::str::from_utf8(&text).ok().and_then(|text| text.trim().parse().ok());
        Ok((CommitMark { file }, number.unwrap_or_default()))
    }

    /// Writes the number of a commit that is on disk.
    ///
    /// It is not synced: after a power cut the file may hold a lower number, which only makes the comparison weaker.
    pub(super) fn write(&mut self, commit: u64) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(0))?;
        // All numbers have the same length, so none leaves digits of another one behind.
        self.file.write_all(format!("{commit:020}\n").as_bytes())
    }
}
