//! Sends queued consumptions one by one, until the result of each is known or can't be known.
//!
//! Consumptions are on disk before they are sent, and stay there until their result is known. After a lost reply, a server
//! that supports `Idempotency-Key` is asked again under the same key. Any other server is asked for its total. If the total
//! is unchanged and can't have sunk, nothing was booked, and the consumptions are sent again.
//!
//! A total that has risen proves nothing, even by the right amount: another device may have consumed, and no reply tells
//! which one has. The outcome is then unknown, and the host is told so. A license for one device would not prove more,
//! because other programs of that device may consume as well.

use crate::client::{Answer, jittered};
use crate::error::{Error, Outcome};
use crate::lease::consumption::entry::{EntryState, QueuedConsumption};
use crate::lease::consumption::group_commit::GroupCommit;
use crate::lease::consumption::queue::Change;
use crate::lease::context::{RequestContext, consumption_life_ms};
use crate::lease::slot::Slot;
use crate::operations::Operation;
use crate::status::{Category, Status};
use crate::strict::Object;
use serde_json::Value;
use std::time::Duration;

/// The name of the activity in the server's log for consumptions that are sent later.
const LATER: &str = "offline_floating_consumptions_sync";
/// How often consumptions are sent before the queue waits for a better time.
const MOST_TRIES: u32 = 4;
/// The pause after the first try; it doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const DAY_MS: i64 = 24 * 60 * 60 * 1000;
/// The age of a request within which the server surely remembers its key. A server keeps keys for a week; a day is
/// subtracted because clocks differ. After that, as after a long trip, the same key could be booked a second time.
const SURELY_REMEMBERED_MS: std::ops::Range<i64> = -DAY_MS..6 * DAY_MS;

/// Sends queued consumptions of one license.
pub(crate) struct Sender<'a> {
    pub(crate) context: RequestContext<'a>,
    queue: &'a GroupCommit,
    /// The total in the last reply, and the feature that it is about.
    total: Option<(Option<String>, i64)>,
    /// The time until a late request can't be carried out any more, if the queue waits for that and the call lasts as long.
    retry_after_life: Option<Duration>,
}

/// How consumptions are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Manner {
    /// A call waits for their result.
    pub(crate) is_awaited: bool,
    /// They are stored as in doubt, because they are about to be sent for the first time.
    pub(crate) is_first_try: bool,
}

/// The result of sending one request.
pub(crate) enum SendResult {
    /// Contains the server's reply.
    Booked(String),
    Refused(Error),
    Unknown(Error),
    /// The server has not booked the consumptions, for a reason that may be mended.
    Waits(Error),
}

