//! Order numbers: a request that was overtaken by a later one is not carried out, and one that comes twice changes nothing.
#![allow(clippy::unwrap_used)]

mod common;

use chrono::TimeDelta;
use common::time;
use common::world::{Answer, World, borrow_feature, check_feature, command, release_feature};
use floatlease::model::MAX_ORDER;
use floatlease_server::catalogue::VersionFilter;
use floatlease_server::domain::{Action, Change, Command, OrderScope, Refusal, Until};
use serde_json::Value;

const CATALOGUE: &str = r#"
blacklisted_hardware_ids = ["bad"]
product = [{ code = "P" }]
[[license]]
id = 1
product = "P"
license_key = "K"
allow_unlimited_activations = true
floating = { users = 2, timeout_minutes = 10, can_borrow = true, max_borrow_time_hours = 24 }
feature = [
    { code = "F", id = 11, floating = { users = 1, timeout_minutes = 5, can_borrow = true, max_borrow_time_hours = 12 } },
    { code = "G", id = 12, floating = { users = 1, timeout_minutes = 5 } },
    { code = "PLAIN", id = 13 },
    { code = "C", id = 14, consumption = { max_consumptions = 100 } },
]
[[license]]
id = 2
product = "P"
license_key = "NODE"
allow_unlimited_activations = true
[[license]]
id = 3
product = "P"
license_key = "DISABLED"
enabled = false
floating = { users = 1 }
[[license]]
id = 4
product = "P"
license_key = "ENDING"
license_type = "time-limited"
validity_period = 2026-06-01T12:05:00Z
allow_unlimited_activations = true
floating = { users = 1, timeout_minutes = 10 }
"#;

const OUTDATED: Answer = Err("order_outdated");
const OWN: OrderScope = OrderScope::Slot(None);
const OF_F: OrderScope = OrderScope::Slot(Some(11));

/// At noon, with two devices active, which have sent no number yet.
fn world() -> World {
    let mut world = World::new(CATALOGUE, "2026-06-01T12:00:00Z");
    for key in ["K", "NODE", "ENDING"] {
        for device in ["a", "b"] {
            world.activate(key, device).unwrap();
        }
    }
    world.events();
    world
}

fn numbered(number: u64, key: &str, device: &str, action: Action) -> Command {
    Command { order: Some(number), ..command(key, device, action) }
}

/// Device `a` asks for something on license K.
fn ask(world: &mut World, number: u64, action: Action) -> Answer {
    world.apply(&numbered(number, "K", "a", action))
}

fn check() -> Action {
    Action::CheckLicense { include_expired_features: false, wanted: VersionFilter::default() }
}

fn borrow() -> Action {
    Action::BorrowLicense(Until::Longest)
}

fn release() -> Action {
    Action::ReleaseLicense
}

fn activate() -> Action {
    Action::Activate { variables: Vec::new() }
}

fn deactivate() -> Action {
    Action::Deactivate { variables: Vec::new() }
}

/// How many slots of license K and its features are held by device `a`.
fn held(world: &World) -> usize {
    let holdings = world.state.holdings(world.now);
    holdings.iter().filter(|holding| (holding.license_id, holding.hardware_id.as_str()) == (1, "a")).count()
}

fn highest(world: &World, scope: OrderScope) -> Option<u64> {
    world.state.highest_order(1, "a", scope, world.now)
}

/// What was remembered and forgotten since the last time, in order: a number, or nothing for a device forgotten.
fn remembered(world: &World, since: usize) -> Vec<Option<u64>> {
    let number = |change: &Change| match change {
        Change::Ordered { request, .. } => Some(Some(request.number)),
        Change::OrderForgotten { .. } => Some(None),
        _ => None,
    };
    world.changes[since..].iter().filter_map(number).collect()
}

#[test]
fn late_check_after_release_takes_no_slot() {
    let mut world = world();
    ask(&mut world, 1, check()).unwrap();
    ask(&mut world, 3, release()).unwrap();
    world.events();
    assert_eq!(ask(&mut world, 2, check()), OUTDATED);
    assert_eq!(held(&world), 0);
    assert_eq!(world.events(), [""; 0]);
}

#[test]
fn late_release_after_check_frees_no_slot() {
    let mut world = world();
    ask(&mut world, 1, check()).unwrap();
    ask(&mut world, 3, check()).unwrap();
    assert_eq!(ask(&mut world, 2, release()), OUTDATED);
    assert_eq!(held(&world), 1);
}

