//! The life of a lease, as a pure function of what happened and when: no I/O, no clock, no randomness. So every state
//! meets every event in a test, and a day passes in microseconds.
//!
//! Times are milliseconds on a clock that counts sleep. Two of them rule a lease: `held_until`, when the server frees a
//! slot that was not renewed, and `runs_until`, later by the host's own `grace_ms`, when licensed work must stop.

/// Milliseconds on a clock that counts sleep.
pub type Moment = i64;

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
pub enum Event {
    /// The server has renewed the slot.
    Confirmed {
        /// When it was asked: its timeout counts from then at the earliest.
        asked_at: Moment,
        /// It frees a slot that is not renewed for so long.
        timeout_ms: i64,
        /// When the license, or the feature, expires, on this clock; [`NEVER`] if it does not.
        expires_at: Moment,
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
        asked_at: Moment,
        /// The end, on this clock.
        until: Moment,
    },
    /// A request that gave the slot back before this lease took or renewed it got no reply. A server that knows no order
    /// numbers may still carry it out.
    Doubted {
        /// No request lives longer than this.
        until: Moment,
    },
    /// The slot was given back.
    Released,
    /// Some of its slots were given back, and others could not be.
    Parted,
    /// The server was to be asked, and something else came first.
    PutOff,
    /// The host gave the slot back, and the server's answer was lost: it may count the slot or not.
    ReleaseUnanswered,
    /// Nothing but time has passed.
    Passed,
}

/// What the host is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Report {
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

impl Report {
    /// As events and the documentation spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Report::Degraded => "DEGRADED",
            Report::Renewed => "RENEWED",
            Report::GraceStarted => "GRACE_STARTED",
            Report::Lost => "LOST",
            Report::Regained => "REGAINED",
            Report::BorrowEnding => "BORROW_ENDING",
            Report::Expiring => "EXPIRING",
        }
    }
}

/// What an event means at its moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cause {
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
    SlotOver,
    /// `runs_until` has passed.
    AllOver,
    /// It was given back.
    Released,
}

/// A row: in these states, this makes that of the lease, and the host is told so.
type Row = (&'static [State], Cause, State, Option<Report>);

/// Every turn a lease can take. What is not listed leaves its state as it is, and tells nobody.
pub const TURNS: &[Row] = {
    use State::*;
    &[
        (&[Active, Degraded, Borrowed], Cause::Confirmed, Active, Some(Report::Renewed)),
        (&[Grace, Lost], Cause::Confirmed, Active, Some(Report::Regained)),
        (&[Active], Cause::Failed, Degraded, Some(Report::Degraded)),
        (&[Active, Degraded], Cause::SlotOver, Grace, Some(Report::GraceStarted)),
        (&[Active, Degraded, Grace, Borrowed], Cause::AllOver, Lost, Some(Report::Lost)),
        (&[Active, Degraded, Borrowed], Cause::Borrowed, Borrowed, None),
        (&[Grace, Lost], Cause::Borrowed, Borrowed, Some(Report::Regained)),
        (&[Borrowed], Cause::BorrowEnding, Borrowed, Some(Report::BorrowEnding)),
        (&[Active], Cause::Expiring, Active, Some(Report::Expiring)),
        (&[Degraded], Cause::Expiring, Degraded, Some(Report::Expiring)),
        (&[Active, Degraded, Grace, Borrowed, Lost], Cause::Released, Released, None),
    ]
};

/// What the host wants of a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// So long it may go on when the slot is no longer surely ours.
    pub grace_ms: i64,
    /// So long before its end a borrow is announced to end, and a license or a feature to expire.
    pub borrow_ending_ms: i64,
}

/// A lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Machine {
    terms: Terms,
    state: State,
    /// When the confirmation that counts was asked for.
    asked_at: Moment,
    held_until: Moment,
    runs_until: Moment,
    renew_at: Moment,
    /// When the license, or the feature, expires, as the server's last yes said.
    expires_at: Moment,
    /// Until then a late request may take the slot away, borrowed or not, so the server is asked more often.
    doubted_until: Moment,
    /// The host gave the slot back, and nobody knows whether the server has done it: a borrow is not promised any more.
    return_pending: bool,
    /// In a row.
    failures: u32,
    /// The end that is near, of the borrow or of the license, was announced.
    announced: bool,
}

/// Later than any moment.
pub const NEVER: Moment = Moment::MAX;
/// The pause after the first failure; it doubles from there.
const FIRST_PAUSE_MS: i64 = 1_000;
/// Up to this.
const LONGEST_PAUSE_MS: i64 = 60_000;

/// After an acquire in doubt, the first time to ask whether the slot is still ours; the second is when no late request
/// can live any more.
const FIRST_CONFIRMATION_MS: i64 = 5_000;

/// Nobody keeps a lost lease from asking for longer: whoever answers may say what he likes.
const LONGEST_BAN_MS: i64 = 60 * 60 * 1000;

/// A number from 0 to 999 that decides the scatter of a pause, so that clients that failed together do not come back
/// together.
pub type Chance = u16;

