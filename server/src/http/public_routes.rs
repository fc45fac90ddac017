//! Routes that need no authorisation: the server's descriptions of itself, and where clients get tokens.

use std::sync::OnceLock;

use chrono::{DateTime, Utc};
use floatlease::operations::{Method, OPERATIONS};
use schemars::{JsonSchema, SchemaGenerator, json_schema};
use serde::Serialize;
use serde_json::{Value, json};

use super::token_endpoint::{CLIENT_CREDENTIALS, TOKEN_PATH};
use crate::domain::Refusal;
use crate::domain::reply::{Describe, Iso};

/// Makes the OpenAPI document of the API at a URL.
pub(crate) type DescribeApi = fn(&str) -> Value;

/// A GET that needs no authorisation, with its description for the OpenAPI document.
pub(crate) struct PublicRoute {
    pub(crate) path: &'static str,
    pub(crate) name: &'static str,
    pub(crate) summary: &'static str,
    /// Required parameters, each with the only value that it may have.
    pub(crate) query: &'static [(&'static str, &'static str)],
    pub(crate) signed: bool,
    pub(crate) reply: Describe,
    answer: Answer,
}

/// Makes the JSON that answers a query at a time.
type Answer = fn(&ServiceInfo, &str, DateTime<Utc>) -> Result<Vec<u8>, Refusal>;

/// The facts that a service tells about itself.
#[derive(Debug)]
pub(super) struct ServiceInfo {
    pub(super) base_url: String,
    /// PEM.
    pub(super) public_key: String,
    /// The address of the token endpoint.
    oauth_url: String,
    describe: DescribeApi,
    /// The OpenAPI document, which is made for the first request. Otherwise each request for it would cost much.
    document: OnceLock<Vec<u8>>,
}

impl ServiceInfo {
    /// `oauth_url` is the address of the token endpoint, if it is another one than the server's own.
    pub(super) fn new(
        base_url: String,
        public_key: String,
        oauth_url: Option<String>,
        describe: DescribeApi,
    ) -> ServiceInfo {
        let oauth_url = oauth_url.unwrap_or_else(|| format!("{base_url}{TOKEN_PATH}"));
        ServiceInfo { base_url, public_key, oauth_url, describe, document: OnceLock::new() }
    }

    fn document(&self) -> &[u8] {
        self.document.get_or_init(|| (self.describe)(&self.base_url).to_string().into_bytes())
    }
}

/// Every public route.
pub(crate) const PUBLIC_ROUTES: &[PublicRoute] = &[
    PublicRoute {
        path: "/.well-known",
        name: "well_known",
        summary: "Tells the server's version, its public key and its endpoints.",
        query: &[],
        signed: true,
        reply: SchemaGenerator::subschema_for::<Metadata>,
        answer: |info, _, now| Ok(json!(metadata(info, now)).to_string().into_bytes()),
    },
    PublicRoute {
        path: "/oauth_url",
        name: "oauth_url",
        summary: "Tells where OAuth clients get their access tokens.",
        query: &[("login_type", CLIENT_CREDENTIALS)],
        signed: true,
        reply: SchemaGenerator::subschema_for::<OauthUrl>,
        answer: |info, query, _| oauth_url(info, query).map(|url| json!(url).to_string().into_bytes()),
    },
    PublicRoute {
        path: "/openapi.json",
        name: "openapi",
        summary: "Describes the API, in this document.",
        query: &[],
        signed: false,
        reply: |_| json_schema!({ "type": "object", "required": ["openapi", "info", "paths"] }),
        answer: |info, _, _| Ok(info.document().to_vec()),
    },
];

/// Returns the public route at this path.
pub(super) fn find(path: &str) -> Option<&'static PublicRoute> {
    PUBLIC_ROUTES.iter().find(|route| route.path == path)
}

impl PublicRoute {
    /// Returns the JSON that answers a request for this route.
    pub(super) fn body(&self, info: &ServiceInfo, query: &str, now: DateTime<Utc>) -> Result<Vec<u8>, Refusal> {
        (self.answer)(info, query, now)
    }
}

#[derive(Serialize, JsonSchema)]
struct Metadata<'a> {
    api_base_url: &'a str,
    environment: &'static str,
    supported_api_versions: [&'static str; 1],
    default_api_version: &'static str,
    version: &'static str,
    timestamp: Iso,
    /// The bare public key (PEM), where the vendor's cloud sends a certificate. Nobody could vouch for a certificate that
    /// this server made, and clients accept either.
    pub_key: &'a str,
    endpoints: Vec<Endpoint>,
}

#[derive(Serialize, JsonSchema)]
struct Endpoint {
    method: &'static str,
    url: String,
}

fn metadata(info: &ServiceInfo, now: DateTime<Utc>) -> Metadata<'_> {
    let endpoint = |method: Method, path: &str| Endpoint {
        method: if method == Method::Get { "GET" } else { "POST" },
        url: format!("{}{path}", info.base_url),
    };
    Metadata {
        api_base_url: &info.base_url,
        environment: "floatlease-server",
        supported_api_versions: ["v4"],
        default_api_version: "v4",
        version: env!("CARGO_PKG_VERSION"),
        timestamp: Iso(now),
        pub_key: &info.public_key,
        endpoints: OPERATIONS.iter().map(|operation| endpoint(operation.method, operation.path)).collect(),
    }
}

#[derive(Serialize, JsonSchema)]
struct OauthUrl {
    url: String,
    login_type: &'static str,
}

/// Names the token endpoint.
fn oauth_url(info: &ServiceInfo, query: &str) -> Result<OauthUrl, Refusal> {
    let login_type = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "login_type");
    match login_type.as_ref().map(|(_, value)| value.as_ref()) {
        None => Err(Refusal::MissingParameters("login_type".to_owned())),
        Some(CLIENT_CREDENTIALS) => Ok(OauthUrl { url: info.oauth_url.clone(), login_type: CLIENT_CREDENTIALS }),
        Some(_) => Err(Refusal::ValidationError(format!("login_type is invalid; send {CLIENT_CREDENTIALS}"))),
    }
}