#[test]
fn late_borrow_after_check_pins_no_slot() {
    let mut world = world();
    ask(&mut world, 1, check_feature("F")).unwrap();
    ask(&mut world, 3, check_feature("F")).unwrap();
    assert_eq!(ask(&mut world, 2, borrow_feature("F", Until::Longest)), OUTDATED);
    let seen = ask(&mut world, 4, check_feature("F")).unwrap();
    assert_eq!(seen["is_borrowed"], false);
}

#[test]
fn late_deactivation_after_activation_frees_nothing() {
    let mut world = world();
    ask(&mut world, 1, deactivate()).unwrap();
    ask(&mut world, 3, activate()).unwrap();
    ask(&mut world, 4, check()).unwrap();
    assert_eq!(ask(&mut world, 2, deactivate()), OUTDATED);
    assert_eq!(held(&world), 1);
}

#[test]
fn late_deactivation_after_check_of_any_slot_is_outdated() {
    for slot in [check(), check_feature("F")] {
        let mut world = world();
        ask(&mut world, 3, slot).unwrap();
        assert_eq!(ask(&mut world, 2, deactivate()), OUTDATED);
        assert_eq!(held(&world), 1);
        assert_eq!(ask(&mut world, 4, deactivate()), Ok("license_deactivated".into()));
    }
}

#[test]
fn late_check_of_any_slot_after_deactivation_is_outdated() {
    for slot in [check(), check_feature("F"), check_feature("G")] {
        let mut world = world();
        ask(&mut world, 3, deactivate()).unwrap();
        assert_eq!(ask(&mut world, 2, slot.clone()), OUTDATED);
        assert_eq!(ask(&mut world, 4, slot), Err("device_not_found"), "a device keeps its numbers");
    }
}

#[test]
fn late_activation_after_deactivation_makes_nothing_active() {
    let mut world = world();
    ask(&mut world, 3, deactivate()).unwrap();
    assert_eq!(ask(&mut world, 2, activate()), OUTDATED);
    assert_eq!(ask(&mut world, 4, check()), Err("device_not_found"));
}

#[test]
fn slots_of_a_device_have_numbers_of_their_own() {
    let mut world = world();
    ask(&mut world, 9, check()).unwrap();
    ask(&mut world, 5, check_feature("F")).unwrap();
    ask(&mut world, 1, check_feature("G")).unwrap();
    assert_eq!(highest(&world, OWN), Some(9));
    assert_eq!(highest(&world, OF_F), Some(5));
    assert_eq!(highest(&world, OrderScope::Device), Some(9));
}

#[test]
fn devices_and_licenses_have_numbers_of_their_own() {
    let mut world = world();
    ask(&mut world, 9, check()).unwrap();
    world.apply(&numbered(1, "K", "b", check())).unwrap();
    world.apply(&numbered(1, "ENDING", "a", check())).unwrap();
}

#[test]
fn outdated_request_is_told_the_highest_number() {
    let mut world = world();
    ask(&mut world, 5, check()).unwrap();
    ask(&mut world, 9, check_feature("F")).unwrap();
    for (action, number, expected) in
        [(release(), 4, 5), (release_feature("F"), 8, 9), (activate(), 1, 9), (deactivate(), 8, 9)]
    {
        let late = numbered(number, "K", "a", action);
        let refusal = world.state.apply(&late, world.now, &mut Vec::new()).unwrap_err();
        assert_eq!(refusal, Refusal::OrderOutdated { highest: expected }, "{late:?}");
        assert!(refusal.message("").contains(&format!("FloatLease-Order: {expected} ")), "{}", refusal.message(""));
    }
}

#[test]
fn refused_request_is_remembered_like_any_other() {
    for (key, device, action, code) in [
        ("K", "a", release(), "floating_not_available"),
        ("K", "a", release_feature("F"), "floating_feature_device_not_in_use"),
        ("K", "a", borrow_feature("PLAIN", Until::Longest), "feature_not_floating"),
        ("K", "a", release_feature("PLAIN"), "feature_not_floating"),
        ("K", "a", Action::BorrowLicense(Until::Unreadable), "borrow_until_not_valid"),
        ("K", "unknown", release(), "device_not_found"),
        ("K", "unknown", deactivate(), "device_not_found"),
        ("K", "bad", activate(), "blacklisted"),
        ("DISABLED", "a", check(), "license_not_enabled"),
        ("NODE", "a", release(), "floating_not_available"),
    ] {
        let mut world = world();
        let ask = |world: &mut World, number| world.apply(&numbered(number, key, device, action.clone()));
        assert_eq!(ask(&mut world, 5), Err(code), "{key} {device} {action:?}");
        assert_eq!(ask(&mut world, 4), OUTDATED, "{key} {device} {action:?}");
        world.restart();
        assert_eq!(ask(&mut world, 5), Err(code), "{key} {device} {action:?}");
        assert_eq!(ask(&mut world, 6), Err(code), "{key} {device} {action:?}");
    }
}

