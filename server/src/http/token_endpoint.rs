//! The token endpoint: exchanges an OAuth client's secret for an access token, as RFC 6749 describes it.
//!
//! Its refusals are those of RFC 6749 §5.2, and not the API's, because clients of OAuth read `error`.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use hyper::http::{HeaderValue, Method, Response, StatusCode, header};
use schemars::JsonSchema;
use serde::Serialize;

use super::request::ReceivedRequest;
use super::response::response;
use super::tokens::{self, Tokens};
use crate::catalogue::{Catalogue, ClientSecret, OauthClient};

/// The endpoint's path below that of the API.
pub(crate) const TOKEN_PATH: &str = "/oauth/token";
/// The only way to get a token.
pub(crate) const CLIENT_CREDENTIALS: &str = "client_credentials";
/// The parameters of a request.
pub(crate) const FORM: [&str; 3] = ["grant_type", "client_id", "client_secret"];

/// A new token. The members without a use are those that the vendor's cloud sends.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct IssuedToken {
    access_token: String,
    /// Seconds.
    #[schemars(range(min = 1))]
    expires_in: u32,
    refresh_expires_in: u32,
    token_type: &'static str,
    #[serde(rename = "not-before-policy")]
    not_before_policy: u32,
    scope: &'static str,
}

/// A refusal of RFC 6749.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct TokenRefusal {
    error: &'static str,
    /// For people.
    error_description: &'static str,
}

/// A row of the refusals: HTTP status, error, description.
type Row = (u16, &'static str, &'static str);

const INCOMPLETE: Row =
    (400, "invalid_request", "Send grant_type, client_id and client_secret once each, form-encoded");
const OTHER_GRANT: Row = (400, "unsupported_grant_type", "Send grant_type=client_credentials");
const SECRET_TWICE: Row = (400, "invalid_request", "Send the client's secret in the body or by HTTP Basic, not both");
const INVALID_CLIENT: Row = (401, "invalid_client", "The client is unknown or revoked, or its secret is wrong");

/// Every refusal.
pub(crate) const REFUSALS: [Row; 4] = [INCOMPLETE, OTHER_GRANT, SECRET_TWICE, INVALID_CLIENT];

/// A client and its secret as a request gives them.
struct Claim<'r> {
    client_id: Cow<'r, str>,
    secret: Cow<'r, str>,
}

/// Returns whether the request is for the token endpoint.
pub(crate) fn is_token_request(request: &ReceivedRequest) -> bool {
    request.head.method == Method::POST && request.path_of_api() == Some(TOKEN_PATH)
}

/// Returns the API key or the OAuth client that a request names, whether or not it proves anything.
pub(crate) fn claimed_client(request: &ReceivedRequest) -> Option<String> {
    if is_token_request(request) {
        let claims = basic_claims(request).into_iter().chain(form_claim(&form(request)));
        return claims.map(|claim| claim.client_id.into_owned()).next();
    }
    let of_token = || tokens::claimed_client(tokens::bearer(&request.head.headers)?);
    request.authorization("apikey").or_else(of_token)
}

/// Replies to a request for a token. `now` is license time.
pub(super) fn reply(
    catalogue: &Catalogue,
    tokens: &Tokens,
    request: &ReceivedRequest,
    now: DateTime<Utc>,
) -> Response<Vec<u8>> {
    let mut reply = match authenticated(catalogue, request, now) {
        Ok(client) => {
            let token = IssuedToken {
                access_token: tokens.issue(&client.client_id),
                expires_in: tokens.lifetime_seconds(),
                refresh_expires_in: 0,
                token_type: "Bearer",
                not_before_policy: 0,
                scope: "profile email",
            };
            json(200, &token)
        }
        Err((status, error, error_description)) => json(status, &TokenRefusal { error, error_description }),
    };
    if reply.status() == StatusCode::UNAUTHORIZED {
        let basic = HeaderValue::from_static("Basic realm=\"floatlease-server\"");
        reply.headers_mut().insert(header::WWW_AUTHENTICATE, basic);
    }
    reply.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    reply.headers_mut().insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
    reply
}

/// Makes a refusal in place of the endpoint, for tests of clients.
pub(crate) fn refusal(error: &'static str) -> Response<Vec<u8>> {
    let status = if error == "invalid_client" { 401 } else { 400 };
    json(status, &TokenRefusal { error, error_description: "A fault of the sandbox" })
}

fn json(status: u16, body: &impl Serialize) -> Response<Vec<u8>> {
    let mut reply = response(serde_json::to_vec(body).unwrap_or_default(), "application/json");
    *reply.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    reply
}

/// Returns the client that has proven itself, or the refusal.
fn authenticated<'c>(
    catalogue: &'c Catalogue,
    request: &ReceivedRequest,
    now: DateTime<Utc>,
) -> Result<&'c OauthClient, Row> {
    let form = form(request);
    let given = |name: &str| form.iter().filter(|(given, _)| given == name).count();
    if given("grant_type") == 0 || FORM.into_iter().any(|name| given(name) > 1) {
        return Err(INCOMPLETE);
    }
    if !form.iter().any(|(name, value)| name == "grant_type" && value == CLIENT_CREDENTIALS) {
        return Err(OTHER_GRANT);
    }
    let mut claims = basic_claims(request);
    if !claims.is_empty() && given("client_secret") > 0 {
        return Err(SECRET_TWICE);
    }
    claims.extend(form_claim(&form).filter(|_| given("client_secret") > 0));
    let proven = claims.iter().find_map(|claim| {
        let client = catalogue.oauth_client(&claim.client_id);
        // An unknown client costs as much time as a known one.
        let _ = client.is_none().then(|| ClientSecret::of(&claim.secret));
        client.filter(|client| client.accepts(&claim.secret, now))
    });
    proven.ok_or(INVALID_CLIENT)
}

fn form(request: &ReceivedRequest) -> Vec<(Cow<'_, str>, Cow<'_, str>)> {
    let body = request.body.as_deref().unwrap_or_default();
    form_urlencoded::parse(body).collect()
}

fn form_claim<'r>(form: &[(Cow<'r, str>, Cow<'r, str>)]) -> Option<Claim<'r>> {
    let value = |name: &str| form.iter().find(|(given, _)| given == name).map(|(_, value)| value.clone());
    Some(Claim { client_id: value("client_id")?, secret: value("client_secret").unwrap_or_default() })
}

/// Returns the client of HTTP Basic: as RFC 6749 has it, form-encoded, and as programs like curl send it, as it is.
fn basic_claims(request: &ReceivedRequest) -> Vec<Claim<'static>> {
    let decoded = || {
        let header = request.head.headers.get(header::AUTHORIZATION)?.to_str().ok()?;
        let (scheme, credentials) = header.trim().split_once(' ')?;
        let bytes = STANDARD.decode(credentials.trim()).ok().filter(|_| scheme.eq_ignore_ascii_case("basic"))?;
        let text = String::from_utf8(bytes).ok()?;
        let (id, secret) = text.split_once(':')?;
        Some((id.to_owned(), secret.to_owned()))
    };
    let Some((id, secret)) = decoded() else { return Vec::new() };
    let unescaped = |text: &str| {
        let text = text.replace('&', "%26").replace('=', "%3D");
        form_urlencoded::parse(text.as_bytes()).next().map(|(name, _)| name.into_owned()).unwrap_or_default().into()
    };
    let encoded = Claim { client_id: unescaped(&id), secret: unescaped(&secret) };
    vec![encoded, Claim { client_id: id.into(), secret: secret.into() }]
}
