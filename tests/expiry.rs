//! A license, or a feature, that expires while a lease holds it: what remains, what is announced, what is asked.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use serde_json::{Value, json};
use support::Demo;
use support::abi::{Client, Lease};
use support::sandbox::World;

const MINUTE_MS: u32 = 60_000;

/// A world whose license K has these members besides a pool of slots and the feature MESH.
fn world(demo: &Demo, license: Value, mesh: Value) -> World {
    let mut feature = json!({ "code": "MESH", "floating": { "users": 2, "timeout_minutes": 120 } });
    feature.as_object_mut().unwrap().extend(mesh.as_object().unwrap().clone());
    let mut entry = json!({
        "product": "P", "license_key": "K", "allow_unlimited_activations": true,
        "floating": { "users": 2, "timeout_minutes": 120 }, "feature": [feature],
    });
    entry.as_object_mut().unwrap().extend(license.as_object().unwrap().clone());
    let catalogue = json!({ "product": [{ "code": "P" }], "license": [entry] });
    World::new(demo, &json!({ "rate": 0, "catalogue": catalogue }))
}

fn acquire(world: &World, request: &Value) -> (Client, Lease) {
    let client = world.client("desk");
    client.call("activate_license", &Value::Null).ok();
    let (lease, _) = client.acquire(request);
    (client, lease)
}

#[test]
fn lease_of_expiring_license_is_capped_announced_and_renewed() {
    let demo = Demo::start();
    let ten_minutes = json!({ "license_type": "time-limited", "validity_period": "now+10m" });
    let cases = [
        (ten_minutes, json!({}), json!({}), "LICENSE_EXPIRED"),
        (json!({}), json!({ "expiry_date": "now+10m" }), json!({ "feature": "MESH" }), "INVALID_LICENSE_FEATURE_CODE"),
    ];
    for (license, mesh, request, reason) in cases {
        let world = world(&demo, license, mesh);
        let (client, lease) = acquire(&world, &request);
        let remaining_ms = lease.remaining_ms();
        assert!(remaining_ms > 8 * 60_000 && remaining_ms <= 10 * 60_000, "{remaining_ms}");
        let announced = client.wait_for("EXPIRING");
        assert_eq!((&announced["state"], lease.state()), (&json!("ACTIVE"), "ACTIVE"), "{announced}");
        world.control("POST /clock/advance", &json!({ "by": "11m" }));
        client.advance(11 * MINUTE_MS);
        let lost = client.wait_for("LOST");
        assert_eq!(lost["name"], reason, "{lost}");
    }
}

#[test]
fn license_prolonged_in_time_goes_on_without_a_gap() {
    let demo = Demo::start();
    // The subscription has a day of grace beyond its date.
    let subscription =
        json!({ "license_type": "subscription", "validity_period": "now+10m", "grace_period_hours": 24 });
    let (client, lease) = acquire(&world(&demo, subscription, json!({})), &json!({}));
    assert!(lease.remaining_ms() > 120 * 60_000, "{}", lease.remaining_ms());
    assert_eq!(client.events(), [] as [&str; 0]);
    // The server says yes after the date that it told: it knows why, and the host is not stopped.
    let soon = json!({ "license_type": "time-limited", "validity_period": "now+10m" });
    let world = world(&demo, soon, json!({}));
    let (client, lease) = acquire(&world, &json!({ "borrow_ending_hours": 0 }));
    client.advance(10 * MINUTE_MS);
    client.wait_for("RENEWED");
    assert_eq!(lease.state(), "ACTIVE");
}
