//! Presets: an easy way to provoke each documented refusal.
//!
//! Most refusals follow from a catalogue entry, such as an expired license or a pool without slots. The other refusals are
//! faults, each for a device of the preset's name.

use floatlease::status::STATUSES;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};
use toml::Table;

use super::fault::{Before, Fault, FaultAction};
use crate::catalogue::{self, ApiKey, CatalogueErrors};

const CATALOGUE: &str = include_str!("presets.toml");

/// The way to provoke one refusal.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct Preset {
    /// The code of the refusal.
    pub(crate) code: &'static str,
    /// The operation that is refused.
    pub(crate) operation: &'static str,
    /// The operations to call before, which succeed.
    pub(crate) first: Vec<&'static str>,
    /// Members for the client's configuration.
    pub(crate) config: Map<String, Value>,
    /// Members for the request.
    pub(crate) request: Map<String, Value>,
}

/// Code, operation, config, request. The default product is `PRESETS`, the default license `PRESET-GOOD`.
///
/// If the operation needs an active device, the preset activates it first.
type Row = (&'static str, &'static str, &'static str, &'static str);

#[rustfmt::skip]
const ROWS: &[Row] = &[
    ("unknown_product", "check_license", r#"{"product":"PRESETS-UNKNOWN"}"#, "{}"),
    ("disabled_product", "check_license", r#"{"product":"PRESETS-DISABLED"}"#, "{}"),
    ("archived_product", "check_license", r#"{"product":"PRESETS-ARCHIVED"}"#, "{}"),
    ("license_not_found", "check_license", r#"{"license_key":"PRESET-UNKNOWN"}"#, "{}"),
    ("license_not_active", "check_license", r#"{"license_key":"PRESET-INACTIVE"}"#, "{}"),
    ("license_not_enabled", "check_license", r#"{"license_key":"PRESET-DISABLED"}"#, "{}"),
    ("license_expired", "activate_license", r#"{"license_key":"PRESET-EXPIRED"}"#, "{}"),
    ("trial_expired", "activate_license", r#"{"license_key":"PRESET-TRIAL-EXPIRED"}"#, "{}"),
    ("license_activated_max_times", "activate_license", r#"{"license_key":"PRESET-NO-DEVICES"}"#, "{}"),
    ("licenseUserActivatedMaxTimes", "activate_license", r#"{"product":"PRESETS-USERS","license_key":null,"username":"preset-user","password":"preset-password"}"#, "{}"),
    ("device_not_found", "check_license", r#"{"hardware_id":"preset-never-activated"}"#, "{}"),
    ("blacklisted", "activate_license", r#"{"hardware_id":"preset-blacklisted"}"#, "{}"),
    ("signature_mismatch", "check_license", r#"{"shared_key":"preset-of-no-key"}"#, "{}"),
    ("floating_not_available", "check_license", r#"{"license_key":"PRESET-FULL"}"#, "{}"),
    ("license_borrow_not_allowed", "borrow_license", r#"{"license_key":"PRESET-NOT-TO-BE-BORROWED"}"#, "{}"),
    ("borrow_until_not_valid", "borrow_license", "{}", r#"{"borrowed_until":"2000-01-01"}"#),
    ("feature_borrow_not_allowed", "borrow_feature", "{}", r#"{"feature":"NOT-TO-BE-BORROWED"}"#),
    ("feature_not_floating", "release_feature", "{}", r#"{"feature":"PLAIN"}"#),
    ("floating_feature_device_not_in_use", "release_feature", "{}", r#"{"feature":"FLOATING"}"#),
    ("invalid_license_feature_code", "check_feature", "{}", r#"{"feature":"NO-SUCH-FEATURE"}"#),
    ("unsupported_product_feature", "add_feature_consumption", "{}", r#"{"feature":"NO-SUCH-FEATURE"}"#),
    ("license_not_consumption", "add_consumption", "{}", "{}"),
    ("license_not_enough_consumptions", "add_consumption", r#"{"license_key":"PRESET-USED-UP"}"#, "{}"),
    ("feature_not_enough_consumptions", "add_feature_consumption", "{}", r#"{"feature":"USED-UP"}"#),
    ("negative_consumptions_not_allowed", "add_consumption", r#"{"license_key":"PRESET-USED-UP"}"#, r#"{"consumptions":-1}"#),
    ("revoked_api_key", "check_license", "{}", "{}"),
    ("read_only_api_key", "activate_license", "{}", "{}"),
    ("api_key_product_not_allowed", "activate_license", "{}", "{}"),
];

/// Codes with which the server refuses a request before it looks at the device.
const WITHOUT_DEVICE: [&str; 13] = [
    "unknown_product",
    "disabled_product",
    "archived_product",
    "license_not_found",
    "license_not_active",
    "license_not_enabled",
    "device_not_found",
    "signature_mismatch",
    "revoked_api_key",
    "read_only_api_key",
    "api_key_product_not_allowed",
    "blacklisted",
    "licenseUserActivatedMaxTimes",
];

/// The presets of one world.
#[derive(Debug)]
pub(crate) struct Presets {
    /// API keys that the server refuses. Their names hold the world's id, since every world has API keys of its own.
    pub(super) api_keys: Vec<ApiKey>,
    rows: Vec<Preset>,
}

impl Presets {
    pub(super) fn new(world_id: &str) -> Presets {
        let key = |code: &str, products: Option<Vec<String>>| ApiKey {
            key: format!("{code}-{world_id}"),
            shared_key: "preset-shared-key".to_owned(),
            read_only: code == "read_only_api_key",
            revoked: code == "revoked_api_key",
            products,
        };
        let api_keys = vec![
            key("revoked_api_key", None),
            key("read_only_api_key", None),
            key("api_key_product_not_allowed", Some(Vec::new())),
        ];
        let codes = STATUSES.iter().map(|status| status.row().server_code).filter(|code| !code.is_empty());
        let rows = codes.map(|code| preset(code, &api_keys)).collect();
        Presets { api_keys, rows }
    }

    /// Adds the entries that the presets need to a catalogue.
    pub(super) fn add_to(&self, table: &mut Table) -> Result<(), CatalogueErrors> {
        for (key, value) in catalogue::table(CATALOGUE)? {
            match (table.get_mut(&key), value) {
                (Some(toml::Value::Array(theirs)), toml::Value::Array(ours)) => theirs.extend(ours),
                (_, value) => drop(table.insert(key, value)),
            }
        }
        Ok(())
    }

    /// Returns the faults for the refusals that no catalogue entry provokes.
    pub(super) fn faults(&self) -> impl Iterator<Item = Fault> {
        let by_fault = self.rows.iter().filter(|preset| !ROWS.iter().any(|row| row.0 == preset.code));
        by_fault.map(|preset| {
            let mut fault = Fault::always(FaultAction::Before(Before::Code(preset.code.to_owned())));
            fault.matching.hardware_id = Some(device_of(preset.code));
            fault
        })
    }

    pub(crate) fn all(&self) -> &[Preset] {
        &self.rows
    }
}

fn preset(code: &'static str, api_keys: &[ApiKey]) -> Preset {
    let object = |json: &str| serde_json::from_str::<Map<String, Value>>(json).unwrap_or_default();
    let mut config = object(r#"{"product":"PRESETS","license_key":"PRESET-GOOD"}"#);
    let Some((_, operation, own, request)) = ROWS.iter().find(|row| row.0 == code) else {
        config.insert("hardware_id".to_owned(), device_of(code).into());
        return Preset { code, operation: "check_license", first: Vec::new(), config, request: Map::new() };
    };
    config.extend(object(own));
    if let Some(key) = api_keys.iter().find(|key| key.key.starts_with(code)) {
        config.insert("api_key".to_owned(), key.key.clone().into());
        config.insert("shared_key".to_owned(), key.shared_key.clone().into());
    }
    let activates = *operation != "activate_license" && !WITHOUT_DEVICE.contains(&code);
    let first = if activates { vec!["activate_license"] } else { Vec::new() };
    Preset { code, operation, first, config, request: object(request) }
}

fn device_of(code: &str) -> String {
    format!("preset-{code}")
}
