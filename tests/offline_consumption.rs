//! Consumptions while the server can't be reached: kept, booked later, once and in order, or told.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;
use support::abi::Client;
use support::consumption::{
    Barrier, DAY_MS, Desk, Lost, Middle, add, add_refusal, assert_all_booked, assert_may_still_be_booked, count,
    ledger_of, reach, sync, sync_later, world,
};
use support::folder::Folder;
use support::{Demo, with};

#[test]
fn what_waits_outlives_the_program_and_is_booked_in_order() {
    let demo = Demo::start();
    let (world, folder) = (world(&demo), Folder::new("order"));
    let desk = Desk::new(&world, "FEATURES", &folder);
    desk.outage();
    let client = desk.start();
    for (number, amount) in [(1, 3), (2, 5), (3, 1)] {
        let reply = add(&client, &with(&count(amount), json!({ "idempotency_key": format!("wish-{number}") })));
        assert_eq!((&reply["queued"], &reply["queued_consumptions"]), (&json!(true), &json!(number)), "{reply}");
        assert_eq!(
            (&reply["name"], &reply["idempotency_key"]),
            (&json!("CONNECTION_LOST"), &json!(format!("wish-{number}"))),
            "{reply}"
        );
        assert!(reply["reason"].is_string(), "{reply}");
    }
    let offline = sync(&client);
    assert_eq!(
        (&offline["booked"], &offline["waiting"], &offline["name"]),
        (&json!(0), &json!(3), &json!("CONNECTION_LOST"))
    );
    client.close();

    desk.end_of_outage();
    assert_eq!(desk.total_of("COUNT"), 0);
    let middle = Middle::new(true);
    let client = desk.by_way_of(&middle.before(&demo)).start();
    let report = sync(&client);
    let expected = json!({ "event": "CONSUMPTIONS_SYNCED", "booked": 3, "refused": [], "unknown": [], "waiting": 0, "status": 0, "name": "OK", "reason": null });
    assert_eq!(report, expected);
    assert_eq!(desk.total_of("COUNT"), 9);
    let later = Some("offline_floating_consumptions_sync".to_owned());
    assert_eq!(middle.asked(), [(3, later.clone()), (5, later.clone()), (1, later)]);
    assert_eq!(middle.questions(), 1, "the total, until the server has shown that it honours keys");
    assert_eq!(with(&sync(&client), json!({ "booked": 3 })), expected, "nothing is left");
    assert_eq!(middle.asked(), []);
    assert_eq!(desk.total_of("COUNT"), 9);
}

#[test]
fn with_a_network_it_is_booked_at_once_behind_what_waits() {
    let demo = Demo::start();
    let (world, folder, middle) = (world(&demo), Folder::new("at-once"), Middle::new(true));
    let desk = Desk::new(&world, "FEATURES", &folder);
    let by_way = desk.by_way_of(&middle.before(&demo));
    let client = by_way.start();
    let reply = add(&client, &count(3));
    assert_eq!((&reply["total_consumptions"], reply.get("queued")), (&json!(3), None), "{reply}");
    assert_eq!(middle.asked(), [(3, None)]);
    desk.outage();
    for (waiting, amount) in [4, 5].into_iter().enumerate() {
        assert_eq!(add(&client, &count(amount))["queued_consumptions"], waiting + 1);
    }
    middle.asked();
    middle.questions();
    desk.end_of_outage();
    reach(&client);
    let own_event = json!({ "event": ["consumption_add"] });
    assert_eq!(add(&client, &with(&count(6), own_event))["total_consumptions"], 18);
    let later = Some("offline_floating_consumptions_sync".to_owned());
    assert_eq!(middle.asked(), [(4, later.clone()), (5, later), (6, Some("consumption_add".to_owned()))]);
    assert_eq!(client.wait_for("CONSUMPTIONS_SYNCED")["booked"], 2, "those besides one's own");
    assert_eq!((middle.questions(), client.events()), (0, Vec::new()));

    // The next start knows the server, and one elsewhere is asked anew.
    let next = by_way.start();
    assert_eq!(add(&next, &count(1))["total_consumptions"], 19);
    assert_eq!(middle.questions(), 0);
    let elsewhere = desk.by_way_of(&middle.before(&demo)).start();
    assert_eq!(add(&elsewhere, &count(1))["total_consumptions"], 20);
    assert_eq!(middle.questions(), 1);

    // A refusal shows as much as a yes.
    let another = Folder::new("at-once-too");
    let client = Desk::new(&world, "FEATURES", &another).by_way_of(&middle.before(&demo)).start();
    middle.questions();
    let eleven = json!({ "feature": "TEN", "consumptions": 11, "offline": "queue" });
    client.call("add_feature_consumption", &eleven).refused("FEATURE_NOT_ENOUGH_CONSUMPTIONS");
    assert_eq!(middle.questions(), 1);
    assert_eq!(add(&client, &count(0))["total_consumptions"], 20);
    assert_eq!(middle.questions(), 0);

    // And without the key it is what it ever was.
    let plain = json!({ "feature": "COUNT", "consumptions": 2 });
    assert_eq!(add(&next, &plain)["total_consumptions"], 22);
    desk.outage();
    next.call("add_feature_consumption", &plain).failed("CONNECTION_LOST", "unknown");
    assert_eq!(sync(&next)["waiting"], 0);
}

