//! One slot among the processes of a machine: real processes, real kills, a real server that counts.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use serde_json::{Value, json};
use std::thread;
use support::Demo;
use support::holder::{self, Chance, Holder, until};
use support::machine::Machine;
use support::seed::{OnFailure, seed};

#[test]
fn holder() {
    holder::live();
}

/// So many machines are tried at the same time, each in a world of its own.
const MACHINES: u64 = 4;

/// Some machines at once, each for its part of the rounds, with numbers that are told if it fails.
fn on_machines(name: &str, rounds: u64, run: impl Fn(&Machine, u64, &mut Chance) + Sync) {
    let demo = Demo::start();
    let seed = seed();
    thread::scope(|scope| {
        for number in 0..MACHINES {
            let (demo, run) = (&demo, &run);
            scope.spawn(move || {
                let _told = OnFailure(seed);
                let machine = Machine::new(demo, &format!("{name}-{number}"));
                run(&machine, rounds / MACHINES, &mut Chance::new(seed + number));
            });
        }
    });
}

// ---- eight processes, of which five are killed

const PROCESSES: usize = 8;
const KILLED: usize = 5;

/// What somebody does when he is killed.
const LAST_DEEDS: [&str; 3] = ["renew", "release", "state"];

fn five_of_eight_are_killed(machine: &Machine, rounds: u64, chance: &mut Chance) {
    let mut all: Vec<Holder> = (0..PROCESSES).map(|_| machine.start()).collect();
    for _ in 0..rounds {
        // The first to come settles what the last round's dead may have left, and proves it by going.
        assert_eq!(all[0].tell("acquire").ok(), "ACTIVE");
        assert_eq!(machine.count(), 1);
        assert_eq!(all[0].tell("release").ok(), "RELEASED");
        assert_eq!(machine.count(), 0);

        let mut order: Vec<usize> = (0..PROCESSES).collect();
        chance.shuffle(&mut order);
        let (doomed, polite) = order.split_at(KILLED);
        let (at_the_door, inside) = doomed.split_at(chance.below(KILLED as u64) as usize);
        all.iter_mut().for_each(|holder| holder.order("acquire"));
        for &number in at_the_door {
            chance.rest(15_000);
            all[number].kill();
        }
        let mut leaving = [inside, polite].concat();
        for &number in &leaving {
            assert_eq!(all[number].answer().expect("it lives").ok(), "ACTIVE");
        }
        assert_eq!(machine.count(), 1);
        chance.shuffle(&mut leaving);
        for (at, &number) in leaving.iter().enumerate() {
            let (gone, rest) = (polite.contains(&number), &leaving[at + 1..]);
            if gone {
                assert_eq!(all[number].tell("release").ok(), "RELEASED");
            } else {
                all[number].order(LAST_DEEDS[chance.below(3) as usize]);
                chance.rest(10_000);
                all[number].kill();
            }
            let counted = machine.count();
            match rest {
                [] if gone => assert_eq!(counted, 0, "the last one left politely"),
                [] => assert!(counted <= 1),
                _ => assert_eq!(counted, 1, "{} still hold it", rest.len()),
            }
            for &number in rest {
                assert_eq!(all[number].tell("state").ok(), "ACTIVE");
            }
        }
        doomed.iter().for_each(|&number| all[number] = machine.start());
    }
}

#[test]
fn eight_processes_of_which_five_are_killed_have_one_slot_until_the_last_leaves_and_none_afterwards() {
    on_machines("eight", 200, five_of_eight_are_killed);
}

// ---- two processes at one lock

/// Has the next request of this operation met with this.
fn next(machine: &Machine, operation: &str, what: &Value) {
    let only_one = json!({ "match": { "operation": operation }, "when": { "times": 1 }, "do": what });
    machine.world.control("PUT /faults", &json!({ "faults": [only_one] }));
}

/// Waits until a request is in the hands of that.
fn until_it_happens(machine: &Machine) {
    until("a request arrives", || {
        machine.world.control("GET /faults", &Value::Null)["faults"][0]["happened"] == json!(1)
    });
}

/// Both hold the slot and leave at once.
fn two_leave_at_the_same_instant(machine: &Machine, pair: &mut [Holder; 2]) {
    pair.iter_mut().for_each(|holder| assert_eq!(holder.tell("acquire").ok(), "ACTIVE"));
    assert_eq!(machine.count(), 1);
    pair.iter_mut().for_each(|holder| holder.order("release"));
    pair.iter_mut().for_each(|holder| assert_eq!(holder.answer().expect("it lives").ok(), "RELEASED"));
    assert_eq!(machine.count(), 0);
}

