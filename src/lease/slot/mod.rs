//! One slot at the server: taking and renewing it. Each step is on disk before its request leaves, and the process that
//! takes or leaves the slot stands in the slot's gate meanwhile.

pub(crate) mod borrow;
pub(crate) mod process_lock;
pub(crate) mod record;
pub(crate) mod release;

use crate::client::Answer;
use crate::error::{Error, Outcome};
use crate::lease::acquire_request::LicenseRef;
use crate::lease::clock::Clock;
use crate::lease::context::{RequestContext, object, says};
use crate::lease::slot::borrow::apply_stored_proof;
use crate::lease::slot::process_lock::{HolderLock, OpenLockFiles, ProcessLock, ProcessLockGuard};
use crate::lease::slot::record::{Proof, Record, borrowed_until};
use crate::lease::state_machine::{Millis, NEVER};
use crate::lease::storage::retry::retry_while_in_use;
use crate::lease::storage::sealed_file::{SealedFile, beside};
use crate::lease::unanswered::Late;
use crate::model;
use crate::status::Status;
use crate::strict::Object;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// How the server says a slot stands.
#[derive(Debug, Clone, Copy)]
pub(crate) enum SlotStatus {
    /// Ours until so long after it was asked, and no longer than the license or the feature runs.
    Held { asked_at: Millis, timeout_ms: i64, expires_at: Millis },
    /// Ours until a date, which is so far away.
    Borrowed { asked_at: Millis, until: DateTime<Utc>, left_ms: i64 },
}

/// The server's yes, or its kept word.
#[derive(Debug, Clone)]
pub(crate) struct Confirmation {
    pub(crate) status: SlotStatus,
    /// Its reply, if it was asked now.
    pub(crate) reply: Option<String>,
    /// The server says that the slot is borrowed: until then, or for longer than anybody knows.
    pub(crate) borrowed_until: Option<DateTime<Utc>>,
    /// Whether there is a slot to be held: what does not float is merely asked about from time to time.
    pub(crate) is_floating: bool,
    /// Until then the server may carry out a request of before that takes the slot away.
    pub(crate) doubted_until: Option<Millis>,
}

/// Whether the record must be on disk before a request leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RecordWrite {
    /// Else the request does not leave.
    Must,
    /// Else it leaves all the same: what is at stake at the server is worth more.
    IfPossible,
    /// It must not be touched before the server has spoken.
    Not,
}

/// The server's `Date` tells whole seconds, so its clock may be this much further.
const DATE_STEP_MS: i64 = 1_000;

/// So long a license that does not float is believed to be ours, if the server names no time.
const UNFLOATING_TIMEOUT_MS: i64 = 120 * 60_000;

/// What a reply says of a license, or a feature, that nobody may use.
const NO_RIGHT: [(&str, bool, Status); 3] = [
    ("is_expired", true, Status::LicenseExpired),
    ("license_active", false, Status::LicenseNotActive),
    ("license_enabled", false, Status::LicenseNotEnabled),
];

/// A slot, and a seat at it while it is ours.
pub(crate) struct Slot {
    pub(crate) feature: Option<String>,
    process_lock: ProcessLock,
    file: Option<SealedFile>,
    path: Option<PathBuf>,
    pub(crate) holder: Option<HolderLock>,
    /// The lock files, kept open until it is settled that the slot is given back: that must not depend on the folder.
    pub(crate) open_lock_files: Option<OpenLockFiles>,
    /// The server was asked for it, and nobody knows what it did, or is going to do when it gets to it.
    pub(crate) in_doubt: bool,
    /// The slot was given back while a request about it had no answer, which a server that knows no order numbers may
    /// carry out until then: it is to be given back again.
    pub(crate) repeat_release_until: Option<Millis>,
    /// A question about the feature's license got no answer, and may have taken a slot of the license.
    pub(crate) orphaned_license_slot: bool,
    /// It was borrowed, and the record proves it, as far as this process knows.
    pub(crate) borrowed: bool,
    /// The server, or a verb of this client, has said that it is borrowed until then.
    pub(crate) borrowed_until: Option<DateTime<Utc>>,
    /// The license whose slot it is, as the server named it: a user may have several.
    pub(crate) license_id: Option<u64>,
    /// There is a slot at the server, which must be given back.
    pub(crate) is_floating: bool,
}

