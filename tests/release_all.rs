//! Everything is released by one call at the end of a program, and a frame without news takes no lock.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use serde_json::{Value, json};
use std::time::{Duration, Instant};
use support::abi::{Client, Lease};
use support::machine::Machine;
use support::{Demo, with};

/// Far longer than a test may take.
const PATIENT_MS: u32 = 120_000;

fn open(machine: &Machine) -> Client {
    Client::open(&with(&machine.config(), json!({"timeout_ms": PATIENT_MS}))).unwrap()
}

fn acquire(client: &Client, request: Value) -> (Lease, u64) {
    let (lease, info) = client.acquire(&request);
    (lease, info["lease"].as_u64().unwrap())
}

fn hang(machine: &Machine, operation: &str) {
    let fault = json!({"match": {"operation": operation}, "do": {"before": "hang"}});
    machine.world.control("PUT /faults", &json!({ "faults": [fault] }));
}

/// Every answer to these operations comes this much later.
fn delay(machine: &Machine, operations: &[&str], delay_ms: u32) {
    let late = |operation: &&str| json!({"match": {"operation": operation}, "do": {"before": {"delay": {"fixed_ms": delay_ms}}}});
    let faults: Vec<_> = operations.iter().map(late).collect();
    machine.world.control("PUT /faults", &json!({ "faults": faults }));
}

#[test]
fn every_lease_is_released_and_borrows_are_kept() {
    let demo = Demo::start();
    let machine = Machine::new(&demo, "release-all");
    let client = open(&machine);
    let (own, first) = acquire(&client, json!({}));
    let (mesh, second) = acquire(&client, json!({"feature": "MESH"}));
    let (solver, third) = acquire(&client, json!({"feature": "SOLVER"}));
    own.borrow(&json!({})).ok();
    let never_accepted = client.submit("lease_acquire", &json!({"feature": "MESH"})).unwrap();
    let fourth = client.wait_for("COMPLETED")["reply"]["lease"].as_u64().unwrap();
    let told = client.release_all(20_000).ok();
    assert_eq!(told, json!({"released": [second, third, fourth], "kept": [first], "left": []}));
    for lease in [&own, &mesh, &solver] {
        assert_eq!(lease.state(), "RELEASED");
    }
    let accepted = client.accept(never_accepted).0.unwrap();
    assert_eq!(accepted.state(), "RELEASED");
    assert_eq!(machine.slots(), [(Value::Null, true)]);
    assert_eq!(client.release_all(20_000).ok(), json!({"released": [], "kept": [], "left": []}), "nothing is held");
    assert_eq!(client.acquire(&json!({"feature": "MESH"})).0.state(), "ACTIVE", "later leases are not affected");
}

/// Each answer takes a while, and both together no longer.
#[test]
fn leases_are_released_side_by_side() {
    let demo = Demo::start();
    let machine = Machine::new(&demo, "release-all-parallel");
    let client = open(&machine);
    let _leases = ["MESH", "SOLVER"].map(|feature| acquire(&client, json!({"feature": feature})));
    delay(&machine, &["release_feature"], 1_500);
    let started = Instant::now();
    assert_eq!(client.release_all(20_000).ok()["left"], json!([]));
    assert!(started.elapsed() < Duration::from_millis(2_800), "one after the other: {:?}", started.elapsed());
    assert_eq!(machine.count(), 0);
}

#[test]
fn what_cannot_be_released_in_time_is_told() {
    let demo = Demo::start();
    let machine = Machine::new(&demo, "release-all-late");
    let client = open(&machine);
    let (mesh, number) = acquire(&client, json!({"feature": "MESH"}));
    let (closed, closed_number) = acquire(&client, json!({"feature": "SOLVER"}));
    hang(&machine, "release_feature");
    closed.free();
    let started = Instant::now();
    let told = client.release_all(400).ok();
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    let left: Vec<_> = told["left"].as_array().unwrap().iter().map(|left| (&left["lease"], &left["name"])).collect();
    assert_eq!(left, [(&json!(number), &json!("TIMEOUT")), (&json!(closed_number), &json!("TIMEOUT"))], "{told}");
    assert_ne!(mesh.state(), "RELEASED");
    machine.world.control("DELETE /faults", &Value::Null);
    assert_eq!(client.release_all(20_000).ok()["left"], json!([]), "the next call tries again");
    assert_eq!(machine.count(), 0);
}

#[test]
fn acquires_under_way_are_cancelled_and_hold_nothing() {
    let demo = Demo::start();
    let machine = Machine::new(&demo, "release-all-acquiring");
    let client = open(&machine);
    hang(&machine, "check_feature");
    let hanging = client.submit("lease_acquire", &json!({"feature": "MESH"})).unwrap();
    std::thread::sleep(Duration::from_millis(200));
    let told = client.release_all(20_000).ok();
    assert_eq!(told["left"], json!([]), "{told}");
    let done = client.wait_for("COMPLETED");
    assert_eq!((&done["ticket"], &done["error"]["name"]), (&json!(hanging), &json!("CANCELLED")));
    assert_eq!(machine.count(), 0);
}

