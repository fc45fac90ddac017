//! A client with its leases, as its host uses them: verbs, leases, submitted calls and events.

use crate::client::{Client, unknown_operation};
use crate::config::checked_millis;
use crate::error::Error;
use crate::lease::acquire_request::{AcquireRequest, KeepAlive};
use crate::lease::background::calls::{BackgroundCalls, Guard};
use crate::lease::background::events::Events;
use crate::lease::background::ticket::Ticket;
use crate::lease::consumption;
use crate::lease::context::Shared;
use crate::lease::lease_inner::{LeaseInner, MOST_REQUESTS, timeout_of_all};
use crate::lease::license_calls;
use crate::lease::manager::LeaseManager;
use crate::lease::slot::ReleaseMode;
use crate::lease::state_cell::StateWriter;
use crate::lease::state_machine::{Millis, State};
use crate::lease::storage::probe;
use crate::lease::stored_slots;
use crate::operations::{Kind, Operation};
use crate::status::Status;
use crate::strict::{self, Object};
use crate::uptime;
use serde_json::Value;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The calls that may be submitted besides the verbs and [`consumption::SYNC`].
const LEASE_OPERATIONS: [&str; 4] = ["lease_acquire", "lease_renew", "lease_borrow", "lease_release"];

/// The name of [`Lease::release_keeping_borrows`] in messages.
const RELEASE_KEEPING_BORROWS: &str = "lease_release_keeping_borrows";

/// How often time is applied to leases that their host keeps alive, while the host waits for events.
const HOST_TICK: Duration = Duration::from_millis(500);

/// A client, its leases, and the queue of their events. Any method from any thread at any time.
pub struct Session {
    manager: Arc<LeaseManager>,
    calls: BackgroundCalls,
    /// Leases that a submitted call has acquired, by ticket, until the host accepts them.
    acquired: Arc<Mutex<Vec<(u64, Lease)>>>,
}

impl Session {
    /// Opens a client; see [`Client::open`]. `guard` contains panics on the library's own threads;
    /// [`caught`](crate::lease::caught) is one.
    ///
    /// # Errors
    /// The config is invalid.
    pub fn open(config_json: &str, guard: Guard) -> Result<Session, Error> {
        let events = Arc::new(Events::new());
        let calls = BackgroundCalls::new(Arc::clone(&events), guard);
        let shared = Shared::new(Client::open(config_json)?, events, guard);
        Ok(Session { manager: Arc::new(LeaseManager::new(shared)), calls, acquired: Arc::default() })
    }

    /// The client without its leases.
    pub fn client(&self) -> &Client {
        &self.manager.shared.client
    }

    /// Tests the files in `storage_dir` and each step of the way to the server; see [`Client::diagnose`].
    ///
    /// # Errors
    /// [`Status::Cancelled`] if another thread cancels it.
    pub fn diagnose(&self) -> Result<String, Error> {
        let shared = &self.manager.shared;
        shared.client.diagnose_with(Some(probe::storage(shared.folder())))
    }

    /// Calls a verb by name, or `sync_consumptions`; see `floatlease_call` in the header.
    ///
    /// # Errors
    /// Those of [`Client::call`], and errors of the files in `storage_dir`.
    pub fn call(&self, operation: &str, request_json: &str) -> Result<String, Error> {
        license_calls::call(&self.manager, operation, request_json, None)
    }

    /// Tells which slots this device may hold of a license, as the files in `storage_dir` say, held by whichever process.
    /// Sends no request. The request may name the license and the device; the reply is
    ///
    /// `{"slots":[{"feature":null,"license_id":7001,"state":"borrowed","borrowed_until":"…","in_use":false,"reason":null}]}`
    ///
    /// `state` is `borrowed`, `held` by a process of this machine, `left` by a dead one, or `unreadable`. `reason` tells
    /// why a record can't be read, or why a start without a network would not believe the borrow.
    ///
    /// # Errors
    /// [`Status::MissingKey`] without `storage_dir`, [`Status::Storage`] if it can't be read.
    pub fn stored_slots(&self, request_json: &str) -> Result<String, Error> {
        stored_slots::list(&self.manager.shared, request_json)
    }

