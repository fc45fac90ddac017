//! Offline activation: request files are accepted as they were signed, once, and no others.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::{TimeDelta, Utc};
use common::offline::{DATE, members, schema_1, schema_2, whole};
use common::{API_KEY, Answer, Client, SHARED_KEY, TestServer};
use floatlease::model::format_http_date;
use floatlease::sign::{offline_text, signature};
use floatlease_server::store::SqliteStore;
use serde_json::{Value, json};

const CATALOGUE: &str = r#"
min_offline_schema = 1

[[api_key]]
key = "test-api-key"
shared_key = "test-shared-key"

[[api_key]]
key = "reads-only"
shared_key = "test-shared-key"
read_only = true

[[oauth_client]]
client_id = "auth-license-1"
client_secret = "client-secret"
scope = "license"
names = ["K"]

[[product]]
code = "P"

[[license]]
product = "P"
license_key = "K"
max_activations = 3
feature = [
    { code = "TEN", consumption = { max_consumptions = 10 } },
    { code = "FIVE", consumption = { max_consumptions = 5 } },
]

[[license]]
product = "P"
license_key = "AMOUNT"
consumption = { max_consumptions = 10 }

[[license]]
product = "P"
license_key = "FLOATS"
floating = { users = 1 }

[[license]]
product = "P"
license_key = "NEVER"
allow_offline_activation = false
"#;

fn server() -> TestServer {
    TestServer::start(CATALOGUE, Box::new(SqliteStore::in_memory().unwrap()), false)
}

/// The catalogue of a server that has not been told to accept schema 1.
fn unless_set() -> String {
    CATALOGUE.replace("min_offline_schema = 1", "")
}

fn activate(client: &mut Client, file: &Value) -> Answer {
    client.call("activate_offline", file)
}

/// A date so many seconds after [`DATE`].
fn later(seconds: i64) -> String {
    format_http_date(common::time("2026-01-01") + TimeDelta::seconds(seconds))
}

/// The code with which each altered form of the file is refused: one bit of each byte, beside those in `left_out`.
fn codes_of_altered(client: &mut Client, json: &str, left_out: std::ops::Range<usize>) -> Vec<(usize, Option<String>)> {
    let places = (0..json.len()).filter(|at| !left_out.contains(at));
    places
        .flat_map(|at| [1_u8, 2, 0x20].map(|bit| (at, bit)))
        .map(|(at, bit)| {
            let mut bytes = json.as_bytes().to_vec();
            bytes[at] ^= bit;
            (at, activate(client, &json!({ "file": STANDARD.encode(bytes) })).code())
        })
        .collect()
}

