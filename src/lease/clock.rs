//! A clock that counts sleep and that nobody can set: what renewals and deadlines go by.
//!
//! `std::time::Instant` stands still while a Linux machine sleeps, and a slot's timeout does not. The machine's other
//! clock, which tells the date and can be set by anybody, serves for the end of a borrow alone.
#![allow(unsafe_code)]

use crate::lease::state_machine::Millis;
use chrono::{DateTime, TimeDelta, Utc};
use std::sync::atomic::{AtomicI64, Ordering};

/// The clocks of a client. A test may put them ahead, as a sleep of the machine would; nobody can put them back.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    ahead_ms: AtomicI64,
}

impl Clock {
    /// Milliseconds since some moment before this process began.
    pub(crate) fn now(&self) -> Millis {
        self.of_system(now())
    }

    /// What this clock shows when the system's shows that.
    pub(crate) fn of_system(&self, system: Millis) -> Millis {
        system.saturating_add(self.ahead_ms())
    }

    /// The date.
    pub(crate) fn wall(&self) -> DateTime<Utc> {
        let now = Utc::now();
        now.checked_add_signed(TimeDelta::milliseconds(self.ahead_ms())).unwrap_or(now)
    }

    /// Puts both ahead by so many milliseconds more.
    pub(crate) fn advance(&self, by_ms: u32) {
        self.ahead_ms.fetch_add(i64::from(by_ms), Ordering::AcqRel);
    }

    /// How far they are ahead of the system's.
    pub(crate) fn ahead_ms(&self) -> i64 {
        self.ahead_ms.load(Ordering::Acquire)
    }
}

/// Milliseconds since some moment before this process began.
#[cfg(unix)]
pub(crate) fn now() -> Millis {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    const COUNTS_SLEEP: libc::clockid_t = libc::CLOCK_BOOTTIME;
    // On Apple's systems this one goes on while the machine sleeps.
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    const COUNTS_SLEEP: libc::clockid_t = libc::CLOCK_MONOTONIC;

    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is one timespec, alive for the call; a clock that the system does not know leaves it as it is.
    unsafe { libc::clock_gettime(COUNTS_SLEEP, &raw mut time) };
    #[allow(clippy::unnecessary_cast, reason = "both are of other widths on other systems")]
    let (seconds, nanoseconds) = (time.tv_sec as i64, time.tv_nsec as i64);
    seconds * 1000 + nanoseconds / 1_000_000
}

/// Milliseconds since some moment before this process began.
#[cfg(windows)]
pub(crate) fn now() -> Millis {
    unsafe extern "system" {
        fn GetTickCount64() -> u64;
    }
    // SAFETY: it takes nothing, and answers the time since the system's start, sleep included.
    let ticks = unsafe { GetTickCount64() };
    Millis::try_from(ticks).unwrap_or(Millis::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_on_and_never_back() {
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
