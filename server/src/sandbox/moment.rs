//! Times and durations as testers write them.

use chrono::{DateTime, TimeDelta, Utc};
use floatlease::model::parse_time;

use super::mistake::Mistake;

/// `2h`, `121m`, `30 days`, `1h 30m`; never negative.
pub(super) fn duration(text: &str) -> Result<TimeDelta, Mistake> {
    let duration = humantime::parse_duration(text.trim()).ok().and_then(|duration| TimeDelta::from_std(duration).ok());
    let explain = || {
        Mistake::invalid(format!("{text:?} is no duration; write it as \"90s\", \"121m\", \"2h 30m\" or \"30days\""))
    };
    duration.filter(|duration| *duration < TimeDelta::days(LONGEST_DAYS)).ok_or_else(explain)
}

/// A thousand years: beyond any test, and far from where dates end.
const LONGEST_DAYS: i64 = 365 * 1000;

/// A date in the forms of the API, or relative to `now`: `now`, `now+30days`, `now-1h`.
pub(super) fn instant(text: &str, now: DateTime<Utc>) -> Result<DateTime<Utc>, Mistake> {
    let explain = || {
        Mistake::invalid(format!(
            "{text:?} is no time; write it as \"2028-02-29T12:00:00Z\", \"2028-02-29\" or \"now+30days\""
        ))
    };
    let Some(offset) = text.trim().strip_prefix("now").map(str::trim) else {
        return parse_time(text).ok_or_else(explain);
    };
    let by = match offset.split_at_checked(1) {
        None => TimeDelta::zero(),
        Some(("+", later)) => duration(later)?,
        Some(("-", earlier)) => -duration(earlier)?,
        Some(_) => return Err(explain()),
    };
    now.checked_add_signed(by).ok_or_else(explain)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use floatlease::model::format_time;

    #[test]
    fn times_are_absolute_or_relative() {
        let now = parse_time("2028-02-28T12:00:00Z").unwrap();
        for (text, expected) in [
            ("2028-02-29", "2028-02-29T00:00:00.000Z"),
            ("now", "2028-02-28T12:00:00.000Z"),
            ("now+1day", "2028-02-29T12:00:00.000Z"),
            ("now - 90m", "2028-02-28T10:30:00.000Z"),
            ("now+1h 30m", "2028-02-28T13:30:00.000Z"),
        ] {
            assert_eq!(format_time(instant(text, now).unwrap()), expected, "{text}");
        }
        for text in ["", "soon", "now+", "now+1 fortnight", "now*2h", "nowhere", "now+99999999 years"] {
            assert!(instant(text, now).is_err(), "{text}");
        }
    }
}
