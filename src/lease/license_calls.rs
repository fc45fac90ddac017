//! Verbs of a client that has leases, called directly: which license each is about, and what it does to the slots of the
//! leases.

use crate::client::{Answer, Client, unknown_operation};
use crate::config::checked_millis;
use crate::error::{Error, Outcome};
use crate::http::Call;
use crate::lease::background::ticket::{Priority, Ticket};
use crate::lease::consumption::{self, is_for_another_license};
use crate::lease::context::{Shared, is_in_order, life_ms, object};
use crate::lease::lease_inner::LeaseInner;
use crate::lease::license_ref::{LicenseRef, take_license_keys};
use crate::lease::manager::{LeaseManager, SlotName};
use crate::lease::slot::{Record, Slot};
use crate::lease::state_machine::{Millis, State};
use crate::lease::unanswered::{Late, Subject};
use crate::model;
use crate::operations::{Operation, SlotEffect};
use crate::request::{Request, wipe};
use crate::strict;
use chrono::{DateTime, Utc};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use zeroize::Zeroizing;

/// The effect that a verb has had on slots.
#[derive(Clone, Copy)]
enum Effect {
    /// The slot is borrowed until this date.
    Borrowed(DateTime<Utc>),
    /// The slot is released.
    Released,
    /// Every slot of the device is released.
    Deactivated,
}

/// The name of a verb or of [`consumption::SYNC`], and how urgent it is.
pub(crate) fn named(operation: &str) -> Option<(&'static str, Priority)> {
    if operation == consumption::SYNC {
        return Some((consumption::SYNC, Priority::Normal));
    }
    // What releases a slot waits for no call that only asks.
    let priority = |operation: &Operation| if operation.releases() { Priority::High } else { Priority::Normal };
    let known = Operation::named(operation).or_else(|| Operation::of_file(operation));
    known.map(|operation| (operation.name, priority(operation)))
}

/// How long such a call may last. A request that is wrong is refused when the call runs.
pub(crate) fn time_limit(client: &Client, request_json: &str) -> Duration {
    let given = strict::parse_object("the request", request_json).unwrap_or_default();
    let limit = given.get("timeout_ms").and_then(|value| checked_millis("timeout_ms", value.as_u64()).ok());
    limit.unwrap_or(client.config().timeout)
}

/// Calls a verb, or [`consumption::SYNC`], and tells the leases of the client what it has done to their slots.
pub(crate) fn call(
    manager: &Arc<LeaseManager>,
    operation: &str,
    request_json: &str,
    ticket: Option<&Ticket>,
) -> Result<String, Error> {
    let shared = &*manager.shared;
    if operation == consumption::SYNC {
        return manager.consumptions.sync(request_json, ticket);
    }
    if let Some(operation) = Operation::of_file(operation) {
        return shared.client.call_offline(operation, request_json);
    }
    let Some(operation) = Operation::named(operation) else {
        return Err(unknown_operation(operation, &[consumption::SYNC]));
    };
    if let Some(given) = consumption::may_be_queued(operation, request_json) {
        let text = Zeroizing::new(serde_json::to_string(&given).unwrap_or_default());
        let request = shared.client.prepare(operation.name, &text).ok();
        let license_id = request.and_then(|request| license_of_lease(manager, &request));
        return manager.consumptions.add(operation.name, given, license_id, ticket);
    }
    let request = shared.client.prepare(operation.name, request_json)?;
    let in_flight = shared.begin_host_call(request.timeout, ticket);
    let call = VerbCall {
        manager,
        operation,
        request_json,
        timeout: request.timeout,
        call: &in_flight.call,
        begun_at: shared.clock.now(),
        subject: subject_of(&request),
        concerns_leases: !operation.is_of_bundle() || is_configs_bundle(shared, &request),
        license_id: request.said("license_id").and_then(Value::as_u64),
    };
    call.perform(request)
}

/// Returns true if the request names the bundle that the config's license came with.
fn is_configs_bundle(shared: &Shared, request: &Request) -> bool {
    let named = request.said("short_code").and_then(Value::as_str);
    named.is_some() && named == shared.client.config().bundle_code.as_deref()
}

/// A verb under way.
struct VerbCall<'a> {
    manager: &'a Arc<LeaseManager>,
    operation: &'static Operation,
    request_json: &'a str,
    timeout: Duration,
    call: &'a Call,
    begun_at: Millis,
    /// The slot, or the device, that the verb is about.
    subject: Subject,
    /// False for a bundle other than the config's: none of its licenses is known by name.
    concerns_leases: bool,
    /// The license that the verb is about, if it is known before the answer.
    license_id: Option<u64>,
}

