//! Many calls in the background at once, through the C ABI: each keeps its deadline, none waits for another, and what
//! releases or renews overtakes what asks.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use support::abi::Client;
use support::sandbox::World;
use support::stub::{between, silent};
use support::{Demo, believing, with};

/// Each test counts the threads of this process, so no other one runs meanwhile.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The calls that a host submits at once.
const BURST: usize = 50;
/// Far longer than a test may take.
const PATIENT_MS: u64 = 120_000;

/// A client of a world with these changes to its config, on an activated device.
fn client_in(world: &World, hardware_id: &str, changes: &Value) -> Client {
    let client = Client::open(&with(&world.config(hardware_id), changes.clone())).unwrap();
    client.call("activate_license", &Value::Null).ok();
    client
}

/// Two devices that hold all slots of the license.
fn colleagues(world: &World) -> [Client; 2] {
    ["office-1", "office-2"].map(|hardware_id| {
        let colleague = client_in(world, hardware_id, &json!({}));
        colleague.call("check_license", &Value::Null).ok();
        colleague
    })
}

/// Reads the completions of these tickets, each of which comes once, and returns them.
fn completions(client: &Client, tickets: &[u64]) -> Vec<Value> {
    let mut open: BTreeSet<u64> = tickets.iter().copied().collect();
    let read = tickets.iter().map(|_| {
        let done = client.wait_for("COMPLETED");
        assert!(open.remove(&done["ticket"].as_u64().unwrap()), "twice, or never submitted: {done}");
        done
    });
    read.collect()
}

fn submit_many(client: &Client, many: usize, operation: &str, request: &Value) -> Vec<u64> {
    (0..many).map(|_| client.submit(operation, request).unwrap()).collect()
}

fn names(completions: &[Value]) -> BTreeSet<String> {
    completions.iter().map(|done| done["error"]["name"].as_str().unwrap_or("OK").to_owned()).collect()
}

/// The threads of the library in this process.
fn threads() -> usize {
    let names = std::fs::read_dir("/proc/self/task").unwrap().flatten();
    names
        .filter(|task| std::fs::read_to_string(task.path().join("comm")).is_ok_and(|name| name == "floatlease\n"))
        .count()
}

/// The server answers nobody until all of them have asked, so calls that went one after the other would all fail.
#[test]
fn calls_that_are_submitted_together_are_under_way_together() {
    let _alone = alone();
    for many in [BURST, 200] {
        let demo = Demo::start();
        let world = World::new(&demo, &Value::Null);
        let all_are_here = Arc::new(Barrier::new(many));
        let meets = Arc::clone(&all_are_here);
        let address = between(
            demo.address(),
            move |request| {
                meets.wait();
                request
            },
            |reply| reply.bytes(),
        );
        let config = with(&world.config("hw-1"), json!({"max_parallel": many, "timeout_ms": 20_000}));
        let base_url = config["base_url"].as_str().unwrap().replace(&demo.address(), &address);
        client_in(&world, "hw-1", &json!({}));
        let client = Client::open(&with(&config, json!({"base_url": base_url}))).unwrap();
        let tickets = submit_many(&client, many, "check_feature", &json!({"feature": "MESH"}));
        assert_eq!(names(&completions(&client, &tickets)), BTreeSet::from(["OK".to_owned()]));
    }
}

#[test]
fn each_call_ends_at_its_deadline_also_if_its_turn_never_comes() {
    let _alone = alone();
    for (scheme, max_parallel, many) in
        [("http", 1, BURST), ("http", 4, BURST), ("http", 64, 1_000), ("https", 64, 1_000), ("http", 1_000, 1_000)]
    {
        let address = silent();
        let base_url = format!("{scheme}://{address}/api/v4");
        let limits = json!({"base_url": base_url, "max_parallel": max_parallel, "timeout_ms": 1_000});
        let config = with(&believing(&address), limits);
        let client = Client::open(&config).unwrap();
        let started = Instant::now();
        let tickets = submit_many(&client, many, "check_license", &Value::Null);
        let done = completions(&client, &tickets);
        // Called one after the other, they would take as many seconds.
        assert!(started.elapsed() < Duration::from_secs(8), "{max_parallel}: {:?}", started.elapsed());
        assert_eq!(names(&done), BTreeSet::from(["TIMEOUT".to_owned()]));
        let is_sent = |done: &&Value| done["error"]["outcome"] == "unknown";
        assert_eq!(done.iter().any(|done| is_sent(&done)), scheme == "http", "TLS is not made");
        let never_sent = done.iter().filter(|done| done["error"]["outcome"] == "not_sent").count();
        // The first ones that end make room for others, which end at once.
        assert!(never_sent + 2 * max_parallel >= many, "{max_parallel}: {never_sent}");
    }
}

