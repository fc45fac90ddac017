//! A thousand replies lost after the server had done what was asked: no second slot, none leaked, nothing counted twice.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use serde_json::{Value, json};
use support::abi::{Answer, Client, Lease};
use support::folder::Folder;
use support::holder::Chance;
use support::sandbox::World;
use support::{Demo, with};

/// So many lives go on side by side, each in a world of its own.
const LIVES: u64 = 10;
/// And in each so many replies are lost at least.
const LOST: u64 = 100;

/// Asks until the answer decides; in doubt, the same again.
fn persist(mut ask: impl FnMut() -> Answer) -> Answer {
    loop {
        let answer = ask();
        if answer.status == "OK" || answer.json["outcome"] != "unknown" {
            return answer;
        }
    }
}

/// What a program on one machine does, and what the server must then say.
struct Life {
    world: World,
    folder: Folder,
    client: Client,
    lease: Option<Lease>,
    /// What the lease is of.
    feature: Value,
    consumed: i64,
}

impl Life {
    fn begin(demo: &Demo, seed: u64) -> Life {
        let world = World::new(demo, &json!({ "rate": 0 }));
        let folder = Folder::new(&format!("lost-{seed}"));
        let client = Life::start(&world, &folder);
        client.call("activate_license", &Value::Null).ok();
        let lost = json!({ "when": { "probability": 0.25, "seed": seed }, "do": { "after_commit": "reset" } });
        world.control("POST /faults", &lost);
        Life { world, folder, client, lease: None, feature: Value::Null, consumed: 0 }
    }

    fn start(world: &World, folder: &Folder) -> Client {
        Client::open(&with(&world.config("laptop"), json!({ "storage_dir": folder.path() }))).unwrap()
    }

    fn lost(&self) -> u64 {
        self.world.control("GET /faults", &Value::Null)["faults"][0]["happened"].as_u64().unwrap()
    }

    fn acquire(&mut self, feature: Value) {
        let request = json!({ "feature": feature, "release_on_close_ms": 0 });
        let mut taken = None;
        persist(|| {
            let (lease, answer) = self.client.try_acquire(&request);
            taken = lease;
            answer
        })
        .ok();
        (self.lease, self.feature) = (taken, feature);
    }

    fn consume(&mut self, amount: i64, key: u64) {
        let request =
            json!({ "feature": "CLOUD-CREDITS", "consumptions": amount, "idempotency_key": format!("key-{key}") });
        let answer = persist(|| self.client.call("add_feature_consumption", &request));
        if answer.status == "OK" {
            self.consumed += amount;
            assert_eq!(answer.json["total_consumptions"], self.consumed);
        } else {
            answer.refused("FEATURE_NOT_ENOUGH_CONSUMPTIONS");
        }
    }

    /// One thing that a program does.
    fn step(&mut self, random: &mut Chance, number: u64) {
        match (random.below(6), self.lease.take()) {
            (0, lease) => {
                self.lease = lease;
                let amount = i64::try_from(random.below(9)).unwrap() - 4;
                self.consume(amount.max(-self.consumed), number);
            }
            (_, None) => self.acquire([Value::Null, json!("MESH")][random.below(2) as usize].clone()),
            (1, Some(lease)) => {
                persist(|| lease.renew()).ok();
                self.lease = Some(lease);
            }
            (2, Some(lease)) => {
                persist(|| lease.borrow(&json!({ "borrowed_until": null }))).ok();
                self.lease = Some(lease);
            }
            // The program ends and starts anew, without having given anything back.
            (3, Some(lease)) => {
                drop(lease);
                self.client = Life::start(&self.world, &self.folder);
                self.acquire(self.feature.clone());
            }
            (_, Some(lease)) => drop(persist(|| lease.release()).ok()),
        }
        let held = self.world.slots_of("laptop");
        match &self.lease {
            None => assert_eq!(held, [], "leaked after step {number}"),
            Some(lease) => assert_eq!(held, [(self.feature.clone(), lease.state() == "BORROWED")], "step {number}"),
        }
    }
}

#[test]
fn a_thousand_lost_replies_cost_no_slot_and_no_consumption() {
    let demo = Demo::start();
    std::thread::scope(|scope| {
        for seed in 1..=LIVES {
            let demo = &demo;
            scope.spawn(move || {
                let (mut life, mut random) = (Life::begin(demo, seed), Chance::new(seed));
                let mut number = 0;
                while life.lost() < LOST {
                    number += 1;
                    life.step(&mut random, number);
                }
                life.world.control("PUT /faults", &json!({ "faults": [] }));
                if let Some(lease) = life.lease.take() {
                    lease.release().ok();
                }
                assert_eq!(life.world.slots_of("laptop"), []);
                let feature = life.client.call("check_feature", &json!({ "feature": "CLOUD-CREDITS" })).ok();
                assert_eq!(feature["total_consumptions"], life.consumed, "seed {seed}");
                assert_eq!(life.world.control("GET /invariants", &Value::Null)["ok"], true);
            });
        }
    });
}
