//! The queue that a host reads: what leases and the log tell, and the completions of submitted calls, in one order.

use crate::error::Error;
use crate::lease::sync::atomic::{AtomicBool, Ordering};
use crate::lease::sync::{Condvar, Mutex, MutexGuard};
use crate::status::Status;
use std::collections::VecDeque;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

/// Of what is told, so many are kept for a host that does not read.
const MOST_NOTICES: usize = 1_000;

/// JSON objects on their way to the host.
#[derive(Debug)]
pub(crate) struct Events {
    queue: Mutex<Queue>,
    /// Something came, or nothing will come any more.
    changed: Condvar,
    /// Whether there is an event or the queue is closed: what `queue` says, for those who may not wait for its lock.
    ///
    /// It is written under the lock alone, so its values follow one another as the queue's do. It leads nobody to
    /// anything but the lock, which orders the rest; so relaxed is enough.
    maybe_nonempty: AtomicBool,
}

#[derive(Debug, Default)]
struct Queue {
    notices: VecDeque<Numbered>,
    completions: VecDeque<Numbered>,
    /// How many events have come in.
    came: u64,
    /// How many of them were dropped since one was last given out.
    missed: u64,
    /// How often those who wait were sent away.
    cancels: u64,
    closed: bool,
}

/// An event and its place in the order of all.
#[derive(Debug)]
struct Numbered {
    place: u64,
    json: String,
}

impl Events {
    pub(crate) fn new() -> Events {
        Events { queue: Mutex::new(Queue::default()), changed: Condvar::new(), maybe_nonempty: AtomicBool::new(false) }
    }

    /// Adds what a lease or the log tells, a JSON object. Of these the newest 1,000 are kept; the event that is given
    /// out next after a loss says how many are missing, as its last member: `"missed":3`.
    pub(crate) fn push(&self, json: String) {
        self.change(|queue| {
            if queue.notices.len() == MOST_NOTICES {
                queue.notices.pop_front();
                queue.missed += 1;
            }
            let event = queue.numbered(json);
            queue.notices.push_back(event);
        });
    }

    /// Adds the completion of a submitted call, a JSON object. None is ever dropped; whoever submits sees to it that
    /// they stay few, see [`completions`](Events::completions).
    pub(crate) fn push_completion(&self, json: String) {
        self.change(|queue| {
            let event = queue.numbered(json);
            queue.completions.push_back(event);
        });
    }

    /// How many completions wait to be read.
    pub(crate) fn completions(&self) -> usize {
        self.queue().completions.len()
    }

    /// The oldest event; waits for one at most `wait`. `None`: none came. Zero asks without waiting, and takes no lock
    /// when there is none.
    ///
    /// # Errors
    /// [`Status::Cancelled`] if [`cancel`](Events::cancel) was called while it waited, [`Status::Handle`] once
    /// [`close`](Events::close) was.
    pub(crate) fn next(&self, wait: Duration) -> Result<Option<String>, Error> {
        if wait.is_zero() && !self.maybe_nonempty.load(Ordering::Relaxed) {
            return Ok(None);
        }
        self.next_since(self.cancels(), wait)
    }

    /// How often those who wait were sent away so far: for a caller who waits several times for one event.
    pub(crate) fn cancels(&self) -> u64 {
        self.queue().cancels
    }

    /// The same as [`next`](Events::next), for a caller who has waited since there were so many `cancels`.
    ///
    /// # Errors
    /// Those of [`next`](Events::next).
    pub(crate) fn next_since(&self, cancels: u64, wait: Duration) -> Result<Option<String>, Error> {
        let started = Instant::now();
        let mut queue = self.queue();
        loop {
            if queue.closed {
                return Err(Error::new(Status::Handle));
            }
            // Before the event, which is not lost by it: a host that reads until none comes must hear of the cancel.
            if queue.cancels != cancels {
                return Err(Error::new(Status::Cancelled));
            }
            if let Some(json) = queue.take() {
                self.note(&queue);
                return Ok(Some(json));
            }
            let left = wait.saturating_sub(started.elapsed());
            if left.is_zero() {
                return Ok(None);
            }
            queue = self.changed.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Sends those away who wait now; those who come later wait as ever.
    pub(crate) fn cancel(&self) {
        self.queue().cancels += 1;
        self.changed.notify_all();
    }

    /// Nothing is taken nor given out from now on: a closed client has no events. What was left is dropped.
    pub(crate) fn close(&self) {
        let mut queue = self.queue();
        *queue = Queue { closed: true, ..Queue::default() };
        self.note(&queue);
        self.changed.notify_all();
    }

    fn change(&self, add: impl FnOnce(&mut Queue)) {
        let mut queue = self.queue();
        if !queue.closed {
            add(&mut queue);
            self.note(&queue);
            // One event, one reader. Whom it wakes may have been cancelled and leave it; then so were all who waited,
            // and who comes later looks before he waits.
            self.changed.notify_one();
        }
    }

    fn note(&self, queue: &Queue) {
        self.maybe_nonempty.store(queue.closed || !queue.is_empty(), Ordering::Relaxed);
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    fn numbered(&mut self, json: String) -> Numbered {
        self.came += 1;
        Numbered { place: self.came, json }
    }

    fn is_empty(&self) -> bool {
        self.notices.is_empty() && self.completions.is_empty()
    }

    /// The oldest of both kinds.
    fn take(&mut self) -> Option<String> {
        let place = |events: &VecDeque<Numbered>| events.front().map_or(u64::MAX, |event| event.place);
        let told_first = place(&self.notices) < place(&self.completions);
        let oldest = if told_first { &mut self.notices } else { &mut self.completions }.pop_front()?;
        Some(with_missed(oldest.json, std::mem::take(&mut self.missed)))
    }
}

/// The JSON object `json` with one more member, unless nothing was missed.
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
