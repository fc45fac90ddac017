//! A call in flight: its deadline, whether it was cancelled, how far it got.
//!
//! ureq runs a request on the calling thread from beginning to end, so the resolver and the transport find the call
//! they work for by their thread. So does whatever else a call may have to wait for on its way, such as a file in use.

use std::cell::RefCell;
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

/// Why waiting ended without what was waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    Timeout,
    Cancelled,
}

/// When the phases of a fresh connection ended, for `diagnose`.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Trace {
    pub(crate) resolved: Option<Instant>,
    pub(crate) connected: Option<Instant>,
    pub(crate) secured: Option<Instant>,
}

/// Who waits for a call, and so what ends it early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waiter {
    /// The host: its cancel, and the client's end.
    Host,
    /// The keeper of leases: the client's end.
    Keeper,
    /// Nobody: what is given back when a client ends is given back all the same.
    Nobody,
}

/// One call of the host, however many attempts it takes.
#[derive(Debug)]
pub(crate) struct Call {
    thread: ThreadId,
    waiter: Waiter,
    deadline: Instant,
    cancelled: AtomicBool,
    /// How many connectors are at work: a proxy's and the target's are nested.
    connecting: AtomicU32,
    /// Whether a byte of the request itself may have left this machine.
    sent: AtomicBool,
    waiting: Mutex<Waiting>,
    woken: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    /// The end of the attempt to connect, while there is one.
    connect_deadline: Option<Instant>,
    /// The end of one request of several, while there is one.
    request_deadline: Option<Instant>,
    /// What a blocked read or write waits on.
    socket: Option<Arc<TcpStream>>,
    trace: Trace,
}

impl Call {
    fn new(waiter: Waiter, deadline: Instant) -> Call {
        Call {
            thread: thread::current().id(),
            waiter,
            deadline,
            cancelled: AtomicBool::new(false),
            connecting: AtomicU32::new(0),
            sent: AtomicBool::new(false),
            waiting: Mutex::default(),
            woken: Condvar::new(),
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes whatever the call waits for.
    pub(crate) fn cancel(&self) {
        let waiting = self.waiting();
        self.cancelled.store(true, Ordering::Release);
        if let Some(socket) = &waiting.socket {
            // Fails only if the peer was faster.
            let _ = socket.shutdown(Shutdown::Both);
        }
        self.woken.notify_all();
    }

    /// The time left for what the call is doing now.
    pub(crate) fn left(&self) -> Result<Duration, Stop> {
        if self.cancelled.load(Ordering::Acquire) {
            return Err(Stop::Cancelled);
        }
        let waiting = self.waiting();
        let ends = [Some(self.deadline), waiting.request_deadline, waiting.connect_deadline];
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

    /// Sleeps, but no longer than the call lasts; tells if it is over.
    pub(crate) fn pause(&self, duration: Duration) -> Result<(), Stop> {
        let left = self.left()?;
        self.sleep(duration.min(left))
    }

    /// Gives the next request so much of the call's time and no more; `None` gives it all.
    pub(crate) fn limit_request(&self, timeout: Option<Duration>) {
        self.waiting().request_deadline = timeout.map(|timeout| Instant::now() + timeout);
    }

    /// Begins a new attempt: nothing of it has been sent.
    pub(crate) fn begin_attempt(&self) {
        self.sent.store(false, Ordering::Release);
        self.waiting().trace = Trace::default();
    }

    /// Ends it, wherever it stopped.
    pub(crate) fn end_attempt(&self) {
        self.connecting.store(0, Ordering::Release);
        let mut waiting = self.waiting();
        waiting.connect_deadline = None;
        waiting.socket = None;
    }

    /// A connector starts; the outermost starts the time a connection may take.
    pub(crate) fn begin_connecting(&self, connect_timeout: Duration) {
        if self.connecting.fetch_add(1, Ordering::AcqRel) == 0 {
            self.waiting().connect_deadline = Some(Instant::now() + connect_timeout);
        }
    }

    /// A connector is done; after the outermost, the connection carries the request.
    pub(crate) fn end_connecting(&self) {
        if self.connecting.fetch_sub(1, Ordering::AcqRel) == 1 {
            let mut waiting = self.waiting();
            waiting.connect_deadline = None;
            waiting.trace.secured = Some(Instant::now());
        }
    }

    /// Bytes are about to leave on this call's connection.
    pub(crate) fn about_to_send(&self) {
        if self.connecting.load(Ordering::Acquire) == 0 {
            self.sent.store(true, Ordering::Release);
        }
    }

    /// Whether the connection is still being made, through a proxy perhaps.
    pub(crate) fn is_connecting(&self) -> bool {
        self.connecting.load(Ordering::Acquire) > 0
    }

    pub(crate) fn was_sent(&self) -> bool {
        self.sent.load(Ordering::Acquire)
    }

    /// Names the socket a cancel must shut down.
    pub(crate) fn waits_on(&self, socket: &Arc<TcpStream>) {
        self.waiting().socket = Some(Arc::clone(socket));
    }

    /// Lets go of the socket, so that it may serve another call; false if a cancel was faster and has shut it down.
    pub(crate) fn let_go(&self) -> bool {
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
    /// The call that this thread works for, of whichever client.
    static CALL_OF_THREAD: RefCell<Weak<Call>> = const { RefCell::new(Weak::new()) };
}

/// Tells the thread which call it works for. A thread that is just ending can't remember one, and does without.
fn set_call_of_thread(call: Weak<Call>) {
    let _ = CALL_OF_THREAD.try_with(|current| current.replace(call));
}

/// Sleeps for something that the call of this thread needs, or for whatever a thread without a call does; false if the
/// call is over. For code that every verb reaches on some way, and that no verb passes its call to.
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
pub(crate) struct Calls(Mutex<InFlightCalls>);

#[derive(Debug, Default)]
struct InFlightCalls {
    list: Vec<Arc<Call>>,
    /// The client was closed: whatever begins now is over.
    shut: bool,
}

impl Calls {
    /// Registers a call of this thread, until the guard is dropped.
    pub(crate) fn begin(self: &Arc<Calls>, waiter: Waiter, deadline: Instant) -> InFlight {
        let call = Arc::new(Call::new(waiter, deadline));
        let mut calls = self.calls();
        calls.list.push(Arc::clone(&call));
        if calls.shut && waiter != Waiter::Nobody {
            call.cancel();
        }
        drop(calls);
        set_call_of_thread(Arc::downgrade(&call));
        InFlight { calls: Arc::clone(self), call }
    }

    /// The call this thread works for.
    pub(crate) fn current(&self) -> Option<Arc<Call>> {
        let thread = thread::current().id();
        self.calls().list.iter().find(|call| call.thread == thread).cloned()
    }

    /// Ends every call that the host waits for; later ones are not touched.
    pub(crate) fn cancel_all(&self) {
        self.calls().list.iter().filter(|call| call.waiter == Waiter::Host).for_each(|call| call.cancel());
    }

    /// Ends every call that anybody waits for, and every later one.
    pub(crate) fn shut(&self) {
        let mut calls = self.calls();
        calls.shut = true;
        calls.list.iter().filter(|call| call.waiter != Waiter::Nobody).for_each(|call| call.cancel());
    }

    fn calls(&self) -> MutexGuard<'_, InFlightCalls> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps a call registered.
pub(crate) struct InFlight {
    calls: Arc<Calls>,
    pub(crate) call: Arc<Call>,
}

impl Drop for InFlight {
    fn drop(&mut self) {
        set_call_of_thread(Weak::new());
        self.calls.calls().list.retain(|call| !Arc::ptr_eq(call, &self.call));
    }
}