#[test]
fn what_is_refused_is_told_and_holds_nothing_up() {
    let demo = Demo::start();
    let (world, folder) = (world(&demo), Folder::new("refused"));
    let desk = Desk::new(&world, "FEATURES", &folder);
    desk.outage();
    let client = desk.start();
    let ten = |amount: i64| json!({ "feature": "TEN", "consumptions": amount, "offline": "queue" });
    add(&client, &ten(8));
    add(&client, &with(&ten(7), json!({ "idempotency_key": "too-many" })));
    add(&client, &json!({ "feature": "NO-SUCH", "offline": "queue" }));
    add(&client, &count(4));
    add(&client, &ten(2));
    desk.end_of_outage();
    reach(&client);

    // Nobody has heard of what was booked beside one's own but by the event.
    client.call("add_feature_consumption", &ten(1)).failed("FEATURE_NOT_ENOUGH_CONSUMPTIONS", "rejected");
    let event = client.wait_for("CONSUMPTIONS_SYNCED");
    assert_eq!((&event["booked"], event["refused"].as_array().unwrap().len()), (&json!(3), 2), "{event}");
    assert_eq!((desk.total_of("TEN"), desk.total_of("COUNT")), (10, 4));
    client.close();

    let client = desk.start();
    let report = sync(&client);
    assert_eq!((&report["booked"], &report["waiting"], &report["refused"]), (&json!(0), &json!(0), &event["refused"]));
    let told = &report["refused"][0];
    for (member, expected) in [
        ("operation", json!("add_feature_consumption")),
        ("feature", json!("TEN")),
        ("consumptions", json!(7)),
        ("idempotency_key", json!("too-many")),
        ("name", json!("FEATURE_NOT_ENOUGH_CONSUMPTIONS")),
        ("status", json!(151)),
        ("server_code", json!("feature_not_enough_consumptions")),
    ] {
        assert_eq!(told[member], expected, "{member} of {told}");
    }
    assert!(told["at"].as_str().unwrap().ends_with('Z') && told["reason"].is_string(), "{told}");
    assert_eq!(
        (&report["refused"][1]["name"], &report["refused"][1]["consumptions"]),
        (&json!("UNSUPPORTED_PRODUCT_FEATURE"), &json!(1))
    );
    assert_eq!(sync(&client)["refused"], json!([]), "told once");
}

#[test]
fn a_refusal_that_may_be_mended_keeps_what_waits() {
    let demo = Demo::start();
    let (world, folder) = (world(&demo), Folder::new("mended"));
    let desk = Desk::new(&world, "FEATURES", &folder);
    let client = desk.start();
    // The host that waits hears of it, and what was surely not booked is his again.
    world.only_fault(&json!({ "before": { "code": "invalid_api_key" } }));
    let answer = client.call("add_feature_consumption", &count(5));
    assert_eq!(answer.refused("INVALID_API_KEY")["outcome"], "rejected");
    assert_eq!(sync(&client)["waiting"], 0);
    desk.end_of_outage();
    desk.outage();
    add(&client, &count(5));
    world.only_fault(&json!({ "before": { "code": "invalid_api_key" } }));
    let report = sync(&client);
    assert_eq!(
        (&report["waiting"], &report["name"], &report["refused"]),
        (&json!(1), &json!("INVALID_API_KEY"), &json!([]))
    );
    world.only_fault(&json!({ "before": { "http": { "status": 429, "retry_after_s": 100 } } }));
    assert_eq!(add(&client, &count(6))["name"], "RATE_LIMITED");
    desk.end_of_outage();
    assert_all_booked(&sync(&client));
    assert_eq!(desk.total_of("COUNT"), 11);
}

