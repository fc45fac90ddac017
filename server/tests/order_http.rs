//! Order numbers over HTTP: what the header may be, and what replies say of it.
#![allow(clippy::unwrap_used)]

mod common;

use common::{API_KEY, Answer, Client, SHARED_KEY, TestServer};
use floatlease::model::{MAX_ORDER, ORDER};
use floatlease::operations::OPERATIONS;
use floatlease_server::store::SqliteStore;
use serde_json::{Value, json};

const CATALOGUE: &str = r#"
product = [{ code = "P" }]
bundle = [{ code = "SUITE", products = ["P"] }]
api_key = [{ key = "test-api-key", shared_key = "test-shared-key" }]
[[license]]
product = "P"
license_key = "K"
allow_unlimited_activations = true
floating = { users = 2, can_borrow = true, max_borrow_time_hours = 24 }
feature = [
    { code = "F", floating = { users = 1, can_borrow = true, max_borrow_time_hours = 12 } },
    { code = "C", consumption = { max_consumptions = 100 } },
]
"#;

fn server() -> TestServer {
    TestServer::start(CATALOGUE, Box::new(SqliteStore::in_memory().unwrap()), false)
}

/// Enough for every operation; each ignores what it does not know.
fn everything() -> Value {
    json!({ "product": "P", "license_key": "K", "hardware_id": "hw-1", "feature": "F", "borrowed_until": null })
}

fn numbered(client: &mut Client, number: u64, operation: &str, about: &Value) -> Answer {
    client.call_with(operation, about, &[(ORDER, &number.to_string())])
}

fn order(answer: &Answer) -> Option<&str> {
    answer.headers.get("floatlease-order").map(String::as_str)
}

#[test]
fn success_of_each_ordered_operation_repeats_the_number() {
    let server = server();
    let mut client = server.client();
    let steps = [
        "activate_license",
        "check_license",
        "borrow_license",
        "release_license",
        "check_feature",
        "borrow_feature",
        "release_feature",
        "deactivate_license",
        "activate_bundle",
        "check_bundle",
        "deactivate_bundle",
    ];
    assert_eq!(steps.len(), OPERATIONS.iter().filter(|operation| operation.is_ordered()).count());
    for (number, operation) in (41..).zip(steps) {
        let mut about = everything();
        if operation.ends_with("_bundle") {
            about["product"] = "SUITE".into();
        }
        let answer = numbered(&mut client, number, operation, &about);
        assert_eq!(answer.status, 200, "{operation}: {answer:?}");
        assert_eq!(order(&answer), Some(number.to_string().as_str()), "{operation}");
        let again = numbered(&mut client, number, operation, &about);
        assert_eq!((again.status, &again.body), (200, &answer.body), "{operation}");
        for header in ["floatlease-order", "licensesignature"] {
            assert_eq!(again.headers.get(header), answer.headers.get(header), "{operation}");
        }
    }
}

#[test]
fn request_without_a_number_is_told_none() {
    let server = server();
    let mut client = server.client();
    for operation in ["activate_license", "check_license", "release_license", "release_license"] {
        assert_eq!(order(&client.call(operation, &everything())), None, "{operation}");
    }
}

#[test]
fn every_refusal_repeats_the_number() {
    let server = server();
    let with = |name: &str, value: &str| {
        let mut about = everything();
        about[name] = value.into();
        about
    };
    let keys = |shared_key: &str| Client::new(server.server.base_url(), API_KEY, shared_key);
    for (shared_key, operation, about, code) in [
        (SHARED_KEY, "release_license", everything(), "device_not_found"),
        (SHARED_KEY, "check_license", json!({ "product": "P" }), "missing_parameters"),
        (SHARED_KEY, "check_license", with("product", "N"), "unknown_product"),
        (SHARED_KEY, "check_license", with("license_key", "N"), "license_not_found"),
        (SHARED_KEY, "borrow_feature", with("license_id", "no number"), "validation_error"),
        ("wrong", "activate_license", everything(), "signature_mismatch"),
    ] {
        let answer = numbered(&mut keys(shared_key), 7, operation, &about);
        assert_eq!(answer.code().as_deref(), Some(code), "{answer:?}");
        assert_eq!(order(&answer), Some("7"), "{code}");
    }
}

#[test]
fn outdated_request_is_told_the_highest_number() {
    let server = server();
    let mut client = server.client();
    numbered(&mut client, 5, "activate_license", &everything());
    numbered(&mut client, 9, "check_feature", &everything());
    for (number, operation, highest) in [
        (8, "release_feature", "9"),
        (9, "release_feature", "9"),
        (4, "release_license", "5"),
        (8, "deactivate_license", "9"),
    ] {
        let answer = numbered(&mut client, number, operation, &everything());
        assert_eq!((answer.status, answer.code().as_deref()), (400, Some("order_outdated")), "{operation} {number}");
        assert_eq!(order(&answer), Some(highest), "{operation} {number}");
        let message = answer.json()["message"].as_str().unwrap().to_owned();
        assert!(message.contains("later request came first") && message.contains(highest), "{message}");
    }
    assert_eq!(numbered(&mut client, 10, "release_feature", &everything()).code(), None, "it was held all the time");
}

#[test]
fn number_that_can_not_be_is_a_validation_error() {
    let server = server();
    let mut client = server.client();
    client.call("activate_license", &everything());
    let above = (MAX_ORDER + 1).to_string();
    for wrong in
        ["0", "-1", "+1", "1.0", "1e3", "0x10", "seven", "1 2", "1,2", "", above.as_str(), "18446744073709551617", "١"]
    {
        let answer = client.call_with("check_license", &everything(), &[(ORDER, wrong)]);
        assert_eq!(answer.code().as_deref(), Some("validation_error"), "{wrong:?}: {answer:?}");
        let message = answer.json()["message"].as_str().unwrap().to_owned();
        let expected = format!("{ORDER} must be given once, as a whole number from 1 to {MAX_ORDER}");
        assert!(message.starts_with(&expected), "{message}");
        assert_eq!(order(&answer), None, "{wrong:?}");
    }
    for twice in [["1", "2"], ["1", "1"]] {
        let answer = client.call_with("check_license", &everything(), &twice.map(|number| (ORDER, number)));
        assert_eq!(answer.code().as_deref(), Some("validation_error"), "{twice:?}");
        assert_eq!(order(&answer), None, "{twice:?}");
    }
    assert_eq!(client.call("release_license", &everything()).code().as_deref(), Some("floating_not_available"));
    let highest = numbered(&mut client, MAX_ORDER, "check_license", &everything());
    assert_eq!(order(&highest), Some("9007199254740991"));
}

#[test]
fn operation_without_order_ignores_the_header() {
    let server = server();
    let mut client = server.client();
    client.call("activate_license", &everything());
    let mut consumption = everything();
    consumption["feature"] = "C".into();
    for number in ["7", "6", "no number"] {
        for (operation, about) in [("add_feature_consumption", &consumption), ("product_details", &everything())] {
            let answer = client.call_with(operation, about, &[(ORDER, number)]);
            assert_eq!(answer.status, 200, "{operation}: {answer:?}");
            assert_eq!(order(&answer), None, "{operation}");
        }
    }
}
