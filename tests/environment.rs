//! What the library takes from the environment, and when: proxies and authorities, in `client_open`, once.
//!
//! One test, because the environment belongs to the whole process.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(unsafe_code)]

mod support;

use serde_json::{Value, json};
use std::io::Write;
use support::abi::Client;
use support::proxy::Proxy;
use support::stub::{answering, listen, read_message};
use support::tls::Authority;
use support::{Demo, with};

/// "floatlease:s3cret" in Base64.
const CREDENTIALS: &str = "ZmxvYXRsZWFzZTpzM2NyZXQ=";

fn set(name: &str, value: &str) {
    // SAFETY: this test binary has one test and no thread that reads the environment meanwhile.
    unsafe { std::env::set_var(name, value) };
}

fn unset(names: &[&str]) {
    // SAFETY: as in `set`.
    names.iter().for_each(|name| unsafe { std::env::remove_var(name) });
}

#[test]
fn proxies_and_authorities_come_from_config_or_environment() {
    let (demo, authority) = (Demo::start(), Authority::new());
    // A name that only the proxy can reach shows that the request went through it.
    let host = "licenses.invalid";
    let front = authority.front(demo.address(), &[host], false);
    let plain = json!({"base_url": format!("http://{host}/api/v4"), "allow_http": true});
    let secure = json!({"base_url": format!("https://{host}/api/v4"), "tls_roots": authority.pem()});
    let opened = |server: &Value, changes: Value| {
        Client::open(&with(&with(&demo.config("proxy"), server.clone()), changes)).unwrap()
    };

    for (server, target, variable, refused_outcome) in
        [(&plain, demo.address(), "http_proxy", "rejected"), (&secure, front.clone(), "HTTPS_PROXY", "not_sent")]
    {
        let (open, guarded) = (Proxy::to(target.clone(), None), Proxy::to(target, Some(CREDENTIALS)));
        let with_password = format!("http://floatlease:s3cret@{}", guarded.address);
        let without_password = format!("http://{}", guarded.address);

        // By config.
        for (proxy, url) in [(&open, format!("http://{}", open.address)), (&guarded, with_password.clone())] {
            let client = opened(server, json!({"proxy": url}));
            client.call("activate_license", &Value::Null).ok();
            assert_eq!(proxy.connections(), 1, "{url}");
            client.call("check_license", &Value::Null).ok();
            assert_eq!(proxy.connections(), 1, "the connection is kept");
        }
        let refused = opened(server, json!({"proxy": without_password}));
        refused.call("check_license", &Value::Null).failed("PROXY_AUTH", refused_outcome);

        // By environment, read when the client is opened and not again.
        for variable in ["ALL_PROXY", variable] {
            set(variable, &with_password);
            let client = opened(server, json!({}));
            unset(&[variable]);
            let before = guarded.connections();
            client.call("check_license", &Value::Null).ok();
            assert_eq!(guarded.connections(), before + 1, "{variable}");
            let report = client.diagnose();
            let check = report["checks"].as_array().unwrap().iter().find(|check| check["check"] == "proxy").unwrap();
            assert_eq!(check["verdict"], "ok", "{report}");
            assert!(check["detail"].as_str().unwrap().contains(variable), "{report}");
        }

        // "none" and NO_PROXY go direct, where the name does not exist.
        set("ALL_PROXY", &with_password);
        let direct = opened(server, json!({"proxy": "none"}));
        set("NO_PROXY", host);
        let excepted = opened(server, json!({}));
        unset(&["ALL_PROXY", "NO_PROXY"]);
        for client in [direct, excepted] {
            client.call("borrow_license", &json!({"timeout_ms": 2000})).failed("DNS", "not_sent");
        }
    }

    // A server on this machine is not asked for through the environment's proxy.
    set("ALL_PROXY", "http://127.0.0.1:9");
    let local = demo.client("local");
    unset(&["ALL_PROXY"]);
    local.call("activate_license", &Value::Null).ok();

    // A kind of proxy that is not supported is said so at once.
    set("ALL_PROXY", "socks5://127.0.0.1:9");
    let error = Client::open(&with(&demo.config("socks"), plain.clone())).unwrap_err();
    unset(&["ALL_PROXY"]);
    assert_eq!(error["name"], "BAD_VALUE", "{error}");
    assert!(error["message"].as_str().unwrap().contains("ALL_PROXY"), "{error}");

    // Nor is a port that can't be connected to taken for another, which would get the credentials.
    for port in ["0", "", "65536", "http"] {
        let url = format!("http://floatlease:s3cret@127.0.0.1:{port}");
        let error = Client::open(&with(&demo.config("port"), with(&plain, json!({ "proxy": url })))).unwrap_err();
        assert!(error["name"] == "BAD_VALUE" && !error.to_string().contains("s3cret"), "{port}: {error}");
    }

    // What a proxy says behind its own reply is not taken for the server's, nor for that to the next request.
    let talkative = listen(|mut client| {
        let _ = read_message(&mut client);
        let early = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
        let _ = client.write_all(format!("HTTP/1.1 200 Connection established\r\n\r\n{early}").as_bytes());
        let _ = read_message(&mut client);
    });
    let client = opened(&secure, json!({ "proxy": format!("http://{talkative}") }));
    client.call("release_license", &json!({ "timeout_ms": 2000 })).failed("PROXY", "not_sent");

    // A proxy that is not there is not the server's fault.
    let nobody = opened(&plain, json!({"proxy": "http://127.0.0.1:9"}));
    let error = nobody.call("borrow_license", &Value::Null).failed("CONNECT", "not_sent");
    assert!(
        error["message"].as_str().unwrap().contains("\"proxy\" in the config names the proxy 127.0.0.1:9"),
        "{error}"
    );

    // Nor is what a proxy says in place of the server.
    for (status, name) in [("503 Service Unavailable", "SERVER_ERROR"), ("403 Forbidden", "REPLY_NOT_API")] {
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 5\r\n\r\nblock");
        set("http_proxy", &format!("http://{}", answering(answer)));
        let client = opened(&plain, json!({}));
        unset(&["http_proxy"]);
        let error = client.call("borrow_license", &Value::Null).failed(name, "unknown");
        assert!(error["message"].as_str().unwrap().contains("The environment's http_proxy names the proxy"), "{error}");
    }

    // A proxy's name may be wrong as well as the server's.
    let unknown = opened(&secure, json!({"proxy": "http://proxy.invalid:3128"}));
    let error = unknown.call("borrow_license", &json!({"timeout_ms": 2000})).failed("DNS", "not_sent");
    assert!(error["message"].as_str().unwrap().contains("the proxy proxy.invalid:3128"), "{error}");

    // The way to an https proxy is encrypted, and its certificate is checked.
    let encrypted = Proxy::to(demo.address(), None);
    let proxy_front = authority.front(encrypted.address.clone(), &["localhost"], false);
    let url = format!("https://localhost:{}", proxy_front.rsplit(':').next().unwrap());
    let trusting = opened(&plain, json!({"proxy": url, "tls_roots": authority.pem()}));
    trusting.call("check_license", &Value::Null).ok();
    assert_eq!(encrypted.connections(), 1);
    let distrusting = opened(&plain, json!({"proxy": url, "tls_roots": "bundled"}));
    distrusting.call("check_license", &Value::Null).failed("TLS_UNKNOWN_CA", "not_sent");

    // The system's authorities are found where the environment says; some systems have a store instead.
    if cfg!(any(windows, target_vendor = "apple")) {
        return;
    }
    let bundle = support::target_dir().join("authority.pem");
    std::fs::write(&bundle, authority.pem()).unwrap();
    let local_front = authority.front(demo.address(), &["localhost"], false);
    let port = local_front.rsplit(':').next().unwrap();
    set("SSL_CERT_FILE", bundle.to_str().unwrap());
    let trusting = opened(&json!({"base_url": format!("https://localhost:{port}/api/v4")}), json!({}));
    unset(&["SSL_CERT_FILE"]);
    trusting.call("check_license", &json!({"hardware_id": "local"})).ok();
}
