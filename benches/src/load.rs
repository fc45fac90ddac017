//! Asks a server for `check_license` over kept connections, each sending its next request as soon as it has its reply.
//!
//! One thread serves all connections, because the server has to share the machine with it. The Date and Authorization
//! headers come from the environment, made once: they are good for minutes.
//!
//! Usage: `floatlease-bench-load CONNECTIONS SECONDS DEVICES [ordered]`; activates the devices, then asks for them in turn
//! and prints one line of JSON. With `ordered`, each request carries a `FloatLease-Order` that is higher than the last. Each
//! connection has devices of its own, so that no request of a device overtakes another.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use std::env;
use std::io::{ErrorKind, Read, Write};
use std::time::{Duration, Instant};

/// A server that is silent for so long has failed.
const LONGEST_SILENCE: Duration = Duration::from_secs(10);

fn main() {
    let mut arguments: Vec<String> = env::args().skip(1).collect();
    let ordered = arguments.pop_if(|last| last == "ordered").is_some();
    let numbers: Vec<usize> = arguments.iter().map(|text| text.parse().expect("a number")).collect();
    let [connections, seconds, devices] = numbers[..] else {
        panic!("usage: floatlease-bench-load CONNECTIONS SECONDS DEVICES [ordered]");
    };
    assert!(devices >= connections, "each connection needs a device of its own");
    // Of as many digits as clients send, which begin with the time in milliseconds.
    let mut last_number = 1_800_000_000_000_u64;
    let mut prepared = |request: &Vec<u8>| {
        last_number += 1;
        if ordered { with_order(request, last_number) } else { request.clone() }
    };
    let server = Server::from_environment();
    let activations: Vec<_> = (0..devices).map(|device| server.activate_license(device)).collect();
    let checks: Vec<_> = (0..devices).map(|device| server.check_license(device)).collect();

    let mut load = Load::connect(&server.address, connections);
    let mut once = activations.iter();
    load.run(|_| once.next().map(&mut prepared));

    let started = Instant::now();
    let end = started + Duration::from_secs(seconds as u64);
    let of_connection = |connection| checks.iter().skip(connection).step_by(connections).cycle();
    let mut in_turn: Vec<_> = (0..connections).map(of_connection).collect();
    let mut latencies =
        load.run(|connection| in_turn[connection].next().filter(|_| Instant::now() < end).map(&mut prepared));
    let elapsed = started.elapsed();

    latencies.sort_unstable();
    let quantile_ms = |q: f64| latencies[(latencies.len() as f64 * q) as usize].as_secs_f64() * 1e3;
    println!(
        r#"{{"requests":{},"per_second":{:.0},"p50_ms":{:.3},"p99_ms":{:.3},"max_ms":{:.3}}}"#,
        latencies.len(),
        latencies.len() as f64 / elapsed.as_secs_f64(),
        quantile_ms(0.5),
        quantile_ms(0.99),
        latencies.last().unwrap().as_secs_f64() * 1e3,
    );
}

/// Where requests go and what they all carry.
struct Server {
    address: String,
    path: String,
    product: String,
    license_key: String,
    common_header: String,
}

impl Server {
    fn from_environment() -> Server {
        let setting = |name: &str| env::var(name).unwrap_or_else(|_| panic!("{name} is missing from the environment"));
        let base_url = setting("FLOATLEASE_BASE_URL");
        let (address, path) = base_url.strip_prefix("http://").and_then(|rest| rest.split_once('/')).expect("a URL");
        Server {
            address: address.to_owned(),
            path: format!("/{path}"),
            product: setting("FLOATLEASE_PRODUCT"),
            license_key: setting("FLOATLEASE_LICENSE_KEY"),
            common_header: format!(
                "Host: {address}\r\nAccept: application/json\r\nDate: {}\r\nAuthorization: {}\r\n",
                setting("FLOATLEASE_DATE"),
                setting("FLOATLEASE_AUTHORIZATION"),
            ),
        }
    }

