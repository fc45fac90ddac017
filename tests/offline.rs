//! What outlives the process: a borrow that is proven without a network, and what its files are refused for.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use support::abi::Client;
use support::sandbox::World;
use support::{Demo, with};

/// A folder of this test's own, removed at its end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("floatlease-offline-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        Folder(path)
    }

    /// The one record in it.
    fn record(&self) -> PathBuf {
        let entries = fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().path());
        let records: Vec<_> = entries.filter(|path| path.extension().is_some_and(|ending| ending == "lease")).collect();
        assert_eq!(records.len(), 1, "{records:?}");
        records.into_iter().next().unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A client of this device that keeps things in this folder; the next start of the program is another one.
fn start(world: &World, hardware_id: &str, folder: &Path) -> Client {
    Client::open(&with(&world.config(hardware_id), json!({ "storage_dir": folder }))).unwrap()
}

fn outage(world: &World) {
    world.control("POST /faults/profile", &json!({ "profile": "outage" }));
}

/// A laptop on which the license, or this feature, was borrowed before the program ended.
fn borrowed(demo: &Demo, folder: &Folder, request: &Value) -> World {
    let world = World::new(demo, &json!({ "rate": 0 }));
    let client = start(&world, "laptop", &folder.0);
    client.call("activate_license", &Value::Null).ok();
    let (lease, _) = client.acquire(request);
    let info = lease.borrow(&Value::Null).ok();
    assert_eq!((lease.state(), &info["state"]), ("BORROWED", &json!("BORROWED")), "{info}");
    assert!(info["borrowed_until"].as_str().unwrap().ends_with('Z'));
    drop(lease);
    client.close();
    world
}

#[test]
fn what_was_borrowed_is_had_without_a_network_until_its_date() {
    let demo = Demo::start();
    for (name, request, hours) in [("license", Value::Null, 24), ("feature", json!({ "feature": "MESH" }), 12)] {
        let folder = Folder::new(name);
        let world = borrowed(&demo, &folder, &request);
        outage(&world);
        let client = start(&world, "laptop", &folder.0);
        let (lease, info) = client.acquire(&request);
        assert_eq!((lease.state(), &info["slots"][0]["reply"]), ("BORROWED", &Value::Null), "{info}");
        let left = lease.remaining_ms();
        assert!(left > (hours * 60 - 2) * 60_000 && left <= hours * 3_600_000, "{left}");
        client.advance(u32::try_from(hours * 3_600_000 - 7_000_000).unwrap());
        assert_eq!(client.wait_for("BORROW_ENDING")["lease"], info["lease"]);
        client.advance(7_100_000);
        client.wait_for("LOST");
        assert_eq!((lease.state(), lease.remaining_ms()), ("LOST", 0));
        let after = start(&world, "laptop", &folder.0);
        after.advance(u32::try_from(hours * 3_600_000 + 60_000).unwrap());
        let error = after.try_acquire(&request).1.refused("NO_PROOF");
        assert!(error["message"].as_str().unwrap().contains("The borrow ended at"), "{error}");
    }
}