impl<'a> Sender<'a> {
    pub(crate) fn new(context: RequestContext<'a>, queue: &'a GroupCommit) -> Sender<'a> {
        Sender { context, queue, total: None, retry_after_life: None }
    }

    /// Begins a turn to send. Other processes may have consumed since the last one.
    pub(crate) fn begin_turn(&mut self) {
        (self.total, self.retry_after_life) = (None, None);
    }

    /// Returns the time until a late request can't be carried out any more, if that was why the last one failed and the
    /// call lasts as long.
    pub(crate) fn retry_after_life(&self) -> Option<Duration> {
        self.retry_after_life
    }

    /// Returns whether the server is known to book each idempotency key once.
    pub(crate) fn may_send_many(&self) -> bool {
        self.context.shared.client.supports_idempotency() == Some(true)
    }

    /// Returns the state of consumptions that are about to be sent to a server that supports idempotency keys.
    pub(crate) fn doubt(&self) -> EntryState {
        EntryState::InDoubt {
            total_before: None,
            at_ms: self.now_ms(),
            life_ms: consumption_life_ms(self.context.timeout),
        }
    }

    /// Makes a change of the queue, on the disk.
    pub(crate) fn write(&self, change: Change) -> Result<(), Error> {
        self.queue.write(&self.context.shared.client, change).map(drop)
    }

    /// Sends one request until its result is known, or can't be known.
    ///
    /// # Errors
    /// The consumptions stay queued, because of this.
    pub(crate) fn send(&mut self, entry: &mut QueuedConsumption, manner: Manner) -> Result<SendResult, Error> {
        let (mut tries, mut is_first_try) = (0, manner.is_first_try);
        loop {
            if !is_first_try && let Some(why) = self.resolve_doubt(entry)? {
                return Ok(SendResult::Unknown(unclear(why)));
            }
            let in_doubt = entry.state != EntryState::Waiting && !is_first_try;
            if entry.state == EntryState::Waiting
                && let Err(error) = self.mark_in_doubt(entry)
            {
                return if is_definite(&error) { Ok(SendResult::Waits(error)) } else { Err(error) };
            }
            is_first_try = false;
            let known = self.total.take();
            let error = match self.ask(entry, manner.is_awaited) {
                Ok(answer) => {
                    self.total = total(&answer).map(|total| (entry.feature().map(str::to_owned), total));
                    return Ok(SendResult::Booked(answer.text));
                }
                Err(error) => error,
            };
            match error.outcome {
                // Consumptions that are booked already may be refused for any reason but too few being left.
                Outcome::Rejected if in_doubt && is_final(&error) && !is_too_few(error.status) => {
                    return Ok(SendResult::Unknown(error.with_unknown_outcome()));
                }
                Outcome::Rejected if is_final(&error) => {
                    self.total = known;
                    return Ok(SendResult::Refused(error));
                }
                Outcome::Rejected | Outcome::NotSent if in_doubt => return Err(error),
                Outcome::Rejected | Outcome::NotSent => {
                    self.set_state(entry, EntryState::Waiting)?;
                    return if is_definite(&error) { Ok(SendResult::Waits(error)) } else { Err(error) };
                }
                Outcome::Unknown => {
                    tries += 1;
                    self.pause_after(error, tries)?;
                }
            }
        }
    }

    /// Finds out whether a request in doubt was booked, if it can't be repeated under its key. Returns why that can't be
    /// found out, if it can't.
    fn resolve_doubt(&mut self, entry: &mut QueuedConsumption) -> Result<Option<String>, Error> {
        let EntryState::InDoubt { total_before, mut at_ms, life_ms } = entry.state else { return Ok(None) };
        if self.is_remembered(entry, at_ms) {
            return Ok(None);
        }
        if self.context.shared.client.supports_idempotency() != Some(true) {
            if at_ms > self.now_ms() {
                // The clock was set back, so the age of the request is not known. It is treated as if it were sent now.
                at_ms = self.now_ms();
                self.set_state(entry, EntryState::InDoubt { total_before, at_ms, life_ms })?;
                if self.is_remembered(entry, at_ms) {
                    return Ok(None);
                }
            }
            self.check_end_of(at_ms, life_ms)?;
        }
        match self.check_total(entry, total_before, at_ms)? {
            TotalCheck::NotBooked => self.set_state(entry, EntryState::Waiting).map(|()| None),
            TotalCheck::Unclear(why) => Ok(Some(why)),
        }
    }

    /// Stores that a request is about to be sent, with the total before it.
    fn mark_in_doubt(&mut self, entry: &mut QueuedConsumption) -> Result<(), Error> {
        let total_before = self.total_before(entry)?;
        // A request about the wrong license of a user is sent once more, with a time limit of its own.
        let requests = if entry.license_id().is_some() { 2 } else { 1 };
        let (at_ms, life_ms) = (self.now_ms(), consumption_life_ms(self.context.timeout * requests));
        self.set_state(entry, EntryState::InDoubt { total_before, at_ms, life_ms })
    }

    /// Returns whether the server surely does not book this key, which was sent at `at_ms`, a second time.
    fn is_remembered(&self, entry: &QueuedConsumption, at_ms: i64) -> bool {
        self.supports_idempotency(entry) && SURELY_REMEMBERED_MS.contains(&self.now_ms().saturating_sub(at_ms))
    }

    /// Returns whether the server books a key once. If it has not shown that yet, it is asked to book a consumption of 0,
    /// whose reply shows it. A request in doubt can then be repeated instead of being judged by a total.
    fn supports_idempotency(&self, entry: &QueuedConsumption) -> bool {
        if let (None, Some(operation)) =
            (self.context.shared.client.supports_idempotency(), Operation::named(&entry.operation))
        {
            let names = entry.parameters.iter().filter(|(key, _)| ["feature", "license_id"].contains(&key.as_str()));
            let mut own: Vec<_> = names.map(|(key, value)| (key.as_str(), value.clone())).collect();
            own.push(("consumptions", 0.into()));
            // The client notes whether the answer repeats the key, whatever else it says.
            let _ = self.context.ask(operation.name, &own);
        }
        self.context.shared.client.supports_idempotency() == Some(true)
    }

    fn ask(&self, entry: &QueuedConsumption, is_awaited: bool) -> Result<Answer, Error> {
        let operation = Operation::named(&entry.operation).ok_or_else(|| Error::new(Status::UnknownOperation))?;
        let mut own = vec![("idempotency_key", Value::from(entry.key.as_str()))];
        if !is_awaited && !entry.parameters.contains_key("event") {
            own.push(("event", vec![LATER].into()));
        }
        own.extend(entry.parameters.iter().map(|(key, value)| (key.as_str(), value.clone())));
        match self.context.ask(operation.name, &own) {
            Err(error) if entry.license_id().is_some() && is_for_another_license(&error) => {
                own.retain(|(key, _)| *key != "license_id");
                self.context.ask(operation.name, &own)
            }
            answer => answer,
        }
    }

    /// The total before consumptions are sent, which tells afterwards whether they were booked. Not needed from a server
    /// that supports keys; `None` if the server does not tell it.
    fn total_before(&mut self, entry: &QueuedConsumption) -> Result<Option<i64>, Error> {
        if self.context.shared.client.supports_idempotency() == Some(true) {
            return Ok(None);
        }
        match &self.total {
            Some((feature, total)) if feature.as_deref() == entry.feature() => Ok(Some(*total)),
            _ => match self.peek(entry) {
                Ok(found) => Ok(found.and_then(|license| consumed(&license))),
                Err(error) if error.status == Status::FloatingNotAvailable => Ok(None),
                Err(error) => Err(error),
            },
        }
    }

    /// Fails as long as a request that was sent at `at_ms` and lives for `life_ms` may still be carried out. A slow
    /// server may book it after it was asked for the total, so the total proves something only later.
    fn check_end_of(&mut self, at_ms: i64, life_ms: i64) -> Result<(), Error> {
        let age_ms = self.now_ms().saturating_sub(at_ms);
        let left_ms = life_ms.saturating_sub(age_ms);
        if left_ms <= 0 {
            return Ok(());
        }
        let left = Duration::from_millis(left_ms.unsigned_abs());
        let in_time = self.context.call.left().is_ok_and(|until_deadline| left < until_deadline);
        self.retry_after_life = in_time.then_some(left);
        let seconds = left_ms / 1000 + 1;
        let message = format!(
            "The server may still book consumptions that it was asked for. In {seconds} s its total tells whether it has."
        );
        Err(Error::because(Status::ConnectionLost, message).with_unknown_outcome())
    }

    /// Compares the total with the one before, to find out whether the server has booked the consumptions.
    fn check_total(
        &mut self,
        entry: &QueuedConsumption,
        total_before: Option<i64>,
        at_ms: i64,
    ) -> Result<TotalCheck, Error> {
        let Some(before) = total_before else {
            return Ok(TotalCheck::Unclear("The total before is not known.".to_owned()));
        };
        let Some(license) = self.peek(entry)? else {
            return Ok(TotalCheck::Unclear("The server does not tell the total any more.".to_owned()));
        };
        let now = consumed(&license);
        self.total = now.map(|total| (entry.feature().map(str::to_owned), total));
        // Totals that are reset are reset at midnight.
        let is_reset = license.get("reset_consumption") == Some(&Value::Bool(true));
        let may_sink = license.get("allow_negative_consumptions") != Some(&Value::Bool(false));
        Ok(if is_reset && at_ms.div_euclid(DAY_MS) != self.now_ms().div_euclid(DAY_MS) {
            TotalCheck::Unclear("The total has begun again since.".to_owned())
        } else {
            total_check(before, entry.amount(), now, may_sink)
        })
    }

    /// Asks for the license or the feature; `None` if the server refuses.
    fn peek(&self, entry: &QueuedConsumption) -> Result<Option<Object>, Error> {
        match Slot::peek(&self.context, entry.feature(), entry.license_id()) {
            Ok(answer) => Ok(serde_json::from_str(&answer.text).ok()),
            Err(error) if error.is_refusal() && error.status != Status::FloatingNotAvailable => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn set_state(&mut self, entry: &mut QueuedConsumption, state: EntryState) -> Result<(), Error> {
        entry.state = state.clone();
        self.write(Change::States(vec![(entry.key.clone(), state)]))
    }

    /// Waits before the next try, unless the call would be over by then.
    fn pause_after(&self, error: Error, tries: u32) -> Result<(), Error> {
        let pause =
            jittered(FIRST_PAUSE * 2_u32.pow(tries.min(MOST_TRIES) - 1)).max(error.retry_after.unwrap_or_default());
        let in_time = self.context.call.left().is_ok_and(|left| pause < left);
        if error.status == Status::Cancelled || tries >= MOST_TRIES || !in_time {
            return Err(error);
        }
        self.context.pause(pause).map_err(|_| error)
    }

    fn now_ms(&self) -> i64 {
        self.context.shared.clock.wall().timestamp_millis()
    }
}

/// The conclusion from the total about consumptions whose reply was lost.
#[derive(Debug, PartialEq)]
enum TotalCheck {
    /// They were not booked, or their amount is 0, so they can be sent again.
    NotBooked,
    Unclear(String),
}

fn total_check(before: i64, amount: i64, now: Option<i64>, may_sink: bool) -> TotalCheck {
    match now {
        _ if amount == 0 => TotalCheck::NotBooked,
        Some(now) if now == before && !may_sink => TotalCheck::NotBooked,
        Some(now) => {
            TotalCheck::Unclear(format!("The total was {before} before {amount} were to be booked, and is {now}."))
        }
        None => TotalCheck::Unclear("The server does not tell the total any more.".to_owned()),
    }
}

fn total(answer: &Answer) -> Option<i64> {
    consumed(&serde_json::from_str(&answer.text).ok()?)
}

fn consumed(reply: &Object) -> Option<i64> {
    reply.get("total_consumptions").and_then(Value::as_i64)
}

/// Returns whether the server would refuse the same consumptions again: the refusal is about them or their license, and
/// not about the connection. A proxy may answer with unknown codes too, but with other HTTP statuses.
fn is_final(error: &Error) -> bool {
    let about_the_request = matches!(error.status, Status::ValidationError | Status::MissingParameters);
    let unheard_of = error.status == Status::UnknownCode && error.http_status == Some(400);
    error.is_refusal() || error.outcome == Outcome::Rejected && (about_the_request || unheard_of)
}

/// Returns whether a request about the license of a lease was meant for another license of the same user, because the
/// lease's license has no such feature, or has no consumptions. The server has done nothing then.
pub(crate) fn is_for_another_license(error: &Error) -> bool {
    let of_others =
        [Status::LicenseNotConsumption, Status::UnsupportedProductFeature, Status::InvalidLicenseFeatureCode];
    error.is_refusal() && of_others.contains(&error.status)
}

fn is_too_few(status: Status) -> bool {
    matches!(status, Status::FeatureNotEnoughConsumptions | Status::LicenseNotEnoughConsumptions)
}

/// Returns whether the server has refused, and not only asked to come back later.
fn is_definite(error: &Error) -> bool {
    error.outcome == Outcome::Rejected && error.status.row().category != Category::Network
}

fn unclear(why: String) -> Error {
    Error::because(Status::ConnectionLost, why).with_unknown_outcome()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_total_that_nobody_can_have_changed_tells_that_nothing_was_booked() {
        for (before, amount, now, may_sink, expected) in [
            (10, 3, Some(10), false, true),
            (10, 3, Some(10), true, false),
            (10, 3, Some(13), false, false),
            (10, 3, Some(13), true, false),
            (10, -3, Some(7), true, false),
            (10, -3, Some(10), true, false),
            (10, 3, Some(12), false, false),
            (10, 3, Some(16), false, false),
            (10, 3, Some(0), false, false),
            (10, 3, None, false, false),
            (10, 0, Some(10), true, true),
            (10, 0, Some(15), true, true),
        ] {
            let nothing = total_check(before, amount, now, may_sink) == TotalCheck::NotBooked;
            assert_eq!(nothing, expected, "{before} {amount} {now:?} {may_sink}");
        }
    }

    #[test]
    fn only_a_word_about_the_consumptions_is_final() {
        let error = |status, http_status| {
            let mut error = Error::new(status).with_outcome(Outcome::Rejected);
            error.http_status = Some(http_status);
            error
        };
        for (status, http_status, expected) in [
            (Status::FeatureNotEnoughConsumptions, 400, true),
            (Status::UnsupportedProductFeature, 400, true),
            (Status::LicenseExpired, 400, true),
            (Status::ValidationError, 400, true),
            (Status::UnknownCode, 400, true),
            (Status::UnknownCode, 403, false),
            (Status::NotFound, 404, false),
            (Status::SignatureMismatch, 400, false),
            (Status::InvalidApiKey, 400, false),
            (Status::RateLimited, 429, false),
        ] {
            assert_eq!(is_final(&error(status, http_status)), expected, "{status:?} {http_status}");
        }
        let doubtful = error(Status::ValidationError, 500).with_unknown_outcome();
        assert!(!is_final(&doubtful));
    }
}
