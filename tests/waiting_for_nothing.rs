//! Consumptions that may wait keep no caller waiting: they are on the disk at once, whatever the server does.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use serde_json::{Value, json};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use support::abi::Client;
use support::consumption::{Desk, Middle, add, assert_all_booked, count, reach, sync, world};
use support::folder::Folder;
use support::holder::until;
use support::{Demo, stub, with};

/// A generous limit for calls of which only the first may wait for the server.
const SOON: Duration = Duration::from_secs(8);

/// Runs `each` on this many threads, this often on each, and returns how long that took.
fn on_threads(threads: usize, each: usize, run: impl Fn() + Sync) -> Duration {
    let begun = Instant::now();
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| (0..each).for_each(|_| run()));
        }
    });
    begun.elapsed()
}

/// Submits consumptions, and returns the replies.
fn submitted(client: &Client, count_of_calls: usize) -> Vec<Value> {
    for _ in 0..count_of_calls {
        client.submit("add_feature_consumption", &count(1)).unwrap();
    }
    let completed = (0..count_of_calls).map(|_| client.wait_for("COMPLETED"));
    completed.map(|event| event["reply"].clone()).collect()
}

/// Adds ten consumptions in a row and submits fifty, and asserts that only the first waits and that all are stored.
fn assert_waits_for_nothing(desk: &Desk) {
    let client = desk.start();
    let begun = Instant::now();
    let mut replies: Vec<_> = (0..10).map(|_| add(&client, &count(1))).collect();
    assert!(begun.elapsed() < SOON, "ten in a row took {:?}", begun.elapsed());
    let begun = Instant::now();
    replies.extend(submitted(&client, 50));
    assert!(begun.elapsed() < SOON, "fifty took {:?}", begun.elapsed());
    for reply in &replies {
        assert_eq!(reply["queued"], true, "{reply}");
    }
    assert_eq!(replies[9]["queued_consumptions"], 10);
    // Another client finds all of them on the disk.
    client.close();
    assert_eq!(sync(&desk.start())["waiting"], 60);
}

#[test]
fn nothing_waits_while_connections_are_refused() {
    let demo = Demo::start();
    let (world, folder) = (world(&demo), Folder::new("nothing-refused"));
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let desk = Desk::new(&world, "FEATURES", &folder);
    assert_waits_for_nothing(&desk.by_way_of(&port.to_string()));
    assert_all_booked(&sync(&desk.start()));
    assert_eq!(desk.total_of("COUNT"), 60);
}

#[test]
fn only_first_waits_for_server_that_answers_nothing() {
    let demo = Demo::start();
    let (world, folder) = (world(&demo), Folder::new("nothing-silent"));
    let mut desk = Desk::new(&world, "FEATURES", &folder);
    desk.config = with(&desk.config, json!({ "timeout_ms": 3_000 }));
    assert_waits_for_nothing(&desk.by_way_of(&stub::silent()));
    assert_all_booked(&sync(&desk.start()));
    assert_eq!(desk.total_of("COUNT"), 60);
}

/// Fifty calls find out at the same time that the server is silent. None waits longer than its own deadline.
#[test]
fn calls_that_wait_for_others_end_when_server_is_known_to_be_away() {
    let demo = Demo::start();
    let (world, folder) = (world(&demo), Folder::new("nothing-together"));
    let mut desk = Desk::new(&world, "FEATURES", &folder);
    desk.config = with(&desk.config, json!({ "timeout_ms": 3_000 }));
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let address = stub::listen(move |mut stream| {
        while stub::read_message(&mut stream).is_some() {
            counted.fetch_add(1, Ordering::Relaxed);
        }
    });
    let client = desk.by_way_of(&address).start();
    let took = on_threads(50, 1, || assert_eq!(add(&client, &count(1))["queued"], true));
    assert!(took < SOON, "{took:?}");
    client.close();
    // The server has shown nothing of what it supports, so one call alone has asked it.
    assert!(asked.load(Ordering::Relaxed) < 10, "{asked:?}");
    assert_all_booked(&sync(&desk.start()));
    assert_eq!(desk.total_of("COUNT"), 50);
}

