//! The order numbers of requests: they only grow, whoever sends them. And what gives a slot back where no number can help.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use serde_json::{Value, json};
use std::thread;
use std::time::Duration;
use support::Demo;
use support::actor::{Actor, Insider, Program};
use support::holder::{self, Chance, Holder, until};
use support::machine::{DEVICE, Machine};
use support::sandbox::World;
use support::seed::{OnFailure, seed};

#[test]
fn holder() {
    holder::live();
}

/// How often each program takes the slot.
const TURNS: u64 = 40;

/// Has all programs take the slot, hold it for a moment, and leave it, side by side; holders are told `while_held`.
fn take_turns(programs: Vec<Actor>, while_held: &[&str]) {
    let seed = seed();
    thread::scope(|scope| {
        for (number, mut program) in programs.into_iter().enumerate() {
            scope.spawn(move || {
                let _told = OnFailure(seed);
                let mut chance = Chance::new(seed + number as u64);
                for _ in 0..TURNS {
                    assert_eq!(program.tell("acquire").ok(), "ACTIVE");
                    for order in while_held {
                        chance.rest(3_000);
                        assert_eq!(program.tell(order).ok(), "ACTIVE");
                    }
                    assert_eq!(program.tell("release").ok(), "RELEASED");
                    chance.rest(3_000);
                }
            });
        }
    });
}

/// The requests of the journal that have a number, oldest first.
fn numbered(world: &World) -> Vec<Value> {
    let journal = world.control("GET /journal?limit=10000", &Value::Null);
    assert_eq!(journal["forgotten"], 0);
    journal["entries"].as_array().unwrap().iter().filter(|entry| entry["order"].is_u64()).cloned().collect()
}

/// Fails unless every number is higher than the one before it, and none was refused.
fn assert_numbers_grow(world: &World) {
    let requests = numbered(world);
    assert!(requests.len() as u64 > TURNS, "{}", requests.len());
    for pair in requests.windows(2) {
        let [before, after] = [0, 1].map(|at| pair[at]["order"].as_u64().unwrap());
        assert!(before < after, "{}\n{}", pair[0], pair[1]);
    }
    let refused: Vec<_> = requests.iter().filter(|request| request["code"] == "order_outdated").collect();
    assert!(refused.is_empty(), "{refused:?}");
}

#[test]
fn numbers_of_processes_with_one_folder_only_grow() {
    let demo = Demo::start();
    let machine = Machine::new(&demo, "numbers");
    let threads = (0..2).map(|_| Actor::Thread(Insider::start(Program::open(&machine.config()))));
    let processes = (0..3).map(|_| Actor::Process(machine.start()));
    take_turns(threads.chain(processes).collect(), &[]);
    assert_numbers_grow(&machine.world);
    assert_eq!(machine.slots(), []);
}

#[test]
fn numbers_of_threads_with_one_client_only_grow() {
    let demo = Demo::start();
    let world = World::new(&demo, &json!({ "rate": 0 }));
    world.client(DEVICE).call("activate_license", &Value::Null).ok();
    let first = Program::open(&world.config(DEVICE));
    let others = (0..3).map(|_| first.beside()).collect::<Vec<_>>();
    let threads = [first].into_iter().chain(others).map(|program| Actor::Thread(Insider::start(program)));
    take_turns(threads.collect(), &[]);
    assert_numbers_grow(&world);
    assert_eq!(world.slots_of(DEVICE), []);
}

/// A renewal keeps nobody out of the slot, so a later request may overtake it.
#[test]
fn renewal_that_is_overtaken_reaches_no_host() {
    let demo = Demo::start();
    let machine = Machine::new(&demo, "overtaken");
    let programs = (0..4).map(|_| Actor::Process(Holder::start(&machine.config()))).collect();
    take_turns(programs, &["renew", "renew"]);
    assert_eq!(machine.slots(), []);
}

