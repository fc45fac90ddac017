//! Describes the License API v4.

use std::collections::BTreeSet;

use floatlease::model::{IDEMPOTENCY_KEY, MAX_ORDER, ORDER, TOO_MANY_CONNECTIONS};
use floatlease::operations::{Method, OPERATIONS, Operation, Reply};
use serde_json::{Map, Value, json};

use super::{Document, Endpoint, json_body, json_reply, parameter, refusal_reply};
use crate::domain::{Refusal, reply};
use crate::http::parameters;
use crate::http::public_routes::{PUBLIC_ROUTES, PublicRoute};
use crate::http::token_endpoint::{self, CLIENT_CREDENTIALS, IssuedToken, TOKEN_PATH};

const DESCRIPTION: &str = "The LicenseSpring License API v4, as floatlease-server speaks it. Every refusal has a body of \
    status, code and message; clients go by the code. Times are UTC. A license is named by \
    license_key or by username, never by both. A final slash in a path and parameters that are not listed here are \
    ignored.";

/// The meaning of each error status, whatever the code.
const REFUSED: [(u16, &str); 6] = [
    (400, "Refused; the code says why."),
    (404, "The path is unknown, or its method is wrong."),
    (414, "The URL is too long, as by a long token in the query."),
    (429, "Too many requests, or too many passwords to check; `Retry-After` says when the next is allowed."),
    (431, "The headers are too long, or too many."),
    (503, "The result could not be kept, or there is no place for the connection; ask again in a while."),
];

/// The codes with which public routes refuse a wrong query.
const CODES_OF_PUBLIC_ROUTES: [&str; 2] = ["missing_parameters", "validation_error"];

/// (operation, summary), as in docs/operations.md.
const SUMMARIES: [(&str, &str); 27] = [
    ("activate_license", "activates the license on this device; takes no slot"),
    ("check_license", "takes this device's slot of a floating license, or renews it"),
    ("deactivate_license", "deactivates the device and frees all its slots"),
    ("borrow_license", "keeps the slot until a date, offline too"),
    ("release_license", "releases the slot, borrowed or not"),
    ("check_feature", "takes a slot of a floating feature, or renews it"),
    ("borrow_feature", "keeps a feature's slot until a date"),
    ("release_feature", "releases a feature's slot"),
    ("add_consumption", "books consumptions on a license"),
    ("add_feature_consumption", "books consumptions on a feature"),
    ("product_details", "describes the product"),
    ("products", "lists the products with their features"),
    ("trial_key", "gives this device a trial of the product, or tells the one that it has"),
    ("versions", "lists the versions that the license includes"),
    ("installation_file", "tells where a version's file is"),
    ("device_licenses", "lists the licenses that are active on this device"),
    ("activate_bundle", "activates the licenses of a bundle on this device"),
    ("check_bundle", "checks the licenses of a bundle, and takes or renews the slots of those that float"),
    ("deactivate_bundle", "deactivates the licenses of a bundle on this device"),
    ("get_device_variables", "lists the values that the server keeps for this device"),
    ("track_device_variables", "keeps values for this device"),
    ("change_password", "changes the password of a user"),
    ("user_licenses", "lists the licenses of a product that a user may use"),
    ("customer_license_users", "lists the users of a customer's licenses"),
    ("sso_url", "tells where a user signs in by single sign-on"),
    ("activate_offline", "activates a license on the device that has written the request file"),
    ("deactivate_offline", "deactivates the device that has written the request file"),
];

