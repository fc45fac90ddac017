//! What proves nothing, however genuine it looks: records under another name, replies about something else, and a yes
//! that says itself that it is none.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use floatlease::lease::storage::sealed_file::SealedFile;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use support::abi::Client;
use support::folder::Folder;
use support::sandbox::World;
use support::stub::{self, Message};
use support::{Demo, believing, with};

/// The license's own record.
fn license_record(folder: &Folder) -> PathBuf {
    let gates = folder.files("lock");
    let lock = gates.into_iter().find(|path| path.to_str().unwrap().ends_with("-license.lock")).unwrap();
    lock.with_extension("lease")
}

const DEVICE: &str = "laptop";

/// A client that keeps things in this folder.
fn start(config: &Value, folder: &Folder) -> Client {
    Client::open(&with(config, json!({ "storage_dir": folder.path() }))).unwrap()
}

fn outage(world: &World) {
    world.control("POST /faults/profile", &json!({ "profile": "outage" }));
}

/// Borrows this and ends.
fn borrow(config: &Value, folder: &Folder, request: &Value) {
    let client = start(config, folder);
    client.call("activate_license", &Value::Null).ok();
    let (lease, _) = client.acquire(&with(request, json!({ "keep_alive": "host" })));
    lease.borrow(&Value::Null).ok();
}

/// An acquire without a network that must not succeed.
fn refused(client: &Client, request: &Value, status: &str) {
    let (lease, answer) = client.try_acquire(&with(request, json!({ "timeout_ms": 700, "release_on_close_ms": 0 })));
    assert!(lease.is_none(), "{request}: {answer:?}");
    answer.refused(status);
}

/// Where the record of what is asked for would lie: to ask makes the locks beside it.
fn record_of(folder: &Folder, client: &Client, request: &Value) -> PathBuf {
    let before = folder.files("lock");
    client.try_acquire(&with(request, json!({ "timeout_ms": 300, "release_on_close_ms": 0 })));
    let lock = folder.files("lock").into_iter().find(|path| !before.contains(path)).unwrap();
    lock.with_extension("lease")
}

/// What is kept for this product and device, as whoever knows both reads and writes it.
fn unsealed(path: &Path) -> Value {
    let file = SealedFile::new(path.to_owned(), "CAD-PRO", DEVICE).unwrap();
    serde_json::from_slice(&file.read().unwrap().unwrap()).unwrap()
}

fn seal(path: &Path, record: &Value) {
    SealedFile::new(path.to_owned(), "CAD-PRO", DEVICE).unwrap().write(record.to_string().as_bytes()).unwrap();
}

#[test]
fn a_borrow_that_was_renamed_to_another_slots_is_none() {
    let demo = Demo::start();
    let folder = Folder::new("renamed");
    let world = World::new(&demo, &json!({ "rate": 0 }));
    let mesh = json!({ "feature": "MESH" });
    borrow(&world.config(DEVICE), &folder, &mesh);
    outage(&world);
    let proof = folder.proof();
    let client = start(&world.config(DEVICE), &folder);
    let solver = json!({ "feature": "SOLVER" });
    for (request, record) in
        [(json!({}), license_record(&folder)), (solver.clone(), record_of(&folder, &client, &solver))]
    {
        fs::copy(&proof, record).unwrap();
        refused(&client, &request, "STORAGE_DAMAGED");
    }
    assert_eq!(client.acquire(&mesh).0.state(), "BORROWED");
}

#[test]
fn the_borrow_of_a_feature_is_not_its_licenses_whoever_seals_the_record() {
    let demo = Demo::start();
    let folder = Folder::new("sealed");
    let world = World::new(&demo, &json!({ "rate": 0 }));
    borrow(&world.config(DEVICE), &folder, &json!({ "feature": "MESH" }));
    outage(&world);
    let mut record = unsealed(&folder.proof());
    record["feature"] = Value::Null;
    seal(&license_record(&folder), &record);
    refused(&start(&world.config(DEVICE), &folder), &json!({}), "NO_PROOF");
}

#[test]
fn the_borrow_of_a_license_does_not_make_a_features_longer() {
    let demo = Demo::start();
    let folder = Folder::new("longer");
    let world = World::new(&demo, &json!({ "rate": 0 }));
    borrow(&world.config(DEVICE), &folder, &json!({}));
    let of_license = unsealed(&folder.proof())["proof"]["borrow"].clone();
    assert!(of_license["body"].as_str().unwrap().contains("borrowed_until"));
    let mesh = json!({ "feature": "MESH" });
    borrow(&world.config(DEVICE), &folder, &mesh);
    outage(&world);
    let records = folder.files("lease");
    let path = records.iter().find(|path| unsealed(path)["feature"] == "MESH").unwrap();
    let mut record = unsealed(path);
    record["proof"]["borrow"] = of_license;
    seal(path, &record);
    let (_lease, info) = start(&world.config(DEVICE), &folder).acquire(&mesh);
    let left = info["remaining_ms"].as_i64().unwrap();
    assert!(left > 0 && left <= 12 * 3_600_000, "{left} ms, and not the license's 24 hours");
}

