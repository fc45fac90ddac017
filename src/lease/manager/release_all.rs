//! The release of everything that a client holds, at once and within a time, for the end of a program.

use crate::error::Error;
use crate::http::{Call, Stop};
use crate::json;
use crate::lease::background::ticket::Ticket;
use crate::lease::lease_inner::LeaseInner;
use crate::lease::manager::registry::{LeaseManager, start_thread};
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
    released: Vec<u64>,
    kept: Vec<u64>,
    left: Vec<(u64, Error)>,
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
        lock(&progress).waiting = self.unreleased_leases();
        self.start_helpers(&progress, deadline);
        loop {
            let is_ending = self.take_over(&progress);
            self.release_waiting(&progress, call);
            let is_done = !is_ending && {
                let progress = lock(&progress);
                progress.waiting.is_empty() && progress.under_way == 0
            };
            match (is_done, call.pause(POLL)) {
                (true, _) => break,
                (false, Ok(())) => {}
                (false, Err(stop)) => {
                    let left = lock(&progress).give_up();
                    left.iter().for_each(|lease| self.drop_lease(lease));
                    if stop == Stop::Cancelled {
                        return Err(stop.into());
                    }
                    wait_for_helpers(&progress);
                    break;
                }
            }
        }
        self.wake();
        let told = lock(&progress).told();
        Ok(told)
    }

    /// The leases that may hold a slot. Others, which their host has released and not closed, are not told as released again.
    fn unreleased_leases(&self) -> Vec<Arc<LeaseInner>> {
        let may_hold =
            |lease: &Arc<LeaseInner>| lease.status().state() != State::Released || lease.may_be_held_at_server();
        self.leases().into_iter().filter(may_hold).collect()
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

    /// Starts a thread for each lease but one, which this thread releases. If no thread can be started, it releases all.
    fn start_helpers(self: &Arc<LeaseManager>, progress: &Arc<Mutex<Progress>>, deadline: Instant) {
        let most = self.shared.client.config().max_parallel.saturating_sub(1);
        let helpers = lock(progress).waiting.len().saturating_sub(1).min(most);
        for _ in 0..helpers {
            let (manager, progress) = (Arc::clone(self), Arc::clone(progress));
            let run = move || {
                let timeout = deadline.saturating_duration_since(Instant::now());
                let in_flight = manager.shared.begin_host_call(timeout, None);
                manager.release_waiting(&progress, &in_flight.call);
            };
            if start_thread(&self.shared, run).is_err() {
                return;
            }
        }
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
            let is_left = is_closed && result.is_err();
            lock(progress).end(&lease, is_borrowed, result);
            if is_left {
                // The threads in the background try again.
                self.drop_lease(&lease);
            }
        }
    }
}

impl Progress {
    fn begin(&mut self) -> Option<Arc<LeaseInner>> {
        let next = self.waiting.pop()?;
        self.under_way += 1;
        Some(next)
    }

    fn end(&mut self, lease: &LeaseInner, is_borrowed: bool, result: Result<(), Error>) {
        self.under_way -= 1;
        match result {
            Ok(()) if is_borrowed => self.kept.push(lease.id),
            Ok(()) => self.released.push(lease.id),
            Err(error) if error.status == Status::LeaseOver => {}
            Err(error) => self.left.push((lease.id, error)),
        }
    }

    /// The time is over: what waits is left. Returns the closed leases, which go back to the threads in the background.
    fn give_up(&mut self) -> Vec<Arc<LeaseInner>> {
        let waiting = std::mem::take(&mut self.waiting);
        self.left.extend(waiting.iter().map(|lease| (lease.id, Error::new(Status::Timeout))));
        waiting.into_iter().filter(|lease| lease.status().state() == State::Released).collect()
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

/// Waits for the helpers, whose calls end at the same deadline.
fn wait_for_helpers(progress: &Mutex<Progress>) {
    let end = Instant::now() + AFTER_DEADLINE;
    while lock(progress).under_way > 0 && Instant::now() < end {
        std::thread::sleep(POLL);
    }
}

fn lock(progress: &Mutex<Progress>) -> MutexGuard<'_, Progress> {
    progress.lock().unwrap_or_else(PoisonError::into_inner)
}
