//! Consumption: limits, overages, negative amounts, periods.
#![allow(clippy::unwrap_used)]

mod common;

use chrono::TimeDelta;
use common::world::{World, command, consume, consume_feature};
use common::{Random, time};
use floatlease_server::catalogue::Overages;
use floatlease_server::domain::{Action, Change, ClientOverages, Command};

const CATALOGUE: &str = r#"
[[product]]
code = "P"

[[license]]
product = "P"
license_key = "K"
max_activations = 5
feature = [
    { code = "TEN", consumption = { max_consumptions = 10 } },
    { code = "BACK", consumption = { max_consumptions = 10, allow_negative_consumptions = true } },
    { code = "MORE", consumption = { max_consumptions = 10, allow_overages = true, max_overages = 5 } },
    { code = "NO-MORE", consumption = { max_consumptions = 10, allow_overages = true } },
    { code = "ANY", consumption = { allow_unlimited_consumptions = true } },
    { code = "DAILY", consumption = { max_consumptions = 10, consumption_period = "daily" } },
    { code = "WEEKLY", consumption = { max_consumptions = 10, consumption_period = "weekly" } },
    { code = "MONTHLY", consumption = { max_consumptions = 10, consumption_period = "monthly" } },
    { code = "ANNUALLY", consumption = { max_consumptions = 10, consumption_period = "annually" } },
    { code = "OVER", expiry_date = 2020-01-01, consumption = { max_consumptions = 10 } },
    { code = "PLAIN" },
]

[[license]]
product = "P"
license_key = "C"
consumption = { max_consumptions = 10 }

[[license]]
product = "P"
license_key = "BACK"
consumption = { max_consumptions = 10, allow_negative_consumptions = true, consumption_period = "monthly" }
"#;

fn world(now: &str) -> World {
    let mut world = World::new(CATALOGUE, now);
    for key in ["K", "C", "BACK"] {
        world.activate(key, "a").unwrap();
    }
    world.events();
    world
}

fn total(world: &mut World, feature: &str, amount: i64) -> Result<i64, &'static str> {
    let reply = world.ask("K", "a", consume_feature(feature, amount))?;
    Ok(reply["total_consumptions"].as_i64().unwrap())
}

#[test]
fn what_a_client_has_named_is_booked_once() {
    let mut world = world("2026-06-01");
    let named = |device: &str, feature: &str, amount: i64, name: &str| Command {
        idempotency_key: Some(name.to_owned()),
        ..command("K", device, consume_feature(feature, amount))
    };
    let total = |world: &mut World, command: &Command| {
        world.apply(command).map(|reply| reply["total_consumptions"].as_i64().unwrap())
    };
    world.activate("K", "b").unwrap();
    world.events();
    assert_eq!(total(&mut world, &named("a", "TEN", 3, "first")), Ok(3));
    assert_eq!(total(&mut world, &named("a", "TEN", 4, "second")), Ok(7));
    assert_eq!(world.events(), ["consumed", "consumed"]);
    for _ in 0..3 {
        assert_eq!(total(&mut world, &named("a", "TEN", 3, "first")), Ok(7), "the total as it is now");
    }
    assert_eq!(world.events(), [""; 0], "nothing has happened");
    assert_eq!(total(&mut world, &named("a", "TEN", 1, "first")), Err("validation_error"), "another consumption");
    assert_eq!(total(&mut world, &named("b", "TEN", 3, "first")), Ok(10), "another device's key");
    assert_eq!(total(&mut world, &named("b", "TEN", 3, "refused")), Err("feature_not_enough_consumptions"));
    assert_eq!(total(&mut world, &named("b", "BACK", 3, "refused")), Ok(3), "what was refused was not booked");

    assert_eq!(total(&mut world, &named("a", "ANY", 3, "first")), Err("validation_error"), "of another feature");

    world.restart();
    world.wait(TimeDelta::days(-900));
    assert_eq!(total(&mut world, &named("a", "TEN", 4, "second")), Ok(10), "no clock makes a key forgotten");
}

