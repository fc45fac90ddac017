//! What is to be released in the background, when, and what keeps it from being released.

use crate::http::Call;
use crate::lease::lease_inner::LeaseInner;
use crate::lease::state_machine::Millis;
use std::sync::Arc;

/// The pauses between the releases of a slot that was released while an earlier request about it had no answer: 1, 5, 15
/// and 30 s later. A server without order numbers may have carried that request out meanwhile. If the server can't be
/// reached then, the last pause is repeated.
const PAUSES_MS: [i64; 4] = [1_000, 4_000, 10_000, 15_000];
/// How often a release is repeated at most. The record then leaves it to the next start.
const MOST_TRIES: usize = 8;

/// The releases that the threads of a client make in the background.
#[derive(Default)]
pub(super) struct ReleaseQueue {
    /// Closed leases whose slots are to be released.
    pending: Vec<Arc<LeaseInner>>,
    /// Leases whose release is to be repeated.
    repeats: Vec<RepeatedRelease>,
    /// Releases that a thread is making.
    releasing: Vec<ActiveRelease>,
    /// Slots that verbs are taking. They are not released until that is decided.
    suspended: Vec<SlotName>,
    /// How many calls release everything. They release closed leases in place of the threads.
    taken_over: usize,
}

/// A slot as a verb names it, which need not know the license.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SlotName {
    /// See [`LicenseRef::owner`](crate::lease::license_ref::LicenseRef).
    pub(crate) owner: String,
    /// `None`: the license's own slot.
    pub(crate) feature: Option<String>,
}

impl SlotName {
    /// The name of the slot in this lease, if it is one of its slots.
    fn of(&self, lease: &LeaseInner) -> Option<String> {
        let name = lease.license_ref().file_stem(self.feature.as_deref());
        (lease.license_ref().owner == self.owner && lease.slot_names.contains(&name)).then_some(name)
    }

    /// Returns whether this release may free the slot.
    fn is_in(&self, lease: &LeaseInner, target: ReleaseTarget) -> bool {
        match target {
            ReleaseTarget::OwnSlots => self.of(lease).is_some(),
            ReleaseTarget::OrphanedSlots => lease.license_ref().owner == self.owner,
        }
    }
}

/// Which slots are to be released for a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReleaseTarget {
    /// The lease's own slots.
    OwnSlots,
    /// Slots of the same license that no process holds: a dead process has left them, or a check of the license whose
    /// answer was lost has taken one.
    OrphanedSlots,
}

/// A release that a thread is making.
struct ActiveRelease {
    lease: Arc<LeaseInner>,
    target: ReleaseTarget,
    /// True for the first release after a lease was closed, false for one that is repeated.
    is_first: bool,
    call: Arc<Call>,
    interruption: Interruption,
}

/// The events that have interrupted a release.
#[derive(Default)]
pub(super) struct Interruption {
    /// The names of slots that a new lease takes.
    pub(super) reclaimed: Vec<String>,
    /// A verb has stopped the release, which is to be tried again.
    pub(super) is_stopped: bool,
}

/// A release that is to be repeated.
pub(super) struct RepeatedRelease {
    pub(super) lease: Arc<LeaseInner>,
    pub(super) target: ReleaseTarget,
    /// When it was tried last, or became due.
    tried_at: Millis,
    tries: usize,
}

impl RepeatedRelease {
    /// When the release is due next: after a pause, or when no late request can live any more, if that is sooner.
    ///
    /// A release that has failed is never repeated at once, because the machine may have slept, and may have no network
    /// yet.
    fn next_at(&self) -> Millis {
        let pause_ms = PAUSES_MS.get(self.tries).or(PAUSES_MS.last()).copied().unwrap_or_default();
        let next_at = self.tried_at.saturating_add(pause_ms);
        let until = self.lease.repeat_release_until().filter(|until| *until > self.tried_at);
        match until {
            Some(until) if self.target == ReleaseTarget::OwnSlots => next_at.min(until),
            _ => next_at,
        }
    }

    /// Returns whether there is still something to release.
    fn is_open(&self) -> bool {
        self.target == ReleaseTarget::OrphanedSlots || self.lease.repeat_release_until().is_some()
    }
}

