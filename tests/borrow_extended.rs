//! A borrow that is made longer, given back or asked about again, and what becomes of the one that runs when that fails.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use serde_json::{Value, json};
use std::time::Duration;
use support::Demo;
use support::abi::{Client, Lease};
use support::holder::{self, until};
use support::machine::Machine;

#[test]
fn holder() {
    holder::live();
}

const MESH: &str = "MESH";
const SOLVER: &str = "SOLVER";

/// A machine whose license has a pool of one slot, and the features MESH, borrowed for days, and SOLVER, for hours.
fn machine(demo: &Demo, name: &str) -> Machine {
    let floating = |max_borrow_time_hours: u32| json!({ "users": 1, "timeout_minutes": 120, "can_borrow": true, "max_borrow_time_hours": max_borrow_time_hours });
    let catalogue = json!({
        "product": [{ "code": "P" }],
        "license": [{
            "product": "P", "license_key": "K", "allow_unlimited_activations": true, "floating": floating(240),
            "feature": [{ "code": MESH, "floating": floating(240) }, { "code": SOLVER, "floating": floating(24) }],
        }],
    });
    Machine::new_with(demo, name, &json!({ "rate": 0, "catalogue": catalogue }))
}

fn start(machine: &Machine) -> Client {
    Client::open(&machine.config()).unwrap()
}

/// A date so many hours from now, as a request spells it.
fn in_hours(hours: i64) -> Value {
    let date = chrono::Utc::now() + chrono::TimeDelta::hours(hours);
    json!({ "borrowed_until": date.format("%Y-%m-%dT%H:%M:%S.000Z").to_string() })
}

/// What the server does about the next request of this operation.
fn next(machine: &Machine, operation: &str, what: &Value) {
    let fault = json!({ "match": { "operation": operation }, "when": { "times": 1 }, "do": what });
    machine.world.control("PUT /faults", &json!({ "faults": [fault] }));
}

/// Until when the server has lent the slots of the device.
fn dates(machine: &Machine) -> Vec<Value> {
    let slots = machine.world.control("GET /slots", &Value::Null)["slots"].clone();
    let mut dates: Vec<_> =
        slots.as_array().unwrap().iter().map(|slot| (slot["feature"].clone(), slot["until"].clone())).collect();
    dates.sort_by_key(|(feature, _)| feature.to_string());
    dates.into_iter().map(|(_, date)| date).collect()
}

/// The requests of a lease of the license, of a feature, and of several.
fn wishes() -> [Value; 3] {
    [Value::Null, json!({ "feature": MESH }), json!({ "features": [MESH, SOLVER] })]
}

/// The lease is borrowed until this date: here, and for a process that starts without a network.
fn stands(machine: &Machine, lease: &Lease, request: &Value, date: &Value) {
    let info = lease.info();
    assert_eq!((lease.state(), &info["borrowed_until"]), ("BORROWED", date), "{info}");
    let mut offline = machine.start_offline();
    let said = offline.tell(&format!("acquire {request}"));
    assert_eq!((said.status.as_str(), &said.json["borrowed_until"]), ("OK", date), "{}", said.json);
    offline.kill();
}

#[test]
fn refused_extension_of_one_slot_leaves_borrow_of_all() {
    let demo = Demo::start();
    let machine = machine(&demo, "refused-extension");
    let client = start(&machine);
    let request = json!({ "features": [MESH, SOLVER] });
    let (lease, _) = client.acquire(&request);
    let date = lease.borrow(&in_hours(5)).ok()["borrowed_until"].clone();
    lease.borrow(&in_hours(48)).refused("BORROW_UNTIL_NOT_VALID");
    stands(&machine, &lease, &request, &date);
    assert_eq!(dates(&machine), [date.clone(), date.clone()], "at the server too");
    // The server can't be asked for the old date of the first when the second is refused.
    let lost = json!({ "match": { "operation": "borrow_feature", "feature": MESH }, "when": { "after": 1 }, "do": { "before": { "http": { "status": 503 } } } });
    machine.world.control("PUT /faults", &json!({ "faults": [lost] }));
    lease.borrow(&in_hours(48)).refused("BORROW_UNTIL_NOT_VALID");
    stands(&machine, &lease, &request, &date);
    machine.world.control("DELETE /faults", &Value::Null);
    drop((lease, client));
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(machine.count(), 2, "what is borrowed stays borrowed");
    let mut online = machine.start();
    assert_eq!(online.tell(&format!("acquire {request}")).ok(), "BORROWED");
    assert_eq!(online.tell("release").ok(), "RELEASED");
    assert_eq!(machine.count(), 0);
}

