//! Slots: taking, renewing, borrowing, giving back, and the very instant at which they are free.
#![allow(clippy::unwrap_used)]

mod common;

use chrono::TimeDelta;
use common::time;
use common::world::{World, borrow_feature, check_feature, release_feature};
use floatlease_server::catalogue::VersionFilter;
use floatlease_server::domain::{Action, Change, Until};

const CATALOGUE: &str = r#"
[[product]]
code = "P"

[[license]]
product = "P"
license_key = "K"
allow_unlimited_activations = true
floating = { users = 2, timeout_minutes = 10, can_borrow = true, max_borrow_time_hours = 24 }
feature = [
    { code = "F", floating = { users = 1, timeout_minutes = 5, can_borrow = true, max_borrow_time_hours = 12 } },
    { code = "HOME", floating = { users = 1 } },
    { code = "PLAIN" },
    { code = "ENDING", expiry_date = 2026-06-02, floating = { users = 1, can_borrow = true, max_borrow_time_hours = 72 } },
]

[[license]]
product = "P"
license_key = "ENDING"
license_type = "time-limited"
validity_period = 2026-06-02
allow_unlimited_activations = true
floating = { users = 1, can_borrow = true, max_borrow_time_hours = 72 }
feature = [{ code = "F", floating = { users = 1 } }, { code = "PLAIN" }]

[[license]]
product = "P"
license_key = "SUBSCRIPTION"
license_type = "subscription"
validity_period = 2026-06-02
grace_period_hours = 1
floating = { users = 1 }

[[license]]
product = "P"
license_key = "NODE"
license_type = "time-limited"
validity_period = 2026-06-02
"#;

const MS: TimeDelta = TimeDelta::milliseconds(1);

/// At noon, with four devices active on every license.
fn world() -> World {
    let mut world = World::new(CATALOGUE, "2026-06-01T12:00:00Z");
    for key in ["K", "ENDING"] {
        for device in ["a", "b", "c", "d"] {
            world.activate(key, device).unwrap();
        }
    }
    world.activate("SUBSCRIPTION", "a").unwrap();
    world.activate("NODE", "a").unwrap();
    world.events();
    world
}

fn at(text: &str) -> Action {
    Action::BorrowLicense(Until::At(time(text)))
}

#[test]
fn a_device_takes_one_slot_however_often_it_checks() {
    let mut world = world();
    for _ in 0..3 {
        assert_eq!(world.check("K", "a").unwrap()["floating_in_use_devices"], 1);
    }
    assert_eq!(world.check("K", "b").unwrap()["floating_in_use_devices"], 2);
    assert_eq!(world.check("K", "c"), Err("floating_not_available"));
    assert_eq!(world.check("K", "a").unwrap()["floating_in_use_devices"], 2);
    assert_eq!(world.events(), ["slot_taken", "slot_taken"]);
}

#[test]
fn activation_takes_no_slot() {
    let mut world = world();
    assert_eq!(world.activate("K", "e").unwrap()["floating_in_use_devices"], 0);
}

#[test]
fn a_slot_is_free_at_the_very_instant_of_its_timeout() {
    let mut world = world();
    world.check("K", "a").unwrap();
    world.check("K", "b").unwrap();
    world.wait(TimeDelta::minutes(10) - MS);
    assert_eq!(world.check("K", "c"), Err("floating_not_available"));
    world.wait(MS);
    assert_eq!(world.check("K", "c").unwrap()["floating_in_use_devices"], 1);
    assert_eq!(world.events(), ["slot_taken", "slot_taken", "slot_expired", "slot_expired", "slot_taken"]);
}

