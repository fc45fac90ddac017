//! The outcome of a call is that of all its requests together, and what a refusal means depends on what was asked.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use serde_json::{Value, json};
use support::Demo;
use support::holder::until;
use support::sandbox::World;

const DEVICE: &str = "desk";

fn world(demo: &Demo, options: &Value) -> World {
    let world = World::new(demo, options);
    world.client(DEVICE).call("activate_license", &Value::Null).ok();
    world
}

/// The first of these requests is carried out and its reply lost; those after it are refused.
fn lose_then_refuse(world: &World, operation: &str, code: &str) {
    let once =
        json!({ "match": { "operation": operation }, "when": { "times": 1 }, "do": { "after_commit": "reset" } });
    let then = json!({ "match": { "operation": operation }, "do": { "before": { "code": code } } });
    world.control("PUT /faults", &json!({ "faults": [once, then] }));
}

#[test]
fn refusal_after_lost_reply_leaves_outcome_unknown() {
    let demo = Demo::start();
    for order in [true, false] {
        let world = world(&demo, &json!({ "order": order }));
        let client = world.client(DEVICE);
        lose_then_refuse(&world, "check_license", "license_not_enabled");
        client.call("check_license", &Value::Null).failed("LICENSE_NOT_ENABLED", "unknown");
        assert_eq!(world.slots_of(DEVICE).len(), 1, "the first request has taken it");
    }
}

#[test]
fn acquire_refused_after_lost_reply_gives_slot_back() {
    let demo = Demo::start();
    for order in [true, false] {
        let world = world(&demo, &json!({ "order": order }));
        let client = world.client(DEVICE);
        lose_then_refuse(&world, "check_license", "license_not_enabled");
        let (lease, answer) = client.try_acquire(&Value::Null);
        answer.failed("LICENSE_NOT_ENABLED", "unknown");
        assert!(lease.is_none());
        until("the slot is given back", || world.slots_of(DEVICE).is_empty());
    }
}

#[test]
fn lease_of_several_slots_tells_outcome_of_all() {
    let demo = Demo::start();
    let world = world(&demo, &json!({}));
    let folder = support::folder::Folder::new("whole-call");
    let config = support::with(&world.config(DEVICE), json!({ "storage_dir": folder.path() }));
    let client = support::abi::Client::open(&config).unwrap();
    let (lease, _) = client.acquire(&json!({ "features": ["MESH", "SOLVER"] }));
    // MESH is borrowed by then, and SOLVER can't be.
    lease.borrow(&Value::Null).failed("FEATURE_BORROW_NOT_ALLOWED", "unknown");
    let refuse = json!({
        "match": { "operation": "check_feature", "feature": "SOLVER" }, "do": { "before": { "code": "license_not_enabled" } },
    });
    world.control("PUT /faults", &json!({ "faults": [refuse] }));
    // MESH was renewed, SOLVER was refused.
    lease.renew().failed("LICENSE_NOT_ENABLED", "unknown");
    assert_eq!(lease.state(), "GRACE", "a definite refusal ends it all the same");
}

#[test]
fn release_of_slot_not_held_is_not_worth_repeating() {
    let demo = Demo::start();
    let world = world(&demo, &json!({}));
    let client = world.client(DEVICE);
    for (operation, request, name) in [
        ("release_license", json!({}), "FLOATING_NOT_AVAILABLE"),
        ("release_feature", json!({ "feature": "MESH" }), "FLOATING_FEATURE_DEVICE_NOT_IN_USE"),
    ] {
        let answer = client.call(operation, &request);
        let error = answer.refused(name);
        assert_eq!(error["retryable"], false, "{error}");
        let advice = error["advice"].as_str().unwrap();
        assert!(advice.starts_with("Nothing to do"), "{advice}");
    }
    // To the operation that takes a slot, the same code means that waiting helps.
    let error = error_of_full_pool(&world);
    assert_eq!(error["retryable"], true, "{error}");
}

#[test]
fn release_by_verb_after_unanswered_check_is_not_believed() {
    let demo = Demo::start();
    for order in [true, false] {
        let world = world(&demo, &json!({ "order": order }));
        let client = world.client(DEVICE);
        let late = json!({ "before": { "delay": { "fixed_ms": 300 } } });
        let once = json!({ "match": { "operation": "check_license" }, "when": { "times": 1 }, "do": late });
        world.control("POST /faults", &once);
        client.call("check_license", &json!({ "timeout_ms": 50 })).failed("TIMEOUT", "unknown");
        let answer = client.call("release_license", &Value::Null);
        let happened = || world.control("POST /journal/count", &json!({ "filter": { "operation": "check_license" } }));
        if order {
            answer.failed("FLOATING_NOT_AVAILABLE", "rejected");
            until("the late check is refused", || happened()["count"] == 1);
            assert_eq!(world.slots_of(DEVICE), [], "it came after the release");
            continue;
        }
        let error = answer.failed("FLOATING_NOT_AVAILABLE", "unknown");
        let retry_after_ms = error["retry_after_ms"].as_u64().unwrap();
        assert!(error["retryable"] == true && (25_000..=30_000).contains(&retry_after_ms), "{error}");
        until("the late check takes the slot", || world.slots_of(DEVICE).len() == 1);
        client.advance(30_000);
        client.call("release_license", &Value::Null).ok();
        client.call("release_license", &Value::Null).failed("FLOATING_NOT_AVAILABLE", "rejected");
    }
}

fn error_of_full_pool(world: &World) -> Value {
    for name in ["one", "two"] {
        let colleague = world.client(name);
        colleague.call("activate_license", &Value::Null).ok();
        colleague.call("check_license", &Value::Null).ok();
    }
    world.client(DEVICE).call("check_license", &Value::Null).refused("FLOATING_NOT_AVAILABLE").clone()
}
