//! Licence time: what timeouts, borrows, validity and consumption periods go by.
//!
//! It is apart from the real time that the `Date` check of a request uses, so that a test can move the one while its
//! clients stay authorised.

use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, TimeDelta, Utc};

/// A source of licence time.
pub trait Clock: Send + Sync {
    /// What time it is.
    fn now(&self) -> DateTime<Utc>;

    /// Whether a leap of it means that the machine stood still or its clock was set: time in which nobody could renew.
    fn leaps_are_downtime(&self) -> bool {
        false
    }
}

/// The machine's clock.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }

    fn leaps_are_downtime(&self) -> bool {
        true
    }
}

/// A clock that stands still until it is told otherwise.
#[derive(Debug)]
pub struct ManualClock {
    now_ms: AtomicI64,
}

impl ManualClock {
    /// A clock standing at `now`.
    pub fn new(now: DateTime<Utc>) -> ManualClock {
        ManualClock { now_ms: AtomicI64::new(now.timestamp_millis()) }
    }

    /// Puts it to `now`.
    pub fn set(&self, now: DateTime<Utc>) {
        self.now_ms.store(now.timestamp_millis(), Ordering::SeqCst);
    }

    /// Moves it on.
    pub fn advance(&self, by: TimeDelta) {
        self.now_ms.fetch_add(by.num_milliseconds(), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> DateTime<Utc> {
        from_millis(self.now_ms.load(Ordering::SeqCst))
    }
}

/// The instant that many milliseconds after 1970; the earliest one if there is no such instant.
pub(crate) fn from_millis(ms: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(ms).unwrap_or(DateTime::UNIX_EPOCH)
}

/// The time as the store keeps it: whole milliseconds, so that nothing changes by being written and read.
pub(crate) fn whole_millis(time: DateTime<Utc>) -> DateTime<Utc> {
    from_millis(time.timestamp_millis())
}
