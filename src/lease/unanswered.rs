//! Requests about slots that got no answer: until when a server that knows no order numbers may still carry them out.

use crate::lease::state_machine::Millis;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What a request was about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Subject {
    /// Stands for product, user or key, and device.
    pub(crate) owner: String,
    /// The feature whose slot it was about; `None`: the license's own.
    pub(crate) feature: Option<String>,
    /// It was about the device, and so about each of its slots.
    pub(crate) is_whole_device: bool,
}

impl Subject {
    pub(crate) fn feature(&self) -> Option<&str> {
        self.feature.as_deref()
    }

    /// Whether a request about this can change the slot that `other` is about.
    fn concerns(&self, other: &Subject) -> bool {
        let lower = |subject: &Subject| subject.feature.as_deref().map(str::to_ascii_lowercase);
        self.owner == other.owner && (self.is_whole_device || lower(self) == lower(other))
    }
}

/// What a late request does to a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Late {
    /// It takes the slot, renews it or borrows it.
    Takes,
    /// It gives the slot back, which also a lease that has been renewed since must know.
    GivesBack,
}

impl Late {
    /// What the operation of this name does.
    pub(crate) fn of(operation: &str) -> Late {
        let gives_back = matches!(operation, "release_license" | "release_feature" | "deactivate_license");
        if gives_back { Late::GivesBack } else { Late::Takes }
    }
}

/// The requests of one client that got no answer, by its leases and by its verbs.
#[derive(Debug, Default)]
pub(crate) struct Unanswered(Mutex<Vec<(Subject, Late, Millis)>>);

impl Unanswered {
    /// A request got no answer: it may be carried out until then.
    pub(crate) fn add(&self, subject: Subject, late: Late, until: Millis, now: Millis) {
        let mut requests = self.lock();
        requests.retain(|(other, kind, until)| *until > now && (*other != subject || *kind != late));
        requests.push((subject, late, until));
    }

    /// A server that knows order numbers has answered a later request, so it carries out nothing that was sent before.
    pub(crate) fn settle(&self, subject: &Subject) {
        self.lock().retain(|(other, ..)| !other.concerns(subject) && !subject.concerns(other));
    }

    /// Until when a request about the same slot may be carried out, if one is outstanding.
    pub(crate) fn until(&self, subject: &Subject, now: Millis) -> Option<Millis> {
        self.latest(subject, now, |_| true)
    }

    /// The same for one that gives the slot back.
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
        requests.add(subject(None), Late::of("release_license"), 30, 0);
        requests.add(subject(None), Late::of("check_license"), 40, 10);
        assert_eq!(requests.given_back_until(&subject(None), 20), Some(30));
        assert_eq!(requests.until(&subject(None), 20), Some(40));
    }

    #[test]
    fn unanswered_deactivation_counts_for_each_slot() {
        let requests = Unanswered::default();
        let device = Subject { is_whole_device: true, ..subject(None) };
        requests.add(device, Late::of("deactivate_license"), 30, 0);
        assert_eq!(requests.given_back_until(&subject(Some("MESH")), 0), Some(30));
        assert_eq!(requests.until(&Subject { owner: "yours".to_owned(), ..subject(None) }, 0), None);
        requests.settle(&subject(None));
        assert_eq!(requests.until(&subject(Some("MESH")), 0), None);
    }
}