    fn check_license(&self, device: usize) -> Vec<u8> {
        let Server { path, product, license_key, common_header, .. } = self;
        let query = format!("hardware_id=bench-{device}&product={product}&license_key={license_key}");
        format!("GET {path}/check_license?{query} HTTP/1.1\r\n{common_header}\r\n").into_bytes()
    }

    fn activate_license(&self, device: usize) -> Vec<u8> {
        let Server { path, product, license_key, common_header, .. } = self;
        let body = format!(r#"{{"hardware_id":"bench-{device}","product":"{product}","license_key":"{license_key}"}}"#);
        format!(
            "POST {path}/activate_license HTTP/1.1\r\n{common_header}Content-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes()
    }
}

/// The request with one more header at the end of its head.
fn with_order(request: &[u8], number: u64) -> Vec<u8> {
    let end = request.windows(4).position(|four| four == b"\r\n\r\n").expect("a head") + 2;
    let (head, rest) = request.split_at(end);
    [head, format!("FloatLease-Order: {number}\r\n").as_bytes(), rest].concat()
}

/// All connections, and what tells which of them have something to read.
struct Load {
    poll: Poll,
    connections: Vec<Connection>,
}

impl Load {
    fn connect(address: &str, connections: usize) -> Load {
        let poll = Poll::new().expect("a poll");
        let connect = |token| {
            let stream = std::net::TcpStream::connect(address).expect("the server accepts connections");
            stream.set_nodelay(true).unwrap();
            stream.set_nonblocking(true).unwrap();
            let mut stream = TcpStream::from_std(stream);
            poll.registry().register(&mut stream, Token(token), Interest::READABLE).unwrap();
            Connection { stream, received: Vec::new(), asked: Instant::now() }
        };
        let connections = (0..connections).map(connect).collect();
        Load { poll, connections }
    }

    /// Keeps every connection, by its number, busy while there is a `next` request; returns how long each reply took.
    fn run(&mut self, mut next: impl FnMut(usize) -> Option<Vec<u8>>) -> Vec<Duration> {
        let mut latencies = Vec::new();
        let mut busy = 0;
        for (number, connection) in self.connections.iter_mut().enumerate() {
            if let Some(request) = next(number) {
                connection.ask(&request);
                busy += 1;
            }
        }
        let mut events = Events::with_capacity(1024);
        while busy > 0 {
            self.poll.poll(&mut events, Some(LONGEST_SILENCE)).expect("events");
            assert!(!events.is_empty(), "the server was silent for {LONGEST_SILENCE:?}");
            for event in &events {
                let connection = &mut self.connections[event.token().0];
                let Some(latency) = connection.reply_taken() else { continue };
                latencies.push(latency);
                match next(event.token().0) {
                    Some(request) => connection.ask(&request),
                    None => busy -= 1,
                }
            }
        }
        latencies
    }
}

struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
    asked: Instant,
}

impl Connection {
    /// A request is far smaller than the send buffer of a socket without other requests in it.
    fn ask(&mut self, request: &[u8]) {
        self.received.clear();
        self.asked = Instant::now();
        self.stream.write_all(request).expect("the request leaves at once");
    }

    /// Reads what has come; once the reply is whole, how long it took.
    fn reply_taken(&mut self) -> Option<Duration> {
        let mut chunk = [0; 16 * 1024];
        while !is_whole(&self.received) {
            match self.stream.read(&mut chunk) {
                Ok(0) => panic!("the server closed the connection"),
                Ok(count) => self.received.extend_from_slice(&chunk[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return None,
                Err(error) => panic!("{error}"),
            }
        }
        assert!(self.received.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&self.received));
        Some(self.asked.elapsed())
    }
}

/// Whether header and body are all there.
fn is_whole(reply: &[u8]) -> bool {
    let Some(header_length) = reply.windows(4).position(|four| four == b"\r\n\r\n") else { return false };
    let header = String::from_utf8_lossy(&reply[..header_length]);
    let lengths = header.lines().filter_map(|line| line.split_once(": "));
    let body_length: usize = lengths
        .filter(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .find_map(|(_, length)| length.trim().parse().ok())
        .expect("every reply has a Content-Length");
    reply.len() >= header_length + 4 + body_length
}
