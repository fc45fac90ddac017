//! Where users of single sign-on sign in, as JSON: the reply of `sso_url`.

use schemars::JsonSchema;
use serde::Serialize;

use super::Body;
use crate::catalogue::SingleSignOn;

/// Makes the reply of `sso_url`, which depends on the catalogue alone.
///
/// # Errors
/// None at present, since every type in it can be written as JSON.
pub fn sso_url(sign_on: &SingleSignOn, redirect_uri: &str, response_type: &str) -> serde_json::Result<Body> {
    let default = sign_on.redirect_uris.first();
    let alternate = |uri: &String| AlternateUrl {
        url: sign_on.sign_in_url(response_type, uri),
        redirect_uri: uri.clone(),
        is_default: Some(uri) == default,
    };
    let body = SsoUrl {
        url: sign_on.sign_in_url(response_type, redirect_uri),
        openid_configuration: OpenidConfiguration {
            issuer: &sign_on.issuer,
            authorization_endpoint: &sign_on.authorization_endpoint,
            token_endpoint: &sign_on.token_endpoint,
            end_session_endpoint: &sign_on.end_session_endpoint,
            introspection_endpoint: &sign_on.introspection_endpoint,
        },
        alternate_urls: sign_on.redirect_uris.iter().map(alternate).collect(),
    };
    serde_json::to_vec(&body).map(Body::Json)
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "SsoUrl")]
pub(super) struct SsoUrl<'a> {
    url: String,
    openid_configuration: OpenidConfiguration<'a>,
    alternate_urls: Vec<AlternateUrl>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "OpenidConfiguration")]
struct OpenidConfiguration<'a> {
    issuer: &'a str,
    authorization_endpoint: &'a str,
    token_endpoint: &'a str,
    end_session_endpoint: &'a str,
    introspection_endpoint: &'a str,
}

// One for each address that a user may come back to.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "AlternateUrl")]
struct AlternateUrl {
    url: String,
    redirect_uri: String,
    is_default: bool,
}
