//! Reads the request files of offline activation, and makes the reply files.

use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::{DateTime, TimeDelta, Utc};
use floatlease::model::{parse_http_date, parse_time};
use floatlease::operations::{Kind, Operation};
use floatlease::sign::{is_mac, offline_text, signature};
use hyper::HeaderMap;
use hyper::http::header::CONTENT_TYPE;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::authorise::Rights;
use super::parameters::{Parameters, checked_value};
use crate::catalogue::Catalogue;
use crate::domain::{OfflineRequest, Refusal};

/// The farthest date in the future that a device's clock may have shown.
const LARGEST_LEAD: TimeDelta = TimeDelta::days(1);
/// The members of a request file that are no parameters of its row. All are texts.
const HEAD: [&str; 6] = ["request", "api_key", "client_id", "request_id", "date", "signature"];
/// Those without which no file is carried out, whoever has signed it.
const REQUIRED: [&str; 2] = ["request", "date"];

/// A request file whose signature was verified.
pub(super) struct OfflineFile<'c> {
    /// The rights of the API key or OAuth client that has signed it.
    pub(super) rights: Rights<'c>,
    pub(super) request: OfflineRequest,
    /// The text that the signature in a reply file covers too.
    signed_text: String,
    secret: &'c str,
    date: String,
    request_id: String,
}

/// A request of schema 2, which is signed as a whole.
#[derive(Deserialize)]
struct Schema2<'f> {
    /// The text as it was signed. Clients differ in spacing and escapes, so it is not written anew.
    #[serde(borrow)]
    request: &'f RawValue,
    signature: String,
}

impl<'c> OfflineFile<'c> {
    /// Reads the file in the body of a request for `operation`. `now` is real time, `license_time` what secrets end by.
    pub(super) fn read(
        catalogue: &'c Catalogue,
        operation: &Operation,
        headers: &HeaderMap,
        body: &[u8],
        now: DateTime<Utc>,
        license_time: DateTime<Utc>,
    ) -> Result<OfflineFile<'c>, Refusal> {
        let json = decoded(headers, body)?;
        let unreadable = |_| Refusal::OfflineRequestUnreadable;
        let outer: Map<String, Value> = serde_json::from_str(&json).map_err(unreadable)?;
        let whole = if outer.get("request").is_some_and(Value::is_object) {
            Some(serde_json::from_str::<Schema2<'_>>(&json).map_err(unreadable)?)
        } else {
            None
        };
        let members = match &whole {
            Some(whole) => serde_json::from_str(whole.request.get()).map_err(unreadable)?,
            None => outer,
        };
        let schema = if whole.is_some() { 2 } else { 1 };
        // The members of schema 2 alone would be a valid request of schema 1, whose signature covers less.
        if schema < catalogue.min_offline_schema || whole.is_none() && members.contains_key("schema_version") {
            return invalid("the request file's schema is not accepted; write one of schema 2");
        }
        for name in HEAD {
            if let Some(value) = members.get(name).filter(|value| !value.is_null()) {
                checked_value(name, Kind::Text, value)?;
            }
        }
        let text = |name: &str| members.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (client, secrets, rights) = signer(catalogue, &text("api_key"), &text("client_id"), license_time)?;
        let auth = Some(text("license_key")).filter(|key| !key.is_empty()).unwrap_or_else(|| text("username"));
        let (date, request_id) = (text("date"), text("request_id"));
        let signed_text = offline_text(&date, &auth, &text("hardware_id"), client);
        let is_signed = |secret: &&str| {
            let is_whole = whole.as_ref().is_none_or(|whole| matches(secret, whole.request.get(), &whole.signature));
            // Schema 2 may do without the signature of schema 1.
            let is_optional = whole.is_some() && !members.contains_key("signature");
            is_whole && (is_optional || matches(secret, &signed_text, &text("signature")))
        };
        let secret = secrets.into_iter().find(is_signed).ok_or(Refusal::SignatureMismatch)?;
        let (kind, row) = match operation.name {
            "activate_offline" => ("activation", "write_offline_activation"),
            _ => ("deactivation", "write_offline_deactivation"),
        };
        let missing: Vec<&str> = REQUIRED.into_iter().filter(|name| text(name).is_empty()).collect();
        if !missing.is_empty() {
            return Err(Refusal::MissingParameters(missing.join(", ")));
        }
        if text("request") != kind {
            return invalid("the request file is for the other operation: one activates, the other deactivates");
        }
        let number = number(&date, kind, now)?;
        let row = Operation::of_file(row).ok_or(Refusal::InternalError)?;
        let parameters = Parameters::of_members(members.clone(), row)?;
        rights.require_usable(operation)?;
        let request = OfflineRequest { number, ..parameters.offline(row)? };
        Ok(OfflineFile { rights, request, signed_text, secret, date, request_id })
    }