#[test]
fn check_overtaken_by_its_own_release_takes_no_slot() {
    let mut world = world();
    assert_eq!(ask(&mut world, 2, release()), Err("floating_not_available"));
    assert_eq!(ask(&mut world, 1, check()), OUTDATED);
    assert_eq!(held(&world), 0);
}

#[test]
fn check_overtaken_before_its_device_was_known_takes_no_slot() {
    let mut world = world();
    let ask = |world: &mut World, number, action| world.apply(&numbered(number, "K", "new", action));
    assert_eq!(ask(&mut world, 3, release()), Err("device_not_found"));
    assert_eq!(ask(&mut world, 1, activate()), OUTDATED);
    ask(&mut world, 4, activate()).unwrap();
    assert_eq!(ask(&mut world, 2, check()), OUTDATED);
}

#[test]
fn request_without_a_slot_of_its_own_is_not_remembered() {
    let mut world = world();
    for (key, action, expected) in [
        ("K", check_feature("NONE"), Some("invalid_license_feature_code")),
        ("K", release_feature("NONE"), Some("invalid_license_feature_code")),
        ("K", check_feature("PLAIN"), None),
        ("NODE", check(), None),
        ("K", common::world::consume_feature("C", 1), None),
    ] {
        let since = world.changes.len();
        for number in [5, 4] {
            let answer = world.apply(&numbered(number, key, "a", action.clone()));
            assert_eq!(answer.err(), expected, "{key} {action:?}");
        }
        assert_eq!(remembered(&world, since), [], "{key} {action:?}");
    }
}

#[test]
fn request_for_an_unknown_license_is_not_remembered() {
    let mut world = world();
    for _ in 0..2 {
        assert_eq!(world.apply(&numbered(5, "NONE", "a", check())), Err("license_not_found"));
    }
    assert!(remembered(&world, 0).is_empty());
}

#[test]
fn request_without_a_number_is_carried_out_as_ever() {
    let mut world = world();
    ask(&mut world, 9, check()).unwrap();
    world.ask("K", "a", release()).unwrap();
    world.check("K", "a").unwrap();
    assert_eq!(highest(&world, OWN), Some(9));
}

#[test]
fn repeated_success_is_answered_in_full_and_changes_nothing() {
    for (first, action) in [
        (None, activate()),
        (None, check()),
        (None, check_feature("F")),
        (None, borrow()),
        (Some(check_feature("F")), borrow_feature("F", Until::Longest)),
        (Some(check()), release()),
        (Some(check_feature("F")), release_feature("F")),
        (None, deactivate()),
    ] {
        let mut world = world();
        first.map(|first| ask(&mut world, 1, first).unwrap());
        let reply = ask(&mut world, 2, action.clone());
        let (changes, slots) = (world.changes.len(), world.state.holdings(world.now));
        world.wait(TimeDelta::minutes(4));
        assert_eq!(ask(&mut world, 2, action.clone()), reply, "{action:?}");
        assert_eq!(world.state.holdings(world.now), slots, "not renewed: {action:?}");
        assert_eq!(world.changes.len(), changes, "{action:?}");
        world.restart();
        assert_eq!(ask(&mut world, 2, action.clone()), reply, "{action:?}");
        assert_eq!(world.changes.len(), changes, "{action:?}");
    }
}

#[test]
fn repeated_activation_keeps_no_variables_again() {
    let mut world = world();
    let with = |value: &str| Action::Activate { variables: vec![("seat".to_owned(), value.to_owned())] };
    ask(&mut world, 1, with("3")).unwrap();
    world.ask("K", "a", with("4")).unwrap();
    assert_eq!(ask(&mut world, 1, with("3")).unwrap()["variables"][0]["value"], "4");
}

#[test]
fn repeated_borrow_names_the_end_that_stands() {
    let mut world = world();
    let end = ask(&mut world, 1, borrow()).unwrap()["borrowed_until"].clone();
    world.wait(TimeDelta::hours(1) - TimeDelta::milliseconds(1));
    assert_eq!(ask(&mut world, 1, borrow()).unwrap()["borrowed_until"], end);
    // Somebody without numbers borrows for less.
    world.ask("K", "a", Action::BorrowLicense(Until::At(time("2026-06-01T14:00:00Z")))).unwrap();
    assert_eq!(ask(&mut world, 1, borrow()).unwrap()["borrowed_until"], "2026-06-01T14:00:00.000Z");
}

