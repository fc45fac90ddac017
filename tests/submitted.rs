//! Calls in the background through the C ABI: one completion each, and a cancel that reaches them wherever they are.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use support::abi::Client;
use support::sandbox::World;
use support::stub::{listen, silent, swallowing};
use support::{Demo, believing, target_dir, with};

/// So many are done at the same time, as these clients are configured.
const SIDE_BY_SIDE: usize = 4;
/// So many may be under way or unread.
const MOST: usize = 1_000;
/// Far longer than a test may take.
const PATIENT_MS: u32 = 120_000;

/// A client of `address` that gives nothing up by itself.
fn patient(address: &str) -> Client {
    let few = json!({"timeout_ms": PATIENT_MS, "connect_timeout_ms": PATIENT_MS, "max_parallel": SIDE_BY_SIDE});
    Client::open(&with(&believing(address), few)).unwrap()
}

/// The same of a world.
fn patient_in(world: &World, hardware_id: &str, changes: Value) -> Client {
    let client =
        Client::open(&with(&with(&world.config(hardware_id), json!({"timeout_ms": PATIENT_MS})), changes)).unwrap();
    client.call("activate_license", &Value::Null).ok();
    client
}

/// Waits for what comes of itself.
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < end, "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Time for what is about to happen, and for what must not.
fn a_while() {
    std::thread::sleep(Duration::from_millis(200));
}

/// A server that takes connections and says nothing, and how many have come and gone.
fn counting() -> (String, Arc<[AtomicUsize; 2]>) {
    let counts = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
    let counted = Arc::clone(&counts);
    let address = listen(move |mut stream| {
        counted[0].fetch_add(1, Ordering::AcqRel);
        while stream.read(&mut [0; 4096]).is_ok_and(|count| count > 0) {}
        counted[1].fetch_add(1, Ordering::AcqRel);
    });
    (address, counts)
}

/// Cancels a call: its completion comes, says so and how far it got, and is the only one.
fn assert_cancelled(client: &Client, ticket: u64, outcome: &str) {
    assert_eq!(client.cancel_submitted(ticket), "OK");
    let done = client.wait_for("COMPLETED");
    assert_eq!((&done["ticket"], &done["error"]["name"]), (&json!(ticket), &json!("CANCELLED")), "{done}");
    assert_eq!((&done["error"]["outcome"], &done["status"]), (&json!(outcome), &done["error"]["status"]), "{done}");
    assert_eq!(client.cancel_submitted(ticket), "TICKET");
    client.accept(ticket).1.refused("TICKET");
    a_while();
    assert_eq!(client.next_event(0), Ok(Value::Null), "one completion");
}

#[test]
fn a_cancel_reaches_a_call_that_has_not_begun_and_its_request_is_never_sent() {
    let (address, counts) = counting();
    let client = patient(&address);
    let first: Vec<u64> = (0..SIDE_BY_SIDE).map(|_| client.submit("borrow_license", &Value::Null).unwrap()).collect();
    let last = client.submit("borrow_license", &Value::Null).unwrap();
    until("four have begun", || counts[0].load(Ordering::Acquire) == SIDE_BY_SIDE);
    assert_cancelled(&client, last, "not_sent");
    for ticket in first {
        assert_cancelled(&client, ticket, "unknown");
    }
    assert_eq!(counts[0].load(Ordering::Acquire), SIDE_BY_SIDE);
}

#[test]
fn a_cancel_reaches_a_call_that_connects() {
    let (address, _queue) = swallowing();
    let client = patient(&address);
    let ticket = client.submit("borrow_license", &Value::Null).unwrap();
    a_while();
    assert_cancelled(&client, ticket, "not_sent");
}

#[test]
fn a_cancel_reaches_a_call_whose_connection_is_being_secured() {
    let url = format!("https://{}/api/v4", silent());
    let config =
        with(&believing(""), json!({"base_url": url, "timeout_ms": PATIENT_MS, "connect_timeout_ms": PATIENT_MS}));
    let client = Client::open(&config).unwrap();
    let ticket = client.submit("borrow_license", &Value::Null).unwrap();
    a_while();
    assert_cancelled(&client, ticket, "not_sent");
}

