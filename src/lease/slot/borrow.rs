//! Borrowing a slot, and the proof of it that a later start without a network relies on.

use crate::client::Answer;
use crate::error::{Error, Outcome};
use crate::lease::context::{RequestContext, object, says};
use crate::lease::slot::proof::{Proof, Signed, borrowed_until};
use crate::lease::slot::record::Record;
use crate::lease::slot::request::RecordWrite;
use crate::lease::slot::state::Slot;
use crate::lease::slot::status::{Confirmation, SlotStatus};
use crate::lease::storage::process_lock::ProcessLockGuard;
use crate::model;
use crate::status::Status;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;

/// How often a borrow is asked for whose reply is lost.
const MOST_TRIES: u32 = 3;

/// A borrow that was made, and the one that it replaces.
pub(crate) struct NewBorrow {
    pub(crate) confirmation: Confirmation,
    pub(crate) before: BorrowSnapshot,
}

/// The borrow of a slot before the slot was borrowed again.
pub(crate) struct BorrowSnapshot {
    proof: Option<Proof>,
    /// The end of the borrow, by whomever it was made; `None`: no borrow was running.
    runs_until: Option<DateTime<Utc>>,
    /// True if this lease had made the borrow.
    borrowed: bool,
    borrowed_until: Option<DateTime<Utc>>,
}

impl Slot {
    /// Borrows the slot that is held until the date `until` of the request, and stores the proof. Until the proof is
    /// stored, an earlier borrow stays stored as it is.
    pub(crate) fn borrow(&mut self, context: &RequestContext, until: &Value) -> Result<NewBorrow, Error> {
        let guard = self.lock(context)?;
        let mut record = self.read()?;
        let before = self.borrow_snapshot(context, &record);
        record.may_hold = true;
        let was_in_doubt = record.in_doubt;
        if ends_sooner(until, before.runs_until) {
            // As soon as the server is asked for an earlier date, it may free the slot before the date that is proven.
            record.mark_borrow_in_doubt();
        }
        let asked_at = context.shared.clock.now();
        let (borrow, license) = match self.borrow_at_server(context, &mut record, &guard, until) {
            Ok(replies) => replies,
            Err(error) => {
                if error.outcome == Outcome::Unknown {
                    self.in_doubt = true;
                } else {
                    record.in_doubt = was_in_doubt;
                    // The host hears of the borrow's failure, which matters more than a failure to store this.
                    let _ = self.write(&mut record, context);
                }
                return Err(error);
            }
        };
        let proof = Proof { license: Signed::from(&license), borrow: borrow.as_ref().map(Signed::from) };
        let end = proof.until(context, self.feature.as_deref()).map_err(Error::with_unknown_outcome)?;
        record.mark_borrowed(proof);
        self.write(&mut record, context).map_err(Error::with_unknown_outcome)?;
        (self.borrowed, self.borrowed_until) = (true, Some(end));
        let confirmation = Confirmation {
            status: SlotStatus::Borrowed { asked_at, until: end, ends_at: context.shared.clock.moment_of(end) },
            reply: Some(borrow.unwrap_or(license).text),
            borrowed_until: Some(end),
            is_floating: true,
            doubted_until: context.given_back_until(self.feature.as_deref()),
        };
        Ok(NewBorrow { confirmation, before })
    }

    /// Restores the borrow of before, because the other slots of the lease could not be borrowed. If there was none, the
    /// borrow ends with the release: the server can't be asked to hold the slot without it.
    pub(crate) fn undo_borrow(&mut self, context: &RequestContext, before: BorrowSnapshot) -> Result<(), Error> {
        let is_running = before.runs_until.is_some();
        let is_shorter = self.borrowed_until.zip(before.runs_until).is_some_and(|(until, before)| until < before);
        let known_before = (before.borrowed && is_running, before.borrowed_until.filter(|_| is_running));
        {
            let _guard = self.lock(context)?;
            let mut record = self.read()?;
            // If the new borrow is shorter, the old proof is in doubt until the server was asked for the old date.
            record.restore_borrow(before.proof.filter(|_| is_running), is_shorter, !is_running);
            (self.borrowed, self.borrowed_until) = known_before;
            self.write(&mut record, context)?;
        }
        // Best effort: if this fails, the server frees the slot at the new date, or when the slot is released.
        if let Some(date) = before.runs_until.filter(|date| *date < DateTime::<Utc>::MAX_UTC) {
            let _ = self.borrow(context, &model::format_time(date).into());
            // A borrow by another process or a verb does not become this lease's.
            (self.borrowed, self.borrowed_until) = known_before;
        }
        Ok(())
    }

