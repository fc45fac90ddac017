//! Products, their versions, and what is kept about devices, over HTTP.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::{Client, TestServer, with};
use floatlease_server::store::SqliteStore;
use serde_json::{Value, json};

const CATALOGUE: &str = r#"
api_key = [{ key = "test-api-key", shared_key = "test-shared-key" }, { key = "only-q", shared_key = "s", products = ["Q"] }]
blacklisted_hardware_ids = ["blocked"]
user = [{ username = "ada", email = "ada@example.com", password = "p", allow_unlimited_activations = true }]

[[product]]
code = "P"
release = [
    { version = "2.0", release_date = 2026-06-01, environment = "win64", installation_file = "https://x/p-2.0.exe", size = 9 },
    { version = "2.0", release_date = 2026-06-01, environment = "mac", installation_file = "https://x/p-2.0.dmg" },
    { version = "1.0", release_date = 2025-01-01, environment = "win64", installation_file = "https://x/p-1.0.exe" },
    { version = "3.0", release_date = 2026-09-01, channel = "beta", installation_file = "https://x/p-3.0.zip" },
]
custom_field = [{ name = "seat", default_value = "window" }]

[[product]]
code = "Q"
version = "7.7"

[[product]]
code = "U"
authorization_method = "user"

[[product]]
code = "GONE"
status = "archived"

[[license]]
product = "P"
license_key = "K"
allow_unlimited_activations = true
feature = [{ code = "F" }, { code = "C", consumption = { max_consumptions = 1 } }]

[[license]]
product = "P"
license_key = "OLD"
maintenance_period = 2025-12-31
feature = [{ code = "F" }]

[[license]]
product = "P"
license_key = "OFF"
enabled = false

[[license]]
product = "Q"
license_key = "Q"

[[license]]
product = "U"
users = ["ada"]
"#;

fn server() -> TestServer {
    TestServer::start(CATALOGUE, Box::new(SqliteStore::in_memory().unwrap()), false)
}

fn about(license_key: &str) -> Value {
    json!({ "product": "P", "license_key": license_key, "hardware_id": "hw-1" })
}

fn versions(client: &mut Client, request: &Value) -> Vec<String> {
    let reply = client.call("versions", request).json();
    let version = |listed: &Value| listed["version"].as_str().unwrap().to_owned();
    reply.as_array().unwrap().iter().map(version).collect()
}

#[test]
fn versions_are_those_of_system_channel_and_maintenance() {
    let server = server();
    let mut client = server.client();
    for key in ["K", "OLD"] {
        client.call("activate_license", &about(key));
    }
    for (key, asked, expected) in [
        ("K", json!({}), &["2.0", "1.0"][..]),
        ("K", json!({ "env": "win64" }), &["2.0", "1.0"]),
        ("K", json!({ "env": "mac" }), &["2.0"]),
        ("K", json!({ "env": "amiga" }), &[]),
        ("K", json!({ "channel": "beta" }), &["3.0"]),
        ("K", json!({ "channel": "beta", "env": "mac" }), &["3.0"]),
        ("OLD", json!({}), &["1.0"]),
        ("OLD", json!({ "channel": "beta" }), &[]),
    ] {
        assert_eq!(versions(&mut client, &with(&about(key), asked.clone())), expected, "{key} {asked}");
    }
}

#[test]
fn installation_file_is_newest_or_named_version() {
    let server = server();
    let mut client = server.client();
    for key in ["K", "OLD"] {
        client.call("activate_license", &about(key));
    }
    let mut ask = |key: &str, more: Value| client.call("installation_file", &with(&about(key), more));
    let newest = ask("K", json!({ "env": "win64" })).json();
    assert_eq!(newest["installation_file"], "https://x/p-2.0.exe");
    assert_eq!(newest["release_date"], "2026-06-01T00:00:00.000Z");
    assert_eq!((&newest["size"], &newest["environment"], &newest["channel"]), (&json!(9), &json!("win64"), &json!("")));
    assert_eq!(ask("K", json!({ "version": "1.0" })).json()["installation_file"], "https://x/p-1.0.exe");
    assert_eq!(ask("OLD", json!({})).json()["version"], "1.0");
    assert_eq!(ask("OLD", json!({ "version": "2.0" })).code().unwrap(), "version_not_found");
    assert_eq!(ask("K", json!({ "version": "1.0", "env": "mac" })).code().unwrap(), "version_not_found");
}

#[test]
fn questions_about_versions_need_an_active_license_on_an_active_device() {
    let server = server();
    let mut client = server.client();
    let nameless = json!({ "product": "P", "hardware_id": "hw-1" });
    for operation in ["versions", "installation_file"] {
        let code = |client: &mut Client, request: &Value| client.call(operation, request).code().unwrap();
        assert_eq!(code(&mut client, &nameless), "license_key_or_license_user_required");
        assert_eq!(code(&mut client, &about("OFF")), "active_license_required");
        assert_eq!(code(&mut client, &about("K")), "device_not_found");
    }
}

#[test]
fn license_reply_describes_the_version_that_is_asked_for() {
    let server = server();
    let mut client = server.client();
    let activated = client.call("activate_license", &about("K")).json();
    assert_eq!(activated["version"], "2.0");
    assert_eq!(activated["installation_file"]["installation_file"], "https://x/p-2.0.dmg");
    let checked = client.call("check_license", &with(&about("K"), json!({ "channel": "beta" }))).json();
    assert_eq!((&checked["version"], &checked["installation_file"]), (&json!("3.0"), &json!("https://x/p-3.0.zip")));
    let none = client.call("check_license", &with(&about("K"), json!({ "env": "linux" }))).json();
    assert_eq!((&none["version"], &none["installation_file"], &none["size"]), (&json!(""), &json!(""), &Value::Null));
    client.call("activate_license", &with(&about("Q"), json!({ "product": "Q" })));
    let without_file = client.call("check_license", &with(&about("Q"), json!({ "product": "Q" }))).json();
    assert_eq!(without_file["version"], "7.7");
}

