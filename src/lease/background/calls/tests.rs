//! Tests of submitted calls: each ticket has one completion, whatever its call does, and few threads are used.

use super::*;
use crate::lease::background::call_queue::{Turn, without_pause};
use serde_json::Value;
use std::cell::Cell;
use std::collections::BTreeSet;
use std::sync::mpsc::{Receiver, channel};
use std::thread;

const NOW: Duration = Duration::ZERO;
/// A wait that no test sits through.
const LONG: Duration = Duration::from_secs(60);

thread_local! {
    /// True if this thread can't start other threads.
    static REFUSED: Cell<bool> = const { Cell::new(false) };
}

fn start_or_refuse(body: Box<dyn FnOnce() + Send>) -> io::Result<()> {
    if REFUSED.get() { Err(io::Error::other("the test refuses")) } else { crate::thread::start(body) }
}

/// The most calls of one priority that run at the same time in these tests.
const MAX_PARALLEL: usize = 4;

fn calls_idle_for(idle: Duration) -> BackgroundCalls {
    BackgroundCalls::with(Arc::new(Events::new()), caught, MAX_PARALLEL, Some(start_or_refuse), idle, Box::new(|| ()))
}

fn calls() -> BackgroundCalls {
    calls_idle_for(LONG)
}

impl BackgroundCalls {
    fn submit_run(&self, run: impl FnMut(&Ticket) -> Result<String, Error> + Send + 'static) -> Result<u64, Error> {
        self.submit_with(Priority::Normal, LONG, run)
    }

    fn submit_with(
        &self,
        priority: Priority,
        time_limit: Duration,
        run: impl FnMut(&Ticket) -> Result<String, Error> + Send + 'static,
    ) -> Result<u64, Error> {
        self.submit(priority, time_limit, without_pause(run))
    }

    fn queued(&self) -> usize {
        let state = self.0.state();
        state.under_way.len() - state.queue.running()
    }

