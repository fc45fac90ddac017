//! The main thread, which renews leases in time and applies the passing of time to them, and its helpers.
//!
//! A request may hang. If there are other leases, a second thread therefore takes over the waiting before the main thread
//! sends a request: time passes for each lease, whatever becomes of the requests of others.

use crate::error::Error;
use crate::http::Waiter;
use crate::lease::acquire_request::KeepAlive;
use crate::lease::lease_inner::{LeaseInner, MOST_REQUESTS, timeout_of_all};
use crate::lease::manager::registry::{LONGEST_SLEEP, LeaseManager, MainThread, Registry};
use crate::lease::state_machine::{Millis, State};
use crate::status::{Category, Status};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

/// The shortest time limit of a renewal, however near the moment at which its answer would come too late.
const LEAST_RENEWAL_TIMEOUT_MS: i64 = 100;
/// The longest time limit of a renewal when that moment has passed, as after a sleep of the machine. The host waits to
/// hear what has become of its lease.
const OVERDUE_MS: i64 = 5_000;

/// The job of a thread that renews leases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ThreadRole {
    /// It is the main thread, which waits for what is due.
    Main,
    /// It is the main thread and renews a lease. If another thread has become the main thread meanwhile, it is a helper
    /// afterwards.
    MainRenewing,
    /// It renews what is due now, and then ends; another thread is the main thread.
    Helper,
}

enum Task {
    Renew(ActiveRenewal),
    SaveClockMark,
}

/// A renewal that is under way until this is dropped.
struct ActiveRenewal {
    manager: Arc<LeaseManager>,
    lease: Arc<LeaseInner>,
    /// The next moment at which another lease needs this thread, if no other thread waits.
    needed_at: Millis,
}

impl Drop for ActiveRenewal {
    fn drop(&mut self) {
        self.manager.registry().renewals.end(&self.lease);
        if std::thread::panicking() {
            // Nothing else would apply the passing of time, if each renewal panics.
            self.lease.tick();
        }
        self.manager.changed.notify_all();
    }
}

/// Keeps the main thread from ending while an acquire is under way.
pub(crate) struct Reservation(Arc<LeaseManager>);

impl Drop for Reservation {
    fn drop(&mut self) {
        self.0.registry().reserved -= 1;
        self.0.changed.notify_all();
    }
}

impl LeaseManager {
    /// Starts the thread that a lease is going to need, before the server is asked for its slots.
    ///
    /// # Errors
    /// No thread can be started.
    pub(crate) fn reserve(self: &Arc<LeaseManager>, keep_alive: KeepAlive) -> Result<Reservation, Error> {
        let mut registry = self.registry();
        let needs_thread = keep_alive == KeepAlive::Thread && !self.shared.has_no_threads();
        if needs_thread && registry.main_thread == MainThread::Absent && !registry.closed {
            self.start_main_thread(&mut registry)?;
        }
        registry.reserved += 1;
        Ok(Reservation(Arc::clone(self)))
    }

    /// Keeps a lease alive from now on. False if the client was closed meanwhile, or everything is being released.
    pub(crate) fn add_lease(self: &Arc<LeaseManager>, lease: &Arc<LeaseInner>) -> bool {
        let mut registry = self.registry();
        if registry.closed || registry.releases.is_taken_over() {
            return false;
        }
        registry.leases.push(Arc::clone(lease));
        if registry.main_thread == MainThread::Renewing && lease.keep_alive == KeepAlive::Thread {
            // The lease must not wait for another one's answer. If no thread can be started, it has to.
            let _ = self.start_main_thread(&mut registry);
        }
        self.changed.notify_all();
        true
    }

    fn start_main_thread(self: &Arc<LeaseManager>, registry: &mut Registry) -> Result<(), Error> {
        let (manager, mut role) = (Arc::clone(self), ThreadRole::Main);
        self.shared.start_thread(move || manager.run(&mut role))?;
        registry.main_thread = MainThread::Waiting;
        Ok(())
    }

    fn run(self: &Arc<LeaseManager>, role: &mut ThreadRole) {
        while let Some(task) = self.next_task(role) {
            match task {
                Task::Renew(renewal) => self.renew_due(&renewal),
                Task::SaveClockMark => self.save_clock_mark(),
            }
        }
    }

