//! Leaving slots when something is in the way: none is kept that was given back, and none is forgotten.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use serde_json::{Value, json};
use std::fs;
use std::time::{Duration, Instant};
use support::abi::{Client, Lease};
use support::folder::Folder;
use support::sandbox::World;
use support::{Demo, with};

const DEVICE: &str = "workstation";

fn world(demo: &Demo) -> World {
    let world = World::new(demo, &json!({ "rate": 0 }));
    world.client(DEVICE).call("activate_license", &Value::Null).ok();
    world
}

/// Waits for what comes of itself.
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < end, "never: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The features of which this device has slots.
fn features(world: &World) -> Vec<Value> {
    world.slots_of(DEVICE).into_iter().map(|(feature, _)| feature).collect()
}

/// How often the server was asked for this.
fn asked(world: &World, operation: &str) -> Value {
    world.control("POST /journal/count", &json!({ "filter": { "operation": operation } }))["count"].clone()
}

/// A client that keeps things in this folder.
fn start(world: &World, folder: &Folder) -> Client {
    Client::open(&with(&world.config(DEVICE), json!({ "storage_dir": folder.path() }))).unwrap()
}

#[test]
fn a_borrow_that_the_disk_does_not_let_go_of_is_still_held_and_no_longer_than_before() {
    let demo = Demo::start();
    let (world, folder) = (world(&demo), Folder::new("disk"));
    let [one, two] = [start(&world, &folder), start(&world, &folder)];
    let ((lease, _), (other, _)) = (one.acquire(&Value::Null), two.acquire(&Value::Null));
    let borrowed_until = lease.borrow(&Value::Null).ok()["borrowed_until"].clone();
    // From now on nothing is written: what the record is drafted in is a folder.
    let draft = format!("{}.new", folder.files("lease")[0].display());
    fs::create_dir(&draft).unwrap();
    lease.release().refused("STORAGE");
    let info = lease.renew().ok();
    assert_eq!((&info["state"], &info["borrowed_until"]), (&json!("BORROWED"), &borrowed_until), "{info}");
    assert!(lease.remaining_ms() < 25 * 3_600_000, "{}", lease.remaining_ms());
    fs::remove_dir(&draft).unwrap();
    lease.release().ok();
    other.release().ok();
    assert_eq!(features(&world), [] as [Value; 0]);
}

#[test]
fn a_set_of_which_a_part_was_given_back_is_no_longer_held_until_it_is_whole_again() {
    let demo = Demo::start();
    let world = world(&demo);
    let client = world.client(DEVICE);
    let (lease, _) = client.acquire(&json!({ "features": ["MESH", "SOLVER"], "timeout_ms": 500 }));
    let hang = json!({ "match": { "operation": "release_feature", "feature": "MESH" }, "do": { "before": "hang" } });
    world.control("POST /faults", &hang);
    lease.release().failed("TIMEOUT", "unknown");
    let colleague = world.client("colleague");
    colleague.call("activate_license", &Value::Null).ok();
    let (solver, _) = colleague.acquire(&json!({ "feature": "SOLVER" }));
    let lost = client.wait_for("LOST");
    assert_eq!((&lost["name"], &lost["remaining_ms"], lease.state()), (&json!("TIMEOUT"), &json!(0), "LOST"), "{lost}");
    lease.renew().refused("FLOATING_NOT_AVAILABLE");
    assert_eq!((lease.state(), features(&world)), ("LOST", vec![json!("MESH")]));
    solver.release().ok();
    client.advance(120_000);
    client.wait_for("REGAINED");
    assert_eq!((lease.state(), features(&world).len()), ("ACTIVE", 2));
    world.control("DELETE /faults", &Value::Null);
    assert_eq!(lease.release().ok()["state"], "RELEASED");
    assert_eq!(features(&world), [] as [Value; 0]);
}

#[test]
fn to_release_a_lease_whose_client_was_closed_does_not_keep_its_slot_from_being_given_back() {
    let demo = Demo::start();
    let world = world(&demo);
    let client = world.client(DEVICE);
    let (lease, _) = client.acquire(&json!({ "timeout_ms": 1_000 }));
    // The first request gets lost, and is repeated after its second.
    let lost =
        json!({ "match": { "operation": "release_license" }, "when": { "times": 1 }, "do": { "before": "hang" } });
    world.control("POST /faults", &lost);
    client.close();
    until("it is being given back", || asked(&world, "release_license") == 1);
    lease.release().refused("LEASE_OVER");
    until("it was given back", || features(&world).is_empty());
}

