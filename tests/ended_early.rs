//! Acquires and waits that end early, or do not: by a close, by a cancel, by an outage while they queue.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use serde_json::{Value, json};
use std::time::Duration;
use support::Demo;
use support::sandbox::World;

const DEVICE: &str = "desk";

fn world(demo: &Demo) -> World {
    let world = World::new(demo, &json!({}));
    world.client(DEVICE).call("activate_license", &Value::Null).ok();
    world
}

#[test]
fn acquire_that_queues_outlasts_an_outage() {
    let demo = Demo::start();
    let world = world(&demo);
    let client = world.client(DEVICE);
    world.only_fault(&json!({ "before": { "http": { "status": 503 } } }));
    let ticket = client.submit("lease_acquire", &json!({ "wait_ms": 60_000 })).unwrap();
    let waiting = client.wait_for("WAITING");
    assert_eq!(waiting["name"], "SERVER_ERROR", "{waiting}");
    world.control("DELETE /faults", &Value::Null);
    client.wait_for("COMPLETED");
    let (lease, _) = client.accept(ticket);
    assert_eq!(lease.unwrap().state(), "ACTIVE");
    // What waiting does not mend ends the queue at once.
    world.only_fault(&json!({ "before": { "code": "license_expired" } }));
    client.try_acquire(&json!({ "wait_ms": 60_000, "feature": "MESH" })).1.refused("LICENSE_EXPIRED");
}

#[test]
fn acquire_that_meets_close_tells_whether_slot_was_asked_for() {
    let demo = Demo::start();
    for round in 0..100_u64 {
        let world = world(&demo);
        let client = world.client(DEVICE);
        std::thread::scope(|scope| {
            let acquire = scope.spawn(|| client.try_acquire(&json!({ "release_on_close_ms": 0 })));
            std::thread::sleep(Duration::from_micros(round * 40));
            client.close();
            let (lease, answer) = acquire.join().unwrap();
            if answer.status != "OK" && answer.json["outcome"] == "not_sent" {
                assert_eq!(world.slots_of(DEVICE), [], "round {round}: {}", answer.json);
            }
            drop(lease);
        });
    }
}

#[test]
fn cancel_reaches_wait_of_host_kept_client_whenever_it_comes() {
    let demo = Demo::start();
    let world = world(&demo);
    std::thread::scope(|scope| {
        for round in 0..60_u64 {
            let world = &world;
            scope.spawn(move || {
                let client = world.client(DEVICE);
                let (_lease, _) = client.acquire(&json!({ "keep_alive": "host" }));
                std::thread::scope(|scope| {
                    let waiting = scope.spawn(|| client.next_event(3_000));
                    // The wait is a row of naps, half a second each: the cancel comes around the end of the first.
                    std::thread::sleep(Duration::from_micros(495_000 + round * 200));
                    client.cancel();
                    assert_eq!(waiting.join().unwrap(), Err("CANCELLED".to_owned()), "round {round}");
                });
            });
        }
    });
}
