//! Request files of offline activation, as a client of another make would write them.
#![allow(clippy::unwrap_used)]

use base64::{Engine, engine::general_purpose::STANDARD};
use floatlease::sign::{offline_text, signature};
use serde_json::{Value, json};

use super::{API_KEY, SHARED_KEY, with};

/// The date of files that no test compares with another one.
pub const DATE: &str = "Thu, 01 Jan 2026 00:00:00 GMT";

/// The members of a request, with the signature of schema 1. `more` is added before it is made.
pub fn members(request: &str, more: Value) -> Value {
    let base = json!({
        "request": request, "product": "P", "license_key": "K", "hardware_id": "hw-1", "date": DATE,
        "api_key": API_KEY, "request_id": "d010714e",
    });
    let mut members = with(&base, more);
    let text = |name: &str| members[name].as_str().unwrap_or_default().to_owned();
    let auth = if members["license_key"].is_null() { text("username") } else { text("license_key") };
    let signed = offline_text(&text("date"), &auth, &text("hardware_id"), &text("api_key"));
    members["signature"] = signature(SHARED_KEY, &signed).into();
    members
}

/// The text of a file of schema 1.
pub fn schema_1(json: &str) -> Value {
    json!({ "file": STANDARD.encode(json) })
}

/// The text of a file of schema 2, whose request has this very text.
pub fn schema_2(request: &str) -> Value {
    json!({ "file": STANDARD.encode(whole(request)) })
}

/// The JSON of such a file.
pub fn whole(request: &str) -> String {
    format!(r#"{{"request":{request},"signature":"{}"}}"#, signature(SHARED_KEY, request))
}
