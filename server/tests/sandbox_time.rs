//! Time in the sandbox: what is due happens at its instant, and the advance names it.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::Client;
use floatlease_server::sandbox::Sandbox;
use serde_json::{Value, json};

struct World {
    sandbox: Sandbox,
    client: Client,
}

impl World {
    /// The sample catalogue, with the clock standing at `now`.
    fn at(now: &str) -> World {
        let (sandbox, said) = Sandbox::start(&json!({ "now": now, "rate": 0 }).to_string()).unwrap();
        let said: Value = serde_json::from_str(&said).unwrap();
        let text = |name: &str| said[name].as_str().unwrap();
        let client = Client::new(text("base_url"), text("api_key"), text("shared_key"));
        World { sandbox, client }
    }

    /// The code of the refusal, if it is refused.
    fn ask(&mut self, operation: &str, license_key: &str, hardware_id: &str, more: Value) -> Option<String> {
        let mut parameters = json!({ "product": "CAD-PRO", "license_key": license_key, "hardware_id": hardware_id });
        parameters.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.client.call(operation, &parameters).code()
    }

    fn succeed(&mut self, operation: &str, license_key: &str, hardware_id: &str, more: Value) {
        assert_eq!(self.ask(operation, license_key, hardware_id, more), None, "{operation} {license_key}");
    }

    fn control(&self, method_path: &str, body: Value) -> Value {
        serde_json::from_str(&self.sandbox.control(method_path, &body.to_string()).unwrap()).unwrap()
    }

    /// What happened on the way: (instant, event, license, feature, device).
    fn advance(&self, how: Value) -> Vec<[String; 5]> {
        let reply = self.control("POST /clock/advance", how);
        let text = |due: &Value, name: &str| due[name].as_str().unwrap_or_default().to_owned();
        let names = ["at", "event", "license", "feature", "hardware_id"];
        reply["happened"].as_array().unwrap().iter().map(|due| names.map(|name| text(due, name))).collect()
    }

    fn now(&self) -> String {
        self.control("GET /clock", json!({}))["now"].as_str().unwrap().to_owned()
    }

    fn holders(&self) -> usize {
        self.control("GET /slots", json!({}))["slots"].as_array().unwrap().len()
    }
}

fn happened(rows: &[[&str; 5]]) -> Vec<[String; 5]> {
    rows.iter().map(|row| row.map(str::to_owned)).collect()
}

const TWO_SLOTS: &str = "CADP-FLOA-TING-0002";
const A_MONTH: &str = "CADP-SITE-WIDE-1000";
const MONTHLY: &str = "CADP-CONS-UMPT-0003";

#[test]
fn a_lease_of_120_minutes_is_free_after_121_and_the_answer_names_it() {
    let mut world = World::at("2026-01-01T00:00:00Z");
    world.succeed("activate_license", TWO_SLOTS, "hw-1", json!({}));
    world.succeed("check_license", TWO_SLOTS, "hw-1", json!({}));
    assert_eq!(world.advance(json!({"by": "119m"})), happened(&[]));
    assert_eq!(world.holders(), 1);
    world.succeed("check_license", TWO_SLOTS, "hw-1", json!({}));
    assert_eq!(
        world.advance(json!({"by": "121m"})),
        happened(&[["2026-01-01T03:59:00.000Z", "slot_expired", TWO_SLOTS, "", "hw-1"]])
    );
    assert_eq!((world.now().as_str(), world.holders()), ("2026-01-01T04:00:00.000Z", 0));
    let events = world.control("GET /journal", json!({}))["entries"].clone();
    let expired = events.as_array().unwrap().iter().find(|entry| entry["event"] == "slot_expired").unwrap();
    assert_eq!(expired["time"], "2026-01-01T03:59:00.000Z", "as the journal has it");
}

#[test]
fn a_borrow_of_30_days_ends_on_the_30th() {
    let mut world = World::at("2028-02-15T12:00:00Z");
    world.succeed("activate_license", A_MONTH, "hw-1", json!({}));
    world.succeed("borrow_license", A_MONTH, "hw-1", json!({"borrowed_until": null}));
    assert_eq!(world.advance(json!({"by": "29days 23h 59m"})), happened(&[]));
    assert_eq!(world.holders(), 1);
    let end = "2028-03-16T12:00:00.000Z";
    assert_eq!(world.control("GET /clock", json!({}))["next"][0]["at"], end);
    assert_eq!(world.advance(json!({"by": "2m"})), happened(&[[end, "borrow_ended", A_MONTH, "", "hw-1"]]));
    assert_eq!(world.holders(), 0);
}

