//! Offline activation through the C ABI: request files that the server accepts, reply files that only their device believes.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use support::abi::Client;
use support::sandbox::World;
use support::{Demo, with};

/// A world that lives in 2019, so that a license that ends in 2020 can be activated there, and is over on this machine.
fn world(demo: &Demo) -> World {
    let catalogue = json!({
        "min_offline_schema": 1,
        "customer_account": [{ "code": "ACME" }],
        "customer": [{ "email": "c", "customer_account": "ACME" }],
        "consumption_pool": [
            { "name": "Units", "customer_account": "ACME", "kind": "license", "max_consumptions": 20 },
        ],
        "product": [{ "code": "P" }, { "code": "U", "authorization_method": "user" }],
        "user": [{ "username": "ada@example.com", "password": "correct-horse" }],
        "license": [
            {
                "product": "P", "license_key": "NODE", "allow_unlimited_activations": true,
                "feature": [{ "code": "COUNT", "consumption": { "max_consumptions": 10 } }],
            },
            { "product": "P", "license_key": "OTHER", "allow_unlimited_activations": true },
            {
                "product": "P", "license_key": "ENDS", "license_type": "time-limited",
                "validity_period": "2020-01-01", "allow_unlimited_activations": true,
            },
            {
                "product": "P", "license_key": "POOLED", "customer": "c", "allow_unlimited_activations": true,
                "consumption": { "max_consumptions": 15, "pool": "Units" },
            },
            { "product": "U", "users": ["ada@example.com"], "allow_unlimited_activations": true },
        ],
    });
    World::new(demo, &json!({ "catalogue": catalogue, "now": "2019-12-01" }))
}

fn config(world: &World, hardware_id: &str) -> Value {
    with(&world.config(hardware_id), json!({ "product": "P", "license_key": "NODE" }))
}

fn open(world: &World, hardware_id: &str) -> Client {
    Client::open(&config(world, hardware_id)).unwrap()
}

/// The text of a file that the client writes.
fn written(client: &Client, operation: &str, request: &Value) -> String {
    client.call(operation, request).ok()["file"].as_str().unwrap().to_owned()
}

/// Writes a request, has the server answer it, and returns the text of the reply file.
fn reply_file(client: &Client, request: &Value) -> String {
    let file = written(client, "write_offline_activation", request);
    client.reply_text("activate_offline", &json!({ "file": file }))
}

fn read(client: &Client, file: &str) -> support::abi::Answer {
    client.call("read_offline_activation", &json!({ "file": file }))
}

#[test]
fn license_is_activated_and_deactivated_by_files_of_both_schemas() {
    let demo = Demo::start();
    let world = world(&demo);
    let portal = open(&world, "another device");
    for schema in [1, 2] {
        let hardware_id = format!("device {schema}");
        let client = open(&world, &hardware_id);
        let request = json!({ "schema_version": schema, "variables": { "room": "12 é" }, "os_ver": "Linux" });
        let told = client.call("write_offline_activation", &request).ok();
        let reply = portal.reply_text("activate_offline", &json!({ "file": told["file"] }));
        let with_id = json!({ "file": reply, "request_id": told["request_id"] });
        let license = client.call("read_offline_activation", &with_id).ok();
        assert_eq!(license["request_id"], told["request_id"]);
        assert_eq!(license["hardware_id"], hardware_id);
        assert_eq!(license["variables"][0]["value"], "12 é");

        let request = json!({ "schema_version": schema, "feature_consumptions": { "COUNT": 4 } });
        let file = json!({ "file": written(&client, "write_offline_deactivation", &request) });
        let answer = portal.call("deactivate_offline", &file).ok();
        assert_eq!(answer["message"], "license_deactivated");
        let again = portal.call("deactivate_offline", &file).failed("ORDER_OUTDATED", "rejected");
        assert!(again["message"].as_str().unwrap().contains("used before"), "{again}");
        portal.call("activate_offline", &json!({ "file": told["file"] })).failed("ORDER_OUTDATED", "rejected");
        client.call("check_license", &Value::Null).refused("DEVICE_NOT_FOUND");
    }
    portal.call("activate_license", &Value::Null).ok();
    let total = portal.call("check_feature", &json!({ "feature": "COUNT" })).ok()["total_consumptions"].clone();
    assert_eq!(total, 8);
}

#[test]
fn request_file_needs_no_network_and_shows_no_secret() {
    let offline = json!({
        "product": "P", "license_key": "NODE", "api_key": "a", "shared_key": "a shared secret", "hardware_id": "hw",
        "base_url": "https://licenses.invalid/api/v4", "verify": "off",
    });
    let client = Client::open(&offline).unwrap();
    for schema in [1, 2] {
        let file = written(&client, "write_offline_activation", &json!({ "schema_version": schema }));
        let text = String::from_utf8(STANDARD.decode(file).unwrap()).unwrap();
        let json: Value = serde_json::from_str(&text).unwrap();
        let request = if schema == 2 { &json["request"] } else { &json };
        assert_eq!(request["request"], "activation");
        assert_eq!(request["license_key"], "NODE");
        assert!(!text.contains("a shared secret"));
    }
    let request = json!({ "schema_version": 3 });
    client.call("write_offline_activation", &request).failed("BAD_VALUE", "not_sent");
    let token = json!({ "id_token": "t", "customer_account_code": "c" });
    client.call("write_offline_activation", &token).failed("MISSING_KEY", "not_sent");
    client.call("read_offline_activation", &json!({})).failed("MISSING_KEY", "not_sent");
}

