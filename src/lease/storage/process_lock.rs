//! The lock of one slot, or of one queue of consumptions, among the processes of a machine.
//!
//! The server counts a slot once for a device, however many of its processes use it, so only the last of them may
//! release it. Each process that uses the slot therefore holds a shared lock, its [`HolderLock`]. To add or remove it,
//! a process first takes the exclusive [`ProcessLock`]. It keeps this until the server has answered the request that
//! follows from the change. Otherwise a release could overtake the check of a process that has just begun to use the
//! slot.
//!
//! The system frees the locks of a process that is killed, so the holders are never miscounted. What the killed process
//! has left undone is found by the next process that takes the lock and [finds no
//! holder](ProcessLockGuard::has_no_holder).
//!
//! # Removed lock files
//! Where the system lets another program remove a file that is open, two promises become weaker:
//! - The file of the process lock was removed: a second process may take the lock while the first has it, but not while
//!   a [`LastHolder`] releases the slot.
//! - The file of the holders was removed: a later process does not count the holders of before, and may release the
//!   slot although they use it. The holders of before count both. [`HolderLock::is_in_place`] notices the removal, and
//!   a new holder lock repairs it.

use crate::client::jittered;
use crate::error::Error;
use crate::lease::storage::lock::{Lock, LockGuard, Mode, OpenLock};
use crate::status::Status;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Mean time between two attempts to take the process lock.
const PAUSE: Duration = Duration::from_millis(8);

/// The exclusive lock of a slot, and the shared lock of its holders. Clones are the same locks.
#[derive(Debug, Clone)]
pub(crate) struct ProcessLock {
    access: Lock,
    holders: Lock,
}

impl ProcessLock {
    /// A lock in two files of this folder, for every process that has the same folder. Touches no file.
    pub(crate) fn on_disk(folder: &Path, name: &str) -> ProcessLock {
        let file = |ending| Lock::File(folder.join(format!("{name}.{ending}")));
        ProcessLock { access: file("lock"), holders: file("holders") }
    }

    /// A lock in the memory of this process, shared by every clone.
    pub(crate) fn in_memory() -> ProcessLock {
        ProcessLock { access: Lock::in_memory(), holders: Lock::in_memory() }
    }

    /// Takes the lock. While another process has it, this calls `pause` to wait, until `pause` returns an error.
    ///
    /// # Errors
    /// [`Status::Storage`] if a lock file can't be opened or locked, and the error of `pause`.
    pub(crate) fn lock(&self, pause: &mut dyn FnMut(Duration) -> Result<(), Error>) -> Result<ProcessLockGuard, Error> {
        loop {
            if let Some(lock_guard) = self.access.try_lock(Mode::Exclusive)?
                // A last holder may be releasing the slot under a lock file that was removed since.
                && self.holders.try_lock(Mode::Shared)?.is_some()
            {
                return Ok(ProcessLockGuard { holders: self.holders.clone(), lock_guard, open_holders: None });
            }
            // Processes that wait at the same time try at different moments, so that each gets the lock.
            pause(jittered(PAUSE))?;
        }
    }

    /// Becomes a holder without the lock, so that the process that has it finds out that another one waits. `None` if it
    /// looks for holders just now.
    ///
    /// # Errors
    /// [`Status::Storage`] if the lock file can't be opened or locked.
    pub(crate) fn announce(&self) -> Result<Option<HolderLock>, Error> {
        Ok(self.holders.try_lock(Mode::Shared)?.map(HolderLock))
    }

    /// Takes the lock by its open files, because their paths can't be opened. Other processes that have opened the same
    /// files are excluded and counted as by [`ProcessLock::lock`].
    ///
    /// # Errors
    /// [`Status::Storage`] if a lock file can't be locked, and the error of `pause`.
    pub(crate) fn lock_open_files(
        &self,
        open_files: &OpenLockFiles,
        pause: &mut dyn FnMut(Duration) -> Result<(), Error>,
    ) -> Result<ProcessLockGuard, Error> {
        loop {
            if let Some(lock_guard) = open_files.access.try_lock(Mode::Exclusive)? {
                let open_holders = Some(Arc::clone(&open_files.holders));
                return Ok(ProcessLockGuard { holders: self.holders.clone(), lock_guard, open_holders });
            }
            pause(jittered(PAUSE))?;
        }
    }
}

