//! The server over HTTP: authorisation, bad input, signatures, and what needs no authorisation.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::{TimeDelta, Utc};
use common::offline::{members, schema_2};
use common::{API_KEY, Answer, Client, SHARED_KEY, TestServer, time};
use floatlease::model::{ORDER, format_http_date, v1_text};
use floatlease::operations::{Method, OPERATIONS, Reply};
use floatlease::sign::{authorization, signature, signing_text};
use floatlease_server::domain::Change;
use floatlease_server::store::{SqliteStore, Store, StoreError};
use serde_json::{Value, json};

const CATALOGUE: &str = r#"
product = [
    { code = "P", name = "Pé \u2028", version = "2.0", metadata = { b = 1.0, 10 = true, 9 = 0.1 }, trial = [{ days = 9 }] },
    { code = "Q" },
    { code = "U", authorization_method = "user" },
]
bundle = [{ code = "SUITE", products = ["P", "Q"] }]
user = [{ username = "ada", password = "p" }]
customer = [{ email = "c" }]
customer_account = [{ code = "ACME", issuer = "https://id", authorization_endpoint = "https://id/auth", client_id = "c", redirect_uris = ["r"] }]
api_key = [
    { key = "test-api-key", shared_key = "test-shared-key" },
    { key = "read-only", shared_key = "s", read_only = true },
    { key = "revoked", shared_key = "s", revoked = true },
    { key = "only-q", shared_key = "s", products = ["Q"] },
]
[[license]]
product = "P"
license_key = "K"
license_type = "time-limited"
validity_period = 2026-12-31
allow_unlimited_activations = true
floating = { users = 2, can_borrow = true, max_borrow_time_hours = 24 }
feature = [
    { code = "F", floating = { users = 1, can_borrow = true, max_borrow_time_hours = 12 }, metadata = { text = "\"/\\\u0001" } },
    { code = "C", consumption = { max_consumptions = 100 } },
]
[[license]]
product = "P"
license_key = "AMOUNT"
consumption = { max_consumptions = 100, allow_negative_consumptions = true }
[[license]]
product = "U"
users = ["ada"]
customer = "c"
"#;

fn server() -> TestServer {
    TestServer::start(CATALOGUE, Box::new(SqliteStore::in_memory().unwrap()), false)
}

/// Enough for every operation; each ignores what it does not know.
fn everything() -> Value {
    json!({
        "product": "P", "license_key": "K", "hardware_id": "hw-1", "feature": "F", "borrowed_until": null,
        "variables": { "room": 12 },
    })
}

/// Enough for every operation about users.
fn everything_of_users() -> Value {
    json!({
        "product": "U", "username": "ada", "password": "p", "new_password": "p", "customer": "c",
        "customer_account_code": "ACME",
    })
}

fn is_signed(server: &TestServer, text: &[u8], signature: &str) -> bool {
    let pem: String = server.server.public_key().lines().filter(|line| !line.starts_with("--")).collect();
    let key = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, STANDARD.decode(pem).unwrap());
    key.verify(text, &STANDARD.decode(signature).unwrap()).is_ok()
}

#[test]
fn every_operation_answers_as_the_table_says() {
    let server = server();
    let mut client = server.client();
    let order = ["activate_license", "check_license", "borrow_license", "check_feature", "borrow_feature"];
    let rest = OPERATIONS.iter().map(|operation| operation.name).filter(|name| !order.contains(name));
    let (last, rest): (Vec<_>, Vec<_>) = rest.partition(|name| name.starts_with("deactivate"));
    for name in order.into_iter().chain(rest).chain(last) {
        let mut about = everything();
        match name {
            "add_feature_consumption" => about["feature"] = "C".into(),
            "add_consumption" => about["license_key"] = "AMOUNT".into(),
            "activate_bundle" | "check_bundle" | "deactivate_bundle" => {
                about["product"] = "SUITE".into();
                about["hardware_id"] = "hw-2".into();
            }
            "activate_offline" | "deactivate_offline" => {
                let request = if name == "activate_offline" { "activation" } else { "deactivation" };
                about = schema_2(&members(request, json!({ "license_key": "AMOUNT" })).to_string());
            }
            "change_password" | "user_licenses" | "customer_license_users" | "sso_url" => about = everything_of_users(),
            _ => {}
        }
        if name == "add_consumption" {
            client.call("activate_license", &about);
        }
        let answer = client.call(name, &about);
        assert_eq!(answer.status, 200, "{name}: {answer:?}");
        assert!(answer.headers.contains_key("date"), "{name}");
        let operation = floatlease::operations::Operation::named(name).unwrap();
        let signature = answer.headers.get("licensesignature");
        match operation.reply {
            Reply::Empty => assert_eq!((answer.body.as_slice(), signature), (&b""[..], None), "{name}"),
            Reply::Text(text) => assert_eq!((answer.body.as_slice(), signature), (text.as_bytes(), None), "{name}"),
            Reply::Signed(_) | Reply::License | Reply::OfflineLicense | Reply::List(_) | Reply::Licenses => {
                assert!(is_signed(&server, &answer.body, signature.unwrap()), "{name}");
                survives(&answer);
            }
        }
        if operation.reply == Reply::License {
            let text = v1_text("hw-1", "K", Some("2026-12-31T00:00:00.000Z"));
            assert!(
                is_signed(&server, text.as_bytes(), answer.json()["license_signature"].as_str().unwrap()),
                "{name}"
            );
        }
    }
}