    /// Releases slots of a license that this device may hold as the files in `storage_dir` say, and that no process of
    /// this machine holds. For the end of a container, and for an uninstaller.
    ///
    /// | key | meaning |
    /// |---|---|
    /// | `all` | true: every slot of the license; otherwise those of `feature` or `features`, or the license's own |
    /// | `keep_borrows` | true leaves borrows running |
    /// | `wait_for_holders` | true waits for processes that hold a slot, as long as the call lasts |
    /// | `timeout_ms` | the deadline of the whole call; default: the config's |
    ///
    /// The request may also name the license and the device. The reply is
    ///
    /// `{"released":[{"feature":null,"license_id":7001}],"kept":[],"left":[{"feature":"MESH","license_id":7001,
    /// "why":"failed","status":21,"name":"CONNECT","category":"network","reason":"…"}]}`
    ///
    /// `kept` are borrows that were left running, and `left` is what could not be released. `why` is `in_use` by a
    /// process, `unanswered`: a server without order numbers may carry out an earlier request, or `failed` with a status.
    /// What is left is in the files still, so a later call tries again.
    ///
    /// # Errors
    /// The request is invalid, [`Status::MissingKey`] without `storage_dir`, [`Status::Storage`] if it can't be read.
    pub fn release_stored_slots(&self, request_json: &str) -> Result<String, Error> {
        stored_slots::release(&self.manager.shared, request_json)
    }

    /// Takes one slot or several and keeps them; see `floatlease_lease_acquire` in the header for the request. Returns the
    /// lease and its [`Lease::info`].
    ///
    /// # Errors
    /// The request is invalid, the server has refused, or the server can't be reached.
    pub fn acquire(&self, request_json: &str) -> Result<(Lease, String), Error> {
        acquire(&self.manager, request_json, None)
    }

    /// Makes a call in the background: a verb, or one of `lease_acquire`, `lease_renew`, `lease_borrow` and
    /// `lease_release`, the last three with the number of the lease as `"lease"`. Its completion is an event. Returns the
    /// number of its ticket.
    ///
    /// # Errors
    /// [`Status::UnknownOperation`], or [`Status::TooManyCalls`]. Any other error is part of the completion.
    pub fn submit(&self, operation: &str, request_json: &str) -> Result<u64, Error> {
        let (manager, request) = (Arc::clone(&self.manager), request_json.to_owned());
        let verb = Operation::named(operation).or_else(|| Operation::of_file(operation)).map(|verb| verb.name);
        if let Some(verb) = verb.or((operation == consumption::SYNC).then_some(consumption::SYNC)) {
            let call = move |ticket: &Ticket| license_calls::call(&manager, verb, &request, Some(ticket));
            return self.calls.submit(Box::new(call));
        }
        let Some(operation) = LEASE_OPERATIONS.into_iter().find(|known| *known == operation) else {
            return Err(unknown_operation(operation, &[&LEASE_OPERATIONS[..], &[consumption::SYNC]].concat()));
        };
        let acquired = Arc::clone(&self.acquired);
        self.calls.submit(Box::new(move |ticket| {
            if operation == "lease_acquire" {
                let (lease, info) = acquire(&manager, &request, Some(ticket))?;
                acquired.lock().unwrap_or_else(PoisonError::into_inner).push((ticket.number, lease));
                return Ok(info);
            }
            let mut given = strict::parse_object("the request", &request)?;
            let id = given.remove("lease").as_ref().and_then(Value::as_u64);
            let lease = id.and_then(|id| manager.find(id)).ok_or_else(|| {
                let message = format!("\"lease\" of {operation} must be the number of a lease that is held.");
                Error::because(Status::BadValue, message)
            })?;
            run(&manager, &lease, operation, given, Some(ticket))
        }))
    }

    /// Cancels a submitted call. Its completion still comes.
    ///
    /// # Errors
    /// [`Status::Ticket`] if the call is done already.
    pub fn cancel_submitted(&self, ticket: u64) -> Result<(), Error> {
        self.calls.cancel(ticket)
    }

    /// Returns the lease that a submitted `lease_acquire` has taken, once.
    ///
    /// # Errors
    /// [`Status::Ticket`] if that call has taken no lease, or the lease was returned already.
    pub fn accept(&self, ticket: u64) -> Result<Lease, Error> {
        let mut acquired = self.acquired();
        let at = acquired.iter().position(|(number, _)| *number == ticket);
        at.map(|at| acquired.swap_remove(at).1).ok_or_else(|| Error::new(Status::Ticket))
    }

