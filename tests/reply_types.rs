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

/// The members that a class of C# reads, with how: `.Text`, or `Is(` of a member that is a truth.
fn of_csharp(file: &str) -> BTreeMap<String, String> {
    let read = |file: &str| fs::read_to_string(root().join("bindings/csharp/FloatLease").join(file)).unwrap();
    let mut text = read(file);
    if text.contains(" : FloatingReply") {
        text.push_str(&read("Replies/FloatingReply.cs"));
    }
    let parts: Vec<&str> = text.split("Members[\"").collect();
    let reads = parts.windows(2).map(|pair| {
        let (name, rest) = pair[1].split_once("\"]").unwrap();
        let around = pair[0].rsplit(' ').next().unwrap();
        let property: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '.').collect();
        (name.to_owned(), format!("{around}{property}"))
    });
    reads.collect()
}

/// A member that a `TypedDict` of Python names.
struct Member {
    /// Every reply has it.
    is_required: bool,
    kind: String,
}

/// The members that a `TypedDict` of Python names, by name.
fn typed_in_python(class: &str) -> BTreeMap<String, Member> {
    let read = |file: &str| fs::read_to_string(root().join("bindings/python/floatlease").join(file)).unwrap();
    let text = ["_replies.py", "_user_replies.py"].map(read).concat();
    let body = text.split(&format!("class {class}(")).nth(1).unwrap_or_else(|| panic!("{class}"));
    let body = body.split("\nclass ").next().unwrap();
    let is_total = !body.lines().next().unwrap().contains("total=False");
    let member = |line: &str| {
        let (name, kind) = line.strip_prefix("    ")?.split_once(": ")?;
        let is_required = is_total || kind.starts_with("Required[");
        Some((name.to_owned(), Member { is_required, kind: kind.to_owned() }))
    };
    let is_name = |name: &str| name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    let own = body.lines().filter_map(member).filter(|(name, _)| is_name(name));
    let inherited = if body.starts_with("FloatingReply") { typed_in_python("FloatingReply") } else { BTreeMap::new() };
    own.chain(inherited).collect()
}

/// Whether a value is of a type, as Python writes it.
fn is_of_python(kind: &str, value: &Value) -> bool {
    let inside = |outer: &str| kind.strip_prefix(outer)?.strip_prefix('[')?.strip_suffix(']');
    if let Some(kind) = inside("Required") {
        return is_of_python(kind, value);
    }
    if let Some(kind) = inside("Optional") {
        return value.is_null() || is_of_python(kind, value);
    }
    if let Some(kinds) = inside("Union") {
        return kinds.split(", ").any(|kind| is_of_python(kind, value));
    }
    if let Some(kind) = inside("list") {
        return value.as_array().is_some_and(|items| items.iter().all(|item| is_of_python(kind, item)));
    }
    match kind {
        "int" => value.is_i64() || value.is_u64(),
        "float" => value.is_number(),
        "str" => value.is_string(),
        "bool" => value.is_boolean(),
        "None" => value.is_null(),
        "dict[str, Any]" => value.is_object(),
        class => value.as_object().is_some_and(|object| {
            typed_in_python(class).iter().all(|(name, member)| match object.get(name) {
                Some(value) => is_of_python(&member.kind, value),
                None => !member.is_required,
            })
        }),
    }
}

/// Whether a value is of a kind that C# reads in this way; null is read by all.
fn is_of_csharp(reading: &str, value: &Value) -> bool {
    let is_whole = value.is_i64() || value.is_u64();
    let is_date = value.as_str().is_some_and(|text| text.len() == "2026-01-15T00:00:00.000Z".len());
    let word = reading.rsplit(['(', '.', '>']).find(|word| !word.is_empty()).unwrap_or_default();
    match word {
        "Text" => value.is_string(),
        "Int64" => is_whole,
        "Date" => is_date,
        "Items" | "Texts" | "Numbers" => value.is_array(),
        "Is" => value.is_boolean(),
        "Moment" => is_date || is_whole,
        "WholeNumber" => is_whole || value.is_string(),
        // A class that is made of the member.
        _ => value.is_object(),
    }
}

