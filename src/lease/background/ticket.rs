//! The ticket of a submitted call, by which the host cancels the call.

use crate::lease::sync::{Mutex, MutexGuard};
use std::sync::PoisonError;
use std::time::{Duration, Instant};

/// Ends the wait of a call.
pub(crate) type Wake = Box<dyn FnOnce() + Send>;

/// How urgent a submitted call is. Each priority has threads of its own, so no call waits behind one of the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Priority {
    /// It asks the server for something.
    Normal,
    /// It releases or renews what the host holds.
    High,
}

/// The ticket of a submitted call, shared by the call and the threads that may cancel it.
pub(crate) struct Ticket {
    pub(crate) number: u64,
    pub(crate) priority: Priority,
    pub(crate) submitted_at: Instant,
    /// When the call is over, even if its turn has not come.
    pub(crate) deadline: Instant,
    state: Mutex<TicketState>,
}

/// The state of a submitted call.
enum TicketState {
    /// The call was not cancelled. A cancel calls the function, if there is one.
    Active(Option<Wake>),
    Cancelled,
}

impl Ticket {
    /// The ticket of a call that is submitted now, and may last for `time_limit`.
    pub(crate) fn new(number: u64, priority: Priority, time_limit: Duration) -> Ticket {
        let submitted_at = Instant::now();
        let deadline = submitted_at + time_limit;
        Ticket { number, priority, submitted_at, deadline, state: Mutex::new(TicketState::Active(None)) }
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        matches!(*self.state(), TicketState::Cancelled)
    }

    /// Registers `wake` to be called by a cancel, instead of an earlier one. If the call was cancelled before, `wake`
    /// is called now. It is called once at most, possibly when the call has ended.
    pub(crate) fn on_cancel(&self, wake: Wake) {
        if let TicketState::Active(registered) = &mut *self.state() {
            *registered = Some(wake);
            return;
        }
        wake();
    }

    /// Cancels the call. A second cancel has no effect.
    pub(crate) fn cancel(&self) {
        let before = std::mem::replace(&mut *self.state(), TicketState::Cancelled);
        if let TicketState::Active(Some(wake)) = before {
            wake();
        }
    }

    fn state(&self) -> MutexGuard<'_, TicketState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[cfg(loom)]
mod loom_tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    #[test]
    fn cancel_wakes_the_call_once_at_any_moment() {
        loom::model(|| {
            let (ticket, woken) =
                (Arc::new(Ticket::new(1, Priority::Normal, Duration::from_secs(60))), Arc::new(AtomicUsize::new(0)));
            let cancels = [(); 2].map(|()| {
                let ticket = Arc::clone(&ticket);
                loom::thread::spawn(move || ticket.cancel())
            });
            let count = Arc::clone(&woken);
            ticket.on_cancel(Box::new(move || assert_eq!(count.fetch_add(1, Relaxed), 0)));
            cancels.into_iter().for_each(|cancel| cancel.join().unwrap());
            assert_eq!((woken.load(Relaxed), ticket.is_cancelled()), (1, true));
        });
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    #[test]
    fn later_registered_wake_replaces_earlier_one() {
        let (woken, wakes) = channel();
        let ticket = Ticket::new(1, Priority::Normal, Duration::from_secs(60));
        for wake in ["first", "second"] {
            let woken = woken.clone();
            ticket.on_cancel(Box::new(move || woken.send(wake).unwrap()));
        }
        assert!(!ticket.is_cancelled());
        ticket.cancel();
        ticket.cancel();
        assert!(ticket.is_cancelled());
        assert_eq!(wakes.try_iter().collect::<Vec<_>>(), ["second"]);
    }

    #[test]
    fn wake_registered_after_cancel_is_called_at_once() {
        let (woken, wakes) = channel();
        let ticket = std::sync::Arc::new(Ticket::new(1, Priority::Normal, Duration::from_secs(60)));
        ticket.cancel();
        let seen = std::sync::Arc::clone(&ticket);
        ticket.on_cancel(Box::new(move || woken.send(seen.is_cancelled()).unwrap()));
        assert!(wakes.try_recv().unwrap());
    }
}
