//! Consumption pools: random histories against a model, and the rules that it leaves out.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::collections::HashMap;

use chrono::{DateTime, Datelike, TimeDelta, Utc};
use common::world::{World, command, consume, consume_feature};
use common::{API_KEY, Random, SHARED_KEY, TestServer};
use floatlease_server::catalogue;
use floatlease_server::domain::{Action, Command, OfflineRequest, State};
use floatlease_server::store::{SqliteStore, Store};
use serde_json::Value;

const CATALOGUE: &str = r#"
product = [{ code = "P" }]
customer_account = [{ code = "ACME" }, { code = "OTHER" }]
customer = [{ email = "c", customer_account = "ACME" }, { email = "o", customer_account = "OTHER" }]

[[consumption_pool]]
name = "Units"
customer_account = "ACME"
kind = "license"
max_consumptions = 40
allow_overages = true
max_overages = 10
consumption_period = "daily"
default_reservation = 7

[[consumption_pool]]
name = "Credits"
customer_account = "ACME"
kind = "feature"
max_consumptions = 20

[[license]]
product = "P"
license_key = "0"
customer = "c"
max_activations = 9
consumption = { max_consumptions = 25, pool = "Units" }

[[license]]
product = "P"
license_key = "1"
customer = "c"
max_activations = 9
consumption = { allow_unlimited_consumptions = true, allow_negative_consumptions = true, pool = "Units" }

[[license]]
product = "P"
license_key = "2"
customer = "c"
max_activations = 9
consumption = { max_consumptions = 15, consumption_period = "monthly", pool = "Units" }

[[license]]
product = "P"
license_key = "F"
customer = "c"
max_activations = 9
feature = [
    { code = "A", consumption = { max_consumptions = 15, pool = "Credits" } },
    { code = "B", consumption = { max_consumptions = 15, pool = "Credits" } },
    { code = "OWN", consumption = { max_consumptions = 15 } },
]
"#;

const MEMBERS: usize = 3;
const DEVICES: u64 = 2;
/// The limit of "Units" with its overages.
const LIMIT: i64 = 50;

/// The pool "Units" and its members, so simple that it can be read in one go.
struct Model {
    pool: i64,
    pool_day: i64,
    members: [i64; MEMBERS],
    month: i32,
    /// The units of each reservation, with the day on which it was made.
    reserved: HashMap<(usize, u64), (i64, i64)>,
    active: HashMap<(usize, u64), bool>,
    /// True until a reset, a negative amount or a reservation makes the pool's total differ from the members' sum.
    sums_agree: bool,
}

fn day(now: DateTime<Utc>) -> i64 {
    now.timestamp().div_euclid(86_400)
}

impl Model {
    fn new(now: DateTime<Utc>) -> Model {
        let (pool_day, month) = (day(now), now.year() * 12 + now.month0() as i32);
        let (reserved, active) = (HashMap::new(), HashMap::new());
        Model { pool: 0, pool_day, members: [0; MEMBERS], month, reserved, active, sums_agree: true }
    }

    fn reset(&mut self, now: DateTime<Utc>) {
        if day(now) != self.pool_day {
            (self.pool, self.pool_day, self.sums_agree) = (0, day(now), false);
        }
        let month = now.year() * 12 + now.month0() as i32;
        if month != self.month {
            (self.members[2], self.month, self.sums_agree) = (0, month, false);
        }
    }

    fn limit(member: usize) -> Option<i64> {
        [Some(25), None, Some(15)][member]
    }

    /// The units of a device's reservation that the pool's present total holds.
    fn held(&self, member: usize, device: u64) -> i64 {
        self.reserved.get(&(member, device)).filter(|(_, day)| *day == self.pool_day).map_or(0, |(units, _)| *units)
    }

