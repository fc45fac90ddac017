//! Every state meets every event, and a million lives keep what a lease promises.

use super::*;
use State::{Active, Borrowed, Degraded, Grace, Lost, Released};

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
const TERMS: LeaseOptions = LeaseOptions { grace_ms: 5 * MINUTE, borrow_ending_ms: 4 * HOUR };
const TIMEOUT: i64 = 120 * MINUTE;
const START: Millis = 1_000_000_000;
const STATES: [State; 6] = [Active, Degraded, Grace, Borrowed, Lost, Released];

fn new(options: LeaseOptions, asked_at: Millis, timeout_ms: i64, now: Millis, chance: Jitter) -> StateMachine {
    StateMachine::unconfirmed(options).step(Input::Confirmed { asked_at, timeout_ms, expires_at: NEVER }, now, chance).0
}

fn borrowed(options: LeaseOptions, until: Millis, now: Millis) -> StateMachine {
    StateMachine::unconfirmed(options).step(Input::Borrowed { asked_at: now, until }, now, 0).0
}

/// A lease in this state, and the moment at which it came to it.
fn lease(state: State) -> (StateMachine, Millis) {
    let active = new(TERMS, START, TIMEOUT, START, 500);
    let after = |event, now| (active.step(event, now, 500).0, now);
    let (machine, now) = match state {
        Active => (active, START),
        Degraded => after(Input::Failed { retry_after_ms: None }, START + 1),
        Grace => after(Input::Refused, START + 1),
        Borrowed => (borrowed(TERMS, START + 2 * DAY, START), START),
        Lost => after(Input::Tick, START + TIMEOUT + TERMS.grace_ms),
        Released => after(Input::Released, START + 1),
    };
    assert_eq!(machine.state(), state);
    (machine, now)
}

