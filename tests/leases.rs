//! A lease through the C ABI, against a real server whose clock and whose faults are the test's.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use serde_json::{Value, json};
use support::Demo;
use support::abi::Client;
use support::sandbox::World;

const MINUTE_MS: u32 = 60_000;
const HOUR_MS: u32 = 60 * MINUTE_MS;
/// The license floats with a timeout of two hours.
const TIMEOUT_MS: i64 = 2 * HOUR_MS as i64;
const GRACE_MS: i64 = 300_000;

/// A machine on which time passes as the test wants, and a world whose clock goes with it.
struct Desk {
    world: World,
    client: Client,
}

impl Desk {
    fn new(demo: &Demo) -> Desk {
        Desk::with(World::new(demo, &json!({ "rate": 0 })))
    }

    fn with(world: World) -> Desk {
        let client = world.client("my-desk");
        client.call("activate_license", &Value::Null).ok();
        Desk { world, client }
    }

    /// Time passes for the server and then for the client.
    fn advance(&self, by_ms: u32) {
        self.world.control("POST /clock/advance", &json!({ "by": format!("{by_ms}ms") }));
        self.client.advance(by_ms);
    }

    fn is_held(&self) -> bool {
        match self.world.slots_of("my-desk").len() {
            0 => false,
            1 => true,
            more => panic!("{more} slots"),
        }
    }

    fn outage(&self) {
        let only_mine = json!({ "profile": "outage", "match": { "hardware_id": "my-desk" } });
        self.world.control("POST /faults/profile", &only_mine);
    }

    fn end_of_outage(&self) {
        self.world.control("DELETE /faults", &Value::Null);
    }
}

#[test]
fn a_lease_is_taken_renewed_at_half_of_its_time_and_given_back() {
    let demo = Demo::start();
    let desk = Desk::new(&demo);
    let (lease, info) = desk.client.acquire(&Value::Null);
    assert_eq!((lease.state(), desk.is_held()), ("ACTIVE", true));
    assert_eq!(info["slots"][0]["reply"]["license_key"], "CADP-FLOA-TING-0002");
    let left = lease.remaining_ms();
    assert!(left > TIMEOUT_MS && left <= TIMEOUT_MS + GRACE_MS, "{left}");
    let renews_in = info["renews_in_ms"].as_i64().unwrap();
    // The least of it, when it was asked a moment ago.
    assert!((TIMEOUT_MS * 4 / 10 - 60_000..=TIMEOUT_MS * 6 / 10).contains(&renews_in), "{info}");

    desk.advance(u32::try_from(renews_in).unwrap() + 1);
    let event = desk.client.wait_for("RENEWED");
    assert_eq!((&event["lease"], &event["state"], &event["status"]), (&info["lease"], &json!("ACTIVE"), &json!(0)));
    assert!(lease.remaining_ms() > left - 1_000, "{}", lease.remaining_ms());

    assert_eq!(lease.release().ok()["state"], "RELEASED");
    assert_eq!((lease.state(), lease.remaining_ms(), desk.is_held()), ("RELEASED", 0, false));
    lease.renew().refused("LEASE_OVER");
    lease.free();
    assert_eq!((lease.state(), lease.remaining_ms()), ("NONE", 0));
}

#[test]
fn an_outage_shorter_than_the_slots_time_is_no_more_than_degraded() {
    let demo = Demo::start();
    let desk = Desk::new(&demo);
    let (lease, _) = desk.client.acquire(&json!({ "timeout_ms": 10_000 }));
    desk.outage();
    desk.advance(80 * MINUTE_MS);
    let event = desk.client.wait_for("DEGRADED");
    assert_eq!((&event["name"], &event["state"]), (&json!("CONNECTION_LOST"), &json!("DEGRADED")));
    assert!(event["remaining_ms"].as_i64().unwrap() > 40 * i64::from(MINUTE_MS), "{event}");
    for _ in 0..3 {
        desk.advance(10 * MINUTE_MS);
        assert_eq!(lease.state(), "DEGRADED");
    }
    desk.end_of_outage();
    desk.advance(2 * MINUTE_MS);
    desk.client.wait_for("RENEWED");
    assert_eq!((lease.state(), desk.is_held()), ("ACTIVE", true));
    assert_eq!(desk.client.events(), [] as [&str; 0]);
}

