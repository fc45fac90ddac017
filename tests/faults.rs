//! Every kind of fault that the sandbox has, as the client tells of it: status, outcome, and what the server has done.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use floatlease::status::STATUSES;
use serde_json::{Value, json};
use std::time::Duration;
use support::Demo;
use support::faults::{ROWS, Row, Slot};
use support::sandbox::World;

fn provoke(demo: &Demo, &(fault, status, outcome, slot): &Row) {
    let world = World::new(demo, &json!({}));
    let client = world.client("hw");
    client.call("activate_license", &Value::Null).ok();
    world.only_fault(&serde_json::from_str(fault).unwrap());
    let answer = client.call("borrow_license", &json!({"timeout_ms": 700}));
    assert_eq!(answer.status, status, "{fault}: {}", answer.json);
    if status != "OK" {
        answer.failed(status, outcome);
    }
    let expected = if slot == Slot::Held { vec![(Value::Null, true)] } else { Vec::new() };
    assert_eq!(world.slots_of("hw"), expected, "{fault}");

    let expected = json!({"filter": {"operation": "borrow_license", "fault_id": 1}, "times": 1});
    world.control("POST /journal/expect", &expected);
    world.control("DELETE /faults", &Value::Null);
    client.call("borrow_license", &Value::Null).ok();
    assert_eq!(world.control("GET /invariants", &Value::Null)["ok"], true);
}

#[test]
fn each_kind_is_seen_as_what_it_is_and_the_next_call_is_as_if_nothing_had_been() {
    let demo = Demo::start();
    std::thread::scope(|scope| {
        for some in ROWS.chunks(ROWS.len().div_ceil(4)) {
            scope.spawn(|| some.iter().for_each(|row| provoke(&demo, row)));
        }
    });
}

#[test]
fn every_documented_code_can_be_had_by_fault_and_by_preset() {
    let demo = Demo::start();
    let world = World::new(&demo, &json!({"presets": true}));
    let faulty = World::new(&demo, &json!({}));
    let presets = world.said["presets"].as_array().unwrap().clone();
    for row in STATUSES.iter().map(|status| status.row()).filter(|row| !row.server_code.is_empty()) {
        faulty.only_fault(&json!({"before": {"code": row.server_code}}));
        let answer = faulty.client("hw").call("borrow_license", &json!({"timeout_ms": 700}));
        assert_eq!(answer.status, row.name, "{}: {}", row.server_code, answer.json);

        let preset = presets.iter().find(|preset| preset["code"] == row.server_code);
        let preset = preset.unwrap_or_else(|| panic!("no preset for {}", row.server_code));
        let config = support::with(&world.config("preset-device"), preset["config"].clone());
        let client = support::abi::Client::open(&config).unwrap_or_else(|error| panic!("{config}: {error:?}"));
        for first in preset["first"].as_array().unwrap() {
            client.call(first.as_str().unwrap(), &Value::Null).ok();
        }
        let answer = client.call(preset["operation"].as_str().unwrap(), &preset["request"]);
        assert_eq!(answer.status, row.name, "{preset}: {}", answer.json);
        assert_eq!(answer.json["server_code"], row.server_code, "{preset}");
    }
}

#[test]
fn while_the_port_is_closed_nothing_is_sent_and_afterwards_all_is_as_before() {
    let demo = Demo::start();
    let listen = |open: bool| {
        let listener = format!("{}/listener", demo.text("control_url"));
        assert_eq!(support::sandbox::call(&listener, "POST", &json!({"open": open})).0, 200);
    };
    let client = demo.client("hw");
    client.call("activate_license", &Value::Null).ok();
    for _ in 0..20 {
        // No kept connection is left that a call could be lost on.
        listen(false);
        client.call("borrow_license", &json!({"timeout_ms": 50})).failed("CONNECT", "not_sent");
        listen(true);
        client.call("borrow_license", &Value::Null).ok();
    }
    listen(true);
    client.call("borrow_license", &Value::Null).ok();

    let world = World::with_fault(&demo, &json!({"before": {"delay": {"fixed_ms": 60_000}}}));
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| world.client("hw").call("borrow_license", &Value::Null));
        std::thread::sleep(Duration::from_millis(200));
        listen(false);
        listen(false);
        waiting.join().unwrap().failed("CONNECTION_LOST", "unknown");
    });
}

#[test]
fn recorded_reply_to_same_question_verifies_without_order() {
    // The API signs no question: this is what it promises, and no more. Another question is told apart, see ROWS.
    let demo = Demo::start();
    for knows_order in [true, false] {
        let world = World::new(&demo, &json!({ "order": knows_order }));
        let client = world.client("hw");
        client.call("activate_license", &Value::Null).ok();
        let recorded = client.call("borrow_license", &json!({"borrowed_until": null})).ok();
        world.only_fault(&json!({"reply": "replay"}));
        let replayed = client.call("borrow_license", &Value::Null);
        if knows_order {
            // The recorded reply repeats the number of the request that it answered.
            replayed.failed("REPLY_NOT_OURS", "unknown");
        } else {
            assert_eq!(replayed.ok(), recorded);
        }
    }
}

#[test]
fn a_client_with_a_wrong_clock_is_told_the_time_and_asks_again() {
    let demo = Demo::start();
    let world = World::new(&demo, &json!({"now": "now+5h", "date_check": "world"}));
    let client = world.client("hw");
    client.call("activate_license", &Value::Null).ok();
    let refused = json!({"filter": {"code": "date_header_diff"}, "times": 1});
    world.control("POST /journal/expect", &refused);
    world.control("POST /clock/jump", &json!({"by": "-9h"}));
    client.call("check_license", &Value::Null).ok();
    world.control("POST /clock", &json!({"date_check": "real"}));
    client.call("check_license", &Value::Null).ok();
}
