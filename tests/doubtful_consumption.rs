//! Consumptions whose reply was lost: booked once, or told as unknown.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use chrono::Utc;
use serde_json::{Value, json};
use std::time::Duration;
use support::abi::Client;
use support::consumption::{
    Barrier, DAY_MS, Desk, LIFE_MS, Lost, Middle, add, add_refusal, assert_may_still_be_booked, count, in_doubt, sync,
    sync_later, world, world_with,
};
use support::folder::Folder;
use support::holder::until;
use support::{Demo, with};

#[test]
fn replies_that_are_lost_at_random_change_no_total() {
    let demo = Demo::start();
    let (world, folder) = (world(&demo), Folder::new("random"));
    let desk = Desk::new(&world, "FEATURES", &folder);
    let fault = |seed: u64, probability: f64, what: &Value| {
        let matched = json!({ "hardware_id": "laptop" });
        json!({ "when": { "probability": probability, "seed": seed }, "match": matched, "do": what })
    };
    let faults = [
        fault(1, 0.3, &json!({ "after_commit": "reset" })),
        fault(2, 0.2, &json!({ "after_commit": "close" })),
        fault(3, 0.1, &json!({ "reply": "signature_garbage" })),
        fault(4, 0.1, &json!({ "before": { "http": { "status": 500 } } })),
        fault(5, 0.1, &json!({ "before": "refuse" })),
    ];
    // Shows that the server honours keys: without, what is in doubt may be unknown.
    add(&desk.start(), &count(1));
    world.control("PUT /faults", &json!({ "faults": faults }));
    let (mut client, mut sum) = (desk.start(), 0);
    let both_ways = |amount: i64| with(&count(amount), json!({ "feature": "BOTH_WAYS" }));
    // Too short to try again: what is in doubt waits for the next.
    let hurried = |amount| with(&both_ways(amount), json!({ "timeout_ms": 60 }));
    let mut waited = 0;
    for number in 0..500 {
        let amount = number % 7 - 2;
        sum += amount;
        let request = if number % 20 == 0 { both_ways(amount) } else { hurried(amount) };
        let reply = add(&client, &request);
        if reply.get("queued").is_some() {
            waited += 1;
            // It asks although the server may be known to be away.
            client.call("sync_consumptions", &json!({ "timeout_ms": 60 })).ok();
        }
        if number % 40 == 39 {
            client = desk.start();
        }
    }
    let happened = world.control("GET /faults", &Value::Null);
    let happened = happened["faults"].as_array().unwrap().iter().map(|fault| fault["happened"].as_u64().unwrap());
    let happened: Vec<_> = happened.collect();
    assert!(happened[..3].iter().sum::<u64>() > 300 && waited > 20, "{happened:?} {waited}");
    desk.end_of_outage();
    let report = sync(&client);
    assert_eq!((&report["waiting"], &report["refused"], &report["unknown"]), (&json!(0), &json!([]), &json!([])));
    assert_eq!(desk.total_of("BOTH_WAYS"), sum);
}

#[test]
fn a_server_that_knows_no_keys_is_asked_for_its_total() {
    let demo = Demo::start();
    let (world, folder, middle) = (world(&demo), Folder::new("total"), Middle::new(false));
    let desk = Desk::new(&world, "FEATURES", &folder);
    let client = desk.by_way_of(&middle.before(&demo)).start();
    for (number, (losses, asked)) in
        [(&[][..], 1), (&[Lost::Request][..], 2), (&[Lost::Request, Lost::Request][..], 3)].into_iter().enumerate()
    {
        let before = desk.total_of("COUNT");
        middle.lose(losses);
        let wish = with(&count(3), json!({ "idempotency_key": format!("wish-{number}") }));
        let mut reply = add(&client, &wish);
        for _ in losses {
            assert_may_still_be_booked(&reply);
            middle.questions();
            assert_eq!(sync(&client)["waiting"], 1);
            assert_eq!(middle.questions(), 0, "no total is asked for that tells nothing yet");
            client.advance(LIFE_MS);
            // The same wish again is told what became of it, or is sent again if that was nothing.
            reply = add(&client, &wish);
        }
        assert_eq!(reply.get("queued"), None, "{reply}");
        assert_eq!(desk.total_of("COUNT"), before + 3);
        assert_eq!(middle.asked(), vec![(3, None); asked]);
        assert_eq!(reply["total_consumptions"], before + 3, "{reply}");
    }
}

