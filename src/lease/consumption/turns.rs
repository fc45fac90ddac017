//! Which calls send consumptions of one license now: of all processes those of one client, and of that client's calls one
//! alone, or many at the same time.
//!
//! A server that supports idempotency keys books each consumption once, whatever happens to a request, so many calls may
//! ask it at the same time. At any other server a lost reply is judged by the total before and after, so only one request
//! may be under way.
//!
//! The calls of a client share one lock among processes, so that they need not take turns at a file. After a while they
//! let other processes have it.

use crate::error::Error;
use crate::lease::context::RequestContext;
use crate::lease::storage::process_lock::{ProcessLock, ProcessLockGuard};
use crate::status::Status;
use std::collections::BTreeSet;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// After this long, if other processes wait, no further call of the client begins to send until they had a chance.
const TURN: Duration = Duration::from_millis(250);
/// Time limit for the calls that send then. If one of them hangs, the others go on: they must not wait for it.
const END_OF_TURN: Duration = Duration::from_millis(250);
/// The chance of other processes, which try to take the lock every millisecond or so.
const GAP: Duration = Duration::from_millis(3);
/// How often a call that waits looks if it was cancelled.
const POLL: Duration = Duration::from_millis(20);

/// How a call sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SendMode {
    /// No other call of this client may send at the same time.
    pub(crate) alone: bool,
    /// It sends consumptions that no call waits for, which one call does at a time.
    pub(crate) backlog: bool,
}

/// The calls of this client about the queue of one license.
pub(crate) struct Turns {
    /// Held while calls of this client send.
    lock: ProcessLock,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    held: Option<Held>,
    /// True while a call waits for the lock among processes.
    is_locking: bool,
    /// Until then, the lock is left to other processes.
    locks_from: Option<Instant>,
    /// The calls that send.
    sending: Vec<SendMode>,
    /// The number of calls that wait.
    waiting: usize,
    /// The keys of the consumptions that calls of this client wait for.
    awaited: BTreeSet<String>,
}

struct Held {
    guard: ProcessLockGuard,
    since: Instant,
}

impl Held {
    /// Returns whether further calls may begin to send. A turn begins anew if no other process waits for it, or if it
    /// could not be ended in time.
    fn goes_on(&mut self) -> bool {
        let age = self.since.elapsed();
        // Processes that wait are holders of the lock; see `Turns::lock`.
        if age >= TURN + END_OF_TURN || age >= TURN && self.guard.has_no_holder().unwrap_or(true) {
            self.since = Instant::now();
        }
        self.since.elapsed() < TURN
    }
}

/// The right of a call to send. Dropping it lets the next call have its turn.
pub(crate) struct Turn<'a> {
    turns: &'a Turns,
    pub(crate) send: SendMode,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut state = self.turns.state();
        if let Some(at) = state.sending.iter().position(|send| *send == self.send) {
            state.sending.swap_remove(at);
        }
        self.turns.unlock_unused(&mut state);
    }
}

/// Ends the wait of a call for the lock among processes, whatever becomes of it.
struct Locking<'a>(&'a Turns);

impl Drop for Locking<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.is_locking = false;
        self.0.wake(&state);
    }
}

/// A key that a call waits for the result of, until this is dropped.
pub(crate) struct AwaitedKey<'a> {
    turns: &'a Turns,
    key: String,
}

impl Drop for AwaitedKey<'_> {
    fn drop(&mut self) {
        let mut state = self.turns.state();
        state.awaited.remove(&self.key);
        self.turns.wake(&state);
    }
}

impl Turns {
    pub(crate) fn new(lock: ProcessLock) -> Turns {
        Turns { lock, state: Mutex::default(), changed: Condvar::new() }
    }

