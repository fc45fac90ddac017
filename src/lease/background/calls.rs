//! Submitted calls: each is done on a thread of ours, and each has exactly one completion in the [`Events`].

use crate::error::Error;
use crate::lease::background::events::Events;
use crate::lease::background::thread;
use crate::lease::background::ticket::Ticket;
use crate::lease::sync::{Condvar, Mutex, MutexGuard};
use crate::status::Status;
use std::collections::VecDeque;
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};
use std::{io, mem};

/// How many are done at the same time.
const MOST_THREADS: usize = 4;

/// How many may be under way or wait to be read.
const MOST_TICKETS: usize = 1_000;

/// What is submitted: it does the call and returns the server's object. It may be cancelled from the moment its turn
/// comes; its ticket tells.
pub(crate) type BackgroundCall = Box<dyn FnOnce(&Ticket) -> Result<String, Error> + Send>;

/// Runs what it is given; a panic in it becomes an `Err` with what it said.
pub type Guard = fn(&mut dyn FnMut()) -> Result<(), String>;

/// Runs what it is given on a thread of its own.
type Start = fn(Box<dyn FnOnce() + Send>) -> io::Result<()>;

/// The submitted calls of a client.
///
/// There is no thread before the first of them. Dropping it waits for nothing and touches no lock, which a thread may
/// hold that a forked child does not have: [`close`](BackgroundCalls::close) is what ends the threads at once.
pub(crate) struct BackgroundCalls(Arc<Inner>);

struct Inner {
    events: Arc<Events>,
    guard: Guard,
    start: Start,
    /// How long a thread stays that has nothing to do.
    idle: Duration,
    /// Locked before the events are, so that at any time an errand is either under way or among the completions.
    state: Mutex<State>,
    /// An errand came, or none will come any more.
    changed: Condvar,
}

#[derive(Default)]
struct State {
    last_ticket: u64,
    under_way: Vec<Arc<Ticket>>,
    /// Those of them that no thread has begun.
    queue: VecDeque<(Arc<Ticket>, BackgroundCall)>,
    threads: usize,
    closed: bool,
}

impl BackgroundCalls {
    /// Completions go to `events`. `guard` is what every errand runs in: [`caught`], or one that prints nothing.
    pub(crate) fn new(events: Arc<Events>, guard: Guard) -> BackgroundCalls {
        BackgroundCalls::with(events, guard, thread::start, Duration::from_secs(10))
    }

    fn with(events: Arc<Events>, guard: Guard, start: Start, idle: Duration) -> BackgroundCalls {
        let (state, changed) = (Mutex::new(State::default()), Condvar::new());
        BackgroundCalls(Arc::new(Inner { events, guard, start, idle, state, changed }))
    }

    /// Has `call` done as soon as a thread is free, in the order of submission. Returns the number of its ticket.
    ///
    /// # Errors
    /// [`Status::Handle`] once it is closed, [`Status::TooManyCalls`], [`Status::Internal`] if there is no thread and
    /// none can be started. The errand is not done then, and has no completion.
    pub(crate) fn submit(&self, call: BackgroundCall) -> Result<u64, Error> {
        let inner = &self.0;
        let mut state = inner.state();
        if state.closed {
            return Err(Error::new(Status::Handle));
        }
        if state.under_way.len() + inner.events.completions() >= MOST_TICKETS {
            return Err(Error::new(Status::TooManyCalls));
        }
        // Every thread without an errand is spoken for by one in the line.
        if state.under_way.len() >= state.threads && state.threads < MOST_THREADS {
            let worker = Arc::clone(inner);
            match (inner.start)(Box::new(move || worker.work())) {
                Ok(()) => state.threads += 1,
                Err(error) if state.threads == 0 => {
                    let detail = format!("A thread for the call can't be started: {error}.");
                    return Err(Error::because(Status::Internal, detail));
                }
                // The threads there are will come to it.
                Err(_) => {}
            }
        }
        state.last_ticket += 1;
        let ticket = Arc::new(Ticket::new(state.last_ticket));
        state.under_way.push(Arc::clone(&ticket));
        state.queue.push_back((ticket, call));
        inner.changed.notify_one();
        Ok(state.last_ticket)
    }

