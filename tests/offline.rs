//! What outlives the process: a borrow that is proven without a network, and what its files are refused for.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use chrono::{TimeDelta, Utc};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};
use support::abi::Client;
use support::folder::Folder;
use support::sandbox::World;
use support::{Demo, with};

/// A client of this device that keeps things in this folder; the next start of the program is another one.
fn start(world: &World, hardware_id: &str, folder: &Path) -> Client {
    Client::open(&with(&world.config(hardware_id), json!({ "storage_dir": folder }))).unwrap()
}

fn outage(world: &World) {
    world.control("POST /faults/profile", &json!({ "profile": "outage" }));
}

/// A laptop on which the license, or this feature, was borrowed before the program ended.
fn borrowed(demo: &Demo, folder: &Folder, request: &Value) -> World {
    borrowed_in(World::new(demo, &json!({ "rate": 0 })), folder, request)
}

fn borrowed_in(world: World, folder: &Folder, request: &Value) -> World {
    let client = start(&world, "laptop", folder.path());
    client.call("activate_license", &Value::Null).ok();
    // Without a thread of ours, nothing goes on when it ends.
    let (lease, _) = client.acquire(&with(request, json!({ "keep_alive": "host" })));
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
    for (name, request, hours) in [("license", json!({}), 24), ("feature", json!({ "feature": "MESH" }), 12)] {
        let folder = Folder::new(name);
        let world = borrowed(&demo, &folder, &request);
        outage(&world);
        let client = start(&world, "laptop", folder.path());
        let (lease, info) = client.acquire(&request);
        // The license is as it was when it was borrowed; of a feature nothing more is known than that.
        let key = &info["slots"][0]["reply"]["license_key"];
        assert_eq!((lease.state(), key.is_string()), ("BORROWED", name == "license"), "{info}");
        let left = lease.remaining_ms();
        assert!(left > (hours * 60 - 2) * 60_000 && left <= hours * 3_600_000, "{left}");
        client.advance(u32::try_from(hours * 3_600_000 - 7_000_000).unwrap());
        assert_eq!(client.wait_for("BORROW_ENDING")["lease"], info["lease"]);
        client.advance(7_100_000);
        client.wait_for("LOST");
        assert_eq!((lease.state(), lease.remaining_ms()), ("LOST", 0));
        let after = start(&world, "laptop", folder.path());
        after.advance(u32::try_from(hours * 3_600_000 + 60_000).unwrap());
        let error = after.try_acquire(&request).1.refused("NO_PROOF");
        assert!(error["message"].as_str().unwrap().contains("The borrow ended at"), "{error}");
    }
}

/// An acquire that must fail without asking long.
fn refused(client: &Client, request: &Value, status: &str) -> Value {
    let (lease, answer) = client.try_acquire(&with(request, json!({ "timeout_ms": 3_000 })));
    assert!(lease.is_none());
    answer.refused(status)
}

#[test]
fn without_a_borrow_there_is_no_start_without_a_network() {
    let demo = Demo::start();
    let folder = Folder::new("nothing");
    let world = World::new(&demo, &json!({ "rate": 0 }));
    let client = start(&world, "laptop", folder.path());
    client.call("activate_license", &Value::Null).ok();
    outage(&world);
    refused(&client, &json!({}), "CONNECTION_LOST");
    world.control("DELETE /faults", &Value::Null);
    let (lease, _) = client.acquire(&Value::Null);
    lease.release().ok();
    outage(&world);
    refused(&client, &json!({}), "CONNECTION_LOST");
}

#[test]
fn a_borrow_of_one_feature_opens_no_other_and_not_the_license() {
    let demo = Demo::start();
    let folder = Folder::new("other");
    let world = borrowed(&demo, &folder, &json!({ "feature": "MESH" }));
    outage(&world);
    let client = start(&world, "laptop", folder.path());
    for request in [json!({}), json!({ "feature": "SOLVER" }), json!({ "features": ["MESH", "SOLVER"] })] {
        refused(&client, &request, "CONNECTION_LOST");
    }
    assert_eq!(client.acquire(&json!({ "feature": "mesh" })).0.state(), "BORROWED", "however it is spelled");
}

#[test]
fn a_folder_that_was_copied_to_another_device_is_refused() {
    let demo = Demo::start();
    let folder = Folder::new("copied");
    let world = borrowed(&demo, &folder, &json!({}));
    outage(&world);
    let thief = start(&world, "desktop", folder.path());
    let error = refused(&thief, &json!({}), "STORAGE_FOREIGN");
    assert!(error["message"].as_str().unwrap().contains("The server can't be asked"), "{error}");
    // Nor does it help to give the file the name that this device's own would have.
    let record = folder.proof();
    let entries = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
    let mut gates = entries.filter(|path| path.extension().is_some_and(|ending| ending == "lock"));
    let own = gates.find(|path| path.file_stem() != record.file_stem()).unwrap();
    fs::copy(&record, own.with_extension("lease")).unwrap();
    refused(&thief, &json!({}), "STORAGE_FOREIGN");
    assert_eq!(start(&world, "laptop", folder.path()).acquire(&json!({})).0.state(), "BORROWED");
}

