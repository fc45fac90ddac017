//! A borrow never lasts longer here than until the date that the server has signed, by the server's clock.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use std::time::Duration;
use support::abi::{Client, Lease};
use support::folder::Folder;
use support::sandbox::World;
use support::stub::between;
use support::{Demo, with};

/// The rounding depends on the fraction of the second, so each way to a borrow is tried at several of them.
const PHASES: u32 = 10;

/// A client whose borrows outlive the process; its server's clock and this machine's are the same.
fn start(world: &World, folder: &Folder, changes: Value) -> Client {
    let config = with(&world.config("laptop"), json!({ "storage_dir": folder.path() }));
    Client::open(&with(&config, changes)).unwrap()
}

/// The same on the first start of this machine.
fn first_start(world: &World, folder: &Folder, changes: Value) -> Client {
    let client = start(world, folder, changes);
    client.call("activate_license", &Value::Null).ok();
    client
}

fn date(text: &Value) -> DateTime<Utc> {
    text.as_str().unwrap_or_else(|| panic!("{text} is no date")).parse().unwrap()
}

/// Asserts that the time that remains ends at this date at the latest, and not much sooner.
fn assert_ends_at(lease: &Lease, until: DateTime<Utc>, way: &str) {
    assert_eq!(lease.state(), "BORROWED", "{way}");
    let now = Utc::now();
    let end = now + TimeDelta::milliseconds(lease.remaining_ms());
    assert!(end <= until, "{way}: {} ms too late", (end - until).num_milliseconds());
    assert!(until - end < TimeDelta::seconds(30), "{way}: {} ms too soon", (until - end).num_milliseconds());
}

#[test]
fn borrow_ends_by_date_however_it_came_about() {
    let demo = Demo::start();
    for phase in 0..PHASES {
        let (world, folder) = (World::new(&demo, &json!({})), Folder::new(&format!("borrow-end-{phase}")));
        let request = if phase % 2 == 0 { json!({ "feature": "MESH" }) } else { json!({}) };
        let client = first_start(&world, &folder, json!({}));
        let (lease, _) = client.acquire(&with(&request, json!({ "keep_alive": "host" })));
        let info = lease.borrow(&Value::Null).ok();
        let until = date(&info["borrowed_until"]);
        assert_ends_at(&lease, until, "borrowed");
        lease.renew().ok();
        assert_ends_at(&lease, until, "renewed");
        drop(lease);
        client.close();

        let client = start(&world, &folder, json!({ "base_url": "http://127.0.0.1:9/api/v4" }));
        let (lease, _) = client.acquire(&request);
        assert_ends_at(&lease, until, "resumed without a network");
        drop(lease);
        client.close();

        let client = start(&world, &folder, json!({}));
        let (lease, _) = client.acquire(&request);
        lease.renew().ok();
        assert_ends_at(&lease, until, "resumed and renewed");
        lease.release().ok();

        let (lease, _) = client.acquire(&request);
        let verb = if request["feature"].is_null() { "borrow_license" } else { "borrow_feature" };
        let reply = client.call(verb, &with(&request, json!({ "borrowed_until": null }))).ok();
        assert_ends_at(&lease, date(&reply["borrowed_until"]), verb);
        std::thread::sleep(Duration::from_millis(90));
    }
}

#[test]
fn slow_request_about_second_slot_prolongs_no_first() {
    let floating = |hours: u32| json!({ "users": 2, "can_borrow": true, "max_borrow_time_hours": hours });
    let license = json!({
        "product": "P", "license_key": "KEY", "allow_unlimited_activations": true,
        "feature": [{ "code": "SHORT", "floating": floating(1) }, { "code": "LONG", "floating": floating(9) }],
    });
    let product = json!({ "code": "P", "name": "P", "authorization_method": "license-key" });
    let catalogue = json!({ "company_id": 1, "product": [product], "license": [license] });
    let demo = Demo::start();
    let (world, folder) = (World::new(&demo, &json!({ "catalogue": catalogue })), Folder::new("borrow-end-slow"));
    let client = first_start(&world, &folder, json!({ "product": "P", "license_key": "KEY" }));
    let features = json!({ "features": ["SHORT", "LONG"], "keep_alive": "host" });
    let (lease, _) = client.acquire(&features);
    let matched = json!({ "feature": "LONG" });
    let slow = json!({ "match": matched, "do": { "before": { "delay": { "fixed_ms": 2_500 } } } });
    world.control("PUT /faults", &json!({ "faults": [slow] }));
    let info = lease.borrow(&Value::Null).ok();
    let until = date(&info["borrowed_until"]);
    assert_ends_at(&lease, until, "borrowed");
    lease.renew().ok();
    assert_ends_at(&lease, until, "renewed");
}

/// Replies of other servers may tell the same date in whole seconds, or in milliseconds.
#[test]
fn earlier_of_two_spellings_of_date_counts() {
    let demo = Demo::start();
    let world = World::new(&demo, &json!({}));
    let folder = Folder::new("borrow-end-coarse");
    let upstream = demo.address();
    let coarse = |mut reply: support::stub::Message| {
        if let Ok(mut json) = serde_json::from_slice::<Value>(&reply.body)
            && json["code"] == "MESH"
            && json["borrowed_until"].is_string()
        {
            let second = date(&json["borrowed_until"]).timestamp();
            json["borrowed_until"] = DateTime::from_timestamp(second, 0).unwrap().to_rfc3339().into();
            reply.body = json.to_string().into_bytes();
        }
        reply.bytes()
    };
    let base_url = format!("http://{}/api/v4", between(upstream, |request| request, coarse));
    let client = first_start(&world, &folder, json!({ "base_url": base_url, "verify": "off" }));
    let (lease, _) = client.acquire(&json!({ "feature": "MESH", "keep_alive": "host" }));
    let until = Utc::now() + TimeDelta::hours(2);
    let until = DateTime::from_timestamp_millis(until.timestamp() * 1000 + 950).unwrap();
    lease.borrow(&json!({ "borrowed_until": floatlease::model::format_time(until) })).ok();
    let info = lease.renew().ok();
    let told = date(&info["slots"][0]["reply"]["borrowed_until"]);
    assert_eq!(told, until - TimeDelta::milliseconds(950));
    assert_ends_at(&lease, told, "renewed");
}