/// Nobody asks for four days.
#[test]
fn expiry_is_dated_by_the_end_of_the_slot() {
    let mut world = world();
    world.check("K", "a").unwrap();
    world.ask("K", "b", at("2026-06-01T20:00:00Z")).unwrap();
    let before = world.changes.len();
    world.wait(TimeDelta::days(4));
    world.check("K", "c").unwrap();
    let events = world.changes.iter().skip(before).filter_map(|change| match change {
        Change::Happened(event) => Some((event.kind.name(), event.at)),
        _ => None,
    });
    let expected = [
        ("slot_expired", time("2026-06-01T12:10:00Z")),
        ("borrow_ended", time("2026-06-01T20:00:00Z")),
        ("slot_expired", time("2026-06-01T20:00:00Z")),
        ("slot_taken", time("2026-06-05T12:00:00Z")),
    ];
    assert_eq!(events.collect::<Vec<_>>(), expected);
}

#[test]
fn a_check_renews_and_nothing_else_but_borrowing_does() {
    let mut world = world();
    world.check("K", "a").unwrap();
    world.wait(TimeDelta::minutes(9));
    world.check("K", "a").unwrap();
    world.wait(TimeDelta::minutes(9));
    world.ask("K", "a", check_feature("F")).unwrap();
    world.activate("K", "a").unwrap();
    assert_eq!(world.check("K", "b").unwrap()["floating_in_use_devices"], 2);
    world.wait(TimeDelta::minutes(1));
    assert_eq!(world.check("K", "b").unwrap()["floating_in_use_devices"], 1);
}

#[test]
fn features_have_slots_of_their_own_and_need_none_of_the_license() {
    let mut world = world();
    let reply = world.ask("K", "a", check_feature("F")).unwrap();
    assert_eq!((&reply["floating_in_use_devices"], &reply["code"]), (&1.into(), &"F".into()));
    assert_eq!(world.ask("K", "b", check_feature("F")), Err("floating_not_available"));
    assert_eq!(world.check("K", "b").unwrap()["floating_in_use_devices"], 1);
    assert!(world.ask("K", "b", check_feature("PLAIN")).unwrap().get("floating_in_use_devices").is_none());
    world.wait(TimeDelta::minutes(5));
    world.ask("K", "b", check_feature("F")).unwrap();
}

#[test]
fn null_borrows_for_the_longest_time() {
    let mut world = world();
    let reply = world.ask("K", "a", Action::BorrowLicense(Until::Longest)).unwrap();
    let keys: Vec<&str> = reply.as_object().unwrap().keys().map(String::as_str).collect();
    let shape = ["borrowed_until", "max_borrow_time", "device_id", "license_id", "floating_in_use_devices", "company"];
    assert_eq!(keys, shape);
    assert_eq!(reply["borrowed_until"], "2026-06-02T12:00:00.000Z");
    assert_eq!((&reply["max_borrow_time"], &reply["floating_in_use_devices"]), (&24.into(), &1.into()));
    assert_eq!(world.events(), ["slot_taken", "borrowed"]);
}

#[test]
fn a_borrowed_slot_needs_no_check_and_is_free_at_its_end() {
    let mut world = world();
    world.ask("K", "a", at("2026-06-01T20:00:00Z")).unwrap();
    world.check("K", "b").unwrap();
    world.wait(TimeDelta::hours(8) - MS);
    let reply = world.check("K", "a").unwrap();
    assert_eq!((&reply["is_borrowed"], &reply["borrowed_until"]), (&true.into(), &"2026-06-01T20:00:00.000Z".into()));
    assert_eq!(world.check("K", "c").unwrap()["floating_in_use_devices"], 2);
    world.events();
    world.wait(MS);
    assert_eq!(world.check("K", "d").unwrap()["floating_in_use_devices"], 2);
    assert_eq!(world.events(), ["borrow_ended", "slot_expired", "slot_taken"]);
    assert_eq!(world.check("K", "a"), Err("floating_not_available"));
    world.ask("K", "c", Action::ReleaseLicense).unwrap();
    let reply = world.check("K", "a").unwrap();
    assert_eq!((&reply["is_borrowed"], reply["borrowed_until"].is_null()), (&false.into(), true));
}

