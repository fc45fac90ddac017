//! Judges a reply. A success counts only if it is verified, and a refusal only if it is the API's. Every other reply
//! gets a status of its own.

use crate::body_signature;
use crate::config::Config;
use crate::error::{Error, Outcome};
use crate::http;
use crate::model;
use crate::operations::Reply as Expected;
use crate::request::Request;
use crate::secret::{Secret, redacted};
use crate::status::Status;
use crate::strict::Object;
use crate::verify::PublicKey;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::time::Duration;

/// Returns the reply's text for the host, or the error.
///
/// `token` is the access token of the request, which no message may show.
pub(crate) fn judge(
    request: &Request,
    reply: &http::Reply,
    config: &Config,
    token: Option<&Secret>,
) -> Result<String, Error> {
    let answer = match reply.status {
        200..=499 if names_another_request(request, reply) => Err(unknown_outcome(Status::ReplyNotOurs)),
        200 => judge_success(request, reply, config.public_key.as_ref()),
        204 if request.operation.reply == Expected::Empty => Ok("{}".to_owned()),
        204 => Err(unknown_outcome(Status::ReplyEmpty)),
        300..=399 => Err(unknown_outcome(Status::ReplyRedirect)),
        // This is not the proxy of the config or the environment, which `http` knows. What lies before it is not known.
        407 => Err(unknown_outcome(Status::ProxyAuth)),
        429 => Err(Error::new(Status::RateLimited).with_outcome(Outcome::Rejected)),
        400.. => Err(refusal_error(request, reply, config, token)),
        _ => Err(unknown_outcome(Status::ReplyNotApi)),
    };
    answer.map_err(|error| noted(error, reply))
}

/// Adds to an error what the reply's status and headers say.
pub(crate) fn noted(mut error: Error, reply: &http::Reply) -> Error {
    error.http_status = Some(reply.status);
    error.retry_after = reply.retry_after.as_deref().and_then(|text| retry_after(text, reply.date.as_deref()));
    error
}

/// Returns the members of a stored reply, if the reply still verifies as it did when it arrived.
pub(crate) fn judge_kept(
    request: &Request,
    body: &str,
    signature: Option<&str>,
    config: &Config,
) -> Result<Object, Error> {
    let reply = http::Reply {
        status: 200,
        body: body.as_bytes().to_vec(),
        signature: signature.map(str::to_owned),
        idempotency_key: None,
        order: None,
        date: None,
        retry_after: None,
    };
    parsed(&judge(request, &reply, config, None)?)
}

/// Returns the license in the file of an offline activation, if it is genuine, and for the device and license of the
/// request.
pub(crate) fn judge_offline(request: &Request, text: &str, key: Option<&PublicKey>) -> Result<Object, Error> {
    let license = verified_inside(text, key)?;
    let device = license.get("hardware_id").and_then(Value::as_str);
    let is_for_device = device.is_none_or(|device| device == request.hardware_id);
    let is_proven = key.is_none_or(|key| proves_v1(request, &license, key));
    if is_for_device && is_proven && request.is_about(&license) {
        Ok(license)
    } else {
        Err(unknown_outcome(Status::ReplyNotOurs))
    }
}

/// Returns true if the reply repeats the key or the number of another request. Then a proxy on the way has stored that
/// request's reply.
fn names_another_request(request: &Request, reply: &http::Reply) -> bool {
    let another_key = reply.idempotency_key.is_some() && reply.idempotency_key != request.idempotency_key;
    // A refusal may name a higher number: that of the request that came first.
    let is_refusal = reply.status >= 400;
    let another_number =
        reply.order.is_some_and(|heard| request.order.is_none_or(|said| heard < said || heard > said && !is_refusal));
    another_key || another_number
}

/// Makes an error after which it is unknown what the server did.
fn unknown_outcome(status: Status) -> Error {
    Error::new(status).with_outcome(Outcome::Unknown)
}

/// Maximum length of the server's words in a message.
pub(crate) const MAX_SERVER_WORDS: usize = 300;

