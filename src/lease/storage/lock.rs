//! A lock that nobody waits for: held by one alone or by several together, in a file or in memory.
//!
//! A file's lock ends with the process that holds it, however that ends. It belongs to the open file, which forked
//! children have too, also those that are just about to become another program. So whoever gives a lock up says so to
//! the system, which takes it from such children as well; a child that drops its copy merely closes it. Only the lock
//! of a process that was killed may stay until its forked children have ended.
//!
//! Files are made when they are missing, and never removed here. On Windows nobody else can remove one that is open;
//! elsewhere they can, and who comes then would lock another file of that name. Therefore a lock counts only if its
//! file is still in place once it is locked; afterwards [`LockGuard::is_in_place`] tells.

use crate::error::Error;
use crate::lease::storage::retry::retry_while_in_use;
use crate::process;
use crate::status::Status;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Who removes the file more often than this while it is being locked will go on doing so.
const MOST_TRIES: u32 = 16;

/// What Windows says of a lock that somebody else has.
const LOCK_VIOLATION: i32 = 33;

/// In whose company a lock is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// By as many as like.
    Shared,
    /// By one.
    Exclusive,
}

/// Where a lock is.
#[derive(Debug, Clone)]
pub(crate) enum Lock {
    /// In a file, for every process that opens it.
    File(PathBuf),
    /// In this process, for every clone.
    Memory(Arc<Mutex<Holders>>),
}

/// Who holds a lock in memory.
#[derive(Debug, Default)]
pub(crate) struct Holders {
    shared: usize,
    exclusive: bool,
}

/// A lock that is held; given up when dropped.
#[derive(Debug)]
pub(crate) enum LockGuard {
    /// See [`Lock::File`].
    File(LockFile),
    /// See [`Lock::Memory`].
    Memory(InMemory),
}

impl Lock {
    /// One in memory, held by nobody.
    pub(crate) fn in_memory() -> Lock {
        Lock::Memory(Arc::default())
    }

    /// Takes it; `None` if whoever holds it stands against that.
    pub(crate) fn try_lock(&self, mode: Mode) -> Result<Option<LockGuard>, Error> {
        Ok(match self {
            Lock::File(path) => LockFile::open_locked(path, mode, &open)?.map(LockGuard::File),
            Lock::Memory(holders) => InMemory::try_lock(holders, mode).map(LockGuard::Memory),
        })
    }
}

impl LockGuard {
    /// Gives it up, and tells whether nobody else held it: in a file that was removed, nobody else of before then.
    pub(crate) fn unlock(self) -> Result<bool, Error> {
        match self {
            LockGuard::File(file) => file.unlock().and_then(|()| file.try_lock(Mode::Exclusive)),
            LockGuard::Memory(hold) => {
                let holders = Arc::clone(&hold.holders);
                drop(hold);
                Ok(InMemory::try_lock(&holders, Mode::Exclusive).is_some())
            }
        }
    }

    /// The open file of the lock, which can be locked again when its path leads nowhere any more. `None` for a lock in
    /// memory, and where no more files can be opened.
    pub(crate) fn keep_open(&self) -> Option<OpenLock> {
        let LockGuard::File(held) = self else { return None };
        Some(OpenLock { path: held.path.clone(), file: held.file.try_clone().ok()? })
    }

    /// Whether those who come now meet it.
    pub(crate) fn is_in_place(&self) -> Result<bool, Error> {
        match self {
            LockGuard::File(file) => file.is_in_place(),
            LockGuard::Memory(_) => Ok(true),
        }
    }
}

/// The open file of a lock, kept for a time when its path leads nowhere: the folder was moved, or the process may not
/// open it any more. It is not locked by being kept.
#[derive(Debug)]
pub(crate) struct OpenLock {
    path: PathBuf,
    file: File,
}

