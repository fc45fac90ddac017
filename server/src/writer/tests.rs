//! Jumps of the clock at random moments: between batches, between the jobs of one, and between a stop and a start.

#![allow(clippy::unwrap_used)]
use super::*;
use crate::catalogue::{self, Catalogue, VersionFilter};
use crate::domain::{Action, Command, Credential, Until};
use crate::store::SqliteStore;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};

const CATALOGUE: &str = r#"
[[product]]
code = "P"
[[license]]
product = "P"
license_key = "K"
allow_unlimited_activations = true
floating = { users = 1, timeout_minutes = 1, can_borrow = true, max_borrow_time_hours = 2 }
"#;
const TIMEOUT_MS: i64 = 60_000;
const MINUTE_MS: i64 = 60_000;
const LONGEST_STEP_MS: i64 = 30_000;
const DEVICES: [&str; 3] = ["hw-0", "hw-1", "hw-2"];
const NOT_AVAILABLE: &str = "floating_not_available";

/// A clock that the test sets, in milliseconds.
struct TestClock(AtomicI64);

impl Clock for TestClock {
    fn now(&self) -> DateTime<Utc> {
        time(self.0.load(Ordering::SeqCst))
    }

    fn jumps_are_downtime(&self) -> bool {
        true
    }
}

fn time(ms: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(ms).unwrap()
}

/// A store that outlives its writer.
#[derive(Clone)]
struct SharedStore(Arc<Mutex<SqliteStore>>);

impl Store for SharedStore {
    fn load(&mut self) -> Result<Vec<Change>, StoreError> {
        self.0.lock().unwrap().load()
    }

    fn commit(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        self.0.lock().unwrap().commit(changes)
    }
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ mixed >> 31) % end
    }

    fn from(&mut self, first: i64, last: i64) -> i64 {
        first + self.below((last - first + 1) as u64) as i64
    }

    fn chance(&mut self, one_in: u64) -> bool {
        self.below(one_in) == 0
    }

    /// Returns where the clock moves from `now`: on, a little back, far ahead, far back, or to 1970.
    fn moved(&mut self, now: i64, start: i64) -> i64 {
        match self.below(12) {
            0..=2 => now + self.from(0, 20_000),
            3 => now - self.from(0, 20_000),
            4..=6 => now + self.from(LONGEST_STEP_MS, 10 * MINUTE_MS),
            7 => now + self.from(0, 40 * 24 * 60) * MINUTE_MS,
            8..=9 => now - self.from(LONGEST_STEP_MS, 180 * MINUTE_MS),
            10 => start,
            _ => self.from(0, MINUTE_MS),
        }
    }
}

/// A simple model: the holder of the one slot, if the clock is read once for each batch.
#[derive(Debug)]
struct Model {
    now: i64,
    /// The holder's device, the end of the slot, and whether it is borrowed.
    held: Option<(usize, i64, bool)>,
    jumps: u32,
}

impl Model {
    fn forget(&mut self) {
        self.held = self.held.filter(|(_, until, _)| *until > self.now);
    }

    /// No time has passed for the clients, but the end of a borrow is a date.
    fn jump(&mut self, to: i64) {
        self.forget();
        if let Some((_, until, false)) = &mut self.held {
            *until += to - self.now;
        }
        self.jumps += u32::from((to - self.now).abs() > LONGEST_STEP_MS);
        self.now = to;
    }

    fn read(&mut self, clock: i64) {
        if (clock - self.now).abs() > LONGEST_STEP_MS { self.jump(clock) } else { self.now = self.now.max(clock) }
    }