#[test]
fn user_is_activated_by_file_with_password() {
    let demo = Demo::start();
    let world = world(&demo);
    let user = json!({
        "product": "U", "license_key": null, "username": "ada@example.com", "password": "correct-horse",
    });
    let client = Client::open(&with(&config(&world, "hw"), user)).unwrap();
    let license = read(&client, &reply_file(&client, &json!({}))).ok();
    assert_eq!(license["user"]["email"], "ada@example.com");
    let file = written(&client, "write_offline_activation", &json!({ "username": "ada@example.com", "password": "x" }));
    client.call("activate_offline", &json!({ "file": file })).refused("LICENSE_NOT_FOUND");
}

#[test]
fn reply_file_altered_anywhere_is_refused() {
    let demo = Demo::start();
    let world = world(&demo);
    let client = open(&world, "hw");
    let file = reply_file(&client, &json!({}));
    for at in 0..file.len() {
        let mut bytes = file.as_bytes().to_vec();
        bytes[at] ^= 1;
        let Ok(altered) = String::from_utf8(bytes) else { continue };
        let answer = read(&client, &altered);
        let named = ["REPLY_SIGNATURE", "REPLY_UNSIGNED", "REPLY_NOT_API", "REPLY_TRUNCATED", "REPLY_NOT_OURS"];
        assert!(named.contains(&answer.status.as_str()), "byte {at}: {answer:?}");
    }
    read(&client, &file[..file.len() / 2]).failed("REPLY_TRUNCATED", "not_sent");
    read(&client, "").failed("MISSING_KEY", "not_sent");
    read(&client, &file).ok();
    read(&client, &format!("\u{feff}{file}\r\n")).ok();
    read(&client, &STANDARD.encode(&file)).ok();
}

#[test]
fn reply_file_of_another_device_license_or_request_is_refused() {
    let demo = Demo::start();
    let world = world(&demo);
    let client = open(&world, "hw");
    let file = reply_file(&client, &json!({}));
    let error = read(&open(&world, "other"), &file).failed("REPLY_NOT_OURS", "not_sent");
    assert!(error["message"].as_str().unwrap().contains("another device"), "{error}");
    let other = json!({ "file": file, "license_key": "OTHER" });
    client.call("read_offline_activation", &other).failed("REPLY_NOT_OURS", "not_sent");
    let other = json!({ "file": file, "request_id": "another" });
    client.call("read_offline_activation", &other).failed("REPLY_NOT_OURS", "not_sent");
    // An online reply proves nothing here: its signature is in a header.
    let online = client.call("check_license", &Value::Null).ok().to_string();
    read(&client, &online).failed("REPLY_UNSIGNED", "not_sent");
}

#[test]
fn reply_file_is_verified_with_the_configured_key() {
    let demo = Demo::start();
    let world = world(&demo);
    let file = reply_file(&open(&world, "hw"), &json!({}));
    let key = include_str!("data/signing-public-key.pem");
    let other = Client::open(&with(&config(&world, "hw"), json!({ "public_key": key }))).unwrap();
    let error = read(&other, &file).failed("REPLY_SIGNATURE", "not_sent");
    assert!(error["advice"].as_str().unwrap().contains("public_key"), "{error}");
}

#[test]
fn reply_file_of_an_expired_license_is_told() {
    let demo = Demo::start();
    let world = world(&demo);
    let key = json!({ "license_key": "ENDS" });
    let client = Client::open(&with(&config(&world, "hw"), key)).unwrap();
    let file = reply_file(&client, &json!({}));
    read(&client, &file).failed("LICENSE_EXPIRED", "not_sent");
}

/// An offline activation holds units of the pool for its device, and the deactivation gives back what was not used.
#[test]
fn units_of_a_pool_are_reserved_and_settled() {
    let demo = Demo::start();
    let world = world(&demo);
    let open = |hardware_id: &str| {
        Client::open(&with(&config(&world, hardware_id), json!({ "license_key": "POOLED" }))).unwrap()
    };
    let (offline, online) = (open("offline"), open("online"));
    online.call("activate_license", &Value::Null).ok();
    let pool = online.call("add_consumption", &json!({ "consumptions": 3 })).ok()["pool"].clone();
    assert_eq!(pool["name"], "Units");
    assert_eq!(pool["total_consumptions"], 3);
    let license = read(&offline, &reply_file(&offline, &json!({ "pool_reservation": 12 }))).ok();
    assert_eq!(license["pool"]["reserved"], 12);
    assert_eq!(license["pool"]["total_consumptions"], 15);
    online.call("add_consumption", &json!({ "consumptions": 6 })).refused("LICENSE_NOT_ENOUGH_CONSUMPTIONS");
    let file = written(&offline, "write_offline_deactivation", &json!({ "consumptions": 4 }));
    online.call("deactivate_offline", &json!({ "file": file })).ok();
    let license = online.call("check_license", &Value::Null).ok();
    assert_eq!(license["total_consumptions"], 7);
    assert_eq!(license["pool"]["total_consumptions"], 7);
}

#[test]
fn activation_whose_reply_was_lost_is_sent_again() {
    let demo = Demo::start();
    let world = world(&demo);
    let client = Client::open(&with(&config(&world, "hw"), json!({ "license_key": "POOLED" }))).unwrap();
    let file = json!({ "file": written(&client, "write_offline_activation", &json!({ "pool_reservation": 12 })) });
    let first = client.reply_text("activate_offline", &file);
    let second = client.reply_text("activate_offline", &file);
    assert_eq!(read(&client, &second).ok()["pool"]["total_consumptions"], 12, "reserved once");
    assert_eq!(second, first);
}