/// (operation, or "" for any; parameter; value): example values, which exist in examples/catalogue.toml.
const EXAMPLES: [(&str, &str, Option<&str>); 21] = [
    ("activate_bundle", "product", Some("SUITE")),
    ("check_bundle", "product", Some("SUITE")),
    ("deactivate_bundle", "product", Some("SUITE")),
    ("add_consumption", "license_key", Some("CADP-CONS-UMPT-0100")),
    ("add_feature_consumption", "feature", Some("RENDER-MINUTES")),
    ("user_licenses", "product", Some("STUDIO")),
    ("user_licenses", "username", Some("ada@example.com")),
    ("user_licenses", "password", Some("correct-horse")),
    ("change_password", "username", Some("ada@example.com")),
    ("change_password", "password", Some("correct-horse")),
    ("change_password", "new_password", Some("better-horse")),
    ("customer_license_users", "product", Some("STUDIO")),
    ("sso_url", "product", Some("STUDIO")),
    ("sso_url", "customer_account_code", Some("EXAMPLE")),
    ("", "customer", Some("buyer@example.com")),
    ("", "product", Some("CAD-PRO")),
    ("", "hardware_id", Some("workstation-1")),
    ("", "license_key", Some("CADP-FLOA-TING-0002")),
    ("", "feature", Some("MESH")),
    ("", "borrowed_until", None),
    ("", "version", Some("1.0.0")),
];

/// Makes the document of the API at `base_url`.
pub fn v4(base_url: &str) -> Value {
    let mut document = Document::new("floatlease-server: License API v4", DESCRIPTION, base_url, security());
    document.also_secured_by(bearer(), &["date"]);
    for (status, description) in REFUSED {
        let mut codes = codes(Refusal::codes(), status);
        if status == 400 {
            codes.retain(|code| CODES_OF_PUBLIC_ROUTES.contains(code));
        }
        // The request was not read so far that it could be refused as the others are.
        if codes.is_empty() {
            codes.push("validation_error");
        }
        if status == 503 {
            codes.push(TOO_MANY_CONNECTIONS);
        }
        document.refusal(status, description, &codes, refusal_headers(status));
    }
    for operation in OPERATIONS {
        let reply = reply_to(operation, &mut document);
        document.add_refusing(endpoint(operation, reply), own_refusals(operation));
    }
    for route in PUBLIC_ROUTES {
        let reply = open_reply(route, &mut document);
        document.add(open_endpoint(route, reply));
    }
    add_token_endpoint(&mut document);
    document.finish()
}