impl Slot {
    /// A slot that nobody has asked for yet. Its holders on this machine meet in `process_lock`; without `folder` nothing of it
    /// outlives the process.
    pub(crate) fn new(
        license_ref: &LicenseRef,
        feature: Option<&str>,
        process_lock: ProcessLock,
        folder: Option<&Path>,
    ) -> Result<Slot, Error> {
        let path = folder.map(|folder| folder.join(format!("{}.lease", license_ref.file_stem(feature))));
        let file = path
            .clone()
            .map(|path| SealedFile::new(path, &license_ref.product, &license_ref.hardware_id))
            .transpose()?;
        Ok(Slot {
            feature: feature.map(str::to_owned),
            process_lock,
            file,
            path,
            holder: None,
            open_lock_files: None,
            in_doubt: false,
            repeat_release_until: None,
            orphaned_license_slot: false,
            borrowed: false,
            borrowed_until: None,
            license_id: None,
            is_floating: true,
        })
    }

    /// Takes the slot: from a borrow that is proven to run, or else from the server.
    pub(crate) fn acquire(&mut self, context: &RequestContext) -> Result<Confirmation, Error> {
        let guard = self.lock(context)?;
        let kept = self.read();
        let unproven =
            match kept.as_ref().map(|record| record.proven_until(context.client, context.license_ref, context.clock)) {
                Ok(Ok(Some(until))) => return self.resume_borrow(context, &guard, kept?, until),
                Ok(Ok(None)) => None,
                Ok(Err(error)) => Some(error),
                Err(error) => Some((*error).clone()),
            };
        let alone = guard.has_no_holder()?;
        // What can fail on this machine fails before the server is asked.
        let holder = guard.add_holder()?;
        self.open_lock_files = guard.keep_open(&holder);
        // A file that can't be read stays as it is until the server has spoken: it may be all there is.
        let is_damaged = kept.is_err();
        let mut record = kept.unwrap_or_else(|_| self.empty_record());
        let before = record.clone();
        record.may_hold = true;
        // A lease that takes its slot anew keeps to its license; a new one takes up the license of before.
        let own_license = self.license_id;
        self.license_id = own_license.or(record.license_id.filter(|_| before.may_hold));
        let doubted_until = self.unanswered_until(context, &record);
        let record_write = if is_damaged { RecordWrite::Not } else { RecordWrite::Must };
        let mut checked = self.check(context, &mut record, record_write);
        let may_be_another =
            own_license.is_none() && self.license_id.is_some() && context.license_ref.license_id.is_none();
        if alone && may_be_another && checked.as_ref().is_err_and(Error::is_refusal) {
            // The license of before is gone, and nobody here works on it: the user may have another one by now.
            self.license_id = None;
            checked = self.check(context, &mut record, record_write);
        }
        match checked {
            Ok((confirmation, answer)) => {
                let doubted_until = doubted_until.filter(|_| !answer.in_order);
                let confirmation = Confirmation { doubted_until, ..confirmation };
                Ok(self.finish_acquire(context, &guard, holder, record, is_damaged, confirmation, &answer))
            }
            Err(error) => {
                drop(holder);
                (self.open_lock_files, self.license_id) = (None, own_license);
                let surely_not = error.is_refusal() || error.status == Status::NotFloating;
                // A server that knows no order numbers may take the slot later than it has refused it.
                let may_come_late = doubted_until.is_some() && !error.in_order;
                let is_doubtful = self.in_doubt || error.outcome == Outcome::Unknown;
                self.in_doubt = may_come_late || is_doubtful && !surely_not;
                let as_before = surely_not && alone || error.outcome == Outcome::NotSent && !before.may_hold;
                if as_before && !is_damaged {
                    record.may_hold = may_come_late;
                    record.proof = record.proof.take().filter(|_| !surely_not);
                    record.in_doubt &= record.proof.is_some();
                    self.write(&mut record, context)?;
                }
                match unproven.or_else(|| self.foreign(context.license_ref)) {
                    Some(reason) if !surely_not => Err(because(reason, &error)),
                    _ => Err(error),
                }
            }
        }
    }

