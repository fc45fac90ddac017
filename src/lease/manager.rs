//! Keeps the leases of a client: one thread for all of them, started by the first that wants it, that renews in time
//! and tells the host what time has done.
//!
//! A request may hang. So before the thread makes one, another takes its place if there are other leases: time passes for
//! each lease whatever becomes of the requests of others.
//!
//! The thread sleeps until something is due. It never sleeps for long: a machine that was asleep itself wakes it late,
//! because the system's sleeps do not count that time.

use crate::error::Error;
use crate::http::{Call, Waiter};
use crate::lease::acquire_request::KeepAlive;
use crate::lease::background::thread;
use crate::lease::consumption;
use crate::lease::context::Shared;
use crate::lease::lease_inner::{LeaseInner, MOST_REQUESTS, timeout_of_all};
use crate::lease::release::{Interruption, ReleaseQueue, ReleaseTarget, RepeatedRelease, SlotName};
use crate::lease::renewal::{Renewals, SIDE_BY_SIDE_AFTER};
use crate::lease::slot::process_lock::ProcessLock;
use crate::lease::state_machine::{Millis, State};
use crate::status::{Category, Status};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// So long the thread sleeps at most.
const LONGEST_SLEEP: Duration = Duration::from_secs(10);
/// What panicked does not do so again and again at once.
const AFTER_PANIC: Duration = Duration::from_secs(1);
/// So often what the clock shows is kept for leases that are borrowed.
const CLOCK_MARK_INTERVAL_MS: i64 = 10 * 60 * 1000;
/// So soon again if others were at what it is kept in.
const CLOCK_MARK_RETRY_MS: i64 = 1_000;
/// The least that a renewal is given, however near the moment when it comes too late.
const LEAST_RENEWAL_TIMEOUT_MS: i64 = 100;
/// And the most when that moment has passed, as after a sleep of the machine: the host waits to be told.
const OVERDUE_MS: i64 = 5_000;
/// How often a verb looks whether the one that it has stopped is gone.
const STOP_POLL: Duration = Duration::from_millis(5);

/// The leases of a client and who looks after them.
pub(crate) struct LeaseManager {
    pub(crate) shared: Shared,
    registry: Mutex<Registry>,
    /// The book has changed, or the time has.
    changed: Condvar,
    /// When what the clock shows is to be kept next.
    clock_mark_at: AtomicI64,
}

#[derive(Default)]
struct Registry {
    leases: Vec<Arc<LeaseInner>>,
    last_id: u64,
    /// Where holders of a slot meet that are of this client alone: without a folder to meet others in.
    shares: Vec<(String, ProcessLock)>,
    releases: ReleaseQueue,
    /// Acquires under way that need the keeper's thread.
    reserved: usize,
    renewals: Renewals,
    main_thread: MainThread,
    /// So many threads give slots back.
    release_threads: usize,
    /// One of them waits for what is to be given back later, or for the others to be done.
    release_thread_waits: bool,
    is_syncing: bool,
    closed: bool,
}

/// Whether a thread waits for what is due.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum MainThread {
    /// There is no thread.
    #[default]
    Absent,
    /// It waits, or is about to.
    Waiting,
    /// It asks the server first, because no other lease needed it when it began.
    Requesting,
}

/// What a thread of the keeper is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ThreadRole {
    /// It waits for what is due.
    Main,
    /// It renews one lease, and waits for what is due after that unless another thread does.
    Requesting,
    /// Another thread waits, and this one renews what is due at the moment.
    Helper,
}

/// What a thread of the keeper does next.
enum Task {
    Renew(ActiveRenewal),
    /// It keeps what the clock shows.
    Mark,
}

/// A renewal that is under way until this is dropped.
struct ActiveRenewal {
    manager: Arc<LeaseManager>,
    lease: Arc<LeaseInner>,
    /// Nobody else tells the hosts of other leases what time does to them from then on.
    others_turn_at: Millis,
}

impl Drop for ActiveRenewal {
    fn drop(&mut self) {
        self.manager.registry().renewals.end(&self.lease);
        self.manager.changed.notify_all();
    }
}

