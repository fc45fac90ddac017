//! Sends the consumptions that a call waits for, and those that no call waits for, in the order in which they may be sent.
//!
//! A call sends its own consumptions, and before them those that no call waits for. So its cancel or deadline concerns no
//! other call.

use crate::error::{Error, Outcome};
use crate::lease::consumption::caller_lock::KnownCallers;
use crate::lease::consumption::entry::{EntryState, QueuedConsumption, Rejection};
use crate::lease::consumption::license_queue::LicenseQueue;
use crate::lease::consumption::queue::Change;
use crate::lease::consumption::sender::{Manner, SendResult, Sender};
use crate::lease::consumption::turns::{SendMode, Turn};
use crate::lease::context::RequestContext;
use crate::status::Status;
use std::time::Duration;

/// Sends queued consumptions of one license within one call.
pub(crate) struct ConsumptionSync<'a> {
    queue: &'a LicenseQueue,
    sender: Sender<'a>,
    known: KnownCallers,
    /// The consumptions that the call waits for may have been sent.
    pub(crate) has_sent_own: bool,
    pub(crate) result: SyncResult,
}

/// The result of sending queued consumptions that no call waits for.
#[derive(Default)]
pub(crate) struct SyncResult {
    /// How many were booked.
    pub(crate) count: u64,
    /// Consumptions that were refused, or whose outcome is unknown.
    pub(crate) results: Vec<QueuedConsumption>,
    /// Why the remaining consumptions stay queued.
    pub(crate) failure: Option<Error>,
    /// When a request that may still be carried out can't be any more, if that was the reason.
    pub(crate) retry_after: Option<Duration>,
}

/// The consumptions that a call waits for, as they were stored before they are sent.
pub(crate) struct Own {
    pub(crate) entry: QueuedConsumption,
    /// They are stored as in doubt although they were not sent yet.
    pub(crate) is_first_try: bool,
    /// Nothing older that another process or client has queued was in the file.
    pub(crate) is_first: bool,
}