/// A total is not one device's own: what it has risen by, another may have consumed.
#[test]
fn rise_of_total_by_same_amount_proves_no_booking() {
    let demo = Demo::start();
    let (world, folder) = (world_with(&demo, json!({ "idempotency": false })), Folder::new("same-amount"));
    let (desk, middle) = (Desk::new(&world, "FEATURES", &folder), Middle::new(true));
    let by_way = desk.by_way_of(&middle.before(&demo));
    let other = world.client("another-device");
    other.call("activate_license", &Value::Null).ok();
    let feature = |code: &str, amount: i64| json!({ "feature": code, "consumptions": amount });
    for (code, loss, by_other) in [
        ("COUNT", Lost::Request, 3),
        ("COUNT", Lost::Reply, 0),
        // The total is as it was, though ours was booked.
        ("BOTH_WAYS", Lost::Reply, -3),
        ("BOTH_WAYS", Lost::Request, 0),
    ] {
        let (client, before) = (by_way.start(), desk.total_of(code));
        in_doubt(&client, &middle, &with(&count(3), json!({ "feature": code })), loss);
        if by_other != 0 {
            other.call("add_feature_consumption", &feature(code, by_other)).ok();
        }
        let report = sync_later(&client);
        assert_eq!(report["booked"], 0, "{code} {loss:?} {by_other}: {report}");
        assert_eq!(report["waiting"], 0, "{code} {loss:?} {by_other}: {report}");
        assert_eq!(report["unknown"][0]["consumptions"], 3, "{code} {loss:?} {by_other}: {report}");
        let ours = if loss == Lost::Reply { 3 } else { 0 };
        assert_eq!(desk.total_of(code), before + ours + by_other, "it is not sent again");
        assert_eq!(middle.asked(), []);
    }
}

#[test]
fn late_request_at_server_without_keys_counts_once() {
    let demo = Demo::start();
    let (world, folder) = (world_with(&demo, json!({ "idempotency": false })), Folder::new("late"));
    let desk = Desk::new(&world, "FEATURES", &folder);
    let barrier = Barrier::default();
    let (client, late) = (desk.start(), desk.by_way_of(&barrier.before(&demo)).start());
    let closed = barrier.close();
    let reply = add(&late, &with(&count(3), json!({ "timeout_ms": 3_000 })));
    barrier.wait_for_a_request();
    assert_eq!(reply["name"], "TIMEOUT", "{reply}");
    assert_eq!(reply["queued"], true, "{reply}");
    // The total says that nothing was booked, and the way of this client is free: to send it again would book it twice.
    assert_eq!(desk.total_of("COUNT"), 0);
    assert_eq!(sync(&client)["waiting"], 1);
    let behind = add(&client, &count(4));
    assert_may_still_be_booked(&behind);
    assert_eq!(behind["queued_consumptions"], 2, "{behind}");
    assert_eq!(desk.total_of("COUNT"), 0);

    drop(closed);
    until("the late request lands", || desk.total_of("COUNT") > 0);
    assert_eq!(sync(&client)["waiting"], 2, "the total could be another device's");
    let report = sync_later(&client);
    assert_eq!(report["booked"], 1, "{report}");
    assert_eq!(report["unknown"][0]["consumptions"], 3, "{report}");
    assert_eq!(report["waiting"], 0, "{report}");
    assert_eq!(desk.total_of("COUNT"), 7);
}

#[test]
fn sync_waits_for_end_of_request_if_it_comes_in_time() {
    let demo = Demo::start();
    let (world, folder, middle) = (world(&demo), Folder::new("in-time"), Middle::new(false));
    let desk = Desk::new(&world, "FEATURES", &folder);
    let client = desk.by_way_of(&middle.before(&demo)).start();
    in_doubt(&client, &middle, &count(3), Lost::Request);
    client.advance(LIFE_MS - 2_000);
    let report = sync(&client);
    assert_eq!(report["booked"], 1, "{report}");
    assert_eq!(desk.total_of("COUNT"), 3);
}

