//! A process is killed before each system call of what it does with a slot, in turn; the next start ends in a state
//! that both sides agree on.
//!
//! strace does the killing, at the N-th call of a kind by any thread, for N from 1 until nothing is left to interrupt.
//! Kinds that nobody else sees, such as the reading of clocks and the giving of memory, are left out: to be killed
//! before one of them is to be killed before whatever comes next.
#![cfg(target_os = "linux")]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use floatlease::lease::storage::sealed_file::SealedFile;
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use std::{fs, iter, panic, thread};
use support::holder::{self, Holder};
use support::machine::{DEVICE, Machine};
use support::{Demo, tool};

#[test]
fn holder() {
    holder::live();
}

const LICENSE: &str = "null";
const MESH: &str = r#"{"feature":"MESH"}"#;
const SOLVER: &str = r#"{"feature":"SOLVER"}"#;
const BOTH: &str = r#"{"features":["MESH","SOLVER"]}"#;

/// What is done before, undisturbed; what is interrupted; and with which wish.
type Deed = (&'static str, &'static [&'static str], &'static str, &'static str);

#[rustfmt::skip]
const DEEDS: &[Deed] = &[
    ("the license is acquired",             &[],                    "acquire", LICENSE),
    ("a feature is acquired",               &[],                    "acquire", MESH),
    ("two features are acquired",           &[],                    "acquire", BOTH),
    ("the license is acquired again",       &["acquire", "release"], "acquire", LICENSE),
    ("the license is borrowed",             &["acquire"],           "borrow",  LICENSE),
    ("a feature is borrowed",               &["acquire"],           "borrow",  MESH),
    ("the borrowed license is borrowed on", &["acquire", "borrow"], "borrow",  LICENSE),
    ("the borrowed feature is borrowed on", &["acquire", "borrow"], "borrow",  MESH),
    ("the license is given back",           &["acquire"],           "release", LICENSE),
    ("a feature is given back",             &["acquire"],           "release", MESH),
    ("two features are given back",         &["acquire"],           "release", BOTH),
    ("the borrowed license is given back",  &["acquire", "borrow"], "release", LICENSE),
    ("the borrowed feature is given back",  &["acquire", "borrow"], "release", MESH),
    ("the license is freed",                &["acquire"],           "free",    LICENSE),
    ("the borrowed license is freed",       &["acquire", "borrow"], "free",    LICENSE),
    ("the borrow is taken up",              &["acquire", "borrow", "free"], "acquire", LICENSE),
];

/// By these others can tell whether it is done: names and contents of files, locks, requests; and the answers to them.
const TOLD_APART: [&str; 5] = ["mkdir", "rename", "flock", "sendto", "recvfrom"];
/// What comes between them.
const BETWEEN: [&str; 13] = [
    "openat", "write", "fsync", "close", "connect", "read", "statx", "fstat", "socket", "poll", "unlink", "shutdown",
    "clone3",
];

/// Who comes after the dead one.
#[derive(Debug, Clone, Copy)]
enum Next {
    /// Who wants the same.
    Same,
    /// Who wants another feature.
    Other,
    /// Who wants the same, without a network.
    Offline,
}

/// A machine on which somebody dies.
struct Scene(Machine);

impl Scene {
    fn new(demo: &Demo) -> Scene {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        Scene(Machine::new(demo, &format!("crash-{}", NUMBER.fetch_add(1, Ordering::Relaxed))))
    }

    /// What is kept of each slot that may be held: its feature, and whether a borrow of it is proven.
    fn kept(&self) -> Vec<(Value, bool)> {
        let config = self.0.config();
        let entries = fs::read_dir(self.0.folder.path()).into_iter().flatten().map(|entry| entry.unwrap().path());
        let records = entries.filter(|path| path.extension().is_some_and(|ending| ending == "lease"));
        let record = |path| -> Value {
            let file = SealedFile::new(path, config["product"].as_str().unwrap(), DEVICE).unwrap();
            serde_json::from_slice(&file.read().unwrap().expect("it is there")).unwrap()
        };
        let held = records.map(record).filter(|record| record["may_hold"] == true);
        let is_proven = |record: &Value| !record["proof"].is_null() && record["in_doubt"] == false;
        held.map(|record| (record["feature"].clone(), is_proven(&record))).collect()
    }

    /// Nothing is held, as far as either side knows.
    fn is_clean(&self) {
        assert_eq!(self.0.slots(), []);
        assert_eq!(self.kept(), []);
    }

    /// Kills a process before the `number`th call of this kind; false if it has done its deed before.
    fn kill_at(&self, (_, before, deed, wish): &Deed, kind: &str, number: u32) -> bool {
        let mut doomed = self.0.start();
        for deed in *before {
            assert_eq!(doomed.tell(&order(deed, wish)).status, "OK");
            assert!(*deed != "free" || doomed.settles());
        }
        let mut strace = trace(&doomed, kind, number);
        doomed.order(&order(deed, wish));
        let lives = match doomed.answer() {
            Some(said) => {
                assert_eq!(said.status, "OK", "{}", said.json);
                *deed != "free" || doomed.settles()
            }
            None => false,
        };
        if lives {
            doomed.kill();
        } else {
            doomed.end();
            // What it has sent may still be on its way, and would overtake whoever comes next at a busy server.
            if kind == "recvfrom" {
                thread::sleep(Duration::from_millis(100));
            }
        }
        strace.wait().unwrap();
        lives
    }

    /// The next start, and what must be so whatever the dead one did.
    fn start_after_death(&self, next: Next, wish: &str) {
        match next {
            Next::Same => {}
            Next::Other => self.settle(),
            Next::Offline => self.prove(wish),
        }
        self.adopt(wish);
    }

    fn adopt(&self, wish: &str) {
        let mut next = self.0.start();
        let state = next.tell(&order("acquire", wish)).ok();
        let is_borrowed = match state.as_str() {
            "ACTIVE" => false,
            "BORROWED" => true,
            other => panic!("{other}"),
        };
        let agreed: Vec<_> = slots_of(wish).into_iter().map(|feature| (feature, is_borrowed)).collect();
        assert_eq!(sorted(self.0.slots()), agreed);
        assert_eq!(sorted(self.kept()), agreed);
        assert_eq!(next.tell("release").ok(), "RELEASED");
        self.is_clean();
    }

    /// What is provably borrowed stays, all else that the dead one held is given back.
    fn settle(&self) {
        let borrowed: Vec<_> = self.kept().into_iter().filter(|(_, is_proven)| *is_proven).collect();
        let mut next = self.0.start();
        assert_eq!(next.tell(&order("acquire", SOLVER)).ok(), "ACTIVE");
        let mut held = self.0.slots();
        held.retain(|(feature, _)| feature != "SOLVER");
        assert_eq!(held, borrowed);
        assert_eq!(next.tell("release").ok(), "RELEASED");
        assert_eq!(self.0.slots(), borrowed);
    }

    /// Without a network only a proof is believed, and the server agrees with it.
    fn prove(&self, wish: &str) {
        let said = self.0.start_offline().tell(&order("acquire", wish));
        match (said.status.as_str(), said.state.as_str()) {
            ("OK", "BORROWED") => {
                // What was asked to prove it may have left a slot of the license, for the next start that has a network.
                let wished = slots_of(wish);
                let borrowed = self.0.slots().into_iter().filter(|(feature, _)| wished.contains(feature));
                assert_eq!(borrowed.map(|(_, is_borrowed)| is_borrowed).collect::<Vec<_>>(), [true]);
            }
            ("CONNECT" | "NO_PROOF", "NONE") => {}
            _ => panic!("{said:?}"),
        }
    }
}

/// The features that are wished for; null for the license.
fn slots_of(wish: &str) -> Vec<Value> {
    let wish: Value = serde_json::from_str(wish).unwrap();
    wish["features"].as_array().cloned().unwrap_or_else(|| vec![wish["feature"].clone()])
}

fn sorted(mut slots: Vec<(Value, bool)>) -> Vec<(Value, bool)> {
    slots.sort_by_key(|(feature, _)| feature.to_string());
    slots
}

fn order(deed: &str, wish: &str) -> String {
    if deed == "acquire" { format!("{deed} {wish}") } else { deed.to_owned() }
}

/// Has strace kill this process; returns when it watches.
fn trace(doomed: &Holder, kind: &str, number: u32) -> Child {
    let mut strace = tool("strace");
    strace.args(["-f", "-o", "/dev/null", "-e"]).arg(format!("trace={kind}"));
    strace.args(["-e", &format!("inject={kind}:signal=KILL:when={number}"), "-p", &doomed.pid().to_string()]);
    let mut strace = strace.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(strace.stderr.take().unwrap()).lines().map(Result::unwrap);
    let first = said.next().unwrap_or_default();
    assert!(first.contains("attached"), "{first}");
    // What else it says must go somewhere.
    thread::spawn(move || said.for_each(drop));
    strace
}

/// Every deed, killed at every call of these kinds, followed by every start.
fn killed_at_every_call(kinds: &[&'static str], followers: &[Next]) {
    let demo = Demo::start();
    let jobs = DEEDS.iter().flat_map(|deed| kinds.iter().map(move |kind| (deed, *kind)));
    let jobs: Vec<_> = jobs.flat_map(|(deed, kind)| followers.iter().map(move |next| (deed, kind, *next))).collect();
    let (jobs, deaths, failures) = (Mutex::new(jobs.into_iter()), AtomicU32::new(0), AtomicU32::new(0));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for (deed, kind, next) in iter::from_fn(|| jobs.lock().unwrap().next()) {
                    match panic::catch_unwind(|| dies_everywhere(&demo, deed, kind, next)) {
                        Ok(more) => deaths.fetch_add(more, Ordering::Relaxed),
                        // It is told already; what else fails is worth knowing too.
                        Err(_) => failures.fetch_add(1, Ordering::Relaxed),
                    };
                }
            });
        }
    });
    assert_eq!(failures.into_inner(), 0, "of the deeds, each once for a kind of call and a next start");
    assert!(deaths.load(Ordering::Relaxed) > 50, "hardly anybody was killed: {deaths:?}");
}

