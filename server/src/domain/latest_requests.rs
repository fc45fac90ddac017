//! The latest numbered requests of each device, by which the server knows a request that comes too late.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use super::refusal::Refusal;

/// Time for which the numbers of a device are remembered after its last request. No request is on its way for that long.
const REMEMBERED_FOR: TimeDelta = TimeDelta::hours(1);

/// The scope in which order numbers are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum OrderScope {
    /// The device with all its slots of the license.
    Device,
    /// One slot: of the feature of this number, or of the license itself.
    Slot(Option<u64>),
}

/// The action of an ordered request. Together with the scope it tells the operation.
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
    /// The request's order number.
    pub number: u64,
    /// The action that it asked for.
    pub action: OrderedAction,
    /// The refusal, if the request was refused. The same request again is refused for the same reason.
    pub refusal: Option<Refusal>,
    /// The time of its arrival.
    pub at: DateTime<Utc>,
}

/// The latest requests of one device on one license.
#[derive(Debug, Default)]
pub(super) struct DeviceRequests {
    /// At least one request, and at most one for each scope.
    latest: Vec<(OrderScope, LatestRequest)>,
}

/// The latest requests of all devices.
///
/// They are also ordered by time, so that the time to forget old ones depends on their number only.
#[derive(Debug, Default)]
pub(super) struct LatestRequests {
    devices: HashMap<u64, HashMap<Arc<str>, DeviceRequests>>,
    by_time: BTreeSet<(DateTime<Utc>, u64, Arc<str>)>,
}

impl DeviceRequests {
    pub(super) fn of(&self, scope: OrderScope) -> Option<&LatestRequest> {
        self.latest.iter().find(|row| row.0 == scope).map(|row| &row.1)
    }

    fn put(&mut self, scope: OrderScope, request: LatestRequest) {
        match self.latest.iter_mut().find(|row| row.0 == scope) {
            Some(row) => row.1 = request,
            None => self.latest.push((scope, request)),
        }
    }

    /// Returns the highest number that has arrived for the scope.
    ///
    /// A number of the device counts for each of its slots, and a number of any slot counts for the device.
    pub(super) fn highest(&self, scope: OrderScope) -> Option<u64> {
        let counts = |row: &&(OrderScope, LatestRequest)| {
            scope == OrderScope::Device || row.0 == scope || row.0 == OrderScope::Device
        };
        self.latest.iter().filter(counts).map(|row| row.1.number).max()
    }

    /// Returns the time at which the last of the requests arrived.
    fn last_at(&self) -> Option<DateTime<Utc>> {
        self.latest.iter().map(|row| row.1.at).max()
    }

    pub(super) fn is_overdue(&self, now: DateTime<Utc>) -> bool {
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

    /// Returns the requests of a device, and its hardware id as it is stored here.
    pub(super) fn device(&self, license_id: u64, hardware_id: &str) -> Option<(&Arc<str>, &DeviceRequests)> {
        self.devices.get(&license_id)?.get_key_value(hardware_id)
    }

    /// Returns license and hardware id of the devices that need not be remembered any longer, longest silent first.
    pub(super) fn overdue(&self, now: DateTime<Utc>) -> impl Iterator<Item = (u64, Arc<str>)> {
        let overdue = self.by_time.iter().take_while(move |(at, ..)| now - *at >= REMEMBERED_FOR);
        overdue.map(|(_, license_id, hardware_id)| (*license_id, Arc::clone(hardware_id)))
    }

    /// Returns every request with the license and the device that it is about.
    pub(super) fn all(&self) -> impl Iterator<Item = (u64, &Arc<str>, OrderScope, &LatestRequest)> {
        let devices = self.devices.iter().flat_map(|(license_id, devices)| {
            devices.iter().map(move |(hardware_id, device)| (*license_id, hardware_id, device))
        });
        devices.flat_map(|(license_id, hardware_id, device)| {
            device.latest.iter().map(move |(scope, request)| (license_id, hardware_id, *scope, request))
        })
    }
}
