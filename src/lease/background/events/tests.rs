//! Tests of the event queue: the order of events, the report of dropped ones, waits, cancels and the close.

use super::*;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

const NOW: Duration = Duration::ZERO;
/// A wait that no test sits through: a reader that times out after it was never woken.
const LONG: Duration = Duration::from_secs(60);

fn event(number: usize) -> String {
    format!(r#"{{"event":{number}}}"#)
}

/// Reads without waiting until there is no event.
fn all(events: &Events) -> Vec<String> {
    std::iter::from_fn(|| events.next(NOW).unwrap()).collect()
}

/// Starts a reader, which waits now or in a moment.
fn waiting(events: &Arc<Events>) -> JoinHandle<Result<Option<String>, Status>> {
    let reader = Arc::clone(events);
    thread::spawn(move || reader.next(LONG).map_err(|error| error.status))
}

#[test]
fn notices_and_completions_are_read_in_the_order_added() {
    let events = Events::new();
    let kinds = [false, true, true, false, true, false, false];
    for (number, completion) in kinds.into_iter().enumerate() {
        if completion { events.push_completion(event(number)) } else { events.push(event(number)) }
    }
    assert_eq!(events.completions(), 3);
    assert_eq!(all(&events), (0..kinds.len()).map(event).collect::<Vec<_>>());
    assert_eq!(events.completions(), 0);
}

#[test]
fn oldest_notice_is_dropped_and_the_loss_reported_once() {
    let events = Events::new();
    (0..MOST_NOTICES + 3).for_each(|number| events.push(event(number)));
    let read = all(&events);
    assert_eq!(read[0], r#"{"event":3,"missed":3}"#);
    assert_eq!(read[1..], (4..MOST_NOTICES + 3).map(event).collect::<Vec<_>>());
    // The next loss is counted from zero.
    (0..MOST_NOTICES + 1).for_each(|number| events.push(event(number)));
    assert_eq!(events.next(NOW).unwrap().unwrap(), r#"{"event":1,"missed":1}"#);
    // Reading one event of a full queue makes room for one.
    events.push(event(7));
    assert_eq!(events.next(NOW).unwrap().unwrap(), r#"{"event":2}"#);
}

#[test]
fn thousand_notices_are_no_loss() {
    let events = Events::new();
    (0..MOST_NOTICES).for_each(|number| events.push(event(number)));
    assert_eq!(all(&events), (0..MOST_NOTICES).map(event).collect::<Vec<_>>());
}

#[test]
fn completions_are_never_dropped_and_may_report_a_loss() {
    let events = Events::new();
    events.push_completion(event(9));
    (0..MOST_NOTICES + 5).for_each(|number| events.push(event(number)));
    (0..MOST_NOTICES + 5).for_each(|_| events.push_completion("{}".to_owned()));
    let read = all(&events);
    assert_eq!(read.len(), 1 + MOST_NOTICES + MOST_NOTICES + 5);
    assert_eq!(read[..2], [r#"{"event":9,"missed":5}"#.to_owned(), event(5)]);
}

#[test]
fn missed_is_the_last_member_of_any_object() {
    for (json, expected) in [
        ("{}", r#"{"missed":2}"#),
        (r#"{"a":{}}"#, r#"{"a":{},"missed":2}"#),
        (r#"{"a":"}{"}"#, r#"{"a":"}{","missed":2}"#),
    ] {
        assert_eq!(with_missed(json.to_owned(), 2), expected);
        assert_eq!(with_missed(json.to_owned(), 0), json);
        serde_json::from_str::<serde_json::Value>(expected).unwrap();
    }
}

#[test]
fn read_of_empty_queue_ends_after_its_wait() {
    let events = Events::new();
    assert_eq!(events.next(NOW).unwrap(), None);
    assert_eq!(events.next(Duration::from_millis(20)).unwrap(), None);
}

#[test]
fn read_of_empty_queue_needs_no_lock() {
    let events = Events::new();
    for _ in 0..2 {
        let busy = events.queue();
        assert_eq!(events.next(NOW).unwrap(), None);
        drop(busy);
        // The same holds after the queue had an event.
        events.push(event(1));
        assert_eq!(all(&events), [event(1)]);
    }
}

#[test]
fn waiting_reader_is_woken_by_notice_and_completion() {
    let events = Arc::new(Events::new());
    for push in [Events::push, Events::push_completion] {
        let reader = waiting(&events);
        push(&events, event(1));
        assert_eq!(reader.join().unwrap(), Ok(Some(event(1))));
    }
}

#[test]
fn cancel_ends_only_current_waits_and_drops_nothing() {
    let events = Arc::new(Events::new());
    let reader = waiting(&events);
    while !reader.is_finished() {
        events.cancel();
        thread::yield_now();
    }
    assert_eq!(reader.join().unwrap(), Err(Status::Cancelled));
    for wait in [NOW, Duration::from_millis(20)] {
        assert_eq!(events.next(wait).unwrap(), None);
    }
    events.push(event(1));
    events.cancel();
    assert_eq!(events.next(LONG).unwrap(), Some(event(1)));
}

#[test]
fn closed_queue_stores_and_returns_nothing() {
    let events = Arc::new(Events::new());
    let readers = [(); 2].map(|()| waiting(&events));
    events.close();
    for reader in readers {
        assert_eq!(reader.join().unwrap(), Err(Status::Handle));
    }
    events.push(event(1));
    events.push_completion(event(2));
    for wait in [NOW, LONG] {
        assert_eq!(events.next(wait).unwrap_err().status, Status::Handle);
    }
    assert!(events.queue().len() == 0);

    let full = Events::new();
    full.push(event(1));
    full.push_completion(event(2));
    full.close();
    assert_eq!(full.next(NOW).unwrap_err().status, Status::Handle);
    assert!(full.queue().len() == 0);
}

#[test]
fn many_writers_and_readers_keep_each_writers_order() {
    let events = Arc::new(Events::new());
    let (writers, each) = (3_usize, 300_usize);
    thread::scope(|scope| {
        for writer in 0..writers {
            let events = &events;
            scope.spawn(move || (0..each).for_each(|number| events.push(event(writer * 1_000 + number))));
        }
        let readers = [NOW, LONG].map(|wait| {
            let events = &events;
            scope.spawn(move || {
                let mut read: Vec<String> = Vec::new();
                while read.last().is_none_or(|last| last != "{}") {
                    read.extend(events.next(wait).unwrap());
                }
                read
            })
        });
        while events.queue().added < (writers * each) as u64 {
            thread::yield_now();
        }
        // A last event for each reader.
        (0..readers.len()).for_each(|_| events.push("{}".to_owned()));
        let mut together = Vec::new();
        for reader in readers {
            let mut read = reader.join().unwrap();
            read.retain(|json| json != "{}");
            for writer in 0..writers {
                let number = |json: &String| json[9..json.len() - 1].parse::<usize>().unwrap();
                let its = read.iter().map(number).filter(|number| number / 1_000 == writer);
                assert!(its.is_sorted());
            }
            together.extend(read);
        }
        together.sort();
        together.dedup();
        assert_eq!(together.len(), writers * each);
    });
}
