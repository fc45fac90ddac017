//! Trials: who gets one, what it is, and that it stays.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::path::Path;

use chrono::TimeDelta;
use common::{Client, TestServer, directory, with};
use floatlease_server::store::SqliteStore;
use serde_json::{Value, json};

const CATALOGUE: &str = r#"
api_key = [{ key = "test-api-key", shared_key = "test-shared-key" }]
blacklisted_hardware_ids = ["blocked"]

[[product]]
code = "P"
[[product.trial]]
days = 30
max_activations = 2
metadata = { tier = "trial" }
feature = [{ code = "F", floating = { users = 1 } }]
[[product.trial]]
policy = "WEEK"
days = 7
email_required = true

[[product]]
code = "NONE"
"#;

fn server() -> TestServer {
    TestServer::start(CATALOGUE, Box::new(SqliteStore::in_memory().unwrap()), false)
}

fn server_on(file: &Path, catalogue: &str) -> TestServer {
    TestServer::start(catalogue, Box::new(SqliteStore::open(file).unwrap()), false)
}

fn device(hardware_id: &str) -> Value {
    json!({ "product": "P", "hardware_id": hardware_id })
}

fn trial_of(client: &mut Client, request: &Value) -> String {
    client.call("trial_key", request).json()["license"].as_str().unwrap().to_owned()
}

#[test]
fn device_gets_one_trial_with_the_terms_of_its_policy() {
    let server = server();
    let mut client = server.client();
    let new = client.call("trial_key", &with(&device("one"), json!({ "first_name": "Ada" }))).json();
    assert_eq!((&new["is_trial"], &new["trial_days"], &new["max_activations"]), (&json!(true), &json!(30), &json!(2)));
    assert_eq!((&new["license"], &new["LicenseProductFeatures"][0]["code"]), (&new["license_key"], &json!("F")));
    assert!(new["created_at"].is_i64());
    let again = client.call("trial_key", &device("one")).json();
    assert_eq!(again, json!({ "license_type": "time-limited", "is_trial": true, "license": new["license"] }));
    assert_ne!(trial_of(&mut client, &device("two")), new["license"].as_str().unwrap());

    let about = with(&device("one"), json!({ "license_key": new["license"] }));
    let activated = client.call("activate_license", &about).json();
    assert_eq!((&activated["id"], &activated["trial_days"]), (&new["id"], &json!(30)));
    assert_eq!(
        (&activated["metadata"]["tier"], &activated["customer"]["first_name"]),
        (&json!("trial"), &json!("Ada"))
    );
    assert_eq!(activated["validity_period"], "2026-01-31T00:00:00.000Z");
    let feature = with(&about, json!({ "feature": "F" }));
    assert_eq!(client.call("check_feature", &feature).json()["floating_in_use_devices"], 1);
}

#[test]
fn trial_that_is_over_does_not_begin_again() {
    let server = server();
    let mut client = server.client();
    let key = trial_of(&mut client, &device("one"));
    let about = with(&device("one"), json!({ "license_key": key }));
    assert_eq!(client.call("activate_license", &about).status, 200);
    server.clock.advance(TimeDelta::days(30));
    assert_eq!(trial_of(&mut client, &device("one")), key);
    assert_eq!(client.call("activate_license", &about).code().unwrap(), "trial_expired");
}

#[test]
fn policy_is_chosen_by_name_and_may_demand_an_address() {
    let server = server();
    let mut client = server.client();
    let week = with(&device("one"), json!({ "license_policy": "WEEK" }));
    assert_eq!(client.call("trial_key", &week).code().unwrap(), "email_missing");
    let named = client.call("trial_key", &with(&week, json!({ "email": "ada@example.com" }))).json();
    assert_eq!(named["trial_days"], 7);
    for (request, code) in [
        (with(&device("two"), json!({ "license_policy": "YEAR" })), "trial_not_allowed"),
        (with(&device("two"), json!({ "product": "NONE" })), "trial_not_allowed"),
        (with(&device("two"), json!({ "product": "X" })), "unknown_product"),
        (device("blocked"), "blacklisted"),
        (json!({ "product": "P" }), "missing_hardware_id"),
        (json!({ "hardware_id": "two" }), "missing_parameters"),
    ] {
        assert_eq!(client.call("trial_key", &request).code().unwrap(), code, "{request}");
    }
}

#[test]
fn policy_gives_no_more_trials_than_it_says() {
    let catalogue = CATALOGUE.replace("days = 30", "days = 30\nmax_trials = 2");
    let server = TestServer::start(&catalogue, Box::new(SqliteStore::in_memory().unwrap()), false);
    let mut client = server.client();
    let key = trial_of(&mut client, &device("one"));
    trial_of(&mut client, &device("two"));
    assert_eq!(client.call("trial_key", &device("three")).code().unwrap(), "trial_not_allowed");
    assert_eq!(trial_of(&mut client, &device("one")), key);
}

#[test]
fn product_details_tell_whether_there_is_a_trial() {
    let server = server();
    let mut client = server.client();
    let mut told = |product: &str| client.call("product_details", &json!({ "product": product })).json();
    assert_eq!((&told("P")["allow_trial"], &told("P")["trial_days"]), (&json!(true), &json!(30)));
    assert_eq!((&told("NONE")["allow_trial"], &told("NONE")["trial_days"]), (&json!(false), &json!(0)));
}

#[test]
fn trial_and_its_devices_outlast_a_restart() {
    let file = directory("trials-restart").join("data");
    let server = server_on(&file, CATALOGUE);
    let mut client = server.client();
    let key = trial_of(&mut client, &device("one"));
    let about = with(&device("one"), json!({ "license_key": key }));
    let first = client.call("activate_license", &about).json();
    drop(client);
    server.server.stop().unwrap();
    let server = server_on(&file, CATALOGUE);
    let mut client = server.client();
    assert_eq!(trial_of(&mut client, &device("one")), key);
    let checked = client.call("check_license", &about).json();
    assert_eq!((&checked["device_id"], &checked["times_activated"]), (&first["device_id"], &json!(1)));
    assert_eq!(checked["validity_period"], first["validity_period"]);
}

/// A vendor who closes a policy ends no trial; one who removes it ends all.
#[test]
fn closed_policy_keeps_its_trials_and_removed_one_does_not() {
    let file = directory("trials-closed").join("data");
    let server = server_on(&file, CATALOGUE);
    let key = trial_of(&mut server.client(), &device("one"));
    let about = with(&device("one"), json!({ "license_key": key }));
    server.server.stop().unwrap();
    let closed = CATALOGUE.replace("days = ", "closed = true\ndays = ");
    let server = server_on(&file, &closed);
    let mut client = server.client();
    assert_eq!(trial_of(&mut client, &device("one")), key);
    assert_eq!(client.call("activate_license", &about).status, 200);
    assert_eq!(client.call("trial_key", &device("two")).code().unwrap(), "trial_not_allowed");
    drop(client);
    server.server.stop().unwrap();
    let removed =
        "api_key = [{ key = \"test-api-key\", shared_key = \"test-shared-key\" }]\nproduct = [{ code = \"P\" }]";
    let server = server_on(&file, removed);
    let mut client = server.client();
    assert_eq!(client.call("activate_license", &about).code().unwrap(), "license_not_found");
    assert_eq!(client.call("trial_key", &device("one")).code().unwrap(), "trial_not_allowed");
}
