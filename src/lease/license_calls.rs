//! The verbs of a client that has leases: which license they are about, and what they do to the slots of those leases.

use crate::client::{Answer, unknown_operation};
use crate::error::{Error, Outcome};
use crate::http::{Call, Waiter};
use crate::lease::acquire_request::{LicenseRef, take_license_keys};
use crate::lease::consumption;
use crate::lease::consumption::sync::is_for_another_license;
use crate::lease::context::{Shared, life_ms, object};
use crate::lease::lease_inner::LeaseInner;
use crate::lease::manager::LeaseManager;
use crate::lease::release::SlotName;
use crate::lease::slot::Slot;
use crate::lease::slot::record::Record;
use crate::lease::state_machine::State;
use crate::lease::unanswered::{Late, Subject};
use crate::model;
use crate::operations::Operation;
use crate::request::{Request, wipe};
use crate::strict;
use chrono::{DateTime, Utc};
use serde_json::Value;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use zeroize::Zeroizing;

/// What a verb has done to slots.
enum Effect {
    /// The slot is borrowed until then.
    Borrowed(DateTime<Utc>),
    /// The slot is given back.
    Released,
    /// Every slot of the device is given back.
    Deactivated,
}

/// Operations that, while a lease of the same user is held, are about the license of that lease, unless the caller names
/// another: the user may have been sold a newer one since.
const ABOUT_THE_LEASE: [&str; 7] = [
    "borrow_license",
    "borrow_feature",
    "release_license",
    "release_feature",
    "deactivate_license",
    "add_consumption",
    "add_feature_consumption",
];

/// Operations that take a slot of what floats.
const TAKING: [&str; 4] = ["check_license", "check_feature", "borrow_license", "borrow_feature"];

/// Performs a verb, or [`consumption::SYNC`], and tells the leases of the client what it has done to their slots.
pub(crate) fn call(
    manager: &Arc<LeaseManager>,
    operation: &str,
    request_json: &str,
    begun: &mut dyn FnMut(&Arc<Call>),
) -> Result<String, Error> {
    let shared = &manager.shared;
    if operation == consumption::SYNC {
        return consumption::sync(shared, request_json, begun);
    }
    if Operation::named(operation).is_none() {
        return Err(unknown_operation(operation, &[consumption::SYNC]));
    }
    if let Some(given) = consumption::may_wait(operation, request_json) {
        let text = Zeroizing::new(serde_json::to_string(&given).unwrap_or_default());
        let request = shared.client.prepare(operation, &text).ok();
        let license_id = request.and_then(|request| license_of_lease(manager, &request));
        return consumption::add(shared, operation, given, license_id, begun);
    }
    let request = shared.client.prepare(operation, request_json)?;
    let (mut seen, timeout) = (Seen::of(&request), request.timeout);
    let in_flight = shared.client.begin(Waiter::Host, timeout);
    begun(&in_flight.call);
    let begun_at = shared.clock.now();
    let slot = SlotName { owner: seen.subject.owner.clone(), feature: seen.subject.feature.clone() };
    let suspended = TAKING.contains(&operation).then(|| manager.suspend(&in_flight.call, slot));
    let answer = match license_of_lease(manager, &request) {
        Some(license_id) => {
            let of_lease = shared.client.prepare(operation, &with_license(request_json, license_id)?)?;
            match shared.client.perform(&in_flight.call, of_lease) {
                Err(error) if is_for_another_license(&error) => shared.client.perform(&in_flight.call, request),
                answer => {
                    seen.license_id = Some(license_id);
                    answer
                }
            }
        }
        None => shared.client.perform(&in_flight.call, request),
    };
    if may_be_outstanding(operation, &answer) {
        tell_other_processes(manager, &seen, operation, request_json, &in_flight.call);
        if Late::of(operation) == Late::GivesBack {
            let leases = manager.leases();
            let has_slot = |lease: &&Arc<LeaseInner>| seen.subject.is_whole_device || lease.has_slot(seen.feature());
            let concerned = leases.iter().filter(|lease| seen.is_about(lease, None)).filter(has_slot);
            concerned.for_each(|lease| lease.note_unanswered_release(shared));
            manager.wake();
        }
    }
    let answer = settled(shared, &seen, operation, timeout, answer)?;
    let named = named_license(&answer);
    if let Some(suspended) = suspended {
        suspended.finish_acquire(|lease| seen.is_about(lease, named));
    }
    if let Some(effect) = effect(operation, &answer) {
        if let Some((license_ref, folder)) = license_ref_and_folder(manager, request_json) {
            let until = if let Effect::Borrowed(until) = effect { Some(until) } else { None };
            let features = match effect {
                Effect::Deactivated => Record::stored_features(folder, &license_ref),
                _ => vec![seen.feature().map(str::to_owned)],
            };
            // Leases of other processes learn it from the record; if that can't be had, their next renewal tells.
            for feature in features.iter().map(Option::as_deref) {
                if let Some(mut slot) = slot_on_disk(manager, &license_ref, feature, folder) {
                    slot.note_borrow_by_verb(&shared.context(&license_ref, &in_flight.call, timeout), until);
                }
            }
        }
        for lease in manager.leases().into_iter().filter(|lease| seen.is_about(lease, named)) {
            match effect {
                Effect::Borrowed(until) => lease.note_borrow_by_verb(shared, &in_flight.call, seen.feature(), until),
                Effect::Released => lease.note_release_by_verb(shared, &in_flight.call, Some(seen.feature()), begun_at),
                Effect::Deactivated => lease.note_release_by_verb(shared, &in_flight.call, None, begun_at),
            }
            manager.repeat_release_later(&lease);
        }
        manager.wake();
    }
    Ok(answer.text)
}