    fn check(&mut self, device: usize) -> Result<(), &'static str> {
        self.forget();
        match self.held {
            Some((holder, ..)) if holder != device => return Err(NOT_AVAILABLE),
            Some((.., true)) => {}
            _ => self.held = Some((device, self.now + TIMEOUT_MS, false)),
        }
        Ok(())
    }

    fn apply(&mut self, device: usize, request: Request) -> Result<(), &'static str> {
        match request {
            Request::Check => self.check(device),
            Request::Borrow { until } if until <= self.now || until > self.now + 120 * MINUTE_MS => {
                Err("borrow_until_not_valid")
            }
            Request::Borrow { until } => {
                self.check(device)?;
                self.held = Some((device, until, true));
                Ok(())
            }
            Request::Release => {
                self.forget();
                let is_holder = self.held.is_some_and(|(holder, ..)| holder == device);
                self.held = self.held.filter(|_| !is_holder);
                if is_holder { Ok(()) } else { Err(NOT_AVAILABLE) }
            }
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Request {
    Check,
    Borrow { until: i64 },
    Release,
}

fn command(device: usize, action: Action) -> Command {
    Command {
        product: "P".to_owned(),
        credential: Credential::Key("K".to_owned()),
        license_id: None,
        licenses: None,
        hardware_id: DEVICES[device].to_owned(),
        is_vm: false,
        action,
        idempotency_key: None,
        order: None,
    }
}

fn action(request: Request) -> Action {
    match request {
        Request::Check => Action::CheckLicense { include_expired_features: false, wanted: VersionFilter::default() },
        Request::Borrow { until } => Action::BorrowLicense(Until::At(time(until))),
        Request::Release => Action::ReleaseLicense,
    }
}

/// Boxes a job of the test.
fn job(work: impl FnOnce(&mut Transaction<'_>) -> Answer + Send + 'static) -> Job {
    Box::new(work)
}

struct Running {
    catalogue: Arc<Catalogue>,
    clock: Arc<TestClock>,
    store: SharedStore,
    writer: Writer,
    thread: WriterThread,
}

impl Running {
    fn start(catalogue: Arc<Catalogue>, clock: Arc<TestClock>, store: SharedStore) -> Running {
        let recovered = Arc::clone(&catalogue);
        let recover = move |changes| State::recover(recovered, changes);
        let (ended, _) = oneshot::channel();
        let (writer, thread) = Writer::start(Box::new(store.clone()), recover, clock.clone(), ended).unwrap();
        Running { catalogue, clock, store, writer, thread }
    }

    /// Stops the writer, moves the clock, and starts the writer again with the same store.
    fn restart(self, clock_ms: i64) -> Running {
        drop(self.writer);
        self.thread.join().unwrap().unwrap();
        self.clock.0.store(clock_ms, Ordering::SeqCst);
        Running::start(self.catalogue, self.clock, self.store)
    }

    /// Sends these requests in one batch, moves the clock after each, and returns the answers in order.
    fn batch(&self, asked: &[(usize, Action, i64)]) -> Vec<Result<(), &'static str>> {
        let (open, gate) = mpsc::channel::<()>();
        let (answers, answered) = mpsc::channel();
        let send = |job| self.writer.jobs.send(job).unwrap();
        // While this job blocks the writer, the other jobs queue behind it.
        send(job(move |_| {
            gate.recv().unwrap();
            Box::new(|| ())
        }));
        for (device, action, clock_ms) in asked.iter().cloned() {
            let (answers, clock) = (answers.clone(), Arc::clone(&self.clock));
            send(job(move |transaction| {
                let outcome = transaction.state.apply(&command(device, action), *transaction.now, transaction.changes);
                clock.0.store(clock_ms, Ordering::SeqCst);
                Box::new(move || answers.send(outcome.map(|_| ()).map_err(|refusal| refusal.code())).unwrap())
            }));
        }
        open.send(()).unwrap();
        asked.iter().map(|_| answered.recv().unwrap()).collect()
    }
}

fn jump_at_random_moments(seed: u64, rounds: u32) -> u32 {
    let mut random = Random(seed);
    let start = 1_800_000_000_000;
    let clock = Arc::new(TestClock(AtomicI64::new(start)));
    let store = SharedStore(Arc::new(Mutex::new(SqliteStore::in_memory().unwrap())));
    let mut server = Running::start(Arc::new(catalogue::parse(CATALOGUE).unwrap()), clock, store);
    let activations = (0..DEVICES.len()).map(|device| (device, Action::Activate { variables: Vec::new() }, start));
    assert!(server.batch(&activations.collect::<Vec<_>>()).iter().all(Result::is_ok));
    let mut model = Model { now: start, held: None, jumps: 0 };
    let mut clock_ms = start;
    for round in 0..rounds {
        let mut asked = Vec::new();
        let mut expected = Vec::new();
        let before = format!("seed {seed}, round {round}: {model:?}, clock {clock_ms}");
        // The clock moves only while a job is running or none can run, so it is known which batch reads which time.
        model.read(clock_ms);
        for _ in 0..=random.below(5) {
            let device = random.below(DEVICES.len() as u64) as usize;
            let request = match random.below(8) {
                0 => Request::Release,
                1 => Request::Borrow { until: model.now + random.from(-1, 125) * MINUTE_MS },
                _ => Request::Check,
            };
            expected.push(model.apply(device, request));
            if random.chance(2) {
                clock_ms = random.moved(clock_ms, start);
            }
            asked.push((device, action(request), clock_ms));
        }
        let answers = server.batch(&asked);
        assert_eq!(answers, expected, "{before}\n{asked:?}");
        if random.chance(10) {
            // The writer reads the clock once more before it ends, and keeps that time.
            model.read(clock_ms);
            clock_ms = random.moved(clock_ms, start);
            server = server.restart(clock_ms);
            model.jump(clock_ms);
        }
    }
    model.jumps
}

#[test]
fn jumps_at_random_moments_cost_nobody_a_slot_and_return_none() {
    let jumps: u32 = (1..=20).map(|seed| jump_at_random_moments(seed, 800)).sum();
    assert!(jumps >= 10_000, "only {jumps} jumps");
}
