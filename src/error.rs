//! The error of a failed call, with everything that a host needs to decide what to do next.

use crate::json;
use crate::shortage;
use crate::status::{Category, Meaning, Retry, Status};
use std::io;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

/// The outcome of a failed request at the server. A host must know it before it repeats the request.
///
/// They are in the order of what they leave to find out: the outcome of several requests is the greatest of theirs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// Nothing of the request left this machine.
    NotSent,
    /// The server refused it and did nothing.
    Rejected,
    /// The server may have carried it out. Ask for the current state before you repeat it.
    Unknown,
}

impl Outcome {
    /// Returns its name in the error object.
    pub const fn name(self) -> &'static str {
        match self {
            Outcome::NotSent => "not_sent",
            Outcome::Rejected => "rejected",
            Outcome::Unknown => "unknown",
        }
    }
}

/// A failed call. It is one pointer, because every `Result` on the way holds the room for it.
#[derive(Debug, Clone)]
pub struct Error(Box<Fault>);

/// The content of an [`Error`].
#[derive(Debug, Clone)]
pub struct Fault {
    /// The row of the table.
    pub status: Status,
    /// Details of this case, in addition to the row's message. Never holds a secret.
    pub detail: Option<String>,
    /// The request's outcome at the server.
    pub outcome: Outcome,
    /// The HTTP status of the last reply.
    pub http_status: Option<u16>,
    /// The License API's `code` in the last reply.
    pub server_code: Option<String>,
    /// The pause that the server asked for before the next request.
    pub retry_after: Option<Duration>,
    /// The operation that failed. A refusal may mean different things for different operations.
    pub operation: Option<&'static str>,
    /// With [`Status::OrderOutdated`], the order number of the later request that the server saw first.
    pub highest_order: Option<u64>,
    /// The server repeated the order number of this request, so it ignores requests that were sent before.
    pub in_order: bool,
    /// Number of requests that were sent.
    pub attempts: u32,
    /// Duration of the call.
    pub elapsed: Duration,
}

impl Error {
    /// Makes an error of a request that was not sent.
    pub fn new(status: Status) -> Error {
        Error(Box::new(Fault {
            status,
            detail: None,
            outcome: Outcome::NotSent,
            http_status: None,
            server_code: None,
            retry_after: None,
            operation: None,
            highest_order: None,
            in_order: false,
            attempts: 0,
            elapsed: Duration::ZERO,
        }))
    }

    /// Makes an error of a request that was not sent, with a detail.
    pub fn because(status: Status, detail: impl Into<String>) -> Error {
        Error::new(status).with_detail(detail)
    }

    /// Makes the error of a call on a client that was closed. The caller may have had its handle before that.
    pub(crate) fn of_closed_client() -> Error {
        Error::because(Status::Handle, "The client was closed, perhaps by another thread meanwhile.")
    }

    /// Makes an error of a request that was not sent because the system failed. If the system has run out of a resource,
    /// the status says so, whatever the call to the system was for.
    pub(crate) fn of_system(status: Status, detail: impl Into<String>, error: &io::Error) -> Error {
        match shortage::named(error) {
            Some(resource) => Error::because(Status::OutOfResources, format!("{resource} {}", detail.into())),
            None => Error::because(status, detail),
        }
    }

    /// Makes the error of a thread that the system has not started.
    pub(crate) fn of_thread(error: &io::Error) -> Error {
        Error::because(Status::OutOfResources, format!("{} ({error})", shortage::THREADS))
    }

    /// The same failure after a request with this outcome, which was part of the same call.
    #[must_use]
    pub(crate) fn after(self, earlier: Outcome) -> Error {
        let outcome = self.outcome.max(earlier);
        self.with_outcome(outcome)
    }