    /// Takes the slot without asking anybody: the record proves that it is borrowed.
    fn resume_borrow(
        &mut self,
        context: &RequestContext,
        guard: &ProcessLockGuard,
        mut record: Record,
        until: DateTime<Utc>,
    ) -> Result<Confirmation, Error> {
        self.write(&mut record, context)?;
        let holder = guard.add_holder()?;
        (self.open_lock_files, self.holder) = (guard.keep_open(&holder), Some(holder));
        Ok(self.proven_borrow(context, record, until))
    }

    /// The slot is borrowed until then, as the record proves.
    fn proven_borrow(&mut self, context: &RequestContext, record: Record, until: DateTime<Utc>) -> Confirmation {
        (self.borrowed, self.borrowed_until, self.license_id) = (true, Some(until), record.license_id);
        let left_ms = (until - context.clock.wall()).num_milliseconds();
        let status = SlotStatus::Borrowed { asked_at: context.clock.now(), until, left_ms };
        let license = record.proof.map(|proof| proof.license.body).filter(|_| self.feature.is_none());
        Confirmation { status, reply: license, borrowed_until: Some(until), is_floating: true, doubted_until: None }
    }

    /// The server counts the slot for this device: what is known of it is kept. Nothing here may fail the acquire, because
    /// the record already says that the slot may be held.
    #[allow(clippy::too_many_arguments, reason = "they are one take's")]
    fn finish_acquire(
        &mut self,
        context: &RequestContext,
        guard: &ProcessLockGuard,
        holder: HolderLock,
        mut record: Record,
        is_damaged: bool,
        confirmation: Confirmation,
        answer: &Answer,
    ) -> Confirmation {
        self.holder = Some(holder);
        let reply = object(answer);
        self.license_id = named_license(&reply, self.feature.as_deref()).or(self.license_id);
        record.license_id = self.license_id;
        if reply.get("is_borrowed") == Some(&Value::Bool(false)) {
            // What a verb had borrowed was ended by somebody who could not say so here.
            record.set_borrowed_by_verb(None);
        }
        let confirmation = self.update_proof(context, guard, &mut record, confirmation, answer);
        record.note_server_time(context, answer);
        if !is_damaged || self.set_aside().is_ok() {
            let _ = self.write(&mut record, context);
        }
        self.borrowed = record.proof.is_some();
        self.remember(&confirmation);
        self.in_doubt = false;
        confirmation
    }

    /// Asks the server again.
    pub(crate) fn renew(&mut self, context: &RequestContext) -> Result<Confirmation, Error> {
        // The folder may have been cleaned up: processes that come later would not know that this one holds the slot.
        // Where no seat is to be had, the slot itself is worth more.
        if let Some(Ok(false)) = self.holder.as_ref().map(HolderLock::is_in_place)
            && let Ok(guard) = self.lock(context)
            && let Ok(holder) = guard.add_holder()
        {
            (self.open_lock_files, self.holder) = (guard.keep_open(&holder), Some(holder));
        }
        // Until when, as it stands now: the answer may be heard when that is over, and tells of the time before.
        let given_back_until = context.given_back_until(self.feature.as_deref());
        let was_in_doubt = self.in_doubt;
        let proof_before = self.read().ok().and_then(|record| record.proof);
        let checked = self.check_without_lock(context);
        self.in_doubt = checked.as_ref().is_err_and(|error| error.outcome == Outcome::Unknown);
        let (said, answer) = match checked {
            // Whoever ends a renewal gives the slot back: a borrow that this lease has not heard of must stay another's.
            Err(error) if !self.borrowed && !error.is_refusal() && error.status != Status::Cancelled => {
                return self.borrowed_by_another(context).ok_or(error);
            }
            checked => checked?,
        };
        let given_back_until = given_back_until.max(context.given_back_until(self.feature.as_deref()));
        let doubted_until = given_back_until.filter(|_| !answer.in_order);
        let said = Confirmation { doubted_until, ..said };
        let confirmation = match self.read() {
            Ok(record) if self.borrowed || was_in_doubt || record.proof.is_some() => {
                self.apply_renewed_borrow(context, &record, proof_before, said, &answer)
            }
            _ => said,
        };
        self.remember(&confirmation);
        Ok(confirmation)
    }

