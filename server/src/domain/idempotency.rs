//! Wishes that are fulfilled once, however often they arrive.
//!
//! The reply to a consumption may be lost after it was booked. A client that names the wish by an `Idempotency-Key` may
//! then ask again: what was booked is not booked twice, and he is told the total as it is now.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, TimeDelta, Utc};

use super::{Change, Refusal, Transition};
use crate::catalogue::License;

/// A wish is remembered for so long after it was fulfilled…
const REMEMBERED: TimeDelta = TimeDelta::days(90);
/// … but not more of them than these, of each license: the oldest are forgotten first.
const MOST: usize = 100_000;

/// A wish, as its device names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Wish {
    /// Whose.
    pub device_id: u64,
    /// Its name.
    pub key: String,
}

/// What was done about a wish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fulfilment {
    /// So much was booked.
    pub amount: i64,
    /// When.
    pub at: DateTime<Utc>,
}

/// The fulfilled wishes of a license.
#[derive(Debug, Default)]
pub(super) struct Fulfilled {
    by_wish: HashMap<Wish, Fulfilment>,
    by_age: BTreeSet<(DateTime<Utc>, Wish)>,
}

impl Fulfilled {
    pub(super) fn put(&mut self, wish: &Wish, fulfilment: Fulfilment) {
        self.remove(wish);
        self.by_wish.insert(wish.clone(), fulfilment);
        self.by_age.insert((fulfilment.at, wish.clone()));
    }

    pub(super) fn remove(&mut self, wish: &Wish) {
        if let Some(fulfilment) = self.by_wish.remove(wish) {
            self.by_age.remove(&(fulfilment.at, wish.clone()));
        }
    }

    /// One that need not be remembered any longer.
    fn forgettable(&self, now: DateTime<Utc>) -> Option<Wish> {
        let (at, oldest) = self.by_age.first()?;
        (now - at > REMEMBERED || self.by_wish.len() > MOST).then(|| oldest.clone())
    }
}

impl Transition<'_> {
    /// Whether the wish was fulfilled before. The same name for another amount is a mistake, and not a repetition.
    pub(super) fn is_fulfilled(&self, license: &License, wish: &Wish, amount: i64) -> Result<bool, Refusal> {
        let fulfilled = self.state.fulfilled.get(&license.id).and_then(|fulfilled| fulfilled.by_wish.get(wish));
        match fulfilled {
            Some(before) if before.amount != amount => Err(Refusal::ValidationError(format!(
                "The Idempotency-Key was used for consumptions of {}; give every new wish a new one.",
                before.amount
            ))),
            before => Ok(before.is_some()),
        }
    }

    /// Remembers that the wish is fulfilled, and forgets what is old.
    pub(super) fn fulfilled(&mut self, license: &License, wish: &Wish, amount: i64) {
        let (license_id, fulfilment) = (license.id, Fulfilment { amount, at: self.now });
        self.record(Change::Fulfilled { license_id, wish: wish.clone(), fulfilment });
        let forgettable = |this: &Self| this.state.fulfilled.get(&license_id)?.forgettable(this.now);
        while let Some(wish) = forgettable(self) {
            self.record(Change::Forgotten { license_id, wish });
        }
    }
}