#[test]
fn what_was_surely_not_sent_is_in_no_doubt() {
    let demo = Demo::start();
    let (world, folder) = (world(&demo), Folder::new("not-sent"));
    let desk = Desk::new(&world, "FEATURES", &folder);
    let client = desk.start();
    add(&client, &count(1));
    demo.listen(false);
    // A kept connection that was closed says nothing of what was sent on it.
    let client = desk.start();
    assert_eq!(add(&client, &count(2))["name"], "CONNECT");
    client.close();
    demo.listen(true);
    add_refusal(&world);
    let report = sync(&desk.start());
    assert_eq!((report["refused"].as_array().unwrap().len(), &report["unknown"]), (1, &json!([])), "{report}");
}

#[test]
fn a_license_that_floats_is_asked_for_its_total_and_left_as_it_was() {
    let demo = Demo::start();
    let (world, folder, middle) = (world(&demo), Folder::new("floats"), Middle::new(false));
    let desk = Desk::new(&world, "COUNTS", &folder);
    let by_way = desk.by_way_of(&middle.before(&demo));
    let client = by_way.start();
    let three = json!({ "consumptions": 3, "offline": "queue", "allow_overages": true, "max_overages": 7 });
    middle.lose(&[Lost::Request]);
    assert_may_still_be_booked(&client.call("add_consumption", &three).ok());
    assert_eq!(sync_later(&client)["booked"], 1);
    assert_eq!(middle.asked().len(), 2);
    assert_eq!(world.slots_of("laptop"), []);
    assert_eq!(desk.total_of_license(), 3);

    // A lease that its host keeps alive: after another the library books what waits in the background.
    let (lease, _) = client.acquire(&json!({ "keep_alive": "host" }));
    middle.lose(&[Lost::Request]);
    assert_may_still_be_booked(&client.call("add_consumption", &three).ok());
    assert_all_booked(&sync_later(&client));
    assert_eq!(world.slots_of("laptop"), [(Value::Null, false)]);
    assert_eq!(desk.total_of_license(), 6);
    lease.release().ok();

    // Somebody else has the only slot: the total can't be had, and is not waited for.
    let desk = Desk::new(&world, "COUNTS", &Folder::new("floats-too"));
    let other = Client::open(&with(&desk.config, json!({ "hardware_id": "other", "storage_dir": null }))).unwrap();
    other.call("activate_license", &Value::Null).ok();
    while other.call("check_license", &Value::Null).status != "OK" {
        std::thread::yield_now();
    }
    assert_eq!(client.call("add_consumption", &three).ok()["total_consumptions"], 9);
}

#[test]
fn a_lease_that_is_renewed_books_what_waits() {
    let demo = Demo::start();
    let (world, folder) = (world(&demo), Folder::new("renewed"));
    let desk = Desk::new(&world, "FEATURES", &folder);
    let client = desk.start();
    desk.outage();
    add(&client, &count(2));
    desk.end_of_outage();
    let (lease, _) = client.acquire(&Value::Null);
    let event = client.wait_for("CONSUMPTIONS_SYNCED");
    assert_eq!((&event["booked"], &event["waiting"], &event["name"]), (&json!(1), &json!(0), &json!("OK")), "{event}");
    desk.outage();
    add(&client, &count(3));
    desk.end_of_outage();
    client.advance(80 * 60 * 1000);
    let event = client.wait_for("CONSUMPTIONS_SYNCED");
    assert_eq!((&event["booked"], desk.total_of("COUNT")), (&json!(1), 5), "{event}");
    drop(lease);

    // A lease that its host keeps alive, and no lease, have nothing to do with it.
    desk.outage();
    add(&client, &count(4));
    desk.end_of_outage();
    let event = client.wait_for("CONSUMPTIONS_SYNCED");
    assert_eq!((&event["booked"], desk.total_of("COUNT")), (&json!(1), 9), "{event}");
    let ticket = client.submit("sync_consumptions", &Value::Null).unwrap();
    let event = client.wait_for("COMPLETED");
    assert_eq!((&event["ticket"], &event["reply"]["booked"]), (&json!(ticket), &json!(0)), "{event}");
    let ticket = client.submit("add_feature_consumption", &count(1)).unwrap();
    let event = client.wait_for("COMPLETED");
    assert_eq!((&event["ticket"], &event["reply"]["total_consumptions"]), (&json!(ticket), &json!(10)), "{event}");
}

