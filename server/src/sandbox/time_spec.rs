//! Parses times and durations as testers write them.

use chrono::{DateTime, TimeDelta, Utc};
use floatlease::model::parse_time;
use schemars::{Schema, SchemaGenerator, json_schema};

use super::control_error::ControlError;
use crate::clock::latest;

/// Parses a duration such as `2h`, `121m`, `30 days` or `1h 30m`. It is never negative.
pub(super) fn duration(text: &str) -> Result<TimeDelta, ControlError> {
    let duration = humantime::parse_duration(text.trim()).ok().and_then(|duration| TimeDelta::from_std(duration).ok());
    let explain = || {
        ControlError::invalid(format!(
            "invalid duration {text:?}: write it as \"90s\", \"121m\", \"2h 30m\" or \"30days\""
        ))
    };
    duration.filter(|duration| *duration < TimeDelta::days(LONGEST_DAYS)).ok_or_else(explain)
}

/// Upper bound for durations: a thousand years, so that no date overflows.
const LONGEST_DAYS: i64 = 365 * 1000;

/// Parses a date in the API's forms, or one relative to `now`: `now`, `now+30days`, `now-1h`.
pub(super) fn instant(text: &str, now: DateTime<Utc>) -> Result<DateTime<Utc>, ControlError> {
    let explain = || {
        ControlError::invalid(format!(
            "invalid time {text:?}: write it as \"2028-02-29T12:00:00Z\", \"2028-02-29\" or \"now+30days\""
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

/// Returns whether a world's clock may show this time. Later times plus a license's terms may have no four-digit year.
pub(super) fn is_in_range(time: &DateTime<Utc>) -> bool {
    (DateTime::UNIX_EPOCH..=latest()).contains(time)
}

/// The message about a time for which [`is_in_range`] is false.
pub(super) const OUT_OF_RANGE: &str = "the time must be from the year 1970 to the year 9000";

const DURATION: &str = "([0-9]{1,4} ?(ms|s|sec|seconds?|m|min|minutes?|h|hours?|d|days?|w|weeks?) ?){1,3}";

/// Returns the schema of a duration, with an optional sign if it is `signed`. [`duration`] accepts more, rarely used forms.
fn duration_schema(signed: bool) -> Schema {
    let sign = if signed { "[+-]?" } else { "" };
    json_schema!({ "type": "string", "pattern": format!("^{sign}{DURATION}$") })
}

pub(super) fn schema_of_advance(_: &mut SchemaGenerator) -> Schema {
    duration_schema(false)
}

pub(super) fn schema_of_jump(_: &mut SchemaGenerator) -> Schema {
    duration_schema(true)
}

/// Returns the schema of the texts that [`instant`] accepts.
pub(super) fn schema_of_instant(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "anyOf": [
        { "format": "date-time" },
        { "format": "date" },
        { "pattern": format!("^now( ?[+-] ?{DURATION})?$") },
    ] })
}

pub(super) fn schema_of_optional_instant(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({ "anyOf": [schema_of_instant(generator), { "type": "null" }] })
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
