//! The description of the control interface against the interface: its routes, and real replies of each.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod common;

use std::collections::BTreeSet;

use common::description::{check, closed};
use common::sandbox::Demo;
use serde_json::{Value, json};

const METHODS: [&str; 5] = ["get", "post", "put", "delete", "patch"];

fn document(demo: &Demo) -> Value {
    demo.call("GET /openapi.json", &Value::Null).1
}

/// Every path and the methods it is described for.
fn described(document: &Value) -> Vec<(String, Vec<String>)> {
    let paths = document["paths"].as_object().unwrap();
    paths.iter().map(|(path, item)| (path.clone(), item.as_object().unwrap().keys().cloned().collect())).collect()
}

#[test]
fn it_says_where_the_interface_is_and_names_each_operation_once() {
    let demo = Demo::start();
    let document = document(&demo);
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(document["servers"][0]["url"], demo.sandbox.connection_info().get("control_url").unwrap());
    let operations =
        || document["paths"].as_object().unwrap().values().flat_map(|item| item.as_object().unwrap().values());
    let names: BTreeSet<&str> = operations().map(|operation| operation["operationId"].as_str().unwrap()).collect();
    assert_eq!(names.len(), operations().count());
    assert!(operations().all(|operation| !operation["summary"].as_str().unwrap().is_empty()));
}

