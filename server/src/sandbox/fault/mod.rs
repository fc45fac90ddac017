//! Faults: what goes wrong with a request, for which requests, and when.

mod alter;
mod before;
mod delay;
mod list;
mod profile;
mod wire;

use std::collections::BTreeMap;

use floatlease::operations::OPERATIONS;
use floatlease::status::{STATUSES, Status};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(super) use alter::alter;
pub(super) use before::before;
pub(super) use delay::Delay;
pub(super) use list::{FaultEntry, FaultList, MatchedFault};
pub(super) use profile::Profile;
pub(super) use wire::wire_actions;

use super::control_error::ControlError;
use super::request_info::{RequestInfo, TOKEN_REQUEST};
use super::strict_json::object;
use super::time_spec::schema_of_optional_instant;

/// A fault: what goes wrong, when, and for which requests.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Fault {
    /// The requests that the fault is for. Default: all requests.
    #[serde(rename = "match", default, deserialize_with = "object", skip_serializing_if = "Match::is_all")]
    pub(super) matching: Match,
    /// The choice among the requests that match. Default: all of them.
    #[serde(default, deserialize_with = "object", skip_serializing_if = "When::is_always")]
    pub(super) when: When,
    /// The phase, and what goes wrong in it.
    #[serde(rename = "do")]
    pub(super) action: FaultAction,
}

/// Conditions on a request. All members must match.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Match {
    /// The operation's name, for example `borrow_license`. `oauth_token` stands for a request for an access token.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = operations()))]
    pub(super) operation: Option<String>,
    /// The license key in the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) license_key: Option<String>,
    /// The user in the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) username: Option<String>,
    /// The device in the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) hardware_id: Option<String>,
    /// The feature in the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) feature: Option<String>,
    /// Headers with exactly these values. Names are in any case.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) header: BTreeMap<String, String>,
}

/// Which of the requests that match. The conditions are asked in the order `after`, `until`, `every`, `probability`,
/// `times`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct When {
    /// Number of matching requests that pass unharmed first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) after: Option<u64>,
    /// Number of times that the fault happens at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) times: Option<u64>,
    /// The fault happens to each nth matching request only.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub(super) every: Option<u64>,
    /// The probability with which the fault happens, from 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1))]
    pub(super) probability: Option<f64>,
    /// The seed of the random numbers for `probability` and random delays. Default: a random seed, which the reply shows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) seed: Option<u64>,
    /// The fault's end in the world's time: a date, or `now+10m`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema_of_optional_instant")]
    pub(super) until: Option<String>,
}

/// The phase of a request, and what goes wrong in it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FaultAction {
    /// A fault in place of the operation. The operation is carried out only if the fault is a delay.
    Before(Before),
    /// A fault after the operation was carried out and kept: the reply is lost, late or damaged on the wire.
    AfterCommit(AfterCommit),
    /// A change to a reply that arrives whole. JSON that was changed is signed with the server's key.
    Reply(Alter),
}

/// A reply or a connection failure in place of the operation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Before {
    /// A refusal with this documented code.
    Code(#[schemars(extend("enum" = documented_codes()))] String),
    /// A refusal with a code that is not documented.
    UndocumentedCode(String),
    /// A refusal of the token endpoint, as RFC 6749 words it. `invalid_client` has the status 401, every other one 400.
    OauthError(OauthError),
    /// An HTTP error without an API body, as load balancers send it.
    #[serde(deserialize_with = "object")]
    Http(Http),
    /// A page of a captive portal, with status 200.
    HtmlPage,
    /// A redirect to this URL.
    Redirect(#[schemars(regex(pattern = "^[!-~]+$"))] String),
    /// The operation is carried out later, even if the client has given up meanwhile.
    Delay(Delay),
    /// No reply at all: the connection stays open and silent.
    Hang,
    /// The connection is reset.
    Refuse,
}

/// A refusal of the token endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OauthError {
    /// The client is unknown, or its secret is wrong.
    InvalidClient,
    /// The client may not use client credentials.
    UnauthorizedClient,
}

/// An HTTP error.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Http {
    /// 407, 429, 500, 502, 503 or 504.
    #[schemars(extend("enum" = HTTP_STATUSES))]
    pub(super) status: u16,
    /// The seconds in a `Retry-After` header. Default: no header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) retry_after_s: Option<u32>,
}

/// A failure of the reply after the operation was carried out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AfterCommit {
    /// The connection is closed without a reply.
    Close,
    /// The connection is reset (RST) without a reply.
    Reset,
    /// Half of the reply's body is sent, then the connection is closed.
    Truncate,
    /// The reply is sent in small pieces.
    #[serde(deserialize_with = "object")]
    Dribble(Dribble),
    /// `Content-Length` is wrong by this number of bytes. If it is too large, the client waits for the rest. If it is too
    /// small, the rest arrives where the client expects the next reply.
    WrongLength(#[schemars(extend("not" = { "const": 0 }))] i64),
    /// The reply is sent later.
    Delay(Delay),
}

/// A reply in small pieces.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Dribble {
    /// Number of bytes in a piece.
    #[schemars(range(min = 1))]
    pub(super) bytes: u32,
    /// Milliseconds between two pieces.
    pub(super) every_ms: u32,
}

