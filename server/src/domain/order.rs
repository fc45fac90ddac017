//! The order of requests: a request that is overtaken by a later one about the same slot or device is not carried out.
//!
//! A client that gives up on a request can't take it back. The request may arrive after the client's next one, and would
//! undo that. So a client numbers its requests, and the server remembers the highest number of each slot of each device.

use std::cmp::Ordering;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use super::subject::Subject;
use super::{Action, Change, Command, Outcome, Refusal, Reply, State, Transition};
use crate::catalogue::{Catalogue, License};

/// How long the numbers of a device are remembered after its last request. No request is on its way for so long.
const REMEMBERED_FOR: TimeDelta = TimeDelta::hours(1);
/// Each request forgets the numbers of at most so many other devices: more than one, so that memory shrinks again after
/// a busy hour, and few, so that no request waits for it.
const FORGOTTEN_AT_ONCE: usize = 4;

/// What a number counts for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum OrderScope {
    /// The device with all its slots of the license.
    Device,
    /// One slot: of the feature of this number, or of the license itself.
    Slot(Option<u64>),
}

/// What an ordered request does; with its scope, it says which operation it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is named after its operations")]
pub enum OrderedAction {
    Activate,
    Deactivate,
    Check,
    Borrow,
    Release,
}

/// The request with the highest number that has arrived for a scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LatestRequest {
    /// Its number.
    pub number: u64,
    /// What it was to do.
    pub action: OrderedAction,
    /// Why it was refused, if it was: the same request again is refused for the same reason.
    pub refusal: Option<Refusal>,
    /// When it arrived.
    pub at: DateTime<Utc>,
}

/// The latest requests of one device on one license.
#[derive(Debug, Default)]
struct DeviceRequests {
    /// At least one, at most one for each scope.
    latest: Vec<(OrderScope, LatestRequest)>,
}

/// The latest requests of all devices.
///
/// Ordered by time as well, so that forgetting costs the number of those forgotten, not of those remembered.
#[derive(Debug, Default)]
pub(super) struct LatestRequests {
    devices: HashMap<u64, HashMap<Arc<str>, DeviceRequests>>,
    by_time: BTreeSet<(DateTime<Utc>, u64, Arc<str>)>,
}

/// The number of a command, and what it counts for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Order {
    number: u64,
    scope: OrderScope,
    action: OrderedAction,
}

impl Order {
    /// Nothing if the command has no number, or if there is no slot that it could be about: an unknown feature is
    /// refused anyway, and to check what does not float changes nothing.
    pub(super) fn of(command: &Command, license: &License) -> Option<Order> {
        let number = command.order?;
        let of_feature = |code: &str| license.feature(code).map(|feature| OrderScope::Slot(Some(feature.id)));
        let (scope, action) = match &command.action {
            Action::Activate { .. } => (OrderScope::Device, OrderedAction::Activate),
            Action::Deactivate { .. } => (OrderScope::Device, OrderedAction::Deactivate),
            Action::CheckLicense { .. } => {
                license.floating.as_ref()?;
                (OrderScope::Slot(None), OrderedAction::Check)
            }
            Action::BorrowLicense(_) => (OrderScope::Slot(None), OrderedAction::Borrow),
            Action::ReleaseLicense => (OrderScope::Slot(None), OrderedAction::Release),
            Action::CheckFeature { feature, .. } => {
                license.feature(feature)?.floating.as_ref()?;
                (of_feature(feature)?, OrderedAction::Check)
            }
            Action::BorrowFeature { feature, .. } => (of_feature(feature)?, OrderedAction::Borrow),
            Action::ReleaseFeature { feature } => (of_feature(feature)?, OrderedAction::Release),
            Action::AddConsumption { .. } | Action::AddFeatureConsumption { .. } => return None,
        };
        Some(Order { number, scope, action })
    }
}

impl DeviceRequests {
    fn of(&self, scope: OrderScope) -> Option<&LatestRequest> {
        self.latest.iter().find(|row| row.0 == scope).map(|row| &row.1)
    }

