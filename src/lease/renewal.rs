//! Which lease is renewed next: one after the other while the server answers at once, side by side when it does not.

use crate::lease::lease_inner::Held;
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
    due: Vec<Arc<Held>>,
    /// Leases that a thread asks the server about.
    under_way: Vec<Arc<Held>>,
    /// When the last of these renewals began.
    last_begun_at: Millis,
    /// A renewal got no answer since leases became due together, so none is worth a try before its own time.
    is_unreachable: bool,
}

impl Renewals {
    /// Notes which of these leases are to be renewed: if one must be, one that is nearly due goes along with it.
    pub(crate) fn add_due(&mut self, kept: &[Arc<Held>], now: Millis) {
        let is_new = |held: &&Arc<Held>| !self.has(held) && held.status().state_machine().renewal_window_open(now);
        let new: Vec<_> = kept.iter().filter(is_new).cloned().collect();
        if new.iter().any(|held| held.status().state_machine().wake_at().is_some_and(|at| at <= now)) {
            self.is_unreachable &= !(self.due.is_empty() && self.under_way.is_empty());
            self.due.extend(new);
        }
    }

    /// Whether this lease is going to be renewed, or is being so.
    pub(crate) fn has(&self, held: &Arc<Held>) -> bool {
        self.all().any(|other| Arc::ptr_eq(other, held))
    }

    /// Whether a thread asks the server about this lease.
    pub(crate) fn is_under_way(&self, held: &Arc<Held>) -> bool {
        self.under_way.iter().any(|other| Arc::ptr_eq(other, held))
    }

    /// The leases that are going to be renewed, or are being so.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Held>> {
        self.due.iter().chain(&self.under_way)
    }

    /// When the next renewal may begin, if one is due.
    pub(crate) fn begins_at(&self) -> Option<Millis> {
        if self.under_way.is_empty() {
            return self.due.first().map(|_| Millis::MIN);
        }
        // One that merely goes along with others has a time of its own, when it waits for no answer any more.
        let own_time = self.due.iter().filter_map(|held| held.status().state_machine().renew_at()).min()?;
        Some(own_time.max(self.last_begun_at.saturating_add(SIDE_BY_SIDE_AFTER_MS)))
    }

    /// Begins the most urgent renewal, if one may begin: [`Renewals::end`] must follow. A lease whose renewals succeed
    /// comes before those whose requests hang; one that goes along with others waits until the server has answered.
    pub(crate) fn begin(&mut self, now: Millis) -> Option<Arc<Held>> {
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
        self.due.retain(|held| {
            let status = held.status();
            status.state_machine().renewal_window_open(now)
                && (status.state_machine().renewal_due(now) || !self.is_unreachable)
        });
        let (_, at) =
            self.due.iter().enumerate().map(|(at, held)| (urgency(held.status().state_machine()), at)).min()?;
        if !self.under_way.is_empty() && !self.due[at].status().state_machine().renewal_due(now) {
            return None;
        }
        let held = self.due.swap_remove(at);
        self.under_way.push(Arc::clone(&held));
        self.last_begun_at = now;
        Some(held)
    }

    /// The renewal of this lease is over.
    pub(crate) fn end(&mut self, held: &Arc<Held>) {
        self.under_way.retain(|other| !Arc::ptr_eq(other, held));
    }

    /// The server gave no answer, or could not be reached.
    pub(crate) fn note_unreachable(&mut self) {
        self.is_unreachable = true;
    }
}
