//! Taking all slots of a lease.

use crate::error::{Error, Outcome};
use crate::http::Call;
use crate::json;
use crate::lease::context::RequestContext;
use crate::lease::lease_inner::activation::Activation;
use crate::lease::lease_inner::state::{Confirmations, LeaseInner, about, combined, doubted_until};
use crate::lease::slot::{ReleaseMode, Slot};
use crate::lease::state_machine::{Input, State};
use crate::status::Status;
use std::time::Duration;

impl LeaseInner {
    /// Takes every slot, or none. If the device is new to the license, `activation` may activate it first. `in_doubt`:
    /// another lease was releasing one of the slots, and the server may still count it.
    ///
    /// After an error the server may still count a slot; see [`LeaseInner::may_be_held_at_server`].
    pub(crate) fn acquire(&self, call: &Call, in_doubt: bool, activation: &mut Activation) -> Result<(), Error> {
        let context = self.context(call, self.timeout);
        let mut slots = self.slots_even_if_over(call)?;
        slots.iter_mut().filter(|_| in_doubt).for_each(|slot| slot.mark_in_doubt(&context));
        let mut acquired = acquire_all(&context, &mut slots);
        if acquired.as_ref().is_err_and(|error| activation.may_help(error)) {
            acquired = activation.perform(&context).and_then(|()| acquire_all(&context, &mut slots));
        }
        self.note_license(&slots);
        let started = acquired.and_then(|confirmations| self.start(confirmations));
        if started.is_err() {
            // Slots that were taken and released again may have to be released once more.
            self.note_repeats(&slots);
        }
        started
    }

    /// Starts the life of the lease, which its host hears of by the reply of the acquire, and not by an event.
    fn start(&self, confirmations: Confirmations) -> Result<(), Error> {
        let clock = &self.shared.clock;
        let doubted_until = doubted_until(&confirmations);
        let (input, borrowed_until, replies) = combined(confirmations);
        let mut status = self.status();
        status.start(input, clock);
        if let Some(until) = doubted_until {
            // A release that got no answer may still be on its way to the server.
            status.start(Input::Doubted { until }, clock);
        }
        if status.state() == State::Lost {
            let late = "The answer came when the slot's time was over.";
            return Err(Error::because(Status::Timeout, late).with_unknown_outcome());
        }
        status.confirmed(borrowed_until, replies);
        Ok(())
    }

    /// Tells the host that an acquire has failed with `error`, and tries again after a pause.
    pub(crate) fn tell_waiting(&self, ticket: Option<u64>, error: &Error, next: Duration, left: Duration) {
        let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let mut event = vec![("event", "WAITING".into())];
        event.extend(ticket.map(|ticket| ("ticket", ticket.into())));
        event.extend(self.label.members());
        event.extend([
            ("status", error.status.number().into()),
            ("name", error.status.row().name.into()),
            ("reason", error.message().into()),
            ("asks_again_in_ms", millis(next).into()),
            ("left_ms", millis(left).into()),
        ]);
        self.shared.events.push(json::object(&event));
    }
}

/// Takes all slots. If one can't be had, releases those that were taken, in reverse.
fn acquire_all(context: &RequestContext, slots: &mut [Slot]) -> Result<Confirmations, Error> {
    let mut confirmations = Vec::new();
    for at in 0..slots.len() {
        match slots[at].acquire(context) {
            Ok(confirmation) => confirmations.push((slots[at].feature.clone(), confirmation)),
            Err(error) => {
                // What can't be released now is released when the failed lease is dropped.
                let released = slots[..at].iter_mut().rev().map(|slot| slot.release(context, ReleaseMode::KeepBorrow));
                let all_released = released.filter(Result::is_err).count() == 0;
                let error = about(if all_released { error } else { error.with_unknown_outcome() }, &slots[at]);
                // Since other slots were taken and released, a request was sent, and nothing is held.
                let is_undone = at > 0 && error.outcome == Outcome::NotSent;
                return Err(if is_undone { error.with_outcome(Outcome::Rejected) } else { error });
            }
        }
    }
    Ok(confirmations)
}