#[test]
fn submitted_release_of_everything_does_not_block_and_overtakes_what_hangs() {
    let demo = Demo::start();
    let machine = Machine::new(&demo, "release-all-submitted");
    let client = Client::open(&with(&machine.config(), json!({"timeout_ms": PATIENT_MS, "max_parallel": 1}))).unwrap();
    let (_lease, number) = acquire(&client, json!({"feature": "MESH"}));
    hang(&machine, "check_license");
    client.submit("check_license", &Value::Null).unwrap();
    let ticket = client.submit("release_all", &json!({"timeout_ms": 20_000})).unwrap();
    let done = client.wait_for("COMPLETED");
    assert_eq!((&done["ticket"], &done["reply"]["released"]), (&json!(ticket), &json!([number])), "{done}");
    for (request, status) in [(json!({"timeout_ms": 0}), "BAD_VALUE"), (json!({"timeout": 1}), "UNKNOWN_KEY")] {
        client.submit("release_all", &request).unwrap();
        assert_eq!(client.wait_for("COMPLETED")["error"]["name"], status);
    }
    client.release_all(0).refused("BAD_VALUE");
    client.close();
    client.release_all(1_000).refused("HANDLE");
}

#[test]
fn events_that_wait_are_counted_without_reading_them() {
    let demo = Demo::start();
    let machine = Machine::new(&demo, "events-waiting");
    let client = open(&machine);
    assert_eq!(client.events_waiting(), 0);
    for _ in 0..3 {
        client.submit("product_details", &json!({})).unwrap();
    }
    let end = Instant::now() + Duration::from_secs(20);
    while client.events_waiting() < 3 {
        assert!(Instant::now() < end, "{}", client.events_waiting());
        std::thread::sleep(Duration::from_millis(5));
    }
    for left in [2, 1, 0] {
        client.wait_for("COMPLETED");
        assert_eq!(client.events_waiting(), left);
    }
    client.submit("product_details", &json!({})).unwrap();
    client.close();
    assert_eq!(client.events_waiting(), 0, "a closed client has no events");
}

/// An acquire that pauses on the host's own thread, or whose turn has not come again, has no call at this moment.
#[test]
fn acquires_that_pause_hold_up_nothing() {
    let demo = Demo::start();
    for changes in [json!({}), json!({"threads": "host"}), json!({"max_parallel": 1})] {
        let machine = Machine::new(&demo, "release-all-pausing");
        let _colleagues = ["one", "two"].map(|name| {
            let colleague = machine.world.client(name);
            colleague.call("activate_license", &Value::Null).ok();
            colleague.call("check_license", &Value::Null).ok();
            colleague
        });
        let patient = with(&machine.config(), json!({"timeout_ms": PATIENT_MS}));
        let client = Client::open(&with(&patient, changes.clone())).unwrap();
        let ticket = client.submit("lease_acquire", &json!({"wait_ms": PATIENT_MS})).unwrap();
        if changes["threads"] == "host" {
            client.work(0).unwrap();
        }
        client.wait_for("WAITING");
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| client.try_acquire(&json!({"wait_ms": PATIENT_MS})).1);
            client.wait_for("WAITING");
            if changes["max_parallel"] == 1 {
                hang(&machine, "product_details");
                client.submit("product_details", &json!({})).unwrap();
                // The pause is over by then, and the only place is taken.
                std::thread::sleep(Duration::from_millis(2_500));
            }
            let started = Instant::now();
            assert_eq!(client.release_all(20_000).ok()["left"], json!([]));
            assert!(started.elapsed() < Duration::from_secs(5), "{changes}: {:?}", started.elapsed());
            waiting.join().unwrap().failed("CANCELLED", "rejected");
        });
        let done = client.wait_for("COMPLETED");
        assert_eq!((&done["ticket"], &done["error"]["name"]), (&json!(ticket), &json!("CANCELLED")), "{changes}");
    }
}

