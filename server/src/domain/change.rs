//! What a command changes: recorded in the state and in the store by the same words.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use super::counter::Counter;
use super::device::{Device, Variable};
use super::entitlement::EntitlementId;
use super::latest_requests::{LatestRequest, OrderScope};
use super::pool::Slot;
use super::used_keys::{BookedConsumption, RequestKey};
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
