//! The clock for renewals and deadlines, which counts the time that the machine sleeps and can't be set.
//!
//! `std::time::Instant` stops while a Linux machine sleeps, but the server's timeout of a slot goes on. The machine's
//! wall clock, which the user can set, is used only for dates, such as the end of a borrow.
#![allow(unsafe_code)]

use crate::lease::state_machine::Millis;
use crate::model;
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
        self.at_system_time(now())
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

/// Returns the milliseconds since a moment before this process began.
#[cfg(unix)]
pub(crate) fn now() -> Millis {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    const COUNTS_SLEEP: libc::clockid_t = libc::CLOCK_BOOTTIME;
    // On Apple's systems this clock goes on while the machine sleeps.
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    const COUNTS_SLEEP: libc::clockid_t = libc::CLOCK_MONOTONIC;

    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a timespec that lives as long as the call. For an unknown clock the system leaves it as it is.
    unsafe { libc::clock_gettime(COUNTS_SLEEP, &raw mut time) };
    #[allow(clippy::unnecessary_cast, reason = "both have other widths on other systems")]
    let (seconds, nanoseconds) = (time.tv_sec as i64, time.tv_nsec as i64);
    seconds * 1000 + nanoseconds / 1_000_000
}

/// Returns the milliseconds since a moment before this process began.
#[cfg(windows)]
pub(crate) fn now() -> Millis {
    unsafe extern "system" {
        fn GetTickCount64() -> u64;
    }
    // SAFETY: the function takes no arguments. It returns the time since the system's start, sleep included.
    let ticks = unsafe { GetTickCount64() };
    Millis::try_from(ticks).unwrap_or(Millis::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clock_goes_forward_only() {
        let start = now();
        assert!(start > 0);
        let mut last = start;
        while last < start + 20 {
            let next = now();
            assert!(next >= last);
            last = next;
        }
    }
}
