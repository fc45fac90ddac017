//! What no real server does on purpose: silence, garbage, and a man in the middle.

use std::io::{BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

/// Listens on a free loopback port and handles each connection on a thread; returns the address.
pub fn listen(handle: impl Fn(TcpStream) + Clone + Send + 'static) -> String {
    listen_at("127.0.0.1:0", handle)
}

/// The same at an address of its own.
pub fn listen_at(address: &str, handle: impl Fn(TcpStream) + Clone + Send + 'static) -> String {
    let listener = TcpListener::bind(address).unwrap_or_else(|error| panic!("{address}: {error}"));
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let handle = handle.clone();
            thread::spawn(move || handle(stream));
        }
    });
    address
}

/// Accepts and reads, and never answers.
pub fn silent() -> String {
    listen(|mut stream| while stream.read(&mut [0; 4096]).is_ok_and(|count| count > 0) {})
}

/// A listener whose queue is full: what comes is dropped, with no answer and no refusal. Lives as long as the guard.
pub fn swallowing() -> (String, impl Drop) {
    struct Queue(#[allow(dead_code, reason = "kept open")] TcpListener, Vec<TcpStream>);
    impl Drop for Queue {
        fn drop(&mut self) {
            self.1.clear();
        }
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut queue = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
        queue.push(stream);
        assert!(queue.len() < 10_000, "the queue never fills");
    }
    (address.to_string(), Queue(listener, queue))
}

/// Answers every request with the same bytes and closes.
pub fn answering(bytes: impl Into<Vec<u8>>) -> String {
    let bytes = bytes.into();
    listen(move |mut stream| {
        if read_message(&mut stream).is_some() {
            let _ = stream.write_all(&bytes);
            let _ = stream.shutdown(Shutdown::Both);
        }
    })
}

/// A man in the middle: passes what `ask` makes of each request to `server`, and what `answer` makes of the reply back.
pub fn between(
    server: String,
    ask: impl Fn(Message) -> Message + Clone + Send + 'static,
    answer: impl Fn(Message) -> Vec<u8> + Clone + Send + 'static,
) -> String {
    between_at("127.0.0.1:0", server, ask, answer)
}

/// The same at an address of its own.
pub fn between_at(
    address: &str,
    server: String,
    ask: impl Fn(Message) -> Message + Clone + Send + 'static,
    answer: impl Fn(Message) -> Vec<u8> + Clone + Send + 'static,
) -> String {
    listen_at(address, move |mut client| {
        // A client may outlive the server of its test.
        let Ok(mut upstream) = TcpStream::connect(&server) else { return };
        let mut requests = BufReader::new(client.try_clone().unwrap());
        let mut replies = BufReader::new(upstream.try_clone().unwrap());
        while let Some(request) = read_message(&mut requests) {
            upstream.write_all(&ask(request).bytes()).unwrap();
            let Some(reply) = read_message(&mut replies) else { return };
            let altered = answer(reply);
            // A reply that is no longer whole would keep the client waiting for the rest.
            if client.write_all(&altered).is_err() || read_message(&mut altered.as_slice()).is_none() {
                return;
            }
        }
    })
}

/// A request or a reply.
#[derive(Debug, Clone)]
pub struct Message {
    /// Start line and headers, without the empty line.
    pub head: String,
    pub body: Vec<u8>,
}

impl Message {
    /// As it goes on the wire; the length is made true.
    pub fn bytes(&self) -> Vec<u8> {
        let lines = self.head.lines().filter(|line| !is_header(line, "content-length"));
        let mut head: String = lines.map(|line| format!("{line}\r\n")).collect();
        head += &format!("Content-Length: {}\r\n\r\n", self.body.len());
        [head.as_bytes(), &self.body].concat()
    }

    pub fn without_header(mut self, name: &str) -> Message {
        self.head = self.head.lines().filter(|line| !is_header(line, name)).collect::<Vec<_>>().join("\r\n");
        self
    }

    /// With this header instead of those of the same name.
    pub fn with_header(self, name: &str, value: &str) -> Message {
        let mut message = self.without_header(name);
        message.head += &format!("\r\n{name}: {value}");
        message
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let line = self.head.lines().find(|line| is_header(line, name))?;
        Some(line.split_once(':')?.1.trim())
    }
}

fn is_header(line: &str, name: &str) -> bool {
    line.split_once(':').is_some_and(|(key, _)| key.eq_ignore_ascii_case(name))
}

/// Reads one message with a `Content-Length` or without a body; `None` at the end of the connection.
pub fn read_message(stream: &mut impl Read) -> Option<Message> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap().trim_end().to_owned();
    let mut message = Message { head, body: Vec::new() };
    let length = message.header("content-length").map_or(0, |length| length.parse().unwrap());
    message.body = vec![0; length];
    stream.read_exact(&mut message.body).ok()?;
    Some(message)
}
