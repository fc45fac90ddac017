//! A client with its leases, as its host uses them: verbs, leases, submitted calls and events.

use crate::client::{Client, unknown_operation};
use crate::config::checked_millis;
use crate::error::Error;
use crate::lease::acquire_request::KeepAlive;
use crate::lease::acquisition::{self, ACQUIRE, Acquisition, Attempt};
use crate::lease::background::call_queue::{BackgroundCall, Progress, Turn, without_pause};
use crate::lease::background::calls::{BackgroundCalls, Guard};
use crate::lease::background::events::Events;
use crate::lease::background::ticket::{Priority, Ticket};
use crate::lease::consumption;
use crate::lease::context::Shared;
use crate::lease::lease_calls::{self, LeaseOperation};
use crate::lease::lease_inner::LeaseInner;
use crate::lease::license_calls;
use crate::lease::manager::LeaseManager;
use crate::lease::state_cell::StateWriter;
use crate::lease::state_machine::{Millis, State};
use crate::lease::storage::probe;
use crate::lease::stored_slots;
use crate::operations::Kind;
use crate::secret::wipe_stack;
use crate::status::Status;
use crate::strict;
use crate::uptime;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

/// The name of [`Session::release_all`] in a submit.
const RELEASE_ALL: &str = "release_all";

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
        let client = Client::open(config_json);
        wipe_stack();
        let (events, client) = (Arc::new(Events::new()), client?);
        let (max_parallel, threads) = (client.config().max_parallel, client.config().threads);
        let manager = Arc::new(LeaseManager::new(Shared::new(client, Arc::clone(&events), guard)));
        let shared = Arc::clone(&manager.shared);
        let after_burst = move || shared.client.close_connections();
        let calls = BackgroundCalls::new(events, guard, max_parallel, threads, after_burst);
        Ok(Session { manager, calls, acquired: Arc::default() })
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
        let report = shared.client.diagnose_with(Some(probe::storage(shared.folder())));
        report.map_err(|error| told_of_close(&shared.client, error))
    }

    /// Calls a verb by name, or `sync_consumptions`; see `floatlease_call` in the header.
    ///
    /// # Errors
    /// Those of [`Client::call`], and errors of the files in `storage_dir`.
    pub fn call(&self, operation: &str, request_json: &str) -> Result<String, Error> {
        let answer = license_calls::call(&self.manager, operation, request_json, None);
        answer.map_err(|error| told_of_close(self.client(), error))
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
        let released = stored_slots::release(&self.manager.shared, request_json);
        released.map_err(|error| told_of_close(self.client(), error))
    }

    /// Takes one slot or several and keeps them; see `floatlease_lease_acquire` in the header for the request. Returns the
    /// lease and its [`Lease::info`].
    ///
    /// # Errors
    /// The request is invalid, the server has refused, or the server can't be reached.
    pub fn acquire(&self, request_json: &str) -> Result<(Lease, String), Error> {
        self.acquire_waiting(request_json).map_err(|error| told_of_close(self.client(), error))
    }

    fn acquire_waiting(&self, request_json: &str) -> Result<(Lease, String), Error> {
        let mut acquisition = Acquisition::begin(&self.manager, request_json, None)?;
        let in_flight = self.manager.shared.begin_host_call(acquisition.time_limit, None);
        loop {
            match acquisition.attempt(&in_flight.call)? {
                Attempt::Acquired(inner) => {
                    let lease = Lease { manager: Arc::clone(&self.manager), inner };
                    let info = lease.info();
                    return Ok((lease, info));
                }
                Attempt::Pause(pause) => acquisition.wait(&in_flight.call, pause)?,
            }
        }
    }

    /// Makes a call in the background: a verb, or one of `lease_acquire`, `lease_renew`, `lease_borrow` and
    /// `lease_release`, the last three with the number of the lease as `"lease"`. Its completion is an event. Returns the
    /// number of its ticket.
    ///
    /// # Errors
    /// [`Status::UnknownOperation`], or [`Status::TooManyCalls`]. Any other error is part of the completion.
    pub fn submit(&self, operation: &str, request_json: &str) -> Result<u64, Error> {
        let (manager, request) = (Arc::clone(&self.manager), Zeroizing::new(request_json.to_owned()));
        if operation == ACQUIRE {
            let time_limit = acquisition::time_limit(&manager.shared.client, request_json);
            return self.calls.submit(Priority::Normal, time_limit, self.submitted_acquire(request));
        }
        if let Some(operation) = LeaseOperation::SUBMITTED.into_iter().find(|known| known.name() == operation) {
            let time_limit = lease_calls::time_limit(&manager, operation, request_json);
            let run = move |ticket: &Ticket| lease_calls::run_submitted(&manager, operation, &request, ticket);
            return self.calls.submit(operation.priority(), time_limit, without_pause(run));
        }
        if operation == RELEASE_ALL {
            let (calls, time_limit) =
                (self.calls.clone(), license_calls::time_limit(&manager.shared.client, request_json));
            let run = move |ticket: &Ticket| release_all(&manager, &calls, &request, ticket);
            return self.calls.submit(Priority::High, time_limit, without_pause(run));
        }
        let (name, priority) = license_calls::named(operation).ok_or_else(|| {
            let of_leases = LeaseOperation::SUBMITTED.map(LeaseOperation::name);
            unknown_operation(operation, &[&[ACQUIRE, RELEASE_ALL, consumption::SYNC], &of_leases[..]].concat())
        })?;
        let time_limit = license_calls::time_limit(&manager.shared.client, request_json);
        let run = move |ticket: &Ticket| license_calls::call(&manager, name, &request, Some(ticket));
        self.calls.submit(priority, time_limit, without_pause(run))
    }

    /// An acquire that needs no thread while it waits for slots.
    fn submitted_acquire(&self, request: Zeroizing<String>) -> BackgroundCall {
        let (manager, acquired) = (Arc::clone(&self.manager), Arc::clone(&self.acquired));
        let mut under_way: Option<Acquisition> = None;
        Box::new(move |turn| {
            let ticket = match turn {
                Turn::Run(ticket) => ticket,
                Turn::Stop(error) => {
                    let ended = under_way.as_mut().map(|acquisition| acquisition.ended(error.clone()));
                    return Progress::Done(Err(ended.unwrap_or(error)));
                }
            };
            let mut attempt = || {
                let acquisition = match &mut under_way {
                    Some(acquisition) => acquisition,
                    none => none.insert(Acquisition::begin(&manager, &request, Some(ticket))?),
                };
                let in_flight = manager.shared.begin_host_call(acquisition.time_limit, Some(ticket));
                acquisition.attempt(&in_flight.call)
            };
            match attempt() {
                Ok(Attempt::Pause(pause)) => Progress::PausedUntil(Instant::now() + pause),
                Ok(Attempt::Acquired(inner)) => {
                    let lease = Lease { manager: Arc::clone(&manager), inner };
                    let info = lease.info();
                    acquired.lock().unwrap_or_else(PoisonError::into_inner).push((ticket.number, lease));
                    Progress::Done(Ok(info))
                }
                Err(error) => Progress::Done(Err(error)),
            }
        })
    }

    /// Releases every lease of the client within a time; see `floatlease_client_release_all` in the header for the reply.
    ///
    /// # Errors
    /// [`Status::BadValue`] for a time that is not from 1 to 3,600,000 ms, [`Status::Cancelled`] if another thread cancels
    /// it.
    pub fn release_all(&self, timeout_ms: u32) -> Result<String, Error> {
        let timeout = checked_millis("timeout_ms", Some(timeout_ms.into()))?;
        self.manager.release_all(timeout, None, || self.calls.cancel_paused())
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
        let lease = at.map(|at| acquired.swap_remove(at).1).ok_or_else(|| Error::new(Status::Ticket));
        lease.map_err(|error| told_of_close(self.client(), error))
    }

    /// Does what is due on this thread: submitted calls, renewals, releases and bookings. Begins nothing after `longest`. Any
    /// number of threads may do so. Returns the time until something is due again; `None` if nothing is.
    ///
    /// # Errors
    /// [`Status::BadValue`] unless the config says `"threads":"host"`.
    pub fn work(&self, longest: Duration) -> Result<Option<Duration>, Error> {
        if !self.manager.shared.has_no_threads() {
            let message =
                "Threads of the library do what is due; set \"threads\":\"host\" in the config to do it yourself.";
            return Err(Error::because(Status::BadValue, message));
        }
        let started = Instant::now();
        let consumptions = &self.manager.consumptions;
        while (self.manager.work() || self.calls.work() || consumptions.work()) && started.elapsed() < longest {}
        let due_at = self.calls.due_at().into_iter().chain(consumptions.due_at()).min();
        let left = due_at.map(|due_at| due_at.saturating_duration_since(Instant::now()));
        Ok(left.into_iter().chain(self.manager.time_until_work()).min())
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

    /// Publishes by this writer from now on how many events wait to be read.
    pub fn publish_events_to(&self, writer: StateWriter) {
        self.manager.shared.events.publish_to(writer);
    }

    /// Ends every call under way with [`Status::Cancelled`]. Later calls are not affected, nor are leases.
    pub fn cancel(&self) {
        self.client().cancel();
        self.calls.cancel_paused();
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
        self.run(LeaseOperation::Renew, request_json)
    }

    /// Borrows the lease until a date, with or without a network. Needs `storage_dir`.
    ///
    /// # Errors
    /// The server has refused or can't be reached. The lease goes on as it was.
    pub fn borrow(&self, request_json: &str) -> Result<String, Error> {
        self.run(LeaseOperation::Borrow, request_json)
    }

    /// Releases the lease, and ends its borrow. The last holder on this machine tells the server.
    ///
    /// # Errors
    /// The server can't be reached, or a file can't be written. What could not be released is still held.
    pub fn release(&self, request_json: &str) -> Result<String, Error> {
        self.run(LeaseOperation::Release, request_json)
    }

    /// Releases the lease, but ends no borrow, as dropping it does. Waits for the server, as [`Lease::release`] does: for a
    /// program that ends right afterwards.
    ///
    /// # Errors
    /// Those of [`Lease::release`].
    pub fn release_keeping_borrows(&self, request_json: &str) -> Result<String, Error> {
        self.run(LeaseOperation::ReleaseKeepingBorrows, request_json)
    }

    /// Publishes the state into this cell from now on.
    pub fn publish_to(&self, writer: StateWriter) {
        self.inner.status().publish_to(writer, &self.manager.shared.clock);
    }

    fn run(&self, operation: LeaseOperation, request_json: &str) -> Result<String, Error> {
        let given = strict::parse_object("the request", request_json)?;
        let done = lease_calls::run(&self.manager, &self.inner, operation, given, None);
        done.map_err(|error| told_of_close(&self.manager.shared.client, error))
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.inner.status().stop_publishing();
        self.manager.drop_lease(&self.inner);
    }
}

