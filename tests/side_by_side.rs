//! Leases of one client of which some can't be renewed: what becomes of the others, and of a lease of several slots.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use support::abi::{Client, Lease};
use support::folder::Folder;
use support::holder::until;
use support::sandbox::World;
use support::{Demo, with};

const HANGS: &str = "HANG-HANG";
const FINE: &str = "FINE-FINE";
const MINUTE_MS: u32 = 60_000;

/// A world with a license whose checks can be made to hang, and one whose are answered. Each has features of one slot.
fn world(demo: &Demo) -> World {
    world_with(demo, &json!({ "rate": 0 }))
}

fn world_with(demo: &Demo, options: &Value) -> World {
    let floating = json!({ "users": 1, "timeout_minutes": 120, "can_borrow": true, "max_borrow_time_hours": 240 });
    let features: Vec<_> = ["A", "B", "C"].map(|code| json!({ "code": code, "floating": floating })).into();
    let license = |key: &str| {
        json!({
            "product": "P", "license_key": key, "allow_unlimited_activations": true, "floating": floating,
            "feature": features,
        })
    };
    let catalogue = json!({ "product": [{ "code": "P" }], "license": [license(FINE), license(HANGS)] });
    World::new(demo, &with(options, json!({ "catalogue": catalogue })))
}

fn client(world: &World, device: &str) -> Client {
    let client = world.client(device);
    for key in [HANGS, FINE] {
        client.call("activate_license", &json!({ "license_key": key })).ok();
    }
    client
}

fn hang(world: &World) {
    let hang = json!({ "match": { "license_key": HANGS }, "do": { "before": "hang" } });
    world.control("PUT /faults", &json!({ "faults": [hang] }));
}

fn acquire(client: &Client, license_key: &str, timeout_ms: u32) -> Lease {
    client.acquire(&json!({ "license_key": license_key, "timeout_ms": timeout_ms, "grace_ms": 5 * MINUTE_MS })).0
}

/// The events of leases until `count` have come that are meant.
fn events(client: &Client, count: usize, is_meant: impl Fn(&Value) -> bool) -> Vec<Value> {
    let next = || client.next_event(20_000).unwrap();
    let mut meant = Vec::new();
    while meant.len() < count {
        let event = next();
        assert!(!event.is_null(), "only {} of {count}: {meant:?}", meant.len());
        meant.extend(Some(event).filter(&is_meant));
    }
    meant
}

#[test]
fn lease_is_renewed_though_all_others_hang() {
    let demo = Demo::start();
    for hanging in [1, 9, 99] {
        let world = world(&demo);
        let client = client(&world, "desk");
        // Their deadline is longer than this test waits for anything.
        let stuck: Vec<_> = (0..hanging).map(|_| acquire(&client, HANGS, 60_000)).collect();
        let fine = acquire(&client, FINE, 60_000);
        hang(&world);
        client.advance(72 * MINUTE_MS);
        let number = fine.info()["lease"].clone();
        let renewed = events(&client, 1, |event| event["lease"] == number);
        assert_eq!((&renewed[0]["event"], fine.state()), (&json!("RENEWED"), "ACTIVE"));
        // Nor does anything hide from the hosts of the others how they stand.
        client.advance(49 * MINUTE_MS);
        events(&client, hanging, |event| event["event"] == "GRACE_STARTED");
        assert!(stuck.iter().all(|lease| lease.state() == "GRACE") && fine.state() == "ACTIVE");
        client.advance(5 * MINUTE_MS);
        events(&client, hanging, |event| event["event"] == "LOST");
        client.close();
    }
}

/// A lease that comes while the only other one is being asked about.
#[test]
fn new_lease_does_not_wait_for_renewal_of_another() {
    let demo = Demo::start();
    let world = world(&demo);
    let client = client(&world, "desk");
    let stuck = acquire(&client, HANGS, 60_000);
    hang(&world);
    client.advance(72 * MINUTE_MS);
    let asked = json!({ "filter": { "operation": "check_license", "license_key": HANGS } });
    until("it is being renewed", || world.control("POST /journal/count", &asked)["count"] == json!(2));
    let fine = acquire(&client, FINE, 60_000);
    client.advance(73 * MINUTE_MS);
    let number = stuck.info()["lease"].clone();
    let told = events(&client, 1, |event| event["lease"] != number);
    assert_eq!(told[0]["event"], "RENEWED", "{told:?}");
    assert_eq!(fine.state(), "ACTIVE");
}