    /// The server could not be asked. Another process of this machine may have borrowed the slot since, for all of them.
    fn borrowed_by_another(&mut self, context: &RequestContext) -> Option<Confirmation> {
        let record = self.read().ok()?;
        let until = record.proven_until(context.client, context.license_ref, context.clock).ok()??;
        Some(self.proven_borrow(context, record, until))
    }

    /// The server's word on a slot whose borrow is kept, or may be. What it says anew of the borrow is kept too.
    fn apply_renewed_borrow(
        &mut self,
        context: &RequestContext,
        record: &Record,
        proof_before: Option<Proof>,
        said: Confirmation,
        answer: &Answer,
    ) -> Confirmation {
        let confirmation = apply_stored_proof(context, record, said, answer);
        let known_until = record.proven_until(context.client, context.license_ref, context.clock).ok().flatten();
        match confirmation.status {
            SlotStatus::Borrowed { until, .. } if known_until == Some(until) => self.borrowed = true,
            SlotStatus::Borrowed { .. } => return self.store_new_proof(context, confirmation, answer),
            // It was in doubt, or ends sooner than is proven.
            SlotStatus::Held { .. } if says(&object(answer), "is_borrowed") => {
                return self.store_new_proof(context, confirmation, answer);
            }
            // It is over, or was taken back at the server: nobody shall rely on it, nor leave the slot to it.
            SlotStatus::Held { .. } => self.borrowed = self.forget_borrow(context, proof_before).is_err(),
        }
        confirmation
    }

    /// Keeps what the server says of the borrow now, if anything can be kept.
    fn store_new_proof(&mut self, context: &RequestContext, said: Confirmation, answer: &Answer) -> Confirmation {
        let Ok(guard) = self.lock(context) else { return said };
        let Ok(mut record) = self.read() else { return said };
        let confirmation = self.update_proof(context, &guard, &mut record, said, answer);
        if self.write(&mut record, context).is_ok() {
            self.borrowed = record.proof.is_some();
        }
        confirmation
    }

    /// Keeps of the server's word what decides how the slot is left.
    fn remember(&mut self, confirmation: &Confirmation) {
        self.is_floating = confirmation.is_floating;
        self.borrowed_until = match confirmation.status {
            SlotStatus::Borrowed { until, .. } => Some(until),
            SlotStatus::Held { .. } => confirmation.borrowed_until,
        };
    }

    /// Forgets the borrow that was proven when the server was asked. One that another process has made meanwhile stays.
    fn forget_borrow(&self, context: &RequestContext, proof_before: Option<Proof>) -> Result<(), Error> {
        let _guard = self.lock(context)?;
        let mut record = self.read()?;
        if record.proof != proof_before {
            return Ok(());
        }
        (record.proof, record.in_doubt) = (None, false);
        self.write(&mut record, context)
    }

    /// Remembers what the clock shows, so that it can't be set back to before unnoticed. False if somebody stands in the
    /// gate.
    pub(crate) fn save_clock_mark(&self, clock: &Clock) -> bool {
        if !self.borrowed {
            return true;
        }
        let Some(_guard) = self.try_lock_process() else { return false };
        let _ = self.read().and_then(|mut record| self.write_at(&mut record, clock));
        true
    }

    /// The lease that had the slot before was giving it back, and the server's answer was not waited for.
    pub(crate) fn mark_in_doubt(&mut self, context: &RequestContext) {
        self.in_doubt = true;
        context.note_unanswered(self.feature.as_deref(), Late::GivesBack);
    }

    /// Until when a server that knows no order numbers may carry out a request about the slot that got no answer: one of
    /// this client, or one that the record tells of.
    pub(crate) fn unanswered_until(&self, context: &RequestContext, record: &Record) -> Option<Millis> {
        context.unanswered_until(self.feature.as_deref()).max(record.unanswered_until(context.clock))
    }

