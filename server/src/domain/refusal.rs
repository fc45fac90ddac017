//! Every refusal, in one table: HTTP status, code and message. The message is the protocol's where its documentation gives
//! one.

use std::borrow::Cow;
use std::collections::BTreeSet;

use floatlease::model::ORDER;
use serde::{Deserialize, Serialize};
use strum::{EnumIter, IntoEnumIterator};

/// The reason why a request is refused. The store keeps it as JSON, with the names of these variants.
#[derive(Debug, Clone, PartialEq, Eq, EnumIter, Serialize, Deserialize)]
#[allow(missing_docs, reason = "each is named after its code, and the table below says the rest")]
pub enum Refusal {
    NotFound(String),
    TooManyRequests {
        /// Seconds after which a request is allowed again.
        retry_after_s: u64,
    },
    InternalError,
    // authorisation
    MissingHeaders,
    AuthorizationInvalidHeaders,
    AuthorizationMissingParams(String),
    HmacRequired,
    DateHeaderDiff,
    SignatureMismatch,
    InvalidApiKey,
    RevokedApiKey,
    ReadOnlyApiKey,
    ApiKeyProductNotAllowed,
    /// Has the code of `InvalidApiKey`, since no code is documented.
    ApiKeysNotAllowed,
    OauthTokenExpired,
    OauthTokenMalformed,
    // request
    MissingContent,
    /// Has the code of `AuthorizationMissingParams`, as documented.
    OfflineRequestUnreadable,
    /// Has the code of `DateHeaderDiff`, the only one about a date.
    OfflineRequestFromFuture,
    /// Has the code of `OrderOutdated`.
    OfflineRequestOutdated,
    InvalidJson,
    MissingParameters(String),
    MissingHardwareId,
    EmailMissing,
    /// The device has as many variables as the server keeps.
    TooManyVariables,
    ValidationError(String),
    // product
    UnknownProduct,
    DisabledProduct,
    ArchivedProduct,
    UnsupportedProductFeature,
    VersionNotFound,
    // license
    LicenseKeyOrUserRequired,
    ActiveLicenseRequired,
    LicenseNotFound,
    LicenseNotActive,
    /// Has the code of `LicenseNotActive`, since no code is documented.
    LicenseNotStarted,
    /// Has the code of `LicenseNotActive`, since no code is documented.
    VirtualMachineRefused,
    LicenseNotEnabled,
    /// Has the code of `LicenseNotActive`, since no code is documented.
    OfflineActivationNotAllowed,
    LicenseExpired,
    TrialExpired,
    TrialNotAllowed,
    LicenseActivatedMaxTimes,
    LicenseTransferredMaxTimes,
    LicenseUserActivatedMaxTimes,
    CustomerAccountNotFound,
    CustomerAccountIdMismatch,
    // users
    InvalidProductAuthMethod,
    CustomerDoesNotExist,
    CustomerNotFound,
    ChangePasswordNotAllowed,
    /// Has the code of `ValidationError`, since no code is documented.
    CodeNotExchanged,
    /// Has the code of `ValidationError`, since no code is documented.
    NoSingleSignOn,
    TooManyPasswords,
    // order
    OrderOutdated {
        /// The highest number that has arrived.
        highest: u64,
    },
    // device
    DeviceNotFound,
    Blacklisted,
    // floating
    FloatingNotAvailable,
    /// Has the code of `FloatingNotAvailable`, since no code is documented.
    LicenseNotFloating,
    /// Has the code of `FloatingNotAvailable`, the only fitting one that is documented for the endpoint.
    LicenseSlotNotHeld,
    LicenseBorrowNotAllowed,
    FeatureBorrowNotAllowed,
    /// Nothing can be borrowed any more, because the license ends now.
    BorrowUntilNotValid,
    /// The message names the latest date that would do.
    BorrowUntilOutOfRange(String),
    FeatureNotFloating,
    FloatingFeatureDeviceNotInUse,
    InvalidLicenseFeatureCode(String),
    // consumption
    LicenseNotConsumption,
    LicenseNotEnoughConsumptions,
    FeatureNotEnoughConsumptions,
    NegativeConsumptionsNotAllowed,
}