#[test]
fn the_same_name_is_the_same_wish() {
    let demo = Demo::start();
    let (world, folder) = (world(&demo), Folder::new("same"));
    let desk = Desk::new(&world, "FEATURES", &folder);
    desk.outage();
    let client = desk.start();
    let named = with(&count(2), json!({ "idempotency_key": "order-1" }));
    for _ in 0..3 {
        assert_eq!(add(&client, &named)["queued_consumptions"], 1);
    }
    let error =
        client.call("add_feature_consumption", &with(&named, json!({ "consumptions": 3 }))).refused("BAD_VALUE");
    assert!(error["message"].as_str().unwrap().contains("\"idempotency_key\""), "{error}");
    assert_eq!(error["outcome"], "not_sent");
    desk.end_of_outage();
    reach(&client);
    assert_eq!(add(&client, &named)["total_consumptions"], 2);
    assert_eq!(add(&client, &named)["total_consumptions"], 2, "the server knows it too");
}

#[test]
fn a_host_is_told_what_became_of_his_wish_whoever_else_is_booking() {
    let demo = Demo::start();
    let (world, folder) = (world(&demo), Folder::new("together"));
    let desk = Desk::new(&world, "FEATURES", &folder);
    let barrier = Barrier::default();
    let (client, colleague) = (desk.start(), desk.by_way_of(&barrier.before(&demo)).start());
    desk.outage();
    add(&client, &count(4));
    desk.end_of_outage();
    reach(&client);
    let too_many = json!({ "feature": "TEN", "consumptions": 11, "offline": "queue" });
    let closed = barrier.close();
    std::thread::scope(|scope| {
        let syncing = scope.spawn(|| sync(&colleague));
        barrier.wait_for_a_request();
        let refused = scope.spawn(|| client.call("add_feature_consumption", &too_many));
        let booked = scope.spawn(|| add(&client, &count(5)));
        std::thread::sleep(Duration::from_millis(200));
        drop(closed);
        refused.join().unwrap().failed("FEATURE_NOT_ENOUGH_CONSUMPTIONS", "rejected");
        assert_eq!(booked.join().unwrap()["total_consumptions"], 9);
        let report = syncing.join().unwrap();
        assert_eq!((&report["booked"], &report["refused"]), (&json!(1), &json!([])), "{report}");
    });
    assert_eq!((desk.total_of("COUNT"), client.events()), (9, Vec::new()));

    // Who can't get his turn in time leaves his wish to those who have it.
    desk.outage();
    add(&client, &count(1));
    desk.end_of_outage();
    reach(&client);
    let closed = barrier.close();
    std::thread::scope(|scope| {
        let syncing = scope.spawn(|| sync(&colleague));
        barrier.wait_for_a_request();
        let reply = add(&client, &with(&count(2), json!({ "timeout_ms": 100 })));
        assert_eq!((&reply["queued"], &reply["name"]), (&json!(true), &json!("TIMEOUT")), "{reply}");
        assert!(reply["reason"].as_str().unwrap().contains("is sending queued consumptions"), "{reply}");
        drop(closed);
        assert_eq!(syncing.join().unwrap()["booked"], 2);
    });
    assert_eq!(desk.total_of("COUNT"), 12);
}