#[test]
fn cancelled_release_of_everything_leaves_the_rest_to_the_background() {
    let demo = Demo::start();
    let machine = Machine::new(&demo, "release-all-cancelled");
    let client = open(&machine);
    let (_mesh, _) = acquire(&client, json!({"feature": "MESH"}));
    let (closed, _) = acquire(&client, json!({"feature": "SOLVER", "release_on_close_ms": 60_000}));
    hang(&machine, "release_feature");
    closed.free();
    let ticket = client.submit("release_all", &json!({"timeout_ms": 60_000})).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(client.cancel_submitted(ticket), "OK");
    assert_eq!(client.wait_for("COMPLETED")["error"]["name"], "CANCELLED");
    machine.world.control("DELETE /faults", &Value::Null);
    let end = Instant::now() + Duration::from_secs(20);
    while machine.slots() != [(json!("MESH"), false)] {
        assert!(Instant::now() < end, "{:?}", machine.slots());
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn lease_whose_handle_is_closed_while_it_is_released_is_told_once() {
    let demo = Demo::start();
    let machine = Machine::new(&demo, "release-all-closed-meanwhile");
    let client = open(&machine);
    let (mesh, number) = acquire(&client, json!({"feature": "MESH"}));
    delay(&machine, &["release_feature"], 800);
    let ticket = client.submit("release_all", &json!({"timeout_ms": 20_000})).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    mesh.free();
    let done = client.wait_for("COMPLETED");
    assert_eq!(done["ticket"], ticket);
    assert_eq!(done["reply"], json!({"released": [number], "kept": [], "left": []}), "{done}");
    assert_eq!(machine.count(), 0);
}

/// The release of one lease is refused. Its handle is closed while another lease is being released, so it is tried again.
#[test]
fn lease_that_is_closed_after_its_release_was_refused_is_told_once() {
    let demo = Demo::start();
    let machine = Machine::new(&demo, "release-all-refused");
    let client = open(&machine);
    let (license, first) = acquire(&client, json!({}));
    let (_mesh, second) = acquire(&client, json!({"feature": "MESH"}));
    let refused = json!({"match": {"operation": "release_license"}, "when": {"times": 1}, "do": {"before": {"undocumented_code": "unheard_of"}}});
    let slow = json!({"match": {"operation": "release_feature"}, "do": {"before": {"delay": {"fixed_ms": 1_500}}}});
    machine.world.control("PUT /faults", &json!({ "faults": [refused, slow] }));
    client.submit("release_all", &json!({"timeout_ms": 20_000})).unwrap();
    std::thread::sleep(Duration::from_millis(500));
    license.free();
    let done = client.wait_for("COMPLETED");
    assert_eq!(done["reply"], json!({"released": [first, second], "kept": [], "left": []}), "{done}");
    assert_eq!(machine.count(), 0);
}

/// The library releases such leases by itself never, but the host has asked for the release of everything.
#[test]
fn lease_that_waits_for_its_release_and_is_closed_is_released() {
    let demo = Demo::start();
    for of_lease in [json!({"keep_alive": "host"}), json!({"release_on_close_ms": 0})] {
        let machine = Machine::new(&demo, "release-all-waiting");
        let client =
            Client::open(&with(&machine.config(), json!({"timeout_ms": PATIENT_MS, "max_parallel": 1}))).unwrap();
        let (license, first) = acquire(&client, of_lease.clone());
        let (mesh, second) = acquire(&client, with(&of_lease, json!({"feature": "MESH"})));
        delay(&machine, &["release_license", "release_feature"], 800);
        let ticket = client.submit("release_all", &json!({"timeout_ms": 20_000})).unwrap();
        std::thread::sleep(Duration::from_millis(300));
        license.free();
        mesh.free();
        let done = client.wait_for("COMPLETED");
        assert_eq!(done["ticket"], ticket);
        assert_eq!(done["reply"], json!({"released": [first, second], "kept": [], "left": []}), "{of_lease}: {done}");
        assert_eq!(machine.count(), 0, "{of_lease}");
    }
}

/// The host's own release returns the borrow, and the release of everything finds nothing left to do.
#[test]
fn borrow_that_its_host_returns_meanwhile_is_not_kept() {
    let demo = Demo::start();
    let machine = Machine::new(&demo, "release-all-returned");
    let client = open(&machine);
    let (lease, number) = acquire(&client, json!({}));
    lease.borrow(&json!({})).ok();
    delay(&machine, &["release_license"], 800);
    let ticket = client.submit("lease_release", &json!({"lease": number})).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(client.release_all(20_000).ok(), json!({"released": [number], "kept": [], "left": []}));
    let done = client.wait_for("COMPLETED");
    assert_eq!((&done["ticket"], &done["status"]), (&json!(ticket), &json!(0)), "{done}");
    assert_eq!(machine.count(), 0);
}

#[test]
fn borrow_whose_date_is_over_is_not_kept() {
    let demo = Demo::start();
    let machine = Machine::new(&demo, "release-all-over");
    let client = open(&machine);
    let (lease, number) = acquire(&client, json!({}));
    lease.borrow(&json!({})).ok();
    // No renewal tells that the server counts the slot still.
    hang(&machine, "check_license");
    client.advance(25 * 60 * 60 * 1000);
    assert_eq!(client.release_all(20_000).ok(), json!({"released": [number], "kept": [], "left": []}));
    assert_eq!(machine.count(), 0);
}
