//! Releasing a slot. The last process of this machine that holds it tells the server.

use crate::client::jittered;
use crate::error::{Error, Outcome};
use crate::lease::context::RequestContext;
use crate::lease::slot::record::Record;
use crate::lease::slot::request::RecordWrite;
use crate::lease::slot::state::Slot;
use crate::lease::storage::process_lock::{LastHolder, ProcessLockGuard};
use crate::lease::storage::sealed_file::is_inaccessible;
use crate::status::{Category, Status};
use std::time::{Duration, Instant};

/// The pause before a release that got no answer is repeated within its call.
const REPEAT_PAUSE: Duration = Duration::from_millis(100);

/// The effect of a release on a borrow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReleaseMode {
    /// The host releases the lease, which ends a borrow too.
    ReturnBorrow,
    /// The host closes the lease, or ends; a borrow goes on.
    KeepBorrow,
}

/// The server's refusal of a release, if it knew nothing to release; the slot is released all the same.
pub(crate) type ReleaseRefusal = Option<Error>;

/// What became of a slot that the files of this machine tell of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StoredRelease {
    /// The server was told, or had nothing to free.
    Released,
    /// The record says that the server counts no slot for this device.
    NotHeld,
    /// A process of this machine holds the slot.
    InUse,
    /// A borrow was left running.
    Kept,
    /// The server has freed the slot, and may still carry out an earlier request that got no answer.
    Unanswered,
}

/// The server's answer to a release.
struct ReleaseAnswer {
    refusal: ReleaseRefusal,
    /// True if the server carries out nothing that was sent before.
    in_order: bool,
}

impl Slot {
    /// Releases the slot. The last process of this machine that holds it releases it at the server, before another
    /// process can take it. If that fails, the slot is still held.
    pub(crate) fn release(&mut self, context: &RequestContext, mode: ReleaseMode) -> Result<ReleaseRefusal, Error> {
        if !self.may_be_held_at_server() {
            return Ok(None);
        }
        let guard = self.lock(context)?;
        let holder = match self.holder.take() {
            Some(holder) => holder,
            // Adding a holder and removing it again finds out whether another process holds the slot.
            None => guard.add_holder()?,
        };
        let stored = self.read();
        let mode = self.mode_for_borrow(context, &stored, mode);
        if let (Err(error), ReleaseMode::ReturnBorrow) = (&stored, mode)
            && is_inaccessible(error)
            && self.borrowed
        {
            // A later start without a network would go on believing the proof, which can't be removed now.
            self.holder = Some(holder);
            return Err(error.clone());
        }
        let is_borrowed = self.has_running_borrow(&stored, context);
        let refusal = match guard.remove_holder(holder).inspect_err(|_| self.in_doubt = true)? {
            None if is_borrowed => self.leave_borrow_to_others(context, &guard, stored, mode).map(|()| None)?,
            None => None,
            Some(_) if is_borrowed && mode == ReleaseMode::KeepBorrow => {
                self.keep_borrow(context, stored)?;
                None
            }
            Some(last_holder) => self.release_as_last_holder(context, &guard, stored, last_holder)?,
        };
        (self.in_doubt, self.borrowed, self.borrowed_until) = (false, false, None);
        self.close_lock_files();
        Ok(refusal)
    }

    /// A borrow that only another process or another client knows of is not this lease's to return.
    fn mode_for_borrow(
        &self,
        context: &RequestContext,
        stored: &Result<Record, Error>,
        mode: ReleaseMode,
    ) -> ReleaseMode {
        let is_known_here = self.borrowed || self.is_borrowed(&context.shared.clock);
        let is_others = !is_known_here && stored.as_ref().is_ok_and(|record| record.is_borrowed(context));
        if is_others { ReleaseMode::KeepBorrow } else { mode }
    }

    /// Other processes hold the slot. A borrow that the host returns is returned when the last of them releases the slot.
    fn leave_borrow_to_others(
        &mut self,
        context: &RequestContext,
        guard: &ProcessLockGuard,
        stored: Result<Record, Error>,
        mode: ReleaseMode,
    ) -> Result<(), Error> {
        let Ok(mut record) = stored else { return Ok(()) };
        if mode == ReleaseMode::ReturnBorrow {
            record.mark_return_pending();
        }
        if let Err(error) = self.write(&mut record, context) {
            self.holder = Some(guard.add_holder()?);
            return Err(error);
        }
        Ok(())
    }

