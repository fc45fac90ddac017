//! Leaving a slot: who gives it back to the server, and what the server's answer settles.

use crate::client::jittered;
use crate::error::{Error, Outcome};
use crate::lease::context::RequestContext;
use crate::lease::slot::process_lock::Gate;
use crate::lease::slot::record::Record;
use crate::lease::slot::{Keep, Slot, in_doubt, is_kept_as_borrowed};
use crate::lease::state_machine::Millis;
use crate::status::{Category, Status};
use std::time::{Duration, Instant};

/// Why a slot is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leave {
    /// The host gives it back, a borrow too.
    GiveBack,
    /// The host ends; what is borrowed stays borrowed.
    KeepBorrow,
}

/// A slot that was left: with the server's refusal, where it did not know of what to let go.
pub(crate) type Left = Option<Error>;

/// The server's word on a slot that was given back.
struct Released {
    left: Left,
    /// It carries out nothing that was sent before.
    in_order: bool,
}

impl Slot {
    /// Leaves the slot. The last process of this machine to leave gives it back to the server, before another can come
    /// in. If that fails the slot is kept.
    pub(crate) fn leave(&mut self, context: &RequestContext, leave: Leave) -> Result<Left, Error> {
        if self.seat.is_none() && !self.in_doubt {
            return Ok(None);
        }
        let gate = self.enter(context)?;
        let seat = match self.seat.take() {
            Some(seat) => seat,
            // To sit down and leave again finds out whether anybody else is there.
            None => gate.sit()?,
        };
        let kept = self.read();
        // A borrow that only another process, or another client, knows of is not this lease's to give back.
        let is_borrowed_here = self.lent || self.is_borrowed(context.clock);
        let is_anothers = !is_borrowed_here && kept.as_ref().is_ok_and(|record| is_kept_as_borrowed(record, context));
        let leave = if is_anothers { Leave::KeepBorrow } else { leave };
        if let (Err(error), Leave::GiveBack) = (&kept, leave)
            && error.status == Status::Storage
            && self.lent
        {
            // The proof of the borrow would go on being believed by a start without a network.
            self.seat = Some(seat);
            return Err(error.clone());
        }
        let is_lent = self.is_lent(&kept, context);
        let mut left = None;
        match gate.leave(seat).inspect_err(|_| self.in_doubt = true)? {
            None => {
                if let (Ok(mut record), true) = (kept, is_lent) {
                    // Others go on; what the host gives back is given back when the last of them leaves.
                    if leave == Leave::GiveBack {
                        (record.proof, record.unwanted) = (None, true);
                        record.set_borrowed_by_verb(None);
                    }
                    if let Err(error) = self.write(&mut record, context) {
                        self.seat = Some(gate.sit()?);
                        return Err(error);
                    }
                }
            }
            Some(_) if is_lent && leave == Leave::KeepBorrow => {
                if let Ok(mut record) = kept {
                    if !is_kept_as_borrowed(&record, context) {
                        // Only this process knows of it, and the next start would give it back.
                        record.set_borrowed_by_verb(self.borrowed_until);
                    }
                    self.write(&mut record, context)?;
                }
            }
            Some(last_out) => match self.give_back(context, &gate, kept) {
                Ok(refusal) => left = refusal,
                Err(error) => {
                    self.seat = Some(last_out.stay()?);
                    return Err(error);
                }
            },
        }
        (self.in_doubt, self.lent, self.borrowed_until) = (false, false, None);
        self.let_go_of_files();
        Ok(left)
    }

    /// Whether a borrow runs that only a release may end.
    fn is_lent(&self, kept: &Result<Record, Error>, context: &RequestContext) -> bool {
        match kept {
            // Another process may have given the borrow back, which the last one out tells the server.
            Ok(record) if record.unwanted => false,
            Ok(record) => is_kept_as_borrowed(record, context) || self.is_borrowed(context.clock),
            // The folder is closed to this process, which knows by itself what it has borrowed.
            Err(error) if error.status == Status::Storage => self.is_borrowed(context.clock),
            // What is damaged may prove a borrow; to lose one is worse than to leave a slot to its timeout.
            Err(_) => true,
        }
    }

    /// Whether leaving the slot with [`Leave::KeepBorrow`] lets nobody else have it.
    pub(crate) fn stays_borrowed(&self, context: &RequestContext) -> bool {
        self.is_lent(&self.read(), context)
    }