/// Keeps the keeper's thread for an acquire that is under way.
pub(crate) struct Reservation(Arc<LeaseManager>);

impl Drop for Reservation {
    fn drop(&mut self) {
        self.0.registry().reserved -= 1;
        self.0.changed.notify_all();
    }
}

/// Somebody gives slots back by this call, until this ends or is dropped, as by a panic.
struct ActiveReleaseGuard {
    manager: Arc<LeaseManager>,
    call: Option<Arc<Call>>,
}

impl ActiveReleaseGuard {
    fn end(mut self, registry: &mut Registry) -> Interruption {
        self.call.take().map(|call| registry.releases.end(&call)).unwrap_or_default()
    }
}

impl Drop for ActiveReleaseGuard {
    fn drop(&mut self) {
        if let Some(call) = self.call.take() {
            self.manager.registry().releases.end(&call);
        }
    }
}

/// The keeper's thread that gives slots back goes on with its own work after a panic, and is not counted any more.
struct UncountedByPanic<'a>(&'a LeaseManager);

impl Drop for UncountedByPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.registry().release_threads -= 1;
        }
    }
}

/// A slot that a verb is about to take. When dropped, it is given back again if a lease has left it.
pub(crate) struct SuspendedRelease {
    manager: Arc<LeaseManager>,
    slot: SlotName,
}

impl SuspendedRelease {
    /// The verb has taken the slot for its host: the leases that are meant do not give it back.
    pub(crate) fn finish_acquire(&self, is_meant: impl Fn(&LeaseInner) -> bool) {
        self.manager.registry().releases.forget(&self.slot, is_meant);
    }
}

impl Drop for SuspendedRelease {
    fn drop(&mut self) {
        self.manager.registry().releases.resume(&self.slot);
        self.manager.changed.notify_all();
    }
}

impl LeaseManager {
    pub(crate) fn new(shared: Shared) -> LeaseManager {
        let clock_mark_at = AtomicI64::new(shared.clock.now().saturating_add(CLOCK_MARK_INTERVAL_MS));
        LeaseManager { shared, registry: Mutex::default(), changed: Condvar::new(), clock_mark_at }
    }

