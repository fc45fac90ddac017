//! A host's own threads do everything that is due, and the library has none.
#![cfg(target_os = "linux")]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use support::abi::Client;
use support::machine::Machine;
use support::sandbox::World;
use support::{Demo, root, scenario, with};

/// The names of the threads of the library in this process.
fn threads() -> Vec<String> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten();
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok());
    names.filter(|name| name.starts_with("floatlease")).collect()
}

fn open(config: &Value, changes: Value) -> Client {
    Client::open(&with(&with(config, json!({"threads": "host"})), changes)).unwrap()
}

/// Works until this is so.
fn work_until(client: &Client, what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < end, "never: {what}");
        client.work(100).unwrap();
        assert_eq!(threads(), [""; 0]);
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn every_scenario_is_driven_by_the_hosts_threads_alone() {
    let files = std::fs::read_dir(root().join("tests/scenarios")).unwrap().map(|file| file.unwrap().path());
    let mut files: Vec<PathBuf> = files.filter(|path| path.extension().is_some_and(|end| end == "json")).collect();
    files.sort();
    let failed: Vec<String> = files.iter().filter_map(|file| scenario::perform_by_work(file).err()).collect();
    assert!(files.len() > 10 && failed.is_empty(), "{}", failed.join("\n"));
    assert_eq!(threads(), [""; 0]);
}

#[test]
fn thousand_acquires_that_wait_cost_no_thread() {
    let demo = Demo::start();
    let world = World::new(&demo, &Value::Null);
    let colleagues = ["office-1", "office-2"].map(|name| {
        let colleague = open(&world.config(name), json!({}));
        colleague.call("activate_license", &Value::Null).ok();
        colleague.call("check_license", &Value::Null).ok();
        colleague
    });
    let client = open(&world.config("my-desk"), json!({}));
    client.call("activate_license", &Value::Null).ok();
    for _ in 0..1_000 {
        client.submit("lease_acquire", &json!({"wait_ms": 120_000})).unwrap();
    }
    let mut waiting = 0;
    work_until(&client, "all of them wait", || {
        while client.events_waiting() > 0 {
            assert_eq!(client.next_event(0).unwrap()["event"], "WAITING");
            waiting += 1;
        }
        waiting >= 1_000
    });
    let next_ms = client.work(0).unwrap();
    assert!((0..=2_000).contains(&next_ms), "the next try is due soon: {next_ms}");
    colleagues[0].call("release_license", &Value::Null).ok();
    work_until(&client, "one has a slot", || {
        (0..client.events_waiting()).any(|_| client.next_event(0).unwrap()["event"] == "COMPLETED")
    });
    client.close();
}

#[test]
fn work_says_when_it_is_next_due_and_needs_the_config() {
    let demo = Demo::start();
    let machine = Machine::new(&demo, "host-threads");
    let client = open(&machine.config(), json!({}));
    assert_eq!(client.work(0), Ok(-1), "nothing is due without a lease");
    let (lease, info) = client.acquire(&json!({"feature": "MESH"}));
    let renews_in_ms = info["renews_in_ms"].as_i64().unwrap();
    let next_ms = client.work(0).unwrap();
    assert!(next_ms > 0 && next_ms <= renews_in_ms, "{next_ms} of {renews_in_ms}");
    client.advance(u32::try_from(renews_in_ms).unwrap());
    machine.world.control("POST /clock/advance", &json!({"by": format!("{renews_in_ms}ms")}));
    client.work(0).unwrap();
    let renewed = lease.info();
    assert!(renewed["renews_in_ms"].as_i64() > Some(renews_in_ms / 2), "{renewed}");
    lease.free();
    assert_eq!(machine.count(), 1, "nobody has released it");
    assert_eq!(client.work(1_000), Ok(-1));
    assert_eq!((machine.count(), threads()), (0, Vec::new()));
    client.close();
    assert_eq!(client.work(0), Err("HANDLE".to_owned()));

    let other = Client::open(&machine.config()).unwrap();
    assert_eq!(other.work(0), Err("BAD_VALUE".to_owned()));
    let wrong = Client::open(&with(&machine.config(), json!({"threads": "mine"}))).unwrap_err();
    assert_eq!(wrong["message"], "\"threads\" in the config must be \"library\" or \"host\".");
}

#[test]
fn several_threads_of_the_host_work_side_by_side() {
    let demo = Demo::start();
    let world = World::new(&demo, &Value::Null);
    let client = open(&world.config("my-desk"), json!({}));
    client.call("activate_license", &Value::Null).ok();
    world.only_fault(&json!({"before": {"delay": {"fixed_ms": 300}}}));
    let started = Instant::now();
    for _ in 0..8 {
        client.submit("product_details", &json!({})).unwrap();
    }
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| client.work(0).unwrap());
        }
    });
    assert_eq!(client.events_waiting(), 8);
    assert!(started.elapsed() < Duration::from_millis(8 * 300), "{:?}", started.elapsed());
}

#[test]
fn queued_consumptions_are_booked_by_the_hosts_thread() {
    let demo = Demo::start();
    let machine = Machine::new(&demo, "host-threads-queue");
    let client = open(&machine.config(), json!({}));
    let request = json!({"feature": "RENDER-MINUTES", "consumptions": 2, "offline": "queue"});
    machine.world.control("PUT /faults", &json!({ "faults": [{ "do": { "before": "refuse" } }] }));
    let queued = client.call("add_feature_consumption", &request).ok();
    assert_eq!(queued["queued"], true, "{queued}");
    let next_ms = client.work(0).unwrap();
    assert!((0..=60_000).contains(&next_ms), "{next_ms}");
    machine.world.control("DELETE /faults", &Value::Null);
    let mut synced = Value::Null;
    work_until(&client, "it is booked", || {
        synced = client.next_event(0).unwrap();
        synced["event"] == "CONSUMPTIONS_SYNCED"
    });
    assert_eq!((&synced["booked"], &synced["waiting"]), (&json!(1), &json!(0)), "{synced}");
}

#[test]
fn work_releases_one_lease_after_the_other_and_begins_nothing_late() {
    let demo = Demo::start();
    let machine = Machine::new(&demo, "host-threads-releases");
    let client = open(&machine.config(), json!({}));
    let leases = ["MESH", "SOLVER"].map(|feature| client.acquire(&json!({"feature": feature})).0);
    leases.iter().for_each(|lease| lease.free());
    assert_eq!(client.work(0), Ok(0), "another one is due");
    assert_eq!(machine.count(), 1, "a call without time does one thing");
    assert_eq!(client.work(0), Ok(-1));
    assert_eq!(machine.count(), 0);
    client.acquire(&json!({"feature": "MESH"})).0.free();
    client.close();
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!((machine.count(), threads()), (1, Vec::new()), "nothing happens after the close");
}
