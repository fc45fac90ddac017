//! Judging a reply: a yes only if it is proven, a no only if the API said it, and a name for everything else.

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
use serde_json::Value;
use std::time::Duration;

/// The reply's text for the host, or why it must not be believed.
pub(crate) fn judge(request: &Request, reply: &http::Reply, config: &Config) -> Result<String, Error> {
    let answer = match reply.status {
        200..=499 if names_another_request(request, reply) => Err(doubt(Status::ReplyNotOurs)),
        200 => yes(request, reply, config.public_key.as_ref()),
        204 if request.operation.reply == Expected::Empty => Ok("{}".to_owned()),
        204 => Err(doubt(Status::ReplyEmpty)),
        300..=399 => Err(doubt(Status::ReplyRedirect)),
        // Proxies are asked to tunnel, so this one answered a request that had left.
        407 => Err(doubt(Status::ProxyAuth)),
        429 => Err(Error::new(Status::RateLimited).with_outcome(Outcome::Rejected)),
        400.. => Err(no(request, reply, config)),
        _ => Err(doubt(Status::ReplyNotApi)),
    };
    answer.map_err(|mut error| {
        error.http_status = Some(reply.status);
        error.retry_after = reply.retry_after.as_deref().and_then(|text| retry_after(text, reply.date.as_deref()));
        error
    })
}

/// The license in a reply that was kept, if it proves now what it proved when it came.
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
    object(&judge(request, &reply, config)?)
}

/// Whether the reply repeats the key or the number of another request. Then something between here and the server has
/// kept it for that one.
fn names_another_request(request: &Request, reply: &http::Reply) -> bool {
    let another_key = reply.idempotency_key.is_some() && reply.idempotency_key != request.idempotency_key;
    // A refusal may name a higher number: the one that came first.
    let is_refusal = reply.status >= 400;
    let another_number =
        reply.order.is_some_and(|heard| request.order.is_none_or(|said| heard < said || heard > said && !is_refusal));
    another_key || another_number
}

/// A failure after which nobody knows what the server did.
fn doubt(status: Status) -> Error {
    Error::new(status).with_outcome(Outcome::Unknown)
}

/// What of a server's words goes into a message.
const LONGEST_WORDS: usize = 300;

fn no(request: &Request, reply: &http::Reply, config: &Config) -> Error {
    let refusal = std::str::from_utf8(&reply.body).ok().and_then(|body| object(body).ok()).unwrap_or_default();
    let text = |member: &str| refusal.get(member).and_then(Value::as_str);
    // The error body of the API has a code; anything else with such a status did not come from it.
    let Some(code) = text("code") else {
        return doubt(if reply.status >= 500 { Status::ServerError } else { Status::ReplyNotApi });
    };
    // To a gateway's JSON a 5xx is what it is to everybody else; and then nobody knows what the server did.
    let (status, outcome) = match Status::of_server_code(code) {
        Status::UnknownCode if reply.status >= 500 => (Status::ServerError, Outcome::Unknown),
        status if reply.status >= 500 => (status, Outcome::Unknown),
        // Whatever the status of the reply, a server that failed may have failed after it had done it.
        Status::ServerInternalError => (Status::ServerInternalError, Outcome::Unknown),
        status => (status, Outcome::Rejected),
    };
    // A server, or what poses as one, may echo anything; a code of the API is none of that.
    let presentable = |text: &str, longest: usize| -> String {
        let text = redacted(request.secrets.iter().chain(config.secrets()), text);
        text.chars().filter(|c| !c.is_control()).take(longest).collect()
    };
    let outdated = reply.order.filter(|highest| request.order.is_some_and(|own| own < *highest));
    if outdated.is_some() && status != Status::OrderOutdated {
        return doubt(Status::ReplyNotOurs);
    }
    let known = status.row().server_code == code;
    let words = presentable(text("message").unwrap_or_default(), LONGEST_WORDS);
    let mut error = Error::new(status).with_outcome(outcome);
    error.detail = (!words.is_empty()).then(|| format!("The server says: {words}"));
    error.server_code = Some(if known { code.to_owned() } else { presentable(code, 100) });
    error.highest_order = outdated;
    error
}

