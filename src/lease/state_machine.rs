//! The state of a lease, as a pure function of inputs and their times: no I/O, no clock, no randomness. A test can
//! therefore combine every state with every input, and simulate a day in microseconds.
//!
//! Times are milliseconds on a clock that counts sleep. Two of them decide over a lease: `held_until`, when the server
//! frees a slot that was not renewed, and `runs_until`, later by the host's own `grace_ms`, when licensed work must stop.

/// Milliseconds on a clock that counts sleep.
pub type Millis = i64;

/// The state of a lease. The numbers are those of the C ABI; 0 stands for no lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(i32)]
pub enum State {
    /// Confirmed by the server within its timeout.
    Active = 1,
    /// The last renewal failed; the server still counts the slot for this device.
    Degraded = 2,
    /// The server may have freed the slot; the grace that the host has allowed itself is running.
    Grace = 3,
    /// Borrowed until a date, with or without a network.
    Borrowed = 4,
    /// Licensed work must stop, until a renewal succeeds.
    Lost = 5,
    /// Released by the host.
    Released = 6,
}

impl State {
    /// The name in events and in the documentation.
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

/// An input of the state machine: something has happened to the lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// The server has confirmed the slot.
    Confirmed {
        /// When the server was asked. Its timeout begins at this moment at the earliest.
        asked_at: Millis,
        /// After this time without a renewal, the server frees the slot.
        timeout_ms: i64,
        /// When the license, or the feature, expires, on this clock; [`NEVER`] if it does not.
        expires_at: Millis,
    },
    /// The server was asked, and gave no answer that decides.
    Failed {
        /// The value of `Retry-After`, if the server has sent one.
        retry_after_ms: Option<i64>,
    },
    /// The server has refused the slot.
    Refused,
    /// The slot is borrowed.
    Borrowed {
        /// When the server was asked.
        asked_at: Millis,
        /// The end of the borrow, on this clock.
        until: Millis,
    },
    /// A request that released the slot, before this lease took or renewed it, got no reply. A server without order numbers
    /// may still carry it out.
    Doubted {
        /// The server can't carry out the request after this moment.
        until: Millis,
    },
    /// The host has released the slot.
    Released,
    /// Some slots of the lease were released, and others could not be.
    PartlyReleased,
    /// The server was to be asked, and the request was not made or was cancelled.
    Deferred,
    /// The host has released the slot, and the answer was lost. The server may still count the slot, or not.
    ReleaseUnanswered,
    /// Time has passed, and nothing else has happened.
    Tick,
}

/// An event that the host gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LeaseEvent {
    /// A renewal failed; the slot is still held.
    Degraded,
    /// The slot was renewed.
    Renewed,
    /// The server may have freed the slot: the host should save its work.
    GraceStarted,
    /// Licensed work must stop.
    Lost,
    /// After grace or loss, the slot is held again.
    Regained,
    /// A borrow ends soon.
    BorrowEnding,
    /// The license, or the feature, expires soon.
    Expiring,
}

impl LeaseEvent {
    /// The name in events and in the documentation.
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

/// The meaning of an input at its time; the second column of [`TRANSITIONS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Trigger {
    /// The slot is held for another timeout.
    Confirmed,
    /// The slot could not be renewed.
    Failed,
    /// The slot is borrowed until a date.
    Borrowed,
    /// The end of the borrow is near.
    BorrowEnding,
    /// The license, or the feature, expires soon.
    Expiring,
    /// `held_until` has passed, or the server has refused the slot.
    SlotExpired,
    /// `runs_until` has passed.
    GraceExpired,
    /// The host has released the slot.
    Released,
}

/// A row of the table: in these states, this trigger leads to that state, and the host gets this event.
type Transition = (&'static [State], Trigger, State, Option<LeaseEvent>);

/// All transitions of a lease. A trigger that is not listed for a state changes nothing, and causes no event.
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

/// Options of a lease, which the host gives in the acquire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseOptions {
    /// How long licensed work may go on after the server may have freed the slot.
    pub grace_ms: i64,
    /// How long before its end a borrow, a license or a feature is announced to end.
    pub borrow_ending_ms: i64,
}