#[test]
fn what_is_wanted_back_of_a_set_that_is_being_given_back_does_not_keep_the_rest() {
    let demo = Demo::start();
    let set = json!({ "features": ["MESH", "SOLVER"], "timeout_ms": 1_000, "release_on_close_ms": 60_000 });
    // It waits behind another that is at the door, or is at the door itself.
    for waits in [true, false] {
        let world = world(&demo);
        let client = world.client(DEVICE);
        let (license, _) = client.acquire(&json!({ "release_on_close_ms": 60_000 }));
        let (lease, _) = client.acquire(&set);
        let slow = if waits { "release_license" } else { "release_feature" };
        let hang = json!({ "match": { "operation": slow }, "when": { "times": 1 }, "do": { "before": "hang" } });
        world.control("POST /faults", &hang);
        if waits {
            license.free();
        } else {
            lease.free();
        }
        until("somebody is at the door", || asked(&world, slow) == 1);
        lease.free();
        let (mesh, _) = client.acquire(&json!({ "feature": "MESH" }));
        assert_eq!(mesh.state(), "ACTIVE");
        if waits {
            // The hanging one is wanted back too, so that the next may go.
            let (again, _) = client.acquire(&Value::Null);
            again.release().ok();
        }
        until("the solver is given back", || !features(&world).contains(&json!("SOLVER")));
        assert!(features(&world).contains(&json!("MESH")), "waits: {waits}");
        mesh.release().ok();
    }
}

#[test]
fn a_lease_whose_host_is_kept_waiting_does_not_keep_the_others_from_being_renewed() {
    let demo = Demo::start();
    let (world, folder) = (world(&demo), Folder::new("waiting"));
    let client = start(&world, &folder);
    let (stuck, info) = client.acquire(&json!({ "feature": "MESH", "timeout_ms": 300 }));
    let lock = fs::File::open(&folder.files("lock")[0]).unwrap();
    let (lease, _) = client.acquire(&Value::Null);
    // Another process holds the lock and does not move.
    lock.lock().unwrap();
    client.submit("lease_borrow", &json!({ "lease": info["lease"], "timeout_ms": 60_000 })).unwrap();
    std::thread::sleep(Duration::from_millis(200));
    client.advance(62 * 60_000);
    let mut told: Vec<_> = (0..2).map(|_| client.next_event(20_000).unwrap()["event"].clone()).collect();
    told.sort_by_key(Value::to_string);
    assert_eq!(told, [json!("GRACE_STARTED"), json!("RENEWED")]);
    assert_eq!((lease.state(), stuck.state()), ("ACTIVE", "GRACE"));
    // Nor does the thread try again without a pause.
    until("it is put off", || stuck.info()["renews_in_ms"].as_i64().unwrap() > 0);
    drop(lock);
}

#[test]
fn late_release_after_new_acquire_is_noticed_without_order() {
    let demo = Demo::start();
    let world = World::new(&demo, &json!({ "rate": 0, "order": false }));
    world.client(DEVICE).call("activate_license", &Value::Null).ok();
    let client = world.client(DEVICE);
    let late = json!({ "before": { "delay": { "fixed_ms": 700 } } });
    let once = json!({ "match": { "operation": "release_license" }, "when": { "times": 1 }, "do": late });
    let (lease, _) = client.acquire(&Value::Null);
    world.control("POST /faults", &once);
    lease.free();
    std::thread::sleep(Duration::from_millis(250));
    let (lease, _) = client.acquire(&Value::Null);
    until("the late release is carried out", || features(&world).is_empty());
    // The acquire found that a release was outstanding, so it asks again after five seconds.
    client.advance(5_000);
    until("the slot is taken again", || !features(&world).is_empty());
    client.wait_for("RENEWED");
    assert_eq!((lease.state(), client.events()), ("ACTIVE", vec![]));
}

#[test]
fn after_a_release_of_unknown_outcome_the_lease_is_held_and_not_only_said_to_be() {
    let demo = Demo::start();
    let world = world(&demo);
    let client = world.client(DEVICE);
    let (lease, _) = client.acquire(&json!({ "timeout_ms": 700 }));
    let fault = |what: Value| json!({ "match": { "operation": "release_license" }, "do": what });
    let first = with(&fault(json!({ "after_commit": "reset" })), json!({ "when": { "times": 1 } }));
    world.control("PUT /faults", &json!({ "faults": [first, fault(json!({ "before": "hang" }))] }));
    lease.release().failed("TIMEOUT", "unknown");
    until("the slot is taken again", || !features(&world).is_empty());
    assert_eq!(lease.state(), "ACTIVE");
    world.control("DELETE /faults", &Value::Null);
    assert_eq!(lease.release().ok()["state"], "RELEASED");
}