    fn registry(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A number for a lease that is going to be.
    pub(crate) fn next_id(&self) -> u64 {
        let mut registry = self.registry();
        registry.last_id += 1;
        registry.last_id
    }

    /// The lease of this number, while somebody holds it.
    pub(crate) fn find(&self, id: u64) -> Option<Arc<LeaseInner>> {
        self.registry().leases.iter().find(|lease| lease.id == id).cloned()
    }

    /// Where the holders of a slot meet.
    pub(crate) fn process_lock(&self, name: &str) -> ProcessLock {
        if let Some(folder) = &self.shared.client.config().storage_dir {
            return ProcessLock::on_disk(folder, name);
        }
        let mut registry = self.registry();
        match registry.shares.iter().find(|(known, _)| known == name) {
            Some((_, process_lock)) => process_lock.clone(),
            None => {
                let process_lock = ProcessLock::in_memory();
                registry.shares.push((name.to_owned(), process_lock.clone()));
                process_lock
            }
        }
    }

    /// The leases that somebody holds.
    pub(crate) fn leases(&self) -> Vec<Arc<LeaseInner>> {
        self.registry().leases.clone()
    }

    /// Starts the thread that a lease is going to need, before the server is asked for its slots.
    ///
    /// # Errors
    /// No thread can be started.
    pub(crate) fn reserve(self: &Arc<LeaseManager>, keep_alive: KeepAlive) -> Result<Reservation, Error> {
        let mut registry = self.registry();
        if keep_alive == KeepAlive::Thread && registry.main_thread == MainThread::Absent && !registry.closed {
            self.start_main_thread(&mut registry)?;
        }
        registry.reserved += 1;
        Ok(Reservation(Arc::clone(self)))
    }

    /// Starts a thread that waits for what is due.
    fn start_main_thread(self: &Arc<LeaseManager>, registry: &mut Registry) -> Result<(), Error> {
        let (manager, mut role) = (Arc::clone(self), ThreadRole::Main);
        start(&self.shared, move || manager.run(&mut role))?;
        registry.main_thread = MainThread::Waiting;
        Ok(())
    }

    /// Looks after a lease from now on. False if the client was closed meanwhile.
    pub(crate) fn keep(self: &Arc<LeaseManager>, lease: &Arc<LeaseInner>) -> bool {
        let mut registry = self.registry();
        if registry.closed {
            return false;
        }
        registry.leases.push(Arc::clone(lease));
        if registry.main_thread == MainThread::Requesting && lease.keep_alive == KeepAlive::Thread {
            // The lease may not wait for what another one asks. If no thread can be started, it must.
            let _ = self.start_main_thread(&mut registry);
        }
        self.changed.notify_all();
        true
    }

    /// If it is not settled that the slots of a lease are given back, they are given back again in the background.
    pub(crate) fn repeat_release_later(self: &Arc<LeaseManager>, lease: &Arc<LeaseInner>) {
        if lease.repeat_release_until().is_some() {
            self.add_repeat(lease, ReleaseTarget::OwnSlots);
        }
    }

    /// Gives back what the records of the license of this lease say that nobody holds. False if that is not settled.
    pub(crate) fn release_orphans(&self, lease: &LeaseInner, call: &Call) -> bool {
        let process_lock = |name: &str| self.process_lock(name);
        let folder = self.shared.client.config().storage_dir.as_deref();
        folder.is_none_or(|folder| lease.release_orphans(&self.shared, call, &process_lock, folder))
    }

    /// Gives back in the background what the records of the license of this lease say that nobody holds.
    pub(crate) fn release_orphans_later(self: &Arc<LeaseManager>, lease: &Arc<LeaseInner>) {
        self.add_repeat(lease, ReleaseTarget::OrphanedSlots);
    }

    /// If a question about the license may have left a slot of it, that is given back in the background.
    pub(crate) fn release_orphaned_license_slot(self: &Arc<LeaseManager>, lease: &Arc<LeaseInner>) {
        if lease.take_orphaned_license_slot() {
            self.release_orphans_later(lease);
        }
    }

    fn add_repeat(self: &Arc<LeaseManager>, lease: &Arc<LeaseInner>, what: ReleaseTarget) {
        if lease.keep_alive == KeepAlive::Thread && !lease.release_on_close.is_zero() {
            let mut registry = self.registry();
            registry.releases.add_repeat(Arc::clone(lease), what, self.shared.clock.now());
            self.start_release_thread(&mut registry);
            self.changed.notify_all();
        }
    }

    /// The host has let go of a lease. Its slots are given back without him, if he lets us.
    pub(crate) fn drop_lease(self: &Arc<LeaseManager>, lease: &Arc<LeaseInner>) {
        let mut registry = self.registry();
        registry.leases.retain(|kept| !Arc::ptr_eq(kept, lease));
        // Nor is it renewed by who has begun to look after it.
        lease.end(&self.shared);
        if lease.may_be_held_at_server() {
            self.release_in_background(&mut registry, vec![Arc::clone(lease)]);
        }
        self.changed.notify_all();
    }

    /// Keeps slots of these names from being given back, because they are wanted again. True if one was going to be.
    pub(crate) fn reclaim(&self, names: &[String]) -> bool {
        self.registry().releases.reclaim(names)
    }

    /// Keeps a slot from being given back in the background while a verb is about to take it: a release that leaves after
    /// the verb would undo it. Whoever gives the slot back already is stopped.
    pub(crate) fn suspend(self: &Arc<LeaseManager>, call: &Call, slot: SlotName) -> SuspendedRelease {
        let mut registry = self.registry();
        if !registry.closed {
            registry.releases.suspend(&slot);
        }
        while registry.releases.stop(&slot) {
            drop(registry);
            let may_wait = call.sleep(STOP_POLL).is_ok();
            registry = self.registry();
            if !may_wait {
                break;
            }
        }
        drop(registry);
        SuspendedRelease { manager: Arc::clone(self), slot }
    }

    /// Ends it all. Waits for nothing.
    pub(crate) fn close(self: &Arc<LeaseManager>) {
        let mut registry = self.registry();
        registry.closed = true;
        registry.releases.resume_all();
        let leases = std::mem::take(&mut registry.leases);
        leases.iter().for_each(|lease| lease.end(&self.shared));
        self.release_in_background(&mut registry, leases);
        drop(registry);
        self.shared.events.close();
        self.changed.notify_all();
    }

    /// Leases, or the time, have changed by other hands.
    pub(crate) fn wake(&self) {
        let registry = self.registry();
        registry.leases.iter().for_each(|lease| lease.status().publish(&self.shared.clock));
        self.changed.notify_all();
    }

    /// Tells the hosts that keep their leases alive themselves what time has done to them.
    pub(crate) fn tick_host_leases(&self) -> bool {
        let hosts = |lease: &&Arc<LeaseInner>| lease.keep_alive == KeepAlive::Host;
        let leases: Vec<_> = self.registry().leases.iter().filter(hosts).cloned().collect();
        leases.iter().for_each(|lease| lease.tick(&self.shared));
        if !leases.is_empty() {
            self.save_clock_mark();
        }
        !leases.is_empty()
    }

    /// Keeps what the clock shows for leases that are borrowed, from time to time.
    pub(crate) fn save_clock_mark(&self) {
        if self.clock_mark_in_ms() <= 0 {
            let leases = self.registry().leases.clone();
            // Of a lease that is not borrowed there is little to keep, and its request may hang for long.
            let is_left = |lease: &&Arc<LeaseInner>| {
                !lease.save_clock_mark(&self.shared) && lease.status().state() == State::Borrowed
            };
            let next_ms =
                if leases.iter().filter(is_left).count() == 0 { CLOCK_MARK_INTERVAL_MS } else { CLOCK_MARK_RETRY_MS };
            self.clock_mark_at.store(self.shared.clock.now().saturating_add(next_ms), Ordering::Relaxed);
        }
    }

    fn clock_mark_in_ms(&self) -> i64 {
        self.clock_mark_at.load(Ordering::Relaxed).saturating_sub(self.shared.clock.now())
    }

    /// Books consumptions that wait, in the background: the server was just reached.
    pub(crate) fn sync_consumptions(self: &Arc<LeaseManager>, lease: &Arc<LeaseInner>) {
        let is_online = lease.status().state() == State::Active;
        if lease.keep_alive != KeepAlive::Thread
            || !is_online
            || !consumption::may_have_any(&self.shared, lease.license_ref())
        {
            return;
        }
        let mut registry = self.registry();
        if registry.is_syncing || registry.closed {
            return;
        }
        let (manager, lease) = (Arc::clone(self), Arc::clone(lease));
        let run = move || {
            consumption::sync_in_background(&manager.shared, lease.license_ref(), lease.timeout);
            manager.registry().is_syncing = false;
        };
        registry.is_syncing = start(&self.shared, run).is_ok();
    }

    fn run(self: &Arc<LeaseManager>, role: &mut ThreadRole) {
        while let Some(task) = self.next_task(role) {
            match task {
                Task::Renew(active_renewal) => self.renew_due(&active_renewal),
                Task::Mark => self.save_clock_mark(),
            }
        }
    }

    /// Gives back what is to be given back now, if no thread could be started for it.
    fn release_on_this_thread<'a>(
        self: &'a Arc<LeaseManager>,
        mut registry: MutexGuard<'a, Registry>,
    ) -> MutexGuard<'a, Registry> {
        if registry.release_threads == 0 && registry.releases.may_go_on(self.shared.clock.now()) {
            registry.release_threads += 1;
            drop(registry);
            let uncount = UncountedByPanic(self);
            registry = self.run_releases(false, None);
            registry.release_threads -= 1;
            drop(uncount);
        }
        registry
    }

    /// What is due, once something is; `None` when nobody wants this thread any more.
    fn next_task(self: &Arc<LeaseManager>, role: &mut ThreadRole) -> Option<Task> {
        let mut registry = self.registry();
        if *role == ThreadRole::Requesting {
            *role = if registry.main_thread == MainThread::Requesting { ThreadRole::Main } else { ThreadRole::Helper };
        }
        if *role == ThreadRole::Helper {
            let lease = registry.renewals.begin(self.shared.clock.now())?;
            return Some(Task::Renew(self.active_renewal(lease, Millis::MAX)));
        }
        registry.main_thread = MainThread::Waiting;
        loop {
            registry = self.release_on_this_thread(registry);
            let kept: Vec<_> =
                registry.leases.iter().filter(|lease| lease.keep_alive == KeepAlive::Thread).cloned().collect();
            // What no thread of its own gives back again is this thread's to give back.
            let repeat_release_until = registry.releases.next_repeat_at().filter(|_| registry.release_threads == 0);
            let is_left_to_us = registry.release_threads == 0 && !registry.releases.is_empty();
            if registry.closed || registry.reserved == 0 && kept.is_empty() && !is_left_to_us {
                registry.main_thread = MainThread::Absent;
                return None;
            }
            let now = self.shared.clock.now();
            registry.renewals.add_due(&kept, now);
            if let Some(lease) = registry.renewals.begin(now) {
                return Some(Task::Renew(self.begin_renewal(&mut registry, role, &kept, lease)));
            }
            let others: Vec<_> = kept.iter().filter(|lease| !registry.renewals.has(lease)).collect();
            self.tick_all(others.iter().copied(), now);
            // A machine that slept may have had its request interrupted, and one that is due may wait for the answer to
            // another: their hosts wait to be told.
            self.tick_all(registry.renewals.all(), now.saturating_sub(OVERDUE_MS));
            let next_transition_at = |lease: &Arc<LeaseInner>| lease.status().state_machine().next_transition_at();
            let told_at =
                registry.renewals.all().filter_map(next_transition_at).map(|at| at.saturating_add(OVERDUE_MS));
            let wakes_at = others.iter().filter_map(|lease| lease.status().state_machine().wake_at());
            let wakes_at =
                wakes_at.chain(told_at).chain(repeat_release_until).chain(registry.renewals.begins_at()).min();
            let left_ms = wakes_at.map_or(Millis::MAX, |at| at.saturating_sub(now)).min(self.clock_mark_in_ms());
            if self.clock_mark_in_ms() <= 0 {
                return Some(Task::Mark);
            }
            let nap = LONGEST_SLEEP.min(Duration::from_millis(left_ms.max(0).unsigned_abs()));
            registry = self.changed.wait_timeout(registry, nap).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Begins to renew a lease. Another thread waits for what is due meanwhile, if there are other leases.
    fn begin_renewal(
        self: &Arc<LeaseManager>,
        registry: &mut Registry,
        role: &mut ThreadRole,
        kept: &[Arc<LeaseInner>],
        lease: Arc<LeaseInner>,
    ) -> ActiveRenewal {
        let mut others = kept.iter().filter(|other| !Arc::ptr_eq(other, &lease)).peekable();
        if others.peek().is_some() && self.start_main_thread(registry).is_ok() {
            *role = ThreadRole::Helper;
            return self.active_renewal(lease, Millis::MAX);
        }
        (*role, registry.main_thread) = (ThreadRole::Requesting, MainThread::Requesting);
        // Those that are asked about have threads of their own, which tell their hosts.
        let others = others.filter(|other| !registry.renewals.is_active(other));
        let others_turn_at = others.filter_map(|other| other.status().state_machine().wake_at()).min();
        self.active_renewal(lease, others_turn_at.unwrap_or(Millis::MAX))
    }

    fn active_renewal(self: &Arc<LeaseManager>, lease: Arc<LeaseInner>, others_turn_at: Millis) -> ActiveRenewal {
        ActiveRenewal { manager: Arc::clone(self), lease, others_turn_at }
    }

    /// Tells the hosts of these leases what time alone has done to them until then.
    fn tick_all<'a>(&self, leases: impl IntoIterator<Item = &'a Arc<LeaseInner>>, until: Millis) {
        let has_turned = |lease: &&Arc<LeaseInner>| {
            lease.status().state_machine().next_transition_at().is_some_and(|at| at <= until)
        };
        leases.into_iter().filter(has_turned).for_each(|lease| lease.tick(&self.shared));
    }

    /// Renews first and reports second, so that after a sleep the host hears of a loss only if there is one.
    fn renew_due(self: &Arc<LeaseManager>, active_renewal: &ActiveRenewal) {
        let lease = &active_renewal.lease;
        let now = self.shared.clock.now();
        if lease.status().state_machine().renewal_window_open(now) {
            match self.renew(lease, renewal_timeout(lease, active_renewal.others_turn_at, now)) {
                Ok(()) => self.sync_consumptions(lease),
                Err(error) => {
                    if is_network_error(&error) {
                        self.registry().renewals.note_unreachable();
                    }
                    // A lease that is lost may have given slots back.
                    self.repeat_release_later(lease);
                }
            }
            self.release_orphaned_license_slot(lease);
        }
        lease.tick(&self.shared);
    }

    fn renew(&self, lease: &LeaseInner, timeout: Duration) -> Result<(), Error> {
        let in_flight = self.shared.client.begin(Waiter::Keeper, timeout);
        lease.ask(&in_flight.call, &mut || lease.renew(&self.shared, &in_flight.call, lease.timeout))
    }

    /// Gives the slots of these leases back in the background, if there is a thread to do it.
    fn release_in_background(self: &Arc<LeaseManager>, registry: &mut Registry, leases: Vec<Arc<LeaseInner>>) {
        let wants =
            |lease: &Arc<LeaseInner>| lease.keep_alive == KeepAlive::Thread && !lease.release_on_close.is_zero();
        let (reclaimed, unwanted): (Vec<_>, Vec<_>) = leases.into_iter().partition(wants);
        unwanted.iter().for_each(|lease| lease.abandon(&lease.slot_names));
        registry.releases.add_pending(reclaimed);
        self.start_release_thread(registry);
        // Without a thread of its own, the keeper's thread does it between renewals.
        if registry.release_threads == 0 && registry.main_thread == MainThread::Absent {
            registry.releases.abandon_pending();
        }
    }

    /// Starts a thread that gives slots back, if there are any and nobody does. If all who do may be waiting for answers,
    /// it is one more that helps, unless they are done soon.
    fn start_release_thread(self: &Arc<LeaseManager>, registry: &mut Registry) {
        let is_first = registry.release_threads == 0;
        // What is not to be given back yet may be before the others are done.
        let is_needed = !registry.releases.is_empty() && (is_first || !registry.release_thread_waits);
        let (manager, helps_after) = (Arc::clone(self), (!is_first).then_some(SIDE_BY_SIDE_AFTER));
        let run = move || manager.run_releases(true, helps_after).release_threads -= 1;
        if is_needed && start(&self.shared, run).is_ok() {
            registry.release_threads += 1;
            registry.release_thread_waits |= !is_first;
        }
    }

    /// Gives slots back until there are none left; waits for those that are to be given back again later if `may_wait`. A
    /// thread that helps others waits for them first. The caller, who has been counted, is not any more.
    fn run_releases(
        self: &Arc<LeaseManager>,
        may_wait: bool,
        helps_after: Option<Duration>,
    ) -> MutexGuard<'_, Registry> {
        let mut registry = self.registry();
        if let Some(pause) = helps_after {
            drop(registry);
            std::thread::sleep(pause);
            registry = self.registry();
            registry.release_thread_waits = false;
        }
        loop {
            let now = self.shared.clock.now();
            if let Some(lease) = registry.releases.pop_pending() {
                self.start_release_thread(&mut registry);
                registry = self.release_one(registry, lease);
            } else if let Some(repeats) = registry.releases.pop_due_repeat(now) {
                self.start_release_thread(&mut registry);
                registry = self.repeat_release(registry, repeats);
            } else if may_wait && !registry.releases.is_empty() && !registry.release_thread_waits {
                let left_ms = registry
                    .releases
                    .next_repeat_at()
                    .map_or(Millis::MAX, |next_repeat_at| next_repeat_at.saturating_sub(now));
                let nap = Duration::from_millis(left_ms.unsigned_abs()).min(LONGEST_SLEEP);
                registry.release_thread_waits = true;
                registry = self.changed.wait_timeout(registry, nap).unwrap_or_else(PoisonError::into_inner).0;
                registry.release_thread_waits = false;
            } else {
                break registry;
            }
        }
    }

    fn release_one<'a>(
        self: &'a Arc<LeaseManager>,
        mut registry: MutexGuard<'a, Registry>,
        lease: Arc<LeaseInner>,
    ) -> MutexGuard<'a, Registry> {
        lease.cancel_calls();
        let in_flight = self.shared.client.begin(Waiter::Nobody, lease.release_on_close);
        let releasing = self.begin_release(&mut registry, &lease, ReleaseTarget::OwnSlots, &in_flight.call);
        drop(registry);
        lease.release_after_close(&self.shared, &in_flight.call);
        registry = self.registry();
        let Interruption { reclaimed, is_stopped } = releasing.end(&mut registry);
        lease.abandon(&reclaimed);
        lease.stop_repeating_release(&reclaimed);
        if lease.may_be_held_at_server() && (is_stopped || !reclaimed.is_empty()) {
            registry.releases.add_pending(vec![lease]);
            return registry;
        }
        // What can't be given back in time is left to the next start.
        lease.abandon(&lease.slot_names);
        if lease.repeat_release_until().is_some() {
            registry.releases.add_repeat(lease, ReleaseTarget::OwnSlots, self.shared.clock.now());
        }
        registry
    }

    fn begin_release(
        self: &Arc<LeaseManager>,
        registry: &mut Registry,
        lease: &Arc<LeaseInner>,
        what: ReleaseTarget,
        call: &Arc<Call>,
    ) -> ActiveReleaseGuard {
        registry.releases.begin(lease, what, Arc::clone(call));
        ActiveReleaseGuard { manager: Arc::clone(self), call: Some(Arc::clone(call)) }
    }

    fn repeat_release<'a>(
        self: &'a Arc<LeaseManager>,
        mut registry: MutexGuard<'a, Registry>,
        repeats: RepeatedRelease,
    ) -> MutexGuard<'a, Registry> {
        let lease = Arc::clone(&repeats.lease);
        let in_flight = self.shared.client.begin(Waiter::Nobody, lease.timeout.max(lease.release_on_close));
        let releasing = self.begin_release(&mut registry, &lease, repeats.what, &in_flight.call);
        drop(registry);
        let is_settled = match repeats.what {
            ReleaseTarget::OwnSlots => {
                lease.repeat_release(&self.shared, &in_flight.call);
                false
            }
            ReleaseTarget::OrphanedSlots => self.release_orphans(&lease, &in_flight.call),
        };
        registry = self.registry();
        lease.stop_repeating_release(&releasing.end(&mut registry).reclaimed);
        registry.releases.tried_again(repeats, is_settled, self.shared.clock.now());
        registry
    }
}

