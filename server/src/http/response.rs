//! Responses: a body of some type, or a refusal as the API words it.

use floatlease::model::ORDER;
use hyper::http::{HeaderValue, Response, StatusCode, header};
use serde::Serialize;

use crate::domain::Refusal;

/// A v4 error body. Every refusal of the service has one, since clients read `code` from all of them.
#[derive(Serialize)]
struct ErrorBody<'a> {
    status: u16,
    code: &'a str,
    message: &'a str,
}

/// Makes a response of this content type.
pub(crate) fn response(body: Vec<u8>, content_type: &'static str) -> Response<Vec<u8>> {
    let mut response = Response::new(body);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// Makes a v4 error body.
pub(super) fn error_body(status: u16, code: &str, message: &str) -> Vec<u8> {
    serde_json::to_vec(&ErrorBody { status, code, message }).unwrap_or_default()
}

/// Makes the response to a refused request; each operation may word the message in its own way.
pub(super) fn refused(refusal: &Refusal, operation: &str) -> Response<Vec<u8>> {
    let json = error_body(refusal.status(), refusal.code(), &refusal.message(operation));
    let mut response = response(json, "application/json");
    *response.status_mut() = StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if let Refusal::OrderOutdated { highest } = refusal {
        response.headers_mut().insert(ORDER, HeaderValue::from(*highest));
    }
    if response.status().is_server_error() || response.status() == StatusCode::TOO_MANY_REQUESTS {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}