/// Ada has two licenses of one product, and one of another.
fn catalogue() -> Value {
    let license = |id: u64, product: &str| {
        json!({
            "id": id, "product": product, "users": ["ada@example.com"], "allow_unlimited_activations": true,
            "floating": { "users": 2, "can_borrow": true, "max_borrow_time_hours": 24 },
        })
    };
    let product = |code: &str| json!({ "code": code, "name": code, "authorization_method": "user" });
    json!({
        "company_id": 1,
        "product": [product("VIEWER"), product("STUDIO")],
        "user": [{ "username": "ada@example.com", "password": "secret", "allow_unlimited_activations": true }],
        "license": [license(1, "STUDIO"), license(2, "STUDIO"), license(3, "VIEWER")],
    })
}

fn of_ada(world: &World, product: &str, license_id: &Value) -> Value {
    let ada = json!({
        "license_key": null, "username": "ada@example.com", "password": "secret", "product": product,
        "license_id": license_id,
    });
    with(&world.config(DEVICE), ada)
}

#[test]
fn the_borrow_of_one_license_of_a_user_is_not_that_of_another() {
    let demo = Demo::start();
    let folder = Folder::new("licenses");
    let world = World::new(&demo, &json!({ "rate": 0, "catalogue": catalogue() }));
    let own = of_ada(&world, "STUDIO", &json!(1));
    borrow(&own, &folder, &json!({}));
    // The second proof is the license alone: the borrow's own reply names the license anyway.
    for gone in [None, Some(folder.proof())] {
        gone.into_iter().for_each(|path| fs::remove_file(path).unwrap());
        assert_eq!(start(&own, &folder).acquire(&json!({ "keep_alive": "host" })).0.state(), "BORROWED");
        let proof = folder.proof();
        outage(&world);
        let other = start(&of_ada(&world, "STUDIO", &json!(2)), &folder);
        let place = folder.files("lock").into_iter().find(|path| path.with_extension("lease") != proof);
        let place = place.unwrap_or_else(|| record_of(&folder, &other, &json!({})));
        fs::copy(&proof, place.with_extension("lease")).unwrap();
        refused(&other, &json!({}), "NO_PROOF");
        fs::remove_file(place.with_extension("lease")).unwrap();
        world.control("DELETE /faults", &Value::Null);
    }
}

#[test]
fn a_reply_about_another_license_or_product_of_the_user_is_not_ours() {
    let demo = Demo::start();
    let world = World::new(&demo, &json!({ "rate": 0, "catalogue": catalogue() }));
    for (product, id) in [("STUDIO", 1), ("STUDIO", 2), ("VIEWER", 3)] {
        let client = Client::open(&of_ada(&world, product, &json!(id))).unwrap();
        client.call("activate_license", &Value::Null).ok();
        client.call("check_license", &Value::Null).ok();
    }
    // The middle asks about another license of hers: the answer is signed for this device and this user.
    for (license_id, from, to) in
        [(json!(2), "license_id=2", "license_id=1"), (Value::Null, "product=STUDIO", "product=VIEWER")]
    {
        let ask = move |mut request: Message| {
            request.head = request.head.replace(from, to);
            request
        };
        let address = stub::between(demo.address(), ask, |reply| reply.bytes());
        let elsewhere = json!({ "base_url": format!("http://{address}/api/v4") });
        let client = Client::open(&with(&of_ada(&world, "STUDIO", &license_id), elsewhere)).unwrap();
        client.call("check_license", &Value::Null).failed("REPLY_NOT_OURS", "unknown");
        assert!(client.try_acquire(&Value::Null).0.is_none());
    }
}

#[test]
fn a_yes_that_says_itself_that_the_license_is_over_is_a_no() {
    let good = json!({
        "id": 1, "is_floating": false, "is_floating_cloud": true, "floating_timeout": 120, "is_expired": false,
        "license_active": true, "license_enabled": true,
    });
    let borrowed = json!({ "is_expired": true, "is_borrowed": true, "borrowed_until": "2099-01-01T00:00:00.000Z" });
    for (change, status) in [
        (json!({}), None),
        (json!({ "is_expired": true }), Some("LICENSE_EXPIRED")),
        (json!({ "license_active": false }), Some("LICENSE_NOT_ACTIVE")),
        (json!({ "license_enabled": false }), Some("LICENSE_NOT_ENABLED")),
        (borrowed, Some("LICENSE_EXPIRED")),
    ] {
        let body = with(&good, change).to_string();
        let head = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
        let client = Client::open(&believing(&stub::answering(head + &body))).unwrap();
        let (lease, answer) = client.try_acquire(&json!({ "keep_alive": "host", "timeout_ms": 5_000 }));
        match status {
            None => assert_eq!(lease.unwrap().state(), "ACTIVE"),
            Some(status) => drop(answer.failed(status, "rejected")),
        }
    }
}
