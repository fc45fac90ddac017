//! Each ticket has one completion, whatever its errand does; and how many threads that takes.

use super::*;
use serde_json::Value;
use std::cell::Cell;
use std::sync::mpsc::{Receiver, channel};
use std::thread;

const NOW: Duration = Duration::ZERO;
/// Longer than any test may take.
const LONG: Duration = Duration::from_secs(60);

thread_local! {
    /// Whether this thread is refused new ones.
    static REFUSED: Cell<bool> = const { Cell::new(false) };
}

fn start_or_refuse(body: Box<dyn FnOnce() + Send>) -> io::Result<()> {
    if REFUSED.get() { Err(io::Error::other("the test refuses")) } else { super::thread::start(body) }
}

fn errands_idle_for(idle: Duration) -> BackgroundCalls {
    BackgroundCalls::with(Arc::new(Events::new()), caught, start_or_refuse, idle)
}

fn errands() -> BackgroundCalls {
    errands_idle_for(LONG)
}

impl BackgroundCalls {
    /// The next completion, as it was told.
    fn read(&self) -> String {
        self.0.events.next(LONG).unwrap().unwrap()
    }

    fn read_value(&self) -> Value {
        serde_json::from_str(&self.read()).unwrap()
    }

    fn threads(&self) -> usize {
        self.0.state().threads
    }

    fn wait_until(&self, reached: impl Fn(&State) -> bool) {
        while !reached(&self.0.state()) {
            thread::yield_now();
        }
    }
}

fn nothing() -> BackgroundCall {
    Box::new(|_| Ok("{}".to_owned()))
}

/// Submits so many that last until they are cancelled, and returns when those that can have begun. Who hears of each
/// that begins later is the result.
fn submit_lasting(errands: &BackgroundCalls, many: usize) -> Receiver<u64> {
    let (begun, beginning) = channel();
    for _ in 0..many {
        let begun = begun.clone();
        let call = move |ticket: &Ticket| {
            let (end, ended) = channel();
            // Not every test listens for so long.
            let _ = begun.send(ticket.number);
            ticket.on_cancel(Box::new(move || end.send(()).unwrap()));
            ended.recv().unwrap();
            Err(Error::new(Status::Cancelled))
        };
        errands.submit(Box::new(call)).unwrap();
    }
    (0..many.min(MOST_THREADS)).for_each(|_| _ = beginning.recv_timeout(LONG).unwrap());
    beginning
}

