//! Replies with odd values: a member that is missing, null, empty, of another type, out of any range, or unknown. Each is
//! read, or refused by name, and no lease becomes what no license allows.
#![cfg(unix)]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use serde_json::json;
use std::sync::{Arc, Mutex};
use support::abi::{Answer, Client};
use support::odd::{Alteration, VALUES, members};
use support::stub::{self, Message};
use support::{Demo, with};

/// Alters the next replies of a server.
#[derive(Clone, Default)]
struct Altering(Arc<Mutex<Option<Alteration>>>);

impl Altering {
    fn by(&self, path: &[String], value: &str) {
        *self.0.lock().unwrap() = Some(Alteration { path: path.to_vec(), value: value.to_owned() });
    }

    fn stop(&self) {
        *self.0.lock().unwrap() = None;
    }

    fn apply(&self, reply: Message) -> Vec<u8> {
        let alteration = self.0.lock().unwrap().clone();
        match alteration {
            Some(alteration) => alteration.of(reply).bytes(),
            None => reply.bytes(),
        }
    }
}

/// A client that believes every reply, and what is done to its replies.
fn believing_client(demo: &Demo) -> (Client, Altering) {
    let alteration = Altering::default();
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
        alteration.stop();
        let whole = client.call(operation, &request).ok();
        let whole = whole.get("items").cloned().unwrap_or(whole);
        for path in members(&whole, 2) {
            for value in VALUES {
                alteration.by(&path, value);
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
            alteration.by(&[member.to_owned()], value);
            let (lease, answer) = client.try_acquire(&json!({}));
            expect_named(&answer, &about);
            let Some(lease) = lease else { continue };
            let remaining_ms = lease.remaining_ms();
            assert!((0..=367 * 24 * 3_600_000).contains(&remaining_ms), "{about}: {remaining_ms} ms");
            alteration.stop();
            lease.release().ok();
        }
    }
}
