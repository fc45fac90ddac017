//! An acquire with `"activate": true` activates a device that is new to the license, once, within its own deadline and cancel.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use floatlease::lease::{Session, caught};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use support::abi::Client;
use support::folder::Folder;
use support::sandbox::World;
use support::{Demo, with};

/// Far longer than a test may take.
const PATIENT_MS: u32 = 120_000;

/// A computer that the license does not know yet.
struct NewDevice {
    world: World,
    folder: Folder,
    client: Client,
}

impl NewDevice {
    fn new(demo: &Demo, name: &str) -> NewDevice {
        NewDevice::with(demo, name, json!({}))
    }

    /// The same with other members of the config.
    fn with(demo: &Demo, name: &str, changes: Value) -> NewDevice {
        let (world, folder) = (World::new(demo, &json!({ "rate": 0 })), Folder::new(name));
        let config = with(&world.config("desk"), json!({ "storage_dir": folder.path(), "timeout_ms": PATIENT_MS }));
        let client = Client::open(&with(&config, changes)).unwrap();
        NewDevice { world, folder, client }
    }

    /// How many requests of this operation the server has answered.
    fn count(&self, operation: &str) -> u64 {
        let request = json!({ "filter": { "operation": operation } });
        self.world.control("POST /journal/count", &request)["count"].as_u64().unwrap()
    }

    fn fault(&self, operation: &str, when: Value, what: Value) {
        let fault = json!({ "match": { "operation": operation }, "when": when, "do": what });
        self.world.control("PUT /faults", &json!({ "faults": [fault] }));
    }

    /// Returns whether the fault has happened to a request.
    fn has_happened(&self) -> bool {
        self.world.control("GET /faults", &Value::Null)["faults"][0]["happened"].as_u64() > Some(0)
    }

    /// The server counts no slot, and no record tells of one, now or soon.
    fn assert_nothing_is_held(&self) {
        let config = with(&self.world.config("desk"), json!({ "storage_dir": self.folder.path() }));
        let onlooker = Session::open(&config.to_string(), caught).unwrap();
        let stored = || serde_json::from_str::<Value>(&onlooker.stored_slots("{}").unwrap()).unwrap();
        until("no record tells of a slot", || stored() == json!({ "slots": [] }));
        assert_eq!(self.world.slots_of("desk"), []);
    }

    /// The next acquire finds nothing in its way.
    fn assert_next_acquire_works(&self) {
        self.world.control("DELETE /faults", &Value::Null);
        let (lease, _) = self.client.acquire(&json!({ "feature": "MESH", "activate": true }));
        assert_eq!(self.world.slots_of("desk"), [(json!("MESH"), false)]);
        lease.release().ok();
        self.assert_nothing_is_held();
    }
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < end, "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn message(error: &Value) -> &str {
    error["message"].as_str().unwrap()
}

#[test]
fn new_device_is_activated_once() {
    let demo = Demo::start();
    for (name, request, slots) in [
        ("license", json!({}), 1),
        ("feature", json!({ "feature": "MESH" }), 1),
        ("features", json!({ "features": ["MESH", "SOLVER"] }), 2),
        ("host", json!({ "keep_alive": "host" }), 1),
    ] {
        let device = NewDevice::new(&demo, &format!("activate-{name}"));
        let request = with(&request, json!({ "activate": true }));
        let (lease, _) = device.client.acquire(&request);
        assert_eq!(device.world.slots_of("desk").len(), slots, "{name}");
        lease.release().ok();
        let (lease, _) = device.client.acquire(&request);
        lease.release().ok();
        assert_eq!(device.count("activate_license"), 1, "{name}");
        device.assert_nothing_is_held();
    }
}

#[test]
fn known_device_is_not_activated_again() {
    let demo = Demo::start();
    let device = NewDevice::new(&demo, "activate-known");
    device.client.call("activate_license", &Value::Null).ok();
    let (_lease, _) = device.client.acquire(&json!({ "activate": true }));
    assert_eq!(device.count("activate_license"), 1);
}

#[test]
fn new_device_is_refused_unless_activation_is_asked_for() {
    let demo = Demo::start();
    let device = NewDevice::new(&demo, "activate-off");
    for request in [json!({}), json!({ "activate": false }), json!({ "activate": null })] {
        device.client.try_acquire(&request).1.failed("DEVICE_NOT_FOUND", "rejected");
    }
    assert_eq!(device.count("activate_license"), 0);
    device.client.try_acquire(&json!({ "activate": "yes" })).1.failed("WRONG_TYPE", "not_sent");
}

