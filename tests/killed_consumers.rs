//! A program is killed at any moment while fifty of its threads consume, and the server comes and goes: what was told is
//! booked once, and what was submitted a moment ago is on the disk.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use serde_json::{Value, json};
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use support::abi::Client;
use support::consumption::{Desk, add, assert_all_booked, count, world};
use support::folder::Folder;
use support::holder::Chance;
use support::seed::{OnFailure, seed};
use support::{Demo, with};

/// What makes this program a child: its config.
const ROLE: &str = "FLOATLEASE_KILLED_CONSUMER";
const THREADS: usize = 50;

fn now_ms() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()
}

/// Past the test harness, which keeps what is printed.
fn say(text: &str) {
    std::io::stdout().write_all(format!("\n{text}\n").as_bytes()).unwrap();
}

#[test]
#[ignore = "a child of the tests below"]
fn a_process_whose_threads_consume() {
    let Ok(config) = std::env::var(ROLE) else { return };
    let client = Client::open(&serde_json::from_str(&config).unwrap()).unwrap();
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let client = &client;
            scope.spawn(move || {
                for number in 0.. {
                    let key = format!("{}-{thread}-{number}", std::process::id());
                    say(&format!("begins {key} {}", now_ms()));
                    let reply = add(client, &with(&count(1), json!({ "idempotency_key": key })));
                    assert!(reply["queued"] == true || reply["total_consumptions"].is_i64(), "{reply}");
                    say(&format!("did {key}"));
                    thread::sleep(Duration::from_millis(20 + 7 * thread as u64));
                }
            });
        }
    });
}

/// What a child has said: when it has submitted each key, and whether it was told what became of it.
type Heard = HashMap<String, (u128, bool)>;

struct Consumer {
    child: Child,
    heard: JoinHandle<Heard>,
}

impl Consumer {
    fn start(config: &Value) -> Consumer {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "a_process_whose_threads_consume", "--ignored", "--nocapture", "--test-threads", "1"])
            .env(ROLE, config.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let heard = thread::spawn(move || {
            let mut heard = Heard::new();
            for line in out.lines().map_while(Result::ok) {
                match line.split(' ').collect::<Vec<_>>()[..] {
                    ["begins", key, at_ms] => drop(heard.insert(key.to_owned(), (at_ms.parse().unwrap(), false))),
                    ["did", key] => heard.get_mut(key).unwrap().1 = true,
                    _ => {}
                }
            }
            heard
        });
        Consumer { child, heard }
    }

    /// Kills it, and returns what it has said and when it was killed.
    fn kill(mut self) -> (Heard, u128) {
        let killed_at_ms = now_ms();
        self.child.kill().unwrap();
        assert_eq!(self.child.wait().unwrap().code(), None, "it was killed");
        (self.heard.join().unwrap(), killed_at_ms)
    }
}

#[test]
fn consumers_that_are_killed_lose_nothing_that_was_told() {
    // The disk of a busy machine takes its time.
    consumers_are_killed(8, 1_000);
}

#[test]
#[ignore = "takes minutes; make soak"]
fn consumers_that_are_killed_a_hundred_times_lose_nothing_of_a_moment_ago() {
    consumers_are_killed(100, 50);
}

/// Kills consumers at random moments. What was submitted more than `moment_ms` before is on the disk.
fn consumers_are_killed(rounds: u32, moment_ms: u128) {
    let (demo, seed) = (Demo::start(), seed());
    let _told = OnFailure(seed);
    let mut chance = Chance::new(seed);
    let (world, folder) = (world(&demo), Folder::new("killed-consumers"));
    let desk = Desk::new(&world, "FEATURES", &folder);
    let (mut expected, mut doubtful) = (0, 0);
    for round in 0..rounds {
        demo.listen(round % 3 != 0);
        let consumer = Consumer::start(&desk.config);
        // Away, back, and away again, and killed in any of these times.
        for step in 0..=chance.below(3) {
            thread::sleep(Duration::from_millis(100 + chance.below(500)));
            demo.listen((u64::from(round) + step) % 2 == 0);
        }
        chance.rest(300_000);
        let (heard, killed_at_ms) = consumer.kill();
        demo.listen(true);

        let next = desk.start();
        let report = next.call("sync_consumptions", &json!({ "timeout_ms": 100_000 })).ok();
        assert_all_booked(&report);
        let booked = desk.total_of("COUNT") - expected;
        let is_old = |at_ms: u128| at_ms + moment_ms < killed_at_ms;
        let surely = heard.values().filter(|(at_ms, is_told)| *is_told || is_old(*at_ms)).count() as i64;
        assert!(booked >= surely, "round {round}: {booked} are booked of {surely} that must be");
        assert!(booked <= heard.len() as i64, "round {round}: {booked} are booked of {}", heard.len());
        // What was under way is done again under the same name, which makes it happen once.
        for (key, _) in heard.iter().filter(|(_, (_, is_told))| !is_told) {
            doubtful += 1;
            let reply = add(&next, &with(&count(1), json!({ "idempotency_key": key })));
            assert!(reply["total_consumptions"].is_i64(), "{reply}");
        }
        expected += heard.len() as i64;
        assert_eq!(desk.total_of("COUNT"), expected, "round {round}");
    }
    assert!(doubtful > 0, "no process was killed while calls were under way");
}
