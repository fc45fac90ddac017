//! Secrets stay secret: no error, report or `Debug` shows a key, a password or a token, whatever goes wrong.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use floatlease::config::Config;
use serde_json::{Value, json};
use support::abi::Client;
use support::stub::{self, Message};
use support::with;

/// Each stands for itself wherever it turns up.
const SECRETS: [&str; 11] = [
    "KEY-4f1",
    "apikey-9",
    "sharedkey-7",
    "password-1",
    "proxypass-5",
    "token-8",
    "code-6a",
    "newpassword-2",
    "auth-company-2",
    "clientsecret-3",
    "access.token-4",
];

fn config(address: &str) -> Value {
    json!({
        "product": "XY", "license_key": "KEY-4f1d", "api_key": "apikey-9c2e", "shared_key": "sharedkey-77aa",
        "hardware_id": "hw-1", "verify": "off", "base_url": format!("http://{address}/api/v4"),
    })
}

fn by(mut way: Value) -> Value {
    way["license_key"] = Value::Null;
    way
}

/// A server that answers with one line of what it was sent; with 0 the request line, with 99 the body.
fn echo(line: usize) -> String {
    stub::listen(move |mut stream| {
        use std::io::Write;
        while let Some(request) = stub::read_message(&mut stream) {
            let body = String::from_utf8_lossy(&request.body).into_owned();
            let heard = request.head.lines().nth(line).map_or(body, str::to_owned);
            // Padded so that the longest message ends within it.
            let heard = format!("{heard} {} {heard}", "x".repeat(280_usize.saturating_sub(heard.len())));
            let body = json!({"status": 400, "code": heard, "message": heard}).to_string().into_bytes();
            let head = "HTTP/1.1 400 Bad Request".to_owned();
            stream.write_all(&Message { head, body }.bytes()).unwrap();
        }
    })
}

/// The same, but for the token endpoint: it issues a token, or with `refuses` answers with what it was sent.
fn echo_with_tokens(line: usize, refuses: bool) -> String {
    stub::listen(move |mut stream| {
        use std::io::Write;
        while let Some(request) = stub::read_message(&mut stream) {
            let body = String::from_utf8_lossy(&request.body).into_owned();
            // Decoded, as a server has it.
            let form = body.replace("%2D", "-").replace("%2E", ".");
            let heard = request.head.lines().nth(line).map_or(form, str::to_owned);
            let heard = format!("{heard} {} {heard}", "x".repeat(280_usize.saturating_sub(heard.len())));
            let (status, answer) = match (request.head.starts_with("POST /token"), refuses) {
                (true, false) => ("200 OK", json!({"access_token": "access.token-4d4d", "expires_in": 480})),
                (true, true) => ("401 Unauthorized", json!({"error": heard, "error_description": heard})),
                (false, _) => ("400 Bad Request", json!({"status": 400, "code": heard, "message": heard})),
            };
            let head = format!("HTTP/1.1 {status}");
            stream.write_all(&Message { head, body: answer.to_string().into_bytes() }.bytes()).unwrap();
        }
    })
}

/// The config of a client by access tokens.
fn by_token(address: &str) -> Value {
    let keys = json!({
        "api_key": null, "shared_key": null, "client_id": "auth-company-2b2b", "client_secret": "clientsecret-3c3c",
        "oauth_url": format!("http://{address}/token"),
    });
    with(&config(address), keys)
}

