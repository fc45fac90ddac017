//! License time: the time by which timeouts, borrows, validity and consumption periods end.
//!
//! It is separate from real time, with which the server compares the `Date` of a request. So a test can move license time
//! while its clients stay authorised.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime};

use chrono::{DateTime, TimeDelta, Utc};

/// A source of license time.
pub trait Clock: Send + Sync {
    /// Returns the present time.
    fn now(&self) -> DateTime<Utc>;

    /// Returns whether a jump means that the computer was suspended or its clock was set, so that clients could not renew.
    fn jumps_are_downtime(&self) -> bool {
        false
    }
}

/// The computer's clock.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> DateTime<Utc> {
        // `Utc::now` panics before 1970.
        SystemTime::now().into()
    }

    fn jumps_are_downtime(&self) -> bool {
        true
    }
}

/// A clock that a test controls: it stands still, runs at any rate, and can be moved.
///
/// The sandbox moves it in a job of the writer, so that nothing that is due on the way is skipped.
#[derive(Debug)]
pub struct ControlledClock {
    reading: Mutex<Reading>,
}

/// The time that the clock was set to, the instant of that, and the rate since then.
#[derive(Debug, Clone, Copy)]
struct Reading {
    at: DateTime<Utc>,
    since: Instant,
    rate: f64,
}

impl ControlledClock {
    /// Makes a clock that shows `now` and runs at `rate`: 0 stands still, 1 is real time, 60 is a minute in each second.
    pub fn new(now: DateTime<Utc>, rate: f64) -> ControlledClock {
        ControlledClock { reading: Mutex::new(Reading { at: now, since: Instant::now(), rate }) }
    }

    /// Sets the clock to `now`.
    pub fn set(&self, now: DateTime<Utc>) {
        self.update(|reading| reading.at = now);
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: TimeDelta) {
        self.update(|reading| reading.at = reading.at.checked_add_signed(by).unwrap_or(reading.at));
    }

    /// Returns the rate.
    pub fn rate(&self) -> f64 {
        self.reading().rate
    }

    /// Lets the clock run at `rate` from now on.
    pub fn set_rate(&self, rate: f64) {
        self.update(|reading| reading.rate = rate);
    }

    fn update(&self, update: impl FnOnce(&mut Reading)) {
        let mut reading = self.reading();
        *reading = Reading { at: reading.now(), since: Instant::now(), ..*reading };
        update(&mut reading);
    }

    fn reading(&self) -> MutexGuard<'_, Reading> {
        self.reading.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reading {
    fn now(&self) -> DateTime<Utc> {
        let passed_ms = self.since.elapsed().as_secs_f64() * 1000.0 * self.rate;
        let passed = TimeDelta::try_milliseconds(passed_ms as i64).unwrap_or_default();
        self.at.checked_add_signed(passed).map_or(self.at, |now| now.min(latest().max(self.at)))
    }
}

impl Clock for ControlledClock {
    fn now(&self) -> DateTime<Utc> {
        self.reading().now()
    }
}

/// Returns the time at which a controlled clock stops. A slot that is taken then still has an end that can be written.
pub(crate) fn latest() -> DateTime<Utc> {
    from_millis(221_845_392_000_000)
}

/// Returns the time that many milliseconds after 1970, or 1970 if there is no such time.
pub(crate) fn from_millis(ms: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(ms).unwrap_or(DateTime::UNIX_EPOCH)
}

/// Returns the time in whole milliseconds, so that the store reads back what it has written.
pub(crate) fn whole_millis(time: DateTime<Utc>) -> DateTime<Utc> {
    from_millis(time.timestamp_millis())
}