fn yes(request: &Request, reply: &http::Reply, key: Option<&PublicKey>) -> Result<String, Error> {
    let text = std::str::from_utf8(&reply.body).map_err(|_| doubt(Status::ReplyNotApi))?;
    let bare = text.trim();
    match request.operation.reply {
        // The API answers nothing, and its schema says: an empty string. Anything else, such as a gateway's {"error":…}, is
        // no answer of the server.
        Expected::Empty if NOTHING.contains(&bare) => Ok("{}".to_owned()),
        Expected::Empty => Err(doubt(Status::ReplyNotApi)),
        Expected::Text(expected) if bare.trim_matches('"') == expected => Ok(format!(r#"{{"message":"{expected}"}}"#)),
        Expected::Text(_) => Err(doubt(Status::ReplyNotApi)),
        Expected::Signed(_) | Expected::License if bare.is_empty() => Err(doubt(Status::ReplyEmpty)),
        Expected::Signed(members) => {
            let answer = proven(reply, text, key, || false)?;
            // Each is an id, a date or an amount.
            let plain = |value: &Value| value.is_string() || value.is_number();
            let complete = members.iter().all(|member| answer.get(*member).is_some_and(plain));
            if complete && request.is_echoed_by(&answer) {
                Ok(text.to_owned())
            } else {
                Err(doubt(Status::ReplyNotOurs))
            }
        }
        Expected::License => {
            let v1 = |key: &PublicKey| object(text).is_ok_and(|license| proves_v1(request, &license, key));
            let license = proven(reply, text, key, || key.is_some_and(v1))?;
            if request.is_about(&license) && key.is_none_or(|key| proves_v1(request, &license, key)) {
                Ok(text.to_owned())
            } else {
                Err(doubt(Status::ReplyNotOurs))
            }
        }
    }
}

/// The ways to answer nothing with status 200.
const NOTHING: [&str; 3] = ["", "\"\"", "{}"];

/// The object in a reply whose v2 signature covers its very bytes. `names_us` tells of an unproven one whether the
/// server signed for us what is inside: then its key is the right one, and the rest was altered.
fn proven(
    reply: &http::Reply,
    text: &str,
    key: Option<&PublicKey>,
    names_us: impl FnOnce() -> bool,
) -> Result<Object, Error> {
    let answer = object(text);
    let Some(key) = key else {
        return answer;
    };
    match &reply.signature {
        // An HTML page lacks a signature too, but that is not what is wrong with it.
        None => Err(answer.err().unwrap_or_else(|| doubt(Status::ReplyUnsigned))),
        Some(signature) if key.verifies(&reply.body, signature) => answer,
        Some(_) if names_us() => Err(doubt(Status::ReplyAltered)),
        Some(_) => Err(doubt(Status::ReplySignature)),
    }
}

/// The JSON object that a text is.
fn object(text: &str) -> Result<Object, Error> {
    serde_json::from_str(text)
        .map_err(|error| doubt(if error.is_eof() { Status::ReplyTruncated } else { Status::ReplyNotApi }))
}

/// Whether `license_signature` binds the license to the device and the credentials that were asked about.
fn proves_v1(request: &Request, license: &Object, key: &PublicKey) -> bool {
    let text = |member: &str| license.get(member).and_then(Value::as_str);
    // Activated by an SSO token, the license is its user's.
    let user = license.get("user").and_then(|user| user.get("email")).and_then(Value::as_str);
    let auth = request.auth.as_ref().map(Secret::expose).or(user);
    let (Some(auth), Some(signature)) = (auth, text("license_signature")) else {
        return false;
    };
    let signed = model::v1_text(&request.hardware_id, auth, text("validity_period"));
    key.verifies(signed.as_bytes(), signature)
}

/// A server that wants more than that wants something else.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// `Retry-After`: seconds, or a date to be compared with the server's own.
fn retry_after(text: &str, server_date: Option<&str>) -> Option<Duration> {
    if let Ok(seconds) = text.trim().parse() {
        return Some(Duration::from_secs(seconds).min(LONGEST_RETRY_AFTER));
    }
    let (then, now) = (model::parse_http_date(text)?, model::parse_http_date(server_date?)?);
    Some((then - now).to_std().ok()?.min(LONGEST_RETRY_AFTER))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date_of_the_servers_clock() {
        assert_eq!(retry_after("120", None), Some(Duration::from_secs(120)));
        assert_eq!(retry_after("18446744073709551615", None), Some(LONGEST_RETRY_AFTER));
        let (now, then) = ("Thu, 01 Jan 2026 00:00:00 GMT", "Thu, 01 Jan 2026 00:00:30 GMT");
        assert_eq!(retry_after(then, Some(now)), Some(Duration::from_secs(30)));
        assert_eq!(retry_after(then, None), None);
        assert_eq!(retry_after("-1", None), None);
        assert_eq!(retry_after(now, Some(then)), None, "already past");
    }
}