#[test]
fn however_long_the_server_wants_to_be_left_alone_it_is_asked_before_the_slot_is_lost() {
    let demo = Demo::start();
    let desk = Desk::new(&demo);
    let (lease, _) = desk.client.acquire(&Value::Null);
    let once =
        json!({ "do": { "before": { "http": { "status": 503, "retry_after_s": 86_400 } } }, "when": { "times": 1 } });
    desk.world.control("POST /faults", &once);
    desk.advance(75 * MINUTE_MS);
    desk.client.wait_for("DEGRADED");
    desk.advance(30 * MINUTE_MS);
    assert_eq!(desk.client.next_event(20_000).unwrap()["event"], "RENEWED");
    assert_eq!((lease.state(), desk.is_held()), ("ACTIVE", true));
}

#[test]
fn a_longer_outage_is_grace_with_a_countdown_then_loss_and_coming_back_is_regained_without_a_second_slot() {
    let demo = Demo::start();
    let desk = Desk::new(&demo);
    let (lease, _) = desk.client.acquire(&json!({ "timeout_ms": 10_000, "grace_ms": 600_000 }));
    desk.outage();
    desk.advance(80 * MINUTE_MS);
    desk.client.wait_for("DEGRADED");
    desk.advance(41 * MINUTE_MS);
    let grace = desk.client.wait_for("GRACE_STARTED");
    let left = grace["remaining_ms"].as_i64().unwrap();
    assert!((8 * 60_000..=9 * 60_000).contains(&left), "{grace}");
    assert_eq!(lease.state(), "GRACE");
    let before = lease.remaining_ms();
    desk.advance(5 * MINUTE_MS);
    assert!(before - lease.remaining_ms() >= 5 * i64::from(MINUTE_MS) && lease.remaining_ms() > 0);
    assert!(!desk.is_held(), "the server has let go of it");
    desk.advance(5 * MINUTE_MS);
    let lost = desk.client.wait_for("LOST");
    assert_eq!((&lost["remaining_ms"], &lost["name"]), (&json!(0), &json!("CONNECTION_LOST")));
    assert_eq!((lease.state(), lease.remaining_ms()), ("LOST", 0));
    desk.end_of_outage();
    desk.advance(2 * MINUTE_MS);
    desk.client.wait_for("REGAINED");
    assert_eq!((lease.state(), desk.is_held()), ("ACTIVE", true));
    assert_eq!(lease.info()["reason"], Value::Null);
}

#[test]
fn a_slot_that_somebody_else_took_meanwhile_is_lost_and_the_event_says_so() {
    let demo = Demo::start();
    let desk = Desk::new(&demo);
    let (lease, _) = desk.client.acquire(&json!({ "timeout_ms": 500, "grace_ms": 60_000 }));
    desk.outage();
    desk.advance(119 * MINUTE_MS);
    desk.client.wait_for("DEGRADED");
    desk.world.control("POST /clock/advance", &json!({ "by": "2m" }));
    let colleagues: Vec<_> = ["office-1", "office-2"].map(|name| desk.world.client(name)).into_iter().collect();
    for colleague in &colleagues {
        colleague.call("activate_license", &Value::Null).ok();
        colleague.call("check_license", &Value::Null).ok();
    }
    desk.end_of_outage();
    desk.client.advance(2 * MINUTE_MS);
    let lost = desk.client.wait_for("LOST");
    assert_eq!((&lost["name"], lease.state()), (&json!("FLOATING_NOT_AVAILABLE"), "LOST"), "{lost}");
    assert!(lost["reason"].as_str().unwrap().starts_with("No floating slot is free"), "{lost}");
    assert!(!desk.is_held());
    colleagues[0].call("release_license", &Value::Null).ok();
    desk.client.advance(2 * MINUTE_MS);
    desk.client.wait_for("REGAINED");
    assert!(desk.is_held());
}

