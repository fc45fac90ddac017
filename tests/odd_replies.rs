//! Replies with odd values: a member that is missing, null, empty, of another type, out of any range, or unknown. Each is
//! read, or refused by name, and no lease becomes what no license allows.
#![cfg(unix)]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use support::abi::{Answer, Client};
use support::stub::{self, Message};
use support::{Demo, with};

/// What stands in place of each member, as JSON.
const VALUES: [&str; 14] = [
    "null",
    "\"\"",
    "\"7\"",
    "\"x\"",
    "-1",
    "0",
    "1.5",
    "9007199254740993",
    "18446744073709551616",
    "1e400",
    "true",
    "[]",
    "{}",
    "[[[[{\"a\":null}]]]]",
];

/// A member of a reply: the keys and places that lead to it.
type Path = Vec<String>;

/// Alters the next replies of a server.
#[derive(Clone, Default)]
struct Alteration(Arc<Mutex<Option<(Path, String)>>>);

impl Alteration {
    fn of(&self, path: &[String], value: &str) {
        *self.0.lock().unwrap() = Some((path.to_vec(), value.to_owned()));
    }

    fn apply(&self, reply: Message) -> Vec<u8> {
        let Some((path, value)) = self.0.lock().unwrap().clone() else { return reply.bytes() };
        let Ok(mut body) = serde_json::from_slice::<Value>(&reply.body) else { return reply.bytes() };
        // A mark that is replaced in the text, because not every value can be held by a number of Rust.
        const MARK: &str = "the value that is put here";
        if put(&mut body, &path, MARK.into()).is_none() {
            return reply.bytes();
        }
        let text = body.to_string().replace(&format!("\"{MARK}\""), &value);
        Message { head: reply.head, body: text.into_bytes() }.bytes()
    }
}

fn put(body: &mut Value, path: &[String], value: Value) -> Option<()> {
    let (last, before) = path.split_last()?;
    let pointer: String = before.iter().map(|key| format!("/{key}")).collect();
    match body.pointer_mut(&pointer)? {
        Value::Object(object) => *object.get_mut(last)? = value,
        Value::Array(array) => *array.get_mut(last.parse::<usize>().ok()?)? = value,
        _ => return None,
    }
    Some(())
}

/// Every member of a reply, those inside others too.
fn members(reply: &Value, at: &Path, found: &mut Vec<Path>) {
    let inside: Vec<(String, &Value)> = match reply {
        Value::Object(object) => object.iter().map(|(key, value)| (key.clone(), value)).collect(),
        Value::Array(array) => array.iter().enumerate().map(|(place, value)| (place.to_string(), value)).collect(),
        _ => return,
    };
    for (key, value) in inside {
        let path: Path = at.iter().cloned().chain([key]).collect();
        found.push(path.clone());
        members(value, &path, found);
    }
}

/// A client that believes every reply, and what is done to its replies.
fn believing_client(demo: &Demo) -> (Client, Alteration) {
    let alteration = Alteration::default();
    let applied = alteration.clone();
    let address = stub::between(demo.address(), |request| request, move |reply| applied.apply(reply));
    let config = json!({"base_url": format!("http://{address}/api/v4"), "verify": "off", "public_key": null});
    (Client::open(&with(&demo.config("odd"), config)).unwrap(), alteration)
}

/// Refuses what says that the library itself is at fault.
fn expect_named(answer: &Answer, about: &str) {
    let Answer { status, json } = answer;
    assert_ne!(status, "INTERNAL", "{about}: {json}");
    let is_advised = json["advice"].as_str().is_some_and(|advice| !advice.is_empty());
    assert!(status == "OK" || is_advised, "{about}: {json}");
}

#[test]
fn every_member_of_every_reply_may_be_odd() {
    let demo = Demo::start();
    let (client, alteration) = believing_client(&demo);
    client.call("activate_license", &json!({"variables": {"room": 12}})).ok();
    client.call("check_feature", &json!({"feature": "MESH"})).ok();
    let mut tried = 0;
    for (operation, request) in [
        ("activate_license", json!({})),
        ("check_license", json!({})),
        ("check_feature", json!({"feature": "MESH"})),
        ("borrow_license", json!({})),
        ("borrow_feature", json!({"feature": "MESH"})),
        ("add_feature_consumption", json!({"feature": "CLOUD-CREDITS", "consumptions": 0})),
        ("product_details", json!({"include_latest_version": true, "include_custom_fields": true})),
        ("products", json!({})),
        ("versions", json!({})),
        ("installation_file", json!({})),
        ("device_licenses", json!({})),
        ("get_device_variables", json!({})),
        ("trial_key", json!({})),
        ("check_bundle", json!({"product": "SUITE"})),
    ] {
        *alteration.0.lock().unwrap() = None;
        let whole = client.call(operation, &request).ok();
        let whole = whole.get("items").cloned().unwrap_or(whole);
        let mut paths = Vec::new();
        members(&whole, &Vec::new(), &mut paths);
        // The features and fields of a license are like each other.
        paths.retain(|path| path.iter().filter_map(|key| key.parse::<usize>().ok()).all(|place| place < 2));
        for path in paths {
            for value in VALUES {
                alteration.of(&path, value);
                let reply = client.call(operation, &request);
                expect_named(&reply, &format!("{operation} with {value} as {}", path.join(".")));
                tried += 1;
            }
        }
    }
    assert!(tried > 4000, "{tried}");
}

#[test]
fn lease_of_odd_replies_is_refused_or_ends_in_time() {
    let demo = Demo::start();
    let (client, alteration) = believing_client(&demo);
    let whole = client.call("activate_license", &json!({})).ok();
    for member in ["floating_timeout", "max_borrow_time", "borrowed_until", "validity_period", "is_borrowed", "id"] {
        assert!(whole.get(member).is_some(), "{member}");
        for value in VALUES {
            let about = format!("{value} as {member}");
            alteration.of(&[member.to_owned()], value);
            let (lease, answer) = client.try_acquire(&json!({}));
            expect_named(&answer, &about);
            let Some(lease) = lease else { continue };
            let remaining_ms = lease.remaining_ms();
            assert!((0..=367 * 24 * 3_600_000).contains(&remaining_ms), "{about}: {remaining_ms} ms");
            *alteration.0.lock().unwrap() = None;
            lease.release().ok();
        }
    }
}
