//! What is stored about a slot: whether the server may count it for this device, and what proves a borrow.
//!
//! The record is written before a request leaves and again when its answer is known, always under the slot's process lock.
//! So at whatever instant a process dies, the next one knows what this device may hold, and asks the server.
//!
//! The names of the members are part of the file's format. `tests/data/recorded.lease` pins them: a test reads this file,
//! and compares its JSON with what is written today. An attribute beside each member would only repeat its name.

use crate::descriptor;
use crate::error::Error;
use crate::lease::clock::Clock;
use crate::lease::context::RequestContext;
use crate::lease::license_ref::LicenseRef;
use crate::lease::slot::proof::{Proof, no_proof};
use crate::lease::state_machine::Millis;
use crate::lease::storage::json::{self, StoredObject};
use crate::lease::storage::sealed_file::{SealedFile, failed};
use crate::model;
use crate::status::Status;
use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use std::io;
use std::path::{Path, PathBuf};

/// How far a correct clock may be set back, as by a time service.
const CLOCK_TOLERANCE: TimeDelta = TimeDelta::minutes(5);

/// How much of a clock's being fast is corrected: a clock that shows the local time as UTC. Somebody who sets the clock
/// back to the right time between a borrow and its end could use the borrow for that much longer.
const MAX_FAST: TimeDelta = TimeDelta::hours(15);

/// No request lives longer than the longest `timeout_ms`.
pub(crate) const LONGEST_LIFE_MS: i64 = 60 * 60 * 1000;

/// The record of one slot.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Record {
    /// The feature of the slot; `None`: the license's own slot.
    pub(crate) feature: Option<String>,
    /// True if the server may count the slot for this device.
    pub(super) may_hold: bool,
    /// Proves that the slot is borrowed.
    pub(super) proof: Option<Proof>,
    /// The server was asked to end or to change the borrow, and its answer is not known. The proof is not believed until
    /// the server has been asked again.
    pub(super) in_doubt: bool,
    /// The host has returned the borrow, and the last process that holds the slot is to tell the server.
    pub(super) return_pending: bool,
    /// The license of the slot, as the server named it. A user may have several licenses.
    pub(super) license_id: Option<u64>,
    /// The order number of the last request about the slot.
    pub(super) order: u64,
    /// A request about the slot has no answer yet. A server without order numbers may carry it out until this time, in
    /// milliseconds since 1970.
    #[serde(skip_serializing_if = "is_zero")]
    unanswered_until_ms: i64,
    /// A verb has borrowed the slot until this time, in milliseconds since 1970. No proof is stored, but a process that
    /// closes its lease must not end the borrow.
    #[serde(skip_serializing_if = "is_zero")]
    borrowed_by_verb_until_ms: i64,
    /// The latest time that this machine's clock has shown, in milliseconds since 1970.
    latest_local_ms: i64,
    /// The latest time that the server has told, in milliseconds since 1970.
    latest_server_ms: i64,
    /// How far the server's clock was ahead of this machine's when the server last told its time.
    #[serde(skip_serializing_if = "is_zero")]
    skew_ms: i64,
}

impl Record {
    /// The record of a slot that was never held.
    pub(super) fn of(feature: Option<&str>) -> Record {
        Record { feature: feature.map(str::to_owned), ..Record::default() }
    }

    /// Reads the record of this slot; a new record if there is no file.
    pub(super) fn read(file: &SealedFile, feature: Option<&str>) -> Result<Record, Error> {
        let Some(record) = Record::read_any(file)? else { return Ok(Record::of(feature)) };
        // Anybody can rename a file, so the content must say which slot it is about.
        let lower = |feature: Option<&str>| feature.map(str::to_ascii_lowercase);
        if lower(record.feature.as_deref()) == lower(feature) {
            Ok(record)
        } else {
            Err(Error::because(Status::StorageDamaged, "It was written for another slot and renamed."))
        }
    }

    fn read_any(file: &SealedFile) -> Result<Option<Record>, Error> {
        let Some(content) = file.read()? else { return Ok(None) };
        let record = json::parse(&content).and_then(|stored| Record::from_stored(StoredObject::new(&stored)));
        record.map(Some).ok_or_else(|| {
            let detail = "It was written by another version of floatlease, or is incomplete.";
            Error::because(Status::StorageDamaged, detail)
        })
    }

