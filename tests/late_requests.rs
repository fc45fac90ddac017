//! Requests that the server carries out after the client has given up on them and has asked for something else: at the
//! end both agree on who holds the slot, and on what was consumed.
//!
//! Each round makes one request late, by a pause of the server, by a slow handler or by a proxy, lets the client go on,
//! and compares. The server keeps requests in order, or knows no order numbers, as the vendor's cloud: there both sides
//! agree when no late request can live any more.
//!
//! `FLOATLEASE_ROUNDS` is the number of rounds for each kind of request, lateness and server.
#![cfg(target_os = "linux")]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};
use support::actor::{Actor, Insider, Program, Said};
use support::folder::Folder;
use support::holder::{self, Chance, Holder};
use support::lateness::{Lateness, Means};
use support::sandbox::World;
use support::seed::{OnFailure, seed};
use support::{Demo, with};

#[test]
fn holder() {
    holder::live();
}

const DEVICE: &str = "workstation";

/// Rounds for each kind of request, lateness and server, if the environment names no other number.
const ROUNDS: u64 = 200;

/// Longer than the documented 30 s in which a server without order numbers may carry out a late request.
const LIFE_MS: u64 = 31_000;

/// By then a lease has been renewed: at three fifths of its 120 minutes at the latest.
const RENEWAL_MS: u64 = 73 * 60_000;

/// How long the library may need in real time for what it does in the background.
const BACKGROUND: Duration = Duration::from_secs(4);

/// How long nothing must have reached the server before it counts as quiet.
const QUIET: Duration = Duration::from_millis(20);

/// A call that should succeed is repeated this often at most: each of its requests may have missed its short deadline.
const MOST_CALLS: u32 = 100;

/// The two programs of a round: the first makes the request that is late, the second may hold the slot besides.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Setting {
    /// Two threads with a lease each of one client, which keeps nothing on disk.
    ThreadsWithoutFolder,
    /// Two threads with a client each, and one folder.
    Threads,
    /// Two processes with one folder.
    Processes,
    /// The same, and the first is mostly killed while its late request is under way.
    KilledProcesses,
}

const SETTINGS: [Setting; 4] =
    [Setting::ThreadsWithoutFolder, Setting::Threads, Setting::Processes, Setting::KilledProcesses];

/// What is tried in one lane.
#[derive(Debug, Clone, Copy)]
struct Case {
    means: Means,
    knows_order: bool,
    setting: Setting,
}

/// Every case there is.
fn cases() -> impl Iterator<Item = Case> {
    let means = [Means::Pause, Means::SlowHandler, Means::Proxy].into_iter();
    let servers = means.flat_map(|means| [true, false].map(|knows_order| (means, knows_order)));
    servers.flat_map(|(means, knows_order)| SETTINGS.map(|setting| Case { means, knows_order, setting }))
}

/// A license that floats, with a feature to be held, another one, and one that is consumed.
fn catalogue() -> Value {
    let floating = json!({ "users": 2, "timeout_minutes": 120, "can_borrow": true, "max_borrow_time_hours": 240 });
    json!({
        "product": [{ "code": "P" }],
        "license": [{
            "product": "P", "license_key": "LATE", "allow_unlimited_activations": true, "floating": floating,
            "feature": [
                { "code": "MESH", "floating": floating },
                { "code": "SOLVER", "floating": floating },
                { "code": "COUNT", "consumption": { "allow_unlimited_consumptions": true } },
            ],
        }],
    })
}

/// Rounds that follow each other in one world, with two programs on one device.
struct Lane<'run> {
    // Dropped from here on: first what may keep the server from answering.
    lateness: Lateness,
    programs: [Actor; 2],
    world: World,
    _folder: Folder,
    case: Case,
    config: Value,
    chance: Chance,
    /// The feature whose slot this round is about; null is the license's own.
    feature: Value,
    /// How far the clocks of the programs were put ahead.
    ahead_ms: u64,
    /// What is consumed, as far as the programs were told.
    consumed: i64,
    /// The orders of this round, and the answers to them.
    trail: Vec<String>,
    /// What the server wrote down in this round.
    journal: Vec<Value>,
    /// The number of the last entry.
    last_entry: u64,
    run: &'run Run<'run>,
}

