//! Worlds: what they are made from, how they end, and who may not ask.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::common::sandbox::Demo;

const TOML: &str = r#"
[[product]]
code = "P"
authorization_method = "license-key"
[[license]]
product = "P"
license_key = "KEY"
allow_unlimited_activations = true
validity_period = "now+30days"
"#;

fn json_catalogue() -> Value {
    json!({
        "product": [{ "code": "P", "authorization_method": "license-key" }],
        "license": [{
            "product": "P", "license_key": "KEY", "allow_unlimited_activations": true,
            "validity_period": "now + 30 days",
        }],
    })
}

#[test]
fn a_catalogue_is_an_object_or_a_text_and_its_times_may_be_relative() {
    let demo = Demo::start();
    for catalogue in [json_catalogue(), json_catalogue().to_string().into(), TOML.into()] {
        let mut world = demo.world(&json!({ "catalogue": catalogue, "now": "2028-02-01T00:00:00Z", "rate": 0 }));
        let answer = world.done("activate_license", "hw", json!({ "product": "P", "license_key": "KEY" }));
        assert_eq!(answer.json()["validity_period"], "2028-03-02T00:00:00.000Z", "{catalogue}");
        assert_eq!(world.said["license_key"], "KEY");
        assert_eq!(world.said["client_config"]["api_key"], world.said["api_key"]);
    }
}

#[test]
fn all_that_is_wrong_with_a_world_is_said_and_none_is_made() {
    let demo = Demo::start();
    let before = demo.worlds();
    let wrong = json!({
        "product": [{ "code": "P", "authorisation": "license-key" }],
        "license": [{ "product": "P", "licence_key": "K" }, { "product": "Q", "license_key": "L" }],
    });
    let at_time = |time: &str| {
        let mut catalogue = json_catalogue();
        catalogue["license"][0]["validity_period"] = time.into();
        json!({ "catalogue": catalogue })
    };
    for (options, words) in [
        (json!({ "catalogue": wrong }), vec!["authorisation", "\"Q\"", "licence_key"]),
        (json!({ "catalogue": "{\"product\": 1" }), vec!["`catalogue` is invalid JSON"]),
        (json!({ "catalogue": "[[product]" }), vec!["`catalogue`"]),
        (json!({ "catalogue": { "product": [{ "code": null }] } }), vec!["leave out members that are null"]),
        (at_time("nowhere"), vec!["`validity_period`", "now+30days"]),
        (json!({ "catalog": "" }), vec!["unknown field `catalog`", "`catalogue`", "`rate`"]),
        (json!({ "now": "1969-12-31" }), vec!["1970", "9000"]),
        (json!({ "now": "9999-01-01" }), vec!["1970", "9000"]),
        (json!({ "rate": -1 }), vec!["`rate`"]),
        (json!({ "rate": 1e9 }), vec!["`rate`"]),
        (json!({ "faults": [{ "do": { "before": "hang" } }, { "do": "hang" }] }), vec!["`faults[1].do`"]),
        (json!({ "faults": [[null, null, { "before": "hang" }]] }), vec!["`faults[0]`", "an object"]),
        (json!({ "date_check": "never" }), vec!["`date_check`", "`real`", "`world`"]),
        (json!({ "order": "no" }), vec!["`order`", "a boolean"]),
        (json!({ "idempotency": 0 }), vec!["`idempotency`", "a boolean"]),
        (json!([]), vec!["JSON object"]),
    ] {
        let said = demo.refused(400, "POST /worlds", &options);
        assert!(words.iter().all(|word| said.contains(word)), "{options}: {said}");
    }
    assert_eq!(demo.worlds(), before);
}

#[test]
fn an_api_key_leads_to_one_world() {
    let demo = Demo::start();
    let mut catalogue = json_catalogue();
    catalogue["api_key"] = json!([{ "key": "mine", "shared_key": "secret" }]);
    let options = json!({ "catalogue": catalogue });
    let mut first = demo.world(&options);
    let said = demo.refused(409, "POST /worlds", &options);
    assert!(said.contains("\"mine\""), "{said}");
    assert_eq!(demo.worlds(), ["main", first.id.as_str()]);

    (first.api.api_key, first.api.shared_key) = ("mine".to_owned(), "secret".to_owned());
    let parameters = json!({ "product": "P", "license_key": "KEY" });
    first.done("activate_license", "hw", parameters.clone());
    demo.call(&format!("DELETE /worlds/{}", first.id), &Value::Null);
    assert_eq!(first.ask("check_license", "hw", parameters).code().as_deref(), Some("invalid_api_key"));
    demo.world(&options);
}