impl Machine {
    /// A lease that nobody has confirmed yet: lost, unless its first step says otherwise.
    pub const fn unconfirmed(terms: Terms) -> Machine {
        Machine {
            terms,
            state: State::Lost,
            asked_at: Moment::MIN,
            held_until: Moment::MIN,
            runs_until: Moment::MIN,
            renew_at: NEVER,
            expires_at: NEVER,
            doubted_until: Moment::MIN,
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
    pub fn remaining_ms(&self, now: Moment) -> i64 {
        self.runs_until().saturating_sub(now).max(0)
    }

    /// When licensed work must stop; long past if it must have.
    pub fn runs_until(&self) -> Moment {
        match self.state {
            State::Lost | State::Released => Moment::MIN,
            _ => self.runs_until,
        }
    }

    /// When the server is to be asked next, if ever.
    pub fn renew_at(&self) -> Option<Moment> {
        Some(self.renew_at).filter(|at| *at != NEVER)
    }

    /// When time alone will turn the state next, if ever.
    pub fn turns_at(&self) -> Option<Moment> {
        let turns_at = match self.state {
            State::Active | State::Degraded if self.announced => self.held_until,
            State::Active | State::Degraded => self.held_until.min(self.ending_at()),
            State::Grace => self.runs_until,
            State::Borrowed if self.announced => self.runs_until,
            State::Borrowed => self.ending_at(),
            State::Lost | State::Released => NEVER,
        };
        Some(turns_at).filter(|at| *at != NEVER)
    }

    /// Whether it may be asked along with others that are due: when three quarters of the time until its own turn are over.
    pub fn may_be_renewed(&self, now: Moment) -> bool {
        let early = self.renew_at.saturating_sub(self.asked_at) / 4;
        let well = self.failures == 0 && self.state == State::Active;
        now >= if well { self.renew_at.saturating_sub(early) } else { self.renew_at }
    }

    /// Whether it is time to ask the server. After a sleep, ask first, and tell the host of what time has done second.
    pub fn wants_renewal(&self, now: Moment) -> bool {
        now >= self.renew_at
    }

    /// How often in a row the server could not be asked, or refused.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// When something is to be done next, if anything ever is: to renew, or to let [`Event::Passed`] tell what time did.
    pub fn wake_at(&self) -> Option<Moment> {
        [self.renew_at(), self.turns_at()].into_iter().flatten().min()
    }

    /// The lease after `event` at `now`, and what the host is told of it.
    #[must_use]
    pub fn step(mut self, event: Event, now: Moment, chance: Chance) -> (Machine, Option<Report>) {
        if self.state == State::Released {
            return (self, None);
        }
        let cause = self.cause(event, now, chance);
        let turn = TURNS.iter().find(|(from, why, ..)| Some(*why) == cause && from.contains(&self.state));
        let Some((_, _, state, report)) = turn else { return (self, None) };
        self.state = *state;
        (self, *report)
    }

    /// What the event means; the times are set accordingly.
    fn cause(&mut self, event: Event, now: Moment, chance: Chance) -> Option<Cause> {
        match event {
            Event::Released => {
                (self.held_until, self.runs_until, self.renew_at) = (now, now, NEVER);
                return Some(Cause::Released);
            }
            Event::Confirmed { asked_at, timeout_ms, expires_at } => {
                let held_until = asked_at.saturating_add(timeout_ms);
                if self.is_news(asked_at, held_until.min(expires_at), now) {
                    self.confirm(asked_at, timeout_ms, expires_at, now, chance);
                    return Some(Cause::Confirmed);
                }
                self.try_later(None, now, chance);
            }
            Event::Borrowed { asked_at, until } => {
                if self.is_news(asked_at, until, now) {
                    // Its end is no surprise, so it has no grace; but the server may well go on with it.
                    let announced = self.announced && self.state == State::Borrowed;
                    let renew_at = if asked_at < self.doubted_until { self.doubted_until.min(until) } else { until };
                    self.hold(until, until, renew_at);
                    (self.asked_at, self.expires_at) = (asked_at, NEVER);
                    // Once is enough, unless the end is far away again.
                    self.announced = announced && now >= until.saturating_sub(self.terms.borrow_ending_ms);
                    return Some(Cause::Borrowed);
                }
                self.try_later(None, now, chance);
            }
            Event::Failed { retry_after_ms } => self.try_later(retry_after_ms, now, chance),
            Event::Refused => {
                // What is lent was promised until its date, unless the host has given it back.
                if self.state != State::Borrowed {
                    self.held_until = self.held_until.min(now);
                    self.runs_until = self.runs_until.min(now.saturating_add(self.terms.grace_ms));
                } else if self.return_pending {
                    self.end_now(now);
                }
                self.try_later(None, now, chance);
            }
            Event::Parted => {
                self.end_now(now);
                self.try_later(None, now, chance);
            }
            Event::PutOff => self.try_later(None, now, chance),
            Event::ReleaseUnanswered => {
                self.return_pending = true;
                self.try_later(None, now, chance);
            }
            Event::Doubted { until } if until > self.doubted_until => {
                self.doubted_until = until;
                self.renew_at = self.renew_at.min(until).min(now.saturating_add(FIRST_CONFIRMATION_MS));
            }
            Event::Doubted { .. } | Event::Passed => {}
        }
        let over = self.over(now);
        match event {
            // The announcement, if one is due, is the next step's.
            Event::Failed { .. } if self.state == State::Active => over.or(Some(Cause::Failed)),
            _ => over.or_else(|| self.announce(now)),
        }
    }

    /// The server's yes: ours for its timeout, but no longer than the license runs. To be renewed at half of that time,
    /// give or take a tenth, and when the license expires: it may have been prolonged.
    fn confirm(&mut self, asked_at: Moment, timeout_ms: i64, expires_at: Moment, now: Moment, chance: Chance) {
        let announced = self.announced && self.state != State::Borrowed;
        let held_until = asked_at.saturating_add(timeout_ms);
        let half = timeout_ms / 2 - timeout_ms / 10 + scattered(timeout_ms / 5, chance);
        let mut renew_at = asked_at.saturating_add(half).min(expires_at);
        if asked_at < self.doubted_until {
            renew_at = renew_at.min(self.doubted_until);
        }
        // That a license expires is no surprise, so it has no grace.
        let runs_until = held_until.saturating_add(self.terms.grace_ms).min(expires_at);
        self.hold(held_until.min(expires_at), runs_until, renew_at);
        (self.asked_at, self.expires_at) = (asked_at, expires_at);
        self.announced = announced && now >= self.expiry_announced_at();
    }

    /// The slot is not ours any more, or not all of it.
    fn end_now(&mut self, now: Moment) {
        (self.held_until, self.runs_until) = (self.held_until.min(now), self.runs_until.min(now));
    }

    /// What time has done.
    fn over(&mut self, now: Moment) -> Option<Cause> {
        if now >= self.runs_until {
            return Some(Cause::AllOver);
        }
        if now >= self.held_until {
            return Some(Cause::SlotOver);
        }
        None
    }

    /// The announcement that is due, once.
    fn announce(&mut self, now: Moment) -> Option<Cause> {
        if self.announced || now < self.ending_at() {
            return None;
        }
        let cause = match self.state {
            State::Borrowed => Cause::BorrowEnding,
            State::Active | State::Degraded => Cause::Expiring,
            State::Grace | State::Lost | State::Released => return None,
        };
        self.announced = true;
        Some(cause)
    }

    /// When the end of the borrow, or of the license, is to be announced.
    fn ending_at(&self) -> Moment {
        match self.state {
            State::Borrowed => self.runs_until.saturating_sub(self.terms.borrow_ending_ms),
            _ => self.expiry_announced_at(),
        }
    }

    fn expiry_announced_at(&self) -> Moment {
        if self.expires_at == NEVER { NEVER } else { self.expires_at.saturating_sub(self.terms.borrow_ending_ms) }
    }

    /// Answers may overtake each other, and one may have slept on the way for longer than it is good for.
    fn is_news(&self, asked_at: Moment, good_until: Moment, now: Moment) -> bool {
        asked_at >= self.asked_at && good_until > now
    }

    fn hold(&mut self, held_until: Moment, runs_until: Moment, renew_at: Moment) {
        (self.held_until, self.runs_until, self.renew_at) = (held_until, runs_until, renew_at);
        (self.failures, self.announced, self.return_pending) = (0, false, false);
    }

    /// After a pause that doubles with each failure, and is as long as the server asked for; but of what is left before the
    /// next turn half is kept, so that it is not lost unasked.
    fn try_later(&mut self, retry_after_ms: Option<i64>, now: Moment, chance: Chance) {
        // On a trip nobody needs an answer before its end, or before it is known that no late request has ended it.
        if self.state == State::Borrowed && !self.return_pending && now < self.held_until {
            let doubted = Some(self.doubted_until).filter(|until| *until > now);
            self.renew_at = doubted.map_or(self.held_until, |until| until.min(self.held_until));
            return;
        }
        let pause = (FIRST_PAUSE_MS << self.failures.min(16)).min(LONGEST_PAUSE_MS);
        let pause = pause - pause / 5 + scattered(pause / 5 * 2, chance);
        self.failures = self.failures.saturating_add(1);
        let left =
            [self.held_until, self.runs_until].map(|end| end.saturating_sub(now)).into_iter().find(|left| *left > 0);
        let longest = left.map_or(LONGEST_BAN_MS, |left| left / 2);
        self.renew_at = now.saturating_add(pause.max(retry_after_ms.unwrap_or_default().min(longest)));
    }
}

/// A part of `range`.
fn scattered(range: i64, chance: Chance) -> i64 {
    range / 1000 * i64::from(chance.min(999)) + range % 1000 * i64::from(chance.min(999)) / 1000
}

#[cfg(test)]
mod tests;