#[test]
fn first_borrow_refused_for_one_slot_borrows_none() {
    let demo = Demo::start();
    let machine = machine(&demo, "refused-borrow");
    let client = start(&machine);
    let (lease, _) = client.acquire(&json!({ "features": [MESH, SOLVER] }));
    lease.borrow(&in_hours(48)).refused("BORROW_UNTIL_NOT_VALID");
    assert_eq!(lease.state(), "ACTIVE");
    lease.release().ok();
    assert_eq!(machine.count(), 0);
}

#[test]
fn unanswered_extension_leaves_borrow_as_it_was() {
    let demo = Demo::start();
    for (number, request) in wishes().into_iter().enumerate() {
        for lost in [json!({ "after_commit": "close" }), json!({ "before": { "http": { "status": 503 } } })] {
            let machine = machine(&demo, &format!("unanswered-{number}"));
            let client = start(&machine);
            let (lease, _) = client.acquire(&request);
            let date = lease.borrow(&in_hours(5)).ok()["borrowed_until"].clone();
            // Nothing gets an answer until it is over: not even whether it was done.
            machine.world.control("PUT /faults", &json!({ "faults": [{ "do": lost }] }));
            assert_eq!(lease.borrow(&in_hours(20)).json["outcome"], "unknown");
            stands(&machine, &lease, &request, &date);
            machine.world.control("DELETE /faults", &Value::Null);
            drop((lease, client));
            std::thread::sleep(Duration::from_millis(300));
            until("only what is borrowed is left", || machine.slots().iter().all(|(_, borrowed)| *borrowed));
            // Whoever comes next is told by the server, and may give it back.
            let mut online = machine.start();
            assert_eq!(online.tell(&format!("acquire {request}")).ok(), "BORROWED");
            assert_eq!(online.tell("release").ok(), "RELEASED");
            assert_eq!(machine.count(), 0);
        }
    }
}

#[test]
fn renewal_proves_borrow_again_that_was_not_given_back() {
    let demo = Demo::start();
    for (number, request) in wishes().into_iter().take(2).enumerate() {
        let machine = machine(&demo, &format!("proven-again-{number}"));
        let client = start(&machine);
        let (lease, _) = client.acquire(&json!({ "feature": request["feature"], "timeout_ms": 300 }));
        let date = lease.borrow(&in_hours(5)).ok()["borrowed_until"].clone();
        let operation = if request.is_null() { "release_license" } else { "release_feature" };
        // The server is stopped before it carries the release out.
        let hang = json!({ "match": { "operation": operation }, "do": { "before": "hang" } });
        machine.world.control("PUT /faults", &json!({ "faults": [hang] }));
        assert_eq!(lease.release().json["outcome"], "unknown");
        machine.world.control("DELETE /faults", &Value::Null);
        let looks =
            || machine.world.control("POST /journal/count", &json!({ "filter": { "operation": "check_license" } }));
        let before = looks();
        lease.renew().ok();
        assert!(request.is_null() || looks() == before, "what proved it before does so again");
        stands(&machine, &lease, &request, &date);
        lease.release().ok();
    }
}