    /// Gives back what a process that is no more has left, if nobody is seated there and it is not borrowed. False if a
    /// late request may take it again, or if somebody is at it.
    pub(crate) fn settle(&mut self, context: &RequestContext) -> Result<bool, Error> {
        // Whoever stands there settles it himself, if he lives and the server answers him.
        let Some(gate) = self.try_enter() else { return Ok(false) };
        let record = self.read()?;
        if record.may_hold && !is_kept_as_borrowed(&record, context) && gate.is_empty()? {
            self.license_id = record.license_id;
            self.give_back(context, &gate, Ok(record))?;
        }
        Ok(self.settles_at.is_none())
    }

    /// When it is settled that the slot is given back: until then it is to be given back again, if that is not settled.
    pub(crate) fn settles_at(&self) -> Option<Millis> {
        self.settles_at
    }

    /// Gives the slot back once more, because a server that knows no order numbers may have carried out a late request
    /// since. Does nothing if another holder has taken the slot meanwhile, or has borrowed it.
    pub(crate) fn give_back_again(&mut self, context: &RequestContext) -> Result<(), Error> {
        if self.settles_at.is_none() {
            return Ok(());
        }
        let gate = self.enter(context)?;
        let kept = self.read();
        // A holder who has come and gone since may have left a borrow.
        if gate.is_empty()? && !self.is_lent(&kept, context) {
            self.give_back(context, &gate, kept)?;
        } else {
            self.settles_at = None;
        }
        drop(gate);
        self.let_go_of_files();
        Ok(())
    }

    /// Has the server let go of the slot, whose record says this. The caller is the last one out, or knows that there is
    /// nobody. Returns the server's refusal if it knows of no such slot: then there is nothing left to be given back.
    pub(crate) fn give_back(
        &mut self,
        context: &RequestContext,
        _gate: &Gate,
        kept: Result<Record, Error>,
    ) -> Result<Left, Error> {
        let is_damaged = kept.as_ref().is_err_and(|error| error.status != Status::Storage);
        let mut record = kept.unwrap_or_else(|_| self.fresh_record());
        // A borrow that may have been given back proves nothing to the process that comes next.
        let was_proof = record.proof.is_some() && !record.in_doubt;
        record.in_doubt |= was_proof;
        let keep = match (was_proof, is_damaged) {
            (true, _) => Keep::Must,
            (false, true) => Keep::Not,
            (false, false) => Keep::IfPossible,
        };
        // Until when, as it stands now: the answer may be heard when that is over, and tells of the time before.
        let outstanding = self.unanswered_until(context, &record);
        let Released { left: refusal, in_order } = match self.release(context, &mut record, keep) {
            Ok(released) => released,
            Err(error) => {
                record.in_doubt &= !(was_proof && error.outcome != Outcome::Unknown);
                if keep == Keep::Must {
                    self.write(&mut record, context)?;
                }
                return Err(error);
            }
        };
        let outstanding = outstanding.max(self.unanswered_until(context, &record));
        self.settles_at = outstanding.filter(|_| self.floats && !in_order);
        // A record that still says "may hold" makes the next start ask once more. It must if a request may still be on its
        // way, or if the server will not speak to this device for now.
        record.may_hold = self.settles_at.is_some() || refusal.as_ref().is_some_and(|error| !is_unknown_slot(error));
        (record.in_doubt, record.unwanted, record.proof, record.license_id) = (false, false, None, self.license_id);
        record.set_borrowed_by_verb(None);
        if !is_damaged || self.set_aside().is_ok() {
            let _ = self.write(&mut record, context);
        }
        Ok(refusal)
    }

    /// Asks until the server has surely let go, or refuses for good, or a request's time is over. Nobody else of this machine
    /// can take the slot meanwhile, so to repeat a release is to ask whether it was done.
    fn release(&mut self, context: &RequestContext, record: &mut Record, keep: Keep) -> Result<Released, Error> {
        if !self.floats {
            return Ok(Released { left: None, in_order: false });
        }
        let (operation, own) = self.verb(context, "release_license", "release_feature");
        let (mut unheard, started) = (false, Instant::now());
        loop {
            let error = match self.ask(context, record, keep, operation, &own) {
                Ok(answer) => return Ok(Released { left: None, in_order: answer.in_order }),
                Err(error) if error.is_refusal() => {
                    let in_order = error.in_order;
                    let left = (!is_not_held(error.status)).then_some(error);
                    return Ok(Released { left, in_order });
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
                return Err(in_doubt(error));
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
