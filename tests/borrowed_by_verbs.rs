//! Verbs about the slot of a lease that the same client holds: only a release ends a borrow, and the lease knows.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use serde_json::{Value, json};
use std::fs;
use std::time::Duration;
use support::abi::Client;
use support::folder::Folder;
use support::holder::until;
use support::sandbox::World;
use support::{Demo, with};

const DEVICE: &str = "laptop";

/// A slot: the verbs about it, and the request that names it.
struct Kind {
    borrow: &'static str,
    release: &'static str,
    request: Value,
    feature: Value,
}

fn kinds() -> [Kind; 2] {
    let feature = json!({ "feature": "MESH" });
    [
        Kind { borrow: "borrow_license", release: "release_license", request: json!({}), feature: Value::Null },
        Kind { borrow: "borrow_feature", release: "release_feature", request: feature, feature: json!("MESH") },
    ]
}

/// Each kind of slot, with and without a folder, in a world and with a client of its own.
fn for_each(demo: &Demo, name: &str, test: impl Fn(&World, &Kind, &Value)) {
    for kind in kinds() {
        for kept in [true, false] {
            let world = World::new(demo, &json!({ "rate": 0 }));
            let folder = Folder::new(&format!("{name}-{kept}-{}", kind.borrow));
            let storage = if kept { json!(folder.path()) } else { Value::Null };
            let config = with(&world.config(DEVICE), json!({ "storage_dir": storage }));
            Client::open(&config).unwrap().call("activate_license", &Value::Null).ok();
            test(&world, &kind, &config);
        }
    }
}

/// How often the server was asked for this.
fn asked(world: &World, operation: &str) -> Value {
    world.control("POST /journal/count", &json!({ "filter": { "operation": operation } }))["count"].clone()
}

#[test]
fn borrow_by_verb_before_lease_outlives_lease_and_client() {
    let demo = Demo::start();
    for_each(&demo, "before", |world, kind, config| {
        let client = Client::open(config).unwrap();
        // A feature's slot must be held to be borrowed.
        if !kind.feature.is_null() {
            client.call("check_feature", &kind.request).ok();
        }
        client.call(kind.borrow, &kind.request).ok();
        let (lease, _) = client.acquire(&kind.request);
        lease.free();
        let (_lease, _) = client.acquire(&kind.request);
        client.close();
        let again = Client::open(config).unwrap();
        let (lease, _) = again.acquire(&kind.request);
        assert_eq!(world.slots_of(DEVICE), [(kind.feature.clone(), true)], "{config}");
        assert_eq!(asked(world, kind.release), 0);
        assert_eq!(lease.release().ok()["state"], "RELEASED");
        // The client that was closed may still be leaving; then it is the last one out.
        until("the slot is given back", || world.slots_of(DEVICE).is_empty());
    });
}

#[test]
fn borrow_by_verb_during_lease_outlives_lease_and_client() {
    let demo = Demo::start();
    for_each(&demo, "during", |world, kind, config| {
        let client = Client::open(config).unwrap();
        let (lease, _) = client.acquire(&kind.request);
        let until_date = client.call(kind.borrow, &kind.request).ok()["borrowed_until"].clone();
        let info = lease.info();
        assert_eq!((&info["state"], &info["borrowed_until"]), (&json!("BORROWED"), &until_date), "{config}");
        lease.free();
        client.close();
        let again = Client::open(config).unwrap();
        let (_lease, _) = again.acquire(&kind.request);
        assert_eq!(
            (world.slots_of(DEVICE), asked(world, kind.release)),
            (vec![(kind.feature.clone(), true)], json!(0))
        );
    });
}

#[test]
fn borrow_by_verb_of_another_process_is_kept_by_its_record() {
    let demo = Demo::start();
    for kind in kinds() {
        let (world, folder) =
            (World::new(&demo, &json!({ "rate": 0 })), Folder::new(&format!("other-{}", kind.borrow)));
        let config = with(&world.config(DEVICE), json!({ "storage_dir": folder.path() }));
        let [one, other] = [Client::open(&config).unwrap(), Client::open(&config).unwrap()];
        one.call("activate_license", &Value::Null).ok();
        let (lease, _) = one.acquire(&kind.request);
        other.call(kind.borrow, &kind.request).ok();
        lease.free();
        one.close();
        // The next start finds nothing that was left behind.
        let next = Client::open(&config).unwrap();
        let (_license, _) = next.acquire(&json!({ "feature": "SOLVER" }));
        assert!(world.slots_of(DEVICE).contains(&(kind.feature.clone(), true)), "{:?}", world.slots_of(DEVICE));
        other.call(kind.release, &kind.request).ok();
        assert_eq!(world.slots_of(DEVICE), [(json!("SOLVER"), false)]);
    }
}

