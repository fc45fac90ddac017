//! Tests of submitted calls in every order of submits, threads, cancels and a close.
//!
//! loom's condition variable has no timeout. A thread with the idle time [`STAYS`] stays until the close. A thread with
//! [`LEAVES`] ends at once, so that it may end at any moment of a submit.

use super::*;
use crate::lease::background::call_queue::{Turn, without_pause};
use loom::sync::Notify;
use loom::sync::atomic::AtomicBool;
use loom::sync::atomic::Ordering::{Acquire, Release};

const STAYS: Duration = Duration::from_secs(3600);
const LEAVES: Duration = Duration::ZERO;

/// Runs every order with at most three switches away from a thread that could go on. Almost all mistakes need no more
/// switches, and all orders of three threads would take minutes.
fn model(run: impl Fn() + Send + Sync + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(run);
}

fn calls(idle: Duration) -> BackgroundCalls {
    calls_at_a_time(2, idle)
}

fn calls_at_a_time(max_parallel: usize, idle: Duration) -> BackgroundCalls {
    BackgroundCalls::with(
        Arc::new(Events::new()),
        caught,
        max_parallel,
        Some(crate::thread::start),
        idle,
        Box::new(|| ()),
    )
}

/// A call whose reply says whether it saw a cancel.
fn call() -> BackgroundCall {
    without_pause(|ticket| Ok(format!("{}", ticket.is_cancelled())))
}

impl BackgroundCalls {
    fn submit_call(&self) -> u64 {
        self.submit(Priority::Normal, STAYS, call()).unwrap()
    }
}

/// Waits for `many` completions, and checks that there are no more.
fn read(calls: &BackgroundCalls, many: usize) -> Vec<String> {
    let mut read: Vec<String> = (0..many).map(|_| calls.0.events.next(STAYS).unwrap().unwrap()).collect();
    assert_eq!(calls.0.events.next(Duration::ZERO).unwrap(), None);
    read.sort();
    read
}

fn completed(ticket: u64, reply: &str) -> String {
    completion(ticket, Ok(reply.to_owned()))
}

#[test]
fn call_is_not_lost_to_a_thread_that_is_ending() {
    model(|| {
        let calls = calls(LEAVES);
        calls.submit_call();
        calls.submit_call();
        assert_eq!(read(&calls, 2), [completed(1, "false"), completed(2, "false")]);
    });
}

#[test]
fn idle_thread_is_woken_by_the_next_call() {
    model(|| {
        let calls = calls(STAYS);
        calls.submit_call();
        assert_eq!(read(&calls, 1), [completed(1, "false")]);
        calls.submit_call();
        assert_eq!(read(&calls, 1), [completed(2, "false")]);
        assert_eq!(calls.0.state().threads, 1);
        calls.close();
    });
}

#[test]
fn cancel_wakes_the_call_at_any_moment() {
    model(|| {
        let calls = calls(LEAVES);
        let run = |ticket: &Ticket| {
            let woken = Arc::new(Notify::new());
            let wake = Arc::clone(&woken);
            ticket.on_cancel(Box::new(move || wake.notify()));
            // Only a cancel ends this wait, as for a server that never answers.
            woken.wait();
            Err(Error::new(Status::Cancelled))
        };
        let ticket = calls.submit(Priority::Normal, STAYS, without_pause(run)).unwrap();
        calls.cancel(ticket).unwrap();
        assert!(read(&calls, 1)[0].contains("CANCELLED"));
    });
}

#[test]
fn cancel_fails_only_after_the_completion() {
    model(|| {
        let calls = calls(LEAVES);
        let ticket = calls.submit_call();
        let cancelled = calls.cancel(ticket);
        // The call is under way exactly until its completion can be read.
        assert!(cancelled.is_ok() || calls.0.events.completions() == 1);
        let completion = read(&calls, 1).remove(0);
        let saw_cancel = completion == completed(1, "true") || completion.contains("CANCELLED");
        assert!(completion == completed(1, "false") || (cancelled.is_ok() && saw_cancel));
        assert_eq!(calls.cancel(ticket).unwrap_err().status, Status::Ticket);
    });
}

#[test]
fn close_ends_every_thread_and_keeps_completions() {
    model(|| {
        let calls = calls(STAYS);
        calls.submit_call();
        calls.submit_call();
        calls.close();
        assert_eq!(read(&calls, 2).len(), 2);
    });
}

#[test]
fn concurrent_submits_get_different_tickets() {
    model(|| {
        let calls = Arc::new(calls(LEAVES));
        let other = Arc::clone(&calls);
        let other = loom::thread::spawn(move || other.submit_call());
        let own = calls.submit_call();
        assert_eq!(own + other.join().unwrap(), 3);
        assert_eq!(read(&calls, 2), [completed(1, "false"), completed(2, "false")]);
    });
}

#[test]
fn cancel_ends_a_call_that_pauses_at_any_moment() {
    model(|| {
        let calls = calls(LEAVES);
        // loom's clock stands still, so a pause lasts until the cancel.
        let run = |turn: Turn| match turn {
            Turn::Run(_) => Progress::PausedUntil(Instant::now() + STAYS),
            Turn::Stop(error) => Progress::Done(Err(error)),
        };
        let ticket = calls.submit(Priority::Normal, STAYS, Box::new(run)).unwrap();
        calls.cancel(ticket).unwrap();
        assert!(read(&calls, 1)[0].contains("CANCELLED"));
        calls.close();
    });
}

#[test]
fn cancel_of_all_ends_a_call_that_pauses_or_is_about_to() {
    model(|| {
        let calls = calls(LEAVES);
        let has_begun = Arc::new((AtomicBool::new(false), Notify::new()));
        let begun = Arc::clone(&has_begun);
        let run = move |turn: Turn| match turn {
            Turn::Run(_) => {
                begun.0.store(true, Release);
                begun.1.notify();
                Progress::PausedUntil(Instant::now() + STAYS)
            }
            Turn::Stop(error) => Progress::Done(Err(error)),
        };
        calls.submit(Priority::Normal, STAYS, Box::new(run)).unwrap();
        // loom also wakes it for no reason.
        while !has_begun.0.load(Acquire) {
            has_begun.1.wait();
        }
        calls.cancel_paused();
        assert!(read(&calls, 1)[0].contains("CANCELLED"));
        calls.close();
    });
}

#[test]
fn urgent_call_needs_no_place_of_another() {
    model(|| {
        let calls = calls_at_a_time(1, LEAVES);
        let hanging = |ticket: &Ticket| {
            let woken = Arc::new(Notify::new());
            let wake = Arc::clone(&woken);
            ticket.on_cancel(Box::new(move || wake.notify()));
            // loom also wakes it for no reason.
            while !ticket.is_cancelled() {
                woken.wait();
            }
            Err(Error::new(Status::Cancelled))
        };
        let hanging = calls.submit(Priority::Normal, STAYS, without_pause(hanging)).unwrap();
        let urgent = calls.submit(Priority::High, STAYS, call()).unwrap();
        assert_eq!(read(&calls, 1), [completed(urgent, "false")]);
        calls.cancel(hanging).unwrap();
        assert!(read(&calls, 1)[0].contains("CANCELLED"));
    });
}