    /// Whether the server, or a verb, has said that it is borrowed for longer than now.
    pub(crate) fn is_borrowed(&self, clock: &Clock) -> bool {
        self.borrowed_until.is_some_and(|until| until > clock.wall())
    }

    /// A verb of this client has borrowed the slot until then, or has ended its borrow: leaving the slot must not give a
    /// borrow back that is the host's.
    pub(crate) fn note_borrow_by_verb(&mut self, context: &RequestContext, until: Option<DateTime<Utc>>) {
        self.borrowed_until = until;
        if self.file.is_none() {
            return;
        }
        let Ok(_guard) = self.lock(context) else { return };
        if let Ok(mut record) = self.read() {
            record.set_borrowed_by_verb(until);
            // What another has given back is wanted again.
            record.return_pending &= until.is_none();
            if until.is_some_and(|until| self.is_proven_beyond(context, &record, until)) {
                // The server lets go of the slot before the date that is proven.
                record.in_doubt = true;
            }
            if until.is_none() {
                // What proved the borrow that was given back would go on being believed by a start without a network.
                (record.proof, record.in_doubt, record.return_pending) = (None, false, false);
            }
            // The process itself remembers it all the same.
            let _ = self.write(&mut record, context);
        }
    }

    fn is_proven_beyond(&self, context: &RequestContext, record: &Record, until: DateTime<Utc>) -> bool {
        let ends = |proof: &Proof| proof.until(context.client, context.license_ref, self.feature.as_deref()).ok();
        record.proof.as_ref().and_then(ends).is_some_and(|ends| ends > until)
    }

    /// A verb about the slot got no answer: a server that knows no order numbers may carry it out after another process
    /// has taken the slot, which learns so from the record.
    /// If it `gives_back`, a borrow that was kept proves nothing until the server is asked.
    pub(crate) fn note_unanswered_verb(&self, context: &RequestContext, gives_back: bool) {
        let Ok(_guard) = self.lock(context) else { return };
        if let Ok(mut record) = self.read() {
            record.expect_answer(context.clock, context.life_ms());
            record.in_doubt |= gives_back && record.proof.is_some();
            // That process finds it out by its next renewal else.
            let _ = self.write(&mut record, context);
        }
    }

    /// A verb of this client has given the slot back. True if it was held.
    pub(crate) fn note_release_by_verb(&mut self, context: &RequestContext) -> bool {
        let was_taken = self.is_held();
        (self.in_doubt, self.borrowed, self.borrowed_until) = (false, false, None);
        let Ok(guard) = self.lock(context) else { return was_taken };
        let last_holder = self.holder.take().map(|holder| guard.remove_holder(holder));
        if let (Some(Ok(Some(_))), Ok(mut record)) = (last_holder, self.read()) {
            (record.may_hold, record.proof, record.in_doubt, record.return_pending) = (false, None, false, false);
            record.set_borrowed_by_verb(None);
            let _ = self.write(&mut record, context);
        }
        was_taken
    }

    /// The license whose slot it is, if the server has named it.
    pub(crate) fn license_id(&self) -> Option<u64> {
        self.license_id
    }

    /// Whether it is the slot of this feature; `None`: the license's own.
    pub(crate) fn is_of(&self, feature: Option<&str>) -> bool {
        self.feature.as_deref().map(str::to_ascii_lowercase) == feature.map(str::to_ascii_lowercase)
    }

    /// A verb has borrowed it until then, as the lease remembers.
    pub(crate) fn remember_borrow(&mut self, until: Option<DateTime<Utc>>) {
        self.borrowed_until = self.borrowed_until.max(until);
    }

    /// Whether a slot of the license may be left that nobody wants; says so once.
    pub(crate) fn take_orphaned_license_slot(&mut self) -> bool {
        std::mem::take(&mut self.orphaned_license_slot)
    }

    /// Another lease has taken it, so it is not given back once more.
    pub(crate) fn stop_repeating_release(&mut self) {
        self.repeat_release_until = None;
        self.close_lock_files();
    }

