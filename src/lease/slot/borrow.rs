//! Borrowing a slot, and what proves it later without a network.

use crate::client::Answer;
use crate::error::{Error, Outcome};
use crate::lease::context::{RequestContext, object, says};
use crate::lease::slot::process_lock::{ProcessLock, ProcessLockGuard};
use crate::lease::slot::record::{Proof, Record, Signed, borrowed_until};
use crate::lease::slot::{Confirmation, RecordWrite, Slot, SlotStatus, is_stored_as_borrowed};
use crate::model;
use crate::status::Status;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use std::path::Path;

/// A slot that was borrowed.
pub(crate) struct Borrowed {
    pub(crate) confirmation: Confirmation,
    pub(crate) before: BorrowSnapshot,
}

/// The borrow of a slot as it stood before the slot was borrowed anew.
pub(crate) struct BorrowSnapshot {
    proof: Option<Proof>,
    /// Until when it runs, whoever has made it; `None`: there is none.
    runs_until: Option<DateTime<Utc>>,
    /// What this lease knew of it.
    borrowed: bool,
    until: Option<DateTime<Utc>>,
}

impl Slot {
    /// Borrows the slot that is held, and keeps what proves it. Until it has that, a borrow that runs already stands as
    /// it is kept, whatever becomes of the request.
    pub(crate) fn borrow(&mut self, context: &RequestContext, until: &Value) -> Result<Borrowed, Error> {
        let guard = self.lock(context)?;
        let mut record = self.read()?;
        let before = self.borrow_snapshot(context, &record);
        record.may_hold = true;
        // The server may let go of the slot before the date that is proven, as soon as it is asked for an earlier one.
        let was_in_doubt = record.in_doubt;
        record.in_doubt |= record.proof.is_some() && ends_sooner(until, before.runs_until);
        let asked_at = context.clock.now();
        let (borrow, license) = match self.borrow_at_server(context, &mut record, &guard, until) {
            Ok(replies) => replies,
            Err(error) => {
                if error.outcome == Outcome::Unknown {
                    self.in_doubt = true;
                } else {
                    record.in_doubt = was_in_doubt;
                    // That nothing is outstanding is worth no other error.
                    let _ = self.write(&mut record, context);
                }
                return Err(error);
            }
        };
        let proof = Proof { license: Signed::from(&license), borrow: borrow.as_ref().map(Signed::from) };
        let ends = proof
            .until(context.client, context.license_ref, self.feature.as_deref())
            .map_err(Error::with_unknown_outcome)?;
        record.note_server_time(context, &license);
        (record.proof, record.in_doubt, record.return_pending) = (Some(proof), false, false);
        self.write(&mut record, context).map_err(Error::with_unknown_outcome)?;
        (self.borrowed, self.borrowed_until) = (true, Some(ends));
        let left_ms = (ends - context.wall_of(&license)).num_milliseconds();
        let reply = borrow.unwrap_or(license).text;
        let status = SlotStatus::Borrowed { asked_at, until: ends, left_ms };
        let doubted_until = context.given_back_until(self.feature.as_deref());
        let confirmation =
            Confirmation { status, reply: Some(reply), borrowed_until: Some(ends), is_floating: true, doubted_until };
        Ok(Borrowed { confirmation, before })
    }

    /// Goes back to the borrow of before, because the other slots of the lease could not have the new one. If there was
    /// none, the borrow ends: the server can't be asked to go on holding the slot without it, so nothing is asked now.
    pub(crate) fn undo_borrow(&mut self, context: &RequestContext, before: BorrowSnapshot) -> Result<(), Error> {
        let is_running = before.runs_until.is_some();
        let is_shorter = self.borrowed_until.zip(before.runs_until).is_some_and(|(until, before)| until < before);
        let known_here = (before.borrowed && is_running, before.until.filter(|_| is_running));
        {
            let _guard = self.lock(context)?;
            let mut record = self.read()?;
            record.proof = before.proof.filter(|_| is_running);
            // The server lets go of the slot sooner than was proven, until it is asked for the old date.
            record.in_doubt = is_shorter && record.proof.is_some();
            record.return_pending = !is_running;
            (self.borrowed, self.borrowed_until) = known_here;
            self.write(&mut record, context)?;
        }
        // If the server holds the slot for longer now and can't be asked for the old date, it lets go of it at the new one, or
        // when the slot is given back.
        if let Some(date) = before.runs_until.filter(|date| *date < DateTime::<Utc>::MAX_UTC) {
            let _ = self.borrow(context, &model::format_time(date).into());
            // What another has borrowed is still his.
            (self.borrowed, self.borrowed_until) = known_here;
        }
        Ok(())
    }

