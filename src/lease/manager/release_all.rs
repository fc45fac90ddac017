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

/// How long the call waits after its deadline, or after a cancel, for its helpers to end.
const AFTER_DEADLINE: Duration = Duration::from_millis(30);

/// Keeps leases from being added while everything is released.
struct ReleasingAll(Arc<LeaseManager>);

impl Drop for ReleasingAll {
    fn drop(&mut self) {
        self.0.registry().releases.end_taking_over();
        self.0.changed.notify_all();
    }
}

/// What has become of a lease so far.
enum Progress {
    Waiting,
    UnderWay,
    Released,
    /// It is borrowed.
    Kept,
    Left(Error),
}

/// A lease that is to be released.
struct Entry {
    lease: Arc<LeaseInner>,
    progress: Progress,
}

/// The leases that are to be released, each once, and the threads that do it.
#[derive(Default)]
struct Releases {
    /// In the order of the leases' numbers.
    entries: Vec<Entry>,
    /// How many threads release them, and their calls.
    helpers: usize,
    calls: Vec<Arc<Call>>,
    /// No release is begun any more, and those under way are cancelled.
    is_ending: bool,
    /// The host is told what is left.
    is_over: bool,
}

/// A thread that releases leases, until this is dropped, as by a panic.
struct Helper(Arc<Mutex<Releases>>);

impl Drop for Helper {
    fn drop(&mut self) {
        lock(&self.0).helpers -= 1;
    }
}

/// A lease that is being released, until this is dropped, as by a panic.
struct UnderWay<'a> {
    manager: &'a Arc<LeaseManager>,
    releases: &'a Mutex<Releases>,
    lease: Arc<LeaseInner>,
    is_borrowed: bool,
    result: Result<(), Error>,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let result = std::mem::replace(&mut self.result, Ok(()));
        let is_orphaned = lock(self.releases).end(&self.lease, self.is_borrowed, result);
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
        let releases = Arc::new(Mutex::new(Releases::default()));
        lock(&releases).add(self.unreleased_leases());
        let mut is_cancelled = false;
        loop {
            cancel_paused();
            let is_ending = self.take_over(&releases);
            if !self.start_helpers(&releases, deadline) {
                self.release_waiting(&releases, call);
            }
            if !is_ending && lock(&releases).is_done() {
                break;
            }
            if let Err(stop) = call.pause(POLL) {
                self.give_up(&releases);
                is_cancelled = stop == Stop::Cancelled;
                break;
            }
        }
        let (orphans, told) = {
            let mut releases = lock(&releases);
            releases.give_up();
            (releases.orphans(), releases.told())
        };
        orphans.iter().for_each(|lease| self.drop_lease(lease));
        self.wake();
        if is_cancelled { Err(Error::new(Status::Cancelled).with_unknown_outcome()) } else { Ok(told) }
    }

    /// The leases that may hold a slot. Others, which their host has released and not closed, are not told as released again.
    fn unreleased_leases(&self) -> Vec<Arc<LeaseInner>> {
        let may_hold = |lease: &Arc<LeaseInner>| !is_closed(lease) || lease.may_be_held_at_server();
        self.leases().into_iter().filter(may_hold).collect()
    }

    /// Cancels acquires under way, and takes closed leases over from the threads that release them in the background. Returns
    /// whether some of them are still about to end.
    fn take_over(&self, releases: &Mutex<Releases>) -> bool {
        let mut registry = self.registry();
        let acquiring = registry.acquiring.clone();
        let (closed, is_stopping) = registry.releases.take_over();
        drop(registry);
        acquiring.iter().for_each(|lease| lease.cancel_calls());
        lock(releases).add(closed);
        is_stopping || !acquiring.is_empty()
    }

    /// Starts a thread for each lease that waits. False if there is none and none can be started.
    fn start_helpers(self: &Arc<LeaseManager>, releases: &Arc<Mutex<Releases>>, deadline: Instant) -> bool {
        let mut now = lock(releases);
        while now.needs_helper(self.shared.client.config().max_parallel) {
            let (manager, helper) = (Arc::clone(self), Helper(Arc::clone(releases)));
            now.helpers += 1;
            let run = move || {
                let timeout = deadline.saturating_duration_since(Instant::now());
                let in_flight = manager.shared.begin_host_call(timeout, None);
                lock(&helper.0).add_call(&in_flight.call);
                manager.release_waiting(&helper.0, &in_flight.call);
            };
            drop(now);
            // Without a thread, the helper is dropped, and so counted no more.
            let is_started = self.shared.start_thread(run).is_ok();
            now = lock(releases);
            if !is_started {
                break;
            }
        }
        now.helpers > 0 || now.count(Entry::is_waiting) == 0
    }

    /// The time is over, or the call was cancelled: ends the helpers, and waits until what they did has ended.
    fn give_up(&self, releases: &Mutex<Releases>) {
        let end = Instant::now() + AFTER_DEADLINE;
        lock(releases).cancel();
        while (self.take_over(releases) || lock(releases).count(Entry::is_under_way) > 0) && Instant::now() < end {
            std::thread::sleep(POLL);
        }
    }

    /// Releases one lease after the other until none waits.
    fn release_waiting(self: &Arc<LeaseManager>, releases: &Mutex<Releases>, call: &Call) {
        // Not in the loop's head, where the lock would be held until the end of its body.
        let next = || lock(releases).begin();
        while let Some(lease) = next() {
            let is_closed = is_closed(&lease);
            let is_borrowed = lease.status().has_borrow(&self.shared.clock);
            let by_panic = Err(Error::new(Status::Internal).with_unknown_outcome());
            let mut under_way = UnderWay { manager: self, releases, lease, is_borrowed, result: by_panic };
            let lease = &under_way.lease;
            let result = if is_closed { lease.release_after_close(call) } else { lease.release_with_retry(call) };
            self.repeat_release_later(lease);
            under_way.result = result;
        }
    }
}

