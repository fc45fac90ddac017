//! A lock in a file or in memory, shared or exclusive. Taking it never waits.
//!
//! # Processes that end or fork
//! The system frees a file's lock when the process that holds it ends, in whatever way. The lock belongs to the open
//! file, which forked children inherit, even a child that is about to run another program. So a guard unlocks the file
//! explicitly, which frees the lock although such a child has the file open. A child that drops an inherited guard only
//! closes its own copy of the file. The lock of a process that was killed may stay until its forked children have
//! ended.
//!
//! # Removed files
//! A missing lock file is created, and no lock file is ever removed here. On Windows no program can remove a file that
//! is open. Elsewhere another program can, and the next process would lock a new file of the same name. A lock
//! therefore counts only if its file is still in place after it was locked. [`LockGuard::is_in_place`] checks this
//! again later.

use crate::descriptor;
use crate::error::Error;
use crate::lease::storage::disk::make_file_accessible;
use crate::lease::storage::retry::retry_while_in_use;
use crate::process;
use crate::status::Status;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// How often a lock file may be removed while it is being locked. A program that removes it more often won't stop.
const MOST_TRIES: u32 = 16;

/// The error code of Windows for a region of a file that is not locked, or is locked by another process.
const LOCK_VIOLATION: i32 = 33;

/// How a lock is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Any number of holders have the lock at the same time.
    Shared,
    /// One holder has the lock alone.
    Exclusive,
}

/// A lock, which may be held or not.
#[derive(Debug, Clone)]
pub(crate) enum Lock {
    /// A lock in a file, for every process that opens the file.
    File(PathBuf),
    /// A lock in the memory of this process, shared by every clone.
    Memory(Arc<Mutex<Holders>>),
}

/// The holders of a lock in memory.
#[derive(Debug, Default)]
pub(crate) struct Holders {
    shared: usize,
    exclusive: bool,
}

/// A lock that is held. Dropping it unlocks.
#[derive(Debug)]
pub(crate) enum LockGuard {
    /// A guard of a [`Lock::File`].
    File(LockFile),
    /// A guard of a [`Lock::Memory`].
    Memory(MemoryGuard),
}

impl Lock {
    /// Makes a lock in memory that has no holder.
    pub(crate) fn in_memory() -> Lock {
        Lock::Memory(Arc::default())
    }

    /// Takes the lock; `None` if another holder excludes that.
    pub(crate) fn try_lock(&self, mode: Mode) -> Result<Option<LockGuard>, Error> {
        Ok(match self {
            Lock::File(path) => LockFile::open_locked(path, mode, &open)?.map(LockGuard::File),
            Lock::Memory(holders) => MemoryGuard::try_lock(holders, mode).map(LockGuard::Memory),
        })
    }
}

impl LockGuard {
    /// Unlocks, and returns whether the lock had no other holder. If its file was removed, only the holders of before
    /// the removal count.
    pub(crate) fn unlock(self) -> Result<bool, Error> {
        match self {
            LockGuard::File(file) => file.unlock().and_then(|()| file.try_lock(Mode::Exclusive)),
            LockGuard::Memory(guard) => {
                let holders = Arc::clone(&guard.holders);
                drop(guard);
                Ok(MemoryGuard::try_lock(&holders, Mode::Exclusive).is_some())
            }
        }
    }

    /// Returns the open file of the lock, which can be locked again even if its path can't be opened any more. `None`
    /// for a lock in memory.
    pub(crate) fn keep_open(&self) -> Option<OpenLock> {
        let LockGuard::File(locked) = self else { return None };
        Some(OpenLock { path: locked.path.clone(), file: Arc::clone(&locked.file) })
    }

    /// Returns whether a process that opens the lock file now meets this lock. False if the file was removed.
    pub(crate) fn is_in_place(&self) -> Result<bool, Error> {
        match self {
            LockGuard::File(file) => file.is_in_place(),
            LockGuard::Memory(_) => Ok(true),
        }
    }
}

/// The open file of a lock, for when its path can't be opened any more: the folder was moved, or the process has lost
/// the permission. The file is not locked by being open.
#[derive(Debug)]
pub(crate) struct OpenLock {
    path: PathBuf,
    /// Shared with its guards, because a process at its limit of open files could not copy the descriptor.
    file: Arc<File>,
}

impl OpenLock {
    /// Locks the file that is open, whatever has become of its path; `None` if another holder excludes that.
    pub(crate) fn try_lock(&self, mode: Mode) -> Result<Option<LockGuard>, Error> {
        let file = Arc::clone(&self.file);
        let opened = LockFile { path: self.path.clone(), file, owner: process::cookie() };
        Ok(opened.try_lock(mode)?.then_some(LockGuard::File(opened)))
    }
}

/// Opens a lock file. A test removes the file right after.
type Open<'a> = dyn Fn(&Path) -> io::Result<File> + 'a;

/// An open file and the lock on it.
#[derive(Debug)]
pub(crate) struct LockFile {
    path: PathBuf,
    file: Arc<File>,
    /// The cookie of the process that opened it.
    owner: usize,
}

