//! Turns the caller's JSON into a request: checks it, adds defaults from the config, and converts dates to UTC.

use crate::config::{CREDENTIALS, Config, check_credentials, checked_millis};
use crate::error::Error;
use crate::model;
use crate::operations::{Auth, Kind, Method, Operation};
use crate::random;
use crate::secret::Secret;
use crate::status::Status;
use crate::strict::{self, Object};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use std::time::Duration;
use zeroize::Zeroize;

/// A checked request, ready to be signed and sent.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) operation: &'static Operation,
    /// The query of a GET or the JSON body of a POST.
    pub(crate) content: Secret,
    /// The deadline for the whole call.
    pub(crate) timeout: Duration,
    /// The `Idempotency-Key`, the same for every attempt. `None` for operations that only read.
    pub(crate) idempotency_key: Option<String>,
    /// The order number among all requests about its slot or device, the same for every attempt. The client draws it
    /// if the creator of the request does not.
    pub(crate) order: Option<u64>,
    /// The device. A v1 signature covers it.
    pub(crate) hardware_id: String,
    /// The license key or the username. A v1 signature covers it.
    pub(crate) auth: Option<Secret>,
    /// True if `auth` is a license key.
    pub(crate) is_by_key: bool,
    /// Members that the reply must repeat, if it has them, with their values.
    pub(crate) echoes: Vec<(&'static str, Value)>,
    /// The request's secrets, which no message may show.
    pub(crate) secrets: Vec<Secret>,
}

/// Parameters of a request, and the members of a reply that repeat them.
const ECHOES: [(&str, &str); 6] = [
    ("feature", "feature"),
    ("feature", "code"),
    ("product", "short_code"),
    ("license_id", "license_id"),
    ("version", "version"),
    ("request_id", "request_id"),
];

/// Characters to encode in a query: all but the unreserved ones of RFC 3986.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Maximum length of a query. With the headers it fits into the 16 KiB buffer in which a request is written.
const MAX_QUERY_BYTES: usize = 14_000;

/// Parameters that no message may show.
const SECRETS: [&str; 5] = ["license_key", "password", "new_password", "id_token", "code"];

/// Keys of every request that are not sent as parameters.
const CONTROL_KEYS: &[(&str, Kind)] = &[("timeout_ms", Kind::Integer), ("extra", Kind::Object)];

/// Those of them that an operation whose body is a file has too.
const FILE_CONTROL_KEYS: &[(&str, Kind)] = &[("timeout_ms", Kind::Integer)];

/// Further such keys of an operation that changes something.
const IDEMPOTENCY_KEYS: &[(&str, Kind)] = &[("idempotency_key", Kind::Text)];

/// Further such keys of a consumption. The queue takes the key out before it prepares the request.
const QUEUE_KEYS: &[(&str, Kind)] = &[("offline", Kind::Text)];