#[test]
fn borrowing_again_replaces_the_date_and_takes_no_second_slot() {
    let mut world = world();
    for until in ["2026-06-02T12:00:00Z", "2026-06-01T13:00:00Z", "2026-06-01T14:00:00Z"] {
        let reply = world.ask("K", "a", at(until)).unwrap();
        assert_eq!(reply["borrowed_until"], common::time(until).format("%FT%T.000Z").to_string());
        assert_eq!(reply["floating_in_use_devices"], 1);
    }
    world.wait(TimeDelta::hours(2));
    assert_eq!(world.check("K", "b").unwrap()["floating_in_use_devices"], 1);
}

#[test]
fn dates_that_can_not_be_are_refused() {
    let mut world = world();
    for until in ["2026-06-01T12:00:00Z", "2026-05-31", "2026-06-02T12:00:00.001Z", "2027-01-01"] {
        assert_eq!(world.ask("K", "a", at(until)), Err("borrow_until_not_valid"), "{until}");
    }
    assert_eq!(world.ask("K", "a", Action::BorrowLicense(Until::Unreadable)), Err("borrow_until_not_valid"));
    assert_eq!(world.events(), [""; 0]);
    world.ask("K", "a", at("2026-06-01T12:00:00.001Z")).unwrap();
    world.ask("K", "a", at("2026-06-02T12:00:00.000Z")).unwrap();
}

#[test]
fn nothing_is_borrowed_beyond_the_end_of_the_license_or_the_feature() {
    let mut world = world();
    assert_eq!(world.ask("ENDING", "a", at("2026-06-02T00:00:00.001Z")), Err("borrow_until_not_valid"));
    let reply = world.ask("ENDING", "a", Action::BorrowLicense(Until::Longest)).unwrap();
    assert_eq!(reply["borrowed_until"], "2026-06-02T00:00:00.000Z");
    world.ask("K", "a", check_feature("ENDING")).unwrap();
    let reply = world.ask("K", "a", borrow_feature("ENDING", Until::Longest)).unwrap();
    assert_eq!(reply["borrowed_until"], "2026-06-02T00:00:00.000Z");
}

#[test]
fn borrowing_needs_a_free_slot_unless_one_is_held() {
    let mut world = world();
    world.check("K", "a").unwrap();
    world.check("K", "b").unwrap();
    assert_eq!(world.ask("K", "c", Action::BorrowLicense(Until::Longest)), Err("floating_not_available"));
    world.ask("K", "a", Action::BorrowLicense(Until::Longest)).unwrap();
}

#[test]
fn a_feature_is_borrowed_only_by_who_uses_it() {
    let mut world = world();
    let borrow = || borrow_feature("F", Until::Longest);
    assert_eq!(world.ask("K", "a", borrow()), Err("floating_feature_device_not_in_use"));
    world.ask("K", "a", check_feature("F")).unwrap();
    assert_eq!(world.ask("K", "b", borrow()), Err("floating_feature_device_not_in_use"));
    let reply = world.ask("K", "a", borrow()).unwrap();
    assert_eq!(reply["borrowed_until"], "2026-06-02T00:00:00.000Z");
    assert_eq!((&reply["feature"], &reply["max_borrow_time"]), (&"F".into(), &12.into()));
    let seen = world.ask("K", "a", check_feature("F")).unwrap();
    assert_eq!((&seen["is_borrowed"], &seen["borrowed_until"]), (&true.into(), &reply["borrowed_until"]));
    assert_eq!(world.ask("K", "a", borrow_feature("HOME", Until::Longest)), Err("feature_borrow_not_allowed"));
    assert_eq!(world.ask("K", "a", borrow_feature("PLAIN", Until::Longest)), Err("feature_not_floating"));
    assert_eq!(world.ask("K", "a", borrow_feature("NONE", Until::Longest)), Err("invalid_license_feature_code"));
    let past = borrow_feature("F", Until::At(time("2026-01-01")));
    assert_eq!(world.ask("K", "a", past), Err("borrow_until_not_valid"));
}