impl<'run> Lane<'run> {
    fn new(demo: &Demo, run: &'run Run, case: Case, chance: Chance) -> Lane<'run> {
        let Case { means, knows_order, setting } = case;
        let options = json!({ "rate": 0, "order": knows_order, "idempotency": knows_order, "catalogue": catalogue() });
        let world = World::new(demo, &options);
        world.client(DEVICE).call("activate_license", &Value::Null).ok();
        let folder = Folder::in_memory(&format!("late-{}-{means:?}-{knows_order}-{setting:?}", run.name));
        let lateness = Lateness::by(means, demo);
        let mut config = lateness.config(&world.config(DEVICE));
        if setting != Setting::ThreadsWithoutFolder {
            config["storage_dir"] = json!(folder.path());
        }
        let programs = match setting {
            Setting::ThreadsWithoutFolder => {
                let first = Program::open(&config);
                let second = first.beside();
                [first, second].map(|program| Actor::Thread(Insider::start(program)))
            }
            Setting::Threads => [(); 2].map(|()| Actor::Thread(Insider::start(Program::open(&config)))),
            Setting::Processes | Setting::KilledProcesses => [(); 2].map(|()| Actor::Process(Holder::start(&config))),
        };
        Lane {
            lateness,
            programs,
            world,
            _folder: folder,
            case,
            config,
            chance,
            feature: Value::Null,
            ahead_ms: 0,
            consumed: 0,
            trail: Vec::new(),
            journal: Vec::new(),
            last_entry: 0,
            run,
        }
    }

    /// The next round begins.
    fn begin(&mut self) {
        self.trail.clear();
        self.journal.clear();
        self.feature = [Value::Null, json!("MESH")][self.chance.below(2) as usize].clone();
    }

    fn has_folder(&self) -> bool {
        self.case.setting != Setting::ThreadsWithoutFolder
    }

    fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.chance.below(most - least)
    }

    fn either(&mut self) -> usize {
        self.chance.below(2) as usize
    }

    /// The operation on the slot of this round.
    fn operation(&self, what: &str) -> String {
        format!("{what}_{}", if self.feature.is_null() { "license" } else { "feature" })
    }

    /// A deadline that a late request misses, in milliseconds.
    fn hurry(&mut self) -> u64 {
        self.between(60, 120)
    }

    /// A request with these members and such a deadline.
    fn hurried(&mut self, members: Value) -> String {
        with(&members, json!({ "timeout_ms": self.hurry() })).to_string()
    }

    // ---- what programs do

    /// An order to one of the two, and the answer.
    fn tell(&mut self, who: usize, order: &str) -> Said {
        let said = self.programs[who].tell(order);
        self.note(who, order, &said);
        said
    }

    fn note(&mut self, who: usize, order: &str, said: &Said) {
        self.trail.push(format!("{who} {order}: {} {} {}", said.status, said.state, said.json["outcome"]));
    }

    /// The same until it is done.
    fn insist(&mut self, who: usize, order: &str) -> Said {
        let said = (0..MOST_CALLS).map(|_| self.tell(who, order)).find(|said| said.status == "OK");
        said.unwrap_or_else(|| panic!("never done: {order}"))
    }

    fn acquire_order(&self, timeout_ms: u64) -> String {
        let request = json!({ "feature": self.feature, "release_on_close_ms": 3_000, "timeout_ms": timeout_ms });
        format!("acquire {request}")
    }

    fn hurried_acquire(&mut self) -> String {
        let timeout_ms = self.hurry();
        self.acquire_order(timeout_ms)
    }

    /// Acquires at last, with the deadline of [`Lane::hurry`] unless the machine is too busy for that.
    fn acquire(&mut self, who: usize) {
        self.acquire_after(who, |_| {});
    }

    /// A late deactivation may come between the two.
    fn activate_and_acquire(&mut self, who: usize) {
        self.acquire_after(who, |lane| drop(lane.insist(who, "activate_license")));
    }

    fn acquire_after(&mut self, who: usize, mut prepare: impl FnMut(&mut Self)) {
        let mut timeout_ms = self.hurry();
        for _ in 0..MOST_CALLS {
            prepare(self);
            let order = self.acquire_order(timeout_ms);
            if self.tell(who, &order).status == "OK" {
                return;
            }
            timeout_ms = (timeout_ms * 5 / 4).min(2_000);
        }
        panic!("never acquired");
    }

    /// Releases what the first still holds.
    fn release_rest(&mut self) {
        if self.tell(0, "state").state != "RELEASED" {
            self.insist(0, "release");
        }
    }