#[test]
fn each_flipped_byte_is_noticed_and_the_file_is_left_as_it_is() {
    let demo = Demo::start();
    let folder = Folder::new("flipped");
    let world = borrowed(&demo, &folder, &json!({ "feature": "MESH" }));
    outage(&world);
    let client = start(&world, "laptop", folder.path());
    let path = folder.proof();
    let whole = fs::read(&path).unwrap();
    for place in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[place] ^= 1 << (place % 8);
        fs::write(&path, &bytes).unwrap();
        let hasty = json!({ "feature": "MESH", "timeout_ms": 1, "keep_alive": "host" });
        let (lease, answer) = client.try_acquire(&hasty);
        assert!(lease.is_none(), "byte {place}");
        assert!(["STORAGE_DAMAGED", "STORAGE_FOREIGN"].contains(&answer.status.as_str()), "byte {place}: {answer:?}");
        assert_eq!(fs::read(&path).unwrap(), bytes, "byte {place}");
    }
    fs::write(&path, &whole).unwrap();
    assert_eq!(client.acquire(&json!({ "feature": "MESH" })).0.state(), "BORROWED");
}

#[test]
fn a_damaged_file_is_put_aside_once_the_server_has_spoken() {
    let demo = Demo::start();
    let folder = Folder::new("aside");
    let world = borrowed(&demo, &folder, &json!({}));
    let path = folder.proof();
    fs::write(&path, b"what a failing disk leaves").unwrap();
    let client = start(&world, "laptop", folder.path());
    let (lease, _) = client.acquire(&json!({}));
    assert_eq!(lease.state(), "BORROWED", "the server knows of the borrow");
    let kept = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
    let damaged: Vec<_> = kept.filter(|path| path.to_str().unwrap().contains(".damaged-")).collect();
    assert_eq!(fs::read(&damaged[0]).unwrap(), b"what a failing disk leaves");
    drop(lease);
    client.close();
    outage(&world);
    assert_eq!(start(&world, "laptop", folder.path()).acquire(&json!({})).0.state(), "BORROWED", "proven anew");
}

#[test]
fn a_clock_that_was_set_back_proves_nothing() {
    let demo = Demo::start();
    let folder = Folder::new("clock");
    let world = borrowed(&demo, &folder, &json!({}));
    outage(&world);
    let later = start(&world, "laptop", folder.path());
    later.advance(3_600_000);
    assert_eq!(later.acquire(&json!({})).0.state(), "BORROWED");
    // The next start sees the clock as it is: an hour earlier.
    let client = start(&world, "laptop", folder.path());
    let error = refused(&client, &json!({}), "CLOCK_MOVED_BACK");
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("It shows") && message.contains("has shown") && message.contains("server"), "{error}");
    assert!(message.contains(" The borrow can be used again once it shows "), "{error}");
    client.advance(3_600_000);
    assert_eq!(client.acquire(&json!({})).0.state(), "BORROWED", "and the hour after");
}

const HOUR_MS: i64 = 3_600_000;

#[test]
fn clock_that_is_always_wrong_counts_a_borrow_as_the_server_does() {
    let demo = Demo::start();
    for (name, server_is_ahead) in [("slow", TimeDelta::seconds(330)), ("fast", TimeDelta::hours(-2))] {
        let folder = Folder::new(&format!("always-{name}"));
        let now = floatlease::model::format_time(Utc::now() + server_is_ahead);
        let world = World::new(&demo, &json!({ "rate": 0, "now": now, "date_check": "world" }));
        let world = borrowed_in(world, &folder, &json!({}));
        outage(&world);
        let first = start(&world, "laptop", folder.path());
        let (lease, info) = first.acquire(&json!({}));
        assert_eq!(lease.state(), "BORROWED", "{name}: {}", info["reason"]);
        let left = lease.remaining_ms();
        assert!(left > 24 * HOUR_MS - 120_000 && left <= 24 * HOUR_MS, "{name}: {left}");
        let last_hour = start(&world, "laptop", folder.path());
        last_hour.advance(u32::try_from(23 * HOUR_MS + HOUR_MS / 2).unwrap());
        assert_eq!(last_hour.acquire(&json!({})).0.state(), "BORROWED", "{name}");
        let after = start(&world, "laptop", folder.path());
        after.advance(u32::try_from(25 * HOUR_MS).unwrap());
        refused(&after, &json!({}), "NO_PROOF");
        // The clock is set back by four hours: the last start has noted what it showed.
        let back = start(&world, "laptop", folder.path());
        back.advance(u32::try_from(21 * HOUR_MS).unwrap());
        let error = refused(&back, &json!({}), "CLOCK_MOVED_BACK");
        assert!(!error.to_string().contains("used again"), "the borrow is over: {error}");
    }
}