    /// Returns the oldest event that was not read yet. Waits for one, at most as long as `wait`.
    ///
    /// # Errors
    /// [`Status::Cancelled`] after [`Session::cancel`], [`Status::Handle`] once the session is closed.
    pub fn next_event(&self, wait: Duration) -> Result<Option<String>, Error> {
        let (started, events) = (Instant::now(), &self.manager.shared.events);
        // A cancel between two waits counts too. Without waiting there is none, and no lock is taken to ask.
        let cancels = if wait.is_zero() { None } else { Some(events.cancels()) };
        loop {
            let must_tick = self.manager.tick_host_leases();
            let left = wait.saturating_sub(started.elapsed());
            let part = if must_tick { left.min(HOST_TICK) } else { left };
            let event = match cancels {
                Some(cancels) => events.next_since(cancels, part)?,
                None => events.next(part)?,
            };
            if event.is_some() || !must_tick || left <= HOST_TICK {
                return Ok(event);
            }
        }
    }

    /// Ends every call under way with [`Status::Cancelled`]. Later calls are not affected, nor are leases.
    pub fn cancel(&self) {
        self.client().cancel();
        self.manager.shared.events.cancel();
    }

    /// Advances the clock of this session's leases, as a sleep of the machine would. For tests: it only brings ends
    /// nearer.
    pub fn advance_clock(&self, by_ms: u32) {
        self.manager.shared.clock.advance(by_ms);
        self.client().forget_connections();
        self.manager.wake();
    }

    /// Ends all calls, threads and leases without waiting. The slots are released in the background, each within its
    /// `release_on_close_ms`.
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

/// One slot or several, held together. Dropping the lease releases them in the background, unless they are borrowed.
pub struct Lease {
    manager: Arc<LeaseManager>,
    inner: Arc<LeaseInner>,
}

impl Lease {
    /// The state of the lease.
    pub fn state(&self) -> State {
        self.inner.status().state()
    }

    /// Milliseconds until licensed work must stop.
    pub fn remaining_ms(&self) -> i64 {
        self.inner.status().state_machine().remaining_ms(self.manager.shared.clock.now())
    }

    /// Everything that is known of the lease, as JSON. Sends no request.
    pub fn info(&self) -> String {
        if self.inner.keep_alive == KeepAlive::Host {
            self.inner.tick();
            self.manager.save_clock_mark();
        }
        self.inner.info()
    }

    /// Renews the lease now.
    ///
    /// # Errors
    /// The server has refused or can't be reached. The state of the lease says what that means.
    pub fn renew(&self, request_json: &str) -> Result<String, Error> {
        self.run("lease_renew", request_json)
    }

    /// Borrows the lease until a date, with or without a network. Needs `storage_dir`.
    ///
    /// # Errors
    /// The server has refused or can't be reached. The lease goes on as it was.
    pub fn borrow(&self, request_json: &str) -> Result<String, Error> {
        self.run("lease_borrow", request_json)
    }

    /// Releases the lease, and ends its borrow. The last holder on this machine tells the server.
    ///
    /// # Errors
    /// The server can't be reached, or a file can't be written. What could not be released is still held.
    pub fn release(&self, request_json: &str) -> Result<String, Error> {
        self.run("lease_release", request_json)
    }

    /// Releases the lease, but ends no borrow, as dropping it does. Waits for the server, as [`Lease::release`] does: for a
    /// program that ends right afterwards.
    ///
    /// # Errors
    /// Those of [`Lease::release`].
    pub fn release_keeping_borrows(&self, request_json: &str) -> Result<String, Error> {
        self.run(RELEASE_KEEPING_BORROWS, request_json)
    }

    /// Publishes the state into this cell from now on.
    pub fn publish_to(&self, writer: StateWriter) {
        self.inner.status().publish_to(writer, &self.manager.shared.clock);
    }

