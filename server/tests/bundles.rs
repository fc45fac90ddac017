//! Bundles: the licenses of several products, by one request.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::{Answer, Client, TestServer};
use floatlease::model::ORDER;
use floatlease_server::store::SqliteStore;
use serde_json::{Value, json};

const CATALOGUE: &str = r#"
api_key = [{ key = "test-api-key", shared_key = "test-shared-key" }, { key = "only-a", shared_key = "s", products = ["A"] }]
user = [{ username = "ada", email = "ada@example.com", password = "p", allow_unlimited_activations = true }]
product = [{ code = "A" }, { code = "B" }, { code = "C" }, { code = "U", authorization_method = "user" }]
bundle = [{ code = "ABC", products = ["A", "B", "C"] }, { code = "BA", products = ["B", "A"] }, { code = "AU", products = ["A", "U"] }]

[[license]]
product = "A"
license_key = "K"
max_activations = 2
floating = { users = 1 }

[[license]]
product = "B"
license_key = "K"
max_activations = 2

[[license]]
product = "A"
license_key = "OFF"

[[license]]
product = "B"
license_key = "OFF"
enabled = false

[[license]]
product = "U"
users = ["ada"]
"#;

fn server() -> TestServer {
    TestServer::start(CATALOGUE, Box::new(SqliteStore::in_memory().unwrap()), false)
}

fn about(key: &str, device: &str) -> Value {
    json!({ "product": "ABC", "license_key": key, "hardware_id": device })
}

fn products(answer: &Answer) -> Vec<String> {
    let code = |license: &Value| license["product_details"]["short_code"].as_str().unwrap().to_owned();
    answer.json().as_array().unwrap().iter().map(code).collect()
}

fn of_one_product(client: &mut Client, operation: &str, product: &str, device: &str) -> Answer {
    client.call(operation, &json!({ "product": product, "license_key": "K", "hardware_id": device }))
}

#[test]
fn licenses_with_the_same_key_are_activated_checked_and_deactivated_together() {
    let server = server();
    let mut client = server.client();
    assert_eq!(client.call("check_bundle", &about("K", "one")).code().unwrap(), "device_not_found");
    let activated = client.call("activate_bundle", &about("K", "one"));
    assert_eq!(products(&activated), ["A", "B"]);
    assert_eq!(activated.json()[0]["request"], "activation");
    assert_eq!(activated.json()[0]["floating_in_use_devices"], 0);
    let checked = client.call("check_bundle", &about("K", "one"));
    assert_eq!(products(&checked), ["A", "B"]);
    assert_eq!(checked.json()[0]["floating_in_use_devices"], 1, "a check takes the slot");
    assert_eq!(client.call("deactivate_bundle", &about("K", "one")).body, b"license_deactivated");
    for product in ["A", "B"] {
        assert_eq!(of_one_product(&mut client, "check_license", product, "one").code().unwrap(), "device_not_found");
    }
}

#[test]
fn license_that_cant_be_used_refuses_the_bundle_before_anything_is_done() {
    let server = server();
    let mut client = server.client();
    assert_eq!(client.call("activate_bundle", &about("OFF", "one")).code().unwrap(), "license_not_enabled");
    let alone = json!({ "product": "A", "license_key": "OFF", "hardware_id": "one" });
    assert_eq!(client.call("check_license", &alone).code().unwrap(), "device_not_found");
    assert_eq!(client.call("activate_bundle", &about("NONE", "one")).code().unwrap(), "license_not_found");
    let unknown = json!({ "product": "A", "license_key": "K", "hardware_id": "one" });
    assert_eq!(client.call("activate_bundle", &unknown).code().unwrap(), "unknown_product", "a product is no bundle");
}

#[test]
fn bundle_that_is_activated_again_counts_nothing_twice() {
    let server = server();
    let mut client = server.client();
    for _ in 0..3 {
        let activated = client.call("activate_bundle", &about("K", "one")).json();
        assert_eq!((&activated[0]["times_activated"], &activated[1]["times_activated"]), (&json!(1), &json!(1)));
    }
    of_one_product(&mut client, "deactivate_license", "B", "one");
    assert_eq!(products(&client.call("check_bundle", &about("K", "one"))), ["A"], "what is not active is left out");
}

/// A license that came into the bundle later, and that this device never had, does not matter to it.
#[test]
fn license_that_is_not_active_here_refuses_no_check() {
    let server = server();
    let mut client = server.client();
    let alone = json!({ "product": "A", "license_key": "OFF", "hardware_id": "one" });
    assert_eq!(client.call("activate_license", &alone).status, 200);
    assert_eq!(products(&client.call("check_bundle", &about("OFF", "one"))), ["A"]);
    assert_eq!(client.call("deactivate_bundle", &about("OFF", "one")).status, 200);
}

#[test]
fn full_license_of_a_bundle_refuses_the_check() {
    let server = server();
    let mut client = server.client();
    for device in ["one", "two"] {
        client.call("activate_bundle", &about("K", device));
    }
    assert_eq!(client.call("check_bundle", &about("K", "one")).status, 200);
    assert_eq!(client.call("check_bundle", &about("K", "two")).code().unwrap(), "floating_not_available");
}

#[test]
fn user_needs_the_password_to_activate_and_to_deactivate() {
    let server = server();
    let mut client = server.client();
    let ada = json!({ "product": "AU", "username": "ada", "hardware_id": "one" });
    let mut with_password = ada.clone();
    with_password["password"] = "p".into();
    for operation in ["activate_bundle", "deactivate_bundle"] {
        assert_eq!(client.call(operation, &ada).code().unwrap(), "missing_parameters");
    }
    assert_eq!(products(&client.call("activate_bundle", &with_password)), ["U"]);
    assert_eq!(products(&client.call("check_bundle", &ada)), ["U"]);
    assert_eq!(client.call("deactivate_bundle", &with_password).status, 200);
}

#[test]
fn key_that_may_not_activate_each_product_activates_no_bundle() {
    let server = server();
    let mut client = Client::new(server.server.base_url(), "only-a", "s");
    assert_eq!(client.call("activate_bundle", &about("K", "one")).code().unwrap(), "api_key_product_not_allowed");
}

#[test]
fn late_request_does_not_undo_a_later_one() {
    let server = server();
    let mut client = server.client();
    let mut ask = |operation: &str, number: &str| client.call_with(operation, &about("K", "one"), &[(ORDER, number)]);
    assert_eq!(ask("activate_bundle", "10").status, 200);
    assert_eq!(ask("activate_bundle", "10").status, 200, "the same request again is answered again");
    assert_eq!(ask("deactivate_bundle", "9").code().unwrap(), "order_outdated");
    assert_eq!(ask("check_bundle", "11").status, 200);
}

/// A late request is compared with the later ones about each license, before the first license is touched.
#[test]
fn late_request_about_one_license_touches_no_other() {
    let server = server();
    let mut client = server.client();
    let about = |device: &str| json!({ "product": "BA", "license_key": "K", "hardware_id": device });
    let of_a = json!({ "product": "A", "license_key": "K", "hardware_id": "one" });
    assert_eq!(client.call_with("activate_bundle", &about("one"), &[(ORDER, "5")]).status, 200);
    assert_eq!(client.call_with("check_license", &of_a, &[(ORDER, "10")]).status, 200);
    let late = client.call_with("deactivate_bundle", &about("one"), &[(ORDER, "9")]);
    assert_eq!(late.code().unwrap(), "order_outdated");
    assert_eq!(of_one_product(&mut client, "check_license", "B", "one").status, 200, "B is still active");
}
