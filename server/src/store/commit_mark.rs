//! The number of the last commit, kept in a file beside the database.
//!
//! SQLite opens a database whose write-ahead log was deleted without a word, and the commits in the log are gone. The same
//! is true for an older copy of the database, with or without a log. The database counts its commits, and a start compares
//! this with the file.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// The length of the file: two lines.
const LENGTH: u64 = 42;

/// The file with the number of the last commit, and of one that the database's own file surely holds.
#[derive(Debug)]
pub(super) struct CommitMark {
    path: PathBuf,
    file: File,
    last_commit: u64,
    base: u64,
}

impl CommitMark {
    /// Opens the file. A number that is missing or damaged counts as 0.
    pub(super) fn open(path: &Path) -> io::Result<CommitMark> {
        let mut file = open_file(path)?;
        let mut text = Vec::new();
        file.read_to_end(&mut text)?;
        let text = String::from_utf8_lossy(&text);
        let mut numbers = text.lines().map(|line| line.trim().parse().unwrap_or_default());
        let (last_commit, base) = (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
        Ok(CommitMark { path: path.to_owned(), file, last_commit, base })
    }

    /// Returns the number of the last commit that was on disk.
    pub(super) fn last_commit(&self) -> u64 {
        self.last_commit
    }

    /// Returns the number of a commit that the database's own file surely holds.
    pub(super) fn base(&self) -> u64 {
        self.base
    }

    /// Writes the number of a commit that is on disk.
    pub(super) fn write(&mut self, commit: u64) -> io::Result<()> {
        self.last_commit = commit;
        // Told to begin anew, the server goes on with an older database.
        self.base = if commit < self.base { 0 } else { self.base };
        self.store()
    }

    /// Writes that the database's own file holds this commit.
    pub(super) fn write_base(&mut self, commit: u64) -> io::Result<()> {
        self.base = commit;
        self.store()
    }

    /// It is not synced: after a power cut the file may hold lower numbers, which only makes the comparison weaker.
    fn store(&mut self) -> io::Result<()> {
        if is_elsewhere(&self.file, &self.path)? {
            self.file = open_file(&self.path)?;
        }
        if self.file.metadata()?.len() != LENGTH {
            self.file.set_len(LENGTH)?;
        }
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(format!("{:020}\n{:020}\n", self.last_commit, self.base).as_bytes())
    }
}

fn open_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Returns true if the path no longer leads to the open file: another program has deleted, renamed or replaced it.
#[cfg(unix)]
fn is_elsewhere(file: &File, path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    let open = file.metadata()?;
    match std::fs::metadata(path) {
        Ok(found) => Ok((found.dev(), found.ino()) != (open.dev(), open.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error),
    }
}

/// Windows refuses to delete or rename an open file.
#[cfg(not(unix))]
fn is_elsewhere(_: &File, _: &Path) -> io::Result<bool> {
    Ok(false)
}
