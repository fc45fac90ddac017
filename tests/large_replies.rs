//! Replies that are larger than the library reads: they have statuses of their own, are not asked for again, and leave no
//! slot behind.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use serde_json::{Value, json};
use std::time::{Duration, Instant};
use support::abi::Client;
use support::sandbox::World;
use support::stub::{Message, between};
use support::tls::Authority;
use support::{Demo, with};

/// The longest head of a reply that is read.
const LONGEST_HEAD_BYTES: usize = 64 * 1024;

/// Adds a header, so that status line, headers and empty line are of this length.
fn with_head_of(bytes: usize, reply: Message) -> Vec<u8> {
    let name = "X-Policy";
    let usual = reply.clone().with_header(name, "").bytes().len() - reply.body.len();
    let altered = reply.with_header(name, &"x".repeat(bytes - usual));
    assert_eq!(altered.bytes().len() - altered.body.len(), bytes);
    altered.bytes()
}

fn with_headers(count: usize, mut reply: Message) -> Vec<u8> {
    (0..count).for_each(|number| reply.head += &format!("\r\nX-Policy-{number}: x"));
    reply.bytes()
}

/// A reply of more than 1 MiB.
fn with_large_body(mut reply: Message) -> Vec<u8> {
    reply.body.resize(1024 * 1024 + 1, b' ');
    reply.bytes()
}

/// A client of the world whose replies pass through `alter`, if they hold an object.
fn client(world: &World, demo: &Demo, alter: impl Fn(Message) -> Vec<u8> + Clone + Send + 'static) -> Client {
    let alter = move |reply: Message| if reply.body.len() > 2 { alter(reply) } else { reply.bytes() };
    let address = between(demo.address(), |request| request, alter);
    let changes = json!({ "base_url": format!("http://{address}/api/v4") });
    Client::open(&with(&world.config("hw-1"), changes)).unwrap()
}

fn activated(demo: &Demo) -> World {
    let world = World::new(demo, &json!({}));
    world.client("hw-1").call("activate_license", &Value::Null).ok();
    world
}

#[test]
fn headers_of_64_kib_are_read_by_plain_http_and_tls() {
    let (demo, authority) = (Demo::start(), Authority::new());
    let world = activated(&demo);
    let plain = client(&world, &demo, |reply| with_head_of(LONGEST_HEAD_BYTES, reply));
    plain.call("check_license", &Value::Null).ok();

    let large = between(demo.address(), |request| request, |reply| with_head_of(LONGEST_HEAD_BYTES, reply));
    let front = authority.front(large, &["localhost"], false);
    let port = front.rsplit(':').next().unwrap();
    let secure = json!({ "base_url": format!("https://localhost:{port}/api/v4"), "tls_roots": authority.pem() });
    let secure = Client::open(&with(&world.config("hw-1"), secure)).unwrap();
    secure.call("check_license", &Value::Null).ok();
}

#[test]
fn larger_headers_have_status_of_their_own() {
    let demo = Demo::start();
    let world = activated(&demo);
    let clients = [
        client(&world, &demo, |reply| with_head_of(LONGEST_HEAD_BYTES + 1, reply)),
        client(&world, &demo, |reply| with_head_of(10 * LONGEST_HEAD_BYTES, reply)),
        client(&world, &demo, |reply| with_headers(200, reply)),
    ];
    for client in clients {
        let error = client.call("check_license", &Value::Null).failed("REPLY_HEADERS_TOO_LARGE", "unknown");
        assert_eq!(error["attempts"], 1, "{error}");
        assert_eq!(error["retryable"], false, "{error}");
        assert!(!error["advice"].as_str().unwrap().contains("base_url"), "{error}");
    }
}

#[test]
fn larger_body_is_no_fault_of_base_url() {
    let demo = Demo::start();
    let world = activated(&demo);
    let client = client(&world, &demo, with_large_body);
    let error = client.call("check_license", &Value::Null).failed("REPLY_TOO_LARGE", "unknown");
    assert_eq!(error["attempts"], 1, "{error}");
    assert!(!error["advice"].as_str().unwrap().contains("base_url"), "{error}");
}

#[test]
fn acquire_with_too_large_reply_leaves_no_slot() {
    let demo = Demo::start();
    let world = activated(&demo);
    let clients = [
        (client(&world, &demo, with_large_body), "REPLY_TOO_LARGE"),
        (client(&world, &demo, |reply| with_headers(200, reply)), "REPLY_HEADERS_TOO_LARGE"),
    ];
    for (client, status) in clients {
        let (lease, answer) = client.try_acquire(&Value::Null);
        answer.refused(status);
        assert!(lease.is_none());
        let patience = Instant::now() + Duration::from_secs(60);
        while !world.slots_of("hw-1").is_empty() {
            assert!(Instant::now() < patience, "the slot stays: {:?}", world.slots_of("hw-1"));
            std::thread::sleep(Duration::from_millis(10));
        }
        let releases = json!({ "filter": { "operation": "release_license" } });
        assert!(world.control("POST /journal/count", &releases)["count"].as_u64() >= Some(1), "it was released");
    }
}