#[test]
fn product_details_have_the_version_and_the_fields() {
    let server = server();
    let mut client = server.client();
    let all = json!({ "product": "P", "include_latest_version": true, "include_custom_fields": true, "env": "win64" });
    let reply = client.call("product_details", &all).json();
    assert_eq!(reply["latest_version"]["full_link"], "https://x/p-2.0.exe");
    assert_eq!(reply["latest_version"]["filename"], "p-2.0.exe");
    let fields = reply["custom_fields"].as_array().unwrap();
    assert_eq!((&fields[0]["name"], &fields[0]["default_value"]), (&json!("seat"), &json!("window")));
    let none = client.call("product_details", &with(&all, json!({ "product": "U" }))).json();
    assert_eq!((&none["latest_version"], &none["custom_fields"]), (&Value::Null, &json!([])));
}

#[test]
fn products_are_those_that_the_key_may_activate() {
    let server = server();
    let codes = |client: &mut Client| {
        let reply = client.call("products", &json!({})).json();
        let code = |product: &Value| product["short_code"].as_str().unwrap().to_owned();
        reply.as_array().unwrap().iter().map(code).collect::<Vec<_>>()
    };
    let mut client = server.client();
    assert_eq!(codes(&mut client), ["P", "Q", "U"]);
    let features = client.call("products", &json!({})).json()[0]["features"].clone();
    let listed = |at: usize| (features[at]["code"].clone(), features[at]["feature_type"].clone());
    assert_eq!(listed(0), (json!("F"), json!("activation")));
    assert_eq!(listed(1), (json!("C"), json!("consumption")));
    assert_eq!(features.as_array().unwrap().len(), 2);
    let mut other = Client::new(server.server.base_url(), "only-q", "s");
    assert_eq!(codes(&mut other), ["Q"]);
}

#[test]
fn variables_are_kept_until_they_are_set_anew() {
    let server = server();
    let mut client = server.client();
    client.call("activate_license", &with(&about("K"), json!({ "variables": { "first": "a" } })));
    let tracked = json!({ "variables": { "room": 12, "open": true, "name": "Müller" } });
    let reply = client.call("track_device_variables", &with(&about("K"), tracked)).json();
    let values = |reply: &Value| {
        let pair =
            |one: &Value| (one["variable"].as_str().unwrap().to_owned(), one["value"].as_str().unwrap().to_owned());
        reply.as_array().unwrap().iter().map(pair).collect::<Vec<_>>()
    };
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(values(&reply), [pair("name", "Müller"), pair("open", "true"), pair("room", "12")]);
    assert!(reply[0]["created_at"].is_i64());
    client.call("track_device_variables", &with(&about("K"), json!({ "variables": { "room": 13 } })));
    let kept = client.call("get_device_variables", &about("K")).json();
    assert_eq!(values(&kept), [pair("first", "a"), pair("name", "Müller"), pair("open", "true"), pair("room", "13")]);
    assert!(kept[0]["created_at"].as_str().unwrap().ends_with('Z') && kept[0]["id"].is_u64());
    let other = with(&about("K"), json!({ "hardware_id": "hw-2" }));
    client.call("activate_license", &other);
    assert_eq!(client.call("get_device_variables", &other).json(), json!([]));
}

/// A reply that holds more would be longer than clients read.
#[test]
fn device_has_a_limited_number_of_variables() {
    let server = server();
    let mut client = server.client();
    client.call("activate_license", &about("K"));
    let mut track = |from: usize| {
        let named = (from..from + 50).map(|number| (format!("v{number}"), json!(number)));
        let variables: Value = named.collect::<serde_json::Map<_, _>>().into();
        client.call("track_device_variables", &with(&about("K"), json!({ "variables": variables })))
    };
    for from in [0, 50, 100, 150, 0] {
        assert_eq!(track(from).status, 200);
    }
    assert_eq!(track(200).code().unwrap(), "validation_error");
    assert_eq!(track(100).status, 200, "those that are there may be set again");
}

#[test]
fn device_licenses_are_what_is_active_on_the_device() {
    let server = server();
    let mut client = server.client();
    let device = json!({ "hardware_id": "hw-1" });
    assert_eq!(client.call("device_licenses", &device).json(), json!([]));
    client.call("activate_license", &about("K"));
    client.call("activate_license", &about("OLD"));
    let user = json!({ "product": "U", "username": "ada", "password": "p", "hardware_id": "hw-1" });
    client.call("activate_license", &user);
    client.call("deactivate_license", &about("OLD"));
    let licenses = client.call("device_licenses", &device).json();
    let names: Vec<_> =
        licenses.as_array().unwrap().iter().map(|one| (&one["license_key"], &one["user"]["email"])).collect();
    assert_eq!(names, [(&json!("K"), &Value::Null), (&Value::Null, &json!("ada@example.com"))]);
    assert_eq!(client.call("device_licenses", &json!({ "hardware_id": "blocked" })).code().unwrap(), "blacklisted");
    assert_eq!(client.call("device_licenses", &json!({})).code().unwrap(), "missing_parameters");
}
