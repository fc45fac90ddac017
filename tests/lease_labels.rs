//! Events say which lease they are about: by its number, its features, the host's tag, and the ticket of an acquire that queues.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use serde_json::{Value, json};
use support::Demo;
use support::abi::Client;
use support::sandbox::World;

const MINUTE_MS: u32 = 60_000;
const PATIENT_MS: u32 = 120_000;

/// A client whose device is activated, in a world whose clock stands still.
fn start(demo: &Demo) -> (World, Client) {
    let world = World::new(demo, &json!({ "rate": 0 }));
    let client = world.client("desk");
    client.call("activate_license", &Value::Null).ok();
    (world, client)
}

/// A colleague who holds both slots of MESH and the one of SOLVER.
fn occupied(world: &World) -> [(Client, support::abi::Lease); 2] {
    [("office-1", json!({ "features": ["MESH", "SOLVER"] })), ("office-2", json!({ "feature": "MESH" }))].map(
        |(name, request)| {
            let colleague = world.client(name);
            colleague.call("activate_license", &Value::Null).ok();
            let (lease, _) = colleague.acquire(&request);
            (colleague, lease)
        },
    )
}

/// Asserts that an event, or an info, is about these features and has this tag.
fn assert_label(said: &Value, features: &Value, tag: &Value) {
    assert_eq!(said["features"], *features, "{said}");
    assert_eq!(said.get("tag"), Some(tag), "{said}");
}

#[test]
fn queueing_acquires_are_told_apart() {
    let demo = Demo::start();
    let (world, client) = start(&demo);
    let colleagues = occupied(&world);
    let submit = |feature: &str, tag: &str| {
        let request = json!({ "feature": feature, "tag": tag, "wait_ms": PATIENT_MS });
        client.submit("lease_acquire", &request).unwrap()
    };
    let tickets = [submit("MESH", "left window"), submit("SOLVER", "right window")];
    let waiting = [client.wait_for("WAITING"), client.wait_for("WAITING")];
    for (ticket, feature, tag) in [(tickets[0], "MESH", "left window"), (tickets[1], "SOLVER", "right window")] {
        let own = waiting.iter().find(|event| event["ticket"] == ticket).unwrap_or_else(|| panic!("{waiting:?}"));
        assert_label(own, &json!([feature]), &json!(tag));
        assert!(own["reason"].as_str().unwrap().contains(feature), "{own}");
    }
    colleagues.iter().for_each(|(_, lease)| drop(lease.release().ok()));
    for _ in tickets {
        let completed = client.wait_for("COMPLETED");
        let (features, tag) = if completed["ticket"] == tickets[0] {
            (json!(["MESH"]), json!("left window"))
        } else {
            (json!(["SOLVER"]), json!("right window"))
        };
        assert_label(&completed["reply"], &features, &tag);
    }
}

#[test]
fn acquire_that_queues_on_hosts_thread_has_no_ticket() {
    let demo = Demo::start();
    let (world, client) = start(&demo);
    let _colleagues = occupied(&world);
    let request = json!({ "features": ["SOLVER", "MESH"], "wait_ms": 100 });
    client.try_acquire(&request).1.refused("FLOATING_NOT_AVAILABLE");
    let waiting = client.wait_for("WAITING");
    assert_eq!(waiting.get("ticket"), None);
    assert_label(&waiting, &json!(["SOLVER", "MESH"]), &Value::Null);
}

#[test]
fn every_event_of_lease_and_its_info_have_its_label() {
    let demo = Demo::start();
    let (world, client) = start(&demo);
    let tag = "quoted \" \\ \u{0} \n 机器 \u{1f600}";
    let (lease, info) = client.acquire(&json!({ "feature": "MESH", "tag": tag, "timeout_ms": 5_000 }));
    let (_other, other_info) = client.acquire(&Value::Null);
    assert_label(&info, &json!(["MESH"]), &json!(tag));
    assert_label(&lease.info(), &json!(["MESH"]), &json!(tag));
    assert_label(&other_info, &json!([]), &Value::Null);
    world.control("POST /faults/profile", &json!({ "profile": "outage" }));
    let next = |name: &str| {
        let of_lease = std::iter::repeat_with(|| client.wait_for(name)).find(|event| event["lease"] == info["lease"]);
        of_lease.unwrap()
    };
    for (minutes, name) in [(40, "DEGRADED"), (21, "GRACE_STARTED"), (6, "LOST")] {
        client.advance(minutes * MINUTE_MS);
        assert_label(&next(name), &json!(["MESH"]), &json!(tag));
    }
    world.control("DELETE /faults", &Value::Null);
    client.advance(2 * MINUTE_MS);
    assert_label(&next("REGAINED"), &json!(["MESH"]), &json!(tag));
    assert_label(&lease.release().ok(), &json!(["MESH"]), &json!(tag));
}

#[test]
fn events_of_license_have_no_features() {
    let demo = Demo::start();
    let (_world, client) = start(&demo);
    let (lease, info) = client.acquire(&json!({ "tag": "" }));
    assert_label(&info, &json!([]), &json!(""));
    client.advance(80 * MINUTE_MS);
    assert_label(&client.wait_for("RENEWED"), &json!([]), &json!(""));
    drop(lease);
}

#[test]
fn tag_of_257_bytes_is_refused() {
    let demo = Demo::start();
    let (_world, client) = start(&demo);
    let longest = "ß".repeat(128);
    assert_eq!(client.acquire(&json!({ "tag": longest })).1["tag"], longest);
    let error = client.try_acquire(&json!({ "tag": format!("{longest}!") })).1.failed("BAD_VALUE", "not_sent");
    assert!(error["message"].as_str().unwrap().contains("256"), "{error}");
    client.try_acquire(&json!({ "tag": 7 })).1.failed("WRONG_TYPE", "not_sent");
}

/// Requests that hang are about the server. The first feature of a lease is asked for first, and is no more to blame than
/// the one whose time is over.
#[test]
fn reason_of_unreachable_server_names_no_feature() {
    let demo = Demo::start();
    let (world, client) = start(&demo);
    let quick = |features: Value| json!({ "features": features, "timeout_ms": 1_000 });
    let (_both, info) = client.acquire(&quick(json!(["MESH", "SOLVER"])));
    let (_mesh, _) = client.acquire(&quick(json!(["MESH"])));
    world.only_fault(&json!({ "before": "hang" }));
    client.advance(20 * MINUTE_MS);
    client.wait_for("DEGRADED");
    client.advance(11 * MINUTE_MS);
    let grace = client.wait_for("GRACE_STARTED");
    assert_eq!((&grace["lease"], &grace["name"]), (&info["lease"], &json!("TIMEOUT")), "{grace}");
    assert_label(&grace, &json!(["MESH", "SOLVER"]), &Value::Null);
    assert!(!grace["reason"].as_str().unwrap().contains("MESH"), "{grace}");
}