impl LockFile {
    fn open_locked(path: &Path, mode: Mode, open: &Open<'_>) -> Result<Option<LockFile>, Error> {
        for _ in 0..MOST_TRIES {
            let file = open(path).map_err(|error| not_opened(path, &error))?;
            let opened = LockFile { path: path.to_owned(), file: Arc::new(file), owner: process::cookie() };
            let locked = opened.try_lock(mode)?;
            if opened.is_in_place()? {
                return Ok(locked.then_some(opened));
            }
        }
        let detail = format!(
            "{} was removed {MOST_TRIES} times while it was being locked. Stop the program that removes it.",
            path.display()
        );
        Err(Error::because(Status::Storage, detail))
    }

    fn try_lock(&self, mode: Mode) -> Result<bool, Error> {
        let mut try_once = || match mode {
            Mode::Shared => self.file.try_lock_shared(),
            Mode::Exclusive => self.file.try_lock(),
        };
        uninterrupted(&mut try_once).map_err(|error| not_locked(&self.path, &error))
    }

    fn unlock(&self) -> Result<(), Error> {
        let mut try_once = || match self.file.unlock() {
            // On Windows, std unlocks until the system reports that nothing is locked. Wine reports it by this error.
            Err(error) if cfg!(windows) && error.raw_os_error() == Some(LOCK_VIOLATION) => Ok(()),
            unlocked => unlocked.map_err(TryLockError::Error),
        };
        uninterrupted(&mut try_once).map(drop).map_err(|error| not_locked(&self.path, &error))
    }

    #[cfg(unix)]
    fn is_in_place(&self) -> Result<bool, Error> {
        use std::os::unix::fs::MetadataExt;
        let failed = |error| not_opened(&self.path, &error);
        let opened = self.file.metadata().map_err(failed)?;
        match self.path.metadata() {
            Ok(found) => Ok((found.dev(), found.ino()) == (opened.dev(), opened.ino())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(failed(error)),
        }
    }

    #[cfg(not(unix))]
    #[allow(clippy::unnecessary_wraps, reason = "elsewhere it may fail")]
    fn is_in_place(&self) -> Result<bool, Error> {
        Ok(true)
    }
}

impl Drop for LockFile {
    fn drop(&mut self) {
        if self.owner == process::cookie() {
            // If this fails, closing the file unlocks it.
            let _ = self.unlock();
        }
    }
}

/// Opens a lock file. A missing one is created, and no other user may open it.
fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    // FILE_SHARE_READ and FILE_SHARE_WRITE without FILE_SHARE_DELETE: a file that is open can't be removed.
    #[cfg(windows)]
    std::os::windows::fs::OpenOptionsExt::share_mode(&mut options, 1 | 2);
    let file = retry_while_in_use(|| descriptor::open(|| options.open(path)))?;
    make_file_accessible(&file);
    Ok(file)
}

/// Repeats `attempt` while a signal interrupts it. Returns false if another process has the lock.
fn uninterrupted(attempt: &mut dyn FnMut() -> Result<(), TryLockError>) -> io::Result<bool> {
    loop {
        match attempt() {
            Ok(()) => return Ok(true),
            Err(TryLockError::WouldBlock) => return Ok(false),
            Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Interrupted => {}
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
}

fn not_opened(path: &Path, error: &io::Error) -> Error {
    let advice = match error.kind() {
        ErrorKind::NotFound => " Create its folder first.",
        ErrorKind::PermissionDenied => " If another user created it, give each user another \"storage_dir\".",
        _ => "",
    };
    Error::of_system(Status::Storage, format!("{} can't be opened: {error}.{advice}", path.display()), error)
}

fn not_locked(path: &Path, error: &io::Error) -> Error {
    let advice = "Set \"storage_dir\" to a folder on a file system that supports locks, such as a local disk.";
    Error::of_system(Status::Storage, format!("{} can't be locked: {error}. {advice}", path.display()), error)
}

/// A lock in memory that is held. Dropping it unlocks.
#[derive(Debug)]
pub(crate) struct MemoryGuard {
    holders: Arc<Mutex<Holders>>,
    mode: Mode,
}

impl MemoryGuard {
    fn try_lock(holders: &Arc<Mutex<Holders>>, mode: Mode) -> Option<MemoryGuard> {
        let mut held = holders.lock().unwrap_or_else(PoisonError::into_inner);
        match mode {
            _ if held.exclusive => return None,
            Mode::Shared => held.shared += 1,
            Mode::Exclusive if held.shared > 0 => return None,
            Mode::Exclusive => held.exclusive = true,
        }
        Some(MemoryGuard { holders: Arc::clone(holders), mode })
    }
}

impl Drop for MemoryGuard {
    fn drop(&mut self) {
        let mut held = self.holders.lock().unwrap_or_else(PoisonError::into_inner);
        match self.mode {
            Mode::Shared => held.shared -= 1,
            Mode::Exclusive => held.exclusive = false,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
