//! An HTTP proxy that tunnels by CONNECT, wherever it was told to.

use super::stub::{listen, read_message};
use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// A running proxy.
pub struct Proxy {
    pub address: String,
    tunnels: Arc<AtomicUsize>,
}

impl Proxy {
    /// Connects every tunnel to `target`, whatever host it was asked for: the names in these tests exist nowhere. With
    /// `credentials` ("name:password" in Base64) it refuses those who do not bring them.
    pub fn to(target: String, credentials: Option<&'static str>) -> Proxy {
        let tunnels = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&tunnels);
        let address = listen(move |mut client| {
            let Some(request) = read_message(&mut client) else { return };
            let brought = request.header("proxy-authorization").and_then(|value| value.strip_prefix("Basic "));
            if !request.head.starts_with("CONNECT ") || (credentials.is_some() && brought != credentials) {
                let refusal = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n";
                let _ = client.write_all(refusal);
                return;
            }
            count.fetch_add(1, Ordering::SeqCst);
            let server = TcpStream::connect(&target).unwrap();
            client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").unwrap();
            let back = (server.try_clone().unwrap(), client.try_clone().unwrap());
            thread::spawn(move || pump(back.0, back.1));
            pump(client, server);
        });
        Proxy { address, tunnels }
    }

    /// How many tunnels it has made.
    pub fn tunnels(&self) -> usize {
        self.tunnels.load(Ordering::SeqCst)
    }
}

fn pump(mut from: TcpStream, mut to: TcpStream) {
    let _ = std::io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Both);
}
