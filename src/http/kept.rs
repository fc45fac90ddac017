//! Which kept connections may serve another request.
//!
//! A connection can die without a word: the machine slept, a VPN was switched, a router has forgotten it. Only a request
//! shows it, by waiting until its deadline. What kills one connection kills its neighbours as well, so all of them go
//! once one was found dead or the machine has slept.

use crate::uptime;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

/// A sleep that is longer than this ends kept connections. The clocks are not read at one instant, so they differ a little
/// without a sleep.
const LONGEST_SLEEP_MS: i64 = 1000;

/// A connection that was idle for no longer than this is taken for alive, so that a slow reply has all of the call's time.
const SURELY_ALIVE_FOR: Duration = Duration::from_secs(1);

/// The state of the kept connections of one client.
#[derive(Debug)]
pub(super) struct Kept {
    /// The connections of an earlier generation are not used again.
    generation: AtomicU64,
    /// How long the machine had slept when a request was last sent.
    slept_ms: AtomicI64,
    /// The part of a request's time that is kept for a new connection, if it waits on a kept one and may be repeated.
    reserve: Duration,
}

impl Kept {
    /// `connect_timeout` is the longest time that a new connection may take to be made.
    pub(super) fn new(connect_timeout: Duration) -> Kept {
        Kept { generation: AtomicU64::new(0), slept_ms: AtomicI64::new(uptime::slept_ms()), reserve: connect_timeout }
    }

    /// The generation of a connection that is made now.
    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Makes every connection that is idle or in use now serve no other request.
    pub(super) fn forget_all(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
    }

    /// Notes that a request is about to be sent, and forgets all connections if the machine has slept since the last one.
    pub(super) fn begin_request(&self) {
        self.note_sleep(uptime::slept_ms());
    }

    fn note_sleep(&self, slept_ms: i64) {
        if slept_ms - self.slept_ms.swap(slept_ms, Ordering::AcqRel) > LONGEST_SLEEP_MS {
            self.forget_all();
        }
    }

    /// Returns how much of `left` is kept for a new connection, if the kept one was idle for `idle`.
    pub(super) fn reserve_of(&self, left: Duration, idle: Duration) -> Duration {
        if idle <= SURELY_ALIVE_FOR { Duration::ZERO } else { self.reserve.min(left / 2) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sleep_forgets_all_connections() {
        let kept = Kept::new(Duration::from_secs(5));
        let (awake, slept_ms) = (kept.generation(), uptime::slept_ms());
        kept.note_sleep(slept_ms + 20);
        assert_eq!(kept.generation(), awake, "clocks that are read one after the other differ a little");
        kept.note_sleep(slept_ms + 30_000);
        let woken = kept.generation();
        assert_ne!(woken, awake);
        kept.note_sleep(slept_ms + 30_010);
        assert_eq!(kept.generation(), woken, "one sleep counts once");
    }

    #[test]
    fn reserve_is_no_longer_than_connecting_or_half_of_what_is_left() {
        let kept = Kept::new(Duration::from_secs(5));
        let of_idle = |left_s| kept.reserve_of(Duration::from_secs(left_s), Duration::from_secs(10));
        assert_eq!(of_idle(15), Duration::from_secs(5));
        assert_eq!(of_idle(2), Duration::from_secs(1));
        assert_eq!(kept.reserve_of(Duration::from_secs(15), Duration::from_millis(200)), Duration::ZERO);
    }
}