    /// Whether it is ours, as far as anybody knows.
    pub(crate) fn is_held(&self) -> bool {
        self.holder.is_some()
    }

    /// Whether the server may count it.
    pub(crate) fn may_be_held_at_server(&self) -> bool {
        self.in_doubt || self.is_held()
    }

    /// Gives up the seat and nothing else: what the server counts is for the next who comes to settle.
    pub(crate) fn abandon(&mut self) {
        (self.holder, self.in_doubt) = (None, false);
        self.close_lock_files();
    }

    /// Closes the lock files, unless they are needed to leave the slot or to give it back again.
    pub(crate) fn close_lock_files(&mut self) {
        if self.holder.is_none() && self.repeat_release_until.is_none() {
            self.open_lock_files = None;
        }
    }

    pub(crate) fn try_lock_process(&self) -> Option<ProcessLockGuard> {
        self.process_lock.lock(&mut |_| Err(Error::new(Status::Timeout))).ok()
    }

    pub(crate) fn lock(&self, context: &RequestContext) -> Result<ProcessLockGuard, Error> {
        let busy = "Another process of this machine is taking or giving back the same slot.";
        let mut pause = |duration| {
            context.pause(duration).map_err(|error| match error.status {
                Status::Timeout => error.with_detail(busy),
                _ => error,
            })
        };
        let by_path = self.folder().map_or(Ok(()), make).and_then(|()| self.process_lock.lock(&mut pause));
        match (by_path, &self.open_lock_files) {
            // The folder is gone, or closed to this process: what is held is left by what is open.
            (Err(error), Some(kept)) if error.status == Status::Storage => {
                self.process_lock.lock_open_files(kept, &mut pause)
            }
            (entered, _) => entered,
        }
    }

    /// Asks about this slot from inside its gate, in its place among all requests about it: `record` has the number, and
    /// that an answer is outstanding, before the request leaves. So a process that comes later draws a higher number.
    pub(crate) fn ask(
        &mut self,
        context: &RequestContext,
        record: &mut Record,
        record_write: RecordWrite,
        operation: &'static str,
        own: &[(&str, Value)],
    ) -> Result<Answer, Error> {
        let before = record.clone();
        let answer = context.ask_in_order(operation, own, &mut || {
            record.order = context.client.draw_order(record.order);
            record.expect_answer(context.clock, context.life_ms());
            match record_write {
                RecordWrite::Must => self.write(record, context)?,
                RecordWrite::IfPossible => drop(self.write(record, context)),
                RecordWrite::Not => {}
            }
            Ok(record.order)
        });
        context.note_answer(self.feature.as_deref(), operation, &answer);
        match &answer {
            Ok(answer) if answer.in_order => record.answered(None),
            Err(error) if error.in_order => record.answered(None),
            Ok(answer) if answer.unanswered_attempt => {}
            Err(error) if error.outcome == Outcome::Unknown => {}
            _ => record.answered(Some(&before)),
        }
        answer
    }

    /// The same without staying in the gate meanwhile, so that a renewal keeps no other process out. If the gate is taken,
    /// or nothing can be written, the number is this process's alone: the slot is worth more.
    fn check_without_lock(&mut self, context: &RequestContext) -> Result<(Confirmation, Answer), Error> {
        let (operation, own) = self.operation(context, "check_license", "check_feature");
        let asked_at = context.clock.now();
        let mut own_mark = None;
        let answer = context.ask_in_order(operation, &own, &mut || {
            let guard = self.file.as_ref().and_then(|_| self.try_lock_process());
            let Some(mut record) = guard.as_ref().and_then(|_| self.read().ok()) else {
                return Ok(context.client.draw_order(0));
            };
            record.order = context.client.draw_order(record.order);
            let is_first = record.unanswered_until(context.clock).is_none();
            own_mark = Some(record.expect_answer(context.clock, context.life_ms())).filter(|_| is_first);
            let _ = self.write(&mut record, context);
            Ok(record.order)
        });
        context.note_answer(self.feature.as_deref(), operation, &answer);
        let answer = answer?;
        if let Some(mark) = own_mark.filter(|_| !answer.in_order && !answer.unanswered_attempt) {
            self.forget_unanswered(context, mark);
        }
        Ok((self.confirmation(context, asked_at, &answer)?, answer))
    }

