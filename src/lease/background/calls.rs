//! The submitted calls of a client. Threads of the library run them, and each has exactly one completion in the
//! [`Events`].

use crate::config::Threads;
use crate::error::Error;
use crate::lease::background::call_queue::{BackgroundCall, CallQueue, Progress, SubmittedCall};
use crate::lease::background::events::Events;
use crate::lease::background::ticket::{Priority, Ticket};
use crate::lease::sync::{Condvar, Mutex, MutexGuard};
use crate::status::Status;
use crate::thread;
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};
use std::{io, mem};

/// Most calls that may be under way or have a completion that the host has not read.
const MOST_TICKETS: usize = 1_000;

/// More threads than this are a burst of calls.
const FEW_THREADS: usize = 4;

/// Runs a function. If it panics, returns an `Err` with the panic's message.
pub type Guard = fn(&mut dyn FnMut()) -> Result<(), String>;

/// Starts a thread that runs a function.
type Start = fn(Box<dyn FnOnce() + Send>) -> io::Result<()>;

/// The submitted calls of a client.
///
/// As many run at the same time as the config allows, and as many again of those that release or renew. No thread exists
/// before the first call. While calls pause or wait for their turn, one thread waits for what is due next.
///
/// Dropping this waits for nothing and takes no lock, because in a forked child a lock may be held by a thread that the
/// child does not have. To end the threads at once, use [`close`](BackgroundCalls::close).
#[derive(Clone)]
pub(crate) struct BackgroundCalls(Arc<Inner>);

struct Inner {
    events: Arc<Events>,
    guard: Guard,
    /// `None`: the host runs the calls.
    start: Option<Start>,
    /// After this time without a call, a thread ends.
    idle: Duration,
    max_parallel: usize,
    /// Locked before the events are, so that at any time a call is either under way or has its completion.
    state: Mutex<State>,
    /// Signals a new call or the close.
    changed: Condvar,
    /// Called when no more than one thread is left after a burst of calls.
    after_burst: AfterBurst,
}

/// Gives back what a burst of calls has needed.
type AfterBurst = Box<dyn Fn() + Send + Sync>;

struct State {
    last_ticket: u64,
    /// The calls that have no completion yet.
    under_way: Vec<Arc<Ticket>>,
    queue: CallQueue,
    threads: usize,
    /// The most threads that there were since there was none.
    most_threads: usize,
    closed: bool,
}

impl BackgroundCalls {
    /// Makes an empty queue. Completions go to `events`, and every call runs in `guard`: in [`caught`], or in a guard
    /// that prints nothing. At most `max_parallel` calls of each priority run at the same time.
    ///
    /// With threads of the host, none is started: [`BackgroundCalls::work`] runs the calls.
    /// `after_burst` is called when no more than one thread is left and more than a few calls have run at the same time.
    pub(crate) fn new(
        events: Arc<Events>,
        guard: Guard,
        max_parallel: usize,
        threads: Threads,
        after_burst: impl Fn() + Send + Sync + 'static,
    ) -> BackgroundCalls {
        let start = (threads == Threads::Library).then_some(thread::start as Start);
        BackgroundCalls::with(events, guard, max_parallel, start, Duration::from_secs(10), Box::new(after_burst))
    }

    fn with(
        events: Arc<Events>,
        guard: Guard,
        max_parallel: usize,
        start: Option<Start>,
        idle: Duration,
        after_burst: AfterBurst,
    ) -> BackgroundCalls {
        let queue = CallQueue::new(max_parallel);
        let state = State { last_ticket: 0, under_way: Vec::new(), queue, threads: 0, most_threads: 0, closed: false };
        let (state, changed) = (Mutex::new(state), Condvar::new());
        BackgroundCalls(Arc::new(Inner { events, guard, start, idle, max_parallel, state, changed, after_burst }))
    }

