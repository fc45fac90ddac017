//! The clock for renewals and deadlines, which counts the time that the machine sleeps and can't be set.
//!
//! `std::time::Instant` stops while a Linux machine sleeps, but the server's timeout of a slot goes on. The machine's
//! wall clock, which the user can set, is used only for dates, such as the end of a borrow.

use crate::lease::state_machine::Millis;
use crate::model;
use crate::server_clock::ServerClock;
use crate::uptime;
use chrono::{DateTime, TimeDelta, Utc};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// The clocks of a client. A test may set them forward, like a sleep of the machine, but never back.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    ahead_ms: AtomicI64,
    server: Option<Arc<ServerClock>>,
    /// How far the server's clock was ahead of the wall clock when an earlier process was told.
    stored_skew_ms: AtomicI64,
}

impl Clock {
    /// The clocks of a client of this server.
    pub(crate) fn of(server: Arc<ServerClock>) -> Clock {
        Clock { server: Some(server), ..Clock::default() }
    }

    /// Returns the milliseconds since a moment before this process began.
    pub(crate) fn now(&self) -> Millis {
        self.at_system_time(uptime::now_ms())
    }

    /// Returns the time of this clock at a time of the system's clock.
    pub(crate) fn at_system_time(&self, system: Millis) -> Millis {
        system.saturating_add(self.ahead_ms())
    }

    /// Returns the date and time of the wall clock.
    pub(crate) fn wall(&self) -> DateTime<Utc> {
        let now = model::now();
        now.checked_add_signed(TimeDelta::milliseconds(self.ahead_ms())).unwrap_or(now)
    }

    /// Returns the date at the server, if it has told it to this process.
    pub(crate) fn told_date(&self) -> Option<DateTime<Utc>> {
        self.server.as_ref()?.date()?.checked_add_signed(TimeDelta::milliseconds(self.ahead_ms()))
    }

    /// Returns true if nobody but the server can have told [`Clock::told_date`].
    pub(crate) fn is_told_date_authentic(&self) -> bool {
        self.server.as_ref().is_some_and(|server| server.is_authentic())
    }

    /// Returns the date at the server, as this process was told, or else as the wall clock and its stored error tell.
    pub(crate) fn server_date(&self) -> DateTime<Utc> {
        self.told_date().unwrap_or_else(|| self.wall_ahead_by(self.stored_skew_ms.load(Ordering::Acquire)))
    }

    /// Returns the moment at which it is this date at the server, or a moment before: a borrow must not outlast the date that
    /// the server has signed.
    pub(crate) fn moment_of(&self, date: DateTime<Utc>) -> Millis {
        // This clock is read before the date: if the thread is stopped in between, the moment is too early.
        let now = self.now();
        now.saturating_add((date - self.server_date()).num_milliseconds())
    }

    /// Returns the earlier of the server's date and the wall clock's. Who would give a borrow back goes by it, because
    /// either may be wrong.
    pub(crate) fn earliest_date(&self) -> DateTime<Utc> {
        self.server_date().min(self.wall())
    }

    /// Returns the date that the wall clock would show if it were this far ahead.
    pub(crate) fn wall_ahead_by(&self, skew_ms: i64) -> DateTime<Utc> {
        let wall = self.wall();
        TimeDelta::try_milliseconds(skew_ms).and_then(|skew| wall.checked_add_signed(skew)).unwrap_or(wall)
    }

    /// Remembers a stored error of the wall clock until the server tells its date.
    pub(crate) fn set_stored_skew(&self, skew_ms: i64) {
        self.stored_skew_ms.store(skew_ms, Ordering::Release);
    }

    /// Sets both clocks forward by this many milliseconds.
    pub(crate) fn advance(&self, by_ms: u32) {
        self.ahead_ms.fetch_add(i64::from(by_ms), Ordering::AcqRel);
    }

    /// Returns how far both clocks are ahead of the system's.
    pub(crate) fn ahead_ms(&self) -> i64 {
        self.ahead_ms.load(Ordering::Acquire)
    }
}
