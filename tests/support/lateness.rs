//! Late requests: the client has given up on them, and the server carries them out all the same, after what the client
//! asks next.

use super::sandbox::World;
use super::stub::read_message;
use super::{Demo, with};
use floatlease::operations::Operation;
use serde_json::{Value, json};
use std::io::{BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// What makes a request late.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Means {
    /// The server's process is stopped for a while.
    Pause,
    /// The server takes its time before it carries the request out.
    SlowHandler,
    /// A proxy holds the request back, and sends it although the client has gone.
    Proxy,
}

/// How often a test looks whether something is over.
const TURN: Duration = Duration::from_millis(5);

/// The way to a server, on which requests can be made late. It leads through a proxy in any case: that one knows which
/// requests are still on their way, however busy the machine is.
pub struct Lateness {
    means: Means,
    proxy: Arc<Proxy>,
    /// The server's process.
    pid: u32,
    pause: Option<JoinHandle<()>>,
    /// What makes a request late in the server, and for how long.
    fault: Option<(u64, Duration)>,
}

impl Lateness {
    /// A [`Means::Pause`] stops the whole server of `demo`, with all its worlds.
    pub fn by(means: Means, demo: &Demo) -> Lateness {
        Lateness { means, proxy: Proxy::start(demo.address()), pid: demo.pid(), pause: None, fault: None }
    }

    /// The config of a client whose requests go this way.
    pub fn config(&self, config: &Value) -> Value {
        with(config, json!({ "base_url": format!("http://{}/api/v4", self.proxy.address) }))
    }

    /// Makes the next request of this operation arrive so much later. A pause begins after `begins_in`.
    pub fn delay_next(&mut self, world: &World, operation: &str, by: Duration, begins_in: Duration) {
        match self.means {
            Means::Pause => self.pause(by, begins_in),
            Means::SlowHandler => {
                let late = json!({ "before": { "delay": { "fixed_ms": by.as_millis() } } });
                let once = json!({ "match": { "operation": operation }, "when": { "times": 1 }, "do": late });
                self.fault = world.control("POST /faults", &once)["id"].as_u64().map(|id| (id, by));
            }
            Means::Proxy => {
                let path = Operation::named(operation).expect("an operation").path;
                *self.proxy.next.lock().unwrap() = Some((path, by));
            }
        }
    }

    fn pause(&mut self, by: Duration, begins_in: Duration) {
        assert!(self.pause.is_none(), "one pause at a time");
        let pid = self.pid;
        if begins_in.is_zero() {
            signal(pid, libc::SIGSTOP);
        }
        self.pause = Some(thread::spawn(move || {
            if !begins_in.is_zero() {
                thread::sleep(begins_in);
                signal(pid, libc::SIGSTOP);
            }
            thread::sleep(by);
            signal(pid, libc::SIGCONT);
        }));
    }

    /// Waits until the server has carried out all that was sent. Nothing is made late any more.
    pub fn end(&mut self, world: &World) {
        if let Some(pause) = self.pause.take() {
            pause.join().unwrap();
        }
        *self.proxy.next.lock().unwrap() = None;
        self.proxy.wait_until_idle();
        if self.fault.take().is_some() {
            world.control("DELETE /faults", &Value::Null);
        }
    }
}

impl Drop for Lateness {
    fn drop(&mut self) {
        // A server that is stopped could not be ended.
        let _ = self.pause.take().map(JoinHandle::join);
    }
}

/// A proxy that passes everything on at once, but for the request that it is to hold back, and that sends what it has
/// received although the client has gone.
struct Proxy {
    address: String,
    server: String,
    /// The end of the path of the next request to be held back, and for how long.
    next: Mutex<Option<(&'static str, Duration)>>,
    /// The connections from clients, as long as they are open.
    clients: Mutex<Vec<Arc<TcpStream>>>,
    /// Connections that were accepted, requests that came by them, and those that the server has answered.
    accepted: AtomicU64,
    asked: AtomicU64,
    answered: AtomicU64,
}

impl Proxy {
    fn start(server: String) -> Arc<Proxy> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let [accepted, asked, answered] = [0; 3].map(AtomicU64::new);
        let (next, clients) = (Mutex::default(), Mutex::default());
        let proxy = Arc::new(Proxy { address, server, next, clients, accepted, asked, answered });
        let accepting = Arc::clone(&proxy);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (proxy, client) = (Arc::clone(&accepting), Arc::new(client));
                proxy.clients.lock().unwrap().push(Arc::clone(&client));
                proxy.accepted.fetch_add(1, Ordering::SeqCst);
                thread::spawn(move || {
                    // A client may outlive the server of its test.
                    if let Ok(server) = TcpStream::connect(&proxy.server) {
                        proxy.pass_on(&client, &server);
                    }
                    proxy.clients.lock().unwrap().retain(|open| !Arc::ptr_eq(open, &client));
                });
            }
        });
        proxy
    }

    /// Passes requests on one by one. A request counts as asked before it is read, so that it is never overlooked.
    fn pass_on(&self, mut client: &TcpStream, mut server: &TcpStream) {
        let (mut requests, mut replies) = (BufReader::new(client), BufReader::new(server));
        while client.peek(&mut [0]).is_ok_and(|count| count > 0) {
            self.asked.fetch_add(1, Ordering::SeqCst);
            let reply = read_message(&mut requests).and_then(|request| {
                let path = request.head.split([' ', '?']).nth(1).unwrap_or_default();
                let held = self.next.lock().unwrap().take_if(|(end, _)| path.ends_with(*end));
                thread::sleep(held.map_or(Duration::ZERO, |(_, by)| by));
                server.write_all(&request.bytes()).ok()?;
                read_message(&mut replies)
            });
            self.answered.fetch_add(1, Ordering::SeqCst);
            if reply.is_none_or(|reply| client.write_all(&reply.bytes()).is_err()) {
                return;
            }
        }
    }

    /// Waits until the server has answered all that clients have sent before.
    fn wait_until_idle(&self) {
        // Connections are accepted in their order: once this one is, all that came before it are known.
        let before = self.accepted.load(Ordering::SeqCst);
        let _last = TcpStream::connect(&self.address).unwrap();
        while self.accepted.load(Ordering::SeqCst) == before || self.is_busy() {
            thread::sleep(TURN);
        }
    }

    fn is_busy(&self) -> bool {
        let clients = self.clients.lock().unwrap();
        clients.iter().any(|client| has_unread(client))
            || self.answered.load(Ordering::SeqCst) < self.asked.load(Ordering::SeqCst)
    }
}

/// Whether something has arrived that nobody has read.
#[allow(unsafe_code)]
fn has_unread(stream: &TcpStream) -> bool {
    let mut byte = 0_u8;
    // SAFETY: the buffer is one byte, alive for the call.
    let count =
        unsafe { libc::recv(stream.as_raw_fd(), (&raw mut byte).cast(), 1, libc::MSG_PEEK | libc::MSG_DONTWAIT) };
    count > 0
}

/// Sends a signal to a process of the test's own.
#[allow(unsafe_code)]
fn signal(pid: u32, signal: i32) {
    // SAFETY: a call with two numbers.
    let sent = unsafe { libc::kill(pid.cast_signed(), signal) };
    assert_eq!(sent, 0, "signal {signal} to {pid}");
}
