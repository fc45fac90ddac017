//! Random histories of the domain against a model so naive that it can be read in one go.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use chrono::TimeDelta;
use common::Random;
use common::model::{CATALOGUE, DEVICES, Model, action};
use common::world::World;
use floatlease_server::domain::{Action, State};
use floatlease_server::store::{SqliteStore, Store};

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
    assert_eq!(feature("C")["total_consumptions"], model.consumed(world.now), "{what}");
}

/// Activation shows everything and takes nothing.
fn world_probe(device: &str) -> floatlease_server::domain::Command {
    common::world::command("K", device, Action::Activate { variables: Vec::new() })
}

/// By how many seconds a clock jumps: minutes, hours or weeks, ahead or back.
fn jump(random: &mut Random) -> i64 {
    let longest = [600, 3 * 3600, 40 * 24 * 3600][random.below(3) as usize];
    let by = random.below(longest) as i64;
    if random.below(2) == 0 { by } else { -by }
}

fn history(seed: u64, steps: u64) {
    let mut random = Random::new(seed);
    let mut world = World::new(CATALOGUE, "2026-06-01T20:00:00Z");
    let mut store = SqliteStore::in_memory().unwrap();
    let mut kept = 0;
    let mut model = Model::new();
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
        // In each gap between two requests the clock may jump, while the server runs or between a stop and a start.
        let stops = random.below(40) == 0;
        let jumps = random.below(3) == 0;
        if stops || jumps {
            world.heartbeat(world.now);
        }
        store.commit(&world.changes[kept..]).unwrap();
        kept = world.changes.len();
        if stops {
            world.state = State::recover(world.catalogue.clone(), store.load().unwrap());
        }
        if jumps {
            let by = TimeDelta::seconds(jump(&mut random));
            model.jump(by, world.now);
            world.wait(by);
            let resumed = world.state.resume(world.now);
            world.changes.extend(resumed);
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