    fn move_pool(&mut self, by: i64) -> Result<(), &'static str> {
        if by > 0 && self.pool + by > LIMIT {
            return Err("license_not_enough_consumptions");
        }
        self.pool += by;
        Ok(())
    }

    fn consume(&mut self, member: usize, device: u64, amount: i64) -> Result<(), &'static str> {
        if !self.active.get(&(member, device)).copied().unwrap_or_default() {
            return Err("device_not_found");
        }
        if amount < 0 && member != 1 {
            return Err("negative_consumptions_not_allowed");
        }
        if amount > 0 && Model::limit(member).is_some_and(|limit| self.members[member] + amount > limit) {
            return Err("license_not_enough_consumptions");
        }
        if amount == 0 {
            return Ok(());
        }
        self.move_pool(amount - self.held(member, device))?;
        self.members[member] += amount;
        self.reserved.remove(&(member, device));
        self.sums_agree &= amount >= 0;
        Ok(())
    }

    fn reserve(&mut self, member: usize, device: u64, wanted: Option<i64>) -> Result<(), &'static str> {
        let units = wanted.or(Model::limit(member)).unwrap_or(7);
        self.move_pool(units - self.held(member, device))?;
        self.reserved.remove(&(member, device));
        if units > 0 {
            self.reserved.insert((member, device), (units, self.pool_day));
        }
        self.active.insert((member, device), true);
        self.sums_agree = false;
        Ok(())
    }

    /// Ends the use of a device, which books `used` first if the deactivation is offline.
    fn deactivate(&mut self, member: usize, device: u64, used: i64) -> Result<(), &'static str> {
        if !self.active.get(&(member, device)).copied().unwrap_or_default() {
            return Err("device_not_found");
        }
        if used != 0 {
            self.consume(member, device, used)?;
        }
        self.pool -= self.held(member, device);
        self.reserved.remove(&(member, device));
        self.active.insert((member, device), false);
        Ok(())
    }
}

fn offline(
    world: &mut World,
    number: i64,
    command: Command,
    reservation: Option<i64>,
    used: i64,
) -> Result<(), &'static str> {
    let request = OfflineRequest {
        command,
        number,
        pool_reservation: reservation,
        consumptions: used,
        feature_consumptions: Vec::new(),
    };
    world.state.apply_offline(&request, world.now, &mut world.changes).map(drop).map_err(|refusal| refusal.code())
}

fn activation() -> Action {
    Action::Activate { variables: Vec::new() }
}

fn deactivation() -> Action {
    Action::Deactivate { variables: Vec::new() }
}

/// Performs random steps of three members, and compares each outcome and all totals with the model's.
fn history(seed: u64, steps: i64) {
    let mut random = Random::new(seed);
    let mut world = World::new(CATALOGUE, "2026-06-01T20:00:00Z");
    let mut store = SqliteStore::in_memory().unwrap();
    let mut model = Model::new(world.now);
    world.activate("F", "probe").unwrap();
    for member in 0..MEMBERS {
        world.activate(&member.to_string(), "probe").unwrap();
    }
    for step in 0..steps {
        let (member, device) = (random.below(MEMBERS as u64) as usize, random.below(DEVICES));
        let (key, hardware_id) = (member.to_string(), format!("hw-{device}"));
        let amount = random.below(12) as i64 - 3;
        let what = random.below(20);
        model.reset(world.now);
        let of = |action| command(&key, &hardware_id, action);
        let (said, expected) = match what {
            0 => {
                let wanted = (random.below(2) == 0).then_some(amount.max(0));
                (offline(&mut world, step, of(activation()), wanted, 0), model.reserve(member, device, wanted))
            }
            1 => {
                let used = amount.max(0);
                (offline(&mut world, step, of(deactivation()), None, used), model.deactivate(member, device, used))
            }
            2 => (world.apply(&of(deactivation())).map(drop), model.deactivate(member, device, 0)),
            3 | 4 => {
                model.active.insert((member, device), true);
                (world.apply(&of(activation())).map(drop), Ok(()))
            }
            _ => (world.apply(&of(consume(amount))).map(drop), model.consume(member, device, amount)),
        };
        let at = format!("seed {seed}, step {step}: member {member}, device {device}, what {what}, amount {amount}");
        assert_eq!(said, expected, "{at}");
        compare(&mut world, &model, member, &at);
        if random.below(50) == 0 {
            world.wait(TimeDelta::hours(random.below(30) as i64));
        }
        if random.below(200) == 0 {
            store.commit(&std::mem::take(&mut world.changes)).unwrap();
            world.state = State::recover(world.catalogue.clone(), store.load().unwrap());
        }
    }
}

fn compare(world: &mut World, model: &Model, member: usize, at: &str) {
    let seen = world.check(&member.to_string(), "probe").unwrap();
    assert_eq!(seen["total_consumptions"], model.members[member], "{at}");
    assert_eq!(seen["pool"]["total_consumptions"], model.pool, "{at}");
    assert!(model.pool <= LIMIT, "{at}");
    if model.sums_agree {
        assert_eq!(model.members.iter().sum::<i64>(), model.pool, "{at}");
    }
}