#[test]
fn a_cancel_reaches_a_call_that_waits_for_its_reply_reads_it_or_pauses_before_it_asks_again() {
    let demo = Demo::start();
    for (fault, outcome) in [
        (json!({"before": "hang"}), "unknown"),
        (json!({"after_commit": {"dribble": {"bytes": 1, "every_ms": 1000}}}), "unknown"),
        (json!({"before": {"http": {"status": 429, "retry_after_s": 60}}}), "rejected"),
    ] {
        let world = World::new(&demo, &Value::Null);
        let client = patient_in(&world, "my-desk", json!({}));
        world.only_fault(&fault);
        let ticket = client.submit("borrow_license", &Value::Null).unwrap();
        a_while();
        assert_cancelled(&client, ticket, outcome);
    }
}

#[test]
fn a_cancel_reaches_an_acquire_that_queues_for_a_seat_and_it_takes_none_later() {
    let demo = Demo::start();
    let world = World::new(&demo, &Value::Null);
    let colleagues = ["office-1", "office-2"].map(|name| patient_in(&world, name, json!({})));
    for colleague in &colleagues {
        colleague.call("check_license", &Value::Null).ok();
    }
    let client = patient_in(&world, "my-desk", json!({}));
    let ticket = client.submit("lease_acquire", &json!({"wait_ms": PATIENT_MS})).unwrap();
    client.wait_for("WAITING");
    // The server was asked, and has refused.
    assert_cancelled(&client, ticket, "rejected");
    for colleague in &colleagues {
        colleague.call("release_license", &Value::Null).ok();
    }
    a_while();
    assert_eq!(world.slots_of("my-desk"), []);
}

#[test]
fn a_cancel_reaches_an_acquire_at_the_gate_that_another_stands_in() {
    let demo = Demo::start();
    let world = World::new(&demo, &Value::Null);
    let folder = target_dir().join("submitted.gate");
    let _ = std::fs::remove_dir_all(&folder);
    let client = || patient_in(&world, "my-desk", json!({"storage_dir": folder}));
    let (first, second) = (client(), client());
    world.only_fault(&json!({"before": "hang"}));
    let inside = first.submit("lease_acquire", &Value::Null).unwrap();
    a_while();
    let outside = second.submit("lease_acquire", &Value::Null).unwrap();
    a_while();
    assert_cancelled(&second, outside, "not_sent");
    assert_cancelled(&first, inside, "unknown");
}

#[test]
fn a_cancel_reaches_an_operation_on_a_lease_and_one_that_waits_for_it() {
    let demo = Demo::start();
    let world = World::new(&demo, &Value::Null);
    let client = patient_in(&world, "my-desk", json!({}));
    let (lease, info) = client.acquire(&Value::Null);
    world.only_fault(&json!({"before": "hang"}));
    let renew = || client.submit("lease_renew", &json!({"lease": info["lease"]})).unwrap();
    let asking = renew();
    a_while();
    let waiting = renew();
    a_while();
    assert_cancelled(&client, waiting, "not_sent");
    assert_cancelled(&client, asking, "unknown");
    assert_eq!(lease.state(), "ACTIVE", "a cancel says nothing about the slot");
}

#[test]
fn as_many_run_as_max_parallel_allows_and_the_next_when_one_of_them_is_done() {
    let (address, counts) = counting();
    let client = patient(&address);
    let tickets: Vec<u64> =
        (0..=SIDE_BY_SIDE).map(|_| client.submit("borrow_license", &Value::Null).unwrap()).collect();
    until("four have begun", || counts[0].load(Ordering::Acquire) == SIDE_BY_SIDE);
    a_while();
    assert_eq!(counts[0].load(Ordering::Acquire), SIDE_BY_SIDE);
    assert_cancelled(&client, tickets[0], "unknown");
    until("the fifth has begun", || counts[0].load(Ordering::Acquire) == SIDE_BY_SIDE + 1);
}

