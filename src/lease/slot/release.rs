//! Leaving a slot: who gives it back to the server, and what the server's answer settles.

use crate::client::jittered;
use crate::error::{Error, Outcome};
use crate::lease::context::RequestContext;
use crate::lease::slot::process_lock::ProcessLockGuard;
use crate::lease::slot::record::Record;
use crate::lease::slot::{RecordWrite, Slot, is_stored_as_borrowed};
use crate::lease::state_machine::Millis;
use crate::status::{Category, Status};
use std::time::{Duration, Instant};

/// Why a slot is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReleaseMode {
    /// The host gives it back, a borrow too.
    ReturnBorrow,
    /// The host ends; what is borrowed stays borrowed.
    KeepBorrow,
}

/// A slot that was left: with the server's refusal, where it did not know of what to let go.
pub(crate) type ReleaseRefusal = Option<Error>;

/// The server's word on a slot that was given back.
struct ReleaseAnswer {
    left: ReleaseRefusal,
    /// It carries out nothing that was sent before.
    in_order: bool,
}

impl Slot {
    /// Leaves the slot. The last process of this machine to leave gives it back to the server, before another can come
    /// in. If that fails the slot is kept.
    pub(crate) fn release(&mut self, context: &RequestContext, mode: ReleaseMode) -> Result<ReleaseRefusal, Error> {
        if self.holder.is_none() && !self.in_doubt {
            return Ok(None);
        }
        let guard = self.lock(context)?;
        let holder = match self.holder.take() {
            Some(holder) => holder,
            // To sit down and leave again finds out whether anybody else is there.
            None => guard.add_holder()?,
        };
        let kept = self.read();
        // A borrow that only another process, or another client, knows of is not this lease's to give back.
        let is_borrowed_here = self.borrowed || self.is_borrowed(context.clock);
        let is_anothers = !is_borrowed_here && kept.as_ref().is_ok_and(|record| is_stored_as_borrowed(record, context));
        let mode = if is_anothers { ReleaseMode::KeepBorrow } else { mode };
        if let (Err(error), ReleaseMode::ReturnBorrow) = (&kept, mode)
            && error.status == Status::Storage
            && self.borrowed
        {
            // The proof of the borrow would go on being believed by a start without a network.
            self.holder = Some(holder);
            return Err(error.clone());
        }
        let has_running_borrow = self.has_running_borrow(&kept, context);
        let mut left = None;
        match guard.remove_holder(holder).inspect_err(|_| self.in_doubt = true)? {
            None => {
                if let (Ok(mut record), true) = (kept, has_running_borrow) {
                    // Others go on; what the host gives back is given back when the last of them leaves.
                    if mode == ReleaseMode::ReturnBorrow {
                        (record.proof, record.return_pending) = (None, true);
                        record.set_borrowed_by_verb(None);
                    }
                    if let Err(error) = self.write(&mut record, context) {
                        self.holder = Some(guard.add_holder()?);
                        return Err(error);
                    }
                }
            }
            Some(_) if has_running_borrow && mode == ReleaseMode::KeepBorrow => {
                if let Ok(mut record) = kept {
                    if !is_stored_as_borrowed(&record, context) {
                        // Only this process knows of it, and the next start would give it back.
                        record.set_borrowed_by_verb(self.borrowed_until);
                    }
                    self.write(&mut record, context)?;
                }
            }
            Some(last_holder) => match self.release_at_server(context, &guard, kept) {
                Ok(refusal) => left = refusal,
                Err(error) => {
                    self.holder = Some(last_holder.keep()?);
                    return Err(error);
                }
            },
        }
        (self.in_doubt, self.borrowed, self.borrowed_until) = (false, false, None);
        self.close_lock_files();
        Ok(left)
    }

    /// Whether a borrow runs that only a release may end.
    fn has_running_borrow(&self, kept: &Result<Record, Error>, context: &RequestContext) -> bool {
        match kept {
            // Another process may have given the borrow back, which the last one out tells the server.
            Ok(record) if record.return_pending => false,
            Ok(record) => is_stored_as_borrowed(record, context) || self.is_borrowed(context.clock),
            // The folder is closed to this process, which knows by itself what it has borrowed.
            Err(error) if error.status == Status::Storage => self.is_borrowed(context.clock),
            // What is damaged may prove a borrow; to lose one is worse than to leave a slot to its timeout.
            Err(_) => true,
        }
    }

    /// Whether leaving the slot with [`ReleaseMode::KeepBorrow`] lets nobody else have it.
    pub(crate) fn stays_borrowed(&self, context: &RequestContext) -> bool {
        self.has_running_borrow(&self.read(), context)
    }

    /// Gives back what a process that is no more has left, if nobody is seated there and it is not borrowed. False if a
    /// late request may take it again, or if somebody is at it.
    pub(crate) fn release_orphan(&mut self, context: &RequestContext) -> Result<bool, Error> {
        // Whoever stands there settles it himself, if he lives and the server answers him.
        let Some(guard) = self.try_lock_process() else { return Ok(false) };
        let record = self.read()?;
        if record.may_hold && !is_stored_as_borrowed(&record, context) && guard.has_no_holder()? {
            self.license_id = record.license_id;
            self.release_at_server(context, &guard, Ok(record))?;
        }
        Ok(self.repeat_release_until.is_none())
    }