/// A change to a reply that arrives whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Alter {
    /// The `LicenseSignature` header is missing.
    SignatureMissing,
    /// The signature is not a valid one.
    SignatureGarbage,
    /// Everything is signed with the key of another server.
    SignatureOfAnotherKey,
    /// The signature is that of another reply of this server.
    SignatureOfAnotherBody,
    /// One byte of the body differs from what was signed.
    FlippedByte,
    /// The body ends in the middle of its JSON.
    JsonBroken,
    /// This member is missing.
    MemberMissing(String),
    /// This member is null.
    MemberNull(String),
    /// This member is an object, whatever its type should be.
    MemberWrongType(String),
    /// There is an additional, unknown member.
    MemberUnknown,
    /// Two megabytes of white space precede the body.
    Huge,
    /// The world's previous reply is sent in place of this one. The operation is carried out.
    Replay,
}

impl Match {
    fn is_all(&self) -> bool {
        *self == Match::default()
    }

    fn fits(&self, info: &RequestInfo) -> bool {
        let same = |wanted: &Option<String>, given: Option<&str>| wanted.is_none() || wanted.as_deref() == given;
        same(&self.operation, info.operation)
            && same(&self.license_key, info.text("license_key"))
            && same(&self.username, info.text("username"))
            && same(&self.hardware_id, info.text("hardware_id"))
            && same(&self.feature, info.text("feature"))
            && self.header.iter().all(|(name, value)| info.header(name) == Some(value))
    }
}

impl When {
    fn is_always(&self) -> bool {
        *self == When::default()
    }
}

impl Fault {
    /// A fault for every request.
    pub(super) fn always(action: FaultAction) -> Fault {
        Fault { matching: Match::default(), when: When::default(), action }
    }

    /// Checks what the types can't express.
    fn check(&self) -> Result<(), ControlError> {
        let operation = self.matching.operation.as_deref();
        if let Some(unknown) = operation.filter(|name| !operations().contains(&Some(name))) {
            let names: Vec<&str> = operations().into_iter().flatten().collect();
            return Err(ControlError::invalid(format!(
                "`match.operation`: unknown operation {unknown:?}, expected one of {}",
                names.join(", ")
            )));
        }
        let when = &self.when;
        if when.probability.is_some_and(|probability| !(0.0..=1.0).contains(&probability)) {
            return Err(ControlError::invalid("`when.probability` must be from 0 to 1"));
        }
        if when.every == Some(0) {
            return Err(ControlError::invalid("`when.every` must be at least 1"));
        }
        match &self.action {
            FaultAction::Before(Before::Code(code)) if Status::of_server_code(code) == Status::UnknownCode => {
                let message = format!(
                    "`do.before.code`: {code:?} is not documented; use `undocumented_code`, or one of {}",
                    documented_codes().join(", ")
                );
                Err(ControlError::invalid(message))
            }
            FaultAction::Before(Before::Http(http)) if !HTTP_STATUSES.contains(&http.status) => {
                let list = HTTP_STATUSES.map(|status| status.to_string()).join(", ");
                Err(ControlError::invalid(format!("`do.before.http.status` must be one of {list}")))
            }
            FaultAction::Before(Before::Redirect(url))
                if url.is_empty() || !url.bytes().all(|byte| byte.is_ascii_graphic()) =>
            {
                Err(ControlError::invalid("`do.before.redirect` must be a URL"))
            }
            FaultAction::AfterCommit(AfterCommit::Dribble(dribble)) if dribble.bytes == 0 => {
                Err(ControlError::invalid("`do.after_commit.dribble.bytes` must be at least 1"))
            }
            FaultAction::AfterCommit(AfterCommit::WrongLength(0)) => Err(ControlError::invalid(
                "`do.after_commit.wrong_length` must not be 0, which leaves the length right",
            )),
            FaultAction::Before(Before::Delay(delay)) | FaultAction::AfterCommit(AfterCommit::Delay(delay)) => {
                delay.check()
            }
            _ => Ok(()),
        }
    }
}

/// Returns the names of all operations, and `None`, which stands for any.
fn operations() -> Vec<Option<&'static str>> {
    OPERATIONS.iter().map(|operation| Some(operation.name)).chain([Some(TOKEN_REQUEST), None]).collect()
}

fn documented_codes() -> Vec<&'static str> {
    STATUSES.iter().map(|status| status.row().server_code).filter(|code| !code.is_empty()).collect()
}

/// HTTP statuses that proxies and load balancers answer in place of the server.
const HTTP_STATUSES: [u16; 6] = [407, 429, 500, 502, 503, 504];

impl FaultAction {
    /// Returns the fault's name for the `X-Sandbox-Fault` header, for example `after_commit.truncate`.
    pub(super) fn name(&self) -> String {
        let json = serde_json::to_value(self).unwrap_or_default();
        let phase = json.as_object().and_then(|object| object.iter().next());
        let name = phase.map(|(phase, kind)| {
            let of_object = || kind.as_object().and_then(|kind| kind.keys().next()).map(String::as_str);
            format!("{phase}.{}", kind.as_str().or_else(of_object).unwrap_or_default())
        });
        name.unwrap_or_default()
    }
}