/// `FLOATLEASE_SEED` chooses one long history.
#[test]
fn random_steps_keep_pool_within_limit_and_agree_with_model() {
    let seed = std::env::var("FLOATLEASE_SEED").ok().and_then(|seed| seed.parse().ok());
    match seed {
        Some(seed) => history(seed, 100_000),
        None => (1..=20).for_each(|seed| history(seed, 1_000)),
    }
}

/// Without resets, negative amounts and reservations, the pool's total is the members' sum.
#[test]
fn total_of_pool_is_sum_of_members() {
    let text =
        CATALOGUE.replace("consumption_period = \"daily\"", "").replace("consumption_period = \"monthly\", ", "");
    let text = text.replace("max_consumptions = 40", "max_consumptions = 100000");
    let mut world = World::new(&text, "2026-06-01");
    for member in 0..MEMBERS {
        world.activate(&member.to_string(), "hw").unwrap();
    }
    let mut random = Random::new(7);
    for _ in 0..20_000 {
        let member = random.below(MEMBERS as u64).to_string();
        let _ = world.ask(&member, "hw", consume(random.below(5) as i64));
    }
    let seen: Vec<Value> = (0..MEMBERS).map(|member| world.check(&member.to_string(), "hw").unwrap()).collect();
    let sum: i64 = seen.iter().map(|license| license["total_consumptions"].as_i64().unwrap()).sum();
    assert!(sum > 10_000);
    for license in seen {
        assert_eq!(license["pool"]["total_consumptions"], sum);
    }
}

#[test]
fn replies_show_the_pool_after_the_request() {
    let mut world = World::new(CATALOGUE, "2026-06-01");
    for key in ["0", "1", "F"] {
        world.activate(key, "hw").unwrap();
    }
    let reply = world.ask("0", "hw", consume(5)).unwrap();
    let id = world.catalogue.consumption_pools().find(|pool| pool.name == "Units").unwrap().id;
    assert_eq!(reply["total_consumptions"], 5);
    assert_eq!(
        reply["pool"],
        serde_json::json!({
            "id": id, "name": "Units", "max_consumptions": 40, "total_consumptions": 5,
            "allow_unlimited_consumptions": false, "allow_overages": true, "max_overages": 10,
            "reset_consumption": true, "consumption_period": "daily",
        })
    );
    assert_eq!(world.ask("1", "hw", consume(3)).unwrap()["pool"]["total_consumptions"], 8);
    let named = Command { idempotency_key: Some("k".to_owned()), ..command("1", "hw", consume(2)) };
    assert_eq!(world.apply(&named).unwrap()["pool"]["total_consumptions"], 10);
    assert_eq!(world.apply(&named).unwrap()["pool"]["total_consumptions"], 10, "booked once");
    assert_eq!(world.ask("F", "hw", consume_feature("A", 15)).unwrap()["pool"]["name"], "Credits");
    assert_eq!(world.ask("F", "hw", consume_feature("B", 6)), Err("feature_not_enough_consumptions"));
    assert_eq!(world.ask("F", "hw", consume_feature("OWN", 6)).unwrap().get("pool"), None);
    let license = world.check("F", "hw").unwrap();
    assert_eq!(license.get("pool"), None, "{license}");
    assert_eq!(license["product_features"][1]["pool"]["total_consumptions"], 15);
}

#[test]
fn reservations_of_features_of_one_pool_add_up() {
    let mut world = World::new(CATALOGUE, "2026-06-01");
    let command = |action| command("F", "hw", action);
    let request = |number, command, reservation, used: &[(&str, i64)]| OfflineRequest {
        command,
        number,
        pool_reservation: reservation,
        consumptions: 0,
        feature_consumptions: used.iter().map(|(code, amount)| ((*code).to_owned(), *amount)).collect(),
    };
    let mut apply = |request: &OfflineRequest| {
        let outcome = world.state.apply_offline(request, world.now, &mut world.changes);
        outcome.map(drop).map_err(|refusal| refusal.code())
    };
    // Both features have a limit of 15, and the pool one of 20.
    assert_eq!(apply(&request(1, command(activation()), None, &[])), Err("feature_not_enough_consumptions"));
    assert_eq!(apply(&request(1, command(activation()), Some(10), &[])), Ok(()));
    let beyond = request(2, command(deactivation()), None, &[("A", 15), ("B", 6)]);
    assert_eq!(apply(&beyond), Err("feature_not_enough_consumptions"));
    assert_eq!(apply(&request(2, command(deactivation()), None, &[("A", 15), ("B", 5)])), Ok(()));
    let license = world.activate("F", "hw").unwrap();
    assert_eq!(license["product_features"][0]["total_consumptions"], 15);
    assert_eq!(license["product_features"][0]["pool"]["total_consumptions"], 20);
    assert_eq!(license["product_features"][0]["pool"].get("reserved"), None);
}

