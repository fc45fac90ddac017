//! Taking a slot. Each step is on disk before its request leaves, and other processes are locked out meanwhile.

use crate::client::Answer;
use crate::error::{Error, Outcome};
use crate::lease::context::{RequestContext, object};
use crate::lease::slot::record::Record;
use crate::lease::slot::request::RecordWrite;
use crate::lease::slot::state::Slot;
use crate::lease::slot::status::{Confirmation, SlotStatus, named_license};
use crate::lease::state_machine::Millis;
use crate::lease::storage::process_lock::{HolderLock, ProcessLockGuard};
use crate::status::Status;
use chrono::{DateTime, Utc};
use serde_json::Value;

/// An acquire that asks the server: what was found on this machine, and what is about to be stored.
struct Attempt {
    guard: ProcessLockGuard,
    holder: HolderLock,
    record: Record,
    /// True if the record that was there can't be read.
    is_damaged: bool,
    /// True if the record said that the server may count the slot.
    may_have_held: bool,
    /// True if no other process of this machine holds the slot.
    is_only_process: bool,
    /// The license of the slot as this lease knew it.
    own_license_id: Option<u64>,
    /// Until this moment, a server without order numbers may carry out an earlier request that got no answer.
    doubted_until: Option<Millis>,
    /// Why a stored borrow could not be resumed, if one is stored.
    unproven: Option<Error>,
}

impl Slot {
    /// Takes the slot: from a borrow that the record proves, else from the server.
    pub(crate) fn acquire(&mut self, context: &RequestContext) -> Result<Confirmation, Error> {
        let guard = self.lock(context)?;
        let stored = self.read();
        let unproven = match stored.as_ref().map(|record| record.proven_until(context)) {
            Ok(Ok(Some(until))) => return self.resume_borrow(context, &guard, stored?, until),
            Ok(Ok(None)) => None,
            Ok(Err(error)) => Some(error),
            // The record itself may be as it should be, so it must not be set aside as a damaged one is.
            Err(error) if error.status == Status::OutOfResources => return Err((*error).clone()),
            Err(error) => Some((*error).clone()),
        };
        let mut attempt = self.begin_attempt(context, guard, stored, unproven)?;
        match self.ask_for_slot(context, &mut attempt) {
            Ok((confirmation, answer)) => Ok(self.finish_acquire(context, attempt, confirmation, &answer)),
            Err(error) => Err(self.after_refusal_or_failure(context, attempt, error)?),
        }
    }

    /// Takes the slot without a request: the record proves that it is borrowed until this date.
    fn resume_borrow(
        &mut self,
        context: &RequestContext,
        guard: &ProcessLockGuard,
        mut record: Record,
        until: DateTime<Utc>,
    ) -> Result<Confirmation, Error> {
        self.write(&mut record, context)?;
        self.add_holder(guard)?;
        Ok(self.proven_borrow(context, record, until))
    }

    /// Counts this process among the holders of the slot.
    pub(super) fn add_holder(&mut self, guard: &ProcessLockGuard) -> Result<(), Error> {
        let holder = guard.add_holder()?;
        (self.open_lock_files, self.holder) = (guard.keep_open(&holder), Some(holder));
        Ok(())
    }

    /// The confirmation of a borrow that the record proves until this date.
    pub(super) fn proven_borrow(
        &mut self,
        context: &RequestContext,
        record: Record,
        until: DateTime<Utc>,
    ) -> Confirmation {
        (self.borrowed, self.borrowed_until, self.license_id) = (true, Some(until), record.license_id);
        let clock = &context.shared.clock;
        clock.set_stored_skew(record.skew_ms());
        let status = SlotStatus::Borrowed { asked_at: clock.now(), until, ends_at: clock.moment_of(until) };
        let license = record.proof.map(|proof| proof.license.body).filter(|_| self.feature.is_none());
        Confirmation { status, reply: license, borrowed_until: Some(until), is_floating: true, doubted_until: None }
    }

