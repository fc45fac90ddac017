//! Wishes that are fulfilled once, however often they arrive.
//!
//! The reply to a consumption may be lost after it was booked. A client that names the wish by an `Idempotency-Key` may
//! then ask again: what was booked is not booked twice, and he is told the total as it is now.

use std::collections::{BTreeMap, HashMap};

use super::{Change, EntitlementId, Refusal, Transition};

/// So many wishes of each device are remembered, the newest. By number and not by time, so that no clock that is set
/// wrong makes one forgotten; of each device, so that none can make another's forgotten.
const REMEMBERED: usize = 1_000;

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
    by_key: HashMap<String, (u64, Fulfilment)>,
    in_order: BTreeMap<u64, String>,
    last: u64,
}

impl Fulfilled {
    pub(super) fn put(&mut self, key: &str, fulfilment: Fulfilment) {
        self.remove(key);
        self.last += 1;
        self.by_key.insert(key.to_owned(), (self.last, fulfilment));
        self.in_order.insert(self.last, key.to_owned());
    }

    pub(super) fn remove(&mut self, key: &str) {
        if let Some((number, _)) = self.by_key.remove(key) {
            self.in_order.remove(&number);
        }
    }

    /// One too many.
    fn forgettable(&self) -> Option<&String> {
        self.in_order.values().next().filter(|_| self.by_key.len() > REMEMBERED)
    }
}

impl Transition<'_> {
    /// Whether the wish was fulfilled before. The same name for something else is a mistake, and not a repetition.
    pub(super) fn is_fulfilled(&self, wish: &Wish, fulfilment: Fulfilment) -> Result<bool, Refusal> {
        let fulfilled = self.state.fulfilled.get(&wish.device_id).and_then(|fulfilled| fulfilled.by_key.get(&wish.key));
        match fulfilled {
            Some((_, before)) if *before != fulfilment => Err(Refusal::ValidationError(
                "The Idempotency-Key was used for other consumptions; give every new wish a new one.".to_owned(),
            )),
            before => Ok(before.is_some()),
        }
    }

    /// Remembers that the wish is fulfilled.
    pub(super) fn fulfilled(&mut self, wish: &Wish, fulfilment: Fulfilment) {
        self.record(Change::Fulfilled { wish: wish.clone(), fulfilment });
        let of_device = self.state.fulfilled.get(&wish.device_id);
        if let Some(key) = of_device.and_then(Fulfilled::forgettable).cloned() {
            self.record(Change::Forgotten { wish: Wish { device_id: wish.device_id, key } });
        }
    }
}
