//! Which requests a fault happens to, and what is said of it. What each kind does: tests/faults.rs of the client.

use serde_json::{Value, json};

use crate::common::sandbox::{Demo, World};

fn unavailable(status: u16) -> Value {
    json!({ "before": { "http": { "status": status } } })
}

/// (`when`, to which of ten requests it happens).
const WHEN: &[(&str, &str)] = &[
    (r#"{}"#, "xxxxxxxxxx"),
    (r#"{"after":3}"#, "...xxxxxxx"),
    (r#"{"times":2}"#, "xx........"),
    (r#"{"times":0}"#, ".........."),
    (r#"{"every":3}"#, "..x..x..x."),
    (r#"{"every":1}"#, "xxxxxxxxxx"),
    (r#"{"after":1,"every":2,"times":2}"#, "..x.x....."),
    (r#"{"probability":0}"#, ".........."),
    (r#"{"probability":1.0,"times":3.0}"#, "xxx......."),
];

#[test]
fn when_says_which_requests() {
    let demo = Demo::start();
    for (when, expected) in WHEN {
        let mut world = demo.still();
        world.fault(json!({}), serde_json::from_str(when).unwrap(), unavailable(503));
        assert_eq!(world.hits(10), *expected, "{when}");
        let listed = world.get("/faults")["faults"][0].clone();
        let happened = expected.matches('x').count();
        assert_eq!((listed["matched"].clone(), listed["happened"].clone()), (10.into(), happened.into()), "{when}");
    }
}

#[test]
fn chance_repeats_itself_from_its_seed() {
    let demo = Demo::start();
    let hits = |when: Value| {
        let mut world = demo.still();
        world.fault(json!({}), when, unavailable(503));
        (world.hits(40), world.get("/faults")["faults"][0]["when"]["seed"].clone())
    };
    let (first, seed) = hits(json!({ "probability": 0.5, "seed": 7 }));
    assert!(first.contains('x') && first.contains('.'), "{first}");
    assert_eq!(seed, 7);
    assert_eq!(hits(json!({ "probability": 0.5, "seed": 7 })).0, first);
    assert_ne!(hits(json!({ "probability": 0.5, "seed": 8 })).0, first);
    // One that is chosen is told, and repeats too.
    let (chosen, seed) = hits(json!({ "probability": 0.5 }));
    assert_eq!(hits(json!({ "probability": 0.5, "seed": seed })).0, chosen);
}

#[test]
fn a_fault_ends_when_the_world_says_so() {
    let demo = Demo::start();
    let mut world = demo.still();
    world.fault(json!({}), json!({ "until": "now+10m" }), unavailable(503));
    world.fault(json!({}), json!({ "until": "2026-01-01T01:00:00Z" }), unavailable(502));
    let status = |world: &mut World<'_>, by: &str| {
        world.control("POST /clock/advance", &json!({ "by": by }));
        world.ask("activate_license", "hw", Value::Null).status
    };
    assert_eq!(["9m 59s", "1s", "49m", "1m"].map(|by| status(&mut world, by)), [503, 502, 502, 200]);
}

#[test]
fn the_first_that_matches_and_is_due_happens() {
    let demo = Demo::start();
    let mut world = demo.still();
    let first = world.fault(json!({}), json!({ "times": 1 }), unavailable(503));
    let second = world.fault(json!({}), json!({}), unavailable(502));
    world.fault(json!({}), json!({}), unavailable(504));
    let heard: Vec<_> = (0..3)
        .map(|_| world.ask("check_license", "hw", Value::Null))
        .map(|answer| (answer.status, answer.headers["x-sandbox-fault"].clone()))
        .collect();
    let said = |id: u64| format!("{id} before.http");
    assert_eq!(heard, [(503, said(first)), (502, said(second)), (502, said(second))]);
    let listed = world.get("/faults")["faults"].clone();
    let counts = listed.as_array().unwrap().iter().map(|fault| (fault["matched"].clone(), fault["happened"].clone()));
    assert_eq!(json!(counts.collect::<Vec<_>>()), json!([[3, 1], [2, 2], [0, 0]]));
}

#[test]
fn match_says_whose_requests() {
    let demo = Demo::start();
    let user = json!({ "username": "ada@example.com", "password": "correct-horse", "license_key": null });
    for (matching, operation, parameters, other) in [
        (json!({ "operation": "check_license" }), "check_license", json!({}), json!(null)),
        (
            json!({ "license_key": "CADP-SITE-WIDE-1000" }),
            "check_license",
            json!({ "license_key": "CADP-SITE-WIDE-1000" }),
            json!({}),
        ),
        (json!({ "username": "ada@example.com" }), "activate_license", user, json!({})),
        (json!({ "hardware_id": "hw-2" }), "check_license", json!({ "hardware_id": "hw-2" }), json!({})),
        (json!({ "feature": "MESH" }), "check_feature", json!({ "feature": "MESH" }), json!({ "feature": "EXPORT" })),
        (
            json!({ "operation": "check_feature", "feature": "MESH" }),
            "check_feature",
            json!({ "feature": "MESH" }),
            json!({ "feature": "EXPORT" }),
        ),
    ] {
        let mut world = demo.still();
        world.fault(matching.clone(), json!({}), unavailable(503));
        assert_eq!(world.ask(operation, "hw", parameters).status, 503, "{matching}");
        let (operation, parameters) =
            if other.is_null() { ("activate_license", json!({})) } else { (operation, other) };
        assert_ne!(world.ask(operation, "hw", parameters).status, 503, "{matching}");
    }
    let world = demo.still();
    let mut api = world.api;
    let by_header = json!({ "match": { "header": { "USER-agent": "a", "x-b": "c" } }, "do": unavailable(503) });
    demo.call(&format!("POST /worlds/{}/faults", world.id), &by_header);
    for (more, status) in [
        (vec![("User-Agent", "a"), ("X-B", "c")], 503),
        (vec![("User-Agent", "A"), ("X-B", "c")], 404),
        (vec![("User-Agent", "a")], 404),
    ] {
        let mut headers = api.authorised();
        headers.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        assert_eq!(api.send("GET", "/api/v4/nothing", &headers, b"").unwrap().status, status, "{more:?}");
    }
}

#[test]
fn what_is_wrong_with_a_fault_is_said_and_the_list_stays() {
    let demo = Demo::start();
    let mut world = demo.still();
    world.fault(json!({}), json!({ "times": 1 }), unavailable(503));
    world.hits(1);
    let list = world.get("/faults");
    let good = json!({ "do": { "before": "hang" } });
    for (wrong, words) in [
        (json!({}), "missing field `do`"),
        (json!({ "do": "hang" }), "unknown variant `hang`"),
        (json!({ "do": { "before": "hang", "reply": "huge" } }), "`do`"),
        (json!({ "do": { "before": { "code": "no_such_code" } } }), "license_expired"),
        (json!({ "do": { "before": { "http": { "status": 418 } } } }), "429"),
        (json!({ "do": { "before": { "http": [503, null] } } }), "an object"),
        (json!({ "do": { "before": { "redirect": "http://a b/" } } }), "URL"),
        (json!({ "do": { "before": { "redirect": "" } } }), "URL"),
        (json!({ "do": { "before": { "delay": { "uniform_ms": [5, 1] } } } }), "smaller one first"),
        (json!({ "do": { "before": { "delay": { "log_normal": { "median_ms": 1, "sigma": 5.1 } } } } }), "sigma"),
        (json!({ "do": { "after_commit": { "dribble": { "bytes": 0, "every_ms": 1 } } } }), "at least 1"),
        (json!({ "do": { "after_commit": { "wrong_length": 0 } } }), "must not be 0"),
        (json!({ "do": { "before": "hang" }, "match": { "operation": "borrow" } }), "borrow_license"),
        (json!({ "do": { "before": "hang" }, "match": { "host": "x" } }), "`license_key`"),
        (json!({ "do": { "before": "hang" }, "match": [] }), "an object"),
        (json!({ "do": { "before": "hang" }, "when": { "every": 0 } }), "`when.every`"),
        (json!({ "do": { "before": "hang" }, "when": { "probability": 1.5 } }), "`when.probability`"),
        (json!({ "do": { "before": "hang" }, "when": { "times": -1 } }), "times"),
        (json!({ "do": { "before": "hang" }, "when": { "until": "soon" } }), "now+30days"),
        (json!({ "do": { "before": "hang" }, "when": [null, null] }), "an object"),
    ] {
        let said = world.refused(400, "POST /faults", &wrong);
        assert!(said.contains(words), "{wrong}: {said}");
        world.refused(400, "PUT /faults", &json!({ "faults": [good, wrong] }));
        assert_eq!(world.get("/faults"), list, "{wrong}");
    }
    let replaced = world.control("PUT /faults", &json!({ "faults": [good, good] }))["faults"].clone();
    assert_eq!((replaced[0]["id"].clone(), replaced[1]["id"].clone()), (2.into(), 3.into()));
    world.control("DELETE /faults/2", &Value::Null);
    assert!(world.refused(404, "DELETE /faults/2", &Value::Null).contains("unknown fault 2"));
    assert_eq!(world.get("/faults")["faults"][0]["id"], 3);
    world.control("DELETE /faults", &Value::Null);
    assert_eq!(world.get("/faults")["faults"], json!([]));

    world.control("PUT /faults", &json!({ "faults": vec![&good; 1000] }));
    assert!(world.refused(409, "POST /faults", &good).contains("1000"));
}

#[test]
fn a_fault_that_can_not_be_is_told_apart() {
    let demo = Demo::start();
    let mut world = demo.still();
    world.take_slot("hw");
    for (operation, what, said) in [
        ("release_license", json!({ "reply": "signature_missing" }), "reply.signature_missing not-applicable"),
        ("check_license", json!({ "reply": "signature_missing" }), "reply.signature_missing"),
        ("check_license", json!({ "reply": { "member_missing": "nothing" } }), "reply.member_missing not-applicable"),
        ("release_license", json!({ "reply": "json_broken" }), "reply.json_broken not-applicable"),
        (
            "check_license",
            json!({ "after_commit": { "dribble": { "bytes": 500, "every_ms": 0 } } }),
            "after_commit.dribble",
        ),
        ("check_license", json!({ "before": { "delay": { "fixed_ms": 1 } } }), "before.delay"),
    ] {
        world.control("DELETE /faults", &Value::Null);
        let id = world.fault(json!({}), json!({}), what);
        let answer = world.done(operation, "hw", Value::Null);
        assert_eq!(answer.headers["x-sandbox-fault"], format!("{id} {said}"));
        let altered = said == "reply.signature_missing" || operation == "release_license";
        assert_eq!(answer.headers.contains_key("licensesignature"), !altered, "{said}");
    }
    world.control("DELETE /faults", &Value::Null);
    world.take_slot("hw");
    assert!(!world.done("check_license", "hw", Value::Null).headers.contains_key("x-sandbox-fault"));
}

/// The faults that happened to so many requests under the profile.
fn under_profile(demo: &Demo, profile: &Value) -> (Value, Vec<Value>) {
    let mut world = demo.still();
    let said = world.control("POST /faults/profile", profile);
    assert_eq!(said["faults"], world.get("/faults")["faults"]);
    for _ in 0..60 {
        world.ask("check_license", "hw", Value::Null);
    }
    let entries = world.get("/journal")["entries"].clone();
    let faults = entries.as_array().unwrap().iter().map(|entry| entry["fault"].clone()).collect();
    (said["seed"].clone(), faults)
}

#[test]
fn a_profile_repeats_itself_from_the_seed_that_it_tells() {
    let demo = Demo::start();
    let (seed, happened) = under_profile(&demo, &json!({ "profile": "corporate-proxy" }));
    let again = json!({ "profile": "corporate-proxy", "seed": seed });
    assert_eq!(under_profile(&demo, &again), (seed, happened));
    let of_seed = |seed: u64| under_profile(&demo, &json!({ "profile": "corporate-proxy", "seed": seed })).1;
    let first = of_seed(1);
    assert!(first.iter().any(Value::is_string) && first.iter().any(Value::is_null), "{first:?}");
    assert_ne!(of_seed(2), first);

    for (profile, count) in [("flaky-wifi", 4), ("server-restart", 2), ("outage", 1)] {
        let world = demo.still();
        let faults = world.control("POST /faults/profile", &json!({ "profile": profile, "seed": 5 }))["faults"].clone();
        assert_eq!(faults.as_array().unwrap().len(), count, "{profile}");
        world.refused(400, "POST /faults/profile", &json!({ "profile": profile, "until": "soon" }));
        assert_eq!(world.get("/faults")["faults"], faults);
    }
    assert!(demo.refused(400, "POST /faults/profile", &json!({ "profile": "rain" })).contains("flaky-wifi"));
}

#[test]
fn a_profile_ends_when_it_was_to() {
    let demo = Demo::start();
    let mut world = demo.still();
    world.control("POST /faults/profile", &json!({ "profile": "outage", "until": "now+10m" }));
    let lost = world.api.try_call("check_license", &json!({ "product": "CAD-PRO" }));
    assert!(lost.is_err(), "{lost:?}");
    world.control("POST /clock/advance", &json!({ "by": "10m" }));
    world.take_slot("hw");
}

/// They belong to the world as its licenses do.
#[test]
fn presets_outlast_the_list_of_faults() {
    let demo = Demo::start();
    let mut world = demo.world(&json!({ "presets": true }));
    assert_eq!(world.get("/faults")["faults"], json!([]));
    assert_eq!(world.get("/invariants")["faults_without_effect"], json!([]));
    let presets = world.said["presets"].as_array().unwrap().clone();
    let by_fault = presets.iter().find(|preset| preset["config"]["hardware_id"] == "preset-trial_not_allowed").unwrap();
    world.fault(json!({}), json!({}), unavailable(503));
    world.control("DELETE /faults", &Value::Null);
    assert_eq!(world.get("/faults")["faults"], json!([]));
    let code = |world: &mut World<'_>| world.ask("check_license", "preset-trial_not_allowed", json!({})).code();
    assert_eq!(code(&mut world).as_deref(), by_fault["code"].as_str());
    world.control("PUT /faults", &json!({ "faults": [{ "do": unavailable(503) }] }));
    assert_eq!(code(&mut world).as_deref(), by_fault["code"].as_str(), "its own comes first");
}

#[test]
fn replies_of_faults_have_the_date_of_the_world() {
    let demo = Demo::start();
    let mut world = demo.world(&json!({ "now": "2031-05-06T07:08:09Z", "rate": 0, "date_check": "world" }));
    for what in [unavailable(503), json!({ "before": { "code": "blacklisted" } }), json!({ "before": "html_page" })] {
        world.control("PUT /faults", &json!({ "faults": [{ "do": what }] }));
        let answer = world.ask("check_license", "hw", Value::Null);
        assert_eq!(answer.headers["date"], "Tue, 06 May 2031 07:08:09 GMT", "{what}");
    }
}

/// A client that says that it goes waits for the end of the connection.
#[test]
fn reply_that_a_fault_writes_closes_when_the_client_wants_it() {
    let demo = Demo::start();
    for what in [json!({ "dribble": { "bytes": 50, "every_ms": 1 } }), json!({ "wrong_length": -1 })] {
        let mut world = demo.still();
        world.fault(json!({}), json!({}), json!({ "after_commit": what }));
        let answer = world.ask_with("activate_license", "hw", Value::Null, &[("Connection", "close")]);
        assert_eq!(answer.headers["connection"], "close", "{what}");
        assert!(world.api.is_closed(), "{what}");
    }
}
