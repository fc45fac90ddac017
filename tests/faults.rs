//! Every kind of fault that the sandbox has, as the client tells of it: status, outcome, and what the server has done.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use floatlease::status::STATUSES;
use serde_json::{Value, json};
use std::time::Duration;
use support::Demo;
use support::sandbox::World;

/// Whether the borrow was carried out.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Slot {
    Free,
    Held,
}
use Slot::{Free, Held};

/// A fault, what a borrow under it ends as, and whether the slot is held afterwards.
type Row = (&'static str, &'static str, &'static str, Slot);

#[rustfmt::skip]
const ROWS: &[Row] = &[
    (r#"{"before":{"undocumented_code":"brand_new"}}"#, "UNKNOWN_CODE", "rejected", Free),
    (r#"{"before":{"http":{"status":407}}}"#, "PROXY_AUTH", "unknown", Free),
    (r#"{"before":{"http":{"status":429,"retry_after_s":100}}}"#, "RATE_LIMITED", "rejected", Free),
    (r#"{"before":{"http":{"status":500}}}"#, "SERVER_ERROR", "unknown", Free),
    (r#"{"before":{"http":{"status":502}}}"#, "SERVER_ERROR", "unknown", Free),
    (r#"{"before":{"http":{"status":503,"retry_after_s":100}}}"#, "SERVER_ERROR", "unknown", Free),
    (r#"{"before":{"http":{"status":504}}}"#, "SERVER_ERROR", "unknown", Free),
    (r#"{"before":"html_page"}"#, "REPLY_NOT_API", "unknown", Free),
    (r#"{"before":{"redirect":"http://127.0.0.1:9/"}}"#, "REPLY_REDIRECT", "unknown", Free),
    (r#"{"before":"hang"}"#, "TIMEOUT", "unknown", Free),
    (r#"{"before":"refuse"}"#, "CONNECTION_LOST", "unknown", Free),
    (r#"{"before":{"delay":{"fixed_ms":5}}}"#, "OK", "", Held),
    (r#"{"before":{"delay":{"uniform_ms":[1,5]}}}"#, "OK", "", Held),
    (r#"{"before":{"delay":{"log_normal":{"median_ms":2,"sigma":0.1}}}}"#, "OK", "", Held),
    (r#"{"after_commit":"close"}"#, "CONNECTION_LOST", "unknown", Held),
    (r#"{"after_commit":"reset"}"#, "CONNECTION_LOST", "unknown", Held),
    (r#"{"after_commit":"truncate"}"#, "REPLY_TRUNCATED", "unknown", Held),
    (r#"{"after_commit":{"dribble":{"bytes":100,"every_ms":1}}}"#, "OK", "", Held),
    (r#"{"after_commit":{"dribble":{"bytes":1,"every_ms":100}}}"#, "TIMEOUT", "unknown", Held),
    (r#"{"after_commit":{"wrong_length":10}}"#, "TIMEOUT", "unknown", Held),
    (r#"{"after_commit":{"wrong_length":-10}}"#, "REPLY_SIGNATURE", "unknown", Held),
    (r#"{"after_commit":{"delay":{"fixed_ms":5000}}}"#, "TIMEOUT", "unknown", Held),
    (r#"{"reply":"signature_missing"}"#, "REPLY_UNSIGNED", "unknown", Held),
    (r#"{"reply":"signature_garbage"}"#, "REPLY_SIGNATURE", "unknown", Held),
    (r#"{"reply":"signature_of_another_key"}"#, "REPLY_SIGNATURE", "unknown", Held),
    (r#"{"reply":"signature_of_another_body"}"#, "REPLY_SIGNATURE", "unknown", Held),
    (r#"{"reply":"flipped_byte"}"#, "REPLY_SIGNATURE", "unknown", Held),
    (r#"{"reply":"json_broken"}"#, "REPLY_TRUNCATED", "unknown", Held),
    (r#"{"reply":{"member_missing":"borrowed_until"}}"#, "REPLY_NOT_OURS", "unknown", Held),
    (r#"{"reply":{"member_null":"borrowed_until"}}"#, "REPLY_NOT_OURS", "unknown", Held),
    (r#"{"reply":{"member_wrong_type":"license_id"}}"#, "REPLY_NOT_OURS", "unknown", Held),
    (r#"{"reply":"member_unknown"}"#, "OK", "", Held),
    (r#"{"reply":"huge"}"#, "REPLY_TOO_LARGE", "unknown", Held),
    (r#"{"reply":"replay"}"#, "REPLY_NOT_OURS", "unknown", Held),
];

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
    let expected = if slot == Held { vec![(Value::Null, true)] } else { Vec::new() };
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
fn a_recorded_reply_to_the_same_question_verifies_as_the_header_says() {
    // The API signs no question: this is what it promises, and no more. Another question is told apart, see ROWS.
    let demo = Demo::start();
    let world = World::new(&demo, &json!({}));
    let client = world.client("hw");
    client.call("activate_license", &Value::Null).ok();
    let recorded = client.call("borrow_license", &json!({"borrowed_until": null})).ok();
    world.only_fault(&json!({"reply": "replay"}));
    assert_eq!(client.call("borrow_license", &Value::Null).ok(), recorded);
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
