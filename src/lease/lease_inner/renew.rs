//! Renewing all slots of a lease.

use crate::error::Error;
use crate::http::Call;
use crate::lease::context::RequestContext;
use crate::lease::lease_inner::state::{LeaseInner, about, of_all};
use crate::lease::slot::{ReleaseMode, Slot};
use crate::lease::state_machine::State;
use std::sync::atomic::Ordering;
use std::time::Duration;

impl LeaseInner {
    /// Asks the server about every slot again. Takes slots that are not held, as after a loss.
    pub(crate) fn renew(&self, call: &Call, timeout: Duration) -> Result<(), Error> {
        let clock = &self.shared.clock;
        let asked_from = clock.now();
        let mut slots = self.slots(call).inspect_err(|_| self.defer())?;
        let context = self.context(call, timeout);
        let mut confirmations = Vec::new();
        let mut failure = None;
        for (at, slot) in slots.iter_mut().enumerate() {
            match if slot.is_held() { slot.renew(&context) } else { slot.acquire(&context) } {
                Ok(confirmation) => confirmations.push((slot.feature.clone(), confirmation)),
                Err(error) => {
                    failure = Some((at, about(error, slot)));
                    break;
                }
            }
        }
        self.renewed_at.store(clock.now(), Ordering::Release);
        let Some((failed_at, error)) = failure else {
            self.note_license(&slots);
            self.borrows_by_verbs().retain(|borrow| borrow.noted_at >= asked_from);
            self.apply_confirmations(confirmations);
            return Ok(());
        };
        self.apply_failure(&error);
        self.tick();
        let something_was_done = !confirmations.is_empty();
        if self.status().state() == State::Lost && (something_was_done || error.is_refusal()) {
            self.release_useless_slots(&context, &mut slots, failed_at);
        }
        Err(of_all(error, something_was_done))
    }

    /// Releases the slots of a lost lease other than the one that has failed, because other hosts may want them.
    ///
    /// A borrowed slot stays: no other device could have it, and the release of the lease ends the borrow.
    fn release_useless_slots(&self, context: &RequestContext, slots: &mut [Slot], failed_at: usize) {
        self.remember_borrows_by_verbs(slots);
        for (at, slot) in slots.iter_mut().enumerate().rev() {
            if at != failed_at && slot.may_be_held_at_server() && !slot.stays_borrowed(context) {
                // What can't be released now is released with the lease.
                let _ = slot.release(context, ReleaseMode::KeepBorrow);
            }
        }
        self.note_repeats(slots);
    }
}