/// The answer to a verb, in the light of verbs about the same slot that got none. A server that knows no order numbers may
/// carry one of those out after it has said that there is nothing to give back.
fn settled(
    shared: &Shared,
    seen: &Seen,
    operation: &str,
    timeout: Duration,
    answer: Result<Answer, Error>,
) -> Result<Answer, Error> {
    let (now, subject) = (shared.clock.now(), &seen.subject);
    let in_order = answer.as_ref().map_or_else(|error| error.in_order, |answer| answer.in_order);
    let outstanding = shared.unanswered.until(subject, now);
    if in_order {
        shared.unanswered.settle(subject);
    } else if may_come_late(operation, &answer) {
        let until = now.saturating_add(life_ms(timeout));
        shared.unanswered.add(subject.clone(), Late::of(operation), until, now);
    }
    let gives_back = matches!(operation, "release_license" | "release_feature");
    answer.map_err(|error| match outstanding {
        Some(until) if gives_back && !in_order && error.is_refusal() => {
            let left = Duration::from_millis(until.saturating_sub(now).unsigned_abs());
            let message = format!(
                "An earlier request about this slot got no answer, so the server may still take it. Release it again in \
                 {} s.",
                left.as_secs() + 1
            );
            let mut error = error.with_detail(message).with_unknown_outcome();
            error.retry_after = Some(left);
            error
        }
        _ => error,
    })
}

/// Whether a server that knows no order numbers may carry a verb out, or once more, after what is asked next about a slot.
/// A late activation changes none.
fn may_come_late(operation: &str, answer: &Result<Answer, Error>) -> bool {
    let (in_order, unanswered) = match answer {
        Ok(answer) => (answer.in_order, answer.unanswered_attempt),
        Err(error) => (error.in_order, error.outcome == Outcome::Unknown),
    };
    let is_about_slots = Operation::named(operation).is_some_and(|row| row.ordered && row.name != "activate_license");
    unanswered && !in_order && is_about_slots
}

/// Whether a verb got no answer that decides, from whatever server.
fn may_be_outstanding(operation: &str, answer: &Result<Answer, Error>) -> bool {
    let is_unknown = answer.as_ref().is_err_and(|error| error.outcome == Outcome::Unknown);
    let gives_back = Late::of(operation) == Late::GivesBack;
    may_come_late(operation, answer) || is_unknown && gives_back
}