#[test]
fn a_sleep_of_the_machine_is_followed_by_a_renewal_and_only_then_by_a_report() {
    let demo = Demo::start();
    let desk = Desk::new(&demo);
    let (lease, _) = desk.client.acquire(&Value::Null);
    desk.advance(3 * HOUR_MS);
    // The slot was free for an hour, and nobody has taken it.
    assert_eq!(desk.client.next_event(20_000).unwrap()["event"], "RENEWED");
    assert_eq!((lease.state(), desk.is_held()), ("ACTIVE", true));
}

#[test]
fn several_features_are_taken_all_or_none() {
    let demo = Demo::start();
    let desk = Desk::new(&demo);
    let (lease, info) = desk.client.acquire(&json!({ "features": ["MESH", "SOLVER"] }));
    let features: Vec<_> = info["slots"].as_array().unwrap().iter().map(|slot| slot["feature"].clone()).collect();
    assert_eq!(features, ["MESH", "SOLVER"]);
    // The solver's slot ends first.
    assert!(lease.remaining_ms() <= 30 * i64::from(MINUTE_MS) + GRACE_MS);
    assert_eq!(desk.world.slots_of("my-desk").len(), 2);
    lease.release().ok();
    assert_eq!(desk.world.slots_of("my-desk").len(), 0);
    let (lease, _) = desk.client.acquire(&json!({ "features": ["SOLVER", "MESH"] }));
    assert!(lease.remaining_ms() <= 30 * i64::from(MINUTE_MS) + GRACE_MS, "whatever their order");
    lease.release().ok();

    let colleague = desk.world.client("office-1");
    colleague.call("activate_license", &Value::Null).ok();
    let (_solver, _) = colleague.acquire(&json!({ "feature": "SOLVER" }));
    let (lease, refused) = desk.client.try_acquire(&json!({ "features": ["MESH", "SOLVER"] }));
    let error = refused.refused("FLOATING_NOT_AVAILABLE");
    assert!(lease.is_none() && error["message"].as_str().unwrap().contains("SOLVER"), "{error}");
    assert_eq!(desk.world.slots_of("my-desk").len(), 0, "the mesh was given back");
    let kept =
        json!({ "match": { "operation": "release_feature" }, "do": { "before": { "code": "invalid_api_key" } } });
    desk.world.control("PUT /faults", &json!({ "faults": [kept] }));
    let (_, refused) = desk.client.try_acquire(&json!({ "features": ["MESH", "SOLVER"], "release_on_close_ms": 0 }));
    refused.failed("FLOATING_NOT_AVAILABLE", "unknown");
    assert_eq!(desk.world.slots_of("my-desk").len(), 1, "the mesh could not be given back");
    desk.end_of_outage();
    // What does not float is licensed without a slot.
    let (export, _) = desk.client.acquire(&json!({ "feature": "EXPORT" }));
    let slots = desk.world.slots_of("my-desk");
    assert_eq!((export.state(), slots.iter().any(|(feature, _)| feature == "EXPORT")), ("ACTIVE", false), "{slots:?}");
    assert_eq!(export.release().ok()["state"], "RELEASED");
}

