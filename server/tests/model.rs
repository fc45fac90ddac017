//! Random histories of the domain against a model so naive that it can be read in one go.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::collections::BTreeMap;

use chrono::{DateTime, Datelike, TimeDelta, Utc};
use common::Random;
use common::world::{World, borrow_feature, check_feature, consume_feature, release_feature};
use floatlease_server::domain::{Action, Until};
use floatlease_server::store::{SqliteStore, Store};

const CATALOGUE: &str = r#"
[[product]]
code = "P"
[[license]]
product = "P"
license_key = "K"
allow_unlimited_activations = true
floating = { users = 3, timeout_minutes = 10, can_borrow = true, max_borrow_time_hours = 2 }
feature = [
    { code = "F", floating = { users = 2, timeout_minutes = 7, can_borrow = true, max_borrow_time_hours = 1 } },
    { code = "C", consumption = { max_consumptions = 20, allow_negative_consumptions = true, consumption_period = "daily" } },
]
"#;

const DEVICES: u64 = 6;

/// A list of who holds what until when.
struct Pool {
    users: usize,
    timeout_minutes: i64,
    max_borrow_time_hours: i64,
    held: BTreeMap<u64, (DateTime<Utc>, bool)>,
}

struct Model {
    active: [bool; DEVICES as usize],
    license: Pool,
    feature: Pool,
    consumed: i64,
    day: i32,
}

impl Pool {
    fn forget(&mut self, now: DateTime<Utc>) {
        self.held.retain(|_, (until, _)| *until > now);
    }

    fn check(&mut self, device: u64, now: DateTime<Utc>) -> bool {
        let until = now + TimeDelta::minutes(self.timeout_minutes);
        match self.held.get(&device) {
            Some((_, true)) => {}
            None if self.held.len() >= self.users => return false,
            _ => {
                self.held.insert(device, (until, false));
            }
        }
        true
    }

    fn end(&self, minutes: Option<i64>, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let longest = self.max_borrow_time_hours * 60;
        let minutes = minutes.unwrap_or(longest);
        (minutes > 0 && minutes <= longest).then(|| now + TimeDelta::minutes(minutes))
    }
}

type Said = Result<(), &'static str>;

impl Model {
    fn step(&mut self, device: u64, what: u64, minutes: Option<i64>, amount: i64, now: DateTime<Utc>) -> Said {
        self.license.forget(now);
        self.feature.forget(now);
        if self.day != now.num_days_from_ce() {
            (self.day, self.consumed) = (now.num_days_from_ce(), 0);
        }
        if what == 0 {
            self.active[device as usize] = true;
            return Ok(());
        }
        if !self.active[device as usize] {
            return Err("device_not_found");
        }
        let (license, feature) = (&mut self.license, &mut self.feature);
        match what {
            1 => {
                self.active[device as usize] = false;
                license.held.remove(&device);
                feature.held.remove(&device);
                Ok(())
            }
            2 | 3 => license.check(device, now).then_some(()).ok_or("floating_not_available"),
            4 => {
                let until = license.end(minutes, now).ok_or("borrow_until_not_valid")?;
                license.check(device, now).then_some(()).ok_or("floating_not_available")?;
                license.held.insert(device, (until, true));
                Ok(())
            }
            5 => license.held.remove(&device).map(|_| ()).ok_or("floating_not_available"),
            6 | 7 => feature.check(device, now).then_some(()).ok_or("floating_not_available"),
            8 => {
                feature.held.get(&device).ok_or("floating_feature_device_not_in_use")?;
                let until = feature.end(minutes, now).ok_or("borrow_until_not_valid")?;
                feature.held.insert(device, (until, true));
                Ok(())
            }
            9 => feature.held.remove(&device).map(|_| ()).ok_or("floating_feature_device_not_in_use"),
            _ if amount > 0 && self.consumed + amount > 20 => Err("feature_not_enough_consumptions"),
            _ => {
                self.consumed += amount;
                Ok(())
            }
        }
    }
}

fn action(what: u64, minutes: Option<i64>, amount: i64, now: DateTime<Utc>) -> Action {
    let until = minutes.map_or(Until::Longest, |minutes| Until::At(now + TimeDelta::minutes(minutes)));
    match what {
        0 => Action::Activate { variables: Vec::new() },
        1 => Action::Deactivate { variables: Vec::new() },
        2 | 3 => Action::CheckLicense { include_expired_features: false },
        4 => Action::BorrowLicense(until),
        5 => Action::ReleaseLicense,
        6 | 7 => check_feature("F"),
        8 => borrow_feature("F", until),
        9 => release_feature("F"),
        _ => consume_feature("C", amount),
    }
}

/// Whatever the answer, the slots and the total that the server reports are the model's.
fn compare(world: &mut World, model: &mut Model, what: &str) {
    model.license.forget(world.now);
    model.feature.forget(world.now);
    let probe = || world_probe("probe");
    let seen = world.apply(&probe()).unwrap();
    let feature = |code: &str| {
        seen["product_features"].as_array().unwrap().iter().find(|each| each["code"] == code).unwrap().clone()
    };
    assert_eq!(seen["floating_in_use_devices"], model.license.held.len(), "{what}");
    assert_eq!(feature("F")["floating_in_use_devices"], model.feature.held.len(), "{what}");
    let consumed = if model.day == world.now.num_days_from_ce() { model.consumed } else { 0 };
    assert_eq!(feature("C")["total_consumptions"], consumed, "{what}");
}

/// Activation shows everything and takes nothing.
fn world_probe(device: &str) -> floatlease_server::domain::Command {
    common::world::command("K", device, Action::Activate { variables: Vec::new() })
}

fn history(seed: u64, steps: u64) {
    let mut random = Random::new(seed);
    let mut world = World::new(CATALOGUE, "2026-06-01T20:00:00Z");
    let mut store = SqliteStore::in_memory().unwrap();
    let mut kept = 0;
    let pool = |users, timeout_minutes, max_borrow_time_hours| Pool {
        users,
        timeout_minutes,
        max_borrow_time_hours,
        held: BTreeMap::new(),
    };
    let mut model = Model {
        active: [false; DEVICES as usize],
        license: pool(3, 10, 2),
        feature: pool(2, 7, 1),
        consumed: 0,
        day: world.now.num_days_from_ce(),
    };
    for step in 0..steps {
        let device = random.below(DEVICES);
        let what = random.below(12);
        let minutes = (random.below(3) > 0).then(|| random.below(140) as i64 - 5);
        let amount = random.below(12) as i64 - 4;
        let at = format!("seed {seed}, step {step}: device {device}, what {what}, {minutes:?} min, amount {amount}");
        let expected = model.step(device, what, minutes, amount, world.now);
        let said = world.ask("K", &format!("hw-{device}"), action(what, minutes, amount, world.now));
        assert_eq!(said.map(|_| ()), expected, "{at}");
        compare(&mut world, &mut model, &at);
        if random.below(2) == 0 {
            world.wait(TimeDelta::seconds(random.below(400) as i64));
        }
        store.commit(&world.changes[kept..]).unwrap();
        kept = world.changes.len();
        if random.below(40) == 0 {
            let state = floatlease_server::domain::State::recover(world.catalogue.clone(), store.load().unwrap());
            world.state = state;
        }
    }
}

#[test]
fn random_histories_agree_with_the_model_across_restarts() {
    let seed = std::env::var("FLOATLEASE_SEED").ok().and_then(|seed| seed.parse().ok());
    match seed {
        Some(seed) => history(seed, 5000),
        None => (1..=40).for_each(|seed| history(seed, 500)),
    }
}