    fn from_stored(stored: StoredObject) -> Option<Record> {
        Some(Record {
            feature: stored.optional("feature", StoredObject::text)?,
            may_hold: stored.flag("may_hold")?,
            proof: stored.optional("proof", |stored, key| Proof::from_stored(stored.object(key)?))?,
            in_doubt: stored.optional("in_doubt", StoredObject::flag)?.unwrap_or_default(),
            return_pending: stored.optional("return_pending", StoredObject::flag)?.unwrap_or_default(),
            license_id: stored.optional("license_id", natural)?,
            order: stored.optional("order", natural)?.unwrap_or_default(),
            unanswered_until_ms: stored.optional("unanswered_until_ms", StoredObject::number)?.unwrap_or_default(),
            borrowed_by_verb_until_ms: stored
                .optional("borrowed_by_verb_until_ms", StoredObject::number)?
                .unwrap_or_default(),
            latest_local_ms: stored.optional("latest_local_ms", StoredObject::number)?.unwrap_or_default(),
            latest_server_ms: stored.optional("latest_server_ms", StoredObject::number)?.unwrap_or_default(),
            skew_ms: stored.optional("skew_ms", StoredObject::number)?.unwrap_or_default(),
        })
    }

    /// The features (`None`: the license) whose slots this device may hold, as far as the records in `folder` say.
    pub(crate) fn stored_features(folder: &Path, license_ref: &LicenseRef) -> Vec<Option<String>> {
        let records = Record::stored(folder, license_ref).unwrap_or_default().into_iter().flatten();
        records.filter(|record| record.may_hold).map(|record| record.feature).collect()
    }

    /// The records in `folder` of this license on this device, or why one of them can't be read. None if there is no
    /// folder.
    ///
    /// # Errors
    /// [`Status::Storage`] if the folder can't be read.
    pub(crate) fn stored(folder: &Path, license_ref: &LicenseRef) -> Result<Vec<Result<Record, Error>>, Error> {
        let prefix = license_ref.file_prefix();
        let entries = match descriptor::with_standard_taken(|| std::fs::read_dir(folder)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(|error| failed(folder, "read", &error))?,
        };
        let entries = entries.filter_map(|entry| Some(entry.ok()?.path()));
        let is_ours = |path: &PathBuf| {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            name.starts_with(&prefix) && name.ends_with(".lease")
        };
        let record = |path| {
            let file = SealedFile::new(path, &license_ref.product, &license_ref.hardware_id);
            // A file that is gone by now says nothing.
            file.and_then(|file| Record::read_any(&file)).transpose()
        };
        Ok(entries.filter(is_ours).filter_map(record).collect())
    }

    /// Writes the record, and what the clocks show.
    pub(super) fn write(&mut self, file: &SealedFile, clock: &Clock) -> Result<(), Error> {
        self.note_clocks(clock);
        let content = serde_json::to_vec(self)
            .map_err(|_| Error::because(Status::Internal, "A record can't be written as JSON."))?;
        file.write(&content)
    }

    /// Notes what this machine's clock shows, and the date at the server, if it has told it to this process.
    ///
    /// A date that may be forged only raises the latest known one, and only finds this machine's clock to be slow: both end
    /// a borrow sooner. Any other date replaces what this machine's clock has shown, which may have been wrong.
    fn note_clocks(&mut self, clock: &Clock) {
        let wall_ms = clock.wall().timestamp_millis();
        let told_ms = clock.told_date().map(|date| date.timestamp_millis());
        match told_ms {
            Some(date_ms) if clock.is_told_date_authentic() => {
                (self.latest_local_ms, self.latest_server_ms) = (wall_ms, date_ms);
                self.skew_ms = date_ms.saturating_sub(wall_ms).max(-MAX_FAST.num_milliseconds());
            }
            Some(date_ms) => {
                self.latest_local_ms = self.latest_local_ms.max(wall_ms);
                self.latest_server_ms = self.latest_server_ms.max(date_ms);
                self.skew_ms = date_ms.saturating_sub(wall_ms).max(0);
            }
            None => self.latest_local_ms = self.latest_local_ms.max(wall_ms),
        }
    }

    /// Takes back that the server may count the slot, because an acquire was refused or not sent: unless an earlier
    /// request may come late. A refusal also ends a stored borrow.
    pub(super) fn mark_not_acquired(&mut self, may_come_late: bool, is_refused: bool) {
        self.may_hold = may_come_late;
        if is_refused {
            self.proof = None;
        }
        self.in_doubt &= self.proof.is_some();
    }