/// A consumption of 1 by the device, of the feature without a limit.
fn named_by(device: &str, name: &str) -> Command {
    Command { idempotency_key: Some(name.to_owned()), ..command("K", device, consume_feature("ANY", 1)) }
}

fn consume_as(world: &mut World, device: &str, names: impl Iterator<Item = u64>) {
    for number in names {
        world.apply(&named_by(device, &format!("n{number}"))).unwrap();
    }
}

fn is_remembered(world: &mut World, device: &str, name: &str) -> bool {
    let before = total(world, "ANY", 0);
    world.apply(&named_by(device, name)).unwrap();
    total(world, "ANY", 0) == before
}

/// What a server does that is stopped, and started again on a clock that was set.
fn start_again_at(world: &mut World, now: &str) {
    world.heartbeat(world.now);
    world.now = time(now);
    world.restart();
    let changes = world.state.resume(world.now);
    world.changes.extend(changes);
}

#[test]
fn key_of_client_in_doubt_is_remembered_for_a_week_of_other_calls() {
    let mut world = world("2026-06-01");
    world.activate("K", "b").unwrap();
    world.apply(&named_by("a", "in-doubt")).unwrap();
    world.apply(&named_by("b", "of-b")).unwrap();
    consume_as(&mut world, "a", 0..1_100);
    world.wait(TimeDelta::days(7) - TimeDelta::milliseconds(1));
    consume_as(&mut world, "a", 1_100..2_000);
    assert!(is_remembered(&mut world, "a", "in-doubt"), "not a week old");
    world.wait(TimeDelta::milliseconds(1));
    consume_as(&mut world, "a", 2_000..2_001);
    world.restart();
    assert!(is_remembered(&mut world, "b", "of-b"), "another device's, and one of its newest 1,000");
    assert!(is_remembered(&mut world, "a", "n2000"));
    assert!(!is_remembered(&mut world, "a", "in-doubt"));
    consume_as(&mut world, "a", 2_001..3_000);
    assert!(!is_remembered(&mut world, "a", "n1099"), "memory shrinks after a week");
    assert!(is_remembered(&mut world, "a", "n2001"));
}

#[test]
fn clock_gone_wrong_makes_no_key_forgotten() {
    let mut world = world("2026-06-01");
    world.apply(&named_by("a", "in-doubt")).unwrap();
    consume_as(&mut world, "a", 0..1_100);
    for now in ["2082-01-01", "1970-01-01", "2026-06-02"] {
        start_again_at(&mut world, now);
        consume_as(&mut world, "a", 2_000..2_010);
        assert!(is_remembered(&mut world, "a", "in-doubt"), "{now}");
    }
    world.wait(TimeDelta::days(8));
    consume_as(&mut world, "a", 3_000..3_010);
    assert!(!is_remembered(&mut world, "a", "in-doubt"), "it does not keep one for ever, either");
}

#[test]
fn device_is_remembered_by_no_more_than_100_000_keys() {
    let mut world = world("2026-06-01");
    consume_as(&mut world, "a", 0..100_001);
    assert!(is_remembered(&mut world, "a", "n1"));
    assert!(!is_remembered(&mut world, "a", "n0"));
}

#[test]
fn a_late_repetition_does_not_bring_back_the_overages_of_its_day() {
    let mut world = world("2026-06-01");
    let named = |name: &str, allowed: bool| Command {
        idempotency_key: Some(name.to_owned()),
        ..command("C", "a", Action::AddConsumption { amount: 3, allow_overages: Some(allowed), max_overages: Some(50) })
    };
    for (name, allowed) in [("first", true), ("second", false), ("first", true)] {
        let reply = world.apply(&named(name, allowed)).unwrap();
        let expected = name == "first" && reply["total_consumptions"] == 3;
        assert_eq!(reply["allow_overages"], expected, "{name}: {reply}");
    }
}