    /// No other process holds the slot, and its borrow goes on.
    fn keep_borrow(&self, context: &RequestContext, stored: Result<Record, Error>) -> Result<(), Error> {
        let Ok(mut record) = stored else { return Ok(()) };
        if !record.is_borrowed(context) {
            // Only this process knows of the borrow, and the next start would end it.
            record.set_borrowed_by_verb(self.borrowed_until);
        }
        self.write(&mut record, context)
    }

    fn release_as_last_holder(
        &mut self,
        context: &RequestContext,
        guard: &ProcessLockGuard,
        stored: Result<Record, Error>,
        last_holder: LastHolder,
    ) -> Result<ReleaseRefusal, Error> {
        let released = self.release_at_server(context, guard, stored);
        if released.is_err() {
            self.holder = Some(last_holder.keep()?);
        }
        released
    }

    /// Returns whether a borrow runs that only a release may end.
    fn has_running_borrow(&self, stored: &Result<Record, Error>, context: &RequestContext) -> bool {
        match stored {
            // Another process has returned the borrow, which the last holder tells the server.
            Ok(record) if record.return_pending => false,
            Ok(record) => record.is_borrowed(context) || self.is_borrowed(&context.shared.clock),
            // The folder is closed to this process, which knows by itself what it has borrowed.
            Err(error) if is_inaccessible(error) => self.is_borrowed(&context.shared.clock),
            // A damaged record may prove a borrow. Losing a borrow is worse than leaving a slot to its timeout.
            Err(_) => true,
        }
    }

    /// Returns whether a release with [`ReleaseMode::KeepBorrow`] would leave the slot borrowed.
    pub(crate) fn stays_borrowed(&self, context: &RequestContext) -> bool {
        self.has_running_borrow(&self.read(), context)
    }

    /// Releases the slot if a dead process has left it: the record says that it may be held, no process holds it, and it is
    /// not borrowed. Returns true if nothing is left to do; false if a late request may take the slot again, or if another
    /// process has the lock.
    pub(crate) fn release_orphan(&mut self, context: &RequestContext) -> Result<bool, Error> {
        // A process that has the lock finds the orphan itself.
        let Some(guard) = self.try_lock() else { return Ok(false) };
        let record = self.read()?;
        if record.may_hold && !record.is_borrowed(context) && guard.has_no_holder()? {
            self.license_id = record.license_id;
            self.release_at_server(context, &guard, Ok(record))?;
        }
        Ok(self.repeat_release_until.is_none())
    }

    /// Releases the slot, which this process does not hold, as far as the record says that the server may count it and no
    /// process holds it.
    ///
    /// # Errors
    /// The server can't be reached, or does not serve this device for now. The record says so, and the next call asks again.
    pub(crate) fn release_stored(
        &mut self,
        context: &RequestContext,
        mode: ReleaseMode,
    ) -> Result<StoredRelease, Error> {
        let guard = self.lock(context)?;
        let record = self.read()?;
        self.license_id = record.license_id;
        let is_borrowed = record.is_borrowed(context);
        if !record.may_hold && !is_borrowed {
            return Ok(StoredRelease::NotHeld);
        }
        if is_borrowed && mode == ReleaseMode::KeepBorrow {
            return Ok(StoredRelease::Kept);
        }
        if !guard.has_no_holder()? {
            return Ok(StoredRelease::InUse);
        }
        match self.release_at_server(context, &guard, Ok(record))? {
            Some(refusal) if !is_unknown_slot(&refusal) => Err(refusal),
            _ if self.repeat_release_until.is_some() => Ok(StoredRelease::Unanswered),
            _ => Ok(StoredRelease::Released),
        }
    }

    /// Releases the slot once more, because a server without order numbers may have carried out a late request since.
    /// Does nothing if another holder has taken or borrowed the slot meanwhile.
    pub(crate) fn repeat_release(&mut self, context: &RequestContext) -> Result<(), Error> {
        if self.repeat_release_until.is_none() {
            return Ok(());
        }
        let guard = self.lock(context)?;
        let stored = self.read();
        // A holder that has come and gone since may have left a borrow.
        if guard.has_no_holder()? && !self.has_running_borrow(&stored, context) {
            self.release_at_server(context, &guard, stored)?;
        } else {
            self.repeat_release_until = None;
        }
        drop(guard);
        self.close_lock_files();
        Ok(())
    }

