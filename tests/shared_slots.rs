//! What processes of a machine hold together: features, sets of them, and borrows that one makes and another ends.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use serde_json::{Value, json};
use support::Demo;
use support::abi::Client;
use support::holder::{self, Chance, until};
use support::machine::Machine;
use support::seed::{OnFailure, seed};

#[test]
fn holder() {
    holder::live();
}

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

    let said = two.tell(r#"acquire {"features":["MESH","SOLVER"],"release_on_close_ms":0}"#);
    assert_eq!((said.status.as_str(), machine.count()), ("FLOATING_NOT_AVAILABLE", 0), "with nothing left to do later");
    assert_eq!(one.tell(r#"acquire {"feature":"MESH"}"#).ok(), "ACTIVE");
    let said = two.tell(r#"acquire {"features":["MESH","SOLVER"]}"#);
    assert_eq!((said.status.as_str(), said.state.as_str()), ("FLOATING_NOT_AVAILABLE", "NONE"));
    assert_eq!(machine.slots(), names(&["MESH"]), "what the other holds stays");
    assert_eq!(one.tell("renew").ok(), "ACTIVE");

    solver.release().ok();
    assert_eq!(two.tell(r#"acquire {"features":["MESH","SOLVER"]}"#).ok(), "ACTIVE");
    assert_eq!(machine.slots(), names(&["MESH", "SOLVER"]));
    assert_eq!(one.tell("release").ok(), "RELEASED");
    assert_eq!(machine.slots(), names(&["MESH", "SOLVER"]), "the set is whole");
    two.kill();
    assert_eq!(one.tell(r#"acquire {"feature":"MESH"}"#).ok(), "ACTIVE");
    assert_eq!(machine.slots(), names(&["MESH"]), "what the dead one held besides is given back");
    assert_eq!(one.tell("release").ok(), "RELEASED");
    assert_eq!(machine.count(), 0);
}

#[test]
fn slots_of_different_features_are_left_by_different_last_ones() {
    let demo = Demo::start();
    let machine = Machine::new(&demo, "features");
    let (mut one, mut two, mut three) = (machine.start(), machine.start(), machine.start());
    assert_eq!(one.tell(r#"acquire {"features":["MESH","SOLVER"]}"#).ok(), "ACTIVE");
    assert_eq!(two.tell(r#"acquire {"feature":"SOLVER"}"#).ok(), "ACTIVE");
    assert_eq!(three.tell("acquire").ok(), "ACTIVE");
    assert_eq!(machine.count(), 3);
    assert_eq!(one.tell("release").ok(), "RELEASED");
    assert_eq!(machine.count(), 2, "the solver and the license");
    assert_eq!(three.tell("release").ok(), "RELEASED");
    assert_eq!(machine.slots(), names(&["SOLVER"]));
    assert_eq!(two.tell("release").ok(), "RELEASED");
    assert_eq!(machine.count(), 0);
}

/// Of the license itself, and of a feature.
const BORROWED: [(&str, &str); 2] = [("license", "acquire"), ("mesh", r#"acquire {"feature":"MESH"}"#)];

fn is_borrowed(machine: &Machine) -> Vec<bool> {
    machine.slots().into_iter().map(|(_, borrowed)| borrowed).collect()
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
        assert_eq!(machine.count(), 0);
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
            assert_eq!((machine.count(), two.tell("state").ok().as_str()), (1, "ACTIVE"));
            // Who comes now is told by the server that it is borrowed, and yet does not keep it so.
            one.tell(acquire).ok();
            one.tell("free");
            assert!(one.settles());
            two.tell(leaves);
            until("it is given back", || machine.count() == 0);
        }
    }
}

/// One takes the license along on a trip; the other has the program open as on any day, and ends it.
#[test]
fn release_by_process_that_knows_of_no_borrow_leaves_it() {
    let demo = Demo::start();
    for (name, acquire) in BORROWED {
        for borrower_leaves_first in [false, true] {
            let machine = Machine::new(&demo, &format!("unaware-{name}-{borrower_leaves_first}"));
            let (mut one, mut two) = (machine.start(), machine.start());
            assert_eq!(one.tell(acquire).ok(), "ACTIVE");
            assert_eq!(two.tell(acquire).ok(), "ACTIVE");
            assert_eq!(one.tell("borrow").ok(), "BORROWED");
            if borrower_leaves_first {
                one.tell("free");
                assert!(one.settles());
            }
            assert_eq!(two.tell("release").ok(), "RELEASED");
            assert_eq!(is_borrowed(&machine), [true], "{name}");
            assert_eq!(machine.start_offline().tell(acquire).ok(), "BORROWED", "{name}");
            if !borrower_leaves_first {
                assert_eq!(one.tell("release").ok(), "RELEASED");
                assert_eq!(machine.count(), 0);
            }
        }
    }
}

#[test]
fn killed_process_that_knows_of_no_borrow_leaves_it() {
    unaware_are_killed(40);
}

#[test]
#[ignore = "takes a minute; make soak"]
fn thousand_killed_processes_that_know_of_no_borrow_leave_it() {
    unaware_are_killed(1_000);
}

/// Processes that took the slot before another borrowed it leave it, and are killed meanwhile.
fn unaware_are_killed(rounds: u64) {
    let (demo, seed) = (Demo::start(), seed());
    let _told = OnFailure(seed);
    for (name, acquire) in BORROWED {
        let machine = Machine::new(&demo, &format!("unaware-{rounds}-killed-{name}"));
        let (mut chance, mut one) = (Chance::new(seed), machine.start());
        for round in 0..rounds / 2 {
            let mut two = machine.start();
            assert_eq!(two.tell(acquire).ok(), "ACTIVE");
            assert_eq!(one.tell(acquire).ok(), "ACTIVE");
            assert_eq!(one.tell("borrow").ok(), "BORROWED");
            two.order(["release", "free"][chance.below(2) as usize]);
            chance.rest(5_000);
            two.kill();
            assert_eq!(is_borrowed(&machine), [true], "{name}, round {round}");
            assert_eq!(machine.start_offline().tell(acquire).ok(), "BORROWED", "{name}, round {round}");
            assert_eq!(one.tell("release").ok(), "RELEASED");
            assert_eq!(machine.count(), 0);
        }
    }
}

#[test]
fn borrow_of_one_process_is_that_of_another_when_network_is_gone() {
    let demo = Demo::start();
    for (name, acquire) in BORROWED {
        let machine = Machine::new(&demo, &format!("trip-{name}"));
        let (mut one, mut two) = (machine.start(), machine.start());
        assert_eq!(one.tell(acquire).ok(), "ACTIVE");
        assert_eq!(two.tell(acquire).ok(), "ACTIVE");
        assert_eq!(one.tell("borrow").ok(), "BORROWED");
        machine.world.only_fault(&json!({ "before": "refuse" }));
        assert_eq!(two.tell("renew").ok(), "BORROWED", "{name}");
        // Neither is asked about before its end.
        assert_eq!(two.tell("sleep_ms 10800000").ok(), "BORROWED");
        machine.world.control("DELETE /faults", &Value::Null);
        assert_eq!(two.tell("release").ok(), "RELEASED");
        one.kill();
    }
}

/// What ends the renewal is the release, whose lease has not heard of the borrow.
#[test]
fn release_that_ends_a_renewal_leaves_borrow_of_another() {
    let demo = Demo::start();
    let machine = Machine::new(&demo, "ended-renewal");
    let client = || Client::open(&machine.config()).unwrap();
    let (one, two) = (client(), client());
    let (borrowed, _) = one.acquire(&Value::Null);
    let (lease, info) = two.acquire(&Value::Null);
    borrowed.borrow(&Value::Null).ok();
    let hang = json!({ "match": { "operation": "check_license" }, "do": { "before": "hang" } });
    machine.world.control("PUT /faults", &json!({ "faults": [hang] }));
    let asked = json!({ "filter": { "operation": "check_license" } });
    let count = || machine.world.control("POST /journal/count", &asked)["count"].clone();
    let before = count();
    two.submit("lease_renew", &json!({ "lease": info["lease"] })).unwrap();
    until("it asks", || count() != before);
    drop(borrowed);
    lease.release().ok();
    assert_eq!(is_borrowed(&machine), [true]);
}

#[test]
fn borrow_by_verb_stays_though_another_has_given_his_back() {
    let demo = Demo::start();
    let machine = Machine::new(&demo, "unwanted");
    let client = || Client::open(&machine.config()).unwrap();
    let (one, two) = (client(), client());
    let (given_back, _) = one.acquire(&Value::Null);
    let (lease, _) = two.acquire(&Value::Null);
    given_back.borrow(&Value::Null).ok();
    given_back.release().ok();
    two.call("borrow_license", &Value::Null).ok();
    drop((lease, two));
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert_eq!(is_borrowed(&machine), [true]);
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
    assert_eq!((&said.json["outcome"], machine.count()), (&json!("unknown"), 0), "{}", said.json);
    let said = machine.start_offline().tell(BORROWED[1].1);
    assert_eq!((said.status.as_str(), said.state.as_str()), ("NO_PROOF", "NONE"));
    assert_eq!(two.tell(BORROWED[1].1).ok(), "ACTIVE", "it is taken anew");
    assert_eq!(is_borrowed(&machine), [false]);
    machine.world.control("DELETE /faults", &Value::Null);
    [one, two].iter_mut().for_each(|holder| assert_eq!(holder.tell("release").ok(), "RELEASED"));
    assert_eq!(machine.count(), 0);
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
    assert_eq!((machine.count(), two.tell("renew").ok().as_str()), (1, "ACTIVE"));
    two.tell("free");
    assert!(two.settles());
    assert_eq!(machine.count(), 0);
}

/// The server is slow: it does what it was asked after nobody waits for that any more.
#[test]
fn late_request_after_release_is_refused_by_its_order() {
    const HOUR_AND_A_HALF: &str = "sleep_ms 5400000";
    let demo = Demo::start();
    // Acquired before or not; what is asked then, of which operation, and how that ends.
    for (is_held, order, operation, status) in [
        (true, HOUR_AND_A_HALF, "check_license", "OK"),
        (true, r#"borrow {"timeout_ms":200}"#, "borrow_license", "TIMEOUT"),
        (false, r#"acquire {"timeout_ms":200}"#, "check_license", "TIMEOUT"),
    ] {
        let machine = Machine::new(&demo, &format!("late-{is_held}-{operation}-{status}"));
        let mut one = machine.start();
        if is_held {
            assert_eq!(one.tell("acquire").ok(), "ACTIVE");
        }
        let late = json!({
            "match": { "operation": operation }, "when": { "times": 1 }, "do": { "before": { "delay": { "fixed_ms": 1_000 } } },
        });
        machine.world.control("PUT /faults", &json!({ "faults": [late] }));
        let happened = || machine.world.control("GET /faults", &Value::Null)["faults"][0]["happened"] == json!(1);
        assert_eq!(one.tell(order).status, status);
        until("it is asked, if only by a renewal in the background", happened);
        if is_held {
            assert_eq!(one.tell("release").ok(), "RELEASED");
        } else {
            assert!(one.settles());
        }
        assert_eq!(machine.count(), 0, "{order}");
        let refused = json!({ "filter": { "code": "order_outdated" } });
        until("the server gets to it", || machine.world.control("POST /journal/count", &refused)["count"] == json!(1));
        assert_eq!(machine.count(), 0, "{order}");
        let mut next = machine.start();
        assert_eq!(next.tell(r#"acquire {"feature":"SOLVER"}"#).ok(), "ACTIVE");
        assert_eq!(machine.slots(), names(&["SOLVER"]), "after {order}");
        assert_eq!(next.tell("release").ok(), "RELEASED");
        assert_eq!(machine.count(), 0);
    }
}
