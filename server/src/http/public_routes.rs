//! What needs no authorisation: the server's descriptions of itself, and where to get tokens.

use chrono::{DateTime, Utc};
use floatlease::operations::{Method, OPERATIONS};
use hyper::http::Response;
use schemars::{JsonSchema, SchemaGenerator, json_schema};
use serde::Serialize;
use serde_json::{Value, json};

use super::Service;
use crate::domain::Refusal;
use crate::domain::reply::{Describe, Iso};
use crate::openapi;

/// A GET that anybody may ask, and what the description of the API says of it.
pub(crate) struct PublicRoute {
    pub(crate) path: &'static str,
    pub(crate) name: &'static str,
    pub(crate) summary: &'static str,
    /// Parameters that must be given, and the one value of each.
    pub(crate) query: &'static [(&'static str, &'static str)],
    pub(crate) signed: bool,
    pub(crate) reply: Describe,
    answer: fn(&Service, &str, DateTime<Utc>) -> Result<Value, Refusal>,
}

const CLIENT_CREDENTIALS: &str = "client_credentials";

/// All of them.
pub(crate) const PUBLIC_ROUTES: &[PublicRoute] = &[
    PublicRoute {
        path: "/.well-known",
        name: "well_known",
        summary: "Tells the server's version, its public key and its endpoints.",
        query: &[],
        signed: true,
        reply: SchemaGenerator::subschema_for::<Metadata>,
        answer: |service, _, now| Ok(json!(metadata(service, now))),
    },
    PublicRoute {
        path: "/oauth_url",
        name: "oauth_url",
        summary: "Tells where OAuth tokens will be issued; none are yet.",
        query: &[("login_type", CLIENT_CREDENTIALS)],
        signed: true,
        reply: SchemaGenerator::subschema_for::<OauthUrl>,
        answer: |service, query, _| oauth_url(service, query).map(|url| json!(url)),
    },
    PublicRoute {
        path: "/openapi.json",
        name: "openapi",
        summary: "Describes the API, in this document.",
        query: &[],
        signed: false,
        reply: |_| json_schema!({ "type": "object", "required": ["openapi", "info", "paths"] }),
        answer: |service, _, _| Ok(openapi::v4(&service.base_url)),
    },
];

/// The answer to an open route, if `path` is one.
pub(super) fn answer(
    service: &Service,
    path: &str,
    query: &str,
    now: DateTime<Utc>,
) -> Option<Result<Response<Vec<u8>>, Refusal>> {
    let route = PUBLIC_ROUTES.iter().find(|route| route.path == path)?;
    Some((route.answer)(service, query, now).and_then(|body| {
        let json = body.to_string().into_bytes();
        if route.signed { service.signed(json) } else { Ok(super::response(json, "application/json")) }
    }))
}

#[derive(Serialize, JsonSchema)]
struct Metadata<'a> {
    api_base_url: &'a str,
    environment: &'static str,
    supported_api_versions: [&'static str; 1],
    default_api_version: &'static str,
    version: &'static str,
    timestamp: Iso,
    /// The bare public key (PEM) where the vendor's cloud sends a certificate: one made by this server could be vouched
    /// for by nobody, and clients take either.
    pub_key: &'a str,
    endpoints: Vec<Endpoint>,
}

#[derive(Serialize, JsonSchema)]
struct Endpoint {
    method: &'static str,
    url: String,
}

fn metadata(service: &Service, now: DateTime<Utc>) -> Metadata<'_> {
    let endpoint = |method: Method, path: &str| Endpoint {
        method: if method == Method::Get { "GET" } else { "POST" },
        url: format!("{}{path}", service.base_url),
    };
    Metadata {
        api_base_url: &service.base_url,
        environment: "floatlease-server",
        supported_api_versions: ["v4"],
        default_api_version: "v4",
        version: env!("CARGO_PKG_VERSION"),
        timestamp: Iso(now),
        pub_key: &service.public_key,
        endpoints: OPERATIONS.iter().map(|operation| endpoint(operation.method, operation.path)).collect(),
    }
}

#[derive(Serialize, JsonSchema)]
struct OauthUrl {
    url: String,
    login_type: &'static str,
}

/// Names a place on this server, so that no client takes its secret elsewhere; nothing is issued there yet.
fn oauth_url(service: &Service, query: &str) -> Result<OauthUrl, Refusal> {
    let login_type = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "login_type");
    match login_type.as_ref().map(|(_, value)| value.as_ref()) {
        None => Err(Refusal::MissingParameters("login_type".to_owned())),
        Some(CLIENT_CREDENTIALS) => {
            Ok(OauthUrl { url: format!("{}/oauth/token", service.base_url), login_type: CLIENT_CREDENTIALS })
        }
        Some(_) => Err(Refusal::ValidationError(format!("login_type must be {CLIENT_CREDENTIALS}"))),
    }
}