    /// When it is settled that the slot is given back: until then it is to be given back again, if that is not settled.
    pub(crate) fn repeat_release_until(&self) -> Option<Millis> {
        self.repeat_release_until
    }

    /// Gives the slot back once more, because a server that knows no order numbers may have carried out a late request
    /// since. Does nothing if another holder has taken the slot meanwhile, or has borrowed it.
    pub(crate) fn repeat_release(&mut self, context: &RequestContext) -> Result<(), Error> {
        if self.repeat_release_until.is_none() {
            return Ok(());
        }
        let guard = self.lock(context)?;
        let kept = self.read();
        // A holder who has come and gone since may have left a borrow.
        if guard.has_no_holder()? && !self.has_running_borrow(&kept, context) {
            self.release_at_server(context, &guard, kept)?;
        } else {
            self.repeat_release_until = None;
        }
        drop(guard);
        self.close_lock_files();
        Ok(())
    }

    /// Has the server let go of the slot, whose record says this. The caller is the last one out, or knows that there is
    /// nobody. Returns the server's refusal if it knows of no such slot: then there is nothing left to be given back.
    pub(crate) fn release_at_server(
        &mut self,
        context: &RequestContext,
        _guard: &ProcessLockGuard,
        kept: Result<Record, Error>,
    ) -> Result<ReleaseRefusal, Error> {
        let is_damaged = kept.as_ref().is_err_and(|error| error.status != Status::Storage);
        let mut record = kept.unwrap_or_else(|_| self.empty_record());
        // A borrow that may have been given back proves nothing to the process that comes next.
        let was_proof = record.proof.is_some() && !record.in_doubt;
        record.in_doubt |= was_proof;
        let record_write = match (was_proof, is_damaged) {
            (true, _) => RecordWrite::Must,
            (false, true) => RecordWrite::Not,
            (false, false) => RecordWrite::IfPossible,
        };
        // Until when, as it stands now: the answer may be heard when that is over, and tells of the time before.
        let outstanding = self.unanswered_until(context, &record);
        let ReleaseAnswer { left: refusal, in_order } = match self.request_release(context, &mut record, record_write) {
            Ok(released) => released,
            Err(error) => {
                record.in_doubt &= !(was_proof && error.outcome != Outcome::Unknown);
                if record_write == RecordWrite::Must {
                    self.write(&mut record, context)?;
                }
                return Err(error);
            }
        };
        let outstanding = outstanding.max(self.unanswered_until(context, &record));
        self.repeat_release_until = outstanding.filter(|_| self.is_floating && !in_order);
        // A record that still says "may hold" makes the next start ask once more. It must if a request may still be on its
        // way, or if the server will not speak to this device for now.
        record.may_hold =
            self.repeat_release_until.is_some() || refusal.as_ref().is_some_and(|error| !is_unknown_slot(error));
        (record.in_doubt, record.return_pending, record.proof, record.license_id) =
            (false, false, None, self.license_id);
        record.set_borrowed_by_verb(None);
        if !is_damaged || self.set_aside().is_ok() {
            let _ = self.write(&mut record, context);
        }
        Ok(refusal)
    }

    /// Asks until the server has surely let go, or refuses for good, or a request's time is over. Nobody else of this machine
    /// can take the slot meanwhile, so to repeat a release is to ask whether it was done.
    fn request_release(
        &mut self,
        context: &RequestContext,
        record: &mut Record,
        record_write: RecordWrite,
    ) -> Result<ReleaseAnswer, Error> {
        if !self.is_floating {
            return Ok(ReleaseAnswer { left: None, in_order: false });
        }
        let (operation, own) = self.operation(context, "release_license", "release_feature");
        let (mut unheard, started) = (false, Instant::now());
        loop {
            let error = match self.ask(context, record, record_write, operation, &own) {
                Ok(answer) => return Ok(ReleaseAnswer { left: None, in_order: answer.in_order }),
                Err(error) if error.is_refusal() => {
                    let in_order = error.in_order;
                    let left = (!is_not_held(error.status)).then_some(error);
                    return Ok(ReleaseAnswer { left, in_order });
                }
                Err(error) => error,
            };
            unheard |= error.outcome == Outcome::Unknown;
            if !unheard {
                return Err(error);
            }
            // The call may have time for requests about other slots.
            let is_over = error.status == Status::Cancelled || started.elapsed() >= context.timeout;
            if is_over || context.pause(jittered(Duration::from_millis(100))).is_err() {
                return Err(error.with_unknown_outcome());
            }
        }
    }
}

/// What the server says when there was nothing to give back.
fn is_not_held(status: Status) -> bool {
    matches!(status, Status::FloatingNotAvailable | Status::FloatingFeatureDeviceNotInUse)
}

/// Whether a refusal says that the server knows nothing of the slot, so that it can't count one. Otherwise it knows the
/// license and will not serve it, and its slot is free when its time is up.
fn is_unknown_slot(refusal: &Error) -> bool {
    let withheld = [Status::LicenseNotActive, Status::LicenseNotEnabled, Status::Blacklisted];
    let of_product = [Status::ArchivedProduct, Status::DisabledProduct];
    refusal.status.row().category != Category::Customer
        && !withheld.contains(&refusal.status)
        && !of_product.contains(&refusal.status)
}