#[test]
fn a_lease_that_was_freed_is_not_taken_again_by_who_was_about_to_renew_it() {
    let demo = Demo::start();
    let world = world(&demo);
    let client = world.client(DEVICE);
    let (license, _) = client.acquire(&Value::Null);
    let (mesh, _) = client.acquire(&json!({ "feature": "MESH" }));
    let slow = json!({ "before": { "delay": { "fixed_ms": 1_000 } } });
    world.control("POST /faults", &json!({ "match": { "operation": "check_license" }, "do": slow }));
    // Both are due, one after the other.
    client.advance(62 * 60_000);
    std::thread::sleep(Duration::from_millis(300));
    mesh.free();
    until("it is given back", || features(&world) == [Value::Null]);
    client.wait_for("RENEWED");
    // If it were taken again, it would be by now.
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!((features(&world), license.state()), (vec![Value::Null], "ACTIVE"));
}

/// A world whose server knows no order numbers, in which a client with this folder, or none, has released a lease while
/// its last renewal had no answer: the slot is going to be given back again.
fn unsettled(demo: &Demo, folder: Option<&Folder>) -> (World, Client) {
    let world = World::new(demo, &json!({ "rate": 0, "order": false }));
    let storage = folder.map_or(Value::Null, |folder| json!(folder.path()));
    let client = Client::open(&with(&world.config(DEVICE), json!({ "storage_dir": storage }))).unwrap();
    client.call("activate_license", &Value::Null).ok();
    let (lease, _) = client.acquire(&json!({ "timeout_ms": 1_000 }));
    let hang = json!({ "match": { "operation": "check_license" }, "do": { "before": "hang" } });
    world.control("POST /faults", &hang);
    lease.renew().failed("TIMEOUT", "unknown");
    world.control("DELETE /faults", &Value::Null);
    assert_eq!(lease.release().ok()["state"], "RELEASED");
    (world, client)
}

/// Lets a slot be given back again, if it is going to be: a second later, and four seconds after that.
fn let_it_be_given_back_again() {
    std::thread::sleep(Duration::from_millis(5_500));
}

#[test]
fn borrow_of_another_holder_is_not_given_back_again() {
    let demo = Demo::start();
    let folder = Folder::new("again");
    let (world, _client) = unsettled(&demo, Some(&folder));
    let other = start(&world, &folder);
    let (lease, _) = other.acquire(&Value::Null);
    lease.borrow(&Value::Null).ok();
    lease.free();
    let_it_be_given_back_again();
    assert_eq!(world.slots_of(DEVICE), [(Value::Null, true)]);
}

#[test]
fn slot_that_a_verb_takes_is_not_given_back_again() {
    let demo = Demo::start();
    let folder = Folder::new("verb");
    let kept = [None, Some(&folder)].map(|folder| unsettled(&demo, folder));
    let (world, client) = unsettled(&demo, None);
    kept.iter().for_each(|(_, client)| drop(client.call("borrow_license", &Value::Null).ok()));
    client.call("check_license", &Value::Null).ok();
    let_it_be_given_back_again();
    assert_eq!(kept.map(|(world, _)| world.slots_of(DEVICE)), [[(Value::Null, true)], [(Value::Null, true)]]);
    assert_eq!(world.slots_of(DEVICE), [(Value::Null, false)]);
}

/// Each is given back within its own `release_on_close_ms`.
#[test]
fn give_back_that_hangs_does_not_keep_others_from_being_given_back() {
    let demo = Demo::start();
    for closes in [false, true] {
        let world = world(&demo);
        let client = world.client(DEVICE);
        let patient = json!({ "release_on_close_ms": 60_000 });
        let of = |feature: &str| with(&patient, json!({ "feature": feature }));
        let leases = [patient.clone(), of("MESH"), of("SOLVER")].map(|request| client.acquire(&request).0);
        let hang = json!({ "match": { "operation": "release_feature" }, "do": { "before": "hang" } });
        world.control("PUT /faults", &json!({ "faults": [hang] }));
        if closes {
            client.close();
        } else {
            leases.iter().rev().for_each(Lease::free);
        }
        until("the license is given back", || !features(&world).contains(&Value::Null));
        assert_eq!(features(&world).len(), 2);
    }
}

