//! Explains why a request's signature was refused: expected and received values, and the likely mistake.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE};
use chrono::{DateTime, Utc};
use floatlease::model::format_http_date;
use floatlease::sign::signing_text;
use schemars::JsonSchema;
use serde::Serialize;

use super::request_info::shortened;
use crate::http::ReceivedRequest;

/// The expected and the received values of a signature that was refused.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct NearMiss {
    /// The likely mistake, as a sentence for people.
    pub(crate) explanation: String,
    /// The text that should have been signed, for the `Date` that was sent.
    pub(crate) signing_text_expected: String,
    /// The text that was signed, if the mistake is a known one.
    pub(crate) signing_text_received: Option<String>,
    /// The signature of the expected text, made with the world's shared key.
    pub(crate) signature_expected: String,
    /// The signature in the request.
    pub(crate) signature_received: String,
    /// The `Date` of the request.
    pub(crate) date_received: String,
    /// The server's time, which it compared the `Date` with.
    pub(crate) server_date: String,
}

impl NearMiss {
    /// Explains the refusal of a request with `code`; `None` if the refusal is not about its signature.
    pub(super) fn explain(
        code: &str,
        request: &ReceivedRequest,
        shared_key: &str,
        now: DateTime<Utc>,
    ) -> Option<NearMiss> {
        if !["signature_mismatch", "date_header_diff"].contains(&code) {
            return None;
        }
        let header = |name| request.head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let (date, received) = (header("date"), request.authorization("signature").unwrap_or_default());
        let expected = signing_text(date.trim());
        let (explanation, signed) = if code == "date_header_diff" {
            ("The Date is invalid, or more than 15 minutes from the server's time.".to_owned(), None)
        } else {
            likely_mistake(shared_key, date, &received)
        };
        Some(NearMiss {
            explanation,
            signature_expected: STANDARD.encode(mac(shared_key, &expected)),
            signing_text_expected: expected,
            signing_text_received: signed,
            signature_received: shortened(&received),
            date_received: shortened(date),
            server_date: format_http_date(now),
        })
    }
}

/// A way to write a MAC as a text, and the words that explain it.
type Encoding = (fn(&[u8]) -> String, &'static str);

/// Returns the explanation, and the signed text if it is known. It tries texts, keys and encodings that people confuse.
fn likely_mistake(shared_key: &str, date: &str, received: &str) -> (String, Option<String>) {
    let date = date.trim();
    let expected = signing_text(date);
    let texts = [
        (expected.clone(), "The text is right"),
        (expected.replacen('S', "s", 1), "The first line is written in lower case; it is licenseSpring"),
        (expected.to_lowercase(), "The text is all in lower case; it is licenseSpring, and the Date as it was sent"),
        (expected.replace("date:", "Date:"), "It says Date: instead of date:"),
        (expected.replace("date: ", "date:"), "The space after date: is missing"),
        (expected.replace('\n', "\r\n"), "The lines are separated by CR LF instead of LF"),
        (expected.replace('\n', "\\n"), "The lines are separated by a backslash and an n instead of a line feed"),
        (format!("{expected}\n"), "There is a line feed too many at the end"),
        (format!("date: {date}"), "The first line is missing"),
        (date.to_owned(), "The date alone is signed"),
    ];
    let keys = [(shared_key.to_owned(), ""), (format!("{shared_key}\n"), ", and the shared key ends in a line feed")];
    let encodings: [Encoding; 6] = [
        (|mac| STANDARD.encode(mac), ""),
        (|mac| STANDARD.encode(mac).to_lowercase(), ", and the Base64 is written in lower case"),
        (|mac| STANDARD_NO_PAD.encode(mac), ", and the Base64 lacks its padding"),
        (|mac| URL_SAFE.encode(mac), ", and the Base64 is that of URLs"),
        (hexadecimal, ", and the signature is hexadecimal instead of Base64"),
        (|mac| hexadecimal(mac).to_uppercase(), ", and the signature is hexadecimal instead of Base64"),
    ];
    for (text, said) in &texts {
        for (key, of_key) in &keys {
            for (encode, of_encoding) in &encodings {
                if encode(&mac(key, text)) == received {
                    return (format!("{said}{of_key}{of_encoding}."), Some(text.clone()));
                }
            }
        }
    }
    let unknown =
        "The mistake is unknown: check that the shared key is this world's, and that the Date signed is the Date sent.";
    (unknown.to_owned(), None)
}

fn mac(key: &str, text: &str) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes()), text.as_bytes()).as_ref().to_vec()
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