    /// The borrow as the record says that it stands: made by this lease, by another one, or by a verb.
    fn borrow_snapshot(&self, context: &RequestContext, record: &Record) -> BorrowSnapshot {
        let proven_until =
            |proof: &Proof| proof.until(context.client, context.license_ref, self.feature.as_deref()).ok();
        let ends = [record.proof.as_ref().and_then(proven_until), record.borrowed_by_verb_until(), self.borrowed_until];
        let runs = |end: &DateTime<Utc>| !record.return_pending && *end > context.clock.wall();
        let runs_until = ends.into_iter().flatten().filter(runs).max();
        BorrowSnapshot { proof: record.proof.clone(), runs_until, borrowed: self.borrowed, until: self.borrowed_until }
    }

    /// Whether a borrow until then would end before the one that this lease knows of.
    pub(crate) fn would_shorten(&self, until: &Value) -> bool {
        ends_sooner(until, self.borrowed_until)
    }

    /// The borrow's reply, if one came, and the license as it stood afterwards.
    fn borrow_at_server(
        &mut self,
        context: &RequestContext,
        record: &mut Record,
        guard: &ProcessLockGuard,
        until: &Value,
    ) -> Result<(Option<Answer>, Answer), Error> {
        let (operation, mut own) = self.operation(context, "borrow_license", "borrow_feature");
        own.push(("borrowed_until", until.clone()));
        let mut tries = 3;
        loop {
            let mark_in_doubt = match self.ask(context, record, RecordWrite::Must, operation, &own) {
                Ok(borrow) => {
                    return Ok((
                        Some(borrow),
                        self.license(context, record, guard).map_err(Error::with_unknown_outcome)?,
                    ));
                }
                Err(error) if error.outcome == Outcome::Unknown => error,
                Err(error) => return Err(error),
            };
            tries -= 1;
            if mark_in_doubt.status == Status::Cancelled || tries == 0 {
                return Err(mark_in_doubt);
            }
            // Whether it was done is asked; if the answer tells no date, borrowing again until the same date does.
            let license = self.license(context, record, guard).map_err(|_| mark_in_doubt)?;
            if borrowed_until(&object(&license), self.feature.as_deref()).is_some() {
                return Ok((None, license));
            }
        }
    }

    /// The license as it stands, asked by whoever stands in this slot's gate.
    fn license(
        &mut self,
        context: &RequestContext,
        record: &mut Record,
        _guard: &ProcessLockGuard,
    ) -> Result<Answer, Error> {
        match (&self.feature, self.folder()) {
            (Some(_), Some(folder)) => match Slot::peek(context, None, self.license_id, folder) {
                // An activation tells the same of a device that is activated, and needs no slot.
                Err(error) if error.status == Status::FloatingNotAvailable => {
                    let license = self.license_id.filter(|_| context.license_ref.license_id.is_none());
                    let own: Vec<_> = license.into_iter().map(|id| ("license_id", id.into())).collect();
                    self.ask(context, record, RecordWrite::IfPossible, "activate_license", &own)
                }
                license => {
                    self.orphaned_license_slot |= license.is_err();
                    license
                }
            },
            // To ask about the license could take a slot of it, which nothing would remember.
            (Some(_), None) => Err(Error::new(Status::MissingKey)),
            (None, _) => {
                let (operation, own) = self.operation(context, "check_license", "check_feature");
                self.ask(context, record, RecordWrite::IfPossible, operation, &own)
            }
        }
    }