#[test]
fn unanswered_release_of_borrow_is_asked_about_soon() {
    let demo = Demo::start();
    for (number, request) in wishes().into_iter().take(2).enumerate() {
        let machine = machine(&demo, &format!("release-{number}"));
        let client = start(&machine);
        let (lease, _) = client.acquire(&json!({ "feature": request["feature"], "timeout_ms": 500 }));
        lease.borrow(&in_hours(5)).ok();
        let operation = if request.is_null() { "release_license" } else { "release_feature" };
        let unheard = json!({ "match": { "operation": operation }, "do": { "after_commit": "close" } });
        let nothing = json!({ "match": { "hardware_id": support::machine::DEVICE }, "do": { "before": { "http": { "status": 503 } } } });
        machine.world.control("PUT /faults", &json!({ "faults": [unheard, nothing] }));
        assert_eq!(lease.release().json["outcome"], "unknown");
        // A colleague takes the slot that the server has let go of.
        let colleague = machine.world.client("office-1");
        colleague.call("activate_license", &Value::Null).ok();
        let (taken, _) = colleague.acquire(&request);
        machine.world.control("DELETE /faults", &Value::Null);
        assert_eq!(client.wait_for("LOST")["name"], "FLOATING_NOT_AVAILABLE");
        taken.release().ok();
        client.wait_for("REGAINED");
        lease.release().ok();
    }
}

#[test]
fn unanswered_release_by_verb_is_asked_about_soon() {
    let demo = Demo::start();
    let machine = machine(&demo, "release-by-verb");
    let client = start(&machine);
    let (lease, _) = client.acquire(&Value::Null);
    next(&machine, "release_license", &json!({ "after_commit": { "delay": { "fixed_ms": 60_000 } } }));
    client.call("release_license", &json!({ "timeout_ms": 300 })).failed("TIMEOUT", "unknown");
    client.wait_for("RENEWED");
    assert_eq!((lease.state(), machine.count()), ("ACTIVE", 1));
}

#[test]
fn borrow_released_in_part_is_taken_again_soon() {
    let demo = Demo::start();
    let machine = machine(&demo, "in-part");
    let client = start(&machine);
    let (lease, _) = client.acquire(&json!({ "features": [MESH, SOLVER], "timeout_ms": 300 }));
    lease.borrow(&in_hours(20)).ok();
    let hang = json!({ "match": { "operation": "release_feature", "feature": MESH }, "do": { "before": "hang" } });
    machine.world.control("PUT /faults", &json!({ "faults": [hang] }));
    assert_eq!(lease.release().json["outcome"], "unknown");
    assert_eq!((lease.state(), machine.count()), ("LOST", 1));
    machine.world.control("DELETE /faults", &Value::Null);
    client.wait_for("REGAINED");
    assert_eq!(machine.count(), 2);
}

#[test]
fn feature_is_borrowed_while_license_has_no_free_slot() {
    let demo = Demo::start();
    let machine = machine(&demo, "no-license-slot");
    let colleague = machine.world.client("office-1");
    colleague.call("activate_license", &Value::Null).ok();
    let (_license, _) = colleague.acquire(&Value::Null);
    let client = start(&machine);
    let request = json!({ "feature": MESH });
    let (lease, _) = client.acquire(&request);
    let date = lease.borrow(&in_hours(48)).ok()["borrowed_until"].clone();
    stands(&machine, &lease, &request, &date);
    lease.release().ok();
    assert_eq!(machine.count(), 0);
}

/// One program has borrowed a feature; another has it in a set that can't be borrowed for as long.
#[test]
fn refused_extension_of_set_leaves_borrow_of_another_program() {
    let demo = Demo::start();
    let machine = machine(&demo, "of-another");
    let (one, two) = (start(&machine), start(&machine));
    let request = json!({ "feature": MESH });
    let (mesh, _) = one.acquire(&request);
    let (both, _) = two.acquire(&json!({ "features": [MESH, SOLVER] }));
    let date = mesh.borrow(&in_hours(5)).ok()["borrowed_until"].clone();
    both.borrow(&in_hours(48)).refused("BORROW_UNTIL_NOT_VALID");
    assert_eq!(dates(&machine)[0], date, "at the server too");
    stands(&machine, &mesh, &request, &date);
    both.release().ok();
    drop(mesh);
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(machine.slots(), [(json!(MESH), true)]);
}

