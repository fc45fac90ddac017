//! What a host may ask of a lease, as strictly checked as the requests of the verbs.

use crate::client::Client;
use crate::config::CREDENTIALS;
use crate::error::Error;
use crate::lease::state_machine::LeaseOptions;
use crate::operations::{Kind, Operation};
use crate::request::{OF_ONE_LICENSE, Request, wipe};
use crate::secret::Secret;
use crate::status::Status;
use crate::strict::{self, Object};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::time::Duration;
use zeroize::Zeroizing;

/// Keys that say whose license it is, the same in every request about it.
const LICENSE_KEYS: &[(&str, Kind)] = &[
    ("product", Kind::Text),
    ("hardware_id", Kind::Text),
    ("license_id", Kind::Integer),
    ("bundle_code", Kind::Text),
    ("extra", Kind::Object),
];

/// Keys of an acquire that are its own.
const OWN_KEYS: &[(&str, Kind)] = &[
    ("feature", Kind::Text),
    ("features", Kind::Texts),
    ("keep_alive", Kind::Text),
    ("grace_ms", Kind::Integer),
    ("borrow_ending_hours", Kind::Integer),
    ("release_on_close_ms", Kind::Integer),
    ("timeout_ms", Kind::Integer),
    ("wait_ms", Kind::Integer),
];

const HOUR_MS: u64 = 60 * 60 * 1000;
const DAY_MS: u64 = 24 * HOUR_MS;
/// More at once is a mistake.
const MOST_FEATURES: usize = 64;

/// Who keeps a lease alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeepAlive {
    /// A thread of ours.
    Thread,
    /// The host, who asks for each renewal.
    Host,
}

/// What an acquire wants.
pub(crate) struct AcquireRequest {
    pub(crate) license_ref: LicenseRef,
    /// The slots: of these features, or the license's own.
    pub(crate) features: Vec<Option<String>>,
    pub(crate) options: LeaseOptions,
    pub(crate) keep_alive: KeepAlive,
    /// How long a slot is still given back after its lease was freed.
    pub(crate) release_on_close: Duration,
    /// The deadline of each request.
    pub(crate) timeout: Duration,
    /// How long to queue for a slot when all are taken.
    pub(crate) wait: Duration,
}

