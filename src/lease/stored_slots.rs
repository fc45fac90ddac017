//! What this device holds of a license as the files in `storage_dir` tell, whichever process has taken it, and its release
//! by a process that holds none of it.

use crate::client::jittered;
use crate::config::checked_millis;
use crate::error::Error;
use crate::json;
use crate::lease::acquire_request::features;
use crate::lease::context::{RequestContext, Shared};
use crate::lease::license_ref::{LicenseRef, take_license_keys};
use crate::lease::slot::{Record, ReleaseMode, Slot, StoredRelease};
use crate::model;
use crate::operations::Kind;
use crate::status::{Category, Status};
use crate::strict;
use serde_json::Value;
use std::path::Path;
use std::time::Duration;

/// The pause before slots are tried again that could not be released.
const PAUSE: Duration = Duration::from_millis(100);
/// The shortest time limit of a request, however many slots there are.
const LEAST_TIMEOUT: Duration = Duration::from_millis(100);

/// Lists the slots of a license that this device may hold.
pub(crate) fn list(shared: &Shared, request_json: &str) -> Result<String, Error> {
    let what = "stored_slots";
    let folder = folder(shared, what)?;
    let mut given = strict::parse_object("the request", request_json)?;
    let license_keys = take_license_keys(&mut given);
    strict::check(what, &mut given, &[])?;
    let license_ref = LicenseRef::new(&shared.client, license_keys)?;
    let timeout = shared.client.config().timeout;
    let in_flight = shared.begin_host_call(timeout, None);
    let context = shared.context(&license_ref, &in_flight.call, timeout);
    let mut slots = Vec::new();
    for record in Record::stored(folder, &license_ref)? {
        match record.and_then(|record| described(&context, record.feature)) {
            Ok(slot) => slots.extend(slot),
            Err(error) => slots.push(unreadable(&error)),
        }
    }
    Ok(json::object(&[("slots", slots.into())]))
}

/// Describes the slot of this feature, if this device may hold it.
fn described(context: &RequestContext, feature: Option<String>) -> Result<Option<Value>, Error> {
    let slot = Slot::new(context.shared, context.license_ref, feature.as_deref())?;
    let Some(stored) = slot.stored(context)? else { return Ok(None) };
    let state = match (stored.is_borrowed, stored.in_use) {
        (true, _) => "borrowed",
        (false, true) => "held",
        (false, false) => "left",
    };
    Ok(Some(json::value(&[
        ("feature", feature.into()),
        ("license_id", stored.license_id.into()),
        ("state", state.into()),
        ("borrowed_until", stored.borrowed_until.map(model::format_time).into()),
        ("in_use", stored.in_use.into()),
        ("reason", stored.doubt.into()),
    ])))
}

/// Describes a record that can't be read, so that nothing is known of its slot.
fn unreadable(error: &Error) -> Value {
    json::value(&[
        ("feature", Value::Null),
        ("license_id", Value::Null),
        ("state", "unreadable".into()),
        ("borrowed_until", Value::Null),
        ("in_use", Value::Null),
        ("reason", error.message().into()),
    ])
}

/// Releases slots of a license that this device may hold and that no process holds.
pub(crate) fn release(shared: &Shared, request_json: &str) -> Result<String, Error> {
    let request = ReleaseRequest::parse(shared, request_json)?;
    let folder = folder(shared, ReleaseRequest::NAME)?;
    let in_flight = shared.begin_host_call(request.timeout, None);
    let mut slots = Vec::new();
    let mut unreadable_records = Vec::new();
    for record in Record::stored(folder, &request.license_ref)? {
        match record {
            Ok(record) if request.is_meant(record.feature.as_deref()) => {
                slots.push(Slot::new(shared, &request.license_ref, record.feature.as_deref())?);
            }
            Ok(_) => {}
            Err(error) => unreadable_records.push(error),
        }
    }
    // A slot whose request gets no answer leaves time for the others.
    let share = request.timeout / u32::try_from(slots.len().max(1)).unwrap_or(u32::MAX);
    let timeout = shared.client.config().timeout.min(share.max(LEAST_TIMEOUT));
    let context = shared.context(&request.license_ref, &in_flight.call, timeout);
    let outcomes = request.release(&context, &mut slots);
    let mut report = Report::default();
    for (slot, outcome) in slots.iter().zip(outcomes) {
        report.add(slot, outcome);
    }
    // A record that can't be read may be about any slot, so it counts only if all are meant.
    for error in unreadable_records.iter().filter(|_| request.features.is_none()) {
        report.left.push(failed(None, None, error));
    }
    Ok(report.text())
}

/// The request of a release.
struct ReleaseRequest {
    license_ref: LicenseRef,
    /// The features whose slots are meant (`None`: the license's own); without it, all.
    features: Option<Vec<Option<String>>>,
    mode: ReleaseMode,
    wait_for_holders: bool,
    /// The time limit of the whole call.
    timeout: Duration,
}

impl ReleaseRequest {
    const NAME: &str = "release_stored_slots";

