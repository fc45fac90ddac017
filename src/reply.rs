//! Judging a reply: a yes only if it is proven, a no only if the API said it, and a name for everything else.

use crate::error::{Error, Outcome};
use crate::http;
use crate::model;
use crate::operations::Reply as Expected;
use crate::request::Request;
use crate::secret::Secret;
use crate::status::Status;
use crate::verify::PublicKey;
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::time::Duration;

/// The reply's text for the host, or why it must not be believed.
pub(crate) fn judge(request: &Request, reply: &http::Reply, key: Option<&PublicKey>) -> Result<String, Error> {
    let answer = match reply.status {
        200 => yes(request, reply, key),
        204 => Err(doubt(Status::ReplyEmpty)),
        300..=399 => Err(doubt(Status::ReplyRedirect)),
        407 => Err(Error::new(Status::ProxyAuth)),
        429 => Err(Error { outcome: Outcome::Rejected, ..Error::new(Status::RateLimited) }),
        400.. => Err(no(reply)),
        _ => Err(doubt(Status::ReplyNotApi)),
    };
    answer.map_err(|error| Error {
        http_status: Some(reply.status),
        retry_after: reply.retry_after.as_deref().and_then(|text| retry_after(text, reply.date.as_deref())),
        ..error
    })
}

/// A failure after which nobody knows what the server did.
fn doubt(status: Status) -> Error {
    Error { outcome: Outcome::Unknown, ..Error::new(status) }
}

/// The error body of the API; anything else with such a status did not come from it.
#[derive(Deserialize)]
struct Refusal {
    code: String,
    #[serde(default)]
    message: String,
}

fn no(reply: &http::Reply) -> Error {
    let Ok(refusal) = serde_json::from_slice::<Refusal>(&reply.body) else {
        return doubt(if reply.status >= 500 { Status::ServerError } else { Status::ReplyNotApi });
    };
    let outcome = if reply.status >= 500 { Outcome::Unknown } else { Outcome::Rejected };
    let words: String = refusal.message.chars().filter(|c| !c.is_control()).take(300).collect();
    Error {
        outcome,
        detail: (!words.is_empty()).then(|| format!("The server says: {words}")),
        server_code: Some(refusal.code.chars().filter(|c| !c.is_control()).take(100).collect()),
        ..Error::new(Status::of_server_code(&refusal.code))
    }
}

fn yes(request: &Request, reply: &http::Reply, key: Option<&PublicKey>) -> Result<String, Error> {
    let text = std::str::from_utf8(&reply.body).map_err(|_| doubt(Status::ReplyNotApi))?;
    let bare = text.trim();
    match request.operation.reply {
        // The API answers nothing; a member more is no harm, a page of HTML is.
        Expected::Empty if bare.is_empty() => Ok("{}".to_owned()),
        Expected::Empty => require_json(text).map(|()| text.to_owned()),
        Expected::Text(expected) if bare.trim_matches('"') == expected => Ok(format!(r#"{{"message":"{expected}"}}"#)),
        Expected::Text(_) => Err(doubt(Status::ReplyNotApi)),
        Expected::Signed | Expected::License if bare.is_empty() => Err(doubt(Status::ReplyEmpty)),
        Expected::Signed => prove(request, reply, text, key, false),
        Expected::License => prove(request, reply, text, key, true),
    }
}

/// Both signatures: v2 over the very bytes, v1 over what the reply is about.
fn prove(
    request: &Request,
    reply: &http::Reply,
    text: &str,
    key: Option<&PublicKey>,
    has_v1: bool,
) -> Result<String, Error> {
    let json = require_json(text);
    let Some(key) = key else {
        return json.map(|()| text.to_owned());
    };
    let Some(signature) = &reply.signature else {
        // An HTML page lacks a signature too, but that is not what is wrong with it.
        return Err(json.err().unwrap_or_else(|| doubt(Status::ReplyUnsigned)));
    };
    let v1 = has_v1 && proves_v1(request, text, key);
    match (key.verifies(&reply.body, signature), has_v1, v1) {
        (true, false, _) | (true, true, true) => json.map(|()| text.to_owned()),
        (true, true, false) => Err(doubt(Status::ReplyNotOurs)),
        (false, true, true) => Err(doubt(Status::ReplyAltered)),
        (false, ..) => Err(doubt(Status::ReplySignature)),
    }
}

/// An object or an array, whole.
fn require_json(text: &str) -> Result<(), Error> {
    match serde_json::from_str::<IgnoredAny>(text) {
        Ok(_) if text.trim_start().starts_with(['{', '[']) => Ok(()),
        Err(error) if error.is_eof() => Err(doubt(Status::ReplyTruncated)),
        Ok(_) | Err(_) => Err(doubt(Status::ReplyNotApi)),
    }
}

/// What a v1 signature covers of a license object, and the signature.
#[derive(Deserialize)]
struct SignedLicense {
    license_signature: String,
    validity_period: Option<String>,
    user: Option<User>,
}

#[derive(Deserialize)]
struct User {
    email: String,
}

/// Whether `license_signature` binds the reply to the device and the license that were asked about.
fn proves_v1(request: &Request, text: &str, key: &PublicKey) -> bool {
    let Ok(license) = serde_json::from_str::<SignedLicense>(text) else {
        return false;
    };
    // Activated by an SSO token, the license is its user's.
    let auth = request.auth.as_ref().map(Secret::expose).or(license.user.as_ref().map(|user| user.email.as_str()));
    auth.is_some_and(|auth| {
        let signed = model::v1_text(&request.hardware_id, auth, license.validity_period.as_deref());
        key.verifies(signed.as_bytes(), &license.license_signature)
    })
}

/// `Retry-After`: seconds, or a date to be compared with the server's own.
fn retry_after(text: &str, server_date: Option<&str>) -> Option<Duration> {
    if let Ok(seconds) = text.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let (then, now) = (model::parse_http_date(text)?, model::parse_http_date(server_date?)?);
    (then - now).to_std().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date_of_the_servers_clock() {
        assert_eq!(retry_after("120", None), Some(Duration::from_secs(120)));
        let (now, then) = ("Thu, 01 Jan 2026 00:00:00 GMT", "Thu, 01 Jan 2026 00:00:30 GMT");
        assert_eq!(retry_after(then, Some(now)), Some(Duration::from_secs(30)));
        assert_eq!(retry_after(then, None), None);
        assert_eq!(retry_after("-1", None), None);
        assert_eq!(retry_after(now, Some(then)), None, "already past");
    }
}