#[test]
fn deactivation_uses_its_reservation_in_full_pool() {
    let mut world = World::new(CATALOGUE, "2026-06-01");
    let of = |action| command("0", "hw", action);
    world.activate("1", "other").unwrap();
    world.ask("1", "other", consume(10)).unwrap();
    assert_eq!(offline(&mut world, 1, of(activation()), Some(20), 0), Ok(()));
    // The pool has less than was reserved now. What the device has consumed was taken out of it before.
    world.restart_with(&CATALOGUE.replace("max_consumptions = 40", "max_consumptions = 5"));
    assert_eq!(offline(&mut world, 2, of(deactivation()), None, 16), Ok(()));
    let license = world.check("1", "other").unwrap();
    assert_eq!(license["pool"]["total_consumptions"], 26);
    assert_eq!(world.check("0", "hw"), Err("device_not_found"));
}

#[test]
fn refused_deactivation_keeps_reservation() {
    let mut world = World::new(CATALOGUE, "2026-06-01");
    let of = |action| command("0", "hw", action);
    assert_eq!(offline(&mut world, 1, of(activation()), Some(20), 0), Ok(()));
    world.restart_with(&CATALOGUE.replace("max_consumptions = 40", "max_consumptions = 5"));
    let refused = offline(&mut world, 2, of(deactivation()), None, 21);
    assert_eq!(refused, Err("license_not_enough_consumptions"));
    let license = world.check("0", "hw").unwrap();
    assert_eq!(license["pool"]["reserved"], 20);
    assert_eq!(license["pool"]["total_consumptions"], 20);
    assert_eq!(license["total_consumptions"], 0);
}

/// The catalogue with a third pool, to which the feature A belongs.
fn moved() -> String {
    let other = "[[consumption_pool]]\nname = \"Other\"\ncustomer_account = \"ACME\"\nkind = \"feature\"\n\
                 max_consumptions = 20\n";
    let from = "code = \"A\", consumption = { max_consumptions = 15, pool = \"Credits\"";
    format!("{}{other}", CATALOGUE.replace(from, &from.replace("Credits", "Other")))
}

/// The total of each feature's pool, as another device sees it.
fn pool_totals(world: &mut World) -> Vec<i64> {
    let license = world.activate("F", "another").unwrap();
    let features = license["product_features"].as_array().unwrap().iter();
    features.filter_map(|feature| feature["pool"]["total_consumptions"].as_i64()).collect()
}

fn world_with_reservations_of_5() -> World {
    let mut world = World::new(CATALOGUE, "2026-06-01");
    assert_eq!(offline(&mut world, 1, command("F", "hw", activation()), Some(5), 0), Ok(()));
    assert_eq!(pool_totals(&mut world), [10, 10]);
    world
}

#[test]
fn reservation_of_moved_feature_goes_back_to_its_pool() {
    let mut world = world_with_reservations_of_5();
    world.restart_with(&moved());
    assert_eq!(pool_totals(&mut world), [0, 10]);
    assert_eq!(offline(&mut world, 2, command("F", "hw", deactivation()), None, 0), Ok(()));
    assert_eq!(pool_totals(&mut world), [0, 0]);
}

#[test]
fn consumption_of_moved_feature_settles_its_old_reservation() {
    let mut world = world_with_reservations_of_5();
    world.restart_with(&moved());
    world.ask("F", "hw", consume_feature("A", 2)).unwrap();
    assert_eq!(pool_totals(&mut world), [2, 5]);
    world.ask("F", "hw", deactivation()).unwrap();
    assert_eq!(pool_totals(&mut world), [2, 0]);
}

#[test]
fn second_activation_moves_reservation_to_new_pool() {
    let mut world = world_with_reservations_of_5();
    world.restart_with(&moved());
    assert_eq!(offline(&mut world, 2, command("F", "hw", activation()), Some(3), 0), Ok(()));
    assert_eq!(pool_totals(&mut world), [3, 3]);
}