#[test]
fn a_release_that_fails_half_way_says_so_and_is_repeated_for_the_rest() {
    let demo = Demo::start();
    let desk = Desk::new(&demo);
    let (lease, _) = desk.client.acquire(&json!({ "features": ["MESH", "SOLVER"] }));
    let of_mesh = |what: Value| {
        let matched = json!({ "operation": "release_feature", "feature": "MESH" });
        desk.world.control("PUT /faults", &json!({ "faults": [{ "match": matched, "do": what }] }));
    };
    of_mesh(json!({ "before": { "code": "invalid_api_key" } }));
    // The server has refused one, and has let go of the other.
    lease.release().failed("INVALID_API_KEY", "unknown");
    assert_eq!(desk.world.slots_of("my-desk"), [(json!("MESH"), false)]);
    // Now there is but one, and nothing was done about it.
    lease.release().failed("INVALID_API_KEY", "rejected");
    desk.end_of_outage();
    assert_eq!(lease.release().ok()["state"], "RELEASED");
    assert_eq!(desk.world.slots_of("my-desk"), []);
}

#[test]
fn a_lease_that_is_freed_or_whose_client_is_closed_is_given_back_in_the_background() {
    let demo = Demo::start();
    let desk = Desk::new(&demo);
    let (lease, _) = desk.client.acquire(&Value::Null);
    lease.free();
    assert_eq!(lease.state(), "NONE");
    until("it is given back", || !desk.is_held());
    let other = desk.world.client("my-desk");
    let (lease, _) = other.acquire(&Value::Null);
    other.close();
    assert_eq!((lease.state(), lease.remaining_ms()), ("RELEASED", 0));
    until("it is given back", || !desk.is_held());
    lease.renew().refused("LEASE_OVER");
}

#[test]
fn a_lease_is_over_once_its_client_is_closed_also_while_its_slot_is_still_being_given_back() {
    let demo = Demo::start();
    let desk = Desk::new(&demo);
    let (lease, _) = desk.client.acquire(&Value::Null);
    desk.world.only_fault(&json!({ "before": "hang" }));
    desk.client.close();
    let releases = json!({ "filter": { "operation": "release_license" } });
    until("it is being given back", || desk.world.control("POST /journal/count", &releases)["count"] != 0);
    for answer in [lease.renew(), lease.release()] {
        answer.refused("LEASE_OVER");
    }
}