/// The reply to the first was lost. Each rule that could refuse it has changed since.
#[test]
fn repetition_is_answered_whatever_rule_has_changed() {
    const BEFORE: &str = r#"
        product = [{ code = "P" }]
        [[license]]
        product = "P"
        license_key = "K"
        license_type = "time-limited"
        validity_period = 2026-07-01
        max_activations = 1
        feature = [{ code = "F", consumption = { max_consumptions = 10, allow_negative_consumptions = true } }]
    "#;
    let named = |amount, name: &str| Command {
        idempotency_key: Some(name.to_owned()),
        ..command("K", "a", consume_feature("F", amount))
    };
    for (from, to, refusal) in [
        ("2026-07-01", "2026-06-02", "license_expired"),
        ("code = \"F\"", "code = \"F\", expiry_date = 2026-06-02", "unsupported_product_feature"),
        ("max_consumptions = 10", "max_consumptions = 1", "feature_not_enough_consumptions"),
        ("max_activations = 1", "max_activations = 1\nenabled = false", "license_not_enabled"),
        ("max_activations = 1", "max_activations = 1\nactive = false", "license_not_active"),
        ("product = [", "blacklisted_hardware_ids = [\"a\"]\nproduct = [", "blacklisted"),
    ] {
        let mut world = World::new(BEFORE, "2026-06-01");
        world.activate("K", "a").unwrap();
        world.apply(&named(3, "first")).unwrap();
        world.restart_with(&BEFORE.replace(from, to));
        world.now = time("2026-06-03");
        assert_eq!(world.apply(&named(1, "other")), Err(refusal));
        let again = world.apply(&named(3, "first"));
        assert_eq!(again.map(|reply| reply["total_consumptions"].clone()), Ok(3.into()), "{refusal}");
        assert_eq!(world.apply(&named(2, "first")), Err("validation_error"), "{refusal}: another consumption");
    }
    let mut world = World::new(BEFORE, "2026-06-01");
    world.activate("K", "a").unwrap();
    world.apply(&named(3, "first")).unwrap();
    world.apply(&named(-1, "back")).unwrap();
    world.restart_with(&BEFORE.replace(", allow_negative_consumptions = true", ""));
    assert_eq!(world.apply(&named(-1, "back")).unwrap()["total_consumptions"], 2);
}

/// Overages without an amount: what the second has set is not undone by the first, which arrives again.
#[test]
fn late_overages_without_amount_undo_nothing() {
    let mut world = world("2026-06-01");
    let named = |name: &str, max: i64| Command {
        idempotency_key: Some(name.to_owned()),
        ..command("C", "a", Action::AddConsumption { amount: 0, allow_overages: Some(true), max_overages: Some(max) })
    };
    world.apply(&named("first", 5)).unwrap();
    // The same overages again: they change nothing now, but would later.
    world.apply(&named("same", 5)).unwrap();
    world.apply(&named("second", 50)).unwrap();
    for late in ["first", "same"] {
        assert_eq!(world.apply(&named(late, 5)).unwrap()["max_overages"], 50, "{late}");
    }
    assert_eq!(world.check("C", "a").unwrap()["max_overages"], 50);
}

#[test]
fn expired_license_is_not_consumed() {
    const EXPIRED: &str = r#"
        product = [{ code = "P" }]
        [[license]]
        product = "P"
        license_key = "C"
        validity_period = 2026-07-01
        consumption = { max_consumptions = 10, allow_negative_consumptions = true }
        [[license]]
        product = "P"
        license_key = "F"
        license_type = "time-limited"
        validity_period = 2026-07-01
        feature = [{ code = "TEN", consumption = { max_consumptions = 10 } }]
    "#;
    for (catalogue, code) in [
        (EXPIRED.to_owned(), "license_expired"),
        (EXPIRED.replace("license_key", "is_trial = true\nlicense_key"), "trial_expired"),
    ] {
        let mut world = World::new(&catalogue, "2026-06-30T23:59:59.999Z");
        for key in ["C", "F"] {
            world.activate(key, "a").unwrap();
        }
        world.ask("C", "a", consume(1)).unwrap();
        world.ask("F", "a", consume_feature("TEN", 1)).unwrap();
        world.now = time("2026-07-01");
        for amount in [1, 0, -1] {
            assert_eq!(world.ask("C", "a", consume(amount)), Err(code), "{amount}");
        }
        assert_eq!(world.ask("F", "a", consume_feature("TEN", 1)), Err(code));
    }
}