impl ReleaseQueue {
    pub(super) fn is_empty(&self) -> bool {
        self.pending.is_empty() && self.repeats.is_empty()
    }

    /// Adds closed leases, each once.
    pub(super) fn add_pending(&mut self, leases: Vec<Arc<LeaseInner>>) {
        for lease in leases {
            let is_known = self.pending.iter().any(|known| Arc::ptr_eq(known, &lease));
            if !is_known {
                self.pending.push(lease);
            }
        }
        self.abandon_others();
    }

    /// Gives up closed leases that must not be released in the background, unless a call releases everything.
    fn abandon_others(&mut self) {
        if self.taken_over == 0 {
            let others = self.pending.extract_if(.., |lease| !lease.may_be_released_in_background());
            others.for_each(|lease| lease.abandon(&lease.slot_names));
        }
    }

    /// Lets no thread release closed leases, until [`ReleaseQueue::end_taking_over`].
    pub(super) fn begin_taking_over(&mut self) {
        self.taken_over += 1;
    }

    pub(super) fn end_taking_over(&mut self) {
        self.taken_over -= 1;
        self.abandon_others();
    }

    /// Returns whether a call releases everything.
    pub(super) fn is_taken_over(&self) -> bool {
        self.taken_over > 0
    }

    /// Stops the threads that are releasing closed leases, and removes all of those that no thread is releasing. Returns
    /// them, and whether a thread is still about to stop.
    pub(super) fn take_over(&mut self) -> (Vec<Arc<LeaseInner>>, bool) {
        let closed = self.releasing.iter_mut().filter(|release| release.is_first);
        let stopping = closed.map(|release| {
            release.interruption.is_stopped = true;
            release.call.cancel();
        });
        let is_stopping = stopping.count() > 0;
        (std::mem::take(&mut self.pending), is_stopping)
    }

    /// Gives up the pending releases. The records leave them to the next start.
    pub(super) fn abandon_pending(&mut self) {
        self.pending.drain(..).for_each(|lease| lease.abandon(&lease.slot_names));
    }

    /// Returns whether anything is to be released now.
    pub(super) fn is_any_due(&self, now: Millis) -> bool {
        self.next_pending().is_some() || self.next_repeat_at().is_some_and(|next_at| next_at <= now)
    }

    fn next_pending(&self) -> Option<usize> {
        if self.taken_over > 0 {
            return None;
        }
        self.pending.iter().position(|lease| !self.is_suspended(lease, ReleaseTarget::OwnSlots))
    }

    /// Removes a closed lease, to release its slots.
    pub(super) fn pop_pending(&mut self) -> Option<Arc<LeaseInner>> {
        self.next_pending().map(|at| self.pending.remove(at))
    }

    /// Returns whether a verb is taking a slot that this release may free.
    fn is_suspended(&self, lease: &LeaseInner, target: ReleaseTarget) -> bool {
        self.suspended.iter().any(|slot| slot.is_in(lease, target))
    }

    /// Adds a release that is to be repeated. If it is there already, its pauses begin again.
    pub(super) fn add_repeat(&mut self, lease: Arc<LeaseInner>, target: ReleaseTarget, tried_at: Millis) {
        self.repeats.retain(|other| other.target != target || !Arc::ptr_eq(&other.lease, &lease));
        self.repeats.push(RepeatedRelease { lease, target, tried_at, tries: 0 });
    }

    /// When a release is to be repeated next.
    pub(super) fn next_repeat_at(&self) -> Option<Millis> {
        self.next_repeat().map(|(next_at, _)| next_at)
    }

    fn next_repeat(&self) -> Option<(Millis, usize)> {
        let repeats = self.repeats.iter().enumerate();
        let allowed = repeats.filter(|(_, repeat)| !self.is_suspended(&repeat.lease, repeat.target));
        allowed.map(|(at, repeat)| (repeat.next_at(), at)).min()
    }

    /// Removes a release that is to be repeated now, if there is one. [`ReleaseQueue::tried_again`] must follow.
    pub(super) fn pop_due_repeat(&mut self, now: Millis) -> Option<RepeatedRelease> {
        let (_, at) = self.next_repeat().filter(|(next_at, _)| *next_at <= now)?;
        Some(self.repeats.swap_remove(at))
    }

