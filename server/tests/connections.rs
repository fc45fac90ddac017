//! Clients that keep connections and send or read nothing do not keep other clients out.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use common::Client;
use common::process::{CATALOGUE, Process, Site, about, eventually};

/// Far more connections than a process that may open 100 files can have.
const FLOOD: usize = 300;

fn address(server: &Process) -> SocketAddr {
    server.base_url.strip_prefix("http://").unwrap().split('/').next().unwrap().parse().unwrap()
}

/// Opens a connection from an address of this machine.
fn connect_from(source: Ipv4Addr, server: SocketAddr) -> TcpStream {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
    runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind((source, 0).into()).unwrap();
        let stream = socket.connect(server).await.unwrap().into_std().unwrap();
        stream.set_nonblocking(false).unwrap();
        stream
    })
}

/// Sends this on many connections, and reads nothing.
fn flood(server: &Process, sent: &[u8]) -> Vec<TcpStream> {
    let open = |_| {
        let mut stream = TcpStream::connect(address(server)).unwrap();
        // The server may have closed it meanwhile, to make room.
        let _ = stream.write_all(sent);
        stream
    };
    (0..FLOOD).map(open).collect()
}

#[test]
fn silent_and_half_sent_requests_keep_nobody_out() {
    let site = Site::new("connections-silent", CATALOGUE);
    let server = site.serve_after("ulimit -n 100", &[]);
    let body = b"POST /api/v4/activate_license HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{\"product\"";
    let endless = b"GET /api/v4/openapi.json HTTP/1.1\r\nHost: x\r\n\r\n".repeat(200);
    for (name, sent) in [
        ("nothing", &b""[..]),
        ("half a head", b"GET / HTTP/1.1\r\nHost"),
        ("half a body", body),
        ("requests whose replies are not read", &endless),
    ] {
        let open = flood(&server, sent);
        for number in 0..20 {
            let device = format!("desk-{number}");
            let answer = server.client().try_call("activate_license", &about(&device));
            assert_eq!(answer.unwrap_or_else(|error| panic!("{name}: {error}")).code(), None, "{name}");
        }
        drop(open);
    }
    assert!(!server.log().contains("can't accept"), "{}", server.log());
    server.stop();
}

#[test]
fn one_address_leaves_others_their_connections() {
    let site = Site::new("connections-address", CATALOGUE);
    let server = site.serve_after("ulimit -n 100", &[]);
    let mut kept: Vec<Client> = (0..5).map(|_| server.client()).collect();
    for client in &mut kept {
        assert_eq!(client.call("activate_license", &about("desk")).code(), None);
    }
    let flood: Vec<TcpStream> =
        (0..FLOOD).map(|_| connect_from(Ipv4Addr::new(127, 0, 0, 2), address(&server))).collect();
    for client in &mut kept {
        assert_eq!(client.call("check_license", &about("desk")).code(), None, "on the connection that it has kept");
    }
    drop(flood);
    server.stop();
}

/// None of its connections is ever silent for long.
#[test]
fn address_that_asks_on_all_its_connections_makes_room() {
    let site = Site::new("connections-busy", CATALOGUE);
    let server = site.serve_after("ulimit -n 100", &[]);
    let address = address(&server);
    // As many as there are places. Those beyond would be in the system's queue, before the other clients.
    let mut open: Vec<TcpStream> = (0..36).map(|_| connect_from(Ipv4Addr::new(127, 0, 0, 2), address)).collect();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            open.iter_mut().for_each(|stream| stream.set_nonblocking(true).unwrap());
            while !stop.load(Ordering::Relaxed) {
                for stream in &mut open {
                    let _ = stream.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
                    let _ = stream.read(&mut [0; 4096]);
                }
                std::thread::sleep(Duration::from_millis(100));
            }
        });
        std::thread::sleep(Duration::from_millis(500));
        let begun = Instant::now();
        let statuses: Vec<_> = (0..5)
            .map(|_| server.client().send("GET", "/", &[], b"").map(|answer| answer.status).map_err(|e| e.to_string()))
            .collect();
        stop.store(true, Ordering::Relaxed);
        assert_eq!(statuses, vec![Ok(200); 5]);
        assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    });
    server.stop();
}

