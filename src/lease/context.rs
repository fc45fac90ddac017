//! What the calls and leases of a client share, and the context of one request about a slot.

use crate::client::{Answer, Client};
use crate::config::Threads;
use crate::error::{Error, Outcome};
use crate::http::{Call, InFlight, Waiter};
use crate::lease::background::calls::Guard;
use crate::lease::background::events::Events;
use crate::lease::background::ticket::Ticket;
use crate::lease::clock::Clock;
use crate::lease::license_ref::{ACTIVATE, LicenseRef};
use crate::lease::state_machine::Millis;
use crate::lease::storage::process_lock::ProcessLock;
use crate::lease::unanswered::{Late, Subject, Unanswered};
use crate::operations::Operation;
use crate::status::Status;
use crate::strict::Object;
use crate::thread;
use serde_json::Value;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The pause after a panic, so that a defect does not use up a processor.
const AFTER_PANIC: Duration = Duration::from_secs(1);

/// The parts of a client that its leases and calls share.
pub(crate) struct Shared {
    pub(crate) client: Client,
    pub(crate) clock: Clock,
    pub(crate) events: Arc<Events>,
    /// Contains panics on the library's own threads.
    pub(crate) guard: Guard,
    pub(crate) unanswered: Unanswered,
    /// Locks of slots that only this client can hold, because it has no folder to share with other processes.
    process_locks: Mutex<Vec<(String, ProcessLock)>>,
}

impl Shared {
    pub(crate) fn new(client: Client, events: Arc<Events>, guard: Guard) -> Shared {
        let (clock, unanswered) = (Clock::of(client.server_clock()), Unanswered::default());
        Shared { client, clock, events, guard, unanswered, process_locks: Mutex::default() }
    }

    /// Returns whether the host's threads do what is due, so that the library starts none.
    pub(crate) fn has_no_threads(&self) -> bool {
        self.client.config().threads == Threads::Host
    }

    /// The folder for what outlives the process, if the config names one.
    pub(crate) fn folder(&self) -> Option<&Path> {
        self.client.config().storage_dir.as_deref()
    }

    /// The lock that all holders of this slot share: in the folder, else in this process.
    pub(crate) fn process_lock(&self, name: &str) -> ProcessLock {
        if let Some(folder) = self.folder() {
            return ProcessLock::on_disk(folder, name);
        }
        let mut locks = self.process_locks.lock().unwrap_or_else(PoisonError::into_inner);
        match locks.iter().find(|(known, _)| known == name) {
            Some((_, lock)) => lock.clone(),
            None => {
                let lock = ProcessLock::in_memory();
                locks.push((name.to_owned(), lock.clone()));
                lock
            }
        }
    }

    /// Starts a thread of the library. A panic is a defect, but must not end what keeps leases alive, so the thread runs
    /// again after a pause.
    ///
    /// # Errors
    /// The system starts none, or the host wants none.
    pub(crate) fn start_thread(&self, mut run: impl FnMut() + Send + 'static) -> Result<(), Error> {
        if self.has_no_threads() {
            return Err(Error::because(Status::OutOfResources, "The config says \"threads\":\"host\"."));
        }
        let guard = self.guard;
        let body = move || {
            while guard(&mut run).is_err() {
                std::thread::sleep(AFTER_PANIC);
            }
        };
        thread::start(Box::new(body)).map_err(|error| Error::of_thread(&error))
    }

    /// Begins a call of the host. It ends after `timeout`, by a cancel of the client, or by a cancel of its ticket, if the
    /// call was submitted: then its time counts from the submit.
    pub(crate) fn begin_host_call(&self, timeout: Duration, ticket: Option<&Ticket>) -> InFlight {
        let waited = ticket.map_or(Duration::ZERO, |ticket| ticket.submitted_at.elapsed());
        let timeout = timeout.saturating_sub(waited);
        let in_flight = self.client.begin(Waiter::Host, timeout);
        if let Some(ticket) = ticket {
            let call = Arc::clone(&in_flight.call);
            ticket.on_cancel(Box::new(move || call.cancel()));
        }
        in_flight
    }

    /// The context of requests about this license, made within `call`; each request has `timeout`.
    pub(crate) fn context<'a>(
        &'a self,
        license_ref: &'a LicenseRef,
        call: &'a Call,
        timeout: Duration,
    ) -> RequestContext<'a> {
        RequestContext { shared: self, license_ref, call, timeout }
    }
}

/// The license, the call and the time limit of requests about slots.
pub(crate) struct RequestContext<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) license_ref: &'a LicenseRef,
    pub(crate) call: &'a Call,
    /// Time limit for each request.
    pub(crate) timeout: Duration,
}

/// The shortest life of a request after it was sent, whatever its time limit: a slow server or a proxy may queue it.
const LEAST_LIFE: Duration = Duration::from_secs(30);

