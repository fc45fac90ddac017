//! A call in flight: its deadline, whether it was cancelled, how far it got.
//!
//! ureq runs a request on the calling thread from beginning to end, so the resolver and the transport find their call by
//! the thread. So does other code that a call may have to wait for, such as the retries for a file in use.

use crate::config::Threads;
use crate::error::Error;
use crate::secret::wipe_stack;
use crate::status::Status;
use crate::thread::current_id;
use std::cell::RefCell;
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

/// Why waiting ended without what was waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    Timeout,
    Cancelled,
}

impl From<Stop> for Error {
    fn from(stop: Stop) -> Error {
        Error::new(match stop {
            Stop::Timeout => Status::Timeout,
            Stop::Cancelled => Status::Cancelled,
        })
    }
}

/// The ends of the phases of a new connection, for `diagnose`.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Trace {
    pub(crate) resolved: Option<Instant>,
    pub(crate) connected: Option<Instant>,
    pub(crate) secured: Option<Instant>,
}

/// The part that waits for a call, which decides what ends the call early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waiter {
    /// The host. Its cancel ends the call, and so does closing the client.
    Host,
    /// A thread of the library that renews leases or sends queued consumptions. Closing the client ends the call.
    Library,
    /// A thread that releases leases, which goes on after the client was closed.
    Release,
}

/// One call of the host or of a thread of the library, with all of its attempts.
#[derive(Debug)]
pub(crate) struct Call {
    /// The number of its thread; see [`current_id`].
    thread: usize,
    /// Whose threads do what may take longer than the call lasts.
    pub(super) threads: Threads,
    waiter: Waiter,
    deadline: Instant,
    cancelled: AtomicBool,
    /// True while a connection is being made.
    connecting: AtomicBool,
    /// True once a byte of the request itself may have left this machine.
    sent: AtomicBool,
    waiting: Mutex<Waiting>,
    woken: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    /// The deadline of the attempt to connect, while there is one.
    connect_deadline: Option<Instant>,
    /// The deadline of one request of several, while there is one.
    request_deadline: Option<Instant>,
    /// True if the attempt may be followed by another one whatever becomes of it.
    may_be_repeated: bool,
    /// True while the attempt uses a connection that served another request before.
    reuses_connection: bool,
    /// The end of the time that such an attempt has, if it may be repeated: the rest is for a new connection.
    reuse_deadline: Option<Instant>,
    /// The socket of a blocked read or write.
    socket: Option<Arc<TcpStream>>,
    trace: Trace,
}

