//! The description of the API against the API: its routes, what it demands, and real replies.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod common;

use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Command, Stdio};

use common::description::{check, closed};
use common::offline::{members, schema_2};
use common::{API_KEY, Answer, Client, SHARED_KEY, TestServer, with};
use floatlease::model::{IDEMPOTENCY_KEY, ORDER};
use floatlease::operations::{Auth, Method, OPERATIONS, Operation, Reply};
use floatlease_server::domain::Refusal;
use floatlease_server::store::SqliteStore;
use floatlease_server::{openapi, sandbox};
use serde_json::{Map, Value, json};

const TOKEN_PATH: &str = "/oauth/token";
const OPEN_ROUTES: [&str; 3] = ["/.well-known", "/oauth_url", "/openapi.json"];

fn server() -> TestServer {
    let key = format!("[[api_key]]\nkey = {API_KEY:?}\nshared_key = {SHARED_KEY:?}\n");
    TestServer::start(&format!("{}{key}", sandbox::SAMPLE), Box::new(SqliteStore::in_memory().unwrap()), false)
}

fn get(client: &mut Client, path: &str) -> Answer {
    client.send("GET", &format!("/api/v4{path}"), &[], b"").unwrap()
}

fn method(operation: &Operation) -> &'static str {
    if operation.method == Method::Get { "get" } else { "post" }
}

#[test]
fn it_is_served_to_anybody_and_unsigned() {
    let server = server();
    let answer = get(&mut server.client(), "/openapi.json");
    assert_eq!((answer.status, answer.headers["content-type"].as_str()), (200, "application/json"));
    assert_eq!(answer.headers.get("licensesignature"), None);
    assert_eq!(answer.json(), openapi::v4(server.server.base_url()));
    assert_eq!(answer.json()["servers"], json!([{ "url": server.server.base_url() }]));
}

#[test]
fn it_has_every_route_and_no_other() {
    let server = server();
    let mut client = server.client();
    let document = openapi::v4(server.server.base_url());
    let endpoints = |path: &Map<String, Value>| path.keys().cloned().collect::<Vec<_>>();
    let documented: BTreeSet<(String, String)> = document["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, item)| endpoints(item.as_object().unwrap()).into_iter().map(|method| (path.clone(), method)))
        .collect();
    let routed = OPERATIONS.iter().map(|operation| (operation.path, method(operation)));
    let routed = routed.chain(OPEN_ROUTES.map(|path| (path, "get"))).chain([(TOKEN_PATH, "post")]);
    assert_eq!(documented, routed.map(|(path, method)| (path.to_owned(), method.to_owned())).collect());

    for (path, method) in &documented {
        for asked in ["get", "post", "put", "delete", "patch"] {
            let answer = client.send(&asked.to_uppercase(), &format!("/api/v4{path}"), &[], b"").unwrap();
            assert_eq!(answer.status != 404, asked == method, "{asked} {path}");
            // Its refusals are not those of the API.
            if path == TOKEN_PATH && asked == method {
                continue;
            }
            let open = document["paths"][path][method]["security"] == json!([]);
            let unauthorised = answer.code().as_deref() == Some("missing_headers");
            assert_eq!(unauthorised, asked == method && !open, "{asked} {path}");
        }
        for other in [format!("{path}/x"), format!("{path}x"), format!("/v4{path}")] {
            assert_eq!(get(&mut client, &other).status, 404, "{other}");
        }
    }
    for path in ["", "/openapi", "/openapi.yaml", "/docs", "/floating", "/oauth"] {
        assert_eq!(get(&mut client, path).status, 404, "{path}");
    }
}

#[test]
fn its_summaries_are_those_of_the_documentation() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/operations.md")).unwrap();
    let document = openapi::v4("http://localhost/api/v4");
    for operation in OPERATIONS {
        let method = method(operation);
        let summary = document["paths"][operation.path][method]["summary"].as_str().unwrap();
        let row = format!("| `{}` | {} {} | {summary} |", operation.name, method.to_uppercase(), operation.path);
        assert!(page.contains(&row), "{row}");
    }
}

