//! Licence time: what timeouts, borrows, validity and consumption periods go by.
//!
//! It is apart from the real time that the `Date` check of a request uses, so that a test can move the one while its
//! clients stay authorised.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime};

use chrono::{DateTime, TimeDelta, Utc};

/// A source of licence time.
pub trait Clock: Send + Sync {
    /// What time it is.
    fn now(&self) -> DateTime<Utc>;

    /// Whether a jump of it means that the machine stood still or its clock was set: time in which nobody could renew.
    fn jumps_are_downtime(&self) -> bool {
        false
    }
}

/// The machine's clock.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> DateTime<Utc> {
        // Utc::now panics before 1970.
        SystemTime::now().into()
    }

    fn jumps_are_downtime(&self) -> bool {
        true
    }
}

/// A clock that does as it is told: stands, runs at any rate, is moved. Moved by way of the writer, nothing that is due on
/// the way is skipped.
#[derive(Debug)]
pub struct ControlledClock {
    hand: Mutex<Hand>,
}

/// Where the hand was put, when, and how fast it has moved since.
#[derive(Debug, Clone, Copy)]
struct Hand {
    at: DateTime<Utc>,
    since: Instant,
    rate: f64,
}

impl ControlledClock {
    /// A clock that shows `now` and runs at `rate`: 0 stands still, 1 is real time, 60 lets a minute pass in a second.
    pub fn new(now: DateTime<Utc>, rate: f64) -> ControlledClock {
        ControlledClock { hand: Mutex::new(Hand { at: now, since: Instant::now(), rate }) }
    }

    /// Puts it to `now`.
    pub fn set(&self, now: DateTime<Utc>) {
        self.turn(|hand| hand.at = now);
    }

    /// Moves it on.
    pub fn advance(&self, by: TimeDelta) {
        self.turn(|hand| hand.at = hand.at.checked_add_signed(by).unwrap_or(hand.at));
    }

    /// How fast it runs.
    pub fn rate(&self) -> f64 {
        self.hand().rate
    }

    /// Makes it run at `rate` from now on.
    pub fn set_rate(&self, rate: f64) {
        self.turn(|hand| hand.rate = rate);
    }

    fn turn(&self, turn: impl FnOnce(&mut Hand)) {
        let mut hand = self.hand();
        *hand = Hand { at: hand.now(), since: Instant::now(), ..*hand };
        turn(&mut hand);
    }

    fn hand(&self) -> MutexGuard<'_, Hand> {
        self.hand.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Hand {
    fn now(&self) -> DateTime<Utc> {
        let passed_ms = self.since.elapsed().as_secs_f64() * 1000.0 * self.rate;
        let passed = TimeDelta::try_milliseconds(passed_ms as i64).unwrap_or_default();
        self.at.checked_add_signed(passed).map_or(self.at, |now| now.min(latest().max(self.at)))
    }
}

impl Clock for ControlledClock {
    fn now(&self) -> DateTime<Utc> {
        self.hand().now()
    }
}

/// Where a controlled clock stops, however fast it runs: a slot taken then must have an end that can be written.
pub(crate) fn latest() -> DateTime<Utc> {
    from_millis(221_845_392_000_000)
}

/// The instant that many milliseconds after 1970; the earliest one if there is no such instant.
pub(crate) fn from_millis(ms: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(ms).unwrap_or(DateTime::UNIX_EPOCH)
}

/// The time as the store keeps it: whole milliseconds, so that nothing changes by being written and read.
pub(crate) fn whole_millis(time: DateTime<Utc>) -> DateTime<Utc> {
    from_millis(time.timestamp_millis())
}