#[test]
fn each_call_is_completed_once_with_its_own_reply_or_error() {
    let demo = Demo::start();
    let world = World::new(&demo, &Value::Null);
    let client = patient_in(&world, "my-desk", json!({}));
    let kinds = [
        ("check_license", Value::Null, "OK"),
        ("product_details", json!({}), "OK"),
        ("check_feature", json!({"feature": "NO SUCH"}), "INVALID_LICENSE_FEATURE_CODE"),
        ("borrow_license", json!({"feture": 1}), "UNKNOWN_KEY"),
        ("lease_acquire", json!({"keep_alive": "cat"}), "BAD_VALUE"),
        ("lease_renew", json!({"lease": 7}), "BAD_VALUE"),
        ("lease_renew", json!({}), "BAD_VALUE"),
    ];
    let mut expected = Vec::new();
    for _ in 0..20 {
        for (operation, request, status) in &kinds {
            expected.push((client.submit(operation, request).unwrap(), *status, *operation));
        }
    }
    let mut seen = BTreeSet::new();
    for _ in 0..expected.len() {
        let done = client.wait_for("COMPLETED");
        let ticket = done["ticket"].as_u64().unwrap();
        let (_, status, operation) = expected.iter().find(|(number, ..)| *number == ticket).unwrap();
        assert!(seen.insert(ticket), "twice: {done}");
        if *status == "OK" {
            assert!(done["status"] == 0 && done["reply"].is_object() && done.get("error").is_none(), "{done}");
            assert_eq!(done["reply"].get("product_name").is_some(), *operation == "product_details", "{done}");
        } else {
            assert_eq!((&done["error"]["name"], done.get("reply")), (&json!(status), None), "{done}");
        }
    }
    a_while();
    assert_eq!(client.next_event(0), Ok(Value::Null));
}

#[test]
fn an_unknown_operation_is_refused_at_once_and_has_no_completion() {
    let client = patient(&silent());
    for name in ["", "borow_license", "lease_accept", "lease_free", "next_event"] {
        assert_eq!(client.submit(name, &Value::Null), Err("UNKNOWN_OPERATION".to_owned()));
    }
    a_while();
    assert_eq!(client.next_event(0), Ok(Value::Null));
}

#[test]
fn a_thousand_may_be_under_way_or_unread() {
    let client = patient(&silent());
    let tickets: Vec<u64> = (0..MOST).map(|_| client.submit("borrow_license", &Value::Null).unwrap()).collect();
    let one_more = || client.submit("borrow_license", &Value::Null);
    assert_eq!(one_more(), Err("TOO_MANY_CALLS".to_owned()));
    assert_eq!(client.cancel_submitted(tickets[MOST - 1]), "OK");
    assert_eq!(client.cancel_submitted(tickets[0]), "OK");
    assert_eq!(one_more(), Err("TOO_MANY_CALLS".to_owned()), "they were not read");
    client.wait_for("COMPLETED");
    one_more().unwrap();
    assert_eq!(one_more(), Err("TOO_MANY_CALLS".to_owned()));
}

#[test]
fn a_close_ends_calls_that_are_under_way_and_those_in_the_line_and_who_waits_for_events() {
    let (address, counts) = counting();
    let client = patient(&address);
    let tickets: Vec<u64> = (0..20).map(|_| client.submit("borrow_license", &Value::Null).unwrap()).collect();
    until("four have begun", || counts[0].load(Ordering::Acquire) == SIDE_BY_SIDE);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            // The first completions may come just before the end.
            let cancelled = |event: &Value| event["error"]["name"] == "CANCELLED";
            loop {
                match client.next_event(PATIENT_MS) {
                    Ok(event) => assert!(cancelled(&event), "{event}"),
                    Err(status) => return status,
                }
            }
        });
        a_while();
        client.close();
        assert_eq!(waiting.join().unwrap(), "HANDLE");
    });
    assert_eq!(client.next_event(0), Err("HANDLE".to_owned()));
    assert_eq!(client.cancel_submitted(tickets[0]), "HANDLE");
    assert_eq!(client.submit("borrow_license", &Value::Null), Err("HANDLE".to_owned()));
    client.accept(tickets[0]).1.refused("HANDLE");
    until("their connections are gone", || counts[1].load(Ordering::Acquire) == SIDE_BY_SIDE);
    a_while();
    assert_eq!(counts[0].load(Ordering::Acquire), SIDE_BY_SIDE, "those in the line were never sent");
}