#[test]
fn it_has_every_route_and_no_other() {
    let demo = Demo::start();
    let world = demo.still().id;
    let described = described(&document(&demo));
    assert_eq!(described.iter().map(|(_, methods)| methods.len()).sum::<usize>(), 24 + 18);
    for (path, methods) in &described {
        let path = path.replace("{world}", &world).replace("{id}", "7");
        for method in METHODS {
            // What no call takes: one that exists says so of it, one that doesn't says what does.
            let answer = demo.send(&method.to_uppercase(), &path, &[], br#"{"no_member_of_any":1}"#);
            if methods.iter().any(|described| described == method) {
                assert_eq!(
                    (answer.status, answer.json()["code"].as_str().unwrap()),
                    (400, "invalid"),
                    "{method} {path}"
                );
                continue;
            }
            assert_eq!(answer.status, 404, "{method} {path}: {answer:?}");
            let right: Vec<String> = methods.iter().map(|method| method.to_uppercase()).collect();
            let said = answer.json()["message"].as_str().unwrap().to_owned();
            assert!(right.iter().all(|right| said.contains(right)), "{method} {path}: {said}");
        }
        // Other paths, also those that look like one of a world.
        for other in [format!("{path}/x/y"), format!("/x{path}"), format!("/worlds/main/worlds{path}")] {
            let (status, reply) = demo.call(&format!("GET {other}"), &Value::Null);
            assert_eq!((status, &reply["code"]), (404, &json!("not_found")), "{other}");
            assert!(reply["message"].as_str().unwrap().contains("/openapi.json"), "{reply}");
        }
    }
    for path in ["", "/", "//", "/worlds//clock", "/clock/advance/x", "/worlds/main/listener", "/openapi.yaml"] {
        assert_eq!(demo.call(&format!("GET {path}"), &Value::Null).0, 404, "{path:?}");
    }
}

/// (call, body, status): each route, with and without success. `WORLD` is a world of its own.
const CALLS: &[(&str, &str, u16)] = &[
    ("GET /slots", "", 200),
    ("GET /invariants", "", 200),
    ("GET /clock", "", 200),
    ("POST /clock", r#"{"rate":0,"date_check":"real"}"#, 200),
    ("POST /clock", r#"{"rate":-1}"#, 400),
    ("POST /clock/advance", r#"{"by":"3h"}"#, 200),
    ("POST /clock/advance", r#"{"to_next":true}"#, 200),
    ("POST /clock/advance", r#"{"to":"1999-01-01"}"#, 409),
    ("POST /clock/jump", r#"{"by":"-1h"}"#, 200),
    (
        "POST /faults",
        r#"{"do":{"before":{"http":{"status":503,"retry_after_s":1}}},"match":{"hardware_id":"x"},"when":{"probability":0.5,"until":"now+1h"}}"#,
        200,
    ),
    ("GET /faults", "", 200),
    (
        "PUT /faults",
        r#"{"faults":[{"do":{"reply":"replay"},"when":{"times":0}},{"do":{"after_commit":{"delay":{"log_normal":{"median_ms":1,"sigma":1}}}},"when":{"times":0}}]}"#,
        200,
    ),
    ("DELETE /faults/3", "", 200),
    ("DELETE /faults/3", "", 404),
    ("POST /faults/profile", r#"{"profile":"server-restart","until":"now+1h"}"#, 200),
    ("POST /faults/profile", r#"{"profile":"outage","match":{"hardware_id":"7"},"until":"now"}"#, 200),
    ("GET /journal", "", 200),
    ("GET /journal?after=1&limit=3", "", 200),
    ("GET /journal?after=no", "", 400),
    ("POST /journal/count", r#"{"filter":{"kind":"request"}}"#, 200),
    ("POST /journal/expect", r#"{"filter":{"kind":"event"}}"#, 200),
    ("POST /journal/expect", r#"{"filter":{"kind":"nothing"}}"#, 417),
    ("DELETE /journal", "", 200),
    ("POST /tokens/expire", "", 200),
    ("DELETE /faults", "", 200),
    ("GET /client_config", "", 200),
    ("GET /client_config?hardware_id=7", "", 200),
    ("GET /worlds", "", 200),
    (
        "POST /worlds",
        r#"{"presets":true,"now":"now-1h","order":false,"idempotency":false,"faults":[{"do":{"before":"hang"}}]}"#,
        200,
    ),
    ("GET /worlds/WORLD", "", 200),
    ("DELETE /worlds/main", "", 409),
    ("DELETE /worlds/WORLD", "", 200),
    ("DELETE /worlds/WORLD", "", 404),
    ("POST /listener", r#"{"open":false}"#, 200),
    ("POST /listener", r#"{"open":true}"#, 200),
    ("GET /openapi.json", "", 200),
];

/// Something of everything in the journal of the world: requests refused and done, a fault, each kind of event.
fn live(demo: &Demo) -> String {
    let mut world = demo.still();
    world.take_slot("hw");
    world.done("borrow_license", "hw", json!({ "borrowed_until": null }));
    world.done("add_feature_consumption", "hw", json!({ "feature": "AI-RUNS" }));
    world.control("POST /clock/advance", &json!({ "by": "30h" }));
    world.fault(json!({}), json!({ "times": 1 }), json!({ "before": { "code": "license_expired" } }));
    world.ask("check_license", "hw", Value::Null);
    world.take_slot("hw");
    world.api.shared_key = "wrong".to_owned();
    world.ask("check_license", "hw", Value::Null);
    world.id
}

#[test]
fn real_replies_are_as_it_says() {
    let demo = Demo::start();
    let world = live(&demo);
    // So that faults have the same numbers in both.
    demo.call("POST /faults", &json!({ "do": { "before": "hang" } }));
    let mut document = document(&demo);
    let described: Vec<String> = described(&document)
        .into_iter()
        .flat_map(|(path, methods)| methods.into_iter().map(move |method| format!("{} {path}", method.to_uppercase())))
        .collect();
    closed(&mut document);
    let mut succeeded = BTreeSet::new();
    for (call, body, status) in CALLS {
        let (method, path) = call.split_once(' ').unwrap();
        let template = path.split('?').next().unwrap().replace("/3", "/{id}");
        let template = template.replace("WORLD", "{id}").replace("main", "{id}");
        for (prefix, described_prefix) in [(String::new(), ""), (format!("/worlds/{world}"), "/worlds/{world}")] {
            let template = format!("{described_prefix}{template}");
            if !described.contains(&format!("{method} {template}")) {
                continue;
            }
            // The one from the beginning has no such past.
            if prefix.is_empty() && *status == 200 && path == "/journal/expect" {
                demo.sandbox.control("POST /clock/advance", r#"{"to":"2100-02-01"}"#).unwrap();
            }
            let asked = format!("{prefix}{}", path.replace("WORLD", &world));
            let answer = demo.send(method, &asked, &[], body.as_bytes());
            assert_eq!(answer.status, *status, "{call}: {answer:?}");
            check(&document, &template, &method.to_lowercase(), &answer);
            if *status == 200 {
                succeeded.insert(format!("{method} {template}"));
            }
        }
    }
    assert_eq!(succeeded, described.into_iter().collect());
}
