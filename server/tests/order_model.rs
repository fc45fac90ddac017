//! Random histories of requests that arrive late, twice and after restarts, against a naive model of order numbers.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::sync::Arc;
use std::thread;

use chrono::{DateTime, TimeDelta, Utc};
use common::model::{CATALOGUE, Model, Said, action};
use common::world::{World, command};
use common::{Random, time};
use floatlease_server::catalogue::{self, Catalogue};
use floatlease_server::domain::{Command, OrderScope, Reply};
use floatlease_server::store::{SqliteStore, Store};

/// Few, so that they get into each other's way.
const DEVICES: u64 = 4;
const HARDWARE_IDS: [&str; DEVICES as usize] = ["hw-0", "hw-1", "hw-2", "hw-3"];
/// Short histories find what long ones do, and say it in fewer words.
const EVENTS: u64 = 24;
const HISTORIES: u64 = 100_000;
/// No request is on its way for longer.
const LONGEST_WAY: TimeDelta = TimeDelta::minutes(59);
/// Numbers of actions, as the model has them: activate, deactivate; check, borrow, release the license's slot and the
/// feature's. Some more often than others.
const ACTIONS: [u64; 14] = [0, 0, 1, 2, 2, 2, 4, 5, 5, 6, 6, 8, 9, 9];
const SCOPES: [OrderScope; 3] = [OrderScope::Device, OrderScope::Slot(None), OrderScope::Slot(Some(11))];

fn scope(what: u64) -> OrderScope {
    SCOPES[match what {
        0 | 1 => 0,
        2..=5 => 1,
        _ => 2,
    }]
}

/// A request on its way.
#[derive(Debug, Clone, Copy)]
struct Request {
    device: u64,
    what: u64,
    minutes: Option<i64>,
    /// None of a client that does not know of order.
    number: Option<u64>,
    sent: TimeDelta,
}

/// What the model remembers of a request.
struct Latest {
    request: Request,
    said: Said,
    at: DateTime<Utc>,
}

/// The model of everything, and of order: a list that is searched.
struct Ordered {
    model: Model,
    latest: Vec<Latest>,
}

impl Ordered {
    fn counting(&self, device: u64, scope: OrderScope) -> impl Iterator<Item = &Latest> {
        let of_device = self.latest.iter().filter(move |latest| latest.request.device == device);
        of_device.filter(move |latest| {
            let of = self::scope(latest.request.what);
            of == scope || of == OrderScope::Device || scope == OrderScope::Device
        })
    }

    fn highest(&self, device: u64, scope: OrderScope) -> Option<u64> {
        self.counting(device, scope).filter_map(|latest| latest.request.number).max()
    }

    fn forget(&mut self, now: DateTime<Utc>) {
        for device in 0..DEVICES {
            let last = self.counting(device, OrderScope::Device).map(|latest| latest.at).max();
            if last.is_some_and(|last| last + TimeDelta::hours(1) <= now) {
                self.latest.retain(|latest| latest.request.device != device);
            }
        }
        self.model.license.forget(now);
        self.model.feature.forget(now);
    }

    fn deliver(&mut self, request: Request, now: DateTime<Utc>) -> Said {
        self.forget(now);
        let Request { device, what, minutes, number, .. } = request;
        let scope = scope(what);
        let highest = self.highest(device, scope);
        match number {
            Some(_) if number < highest => Err("order_outdated"),
            Some(_) if number == highest => {
                let same = |latest: &&Latest| (latest.request.number, latest.request.what) == (number, what);
                match self.counting(device, scope).find(same).map(|latest| latest.said) {
                    Some(Ok(())) if self.stands(request) => Ok(()),
                    Some(Err(code)) => Err(code),
                    _ => Err("order_outdated"),
                }
            }
            _ => {
                let said = self.model.step(device, what, minutes, 0, now);
                if number.is_some() {
                    let other =
                        |latest: &Latest| latest.request.device != device || self::scope(latest.request.what) != scope;
                    self.latest.retain(other);
                    self.latest.push(Latest { request, said, at: now });
                }
                said
            }
        }
    }

    fn stands(&self, request: Request) -> bool {
        let held = self.slot(request.device, scope(request.what));
        match request.what {
            0 => self.model.active[request.device as usize],
            2 | 6 => held.is_some(),
            4 | 8 => held.is_some_and(|(_, borrowed)| borrowed),
            _ => true,
        }
    }