/// Returns those of the codes that go with this status.
fn codes(codes: BTreeSet<(u16, &'static str)>, status: u16) -> Vec<&'static str> {
    codes.into_iter().filter(|row| row.0 == status).map(|row| row.1).collect()
}

/// Describes the refusals of an operation whose codes are not those of all operations.
fn own_refusals(operation: &Operation) -> Map<String, Value> {
    let own = REFUSED.iter().filter(|row| row.0 == 400).map(|(status, description)| {
        let codes = codes(Refusal::codes_of(operation.name), *status);
        (status.to_string(), refusal_reply(*status, description, &codes, refusal_headers(*status)))
    });
    own.collect()
}

/// Describes access tokens, which take the place of the API key's signature.
fn bearer() -> Map<String, Value> {
    let description =
        format!("The access token of an OAuth client, from {TOKEN_PATH}. The Date header is needed all the same.");
    Map::from_iter([("bearer".to_owned(), json!({ "type": "http", "scheme": "bearer", "description": description }))])
}

/// Adds the token endpoint, whose requests and refusals are those of RFC 6749.
fn add_token_endpoint(document: &mut Document) {
    let text = |longest: usize| json!({ "type": "string", "minLength": 1, "maxLength": longest });
    let grant = json!({ "type": "string", "const": CLIENT_CREDENTIALS });
    let schema = json!({
        "type": "object",
        "properties": { "grant_type": grant, "client_id": text(1024), "client_secret": text(1024) },
        "required": ["grant_type"],
    });
    let body = json!({ "required": true, "content": { "application/x-www-form-urlencoded": { "schema": schema } } });
    let uncached = json!({ "Cache-Control": { "required": true, "schema": { "const": "no-store" } } });
    let issued = document.generator().subschema_for::<IssuedToken>();
    let mut replies = Map::from_iter([("200".to_owned(), json_reply("The token.", uncached.clone(), issued.into()))]);
    for (status, description) in [(400, "The request is wrong."), (401, "The client has not proven itself.")] {
        let refusals = token_endpoint::REFUSALS.iter().filter(|row| row.0 == status);
        let errors: BTreeSet<&str> = refusals.map(|row| row.1).collect();
        let schema = json!({
            "type": "object",
            "properties": {
                "error": { "type": "string", "enum": errors },
                "error_description": { "type": "string", "description": "For people." },
            },
            "required": ["error", "error_description"],
            "additionalProperties": false,
        });
        replies.insert(status.to_string(), json_reply(description, uncached.clone(), schema));
    }
    let endpoint = Endpoint {
        path: TOKEN_PATH,
        method: "post",
        name: "oauth_token",
        summary: "Issues an access token to an OAuth client, which sends its secret in the body or by HTTP Basic.",
        parameters: Vec::new(),
        body: Some(body),
        reply: Value::Null,
        open: true,
    };
    document.add_with_replies(endpoint, replies);
}

fn security() -> Map<String, Value> {
    let header = |name: &str, description: &str| json!({ "type": "apiKey", "in": "header", "name": name, "description": description });
    let date =
        "The time of the request, such as `Thu, 01 Jan 2026 00:00:00 GMT`, at most 15 minutes from the server's.";
    let authorization = "`algorithm=\"hmac-sha256\", headers=\"date\", signature=\"…\", apikey=\"…\"`. The signature is the \
        HMAC-SHA-256, in Base64, of `licenseSpring`, a line feed, `date: ` and the Date header's text, under the shared \
        key of the API key. There is no scheme word in front.";
    Map::from_iter([
        ("date".to_owned(), header("Date", date)),
        ("authorization".to_owned(), header("Authorization", authorization)),
    ])
}

fn refusal_headers(status: u16) -> Value {
    let retry_after = json!({ "required": true, "description": "Seconds.", "schema": { "type": "integer" } });
    match status {
        429 | 503 => json!({ "Retry-After": retry_after, IDEMPOTENCY_KEY: echoed_key(), ORDER: echoed_order() }),
        400 => json!({ IDEMPOTENCY_KEY: echoed_key(), ORDER: echoed_order() }),
        _ => json!({}),
    }
}

fn endpoint(operation: &'static Operation, reply: Value) -> Endpoint<'static> {
    let query = operation.parameters().map(|taken| {
        let mut query = parameter("query", taken.name, taken.required, parameters::schema(taken));
        if let Some(example) = example(operation, taken.name) {
            query["example"] = example;
        }
        query
    });
    let headers = request_headers(operation);
    let summary = SUMMARIES.iter().find(|row| row.0 == operation.name).map(|row| row.1);
    let (method, parameters, body) = match operation.method {
        Method::Get => ("get", query.chain(headers).collect(), None),
        Method::Post if operation.takes_file() => ("post", headers, Some(file_body(operation))),
        Method::Post => ("post", headers, Some(json_body(true, body(operation)))),
    };
    let summary = summary.unwrap_or_default();
    Endpoint { path: operation.path, method, name: operation.name, summary, parameters, body, reply, open: false }
}

/// Returns the headers that a request may have besides those of its authorisation.
fn request_headers(operation: &Operation) -> Vec<Value> {
    let mut headers = Vec::new();
    if operation.is_consumption() {
        let mut key = parameter("header", IDEMPOTENCY_KEY, false, key_schema());
        key["description"] = "The same request again, under the same key, is answered and not booked again.".into();
        headers.push(key);
    }
    if operation.is_ordered() {
        let mut order = parameter("header", ORDER, false, order_schema());
        order["description"] = "A number that grows from request to request of a device. A request is refused as \
            order_outdated if one with a higher number came first about the same slot, or about the device; the same \
            request again, with the same number, is answered as before and changes nothing."
            .into();
        headers.push(order);
    }
    headers
}

fn order_schema() -> Value {
    json!({ "type": "integer", "minimum": 1, "maximum": MAX_ORDER })
}

/// Describes the header that tells a client that its requests are kept in order.
fn echoed_order() -> Value {
    let description = "Of a request that had one: the same number, or the highest that came, in a refusal as \
        order_outdated.";
    json!({ "required": false, "description": description, "schema": order_schema() })
}

fn key_schema() -> Value {
    json!({ "type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$" })
}

/// Describes the header that tells a client that a repeated request is not booked again.
fn echoed_key() -> Value {
    let description = "Of a request for consumptions that had one: the same key, which this server books once.";
    json!({ "required": false, "description": description, "schema": key_schema() })
}

fn body(operation: &Operation) -> Value {
    let given = operation.parameters();
    let given = given.filter_map(|parameter| Some((parameter.name.to_owned(), example(operation, parameter.name)?)));
    json!({ "schema": parameters::body_schema(operation), "example": given.collect::<Map<String, Value>>() })
}

/// Describes a body that is a file, as text or as a part of a form.
fn file_body(operation: &Operation) -> Value {
    let description = "The Base64 of a request that a device without a network has written and signed.";
    let file: Vec<Value> = operation.parameters().map(parameters::schema).collect();
    let form = json!({ "type": "object", "properties": { "file": file.first() }, "required": ["file"] });
    json!({
        "required": true,
        "description": description,
        "content": { "text/plain": { "schema": file.first() }, "multipart/form-data": { "schema": form } },
    })
}

fn example(operation: &Operation, parameter: &str) -> Option<Value> {
    if parameter == "variables" {
        return Some(json!({ "room": 12 }));
    }
    let mut rows = EXAMPLES.iter().filter(|row| row.1 == parameter);
    rows.find(|row| row.0 == operation.name || row.0.is_empty()).map(|row| row.2.into())
}

fn reply_to(operation: &Operation, document: &mut Document) -> Value {
    let echoed = if operation.is_ordered() { json!({ ORDER: echoed_order() }) } else { json!({}) };
    let mut json = |required: &[&str]| {
        let schema = reply::schema(operation.name, document.generator());
        let mut schema = schema.map(Value::from).unwrap_or_default();
        if !required.is_empty() {
            let outermost = required.iter().map(|member| member.split('.').next());
            schema["required"] = outermost.collect();
        }
        let mut headers = signature();
        if operation.is_consumption() {
            headers[IDEMPOTENCY_KEY] = echoed_key();
        }
        if operation.is_ordered() {
            headers[ORDER] = echoed_order();
        }
        json_reply("Done.", headers, schema)
    };
    match operation.reply {
        Reply::License | Reply::OfflineLicense => json(&[]),
        // The type of an array names the members of its entries itself.
        Reply::List(_) | Reply::Licenses => json(&[]),
        Reply::Signed(members) => json(members),
        Reply::Empty => json!({ "description": "Done; the body is empty.", "headers": echoed }),
        Reply::Text(text) => {
            let content = json!({ "text/plain": { "schema": { "type": "string", "const": text } } });
            json!({ "description": "Done.", "headers": echoed, "content": content })
        }
    }
}

fn signature() -> Value {
    json!({ "LicenseSignature": {
        "required": true,
        "description": "RSA PKCS#1 v1.5 with SHA-256 over the body's bytes, in Base64.",
        "schema": { "type": "string", "pattern": "^[A-Za-z0-9+/]+=*$" },
    } })
}

fn open_reply(route: &PublicRoute, document: &mut Document) -> Value {
    let headers = if route.signed { signature() } else { json!({}) };
    let schema = (route.reply)(document.generator());
    json_reply("Done.", headers, schema.into())
}

fn open_endpoint(route: &'static PublicRoute, reply: Value) -> Endpoint<'static> {
    let given = |(name, value): &(&str, &str)| parameter("query", name, true, json!({ "const": value }));
    Endpoint {
        path: route.path,
        method: "get",
        name: route.name,
        summary: route.summary,
        parameters: route.query.iter().map(given).collect(),
        body: None,
        reply,
        open: true,
    }
}