    /// Puts a release back after another try, unless it is done or was tried too often.
    pub(super) fn tried_again(&mut self, repeat: RepeatedRelease, is_final: bool, now: Millis) {
        let again = RepeatedRelease { tried_at: now, tries: repeat.tries + 1, ..repeat };
        if !is_final && again.is_open() && again.tries < MOST_TRIES {
            self.repeats.push(again);
        }
    }

    /// Notes that a thread begins to release slots by this call. [`ReleaseQueue::end`] must follow.
    pub(super) fn begin(&mut self, lease: &Arc<LeaseInner>, target: ReleaseTarget, is_first: bool, call: Arc<Call>) {
        let interruption = Interruption::default();
        self.releasing.push(ActiveRelease { lease: Arc::clone(lease), target, is_first, call, interruption });
    }

    /// Notes that the thread is done, and tells what has come in between.
    pub(super) fn end(&mut self, call: &Arc<Call>) -> Interruption {
        let at = self.releasing.iter().position(|release| Arc::ptr_eq(&release.call, call));
        at.map(|at| self.releasing.swap_remove(at).interruption).unwrap_or_default()
    }

    /// Keeps slots of these names from being released, because a new lease takes them. Returns whether one was about to
    /// be released.
    pub(super) fn reclaim(&mut self, names: &[String]) -> bool {
        let is_named = |lease: &Arc<LeaseInner>| lease.slot_names.iter().any(|name| names.contains(name));
        let pending = self.pending.iter().filter(|lease| is_named(lease)).inspect(|lease| lease.abandon(names)).count();
        self.pending.retain(|lease| lease.may_be_held_at_server());
        let repeats = self.repeats.iter().filter(|repeat| is_named(&repeat.lease));
        let repeats = repeats.inspect(|repeat| repeat.lease.stop_repeating_release(names)).count();
        self.repeats.retain(RepeatedRelease::is_open);
        // An orphaned slot may be the one that the new lease takes.
        let may_free =
            |release: &&mut ActiveRelease| release.target == ReleaseTarget::OrphanedSlots || is_named(&release.lease);
        let releasing = self.releasing.iter_mut().filter(may_free).map(|release| {
            release.call.cancel();
            release.interruption.reclaimed.extend_from_slice(names);
        });
        pending + repeats + releasing.count() > 0
    }

    /// Keeps this slot from being released until [`ReleaseQueue::resume`], because a verb takes it.
    pub(super) fn suspend(&mut self, slot: &SlotName) {
        self.suspended.push(slot.clone());
    }

    /// Stops the threads that are releasing this slot. Returns whether there are any.
    pub(super) fn stop(&mut self, slot: &SlotName) -> bool {
        let releases = self.releasing.iter_mut().filter(|release| slot.is_in(&release.lease, release.target));
        let stopped = releases.map(|release| {
            release.interruption.is_stopped = true;
            release.call.cancel();
        });
        stopped.count() > 0
    }

    /// The verb has taken the slot of the leases that are meant, so they don't release it any more.
    pub(super) fn forget(&mut self, slot: &SlotName, is_meant: impl Fn(&LeaseInner) -> bool) {
        let name = |lease: &Arc<LeaseInner>| slot.of(lease).filter(|_| is_meant(lease));
        for (lease, name) in self.pending.iter().filter_map(|lease| Some((lease, name(lease)?))) {
            lease.abandon(&[name]);
        }
        self.pending.retain(|lease| lease.may_be_held_at_server());
        let repeats = self.repeats.iter().map(|repeat| &repeat.lease);
        for (lease, name) in repeats.filter_map(|lease| Some((lease, name(lease)?))) {
            lease.stop_repeating_release(&[name]);
        }
        self.repeats.retain(RepeatedRelease::is_open);
    }

    /// The verb is over, so a slot that it has not taken is released again.
    pub(super) fn resume(&mut self, slot: &SlotName) {
        if let Some(at) = self.suspended.iter().position(|other| other == slot) {
            self.suspended.swap_remove(at);
        }
    }

    /// The client is closed, and with it its verbs are over.
    pub(super) fn resume_all(&mut self) {
        self.suspended.clear();
    }
}