/// Adds to an error that the client was closed, if that may be its reason. A thread that loses the race with a close has
/// no other way to know.
fn told_of_close(client: &Client, error: Error) -> Error {
    match error.status {
        _ if !client.is_shut() => error,
        Status::Cancelled => error.with_detail("The client was closed meanwhile."),
        Status::LeaseOver => error.with_detail("The lease was released, and its client was closed."),
        Status::Ticket => Error::of_closed_client(),
        _ => error,
    }
}

/// Releases everything, as a submitted call.
fn release_all(
    manager: &Arc<LeaseManager>,
    calls: &BackgroundCalls,
    request_json: &str,
    ticket: &Ticket,
) -> Result<String, Error> {
    let mut given = strict::parse_object("the request", request_json)?;
    strict::check(RELEASE_ALL, &mut given, &[("timeout_ms", Kind::Integer)])?;
    let timeout = match given.get("timeout_ms") {
        Some(value) => checked_millis("timeout_ms", value.as_u64())?,
        None => manager.shared.client.config().timeout,
    };
    manager.release_all(timeout, Some(ticket), || calls.cancel_paused())
}

/// Milliseconds until this moment of the system's clock, as a
/// [`StateCell`](crate::lease::state_cell::StateCell) holds it; 0 when it is past.
pub fn remaining_ms(until: Millis) -> i64 {
    until.saturating_sub(uptime::now_ms()).max(0)
}