/// Another request would fare no better, and a lease that merely goes along with another need not hear of it.
#[test]
fn outage_is_told_of_leases_that_are_due_alone() {
    let demo = Demo::start();
    let world = world(&demo);
    let client = client(&world, "desk");
    let due = acquire(&client, HANGS, 1_000);
    // A renewal scatters from 48 to 72 minutes after the slot was taken, and may go along after three quarters of that.
    let renews_in_ms = u32::try_from(due.info()["renews_in_ms"].as_u64().unwrap()).unwrap();
    client.advance(renews_in_ms - 47 * MINUTE_MS);
    let later = acquire(&client, FINE, 1_000);
    world.only_fault(&json!({ "before": "refuse" }));
    client.advance(47 * MINUTE_MS);
    assert_eq!(client.wait_for("DEGRADED")["lease"], due.info()["lease"]);
    assert_eq!(client.next_event(1_500).unwrap(), Value::Null);
    assert_eq!((due.state(), later.state()), ("DEGRADED", "ACTIVE"));
}

#[test]
fn deadline_is_that_of_each_request_of_a_renewal() {
    let demo = Demo::start();
    let world = world(&demo);
    let client = client(&world, "desk");
    let slow = json!({ "match": { "license_key": FINE }, "do": { "before": { "delay": { "fixed_ms": 500 } } } });
    world.control("PUT /faults", &json!({ "faults": [slow] }));
    let request = json!({ "license_key": FINE, "features": ["A", "B", "C"], "timeout_ms": 1_200 });
    let (lease, _) = client.acquire(&request);
    lease.renew().ok();
    client.advance(72 * MINUTE_MS);
    client.wait_for("RENEWED");
    lease.release().ok();
    // What the host says itself is for the whole call.
    let (lease, info) = client.acquire(&request);
    client.submit("lease_renew", &json!({ "lease": info["lease"], "timeout_ms": 1_200 })).unwrap();
    assert_eq!(client.wait_for("DEGRADED")["name"], "TIMEOUT");
    drop(lease);
}

/// A lease of several features without a word of ours when its slots are gone.
fn strict(features: &[&str]) -> Value {
    json!({ "license_key": FINE, "features": features, "grace_ms": 0 })
}

#[test]
fn lost_lease_keeps_no_slot_from_others() {
    let demo = Demo::start();
    let world = world(&demo);
    let (one, colleague, third) = (client(&world, "one"), client(&world, "colleague"), client(&world, "third"));
    let (lease, _) = one.acquire(&strict(&["A", "B"]));
    // The administrator gives B to a colleague.
    one.call("release_feature", &json!({ "license_key": FINE, "feature": "B" })).ok();
    let (b, _) = colleague.acquire(&json!({ "license_key": FINE, "feature": "B" }));
    one.wait_for("LOST");
    let wait = json!({ "license_key": FINE, "feature": "A", "wait_ms": 60_000 });
    let (a, _) = third.acquire(&wait);
    assert_eq!(a.state(), "ACTIVE");
    assert!(world.slots_of("one").is_empty());
    a.release().ok();
    b.release().ok();
    one.wait_for("REGAINED");
    assert_eq!((lease.state(), world.slots_of("one").len()), ("ACTIVE", 2));
}

#[test]
fn lost_leases_that_want_what_the_other_has_do_not_block_each_other() {
    let demo = Demo::start();
    let world = world(&demo);
    let (one, two) = (client(&world, "one"), client(&world, "two"));
    let (of_one, _) = one.acquire(&strict(&["A", "B"]));
    let take = |client: &Client, feature: &str| {
        client.call("check_feature", &json!({ "license_key": FINE, "feature": feature })).ok()
    };
    // Each has lost one of its slots to a third device, in turn.
    let third = client(&world, "third");
    one.call("release_feature", &json!({ "license_key": FINE, "feature": "A" })).ok();
    take(&third, "A");
    one.wait_for("LOST");
    until("it holds nothing", || world.slots_of("one").is_empty());
    third.call("release_feature", &json!({ "license_key": FINE, "feature": "A" })).ok();
    let (none, _) =
        two.try_acquire(&json!({ "license_key": FINE, "features": ["B", "A"], "wait_ms": 60_000, "grace_ms": 0 }));
    let of_two = none.filter(|lease| lease.state() == "ACTIVE");
    until("one of them has both", || {
        let (of_one, of_two) = (world.slots_of("one").len(), world.slots_of("two").len());
        (of_one, of_two) == (2, 0) || (of_one, of_two) == (0, 2)
    });
    drop((of_one, of_two));
}

