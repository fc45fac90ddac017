//! The operations as a program uses them, by their own functions and by name, against a real server.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use chrono::{TimeDelta, Utc};
use floatlease::model::{format_time, parse_time};
use floatlease::operations::{OPERATIONS, SlotEffect};
use serde_json::{Value, json};
use support::abi::{Client, VERBS};
use support::sandbox::World;
use support::{Demo, with};

const MESH: &str = r#"{"feature":"MESH"}"#;

fn mesh() -> Value {
    serde_json::from_str(MESH).unwrap()
}

fn keys(reply: &Value) -> Vec<&str> {
    reply.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn a_day_with_a_license_and_a_feature() {
    let demo = Demo::start();
    let client = demo.client("day");
    let activated = client.call("activate_license", &Value::Null).ok();
    assert_eq!((&activated["request"], &activated["hardware_id"]), (&json!("activation"), &json!("day")));

    let checked = client.call("check_license", &Value::Null).ok();
    assert_eq!((&checked["floating_in_use_devices"], &checked["floating_users"]), (&json!(1), &json!(2)));
    assert_eq!((&checked["is_borrowed"], &checked["borrowed_until"]), (&json!(false), &Value::Null));

    let borrowed = client.call("borrow_license", &Value::Null).ok();
    for key in ["borrowed_until", "max_borrow_time", "device_id", "license_id", "floating_in_use_devices"] {
        assert!(borrowed.get(key).is_some(), "{key} in {borrowed}");
    }
    assert_eq!(borrowed["floating_in_use_devices"], 1, "a borrow takes no second slot");
    let again = client.call("check_license", &Value::Null).ok();
    assert_eq!((&again["is_borrowed"], &again["borrowed_until"]), (&json!(true), &borrowed["borrowed_until"]));
    assert_eq!(client.call("release_license", &Value::Null).ok(), json!({}));
    client.call("release_license", &Value::Null).refused("FLOATING_NOT_AVAILABLE");

    let feature = client.call("check_feature", &mesh()).ok();
    assert_eq!((&feature["code"], &feature["floating_in_use_devices"]), (&json!("MESH"), &json!(1)));
    let borrowed = client.call("borrow_feature", &mesh()).ok();
    assert_eq!((&borrowed["max_borrow_time"], &borrowed["floating_in_use_devices"]), (&json!(12), &json!(1)));
    assert_eq!(client.call("release_feature", &mesh()).ok(), json!({}));
    let plain = client.call("check_feature", &json!({"feature": "EXPORT"})).ok();
    assert!(plain.get("floating_in_use_devices").is_none(), "absent, not null: {plain}");

    assert_eq!(client.call("deactivate_license", &Value::Null).ok(), json!({"message": "license_deactivated"}));
    client.call("check_license", &Value::Null).refused("DEVICE_NOT_FOUND");
}

#[test]
fn consumption_is_counted_and_refused_as_a_whole() {
    let demo = Demo::start();
    let client = demo.client("meter");
    client.call("activate_license", &Value::Null).ok();
    let minutes = |count: i64| json!({"feature": "RENDER-MINUTES", "consumptions": count});
    assert_eq!(
        client.call("add_feature_consumption", &json!({"feature": "RENDER-MINUTES"})).ok()["total_consumptions"],
        1
    );
    assert_eq!(client.call("add_feature_consumption", &minutes(98)).ok()["total_consumptions"], 99);
    client.call("add_feature_consumption", &minutes(2)).refused("FEATURE_NOT_ENOUGH_CONSUMPTIONS");
    assert_eq!(client.call("add_feature_consumption", &minutes(1)).ok()["total_consumptions"], 100);

    let counted = |count: i64| json!({"license_key": demo.text("consumption_license_key"), "consumptions": count});
    client.call("activate_license", &with(&counted(0), json!({"consumptions": null}))).ok();
    assert_eq!(client.call("add_consumption", &counted(60)).ok()["total_consumptions"], 60);
    client.call("add_consumption", &counted(41)).refused("LICENSE_NOT_ENOUGH_CONSUMPTIONS");
    assert_eq!(client.call("add_consumption", &counted(-10)).ok()["total_consumptions"], 50);
    let sync = with(&counted(1), json!({"event": ["offline_floating_consumptions_sync"]}));
    assert_eq!(client.call("add_consumption", &sync).ok()["total_consumptions"], 51);
    client.call("add_consumption", &json!({})).refused("LICENSE_NOT_CONSUMPTION");
}

#[test]
fn a_user_based_product_and_single_sign_on() {
    let demo = Demo::start();
    let user = json!({"license_key": null, "product": demo.said["user_product"],
        "username": demo.said["username"], "password": demo.said["password"]});
    let client = Client::open(&with(&demo.config("user"), user.clone())).unwrap();
    client.call("activate_license", &Value::Null).ok();
    for verb in ["check_license", "borrow_license", "release_license"] {
        client.call(verb, &Value::Null).ok();
    }
    client.call("check_feature", &mesh()).ok();
    client.call("borrow_feature", &mesh()).ok();
    client.call("deactivate_license", &Value::Null).ok();

    let wrong = Client::open(&with(&demo.config("user"), with(&user, json!({"password": "wrong"})))).unwrap();
    wrong.call("activate_license", &Value::Null).refused("LICENSE_NOT_FOUND");

    for token in [json!({"id_token": "token-of-ada"}), json!({"code": "code-of-ada"})] {
        let product = json!({"license_key": null, "product": demo.said["user_product"],
            "customer_account_code": "EXAMPLE"});
        let client = Client::open(&with(&with(&demo.config("sso"), product), token)).unwrap();
        let activated = client.call("activate_license", &Value::Null).ok();
        let username = activated["user"]["email"].clone();
        client.call("check_license", &json!({"username": username})).ok();
        client.call("check_license", &Value::Null).refused("MISSING_KEY");
    }
}

#[test]
fn every_form_of_a_date_is_understood_and_nonsense_is_not_sent() {
    let demo = Demo::start();
    let client = demo.client("dates");
    client.call("activate_license", &Value::Null).ok();
    client.call("check_feature", &mesh()).ok();
    let soon = Utc::now() + TimeDelta::hours(11);
    for (verb, base) in [("borrow_license", json!({})), ("borrow_feature", mesh())] {
        for form in ["%Y-%m-%dT%H:%M:%S.016Z", "%Y-%m-%d %H:%M:%S.016", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M"] {
            let text = soon.format(form).to_string();
            let reply = client.call(verb, &with(&base, json!({"borrowed_until": text}))).ok();
            assert_eq!(reply["borrowed_until"], format_time(parse_time(&text).unwrap()), "{verb} {text}");
        }
        let offset = soon.with_timezone(&chrono::FixedOffset::east_opt(5 * 3600 + 1800).unwrap());
        let text = offset.format("%Y-%m-%dT%H:%M:%S%:z").to_string();
        let reply = client.call(verb, &with(&base, json!({"borrowed_until": text}))).ok();
        assert_eq!(parse_time(reply["borrowed_until"].as_str().unwrap()), parse_time(&text), "{verb} {text}");

        // No date at all, and none in so many words: the longest.
        for request in [base.clone(), with(&base, json!({}))] {
            let hours = client.call(verb, &request).ok()["max_borrow_time"].as_i64().unwrap();
            let until = client.call(verb, &request).ok()["borrowed_until"].as_str().unwrap().to_owned();
            let expected = Utc::now() + TimeDelta::hours(hours);
            assert!((parse_time(&until).unwrap() - expected).num_seconds().abs() < 5, "{verb} {until}");
        }
        for text in ["tomorrow", "2026-13-01", "2026-02-30 10:00", "27.09.2026", ""] {
            let error = client.call(verb, &with(&base, json!({"borrowed_until": text}))).failed("BAD_DATE", "not_sent");
            assert_eq!(error["attempts"], 0, "{text}");
        }
    }
    // A date alone is its midnight, so it needs a license that may be borrowed for longer than the rest of the day.
    let site = json!({"license_key": "CADP-SITE-WIDE-1000"});
    client.call("activate_license", &site).ok();
    let day = (Utc::now() + TimeDelta::days(3)).format("%Y-%m-%d").to_string();
    let reply = client.call("borrow_license", &with(&site, json!({"borrowed_until": day}))).ok();
    assert_eq!(reply["borrowed_until"], format!("{day}T00:00:00.000Z"));
}

#[test]
fn a_verb_by_name_is_the_verb_by_its_function() {
    let demo = Demo::start();
    let client = demo.client("names");
    let has_function: Vec<_> = VERBS.iter().map(|(name, _)| *name).collect();
    for operation in OPERATIONS {
        let is_about_slots = operation.slots != SlotEffect::None && !operation.is_of_bundle();
        let by_name_only = !is_about_slots && !operation.is_consumption();
        assert_ne!(has_function.contains(&operation.name), by_name_only, "{}", operation.name);
    }
    for (verb, request) in [
        ("activate_license", json!({})),
        ("check_license", json!({})),
        ("check_feature", mesh()),
        ("borrow_license", json!({"borrowed_until": format_time(Utc::now() + TimeDelta::hours(1))})),
        ("borrow_feature", mesh()),
    ] {
        let (own, named) = (client.call(verb, &request).ok(), client.call_by_name(verb, &request).ok());
        assert_eq!(keys(&own), keys(&named), "{verb}");
    }
    assert_eq!(client.call_by_name("product_details", &Value::Null).ok()["short_code"], demo.said["product"]);
    for (verb, request) in
        [("release_license", json!({})), ("release_feature", mesh()), ("deactivate_license", json!({}))]
    {
        client.call_by_name(verb, &request).ok();
    }
}

#[test]
fn a_wrong_clock_is_corrected_by_the_servers_once_and_remembered_once_proven() {
    let demo = Demo::start();
    // A server that is an hour ahead of this machine.
    let world = World::new(&demo, &json!({"now": "now+1h", "date_check": "world"}));
    world.client("clock").call("activate_license", &Value::Null).ok();
    let client = world.client("clock");
    let refused = json!({"license_key": "NO-SUCH-KEY"});
    for attempts in [2, 2] {
        let error = client.call("borrow_license", &refused).failed("LICENSE_NOT_FOUND", "rejected");
        assert_eq!(error["attempts"], attempts, "a refusal proves nothing, so the clock is corrected anew: {error}");
    }
    client.call("borrow_license", &Value::Null).ok();
    let error = client.call("borrow_license", &refused).failed("LICENSE_NOT_FOUND", "rejected");
    assert_eq!(error["attempts"], 1, "a proven reply has shown the server's time");
}

#[test]
fn a_consumption_whose_reply_was_lost_is_asked_for_again_by_its_name_and_booked_once() {
    let demo = Demo::start();
    let world = World::new(&demo, &json!({}));
    let license = json!({"license_key": demo.text("consumption_license_key")});
    let client = Client::open(&with(&world.config("hw"), license)).unwrap();
    client.call("activate_license", &Value::Null).ok();
    let lost =
        json!({"do": {"after_commit": "reset"}, "match": {"operation": "add_consumption"}, "when": {"times": 3}});
    world.control("POST /faults", &lost);
    let order = json!({"consumptions": 2, "idempotency_key": "order-17"});
    for _ in 0..3 {
        client.call("add_consumption", &order).failed("CONNECTION_LOST", "unknown");
    }
    assert_eq!(client.call("add_consumption", &order).ok()["total_consumptions"], 2);
    let twice = json!({"consumptions": 2});
    assert_eq!(client.call("add_consumption", &twice).ok()["total_consumptions"], 4);
    assert_eq!(client.call("add_consumption", &twice).ok()["total_consumptions"], 6, "each call has a name of its own");
    let other = json!({"consumptions": 3, "idempotency_key": "order-17"});
    client.call("add_consumption", &other).failed("VALIDATION_ERROR", "rejected");
}

#[test]
fn diagnose_tells_each_step_and_takes_no_slot() {
    let demo = Demo::start();
    let client = demo.client("doctor");
    client.call("activate_license", &Value::Null).ok();
    let report = client.diagnose();
    assert_eq!(report["ok"], true, "{report}");
    let verdicts = |report: &Value| -> Vec<(String, String)> {
        let checks = report["checks"].as_array().unwrap().iter();
        checks.map(|c| (c["check"].as_str().unwrap().into(), c["verdict"].as_str().unwrap().into())).collect()
    };
    let expected = [
        ("hardware_id", "ok"),
        ("storage", "skipped"),
        ("proxy", "skipped"),
        ("dns", "ok"),
        ("tcp", "ok"),
        ("tls", "skipped"),
        ("http", "ok"),
        ("clock_skew", "ok"),
        ("authorisation", "ok"),
        ("signature", "ok"),
    ];
    assert_eq!(verdicts(&report), expected.map(|(check, verdict)| (check.to_owned(), verdict.to_owned())));
    assert_eq!(client.call("check_license", &json!({"hardware_id": "doctor"})).ok()["floating_in_use_devices"], 1);

    let failing = |changes: Value| -> Vec<String> {
        let client = Client::open(&with(&demo.config("doctor"), changes)).unwrap();
        let failed = verdicts(&client.diagnose()).into_iter().filter(|(_, verdict)| verdict == "failed");
        failed.map(|(check, _)| check).collect()
    };
    let other = Demo::start();
    assert_eq!(failing(json!({"shared_key": "wrong"})), ["authorisation"]);
    assert_eq!(failing(json!({"product": "NOPE"})), ["authorisation"]);
    assert_eq!(failing(json!({"public_key": other.said["public_key"]})), ["signature"]);
    assert_eq!(failing(json!({"base_url": "http://127.0.0.1:9/api/v4"})), ["tcp"]);
    assert_eq!(failing(json!({"base_url": "http://nowhere.invalid", "allow_http": true, "proxy": "none"})), ["dns"]);
    let silent = World::silent(&demo);
    assert_eq!(failing(with(&silent.config("doctor"), json!({"timeout_ms": 200}))), ["http"]);
}

#[test]
fn refused_date_of_a_borrow_is_told_with_the_latest_that_would_do() {
    let demo = Demo::start();
    // Its clock stands still, so that the date that was told is not over.
    let world = World::new(&demo, &json!({ "rate": 0 }));
    let client = world.client("traveller");
    client.call("activate_license", &Value::Null).ok();
    for (verb, request, hours) in
        [("borrow_license", json!({}), 24), ("borrow_feature", json!({ "feature": "MESH" }), 12)]
    {
        client.call(&verb.replace("borrow", "check"), &request).ok();
        for date in ["2099-01-01", "2020-01-01"] {
            let wrong = with(&request, json!({ "borrowed_until": date }));
            let error = client.call(verb, &wrong).refused("BORROW_UNTIL_NOT_VALID");
            let message = error["message"].as_str().unwrap();
            assert!(message.contains(&format!("max_borrow_time is {hours} hours")), "{message}");
            let latest = message.split("no later than ").nth(1).unwrap().split(';').next().unwrap();
            let reply = client.call(verb, &with(&request, json!({ "borrowed_until": latest }))).ok();
            assert_eq!(reply["borrowed_until"], latest);
        }
    }
}