/// A client on a server that knows no order numbers, whose acquire was carried out late: nobody holds the slot.
fn late_acquire(demo: &Demo) -> (World, support::abi::Client) {
    let world = World::new(demo, &json!({ "rate": 0, "order": false, "idempotency": false }));
    let client = world.client(DEVICE);
    client.call("activate_license", &Value::Null).ok();
    let late =
        json!({ "match": { "operation": "check_license" }, "do": { "before": { "delay": { "fixed_ms": 600 } } } });
    world.control("POST /faults", &late);
    client.try_acquire(&json!({ "timeout_ms": 200 })).1.failed("TIMEOUT", "unknown");
    until("the slot is given back, which nobody holds", || asked(&world, "release_license") > 0);
    until("the acquire is carried out", || !world.slots_of(DEVICE).is_empty());
    world.control("DELETE /faults", &Value::Null);
    (world, client)
}

fn asked(world: &World, operation: &str) -> u64 {
    let filter = json!({ "filter": { "operation": operation } });
    world.control("POST /journal/count", &filter)["count"].as_u64().unwrap()
}

#[test]
fn late_slot_is_given_back_after_thirty_seconds() {
    let demo = Demo::start();
    let (world, client) = late_acquire(&demo);
    client.advance(31_000);
    until("it is given back again", || world.slots_of(DEVICE).is_empty());
}

#[test]
fn late_slot_is_given_back_after_a_sleep_without_network() {
    let demo = Demo::start();
    let (world, client) = late_acquire(&demo);
    world.control("POST /faults/profile", &json!({ "profile": "outage" }));
    let before = asked(&world, "release_license");
    // The machine wakes from a sleep, and its network is not there yet.
    client.advance(3_600_000);
    until("it is tried", || asked(&world, "release_license") > before);
    thread::sleep(Duration::from_secs(2));
    world.control("DELETE /faults", &Value::Null);
    client.advance(31_000);
    until("it is given back again", || world.slots_of(DEVICE).is_empty());
}

#[test]
fn lease_freed_without_network_is_given_back_in_time() {
    let demo = Demo::start();
    let world = World::new(&demo, &json!({ "rate": 0 }));
    let client = world.client(DEVICE);
    client.call("activate_license", &Value::Null).ok();
    let (lease, _) = client.acquire(&json!({ "release_on_close_ms": 60_000 }));
    let listen = |open: bool| {
        let url = format!("{}/listener", demo.text("control_url"));
        let (status, reply) = support::sandbox::call(&url, "POST", &json!({ "open": open }));
        assert_eq!(status, 200, "{reply}");
    };
    listen(false);
    lease.free();
    thread::sleep(Duration::from_secs(1));
    assert_eq!(world.slots_of(DEVICE).len(), 1);
    listen(true);
    until("it is given back", || world.slots_of(DEVICE).is_empty());
}

/// On a server that knows no order numbers a release without an answer may still free the slot after a renewal.
#[test]
fn renewal_after_an_unanswered_release_is_confirmed() {
    let demo = Demo::start();
    let world = World::new(&demo, &json!({ "rate": 0, "order": false, "idempotency": false }));
    let client = world.client(DEVICE);
    client.call("activate_license", &Value::Null).ok();
    let (lease, _) = client.acquire(&json!({ "timeout_ms": 700 }));
    let late =
        json!({ "match": { "operation": "release_license" }, "do": { "before": { "delay": { "fixed_ms": 1_500 } } } });
    world.control("POST /faults", &late);
    lease.release().failed("TIMEOUT", "unknown");
    assert_eq!(lease.renew().ok()["state"], "ACTIVE");
    until("the release is carried out", || world.slots_of(DEVICE).is_empty());
    let before = asked(&world, "check_license");
    client.advance(6_000);
    until("it is confirmed", || asked(&world, "check_license") > before);
    assert_eq!(world.slots_of(DEVICE).len(), 1);
    assert_eq!(lease.state(), "ACTIVE");
    // Once more when no request lives any more, and then no more than any lease.
    client.advance(25_000);
    until("it is confirmed again", || asked(&world, "check_license") > before + 1);
    client.advance(25_000);
    thread::sleep(Duration::from_millis(300));
    assert_eq!(asked(&world, "check_license"), before + 2);
    world.control("DELETE /faults", &Value::Null);
    lease.release().ok();
}
