//! Renewing a slot, without locking other processes out while the server is asked.

use crate::client::Answer;
use crate::error::{Error, Outcome};
use crate::lease::context::{RequestContext, object, says};
use crate::lease::slot::borrow::apply_stored_proof;
use crate::lease::slot::proof::Proof;
use crate::lease::slot::record::Record;
use crate::lease::slot::state::Slot;
use crate::lease::slot::status::{Confirmation, SlotStatus};
use crate::lease::storage::process_lock::HolderLock;
use crate::status::Status;

impl Slot {
    /// Asks the server for another timeout of the slot.
    pub(crate) fn renew(&mut self, context: &RequestContext) -> Result<Confirmation, Error> {
        self.replace_removed_holder(context);
        // A release that got no answer may be carried out before this renewal, and its time may be over when the renewal's
        // answer arrives. So it is looked for before the request and again after it.
        let released_until = context.given_back_until(self.feature.as_deref());
        let was_in_doubt = self.in_doubt;
        let proof_before = self.read().ok().and_then(|record| record.proof);
        let checked = self.check_without_lock(context);
        self.in_doubt = checked.as_ref().is_err_and(|error| error.outcome == Outcome::Unknown);
        let (confirmation, answer) = match checked {
            // A cancelled renewal is followed by a release, which must not end a borrow that this lease has not made.
            Err(error) if !self.borrowed && !error.is_refusal() && error.status != Status::Cancelled => {
                return self.borrowed_by_another_process(context).ok_or(error);
            }
            checked => checked?,
        };
        let released_until = released_until.max(context.given_back_until(self.feature.as_deref()));
        let doubted_until = released_until.filter(|_| !answer.in_order);
        let confirmation = Confirmation { doubted_until, ..confirmation };
        let confirmation = match self.read() {
            Ok(record) if self.borrowed || was_in_doubt || record.proof.is_some() => {
                self.apply_renewed_borrow(context, &record, proof_before, confirmation, &answer)
            }
            _ => confirmation,
        };
        self.remember(&confirmation);
        Ok(confirmation)
    }

    /// Counts this process among the holders again if its lock file was removed, as by a cleanup of the folder. Processes
    /// that come later would not know that this one holds the slot.
    fn replace_removed_holder(&mut self, context: &RequestContext) {
        if let Some(Ok(false)) = self.holder.as_ref().map(HolderLock::is_in_place)
            && let Ok(guard) = self.lock(context)
        {
            // If that fails the slot is renewed all the same, because it is worth more.
            let _ = self.add_holder(&guard);
        }
    }

    /// The borrow that another process of this machine has made meanwhile. Used when the server could not be asked.
    fn borrowed_by_another_process(&mut self, context: &RequestContext) -> Option<Confirmation> {
        let record = self.read().ok()?;
        let until = record.proven_until(context).ok()??;
        Some(self.proven_borrow(context, record, until))
    }

    /// Compares the server's answer with the stored borrow, and stores what is new.
    fn apply_renewed_borrow(
        &mut self,
        context: &RequestContext,
        record: &Record,
        proof_before: Option<Proof>,
        confirmation: Confirmation,
        answer: &Answer,
    ) -> Confirmation {
        let confirmation = apply_stored_proof(context, record, confirmation, answer);
        let known_until = record.proven_until(context).ok().flatten();
        match confirmation.status {
            SlotStatus::Borrowed { until, .. } if known_until == Some(until) => self.borrowed = true,
            SlotStatus::Borrowed { .. } => return self.store_new_proof(context, confirmation, answer),
            // The borrow was in doubt, or ends sooner than is proven.
            SlotStatus::Held { .. } if says(&object(answer), "is_borrowed") => {
                return self.store_new_proof(context, confirmation, answer);
            }
            // The borrow is over, or was ended at the server, so nothing may rely on its proof any more.
            SlotStatus::Held { .. } => self.borrowed = self.forget_borrow(context, proof_before).is_err(),
        }
        confirmation
    }

    /// Stores what the server says about the borrow now, if anything can be stored.
    fn store_new_proof(
        &mut self,
        context: &RequestContext,
        confirmation: Confirmation,
        answer: &Answer,
    ) -> Confirmation {
        let Ok(guard) = self.lock(context) else { return confirmation };
        let Ok(mut record) = self.read() else { return confirmation };
        let confirmation = self.update_proof(context, &guard, &mut record, confirmation, answer);
        if self.write(&mut record, context).is_ok() {
            self.borrowed = record.proof.is_some();
        }
        confirmation
    }

    /// Removes the proof that was stored when the server was asked. A borrow that another process has made since stays.
    fn forget_borrow(&self, context: &RequestContext, proof_before: Option<Proof>) -> Result<(), Error> {
        let _guard = self.lock(context)?;
        let mut record = self.read()?;
        if record.proof != proof_before {
            return Ok(());
        }
        record.forget_proof();
        self.write(&mut record, context)
    }
}
