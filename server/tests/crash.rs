//! `kill -9` under load, again and again: what was acknowledged is there after the restart.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::process::NO_RATE_LIMITS;
use common::{API_KEY, Client, Random, SHARED_KEY, directory};
use floatlease::model::ORDER;
use serde_json::{Value, json};

const KILLS: u64 = 20;
const THREADS: usize = 6;

/// Slots for all: whoever was granted one must still have it.
const CATALOGUE: &str = r#"
product = [{ code = "P" }]
api_key = [{ key = "test-api-key", shared_key = "test-shared-key" }]
[[license]]
product = "P"
license_key = "K"
allow_unlimited_activations = true
floating = { users = 100, timeout_minutes = 1, can_borrow = true, max_borrow_time_hours = 1 }
feature = [
    { code = "F", floating = { users = 100, timeout_minutes = 1 } },
    { code = "C", consumption = { max_consumptions = 1000000000 } },
]
"#;

struct Process {
    child: Child,
    base_url: String,
}

impl Process {
    fn start(data: &Path, catalogue: &Path) -> Process {
        let mut child = command(data, catalogue).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let line: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(line["pid"], child.id());
        assert!(Path::new(line["public_key_file"].as_str().unwrap()).exists());
        Process { child, base_url: line["base_url"].as_str().unwrap().to_owned() }
    }

    fn client(&self) -> Client {
        Client::new(&self.base_url, API_KEY, SHARED_KEY)
    }

    /// SIGKILL: nothing is flushed, nothing is said.
    fn kill(self) {
        drop(self);
    }
}

/// Also when a test fails: no server may outlive it.
impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(data: &Path, catalogue: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_floatlease-server"));
    command.arg("serve").args(NO_RATE_LIMITS).args(["--unsigned", "--listen", "127.0.0.1:0", "--data"]).arg(data);
    command.arg("--catalogue").arg(catalogue);
    command
}

fn set_up(name: &str) -> (PathBuf, PathBuf) {
    set_up_with(name, CATALOGUE)
}

fn set_up_with(name: &str, text: &str) -> (PathBuf, PathBuf) {
    let directory = directory(name);
    let catalogue = directory.join("catalogue.toml");
    std::fs::write(&catalogue, text).unwrap();
    (directory.join("data"), catalogue)
}

/// What one client knows: what was acknowledged, and what may or may not have happened.
#[derive(Clone, Copy)]
struct Knowledge {
    license: Slot,
    feature: Slot,
    /// The last order number that was drawn.
    number: u64,
    consumed: i64,
    maybe_consumed: i64,
}

/// What it knows of a slot.
#[derive(Clone, Copy)]
struct Slot {
    /// `None` while it is not known.
    held: Option<bool>,
    /// The number of the last request that was answered.
    acknowledged: u64,
    /// That of the one after it, while it is not known whether it was carried out.
    in_doubt: Option<u64>,
}

/// The first request of each device, its activation.
const FIRST: u64 = 1;

fn about(number: usize) -> Value {
    json!({ "product": "P", "license_key": "K", "hardware_id": format!("hw-{number}"), "feature": "F", "borrowed_until": null })
}

/// Works until the server is gone; notes before each request that its outcome is open.
fn work(mut client: Client, number: usize, seed: u64, mut known: Knowledge, killed: &AtomicBool) -> Knowledge {
    let mut random = Random::new(seed * 1000 + number as u64);
    let about = about(number);
    let consumption = {
        let mut about = about.clone();
        about["feature"] = "C".into();
        about
    };
    let Knowledge { license, feature, number, consumed, maybe_consumed } = &mut known;
    let mut hold = |client: &mut Client, slot: &mut Slot, operation: &str, held: bool| {
        *number += 1;
        (slot.held, slot.in_doubt) = (None, Some(*number));
        let answer = client.try_call_with(operation, &about, &[(ORDER, &number.to_string())]);
        let answered = answer.is_ok_and(|answer| answer.status == 200 || !held);
        if answered {
            *slot = Slot { held: Some(held), acknowledged: *number, in_doubt: None };
        }
        answered
    };
    while !killed.load(Ordering::Relaxed) {
        let went_on = match random.below(6) {
            0 => hold(&mut client, license, "check_license", true),
            1 => hold(&mut client, license, "borrow_license", true),
            2 => hold(&mut client, license, "release_license", false),
            3 => hold(&mut client, feature, "check_feature", true),
            4 => hold(&mut client, feature, "release_feature", false),
            _ => {
                let answer = client.try_call("add_feature_consumption", &consumption);
                let booked = answer.is_ok_and(|answer| answer.status == 200);
                if booked {
                    *consumed += 1
                } else {
                    *maybe_consumed += 1
                }
                booked
            }
        };
        if !went_on {
            break;
        }
    }
    known
}