    fn slot(&self, device: u64, scope: OrderScope) -> Option<(DateTime<Utc>, bool)> {
        let pool = if scope == OrderScope::Slot(None) { &self.model.license } else { &self.model.feature };
        pool.held.get(&device).copied()
    }

    /// The server was off, and nobody lost anything by it.
    fn move_by(&mut self, off: TimeDelta, now: DateTime<Utc>) {
        self.forget(now);
        self.latest.iter_mut().for_each(|latest| latest.at += off);
        self.model.jump(off, now);
    }
}

/// A server, its model, and clients that send requests which may be late.
struct History {
    random: Random,
    world: World,
    ordered: Ordered,
    on_their_way: Vec<Request>,
    last_numbers: [u64; DEVICES as usize],
    /// Time as it passes for clients.
    elapsed: TimeDelta,
    /// Every numbered request that has arrived, and whether it succeeded.
    arrived: Vec<(Request, bool)>,
    name: String,
}

impl History {
    fn new(seed: u64, catalogue: &Arc<Catalogue>) -> History {
        let world = World::of(catalogue, time("2026-06-01T20:00:00Z"));
        History {
            random: Random::new(seed),
            ordered: Ordered { model: Model::new(), latest: Vec::new() },
            world,
            on_their_way: Vec::new(),
            last_numbers: [0; DEVICES as usize],
            elapsed: TimeDelta::zero(),
            arrived: Vec::new(),
            name: format!("seed {seed}"),
        }
    }

    /// In a mixed history some clients send no numbers, and two processes may draw the same.
    fn run(mut self, mixed: bool) {
        for step in 0..EVENTS {
            match self.random.below(12) {
                0..=3 => {
                    self.send(mixed);
                    continue;
                }
                4..=8 => {
                    // Most requests are on time.
                    self.send(mixed);
                    let late = self.random.below(3) == 0;
                    self.deliver(step, late);
                }
                9 => self.deliver(step, true),
                10 => {
                    let seconds = [1, 200, 1500, 3700][self.random.below(4) as usize];
                    let by = TimeDelta::seconds(self.random.below(seconds) as i64);
                    self.wait(by);
                }
                _ => self.restart(),
            }
            self.compare(step);
        }
        if !mixed {
            self.assert_held_by_the_latest();
        }
    }

    fn send(&mut self, mixed: bool) {
        let device = self.random.below(DEVICES);
        let what = ACTIONS[self.random.below(ACTIONS.len() as u64) as usize];
        let last = &mut self.last_numbers[device as usize];
        let same = mixed && *last > 0 && self.random.below(6) == 0;
        *last += if same { 0 } else { 1 + self.random.below(3) };
        let number = Some(*last).filter(|_| !mixed || self.random.below(6) > 0);
        let minutes = (self.random.below(3) > 0).then(|| self.random.below(140) as i64 - 5);
        self.on_their_way.push(Request { device, what, minutes, number, sent: self.elapsed });
    }

    /// The newest request on its way, or any; it may come again later.
    fn deliver(&mut self, step: u64, late: bool) {
        let (elapsed, count) = (self.elapsed, self.on_their_way.len() as u64);
        if count == 0 {
            return;
        }
        let index = if late { self.random.below(count) } else { count - 1 } as usize;
        let request = self.on_their_way[index];
        if self.random.below(4) > 0 {
            self.on_their_way.remove(index);
        }
        if elapsed - request.sent > LONGEST_WAY {
            return;
        }
        let expected = self.ordered.deliver(request, self.world.now);
        let World { state, now, changes, .. } = &mut self.world;
        let action = action(request.what, request.minutes, 0, *now);
        let asked = Command { order: request.number, ..command("K", HARDWARE_IDS[request.device as usize], action) };
        let outcome = state.apply(&asked, *now, changes);
        if let Ok(reply) = &outcome {
            assert!(self.is_complete(request, reply), "{}, step {step}: {request:?}: {reply:?}", self.name);
        }
        let said = outcome.map(|_| ()).map_err(|refusal| refusal.code());
        assert_eq!(said, expected, "{}, step {step}: {request:?}", self.name);
        if request.number.is_some() {
            self.arrived.push((request, said.is_ok()));
        }
    }

    /// A reply is of its operation's kind, and names the slot as it is, also to a repetition.
    fn is_complete(&self, request: Request, reply: &Reply) -> bool {
        match (request.what, reply) {
            (4 | 8, Reply::Borrow(borrow)) => {
                self.ordered.slot(request.device, scope(request.what)) == Some((borrow.borrowed_until, true))
            }
            (0, Reply::Activation(_)) | (1, Reply::Text("license_deactivated")) => true,
            (2, Reply::License(_)) | (6, Reply::Feature { .. }) | (5 | 9, Reply::Empty) => true,
            _ => false,
        }
    }

