//! The plain HTTP examples of the API's documentation, in four languages and without floatlease: with nothing but the
//! Date and Authorization headers added they work against the server.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use serde_json::{Value, json};
use std::process::{Command, Output};
use support::{Demo, root, run, target_dir, tool};

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

/// One operation of each family, in the order of a device's life.
#[test]
fn curl_of_each_family() {
    tool("openssl");
    tool("curl");
    let demo = Demo::start();
    let said = run(&mut example(&demo, "sh", "families.sh"));
    let replies: Vec<(&str, Value)> = said
        .lines()
        .map(|line| {
            let (name, reply) = line.split_once(' ').unwrap();
            // A release and a deactivation reply with no JSON.
            (name, serde_json::from_str(reply).unwrap_or_else(|_| Value::from(reply)))
        })
        .collect();
    let member = |name: &str, pointer: &str| {
        let (_, reply) = replies.iter().find(|(known, _)| *known == name).unwrap_or_else(|| panic!("{name} in {said}"));
        reply.pointer(pointer).unwrap_or_else(|| panic!("{pointer} in {reply}")).clone()
    };
    assert_eq!(member("activate_license", "/is_floating_cloud"), true);
    assert_eq!(member("check_license", "/license_key"), demo.said["license_key"]);
    assert_eq!(member("check_license_feature", "/code"), "MESH");
    assert_eq!(member("add_feature_consumption", "/total_consumptions"), 3);
    assert_eq!(member("get_device_variables", "/0/variable"), "site");
    assert_eq!(member("product_details", "/short_code"), demo.said["product"]);
    assert!(member("versions", "/0/version").is_string());
    assert!(member("trial_key", "/license").is_string());
    assert_eq!(member("device_licenses", "/0/license_key"), demo.said["license_key"]);
    assert_eq!(member("floating/feature_release", ""), "");
    assert_eq!(member("deactivate_license", ""), "license_deactivated");
    assert_eq!(replies.len(), 12, "{said}");
}

/// Runs an example on a device that is not activated, which the server refuses, and on one that is.
fn borrows(interpreter: &str, example: &str) {
    let demo = Demo::start();
    let mut command = self::example(&demo, interpreter, example);
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

/// An example, with what it needs of the server in its environment.
fn example(demo: &Demo, interpreter: &str, name: &str) -> Command {
    let mut command = tool(interpreter);
    command.arg(root().join("tests/http_examples").join(name));
    for name in ["base_url", "api_key", "shared_key", "client_id", "client_secret", "product", "license_key"] {
        command.env(format!("FLOATLEASE_{}", name.to_uppercase()), demo.text(name));
    }
    command.env("FLOATLEASE_HARDWARE_ID", "hw-example");
    command
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
