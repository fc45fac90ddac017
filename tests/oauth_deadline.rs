//! A call ends within 100 ms of its deadline, whatever the token endpoint does. Alone in its process, so that no other test
//! takes the processor meanwhile.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use serde_json::{Value, json};
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};
use support::abi::Client;
use support::oauth::{CALLS, active_client, config, count, only_at_token_endpoint, tokens_asked_for};
use support::sandbox::World;
use support::{Demo, with};

const DEVICE: &str = "desk";
const DEADLINE: Duration = Duration::from_millis(600);

/// Many calls at once, each of which must fail at its deadline.
fn all_end_at_their_deadline(client: &Client, verb: &str) {
    let barrier = Barrier::new(CALLS);
    let call = || {
        barrier.wait();
        let started = Instant::now();
        let answer = client.call(verb, &json!({ "timeout_ms": DEADLINE.as_millis() }));
        (answer, started.elapsed())
    };
    thread::scope(|scope| {
        let calls: Vec<_> = (0..CALLS).map(|_| scope.spawn(call)).collect();
        for call in calls {
            let (answer, elapsed) = call.join().unwrap();
            answer.refused("TIMEOUT");
            assert!(elapsed >= DEADLINE && elapsed < DEADLINE + Duration::from_millis(100), "{elapsed:?}");
        }
    });
}

#[test]
fn calls_end_at_their_deadline_and_by_cancel_whatever_token_endpoint_does() {
    let demo = Demo::start();
    let world = World::new(&demo, &json!({}));
    // No call has a token yet.
    for what in [json!({ "before": "hang" }), json!({ "after_commit": { "dribble": { "bytes": 1, "every_ms": 20 } } })]
    {
        only_at_token_endpoint(&world, &what);
        world.control("DELETE /journal", &Value::Null);
        let client = Client::open(&config(&world, DEVICE)).unwrap();
        all_end_at_their_deadline(&client, "borrow_license");
        assert_eq!(tokens_asked_for(&world), 1, "{what}");
        assert_eq!(count(&world, &json!({ "operation": "borrow_license" })), 0);
    }
    // Each call has one, which has expired.
    world.control("DELETE /faults", &Value::Null);
    let client = active_client(&world, DEVICE);
    only_at_token_endpoint(&world, &json!({ "before": "hang" }));
    world.control("POST /tokens/expire", &Value::Null);
    world.control("DELETE /journal", &Value::Null);
    all_end_at_their_deadline(&client, "check_license");
    assert_eq!(tokens_asked_for(&world), 1);

    // A cancel ends each of them, the one that fetches and those that wait.
    let client = Client::open(&with(&config(&world, DEVICE), json!({ "timeout_ms": 60_000 }))).unwrap();
    thread::scope(|scope| {
        let call = || {
            client.call("check_license", &Value::Null).failed("CANCELLED", "not_sent");
            Instant::now()
        };
        let calls: Vec<_> = (0..8).map(|_| scope.spawn(call)).collect();
        thread::sleep(Duration::from_millis(300));
        let cancelled = Instant::now();
        assert_eq!(client.cancel(), "OK");
        for call in calls {
            let took = call.join().unwrap().saturating_duration_since(cancelled);
            assert!(took < Duration::from_millis(50), "{took:?}");
        }
    });
}
