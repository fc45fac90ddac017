//! Wishes that are fulfilled once, however often they arrive.
//!
//! The reply to a consumption may be lost after it was booked. A client that names the wish by an `Idempotency-Key` may
//! then ask again: what was booked is not booked twice, and he is told the total as it is now.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use super::{Change, EntitlementId, Refusal, State, Transition};

/// How long a wish is remembered while the server runs. A client in doubt asks again as soon as it can. It can't while its
/// computer is off or offline, or its program not started, and meanwhile another program on the device may consume: this
/// is longer than a weekend or a short holiday.
const REMEMBERED_FOR: TimeDelta = TimeDelta::days(7);
/// So many wishes of a device are remembered however old they are: most clients never make more.
const REMEMBERED_ALWAYS: usize = 1_000;
/// No more wishes of a device are remembered, however new they are: about 20 MB of memory. That is one every 6 s for a week.
/// The limit is for each device, so that none can make another's wishes forgotten.
const REMEMBERED_AT_MOST: usize = 100_000;
/// Each wish makes room for at most so many others: more than one, so that memory shrinks again after a busy week, and
/// few, so that no request waits for it.
const FORGOTTEN_AT_ONCE: usize = 4;

/// A wish, as its device names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Wish {
    /// Whose.
    pub device_id: u64,
    /// Its name.
    pub key: String,
}

/// What was done about a wish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fulfilment {
    /// It was booked on this.
    pub entitlement: EntitlementId,
    /// So much of it.
    pub amount: i64,
}

/// The fulfilled wishes of a device.
#[derive(Debug, Default)]
pub(super) struct Fulfilled {
    by_key: HashMap<Arc<str>, (u64, Fulfilment)>,
    /// The keys, oldest first, and when they were fulfilled, in running time.
    in_order: BTreeMap<u64, (Arc<str>, DateTime<Utc>)>,
    last: u64,
}

impl Fulfilled {
    pub(super) fn put(&mut self, key: &str, fulfilment: Fulfilment, at: DateTime<Utc>) {
        self.remove(key);
        self.last += 1;
        let key: Arc<str> = key.into();
        self.by_key.insert(Arc::clone(&key), (self.last, fulfilment));
        self.in_order.insert(self.last, (key, at));
    }

    pub(super) fn remove(&mut self, key: &str) {
        if let Some((number, _)) = self.by_key.remove(key) {
            self.in_order.remove(&number);
        }
    }

    /// The oldest wish, if it need not be remembered any longer; `now` is running time.
    fn forgettable(&self, now: DateTime<Utc>) -> Option<&str> {
        let (key, at) = self.in_order.values().next()?;
        let is_old = *at + REMEMBERED_FOR <= now;
        let most = if is_old { REMEMBERED_ALWAYS } else { REMEMBERED_AT_MOST };
        (self.by_key.len() > most).then_some(key)
    }
}

impl State {
    /// Running time: licence time without the time in which the server did not run. A clock that was set wrong makes no
    /// wish forgotten by it, and none remembered for years.
    fn running_time(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        now - self.downtime
    }
}

impl Transition<'_> {
    /// Whether the wish was fulfilled before. The same name for something else is a mistake, and not a repetition.
    pub(super) fn is_fulfilled(&self, wish: &Wish, fulfilment: Fulfilment) -> Result<bool, Refusal> {
        let fulfilled =
            self.state.fulfilled.get(&wish.device_id).and_then(|fulfilled| fulfilled.by_key.get(wish.key.as_str()));
        match fulfilled {
            Some((_, before)) if *before != fulfilment => Err(Refusal::ValidationError(
                "The Idempotency-Key was used for other consumptions; give every new wish a new one.".to_owned(),
            )),
            before => Ok(before.is_some()),
        }
    }

    /// Remembers that the wish is fulfilled.
    pub(super) fn fulfilled(&mut self, wish: &Wish, fulfilment: Fulfilment) {
        let now = self.state.running_time(self.now);
        self.record(Change::Fulfilled { wish: wish.clone(), fulfilment, at: now });
        for _ in 0..FORGOTTEN_AT_ONCE {
            let of_device = self.state.fulfilled.get(&wish.device_id);
            let Some(key) = of_device.and_then(|of_device| of_device.forgettable(now)) else { break };
            let key = key.to_owned();
            self.record(Change::Forgotten { wish: Wish { device_id: wish.device_id, key } });
        }
    }
}