#[test]
fn request_with_longer_timeout_is_awaited_longer() {
    let demo = Demo::start();
    let (world, folder, middle) = (world(&demo), Folder::new("longer"), Middle::new(false));
    let desk = Desk::new(&world, "FEATURES", &folder);
    let client = desk.by_way_of(&middle.before(&demo)).start();
    in_doubt(&client, &middle, &with(&count(3), json!({ "timeout_ms": 90_000 })), Lost::Request);
    // The request may have been sent again after almost 90 s, and lives for 30 s more.
    client.advance(100_000);
    assert_eq!(sync(&client)["waiting"], 1);
    let report = sync_later(&client);
    assert_eq!(report["booked"], 1, "{report}");
    assert_eq!(desk.total_of("COUNT"), 3);
}

#[test]
fn clock_set_back_settles_no_doubt_early() {
    let demo = Demo::start();
    let (world, folder, middle) = (world(&demo), Folder::new("back"), Middle::new(false));
    let by_way = Desk::new(&world, "FEATURES", &folder).by_way_of(&middle.before(&demo));
    let ahead = by_way.start();
    ahead.advance(DAY_MS);
    in_doubt(&ahead, &middle, &count(3), Lost::Request);
    // By the clock of the next start, the request is going to be sent tomorrow.
    let client = by_way.start();
    assert_eq!(sync(&client)["waiting"], 1);
    // Nor is it waited for until then.
    let report = sync_later(&client);
    assert_eq!(report["booked"], 1, "{report}");
    assert_eq!(by_way.total_of("COUNT"), 3);
}

#[test]
fn sync_that_waits_keeps_no_other_process_waiting() {
    let demo = Demo::start();
    let (world, folder, middle) = (world(&demo), Folder::new("turns"), Middle::new(false));
    let by_way = Desk::new(&world, "FEATURES", &folder).by_way_of(&middle.before(&demo));
    let (client, colleague) = (by_way.start(), by_way.start());
    in_doubt(&client, &middle, &count(3), Lost::Request);
    let patient = json!({ "timeout_ms": 60_000 });
    std::thread::scope(|scope| {
        let syncing = scope.spawn(|| client.call("sync_consumptions", &patient));
        // By then it has looked, and waits.
        std::thread::sleep(Duration::from_millis(300));
        assert_may_still_be_booked(&add(&colleague, &with(&count(4), json!({ "timeout_ms": 2_000 }))));
        assert_eq!(client.cancel(), "OK");
        syncing.join().unwrap().refused("CANCELLED");
    });
    assert_eq!(sync_later(&colleague)["booked"], 2);
    assert_eq!(by_way.total_of("COUNT"), 7);
}

