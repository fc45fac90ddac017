//! The files of offline activation, for a device without a network: writes its requests, and reads the server's reply.
//! Nothing here is sent, and no file is touched: the host gets the text of a file, and gives it.

use crate::config::{Authorization, Config};
use crate::error::{Error, Outcome};
use crate::json;
use crate::model;
use crate::operations::{Operation, Reply};
use crate::reply::judge_offline;
use crate::request::{Request, wipe};
use crate::secret::Secret;
use crate::sign;
use crate::status::Status;
use crate::strict::Object;
use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::{DateTime, Utc};
use serde_json::Value;
use zeroize::Zeroizing;

/// The schema of a request file, unless the caller chooses one. Its signature covers the whole request.
const SCHEMA: i64 = 2;

/// Performs an operation of [`crate::operations::OFFLINE_FILES`]. `now` is the date by which an expiry is judged.
pub(crate) fn call(
    operation: &'static Operation,
    config: &Config,
    request_json: &str,
    now: DateTime<Utc>,
) -> Result<String, Error> {
    let request = Request::prepare(operation, config, request_json)?;
    let result = match operation.reply {
        Reply::OfflineLicense => read(&request, config, now),
        _ => write(&request, config),
    };
    result.map_err(|mut error| {
        (error.operation, error.outcome) = (Some(operation.name), Outcome::NotSent);
        error
    })
}

/// Returns the text of a request file, with the id by which its reply is known.
fn write(request: &Request, config: &Config) -> Result<String, Error> {
    let mut members: Object = serde_json::from_str(request.content.expose()).unwrap_or_default();
    let schema = members.remove("schema_version").map_or(Some(SCHEMA), |schema| schema.as_i64());
    if !matches!(schema, Some(1 | 2)) {
        return Err(Error::because(Status::BadValue, "\"schema_version\" is invalid: it must be 1 or 2."));
    }
    let auth = request.auth.as_ref().ok_or_else(|| {
        let message = "An offline request needs license_key, or username with password: nobody can sign in by a file.";
        Error::because(Status::MissingKey, message)
    })?;
    let (client_key, client, secret) = match &config.authorization {
        Authorization::ApiKey { api_key, shared_key } => ("api_key", api_key.expose(), shared_key),
        Authorization::ClientCredentials { client_id, client_secret, .. } => {
            ("client_id", client_id.expose(), client_secret)
        }
    };
    let date = model::format_http_date(model::now());
    let signed = Zeroizing::new(sign::offline_text(&date, auth.expose(), &request.hardware_id, client));
    let is_activation = request.operation.name == "write_offline_activation";
    let id = request.idempotency_key.clone().unwrap_or_default();
    let mut add = |name: &str, value: Value| members.insert(name.to_owned(), value);
    add("request", if is_activation { "activation" } else { "deactivation" }.into());
    add("request_id", id.as_str().into());
    add("date", date.into());
    add(client_key, client.into());
    add("signature", sign::signature(secret.expose(), &signed).into());
    if schema == Some(2) {
        add("schema_version", 2.into());
    }
    let mut text = Zeroizing::new(serde_json::to_string(&members).unwrap_or_default());
    members.values_mut().for_each(wipe);
    if schema == Some(2) {
        let signature = sign::signature(secret.expose(), &text);
        *text = format!(r#"{{"request":{},"signature":"{signature}"}}"#, *text);
    }
    Ok(json::object(&[("file", STANDARD.encode(text.as_bytes()).into()), ("request_id", id.into())]))
}

/// Returns the license in a reply file, if the file is genuine, for this device and license, and not expired.
fn read(request: &Request, config: &Config, now: DateTime<Utc>) -> Result<String, Error> {
    let file = request.content.expose().trim_start_matches('\u{feff}').trim();
    // Some programs keep the reply in Base64.
    let decoded = STANDARD.decode(file).ok().and_then(|bytes| String::from_utf8(bytes).ok()).map(Secret::new);
    let text = decoded.as_ref().map_or(file, Secret::expose);
    let license = judge_offline(request, text, config.public_key.as_ref())?;
    if is_expired(&license, now) {
        return Err(Error::new(Status::LicenseExpired));
    }
    Ok(text.to_owned())
}

/// Returns whether the license had expired when the file was written, or has since.
fn is_expired(license: &Object, now: DateTime<Utc>) -> bool {
    let text = |member: &str| license.get(member).and_then(Value::as_str);
    // A perpetual license may have such a date too, which ends something else.
    let end = text("validity_period").filter(|_| text("license_type") != Some("perpetual")).and_then(model::parse_time);
    license.get("is_expired") == Some(&Value::Bool(true)) || end.is_some_and(|end| end <= now)
}