#[test]
fn releasing_frees_at_once_borrowed_or_not() {
    let mut world = world();
    assert_eq!(world.ask("K", "a", Action::ReleaseLicense), Err("floating_not_available"));
    world.check("K", "a").unwrap();
    world.ask("K", "b", Action::BorrowLicense(Until::Longest)).unwrap();
    world.ask("K", "a", Action::ReleaseLicense).unwrap();
    world.ask("K", "b", Action::ReleaseLicense).unwrap();
    assert_eq!(world.check("K", "c").unwrap()["floating_in_use_devices"], 1);
    let events =
        ["slot_taken", "slot_taken", "borrowed", "slot_released", "borrow_ended", "slot_released", "slot_taken"];
    assert_eq!(world.events(), events);

    assert_eq!(world.ask("K", "a", release_feature("F")), Err("floating_feature_device_not_in_use"));
    assert_eq!(world.ask("K", "a", release_feature("PLAIN")), Err("feature_not_floating"));
    assert_eq!(world.ask("K", "a", release_feature("NONE")), Err("invalid_license_feature_code"));
    world.ask("K", "a", check_feature("F")).unwrap();
    world.ask("K", "a", release_feature("F")).unwrap();
    world.ask("K", "b", check_feature("F")).unwrap();
}

#[test]
fn a_slot_that_has_expired_can_not_be_released() {
    let mut world = world();
    world.check("K", "a").unwrap();
    world.wait(TimeDelta::minutes(10));
    assert_eq!(world.ask("K", "a", Action::ReleaseLicense), Err("floating_not_available"));
    assert_eq!(world.events(), ["slot_taken", "slot_expired"]);
}

#[test]
fn deactivation_frees_every_slot_of_the_device() {
    let mut world = world();
    world.ask("K", "a", Action::BorrowLicense(Until::Longest)).unwrap();
    world.ask("K", "a", check_feature("F")).unwrap();
    world.events();
    let reply = world.ask("K", "a", Action::Deactivate { variables: Vec::new() }).unwrap();
    assert_eq!(reply, "license_deactivated");
    assert_eq!(world.events(), ["borrow_ended", "slot_released", "slot_released", "deactivated"]);
    assert_eq!(world.check("K", "a"), Err("device_not_found"));
    world.ask("K", "b", check_feature("F")).unwrap();
    world.activate("K", "a").unwrap();
    assert_eq!(world.check("K", "a").unwrap()["is_borrowed"], false);
}

#[test]
fn an_expired_license_takes_no_slot() {
    let mut world = world();
    world.check("ENDING", "a").unwrap();
    world.ask("ENDING", "a", check_feature("F")).unwrap();
    world.now = time("2026-06-02");
    assert_eq!(world.check("ENDING", "a"), Err("license_expired"));
    assert_eq!(world.ask("ENDING", "a", check_feature("F")), Err("license_expired"));
    assert_eq!(world.ask("ENDING", "a", Action::BorrowLicense(Until::Longest)), Err("license_expired"));
    assert_eq!(world.ask("ENDING", "a", borrow_feature("F", Until::Longest)), Err("license_expired"));
    assert_eq!(world.activate("ENDING", "z"), Err("license_expired"));
    world.ask("ENDING", "a", check_feature("PLAIN")).unwrap();
    assert_eq!(world.check("NODE", "a").unwrap()["is_expired"], true);
    world.check("SUBSCRIPTION", "a").unwrap();
    world.wait(TimeDelta::hours(1) - MS);
    world.check("SUBSCRIPTION", "a").unwrap();
    world.wait(MS);
    assert_eq!(world.check("SUBSCRIPTION", "a"), Err("license_expired"));
}

