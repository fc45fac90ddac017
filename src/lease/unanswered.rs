//! Requests about slots that got no answer, and how long a server without order numbers may still carry them out.

use crate::lease::state_machine::Millis;
use crate::operations::Operation;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The slot, or the device, that a request was about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Subject {
    /// A hash of product, user or key, and device; see [`LicenseRef`](crate::lease::license_ref::LicenseRef).
    pub(crate) owner: String,
    /// `None`: the license's own slot.
    pub(crate) feature: Option<String>,
    /// The request was about the device, and so about each of its slots.
    pub(crate) is_whole_device: bool,
}

impl Subject {
    pub(crate) fn feature(&self) -> Option<&str> {
        self.feature.as_deref()
    }

    /// Returns whether a request about this can change the slot that `other` is about.
    fn concerns(&self, other: &Subject) -> bool {
        let lower = |subject: &Subject| subject.feature.as_deref().map(str::to_ascii_lowercase);
        self.owner == other.owner && (self.is_whole_device || lower(self) == lower(other))
    }
}

/// The effect of a late request on a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Late {
    /// The request takes, renews or borrows the slot.
    Takes,
    /// The request releases the slot. A lease that was renewed since must know of it too.
    GivesBack,
}

impl Late {
    /// The effect of this operation.
    pub(crate) fn of(operation: &Operation) -> Late {
        if operation.releases() { Late::GivesBack } else { Late::Takes }
    }
}

/// The requests of one client that got no answer, made by its leases and its verbs.
#[derive(Debug, Default)]
pub(crate) struct Unanswered(Mutex<Vec<(Subject, Late, Millis)>>);

impl Unanswered {
    /// Adds a request that got no answer. The server may carry it out until this moment.
    pub(crate) fn add(&self, subject: Subject, late: Late, until: Millis, now: Millis) {
        let mut requests = self.lock();
        requests.retain(|(other, kind, until)| *until > now && (*other != subject || *kind != late));
        requests.push((subject, late, until));
    }

    /// Forgets the requests about the same slot, because a server with order numbers has answered a later one and refuses
    /// those that were sent before.
    pub(crate) fn settle(&self, subject: &Subject) {
        self.lock().retain(|(other, ..)| !other.concerns(subject) && !subject.concerns(other));
    }

    /// The moment until which a request about the same slot may be carried out, if one is outstanding.
    pub(crate) fn until(&self, subject: &Subject, now: Millis) -> Option<Millis> {
        self.latest(subject, now, |_| true)
    }

    /// The moment until which such a request may release the slot, if one is outstanding.
    pub(crate) fn given_back_until(&self, subject: &Subject, now: Millis) -> Option<Millis> {
        self.latest(subject, now, |late| late == Late::GivesBack)
    }

    fn latest(&self, subject: &Subject, now: Millis, is_meant: impl Fn(Late) -> bool) -> Option<Millis> {
        let requests = self.lock();
        let meant = requests.iter().filter(|(other, late, _)| other.concerns(subject) && is_meant(*late));
        meant.map(|(.., until)| *until).filter(|until| *until > now).max()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(Subject, Late, Millis)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn late(operation: &str) -> Late {
        Late::of(Operation::named(operation).unwrap())
    }

    fn subject(feature: Option<&str>) -> Subject {
        Subject { owner: "mine".to_owned(), feature: feature.map(str::to_owned), is_whole_device: false }
    }

    #[test]
    fn unanswered_request_counts_for_its_slot_until_it_is_over() {
        let requests = Unanswered::default();
        requests.add(subject(Some("MESH")), Late::Takes, 30, 0);
        assert_eq!(requests.until(&subject(Some("mesh")), 29), Some(30));
        assert_eq!(requests.until(&subject(Some("mesh")), 30), None);
        assert_eq!(requests.until(&subject(None), 29), None);
        requests.settle(&subject(Some("MESH")));
        assert_eq!(requests.until(&subject(Some("MESH")), 29), None);
    }

    #[test]
    fn unanswered_release_counts_for_a_slot_that_is_renewed() {
        let requests = Unanswered::default();
        requests.add(subject(None), late("release_license"), 30, 0);
        requests.add(subject(None), late("check_license"), 40, 10);
        assert_eq!(requests.given_back_until(&subject(None), 20), Some(30));
        assert_eq!(requests.until(&subject(None), 20), Some(40));
    }

    #[test]
    fn unanswered_deactivation_counts_for_each_slot() {
        let requests = Unanswered::default();
        let device = Subject { is_whole_device: true, ..subject(None) };
        requests.add(device, late("deactivate_license"), 30, 0);
        assert_eq!(requests.given_back_until(&subject(Some("MESH")), 0), Some(30));
        assert_eq!(requests.until(&Subject { owner: "yours".to_owned(), ..subject(None) }, 0), None);
        requests.settle(&subject(None));
        assert_eq!(requests.until(&subject(Some("MESH")), 0), None);
    }
}