    /// Makes the reply file of a license: `json` is the license as an activation shows it, `sign` makes the v2 signature.
    pub(super) fn reply(
        &self,
        json: &[u8],
        sign: impl FnOnce(&[u8]) -> Result<Option<String>, Refusal>,
    ) -> Result<Vec<u8>, Refusal> {
        let failed = |_| Refusal::InternalError;
        let mut license: Map<String, Value> = serde_json::from_slice(json).map_err(failed)?;
        let v1 = license.shift_remove("license_signature");
        license.insert("date".to_owned(), self.date.as_str().into());
        license.insert("offline_signature".to_owned(), signature(self.secret, &self.signed_text).into());
        license.insert("request_id".to_owned(), self.request_id.as_str().into());
        let signature = sign(&serde_json::to_vec(&license).map_err(failed)?)?;
        license.insert("license_signature".to_owned(), v1.unwrap_or_default());
        license.insert("license_signature_v2".to_owned(), signature.unwrap_or_default().into());
        serde_json::to_vec(&license).map_err(failed)
    }
}

/// Returns the JSON in a body: Base64, plain or as the part `file` of a form.
fn decoded(headers: &HeaderMap, body: &[u8]) -> Result<String, Refusal> {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let body = match content_type.split_once("multipart/form-data") {
        Some((_, parameters)) => file_of_form(parameters, body)?,
        None => body,
    };
    // Programs that send text break long lines.
    let text: Vec<u8> = body.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    if text.is_empty() {
        return Err(Refusal::MissingContent);
    }
    let json = STANDARD.decode(text).ok().and_then(|json| String::from_utf8(json).ok());
    json.ok_or(Refusal::OfflineRequestUnreadable)
}

/// Returns the content of the part `file` of a form (RFC 7578).
fn file_of_form<'b>(parameters: &str, body: &'b [u8]) -> Result<&'b [u8], Refusal> {
    let missing = || Refusal::MissingParameters("file".to_owned());
    let boundary = parameters.split(';').find_map(|parameter| parameter.trim().strip_prefix("boundary="));
    let boundary = boundary.map(|boundary| boundary.trim_matches('"')).filter(|boundary| !boundary.is_empty());
    let (text, boundary) = (str::from_utf8(body).ok().ok_or_else(missing)?, boundary.ok_or_else(missing)?);
    let delimiter = format!("--{boundary}");
    let parts = text.split(&delimiter).filter_map(|part| part.split_once("\r\n\r\n"));
    let is_file = |head: &str| {
        let mut lines = head.lines().map(str::to_ascii_lowercase);
        lines.any(|line| line.starts_with("content-disposition:") && line.contains("name=\"file\""))
    };
    let mut files = parts.filter(|(head, _)| is_file(head));
    files.next().map(|(_, content)| content.as_bytes()).ok_or_else(missing)
}

/// Returns who has signed a file: the name that the signature covers, the secrets that may have made it, and the rights.
fn signer<'c>(
    catalogue: &'c Catalogue,
    api_key: &str,
    client_id: &str,
    license_time: DateTime<Utc>,
) -> Result<(&'c str, Vec<&'c str>, Rights<'c>), Refusal> {
    if let Some(client) = catalogue.oauth_client(client_id) {
        let secrets = client.signing_secrets(license_time).collect();
        return Ok((&client.client_id, secrets, Rights::of_client(client)));
    }
    if catalogue.oauth_only {
        return Err(Refusal::ApiKeysNotAllowed);
    }
    if api_key.is_empty() && client_id.is_empty() {
        return Err(Refusal::MissingParameters("api_key".to_owned()));
    }
    let key = catalogue.api_key(api_key).ok_or(Refusal::InvalidApiKey)?;
    Ok((&key.key, vec![key.shared_key.as_str()], Rights::of_key(key)))
}

/// Returns whether the signature, in Base64 or as hexadecimal digits, is the MAC of the text.
fn matches(secret: &str, text: &str, signature: &str) -> bool {
    let digits = |pair: &[u8]| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok();
    let is_hex = signature.len() == 64 && signature.bytes().all(|byte| byte.is_ascii_hexdigit());
    let bytes =
        if is_hex { signature.as_bytes().chunks(2).map(digits).collect() } else { STANDARD.decode(signature).ok() };
    bytes.is_some_and(|bytes| is_mac(secret, text, &bytes))
}

/// Returns the number of a file. A device may write both kinds within the same second, first the activation.
fn number(date: &str, kind: &str, now: DateTime<Utc>) -> Result<i64, Refusal> {
    let date = parse_http_date(date).or_else(|| parse_time(date));
    let date = date.ok_or_else(|| Refusal::ValidationError("date is invalid; write it as in RFC 7231".to_owned()))?;
    if date > now + LARGEST_LEAD {
        return Err(Refusal::OfflineRequestFromFuture);
    }
    Ok(date.timestamp_millis() * 2 + i64::from(kind == "deactivation"))
}

fn invalid<T>(message: &str) -> Result<T, Refusal> {
    Err(Refusal::ValidationError(message.to_owned()))
}
