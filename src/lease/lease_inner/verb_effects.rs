//! What verbs of the client, called directly, have done to the slots of a lease.

use crate::http::Call;
use crate::lease::lease_inner::state::{BorrowByVerb, LeaseInner};
use crate::lease::slot::{ReleaseMode, Slot};
use crate::lease::state_machine::{Input, Millis, State};
use chrono::{DateTime, Utc};
use std::sync::atomic::Ordering;

impl LeaseInner {
    /// Notes that a verb has borrowed the slot of this feature until this date. A lease of that slot alone is borrowed
    /// then.
    pub(crate) fn note_borrow_by_verb(&self, call: &Call, feature: Option<&str>, until: DateTime<Utc>) {
        let noted_at = self.shared.clock.now();
        self.borrows_by_verbs().push(BorrowByVerb { feature: feature.map(str::to_owned), until, noted_at });
        let Ok(slots) = self.slots_even_if_over(call) else { return };
        let is_only_slot = slots.len() == 1 && slots.iter().any(|slot| slot.is_of(feature));
        if is_only_slot && self.status().state() != State::Released {
            self.apply_borrow(until);
        }
    }

    /// Notes that a verb, begun at `begun_at`, has released the slot of this feature (`Some(None)`: the license's own), or
    /// all slots. A lease that holds no slot any more is over. A lease that holds a part of its slots is lost until it has
    /// all of them again.
    pub(crate) fn note_release_by_verb(&self, call: &Call, feature: Option<Option<&str>>, begun_at: Millis) {
        let is_other = |borrow: &BorrowByVerb| feature.is_some_and(|feature| !is_same(&borrow.feature, feature));
        self.borrows_by_verbs().retain(is_other);
        let context = self.context(call, self.timeout);
        let Ok(mut slots) = self.slots_even_if_over(call) else { return };
        // A renewal that was under way at the same time may have taken the slot again.
        let was_renewed = self.renewed_at.load(Ordering::Acquire) >= begun_at;
        let released = slots.iter_mut().filter(|slot| feature.is_none_or(|feature| slot.is_of(feature)));
        let lost = released.filter_map(|slot| {
            let was_held = slot.is_held();
            let is_released = if was_renewed || slot.in_doubt {
                slot.release(&context, ReleaseMode::ReturnBorrow).is_ok()
            } else {
                slot.note_release_by_verb(&context)
            };
            (was_held && is_released).then_some(())
        });
        if lost.count() > 0 {
            let is_partly_held = slots.iter().any(Slot::is_held);
            self.step(if is_partly_held { Input::PartlyReleased } else { Input::Released });
        }
        self.note_repeats(&slots);
    }

    /// Tells the slots which of them verbs have borrowed, which decides how they are released.
    pub(super) fn remember_borrows_by_verbs(&self, slots: &mut [Slot]) {
        for borrow in self.borrows_by_verbs().iter() {
            let of_verb = slots.iter_mut().filter(|slot| slot.is_of(borrow.feature.as_deref()));
            of_verb.for_each(|slot| slot.remember_borrow(Some(borrow.until)));
        }
    }
}

/// Returns whether these are the same feature. The server does not distinguish upper and lower case.
fn is_same(feature: &Option<String>, other: Option<&str>) -> bool {
    feature.as_deref().map(str::to_ascii_lowercase) == other.map(str::to_ascii_lowercase)
}
