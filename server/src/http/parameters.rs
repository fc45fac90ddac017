//! Makes a [`Command`] from a query or a body. The table of operations, which the client uses too, says what is valid.

use floatlease::model::{IDEMPOTENCY_KEY, MAX_ORDER, ORDER, is_idempotency_key, parse_order, parse_time};
use floatlease::operations::{Auth, Kind, Method, Operation, Parameter};
use hyper::HeaderMap;
use serde_json::{Map, Value, json};

use crate::catalogue::{
    Customer, LONGEST_TEXT_BYTES, LONGEST_TOKEN_BYTES, MAX_SAFE_INTEGER, SingleSignOn, VersionFilter,
};
use crate::domain::{Action, Command, Credential, OfflineRequest, PasswordProof, Refusal, Token, TrialRequest, Until};

/// The two `event`s of consumption. The difference only matters to an activity log, which this server does not keep.
const CONSUMPTION_EVENTS: [&str; 2] = ["consumption_add", "offline_floating_consumptions_sync"];

/// What an identity provider may send a user back with: an authorization code, the default, or a token.
const RESPONSE_TYPES: [&str; 2] = ["code", "token"];

/// Parameters that hold tokens of identity providers, which are longer than other texts.
const TOKENS: [&str; 2] = ["id_token", "code"];
/// Upper bound for the variables in a request.
const MOST_VARIABLES: usize = 64;

/// Parameters that name a license. Each request has exactly one of them.
const NAMES_OF_LICENSE: [&str; 4] = ["license_key", "username", "id_token", "code"];
/// Operations whose documentation has a code of its own for a request that names no license.
const NAMED_BY_KEY_OR_USER: [&str; 2] = ["versions", "installation_file"];
/// Pairs of parameters of which the first requires the second.
const TOGETHER: [(&str, &str); 4] = [
    ("username", "password"),
    ("password", "username"),
    ("id_token", "customer_account_code"),
    ("code", "customer_account_code"),
];

/// The parameters of a request, each of the type that its operation demands.
#[derive(Debug)]
pub(super) struct Parameters(Map<String, Value>);

impl Parameters {
    /// Reads and checks the parameters: from the query of a GET, or from the body of a POST.
    pub(super) fn read(operation: &Operation, query: &str, body: &[u8]) -> Result<Parameters, Refusal> {
        let given = match operation.method {
            Method::Get if !is_utf8(query) => {
                return invalid("The query is invalid: expected UTF-8 after decoding.".to_owned());
            }
            Method::Get => form_urlencoded::parse(query.as_bytes())
                .map(|(name, value)| (name.into_owned(), Value::String(value.into_owned())))
                .collect(),
            Method::Post if body.trim_ascii().is_empty() => Map::new(),
            Method::Post => match serde_json::from_slice(body).map_err(|_| Refusal::InvalidJson)? {
                Value::Object(given) => given,
                _ => return Err(Refusal::ValidationError("The body is invalid: expected a JSON object.".to_owned())),
            },
        };
        Parameters(given).checked(operation)
    }

    /// Checks the members of a request file.
    pub(super) fn of_members(members: Map<String, Value>, row: &Operation) -> Result<Parameters, Refusal> {
        Parameters(members).checked(row)
    }

    fn checked(self, operation: &Operation) -> Result<Parameters, Refusal> {
        let missing: Vec<&str> = operation
            .parameters()
            .filter(|parameter| parameter.required || self.is_wanted(operation.auth, parameter.name))
            .filter(|parameter| !self.is_given(parameter.name, parameter.kind))
            .map(|parameter| parameter.name)
            .collect();
        if missing == ["hardware_id"] && operation.name == "trial_key" {
            return Err(Refusal::MissingHardwareId);
        }
        if missing == ["license_key"] && NAMED_BY_KEY_OR_USER.contains(&operation.name) {
            return Err(Refusal::LicenseKeyOrUserRequired);
        }
        if !missing.is_empty() {
            return Err(Refusal::MissingParameters(missing.join(", ")));
        }
        let sets: Vec<&str> = NAMES_OF_LICENSE.into_iter().filter(|name| self.takes(operation, name)).collect();
        if sets.len() > 1 {
            return invalid(format!("{} exclude each other; send one of them", sets.join(" and ")));
        }
        let mut checked = Map::new();
        for parameter in operation.parameters().filter(|parameter| self.is_given(parameter.name, parameter.kind)) {
            let (name, kind) = (parameter.name, parameter.kind);
            checked.insert(name.to_owned(), checked_value(name, kind, self.0.get(name).unwrap_or(&Value::Null))?);
        }
        Ok(Parameters(checked))
    }

