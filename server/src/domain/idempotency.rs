//! Consumptions that are booked once, however often the request arrives.
//!
//! The reply to a consumption may be lost after the server has booked it. A client that names the request by an
//! `Idempotency-Key` may then send it again: the server does not book it twice, and answers the total as it is now.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use super::{Change, EntitlementId, Refusal, State, Transition};

/// How long a key is remembered while the server runs.
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
/// Upper bound for the old keys that each new key makes the server forget.
///
/// It is more than one, so that memory shrinks again after a busy week, and small, so that no request waits for it.
const FORGOTTEN_AT_ONCE: usize = 4;

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
    fn forgettable(&self, now: DateTime<Utc>) -> Option<&str> {
        let (value, at) = self.in_order.values().next()?;
        let is_old = *at + REMEMBERED_FOR <= now;
        let most = if is_old { REMEMBERED_ALWAYS } else { REMEMBERED_AT_MOST };
        (self.by_value.len() > most).then_some(value)
    }
}

impl State {
    /// Returns running time: license time without the time in which the server did not run.
    ///
    /// A clock that was set wrong makes the server forget no key early, and remember none for years.
    fn running_time(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        now - self.downtime
    }
}

impl Transition<'_> {
    /// Returns whether the key was used for this consumption before. The same key for another consumption is refused.
    pub(super) fn is_used(&self, key: &RequestKey, booked: BookedConsumption) -> Result<bool, Refusal> {
        let of_device = self.state.used_keys.get(&key.device_id);
        match of_device.and_then(|of_device| of_device.by_value.get(key.value.as_str())) {
            Some((_, before)) if *before != booked => Err(Refusal::ValidationError(
                "The Idempotency-Key was used for another consumption; send each new consumption with a new key."
                    .to_owned(),
            )),
            before => Ok(before.is_some()),
        }
    }

    /// Remembers that the key is used, and forgets some old keys of the device.
    pub(super) fn mark_used(&mut self, key: &RequestKey, booked: BookedConsumption) {
        let now = self.state.running_time(self.now);
        self.record(Change::KeyUsed { key: key.clone(), booked, at: now });
        for _ in 0..FORGOTTEN_AT_ONCE {
            let of_device = self.state.used_keys.get(&key.device_id);
            let Some(value) = of_device.and_then(|of_device| of_device.forgettable(now)) else { break };
            let value = value.to_owned();
            self.record(Change::KeyForgotten { key: RequestKey { device_id: key.device_id, value } });
        }
    }
}
