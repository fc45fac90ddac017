//! The codes that each operation may refuse a request with.
//!
//! A new operation is a new row here. The OpenAPI document lists these codes, and `server/tests/refusal_table/` provokes
//! each of them.

use std::collections::BTreeSet;

use super::refusal::Refusal;

/// Codes of every operation. They come before its own rules: authorisation, transport, limits, and the store.
const ANY: &[&str] = &[
    "authorization_invalid_headers",
    "authorization_missing_params",
    "date_header_diff",
    "hmac_required",
    "internal_error",
    "invalid_api_key",
    "missing_headers",
    "not_found",
    "oauth_token_expired",
    "oauth_token_malformed",
    "revoked_api_key",
    "signature_mismatch",
    "too_many_requests",
    "validation_error",
];
/// Codes of operations that change something, and have a JSON body.
const WRITE: &[&str] = &["invalid_json", "read_only_api_key"];
/// Codes of operations that carry out a request file.
const FILE: &[&str] = &["missing_content", "missing_parameters", "order_outdated", "read_only_api_key"];
/// Codes of operations about a product that must be enabled.
const PRODUCT: &[&str] = &["archived_product", "disabled_product", "missing_parameters", "unknown_product"];
/// Codes of operations about a license that must be active and enabled.
const LICENSE: &[&str] = &["license_not_active", "license_not_enabled", "license_not_found"];
/// Codes of operations about the versions that a license includes.
const VERSIONS: &[&str] =
    &["active_license_required", "license_key_or_license_user_required", "license_not_active", "license_not_found"];
/// Codes of operations that users of single sign-on may ask for.
const SIGN_ON: &[&str] = &["customer_account_id_mismatch", "customer_account_not_found"];
/// Codes of operations about a license that must not have expired.
const VALIDITY: &[&str] = &["license_expired", "trial_expired"];
/// Codes of operations that count devices.
const ACTIVATION: &[&str] = &[
    "api_key_product_not_allowed",
    "blacklisted",
    "licenseUserActivatedMaxTimes",
    "license_activated_max_times",
    "license_transferred_max_times",
];
/// Codes of operations about a device that must be active. A blacklisted device may still be deactivated.
const DEVICE: &[&str] = &["blacklisted", "device_not_found"];
/// Codes of operations about products whose licenses are named by users.
const USERS: &[&str] = &["invalid_product_auth_method"];