#[test]
fn a_lease_is_taken_renewed_borrowed_and_given_back_in_the_background() {
    let demo = Demo::start();
    let world = World::new(&demo, &Value::Null);
    let folder = target_dir().join("submitted.lease");
    let _ = std::fs::remove_dir_all(&folder);
    let client = patient_in(&world, "my-desk", json!({"storage_dir": folder}));
    let done = |operation: &str, request: Value| {
        let ticket = client.submit(operation, &request).unwrap();
        let done = client.wait_for("COMPLETED");
        assert_eq!(done["ticket"], ticket);
        (ticket, done)
    };
    let (ticket, taken) = done("lease_acquire", json!({}));
    let number = &taken["reply"]["lease"];
    let lease = client.accept(ticket).0.unwrap();
    for (operation, state) in [("lease_renew", "ACTIVE"), ("lease_borrow", "BORROWED"), ("lease_release", "RELEASED")] {
        let (_, done) = done(operation, json!({"lease": number}));
        assert_eq!((&done["reply"]["state"], &done["reply"]["lease"]), (&json!(state), number), "{done}");
        assert_eq!(lease.state(), state);
    }
    assert_eq!(world.slots_of("my-desk"), []);
    assert_eq!(done("lease_renew", json!({"lease": number})).1["error"]["name"], "LEASE_OVER");
    lease.free();
    assert_eq!(done("lease_renew", json!({"lease": number})).1["error"]["name"], "BAD_VALUE", "nobody holds it");
}

#[test]
fn a_lease_is_accepted_once_by_its_own_ticket_and_is_given_back_with_the_client_if_it_never_was() {
    let demo = Demo::start();
    let world = World::new(&demo, &Value::Null);
    let client = patient_in(&world, "my-desk", json!({}));
    let failed = client.submit("lease_acquire", &json!({"feature": "NO-SUCH"})).unwrap();
    client.wait_for("COMPLETED");
    let verb = client.submit("check_license", &Value::Null).unwrap();
    client.wait_for("COMPLETED");
    let ticket = client.submit("lease_acquire", &Value::Null).unwrap();
    client.wait_for("COMPLETED");
    for wrong in [failed, verb, 0, ticket + 1, u64::MAX] {
        let (lease, answer) = client.accept(wrong);
        answer.failed("TICKET", "not_sent");
        assert!(lease.is_none());
    }
    let (lease, info) = client.accept(ticket);
    assert_eq!((lease.unwrap().state(), &info.ok()["state"]), ("ACTIVE", &json!("ACTIVE")));
    client.accept(ticket).1.refused("TICKET");

    until("it is given back", || world.slots_of("my-desk").is_empty());
    client.submit("lease_acquire", &Value::Null).unwrap();
    client.wait_for("COMPLETED");
    assert_eq!(world.slots_of("my-desk").len(), 1);
    client.close();
    until("it is given back", || world.slots_of("my-desk").is_empty());
}

#[test]
fn the_cancel_of_a_client_ends_submitted_calls_that_have_begun_and_each_is_told() {
    let (address, counts) = counting();
    let client = patient(&address);
    let tickets: BTreeSet<u64> = (0..3).map(|_| client.submit("borrow_license", &Value::Null).unwrap()).collect();
    until("they have begun", || counts[0].load(Ordering::Acquire) == tickets.len());
    assert_eq!(client.cancel(), "OK");
    let mut told = BTreeSet::new();
    for _ in &tickets {
        let done = client.wait_for("COMPLETED");
        assert_eq!(done["error"]["name"], "CANCELLED");
        told.insert(done["ticket"].as_u64().unwrap());
    }
    assert_eq!(told, tickets);
}
