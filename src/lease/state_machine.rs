//! The life of a lease, as a pure function of what happened and when: no I/O, no clock, no randomness. So every state
//! meets every event in a test, and a day passes in microseconds.
//!
//! Times are milliseconds on a clock that counts sleep. Two of them rule a lease: `held_until`, when the server frees a
//! slot that was not renewed, and `runs_until`, later by the host's own `grace_ms`, when licensed work must stop.

/// Milliseconds on a clock that counts sleep.
pub type Millis = i64;

/// How a lease stands. The numbers are those of the C ABI; 0 is no lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(i32)]
pub enum State {
    /// Confirmed by the server within its timeout.
    Active = 1,
    /// The last renewal failed; the slot is still ours.
    Degraded = 2,
    /// The slot is no longer surely ours; the host's own grace counts down.
    Grace = 3,
    /// Ours until a date, network or not.
    Borrowed = 4,
    /// Over, unless the server gives it back.
    Lost = 5,
    /// Given back.
    Released = 6,
}

impl State {
    /// As events and the documentation spell it.
    pub const fn name(self) -> &'static str {
        match self {
            State::Active => "ACTIVE",
            State::Degraded => "DEGRADED",
            State::Grace => "GRACE",
            State::Borrowed => "BORROWED",
            State::Lost => "LOST",
            State::Released => "RELEASED",
        }
    }
}

/// Something that happened to a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// The server has renewed the slot.
    Confirmed {
        /// When it was asked: its timeout counts from then at the earliest.
        asked_at: Millis,
        /// It frees a slot that is not renewed for so long.
        timeout_ms: i64,
        /// When the license, or the feature, expires, on this clock; [`NEVER`] if it does not.
        expires_at: Millis,
    },
    /// The server was asked, and no answer came that decides anything.
    Failed {
        /// It wants to be left alone for so long.
        retry_after_ms: Option<i64>,
    },
    /// The server said no, and meant it.
    Refused,
    /// The server has lent the slot.
    Borrowed {
        /// When it was asked.
        asked_at: Millis,
        /// The end, on this clock.
        until: Millis,
    },
    /// A request that gave the slot back before this lease took or renewed it got no reply. A server that knows no order
    /// numbers may still carry it out.
    Doubted {
        /// No request lives longer than this.
        until: Millis,
    },
    /// The slot was given back.
    Released,
    /// Some of its slots were given back, and others could not be.
    PartlyReleased,
    /// The server was to be asked, and something else came first.
    Deferred,
    /// The host gave the slot back, and the server's answer was lost: it may count the slot or not.
    ReleaseUnanswered,
    /// Nothing but time has passed.
    Tick,
}

/// What the host is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LeaseEvent {
    /// A renewal failed; the slot is still ours.
    Degraded,
    /// The slot was renewed.
    Renewed,
    /// The slot is no longer surely ours: save what is to be saved.
    GraceStarted,
    /// Licensed work must stop.
    Lost,
    /// After grace or loss, the slot is ours again.
    Regained,
    /// A borrow ends soon.
    BorrowEnding,
    /// The license, or the feature, expires soon.
    Expiring,
}

impl LeaseEvent {
    /// As events and the documentation spell it.
    pub const fn name(self) -> &'static str {
        match self {
            LeaseEvent::Degraded => "DEGRADED",
            LeaseEvent::Renewed => "RENEWED",
            LeaseEvent::GraceStarted => "GRACE_STARTED",
            LeaseEvent::Lost => "LOST",
            LeaseEvent::Regained => "REGAINED",
            LeaseEvent::BorrowEnding => "BORROW_ENDING",
            LeaseEvent::Expiring => "EXPIRING",
        }
    }
}

/// What an event means at its moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Trigger {
    /// The slot is ours for another timeout.
    Confirmed,
    /// It could not be renewed.
    Failed,
    /// It is ours until a date.
    Borrowed,
    /// That date is near.
    BorrowEnding,
    /// The date is near at which the license, or the feature, expires.
    Expiring,
    /// `held_until` has passed, or the server said no.
    SlotExpired,
    /// `runs_until` has passed.
    GraceExpired,
    /// It was given back.
    Released,
}