#[test]
fn repeated_refusal_is_refused_for_the_same_reason() {
    let mut world = world();
    for device in ["b", "c"] {
        world.activate("K", device).unwrap();
        world.check("K", device).unwrap();
    }
    assert_eq!(ask(&mut world, 1, check()), Err("floating_not_available"));
    world.ask("K", "b", release()).unwrap();
    for _ in 0..2 {
        assert_eq!(ask(&mut world, 1, check()), Err("floating_not_available"), "the same request");
        world.restart();
    }
    assert_eq!(held(&world), 0);
    ask(&mut world, 2, check()).unwrap();
}

#[test]
fn repeated_refusal_keeps_what_it_says() {
    let toml = CATALOGUE.replace("id = 13", "id = 13, expiry_date = 2020-01-01");
    let mut world = World::new(&toml, "2026-06-01T12:00:00Z");
    world.activate("K", "a").unwrap();
    let request = numbered(1, "K", "a", borrow_feature("PLAIN", Until::Longest));
    for _ in 0..2 {
        let refusal = world.state.apply(&request, world.now, &mut world.changes).unwrap_err();
        assert_eq!(refusal, Refusal::InvalidLicenseFeatureCode("PLAIN".to_owned()));
        world.restart();
    }
}

#[test]
fn repeated_check_of_a_lost_slot_is_outdated() {
    for lose in [
        |world: &mut World| world.wait(TimeDelta::minutes(10)),
        |world: &mut World| {
            world.ask("K", "a", release()).unwrap();
        },
    ] {
        let mut world = world();
        ask(&mut world, 1, check()).unwrap();
        lose(&mut world);
        assert_eq!(ask(&mut world, 1, check()), OUTDATED);
        assert_eq!(held(&world), 0);
        ask(&mut world, 2, check()).unwrap();
    }
}

#[test]
fn repeated_borrow_of_a_slot_no_longer_borrowed_is_outdated() {
    let mut world = world();
    ask(&mut world, 1, borrow()).unwrap();
    world.ask("K", "a", release()).unwrap();
    world.check("K", "a").unwrap();
    assert_eq!(ask(&mut world, 1, borrow()), OUTDATED);
}

#[test]
fn repeated_activation_of_a_device_no_longer_active_is_outdated() {
    let mut world = world();
    ask(&mut world, 1, activate()).unwrap();
    world.ask("K", "a", deactivate()).unwrap();
    assert_eq!(ask(&mut world, 1, activate()), OUTDATED);
    assert_eq!(ask(&mut world, 2, check()), Err("device_not_found"));
}

#[test]
fn repeated_giving_back_is_done_whatever_was_taken_since() {
    let mut world = world();
    ask(&mut world, 1, check()).unwrap();
    ask(&mut world, 2, release()).unwrap();
    // By a client that sends no numbers, on the same device.
    world.check("K", "a").unwrap();
    assert_eq!(ask(&mut world, 2, release()), Ok(Value::Null));
    assert_eq!(held(&world), 1, "nobody loses a slot to a repetition");
    ask(&mut world, 3, deactivate()).unwrap();
    world.activate("K", "a").unwrap();
    assert_eq!(ask(&mut world, 3, deactivate()), Ok("license_deactivated".into()));
    world.check("K", "a").unwrap();
}

#[test]
fn same_number_of_another_request_is_outdated() {
    for (first, second) in [
        (check(), release()),
        (check(), borrow()),
        (borrow(), check()),
        (check(), activate()),
        (check(), deactivate()),
        (check_feature("F"), deactivate()),
        (activate(), check()),
        (activate(), deactivate()),
        (activate(), check_feature("F")),
        (deactivate(), activate()),
        (deactivate(), release()),
    ] {
        let mut world = world();
        ask(&mut world, 7, first.clone()).unwrap();
        let changes = world.changes.len();
        assert_eq!(ask(&mut world, 7, second.clone()), OUTDATED, "{first:?}, {second:?}");
        assert_eq!(world.changes.len(), changes, "{first:?}, {second:?}");
    }
}

#[test]
fn highest_number_of_all_can_be_repeated_and_not_exceeded() {
    let mut world = world();
    let reply = ask(&mut world, MAX_ORDER, check());
    assert_eq!(ask(&mut world, MAX_ORDER, check()), reply);
    assert_eq!(ask(&mut world, MAX_ORDER, release()), OUTDATED);
    assert_eq!(ask(&mut world, MAX_ORDER - 1, release()), OUTDATED);
}