    /// Replaces the detail.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<String>) -> Error {
        self.detail = Some(detail.into());
        self
    }

    /// Replaces the outcome.
    #[must_use]
    pub fn with_outcome(mut self, outcome: Outcome) -> Error {
        self.outcome = outcome;
        self
    }

    /// Replaces the outcome by [`Outcome::Unknown`], for a failure after the server may have carried out the request.
    #[must_use]
    pub(crate) fn with_unknown_outcome(self) -> Error {
        self.with_outcome(Outcome::Unknown)
    }

    /// Returns true if the server decided about the license itself, and not about the request's form or its way.
    pub fn is_refusal(&self) -> bool {
        use Category::{Consumption, Customer, Device, Feature, License, Product};
        let about_the_license = [Product, License, Device, Feature, Consumption, Customer];
        self.outcome == Outcome::Rejected && about_the_license.contains(&self.status.row().category)
    }

    /// Returns what the status means for the operation that failed.
    fn meaning(&self) -> Meaning {
        self.status.meaning_for(self.operation.unwrap_or_default())
    }

    /// Returns true if the library names a pause after which the host should repeat a call of unknown outcome.
    fn has_own_pause(&self) -> bool {
        self.outcome == Outcome::Unknown && self.retry_after.is_some()
    }

    /// Returns what happened, in a sentence or two.
    pub fn message(&self) -> String {
        let general = self.meaning().message;
        match &self.detail {
            // The detail of a caller's mistake is complete by itself. Elsewhere it follows the general sentence.
            Some(detail) if self.status.row().category == Category::Usage => detail.clone(),
            Some(detail) => format!("{general} {detail}"),
            None => general.to_owned(),
        }
    }

    /// Returns the error object of the C ABI as JSON.
    pub fn to_json(&self) -> String {
        let (row, meaning) = (self.status.row(), self.meaning());
        let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        json::object(&[
            ("status", row.number.into()),
            ("name", row.name.into()),
            ("category", row.category.name().into()),
            ("message", self.message().into()),
            ("advice", meaning.advice.into()),
            ("retryable", (meaning.retry == Retry::Later || self.has_own_pause()).into()),
            ("retry_after_ms", self.retry_after.map(millis).into()),
            ("outcome", self.outcome.name().into()),
            ("http_status", self.http_status.into()),
            ("server_code", self.server_code.as_deref().into()),
            ("attempts", self.attempts.into()),
            ("elapsed_ms", millis(self.elapsed).into()),
        ])
    }
}

impl Deref for Error {
    type Target = Fault;

    fn deref(&self) -> &Fault {
        &self.0
    }
}

impl DerefMut for Error {
    fn deref_mut(&mut self) -> &mut Fault {
        &mut self.0
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}: {} {}", self.status.row().name, self.message(), self.meaning().advice)
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::STATUSES;
    use std::collections::BTreeSet;

    #[test]
    fn numbers_names_and_codes_are_unique_and_in_their_blocks() {
        let mut names = BTreeSet::new();
        let mut codes = BTreeSet::new();
        let mut last = -1;
        for row in STATUSES.iter().map(|status| status.row()) {
            assert!(row.number > last, "{} is out of order", row.name);
            last = row.number;
            assert!(names.insert(row.name), "{} stands twice", row.name);
            assert!(row.server_code.is_empty() || codes.insert(row.server_code), "{} stands twice", row.server_code);
            let said_no = (100..200).contains(&row.number);
            assert_eq!(said_no, !row.server_code.is_empty() || row.number == 100, "{}", row.name);
            assert!(row.message.ends_with('.') && row.advice.ends_with('.'), "{}", row.name);
        }
    }

    #[test]
    fn every_code_of_the_reference_has_a_number() {
        let codes = "not_found order_id_exists internal_error signature_mismatch validation_error missing_headers \
            missing_parameters missing_content missing_hardware_id email_missing invalid_json \
            authorization_invalid_headers authorization_missing_params hmac_required date_header_diff invalid_api_key \
            revoked_api_key read_only_api_key api_key_product_not_allowed oauth_token_expired oauth_token_malformed \
            unknown_product archived_product disabled_product unsupported_product_feature invalid_product_auth_method \
            version_not_found license_key_required license_key_or_license_user_required license_not_found \
            license_not_active license_not_enabled license_expired trial_expired trial_not_allowed \
            active_license_required license_activated_max_times license_transferred_max_times \
            licenseUserActivatedMaxTimes device_not_found blacklisted floating_not_available \
            license_borrow_not_allowed borrow_until_not_valid feature_not_floating feature_borrow_not_allowed \
            floating_feature_device_not_in_use invalid_license_feature_code license_not_consumption \
            feature_not_enough_consumptions negative_consumptions_not_allowed license_not_enough_consumptions \
            customer_account_id_mismatch customer_account_not_found customer_does_not_exist customer_not_found \
            change_password_not_allowed";
        for code in codes.split_whitespace() {
            assert_ne!(Status::of_server_code(code), Status::UnknownCode, "{code}");
        }
        assert_eq!(Status::of_server_code("brand_new_code"), Status::UnknownCode);
        assert_eq!(Status::of_server_code(""), Status::UnknownCode);
    }

    #[test]
    fn the_error_object_has_the_documented_members() {
        let mut error = Error::new(Status::FloatingNotAvailable).with_outcome(Outcome::Rejected);
        error.http_status = Some(400);
        error.server_code = Some("floating_not_available".into());
        error.attempts = 1;
        error.elapsed = Duration::from_millis(12);
        let row = Status::FloatingNotAvailable.row();
        assert_eq!(
            error.to_json(),
            format!(
                r#"{{"status":141,"name":"FLOATING_NOT_AVAILABLE","category":"license","message":"{}","advice":"{}","retryable":true,"retry_after_ms":null,"outcome":"rejected","http_status":400,"server_code":"floating_not_available","attempts":1,"elapsed_ms":12}}"#,
                row.message, row.advice
            )
        );
    }
}
