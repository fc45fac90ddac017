//! TLS for real: a private authority is trusted when told so, and everything else is refused by its own name.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use serde_json::{Value, json};
use support::abi::Client;
use support::tls::Authority;
use support::{Demo, stub, with};

fn client(demo: &Demo, host: &str, front: &str, roots: &str) -> Client {
    let port = front.rsplit(':').next().unwrap();
    let url = format!("https://{host}:{port}/api/v4");
    Client::open(&with(&demo.config("tls"), json!({"base_url": url, "tls_roots": roots}))).unwrap()
}

#[test]
fn a_private_authority_is_accepted_through_tls_roots() {
    let (demo, authority) = (Demo::start(), Authority::new());
    let front = authority.front(demo.address(), &["localhost", "127.0.0.1"], false);
    for host in ["localhost", "127.0.0.1"] {
        let client = client(&demo, host, &front, &authority.pem());
        client.call("activate_license", &Value::Null).ok();
        assert_eq!(client.call("check_license", &Value::Null).ok()["license_enabled"], true);
        let report = client.diagnose();
        assert_eq!(report["ok"], true, "{report}");
    }
}

#[test]
fn what_can_not_be_trusted_is_refused_by_its_own_name_before_anything_is_sent() {
    let (demo, authority, stranger) = (Demo::start(), Authority::new(), Authority::new());
    let fresh = authority.front(demo.address(), &["localhost"], false);
    let expired = authority.front(demo.address(), &["localhost"], true);
    let elsewhere = authority.front(demo.address(), &["licenses.example.com"], false);
    for (front, roots, status) in [
        (&expired, &authority, "TLS_EXPIRED"),
        (&elsewhere, &authority, "TLS_WRONG_HOST"),
        (&fresh, &stranger, "TLS_UNKNOWN_CA"),
        (&demo.address(), &authority, "TLS"),
    ] {
        let client = client(&demo, "localhost", front, &roots.pem());
        let error = client.call("activate_license", &json!({})).failed(status, "not_sent");
        assert_eq!(error["attempts"], 1, "trying again would not help: {error}");
        let report = client.diagnose();
        let tls = report["checks"].as_array().unwrap().iter().find(|check| check["check"] == "tls").unwrap();
        assert_eq!(tls["verdict"], "failed", "{report}");
    }
    // Mozilla's authorities do not know ours either.
    client(&demo, "localhost", &fresh, "bundled")
        .call("check_license", &json!({}))
        .failed("TLS_UNKNOWN_CA", "not_sent");
}

#[test]
fn a_silent_tls_server_ends_at_the_connect_timeout() {
    let (demo, authority) = (Demo::start(), Authority::new());
    let client = client(&demo, "localhost", &stub::silent(), &authority.pem());
    client.call("borrow_license", &json!({"timeout_ms": 300})).failed("TIMEOUT", "not_sent");
}