#[test]
fn refused_extension_of_set_leaves_borrow_of_verb() {
    let demo = Demo::start();
    let machine = machine(&demo, "of-verb");
    let client = start(&machine);
    let (both, _) = client.acquire(&json!({ "features": [MESH, SOLVER] }));
    let date = in_hours(5)["borrowed_until"].clone();
    client.call("borrow_feature", &json!({ "feature": MESH, "borrowed_until": date })).ok();
    both.borrow(&in_hours(48)).refused("BORROW_UNTIL_NOT_VALID");
    drop((both, client));
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(machine.slots(), [(json!(MESH), true)]);
    assert_eq!(dates(&machine), [date]);
}
/// The server lets go of the slot before the date that was proven, if it has heard.
#[test]
fn borrow_that_was_to_end_sooner_is_promised_no_longer() {
    let demo = Demo::start();
    for request in wishes() {
        for (is_done, lost) in
            [(true, json!({ "after_commit": "close" })), (false, json!({ "before": { "http": { "status": 503 } } }))]
        {
            let machine = machine(&demo, "sooner");
            let client = start(&machine);
            let (lease, _) = client.acquire(&request);
            let later = lease.borrow(&in_hours(20)).ok()["borrowed_until"].clone();
            machine.world.control("PUT /faults", &json!({ "faults": [{ "do": lost }] }));
            let sooner = in_hours(5);
            assert_eq!(lease.borrow(&sooner).json["outcome"], "unknown");
            let sooner = &sooner["borrowed_until"];
            let info = lease.info();
            assert_eq!((lease.state(), &info["borrowed_until"]), ("BORROWED", sooner), "{info}");
            assert_eq!(machine.start_offline().tell(&format!("acquire {request}")).status, "NO_PROOF");
            machine.world.control("DELETE /faults", &Value::Null);
            lease.renew().ok();
            let is_of_all = request["features"].is_null() || !is_done;
            if is_of_all {
                stands(&machine, &lease, &request, if is_done { sooner } else { &later });
            }
            lease.release().ok();
            assert_eq!(machine.count(), 0);
        }
    }
}

#[test]
fn verb_that_ends_borrow_sooner_leaves_no_proof_beyond() {
    let demo = Demo::start();
    for request in wishes().into_iter().take(2) {
        let machine = machine(&demo, "sooner-by-verb");
        let client = start(&machine);
        let (lease, _) = client.acquire(&request);
        lease.borrow(&in_hours(20)).ok();
        let operation = if request.is_null() { "borrow_license" } else { "borrow_feature" };
        let sooner = in_hours(5);
        client.call(operation, &support::with(&sooner, json!({ "feature": request["feature"] }))).ok();
        assert_eq!(machine.start_offline().tell(&format!("acquire {request}")).status, "NO_PROOF");
        lease.renew().ok();
        stands(&machine, &lease, &request, &sooner["borrowed_until"]);
    }
}
/// To borrow a feature is more than one request, and each has its own time.
#[test]
fn deadline_is_that_of_each_request_of_a_borrow() {
    let demo = Demo::start();
    let machine = machine(&demo, "slow");
    let slow = json!({ "before": { "delay": { "fixed_ms": 400 } } });
    machine.world.control("PUT /faults", &json!({ "faults": [{ "do": slow }] }));
    let client = start(&machine);
    let (lease, _) = client.acquire(&json!({ "features": [MESH, SOLVER], "timeout_ms": 1_000 }));
    lease.borrow(&in_hours(5)).ok();
}
/// What the release has left is borrowed still, while the rest of the lease is gone: to release again ends it.
#[test]
fn lost_lease_gives_borrow_back_that_its_release_has_left() {
    let demo = Demo::start();
    let machine = machine(&demo, "left");
    let colleague = machine.world.client("office-1");
    colleague.call("activate_license", &Value::Null).ok();
    let client = start(&machine);
    let (lease, _) = client.acquire(&json!({ "features": [MESH, SOLVER], "timeout_ms": 500 }));
    lease.borrow(&in_hours(20)).ok();
    let hang = json!({ "match": { "operation": "release_feature", "feature": MESH }, "do": { "before": "hang" } });
    machine.world.control("PUT /faults", &json!({ "faults": [hang] }));
    assert_eq!(lease.release().json["outcome"], "unknown");
    let (_solver, _) = colleague.acquire(&json!({ "feature": SOLVER }));
    machine.world.control("DELETE /faults", &Value::Null);
    until("the rest is asked for", || lease.info()["name"] == "FLOATING_NOT_AVAILABLE");
    lease.release().ok();
    assert_eq!(machine.count(), 0);
}

