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
const AFTER_DEADLINE: Duration = Duration::from_millis(30);

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
    under_way: Vec<Arc<LeaseInner>>,
    /// How many threads release them, and their calls.
    helpers: usize,
    calls: Vec<Arc<Call>>,
    released: Vec<u64>,
    kept: Vec<u64>,
    left: Vec<(u64, Error)>,
    /// Those left whose handle was closed: nobody but the threads in the background can release them.
    closed: Vec<Arc<LeaseInner>>,
    /// The time is over, and the host was told what is left.
    is_over: bool,
}

/// A lease that is being released, until this is dropped, as by a panic.
struct UnderWay<'a> {
    manager: &'a Arc<LeaseManager>,
    progress: &'a Mutex<Progress>,
    lease: Arc<LeaseInner>,
    is_borrowed: bool,
    result: Result<(), Error>,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let result = std::mem::replace(&mut self.result, Ok(()));
        let is_orphaned = lock(self.progress).end(&self.lease, self.is_borrowed, result);
        if is_orphaned {
            self.manager.drop_lease(&self.lease);
        }
    }
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
        cancel_paused: impl Fn(),
    ) -> Result<String, Error> {
        let in_flight = self.shared.begin_host_call(timeout, ticket);
        let call = &in_flight.call;
        let deadline = Instant::now() + call.left().unwrap_or_default();
        self.registry().releases.begin_taking_over();
        let _releasing = ReleasingAll(Arc::clone(self));
        let progress = Arc::new(Mutex::new(Progress::default()));
        lock(&progress).waiting = self.unreleased_leases();
        let mut is_cancelled = false;
        loop {
            cancel_paused();
            let is_ending = self.take_over(&progress);
            if !self.start_helpers(&progress, deadline) {
                self.release_waiting(&progress, call);
            }
            let is_done = !is_ending && {
                let progress = lock(&progress);
                progress.waiting.is_empty() && progress.under_way.is_empty()
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
        lock(progress).add_closed(closed);
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
                lock(&progress).add_call(&in_flight.call);
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

    /// The time is over, or the call was cancelled: ends the helpers. What waits or is still under way is left.
    fn give_up(&self, progress: &Mutex<Progress>) {
        let end = Instant::now() + AFTER_DEADLINE;
        lock(progress).calls.iter().for_each(|call| call.cancel());
        // What was cancelled is about to end.
        while (self.take_over(progress) || !lock(progress).under_way.is_empty()) && Instant::now() < end {
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
            let by_panic = Err(Error::new(Status::Internal).with_unknown_outcome());
            let mut under_way = UnderWay { manager: self, progress, lease, is_borrowed, result: by_panic };
            let lease = &under_way.lease;
            let result = if is_closed { lease.release_after_close(call) } else { lease.release_with_retry(call) };
            self.repeat_release_later(lease);
            under_way.result = result;
        }
    }
}

impl Progress {
    fn begin(&mut self) -> Option<Arc<LeaseInner>> {
        let next = self.waiting.pop().filter(|_| !self.is_over)?;
        self.under_way.push(Arc::clone(&next));
        Some(next)
    }

    /// Adds leases whose handle was closed. One that was closed while it is being released is there already.
    fn add_closed(&mut self, closed: Vec<Arc<LeaseInner>>) {
        let is_known =
            |lease: &Arc<LeaseInner>| self.waiting.iter().chain(&self.under_way).any(|known| Arc::ptr_eq(known, lease));
        let new: Vec<_> = closed.into_iter().filter(|lease| !is_known(lease)).collect();
        self.waiting.extend(new);
    }

    /// Returns whether more leases wait than there are threads for, and one more is allowed.
    fn needs_helper(&self, most: usize) -> bool {
        self.waiting.len() > self.helpers.saturating_sub(self.under_way.len()) && self.helpers < most
    }

    /// Adds the call of a helper, which ends with the release of everything.
    fn add_call(&mut self, call: &Arc<Call>) {
        self.calls.push(Arc::clone(call));
        if self.is_over {
            call.cancel();
        }
    }

    /// Notes what has become of a lease. Returns whether the caller has to give it to the threads in the background.
    fn end(&mut self, lease: &Arc<LeaseInner>, is_borrowed: bool, result: Result<(), Error>) -> bool {
        self.under_way.retain(|other| !Arc::ptr_eq(other, lease));
        let is_closed = lease.status().state() == State::Released;
        if self.is_over {
            return is_closed && result.is_err();
        }
        match result {
            Ok(()) if is_borrowed => self.kept.push(lease.label.id),
            Ok(()) => self.released.push(lease.label.id),
            // Its host has released it meanwhile, or has closed its handle: what is left then is released as of a closed one.
            Err(error) if error.status == Status::LeaseOver => {
                self.waiting.extend(lease.may_be_held_at_server().then(|| Arc::clone(lease)));
            }
            Err(error) => {
                // A helper is cancelled at the deadline.
                let is_late = error.status == Status::Cancelled;
                let told = if is_late { Error::new(Status::Timeout).with_outcome(error.outcome) } else { error };
                self.left.push((lease.label.id, told));
                self.closed.extend(is_closed.then(|| Arc::clone(lease)));
            }
        }
        false
    }

    /// What waits or is under way is left.
    fn give_up(&mut self) {
        self.is_over = true;
        let waiting = std::mem::take(&mut self.waiting);
        let all = waiting.iter().chain(&self.under_way);
        self.left.extend(all.map(|lease| (lease.label.id, Error::new(Status::Timeout))));
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
