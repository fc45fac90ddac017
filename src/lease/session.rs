//! The lease: a slot that lives through the day.
//!
//! | module | what |
//! |---|---|
//! | [`machine`] | how a lease stands, from what happened and when; pure |
//! | `life`, [`face`] | a lease as its host sees it, with a lock and without |
//! | `inner` | what is done about a lease: take, renew, borrow, give back |
//! | `slot`, `lend`, `leave` | the same for one slot at the server, each step on disk before its request |
//! | `record`, [`store`] | what is kept of a slot, and the sealed file it is kept in |
//! | `kept` | reading again what was kept as JSON |
//! | `process_lock` | where the holders of one slot meet, over all processes of the machine |
//! | `manager` | the threads that renew in time and give back in the background |
//! | `renewals` | which lease is renewed next |
//! | `farewells` | what is to be given back without its host, and when |
//! | `calls`, `events` | submitted calls, and the queue that everything is told by |
//! | `queued` | consumptions while offline, as a host asks for them and hears of them |
//! | `consumption` | the same: booked once, in order |
//! | `journal`, `ledger` | the same: what waits, and the file that only grows |
//! | `seal` | what makes a file this device's own |
//! | `thread` | a thread of ours in somebody else's process |
//! | `clock` | a clock that counts sleep |
//! | `request` | what a host may ask of a lease |
//! | `verbs` | what the verbs of a client do to its leases |

use crate::client::{Client, unknown_operation};
use crate::config::checked_millis;
use crate::error::Error;
use crate::http::{Call, Waiter};
use crate::lease::acquire_request::{AcquireRequest, KeepAlive};
use crate::lease::background::calls::{BackgroundCalls, Guard};
use crate::lease::background::events::Events;
use crate::lease::background::ticket::Ticket;
use crate::lease::context::Shared;
use crate::lease::lease_inner::{LeaseInner, MOST_REQUESTS, timeout_of_all};
use crate::lease::manager::LeaseManager;
use crate::lease::state_cell::StateWriter;
use crate::lease::state_machine::State;
use crate::lease::unanswered::Unanswered;
use crate::operations::{Kind, Operation};
use crate::status::Status;
use crate::strict::{self, Object};
use serde_json::Value;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What may be submitted besides the verbs and [`crate::lease::consumption::SYNC`].
const LEASE_OPERATIONS: [&str; 4] = ["lease_acquire", "lease_renew", "lease_borrow", "lease_release"];

/// So often a host that keeps leases alive himself is told, while he waits for events, what time has done.
const HOST_NAP: Duration = Duration::from_millis(500);

/// A client, its leases, and the queue in which they tell how they are. Any method from any thread at any time.
pub struct Session {
    manager: Arc<LeaseManager>,
    calls: BackgroundCalls,
    /// Leases that were acquired by a submitted call, until the host takes them.
    acquired: Arc<Mutex<Vec<(u64, Lease)>>>,
}

impl Session {
    /// Opens a client; see [`Client::open`]. `guard` is what runs on threads of ours; [`caught`] is one.
    ///
    /// # Errors
    /// What is wrong with the config.
    pub fn open(config_json: &str, guard: Guard) -> Result<Session, Error> {
        let events = Arc::new(Events::new());
        let calls = BackgroundCalls::new(Arc::clone(&events), guard);
        let shared = Shared {
            client: Client::open(config_json)?,
            clock: crate::lease::clock::Clock::default(),
            events,
            guard,
            unanswered: Unanswered::default(),
        };
        Ok(Session { manager: Arc::new(LeaseManager::new(shared)), calls, acquired: Arc::default() })
    }

    /// The client, for the verbs.
    pub fn client(&self) -> &Client {
        &self.manager.shared.client
    }

    /// Performs a verb by name, or `sync_consumptions`; see `floatlease_call` in the header.
    ///
    /// # Errors
    /// As those of [`Client::call`], and what is wrong with what is kept on disk.
    pub fn call(&self, operation: &str, request_json: &str) -> Result<String, Error> {
        crate::lease::license_calls::call(&self.manager, operation, request_json, &mut |_| {})
    }

