//! Consumptions that wait, and what loses requests for them on the way.

use super::abi::Client;
use super::folder::Folder;
use super::holder::until;
use super::sandbox::World;
use super::stub::{Message, between};
use super::{Demo, with};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

/// The file of what waits.
pub fn ledger_of(folder: &Folder) -> PathBuf {
    let files = folder.files("consumption");
    assert_eq!(files.len(), 1, "{files:?}");
    files.into_iter().next().unwrap()
}

/// A license with all that can be consumed, and one that floats and counts itself.
pub fn world(demo: &Demo) -> World {
    world_with(demo, json!({}))
}

/// The same in a world with more options.
pub fn world_with(demo: &Demo, options: Value) -> World {
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

/// Longer than a request of these clients may live: its time limit of 15 s, in which it may be sent again, and 30 s after
/// that. Until then no total settles what became of it.
pub const LIFE_MS: u32 = 46_000;
pub const DAY_MS: u32 = 24 * 60 * 60 * 1000;

/// A license on a device with a folder, and what of it is asked.
pub struct Desk<'a> {
    pub world: &'a World,
    pub config: Value,
}

impl<'a> Desk<'a> {
    pub fn new(world: &'a World, license_key: &str, folder: &Folder) -> Desk<'a> {
        let changes = json!({ "license_key": license_key, "storage_dir": folder.path(), "connect_timeout_ms": 1000 });
        let desk = Desk { world, config: with(&world.config("laptop"), changes) };
        desk.start().call("activate_license", &Value::Null).ok();
        desk
    }

    /// The next start of the program.
    pub fn start(&self) -> Client {
        Client::open(&self.config).unwrap()
    }

    /// The same by way of another server.
    pub fn by_way_of(&self, address: &str) -> Desk<'a> {
        let url = json!({ "base_url": format!("http://{address}/api/v4") });
        Desk { world: self.world, config: with(&self.config, url) }
    }

    pub fn outage(&self) {
        self.world.control("POST /faults/profile", &json!({ "profile": "outage" }));
    }

    pub fn end_of_outage(&self) {
        self.world.control("DELETE /faults", &Value::Null);
    }

    pub fn total_of(&self, feature: &str) -> i64 {
        let reply = self.world.client("auditor");
        reply.call("activate_license", &Value::Null).ok();
        reply.call("check_feature", &json!({ "feature": feature })).ok()["total_consumptions"].as_i64().unwrap()
    }

    pub fn total_of_license(&self) -> i64 {
        let auditor = Client::open(&with(&self.config, json!({ "storage_dir": null }))).unwrap();
        let total = auditor.call("check_license", &Value::Null).ok()["total_consumptions"].as_i64().unwrap();
        auditor.call("release_license", &Value::Null).ok();
        total
    }
}

/// What is lost on the way of one request for consumptions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Lost {
    Nothing,
    Request,
    Reply,
}

/// A man in the middle, who can be the vendor's cloud: then nobody behind him knows what a key is.
#[derive(Clone)]
pub struct Middle {
    pub knows_keys: bool,
    /// What is lost of the next requests; nothing of those after.
    pub losses: Arc<Mutex<Vec<Lost>>>,
    /// Whether nothing at all comes through any more after the next loss, and whether it is so already.
    pub breaks: Arc<Mutex<(bool, bool)>>,
    /// Bodies of requests for consumptions, as they came.
    pub asked: Arc<Mutex<Vec<Value>>>,
    /// Paths of all requests.
    pub paths: Arc<Mutex<Vec<String>>>,
}

impl Middle {
    pub fn new(knows_keys: bool) -> Middle {
        Middle {
            knows_keys,
            losses: Arc::default(),
            breaks: Arc::default(),
            asked: Arc::default(),
            paths: Arc::default(),
        }
    }

    /// Where he stands before the server of `demo`.
    pub fn before(&self, demo: &Demo) -> String {
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

    pub fn loss_of(&self, request: &Message) -> Lost {
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
    pub fn lose(&self, losses: &[Lost]) {
        self.losses.lock().unwrap().extend(losses);
    }

    /// The requests for consumptions since the last time: amount and event.
    pub fn asked(&self) -> Vec<(i64, Option<String>)> {
        let asked = std::mem::take(&mut *self.asked.lock().unwrap());
        let event = |body: &Value| body["event"][0].as_str().map(str::to_owned);
        let asked = asked.iter().map(|body| (body["consumptions"].as_i64().unwrap(), event(body)));
        // A consumption of nothing merely finds out whether the server books a key once.
        asked.filter(|(amount, _)| *amount != 0).collect()
    }

    /// How often something else was asked since the last time.
    pub fn questions(&self) -> usize {
        let paths = std::mem::take(&mut *self.paths.lock().unwrap());
        paths.iter().filter(|path| path.contains("check_")).count()
    }
}

pub fn count(amount: i64) -> Value {
    json!({ "feature": "COUNT", "consumptions": amount, "offline": "queue" })
}

pub fn add(client: &Client, request: &Value) -> Value {
    client.call("add_feature_consumption", request).ok()
}

pub fn sync(client: &Client) -> Value {
    client.call("sync_consumptions", &Value::Null).ok()
}

/// Asserts that everything queued is booked, after this sync or by the library's thread before it.
pub fn assert_all_booked(report: &Value) {
    assert_eq!(report["waiting"], 0, "{report}");
    assert_eq!(report["refused"], json!([]), "{report}");
    assert_eq!(report["unknown"], json!([]), "{report}");
}

/// Has the server answer this client, which ends the time in which the client takes it for away.
pub fn reach(client: &Client) {
    client.call("product_details", &Value::Null).ok();
}

/// Sends what is queued when no request that was sent before can be carried out any more.
pub fn sync_later(client: &Client) -> Value {
    client.advance(LIFE_MS);
    sync(client)
}

/// Asserts that a call was told that its consumptions wait, because the server may still book them.
pub fn assert_may_still_be_booked(reply: &Value) {
    assert_eq!(reply["queued"], true, "{reply}");
    assert_eq!(reply["name"], "CONNECTION_LOST", "{reply}");
    assert!(reply["reason"].as_str().unwrap().contains("may still book"), "{reply}");
}

/// Whether the three of this request were booked, this client does not get to know.
pub fn in_doubt(client: &Client, middle: &Middle, request: &Value, loss: Lost) {
    middle.lose(&[loss]);
    *middle.breaks.lock().unwrap() = (true, false);
    let reply = add(client, request);
    assert_eq!(reply.get("queued"), Some(&json!(true)), "{reply}");
    assert_eq!(middle.asked(), [(3, None)]);
    *middle.breaks.lock().unwrap() = (false, false);
}

/// Holds requests for consumptions back on their way, while it is closed.
#[derive(Clone, Default)]
pub struct Barrier {
    pub way: Arc<Mutex<()>>,
    pub arrived: Arc<AtomicUsize>,
}

impl Barrier {
    /// Where it stands before the server of `demo`.
    pub fn before(&self, demo: &Demo) -> String {
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
    pub fn close(&self) -> MutexGuard<'_, ()> {
        self.arrived.store(0, Ordering::Release);
        self.way.lock().unwrap()
    }

    pub fn wait_for_a_request(&self) {
        until("a request arrives", || self.arrived.load(Ordering::Acquire) > 0);
    }
}

/// Refuses consumptions, and answers what is asked of them.
pub fn add_refusal(world: &World) {
    let refusal = json!({ "before": { "code": "license_not_enabled" } });
    world.control(
        "PUT /faults",
        &json!({ "faults": [{ "match": { "operation": "add_feature_consumption" }, "do": refusal }] }),
    );
}
