//! Sends one signed request, for calls and for `diagnose`.

use crate::config::{Authorization, Config};
use crate::error::Error;
use crate::http::{Call, Exchange, Http, Reply};
use crate::model;
use crate::oauth::Token;
use crate::operations::Method;
use crate::request::Request;
use crate::secret::Secret;
use crate::sign;
use chrono::{DateTime, Utc};
use std::sync::Arc;

/// A date and the `Authorization` header for it.
#[derive(Debug)]
pub(crate) struct SignedDate {
    second: i64,
    date: String,
    proof: Proof,
}

/// The proof that a request may be made.
#[derive(Debug)]
enum Proof {
    /// The header with the signature of the date.
    Signature(Secret),
    Token(Arc<Token>),
}

impl SignedDate {
    /// Puts the token beside the date `now`, or signs the date with the config's keys.
    pub(crate) fn new(config: &Config, token: Option<Arc<Token>>, now: DateTime<Utc>) -> SignedDate {
        let date = model::format_http_date(now);
        let proof = match (token, &config.authorization) {
            (Some(token), _) => Proof::Token(token),
            (None, Authorization::ApiKey { api_key, shared_key }) => {
                Proof::Signature(Secret::new(sign::authorization(api_key.expose(), shared_key.expose(), &date)))
            }
            // `diagnose` asks without a proof if no token came.
            (None, Authorization::ClientCredentials { .. }) => Proof::Signature(Secret::new(String::new())),
        };
        SignedDate { second: now.timestamp(), date, proof }
    }

    /// Returns the token, if it has one.
    pub(crate) fn token(&self) -> Option<&Token> {
        match &self.proof {
            Proof::Signature(_) => None,
            Proof::Token(token) => Some(token),
        }
    }

    /// Returns the `Authorization` header.
    fn header(&self) -> &str {
        match &self.proof {
            Proof::Signature(header) => header.expose(),
            Proof::Token(token) => token.header(),
        }
    }

    /// Returns true if it may be sent at `now` with this token. The `Date` header has whole seconds.
    pub(crate) fn is_of(&self, now: DateTime<Utc>, token: Option<&Arc<Token>>) -> bool {
        self.second == now.timestamp() && self.token().map(|own| own.number) == token.map(|token| token.number)
    }
}

/// Sends one request and returns the reply. The error says whether the request left this machine.
pub(crate) fn send(
    http: &Http,
    call: &Call,
    config: &Config,
    request: &Request,
    signed: &SignedDate,
) -> Result<Reply, Error> {
    let content = request.content.expose();
    let path = request.operation.path;
    let (url, body) = match request.operation.method {
        Method::Get => (format!("{}{path}?{content}", config.base_url), ""),
        Method::Post => (format!("{}{path}", config.base_url), content),
    };
    let exchange = Exchange {
        method: request.operation.method,
        may_be_repeated: request.operation.idempotent,
        url: &url,
        authorization: Some((&signed.date, signed.header())),
        content_type: if request.operation.takes_file() { "text/plain" } else { "application/json" },
        idempotency_key: request.idempotency_key.as_deref(),
        order: request.order,
        body,
    };
    http.exchange(call, &exchange).map_err(Error::from)
}
