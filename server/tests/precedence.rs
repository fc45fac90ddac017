//! Who is refused what first: product → license → its state → device → feature → rule; activation and its limits.
#![allow(clippy::unwrap_used)]

mod common;

use common::time;
use common::world::{World, borrow_feature, check_feature, command};
use floatlease_server::catalogue::VersionFilter;
use floatlease_server::domain::{Action, Command, Credential, PasswordProof, Token, Until};

const CATALOGUE: &str = r#"
blacklisted_hardware_ids = ["bad"]
product = [
    { code = "P" },
    { code = "U", authorization_method = "user" },
    { code = "OFF", status = "disabled" },
    { code = "OLD", status = "archived" },
]
user = [
    { username = "ada", password = "pw", email = "ada@example.com", max_activations = 1 },
    { username = "bob", password = "pw2", allow_unlimited_activations = true },
]
customer = [{ email = "c", customer_account = "ACME" }]
customer_account = [
    { code = "ACME", id_tokens = { t = "ada" }, codes = { k = "ada" } },
    { code = "OTHER", id_tokens = { t = "ada" } },
]
license = [
    { product = "P", license_key = "K", id = 7, allow_unlimited_activations = true, floating = { users = 1, can_borrow = true, max_borrow_time_hours = 1 } },
    { product = "P", license_key = "INACTIVE", active = false, enabled = false, license_type = "time-limited", validity_period = 2020-01-01 },
    { product = "P", license_key = "DISABLED", enabled = false, license_type = "time-limited", validity_period = 2020-01-01 },
    { product = "P", license_key = "EXPIRED", license_type = "time-limited", validity_period = 2020-01-01, floating = { users = 1 } },
    { product = "P", license_key = "TRIAL", is_trial = true, license_type = "time-limited", validity_period = 2020-01-01, floating = { users = 1 } },
    { product = "P", license_key = "FUTURE", start_date = 2030-01-01 },
    { product = "P", license_key = "METAL", prevent_vm = true },
    { product = "P", license_key = "STAYS", floating = { users = 1 }, feature = [{ code = "F", floating = { users = 1, can_borrow = true, max_borrow_time_hours = 1 } }] },
    { product = "P", license_key = "NODE", max_activations = 2, max_transfers = 1 },
    { product = "U", users = ["ada", "bob"], id = 21, max_activations = 9, customer = "c" },
    { product = "U", users = ["ada"], id = 22, max_activations = 9 },
]
"#;

fn world() -> World {
    World::new(CATALOGUE, "2026-06-01")
}

fn activate() -> Action {
    Action::Activate { variables: Vec::new() }
}

fn check() -> Action {
    Action::CheckLicense { include_expired_features: false, wanted: VersionFilter::default() }
}

fn borrow() -> Action {
    Action::BorrowLicense(Until::Unreadable)
}

/// With everything wrong that comes later, too.
#[test]
fn the_first_thing_wrong_is_named() {
    let mut world = world();
    world.activate("K", "a").unwrap();
    world.activate("STAYS", "a").unwrap();
    for (product, key, device, action, code) in [
        ("NONE", "NONE", "bad", borrow(), "unknown_product"),
        ("OFF", "NONE", "bad", borrow(), "disabled_product"),
        ("OLD", "NONE", "bad", borrow(), "archived_product"),
        ("P", "NONE", "bad", borrow(), "license_not_found"),
        ("U", "K", "bad", borrow(), "license_not_found"),
        ("P", "INACTIVE", "bad", borrow(), "license_not_active"),
        ("P", "FUTURE", "bad", activate(), "license_not_active"),
        ("P", "DISABLED", "bad", borrow(), "license_not_enabled"),
        ("P", "EXPIRED", "bad", borrow(), "license_expired"),
        ("P", "EXPIRED", "bad", check(), "license_expired"),
        ("P", "TRIAL", "bad", check(), "trial_expired"),
        ("P", "K", "bad", borrow(), "blacklisted"),
        ("P", "K", "bad", activate(), "blacklisted"),
        ("P", "K", "new", borrow(), "device_not_found"),
        ("P", "K", "new", check_feature("NONE"), "device_not_found"),
        ("P", "K", "a", check_feature("NONE"), "invalid_license_feature_code"),
        ("P", "K", "a", borrow_feature("NONE", Until::Unreadable), "invalid_license_feature_code"),
        ("P", "K", "a", borrow(), "borrow_until_not_valid"),
        ("P", "STAYS", "a", borrow(), "license_borrow_not_allowed"),
        ("P", "STAYS", "a", borrow_feature("F", Until::Unreadable), "floating_feature_device_not_in_use"),
    ] {
        let what = format!("{product} {key} {device} {action:?}");
        let command = Command { product: product.to_owned(), ..command(key, device, action) };
        assert_eq!(world.apply(&command), Err(code), "{what}");
    }
}