impl<'a> ConsumptionSync<'a> {
    /// `caller` is the name of this client's [`CallerLock`](crate::lease::consumption::caller_lock::CallerLock).
    pub(crate) fn new(
        context: RequestContext<'a>,
        queue: &'a LicenseQueue,
        caller: Option<String>,
    ) -> ConsumptionSync<'a> {
        let sender = Sender::new(context, &queue.commit);
        let (known, result) = (KnownCallers::new(caller), SyncResult::default());
        ConsumptionSync { queue, sender, known, has_sent_own: false, result }
    }

    /// Sends the consumptions that this call waits for. Returns the server's reply, or its refusal, or the error of
    /// consumptions that are not queued any more; `None` if they stay queued, because of the failure in `result`.
    pub(crate) fn send_own(&mut self, own: Own) -> Option<Result<String, Error>> {
        match self.try_own(own) {
            Ok(settled) => Some(settled),
            Err(error) => {
                self.result.retry_after = self.sender.retry_after_life();
                self.result.failure = Some(error);
                None
            }
        }
    }

    /// Sends what no call waits for, in order, until something can't be sent.
    ///
    /// # Errors
    /// The file can't be read or written.
    pub(crate) fn send_backlog(&mut self) -> Result<(), Error> {
        (self.result.failure, self.result.retry_after) = (None, None);
        loop {
            self.sender.write(Change::Nothing)?;
            if !self.queue.has_backlog(&mut self.known) {
                return Ok(());
            }
            let sent = self.take_turn(None, false).and_then(|turn| self.send_older(&turn, None));
            if let Err(error) = sent {
                (self.result.failure, self.result.retry_after) = (Some(error), self.sender.retry_after_life());
                return Ok(());
            }
        }
    }

    /// Does the same, and goes on when a request that may still be carried out can't be any more, if the call lasts as
    /// long. No call has the turn meanwhile, so that others can queue consumptions.
    ///
    /// # Errors
    /// The file can't be read or written.
    pub(crate) fn send_backlog_patiently(&mut self) -> Result<(), Error> {
        self.send_backlog()?;
        while let Some(left) = self.result.retry_after {
            if let Err(error) = self.sender.context.pause(left) {
                self.result.failure = Some(error);
                break;
            }
            self.send_backlog()?;
        }
        Ok(())
    }

    fn try_own(&mut self, mut own: Own) -> Result<Result<String, Error>, Error> {
        let key = own.entry.key.clone();
        let mut may_be_next = own.is_first;
        loop {
            let turn = self.take_turn(Some(&key), may_be_next)?;
            if turn.send.backlog {
                self.send_older(&turn, Some(&key))?;
                // A long backlog must not keep this call waiting, so it sends no more than one batch of it.
                may_be_next = !turn.send.alone;
                continue;
            }
            if (!own.is_first || turn.send.alone)
                && let Some(settled) = self.read_again(&mut own)?
            {
                return Ok(settled);
            }
            let manner = Manner { is_awaited: true, is_first_try: own.is_first_try };
            self.has_sent_own = true;
            let settled = match self.sender.send(&mut own.entry, manner)? {
                SendResult::Booked(reply) => {
                    self.remove_booked(key);
                    return Ok(Ok(reply));
                }
                SendResult::Waits(error) => {
                    self.result.failure = Some(error.clone());
                    Err(error)
                }
                SendResult::Refused(error) | SendResult::Unknown(error) => Err(error),
            };
            self.remove_own(key);
            return Ok(settled);
        }
    }

    /// Reads how the own consumptions stand, because another process had the turn. Returns the result if they are not to
    /// be sent any more.
    fn read_again(&mut self, own: &mut Own) -> Result<Option<Result<String, Error>>, Error> {
        self.sender.write(Change::Nothing)?;
        match self.queue.find(&own.entry.key) {
            Some(stored) => {
                own.is_first_try &= stored.state == own.entry.state;
                own.entry = stored;
            }
            // Another call with the same key was faster. A server that supports keys repeats its reply.
            None if self.sender.may_send_many() => {}
            None => {
                let message = "Another process has sent the consumption. Its host is told what became of it.";
                return Err(Error::because(Status::ConnectionLost, message).with_unknown_outcome());
            }
        }
        let settled = settled(&own.entry.state);
        if settled.is_some() {
            // Another process may have queued the same consumptions again since: they stay.
            self.sender.write(Change::Tell(Some(own.entry.key.clone())))?;
        }
        Ok(settled.map(Err))
    }

    /// Sends the next consumptions that no call waits for, those before `own` if there is one.
    fn send_older(&mut self, turn: &Turn, own: Option<&str>) -> Result<(), Error> {
        loop {
            // Another process may have sent some of them.
            self.sender.write(Change::Nothing)?;
            let alone = turn.send.alone;
            let batch = self.queue.backlog(own, alone, &mut self.known);
            let is_last = batch.is_empty() || !alone;
            if alone {
                for entry in batch {
                    let done = self.send_one(entry, false)?;
                    self.remove(done)?;
                }
            } else {
                self.send_batch(batch)?;
            }
            // A server may have shown by now that many calls may send at the same time.
            if is_last || self.sender.may_send_many() {
                return Ok(());
            }
        }
    }

    /// Sends consumptions to a server that supports keys. They are marked as in doubt with one write and removed with
    /// another one: if the process is killed between the two, the server books none of them again.
    fn send_batch(&mut self, batch: Vec<QueuedConsumption>) -> Result<(), Error> {
        let doubt = self.sender.doubt();
        let mut batch: Vec<_> = batch.into_iter().map(|entry| (entry.state == EntryState::Waiting, entry)).collect();
        let mut marked = Vec::new();
        for (_, entry) in batch.iter_mut().filter(|(is_first_try, _)| *is_first_try) {
            entry.state = doubt.clone();
            marked.push((entry.key.clone(), doubt.clone()));
        }
        self.write_states(marked)?;
        let (mut batch, mut done) = (batch.into_iter(), Vec::new());
        let sent = batch.by_ref().try_for_each(|(is_first_try, entry)| {
            done.extend(self.send_one(entry, is_first_try)?);
            Ok(())
        });
        let not_sent = batch.filter(|(is_first_try, _)| *is_first_try);
        let restored = self.write_states(not_sent.map(|(_, entry)| (entry.key, EntryState::Waiting)).collect());
        let removed = self.remove(done);
        sent.and(restored).and(removed)
    }

    /// Sends consumptions that no call waits for. Returns their key if they are not queued any more.
    fn send_one(&mut self, mut entry: QueuedConsumption, is_first_try: bool) -> Result<Vec<String>, Error> {
        let state = match self.sender.send(&mut entry, Manner { is_awaited: false, is_first_try })? {
            SendResult::Booked(_) => {
                self.result.count += 1;
                return Ok(vec![entry.key]);
            }
            SendResult::Waits(error) => return Err(error),
            SendResult::Refused(error) => EntryState::Refused(rejection(&error)),
            SendResult::Unknown(error) => EntryState::Unknown(rejection(&error)),
        };
        self.write_states(vec![(entry.key.clone(), state.clone())])?;
        self.result.results.push(QueuedConsumption { state, ..entry });
        Ok(Vec::new())
    }

    /// Waits until this call may send: the consumptions of the key `own`, or older ones that no call waits for. If the
    /// server supports keys and `may_be_next` is true, or another call sends the older ones, it need not wait for these.
    fn take_turn(&mut self, own: Option<&str>, may_be_next: bool) -> Result<Turn<'a>, Error> {
        let (queue, sender, known) = (self.queue, &self.sender, &mut self.known);
        let client = &sender.context.shared.client;
        let turn = queue.turns.take(&sender.context, &mut || {
            if own.is_some()
                && let Some(error) = client.reachability().outage()
            {
                return Err(error);
            }
            let alone = !sender.may_send_many();
            if own.is_some() && !alone && (may_be_next || queue.turns.is_backlog_sent()) {
                return Ok(Some(SendMode { alone, backlog: false }));
            }
            Ok(queue.wanted(own, alone, known))
        })?;
        self.sender.begin_turn();
        Ok(turn)
    }

    fn write_states(&self, states: Vec<(String, EntryState)>) -> Result<(), Error> {
        if states.is_empty() { Ok(()) } else { self.sender.write(Change::States(states)) }
    }

    fn remove(&self, keys: Vec<String>) -> Result<(), Error> {
        if keys.is_empty() { Ok(()) } else { self.sender.write(Change::Done(keys)) }
    }

    /// Removes the own consumptions, which the server has booked. If it supports keys, this does not wait until another
    /// call has written that: should it never be written, the server is asked again and repeats its reply.
    fn remove_booked(&mut self, key: String) {
        if self.sender.may_send_many() {
            self.queue.commit.remove_later(&self.sender.context.shared.client, key);
        } else {
            self.remove_own(key);
        }
    }

    /// Removes the own consumptions, whose result is known, before the host is told. No server remembers a refusal, so it
    /// could book them later if they were still in the file after a crash.
    fn remove_own(&mut self, key: String) {
        if let Err(error) = self.queue.commit.remove(&self.sender.context.shared.client, key) {
            self.result.failure = Some(error);
        }
    }
}

/// Returns the error of consumptions that are not to be sent any more.
pub(crate) fn settled(state: &EntryState) -> Option<Error> {
    match state {
        EntryState::Waiting | EntryState::InDoubt { .. } => None,
        EntryState::Refused(rejection) => Some(stored_error(rejection).with_outcome(Outcome::Rejected)),
        EntryState::Unknown(rejection) => Some(stored_error(rejection).with_unknown_outcome()),
    }
}

/// The stored rejection as an error.
fn stored_error(rejection: &Rejection) -> Error {
    let status = Status::of_number(rejection.status).unwrap_or(Status::ConnectionLost);
    let reason = rejection.reason.strip_prefix(status.row().message).unwrap_or(&rejection.reason).trim_start();
    let mut error = Error::because(status, reason);
    error.server_code = rejection.server_code.clone();
    error
}

fn rejection(error: &Error) -> Rejection {
    let (status, server_code) = (error.status.number(), error.server_code.clone());
    Rejection { status, server_code, reason: error.message() }
}