    /// Returns whether the other parameters make `name` required.
    fn is_wanted(&self, auth: Auth, name: &str) -> bool {
        let text = |name| self.is_given(name, Kind::Text);
        match (auth, name) {
            (Auth::None | Auth::Password, _) => false,
            (Auth::User, "username") if !["id_token", "code"].into_iter().any(text) => true,
            (Auth::Ident, "license_key") => !text("username"),
            (Auth::Ident, _) => false,
            (Auth::Set, "license_key") => !["username", "password", "id_token", "code"].into_iter().any(text),
            (Auth::Set | Auth::User, _) => TOGETHER.into_iter().any(|(given, wanted)| wanted == name && text(given)),
        }
    }

    /// Returns whether a parameter is given. Null and the empty text count as absent, except for `borrowed_until`.
    fn is_given(&self, name: &str, kind: Kind) -> bool {
        match self.0.get(name) {
            None => false,
            Some(Value::Null) => kind == Kind::TimeOrNull,
            Some(Value::String(text)) => kind == Kind::TimeOrNull || !text.is_empty(),
            Some(_) => true,
        }
    }

    fn takes(&self, operation: &Operation, name: &str) -> bool {
        operation.parameter(name).is_some_and(|parameter| self.is_given(name, parameter.kind))
    }

    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.0.get(name).and_then(Value::as_str).map(str::to_owned)
    }

    pub(super) fn flag(&self, name: &str) -> bool {
        self.boolean(name).unwrap_or(false)
    }

    fn boolean(&self, name: &str) -> Option<bool> {
        self.0.get(name).and_then(Value::as_bool)
    }

    fn integer(&self, name: &str) -> Option<i64> {
        self.0.get(name).and_then(Value::as_i64)
    }

    /// Returns a text that [`Parameters::read`] has found to be given.
    pub(super) fn required(&self, name: &str) -> String {
        self.text(name).unwrap_or_default()
    }

    /// Makes the command that the client asks for.
    pub(super) fn command(&self, operation: &Operation) -> Result<Command, Refusal> {
        Ok(Command {
            product: self.required("product"),
            credential: self.credential(),
            // A negative number finds no license, since 0 is not the number of any.
            license_id: self.integer("license_id").map(|id| id.try_into().unwrap_or_default()),
            licenses: None,
            hardware_id: self.required("hardware_id"),
            is_vm: self.flag("is_vm"),
            action: self.action(operation.name)?,
            idempotency_key: None,
            order: None,
        })
    }

    /// Makes the request that a file of this row holds, without its number.
    pub(super) fn offline(&self, row: &Operation) -> Result<OfflineRequest, Refusal> {
        let features = self.0.get("feature_consumptions").and_then(Value::as_object);
        let amount =
            |(code, value): (&String, &Value)| match typed(Kind::Integer, value).and_then(|value| value.as_i64()) {
                Some(amount) => Ok((code.clone(), amount)),
                None => invalid(format!("feature_consumptions.{code} must be {}", expected(Kind::Integer))),
            };
        Ok(OfflineRequest {
            command: self.command(row)?,
            number: 0,
            pool_reservation: self.pool_reservation()?,
            consumptions: self.integer("consumptions").unwrap_or_default(),
            feature_consumptions: features.into_iter().flatten().map(amount).collect::<Result<_, _>>()?,
        })
    }

    pub(super) fn credential(&self) -> Credential {
        let customer_account_code = self.required("customer_account_code");
        if let Some(token) = self.text("id_token") {
            return Credential::Token { token: Token::IdToken(token), customer_account_code };
        }
        if let Some(code) = self.text("code") {
            return Credential::Token { token: Token::Code(code), customer_account_code };
        }
        match self.text("username") {
            Some(username) => Credential::User { username, password: self.text("password").map(PasswordProof::Text) },
            None => Credential::Key(self.required("license_key")),
        }
    }

    fn action(&self, operation: &str) -> Result<Action, Refusal> {
        let feature = self.required("feature");
        Ok(match operation {
            "activate_license" | "activate_bundle" | "write_offline_activation" => {
                Action::Activate { variables: self.variables()? }
            }
            "check_license" | "check_bundle" => Action::CheckLicense {
                include_expired_features: self.flag("include_expired_features"),
                wanted: self.versions(),
            },
            "deactivate_license" | "deactivate_bundle" | "write_offline_deactivation" => {
                Action::Deactivate { variables: self.variables()? }
            }
            "borrow_license" => Action::BorrowLicense(self.until()),
            "release_license" => Action::ReleaseLicense,
            "check_feature" => {
                Action::CheckFeature { feature, include_metadata_string: self.flag("include_metadata_string") }
            }
            "borrow_feature" => Action::BorrowFeature { feature, until: self.until() },
            "release_feature" => Action::ReleaseFeature { feature },
            "versions" => Action::ListVersions(self.versions()),
            "installation_file" => {
                Action::FindInstallationFile { wanted: self.versions(), version: self.text("version") }
            }
            "get_device_variables" => Action::ListVariables,
            "track_device_variables" => Action::TrackVariables { variables: self.variables()? },
            "add_consumption" => Action::AddConsumption {
                amount: self.amount()?,
                allow_overages: self.boolean("allow_overages"),
                max_overages: self.max_overages()?,
            },
            "add_feature_consumption" => Action::AddFeatureConsumption { feature, amount: self.amount()? },
            other => return Err(Refusal::NotFound(format!("The operation {other} is unknown to this server."))),
        })
    }

    /// Makes the request for a trial that the client asks for. The license gets this key if it is new.
    pub(super) fn trial(&self, license_key: String) -> TrialRequest {
        let text = |name| self.required(name);
        TrialRequest {
            product: text("product"),
            hardware_id: text("hardware_id"),
            policy: self.text("license_policy"),
            customer: Customer { email: text("email"), ..Customer::of_texts(text) },
            license_key,
        }
    }

    /// Returns the versions that the client asks for.
    pub(super) fn versions(&self) -> VersionFilter {
        VersionFilter { environment: self.text("env"), channel: self.text("channel") }
    }

    /// Returns the address that a user is to come back to, one that the account allows, and the type of what proves the sign-in.
    pub(super) fn sign_on(&self, sign_on: &SingleSignOn) -> Result<(String, String), Refusal> {
        let [default, ..] = RESPONSE_TYPES;
        let response_type = self.text("response_type").unwrap_or_else(|| default.to_owned());
        if !RESPONSE_TYPES.contains(&response_type.as_str()) {
            return invalid(format!("response_type is invalid: expected one of {}", RESPONSE_TYPES.join(", ")));
        }
        let redirect_uri = self.text("redirect_uri").or_else(|| sign_on.redirect_uris.first().cloned());
        match redirect_uri.filter(|uri| sign_on.may_return_to(uri)) {
            Some(redirect_uri) => Ok((redirect_uri, response_type)),
            None => invalid("redirect_uri is not among those of the customer account".to_owned()),
        }
    }

    fn until(&self) -> Until {
        match self.text("borrowed_until") {
            None => Until::Longest,
            Some(text) => parse_time(&text).map_or(Until::Unreadable, Until::At),
        }
    }

    fn amount(&self) -> Result<i64, Refusal> {
        let events = self.0.get("event").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let known = |event: &Value| event.as_str().is_some_and(|event| CONSUMPTION_EVENTS.contains(&event));
        if events.len() > 1 || !events.iter().all(known) {
            return invalid(format!("event is invalid: expected exactly one of {}", CONSUMPTION_EVENTS.join(", ")));
        }
        Ok(self.integer("consumptions").unwrap_or(1))
    }

    fn pool_reservation(&self) -> Result<Option<i64>, Refusal> {
        match self.integer("pool_reservation") {
            Some(units) if !(0..=MAX_SAFE_INTEGER as i64).contains(&units) => {
                invalid("pool_reservation must be from 0, below 2^53".to_owned())
            }
            units => Ok(units),
        }
    }

    fn max_overages(&self) -> Result<Option<i64>, Refusal> {
        match self.integer("max_overages") {
            // JavaScript clients can't represent larger integers exactly.
            Some(max) if !(0..=MAX_SAFE_INTEGER as i64).contains(&max) => {
                invalid("max_overages must be from 0, below 2^53".to_owned())
            }
            max => Ok(max),
        }
    }

    fn variables(&self) -> Result<Vec<(String, String)>, Refusal> {
        let variables = self.0.get("variables").and_then(Value::as_object);
        if variables.is_some_and(|variables| variables.len() > MOST_VARIABLES) {
            return invalid(format!("variables holds too many entries: at most {MOST_VARIABLES} are allowed"));
        }
        let long = |text: &str| text.len() > LONGEST_TEXT_BYTES;
        variables
            .into_iter()
            .flatten()
            .map(|(name, value)| match value {
                _ if long(name) || value.as_str().is_some_and(long) => {
                    invalid(format!("names and values of variables must not be longer than {LONGEST_TEXT_BYTES} bytes"))
                }
                Value::String(text) => Ok((name.clone(), text.clone())),
                Value::Number(_) | Value::Bool(_) => Ok((name.clone(), value.to_string())),
                _ => invalid(format!("variables.{name} must be a string, a number or a boolean")),
            })
            .collect()
    }
}