#[test]
fn nothing_that_goes_wrong_shows_a_secret() {
    let refused = "127.0.0.1:9";
    let mut said = Vec::new();

    // Configs that are wrong in many ways, each with a secret near the mistake.
    let base = config(refused);
    for changes in [
        json!({"shared_key": ["sharedkey-77aa"]}),
        json!({"api_key": "apikey-9c2e\n2"}),
        json!({"licence_key": "KEY-4f1d"}),
        json!({"username": "u", "password": "password-1b3c"}),
        json!({"proxy": "http://u:proxypass-5d5d@:x"}),
        json!({"proxy": "socks5://u:proxypass-5d5d@host:1"}),
        json!({"base_url": "https://u:password-1b3c@host"}),
        json!({"public_key": "sharedkey-77aa", "verify": "on"}),
        json!({"tls_roots": "sharedkey-77aa"}),
        json!({"client_secret": "clientsecret-3c3c"}),
        json!({"oauth_url": "clientsecret-3c3c"}),
    ] {
        said.push(Client::open(&with(&base, changes)).unwrap_err().to_string());
    }
    said.push(Client::open(&json!("KEY-4f1d")).unwrap_err().to_string());

    // Calls that fail on the way, at the server, and in the request.
    let mut ways = vec![
        (refused.to_owned(), json!({})),
        (echo(99), by(json!({"username": "u", "password": "password-1b3c"}))),
        (echo(99), by(json!({"id_token": "token-8e8e", "customer_account_code": "c"}))),
        (echo(99), by(json!({"code": "code-6a6a", "customer_account_code": "c"}))),
        ("host.invalid".to_owned(), json!({"proxy": "http://u:proxypass-5d5d@127.0.0.1:9", "allow_http": true})),
    ];
    ways.extend((0..10).chain([99]).map(|line| (echo(line), json!({}))));
    for (address, changes) in ways {
        let client = Client::open(&with(&config(&address), changes)).unwrap();
        for (verb, request) in [
            ("activate_license", json!({})),
            ("check_license", json!({})),
            ("borrow_license", json!({"license_key": "KEY-4f1d", "borrowed_until": "KEY-4f1d"})),
            ("check_feature", json!({"feature": ["KEY-4f1d"]})),
            ("release_license", json!({"license_key": "KEY-4f1d-other", "hardware_id": "h"})),
            (
                "change_password",
                json!({"username": "u", "password": "password-1b3c", "new_password": "newpassword-2d4d"}),
            ),
            (
                "change_password",
                json!({"username": "u", "password": "password-1b3c", "new_password": ["newpassword-2d4d"]}),
            ),
            ("user_licenses", json!({"username": "u", "password": "password-1b3c"})),
            ("user_licenses", json!({"id_token": "token-8e8e", "customer_account_code": "c"})),
            ("KEY-4f1d", json!({})),
        ] {
            let answer = client.call(verb, &request);
            assert_ne!(answer.status, "OK");
            // The name of an operation is no secret; that one is a key is the caller's doing.
            if verb != "KEY-4f1d" {
                said.push(answer.json.to_string());
            }
        }
        said.push(client.diagnose().to_string());
    }

    // The same by access tokens: the token endpoint refuses, or the server does.
    for (line, refuses) in (0..10).chain([99]).flat_map(|line| [(line, false), (line, true)]) {
        let client = Client::open(&by_token(&echo_with_tokens(line, refuses))).unwrap();
        for verb in ["check_license", "borrow_license"] {
            let answer = client.call(verb, &json!({}));
            assert_eq!(answer.status == "OAUTH_CLIENT_REFUSED", refuses, "{}", answer.json);
            said.push(answer.json.to_string());
        }
        said.push(client.diagnose().to_string());
    }
    // A server that names the secret as the token endpoint, and one that is out of reach.
    for url in ["http://clientsecret-3c3c/auth-company-2b2b", "clientsecret-3c3c", "https://clientsecret-3c3c:1/"] {
        let named = json!({"url": url}).to_string().into_bytes();
        let reply = Message { head: "HTTP/1.1 200 OK".to_owned(), body: named }.bytes();
        let client = Client::open(&with(&by_token(&stub::answering(reply)), json!({"oauth_url": null}))).unwrap();
        said.push(client.call("check_license", &json!({})).json.to_string());
        said.push(client.diagnose().to_string());
    }
    said.push(Client::open(&by_token(refused)).unwrap().call("check_license", &json!({})).json.to_string());

    // What a Rust host would print.
    let with_token = floatlease::Client::open(&by_token(&echo_with_tokens(0, false)).to_string()).unwrap();
    said.push(with_token.call("check_license", "{}").unwrap_err().to_string());
    said.push(format!("{with_token:?}"));
    let user = json!({"license_key": null, "username": "u", "password": "password-1b3c"});
    for changes in [json!({}), user, json!({"proxy": "http://u:proxypass-5d5d@h:1"})] {
        let text = with(&config(refused), changes).to_string();
        said.push(format!("{:?}", Config::parse(&text).unwrap()));
        said.push(format!("{:?}", floatlease::Client::open(&text).unwrap()));
    }

    for text in &said {
        for secret in SECRETS {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
    }
    assert!(said.len() > 30);
}