    fn run(&self, operation: &'static str, request_json: &str) -> Result<String, Error> {
        let given = strict::parse_object("the request", request_json)?;
        run(&self.manager, &self.inner, operation, given, None)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.inner.status().stop_publishing();
        self.manager.drop_lease(&self.inner);
    }
}

fn acquire(manager: &Arc<LeaseManager>, request_json: &str, ticket: Option<&Ticket>) -> Result<(Lease, String), Error> {
    let shared = &manager.shared;
    let request = AcquireRequest::parse(&shared.client, request_json)?;
    // A thread that can't be started is known before the server is asked.
    let _reserved = manager.reserve(request.keep_alive)?;
    let timeout = timeout_of_all(request.timeout, request.features.len() * MOST_REQUESTS);
    let (names, wait) = (request.slot_names(), request.wait);
    let in_flight = shared.begin_host_call(timeout + wait, ticket);
    let inner = Arc::new(LeaseInner::new(shared, manager.next_id(), request)?);
    let in_doubt = manager.reclaim(&names);
    let acquired = inner.acquire(&in_flight.call, wait, in_doubt);
    if let Err(error) = acquired {
        // If the server may count a slot, dropping the lease releases it, and repeats the release if need be.
        if !inner.may_be_held_at_server() {
            manager.repeat_release_later(&inner);
        }
        manager.release_stray_license_slot(&inner);
        manager.drop_lease(&inner);
        return Err(error);
    }
    let lease = Lease { manager: Arc::clone(manager), inner };
    // If the client was closed meanwhile, dropping the lease here releases its slots.
    if !manager.add_lease(&lease.inner) {
        return Err(Error::new(Status::Cancelled).with_unknown_outcome());
    }
    if !lease.inner.release_orphans(&in_flight.call) {
        manager.release_orphans_later(&lease.inner);
    }
    manager.sync_consumptions(&lease.inner);
    let info = lease.info();
    Ok((lease, info))
}

/// Runs an operation on a lease. `given` is its request.
fn run(
    manager: &Arc<LeaseManager>,
    lease: &Arc<LeaseInner>,
    operation: &'static str,
    mut given: Object,
    ticket: Option<&Ticket>,
) -> Result<String, Error> {
    let own: &[(&str, Kind)] = if operation == "lease_borrow" { &[("borrowed_until", Kind::TimeOrNull)] } else { &[] };
    strict::check(operation, &mut given, &[&[("timeout_ms", Kind::Integer)], own].concat())?;
    let (timeout, timeout_of_call) = timeouts(lease, operation, &mut given)?;
    let in_flight = manager.shared.begin_host_call(timeout_of_call, ticket);
    let call = &in_flight.call;
    let done = match operation {
        "lease_renew" => {
            let renewed = lease.cancellable(call, || lease.renew(call, timeout));
            lease.tick();
            if renewed.is_err() {
                // A lease that is lost may have released slots.
                manager.repeat_release_later(lease);
            }
            manager.release_stray_license_slot(lease);
            renewed
        }
        "lease_borrow" => {
            let until = given.remove("borrowed_until").unwrap_or(Value::Null);
            if manager.shared.folder().is_none() {
                let message = "A borrow outlives the process, so \"storage_dir\" must be in the config.";
                return Err(Error::because(Status::MissingKey, message));
            }
            let borrowed = lease.cancellable(call, || lease.borrow(call, timeout, &until));
            manager.release_stray_license_slot(lease);
            borrowed
        }
        _ => {
            let mode =
                if operation == RELEASE_KEEPING_BORROWS { ReleaseMode::KeepBorrow } else { ReleaseMode::ReturnBorrow };
            let released = lease.release(call, timeout, mode);
            manager.repeat_release_later(lease);
            released
        }
    };
    // Even a failure may have changed when the lease needs a thread next.
    manager.wake();
    done.map(|()| lease.info())
}

/// The time limit of each request, and of the whole call. A limit of the host's own is one for the whole call.
fn timeouts(lease: &LeaseInner, operation: &str, given: &mut Object) -> Result<(Duration, Duration), Error> {
    match given.remove("timeout_ms") {
        Some(value) => {
            let timeout = checked_millis("timeout_ms", value.as_u64())?;
            Ok((timeout, timeout))
        }
        None => {
            let is_release = ["lease_release", RELEASE_KEEPING_BORROWS].contains(&operation);
            let requests = if is_release { 1 } else { MOST_REQUESTS };
            Ok((lease.timeout, timeout_of_all(lease.timeout, lease.slot_names.len() * requests)))
        }
    }
}

/// Milliseconds until this moment of the system's clock, as a
/// [`StateCell`](crate::lease::state_cell::StateCell) holds it; 0 when it is past.
pub fn remaining_ms(until: Millis) -> i64 {
    until.saturating_sub(uptime::now_ms()).max(0)
}