impl Call {
    fn new(waiter: Waiter, deadline: Instant, threads: Threads) -> Call {
        Call {
            threads,
            thread: current_id(),
            waiter,
            deadline,
            cancelled: AtomicBool::new(false),
            connecting: AtomicBool::new(false),
            sent: AtomicBool::new(false),
            waiting: Mutex::default(),
            woken: Condvar::new(),
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Cancels the call, and wakes its thread wherever it waits.
    pub(crate) fn cancel(&self) {
        let waiting = self.waiting();
        self.cancelled.store(true, Ordering::Release);
        if let Some(socket) = &waiting.socket {
            // Fails only if the peer was faster.
            let _ = socket.shutdown(Shutdown::Both);
        }
        self.woken.notify_all();
    }

    /// The time left for the current step of the call.
    pub(crate) fn left(&self) -> Result<Duration, Stop> {
        if self.cancelled.load(Ordering::Acquire) {
            return Err(Stop::Cancelled);
        }
        let waiting = self.waiting();
        let ends = [Some(self.deadline), waiting.request_deadline, waiting.connect_deadline, waiting.reuse_deadline];
        drop(waiting);
        let end = ends.into_iter().flatten().min().unwrap_or(self.deadline);
        match end.saturating_duration_since(Instant::now()) {
            Duration::ZERO => Err(Stop::Timeout),
            left => Ok(left),
        }
    }

    /// Sleeps, unless cancelled.
    pub(crate) fn sleep(&self, duration: Duration) -> Result<(), Stop> {
        let end = Instant::now() + duration;
        let mut waiting = self.waiting();
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if self.cancelled.load(Ordering::Acquire) {
                return Err(Stop::Cancelled);
            }
            if left.is_zero() {
                return Ok(());
            }
            waiting = self.woken.wait_timeout(waiting, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Sleeps, but no longer than the call lasts. Fails if the call is over.
    pub(crate) fn pause(&self, duration: Duration) -> Result<(), Stop> {
        let left = self.left()?;
        self.sleep(duration.min(left))
    }

    /// Limits the next request to this part of the call's time; `None` removes the limit.
    pub(crate) fn limit_request(&self, timeout: Option<Duration>) {
        self.waiting().request_deadline = timeout.map(|timeout| Instant::now() + timeout);
    }

    /// Runs a step of the request, which may last no longer than this.
    pub(crate) fn with_limit<T>(&self, timeout: Duration, step: impl FnOnce() -> T) -> T {
        let (limit, before) = (Instant::now() + timeout, self.waiting().request_deadline);
        self.waiting().request_deadline = Some(before.map_or(limit, |before| before.min(limit)));
        let result = step();
        self.waiting().request_deadline = before;
        result
    }

    /// Begins a new attempt, of which nothing was sent yet.
    pub(crate) fn begin_attempt(&self, may_be_repeated: bool) {
        self.sent.store(false, Ordering::Release);
        let mut waiting = self.waiting();
        waiting.trace = Trace::default();
        (waiting.may_be_repeated, waiting.reuses_connection) = (may_be_repeated, false);
    }

    /// Ends the attempt, at whatever step it stopped. Returns true if it used a connection that was kept.
    pub(crate) fn end_attempt(&self) -> bool {
        self.connecting.store(false, Ordering::Release);
        let mut waiting = self.waiting();
        (waiting.connect_deadline, waiting.reuse_deadline) = (None, None);
        waiting.socket = None;
        waiting.reuses_connection
    }

    /// Notes that the attempt uses a kept connection, which may be dead without a word. If the request may be repeated, the
    /// part of its time that `reserve_of` names is kept for a new connection.
    pub(crate) fn begin_reuse(&self, reserve_of: impl FnOnce(Duration) -> Duration) {
        let left = self.left().unwrap_or_default();
        let mut waiting = self.waiting();
        waiting.reuses_connection = true;
        if waiting.may_be_repeated {
            waiting.reuse_deadline = Some(Instant::now() + left.saturating_sub(reserve_of(left)));
        }
    }

    /// Notes that a new connection is being made, which has a time limit of its own.
    pub(crate) fn begin_connecting(&self, connect_timeout: Duration) {
        self.connecting.store(true, Ordering::Release);
        let mut waiting = self.waiting();
        (waiting.reuses_connection, waiting.reuse_deadline) = (false, None);
        waiting.connect_deadline = Some(Instant::now() + connect_timeout);
    }

    /// Notes that the connection is made and carries the request from now on.
    pub(crate) fn end_connecting(&self) {
        self.connecting.store(false, Ordering::Release);
        let mut waiting = self.waiting();
        waiting.connect_deadline = None;
        waiting.trace.secured = Some(Instant::now());
    }

    /// Notes that bytes are about to leave on this call's connection.
    pub(crate) fn about_to_send(&self) {
        if !self.connecting.load(Ordering::Acquire) {
            self.sent.store(true, Ordering::Release);
        }
    }

    pub(crate) fn was_sent(&self) -> bool {
        self.sent.load(Ordering::Acquire)
    }

    /// Sets the socket that a cancel shuts down.
    pub(crate) fn waits_on(&self, socket: &Arc<TcpStream>) {
        self.waiting().socket = Some(Arc::clone(socket));
    }

    /// Removes the socket, so that it may serve another call. False if a cancel has shut it down before.
    pub(crate) fn forget_socket(&self) -> bool {
        self.waiting().socket = None;
        !self.cancelled.load(Ordering::Acquire)
    }

    pub(crate) fn trace(&self, record: impl FnOnce(&mut Trace)) {
        record(&mut self.waiting().trace);
    }

    pub(crate) fn traced(&self) -> Trace {
        self.waiting().trace
    }
}

thread_local! {
    /// The call that this thread works for. It may be a call of any client.
    static CALL_OF_THREAD: RefCell<Weak<Call>> = const { RefCell::new(Weak::new()) };
}

/// Sets the call of the thread. A thread that is just ending has no room for one, and does without.
fn set_call_of_thread(call: Weak<Call>) {
    let _ = CALL_OF_THREAD.try_with(|current| current.replace(call));
}

/// Sleeps on behalf of the call of this thread, or of a thread without a call. False if the call is over. For code that
/// many calls reach, but that none of them passes itself to.
pub(crate) fn pause_call_of_thread(duration: Duration) -> bool {
    match CALL_OF_THREAD.try_with(|current| current.borrow().upgrade()) {
        Ok(Some(call)) => call.pause(duration).is_ok(),
        _ => {
            thread::sleep(duration);
            true
        }
    }
}

/// The calls a client has in flight.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    threads: Threads,
    in_flight: Mutex<InFlightCalls>,
}

#[derive(Debug, Default)]
struct InFlightCalls {
    list: Vec<Arc<Call>>,
    /// True once the client was closed. A call that begins later is over at once.
    shut: bool,
}

impl Calls {
    /// `threads` says whose threads do what may take longer than a call lasts.
    pub(crate) fn new(threads: Threads) -> Calls {
        Calls { threads, in_flight: Mutex::default() }
    }

    /// Registers a call of this thread, until the guard is dropped.
    pub(crate) fn begin(self: &Arc<Calls>, waiter: Waiter, deadline: Instant) -> InFlight {
        let call = Arc::new(Call::new(waiter, deadline, self.threads));
        let mut calls = self.calls();
        calls.list.push(Arc::clone(&call));
        if calls.shut && waiter != Waiter::Release {
            call.cancel();
        }
        drop(calls);
        set_call_of_thread(Arc::downgrade(&call));
        InFlight { calls: Arc::clone(self), call }
    }

    /// The call that this thread works for.
    pub(crate) fn current(&self) -> Option<Arc<Call>> {
        let thread = current_id();
        self.calls().list.iter().find(|call| call.thread == thread).cloned()
    }

    /// Cancels every call that the host waits for. Later calls are not affected.
    pub(crate) fn cancel_all(&self) {
        self.calls().list.iter().filter(|call| call.waiter == Waiter::Host).for_each(|call| call.cancel());
    }

    /// Cancels every call but those that release leases, and every later one.
    pub(crate) fn shut(&self) {
        let mut calls = self.calls();
        calls.shut = true;
        calls.list.iter().filter(|call| call.waiter != Waiter::Release).for_each(|call| call.cancel());
    }

    /// Returns true once [`Calls::shut`] was called.
    pub(crate) fn is_shut(&self) -> bool {
        self.calls().shut
    }

    fn calls(&self) -> MutexGuard<'_, InFlightCalls> {
        self.in_flight.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps a call registered until it is dropped.
pub(crate) struct InFlight {
    calls: Arc<Calls>,
    pub(crate) call: Arc<Call>,
}

impl Drop for InFlight {
    fn drop(&mut self) {
        set_call_of_thread(Weak::new());
        self.calls.calls().list.retain(|call| !Arc::ptr_eq(call, &self.call));
        wipe_stack();
    }
}