/// Notes in the records of the slots that a verb was about that it got no answer.
fn tell_other_processes(manager: &LeaseManager, seen: &Seen, operation: &str, request_json: &str, call: &Call) {
    let Some((license_ref, folder)) = license_ref_and_folder(manager, request_json) else { return };
    let context = manager.shared.context(&license_ref, call, manager.shared.client.config().timeout);
    let features = if seen.subject.is_whole_device {
        Record::stored_features(folder, &license_ref)
    } else {
        vec![seen.feature().map(str::to_owned)]
    };
    let gives_back = Late::of(operation) == Late::GivesBack;
    for feature in features.iter().map(Option::as_deref) {
        if let Some(slot) = slot_on_disk(manager, &license_ref, feature, folder) {
            slot.note_unanswered_verb(&context, gives_back);
        }
    }
}

/// Whose license a request is about, and the folder where the records of its slots are.
fn license_ref_and_folder<'a>(manager: &'a LeaseManager, request_json: &str) -> Option<(LicenseRef, &'a Path)> {
    let client = &manager.shared.client;
    let folder = client.config().storage_dir.as_deref()?;
    let mut given = strict::parse_object("the request", request_json).ok()?;
    Some((LicenseRef::new(client, take_license_keys(&mut given)).ok()?, folder))
}

/// The slot of this feature, as processes with the same folder share it.
fn slot_on_disk(
    manager: &LeaseManager,
    license_ref: &LicenseRef,
    feature: Option<&str>,
    folder: &Path,
) -> Option<Slot> {
    Slot::new(license_ref, feature, manager.process_lock(&license_ref.file_stem(feature)), Some(folder)).ok()
}

/// The license of a lease that a request is about, if it names none itself.
fn license_of_lease(manager: &LeaseManager, request: &Request) -> Option<u64> {
    if !ABOUT_THE_LEASE.contains(&request.operation.name) || request.said("license_id").is_some() {
        return None;
    }
    let leases = manager.leases();
    if leases.is_empty() {
        return None;
    }
    let owner = LicenseRef::owner_of(request);
    let is_held =
        |lease: &&Arc<LeaseInner>| lease.status().state() != State::Released && lease.license_ref().owner == owner;
    leases.iter().find(is_held).and_then(|lease| lease.license_id())
}

/// A request with this license beside what it says itself.
fn with_license(request_json: &str, license_id: u64) -> Result<Zeroizing<String>, Error> {
    let mut given = strict::parse_object("the request", request_json)?;
    given.insert("license_id".to_owned(), license_id.into());
    let text = Zeroizing::new(serde_json::to_string(&given).unwrap_or_default());
    given.values_mut().for_each(wipe);
    Ok(text)
}

/// What a request was about, once it is sent.
struct Seen {
    subject: Subject,
    license_id: Option<u64>,
}

impl Seen {
    fn of(request: &Request) -> Seen {
        let feature = request.said("feature").and_then(Value::as_str).map(str::to_owned);
        let is_whole_device = matches!(request.operation.name, "activate_license" | "deactivate_license");
        Seen {
            subject: Subject { owner: LicenseRef::owner_of(request), feature, is_whole_device },
            license_id: request.said("license_id").and_then(Value::as_u64),
        }
    }

    fn feature(&self) -> Option<&str> {
        self.subject.feature.as_deref()
    }

    /// Whether a lease is of the same license, device and user. `named` is the license that the reply names.
    fn is_about(&self, lease: &LeaseInner, named: Option<u64>) -> bool {
        let license = named.or(self.license_id);
        let is_license = license.is_none() || lease.license_id().is_none() || license == lease.license_id();
        lease.license_ref().owner == self.subject.owner && is_license
    }
}

/// The license that a reply names: one about a feature, or of a borrow, by "license_id", else by "id".
fn named_license(answer: &Answer) -> Option<u64> {
    let reply = object(answer);
    reply.get("license_id").or(reply.get("id")).and_then(Value::as_u64)
}

fn effect(operation: &str, answer: &Answer) -> Option<Effect> {
    match operation {
        "borrow_license" | "borrow_feature" => {
            let reply = object(answer);
            let until = reply.get("borrowed_until").and_then(Value::as_str).and_then(model::parse_time);
            until.map(Effect::Borrowed)
        }
        "release_license" | "release_feature" => Some(Effect::Released),
        "deactivate_license" => Some(Effect::Deactivated),
        _ => None,
    }
}