#[test]
fn file_of_schema_1_altered_anywhere_is_refused() {
    let server = server();
    let mut client = server.client();
    let json = members("activation", json!({})).to_string();
    // The signature of schema 1 covers five values. `request_id` is the one member here that nothing else checks.
    let start = json.find(r#""request_id""#).unwrap();
    let end = start + json[start..].find(',').unwrap();
    for (at, code) in codes_of_altered(&mut client, &json, start..end) {
        assert!(code.as_deref().is_some_and(|code| code != "order_outdated"), "byte {at} of {json}: {code:?}");
    }
    assert_eq!(activate(&mut client, &schema_1(&json)).code(), None);
}

#[test]
fn file_of_schema_2_altered_anywhere_is_refused() {
    let server = server();
    let mut client = server.client();
    let json = whole(&members("activation", json!({ "schema_version": 2, "os_ver": "linux" })).to_string());
    for (at, code) in codes_of_altered(&mut client, &json, 0..0) {
        assert!(code.as_deref().is_some_and(|code| code != "order_outdated"), "byte {at} of {json}: {code:?}");
    }
    assert_eq!(activate(&mut client, &json!({ "file": STANDARD.encode(&json) })).code(), None);
}

#[test]
fn base64_altered_anywhere_is_refused() {
    let server = server();
    let mut client = server.client();
    let file = schema_2(&members("activation", json!({ "schema_version": 2 })).to_string());
    let text = file["file"].as_str().unwrap();
    for at in 0..text.len() {
        let mut bytes = text.as_bytes().to_vec();
        bytes[at] ^= 1;
        let code = activate(&mut client, &json!({ "file": String::from_utf8(bytes).unwrap() })).code();
        assert!(code.is_some(), "character {at} of {text}");
    }
    assert_eq!(activate(&mut client, &file).code(), None);
}

/// The same JSON with spaces, in another order, and with characters escaped that need not be.
fn respaced(members: &Value) -> String {
    let pairs = members.as_object().unwrap().iter().rev();
    let escaped = |value: &Value| value.to_string().replace('K', "\\u004b").replace('/', "\\/");
    let pairs: Vec<String> = pairs.map(|(name, value)| format!("  \"{name}\" :\t{}", escaped(value))).collect();
    format!("{{\r\n{}\n}}", pairs.join(" ,\n"))
}

#[test]
fn files_respaced_before_signing_are_accepted() {
    let server = server();
    let mut client = server.client();
    let one = members("activation", json!({}));
    assert_eq!(activate(&mut client, &schema_1(&respaced(&one))).code(), None);
    let two = members("activation", json!({ "date": later(1), "schema_version": 2 }));
    assert_eq!(activate(&mut client, &schema_2(&respaced(&two))).code(), None);
    // White space outside of what is signed, lines of Base64, and signatures as digits.
    let three = members("activation", json!({ "date": later(2), "schema_version": 2 })).to_string();
    let digits = STANDARD.decode(signature(SHARED_KEY, &three)).unwrap();
    let digits: String = digits.iter().map(|byte| format!("{byte:02X}")).collect();
    let outer = format!("{{ \"signature\" : \"{digits}\",\n \"request\" : {three} }}\n");
    let lines = STANDARD.encode(outer).as_bytes().chunks(64).map(|line| line.to_vec()).collect::<Vec<_>>();
    let lines = String::from_utf8(lines.join(&b"\r\n"[..])).unwrap();
    assert_eq!(activate(&mut client, &json!({ "file": lines })).code(), None);
}

#[test]
fn file_of_schema_2_respaced_after_signing_is_refused() {
    let server = server();
    let request = members("activation", json!({ "schema_version": 2 })).to_string();
    let json = whole(&request).replace(&request, &request.replace(",\"", ", \""));
    let code = activate(&mut server.client(), &json!({ "file": STANDARD.encode(json) })).code();
    assert_eq!(code.as_deref(), Some("signature_mismatch"));
}

#[test]
fn request_of_schema_2_does_not_pass_for_schema_1() {
    let server = TestServer::start(&unless_set(), Box::new(SqliteStore::in_memory().unwrap()), false);
    let mut client = server.client();
    let mut request = members("activation", json!({ "schema_version": 2, "os_ver": "linux" }));
    let file = schema_2(&request.to_string());
    assert_eq!(activate(&mut client, &schema_1(&request.to_string())).code().as_deref(), Some("validation_error"));
    // The members of schema 1 are all there, with a signature that does not cover the others.
    request.as_object_mut().unwrap().shift_remove("schema_version");
    request["os_ver"] = "altered".into();
    assert_eq!(activate(&mut client, &schema_1(&request.to_string())).code().as_deref(), Some("validation_error"));
    request["request"] = "deactivation".into();
    let deactivation = schema_1(&request.to_string());
    assert_eq!(activate(&mut client, &file).code(), None);
    assert_eq!(client.call("deactivate_offline", &deactivation).code().as_deref(), Some("validation_error"));
}

#[test]
fn reply_file_is_no_request_of_schema_1() {
    let server = TestServer::start(&unless_set(), Box::new(SqliteStore::in_memory().unwrap()), false);
    let mut client = server.client();
    let reply = activate(&mut client, &schema_2(&members("activation", json!({})).to_string())).json();
    let mut forged = members("deactivation", json!({ "date": reply["date"] }));
    forged["signature"] = reply["offline_signature"].clone();
    let code = client.call("deactivate_offline", &schema_1(&forged.to_string())).code();
    assert_eq!(code.as_deref(), Some("validation_error"));
}

#[test]
fn replayed_file_is_refused_also_after_restart() {
    let folder = std::env::temp_dir().join(format!("floatlease-offline-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let store = || Box::new(SqliteStore::open(&folder.join("data.sqlite")).unwrap());
    let first = schema_1(&members("activation", json!({})).to_string());
    let second = schema_1(&members("activation", json!({ "date": later(60) })).to_string());
    let deactivation = schema_1(&members("deactivation", json!({ "date": later(60) })).to_string());
    {
        let server = TestServer::start(CATALOGUE, store(), false);
        let mut client = server.client();
        assert_eq!(activate(&mut client, &second).code(), None);
        assert_eq!(activate(&mut client, &first).code().as_deref(), Some("order_outdated"));
        assert_eq!(client.call("deactivate_offline", &deactivation).body, b"license_deactivated");
    }
    let server = TestServer::start(CATALOGUE, store(), false);
    let mut client = server.client();
    for replayed in [&second, &first] {
        assert_eq!(activate(&mut client, replayed).code().as_deref(), Some("order_outdated"));
    }
    let code = client.call("deactivate_offline", &deactivation).code();
    assert_eq!(code.as_deref(), Some("order_outdated"));
    let third = schema_1(&members("activation", json!({ "date": later(61) })).to_string());
    assert_eq!(activate(&mut client, &third).code(), None);
    drop(server);
    std::fs::remove_dir_all(folder).unwrap();
}

/// Somebody whose connection broke before the reply came sends the file again.
#[test]
fn reply_of_active_device_is_had_again() {
    let server = server();
    let mut client = server.client();
    let device = json!({ "product": "P", "license_key": "K", "hardware_id": "hw-1" });
    let file = schema_2(&members("activation", json!({ "variables": { "room": "12" } })).to_string());
    let first = activate(&mut client, &file);
    assert_eq!(first.code(), None);
    assert_eq!(activate(&mut client, &file).json(), first.json());
    // It changes nothing, also not what was set meanwhile.
    let moved = common::with(&device, json!({ "variables": { "room": "13" } }));
    assert_eq!(client.call("track_device_variables", &moved).code(), None);
    let again = activate(&mut client, &file).json();
    assert_eq!(again["variables"][0]["value"], "13");
    assert_eq!(again["times_activated"], 1);
    assert_eq!(client.call("deactivate_license", &device).code(), None);
    assert_eq!(activate(&mut client, &file).code().as_deref(), Some("order_outdated"));
}

#[test]
fn reply_repeats_the_request_and_both_signatures_verify() {
    let server = server();
    let answer = activate(&mut server.client(), &schema_1(&members("activation", json!({})).to_string()));
    let license = answer.json();
    assert_eq!(license["request"], "activation");
    assert_eq!(license["hardware_id"], "hw-1");
    assert_eq!(license["request_id"], "d010714e");
    assert_eq!(license["date"], DATE);
    assert_eq!(license["offline_signature"], signature(SHARED_KEY, &offline_text(DATE, "K", "hw-1", API_KEY)));
    let mut covered = license.as_object().unwrap().clone();
    let v1 = covered.shift_remove("license_signature").unwrap();
    let v2 = covered.shift_remove("license_signature_v2").unwrap();
    let covered = serde_json::to_vec(&covered).unwrap();
    for (text, signed) in [(&b"hw-1#k#"[..], v1), (&covered, v2)] {
        let pem: String = server.server.public_key().lines().filter(|line| !line.starts_with("--")).collect();
        let key = aws_lc_rs::signature::UnparsedPublicKey::new(
            &aws_lc_rs::signature::RSA_PKCS1_2048_8192_SHA256,
            STANDARD.decode(pem).unwrap(),
        );
        key.verify(text, &STANDARD.decode(signed.as_str().unwrap()).unwrap()).unwrap();
    }
}

#[test]
fn part_file_of_a_form_is_accepted() {
    let server = server();
    let mut client = server.client();
    let mut send = |content_type: &str, body: &str| {
        let mut headers = client.authorised();
        headers.push(("Content-Type".to_owned(), content_type.to_owned()));
        client.send("POST", "/api/v4/activate_offline/", &headers, body.as_bytes()).unwrap().code()
    };
    let file = schema_1(&members("activation", json!({})).to_string());
    let part = |name: &str, text: &str| {
        format!(
            "--b-1\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"a.req\"\r\n\
             Content-Type: application/octet-stream\r\n\r\n{text}\r\n"
        )
    };
    let form = "multipart/form-data; boundary=b-1";
    let other = part("other", "text");
    assert_eq!(send(form, &format!("{other}--b-1--\r\n")).as_deref(), Some("missing_parameters"));
    assert_eq!(send(form, &format!("{}--b-1--\r\n", part("file", ""))).as_deref(), Some("missing_content"));
    let file = part("file", file["file"].as_str().unwrap());
    assert_eq!(send("multipart/form-data", &file).as_deref(), Some("missing_parameters"));
    assert_eq!(send(form, &format!("{other}{file}--b-1--\r\n")), None);
}

#[test]
fn mistakes_have_the_documented_codes() {
    let server = server();
    let mut client = server.client();
    let file = |request: &str, more: Value| schema_1(&members(request, more).to_string());
    let ahead = |days| format_http_date(Utc::now() + TimeDelta::days(days));
    for (file, code) in [
        (json!({ "file": "" }), "missing_content"),
        (json!({ "file": "{}" }), "authorization_missing_params"),
        (json!({ "file": STANDARD.encode("text") }), "authorization_missing_params"),
        (file("deactivation", json!({})), "validation_error"),
        (file("activation", json!({ "product": "NONE" })), "unknown_product"),
        (file("activation", json!({ "license_key": "NONE" })), "license_not_found"),
        (file("activation", json!({ "api_key": "NONE" })), "invalid_api_key"),
        (file("activation", json!({ "api_key": "reads-only" })), "read_only_api_key"),
        (file("activation", json!({ "date": "yesterday" })), "validation_error"),
        (file("activation", json!({ "date": ahead(2) })), "date_header_diff"),
        (file("activation", json!({ "hardware_id": "" })), "missing_parameters"),
        (file("activation", json!({ "license_key": "FLOATS" })), "license_not_active"),
        (file("activation", json!({ "license_key": "NEVER" })), "license_not_active"),
    ] {
        assert_eq!(activate(&mut client, &file).code().as_deref(), Some(code), "{file}");
    }
    let answer = client.send("POST", "/api/v4/activate_offline", &[], b"e30=").unwrap();
    assert_eq!(answer.code().as_deref(), Some("missing_headers"));
    let never = client.call("deactivate_offline", &file("deactivation", json!({})));
    assert_eq!(never.code().as_deref(), Some("device_not_found"));
}

#[test]
fn oauth_client_signs_by_its_secret_and_for_its_licenses() {
    let server = server();
    let mut client = server.client();
    let mut file = |key: &str, secret: &str| {
        let mut members = members("activation", json!({ "license_key": key }));
        members.as_object_mut().unwrap().shift_remove("api_key");
        members["client_id"] = "auth-license-1".into();
        let signed = offline_text(DATE, key, "hw-1", "auth-license-1");
        members["signature"] = signature(secret, &signed).into();
        activate(&mut client, &schema_1(&members.to_string())).code()
    };
    assert_eq!(file("K", "test-shared-key").as_deref(), Some("signature_mismatch"));
    assert_eq!(file("AMOUNT", "client-secret").as_deref(), Some("license_not_found"));
    assert_eq!(file("K", "client-secret"), None);
}

#[test]
fn deactivation_books_all_of_its_consumptions_or_none() {
    let server = server();
    let mut client = server.client();
    assert_eq!(activate(&mut client, &schema_1(&members("activation", json!({})).to_string())).code(), None);
    let device = json!({ "product": "P", "license_key": "K", "hardware_id": "hw-1" });
    let mut seconds = 0;
    let mut deactivate = |client: &mut Client, more: Value| {
        seconds += 1;
        let dated = common::with(&json!({ "date": later(seconds) }), more);
        client.call("deactivate_offline", &schema_1(&members("deactivation", dated).to_string())).code()
    };
    let too_many = json!({ "feature_consumptions": { "TEN": 4, "FIVE": 6 }, "variables": { "room": "12" } });
    assert_eq!(deactivate(&mut client, too_many).as_deref(), Some("feature_not_enough_consumptions"));
    let of_license = json!({ "feature_consumptions": { "TEN": 4 }, "consumptions": 1 });
    assert_eq!(deactivate(&mut client, of_license).as_deref(), Some("license_not_consumption"));
    let unknown = json!({ "feature_consumptions": { "TEN": 4, "NONE": 1 } });
    assert_eq!(deactivate(&mut client, unknown).as_deref(), Some("unsupported_product_feature"));
    let license = client.call("check_license", &device).json();
    for feature in license["product_features"].as_array().unwrap() {
        assert_eq!(feature["total_consumptions"], 0, "{feature}");
    }
    let all = json!({ "feature_consumptions": { "TEN": 4, "FIVE": 5 }, "variables": { "room": "12" } });
    assert_eq!(deactivate(&mut client, all), None);
    assert_eq!(client.call("check_license", &device).code().as_deref(), Some("device_not_found"));
    let license = client.call("activate_license", &device).json();
    assert_eq!(license["product_features"][0]["total_consumptions"], 4);
    assert_eq!(license["product_features"][1]["total_consumptions"], 5);
    assert_eq!(license["variables"][0]["value"], "12");
    let of_license = json!({ "license_key": "AMOUNT" });
    let file = schema_1(&members("activation", of_license.clone()).to_string());
    assert_eq!(activate(&mut client, &file).code(), None);
    assert_eq!(deactivate(&mut client, common::with(&of_license, json!({ "consumptions": 7 }))), None);
    let device = common::with(&device, of_license);
    assert_eq!(client.call("activate_license", &device).json()["total_consumptions"], 7);
}
