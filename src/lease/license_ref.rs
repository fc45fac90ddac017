//! The license and device that requests are about.

use crate::client::Client;
use crate::config::CREDENTIALS;
use crate::error::Error;
use crate::operations::{Kind, Operation};
use crate::request::{Request, wipe};
use crate::secret::Secret;
use crate::status::Status;
use crate::strict::Object;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::time::Duration;
use zeroize::Zeroizing;

/// Keys that name license and device, the same in every request about them. Credentials are not repeated here.
pub(crate) const LICENSE_KEYS: &[(&str, Kind)] = &[
    ("product", Kind::Text),
    ("hardware_id", Kind::Text),
    ("license_id", Kind::Integer),
    ("bundle_code", Kind::Text),
    ("extra", Kind::Object),
];

/// The operation that activates a device.
pub(crate) const ACTIVATE: &str = "activate_license";

const HOUR_MS: u64 = 60 * 60 * 1000;

/// Names the license and the device in every request about them, and the files that are stored about them.
#[derive(Clone)]
pub(crate) struct LicenseRef {
    given: Object,
    /// Part of the key that seals stored files.
    pub(crate) product: String,
    pub(crate) hardware_id: String,
    /// The license id in the request or in the config.
    pub(crate) license_id: Option<Value>,
    /// A hash of product, user or key, and device. It is the same for all licenses of one user on one device.
    pub(crate) owner: String,
    /// Part of the names of stored files. A hash, so that the names reveal nothing about license and device.
    license_hash: String,
    device_hash: String,
}

/// Removes the keys that name license and device from a request, and returns them.
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

    /// The [`owner`](LicenseRef::owner) that a request names.
    pub(crate) fn owner_of(request: &Request) -> String {
        let product = request.said("short_code").and_then(Value::as_str).unwrap_or_default();
        short_hash(&[product, request.auth.as_ref().map_or("", Secret::expose), &request.hardware_id])
    }

    /// Prepares a request of this operation, with its own keys and those that name license and device.
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

    /// The name of the files about a slot, without their ending.
    pub(crate) fn file_stem(&self, feature: Option<&str>) -> String {
        format!("{}{}", self.file_prefix(), self.file_suffix(feature))
    }

    /// The beginning of the names of all files about this license on this device.
    pub(crate) fn file_prefix(&self) -> String {
        format!("{}-{}-", self.license_hash, self.device_hash)
    }

    /// The beginning of the names of all files about this license on any device.
    pub(crate) fn license_prefix(&self) -> String {
        format!("{}-", self.license_hash)
    }

    /// The end of the names of the files about the slot of this feature, without their ending.
    pub(crate) fn file_suffix(&self, feature: Option<&str>) -> String {
        feature.map_or("license".to_owned(), |feature| short_hash(&[&feature.to_ascii_lowercase()]))
    }
}

impl Drop for LicenseRef {
    fn drop(&mut self) {
        self.given.values_mut().for_each(wipe);
    }
}

/// Writes a request as JSON: those of the given keys that the operation knows, and the request's own keys.
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

/// Hashes `parts` to sixteen hexadecimal digits.
fn short_hash(parts: &[&str]) -> String {
    let digest = Sha256::digest(parts.join("\0"));
    digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::strict;

    fn object(text: &str) -> Object {
        strict::parse_object("the request", text).unwrap()
    }

    #[test]
    fn license_keys_are_taken_out_of_request() {
        let mut request = object(r#"{"consumptions":3,"license_key":"AAAA","product":"XY","feature":"COUNT"}"#);
        assert_eq!(take_license_keys(&mut request), object(r#"{"license_key":"AAAA","product":"XY"}"#));
        assert_eq!(request, object(r#"{"consumptions":3,"feature":"COUNT"}"#));
    }

    #[test]
    fn own_keys_of_operation_replace_given_ones() {
        let given = object(r#"{"license_key":"AAAA","code":"c","hardware_id":"hw","extra":{"x":1},"feature":"A"}"#);
        let own = [("feature", Value::from("B")), ("timeout_ms", 5.into())];
        let asked = object(&request_json("check_feature", &given, &own).unwrap());
        let expected = r#"{"license_key":"AAAA","hardware_id":"hw","extra":{"x":1},"feature":"B","timeout_ms":5}"#;
        assert_eq!(asked, object(expected));
    }
}
