//! Releasing all slots of a lease, by its host and after it was closed.

use crate::client::jittered;
use crate::error::{Error, Outcome};
use crate::http::Call;
use crate::lease::context::RequestContext;
use crate::lease::lease_inner::state::LeaseInner;
use crate::lease::slot::{Record, ReleaseMode, Slot};
use crate::lease::state_machine::Input;
use crate::status::{Category, Status};
use std::time::Duration;

/// The first pause before a slot is released again, after the server could not be reached; it doubles from there.
const FIRST_RETRY: Duration = Duration::from_millis(100);
/// The longest of these pauses.
const LONGEST_RETRY: Duration = Duration::from_secs(1);
/// Time limit for each request that releases a slot left behind by a dead process, after our own acquire has succeeded.
const ORPHAN_TIMEOUT: Duration = Duration::from_secs(2);

impl LeaseInner {
    /// Releases every slot; at the server, if no other process of this machine holds it. A slot whose release fails is
    /// still held, and the lease is lost without the others.
    pub(crate) fn release(&self, call: &Call, timeout: Duration, mode: ReleaseMode) -> Result<(), Error> {
        let mut slots = self.slots_after(call, || self.cancel_calls())?;
        let context = self.context(call, timeout);
        self.remember_borrows_by_verbs(&mut slots);
        let count = |slots: &[Slot]| slots.iter().filter(|slot| slot.may_be_held_at_server()).count();
        let count_before = count(&slots);
        let release = |slot: &mut Slot| slot.release(&context, mode);
        let results: Vec<_> = slots.iter_mut().rev().map(release).collect();
        self.note_repeats(&slots);
        let error = match results.into_iter().collect::<Result<Vec<_>, Error>>() {
            Ok(refusals) => {
                // A server that does not know the slot has nothing to free. The lease is over, and its status says why.
                if let Some(refusal) = refusals.into_iter().flatten().next() {
                    self.status().set_error(&refusal);
                }
                self.mark_released();
                return Ok(());
            }
            Err(error) => error,
        };
        if !slots.iter().all(Slot::is_held) {
            let mut status = self.status();
            status.set_error(&error);
            status.step(Input::PartlyReleased, &self.shared.clock, &self.shared.events);
        } else if error.outcome == Outcome::Unknown {
            self.note_unanswered_release();
        }
        let something_was_done = count(&slots) < count_before;
        Err(if something_was_done { error.with_unknown_outcome() } else { error })
    }

    /// Notes that a release got no answer, so that the server may have freed a slot.
    pub(crate) fn note_unanswered_release(&self) {
        self.step(Input::ReleaseUnanswered);
    }

    /// Releases every slot that is not borrowed, as soon as the server can be reached, as long as the call lasts.
    pub(crate) fn release_with_retry(&self, call: &Call) -> Result<(), Error> {
        let context = self.context(call, self.timeout);
        let mut pause = FIRST_RETRY;
        loop {
            let Err(error) = self.release(call, self.timeout, ReleaseMode::KeepBorrow) else { return Ok(()) };
            if !may_be_retried(&error) || context.pause(jittered(pause)).is_err() {
                return Err(error);
            }
            pause = (pause * 2).min(LONGEST_RETRY);
        }
    }

    /// Releases the slots after the host has closed the lease.
    ///
    /// # Errors
    /// A slot could not be released. The others were tried too.
    pub(crate) fn release_after_close(&self, call: &Call) -> Result<(), Error> {
        let context = self.context(call, self.timeout);
        let mut slots = self.slots_even_if_over(call)?;
        let borrows = std::mem::take(&mut *self.borrows_by_verbs());
        let mut result = Ok(());
        for slot in slots.iter_mut().rev() {
            let of_slot = borrows.iter().filter(|borrow| slot.is_of(borrow.feature.as_deref()));
            slot.remember_borrow(of_slot.map(|borrow| borrow.until).max());
            result = result.and(release_with_retry(&context, slot));
        }
        self.note_repeats(&slots);
        result
    }

    /// Releases slots again that a late request may have taken since.
    pub(crate) fn repeat_release(&self, call: &Call) {
        let context = self.context(call, self.timeout);
        if let Some(mut slots) = self.try_slots() {
            for slot in slots.iter_mut().rev() {
                // A release that fails stays due.
                let _ = slot.repeat_release(&context);
            }
            self.note_repeats(&slots);
        }
    }

    /// Releases slots of this license that dead processes have left on this device. False if a slot may have to be
    /// released once more.
    pub(crate) fn release_orphans(&self, call: &Call) -> bool {
        let Some(folder) = self.shared.folder() else { return true };
        let context = self.context(call, self.timeout.min(ORPHAN_TIMEOUT));
        let mut is_final = true;
        for feature in Record::stored_features(folder, &self.license_ref) {
            let slot = Slot::new(&self.shared, &self.license_ref, feature.as_deref());
            match slot.and_then(|mut slot| slot.release_orphan(&context)) {
                Ok(is_done) => is_final &= is_done,
                Err(_) => return false,
            }
        }
        is_final
    }

    /// Gives up the slots of these names without telling the server; see [`Slot::abandon`].
    pub(crate) fn abandon(&self, names: &[String]) {
        if let Some(mut slots) = self.try_slots() {
            let named = slots.iter_mut().zip(&self.slot_names).filter(|(_, name)| names.contains(name));
            named.for_each(|(slot, _)| slot.abandon());
        }
    }

    /// Stops repeating the release of the slots of these names, because another lease takes them.
    pub(crate) fn stop_repeating_release(&self, names: &[String]) {
        if let Some(mut slots) = self.try_slots() {
            let named = slots.iter_mut().zip(&self.slot_names).filter(|(_, name)| names.contains(name));
            named.for_each(|(slot, _)| slot.stop_repeating_release());
            self.note_repeats(&slots);
        }
    }
}

/// Releases a slot as soon as the server can be reached, as long as the call lasts.
fn release_with_retry(context: &RequestContext, slot: &mut Slot) -> Result<(), Error> {
    let mut pause = FIRST_RETRY;
    while let Err(error) = slot.release(context, ReleaseMode::KeepBorrow) {
        if !may_be_retried(&error) || context.pause(jittered(pause)).is_err() {
            return Err(error);
        }
        pause = (pause * 2).min(LONGEST_RETRY);
    }
    Ok(())
}

/// Returns whether a release that has failed may succeed soon: the server can't be reached just now.
fn may_be_retried(error: &Error) -> bool {
    let is_of_network = error.status.row().category == Category::Network && error.status != Status::Cancelled;
    is_of_network || error.status == Status::OutOfResources
}