/// The codes that each operation adds to those of all.
#[test]
fn its_refusals_are_those_of_the_documentation() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/operations.md")).unwrap();
    let codes = |operation: &Operation| -> BTreeSet<&str> {
        Refusal::codes_of(operation.name).into_iter().map(|(_, code)| code).collect()
    };
    let quoted = |codes: &BTreeSet<&str>| codes.iter().map(|code| format!("`{code}`")).collect::<Vec<_>>().join(", ");
    let of_all = OPERATIONS.iter().map(codes).reduce(|one, other| &one & &other).unwrap();
    let mut rows = vec![format!("| each operation | {} |", quoted(&of_all))];
    for operation in OPERATIONS.iter().filter(|operation| codes(operation) != of_all) {
        rows.push(format!("| `{}` | {} |", operation.name, quoted(&(&codes(operation) - &of_all))));
    }
    let table = rows.join("\n");
    assert!(page.contains(&format!("|---|---|\n{table}\n\n")), "the table must be\n{table}");
}

#[test]
fn replies_to_what_is_too_long_are_as_it_says() {
    let server = server();
    let mut document = openapi::v4(server.server.base_url());
    closed(&mut document);
    for (query, headers, status) in [("x".repeat(70_000), 0, 414), (String::new(), 101, 431)] {
        let headers: Vec<_> = (0..headers).map(|number| (format!("X-{number}"), "x".to_owned())).collect();
        let target = format!("/api/v4/check_license?{query}");
        let answer = server.client().send("GET", &target, &headers, b"").unwrap();
        assert_eq!(answer.status, status);
        check(&document, "/check_license", "get", &answer);
    }
}

/// Parameters that name a user, with those that each requires.
const OF_USER: [(&str, &str); 4] = [
    ("username", "password"),
    ("password", "username"),
    ("id_token", "customer_account_code"),
    ("code", "customer_account_code"),
];

/// What the document says of an operation's parameters: their schemas, which of them must be given, and an example.
struct Demands {
    schemas: Map<String, Value>,
    required: Vec<String>,
    one_of: Vec<String>,
    together: Vec<(String, String)>,
    example: Map<String, Value>,
}

impl Demands {
    fn of(document: &Value, operation: &Operation) -> Demands {
        let item = &document["paths"][operation.path][method(operation)];
        if operation.method == Method::Get {
            let parameters = item["parameters"].as_array().unwrap();
            let parameters = || parameters.iter().filter(|parameter| parameter["in"] == "query");
            let name = |parameter: &Value| parameter["name"].as_str().unwrap().to_owned();
            let example = |parameter: &Value| Some((name(parameter), parameter.get("example")?.clone()));
            // A description of queries can't say which parameters go together.
            let user: &[(&str, &str)] = if operation.auth == Auth::User { &OF_USER } else { &[] };
            let ways = user.iter().map(|(given, _)| (*given).to_owned()).filter(|given| given != "password");
            let together = user.iter().map(|(given, wanted)| ((*given).to_owned(), (*wanted).to_owned()));
            return Demands {
                schemas: parameters().map(|parameter| (name(parameter), parameter["schema"].clone())).collect(),
                required: parameters().filter(|parameter| parameter["required"] == true).map(name).collect(),
                one_of: ways.collect(),
                together: together.collect(),
                example: parameters().filter_map(example).collect(),
            };
        }
        let content = &item["requestBody"]["content"]["application/json"];
        let schema = &content["schema"];
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let together = schema["dependentRequired"].as_object().into_iter().flatten();
        Demands {
            schemas: schema["properties"].as_object().unwrap().clone(),
            required: schema["required"].as_array().unwrap().iter().map(text).collect(),
            one_of: schema["oneOf"].as_array().into_iter().flatten().map(|one| text(&one["required"][0])).collect(),
            together: together.map(|(given, wanted)| (given.clone(), text(&wanted[0]))).collect(),
            example: content["example"].as_object().unwrap().clone(),
        }
    }
}

