//! Which lease is renewed next: one after the other while the server answers at once, side by side when it does not.

use crate::lease::lease_inner::LeaseInner;
use crate::lease::state_machine::{Millis, StateMachine};
use std::sync::Arc;
use std::time::Duration;

/// How long other leases that are due wait for the answer to a request, which may never come.
pub(super) const SIDE_BY_SIDE_AFTER: Duration = Duration::from_millis(SIDE_BY_SIDE_AFTER_MS.unsigned_abs());
const SIDE_BY_SIDE_AFTER_MS: i64 = 50;

/// The renewals of a client's leases.
#[derive(Default)]
pub(super) struct Renewals {
    /// Leases to be renewed.
    due: Vec<Arc<LeaseInner>>,
    /// Leases that a thread is renewing.
    active: Vec<Arc<LeaseInner>>,
    /// When the last of these renewals began.
    last_begun_at: Millis,
    /// A renewal has found the server unreachable since leases became due together. The others are not worth a try before
    /// their own time.
    is_unreachable: bool,
}

impl Renewals {
    /// Adds those of the leases that are to be renewed. If one is due, those that are nearly due are renewed with it.
    pub(super) fn add_due(&mut self, leases: &[Arc<LeaseInner>], now: Millis) {
        let is_new =
            |lease: &&Arc<LeaseInner>| !self.has(lease) && lease.status().state_machine().renewal_window_open(now);
        let new: Vec<_> = leases.iter().filter(is_new).cloned().collect();
        if new.iter().any(|lease| lease.status().state_machine().wake_at().is_some_and(|at| at <= now)) {
            self.is_unreachable &= !(self.due.is_empty() && self.active.is_empty());
            self.due.extend(new);
        }
    }

    /// Returns whether this lease is to be renewed, or is being renewed.
    pub(super) fn has(&self, lease: &Arc<LeaseInner>) -> bool {
        self.all().any(|other| Arc::ptr_eq(other, lease))
    }

    /// Returns whether a thread is renewing this lease.
    pub(super) fn is_active(&self, lease: &Arc<LeaseInner>) -> bool {
        self.active.iter().any(|other| Arc::ptr_eq(other, lease))
    }

    /// The leases that are to be renewed, or are being renewed.
    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<LeaseInner>> {
        self.due.iter().chain(&self.active)
    }

    /// When the next renewal may begin, if one is due.
    pub(super) fn begins_at(&self) -> Option<Millis> {
        if self.active.is_empty() {
            return self.due.first().map(|_| Millis::MIN);
        }
        // A lease that is only nearly due waits for the answers of the others until its own time.
        let own_time = self.due.iter().filter_map(|lease| lease.status().state_machine().renew_at()).min()?;
        Some(own_time.max(self.last_begun_at.saturating_add(SIDE_BY_SIDE_AFTER_MS)))
    }

    /// Begins the most urgent renewal, if one may begin. [`Renewals::end`] must follow.
    ///
    /// A lease whose renewals succeed comes before those whose requests hang. A lease that is only nearly due waits until
    /// the server has answered.
    pub(super) fn begin(&mut self, now: Millis) -> Option<Arc<LeaseInner>> {
        if self.begins_at().is_none_or(|at| at > now) {
            return None;
        }
        let urgency = |machine: &StateMachine| {
            (!machine.renewal_due(now), machine.failures(), machine.next_transition_at().unwrap_or(Millis::MAX))
        };
        self.due.retain(|lease| {
            let status = lease.status();
            let machine = status.state_machine();
            machine.renewal_window_open(now) && (machine.renewal_due(now) || !self.is_unreachable)
        });
        let urgencies = self.due.iter().enumerate().map(|(at, lease)| (urgency(lease.status().state_machine()), at));
        let (_, at) = urgencies.min()?;
        if !self.active.is_empty() && !self.due[at].status().state_machine().renewal_due(now) {
            return None;
        }
        let lease = self.due.swap_remove(at);
        self.active.push(Arc::clone(&lease));
        self.last_begun_at = now;
        Some(lease)
    }

    /// Notes that the renewal of this lease is over.
    pub(super) fn end(&mut self, lease: &Arc<LeaseInner>) {
        self.active.retain(|other| !Arc::ptr_eq(other, lease));
    }

    /// Notes that a renewal got no answer, or could not reach the server.
    pub(super) fn note_unreachable(&mut self) {
        self.is_unreachable = true;
    }
}