fn members(replies: &[Value]) -> Names {
    replies.iter().flat_map(|reply| reply.as_object().unwrap().keys().cloned()).collect()
}

/// The items of replies that are lists.
fn items<'a>(replies: impl IntoIterator<Item = &'a Value>) -> Vec<Value> {
    replies.into_iter().flat_map(|reply| reply["items"].as_array().unwrap().clone()).collect()
}

/// The member of that name of each item.
fn members_of(list: &Value, name: &str) -> Vec<Value> {
    items([list]).iter().map(|item| item[name].clone()).collect()
}

/// Each kind of reply: what came, and the types of Python and C#. The test's name is its folder's.
fn kinds(demo: &Demo, test: &str) -> Vec<(Vec<Value>, &'static str, &'static str)> {
    let floating = json!({ "users": 2, "can_borrow": true, "max_borrow_time_hours": 24 });
    let consumption = json!({ "max_consumptions": 10 });
    let release =
        json!({ "version": "1.0.0", "release_date": "2026-01-15", "installation_file": "https://example.com/p" });
    let catalogue = json!({
        "product": [{ "code": "P", "release": [release], "trial": [{ "days": 30 }] }, {
            "code": "U", "authorization_method": "user",
        }],
        "bundle": [{ "code": "B", "products": ["P"] }],
        "user": [{ "username": "ada@example.com", "password": "correct-horse", "allow_unlimited_activations": true }],
        "customer_account": [{
            "code": "ACCOUNT", "issuer": "https://id.example.com", "client_id": "p",
            "authorization_endpoint": "https://id.example.com/auth", "token_endpoint": "https://id.example.com/token",
            "end_session_endpoint": "https://id.example.com/logout", "redirect_uris": ["http://127.0.0.1/signed-in"],
            "introspection_endpoint": "https://id.example.com/token/introspect",
        }],
        "license": [{
            "product": "P", "license_key": "K", "allow_unlimited_activations": true, "floating": floating,
            "feature": [{ "code": "MESH", "floating": floating }, { "code": "COUNT", "consumption": consumption }],
        }, {
            "product": "P", "license_key": "COUNTS", "license_type": "consumption",
            "allow_unlimited_activations": true, "consumption": consumption,
        }, { "product": "U", "users": ["ada@example.com"], "allow_unlimited_activations": true }],
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

    let product = call("product_details", json!({ "include_latest_version": true, "include_custom_fields": true }));
    let versions = call("versions", json!({}));
    let place = call("installation_file", json!({}));
    let trials = vec![call("trial_key", json!({})), call("trial_key", json!({}))];
    let tracked = call("track_device_variables", json!({ "variables": { "room": 12 } }));
    let variables = vec![tracked, call("get_device_variables", json!({}))];
    let user = json!({ "product": "U", "username": "ada@example.com", "password": "correct-horse" });
    let owned = call("user_licenses", user.clone());
    let sign_on = call("sso_url", json!({ "product": "U", "customer_account_code": "ACCOUNT" }));
    let bundle = json!({ "product": "B" });
    let bundled = ["activate_bundle", "check_bundle"].map(|operation| call(operation, bundle.clone()));
    let of_device = [&bundled[..], &[call("device_licenses", json!({}))]].concat();
    let password =
        json!({ "username": user["username"], "password": user["password"], "new_password": "better-horse" });
    call("activate_license", json!({ "hardware_id": "laptop" }));
    let messages = vec![
        call("change_password", password),
        call("deactivate_bundle", bundle),
        call("deactivate_license", json!({ "hardware_id": "laptop" })),
    ];
    vec![
        (license, "LicenseReply", "Replies/LicenseReply.cs"),
        (feature, "FeatureReply", "Replies/FeatureReply.cs"),
        (borrowed, "BorrowReply", "Replies/BorrowReply.cs"),
        (vec![booked, queued], "ConsumptionReply", "Replies/ConsumptionReply.cs"),
        (synced, "SyncReply", "Replies/SyncReply.cs"),
        (vec![info], "LeaseInfo", "Replies/LeaseInfo.cs"),
        (vec![everything], "ReleaseAllReply", "Replies/ReleaseAllReply.cs"),
        (left, "UnreleasedLease", "Replies/UnreleasedLease.cs"),
        (vec![client.diagnose()], "DiagnoseReport", "Replies/DiagnoseReport.cs"),
        (vec![product["latest_version"].clone(), place], "InstallationFileReply", "Replies/InstallationFileReply.cs"),
        (vec![product], "ProductReply", "Replies/ProductReply.cs"),
        (items([&versions]), "ProductVersion", "Replies/ProductVersion.cs"),
        (vec![versions], "VersionsReply", "Replies/VersionsReply.cs"),
        (trials, "TrialReply", "Replies/TrialReply.cs"),
        (items(&variables), "DeviceVariable", "Replies/DeviceVariable.cs"),
        (variables, "DeviceVariablesReply", "Replies/DeviceVariablesReply.cs"),
        (members_of(&owned, "license"), "OwnedLicense", "Replies/OwnedLicense.cs"),
        (members_of(&owned, "user"), "LicenseUser", "Replies/LicenseUser.cs"),
        (items([&owned]), "UserLicense", "Replies/UserLicense.cs"),
        (vec![owned], "UserLicensesReply", "Replies/UserLicensesReply.cs"),
        (vec![sign_on["openid_configuration"].clone()], "OpenidConfiguration", "Replies/OpenidConfiguration.cs"),
        (vec![sign_on], "SsoUrlReply", "Replies/SsoUrlReply.cs"),
        (of_device, "LicensesReply", "Replies/LicensesReply.cs"),
        (messages, "MessageReply", "Replies/EmptyReply.cs"),
    ]
}

/// Those that a type checker lets a program read without asking if they are there.
#[test]
fn replies_are_of_the_types_that_python_gives_them() {
    let demo = Demo::start();
    for (replies, class, _) in kinds(&demo, "required-members") {
        for reply in replies {
            let object = reply.as_object().unwrap();
            for (name, member) in typed_in_python(class) {
                let Some(value) = object.get(&name) else {
                    assert!(!member.is_required, "{class}: {name} is missing in {reply}");
                    continue;
                };
                assert!(is_of_python(&member.kind, value), "{class}: {name} is {value}, not {}", member.kind);
            }
        }
    }
}

#[test]
fn replies_hold_what_csharp_reads_of_them() {
    let demo = Demo::start();
    for (replies, _, file) in kinds(&demo, "read-members") {
        for reply in replies {
            for (name, reading) in of_csharp(file) {
                let value = reply.get(&name).unwrap_or(&Value::Null);
                assert!(
                    value.is_null() || is_of_csharp(&reading, value),
                    "{file}: {name} is {value}, read by {reading}"
                );
            }
        }
    }
}

#[test]
fn each_member_of_a_typed_reply_comes_from_the_server() {
    let demo = Demo::start();
    for (replies, python, csharp) in kinds(&demo, "reply-types") {
        let come = members(&replies);
        let types = [
            ("Python", typed_in_python(python).into_keys().collect()),
            ("C#", of_csharp(csharp).into_keys().collect()),
        ];
        for (language, named) in types {
            let named: Names = named;
            let missing: Vec<_> = named.difference(&come).collect();
            assert!(missing.is_empty(), "{language}, {csharp}: {missing:?} of {come:?}");
            assert!(!named.is_empty(), "{language}, {csharp}");
        }
    }
}
