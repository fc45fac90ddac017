//! Wire formats that client and server share: times, the text under a v1 signature, two request headers, and a refusal.

use chrono::{DateTime, Datelike, SecondsFormat, TimeDelta, Timelike, Utc};
use std::time::{Duration, SystemTime};

/// The `code` of a 503 by which a server with no place for another connection refuses one, before it reads a request.
pub const TOO_MANY_CONNECTIONS: &str = "too_many_connections";

/// Returns the date that this machine's clock shows, or the nearest that can be written if it shows none.
///
/// `Utc::now` panics before 1970, and a clock without a battery may start there.
pub fn now() -> DateTime<Utc> {
    let delta = |duration| TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX);
    match SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => DateTime::UNIX_EPOCH.checked_add_signed(delta(since)).unwrap_or(DateTime::<Utc>::MAX_UTC),
        Err(before) => {
            let before = delta(before.duration());
            DateTime::UNIX_EPOCH.checked_sub_signed(before).unwrap_or(DateTime::<Utc>::MIN_UTC)
        }
    }
}

/// Returns how long ago 1970 began by this machine's clock; nothing if it shows an earlier date.
pub fn since_1970() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

/// Reads a time in any of the API's five forms, or in RFC 3339 with an offset. `None` if it is invalid.
///
/// A form without zone is UTC, and a date alone is its midnight. Digits beyond milliseconds are cut off, because the
/// API has none.
pub fn parse_time(text: &str) -> Option<DateTime<Utc>> {
    let text = text.trim();
    let (date, time) = text.split_once(['T', 't', ' ']).unwrap_or((text, "00:00"));
    // Missing parts are added for RFC 3339: the seconds of 23:30, the Z of a time without zone.
    let seconds = if time.len() == "23:30".len() { ":00" } else { "" };
    let zone = if time.contains(['Z', 'z', '+', '-']) { "" } else { "Z" };
    let complete = format!("{date}T{time}{seconds}{zone}");
    // The detour over milliseconds turns a leap second into the next second, because no reply may hold 23:59:60.
    DateTime::from_timestamp_millis(DateTime::parse_from_rfc3339(&complete).ok()?.timestamp_millis())
}

