//! A day of 24 hours in seconds: bad Wi-Fi, an outage, a sleep. What the host hears of it, and what the server counts.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use serde_json::{Value, json};
use std::time::Duration;
use support::Demo;
use support::abi::{Client, Lease};
use support::sandbox::World;

const MINUTE_MS: i64 = 60_000;
const TIMEOUT_MS: i64 = 10 * MINUTE_MS;
const GRACE_MS: i64 = 5 * MINUTE_MS;
/// A request may take so long; what is told in between is told with the time it is then.
const TOLERANCE_MS: i64 = 3_000;

/// The day, minute by minute: the server's clock goes first, and the client's follows.
struct Day {
    world: World,
    client: Client,
    lease: Lease,
    /// What was told, in order.
    told: Vec<Value>,
}

impl Day {
    fn begin(demo: &Demo) -> Day {
        let catalogue = json!({
            "product": [{ "code": "DAY" }],
            "license": [{
                "product": "DAY", "license_key": "DAY-KEY", "allow_unlimited_activations": true,
                "floating": { "users": 2, "timeout_minutes": 10 },
            }],
        });
        let world = World::new(demo, &json!({ "rate": 0, "catalogue": catalogue }));
        let client = world.client("my-desk");
        client.call("activate_license", &Value::Null).ok();
        let request = json!({ "timeout_ms": 200, "grace_ms": GRACE_MS });
        let (lease, _) = client.acquire(&request);
        Day { world, client, lease, told: Vec::new() }
    }

    /// So much time passes at once; then everything is done that was due.
    fn pass(&mut self, by_ms: i64) {
        self.world.control("POST /clock/advance", &json!({ "by": format!("{by_ms}ms") }));
        self.client.advance(u32::try_from(by_ms).unwrap());
        while self.lease.info()["renews_in_ms"] == 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
        self.read();
        assert!(self.world.slots_of("my-desk").len() <= 1);
    }

    fn read(&mut self) {
        while let event @ Value::Object(_) = self.client.next_event(0).unwrap() {
            self.told.push(event);
        }
    }

    fn minutes(&mut self, count: i64) {
        (0..count).for_each(|_| self.pass(MINUTE_MS));
    }

    fn fault(&self, what: &Value, probability: f64, seed: u64) {
        let when = json!({ "probability": probability, "seed": seed });
        self.world.control("POST /faults", &json!({ "when": when, "do": what }));
    }

    fn bad_wifi(&self) {
        self.fault(&json!({ "after_commit": "reset" }), 0.02, 1);
        self.fault(&json!({ "before": { "http": { "status": 503 } } }), 0.01, 2);
    }
}

/// Milliseconds since 1970 of when an event was told.
fn at(event: &Value) -> i64 {
    floatlease::model::parse_time(event["at"].as_str().unwrap()).unwrap().timestamp_millis()
}

/// Whether an event of this name may be told of a lease in that state, and in which it then is.
fn turn(state: &str, event: &str) -> Option<&'static str> {
    match (state, event) {
        ("ACTIVE" | "DEGRADED", "RENEWED") | ("GRACE" | "LOST", "REGAINED") => Some("ACTIVE"),
        ("ACTIVE", "DEGRADED") => Some("DEGRADED"),
        ("ACTIVE" | "DEGRADED", "GRACE_STARTED") => Some("GRACE"),
        ("ACTIVE" | "DEGRADED" | "GRACE", "LOST") => Some("LOST"),
        _ => None,
    }
}

#[test]
fn a_day_of_bad_wifi_an_outage_and_a_sleep() {
    let demo = Demo::start();
    let mut day = Day::begin(&demo);
    day.bad_wifi();
    day.minutes(6 * 60);
    // An hour without a network.
    day.world.control("PUT /faults", &json!({ "faults": [{ "do": { "before": "refuse" } }] }));
    day.minutes(60);
    day.world.control("PUT /faults", &json!({ "faults": [] }));
    day.bad_wifi();
    day.minutes(8 * 60);
    // The lid is closed for three hours.
    day.pass(180 * MINUTE_MS);
    day.minutes(6 * 60);

    let names: Vec<_> = day.told.iter().map(|event| event["event"].as_str().unwrap()).collect();
    let mut state = "ACTIVE";
    let mut confirmed_at = None;
    for event in &day.told {
        let name = event["event"].as_str().unwrap();
        state = turn(state, name).unwrap_or_else(|| panic!("{name} while {state}: {names:?}"));
        assert_eq!(event["state"], state, "{event}");
        let remaining = event["remaining_ms"].as_i64().unwrap();
        match name {
            "RENEWED" | "REGAINED" => {
                let whole = TIMEOUT_MS + GRACE_MS;
                assert!((whole - TOLERANCE_MS..=whole).contains(&remaining), "{event}");
                confirmed_at = Some(at(event));
            }
            "LOST" => assert_eq!(remaining, 0, "{event}"),
            _ => {
                let ends = confirmed_at.unwrap() + TIMEOUT_MS + GRACE_MS;
                assert!((at(event) + remaining - ends).abs() <= TOLERANCE_MS, "{event}");
            }
        }
        let since = confirmed_at.map_or(0, |confirmed| at(event) - confirmed);
        let due = match name {
            "GRACE_STARTED" => TIMEOUT_MS,
            "LOST" => TIMEOUT_MS + GRACE_MS,
            _ => continue,
        };
        // Time passes minute by minute here.
        assert!((due..due + MINUTE_MS + TOLERANCE_MS).contains(&since), "{since} ms after it was confirmed: {event}");
    }
    let count = |name| names.iter().filter(|told| **told == name).count();
    // The sleep was longer than the slot's time and the grace together, and yet nobody hears of a loss.
    assert_eq!((count("GRACE_STARTED"), count("LOST"), count("REGAINED")), (1, 1, 1), "{names:?}");
    assert!(count("RENEWED") > 200, "{names:?}");
    assert_eq!((state, day.lease.state(), day.world.slots_of("my-desk").len()), ("ACTIVE", "ACTIVE", 1));
    day.world.control("PUT /faults", &json!({ "faults": [] }));
    day.lease.release().ok();
    assert_eq!(day.world.control("GET /invariants", &Value::Null)["ok"], true);
    assert_eq!(day.world.slots_of("my-desk").len(), 0);
}