/// The state machine of one lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StateMachine {
    options: LeaseOptions,
    state: State,
    /// When the current confirmation was asked for.
    asked_at: Millis,
    held_until: Millis,
    runs_until: Millis,
    renew_at: Millis,
    /// When the license, or the feature, expires, as the last confirmation said.
    expires_at: Millis,
    /// Until this moment a late request may release the slot, borrowed or not, so the server is asked more often.
    doubted_until: Millis,
    /// A release by the host got no answer, so that a borrow is not promised any more.
    return_pending: bool,
    /// The number of failures since the last confirmation.
    failures: u32,
    /// True if the end of the borrow, or of the license, was announced.
    announced: bool,
}

/// Later than any other time.
pub const NEVER: Millis = Millis::MAX;
/// The pause after the first failure; it doubles with each further one.
const FIRST_PAUSE_MS: i64 = 1_000;
/// The longest of these pauses.
const LONGEST_PAUSE_MS: i64 = 60_000;

/// When the server is asked for the first time whether it still counts a slot that a late request may release. It is
/// asked again when no late request can live any more.
const FIRST_CONFIRMATION_MS: i64 = 5_000;

/// Upper bound for `Retry-After` while the lease is lost. The header is unauthenticated, so a bogus value must not block
/// recovery for long.
const LONGEST_RETRY_AFTER_MS: i64 = 60 * 60 * 1000;

/// A random number from 0 to 999 that varies a pause, so that clients that failed together do not retry together.
pub type Jitter = u16;

impl StateMachine {
    /// A lease that the server has not confirmed yet. Its state is [`State::Lost`].
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

    /// The state after the last step.
    pub fn state(&self) -> State {
        self.state
    }

    /// Milliseconds until licensed work must stop; 0 if it must stop now.
    pub fn remaining_ms(&self, now: Millis) -> i64 {
        self.runs_until().saturating_sub(now).max(0)
    }

    /// When licensed work must stop; [`Millis::MIN`] if it must stop now.
    pub fn runs_until(&self) -> Millis {
        match self.state {
            State::Lost | State::Released => Millis::MIN,
            _ => self.runs_until,
        }
    }

    /// When the server is to be asked next, if at all.
    pub fn renew_at(&self) -> Option<Millis> {
        Some(self.renew_at).filter(|at| *at != NEVER)
    }

    /// When the passing of time changes the state or causes an event next, if at all.
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

    /// Returns whether the lease may be renewed together with others that are due: after three quarters of the time until
    /// its own renewal.
    pub fn renewal_window_open(&self, now: Millis) -> bool {
        let early = self.renew_at.saturating_sub(self.asked_at) / 4;
        let well = self.failures == 0 && self.state == State::Active;
        now >= if well { self.renew_at.saturating_sub(early) } else { self.renew_at }
    }

    /// Returns whether the lease must be renewed now. After a sleep, the renewal comes first and [`Input::Tick`] second,
    /// so that the host does not hear of a loss that a renewal can prevent.
    pub fn renewal_due(&self, now: Millis) -> bool {
        now >= self.renew_at
    }

    /// The number of failures since the last confirmation.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// When the lease needs a renewal or an [`Input::Tick`] next, if at all.
    pub fn wake_at(&self) -> Option<Millis> {
        [self.renew_at(), self.next_transition_at()].into_iter().flatten().min()
    }

    /// The lease after `input` at `now`, and the event that the host gets.
    #[must_use]
    pub fn step(mut self, input: Input, now: Millis, jitter: Jitter) -> (StateMachine, Option<LeaseEvent>) {
        if self.state == State::Released {
            return (self, None);
        }
        let trigger = self.trigger(input, now, jitter);
        let transition = TRANSITIONS.iter().find(|(from, on, ..)| Some(*on) == trigger && from.contains(&self.state));
        let Some((_, _, state, event)) = transition else { return (self, None) };
        self.state = *state;
        (self, *event)
    }