    fn wait(&mut self, by: TimeDelta) {
        self.world.wait(by);
        // A clock that is set back takes no request off its way.
        self.elapsed += by.abs();
    }

    /// Some time later, or earlier by a clock that was corrected; once in a while by way of a real store.
    fn restart(&mut self) {
        let off = [TimeDelta::zero(), TimeDelta::minutes(7), TimeDelta::hours(5), -TimeDelta::days(9)];
        let off = off[self.random.below(4) as usize];
        self.ordered.move_by(off, self.world.now);
        self.world.heartbeat(self.world.now);
        self.wait(off);
        if self.random.below(50) == 0 {
            let mut store = SqliteStore::in_memory().unwrap();
            store.commit(&self.world.changes).unwrap();
            self.world.changes = store.load().unwrap();
        }
        self.world.restart();
        let resumed = self.world.state.resume(self.world.now);
        self.world.changes.extend(resumed);
    }

    fn compare(&mut self, step: u64) {
        let now = self.world.now;
        self.ordered.forget(now);
        let holdings = self.world.state.holdings(now);
        for device in 0..DEVICES {
            let hardware_id = HARDWARE_IDS[device as usize];
            for scope in SCOPES {
                let highest = self.world.state.highest_order(1, hardware_id, scope, now);
                let expected = self.ordered.highest(device, scope);
                assert_eq!(highest, expected, "{}, step {step}: {hardware_id} {scope:?}", self.name);
            }
            for slot in &SCOPES[1..] {
                let of_license = *slot == OrderScope::Slot(None);
                let held = holdings
                    .iter()
                    .find(|holding| holding.hardware_id == hardware_id && holding.feature.is_none() == of_license);
                let held = held.map(|holding| (holding.slot.until, holding.slot.borrowed));
                let expected = self.ordered.slot(device, *slot);
                assert_eq!(held, expected, "{}, step {step}: {hardware_id} {slot:?}", self.name);
            }
        }
    }

    /// Whatever the model says: the last request that took a slot has a higher number than each that gave it back, in
    /// whatever order they came; but for those that gave nothing back, because they had been overtaken themselves.
    fn assert_held_by_the_latest(&self) {
        for holding in self.world.state.holdings(self.world.now) {
            let slot = SCOPES[if holding.feature.is_none() { 1 } else { 2 }];
            let (mut taken, mut given_back) = (None, None);
            let (mut about_slot, mut about_device) = (None, None);
            let of_device =
                |(request, _): &&(Request, bool)| HARDWARE_IDS[request.device as usize] == holding.hardware_id;
            for (Request { what, number, .. }, succeeded) in self.arrived.iter().filter(of_device) {
                let scope = scope(*what);
                match what {
                    1 if *number > about_device => given_back = *number,
                    5 | 9 if *number > about_slot && scope == slot => given_back = *number,
                    2 | 4 | 6 | 8 if *succeeded && scope == slot => taken = taken.max(*number),
                    _ => {}
                }
                about_device = about_device.max(*number);
                if scope == slot || scope == OrderScope::Device {
                    about_slot = about_slot.max(*number);
                }
            }
            assert!(taken > given_back, "{}: {holding:?}, after {:#?}", self.name, self.arrived);
        }
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|number| number.parse().ok())
}

/// `FLOATLEASE_SEED` runs one history, `FLOATLEASE_HISTORIES` another number of them.
#[test]
fn histories_of_late_requests_agree_with_the_model() {
    let catalogue = Arc::new(catalogue::parse(CATALOGUE).unwrap());
    if let Some(seed) = number("FLOATLEASE_SEED") {
        return History::new(seed, &catalogue).run(seed % 2 == 0);
    }
    let histories = number("FLOATLEASE_HISTORIES").unwrap_or(HISTORIES);
    let threads = thread::available_parallelism().map_or(1, |threads| threads.get() as u64);
    thread::scope(|scope| {
        for first in 1..=threads {
            let seeds = (first..=histories).step_by(threads as usize);
            let catalogue = &catalogue;
            scope.spawn(move || seeds.for_each(|seed| History::new(seed, catalogue).run(seed % 2 == 0)));
        }
    });
}