    /// Notes that a call waits for the result of this key. A second call about the same key waits for the first to end.
    ///
    /// # Errors
    /// The second call is over before that.
    pub(crate) fn begin(&self, context: &RequestContext, key: &str) -> Result<AwaitedKey<'_>, Error> {
        let mut state = self.state();
        while !state.awaited.insert(key.to_owned()) {
            state = self.wait(context, state)?;
        }
        Ok(AwaitedKey { turns: self, key: key.to_owned() })
    }

    /// Calls `read` with the keys that calls of this client wait for the result of.
    pub(crate) fn with_awaited<T>(&self, read: impl FnOnce(&BTreeSet<String>) -> T) -> T {
        read(&self.state().awaited)
    }

    /// Returns whether a call of this client sends what no call waits for.
    pub(crate) fn is_backlog_sent(&self) -> bool {
        self.state().sending.iter().any(|send| send.backlog)
    }

    /// Waits until a call may send. `wanted` says how it would now; `None` if it has to wait for other calls first. An
    /// error of `wanted` ends the wait.
    ///
    /// # Errors
    /// The call is over, or the lock among processes can't be taken.
    pub(crate) fn take(
        &self,
        context: &RequestContext,
        wanted: &mut dyn FnMut() -> Result<Option<SendMode>, Error>,
    ) -> Result<Turn<'_>, Error> {
        loop {
            let send = wanted()?;
            let mut state = self.state();
            let Some(send) = send.filter(|send| state.admits(*send)) else {
                drop(self.wait(context, state)?);
                continue;
            };
            let goes_on = state.held.as_mut().map(Held::goes_on);
            if goes_on == Some(true) {
                state.sending.push(send);
                return Ok(Turn { turns: self, send });
            }
            if goes_on.is_none() && !state.is_locking {
                state.is_locking = true;
                let locks_from = state.locks_from.take();
                drop(state);
                return self.lock(context, locks_from, send, wanted);
            }
            drop(self.wait(context, state)?);
        }
    }

    /// Takes the lock among processes, and with it the first turn.
    fn lock(
        &self,
        context: &RequestContext,
        locks_from: Option<Instant>,
        send: SendMode,
        wanted: &mut dyn FnMut() -> Result<Option<SendMode>, Error>,
    ) -> Result<Turn<'_>, Error> {
        let locking = Locking(self);
        let gap = locks_from.map_or(Duration::ZERO, |from| from.saturating_duration_since(Instant::now()));
        let mut announced = None;
        let locked = context.pause(gap).and_then(|()| {
            self.lock.lock(&mut |pause| {
                wanted()?;
                if announced.is_none() {
                    // The process that has the lock finds this holder, and lets this process have a turn.
                    announced = self.lock.announce()?;
                }
                // A process that sends many requests releases the lock only briefly, so this one looks often.
                context.pause(pause / 8).map_err(busy)
            })
        });
        let turn = locked.map(|guard| {
            let mut state = self.state();
            state.held = Some(Held { guard, since: Instant::now() });
            state.sending.push(send);
            Turn { turns: self, send }
        });
        drop(locking);
        turn
    }

    /// Lets other processes have the lock if no call sends.
    fn unlock_unused(&self, state: &mut State) {
        if state.sending.is_empty()
            && let Some(held) = state.held.take()
            && held.since.elapsed() >= TURN
        {
            state.locks_from = Some(Instant::now() + GAP);
        }
        self.wake(state);
    }

    fn wake(&self, state: &State) {
        if state.waiting > 0 {
            self.changed.notify_all();
        }
    }

    /// Waits for a change, but not for long, because a cancel does not signal it.
    fn wait<'a>(
        &'a self,
        context: &RequestContext,
        mut state: MutexGuard<'a, State>,
    ) -> Result<MutexGuard<'a, State>, Error> {
        let left = context.left().map_err(|error| if state.is_locking { busy(error) } else { error })?;
        state.waiting += 1;
        let mut state = self.changed.wait_timeout(state, POLL.min(left)).unwrap_or_else(PoisonError::into_inner).0;
        state.waiting -= 1;
        Ok(state)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Adds what a call has waited for in vain while it, or another call of its client, waited for other processes.
fn busy(error: Error) -> Error {
    match error.status {
        Status::Timeout => error.with_detail("Another process of this machine is sending queued consumptions."),
        _ => error,
    }
}

impl State {
    fn admits(&self, send: SendMode) -> bool {
        let is_excluded = |other: &SendMode| send.alone || other.alone || send.backlog && other.backlog;
        !self.sending.iter().any(is_excluded)
    }
}
