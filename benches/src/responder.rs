//! Answers every request with the same signed borrow reply, as cheaply as a socket allows, so that what is measured
//! against it is the client.
//!
//! Prints its base URL once it listens; ends when its standard input closes.
#![allow(clippy::expect_used, clippy::print_stdout)]

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

const BODY: &str = include_str!("../data/borrow-reply.json");
/// Over [`BODY`], with the private half of `../data/public-key.pem`, which nobody keeps.
const SIGNATURE: &str = include_str!("../data/borrow-reply.signature");

fn main() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free loopback port");
    println!("http://{}/api/v4", listener.local_addr().expect("a bound socket has an address"));
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // A client that goes away ends its own thread and nothing else.
            thread::spawn(move || answer(stream));
        }
    });
    io::copy(&mut io::stdin(), &mut io::sink()).expect("standard input");
}

fn answer(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let length = BODY.len();
    let reply = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nLicenseSignature: {SIGNATURE}\r\n\
         Content-Length: {length}\r\n\r\n{BODY}"
    );
    let mut received = [0; 16 * 1024];
    let mut filled = 0;
    loop {
        match stream.read(&mut received[filled..])? {
            0 => return Ok(()),
            count => filled += count,
        }
        while let Some(length) = request_length(&received[..filled]) {
            received.copy_within(length..filled, 0);
            filled -= length;
            stream.write_all(reply.as_bytes())?;
        }
    }
}

/// How long the first request is, header and body, once all of it has arrived.
fn request_length(received: &[u8]) -> Option<usize> {
    let header_length = received.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let header = received[..header_length].to_ascii_lowercase();
    let body_length = std::str::from_utf8(&header)
        .ok()?
        .lines()
        .find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok())
        .unwrap_or(0);
    (received.len() >= header_length + body_length).then_some(header_length + body_length)
}