#[test]
fn a_month_of_consumption_begins_at_its_first_instant_in_a_leap_year_too() {
    for (before, begins) in [
        ("2028-02-29T23:00:00Z", "2028-03-01T00:00:00.000Z"),
        ("2027-02-28T23:00:00Z", "2027-03-01T00:00:00.000Z"),
        ("2028-12-31T23:00:00Z", "2029-01-01T00:00:00.000Z"),
    ] {
        let mut world = World::at(before);
        world.succeed("activate_license", MONTHLY, "hw", json!({}));
        world.succeed("add_consumption", MONTHLY, "hw", json!({"consumptions": 3}));
        let used_up = Some("license_not_enough_consumptions".to_owned());
        assert_eq!(world.ask("add_consumption", MONTHLY, "hw", json!({})), used_up);
        assert_eq!(world.advance(json!({"by": "59m 59s 999ms"})), happened(&[]));
        assert_eq!(world.ask("add_consumption", MONTHLY, "hw", json!({})), used_up, "{before}");
        let began = [[begins, "consumption_period_began", MONTHLY, "", ""]];
        assert_eq!(world.advance(json!({"to_next": true})), happened(&began));
        assert_eq!(world.now(), begins);
        world.succeed("add_consumption", MONTHLY, "hw", json!({"consumptions": 3}));
    }
}

#[test]
fn what_is_due_on_a_long_way_happens_in_order_and_once() {
    let mut world = World::at("2028-02-28T12:00:00Z");
    for device in ["a", "b"] {
        world.succeed("activate_license", TWO_SLOTS, device, json!({}));
    }
    world.succeed("check_license", TWO_SLOTS, "a", json!({}));
    world.succeed("check_license", TWO_SLOTS, "b", json!({}));
    world.succeed("check_feature", TWO_SLOTS, "a", json!({"feature": "MESH"}));
    world.succeed("borrow_feature", TWO_SLOTS, "a", json!({"feature": "MESH", "borrowed_until": null}));
    world.succeed("add_feature_consumption", TWO_SLOTS, "a", json!({"feature": "AI-RUNS"}));
    let mut all = world.advance(json!({"to": "2029-01-01"}));
    all[..2].sort_by(|one, other| one[4].cmp(&other[4]));
    assert_eq!(
        all,
        happened(&[
            ["2028-02-28T14:00:00.000Z", "slot_expired", TWO_SLOTS, "", "a"],
            ["2028-02-28T14:00:00.000Z", "slot_expired", TWO_SLOTS, "", "b"],
            ["2028-02-29T00:00:00.000Z", "borrow_ended", TWO_SLOTS, "MESH", "a"],
            ["2028-02-29T00:00:00.000Z", "consumption_period_began", TWO_SLOTS, "AI-RUNS", ""],
        ])
    );
    assert_eq!(world.advance(json!({"by": "365days"})), happened(&[]), "a total of 0 starts nothing again");
}

#[test]
fn licenses_and_features_begin_and_end_by_the_worlds_time() {
    let catalogue = json!({
        "product": [{"code": "P"}],
        "license": [{
            "product": "P", "license_key": "K", "license_type": "subscription", "grace_period_hours": 24,
            "start_date": "now+1h", "validity_period": "now+10days", "allow_unlimited_activations": true,
            "feature": [{"code": "F", "expiry_date": "now+2days"}],
        }],
    });
    let options = json!({"catalogue": catalogue, "now": "2030-05-01", "rate": 0});
    let (sandbox, _) = Sandbox::start(&options.to_string()).unwrap();
    let mut seen = Vec::new();
    while let Ok(reply) = sandbox.control("POST /clock/advance", r#"{"to_next": true}"#) {
        let reply: Value = serde_json::from_str(&reply).unwrap();
        let due = &reply["happened"][0];
        seen.push(format!("{} {} {}", due["at"].as_str().unwrap(), due["event"].as_str().unwrap(), due["feature"]));
    }
    assert_eq!(
        seen,
        [
            "2030-05-01T01:00:00.000Z license_started null",
            "2030-05-03T00:00:00.000Z feature_expired \"F\"",
            "2030-05-12T00:00:00.000Z license_expired null"
        ]
    );
    let nothing = sandbox.control("POST /clock/advance", r#"{"to_next": true}"#).unwrap_err().to_string();
    assert!(nothing.contains("nothing is due"), "{nothing}");
}
