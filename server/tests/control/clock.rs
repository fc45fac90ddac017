//! A world's clock: standing, running, moved; and what that does to slots and borrows.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::common::sandbox::{Demo, World};
use crate::common::time;

fn moved(world: &World<'_>, by: &str) -> String {
    world.control("POST /clock/jump", &json!({ "by": by }))["now"].as_str().unwrap().to_owned()
}

#[test]
fn it_stands_and_runs_as_it_is_told() {
    let demo = Demo::start();
    let world = demo.still();
    let clock = world.get("/clock");
    assert_eq!(
        clock,
        json!({ "now": "2026-01-01T00:00:00.000Z", "rate": 0.0, "date_check": "real", "next": [{
        "at": "2100-01-03T00:00:00.000Z", "event": "license_expired", "license": "CADP-SUBS-CRIB-2099",
        "feature": null, "hardware_id": null,
    }] })
    );
    assert_eq!(world.get("/clock"), clock);
    assert_eq!(world.control("POST /clock", &json!({ "rate": 1000000 }))["rate"], 1_000_000.0);
    let begun = Instant::now();
    while time(&world.now()) < time("2026-01-03") {
        assert!(begun.elapsed() < Duration::from_secs(60), "it does not run");
    }
    world.control("POST /clock", &json!({ "rate": 0, "date_check": "world" }));
    let stopped = world.now();
    assert_eq!(world.control("POST /clock", &json!({}))["date_check"], "world");
    assert_eq!(world.now(), stopped);
    for rate in [json!(-0.5), json!(1_000_001), json!("fast")] {
        assert!(world.refused(400, "POST /clock", &json!({ "rate": rate })).contains("`rate`"));
    }
}

#[test]
fn an_advance_is_by_to_or_to_next_and_tells_what_happened() {
    let demo = Demo::start();
    let mut world = demo.still();
    world.take_slot("hw");
    let expired = json!([{
        "at": "2026-01-01T02:00:00.000Z", "event": "slot_expired", "license": "CADP-FLOA-TING-0002",
        "feature": null, "hardware_id": "hw",
    }]);
    assert_eq!(world.get("/clock")["next"], expired);
    let advance = |world: &World<'_>, how: Value| world.control("POST /clock/advance", &how);
    let by = advance(&world, json!({ "by": "1h 59m" }));
    assert_eq!(by, json!({ "now": "2026-01-01T01:59:00.000Z", "happened": [] }));
    let to_next = advance(&world, json!({ "to_next": true }));
    assert_eq!(to_next, json!({ "now": "2026-01-01T02:00:00.000Z", "happened": expired }));
    assert_eq!(world.slots(), []);
    let to = advance(&world, json!({ "to": "2100-01-02T23:59:59Z", "by": null }));
    assert_eq!(to, json!({ "now": "2100-01-02T23:59:59.000Z", "happened": [] }));
    assert_eq!(advance(&world, json!({ "to": "now+1s" }))["happened"][0]["event"], "license_expired");
    // Nothing is ever due any more.
    assert_eq!(world.get("/clock")["next"], json!([]));

    let now = world.now();
    for (status, how, word) in [
        (409, json!({ "to_next": true }), "nothing is due"),
        (409, json!({ "to": "2026-01-01" }), "/clock/jump"),
        (409, json!({ "to": "9000-01-01T00:00:01Z" }), "9000"),
        (400, json!({ "by": "soon" }), "\"121m\""),
        (400, json!({ "by": "-1h" }), "invalid duration"),
        (400, json!({ "by": "999999 weeks" }), "invalid duration"),
        (400, json!({ "to": "soon" }), "invalid time"),
        (400, json!({ "to_next": false }), "expected exactly one of"),
        (400, json!({ "by": "1h", "to_next": true }), "expected exactly one of"),
        (400, json!({}), "expected exactly one of"),
    ] {
        let said = world.refused(status, "POST /clock/advance", &how);
        assert!(said.contains(word), "{how}: {said}");
    }
    assert_eq!(world.now(), now);
}

#[test]
fn a_jump_leaves_slots_what_they_had_and_borrows_their_date() {
    let demo = Demo::start();
    let mut world = demo.still();
    world.take_slot("hw-1");
    world.done("activate_license", "hw-2", Value::Null);
    world.done("borrow_license", "hw-2", json!({ "borrowed_until": "2026-01-01T20:00:00Z" }));
    let borrowed = ("hw-2".to_owned(), "2026-01-01T20:00:00.000Z".to_owned());
    let held = |until: &str| vec![("hw-1".to_owned(), until.to_owned()), borrowed.clone()];
    world.control("POST /clock/advance", &json!({ "by": "1h" }));
    assert_eq!(world.slots(), held("2026-01-01T02:00:00.000Z"));
    for (by, now, until) in [
        ("3h", "2026-01-01T04:00:00.000Z", "2026-01-01T05:00:00.000Z"),
        ("-5h", "2025-12-31T23:00:00.000Z", "2026-01-01T00:00:00.000Z"),
        ("-20h", "2025-12-31T03:00:00.000Z", "2025-12-31T04:00:00.000Z"),
        ("+ 22h", "2026-01-01T01:00:00.000Z", "2026-01-01T02:00:00.000Z"),
    ] {
        assert_eq!(moved(&world, by), now);
        assert_eq!(world.slots(), held(until), "{by}");
        assert_eq!(world.get("/invariants")["violations"], json!([]), "{by}");
    }
    world.control("POST /clock/advance", &json!({ "by": "1h" }));
    assert_eq!(world.slots(), [borrowed]);
}

#[test]
fn however_often_it_is_moved_it_stays_where_licenses_can_follow() {
    let demo = Demo::start();
    let mut world = demo.world(&json!({}));
    for (by, last) in [("900years", "8"), ("-900years", "2")] {
        let refused = (0..20).find_map(|_| {
            let (status, reply) = demo.call(&format!("POST /worlds/{}/clock/jump", world.id), &json!({ "by": by }));
            (status != 200).then_some((status, reply))
        });
        let (status, reply) = refused.unwrap();
        assert!(status == 409 && reply["message"].as_str().unwrap().contains("9000"), "{reply}");
        assert!(world.now().starts_with(last), "{}", world.now());
    }
    world.control("POST /clock/advance", &json!({ "to": "9000-01-01" }));
    world.control("POST /clock", &json!({ "rate": 1000000 }));
    world.take_slot("hw");
    assert_eq!(world.slots(), [("hw".to_owned(), "9000-01-01T02:00:00.000Z".to_owned())]);
    assert_eq!(world.now(), "9000-01-01T00:00:00.000Z");
}

#[test]
fn the_date_of_requests_is_held_against_the_clock_that_was_chosen() {
    let demo = Demo::start();
    let mut world = demo.world(&json!({ "now": "2001-02-03T04:05:06Z", "rate": 0, "date_check": "world" }));
    let refused = world.ask("activate_license", "hw", Value::Null);
    assert_eq!(refused.code().as_deref(), Some("date_header_diff"));
    assert_eq!(refused.headers["date"], "Sat, 03 Feb 2001 04:05:06 GMT");
    world.control("POST /clock", &json!({ "date_check": "real" }));
    let done = world.done("activate_license", "hw", Value::Null);
    assert!(!done.headers["date"].contains("2001"), "{done:?}");
}