impl AcquireRequest {
    /// Checks `json` and completes it from the client's config.
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
        Ok(AcquireRequest {
            license_ref: LicenseRef::new(client, given)?,
            features,
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
    /// The names of its slots, on this device and for this license.
    pub(crate) fn slot_names(&self) -> Vec<String> {
        self.features.iter().map(|feature| self.license_ref.file_stem(feature.as_deref())).collect()
    }
}

/// The features that are named, each once; the license's own slot if none is.
fn features(what: &str, given: &mut Object) -> Result<Vec<Option<String>>, Error> {
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

/// Whose slots: what names license and device, in every request about them.
pub(crate) struct LicenseRef {
    given: Object,
    /// Names files and the key that seals them.
    pub(crate) product: String,
    pub(crate) hardware_id: String,
    /// The license that the caller, or the config, names.
    pub(crate) license_id: Option<Value>,
    /// Stands for product, user or key, and device, whichever license of theirs it is.
    pub(crate) owner: String,
    /// Stands for license and device in names of files, which tell nobody what they are.
    license_hash: String,
    device_hash: String,
}

/// Takes out of a request what says whose license it is about.
pub(crate) fn take_license_keys(request: &mut Object) -> Object {
    let keys = CREDENTIALS.iter().copied().chain(LICENSE_KEYS.iter().map(|(key, _)| *key));
    let mut license_keys = Object::new();
    for (key, value) in keys.filter_map(|key| request.remove_entry(key)) {
        license_keys.insert(key, value);
    }
    license_keys
}

impl LicenseRef {
    pub(crate) fn new(client: &Client, mut given: Object) -> Result<LicenseRef, Error> {
        let text = |key: &str| given.get(key).and_then(Value::as_str).map(str::to_owned);
        let product = text("product").unwrap_or_else(|| client.config().product.clone());
        let check = client.prepare("check_license", &request_json("check_license", &given, &[])?);
        let check = check.inspect_err(|_| given.values_mut().for_each(wipe))?;
        let auth = check.auth.as_ref().map_or("", Secret::expose);
        let license_id = check.said("license_id").cloned();
        Ok(LicenseRef {
            owner: LicenseRef::owner_of(&check),
            license_hash: short_hash(&[&product, auth, &license_id.as_ref().map(Value::to_string).unwrap_or_default()]),
            device_hash: short_hash(&[&check.hardware_id]),
            hardware_id: check.hardware_id,
            license_id,
            product,
            given,
        })
    }

    /// Stands for the product, the user or key, and the device that a request names.
    pub(crate) fn owner_of(request: &Request) -> String {
        let product = request.said("short_code").and_then(Value::as_str).unwrap_or_default();
        short_hash(&[product, request.auth.as_ref().map_or("", Secret::expose), &request.hardware_id])
    }

    /// A request of this operation, with its own keys beside those that say whose license it is.
    pub(crate) fn request(
        &self,
        client: &Client,
        operation: &'static str,
        own: &[(&str, Value)],
        timeout: Duration,
    ) -> Result<Request, Error> {
        let timeout_ms = u64::try_from(timeout.as_millis()).unwrap_or(HOUR_MS).clamp(1, HOUR_MS);
        let own = [own, &[("timeout_ms", timeout_ms.into())]].concat();
        client.prepare(operation, &request_json(operation, &self.given, &own)?)
    }

    /// The name of what is kept of a slot, without the ending that says what it is.
    pub(crate) fn file_stem(&self, feature: Option<&str>) -> String {
        format!("{}{}", self.file_prefix(), self.file_suffix(feature))
    }

    /// How the names begin of what is kept of this license on this device.
    pub(crate) fn file_prefix(&self) -> String {
        format!("{}-{}-", self.license_hash, self.device_hash)
    }

    /// How they begin whatever the device.
    pub(crate) fn license_prefix(&self) -> String {
        format!("{}-", self.license_hash)
    }

    /// How they end for this feature.
    pub(crate) fn file_suffix(&self, feature: Option<&str>) -> String {
        feature.map_or("license".to_owned(), |feature| short_hash(&[&feature.to_ascii_lowercase()]))
    }
}

impl Drop for LicenseRef {
    fn drop(&mut self) {
        self.given.values_mut().for_each(wipe);
    }
}

/// The JSON of a request: of the given keys those that the operation knows, and its own.
fn request_json(operation: &str, given: &Object, own: &[(&str, Value)]) -> Result<Zeroizing<String>, Error> {
    let operation = Operation::named(operation).ok_or_else(|| Error::new(Status::UnknownOperation))?;
    let known = given.iter().filter(|(key, _)| key.as_str() == "extra" || operation.parameter(key).is_some());
    let own = own.iter().map(|(key, value)| (*key, value));
    let mut request = Object::new();
    for (key, value) in known.map(|(key, value)| (key.as_str(), value)).chain(own) {
        request.insert(key.to_owned(), value.clone());
    }
    let text = serde_json::to_string(&request).unwrap_or_default();
    request.values_mut().for_each(wipe);
    Ok(Zeroizing::new(text))
}

/// Sixteen hexadecimal digits that stand for `parts` and tell nothing of them.
fn short_hash(parts: &[&str]) -> String {
    let digest = Sha256::digest(parts.join("\0"));
    digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(text: &str) -> Object {
        strict::parse_object("the request", text).unwrap()
    }

    #[test]
    fn what_says_whose_license_it_is_is_taken_out_of_a_request() {
        let mut request = object(r#"{"consumptions":3,"license_key":"AAAA","product":"XY","feature":"COUNT"}"#);
        assert_eq!(take_license_keys(&mut request), object(r#"{"license_key":"AAAA","product":"XY"}"#));
        assert_eq!(request, object(r#"{"consumptions":3,"feature":"COUNT"}"#));
    }

    #[test]
    fn an_operation_is_asked_with_what_it_knows_and_its_own_goes_first() {
        let given = object(r#"{"license_key":"AAAA","code":"c","hardware_id":"hw","extra":{"x":1},"feature":"A"}"#);
        let own = [("feature", Value::from("B")), ("timeout_ms", 5.into())];
        let asked = object(&request_json("check_feature", &given, &own).unwrap());
        let expected = r#"{"license_key":"AAAA","hardware_id":"hw","extra":{"x":1},"feature":"B","timeout_ms":5}"#;
        assert_eq!(asked, object(expected));
    }
}
