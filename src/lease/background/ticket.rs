//! What names a submitted call, and how a cancel reaches it wherever it is.

use crate::lease::sync::{Mutex, MutexGuard};
use std::sync::PoisonError;

/// What wakes a call from whatever it waits for.
pub(crate) type Wake = Box<dyn FnOnce() + Send>;

/// A submitted call, as it and those who cancel it see it.
pub(crate) struct Ticket {
    pub(crate) number: u64,
    wish: Mutex<AcquireRequest>,
}

/// Whether the host still wants the call.
enum AcquireRequest {
    Wanted(Option<Wake>),
    Cancelled,
}

impl Ticket {
    pub(crate) fn new(number: u64) -> Ticket {
        Ticket { number, wish: Mutex::new(AcquireRequest::Wanted(None)) }
    }

    #[cfg(test)]
    pub(crate) fn is_cancelled(&self) -> bool {
        matches!(*self.wish(), AcquireRequest::Cancelled)
    }

    /// Has `wake` called by the cancel, in the place of what was given before; if the cancel was faster, now. It is
    /// called once at most, maybe when the call is over.
    pub(crate) fn on_cancel(&self, wake: Wake) {
        if let AcquireRequest::Wanted(place) = &mut *self.wish() {
            *place = Some(wake);
            return;
        }
        wake();
    }

    /// The host does not want the call any more; a second time changes nothing.
    pub(crate) fn cancel(&self) {
        let before = std::mem::replace(&mut *self.wish(), AcquireRequest::Cancelled);
        if let AcquireRequest::Wanted(Some(wake)) = before {
            wake();
        }
    }

    fn wish(&self) -> MutexGuard<'_, AcquireRequest> {
        self.wish.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[cfg(loom)]
mod loom_tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    #[test]
    fn a_cancel_reaches_the_call_once_whenever_it_comes() {
        loom::model(|| {
            let (ticket, woken) = (Arc::new(Ticket::new(1)), Arc::new(AtomicUsize::new(0)));
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
    fn of_two_ways_to_be_woken_the_later_counts() {
        let (woken, notices) = channel();
        let ticket = Ticket::new(1);
        for way in ["first", "second"] {
            let woken = woken.clone();
            ticket.on_cancel(Box::new(move || woken.send(way).unwrap()));
        }
        assert!(!ticket.is_cancelled());
        ticket.cancel();
        ticket.cancel();
        assert!(ticket.is_cancelled());
        assert_eq!(notices.try_iter().collect::<Vec<_>>(), ["second"]);
    }

    #[test]
    fn what_comes_after_the_cancel_is_woken_at_once_and_may_look_at_the_ticket() {
        let (woken, notices) = channel();
        let ticket = std::sync::Arc::new(Ticket::new(1));
        ticket.cancel();
        let seen = std::sync::Arc::clone(&ticket);
        ticket.on_cancel(Box::new(move || woken.send(seen.is_cancelled()).unwrap()));
        assert!(notices.try_recv().unwrap());
    }
}