/// Messages that the documentation of an operation words differently: (operation, code, message).
const WORDED_OTHERWISE: &[(&str, &str, &str)] = &[
    ("check_feature", "floating_not_available", "No available slots for floating license."),
    ("borrow_feature", "device_not_found", "License feature device not found."),
    ("borrow_feature", "floating_feature_device_not_in_use", "License feature device is not in use."),
    ("borrow_feature", "feature_not_floating", "License feature is not a floating feature."),
];

impl Refusal {
    /// Returns HTTP status, code and message.
    fn row(&self) -> (u16, &'static str, Cow<'_, str>) {
        use Refusal::*;
        let (status, code, message) = match self {
            NotFound(message) => return (404, "not_found", message.into()),
            TooManyRequests { retry_after_s } => {
                let message = format!("Too many requests; ask again in {retry_after_s} s");
                return (429, "too_many_requests", message.into());
            }
            InternalError => (503, "internal_error", "The server could not keep the result; ask again in a while"),
            MissingHeaders => (400, "missing_headers", "Some headers are missing"),
            AuthorizationInvalidHeaders => (
                400,
                "authorization_invalid_headers",
                "The Authorization header is invalid; send algorithm=\"hmac-sha256\", headers=\"date\", signature=\"…\", apikey=\"…\"",
            ),
            AuthorizationMissingParams(names) => {
                let message = format!("Some parameters are missing in the Authorization header: {names}");
                return (400, "authorization_missing_params", message.into());
            }
            HmacRequired => {
                (400, "hmac_required", "Authorize by API key, with algorithm=\"hmac-sha256\" and headers=\"date\"")
            }
            DateHeaderDiff => {
                (400, "date_header_diff", "The Date header is more than 15 minutes from now; set the clock right")
            }
            SignatureMismatch => {
                (400, "signature_mismatch", "The signature does not match; check the shared key and the Date signed")
            }
            InvalidApiKey => (400, "invalid_api_key", "The API key is unknown; check it"),
            RevokedApiKey => (400, "revoked_api_key", "The API key is revoked; use another one"),
            ReadOnlyApiKey => (400, "read_only_api_key", "The API key may only read; use another one for this call"),
            ApiKeyProductNotAllowed => {
                (400, "api_key_product_not_allowed", "The API key may not activate this product; use another one")
            }
            ApiKeysNotAllowed => {
                (400, "invalid_api_key", "API keys are not accepted here; authorize by an OAuth access token")
            }
            OauthTokenExpired => (400, "oauth_token_expired", "The access token has expired; fetch another one"),
            OauthTokenMalformed => {
                (400, "oauth_token_malformed", "The access token is not one of this server; fetch another one")
            }
            MissingContent => (400, "missing_content", "The body is empty; send the text of a request file"),
            OfflineRequestUnreadable => (
                400,
                "authorization_missing_params",
                "The body is not the Base64 of a request; send the file unaltered",
            ),
            OfflineRequestFromFuture => {
                (400, "date_header_diff", "The date of the request file lies ahead; set the device's clock right")
            }
            OfflineRequestOutdated => (
                400,
                "order_outdated",
                "The request file was used before, or a later one of the device was; write another one on the device",
            ),
            InvalidJson => (400, "invalid_json", "The body is not valid JSON; send an object in UTF-8"),
            MissingParameters(names) => {
                let message = format!("Some parameters are missing in the request: {names}.");
                return (400, "missing_parameters", message.into());
            }
            TooManyVariables => {
                (400, "validation_error", "The device has too many variables; set those again that it has already")
            }
            MissingHardwareId => (400, "missing_hardware_id", "The hardware_id is missing in the request"),
            EmailMissing => (400, "email_missing", "The email is missing in the request"),
            ValidationError(message) => return (400, "validation_error", message.into()),
            UnknownProduct => (400, "unknown_product", "Provided product was not found"),
            DisabledProduct => (400, "disabled_product", "The product is disabled"),
            ArchivedProduct => (400, "archived_product", "The product is archived"),
            UnsupportedProductFeature => (
                400,
                "unsupported_product_feature",
                "One or more of requested product features do not exists or they are not enabled on the product",
            ),
            VersionNotFound => (400, "version_not_found", "The license includes no such version of the product"),
            LicenseKeyOrUserRequired => {
                (400, "license_key_or_license_user_required", "License key or license user is required")
            }
            ActiveLicenseRequired => (400, "active_license_required", "The license must be active and enabled"),
            LicenseNotFound => (400, "license_not_found", "License with the provided license user not found"),
            LicenseNotActive => (400, "license_not_active", "The license is not active"),
            LicenseNotStarted => (400, "license_not_active", "The license is not active before its start date"),
            VirtualMachineRefused => {
                (400, "license_not_active", "The license is not active in a virtual machine; use a physical one")
            }
            LicenseNotEnabled => (400, "license_not_enabled", "The license is not enabled"),
            OfflineActivationNotAllowed => (
                400,
                "license_not_active",
                "The license does not allow offline activation; floating licenses and subscriptions never do",
            ),
            LicenseExpired => (400, "license_expired", "The license has expired"),
            TrialExpired => (400, "trial_expired", "The trial has expired"),
            TrialNotAllowed => (400, "trial_not_allowed", "The product offers no trial"),
            LicenseActivatedMaxTimes => {
                (400, "license_activated_max_times", "The license is active on as many devices as it allows")
            }
            LicenseTransferredMaxTimes => {
                (400, "license_transferred_max_times", "The license has moved to another device as often as it allows")
            }
            LicenseUserActivatedMaxTimes => (
                400,
                "licenseUserActivatedMaxTimes",
                "The license user is active on as many devices as the user may use",
            ),
            CustomerAccountNotFound => {
                (400, "customer_account_not_found", "Customer account with the provided code not found")
            }
            CustomerAccountIdMismatch => {
                (400, "customer_account_id_mismatch", "The license belongs to another customer account")
            }
            InvalidProductAuthMethod => {
                (400, "invalid_product_auth_method", "The licenses of the product are named by keys, and have no users")
            }
            CustomerDoesNotExist => (400, "customer_does_not_exist", "The customer does not exist"),
            CustomerNotFound => (400, "customer_not_found", "The customer has no license of the product"),
            ChangePasswordNotAllowed => (400, "change_password_not_allowed", "The user may not change the password"),
            CodeNotExchanged => (
                400,
                "validation_error",
                "code is not accepted here, since this server does not exchange it; exchange it at the token_endpoint of \
                 sso_url, and send the token as id_token",
            ),
            NoSingleSignOn => (
                400,
                "validation_error",
                "customer_account_code names an account without single sign-on; sign in with a password",
            ),
            TooManyPasswords => {
                (429, "too_many_requests", "The server is checking as many passwords as it can; ask again in a while")
            }
            OrderOutdated { highest } => {
                let message = format!(
                    "A later request came first ({ORDER}: {highest} is the highest so far), so this one was not carried \
                     out; send it again with a higher number if you still want it"
                );
                return (400, "order_outdated", message.into());
            }
            DeviceNotFound => (400, "device_not_found", "An active device matching the hardware_id not found"),
            Blacklisted => (400, "blacklisted", "This device is blacklisted"),
            FloatingNotAvailable => (400, "floating_not_available", "No available slots for floating license"),
            LicenseNotFloating => (400, "floating_not_available", "The license is not a floating license"),
            LicenseSlotNotHeld => (400, "floating_not_available", "The device holds no slot of the floating license"),
            LicenseBorrowNotAllowed => (400, "license_borrow_not_allowed", "License does not allow borrowing"),
            FeatureBorrowNotAllowed => (400, "feature_borrow_not_allowed", "License feature does not allow borrowing"),
            BorrowUntilNotValid => (400, "borrow_until_not_valid", "Borrow until field is not valid"),
            BorrowUntilOutOfRange(message) => return (400, "borrow_until_not_valid", message.into()),
            FeatureNotFloating => (400, "feature_not_floating", "License feature is not floating cloud feature."),
            FloatingFeatureDeviceNotInUse => {
                (400, "floating_feature_device_not_in_use", "Floating feature device is not in use")
            }
            InvalidLicenseFeatureCode(code) => {
                let message = format!("License feature code: {code} is invalid or not assigned to the license.");
                return (400, "invalid_license_feature_code", message.into());
            }
            LicenseNotConsumption => (400, "license_not_consumption", "The license is not of type consumption"),
            LicenseNotEnoughConsumptions => (400, "license_not_enough_consumptions", "Not enough consumptions left"),
            FeatureNotEnoughConsumptions => (400, "feature_not_enough_consumptions", "Not enough consumptions left"),
            NegativeConsumptionsNotAllowed => {
                (400, "negative_consumptions_not_allowed", "Negative consumptions not allowed")
            }
        };
        (status, code, message.into())
    }