#[test]
fn freed_slot_that_a_verb_takes_is_not_given_back_after_it() {
    let demo = Demo::start();
    // The slot is being given back, or waits behind another that is.
    for waits in [false, true] {
        let world = world(&demo);
        let client = world.client(DEVICE);
        let slot = json!({ "release_on_close_ms": 60_000 });
        let ((lease, _), (mesh, _)) =
            (client.acquire(&slot), client.acquire(&with(&slot, json!({ "feature": "MESH" }))));
        let slow = if waits { "release_feature" } else { "release_license" };
        let hang = json!({ "match": { "operation": slow }, "when": { "times": 1 }, "do": { "before": "hang" } });
        world.control("POST /faults", &hang);
        if waits {
            mesh.free();
        } else {
            lease.free();
        }
        until("somebody is at the door", || asked(&world, slow) == 1);
        lease.free();
        client.call("check_license", &Value::Null).ok();
        if waits {
            // Whoever is at the door steps aside, so that the next may go.
            client.call("check_feature", &json!({ "feature": "MESH" })).ok();
        }
        mesh.free();
        until("the feature is settled", || world.slots_of(DEVICE).len() == if waits { 2 } else { 1 });
        let_it_be_given_back_again();
        assert!(features(&world).contains(&Value::Null), "waits: {waits}");
    }
}

#[test]
fn freed_slot_that_a_verb_fails_to_take_is_given_back() {
    let demo = Demo::start();
    let world = world(&demo);
    let client = world.client(DEVICE);
    let (lease, _) = client.acquire(&json!({ "release_on_close_ms": 60_000 }));
    let hang =
        json!({ "match": { "operation": "release_license" }, "when": { "times": 1 }, "do": { "before": "hang" } });
    let fail = json!({ "match": { "operation": "check_license" }, "do": { "before": "hang" } });
    world.control("PUT /faults", &json!({ "faults": [hang, fail] }));
    lease.free();
    until("it is being given back", || asked(&world, "release_license") == 1);
    client.call("check_license", &json!({ "timeout_ms": 500 })).failed("TIMEOUT", "unknown");
    until("it is given back", || features(&world).is_empty());
}

/// A colleague in a world whose server knows no order numbers, and a client of this device.
fn colleagues(demo: &Demo) -> (World, Client, Client) {
    let world = World::new(demo, &json!({ "rate": 0, "order": false }));
    let [client, colleague] = [DEVICE, "colleague"].map(|device| world.client(device));
    client.call("activate_license", &Value::Null).ok();
    colleague.call("activate_license", &Value::Null).ok();
    (world, client, colleague)
}

#[test]
fn refused_acquire_does_not_forget_that_one_of_before_may_come_late() {
    let demo = Demo::start();
    let (world, client, colleague) = colleagues(&demo);
    let solver = json!({ "feature": "SOLVER", "timeout_ms": 500 });
    let late = json!({ "before": { "delay": { "fixed_ms": 3_000 } } });
    world.control("POST /faults", &json!({ "match": { "operation": "check_feature" }, "do": late }));
    let (none, answer) = client.try_acquire(&solver);
    answer.failed("TIMEOUT", "unknown");
    world.control("DELETE /faults", &Value::Null);
    until("it is given back", || asked(&world, "release_feature") == 1);
    let (lease, _) = colleague.acquire(&json!({ "feature": "SOLVER" }));
    let (still_none, answer) = client.try_acquire(&json!({ "feature": "SOLVER" }));
    answer.refused("FLOATING_NOT_AVAILABLE");
    assert!(none.is_none() && still_none.is_none());
    lease.release().ok();
    until("the late acquire takes it", || !features(&world).is_empty());
    until("it is given back again", || features(&world).is_empty());
}

#[test]
fn slot_that_a_failed_set_has_left_is_given_back_again() {
    let demo = Demo::start();
    let (world, client, colleague) = colleagues(&demo);
    let (_solver, _) = colleague.acquire(&json!({ "feature": "SOLVER" }));
    let lost = json!({
        "match": { "operation": "check_feature", "feature": "MESH" },
        "when": { "times": 1 },
        "do": { "after_commit": "reset" },
    });
    world.control("POST /faults", &lost);
    let (none, answer) = client.try_acquire(&json!({ "features": ["MESH", "SOLVER"] }));
    answer.refused("FLOATING_NOT_AVAILABLE");
    assert!(none.is_none());
    until("it is given back again", || asked(&world, "release_feature") == 2);
}