/// Returns a server's text as a message may show it. A server, or an attacker in its place, may echo a secret.
pub(crate) fn sanitized(secrets: &[&Secret], text: &str, longest: usize) -> String {
    redacted(secrets, text).chars().filter(|c| !c.is_control()).take(longest).collect()
}

/// Returns the error of a reply whose status is 400 or higher.
fn refusal_error(request: &Request, reply: &http::Reply, config: &Config, token: Option<&Secret>) -> Error {
    let body = std::str::from_utf8(&reply.body).ok().and_then(|body| parsed::<Object>(body).ok()).unwrap_or_default();
    let text = |member: &str| body.get(member).and_then(Value::as_str);
    // The error body of the API has a code. A body without one did not come from the API.
    let Some(code) = text("code") else {
        return unknown_outcome(if reply.status >= 500 { Status::ServerError } else { Status::ReplyNotApi });
    };
    // A 5xx may come from a gateway, and leaves the outcome unknown even if its code is the API's.
    let (status, outcome) = match Status::of_server_code(code) {
        // The server refuses the connection before it reads a request. No gateway has this code of its own.
        _ if reply.status == 503 && code == model::TOO_MANY_CONNECTIONS => (Status::Connect, Outcome::Rejected),
        Status::UnknownCode if reply.status >= 500 => (Status::ServerError, Outcome::Unknown),
        status if reply.status >= 500 => (status, Outcome::Unknown),
        // With any HTTP status, a server that failed may have failed after it carried out the request.
        Status::ServerInternalError => (Status::ServerInternalError, Outcome::Unknown),
        // The server may have come to this limit after it carried the request out for other licenses of the bundle.
        status if request.operation.is_of_bundle() && is_limit(status) => (status, Outcome::Unknown),
        status => (status, Outcome::Rejected),
    };
    let outdated = reply.order.filter(|highest| request.order.is_some_and(|own| own < *highest));
    if outdated.is_some() && status != Status::OrderOutdated {
        return unknown_outcome(Status::ReplyNotOurs);
    }
    let known = status.row().server_code == code;
    let mut secrets = config.secrets();
    secrets.extend(&request.secrets);
    secrets.extend(token);
    let words = sanitized(&secrets, text("message").unwrap_or_default(), MAX_SERVER_WORDS);
    let mut error = Error::new(status).with_outcome(outcome);
    error.detail = (!words.is_empty()).then(|| format!("The server says: {words}"));
    if status == Status::LicenseNotFound && request.is_by_key {
        // The words that the API documents for this code are about a user, so what was not found is said before them.
        let said = error.detail.take().unwrap_or_default();
        let about = about_key(request.auth.as_ref().map_or("", Secret::expose));
        error.detail = Some([about, said].join(" ").trim().to_owned());
    }
    // A known code of the API is never a secret.
    error.server_code = Some(if known { code.to_owned() } else { sanitized(&secrets, code, 100) });
    error.highest_order = outdated;
    error
}

/// Returns true if one license has reached a limit, which says nothing about others.
fn is_limit(status: Status) -> bool {
    matches!(
        status,
        Status::FloatingNotAvailable
            | Status::LicenseActivatedMaxTimes
            | Status::LicenseTransferredMaxTimes
            | Status::LicenseUserActivatedMaxTimes
    )
}

/// Says which license key was not found, as far as that helps and tells no secret.
fn about_key(key: &str) -> String {
    let looks = if key.contains(' ') {
        " It has a blank in it."
    } else if key.contains(|c: char| c.is_lowercase()) && !key.contains(|c: char| c.is_uppercase()) {
        " It is in lower case, and most keys are in capitals."
    } else {
        ""
    };
    format!("The server knows no such license key for this product.{looks}")
}