    /// Waits for the next event.
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

fn nothing(_: &Ticket) -> Result<String, Error> {
    Ok("{}".to_owned())
}

/// Submits `many` calls that run until they are cancelled, and waits until as many as possible have begun. Returns a
/// channel that receives the tickets of calls that begin later.
fn submit_lasting(calls: &BackgroundCalls, many: usize) -> Receiver<u64> {
    let (begun, beginning) = channel();
    for _ in 0..many {
        let begun = begun.clone();
        let call = move |ticket: &Ticket| {
            let (end, ended) = channel();
            // The test may have dropped the receiver.
            let _ = begun.send(ticket.number);
            ticket.on_cancel(Box::new(move || end.send(()).unwrap()));
            ended.recv().unwrap();
            Err(Error::new(Status::Cancelled))
        };
        calls.submit_run(call).unwrap();
    }
    (0..many.min(MAX_PARALLEL)).for_each(|_| _ = beginning.recv_timeout(LONG).unwrap());
    beginning
}

#[test]
fn completion_has_ticket_status_and_servers_object() {
    let calls = calls();
    assert_eq!(calls.submit_run(|_| Ok(r#"{"id":7}"#.to_owned())).unwrap(), 1);
    assert_eq!(calls.read(), r#"{"event":"COMPLETED","ticket":1,"status":0,"reply":{"id":7}}"#);
    let refused = || {
        let mut error = Error::new(Status::FloatingNotAvailable);
        error.attempts = 2;
        error
    };
    assert_eq!(calls.submit_run(move |_| Err(refused())).unwrap(), 2);
    let error = refused().to_json();
    assert_eq!(calls.read(), format!(r#"{{"event":"COMPLETED","ticket":2,"status":141,"error":{error}}}"#));
    assert_eq!(calls.0.events.next(NOW).unwrap(), None);
}

#[test]
fn first_call_starts_a_thread_which_is_used_again() {
    let calls = calls();
    assert_eq!(calls.threads(), 0);
    for _ in 0..20 {
        calls.submit_run(nothing).unwrap();
        calls.read();
    }
    assert_eq!(calls.threads(), 1);
}

#[test]
fn threads_have_the_librarys_name() {
    let calls = calls();
    let name = |_: &Ticket| Ok(format!("{:?}", thread::current().name()));
    calls.submit_run(name).unwrap();
    assert!(calls.read().contains(r#""reply":Some("floatlease")"#));
}

#[test]
fn as_many_calls_run_as_the_config_allows_and_others_wait_in_order() {
    let calls = calls();
    let beginning = submit_lasting(&calls, MAX_PARALLEL + 3);
    // One more thread waits, for the deadlines of the others.
    assert_eq!((calls.threads(), calls.queued()), (MAX_PARALLEL + 1, 3));
    for (ended, begun) in [(2, 5), (5, 6), (1, 7)] {
        calls.cancel(ended).unwrap();
        assert_eq!(beginning.recv_timeout(LONG).unwrap(), begun);
        assert_eq!(calls.read_value()["ticket"], ended);
    }
    calls.close();
}

#[test]
fn idle_thread_ends_and_next_call_starts_another() {
    let calls = calls_idle_for(Duration::from_millis(5));
    for _ in 0..3 {
        calls.submit_run(nothing).unwrap();
        calls.read();
        calls.wait_until(|state| state.threads == 0);
    }
    assert!(Arc::strong_count(&calls.0) <= 2);
    assert_eq!(
        BackgroundCalls::new(Arc::new(Events::new()), caught, MAX_PARALLEL, Threads::Library, || ()).0.idle,
        Duration::from_secs(10)
    );
}

#[test]
fn thread_stays_until_its_idle_time_is_over() {
    let calls = calls();
    calls.submit_run(nothing).unwrap();
    calls.read();
    // The thread waits for the next call, or is about to.
    thread::sleep(Duration::from_millis(20));
    assert_eq!(calls.threads(), 1);
}

#[test]
fn submit_without_any_thread_completes_with_its_reason() {
    let calls = calls();
    REFUSED.set(true);
    let ticket = calls.submit_run(nothing).unwrap();
    let completion = calls.read_value();
    assert_eq!(completion["ticket"], ticket);
    assert_eq!(completion["status"], Status::OutOfResources.number());
    let message = completion["error"]["message"].as_str().unwrap();
    assert!(message.contains("No thread can be started") && message.ends_with("(the test refuses)"), "{message}");
    assert!(calls.0.state().under_way.is_empty() && calls.0.state().queue.due_at().is_none());
    REFUSED.set(false);
    let ticket = calls.submit_run(nothing).unwrap();
    assert_eq!(calls.read_value()["ticket"], ticket);
}

#[test]
fn call_waits_for_a_thread_if_no_other_can_be_started() {
    let calls = calls();
    submit_lasting(&calls, 1);
    REFUSED.set(true);
    let ticket = calls.submit_run(nothing).unwrap();
    assert_eq!((calls.threads(), calls.queued()), (1, 1));
    calls.cancel(1).unwrap();
    assert_eq!((calls.read_value()["ticket"].clone(), calls.read_value()["ticket"].clone()), (1.into(), ticket.into()));
}

#[test]
fn cancel_ends_the_running_call_and_no_other() {
    let calls = calls();
    submit_lasting(&calls, 2);
    calls.cancel(2).unwrap();
    let completion = calls.read_value();
    assert_eq!((&completion["ticket"], &completion["status"]), (&2.into(), &Status::Cancelled.number().into()));
    assert_eq!(completion["error"]["outcome"], "not_sent");
    assert_eq!(calls.0.events.next(NOW).unwrap(), None);
    assert!(!calls.0.state().under_way[0].is_cancelled());
    calls.close();
}

#[test]
fn queued_call_that_is_cancelled_completes_and_never_runs() {
    let calls = calls();
    submit_lasting(&calls, MAX_PARALLEL);
    let (ran, running) = channel();
    let waiting = [(); 3].map(|()| {
        let ran = ran.clone();
        calls
            .submit_run(move |ticket| Ok(ran.send(ticket.number).map_or_else(|_| String::new(), |()| "{}".into())))
            .unwrap()
    });
    calls.cancel(waiting[1]).unwrap();
    let completion = calls.read_value();
    assert_eq!((&completion["ticket"], &completion["error"]["name"]), (&waiting[1].into(), &"CANCELLED".into()));
    assert_eq!(completion["error"]["outcome"], "not_sent");
    assert_eq!(calls.cancel(waiting[1]).unwrap_err().status, Status::Ticket);
    assert_eq!((calls.threads(), calls.0.state().under_way.len()), (MAX_PARALLEL + 1, MAX_PARALLEL + 2));
    calls.cancel(1).unwrap();
    let completed: BTreeSet<_> = (0..3).map(|_| calls.read_value()["ticket"].as_u64().unwrap()).collect();
    assert_eq!(completed, BTreeSet::from([1, waiting[0], waiting[2]]));
    assert_eq!(running.try_iter().collect::<BTreeSet<_>>(), BTreeSet::from([waiting[0], waiting[2]]));
    calls.close();
}

#[test]
fn thread_whose_call_was_cancelled_runs_the_next() {
    let calls = calls();
    for _ in 0..50 {
        let ticket = calls.submit_run(nothing).unwrap();
        // The call may be queued, running or done.
        let _ = calls.cancel(ticket);
        assert_eq!(calls.read_value()["ticket"], ticket);
    }
    let last = calls.submit_run(nothing).unwrap();
    assert_eq!(calls.read_value()["ticket"], last);
    assert!(calls.threads() <= 2);
}

#[test]
fn cancel_of_done_or_unknown_call_is_an_error() {
    let calls = calls();
    let ticket = calls.submit_run(nothing).unwrap();
    // The call is done, though its completion was not read.
    calls.wait_until(|state| state.under_way.is_empty());
    for wrong in [ticket, ticket + 1, 0, u64::MAX] {
        let error = calls.cancel(wrong).unwrap_err();
        assert_eq!((error.status, error.message().as_str()), (Status::Ticket, "No such call is under way."));
    }
    calls.read();
    assert_eq!(calls.cancel(ticket).unwrap_err().status, Status::Ticket);
}

#[test]
fn panic_is_the_completion_and_the_thread_goes_on() {
    let calls = calls();
    type Panics = Box<dyn FnMut(&Ticket) -> Result<String, Error> + Send>;
    let panics: [(Panics, &str); 3] = [
        (Box::new(|_| panic!("as a text")), "as a text"),
        (Box::new(|ticket| panic!("of ticket {}", ticket.number)), "of ticket 2"),
        (Box::new(|_| panic::panic_any(7)), ""),
    ];
    for (call, message) in panics {
        let ticket = calls.submit_run(call).unwrap();
        let completion = calls.read_value();
        assert_eq!((&completion["ticket"], &completion["status"]), (&ticket.into(), &Status::Internal.number().into()));
        assert!(completion["error"]["message"].as_str().unwrap().ends_with(message));
        // The call may have sent its request before the panic.
        assert_eq!(completion["error"]["outcome"], "unknown");
    }
    assert_eq!(calls.threads(), 1);
    calls.submit_run(nothing).unwrap();
    assert_eq!(calls.read_value()["status"], 0);
}

#[test]
fn call_runs_in_the_given_guard() {
    fn marking(body: &mut dyn FnMut()) -> Result<(), String> {
        caught(body).map_err(|message| format!("guarded: {message}"))
    }
    let calls = BackgroundCalls::new(Arc::new(Events::new()), marking, MAX_PARALLEL, Threads::Library, || ());
    calls.submit_run(|_| panic!("on purpose")).unwrap();
    let message = calls.read_value()["error"]["message"].clone();
    assert!(message.as_str().unwrap().ends_with("guarded: on purpose"), "{message}");
}

#[test]
fn thousand_calls_may_be_under_way_or_unread() {
    let calls = calls();
    let too_many = |calls: &BackgroundCalls| calls.submit_run(nothing).unwrap_err().status == Status::TooManyCalls;
    for _ in 0..MOST_TICKETS - 1 {
        calls.submit_run(nothing).unwrap();
    }
    calls.wait_until(|state| state.under_way.is_empty());
    submit_lasting(&calls, 1);
    assert_eq!((calls.0.state().under_way.len(), calls.0.events.completions()), (1, MOST_TICKETS - 1));
    assert!(too_many(&calls));
    // A notice does not count, and reading a completion makes room.
    calls.0.events.push("{}".to_owned());
    calls.read();
    let last = calls.submit_run(nothing).unwrap();
    assert_eq!(last, MOST_TICKETS as u64 + 1);
    assert!(too_many(&calls));
    calls.close();
}

#[test]
fn close_cancels_all_calls_and_ends_every_thread() {
    let calls = calls();
    submit_lasting(&calls, MAX_PARALLEL + 2);
    calls.close();
    assert_eq!(calls.submit_run(nothing).unwrap_err().status, Status::Handle);
    let mut tickets: Vec<u64> = (0..MAX_PARALLEL + 2)
        .map(|_| {
            let completion = calls.read_value();
            assert_eq!(completion["status"], Status::Cancelled.number());
            completion["ticket"].as_u64().unwrap()
        })
        .collect();
    tickets.sort_unstable();
    assert_eq!(tickets, (1..=MAX_PARALLEL as u64 + 2).collect::<Vec<_>>());
    calls.wait_until(|state| state.threads == 0);
    calls.close();
}

#[test]
fn close_ends_idle_threads() {
    let calls = calls();
    calls.submit_run(nothing).unwrap();
    calls.read();
    calls.close();
    calls.wait_until(|state| state.threads == 0);
}

#[test]
fn drop_waits_for_nothing_and_takes_no_lock() {
    let calls = calls();
    submit_lasting(&calls, 1);
    let inner = Arc::clone(&calls.0);
    let state = inner.state();
    drop(calls);
    drop(state);
    // The running call is not lost.
    BackgroundCalls(inner).cancel(1).unwrap();
}

#[test]
fn call_whose_turn_never_comes_ends_at_its_deadline() {
    let calls = calls();
    submit_lasting(&calls, MAX_PARALLEL);
    let (ran, running) = channel();
    let submit = |limit_ms| {
        let ran = ran.clone();
        let run = move |ticket: &Ticket| Ok(ran.send(ticket.number).map_or_else(|_| String::new(), |()| "{}".into()));
        calls.submit_with(Priority::Normal, Duration::from_millis(limit_ms), run).unwrap()
    };
    let (later, sooner) = (submit(60), submit(20));
    for ticket in [sooner, later] {
        let completion = calls.read_value();
        assert_eq!((&completion["ticket"], &completion["error"]["name"]), (&ticket.into(), &"TIMEOUT".into()));
        assert_eq!(completion["error"]["outcome"], "not_sent");
        let message = completion["error"]["message"].as_str().unwrap();
        assert!(message.contains("because 4 others were running: as many as \"max_parallel\""), "{message}");
        assert!(completion["error"]["elapsed_ms"].as_u64().unwrap() >= 20, "its time counts from the submit");
    }
    assert_eq!(running.try_recv().ok(), None);
    calls.close();
}

#[test]
fn what_releases_or_renews_never_waits_for_calls_that_ask() {
    let calls = calls();
    submit_lasting(&calls, MAX_PARALLEL + 3);
    let urgent = calls.submit_with(Priority::High, LONG, nothing).unwrap();
    assert_eq!(calls.read_value()["ticket"], urgent);
    assert_eq!(calls.queued(), 3);
    calls.close();
}

#[test]
fn call_that_pauses_needs_no_thread_of_its_own_and_goes_on() {
    const CALLS: u64 = 100;
    let calls = calls();
    let pausing = |pause: Duration| {
        let mut runs = 0;
        calls
            .submit(
                Priority::Normal,
                LONG,
                Box::new(move |_| {
                    runs += 1;
                    match runs {
                        3 => Progress::Done(Ok(runs.to_string())),
                        _ => Progress::PausedUntil(Instant::now() + pause),
                    }
                }),
            )
            .unwrap()
    };
    let expected: BTreeSet<_> = (0..CALLS).map(|_| pausing(Duration::from_millis(20))).collect();
    let completed: BTreeSet<_> = (0..CALLS)
        .map(|_| {
            let completion = calls.read_value();
            assert_eq!((&completion["status"], &completion["reply"]), (&0.into(), &3.into()));
            completion["ticket"].as_u64().unwrap()
        })
        .collect();
    assert_eq!(completed, expected);
    assert!(calls.threads() <= MAX_PARALLEL + 1);
    (0..MAX_PARALLEL + 1).for_each(|_| _ = pausing(LONG));
    calls.wait_until(|state| state.queue.running() == 0 && state.queue.needed_threads() == 1);
    let asked = calls.submit_run(nothing).unwrap();
    assert_eq!(calls.read_value()["ticket"], asked, "those that pause take no place");
    calls.close();
}

#[test]
fn cancel_ends_a_pause_at_once_and_drops_what_the_call_holds() {
    struct Held(std::sync::mpsc::Sender<()>);
    impl Drop for Held {
        fn drop(&mut self) {
            self.0.send(()).unwrap();
        }
    }
    let calls = calls();
    for (cancel, is_all) in [(true, false), (false, true), (false, false)] {
        let ((dropped, drops), (begun, beginning)) = (channel(), channel());
        let held = Held(dropped);
        let run = move |turn: Turn| {
            let _keep = &held;
            if let Turn::Stop(error) = turn {
                return Progress::Done(Err(error.with_detail("stopped between two tries")));
            }
            begun.send(()).unwrap();
            Progress::PausedUntil(Instant::now() + LONG)
        };
        let ticket = calls.submit(Priority::Normal, LONG, Box::new(run)).unwrap();
        beginning.recv_timeout(LONG).unwrap();
        calls.wait_until(|state| state.queue.running() == 0);
        match (cancel, is_all) {
            (true, _) => calls.cancel(ticket).unwrap(),
            (_, true) => calls.cancel_paused(),
            _ => calls.close(),
        }
        let completion = calls.read_value();
        assert_eq!((&completion["ticket"], &completion["error"]["name"]), (&ticket.into(), &"CANCELLED".into()));
        let message = completion["error"]["message"].as_str().unwrap();
        assert!(message.ends_with("stopped between two tries"), "the call adds what it knows: {message}");
        assert!(drops.try_recv().is_ok(), "dropped before the completion");
    }
    calls.wait_until(|state| state.threads == 0);
}

#[test]
fn host_runs_the_calls_on_its_own_thread() {
    let calls = BackgroundCalls::new(Arc::new(Events::new()), caught, MAX_PARALLEL, Threads::Host, || ());
    assert_eq!((calls.work(), calls.due_at()), (false, None));
    let own = thread::current().id();
    let is_own = move |_: &Ticket| Ok((thread::current().id() == own).to_string());
    let first = calls.submit_run(is_own).unwrap();
    let urgent = calls.submit_with(Priority::High, LONG, is_own).unwrap();
    assert!(calls.due_at().unwrap() <= Instant::now());
    assert_eq!([calls.work(), calls.work(), calls.work()], [true, true, false]);
    for ticket in [urgent, first] {
        let completion = calls.read_value();
        assert_eq!((&completion["ticket"], &completion["reply"]), (&ticket.into(), &true.into()));
    }
    let pause = Instant::now() + LONG;
    calls.submit(Priority::Normal, LONG, Box::new(move |_| Progress::PausedUntil(pause))).unwrap();
    assert_eq!((calls.work(), calls.work(), calls.due_at()), (true, false, Some(pause)));
    assert_eq!(calls.threads(), 0);
    calls.close();
    assert_eq!(calls.read_value()["error"]["name"], "CANCELLED");
}

#[test]
fn what_a_burst_has_needed_is_given_back_once_its_last_thread_has_ended() {
    let (ended, ends) = channel();
    let (events, start) = (Arc::new(Events::new()), Some(start_or_refuse as Start));
    let idle = Duration::from_millis(20);
    let calls = BackgroundCalls::with(events, caught, 64, start, idle, Box::new(move || ended.send(()).unwrap()));
    calls.submit_run(nothing).unwrap();
    calls.read();
    calls.wait_until(|state| state.threads == 0);
    assert!(ends.try_recv().is_err(), "one call after the other is no burst");
    let all = Arc::new(std::sync::Barrier::new(FEW_THREADS + 1));
    for _ in 0..=FEW_THREADS {
        let all = Arc::clone(&all);
        calls.submit_run(move |_| Ok(format!("{}", all.wait().is_leader()))).unwrap();
    }
    (0..=FEW_THREADS).for_each(|_| _ = calls.read());
    ends.recv_timeout(LONG).unwrap();
    // One thread may go on waiting for calls.
    assert!(calls.threads() <= 1, "{}", calls.threads());
    calls.wait_until(|state| state.threads == 0);
}