/// The license is refused more than it has while the disk fails. Later it could have as much.
#[test]
fn refused_consumption_is_not_booked_after_disk_error() {
    let demo = Demo::start();
    let (world, folder) = (world(&demo), Folder::new("disk-error"));
    let desk = Desk::new(&world, "FEATURES", &folder);
    let barrier = Barrier::default();
    let client = desk.by_way_of(&barrier.before(&demo)).start();
    add(&client, &count(1));
    let file = ledger_of(&folder);
    let aside = file.with_extension("aside");
    add_refusal(&world);
    let closed = barrier.close();
    std::thread::scope(|scope| {
        let refused = scope.spawn(|| client.call("add_feature_consumption", &count(5)));
        barrier.wait_for_a_request();
        // The file is a folder for a moment, so it can be neither read nor written.
        fs::rename(&file, &aside).unwrap();
        fs::create_dir(&file).unwrap();
        drop(closed);
        refused.join().unwrap().failed("LICENSE_NOT_ENABLED", "rejected");
    });
    fs::remove_dir(&file).unwrap();
    fs::rename(&aside, &file).unwrap();
    desk.end_of_outage();
    assert_all_booked(&sync(&client));
    assert_eq!(desk.total_of("COUNT"), 1);
}

#[test]
fn consumption_that_was_never_sent_stays_certain() {
    let demo = Demo::start();
    let (world, folder) = (world(&demo), Folder::new("never-sent"));
    let desk = Desk::new(&world, "FEATURES", &folder);
    let client = Client::open(&with(&desk.config, json!({ "threads": "host" }))).unwrap();
    add(&client, &count(1));
    let lock = folder.files("lock").into_iter().find(|path| path.to_str().unwrap().ends_with("sync.lock")).unwrap();
    let lock = fs::File::options().write(true).open(lock).unwrap();
    lock.lock().unwrap();
    let reply = add(&client, &with(&count(2), json!({ "timeout_ms": 300 })));
    assert_eq!((&reply["queued"], &reply["name"]), (&json!(true), &json!("TIMEOUT")), "{reply}");
    lock.unlock().unwrap();
    client.advance(7 * DAY_MS);
    let report = sync(&client);
    assert_all_booked(&report);
    assert_eq!(report["booked"], 1, "{report}");
}

#[test]
fn second_call_with_same_key_is_told_that_it_is_queued() {
    let demo = Demo::start();
    let (world, folder) = (world(&demo), Folder::new("same-key"));
    let desk = Desk::new(&world, "FEATURES", &folder);
    let barrier = Barrier::default();
    let client = desk.by_way_of(&barrier.before(&demo)).start();
    add(&client, &count(1));
    let closed = barrier.close();
    let named = with(&count(2), json!({ "idempotency_key": "order-1" }));
    std::thread::scope(|scope| {
        let first = scope.spawn(|| add(&client, &named));
        barrier.wait_for_a_request();
        let hurried = json!({ "timeout_ms": 100 });
        let second = add(&client, &with(&named, hurried.clone()));
        assert_eq!((&second["queued"], &second["name"]), (&json!(true), &json!("TIMEOUT")), "{second}");
        let other = with(&with(&named, hurried), json!({ "consumptions": 3 }));
        client.call("add_feature_consumption", &other).refused("BAD_VALUE");
        drop(closed);
        assert_eq!(first.join().unwrap()["total_consumptions"], 3);
    });
}

#[test]
fn mistakes_are_told_before_anything_is_kept() {
    let demo = Demo::start();
    let (world, folder) = (world(&demo), Folder::new("mistakes"));
    let desk = Desk::new(&world, "FEATURES", &folder);
    let client = desk.start();
    let homeless = world.client("laptop");
    for (client, operation, request, status, word) in [
        (&homeless, "add_feature_consumption", count(1), "MISSING_KEY", "\"storage_dir\""),
        (&homeless, "sync_consumptions", Value::Null, "MISSING_KEY", "\"storage_dir\""),
        (
            &client,
            "add_feature_consumption",
            with(&count(1), json!({ "offline": "later" })),
            "BAD_VALUE",
            "\"offline\"",
        ),
        (&client, "add_feature_consumption", with(&count(1), json!({ "offline": 1 })), "WRONG_TYPE", "\"offline\""),
        (
            &client,
            "add_feature_consumption",
            json!({ "ofline": "queue", "feature": "COUNT" }),
            "UNKNOWN_KEY",
            "\"offline\"",
        ),
        (&client, "add_feature_consumption", json!({ "offline": "queue" }), "MISSING_KEY", "\"feature\""),
        (
            &client,
            "add_feature_consumption",
            with(&count(1), json!({ "consumptions": "1" })),
            "WRONG_TYPE",
            "\"consumptions\"",
        ),
        (&client, "check_license", json!({ "offline": "queue" }), "UNKNOWN_KEY", "\"offline\""),
        (&client, "sync_consumptions", json!({ "feature": "COUNT" }), "UNKNOWN_KEY", "\"feature\""),
        (&client, "sync_consumptions", json!({ "timeout_ms": 0 }), "BAD_VALUE", "\"timeout_ms\""),
    ] {
        let error = client.call(operation, &request).refused(status);
        assert!(error["message"].as_str().unwrap().contains(word), "{operation} {request}: {error}");
    }
    assert_eq!(sync(&client)["waiting"], 0);
}