#[test]
fn nothing_acknowledged_is_lost_to_kill_9() {
    let (data, catalogue) = set_up("crash");
    let mut server = Process::start(&data, &catalogue);
    let slot = Slot { held: Some(false), acknowledged: FIRST, in_doubt: None };
    let nothing = Knowledge { license: slot, feature: slot, number: FIRST, consumed: 0, maybe_consumed: 0 };
    let mut known = [nothing; THREADS];
    for number in 0..THREADS {
        let first = server.client().call_with("activate_license", &about(number), &[(ORDER, &FIRST.to_string())]);
        assert_eq!(first.code(), None);
    }
    for round in 1..=KILLS {
        let killed = AtomicBool::new(false);
        known = thread::scope(|scope| {
            let workers: Vec<_> = known
                .iter()
                .enumerate()
                .map(|(number, known)| {
                    let (client, killed) = (server.client(), &killed);
                    scope.spawn(move || work(client, number, round, *known, killed))
                })
                .collect();
            thread::sleep(Duration::from_millis(300 + 170 * round % 500));
            server.kill();
            killed.store(true, Ordering::Relaxed);
            let known: Vec<Knowledge> = workers.into_iter().map(|worker| worker.join().unwrap()).collect();
            known.try_into().ok().unwrap()
        });
        server = Process::start(&data, &catalogue);
        compare(&server, &mut known, round);
    }
    server.kill();
    let consumed: i64 = known.iter().map(|known| known.consumed).sum();
    assert!(consumed > 100, "hardly anything happened: {consumed}");
    assert_eq!(repeated(&data), 0, "a device holds a slot twice");
}

/// A release says whether the slot was held; afterwards everybody starts with none.
fn compare(server: &Process, known: &mut [Knowledge; THREADS], round: u64) {
    let mut client = server.client();
    for (number, known) in known.iter_mut().enumerate() {
        for (operation, slot) in [("release_license", &mut known.license), ("release_feature", &mut known.feature)] {
            let at = format!("round {round}, device {number}, {operation}");
            let highest = highest(&mut client, operation, number);
            assert!(highest == slot.acknowledged || Some(highest) == slot.in_doubt, "{at}: {highest}");
            known.number += 1;
            let answer = client.call_with(operation, &about(number), &[(ORDER, &known.number.to_string())]);
            let held = answer.status == 200;
            assert!(slot.held.is_none_or(|slot| slot == held), "{at}: held {held}");
            *slot = Slot { held: Some(false), acknowledged: known.number, in_doubt: None };
        }
    }
    let license = client.call("activate_license", &about(0)).json();
    let features = license["product_features"].as_array().unwrap().iter();
    let total = features.filter_map(|feature| feature["total_consumptions"].as_i64()).sum::<i64>();
    let consumed: i64 = known.iter().map(|known| known.consumed).sum();
    let maybe: i64 = known.iter().map(|known| known.maybe_consumed).sum();
    assert!((consumed..=consumed + maybe).contains(&total), "round {round}: {consumed} + {maybe} became {total}");
}

/// The highest number that the server knows of a slot, as it tells a request that comes too late.
fn highest(client: &mut Client, operation: &str, device: usize) -> u64 {
    let late = client.call_with(operation, &about(device), &[(ORDER, &FIRST.to_string())]);
    assert_eq!(late.code().as_deref(), Some("order_outdated"), "{operation} of device {device}");
    late.headers["floatlease-order"].parse().unwrap()
}

/// How often the journal has a device take a slot that it holds.
fn repeated(data: &Path) -> usize {
    let journal = rusqlite::Connection::open(data.join("floatlease.sqlite")).unwrap();
    let mut rows = journal.prepare("SELECT event, feature, device_id FROM journal ORDER BY seq").unwrap();
    let rows = rows
        .query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, Option<String>>(1)?, row.get::<_, i64>(2)?)));
    let mut held = std::collections::BTreeSet::new();
    let mut repeated = 0;
    for row in rows.unwrap() {
        let (event, feature, device) = row.unwrap();
        match event.as_str() {
            "slot_taken" => repeated += usize::from(!held.insert((feature, device))),
            "slot_released" | "slot_expired" => repeated += usize::from(!held.remove(&(feature, device))),
            _ => {}
        }
    }
    repeated
}