    /// A feature, or the license, as it stands. If it floats, to ask takes a slot of it: one that nobody of this machine
    /// has is given back at once.
    pub(crate) fn peek(
        context: &RequestContext,
        feature: Option<&str>,
        license_id: Option<u64>,
        folder: &Path,
    ) -> Result<Answer, Error> {
        let process_lock = ProcessLock::on_disk(folder, &context.license_ref.file_stem(feature));
        let mut slot = Slot::new(context.license_ref, feature, process_lock, Some(folder))?;
        slot.license_id = license_id;
        let guard = slot.lock(context)?;
        let mut record = slot.read()?;
        let is_unused = guard.has_no_holder()? && !is_stored_as_borrowed(&record, context);
        record.may_hold = true;
        let (operation, own) = slot.operation(context, "check_license", "check_feature");
        let answer = slot.ask(context, &mut record, RecordWrite::Must, operation, &own);
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

    /// The server's yes, and whether the slot is borrowed besides: by its word, or by a proof that was kept. What proves
    /// it is put into the record.
    pub(crate) fn update_proof(
        &mut self,
        context: &RequestContext,
        guard: &ProcessLockGuard,
        record: &mut Record,
        said: Confirmation,
        answer: &Answer,
    ) -> Confirmation {
        if record.in_doubt && !answer.in_order && self.unanswered_until(context, record).is_some() {
            // The request that may end the borrow can still be carried out.
            return said;
        }
        // What may have ended the borrow has not, if the server says that it runs.
        record.in_doubt &= !says(&object(answer), "is_borrowed");
        let confirmation = apply_stored_proof(context, record, said, answer);
        let kept = record.proof.take().filter(|_| !record.in_doubt);
        record.in_doubt = false;
        if record.return_pending {
            return confirmation;
        }
        if matches!(confirmation.status, SlotStatus::Borrowed { .. }) {
            // Of itself the license tells all.
            let told = || Some(Proof { license: Signed::from(answer), borrow: None });
            record.proof = if self.feature.is_none() { told() } else { kept };
            return confirmation;
        }
        if self.feature.is_none() || !says(&object(answer), "is_borrowed") {
            return confirmation;
        }
        // It was borrowed by somebody who could not keep the proof, or is to end sooner than was proven: the license may tell.
        let Ok(license) = self.license(context, record, guard) else {
            (record.in_doubt, record.proof) = (kept.is_some(), kept);
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

/// Whether this date of a request comes before that end of a borrow.
fn ends_sooner(until: &Value, than: Option<DateTime<Utc>>) -> bool {
    let until = until.as_str().and_then(model::parse_time);
    until.zip(than).is_some_and(|(until, than)| until < than)
}

/// The API's word on a feature need not tell that it is borrowed, and until when; a kept proof does, unless the word is
/// that it is not, or that it ends sooner.
pub(crate) fn apply_stored_proof(
    context: &RequestContext,
    record: &Record,
    said: Confirmation,
    answer: &Answer,
) -> Confirmation {
    let SlotStatus::Held { asked_at, .. } = said.status else { return said };
    let denied = object(answer).get("is_borrowed") == Some(&Value::Bool(false));
    let proof = record.proof.as_ref().filter(|_| record.feature.is_some() && !record.in_doubt && !denied);
    let wall = context.wall_of(answer);
    let until =
        proof.and_then(|proof| proof.until(context.client, context.license_ref, record.feature.as_deref()).ok());
    // Replies need not tell dates with the same precision.
    let told = borrowed_until(&object(answer), None).and_then(|told| told.checked_add_signed(TimeDelta::seconds(1)));
    match until.filter(|until| *until > wall && told.is_none_or(|told| *until <= told)) {
        Some(until) => {
            let left_ms = (until - wall).num_milliseconds();
            Confirmation { status: SlotStatus::Borrowed { asked_at, until, left_ms }, ..said }
        }
        None => said,
    }
}