#[test]
fn what_it_demands_is_enforced() {
    let server = server();
    let mut client = server.client();
    let document = openapi::v4(server.server.base_url());
    // server/tests/offline.rs tries what is wrong in a file.
    for operation in OPERATIONS.iter().filter(|operation| !operation.takes_file()) {
        let demands = Demands::of(&document, operation);
        let mut refused = |given: &Map<String, Value>, code: &str, word: &str| {
            let answer = client.call(operation.name, &Value::Object(given.clone()));
            let about = format!("{} {word}: {answer:?}", operation.name);
            assert_eq!(answer.code().as_deref(), Some(code), "{about}");
            assert!(answer.json()["message"].as_str().unwrap().contains(word), "{about}");
        };
        // Names the license by what is tried, if that can name one.
        let with = |name: &str, value: Value| {
            let mut given = demands.example.clone();
            let companions = demands.together.iter().filter(|(given, _)| given == name);
            let companions: Vec<_> = companions.map(|(_, wanted)| (wanted.clone(), "x".into())).collect();
            if !companions.is_empty() || demands.one_of.iter().any(|one| one == name) {
                given.remove("license_key");
            }
            if operation.auth == Auth::User && demands.one_of.iter().any(|one| one == name) {
                given.remove("username");
                given.remove("password");
            }
            given.extend(companions);
            given.insert(name.to_owned(), value);
            given
        };
        for name in &demands.required {
            let mut given = demands.example.clone();
            given.remove(name);
            let of_its_own = (operation.name, name.as_str()) == ("trial_key", "hardware_id");
            refused(&given, if of_its_own { "missing_hardware_id" } else { "missing_parameters" }, name);
        }
        for (name, schema) in &demands.schemas {
            for wrong in beyond(schema) {
                // A query has nothing but texts, and an empty one is as good as none.
                if operation.method == Method::Post || wrong.is_string() {
                    refused(&with(name, wrong), "validation_error", name);
                }
            }
        }
        for name in demands.one_of.iter().filter(|name| *name != "license_key") {
            let mut given = with(name, "x".into());
            if operation.auth == Auth::User {
                let of_other = if name == "code" { "id_token" } else { "code" };
                given.extend([of_other, "customer_account_code"].map(|other| (other.to_owned(), "x".into())));
            }
            given.insert("license_key".to_owned(), "x".into());
            refused(&given, "validation_error", name);
        }
        for (name, wanted) in &demands.together {
            let mut given = with(name, "x".into());
            given.remove(wanted);
            refused(&given, "missing_parameters", wanted);
        }
    }
}

/// Values just outside of a schema.
fn beyond(schema: &Value) -> Vec<Value> {
    let long = |length: &Value| "x".repeat(length.as_u64().unwrap() as usize + 1);
    let mut values = Vec::new();
    if schema["type"] == "string" || schema["type"] == json!(["string", "null"]) {
        values.extend([long(&schema["maxLength"]).into(), json!(1), json!([]), json!({})]);
    }
    if schema["type"] == "integer" {
        values.extend(["x".into(), json!(1.5), json!(i64::MAX as u64 + 1), json!(true)]);
        values.extend(schema.get("minimum").map(|minimum| json!(minimum.as_i64().unwrap() - 1)));
        values.extend(schema.get("maximum").map(|maximum| json!(maximum.as_i64().unwrap() + 1)));
    }
    if schema["type"] == "boolean" {
        values.extend(["x".into(), json!(1)]);
    }
    if schema["type"] == "array" {
        let known = &schema["items"]["enum"][0];
        values.extend(["x".into(), json!(["x"]), json!([known, known])]);
    }
    if schema["type"] == "object" {
        let most = schema["maxProperties"].as_u64().unwrap();
        let many: Map<String, Value> = (0..=most).map(|number| (number.to_string(), number.into())).collect();
        let (name, value) = (long(&schema["propertyNames"]["maxLength"]), &schema["additionalProperties"]);
        values.extend([
            many.into(),
            json!({ name: 1 }),
            json!({ "a": long(&value["maxLength"]) }),
            json!({ "a": null }),
        ]);
    }
    assert!(!values.is_empty(), "{schema}");
    values
}

