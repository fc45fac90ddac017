//! One slot among the processes of a machine: real processes, real kills, a real server that counts.
#![cfg(unix)]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use serde_json::{Value, json};
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::thread;
use support::holder::{self, Chance, Folder, Holder, until};
use support::sandbox::World;
use support::{Demo, with};

#[test]
fn holder() {
    holder::live();
}

const DEVICE: &str = "workstation";
/// So many machines are tried at the same time, each in a world of its own.
const MACHINES: u64 = 4;

/// A machine on which programs start, and the world in which its server counts.
struct Machine {
    world: World,
    folder: Folder,
}

impl Machine {
    fn new(demo: &Demo, name: &str) -> Machine {
        let world = World::new(demo, &json!({ "rate": 0 }));
        world.client(DEVICE).call("activate_license", &Value::Null).ok();
        Machine { world, folder: Folder::new(&format!("sharing-{name}")) }
    }

    fn start(&self) -> Holder {
        Holder::start(&self.config())
    }

    fn start_offline(&self) -> Holder {
        Holder::start(&with(&self.config(), json!({ "base_url": "http://127.0.0.1:9/api/v4" })))
    }

    fn config(&self) -> Value {
        with(&self.world.config(DEVICE), json!({ "storage_dir": self.folder.path() }))
    }

    /// How many slots the server counts.
    fn slots(&self) -> usize {
        self.world.slots_of(DEVICE).len()
    }

    /// Which, each with whether it is borrowed; the license's own is null.
    fn features(&self) -> Vec<(Value, bool)> {
        self.world.slots_of(DEVICE)
    }

    /// Has the next request of this operation met with this.
    fn next(&self, operation: &str, what: &Value) {
        let only_one = json!({ "match": { "operation": operation }, "when": { "times": 1 }, "do": what });
        self.world.control("PUT /faults", &json!({ "faults": [only_one] }));
    }

    /// Waits until a request is in the hands of that.
    fn until_it_happens(&self) {
        until("a request arrives", || {
            self.world.control("GET /faults", &Value::Null)["faults"][0]["happened"] == json!(1)
        });
    }

    /// Nothing is held, and nothing of earlier faults is left.
    fn is_clean(&self) {
        self.world.control("DELETE /faults", &Value::Null);
        assert_eq!(self.slots(), 0);
    }
}

