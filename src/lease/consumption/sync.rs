//! Consumptions that are booked later if the server can't be reached now: each once, in order, or told to the host.
//!
//! A wish is on disk before it is sent, and stays there until what came of it is known. After a lost reply a server that
//! honours `Idempotency-Key` is asked again under the same key. Any other is asked for its total: if that is as it was, and
//! can't have sunk meanwhile, nothing was booked, and the wish is sent again. A total that has risen proves nothing, even
//! by the right amount: it may be another device's, and no reply tells whose. Then the outcome is unknown, and the host is
//! told so. A license for a single device would not prove more: other programs of that device may consume as well.

use crate::client::{Answer, jittered};
use crate::error::{Error, Outcome};
use crate::lease::consumption::queue::{ConsumptionQueue, EntryState, QueuedConsumption, Rejection};
use crate::lease::context::RequestContext;
use crate::lease::slot::Slot;
use crate::lease::storage::process_lock::{ProcessLock, ProcessLockGuard};
use crate::operations::Operation;
use crate::status::{Category, Status};
use crate::strict::Object;
use serde_json::Value;
use std::path::Path;
use std::time::Duration;

/// The activity that a later booking is in the server's log.
const LATER: &str = "offline_floating_consumptions_sync";
/// How often one is tried before the others wait with it for a better time.
const MOST_TRIES: u32 = 4;
/// The pause after the first try; it doubles from there.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const DAY_MS: i64 = 24 * 60 * 60 * 1000;
/// A server that books a key once remembers it for a week. Another request under the same key could be booked again after
/// this long, as after a long trip. The day between them is for clocks that differ.
const SURELY_REMEMBERED_MS: std::ops::Range<i64> = -DAY_MS..6 * DAY_MS;

/// Who books what waits of one license, and with whom he takes turns.
pub(crate) struct ConsumptionSync<'a> {
    context: RequestContext<'a>,
    queue: ConsumptionQueue,
    /// One at a time, in all processes.
    turn: ProcessLock,
    /// What the last reply said is consumed, and of what.
    total: Option<(Option<String>, i64)>,
    /// So soon the request that the rest waits for can't be carried out any more, if that is before the deadline.
    settles_in: Option<Duration>,
}

/// What was done.
#[derive(Default)]
pub(crate) struct SyncResult {
    pub(crate) count: u64,
    /// Those that were refused, or of which nobody knows.
    pub(crate) settled: Vec<QueuedConsumption>,
    /// How it went with the one that the host waits for, if it was its turn.
    pub(crate) own: Option<Result<String, Error>>,
    /// Why the others wait on.
    pub(crate) trouble: Option<Error>,
}

/// What became of an entry.
enum SendResult {
    /// With the server's reply.
    Booked(String),
    Refused(Error),
    Unknown(Error),
    /// It was refused for what may be mended, and surely not booked.
    Waits(Error),
}

