//! Verbs that got no answer: until when a server that knows no order numbers may still carry them out.

use super::machine::Moment;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What a verb was about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Subject {
    /// Stands for product, user or key, and device.
    pub(crate) whose: String,
    /// The feature whose slot it was about; `None`: the license's own.
    pub(crate) feature: Option<String>,
}

/// The verbs of one client that got no answer.
#[derive(Debug, Default)]
pub(crate) struct UnansweredVerbs(Mutex<Vec<(Subject, Moment)>>);

impl UnansweredVerbs {
    /// A verb got no answer: it may be carried out until then.
    pub(crate) fn add(&self, subject: Subject, until: Moment, now: Moment) {
        let mut unanswered = self.lock();
        unanswered.retain(|(_, until)| *until > now);
        unanswered.push((subject, until));
    }

    /// A server that knows order numbers has answered a later verb, so it carries out nothing that was sent before.
    pub(crate) fn settle(&self, subject: &Subject) {
        self.lock().retain(|(other, _)| other != subject);
    }

    /// Until when a verb about the same slot may be carried out, if one is outstanding.
    pub(crate) fn until(&self, subject: &Subject, now: Moment) -> Option<Moment> {
        let unanswered = self.lock();
        unanswered.iter().filter(|(other, until)| other == subject && *until > now).map(|(_, until)| *until).max()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(Subject, Moment)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