    /// Gives the first an order whose request of this operation is late. If it `is_joined`, the second acquires in some
    /// rounds before the first has answered. False if the first was killed, and started again.
    fn late(&mut self, operation: &str, order: &str, is_joined: bool) -> bool {
        let by = Duration::from_millis(self.between(150, 300));
        let begins_in = Duration::from_micros(self.chance.below(2) * self.chance.below(2_000));
        self.lateness.delay_next(&self.world, operation, by, begins_in);
        self.programs[0].order(order);
        if is_joined && self.chance.below(3) == 0 {
            self.acquire(1);
        }
        if self.case.setting != Setting::KilledProcesses || self.chance.below(2) == 0 {
            let said = self.programs[0].answer().expect("an answer");
            self.note(0, order, &said);
            let is_missed = said.json["outcome"] == "unknown" || said.json["queued"] == true;
            self.run.missed.fetch_add(is_missed.into(), Ordering::Relaxed);
            return true;
        }
        self.chance.rest(100_000);
        self.programs[0].kill();
        self.run.missed.fetch_add(1, Ordering::Relaxed);
        self.trail.push(format!("0 {order}: killed"));
        self.programs[0] = Actor::Process(Holder::start(&self.config));
        self.programs[0].tell(&format!("sleep_ms {}", self.ahead_ms));
        false
    }

    /// The first starts as the next process would: what a killed one has left is given back.
    fn start_next(&mut self) {
        self.insist(0, r#"acquire {"feature":"SOLVER"}"#);
        self.insist(0, "release");
    }

    /// Lets time pass for both programs.
    fn advance(&mut self, by_ms: u64) {
        self.ahead_ms += by_ms;
        // Two leases of one client have one clock.
        let clocks = if self.has_folder() { 2 } else { 1 };
        for who in 0..clocks {
            self.tell(who, &format!("sleep_ms {by_ms}"));
        }
    }

    // ---- what is compared

    /// Waits until what was late has arrived, and nothing else does.
    fn wait_for_quiet(&mut self) {
        self.read_journal();
        while {
            thread::sleep(QUIET);
            self.lateness.end(&self.world);
            self.read_journal()
        } {}
    }

    /// True if something has reached the server since the last time.
    fn read_journal(&mut self) -> bool {
        let news = self.world.control(&format!("GET /journal?after={}", self.last_entry), &Value::Null);
        let news = news["entries"].as_array().unwrap();
        self.last_entry += news.len() as u64;
        self.journal.extend(news.iter().cloned());
        !news.is_empty()
    }

    fn standing(&mut self) -> Standing {
        let states = [0, 1].map(|who| self.programs[who].tell("state").state);
        let (own, others): (Vec<_>, Vec<_>) =
            self.world.slots_of(DEVICE).into_iter().partition(|(feature, _)| *feature == self.feature);
        Standing { states, is_counted: !own.is_empty(), others }
    }

    /// Fails unless both sides agree once nothing is late any more.
    fn agree(&mut self) {
        self.wait_for_quiet();
        let mut standing = self.standing();
        // A request of the background may itself get no answer in time, and live for another 30 s.
        for _ in 0..3 {
            if !self.case.knows_order {
                self.advance(LIFE_MS);
            }
            let end = Instant::now() + BACKGROUND;
            while Instant::now() < end {
                self.wait_for_quiet();
                standing = self.standing();
                if standing.is_agreed() {
                    return;
                }
                thread::sleep(QUIET);
            }
        }
        panic!("{standing:?}");
    }

    /// Ends the round: both programs release what they hold, and the server counts nothing.
    fn end(&mut self) {
        for who in 0..2 {
            if !["NONE", "RELEASED"].contains(&self.tell(who, "state").state.as_str()) {
                self.insist(who, "release");
            }
            self.tell(who, "free");
        }
        self.agree();
    }

    fn total(&self) -> i64 {
        let auditor = self.world.client("auditor");
        auditor.call("activate_license", &Value::Null).ok();
        auditor.call("check_feature", &json!({ "feature": "COUNT" })).ok()["total_consumptions"].as_i64().unwrap()
    }

    /// How many requests the server got to after one with a higher number.
    fn overtaken(&self) -> u64 {
        let (mut highest, mut count) = (0, 0);
        for order in self.journal.iter().filter_map(|entry| entry["order"].as_u64()) {
            count += u64::from(order < highest);
            highest = highest.max(order);
        }
        count
    }
}

impl Drop for Lane<'_> {
    #[allow(clippy::print_stderr)]
    fn drop(&mut self) {
        if thread::panicking() {
            self.run.has_failed.store(true, Ordering::Relaxed);
            eprintln!("{} {:?}\n{}", self.run.name, self.case, self.trail.join("\n"));
            self.read_journal();
            for entry in &self.journal {
                let shown = ["real_time", "operation", "event", "feature", "order", "code", "elapsed_ms"];
                eprintln!("{}", shown.map(|key| entry[key].to_string()).join(" "));
            }
        }
    }
}

