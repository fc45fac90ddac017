//! The threads that release slots in the background: of leases that were closed, and once more where a release may have
//! been undone by a late request.

use crate::http::{Call, Waiter};
use crate::lease::lease_inner::LeaseInner;
use crate::lease::manager::registry::{LONGEST_SLEEP, LeaseManager, MainThread, Registry};
use crate::lease::manager::release_queue::{Interruption, ReleaseTarget, RepeatedRelease, SlotName};
use crate::lease::manager::renewals::SIDE_BY_SIDE_AFTER;
use crate::lease::state_machine::Millis;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

/// How often a verb looks whether the release that it has stopped has ended.
const STOP_POLL: Duration = Duration::from_millis(5);

/// A release that is under way by `call` until this is ended or dropped, as by a panic.
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

/// After a panic the main thread goes on with its own work, and is not counted as a release thread any more.
struct UncountedByPanic<'a>(&'a LeaseManager);

impl Drop for UncountedByPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.registry().release_threads -= 1;
        }
    }
}

/// Keeps a slot from being released in the background while a verb takes it. When dropped, releases go on.
pub(crate) struct SuspendedRelease {
    manager: Arc<LeaseManager>,
    slot: SlotName,
}

impl SuspendedRelease {
    /// The verb has taken the slot for the host, so the leases that are meant do not release it.
    pub(crate) fn taken(&self, is_meant: impl Fn(&LeaseInner) -> bool) {
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
    /// Drops a lease whose handle was closed. Its slots are released in the background, if its host allows that.
    pub(crate) fn drop_lease(self: &Arc<LeaseManager>, lease: &Arc<LeaseInner>) {
        let mut registry = self.registry();
        registry.leases.retain(|kept| !Arc::ptr_eq(kept, lease));
        // A renewal that is under way must not continue it.
        lease.mark_released();
        if lease.may_be_held_at_server() {
            self.release_in_background(&mut registry, vec![Arc::clone(lease)]);
        }
        self.changed.notify_all();
    }

    /// Drops all leases and ends all threads. Waits for nothing.
    pub(crate) fn close(self: &Arc<LeaseManager>) {
        let mut registry = self.registry();
        registry.closed = true;
        registry.releases.resume_all();
        let leases = std::mem::take(&mut registry.leases);
        leases.iter().for_each(|lease| lease.mark_released());
        self.release_in_background(&mut registry, leases);
        drop(registry);
        self.consumptions.close();
        self.shared.events.close();
        self.changed.notify_all();
    }

    /// Keeps slots of these names from being released, because a new lease takes them. Returns whether one was about to
    /// be released, so that the server may have freed it.
    pub(crate) fn reclaim(&self, names: &[String]) -> bool {
        self.registry().releases.reclaim(names)
    }

    /// Keeps a slot from being released in the background while a verb takes it, because a release that leaves after the
    /// verb would undo it. Stops a release that is under way, and waits for its end as long as `call` lasts.
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

    /// Repeats the release of a lease in the background, if a late request may undo it.
    pub(crate) fn repeat_release_later(self: &Arc<LeaseManager>, lease: &Arc<LeaseInner>) {
        if lease.repeat_release_until().is_some() {
            self.add_repeat(lease, ReleaseTarget::OwnSlots);
        }
    }

    /// Releases in the background what dead processes have left of the license of this lease.
    pub(crate) fn release_orphans_later(self: &Arc<LeaseManager>, lease: &Arc<LeaseInner>) {
        self.add_repeat(lease, ReleaseTarget::OrphanedSlots);
    }

    /// Releases in the background a slot of the license that a check, whose answer was lost, may have taken.
    pub(crate) fn release_stray_license_slot(self: &Arc<LeaseManager>, lease: &Arc<LeaseInner>) {
        if lease.pop_stray_license_slot() {
            self.release_orphans_later(lease);
        }
    }

    fn add_repeat(self: &Arc<LeaseManager>, lease: &Arc<LeaseInner>, target: ReleaseTarget) {
        if lease.may_be_released_in_background() {
            let mut registry = self.registry();
            registry.releases.add_repeat(Arc::clone(lease), target, self.shared.clock.now());
            self.start_release_thread(&mut registry);
            self.changed.notify_all();
        }
    }

    /// Releases the slots of these leases in the background, if there is a thread for it, or lets the call do it that
    /// releases everything.
    fn release_in_background(self: &Arc<LeaseManager>, registry: &mut Registry, leases: Vec<Arc<LeaseInner>>) {
        registry.releases.add_pending(leases);
        self.start_release_thread(registry);
        // Without a release thread, the main thread or the host releases slots between renewals.
        let has_other = registry.main_thread != MainThread::Absent || self.shared.has_no_threads() && !registry.closed;
        if registry.release_threads == 0 && !has_other && !registry.releases.is_taken_over() {
            registry.releases.abandon_pending();
        }
    }

    /// Starts a release thread, if there is something to release and no thread does it. If all release threads may be
    /// waiting for answers, one more helps, unless they finish soon.
    fn start_release_thread(self: &Arc<LeaseManager>, registry: &mut Registry) {
        let is_first = registry.release_threads == 0;
        // A release that is not due yet may be due before the other threads have their answers.
        let is_needed = !registry.releases.is_empty() && (is_first || !registry.release_thread_waits);
        let (manager, helps_after) = (Arc::clone(self), (!is_first).then_some(SIDE_BY_SIDE_AFTER));
        let run = move || manager.run_releases(true, helps_after).release_threads -= 1;
        if is_needed && self.shared.start_thread(run).is_ok() {
            registry.release_threads += 1;
            registry.release_thread_waits |= !is_first;
        }
    }

    /// Releases what is due on the calling thread, if no thread could be started for it.
    pub(super) fn release_on_this_thread<'a>(
        self: &'a Arc<LeaseManager>,
        mut registry: MutexGuard<'a, Registry>,
    ) -> MutexGuard<'a, Registry> {
        if registry.release_threads == 0 && registry.releases.is_any_due(self.shared.clock.now()) {
            registry.release_threads += 1;
            drop(registry);
            let uncount = UncountedByPanic(self);
            registry = self.run_releases(false, None);
            registry.release_threads -= 1;
            drop(uncount);
        }
        registry
    }

    /// Makes the next release that is due on this thread, which is the host's. False if none is due.
    pub(super) fn release_next_due(self: &Arc<LeaseManager>) -> bool {
        let mut registry = self.registry();
        if let Some(lease) = registry.releases.pop_pending() {
            drop(self.release_one(registry, lease));
        } else if let Some(repeat) = registry.releases.pop_due_repeat(self.shared.clock.now()) {
            drop(self.repeat_one(registry, repeat));
        } else {
            return false;
        }
        true
    }

    /// Releases slots until nothing is left to release, and waits for what is due later if `may_wait`. A helper waits
    /// first, because the others may finish soon. The caller has counted this thread, and then uncounts it.
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
                continue;
            }
            if let Some(repeat) = registry.releases.pop_due_repeat(now) {
                self.start_release_thread(&mut registry);
                registry = self.repeat_one(registry, repeat);
                continue;
            }
            if registry.closed {
                // Nothing else makes requests, and a lease that keeps its handle would keep the connections.
                self.shared.client.close_connections();
            }
            if may_wait && !registry.releases.is_empty() && !registry.release_thread_waits {
                let next_at = registry.releases.next_repeat_at();
                let left_ms = next_at.map_or(Millis::MAX, |next_at| next_at.saturating_sub(now));
                let sleep = Duration::from_millis(left_ms.unsigned_abs()).min(LONGEST_SLEEP);
                registry.release_thread_waits = true;
                registry = self.changed.wait_timeout(registry, sleep).unwrap_or_else(PoisonError::into_inner).0;
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
        let in_flight = self.shared.client.begin(Waiter::Release, lease.release_on_close);
        let release = self.begin_release(&mut registry, &lease, ReleaseTarget::OwnSlots, true, &in_flight.call);
        drop(registry);
        // The host does not hear of the result.
        let _ = lease.release_after_close(&in_flight.call);
        registry = self.registry();
        let Interruption { reclaimed, is_stopped } = release.end(&mut registry);
        lease.abandon(&reclaimed);
        lease.stop_repeating_release(&reclaimed);
        if lease.may_be_held_at_server() && (is_stopped || !reclaimed.is_empty()) {
            registry.releases.add_pending(vec![lease]);
            return registry;
        }
        // What can't be released in time is left to the next start.
        lease.abandon(&lease.slot_names);
        if lease.repeat_release_until().is_some() {
            registry.releases.add_repeat(lease, ReleaseTarget::OwnSlots, self.shared.clock.now());
        }
        registry
    }

    fn repeat_one<'a>(
        self: &'a Arc<LeaseManager>,
        mut registry: MutexGuard<'a, Registry>,
        repeat: RepeatedRelease,
    ) -> MutexGuard<'a, Registry> {
        let lease = Arc::clone(&repeat.lease);
        let in_flight = self.shared.client.begin(Waiter::Release, lease.timeout.max(lease.release_on_close));
        let release = self.begin_release(&mut registry, &lease, repeat.target, false, &in_flight.call);
        drop(registry);
        let is_final = match repeat.target {
            ReleaseTarget::OwnSlots => {
                lease.repeat_release(&in_flight.call);
                false
            }
            ReleaseTarget::OrphanedSlots => lease.release_orphans(&in_flight.call),
        };
        registry = self.registry();
        lease.stop_repeating_release(&release.end(&mut registry).reclaimed);
        registry.releases.tried_again(repeat, is_final, self.shared.clock.now());
        registry
    }

    fn begin_release(
        self: &Arc<LeaseManager>,
        registry: &mut Registry,
        lease: &Arc<LeaseInner>,
        target: ReleaseTarget,
        is_first: bool,
        call: &Arc<Call>,
    ) -> ActiveReleaseGuard {
        registry.releases.begin(lease, target, is_first, Arc::clone(call));
        ActiveReleaseGuard { manager: Arc::clone(self), call: Some(Arc::clone(call)) }
    }
}
