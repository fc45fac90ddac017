//! The changes that commands make. State and store record the same changes.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use super::changed_password::ChangedPassword;
use super::counter::Counter;
use super::device::{Device, Variable};
use super::entitlement::EntitlementId;
use super::latest_requests::{LatestRequest, OrderScope};
use super::overages::ClientOverages;
use super::pool::Slot;
use super::reservation::Reservation;
use super::used_keys::{BookedConsumption, RequestKey};
use crate::catalogue::Trial;

/// One change. It holds the new value, not the difference, so that applying it twice does no harm.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// A device of a license is new or has changed.
    Device {
        /// The license.
        license_id: u64,
        /// The device's hardware id.
        hardware_id: String,
        /// The device.
        device: Device,
    },
    /// A device was given a trial.
    TrialIssued(Box<Trial>),
    /// A variable of a device is new or has changed.
    Variable {
        /// The license.
        license_id: u64,
        /// The device's hardware id.
        hardware_id: String,
        /// The device's number.
        device_id: u64,
        /// The variable.
        variable: Variable,
    },
    /// A device holds a slot.
    SlotHeld {
        /// The license or feature.
        pool: EntitlementId,
        /// The device's number.
        device_id: u64,
        /// The slot.
        slot: Slot,
    },
    /// A device no longer holds a slot.
    SlotFreed {
        /// The license or feature.
        pool: EntitlementId,
        /// The device's number.
        device_id: u64,
    },
    /// A consumption total has changed.
    Consumed {
        /// The license or feature.
        entitlement: EntitlementId,
        /// The new total.
        counter: Counter,
    },
    /// A device has reserved units of a consumption pool, or has settled its reservation.
    Reserved {
        /// The license or feature that is a member of the pool.
        entitlement: EntitlementId,
        /// The device's number.
        device_id: u64,
        /// The reservation; `None` once it is settled.
        reservation: Option<Reservation>,
    },
    /// A client has changed a license's overages.
    Overages {
        /// The license.
        license_id: u64,
        /// The new overages.
        overages: ClientOverages,
    },
    /// The overages of the catalogue count again, because its entry was edited.
    OveragesForgotten {
        /// The license.
        license_id: u64,
    },
    /// A license has moved to another device.
    Transfers {
        /// The license.
        license_id: u64,
        /// The number of moves so far.
        count: u64,
    },
    /// A consumption was booked under a key, which must not happen twice.
    KeyUsed {
        /// The key.
        key: RequestKey,
        /// The consumption.
        booked: BookedConsumption,
        /// The time of booking, in running time: license time without the downtime.
        at: DateTime<Utc>,
    },
    /// A key need not be remembered any longer.
    KeyForgotten {
        /// The key.
        key: RequestKey,
    },
    /// A request has arrived whose order number is the highest of its scope.
    Ordered {
        /// The license.
        license_id: u64,
        /// The device's hardware id. The license need not know it.
        hardware_id: Arc<str>,
        /// The scope of its number.
        scope: OrderScope,
        /// The request.
        request: LatestRequest,
    },
    /// The order numbers of a device need not be remembered any longer.
    OrderForgotten {
        /// The license.
        license_id: u64,
        /// The device's hardware id.
        hardware_id: Arc<str>,
    },
    /// A request file of a device was carried out.
    OfflineRequest {
        /// The license.
        license_id: u64,
        /// The device's hardware id.
        hardware_id: String,
        /// The file's number. Files with lower numbers are not carried out any more.
        number: i64,
    },
    /// A user has chosen a password.
    PasswordChanged {
        /// The user.
        user_id: u64,
        /// The password.
        password: ChangedPassword,
    },
    /// The password of the catalogue counts again, because its entry was edited.
    PasswordForgotten {
        /// The user.
        user_id: u64,
    },
    /// The server runs.
    Heartbeat {
        /// The latest time at which it is known to run.
        at: DateTime<Utc>,
    },
    /// The server did not run for a time, or its clock was set.
    Downtime {
        /// The whole downtime so far. Negative if the clock was set back for longer.
        total: TimeDelta,
    },
    /// An event has happened, which the store's journal keeps.
    Happened(Event),
}

/// An event in the store's journal, which never changes again.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// The time of the event, in license time.
    ///
    /// An expiry has the date at which the slot ended. It is written when the server notices it, so later events may
    /// precede it.
    pub at: DateTime<Utc>,
    /// The kind of event.
    pub kind: EventKind,
    /// The license's number.
    pub license_id: u64,
    /// The feature's code; `None` for the license itself.
    pub feature: Option<Arc<str>>,
    /// The device's number.
    pub device_id: u64,
}

/// The kinds of events. A renewal is not one, since there would be too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// A slot was taken.
    SlotTaken,
    /// A slot was released.
    SlotReleased,
    /// A slot expired.
    SlotExpired,
    /// A slot was borrowed.
    Borrowed {
        /// The end of the borrow.
        until: DateTime<Utc>,
    },
    /// A borrow ended. The release or expiry of its slot follows.
    BorrowEnded,
    /// A device was activated.
    Activated,
    /// A device was deactivated.
    Deactivated,
    /// An amount was consumed.
    Consumed {
        /// The amount. A negative amount was given back.
        amount: i64,
    },
}

impl EventKind {
    /// Returns the event's name in the journal.
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