/// A row: in these states, this makes that of the lease, and the host is told so.
type Transition = (&'static [State], Trigger, State, Option<LeaseEvent>);

/// Every turn a lease can take. What is not listed leaves its state as it is, and tells nobody.
pub const TRANSITIONS: &[Transition] = {
    use State::*;
    &[
        (&[Active, Degraded, Borrowed], Trigger::Confirmed, Active, Some(LeaseEvent::Renewed)),
        (&[Grace, Lost], Trigger::Confirmed, Active, Some(LeaseEvent::Regained)),
        (&[Active], Trigger::Failed, Degraded, Some(LeaseEvent::Degraded)),
        (&[Active, Degraded], Trigger::SlotExpired, Grace, Some(LeaseEvent::GraceStarted)),
        (&[Active, Degraded, Grace, Borrowed], Trigger::GraceExpired, Lost, Some(LeaseEvent::Lost)),
        (&[Active, Degraded, Borrowed], Trigger::Borrowed, Borrowed, None),
        (&[Grace, Lost], Trigger::Borrowed, Borrowed, Some(LeaseEvent::Regained)),
        (&[Borrowed], Trigger::BorrowEnding, Borrowed, Some(LeaseEvent::BorrowEnding)),
        (&[Active], Trigger::Expiring, Active, Some(LeaseEvent::Expiring)),
        (&[Degraded], Trigger::Expiring, Degraded, Some(LeaseEvent::Expiring)),
        (&[Active, Degraded, Grace, Borrowed, Lost], Trigger::Released, Released, None),
    ]
};

/// What the host wants of a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseOptions {
    /// So long it may go on when the slot is no longer surely ours.
    pub grace_ms: i64,
    /// So long before its end a borrow is announced to end, and a license or a feature to expire.
    pub borrow_ending_ms: i64,
}

/// A lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StateMachine {
    options: LeaseOptions,
    state: State,
    /// When the confirmation that counts was asked for.
    asked_at: Millis,
    held_until: Millis,
    runs_until: Millis,
    renew_at: Millis,
    /// When the license, or the feature, expires, as the server's last yes said.
    expires_at: Millis,
    /// Until then a late request may take the slot away, borrowed or not, so the server is asked more often.
    doubted_until: Millis,
    /// The host gave the slot back, and nobody knows whether the server has done it: a borrow is not promised any more.
    return_pending: bool,
    /// In a row.
    failures: u32,
    /// The end that is near, of the borrow or of the license, was announced.
    announced: bool,
}

/// Later than any moment.
pub const NEVER: Millis = Millis::MAX;
/// The pause after the first failure; it doubles from there.
const FIRST_PAUSE_MS: i64 = 1_000;
/// Up to this.
const LONGEST_PAUSE_MS: i64 = 60_000;

/// After an acquire in doubt, the first time to ask whether the slot is still ours; the second is when no late request
/// can live any more.
const FIRST_CONFIRMATION_MS: i64 = 5_000;

/// Nobody keeps a lost lease from asking for longer: whoever answers may say what he likes.
const LONGEST_RETRY_AFTER_MS: i64 = 60 * 60 * 1000;

/// A number from 0 to 999 that decides the scatter of a pause, so that clients that failed together do not come back
/// together.
pub type Jitter = u16;

impl StateMachine {
    /// A lease that nobody has confirmed yet: lost, unless its first step says otherwise.
    pub const fn unconfirmed(options: LeaseOptions) -> StateMachine {
        StateMachine {
            options,
            state: State::Lost,
            asked_at: Millis::MIN,
            held_until: Millis::MIN,
            runs_until: Millis::MIN,
            renew_at: NEVER,
            expires_at: NEVER,
            doubted_until: Millis::MIN,
            return_pending: false,
            failures: 0,
            announced: false,
        }
    }

    /// How it stands, as of the last step.
    pub fn state(&self) -> State {
        self.state
    }

    /// Milliseconds until licensed work must stop; 0 when it must. In [`State::Grace`], the last `grace_ms` of them.
    pub fn remaining_ms(&self, now: Millis) -> i64 {
        self.runs_until().saturating_sub(now).max(0)
    }

    /// When licensed work must stop; long past if it must have.
    pub fn runs_until(&self) -> Millis {
        match self.state {
            State::Lost | State::Released => Millis::MIN,
            _ => self.runs_until,
        }
    }

    /// When the server is to be asked next, if ever.
    pub fn renew_at(&self) -> Option<Millis> {
        Some(self.renew_at).filter(|at| *at != NEVER)
    }

    /// When time alone will turn the state next, if ever.
    pub fn next_transition_at(&self) -> Option<Millis> {
        let next_transition_at = match self.state {
            State::Active | State::Degraded if self.announced => self.held_until,
            State::Active | State::Degraded => self.held_until.min(self.ending_at()),
            State::Grace => self.runs_until,
            State::Borrowed if self.announced => self.runs_until,
            State::Borrowed => self.ending_at(),
            State::Lost | State::Released => NEVER,
        };
        Some(next_transition_at).filter(|at| *at != NEVER)
    }