/// Puts `bytes` into the file and asks the next start for what waits; the file must stay as it is.
fn waiting_in(desk: &Desk, file: &Path, bytes: &[u8]) -> Result<u64, String> {
    fs::write(file, bytes).unwrap();
    let answer = desk.start().call("sync_consumptions", &Value::Null);
    if answer.status == "OK" {
        return Ok(answer.json["waiting"].as_u64().unwrap());
    }
    assert!(fs::read(file).unwrap() == bytes, "it is not touched");
    let message = answer.json["message"].as_str().unwrap();
    assert!(message.contains(file.file_name().unwrap().to_str().unwrap()), "{message}");
    Err(answer.status)
}

#[test]
fn a_file_that_was_cut_or_altered_is_never_believed_beyond_what_was_written() {
    let demo = Demo::start();
    let (world, folder) = (world(&demo), Folder::new("damaged"));
    let desk = Desk::new(&world, "FEATURES", &folder);
    // Nobody answers there, so nothing is noted while the file is looked at.
    let nowhere =
        Desk { world: &world, config: with(&desk.by_way_of("127.0.0.1:1").config, json!({ "timeout_ms": 1 })) };
    let client = nowhere.start();
    let mut lengths = Vec::new();
    for amount in [3, 5] {
        add(&client, &with(&count(amount), json!({ "timeout_ms": 10_000 })));
        lengths.push(fs::metadata(ledger_of(&folder)).unwrap().len() as usize);
    }
    client.close();
    let (file, whole) = (ledger_of(&folder), fs::read(ledger_of(&folder)).unwrap());
    let seen = |bytes: &[u8]| waiting_in(&nowhere, &file, bytes);
    assert_eq!(seen(&whole), Ok(2));
    for length in (0..whole.len()).step_by(3) {
        match seen(&whole[..length]) {
            Ok(waiting) => {
                let finished = lengths.iter().filter(|end| **end <= length).count() as u64;
                assert!(waiting == finished || waiting == finished + 1 && length < lengths[1], "{waiting} at {length}");
            }
            Err(status) => assert_eq!((status.as_str(), length < 32), ("STORAGE_DAMAGED", true), "at {length}"),
        }
    }
    for place in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[place] ^= 1;
        let expected = match place {
            8..16 => Err("STORAGE_FOREIGN".to_owned()),
            // The last line alone may be unfinished.
            _ if place >= lengths[0] => Ok(1),
            _ => Err("STORAGE_DAMAGED".to_owned()),
        };
        assert_eq!(seen(&bytes), expected, "byte {place}");
    }
    // After a power cut: the length was written, and of the last line some.
    for place in lengths[0]..lengths[1] {
        let bytes = [&whole[..place], &vec![0; lengths[1] + 50 - place]].concat();
        assert_eq!(seen(&bytes), Ok(1), "zeros from {place}");
    }
    let mut bytes = whole.clone();
    bytes[lengths[0] - 1] ^= 1;
    fs::write(&file, &bytes).unwrap();
    let refused = desk.start().call("add_feature_consumption", &count(1));
    refused.failed("STORAGE_DAMAGED", "not_sent");
    assert_eq!(desk.total_of("COUNT"), 0, "nothing is replayed, and nothing is booked beside it");
    fs::write(&file, &whole).unwrap();
    assert_eq!((sync(&desk.start())["booked"].clone(), desk.total_of("COUNT")), (json!(2), 8));
}