    /// Returns every HTTP status and code, in order.
    pub fn codes() -> BTreeSet<(u16, &'static str)> {
        Refusal::iter().map(|refusal| (refusal.status(), refusal.code())).collect()
    }

    /// Returns the HTTP status.
    pub fn status(&self) -> u16 {
        self.row().0
    }

    /// Returns the code, by which clients tell refusals apart.
    pub fn code(&self) -> &'static str {
        self.row().1
    }

    /// Returns the message for people, in the words of the operation's documentation where it has any.
    pub fn message(&self, operation: &str) -> String {
        let (_, code, message) = self.row();
        if let Some((.., worded)) = WORDED_OTHERWISE.iter().find(|row| (row.0, row.1) == (operation, code)) {
            return (*worded).to_owned();
        }
        let message = message.into_owned();
        // The documentation of this operation ends every message with a full stop.
        if operation == "borrow_feature" && !message.ends_with('.') { message + "." } else { message }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_those_of_the_documented_endpoint() {
        let code = || Refusal::InvalidLicenseFeatureCode("RENDER".to_owned());
        for (operation, refusal, message) in [
            ("borrow_license", Refusal::MissingHeaders, "Some headers are missing"),
            ("borrow_feature", Refusal::MissingHeaders, "Some headers are missing."),
            ("borrow_license", Refusal::UnknownProduct, "Provided product was not found"),
            ("borrow_feature", Refusal::UnknownProduct, "Provided product was not found."),
            ("borrow_feature", Refusal::DeviceNotFound, "License feature device not found."),
            ("release_feature", Refusal::DeviceNotFound, "An active device matching the hardware_id not found"),
            ("borrow_license", Refusal::FloatingNotAvailable, "No available slots for floating license"),
            ("check_feature", Refusal::FloatingNotAvailable, "No available slots for floating license."),
            ("borrow_feature", Refusal::FeatureNotFloating, "License feature is not a floating feature."),
            ("release_feature", Refusal::FeatureNotFloating, "License feature is not floating cloud feature."),
            ("borrow_feature", Refusal::FloatingFeatureDeviceNotInUse, "License feature device is not in use."),
            ("release_feature", Refusal::FloatingFeatureDeviceNotInUse, "Floating feature device is not in use"),
            ("check_feature", code(), "License feature code: RENDER is invalid or not assigned to the license."),
        ] {
            assert_eq!(refusal.message(operation), message, "{operation}");
        }
    }
}