    /// The slot was borrowed, as `proof` proves.
    pub(super) fn mark_borrowed(&mut self, proof: Proof) {
        (self.proof, self.in_doubt, self.return_pending) = (Some(proof), false, false);
    }

    /// Restores an earlier borrow, or that there was none.
    pub(super) fn restore_borrow(&mut self, proof: Option<Proof>, is_in_doubt: bool, return_pending: bool) {
        (self.in_doubt, self.return_pending) = (is_in_doubt && proof.is_some(), return_pending);
        self.proof = proof;
    }

    /// A stored borrow is not believed until the server has been asked. Returns whether it was believed before.
    pub(super) fn mark_borrow_in_doubt(&mut self) -> bool {
        let was_believed = self.proof.is_some() && !self.in_doubt;
        self.in_doubt |= was_believed;
        was_believed
    }

    /// The host has returned the borrow, and another process still holds the slot.
    pub(super) fn mark_return_pending(&mut self) {
        (self.proof, self.return_pending) = (None, true);
        self.set_borrowed_by_verb(None);
    }

    /// The borrow was returned to the server.
    pub(super) fn mark_returned(&mut self) {
        self.forget_proof();
        self.return_pending = false;
    }

    /// The server was told to free the slot. It `may_hold` it all the same if a request may come late, or if the server
    /// does not speak to this device for now.
    pub(super) fn mark_released(&mut self, may_hold: bool) {
        self.may_hold = may_hold;
        self.mark_returned();
        self.set_borrowed_by_verb(None);
    }

    /// No borrow is proven any more.
    pub(super) fn forget_proof(&mut self) {
        (self.proof, self.in_doubt) = (None, false);
    }

    /// Notes that a request about the slot is going to be sent, which may be carried out within `life_ms`. Returns the
    /// mark by which [`Record::forget_unanswered`] recognises it.
    pub(super) fn expect_answer(&mut self, clock: &Clock, life_ms: i64) -> i64 {
        let until_ms = clock.wall().timestamp_millis().saturating_add(life_ms);
        self.unanswered_until_ms = self.unanswered_until_ms.max(until_ms);
        self.unanswered_until_ms
    }

    /// Notes that the request of this mark was answered. False if another one is outstanding by now.
    pub(super) fn forget_unanswered(&mut self, mark: i64) -> bool {
        let is_last = self.unanswered_until_ms == mark;
        if is_last {
            self.unanswered_until_ms = 0;
        }
        is_last
    }

    /// The moment until which an unanswered request may be carried out, if one is outstanding. Limited to the longest
    /// life of a request, because the clock may have been set back since.
    pub(super) fn unanswered_until(&self, clock: &Clock) -> Option<Millis> {
        let left_ms = self.unanswered_until_ms.saturating_sub(clock.wall().timestamp_millis()).min(LONGEST_LIFE_MS);
        (left_ms > 0).then(|| clock.now().saturating_add(left_ms))
    }

    /// Notes that the answer has come. Requests that were outstanding `before` it was sent are so still. `None`: a server
    /// with order numbers has answered, so none is.
    pub(super) fn answered(&mut self, before: Option<&Record>) {
        self.unanswered_until_ms = before.map_or(0, |before| before.unanswered_until_ms);
    }

    /// Notes that a verb has borrowed the slot until this date, or that the slot is not borrowed by a verb.
    pub(super) fn set_borrowed_by_verb(&mut self, until: Option<DateTime<Utc>>) {
        self.borrowed_by_verb_until_ms = until.map_or(0, |until| until.timestamp_millis());
    }

    /// The end of a borrow by a verb, if there is one.
    pub(super) fn borrowed_by_verb_until(&self) -> Option<DateTime<Utc>> {
        DateTime::from_timestamp_millis(self.borrowed_by_verb_until_ms).filter(|_| self.borrowed_by_verb_until_ms != 0)
    }

    /// How far the server's clock was ahead of this machine's when the server last told its time.
    pub(super) fn skew_ms(&self) -> i64 {
        self.skew_ms
    }

    /// The date at the server, as this process was told, or else as this machine's clock and its known error tell it.
    /// Borrows are judged by it, with and without a network.
    pub(super) fn date(&self, clock: &Clock) -> DateTime<Utc> {
        clock.told_date().unwrap_or_else(|| clock.wall_ahead_by(self.skew_ms))
    }

