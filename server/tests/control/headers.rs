//! The headers that the vendor's cloud does not know: what a world makes of them that knows them, or doesn't.

use floatlease::model::{IDEMPOTENCY_KEY, ORDER};
use serde_json::{Value, json};

use crate::common::Answer;
use crate::common::sandbox::{Demo, World};

fn numbered(world: &mut World<'_>, number: &str, operation: &str) -> Answer {
    world.ask_with(operation, "hw", Value::Null, &[(ORDER, number)])
}

fn consume(world: &mut World<'_>, key: &str) -> Answer {
    let three = json!({ "feature": "RENDER-MINUTES", "consumptions": 3 });
    world.ask_with("add_feature_consumption", "hw", three, &[(IDEMPOTENCY_KEY, key)])
}

fn still(demo: &Demo, options: Value) -> World<'_> {
    let mut all = json!({ "now": "2026-01-01", "rate": 0 });
    all.as_object_mut().unwrap().extend(options.as_object().unwrap().clone());
    demo.world(&all)
}

#[test]
fn world_keeps_requests_in_order_unless_told_otherwise() {
    let demo = Demo::start();
    for options in [json!({}), json!({ "order": true }), json!({ "order": null, "idempotency": false })] {
        let mut world = still(&demo, options);
        world.take_slot("hw");
        let released = numbered(&mut world, "7", "release_license");
        assert_eq!(released.headers["floatlease-order"], "7");
        assert_eq!(numbered(&mut world, "6", "check_license").code().unwrap(), "order_outdated");
        assert_eq!(world.slots(), []);
    }
}

#[test]
fn world_without_order_ignores_the_number() {
    let demo = Demo::start();
    let mut world = still(&demo, json!({ "order": false }));
    world.take_slot("hw");
    for (number, operation) in [("7", "release_license"), ("6", "check_license"), ("no number", "check_license")] {
        let answer = numbered(&mut world, number, operation);
        assert_eq!(answer.code(), None, "{number} {operation}");
        assert!(!answer.headers.contains_key("floatlease-order"), "{number} {operation}");
    }
    assert_eq!(world.slots().len(), 1, "the late check has taken it for nobody");
    let named = consume(&mut world, "order-1");
    assert_eq!(named.headers["idempotency-key"], "order-1", "the other header is another option's");
}

#[test]
fn world_without_idempotency_books_again() {
    let demo = Demo::start();
    for (options, total, heard) in [(json!({}), 3, true), (json!({ "idempotency": false }), 6, false)] {
        let mut world = still(&demo, options.clone());
        world.take_slot("hw");
        consume(&mut world, "order-1");
        let again = consume(&mut world, "order-1");
        assert_eq!(again.json()["total_consumptions"], total, "{options}");
        assert_eq!(again.headers.contains_key("idempotency-key"), heard, "{options}");
    }
}

#[test]
fn journal_notes_the_number_whether_it_counts_or_not() {
    let demo = Demo::start();
    for order in [true, false] {
        let mut world = still(&demo, json!({ "order": order }));
        world.done("activate_license", "hw", Value::Null);
        numbered(&mut world, "7", "check_license");
        numbered(&mut world, "no number", "check_license");
        let entries = world.get("/journal")["entries"].as_array().unwrap().clone();
        let requests = entries.iter().filter(|entry| entry["kind"] == "request");
        let orders: Vec<&Value> = requests.map(|entry| entry.get("order").unwrap()).collect();
        assert_eq!(orders, [&Value::Null, &7.into(), &Value::Null], "{order}");
        let expected = json!({ "filter": { "order": 7, "operation": "check_license" }, "times": 1 });
        world.control("POST /journal/expect", &expected);
    }
}

#[test]
fn refusal_by_a_fault_repeats_the_number_as_the_servers_own() {
    let demo = Demo::start();
    for (order, what, heard) in [
        (true, json!({ "code": "license_expired" }), Some("7")),
        (true, json!({ "undocumented_code": "brand_new" }), Some("7")),
        (false, json!({ "code": "license_expired" }), None),
        (true, json!({ "http": { "status": 502 } }), None),
        (true, "html_page".into(), None),
    ] {
        let mut world = still(&demo, json!({ "order": order, "faults": [{ "do": { "before": what } }] }));
        let answer = numbered(&mut world, "7", "check_license");
        assert_eq!(answer.headers.get("floatlease-order").map(String::as_str), heard, "{order} {what}");
    }
}