/// A world whose server keeps requests in order or does not, and a colleague for whom the lease has lost its B.
fn lost(demo: &Demo, order: bool, timeout_ms: u32) -> (World, Client, Lease, Client, Lease) {
    let world = world_with(demo, &json!({ "rate": 0, "order": order }));
    let (one, colleague) = (client(&world, "one"), client(&world, "colleague"));
    let (lease, _) = one.acquire(&with(&strict(&["B", "A"]), json!({ "timeout_ms": timeout_ms })));
    one.call("release_feature", &json!({ "license_key": FINE, "feature": "B" })).ok();
    let (b, _) = colleague.acquire(&json!({ "license_key": FINE, "feature": "B" }));
    one.wait_for("LOST");
    until("it holds nothing", || world.slots_of("one").is_empty());
    (world, one, lease, colleague, b)
}

#[test]
fn lost_lease_keeps_no_slot_that_it_has_taken_unheard() {
    let demo = Demo::start();
    let (world, _one, lease, colleague, b) = lost(&demo, true, 15_000);
    let unheard =
        json!({ "match": { "operation": "check_feature", "feature": "A" }, "do": { "after_commit": "close" } });
    world.control("PUT /faults", &json!({ "faults": [unheard] }));
    b.release().ok();
    lease.renew();
    assert_eq!(world.slots_of("one"), [(json!("A"), false)]);
    let (_b, _) = colleague.acquire(&json!({ "license_key": FINE, "feature": "B", "wait_ms": 20_000 }));
    world.control("DELETE /faults", &Value::Null);
    until("it holds nothing", || world.slots_of("one").is_empty());
    assert_eq!(lease.state(), "LOST");
}

#[test]
fn lost_lease_gives_back_again_what_came_late() {
    let demo = Demo::start();
    let (world, _one, lease, colleague, b) = lost(&demo, false, 500);
    let late = json!({ "before": { "delay": { "fixed_ms": 4_000 } } });
    let late = json!({ "match": { "operation": "check_feature", "feature": "A" }, "when": { "times": 1 }, "do": late });
    world.control("PUT /faults", &json!({ "faults": [late] }));
    b.release().ok();
    lease.renew();
    let (_b, _) = colleague.acquire(&json!({ "license_key": FINE, "feature": "B", "wait_ms": 20_000 }));
    until("it comes late", || world.slots_of("one") == [(json!("A"), false)]);
    until("it is given back", || world.slots_of("one").is_empty());
    assert_eq!(lease.state(), "LOST");
}

#[test]
fn lost_lease_leaves_borrow_of_verb() {
    let demo = Demo::start();
    let world = world(&demo);
    let (one, colleague) = (client(&world, "one"), client(&world, "colleague"));
    let (lease, _) = one.acquire(&strict(&["B", "A"]));
    one.call("borrow_feature", &json!({ "license_key": FINE, "feature": "A" })).ok();
    // Somebody else lets go of B.
    client(&world, "one").call("release_feature", &json!({ "license_key": FINE, "feature": "B" })).ok();
    let (_b, _) = colleague.acquire(&json!({ "license_key": FINE, "feature": "B" }));
    lease.renew();
    assert_eq!((lease.state(), world.slots_of("one")), ("LOST", vec![(json!("A"), true)]));
    lease.release().ok();
    assert!(world.slots_of("one").is_empty());
}

