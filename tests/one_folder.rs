//! What several programs of a machine keep in one folder at the same time.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use support::Demo;
use support::abi::Client;
use support::holder::{self, Chance};
use support::machine::Machine;
use support::seed::{OnFailure, seed};

#[test]
fn holder() {
    holder::live();
}

const CONSUME: &str = "add_consumption";

/// A machine with a license that floats and is consumed.
fn machine(demo: &Demo) -> Machine {
    let floating = json!({ "users": 1, "timeout_minutes": 120, "can_borrow": true, "max_borrow_time_hours": 240 });
    let license = json!({
        "product": "P", "license_key": "K", "license_type": "consumption", "allow_unlimited_activations": true,
        "consumption": { "allow_unlimited_consumptions": true }, "floating": floating,
    });
    let catalogue = json!({ "product": [{ "code": "P" }], "license": [license] });
    Machine::new_with(demo, "one-folder", &json!({ "rate": 0, "catalogue": catalogue }))
}

#[test]
fn consumptions_are_booked_while_others_take_and_leave_the_license() {
    others_are_killed(100);
}

#[test]
#[ignore = "takes a minute; make soak"]
fn consumptions_are_booked_while_a_thousand_others_are_killed() {
    others_are_killed(1_000);
}

/// One program books consumptions, while others take the license, borrow it, give it back and are killed.
fn others_are_killed(rounds: u64) {
    let (demo, seed) = (Demo::start(), seed());
    let _told = OnFailure(seed);
    let machine = machine(&demo);
    let is_over = AtomicBool::new(false);
    let booked = thread::scope(|scope| {
        let books = scope.spawn(|| {
            let client = Client::open(&machine.config()).unwrap();
            let mut booked = 0_i64;
            while !is_over.load(Ordering::Relaxed) {
                client.call(CONSUME, &json!({ "consumptions": 1, "offline": "queue" })).ok();
                booked += 1;
            }
            client.call("sync_consumptions", &Value::Null).ok();
            booked
        });
        let mut chance = Chance::new(seed);
        let mut other = machine.start();
        for _ in 0..rounds {
            for order in ["acquire", "borrow", "release"] {
                other.tell(order).ok();
            }
            let orders = ["acquire", "borrow"];
            orders.iter().take(1 + chance.below(2) as usize).for_each(|order| other.order(order));
            chance.rest(20_000);
            other.kill();
            other = machine.start();
            let state = other.tell("acquire").ok();
            assert!(["ACTIVE", "BORROWED"].contains(&&*state), "{state}");
            other.tell("release").ok();
        }
        is_over.store(true, Ordering::Relaxed);
        books.join().unwrap()
    });
    assert!(booked > 0 && machine.count() == 0);
    let total = machine.world.client(support::machine::DEVICE).call("check_license", &Value::Null).ok();
    assert_eq!(total["total_consumptions"], booked);
}
