//! Authorises a request by its `Date` and `Authorization` headers: by an API key, whose MAC covers the date only, or by an
//! access token.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use floatlease::model::parse_http_date;
use floatlease::operations::{Auth, Method, Operation};
use floatlease::sign::{is_signature, signing_text};
use hyper::http::{HeaderMap, header};

use super::tokens::{self, Tokens};
use crate::catalogue::{ApiKey, Catalogue, OauthClient};
use crate::domain::Refusal;

/// Largest difference between a request's `Date` and the server's time, either way.
const WINDOW: TimeDelta = TimeDelta::minutes(15);
const PARAMETERS: [&str; 4] = ["algorithm", "headers", "signature", "apikey"];

/// The rights of the API key or OAuth client that has proven itself.
pub(super) struct Rights<'c> {
    /// The name of the API key or OAuth client.
    pub(super) client: &'c str,
    revoked: bool,
    read_only: bool,
    products: Option<&'c [String]>,
    /// Numbers of the licenses that it may use; `None` for all licenses.
    pub(super) licenses: Option<&'c Arc<HashSet<u64>>>,
}

/// Returns the rights of the client whose shared key signed the request, or whose token it has. `now` is real time, not
/// license time.
pub(super) fn authorise<'c>(
    catalogue: &'c Catalogue,
    issued: &Tokens,
    operation: &Operation,
    headers: &HeaderMap,
    now: DateTime<Utc>,
) -> Result<Rights<'c>, Refusal> {
    if !headers.contains_key(header::DATE) || !headers.contains_key(header::AUTHORIZATION) {
        return Err(Refusal::MissingHeaders);
    }
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let authorization = text(header::AUTHORIZATION).ok_or(Refusal::AuthorizationInvalidHeaders)?;
    let date = text(header::DATE).unwrap_or_default();
    let rights = match tokens::bearer(headers) {
        Some(token) if catalogue.oauth_clients().next().is_some() => {
            check_date(date, now)?;
            let client = catalogue.oauth_client(&issued.verify(token)?).ok_or(Refusal::OauthTokenMalformed)?;
            Rights::of_client(client)
        }
        Some(_) => return Err(Refusal::HmacRequired),
        None => of_api_key(catalogue, authorization, date, now)?,
    };
    rights.require_usable(operation)?;
    Ok(rights)
}

/// Returns the rights of the API key whose shared key signed the date.
fn of_api_key<'c>(
    catalogue: &'c Catalogue,
    authorization: &str,
    date: &str,
    now: DateTime<Utc>,
) -> Result<Rights<'c>, Refusal> {
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
    check_date(date, now)?;
    if catalogue.oauth_only {
        return Err(Refusal::ApiKeysNotAllowed);
    }
    let api_key = catalogue.api_key(parameter("apikey")).ok_or(Refusal::InvalidApiKey)?;
    if !is_signature(&api_key.shared_key, &signing_text(date.trim()), parameter("signature")) {
        return Err(Refusal::SignatureMismatch);
    }
    Ok(Rights::of_key(api_key))
}

/// Refuses a request whose `Date` is too far from now.
fn check_date(date: &str, now: DateTime<Utc>) -> Result<(), Refusal> {
    let sent_at = parse_http_date(date).ok_or(Refusal::DateHeaderDiff)?;
    if (now - sent_at).abs() > WINDOW { Err(Refusal::DateHeaderDiff) } else { Ok(()) }
}

impl<'c> Rights<'c> {
    pub(super) fn of_key(key: &'c ApiKey) -> Rights<'c> {
        let (revoked, read_only, products) = (key.revoked, key.read_only, key.products.as_deref());
        Rights { client: &key.key, revoked, read_only, products, licenses: None }
    }

    pub(super) fn of_client(client: &'c OauthClient) -> Rights<'c> {
        let (revoked, read_only, licenses) = (client.revoked, client.read_only, client.licenses.as_ref());
        Rights { client: &client.client_id, revoked, read_only, products: client.products.as_deref(), licenses }
    }

    /// Refuses a client that was revoked, or may not write.
    pub(super) fn require_usable(&self, operation: &Operation) -> Result<(), Refusal> {
        if self.revoked {
            return Err(Refusal::RevokedApiKey);
        }
        // The API makes this one a GET, but it gives a license away.
        let writes = operation.method == Method::Post || operation.name == "trial_key";
        if self.read_only && writes { Err(Refusal::ReadOnlyApiKey) } else { Ok(()) }
    }

    /// Refuses an activation of a product that the client may not activate.
    pub(super) fn require_product(&self, operation: &Operation, product: &str) -> Result<(), Refusal> {
        let is_activation =
            matches!(operation.name, "activate_license" | "activate_bundle" | "activate_offline" | "trial_key");
        if self.may_activate(product) || !is_activation { Ok(()) } else { Err(Refusal::ApiKeyProductNotAllowed) }
    }

    /// Refuses an operation that is not about one license, from a client that may use some licenses only. Its reply would
    /// tell of others.
    pub(super) fn require_single_license(&self, operation: &Operation) -> Result<(), Refusal> {
        let is_about_one = matches!(operation.auth, Auth::Ident | Auth::Set);
        let is_about_product = matches!(operation.name, "product_details" | "products" | "sso_url");
        if self.licenses.is_none() || is_about_one || is_about_product { Ok(()) } else { Err(Refusal::LicenseNotFound) }
    }

    /// Returns true if the client may activate this product.
    pub(super) fn may_activate(&self, product: &str) -> bool {
        self.products.is_none_or(|products| products.iter().any(|code| code == product))
    }
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
