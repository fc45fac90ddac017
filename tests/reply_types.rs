//! The typed replies of the bindings, held against replies of the server: each member that a type names comes.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use support::abi::Client;
use support::folder::Folder;
use support::sandbox::World;
use support::{Demo, with};

type Names = BTreeSet<String>;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// The members that a class of C# reads.
fn of_csharp(file: &str) -> Names {
    let read = |file: &str| fs::read_to_string(root().join("bindings/csharp/FloatLease").join(file)).unwrap();
    let mut text = read(file);
    if text.contains(" : FloatingReply") {
        text.push_str(&read("Replies/FloatingReply.cs"));
    }
    text.split("Members[\"").skip(1).map(|rest| rest.split('"').next().unwrap().to_owned()).collect()
}

/// The members that a `TypedDict` of Python names, each with whether every reply has it, by its type.
fn typed_in_python(class: &str) -> BTreeMap<String, bool> {
    let text = fs::read_to_string(root().join("bindings/python/floatlease/_replies.py")).unwrap();
    let body = text.split(&format!("class {class}(")).nth(1).unwrap().split("\nclass ").next().unwrap();
    let is_total = !body.lines().next().unwrap().contains("total=False");
    let member = |line: &str| {
        let (name, kind) = line.strip_prefix("    ")?.split_once(": ")?;
        Some((name.to_owned(), is_total || kind.starts_with("Required[")))
    };
    let is_name = |name: &str| name.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    let own = body.lines().filter_map(member).filter(|(name, _)| is_name(name));
    let inherited = if body.starts_with("FloatingReply") { typed_in_python("FloatingReply") } else { BTreeMap::new() };
    own.chain(inherited).collect()
}

fn of_python(class: &str) -> Names {
    typed_in_python(class).into_keys().collect()
}

fn members(replies: &[Value]) -> Names {
    replies.iter().flat_map(|reply| reply.as_object().unwrap().keys().cloned()).collect()
}

/// Each kind of reply: what came, and the types of Python and C#. The test's name is its folder's.
fn kinds(demo: &Demo, test: &str) -> Vec<(Vec<Value>, Option<&'static str>, &'static str)> {
    let floating = json!({ "users": 2, "can_borrow": true, "max_borrow_time_hours": 24 });
    let consumption = json!({ "max_consumptions": 10 });
    let catalogue = json!({
        "product": [{ "code": "P" }],
        "license": [{
            "product": "P", "license_key": "K", "allow_unlimited_activations": true, "floating": floating,
            "feature": [{ "code": "MESH", "floating": floating }, { "code": "COUNT", "consumption": consumption }],
        }, {
            "product": "P", "license_key": "COUNTS", "license_type": "consumption",
            "allow_unlimited_activations": true, "consumption": consumption,
        }],
    });
    let (world, folder) = (World::new(demo, &json!({ "catalogue": catalogue })), Folder::new(test));
    let config = with(&world.config("desk"), json!({ "storage_dir": folder.path(), "license_key": "K" }));
    let client = Client::open(&config).unwrap();
    let counts = json!({ "license_key": "COUNTS" });
    let call = |operation: &str, request: Value| client.call(operation, &request).ok();
    let license = vec![call("activate_license", json!({})), call("activate_license", counts.clone())];
    let feature = ["MESH", "COUNT"].map(|code| call("check_feature", json!({ "feature": code }))).to_vec();
    let (lease, info) = client.acquire(&Value::Null);
    let borrowed = vec![call("borrow_license", json!({})), call("borrow_feature", json!({ "feature": "MESH" }))];
    lease.release().ok();

    let consume = |request: Value| call("add_consumption", with(&counts, request));
    let booked = consume(json!({ "consumptions": 1 }));
    world.only_fault(&json!({ "before": "refuse" }));
    let queued = consume(json!({ "consumptions": 1, "offline": "queue" }));
    world.control("DELETE /faults", &Value::Null);
    let synced = vec![call("sync_consumptions", counts.clone())];

    let _held = client.acquire(&Value::Null);
    world.only_fault(&json!({ "before": "hang" }));
    let everything = client.release_all(300).ok();
    world.control("DELETE /faults", &Value::Null);
    let left = everything["left"].as_array().unwrap().clone();
    assert_eq!(left.len(), 1, "{everything}");
    vec![
        (license, Some("LicenseReply"), "Replies/LicenseReply.cs"),
        (feature, Some("FeatureReply"), "Replies/FeatureReply.cs"),
        (borrowed, Some("BorrowReply"), "Replies/BorrowReply.cs"),
        (vec![booked, queued], Some("ConsumptionReply"), "Replies/ConsumptionReply.cs"),
        (synced, Some("SyncReply"), "Replies/SyncReply.cs"),
        (vec![info], Some("LeaseInfo"), "Replies/LeaseInfo.cs"),
        (vec![everything], Some("ReleaseAllReply"), "Replies/ReleaseAllReply.cs"),
        (left, Some("UnreleasedLease"), "Replies/UnreleasedLease.cs"),
        (vec![client.diagnose()], Some("DiagnoseReport"), "Replies/DiagnoseReport.cs"),
        (vec![call("product_details", json!({}))], None, "Replies/ProductReply.cs"),
        (vec![call("deactivate_license", json!({}))], None, "Replies/EmptyReply.cs"),
    ]
}

/// Those that a type checker lets a program read without asking if they are there.
#[test]
fn required_members_of_python_are_in_every_reply() {
    let demo = Demo::start();
    for (replies, class, _) in kinds(&demo, "required-members") {
        let typed = class.map(typed_in_python).unwrap_or_default();
        for reply in replies {
            let come = members(&[reply]);
            let missing: Vec<_> = typed.iter().filter(|(name, required)| **required && !come.contains(*name)).collect();
            assert!(missing.is_empty(), "{class:?}: {missing:?} of {come:?}");
        }
    }
}

#[test]
fn each_member_of_a_typed_reply_comes_from_the_server() {
    let demo = Demo::start();
    for (replies, python, csharp) in kinds(&demo, "reply-types") {
        let come = members(&replies);
        let types = [("Python", python.map(of_python).unwrap_or_default()), ("C#", of_csharp(csharp))];
        for (language, named) in types {
            let missing: Vec<_> = named.difference(&come).collect();
            assert!(missing.is_empty(), "{language}, {csharp}: {missing:?} of {come:?}");
            assert!(language == "Python" && python.is_none() || !named.is_empty(), "{language}, {csharp}");
        }
    }
}
