//! Taking all slots of a lease, and waiting for them while others hold them.

use crate::client::jittered;
use crate::error::{Error, Outcome};
use crate::http::Call;
use crate::json;
use crate::lease::context::RequestContext;
use crate::lease::lease_inner::activation::Activation;
use crate::lease::lease_inner::state::{Confirmations, LeaseInner, about, combined, doubted_until};
use crate::lease::slot::{ReleaseMode, Slot};
use crate::lease::state_machine::{Input, State};
use crate::status::{Category, Retry, Status};
use std::time::{Duration, Instant};

/// The first pause before an acquire that waits asks again; it doubles from there.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest of these pauses.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// A call that acquires a lease: the parts of its request that the lease need not keep.
pub(crate) struct AcquireCall<'a> {
    pub(crate) call: &'a Call,
    /// The ticket of the call, if it was submitted.
    pub(crate) ticket: Option<u64>,
    /// How long to wait for a slot when all are taken.
    pub(crate) wait: Duration,
    /// True if a device that is new to the license is to be activated first.
    pub(crate) activate: bool,
    /// True if another lease was releasing one of the slots, and the server may still count it.
    pub(crate) in_doubt: bool,
}

impl LeaseInner {
    /// Takes every slot, or none.
    ///
    /// After an error the server may still count a slot; see [`LeaseInner::may_be_held_at_server`].
    pub(crate) fn acquire(&self, acquire: &AcquireCall) -> Result<(), Error> {
        let context = self.context(acquire.call, self.timeout);
        let mut slots = self.slots_even_if_over(acquire.call)?;
        slots.iter_mut().filter(|_| acquire.in_doubt).for_each(|slot| slot.mark_in_doubt(&context));
        let mut activation = Activation::of(acquire.activate);
        let acquired = self.wait_for_slots(&context, &mut slots, acquire, &mut activation);
        let acquired = acquired.map_err(|error| activation.told_in(error));
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

    /// Tries again while all slots are taken or the server can't be reached, with growing pauses. Tries again at once when
    /// the device has been activated.
    fn wait_for_slots(
        &self,
        context: &RequestContext,
        slots: &mut [Slot],
        acquire: &AcquireCall,
        activation: &mut Activation,
    ) -> Result<Confirmations, Error> {
        let started = Instant::now();
        let mut pause = FIRST_PAUSE;
        loop {
            let error = match acquire_all(context, slots) {
                Err(error) if activation.may_help(&error) => {
                    activation.perform(context)?;
                    continue;
                }
                Err(error) if may_succeed_later(&error) => error,
                result => return result,
            };
            let left = acquire.wait.saturating_sub(started.elapsed());
            if left.is_zero() {
                return Err(error);
            }
            let next = jittered(pause).max(error.retry_after.unwrap_or_default()).min(left);
            self.tell_waiting(acquire.ticket, &error, next, left);
            context.pause(next)?;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn tell_waiting(&self, ticket: Option<u64>, error: &Error, next: Duration, left: Duration) {
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

/// Returns whether waiting may help: all slots are taken, the system is out of a resource, or the server can't be reached
/// just now.
fn may_succeed_later(error: &Error) -> bool {
    let row = error.status.row();
    let is_unreachable = row.category == Category::Network && row.retry == Retry::Later;
    let may_pass = matches!(error.status, Status::FloatingNotAvailable | Status::OutOfResources);
    may_pass || is_unreachable && error.status != Status::Cancelled
}
