//! What is kept of a slot on disk: whether the server may count it for this device, and what proves a borrow.
//!
//! Written before a request leaves and again when its answer is known, always by whoever stands in the slot's gate. So
//! whatever instant a process dies at, the next one knows what this device may hold, and asks.

use crate::client::{Answer, Client};
use crate::error::Error;
use crate::lease::acquire_request::LicenseRef;
use crate::lease::clock::Clock;
use crate::lease::context::RequestContext;
use crate::lease::state_machine::Millis;
use crate::lease::storage::json::{self, StoredObject};
use crate::lease::storage::sealed_file::SealedFile;
use crate::model;
use crate::reply::judge_kept;
use crate::status::Status;
use crate::strict::Object;
use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// So much a clock may be put back by whoever keeps it right.
const TOLERANCE: TimeDelta = TimeDelta::minutes(5);

/// No request lives longer than the longest `timeout_ms`.
pub(crate) const LONGEST_LIFE_MS: i64 = 60 * 60 * 1000;

/// The record of one slot.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Record {
    /// Of this feature, or of the license itself.
    pub(crate) feature: Option<String>,
    /// The server may count the slot for this device.
    pub(crate) may_hold: bool,
    /// It has lent it.
    pub(crate) proof: Option<Proof>,
    /// It was asked to change that, and nobody has heard its answer yet: the proof proves nothing until it is asked.
    pub(crate) in_doubt: bool,
    /// The host has given the borrow back, and the last one out will tell the server.
    pub(crate) return_pending: bool,
    /// The license whose slot it is, as the server named it: a user may have several.
    pub(crate) license_id: Option<u64>,
    /// The order number of the last request about the slot.
    pub(crate) order: u64,
    /// A request about the slot has no answer yet. A server that knows no order numbers may carry it out until this time,
    /// in milliseconds since 1970.
    unanswered_until_ms: i64,
    /// A verb has borrowed the slot until this time, in milliseconds since 1970. Nothing proves it without the server,
    /// but who leaves the slot must not give it back.
    borrowed_by_verb_until_ms: i64,
    /// The latest date this machine's clock has shown, in milliseconds since 1970.
    latest_local_ms: i64,
    /// And the latest that the server has told.
    latest_server_ms: i64,
    /// The server has just told it, so what this machine's clock shows does not count.
    #[serde(skip)]
    server_time_fresh: bool,
}

/// The server's replies that together prove a borrow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Proof {
    /// check_license, asked after the borrow: its signatures bind license, device, hardware id and what is borrowed.
    pub(crate) license: Signed,
    /// The borrow's reply binds license, device and date; missing only if it was lost and the license tells the date.
    pub(crate) borrow: Option<Signed>,
}

/// A reply as it came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Signed {
    pub(crate) body: String,
    signature: Option<String>,
}

impl Signed {
    fn from_stored(stored: StoredObject) -> Option<Signed> {
        Some(Signed { body: stored.text("body")?, signature: stored.optional("signature", StoredObject::text)? })
    }
}

impl From<&Answer> for Signed {
    fn from(answer: &Answer) -> Self {
        Signed { body: answer.text.clone(), signature: answer.signature.clone() }
    }
}

impl Record {
    /// Nothing is held, and nothing was ever seen.
    pub(crate) fn of(feature: Option<&str>) -> Record {
        Record { feature: feature.map(str::to_owned), ..Record::default() }
    }

    /// What was kept in `file`; a new record if nothing was.
    pub(crate) fn read(file: &SealedFile, feature: Option<&str>) -> Result<Record, Error> {
        let Some(record) = Record::read_any(file)? else { return Ok(Record::of(feature)) };
        // Its name is anybody's to change, so what is inside tells whose it is.
        let of = |feature: Option<&str>| feature.map(str::to_ascii_lowercase);
        if of(record.feature.as_deref()) == of(feature) {
            Ok(record)
        } else {
            Err(Error::because(Status::StorageDamaged, "It was written for another slot and renamed."))
        }
    }