    /// The earlier of that and what this machine's clock shows. Who would give a borrow back goes by it, because the clock
    /// may have been put right since its error was noted.
    pub(super) fn earliest_date(&self, clock: &Clock) -> DateTime<Utc> {
        self.date(clock).min(clock.wall())
    }

    /// The end of the borrow that is proven to run now; `None` if no borrow is stored.
    ///
    /// # Errors
    /// [`Status::NoProof`] or [`Status::ClockMovedBack`] if a stored borrow is not believed.
    pub(super) fn proven_until(&self, context: &RequestContext) -> Result<Option<DateTime<Utc>>, Error> {
        let Some(proof) = &self.proof else { return Ok(None) };
        if self.in_doubt {
            return Err(no_proof("The borrow was being returned or changed when the server was last reached."));
        }
        let until = proof.until(context, self.feature.as_deref())?;
        let clock = &context.shared.clock;
        self.check_clock(clock, until)?;
        let date = self.date(clock);
        if until <= date {
            let (until, date) = (model::format_time(until), model::format_time(date));
            return Err(no_proof(format!("The borrow ended at {until}, and at the server it is {date}.")));
        }
        Ok(Some(until))
    }

    /// Returns whether a borrow runs, proven or made by a verb. While the clock can't be believed, a borrow that may run
    /// counts.
    pub(super) fn is_borrowed(&self, context: &RequestContext) -> bool {
        let date = self.earliest_date(&context.shared.clock);
        if self.borrowed_by_verb_until_ms > date.timestamp_millis() {
            return true;
        }
        match self.proven_until(context) {
            Ok(until) => until.is_some(),
            Err(error) if error.status == Status::ClockMovedBack => true,
            Err(_) => self
                .proof
                .as_ref()
                .filter(|_| !self.in_doubt)
                .is_some_and(|proof| proof.until(context, self.feature.as_deref()).is_ok_and(|until| until > date)),
        }
    }

    /// Refuses a clock that shows less than it has shown before, or than the server has told. A date that the server has told
    /// to this process needs no clock.
    fn check_clock(&self, clock: &Clock, borrowed_until: DateTime<Utc>) -> Result<(), Error> {
        let tolerated = |ms: i64| ms.saturating_sub(CLOCK_TOLERANCE.num_milliseconds());
        // What this machine's clock must show.
        let least_ms =
            tolerated(self.latest_local_ms).max(tolerated(self.latest_server_ms).saturating_sub(self.skew_ms));
        if clock.told_date().is_some() || clock.wall().timestamp_millis() >= least_ms {
            return Ok(());
        }
        let text = |ms| match DateTime::from_timestamp_millis(ms) {
            Some(date) if ms > 0 => model::format_time(date),
            _ => "nothing".to_owned(),
        };
        let mut message = format!(
            "It shows {}, but it has shown {} before; the server's clock has shown {}.",
            model::format_time(clock.wall()),
            text(self.latest_local_ms),
            text(self.latest_server_ms)
        );
        if least_ms.saturating_add(self.skew_ms) < borrowed_until.timestamp_millis() {
            message += &format!(" The borrow can be used again once it shows {}.", text(least_ms));
        }
        Err(Error::because(Status::ClockMovedBack, message))
    }
}

/// Members that are zero are left out, because the file of each slot is written several times a minute.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it like this")]
fn is_zero(number: &i64) -> bool {
    *number == 0
}

