//! The release of everything that a client holds, at once and within a time, for the end of a program.

use crate::error::Error;
use crate::http::{Call, Stop};
use crate::json;
use crate::lease::background::ticket::Ticket;
use crate::lease::lease_inner::LeaseInner;
use crate::lease::manager::registry::LeaseManager;
use crate::lease::state_machine::State;
use crate::status::Status;
use serde_json::Value;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How often the call looks whether what it has stopped has ended, and whether its helpers are done.
const POLL: Duration = Duration::from_millis(5);

/// The time that a call needs to end after its deadline.
const AFTER_DEADLINE: Duration = Duration::from_millis(40);

/// Keeps leases from being added while everything is released.
struct ReleasingAll(Arc<LeaseManager>);

impl Drop for ReleasingAll {
    fn drop(&mut self) {
        self.0.registry().releases.end_taking_over();
        self.0.changed.notify_all();
    }
}

/// What is still to be released, and what has become of the rest.
#[derive(Default)]
struct Progress {
    waiting: Vec<Arc<LeaseInner>>,
    under_way: usize,
    /// The threads that release them.
    helpers: usize,
    released: Vec<u64>,
    kept: Vec<u64>,
    left: Vec<(u64, Error)>,
    /// Those of them whose handle was closed: nobody but the threads in the background can release them.
    closed: Vec<Arc<LeaseInner>>,
}

impl LeaseManager {
    /// Notes that an acquire is under way, so that the release of everything can cancel it.
    ///
    /// # Errors
    /// [`Status::Cancelled`] while everything is being released.
    pub(crate) fn begin_acquire(&self, lease: &Arc<LeaseInner>) -> Result<(), Error> {
        let mut registry = self.registry();
        if registry.releases.is_taken_over() {
            return Err(Error::because(Status::Cancelled, "Everything is being released."));
        }
        registry.acquiring.push(Arc::clone(lease));
        Ok(())
    }

    /// Notes that the acquire of this lease is over.
    pub(crate) fn end_acquire(&self, lease: &Arc<LeaseInner>) {
        self.registry().acquiring.retain(|known| !Arc::ptr_eq(known, lease));
    }

    /// Releases every lease of the client, those too whose handle was closed and that are being released in the background,
    /// and cancels acquires that are under way. Up to `max_parallel` are released at the same time. Borrows are kept.
    ///
    /// Returns `{"released":[1],"kept":[2],"left":[{"lease":3,"status":21,"name":"CONNECT","reason":"…"}]}`. `kept` are
    /// leases that are borrowed, `left` those that could not be released in time.
    ///
    /// `cancel_paused` cancels the acquires that have no thread at this moment.
    ///
    /// # Errors
    /// [`Status::Cancelled`] if another thread cancels it.
    pub(crate) fn release_all(
        self: &Arc<LeaseManager>,
        timeout: Duration,
        ticket: Option<&Ticket>,
        cancel_paused: impl FnOnce(),
    ) -> Result<String, Error> {
        let in_flight = self.shared.begin_host_call(timeout, ticket);
        let call = &in_flight.call;
        let deadline = Instant::now() + call.left().unwrap_or_default();
        self.registry().releases.begin_taking_over();
        let _releasing = ReleasingAll(Arc::clone(self));
        cancel_paused();
        let progress = Arc::new(Mutex::new(Progress::default()));
        lock(&progress).waiting = self.leases();
        let mut is_cancelled = false;
        loop {
            let is_ending = self.take_over(&progress);
            if !self.start_helpers(&progress, deadline) {
                self.release_waiting(&progress, call);
            }
            let is_done = !is_ending && {
                let progress = lock(&progress);
                progress.waiting.is_empty() && progress.under_way == 0
            };
            match (is_done, call.pause(POLL)) {
                (true, _) => break,
                (false, Ok(())) => {}
                (false, Err(stop)) => {
                    self.give_up(&progress);
                    is_cancelled = stop == Stop::Cancelled;
                    break;
                }
            }
        }
        let closed = std::mem::take(&mut lock(&progress).closed);
        closed.iter().for_each(|lease| self.drop_lease(lease));
        self.wake();
        let told = lock(&progress).told();
        if is_cancelled { Err(Error::new(Status::Cancelled).with_unknown_outcome()) } else { Ok(told) }
    }

