//! What a verb of the client, called directly and not through a lease, has done to a slot.

use crate::lease::context::RequestContext;
use crate::lease::slot::proof::Proof;
use crate::lease::slot::record::Record;
use crate::lease::slot::state::Slot;
use chrono::{DateTime, Utc};

impl Slot {
    /// Notes that a verb has borrowed the slot until this date, or has released it. Closing a lease must not end a borrow
    /// that the host has made by a verb.
    pub(crate) fn note_borrow_by_verb(&mut self, context: &RequestContext, until: Option<DateTime<Utc>>) {
        self.borrowed_until = until;
        if self.file.is_none() {
            return;
        }
        let Ok(_guard) = self.lock(context) else { return };
        if let Ok(mut record) = self.read() {
            match until {
                // The server frees the slot before the date that is proven.
                Some(until) if self.is_proven_beyond(context, &record, until) => {
                    record.mark_borrow_in_doubt();
                    record.return_pending = false;
                }
                // A borrow that another process was returning is wanted again.
                Some(_) => record.return_pending = false,
                // A start without a network would go on believing the proof of the borrow that was returned.
                None => record.mark_returned(),
            }
            record.set_borrowed_by_verb(until);
            // If this fails, this process still remembers it.
            let _ = self.write(&mut record, context);
        }
    }

    fn is_proven_beyond(&self, context: &RequestContext, record: &Record, until: DateTime<Utc>) -> bool {
        let end = |proof: &Proof| proof.until(context, self.feature.as_deref()).ok();
        record.proof.as_ref().and_then(end).is_some_and(|end| end > until)
    }

    /// Notes that a verb about the slot got no answer. A server without order numbers may carry it out after another
    /// process has taken the slot, which learns of it from the record.
    ///
    /// If the verb `gives_back` the slot, a stored borrow proves nothing until the server has been asked.
    pub(crate) fn note_unanswered_verb(&self, context: &RequestContext, gives_back: bool) {
        let Ok(_guard) = self.lock(context) else { return };
        if let Ok(mut record) = self.read() {
            record.expect_answer(&context.shared.clock, context.life_ms());
            if gives_back {
                record.mark_borrow_in_doubt();
            }
            // If this fails, the other process finds it out by its next renewal.
            let _ = self.write(&mut record, context);
        }
    }

    /// Notes that a verb has released the slot. True if it was held.
    pub(crate) fn note_release_by_verb(&mut self, context: &RequestContext) -> bool {
        let was_held = self.is_held();
        (self.in_doubt, self.borrowed, self.borrowed_until) = (false, false, None);
        let Ok(guard) = self.lock(context) else { return was_held };
        let last_holder = self.holder.take().map(|holder| guard.remove_holder(holder));
        if let (Some(Ok(Some(_))), Ok(mut record)) = (last_holder, self.read()) {
            record.mark_released(false);
            let _ = self.write(&mut record, context);
        }
        was_held
    }
}
