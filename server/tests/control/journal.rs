//! The journal: what is in it and what is not, counting and expecting, and what it says of a refused signature.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE};
use chrono::{TimeDelta, Utc};
use floatlease::model::format_http_date;
use serde_json::{Value, json};

use crate::common::sandbox::{Demo, World};

fn entries(world: &World<'_>) -> Vec<Value> {
    world.get("/journal")["entries"].as_array().unwrap().clone()
}

#[test]
fn it_tells_what_was_asked_and_what_happened_in_order() {
    let demo = Demo::start();
    let mut world = demo.still();
    world.take_slot("hw");
    world.control("POST /clock/advance", &json!({ "by": "1h" }));
    world.done("borrow_license", "hw", json!({ "borrowed_until": "2026-01-01T10:00:00Z" }));
    world.fault(json!({ "operation": "check_feature" }), json!({}), json!({ "after_commit": "close" }));
    let lost = world.api.try_call(
        "check_feature",
        &json!({
            "product": "CAD-PRO", "license_key": "CADP-FLOA-TING-0002", "hardware_id": "hw", "feature": "MESH",
        }),
    );
    assert!(lost.is_err());
    world.ask("add_consumption", "hw", Value::Null);
    world.done("add_feature_consumption", "hw", json!({ "feature": "RENDER-MINUTES", "consumptions": 3 }));
    world.send("/nothing?license_key=K");

    let entries = entries(&world);
    let brief = entries.iter().map(|entry| {
        let text = |name: &str| entry[name].as_str().unwrap_or("-").to_owned();
        match entry["kind"].as_str().unwrap() {
            "event" => format!("{} {} {}", text("event"), text("feature"), &text("time")[11..16]),
            _ => format!("{} {} {} {}", text("operation"), entry["status"], text("code"), text("fault")),
        }
    });
    let brief: Vec<String> = brief.collect();
    assert_eq!(
        brief,
        [
            "activated - 00:00",
            "activate_license 200 - -",
            "slot_taken - 00:00",
            "check_license 200 - -",
            "borrowed - 01:00",
            "borrow_license 200 - -",
            "slot_taken MESH 01:00",
            "check_feature null - after_commit.close",
            "add_consumption 400 license_not_consumption -",
            "consumed RENDER-MINUTES 01:00",
            "add_feature_consumption 200 - -",
            "- 404 not_found -",
        ]
    );
    let seqs = entries.iter().map(|entry| entry["seq"].as_u64().unwrap());
    assert_eq!(seqs.collect::<Vec<_>>(), (1..=12).collect::<Vec<_>>());
    assert_eq!((&entries[4]["until"], &entries[9]["amount"]), (&json!("2026-01-01T10:00:00.000Z"), &json!(3)));
    assert!(entries.iter().take(10).filter(|entry| entry["kind"] == "event").all(|entry| entry["hardware_id"] == "hw"));
    let request = &entries[7];
    assert_eq!((&request["method"], &request["path"]), (&json!("GET"), &json!("/api/v4/check_license_feature")));
    assert_eq!(
        (&request["feature"], &request["fault_id"], &request["hardware_id"]),
        (&json!("MESH"), &json!(1), &json!("hw"))
    );
    assert_eq!((&entries[11]["path"], &entries[11]["license_key"]), (&json!("/api/v4/nothing"), &json!("K")));

    let some = world.get("/journal?after=3&limit=2");
    assert_eq!(some, json!({ "entries": entries[3..5], "forgotten": 0 }));
    for (query, word) in
        [("after=x", "`after`"), ("limit=-1", "`limit`"), ("after=1&after=2", "`after`"), ("since=1", "`since`")]
    {
        let said = world.refused(400, &format!("GET /journal?{query}"), &Value::Null);
        assert!(said.contains(word), "{said}");
    }
    world.control("DELETE /journal", &Value::Null);
    assert_eq!(world.get("/journal"), json!({ "entries": [], "forgotten": 0 }));
    world.ask("check_license", "hw", Value::Null);
    assert_eq!(self::entries(&world)[0]["seq"], 13);
}

/// One advance passes the end of a slot, a new period of consumption, and the end of another slot.
#[test]
fn events_of_an_advance_are_in_order_of_time() {
    let demo = Demo::start();
    let mut world = demo.world(&json!({ "now": "2026-01-31T21:00:00Z", "rate": 0 }));
    world.take_slot("hw");
    let monthly = json!({ "license_key": "CADP-CONS-UMPT-0003" });
    world.done("activate_license", "hw", monthly.clone());
    world.done("add_consumption", "hw", monthly);
    world.control("POST /clock/advance", &json!({ "by": "90m" }));
    world.done("activate_license", "hw-2", Value::Null);
    world.done("check_license", "hw-2", Value::Null);
    world.control("DELETE /journal", &Value::Null);
    world.control("POST /clock/advance", &json!({ "by": "5h" }));
    let text = |entry: &Value, name: &str| entry[name].as_str().unwrap().to_owned();
    let events: Vec<_> = entries(&world).iter().map(|entry| (text(entry, "time"), text(entry, "event"))).collect();
    let expected = [
        ("2026-01-31T23:00:00.000Z", "slot_expired"),
        ("2026-02-01T00:00:00.000Z", "consumption_period_began"),
        ("2026-02-01T00:30:00.000Z", "slot_expired"),
    ];
    assert_eq!(events, expected.map(|(time, event)| (time.to_owned(), event.to_owned())));
}