    /// What was kept in `file`, if anything was.
    fn read_any(file: &SealedFile) -> Result<Option<Record>, Error> {
        let Some(content) = file.read()? else { return Ok(None) };
        json::parse(&content).and_then(|stored| Record::from_stored(StoredObject::new(&stored))).map(Some).ok_or_else(
            || {
                Error::because(
                    Status::StorageDamaged,
                    "It was written by another version of floatlease, or is incomplete.",
                )
            },
        )
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

    /// The features (`None`: the license) whose slots this device may hold, as far as `folder` knows.
    pub(crate) fn stored_features(folder: &Path, license_ref: &LicenseRef) -> Vec<Option<String>> {
        let prefix = license_ref.file_prefix();
        let entries = std::fs::read_dir(folder).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
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

    /// Keeps it, and the date as of now.
    pub(crate) fn write(&mut self, file: &SealedFile, clock: &Clock) -> Result<(), Error> {
        if !self.server_time_fresh {
            self.latest_local_ms = self.latest_local_ms.max(clock.wall().timestamp_millis());
        }
        let content =
            serde_json::to_vec(self).map_err(|_| Error::because(Status::Internal, "A record has no text."))?;
        file.write(&content)
    }

    /// Notes that a request about the slot is going to be sent, which may be carried out within `life_ms`. Returns the
    /// mark by which [`Record::forget_unanswered`] knows it.
    pub(crate) fn expect_answer(&mut self, clock: &Clock, life_ms: i64) -> i64 {
        let until_ms = clock.wall().timestamp_millis().saturating_add(life_ms);
        self.unanswered_until_ms = self.unanswered_until_ms.max(until_ms);
        self.unanswered_until_ms
    }

    /// The request of this mark was answered. False if another one is outstanding by now.
    pub(crate) fn forget_unanswered(&mut self, mark: i64) -> bool {
        let is_last = self.unanswered_until_ms == mark;
        if is_last {
            self.unanswered_until_ms = 0;
        }
        is_last
    }

    /// Until when a request without an answer may be carried out, if one is outstanding. A clock that was set back must
    /// not make it outstanding for longer than any request lives.
    pub(crate) fn unanswered_until(&self, clock: &Clock) -> Option<Millis> {
        let left_ms = self.unanswered_until_ms.saturating_sub(clock.wall().timestamp_millis()).min(LONGEST_LIFE_MS);
        (left_ms > 0).then(|| clock.now().saturating_add(left_ms))
    }

    /// The answer has come: what was outstanding before it was sent is so still. `None`: a server that knows order numbers
    /// has answered, so nothing is.
    pub(crate) fn answered(&mut self, before: Option<&Record>) {
        self.unanswered_until_ms = before.map_or(0, |before| before.unanswered_until_ms);
    }

    /// Notes that a verb has borrowed the slot until then, or that it is not borrowed.
    pub(crate) fn set_borrowed_by_verb(&mut self, until: Option<DateTime<Utc>>) {
        self.borrowed_by_verb_until_ms = until.map_or(0, |until| until.timestamp_millis());
    }

    /// Until when a verb has borrowed the slot, if one has.
    pub(crate) fn borrowed_by_verb_until(&self) -> Option<DateTime<Utc>> {
        DateTime::from_timestamp_millis(self.borrowed_by_verb_until_ms).filter(|_| self.borrowed_by_verb_until_ms != 0)
    }

    /// Whether a verb has borrowed the slot, and for longer than now.
    pub(crate) fn is_borrowed_by_verb(&self, clock: &Clock) -> bool {
        self.borrowed_by_verb_until_ms > clock.wall().timestamp_millis()
    }

    /// Remembers the date that an answer carried, if it carried one.
    ///
    /// Over an unencrypted connection to another machine anybody can forge it, so it only raises the latest known server
    /// time. Otherwise it replaces what this machine's clock has shown, which may have been wrong.
    pub(crate) fn note_server_time(&mut self, context: &RequestContext, answer: &Answer) {
        let config = context.client.config();
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

    /// The end of the borrow that is proven to run now; `None` if nothing says that there is one.
    ///
    /// # Errors
    /// [`Status::NoProof`] and [`Status::ClockMovedBack`]: there is one, and it does not hold.
    pub(crate) fn proven_until(
        &self,
        client: &Client,
        license_ref: &LicenseRef,
        clock: &Clock,
    ) -> Result<Option<DateTime<Utc>>, Error> {
        let Some(proof) = &self.proof else { return Ok(None) };
        if self.in_doubt {
            return Err(no_proof("The borrow was being given back or changed when it was last heard of."));
        }
        self.check_clock(clock.wall())?;
        let until = proof.until(client, license_ref, self.feature.as_deref())?;
        if until <= clock.wall() {
            return Err(no_proof(format!("The borrow ended at {}.", model::format_time(until))));
        }
        Ok(Some(until))
    }

    /// A clock that shows less than it has shown, or than the server has said, proves nothing.
    fn check_clock(&self, wall: DateTime<Utc>) -> Result<(), Error> {
        let latest = self.latest_local_ms.max(self.latest_server_ms);
        let back = |ms| DateTime::from_timestamp_millis(ms).is_some_and(|date| wall + TOLERANCE < date);
        if !back(latest) {
            return Ok(());
        }
        let shown = |ms| match DateTime::from_timestamp_millis(ms) {
            Some(date) if ms > 0 => model::format_time(date),
            _ => "nothing".to_owned(),
        };
        let (by_clock, by_server) = (shown(self.latest_local_ms), shown(self.latest_server_ms));
        let message = format!(
            "It shows {}, but it has shown {by_clock} before; the server's clock has said {by_server}.",
            model::format_time(wall)
        );
        Err(Error::because(Status::ClockMovedBack, message))
    }
}

impl Proof {
    fn from_stored(stored: StoredObject) -> Option<Proof> {
        Some(Proof {
            license: Signed::from_stored(stored.object("license")?)?,
            borrow: stored.optional("borrow", |stored, key| Signed::from_stored(stored.object(key)?))?,
        })
    }

    /// Until when it proves the slot to be borrowed, whatever time it is.
    pub(crate) fn until(
        &self,
        client: &Client,
        license_ref: &LicenseRef,
        feature: Option<&str>,
    ) -> Result<DateTime<Utc>, Error> {
        // No request of these is sent: they say what the replies must answer.
        let judge = |operation, own: &[(&str, Value)], signed: &Signed| {
            let request = license_ref.request(client, operation, own, Duration::from_secs(1))?;
            judge_kept(&request, &signed.body, signed.signature.as_deref(), client.config()).map_err(does_not_hold)
        };
        let license = judge("check_license", &[], &self.license)?;
        let dated = match (&self.borrow, feature) {
            (None, _) => return borrowed_until(&license, feature).ok_or_else(|| no_proof("It tells no date.")),
            (Some(borrow), None) => judge("borrow_license", &[], borrow)?,
            (Some(borrow), Some(feature)) => judge("borrow_feature", &[("feature", feature.into())], borrow)?,
        };
        if dated.get("license_id") != license.get("id") || dated.get("device_id") != license.get("device_id") {
            return Err(no_proof("The replies are about different devices or licenses."));
        }
        // The API asks nobody to name the feature in a borrow's reply; the license then tells what is borrowed. Of itself it
        // always does, and a reply that names a feature is about no license.
        let told = entry(&license, feature);
        let named = feature.is_some() && dated.contains_key("feature");
        if !named && !told.is_some_and(is_borrowed) {
            return Err(no_proof("The replies do not say that this is borrowed."));
        }
        let ends = date(&dated).ok_or_else(|| no_proof("The borrow tells no date."))?;
        // A reply to another borrow of this license would tell another date.
        Ok(told.and_then(date).map_or(ends, |told| told.min(ends)))
    }
}

/// A number that is not negative.
fn natural(stored: StoredObject, key: &str) -> Option<u64> {
    stored.number(key).and_then(|number| u64::try_from(number).ok())
}

/// Until when a check_license reply says that the license's own slot is borrowed, or a feature's. The API asks nobody to
/// tell a feature's date there.
pub(crate) fn borrowed_until(license: &Object, feature: Option<&str>) -> Option<DateTime<Utc>> {
    let entry = entry(license, feature)?;
    date(entry).filter(|_| is_borrowed(entry))
}

/// What a check_license reply says of the license itself, or of a feature.
fn entry<'a>(license: &'a Object, feature: Option<&str>) -> Option<&'a Object> {
    let Some(feature) = feature else { return Some(license) };
    let entries = license.get("product_features").and_then(Value::as_array)?.iter().filter_map(Value::as_object);
    let code = |entry: &&Object| entry.get("code").and_then(Value::as_str).map(str::to_owned);
    entries.into_iter().find(|entry| code(entry).is_some_and(|code| code.eq_ignore_ascii_case(feature)))
}

fn is_borrowed(entry: &Object) -> bool {
    entry.get("is_borrowed") == Some(&Value::Bool(true))
}

/// The member `borrowed_until`.
fn date(reply: &Object) -> Option<DateTime<Utc>> {
    reply.get("borrowed_until").and_then(Value::as_str).and_then(model::parse_time)
}

fn no_proof(why: impl Into<String>) -> Error {
    Error::because(Status::NoProof, why)
}

/// What was kept is judged like a reply; what is wrong with it is not this call's outcome.
fn does_not_hold(error: Error) -> Error {
    no_proof(format!("What is stored is not believed: {}", error.message()))
}

#[cfg(test)]
mod tests {
    use super::*;

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