    /// Queues a call, which lasts for `time_limit` at most, from now on. A thread runs it when its turn comes, in the order
    /// of submission among calls of its priority. Returns the number of its ticket.
    ///
    /// # Errors
    /// [`Status::Handle`] after a close, and [`Status::TooManyCalls`] if too many calls are under way or unread. The call
    /// is not run then, and has no completion. If there is no thread and none can be started, the completion says so,
    /// because the caller of a submit hears no more than a status.
    pub(crate) fn submit(&self, priority: Priority, time_limit: Duration, run: BackgroundCall) -> Result<u64, Error> {
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
        let ticket = Arc::new(Ticket::new(number, priority, time_limit));
        state.under_way.push(Arc::clone(&ticket));
        state.queue.add(SubmittedCall::new(ticket, run));
        let started = inner.start_threads(&mut state);
        if let (Err(error), 0) = (started, state.threads) {
            let call = state.queue.remove(number);
            drop(state);
            inner.end_without_thread(call, || Error::of_thread(&error));
            return Ok(number);
        }
        inner.changed.notify_one();
        Ok(number)
    }

    /// Runs the next call whose turn has come on this thread, which is the host's. False if there is none.
    pub(crate) fn work(&self) -> bool {
        let mut state = self.0.state();
        let now = Instant::now();
        if let Some(expired) = state.queue.pop_expired(now) {
            drop(state);
            self.0.end_without_thread([expired], || self.0.turn_never_came());
            return true;
        }
        let next = state.queue.begin_next(now);
        drop(state);
        let has_next = next.is_some();
        next.into_iter().for_each(|call| self.0.run(call));
        has_next
    }

    /// Returns when [`BackgroundCalls::work`] has something to do, unless a call is submitted before.
    pub(crate) fn due_at(&self) -> Option<Instant> {
        let state = self.0.state();
        if state.queue.may_begin_any() { Some(Instant::now()) } else { state.queue.due_at() }
    }

    /// Cancels the call of this ticket: at once if no thread is running it, else as soon as the call can end. The call
    /// still has its completion, which says how far the call got.
    ///
    /// # Errors
    /// [`Status::Ticket`] if the call is done, or was never submitted.
    pub(crate) fn cancel(&self, ticket: u64) -> Result<(), Error> {
        let state = self.0.state();
        let under_way = state.under_way.iter().find(|open| open.number == ticket).cloned();
        drop(state);
        let under_way = under_way.ok_or_else(|| Error::new(Status::Ticket))?;
        under_way.cancel();
        // A thread that runs the call sees the cancel before it lets the call pause. So the call is here now, or ends.
        let call = self.0.state().queue.remove(ticket);
        self.0.end_without_thread(call, || Error::new(Status::Cancelled));
        Ok(())
    }

    /// Cancels the calls that pause between two tries, and those that are about to.
    pub(crate) fn cancel_paused(&self) {
        let paused = self.0.state().queue.cancel_paused();
        self.0.end_without_thread(paused, || Error::new(Status::Cancelled));
    }

    /// Cancels every call and refuses new ones. Waits for nothing: the threads end when each call has its completion.
    pub(crate) fn close(&self) {
        let mut state = self.0.state();
        state.closed = true;
        let (under_way, never_begun) = (state.under_way.clone(), state.queue.remove_all());
        drop(state);
        self.0.changed.notify_all();
        under_way.iter().for_each(|ticket| ticket.cancel());
        self.0.end_without_thread(never_begun, || Error::new(Status::Cancelled));
    }
}

impl Inner {
    /// Runs calls until this thread is not needed any more.
    fn work(self: &Arc<Inner>) {
        while let Some(call) = self.take() {
            self.run(call);
        }
    }

    /// Starts the threads that the queue needs besides those that run no call.
    fn start_threads(self: &Arc<Inner>, state: &mut State) -> io::Result<()> {
        let Some(start) = self.start else { return Ok(()) };
        while state.threads - state.queue.running() < state.queue.needed_threads() {
            let worker = Arc::clone(self);
            start(Box::new(move || worker.work()))?;
            state.threads += 1;
            state.most_threads = state.most_threads.max(state.threads);
        }
        Ok(())
    }

