//! Tests of the event queue in every order of readers and writers.
//!
//! loom's condition variable has no timeout, so a reader waits until it is woken. A lost wake-up is therefore a
//! deadlock, which loom reports, and not a wait that ends late.

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

/// Returns every result of `run`, over all orders.
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
fn two_writers_and_readers_read_each_event_once() {
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
fn order_of_a_writer_is_kept_for_all_reads() {
    loom::model(|| {
        let events = Arc::new(Events::new());
        let writer = Arc::clone(&events);
        let writer = thread::spawn(move || {
            writer.push_completion("{1}".to_owned());
            writer.push("{2}".to_owned());
        });
        let looked = events.next(NOW).unwrap();
        let waited = events.next(LONG).unwrap();
        // After the writer has ended, a read that takes no lock finds what the writer added.
        writer.join().unwrap();
        let last = events.next(NOW).unwrap();
        let together: Vec<String> = [looked, waited, last].into_iter().flatten().collect();
        assert_eq!(together, ["{1}", "{2}"]);
    });
}

#[test]
fn concurrent_read_hides_no_other_event() {
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
fn close_wakes_all_and_is_seen_without_waiting() {
    loom::model(|| {
        let events = Arc::new(Events::new());
        let readers = [reader(&events), reader(&events)];
        events.close();
        assert_eq!(readers.map(|reader| reader.join().unwrap()), [Err(Status::Handle), Err(Status::Handle)]);
        assert_eq!(events.next(NOW).unwrap_err().status, Status::Handle);
    });
}

#[test]
fn event_added_during_close_is_dropped() {
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
fn cancel_ends_all_waits() {
    let seen = outcomes(|| {
        let events = Arc::new(Events::new());
        let readers = [reader(&events), reader(&events)];
        events.cancel();
        events.close();
        let mut both = readers.map(|reader| reader.join().unwrap().unwrap_err().number());
        both.sort_unstable();
        both
    });
    let (closed, cancelled) = (Status::Handle.number(), Status::Cancelled.number());
    // A reader may begin after the cancel, or wake so late that it sees the close.
    assert_eq!(seen, BTreeSet::from([[closed, closed], [closed, cancelled], [cancelled, cancelled]]));
}

#[test]
fn cancel_after_an_event_may_be_read_first() {
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
fn event_left_by_cancelled_reader_is_read_by_next() {
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