    fn put(&mut self, scope: OrderScope, request: LatestRequest) {
        match self.latest.iter_mut().find(|row| row.0 == scope) {
            Some(row) => row.1 = request,
            None => self.latest.push((scope, request)),
        }
    }

    /// The highest number that has arrived for the scope. One of the device counts for each of its slots, and one of any
    /// slot for the device.
    fn highest(&self, scope: OrderScope) -> Option<u64> {
        let counts = |row: &&(OrderScope, LatestRequest)| {
            scope == OrderScope::Device || row.0 == scope || row.0 == OrderScope::Device
        };
        self.latest.iter().filter(counts).map(|row| row.1.number).max()
    }

    /// When the last of them arrived.
    fn last_at(&self) -> Option<DateTime<Utc>> {
        self.latest.iter().map(|row| row.1.at).max()
    }

    fn is_overdue(&self, now: DateTime<Utc>) -> bool {
        self.last_at().is_none_or(|at| now - at >= REMEMBERED_FOR)
    }
}

impl LatestRequests {
    pub(super) fn put(&mut self, license_id: u64, hardware_id: &Arc<str>, scope: OrderScope, request: &LatestRequest) {
        let devices = self.devices.entry(license_id).or_default();
        let device = devices.entry(Arc::clone(hardware_id)).or_default();
        let before = device.last_at();
        device.put(scope, request.clone());
        let after = device.last_at();
        if before != after {
            let key = |at| (at, license_id, Arc::clone(hardware_id));
            before.map(|at| self.by_time.remove(&key(at)));
            after.map(|at| self.by_time.insert(key(at)));
        }
    }

    pub(super) fn remove(&mut self, license_id: u64, hardware_id: &Arc<str>) {
        let Some(devices) = self.devices.get_mut(&license_id) else { return };
        let at = devices.remove(hardware_id).and_then(|device| device.last_at());
        at.map(|at| self.by_time.remove(&(at, license_id, Arc::clone(hardware_id))));
        if devices.is_empty() {
            self.devices.remove(&license_id);
        }
    }

    /// What is remembered of a device, and its name as it is kept here.
    fn device(&self, license_id: u64, hardware_id: &str) -> Option<(&Arc<str>, &DeviceRequests)> {
        self.devices.get(&license_id)?.get_key_value(hardware_id)
    }

    /// The devices, by license, whose numbers need not be remembered any longer, those that were silent longest first.
    fn overdue(&self, now: DateTime<Utc>) -> impl Iterator<Item = (u64, Arc<str>)> {
        let overdue = self.by_time.iter().take_while(move |(at, ..)| now - *at >= REMEMBERED_FOR);
        overdue.map(|(_, license_id, hardware_id)| (*license_id, Arc::clone(hardware_id)))
    }

    /// The changes by which all requests arrived so much later.
    pub(super) fn moved(&self, by: TimeDelta) -> impl Iterator<Item = Change> {
        let devices = self.devices.iter().flat_map(|(license_id, devices)| {
            devices.iter().map(move |(hardware_id, device)| (*license_id, hardware_id, device))
        });
        devices.flat_map(move |(license_id, hardware_id, device)| {
            device.latest.iter().map(move |(scope, request)| Change::Ordered {
                license_id,
                hardware_id: Arc::clone(hardware_id),
                scope: *scope,
                request: LatestRequest { at: request.at + by, ..request.clone() },
            })
        })
    }
}

impl State {
    /// The number below which a request of the device is not carried out; `None` if every number is.
    pub fn highest_order(
        &self,
        license_id: u64,
        hardware_id: &str,
        scope: OrderScope,
        now: DateTime<Utc>,
    ) -> Option<u64> {
        let device = self.orders.device(license_id, hardware_id).map(|found| found.1);
        device.filter(|device| !device.is_overdue(now))?.highest(scope)
    }
}

