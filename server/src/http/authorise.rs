//! Authorises a request by its `Date` and `Authorization` headers. By the protocol, the MAC covers the date only.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use floatlease::model::parse_http_date;
use floatlease::operations::{Method, Operation};
use floatlease::sign::is_signature;
use hyper::http::{HeaderMap, header};

use crate::catalogue::{ApiKey, Catalogue};
use crate::domain::Refusal;

/// Largest difference between a request's `Date` and the server's time, either way.
const WINDOW: TimeDelta = TimeDelta::minutes(15);
const PARAMETERS: [&str; 4] = ["algorithm", "headers", "signature", "apikey"];

/// Returns the API key whose shared key signed the request. `now` is real time, not license time.
pub(super) fn authorise<'c>(
    catalogue: &'c Catalogue,
    operation: &Operation,
    headers: &HeaderMap,
    now: DateTime<Utc>,
) -> Result<&'c ApiKey, Refusal> {
    if !headers.contains_key(header::DATE) || !headers.contains_key(header::AUTHORIZATION) {
        return Err(Refusal::MissingHeaders);
    }
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let authorization = text(header::AUTHORIZATION).ok_or(Refusal::AuthorizationInvalidHeaders)?;
    if is_bearer(authorization) {
        return Err(Refusal::HmacRequired);
    }
    let given = parameters(authorization).ok_or(Refusal::AuthorizationInvalidHeaders)?;
    let missing: Vec<&str> = PARAMETERS.into_iter().filter(|name| !given.contains_key(*name)).collect();
    if !missing.is_empty() {
        return Err(Refusal::AuthorizationMissingParams(missing.join(", ")));
    }
    let parameter = |name| given.get(name).copied().unwrap_or_default();
    if !parameter("algorithm").eq_ignore_ascii_case("hmac-sha256") || !parameter("headers").eq_ignore_ascii_case("date")
    {
        return Err(Refusal::HmacRequired);
    }
    let date = text(header::DATE).unwrap_or_default();
    let sent_at = parse_http_date(date).ok_or(Refusal::DateHeaderDiff)?;
    if (now - sent_at).abs() > WINDOW {
        return Err(Refusal::DateHeaderDiff);
    }
    let api_key = catalogue.api_key(parameter("apikey")).ok_or(Refusal::InvalidApiKey)?;
    if !is_signature(&api_key.shared_key, date.trim(), parameter("signature")) {
        return Err(Refusal::SignatureMismatch);
    }
    if api_key.revoked {
        return Err(Refusal::RevokedApiKey);
    }
    if api_key.read_only && operation.method == Method::Post {
        return Err(Refusal::ReadOnlyApiKey);
    }
    Ok(api_key)
}

/// Refuses an activation of a product that the key may not activate.
pub(super) fn require_product(api_key: &ApiKey, operation: &Operation, product: &str) -> Result<(), Refusal> {
    if api_key.may_activate(product) || !matches!(operation.name, "activate_license" | "activate_bundle") {
        Ok(())
    } else {
        Err(Refusal::ApiKeyProductNotAllowed)
    }
}

/// Returns whether the header holds an OAuth token, which this server does not issue.
fn is_bearer(authorization: &str) -> bool {
    authorization.split_whitespace().next().is_some_and(|scheme| scheme.eq_ignore_ascii_case("bearer"))
}

/// Returns a parameter of the `Authorization` header, whether or not the header proves anything.
pub(super) fn parameter(headers: &HeaderMap, name: &str) -> Option<String> {
    let authorization = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    parameters(authorization)?.get(name).map(|value| (*value).to_owned())
}

/// Parses `name="value"` pairs that are separated by commas, with or without spaces. Names are in any case.
fn parameters(authorization: &str) -> Option<HashMap<String, &str>> {
    authorization
        .split(',')
        .filter(|part| !part.trim().is_empty())
        .map(|part| {
            let (name, value) = part.split_once('=')?;
            Some((name.trim().to_ascii_lowercase(), value.trim().trim_matches('"')))
        })
        .collect()
}