    /// Ends the call of this ticket as soon as it can be; at once if no thread has begun it. It still has its completion,
    /// which says how far it got.
    ///
    /// # Errors
    /// [`Status::Ticket`] if it is done already, or was never submitted.
    pub(crate) fn cancel(&self, ticket: u64) -> Result<(), Error> {
        let mut state = self.0.state();
        let waiting = state.queue.iter().position(|(open, _)| open.number == ticket);
        // Dropped after the lock is given up: what an errand holds is foreign code.
        let _never_begun = waiting.and_then(|at| state.queue.remove(at));
        let under_way = state.under_way.iter().position(|open| open.number == ticket);
        let at = under_way.ok_or_else(|| Error::new(Status::Ticket))?;
        if waiting.is_some() {
            state.under_way.remove(at);
            self.0.events.push_completion(completion(ticket, Err(Error::new(Status::Cancelled))));
            drop(state);
        } else {
            let ticket = Arc::clone(&state.under_way[at]);
            drop(state);
            ticket.cancel();
        }
        Ok(())
    }

    /// Cancels every call and takes no more. Waits for nothing: the threads end when they have told all of them.
    pub(crate) fn close(&self) {
        let mut state = self.0.state();
        state.closed = true;
        let under_way = state.under_way.clone();
        drop(state);
        self.0.changed.notify_all();
        under_way.iter().for_each(|ticket| ticket.cancel());
    }
}

impl Inner {
    /// The life of a thread.
    fn work(&self) {
        while let Some((ticket, call)) = self.take() {
            let completion = completion(ticket.number, self.run(&ticket, call));
            let mut state = self.state();
            state.under_way.retain(|open| !Arc::ptr_eq(open, &ticket));
            self.events.push_completion(completion);
        }
    }

    /// The next in the line; `None` if the thread is to end, which `threads` says already.
    fn take(&self) -> Option<(Arc<Ticket>, BackgroundCall)> {
        let idle_since = Instant::now();
        let mut state = self.state();
        loop {
            if let Some(next) = state.queue.pop_front() {
                return Some(next);
            }
            let left = self.idle.saturating_sub(idle_since.elapsed());
            if state.closed || left.is_zero() {
                state.threads -= 1;
                return None;
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn run(&self, ticket: &Ticket, call: BackgroundCall) -> Result<String, Error> {
        let (mut call, mut result) = (Some(call), None);
        let contained = (self.guard)(&mut || result = call.take().map(|call| call(ticket)));
        result.unwrap_or_else(|| {
            let detail = contained.err().unwrap_or_default();
            Err(Error::because(Status::Internal, detail).with_unknown_outcome())
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The event that ends a ticket: the server's object, or the error object.
fn completion(ticket: u64, result: Result<String, Error>) -> String {
    let (status, name, object) = match result {
        Ok(reply) => (Status::Ok, "reply", reply),
        Err(error) => (error.status, "error", error.to_json()),
    };
    format!(r#"{{"event":"COMPLETED","ticket":{ticket},"status":{},"{name}":{object}}}"#, status.number())
}

/// The plain guard. The process's panic hook, which prints, is as it was.
pub fn caught(body: &mut dyn FnMut()) -> Result<(), String> {
    panic::catch_unwind(AssertUnwindSafe(body)).map_err(|payload| {
        let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let said = text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_default();
        // Dropping a payload could panic again.
        mem::forget(payload);
        said
    })
}

#[cfg(test)]
#[cfg(loom)]
mod loom_tests;
#[cfg(test)]
#[cfg(not(loom))]
mod tests;
