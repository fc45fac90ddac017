//! The server's clock, as its replies tell it.

use crate::model;
use crate::uptime;
use chrono::{DateTime, Utc};
use std::sync::atomic::{AtomicI64, Ordering};

/// No reply has told a date yet.
const UNKNOWN: i64 = i64::MIN;

/// The date at the server. It goes on by a clock that counts sleep, so nobody changes it by setting this machine's clock.
#[derive(Debug)]
pub(crate) struct ServerClock {
    is_authentic: bool,
    /// The milliseconds from the start of [`uptime`] back to 1970, by the server.
    offset_ms: AtomicI64,
}

impl ServerClock {
    /// `is_authentic` is false over an unencrypted connection to another machine, where anybody can forge the date.
    pub(crate) fn new(is_authentic: bool) -> ServerClock {
        ServerClock { is_authentic, offset_ms: AtomicI64::new(UNKNOWN) }
    }

    /// Returns true if nobody but the server can have told the date.
    pub(crate) fn is_authentic(&self) -> bool {
        self.is_authentic
    }

    /// Notes what a verified reply told: at `at_uptime_ms` of [`uptime::now_ms`], it was `date` at the server, or earlier.
    ///
    /// A date that may be forged can only be later than this machine's: so a borrow ends sooner by it, and never later.
    pub(crate) fn note(&self, date: DateTime<Utc>, at_uptime_ms: i64) {
        // This clock is read before the other one: if the thread is stopped in between, the date is too late, which ends a
        // borrow sooner.
        let now_ms = uptime::now_ms();
        let passed_ms = now_ms.saturating_sub(at_uptime_ms);
        let date_ms = date.timestamp_millis().saturating_add(passed_ms).saturating_add(uptime::STEP_MS);
        let date_ms = if self.is_authentic { date_ms } else { date_ms.max(model::now().timestamp_millis()) };
        self.offset_ms.store(date_ms.saturating_sub(now_ms), Ordering::Release);
    }

    /// Returns the latest date that it may be at the server now; `None` if no reply has told it.
    pub(crate) fn date(&self) -> Option<DateTime<Utc>> {
        let offset_ms = self.offset_ms.load(Ordering::Acquire);
        let now_ms = uptime::now_ms().saturating_add(offset_ms);
        (offset_ms != UNKNOWN).then(|| DateTime::from_timestamp_millis(now_ms)).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;

    /// The date that a clock tells after a reply that took five seconds, and in whose request's time it was `told` there.
    fn date_after_slow_reply(is_authentic: bool, told: DateTime<Utc>) -> DateTime<Utc> {
        let clock = ServerClock::new(is_authentic);
        clock.note(told, uptime::now_ms() - 5_000);
        clock.date().unwrap()
    }

    #[test]
    fn time_of_slow_reply_is_added_to_its_date() {
        let told = model::now() - TimeDelta::hours(1);
        let date = date_after_slow_reply(true, told);
        assert!(date > told + TimeDelta::seconds(5));
        assert!(date < told + TimeDelta::minutes(1));
    }

    #[test]
    fn date_that_anybody_can_forge_is_not_behind_this_machine() {
        let before = model::now();
        assert!(date_after_slow_reply(false, before - TimeDelta::hours(1)) >= before - TimeDelta::milliseconds(1));
        assert!(date_after_slow_reply(false, before + TimeDelta::hours(1)) > before + TimeDelta::hours(1));
    }
}
