//! The clock for renewals and deadlines, which counts the time that the machine sleeps and can't be set.
//!
//! `std::time::Instant` stops while a Linux machine sleeps, but the server's timeout of a slot goes on. The machine's
//! wall clock, which the user can set, is used only for dates, such as the end of a borrow.

use crate::lease::state_machine::Millis;
use crate::model;
use crate::uptime;
use chrono::{DateTime, TimeDelta, Utc};
use std::sync::atomic::{AtomicI64, Ordering};

/// The clocks of a client. A test may set them forward, like a sleep of the machine, but never back.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    ahead_ms: AtomicI64,
    /// How far the server's clock is ahead of this machine's wall clock, as far as that is known.
    skew_ms: AtomicI64,
}

impl Clock {
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

    /// Returns the date by the server's clock: that of the wall clock, corrected by what the server told last.
    pub(crate) fn server_date(&self) -> DateTime<Utc> {
        let wall = self.wall();
        wall.checked_add_signed(TimeDelta::milliseconds(self.skew_ms.load(Ordering::Acquire))).unwrap_or(wall)
    }

    /// Remembers how far the server's clock is ahead of the wall clock.
    pub(crate) fn set_skew(&self, skew: TimeDelta) {
        self.skew_ms.store(skew.num_milliseconds(), Ordering::Release);
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