#[test]
fn an_expired_feature_counts_as_not_assigned_but_can_be_released() {
    let mut world = world();
    world.ask("K", "a", check_feature("ENDING")).unwrap();
    world.now = time("2026-06-01T23:00:00Z");
    world.ask("K", "a", check_feature("ENDING")).unwrap();
    world.now = time("2026-06-02");
    assert_eq!(world.ask("K", "a", check_feature("ENDING")), Err("invalid_license_feature_code"));
    assert_eq!(world.ask("K", "a", borrow_feature("ENDING", Until::Longest)), Err("invalid_license_feature_code"));
    let shown = |world: &mut World, include_expired_features| {
        let reply = world
            .ask("K", "a", Action::CheckLicense { include_expired_features, wanted: VersionFilter::default() })
            .unwrap();
        reply["product_features"].as_array().unwrap().iter().any(|feature| feature["code"] == "ENDING")
    };
    assert_eq!((shown(&mut world, false), shown(&mut world, true)), (false, true));
    world.ask("K", "a", release_feature("ENDING")).unwrap();
}

const BEFORE: &str = r#"
product = [{ code = "P" }]
[[license]]
id = 1
product = "P"
license_key = "K"
allow_unlimited_activations = true
floating = { users = 3, timeout_minutes = 10, can_borrow = true, max_borrow_time_hours = 24 }
feature = [{ code = "F", floating = { users = 1, can_borrow = true, max_borrow_time_hours = 24 } }]
"#;

#[test]
fn fewer_slots_than_are_held_run_out_and_are_not_renewed() {
    let mut world = World::new(BEFORE, "2026-06-01");
    for device in ["a", "b", "c"] {
        world.activate("K", device).unwrap();
        world.check("K", device).unwrap();
    }
    world.restart_with(&BEFORE.replace("users = 3", "users = 1"));
    world.check("K", "a").unwrap();
    for device in ["b", "c"] {
        assert_eq!(world.check("K", device), Err("floating_not_available"));
        assert_eq!(world.ask("K", device, Action::BorrowLicense(Until::Longest)), Err("floating_not_available"));
    }
    assert_eq!(world.activate("K", "a").unwrap()["floating_in_use_devices"], 3, "what was given stays given");
    world.wait(TimeDelta::minutes(10) - MS);
    world.check("K", "a").unwrap();
    world.wait(MS);
    assert_eq!(world.check("K", "a").unwrap()["floating_in_use_devices"], 1);
}

#[test]
fn surplus_device_can_not_borrow_feature() {
    let two = BEFORE.replace("floating = { users = 1, can", "floating = { users = 2, can");
    let mut world = World::new(&two, "2026-06-01");
    for device in ["a", "b"] {
        world.activate("K", device).unwrap();
        world.ask("K", device, check_feature("F")).unwrap();
    }
    world.restart_with(BEFORE);
    assert_eq!(world.ask("K", "b", check_feature("F")), Err("floating_not_available"));
    let borrow = || borrow_feature("F", Until::Longest);
    assert_eq!(world.ask("K", "b", borrow()), Err("floating_feature_device_not_in_use"));
    world.ask("K", "a", borrow()).unwrap();
}

/// Device "a" has the lowest number and takes its slot last.
#[test]
fn device_that_came_last_is_surplus_whatever_its_number() {
    let mut world = World::new(BEFORE, "2026-06-01");
    for device in ["a", "b", "c"] {
        world.activate("K", device).unwrap();
    }
    for device in ["c", "b", "a"] {
        world.check("K", device).unwrap();
        world.wait(TimeDelta::minutes(1));
    }
    // Neither a renewal, nor a borrow, nor a jump of the clock changes who came first.
    world.check("K", "c").unwrap();
    world.ask("K", "b", Action::BorrowLicense(Until::Longest)).unwrap();
    world.heartbeat(world.now);
    start_at(&mut world, "2020-01-01");
    world.check("K", "c").unwrap();
    world.restart_with(&BEFORE.replace("users = 3", "users = 2"));
    assert_eq!(world.check("K", "a"), Err("floating_not_available"));
    world.check("K", "c").unwrap();
    world.ask("K", "b", Action::BorrowLicense(Until::At(world.now + TimeDelta::hours(1)))).unwrap();
    // A device that comes back comes last.
    world.ask("K", "c", Action::ReleaseLicense).unwrap();
    world.restart_with(BEFORE);
    world.check("K", "c").unwrap();
    world.restart_with(&BEFORE.replace("users = 3", "users = 2"));
    assert_eq!(world.check("K", "c"), Err("floating_not_available"));
    world.check("K", "a").unwrap();
}

