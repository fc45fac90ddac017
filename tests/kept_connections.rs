//! Kept connections that died without a word, by a sleep, a VPN or a router that forgot them: together they cost a part
//! of one call's time, and no call after that.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;
use support::abi::Client;
use support::stub::{listen, read_message};
use support::{Demo, with};

/// How many connections a client keeps.
const KEPT: usize = 4;

/// What a dead connection does with a request.
#[derive(Clone, Copy)]
enum Death {
    /// It says nothing.
    Silent,
    /// It ends.
    Ending,
}

/// A router between a client and a server. It forgets connections when it is told to.
struct Router {
    address: String,
    connections: Arc<AtomicUsize>,
    forgotten: Arc<AtomicUsize>,
    /// How many requests came by a connection that was forgotten.
    lost: Arc<AtomicUsize>,
}

impl Router {
    fn to(server: String, death: Death) -> Router {
        let connections = Arc::new(AtomicUsize::new(0));
        let forgotten = Arc::new(AtomicUsize::new(0));
        let (lost, requests) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let all_are_here = Arc::new(Barrier::new(KEPT));
        let router = Router { address: String::new(), connections, forgotten, lost };
        let (count, first_known, lost) =
            (Arc::clone(&router.connections), Arc::clone(&router.forgotten), Arc::clone(&router.lost));
        let address = listen(move |mut client| {
            let number = count.fetch_add(1, Ordering::SeqCst);
            let mut upstream = TcpStream::connect(&server).unwrap();
            while let Some(request) = read_message(&mut client) {
                if number < first_known.load(Ordering::SeqCst) {
                    lost.fetch_add(1, Ordering::SeqCst);
                    match death {
                        Death::Silent => while client.read(&mut [0; 4096]).is_ok_and(|count| count > 0) {},
                        Death::Ending => {}
                    }
                    return;
                }
                // The first calls overlap, so that each has a connection of its own.
                if requests.fetch_add(1, Ordering::SeqCst) < KEPT {
                    all_are_here.wait();
                }
                upstream.write_all(&request.bytes()).unwrap();
                let Some(reply) = read_message(&mut upstream) else { return };
                if client.write_all(&reply.bytes()).is_err() {
                    return;
                }
            }
        });
        Router { address, ..router }
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Forgets every connection that there is.
    fn forget_all(&self) {
        self.forgotten.store(self.connections(), Ordering::SeqCst);
    }
}

/// A client with as many idle connections as it keeps, all of which are dead.
fn client_with_dead_connections(demo: &Demo, death: Death) -> (Client, Router) {
    let router = Router::to(demo.address(), death);
    let changes = json!({ "base_url": format!("http://{}/api/v4", router.address) });
    let client = Client::open(&with(&demo.config("hw-1"), changes)).unwrap();
    thread::scope(|scope| {
        for _ in 0..KEPT {
            scope.spawn(|| client.call("activate_license", &Value::Null).ok());
        }
    });
    assert_eq!(router.connections(), KEPT);
    router.forget_all();
    (client, router)
}

#[test]
fn call_that_may_be_repeated_gets_through_in_its_time() {
    let demo = Demo::start();
    let (client, router) = client_with_dead_connections(&demo, Death::Silent);
    // A connection that was in use a moment ago is taken for alive.
    thread::sleep(Duration::from_millis(1_200));
    client.call("check_license", &json!({ "timeout_ms": 8_000 })).ok();
    client.call("check_license", &json!({ "timeout_ms": 8_000 })).ok();
    assert_eq!(router.connections(), KEPT + 1, "one new connection serves both");
}

#[test]
fn call_that_may_not_be_repeated_is_the_only_one_to_fail() {
    let demo = Demo::start();
    let (client, router) = client_with_dead_connections(&demo, Death::Silent);
    client.call("activate_license", &json!({ "timeout_ms": 500 })).failed("TIMEOUT", "unknown");
    client.call("activate_license", &json!({ "timeout_ms": 8_000 })).ok();
    assert_eq!(router.connections(), KEPT + 1);
}

#[test]
fn cancelled_call_takes_dead_connections_with_it() {
    let demo = Demo::start();
    let (client, router) = client_with_dead_connections(&demo, Death::Silent);
    thread::scope(|scope| {
        let call = scope.spawn(|| client.call("activate_license", &json!({ "timeout_ms": 60_000 })));
        while router.lost.load(Ordering::SeqCst) == 0 {
            thread::sleep(Duration::from_millis(1));
        }
        client.cancel();
        call.join().unwrap().refused("CANCELLED");
    });
    client.call("activate_license", &json!({ "timeout_ms": 8_000 })).ok();
    assert_eq!(router.connections(), KEPT + 1);
}

#[test]
fn connections_that_end_at_a_request_cost_one_attempt() {
    let demo = Demo::start();
    let (client, router) = client_with_dead_connections(&demo, Death::Ending);
    client.call("check_license", &json!({ "timeout_ms": 60_000 })).ok();
    assert_eq!(router.connections(), KEPT + 1);
}

#[test]
fn sleep_of_machine_forgets_kept_connections() {
    let demo = Demo::start();
    let (client, router) = client_with_dead_connections(&demo, Death::Silent);
    client.advance(30_000);
    client.call("activate_license", &json!({ "timeout_ms": 8_000 })).ok();
    assert_eq!(router.connections(), KEPT + 1);
}