#[test]
fn healthy_server_books_for_many_at_once() {
    let demo = Demo::start();
    let (world, folder, middle) = (world(&demo), Folder::new("nothing-healthy"), Middle::new(true));
    let desk = Desk::new(&world, "FEATURES", &folder);
    let client = desk.start();
    let plain = json!({ "feature": "BOTH_WAYS", "consumptions": 1 });
    let plainly = on_threads(50, 40, || drop(client.call("add_feature_consumption", &plain).ok()));
    let queued = on_threads(50, 40, || {
        let reply = add(&client, &count(1));
        assert!(reply["total_consumptions"].is_i64(), "{reply}");
    });
    assert_eq!(desk.total_of("COUNT"), 2_000);
    assert!(queued < plainly * 4 + Duration::from_secs(1), "{queued:?} instead of {plainly:?}");
    // Each is sent once.
    let by_way = desk.by_way_of(&middle.before(&demo)).start();
    on_threads(50, 2, || drop(add(&by_way, &count(1))));
    assert_eq!(middle.asked().len(), 100);
    assert_eq!(sync(&client)["waiting"], 0);
}

/// The first of many that are under way is cancelled, or its time is up.
#[test]
fn cancelled_call_takes_no_other_with_it() {
    let demo = Demo::start();
    for knows_keys in [true, false] {
        let (world, folder) = (world(&demo), Folder::new(&format!("nothing-cancelled-{knows_keys}")));
        let (desk, middle) = (Desk::new(&world, "FEATURES", &folder), Middle::new(knows_keys));
        let client = desk.by_way_of(&middle.before(&demo)).start();
        let amounts = 1..=40;
        let tickets: Vec<_> =
            amounts.clone().map(|amount| client.submit("add_feature_consumption", &count(amount)).unwrap()).collect();
        for ticket in tickets.iter().step_by(3) {
            client.cancel_submitted(*ticket);
        }
        let mut untouched = 0;
        for _ in &tickets {
            let event = client.wait_for("COMPLETED");
            let at = tickets.iter().position(|ticket| event["ticket"] == *ticket).unwrap();
            if at % 3 != 0 && knows_keys {
                assert!(event["reply"]["total_consumptions"].is_i64(), "{event}");
            }
            // A call that is cancelled before it begins has queued nothing.
            if event["status"] == 0 {
                untouched += amounts.clone().nth(at).unwrap();
            }
        }
        client.close();
        let next = desk.by_way_of(&middle.before(&demo)).start();
        let report = support::consumption::sync_later(&next);
        assert_eq!(report["waiting"], 0, "{report}");
        let unknown: i64 =
            report["unknown"].as_array().unwrap().iter().map(|one| one["consumptions"].as_i64().unwrap()).sum();
        assert!(!knows_keys || unknown == 0, "{report}");
        let total = desk.total_of("COUNT");
        assert!(total <= untouched && total >= untouched - unknown, "{total} of {untouched}, {unknown} unknown");
    }
}

#[test]
fn client_without_lease_books_what_waits_when_server_is_back() {
    let demo = Demo::start();
    let (world, folder) = (world(&demo), Folder::new("nothing-back"));
    let desk = Desk::new(&world, "FEATURES", &folder);
    let client = desk.start();
    demo.listen(false);
    assert_eq!(add(&client, &count(3))["name"], "CONNECT");
    assert_eq!(add(&client, &count(4))["name"], "CONNECT");
    demo.listen(true);
    let event = client.wait_for("CONSUMPTIONS_SYNCED");
    assert_eq!(event["booked"], 2, "{event}");
    assert_eq!(event["waiting"], 0, "{event}");
    assert_eq!(desk.total_of("COUNT"), 7);
    // The thread has nothing to do any more, and ends.
    until("the thread ends", || client.events().is_empty());
    assert!(add(&client, &count(1))["total_consumptions"].is_i64());
}

/// While the server is away, its answer to any other request ends the pause.
#[test]
fn answer_to_another_request_ends_the_outage() {
    let demo = Demo::start();
    let (world, folder) = (world(&demo), Folder::new("nothing-answer"));
    let desk = Desk::new(&world, "FEATURES", &folder);
    let client = desk.start();
    desk.outage();
    add(&client, &count(3));
    assert_eq!(add(&client, &count(4))["queued"], true);
    desk.end_of_outage();
    reach(&client);
    assert_eq!(add(&client, &count(5))["total_consumptions"], 12);
}
