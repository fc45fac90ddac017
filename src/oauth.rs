//! Access tokens by OAuth 2.0 client credentials: kept in memory, renewed early, and fetched by one call at a time.
//!
//! The call that finds no token fetches one on its own thread and in its own time. Calls that need one meanwhile wait for
//! it, each until its own deadline or cancel. If the fetching call ends first, one of those that wait takes over. All state
//! belongs to one client, so a forked child, which opens a client of its own, waits for nothing of its parent.

use crate::config::{Authorization, Config, url_flaw};
use crate::error::{Error, Outcome};
use crate::http::{Call, Exchange, Http, Stop};
use crate::model;
use crate::operations::Method;
use crate::reply::{MAX_SERVER_WORDS, noted, parsed, sanitized};
use crate::request::wipe;
use crate::secret::Secret;
use crate::status::Status;
use crate::strict::Object;
use crate::uptime;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use zeroize::Zeroize;

/// How early a token is renewed, unless a quarter of its lifetime is shorter. A request takes a while to arrive.
const RENEWED_EARLIER_MS: i64 = 5_000;

/// Lifetime of a token whose reply names none.
const USUAL_LIFETIME_S: u64 = 60;

/// Upper bound for a token's lifetime. A longer one is a mistake, and a refused token is renewed in any case.
const LONGEST_LIFETIME_S: u64 = 86_400;

/// The longest token that is used. With the longest query it still fits into the head of a request.
const LONGEST_TOKEN_BYTES: usize = 8 * 1024;

/// A call that has waited for another call's fetch in vain begins one only if it has this long left. Otherwise many calls
/// with the same deadline would ask a silent endpoint one after the other.
const WORTH_FETCHING_FOR: Duration = Duration::from_millis(100);

const CANCEL_NOTICED_WITHIN: Duration = Duration::from_millis(20);

const HTTPS: &str = "https://";

/// The start of an `Authorization` header with a token.
const SCHEME: &str = "Bearer ";

/// An access token.
#[derive(Debug)]
pub(crate) struct Token {
    /// The number of this token among those of its client.
    pub(crate) number: u64,
    /// The `Authorization` header.
    header: Secret,
    /// The time by [`uptime`] from which on another token is fetched.
    renew_at_ms: i64,
}

impl Token {
    /// Returns the `Authorization` header.
    pub(crate) fn header(&self) -> &str {
        self.header.expose()
    }

    /// Returns a copy of the token itself, by which messages are searched for it.
    pub(crate) fn to_secret(&self) -> Secret {
        Secret::new(self.header().strip_prefix(SCHEME).unwrap_or_default().to_owned())
    }
}

/// The tokens of one client.
#[derive(Debug)]
pub(crate) struct Tokens {
    /// Connections to the token endpoint of the config. `None` if the server names it: then the way is the API's.
    http: Option<Http>,
    state: Mutex<State>,
    fetched: Condvar,
}

#[derive(Debug, Default)]
struct State {
    token: Option<Arc<Token>>,
    /// The address of the token endpoint that the server has named.
    url: Option<String>,
    is_fetching: bool,
    /// Number of fetches that have ended.
    ended: u64,
    /// Why the last fetch failed. `None` also if the fetching call had to end, which is no failure for other calls.
    failure: Option<Error>,
}

/// A fetch under way. Dropping it lets the next one begin, also after a panic.
struct Fetch<'a> {
    tokens: &'a Tokens,
    result: Result<Token, Option<Error>>,
}

impl Drop for Fetch<'_> {
    fn drop(&mut self) {
        let mut state = self.tokens.state();
        state.is_fetching = false;
        state.ended += 1;
        state.failure = None;
        match std::mem::replace(&mut self.result, Err(None)) {
            Ok(token) => state.token = Some(Arc::new(Token { number: state.ended, ..token })),
            Err(failure) => state.failure = failure,
        }
        self.tokens.fetched.notify_all();
    }
}

impl Tokens {
    /// Prepares for the client of this config, whose requests go by `api`. `None` if it authorises by an API key.
    pub(crate) fn of(config: &Config, api: &Http) -> Result<Option<Tokens>, Error> {
        let Authorization::ClientCredentials { oauth_url, .. } = &config.authorization else { return Ok(None) };
        let http = oauth_url.as_ref().map(|url| api.to_other_server(config, url)).transpose()?;
        Ok(Some(Tokens { http, state: Mutex::default(), fetched: Condvar::new() }))
    }