impl OpenLock {
    /// Locks the file that is open, whatever became of its path; `None` if another holder stands against that.
    pub(crate) fn try_lock(&self, mode: Mode) -> Result<Option<LockGuard>, Error> {
        let file = self.file.try_clone().map_err(|error| not_opened(&self.path, &error))?;
        let opened = LockFile { path: self.path.clone(), file, owner: process::cookie() };
        Ok(opened.try_lock(mode)?.then_some(LockGuard::File(opened)))
    }
}

/// What opens a lock file.
type Open<'a> = dyn Fn(&Path) -> io::Result<File> + 'a;

/// An open file and the lock on it.
#[derive(Debug)]
pub(crate) struct LockFile {
    path: PathBuf,
    file: File,
    /// The cookie of the process that opened it.
    owner: usize,
}

impl LockFile {
    fn open_locked(path: &Path, mode: Mode, open: &Open<'_>) -> Result<Option<LockFile>, Error> {
        for _ in 0..MOST_TRIES {
            let file = open(path).map_err(|error| not_opened(path, &error))?;
            let opened = LockFile { path: path.to_owned(), file, owner: process::cookie() };
            let locked = opened.try_lock(mode)?;
            if opened.is_in_place()? {
                return Ok(locked.then_some(opened));
            }
        }
        Err(Error::because(Status::Storage, format!("Something removes {} again and again.", path.display())))
    }

    fn try_lock(&self, mode: Mode) -> Result<bool, Error> {
        let mut attempt = || match mode {
            Mode::Shared => self.file.try_lock_shared(),
            Mode::Exclusive => self.file.try_lock(),
        };
        granted(&mut attempt).map_err(|error| not_locked(&self.path, &error))
    }

    fn unlock(&self) -> Result<(), Error> {
        let mut attempt = || match self.file.unlock() {
            // On Windows, std unlocks until nothing is left to be unlocked; this is how Wine says so.
            Err(error) if cfg!(windows) && error.raw_os_error() == Some(LOCK_VIOLATION) => Ok(()),
            unlocked => unlocked.map_err(TryLockError::Error),
        };
        granted(&mut attempt).map(drop).map_err(|error| not_locked(&self.path, &error))
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
            // If it fails, closing the file does it.
            let _ = self.unlock();
        }
    }
}

/// Opens a lock file, or makes one that nobody else may open.
fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    // FILE_SHARE_READ and FILE_SHARE_WRITE, but not FILE_SHARE_DELETE: what is open can't be removed.
    #[cfg(windows)]
    std::os::windows::fs::OpenOptionsExt::share_mode(&mut options, 1 | 2);
    retry_while_in_use(|| options.open(path))
}

/// Whether the system does as it is asked; a signal is no answer.
fn granted(attempt: &mut dyn FnMut() -> Result<(), TryLockError>) -> io::Result<bool> {
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
        ErrorKind::NotFound => " Make its folder first.",
        ErrorKind::PermissionDenied => " If another user made it, give each user a \"storage_dir\" of his own.",
        _ => "",
    };
    Error::because(Status::Storage, format!("{} can't be opened: {error}.{advice}", path.display()))
}

fn not_locked(path: &Path, error: &io::Error) -> Error {
    let advice = "Keep it on a file system that knows locks, such as a local disk's.";
    Error::because(Status::Storage, format!("{} can't be locked: {error}. {advice}", path.display()))
}

/// One that holds a lock in memory.
#[derive(Debug)]
pub(crate) struct InMemory {
    holders: Arc<Mutex<Holders>>,
    mode: Mode,
}

impl InMemory {
    fn try_lock(holders: &Arc<Mutex<Holders>>, mode: Mode) -> Option<InMemory> {
        let mut held = holders.lock().unwrap_or_else(PoisonError::into_inner);
        match mode {
            _ if held.exclusive => return None,
            Mode::Shared => held.shared += 1,
            Mode::Exclusive if held.shared > 0 => return None,
            Mode::Exclusive => held.exclusive = true,
        }
        Some(InMemory { holders: Arc::clone(holders), mode })
    }
}

impl Drop for InMemory {
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
