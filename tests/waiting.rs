//! Nothing here freezes the host: cancelling, closing and repeating, also while a server says nothing.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use serde_json::{Value, json};
use std::time::{Duration, Instant};
use support::abi::Client;
use support::sandbox::World;
use support::stub::{between_at, swallowing};
use support::{Demo, believing, with};

fn client(address: &str, changes: Value) -> Client {
    Client::open(&with(&believing(address), changes)).unwrap()
}

/// A client of a world in which this happens to every request, and what must be kept for as long.
fn client_under(what: Value, changes: Value) -> (Client, (World, Demo)) {
    let demo = Demo::start();
    let world = World::with_fault(&demo, &what);
    let client = Client::open(&with(&world.config("hw-1"), changes)).unwrap();
    (client, (world, demo))
}

/// A client of a server that says nothing.
fn client_of_silence(changes: Value) -> (Client, (World, Demo)) {
    client_under(json!({"before": "hang"}), changes)
}

#[test]
fn an_address_that_swallows_packets_ends_the_attempt_at_the_connect_timeout() {
    let (address, _queue) = swallowing();
    let client = client(&address, json!({"connect_timeout_ms": 100}));
    let started = Instant::now();
    let error = client.call("borrow_license", &json!({"timeout_ms": 300})).failed("TIMEOUT", "not_sent");
    assert!(started.elapsed() < Duration::from_millis(400), "{:?}", started.elapsed());
    assert!(error["attempts"].as_u64() >= Some(2), "what was not sent is tried again: {error}");
}

/// `localhost` has two addresses. The first one swallows what is sent to it, the second one leads to a server.
#[test]
fn dead_first_address_costs_little_of_connect_timeout() {
    let demo = Demo::start();
    let (address, _queue) = swallowing();
    let port = address.rsplit(':').next().unwrap();
    between_at(&format!("[::1]:{port}"), demo.address(), |request| request, |reply| reply.bytes());
    let patient = json!({"timeout_ms": 60_000, "connect_timeout_ms": 60_000});
    let by_name = json!({"base_url": format!("http://localhost:{port}/api/v4")});
    let client = Client::open(&with(&with(&demo.config("hw-1"), by_name), patient)).unwrap();
    let started = Instant::now();
    client.call("activate_license", &Value::Null).ok();
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
}

#[test]
fn a_refused_connection_is_not_sent_and_tried_again() {
    // Nobody listens there: a port that was free a moment ago might be another test's by now.
    let error = client("127.0.0.1:9", json!({})).call("borrow_license", &json!({})).failed("CONNECT", "not_sent");
    assert_eq!((&error["attempts"], &error["retryable"]), (&json!(4), &json!(true)));
    assert!(error["message"].as_str().unwrap().contains("refused"), "{error}");
}

#[test]
fn a_name_that_does_not_exist_is_a_dns_error() {
    let client = client("no-such-host.invalid", json!({"allow_http": true, "proxy": "none"}));
    client.call("borrow_license", &json!({"timeout_ms": 3000})).failed("DNS", "not_sent");
}

#[test]
fn cancel_wakes_every_call_in_flight_and_touches_no_later_one() {
    let (client, _server) = client_of_silence(json!({}));
    let started = Instant::now();
    std::thread::scope(|scope| {
        let calls: Vec<_> = (0..8)
            .map(|index| {
                let verb = if index % 2 == 0 { "check_license" } else { "borrow_license" };
                let client = &client;
                scope.spawn(move || client.call(verb, &Value::Null))
            })
            .collect();
        std::thread::sleep(Duration::from_millis(200));
        assert_eq!(client.cancel(), "OK");
        for call in calls {
            call.join().unwrap().failed("CANCELLED", "unknown");
        }
    });
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    client.call("check_license", &json!({"timeout_ms": 50})).refused("TIMEOUT");
}

#[test]
fn cancel_wakes_a_connection_attempt_and_a_pause_between_attempts() {
    let patient = || json!({"timeout_ms": 60_000, "connect_timeout_ms": 30_000});
    let (swallowing, _queue) = swallowing();
    let (busy, _server) = client_under(json!({"before": {"http": {"status": 429, "retry_after_s": 20}}}), patient());
    for (client, outcome) in [(client(&swallowing, patient()), "not_sent"), (busy, "rejected")] {
        let started = Instant::now();
        std::thread::scope(|scope| {
            let call = scope.spawn(|| client.call("borrow_license", &Value::Null));
            std::thread::sleep(Duration::from_millis(200));
            assert_eq!(client.cancel(), "OK");
            call.join().unwrap().failed("CANCELLED", outcome);
        });
        assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    }
}

#[test]
fn cancel_wakes_a_diagnosis() {
    let (client, _server) = client_of_silence(json!({"timeout_ms": 60_000}));
    std::thread::scope(|scope| {
        let report = scope.spawn(|| client.try_diagnose());
        std::thread::sleep(Duration::from_millis(200));
        client.cancel();
        report.join().unwrap().refused("CANCELLED");
    });
}

#[test]
fn a_call_that_races_with_close_ends_at_once() {
    let demo = Demo::start();
    let world = World::silent(&demo);
    for round in 0..200_u64 {
        let client = Client::open(&with(&world.config("hw-1"), json!({"timeout_ms": 60_000}))).unwrap();
        let started = Instant::now();
        std::thread::scope(|scope| {
            let call = scope.spawn(|| client.call("borrow_license", &Value::Null));
            std::thread::sleep(Duration::from_micros(round * 5));
            client.close();
            let status = call.join().unwrap().status;
            assert!(["CANCELLED", "HANDLE"].contains(&status.as_str()), "{status}");
        });
        assert!(started.elapsed() < Duration::from_secs(2), "round {round}: {:?}", started.elapsed());
    }
}

#[test]
fn closing_a_client_wakes_its_calls_and_waits_for_nothing() {
    let (client, _server) = client_of_silence(json!({}));
    std::thread::scope(|scope| {
        let call = scope.spawn(|| client.call("borrow_license", &Value::Null));
        std::thread::sleep(Duration::from_millis(100));
        let started = Instant::now();
        client.close();
        assert!(started.elapsed() < Duration::from_millis(100));
        call.join().unwrap().failed("CANCELLED", "unknown");
    });
    client.call("check_license", &Value::Null).refused("HANDLE");
    assert_eq!(client.cancel(), "HANDLE");
}

#[test]
fn retry_after_is_honoured_and_reported() {
    let (client, _server) = client_under(json!({"before": {"http": {"status": 429, "retry_after_s": 100}}}), json!({}));
    let error = client.call("borrow_license", &Value::Null).failed("RATE_LIMITED", "rejected");
    assert_eq!((&error["retry_after_ms"], &error["attempts"]), (&json!(100_000), &json!(1)));
}

#[test]
fn an_error_of_the_server_is_asked_again_but_nothing_is_borrowed_twice() {
    let (client, _server) = client_under(json!({"before": {"http": {"status": 503}}}), json!({}));
    assert_eq!(client.call("check_license", &Value::Null).failed("SERVER_ERROR", "unknown")["attempts"], 4);
    assert_eq!(client.call("borrow_license", &Value::Null).failed("SERVER_ERROR", "unknown")["attempts"], 1);
}
