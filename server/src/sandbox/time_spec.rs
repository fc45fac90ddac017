//! Times and durations as testers write them.

use chrono::{DateTime, TimeDelta, Utc};
use floatlease::model::parse_time;
use schemars::{Schema, SchemaGenerator, json_schema};

use super::control_error::ControlError;
use crate::clock::latest;

/// `2h`, `121m`, `30 days`, `1h 30m`; never negative.
pub(super) fn duration(text: &str) -> Result<TimeDelta, ControlError> {
    let duration = humantime::parse_duration(text.trim()).ok().and_then(|duration| TimeDelta::from_std(duration).ok());
    let explain = || {
        ControlError::invalid(format!(
            "{text:?} is no duration; write it as \"90s\", \"121m\", \"2h 30m\" or \"30days\""
        ))
    };
    duration.filter(|duration| *duration < TimeDelta::days(LONGEST_DAYS)).ok_or_else(explain)
}

/// A thousand years: beyond any test, and far from where dates end.
const LONGEST_DAYS: i64 = 365 * 1000;

/// A date in the forms of the API, or relative to `now`: `now`, `now+30days`, `now-1h`.
pub(super) fn instant(text: &str, now: DateTime<Utc>) -> Result<DateTime<Utc>, ControlError> {
    let explain = || {
        ControlError::invalid(format!(
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

/// Whether a world's clock may show it: later ones and what licenses add to them have no four-digit year.
pub(super) fn is_of_world(time: &DateTime<Utc>) -> bool {
    (DateTime::UNIX_EPOCH..=latest()).contains(time)
}

/// What is said of other times.
pub(super) const BEYOND: &str = "a world's clock goes from the year 1970 to the year 9000";

const DURATION: &str = "([0-9]{1,4} ?(ms|s|sec|seconds?|m|min|minutes?|h|hours?|d|days?|w|weeks?) ?){1,3}";

/// Of what [`duration`] takes, with a sign before it if it is `signed`; not all of it, but what anybody writes.
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

/// Of what [`instant`] takes.
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