/// Waits for what comes of itself.
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while !is_so() {
        assert!(std::time::Instant::now() < end, "never: {what}");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

#[test]
fn the_host_may_keep_a_lease_alive_himself() {
    let demo = Demo::start();
    let desk = Desk::new(&demo);
    // So long that in an outage the attempts run out and not the time, which would be another status.
    let (lease, info) = desk.client.acquire(&json!({ "keep_alive": "host", "timeout_ms": 10_000, "grace_ms": 60_000 }));
    desk.advance(u32::try_from(info["renews_in_ms"].as_i64().unwrap()).unwrap());
    assert_eq!(lease.info()["renews_in_ms"], 0);
    assert_eq!(lease.renew().ok()["state"], "ACTIVE");
    assert_eq!(desk.client.events(), ["RENEWED"]);
    desk.outage();
    desk.advance(60 * MINUTE_MS);
    lease.renew().failed("CONNECTION_LOST", "unknown");
    assert_eq!(lease.state(), "DEGRADED");
    desk.advance(60 * MINUTE_MS);
    assert_eq!(desk.client.events(), ["DEGRADED", "GRACE_STARTED"]);
    desk.advance(MINUTE_MS);
    assert_eq!((desk.client.events(), lease.state()), (vec!["LOST".to_owned()], "LOST"));
    desk.end_of_outage();
    assert_eq!(lease.renew().ok()["state"], "ACTIVE");
}

#[test]
fn who_queues_for_a_slot_gets_the_next_that_is_free() {
    let demo = Demo::start();
    let desk = Desk::new(&demo);
    let colleagues = ["office-1", "office-2"].map(|name| desk.world.client(name));
    for colleague in &colleagues {
        colleague.call("activate_license", &Value::Null).ok();
        colleague.call("check_license", &Value::Null).ok();
    }
    desk.client.try_acquire(&Value::Null).1.refused("FLOATING_NOT_AVAILABLE");
    desk.client.try_acquire(&json!({ "wait_ms": 300 })).1.refused("FLOATING_NOT_AVAILABLE");
    let ticket = desk.client.submit("lease_acquire", &json!({ "wait_ms": 60_000 })).unwrap();
    desk.client.wait_for("WAITING");
    colleagues[1].call("release_license", &Value::Null).ok();
    let done = desk.client.wait_for("COMPLETED");
    assert_eq!((&done["ticket"], &done["reply"]["state"]), (&json!(ticket), &json!("ACTIVE")), "{done}");
    let (lease, info) = desk.client.accept(ticket);
    assert_eq!((lease.unwrap().state(), info.ok()["lease"].clone()), ("ACTIVE", done["reply"]["lease"].clone()));
    desk.client.accept(ticket).1.refused("TICKET");
}

#[test]
fn who_is_not_due_yet_does_not_hear_that_another_was_not_renewed() {
    let demo = Demo::start();
    let desk = Desk::new(&demo);
    // Some of them are nearly due when the feature is, and so renewed along with it.
    let leases: Vec<_> = (0..8).map(|_| desk.client.acquire(&json!({ "timeout_ms": 500 })).0).collect();
    let (feature, _) = desk.client.acquire(&json!({ "feature": "MESH", "timeout_ms": 500 }));
    desk.outage();
    desk.advance(47 * MINUTE_MS);
    assert_eq!(
        desk.client.wait_for("DEGRADED")["remaining_ms"].as_i64().unwrap() / 3_600_000,
        0,
        "it is the feature's"
    );
    desk.client.advance(1);
    assert_eq!((feature.state(), desk.client.events()), ("DEGRADED", vec![]));
    assert!(leases.iter().all(|lease| lease.state() == "ACTIVE"));
}

#[test]
fn a_slot_that_is_wanted_again_is_not_waited_for_while_it_is_given_back() {
    let demo = Demo::start();
    let desk = Desk::new(&demo);
    let (lease, _) = desk.client.acquire(&json!({ "release_on_close_ms": 3_600_000 }));
    let hang = json!({ "match": { "operation": "release_license" }, "do": { "before": "hang" } });
    desk.world.control("POST /faults", &hang);
    lease.free();
    until("it is being given back", || desk.world.control("GET /faults", &Value::Null)["faults"][0]["happened"] == 1);
    let (again, _) = desk.client.acquire(&Value::Null);
    assert_eq!((again.state(), desk.is_held()), ("ACTIVE", true));
    desk.end_of_outage();
    again.release().ok();
    assert!(!desk.is_held());
}

#[test]
fn a_lease_that_is_freed_is_given_back_also_while_its_host_renews_it_and_nothing_answers() {
    let demo = Demo::start();
    let desk = Desk::new(&demo);
    let (lease, info) = desk.client.acquire(&json!({ "timeout_ms": 600_000 }));
    let hang = json!({ "match": { "operation": "check_license" }, "do": { "before": "hang" } });
    desk.world.control("POST /faults", &hang);
    let renewal = desk.client.submit("lease_renew", &json!({ "lease": info["lease"] })).unwrap();
    until("it is asked", || desk.world.control("GET /faults", &Value::Null)["faults"][0]["happened"] == 1);
    lease.free();
    until("it is given back", || !desk.is_held());
    let completed = desk.client.wait_for("COMPLETED");
    assert_eq!((&completed["ticket"], &completed["error"]["name"]), (&json!(renewal), &json!("CANCELLED")));
}

#[test]
fn a_renewal_that_hangs_does_not_keep_the_host_from_being_told_in_time() {
    let demo = Demo::start();
    let desk = Desk::new(&demo);
    let (lease, _) = desk.client.acquire(&json!({ "timeout_ms": 600_000, "grace_ms": 1_000 }));
    desk.world.only_fault(&json!({ "before": "hang" }));
    desk.advance(119 * MINUTE_MS + 59_500);
    desk.client.wait_for("GRACE_STARTED");
    desk.client.wait_for("LOST");
    assert_eq!(lease.state(), "LOST");
}