/// A lease that is borrowed, while the request of another hangs for long.
#[test]
fn what_the_clock_shows_is_kept_from_time_to_time_alone() {
    let demo = Demo::start();
    let world = world(&demo);
    let client = client(&world, "desk");
    drop(client);
    let folder = Folder::new("marks");
    let client = Client::open(&with(&world.config("desk"), json!({ "storage_dir": folder.path() }))).unwrap();
    let (borrowed, _) = client.acquire(&json!({ "license_key": FINE, "feature": "A" }));
    borrowed.borrow(&Value::Null).ok();
    let _stuck = acquire(&client, HANGS, 60_000);
    hang(&world);
    client.advance(72 * MINUTE_MS);
    let records = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
    let records: Vec<_> = records.filter(|path| path.extension().is_some_and(|ending| ending == "lease")).collect();
    let modified = |path: &PathBuf| path.metadata().unwrap().modified().unwrap();
    let mut seen = BTreeSet::new();
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(5) {
        seen.extend(records.iter().map(|path| (path, modified(path))));
        std::thread::sleep(Duration::from_millis(20));
    }
    // Of each as it was, as it is once the time is kept, and one that is being asked about.
    assert!(seen.len() <= records.len() + 2, "{seen:?}");
}

/// It is nearly due, so it was to go along with the lease whose request hangs.
#[test]
fn lease_that_waits_to_go_along_is_renewed_in_its_own_time() {
    let demo = Demo::start();
    let world = world(&demo);
    let client = client(&world, "desk");
    let stuck = acquire(&client, HANGS, 60_000);
    let renews_in_ms = |lease: &Lease| u32::try_from(lease.info()["renews_in_ms"].as_u64().unwrap()).unwrap();
    // Due later than the other, but not so much that it goes not along.
    let (first, mut fine) = (renews_in_ms(&stuck), acquire(&client, FINE, 60_000));
    while !(first + 5_000..first + 10 * MINUTE_MS).contains(&renews_in_ms(&fine)) {
        fine.release().ok();
        fine = acquire(&client, FINE, 60_000);
    }
    hang(&world);
    client.events();
    let begun = Instant::now();
    client.advance(renews_in_ms(&fine) - 1_500);
    assert_eq!(client.wait_for("RENEWED")["lease"], fine.info()["lease"]);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

/// On a server that knows no order numbers, what was released while a request had no answer is released again later.
#[test]
fn release_that_hangs_does_not_keep_another_from_being_repeated() {
    let demo = Demo::start();
    let world = world_with(&demo, &json!({ "rate": 0, "order": false }));
    let client = client(&world, "desk");
    let (stuck, fine) = (acquire(&client, HANGS, 60_000), acquire(&client, FINE, 60_000));
    let unheard = json!({ "match": { "operation": "check_license" }, "do": { "after_commit": "close" } });
    world.control("PUT /faults", &json!({ "faults": [unheard] }));
    for lease in [&stuck, &fine] {
        assert_eq!(lease.renew().json["outcome"], "unknown");
    }
    world.control("DELETE /faults", &Value::Null);
    let released = |key: &str| {
        let asked = json!({ "filter": { "operation": "release_license", "license_key": key } });
        world.control("POST /journal/count", &asked)["count"].as_u64().unwrap()
    };
    stuck.release().ok();
    hang(&world);
    fine.release().ok();
    until("the one that hangs is repeated", || released(HANGS) >= 2);
    until("the other one is repeated twice", || released(FINE) >= 3);
}

/// What somebody else has left is given back by an acquire, but not for as long as its host would queue.
#[test]
fn acquire_does_not_wait_long_for_what_others_have_left() {
    let demo = Demo::start();
    let (world, folder) = (world(&demo), Folder::new("left"));
    client(&world, "desk");
    let client = Client::open(&with(&world.config("desk"), json!({ "storage_dir": folder.path() }))).unwrap();
    let (left, _) = client.acquire(&json!({ "license_key": FINE, "feature": "A", "keep_alive": "host" }));
    left.free();
    let hang = json!({ "match": { "operation": "release_feature" }, "do": { "before": "hang" } });
    world.control("PUT /faults", &json!({ "faults": [hang] }));
    let request = json!({ "license_key": FINE, "feature": "B", "timeout_ms": 1_000, "wait_ms": 3_600_000 });
    client.submit("lease_acquire", &request).unwrap();
    let done = client.wait_for("COMPLETED");
    assert_eq!(done["status"], 0, "{done}");
}