impl Transition<'_> {
    /// Carries the command out unless a later one came first, and remembers its number whatever comes of it.
    pub(super) fn run_in_order(
        &mut self,
        order: Order,
        catalogue: &Catalogue,
        subject: &Subject,
        command: &Command,
    ) -> Outcome {
        let Order { number, scope, action } = order;
        let license_id = subject.license.id;
        let highest = self.state.highest_order(license_id, &command.hardware_id, scope, self.now).unwrap_or_default();
        match number.cmp(&highest) {
            Ordering::Less => Err(Refusal::OrderOutdated { highest }),
            Ordering::Equal => self.answer_repetition(order, subject, command),
            Ordering::Greater => {
                let outcome = self.carry_out(catalogue, subject, command);
                let hardware_id = self.forget_overdue(license_id, &command.hardware_id);
                let refusal = outcome.as_ref().err().cloned();
                let request = LatestRequest { number, action, refusal, at: self.now };
                self.record(Change::Ordered { license_id, hardware_id, scope, request });
                outcome
            }
        }
    }

    /// Answers a request whose number is the highest already, and changes nothing. If it is the same request, its first
    /// reply was lost, and it is answered as it was then. If what it achieved is gone since, or if another request has
    /// the same number, it is outdated: a client that still waits draws a higher number.
    fn answer_repetition(&mut self, order: Order, subject: &Subject, command: &Command) -> Outcome {
        let Order { number, scope, action } = order;
        let outdated = Refusal::OrderOutdated { highest: number };
        let device = self.state.orders.device(subject.license.id, &command.hardware_id).map(|found| found.1);
        let same = |first: &&LatestRequest| first.number == number && first.action == action;
        match device.and_then(|device| device.of(scope)).filter(same) {
            Some(LatestRequest { refusal: Some(refusal), .. }) => Err(refusal.clone()),
            Some(_) => self.reply_if_still_so(subject, command).ok_or(outdated),
            None => Err(outdated),
        }
    }

    /// The reply to a command that was carried out before, if what it achieved is still so.
    fn reply_if_still_so(&mut self, subject: &Subject, command: &Command) -> Option<Reply> {
        let license = &subject.license;
        let device_id = match command.action {
            Action::ReleaseLicense | Action::ReleaseFeature { .. } => return Some(Reply::Empty),
            Action::Deactivate { .. } => return Some(Reply::DEACTIVATED),
            _ => self.active_device(license.id, &command.hardware_id)?,
        };
        match &command.action {
            Action::Activate { .. } => Some(self.activation_reply(subject, command, device_id)),
            Action::CheckLicense { include_expired_features } => {
                self.slot(license, None, device_id)?;
                Some(self.license_reply(subject, command, device_id, *include_expired_features))
            }
            Action::CheckFeature { feature, include_metadata_string } => {
                let feature = license.feature(feature)?;
                self.slot(license, Some(feature), device_id)?;
                Some(self.feature_reply(license, feature, device_id, *include_metadata_string))
            }
            Action::BorrowLicense(_) => self.borrowed(license, None, device_id),
            Action::BorrowFeature { feature, .. } => self.borrowed(license, Some(license.feature(feature)?), device_id),
            _ => None,
        }
    }

    /// Forgets the numbers of this device if their hour is over, and those of some others. Returns the device's name as
    /// the book keeps it, so that there is one copy of it for all numbers of the device.
    fn forget_overdue(&mut self, license_id: u64, hardware_id: &str) -> Arc<str> {
        let known = self.state.orders.device(license_id, hardware_id);
        let is_overdue = known.is_some_and(|(_, device)| device.is_overdue(self.now));
        let name = known.map_or_else(|| Arc::from(hardware_id), |(name, _)| Arc::clone(name));
        if is_overdue {
            self.record(Change::OrderForgotten { license_id, hardware_id: Arc::clone(&name) });
        }
        let others: Vec<_> = self.state.orders.overdue(self.now).take(FORGOTTEN_AT_ONCE).collect();
        for (license_id, hardware_id) in others {
            self.record(Change::OrderForgotten { license_id, hardware_id });
        }
        name
    }
}
