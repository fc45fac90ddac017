//! What becomes of a lease when the vendor changes what is licensed while it is held.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use serde_json::{Value, json};
use support::abi::Client;
use support::folder::Folder;
use support::holder::Holder;
use support::site::Site;
use support::with;

const MINUTE_MS: u32 = 60_000;

/// A license of the user Ada, with a feature that floats.
fn license_of_ada(id: u64) -> String {
    format!(
        r#"
[[license]]
id = {id}
product = "U"
users = ["ada"]
allow_unlimited_activations = true
floating = {{ users = 2, can_borrow = true, max_borrow_time_hours = 24 }}
feature = [
    {{ code = "MESH", floating = {{ users = 2, can_borrow = true, max_borrow_time_hours = 12 }} }},
    {{ code = "COUNT", consumption = {{ max_consumptions = 100 }} }},
]
[[user]]
username = "ada"
password = "secret"
allow_unlimited_activations = true
"#
    )
}

/// The same, sold another license since: the newest is what a request gets that names none.
fn two_licenses_of_ada() -> String {
    let (first, second) = (license_of_ada(7001), license_of_ada(7002));
    let second = second.replace("COUNT", "EXTRA");
    let user = first.find("[[user]]").unwrap();
    format!("{}{second}", &first[..user])
}

/// A license with a key; `members` are its own.
fn license_with_key(members: &str) -> String {
    format!("[[license]]\nproduct = \"P\"\nlicense_key = \"K\"\nallow_unlimited_activations = true\n{members}\n")
}