/// Slots that an earlier version of the server has kept have no time at which they were taken.
#[test]
fn slots_of_same_age_are_surplus_by_number() {
    let mut world = World::new(BEFORE, "2026-06-01");
    for device in ["a", "b", "c"] {
        world.activate("K", device).unwrap();
    }
    for device in ["c", "b", "a"] {
        world.check("K", device).unwrap();
    }
    world.restart_with(&BEFORE.replace("users = 3", "users = 1"));
    assert_eq!(world.check("K", "c"), Err("floating_not_available"));
    assert_eq!(world.check("K", "b"), Err("floating_not_available"));
    world.check("K", "a").unwrap();
}

#[test]
fn blacklisted_device_loses_its_slots_at_start_and_can_be_deactivated() {
    let mut world = World::new(BEFORE, "2026-06-01");
    for device in ["a", "b"] {
        world.activate("K", device).unwrap();
        world.check("K", device).unwrap();
    }
    world.ask("K", "a", check_feature("F")).unwrap();
    world.ask("K", "a", borrow_feature("F", Until::Longest)).unwrap();
    world.restart_with(&format!("blacklisted_hardware_ids = [\"a\"]\n{BEFORE}"));
    world.events();
    let (changes, notes) = world.state.apply_edits(world.now);
    world.changes.extend(changes);
    assert_eq!(world.events(), ["slot_released", "borrow_ended", "slot_released"]);
    let notes: Vec<String> = notes.iter().map(ToString::to_string).collect();
    assert_eq!(notes, ["license \"K\": freed 2 slots of the blacklisted device \"a\""]);
    world.restart();
    let holders = world.state.holdings(world.now).into_iter().map(|held| held.hardware_id);
    assert_eq!(holders.collect::<Vec<_>>(), ["b"]);
    assert_eq!(world.state.apply_edits(world.now), (Vec::new(), Vec::new()), "nothing is left to do");
    assert_eq!(world.check("K", "a"), Err("blacklisted"));
    assert_eq!(world.ask("K", "b", check_feature("F")).unwrap()["floating_in_use_devices"], 1);
    let reply = world.ask("K", "a", Action::Deactivate { variables: Vec::new() }).unwrap();
    assert_eq!(reply, "license_deactivated");
    assert_eq!(world.check("K", "a"), Err("blacklisted"));
}

#[test]
fn deactivation_frees_slots_of_a_feature_that_the_catalogue_lost() {
    let mut world = World::new(BEFORE, "2026-06-01");
    for device in ["a", "b"] {
        world.activate("K", device).unwrap();
    }
    world.ask("K", "a", check_feature("F")).unwrap();
    world.ask("K", "a", borrow_feature("F", Until::Longest)).unwrap();
    let without = BEFORE.lines().filter(|line| !line.starts_with("feature")).collect::<Vec<_>>().join("\n");
    world.restart_with(&without);
    world.ask("K", "a", Action::Deactivate { variables: Vec::new() }).unwrap();
    world.restart_with(BEFORE);
    assert_eq!(world.ask("K", "b", check_feature("F")).unwrap()["floating_in_use_devices"], 1);
}

#[test]
fn what_the_catalogue_lost_is_told() {
    let mut world = World::new(BEFORE, "2026-06-01");
    world.activate("K", "a").unwrap();
    world.check("K", "a").unwrap();
    assert_eq!(world.state.orphans(), []);
    world.restart_with("");
    assert_eq!(world.state.orphans(), [(1, 1, 1)]);
}