#[test]
fn what_was_in_doubt_when_the_program_ended_is_settled_by_the_total_or_told_as_unknown() {
    let demo = Demo::start();
    let (world, folder, middle) = (world(&demo), Folder::new("doubt"), Middle::new(false));
    let desk = Desk::new(&world, "FEATURES", &folder);
    let address = middle.before(&demo);
    let other = world.client("another-device");
    other.call("activate_license", &Value::Null).ok();
    for (loss, meanwhile, asked, booked, unknown) in [
        (Lost::Reply, 0, 0, 3, true),
        (Lost::Request, 0, 1, 3, false),
        (Lost::Reply, 4, 0, 7, true),
        (Lost::Request, 4, 0, 4, true),
    ] {
        let before = desk.total_of("COUNT");
        in_doubt(&desk.by_way_of(&address).start(), &middle, &count(3), loss);
        if meanwhile > 0 {
            other.call("add_feature_consumption", &json!({ "feature": "COUNT", "consumptions": meanwhile })).ok();
        }
        let client = desk.by_way_of(&address).start();
        let early = sync(&client);
        assert_eq!((&early["waiting"], &early["unknown"]), (&json!(1), &json!([])), "{early}");
        let report = sync_later(&client);
        assert_eq!(desk.total_of("COUNT"), before + booked);
        assert_eq!((middle.asked().len(), &report["waiting"]), (asked, &json!(0)), "{report}");
        assert_eq!((&report["booked"], &report["refused"]), (&json!(u8::from(!unknown)), &json!([])), "{report}");
        assert_eq!(report["unknown"].as_array().unwrap().len(), usize::from(unknown), "{report}");
        if unknown {
            let told = &report["unknown"][0];
            assert_eq!(
                (&told["consumptions"], &told["feature"], &told["name"]),
                (&json!(3), &json!("COUNT"), &json!("CONNECTION_LOST"))
            );
            assert!(
                told["reason"].as_str().unwrap().contains(&format!("The total was {before} before 3 were")),
                "{told}"
            );
            assert_eq!(sync(&client)["unknown"], json!([]), "told once");
        }
    }
    // What the total tells not to be booked may be refused afterwards; each feature has a total of its own.
    let client = desk.by_way_of(&address).start();
    in_doubt(&client, &middle, &count(3), Lost::Request);
    add_refusal(&world);
    assert_eq!(sync_later(&client)["refused"][0]["server_code"], "license_not_enabled");
    desk.end_of_outage();
    middle.asked();
    desk.outage();
    add(&client, &json!({ "feature": "TEN", "consumptions": 2, "offline": "queue" }));
    add(&client, &count(3));
    desk.end_of_outage();
    middle.lose(&[Lost::Nothing, Lost::Request]);
    assert_eq!(sync(&client)["booked"], 1);
    assert_eq!(sync_later(&client)["booked"], 1);

    // The host that asks for the same again is told by an error.
    let wish = with(&count(3), json!({ "idempotency_key": "wish" }));
    middle.lose(&[Lost::Reply]);
    assert_may_still_be_booked(&add(&client, &wish));
    other.call("add_feature_consumption", &json!({ "feature": "COUNT", "consumptions": 10 })).ok();
    client.advance(LIFE_MS);
    client.call("add_feature_consumption", &wish).failed("CONNECTION_LOST", "unknown");
    assert_eq!((sync(&client)["unknown"].clone(), sync(&client)["waiting"].clone()), (json!([]), json!(0)));
}

#[test]
fn a_total_that_begins_anew_every_day_settles_nothing_after_midnight() {
    let demo = Demo::start();
    let (world, folder, middle) = (world(&demo), Folder::new("midnight"), Middle::new(false));
    let desk = Desk::new(&world, "FEATURES", &folder);
    let address = middle.before(&demo);
    for days in [1, 0] {
        let client = desk.by_way_of(&address).start();
        // At noon, so that no day ends but on purpose.
        let of_day_ms = u32::try_from(Utc::now().timestamp_millis().rem_euclid(i64::from(DAY_MS))).unwrap();
        client.advance(DAY_MS + DAY_MS / 2 - of_day_ms);
        in_doubt(&client, &middle, &with(&count(3), json!({ "feature": "DAILY" })), Lost::Request);
        client.advance(days * DAY_MS);
        world.control("POST /clock/advance", &json!({ "by": format!("{days}days") }));
        let report = sync_later(&client);
        assert_eq!(
            (&report["booked"], report["unknown"].as_array().unwrap().len()),
            (&json!(1 - days), days as usize),
            "{report}"
        );
    }
}

#[test]
fn after_a_doubt_only_having_too_few_left_is_a_refusal() {
    let demo = Demo::start();
    let (world, folder) = (world(&demo), Folder::new("doubt-refused"));
    let desk = Desk::new(&world, "FEATURES", &folder);
    let client = desk.start();
    add(&client, &count(1));
    for (code, list) in [("license_not_enabled", "unknown"), ("feature_not_enough_consumptions", "refused")] {
        world.only_fault(&json!({ "after_commit": "reset" }));
        assert_eq!(add(&client, &with(&count(1), json!({ "timeout_ms": 100 })))["queued"], true);
        world.only_fault(&json!({ "before": { "code": code } }));
        let report = sync(&client);
        assert_eq!((report[list].as_array().unwrap().len(), &report["waiting"]), (1, &json!(0)), "{report}");
        assert_eq!(report[list][0]["server_code"], code, "{report}");
    }
}

/// More than a server remembers of a device for longer than a week.
const OTHERS: i64 = 1_001;

