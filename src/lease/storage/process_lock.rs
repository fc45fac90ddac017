//! One slot among the processes of a machine, which the server counts once: the last one out gives it back.
//!
//! Everybody who uses the slot keeps a seat, a shared lock. Whoever takes or leaves one stands in the gate, alone,
//! until the server has been told what follows from it, so that no release overtakes a newcomer's check. A process
//! that is killed takes its locks with it: the seats can't be miscounted, and what the dead one left undone is found
//! by the next who comes and [finds nobody](ProcessLockGuard::is_empty).
//!
//! What holds if somebody removes the lock files, where the system lets them: with the gate's file, a second one may
//! enter while another is inside, but not while a last one gives the slot back. With the seats' file, those who sit
//! don't count for those who come later, who may give the slot back behind their back; they themselves still count
//! both. [`HolderLock::is_in_place`] tells them, and a new seat mends it.

use crate::client::jittered;
use crate::error::Error;
use crate::lease::storage::lock::{Lock, LockGuard, Mode, OpenLock};
use crate::status::Status;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// About how long somebody waits before trying the gate again.
const PAUSE: Duration = Duration::from_millis(8);

/// Where those who share one slot meet. Clones lead to the same place.
#[derive(Debug, Clone)]
pub(crate) struct ProcessLock {
    access: Lock,
    holders: Lock,
}

impl ProcessLock {
    /// In two files of this folder, for every process that has the same files; touches nothing yet.
    pub(crate) fn on_disk(folder: &Path, name: &str) -> ProcessLock {
        let file = |ending| Lock::File(folder.join(format!("{name}.{ending}")));
        ProcessLock { access: file("lock"), holders: file("holders") }
    }

    /// In this process, for every clone.
    pub(crate) fn in_memory() -> ProcessLock {
        ProcessLock { access: Lock::in_memory(), holders: Lock::in_memory() }
    }

    /// Comes through the gate. While somebody else stands in it, asks `pause` to let so much time pass, again and
    /// again, until it refuses.
    ///
    /// # Errors
    /// [`Status::Storage`], and whatever `pause` says.
    pub(crate) fn lock(&self, pause: &mut dyn FnMut(Duration) -> Result<(), Error>) -> Result<ProcessLockGuard, Error> {
        loop {
            if let Some(lock_guard) = self.access.try_lock(Mode::Exclusive)?
                // Nobody may sit yet if the gate is another than the one in which somebody is the last one out.
                && self.holders.try_lock(Mode::Shared)?.is_some()
            {
                return Ok(ProcessLockGuard { holders: self.holders.clone(), lock_guard, open_holders: None });
            }
            // Many who wait come at different times, so that each comes through.
            pause(jittered(PAUSE))?;
        }
    }

    /// The same by the files that were kept open, when the path of the gate can't be opened. Other processes that have
    /// opened the same files are kept out, and counted, as ever.
    ///
    /// # Errors
    /// [`Status::Storage`], and whatever `pause` says.
    pub(crate) fn lock_open_files(
        &self,
        kept: &OpenLockFiles,
        pause: &mut dyn FnMut(Duration) -> Result<(), Error>,
    ) -> Result<ProcessLockGuard, Error> {
        loop {
            if let Some(lock_guard) = kept.access.try_lock(Mode::Exclusive)? {
                let open_holders = Some(Arc::clone(&kept.holders));
                return Ok(ProcessLockGuard { holders: self.holders.clone(), lock_guard, open_holders });
            }
            pause(jittered(PAUSE))?;
        }
    }
}

/// The files of the gate and of the process's own seat, kept open by a process that holds the slot, so that it can leave
/// whatever becomes of the folder.
#[derive(Debug)]
pub(crate) struct OpenLockFiles {
    access: OpenLock,
    holders: Arc<OpenLock>,
}

/// The gate, with nobody else in it. Opens when dropped.
#[derive(Debug)]
pub(crate) struct ProcessLockGuard {
    holders: Lock,
    lock_guard: LockGuard,
    /// The lock files can't be opened by their paths, so the one of the seats that is open already must do. The lock on it
    /// is that of this process's own seat, as long as it has one.
    open_holders: Option<Arc<OpenLock>>,
}

impl ProcessLockGuard {
    /// Whether nobody sits: what is found to be held then was left by the dead. The caller has no seat.
    ///
    /// # Errors
    /// [`Status::Storage`].
    pub(crate) fn has_no_holder(&self) -> Result<bool, Error> {
        Ok(self.try_holders(Mode::Exclusive)?.is_some())
    }

    fn try_holders(&self, mode: Mode) -> Result<Option<LockGuard>, Error> {
        self.open_holders.as_ref().map_or_else(|| self.holders.try_lock(mode), |kept| kept.try_lock(mode))
    }

    /// Takes a seat: from now on nobody else is the last one out. Not by the file that was kept open: two seats would have
    /// one lock, which ends with the first of them.
    ///
    /// # Errors
    /// [`Status::Storage`].
    pub(crate) fn add_holder(&self) -> Result<HolderLock, Error> {
        self.holders.try_lock(Mode::Shared)?.map(HolderLock).ok_or_else(in_use)
    }

    /// What a holder of the slot keeps to enter again when the path of the gate can't be opened.
    pub(crate) fn keep_open(&self, holder: &HolderLock) -> Option<OpenLockFiles> {
        Some(OpenLockFiles { access: self.lock_guard.keep_open()?, holders: Arc::new(holder.0.keep_open()?) })
    }

    /// Leaves a seat, and tells if nobody sits any more.
    ///
    /// # Errors
    /// [`Status::Storage`]; the seat is left all the same, and whether it was the last is for the next who comes to
    /// find out.
    pub(crate) fn remove_holder(&self, holder: HolderLock) -> Result<Option<LastHolder<'_>>, Error> {
        // Others may sit where this one sat and, if that file was removed, where one would sit now.
        let lock_guard = if holder.0.unlock()? { self.try_holders(Mode::Exclusive)? } else { None };
        Ok(lock_guard.map(|lock_guard| LastHolder { guard: self, lock_guard }))
    }
}

/// A seat. Whoever drops it instead of leaving is gone without a word, as if killed.
#[derive(Debug)]
pub(crate) struct HolderLock(LockGuard);

impl HolderLock {
    /// Whether those who come now find it taken. If not, its file was removed: enter, sit anew, and drop this one.
    ///
    /// # Errors
    /// [`Status::Storage`].
    pub(crate) fn is_in_place(&self) -> Result<bool, Error> {
        self.0.is_in_place()
    }
}

/// The last one out, who gives the slot back before the gate opens. Nobody takes a seat as long as this lives.
#[derive(Debug)]
pub(crate) struct LastHolder<'guard> {
    guard: &'guard ProcessLockGuard,
    lock_guard: LockGuard,
}

impl LastHolder<'_> {
    /// Sits down again: the slot could not be given back.
    ///
    /// # Errors
    /// [`Status::Storage`].
    pub(crate) fn keep(self) -> Result<HolderLock, Error> {
        drop(self.lock_guard);
        self.guard.try_holders(Mode::Shared)?.map(HolderLock).ok_or_else(in_use)
    }
}

fn in_use() -> Error {
    Error::because(Status::Storage, "A lock file was removed, or is locked by another program.")
}

#[cfg(test)]
mod processes;
#[cfg(test)]
mod tests;