#[test]
fn reservation_of_feature_without_pool_goes_back() {
    let mut world = world_with_reservations_of_5();
    world.restart_with(
        &CATALOGUE.replace(
            "{ code = \"A\", consumption = { max_consumptions = 15, pool = \"Credits\" } }",
            "{ code = \"A\" }",
        ),
    );
    world.ask("F", "hw", deactivation()).unwrap();
    assert_eq!(pool_totals(&mut world), [0]);
}

#[test]
fn reservation_of_member_that_left_its_pool_goes_back_with_its_next_consumption() {
    let mut world = world_with_reservations_of_5();
    let pooled = "code = \"A\", consumption = { max_consumptions = 15, pool = \"Credits\" }";
    world.restart_with(&CATALOGUE.replace(pooled, "code = \"A\", consumption = { max_consumptions = 15 }"));
    world.ask("F", "hw", consume_feature("A", 0)).unwrap();
    assert_eq!(pool_totals(&mut world), [10]);
    world.ask("F", "hw", consume_feature("A", 1)).unwrap();
    assert_eq!(pool_totals(&mut world), [5]);
}

#[test]
fn consumption_of_0_keeps_reservation() {
    let mut world = world_with_reservations_of_5();
    let pool = world.ask("F", "hw", consume_feature("A", 0)).unwrap()["pool"].clone();
    assert_eq!(pool["reserved"], 5);
    assert_eq!(pool["total_consumptions"], 10);
}

#[test]
fn overages_of_0_are_unlimited_for_a_license_and_not_its_pool() {
    let overages = "max_consumptions = 25, allow_overages = true, max_overages = 0";
    let text = CATALOGUE.replace("max_overages = 10", "max_overages = 0").replace("max_consumptions = 25", overages);
    let mut world = World::new(&text, "2026-06-01");
    world.activate("0", "hw").unwrap();
    assert_eq!(world.ask("0", "hw", consume(41)), Err("license_not_enough_consumptions"));
    let license = world.ask("0", "hw", consume(40)).unwrap();
    assert_eq!(license["total_consumptions"], 40, "its own limit of 25 does not count");
}

/// Adds by several clients at once are all counted, by the members and by their pool.
#[test]
fn sums_agree_after_concurrent_adds() {
    const THREADS: usize = 6;
    const ADDS: i64 = 30;
    let key = format!("[[api_key]]\nkey = {API_KEY:?}\nshared_key = {SHARED_KEY:?}\n");
    let text = CATALOGUE.replace("max_consumptions = ", "max_consumptions = 1000");
    let server = TestServer::start(&format!("{text}{key}"), Box::new(SqliteStore::in_memory().unwrap()), true);
    let about =
        |member: usize| serde_json::json!({ "product": "P", "license_key": member.to_string(), "hardware_id": "hw" });
    (0..MEMBERS).for_each(|member| assert_eq!(server.client().call("activate_license", &about(member)).code(), None));
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let mut client = server.client();
            scope.spawn(move || {
                for _ in 0..ADDS {
                    assert_eq!(client.call("add_consumption", &about(thread % MEMBERS)).code(), None);
                }
            });
        }
    });
    for member in 0..MEMBERS {
        let license = server.client().call("check_license", &about(member)).json();
        assert_eq!(license["total_consumptions"], ADDS * (THREADS / MEMBERS) as i64);
        assert_eq!(license["pool"]["total_consumptions"], ADDS * THREADS as i64);
    }
}

#[test]
fn mistakes_about_pools_are_named() {
    for (old, new, words) in [
        ("pool = \"Units\"", "pool = \"Unit\"", "which no [[consumption_pool]] has"),
        ("pool = \"Units\"", "pool = \"Credits\"", "whose members are of the kind \"feature\""),
        ("kind = \"feature\"", "kind = \"both\"", "`kind`"),
        ("customer = \"c\"\nmax_activations", "customer = \"o\"\nmax_activations", "the account \"ACME\""),
        ("customer_account = \"ACME\"\nkind", "customer_account = \"NONE\"\nkind", "[[customer_account]]"),
        ("default_reservation = 7", "default_reservation = -7", "`default_reservation`"),
    ] {
        let errors = catalogue::parse(&CATALOGUE.replace(old, new)).unwrap_err().to_string();
        assert!(errors.contains(words), "{new}: {errors}");
    }
}