#[test]
fn limits_are_kept_all_or_nothing() {
    let mut world = world("2026-06-01");
    assert_eq!(total(&mut world, "TEN", 7), Ok(7));
    assert_eq!(total(&mut world, "TEN", 4), Err("feature_not_enough_consumptions"));
    assert_eq!(total(&mut world, "TEN", 3), Ok(10));
    assert_eq!(total(&mut world, "TEN", 1), Err("feature_not_enough_consumptions"));
    assert_eq!(total(&mut world, "TEN", -1), Err("negative_consumptions_not_allowed"));
    assert_eq!(total(&mut world, "TEN", 0), Ok(10));
    assert_eq!(world.events(), ["consumed", "consumed", "consumed"]);
}

#[test]
fn negative_amounts_give_back_and_may_go_below_zero() {
    let mut world = world("2026-06-01");
    assert_eq!(total(&mut world, "BACK", 10), Ok(10));
    assert_eq!(total(&mut world, "BACK", -15), Ok(-5));
    assert_eq!(total(&mut world, "BACK", 15), Ok(10));
    assert_eq!(total(&mut world, "BACK", 1), Err("feature_not_enough_consumptions"));
}

#[test]
fn overages_extend_a_limit_and_none_are_none_on_a_feature() {
    let mut world = world("2026-06-01");
    assert_eq!(total(&mut world, "MORE", 15), Ok(15));
    assert_eq!(total(&mut world, "MORE", 1), Err("feature_not_enough_consumptions"));
    assert_eq!(total(&mut world, "NO-MORE", 11), Err("feature_not_enough_consumptions"));
    assert_eq!(total(&mut world, "ANY", 1 << 50), Ok(1 << 50));
}

#[test]
fn totals_stay_what_javascript_can_count() {
    let mut world = world("2026-06-01");
    let largest = (1 << 53) - 1;
    assert_eq!(total(&mut world, "ANY", largest), Ok(largest));
    for amount in [1, i64::MAX] {
        assert_eq!(total(&mut world, "ANY", amount), Err("validation_error"));
    }
    assert_eq!(total(&mut world, "BACK", i64::MIN), Err("validation_error"));
}

#[test]
fn what_is_no_consumption_feature_is_unsupported() {
    let mut world = world("2026-06-01");
    for feature in ["NONE", "PLAIN", "OVER"] {
        assert_eq!(total(&mut world, feature, 1), Err("unsupported_product_feature"), "{feature}");
    }
    assert_eq!(world.ask("K", "a", consume(1)), Err("license_not_consumption"));
}

#[test]
fn periods_start_again_at_their_very_instant_and_not_before() {
    for (feature, from, last, first) in [
        ("DAILY", "2028-02-28T09:00:00Z", "2028-02-28T23:59:59.999Z", "2028-02-29"),
        ("WEEKLY", "2026-12-28", "2027-01-03T23:59:59.999Z", "2027-01-04"),
        ("MONTHLY", "2028-02-01", "2028-02-29T23:59:59.999Z", "2028-03-01"),
        ("ANNUALLY", "2028-01-01", "2028-12-31T23:59:59.999Z", "2029-01-01"),
    ] {
        let mut world = world(from);
        assert_eq!(total(&mut world, feature, 10), Ok(10), "{feature}");
        world.now = time(last);
        assert_eq!(total(&mut world, feature, 1), Err("feature_not_enough_consumptions"), "{feature}");
        world.now = time(first);
        world.restart();
        let seen = world.check("K", "a").unwrap();
        let seen = seen["product_features"].as_array().unwrap().iter().find(|seen| seen["code"] == feature).cloned();
        assert_eq!(seen.unwrap()["total_consumptions"], 0, "{feature}: as read");
        assert_eq!(total(&mut world, feature, 10), Ok(10), "{feature}: as written");
    }
}

