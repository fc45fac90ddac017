//! The queue of submitted calls. A thread of the library runs each of them, and each has exactly one completion in the
//! [`Events`].

use crate::error::Error;
use crate::lease::background::events::Events;
use crate::lease::background::ticket::Ticket;
use crate::lease::sync::{Condvar, Mutex, MutexGuard};
use crate::status::Status;
use crate::thread;
use std::collections::VecDeque;
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};
use std::{io, mem};

/// Most calls that run at the same time.
const MOST_THREADS: usize = 4;

/// Most calls that may be under way or have a completion that the host has not read.
const MOST_TICKETS: usize = 1_000;

/// A submitted call, which returns the server's JSON object. Its ticket can cancel it while it runs.
pub(crate) type BackgroundCall = Box<dyn FnOnce(&Ticket) -> Result<String, Error> + Send>;

/// Runs a function. If it panics, returns an `Err` with the panic's message.
pub type Guard = fn(&mut dyn FnMut()) -> Result<(), String>;

/// Starts a thread that runs a function.
type Start = fn(Box<dyn FnOnce() + Send>) -> io::Result<()>;

/// The submitted calls of a client.
///
/// No thread exists before the first call. Dropping this waits for nothing and takes no lock, because in a forked child
/// a lock may be held by a thread that the child does not have. To end the threads at once, use
/// [`close`](BackgroundCalls::close).
pub(crate) struct BackgroundCalls(Arc<Inner>);

struct Inner {
    events: Arc<Events>,
    guard: Guard,
    start: Start,
    /// After this time without a call, a thread ends.
    idle: Duration,
    /// Locked before the events are, so that at any time a call is either under way or has its completion.
    state: Mutex<State>,
    /// Signals a new call or the close.
    changed: Condvar,
}

#[derive(Default)]
struct State {
    last_ticket: u64,
    /// The calls that are queued or running.
    under_way: Vec<Arc<Ticket>>,
    /// The calls that no thread has begun.
    queue: VecDeque<(Arc<Ticket>, BackgroundCall)>,
    threads: usize,
    closed: bool,
}

impl BackgroundCalls {
    /// Makes an empty queue. Completions go to `events`, and every call runs in `guard`: in [`caught`], or in a guard
    /// that prints nothing.
    pub(crate) fn new(events: Arc<Events>, guard: Guard) -> BackgroundCalls {
        BackgroundCalls::with(events, guard, thread::start, Duration::from_secs(10))
    }

    fn with(events: Arc<Events>, guard: Guard, start: Start, idle: Duration) -> BackgroundCalls {
        let (state, changed) = (Mutex::new(State::default()), Condvar::new());
        BackgroundCalls(Arc::new(Inner { events, guard, start, idle, state, changed }))
    }

    /// Queues `call`. A thread runs it as soon as one is free, in the order of submission. Returns the number of its
    /// ticket.
    ///
    /// # Errors
    /// [`Status::Handle`] after a close, and [`Status::TooManyCalls`] if too many calls are under way or unread. The call
    /// is not run then, and has no completion. If there is no thread and none can be started, the completion says so,
    /// because the caller of a submit hears no more than a status.
    pub(crate) fn submit(&self, call: BackgroundCall) -> Result<u64, Error> {
        let inner = &self.0;
        let mut state = inner.state();
        if state.closed {
            return Err(Error::of_closed_client());
        }
        if state.under_way.len() + inner.events.completions() >= MOST_TICKETS {
            return Err(Error::new(Status::TooManyCalls));
        }
        state.last_ticket += 1;
        let number = state.last_ticket;
        // Each thread that runs no call is about to run one of the queue.
        if state.under_way.len() >= state.threads && state.threads < MOST_THREADS {
            let worker = Arc::clone(inner);
            match (inner.start)(Box::new(move || worker.work())) {
                Ok(()) => state.threads += 1,
                Err(error) if state.threads == 0 => {
                    inner.events.push_completion(completion(number, Err(Error::of_thread(&error))));
                    drop(state);
                    // Dropped after the lock is freed, because dropping a call may run any code.
                    drop(call);
                    return Ok(number);
                }
                // A thread that exists runs the call later.
                Err(_) => {}
            }
        }
        let ticket = Arc::new(Ticket::new(number));
        state.under_way.push(Arc::clone(&ticket));
        state.queue.push_back((ticket, call));
        inner.changed.notify_one();
        Ok(number)
    }

    /// Cancels the call of this ticket: at once if no thread has begun it, else as soon as the call can end. The call
    /// still has its completion, which says how far the call got.
    ///
    /// # Errors
    /// [`Status::Ticket`] if the call is done, or was never submitted.
    pub(crate) fn cancel(&self, ticket: u64) -> Result<(), Error> {
        let mut state = self.0.state();
        let waiting = state.queue.iter().position(|(open, _)| open.number == ticket);
        // Dropped after the lock is freed, because dropping a call may run any code.
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

    /// Cancels every call and refuses new ones. Waits for nothing: the threads end when each call has its completion.
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
    /// Runs calls until this thread is not needed any more.
    fn work(&self) {
        while let Some((ticket, call)) = self.take() {
            let completion = completion(ticket.number, self.run(&ticket, call));
            let mut state = self.state();
            state.under_way.retain(|open| !Arc::ptr_eq(open, &ticket));
            self.events.push_completion(completion);
        }
    }

    /// Waits for the next call; `None` if this thread is to end, and then `threads` does not count it any more.
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
        let started = Instant::now();
        let contained = (self.guard)(&mut || result = call.take().map(|call| call(ticket)));
        let result = result.unwrap_or_else(|| {
            let detail = contained.err().unwrap_or_default();
            Err(Error::because(Status::Internal, detail).with_unknown_outcome())
        });
        result.map_err(|mut error| {
            error.elapsed = started.elapsed();
            error
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the JSON of the event that ends a ticket, with the server's object or the error object.
fn completion(ticket: u64, result: Result<String, Error>) -> String {
    let (status, name, object) = match result {
        Ok(reply) => (Status::Ok, "reply", reply),
        Err(error) => (error.status, "error", error.to_json()),
    };
    format!(r#"{{"event":"COMPLETED","ticket":{ticket},"status":{},"{name}":{object}}}"#, status.number())
}

/// A [`Guard`] that leaves the process's panic hook as it is, so that a panic is printed.
pub fn caught(body: &mut dyn FnMut()) -> Result<(), String> {
    panic::catch_unwind(AssertUnwindSafe(body)).map_err(|payload| {
        let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let message = text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_default();
        // Dropping a payload could panic again.
        mem::forget(payload);
        message
    })
}

#[cfg(test)]
#[cfg(loom)]
mod loom_tests;
#[cfg(test)]
#[cfg(not(loom))]
mod tests;