/// The open lock files of a process that holds the slot, so that it can release the slot whatever becomes of the
/// folder.
#[derive(Debug)]
pub(crate) struct OpenLockFiles {
    access: OpenLock,
    holders: Arc<OpenLock>,
}

/// The process lock while this process has it. Dropping it unlocks.
#[derive(Debug)]
pub(crate) struct ProcessLockGuard {
    holders: Lock,
    lock_guard: LockGuard,
    /// The open file of the holders, used if the lock files can't be opened by their paths. While this process is a
    /// holder, the lock on this file is its own holder lock.
    open_holders: Option<Arc<OpenLock>>,
}

impl ProcessLockGuard {
    /// Returns whether no process holds the slot. If the server counts the slot nevertheless, a dead process has left it.
    /// The caller has no holder lock.
    ///
    /// # Errors
    /// [`Status::Storage`] if the lock file can't be opened or locked.
    pub(crate) fn has_no_holder(&self) -> Result<bool, Error> {
        Ok(self.try_lock_holders(Mode::Exclusive)?.is_some())
    }

    fn try_lock_holders(&self, mode: Mode) -> Result<Option<LockGuard>, Error> {
        self.open_holders.as_ref().map_or_else(|| self.holders.try_lock(mode), |open| open.try_lock(mode))
    }

    /// Adds this process to the holders of the slot, so that no other process is the last holder. Never by the file
    /// that is open already: two holder locks on one open file are one lock, which ends when the first of them is
    /// dropped.
    ///
    /// # Errors
    /// [`Status::Storage`] if the lock file can't be opened or locked.
    pub(crate) fn add_holder(&self) -> Result<HolderLock, Error> {
        self.holders.try_lock(Mode::Shared)?.map(HolderLock).ok_or_else(in_use)
    }

    /// Returns the open lock files, by which a holder can take the lock again when their paths can't be opened. `None`
    /// for a lock in memory.
    pub(crate) fn keep_open(&self, holder: &HolderLock) -> Option<OpenLockFiles> {
        Some(OpenLockFiles { access: self.lock_guard.keep_open()?, holders: Arc::new(holder.0.keep_open()?) })
    }

    /// Removes this process from the holders of the slot. Returns the [`LastHolder`] if no other process holds the
    /// slot.
    ///
    /// # Errors
    /// [`Status::Storage`] if the lock file can't be unlocked or opened. The holder is removed all the same. Whether it
    /// was the last one is found out by the next process that takes the lock.
    pub(crate) fn remove_holder(&self, holder: HolderLock) -> Result<Option<LastHolder<'_>>, Error> {
        // If the file was removed, other holders may have locked the old file or the new one.
        let lock_guard = if holder.0.unlock()? { self.try_lock_holders(Mode::Exclusive)? } else { None };
        Ok(lock_guard.map(|lock_guard| LastHolder { guard: self, lock_guard }))
    }
}

/// The shared lock by which a process counts as a holder of the slot. Dropping it without
/// [`ProcessLockGuard::remove_holder`] has the effect of a killed process.
#[derive(Debug)]
pub(crate) struct HolderLock(LockGuard);

impl HolderLock {
    /// Returns whether later processes count this holder. If not, the lock file was removed. The caller then takes the
    /// process lock, adds a new holder lock and drops this one.
    ///
    /// # Errors
    /// [`Status::Storage`] if the file's state can't be read.
    pub(crate) fn is_in_place(&self) -> Result<bool, Error> {
        self.0.is_in_place()
    }
}

/// The right of the last holder to release the slot. While this exists, no process becomes a holder.
#[derive(Debug)]
pub(crate) struct LastHolder<'guard> {
    guard: &'guard ProcessLockGuard,
    lock_guard: LockGuard,
}

impl LastHolder<'_> {
    /// Becomes a holder again, because the slot could not be released.
    ///
    /// # Errors
    /// [`Status::Storage`] if the lock file can't be opened or locked.
    pub(crate) fn keep(self) -> Result<HolderLock, Error> {
        drop(self.lock_guard);
        self.guard.try_lock_holders(Mode::Shared)?.map(HolderLock).ok_or_else(in_use)
    }
}

fn in_use() -> Error {
    let detail = "A lock file of \"storage_dir\" was removed, or another program has locked it. Stop that program.";
    Error::because(Status::Storage, detail)
}

#[cfg(test)]
mod processes;
#[cfg(test)]
mod tests;