    /// Cancels acquires under way, and takes closed leases over from the threads that release them in the background. Returns
    /// whether some of them are still about to end.
    fn take_over(&self, progress: &Mutex<Progress>) -> bool {
        let mut registry = self.registry();
        let acquiring = registry.acquiring.clone();
        let (closed, is_stopping) = registry.releases.take_over();
        drop(registry);
        acquiring.iter().for_each(|lease| lease.cancel_calls());
        lock(progress).waiting.extend(closed);
        is_stopping || !acquiring.is_empty()
    }

    /// Starts a thread for each lease that waits. False if there is none and none can be started.
    fn start_helpers(self: &Arc<LeaseManager>, progress: &Arc<Mutex<Progress>>, deadline: Instant) -> bool {
        let mut now = lock(progress);
        while now.needs_helper(self.shared.client.config().max_parallel) {
            let (manager, progress) = (Arc::clone(self), Arc::clone(progress));
            let run = move || {
                let timeout = deadline.saturating_duration_since(Instant::now());
                let in_flight = manager.shared.begin_host_call(timeout, None);
                manager.release_waiting(&progress, &in_flight.call);
                lock(&progress).helpers -= 1;
            };
            if self.shared.start_thread(run).is_err() {
                break;
            }
            now.helpers += 1;
        }
        now.helpers > 0 || now.waiting.is_empty()
    }

    /// The time is over, and what waits is left.
    fn give_up(&self, progress: &Mutex<Progress>) {
        let end = Instant::now() + AFTER_DEADLINE;
        // The calls of helpers end at the same deadline, and what was cancelled is about to end.
        while (self.take_over(progress) || lock(progress).under_way > 0) && Instant::now() < end {
            std::thread::sleep(POLL);
        }
        lock(progress).give_up();
    }

    /// Releases one lease after the other until none waits.
    fn release_waiting(self: &Arc<LeaseManager>, progress: &Mutex<Progress>, call: &Call) {
        // Not in the loop's head, where the lock would be held until the end of its body.
        let next = || lock(progress).begin();
        while let Some(lease) = next() {
            let is_closed = lease.status().state() == State::Released;
            let is_borrowed = lease.status().has_borrow();
            let result = if is_closed {
                lease.release_after_close(call);
                let is_released = !lease.may_be_held_at_server();
                is_released.then_some(()).ok_or_else(|| Error::new(Status::Timeout))
            } else {
                lease.release_with_retry(call)
            };
            self.repeat_release_later(&lease);
            lock(progress).end(&lease, is_closed, is_borrowed, result);
        }
    }
}

impl Progress {
    fn begin(&mut self) -> Option<Arc<LeaseInner>> {
        let next = self.waiting.pop()?;
        self.under_way += 1;
        Some(next)
    }

    /// Returns whether more leases wait than there are threads for, and one more is allowed.
    fn needs_helper(&self, most: usize) -> bool {
        self.waiting.len() > self.helpers.saturating_sub(self.under_way) && self.helpers < most
    }

    fn end(&mut self, lease: &Arc<LeaseInner>, is_closed: bool, is_borrowed: bool, result: Result<(), Error>) {
        self.under_way -= 1;
        if is_closed && result.is_err() {
            self.closed.push(Arc::clone(lease));
        }
        match result {
            Ok(()) if is_borrowed => self.kept.push(lease.label.id),
            Ok(()) => self.released.push(lease.label.id),
            Err(error) if error.status == Status::LeaseOver => {}
            Err(error) => self.left.push((lease.label.id, error)),
        }
    }

    /// What waits is left.
    fn give_up(&mut self) {
        let waiting = std::mem::take(&mut self.waiting);
        self.left.extend(waiting.iter().map(|lease| (lease.label.id, Error::new(Status::Timeout))));
        self.closed.extend(waiting.into_iter().filter(|lease| lease.status().state() == State::Released));
    }

    fn told(&mut self) -> String {
        let numbers = |ids: &mut Vec<u64>| -> Value {
            ids.sort_unstable();
            ids.drain(..).collect()
        };
        self.left.sort_unstable_by_key(|(id, _)| *id);
        let left = self.left.drain(..).map(|(id, error)| {
            json::value(&[
                ("lease", id.into()),
                ("status", error.status.number().into()),
                ("name", error.status.row().name.into()),
                ("reason", error.message().into()),
            ])
        });
        let left: Value = left.collect();
        json::object(&[("released", numbers(&mut self.released)), ("kept", numbers(&mut self.kept)), ("left", left)])
    }
}

fn lock(progress: &Mutex<Progress>) -> MutexGuard<'_, Progress> {
    progress.lock().unwrap_or_else(PoisonError::into_inner)
}
