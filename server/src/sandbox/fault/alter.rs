//! Alters a reply that arrives whole: its body or its signature.

use std::io;

use floatlease::model::v1_text;
use hyper::Response;
use hyper::header::{HeaderName, HeaderValue};
use serde_json::{Map, Value, json};

use super::Alter;
use crate::keys::SigningKey;
use crate::sandbox::keys::signing_key;
use crate::sandbox::request_info::RequestInfo;

type Reply = Response<Vec<u8>>;

static SIGNATURE: HeaderName = HeaderName::from_static("licensesignature");
/// Size of a reply that is larger than any client should read.
const HUGE_BYTES: usize = 2 << 20;

/// Returns the altered reply; `None` if this reply can't be altered so, because it lacks the member or an earlier reply.
///
/// `sign` signs a body with the world's own key.
pub(crate) fn alter(
    fault: &Alter,
    reply: &Reply,
    info: &RequestInfo,
    previous: Option<Reply>,
    sign: impl Fn(&[u8]) -> Option<String>,
) -> Option<Reply> {
    let resign = |body: Vec<u8>| signed(with_body(reply, body), &sign);
    let object = || serde_json::from_slice::<Map<String, Value>>(reply.body()).ok();
    let member = |name: &str, value: Option<Value>| Some(resign(with_member(object()?, name, value)?));
    match fault {
        Alter::SignatureMissing => {
            let mut reply = reply.clone();
            reply.headers_mut().remove(&SIGNATURE).map(|_| reply)
        }
        Alter::SignatureGarbage => with_signature(reply, "bm8gc2lnbmF0dXJl"),
        Alter::SignatureOfAnotherBody => with_signature(reply, &sign(br#"{"another":"body"}"#)?),
        Alter::SignatureOfAnotherKey => {
            reply.headers().get(&SIGNATURE)?;
            signed_by(&signing_key().ok()?, reply, object()?, info).ok()
        }
        Alter::FlippedByte => {
            let mut body = reply.body().clone();
            let place = last_digit_of_a_number(&body).or_else(|| body.iter().rposition(u8::is_ascii_alphanumeric))?;
            *body.get_mut(place)? ^= 1;
            Some(with_body(reply, body))
        }
        Alter::JsonBroken => {
            object()?;
            let whole = reply.body();
            whole.get(..whole.len() / 2).map(|half| resign(half.to_vec()))
        }
        Alter::MemberMissing(name) => member(name, None),
        Alter::MemberNull(name) => member(name, Some(Value::Null)),
        Alter::MemberWrongType(name) => member(name, Some(json!({ "unexpected": [true] }))),
        Alter::MemberUnknown => {
            let mut object = object()?;
            object.insert("member_of_a_later_version".to_owned(), json!({ "any": ["thing", 1, null] }));
            Some(resign(Value::Object(object).to_string().into_bytes()))
        }
        Alter::Huge => Some(resign([vec![b' '; HUGE_BYTES], reply.body().clone()].concat())),
        Alter::Replay => previous,
    }
}

/// Returns the place of a digit that can be changed, so that the body is still valid JSON with a readable signature.
fn last_digit_of_a_number(json: &[u8]) -> Option<usize> {
    let before_run = |end: usize| json.get(..=end)?.iter().rposition(|byte| !byte.is_ascii_digit());
    let is_number = |end: usize| before_run(end).is_some_and(|place| json.get(place) == Some(&b':'));
    (0..json.len()).rev().find(|end| json.get(*end).is_some_and(u8::is_ascii_digit) && is_number(*end))
}

/// Replaces a member, or removes it if `value` is `None`. Returns `None` if there is no such member.
fn with_member(mut object: Map<String, Value>, name: &str, value: Option<Value>) -> Option<Vec<u8>> {
    let member = object.get_mut(name)?;
    match value {
        Some(value) => *member = value,
        None => drop(object.shift_remove(name)),
    }
    Some(Value::Object(object).to_string().into_bytes())
}

fn with_body(reply: &Reply, body: Vec<u8>) -> Reply {
    let mut altered = reply.clone();
    *altered.body_mut() = body;
    altered
}

/// Replaces the signature; `None` for a reply that was not signed.
fn with_signature(reply: &Reply, signature: &str) -> Option<Reply> {
    let mut altered = reply.clone();
    *altered.headers_mut().get_mut(&SIGNATURE)? = HeaderValue::try_from(signature).ok()?;
    Some(altered)
}

/// Signs the reply as the server would, if it was signed before.
fn signed(reply: Reply, sign: impl Fn(&[u8]) -> Option<String>) -> Reply {
    let signature = sign(reply.body());
    signature.and_then(|signature| with_signature(&reply, &signature)).unwrap_or(reply)
}

/// Signs everything that is signed in the reply with `key`.
fn signed_by(key: &SigningKey, reply: &Reply, mut object: Map<String, Value>, info: &RequestInfo) -> io::Result<Reply> {
    let validity = object.get("validity_period").and_then(Value::as_str);
    let auth = info.text("license_key").or_else(|| info.text("username")).unwrap_or_default();
    let text = v1_text(info.text("hardware_id").unwrap_or_default(), auth, validity);
    if let Some(inner) = object.get_mut("license_signature") {
        *inner = key.sign(text.as_bytes())?.into();
    }
    let body = Value::Object(object).to_string().into_bytes();
    let signature = key.sign(&body)?;
    Ok(signed(with_body(reply, body), |_| Some(signature.clone())))
}
