//! A client that is closed: calls that come too late say so, and its connections are gone.
#![cfg(target_os = "linux")]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use serde_json::{Value, json};
use std::sync::Barrier;
use std::thread;
use support::abi::{Client, Lease};
use support::holder::until;
use support::oauth;
use support::sandbox::World;
use support::{Demo, with};

/// Clients, and threads that race with a close.
const MANY: usize = 50;

/// A world with a slot for each of many devices.
fn spacious_world(demo: &Demo) -> World {
    let catalogue = json!({
        "api_key": [{ "key": "key", "shared_key": "shared-key" }],
        "product": [{ "code": "P" }],
        "license": [{ "license_key": "AAAA-AAAA-AAAA-AAAA", "product": "P", "allow_unlimited_activations": true,
                      "floating": { "users": 1_000_000, "timeout_minutes": 120 } }],
    });
    World::new(demo, &json!({ "catalogue": catalogue }))
}

fn message(error: &Value) -> &str {
    error["message"].as_str().unwrap()
}

/// A client with a lease.
fn holder(config: &Value) -> (Client, Lease) {
    let client = Client::open(config).unwrap();
    client.call("activate_license", &Value::Null).ok();
    let lease = client.acquire(&Value::Null).0;
    (client, lease)
}

/// The number of this process's sockets that are connected to an address.
fn connections_to(address: &str) -> usize {
    let port: u16 = address.rsplit(':').next().unwrap().parse().unwrap();
    let remote = format!("0100007F:{port:04X}");
    let table = std::fs::read_to_string("/proc/self/net/tcp").unwrap();
    // The inode is 0 once the socket has no descriptor.
    let is_open = |line: &&str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        fields[2] == remote && fields[9] != "0"
    };
    table.lines().skip(1).filter(is_open).count()
}

#[test]
fn call_that_comes_too_late_says_that_client_was_closed() {
    let demo = Demo::start();
    let (client, lease) = holder(&demo.config("late"));
    client.close();
    let answers = [
        client.call("check_license", &Value::Null),
        client.call_by_name("products", &Value::Null),
        client.try_diagnose(),
        client.try_acquire(&Value::Null).1,
        client.accept(1).1,
        client.next_event_or_error(0),
    ];
    for error in answers.map(|answer| answer.refused("HANDLE")) {
        assert!(message(&error).starts_with("The client was closed"), "{error}");
    }
    let error = lease.renew().refused("LEASE_OVER");
    assert!(message(&error).contains("its client was closed"), "{error}");
    lease.free();
    for answer in [lease.renew(), lease.borrow(&Value::Null), lease.release()] {
        let error = answer.refused("HANDLE");
        assert!(message(&error).starts_with("The lease was freed"), "{error}");
    }
}

#[test]
fn call_that_races_with_close_says_that_client_was_closed() {
    let demo = Demo::start();
    let world = World::new(&demo, &json!({ "faults": [{ "do": { "before": { "delay": { "fixed_ms": 30 } } } }] }));
    for round in 0..10 {
        let client = Client::open(&with(&world.config("racer"), json!({ "timeout_ms": 60_000 }))).unwrap();
        let begun = Barrier::new(9);
        let refusals: Vec<Value> = thread::scope(|scope| {
            let calls: Vec<_> = (0..8)
                .map(|number| {
                    let (client, begun) = (&client, &begun);
                    scope.spawn(move || {
                        begun.wait();
                        let refused = |_| {
                            let answer = match number % 4 {
                                0 => client.call("check_license", &Value::Null),
                                1 => client.try_acquire(&Value::Null).1,
                                2 => client.next_event_or_error(5),
                                _ => client.try_diagnose(),
                            };
                            ["HANDLE", "CANCELLED"].contains(&answer.status.as_str()).then_some(answer.json)
                        };
                        (0..).find_map(refused).unwrap()
                    })
                })
                .collect();
            begun.wait();
            thread::sleep(std::time::Duration::from_millis(round * 5));
            client.close();
            calls.into_iter().map(|call| call.join().unwrap()).collect()
        });
        for error in refusals {
            assert!(message(&error).contains("The client was closed"), "{error}");
        }
    }
}

#[test]
fn closed_client_leaves_no_connection_while_its_lease_has_a_handle() {
    let demo = Demo::start();
    let world = spacious_world(&demo);
    let held: Vec<_> = (0..MANY).map(|number| holder(&world.config(&format!("device-{number}")))).collect();
    assert!(connections_to(&demo.address()) >= MANY);
    held.iter().for_each(|(client, _)| client.close());
    until("every slot is released", || world.control("GET /slots", &Value::Null)["slots"] == json!([]));
    until("every connection is closed", || connections_to(&demo.address()) == 0);
    assert!(held.iter().all(|(_, lease)| lease.state() == "RELEASED"));
}

#[test]
fn closed_client_leaves_no_connection_at_once_if_its_host_releases() {
    let demo = Demo::start();
    let world = World::new(&demo, &json!({}));
    let client = oauth::active_client(&world, "token-holder");
    let _lease = client.acquire(&json!({ "keep_alive": "host" }));
    assert_eq!(connections_to(&demo.address()), 2, "one to the API, one to the token endpoint");
    client.close();
    assert_eq!(connections_to(&demo.address()), 0);
}

/// The release of the slot gets no answer, and is repeated for a while after the close.
#[test]
fn closed_client_leaves_no_connection_while_it_waits_to_repeat_a_release() {
    let demo = Demo::start();
    let world = World::new(&demo, &json!({ "order": false }));
    let (client, _lease) = holder(&with(&world.config("repeater"), json!({ "timeout_ms": 1_000 })));
    let fault = json!({ "match": { "operation": "release_license" }, "when": { "times": 1 },
                        "do": { "after_commit": "close" } });
    world.control("PUT /faults", &json!({ "faults": [fault] }));
    client.close();
    let releases = json!({ "operation": "release_license" });
    until("the release is repeated", || oauth::count(&world, &releases) == 2);
    until("the connection is closed", || connections_to(&demo.address()) == 0);
}
