//! Consumption totals, and the periods after which they start again.

use chrono::{DateTime, Datelike, Days, Months, NaiveDate, NaiveTime, TimeDelta, Utc};

use crate::catalogue::Period;

/// A consumption total.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counter {
    /// The total of the period.
    pub total: i64,
    /// The time at which the total was last changed, or the time to which the clock was set back since.
    pub at: DateTime<Utc>,
    /// The time by which the clock was set back since. `at` is earlier by it.
    pub set_back: TimeDelta,
}

impl Counter {
    /// Returns the counter after the clock was set to `now`, or after a time in which the server did not run.
    ///
    /// If the clock is set back, the total still counts at the new time, because nothing was given back. If the clock then
    /// proves right again, the total counts at the time at which it was consumed. Otherwise a start with an old clock would
    /// refill the quota of the period. A clock that was ahead never comes back to that time, so it has no such effect.
    pub(super) fn carried_to(self, now: DateTime<Utc>) -> Counter {
        let consumed_at = self.at + self.set_back;
        if self.at > now {
            return Counter { at: now, set_back: consumed_at - now, ..self };
        }
        if consumed_at <= now { Counter { at: consumed_at, set_back: TimeDelta::zero(), ..self } } else { self }
    }
}

impl Period {
    /// Returns the start of the period that contains `now`, at 00:00 UTC.
    pub(super) fn start(self, now: DateTime<Utc>) -> DateTime<Utc> {
        midnight(self.first_day(now.date_naive()))
    }

    /// Returns the start of the next period; `None` if no date is so late.
    pub(super) fn next_start(self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let first = self.first_day(now.date_naive());
        let next = match self {
            Period::Daily => first.checked_add_days(Days::new(1)),
            Period::Weekly => first.checked_add_days(Days::new(7)),
            Period::Monthly => first.checked_add_months(Months::new(1)),
            Period::Annually => first.checked_add_months(Months::new(12)),
        };
        next.map(midnight)
    }

    fn first_day(self, today: NaiveDate) -> NaiveDate {
        let first = match self {
            Period::Daily => Some(today),
            Period::Weekly => today.checked_sub_days(Days::new(today.weekday().num_days_from_monday().into())),
            Period::Monthly => today.with_day(1),
            Period::Annually => NaiveDate::from_ymd_opt(today.year(), 1, 1),
        };
        first.unwrap_or(today)
    }
}

fn midnight(day: NaiveDate) -> DateTime<Utc> {
    day.and_time(NaiveTime::MIN).and_utc()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use floatlease::model::{format_time, parse_time};

    #[test]
    fn periods_begin_at_midnight_utc() {
        for (period, now, start, next) in [
            (Period::Daily, "2028-02-29T23:59:59.999Z", "2028-02-29", "2028-03-01"),
            (Period::Daily, "2028-02-28T12:00:00.000Z", "2028-02-28", "2028-02-29"),
            (Period::Daily, "2028-03-01T00:00:00.000Z", "2028-03-01", "2028-03-02"),
            (Period::Weekly, "2026-11-22T23:59:59.999Z", "2026-11-16", "2026-11-23"),
            (Period::Weekly, "2026-11-23T00:00:00.000Z", "2026-11-23", "2026-11-30"),
            (Period::Weekly, "2027-01-01T12:00:00.000Z", "2026-12-28", "2027-01-04"),
            (Period::Monthly, "2028-02-29T12:00:00.000Z", "2028-02-01", "2028-03-01"),
            (Period::Monthly, "2026-12-31T23:59:59.999Z", "2026-12-01", "2027-01-01"),
            (Period::Annually, "2026-12-31T23:59:59.999Z", "2026-01-01", "2027-01-01"),
            (Period::Annually, "2027-01-01T00:00:00.000Z", "2027-01-01", "2028-01-01"),
        ] {
            let now = parse_time(now).unwrap();
            let midnight = |day: &str| format!("{day}T00:00:00.000Z");
            assert_eq!(format_time(period.start(now)), midnight(start), "{period:?} {now}");
            assert_eq!(format_time(period.next_start(now).unwrap()), midnight(next), "{period:?} {now}");
        }
    }
}
