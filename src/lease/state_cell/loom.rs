//! Tests of the state cell in every order of readers, a lease and the handle table. `make test-loom` runs them.

use super::*;
use ::loom::model::Builder;
use ::loom::sync::{Arc, Mutex};
use ::loom::{model, thread};

/// Makes a cell that is never freed, as the cells of the handle table are not.
fn cell() -> &'static StateCell {
    Box::leak(Box::default())
}

#[test]
fn deadline_is_never_that_of_another_lease() {
    model(|| {
        let cell = cell();
        let mut first = cell.writer(1).unwrap();
        first.publish(State::Active, 10);
        let table = thread::spawn(move || {
            cell.clear();
            first.publish(State::Degraded, 11);
            assert_eq!((cell.state(1), cell.runs_until(1)), (None, None), "the cell was cleared");
            drop(first);
            cell.writer(2).unwrap().publish(State::Active, 20);
        });
        assert!(matches!(cell.runs_until(1), None | Some(10 | 11)));
        assert!(matches!(cell.runs_until(2), None | Some(20)));
        table.join().unwrap();
    });
}

#[test]
fn deadline_is_never_that_of_another_lease_on_three_threads() {
    // All orders of three threads would take a minute.
    let mut model = Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let cell = cell();
        let mut first = cell.writer(1).unwrap();
        first.publish(State::Active, 10);
        let owner = thread::spawn(move || first.publish(State::Degraded, 11));
        let table = thread::spawn(move || {
            cell.clear();
            assert_eq!(cell.state(1), None, "the cell was cleared");
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
fn reused_cell_shows_only_the_new_lease() {
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
        assert!(cell.writer(3).is_some(), "the cell has no writer in the end");
    });
}

#[test]
fn deadline_is_as_new_as_the_state_that_was_read() {
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
fn only_one_writer_exists_at_a_time() {
    model(|| {
        let cell = cell();
        let writers = Arc::new(Mutex::new(0));
        let open_writer = |generation, writers: Arc<Mutex<u32>>| {
            move || {
                let writer = cell.writer(generation);
                if writer.is_some() {
                    *writers.lock().unwrap() += 1;
                    assert_eq!(*writers.lock().unwrap(), 1);
                    *writers.lock().unwrap() -= 1;
                }
            }
        };
        let other = thread::spawn(open_writer(1, Arc::clone(&writers)));
        open_writer(2, writers)();
        other.join().unwrap();
    });
}