#[test]
fn a_clock_moved_back_between_two_runs_leaves_slots_what_they_had_left() {
    let mut world = world();
    world.check("K", "a").unwrap();
    world.heartbeat(world.now + TimeDelta::minutes(4));
    // The clock had been a year ahead; a has six minutes left.
    world.now -= TimeDelta::days(365);
    world.restart();
    let changes = world.state.resume(world.now);
    world.changes.extend(changes);
    world.check("K", "b").unwrap();
    world.wait(TimeDelta::minutes(6) - MS);
    assert_eq!(world.check("K", "c"), Err("floating_not_available"));
    world.wait(MS);
    assert_eq!(world.check("K", "c").unwrap()["floating_in_use_devices"], 2);
}

#[test]
fn expired_slot_stays_free_when_the_clock_is_set_back() {
    let mut world = world();
    world.check("K", "a").unwrap();
    world.wait(TimeDelta::minutes(11));
    world.heartbeat(world.now);
    // Nobody has asked since, so the server has not noticed yet that the slot is free.
    world.wait(-TimeDelta::days(365));
    world.restart();
    let changes = world.state.resume(world.now);
    world.changes.extend(changes);
    assert_eq!(world.state.holdings(world.now), []);
}

/// A server that has kept `world` starts again with its clock set to `now`.
fn start_at(world: &mut World, now: &str) {
    world.now = time(now);
    world.restart();
    resume(world);
}

fn resume(world: &mut World) {
    let changes = world.state.resume(world.now);
    world.changes.extend(changes);
}

/// The server was stopped an hour after the borrow and the slot had ended, and nobody had asked since. It starts with a
/// clock of 1970, before NTP corrects that.
#[test]
fn expired_slots_do_not_return_by_a_start_in_1970() {
    let mut world = world();
    world.check("K", "a").unwrap();
    world.ask("K", "b", at("2026-06-01T13:00:00Z")).unwrap();
    world.wait(TimeDelta::hours(2));
    world.heartbeat(world.now);
    start_at(&mut world, "1970-01-01T00:00:10Z");
    assert_eq!(world.state.holdings(world.now), [], "in 1970");
    assert_eq!(world.events().iter().filter(|event| **event == "slot_expired").count(), 2);
    world.heartbeat(world.now);
    world.now = time("2026-06-01T14:00:30Z");
    resume(&mut world);
    assert_eq!(world.state.holdings(world.now), [], "after NTP");
    world.check("K", "c").unwrap();
    assert_eq!(world.check("K", "d").unwrap()["floating_in_use_devices"], 2);
}

#[test]
fn expired_slot_of_lost_feature_does_not_return() {
    let mut world = World::new(BEFORE, "2026-06-01");
    world.activate("K", "a").unwrap();
    world.ask("K", "a", check_feature("F")).unwrap();
    world.ask("K", "a", borrow_feature("F", Until::Longest)).unwrap();
    let without = BEFORE.lines().filter(|line| !line.starts_with("feature")).collect::<Vec<_>>().join("\n");
    world.restart_with(&without);
    world.wait(TimeDelta::hours(25));
    world.heartbeat(world.now);
    start_at(&mut world, "1970-01-01");
    world.restart_with(BEFORE);
    assert_eq!(world.state.holdings(world.now), []);
}

#[test]
fn downtime_costs_nobody_a_slot_and_moves_no_borrow() {
    let mut world = world();
    world.check("K", "a").unwrap();
    world.ask("K", "b", at("2026-06-01T13:00:00Z")).unwrap();
    world.heartbeat(world.now + TimeDelta::minutes(4));
    for _ in 0..2 {
        // An hour off; the second start in a row adds nothing.
        world.now = time("2026-06-01T13:04:00Z");
        world.restart();
        let changes = world.state.resume(world.now);
        world.changes.extend(changes);
    }
    world.wait(TimeDelta::minutes(6) - MS);
    assert_eq!(world.check("K", "c").unwrap()["floating_in_use_devices"], 2, "a still holds, b's borrow is over");
    assert_eq!(world.check("K", "d"), Err("floating_not_available"));
    world.wait(MS);
    assert_eq!(world.check("K", "d").unwrap()["floating_in_use_devices"], 2);
}