/// Compact, in an order that JavaScript keeps, and without escapes that it would not write.
fn survives(answer: &Answer) {
    let text = std::str::from_utf8(&answer.body).unwrap();
    assert_eq!(answer.json().to_string(), text);
    assert!(!text.contains("\\/") && !text.contains("\\u2028"), "{text}");
    fn walk(value: &Value) {
        match value {
            Value::Object(map) => {
                let index = |key: &String| key.parse::<u32>().ok().filter(|index| index.to_string() == *key);
                let keys: Vec<_> = map.keys().map(|key| index(key).map_or((1, 0), |index| (0, index))).collect();
                assert!(keys.is_sorted(), "{value}");
                map.values().for_each(walk);
            }
            Value::Array(values) => values.iter().for_each(walk),
            Value::Number(number) if number.is_f64() => assert!(!number.to_string().ends_with(".0"), "{number}"),
            Value::Number(number) => assert!(number.as_i64().unwrap().unsigned_abs() < 1 << 53, "{number}"),
            _ => {}
        }
    }
    walk(&answer.json());
}

#[test]
fn a_check_has_the_members_of_the_reference() {
    let server = server();
    let mut client = server.client();
    client.call("activate_license", &everything());
    let reply = client.call("check_license", &everything()).json();
    let members = "id allow_grace_period allow_offline_activation allow_overages allow_unlimited_activations can_borrow \
        enable_maintenance_period floating_timeout floating_users floating_in_use_devices grace_period is_air_gapped \
        is_floating is_floating_cloud is_hardware_key_auth is_trial license_active license_enabled license_key \
        license_template_id license_type maintenance_period max_activations max_borrow_time max_license_users max_overages \
        max_transfers order_store_id prevent_vm start_date times_activated transfer_count validity_period metadata \
        custom_fields product_features customer company product_details is_expired device_id is_borrowed borrowed_until \
        version installation_file release_date hash_md5 requires_version environment eula_link release_notes_link size \
        channel license_signature";
    let keys: Vec<&str> = reply.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, members.split_whitespace().collect::<Vec<_>>());
    assert_eq!((&reply["is_floating"], &reply["is_floating_cloud"]), (&false.into(), &true.into()));
    assert_eq!(reply["validity_period"], "2026-12-31T00:00:00.000Z");
    assert_eq!(reply["product_details"]["short_code"], "P");
    assert_eq!(reply["version"], "2.0");
}

#[test]
fn license_time_moves_apart_from_the_time_of_requests() {
    let server = server();
    let mut client = server.client();
    client.call("activate_license", &everything());
    server.clock.set(time("2026-06-01"));
    let reply = client.call("borrow_license", &everything()).json();
    assert_eq!(reply["borrowed_until"], "2026-06-02T00:00:00.000Z");
    server.clock.set(time("2026-01-01"));
    let reply = client.call("check_license", &everything()).json();
    assert_eq!(reply["is_borrowed"], true, "and never backwards");
    server.clock.set(time("2026-12-31"));
    assert_eq!(client.call("check_license", &everything()).code().unwrap(), "license_expired");
}