    /// Takes a slot, or several, and keeps them: see `floatlease_lease_acquire` in the header for the request. Returns
    /// the lease and what [`Lease::info`] tells of it.
    ///
    /// # Errors
    /// The caller's mistakes; the server's refusal; what went wrong on the way.
    pub fn acquire(&self, request_json: &str) -> Result<(Lease, String), Error> {
        acquire(&self.manager, request_json, &mut |_| {})
    }

    /// Does a call in the background: a verb, or one of `lease_acquire`, `lease_renew`, `lease_borrow` and
    /// `lease_release`, the last three with the number of the lease as `"lease"`. Its completion is an event.
    ///
    /// # Errors
    /// [`Status::UnknownOperation`], and those of having too many under way. Anything else is told by the completion.
    pub fn submit(&self, operation: &str, request_json: &str) -> Result<u64, Error> {
        let (manager, request) = (Arc::clone(&self.manager), request_json.to_owned());
        let verb = Operation::named(operation).map(|verb| verb.name);
        if let Some(verb) =
            verb.or((operation == crate::lease::consumption::SYNC).then_some(crate::lease::consumption::SYNC))
        {
            let call = move |ticket: &Ticket| {
                crate::lease::license_calls::call(&manager, verb, &request, &mut |call| on_cancel(ticket, call))
            };
            return self.calls.submit(Box::new(call));
        }
        let Some(operation) = LEASE_OPERATIONS.into_iter().find(|known| *known == operation) else {
            return Err(unknown_operation(
                operation,
                &[&LEASE_OPERATIONS[..], &[crate::lease::consumption::SYNC]].concat(),
            ));
        };
        let acquired = Arc::clone(&self.acquired);
        let call = move |ticket: &Ticket| {
            if operation == "lease_acquire" {
                let (lease, info) = acquire(&manager, &request, &mut |call| on_cancel(ticket, call))?;
                acquired.lock().unwrap_or_else(PoisonError::into_inner).push((ticket.number, lease));
                return Ok(info);
            }
            let mut given = strict::parse_object("the request", &request)?;
            let id = given.remove("lease").as_ref().and_then(Value::as_u64);
            let inner = id.and_then(|id| manager.find(id)).ok_or_else(|| {
                let message = format!("\"lease\" of {operation} must be the number of a lease that is held.");
                Error::because(Status::BadValue, message)
            })?;
            run(&manager, &inner, operation, given, &mut |call| on_cancel(ticket, call))
        };
        self.calls.submit(Box::new(call))
    }

    /// Ends a submitted call as soon as it can be; its completion still comes.
    ///
    /// # Errors
    /// [`Status::Ticket`] if it is done already.
    pub fn cancel_submitted(&self, ticket: u64) -> Result<(), Error> {
        self.calls.cancel(ticket)
    }

    /// The lease that a submitted `lease_acquire` has taken, once.
    ///
    /// # Errors
    /// [`Status::Ticket`] if that call has taken none, or it was handed out already.
    pub fn accept(&self, ticket: u64) -> Result<Lease, Error> {
        let mut acquired = self.acquired();
        let at = acquired.iter().position(|(number, _)| *number == ticket);
        at.map(|at| acquired.swap_remove(at).1).ok_or_else(|| Error::new(Status::Ticket))
    }

    /// The oldest event that was not read yet; waits for one at most `wait`.
    ///
    /// # Errors
    /// [`Status::Cancelled`], [`Status::Handle`] once the session is closed.
    pub fn next_event(&self, wait: Duration) -> Result<Option<String>, Error> {
        let (started, events) = (Instant::now(), &self.manager.shared.events);
        // A cancel between two naps counts too. Without waiting there is none, and no lock is taken to ask.
        let cancels = if wait.is_zero() { None } else { Some(events.cancels()) };
        loop {
            let some_are_the_hosts = self.manager.tick_host_leases();
            let left = wait.saturating_sub(started.elapsed());
            let nap = if some_are_the_hosts { left.min(HOST_NAP) } else { left };
            let event = match cancels {
                Some(cancels) => events.next_since(cancels, nap)?,
                None => events.next(nap)?,
            };
            if event.is_some() || !some_are_the_hosts || left <= HOST_NAP {
                return Ok(event);
            }
        }
    }