/// Nothing but a license changes; the journal has it at once.
#[test]
fn event_of_an_advance_that_changes_no_slot_is_written_at_once() {
    let demo = Demo::start();
    let catalogue = "product = [{ code = \"P\" }]\n[[license]]\nproduct = \"P\"\nlicense_key = \"K\"\n\
                     start_date = \"now+1s\"\nmetadata = { start_date = \"now or never\", x = { expiry_date = \"now\" } }";
    let world = demo.world(&json!({ "now": "2026-01-01", "rate": 0, "catalogue": catalogue }));
    world.control("POST /clock/advance", &json!({ "by": "1s" }));
    let events: Vec<_> = entries(&world).iter().map(|entry| entry["event"].clone()).collect();
    assert_eq!(events, ["license_started"]);
}

#[test]
fn it_holds_no_secret_and_nothing_endless() {
    let demo = Demo::start();
    let mut world = demo.still();
    let user = |more: Value| {
        let mut user = json!({ "product": "STUDIO", "license_key": null, "hardware_id": "hw" });
        user.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        user
    };
    world.api.call("activate_license", &user(json!({ "username": "ada@example.com", "password": "correct-horse" })));
    world
        .api
        .call("activate_license", &user(json!({ "id_token": "token-of-ada", "customer_account_code": "EXAMPLE" })));
    world.api.call("activate_license", &user(json!({ "code": "code-of-ada", "customer_account_code": "EXAMPLE" })));
    world.send("/check_license?password=hunter2&username=bob");
    world.ask("check_license", &"x".repeat(60_000), Value::Null);
    let text = world.get("/journal").to_string();
    let shared_key = world.said["shared_key"].as_str().unwrap();
    for secret in ["correct-horse", "token-of-ada", "code-of-ada", "hunter2", shared_key] {
        assert!(!text.contains(secret), "{secret}: {text}");
    }
    assert!(text.contains("ada@example.com") && text.contains("bob"), "{text}");
    assert!(text.len() < 10_000, "{}", text.len());
}

#[test]
fn entries_are_counted_and_expected() {
    let demo = Demo::start();
    let mut world = demo.still();
    world.take_slot("hw");
    world.ask("check_license", "other", Value::Null);
    for (filter, count) in [
        (json!({}), 5),
        (json!({ "operation": "check_license" }), 2),
        (json!({ "operation": "check_license", "status": 200.0 }), 1),
        (json!({ "kind": "event" }), 2),
        (json!({ "kind": "event", "event": "slot_taken", "license": "CADP-FLOA-TING-0002", "feature": null }), 1),
        (json!({ "code": "device_not_found" }), 1),
        (json!({ "hardware_id": "nobody" }), 0),
    ] {
        assert_eq!(
            world.control("POST /journal/count", &json!({ "filter": filter })),
            json!({ "count": count }),
            "{filter}"
        );
        let exactly = json!({ "filter": filter, "times": count });
        assert_eq!(world.control("POST /journal/expect", &exactly), json!({ "count": count }));
    }
    let with = |bounds: Value| {
        let mut expected = json!({ "filter": { "operation": "check_license", "status": 503 } });
        expected.as_object_mut().unwrap().extend(bounds.as_object().unwrap().clone());
        expected
    };
    for (bounds, wanted) in [
        (json!({}), "1 or more"),
        (json!({ "times": 2 }), "2"),
        (json!({ "at_least": 2 }), "2 or more"),
        (json!({ "at_least": 1, "at_most": 3 }), "1 to 3"),
        (json!({ "at_least": 1, "times": 0 }), "1 to 0"),
    ] {
        let said = world.refused(417, "POST /journal/expect", &with(bounds));
        let filter = r#"{"operation":"check_license","status":503}"#;
        let near = "near: entry 5: status is 400, not 503; entry 4: status is 200, not 503";
        assert_eq!(said, format!("0 entries match {filter}, expected {wanted}; {near}"));
    }
    for bounds in [json!({ "times": 0 }), json!({ "at_most": 0 }), json!({ "at_least": 0, "at_most": 2 })] {
        assert_eq!(world.control("POST /journal/expect", &with(bounds)), json!({ "count": 0 }));
    }
    let nothing = world.refused(417, "POST /journal/expect", &json!({ "filter": { "kind": "x", "path": "y" } }));
    assert!(nothing.ends_with("no entry comes near"), "{nothing}");
    for call in ["POST /journal/count", "POST /journal/expect"] {
        let said = world.refused(400, call, &json!({ "filter": { "operatoin": "check_license" } }));
        assert!(said.contains("\"operatoin\"") && said.contains("hardware_id"), "{said}");
    }
}