/// How the leases stand, and whether the server counts their slot.
#[derive(Debug)]
struct Standing {
    states: [String; 2],
    is_counted: bool,
    /// Slots that neither lease is about.
    others: Vec<(Value, bool)>,
}

impl Standing {
    /// A lease that says it is held has its slot, and no slot is counted without a lease. In GRACE a lease may have it.
    fn is_agreed(&self) -> bool {
        let is_any = |of: &[&str]| self.states.iter().any(|state| of.contains(&state.as_str()));
        let is_held = is_any(&["ACTIVE", "DEGRADED", "BORROWED"]);
        let is_own_agreed = if self.is_counted { is_held || is_any(&["GRACE"]) } else { !is_held };
        is_own_agreed && self.others.is_empty()
    }
}

/// What the lanes of a test have in common.
struct Run<'a> {
    name: &'a str,
    has_failed: AtomicBool,
    /// Rounds whose late request got no answer in time.
    missed: AtomicU64,
    /// Requests that the server got to after one with a higher number.
    overtaken: AtomicU64,
}

/// Goes through the rounds of a kind of request, all cases side by side. Fails if too few of them were what they are meant
/// to be: a request that is given up, and, where requests are in order, overtaken.
fn in_all_cases(name: &str, is_ordered: bool, round: impl Fn(&mut Lane) + Sync) {
    let rounds: u64 = std::env::var("FLOATLEASE_ROUNDS").map_or(ROUNDS, |text| text.parse().unwrap());
    // Two kinds at the same time would find each request late, for want of processors.
    static ONE_KIND: Mutex<()> = Mutex::new(());
    let _one_kind = ONE_KIND.lock().unwrap_or_else(PoisonError::into_inner);
    let (seed, demo) = (seed(), Demo::start());
    let (missed, overtaken) = (AtomicU64::new(0), AtomicU64::new(0));
    let run = Run { name, has_failed: AtomicBool::new(false), missed, overtaken };
    thread::scope(|scope| {
        for (number, case) in cases().enumerate() {
            let (run, round, demo) = (&run, &round, &demo);
            scope.spawn(move || {
                let _told = OnFailure(seed);
                // A pause stops the whole process.
                let own = (case.means == Means::Pause).then(Demo::start);
                let demo = own.as_ref().unwrap_or(demo);
                let mut lane = Lane::new(demo, run, case, Chance::new(seed + number as u64));
                for _ in 0..rounds.div_ceil(SETTINGS.len() as u64) {
                    if run.has_failed.load(Ordering::Relaxed) {
                        return;
                    }
                    lane.begin();
                    round(&mut lane);
                    run.overtaken.fetch_add(lane.overtaken(), Ordering::Relaxed);
                }
            });
        }
    });
    let all = cases().count() as u64 * rounds.div_ceil(SETTINGS.len() as u64);
    let (missed, overtaken) = (run.missed.into_inner(), run.overtaken.into_inner());
    assert!(missed * 2 > all, "{missed} of {all} were late");
    assert!(!is_ordered || overtaken * 2 > all, "{overtaken} of {all} were overtaken");
}

#[test]
fn late_acquire_leaves_no_slot_without_holder() {
    in_all_cases("acquire", true, |lane| {
        let (order, operation) = (lane.hurried_acquire(), lane.operation("check"));
        let lives = lane.late(&operation, &order, true);
        match lane.chance.below(3) {
            0 if lives => {}
            0 => lane.start_next(),
            1 => lane.acquire(1),
            _ => {
                lane.tell(0, "free");
                lane.acquire(0);
            }
        }
        lane.agree();
        lane.end();
    });
}

#[test]
fn late_renewal_never_brings_a_slot_back() {
    in_all_cases("renewal", true, |lane| {
        lane.acquire(0);
        let operation = lane.operation("check");
        let lives = lane.late(&operation, "renew", true);
        match lane.chance.below(4) {
            0 if lives => drop(lane.insist(0, "release")),
            1 if lives => drop(lane.tell(0, "free")),
            2 if lives => {
                lane.insist(0, "release");
                lane.acquire(1);
            }
            3 if lives => {}
            0 => lane.start_next(),
            _ => lane.acquire(1),
        }
        lane.agree();
        lane.end();
    });
}

