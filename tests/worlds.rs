//! Worlds side by side: no world sees another's data, clock or faults.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use serde_json::{Value, json};
use std::time::{Duration, Instant};
use support::Demo;
use support::sandbox::World;

const WORLDS: usize = 50;
const FOR: Duration = Duration::from_secs(10);

/// Every world has a year of its own, and every other one a fault that no other has.
fn options(number: usize) -> Value {
    let fault = json!({
        "when": {"every": 3},
        "do": {"before": {"undocumented_code": format!("code_of_world_{number}")}},
        "match": {"operation": "borrow_license"},
    });
    let faults = if number % 2 == 1 { json!([fault]) } else { json!([]) };
    json!({"now": format!("{}-06-01", 2030 + number), "rate": 0, "faults": faults})
}

/// Uses a world for a while; what is seen there must be its own. All have the same license and the same device.
fn live_in(world: &World, number: usize) -> u64 {
    let client = world.client("the-same-device-everywhere");
    client.call("activate_license", &Value::Null).ok();
    let year = (2030 + number).to_string();
    let started = Instant::now();
    let (mut borrows, mut refused) = (0, 0);
    while started.elapsed() < FOR {
        borrows += 1;
        let answer = client.call("borrow_license", &Value::Null);
        if borrows % 3 == 0 && number % 2 == 1 {
            assert_eq!(answer.json["server_code"], format!("code_of_world_{number}"), "{}", answer.json);
            refused += 1;
            continue;
        }
        let reply = answer.ok();
        assert_eq!(reply["floating_in_use_devices"], 1, "{reply}");
        assert!(reply["borrowed_until"].as_str().unwrap().starts_with(&year), "{reply}");
        client.call("release_license", &Value::Null).ok();
        if borrows % 50 == 0 {
            world.control("POST /clock/advance", &json!({"by": "1m"}));
        }
    }
    assert!(borrows > 3, "it was used");
    let faults = world.control("GET /faults", &Value::Null);
    let happened: u64 =
        faults["faults"].as_array().unwrap().iter().map(|fault| fault["happened"].as_u64().unwrap()).sum();
    assert_eq!(happened, refused);
    borrows
}

#[test]
fn fifty_worlds_used_by_fifty_threads_see_nothing_of_each_other() {
    let demo = Demo::start();
    let worlds: Vec<World> = (0..WORLDS).map(|number| World::new(&demo, &options(number))).collect();
    let main = demo.client("the-same-device-everywhere");
    main.call("activate_license", &Value::Null).ok();
    std::thread::scope(|scope| {
        for (number, world) in worlds.iter().enumerate() {
            scope.spawn(move || {
                let borrows = live_in(world, number);
                // Nobody else's requests are in its journal, and all of its own are.
                let count =
                    |filter: Value| world.control("POST /journal/count", &json!({"filter": filter}))["count"].clone();
                assert_eq!(count(json!({"operation": "borrow_license"})), borrows);
                assert_eq!(count(json!({"operation": "activate_license"})), 1);
                assert_eq!(world.control("GET /invariants", &Value::Null)["ok"], true);
                assert_eq!(world.slots_of("the-same-device-everywhere"), []);
            });
        }
    });
    assert_eq!(main.call("check_license", &Value::Null).ok()["floating_in_use_devices"], 1);
    let (_, listed) = support::sandbox::call(&format!("{}/worlds", demo.text("control_url")), "GET", &Value::Null);
    assert_eq!(listed["worlds"].as_array().unwrap().len(), WORLDS + 1);
    drop(worlds);
    let (_, listed) = support::sandbox::call(&format!("{}/worlds", demo.text("control_url")), "GET", &Value::Null);
    assert_eq!(listed["worlds"], json!(["main"]));
}

#[test]
fn another_worlds_public_key_proves_nothing_here() {
    let demo = Demo::start();
    let (one, other) = (World::new(&demo, &json!({})), World::new(&demo, &json!({})));
    assert_ne!(one.said["public_key"], other.said["public_key"]);
    let crossed = support::with(&one.config("hw"), json!({"public_key": other.said["public_key"]}));
    let client = support::abi::Client::open(&crossed).unwrap();
    client.call("activate_license", &Value::Null).failed("REPLY_SIGNATURE", "unknown");
}