/// The operations, each with its codes.
const ROWS: &[(&str, &[&[&str]])] = &[
    ("activate_license", &[ANY, WRITE, PRODUCT, LICENSE, SIGN_ON, VALIDITY, ACTIVATION, &["order_outdated"]]),
    ("check_license", &[ANY, PRODUCT, LICENSE, VALIDITY, DEVICE, &["floating_not_available", "order_outdated"]]),
    ("deactivate_license", &[ANY, WRITE, PRODUCT, LICENSE, &["device_not_found", "order_outdated"]]),
    (
        "borrow_license",
        &[
            ANY,
            WRITE,
            PRODUCT,
            LICENSE,
            SIGN_ON,
            VALIDITY,
            DEVICE,
            &["borrow_until_not_valid", "floating_not_available", "license_borrow_not_allowed", "order_outdated"],
        ],
    ),
    ("release_license", &[ANY, WRITE, PRODUCT, LICENSE, DEVICE, &["floating_not_available", "order_outdated"]]),
    (
        "check_feature",
        &[
            ANY,
            PRODUCT,
            LICENSE,
            VALIDITY,
            DEVICE,
            &["floating_not_available", "invalid_license_feature_code", "order_outdated"],
        ],
    ),
    (
        "borrow_feature",
        &[
            ANY,
            WRITE,
            PRODUCT,
            LICENSE,
            SIGN_ON,
            VALIDITY,
            DEVICE,
            &[
                "borrow_until_not_valid",
                "feature_borrow_not_allowed",
                "feature_not_floating",
                "floating_feature_device_not_in_use",
                "invalid_license_feature_code",
                "order_outdated",
            ],
        ],
    ),
    (
        "release_feature",
        &[
            ANY,
            WRITE,
            PRODUCT,
            LICENSE,
            DEVICE,
            &[
                "feature_not_floating",
                "floating_feature_device_not_in_use",
                "invalid_license_feature_code",
                "order_outdated",
            ],
        ],
    ),
    (
        "add_consumption",
        &[
            ANY,
            WRITE,
            PRODUCT,
            LICENSE,
            VALIDITY,
            DEVICE,
            &["license_not_consumption", "license_not_enough_consumptions", "negative_consumptions_not_allowed"],
        ],
    ),
    (
        "add_feature_consumption",
        &[
            ANY,
            WRITE,
            PRODUCT,
            LICENSE,
            VALIDITY,
            DEVICE,
            &["feature_not_enough_consumptions", "negative_consumptions_not_allowed", "unsupported_product_feature"],
        ],
    ),
    ("product_details", &[ANY, &["missing_parameters", "unknown_product"]]),
    ("products", &[ANY]),
    (
        "trial_key",
        &[
            ANY,
            PRODUCT,
            &[
                "api_key_product_not_allowed",
                "blacklisted",
                "email_missing",
                "license_not_found",
                "missing_hardware_id",
                "read_only_api_key",
                "trial_not_allowed",
            ],
        ],
    ),
    ("versions", &[ANY, PRODUCT, VERSIONS, DEVICE]),
    ("installation_file", &[ANY, PRODUCT, VERSIONS, DEVICE, &["version_not_found"]]),
    ("device_licenses", &[ANY, &["blacklisted", "license_not_found", "missing_parameters"]]),
    ("activate_bundle", &[ANY, WRITE, PRODUCT, LICENSE, SIGN_ON, VALIDITY, ACTIVATION, &["order_outdated"]]),
    ("check_bundle", &[ANY, PRODUCT, LICENSE, VALIDITY, DEVICE, &["floating_not_available", "order_outdated"]]),
    ("deactivate_bundle", &[ANY, WRITE, PRODUCT, LICENSE, SIGN_ON, &["device_not_found", "order_outdated"]]),
    ("get_device_variables", &[ANY, PRODUCT, LICENSE, DEVICE]),
    ("track_device_variables", &[ANY, WRITE, PRODUCT, LICENSE, DEVICE]),
    ("change_password", &[ANY, WRITE, &["change_password_not_allowed", "license_not_found", "missing_parameters"]]),
    ("user_licenses", &[ANY, PRODUCT, USERS, &["customer_account_not_found", "license_not_found"]]),
    (
        "customer_license_users",
        &[ANY, PRODUCT, USERS, &["customer_does_not_exist", "customer_not_found", "license_not_found"]],
    ),
    ("sso_url", &[ANY, PRODUCT, USERS, &["customer_account_not_found"]]),
    (
        "activate_offline",
        &[
            ANY,
            FILE,
            PRODUCT,
            LICENSE,
            SIGN_ON,
            VALIDITY,
            ACTIVATION,
            &["feature_not_enough_consumptions", "license_not_enough_consumptions"],
        ],
    ),
    (
        "deactivate_offline",
        &[
            ANY,
            FILE,
            PRODUCT,
            LICENSE,
            &[
                "device_not_found",
                "feature_not_enough_consumptions",
                "license_not_consumption",
                "license_not_enough_consumptions",
                "negative_consumptions_not_allowed",
                "unsupported_product_feature",
            ],
        ],
    ),
];

impl Refusal {
    /// Returns every HTTP status and code that the operation called `operation` may refuse with, in order.
    pub fn codes_of(operation: &str) -> BTreeSet<(u16, &'static str)> {
        let row = ROWS.iter().find(|row| row.0 == operation).map(|row| row.1).unwrap_or_default();
        Refusal::codes().into_iter().filter(|(_, code)| row.concat().contains(code)).collect()
    }
}

#[cfg(test)]
mod tests {
    use floatlease::operations::OPERATIONS;

    use super::*;

    #[test]
    fn every_operation_has_one_row() {
        let rows: Vec<&str> = ROWS.iter().map(|row| row.0).collect();
        let operations: Vec<&str> = OPERATIONS.iter().map(|operation| operation.name).collect();
        assert_eq!(rows, operations);
    }

    #[test]
    fn rows_hold_every_code_and_no_other() {
        let listed: BTreeSet<&str> = ROWS.iter().flat_map(|row| row.1.concat()).collect();
        let codes: BTreeSet<&str> = Refusal::codes().into_iter().map(|(_, code)| code).collect();
        assert_eq!(listed, codes);
    }
}