impl VerbCall<'_> {
    fn perform(mut self, request: Request) -> Result<String, Error> {
        if let Some(license_ref) = self.license_ref().filter(|_| self.operation.is_of_bundle() && self.concerns_leases)
        {
            self.subject.owner.clone_from(&license_ref.owner);
        }
        let slot = SlotName { owner: self.subject.owner.clone(), feature: self.subject.feature.clone() };
        let suspended = matches!(self.operation.slots, SlotEffect::Takes | SlotEffect::Borrows)
            .then(|| self.manager.suspend(self.call, slot));
        let answer = self.send(request);
        if self.concerns_leases && may_be_outstanding(self.operation, &answer) {
            self.note_unanswered();
        }
        let answer = self.judge_by_earlier_requests(answer)?;
        let named_license_id = named_license(&answer);
        if let Some(suspended) = suspended {
            suspended.taken(|lease| self.is_about(lease, named_license_id));
        }
        if let Some(effect) = effect(self.operation, &answer).filter(|_| self.concerns_leases) {
            self.note_in_records(effect);
            self.note_in_leases(effect, named_license_id);
            self.manager.wake();
        }
        Ok(answer.text)
    }

    /// Sends the verb, first about the license of a lease, if there is one.
    fn send(&mut self, request: Request) -> Result<Answer, Error> {
        let client = &self.shared().client;
        let Some(license_id) = license_of_lease(self.manager, &request) else {
            return client.perform(self.call, request);
        };
        let of_lease = client.prepare(self.operation.name, &with_license(self.request_json, license_id)?)?;
        match client.perform(self.call, of_lease) {
            Err(error) if is_for_another_license(&error) => client.perform(self.call, request),
            answer => {
                self.license_id = Some(license_id);
                answer
            }
        }
    }

    /// Notes, for other processes and for the leases of this client, that the verb got no answer that decides.
    fn note_unanswered(&self) {
        let gives_back = self.operation.releases();
        self.with_stored_slots(self.subject.is_whole_device, self.shared().client.config().timeout, |slot, context| {
            slot.note_unanswered_verb(context, gives_back);
        });
        if gives_back {
            let leases = self.manager.leases();
            let has_slot =
                |lease: &&Arc<LeaseInner>| self.subject.is_whole_device || lease.has_slot(self.subject.feature());
            let concerned = leases.iter().filter(|lease| self.is_about(lease, None)).filter(has_slot);
            concerned.for_each(|lease| lease.note_unanswered_release());
            self.manager.wake();
        }
    }

    /// The answer, in the light of earlier requests about the same slot that got none. A server without order numbers may
    /// carry one of those out after it has said that there is nothing to release.
    fn judge_by_earlier_requests(&self, answer: Result<Answer, Error>) -> Result<Answer, Error> {
        let (shared, now) = (self.shared(), self.shared().clock.now());
        let in_order = is_in_order(&answer);
        let outstanding_until = shared.unanswered.until(&self.subject, now);
        if in_order {
            shared.unanswered.settle(&self.subject);
        } else if may_come_late(self.operation, &answer) {
            let until = now.saturating_add(life_ms(self.timeout));
            shared.unanswered.add(self.subject.clone(), Late::of(self.operation), until, now);
        }
        let is_release = self.operation.slots == SlotEffect::Releases;
        answer.map_err(|error| match outstanding_until {
            Some(until) if is_release && !in_order && error.is_refusal() => {
                let left = Duration::from_millis(until.saturating_sub(now).unsigned_abs());
                let message = format!(
                    "An earlier request about this slot got no answer, so the server may still take it. Release it again \
                     in {} s.",
                    left.as_secs() + 1
                );
                let mut error = error.with_detail(message).with_unknown_outcome();
                error.retry_after = Some(left);
                error
            }
            _ => error,
        })
    }

    /// Stores the effect for leases of other processes. If that fails, their next renewal finds it out.
    fn note_in_records(&self, effect: Effect) {
        let until = if let Effect::Borrowed(until) = effect { Some(until) } else { None };
        self.with_stored_slots(matches!(effect, Effect::Deactivated), self.timeout, |slot, context| {
            slot.note_borrow_by_verb(context, until);
        });
    }

    fn note_in_leases(&self, effect: Effect, named_license_id: Option<u64>) {
        let feature = self.subject.feature();
        for lease in self.manager.leases().into_iter().filter(|lease| self.is_about(lease, named_license_id)) {
            match effect {
                Effect::Borrowed(until) => lease.note_borrow_by_verb(self.call, feature, until),
                Effect::Released => lease.note_release_by_verb(self.call, Some(feature), self.begun_at),
                Effect::Deactivated => lease.note_release_by_verb(self.call, None, self.begun_at),
            }
            self.manager.repeat_release_later(&lease);
        }
    }

    /// Calls `note` for the slot of the verb, or for all slots of the device, if there is a folder with their records.
    fn with_stored_slots(
        &self,
        is_whole_device: bool,
        timeout: Duration,
        mut note: impl FnMut(&mut Slot, &crate::lease::context::RequestContext),
    ) {
        let shared = self.shared();
        let (Some(folder), Some(license_ref)) = (shared.folder(), self.license_ref()) else { return };
        let features = if is_whole_device {
            Record::stored_features(folder, &license_ref)
        } else {
            vec![self.subject.feature.clone()]
        };
        let context = shared.context(&license_ref, self.call, timeout);
        for feature in features.iter().map(Option::as_deref) {
            if let Ok(mut slot) = Slot::new(shared, &license_ref, feature) {
                note(&mut slot, &context);
            }
        }
    }

    fn license_ref(&self) -> Option<LicenseRef> {
        let mut given = strict::parse_object("the request", self.request_json).ok()?;
        if self.operation.is_of_bundle() {
            // The records are those of the config's product.
            given.remove("product");
        }
        LicenseRef::new(&self.shared().client, take_license_keys(&mut given)).ok()
    }

    /// Returns whether a lease is of the same license, device and user. `named_license_id` is the license in the answer.
    fn is_about(&self, lease: &LeaseInner, named_license_id: Option<u64>) -> bool {
        let license_id = named_license_id.or(self.license_id);
        let is_license = license_id.is_none() || lease.license_id().is_none() || license_id == lease.license_id();
        lease.license_ref().owner == self.subject.owner && is_license
    }

    fn shared(&self) -> &Shared {
        &self.manager.shared
    }
}