/// One holds it and leaves while the other comes, whoever is a little earlier.
fn one_leaves_while_another_enters(machine: &Machine, [leaving, coming]: &mut [Holder; 2], chance: &mut Chance) {
    assert_eq!(leaving.tell("acquire").ok(), "ACTIVE");
    if chance.below(2) == 0 {
        leaving.order("release");
        chance.rest(3_000);
        coming.order("acquire");
    } else {
        coming.order("acquire");
        chance.rest(3_000);
        leaving.order("release");
    }
    assert_eq!(leaving.answer().expect("it lives").ok(), "RELEASED");
    assert_eq!(coming.answer().expect("it lives").ok(), "ACTIVE");
    assert_eq!(machine.count(), 1);
    assert_eq!(coming.tell("release").ok(), "RELEASED");
    assert_eq!(machine.count(), 0);
}

/// One is killed while it holds the lock, with another that waits for it: on the way in or out, before the server has heard of it or
/// after.
fn one_is_killed_holding_the_lock(machine: &Machine, pair: &mut [Holder; 2], chance: &mut Chance) {
    const NEVER_DONE: &str = r#"{"before":"hang"}"#;
    const DONE_UNHEARD: &str = r#"{"after_commit":{"delay":{"fixed_ms":60000}}}"#;
    let what = if chance.below(2) == 0 { NEVER_DONE } else { DONE_UNHEARD };
    let (deed, operation) =
        if chance.below(2) == 0 { ("acquire", "check_license") } else { ("release", "release_license") };
    let [doomed, other] = pair;
    if deed == "release" {
        assert_eq!(doomed.tell("acquire").ok(), "ACTIVE");
    }
    next(machine, operation, &serde_json::from_str(what).unwrap());
    doomed.order(deed);
    until_it_happens(machine);
    if what == DONE_UNHEARD {
        until("it is done", || machine.count() == usize::from(deed == "acquire"));
    }
    other.order("acquire");
    chance.rest(5_000);
    doomed.kill();
    assert_eq!(other.answer().expect("it lives").ok(), "ACTIVE");
    assert_eq!(machine.count(), 1, "after {deed}, {what}");
    assert_eq!(other.tell("release").ok(), "RELEASED");
    assert_eq!(machine.count(), 0, "after {deed}, {what}");
    *doomed = machine.start();
    machine.world.control("DELETE /faults", &Value::Null);
}

fn two_at_one_lock(machine: &Machine, rounds: u64, chance: &mut Chance) {
    let mut pair = [machine.start(), machine.start()];
    for round in 0..rounds {
        match round % 3 {
            0 => two_leave_at_the_same_instant(machine, &mut pair),
            1 => one_leaves_while_another_enters(machine, &mut pair, chance),
            _ => one_is_killed_holding_the_lock(machine, &mut pair, chance),
        }
        pair.reverse();
    }
}

#[test]
fn whoever_meets_or_dies_at_the_gate_leaves_no_slot_behind_and_nobody_without_one() {
    on_machines("lock", 300, two_at_one_lock);
}

#[test]
#[ignore = "takes minutes"]
fn whoever_meets_or_dies_at_the_gate_five_thousand_times() {
    on_machines("lock-often", 5_000, two_at_one_lock);
}

/// A call waits for the lock, but no longer than its deadline.
#[test]
fn whoever_can_not_come_in_because_another_hangs_inside_is_told_so() {
    let demo = Demo::start();
    let machine = Machine::new(&demo, "lock-hangs");
    let (mut hanging, mut other) = (machine.start(), machine.start());
    assert_eq!(hanging.tell("acquire").ok(), "ACTIVE");
    next(&machine, "release_license", &json!({ "before": "hang" }));
    hanging.order("release");
    until_it_happens(&machine);
    let said = other.tell(r#"acquire {"timeout_ms":300}"#);
    assert_eq!((said.status.as_str(), said.state.as_str()), ("TIMEOUT", "NONE"));
    assert!(said.json["message"].as_str().unwrap().contains("Another process of this machine"), "{}", said.json);
    assert!(said.json["elapsed_ms"].as_i64().unwrap() >= 300, "{}", said.json);
    assert_eq!(machine.count(), 1);
    hanging.kill();
    assert_eq!(other.tell("acquire").ok(), "ACTIVE");
    assert_eq!(other.tell("release").ok(), "RELEASED");
    assert_eq!(machine.count(), 0);
}
