//! What provokes each code. Most codes have one provocation, which works for every operation whose row lists the code.

use serde_json::{Value, json};

/// What makes an operation refuse a request with a code.
pub struct Provocation {
    pub code: &'static str,
    /// The operations that it is for; empty for all whose rows list the code, but for `except`.
    pub only: &'static [&'static str],
    pub except: &'static [&'static str],
    /// What the same device does first, with the same parameters. It must succeed.
    pub before: &'static [&'static str],
    /// Parameters besides those of a good request, or instead.
    pub with: fn() -> Value,
    pub how: How,
}

/// The way in which a request is sent.
#[derive(Clone, Copy)]
pub enum How {
    /// As a program would.
    Usual,
    /// To the path of the operation, by the other method.
    OtherMethod,
    /// With this body.
    Body(&'static str),
    /// Without the Date header.
    Undated,
    /// With a date and a signature of 16 minutes ago.
    Stale,
    /// With this Authorization header.
    Authorization(&'static str),
    /// Signed by this API key and shared key.
    Key(&'static str, &'static str),
    /// With the token of an OAuth client of a single license.
    Token,
    /// With such a token, after it has ended.
    EndedToken,
    /// After as many requests as the server allows.
    BeyondLimit,
    /// To a server that can keep nothing.
    FullDisk,
    /// With a lower order number, or an earlier date, than a request of the same device before.
    Late,
}

/// Codes of operations that no test can provoke: (code, operations, reason).
pub const UNREACHABLE: &[(&str, &[&str], &str)] = &[(
    "internal_error",
    &["product_details", "products", "sso_url"],
    "they answer from the catalogue alone, so no commit can fail; only a reply that can't be signed has this code",
)];

const PLAIN: Provocation =
    Provocation { code: "", only: &[], except: &[], before: &[], with: || json!({}), how: How::Usual };

const fn sent(code: &'static str, how: How) -> Provocation {
    Provocation { code, how, ..PLAIN }
}

const fn with(code: &'static str, with: fn() -> Value) -> Provocation {
    Provocation { code, with, ..PLAIN }
}

impl Provocation {
    const fn only(self, only: &'static [&'static str]) -> Provocation {
        Provocation { only, ..self }
    }

    const fn except(self, except: &'static [&'static str]) -> Provocation {
        Provocation { except, ..self }
    }

    const fn after(self, before: &'static [&'static str]) -> Provocation {
        Provocation { before, ..self }
    }

    pub fn is_for(&self, operation: &str) -> bool {
        (self.only.is_empty() || self.only.contains(&operation)) && !self.except.contains(&operation)
    }
}

/// Signs in by single sign-on, at this account, as who has licenses of the account ACME alone.
fn sign_on(customer_account_code: &str) -> Value {
    json!({
        "product": "U", "license_key": null, "username": null, "password": null, "id_token": "t",
        "customer_account_code": customer_account_code,
    })
}

/// Is about the license with this key, on a device that was active before the license was changed.
fn early(license_key: &str) -> Value {
    json!({ "license_key": license_key, "hardware_id": "early" })
}

const ACTIVE: &[&str] = &["activate_license"];
const HOLDING_FEATURE: &[&str] = &["activate_license", "check_feature"];
const OF_VERSIONS: &[&str] = &["versions", "installation_file"];
const NAMES_NO_KEY: &[&str] =
    &["trial_key", "device_licenses", "customer_license_users", "change_password", "user_licenses"];
const OF_USER: &[&str] = &["change_password", "user_licenses"];
const OFFLINE: &[&str] = &["activate_offline", "deactivate_offline"];