/// Returns whether a server without order numbers may carry out a verb, once or once more, after what is asked next about
/// a slot. A late activation changes no slot, and a bundle is no license that records are named by.
fn may_come_late(operation: &Operation, answer: &Result<Answer, Error>) -> bool {
    let (in_order, is_unanswered) = match answer {
        Ok(answer) => (answer.in_order, answer.unanswered_attempt),
        Err(error) => (error.in_order, error.outcome == Outcome::Unknown),
    };
    let is_about_slots =
        operation.is_ordered() && !matches!(operation.slots, SlotEffect::Activates | SlotEffect::OfBundle);
    is_unanswered && !in_order && is_about_slots
}

/// Returns whether a verb got no answer that decides, from whatever server.
fn may_be_outstanding(operation: &Operation, answer: &Result<Answer, Error>) -> bool {
    let is_unknown = answer.as_ref().is_err_and(|error| error.outcome == Outcome::Unknown);
    may_come_late(operation, answer) || is_unknown && operation.releases()
}

/// The license of a held lease that a request is about, if the request names no license itself.
fn license_of_lease(manager: &LeaseManager, request: &Request) -> Option<u64> {
    // The user may have been sold a newer license since the lease was acquired, and means the license that the program runs
    // on. A check or an activation asks for whichever license the server finds.
    let operation = request.operation;
    let is_meant = operation.releases() || operation.slots == SlotEffect::Borrows || operation.is_consumption();
    if !is_meant || request.said("license_id").is_some() {
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

/// The request with this license added.
fn with_license(request_json: &str, license_id: u64) -> Result<Zeroizing<String>, Error> {
    let mut given = strict::parse_object("the request", request_json)?;
    given.insert("license_id".to_owned(), license_id.into());
    let text = Zeroizing::new(serde_json::to_string(&given).unwrap_or_default());
    given.values_mut().for_each(wipe);
    Ok(text)
}

fn subject_of(request: &Request) -> Subject {
    Subject {
        owner: LicenseRef::owner_of(request),
        feature: request.said("feature").and_then(Value::as_str).map(str::to_owned),
        is_whole_device: matches!(
            request.operation.slots,
            SlotEffect::Activates | SlotEffect::ReleasesAll | SlotEffect::ReleasesBundle
        ),
    }
}

/// The license that a reply names: a reply about a feature or of a borrow by "license_id", any other by "id".
fn named_license(answer: &Answer) -> Option<u64> {
    let reply = object(answer);
    reply.get("license_id").or(reply.get("id")).and_then(Value::as_u64)
}

fn effect(operation: &Operation, answer: &Answer) -> Option<Effect> {
    match operation.slots {
        SlotEffect::Borrows => {
            let reply = object(answer);
            let until = reply.get("borrowed_until").and_then(Value::as_str).and_then(model::parse_time);
            until.map(Effect::Borrowed)
        }
        SlotEffect::Releases => Some(Effect::Released),
        SlotEffect::ReleasesAll | SlotEffect::ReleasesBundle => Some(Effect::Deactivated),
        SlotEffect::None | SlotEffect::Activates | SlotEffect::Takes | SlotEffect::OfBundle => None,
    }
}
