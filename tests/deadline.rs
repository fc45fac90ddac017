//! A call ends within 100 ms of its deadline, whatever the server does. Alone in its process, so that no other test takes
//! the processor meanwhile.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use serde_json::{Value, json};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};
use support::Demo;
use support::sandbox::World;

/// The bound of the promise, not a measurement: a call that hangs would take seconds.
fn ends_at_its_deadline(elapsed: Duration, deadline_ms: u64) {
    let deadline = Duration::from_millis(deadline_ms);
    assert!(elapsed >= deadline && elapsed < deadline + Duration::from_millis(100), "{elapsed:?}");
}

/// Makes a call on a thread of its own, so that one that hangs fails the test instead of hanging it too.
fn call(world: &World, verb: &'static str) -> Value {
    let client = world.client("hw-1");
    let (done, answer) = mpsc::channel();
    thread::spawn(move || {
        let started = Instant::now();
        let answer = client.call(verb, &json!({"timeout_ms": 300}));
        let _ = done.send((answer, started.elapsed()));
    });
    let (answer, elapsed) = answer.recv_timeout(Duration::from_secs(10)).expect("the call hangs");
    ends_at_its_deadline(elapsed, 300);
    answer.failed("TIMEOUT", "unknown")
}

#[test]
fn a_server_that_never_answers_ends_the_call_at_its_deadline() {
    let demo = Demo::start();
    let world = World::silent(&demo);
    for verb in ["check_license", "borrow_license"] {
        assert_eq!(call(&world, verb)["attempts"], 1);
    }
}

#[test]
fn a_server_that_dribbles_ends_the_call_at_its_deadline() {
    let demo = Demo::start();
    let world = World::with_fault(&demo, &json!({"after_commit": {"dribble": {"bytes": 1, "every_ms": 10}}}));
    call(&world, "check_license");
}