    /// Notes on disk that a renewal was answered, so that the process that leaves the slot next has nothing to wait for.
    fn forget_unanswered(&self, context: &RequestContext, mark: i64) {
        let Some(_guard) = self.try_lock_process() else { return };
        if let Ok(mut record) = self.read()
            && record.forget_unanswered(mark)
        {
            let _ = self.write(&mut record, context);
        }
    }

    fn check(
        &mut self,
        context: &RequestContext,
        record: &mut Record,
        record_write: RecordWrite,
    ) -> Result<(Confirmation, Answer), Error> {
        let (operation, own) = self.operation(context, "check_license", "check_feature");
        let asked_at = context.clock.now();
        let answer = self.ask(context, record, record_write, operation, &own)?;
        Ok((self.confirmation(context, asked_at, &answer)?, answer))
    }

    fn confirmation(&self, context: &RequestContext, asked_at: Millis, answer: &Answer) -> Result<Confirmation, Error> {
        let reply = object(answer);
        let status = self.status(context, asked_at, &reply, context.wall_of(answer))?;
        let is_borrowed = says(&reply, "is_borrowed");
        let is_floating = is_borrowed || says(&reply, "is_floating_cloud");
        // A feature's reply need not tell the date.
        let borrowed_until = borrowed_until(&reply, None).or(is_borrowed.then_some(DateTime::<Utc>::MAX_UTC));
        Ok(Confirmation { status, reply: Some(answer.text.clone()), borrowed_until, is_floating, doubted_until: None })
    }

    fn status(
        &self,
        context: &RequestContext,
        asked_at: Millis,
        reply: &Object,
        wall: DateTime<Utc>,
    ) -> Result<SlotStatus, Error> {
        // The API may tell so with a yes; there is no slot for it all the same.
        let tells = |member, value| reply.get(member) == Some(&Value::Bool(value));
        if let Some((.., status)) = NO_RIGHT.into_iter().find(|(member, value, _)| tells(*member, *value)) {
            return Err(Error::new(status).with_outcome(Outcome::Rejected));
        }
        if let Some(until) = borrowed_until(reply, None).filter(|_| self.feature.is_none()) {
            let left_ms = (until - wall).num_milliseconds();
            return Ok(SlotStatus::Borrowed { asked_at, until, left_ms });
        }
        if says(reply, "is_floating") {
            let what = self.feature.as_deref().map_or("The license".to_owned(), |feature| format!("{feature:?}"));
            let message = format!("{what} floats on a server of its own, which this library does not speak to.");
            return Err(Error::because(Status::NotFloating, message).with_outcome(Outcome::Rejected));
        }
        // What does not float is licensed all the same, without a slot: a customer may have been upgraded.
        let minutes = reply.get("floating_timeout").and_then(Value::as_i64).filter(|minutes| *minutes > 0);
        let timeout_ms = minutes.map_or(UNFLOATING_TIMEOUT_MS, |minutes| minutes.saturating_mul(60_000));
        let left_ms = expiry(reply, self.feature.is_some()).map(|end| (end - wall).num_milliseconds() - DATE_STEP_MS);
        // A server that says yes after the date knows why.
        let left_ms = left_ms.filter(|left_ms| *left_ms > 0);
        let expires_at = left_ms.map_or(NEVER, |left_ms| context.clock.now().saturating_add(left_ms));
        Ok(SlotStatus::Held { asked_at, timeout_ms, expires_at })
    }