/// Some machines at once, each for its part of the rounds, with numbers that are told if it fails.
fn on_machines(name: &str, rounds: u64, run: impl Fn(&Machine, u64, &mut Chance) + Sync) {
    let demo = Demo::start();
    let seed = std::env::var("FLOATLEASE_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| RandomState::new().build_hasher().finish() >> 32);
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

/// Says where the random numbers began.
struct OnFailure(u64);

impl Drop for OnFailure {
    #[allow(clippy::print_stderr)]
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("FLOATLEASE_SEED={}", self.0);
        }
    }
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
        assert_eq!(machine.slots(), 1);
        assert_eq!(all[0].tell("release").ok(), "RELEASED");
        assert_eq!(machine.slots(), 0);

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
        assert_eq!(machine.slots(), 1);
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
            let counted = machine.slots();
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

// ---- two processes at the gate

/// Both hold the slot and leave at once.
fn two_leave_at_the_same_instant(machine: &Machine, pair: &mut [Holder; 2]) {
    pair.iter_mut().for_each(|holder| assert_eq!(holder.tell("acquire").ok(), "ACTIVE"));
    assert_eq!(machine.slots(), 1);
    pair.iter_mut().for_each(|holder| holder.order("release"));
    pair.iter_mut().for_each(|holder| assert_eq!(holder.answer().expect("it lives").ok(), "RELEASED"));
    assert_eq!(machine.slots(), 0);
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
    assert_eq!(machine.slots(), 1);
    assert_eq!(coming.tell("release").ok(), "RELEASED");
    assert_eq!(machine.slots(), 0);
}

/// One is killed inside the gate, with another before it: on the way in or out, before the server has heard of it or
/// after.
fn one_is_killed_inside_the_gate(machine: &Machine, pair: &mut [Holder; 2], chance: &mut Chance) {
    const NEVER_DONE: &str = r#"{"before":"hang"}"#;
    const DONE_UNHEARD: &str = r#"{"after_commit":{"delay":{"fixed_ms":60000}}}"#;
    let what = if chance.below(2) == 0 { NEVER_DONE } else { DONE_UNHEARD };
    let (deed, operation) =
        if chance.below(2) == 0 { ("acquire", "check_license") } else { ("release", "release_license") };
    let [doomed, other] = pair;
    if deed == "release" {
        assert_eq!(doomed.tell("acquire").ok(), "ACTIVE");
    }
    machine.next(operation, &serde_json::from_str(what).unwrap());
    doomed.order(deed);
    machine.until_it_happens();
    if what == DONE_UNHEARD {
        until("it is done", || machine.slots() == usize::from(deed == "acquire"));
    }
    other.order("acquire");
    chance.rest(5_000);
    doomed.kill();
    assert_eq!(other.answer().expect("it lives").ok(), "ACTIVE");
    assert_eq!(machine.slots(), 1, "after {deed}, {what}");
    assert_eq!(other.tell("release").ok(), "RELEASED");
    assert_eq!(machine.slots(), 0, "after {deed}, {what}");
    *doomed = machine.start();
    machine.is_clean();
}

fn two_at_the_gate(machine: &Machine, rounds: u64, chance: &mut Chance) {
    let mut pair = [machine.start(), machine.start()];
    for round in 0..rounds {
        match round % 3 {
            0 => two_leave_at_the_same_instant(machine, &mut pair),
            1 => one_leaves_while_another_enters(machine, &mut pair, chance),
            _ => one_is_killed_inside_the_gate(machine, &mut pair, chance),
        }
        pair.reverse();
    }
}

#[test]
fn whoever_meets_or_dies_at_the_gate_leaves_no_slot_behind_and_nobody_without_one() {
    on_machines("gate", 300, two_at_the_gate);
}

#[test]
#[ignore = "takes minutes"]
fn whoever_meets_or_dies_at_the_gate_five_thousand_times() {
    on_machines("gate-often", 5_000, two_at_the_gate);
}

/// The gate is waited for, and no longer than the call may take.
#[test]
fn whoever_can_not_come_in_because_another_hangs_inside_is_told_so() {
    let demo = Demo::start();
    let machine = Machine::new(&demo, "hangs");
    let (mut hanging, mut other) = (machine.start(), machine.start());
    assert_eq!(hanging.tell("acquire").ok(), "ACTIVE");
    machine.next("release_license", &json!({ "before": "hang" }));
    hanging.order("release");
    machine.until_it_happens();
    let said = other.tell(r#"acquire {"timeout_ms":300}"#);
    assert_eq!((said.status.as_str(), said.state.as_str()), ("TIMEOUT", "NONE"));
    assert!(said.json["message"].as_str().unwrap().contains("Another process of this machine"), "{}", said.json);
    assert_eq!(machine.slots(), 1);
    hanging.kill();
    assert_eq!(other.tell("acquire").ok(), "ACTIVE");
    assert_eq!(other.tell("release").ok(), "RELEASED");
    machine.is_clean();
}

// ---- features and borrows

fn names(features: &[&str]) -> Vec<(Value, bool)> {
    features.iter().map(|feature| (json!(feature), false)).collect()
}

#[test]
fn a_set_of_features_is_had_whole_or_not_at_all_while_another_process_holds_one_of_them() {
    let demo = Demo::start();
    let machine = Machine::new(&demo, "sets");
    let (mut one, mut two) = (machine.start(), machine.start());
    let colleague = machine.world.client("office-1");
    colleague.call("activate_license", &Value::Null).ok();
    let (solver, _) = colleague.acquire(&json!({ "feature": "SOLVER" }));

    assert_eq!(one.tell(r#"acquire {"feature":"MESH"}"#).ok(), "ACTIVE");
    let said = two.tell(r#"acquire {"features":["MESH","SOLVER"]}"#);
    assert_eq!((said.status.as_str(), said.state.as_str()), ("FLOATING_NOT_AVAILABLE", "NONE"));
    assert_eq!(machine.features(), names(&["MESH"]), "what the other holds stays");
    assert_eq!(one.tell("renew").ok(), "ACTIVE");

    solver.release().ok();
    assert_eq!(two.tell(r#"acquire {"features":["MESH","SOLVER"]}"#).ok(), "ACTIVE");
    assert_eq!(machine.features(), names(&["MESH", "SOLVER"]));
    assert_eq!(one.tell("release").ok(), "RELEASED");
    assert_eq!(machine.features(), names(&["MESH", "SOLVER"]), "the set is whole");
    two.kill();
    assert_eq!(one.tell(r#"acquire {"feature":"MESH"}"#).ok(), "ACTIVE");
    assert_eq!(machine.features(), names(&["MESH"]), "what the dead one held besides is given back");
    assert_eq!(one.tell("release").ok(), "RELEASED");
    machine.is_clean();
}

#[test]
fn slots_of_different_features_are_left_by_different_last_ones() {
    let demo = Demo::start();
    let machine = Machine::new(&demo, "features");
    let (mut one, mut two, mut three) = (machine.start(), machine.start(), machine.start());
    assert_eq!(one.tell(r#"acquire {"features":["MESH","SOLVER"]}"#).ok(), "ACTIVE");
    assert_eq!(two.tell(r#"acquire {"feature":"SOLVER"}"#).ok(), "ACTIVE");
    assert_eq!(three.tell("acquire").ok(), "ACTIVE");
    assert_eq!(machine.slots(), 3);
    assert_eq!(one.tell("release").ok(), "RELEASED");
    assert_eq!(machine.slots(), 2, "the solver and the license");
    assert_eq!(three.tell("release").ok(), "RELEASED");
    assert_eq!(machine.features(), names(&["SOLVER"]));
    assert_eq!(two.tell("release").ok(), "RELEASED");
    machine.is_clean();
}

/// Of the license itself, and of a feature.
const BORROWED: [(&str, &str); 2] = [("license", "acquire"), ("mesh", r#"acquire {"feature":"MESH"}"#)];

fn is_borrowed(machine: &Machine) -> Vec<bool> {
    machine.features().into_iter().map(|(_, borrowed)| borrowed).collect()
}

#[test]
fn what_one_process_borrows_outlives_all_that_free_it_until_one_gives_it_back() {
    let demo = Demo::start();
    for (name, acquire) in BORROWED {
        let machine = Machine::new(&demo, &format!("borrow-{name}"));
        let (mut one, mut two) = (machine.start(), machine.start());
        assert_eq!(one.tell(acquire).ok(), "ACTIVE");
        assert_eq!(two.tell(acquire).ok(), "ACTIVE");
        assert_eq!(one.tell("borrow").ok(), "BORROWED");
        assert_eq!((is_borrowed(&machine), two.tell("state").ok().as_str()), (vec![true], "ACTIVE"));
        one.tell("free");
        assert!(one.settles());
        two.tell("free");
        assert!(two.settles());
        assert_eq!(is_borrowed(&machine), [true], "{name} stays borrowed");
        let mut offline = machine.start_offline();
        assert_eq!(offline.tell(acquire).ok(), "BORROWED", "{name}");
        assert_eq!(offline.tell("release").status, "CONNECT", "without a network it can't be given back");
        offline.kill();
        assert_eq!(machine.start_offline().tell(acquire).ok(), "BORROWED", "and so stays borrowed");
        assert_eq!(one.tell(acquire).ok(), "BORROWED");
        assert_eq!(one.tell("release").ok(), "RELEASED");
        machine.is_clean();
        let said = machine.start_offline().tell(acquire);
        assert_eq!((said.status.as_str(), said.state.as_str()), ("CONNECT", "NONE"), "nothing proves it any more");
    }
}

#[test]
fn a_borrow_that_is_given_back_early_while_others_hold_the_slot_goes_when_the_last_of_them_leaves() {
    let demo = Demo::start();
    for (name, acquire) in BORROWED {
        for leaves in ["release", "free"] {
            let machine = Machine::new(&demo, &format!("early-{name}-{leaves}"));
            let (mut one, mut two) = (machine.start(), machine.start());
            assert_eq!(one.tell(acquire).ok(), "ACTIVE");
            assert_eq!(two.tell(acquire).ok(), "ACTIVE");
            assert_eq!(one.tell("borrow").ok(), "BORROWED");
            assert_eq!(one.tell("release").ok(), "RELEASED");
            assert_eq!((machine.slots(), two.tell("state").ok().as_str()), (1, "ACTIVE"));
            two.tell(leaves);
            until("it is given back", || machine.slots() == 0);
        }
    }
}

#[test]
fn a_borrow_that_was_given_back_unheard_is_nobodys_any_more() {
    let demo = Demo::start();
    let machine = Machine::new(&demo, "unheard");
    let (mut one, mut two) = (machine.start(), machine.start());
    assert_eq!(one.tell(r#"acquire {"feature":"MESH","timeout_ms":300}"#).ok(), "ACTIVE");
    assert_eq!(one.tell("borrow").ok(), "BORROWED");
    let unheard = json!({ "match": { "operation": "release_feature" }, "do": { "after_commit": "close" } });
    machine.world.control("PUT /faults", &json!({ "faults": [unheard] }));
    let said = one.tell("release");
    assert_eq!((&said.json["outcome"], machine.slots()), (&json!("unknown"), 0), "{}", said.json);
    let said = machine.start_offline().tell(BORROWED[1].1);
    assert_eq!((said.status.as_str(), said.state.as_str()), ("NO_PROOF", "NONE"));
    assert_eq!(two.tell(BORROWED[1].1).ok(), "ACTIVE", "it is taken anew");
    assert_eq!(is_borrowed(&machine), [false]);
    machine.world.control("DELETE /faults", &Value::Null);
    [one, two].iter_mut().for_each(|holder| assert_eq!(holder.tell("release").ok(), "RELEASED"));
    machine.is_clean();
}

/// Polite, but not waiting: what the background can't do in time is for the next start.
#[test]
fn a_slot_that_is_freed_by_one_stays_with_the_others() {
    let demo = Demo::start();
    let machine = Machine::new(&demo, "freed");
    let (mut one, mut two) = (machine.start(), machine.start());
    assert_eq!(one.tell("acquire").ok(), "ACTIVE");
    assert_eq!(two.tell("acquire").ok(), "ACTIVE");
    one.tell("free");
    assert!(one.settles());
    assert_eq!((machine.slots(), two.tell("renew").ok().as_str()), (1, "ACTIVE"));
    two.tell("free");
    assert!(two.settles());
    machine.is_clean();
}