/// What becomes of a lease in each of [`STATES`] if this happens so long after it came to its state.
type Expectation = (&'static str, i64, fn(Millis) -> Input, [(State, Option<LeaseEvent>); 6]);

const STAYS: [(State, Option<LeaseEvent>); 6] =
    [(Active, None), (Degraded, None), (Grace, None), (Borrowed, None), (Lost, None), (Released, None)];

const R: Option<LeaseEvent> = Some(LeaseEvent::Renewed);
const BACK: Option<LeaseEvent> = Some(LeaseEvent::Regained);
const G: Option<LeaseEvent> = Some(LeaseEvent::GraceStarted);
const L: Option<LeaseEvent> = Some(LeaseEvent::Lost);

#[rustfmt::skip]
const EXPECTED: &[Expectation] = &[
    ("confirmed", 10, |now| Input::Confirmed { asked_at: now - 5, timeout_ms: TIMEOUT, expires_at: NEVER },
        [(Active, R), (Active, R), (Active, BACK), (Active, R), (Active, BACK), (Released, None)]),
    ("an answer that was overtaken", 10, |_| Input::Confirmed { asked_at: START - 1, timeout_ms: 10 * DAY, expires_at: NEVER }, STAYS),
    ("an answer that slept on the way", 10, |now| Input::Confirmed { asked_at: now - 5, timeout_ms: 5, expires_at: NEVER }, STAYS),
    ("failed", 10, |_| Input::Failed { retry_after_ms: None },
        [(Degraded, Some(LeaseEvent::Degraded)), (Degraded, None), (Grace, None), (Borrowed, None), (Lost, None), (Released, None)]),
    ("refused", 10, |_| Input::Refused,
        [(Grace, G), (Grace, G), (Grace, None), (Borrowed, None), (Lost, None), (Released, None)]),
    ("borrowed", 10, |now| Input::Borrowed { asked_at: now - 5, until: now + DAY },
        [(Borrowed, None), (Borrowed, None), (Borrowed, BACK), (Borrowed, None), (Borrowed, BACK), (Released, None)]),
    ("a borrow that is over", 10, |now| Input::Borrowed { asked_at: now - 5, until: now }, STAYS),
    ("released", 10, |_| Input::Released, [(Released, None); 6]),
    ("released in part", 10, |_| Input::PartlyReleased,
        [(Lost, L), (Lost, L), (Lost, L), (Lost, L), (Lost, None), (Released, None)]),
    ("nothing", 10, |_| Input::Tick, STAYS),
    ("put off", 10, |_| Input::Deferred, STAYS),
    ("a release without an answer", 10, |_| Input::ReleaseUnanswered, STAYS),
    ("put off when the slot's time is over", TIMEOUT, |_| Input::Deferred,
        [(Grace, G), (Grace, G), (Lost, L), (Borrowed, None), (Lost, None), (Released, None)]),
    ("the slot's time is over", TIMEOUT, |_| Input::Tick,
        [(Grace, G), (Grace, G), (Lost, L), (Borrowed, None), (Lost, None), (Released, None)]),
    ("a failure when the slot's time is over", TIMEOUT, |_| Input::Failed { retry_after_ms: None },
        [(Grace, G), (Grace, G), (Lost, L), (Borrowed, None), (Lost, None), (Released, None)]),
    ("grace is over", TIMEOUT + TERMS.grace_ms, |_| Input::Tick,
        [(Lost, L), (Lost, L), (Lost, L), (Borrowed, None), (Lost, None), (Released, None)]),
    ("the borrow's end is near", 2 * DAY - 4 * HOUR, |_| Input::Tick,
        [(Lost, L), (Lost, L), (Lost, L), (Borrowed, Some(LeaseEvent::BorrowEnding)), (Lost, None), (Released, None)]),
    ("the borrow is over", 2 * DAY, |_| Input::Tick,
        [(Lost, L), (Lost, L), (Lost, L), (Lost, L), (Lost, None), (Released, None)]),
];

#[test]
fn every_state_meets_every_event() {
    for (what, after, event, expected) in EXPECTED {
        for (state, expected) in STATES.into_iter().zip(expected) {
            let (machine, since) = lease(state);
            let now = since + after;
            let (next, report) = machine.step(event(now), now, 500);
            assert_eq!((next.state(), report), *expected, "{state:?}: {what}");
        }
    }
}

#[test]
fn every_turn_of_the_table_is_met_and_no_two_contradict() {
    for (from, trigger, ..) in TRANSITIONS {
        for state in *from {
            let rows = TRANSITIONS.iter().filter(|(from, why, ..)| why == trigger && from.contains(state));
            assert_eq!(rows.count(), 1, "{state:?} {trigger:?}");
        }
    }
    let met = |from: State, to: State, report: Option<LeaseEvent>| {
        EXPECTED.iter().any(|(.., outcomes)| {
            STATES.into_iter().zip(outcomes).any(|(state, outcome)| state == from && *outcome == (to, report))
        })
    };
    // That a license expires has a test of its own.
    for (from, trigger, to, report) in TRANSITIONS.iter().filter(|(_, trigger, ..)| *trigger != Trigger::Expiring) {
        for state in *from {
            assert!(met(*state, *to, *report), "{state:?} {trigger:?}");
        }
    }
}

#[test]
fn a_renewal_comes_at_half_the_timeout_and_after_failures_ever_later() {
    let at = |chance| new(TERMS, START, TIMEOUT, START, chance).wake_at().unwrap() - START;
    assert_eq!((at(0), at(500), at(999) / MINUTE), (48 * MINUTE, 60 * MINUTE, 71));
    let (mut machine, mut now) = (new(TERMS, START, TIMEOUT, START, 500), START + HOUR);
    let mut pauses = Vec::new();
    for _ in 0..8 {
        machine = machine.step(Input::Failed { retry_after_ms: None }, now, 500).0;
        let wake_at = machine.wake_at().unwrap();
        assert!(!machine.renewal_due(wake_at - 1) && machine.renewal_due(wake_at));
        pauses.push((wake_at - now) / 1000);
        now = wake_at;
    }
    assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
    let (asked, _) = machine.step(Input::Failed { retry_after_ms: Some(90_000) }, now, 500);
    assert_eq!(asked.wake_at(), Some(now + 90_000), "as the server wants it");
}

#[test]
fn a_deadline_is_not_slept_over_however_long_the_server_wants_to_be_left_alone() {
    let (machine, _) = lease(Active);
    let (machine, _) = machine.step(Input::Failed { retry_after_ms: Some(DAY) }, START + 1, 0);
    assert_eq!(machine.wake_at(), Some(START + TIMEOUT / 2), "half of what is left");
    let (machine, _) = machine.step(Input::Failed { retry_after_ms: Some(DAY) }, START + TIMEOUT - 1_000, 0);
    assert_eq!(machine.wake_at(), Some(START + TIMEOUT));
    let (machine, report) = machine.step(Input::Tick, START + TIMEOUT, 0);
    assert_eq!(report, G);
    let (machine, _) = machine.step(Input::Failed { retry_after_ms: Some(DAY) }, START + TIMEOUT, 0);
    assert_eq!(machine.wake_at(), Some(START + TIMEOUT + TERMS.grace_ms / 2));
    assert_eq!(machine.remaining_ms(START + TIMEOUT + 1), TERMS.grace_ms - 1);
    let end = START + TIMEOUT + TERMS.grace_ms;
    let (machine, _) = machine.step(Input::Failed { retry_after_ms: Some(DAY) }, end, 0);
    assert_eq!((machine.state(), machine.wake_at()), (Lost, Some(end + HOUR)));
}

#[test]
fn what_is_borrowed_is_asked_about_at_its_end_and_not_before() {
    let (machine, since) = lease(Borrowed);
    for event in [Input::Failed { retry_after_ms: None }, Input::Deferred, Input::Refused] {
        let next = machine.step(event, since + HOUR, 0).0;
        assert_eq!(next.renew_at(), Some(START + 2 * DAY), "{event:?}");
        let over = machine.step(event, START + 2 * DAY, 0).0;
        assert!(over.renew_at().is_some_and(|at| at < START + 2 * DAY + MINUTE), "{event:?}");
    }
}

#[test]
fn borrow_given_back_without_an_answer_is_asked_about_soon_and_not_promised() {
    let (machine, since) = lease(Borrowed);
    let (doubted, report) = machine.step(Input::ReleaseUnanswered, since, 500);
    assert_eq!((doubted.state(), report, doubted.renew_at()), (Borrowed, None, Some(since + 1_000)));
    let (offline, _) = doubted.step(Input::Failed { retry_after_ms: None }, since + 1_000, 500);
    assert_eq!(offline.renew_at(), Some(since + 3_000), "as any lease that can't be renewed");
    let (refused, report) = doubted.step(Input::Refused, since + 1_000, 500);
    assert_eq!((refused.state(), report), (Lost, L));
    assert!(refused.renew_at().is_some_and(|at| at < since + MINUTE));
    // The server has not done it: the borrow is promised again.
    let until = since + 2 * DAY;
    let (borrowed, _) = doubted.step(Input::Borrowed { asked_at: since + 1_000, until }, since + 1_001, 500);
    assert_eq!(
        (borrowed.renew_at(), borrowed.step(Input::Refused, since + 2_000, 0).0.state()),
        (Some(until), Borrowed)
    );
}

#[test]
fn borrow_released_in_part_is_taken_again_soon() {
    let (machine, since) = lease(Borrowed);
    let (lost, _) = machine.step(Input::PartlyReleased, since + 1, 500);
    assert_eq!(lost.renew_at(), Some(since + 1_001));
}

#[test]
fn a_refusal_leaves_no_more_than_grace_and_without_grace_nothing() {
    let (machine, _) = lease(Active);
    assert_eq!(machine.remaining_ms(START + HOUR), HOUR + TERMS.grace_ms);
    assert_eq!(machine.step(Input::Refused, START + HOUR, 0).0.remaining_ms(START + HOUR), TERMS.grace_ms);
    let strict = new(LeaseOptions { grace_ms: 0, ..TERMS }, START, TIMEOUT, START, 0);
    let (machine, report) = strict.step(Input::Refused, START + HOUR, 0);
    assert_eq!((machine.state(), report, machine.remaining_ms(START + HOUR)), (Lost, L, 0));
}

#[test]
fn the_end_of_a_borrow_is_announced_once_and_again_for_a_new_date() {
    let (machine, _) = lease(Borrowed);
    let near = START + 2 * DAY - 4 * HOUR;
    assert_eq!((machine.wake_at(), machine.remaining_ms(near)), (Some(near), 4 * HOUR));
    let (machine, report) = machine.step(Input::Tick, near, 0);
    assert_eq!((report, machine.wake_at()), (Some(LeaseEvent::BorrowEnding), Some(START + 2 * DAY)));
    assert_eq!(machine.step(Input::Tick, near + 1, 0).1, None);
    let (same, _) = machine.step(Input::Borrowed { asked_at: near, until: START + 2 * DAY + 1 }, near + 2, 0);
    assert_eq!(same.step(Input::Tick, near + 3, 0).1, None, "it was told of this end");
    let (machine, _) = machine.step(Input::Borrowed { asked_at: near, until: near + DAY }, near, 0);
    assert_eq!(machine.step(Input::Tick, near + 20 * HOUR, 0).1, Some(LeaseEvent::BorrowEnding));
}

#[test]
fn license_that_expires_caps_what_remains_and_is_announced_once() {
    let expires_at = START + 10 * MINUTE;
    let options = LeaseOptions { borrow_ending_ms: 4 * MINUTE, ..TERMS };
    let confirmed = |asked_at| Input::Confirmed { asked_at, timeout_ms: TIMEOUT, expires_at };
    let (machine, _) = StateMachine::unconfirmed(options).step(confirmed(START), START, 500);
    assert_eq!(machine.remaining_ms(START), 10 * MINUTE, "no grace either");
    let near = START + 6 * MINUTE;
    assert_eq!((machine.wake_at(), machine.renew_at()), (Some(near), Some(expires_at)));
    let (announced, report) = machine.step(Input::Tick, near, 0);
    assert_eq!((announced.state(), report), (Active, Some(LeaseEvent::Expiring)));
    assert_eq!(announced.step(Input::Tick, near + 1, 0).1, None);
    let (renewed, report) = announced.step(confirmed(near), near + 2, 500);
    assert_eq!((report, renewed.step(Input::Tick, near + 3, 0).1), (R, None), "it was told of this end");
    // The customer has prolonged it.
    let (prolonged, report) =
        announced.step(Input::Confirmed { asked_at: near, timeout_ms: TIMEOUT, expires_at: NEVER }, near, 500);
    assert_eq!((report, prolonged.remaining_ms(near)), (R, TIMEOUT + TERMS.grace_ms));
    let (degraded, report) = machine.step(Input::Failed { retry_after_ms: None }, near, 0);
    assert_eq!((degraded.state(), report), (Degraded, Some(LeaseEvent::Degraded)));
    let (degraded, report) = degraded.step(Input::Tick, near, 0);
    assert_eq!((degraded.state(), report), (Degraded, Some(LeaseEvent::Expiring)));
    let (lost, report) = degraded.step(Input::Tick, expires_at, 0);
    assert_eq!((lost.state(), report), (Lost, L));
}

#[test]
fn lease_in_doubt_is_confirmed_after_five_seconds_and_when_no_request_lives() {
    let (machine, _) = lease(Active);
    let until = START + 30_000;
    let (doubted, report) = machine.step(Input::Doubted { until }, START, 0);
    assert_eq!((doubted.state(), report, doubted.renew_at()), (Active, None, Some(START + 5_000)));
    let confirmed = |asked_at| Input::Confirmed { asked_at, timeout_ms: TIMEOUT, expires_at: NEVER };
    let (doubted, _) = doubted.step(confirmed(START + 5_000), START + 5_001, 500);
    assert_eq!(doubted.renew_at(), Some(until));
    let (settled, _) = doubted.step(confirmed(until), until, 500);
    assert_eq!(settled.renew_at(), Some(until + TIMEOUT / 2));
}

#[test]
fn borrow_in_doubt_is_confirmed_and_then_left_alone() {
    let (borrowed, since) = lease(Borrowed);
    let (end, until) = (borrowed.renew_at(), since + 30_000);
    let (doubted, report) = borrowed.step(Input::Doubted { until }, since, 0);
    assert_eq!((doubted.state(), report, doubted.renew_at()), (Borrowed, None, Some(since + 5_000)));
    let (again, _) = doubted.step(Input::Failed { retry_after_ms: None }, since + 5_001, 0);
    assert_eq!((again.state(), again.renew_at()), (Borrowed, Some(until)));
    let (offline, _) = again.step(Input::Failed { retry_after_ms: None }, until, 0);
    assert_eq!((offline.state(), offline.renew_at()), (Borrowed, end));
    let confirmed = |asked_at| Input::Borrowed { asked_at, until: since + 2 * DAY };
    let (doubted, _) = doubted.step(confirmed(since + 5_000), since + 5_001, 0);
    assert_eq!(doubted.renew_at(), Some(until));
    let (settled, _) = doubted.step(confirmed(until), until, 0);
    assert_eq!(settled.renew_at(), end);
}

/// Small random numbers (xorshift64*).
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> i64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        ((self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % end) as i64
    }

    fn event(&mut self, now: Millis) -> Input {
        let asked_at = now - [0, 5, MINUTE, 3 * HOUR][self.below(4) as usize];
        match self.below(8) {
            0 | 1 => Input::Confirmed {
                asked_at,
                timeout_ms: [MINUTE, TIMEOUT][self.below(2) as usize],
                expires_at: [NEVER, now - 1, now + MINUTE, now + 3 * HOUR][self.below(4) as usize],
            },
            2 | 3 => {
                let retry_after_ms = [None, Some(0), Some(30_000), Some(DAY)][self.below(4) as usize];
                Input::Failed { retry_after_ms }
            }
            4 => Input::Refused,
            5 => Input::Borrowed { asked_at, until: now + [-1, MINUTE, DAY][self.below(3) as usize] },
            6 if self.below(8) == 0 => Input::Released,
            6 if self.below(8) == 0 => Input::PartlyReleased,
            6 if self.below(8) == 0 => Input::ReleaseUnanswered,
            6 if self.below(4) == 0 => Input::Doubted { until: now + [-1, 1_000, 30_000][self.below(3) as usize] },
            6 => Input::Deferred,
            _ => Input::Tick,
        }
    }
}