/// What makes this program a child: its config.
const ROLE: &str = "FLOATLEASE_CONSUMPTION_CHILD";

/// Adds one after the other, each under a name of its own, and says so before and after, until it is killed.
#[test]
#[ignore = "a child of the tests below"]
#[allow(clippy::print_stdout, reason = "its parent reads it")]
fn a_process_that_consumes() {
    let Ok(config) = std::env::var(ROLE) else { return };
    let client = Client::open(&serde_json::from_str(&config).unwrap()).unwrap();
    for number in 0.. {
        let key = format!("{}-{number}", std::process::id());
        println!("begins {key}");
        let reply = add(&client, &with(&count(1), json!({ "idempotency_key": key })));
        println!("did {key}");
        if reply["queued"] == true {
            // While the server is away, nothing else keeps it from filling the queue.
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// A process of this machine, and the names of what it has begun and done.
struct Process {
    child: Child,
    out: BufReader<ChildStdout>,
    begun: Vec<String>,
    done: usize,
}

impl Process {
    fn start(config: &Value) -> Process {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "a_process_that_consumes", "--ignored", "--nocapture"])
            .env(ROLE, config.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        Process { child, out, begun: Vec::new(), done: 0 }
    }

    /// Hears what it says until it has done so many, or is no more.
    fn has_done(&mut self, count: usize) {
        let mut line = String::new();
        while self.done < count && self.out.read_line(&mut line).unwrap() > 0 {
            self.begun.extend(line.split_once("begins ").map(|(_, key)| key.trim().to_owned()));
            self.done += usize::from(line.contains("did "));
            line.clear();
        }
    }

    /// Kills it. What it was doing is done again under the same name, which makes it happen once. Returns how many it
    /// has begun.
    fn kill(mut self, next: &Client) -> i64 {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.has_done(usize::MAX);
        assert!(self.begun.len() - self.done <= 1);
        if let Some(key) = self.begun.last().filter(|_| self.begun.len() > self.done) {
            add(next, &with(&count(1), json!({ "idempotency_key": key })));
        }
        self.begun.len() as i64
    }
}

#[test]
fn processes_that_are_killed_at_any_moment_lose_nothing_and_book_nothing_twice() {
    let demo = Demo::start();
    let (world, folder) = (world(&demo), Folder::new("killed"));
    let desk = Desk::new(&world, "FEATURES", &folder);
    // The server shows that it honours keys, so that nothing of what is counted below asks for that.
    add(&desk.start(), &count(0));
    let lost = json!({
        "when": { "probability": 0.2 }, "match": { "hardware_id": "laptop" }, "do": { "after_commit": "reset" },
    });
    let mut expected = 0;
    for round in 0..12 {
        world.control("PUT /faults", &json!({ "faults": [lost] }));
        let mut processes: Vec<_> = (0..3).map(|_| Process::start(&desk.config)).collect();
        if round % 6 == 5 {
            desk.outage();
        }
        processes.iter_mut().for_each(|process| process.has_done(2));
        let next = desk.start();
        expected += processes.into_iter().map(|process| process.kill(&next)).sum::<i64>();
    }
    desk.end_of_outage();
    let report = sync(&desk.start());
    assert_eq!((&report["waiting"], &report["refused"], &report["unknown"]), (&json!(0), &json!([]), &json!([])));
    assert_eq!(desk.total_of("COUNT"), expected);
}

#[test]
fn processes_side_by_side_keep_one_list() {
    let demo = Demo::start();
    let (world, folder) = (world(&demo), Folder::new("side-by-side"));
    let desk = Desk::new(&world, "FEATURES", &folder);
    desk.outage();
    let mut processes: Vec<_> = (0..3).map(|_| Process::start(&desk.config)).collect();
    processes.iter_mut().for_each(|process| process.has_done(15));
    desk.end_of_outage();
    processes.iter_mut().for_each(|process| process.has_done(30));
    let next = desk.start();
    let expected = processes.into_iter().map(|process| process.kill(&next)).sum::<i64>();
    let report = sync(&desk.start());
    assert_eq!((&report["waiting"], &report["refused"], &report["unknown"]), (&json!(0), &json!([]), &json!([])));
    assert_eq!(desk.total_of("COUNT"), expected);
}