/// Every kind of license and feature that the sample catalogue has, by every operation.
fn requests() -> Vec<(&'static str, Value)> {
    let floating = json!({ "product": "CAD-PRO", "hardware_id": "hw-1", "license_key": "CADP-FLOA-TING-0002" });
    let key = |key: &str| with(&floating, json!({ "license_key": key }));
    let user = json!({ "product": "STUDIO", "hardware_id": "hw-1", "username": "ada@example.com" });
    let mut requests = vec![
        ("check_license", floating.clone()),
        ("activate_license", with(&floating, json!({ "variables": { "a": 1, "b": "x", "c": true } }))),
        ("activate_license", with(&user, json!({ "password": "correct-horse" }))),
        ("check_license", user.clone()),
        ("deactivate_license", user),
        ("check_license", with(&floating, json!({ "include_expired_features": true }))),
        ("borrow_license", with(&floating, json!({ "borrowed_until": null }))),
        ("borrow_license", with(&floating, json!({ "borrowed_until": "tomorrow" }))),
        ("check_license", floating.clone()),
    ];
    for feature in ["MESH", "SOLVER", "EXPORT", "RENDER-MINUTES", "AI-RUNS", "LEGACY", "NONE"] {
        let request = with(&floating, json!({ "feature": feature }));
        requests.extend([
            ("check_feature", request.clone()),
            ("check_feature", with(&request, json!({ "include_metadata_string": true }))),
            ("borrow_feature", with(&request, json!({ "borrowed_until": null }))),
            ("add_feature_consumption", request.clone()),
            ("check_license", floating.clone()),
            ("release_feature", request),
        ]);
    }
    for license in ["CADP-CONS-UMPT-0100", "CADP-CONS-UMPT-0003", "CADP-NODE-LOCK-0002", "CADP-SUBS-CRIB-2099"] {
        requests.extend([
            ("activate_license", key(license)),
            ("add_consumption", with(&key(license), json!({ "consumptions": 2 }))),
            ("add_consumption", with(&key(license), json!({ "consumptions": 2, "allow_overages": true }))),
            ("check_license", key(license)),
        ]);
    }
    for license in ["CADP-EXPI-REDD-2020", "CADP-DISA-BLED-0000", "CADP-INAC-TIVE-0000", "NONE"] {
        requests.push(("activate_license", key(license)));
    }
    for product in ["CAD-PRO", "STUDIO", "NONE"] {
        let more = json!({ "include_latest_version": true, "include_custom_fields": true });
        requests.extend([
            ("product_details", json!({ "product": product })),
            ("product_details", with(&json!({ "product": product }), more)),
        ]);
    }
    for request in [&floating, &key("CADP-DISA-BLED-0000"), &key("NONE")] {
        requests.extend([
            ("versions", request.clone()),
            ("installation_file", request.clone()),
            ("installation_file", with(request, json!({ "version": "1.1.0", "channel": "beta" }))),
            ("installation_file", with(request, json!({ "version": "7" }))),
            ("track_device_variables", with(request, json!({ "variables": { "room": 12, "desk": "a" } }))),
            ("get_device_variables", request.clone()),
        ]);
    }
    let suite = with(&floating, json!({ "product": "SUITE" }));
    let of_suite = json!({ "product": "SUITE", "hardware_id": "hw-1", "username": "ada@example.com" });
    requests.extend([
        ("check_bundle", of_suite.clone()),
        ("activate_bundle", with(&of_suite, json!({ "password": "correct-horse" }))),
        ("check_bundle", of_suite.clone()),
        ("activate_bundle", suite.clone()),
        ("check_bundle", suite.clone()),
        ("check_bundle", with(&suite, json!({ "product": "NONE" }))),
        ("deactivate_bundle", with(&of_suite, json!({ "password": "correct-horse" }))),
    ]);
    let device = json!({ "product": "CAD-PRO", "hardware_id": "hw-1" });
    requests.extend([
        ("trial_key", device.clone()),
        ("trial_key", device.clone()),
        ("trial_key", with(&device, json!({ "hardware_id": "hw-2", "license_policy": "WEEK" }))),
        ("trial_key", with(&device, json!({ "hardware_id": "hw-3", "license_policy": "NONE" }))),
    ]);
    let ada = json!({ "product": "STUDIO", "username": "ada@example.com", "password": "correct-horse" });
    let sso = json!({ "product": "STUDIO", "customer_account_code": "EXAMPLE", "response_type": "token" });
    requests.extend([
        ("user_licenses", ada.clone()),
        ("user_licenses", with(&ada, json!({ "password": "wrong" }))),
        ("user_licenses", with(&ada, json!({ "product": "CAD-PRO" }))),
        ("customer_license_users", json!({ "product": "STUDIO", "customer": "buyer@example.com" })),
        ("customer_license_users", json!({ "product": "STUDIO", "customer": "nobody@example.com" })),
        ("sso_url", sso.clone()),
        ("sso_url", with(&sso, json!({ "customer_account_code": "OTHER" }))),
        ("change_password", with(&ada, json!({ "new_password": "better-horse" }))),
        (
            "change_password",
            json!({ "username": "bob@example.com", "password": "battery-staple", "new_password": "n" }),
        ),
    ]);
    let key = json!({ "product": "CAD-PRO", "license_key": "CADP-NODE-LOCK-0002" });
    let file = |request: &str| schema_2(&members(request, key.clone()).to_string());
    requests.extend([
        ("activate_offline", file("activation")),
        ("activate_offline", file("activation")),
        ("activate_offline", json!({ "file": "e30=" })),
        ("deactivate_offline", file("deactivation")),
    ]);
    requests.extend([("products", json!({})), ("device_licenses", json!({ "hardware_id": "hw-1" }))]);
    requests.extend([("release_license", floating.clone()), ("release_license", floating.clone())]);
    requests.push(("deactivate_license", floating));
    requests
}

