//! What is to be given back in the background: slots of leases that were let go of, and slots whose giving back is not
//! settled. When each is due, and what keeps it from being given back.

use crate::http::Call;
use crate::lease::lease_inner::LeaseInner;
use crate::lease::state_machine::Millis;
use std::sync::Arc;

/// After a slot was given back while a request of before had no answer, it is given back again after each of these
/// pauses, which is 1, 5, 15 and 30 s later: a server that knows no order numbers may have carried that request out
/// meanwhile. If the server can't be reached then, the last pause is repeated.
const PAUSES_MS: [i64; 4] = [1_000, 4_000, 10_000, 15_000];
/// How often a slot is given back again at most, when no try has settled it. The record leaves it to the next start.
const MOST_TRIES: usize = 8;

/// What is to be given back, and who is at it.
#[derive(Default)]
pub(crate) struct ReleaseQueue {
    /// Leases that were let go of, whose slots are to be given back.
    pending: Vec<Arc<LeaseInner>>,
    /// Leases whose slots were given back, and are to be given back again because that is not settled.
    repeats: Vec<RepeatedRelease>,
    /// Those whose slots are being given back.
    releasing: Vec<ActiveRelease>,
    /// Slots that verbs are about to take: until that is decided, they are not given back.
    suspended: Vec<SlotName>,
}

/// A slot as a verb names it, which need not know the license.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SlotName {
    /// Stands for product, user or key, and device.
    pub(crate) owner: String,
    /// `None`: the license's own slot.
    pub(crate) feature: Option<String>,
}

impl SlotName {
    /// What the slot is called by this lease, if it is one of its slots.
    fn of(&self, lease: &LeaseInner) -> Option<String> {
        let name = lease.license_ref().file_stem(self.feature.as_deref());
        (lease.license_ref().owner == self.owner && lease.slot_names.contains(&name)).then_some(name)
    }

    /// Whether giving this back may give the slot back.
    fn is_in(&self, lease: &LeaseInner, what: ReleaseTarget) -> bool {
        match what {
            ReleaseTarget::OwnSlots => self.of(lease).is_some(),
            ReleaseTarget::OrphanedSlots => lease.license_ref().owner == self.owner,
        }
    }
}

/// A lease whose slots are being given back, by a call.
struct ActiveRelease {
    lease: Arc<LeaseInner>,
    what: ReleaseTarget,
    call: Arc<Call>,
    /// The names of slots that were wanted back since.
    reclaimed: Vec<String>,
    /// He was stopped for a verb, and is to try again.
    is_stopped: bool,
}

/// What became of the wish to give something back, besides what the server said.
#[derive(Default)]
pub(crate) struct Interruption {
    /// The names of slots that were wanted back meanwhile.
    pub(crate) reclaimed: Vec<String>,
    /// It was stopped for a verb, and is to be tried again.
    pub(crate) is_stopped: bool,
}

/// A lease that something is to be given back for, again or later.
pub(crate) struct RepeatedRelease {
    pub(crate) lease: Arc<LeaseInner>,
    pub(crate) what: ReleaseTarget,
    /// When they were given back, or were to be, the last time.
    tried_at: Millis,
    /// How often they were to be given back again.
    tries: usize,
}

/// What is to be given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReleaseTarget {
    /// The slots of the lease, which were given back while a request about them had no answer.
    OwnSlots,
    /// Slots of the same license that nobody holds: a process that is no more has left them, or a question about the
    /// license that got no answer has taken one.
    OrphanedSlots,
}

impl RepeatedRelease {
    /// When to give them back next: after a pause, or sooner if no late request can live any more then. A try that has
    /// failed is never repeated at once, because the machine may have slept, and may have no network yet.
    fn next_repeat_at(&self) -> Millis {
        let pause_ms = PAUSES_MS.get(self.tries).or(PAUSES_MS.last()).copied().unwrap_or_default();
        let next = self.tried_at.saturating_add(pause_ms);
        match self.lease.repeat_release_until() {
            Some(repeat_release_until)
                if self.what == ReleaseTarget::OwnSlots && repeat_release_until > self.tried_at =>
            {
                next.min(repeat_release_until)
            }
            _ => next,
        }
    }

    /// Whether there is still something to be given back for it.
    fn is_open(&self) -> bool {
        self.what == ReleaseTarget::OrphanedSlots || self.lease.repeat_release_until().is_some()
    }
}

impl ReleaseQueue {
    pub(crate) fn is_empty(&self) -> bool {
        self.pending.is_empty() && self.repeats.is_empty()
    }

    /// These leases were let go of.
    pub(crate) fn add_pending(&mut self, leases: Vec<Arc<LeaseInner>>) {
        self.pending.extend(leases);
    }

    /// Gives up what is to be given back: the records leave it to the next start.
    pub(crate) fn abandon_pending(&mut self) {
        self.pending.drain(..).for_each(|lease| lease.abandon(&lease.slot_names));
    }

    /// Whether anything is to be given back now.
    pub(crate) fn may_go_on(&self, now: Millis) -> bool {
        self.next_pending().is_some() || self.next_repeat_at().is_some_and(|next_repeat_at| next_repeat_at <= now)
    }

    fn next_pending(&self) -> Option<usize> {
        self.pending.iter().position(|lease| !self.is_suspended(lease, ReleaseTarget::OwnSlots))
    }

    pub(crate) fn pop_pending(&mut self) -> Option<Arc<LeaseInner>> {
        self.next_pending().map(|at| self.pending.remove(at))
    }

    /// Whether a verb is about to take what giving this back may give back.
    fn is_suspended(&self, lease: &LeaseInner, what: ReleaseTarget) -> bool {
        self.suspended.iter().any(|slot| slot.is_in(lease, what))
    }