impl Request {
    /// Checks `json` for `operation` and completes it from `config`.
    pub(crate) fn prepare(operation: &'static Operation, config: &Config, json: &str) -> Result<Request, Error> {
        let what = operation.name;
        let mut given = strict::parse_object("the request", json)?;
        let left_out: Vec<_> = OF_ONE_LICENSE.iter().filter(|key| given.get(**key) == Some(&Value::Null)).collect();
        if !given.is_empty() {
            let known = operation.parameters().map(|parameter| (parameter.name, parameter.kind));
            let idempotency = if operation.idempotent { &[] } else { IDEMPOTENCY_KEYS };
            let queue = if operation.is_consumption() { QUEUE_KEYS } else { &[] };
            let control = if operation.takes_file() { FILE_CONTROL_KEYS } else { CONTROL_KEYS };
            let known: Vec<_> = known.chain(control.iter().chain(idempotency).chain(queue).copied()).collect();
            strict::check(what, &mut given, &known)?;
            if given.contains_key("offline") {
                let message = format!(
                    "\"offline\" in {what} is invalid: only a session has a queue, and the value must be \"queue\"."
                );
                return Err(Error::because(Status::BadValue, message));
            }
        }

        let timeout = match given.remove("timeout_ms") {
            Some(value) => checked_millis("timeout_ms", value.as_u64())?,
            None => config.timeout,
        };
        let extra = given.remove("extra");
        let idempotency_key = idempotency_key(what, operation, given.remove("idempotency_key"))?;
        // The config's license_id and bundle_code belong to the config's license, and to no other.
        let names_another = names_another_license(config, &given);
        complete_credentials(what, operation, config, &mut given)?;
        complete(operation, config, &mut given, |key| {
            OF_ONE_LICENSE.contains(&key) && (names_another || left_out.iter().any(|left_out| **left_out == key))
        });
        normalise_times(what, operation, &mut given)?;
        for parameter in operation.parameters().filter(|parameter| parameter.required) {
            if given.get(parameter.name).is_none_or(|value| value.as_str().is_some_and(str::is_empty)) {
                return Err(Error::because(
                    Status::MissingKey,
                    format!("\"{}\" is missing from {what}.", parameter.name),
                ));
            }
        }
        if let Some(Value::Object(extra)) = extra {
            merge_extra(what, operation, &mut given, extra)?;
        }

        let text = |key: &str| given.get(key).and_then(Value::as_str);
        let request = Request {
            operation,
            timeout,
            idempotency_key,
            order: None,
            hardware_id: text("hardware_id").unwrap_or_default().to_owned(),
            secrets: SECRETS.iter().filter_map(|key| Some(Secret::new(text(key)?.to_owned()))).collect(),
            echoes: ECHOES.iter().filter_map(|(key, member)| Some((*member, given.get(*key)?.clone()))).collect(),
            is_by_key: given.contains_key("license_key"),
            auth: text("license_key").or_else(|| text("username")).map(|auth| Secret::new(auth.to_owned())),
            content: Secret::new(match operation.method {
                Method::Get => query(what, &given)?,
                Method::Post if operation.takes_file() => text("file").unwrap_or_default().to_owned(),
                Method::Post => serde_json::to_string(&given).unwrap_or_default(),
            }),
        };
        given.values_mut().for_each(wipe);
        Ok(request)
    }
}

impl Request {
    /// Returns true if every member of `reply` that repeats a parameter has this request's value.
    pub(crate) fn is_echoed_by(&self, reply: &Object) -> bool {
        self.echoes.iter().all(|(member, said)| repeats(reply.get(*member), said))
    }

    /// Returns the request's value for this member of a reply. "short_code" is the product.
    pub(crate) fn said(&self, member: &str) -> Option<&Value> {
        self.echoes.iter().find(|(echoed, _)| *echoed == member).map(|(_, said)| said)
    }

    /// Returns true if the license in a reply has the number that was asked for, if one was.
    pub(crate) fn is_about_id(&self, license: &Object) -> bool {
        self.said("license_id").is_none_or(|id| repeats(license.get("id"), id))
    }

    /// Returns true if the license in a reply is the requested one. Its signature proves device and credentials; this
    /// compares product and license_id, because a user may have several licenses.
    pub(crate) fn is_about(&self, license: &Object) -> bool {
        self.echoes.iter().all(|(member, said)| match *member {
            "license_id" => repeats(license.get("id"), said),
            "request_id" => repeats(license.get("request_id"), said),
            "short_code" => repeats(license.get("product_details").and_then(|product| product.get("short_code")), said),
            _ => true,
        })
    }
}

/// Returns true if the reply's value is missing, or equals the request's.
fn repeats(received: Option<&Value>, sent: &Value) -> bool {
    match (received, sent) {
        (Some(Value::String(received)), Value::String(sent)) => received.eq_ignore_ascii_case(sent),
        (Some(received), sent) => received == sent,
        (None, _) => true,
    }
}

/// Returns the caller's `Idempotency-Key`, or a random one.
fn idempotency_key(what: &str, operation: &Operation, given: Option<Value>) -> Result<Option<String>, Error> {
    match given.as_ref().and_then(Value::as_str) {
        None if operation.idempotent => Ok(None),
        None => random_key().map(Some),
        Some(key) if model::is_idempotency_key(key) => Ok(Some(key.to_owned())),
        Some(_) => {
            let message = format!("\"idempotency_key\" in {what} must be 1 to 255 visible ASCII characters.");
            Err(Error::because(Status::BadValue, message))
        }
    }
}