const FLOATING: &str = "floating = { users = 2, can_borrow = true, max_borrow_time_hours = 24 }
feature = [{ code = \"MESH\", floating = { users = 2 } }]";

fn ada() -> Value {
    json!({ "product": "U", "username": "ada", "password": "secret" })
}

fn ada_on(license_id: u64) -> Value {
    with(&ada(), json!({ "license_id": license_id }))
}

/// Activates the device, whatever licenses there are.
fn activate(site: &Site, who: &Value) {
    Client::open(&site.config(who.clone())).unwrap().call("activate_license", &Value::Null).ok();
}

#[test]
fn holder() {
    support::holder::live();
}

#[test]
fn lease_of_user_keeps_to_its_license_when_newer_one_is_sold() {
    for kept in [true, false] {
        let mut site = Site::start(&format!("newer-{kept}"), &license_of_ada(7001));
        activate(&site, &ada());
        let folder = Folder::new(&format!("newer-{kept}"));
        // To borrow needs a folder.
        let storage = if kept { json!(folder.path()) } else { Value::Null };
        let client = Client::open(&site.config(with(&ada(), json!({ "storage_dir": storage })))).unwrap();
        let (lease, _) = client.acquire(&Value::Null);
        let (mesh, _) = client.acquire(&json!({ "feature": "MESH" }));
        site.restart(&two_licenses_of_ada());
        activate(&site, &ada_on(7002));
        lease.renew().ok();
        mesh.renew().ok();
        if kept {
            assert_eq!(lease.borrow(&Value::Null).ok()["state"], "BORROWED");
            assert_eq!(mesh.borrow(&Value::Null).ok()["state"], "BORROWED");
        }
        let count = json!({ "feature": "COUNT", "consumptions": 3 });
        client.call("add_feature_consumption", &count).ok();
        if kept {
            client.call("add_feature_consumption", &with(&count, json!({ "offline": "queue" }))).ok();
        }
        // What only the newer license has is of that license.
        let extra = json!({ "feature": "EXTRA", "consumptions": 2 });
        client.call("add_feature_consumption", &extra).ok();
        if kept {
            client.call("add_feature_consumption", &with(&extra, json!({ "offline": "queue" }))).ok();
        }
        let total = client.call("check_feature", &json!({ "feature": "EXTRA", "license_id": 7002 })).ok();
        assert_eq!(total["total_consumptions"], if kept { 4 } else { 2 });
        let both = [ada_on(7001), ada_on(7002)];
        let in_use = |feature| both.clone().map(|who| site.in_use(who, feature));
        assert_eq!((in_use(None), in_use(Some("MESH"))), ([1, 0], [1, 0]), "kept: {kept}");
        let total = client.call("check_feature", &json!({ "feature": "COUNT", "license_id": 7001 })).ok();
        assert_eq!(total["total_consumptions"], if kept { 6 } else { 3 });
        lease.release().ok();
        mesh.release().ok();
        assert_eq!((in_use(None), in_use(Some("MESH"))), ([0, 0], [0, 0]), "kept: {kept}");
    }
}

#[test]
fn next_start_adopts_license_that_killed_process_held() {
    let mut site = Site::start("adopted", &license_of_ada(7001));
    activate(&site, &ada());
    let folder = Folder::new("adopted");
    let config = site.config(with(&ada(), json!({ "storage_dir": folder.path() })));
    let mut killed = Holder::start(&config);
    killed.tell("acquire").ok();
    killed.kill();
    site.restart(&two_licenses_of_ada());
    activate(&site, &ada_on(7002));
    let client = Client::open(&config).unwrap();
    let (lease, info) = client.acquire(&Value::Null);
    assert_eq!(info["slots"][0]["reply"]["id"], 7001);
    assert_eq!((site.in_use(ada_on(7001), None), site.in_use(ada_on(7002), None)), (1, 0));
    lease.release().ok();
    // Nothing is held any more, so the newest license is as good as ever.
    let (lease, info) = client.acquire(&Value::Null);
    assert_eq!(info["slots"][0]["reply"]["id"], 7002);
    lease.release().ok();
}

#[test]
fn next_start_takes_newer_license_when_killed_ones_is_gone() {
    let mut site = Site::start("replaced", &license_of_ada(7001));
    activate(&site, &ada());
    let folder = Folder::new("replaced");
    let config = site.config(with(&ada(), json!({ "storage_dir": folder.path() })));
    let mut killed = Holder::start(&config);
    killed.tell("acquire").ok();
    killed.kill();
    site.restart(&license_of_ada(7002));
    activate(&site, &ada());
    let (_lease, info) = Client::open(&config).unwrap().acquire(&Value::Null);
    assert_eq!(info["slots"][0]["reply"]["id"], 7002);
}

/// How a server comes to know nothing of a slot that it has handed out.
type Change = (&'static str, fn(&mut Site), &'static str);

#[test]
fn release_of_what_server_no_longer_knows_ends_lease() {
    let changes: [Change; 4] = [
        ("feature", |site| site.restart(&license_with_key("")), "INVALID_LICENSE_FEATURE_CODE"),
        (
            "unfloating",
            |site| site.restart(&license_with_key("feature = [{ code = \"MESH\" }]")),
            "FEATURE_NOT_FLOATING",
        ),
        ("license", |site| site.restart(&license_of_ada(7001)), "LICENSE_NOT_FOUND"),
        ("device", |site| site.rebuild(&license_with_key(FLOATING)), "DEVICE_NOT_FOUND"),
    ];
    for (name, change, reason) in changes {
        for kept in [true, false] {
            let mut site = Site::start(&format!("{name}-{kept}"), &license_with_key(FLOATING));
            activate(&site, &json!({ "license_key": "K" }));
            let folder = Folder::new(&format!("{name}-{kept}"));
            let storage = if kept { json!(folder.path()) } else { Value::Null };
            let config = site.config(json!({ "license_key": "K", "storage_dir": storage }));
            let client = Client::open(&config).unwrap();
            let (lease, _) = client.acquire(&json!({ "feature": "MESH" }));
            change(&mut site);
            let info = lease.release().ok();
            assert_eq!((&info["state"], &info["name"]), (&json!("RELEASED"), &json!(reason)), "{name}: {info}");
            // The record is settled: the server that knows the slot again is not asked to let go of it.
            site.restart(&license_with_key(FLOATING));
            activate(&site, &json!({ "license_key": "K" }));
            let (again, _) = client.acquire(&json!({ "feature": "MESH" }));
            assert_eq!((again.state(), site.in_use(json!({ "license_key": "K" }), Some("MESH"))), ("ACTIVE", 1));
            again.release().ok();
        }
    }
}

#[test]
fn release_on_disabled_license_ends_lease_and_next_start_settles() {
    let mut site = Site::start("disabled", &license_with_key(FLOATING));
    activate(&site, &json!({ "license_key": "K" }));
    let folder = Folder::new("disabled");
    let config = site.config(json!({ "license_key": "K", "storage_dir": folder.path() }));
    let client = Client::open(&config).unwrap();
    let (lease, _) = client.acquire(&json!({ "feature": "MESH" }));
    site.restart(&license_with_key(&format!("enabled = false\n{FLOATING}")));
    let info = lease.release().ok();
    assert_eq!((&info["state"], &info["name"]), (&json!("RELEASED"), &json!("LICENSE_NOT_ENABLED")), "{info}");
    site.restart(&license_with_key(FLOATING));
    assert_eq!(site.in_use(json!({ "license_key": "K" }), Some("MESH")), 1, "the server has not let go of it");
    let (_lease, _) = Client::open(&config).unwrap().acquire(&Value::Null);
    assert_eq!(site.in_use(json!({ "license_key": "K" }), Some("MESH")), 0);
}

#[test]
fn lease_stays_active_when_license_no_longer_floats() {
    let mut site = Site::start("upgraded", &license_with_key(FLOATING));
    let key = json!({ "license_key": "K" });
    activate(&site, &key);
    let client = Client::open(&site.config(key.clone())).unwrap();
    let (lease, _) = client.acquire(&Value::Null);
    let (mesh, _) = client.acquire(&json!({ "feature": "MESH" }));
    site.restart(&license_with_key("feature = [{ code = \"MESH\" }]"));
    for _ in 0..3 {
        client.advance(80 * MINUTE_MS);
        client.wait_for("RENEWED");
        client.wait_for("RENEWED");
        assert_eq!((lease.state(), mesh.state()), ("ACTIVE", "ACTIVE"));
    }
    assert_eq!(mesh.release().ok()["state"], "RELEASED");
    // The program that starts tomorrow works too.
    let (tomorrow, info) = client.acquire(&json!({ "features": ["MESH"] }));
    assert_eq!((tomorrow.state(), &info["state"]), ("ACTIVE", &json!("ACTIVE")));
    // And when it floats again, it counts again.
    site.restart(&license_with_key(FLOATING));
    lease.renew().ok();
    assert_eq!(site.in_use(key.clone(), None), 1);
    lease.release().ok();
    assert_eq!(site.in_use(key, None), 0);
}

#[test]
fn blacklisted_device_frees_its_slot_and_can_be_deactivated() {
    let mut site = Site::start("blacklisted", &license_with_key(FLOATING));
    let key = json!({ "license_key": "K" });
    activate(&site, &key);
    let client = Client::open(&site.config(key.clone())).unwrap();
    let (lease, _) = client.acquire(&Value::Null);
    assert_eq!(site.in_use(key.clone(), None), 1);
    site.restart(&format!("blacklisted_hardware_ids = [\"desk\"]\n{}", license_with_key(FLOATING)));
    assert_eq!(site.in_use(key, None), 0);
    assert_eq!(lease.release().ok()["state"], "RELEASED");
    client.call("deactivate_license", &Value::Null).ok();
}