impl<'a> ConsumptionSync<'a> {
    /// Touches nothing yet.
    pub(crate) fn new(context: RequestContext<'a>, folder: &Path) -> Result<ConsumptionSync<'a>, Error> {
        let queue = ConsumptionQueue::new(folder, context.license_ref)?;
        let turn = ProcessLock::on_disk(folder, &format!("{}sync", context.license_ref.file_prefix()));
        Ok(ConsumptionSync { context, queue, turn, total: None, settles_in: None })
    }

    /// What waits, and what the host must still hear of.
    pub(crate) fn queue(&mut self) -> &mut ConsumptionQueue {
        &mut self.queue
    }

    /// Books what waits, in order, until something stands against it; `own` last, for which a host waits.
    ///
    /// # Errors
    /// If `own` can't be kept.
    pub(crate) fn book(&mut self, own: Option<QueuedConsumption>) -> Result<SyncResult, Error> {
        let mut booked = SyncResult::default();
        let key = own.as_ref().map(|own| own.key.clone());
        // Whoever has the turn books all that is kept; so a wish is kept when its host has the turn, or can't get it.
        let turn = self.turn();
        if let Some(own) = own {
            booked.own = self.record_write(own)?;
        }
        let mut result = turn.and_then(|_turn| self.try_book(key.as_deref(), &mut booked));
        // A host that waits for its own is told at once that it is queued.
        while let Some(left) = self.settles_in.take().filter(|_| key.is_none()) {
            // Meanwhile the turn is others': they would wait too.
            let again = self.context.pause(left).and_then(|()| self.turn());
            result = again.and_then(|_turn| self.try_book(None, &mut booked));
        }
        booked.trouble = result.err();
        Ok(booked)
    }

    /// Keeps a wish. What nobody knows of the same wish from before is not found out by asking again: that is told.
    fn record_write(&mut self, own: QueuedConsumption) -> Result<Option<Result<String, Error>>, Error> {
        let key = own.key.clone();
        self.queue.add(own)?;
        let known = self.queue.entries()?.iter().find(|entry| entry.key == key);
        let Some(EntryState::Unknown(rejection)) = known.map(|entry| entry.state.clone()) else { return Ok(None) };
        self.queue.done(vec![key])?;
        Ok(Some(Err(unknown(&rejection))))
    }

    fn turn(&self) -> Result<ProcessLockGuard, Error> {
        let busy = "Somebody else on this machine is booking what waits.";
        self.turn.lock(&mut |pause| {
            // Who books one after the other hardly leaves, so who waits must look often to come in between.
            self.context.pause(pause / 8).map_err(|error| match error.status {
                Status::Timeout => error.with_detail(busy),
                _ => error,
            })
        })
    }

    fn try_book(&mut self, own: Option<&str>, booked: &mut SyncResult) -> Result<(), Error> {
        self.queue.share_with(&self.context.shared.client)?;
        while let Some(mut entry) = self.queue.first_open()? {
            let is_own = own == Some(entry.key.as_str());
            let fate = self.settle(&mut entry, is_own)?;
            let key = vec![entry.key.clone()];
            match fate {
                SendResult::Booked(reply) if is_own => {
                    booked.own = Some(Ok(reply));
                    self.queue.done(key)?;
                }
                SendResult::Booked(_) => {
                    booked.count += 1;
                    self.queue.done(key)?;
                }
                SendResult::Refused(error) | SendResult::Unknown(error) if is_own => {
                    booked.own = Some(Err(error));
                    self.queue.done(key)?;
                }
                SendResult::Waits(error) if is_own => {
                    booked.own = Some(Err(error.clone()));
                    self.queue.done(key)?;
                    return Err(error);
                }
                SendResult::Refused(error) => self.tell(entry, EntryState::Refused(rejection(&error)), booked)?,
                SendResult::Unknown(error) => self.tell(entry, EntryState::Unknown(rejection(&error)), booked)?,
                SendResult::Waits(error) => return Err(error),
            }
            self.queue.share_with(&self.context.shared.client)?;
        }
        Ok(())
    }

    fn tell(&mut self, entry: QueuedConsumption, state: EntryState, booked: &mut SyncResult) -> Result<(), Error> {
        let entry = QueuedConsumption { state, ..entry };
        self.queue.stands(&entry)?;
        booked.settled.push(entry);
        Ok(())
    }

    /// Has an entry booked, whatever it takes.
    fn settle(&mut self, entry: &mut QueuedConsumption, is_own: bool) -> Result<SendResult, Error> {
        let mut tries = 0;
        loop {
            if let EntryState::InDoubt { total_before, at_ms, life_ms } = entry.state
                && !self.is_remembered(entry, at_ms)
            {
                let supports_idempotency = self.context.shared.client.supports_idempotency() == Some(true);
                if at_ms > self.now_ms() && !supports_idempotency {
                    // The clock was set back, so how long ago the request was sent is not known: it is as if sent now.
                    self.stands(entry, EntryState::InDoubt { total_before, at_ms: self.now_ms(), life_ms })?;
                    continue;
                }
                if !supports_idempotency {
                    self.check_end_of(at_ms, life_ms)?;
                }
                match self.inspect(entry, total_before, at_ms)? {
                    TotalCheck::NotBooked => self.stands(entry, EntryState::Waiting)?,
                    TotalCheck::Unclear(why) => return Ok(SendResult::Unknown(unclear(why))),
                }
            }
            let in_doubt = entry.state != EntryState::Waiting;
            if !in_doubt {
                let total_before = match self.total_before(entry) {
                    Ok(total) => total,
                    Err(error) if is_definite(&error) => return Ok(SendResult::Waits(error)),
                    Err(error) => return Err(error),
                };
                let (at_ms, life_ms) = (self.now_ms(), self.context.life_ms());
                self.stands(entry, EntryState::InDoubt { total_before, at_ms, life_ms })?;
            }
            let known = self.total.take();
            let error = match self.ask(entry, is_own) {
                Ok(answer) => {
                    self.total = total(&answer).map(|total| (entry.feature().map(str::to_owned), total));
                    return Ok(SendResult::Booked(answer.text));
                }
                Err(error) => error,
            };
            match error.outcome {
                // What was booked already may be refused for another reason than having too few left.
                Outcome::Rejected if in_doubt && is_final(&error) && !is_too_few(error.status) => {
                    return Ok(SendResult::Unknown(error.with_unknown_outcome()));
                }
                Outcome::Rejected if is_final(&error) => {
                    self.total = known;
                    return Ok(SendResult::Refused(error));
                }
                Outcome::Rejected | Outcome::NotSent if in_doubt => return Err(error),
                Outcome::Rejected | Outcome::NotSent => {
                    self.stands(entry, EntryState::Waiting)?;
                    return if is_definite(&error) { Ok(SendResult::Waits(error)) } else { Err(error) };
                }
                Outcome::Unknown => {
                    tries += 1;
                    self.pause_after(error, tries)?;
                }
            }
        }
    }

    /// Whether the server books the key of this entry, which it was sent at `at_ms`, surely no second time.
    fn is_remembered(&self, entry: &QueuedConsumption, at_ms: i64) -> bool {
        self.supports_idempotency(entry) && SURELY_REMEMBERED_MS.contains(&self.now_ms().saturating_sub(at_ms))
    }

    /// Whether the server books a key once. If it has not shown that yet, it is asked to book nothing: what is in doubt can
    /// be asked for again then, and need not be left to a total.
    fn supports_idempotency(&self, entry: &QueuedConsumption) -> bool {
        if let (None, Some(operation)) =
            (self.context.shared.client.supports_idempotency(), Operation::named(&entry.operation))
        {
            let names = entry.parameters.iter().filter(|(key, _)| ["feature", "license_id"].contains(&key.as_str()));
            let mut own: Vec<_> = names.map(|(key, value)| (key.as_str(), value.clone())).collect();
            own.push(("consumptions", 0.into()));
            // Whatever the server answers, the client notes whether it repeats the key that it was given.
            let _ = self.context.ask(operation.name, &own);
        }
        self.context.shared.client.supports_idempotency() == Some(true)
    }

    fn ask(&self, entry: &QueuedConsumption, is_own: bool) -> Result<Answer, Error> {
        let operation = Operation::named(&entry.operation).ok_or_else(|| Error::new(Status::UnknownOperation))?;
        let mut own = vec![("idempotency_key", Value::from(entry.key.as_str()))];
        if !is_own && !entry.parameters.contains_key("event") {
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

    /// The total before an entry is sent: what tells afterwards whether it was booked. A server that honours keys needs
    /// none, and one that does not tell it is not forced to.
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

    /// The total tells whether a request was booked only when it can't be booked later any more: a server that is slow may
    /// get to it after it was asked for the total. So as long as a request that was sent at `at_ms` may live, which is for
    /// `life_ms`, its consumptions stay queued.
    fn check_end_of(&mut self, at_ms: i64, life_ms: i64) -> Result<(), Error> {
        let age_ms = self.now_ms().saturating_sub(at_ms);
        let left_ms = life_ms.saturating_sub(age_ms);
        if left_ms <= 0 {
            return Ok(());
        }
        let left = Duration::from_millis(left_ms.unsigned_abs());
        let in_time = self.context.call.left().is_ok_and(|until_deadline| left < until_deadline);
        self.settles_in = in_time.then_some(left);
        let seconds = left_ms / 1000 + 1;
        let message = format!(
            "The server may still book consumptions that it was asked for. In {seconds} s its total tells whether it has."
        );
        Err(Error::because(Status::ConnectionLost, message).with_unknown_outcome())
    }

    /// Whether the server has booked what it was asked to.
    fn inspect(
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
        // Totals begin again at midnight, if they do at all.
        let is_reset = license.get("reset_consumption") == Some(&Value::Bool(true));
        let may_sink = license.get("allow_negative_consumptions") != Some(&Value::Bool(false));
        Ok(if is_reset && at_ms.div_euclid(DAY_MS) != self.now_ms().div_euclid(DAY_MS) {
            TotalCheck::Unclear("The total has begun again since.".to_owned())
        } else {
            found(before, entry.amount(), now, may_sink)
        })
    }

    /// The license or the feature as it stands; `None` if the server refuses to say so.
    fn peek(&self, entry: &QueuedConsumption) -> Result<Option<Object>, Error> {
        match Slot::peek(&self.context, entry.feature(), entry.license_id()) {
            Ok(answer) => Ok(serde_json::from_str(&answer.text).ok()),
            Err(error) if error.is_refusal() && error.status != Status::FloatingNotAvailable => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn stands(&mut self, entry: &mut QueuedConsumption, state: EntryState) -> Result<(), Error> {
        entry.state = state;
        self.queue.stands(entry)
    }

    /// Waits before the next try, unless it would not come in time.
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

/// What the total says of consumptions whose reply was lost.
#[derive(Debug, PartialEq)]
enum TotalCheck {
    /// They were not booked, or are none: they can be sent again.
    NotBooked,
    Unclear(String),
}

fn found(before: i64, amount: i64, now: Option<i64>, may_sink: bool) -> TotalCheck {
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

/// Whether the server would refuse the same consumptions for ever: a word about them or their license, and not about the
/// way to it. What stands before a server has codes that nobody knows too, but other statuses.
fn is_final(error: &Error) -> bool {
    let about_the_request = matches!(error.status, Status::ValidationError | Status::MissingParameters);
    let unheard_of = error.status == Status::UnknownCode && error.http_status == Some(400);
    error.is_refusal() || error.outcome == Outcome::Rejected && (about_the_request || unheard_of)
}

/// Whether a request that was about the license of a lease was meant for another license of the same user: that of the
/// lease has no such feature, or counts nothing. The server has done nothing.
pub(crate) fn is_for_another_license(error: &Error) -> bool {
    let of_others =
        [Status::LicenseNotConsumption, Status::UnsupportedProductFeature, Status::InvalidLicenseFeatureCode];
    error.is_refusal() && of_others.contains(&error.status)
}

fn is_too_few(status: Status) -> bool {
    matches!(status, Status::FeatureNotEnoughConsumptions | Status::LicenseNotEnoughConsumptions)
}

/// Whether the server has refused, and did not merely put it off.
fn is_definite(error: &Error) -> bool {
    error.outcome == Outcome::Rejected && error.status.row().category != Category::Network
}

fn unclear(why: String) -> Error {
    Error::because(Status::ConnectionLost, why).with_unknown_outcome()
}

/// The same as an error.
fn unknown(rejection: &Rejection) -> Error {
    let status = Status::of_number(rejection.status).unwrap_or(Status::ConnectionLost);
    let reason = rejection.reason.strip_prefix(status.row().message).unwrap_or(&rejection.reason).trim_start();
    let mut error = Error::because(status, reason).with_unknown_outcome();
    error.server_code = rejection.server_code.clone();
    error
}

fn rejection(error: &Error) -> Rejection {
    let (status, server_code) = (error.status.number(), error.server_code.clone());
    Rejection { status, server_code, reason: error.message() }
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
            let nothing = found(before, amount, now, may_sink) == TotalCheck::NotBooked;
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