    /// Returns the meaning of the input, and sets the times accordingly.
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
                    // The end of a borrow is known in advance, so there is no grace after it. The server may prolong it.
                    let announced = self.announced && self.state == State::Borrowed;
                    let renew_at = if asked_at < self.doubted_until { self.doubted_until.min(until) } else { until };
                    self.set_times(until, until, renew_at);
                    (self.asked_at, self.expires_at) = (asked_at, NEVER);
                    // The end is announced once, unless it is far away again.
                    self.announced = announced && now >= until.saturating_sub(self.options.borrow_ending_ms);
                    return Some(Trigger::Borrowed);
                }
                self.schedule_retry(None, now, jitter);
            }
            Input::Failed { retry_after_ms } => self.schedule_retry(retry_after_ms, now, jitter),
            Input::Refused => {
                // A borrow is promised until its date, unless the host has returned it.
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
            // If an announcement is due too, it follows with the next step.
            Input::Failed { .. } if self.state == State::Active => expired.or(Some(Trigger::Failed)),
            _ => expired.or_else(|| self.announce(now)),
        }
    }

    /// Applies a confirmation: the slot is held for its timeout, but not beyond the expiry. The renewal is due after half of
    /// the timeout, give or take a tenth, and at the expiry, because the license may have been prolonged.
    fn confirm(&mut self, asked_at: Millis, timeout_ms: i64, expires_at: Millis, now: Millis, jitter: Jitter) {
        let announced = self.announced && self.state != State::Borrowed;
        let held_until = asked_at.saturating_add(timeout_ms);
        let half = timeout_ms / 2 - timeout_ms / 10 + part_of(timeout_ms / 5, jitter);
        let mut renew_at = asked_at.saturating_add(half).min(expires_at);
        if asked_at < self.doubted_until {
            renew_at = renew_at.min(self.doubted_until);
        }
        // The expiry is known in advance, so there is no grace after it.
        let runs_until = held_until.saturating_add(self.options.grace_ms).min(expires_at);
        self.set_times(held_until.min(expires_at), runs_until, renew_at);
        (self.asked_at, self.expires_at) = (asked_at, expires_at);
        self.announced = announced && now >= self.expiry_announced_at();
    }

    /// Ends the time of the slot and the grace now.
    fn end_now(&mut self, now: Millis) {
        (self.held_until, self.runs_until) = (self.held_until.min(now), self.runs_until.min(now));
    }

    /// The trigger of an end that has passed.
    fn expired(&mut self, now: Millis) -> Option<Trigger> {
        if now >= self.runs_until {
            return Some(Trigger::GraceExpired);
        }
        if now >= self.held_until {
            return Some(Trigger::SlotExpired);
        }
        None
    }

    /// The trigger of an announcement that is due, once.
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

    /// Returns whether an answer is to be applied. Answers may overtake each other, and one may arrive when its time is
    /// over.
    fn is_newer(&self, asked_at: Millis, good_until: Millis, now: Millis) -> bool {
        asked_at >= self.asked_at && good_until > now
    }

    fn set_times(&mut self, held_until: Millis, runs_until: Millis, renew_at: Millis) {
        (self.held_until, self.runs_until, self.renew_at) = (held_until, runs_until, renew_at);
        (self.failures, self.announced, self.return_pending) = (0, false, false);
    }

    /// Schedules the next request after a pause that doubles with each failure, or that the server asked for. Half of the
    /// time before the next end is kept, so that the slot is not lost without another attempt.
    fn schedule_retry(&mut self, retry_after_ms: Option<i64>, now: Millis, jitter: Jitter) {
        // During a borrow no answer is needed before its end, or before a late request can't end it any more.
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

/// The share of `range` that `jitter` stands for.
fn part_of(range: i64, jitter: Jitter) -> i64 {
    range / 1000 * i64::from(jitter.min(999)) + range % 1000 * i64::from(jitter.min(999)) / 1000
}

#[cfg(test)]
mod tests;