    /// Has the server free the slot, and stores that it did. The caller is the last holder, or knows that there is none.
    /// Returns the server's refusal if it knows no such slot: then nothing is left to be released.
    pub(super) fn release_at_server(
        &mut self,
        context: &RequestContext,
        _guard: &ProcessLockGuard,
        stored: Result<Record, Error>,
    ) -> Result<ReleaseRefusal, Error> {
        let is_damaged = stored.as_ref().is_err_and(|error| !is_inaccessible(error));
        let mut record = stored.unwrap_or_else(|_| self.empty_record());
        // A borrow that may have been returned proves nothing to the process that comes next.
        let was_believed = record.mark_borrow_in_doubt();
        let record_write = match (was_believed, is_damaged) {
            (true, _) => RecordWrite::Required,
            (false, true) => RecordWrite::Forbidden,
            (false, false) => RecordWrite::BestEffort,
        };
        // A request that got no answer may be carried out before this release, and its time may be over when the release's
        // answer arrives. So it is looked for before the request and again after it.
        let outstanding_until = self.unanswered_until(context, &record);
        let ReleaseAnswer { refusal, in_order } = match self.request_release(context, &mut record, record_write) {
            Ok(answer) => answer,
            Err(error) => {
                record.in_doubt &= !(was_believed && error.outcome != Outcome::Unknown);
                if record_write == RecordWrite::Required {
                    self.write(&mut record, context)?;
                }
                return Err(error);
            }
        };
        let outstanding_until = outstanding_until.max(self.unanswered_until(context, &record));
        self.repeat_release_until = outstanding_until.filter(|_| self.is_floating && !in_order);
        // A record that says "may hold" makes the next start ask once more. That is needed if a late request may still be
        // carried out, or if the server does not speak to this device for now.
        let is_withheld = refusal.as_ref().is_some_and(|error| !is_unknown_slot(error));
        record.mark_released(self.repeat_release_until.is_some() || is_withheld);
        record.license_id = self.license_id;
        if !is_damaged || self.set_aside().is_ok() {
            let _ = self.write(&mut record, context);
        }
        Ok(refusal)
    }

    /// Repeats the request until the server has surely freed the slot, or refuses, or the time of one request is over. No
    /// other process can take the slot meanwhile, so repeating a release is safe.
    fn request_release(
        &mut self,
        context: &RequestContext,
        record: &mut Record,
        record_write: RecordWrite,
    ) -> Result<ReleaseAnswer, Error> {
        if !self.is_floating {
            return Ok(ReleaseAnswer { refusal: None, in_order: false });
        }
        let (operation, own) = self.operation(context, "release_license", "release_feature");
        let (mut is_uncertain, started) = (false, Instant::now());
        loop {
            let error = match self.ask(context, record, record_write, operation, &own) {
                Ok(answer) => return Ok(ReleaseAnswer { refusal: None, in_order: answer.in_order }),
                Err(error) if error.is_refusal() => {
                    let in_order = error.in_order;
                    let refusal = (!is_not_held(error.status)).then_some(error);
                    return Ok(ReleaseAnswer { refusal, in_order });
                }
                Err(error) => error,
            };
            is_uncertain |= error.outcome == Outcome::Unknown;
            if !is_uncertain {
                return Err(error);
            }
            // The call may have time for requests about other slots, which this one must not use up.
            let is_over = error.status == Status::Cancelled || started.elapsed() >= context.timeout;
            if is_over || context.pause(jittered(REPEAT_PAUSE)).is_err() {
                return Err(error.with_unknown_outcome());
            }
        }
    }
}

/// Returns whether the server's code says that the slot was free already.
fn is_not_held(status: Status) -> bool {
    matches!(status, Status::FloatingNotAvailable | Status::FloatingFeatureDeviceNotInUse)
}

/// Returns whether a refusal says that the server does not know the slot, so that it can't count one. Otherwise the
/// server knows the license but does not serve it now, and its slot becomes free with its timeout.
fn is_unknown_slot(refusal: &Error) -> bool {
    let withheld = [Status::LicenseNotActive, Status::LicenseNotEnabled, Status::Blacklisted];
    let of_product = [Status::ArchivedProduct, Status::DisabledProduct];
    refusal.status.row().category != Category::Customer
        && !withheld.contains(&refusal.status)
        && !of_product.contains(&refusal.status)
}