    /// The operation about this slot, and the keys it needs.
    pub(crate) fn operation(
        &self,
        context: &RequestContext,
        of_license: &'static str,
        of_feature: &'static str,
    ) -> (&'static str, Vec<(&'static str, Value)>) {
        let license = self.license_id.filter(|_| context.license_ref.license_id.is_none());
        let mut own: Vec<_> = license.into_iter().map(|id| ("license_id", id.into())).collect();
        own.extend(self.feature.as_deref().map(|feature| ("feature", feature.into())));
        (if self.feature.is_some() { of_feature } else { of_license }, own)
    }

    pub(crate) fn empty_record(&self) -> Record {
        Record::of(self.feature.as_deref())
    }

    pub(crate) fn read(&self) -> Result<Record, Error> {
        self.file.as_ref().map_or_else(|| Ok(self.empty_record()), |file| Record::read(file, self.feature.as_deref()))
    }

    pub(crate) fn write(&self, record: &mut Record, context: &RequestContext) -> Result<(), Error> {
        self.write_at(record, context.clock)
    }

    fn write_at(&self, record: &mut Record, clock: &Clock) -> Result<(), Error> {
        self.file.as_ref().map_or(Ok(()), |file| record.write(file, clock))
    }

    /// Where things are kept, if anywhere.
    pub(crate) fn folder(&self) -> Option<&Path> {
        self.path.as_deref().and_then(Path::parent)
    }

    /// Puts a file that can't be read out of the way. It is nobody's to delete.
    pub(crate) fn set_aside(&self) -> Result<(), Error> {
        let Some(path) = &self.path else { return Ok(()) };
        let aside = beside(path, &format!("damaged-{}", Utc::now().timestamp_millis()));
        retry_while_in_use(|| std::fs::rename(path, &aside)).map_err(|error| {
            Error::because(Status::Storage, format!("{} can't be moved aside: {error}.", path.display()))
        })
    }

    /// Whether another device's record of this slot lies where ours would be.
    fn foreign(&self, license_ref: &LicenseRef) -> Option<Error> {
        let folder = self.folder()?;
        let (prefix, own) = (license_ref.license_prefix(), license_ref.file_prefix());
        let suffix = format!("{}.lease", license_ref.file_suffix(self.feature.as_deref()));
        let names = std::fs::read_dir(folder).ok()?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut foreign = names.filter(|name| name.starts_with(&prefix) && name.ends_with(&suffix));
        let name = foreign.find(|name| !name.starts_with(&own))?;
        Some(Error::because(Status::StorageForeign, format!("It is {}.", folder.join(name).display())))
    }
}

/// Makes the folder for what is kept, for this user alone.
pub(crate) fn make(folder: &Path) -> Result<(), Error> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    let failed = |error| Error::because(Status::Storage, format!("{} can't be made: {error}.", folder.display()));
    builder.create(folder).map_err(failed)
}

/// Whether the record says that a borrow runs, proven or made by a verb; while the clock can't be believed, one that may
/// run does.
pub(crate) fn is_stored_as_borrowed(record: &Record, context: &RequestContext) -> bool {
    if record.is_borrowed_by_verb(context.clock) {
        return true;
    }
    match record.proven_until(context.client, context.license_ref, context.clock) {
        Ok(until) => until.is_some(),
        Err(error) => error.status == Status::ClockMovedBack,
    }
}

/// When a reply says that the license, or the feature, expires: with the grace that a subscription has.
fn expiry(reply: &Object, of_feature: bool) -> Option<DateTime<Utc>> {
    let date = |member| reply.get(member).and_then(Value::as_str).and_then(model::parse_time);
    if of_feature {
        return date("expiry_date");
    }
    let is_subscription = reply.get("license_type").and_then(Value::as_str) == Some("subscription");
    let has_grace = is_subscription && says(reply, "allow_grace_period");
    let grace_hours = reply.get("grace_period").and_then(Value::as_i64).filter(|_| has_grace);
    date("validity_period")?.checked_add_signed(TimeDelta::try_hours(grace_hours.unwrap_or_default())?)
}

/// The license that a reply about it, or about a feature of it, names.
fn named_license(reply: &Object, feature: Option<&str>) -> Option<u64> {
    reply.get(if feature.is_some() { "license_id" } else { "id" }).and_then(Value::as_u64)
}

/// The local reason is what the host can do something about; the server's silence is only why it counts.
fn because(reason: Error, error: &Error) -> Error {
    let reasons = reason.detail.as_deref().unwrap_or_default();
    let detail = format!("{reasons} The server can't be asked: {}", error.message());
    let mut error = error.clone().with_detail(detail.trim());
    error.status = reason.status;
    error
}