fn random_key() -> Result<String, Error> {
    let mut bytes = [0; 16];
    random::fill(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Adds the config's credentials unless the request names a license. Leaves out what the operation does not take.
fn complete_credentials(what: &str, operation: &Operation, config: &Config, given: &mut Object) -> Result<(), Error> {
    if operation.auth == Auth::None {
        // `sso_url` is asked before there is a token, about the account and the address that the config names.
        complete_from(config, operation, given, &["customer_account_code", "redirect_uri"]);
        return Ok(());
    }
    if operation.auth == Auth::Password {
        // A host that asks its user for the old password need not repeat the name.
        let of_config: &[&str] = if given.contains_key("username") { &[] } else { &["username", "password"] };
        complete_from(config, operation, given, of_config);
        return Ok(());
    }
    if !CREDENTIALS.iter().any(|key| given.contains_key(*key)) {
        complete_from(config, operation, given, CREDENTIALS);
    }
    let names: Vec<&str> = CREDENTIALS.iter().copied().filter(|key| given.contains_key(*key)).collect();
    if names.is_empty() && operation.auth == Auth::Ident {
        let message =
            format!("\"username\" is missing from {what}: after an SSO activation, give the user's e-mail address.");
        return Err(Error::because(Status::MissingKey, message));
    }
    if names.is_empty() && operation.auth == Auth::User {
        let message = format!("\"username\" is missing from {what}: give it with \"password\", or give an SSO token.");
        return Err(Error::because(Status::MissingKey, message));
    }
    if let Some(empty) = names.iter().find(|name| given.get(**name).and_then(Value::as_str) == Some("")) {
        return Err(Error::because(
            Status::BadValue,
            format!("\"{empty}\" in {what} is empty: write a value, or leave the key out."),
        ));
    }
    check_credentials(what, &names)?;
    if matches!(operation.auth, Auth::Set | Auth::User) && names.contains(&"username") && !names.contains(&"password") {
        return Err(Error::because(
            Status::MissingKey,
            format!("\"password\" is missing from {what}: \"username\" requires it."),
        ));
    }
    Ok(())
}

/// Adds those of these credentials of the config that the operation takes and the request does not give.
fn complete_from(config: &Config, operation: &Operation, given: &mut Object, keys: &[&str]) {
    let wanted = |key: &str| keys.contains(&key) && operation.parameter(key).is_some();
    for (key, secret) in config.credentials.iter().filter(|(key, _)| wanted(key)) {
        given.entry(*key).or_insert_with(|| secret.expose().into());
    }
}

/// Returns true if a request names another license or product than the config.
fn names_another_license(config: &Config, given: &Object) -> bool {
    let of_config = |key: &str| match key {
        "product" => Some(config.product.as_str()),
        _ => config.credentials.iter().find(|(name, _)| *name == key).map(|(_, secret)| secret.expose()),
    };
    let named = CREDENTIALS.iter().chain(&["product"]).filter_map(|key| Some((*key, given.get(*key)?.as_str())));
    named.into_iter().any(|(key, named)| named != of_config(key))
}

/// Keys of the config that belong to its one license. A null in the request leaves them out.
pub(crate) const OF_ONE_LICENSE: [&str; 2] = ["license_id", "bundle_code"];

/// Adds the config's other values that the request does not give, except the keys that are `left_out`.
fn complete(operation: &Operation, config: &Config, given: &mut Object, left_out: impl Fn(&str) -> bool) {
    let sdk = concat!("floatlease ", env!("CARGO_PKG_VERSION"));
    // The operations of bundles name the bundle in place of a product.
    let of_bundle = operation.is_of_bundle();
    let bundle = given.get("bundle_code").and_then(Value::as_str).or(config.bundle_code.as_deref());
    let product = bundle.filter(|_| of_bundle).unwrap_or(&config.product).to_owned();
    let defaults: [(&str, Option<Value>); 7] = [
        ("product", Some(product.into())),
        ("hardware_id", Some(config.hardware_id.id.as_str().into())),
        ("license_id", config.license_id.clone()),
        ("bundle_code", config.bundle_code.as_deref().map(Value::from)),
        ("app_ver", config.app_version.as_deref().map(Value::from)),
        ("sdk_ver", Some(sdk.into())),
        // The API requires this key, and null means: as long as the license allows.
        ("borrowed_until", Some(Value::Null)),
    ];
    for (key, default) in defaults {
        let is_of_one = of_bundle && key == "license_id";
        if let Some(default) = default.filter(|_| operation.parameter(key).is_some() && !left_out(key) && !is_of_one) {
            given.entry(key).or_insert(default);
        }
    }
}

/// Converts each date to `YYYY-MM-DDTHH:MM:SS.mmmZ`, and refuses an invalid one.
fn normalise_times(what: &str, operation: &Operation, given: &mut Object) -> Result<(), Error> {
    for parameter in operation.parameters().filter(|parameter| parameter.kind == Kind::TimeOrNull) {
        if let Some(Value::String(text)) = given.get_mut(parameter.name) {
            let Some(time) = model::parse_time(text) else {
                let message = format!("\"{}\" in {what} is invalid: expected a date.", parameter.name);
                return Err(Error::because(Status::BadDate, message));
            };
            *text = model::format_time(time);
        }
    }
    Ok(())
}

/// Adds the members of `extra`, none of which may be a parameter of the operation.
fn merge_extra(what: &str, operation: &Operation, given: &mut Object, extra: Object) -> Result<(), Error> {
    for (key, value) in extra {
        if operation.parameter(&key).is_some() {
            let message =
                format!("\"{key}\" in \"extra\" of {what} is invalid: write this parameter outside \"extra\".");
            return Err(Error::because(Status::ConflictingKeys, message));
        }
        given.insert(key, value);
    }
    Ok(())
}

/// Writes the members as a query, such as `a=1&b=two`. A null member is left out.
fn query(what: &str, given: &Object) -> Result<String, Error> {
    let mut pairs = Vec::with_capacity(given.len());
    for (key, value) in given {
        let text = match value {
            Value::Null => continue,
            Value::String(text) => text.clone(),
            Value::Bool(_) | Value::Number(_) => value.to_string(),
            Value::Array(_) | Value::Object(_) => {
                let message = format!(
                    "\"{key}\" in {what} is invalid: it is sent in a URL, which can't hold an array or an object."
                );
                return Err(Error::because(Status::WrongType, message));
            }
        };
        let encode = |text: &str| utf8_percent_encode(text, RESERVED).to_string();
        pairs.push(format!("{}={}", encode(key), encode(&text)));
    }
    let query = pairs.join("&");
    if query.len() > MAX_QUERY_BYTES {
        let message =
            format!("The request of {what} is too long: it is sent in a URL, which may have {MAX_QUERY_BYTES} bytes.");
        return Err(Error::because(Status::BadValue, message));
    }
    Ok(query)
}

/// Wipes a text that may be a secret.
pub(crate) fn wipe(value: &mut Value) {
    if let Value::String(text) = value {
        text.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(credentials: Value) -> Config {
        let mut object = serde_json::json!({
            "product": "XY", "api_key": "a", "shared_key": "s", "hardware_id": "hw-1", "verify": "off",
            "base_url": "http://127.0.0.1:1", "license_id": 9007199254740991_i64, "app_version": "2.1",
        });
        for (key, value) in credentials.as_object().unwrap() {
            object[key] = value.clone();
        }
        Config::parse(&object.to_string()).unwrap()
    }

    fn key() -> Config {
        config(serde_json::json!({"license_key": "AAAA"}))
    }

    fn prepare(config: &Config, operation: &str, json: &str) -> Result<String, Error> {
        let request = Request::prepare(Operation::named(operation).unwrap(), config, json)?;
        Ok(request.content.expose().to_owned())
    }

    fn body(config: &Config, operation: &str, json: &str) -> Value {
        serde_json::from_str(&prepare(config, operation, json).unwrap()).unwrap()
    }

    #[test]
    fn an_empty_request_is_completed_from_the_config() {
        assert_eq!(
            body(&key(), "borrow_license", "{}"),
            serde_json::json!({"product": "XY", "hardware_id": "hw-1", "license_key": "AAAA", "borrowed_until": null,
                "license_id": 9007199254740991_i64, "sdk_ver": concat!("floatlease ", env!("CARGO_PKG_VERSION"))})
        );
        let query = prepare(&key(), "check_feature", r#"{"feature":"A&B ü"}"#).unwrap();
        assert!(query.contains("feature=A%26B%20%C3%BC&") && query.contains("license_id=9007199254740991"), "{query}");
    }

    #[test]
    fn what_the_request_says_wins_and_its_credentials_replace_the_configs() {
        let sent = body(
            &key(),
            "borrow_license",
            r#"{"username":"u","password":"p","hardware_id":"other","extra":{"x":[1]}}"#,
        );
        assert_eq!(sent["username"], "u");
        assert_eq!(sent["hardware_id"], "other");
        assert_eq!(sent["x"], serde_json::json!([1]));
        assert!(sent.get("license_key").is_none());
    }

    /// The header states this rule for "extra".
    #[test]
    fn number_of_extra_is_sent_as_integer_or_double() {
        for (given, sent) in [
            ("7", "7"),
            ("-9223372036854775808", "-9223372036854775808"),
            ("18446744073709551615", "18446744073709551615"),
            ("18446744073709551616", "1.8446744073709552e+19"),
            ("100000000000000000000000000000", "1e+29"),
            ("-0", "-0.0"),
            ("1e2", "100.0"),
            ("0.1", "0.1"),
        ] {
            let body = prepare(&key(), "borrow_license", &format!(r#"{{"extra":{{"x":[{given}]}}}}"#)).unwrap();
            assert!(body.contains(&format!(r#""x":[{sent}]"#)), "{given}: {body}");
            let query = prepare(&key(), "check_license", &format!(r#"{{"extra":{{"x":{given}}}}}"#)).unwrap();
            assert!(query.contains(&format!("&x={}", sent.replace('+', "%2B"))), "{given}: {query}");
        }
        assert_eq!(prepare(&key(), "borrow_license", r#"{"extra":{"x":1e400}}"#).unwrap_err().status, Status::Json);
    }

    #[test]
    fn id_of_configs_license_goes_with_no_other() {
        for (request, expected) in [
            ("{}", true),
            (r#"{"hardware_id":"other"}"#, true),
            (r#"{"license_key":"BBBB"}"#, false),
            (r#"{"username":"u","password":"p"}"#, false),
            (r#"{"product":"YZ"}"#, false),
            (r#"{"product":"XY","license_key":"AAAA"}"#, true),
            (r#"{"license_id":null}"#, false),
            (r#"{"license_key":"BBBB","license_id":5}"#, true),
        ] {
            assert_eq!(body(&key(), "borrow_license", request).get("license_id").is_some(), expected, "{request}");
        }
    }

    #[test]
    fn a_password_goes_only_where_it_is_asked_for() {
        let user = config(serde_json::json!({"username": "u", "password": "p"}));
        assert_eq!(body(&user, "borrow_license", "{}")["password"], "p");
        assert!(body(&user, "release_license", "{}").get("password").is_none());
    }

    #[test]
    fn change_of_password_takes_what_is_missing_from_config() {
        let user = config(serde_json::json!({"username": "u", "password": "p"}));
        for (given, username, password) in [
            (r#"{"new_password":"n"}"#, "u", "p"),
            (r#"{"password":"typed","new_password":"n"}"#, "u", "typed"),
            (r#"{"username":"v","password":"typed","new_password":"n"}"#, "v", "typed"),
        ] {
            let sent = body(&user, "change_password", given);
            assert_eq!((&sent["username"], &sent["password"]), (&username.into(), &password.into()), "{given}");
            assert_eq!((&sent["new_password"], sent.get("hardware_id")), (&"n".into(), None), "{given}");
        }
        let other = r#"{"username":"v","new_password":"n"}"#;
        assert_eq!(prepare(&user, "change_password", other).unwrap_err().status, Status::MissingKey);
    }

    #[test]
    fn question_about_user_names_no_device_and_no_key() {
        let user = config(serde_json::json!({"username": "u", "password": "p"}));
        let query = prepare(&user, "user_licenses", "{}").unwrap();
        let pairs: Vec<&str> = query.split('&').collect();
        assert!(pairs.contains(&"password=p") && pairs.contains(&"username=u"), "{query}");
        assert!(!query.contains("hardware_id") && !query.contains("license_id"), "{query}");
        let error = prepare(&key(), "user_licenses", "{}").unwrap_err();
        assert_eq!(error.status, Status::MissingKey);
        assert!(error.to_string().contains("\"username\""), "{error}");
    }

    #[test]
    fn address_of_sign_on_is_asked_for_configs_account() {
        let sso = config(serde_json::json!({"id_token": "t", "customer_account_code": "c", "redirect_uri": "r"}));
        let query = prepare(&sso, "sso_url", "{}").unwrap();
        assert!(query.contains("customer_account_code=c&") && query.contains("redirect_uri=r&"), "{query}");
        assert!(!query.contains("id_token"), "{query}");
        assert_eq!(prepare(&key(), "sso_url", "{}").unwrap_err().status, Status::MissingKey);
    }

    #[test]
    fn each_way_to_name_a_license_is_sent() {
        for (credentials, expected) in [
            (serde_json::json!({"id_token": "t", "customer_account_code": "c"}), ["id_token", "customer_account_code"]),
            (serde_json::json!({"code": "t", "customer_account_code": "c"}), ["code", "customer_account_code"]),
            (serde_json::json!({"username": "u", "password": "p"}), ["username", "password"]),
        ] {
            let sent = body(&config(credentials), "activate_license", "{}");
            assert!(expected.iter().all(|key| sent.get(*key).is_some()), "{sent}");
        }
    }

    #[test]
    fn what_does_more_than_ask_has_a_name_of_its_own_or_the_callers() {
        let name = |operation: &str, json: &str| {
            Request::prepare(Operation::named(operation).unwrap(), &key(), json).unwrap().idempotency_key
        };
        assert_eq!(name("check_license", "{}"), None);
        let (one, other) = (name("add_consumption", "{}").unwrap(), name("add_consumption", "{}").unwrap());
        assert!(one != other && model::is_idempotency_key(&one), "{one} {other}");
        assert_eq!(name("borrow_license", r#"{"idempotency_key":"mine-1"}"#).as_deref(), Some("mine-1"));
        assert!(body(&key(), "borrow_license", r#"{"idempotency_key":"mine-1"}"#).get("idempotency_key").is_none());
    }

    #[test]
    fn what_is_too_long_for_a_url_is_the_callers_mistake() {
        let asks =
            |length: usize| prepare(&key(), "check_feature", &format!(r#"{{"feature":"{}"}}"#, "x".repeat(length)));
        assert!(asks(13_000).is_ok());
        for length in [14_000, 2_000_000] {
            let error = asks(length).unwrap_err();
            assert_eq!((error.status, error.message().len() < 200), (Status::BadValue, true), "{error}");
        }
    }

    #[test]
    fn dates_are_sent_in_utc_with_milliseconds() {
        for text in ["2024-09-27 23:30", "2024-09-28T01:30:00+02:00", "2024-09-27T23:30:00.000Z"] {
            let sent = body(&key(), "borrow_license", &format!(r#"{{"borrowed_until":"{text}"}}"#));
            assert_eq!(sent["borrowed_until"], "2024-09-27T23:30:00.000Z", "{text}");
        }
    }

    #[test]
    fn mistakes_are_refused_before_anything_is_sent() {
        let sso = config(serde_json::json!({"id_token": "t", "customer_account_code": "c"}));
        let user = config(serde_json::json!({"username": "u"}));
        for (config, operation, json, status) in [
            (&key(), "check_feature", "{}", Status::MissingKey),
            (&key(), "check_feature", r#"{"feature":""}"#, Status::MissingKey),
            (&key(), "check_feature", r#"{"feature":1}"#, Status::WrongType),
            (&key(), "check_feature", r#"{"featur":"A"}"#, Status::UnknownKey),
            (&key(), "check_license", r#"{"extra":{"a":[]}}"#, Status::WrongType),
            (&key(), "check_license", r#"{"extra":{"product":"A"}}"#, Status::ConflictingKeys),
            (&key(), "check_license", r#"{"timeout_ms":0}"#, Status::BadValue),
            (&key(), "borrow_license", r#"{"borrowed_until":"soon"}"#, Status::BadDate),
            (&key(), "borrow_license", r#"{"license_key":"A","username":"u"}"#, Status::ConflictingKeys),
            (&key(), "borrow_license", r#"{"license_key":""}"#, Status::BadValue),
            (&key(), "borrow_license", r#"{"username":"u"}"#, Status::MissingKey),
            (&key(), "add_consumption", r#"{"consumptions":1.5}"#, Status::WrongType),
            (&key(), "add_consumption", r#"{"idempotency_key":""}"#, Status::BadValue),
            (&key(), "add_consumption", r#"{"idempotency_key":"two words"}"#, Status::BadValue),
            (&key(), "check_license", r#"{"idempotency_key":"k"}"#, Status::UnknownKey),
            (&user, "borrow_license", "{}", Status::MissingKey),
            (&user, "user_licenses", "{}", Status::MissingKey),
            (&user, "user_licenses", r#"{"license_key":"A"}"#, Status::UnknownKey),
            (&user, "change_password", r#"{"password":"p"}"#, Status::MissingKey),
            (&user, "change_password", r#"{"password":"","new_password":"n"}"#, Status::MissingKey),
            (&user, "change_password", r#"{"password":"p","new_password":""}"#, Status::MissingKey),
            (&user, "change_password", r#"{"password":"p","new_password":7}"#, Status::WrongType),
            (&user, "customer_license_users", "{}", Status::MissingKey),
            (&sso, "check_license", "{}", Status::MissingKey),
        ] {
            let error = prepare(config, operation, json).expect_err(json);
            assert_eq!(error.status, status, "{json}: {error}");
        }
    }
}
