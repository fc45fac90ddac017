//! 64 clients fight over a few slots while the clock moves: there are never more holders than slots.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use chrono::TimeDelta;
use common::{API_KEY, Random, SHARED_KEY, TestServer, directory};
use floatlease_server::store::SqliteStore;
use serde_json::{Value, json};

const THREADS: usize = 64;
const OPERATIONS: usize = 20_000;
const LICENSE_SLOTS: usize = 5;
const FEATURE_SLOTS: usize = 2;

/// Without signatures, which are not what this is about and would be most of its time.
#[test]
fn holders_never_exceed_slots() {
    let catalogue = format!(
        r#"
        api_key = [{{ key = "{API_KEY}", shared_key = "{SHARED_KEY}" }}]
        product = [{{ code = "P" }}]
        [[license]]
        product = "P"
        license_key = "K"
        allow_unlimited_activations = true
        floating = {{ users = {LICENSE_SLOTS}, timeout_minutes = 10, can_borrow = true, max_borrow_time_hours = 1 }}
        feature = [{{ code = "F", floating = {{ users = {FEATURE_SLOTS}, timeout_minutes = 5, can_borrow = true, max_borrow_time_hours = 1 }} }}]
        "#
    );
    let file = directory("contention").join("data");
    let server = TestServer::start(&catalogue, Box::new(SqliteStore::open(&file).unwrap()), true);
    let granted = AtomicUsize::new(0);
    thread::scope(|scope| {
        for number in 0..THREADS {
            let (server, granted) = (&server, &granted);
            scope.spawn(move || work(server, number, granted));
        }
    });
    assert!(granted.load(Ordering::Relaxed) > OPERATIONS / 20, "hardly anybody got anything");

    // Exact at the end: who says that he holds, holds, and there are as many as the server says.
    let mut client = server.client();
    let in_use = client.call("activate_license", &about(0)).json()["floating_in_use_devices"].as_u64().unwrap();
    let released = |client: &mut common::Client, number| client.call("release_license", &about(number)).status == 200;
    let holders = (0..THREADS).filter(|number| released(&mut client, *number)).count();
    assert_eq!(holders as u64, in_use);
    let seen = client.call("activate_license", &about(0)).json();
    assert_eq!(seen["floating_in_use_devices"], 0);
    server.server.stop().unwrap();
    count_journal(&file);
}

fn about(number: usize) -> Value {
    json!({ "product": "P", "license_key": "K", "hardware_id": format!("hw-{number}"), "feature": "F", "borrowed_until": null })
}

fn work(server: &TestServer, number: usize, granted: &AtomicUsize) {
    let mut random = Random::new(number as u64 + 1);
    let mut client = server.client();
    let about = about(number);
    assert_eq!(client.call("activate_license", &about).code(), None);
    for _ in 0..OPERATIONS / THREADS {
        let operation = match random.below(100) {
            0..30 => "check_license",
            30..40 => "borrow_license",
            40..55 => "release_license",
            55..80 => "check_feature",
            80..85 => "borrow_feature",
            85..98 => "release_feature",
            _ => {
                server.clock.advance(TimeDelta::seconds(random.below(300) as i64));
                continue;
            }
        };
        let answer = client.call(operation, &about);
        match answer.code().as_deref() {
            None if answer.body.is_empty() => {}
            None => {
                granted.fetch_add(1, Ordering::Relaxed);
                let slots = if operation.ends_with("license") { LICENSE_SLOTS } else { FEATURE_SLOTS };
                let in_use = answer.json()["floating_in_use_devices"].as_u64().unwrap();
                assert!((1..=slots as u64).contains(&in_use), "{operation}: {in_use}");
            }
            Some("floating_not_available" | "floating_feature_device_not_in_use") => {}
            Some(other) => panic!("{operation}: {other}"),
        }
    }
}

/// What the server wrote down: at no time were there more holders than slots, and nobody held twice.
fn count_journal(file: &std::path::Path) {
    let journal = rusqlite::Connection::open(file).unwrap();
    let mut rows = journal.prepare("SELECT event, feature, device_id, at_ms FROM journal ORDER BY seq").unwrap();
    let rows = rows.query_map([], |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, Option<String>>(1)?, row.get::<_, i64>(2)?, row.get::<_, i64>(3)?))
    });
    let mut pools: BTreeMap<Option<String>, BTreeSet<i64>> = BTreeMap::new();
    let (mut fullest, mut last) = (BTreeMap::new(), 0);
    for row in rows.unwrap() {
        let (event, feature, device, at) = row.unwrap();
        // An expiry is dated by the end of the slot, and noticed later.
        if !["slot_expired", "borrow_ended"].contains(&event.as_str()) {
            assert!(at >= last, "license time went backwards");
            last = at;
        }
        let slots = if feature.is_some() { FEATURE_SLOTS } else { LICENSE_SLOTS };
        let pool = pools.entry(feature.clone()).or_default();
        match event.as_str() {
            "slot_taken" => assert!(pool.insert(device), "{device} took a second slot"),
            "slot_released" | "slot_expired" => assert!(pool.remove(&device), "{device} gave back what it had not"),
            _ => continue,
        }
        assert!(pool.len() <= slots, "{} holders of {slots} slots", pool.len());
        let most: &mut usize = fullest.entry(feature).or_default();
        *most = pool.len().max(*most);
    }
    assert_eq!(fullest.into_values().collect::<Vec<_>>(), [LICENSE_SLOTS, FEATURE_SLOTS], "never full: no contention");
}
