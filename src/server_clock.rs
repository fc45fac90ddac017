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

    /// Notes what a verified reply told. A date that may be forged can only be later than this machine's: so a borrow ends
    /// sooner by it, and never later.
    pub(crate) fn note(&self, date: DateTime<Utc>) {
        let date = if self.is_authentic { date } else { date.max(model::now()) };
        self.offset_ms.store(date.timestamp_millis().saturating_sub(uptime::now_ms()), Ordering::Release);
    }

    /// Returns the date at the server now; `None` if no reply has told it.
    pub(crate) fn date(&self) -> Option<DateTime<Utc>> {
        let offset_ms = self.offset_ms.load(Ordering::Acquire);
        let now_ms = uptime::now_ms().saturating_add(offset_ms);
        (offset_ms != UNKNOWN).then(|| DateTime::from_timestamp_millis(now_ms)).flatten()
    }
}