/// Writes a time as the API does: `YYYY-MM-DDTHH:MM:SS.mmmZ`.
///
/// It never writes an offset, because some clients cut off the last character without looking at it.
pub fn format_time(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// Writes a `Date` header (RFC 7231): `Thu, 01 Jan 2026 00:00:00 GMT`.
pub fn format_http_date(time: DateTime<Utc>) -> String {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month = MONTHS.get(time.month0() as usize).copied().unwrap_or_default();
    let (weekday, day, year) = (time.weekday(), time.day(), time.year());
    format!("{weekday}, {day:02} {month} {year:04} {:02}:{:02}:{:02} GMT", time.hour(), time.minute(), time.second())
}

/// Reads a `Date` header in the form that [`format_http_date`] writes.
pub fn parse_http_date(text: &str) -> Option<DateTime<Utc>> {
    DateTime::parse_from_rfc2822(text.trim()).ok().map(|time| time.with_timezone(&Utc))
}

/// Returns the text under `license_signature` (v1): `<hardware_id>#<auth>#<validity>`, all of it in lower case.
///
/// `auth` is the license key or the username, without its SSO suffix, which begins with `|`. `validity` is the reply's
/// `validity_period` as it arrived, empty when null.
pub fn v1_text(hardware_id: &str, auth: &str, validity: Option<&str>) -> String {
    let auth = auth.split('|').next().unwrap_or_default();
    format!("{hardware_id}#{auth}#{}", validity.unwrap_or_default()).to_lowercase()
}

/// The header that identifies a request, so that a server can tell a repetition from a new request.
///
/// floatlease-server books a consumption once for each key. The vendor's cloud ignores the header.
pub const IDEMPOTENCY_KEY: &str = "Idempotency-Key";

/// Returns true if the text may be the value of [`IDEMPOTENCY_KEY`]: 1 to 255 visible ASCII characters.
pub fn is_idempotency_key(text: &str) -> bool {
    (1..=255).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// The header that orders the requests about one slot of one device: a number that only grows.
///
/// A server that supports it refuses a request whose number is lower than the highest that it has seen, and names the
/// highest in that refusal. It repeats the number in every other reply. The vendor's cloud ignores the header.
pub const ORDER: &str = "FloatLease-Order";

/// The highest order number. JavaScript would round higher ones.
pub const MAX_ORDER: u64 = (1 << 53) - 1;

/// Reads an order number: decimal digits, from 1 to [`MAX_ORDER`].
pub fn parse_order(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|number| digits && (1..=MAX_ORDER).contains(number))
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha2::{Digest, Sha256};

    #[test]
    fn five_forms_of_time_and_offsets_mean_the_same_instant() {
        for (text, expected) in [
            ("2024-09-27T23:30:48.016Z", "2024-09-27T23:30:48.016Z"),
            ("2024-09-27 23:30:48.016", "2024-09-27T23:30:48.016Z"),
            ("2024-09-27 23:30:48", "2024-09-27T23:30:48.000Z"),
            ("2024-09-27 23:30", "2024-09-27T23:30:00.000Z"),
            ("2024-09-27", "2024-09-27T00:00:00.000Z"),
            ("2024-09-28T01:30:48.016+02:00", "2024-09-27T23:30:48.016Z"),
            ("2024-09-27T18:00:00-05:30", "2024-09-27T23:30:00.000Z"),
            ("2024-09-27T23:30", "2024-09-27T23:30:00.000Z"),
            ("2024-09-27T23:30:48.0169999Z", "2024-09-27T23:30:48.016Z"),
            ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00.000Z"),
        ] {
            assert_eq!(parse_time(text).map(format_time).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_date_is_refused() {
        for text in ["", "tomorrow", "2024-13-01", "2024-02-30", "27.09.2024", "1727479848", "2024-09-27T25:00:00Z"] {
            assert_eq!(parse_time(text), None, "{text}");
        }
    }

    #[test]
    fn http_dates_survive_the_round_trip() {
        for text in ["Tue, 07 Jun 2011 20:51:35 GMT", "Thu, 31 Dec 2026 23:59:59 GMT", "Thu, 01 Jan 2026 00:00:00 GMT"]
        {
            assert_eq!(parse_http_date(text).map(format_http_date).as_deref(), Some(text));
        }
        assert_eq!(parse_http_date("2011-06-07"), None);
    }

    #[test]
    fn order_numbers_are_whole_and_fit_into_a_double() {
        for (text, expected) in [
            ("1", Some(1)),
            ("9007199254740991", Some(MAX_ORDER)),
            ("9007199254740992", None),
            ("0", None),
            ("-1", None),
            ("+1", None),
            ("1.0", None),
            (" 1", None),
            ("", None),
            ("18446744073709551616", None),
        ] {
            assert_eq!(parse_order(text), expected, "{text:?}");
        }
    }

    #[test]
    fn v1_texts_match_the_test_vectors() {
        let digest = |text: String| Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        assert_eq!(
            digest(v1_text("hw-1", "AAAA-BBBB-CCCC-DDDD", Some("2026-12-31T00:00:00.000Z"))),
            "45f0abd37c609ef664373bdb9d83b54d9bb1f8f2da59bf9735fdab702f8b2257"
        );
        assert_eq!(
            digest(v1_text("hw-1", "AAAA-BBBB-CCCC-DDDD", None)),
            "13a9327dbee7ed00fb21da655cc4ca83016225d7efe9c3f6596e2616c5c42ba0"
        );
        assert_eq!(v1_text("HW", "a@example.com|sso", None), "hw#a@example.com#");
    }
}
