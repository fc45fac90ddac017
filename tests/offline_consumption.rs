//! Consumptions while the server can't be reached: kept, booked later, once and in order, or told.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use support::abi::Client;
use support::sandbox::World;
use support::stub::{Message, between};
use support::{Demo, with};

/// A folder of this test's own, removed at its end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("floatlease-consumption-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        Folder(path)
    }

    /// The file of what waits.
    fn file(&self) -> PathBuf {
        let entries = fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().path());
        let mut files = entries.filter(|path| path.extension().is_some_and(|ending| ending == "consumption"));
        let file = files.next().unwrap();
        assert_eq!(files.next(), None);
        file
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A license with all that can be consumed, and one that floats and counts itself.
fn world(demo: &Demo) -> World {
    let unlimited = json!({ "allow_unlimited_consumptions": true, "allow_negative_consumptions": true });
    let feature = |code: &str, consumption: Value| json!({ "code": code, "consumption": consumption });
    let catalogue = json!({
        "product": [{ "code": "P" }],
        "license": [{
            "product": "P", "license_key": "FEATURES", "allow_unlimited_activations": true,
            "floating": { "users": 2 },
            "feature": [
                feature("COUNT", unlimited.clone()),
                feature("TEN", json!({ "max_consumptions": 10 })),
                feature("DAILY", json!({ "max_consumptions": 1000, "consumption_period": "daily" })),
            ],
        }, {
            "product": "P", "license_key": "COUNTS", "license_type": "consumption",
            "allow_unlimited_activations": true, "floating": { "users": 1 }, "consumption": unlimited,
        }],
    });
    World::new(demo, &json!({ "catalogue": catalogue }))
}

/// A license on a device with a folder, and what of it is asked.
struct Desk<'a> {
    world: &'a World,
    config: Value,
}

impl<'a> Desk<'a> {
    fn new(world: &'a World, license_key: &str, folder: &Folder) -> Desk<'a> {
        let changes = json!({ "license_key": license_key, "storage_dir": folder.0, "connect_timeout_ms": 1000 });
        let desk = Desk { world, config: with(&world.config("laptop"), changes) };
        desk.start().call("activate_license", &Value::Null).ok();
        desk
    }

    /// The next start of the program.
    fn start(&self) -> Client {
        Client::open(&self.config).unwrap()
    }

    /// The same by way of another server.
    fn by_way_of(&self, address: &str) -> Desk<'a> {
        let url = json!({ "base_url": format!("http://{address}/api/v4") });
        Desk { world: self.world, config: with(&self.config, url) }
    }

    fn outage(&self) {
        self.world.control("POST /faults/profile", &json!({ "profile": "outage" }));
    }

    fn end_of_outage(&self) {
        self.world.control("DELETE /faults", &Value::Null);
    }

    fn total_of(&self, feature: &str) -> i64 {
        let reply = self.world.client("auditor");
        reply.call("activate_license", &Value::Null).ok();
        reply.call("check_feature", &json!({ "feature": feature })).ok()["total_consumptions"].as_i64().unwrap()
    }

    fn total_of_license(&self) -> i64 {
        let auditor = Client::open(&with(&self.config, json!({ "storage_dir": null }))).unwrap();
        let total = auditor.call("check_license", &Value::Null).ok()["total_consumptions"].as_i64().unwrap();
        auditor.call("release_license", &Value::Null).ok();
        total
    }

    /// What was asked of this operation, in order.
    fn asked(&self, operation: &str) -> Vec<Value> {
        let journal = self.world.control("GET /journal", &Value::Null);
        let entries = journal["entries"].as_array().unwrap_or_else(|| panic!("{journal}")).clone();
        entries.into_iter().filter(|entry| entry["operation"] == operation).collect()
    }
}

fn count(amount: i64) -> Value {
    json!({ "feature": "COUNT", "consumptions": amount, "offline": "queue" })
}

fn add(client: &Client, request: &Value) -> Value {
    client.call("add_feature_consumption", request).ok()
}

fn sync(client: &Client) -> Value {
    client.call("sync_consumptions", &Value::Null).ok()
}

#[test]
fn what_waits_outlives_the_program_and_is_booked_in_order() {
    let demo = Demo::start();
    let (world, folder) = (world(&demo), Folder::new("order"));
    let desk = Desk::new(&world, "FEATURES", &folder);
    desk.outage();
    let client = desk.start();
    for (number, amount) in [(1, 3), (2, 5), (3, -1)] {
        let reply = add(&client, &with(&count(amount), json!({ "idempotency_key": format!("wish-{number}") })));
        assert_eq!((&reply["queued"], &reply["queued_consumptions"]), (&json!(true), &json!(number)), "{reply}");
        assert_eq!(
            (&reply["name"], &reply["idempotency_key"]),
            (&json!("CONNECTION_LOST"), &json!(format!("wish-{number}"))),
            "{reply}"
        );
        assert!(reply["reason"].is_string(), "{reply}");
    }
    let offline = sync(&client);
    assert_eq!(
        (&offline["booked"], &offline["waiting"], &offline["name"]),
        (&json!(0), &json!(3), &json!("CONNECTION_LOST"))
    );
    client.close();

    desk.end_of_outage();
    assert_eq!(desk.total_of("COUNT"), 0);
    world.control("DELETE /journal", &Value::Null);
    let client = desk.start();
    let report = sync(&client);
    let expected = json!({ "event": "CONSUMPTIONS_SYNCED", "booked": 3, "refused": [], "unknown": [], "waiting": 0, "status": 0, "name": "OK", "reason": null });
    assert_eq!(report, expected);
    assert_eq!(desk.total_of("COUNT"), 7);
    println!("{:?}", desk.asked("add_feature_consumption"));
    assert_eq!(with(&sync(&client), json!({ "booked": 3 })), expected, "nothing is left");
    assert_eq!(desk.total_of("COUNT"), 7);
}
