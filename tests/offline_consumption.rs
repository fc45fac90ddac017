//! Consumptions while the server can't be reached: kept, booked later, once and in order, or told.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use chrono::Utc;
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use support::abi::Client;
use support::folder::Folder;
use support::holder::until;
use support::sandbox::World;
use support::stub::{Message, between};
use support::{Demo, with};

/// The file of what waits.
fn ledger_of(folder: &Folder) -> PathBuf {
    let files = folder.files("consumption");
    assert_eq!(files.len(), 1, "{files:?}");
    files.into_iter().next().unwrap()
}

/// A license with all that can be consumed, and one that floats and counts itself.
fn world(demo: &Demo) -> World {
    world_with(demo, json!({}))
}

/// The same in a world with more options.
fn world_with(demo: &Demo, options: Value) -> World {
    let unlimited = json!({ "allow_unlimited_consumptions": true });
    let both_ways = with(&unlimited, json!({ "allow_negative_consumptions": true }));
    let feature = |code: &str, consumption: Value| json!({ "code": code, "consumption": consumption });
    let catalogue = json!({
        "product": [{ "code": "P" }],
        "license": [{
            "product": "P", "license_key": "FEATURES", "allow_unlimited_activations": true,
            "floating": { "users": 2 },
            "feature": [
                feature("COUNT", unlimited.clone()),
                feature("BOTH_WAYS", both_ways),
                feature("TEN", json!({ "max_consumptions": 10 })),
                feature("DAILY", json!({ "max_consumptions": 1000, "consumption_period": "daily" })),
            ],
        }, {
            "product": "P", "license_key": "COUNTS", "license_type": "consumption",
            "allow_unlimited_activations": true, "floating": { "users": 1 }, "consumption": unlimited,
        }],
    });
    World::new(demo, &with(&json!({ "catalogue": catalogue }), options))
}

/// Longer than a request of these clients may live after it was sent. Until then no total settles what became of it.
const LIFE_MS: u32 = 31_000;
const DAY_MS: u32 = 24 * 60 * 60 * 1000;

/// A license on a device with a folder, and what of it is asked.
struct Desk<'a> {
    world: &'a World,
    config: Value,
}

impl<'a> Desk<'a> {
    fn new(world: &'a World, license_key: &str, folder: &Folder) -> Desk<'a> {
        let changes = json!({ "license_key": license_key, "storage_dir": folder.path(), "connect_timeout_ms": 1000 });
        let desk = Desk { world, config: with(&world.config("laptop"), changes) };
        desk.start().call("activate_license", &Value::Null).ok();
        desk
    }

    /// The next start of the program.
    fn start(&self) -> Client {
        Client::open(&self.config).unwrap()
    }

    /// The same by way of another server.
    fn by_way_of(&self, address: &str) -> Desk<'a> {
        let url = json!({ "base_url": format!("http://{address}/api/v4") });
        Desk { world: self.world, config: with(&self.config, url) }
    }

    fn outage(&self) {
        self.world.control("POST /faults/profile", &json!({ "profile": "outage" }));
    }

    fn end_of_outage(&self) {
        self.world.control("DELETE /faults", &Value::Null);
    }

    fn total_of(&self, feature: &str) -> i64 {
        let reply = self.world.client("auditor");
        reply.call("activate_license", &Value::Null).ok();
        reply.call("check_feature", &json!({ "feature": feature })).ok()["total_consumptions"].as_i64().unwrap()
    }

    fn total_of_license(&self) -> i64 {
        let auditor = Client::open(&with(&self.config, json!({ "storage_dir": null }))).unwrap();
        let total = auditor.call("check_license", &Value::Null).ok()["total_consumptions"].as_i64().unwrap();
        auditor.call("release_license", &Value::Null).ok();
        total
    }
}

/// What is lost on the way of one request for consumptions.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Lost {
    Nothing,
    Request,
    Reply,
}

/// A man in the middle, who can be the vendor's cloud: then nobody behind him knows what a key is.
#[derive(Clone)]
struct Middle {
    knows_keys: bool,
    /// What is lost of the next requests; nothing of those after.
    losses: Arc<Mutex<Vec<Lost>>>,
    /// Whether nothing at all comes through any more after the next loss, and whether it is so already.
    breaks: Arc<Mutex<(bool, bool)>>,
    /// Bodies of requests for consumptions, as they came.
    asked: Arc<Mutex<Vec<Value>>>,
    /// Paths of all requests.
    paths: Arc<Mutex<Vec<String>>>,
}

impl Middle {
    fn new(knows_keys: bool) -> Middle {
        Middle {
            knows_keys,
            losses: Arc::default(),
            breaks: Arc::default(),
            asked: Arc::default(),
            paths: Arc::default(),
        }
    }