    /// The borrow that runs now: by this lease, another one, or a verb.
    fn borrow_snapshot(&self, context: &RequestContext, record: &Record) -> BorrowSnapshot {
        let proven_until = |proof: &Proof| proof.until(context, self.feature.as_deref()).ok();
        let ends = [record.proof.as_ref().and_then(proven_until), record.borrowed_by_verb_until(), self.borrowed_until];
        let date = record.earliest_date(&context.shared.clock);
        let is_running = |end: &DateTime<Utc>| !record.return_pending && *end > date;
        BorrowSnapshot {
            proof: record.proof.clone(),
            runs_until: ends.into_iter().flatten().filter(is_running).max(),
            borrowed: self.borrowed,
            borrowed_until: self.borrowed_until,
        }
    }

    /// Returns whether a borrow until this date would end before the one that this lease knows of.
    pub(crate) fn would_shorten(&self, until: &Value) -> bool {
        ends_sooner(until, self.borrowed_until)
    }

    /// Asks the server to lend the slot. Returns the borrow's reply, if one came, and the license as it was afterwards.
    fn borrow_at_server(
        &mut self,
        context: &RequestContext,
        record: &mut Record,
        guard: &ProcessLockGuard,
        until: &Value,
    ) -> Result<(Option<Answer>, Answer), Error> {
        let (operation, mut own) = self.operation(context, "borrow_license", "borrow_feature");
        own.push(("borrowed_until", until.clone()));
        let mut tries = 0;
        loop {
            let lost = match self.ask(context, record, RecordWrite::Required, operation, &own) {
                Ok(borrow) => {
                    let license = self.license(context, record, guard).map_err(Error::with_unknown_outcome)?;
                    return Ok((Some(borrow), license));
                }
                Err(error) if error.outcome == Outcome::Unknown => error,
                Err(error) => return Err(error),
            };
            tries += 1;
            if lost.status == Status::Cancelled || tries == MOST_TRIES {
                return Err(lost);
            }
            // The license may tell the date of the borrow. If it does not, borrowing again until the same date does.
            let license = self.license(context, record, guard).map_err(|_| lost)?;
            if borrowed_until(&object(&license), self.feature.as_deref()).is_some() {
                return Ok((None, license));
            }
        }
    }

    /// Asks for the license of this slot. The caller holds the slot's process lock, as the guard shows.
    fn license(
        &mut self,
        context: &RequestContext,
        record: &mut Record,
        _guard: &ProcessLockGuard,
    ) -> Result<Answer, Error> {
        match (&self.feature, self.folder()) {
            (Some(_), Some(_)) => match Slot::peek(context, None, self.license_id) {
                // All slots of the license are taken. An activation returns the same reply for a device that is already
                // activated, and needs no slot.
                Err(error) if error.status == Status::FloatingNotAvailable => {
                    let license = self.license_id.filter(|_| context.license_ref.license_id.is_none());
                    let own: Vec<_> = license.into_iter().map(|id| ("license_id", id.into())).collect();
                    self.ask(context, record, RecordWrite::BestEffort, "activate_license", &own)
                }
                license => {
                    self.stray_license_slot |= license.is_err();
                    license
                }
            },
            // Asking for the license could take a slot of it, which could not be noted anywhere.
            (Some(_), None) => Err(Error::new(Status::MissingKey)),
            (None, _) => {
                let (operation, own) = self.operation(context, "check_license", "check_feature");
                self.ask(context, record, RecordWrite::BestEffort, operation, &own)
            }
        }
    }

    /// Checks a feature, or the license, without keeping its slot. If it floats, the check takes a slot, which is released
    /// at once unless this machine holds it.
    pub(crate) fn peek(
        context: &RequestContext,
        feature: Option<&str>,
        license_id: Option<u64>,
    ) -> Result<Answer, Error> {
        let mut slot = Slot::new(context.shared, context.license_ref, feature)?;
        slot.license_id = license_id;
        let guard = slot.lock(context)?;
        let mut record = slot.read()?;
        let is_unused = guard.has_no_holder()? && !record.is_borrowed(context);
        record.may_hold = true;
        let (operation, own) = slot.operation(context, "check_license", "check_feature");
        let answer = slot.ask(context, &mut record, RecordWrite::Required, operation, &own);
        match &answer {
            Ok(answer) if is_unused && says(&object(answer), "is_floating_cloud") => {
                slot.release_at_server(context, &guard, Ok(record))?;
            }
            Err(error) if !error.is_refusal() => {}
            _ if is_unused => {
                record.may_hold = false;
                slot.write(&mut record, context)?;
            }
            _ => {}
        }
        answer
    }

