//! An acquire under way: its tries, and the pauses between them while others hold the slots.

use crate::client::{Client, jittered};
use crate::error::{Error, Outcome};
use crate::http::Call;
use crate::lease::acquire_request::AcquireRequest;
use crate::lease::background::ticket::Ticket;
use crate::lease::lease_inner::{Activation, LeaseInner, MOST_REQUESTS, timeout_of_all};
use crate::lease::manager::{LeaseManager, Reservation};
use crate::status::{Category, Retry, Status};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The operation's name in messages, and in a submit.
pub(crate) const ACQUIRE: &str = "lease_acquire";
/// The first pause before an acquire that waits asks again; it doubles from there.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest of these pauses.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// An acquire under way. Dropping it before it is done gives up: what the server may count is released in the background.
pub(crate) struct Acquisition {
    manager: Arc<LeaseManager>,
    /// The lease; `None` once the acquire is done.
    lease: Option<Arc<LeaseInner>>,
    _reserved: Reservation,
    /// The time limit of all tries and pauses together.
    pub(crate) time_limit: Duration,
    /// Until this moment the acquire waits for slots.
    waits_until: Instant,
    pause: Duration,
    /// The greatest outcome of the tries before, and how often their last request was sent.
    earlier: (Outcome, u32),
    /// The number of the ticket, if the call was submitted.
    ticket: Option<u64>,
    activation: Activation,
    /// Another lease was releasing one of the slots, and the server may still count it.
    in_doubt: bool,
}

/// The result of one try.
pub(crate) enum Attempt {
    /// Every slot is taken.
    Acquired(Arc<LeaseInner>),
    /// The slots can't be had now. The next try is due after this pause, which needs no thread.
    Pause(Duration),
}

impl Acquisition {
    /// Checks the request of an acquire. The time of a submitted one counts from the submit. Asks the server for nothing.
    pub(crate) fn begin(
        manager: &Arc<LeaseManager>,
        request_json: &str,
        ticket: Option<&Ticket>,
    ) -> Result<Acquisition, Error> {
        let started = ticket.map_or_else(Instant::now, |ticket| ticket.submitted_at);
        let request = AcquireRequest::parse(&manager.shared.client, request_json)?;
        // A thread that can't be started is known before the server is asked.
        let reserved = manager.reserve(request.keep_alive)?;
        let (time_limit, waits_until) = (time_limit_of(&request), started + request.wait);
        let (names, activation) = (request.slot_names(), Activation::of(request.activate));
        let lease = Arc::new(LeaseInner::new(&manager.shared, manager.next_id(), request)?);
        manager.begin_acquire(&lease)?;
        let in_doubt = manager.reclaim(&names);
        Ok(Acquisition {
            manager: Arc::clone(manager),
            lease: Some(lease),
            _reserved: reserved,
            time_limit,
            waits_until,
            pause: FIRST_PAUSE,
            earlier: (Outcome::NotSent, 0),
            ticket: ticket.map(|ticket| ticket.number),
            activation,
            in_doubt,
        })
    }

    /// Tries once to take every slot, as part of `call`.
    ///
    /// # Errors
    /// The acquire has failed for good, or was done before.
    pub(crate) fn attempt(&mut self, call: &Arc<Call>) -> Result<Attempt, Error> {
        let Some(lease) = self.lease.clone() else { return Err(Error::new(Status::LeaseOver)) };
        let in_doubt = std::mem::take(&mut self.in_doubt);
        match lease.cancellable(call, || lease.acquire(call, in_doubt, &mut self.activation)) {
            Ok(()) => {}
            Err(error) => {
                let pause = self.next_pause(&lease, error);
                return pause.map(Attempt::Pause).map_err(|error| self.ended(error));
            }
        }
        // If everything is being released, or the client was closed, dropping this releases the slots.
        if !self.manager.add_lease(&lease) {
            return Err(self.ended(Error::new(Status::Cancelled).with_unknown_outcome()));
        }
        self.lease = None;
        self.manager.end_acquire(&lease);
        if !lease.release_orphans(call) {
            self.manager.release_orphans_later(&lease);
        }
        self.manager.sync_consumptions(&lease);
        Ok(Attempt::Acquired(lease))
    }

    /// Waits before the next try, on the thread of `call`.
    ///
    /// # Errors
    /// The call is over.
    pub(crate) fn wait(&mut self, call: &Arc<Call>, pause: Duration) -> Result<(), Error> {
        let Some(lease) = &self.lease else { return Ok(()) };
        let waited = lease.cancellable(call, || Ok(call.pause(pause)?));
        waited.map_err(|error| self.ended(error))
    }

    /// Adds to the error that ends the acquire what the tries before it have done.
    pub(crate) fn ended(&mut self, error: Error) -> Error {
        let (outcome, attempts) = self.earlier;
        let mut error = error.after(outcome);
        if error.attempts == 0 {
            error.attempts = attempts;
        }
        self.activation.told_in(error)
    }

    /// The pause before the next try, if waiting may help and the host wants to wait.
    fn next_pause(&mut self, lease: &LeaseInner, error: Error) -> Result<Duration, Error> {
        let left = self.waits_until.saturating_duration_since(Instant::now());
        if left.is_zero() || !may_succeed_later(&error) {
            return Err(error);
        }
        self.earlier = (self.earlier.0.max(error.outcome), error.attempts);
        let next = jittered(self.pause).max(error.retry_after.unwrap_or_default()).min(left);
        lease.tell_waiting(self.ticket, &error, next, left);
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        Ok(next)
    }
}

impl Drop for Acquisition {
    fn drop(&mut self) {
        let Some(lease) = self.lease.take() else { return };
        // If the server may count a slot, dropping the lease releases it, and repeats the release if need be.
        if !lease.may_be_held_at_server() {
            self.manager.repeat_release_later(&lease);
        }
        self.manager.release_stray_license_slot(&lease);
        self.manager.drop_lease(&lease);
        self.manager.end_acquire(&lease);
    }
}

/// How long an acquire may last, with all of its requests and with the wait for slots. A request that is wrong is refused
/// when the call runs.
pub(crate) fn time_limit(client: &Client, request_json: &str) -> Duration {
    AcquireRequest::parse(client, request_json).map_or(client.config().timeout, |request| time_limit_of(&request))
}

fn time_limit_of(request: &AcquireRequest) -> Duration {
    timeout_of_all(request.timeout, request.features.len() * MOST_REQUESTS) + request.wait
}

/// Returns whether waiting may help: all slots are taken, the system is out of a resource, or the server can't be reached
/// just now.
fn may_succeed_later(error: &Error) -> bool {
    let row = error.status.row();
    let is_unreachable = row.category == Category::Network && row.retry == Retry::Later;
    let may_pass = matches!(error.status, Status::FloatingNotAvailable | Status::OutOfResources);
    may_pass || is_unreachable && error.status != Status::Cancelled
}