fn promises_are_kept(
    before: &StateMachine,
    event: Input,
    now: Millis,
    after: &StateMachine,
    report: Option<LeaseEvent>,
) {
    let what = || format!("{before:?}\n{event:?} at {now}\n{after:?} {report:?}");
    let (was, is) = (before.state(), after.state());
    let (had, has) = (before.remaining_ms(now), after.remaining_ms(now));
    assert!(!matches!(is, Active | Degraded) || now < after.held_until, "active past its deadline: {}", what());
    assert!(is != Lost || has == 0, "lost while something remains: {}", what());
    assert!(matches!(is, Lost | Released) || has > 0, "not lost while nothing remains: {}", what());
    let lost_to_time = is == Lost && was != Lost && !matches!(event, Input::Refused | Input::PartlyReleased);
    assert!(!lost_to_time || had == 0, "lost too early: {}", what());
    let confirmed = matches!(event, Input::Confirmed { .. } | Input::Borrowed { .. });
    assert!(has <= had || confirmed, "remaining has grown by itself: {}", what());
    let silent = matches!(is, Borrowed | Released) && !matches!(was, Grace | Lost) || is == Released;
    assert!(is == was || silent || report.is_some(), "a change that nobody is told of: {}", what());
    if was == Released {
        assert!(is == Released && report.is_none(), "released, and yet: {}", what());
    }
    if is == Released {
        assert!(after.wake_at().is_none() && !after.renewal_due(Millis::MAX - 1), "renews: {}", what());
    }
    if matches!(event, Input::Failed { .. } | Input::Deferred | Input::PartlyReleased | Input::ReleaseUnanswered) {
        let announces = matches!(is, Active | Degraded | Borrowed) && !after.announced && after.ending_at() <= now;
        assert!(announces || after.wake_at().is_none_or(|wake_at| wake_at > now), "never sleeps: {}", what());
    }
}

#[test]
fn a_million_lives_keep_every_promise() {
    let mut random = Random(0x5eed);
    for life in 0..1_000_000_u32 {
        let mut now = START;
        let options = LeaseOptions { grace_ms: [0, 5 * MINUTE, DAY][life as usize % 3], ..TERMS };
        let mut machine = new(options, now, TIMEOUT, now, 0);
        for _ in 0..12 {
            now += [0, 1, 1_000, 10 * MINUTE, HOUR, 3 * HOUR, 2 * DAY][random.below(7) as usize];
            let event = random.event(now);
            let (next, report) = machine.step(event, now, random.below(1000) as Jitter);
            promises_are_kept(&machine, event, now, &next, report);
            machine = next;
        }
    }
}