#[test]
fn a_license_id_must_be_that_of_the_license() {
    let mut world = world();
    let with = |license_id| Command { license_id: Some(license_id), ..command("K", "a", activate()) };
    assert_eq!(world.apply(&with(8)), Err("license_not_found"));
    assert_eq!(world.apply(&with(7)).unwrap()["id"], 7);
}

fn by(credential: Credential, license_id: Option<u64>) -> Command {
    let product = "U".to_owned();
    Command { product, credential, license_id, ..command("", "a", activate()) }
}

fn user(username: &str, password: Option<&str>) -> Credential {
    Credential::User {
        username: username.to_owned(),
        password: password.map(|text| PasswordProof::Text(text.to_owned())),
    }
}

#[test]
fn users_prove_who_they_are_by_password() {
    let mut world = world();
    assert_eq!(world.apply(&by(user("ada", Some("wrong")), None)), Err("license_not_found"));
    assert_eq!(world.apply(&by(user("eve", Some("pw")), None)), Err("license_not_found"));
    let reply = world.apply(&by(user("ada", Some("pw")), None)).unwrap();
    assert_eq!(reply["id"], 22, "the newest of her licenses");
    assert_eq!((&reply["license_key"], &reply["user"]["total_activations"]), (&serde_json::Value::Null, &1.into()));
    assert_eq!(reply["license_signature"], "a#ada#", "the text under it");
    assert_eq!(world.apply(&by(user("ada", Some("pw")), Some(21))), Err("licenseUserActivatedMaxTimes"));
    assert_eq!(world.apply(&by(user("bob", Some("pw2")), Some(21))).unwrap()["id"], 21);
    assert_eq!(world.apply(&by(user("bob", Some("pw2")), Some(22))), Err("license_not_found"));
    let check = Command { action: check(), ..by(user("ada", None), None) };
    assert_eq!(world.apply(&check).unwrap()["user"]["email"], "ada@example.com");
}

#[test]
fn single_sign_on_goes_by_the_tokens_of_the_account() {
    let mut world = world();
    let id_token = |text: &str| Token::IdToken(text.to_owned());
    let with = |token: Token, account: &str, license_id| {
        by(Credential::Token { token, customer_account_code: account.to_owned() }, Some(license_id))
    };
    assert_eq!(world.apply(&with(id_token("t"), "NONE", 21)), Err("customer_account_not_found"));
    assert_eq!(world.apply(&with(id_token("wrong"), "ACME", 21)), Err("license_not_found"));
    assert_eq!(world.apply(&with(id_token("k"), "ACME", 21)), Err("license_not_found"), "a code is no token");
    assert_eq!(world.apply(&with(id_token("t"), "OTHER", 21)), Err("customer_account_id_mismatch"));
    assert_eq!(world.apply(&with(id_token("t"), "ACME", 22)), Err("customer_account_id_mismatch"));
    let reply = world.apply(&with(Token::Code("k".to_owned()), "ACME", 21)).unwrap();
    assert_eq!(reply["license_signature"], "a#ada@example.com#");
    assert_eq!(reply["customer"]["customer_account"]["code"], "ACME");
}

/// Ada's newest license is not of the account.
#[test]
fn single_sign_on_picks_newest_license_of_account() {
    let mut world = world();
    let token = |code: &str| Credential::Token {
        token: Token::IdToken("t".to_owned()),
        customer_account_code: code.to_owned(),
    };
    assert_eq!(world.apply(&by(token("ACME"), None)).unwrap()["id"], 21);
    assert_eq!(world.apply(&by(token("OTHER"), None)), Err("customer_account_id_mismatch"));
}

const TEAM: &str = r#"
product = [{ code = "U", authorization_method = "user" }]
user = [
    { username = "ada", password = "pw", max_activations = 2 },
    { username = "bob", password = "pw", max_activations = 2 },
]
license = [
    { product = "U", users = ["ada", "bob"], id = 21, max_activations = 2 },
    { product = "U", users = ["bob"], id = 22, max_activations = 9 },
]
"#;

fn activate_on(world: &mut World, device: &str, username: &str) -> common::world::Answer {
    world.apply(&Command { hardware_id: device.to_owned(), ..by(user(username, Some("pw")), Some(21)) })
}

