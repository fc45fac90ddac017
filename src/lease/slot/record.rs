//! What is stored about a slot: whether the server may count it for this device, and what proves a borrow.
//!
//! The record is written before a request leaves and again when its answer is known, always under the slot's process lock.
//! So at whatever instant a process dies, the next one knows what this device may hold, and asks the server.
//!
//! The names of the members are part of the file's format. `tests/data/recorded.lease` pins them: a test reads this file,
//! and compares its JSON with what is written today. An attribute beside each member would only repeat its name.

use crate::client::Answer;
use crate::descriptor;
use crate::error::Error;
use crate::lease::clock::Clock;
use crate::lease::context::RequestContext;
use crate::lease::license_ref::LicenseRef;
use crate::lease::slot::proof::{Proof, no_proof};
use crate::lease::state_machine::Millis;
use crate::lease::storage::json::{self, StoredObject};
use crate::lease::storage::sealed_file::SealedFile;
use crate::model;
use crate::status::Status;
use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// How far a correct clock may be set back, as by a time service.
const CLOCK_TOLERANCE: TimeDelta = TimeDelta::minutes(5);

/// No request lives longer than the longest `timeout_ms`.
pub(crate) const LONGEST_LIFE_MS: i64 = 60 * 60 * 1000;

/// The record of one slot.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Record {
    /// The feature of the slot; `None`: the license's own slot.
    pub(super) feature: Option<String>,
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
    unanswered_until_ms: i64,
    /// A verb has borrowed the slot until this time, in milliseconds since 1970. No proof is stored, but a process that
    /// closes its lease must not end the borrow.
    borrowed_by_verb_until_ms: i64,
    /// The latest time that this machine's clock has shown, in milliseconds since 1970.
    latest_local_ms: i64,
    /// The latest time that the server has told, in milliseconds since 1970.
    latest_server_ms: i64,
    /// True if the server has told its time since the record was read. This machine's clock does not count then.
    #[serde(skip)]
    server_time_fresh: bool,
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
            server_time_fresh: false,
        })
    }

    /// The features (`None`: the license) whose slots this device may hold, as far as the records in `folder` say.
    pub(crate) fn stored_features(folder: &Path, license_ref: &LicenseRef) -> Vec<Option<String>> {
        let prefix = license_ref.file_prefix();
        let entries = descriptor::with_standard_taken(|| std::fs::read_dir(folder));
        let entries = entries.into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
        let is_ours = |path: &PathBuf| {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            name.starts_with(&prefix) && name.ends_with(".lease")
        };
        let record = |path| {
            let file = SealedFile::new(path, &license_ref.product, &license_ref.hardware_id).ok()?;
            Record::read_any(&file).ok().flatten().filter(|record| record.may_hold)
        };
        entries.filter(is_ours).filter_map(record).map(|record| record.feature).collect()
    }

    /// Writes the record, and the time that the clock shows.
    pub(super) fn write(&mut self, file: &SealedFile, clock: &Clock) -> Result<(), Error> {
        if !self.server_time_fresh {
            self.latest_local_ms = self.latest_local_ms.max(clock.wall().timestamp_millis());
        }
        let content = serde_json::to_vec(self)
            .map_err(|_| Error::because(Status::Internal, "A record can't be written as JSON."))?;
        file.write(&content)
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

    /// Notes the time that an answer carried, if it carried one.
    ///
    /// Over an unencrypted connection to another machine anybody can forge it, so it only raises the latest known server
    /// time. Otherwise it replaces what this machine's clock has shown, which may have been wrong.
    pub(super) fn note_server_time(&mut self, context: &RequestContext, answer: &Answer) {
        let config = context.shared.client.config();
        if answer.skew.is_some() {
            let is_authentic = config.base_url.starts_with("https:") || config.is_local_server();
            self.set_server_time(context.wall_of(answer), is_authentic);
        }
    }

    fn set_server_time(&mut self, date: DateTime<Utc>, is_authentic: bool) {
        let date_ms = date.timestamp_millis();
        if is_authentic {
            (self.latest_server_ms, self.latest_local_ms, self.server_time_fresh) = (date_ms, 0, true);
        } else {
            self.latest_server_ms = self.latest_server_ms.max(date_ms);
        }
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
        let now = context.shared.clock.wall();
        self.check_clock(now)?;
        let until = proof.until(context, self.feature.as_deref())?;
        if until <= now {
            return Err(no_proof(format!("The borrow ended at {}.", model::format_time(until))));
        }
        Ok(Some(until))
    }

    /// Returns whether a borrow runs, proven or made by a verb. While the clock can't be believed, a borrow that may run
    /// counts.
    pub(super) fn is_borrowed(&self, context: &RequestContext) -> bool {
        if self.borrowed_by_verb_until_ms > context.shared.clock.wall().timestamp_millis() {
            return true;
        }
        match self.proven_until(context) {
            Ok(until) => until.is_some(),
            Err(error) => error.status == Status::ClockMovedBack,
        }
    }

    /// Refuses a clock that shows less than it has shown before, or than the server has told.
    fn check_clock(&self, wall: DateTime<Utc>) -> Result<(), Error> {
        let latest_ms = self.latest_local_ms.max(self.latest_server_ms);
        let is_back = DateTime::from_timestamp_millis(latest_ms).is_some_and(|latest| wall + CLOCK_TOLERANCE < latest);
        if !is_back {
            return Ok(());
        }
        let text = |ms| match DateTime::from_timestamp_millis(ms) {
            Some(date) if ms > 0 => model::format_time(date),
            _ => "nothing".to_owned(),
        };
        let message = format!(
            "It shows {}, but it has shown {} before; the server's clock has shown {}.",
            model::format_time(wall),
            text(self.latest_local_ms),
            text(self.latest_server_ms)
        );
        Err(Error::because(Status::ClockMovedBack, message))
    }
}