#[test]
fn release_by_verb_ends_lease_of_same_slot() {
    let demo = Demo::start();
    for_each(&demo, "released", |world, kind, config| {
        let client = Client::open(config).unwrap();
        let (lease, _) = client.acquire(&kind.request);
        client.call(kind.release, &kind.request).ok();
        assert_eq!((lease.state(), world.slots_of(DEVICE)), ("RELEASED", vec![]), "{config}");
        lease.free();
        client.close();
        // Nobody asks the server to let go of it a second time, nor takes it again.
        until("the client is closed", || client.next_event(0).is_err());
        assert_eq!((asked(world, kind.release), world.slots_of(DEVICE)), (json!(1), vec![]));
    });
}

#[test]
fn deactivation_by_verb_ends_every_lease_of_device() {
    let demo = Demo::start();
    let world = World::new(&demo, &json!({ "rate": 0 }));
    let client = world.client(DEVICE);
    client.call("activate_license", &Value::Null).ok();
    let (license, _) = client.acquire(&Value::Null);
    let (set, _) = client.acquire(&json!({ "features": ["MESH", "SOLVER"] }));
    client.call("deactivate_license", &Value::Null).ok();
    assert_eq!((license.state(), set.state(), world.slots_of(DEVICE)), ("RELEASED", "RELEASED", vec![]));
    let again = client.call("deactivate_license", &Value::Null);
    let error = again.refused("DEVICE_NOT_FOUND");
    assert_eq!((&error["retryable"], error["advice"].as_str().unwrap().contains("activate")), (&json!(false), false));
}

#[test]
fn release_by_verb_of_part_of_lease_loses_it_until_whole() {
    let demo = Demo::start();
    let world = World::new(&demo, &json!({ "rate": 0 }));
    let client = world.client(DEVICE);
    client.call("activate_license", &Value::Null).ok();
    let (set, _) = client.acquire(&json!({ "features": ["MESH", "SOLVER"] }));
    client.call("release_feature", &json!({ "feature": "MESH" })).ok();
    assert_eq!(set.state(), "LOST");
    client.advance(5_000);
    client.wait_for("REGAINED");
    assert_eq!((set.state(), world.slots_of(DEVICE).len()), ("ACTIVE", 2));
}

/// A client whose lease was borrowed and then closed, and its config.
fn with_borrow_of_closed_lease(world: &World, folder: &Folder) -> (Value, Client) {
    let config = with(&world.config(DEVICE), json!({ "storage_dir": folder.path(), "bundle_code": "SUITE" }));
    let client = Client::open(&config).unwrap();
    client.call("activate_license", &Value::Null).ok();
    let (lease, _) = client.acquire(&Value::Null);
    lease.borrow(&Value::Null).ok();
    lease.free();
    (config, client)
}

#[test]
fn borrow_that_a_verb_has_ended_is_not_believed_without_network() {
    let demo = Demo::start();
    for verb in ["release_license", "deactivate_license", "deactivate_bundle"] {
        let (world, folder) = (World::new(&demo, &json!({ "rate": 0 })), Folder::new(&format!("ended-{verb}")));
        let (config, client) = with_borrow_of_closed_lease(&world, &folder);
        until("it is let go of", || {
            folder.files("holders").iter().all(|file| fs::File::open(file).unwrap().try_lock().is_ok())
        });
        client.call(verb, &Value::Null).ok();
        assert_eq!(world.slots_of(DEVICE), [], "{verb}");
        let offline = Client::open(&with(&config, json!({ "base_url": "http://127.0.0.1:9/api/v4" }))).unwrap();
        let (none, answer) = offline.try_acquire(&Value::Null);
        assert!(none.is_none(), "{verb}: {}", answer.json);
    }
}