#[test]
fn worlds_do_not_see_each_other_and_end_one_by_one() {
    let demo = Demo::start();
    let (mut first, mut second) = (demo.still(), demo.world(&json!({ "idle_s": 600.0 })));
    let mut ids = vec!["main".to_owned(), first.id.clone(), second.id.clone()];
    ids[1..].sort();
    assert_eq!(demo.worlds(), ids);
    assert_ne!(first.said["public_key"], second.said["public_key"]);
    assert_ne!(first.said["api_key"], second.said["api_key"]);
    assert_eq!(demo.call(&format!("GET /worlds/{}", first.id), &Value::Null).1, first.said);

    first.take_slot("hw");
    first.fault(
        Value::Null.as_object().cloned().unwrap_or_default().into(),
        json!({}),
        json!({ "before": "html_page" }),
    );
    first.control("POST /clock/advance", &json!({ "by": "1h" }));
    assert_eq!(second.ask("check_license", "hw", Value::Null).code().as_deref(), Some("device_not_found"));
    assert_eq!(second.slots(), []);
    assert_eq!(second.get("/faults")["faults"], json!([]));
    assert_eq!(second.get("/journal")["entries"].as_array().unwrap().len(), 1);

    // What the path says can't be said otherwise in the body.
    let both = demo.refused(400, &format!("DELETE /worlds/{}", first.id), &json!({ "id": second.id }));
    assert!(both.contains("`id`"), "{both}");
    assert_eq!(demo.call(&format!("DELETE /worlds/{}", first.id), &Value::Null), (200, json!({})));
    assert_eq!(first.ask("check_license", "hw", Value::Null).code().as_deref(), Some("invalid_api_key"));
    for path in ["GET /worlds/{}", "DELETE /worlds/{}", "GET /worlds/{}/clock"] {
        let said = demo.refused(404, &path.replace("{}", &first.id), &Value::Null);
        assert!(said.contains(&first.id), "{path}: {said}");
    }
    second.take_slot("hw");
    demo.refused(409, "DELETE /worlds/main", &Value::Null);
    assert_eq!(demo.worlds(), ["main", second.id.as_str()]);
}

#[test]
fn a_world_that_nobody_uses_ends() {
    let demo = Demo::start();
    let kept = demo.still();
    let idle = demo.world(&json!({ "idle_s": 1 }));
    let begun = Instant::now();
    while demo.worlds().contains(&idle.id) {
        assert!(begun.elapsed() < Duration::from_secs(60), "it is still there");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(demo.worlds(), ["main", kept.id.as_str()]);
}

#[test]
fn invariants_tell_how_a_world_was_left() {
    let demo = Demo::start();
    let mut world = demo.still();
    assert_eq!(
        world.get("/invariants"),
        json!({ "ok": true, "violations": [], "slots": [], "faults_without_effect": [] })
    );
    world.take_slot("hw");
    let happens = world.fault(json!({}), json!({ "times": 1 }), json!({ "before": "html_page" }));
    let never = world.fault(json!({ "hardware_id": "nobody" }), json!({}), json!({ "before": "hang" }));
    world.ask("check_license", "hw", Value::Null);
    let left = world.get("/invariants");
    let slot = json!({
        "license": "CADP-FLOA-TING-0002", "feature": null, "hardware_id": "hw",
        "until": "2026-01-01T02:00:00.000Z", "borrowed": false,
    });
    assert_eq!((left["ok"].clone(), left["slots"].clone()), (true.into(), json!([slot])));
    assert_eq!(left["faults_without_effect"], json!([never]), "{happens}");
    assert_eq!(world.get("/slots"), json!({ "slots": [slot] }));
}

#[test]
fn a_page_in_a_browser_may_not_call() {
    let demo = Demo::start();
    let origin = [("Origin".to_owned(), "http://127.0.0.1".to_owned())];
    for (method, path) in [("GET", "/clock"), ("POST", "/worlds"), ("POST", "/listener")] {
        let answer = demo.send(method, path, &origin, b"");
        assert_eq!(answer.status, 400, "{answer:?}");
        assert!(answer.json()["message"].as_str().unwrap().contains("browser"));
    }
    assert_eq!(demo.worlds(), ["main"]);
}