#[test]
fn what_the_clock_shows_while_a_borrow_runs_is_kept_whoever_keeps_the_lease_alive() {
    let demo = Demo::start();
    for keep_alive in ["thread", "host"] {
        let folder = Folder::new(&format!("mark-{keep_alive}"));
        let world = borrowed(&demo, &folder, &json!({}));
        outage(&world);
        let running = start(&world, "laptop", folder.path());
        let (lease, _) = running.acquire(&json!({ "keep_alive": keep_alive }));
        // At first another process holds the lock.
        let lock = fs::File::open(folder.proof().with_extension("lock")).unwrap();
        lock.lock().unwrap();
        running.advance(10 * 3_600_000);
        assert_eq!(running.next_event(300), Ok(Value::Null));
        drop(lock);
        // The program runs on until it is killed; then the clock is set back.
        let end = Instant::now() + Duration::from_secs(20);
        let set_back = || {
            assert_eq!((running.events(), lease.state()), (vec![], "BORROWED"));
            let client = start(&world, "laptop", folder.path());
            std::thread::sleep(Duration::from_millis(100));
            let request = json!({ "keep_alive": "host", "timeout_ms": 300 });
            client.try_acquire(&request).1.status
        };
        while set_back() != "CLOCK_MOVED_BACK" {
            assert!(Instant::now() < end, "a borrow of 24 hours would last as long as anybody likes: {keep_alive}");
        }
    }
}

#[test]
fn the_end_of_a_borrow_is_told_once_however_often_the_host_renews_it() {
    let demo = Demo::start();
    let folder = Folder::new("told");
    let world = borrowed(&demo, &folder, &json!({}));
    let client = start(&world, "laptop", folder.path());
    let (lease, info) = client.acquire(&json!({}));
    world.control("POST /clock/advance", &json!({ "by": "23h" }));
    client.advance(23 * 3_600_000);
    assert_eq!(client.wait_for("BORROW_ENDING")["lease"], info["lease"]);
    for _ in 0..3 {
        assert_eq!(lease.renew().ok()["state"], "BORROWED");
        assert_eq!(client.next_event(200), Ok(Value::Null));
    }
}

#[test]
fn a_renewal_that_fails_on_the_way_does_not_begin_to_ask_for_the_rest_of_the_borrow() {
    let demo = Demo::start();
    let folder = Folder::new("on-the-way");
    let world = borrowed(&demo, &folder, &json!({}));
    outage(&world);
    let client = start(&world, "laptop", folder.path());
    let (lease, _) = client.acquire(&json!({ "timeout_ms": 5_000 }));
    lease.renew().refused("CONNECTION_LOST");
    let info = lease.info();
    assert_eq!(info["state"], "BORROWED");
    assert!(info["renews_in_ms"].as_i64().unwrap() > 23 * 3_600_000, "{info}");
}

#[test]
fn an_early_return_ends_the_proof_and_a_lease_that_is_freed_keeps_it() {
    let demo = Demo::start();
    let folder = Folder::new("early");
    let world = borrowed(&demo, &folder, &json!({ "feature": "MESH" }));
    assert_eq!(world.slots_of("laptop"), [(json!("MESH"), true)]);
    let client = start(&world, "laptop", folder.path());
    let (lease, _) = client.acquire(&json!({ "feature": "MESH" }));
    assert_eq!(lease.release().ok()["state"], "RELEASED");
    assert_eq!(world.slots_of("laptop"), []);
    outage(&world);
    refused(&client, &json!({ "feature": "MESH" }), "CONNECTION_LOST");
}

#[test]
fn a_borrow_whose_reply_was_lost_is_found_out_by_asking() {
    let demo = Demo::start();
    for (name, request, operation) in
        [("license", json!({}), "borrow_license"), ("feature", json!({ "feature": "MESH" }), "borrow_feature")]
    {
        let folder = Folder::new(&format!("lost-{name}"));
        let world = World::new(&demo, &json!({ "rate": 0 }));
        let client = start(&world, "laptop", folder.path());
        client.call("activate_license", &Value::Null).ok();
        let (lease, _) = client.acquire(&request);
        let once =
            json!({ "match": { "operation": operation }, "when": { "times": 1 }, "do": { "after_commit": "reset" } });
        world.control("POST /faults", &once);
        lease.borrow(&Value::Null).ok();
        assert_eq!(lease.state(), "BORROWED");
        drop(lease);
        client.close();
        outage(&world);
        assert_eq!(start(&world, "laptop", folder.path()).acquire(&request).0.state(), "BORROWED");
    }
}

#[test]
fn a_borrow_needs_a_place_to_be_kept() {
    let demo = Demo::start();
    let world = World::new(&demo, &json!({ "rate": 0 }));
    let client = world.client("laptop");
    client.call("activate_license", &Value::Null).ok();
    let (lease, _) = client.acquire(&Value::Null);
    let error = lease.borrow(&Value::Null).refused("MISSING_KEY");
    assert!(error["message"].as_str().unwrap().contains("\"storage_dir\""), "{error}");
    assert_eq!((lease.state(), world.slots_of("laptop")), ("ACTIVE", vec![(Value::Null, false)]));
}
