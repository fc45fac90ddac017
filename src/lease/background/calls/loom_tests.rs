//! Every order in which submitters, threads, cancels and a close can meet. loom's condition variable knows no timeout:
//! a thread that is idle for [`STAYS`] stays until the close, one that is idle for [`LEAVES`] ends at once, so that it
//! may end at any moment of a submit.

use super::*;
use loom::sync::Notify;

const STAYS: Duration = Duration::from_secs(3600);
const LEAVES: Duration = Duration::ZERO;

/// Every order with at most three switches of a thread that could have gone on: almost all mistakes need no more, and
/// all orders of three threads would take minutes.
fn model(run: impl Fn() + Send + Sync + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(run);
}

fn errands(idle: Duration) -> BackgroundCalls {
    BackgroundCalls::with(Arc::new(Events::new()), caught, crate::lease::background::thread::start, idle)
}

/// Says whether it saw a cancel.
fn call() -> BackgroundCall {
    Box::new(|ticket| Ok(format!("{}", ticket.is_cancelled())))
}

/// Waits for so many completions and sees that there are no more.
fn read(errands: &BackgroundCalls, many: usize) -> Vec<String> {
    let mut read: Vec<String> = (0..many).map(|_| errands.0.events.next(STAYS).unwrap().unwrap()).collect();
    assert_eq!(errands.0.events.next(Duration::ZERO).unwrap(), None);
    read.sort();
    read
}

fn notices(ticket: u64, reply: &str) -> String {
    completion(ticket, Ok(reply.to_owned()))
}

#[test]
fn no_errand_is_lost_to_a_thread_that_is_about_to_end() {
    model(|| {
        let errands = errands(LEAVES);
        errands.submit(call()).unwrap();
        errands.submit(call()).unwrap();
        assert_eq!(read(&errands, 2), [notices(1, "false"), notices(2, "false")]);
    });
}

#[test]
fn an_idle_thread_is_woken_by_the_next_errand() {
    model(|| {
        let errands = errands(STAYS);
        errands.submit(call()).unwrap();
        assert_eq!(read(&errands, 1), [notices(1, "false")]);
        errands.submit(call()).unwrap();
        assert_eq!(read(&errands, 1), [notices(2, "false")]);
        assert_eq!(errands.0.state().threads, 1);
        errands.close();
    });
}

#[test]
fn a_cancel_wakes_the_errand_whenever_it_comes() {
    model(|| {
        let errands = errands(LEAVES);
        let ticket = errands.submit(Box::new(move |ticket| {
            let woken = Arc::new(Notify::new());
            let wake = Arc::clone(&woken);
            ticket.on_cancel(Box::new(move || wake.notify()));
            // What only a cancel ends, like a server that never answers.
            woken.wait();
            Err(Error::new(Status::Cancelled))
        }));
        errands.cancel(ticket.unwrap()).unwrap();
        assert!(read(&errands, 1)[0].contains("CANCELLED"));
    });
}

#[test]
fn what_is_done_cannot_be_cancelled_and_what_is_not_can() {
    model(|| {
        let errands = errands(LEAVES);
        let ticket = errands.submit(call()).unwrap();
        let cancelled = errands.cancel(ticket);
        // It is under way until its completion is there to be read, and not a moment longer.
        assert!(cancelled.is_ok() || errands.0.events.completions() == 1);
        let told_of_it = read(&errands, 1).remove(0);
        let cancel_was_heard = told_of_it == notices(1, "true") || told_of_it.contains("CANCELLED");
        assert!(told_of_it == notices(1, "false") || (cancelled.is_ok() && cancel_was_heard));
        assert_eq!(errands.cancel(ticket).unwrap_err().status, Status::Ticket);
    });
}

#[test]
fn a_close_ends_every_thread_and_keeps_every_completion() {
    model(|| {
        let errands = errands(STAYS);
        errands.submit(call()).unwrap();
        errands.submit(call()).unwrap();
        errands.close();
        assert_eq!(read(&errands, 2).len(), 2);
    });
}

#[test]
fn two_submitters_get_tickets_of_their_own() {
    model(|| {
        let errands = Arc::new(errands(LEAVES));
        let other = Arc::clone(&errands);
        let other = loom::thread::spawn(move || other.submit(call()).unwrap());
        let own = errands.submit(call()).unwrap();
        assert_eq!(own + other.join().unwrap(), 3);
        assert_eq!(read(&errands, 2), [notices(1, "false"), notices(2, "false")]);
    });
}
