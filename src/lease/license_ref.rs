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

/// Keys that say whose license it is, the same in every request about it.
pub(crate) const LICENSE_KEYS: &[(&str, Kind)] = &[
    ("product", Kind::Text),
    ("hardware_id", Kind::Text),
    ("license_id", Kind::Integer),
    ("bundle_code", Kind::Text),
    ("extra", Kind::Object),
];

const HOUR_MS: u64 = 60 * 60 * 1000;

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
    use crate::strict;

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
