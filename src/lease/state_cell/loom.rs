//! Every order in which readers, a lease and the handle table can come upon a face; `make test-loom` runs these.

use super::*;
use ::loom::model::Builder;
use ::loom::sync::{Arc, Mutex};
use ::loom::{model, thread};

/// In a model nothing is freed while its threads run, and there is nothing in a face to free.
fn cell() -> &'static StateCell {
    Box::leak(Box::default())
}

#[test]
fn in_loom_no_lease_has_the_deadline_of_the_one_before_or_after() {
    model(|| {
        let cell = cell();
        let mut first = cell.writer(1).unwrap();
        first.publish(State::Active, 10);
        let table = thread::spawn(move || {
            cell.clear();
            first.publish(State::Degraded, 11);
            assert_eq!((cell.state(1), cell.runs_until(1)), (None, None), "it was freed");
            drop(first);
            cell.writer(2).unwrap().publish(State::Active, 20);
        });
        assert!(matches!(cell.runs_until(1), None | Some(10 | 11)));
        assert!(matches!(cell.runs_until(2), None | Some(20)));
        table.join().unwrap();
    });
}

#[test]
fn in_loom_nor_when_the_table_and_both_leases_are_on_threads_of_their_own() {
    // Three threads in every order would take a minute.
    let mut model = Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let cell = cell();
        let mut first = cell.writer(1).unwrap();
        first.publish(State::Active, 10);
        let owner = thread::spawn(move || first.publish(State::Degraded, 11));
        let table = thread::spawn(move || {
            cell.clear();
            assert_eq!(cell.state(1), None, "it was freed");
            if let Some(mut second) = cell.writer(2) {
                second.publish(State::Active, 20);
            }
        });
        assert!(matches!(cell.runs_until(1), None | Some(10 | 11)));
        assert!(matches!(cell.runs_until(2), None | Some(20)));
        owner.join().unwrap();
        table.join().unwrap();
    });
}

#[test]
fn in_loom_a_face_that_is_lent_again_shows_the_new_lease_alone() {
    model(|| {
        let cell = cell();
        let mut first = cell.writer(1).unwrap();
        first.publish(State::Active, 10);
        let owner = thread::spawn(move || {
            first.publish(State::Degraded, 11);
            drop(first);
        });
        cell.clear();
        let second = cell.writer(2).map(|mut second| {
            second.publish(State::Active, 20);
            assert_eq!((cell.state(2), cell.runs_until(2)), (Some(State::Active), Some(20)));
            second
        });
        owner.join().unwrap();
        assert_eq!((cell.state(1), cell.runs_until(1)), (None, None));
        let published = second.is_some().then_some(20);
        assert_eq!(cell.runs_until(2), published);
        drop(second);
        assert!(cell.writer(3).is_some(), "it is free in the end");
    });
}

#[test]
fn in_loom_a_deadline_is_as_new_as_the_state_that_was_read() {
    model(|| {
        let cell = cell();
        let mut lease = cell.writer(1).unwrap();
        let owner = thread::spawn(move || {
            lease.publish(State::Active, 10);
            lease.publish(State::Degraded, 20);
        });
        let (state, runs_until) = (cell.state(1), cell.runs_until(1));
        match state {
            None => assert!(matches!(runs_until, None | Some(10 | 20))),
            Some(State::Active) => assert!(matches!(runs_until, Some(10 | 20))),
            Some(state) => assert_eq!((state, runs_until), (State::Degraded, Some(20))),
        }
        owner.join().unwrap();
    });
}

#[test]
fn in_loom_two_who_would_have_a_face_are_let_in_one_at_a_time() {
    model(|| {
        let cell = cell();
        let inside = Arc::new(Mutex::new(0));
        let enter = |generation, inside: Arc<Mutex<u32>>| {
            move || {
                let display = cell.writer(generation);
                if display.is_some() {
                    *inside.lock().unwrap() += 1;
                    assert_eq!(*inside.lock().unwrap(), 1);
                    *inside.lock().unwrap() -= 1;
                }
            }
        };
        let other = thread::spawn(enter(1, Arc::clone(&inside)));
        enter(2, inside)();
        other.join().unwrap();
    });
}