/// When the server has forgotten a key it would book it again, and it may have after six days.
#[test]
fn doubt_is_asked_for_again_only_while_its_key_is_surely_remembered() {
    let demo = Demo::start();
    // How far the clock is ahead when it is sent, and how far when it is asked about, in days.
    for (days_sent, days_asked, is_asked_for) in [(0, 5, true), (0, 8, false), (30, 8, false)] {
        let (world, middle) = (world(&demo), Middle::new(true));
        let folder = Folder::new(&format!("remembered-{days_sent}-{days_asked}"));
        let desk = Desk::new(&world, "FEATURES", &folder);
        let by_way = desk.by_way_of(&middle.before(&demo));
        add(&by_way.start(), &count(2));
        middle.asked();
        let client = by_way.start();
        client.advance(days_sent * DAY_MS);
        in_doubt(&client, &middle, &count(3), Lost::Reply);
        client.close();
        let one = json!({ "feature": "COUNT", "consumptions": 1 });
        let direct = Client::open(&world.config("laptop")).unwrap();
        (0..OTHERS).for_each(|_| {
            drop(direct.call("add_feature_consumption", &with(&one, json!({ "license_key": "FEATURES" }))))
        });
        world.control("POST /clock/advance", &json!({ "by": format!("{days_asked}d") }));
        // The server forgets when others come.
        (0..OTHERS).for_each(|_| {
            drop(direct.call("add_feature_consumption", &with(&one, json!({ "license_key": "FEATURES" }))))
        });
        let client = by_way.start();
        client.advance(days_asked * DAY_MS);
        let report = sync(&client);
        assert_eq!(desk.total_of("COUNT"), 5 + 2 * OTHERS, "{days_sent} {days_asked}: {report}");
        assert_eq!(middle.asked().len(), usize::from(is_asked_for), "{days_sent} {days_asked}");
        let told = (report["booked"] == 1, report["unknown"].as_array().unwrap().len());
        assert_eq!(told, (is_asked_for, usize::from(!is_asked_for)), "{days_sent} {days_asked}: {report}");
    }
}

/// The server has not shown yet that it books a key once.
#[test]
fn first_consumption_whose_reply_is_lost_is_booked_at_once() {
    let demo = Demo::start();
    let (world, folder, middle) = (world(&demo), Folder::new("first-lost"), Middle::new(true));
    let desk = Desk::new(&world, "FEATURES", &folder);
    let client = desk.by_way_of(&middle.before(&demo)).start();
    middle.lose(&[Lost::Reply]);
    assert_eq!(add(&client, &count(3))["total_consumptions"], 3);
    assert_eq!((middle.asked().len(), desk.total_of("COUNT")), (2, 3));
}

#[test]
fn a_wish_that_is_told_as_unknown_is_not_booked_by_asking_again() {
    let demo = Demo::start();
    let (world, folder, middle) = (world(&demo), Folder::new("told-unknown"), Middle::new(false));
    let desk = Desk::new(&world, "FEATURES", &folder);
    let address = middle.before(&demo);
    let client = desk.by_way_of(&address).start();
    let named = with(&count(3), json!({ "idempotency_key": "order-1" }));
    in_doubt(&client, &middle, &named, Lost::Reply);
    client.advance(LIFE_MS);
    let other = world.client("another-device");
    other.call("activate_license", &Value::Null).ok();
    other.call("add_feature_consumption", &json!({ "feature": "COUNT", "consumptions": 4 })).ok();
    // Another wish finds out that nobody knows, and tells it by the event alone.
    add(&client, &count(1));
    assert_eq!(client.wait_for("CONSUMPTIONS_SYNCED")["unknown"][0]["idempotency_key"], "order-1");
    middle.asked();

    let error = client.call("add_feature_consumption", &named).failed("CONNECTION_LOST", "unknown");
    let message = error["message"].as_str().unwrap();
    assert_eq!(message.matches("The connection ended").count(), 1, "{message}");
    assert!(message.contains("The total was 0 before 3 were"), "{message}");
    assert_eq!((middle.asked(), desk.total_of("COUNT")), (Vec::new(), 8));
    assert_eq!(sync(&client)["unknown"], json!([]), "told once");
}