/// Reads a number that is not negative.
fn natural(stored: StoredObject, key: &str) -> Option<u64> {
    stored.number(key).and_then(|number| u64::try_from(number).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lease::slot::proof::Signed;
    use crate::server_clock::ServerClock;
    use crate::uptime;
    use std::sync::Arc;

    fn read(text: &str) -> Option<Record> {
        json::parse(text.as_bytes()).and_then(|stored| Record::from_stored(StoredObject::new(&stored)))
    }

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let signed = |body: &str, signature: Option<&str>| Signed {
            body: body.to_owned(),
            signature: signature.map(str::to_owned),
        };
        let proof = Proof { license: signed("{}", Some("a")), borrow: None };
        let whole = Record {
            feature: Some("COUNT".to_owned()),
            may_hold: true,
            proof: Some(Proof { borrow: Some(signed("[]", None)), ..proof.clone() }),
            in_doubt: true,
            return_pending: true,
            license_id: Some(7001),
            order: 9_007_199_254_740_991,
            unanswered_until_ms: 7,
            borrowed_by_verb_until_ms: 8,
            latest_local_ms: 5,
            latest_server_ms: -6,
            skew_ms: -7,
        };
        for record in [whole, Record { proof: Some(proof), ..Record::default() }, Record::default()] {
            assert_eq!(read(&serde_json::to_string(&record).unwrap()), Some(record));
        }
    }

    /// A record in which no member has its default.
    fn full_record() -> Record {
        let signed =
            |body: &str, signature: &str| Signed { body: body.to_owned(), signature: Some(signature.to_owned()) };
        Record {
            feature: Some("COUNT".to_owned()),
            may_hold: true,
            proof: Some(Proof { license: signed(r#"{"id":7001}"#, "license"), borrow: Some(signed("{}", "borrow")) }),
            in_doubt: true,
            return_pending: true,
            license_id: Some(7001),
            order: 41,
            unanswered_until_ms: 1_700_000_000_001,
            borrowed_by_verb_until_ms: 1_700_000_000_002,
            latest_local_ms: 1_700_000_000_003,
            latest_server_ms: 1_700_000_000_004,
            skew_ms: -5,
        }
    }

    /// The recorded file is `full_record()`, written by a [`SealedFile`] of product "XY" and hardware id "hw-1". If this
    /// fails, files of earlier versions can't be read any more: the format needs a new version.
    #[test]
    fn recorded_file_has_the_members_of_today() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/recorded.lease");
        let file = SealedFile::new(path, "XY", "hw-1").unwrap();
        assert_eq!(Record::read(&file, Some("COUNT")).unwrap(), full_record());
        let content: serde_json::Value = serde_json::from_slice(&file.read().unwrap().unwrap()).unwrap();
        assert_eq!(content, serde_json::to_value(full_record()).unwrap());
    }

    #[test]
    fn what_an_older_version_did_not_write_has_its_default_and_anything_else_is_no_record() {
        assert_eq!(read(r#"{"may_hold":true}"#), Some(Record { may_hold: true, ..Record::default() }));
        for text in [
            r"{}",
            r#"{"may_hold":1}"#,
            r#"{"may_hold":true,"feature":1}"#,
            r#"{"may_hold":true,"in_doubt":1}"#,
            r#"{"may_hold":true,"return_pending":1}"#,
            r#"{"may_hold":true,"license_id":-1}"#,
            r#"{"may_hold":true,"order":"1"}"#,
            r#"{"may_hold":true,"unanswered_until_ms":true}"#,
            r#"{"may_hold":true,"borrowed_by_verb_until_ms":true}"#,
            r#"{"may_hold":true,"latest_local_ms":true}"#,
            r#"{"may_hold":true,"latest_server_ms":true}"#,
            r#"{"may_hold":true,"skew_ms":true}"#,
            r#"{"may_hold":true,"proof":{}}"#,
            r#"{"may_hold":true,"proof":{"license":{}}}"#,
            r#"{"may_hold":true,"proof":{"license":{"body":"","signature":1}}}"#,
            r#"{"may_hold":true,"proof":{"license":{"body":""},"borrow":1}}"#,
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    const HOUR: TimeDelta = TimeDelta::hours(1);

    /// The clocks of a process, which the server has told that its own is ahead by `skew`.
    fn clock(skew: Option<(TimeDelta, bool)>) -> Clock {
        let server = ServerClock::new(skew.is_none_or(|(_, is_authentic)| is_authentic));
        skew.into_iter().for_each(|(skew, _)| server.note(model::now() + skew, uptime::now_ms()));
        Clock::of(Arc::new(server))
    }

    /// The clock of the next process, whose wall clock is `later`.
    fn next(later: TimeDelta) -> Clock {
        let clock = clock(None);
        clock.advance(u32::try_from(later.num_milliseconds()).unwrap());
        clock
    }

    /// A record that was written now by a process with this clock.
    fn written(clock: &Clock) -> Record {
        let path = std::env::temp_dir().join(format!("floatlease-record-{:?}", std::thread::current().id()));
        let file = SealedFile::new(path.clone(), "XY", "hw-1").unwrap();
        Record::of(None).write(&file, clock).unwrap();
        let read = Record::read(&file, None).unwrap();
        std::fs::remove_file(path).unwrap();
        read
    }

    fn is_refused(record: &Record, clock: &Clock) -> bool {
        record.check_clock(clock, model::now()).is_err_and(|error| error.status == Status::ClockMovedBack)
    }

    /// How many minutes the first date is after the second.
    fn minutes_after(date: DateTime<Utc>, other: DateTime<Utc>) -> i64 {
        (date - other + TimeDelta::seconds(30)).num_minutes()
    }

    #[test]
    fn clock_that_shows_less_than_before_proves_nothing() {
        let shown = next(HOUR * 3);
        let record = written(&shown);
        assert!(is_refused(&record, &next(HOUR * 2)) && !is_refused(&record, &next(HOUR * 3 - TimeDelta::minutes(4))));
        for skew in [HOUR, -HOUR, TimeDelta::minutes(-6)] {
            let told = clock(Some((skew, true)));
            told.advance(3 * 3_600_000);
            let record = written(&told);
            assert!(!is_refused(&record, &next(HOUR * 3)), "it is always wrong by {skew}");
            assert!(is_refused(&record, &next(HOUR * 2)), "set back");
            assert!(!is_refused(&record, &told), "who was told needs no clock");
        }
    }

    #[test]
    fn known_error_of_the_clock_is_corrected() {
        for (skew, is_authentic, corrected_by) in [
            (TimeDelta::seconds(330), true, TimeDelta::seconds(330)),
            (TimeDelta::days(400), true, TimeDelta::days(400)),
            (-HOUR * 2, true, -HOUR * 2),
            (-HOUR * 100, true, -MAX_FAST),
            (HOUR, false, HOUR),
            // Anybody could have forged that, and a borrow would last longer.
            (-HOUR, false, TimeDelta::zero()),
        ] {
            let record = written(&clock(Some((skew, is_authentic))));
            for later in [TimeDelta::zero(), HOUR * 50] {
                let clock = next(later);
                let found = minutes_after(record.date(&clock), clock.wall() + corrected_by);
                assert_eq!(found, 0, "{skew} {is_authentic}");
            }
        }
    }

    #[test]
    fn date_that_the_server_told_to_this_process_outranks_the_record() {
        let slow = written(&clock(Some((HOUR * 10, true))));
        let (told, untold) = (clock(Some((TimeDelta::zero(), true))), next(TimeDelta::zero()));
        assert_eq!(minutes_after(slow.date(&told), model::now()), 0);
        assert_eq!(minutes_after(slow.date(&untold), model::now() + HOUR * 10), 0);
        assert_eq!(minutes_after(slow.earliest_date(&untold), model::now()), 0, "nothing is given back by it");
        let mut record = slow.clone();
        record.note_clocks(&told);
        assert_eq!(minutes_after(record.date(&untold), model::now()), 0, "the next write corrects the record");
    }

    #[test]
    fn refused_clock_is_told_when_the_borrow_can_be_used_again() {
        let record = written(&next(HOUR));
        let error = record.check_clock(&next(TimeDelta::zero()), model::now() + HOUR * 2).unwrap_err();
        let usable = DateTime::from_timestamp_millis(record.latest_local_ms).unwrap() - CLOCK_TOLERANCE;
        let said = format!("The borrow can be used again once it shows {}.", model::format_time(usable));
        assert!(error.message().ends_with(&said), "{}", error.message());
        let error = record.check_clock(&next(TimeDelta::zero()), model::now()).unwrap_err();
        assert!(!error.message().contains("used again"), "the borrow is over by then: {}", error.message());
        // Nothing is known of the clock but what it shows.
        let record = Record { latest_server_ms: i64::MAX, skew_ms: i64::MIN, ..Record::default() };
        let error = record.check_clock(&next(HOUR), model::now()).unwrap_err();
        assert!(error.message().contains("has shown nothing before"), "{}", error.message());
    }

    #[test]
    fn date_of_the_server_replaces_what_a_wrong_clock_has_shown_unless_it_may_be_forged() {
        for (is_authentic, is_refused_then) in [(true, false), (false, true)] {
            let mut record = written(&next(HOUR * 24));
            record.note_clocks(&clock(Some((TimeDelta::zero(), is_authentic))));
            assert_eq!(is_refused(&record, &next(TimeDelta::zero())), is_refused_then);
        }
    }
}