    /// Does everything that can fail on this machine before the server is asked.
    fn begin_attempt(
        &mut self,
        context: &RequestContext,
        guard: ProcessLockGuard,
        stored: Result<Record, Error>,
        unproven: Option<Error>,
    ) -> Result<Attempt, Error> {
        let is_only_process = guard.has_no_holder()?;
        let holder = guard.add_holder()?;
        self.open_lock_files = guard.keep_open(&holder);
        let is_damaged = stored.is_err();
        let mut record = stored.unwrap_or_else(|_| self.empty_record());
        let may_have_held = std::mem::replace(&mut record.may_hold, true);
        // A lease that takes its slot again keeps its license. A new lease continues with the license of the record.
        let own_license_id = self.license_id;
        self.license_id = own_license_id.or(record.license_id.filter(|_| may_have_held));
        let doubted_until = self.unanswered_until(context, &record);
        Ok(Attempt {
            guard,
            holder,
            record,
            is_damaged,
            may_have_held,
            is_only_process,
            own_license_id,
            doubted_until,
            unproven,
        })
    }

    fn ask_for_slot(
        &mut self,
        context: &RequestContext,
        attempt: &mut Attempt,
    ) -> Result<(Confirmation, Answer), Error> {
        let record_write = if attempt.is_damaged { RecordWrite::Forbidden } else { RecordWrite::Required };
        let checked = self.check(context, &mut attempt.record, record_write);
        let license_is_from_record =
            attempt.own_license_id.is_none() && self.license_id.is_some() && context.license_ref.license_id.is_none();
        if attempt.is_only_process && license_is_from_record && checked.as_ref().is_err_and(Error::is_refusal) {
            // The license of the record is refused, and no process works with it. The user may have another one by now.
            self.license_id = None;
            return self.check(context, &mut attempt.record, record_write);
        }
        checked
    }

    /// Stores what the server has confirmed. Nothing here may fail the acquire, because the server counts the slot, and
    /// the record already says that it may.
    fn finish_acquire(
        &mut self,
        context: &RequestContext,
        attempt: Attempt,
        confirmation: Confirmation,
        answer: &Answer,
    ) -> Confirmation {
        let Attempt { guard, holder, mut record, is_damaged, doubted_until, .. } = attempt;
        self.holder = Some(holder);
        let reply = object(answer);
        self.license_id = named_license(&reply, self.feature.as_deref()).or(self.license_id);
        record.license_id = self.license_id;
        if reply.get("is_borrowed") == Some(&Value::Bool(false)) {
            // A borrow by a verb was ended by a process that could not write this record.
            record.set_borrowed_by_verb(None);
        }
        let confirmation = Confirmation { doubted_until: doubted_until.filter(|_| !answer.in_order), ..confirmation };
        let confirmation = self.update_proof(context, &guard, &mut record, confirmation, answer);
        if !is_damaged || self.set_aside().is_ok() {
            let _ = self.write(&mut record, context);
        }
        self.borrowed = record.proof.is_some();
        self.remember(&confirmation);
        self.in_doubt = false;
        confirmation
    }

    /// Takes back what the attempt has changed, as far as the server surely does not count the slot. Returns the error
    /// for the host.
    fn after_refusal_or_failure(
        &mut self,
        context: &RequestContext,
        attempt: Attempt,
        error: Error,
    ) -> Result<Error, Error> {
        let Attempt { guard: _guard, holder, mut record, .. } = attempt;
        drop(holder);
        (self.open_lock_files, self.license_id) = (None, attempt.own_license_id);
        let is_surely_free = error.is_refusal() || error.status == Status::NotFloating;
        // A server without order numbers may carry out an earlier request after it has refused this one.
        let may_come_late = attempt.doubted_until.is_some() && !error.in_order;
        let is_uncertain = self.in_doubt || error.outcome == Outcome::Unknown;
        self.in_doubt = may_come_late || is_uncertain && !is_surely_free;
        let is_as_before =
            is_surely_free && attempt.is_only_process || error.outcome == Outcome::NotSent && !attempt.may_have_held;
        if is_as_before && !attempt.is_damaged {
            record.mark_not_acquired(may_come_late, is_surely_free);
            self.write(&mut record, context)?;
        }
        Ok(match attempt.unproven.or_else(|| self.foreign_record(context.license_ref)) {
            Some(reason) if !is_surely_free => with_local_reason(reason, error),
            _ => error,
        })
    }
}

/// Puts the local reason first, because the host can do something about it. The server's silence only made it matter.
fn with_local_reason(reason: Error, error: Error) -> Error {
    let detail = reason.detail.as_deref().unwrap_or_default();
    let detail = format!("{detail} The server can't be asked: {}", error.message());
    let mut error = error.with_detail(detail.trim());
    error.status = reason.status;
    error
}
