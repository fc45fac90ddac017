//! What the tests share: a client that writes HTTP by hand, and a server in this process whose clock stands still.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic, unreachable_pub)]

pub mod description;
pub mod model;
pub mod offline;
pub mod process;
pub mod sandbox;
pub mod world;

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use floatlease::model::{format_http_date, parse_time};
use floatlease::operations::{Method, Operation};
use floatlease::sign::authorization;
use floatlease_server::clock::ControlledClock;
use floatlease_server::domain::Refusal;
use floatlease_server::keys::SigningKey;
use floatlease_server::store::Store;
use floatlease_server::{RateLimits, Server, Setup, catalogue};
use serde_json::Value;

pub const API_KEY: &str = "test-api-key";
pub const SHARED_KEY: &str = "test-shared-key";

pub fn time(text: &str) -> DateTime<Utc> {
    parse_time(text).unwrap()
}

/// The request with more parameters, or with others.
pub fn with(base: &Value, more: Value) -> Value {
    let mut request = base.clone();
    request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    request
}

/// A server in this process, and its clock.
pub struct TestServer {
    pub server: Server,
    pub clock: Arc<ControlledClock>,
}

impl TestServer {
    pub fn start(catalogue_toml: &str, store: Box<dyn Store>, unsigned: bool) -> TestServer {
        let clock = Arc::new(ControlledClock::new(time("2026-01-01"), 0.0));
        let server = Server::start(Setup {
            catalogue: catalogue::parse(catalogue_toml).unwrap(),
            store,
            clock: clock.clone(),
            key: SigningKey::generate().unwrap(),
            unsigned,
            listen: "127.0.0.1:0".parse().unwrap(),
            rate_limits: RateLimits::default(),
        })
        .unwrap();
        TestServer { server, clock }
    }

    pub fn client(&self) -> Client {
        Client::new(self.server.base_url(), API_KEY, SHARED_KEY)
    }
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    /// Names in lower case.
    pub headers: HashMap<String, String>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("not JSON: {self:?}"))
    }

    /// The code of an error, whose body must be exactly a v4 error; nothing for a success.
    pub fn code(&self) -> Option<String> {
        if self.status == 200 {
            return None;
        }
        let json = self.json();
        let keys: Vec<&String> = json.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["status", "code", "message"], "{json}");
        assert_eq!(json["status"], self.status, "{json}");
        assert!(json["message"].as_str().is_some_and(|message| !message.is_empty()), "{json}");
        Some(json["code"].as_str().unwrap().to_owned())
    }
}

/// Speaks HTTP over one kept connection.
pub struct Client {
    address: SocketAddr,
    pub api_key: String,
    pub shared_key: String,
    stream: Option<BufReader<TcpStream>>,
}

impl Client {
    pub fn new(base_url: &str, api_key: &str, shared_key: &str) -> Client {
        let address = base_url.strip_prefix("http://").unwrap().split('/').next().unwrap().parse().unwrap();
        Client { address, api_key: api_key.to_owned(), shared_key: shared_key.to_owned(), stream: None }
    }

    /// Asks an operation by name, with the two headers and nothing else.
    pub fn call(&mut self, operation: &str, parameters: &Value) -> Answer {
        self.try_call(operation, parameters).unwrap()
    }

    pub fn try_call(&mut self, operation: &str, parameters: &Value) -> std::io::Result<Answer> {
        self.try_call_with(operation, parameters, &[])
    }

    /// Asks an operation, with more headers.
    pub fn call_with(&mut self, operation: &str, parameters: &Value, more: &[(&str, &str)]) -> Answer {
        self.try_call_with(operation, parameters, more).unwrap()
    }