/// Returns the JSON Schema of a parameter: the form that clients should send, with the limits above.
///
/// The server also accepts null and the empty text, which count as absent, and numbers and booleans written as texts.
pub(crate) fn schema(parameter: &Parameter) -> Value {
    let text = LONGEST_TEXT_BYTES;
    match (parameter.name, parameter.kind) {
        ("response_type", _) => json!({ "type": "string", "maxLength": text, "enum": RESPONSE_TYPES }),
        ("max_overages", _) => json!({ "type": "integer", "minimum": 0, "maximum": MAX_SAFE_INTEGER }),
        ("event", _) => json!({ "type": "array", "maxItems": 1, "items": { "enum": CONSUMPTION_EVENTS } }),
        ("variables", _) => json!({
            "type": "object",
            "maxProperties": MOST_VARIABLES,
            "propertyNames": { "maxLength": text },
            "additionalProperties": { "type": ["string", "number", "boolean"], "maxLength": text },
        }),
        (name, Kind::Text) if parameter.required => {
            json!({ "type": "string", "minLength": 1, "maxLength": longest(name) })
        }
        (name, Kind::Text) => json!({ "type": "string", "maxLength": longest(name) }),
        (_, Kind::File) => json!({ "type": "string", "minLength": 1, "pattern": "^[A-Za-z0-9+/\\s]+=*\\s*$" }),
        (_, Kind::Integer) => json!({ "type": "integer", "format": "int64" }),
        (_, Kind::Boolean) => json!({ "type": "boolean" }),
        (_, Kind::TimeOrNull) => json!({
            "type": ["string", "null"],
            "maxLength": text,
            "description": "A date with or without a time, UTC unless it says otherwise; null is as long as may be.",
        }),
        (_, Kind::Object) => json!({ "type": "object" }),
        (_, Kind::Texts) => json!({ "type": "array", "items": { "type": "string" } }),
    }
}