#[test]
fn device_of_removed_user_counts_for_nobody() {
    for still_a_user_elsewhere in [false, true] {
        let mut world = World::new(TEAM, "2026-06-01");
        activate_on(&mut world, "of-bob", "bob").unwrap();
        activate_on(&mut world, "of-ada", "ada").unwrap();
        assert_eq!(activate_on(&mut world, "third", "ada"), Err("license_activated_max_times"));
        let without = TEAM.replace("[\"ada\", \"bob\"]", "[\"ada\"]");
        let gone = without.replace("\"bob\"", "\"eve\"");
        world.restart_with(if still_a_user_elsewhere { &without } else { &gone });
        assert_eq!(activate_on(&mut world, "third", "ada").unwrap()["times_activated"], 2);
        if still_a_user_elsewhere {
            let elsewhere = Command { license_id: Some(22), ..by(user("bob", Some("pw")), None) };
            assert_eq!(world.apply(&elsewhere).unwrap()["user"]["total_activations"], 1);
        }
        world.restart_with(TEAM);
        assert_eq!(activate_on(&mut world, "of-ada", "ada").unwrap()["times_activated"], 3, "bob is back");
    }
}

#[test]
fn device_of_removed_user_counts_for_user_who_takes_it_over() {
    let mut world = World::new(TEAM, "2026-06-01");
    let first = activate_on(&mut world, "shared", "bob").unwrap();
    world.restart_with(&TEAM.replace("[\"ada\", \"bob\"]", "[\"ada\"]"));
    let reply = activate_on(&mut world, "shared", "ada").unwrap();
    assert_eq!(reply["device_id"], first["device_id"]);
    assert_eq!(reply["times_activated"], 1);
    assert_eq!(reply["user"]["total_activations"], 1);
    let leave = Action::Deactivate { variables: Vec::new() };
    let leave = Command { hardware_id: "shared".to_owned(), action: leave, ..by(user("ada", Some("pw")), Some(21)) };
    world.apply(&leave).unwrap();
    assert_eq!(activate_on(&mut world, "shared", "ada").unwrap()["transfer_count"], 0);
}

#[test]
fn virtual_machines_are_refused_where_the_license_says_so() {
    let mut world = world();
    let vm = Command { is_vm: true, ..command("METAL", "a", activate()) };
    assert_eq!(world.apply(&vm), Err("license_not_active"));
    world.activate("METAL", "a").unwrap();
    world.apply(&Command { is_vm: true, ..command("K", "a", activate()) }).unwrap();
}

#[test]
fn activations_and_transfers_are_counted() {
    let mut world = world();
    let leave = |world: &mut World, device| world.ask("NODE", device, Action::Deactivate { variables: Vec::new() });
    let numbers = |reply: serde_json::Value| (reply["times_activated"].clone(), reply["transfer_count"].clone());
    world.activate("NODE", "a").unwrap();
    assert_eq!(numbers(world.activate("NODE", "b").unwrap()), (2.into(), 0.into()));
    assert_eq!(numbers(world.activate("NODE", "b").unwrap()), (2.into(), 0.into()), "active already");
    assert_eq!(world.activate("NODE", "c"), Err("license_activated_max_times"));
    leave(&mut world, "a").unwrap();
    assert_eq!(leave(&mut world, "a"), Err("device_not_found"));
    let id = world.activate("NODE", "a").unwrap();
    assert_eq!((&id["device_id"], &id["transfer_count"]), (&1_000_000_000_000_001_u64.into(), &0.into()), "back home");
    leave(&mut world, "a").unwrap();
    world.restart();
    assert_eq!(numbers(world.activate("NODE", "c").unwrap()), (2.into(), 1.into()));
    leave(&mut world, "b").unwrap();
    assert_eq!(world.activate("NODE", "a"), Err("license_transferred_max_times"), "known devices included");
    world.activate("NODE", "b").unwrap();
}

#[test]
fn variables_are_kept_with_the_device() {
    let mut world = world();
    let with = |pairs: &[(&str, &str)]| Action::Activate {
        variables: pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
    };
    world.ask("K", "a", with(&[("seat", "3"), ("room", "B")])).unwrap();
    world.now = time("2026-06-02");
    world.restart();
    let reply = world.ask("K", "a", with(&[("seat", "4")])).unwrap();
    let variables = reply["variables"].as_array().unwrap();
    let pairs: Vec<_> = variables.iter().map(|each| (each["variable"].as_str(), each["value"].as_str())).collect();
    assert_eq!(pairs, [(Some("room"), Some("B")), (Some("seat"), Some("4"))]);
    assert_eq!(variables[1]["created_at"], "2026-06-02T00:00:00.000Z");
}