#[test]
fn late_borrow_never_brings_a_slot_back() {
    in_all_cases("borrow", true, |lane| {
        lane.acquire(0);
        let operation = lane.operation("borrow");
        // Without a folder a lease can't be borrowed, but a verb can.
        let order = if lane.has_folder() {
            format!("borrow {}", lane.hurried(json!({})))
        } else {
            let feature = lane.feature.clone();
            format!("{operation} {}", lane.hurried(json!({ "feature": feature })))
        };
        let lives = lane.late(&operation, &order, false);
        match lane.chance.below(3) {
            0 if lives => drop(lane.insist(0, "release")),
            1 if lives => {
                lane.insist(0, "release");
                lane.acquire(1);
            }
            2 if lives => {}
            // What the killed one may have borrowed stays borrowed until a lease is released.
            _ => lane.acquire(1),
        }
        lane.agree();
        lane.end();
    });
}

#[test]
fn late_release_takes_no_slot_from_its_holder() {
    in_all_cases("release", true, |lane| {
        lane.acquire(0);
        let operation = lane.operation("release");
        let is_freed = lane.case.setting != Setting::KilledProcesses && lane.chance.below(3) == 0;
        let lives = lane.late(&operation, if is_freed { "free" } else { "release" }, is_freed);
        match lane.chance.below(4) {
            0 => lane.acquire(1),
            1 if lives && !is_freed && lane.tell(0, "state").state != "RELEASED" => drop(lane.insist(0, "renew")),
            2 if lives && !is_freed => lane.release_rest(),
            _ => {
                lane.tell(0, "free");
                lane.acquire(0);
            }
        }
        lane.agree();
        lane.end();
    });
}

#[test]
fn late_deactivation_takes_no_slot_from_its_holder() {
    in_all_cases("deactivation", true, |lane| {
        if lane.chance.below(2) == 0 {
            lane.acquire(0);
        }
        let order = format!("deactivate_license {}", lane.hurried(json!({})));
        let lives = lane.late("deactivate_license", &order, false);
        if lives {
            lane.tell(0, "free");
        }
        let who = lane.either();
        lane.activate_and_acquire(who);
        let is_of_another_client = !lives || who == 1 && lane.has_folder();
        if is_of_another_client && !lane.case.knows_order {
            // The record does not tell a lease of a deactivation by another client: its next renewal does.
            lane.wait_for_quiet();
            lane.advance(RENEWAL_MS);
        }
        lane.agree();
        lane.end();
        // A server that knows no order numbers has carried it out.
        lane.insist(0, "activate_license");
    });
}

/// A consumption that waits in the folder is booked once, whatever becomes of its sender.
fn queued_consumption(lane: &mut Lane, amount: i64, request: Value) {
    let before = lane.consumed;
    let order = format!("add_feature_consumption {}", lane.hurried(with(&request, json!({ "offline": "queue" }))));
    let lives = lane.late("add_feature_consumption", &order, false);
    if lane.chance.below(2) == 0 {
        let (who, request) = (lane.either(), lane.hurried(json!({})));
        lane.tell(who, &format!("sync_consumptions {request}"));
    }
    lane.wait_for_quiet();
    let mut report = lane.insist(1, "sync_consumptions").json;
    if report["waiting"] != 0 {
        // The second does not know, or not yet, that the server books a key once.
        lane.advance(LIFE_MS);
        report = lane.insist(1, "sync_consumptions").json;
    }
    assert_eq!(report["waiting"], 0, "{report}");
    // Of a server that books no key once, nobody can tell whose consumption a risen total is.
    let is_unknown = report["unknown"] != json!([]);
    assert!(!is_unknown || !lane.case.knows_order, "{report}");
    // A process that was killed before it kept the wish has told nobody that it had one.
    if lives && !is_unknown || lane.total() != before {
        lane.consumed += amount;
    }
}

/// Without a folder the host repeats it under the same key. A server that does not know keys leaves it unknown, and it
/// is not repeated.
fn consumption_by_verb(lane: &mut Lane, amount: i64, request: Value) {
    let order = format!("add_feature_consumption {}", lane.hurried(request));
    lane.late("add_feature_consumption", &order, false);
    if lane.case.knows_order {
        lane.insist(0, &order);
        lane.consumed += amount;
    }
    lane.wait_for_quiet();
    if !lane.case.knows_order && lane.total() != lane.consumed {
        lane.consumed += amount;
    }
}

#[test]
fn late_consumption_is_counted_exactly_once() {
    in_all_cases("consumption", false, |lane| {
        let (amount, key) = (lane.between(1, 10) as i64, lane.chance.below(1 << 40));
        let request = json!({ "feature": "COUNT", "consumptions": amount, "idempotency_key": format!("key-{key}") });
        if lane.has_folder() {
            queued_consumption(lane, amount, request);
        } else {
            consumption_by_verb(lane, amount, request);
        }
        assert_eq!(lane.total(), lane.consumed);
    });
}