    /// Waits for the next task; `None` when this thread is not needed any more.
    fn next_task(self: &Arc<LeaseManager>, role: &mut ThreadRole) -> Option<Task> {
        let mut registry = self.registry();
        if *role == ThreadRole::MainRenewing {
            let is_replaced = registry.main_thread != MainThread::Renewing;
            *role = if is_replaced { ThreadRole::Helper } else { ThreadRole::Main };
        }
        if *role == ThreadRole::Helper {
            let lease = registry.renewals.begin(self.shared.clock.now())?;
            return Some(Task::Renew(self.active_renewal(lease, Millis::MAX)));
        }
        registry.main_thread = MainThread::Waiting;
        loop {
            registry = self.release_on_this_thread(registry);
            let kept = registry.kept_by_library();
            // Without a release thread, releases are this thread's job.
            let must_release = registry.release_threads == 0 && !registry.releases.is_empty();
            if registry.closed || registry.reserved == 0 && kept.is_empty() && !must_release {
                registry.main_thread = MainThread::Absent;
                return None;
            }
            let now = self.shared.clock.now();
            registry.renewals.add_due(&kept, now);
            if let Some(lease) = registry.renewals.begin(now) {
                return Some(Task::Renew(self.begin_renewal(&mut registry, role, &kept, lease)));
            }
            self.tick_leases(&registry, &kept, now);
            if self.clock_mark_in_ms() <= 0 {
                return Some(Task::SaveClockMark);
            }
            let sleep = LONGEST_SLEEP.min(self.time_until_due(&registry, &kept, now));
            registry = self.changed.wait_timeout(registry, sleep).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Applies the passing of time to each lease that needs it.
    ///
    /// A lease that is being renewed, or waits for it, hears of the time later: its answer may be on the way. After a
    /// sleep of the machine that answer may never come, so it does not wait for long.
    fn tick_leases(&self, registry: &Registry, kept: &[Arc<LeaseInner>], now: Millis) {
        let others: Vec<_> = kept.iter().filter(|lease| !registry.renewals.has(lease)).collect();
        tick_all(others, now);
        tick_all(registry.renewals.all(), now.saturating_sub(OVERDUE_MS));
    }

    /// The time until the next renewal, transition, release or clock mark.
    fn time_until_due(&self, registry: &Registry, kept: &[Arc<LeaseInner>], now: Millis) -> Duration {
        let others = kept.iter().filter(|lease| !registry.renewals.has(lease));
        let wakes = others.filter_map(|lease| lease.status().state_machine().wake_at());
        let next_transition_at = |lease: &Arc<LeaseInner>| lease.status().state_machine().next_transition_at();
        let ticks = registry.renewals.all().filter_map(next_transition_at).map(|at| at.saturating_add(OVERDUE_MS));
        let release_at = registry.releases.next_repeat_at().filter(|_| registry.release_threads == 0);
        let due_at = wakes.chain(ticks).chain(release_at).chain(registry.renewals.begins_at()).min();
        let left_ms = due_at.map_or(Millis::MAX, |at| at.saturating_sub(now)).min(self.clock_mark_in_ms());
        Duration::from_millis(left_ms.max(0).unsigned_abs())
    }

    /// Begins to renew a lease. If there are other leases, another thread waits for what is due meanwhile.
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
        (*role, registry.main_thread) = (ThreadRole::MainRenewing, MainThread::Renewing);
        self.renewal_without_helper(registry, kept, lease)
    }

    /// A renewal that ends when another lease needs its thread.
    fn renewal_without_helper(
        self: &Arc<LeaseManager>,
        registry: &Registry,
        kept: &[Arc<LeaseInner>],
        lease: Arc<LeaseInner>,
    ) -> ActiveRenewal {
        // A lease that is being renewed has a thread of its own.
        let is_other = |other: &&Arc<LeaseInner>| !Arc::ptr_eq(other, &lease) && !registry.renewals.is_active(other);
        let others = kept.iter().filter(is_other);
        let needed_at = others.filter_map(|other| other.status().state_machine().wake_at()).min();
        self.active_renewal(lease, needed_at.unwrap_or(Millis::MAX))
    }

    /// Does the next thing that is due on this thread, which is the host's. False if nothing is due.
    pub(crate) fn work(self: &Arc<LeaseManager>) -> bool {
        self.tick_host_leases();
        if self.release_next_due() {
            return true;
        }
        let mut registry = self.registry();
        let now = self.shared.clock.now();
        let kept = registry.kept_by_library();
        registry.renewals.add_due(&kept, now);
        if let Some(lease) = registry.renewals.begin(now) {
            let renewal = self.renewal_without_helper(&registry, &kept, lease);
            drop(registry);
            self.renew_due(&renewal);
            return true;
        }
        self.tick_leases(&registry, &kept, now);
        drop(registry);
        self.save_clock_mark();
        false
    }

    /// Returns the time until [`LeaseManager::work`] has something to do, if nothing happens before; `None` without a lease.
    pub(crate) fn time_until_work(&self) -> Option<Duration> {
        let (registry, now) = (self.registry(), self.shared.clock.now());
        if registry.releases.is_any_due(now) {
            return Some(Duration::ZERO);
        }
        let is_idle = registry.leases.is_empty() && registry.releases.is_empty();
        (!is_idle).then(|| self.time_until_due(&registry, &registry.kept_by_library(), now))
    }

    fn active_renewal(self: &Arc<LeaseManager>, lease: Arc<LeaseInner>, needed_at: Millis) -> ActiveRenewal {
        ActiveRenewal { manager: Arc::clone(self), lease, needed_at }
    }

    /// Renews the lease first and applies the time second, so that after a sleep the host hears of a loss only if there
    /// is one.
    fn renew_due(self: &Arc<LeaseManager>, renewal: &ActiveRenewal) {
        let lease = &renewal.lease;
        let now = self.shared.clock.now();
        if lease.status().state_machine().renewal_window_open(now) {
            match self.renew(lease, renewal_timeout(lease, renewal.needed_at, now)) {
                Ok(()) => self.sync_consumptions(lease),
                Err(error) => {
                    if is_network_failure(&error) {
                        self.registry().renewals.note_unreachable();
                    }
                    // A lease that is lost may have released slots.
                    self.repeat_release_later(lease);
                }
            }
            self.release_stray_license_slot(lease);
        }
        lease.tick();
    }

    fn renew(&self, lease: &LeaseInner, timeout: Duration) -> Result<(), Error> {
        let in_flight = self.shared.client.begin(Waiter::Library, timeout);
        lease.cancellable(&in_flight.call, || lease.renew(&in_flight.call, lease.timeout))
    }

    /// Sends queued consumptions in the background, because the server was just reached.
    pub(crate) fn sync_consumptions(&self, lease: &LeaseInner) {
        let is_online = lease.status().state() == State::Active;
        let is_kept = lease.keep_alive == KeepAlive::Thread;
        if is_kept && is_online {
            self.consumptions.sync_now(lease.license_ref(), lease.timeout);
        }
    }
}

/// Applies the passing of time to the leases whose next transition is due by then.
fn tick_all<'a>(leases: impl IntoIterator<Item = &'a Arc<LeaseInner>>, by: Millis) {
    let is_due = |lease: &&Arc<LeaseInner>| {
        lease.status().state_machine().next_transition_at().is_some_and(|transition_at| transition_at <= by)
    };
    leases.into_iter().filter(is_due).for_each(|lease| lease.tick());
}

/// The time limit of a renewal: as long as the host wants to wait, but not past the moment when the host must hear of a
/// transition, nor past the moment when other leases need this thread.
fn renewal_timeout(lease: &LeaseInner, needed_at: Millis, now: Millis) -> Duration {
    let timeout = timeout_of_all(lease.timeout, lease.slot_names.len() * MOST_REQUESTS);
    let limit = |left_ms: i64| timeout.min(Duration::from_millis(left_ms.max(LEAST_RENEWAL_TIMEOUT_MS).unsigned_abs()));
    let until_needed = limit(needed_at.saturating_sub(now));
    let next_transition_at = lease.status().state_machine().next_transition_at();
    let left_ms = next_transition_at.map_or(Millis::MAX, |at| at.saturating_sub(now));
    until_needed.min(if left_ms <= 0 { limit(OVERDUE_MS) } else { limit(left_ms) })
}

/// Returns whether another request would fail too. A request that was never made, or was cancelled, tells nothing.
fn is_network_failure(error: &Error) -> bool {
    let is_of_network = error.status != Status::Cancelled && error.status.row().category == Category::Network;
    error.attempts > 0 && (is_of_network || error.status == Status::OutOfResources)
}