impl RequestContext<'_> {
    /// How long a server without order numbers may still carry out a request after it was sent.
    pub(crate) fn life_ms(&self) -> i64 {
        life_ms(self.timeout)
    }

    /// The slot of this feature, as other leases and the verbs of the client know it.
    fn subject(&self, feature: Option<&str>) -> Subject {
        Subject { owner: self.license_ref.owner.clone(), feature: feature.map(str::to_owned), is_whole_device: false }
    }

    /// The moment until which a server without order numbers may carry out a request of this client about the slot of this
    /// feature that got no answer, if there is one.
    pub(crate) fn unanswered_until(&self, feature: Option<&str>) -> Option<Millis> {
        self.shared.unanswered.until(&self.subject(feature), self.shared.clock.now())
    }

    /// The moment until which such a request may still release the slot, if there is one.
    pub(crate) fn given_back_until(&self, feature: Option<&str>) -> Option<Millis> {
        self.shared.unanswered.given_back_until(&self.subject(feature), self.shared.clock.now())
    }

    /// Notes, for all leases of the client, whether this request about a slot may still be carried out after the client has
    /// stopped waiting for it. A server that repeats the order number refuses every earlier request.
    pub(crate) fn note_answer(&self, feature: Option<&str>, operation: &str, answer: &Result<Answer, Error>) {
        let (in_order, is_unanswered) = match answer {
            Ok(answer) => (answer.in_order, answer.unanswered_attempt),
            Err(error) => (error.in_order, error.outcome == Outcome::Unknown),
        };
        if in_order {
            self.shared.unanswered.settle(&self.subject(feature));
        } else if is_unanswered {
            self.note_unanswered(feature, Operation::named(operation).map_or(Late::Takes, Late::of));
        }
    }

    /// Notes, for all leases of the client, that a request about a slot is on its way and will get no answer.
    pub(crate) fn note_unanswered(&self, feature: Option<&str>, late: Late) {
        let now = self.shared.clock.now();
        self.shared.unanswered.add(self.subject(feature), late, now.saturating_add(self.life_ms()), now);
    }

    /// Sends a request about a slot. `draw` gives it its order number among all requests about that slot.
    pub(crate) fn ask_in_order(
        &self,
        operation: &'static str,
        own: &[(&str, Value)],
        draw: &mut dyn FnMut() -> Result<u64, Error>,
    ) -> Result<Answer, Error> {
        let mut request = self.license_ref.request(&self.shared.client, operation, own, self.timeout)?;
        self.shared.client.ask_in_order(self.call, &mut request, draw)
    }

    /// Activates the device, which takes no slot. Threads that do so at the same time share one order number.
    pub(crate) fn activate(&self) -> Result<(), Error> {
        let request = self.license_ref.request(&self.shared.client, ACTIVATE, &[], self.timeout)?;
        let answer = self.shared.client.perform(self.call, request);
        if is_in_order(&answer) {
            // The server refuses every earlier request about any slot of the device.
            self.shared.unanswered.settle(&Subject { is_whole_device: true, ..self.subject(None) });
        }
        answer.map(drop)
    }

    /// Sends a request that no late request can undo, and that needs no order number.
    pub(crate) fn ask(&self, operation: &'static str, own: &[(&str, Value)]) -> Result<Answer, Error> {
        let request = self.license_ref.request(&self.shared.client, operation, own, self.timeout)?;
        self.shared.client.ask(self.call, &request)
    }

    /// Waits, but fails when the call is over.
    pub(crate) fn pause(&self, duration: Duration) -> Result<(), Error> {
        Ok(self.call.pause(duration)?)
    }

    /// The time left for the call. Fails when the call is over.
    pub(crate) fn left(&self) -> Result<Duration, Error> {
        Ok(self.call.left()?)
    }
}

/// Returns whether the server has repeated the order number of a request, and so refuses those that were sent before.
pub(crate) fn is_in_order(answer: &Result<Answer, Error>) -> bool {
    answer.as_ref().map_or_else(|error| error.in_order, |answer| answer.in_order)
}

/// How long a request with this time limit may live after it was sent.
pub(crate) fn life_ms(timeout: Duration) -> i64 {
    i64::try_from(timeout.max(LEAST_LIFE).as_millis()).unwrap_or(i64::MAX)
}

/// How long a request for consumptions may live from before its first attempt. It is repeated within its time limit, and
/// its last attempt may live as long as any request.
pub(crate) fn consumption_life_ms(timeout: Duration) -> i64 {
    i64::try_from((timeout + LEAST_LIFE).as_millis()).unwrap_or(i64::MAX)
}

/// Returns whether this member of a reply is true.
pub(crate) fn says(reply: &Object, member: &str) -> bool {
    reply.get(member) == Some(&Value::Bool(true))
}

/// Parses a reply that was checked to be a JSON object.
pub(crate) fn object(answer: &Answer) -> Object {
    serde_json::from_str(&answer.text).unwrap_or_default()
}