    /// Whether it may be asked along with others that are due: when three quarters of the time until its own turn are over.
    pub fn renewal_window_open(&self, now: Millis) -> bool {
        let early = self.renew_at.saturating_sub(self.asked_at) / 4;
        let well = self.failures == 0 && self.state == State::Active;
        now >= if well { self.renew_at.saturating_sub(early) } else { self.renew_at }
    }

    /// Whether it is time to ask the server. After a sleep, ask first, and tell the host of what time has done second.
    pub fn renewal_due(&self, now: Millis) -> bool {
        now >= self.renew_at
    }

    /// How often in a row the server could not be asked, or refused.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// When something is to be done next, if anything ever is: to renew, or to let [`Input::Tick`] tell what time did.
    pub fn wake_at(&self) -> Option<Millis> {
        [self.renew_at(), self.next_transition_at()].into_iter().flatten().min()
    }

    /// The lease after `input` at `now`, and what the host is told of it.
    #[must_use]
    pub fn step(mut self, input: Input, now: Millis, jitter: Jitter) -> (StateMachine, Option<LeaseEvent>) {
        if self.state == State::Released {
            return (self, None);
        }
        let trigger = self.trigger(input, now, jitter);
        let transition = TRANSITIONS.iter().find(|(from, why, ..)| Some(*why) == trigger && from.contains(&self.state));
        let Some((_, _, state, report)) = transition else { return (self, None) };
        self.state = *state;
        (self, *report)
    }

    /// What the event means; the times are set accordingly.
    fn trigger(&mut self, input: Input, now: Millis, jitter: Jitter) -> Option<Trigger> {
        match input {
            Input::Released => {
                (self.held_until, self.runs_until, self.renew_at) = (now, now, NEVER);
                return Some(Trigger::Released);
            }
            Input::Confirmed { asked_at, timeout_ms, expires_at } => {
                let held_until = asked_at.saturating_add(timeout_ms);
                if self.is_newer(asked_at, held_until.min(expires_at), now) {
                    self.confirm(asked_at, timeout_ms, expires_at, now, jitter);
                    return Some(Trigger::Confirmed);
                }
                self.schedule_retry(None, now, jitter);
            }
            Input::Borrowed { asked_at, until } => {
                if self.is_newer(asked_at, until, now) {
                    // Its end is no surprise, so it has no grace; but the server may well go on with it.
                    let announced = self.announced && self.state == State::Borrowed;
                    let renew_at = if asked_at < self.doubted_until { self.doubted_until.min(until) } else { until };
                    self.set_times(until, until, renew_at);
                    (self.asked_at, self.expires_at) = (asked_at, NEVER);
                    // Once is enough, unless the end is far away again.
                    self.announced = announced && now >= until.saturating_sub(self.options.borrow_ending_ms);
                    return Some(Trigger::Borrowed);
                }
                self.schedule_retry(None, now, jitter);
            }
            Input::Failed { retry_after_ms } => self.schedule_retry(retry_after_ms, now, jitter),
            Input::Refused => {
                // What is lent was promised until its date, unless the host has given it back.
                if self.state != State::Borrowed {
                    self.held_until = self.held_until.min(now);
                    self.runs_until = self.runs_until.min(now.saturating_add(self.options.grace_ms));
                } else if self.return_pending {
                    self.end_now(now);
                }
                self.schedule_retry(None, now, jitter);
            }
            Input::PartlyReleased => {
                self.end_now(now);
                self.schedule_retry(None, now, jitter);
            }
            Input::Deferred => self.schedule_retry(None, now, jitter),
            Input::ReleaseUnanswered => {
                self.return_pending = true;
                self.schedule_retry(None, now, jitter);
            }
            Input::Doubted { until } if until > self.doubted_until => {
                self.doubted_until = until;
                self.renew_at = self.renew_at.min(until).min(now.saturating_add(FIRST_CONFIRMATION_MS));
            }
            Input::Doubted { .. } | Input::Tick => {}
        }
        let expired = self.expired(now);
        match input {
            // The announcement, if one is due, is the next step's.
            Input::Failed { .. } if self.state == State::Active => expired.or(Some(Trigger::Failed)),
            _ => expired.or_else(|| self.announce(now)),
        }
    }

