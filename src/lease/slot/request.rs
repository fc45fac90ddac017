//! Requests about one slot, each with an order number, and noted in the record as unanswered before it leaves.

use crate::client::Answer;
use crate::error::{Error, Outcome};
use crate::lease::context::RequestContext;
use crate::lease::slot::record::Record;
use crate::lease::slot::state::Slot;
use crate::lease::slot::status::Confirmation;
use crate::lease::state_machine::Millis;
use crate::lease::unanswered::Late;
use serde_json::Value;

/// How a request depends on its record being on disk before it leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RecordWrite {
    /// If it can't be written, the request is not sent.
    Required,
    /// If it can't be written, the request is sent all the same, because the slot at the server is worth more.
    BestEffort,
    /// The record is damaged and may be all there is, so it stays untouched until the server has answered.
    Forbidden,
}

impl Slot {
    /// Sends a request about this slot. The caller holds the slot's process lock.
    ///
    /// The order number, and that an answer is outstanding, are in `record` before the request leaves. A process that
    /// comes later therefore draws a higher number.
    pub(super) fn ask(
        &mut self,
        context: &RequestContext,
        record: &mut Record,
        record_write: RecordWrite,
        operation: &'static str,
        own: &[(&str, Value)],
    ) -> Result<Answer, Error> {
        let before = record.clone();
        let answer = context.ask_in_order(operation, own, &mut || {
            record.order = context.shared.client.draw_order(record.order);
            record.expect_answer(&context.shared.clock, context.life_ms());
            match record_write {
                RecordWrite::Required => self.write(record, context)?,
                RecordWrite::BestEffort => drop(self.write(record, context)),
                RecordWrite::Forbidden => {}
            }
            Ok(record.order)
        });
        context.note_answer(self.feature.as_deref(), operation, &answer);
        match &answer {
            Ok(answer) if answer.in_order => record.answered(None),
            Err(error) if error.in_order => record.answered(None),
            Ok(answer) if answer.unanswered_attempt => {}
            Err(error) if error.outcome == Outcome::Unknown => {}
            _ => record.answered(Some(&before)),
        }
        answer
    }

    /// Asks the server for the slot, or for another timeout of it. The caller holds the slot's process lock.
    pub(super) fn check(
        &mut self,
        context: &RequestContext,
        record: &mut Record,
        record_write: RecordWrite,
    ) -> Result<(Confirmation, Answer), Error> {
        let (operation, own) = self.operation(context, "check_license", "check_feature");
        let asked_at = context.shared.clock.now();
        let answer = self.ask(context, record, record_write, operation, &own)?;
        Ok((Confirmation::from_answer(context, self.feature.as_deref(), asked_at, &answer)?, answer))
    }

    /// Asks for another timeout of the slot without holding the process lock during the request, so that a slow renewal
    /// blocks no other process.
    ///
    /// If another process has the lock, or nothing can be written, the order number is known to this process alone: the
    /// slot is worth more than the record.
    pub(super) fn check_without_lock(&mut self, context: &RequestContext) -> Result<(Confirmation, Answer), Error> {
        let (operation, own) = self.operation(context, "check_license", "check_feature");
        let clock = &context.shared.clock;
        let asked_at = clock.now();
        let mut own_mark = None;
        let answer = context.ask_in_order(operation, &own, &mut || {
            let guard = self.file.as_ref().and_then(|_| self.try_lock());
            let Some(mut record) = guard.as_ref().and_then(|_| self.read().ok()) else {
                return Ok(context.shared.client.draw_order(0));
            };
            record.order = context.shared.client.draw_order(record.order);
            let is_first = record.unanswered_until(clock).is_none();
            own_mark = Some(record.expect_answer(clock, context.life_ms())).filter(|_| is_first);
            let _ = self.write(&mut record, context);
            Ok(record.order)
        });
        context.note_answer(self.feature.as_deref(), operation, &answer);
        let answer = answer?;
        if let Some(mark) = own_mark.filter(|_| !answer.in_order && !answer.unanswered_attempt) {
            self.forget_unanswered(context, mark);
        }
        Ok((Confirmation::from_answer(context, self.feature.as_deref(), asked_at, &answer)?, answer))
    }

    /// Stores that a renewal was answered, so that a process that releases the slot next has no reason to repeat that.
    fn forget_unanswered(&self, context: &RequestContext, mark: i64) {
        let Some(_guard) = self.try_lock() else { return };
        if let Ok(mut record) = self.read()
            && record.forget_unanswered(mark)
        {
            let _ = self.write(&mut record, context);
        }
    }

    /// The operation about this slot, and the keys that it needs.
    pub(super) fn operation(
        &self,
        context: &RequestContext,
        of_license: &'static str,
        of_feature: &'static str,
    ) -> (&'static str, Vec<(&'static str, Value)>) {
        let license = self.license_id.filter(|_| context.license_ref.license_id.is_none());
        let mut own: Vec<_> = license.into_iter().map(|id| ("license_id", id.into())).collect();
        own.extend(self.feature.as_deref().map(|feature| ("feature", feature.into())));
        (if self.feature.is_some() { of_feature } else { of_license }, own)
    }

    /// The moment until which a server without order numbers may carry out a request about the slot that got no answer.
    /// Counts requests of this client, and those that the record tells of.
    pub(super) fn unanswered_until(&self, context: &RequestContext, record: &Record) -> Option<Millis> {
        context.unanswered_until(self.feature.as_deref()).max(record.unanswered_until(&context.shared.clock))
    }

    /// Notes that another lease was releasing the slot, and that the server's answer was not waited for.
    pub(crate) fn mark_in_doubt(&mut self, context: &RequestContext) {
        self.in_doubt = true;
        context.note_unanswered(self.feature.as_deref(), Late::GivesBack);
    }
}
