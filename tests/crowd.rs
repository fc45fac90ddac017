//! More clients on one machine than a server has places for connections: each gets its slot and keeps it, and none is
//! refused without being told why.
#![cfg(target_os = "linux")]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use serde_json::{Value, json};
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use support::abi::{Client, Lease};
use support::folder::Folder;
use support::holder::until;
use support::sandbox::World;
use support::site::listening;
use support::{Demo, server_binary, with};

/// The threads that start clients.
const STARTERS: usize = 32;

const CATALOGUE: &str = r#"
product = [{ code = "P" }]
api_key = [{ key = "test-api-key", shared_key = "test-shared-key" }]
[[license]]
product = "P"
license_key = "K"
allow_unlimited_activations = true
floating = { users = 100_000, timeout_minutes = 120 }
"#;

/// A `floatlease-server serve` with its own defaults.
struct Served {
    child: Child,
    config: Value,
    _folder: Folder,
}

impl Served {
    /// `before` is shell code that is run first.
    fn start(before: &str) -> Served {
        let folder = Folder::new("crowd");
        std::fs::create_dir(folder.path()).unwrap();
        let catalogue = folder.path().join("catalogue.toml");
        std::fs::write(&catalogue, CATALOGUE).unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", &format!("{before}\nexec \"$0\" \"$@\"")]).arg(server_binary());
        command.args(["serve", "--listen", "0.0.0.0:0", "--allow-http", "--data"]).arg(folder.path().join("data"));
        command.arg("--catalogue").arg(catalogue);
        let (child, said, public_key) = listening(command.stdin(Stdio::null()));
        let port = said["base_url"].as_str().unwrap().rsplit(':').next().unwrap().to_owned();
        let config = json!({
            "base_url": format!("http://{}:{port}", own_address()), "allow_http": true, "public_key": public_key,
            "product": "P", "license_key": "K", "api_key": "test-api-key", "shared_key": "test-shared-key",
        });
        Served { child, config, _folder: folder }
    }

    /// The number of slots that it counts, as the license's own member says.
    fn slots(&self) -> u64 {
        let client = Client::open(&with(&self.config, json!({ "hardware_id": "observer" }))).unwrap();
        client.call("activate_license", &Value::Null).ok();
        client.call("check_license", &Value::Null).ok();
        // Its own is among them.
        client.call("check_license", &Value::Null).ok()["floating_in_use_devices"].as_u64().unwrap() - 1
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An address of this machine at which the server counts requests: the limit for each address has no meaning for loopback
/// ones, but a machine without a network has no other.
fn own_address() -> IpAddr {
    // Connecting a socket of UDP sends nothing.
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    let is_connected = socket.connect("192.0.2.1:9").is_ok();
    if is_connected { socket.local_addr().unwrap().ip() } else { Ipv4Addr::LOCALHOST.into() }
}

/// Opens clients on devices of their own, each with a lease. Their starts are spread over this time.
fn crowd(config: &Value, count: usize, within: Duration) -> Vec<(Client, Lease)> {
    let (next, began) = (AtomicUsize::new(0), Instant::now());
    let held: Mutex<Vec<(Client, Lease)>> = Mutex::default();
    thread::scope(|scope| {
        for _ in 0..STARTERS {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::SeqCst);
                    if number >= count {
                        return;
                    }
                    let at = within.mul_f64(number as f64 / count as f64);
                    thread::sleep(at.saturating_sub(began.elapsed()));
                    let config = with(config, json!({ "hardware_id": format!("desk-{number}") }));
                    let client = Client::open(&config).unwrap();
                    client.call("activate_license", &Value::Null).ok();
                    let (lease, _) = client.acquire(&Value::Null);
                    held.lock().unwrap().push((client, lease));
                }
            });
        }
    });
    held.into_inner().unwrap()
}

/// Each of a crowd has its slot, keeps it after the server has closed its connection, and releases it.
fn all_get_their_slots(server: &Served, count: usize, within: Duration) {
    let held = crowd(&server.config, count, within);
    assert_eq!(held.len(), count);
    assert_eq!(server.slots(), count as u64);
    of_all(&held, |lease| {
        assert_eq!(lease.state(), "ACTIVE");
        lease.renew().ok();
    });
    of_all(&held, |lease| drop(lease.release().ok()));
    assert_eq!(server.slots(), 0);
}

/// Does this with every lease, on as many threads as have started them.
fn of_all(held: &[(Client, Lease)], what: impl Fn(&Lease) + Sync) {
    thread::scope(|scope| {
        for part in held.chunks(held.len().div_ceil(STARTERS)) {
            scope.spawn(|| part.iter().for_each(|(_, lease)| what(lease)));
        }
    });
}

#[test]
fn clients_beyond_the_places_of_the_server_get_their_slots() {
    // Less the 64 files that the server keeps for itself, these are 96 places.
    let server = Served::start("ulimit -n 160");
    all_get_their_slots(&server, 400, Duration::ZERO);
}

/// Far more than the 4,096 places that a server has at most.
#[test]
#[ignore = "takes minutes; run by make soak"]
fn five_thousand_clients_that_start_within_a_minute_get_their_slots() {
    let server = Served::start("");
    all_get_their_slots(&server, 5_000, Duration::from_secs(60));
}

/// The places are taken by requests that are carried out, so none of them can make room.
#[test]
fn client_is_told_that_the_server_takes_no_more_connections() {
    // 36 places.
    let demo = Demo::start_after("ulimit -n 100");
    let (silent, world) = (World::silent(&demo), World::new(&demo, &json!({})));
    let busy: Vec<Client> = (0..36).map(|number| silent.client(&format!("busy-{number}"))).collect();
    for client in &busy {
        client.submit("borrow_license", &Value::Null).unwrap();
    }
    until("every place is taken", || silent.control("GET /faults", &Value::Null)["faults"][0]["happened"] == 36);
    let client = Client::open(&with(&world.config("late"), json!({ "timeout_ms": 60_000 }))).unwrap();
    let error = client.call("borrow_license", &Value::Null).failed("CONNECT", "rejected");
    assert!(error["message"].to_string().contains("The server takes no more connections"), "{error}");
    assert_eq!((&error["http_status"], &error["retryable"]), (&json!(503), &json!(true)));
    busy.iter().for_each(Client::close);
    client.call("activate_license", &Value::Null).ok();
}
