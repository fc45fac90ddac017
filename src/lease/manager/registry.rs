//! The leases of a client, and what the threads that serve them have in common.

use crate::lease::acquire_request::KeepAlive;
use crate::lease::consumption::Consumptions;
use crate::lease::context::Shared;
use crate::lease::lease_inner::LeaseInner;
use crate::lease::manager::release_queue::ReleaseQueue;
use crate::lease::manager::renewals::Renewals;
use crate::lease::state_machine::State;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The longest sleep of a thread. The system does not count the time that a machine was suspended, so a thread that slept
/// for hours would wake up late.
pub(super) const LONGEST_SLEEP: Duration = Duration::from_secs(10);
/// How often the time that the clock shows is stored for borrowed leases.
const CLOCK_MARK_INTERVAL_MS: i64 = 10 * 60 * 1000;
/// Retry delay when the slot was locked and the clock mark could not be saved.
const CLOCK_MARK_RETRY_MS: i64 = 1_000;

/// The leases of a client and the threads that serve them.
pub(crate) struct LeaseManager {
    pub(crate) shared: Arc<Shared>,
    pub(crate) consumptions: Arc<Consumptions>,
    registry: Mutex<Registry>,
    /// Signalled when the registry, or the time, has changed.
    pub(super) changed: Condvar,
    /// When the time that the clock shows is to be stored next.
    clock_mark_at: AtomicI64,
}

#[derive(Default)]
pub(super) struct Registry {
    /// The leases that have a handle.
    pub(super) leases: Vec<Arc<LeaseInner>>,
    last_id: u64,
    pub(super) releases: ReleaseQueue,
    /// The number of acquires under way that are going to need the main thread.
    pub(super) reserved: usize,
    /// The leases of acquires that are under way.
    pub(super) acquiring: Vec<Arc<LeaseInner>>,
    pub(super) renewals: Renewals,
    pub(super) main_thread: MainThread,
    /// The number of threads that release slots.
    pub(super) release_threads: usize,
    /// True if one of them waits, for a release that is not due yet or for the others to finish.
    pub(super) release_thread_waits: bool,
    pub(super) closed: bool,
}

/// The state of the main thread, which waits until a lease is due.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum MainThread {
    /// There is none: no lease needs it.
    #[default]
    Absent,
    /// It waits, or is about to.
    Waiting,
    /// It renews the only lease, and waits again afterwards.
    Renewing,
}

impl Registry {
    /// The leases that the host does not keep alive itself, and that are not over.
    pub(super) fn kept_by_library(&self) -> Vec<Arc<LeaseInner>> {
        let is_kept = |lease: &&Arc<LeaseInner>| {
            lease.keep_alive == KeepAlive::Thread && lease.status().state() != State::Released
        };
        self.leases.iter().filter(is_kept).cloned().collect()
    }
}

impl LeaseManager {
    pub(crate) fn new(shared: Shared) -> LeaseManager {
        let clock_mark_at = AtomicI64::new(shared.clock.now().saturating_add(CLOCK_MARK_INTERVAL_MS));
        let shared = Arc::new(shared);
        let consumptions = Arc::new(Consumptions::new(Arc::clone(&shared)));
        LeaseManager { shared, consumptions, registry: Mutex::default(), changed: Condvar::new(), clock_mark_at }
    }

    pub(super) fn registry(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A number for a new lease.
    pub(crate) fn next_id(&self) -> u64 {
        let mut registry = self.registry();
        registry.last_id += 1;
        registry.last_id
    }

    /// The lease of this number, while it has a handle.
    pub(crate) fn find(&self, id: u64) -> Option<Arc<LeaseInner>> {
        self.registry().leases.iter().find(|lease| lease.label.id == id).cloned()
    }

    /// The leases that have a handle.
    pub(crate) fn leases(&self) -> Vec<Arc<LeaseInner>> {
        self.registry().leases.clone()
    }

    /// Publishes the leases again and wakes the threads, because a lease or the clock was changed from outside.
    pub(crate) fn wake(&self) {
        let registry = self.registry();
        registry.leases.iter().for_each(|lease| lease.status().publish(&self.shared.clock));
        self.changed.notify_all();
    }

    /// Applies the passing of time to the leases that their hosts keep alive. Returns whether there are any.
    pub(crate) fn tick_host_leases(&self) -> bool {
        let of_hosts = |lease: &&Arc<LeaseInner>| lease.keep_alive == KeepAlive::Host;
        let leases: Vec<_> = self.registry().leases.iter().filter(of_hosts).cloned().collect();
        leases.iter().for_each(|lease| lease.tick());
        if !leases.is_empty() {
            self.save_clock_mark();
        }
        !leases.is_empty()
    }

    /// Stores the time that the clock shows for borrowed leases, if that is due.
    pub(crate) fn save_clock_mark(&self) {
        if self.clock_mark_in_ms() <= 0 {
            let leases = self.leases();
            // A lease that is not borrowed is not waited for: it stores little, and its request may hang for long.
            let is_missed =
                |lease: &&Arc<LeaseInner>| !lease.save_clock_mark() && lease.status().state() == State::Borrowed;
            let all_saved = leases.iter().filter(is_missed).count() == 0;
            let next_ms = if all_saved { CLOCK_MARK_INTERVAL_MS } else { CLOCK_MARK_RETRY_MS };
            self.clock_mark_at.store(self.shared.clock.now().saturating_add(next_ms), Ordering::Relaxed);
        }
    }

    /// Milliseconds until the time that the clock shows is to be stored.
    pub(super) fn clock_mark_in_ms(&self) -> i64 {
        self.clock_mark_at.load(Ordering::Relaxed).saturating_sub(self.shared.clock.now())
    }
}