#[test]
fn license_of_user_is_activated_by_its_number() {
    let demo = Demo::start();
    let user = json!({
        "product": "STUDIO", "license_key": null, "username": "ada@example.com", "password": "correct-horse",
    });
    let device = NewDevice::with(&demo, "activate-user", user);
    let (lease, info) = device.client.acquire(&json!({ "license_id": 7001, "feature": "MESH", "activate": true }));
    assert_eq!(info["slots"][0]["reply"]["license_id"], 7001);
    lease.release().ok();
    device.assert_nothing_is_held();
}

#[test]
fn missing_password_is_told_on_every_device() {
    let demo = Demo::start();
    let user = json!({ "product": "STUDIO", "license_key": null, "username": "ada@example.com" });
    let device = NewDevice::with(&demo, "activate-password", user);
    let error = device.client.try_acquire(&json!({ "activate": true })).1.failed("MISSING_KEY", "not_sent");
    assert!(message(&error).contains("\"password\""), "{error}");
    assert_eq!(device.count("check_license"), 0);
}

#[test]
fn refused_activation_ends_acquire_with_its_own_status() {
    let demo = Demo::start();
    let device = NewDevice::with(&demo, "activate-limit", json!({ "license_key": "CADP-NODE-LOCK-0002" }));
    for colleague in ["office-1", "office-2"] {
        device.client.call("activate_license", &json!({ "hardware_id": colleague })).ok();
    }
    let request = json!({ "feature": "MESH", "activate": true, "wait_ms": PATIENT_MS });
    let started = Instant::now();
    let error = device.client.try_acquire(&request).1.failed("LICENSE_ACTIVATED_MAX_TIMES", "rejected");
    assert!(started.elapsed() < Duration::from_millis(PATIENT_MS.into()), "it queued for what no queue gives");
    assert!(message(&error).ends_with("The device is new to the license, and was not activated."), "{error}");
    assert_eq!(device.count("activate_license"), 3, "two colleagues, and one try of this device");
    device.assert_nothing_is_held();
}

#[test]
fn key_that_may_only_read_is_told() {
    let demo = Demo::start();
    let device = NewDevice::new(&demo, "activate-read-only");
    device.fault("activate_license", json!({}), json!({ "before": { "code": "read_only_api_key" } }));
    device.client.try_acquire(&json!({ "activate": true })).1.failed("READ_ONLY_API_KEY", "rejected");
    device.assert_nothing_is_held();
}

/// Cancels a submitted acquire while the server holds back one of its requests, and returns the error.
fn cancelled(device: &NewDevice, operation: &str, when: Value, what: Value) -> Value {
    device.fault(operation, when, what);
    let ticket = device.client.submit("lease_acquire", &json!({ "feature": "MESH", "activate": true })).unwrap();
    until("the request is held back", || device.has_happened());
    assert_eq!(device.client.cancel_submitted(ticket), "OK");
    let completed = device.client.wait_for("COMPLETED");
    assert_eq!(completed["error"]["name"], "CANCELLED", "{completed}");
    completed["error"].clone()
}

#[test]
fn acquire_cancelled_before_activation_is_carried_out_leaves_nothing() {
    let demo = Demo::start();
    let device = NewDevice::new(&demo, "activate-cancelled-before");
    let error = cancelled(&device, "activate_license", json!({}), json!({ "before": "hang" }));
    assert_eq!(error["outcome"], "unknown");
    assert!(message(&error).ends_with("the server may have activated it."), "{error}");
    device.assert_nothing_is_held();
    device.assert_next_acquire_works();
}

#[test]
fn acquire_cancelled_after_activation_is_carried_out_leaves_nothing() {
    let demo = Demo::start();
    let device = NewDevice::new(&demo, "activate-cancelled-after");
    let late = json!({ "after_commit": { "delay": { "fixed_ms": PATIENT_MS } } });
    let error = cancelled(&device, "activate_license", json!({}), late);
    assert_eq!(error["outcome"], "unknown");
    device.assert_nothing_is_held();
    device.assert_next_acquire_works();
    assert_eq!(device.count("activate_license"), 1, "the server had carried it out");
}