#[test]
fn release_waits_neither_for_calls_that_hang_nor_for_acquires_that_wait() {
    let _alone = alone();
    let demo = Demo::start();
    let world = World::new(&demo, &Value::Null);
    for max_parallel in [1, 64] {
        let client = client_in(&world, "hw-1", &json!({"max_parallel": max_parallel, "timeout_ms": PATIENT_MS}));
        let (lease, info) = client.acquire(&Value::Null);
        let hang = json!({"match": {"operation": "check_feature"}, "do": {"before": "hang"}});
        world.control("PUT /faults", &json!({ "faults": [hang] }));
        submit_many(&client, BURST, "check_feature", &json!({"feature": "MESH"}));
        for operation in ["lease_renew", "lease_release"] {
            let ticket = client.submit(operation, &json!({"lease": info["lease"], "timeout_ms": 20_000})).unwrap();
            let done = client.wait_for("COMPLETED");
            assert_eq!((&done["ticket"], &done["status"]), (&json!(ticket), &json!(0)), "{operation}: {done}");
        }
        assert_eq!((lease.state(), world.slots_of("hw-1").len()), ("RELEASED", 0));
        world.control("DELETE /faults", &Value::Null);
    }
}

#[test]
fn thousand_acquires_that_wait_for_a_slot_take_no_thread_and_no_place() {
    let _alone = alone();
    let demo = Demo::start();
    let world = World::new(&demo, &Value::Null);
    let colleagues = colleagues(&world);
    let client = client_in(&world, "hw-1", &json!({"max_parallel": 4, "timeout_ms": 20_000}));
    let tickets = submit_many(&client, 900, "lease_acquire", &json!({"wait_ms": PATIENT_MS}));
    for _ in &tickets {
        client.wait_for("WAITING");
    }
    // Four at most ask at this moment, one waits for what is due, and one would renew.
    assert!(threads() <= 2 * (4 + 2), "{}", threads());
    let asked = client.submit("product_details", &json!({})).unwrap();
    assert_eq!(client.wait_for("COMPLETED")["ticket"], asked);
    let (cancelled, waiting) = tickets.split_at(899);
    for ticket in cancelled {
        assert_eq!(client.cancel_submitted(*ticket), "OK");
    }
    assert_eq!(names(&completions(&client, cancelled)), BTreeSet::from(["CANCELLED".to_owned()]));
    colleagues[0].call("release_license", &Value::Null).ok();
    assert_eq!(names(&completions(&client, waiting)), BTreeSet::from(["OK".to_owned()]));
    assert_eq!(client.accept(waiting[0]).0.unwrap().state(), "ACTIVE");
}

#[test]
fn cancel_of_the_client_ends_acquires_that_wait() {
    let _alone = alone();
    let demo = Demo::start();
    let world = World::new(&demo, &Value::Null);
    let _colleagues = colleagues(&world);
    let client = client_in(&world, "hw-1", &json!({}));
    let tickets = submit_many(&client, 3, "lease_acquire", &json!({"wait_ms": PATIENT_MS}));
    tickets.iter().for_each(|_| _ = client.wait_for("WAITING"));
    assert_eq!(client.cancel(), "OK");
    assert_eq!(names(&completions(&client, &tickets)), BTreeSet::from(["CANCELLED".to_owned()]));
}

/// Each ticket has one completion, whenever it is cancelled, and no thread stays.
#[test]
fn cancels_at_any_moment_leave_one_completion_each_and_no_thread() {
    let _alone = alone();
    let demo = Demo::start();
    let world = World::new(&demo, &Value::Null);
    for max_parallel in [1, 64, 1_000] {
        let client = client_in(&world, "hw-1", &json!({"max_parallel": max_parallel, "timeout_ms": 30_000}));
        let mut tickets = Vec::new();
        let seed = AtomicUsize::new(max_parallel);
        for at in 0..600_u32 {
            let operation = ["product_details", "check_feature", "lease_acquire"][at as usize % 3];
            let request = if operation == "product_details" { json!({}) } else { json!({"feature": "MESH"}) };
            tickets.push(client.submit(operation, &request).unwrap());
            // A sequence that looks random: the multiplier is Knuth's.
            let drawn = seed.fetch_add(1, Ordering::Relaxed).wrapping_mul(2_654_435_761) % tickets.len();
            if at % 2 == 0 {
                // It may be done already.
                client.cancel_submitted(tickets[drawn]);
            }
        }
        let ended = names(&completions(&client, &tickets));
        assert!(ended.is_subset(&["OK", "CANCELLED"].map(str::to_owned).into()), "{ended:?}");
        client.close();
    }
    let end = Instant::now() + Duration::from_secs(30);
    while threads() > 0 {
        assert!(Instant::now() < end, "{} threads stay", threads());
        std::thread::sleep(Duration::from_millis(20));
    }
}