#[test]
fn slot_is_given_back_although_a_verb_had_borrowed_it_once() {
    let demo = Demo::start();
    for is_elsewhere in [true, false] {
        let (world, folder) = (World::new(&demo, &json!({ "rate": 0 })), Folder::new(&format!("once-{is_elsewhere}")));
        let client = Client::open(&with(&world.config(DEVICE), json!({ "storage_dir": folder.path() }))).unwrap();
        client.call("activate_license", &Value::Null).ok();
        client.call("borrow_license", &Value::Null).ok();
        if is_elsewhere {
            // By a program without this folder.
            world.client(DEVICE).call("release_license", &Value::Null).ok();
        } else {
            client.call("deactivate_license", &Value::Null).ok();
            client.call("activate_license", &Value::Null).ok();
        }
        let (lease, _) = client.acquire(&Value::Null);
        assert_eq!(lease.state(), "ACTIVE");
        lease.free();
        until("the slot is given back", || world.slots_of(DEVICE).is_empty());
    }
}

#[test]
fn renewal_that_a_release_by_verb_overtakes_leaves_no_slot() {
    let demo = Demo::start();
    for order in [true, false] {
        let world = World::new(&demo, &json!({ "rate": 0, "order": order }));
        let client = world.client(DEVICE);
        client.call("activate_license", &Value::Null).ok();
        let (lease, info) = client.acquire(&Value::Null);
        let late = json!({ "before": { "delay": { "fixed_ms": 1_500 } } });
        world.control(
            "POST /faults",
            &json!({ "match": { "operation": "check_license" }, "when": { "times": 1 }, "do": late }),
        );
        client.submit("lease_renew", &json!({ "lease": info["lease"] })).unwrap();
        std::thread::sleep(Duration::from_millis(500));
        // It returns when the renewal is over.
        client.call("release_license", &Value::Null).ok();
        assert_eq!((lease.state(), world.slots_of(DEVICE)), ("RELEASED", vec![]), "order: {order}");
    }
}

#[test]
fn borrow_that_the_record_does_not_tell_of_is_not_given_back_by_the_next_start() {
    let demo = Demo::start();
    let mesh = json!({ "feature": "MESH" });
    for is_elsewhere in [true, false] {
        let (world, folder) =
            (World::new(&demo, &json!({ "rate": 0 })), Folder::new(&format!("untold-{is_elsewhere}")));
        let config = with(&world.config(DEVICE), json!({ "storage_dir": folder.path() }));
        let client = Client::open(&config).unwrap();
        // The verb, which does not name the license, notes the borrow in another record than that of the lease.
        let license_id = client.call("activate_license", &Value::Null).ok()["id"].clone();
        let license = json!({ "license_id": if is_elsewhere { Value::Null } else { license_id } });
        let (lease, _) = client.acquire(&with(&mesh, license.clone()));
        if is_elsewhere {
            // By a program without this folder: the lease hears of it by its renewal.
            world.client(DEVICE).call("borrow_feature", &mesh).ok();
            lease.renew().ok();
        } else {
            client.call("borrow_feature", &mesh).ok();
        }
        lease.free();
        until("it is let go of", || {
            folder.files("holders").iter().all(|file| fs::File::open(file).unwrap().try_lock().is_ok())
        });
        let next = Client::open(&config).unwrap();
        let (_solver, _) = next.acquire(&with(&json!({ "feature": "SOLVER" }), license));
        assert!(world.slots_of(DEVICE).contains(&(json!("MESH"), true)), "elsewhere: {is_elsewhere}");
    }
}

#[test]
fn release_by_verb_without_answer_leaves_no_proof() {
    let demo = Demo::start();
    for (verb, request) in [
        ("release_license", json!({ "timeout_ms": 500 })),
        ("deactivate_license", json!({})),
        ("deactivate_bundle", json!({})),
    ] {
        let (world, folder) = (World::new(&demo, &json!({ "rate": 0 })), Folder::new(&format!("unheard-{verb}")));
        let (config, client) = with_borrow_of_closed_lease(&world, &folder);
        world.only_fault(&json!({ "after_commit": "reset" }));
        client.call(verb, &request).failed("CONNECTION_LOST", "unknown");
        client.close();
        assert_eq!(world.slots_of(DEVICE), [], "the server has let go of it");
        // A start without a network must not run on what a colleague may have by now.
        let offline = Client::open(&with(&config, json!({ "base_url": "http://127.0.0.1:9/api/v4" }))).unwrap();
        let answer = offline.try_acquire(&json!({ "timeout_ms": 500 })).1;
        assert_eq!(answer.status, "NO_PROOF", "{verb}");
    }
}