/// Puts the last sign of life into the past, and the slots with it, as a long downtime would.
#[test]
fn nobody_loses_a_live_slot_to_the_downtime() {
    let (data, catalogue) = set_up("downtime");
    let server = Process::start(&data, &catalogue);
    let mut client = server.client();
    for number in 0..3 {
        client.call("activate_license", &about(number));
    }
    client.call("check_license", &about(0));
    client.call("check_feature", &about(1));
    let borrow = client.call("borrow_license", &about(2)).json();
    server.kill();
    let file = data.join("floatlease.sqlite");
    let sql = rusqlite::Connection::open(&file).unwrap();
    let until = |borrowed: bool| -> i64 {
        sql.query_row("SELECT min(until_ms) FROM slot WHERE borrowed = ?", [borrowed], |row| row.get(0)).unwrap()
    };
    let hours_off = 5 * 3_600_000;
    let (slot, pinned) = (until(false), until(true));
    sql.execute("UPDATE meta SET value = value - ?1 WHERE name = 'heartbeat_at_ms'", [hours_off]).unwrap();
    sql.execute("UPDATE slot SET until_ms = until_ms - ?1 WHERE borrowed = 0", [hours_off]).unwrap();
    Process::start(&data, &catalogue).kill();
    let server = Process::start(&data, &catalogue);
    let extension = until(false) - slot;
    assert!((0..20_000).contains(&extension), "extended by the downtime, once: {extension} ms");
    assert_eq!(until(true), pinned, "a borrow's end was promised: {borrow}");
    let mut client = server.client();
    assert_eq!(client.call("release_license", &about(0)).code(), None);
    assert_eq!(client.call("release_feature", &about(1)).code(), None);
    server.kill();
}

#[test]
fn a_second_server_on_the_same_data_is_refused() {
    let (data, catalogue) = set_up("second");
    let server = Process::start(&data, &catalogue);
    let second = command(&data, &catalogue).output().unwrap();
    let message = String::from_utf8_lossy(&second.stderr).into_owned();
    assert_eq!(second.status.code(), Some(2), "{message}");
    assert!(message.contains("another server uses"), "{message}");
    server.kill();
    Process::start(&data, &catalogue).kill();
}

#[test]
fn sigterm_ends_it_in_order_and_soon() {
    let (data, catalogue) = set_up("sigterm");
    let mut server = Process::start(&data, &catalogue);
    let mut idle = server.client();
    idle.call("activate_license", &about(0));
    let pid = server.child.id().to_string();
    let started = Instant::now();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    assert_eq!(server.child.wait().unwrap().code(), Some(0));
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
    let mode = std::fs::metadata(data.join("private-key.pem")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "nobody else reads the key");
    assert!(!data.join("floatlease.sqlite-wal").exists(), "the store was closed");
}

/// The server is killed at any time during a change. Afterwards exactly one of the two passwords counts, and the new one if
/// the change was acknowledged.
#[test]
fn changed_password_survives_kill() {
    let users = "user = [{ username = \"ada\", password = \"0\", allow_unlimited_activations = true }]\n\
        [[product]]\ncode = \"U\"\nauthorization_method = \"user\"\n\
        [[license]]\nproduct = \"U\"\nusers = [\"ada\"]\nallow_unlimited_activations = true\n\
        [[api_key]]\nkey = \"test-api-key\"\nshared_key = \"test-shared-key\"\n";
    let (data, catalogue) = set_up_with("crash-passwords", users);
    let mut random = Random::new(7);
    let (mut known, mut next, mut acknowledged) = (0, 0, 0);
    for _ in 0..KILLS {
        let process = Process::start(&data, &catalogue);
        let changing = process.client();
        let kill_after = Duration::from_millis(random.below(300));
        let (last, drawn, count) = thread::scope(|scope| {
            let changing = scope.spawn(move || change_until_killed(changing, known, next));
            thread::sleep(kill_after);
            process.kill();
            changing.join().unwrap()
        });
        (next, acknowledged) = (drawn, acknowledged + count);
        let process = Process::start(&data, &catalogue);
        let mut client = process.client();
        let mut counts = |password: u64| {
            let request = json!({ "product": "U", "username": "ada", "password": password.to_string() });
            client.call("user_licenses", &request).code().is_none()
        };
        let counting: Vec<u64> = (last..=next).filter(|password| counts(*password)).collect();
        assert_eq!(counting.len(), 1, "from {last} to {next}");
        known = counting[0];
    }
    assert!(acknowledged > 0, "nothing was acknowledged");
}

/// Changes the password again and again. Returns the last one that was acknowledged, the last one that was sent, and how many
/// were acknowledged.
fn change_until_killed(mut client: Client, mut known: u64, mut next: u64) -> (u64, u64, u64) {
    let mut acknowledged = 0;
    loop {
        next += 1;
        let request = json!({ "username": "ada", "password": known.to_string(), "new_password": next.to_string() });
        match client.try_call("change_password", &request) {
            Ok(answer) if answer.code().is_none() => (known, acknowledged) = (next, acknowledged + 1),
            Ok(answer) => panic!("{answer:?}"),
            Err(_) => return (known, next, acknowledged),
        }
    }
}
