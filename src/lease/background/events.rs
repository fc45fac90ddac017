//! The queue that a host reads: notices of leases and of the log, and completions of submitted calls, in one order.

use crate::error::Error;
use crate::lease::state_cell::StateWriter;
use crate::lease::sync::atomic::{AtomicBool, Ordering};
use crate::lease::sync::{Condvar, Mutex, MutexGuard};
use crate::status::Status;
use std::collections::VecDeque;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

/// Most notices that are stored for a host that does not read them.
const MOST_NOTICES: usize = 1_000;

/// A queue of JSON objects for the host.
#[derive(Debug)]
pub(crate) struct Events {
    queue: Mutex<Queue>,
    /// Signals a new event, a cancel or the close.
    changed: Condvar,
    /// True if there is an event or the queue is closed, for a reader that may not wait for the lock of `queue`.
    ///
    /// This is written only under the lock, so its values change in the same order as the queue does. A reader that
    /// sees true takes the lock, which orders everything else, so relaxed loads and stores are enough.
    maybe_nonempty: AtomicBool,
}

#[derive(Debug, Default)]
struct Queue {
    notices: VecDeque<Numbered>,
    completions: VecDeque<Numbered>,
    /// How many events were ever added.
    added: u64,
    /// How many notices were dropped since the host last read an event.
    missed: u64,
    /// How often the waiting readers were cancelled.
    cancels: u64,
    closed: bool,
    /// Publishes how many events there are.
    writer: Option<StateWriter>,
}

/// An event and its place in the order of all events.
#[derive(Debug)]
struct Numbered {
    place: u64,
    json: String,
}

impl Events {
    /// Makes an empty queue.
    pub(crate) fn new() -> Events {
        Events { queue: Mutex::new(Queue::default()), changed: Condvar::new(), maybe_nonempty: AtomicBool::new(false) }
    }

    /// Publishes by this writer from now on how many events there are.
    pub(crate) fn publish_to(&self, writer: StateWriter) {
        let mut queue = self.queue();
        queue.writer = Some(writer);
        self.publish(&mut queue);
    }

    /// Adds a notice of a lease or of the log, a JSON object. If there are more than 1,000 notices, the oldest is
    /// dropped. The next event that the host reads says how many were dropped, as its last member: `"missed":3`.
    pub(crate) fn push(&self, json: String) {
        self.add(|queue| {
            if queue.notices.len() == MOST_NOTICES {
                queue.notices.pop_front();
                queue.missed += 1;
            }
            let event = queue.numbered(json);
            queue.notices.push_back(event);
        });
    }

    /// Adds the completion of a submitted call, a JSON object. A completion is never dropped. To limit their number,
    /// the queue of calls reads [`completions`](Events::completions) before it accepts a call.
    pub(crate) fn push_completion(&self, json: String) {
        self.add(|queue| {
            let event = queue.numbered(json);
            queue.completions.push_back(event);
        });
    }

    /// Returns how many completions the host has not read.
    pub(crate) fn completions(&self) -> usize {
        self.queue().completions.len()
    }

    /// Removes and returns the oldest event. If there is none, waits for one up to `wait`, and then returns `None`.
    /// With a `wait` of zero this never waits, and takes no lock if there is no event.
    ///
    /// # Errors
    /// [`Status::Cancelled`] if [`cancel`](Events::cancel) was called during the wait, and [`Status::Handle`] after
    /// [`close`](Events::close).
    pub(crate) fn next(&self, wait: Duration) -> Result<Option<String>, Error> {
        if wait.is_zero() && !self.maybe_nonempty.load(Ordering::Relaxed) {
            return Ok(None);
        }
        self.next_since(self.cancels(), wait)
    }

    /// Returns how often the waiting readers were cancelled, for a caller that waits for one event in several parts.
    pub(crate) fn cancels(&self) -> u64 {
        self.queue().cancels
    }

    /// Does the same as [`next`](Events::next), for a caller whose wait began when [`cancels`](Events::cancels)
    /// returned this number.
    ///
    /// # Errors
    /// The errors of [`next`](Events::next).
    pub(crate) fn next_since(&self, cancels: u64, wait: Duration) -> Result<Option<String>, Error> {
        let started = Instant::now();
        let mut queue = self.queue();
        loop {
            if queue.closed {
                return Err(Error::of_closed_client());
            }
            // The cancel is reported before an event, because a host that reads until there is no event must hear of
            // it. The event stays in the queue.
            if queue.cancels != cancels {
                return Err(Error::new(Status::Cancelled));
            }
            if let Some(json) = queue.take() {
                self.publish(&mut queue);
                return Ok(Some(json));
            }
            let left = wait.saturating_sub(started.elapsed());
            if left.is_zero() {
                return Ok(None);
            }
            queue = self.changed.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Cancels the readers that wait now. Later readers wait as before.
    pub(crate) fn cancel(&self) {
        self.queue().cancels += 1;
        self.changed.notify_all();
    }

    /// Closes the queue: drops all events, ignores new ones, and makes every read an error.
    pub(crate) fn close(&self) {
        let mut queue = self.queue();
        *queue = Queue { closed: true, ..Queue::default() };
        self.publish(&mut queue);
        self.changed.notify_all();
    }

    fn add(&self, add: impl FnOnce(&mut Queue)) {
        let mut queue = self.queue();
        if !queue.closed {
            add(&mut queue);
            self.publish(&mut queue);
            // One event wakes one reader. If that reader was cancelled, it leaves the event, but then every other
            // waiting reader was cancelled too, and a later reader looks into the queue before it waits.
            self.changed.notify_one();
        }
    }

    /// Tells readers that take no lock what has changed.
    fn publish(&self, queue: &mut Queue) {
        let count = queue.len();
        self.maybe_nonempty.store(queue.closed || count > 0, Ordering::Relaxed);
        queue.writer.iter_mut().for_each(|writer| writer.publish_count(count));
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    fn numbered(&mut self, json: String) -> Numbered {
        self.added += 1;
        Numbered { place: self.added, json }
    }

    fn len(&self) -> usize {
        self.notices.len() + self.completions.len()
    }

    /// Removes and returns the oldest event of both kinds.
    fn take(&mut self) -> Option<String> {
        let place = |events: &VecDeque<Numbered>| events.front().map_or(u64::MAX, |event| event.place);
        let notice_is_older = place(&self.notices) < place(&self.completions);
        let oldest = if notice_is_older { &mut self.notices } else { &mut self.completions }.pop_front()?;
        Some(with_missed(oldest.json, std::mem::take(&mut self.missed)))
    }
}

/// Adds the member `missed` to a JSON object, unless it is zero.
fn with_missed(json: String, missed: u64) -> String {
    match json.strip_suffix('}') {
        Some(members) if missed > 0 => {
            let comma = if members.ends_with('{') { "" } else { "," };
            format!("{members}{comma}\"missed\":{missed}}}")
        }
        _ => json,
    }
}

#[cfg(test)]
#[cfg(loom)]
mod loom_tests;
#[cfg(test)]
#[cfg(not(loom))]
mod tests;
