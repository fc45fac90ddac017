//! The environment's proxies mean what they mean to curl: each row of the table in docs/proxies.md, for curl and for the
//! library.
//!
//! One test, because the environment belongs to the whole process.
#![cfg(target_os = "linux")]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(unsafe_code)]

mod support;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use std::io::Write;
use std::sync::{Arc, Mutex};
use support::abi::Client;
use support::document::read;
use support::stub::{Message, listen_at, read_message};
use support::{believing, tool, with};

/// Every variable that may have to do with proxies.
const VARIABLES: [&str; 8] =
    ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY"];

/// A row of the table.
#[derive(Debug)]
struct Row {
    /// Variables and their values, with the addresses of the stubs in place of the proxies' names.
    environment: Vec<(String, String)>,
    server: String,
    /// As the table has it, without backticks.
    way: String,
}

/// A proxy that asks everyone for credentials, and remembers the requests.
struct Stub {
    /// As the table names it.
    name: &'static str,
    address: String,
    requests: Arc<Mutex<Vec<Message>>>,
}

impl Stub {
    fn start(name: &'static str, address: &str) -> Stub {
        let requests = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&requests);
        let address = listen_at(address, move |mut client| {
            let Some(request) = read_message(&mut client) else { return };
            heard.lock().unwrap().push(request);
            let refusal = b"HTTP/1.1 407 Credentials, please\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            let _ = client.write_all(refusal);
        });
        Stub { name, address, requests }
    }
}

/// The way that one request to `server` took, by what the stubs have heard; they forget it.
fn way_taken(stubs: &[Stub], server: &str) -> Option<String> {
    let heard = |stub: &Stub| std::mem::take(&mut *stub.requests.lock().unwrap());
    let heard: Vec<(&str, Message)> =
        stubs.iter().flat_map(|stub| heard(stub).into_iter().map(|request| (stub.name, request))).collect();
    let [(name, request)] = heard.as_slice() else {
        assert!(heard.is_empty(), "several requests: {heard:?}");
        return None;
    };
    let target = request.head.split(' ').nth(1).unwrap();
    let way = if request.head.starts_with("CONNECT ") {
        let host = server.strip_prefix("https://").expect("tunnels are for https");
        let is_complete = host.rsplit(']').next().unwrap().contains(':');
        assert_eq!(target, if is_complete { host.to_owned() } else { format!("{host}:443") });
        format!("tunnel through {name}")
    } else {
        assert!(target.starts_with(&format!("{server}/")), "{target} is no URL of {server}");
        format!("passed on by {name}")
    };
    let credentials = request.header("proxy-authorization").map(|value| {
        let value = value.strip_prefix("Basic ").expect("Basic credentials");
        String::from_utf8(BASE64_STANDARD.decode(value).unwrap()).unwrap()
    });
    Some(credentials.map_or(way.clone(), |credentials| format!("{way} as {credentials}")))
}

/// Splits `name=value other='a value'`.
fn assignments(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((name, behind)) = rest.split_once('=') {
        let (value, behind) = match behind.strip_prefix('\'') {
            Some(quoted) => quoted.split_once('\'').unwrap(),
            None => behind.split_at(behind.find(' ').unwrap_or(behind.len())),
        };
        found.push((name.trim().to_owned(), value.to_owned()));
        rest = behind;
    }
    found
}

/// The table, with the stubs in it.
fn rows(stubs: &[Stub]) -> Vec<Row> {
    let page = read("docs/proxies.md");
    let table = page.split("| environment | server | way |").nth(1).unwrap();
    let lines = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    lines
        .map(|line| {
            let cells: Vec<String> =
                line.trim_matches('|').split('|').map(|cell| cell.trim().replace('`', "")).collect();
            let mut environment = cells[0].clone();
            for stub in stubs {
                environment = environment.replace(&format!("{}:3128", stub.name), &stub.address);
            }
            Row { environment: assignments(&environment), server: cells[1].clone(), way: cells[2].clone() }
        })
        .collect()
}

/// The way that curl takes.
fn way_of_curl(row: &Row, stubs: &[Stub]) -> String {
    let mut curl = tool("curl");
    curl.env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .envs(row.environment.iter().map(|(name, value)| (name, value)));
    curl.args(["-q", "-sS", "-o", "/dev/null", "--connect-timeout", "0.3", "--max-time", "5"]);
    let output = curl.arg(format!("{}/", row.server)).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    way_taken(stubs, &row.server).unwrap_or_else(|| {
        let is_refused = said.contains("Unsupported proxy");
        if is_refused { "refused".to_owned() } else { "direct".to_owned() }
    })
}

fn open(row: &Row) -> Result<Client, Value> {
    let config = json!({
        "base_url": format!("{}/api/v4", row.server), "allow_http": true,
        "connect_timeout_ms": 300, "timeout_ms": 1000,
    });
    for (name, value) in &row.environment {
        // SAFETY: this test binary has one test and no thread that reads the environment meanwhile.
        unsafe { std::env::set_var(name, value) };
    }
    let opened = Client::open(&with(&believing("127.0.0.1:9"), config));
    // SAFETY: the same.
    row.environment.iter().for_each(|(name, _)| unsafe { std::env::remove_var(name) });
    opened
}

/// The way that the library takes; its errors name the variable that counts.
fn way_of_library(row: &Row, opened: &Result<Client, Value>, stubs: &[Stub]) -> String {
    let client = match opened {
        Ok(client) => client,
        Err(error) => {
            assert_eq!(error["name"], "BAD_VALUE", "{row:?}");
            let (variable, value) = &row.environment[0];
            let message = error["message"].as_str().unwrap();
            assert!(message.contains(variable) && !message.contains(value.as_str()), "{row:?}: {message}");
            return "refused".to_owned();
        }
    };
    // It may not be repeated, so it takes its way once, or fails before.
    let answer = client.call("borrow_license", &Value::Null);
    let Some(way) = way_taken(stubs, &row.server) else { return "direct".to_owned() };
    let outcome = if way.starts_with("tunnel") { "not_sent" } else { "rejected" };
    let error = answer.failed("PROXY_AUTH", outcome);
    let stub = stubs.iter().find(|stub| way.contains(stub.name)).unwrap();
    let host = stub.address.split(':').next().unwrap();
    let names = |value: &str| value.contains(&stub.address) || stub.name.contains(':') && value.ends_with(host);
    let message = error["message"].as_str().unwrap();
    let naming = row.environment.iter().filter(|(_, value)| names(value)).map(|(name, _)| name);
    let sentence = |name: &String| format!("The environment's {name} names the proxy {}", stub.address);
    assert!(naming.map(sentence).any(|sentence| message.contains(&sentence)), "{row:?}: {message}");
    way
}

#[test]
fn each_row_of_table_holds_for_curl_and_library() {
    // SAFETY: no other thread has begun.
    VARIABLES.iter().for_each(|name| unsafe { std::env::remove_var(name) });
    let stubs = [
        Stub::start("proxy", "127.0.0.1:0"),
        Stub::start("other", "127.0.0.1:0"),
        Stub::start("127.0.0.2:1080", "127.0.0.2:1080"),
    ];
    let rows = rows(&stubs);
    assert!(rows.len() > 40, "{} rows", rows.len());
    // First all clients, since a resolver's thread may read the environment later.
    let clients: Vec<_> = rows.iter().map(open).collect();
    for (row, client) in rows.iter().zip(&clients) {
        assert_eq!(way_of_curl(row, &stubs), row.way, "curl, {row:?}");
        assert_eq!(way_of_library(row, client, &stubs), row.way, "the library, {row:?}");
    }
}
