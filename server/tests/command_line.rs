//! The program as a user starts it: demo, exec, check, and what it says when it can't.
#![cfg(unix)]
#![allow(clippy::unwrap_used)]

mod common;

use std::io::{BufRead, BufReader};
use std::process::{Command, Output, Stdio};

use common::{Client, directory};
use serde_json::{Value, json};

fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_floatlease-server"))
}

fn run(arguments: &[&str]) -> (i32, String, String) {
    let Output { status, stdout, stderr } = program().args(arguments).stdin(Stdio::null()).output().unwrap();
    (status.code().unwrap(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

#[test]
fn the_demo_prints_one_line_and_ends_with_its_standard_input() {
    let mut demo = program().arg("demo").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdout = BufReader::new(demo.stdout.take().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    let facts: Value = serde_json::from_str(&line).unwrap();
    let keys: Vec<&str> = facts.as_object().unwrap().keys().map(String::as_str).collect();
    let expected = "base_url api_key shared_key public_key control_url product license_key feature consumption_license_key \
                    consumption_feature username password user_product pid";
    assert_eq!(keys.join(" "), expected);
    let text = |name: &str| facts[name].as_str().unwrap();
    let mut client = Client::new(text("base_url"), text("api_key"), text("shared_key"));
    let key_based = json!({ "product": text("product"), "license_key": text("license_key"), "hardware_id": "hw",
        "feature": text("feature"), "borrowed_until": null });
    let by_amount =
        json!({ "product": text("product"), "license_key": text("consumption_license_key"), "hardware_id": "hw" });
    let user = json!({ "product": text("user_product"), "username": text("username"), "password": text("password"),
        "hardware_id": "hw", "borrowed_until": null });
    let consumed = json!({ "product": text("product"), "license_key": text("license_key"), "hardware_id": "hw",
        "feature": text("consumption_feature") });
    for (operation, about) in [
        ("activate_license", &key_based),
        ("borrow_license", &key_based),
        ("check_feature", &key_based),
        ("borrow_feature", &key_based),
        ("add_feature_consumption", &consumed),
        ("activate_license", &by_amount),
        ("add_consumption", &by_amount),
        ("activate_license", &user),
        ("borrow_license", &user),
    ] {
        let answer = client.call(operation, about);
        assert_eq!(answer.code(), None, "{operation} {about}");
        assert!(answer.headers.contains_key("licensesignature"));
    }
    drop(demo.stdin.take());
    assert_eq!(demo.wait().unwrap().code(), Some(0));
    line.clear();
    assert_eq!(stdout.read_line(&mut line).unwrap(), 0, "one line and no more: {line}");
}

#[test]
fn exec_exports_what_a_client_needs_and_passes_on_the_exit_code() {
    let script = "env | grep -c '^FLOATLEASE_[A-Z_]*=' && printf %s \"$FLOATLEASE_CONFIG\" && exit 7";
    let (code, stdout, _) = run(&["exec", "--", "sh", "-c", script]);
    let (count, config) = stdout.split_once('\n').unwrap();
    assert_eq!((code, count), (7, "14"));
    let config: Value = serde_json::from_str(config).unwrap();
    let keys: Vec<&str> = config.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, ["product", "license_key", "api_key", "shared_key", "base_url", "public_key"]);
    assert_eq!(run(&["exec", "--", "sh", "-c", "kill -9 $$"]).0, 128 + 9);
}

#[test]
fn what_a_user_gets_wrong_is_one_sentence_and_exit_code_2() {
    let directory = directory("command-line");
    let bad = directory.join("bad.toml");
    std::fs::write(&bad, "[[product]]\ncod = \"P\"\n").unwrap();
    let good = directory.join("good.toml");
    std::fs::write(&good, "").unwrap();
    let (bad, good, data) = (bad.to_str().unwrap(), good.to_str().unwrap(), directory.to_str().unwrap());
    for (arguments, said) in [
        (&["check", bad][..], "did you mean `code`?"),
        (&["check", "/nowhere"], "can't read the catalogue /nowhere"),
        (&["serve", "--data", data, "--catalogue", bad], "did you mean `code`?"),
        (&["serve", "--data", data, "--catalogue", good, "--listen", "0.0.0.0:0"], "put a TLS proxy in front"),
        (&["serve", "--data", data], "--catalogue"),
        (&["exec", "--", "/nowhere"], "can't run /nowhere"),
        (&["exec"], "COMMAND"),
        (&["dem"], "demo"),
        (&[], "Usage"),
    ] {
        let (code, stdout, stderr) = run(arguments);
        assert_eq!((code, stdout.as_str()), (2, ""), "{arguments:?}: {stderr}");
        assert!(stderr.contains(said), "{arguments:?}: {stderr}");
    }
    let (code, stdout, _) = run(&["check", good]);
    assert_eq!(code, 0);
    assert!(stdout.contains("products: 0, licenses: 0"), "{stdout}");
}

#[test]
fn a_port_that_is_taken_is_said() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let (code, _, stderr) = run(&["demo", "--port", &port]);
    assert_eq!(code, 1);
    assert!(stderr.contains(&port) && stderr.contains("choose another"), "{stderr}");
}

#[test]
fn what_serve_keeps_is_nobody_elses_and_a_catalogue_without_keys_is_remarked_on() {
    use std::io::Read;
    use std::os::unix::fs::PermissionsExt;

    let data = directory("command-line-private").join("data");
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/catalogue.toml");
    let mut serve = program()
        .args(["serve", "--catalogue", sample, "--listen", "127.0.0.1:0", "--data"])
        .arg(&data)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(serve.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&data), mode(&data.join("private-key.pem"))), (0o700, 0o600), "{line}");

    Command::new("kill").arg(serve.id().to_string()).status().unwrap();
    assert_eq!(serve.wait().unwrap().code(), Some(0), "SIGTERM ends it in order");
    let mut said = String::new();
    serve.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(said.contains("no [[api_key]]"), "{said}");
}