    /// Where he stands before the server of `demo`.
    fn before(&self, demo: &Demo) -> String {
        let (there, back) = (self.clone(), self.clone());
        // What the reply's direction must know of the request's; one connection does one thing at a time.
        let loses = Arc::new(Mutex::new(Lost::Nothing));
        let loses_back = Arc::clone(&loses);
        between(
            demo.address(),
            move |request| {
                let loss = there.loss_of(&request);
                *loses.lock().unwrap() = loss;
                let request = if there.knows_keys { request } else { request.without_header("idempotency-key") };
                if loss != Lost::Request {
                    return request;
                }
                Message { head: "GET / HTTP/1.1\r\nHost: nowhere".to_owned(), body: Vec::new() }
            },
            move |reply| {
                let kept = *loses_back.lock().unwrap() == Lost::Nothing;
                let reply = if back.knows_keys { reply } else { reply.without_header("idempotency-key") };
                if kept { reply.bytes() } else { Vec::new() }
            },
        )
    }

    fn loss_of(&self, request: &Message) -> Lost {
        let path = request.head.split([' ', '?']).nth(1).unwrap().to_owned();
        let books = path.contains("consumption");
        self.paths.lock().unwrap().push(path);
        let mut breaks = self.breaks.lock().unwrap();
        if breaks.1 || !books {
            return if breaks.1 { Lost::Request } else { Lost::Nothing };
        }
        self.asked.lock().unwrap().push(serde_json::from_slice(&request.body).unwrap());
        let mut losses = self.losses.lock().unwrap();
        if losses.is_empty() {
            return Lost::Nothing;
        }
        breaks.1 = breaks.0;
        losses.remove(0)
    }

    /// What is lost of the next requests for consumptions.
    fn lose(&self, losses: &[Lost]) {
        self.losses.lock().unwrap().extend(losses);
    }

    /// The requests for consumptions since the last time: amount and event.
    fn asked(&self) -> Vec<(i64, Option<String>)> {
        let asked = std::mem::take(&mut *self.asked.lock().unwrap());
        let event = |body: &Value| body["event"][0].as_str().map(str::to_owned);
        let asked = asked.iter().map(|body| (body["consumptions"].as_i64().unwrap(), event(body)));
        // A consumption of nothing merely finds out whether the server books a key once.
        asked.filter(|(amount, _)| *amount != 0).collect()
    }

    /// How often something else was asked since the last time.
    fn questions(&self) -> usize {
        let paths = std::mem::take(&mut *self.paths.lock().unwrap());
        paths.iter().filter(|path| path.contains("check_")).count()
    }
}

fn count(amount: i64) -> Value {
    json!({ "feature": "COUNT", "consumptions": amount, "offline": "queue" })
}

fn add(client: &Client, request: &Value) -> Value {
    client.call("add_feature_consumption", request).ok()
}

fn sync(client: &Client) -> Value {
    client.call("sync_consumptions", &Value::Null).ok()
}

/// The same when no request that was sent before can be carried out any more.
fn sync_later(client: &Client) -> Value {
    client.advance(LIFE_MS);
    sync(client)
}

/// Asserts that a call was told that its consumptions wait, because the server may still book them.
fn assert_may_still_be_booked(reply: &Value) {
    assert_eq!(reply["queued"], true, "{reply}");
    assert_eq!(reply["name"], "CONNECTION_LOST", "{reply}");
    assert!(reply["reason"].as_str().unwrap().contains("may still book"), "{reply}");
}

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
    desk.end_of_outage();
    middle.asked();
    middle.questions();
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
        waited += usize::from(reply.get("queued").is_some());
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

/// Holds requests for consumptions back on their way, while it is closed.
#[derive(Clone, Default)]
struct Barrier {
    way: Arc<Mutex<()>>,
    arrived: Arc<AtomicUsize>,
}

impl Barrier {
    /// Where it stands before the server of `demo`.
    fn before(&self, demo: &Demo) -> String {
        let barrier = self.clone();
        let hold = move |request: Message| {
            if request.head.contains("consumption") {
                barrier.arrived.fetch_add(1, Ordering::AcqRel);
                drop(barrier.way.lock().unwrap());
            }
            request
        };
        between(demo.address(), hold, |reply| reply.bytes())
    }