    /// Ends every call in flight with [`Status::Cancelled`]; calls made later are not touched, nor are leases.
    pub fn cancel(&self) {
        self.client().cancel();
        self.manager.shared.events.cancel();
    }

    /// Puts the clock of this session's leases ahead, as a sleep of the machine would. For tests: it can only bring
    /// ends nearer.
    pub fn advance_clock(&self, by_ms: u32) {
        self.manager.shared.clock.advance(by_ms);
        self.manager.wake();
    }

    /// Ends it: no call, no thread, no lease goes on. Waits for nothing; slots are given back in the background, each
    /// within its `release_on_close_ms`.
    pub fn close(&self) {
        self.client().shut();
        self.calls.close();
        self.manager.close();
        let acquired = std::mem::take(&mut *self.acquired());
        drop(acquired);
    }

    fn acquired(&self) -> MutexGuard<'_, Vec<(u64, Lease)>> {
        self.acquired.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.close();
    }
}

/// A held slot, or several. Dropping it lets go of them: they are given back in the background, unless they are
/// borrowed.
pub struct Lease {
    manager: Arc<LeaseManager>,
    inner: Arc<LeaseInner>,
}

impl Lease {
    /// How it stands.
    pub fn state(&self) -> State {
        self.inner.status().state()
    }

    /// Milliseconds until licensed work must stop.
    pub fn remaining_ms(&self) -> i64 {
        self.inner.status().state_machine().remaining_ms(self.manager.shared.clock.now())
    }

    /// All that is known of it, as JSON; asks nobody.
    pub fn info(&self) -> String {
        if self.inner.keep_alive == KeepAlive::Host {
            self.inner.tick(&self.manager.shared);
            self.manager.save_clock_mark();
        }
        self.inner.info(&self.manager.shared)
    }

    /// Renews it now.
    ///
    /// # Errors
    /// Why it could not be; its state says what that means.
    pub fn renew(&self, request_json: &str) -> Result<String, Error> {
        self.run("lease_renew", request_json)
    }

    /// Borrows it: ours until a date, with or without a network. Needs `storage_dir`.
    ///
    /// # Errors
    /// Why it could not be; the lease goes on as it was.
    pub fn borrow(&self, request_json: &str) -> Result<String, Error> {
        self.run("lease_borrow", request_json)
    }

    /// Gives it back, a borrow too; the server hears of it only from the last holder of this machine.
    ///
    /// # Errors
    /// Why it could not be; what could not be given back is still held.
    pub fn release(&self, request_json: &str) -> Result<String, Error> {
        self.run("lease_release", request_json)
    }

    /// Where it is to be shown from now on.
    pub fn publish_to(&self, writer: StateWriter) {
        self.inner.status().publish_to(writer, &self.manager.shared.clock);
    }

    fn run(&self, operation: &'static str, request_json: &str) -> Result<String, Error> {
        let given = strict::parse_object("the request", request_json)?;
        run(&self.manager, &self.inner, operation, given, &mut |_| {})
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.inner.status().stop_publishing();
        self.manager.drop_lease(&self.inner);
    }
}