#[test]
fn a_license_is_consumed_likewise() {
    let mut world = world("2026-06-01");
    let reply = world.ask("C", "a", consume(10)).unwrap();
    let keys: Vec<&str> = reply.as_object().unwrap().keys().map(String::as_str).collect();
    let shape = "id max_consumptions total_consumptions allow_unlimited_consumptions allow_negative_consumptions \
                 allow_overages max_overages reset_consumption consumption_period company";
    assert_eq!(keys.join(" "), shape);
    assert_eq!(world.ask("C", "a", consume(1)), Err("license_not_enough_consumptions"));
    assert_eq!(world.ask("C", "a", consume(-1)), Err("negative_consumptions_not_allowed"));
    assert_eq!(world.check("C", "a").unwrap()["total_consumptions"], 10);
    world.ask("BACK", "a", consume(-3)).unwrap();
    world.now = time("2026-07-01");
    assert_eq!(world.ask("BACK", "a", consume(2)).unwrap()["total_consumptions"], 2);
}

#[test]
fn a_client_may_change_the_overages_of_a_license_with_an_amount_that_fits() {
    let mut world = world("2026-06-01");
    let with = |amount, allow_overages, max_overages| Action::AddConsumption { amount, allow_overages, max_overages };
    assert_eq!(world.ask("C", "a", with(16, Some(true), Some(5))), Err("license_not_enough_consumptions"));
    assert_eq!(world.ask("C", "a", consume(11)), Err("license_not_enough_consumptions"), "nothing was changed");
    let reply = world.ask("C", "a", with(15, Some(true), Some(5))).unwrap();
    assert_eq!((&reply["allow_overages"], &reply["max_overages"]), (&true.into(), &5.into()));
    world.restart();
    assert_eq!(world.check("C", "a").unwrap()["max_overages"], 5);
    assert_eq!(world.ask("C", "a", consume(1)), Err("license_not_enough_consumptions"));
    world.ask("C", "a", with(100, Some(true), Some(0))).unwrap();
    assert_eq!(world.ask("C", "a", with(1, Some(false), Some(0))), Err("license_not_enough_consumptions"));
}

#[test]
fn what_was_counted_under_a_clock_gone_wrong_is_reset_with_its_period() {
    let mut world = World::new(CATALOGUE, "2036-06-01T12:00:00Z");
    world.activate("K", "a").unwrap();
    world.ask("K", "a", consume_feature("DAILY", 10)).unwrap();
    world.heartbeat(world.now);
    // The clock is put right, ten years earlier.
    world.now = time("2026-06-01T12:00:00Z");
    world.restart();
    let changes = world.state.resume(world.now);
    world.changes.extend(changes);
    assert_eq!(world.ask("K", "a", consume_feature("DAILY", 1)), Err("feature_not_enough_consumptions"));
    world.now = time("2026-06-02T00:00:00Z");
    assert_eq!(world.ask("K", "a", consume_feature("DAILY", 1)).unwrap()["total_consumptions"], 1);
}

/// Restarts with another catalogue, as the server does. Returns what it tells the administrator.
fn edited(world: &mut World, catalogue: &str) -> Vec<String> {
    world.restart_with(catalogue);
    let (changes, notes) = world.state.apply_edits(world.now);
    world.changes.extend(changes);
    world.restart();
    notes.iter().map(ToString::to_string).collect()
}