#[test]
fn every_authorisation_error_has_its_code() {
    let server = server();
    let mut client = server.client();
    let date = format_http_date(Utc::now());
    let good = authorization(API_KEY, SHARED_KEY, &date);
    let mac = signature(SHARED_KEY, &signing_text(&date));
    let at = |minutes| format_http_date(Utc::now() + TimeDelta::minutes(minutes));
    let with = |key: &str, secret: &str| authorization(key, secret, &date);
    let row = |date: &str, authorization: &str, code: &'static str| (date.to_owned(), authorization.to_owned(), code);
    for (date, authorization, code) in [
        row("", &good, "missing_headers"),
        row(&date, "", "missing_headers"),
        row("", "", "missing_headers"),
        row(&date, "gibberish", "authorization_invalid_headers"),
        row(&date, "Bearer abc", "hmac_required"),
        row(&date, "\u{fffd}", "authorization_invalid_headers"),
        row(&date, r#"algorithm="hmac-sha256", headers="date""#, "authorization_missing_params"),
        row(&date, &good.replace("hmac-sha256", "hmac-sha1"), "hmac_required"),
        row(&at(-16), &authorization_at(&at(-16)), "date_header_diff"),
        row(&at(16), &authorization_at(&at(16)), "date_header_diff"),
        row("yesterday", &good, "date_header_diff"),
        row(&date, &good.replace(&mac, "AAAA"), "signature_mismatch"),
        row(&at(1), &good, "signature_mismatch"),
        row(&date, &with("nobody", SHARED_KEY), "invalid_api_key"),
        row(&date, &with("revoked", "s"), "revoked_api_key"),
        row(&date, &with("read-only", "s"), "read_only_api_key"),
        row(&date, &with("only-q", "s"), "api_key_product_not_allowed"),
    ] {
        let headers = [("Date", date), ("Authorization", authorization)];
        let headers = headers.into_iter().filter(|(_, value)| !value.is_empty());
        let headers: Vec<_> = headers.map(|(name, value)| (name.to_owned(), value)).collect();
        let body = everything().to_string();
        let answer = client.send("POST", "/api/v4/activate_license", &headers, body.as_bytes()).unwrap();
        assert_eq!((answer.status, answer.code().as_deref()), (400, Some(code)), "{headers:?}");
    }
}

fn authorization_at(date: &str) -> String {
    authorization(API_KEY, SHARED_KEY, date)
}

#[test]
fn authorisation_is_read_in_every_form_that_occurs() {
    let server = server();
    let mut client = server.client();
    client.call("activate_license", &everything());
    for minutes in [-14, 0, 14] {
        let date = format_http_date(Utc::now() + TimeDelta::minutes(minutes));
        let mac = signature(SHARED_KEY, &signing_text(&date));
        for text in [
            format!(r#"algorithm="hmac-sha256",headers="date",signature="{mac}",apikey="{API_KEY}""#),
            format!(r#"  Algorithm = "HMAC-SHA256" ,Headers="Date",  signature="{mac}", apiKey="{API_KEY}" "#),
            format!(r#"apiKey={API_KEY},signature={mac},headers=date,algorithm=hmac-sha256"#),
        ] {
            let headers = [("date".to_owned(), date.clone()), ("AUTHORIZATION".to_owned(), text)];
            let target = "/api/v4/check_license/?hardware_id=hw-1&product=P&license_key=K";
            let answer = client.send("GET", target, &headers, b"").unwrap();
            assert_eq!(answer.code(), None, "{headers:?}");
        }
    }
    let mut read_only = Client::new(server.server.base_url(), "read-only", "s");
    assert_eq!(read_only.call("check_license", &everything()).code(), None);
    let mut only_q = Client::new(server.server.base_url(), "only-q", "s");
    assert_eq!(only_q.call("check_license", &everything()).code(), None);
}

#[test]
fn bad_bodies_are_answered_with_an_error_body() {
    let server = server();
    let mut client = server.client();
    client.call("activate_license", &everything());
    let long = format!(r#"{{"product":"{}"}}"#, "x".repeat(2 << 20));
    let deep = "[".repeat(100_000);
    let with = |change: &str| {
        let change: Value = serde_json::from_str(change).unwrap();
        let mut about = everything();
        about.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        about.to_string()
    };
    let missing = "Some parameters are missing in the request: ";
    for (body, code, message) in [
        (
            String::new(),
            "missing_parameters",
            format!("{missing}product, hardware_id, license_key, feature, borrowed_until."),
        ),
        ("{}".to_owned(), "missing_parameters", missing.to_owned()),
        ("null".to_owned(), "validation_error", "JSON object".to_owned()),
        ("[1]".to_owned(), "validation_error", "JSON object".to_owned()),
        ("{".to_owned(), "invalid_json", String::new()),
        ("{\"a\":\"\u{1}\"}".to_owned(), "invalid_json", String::new()),
        (deep, "invalid_json", String::new()),
        (long, "validation_error", "1048576".to_owned()),
        (with(r#"{"product":null,"feature":""}"#), "missing_parameters", format!("{missing}product, feature.")),
        (with(r#"{"product":5}"#), "validation_error", "product must be a string".to_owned()),
        (with(r#"{"hardware_id":{"a":1}}"#), "validation_error", "hardware_id must be a string".to_owned()),
        (with(r#"{"borrowed_until":5}"#), "validation_error", "borrowed_until must be a string or null".to_owned()),
        (with(r#"{"borrowed_until":""}"#), "floating_feature_device_not_in_use", String::new()),
        (with(r#"{"license_id":"seven"}"#), "validation_error", "license_id must be an integer".to_owned()),
        (with(r#"{"license_id":1.5}"#), "validation_error", "license_id must be an integer".to_owned()),
        (with(r#"{"license_id":1e300}"#), "validation_error", "license_id must be an integer".to_owned()),
        (with(r#"{"license_id":-1}"#), "license_not_found", String::new()),
        (with(r#"{"license_id":"7"}"#), "license_not_found", String::new()),
        (with(r#"{"username":"a","password":"b"}"#), "validation_error", "exclude each other".to_owned()),
        (with(r#"{"license_key":null,"username":"a"}"#), "missing_parameters", format!("{missing}password.")),
        (with(r#"{"license_key":null,"code":"a"}"#), "missing_parameters", format!("{missing}customer_account_code.")),
        (with(r#"{"license_key":null}"#), "missing_parameters", format!("{missing}license_key.")),
    ] {
        let answer =
            client.send("POST", "/api/v4/floating/feature_borrow", &client.authorised(), body.as_bytes()).unwrap();
        let shown: String = body.chars().take(200).collect();
        assert_eq!((answer.status, answer.code().as_deref()), (400, Some(code)), "{shown}");
        assert!(answer.json()["message"].as_str().unwrap().contains(&message), "{shown}: {}", answer.json());
    }
    let body = [b"{\"product\":\"\xff\"}".as_slice(), b"\xef\xbb\xbf{}"];
    for body in body {
        let answer = client.send("POST", "/api/v4/floating/release", &client.authorised(), body).unwrap();
        assert_eq!(answer.code().unwrap(), "invalid_json");
    }
}

/// %FF and %FE would be read as the same character, and two devices would be one.
#[test]
fn query_that_is_not_utf8_is_refused() {
    let server = server();
    let mut client = server.client();
    for device in ["a\u{fffd}", "a\u{e9}\u{1f600}+%"] {
        let mut about = everything();
        about["hardware_id"] = device.into();
        assert_eq!(client.call("activate_license", &about).code(), None);
        assert_eq!(client.call("check_license", &about).code(), None, "{device}");
    }
    for (device, code) in [
        ("a%FF", Some("validation_error")),
        ("a%fe", Some("validation_error")),
        ("a%C3", Some("validation_error")),
        ("a%ED%A0%80", Some("validation_error")),
        ("a%EF%BF%BD", None),
        ("a%C3%A9%F0%9F%98%80%2B%", None),
    ] {
        let target = format!("/api/v4/check_license?product=P&license_key=K&hardware_id={device}");
        let headers = client.authorised();
        assert_eq!(client.send("GET", &target, &headers, b"").unwrap().code().as_deref(), code, "{device}");
    }
}

#[test]
fn types_of_the_other_operations_are_checked_too() {
    let server = server();
    let mut client = server.client();
    client.call("activate_license", &everything());
    let mut amount = everything();
    amount["license_key"] = "AMOUNT".into();
    client.call("activate_license", &amount);
    for (operation, change, code) in [
        ("add_consumption", json!({ "consumptions": "many" }), Some("validation_error")),
        ("add_consumption", json!({ "consumptions": 1.5 }), Some("validation_error")),
        ("add_consumption", json!({ "consumptions": "2" }), None),
        ("add_consumption", json!({ "consumptions": null }), None),
        ("add_consumption", json!({ "consumptions": 9_223_372_036_854_775_807_u64 }), Some("validation_error")),
        ("add_consumption", json!({ "consumptions": 9_223_372_036_854_775_808_u64 }), Some("validation_error")),
        ("add_consumption", json!({ "max_overages": -1 }), Some("validation_error")),
        ("add_consumption", json!({ "allow_overages": 1 }), Some("validation_error")),
        ("add_consumption", json!({ "event": "consumption_add" }), Some("validation_error")),
        ("add_consumption", json!({ "event": ["other"] }), Some("validation_error")),
        ("add_consumption", json!({ "event": ["consumption_add", "consumption_add"] }), Some("validation_error")),
        ("add_consumption", json!({ "event": ["offline_floating_consumptions_sync"], "unknown": [] }), None),
        ("check_license", json!({ "is_vm": "maybe" }), Some("validation_error")),
        ("check_license", json!({ "is_vm": true, "include_expired_features": false, "license_id": null }), None),
        ("activate_license", json!({ "variables": [] }), Some("validation_error")),
        ("activate_license", json!({ "variables": { "a": [] } }), Some("validation_error")),
        ("activate_license", json!({ "variables": { "a": 1, "b": "x", "c": false } }), None),
    ] {
        let mut about = if operation == "add_consumption" { amount.clone() } else { everything() };
        about.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        assert_eq!(client.call(operation, &about).code().as_deref(), code, "{operation} {change}");
    }
}

#[test]
fn odd_requests_are_answered_with_an_error_body() {
    let server = server();
    let mut client = server.client();
    let headers = client.authorised();
    for (method, target, status, code) in [
        ("GET", "/api/v4/nothing", 404, "not_found"),
        ("GET", "/nothing", 404, "not_found"),
        ("POST", "/", 404, "not_found"),
        ("GET", "/api/v5/check_license", 404, "not_found"),
        ("GET", "/api/v4", 404, "not_found"),
        ("GET", "/api/v4//check_license", 404, "not_found"),
        ("GET", "/api/v4/%00%ff", 404, "not_found"),
        ("POST", "/api/v4/check_license", 404, "not_found"),
        ("PUT", "/api/v4/floating/borrow", 404, "not_found"),
        ("BREW", "/api/v4/floating/borrow", 404, "not_found"),
        ("DELETE", "/api/v4/.well-known", 404, "not_found"),
        ("GET", "/api/v4/check_license", 400, "missing_parameters"),
        ("GET", "/api/v4/check_license?product=%ff&hardware_id=%00&license_key=%", 400, "validation_error"),
        ("GET", "/api/v4/check_license?&&=&product&hardware_id", 400, "missing_parameters"),
        ("GET", "/api/v4/oauth_url", 400, "missing_parameters"),
        ("GET", "/api/v4/oauth_url?login_type=password", 400, "validation_error"),
    ] {
        let answer = client.send(method, target, &headers, b"").unwrap();
        assert_eq!((answer.status, answer.code().as_deref()), (status, Some(code)), "{method} {target}");
    }
    let answer = client.send("GET", "/api/v4/floating/borrow", &headers, b"").unwrap();
    assert!(answer.json()["message"].as_str().unwrap().ends_with("expected POST, found GET."), "{}", answer.json());
    let answer = client.send("POST", "/api/v4/nothing", &headers, &vec![b'x'; 2 << 20]).unwrap();
    assert_eq!(answer.code().unwrap(), "not_found");
    let odd = [("Content-Type".to_owned(), "\u{fffd}".to_owned()), ("X-Long".to_owned(), "x".repeat(8000))];
    let answer = client.send("POST", "/api/v4/floating/borrow", &[&headers[..], &odd].concat(), b"{}").unwrap();
    assert_eq!(answer.code().unwrap(), "missing_parameters");
}

#[test]
fn what_needs_no_authorisation() {
    let server = server();
    let mut client = server.client();
    let get = |client: &mut Client, target: &str| client.send("GET", target, &[], b"").unwrap();
    assert_eq!(get(&mut client, "/").status, 200);
    let answer = get(&mut client, "/api/v4/.well-known/");
    assert!(is_signed(&server, &answer.body, &answer.headers["licensesignature"]));
    let metadata = answer.json();
    assert_eq!(metadata["pub_key"], server.server.public_key());
    assert_eq!(metadata["api_base_url"], server.server.base_url());
    assert_eq!(metadata["supported_api_versions"], json!(["v4"]));
    let endpoints = metadata["endpoints"].as_array().unwrap();
    assert_eq!(endpoints.len(), OPERATIONS.len());
    let gets = OPERATIONS.iter().filter(|operation| operation.method == Method::Get).count();
    assert_eq!(endpoints.iter().filter(|endpoint| endpoint["method"] == "GET").count(), gets);
    let url = get(&mut client, "/api/v4/oauth_url?login_type=client_credentials").json();
    assert_eq!(url["login_type"], "client_credentials");
}

#[test]
fn products_describe_themselves() {
    let server = server();
    let mut client = server.client();
    let about = json!({ "product": "P", "include_latest_version": true, "include_custom_fields": true });
    let reply = client.call("product_details", &about).json();
    assert_eq!((&reply["short_code"], &reply["authorization_method"]), (&"P".into(), &"license-key".into()));
    assert_eq!((&reply["latest_version"]["version"], &reply["custom_fields"]), (&"2.0".into(), &json!([])));
    assert_eq!(client.call("product_details", &json!({ "product": "N" })).code().unwrap(), "unknown_product");
    assert_eq!(client.call("product_details", &json!({})).code().unwrap(), "missing_parameters");
}

/// Keeps its first commit, the one of the start, and no other.
struct BrokenStore(bool);

impl Store for BrokenStore {
    fn load(&mut self) -> Result<Vec<Change>, StoreError> {
        Ok(Vec::new())
    }

    fn commit(&mut self, _: &[Change]) -> Result<(), StoreError> {
        if std::mem::replace(&mut self.0, true) { Err(StoreError("the disk is full".to_owned())) } else { Ok(()) }
    }
}

#[test]
fn a_commit_that_fails_is_answered_with_503_and_ends_the_server() {
    let server = TestServer::start(CATALOGUE, Box::new(BrokenStore(false)), false);
    let mut client = server.client();
    let answer = client.call_with("activate_license", &everything(), &[(ORDER, "7")]);
    assert_eq!((answer.status, answer.code().as_deref()), (503, Some("internal_error")));
    assert_eq!(answer.headers.get("floatlease-order").map(String::as_str), Some("7"));
    let failure = server.server.run_until(std::future::pending::<()>()).unwrap_err().to_string();
    assert!(failure.contains("the disk is full") && failure.contains("start again"), "{failure}");
}

/// Keeps every commit, but only when it is let.
struct SlowStore(std::sync::mpsc::Receiver<()>);

impl Store for SlowStore {
    fn load(&mut self) -> Result<Vec<Change>, StoreError> {
        Ok(Vec::new())
    }

    fn commit(&mut self, _: &[Change]) -> Result<(), StoreError> {
        self.0.recv().map_err(|error| StoreError(error.to_string()))
    }
}

#[test]
fn no_reply_leaves_before_its_commit_is_kept() {
    let (keep, kept) = std::sync::mpsc::channel();
    keep.send(()).unwrap(); // the commit of the start
    let server = TestServer::start(CATALOGUE, Box::new(SlowStore(kept)), false);
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| server.client().call("activate_license", &everything()).status);
        std::thread::sleep(std::time::Duration::from_millis(300));
        assert!(!asking.is_finished(), "answered before it was kept");
        keep.send(()).unwrap();
        assert_eq!(asking.join().unwrap(), 200);
    });
}

#[test]
fn what_would_spoil_later_replies_is_refused() {
    let server = server();
    let mut client = server.client();
    let with = |key: &str, value: Value| {
        let mut about = everything();
        about[key] = value;
        about
    };
    let variables: serde_json::Map<String, Value> = (0..65).map(|n| (n.to_string(), n.into())).collect();
    for (operation, about) in [
        ("add_consumption", with("max_overages", json!("9007199254740993"))),
        ("activate_license", with("hardware_id", json!("x".repeat(1025)))),
        ("activate_license", with("variables", json!({ "n": "x".repeat(1025) }))),
        ("activate_license", with("variables", variables.into())),
    ] {
        assert_eq!(client.call(operation, &about).code().as_deref(), Some("validation_error"), "{operation}");
    }
    client.call("activate_license", &everything());
    let leap = client.call("borrow_license", &with("borrowed_until", json!("2025-12-31T23:59:60Z")));
    assert_eq!(leap.code().as_deref(), Some("borrow_until_not_valid"), "it is now, the first of January");
}

#[test]
fn what_other_languages_write_for_the_same_is_accepted() {
    let server = server();
    let mut client = server.client();
    client.call("activate_license", &everything());
    let mut about = everything();
    about["include_expired_features"] = "True".into();
    assert_eq!(client.call("check_license", &about).status, 200, "Python's True in a query");
    about["feature"] = "C".into();
    about["consumptions"] = json!(2.0);
    assert_eq!(client.call("add_feature_consumption", &about).json()["total_consumptions"], 2);
}

#[test]
fn a_probe_by_head_finds_the_server() {
    use std::io::{Read, Write};

    let server = server();
    let address = server.server.base_url().split('/').nth(2).unwrap().to_owned();
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    stream.write_all(b"HEAD / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\n"), "{answer}");
}

#[test]
fn who_has_said_all_he_wants_to_say_gets_his_answer() {
    use std::io::{Read, Write};

    let server = server();
    let address = server.server.base_url().strip_prefix("http://").unwrap().split('/').next().unwrap().to_owned();
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
}

#[test]
fn consumptions_are_named_by_a_header() {
    let server = server();
    let mut client = server.client();
    let license = json!({ "product": "P", "license_key": "AMOUNT", "hardware_id": "hw", "consumptions": 2 });
    assert_eq!(client.call("activate_license", &license).code(), None);
    let mut ask = |names: &[&str]| {
        let mut headers = client.authorised();
        headers.extend(names.iter().map(|name| ("Idempotency-Key".to_owned(), (*name).to_owned())));
        let answer = client.send("POST", "/api/v4/add_consumption", &headers, license.to_string().as_bytes()).unwrap();
        answer.code().unwrap_or_else(|| answer.json()["total_consumptions"].to_string())
    };
    let long = "k".repeat(256);
    for (names, expected) in [
        (&["order-1"][..], "2"),
        (&["order-1"], "2"),
        (&["order-2"], "4"),
        (&[], "6"),
        (&[], "8"),
        (&["order-1", "order-1"], "validation_error"),
        (&["two words"], "validation_error"),
        (&[long.as_str()], "validation_error"),
        (&[""], "validation_error"),
        (&["order-2"], "8"),
    ] {
        assert_eq!(ask(names), expected, "{names:?}");
    }
}

#[test]
fn whoever_names_consumptions_hears_the_name_again_and_nobody_else_does() {
    let server = server();
    let mut client = server.client();
    let license = json!({ "product": "P", "license_key": "AMOUNT", "hardware_id": "hw", "consumptions": 2 });
    assert_eq!(client.call("activate_license", &license).code(), None);
    let mut ask = |path: &str, name: &str, amount: i64| {
        let mut headers = client.authorised();
        headers.push(("idempotency-key".to_owned(), name.to_owned()));
        let mut body = license.clone();
        body["consumptions"] = amount.into();
        let path = format!("/api/v4{path}");
        let answer = client.send("POST", &path, &headers, body.to_string().as_bytes()).unwrap();
        (answer.status, answer.headers.get("idempotency-key").cloned())
    };
    for (path, name, amount, status, heard) in [
        ("/add_consumption", "order-1", 2, 200, Some("order-1")),
        ("/add_consumption", "order-1", 2, 200, Some("order-1")),
        ("/add_consumption", "order-2", 1_000_000, 400, Some("order-2")),
        ("/add_feature_consumption", "order-3", 1, 400, Some("order-3")),
        ("/add_consumption", "two words", 2, 400, None),
        ("/activate_license", "order-4", 2, 200, None),
        ("/floating/release", "order-5", 2, 400, None),
    ] {
        assert_eq!(ask(path, name, amount), (status, heard.map(str::to_owned)), "{path} {name}");
    }
    let plain = client.call("add_consumption", &license);
    assert_eq!((plain.status, plain.headers.get("idempotency-key")), (200, None));
}
