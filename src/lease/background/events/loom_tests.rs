//! Every order in which readers and writers can meet.
//!
//! loom's condition variable knows no timeout: who waits, waits until woken. So a wake-up that is lost is a deadlock,
//! which loom reports, and not a wait that ends late.

use super::*;
use loom::thread::{self, JoinHandle};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex as StdMutex};

const NOW: Duration = Duration::ZERO;
const LONG: Duration = Duration::from_secs(3600);

type Read = Result<Option<String>, Status>;

fn reader(events: &Arc<Events>) -> JoinHandle<Read> {
    let events = Arc::clone(events);
    thread::spawn(move || events.next(LONG).map_err(|error| error.status))
}

/// What `run` may end with, over every order.
fn outcomes<T: Ord + Send + 'static>(run: impl Fn() -> T + Send + Sync + 'static) -> BTreeSet<T> {
    let seen = Arc::new(StdMutex::new(BTreeSet::new()));
    let all = Arc::clone(&seen);
    loom::model(move || {
        let outcome = run();
        all.lock().unwrap().insert(outcome);
    });
    std::mem::take(&mut *seen.lock().unwrap())
}

#[test]
fn two_writers_and_two_readers_lose_nothing_and_read_nothing_twice() {
    loom::model(|| {
        let events = Arc::new(Events::new());
        let readers = [reader(&events), reader(&events)];
        let writer = Arc::clone(&events);
        let writer = thread::spawn(move || writer.push_completion("{1}".to_owned()));
        events.push("{2}".to_owned());
        let mut both = readers.map(|reader| reader.join().unwrap().unwrap().unwrap());
        both.sort();
        assert_eq!(both, ["{1}", "{2}"]);
        writer.join().unwrap();
        assert_eq!(events.next(NOW).unwrap(), None);
    });
}

#[test]
fn one_writers_order_is_kept_for_one_who_waits_and_one_who_only_looks() {
    loom::model(|| {
        let events = Arc::new(Events::new());
        let writer = Arc::clone(&events);
        let writer = thread::spawn(move || {
            writer.push_completion("{1}".to_owned());
            writer.push("{2}".to_owned());
        });
        let looked = events.next(NOW).unwrap();
        let waited = events.next(LONG).unwrap();
        // Who has heard of the writer's end finds what it wrote, though no lock told so.
        writer.join().unwrap();
        let last = events.next(NOW).unwrap();
        let together: Vec<String> = [looked, waited, last].into_iter().flatten().collect();
        assert_eq!(together, ["{1}", "{2}"]);
    });
}

#[test]
fn who_only_looks_while_another_reads_hides_nothing_that_is_left() {
    loom::model(|| {
        let events = Arc::new(Events::new());
        events.push("{1}".to_owned());
        let other = Arc::clone(&events);
        let other = thread::spawn(move || other.next(NOW).unwrap());
        events.push("{2}".to_owned());
        let mut together = vec![other.join().unwrap()];
        together.extend([events.next(NOW).unwrap(), events.next(NOW).unwrap()]);
        let together: Vec<String> = together.into_iter().flatten().collect();
        assert_eq!(together, ["{1}", "{2}"]);
    });
}

#[test]
fn a_close_wakes_all_and_is_seen_by_who_only_looks() {
    loom::model(|| {
        let events = Arc::new(Events::new());
        let readers = [reader(&events), reader(&events)];
        events.close();
        assert_eq!(readers.map(|reader| reader.join().unwrap()), [Err(Status::Handle), Err(Status::Handle)]);
        assert_eq!(events.next(NOW).unwrap_err().status, Status::Handle);
    });
}

#[test]
fn what_is_told_while_it_closes_is_not_kept() {
    loom::model(|| {
        let events = Arc::new(Events::new());
        let writer = Arc::clone(&events);
        let writer = thread::spawn(move || writer.push_completion("{1}".to_owned()));
        events.close();
        assert_eq!(events.next(NOW).unwrap_err().status, Status::Handle);
        writer.join().unwrap();
        assert_eq!(events.completions(), 0);
    });
}

#[test]
fn a_cancel_sends_away_all_who_wait() {
    let seen = outcomes(|| {
        let events = Arc::new(Events::new());
        let readers = [reader(&events), reader(&events)];
        events.cancel();
        events.close();
        let mut both = readers.map(|reader| reader.join().unwrap().unwrap_err().number());
        both.sort_unstable();
        both
    });
    let (late, sent_away) = (Status::Handle.number(), Status::Cancelled.number());
    // A reader may come too late for the cancel, or be so slow to leave that it sees the close.
    assert_eq!(seen, BTreeSet::from([[late, late], [late, sent_away], [sent_away, sent_away]]));
}

#[test]
fn a_cancel_right_after_an_event_may_be_heard_before_it_and_the_event_stays() {
    let seen = outcomes(|| {
        let events = Arc::new(Events::new());
        let reader = reader(&events);
        events.push("{1}".to_owned());
        events.cancel();
        let first = reader.join().unwrap();
        let left = events.next(NOW).unwrap();
        match &first {
            Err(status) => assert_eq!((*status, left.as_deref()), (Status::Cancelled, Some("{1}"))),
            Ok(read) => assert_eq!((read.as_deref(), left.as_deref()), (Some("{1}"), None)),
        }
        first.is_err()
    });
    assert_eq!(seen, BTreeSet::from([false, true]));
}

#[test]
fn what_one_who_is_cancelled_leaves_is_read_by_the_next() {
    loom::model(|| {
        let events = Arc::new(Events::new());
        let first = reader(&events);
        events.push("{1}".to_owned());
        events.cancel();
        let next = reader(&events);
        events.push("{2}".to_owned());
        let mut together = vec![first.join().unwrap().unwrap_or_default(), next.join().unwrap().unwrap()];
        together.push(events.next(NOW).unwrap());
        let mut together: Vec<String> = together.into_iter().flatten().collect();
        together.sort();
        assert_eq!(together, ["{1}", "{2}"]);
    });
}
