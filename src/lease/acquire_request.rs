//! The request of an acquire, checked as strictly as the requests of verbs.

use crate::client::Client;
use crate::config::CREDENTIALS;
use crate::error::Error;
use crate::lease::license_ref::{ACTIVATE, LICENSE_KEYS, LicenseRef};
use crate::lease::state_machine::LeaseOptions;
use crate::operations::Kind;
use crate::request::OF_ONE_LICENSE;
use crate::status::Status;
use crate::strict::{self, Object};
use serde_json::Value;
use std::time::Duration;

/// Keys of an acquire besides those that name license and device.
const OWN_KEYS: &[(&str, Kind)] = &[
    ("feature", Kind::Text),
    ("features", Kind::Texts),
    ("tag", Kind::Text),
    ("activate", Kind::Boolean),
    ("keep_alive", Kind::Text),
    ("grace_ms", Kind::Integer),
    ("borrow_ending_hours", Kind::Integer),
    ("release_on_close_ms", Kind::Integer),
    ("timeout_ms", Kind::Integer),
    ("wait_ms", Kind::Integer),
];

const HOUR_MS: u64 = 60 * 60 * 1000;
const DAY_MS: u64 = 24 * HOUR_MS;
/// The most features of one lease. More are probably a mistake.
const MOST_FEATURES: usize = 64;
/// The longest tag. Every event of the lease repeats it.
const LONGEST_TAG_BYTES: usize = 256;

/// Who renews a lease in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeepAlive {
    /// A thread of the library.
    Thread,
    /// The host, who asks for each renewal.
    Host,
}

impl KeepAlive {
    /// As requests and `lease_info` spell it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            KeepAlive::Thread => "thread",
            KeepAlive::Host => "host",
        }
    }
}

/// The request of an acquire.
pub(crate) struct AcquireRequest {
    pub(crate) license_ref: LicenseRef,
    /// The features whose slots are taken; `None`: the license's own slot.
    pub(crate) features: Vec<Option<String>>,
    /// The host's own name for the lease.
    pub(crate) tag: Option<String>,
    /// True if a device that is new to the license is to be activated first.
    pub(crate) activate: bool,
    pub(crate) options: LeaseOptions,
    pub(crate) keep_alive: KeepAlive,
    /// How long slots may still be released after the lease was closed.
    pub(crate) release_on_close: Duration,
    /// The time limit of each request.
    pub(crate) timeout: Duration,
    /// How long to wait for a slot when all are taken.
    pub(crate) wait: Duration,
}

impl AcquireRequest {
    /// Parses and checks `json`, and completes it from the client's config.
    pub(crate) fn parse(client: &Client, json: &str) -> Result<AcquireRequest, Error> {
        let what = "lease_acquire";
        let mut given = strict::parse_object("the request", json)?;
        let left_out: Vec<_> = OF_ONE_LICENSE.into_iter().filter(|key| given.get(*key) == Some(&Value::Null)).collect();
        let known: Vec<_> =
            CREDENTIALS.iter().map(|key| (*key, Kind::Text)).chain(LICENSE_KEYS.iter().copied()).collect();
        strict::check(what, &mut given, &[&known, OWN_KEYS].concat())?;
        given.extend(left_out.into_iter().map(|key| (key.to_owned(), Value::Null)));

        let mut number = |key: &str, default: u64, range: std::ops::RangeInclusive<u64>| {
            let value = given.remove(key).map_or(Some(default), |value| value.as_u64());
            value.filter(|value| range.contains(value)).ok_or_else(|| {
                let message = format!("\"{key}\" in {what} must be from {} to {}.", range.start(), range.end());
                Error::because(Status::BadValue, message)
            })
        };
        let grace_ms = number("grace_ms", 5 * 60 * 1000, 0..=DAY_MS)?;
        let borrow_ending_ms = number("borrow_ending_hours", 2, 0..=24 * 365)? * HOUR_MS;
        let release_on_close = Duration::from_millis(number("release_on_close_ms", 5_000, 0..=HOUR_MS)?);
        let default_timeout_ms = u64::try_from(client.config().timeout.as_millis()).unwrap_or(HOUR_MS);
        let timeout = Duration::from_millis(number("timeout_ms", default_timeout_ms, 1..=HOUR_MS)?);
        let wait = Duration::from_millis(number("wait_ms", 0, 0..=DAY_MS)?);
        let keep_alive = match given.remove("keep_alive").as_ref().and_then(Value::as_str) {
            None | Some("thread") => KeepAlive::Thread,
            Some("host") => KeepAlive::Host,
            Some(_) => {
                let message = format!("\"keep_alive\" in {what} must be \"thread\" or \"host\".");
                return Err(Error::because(Status::BadValue, message));
            }
        };
        let features = features(what, &mut given)?;
        let tag = tag(what, &mut given)?;
        let activate = given.remove("activate") == Some(Value::Bool(true));
        let license_ref = LicenseRef::new(client, given)?;
        if activate {
            // What an activation lacks, such as a password, is told on every computer, and not on new ones alone.
            license_ref.request(client, ACTIVATE, &[], timeout)?;
        }
        Ok(AcquireRequest {
            license_ref,
            features,
            tag,
            activate,
            options: LeaseOptions {
                grace_ms: grace_ms.cast_signed(),
                borrow_ending_ms: borrow_ending_ms.cast_signed(),
            },
            keep_alive,
            release_on_close,
            timeout,
            wait,
        })
    }
}

impl AcquireRequest {
    /// The names of the slots, unique for license, device and feature.
    pub(crate) fn slot_names(&self) -> Vec<String> {
        self.features.iter().map(|feature| self.license_ref.file_stem(feature.as_deref())).collect()
    }
}

/// Removes the tag from a request and checks it.
fn tag(what: &str, given: &mut Object) -> Result<Option<String>, Error> {
    let tag = given.remove("tag").as_ref().and_then(Value::as_str).map(str::to_owned);
    if tag.as_ref().is_some_and(|tag| tag.len() > LONGEST_TAG_BYTES) {
        let message = format!("\"tag\" in {what} must have at most {LONGEST_TAG_BYTES} bytes.");
        return Err(Error::because(Status::BadValue, message));
    }
    Ok(tag)
}

/// Removes the features from a request and checks them. `None` stands for the license's own slot.
pub(crate) fn features(what: &str, given: &mut Object) -> Result<Vec<Option<String>>, Error> {
    let texts = |value: &Value| value.as_str().map(str::to_owned);
    let named: Vec<String> = match (given.remove("feature"), given.remove("features")) {
        (None, None) => return Ok(vec![None]),
        (Some(feature), None) => texts(&feature).into_iter().collect(),
        (None, Some(features)) => features.as_array().into_iter().flatten().filter_map(texts).collect(),
        (Some(_), Some(_)) => {
            let message = format!("{what} has both \"feature\" and \"features\"; give only one of them.");
            return Err(Error::because(Status::ConflictingKeys, message));
        }
    };
    let twice = |(at, feature): (usize, &String)| named[..at].iter().any(|other| other.eq_ignore_ascii_case(feature));
    if named.is_empty() || named.len() > MOST_FEATURES || named.iter().any(|feature| feature.trim().is_empty()) {
        let message = format!(
            "{what} must name from 1 to {MOST_FEATURES} features, none of them empty; without \"feature\" and \
             \"features\" it takes the license's own slot."
        );
        return Err(Error::because(Status::BadValue, message));
    }
    if named.iter().enumerate().any(twice) {
        return Err(Error::because(Status::BadValue, format!("\"features\" of {what} name a feature twice.")));
    }
    Ok(named.into_iter().map(Some).collect())
}
