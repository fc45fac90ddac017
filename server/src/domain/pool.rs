//! The taken slots of one license or feature.

use std::collections::{BTreeSet, HashMap};
use std::ops::Bound;

use chrono::{DateTime, Utc};

/// A slot that a device holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    /// The time from which on the slot is free, to the millisecond.
    pub until: DateTime<Utc>,
    /// True if the slot is borrowed, and needs no renewal until then.
    pub borrowed: bool,
    /// The time at which the device took it, in running time: license time without the downtime.
    ///
    /// A device that renews or borrows its slot keeps this time. In running time, no jump of the clock changes who came
    /// first.
    pub taken_at: DateTime<Utc>,
}

/// The taken slots of one license or feature.
///
/// They are also ordered by expiry, so that the time to free expired slots depends on their number only.
#[derive(Debug, Default)]
pub(super) struct Pool {
    slots: HashMap<u64, Slot>,
    by_expiry: BTreeSet<(DateTime<Utc>, u64)>,
}

impl Pool {
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn slot(&self, device_id: u64) -> Option<Slot> {
        self.slots.get(&device_id).copied()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, Slot)> {
        self.slots.iter().map(|(device_id, slot)| (*device_id, *slot))
    }

    pub(super) fn put(&mut self, device_id: u64, slot: Slot) {
        self.remove(device_id);
        self.slots.insert(device_id, slot);
        self.by_expiry.insert((slot.until, device_id));
    }

    pub(super) fn remove(&mut self, device_id: u64) {
        if let Some(slot) = self.slots.remove(&device_id) {
            self.by_expiry.remove(&(slot.until, device_id));
        }
    }

    /// Returns the slots that become free next after `now`, all at the same instant.
    pub(super) fn next_to_expire(&self, now: DateTime<Utc>) -> impl Iterator<Item = (u64, Slot)> {
        let mut later = self.by_expiry.range((Bound::Excluded((now, u64::MAX)), Bound::Unbounded)).peekable();
        let first = later.peek().map(|(until, _)| *until);
        let next = later.take_while(move |(until, _)| Some(*until) == first);
        next.filter_map(|(_, device_id)| self.slot(*device_id).map(|slot| (*device_id, slot)))
    }

    /// Returns a device whose slot has expired.
    pub(super) fn expired(&self, now: DateTime<Utc>) -> Option<(u64, Slot)> {
        let (until, device_id) = *self.by_expiry.first()?;
        if until > now { None } else { self.slot(device_id).map(|slot| (device_id, slot)) }
    }
}