    pub fn try_call_with(
        &mut self,
        operation: &str,
        parameters: &Value,
        more: &[(&str, &str)],
    ) -> std::io::Result<Answer> {
        let operation = Operation::named(operation).unwrap();
        let mut headers = self.authorised();
        headers.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        match operation.method {
            Method::Get => self.ask(operation, &query_of(parameters), &headers, b""),
            Method::Post => {
                let file = parameters["file"].as_str().filter(|_| operation.takes_file());
                let body = file.map_or_else(|| parameters.to_string(), str::to_owned);
                self.ask(operation, "", &headers, body.as_bytes())
            }
        }
    }

    /// Asks an operation with this query, headers and body. A refusal must have one of the operation's codes.
    pub fn ask(
        &mut self,
        operation: &Operation,
        query: &str,
        headers: &[(String, String)],
        body: &[u8],
    ) -> std::io::Result<Answer> {
        let (method, target) = match operation.method {
            Method::Get => ("GET", format!("/api/v4{}?{query}", operation.path)),
            Method::Post => ("POST", format!("/api/v4{}", operation.path)),
        };
        let answer = self.send(method, &target, headers, body)?;
        // A fault of the sandbox may have any status, code and body.
        if answer.status >= 400 && !answer.headers.contains_key("x-sandbox-fault") {
            let row = (answer.status, answer.code().unwrap());
            let listed = Refusal::codes_of(operation.name);
            let is_listed = listed.iter().any(|(status, code)| (*status, *code) == (row.0, row.1.as_str()));
            assert!(is_listed, "{}: {row:?} is not in its row of domain/refusal_codes.rs", operation.name);
        }
        Ok(answer)
    }

    pub fn authorised(&self) -> Vec<(String, String)> {
        let date = format_http_date(Utc::now());
        let authorization = authorization(&self.api_key, &self.shared_key, &date);
        vec![("Date".to_owned(), date), ("Authorization".to_owned(), authorization)]
    }

    pub fn send(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(String, String)],
        body: &[u8],
    ) -> std::io::Result<Answer> {
        let mut request = format!("{method} {target} HTTP/1.1\r\nHost: test\r\n");
        for (name, value) in headers {
            request += &format!("{name}: {value}\r\n");
        }
        request += &format!("Content-Length: {}\r\n\r\n", body.len());
        let mut bytes = request.into_bytes();
        bytes.extend_from_slice(body);
        let result = self.exchange(&bytes);
        if result.is_err() {
            self.stream = None;
        }
        result
    }

    /// Whether the server ends the connection, whatever it still sends.
    pub fn is_closed(&mut self) -> bool {
        let Some(stream) = &mut self.stream else { return true };
        stream.get_mut().set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        stream.read_to_end(&mut Vec::new()).is_ok()
    }

    /// Sends bytes as they are.
    pub fn exchange(&mut self, bytes: &[u8]) -> std::io::Result<Answer> {
        if self.stream.is_none() {
            let stream = TcpStream::connect(self.address)?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(Duration::from_secs(20)))?;
            self.stream = Some(BufReader::new(stream));
        }
        let stream = self.stream.as_mut().unwrap();
        stream.get_mut().write_all(bytes)?;
        read_answer(stream)
    }
}

/// Returns the query with these parameters. It has no nulls, and other values are written as JSON.
pub fn query_of(parameters: &Value) -> String {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let given = parameters.as_object().unwrap().iter().filter(|(_, value)| !value.is_null());
    form_urlencoded::Serializer::new(String::new())
        .extend_pairs(given.map(|(name, value)| (name, text(value))))
        .finish()
}

fn read_answer(stream: &mut BufReader<TcpStream>) -> std::io::Result<Answer> {
    let mut line = String::new();
    if stream.read_line(&mut line)? == 0 {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    let status = line.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
    let mut headers = HashMap::new();
    loop {
        line.clear();
        if stream.read_line(&mut line)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or_default();
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    Ok(Answer { status, headers, body })
}

/// A directory of this test's own, empty.
pub fn directory(name: &str) -> PathBuf {
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&directory);
    std::fs::create_dir_all(&directory).unwrap();
    directory
}

/// Small, deterministic random numbers (xorshift64*).
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % end
    }
}