#[test]
fn edit_of_catalogue_replaces_overages_of_client() {
    let with = |overages: &str| {
        let edit = format!("{{ max_consumptions = 10{overages} }}\n\n[[l");
        CATALOGUE.replace("{ max_consumptions = 10 }\n\n[[l", &edit)
    };
    let by_client =
        |allowed, max| Action::AddConsumption { amount: 1, allow_overages: Some(allowed), max_overages: Some(max) };
    let seen = |world: &mut World| {
        let seen = world.check("C", "a").unwrap();
        (seen["allow_overages"].as_bool().unwrap(), seen["max_overages"].as_i64().unwrap())
    };
    let mut world = world("2026-06-01");
    world.ask("C", "a", by_client(true, 50)).unwrap();
    let overridden = "license \"C\": a client has set allow_overages = true, max_overages = 50, which counts instead of the \
                      catalogue's allow_overages = false, max_overages = 0; edit the catalogue's to replace it";
    for _ in 0..2 {
        assert_eq!(edited(&mut world, CATALOGUE), [overridden]);
        assert_eq!(seen(&mut world), (true, 50), "nothing was edited");
    }
    let replaced = "license \"C\": the catalogue was edited to allow_overages = true, max_overages = 5, which replaces what a \
                    client had set: allow_overages = true, max_overages = 50";
    let edit = with(", allow_overages = true, max_overages = 5");
    assert_eq!(edited(&mut world, &edit), [replaced]);
    assert_eq!(seen(&mut world), (true, 5));
    assert_eq!(edited(&mut world, &edit), [""; 0], "said once");
    assert_eq!(edited(&mut world, CATALOGUE), [""; 0], "nothing of the client's is left");
    assert_eq!(seen(&mut world), (false, 0));
    // A client that sets what the catalogue says is replaced by a later edit too.
    world.ask("C", "a", by_client(true, 50)).unwrap();
    world.ask("C", "a", by_client(false, 0)).unwrap();
    assert_eq!(edited(&mut world, CATALOGUE), [""; 0]);
    edited(&mut world, &edit);
    assert_eq!(seen(&mut world), (true, 5));
}

#[test]
fn overages_that_earlier_version_has_kept_are_replaced_by_next_edit() {
    let mut world = world("2026-06-01");
    let license_id = world.check("C", "a").unwrap()["id"].as_u64().unwrap();
    let overages = ClientOverages { overages: Overages { allowed: true, max: 50 }, replaced: None };
    world.changes.push(Change::Overages { license_id, overages });
    assert_eq!(edited(&mut world, CATALOGUE).len(), 1);
    assert_eq!(world.check("C", "a").unwrap()["max_overages"], 50);
    let edit = "{ max_consumptions = 10, max_overages = 7 }\n\n[[l";
    assert_eq!(edited(&mut world, &CATALOGUE.replace("{ max_consumptions = 10 }\n\n[[l", edit)).len(), 1);
    assert_eq!(world.check("C", "a").unwrap()["max_overages"], 7);
}

/// The battery of the machine's clock is empty, and NTP sets the clock after the server has started.
#[test]
fn start_with_old_clock_refills_no_quota() {
    for feature in ["DAILY", "WEEKLY", "MONTHLY", "ANNUALLY"] {
        for old in ["1970-01-01T00:00:10Z", "2026-05-31T23:59:59Z", "2025-12-31"] {
            let mut world = world("2026-06-10T12:00:00Z");
            assert_eq!(total(&mut world, feature, 9), Ok(9));
            start_again_at(&mut world, old);
            assert_eq!(total(&mut world, feature, 2), Err("feature_not_enough_consumptions"), "{feature} in {old}");
            assert_eq!(total(&mut world, feature, 1), Ok(10), "{feature} in {old}");
            for right in ["2026-06-10T12:10:00Z", "2026-06-10T12:20:00Z"] {
                start_again_at(&mut world, right);
                let refused = total(&mut world, feature, 1);
                assert_eq!(refused, Err("feature_not_enough_consumptions"), "{feature} after {old}");
            }
            start_again_at(&mut world, "2027-06-20");
            assert_eq!(total(&mut world, feature, 10), Ok(10), "{feature} in the next period");
        }
    }
}

/// Two starts with ever older clocks, and the way back.
#[test]
fn clock_set_back_twice_refills_no_quota() {
    let mut world = world("2026-06-10T12:00:00Z");
    assert_eq!(total(&mut world, "DAILY", 10), Ok(10));
    for now in ["2020-01-01", "1970-01-01", "2026-06-10T13:00:00Z"] {
        start_again_at(&mut world, now);
        assert_eq!(total(&mut world, "DAILY", 1), Err("feature_not_enough_consumptions"), "{now}");
    }
}

