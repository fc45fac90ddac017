//! A slot as this process knows it, and access to its record and lock on disk.

use crate::descriptor;
use crate::error::Error;
use crate::lease::clock::Clock;
use crate::lease::context::{RequestContext, Shared};
use crate::lease::license_ref::LicenseRef;
use crate::lease::slot::record::Record;
use crate::lease::slot::status::{Confirmation, SlotStatus};
use crate::lease::state_machine::Millis;
use crate::lease::storage::disk;
use crate::lease::storage::process_lock::{HolderLock, OpenLockFiles, ProcessLock, ProcessLockGuard};
use crate::lease::storage::retry::retry_while_in_use;
use crate::lease::storage::sealed_file::{SealedFile, beside, is_inaccessible};
use crate::model;
use crate::status::Status;
use chrono::{DateTime, Utc};
use std::path::{Path, PathBuf};

/// A slot as the files of this machine tell of it.
pub(crate) struct StoredSlot {
    /// The license of the slot, as the server named it.
    pub(crate) license_id: Option<u64>,
    /// True if a borrow runs, or may run.
    pub(crate) is_borrowed: bool,
    /// The end of the borrow, if it is known.
    pub(crate) borrowed_until: Option<DateTime<Utc>>,
    /// True if a process of this machine holds the slot.
    pub(crate) in_use: bool,
    /// Why a start without a network would not believe the stored borrow, if there is one.
    pub(crate) doubt: Option<String>,
}

/// One slot of a lease.
pub(crate) struct Slot {
    /// `None`: the license's own slot.
    pub(crate) feature: Option<String>,
    process_lock: ProcessLock,
    /// The record on disk; `None` without a folder.
    pub(super) file: Option<SealedFile>,
    path: Option<PathBuf>,
    /// Counts this process among the slot's holders while it holds the slot.
    pub(super) holder: Option<HolderLock>,
    /// The lock files, kept open until the slot is surely released: a release must work after the folder is gone.
    pub(super) open_lock_files: Option<OpenLockFiles>,
    /// The server was asked about the slot, and it is not known what it did, or is going to do.
    pub(crate) in_doubt: bool,
    /// The slot was released while an earlier request about it had no answer. A server without order numbers may carry
    /// that request out until this moment, so the release is repeated until then.
    pub(super) repeat_release_until: Option<Millis>,
    /// A check of the feature's license got no answer, and may have taken a slot of the license.
    pub(super) stray_license_slot: bool,
    /// The slot was borrowed, and the record proves it, as far as this process knows.
    pub(super) borrowed: bool,
    /// The end of the borrow, as the server or a verb of this client has reported it.
    pub(super) borrowed_until: Option<DateTime<Utc>>,
    /// The license of the slot, as the server named it. A user may have several licenses.
    pub(super) license_id: Option<u64>,
    /// True if the server counts a slot, which must be released.
    pub(super) is_floating: bool,
}

impl Slot {
    /// A slot that was not asked for yet. Without a folder in the config, nothing of it outlives the process.
    pub(crate) fn new(shared: &Shared, license_ref: &LicenseRef, feature: Option<&str>) -> Result<Slot, Error> {
        let stem = license_ref.file_stem(feature);
        let path = shared.folder().map(|folder| folder.join(format!("{stem}.lease")));
        let sealed = |path| SealedFile::new(path, &license_ref.product, &license_ref.hardware_id);
        Ok(Slot {
            feature: feature.map(str::to_owned),
            process_lock: shared.process_lock(&stem),
            file: path.clone().map(sealed).transpose()?,
            path,
            holder: None,
            open_lock_files: None,
            in_doubt: false,
            repeat_release_until: None,
            stray_license_slot: false,
            borrowed: false,
            borrowed_until: None,
            license_id: None,
            is_floating: true,
        })
    }

    /// The license of the slot, if the server has named it.
    pub(crate) fn license_id(&self) -> Option<u64> {
        self.license_id
    }

    /// Returns whether this is the slot of `feature`; `None`: the license's own.
    pub(crate) fn is_of(&self, feature: Option<&str>) -> bool {
        self.feature.as_deref().map(str::to_ascii_lowercase) == feature.map(str::to_ascii_lowercase)
    }

    /// Returns whether this process holds the slot.
    pub(crate) fn is_held(&self) -> bool {
        self.holder.is_some()
    }

    /// Returns whether the server may count the slot for this device.
    pub(crate) fn may_be_held_at_server(&self) -> bool {
        self.in_doubt || self.is_held()
    }

    /// Returns whether the server, or a verb, has reported a borrow that still runs.
    pub(super) fn is_borrowed(&self, clock: &Clock) -> bool {
        self.borrowed_until.is_some_and(|until| until > clock.earliest_date())
    }

    /// Remembers that a verb has borrowed the slot until this date, so that closing the lease does not end the borrow.
    pub(crate) fn remember_borrow(&mut self, until: Option<DateTime<Utc>>) {
        self.borrowed_until = self.borrowed_until.max(until);
    }

    /// Remembers from the server's reply what decides how the slot is released later.
    pub(super) fn remember(&mut self, confirmation: &Confirmation) {
        self.is_floating = confirmation.is_floating;
        self.borrowed_until = match confirmation.status {
            SlotStatus::Borrowed { until, .. } => Some(until),
            SlotStatus::Held { .. } => confirmation.borrowed_until,
        };
    }

    /// Returns whether a check may have taken a slot of the license that is not needed. Says so once.
    pub(crate) fn pop_stray_license_slot(&mut self) -> bool {
        std::mem::take(&mut self.stray_license_slot)
    }