/// The request is in the queue of a database that another program has locked.
#[test]
fn request_that_is_carried_out_gets_its_reply() {
    let site = Site::new("connections-answering", CATALOGUE);
    let server = site.serve_after("ulimit -n 100", &[]);
    let other = rusqlite::Connection::open(site.data("floatlease.sqlite")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    std::thread::scope(|scope| {
        let mut client = server.client();
        let asking = scope.spawn(move || client.call("activate_license", &about("desk")).code());
        server.wait_for_log("another program has locked the data");
        let flood = flood(&server, b"");
        // Everybody else's connection has made room for a later one by then.
        eventually("the server answers others", || {
            server.client().send("GET", "/", &[], b"").is_ok_and(|answer| answer.status == 200)
        });
        drop(flood);
        other.execute_batch("ROLLBACK").unwrap();
        assert_eq!(asking.join().unwrap(), None);
    });
    server.stop();
}

/// The fewest open files with which the server starts leave hardly any for connections.
#[test]
fn server_that_can_accept_no_connection_logs_it() {
    let site = Site::new("connections-no-file", CATALOGUE);
    let mut few = (8..64).map(|files| Process::start(&mut site.command(&format!("ulimit -n {files}"))));
    let server = few.find_map(Result::ok).unwrap();
    let waiting: Vec<TcpStream> = (0..16).map(|_| TcpStream::connect(address(&server)).unwrap()).collect();
    server.wait_for_log("can't accept a connection");
    let log = server.log();
    assert!(log.contains("let this process open more files"), "{log}");
    drop(waiting);
    server.stop();
}

#[test]
fn what_is_not_http_is_refused_with_a_body() {
    let site = Site::new("connections-not-http", CATALOGUE);
    let server = site.serve();
    let header = |count: usize| "X-Header: 1\r\n".repeat(count);
    let good = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    for (name, request, status) in [
        ("a long URL", format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "x".repeat(70_000)), 414),
        ("many headers", format!("GET / HTTP/1.1\r\n{}\r\n", header(101)), 431),
        ("long headers", format!("GET / HTTP/1.1\r\nX-Long: {}\r\n\r\n", "x".repeat(1 << 20)), 431),
        ("no method", "\u{16}\u{3}\u{1}\r\n\r\n".to_owned(), 400),
        ("a bad header", "GET / HTTP/1.1\r\nno colon\r\n\r\n".to_owned(), 400),
        ("a bad length", "POST / HTTP/1.1\r\nContent-Length: many\r\n\r\n".to_owned(), 400),
        ("a bad version", "GET / HTTP/7.1\r\n\r\n".to_owned(), 400),
        ("a bad URL", "GET http://[x HTTP/1.1\r\n\r\n".to_owned(), 400),
    ] {
        for before in ["", good] {
            let mut stream = TcpStream::connect(address(&server)).unwrap();
            let _ = stream.write_all(format!("{before}{request}").as_bytes());
            let mut said = Vec::new();
            let _ = stream.read_to_end(&mut said);
            let said = String::from_utf8(said).unwrap();
            let start = said.rfind("HTTP/1.1 ").unwrap_or_else(|| panic!("{name}: {said:?}"));
            let (head, body) = said[start..].split_once("\r\n\r\n").unwrap();
            assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{name}: {said}");
            assert!(head.contains("content-type: application/json"), "{name}: {said}");
            assert!(head.contains(&format!("content-length: {}", body.len())), "{name}: {said}");
            let body: serde_json::Value = serde_json::from_str(body).unwrap();
            assert_eq!((&body["status"], &body["code"]), (&status.into(), &"validation_error".into()), "{name}");
            assert!(body["message"].as_str().is_some_and(|message| message.ends_with('.')), "{name}: {body}");
            assert_eq!(said.matches("HTTP/1.1 200 OK").count(), usize::from(!before.is_empty()), "{name}: {said}");
        }
    }
    server.stop();
}