    fn parse(shared: &Shared, request_json: &str) -> Result<ReleaseRequest, Error> {
        let mut given = strict::parse_object("the request", request_json)?;
        let license_keys = take_license_keys(&mut given);
        let own = [
            ("all", Kind::Boolean),
            ("feature", Kind::Text),
            ("features", Kind::Texts),
            ("keep_borrows", Kind::Boolean),
            ("wait_for_holders", Kind::Boolean),
            ("timeout_ms", Kind::Integer),
        ];
        strict::check(ReleaseRequest::NAME, &mut given, &own)?;
        let mut flag = |key: &str| given.remove(key) == Some(Value::Bool(true));
        let (all, keep_borrows, wait_for_holders) = (flag("all"), flag("keep_borrows"), flag("wait_for_holders"));
        let names_features = given.contains_key("feature") || given.contains_key("features");
        if all && names_features {
            let message = "\"all\" and the features of release_stored_slots exclude each other: give only one of them.";
            return Err(Error::because(Status::ConflictingKeys, message));
        }
        let timeout = match given.remove("timeout_ms") {
            Some(value) => checked_millis("timeout_ms", value.as_u64())?,
            None => shared.client.config().timeout,
        };
        let features = if all { None } else { Some(features(ReleaseRequest::NAME, &mut given)?) };
        Ok(ReleaseRequest {
            license_ref: LicenseRef::new(&shared.client, license_keys)?,
            features,
            mode: if keep_borrows { ReleaseMode::KeepBorrow } else { ReleaseMode::ReturnBorrow },
            wait_for_holders,
            timeout,
        })
    }

    /// Returns whether the slot of this feature is to be released.
    fn is_meant(&self, feature: Option<&str>) -> bool {
        let lower = |feature: Option<&str>| feature.map(str::to_ascii_lowercase);
        let is_same = |meant: &Option<String>| lower(meant.as_deref()) == lower(feature);
        self.features.as_ref().is_none_or(|features| features.iter().any(is_same))
    }

    /// Releases these slots. Tries again while the call lasts, as far as that may help.
    fn release(&self, context: &RequestContext, slots: &mut [Slot]) -> Vec<Result<StoredRelease, Error>> {
        let mut outcomes: Vec<_> = slots.iter_mut().map(|slot| slot.release_stored(context, self.mode)).collect();
        while outcomes.iter().any(|outcome| self.may_change(outcome)) && context.pause(jittered(PAUSE)).is_ok() {
            for (slot, outcome) in slots.iter_mut().zip(&mut outcomes) {
                if self.may_change(outcome) {
                    let again = slot.release_stored(context, self.mode);
                    // The end of the call says less than what came before it.
                    let says_less = again.as_ref().is_err_and(is_end_of_call);
                    if !says_less || outcome.as_ref().is_err_and(is_end_of_call) {
                        *outcome = again;
                    }
                }
            }
        }
        outcomes
    }

    /// Returns whether another try may have another outcome.
    fn may_change(&self, outcome: &Result<StoredRelease, Error>) -> bool {
        match outcome {
            Ok(StoredRelease::InUse) => self.wait_for_holders,
            Ok(_) => false,
            Err(error) => {
                let is_of_network = error.status.row().category == Category::Network;
                (is_of_network || error.status == Status::OutOfResources) && error.status != Status::Cancelled
            }
        }
    }
}

fn is_end_of_call(error: &Error) -> bool {
    matches!(error.status, Status::Timeout | Status::Cancelled)
}

/// What became of the slots.
#[derive(Default)]
struct Report {
    released: Vec<Value>,
    kept: Vec<Value>,
    left: Vec<Value>,
}

impl Report {
    fn add(&mut self, slot: &Slot, outcome: Result<StoredRelease, Error>) {
        let named = named(slot.feature.as_deref(), slot.license_id());
        let left = |why: &str, reason: &str| {
            let why = [("why", why.into()), ("status", Value::Null), ("name", Value::Null), ("category", Value::Null)];
            json::value(&[&named[..], &why, &[("reason", reason.into())]].concat())
        };
        match outcome {
            Ok(StoredRelease::Released) => self.released.push(json::value(&named)),
            Ok(StoredRelease::Kept) => self.kept.push(json::value(&named)),
            Ok(StoredRelease::NotHeld) => {}
            Ok(StoredRelease::InUse) => {
                self.left.push(left("in_use", "A process of this machine holds it."));
            }
            Ok(StoredRelease::Unanswered) => {
                let reason = "The server has freed it, but may still carry out an earlier request that got no answer.";
                self.left.push(left("unanswered", reason));
            }
            Err(error) => self.left.push(failed(slot.feature.as_deref(), slot.license_id(), &error)),
        }
    }

    fn text(self) -> String {
        json::object(&[("released", self.released.into()), ("kept", self.kept.into()), ("left", self.left.into())])
    }
}

/// Describes a slot that could not be released.
fn failed(feature: Option<&str>, license_id: Option<u64>, error: &Error) -> Value {
    let row = error.status.row();
    let why = [
        ("why", "failed".into()),
        ("status", row.number.into()),
        ("name", row.name.into()),
        ("category", row.category.name().into()),
        ("reason", error.message().into()),
    ];
    json::value(&[&named(feature, license_id)[..], &why].concat())
}

fn named(feature: Option<&str>, license_id: Option<u64>) -> [(&'static str, Value); 2] {
    [("feature", feature.into()), ("license_id", license_id.into())]
}

fn folder<'a>(shared: &'a Shared, what: &str) -> Result<&'a Path, Error> {
    shared.folder().ok_or_else(|| {
        let message = format!("{what} reads the files of this device, so \"storage_dir\" must be in the config.");
        Error::because(Status::MissingKey, message)
    })
}