#[test]
fn real_replies_are_as_it_says() {
    let server = server();
    let mut client = server.client();
    let mut document = openapi::v4(server.server.base_url());
    closed(&mut document);
    let mut succeeded = BTreeSet::new();
    let mut refused = BTreeSet::new();
    let mut signed = Vec::new();
    for (number, (name, request)) in (1..).zip(requests()) {
        let operation = Operation::named(name).unwrap();
        let number = number.to_string();
        let answer = client.call_with(name, &request, &[(ORDER, &number), (IDEMPOTENCY_KEY, &number)]);
        assert_eq!(answer.headers.contains_key("floatlease-order"), operation.is_ordered(), "{name}");
        check(&document, operation.path, method(operation), &answer);
        match answer.code() {
            None => {
                succeeded.insert(name);
                signed.extend(answer.headers.contains_key("licensesignature").then_some(answer.body));
            }
            Some(code) => drop(refused.insert(code)),
        }
    }
    survive_javascript(&signed);
    assert_eq!(succeeded, OPERATIONS.iter().map(|operation| operation.name).collect());
    assert!(refused.len() >= 12, "{refused:?}");
    for path in OPEN_ROUTES.into_iter().chain(["/oauth_url?login_type=client_credentials"]) {
        check(&document, path.split('?').next().unwrap(), "get", &get(&mut client, path));
    }
    for (method, path) in [("POST", "/check_license"), ("GET", "/floating/borrow")] {
        let answer = client.send(method, &format!("/api/v4{path}"), &[], b"").unwrap();
        let operation = OPERATIONS.iter().find(|operation| operation.path == path).unwrap();
        check(&document, path, self::method(operation), &answer);
    }
}

/// Clients in JavaScript verify what their engine writes of the reply that it has read.
fn survive_javascript(replies: &[Vec<u8>]) {
    const SCRIPT: &str = "
        const replies = require('fs').readFileSync(0, 'utf8').trimEnd().split('\\n');
        const altered = replies.filter((text) => JSON.stringify(JSON.parse(text)) !== text);
        if (altered.length) throw new Error(altered.join('\\n'));
        console.log(replies.length);";
    let mut node = Command::new("node");
    let mut node = node.args(["-e", SCRIPT]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    node.stdin.take().unwrap().write_all(&replies.join(&b'\n')).unwrap();
    let output = node.wait_with_output().unwrap();
    assert!(output.status.success());
    assert_eq!(String::from_utf8(output.stdout).unwrap().trim(), replies.len().to_string());
}

#[test]
fn its_examples_succeed_on_the_demo() {
    let server = server();
    let mut client = server.client();
    let document = openapi::v4(server.server.base_url());
    let deactivates = |operation: &&Operation| matches!(operation.reply, Reply::Text(_));
    for operation in OPERATIONS.iter().filter(|operation| !deactivates(operation) && !operation.takes_file()) {
        let example = Value::Object(Demands::of(&document, operation).example);
        if matches!(operation.auth, Auth::Ident | Auth::Set) {
            client.call("activate_license", &example);
        }
        if operation.name == "borrow_feature" {
            client.call("check_feature", &example);
        }
        let answer = client.call(operation.name, &example);
        assert_eq!(answer.status, 200, "{}: {answer:?}", operation.name);
    }
}

#[test]
fn replies_of_token_endpoint_are_as_it_says() {
    let client =
        "[[oauth_client]]\nclient_id = \"auth-company-1\"\nclient_secret = \"a-secret\"\nscope = \"company\"\n";
    let text = format!("{}{client}", sandbox::SAMPLE);
    let server = TestServer::start(&text, Box::new(SqliteStore::in_memory().unwrap()), false);
    let mut client = server.client();
    let mut document = openapi::v4(server.server.base_url());
    closed(&mut document);
    for (form, status) in [
        ("grant_type=client_credentials&client_id=auth-company-1&client_secret=a-secret", 200),
        ("grant_type=client_credentials&client_id=auth-company-1&client_secret=wrong", 401),
        ("grant_type=password&client_id=auth-company-1&client_secret=a-secret", 400),
        ("", 400),
    ] {
        let answer = client.send("POST", "/api/v4/oauth/token", &[], form.as_bytes()).unwrap();
        assert_eq!(answer.status, status, "{form}");
        check(&document, TOKEN_PATH, "post", &answer);
    }
}
