//! A refusal as HTTP: a v4 error body, whatever went wrong. Clients read `code` from every 4xx.

use floatlease::model::ORDER;
use hyper::http::{Response, StatusCode, header};
use serde::Serialize;

use crate::domain::Refusal;

#[derive(Serialize)]
struct ErrorBody<'a> {
    status: u16,
    code: &'a str,
    message: &'a str,
}

/// The refusal, in the words of `operation`.
pub(super) fn response(refusal: &Refusal, operation: &str) -> Response<Vec<u8>> {
    let body = ErrorBody { status: refusal.status(), code: refusal.code(), message: &refusal.message(operation) };
    let json = serde_json::to_vec(&body).unwrap_or_default();
    let mut response = super::response(json, "application/json");
    *response.status_mut() = StatusCode::from_u16(body.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if let Refusal::OrderOutdated { highest } = refusal {
        response.headers_mut().insert(ORDER, header::HeaderValue::from(*highest));
    }
    if response.status().is_server_error() {
        response.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static("1"));
    }
    response
}
