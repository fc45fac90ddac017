//! Borrowing all slots of a lease.

use crate::error::{Error, Outcome};
use crate::http::Call;
use crate::lease::lease_inner::state::{LeaseInner, about, of_all};
use crate::lease::state_machine::State;
use crate::model;
use serde_json::Value;
use std::time::Duration;

impl LeaseInner {
    /// Borrows every slot until the date `until` of the request, or none.
    pub(crate) fn borrow(&self, call: &Call, timeout: Duration, until: &Value) -> Result<(), Error> {
        let mut slots = self.slots(call)?;
        let context = self.context(call, timeout);
        let (mut confirmations, mut snapshots) = (Vec::new(), Vec::new());
        let is_shorter = slots.iter().any(|slot| slot.would_shorten(until));
        for at in 0..slots.len() {
            match slots[at].borrow(&context, until) {
                Ok(borrow) => {
                    confirmations.push((slots[at].feature.clone(), borrow.confirmation));
                    snapshots.push(borrow.before);
                }
                Err(error) => {
                    let error = of_all(about(error, &slots[at]), at > 0);
                    for (slot, before) in slots.iter_mut().zip(snapshots).rev() {
                        // If that can't be stored, the borrow ends at its date; either way it was made.
                        let _ = slot.undo_borrow(&context, before);
                    }
                    self.apply_failed_borrow(&error, is_shorter, until);
                    return Err(error);
                }
            }
        }
        self.apply_confirmations(confirmations);
        Ok(())
    }

    /// Applies that the outcome of a borrow is unknown. If it was to end sooner than an earlier one, no more than the
    /// earlier end is promised until the server has been asked.
    fn apply_failed_borrow(&self, error: &Error, is_shorter: bool, until: &Value) {
        if error.outcome != Outcome::Unknown {
            return;
        }
        if !is_shorter {
            return self.defer();
        }
        let until = until.as_str().and_then(model::parse_time);
        if let Some(until) = until.filter(|_| self.status().state() == State::Borrowed) {
            self.apply_borrow(until);
        }
        self.note_unanswered_release();
    }
}
