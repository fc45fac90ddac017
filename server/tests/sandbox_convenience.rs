//! What spares testers work: a config that is ready to use, profiles for one device only, near misses worth reading.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::Utc;
use common::Client;
use floatlease::model::format_http_date;
use floatlease_server::sandbox::Sandbox;
use serde_json::{Value, json};

fn started() -> (Sandbox, Value) {
    let (sandbox, said) = Sandbox::start("{}").unwrap();
    (sandbox, serde_json::from_str(&said).unwrap())
}

fn control(sandbox: &Sandbox, method_path: &str, body: &Value) -> Result<Value, String> {
    let reply = sandbox.control(method_path, &body.to_string()).map_err(|error| error.to_string())?;
    Ok(serde_json::from_str(&reply).unwrap())
}

#[test]
fn what_a_sandbox_can_not_start_with_is_said() {
    for (options, said) in [
        ("[]", "expected a JSON object"),
        (r#"{"contol_port":0}"#, "`contol_port`"),
        (r#"{"contol_port":0}"#, "or, for a sandbox, `port` or `control_port`"),
        (r#"{"port":"80"}"#, "`port` must be a port from 0"),
        (r#"{"control_port":70000}"#, "`control_port` must be a port from 0"),
        (r#"{"rate":-1}"#, "`rate` must be from 0"),
        (r#"{"catalogue":{"product":[{"cod":"P"}]}}"#, "did you mean `code`?"),
        (r#"{"faults":[{"do":{"before":"hangs"}}]}"#, "`faults[0].do.before`: unknown variant `hangs`"),
    ] {
        let refused = Sandbox::start(options).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(refused.contains(said), "{options}: {refused}");
    }
    let held = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = held.local_addr().unwrap().port();
    for key in ["port", "control_port"] {
        let refused = Sandbox::start(&format!(r#"{{"{key}":{taken}}}"#)).err().map(|error| error.to_string());
        assert!(refused.as_ref().is_some_and(|why| why.contains(&taken.to_string())), "{key}: {refused:?}");
    }
    drop(held);
}

#[test]
fn a_clients_config_can_be_had_whole_and_for_any_device() {
    let (sandbox, said) = started();
    let config = |path: &str, body: Value| control(&sandbox, &format!("GET {path}"), &body);
    assert_eq!(config("/client_config", json!({})).unwrap(), said["client_config"]);
    for (path, body) in [
        ("/client_config", json!({"hardware_id": "17"})),
        ("/client_config?hardware_id=17", json!({})),
        ("/worlds/main/client_config?hardware_id=17", json!({})),
    ] {
        let mut expected = said["client_config"].clone();
        expected["hardware_id"] = "17".into();
        assert_eq!(config(path, body).unwrap(), expected, "{path}");
    }
    let error = config("/client_config", json!({"hardware_id": {}})).unwrap_err();
    assert_eq!(error, "`hardware_id` must be a string");
}

#[test]
fn a_profile_may_be_one_devices_trouble() {
    let (sandbox, said) = started();
    let text = |name: &str| said[name].as_str().unwrap();
    let mut client = Client::new(text("base_url"), text("api_key"), text("shared_key"));
    let outage = json!({"profile": "outage", "match": {"hardware_id": "mine"}});
    let reply = control(&sandbox, "POST /faults/profile", &outage).unwrap();
    assert_eq!(reply["faults"][0]["match"], json!({"hardware_id": "mine"}));
    let theirs = json!({"product": "CAD-PRO", "license_key": "CADP-FLOA-TING-0002", "hardware_id": "theirs"});
    assert_eq!(client.call("activate_license", &theirs).code(), None);
    assert_eq!(control(&sandbox, "GET /faults", &json!({})).unwrap()["faults"][0]["happened"], 0);
}

#[test]
fn an_event_is_no_near_miss_of_a_request() {
    let (sandbox, _) = started();
    // The only entry of the journal: a license of the sample ends.
    control(&sandbox, "POST /clock/advance", &json!({"to_next": true})).unwrap();
    let expect = |filter: Value| control(&sandbox, "POST /journal/expect", &json!({"filter": filter})).unwrap_err();
    let of_request = expect(json!({"operation": "borrow_license"}));
    assert!(of_request.ends_with("; no entry comes near"), "{of_request}");
    let of_event = expect(json!({"event": "slot_taken"}));
    assert!(of_event.ends_with(r#"; near: entry 1: event is "license_expired", not "slot_taken""#), "{of_event}");
}

#[test]
fn a_signature_over_lower_case_is_a_known_mistake() {
    let (sandbox, said) = started();
    let fact = |name: &str| said[name].as_str().unwrap();
    let mut client = Client::new(fact("base_url"), fact("api_key"), fact("shared_key"));
    let date = format_http_date(Utc::now());
    for (seq, text, explanation) in [
        (0, format!("licensespring\ndate: {date}"), "The first line is written in lower case; it is licenseSpring."),
        (
            1,
            format!("licensespring\ndate: {date}").to_lowercase(),
            "The text is all in lower case; it is licenseSpring,",
        ),
    ] {
        let key = hmac::Key::new(hmac::HMAC_SHA256, fact("shared_key").as_bytes());
        let signature = STANDARD.encode(hmac::sign(&key, text.as_bytes()));
        let api_key = fact("api_key");
        let authorization =
            format!(r#"algorithm="hmac-sha256", headers="date", signature="{signature}", apikey="{api_key}""#);
        let headers = [("Date".to_owned(), date.clone()), ("Authorization".to_owned(), authorization)];
        client.send("GET", "/api/v4/product_details?product=CAD-PRO", &headers, b"").unwrap();
        let journal = control(&sandbox, "GET /journal", &json!({"after": seq})).unwrap();
        let said = journal["entries"][0]["near_miss"]["explanation"].as_str().unwrap();
        assert!(said.starts_with(explanation), "{said}");
    }
}
