//! A call ends within 100 ms of its deadline, whatever the server does. Alone in its process, so that no other test takes
//! the processor meanwhile.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use serde_json::json;
use std::time::{Duration, Instant};
use support::abi::Client;
use support::{believing, stub};

/// The bound of the promise, not a measurement: a call that hangs would take seconds.
fn ends_at_its_deadline(started: Instant, deadline_ms: u64) {
    let elapsed = started.elapsed();
    let deadline = Duration::from_millis(deadline_ms);
    assert!(elapsed >= deadline && elapsed < deadline + Duration::from_millis(100), "{elapsed:?}");
}

#[test]
fn a_server_that_never_answers_ends_the_call_at_its_deadline() {
    let client = Client::open(&believing(&stub::silent())).unwrap();
    for (verb, request) in
        [("check_license", json!({"timeout_ms": 300})), ("borrow_license", json!({"timeout_ms": 300}))]
    {
        let started = Instant::now();
        let error = client.call(verb, &request).failed("TIMEOUT", "unknown");
        ends_at_its_deadline(started, 300);
        assert_eq!(error["attempts"], 1);
    }
}

#[test]
fn a_server_that_dribbles_ends_the_call_at_its_deadline() {
    let address = stub::listen(|mut stream| {
        use std::io::Write;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n");
        while stream.write_all(b"X: y\r\n").is_ok() {
            std::thread::sleep(Duration::from_millis(10));
        }
    });
    let started = Instant::now();
    Client::open(&believing(&address))
        .unwrap()
        .call("check_license", &json!({"timeout_ms": 300}))
        .failed("TIMEOUT", "unknown");
    ends_at_its_deadline(started, 300);
}
