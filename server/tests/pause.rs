//! A machine that is suspended, migrated or set to another time is to its clients a server that did not run.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use chrono::{DateTime, TimeDelta, Utc};
use common::{API_KEY, Client, Random, SHARED_KEY, time};
use floatlease_server::clock::{Clock, ControlledClock};
use floatlease_server::keys::SigningKey;
use floatlease_server::store::SqliteStore;
use floatlease_server::{RateLimits, Server, Setup, catalogue};
use serde_json::json;

/// Moved by the test, and as meaningful as the machine's own.
struct MachineClock(ControlledClock);

impl Clock for MachineClock {
    fn now(&self) -> DateTime<Utc> {
        self.0.now()
    }

    fn jumps_are_downtime(&self) -> bool {
        true
    }
}

fn one_slot() -> String {
    format!(
        r#"
        api_key = [{{ key = "{API_KEY}", shared_key = "{SHARED_KEY}" }}]
        product = [{{ code = "P" }}]
        [[license]]
        product = "P"
        license_key = "K"
        allow_unlimited_activations = true
        floating = {{ users = 1, timeout_minutes = 1 }}
        "#
    )
}

/// A server of this clock, with one license of one slot.
fn start(clock: Arc<dyn Clock>) -> Server {
    Server::start(Setup {
        catalogue: catalogue::parse(&one_slot()).unwrap(),
        store: Box::new(SqliteStore::in_memory().unwrap()),
        clock,
        key: SigningKey::generate().unwrap(),
        unsigned: true,
        listen: "127.0.0.1:0".parse().unwrap(),
        rate_limits: RateLimits::default(),
    })
    .unwrap()
}

#[test]
fn a_jump_of_the_clock_costs_nobody_a_slot_and_nobody_keeps_one_for_ever() {
    let clock = Arc::new(MachineClock(ControlledClock::new(time("2026-01-01"), 0.0)));
    let server = start(clock.clone());
    let mut client = Client::new(server.base_url(), API_KEY, SHARED_KEY);
    let mut code = |operation: &str, device: &str| {
        client.call(operation, &json!({ "product": "P", "license_key": "K", "hardware_id": device })).code()
    };
    for device in ["a", "b"] {
        assert_eq!(code("activate_license", device), None);
    }
    assert_eq!(code("check_license", "a"), None);
    for jump in [TimeDelta::days(2), -TimeDelta::days(365)] {
        clock.0.advance(jump);
        assert_eq!(code("check_license", "b").as_deref(), Some("floating_not_available"), "a could not renew");
    }
    for _ in 0..2 {
        clock.0.advance(TimeDelta::seconds(25));
        assert_eq!(code("check_license", "b").as_deref(), Some("floating_not_available"));
    }
    clock.0.advance(TimeDelta::seconds(25));
    assert_eq!(code("check_license", "b"), None, "a's minute is over");
    server.stop().unwrap();
}

/// Stands still, but for a jump of three hours at random readings.
struct JumpingClock {
    hours: AtomicU64,
    readings: AtomicU64,
}

impl Clock for JumpingClock {
    fn now(&self) -> DateTime<Utc> {
        let reading = self.readings.fetch_add(1, Ordering::SeqCst);
        let jumps = Random::new(reading).below(3) == 0;
        let hours =
            if jumps { self.hours.fetch_add(3, Ordering::SeqCst) + 3 } else { self.hours.load(Ordering::SeqCst) };
        time("2026-01-01") + TimeDelta::hours(hours as i64)
    }

    fn jumps_are_downtime(&self) -> bool {
        true
    }
}

/// Many clients at once, so that the server gathers their requests in batches. Between any two readings of the clock it
/// may jump; no time passes else, so the holder keeps its slot.
#[test]
fn jump_at_any_reading_of_clock_costs_nobody_a_slot() {
    let clock = Arc::new(JumpingClock { hours: AtomicU64::new(0), readings: AtomicU64::new(0) });
    let server = start(clock.clone());
    let about = |device: &str| json!({ "product": "P", "license_key": "K", "hardware_id": device });
    let client = || Client::new(server.base_url(), API_KEY, SHARED_KEY);
    assert_eq!(client().call("activate_license", &about("holder")).code(), None);
    assert_eq!(client().call("check_license", &about("holder")).code(), None);
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (client, about) = (&client, &about);
            scope.spawn(move || {
                let (mut client, about) = (client(), about(&format!("other-{thread}")));
                assert_eq!(client.call("activate_license", &about).code(), None);
                for _ in 0..2_500 {
                    assert_eq!(client.call("check_license", &about).code().as_deref(), Some("floating_not_available"));
                }
            });
        }
    });
    assert!(clock.hours.load(Ordering::SeqCst) > 3 * 1_000, "hardly any jumps");
    server.stop().unwrap();
}