#[test]
fn a_completion_bears_the_ticket_the_status_and_the_servers_object() {
    let errands = errands();
    assert_eq!(errands.submit(Box::new(|_| Ok(r#"{"id":7}"#.to_owned()))).unwrap(), 1);
    assert_eq!(errands.read(), r#"{"event":"COMPLETED","ticket":1,"status":0,"reply":{"id":7}}"#);
    let refused = || {
        let mut error = Error::new(Status::FloatingNotAvailable);
        error.attempts = 2;
        error
    };
    assert_eq!(errands.submit(Box::new(move |_| Err(refused()))).unwrap(), 2);
    let error = refused().to_json();
    assert_eq!(errands.read(), format!(r#"{{"event":"COMPLETED","ticket":2,"status":141,"error":{error}}}"#));
    assert_eq!(errands.0.events.next(NOW).unwrap(), None);
}

#[test]
fn there_is_no_thread_before_the_first_errand_and_an_idle_one_is_used_again() {
    let errands = errands();
    assert_eq!(errands.threads(), 0);
    for _ in 0..20 {
        errands.submit(nothing()).unwrap();
        errands.read();
    }
    assert_eq!(errands.threads(), 1);
}

#[test]
fn threads_bear_our_name() {
    let errands = errands();
    let name = |_: &Ticket| Ok(format!("{:?}", thread::current().name()));
    errands.submit(Box::new(name)).unwrap();
    assert!(errands.read().contains(r#""reply":Some("floatlease")"#));
}

#[test]
fn at_most_four_run_and_the_others_wait_in_their_order() {
    let errands = errands();
    let beginning = submit_lasting(&errands, MOST_THREADS + 3);
    assert_eq!((errands.threads(), errands.0.state().queue.len()), (MOST_THREADS, 3));
    for (ended, begun) in [(2, 5), (5, 6), (1, 7)] {
        errands.cancel(ended).unwrap();
        assert_eq!(beginning.recv_timeout(LONG).unwrap(), begun);
        assert_eq!(errands.read_value()["ticket"], ended);
    }
    errands.close();
}

#[test]
fn a_thread_without_an_errand_ends_and_the_next_errand_starts_another() {
    let errands = errands_idle_for(Duration::from_millis(5));
    for _ in 0..3 {
        errands.submit(nothing()).unwrap();
        errands.read();
        errands.wait_until(|state| state.threads == 0);
    }
    assert!(Arc::strong_count(&errands.0) <= 2);
    assert_eq!(BackgroundCalls::new(Arc::new(Events::new()), caught).0.idle, Duration::from_secs(10));
}

#[test]
fn a_thread_stays_for_the_time_it_may_be_idle() {
    let errands = errands();
    errands.submit(nothing()).unwrap();
    errands.read();
    // It has come back for more, or is about to.
    thread::sleep(Duration::from_millis(20));
    assert_eq!(errands.threads(), 1);
}

#[test]
fn without_any_thread_a_submit_fails_and_leaves_nothing_behind() {
    let errands = errands();
    REFUSED.set(true);
    let error = errands.submit(nothing()).unwrap_err();
    assert_eq!(error.status, Status::Internal);
    assert!(error.message().contains("can't be started: the test refuses."), "{}", error.message());
    assert!(errands.0.state().under_way.is_empty() && errands.0.state().queue.is_empty());
    REFUSED.set(false);
    let ticket = errands.submit(nothing()).unwrap();
    assert_eq!(errands.read_value()["ticket"], ticket);
}

#[test]
fn where_one_thread_is_the_errand_waits_for_it_if_another_cannot_be_started() {
    let errands = errands();
    submit_lasting(&errands, 1);
    REFUSED.set(true);
    let ticket = errands.submit(nothing()).unwrap();
    assert_eq!((errands.threads(), errands.0.state().queue.len()), (1, 1));
    errands.cancel(1).unwrap();
    assert_eq!(
        (errands.read_value()["ticket"].clone(), errands.read_value()["ticket"].clone()),
        (1.into(), ticket.into())
    );
}

#[test]
fn a_cancel_reaches_the_errand_at_work_and_no_other() {
    let errands = errands();
    submit_lasting(&errands, 2);
    errands.cancel(2).unwrap();
    let completion = errands.read_value();
    assert_eq!((&completion["ticket"], &completion["status"]), (&2.into(), &Status::Cancelled.number().into()));
    assert_eq!(completion["error"]["outcome"], "not_sent");
    assert_eq!(errands.0.events.next(NOW).unwrap(), None);
    assert!(!errands.0.state().under_way[0].is_cancelled());
    errands.close();
}

#[test]
fn what_is_cancelled_before_its_turn_is_done_at_once_and_never_run() {
    let errands = errands();
    submit_lasting(&errands, MOST_THREADS);
    let (ran, running) = channel();
    let waiting = [(); 3].map(|()| {
        let ran = ran.clone();
        errands
            .submit(Box::new(move |ticket| {
                Ok(ran.send(ticket.number).map_or_else(|_| String::new(), |()| "{}".into()))
            }))
            .unwrap()
    });
    errands.cancel(waiting[1]).unwrap();
    let completion = errands.read_value();
    assert_eq!((&completion["ticket"], &completion["error"]["name"]), (&waiting[1].into(), &"CANCELLED".into()));
    assert_eq!(completion["error"]["outcome"], "not_sent");
    assert_eq!(errands.cancel(waiting[1]).unwrap_err().status, Status::Ticket);
    assert_eq!((errands.threads(), errands.0.state().under_way.len()), (MOST_THREADS, MOST_THREADS + 2));
    errands.cancel(1).unwrap();
    assert_eq!([(); 3].map(|()| errands.read_value()["ticket"].as_u64().unwrap()), [1, waiting[0], waiting[2]]);
    assert_eq!(running.try_iter().collect::<Vec<_>>(), [waiting[0], waiting[2]]);
    errands.close();
}

#[test]
fn a_thread_whose_errand_was_cancelled_before_it_began_serves_the_next() {
    let errands = errands();
    for _ in 0..50 {
        let ticket = errands.submit(nothing()).unwrap();
        // It may have begun or be done.
        let _ = errands.cancel(ticket);
        assert_eq!(errands.read_value()["ticket"], ticket);
    }
    let last = errands.submit(nothing()).unwrap();
    assert_eq!(errands.read_value()["ticket"], last);
    assert!(errands.threads() <= 2);
}

#[test]
fn a_call_that_is_done_or_never_was_cannot_be_cancelled() {
    let errands = errands();
    let ticket = errands.submit(nothing()).unwrap();
    // Done, though its completion waits to be read.
    errands.wait_until(|state| state.under_way.is_empty());
    for wrong in [ticket, ticket + 1, 0, u64::MAX] {
        let error = errands.cancel(wrong).unwrap_err();
        assert_eq!((error.status, error.message().as_str()), (Status::Ticket, "No such call is under way."));
    }
    errands.read();
    assert_eq!(errands.cancel(ticket).unwrap_err().status, Status::Ticket);
}

#[test]
fn a_panic_is_the_completion_of_its_ticket_and_the_thread_goes_on() {
    let errands = errands();
    let panics: [(BackgroundCall, &str); 3] = [
        (Box::new(|_| panic!("as a text")), "as a text"),
        (Box::new(|ticket| panic!("of ticket {}", ticket.number)), "of ticket 2"),
        (Box::new(|_| panic::panic_any(7)), ""),
    ];
    for (call, said) in panics {
        let ticket = errands.submit(call).unwrap();
        let completion = errands.read_value();
        assert_eq!((&completion["ticket"], &completion["status"]), (&ticket.into(), &Status::Internal.number().into()));
        assert!(completion["error"]["message"].as_str().unwrap().ends_with(said));
        // It may have sent its request before.
        assert_eq!(completion["error"]["outcome"], "unknown");
    }
    assert_eq!(errands.threads(), 1);
    errands.submit(nothing()).unwrap();
    assert_eq!(errands.read_value()["status"], 0);
}

#[test]
fn every_errand_runs_in_the_guard_it_was_given() {
    fn marking(body: &mut dyn FnMut()) -> Result<(), String> {
        caught(body).map_err(|said| format!("guarded: {said}"))
    }
    let errands = BackgroundCalls::new(Arc::new(Events::new()), marking);
    errands.submit(Box::new(|_| panic!("told"))).unwrap();
    let message = errands.read_value()["error"]["message"].clone();
    assert!(message.as_str().unwrap().ends_with("guarded: told"), "{message}");
}

#[test]
fn a_thousand_may_be_under_way_or_unread_and_reading_makes_room() {
    let errands = errands();
    let too_many = |errands: &BackgroundCalls| errands.submit(nothing()).unwrap_err().status == Status::TooManyCalls;
    for _ in 0..MOST_TICKETS - 1 {
        errands.submit(nothing()).unwrap();
    }
    errands.wait_until(|state| state.under_way.is_empty());
    submit_lasting(&errands, 1);
    assert_eq!((errands.0.state().under_way.len(), errands.0.events.completions()), (1, MOST_TICKETS - 1));
    assert!(too_many(&errands));
    // What a lease tells takes no room.
    errands.0.events.push("{}".to_owned());
    errands.read();
    let last = errands.submit(nothing()).unwrap();
    assert_eq!(last, MOST_TICKETS as u64 + 1);
    assert!(too_many(&errands));
    errands.close();
}

#[test]
fn a_close_cancels_all_takes_no_more_and_ends_every_thread() {
    let errands = errands();
    submit_lasting(&errands, MOST_THREADS + 2);
    errands.close();
    assert_eq!(errands.submit(nothing()).unwrap_err().status, Status::Handle);
    let mut tickets: Vec<u64> = (0..MOST_THREADS + 2)
        .map(|_| {
            let completion = errands.read_value();
            assert_eq!(completion["status"], Status::Cancelled.number());
            completion["ticket"].as_u64().unwrap()
        })
        .collect();
    tickets.sort_unstable();
    assert_eq!(tickets, (1..=MOST_THREADS as u64 + 2).collect::<Vec<_>>());
    errands.wait_until(|state| state.threads == 0);
    errands.close();
}

#[test]
fn a_close_wakes_threads_that_are_idle() {
    let errands = errands();
    errands.submit(nothing()).unwrap();
    errands.read();
    errands.close();
    errands.wait_until(|state| state.threads == 0);
}

#[test]
fn dropped_in_any_state_it_waits_for_nothing_and_touches_no_lock() {
    let errands = errands();
    submit_lasting(&errands, 1);
    let inner = Arc::clone(&errands.0);
    let state = inner.state();
    drop(errands);
    drop(state);
    // Those at work are not lost.
    BackgroundCalls(inner).cancel(1).unwrap();
}
