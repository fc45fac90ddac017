//! Several leases of one client whose requests hang and whose answers are lost, at random: in the end client and server
//! agree about each slot, and none is kept from others.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use serde_json::{Value, json};
use std::thread;
use std::time::{Duration, Instant};
use support::abi::{Client, Lease};
use support::holder::{self, Chance};
use support::machine::{DEVICE, Machine};
use support::seed::{OnFailure, seed};
use support::{Demo, with};

#[test]
fn holder() {
    holder::live();
}

/// So many machines are tried at the same time, each in a world of its own.
const MACHINES: u64 = 6;
/// Each comes to rest so often.
const ROUNDS: usize = 4;
/// After so many things were done on it, whatever became of them.
const STEPS: usize = 8;

/// The features of each lease; none: the license's own slot.
const LEASES: [&[&str]; 3] = [&[], &["A"], &["B", "C"]];

fn options() -> Value {
    let floating = json!({ "users": 1, "timeout_minutes": 120, "can_borrow": true, "max_borrow_time_hours": 240 });
    let features: Vec<_> = ["A", "B", "C"].map(|code| json!({ "code": code, "floating": floating })).into();
    let license = json!({
        "product": "P", "license_key": "K", "allow_unlimited_activations": true, "floating": floating,
        "feature": features,
    });
    json!({ "rate": 0, "catalogue": { "product": [{ "code": "P" }], "license": [license] } })
}

/// The request of a lease.
fn request(number: usize) -> Value {
    let features = Some(LEASES[number]).filter(|features| !features.is_empty());
    json!({ "features": features, "timeout_ms": 250, "grace_ms": 0 })
}

struct Model {
    machine: Machine,
    client: Client,
    leases: [Option<Lease>; 3],
    /// What was done since they last agreed, and how that ended.
    done: Vec<String>,
}

impl Model {
    /// What is done with one of the leases; it may fail.
    fn step(&mut self, chance: &mut Chance) {
        let number = chance.below(3) as usize;
        let Some(lease) = self.leases[number].take() else {
            let (lease, answer) = self.client.try_acquire(&request(number));
            self.done.push(format!("acquire {number}: {} {}", answer.status, answer.json["outcome"]));
            self.leases[number] = lease;
            return;
        };
        let deed = ["renew", "borrow", "release", "verb", "free"][chance.below(5) as usize];
        let answer = match deed {
            "renew" => lease.renew(),
            "borrow" => lease.borrow(&Value::Null),
            "release" => lease.release(),
            "verb" => {
                let feature = LEASES[number].first();
                let verb = if feature.is_some() { "release_feature" } else { "release_license" };
                let feature = feature.map_or(json!({}), |feature| json!({ "feature": feature }));
                self.client.call(verb, &with(&feature, json!({ "timeout_ms": 250 })))
            }
            _ => {
                self.done.push(format!("free {number}"));
                return;
            }
        };
        self.done.push(format!("{deed} {number}: {} {} {}", answer.status, answer.json["outcome"], lease.state()));
        self.leases[number] = Some(lease).filter(|lease| lease.state() != "RELEASED");
    }

    /// The slots that are held as the leases say, and whether they are borrowed.
    fn said(&self) -> Vec<(Value, bool)> {
        let held = self.leases.iter().zip(LEASES).filter_map(|(lease, features)| Some((lease.as_ref()?, features)));
        let mut slots: Vec<_> = held
            .flat_map(|(lease, features)| {
                let is_borrowed = lease.state() == "BORROWED";
                let features =
                    if features.is_empty() { vec![Value::Null] } else { features.iter().map(|f| json!(f)).collect() };
                let is_held = ["ACTIVE", "BORROWED"].contains(&lease.state());
                features.into_iter().filter(move |_| is_held).map(move |feature| (feature, is_borrowed))
            })
            .collect();
        slots.sort_by_key(|(feature, _)| feature.to_string());
        slots
    }

    fn counted(&self) -> Vec<(Value, bool)> {
        let mut slots = self.machine.slots();
        slots.sort_by_key(|(feature, _)| feature.to_string());
        slots
    }

    /// Each lease has what it says, and else nothing is held but what was borrowed by a lease that was freed.
    fn agrees(&self) -> bool {
        let (said, mut counted) = (self.said(), self.counted());
        let has = |slots: &[(Value, bool)], feature: &Value| slots.iter().any(|(other, _)| other == feature);
        let is_well = |lease: &Lease| ["ACTIVE", "BORROWED"].contains(&lease.state());
        // What is borrowed as the lease says, with each of its slots, is so at the server.
        let is_held = |slot: &(Value, bool)| if slot.1 { counted.contains(slot) } else { has(&counted, &slot.0) };
        let all_are_held = said.iter().all(is_held);
        counted.retain(|(feature, _)| !has(&said, feature));
        self.leases.iter().flatten().all(is_well) && all_are_held && counted.into_iter().all(|(_, borrowed)| borrowed)
    }

    /// With a server that answers again, nothing is in doubt for long.
    fn comes_to_rest(&mut self) {
        self.machine.world.control("DELETE /faults", &Value::Null);
        let end = Instant::now() + Duration::from_secs(20);
        while !self.agrees() {
            let told: Vec<_> = self.leases.iter().flatten().map(Lease::info).collect();
            assert!(Instant::now() < end, "{:?} at the server; {told:#?} after {:#?}", self.counted(), self.done);
            thread::sleep(Duration::from_millis(10));
        }
        self.done.clear();
    }
}

fn lives(demo: &Demo, name: &str, mut chance: Chance) {
    let machine = Machine::new_with(demo, name, &options());
    let client = Client::open(&machine.config()).unwrap();
    let mut model = Model { machine, client, leases: [None, None, None], done: Vec::new() };
    for _ in 0..ROUNDS {
        let mut seed = || chance.below(1 << 30);
        let fault = |probability: f64, seed: u64, what: Value| {
            let of_device = json!({ "hardware_id": DEVICE });
            json!({ "match": of_device, "when": { "probability": probability, "seed": seed }, "do": what })
        };
        let faults = [
            fault(0.2, seed(), json!({ "after_commit": "reset" })),
            fault(0.1, seed(), json!({ "before": "hang" })),
            fault(0.1, seed(), json!({ "before": { "http": { "status": 503 } } })),
        ];
        model.machine.world.control("PUT /faults", &json!({ "faults": faults }));
        (0..STEPS).for_each(|_| model.step(&mut chance));
        model.comes_to_rest();
    }
    for number in 0..LEASES.len() {
        let lease = model.leases[number].take().unwrap_or_else(|| model.client.acquire(&request(number)).0);
        lease.release().ok();
    }
    assert_eq!(model.counted(), []);
}

#[test]
fn leases_agree_with_the_server_in_the_end_whatever_is_lost() {
    let (demo, seed) = (Demo::start(), seed());
    thread::scope(|scope| {
        for number in 0..MACHINES {
            let demo = &demo;
            scope.spawn(move || {
                let _told = OnFailure(seed);
                lives(demo, &format!("model-{number}"), Chance::new(seed + number));
            });
        }
    });
}