#[test]
fn numbers_are_forgotten_an_hour_after_the_last_request() {
    let mut world = world();
    ask(&mut world, 9, check()).unwrap();
    world.wait(TimeDelta::minutes(30));
    // Of another slot, but of the same device.
    ask(&mut world, 5, release_feature("F")).unwrap_err();
    world.wait(TimeDelta::minutes(60) - TimeDelta::milliseconds(1));
    assert_eq!(ask(&mut world, 8, check()), OUTDATED);
    world.wait(TimeDelta::milliseconds(1));
    let since = world.changes.len();
    ask(&mut world, 1, check()).unwrap();
    assert_eq!(remembered(&world, since), [None, Some(1)]);
    assert_eq!(highest(&world, OWN), Some(1));
    assert_eq!(highest(&world, OF_F), None, "all of them");
    world.restart();
    assert_eq!(highest(&world, OrderScope::Device), Some(1));
}

#[test]
fn outdated_and_repeated_requests_do_not_lengthen_the_hour() {
    let mut world = world();
    ask(&mut world, 9, release()).unwrap_err();
    world.wait(TimeDelta::minutes(59));
    assert_eq!(ask(&mut world, 8, check()), OUTDATED);
    ask(&mut world, 9, release()).unwrap_err();
    world.wait(TimeDelta::minutes(1));
    ask(&mut world, 8, check()).unwrap();
}

#[test]
fn silent_devices_are_forgotten_a_few_at_a_time() {
    let mut world = world();
    for device in 0..100 {
        world.apply(&numbered(1, "K", &format!("hw-{device}"), release())).unwrap_err();
    }
    world.wait(TimeDelta::hours(1));
    for number in 1..=25 {
        let since = world.changes.len();
        ask(&mut world, number, check()).unwrap();
        assert_eq!(remembered(&world, since).iter().filter(|number| number.is_none()).count(), 4);
    }
    let since = world.changes.len();
    ask(&mut world, 26, check()).unwrap();
    assert_eq!(remembered(&world, since), [Some(26)], "the other devices are forgotten, this one is not");
}

#[test]
fn device_that_comes_back_is_forgotten_at_once() {
    let mut world = world();
    for device in 0..100 {
        world.apply(&numbered(1, "K", &format!("hw-{device}"), release())).unwrap_err();
    }
    world.wait(TimeDelta::minutes(1));
    ask(&mut world, 9, release_feature("F")).unwrap_err();
    world.wait(TimeDelta::hours(1));
    // A hundred others have been silent for longer.
    ask(&mut world, 1, check()).unwrap();
    assert_eq!(highest(&world, OF_F), None);
    ask(&mut world, 2, check_feature("F")).unwrap();
}

#[test]
fn restart_after_a_downtime_forgets_nothing_early() {
    let mut world = world();
    ask(&mut world, 9, check_feature("F")).unwrap();
    ask(&mut world, 5, check()).unwrap();
    world.wait(TimeDelta::minutes(59));
    world.heartbeat(world.now);
    for off in [TimeDelta::days(3), -TimeDelta::days(365)] {
        world.wait(off);
        world.restart();
        let resumed = world.state.resume(world.now);
        world.changes.extend(resumed);
        assert_eq!(ask(&mut world, 8, check_feature("F")), OUTDATED, "{off}");
        assert_eq!(ask(&mut world, 4, check()), OUTDATED, "{off}");
        world.restart();
        assert_eq!(highest(&world, OF_F), Some(9), "{off}");
    }
    world.wait(TimeDelta::minutes(1) - TimeDelta::milliseconds(1));
    assert_eq!(ask(&mut world, 4, check()), OUTDATED);
    world.wait(TimeDelta::milliseconds(1));
    ask(&mut world, 4, check()).unwrap();
}

#[test]
fn expired_license_refuses_a_new_check_and_repeats_an_old_one() {
    let mut world = world();
    let ask = |world: &mut World, number| world.apply(&numbered(number, "ENDING", "a", check()));
    ask(&mut world, 1).unwrap();
    world.wait(TimeDelta::minutes(6));
    assert_eq!(ask(&mut world, 1).unwrap()["is_expired"], true, "its slot is held for four more minutes");
    assert_eq!(ask(&mut world, 2), Err("license_expired"));
    assert_eq!(ask(&mut world, 1), OUTDATED);
}