#[test]
fn acquire_cancelled_after_activation_was_answered_says_so() {
    let demo = Demo::start();
    for (name, what) in [
        ("before", json!({ "before": "hang" })),
        ("after", json!({ "after_commit": { "delay": { "fixed_ms": PATIENT_MS } } })),
    ] {
        let device = NewDevice::new(&demo, &format!("activate-answered-{name}"));
        let error = cancelled(&device, "check_feature", json!({ "after": 1 }), what);
        assert!(message(&error).ends_with("This call has activated the device."), "{error}");
        device.world.control("DELETE /faults", &Value::Null);
        device.assert_nothing_is_held();
        device.assert_next_acquire_works();
    }
}

/// What becomes of an activation whose reply is lost is found out by asking for the slot.
#[test]
fn lost_reply_to_activation_costs_nothing() {
    let demo = Demo::start();
    let device = NewDevice::new(&demo, "activate-lost");
    device.fault("activate_license", json!({ "times": 1 }), json!({ "after_commit": "close" }));
    let (lease, _) = device.client.acquire(&json!({ "feature": "MESH", "activate": true }));
    assert_eq!(device.count("activate_license"), 1);
    lease.release().ok();
    device.assert_nothing_is_held();
}

#[test]
fn lost_activation_ends_acquire_with_its_own_status() {
    let demo = Demo::start();
    let device = NewDevice::new(&demo, "activate-refused-connection");
    device.fault("activate_license", json!({}), json!({ "before": "refuse" }));
    let request = json!({ "feature": "MESH", "activate": true });
    let error = device.client.try_acquire(&request).1.failed("CONNECTION_LOST", "unknown");
    assert!(message(&error).ends_with("the server may have activated it."), "{error}");
    device.assert_next_acquire_works();
}

#[test]
fn activation_has_deadline_of_acquire() {
    let demo = Demo::start();
    let device = NewDevice::new(&demo, "activate-deadline");
    device.fault("activate_license", json!({}), json!({ "before": "hang" }));
    let started = Instant::now();
    let request = json!({ "feature": "MESH", "activate": true, "timeout_ms": 300 });
    let error = device.client.try_acquire(&request).1.failed("TIMEOUT", "unknown");
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    assert!(message(&error).contains("new to the license"), "{error}");
    device.assert_nothing_is_held();
    device.assert_next_acquire_works();
}

#[test]
fn new_device_queues_and_is_activated_once() {
    let demo = Demo::start();
    let device = NewDevice::new(&demo, "activate-queue");
    let colleague = device.world.client("office-1");
    let (solver, _) = colleague.acquire(&json!({ "feature": "SOLVER", "activate": true }));
    let request = json!({ "feature": "SOLVER", "activate": true, "wait_ms": PATIENT_MS });
    let ticket = device.client.submit("lease_acquire", &request).unwrap();
    let waiting = device.client.wait_for("WAITING");
    assert_eq!(waiting["name"], "FLOATING_NOT_AVAILABLE", "{waiting}");
    device.client.wait_for("WAITING");
    solver.release().ok();
    assert_eq!(device.client.wait_for("COMPLETED")["status"], 0);
    let (lease, _) = device.client.accept(ticket);
    assert_eq!(device.count("activate_license"), 2, "the colleague's, and one of this device");
    lease.unwrap().release().ok();
    device.assert_nothing_is_held();
}

#[test]
fn full_license_is_told_with_activation() {
    let demo = Demo::start();
    let device = NewDevice::new(&demo, "activate-full");
    let colleague = device.world.client("office-1");
    let (_solver, _) = colleague.acquire(&json!({ "feature": "SOLVER", "activate": true }));
    let request = json!({ "feature": "SOLVER", "activate": true });
    let error = device.client.try_acquire(&request).1.failed("FLOATING_NOT_AVAILABLE", "rejected");
    assert!(message(&error).ends_with("This call has activated the device."), "{error}");
    let error = device.client.try_acquire(&request).1.failed("FLOATING_NOT_AVAILABLE", "rejected");
    assert!(!message(&error).contains("activated"), "{error}");
}

#[test]
fn renewal_activates_no_device() {
    let demo = Demo::start();
    let device = NewDevice::new(&demo, "activate-renewal");
    let (lease, _) = device.client.acquire(&json!({ "activate": true, "keep_alive": "host" }));
    // The vendor, or another computer, ends the activation.
    let vendor = device.world.client("office-1");
    vendor.call("deactivate_license", &json!({ "hardware_id": "desk" })).ok();
    lease.renew().refused("DEVICE_NOT_FOUND");
    assert_eq!(device.count("activate_license"), 1);
}