/// Returns the JSON Schema of an operation's body.
pub(crate) fn body_schema(operation: &Operation) -> Value {
    let properties = operation.parameters().map(|parameter| (parameter.name.to_owned(), schema(parameter)));
    let required = operation.parameters().filter(|parameter| parameter.required).map(|parameter| parameter.name);
    let mut schema = json!({
        "type": "object",
        "properties": properties.collect::<Map<String, Value>>(),
        "required": required.collect::<Vec<&str>>(),
    });
    if matches!(operation.auth, Auth::Ident | Auth::Set) {
        let names = NAMES_OF_LICENSE.iter().filter(|name| operation.parameter(name).is_some());
        schema["oneOf"] = names.map(|name| json!({ "required": [name] })).collect();
    }
    if operation.auth == Auth::Set {
        let together = TOGETHER.iter().map(|(given, wanted)| ((*given).to_owned(), json!([wanted])));
        schema["dependentRequired"] = Value::Object(together.collect());
    }
    schema
}

fn longest(name: &str) -> usize {
    if TOKENS.contains(&name) { LONGEST_TOKEN_BYTES } else { LONGEST_TEXT_BYTES }
}

/// Returns the request's `Idempotency-Key`.
pub(super) fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Refusal> {
    let Some(value) = headers.get(IDEMPOTENCY_KEY) else { return Ok(None) };
    let alone = headers.get_all(IDEMPOTENCY_KEY).iter().count() == 1;
    let key = value.to_str().ok().filter(|key| alone && is_idempotency_key(key));
    let wrong = || format!("{IDEMPOTENCY_KEY} must be given once, with 1 to 255 visible characters");
    key.map_or_else(|| invalid(wrong()), |key| Ok(Some(key.to_owned())))
}

