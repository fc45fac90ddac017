//! Sends one signed request, for calls and for `diagnose`.

use crate::config::Config;
use crate::error::Error;
use crate::http::{Call, Exchange, Http, Reply};
use crate::model;
use crate::operations::Method;
use crate::request::Request;
use crate::secret::Secret;
use crate::sign;
use chrono::{DateTime, Utc};

/// A date and the `Authorization` header for it.
#[derive(Debug)]
pub(crate) struct SignedDate {
    second: i64,
    date: String,
    authorization: Secret,
}

impl SignedDate {
    /// Signs the date `now` with the config's keys.
    pub(crate) fn new(config: &Config, now: DateTime<Utc>) -> SignedDate {
        let date = model::format_http_date(now);
        let authorization = sign::authorization(config.api_key.expose(), config.shared_key.expose(), &date);
        SignedDate { second: now.timestamp(), date, authorization: Secret::new(authorization) }
    }

    /// Returns true if it may be sent at `now`. The `Date` header has whole seconds.
    pub(crate) fn is_of(&self, now: DateTime<Utc>) -> bool {
        self.second == now.timestamp()
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
        date: &signed.date,
        authorization: signed.authorization.expose(),
        idempotency_key: request.idempotency_key.as_deref(),
        order: request.order,
        body,
    };
    http.exchange(call, &exchange).map_err(|lost| {
        let mut error = Error::new(lost.status).with_outcome(lost.outcome);
        (error.detail, error.http_status) = (lost.detail, lost.http_status);
        error
    })
}
