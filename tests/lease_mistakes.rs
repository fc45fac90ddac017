//! The typical mistakes about leases: each is a status, nothing leaves the machine, and the message says what to do.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(unsafe_code, reason = "handles of the wrong kind are given to the C functions themselves")]

mod support;

use floatlease::ffi;
use serde_json::{Value, json};
use std::ptr;
use support::Demo;
use support::abi::{Client, status_name};
use support::sandbox::World;
#[cfg(unix)]
use support::with;

/// What is said to a request, in the message or else in the advice.
type Row = (&'static str, &'static str, &'static str);

#[rustfmt::skip]
const ACQUIRES: &[Row] = &[
    (r#"{"feature":["MESH"]}"#, "WRONG_TYPE", r#""feature" in lease_acquire is invalid: expected a string, found an array."#),
    (r#"{"feature":""}"#, "BAD_VALUE", r#"without "feature" and "features" it takes the license's own slot"#),
    (r#"{"features":[]}"#, "BAD_VALUE", "lease_acquire must name from 1 to 64 features, none of them empty"),
    (r#"{"features":["MESH"," "]}"#, "BAD_VALUE", "none of them empty"),
    (r#"{"features":"MESH"}"#, "WRONG_TYPE", r#""features" in lease_acquire is invalid: expected an array of strings, found a string."#),
    (r#"{"features":["MESH",5]}"#, "WRONG_TYPE", "expected an array of strings"),
    (r#"{"features":["MESH","mesh"]}"#, "BAD_VALUE", "name a feature twice"),
    (r#"{"feature":"MESH","features":["SOLVER"]}"#, "CONFLICTING_KEYS", r#"has both "feature" and "features"; give only one"#),
    (r#"{"keep_alive":"yes"}"#, "BAD_VALUE", r#""keep_alive" in lease_acquire must be "thread" or "host"."#),
    (r#"{"keep_alive":true}"#, "WRONG_TYPE", r#""keep_alive" in lease_acquire is invalid: expected a string, found a boolean."#),
    (r#"{"keepalive":"host"}"#, "UNKNOWN_KEY", r#"did you mean "keep_alive"?"#),
    (r#"{"wait":5}"#, "UNKNOWN_KEY", r#"did you mean "wait_ms"?"#),
    (r#"{"wait_s":5}"#, "UNKNOWN_KEY", r#"did you mean "wait_ms"?"#),
    (r#"{"wait_ms":"5"}"#, "WRONG_TYPE", "is invalid: expected an integer, found a string."),
    (r#"{"wait_ms":-1}"#, "BAD_VALUE", r#""wait_ms" in lease_acquire must be from 0 to 86400000."#),
    (r#"{"grace":300}"#, "UNKNOWN_KEY", r#"did you mean "grace_ms"?"#),
    (r#"{"grace_ms":86400001}"#, "BAD_VALUE", r#""grace_ms" in lease_acquire must be from 0 to 86400000."#),
    (r#"{"borrow_ending_ms":5}"#, "UNKNOWN_KEY", r#"did you mean "borrow_ending_hours"?"#),
    (r#"{"borrow_ending_hours":1.5}"#, "WRONG_TYPE", "is invalid: expected an integer, found a number with a fraction."),
    (r#"{"borrow_ending_hours":8761}"#, "BAD_VALUE", "must be from 0 to 8760."),
    (r#"{"release_on_close":5}"#, "UNKNOWN_KEY", r#"did you mean "release_on_close_ms"?"#),
    (r#"{"release_on_close_ms":3600001}"#, "BAD_VALUE", "must be from 0 to 3600000."),
    (r#"{"timeout_ms":0}"#, "BAD_VALUE", r#""timeout_ms" in lease_acquire must be from 1 to 3600000."#),
    (r#"{"borrowed_until":"2030-01-01"}"#, "UNKNOWN_KEY", r#""borrowed_until" is not a key of lease_acquire"#),
    (r#"{"hardware_id":""}"#, "MISSING_KEY", r#""hardware_id" is missing from"#),
    ("[]", "JSON", "the request is invalid: expected a JSON object, found an array."),
    ("{", "JSON", "the request is invalid JSON"),
];

#[rustfmt::skip]
const BORROWS: &[Row] = &[
    ("{}", "MISSING_KEY", r#""storage_dir" must be in the config."#),
    (r#"{"until":"2030-01-01"}"#, "UNKNOWN_KEY", r#""until" is not a key of lease_borrow"#),
    (r#"{"borrowed_until":5}"#, "WRONG_TYPE", "is invalid: expected a date as a string, or null, found a number."),
    (r#"{"feature":"MESH"}"#, "UNKNOWN_KEY", r#""feature" is not a key of lease_borrow"#),
];

#[rustfmt::skip]
const SUBMITTED: &[(&str, Row)] = &[
    ("lease_renew", (r#"{"lease":"1"}"#, "BAD_VALUE", r#""lease" of lease_renew must be the number of a lease that is held."#)),
    ("lease_renew", ("{}", "BAD_VALUE", r#""lease" of lease_renew must be the number"#)),
    ("lease_release", (r#"{"lease":99}"#, "BAD_VALUE", "of a lease that is held.")),
    ("lease_renew", (r#"{"lease":1,"feature":"MESH"}"#, "UNKNOWN_KEY", r#""feature" is not a key of lease_renew"#)),
    ("lease_borrow", (r#"{"lease":1}"#, "MISSING_KEY", r#""storage_dir" must be in the config."#)),
    ("lease_acquire", (r#"{"wait":5}"#, "UNKNOWN_KEY", r#"did you mean "wait_ms"?"#)),
    ("lease_renew", ("[]", "JSON", "the request is invalid: expected a JSON object")),
];

/// The error says so, and that nothing was sent.
fn says(request: &str, error: &Value, (_, status, words): Row) {
    let said = format!("{} {}", error["message"].as_str().unwrap(), error["advice"].as_str().unwrap());
    assert!(said.contains(words), "{request}: {said}");
    assert_eq!((&error["name"], &error["outcome"]), (&json!(status), &json!("not_sent")), "{request}: {error}");
}

fn parsed(request: &str) -> Value {
    serde_json::from_str(request).unwrap()
}

/// A client on a machine that the license knows.
fn desk(world: &World) -> Client {
    let client = world.client("my-desk");
    client.call("activate_license", &Value::Null).ok();
    client
}

#[test]
fn a_mistaken_request_is_told_what_is_wrong_and_takes_nothing() {
    let demo = Demo::start();
    let world = World::new(&demo, &json!({ "rate": 0 }));
    let client = desk(&world);
    for row in ACQUIRES.iter().copied() {
        let (lease, answer) = client.try_acquire_text(row.0);
        assert!(lease.is_none());
        says(row.0, &answer.refused(row.1), row);
    }
    assert_eq!(world.slots_of("my-desk"), []);

    let (lease, info) = client.acquire(&json!({ "feature": "MESH" }));
    for row in BORROWS.iter().copied() {
        says(row.0, &lease.borrow(&parsed(row.0)).refused(row.1), row);
    }
    for (operation, row) in SUBMITTED.iter().copied() {
        let request = row.0.replace(r#""lease":1,"#, &format!(r#""lease":{},"#, info["lease"]));
        let request = request.replace(r#""lease":1}"#, &format!(r#""lease":{}}}"#, info["lease"]));
        let ticket = client.submit(operation, &parsed(&request)).unwrap();
        let done = client.wait_for("COMPLETED");
        assert_eq!(done["ticket"], ticket);
        says(row.0, &done["error"], row);
    }
    assert_eq!(lease.state(), "ACTIVE", "it is as it was");
}

#[test]
fn what_is_no_operation_is_not_submitted() {
    let demo = Demo::start();
    let client = demo.client("my-desk");
    for name in ["lease_aquire", "acquire", "lease_accept", "lease_info", "lease_state", ""] {
        assert_eq!(client.submit(name, &Value::Null), Err("UNKNOWN_OPERATION".to_owned()), "{name}");
    }
    // A lease's operations wait for nobody, so they are submitted, or have a function.
    client.call_by_name("lease_acquire", &Value::Null).refused("UNKNOWN_OPERATION");
    // A slip of the keyboard is not led to what consumes.
    let error = client.call_by_name("sync_consumption", &Value::Null).refused("UNKNOWN_OPERATION");
    assert!(error["message"].as_str().unwrap().contains(r#"did you mean "sync_consumptions"?"#), "{error}");
    assert_eq!(client.cancel_submitted(1), "TICKET");
    let (lease, answer) = client.accept(1);
    assert!(lease.is_none());
    answer.refused("TICKET");
}

#[cfg(unix)]
#[test]
fn a_folder_that_can_not_be_is_named() {
    let demo = Demo::start();
    let world = World::new(&demo, &json!({ "rate": 0 }));
    desk(&world);
    for (folder, words) in [
        ("/dev/null/leases", "/dev/null/leases can't be created: Not a directory"),
        ("/dev/null", "/dev/null can't be created"),
        ("/proc/leases", "/proc/leases can't be created"),
    ] {
        let client = Client::open(&with(&world.config("my-desk"), json!({ "storage_dir": folder }))).unwrap();
        let (lease, answer) = client.try_acquire(&Value::Null);
        assert!(lease.is_none());
        says(folder, &answer.refused("STORAGE"), ("", "STORAGE", words));
    }
    assert_eq!(world.slots_of("my-desk"), []);
}

#[test]
fn a_handle_of_the_wrong_kind_is_a_status_and_neither_is_harmed() {
    let demo = Demo::start();
    let world = World::new(&demo, &json!({ "rate": 0 }));
    let client = desk(&world);
    let (lease, _) = client.acquire(&Value::Null);
    let (a_lease, a_client) = (lease.handle(), client.handle());
    let none = ptr::null_mut();
    // SAFETY: handles are tokens that nobody follows; the other pointers may be null.
    let statuses = unsafe {
        [
            ffi::floatlease_check_license(a_lease.cast(), ptr::null(), none),
            ffi::floatlease_client_cancel(a_lease.cast()),
            ffi::floatlease_client_advance_clock(a_lease.cast(), 1),
            ffi::floatlease_cancel(a_lease.cast(), 1),
            ffi::floatlease_lease_info(a_client.cast(), none),
            ffi::floatlease_lease_renew(a_client.cast(), none),
            ffi::floatlease_lease_borrow(a_client.cast(), ptr::null(), none),
            ffi::floatlease_lease_release(a_client.cast(), none),
        ]
    };
    assert_eq!(statuses.map(status_name), [const { "HANDLE" }; 8].map(str::to_owned));
    assert_eq!(ffi::floatlease_lease_state(a_client.cast()), 0);
    assert_eq!(ffi::floatlease_lease_remaining(a_client.cast()), 0);
    // SAFETY: the same.
    unsafe {
        ffi::floatlease_client_close(a_lease.cast());
        ffi::floatlease_lease_free(a_client.cast());
        assert_eq!(
            status_name(ffi::floatlease_lease_acquire(a_client, ptr::null(), none.cast(), none)),
            "NULL_POINTER"
        );
    }
    assert_eq!(lease.state(), "ACTIVE");
    client.call("check_license", &Value::Null).ok();
    lease.release().ok();
    lease.renew().refused("LEASE_OVER");
    lease.borrow(&Value::Null).refused("MISSING_KEY");
}