/// Another process holds the lock of a slot that is to be released, and is killed.
#[test]
fn what_was_left_is_given_back_though_another_was_at_it_and_died() {
    let demo = Demo::start();
    let machine = machine(&demo, "at-it");
    let client = start(&machine);
    let (lease, _) = client.acquire(&json!({ "feature": MESH, "timeout_ms": 1_000 }));
    let checks = |what: &Value| {
        let fault = json!({ "match": { "operation": "check_license" }, "do": what });
        machine.world.control("PUT /faults", &json!({ "faults": [fault] }));
    };
    // To look at the license takes a slot of it, unheard.
    checks(&json!({ "after_commit": "close" }));
    assert_eq!(lease.borrow(&in_hours(5)).json["outcome"], "unknown");
    assert!(machine.slots().contains(&(Value::Null, false)));
    checks(&json!({ "before": "hang" }));
    let mut other = machine.start();
    other.order("acquire");
    std::thread::sleep(Duration::from_millis(2_500));
    other.kill();
    machine.world.control("DELETE /faults", &Value::Null);
    until("it is given back", || !machine.slots().contains(&(Value::Null, false)));
}

/// To prove the borrow of a feature its license is asked about, which takes a slot of it.
#[test]
fn license_slot_that_a_renewal_took_unheard_is_given_back() {
    let demo = Demo::start();
    let machine = machine(&demo, "unheard-license");
    let client = start(&machine);
    let (lease, _) = client.acquire(&json!({ "feature": MESH }));
    let unheard = |operation: &str| json!({ "match": { "operation": operation }, "do": { "after_commit": "close" } });
    let faults = ["borrow_feature", "check_license"].map(unheard);
    machine.world.control("PUT /faults", &json!({ "faults": faults }));
    assert_eq!(lease.borrow(&Value::Null).json["outcome"], "unknown");
    client.wait_for("RENEWED");
    until("only the feature is held", || machine.slots() == [(json!(MESH), true)]);
}

#[test]
fn license_slot_that_a_failed_acquire_took_unheard_is_given_back() {
    let demo = Demo::start();
    let machine = machine(&demo, "failed-acquire");
    let colleague = machine.world.client("office-1");
    colleague.call("activate_license", &Value::Null).ok();
    // A program without a folder has borrowed the feature, so its license is to prove that.
    let other = machine.world.client(support::machine::DEVICE);
    other.call("check_feature", &json!({ "feature": MESH })).ok();
    other.call("borrow_feature", &json!({ "feature": MESH })).ok();
    let (_solver, _) = colleague.acquire(&json!({ "feature": SOLVER }));
    let unheard = json!({ "match": { "operation": "check_license" }, "do": { "after_commit": "close" } });
    machine.world.control("PUT /faults", &json!({ "faults": [unheard] }));
    let client = start(&machine);
    let (_, answer) = client.try_acquire(&json!({ "features": [MESH, SOLVER] }));
    answer.refused("FLOATING_NOT_AVAILABLE");
    let asked = machine.world.control("GET /faults", &Value::Null)["faults"][0]["happened"].as_u64();
    assert!(asked > Some(0), "the license was asked about");
    machine.world.control("DELETE /faults", &Value::Null);
    until("the license is given back", || machine.slots() == [(json!(MESH), true)]);
}