/// Starts a thread of ours. A panic is a defect, but it must not end what keeps leases alive: it goes on after a pause.
fn start(shared: &Shared, mut run: impl FnMut() + Send + 'static) -> Result<(), Error> {
    let guard = shared.guard;
    let body = move || {
        while guard(&mut run).is_err() {
            std::thread::sleep(AFTER_PANIC);
        }
    };
    thread::start(Box::new(body)).map_err(|error| {
        Error::because(Status::Internal, format!("A thread to keep the lease alive can't be started: {error}."))
    })
}

/// As long as the host wants to wait, but not past the moment when he must be told something, nor past that of other
/// leases.
fn renewal_timeout(lease: &LeaseInner, others_turn_at: Millis, now: Millis) -> Duration {
    let timeout = timeout_of_all(lease.timeout, lease.slot_names.len() * MOST_REQUESTS);
    let limit = |left_ms: i64| timeout.min(Duration::from_millis(left_ms.max(LEAST_RENEWAL_TIMEOUT_MS).unsigned_abs()));
    let of_others = limit(others_turn_at.saturating_sub(now));
    let left_ms = lease.status().state_machine().next_transition_at().map_or(Millis::MAX, |at| at.saturating_sub(now));
    of_others.min(if left_ms <= 0 { limit(OVERDUE_MS) } else { limit(left_ms) })
}

/// Whether another request would fare no better. One that was never made, or was ended by the host, tells nothing.
fn is_network_error(error: &Error) -> bool {
    error.attempts > 0 && error.status != Status::Cancelled && error.status.row().category == Category::Network
}