/// Reads a number that is not negative.
fn natural(stored: StoredObject, key: &str) -> Option<u64> {
    stored.number(key).and_then(|number| u64::try_from(number).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lease::slot::proof::Signed;

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
            server_time_fresh: false,
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
            server_time_fresh: false,
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
            r#"{"may_hold":true,"proof":{}}"#,
            r#"{"may_hold":true,"proof":{"license":{}}}"#,
            r#"{"may_hold":true,"proof":{"license":{"body":"","signature":1}}}"#,
            r#"{"may_hold":true,"proof":{"license":{"body":""},"borrow":1}}"#,
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    const HOUR: TimeDelta = TimeDelta::hours(1);

    /// A record that was written when the clock showed what it shows now, after the server told its date.
    fn written(said: Option<(DateTime<Utc>, bool)>) -> Record {
        let path = std::env::temp_dir().join(format!("floatlease-record-{:?}", std::thread::current().id()));
        let file = SealedFile::new(path.clone(), "XY", "hw-1").unwrap();
        let mut record = Record::of(None);
        record.write(&file, &Clock::default()).unwrap();
        if let Some((date, surely)) = said {
            record.set_server_time(date, surely);
        }
        record.write(&file, &Clock::default()).unwrap();
        let read = Record::read(&file, None).unwrap();
        std::fs::remove_file(path).unwrap();
        read
    }

    #[test]
    fn a_clock_that_shows_less_than_it_has_shown_or_the_server_has_said_proves_nothing() {
        let now = Utc::now();
        let is_refused = |record: &Record, wall| record.check_clock(wall).is_err();
        let record = written(None);
        assert!(is_refused(&record, now - HOUR) && !is_refused(&record, now - TimeDelta::minutes(4)));
        for surely in [true, false] {
            let record = written(Some((now + HOUR, surely)));
            assert!(is_refused(&record, now) && !is_refused(&record, now + HOUR));
        }
    }

    #[test]
    fn a_clock_that_was_ahead_is_forgiven_once_the_server_has_surely_told_its_date() {
        let now = Utc::now();
        // This machine's clock is a day ahead of the server's, and is put right later.
        assert!(written(Some((now - HOUR * 24, true))).check_clock(now - HOUR * 24).is_ok());
        let error = written(Some((now - HOUR * 24, false))).check_clock(now - HOUR * 24).unwrap_err();
        assert_eq!(error.status, Status::ClockMovedBack);
    }
}
