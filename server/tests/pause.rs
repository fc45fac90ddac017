//! A machine that is suspended, migrated or set to another time is to its clients a server that did not run.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use common::{API_KEY, Client, SHARED_KEY, time};
use floatlease_server::clock::{Clock, ControlledClock};
use floatlease_server::keys::SigningKey;
use floatlease_server::store::SqliteStore;
use floatlease_server::{Server, Setup, catalogue};
use serde_json::json;

/// Moved by the test, and as meaningful as the machine's own.
struct MachineClock(ControlledClock);

impl Clock for MachineClock {
    fn now(&self) -> DateTime<Utc> {
        self.0.now()
    }

    fn leaps_are_downtime(&self) -> bool {
        true
    }
}

#[test]
fn a_leap_of_the_clock_costs_nobody_a_slot_and_nobody_keeps_one_for_ever() {
    let catalogue = format!(
        r#"
        api_key = [{{ key = "{API_KEY}", shared_key = "{SHARED_KEY}" }}]
        product = [{{ code = "P" }}]
        [[license]]
        product = "P"
        license_key = "K"
        allow_unlimited_activations = true
        floating = {{ users = 1, timeout_minutes = 1 }}
        "#
    );
    let clock = Arc::new(MachineClock(ControlledClock::new(time("2026-01-01"), 0.0)));
    let server = Server::start(Setup {
        catalogue: catalogue::parse(&catalogue).unwrap(),
        store: Box::new(SqliteStore::in_memory().unwrap()),
        clock: clock.clone(),
        key: SigningKey::generate().unwrap(),
        unsigned: true,
        listen: "127.0.0.1:0".parse().unwrap(),
    })
    .unwrap();
    let mut client = Client::new(server.base_url(), API_KEY, SHARED_KEY);
    let mut code = |operation: &str, device: &str| {
        client.call(operation, &json!({ "product": "P", "license_key": "K", "hardware_id": device })).code()
    };
    for device in ["a", "b"] {
        assert_eq!(code("activate_license", device), None);
    }
    assert_eq!(code("check_license", "a"), None);
    for leap in [TimeDelta::days(2), -TimeDelta::days(365)] {
        clock.0.advance(leap);
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