/// Returns the request's order number, if its operation is ordered.
pub(super) fn order(operation: &Operation, headers: &HeaderMap) -> Result<Option<u64>, Refusal> {
    let Some(value) = headers.get(ORDER).filter(|_| operation.is_ordered()) else { return Ok(None) };
    let alone = headers.get_all(ORDER).iter().count() == 1;
    let number = value.to_str().ok().filter(|_| alone).and_then(parse_order);
    let wrong = || format!("{ORDER} must be given once, as a whole number from 1 to {MAX_ORDER}");
    number.map_or_else(|| invalid(wrong()), |number| Ok(Some(number)))
}

/// Returns whether the query's percent-encoded bytes are UTF-8.
///
/// Decoding would replace each invalid byte by the same U+FFFD, so that two devices could get the same name.
fn is_utf8(query: &str) -> bool {
    let mut decoded = Vec::with_capacity(query.len());
    let mut rest = query.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let hex = after.first_chunk::<2>().filter(|hex| *first == b'%' && hex.iter().all(u8::is_ascii_hexdigit));
        let byte = hex.and_then(|hex| u8::from_str_radix(str::from_utf8(hex).ok()?, 16).ok());
        decoded.push(byte.unwrap_or(*first));
        rest = after.get(if byte.is_some() { 2 } else { 0 }..).unwrap_or_default();
    }
    str::from_utf8(&decoded).is_ok()
}

fn invalid<T>(message: String) -> Result<T, Refusal> {
    Err(Refusal::ValidationError(message))
}

/// Converts the value of a parameter to its type, or refuses it by its name.
pub(super) fn checked_value(name: &str, kind: Kind, given: &Value) -> Result<Value, Refusal> {
    let value = typed(kind, given);
    let value = value.map_or_else(|| invalid(format!("{name} must be {}", expected(kind))), Ok)?;
    let longest = longest(name);
    if value.as_str().is_some_and(|text| text.len() > longest) {
        return invalid(format!("{name} must not be longer than {longest} bytes"));
    }
    Ok(value)
}

/// Converts the value to the kind's type, if it is valid. In a query, every value is a text.
fn typed(kind: Kind, value: &Value) -> Option<Value> {
    match (kind, value) {
        (Kind::Text, Value::String(_))
        | (Kind::File, Value::String(_))
        | (Kind::TimeOrNull, Value::String(_) | Value::Null)
        | (Kind::Boolean, Value::Bool(_))
        | (Kind::Object, Value::Object(_)) => Some(value.clone()),
        (Kind::Integer, Value::Number(number)) => number.as_i64().or_else(|| whole(number.as_f64()?)).map(Value::from),
        (Kind::Integer, Value::String(text)) => text.trim().parse::<i64>().ok().map(Value::from),
        // Python writes `True`.
        (Kind::Boolean, Value::String(text)) => text.to_ascii_lowercase().parse::<bool>().ok().map(Value::from),
        (Kind::Texts, Value::Array(values)) if values.iter().all(Value::is_string) => Some(value.clone()),
        _ => None,
    }
}

/// Returns the integer that a number stands for: many languages write 5 as 5.0.
fn whole(number: f64) -> Option<i64> {
    (number.fract() == 0.0 && number.abs() <= MAX_SAFE_INTEGER as f64).then_some(number as i64)
}

fn expected(kind: Kind) -> &'static str {
    match kind {
        Kind::Text | Kind::File => "a string",
        Kind::Integer => "an integer",
        Kind::Boolean => "true or false",
        Kind::TimeOrNull => "a string or null",
        Kind::Object => "an object",
        Kind::Texts => "an array of strings",
    }
}