fn acquire(
    manager: &Arc<LeaseManager>,
    request_json: &str,
    begun: &mut dyn FnMut(&Arc<Call>),
) -> Result<(Lease, String), Error> {
    let shared = &manager.shared;
    let request = AcquireRequest::parse(&shared.client, request_json)?;
    // A thread that can't be started is known before anything is asked.
    let _reserved = manager.reserve(request.keep_alive)?;
    let in_flight = shared
        .client
        .begin(Waiter::Host, timeout_of_all(request.timeout, request.features.len() * MOST_REQUESTS) + request.wait);
    begun(&in_flight.call);
    let process_lock = |name: &str| manager.process_lock(name);
    let in_doubt = manager.reclaim(&request.slot_names());
    match LeaseInner::acquire(shared, manager.next_id(), request, &process_lock, in_doubt, &in_flight.call) {
        Ok(inner) => {
            let lease = Lease { manager: Arc::clone(manager), inner: Arc::new(inner) };
            // The client was closed meanwhile: the lease that is dropped here gives its slots back.
            if !manager.keep(&lease.inner) {
                return Err(Error::new(Status::Cancelled).with_unknown_outcome());
            }
            if !manager.release_orphans(&lease.inner, &in_flight.call) {
                manager.release_orphans_later(&lease.inner);
            }
            manager.sync_consumptions(&lease.inner);
            let info = lease.info();
            Ok((lease, info))
        }
        Err(unfinished) => {
            let inner = Arc::new(unfinished.held);
            // Whoever sees off what is in doubt goes on with what is not settled.
            if !inner.may_be_held_at_server() {
                manager.repeat_release_later(&inner);
            }
            manager.release_orphaned_license_slot(&inner);
            manager.drop_lease(&inner);
            Err(unfinished.error)
        }
    }
}

/// An operation on a lease: `given` is its request.
fn run(
    manager: &Arc<LeaseManager>,
    inner: &Arc<LeaseInner>,
    operation: &'static str,
    mut given: Object,
    begun: &mut dyn FnMut(&Arc<Call>),
) -> Result<String, Error> {
    let shared = &manager.shared;
    let own: &[(&str, Kind)] = if operation == "lease_borrow" { &[("borrowed_until", Kind::TimeOrNull)] } else { &[] };
    strict::check(operation, &mut given, &[&[("timeout_ms", Kind::Integer)], own].concat())?;
    // The host's own limit is one for the whole call.
    let (timeout, timeout_of_call) = match given.remove("timeout_ms") {
        Some(value) => {
            let timeout = checked_millis("timeout_ms", value.as_u64())?;
            (timeout, timeout)
        }
        None => {
            let requests = if operation == "lease_release" { 1 } else { MOST_REQUESTS };
            (inner.timeout, timeout_of_all(inner.timeout, inner.slot_names.len() * requests))
        }
    };
    let in_flight = shared.client.begin(Waiter::Host, timeout_of_call);
    begun(&in_flight.call);
    let done = match operation {
        "lease_renew" => {
            let renewed = inner.ask(&in_flight.call, &mut || inner.renew(shared, &in_flight.call, timeout));
            inner.tick(shared);
            if renewed.is_err() {
                // A lease that is lost may have given slots back.
                manager.repeat_release_later(inner);
            }
            manager.release_orphaned_license_slot(inner);
            renewed
        }
        "lease_borrow" => {
            let until = given.remove("borrowed_until").unwrap_or(Value::Null);
            if shared.client.config().storage_dir.is_none() {
                let message = "A borrow outlives the process, so \"storage_dir\" must be in the config.";
                return Err(Error::because(Status::MissingKey, message));
            }
            let borrowed = inner.ask(&in_flight.call, &mut || inner.borrow(shared, &in_flight.call, timeout, &until));
            manager.release_orphaned_license_slot(inner);
            borrowed
        }
        _ => {
            let released = inner.release(shared, &in_flight.call, timeout);
            manager.repeat_release_later(inner);
            released
        }
    };
    // Also when it failed, there may be something to do for it sooner.
    manager.wake();
    done.map(|()| inner.info(shared))
}

/// Milliseconds until this moment of the system's clock, as a [`face::StateCell`] shows it; 0 when it is past.
pub fn remaining_ms(until: crate::lease::state_machine::Millis) -> i64 {
    until.saturating_sub(crate::lease::clock::now()).max(0)
}

/// Has the cancel of a ticket end the call.
fn on_cancel(ticket: &Ticket, call: &Arc<Call>) {
    let call = Arc::clone(call);
    ticket.on_cancel(Box::new(move || call.cancel()));
}
