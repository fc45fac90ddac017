//! Which lease is renewed next: one after the other while the server answers at once, side by side when it does not.

use crate::lease::lease_inner::LeaseInner;
use crate::lease::state_machine::{Millis, StateMachine};
use std::sync::Arc;
use std::time::Duration;

/// The other leases that are due, or to be given back, wait this long for the answer to a request, and no longer: it may
/// never come.
pub(crate) const SIDE_BY_SIDE_AFTER: Duration = Duration::from_millis(SIDE_BY_SIDE_AFTER_MS.unsigned_abs());
const SIDE_BY_SIDE_AFTER_MS: i64 = 50;

/// The renewals of a client's leases.
#[derive(Default)]
pub(crate) struct Renewals {
    /// Leases to be renewed.
    due: Vec<Arc<LeaseInner>>,
    /// Leases that a thread asks the server about.
    active: Vec<Arc<LeaseInner>>,
    /// When the last of these renewals began.
    last_begun_at: Millis,
    /// A renewal got no answer since leases became due together, so none is worth a try before its own time.
    is_unreachable: bool,
}

impl Renewals {
    /// Notes which of these leases are to be renewed: if one must be, one that is nearly due goes along with it.
    pub(crate) fn add_due(&mut self, kept: &[Arc<LeaseInner>], now: Millis) {
        let is_new =
            |lease: &&Arc<LeaseInner>| !self.has(lease) && lease.status().state_machine().renewal_window_open(now);
        let new: Vec<_> = kept.iter().filter(is_new).cloned().collect();
        if new.iter().any(|lease| lease.status().state_machine().wake_at().is_some_and(|at| at <= now)) {
            self.is_unreachable &= !(self.due.is_empty() && self.active.is_empty());
            self.due.extend(new);
        }
    }

    /// Whether this lease is going to be renewed, or is being so.
    pub(crate) fn has(&self, lease: &Arc<LeaseInner>) -> bool {
        self.all().any(|other| Arc::ptr_eq(other, lease))
    }

    /// Whether a thread asks the server about this lease.
    pub(crate) fn is_active(&self, lease: &Arc<LeaseInner>) -> bool {
        self.active.iter().any(|other| Arc::ptr_eq(other, lease))
    }

    /// The leases that are going to be renewed, or are being so.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<LeaseInner>> {
        self.due.iter().chain(&self.active)
    }

    /// When the next renewal may begin, if one is due.
    pub(crate) fn begins_at(&self) -> Option<Millis> {
        if self.active.is_empty() {
            return self.due.first().map(|_| Millis::MIN);
        }
        // One that merely goes along with others has a time of its own, when it waits for no answer any more.
        let own_time = self.due.iter().filter_map(|lease| lease.status().state_machine().renew_at()).min()?;
        Some(own_time.max(self.last_begun_at.saturating_add(SIDE_BY_SIDE_AFTER_MS)))
    }

    /// Begins the most urgent renewal, if one may begin: [`Renewals::end`] must follow. A lease whose renewals succeed
    /// comes before those whose requests hang; one that goes along with others waits until the server has answered.
    pub(crate) fn begin(&mut self, now: Millis) -> Option<Arc<LeaseInner>> {
        if self.begins_at().is_none_or(|at| at > now) {
            return None;
        }
        let urgency = |state_machine: &StateMachine| {
            (
                !state_machine.renewal_due(now),
                state_machine.failures(),
                state_machine.next_transition_at().unwrap_or(Millis::MAX),
            )
        };
        self.due.retain(|lease| {
            let status = lease.status();
            status.state_machine().renewal_window_open(now)
                && (status.state_machine().renewal_due(now) || !self.is_unreachable)
        });
        let (_, at) =
            self.due.iter().enumerate().map(|(at, lease)| (urgency(lease.status().state_machine()), at)).min()?;
        if !self.active.is_empty() && !self.due[at].status().state_machine().renewal_due(now) {
            return None;
        }
        let lease = self.due.swap_remove(at);
        self.active.push(Arc::clone(&lease));
        self.last_begun_at = now;
        Some(lease)
    }

    /// The renewal of this lease is over.
    pub(crate) fn end(&mut self, lease: &Arc<LeaseInner>) {
        self.active.retain(|other| !Arc::ptr_eq(other, lease));
    }

    /// The server gave no answer, or could not be reached.
    pub(crate) fn note_unreachable(&mut self) {
        self.is_unreachable = true;
    }
}