    /// The moment until which the release is to be repeated, if it is to be repeated at all.
    pub(crate) fn repeat_release_until(&self) -> Option<Millis> {
        self.repeat_release_until
    }

    /// Stops repeating the release, because another lease has taken the slot.
    pub(crate) fn stop_repeating_release(&mut self) {
        self.repeat_release_until = None;
        self.close_lock_files();
    }

    /// Gives up the slot on this machine without telling the server. The next process that comes finds out what the
    /// server counts.
    pub(crate) fn abandon(&mut self) {
        (self.holder, self.in_doubt) = (None, false);
        self.close_lock_files();
    }

    /// Closes the lock files, unless they are needed to release the slot or to repeat its release.
    pub(super) fn close_lock_files(&mut self) {
        if self.holder.is_none() && self.repeat_release_until.is_none() {
            self.open_lock_files = None;
        }
    }

    /// Locks the slot against other processes, if it is not locked.
    pub(super) fn try_lock(&self) -> Option<ProcessLockGuard> {
        self.process_lock.lock(&mut |_| Err(Error::new(Status::Timeout))).ok()
    }

    /// Locks the slot against other processes, waiting as long as the call lasts.
    pub(super) fn lock(&self, context: &RequestContext) -> Result<ProcessLockGuard, Error> {
        let busy = "Another process of this machine is taking or releasing the same slot.";
        let mut pause = |duration| {
            context.pause(duration).map_err(|error| match error.status {
                Status::Timeout => error.with_detail(busy),
                _ => error,
            })
        };
        let by_path = self.folder().map_or(Ok(()), disk::make_folder).and_then(|()| self.process_lock.lock(&mut pause));
        match (by_path, &self.open_lock_files) {
            // The folder is gone, or closed to this process, so the files that are still open must do.
            (Err(error), Some(open)) if is_inaccessible(&error) => self.process_lock.lock_open_files(open, &mut pause),
            (locked, _) => locked,
        }
    }

    pub(super) fn empty_record(&self) -> Record {
        Record::of(self.feature.as_deref())
    }

    pub(super) fn read(&self) -> Result<Record, Error> {
        self.file.as_ref().map_or_else(|| Ok(self.empty_record()), |file| Record::read(file, self.feature.as_deref()))
    }

    pub(super) fn write(&self, record: &mut Record, context: &RequestContext) -> Result<(), Error> {
        self.write_at(record, &context.shared.clock)
    }

    fn write_at(&self, record: &mut Record, clock: &Clock) -> Result<(), Error> {
        self.file.as_ref().map_or(Ok(()), |file| record.write(file, clock))
    }

    /// Stores what the clock shows, so that setting it back is noticed later. False if another process has the lock.
    pub(crate) fn save_clock_mark(&self, clock: &Clock) -> bool {
        if !self.borrowed {
            return true;
        }
        let Some(_guard) = self.try_lock() else { return false };
        let _ = self.read().and_then(|mut record| self.write_at(&mut record, clock));
        true
    }

    /// Tells what the record says of the slot, and whether a process of this machine holds it. `None` if the record says
    /// that the server counts no slot for this device. Sends no request and waits for nothing.
    pub(crate) fn stored(&self, context: &RequestContext) -> Result<Option<StoredSlot>, Error> {
        // A process that has the lock is taking the slot or releasing it.
        let in_use = match self.try_lock() {
            Some(guard) => !guard.has_no_holder()?,
            None => true,
        };
        let record = self.read()?;
        let is_borrowed = record.is_borrowed(context);
        if !record.may_hold && !is_borrowed {
            return Ok(None);
        }
        let (proven_until, doubt) = match record.proven_until(context) {
            Ok(until) => (until, None),
            Err(error) => (None, Some(error.message())),
        };
        let borrowed_until = proven_until.max(record.borrowed_by_verb_until()).filter(|_| is_borrowed);
        Ok(Some(StoredSlot { license_id: record.license_id, is_borrowed, borrowed_until, in_use, doubt }))
    }

    /// The folder of the record, if there is one.
    pub(super) fn folder(&self) -> Option<&Path> {
        self.path.as_deref().and_then(Path::parent)
    }

    /// Renames a record that can't be read. It may be evidence, so this library never deletes it.
    pub(super) fn set_aside(&self) -> Result<(), Error> {
        let Some(path) = &self.path else { return Ok(()) };
        let aside = beside(path, &format!("damaged-{}", model::now().timestamp_millis()));
        retry_while_in_use(|| std::fs::rename(path, &aside)).map_err(|error| {
            Error::of_system(Status::Storage, format!("{} can't be moved aside: {error}.", path.display()), &error)
        })
    }

    /// An error if another device's record of this slot is in the folder.
    pub(super) fn foreign_record(&self, license_ref: &LicenseRef) -> Option<Error> {
        let folder = self.folder()?;
        let (prefix, own) = (license_ref.license_prefix(), license_ref.file_prefix());
        let suffix = format!("{}.lease", license_ref.file_suffix(self.feature.as_deref()));
        let entries = descriptor::with_standard_taken(|| std::fs::read_dir(folder)).ok()?;
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut foreign = names.filter(|name| name.starts_with(&prefix) && name.ends_with(&suffix));
        let name = foreign.find(|name| !name.starts_with(&own))?;
        Some(Error::because(Status::StorageForeign, format!("The file is {}.", folder.join(name).display())))
    }
}