    /// Waits for the next call; `None` if this thread is to end, and then `threads` does not count it any more.
    fn take(self: &Arc<Inner>) -> Option<SubmittedCall> {
        let idle_since = Instant::now();
        let mut state = self.state();
        loop {
            let now = Instant::now();
            if let Some(expired) = state.queue.pop_expired(now) {
                drop(state);
                self.end_without_thread([expired], || self.turn_never_came());
                state = self.state();
                continue;
            }
            if let Some(next) = state.queue.begin_next(now) {
                // Without another thread, what is due meanwhile waits for this one.
                let _ = self.start_threads(&mut state);
                return Some(next);
            }
            let due_at = state.queue.due_at();
            let is_last_idle = state.threads - state.queue.running() == 1;
            let must_stay = due_at.is_some() && is_last_idle;
            let left = self.idle.saturating_sub(idle_since.elapsed());
            if !must_stay && (state.closed || left.is_zero()) {
                state.threads -= 1;
                // One thread may stay, which waits for what is due later.
                let is_idle = state.threads <= 1 && state.queue.running() == 0;
                let is_after_burst = is_idle && state.most_threads > FEW_THREADS;
                if is_idle {
                    state.most_threads = state.threads;
                }
                drop(state);
                // If this thread was woken for what is due, another one must hear of it.
                self.changed.notify_one();
                if is_after_burst {
                    (self.after_burst)();
                }
                return None;
            }
            let until_due = due_at.map(|due_at| due_at.saturating_duration_since(now));
            let sleep = until_due.into_iter().chain((!must_stay).then_some(left)).min().unwrap_or(left);
            state = self.changed.wait_timeout(state, sleep).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Runs a call until it is done or pauses.
    fn run(&self, mut call: SubmittedCall) {
        let (ticket, mut progress) = (Arc::clone(&call.ticket), None);
        let contained = (self.guard)(&mut || progress = Some(call.run()));
        let progress = progress.unwrap_or_else(|| {
            let detail = contained.err().unwrap_or_default();
            Progress::Done(Err(Error::because(Status::Internal, detail).with_unknown_outcome()))
        });
        let mut state = self.state();
        state.queue.end(ticket.priority);
        let result = match progress {
            Progress::Done(result) => result,
            Progress::PausedUntil(until) => {
                let cancelled = state.queue.pause(call, until);
                drop(state);
                return self.end_without_thread(cancelled, || Error::new(Status::Cancelled));
            }
        };
        drop(state);
        self.end(call, result);
    }

    /// Completes calls that no thread is running with this error.
    fn end_without_thread(&self, calls: impl IntoIterator<Item = SubmittedCall>, error: impl Fn() -> Error) {
        for mut call in calls {
            let mut ended = error();
            let _ = (self.guard)(&mut || ended = call.stopped(error()));
            self.end(call, Err(ended));
        }
    }

    /// Completes a call. What it holds is dropped first, and without a lock, because that may run any code.
    fn end(&self, call: SubmittedCall, result: Result<String, Error>) {
        let (ticket, mut call) = (Arc::clone(&call.ticket), Some(call));
        let _ = (self.guard)(&mut || drop(call.take()));
        let result = result.map_err(|mut error| {
            error.elapsed = ticket.submitted_at.elapsed();
            error
        });
        let completion = completion(ticket.number, result);
        let mut state = self.state();
        state.under_way.retain(|open| !Arc::ptr_eq(open, &ticket));
        self.events.push_completion(completion);
    }

    fn turn_never_came(&self) -> Error {
        let message = format!(
            "The call's time was over before its turn came, because {} others were running: as many as \"max_parallel\" in \
             the config allows.",
            self.max_parallel
        );
        Error::because(Status::Timeout, message)
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
