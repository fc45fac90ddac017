//! The plain HTTP examples of the API's documentation, in four languages and without floatlease: with nothing but the
//! Date and Authorization headers added they work against the server.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use serde_json::{Value, json};
use std::process::{Command, Output};
use support::{Demo, root, target_dir, tool};

#[test]
fn curl() {
    tool("openssl");
    tool("curl");
    borrows("sh", "borrow.sh");
}

#[test]
fn curl_by_access_token() {
    tool("curl");
    borrows("sh", "oauth.sh");
}

#[test]
fn python_requests() {
    // An environment that has requests among its pins; a python3 of the system may have neither it nor pip.
    let python = target_dir().parent().unwrap().join("schemathesis/bin/python");
    borrows(python.to_str().unwrap(), "borrow.py");
}

#[test]
fn node_fetch() {
    borrows("node", "borrow.mjs");
}

#[test]
fn ruby_net_http() {
    borrows("ruby", "borrow.rb");
}

/// Runs an example on a device that is not activated, which the server refuses, and on one that is.
fn borrows(interpreter: &str, example: &str) {
    let demo = Demo::start();
    let mut command = tool(interpreter);
    command.arg(root().join("tests/http_examples").join(example));
    for name in ["base_url", "api_key", "shared_key", "client_id", "client_secret", "product", "license_key"] {
        command.env(format!("FLOATLEASE_{}", name.to_uppercase()), demo.text(name));
    }
    command.env("FLOATLEASE_HARDWARE_ID", "hw-example");

    let (succeeded, error) = answer(&mut command);
    assert!(!succeeded, "{error}");
    assert_eq!(error["code"], "device_not_found");

    demo.client("hw-example").call("activate_license", &json!({})).ok();
    let (succeeded, reply) = answer(&mut command);
    assert!(succeeded, "{reply}");
    assert!(reply["borrowed_until"].as_str().unwrap().ends_with('Z'), "{reply}");
    for member in ["max_borrow_time", "device_id", "license_id", "floating_in_use_devices"] {
        assert!(reply[member].is_u64(), "{member} in {reply}");
    }
}

/// Whether an example ended well, and the server's answer as it printed it.
fn answer(command: &mut Command) -> (bool, Value) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let answer = serde_json::from_slice(&stdout).unwrap_or_else(|error| {
        let (printed, told) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
        panic!("{command:?}: {error} in what it printed:\n{printed}\n{told}")
    });
    (status.success(), answer)
}