/// The server is off at night, after its clock was ahead for once.
#[test]
fn clock_that_was_ahead_does_not_keep_quota_from_next_day() {
    let mut world = world("2036-06-01T12:00:00Z");
    assert_eq!(total(&mut world, "DAILY", 10), Ok(10));
    start_again_at(&mut world, "2026-06-01T12:00:00Z");
    assert_eq!(total(&mut world, "DAILY", 1), Err("feature_not_enough_consumptions"));
    for day in ["2026-06-02T08:00:00Z", "2026-06-03T08:00:00Z"] {
        start_again_at(&mut world, day);
        assert_eq!(total(&mut world, "DAILY", 10), Ok(10), "{day}");
    }
}

/// A total by the documented rules: limit and overages, negative amounts, and the period.
struct Reference {
    total: i64,
    limit: Option<i64>,
    allow_negative: bool,
    is_daily: bool,
}

impl Reference {
    fn add(&mut self, amount: i64) -> Result<i64, &'static str> {
        if amount < 0 && !self.allow_negative {
            return Err("negative_consumptions_not_allowed");
        }
        if amount > 0 && self.limit.is_some_and(|limit| self.total + amount > limit) {
            return Err("feature_not_enough_consumptions");
        }
        self.total += amount;
        Ok(self.total)
    }
}

#[test]
fn random_amounts_keep_the_documented_bounds() {
    let reference = |limit, allow_negative, is_daily| Reference { total: 0, limit, allow_negative, is_daily };
    let mut features = [
        ("TEN", reference(Some(10), false, false)),
        ("BACK", reference(Some(10), true, false)),
        ("MORE", reference(Some(15), false, false)),
        ("NO-MORE", reference(Some(10), false, false)),
        ("ANY", reference(None, false, false)),
        ("DAILY", reference(Some(10), false, true)),
    ];
    let mut world = world("2026-06-01");
    let mut random = Random::new(11);
    for step in 0..20_000 {
        let which = random.below(features.len() as u64) as usize;
        let (code, expected) = &mut features[which];
        let amount = random.below(9) as i64 - 3;
        assert_eq!(total(&mut world, code, amount), expected.add(amount), "step {step}: {code} {amount}");
        if random.below(30) == 0 {
            world.now = (world.now + TimeDelta::days(1)).date_naive().and_time(chrono::NaiveTime::MIN).and_utc();
            features.iter_mut().filter(|(_, each)| each.is_daily).for_each(|(_, each)| each.total = 0);
        }
    }
}

#[test]
fn random_overages_of_a_license_keep_the_documented_bounds() {
    let mut world = world("2026-06-01");
    let mut random = Random::new(12);
    let (mut consumed, mut allowed, mut max) = (0, false, 0);
    for step in 0..5_000 {
        let amount = random.below(4) as i64;
        let change = (random.below(4) == 0).then(|| (random.below(2) == 0, random.below(9) as i64));
        let (next_allowed, next_max) = change.unwrap_or((allowed, max));
        let limit = if next_allowed && next_max == 0 { i64::MAX } else { 10 + if next_allowed { next_max } else { 0 } };
        let fits = amount == 0 || consumed + amount <= limit;
        let action = Action::AddConsumption {
            amount,
            allow_overages: change.map(|change| change.0),
            max_overages: change.map(|change| change.1),
        };
        let said = world.ask("C", "a", action).map(|reply| reply["total_consumptions"].as_i64().unwrap());
        if fits {
            (consumed, allowed, max) = (consumed + amount, next_allowed, next_max);
        }
        assert_eq!(said, if fits { Ok(consumed) } else { Err("license_not_enough_consumptions") }, "step {step}");
        // Nothing may be given back, so the history begins anew.
        if consumed > 40 {
            world = self::world("2026-06-01");
            (consumed, allowed, max) = (0, false, 0);
        }
    }
}