    /// The server's yes: ours for its timeout, but no longer than the license runs. To be renewed at half of that time,
    /// give or take a tenth, and when the license expires: it may have been prolonged.
    fn confirm(&mut self, asked_at: Millis, timeout_ms: i64, expires_at: Millis, now: Millis, jitter: Jitter) {
        let announced = self.announced && self.state != State::Borrowed;
        let held_until = asked_at.saturating_add(timeout_ms);
        let half = timeout_ms / 2 - timeout_ms / 10 + part_of(timeout_ms / 5, jitter);
        let mut renew_at = asked_at.saturating_add(half).min(expires_at);
        if asked_at < self.doubted_until {
            renew_at = renew_at.min(self.doubted_until);
        }
        // That a license expires is no surprise, so it has no grace.
        let runs_until = held_until.saturating_add(self.options.grace_ms).min(expires_at);
        self.set_times(held_until.min(expires_at), runs_until, renew_at);
        (self.asked_at, self.expires_at) = (asked_at, expires_at);
        self.announced = announced && now >= self.expiry_announced_at();
    }

    /// The slot is not ours any more, or not all of it.
    fn end_now(&mut self, now: Millis) {
        (self.held_until, self.runs_until) = (self.held_until.min(now), self.runs_until.min(now));
    }

    /// What time has done.
    fn expired(&mut self, now: Millis) -> Option<Trigger> {
        if now >= self.runs_until {
            return Some(Trigger::GraceExpired);
        }
        if now >= self.held_until {
            return Some(Trigger::SlotExpired);
        }
        None
    }

    /// The announcement that is due, once.
    fn announce(&mut self, now: Millis) -> Option<Trigger> {
        if self.announced || now < self.ending_at() {
            return None;
        }
        let trigger = match self.state {
            State::Borrowed => Trigger::BorrowEnding,
            State::Active | State::Degraded => Trigger::Expiring,
            State::Grace | State::Lost | State::Released => return None,
        };
        self.announced = true;
        Some(trigger)
    }

    /// When the end of the borrow, or of the license, is to be announced.
    fn ending_at(&self) -> Millis {
        match self.state {
            State::Borrowed => self.runs_until.saturating_sub(self.options.borrow_ending_ms),
            _ => self.expiry_announced_at(),
        }
    }

    fn expiry_announced_at(&self) -> Millis {
        if self.expires_at == NEVER { NEVER } else { self.expires_at.saturating_sub(self.options.borrow_ending_ms) }
    }

    /// Answers may overtake each other, and one may have slept on the way for longer than it is good for.
    fn is_newer(&self, asked_at: Millis, good_until: Millis, now: Millis) -> bool {
        asked_at >= self.asked_at && good_until > now
    }

    fn set_times(&mut self, held_until: Millis, runs_until: Millis, renew_at: Millis) {
        (self.held_until, self.runs_until, self.renew_at) = (held_until, runs_until, renew_at);
        (self.failures, self.announced, self.return_pending) = (0, false, false);
    }

    /// After a pause that doubles with each failure, and is as long as the server asked for; but of what is left before the
    /// next turn half is kept, so that it is not lost unasked.
    fn schedule_retry(&mut self, retry_after_ms: Option<i64>, now: Millis, jitter: Jitter) {
        // On a trip nobody needs an answer before its end, or before it is known that no late request has ended it.
        if self.state == State::Borrowed && !self.return_pending && now < self.held_until {
            let doubted = Some(self.doubted_until).filter(|until| *until > now);
            self.renew_at = doubted.map_or(self.held_until, |until| until.min(self.held_until));
            return;
        }
        let pause = (FIRST_PAUSE_MS << self.failures.min(16)).min(LONGEST_PAUSE_MS);
        let pause = pause - pause / 5 + part_of(pause / 5 * 2, jitter);
        self.failures = self.failures.saturating_add(1);
        let left =
            [self.held_until, self.runs_until].map(|end| end.saturating_sub(now)).into_iter().find(|left| *left > 0);
        let longest = left.map_or(LONGEST_RETRY_AFTER_MS, |left| left / 2);
        self.renew_at = now.saturating_add(pause.max(retry_after_ms.unwrap_or_default().min(longest)));
    }
}

/// A part of `range`.
fn part_of(range: i64, jitter: Jitter) -> i64 {
    range / 1000 * i64::from(jitter.min(999)) + range % 1000 * i64::from(jitter.min(999)) / 1000
}

#[cfg(test)]
mod tests;