    /// Uses no connection to the token endpoint again that was made before.
    pub(crate) fn forget_connections(&self) {
        self.http.iter().for_each(Http::forget_connections);
    }

    /// Closes the connections to the token endpoint, those in use once their requests have ended.
    pub(crate) fn close_connections(&self) {
        self.http.iter().for_each(Http::close_connections);
    }

    /// Returns a token that was fetched just now, for this call or for another one.
    pub(crate) fn renewed(&self, api: &Http, config: &Config, call: &Call) -> Result<Arc<Token>, Error> {
        let last = self.state().token.as_ref().map_or(0, |token| token.number);
        self.get(api, config, call, last)
    }

    /// Returns a token that the server has not refused, and fetches one if need be. `refused` is the number of the last one
    /// that it has refused. The time counts as the call's.
    pub(crate) fn get(&self, api: &Http, config: &Config, call: &Call, refused: u64) -> Result<Arc<Token>, Error> {
        // The number of fetches that had ended when this call began to wait, for its own fetch or for another one.
        let mut awaited = u64::MAX;
        let mut state = self.state();
        loop {
            if let Some(token) = &state.token {
                // A token that has just been fetched is used however soon it expires.
                let is_valid = token.number > awaited || uptime::now_ms() < token.renew_at_ms;
                if token.number > refused && is_valid {
                    return Ok(Arc::clone(token));
                }
            }
            if let Some(failure) = &state.failure
                && state.ended > awaited
            {
                return Err(failure.clone());
            }
            let left = call.left().map_err(stopped)?;
            if state.is_fetching || awaited != u64::MAX && left < WORTH_FETCHING_FOR {
                awaited = awaited.min(state.ended);
                let slice = left.min(CANCEL_NOTICED_WITHIN);
                state = self.fetched.wait_timeout(state, slice).unwrap_or_else(PoisonError::into_inner).0;
                continue;
            }
            (awaited, state.is_fetching) = (state.ended, true);
            let known_url = state.url.clone();
            drop(state);
            let mut fetch = Fetch { tokens: self, result: Err(None) };
            // If this call had to end, that is no failure for the others.
            // Others wait for this fetch, so it may last no longer than the config lets a call.
            let fetched = call.with_limit(config.timeout, || self.fetch(api, config, call, known_url));
            fetch.result = fetched.map_err(|error| Some(error).filter(|_| call.left().is_ok()));
            drop(fetch);
            state = self.state();
        }
    }