pub const PROVOCATIONS: &[Provocation] = &[
    // authorisation
    sent("missing_headers", How::Undated),
    sent("authorization_invalid_headers", How::Authorization("signature")),
    sent("authorization_missing_params", How::Authorization("algorithm=\"hmac-sha256\"")),
    sent("authorization_missing_params", How::Body("{}")).only(OFFLINE),
    sent(
        "hmac_required",
        How::Authorization("algorithm=\"rsa\", headers=\"date\", signature=\"x\", apikey=\"test-api-key\""),
    ),
    sent("date_header_diff", How::Stale),
    with("date_header_diff", || json!({ "date": "2999-01-01" })).only(OFFLINE),
    sent("signature_mismatch", How::Key("test-api-key", "wrong")),
    sent("invalid_api_key", How::Key("unknown", "test-shared-key")),
    sent("revoked_api_key", How::Key("revoked", "test-shared-key")),
    sent("read_only_api_key", How::Key("read-only", "test-shared-key")),
    sent("api_key_product_not_allowed", How::Key("only-q", "test-shared-key")),
    sent("oauth_token_malformed", How::Authorization("Bearer token")),
    sent("oauth_token_expired", How::EndedToken),
    // limits and the store
    sent("not_found", How::OtherMethod),
    sent("too_many_requests", How::BeyondLimit),
    sent("internal_error", How::FullDisk),
    // request
    sent("missing_content", How::Body("")),
    sent("invalid_json", How::Body("{")),
    with("validation_error", || json!({ "sdk_ver": "x".repeat(1025) })),
    with("missing_parameters", || json!({ "product": null })).except(&["device_licenses", "change_password"]),
    with("missing_parameters", || json!({ "hardware_id": "" })).only(&["device_licenses"]),
    with("missing_parameters", || json!({ "new_password": "" })).only(&["change_password"]),
    with("missing_hardware_id", || json!({ "hardware_id": "" })),
    with("email_missing", || json!({ "license_policy": "MAIL" })),
    sent("order_outdated", How::Late),
    // product
    with("unknown_product", || json!({ "product": "NONE" })),
    with("disabled_product", || json!({ "product": "OFF" })),
    with("archived_product", || json!({ "product": "OLD" })),
    with("invalid_product_auth_method", || json!({ "product": "P" })),
    with("trial_not_allowed", || json!({ "product": "Q" })),
    with("version_not_found", || json!({ "version": "9" })).after(ACTIVE),
    // license
    with("license_key_or_license_user_required", || json!({ "license_key": "" })),
    with("license_not_found", || json!({ "license_key": "NONE" })).except(NAMES_NO_KEY),
    with("license_not_found", || json!({ "password": "wrong" })).only(OF_USER),
    sent("license_not_found", How::Token),
    with("license_not_active", || early("INACTIVE")).except(OF_VERSIONS),
    with("license_not_active", || early("FUTURE")),
    with("license_not_active", || json!({ "license_key": "METAL", "is_vm": true })).only(&[
        "activate_license",
        "check_license",
        "activate_bundle",
        "activate_offline",
    ]),
    with("license_not_active", || json!({ "license_key": "STAYS" })).only(&["activate_offline"]),
    with("license_not_enabled", || early("DISABLED")),
    with("active_license_required", || early("INACTIVE")),
    with("active_license_required", || early("DISABLED")),
    with("license_expired", || early("EXPIRED")).except(&["activate_offline"]),
    with("license_expired", || early("EXPIRED-NODE")).only(&["activate_offline"]),
    with("trial_expired", || early("TRIAL")).except(&["activate_offline"]),
    with("trial_expired", || early("TRIAL-NODE")).only(&["activate_offline"]),
    with("license_activated_max_times", || json!({ "license_key": "FULL" })),
    with("license_transferred_max_times", || json!({ "license_key": "MOVED" })),
    with(
        "licenseUserActivatedMaxTimes",
        || json!({ "product": "U", "license_key": null, "username": "full", "password": "p", "license_id": 22 }),
    ),
    // customers and users
    with("customer_account_not_found", || sign_on("NONE")),
    with("customer_account_id_mismatch", || sign_on("OTHER")),
    with("customer_does_not_exist", || json!({ "customer": "nobody" })),
    with("customer_not_found", || json!({ "customer": "poor" })),
    with("change_password_not_allowed", || json!({ "username": "fixed" })),
    // device
    with("blacklisted", || json!({ "hardware_id": "bad" })),
    sent("device_not_found", How::Usual),
    // floating
    with("floating_not_available", || json!({ "license_key": "ONE" }))
        .only(&["check_license", "check_bundle", "borrow_license"])
        .after(ACTIVE),
    sent("floating_not_available", How::Usual).only(&["release_license"]).after(ACTIVE),
    with("floating_not_available", || json!({ "license_key": "NODE" }))
        .only(&["borrow_license", "release_license"])
        .after(ACTIVE),
    with("floating_not_available", || json!({ "feature": "ONE" })).only(&["check_feature"]).after(ACTIVE),
    with("license_borrow_not_allowed", || json!({ "license_key": "STAYS" })).after(ACTIVE),
    with("feature_borrow_not_allowed", || json!({ "feature": "STAYS" })).after(HOLDING_FEATURE),
    with("borrow_until_not_valid", || json!({ "borrowed_until": "2020-01-01" }))
        .only(&["borrow_license"])
        .after(ACTIVE),
    with("borrow_until_not_valid", || json!({ "borrowed_until": "2020-01-01" }))
        .only(&["borrow_feature"])
        .after(HOLDING_FEATURE),
    with("feature_not_floating", || json!({ "feature": "PLAIN" })).after(ACTIVE),
    sent("floating_feature_device_not_in_use", How::Usual).after(ACTIVE),
    with("invalid_license_feature_code", || json!({ "feature": "NONE" })).after(ACTIVE),
    // consumption
    with("unsupported_product_feature", || json!({ "feature": "NONE", "feature_consumptions": { "NONE": 1 } }))
        .after(ACTIVE),
    with("license_not_consumption", || json!({ "license_key": "NODE", "consumptions": 1 })).after(ACTIVE),
    with("license_not_enough_consumptions", || json!({ "consumptions": 9_000_000 }))
        .except(&["activate_offline"])
        .after(ACTIVE),
    with("license_not_enough_consumptions", || json!({ "license_key": "POOLED", "pool_reservation": 10 }))
        .only(&["activate_offline"]),
    with("feature_not_enough_consumptions", || json!({ "consumptions": 9_000_000 }))
        .only(&["add_feature_consumption"])
        .after(ACTIVE),
    with("feature_not_enough_consumptions", || json!({ "feature_consumptions": { "C": 9_000_000 } }))
        .only(&["deactivate_offline"])
        .after(ACTIVE),
    with("feature_not_enough_consumptions", || json!({ "license_key": "POOLED-FEATURE", "pool_reservation": 10 }))
        .only(&["activate_offline"]),
    with("negative_consumptions_not_allowed", || json!({ "consumptions": -1 })).after(ACTIVE),
];
