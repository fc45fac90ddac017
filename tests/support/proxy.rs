//! An HTTP proxy: it tunnels by CONNECT and passes requests on, wherever it was told to.

use super::stub::{Message, listen, read_message};
use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// A running proxy.
pub struct Proxy {
    pub address: String,
    connections: Arc<AtomicUsize>,
}

impl Proxy {
    /// Connects to `target`, whatever host it was asked for: the names in these tests exist nowhere. With `credentials`
    /// ("name:password" in Base64) it refuses those who do not bring them.
    pub fn to(target: String, credentials: Option<&'static str>) -> Proxy {
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        let address = listen(move |mut client| {
            let Some(mut request) = read_message(&mut client) else { return };
            let brought = request.header("proxy-authorization").and_then(|value| value.strip_prefix("Basic "));
            if credentials.is_some() && brought != credentials {
                let refusal = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n";
                let _ = client.write_all(refusal);
                return;
            }
            count.fetch_add(1, Ordering::SeqCst);
            let mut server = TcpStream::connect(&target).unwrap();
            if request.head.starts_with("CONNECT ") {
                client.write_all(established().as_bytes()).unwrap();
                let back = (server.try_clone().unwrap(), client.try_clone().unwrap());
                thread::spawn(move || pump(back.0, back.1));
                pump(client, server);
                return;
            }
            loop {
                server.write_all(&passed_on(request).bytes()).unwrap();
                let Some(reply) = read_message(&mut server) else { return };
                client.write_all(&reply.bytes()).unwrap();
                let Some(next) = read_message(&mut client) else { return };
                request = next;
            }
        });
        Proxy { address, connections }
    }

    /// How many connections to its target it has made.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// The reply to CONNECT, with as many headers as a proxy with policies adds.
fn established() -> String {
    let policies: String = (0..40).map(|number| format!("X-Policy-{number}: {}\r\n", "x".repeat(1000))).collect();
    format!("HTTP/1.1 200 Connection established\r\n{policies}\r\n")
}

/// A request to a proxy, which names a whole URL, as its server expects it.
fn passed_on(request: Message) -> Message {
    let (method, rest) = request.head.split_once(" http://").expect("a whole URL");
    let (_, path) = rest.split_once('/').unwrap();
    Message { head: format!("{method} /{path}"), body: request.body }.without_header("proxy-authorization")
}

fn pump(mut from: TcpStream, mut to: TcpStream) {
    let _ = std::io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Both);
}