/// How often somebody died.
fn dies_everywhere(demo: &Demo, deed: &Deed, kind: &'static str, next: Next) -> u32 {
    for number in 1.. {
        let point = Point(deed.0, kind, number, next);
        let scene = Scene::new(demo);
        let lives = scene.kill_at(deed, kind, number);
        scene.start_after_death(next, deed.3);
        drop(point);
        if lives {
            return number - 1;
        }
    }
    0
}

/// Says where somebody died whom the next could not follow.
struct Point(&'static str, &'static str, u32, Next);

impl Drop for Point {
    #[allow(clippy::print_stderr)]
    fn drop(&mut self) {
        let Point(deed, kind, number, next) = self;
        if thread::panicking() {
            eprintln!("while {deed}, killed at {kind} {number}, followed by {next:?}");
        }
    }
}

#[test]
fn whoever_is_killed_before_a_step_that_others_can_tell_is_followed_by_one_who_agrees_with_the_server() {
    killed_at_every_call(&TOLD_APART, &[Next::Same]);
}

#[test]
fn what_the_killed_have_left_is_settled_by_one_who_wants_another_feature_and_not_believed_without_proof() {
    killed_at_every_call(&["rename", "recvfrom"], &[Next::Other, Next::Offline]);
}

#[test]
#[ignore = "takes minutes"]
fn whoever_is_killed_before_any_call_at_all_is_followed_by_anybody() {
    killed_at_every_call(&[&TOLD_APART[..], &BETWEEN].concat(), &[Next::Same, Next::Other, Next::Offline]);
}
