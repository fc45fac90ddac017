//! One request, signed and sent: what a call and a diagnosis have in common.

use crate::config::Config;
use crate::error::{Error, Outcome};
use crate::http::{Call, Exchange, Http, Reply};
use crate::model;
use crate::operations::Method;
use crate::request::Request;
use crate::secret::Secret;
use crate::sign;
use chrono::{DateTime, Utc};

/// What authorises a request.
#[derive(Debug)]
pub(crate) struct SignedDate {
    second: i64,
    date: String,
    authorization: Secret,
}

impl SignedDate {
    pub(crate) fn new(config: &Config, now: DateTime<Utc>) -> SignedDate {
        let date = model::format_http_date(now);
        let authorization = sign::authorization(config.api_key.expose(), config.shared_key.expose(), &date);
        SignedDate { second: now.timestamp(), date, authorization: Secret::new(authorization) }
    }

    /// Whether it serves for `now`: the `Date` header knows no less than seconds.
    pub(crate) fn is_of(&self, now: DateTime<Utc>) -> bool {
        self.second == now.timestamp()
    }
}

/// Sends one request.
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
        url: &url,
        date: &signed.date,
        authorization: signed.authorization.expose(),
        idempotency_key: request.idempotency_key.as_deref(),
        order: request.order,
        body,
    };
    http.exchange(call, &exchange).map_err(|lost| {
        let outcome = if lost.sent { Outcome::Unknown } else { Outcome::NotSent };
        let mut error = Error::new(lost.status).with_outcome(outcome);
        (error.detail, error.http_status) = (lost.detail, lost.http_status);
        error
    })
}
