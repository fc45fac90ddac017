//! What a command changes: recorded in the state and in the store by the same words.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use super::{
    BookedConsumption, Counter, Device, DeviceStatus, EntitlementId, LatestRequest, OrderScope, RequestKey, Slot,
    State, Variable,
};
use crate::catalogue::Overages;

/// One thing that is different now. Each says what is, not what was added, so that adopting it twice does no harm.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// A device is known to a license.
    Device {
        /// The license.
        license_id: u64,
        /// The device's name.
        hardware_id: String,
        /// What is known.
        device: Device,
    },
    /// A fact is kept about a device.
    Variable {
        /// The license.
        license_id: u64,
        /// The device's name.
        hardware_id: String,
        /// The device's number.
        device_id: u64,
        /// The fact.
        variable: Variable,
    },
    /// A device holds a slot.
    SlotHeld {
        /// Of what.
        pool: EntitlementId,
        /// Which device.
        device_id: u64,
        /// Until when.
        slot: Slot,
    },
    /// It holds it no longer.
    SlotFreed {
        /// Of what.
        pool: EntitlementId,
        /// Which device.
        device_id: u64,
    },
    /// So much is consumed.
    Consumed {
        /// Of what.
        entitlement: EntitlementId,
        /// How much since when.
        counter: Counter,
    },
    /// A client changed what a license allows beyond its limit.
    Overages {
        /// The license.
        license_id: u64,
        /// What it allows.
        overages: Overages,
    },
    /// A license has moved to another device so many times.
    Transfers {
        /// The license.
        license_id: u64,
        /// How many times.
        count: u64,
    },
    /// A key that must not be fulfilled twice was fulfilled.
    KeyUsed {
        /// Which.
        key: RequestKey,
        /// How.
        booked: BookedConsumption,
        /// When, in running time: licence time without the downtime.
        at: DateTime<Utc>,
    },
    /// It need not be remembered any longer.
    KeyForgotten {
        /// Which.
        key: RequestKey,
    },
    /// A request has arrived whose number is the highest of its scope.
    Ordered {
        /// The license.
        license_id: u64,
        /// The device's name; it need not be known to the license.
        hardware_id: Arc<str>,
        /// What the number counts for.
        scope: OrderScope,
        /// The request.
        request: LatestRequest,
    },
    /// The requests of a device need not be remembered any longer.
    OrderForgotten {
        /// The license.
        license_id: u64,
        /// The device's name.
        hardware_id: Arc<str>,
    },
    /// The server runs.
    Heartbeat {
        /// At least until then.
        at: DateTime<Utc>,
    },
    /// The server did not run for so long, or its clock was set.
    Downtime {
        /// All of it so far; negative where the clock was set back for longer.
        total: TimeDelta,
    },
    /// A line of the journal.
    Happened(Event),
}

/// A line of the journal, which is never changed again.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// When, in licence time. An expiry is dated by the end of the slot, and written when the server notices it: after
    /// events that are later.
    pub at: DateTime<Utc>,
    /// What.
    pub kind: EventKind,
    /// On which license.
    pub license_id: u64,
    /// On which of its features, by code; `None` is the license itself.
    pub feature: Option<Arc<str>>,
    /// By which device.
    pub device_id: u64,
}

/// What can happen. Renewals are not worth a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// A slot was taken.
    SlotTaken,
    /// It was given back.
    SlotReleased,
    /// It was free because its time had come.
    SlotExpired,
    /// A held slot was pinned.
    Borrowed {
        /// Until then.
        until: DateTime<Utc>,
    },
    /// A pinned slot is no longer pinned; its release or expiry follows.
    BorrowEnded,
    /// A device became one of the license's.
    Activated,
    /// It is no longer.
    Deactivated,
    /// Something was consumed.
    Consumed {
        /// How much; negative was given back.
        amount: i64,
    },
}

impl EventKind {
    /// Its name in the journal.
    pub fn name(self) -> &'static str {
        match self {
            EventKind::SlotTaken => "slot_taken",
            EventKind::SlotReleased => "slot_released",
            EventKind::SlotExpired => "slot_expired",
            EventKind::Borrowed { .. } => "borrowed",
            EventKind::BorrowEnded => "borrow_ended",
            EventKind::Activated => "activated",
            EventKind::Deactivated => "deactivated",
            EventKind::Consumed { .. } => "consumed",
        }
    }
}

impl State {
    /// The only place where the state changes.
    pub(super) fn apply_change(&mut self, change: &Change) {
        match change {
            Change::Device { license_id, hardware_id, device } => {
                self.last_device_id = self.last_device_id.max(device.id);
                let record = self.licenses.entry(*license_id).or_default();
                let before = record.devices.insert(hardware_id.clone(), device.clone());
                if let Some(before) = before {
                    self.count(*license_id, hardware_id, &before, false);
                }
                self.count(*license_id, hardware_id, device, true);
            }
            Change::Variable { license_id, hardware_id, variable, .. } => {
                let record = self.licenses.entry(*license_id).or_default();
                let variables = record.variables.entry(hardware_id.clone()).or_default();
                variables.insert(variable.name.clone(), variable.clone());
            }
            Change::SlotHeld { pool, device_id, slot } => self.pools.entry(*pool).or_default().put(*device_id, *slot),
            Change::SlotFreed { pool, device_id } => self.pools.entry(*pool).or_default().remove(*device_id),
            Change::Consumed { entitlement, counter } => {
                self.counters.insert(*entitlement, *counter);
            }
            Change::Overages { license_id, overages } => {
                self.licenses.entry(*license_id).or_default().overages = Some(*overages);
            }
            Change::Transfers { license_id, count } => {
                self.licenses.entry(*license_id).or_default().transfer_count = *count;
            }
            Change::KeyUsed { key, booked, at } => {
                self.used_keys.entry(key.device_id).or_default().put(&key.value, *booked, *at);
            }
            Change::KeyForgotten { key } => self.used_keys.entry(key.device_id).or_default().remove(&key.value),
            Change::Ordered { license_id, hardware_id, scope, request } => {
                self.orders.put(*license_id, hardware_id, *scope, request);
            }
            Change::OrderForgotten { license_id, hardware_id } => self.orders.remove(*license_id, hardware_id),
            Change::Heartbeat { at } => self.last_heartbeat = Some(*at),
            Change::Downtime { total } => self.downtime = *total,
            Change::Happened(_) => {}
        }
    }

    /// Keeps the counts that activation goes by in step with the devices.
    fn count(&mut self, license_id: u64, hardware_id: &str, device: &Device, present: bool) {
        let step = |count: &mut u64| *count = if present { *count + 1 } else { count.saturating_sub(1) };
        let reachable = self.catalogue.is_reachable(license_id, device.user_id);
        let record = self.licenses.entry(license_id).or_default();
        match device.status {
            // A device whose license or user the catalogue no longer has can't be deactivated by anybody, so it counts for
            // nobody. It counts again if they come back.
            DeviceStatus::Active if reachable => {
                step(&mut record.times_activated);
                let user_id = device.user_id.filter(|id| self.catalogue.is_user_of_license(license_id, *id));
                if let Some(user_id) = user_id {
                    step(self.activations_of_users.entry(user_id).or_default());
                }
            }
            DeviceStatus::Vacated if present => {
                record.vacated.insert(device.id, hardware_id.to_owned());
            }
            DeviceStatus::Vacated => {
                record.vacated.remove(&device.id);
            }
            DeviceStatus::Active | DeviceStatus::Replaced => {}
        }
    }
}