#[test]
fn what_was_forgotten_is_not_counted() {
    let demo = Demo::start();
    let mut world = demo.still();
    for _ in 0..10_000 {
        world.send("/x");
    }
    let all = json!({ "filter": { "path": "/api/v4/x" } });
    assert_eq!(world.control("POST /journal/count", &all), json!({ "count": 10_000 }));
    world.send("/x");
    for call in ["POST /journal/count", "POST /journal/expect"] {
        let said = world.refused(409, call, &all);
        assert!(said.contains("forgotten its first 1 "), "{said}");
    }
    let journal = world.get("/journal?limit=1");
    assert_eq!((&journal["forgotten"], &journal["entries"][0]["seq"]), (&json!(1), &json!(2)));
    world.control("DELETE /journal", &Value::Null);
    assert_eq!(world.control("POST /journal/count", &json!({})), json!({ "count": 0 }));
}

/// From the shared key and the date: a signature; and what is said of it.
type Slip = (fn(&str, &str) -> String, &'static [&'static str]);

fn mac(key: &str, text: &str) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes()), text.as_bytes()).as_ref().to_vec()
}

fn base64(key: &str, text: &str) -> String {
    STANDARD.encode(mac(key, text))
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn right(date: &str) -> String {
    format!("licenseSpring\ndate: {date}")
}

const SLIPS: &[Slip] = &[
    (|key, date| base64(key, &right(date).to_lowercase()), &["lower case; it is licenseSpring"]),
    (|key, date| base64(key, &format!("licenseSpring\nDate: {date}")), &["Date: instead of date:"]),
    (|key, date| base64(key, &format!("licenseSpring\ndate:{date}")), &["space after date: is missing"]),
    (|key, date| base64(key, &format!("licenseSpring\r\ndate: {date}")), &["CR LF"]),
    (|key, date| base64(key, &format!("licenseSpring\\ndate: {date}")), &["backslash and an n"]),
    (|key, date| base64(key, &format!("{}\n", right(date))), &["line feed too many"]),
    (|key, date| base64(key, &format!("date: {date}")), &["first line is missing"]),
    (|key, date| base64(key, date), &["date alone"]),
    (|key, date| base64(&format!("{key}\n"), &right(date)), &["text is right", "shared key ends in a line feed"]),
    (|key, date| base64(key, &right(date)).to_lowercase(), &["text is right", "Base64 is written in lower case"]),
    (|key, date| STANDARD_NO_PAD.encode(mac(key, &right(date))), &["text is right", "lacks its padding"]),
    (|key, date| URL_SAFE.encode(mac(key, &right(date))), &["text is right", "that of URLs"]),
    (|key, date| hexadecimal(&mac(key, &right(date))), &["text is right", "hexadecimal"]),
    (|key, date| hexadecimal(&mac(key, &right(date))).to_uppercase(), &["text is right", "hexadecimal"]),
    (|key, date| hexadecimal(&mac(&format!("{key}\n"), date)), &["date alone", "line feed", "hexadecimal"]),
    (|_, date| base64("another key", &right(date)), &["mistake is unknown", "shared key is this world's"]),
];

#[test]
fn a_refused_signature_is_explained() {
    let demo = Demo::start();
    let mut world = demo.still();
    let key = world.api.shared_key.clone();
    // One whose signature has the letters in which the Base64 of URLs differs.
    let dates = (0..).map(|seconds| format_http_date(Utc::now() - TimeDelta::seconds(seconds)));
    let date = dates.into_iter().find(|date| base64(&key, &right(date)).contains(['+', '/'])).unwrap();
    for (sign, words) in SLIPS {
        let signature = sign(&key, &date);
        let api_key = &world.api.api_key;
        let authorization =
            format!(r#"algorithm="hmac-sha256", headers="date", signature="{signature}", apikey="{api_key}""#);
        let headers = [("Date".to_owned(), date.clone()), ("Authorization".to_owned(), authorization)];
        let answer = world.api.send("GET", "/api/v4/check_license", &headers, b"").unwrap();
        assert_eq!(answer.code().as_deref(), Some("signature_mismatch"), "{words:?}");
        let note = entries(&world).pop().unwrap()["near_miss"].clone();
        let said = note["explanation"].as_str().unwrap();
        assert!(words.iter().all(|word| said.contains(word)), "{words:?}: {said}");
        assert_eq!(note["signing_text_expected"], right(&date));
        assert_eq!(note["signature_expected"], base64(&key, &right(&date)));
        assert_eq!(note["signature_received"], signature);
        assert_eq!(note["date_received"], date);
        let is_known = words[0] != "mistake is unknown";
        assert_eq!(note["signing_text_received"].is_string(), is_known, "{words:?}");
    }
    let headers = [("Date".to_owned(), "yesterday".to_owned()), world.api.authorised().pop().unwrap()];
    world.api.send("GET", "/api/v4/check_license", &headers, b"").unwrap();
    let note = entries(&world).pop().unwrap();
    assert_eq!(note["code"], "date_header_diff");
    assert!(note["near_miss"]["explanation"].as_str().unwrap().contains("15 minutes"), "{note}");
    // Nothing is said of a request that proved its key.
    world.ask("check_license", "hw", Value::Null);
    assert_eq!(entries(&world).pop().unwrap()["near_miss"], Value::Null);
}