/// Returns the text of a reply with status 200, if it is verified.
fn judge_success(request: &Request, reply: &http::Reply, key: Option<&PublicKey>) -> Result<String, Error> {
    let text = std::str::from_utf8(&reply.body).map_err(|_| unknown_outcome(Status::ReplyNotApi))?;
    let trimmed = text.trim();
    match request.operation.reply {
        // The API sends no body here, and its schema allows an empty string too. Any other body, such as a gateway's
        // {"error":…}, does not come from the server.
        Expected::Empty if EMPTY_BODIES.contains(&trimmed) => Ok("{}".to_owned()),
        Expected::Empty => Err(unknown_outcome(Status::ReplyNotApi)),
        Expected::Text(expected) if trimmed.trim_matches('"') == expected => {
            Ok(format!(r#"{{"message":"{expected}"}}"#))
        }
        Expected::Text(_) => Err(unknown_outcome(Status::ReplyNotApi)),
        _ if trimmed.is_empty() => Err(unknown_outcome(Status::ReplyEmpty)),
        Expected::Signed(members) => {
            let answer: Object = verified(reply, text, key, || false)?;
            if has_all(&answer, members) && request.is_echoed_by(&answer) {
                Ok(text.to_owned())
            } else {
                Err(unknown_outcome(Status::ReplyNotOurs))
            }
        }
        Expected::List(members) => {
            let items: Vec<Object> = verified(reply, text, key, || false)?;
            if items.iter().all(|item| has_all(item, members)) {
                Ok(as_object(trimmed))
            } else {
                Err(unknown_outcome(Status::ReplyNotOurs))
            }
        }
        Expected::Licenses => {
            let licenses: Vec<Object> = verified(reply, text, key, || false)?;
            let of_bundle = request.operation.is_of_bundle();
            // The licenses of a bundle have the key or the user of the request; those of a device have their own.
            let proves = if of_bundle { proves_v1 } else { proves_v1_by_own_key };
            let proven = |license| key.is_none_or(|key| proves(request, license, key));
            let is_meant =
                |license: &Object| license.contains_key("id") && (!of_bundle || request.is_about_id(license));
            let complete = !of_bundle || !licenses.is_empty();
            if complete && licenses.iter().all(|license| is_meant(license) && proven(license)) {
                Ok(as_object(trimmed))
            } else {
                Err(unknown_outcome(Status::ReplyNotOurs))
            }
        }
        // The file is of another device as a rule, which compares it with its own request.
        Expected::OfflineLicense => verified_inside(text, key).map(|_| text.to_owned()),
        Expected::License => {
            let v1 = |key: &PublicKey| parsed(text).is_ok_and(|license| proves_v1(request, &license, key));
            let license: Object = verified(reply, text, key, || key.is_some_and(v1))?;
            if request.is_about(&license) && key.is_none_or(|key| proves_v1(request, &license, key)) {
                Ok(text.to_owned())
            } else {
                Err(unknown_outcome(Status::ReplyNotOurs))
            }
        }
    }
}

/// The bodies that count as empty with status 200.
const EMPTY_BODIES: [&str; 3] = ["", "\"\"", "{}"];

/// Returns true if the object has each of these members: an id, a name, a date or an amount. `customer.email` is a member
/// of a member.
fn has_all(answer: &Object, members: &[&str]) -> bool {
    let plain = |value: &Value| value.is_string() || value.is_number();
    members.iter().all(|member| {
        let mut names = member.split('.');
        let outermost = names.next().and_then(|name| answer.get(name));
        names.fold(outermost, |value, name| value?.get(name)).is_some_and(plain)
    })
}

/// Makes an object of an array, because every reply to the host is an object.
fn as_object(array: &str) -> String {
    format!(r#"{{"items":{array}}}"#)
}

/// Returns the object or the array in a reply, if its v2 signature covers these bytes.
///
/// `has_valid_v1` is asked only if the v2 signature is invalid. If the signature inside the object is valid, the key
/// is the right one, and the body was altered.
fn verified<T: DeserializeOwned>(
    reply: &http::Reply,
    text: &str,
    key: Option<&PublicKey>,
    has_valid_v1: impl FnOnce() -> bool,
) -> Result<T, Error> {
    let answer = parsed(text);
    let Some(key) = key else {
        return answer;
    };
    match &reply.signature {
        // An HTML page has no signature either, but its error is that it is not JSON.
        None => Err(answer.err().unwrap_or_else(|| unknown_outcome(Status::ReplyUnsigned))),
        Some(signature) if key.verifies(&reply.body, signature) => answer,
        Some(_) if has_valid_v1() => Err(unknown_outcome(Status::ReplyAltered)),
        Some(_) => Err(unknown_outcome(Status::ReplySignature)),
    }
}

/// Returns the object in a text, if the v2 signature inside of it covers the rest.
fn verified_inside(text: &str, key: Option<&PublicKey>) -> Result<Object, Error> {
    let object = parsed(text)?;
    match key.map(|key| body_signature::verifies(key, text)) {
        None | Some(Some(true)) => Ok(object),
        Some(None) => Err(unknown_outcome(Status::ReplyUnsigned)),
        Some(Some(false)) => Err(unknown_outcome(Status::ReplySignature)),
    }
}

/// Parses a text as a JSON object, or as an array of objects.
pub(crate) fn parsed<T: DeserializeOwned>(text: &str) -> Result<T, Error> {
    serde_json::from_str(text)
        .map_err(|error| unknown_outcome(if error.is_eof() { Status::ReplyTruncated } else { Status::ReplyNotApi }))
}

/// Returns true if `license_signature` binds the license to the device and the credentials of the request.
fn proves_v1(request: &Request, license: &Object, key: &PublicKey) -> bool {
    proves_v1_by(request.auth.as_ref().map(Secret::expose), request, license, key)
}

/// Returns true if `license_signature` binds the license to the device of the request, by the license's own key or user.
fn proves_v1_by_own_key(request: &Request, license: &Object, key: &PublicKey) -> bool {
    proves_v1_by(license.get("license_key").and_then(Value::as_str), request, license, key)
}

fn proves_v1_by(auth: Option<&str>, request: &Request, license: &Object, key: &PublicKey) -> bool {
    let text = |member: &str| license.get(member).and_then(Value::as_str);
    // After an activation by SSO, the signature covers the user's e-mail address.
    let user = license.get("user").and_then(|user| user.get("email")).and_then(Value::as_str);
    let (Some(auth), Some(signature)) = (auth.or(user), text("license_signature")) else {
        return false;
    };
    let signed = model::v1_text(&request.hardware_id, auth, text("validity_period"));
    key.verifies(signed.as_bytes(), signature)
}

/// Upper limit for `Retry-After`. A longer pause is a mistake or an attack.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// Reads `Retry-After`: seconds, or a date that is compared with the date of the same reply.
fn retry_after(text: &str, server_date: Option<&str>) -> Option<Duration> {
    if let Ok(seconds) = text.trim().parse() {
        return Some(Duration::from_secs(seconds).min(MAX_RETRY_AFTER));
    }
    let (then, now) = (model::parse_http_date(text)?, model::parse_http_date(server_date?)?);
    Some((then - now).to_std().ok()?.min(MAX_RETRY_AFTER))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_of_members_are_looked_for() {
        let answer: Object = serde_json::from_str(r#"{"user":{"id":7,"email":null},"license":[],"name":"n"}"#).unwrap();
        assert!(has_all(&answer, &["user.id", "name"]));
        for missing in ["user", "user.email", "user.id.id", "license.id", "other.id", "user."] {
            assert!(!has_all(&answer, &["user.id", missing]), "{missing}");
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date_of_the_servers_clock() {
        assert_eq!(retry_after("120", None), Some(Duration::from_secs(120)));
        assert_eq!(retry_after("18446744073709551615", None), Some(MAX_RETRY_AFTER));
        let (now, then) = ("Thu, 01 Jan 2026 00:00:00 GMT", "Thu, 01 Jan 2026 00:00:30 GMT");
        assert_eq!(retry_after(then, Some(now)), Some(Duration::from_secs(30)));
        assert_eq!(retry_after(then, None), None);
        assert_eq!(retry_after("-1", None), None);
        assert_eq!(retry_after(now, Some(then)), None, "already past");
    }
}