impl Releases {
    /// Adds leases. One that is there already begins anew if it is done and may still hold a slot: its handle was closed
    /// meanwhile, and nobody else releases it.
    fn add(&mut self, leases: Vec<Arc<LeaseInner>>) {
        for lease in leases {
            match self.entry(&lease) {
                Some(entry) if entry.is_done() && lease.may_be_held_at_server() => entry.progress = Progress::Waiting,
                Some(_) => {}
                None => {
                    let place = self.entries.partition_point(|entry| entry.lease.label.id < lease.label.id);
                    self.entries.insert(place, Entry { lease, progress: Progress::Waiting });
                }
            }
        }
    }

    fn entry(&mut self, lease: &Arc<LeaseInner>) -> Option<&mut Entry> {
        self.entries.iter_mut().find(|entry| Arc::ptr_eq(&entry.lease, lease))
    }

    fn begin(&mut self) -> Option<Arc<LeaseInner>> {
        let next = self.entries.iter_mut().find(|entry| entry.is_waiting()).filter(|_| !self.is_ending)?;
        next.progress = Progress::UnderWay;
        Some(Arc::clone(&next.lease))
    }

    fn count(&self, is_counted: fn(&Entry) -> bool) -> usize {
        self.entries.iter().filter(|entry| is_counted(entry)).count()
    }

    fn is_done(&self) -> bool {
        self.count(Entry::is_done) == self.entries.len()
    }

    /// Returns whether more leases wait than there are threads for, and one more is allowed.
    fn needs_helper(&self, most: usize) -> bool {
        self.count(Entry::is_waiting) > self.helpers.saturating_sub(self.count(Entry::is_under_way))
            && self.helpers < most
    }

    /// Adds the call of a helper, which ends with the release of everything.
    fn add_call(&mut self, call: &Arc<Call>) {
        self.calls.push(Arc::clone(call));
        if self.is_ending {
            call.cancel();
        }
    }

    /// Cancels the releases under way, and lets none begin.
    fn cancel(&mut self) {
        self.is_ending = true;
        self.calls.iter().for_each(|call| call.cancel());
    }

    /// Notes what has become of a lease. Returns whether the caller has to give it to the threads in the background.
    fn end(&mut self, lease: &Arc<LeaseInner>, is_borrowed: bool, result: Result<(), Error>) -> bool {
        if self.is_over {
            return is_closed(lease) && result.is_err();
        }
        let progress = match result {
            // Its host has released it meanwhile. What is still held is released as the slots of a closed lease are.
            Err(error) if error.status == Status::LeaseOver && lease.may_be_held_at_server() => Progress::Waiting,
            Err(error) if error.status != Status::LeaseOver => Progress::left(error),
            Ok(()) if is_borrowed => Progress::Kept,
            _ => Progress::Released,
        };
        if let Some(entry) = self.entry(lease) {
            entry.progress = progress;
        }
        false
    }

    /// The release of everything is over. What waits is left, and what is still under way.
    fn give_up(&mut self) {
        self.is_over = true;
        for entry in self.entries.iter_mut().filter(|entry| entry.is_waiting()) {
            entry.progress = Progress::Left(Error::new(Status::Timeout));
        }
    }

    /// The leases that are left and whose handle was closed: only the threads in the background can release them. Those
    /// still under way are given to them when that has ended.
    fn orphans(&self) -> Vec<Arc<LeaseInner>> {
        let left = self.entries.iter().filter(|entry| matches!(entry.progress, Progress::Left(_)));
        left.filter(|entry| is_closed(&entry.lease)).map(|entry| Arc::clone(&entry.lease)).collect()
    }

    fn told(&self) -> String {
        let (mut released, mut kept, mut left) = (Vec::new(), Vec::new(), Vec::new());
        let late = Error::new(Status::Timeout);
        for entry in &self.entries {
            let id: Value = entry.lease.label.id.into();
            let error = match &entry.progress {
                Progress::Released => {
                    released.push(id);
                    continue;
                }
                Progress::Kept => {
                    kept.push(id);
                    continue;
                }
                Progress::Left(error) => error,
                Progress::Waiting | Progress::UnderWay => &late,
            };
            left.push(json::value(&[
                ("lease", id),
                ("status", error.status.number().into()),
                ("name", error.status.row().name.into()),
                ("reason", error.message().into()),
            ]));
        }
        json::object(&[("released", released.into()), ("kept", kept.into()), ("left", left.into())])
    }
}

impl Progress {
    fn left(error: Error) -> Progress {
        // A helper is cancelled at the deadline.
        let is_late = error.status == Status::Cancelled;
        Progress::Left(if is_late { Error::new(Status::Timeout).with_outcome(error.outcome) } else { error })
    }
}

impl Entry {
    fn is_waiting(&self) -> bool {
        matches!(self.progress, Progress::Waiting)
    }

    fn is_under_way(&self) -> bool {
        matches!(self.progress, Progress::UnderWay)
    }

    fn is_done(&self) -> bool {
        !self.is_waiting() && !self.is_under_way()
    }
}

/// Returns whether the host has closed the handle of this lease, or released it.
fn is_closed(lease: &Arc<LeaseInner>) -> bool {
    lease.status().state() == State::Released
}

fn lock(releases: &Mutex<Releases>) -> MutexGuard<'_, Releases> {
    releases.lock().unwrap_or_else(PoisonError::into_inner)
}
