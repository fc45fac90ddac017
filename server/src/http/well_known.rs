//! What needs no authorisation: the server's description of itself, and where to get tokens.

use chrono::{DateTime, Utc};
use floatlease::model::format_time;
use floatlease::operations::{Method, OPERATIONS};
use hyper::http::Response;
use serde_json::{Value, json};

use super::Service;
use crate::domain::Refusal;

/// The answer to an open route, if `path` is one.
pub(super) fn answer(
    service: &Service,
    path: &str,
    query: &str,
    now: DateTime<Utc>,
) -> Option<Result<Response<Vec<u8>>, Refusal>> {
    let body = match path {
        "/.well-known" => Ok(metadata(service, now)),
        "/oauth_url" => oauth_url(service, query),
        _ => return None,
    };
    Some(body.and_then(|body| service.signed(body.to_string().into_bytes())))
}

/// `pub_key` is the bare public key where the vendor's cloud sends a certificate: one made by this server could be
/// vouched for by nobody, and clients take either.
fn metadata(service: &Service, now: DateTime<Utc>) -> Value {
    let endpoint = |method: Method, path: &str| {
        let method = if method == Method::Get { "GET" } else { "POST" };
        json!({ "method": method, "url": format!("{}{path}", service.base_url) })
    };
    let endpoints = OPERATIONS.iter().map(|operation| endpoint(operation.method, operation.path));
    json!({
        "api_base_url": service.base_url,
        "environment": "floatlease-server",
        "supported_api_versions": ["v4"],
        "default_api_version": "v4",
        "version": env!("CARGO_PKG_VERSION"),
        "timestamp": format_time(now),
        "pub_key": service.public_key,
        "endpoints": endpoints.collect::<Vec<Value>>(),
    })
}

/// Names a place on this server, so that no client takes its secret elsewhere; nothing is issued there yet.
fn oauth_url(service: &Service, query: &str) -> Result<Value, Refusal> {
    let login_type = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "login_type");
    match login_type.as_ref().map(|(_, value)| value.as_ref()) {
        None => Err(Refusal::MissingParameters("login_type".to_owned())),
        Some("client_credentials") => {
            Ok(json!({ "url": format!("{}/oauth/token", service.base_url), "login_type": "client_credentials" }))
        }
        Some(_) => Err(Refusal::ValidationError("login_type must be client_credentials".to_owned())),
    }
}