    /// Adds to the server's confirmation what the stored proof says of a borrow, and puts the proof that holds from now on
    /// into the record.
    pub(super) fn update_proof(
        &mut self,
        context: &RequestContext,
        guard: &ProcessLockGuard,
        record: &mut Record,
        confirmation: Confirmation,
        answer: &Answer,
    ) -> Confirmation {
        if record.in_doubt && !answer.in_order && self.unanswered_until(context, record).is_some() {
            // The request that may end the borrow can still be carried out.
            return confirmation;
        }
        // If the server says that the borrow runs, the request that may have ended it has not.
        record.in_doubt &= !says(&object(answer), "is_borrowed");
        let confirmation = apply_stored_proof(context, record, confirmation, answer);
        let stored = record.proof.take().filter(|_| !record.in_doubt);
        record.in_doubt = false;
        if record.return_pending {
            return confirmation;
        }
        if matches!(confirmation.status, SlotStatus::Borrowed { .. }) {
            // A reply about the license itself contains the whole proof.
            let told = || Some(Proof { license: Signed::from(answer), borrow: None });
            record.proof = if self.feature.is_none() { told() } else { stored };
            return confirmation;
        }
        if self.feature.is_none() || !says(&object(answer), "is_borrowed") {
            return confirmation;
        }
        self.prove_by_license(context, guard, record, stored, confirmation, answer)
    }

    /// The feature is borrowed, and no stored proof says until when, or it is to end sooner than the stored proof says.
    /// Asks for the license, which may tell.
    fn prove_by_license(
        &mut self,
        context: &RequestContext,
        guard: &ProcessLockGuard,
        record: &mut Record,
        stored: Option<Proof>,
        confirmation: Confirmation,
        answer: &Answer,
    ) -> Confirmation {
        let Ok(license) = self.license(context, record, guard) else {
            (record.in_doubt, record.proof) = (stored.is_some(), stored);
            return confirmation;
        };
        record.proof = Some(Proof { license: Signed::from(&license), borrow: None });
        let confirmation = apply_stored_proof(context, record, confirmation, answer);
        if matches!(confirmation.status, SlotStatus::Held { .. }) {
            record.proof = None;
        }
        confirmation
    }
}

/// Returns whether the date of a request comes before that end of a borrow.
fn ends_sooner(until: &Value, than: Option<DateTime<Utc>>) -> bool {
    let until = until.as_str().and_then(model::parse_time);
    until.zip(than).is_some_and(|(until, than)| until < than)
}

/// Turns the confirmation of a held feature into one of a borrow, if the stored proof says that it is borrowed.
///
/// The API does not require a feature's reply to tell of a borrow or of its end. The proof counts, unless the reply denies
/// the borrow, or tells an earlier end.
pub(super) fn apply_stored_proof(
    context: &RequestContext,
    record: &Record,
    confirmation: Confirmation,
    answer: &Answer,
) -> Confirmation {
    let SlotStatus::Held { asked_at, .. } = confirmation.status else { return confirmation };
    let is_denied = object(answer).get("is_borrowed") == Some(&Value::Bool(false));
    let proof = record.proof.as_ref().filter(|_| record.feature.is_some() && !record.in_doubt && !is_denied);
    let clock = &context.shared.clock;
    let until = proof.and_then(|proof| proof.until(context, record.feature.as_deref()).ok());
    // Replies may tell the same date with a precision of a second, or with a finer one.
    let told = borrowed_until(&object(answer), None);
    let is_same = |until: DateTime<Utc>| told.is_none_or(|told| until - told <= TimeDelta::seconds(1));
    match until.filter(|until| *until > clock.server_date() && is_same(*until)) {
        Some(until) => {
            // Of both dates, which the server has signed, the earlier one ends the borrow.
            let ends_at = clock.moment_of(told.map_or(until, |told| told.min(until)));
            Confirmation { status: SlotStatus::Borrowed { asked_at, until, ends_at }, ..confirmation }
        }
        None => confirmation,
    }
}