    /// Closes it until what is returned is dropped.
    fn close(&self) -> MutexGuard<'_, ()> {
        self.arrived.store(0, Ordering::Release);
        self.way.lock().unwrap()
    }

    fn wait_for_a_request(&self) {
        until("a request arrives", || self.arrived.load(Ordering::Acquire) > 0);
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

/// Whether the three of this request were booked, this client does not get to know.
fn in_doubt(client: &Client, middle: &Middle, request: &Value, loss: Lost) {
    middle.lose(&[loss]);
    *middle.breaks.lock().unwrap() = (true, false);
    let reply = add(client, request);
    assert_eq!(reply.get("queued"), Some(&json!(true)), "{reply}");
    assert_eq!(middle.asked(), [(3, None)]);
    *middle.breaks.lock().unwrap() = (false, false);
}

#[test]
fn request_with_longer_timeout_is_awaited_longer() {
    let demo = Demo::start();
    let (world, folder, middle) = (world(&demo), Folder::new("longer"), Middle::new(false));
    let desk = Desk::new(&world, "FEATURES", &folder);
    let client = desk.by_way_of(&middle.before(&demo)).start();
    in_doubt(&client, &middle, &with(&count(3), json!({ "timeout_ms": 90_000 })), Lost::Request);
    client.advance(2 * LIFE_MS);
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
    assert_eq!((sync(&client)["booked"].clone(), desk.total_of("COUNT")), (json!(2), 11));
}

/// Refuses consumptions, and answers what is asked of them.
fn add_refusal(world: &World) {
    let refusal = json!({ "before": { "code": "license_not_enabled" } });
    world.control(
        "PUT /faults",
        &json!({ "faults": [{ "match": { "operation": "add_feature_consumption" }, "do": refusal }] }),
    );
}

#[test]
fn what_was_surely_not_sent_is_in_no_doubt() {
    let demo = Demo::start();
    let (world, folder) = (world(&demo), Folder::new("not-sent"));
    let desk = Desk::new(&world, "FEATURES", &folder);
    let client = desk.start();
    add(&client, &count(1));
    let listener = |open: bool| {
        let url = demo.text("control_url");
        support::sandbox::call(&format!("{url}/listener"), "POST", &json!({ "open": open }));
    };
    listener(false);
    // A kept connection that was closed says nothing of what was sent on it.
    let client = desk.start();
    assert_eq!(add(&client, &count(2))["name"], "CONNECT");
    listener(true);
    add_refusal(&world);
    let report = sync(&client);
    assert_eq!((report["refused"].as_array().unwrap().len(), &report["unknown"]), (1, &json!([])), "{report}");
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

/// The server has forgotten the key by then, and would book it again.
#[test]
fn doubt_of_a_week_ago_is_not_asked_for_again() {
    let demo = Demo::start();
    let (world, folder, middle) = (world(&demo), Folder::new("week"), Middle::new(true));
    let desk = Desk::new(&world, "FEATURES", &folder);
    let by_way = desk.by_way_of(&middle.before(&demo));
    add(&by_way.start(), &count(2));
    middle.asked();
    in_doubt(&by_way.start(), &middle, &count(3), Lost::Reply);
    world.control("POST /clock/advance", &json!({ "by": "8d" }));
    let client = by_way.start();
    client.advance(8 * DAY_MS);
    let report = sync(&client);
    assert_eq!((&report["booked"], &report["unknown"][0]["consumptions"]), (&json!(0), &json!(3)), "{report}");
    assert_eq!((middle.asked(), desk.total_of("COUNT")), (vec![], 5));
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
    let report = sync_later(&client);
    assert_eq!(report["booked"], 1, "{report}");
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

    // Who keeps his leases alive himself is asked before anything is sent.
    desk.outage();
    add(&client, &count(4));
    desk.end_of_outage();
    let (lease, _) = client.acquire(&json!({ "keep_alive": "host" }));
    lease.renew().ok();
    assert_eq!(desk.total_of("COUNT"), 5);
    let ticket = client.submit("sync_consumptions", &Value::Null).unwrap();
    let event = client.wait_for("COMPLETED");
    assert_eq!((&event["ticket"], &event["reply"]["booked"]), (&json!(ticket), &json!(1)), "{event}");
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
    let closed = barrier.close();
    std::thread::scope(|scope| {
        let syncing = scope.spawn(|| sync(&colleague));
        barrier.wait_for_a_request();
        let reply = add(&client, &with(&count(2), json!({ "timeout_ms": 100 })));
        assert_eq!((&reply["queued"], &reply["name"]), (&json!(true), &json!("TIMEOUT")), "{reply}");
        assert!(reply["reason"].as_str().unwrap().contains("is booking what waits"), "{reply}");
        drop(closed);
        assert_eq!(syncing.join().unwrap()["booked"], 2);
    });
    assert_eq!(desk.total_of("COUNT"), 12);
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
        add(&client, &count(amount));
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
        let answer = client.call("add_feature_consumption", &with(&count(1), json!({ "idempotency_key": key })));
        answer.ok();
        println!("did {key}");
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
    // The server shows that it honours keys. Else the loss of its very first reply would stop the queue for half a minute.
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
