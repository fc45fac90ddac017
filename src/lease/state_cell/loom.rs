//! Every order in which readers, a lease and the handle table can come upon a face; `make test-loom` runs these.

use super::*;
use ::loom::model::Builder;
use ::loom::sync::{Arc, Mutex};
use ::loom::{model, thread};

/// In a model nothing is freed while its threads run, and there is nothing in a face to free.
fn face() -> &'static Face {
    Box::leak(Box::default())
}

#[test]
fn in_loom_no_lease_has_the_deadline_of_the_one_before_or_after() {
    model(|| {
        let face = face();
        let mut first = face.lend(1).unwrap();
        first.show(State::Active, 10);
        let table = thread::spawn(move || {
            face.clear();
            first.show(State::Degraded, 11);
            assert_eq!((face.state(1), face.runs_until(1)), (None, None), "it was freed");
            drop(first);
            face.lend(2).unwrap().show(State::Active, 20);
        });
        assert!(matches!(face.runs_until(1), None | Some(10 | 11)));
        assert!(matches!(face.runs_until(2), None | Some(20)));
        table.join().unwrap();
    });
}

#[test]
fn in_loom_nor_when_the_table_and_both_leases_are_on_threads_of_their_own() {
    // Three threads in every order would take a minute.
    let mut model = Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let face = face();
        let mut first = face.lend(1).unwrap();
        first.show(State::Active, 10);
        let owner = thread::spawn(move || first.show(State::Degraded, 11));
        let table = thread::spawn(move || {
            face.clear();
            assert_eq!(face.state(1), None, "it was freed");
            if let Some(mut second) = face.lend(2) {
                second.show(State::Active, 20);
            }
        });
        assert!(matches!(face.runs_until(1), None | Some(10 | 11)));
        assert!(matches!(face.runs_until(2), None | Some(20)));
        owner.join().unwrap();
        table.join().unwrap();
    });
}

#[test]
fn in_loom_a_face_that_is_lent_again_shows_the_new_lease_alone() {
    model(|| {
        let face = face();
        let mut first = face.lend(1).unwrap();
        first.show(State::Active, 10);
        let owner = thread::spawn(move || {
            first.show(State::Degraded, 11);
            drop(first);
        });
        face.clear();
        let second = face.lend(2).map(|mut second| {
            second.show(State::Active, 20);
            assert_eq!((face.state(2), face.runs_until(2)), (Some(State::Active), Some(20)));
            second
        });
        owner.join().unwrap();
        assert_eq!((face.state(1), face.runs_until(1)), (None, None));
        let shown = second.is_some().then_some(20);
        assert_eq!(face.runs_until(2), shown);
        drop(second);
        assert!(face.lend(3).is_some(), "it is free in the end");
    });
}

#[test]
fn in_loom_a_deadline_is_as_new_as_the_state_that_was_read() {
    model(|| {
        let face = face();
        let mut lease = face.lend(1).unwrap();
        let owner = thread::spawn(move || {
            lease.show(State::Active, 10);
            lease.show(State::Degraded, 20);
        });
        let (state, runs_until) = (face.state(1), face.runs_until(1));
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
        let face = face();
        let inside = Arc::new(Mutex::new(0));
        let enter = |generation, inside: Arc<Mutex<u32>>| {
            move || {
                let display = face.lend(generation);
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