    /// Fetches a token, after the server has named the endpoint if the config does not.
    fn fetch(&self, api: &Http, config: &Config, call: &Call, known: Option<String>) -> Result<Token, Error> {
        let Authorization::ClientCredentials { client_id, client_secret, oauth_url } = &config.authorization else {
            return Err(Error::new(Status::Internal));
        };
        let url = match oauth_url.clone().or(known) {
            Some(url) => url,
            None => {
                let server = [&config.base_url, "/oauth_url?login_type=client_credentials"].concat();
                let named = ask(api, config, call, &server, None)?;
                let url = endpoint_of(&named, config).map_err(|error| while_fetching(error, &server))?;
                self.state().url = Some(url.clone());
                url
            }
        };
        let began_ms = uptime::now_ms();
        let form = form(client_id, client_secret);
        let issued = ask(self.http.as_ref().unwrap_or(api), config, call, &url, Some(&form))?;
        token_of(issued, began_ms).ok_or_else(|| while_fetching(Error::new(Status::ReplyNotApi), &url))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sends a form, or asks without one, and returns the members of the reply.
fn ask(http: &Http, config: &Config, call: &Call, url: &str, form: Option<&Secret>) -> Result<Object, Error> {
    let exchange = Exchange {
        method: if form.is_some() { Method::Post } else { Method::Get },
        may_be_repeated: true,
        url,
        authorization: None,
        content_type: if form.is_some() { "application/x-www-form-urlencoded" } else { "application/json" },
        idempotency_key: None,
        order: None,
        body: form.map_or("", Secret::expose),
    };
    let failure = match http.exchange(call, &exchange) {
        Ok(mut reply) => {
            let members =
                std::str::from_utf8(&reply.body).ok().and_then(|text| parsed::<Object>(text).ok()).unwrap_or_default();
            reply.body.zeroize();
            if reply.status == 200 {
                return Ok(members);
            }
            noted(refusal(reply.status, &members, config), &reply)
        }
        Err(lost) => lost.into(),
    };
    Err(while_fetching(failure, url))
}

/// Returns the error of a reply without a token.
fn refusal(http_status: u16, members: &Object, config: &Config) -> Error {
    let text = |member: &str| members.get(member).and_then(Value::as_str);
    let status = match (http_status, text("error")) {
        (400 | 401, Some(code)) => {
            let mut error = Error::new(Status::OauthClientRefused);
            let words = text("error_description").unwrap_or_default();
            error.detail = Some(sanitized(&config.secrets(), words, MAX_SERVER_WORDS));
            error.server_code = Some(sanitized(&config.secrets(), code, 100));
            return error;
        }
        (300..=399, _) => Status::ReplyRedirect,
        (407, _) => Status::ProxyAuth,
        (429, _) => Status::RateLimited,
        (503, _) if text("code") == Some(model::TOO_MANY_CONNECTIONS) => Status::Connect,
        (500.., _) => Status::ServerError,
        _ => Status::ReplyNotApi,
    };
    Error::new(status)
}

/// Writes the body of a token request.
fn form(client_id: &Secret, client_secret: &Secret) -> Secret {
    const START: &str = "grant_type=client_credentials&client_id=";
    let (id, secret) = (client_id.expose(), client_secret.expose());
    // With room for all of it, no part of the secret is left behind where the text grew.
    let mut form = String::with_capacity(START.len() + 3 * (id.len() + secret.len()) + 20);
    form.push_str(START);
    form.extend(utf8_percent_encode(id, NON_ALPHANUMERIC));
    form.push_str("&client_secret=");
    form.extend(utf8_percent_encode(secret, NON_ALPHANUMERIC));
    Secret::new(form)
}

/// Returns the token in a reply of the token endpoint.
fn token_of(mut issued: Object, began_ms: i64) -> Option<Token> {
    let text = |member: &str| issued.get(member).and_then(Value::as_str);
    let is_bearer = text("token_type").is_none_or(|scheme| scheme.eq_ignore_ascii_case("bearer"));
    let token =
        text("access_token").filter(|token| is_bearer && !token.is_empty() && token.len() <= LONGEST_TOKEN_BYTES);
    let token = token.filter(|token| token.bytes().all(|byte| byte.is_ascii_graphic()));
    let header = token.map(|token| Secret::new([SCHEME, token].concat()));
    let lifetime_s = issued.get("expires_in").and_then(Value::as_u64).unwrap_or(USUAL_LIFETIME_S);
    issued.values_mut().for_each(wipe);
    let lifetime_ms = lifetime_s.min(LONGEST_LIFETIME_S).cast_signed() * 1000;
    let renew_at_ms = began_ms + lifetime_ms - RENEWED_EARLIER_MS.min(lifetime_ms / 4);
    header.map(|header| Token { number: 0, header, renew_at_ms })
}

/// Returns the address that the server has named, if the secret may be sent to it.
///
/// Over TLS the server itself names it. Without TLS anybody on the way could, so it must lead to that same server.
fn endpoint_of(named: &Object, config: &Config) -> Result<String, Error> {
    let url = named.get("url").and_then(Value::as_str).filter(|url| url_flaw(url).is_none());
    let url = url.ok_or_else(|| Error::new(Status::ReplyNotApi))?;
    let server = &config.base_url;
    let end =
        server.bytes().skip(HTTPS.len()).position(|byte| byte == b'/').map_or(server.len(), |at| at + HTTPS.len());
    let is_same_server =
        url.get(..end) == server.get(..end) && url.as_bytes().get(end).is_none_or(|byte| *byte == b'/');
    if is_same_server || url.starts_with(HTTPS) && server.starts_with(HTTPS) {
        return Ok(url.to_owned());
    }
    let shown = sanitized(&config.secrets(), url, MAX_SERVER_WORDS);
    let message = [
        "The server names the token endpoint ",
        &shown,
        ", which is on another server and not protected by TLS both ways. If it is right, set \"oauth_url\" to it.",
    ];
    Err(Error::because(Status::InsecureUrl, message.concat()))
}

/// Adds to a failure at which address it happened, while an access token was fetched.
fn while_fetching(error: Error, url: &str) -> Error {
    let said = error.detail.as_deref().unwrap_or_default();
    // The detail of a caller's mistake stands alone.
    let at = if error.status == Status::InsecureUrl { ["", "", ""] } else { [" No access token came from ", url, "."] };
    let detail = [said, at[0], at[1], at[2]].concat();
    error.with_detail(detail.trim_start()).with_outcome(Outcome::NotSent)
}

/// Makes the error of a call that ended while it waited for another call's fetch.
fn stopped(stop: Stop) -> Error {
    let status = if stop == Stop::Cancelled { Status::Cancelled } else { Status::Timeout };
    Error::because(status, "No access token came.")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(json: serde_json::Value) -> Object {
        json.as_object().unwrap().clone()
    }

    fn config(base_url: &str) -> Config {
        let object = serde_json::json!({
            "product": "XY", "license_key": "AAAA", "client_id": "auth-company-1", "client_secret": "s", "verify": "off",
            "hardware_id": "hw-1", "base_url": base_url, "allow_http": true,
        });
        Config::parse(&object.to_string()).unwrap()
    }

    #[test]
    fn token_is_renewed_before_it_expires_but_not_at_once() {
        for (expires_in, renewed_after_ms) in [
            (serde_json::json!(480), 475_000),
            (serde_json::json!(4), 3_000),
            (serde_json::json!(0), 0),
            (serde_json::json!(null), 55_000),
            (serde_json::json!("480"), 55_000),
            (serde_json::json!(u64::MAX), 86_395_000),
            (serde_json::json!(-1), 55_000),
        ] {
            let issued = serde_json::json!({ "access_token": "t", "token_type": "bearer", "expires_in": expires_in });
            let token = token_of(members(issued), 1_000).unwrap();
            assert_eq!(token.renew_at_ms - 1_000, renewed_after_ms, "{expires_in}");
        }
    }

    #[test]
    fn only_bearer_tokens_that_fit_a_header_are_used() {
        let token = |json| token_of(members(json), 0).map(|token| token.header().to_owned());
        assert_eq!(token(serde_json::json!({ "access_token": "a.b-c" })).unwrap(), "Bearer a.b-c");
        for wrong in [
            serde_json::json!({}),
            serde_json::json!({ "access_token": 7 }),
            serde_json::json!({ "access_token": "a b" }),
            serde_json::json!({ "access_token": "a", "token_type": "mac" }),
        ] {
            assert_eq!(token(wrong.clone()), None, "{wrong}");
        }
    }

    #[test]
    fn form_is_encoded_as_the_rfc_has_it() {
        let form = form(&Secret::new("auth-1".to_owned()), &Secret::new("a&b=c d+\u{e4}".to_owned()));
        let expected = "grant_type=client_credentials&client_id=auth%2D1&client_secret=a%26b%3Dc%20d%2B%C3%A4";
        assert_eq!(form.expose(), expected);
    }

    /// Over TLS the server may name any address that is encrypted too; without TLS only one of its own.
    #[test]
    fn named_endpoint_is_on_same_server_or_encrypted() {
        for (base_url, url, is_accepted) in [
            ("https://a.example/api/v4", "https://login.example/token", true),
            ("https://a.example/api/v4", "http://a.example/token", false),
            ("https://a.example/api/v4", "http://127.0.0.1:80/token", false),
            ("http://a.example/api/v4", "http://a.example/token", true),
            ("http://a.example", "http://a.example", true),
            ("http://a.example:81/api/v4", "http://a.example:8181/token", false),
            ("http://a.example/api/v4", "http://a.example.evil.example/token", false),
            ("http://a.example/api/v4", "http://a.example:81/token", false),
            ("http://a.example/api/v4", "https://login.example/token", false),
            ("https://a.example/api/v4", "https://user@login.example/token", false),
            ("https://a.example/api/v4", "ftp://login.example/token", false),
        ] {
            let named = members(serde_json::json!({ "url": url }));
            assert_eq!(endpoint_of(&named, &config(base_url)).is_ok(), is_accepted, "{base_url}: {url}");
        }
    }
}
