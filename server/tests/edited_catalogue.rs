//! An administrator edits the catalogue, and starts the server again.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::process::Site;
use serde_json::{Value, json};

const CATALOGUE: &str = r#"
product = [{ code = "P" }]
api_key = [{ key = "test-api-key", shared_key = "test-shared-key" }]
[[license]]
product = "P"
license_key = "FLOATING"
allow_unlimited_activations = true
floating = { users = 2, can_borrow = true, max_borrow_time_hours = 24 }
[[license]]
product = "P"
license_key = "AMOUNT"
consumption = { max_consumptions = 10 }
"#;

fn about(license_key: &str, hardware_id: &str) -> Value {
    json!({ "product": "P", "license_key": license_key, "hardware_id": hardware_id, "borrowed_until": null })
}

#[test]
fn edits_count_from_next_start_and_are_logged() {
    let site = Site::new("edited-catalogue", CATALOGUE);
    let server = site.serve();
    let mut client = server.client();
    for device in ["thief", "colleague"] {
        assert_eq!(client.call("activate_license", &about("FLOATING", device)).code(), None);
        assert_eq!(client.call("borrow_license", &about("FLOATING", device)).code(), None);
    }
    client.call("activate_license", &about("AMOUNT", "colleague"));
    let mut amount = about("AMOUNT", "colleague");
    amount["allow_overages"] = true.into();
    amount["max_overages"] = 50.into();
    assert_eq!(client.call("add_consumption", &amount).json()["max_overages"], 50);
    server.stop();

    let server = site.serve();
    server.wait_for_log("license \"AMOUNT\": a client has set allow_overages = true, max_overages = 50, which counts");
    server.stop();

    let edited = CATALOGUE.replace("max_consumptions = 10", "max_consumptions = 10, max_overages = 5");
    site.edit(&format!("blacklisted_hardware_ids = [\"thief\"]\n{edited}"));
    let server = site.serve();
    server.wait_for_log("license \"AMOUNT\": the catalogue was edited to allow_overages = false, max_overages = 5");
    server.wait_for_log("license \"FLOATING\": freed 1 slots of the blacklisted device \"thief\"");
    let mut client = server.client();
    assert_eq!(client.call("check_license", &about("AMOUNT", "colleague")).json()["max_overages"], 5);
    assert_eq!(client.call("borrow_license", &about("FLOATING", "thief")).code().as_deref(), Some("blacklisted"));
    let seen = client.call("activate_license", &about("FLOATING", "newcomer")).json();
    assert_eq!(seen["floating_in_use_devices"], 1);
    assert_eq!(client.call("deactivate_license", &about("FLOATING", "thief")).code(), None);
    assert_eq!(client.call("activate_license", &about("FLOATING", "newcomer")).json()["times_activated"], 2);
    server.stop();
}
