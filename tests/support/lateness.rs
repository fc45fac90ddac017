//! Late requests: the client has given up on them, and the server carries them out all the same, after what the client
//! asks next.

use super::sandbox::World;
use super::stub::{Message, between, read_message};
use super::{Demo, with};
use floatlease::operations::Operation;
use serde_json::{Value, json};
use std::io::{BufReader, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

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
const TURN: Duration = Duration::from_millis(10);

/// A way to one world, on which requests can be made late.
pub struct Lateness {
    way: Way,
    /// The server's API.
    address: String,
}

enum Way {
    Pause { pid: u32, pause: Option<JoinHandle<()>> },
    SlowHandler { fault: Option<(u64, Duration)> },
    Proxy { address: String, proxy: Arc<Proxy> },
}

/// A proxy that passes everything on at once, but for the request that it is to hold back.
#[derive(Default)]
struct Proxy {
    /// The end of the path of the next request to be held back, and for how long.
    next: Mutex<Option<(&'static str, Duration)>>,
    /// Requests that have come, and those that the server has answered.
    asked: AtomicU64,
    answered: AtomicU64,
}

impl Lateness {
    /// A [`Means::Pause`] stops the whole server of `demo`, with all its worlds.
    pub fn by(means: Means, demo: &Demo) -> Lateness {
        let address = demo.address();
        let way = match means {
            Means::Pause => Way::Pause { pid: demo.pid(), pause: None },
            Means::SlowHandler => Way::SlowHandler { fault: None },
            Means::Proxy => {
                let proxy = Arc::new(Proxy::default());
                Way::Proxy { address: proxy.start(address.clone()), proxy }
            }
        };
        Lateness { way, address }
    }

    /// The config of a client whose requests go this way.
    pub fn config(&self, config: &Value) -> Value {
        match &self.way {
            Way::Proxy { address, .. } => with(config, json!({ "base_url": format!("http://{address}/api/v4") })),
            _ => config.clone(),
        }
    }

    /// Makes the next request of this operation arrive so much later. A pause begins after `begins_in`.
    pub fn delay_next(&mut self, world: &World, operation: &str, by: Duration, begins_in: Duration) {
        match &mut self.way {
            Way::Pause { pid, pause } => {
                assert!(pause.is_none(), "one pause at a time");
                let pid = *pid;
                if begins_in.is_zero() {
                    signal(pid, libc::SIGSTOP);
                }
                *pause = Some(thread::spawn(move || {
                    if !begins_in.is_zero() {
                        thread::sleep(begins_in);
                        signal(pid, libc::SIGSTOP);
                    }
                    thread::sleep(by);
                    signal(pid, libc::SIGCONT);
                }));
            }
            Way::SlowHandler { fault } => {
                let late = json!({ "before": { "delay": { "fixed_ms": by.as_millis() } } });
                let once = json!({ "match": { "operation": operation }, "when": { "times": 1 }, "do": late });
                *fault = world.control("POST /faults", &once)["id"].as_u64().map(|id| (id, by));
            }
            Way::Proxy { proxy, .. } => {
                let path = Operation::named(operation).expect("an operation").path;
                *proxy.next.lock().unwrap() = Some((path, by));
            }
        }
    }

    /// Waits until the server has carried out what was late, and what else was sent before. Nothing is made late any more.
    /// Returns how long a request takes.
    pub fn end(&mut self, world: &World) -> Duration {
        match &mut self.way {
            Way::Pause { pause, .. } => {
                let _ = pause.take().map(|pause| pause.join().unwrap());
            }
            Way::SlowHandler { fault } => {
                if let Some((id, by)) = fault.take() {
                    wait_for_fault(world, id, by);
                }
            }
            Way::Proxy { proxy, .. } => {
                *proxy.next.lock().unwrap() = None;
            }
        }
        let started = Instant::now();
        self.wait_in_line();
        let took = started.elapsed();
        if let Way::Proxy { proxy, .. } = &self.way {
            while proxy.is_busy() {
                thread::sleep(TURN);
            }
        }
        took
    }

    /// Waits in the line of connections: those that clients have given up on come first, however busy the machine is.
    fn wait_in_line(&self) {
        let address = if let Way::Proxy { address, .. } = &self.way { address } else { &self.address };
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: nowhere\r\n\r\n").unwrap();
        read_message(&mut BufReader::new(stream)).expect("the server answers");
    }
}

impl Drop for Lateness {
    fn drop(&mut self) {
        // A server that is stopped could not be ended.
        if let Way::Pause { pause, .. } = &mut self.way {
            let _ = pause.take().map(JoinHandle::join);
        }
    }
}

/// Waits until the request that met this fault was carried out, if one did, and removes it.
fn wait_for_fault(world: &World, id: u64, by: Duration) {
    let faults = world.control("GET /faults", &Value::Null);
    world.control("DELETE /faults", &Value::Null);
    if faults["faults"][0]["happened"] == 0 {
        // It may have happened just now.
        return thread::sleep(by);
    }
    let done = json!({ "filter": { "fault_id": id } });
    while world.control("POST /journal/count", &done)["count"] == 0 {
        thread::sleep(TURN);
    }
}

impl Proxy {
    /// Starts it before the server at this address; returns its own.
    fn start(self: &Arc<Proxy>, server: String) -> String {
        let (there, back) = (Arc::clone(self), Arc::clone(self));
        let ask = move |request: Message| {
            there.asked.fetch_add(1, Ordering::SeqCst);
            let path = request.head.split([' ', '?']).nth(1).unwrap_or_default();
            let held = there.next.lock().unwrap().take_if(|(end, _)| path.ends_with(*end));
            thread::sleep(held.map_or(Duration::ZERO, |(_, by)| by));
            request
        };
        let answer = move |reply: Message| {
            back.answered.fetch_add(1, Ordering::SeqCst);
            reply.bytes()
        };
        between(server, ask, answer)
    }

    /// Whether the server has requests from here that it has not answered.
    fn is_busy(&self) -> bool {
        self.answered.load(Ordering::SeqCst) < self.asked.load(Ordering::SeqCst)
    }
}

/// Sends a signal to a process of the test's own.
#[allow(unsafe_code)]
fn signal(pid: u32, signal: i32) {
    // SAFETY: a call with two numbers.
    let sent = unsafe { libc::kill(pid.cast_signed(), signal) };
    assert_eq!(sent, 0, "signal {signal} to {pid}");
}
