//! The idempotency keys under which consumptions were booked, and how long they are remembered.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use super::entitlement::EntitlementId;

/// Time for which a key is remembered while the server runs.
///
/// A client in doubt asks again as soon as it can. It can't while its computer is off or offline, or while its program is
/// not started; meanwhile another program on the device may consume. This is longer than a weekend or a short holiday.
const REMEMBERED_FOR: TimeDelta = TimeDelta::days(7);
/// Number of keys of a device that are remembered however old they are. Most clients never use more.
const REMEMBERED_ALWAYS: usize = 1_000;
/// Upper bound for the keys that are remembered of a device: about 20 MB of memory, or one key every 6 s for a week.
///
/// The bound is for each device, so that no device can make the server forget another device's keys.
const REMEMBERED_AT_MOST: usize = 100_000;

/// The `Idempotency-Key` of a request, together with the device that sent it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RequestKey {
    /// Number of the device.
    pub device_id: u64,
    /// The header's value.
    pub value: String,
}

/// The consumption that was booked under a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BookedConsumption {
    /// The license or feature that it was booked on.
    pub entitlement: EntitlementId,
    /// The amount that was booked.
    pub amount: i64,
}

/// The used keys of one device.
#[derive(Debug, Default)]
pub(super) struct UsedKeys {
    by_value: HashMap<Arc<str>, (u64, BookedConsumption)>,
    /// The keys, oldest first, and when they were used, in running time.
    in_order: BTreeMap<u64, (Arc<str>, DateTime<Utc>)>,
    last: u64,
}

impl UsedKeys {
    /// Returns the consumption that was booked under this key.
    pub(super) fn get(&self, value: &str) -> Option<BookedConsumption> {
        self.by_value.get(value).map(|(_, booked)| *booked)
    }

    pub(super) fn put(&mut self, value: &str, booked: BookedConsumption, at: DateTime<Utc>) {
        self.remove(value);
        self.last += 1;
        let value: Arc<str> = value.into();
        self.by_value.insert(Arc::clone(&value), (self.last, booked));
        self.in_order.insert(self.last, (value, at));
    }

    pub(super) fn remove(&mut self, value: &str) {
        if let Some((number, _)) = self.by_value.remove(value) {
            self.in_order.remove(&number);
        }
    }

    /// Returns the oldest key, if it need not be remembered any longer. `now` is running time.
    pub(super) fn forgettable(&self, now: DateTime<Utc>) -> Option<&str> {
        let (value, at) = self.in_order.values().next()?;
        let is_old = *at + REMEMBERED_FOR <= now;
        let most = if is_old { REMEMBERED_ALWAYS } else { REMEMBERED_AT_MOST };
        (self.by_value.len() > most).then_some(value)
    }
}