    /// This was given back, or could not be, and is to be given back again.
    pub(crate) fn add_repeat(&mut self, lease: Arc<LeaseInner>, what: ReleaseTarget, tried_at: Millis) {
        // Once is enough, beginning anew.
        self.repeats.retain(|other| other.what != what || !Arc::ptr_eq(&other.lease, &lease));
        self.repeats.push(RepeatedRelease { lease, what, tried_at, tries: 0 });
    }

    /// When something is to be given back again next.
    pub(crate) fn next_repeat_at(&self) -> Option<Millis> {
        self.next_repeat().map(|(next_repeat_at, _)| next_repeat_at)
    }

    fn next_repeat(&self) -> Option<(Millis, usize)> {
        let repeats = self.repeats.iter().enumerate();
        let may_go = repeats.filter(|(_, repeats)| !self.is_suspended(&repeats.lease, repeats.what));
        may_go.map(|(at, repeats)| (repeats.next_repeat_at(), at)).min()
    }

    /// What is to be given back again now, if anything is.
    pub(crate) fn pop_due_repeat(&mut self, now: Millis) -> Option<RepeatedRelease> {
        let (_, at) = self.next_repeat().filter(|(next_repeat_at, _)| *next_repeat_at <= now)?;
        Some(self.repeats.swap_remove(at))
    }

    /// Somebody gives these slots back from now on, by this call.
    pub(crate) fn begin(&mut self, lease: &Arc<LeaseInner>, what: ReleaseTarget, call: Arc<Call>) {
        let (reclaimed, is_stopped) = (Vec::new(), false);
        self.releasing.push(ActiveRelease { lease: Arc::clone(lease), what, call, reclaimed, is_stopped });
    }

    /// Whoever has begun with this call is done.
    pub(crate) fn end(&mut self, call: &Arc<Call>) -> Interruption {
        let Some(at) = self.releasing.iter().position(|caller| Arc::ptr_eq(&caller.call, call)) else {
            return Interruption::default();
        };
        let ActiveRelease { reclaimed, is_stopped, .. } = self.releasing.swap_remove(at);
        Interruption { reclaimed, is_stopped }
    }

    /// It was tried to give this back again. What is not settled is tried once more, but not for ever.
    pub(crate) fn tried_again(&mut self, repeats: RepeatedRelease, is_settled: bool, now: Millis) {
        let again = RepeatedRelease { tried_at: now, tries: repeats.tries + 1, ..repeats };
        if !is_settled && again.is_open() && again.tries < MOST_TRIES {
            self.repeats.push(again);
        }
    }

    /// Keeps slots of these names from being given back, because they are wanted again. True if one was going to be.
    pub(crate) fn reclaim(&mut self, names: &[String]) -> bool {
        let is_named = |lease: &Arc<LeaseInner>| lease.slot_names.iter().any(|name| names.contains(name));
        let reclaimed =
            self.pending.iter().filter(|lease| is_named(lease)).inspect(|lease| lease.abandon(names)).count();
        self.pending.retain(|lease| lease.may_be_held_at_server());
        let settling = self.repeats.iter().filter(|repeats| is_named(&repeats.lease));
        let reclaimed = reclaimed + settling.inspect(|repeats| repeats.lease.stop_repeating_release(names)).count();
        self.repeats.retain(RepeatedRelease::is_open);
        // What others have left may be what is wanted.
        let is_in_the_way =
            |caller: &&mut ActiveRelease| caller.what == ReleaseTarget::OrphanedSlots || is_named(&caller.lease);
        let in_the_way = self.releasing.iter_mut().filter(is_in_the_way).map(|caller| {
            caller.call.cancel();
            caller.reclaimed.extend_from_slice(names);
        });
        reclaimed + in_the_way.count() > 0
    }

    /// A verb is about to take this slot, so it is not given back until [`ReleaseQueue::resume`].
    pub(crate) fn suspend(&mut self, slot: &SlotName) {
        self.suspended.push(slot.clone());
    }

    /// Stops whoever gives this slot back at the moment. False if nobody does.
    pub(crate) fn stop(&mut self, slot: &SlotName) -> bool {
        let callers = self.releasing.iter_mut().filter(|caller| slot.is_in(&caller.lease, caller.what));
        let stopped = callers.map(|caller| {
            caller.is_stopped = true;
            caller.call.cancel();
        });
        stopped.count() > 0
    }

    /// The verb has taken the slot of these leases, so none of them gives it back, or once more.
    pub(crate) fn forget(&mut self, slot: &SlotName, is_meant: impl Fn(&LeaseInner) -> bool) {
        let name = |lease: &Arc<LeaseInner>| slot.of(lease).filter(|_| is_meant(lease));
        self.pending
            .iter()
            .filter_map(|lease| Some((lease, name(lease)?)))
            .for_each(|(lease, name)| lease.abandon(&[name]));
        self.pending.retain(|lease| lease.may_be_held_at_server());
        let repeats = self.repeats.iter().map(|repeats| &repeats.lease);
        repeats
            .filter_map(|lease| Some((lease, name(lease)?)))
            .for_each(|(lease, name)| lease.stop_repeating_release(&[name]));
        self.repeats.retain(RepeatedRelease::is_open);
    }

    /// The verb is over: what it has not taken is given back.
    pub(crate) fn resume(&mut self, slot: &SlotName) {
        if let Some(at) = self.suspended.iter().position(|other| other == slot) {
            self.suspended.swap_remove(at);
        }
    }

    /// The client ends, and with it its verbs.
    pub(crate) fn resume_all(&mut self) {
        self.suspended.clear();
    }
}
