//! Names and keys as people paste them: what can't be meant does no harm, and the rest is named.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use serde_json::{Value, json};
use support::abi::Client;
use support::{Demo, with};

/// The config of this demo with some keys changed, and the names and keys as `paste` makes them.
fn pasted(demo: &Demo, paste: impl Fn(&str) -> String) -> Value {
    let mut config = demo.config("pasted");
    for key in ["license_key", "product", "api_key", "shared_key", "base_url"] {
        config[key] = paste(config[key].as_str().unwrap()).into();
    }
    config
}

#[test]
fn what_can_not_be_meant_at_the_ends_of_names_is_taken_off() {
    let demo = Demo::start();
    for (before, after) in
        [(" ", ""), ("", "\r\n"), ("\u{feff}", ""), ("\u{a0}", "\u{200b}"), ("\u{200e}\t", "\u{3000}")]
    {
        let client = Client::open(&pasted(&demo, |text| format!("{before}{text}{after}"))).unwrap();
        client.call("activate_license", &Value::Null).ok();
        let feature = format!("{before}MESH{after}");
        let reply = client.call("check_feature", &json!({ "feature": feature })).ok();
        assert_eq!(reply["code"], "MESH", "{reply}");
        client.call("release_feature", &json!({ "feature": feature })).ok();
        let (lease, _) = client.acquire(&json!({ "features": [feature] }));
        assert_eq!(lease.state(), "ACTIVE");
        lease.release().ok();
        assert_eq!(client.call("check_license", &json!({ "hardware_id": "pasted" })).ok()["times_activated"], 1);
        client.call("release_license", &Value::Null).ok();
    }
}

#[test]
fn config_after_a_byte_order_mark_is_read() {
    let demo = Demo::start();
    let config = format!("\u{feff}{}", demo.config("marked"));
    Client::open_text(&config).unwrap().call("activate_license", &Value::Null).ok();
}

#[test]
fn invisible_character_inside_a_key_is_named_by_its_place() {
    let demo = Demo::start();
    let config = with(&demo.config("hidden"), json!({ "license_key": "CADP-\u{200b}FLOA" }));
    let error = Client::open(&config).err().unwrap();
    assert_eq!(error["name"], "BAD_VALUE");
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("\"license_key\"") && message.contains("U+200B, in place 6"), "{message}");
    assert!(!message.contains("CADP"), "{message}");
}

#[test]
fn key_that_is_not_known_is_called_a_key_and_looked_at() {
    let demo = Demo::start();
    let key = demo.config("odd")["license_key"].as_str().unwrap().to_owned();
    let blank = key.replacen('-', " ", 1);
    for (key, words) in
        [(key.to_lowercase(), "in lower case"), (blank, "a blank"), ("NO-SUCH-KEY".to_owned(), "product.")]
    {
        let client = Client::open(&with(&demo.config("odd"), json!({ "license_key": key }))).unwrap();
        let error = client.call("activate_license", &Value::Null).refused("LICENSE_NOT_FOUND");
        let message = error["message"].as_str().unwrap();
        let ours = message.split("The server says").next().unwrap();
        assert!(ours.contains("no such license key") && ours.contains(words), "{message}");
        assert!(!message.contains(&key), "{message}");
    }
}

#[test]
fn public_key_is_read_in_each_form_that_is_unambiguous_and_the_rest_is_named() {
    let demo = Demo::start();
    let key = demo.config("forms")["public_key"].as_str().unwrap().to_owned();
    let open = |key: &str| Client::open(&with(&demo.config("forms"), json!({ "public_key": key })));
    for form in
        [key.replace('\n', "\\n"), key.replace('\n', " "), key.replace('\n', "\r\n    "), format!("\u{feff}  {key}")]
    {
        open(&form).unwrap().call("activate_license", &Value::Null).ok();
    }
    for (form, words) in [
        ("/etc/floatlease/public.pem", "the path of a file"),
        ("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----", "a private key"),
        (key.split("-----END").next().unwrap(), "cut off"),
        ("hello", "BEGIN and END"),
    ] {
        let error = open(form).err().unwrap();
        assert_eq!(error["name"], "BAD_VALUE");
        let message = error["message"].as_str().unwrap();
        assert!(message.starts_with("\"public_key\" in the config ") && message.contains(words), "{message}");
    }
}
