//! What a share promises, wherever it is. To the system each lock that is taken is a holder of its own, in whatever
//! process, so that two shares of one folder are what two processes have.

use super::*;
use crate::lease::storage::lock::tests::Folder;
use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

/// Runs it with what makes the same share again and again: in memory, and on disk.
fn everywhere(name: &str, test: fn(&(dyn Fn() -> ProcessLock + Sync))) {
    let in_memory = ProcessLock::in_memory();
    test(&|| in_memory.clone());
    let folder = Folder::new(name);
    test(&|| ProcessLock::on_disk(&folder.0, "slot"));
}

/// Waits longer than anybody has to.
pub(crate) fn retry_while_in_use() -> impl FnMut(Duration) -> Result<(), Error> {
    let mut patience = Duration::from_secs(60);
    move |pause| {
        thread::sleep(pause);
        patience = patience.checked_sub(pause).ok_or_else(|| Error::new(Status::Timeout))?;
        Ok(())
    }
}

fn at_once(_: Duration) -> Result<(), Error> {
    Err(Error::new(Status::Timeout))
}

fn lock(process_lock: &ProcessLock) -> ProcessLockGuard {
    process_lock.lock(&mut at_once).unwrap()
}

fn is_locked(process_lock: &ProcessLock) -> bool {
    process_lock.lock(&mut at_once).is_err_and(|error| error.status == Status::Timeout)
}

#[test]
fn the_last_one_out_learns_it_and_nobody_before() {
    everywhere("last", |process_lock| {
        let guard = lock(&process_lock());
        assert!(guard.has_no_holder().unwrap());
        let seats: Vec<HolderLock> = (0..3).map(|_| guard.add_holder().unwrap()).collect();
        drop(guard);
        let guard = lock(&process_lock());
        let last = seats.len() - 1;
        for (place, holder) in seats.into_iter().enumerate() {
            assert!(!guard.has_no_holder().unwrap());
            assert_eq!(guard.remove_holder(holder).unwrap().is_some(), place == last);
        }
        assert!(guard.has_no_holder().unwrap());
        let holder = guard.add_holder().unwrap();
        assert!(guard.remove_holder(holder).unwrap().is_some(), "and again");
    });
}

#[test]
fn who_is_killed_leaves_no_seat_behind() {
    everywhere("killed", |process_lock| {
        let guard = lock(&process_lock());
        let (killed, polite) = (guard.add_holder().unwrap(), guard.add_holder().unwrap());
        drop(killed);
        assert!(!guard.has_no_holder().unwrap());
        assert!(guard.remove_holder(polite).unwrap().is_some());
        drop(guard.add_holder());
        assert!(guard.has_no_holder().unwrap());
    });
}

#[test]
fn only_one_stands_in_the_gate_until_it_opens() {
    everywhere("gate", |process_lock| {
        let guard = lock(&process_lock());
        assert!(is_locked(&process_lock()));
        let waits = RefCell::new((Some(guard), 0));
        let entered = process_lock().lock(&mut |_| {
            let (guard, count) = &mut *waits.borrow_mut();
            *count += 1;
            if *count == 5 {
                guard.take();
            }
            if *count < 100 { Ok(()) } else { Err(Error::new(Status::Timeout)) }
        });
        assert_eq!(waits.borrow().1, 5);
        assert!(is_locked(&process_lock()));
        drop(entered);
        assert!(!is_locked(&process_lock()), "also after a waiting that was ended");
    });
}

#[test]
fn who_waits_ends_it_with_an_error_of_their_own() {
    everywhere("ended", |process_lock| {
        let _guard = lock(&process_lock());
        for status in [Status::Timeout, Status::Cancelled] {
            assert_eq!(process_lock().lock(&mut |_| Err(Error::new(status))).unwrap_err().status, status);
        }
    });
}

#[test]
fn the_pauses_are_short_and_of_many_lengths() {
    everywhere("pauses", |process_lock| {
        let _guard = lock(&process_lock());
        let mut pauses = Vec::new();
        let waited = process_lock().lock(&mut |pause| {
            pauses.push(pause);
            if pauses.len() < 100 { Ok(()) } else { Err(Error::new(Status::Timeout)) }
        });
        assert!(waited.is_err());
        let within = Duration::from_millis(2)..Duration::from_millis(20);
        assert!(pauses.iter().all(|pause| within.contains(pause)), "{pauses:?}");
        pauses.sort();
        pauses.dedup();
        assert!(pauses.len() > 20, "{pauses:?}");
    });
}

#[test]
fn a_last_one_out_who_stays_sits_again() {
    everywhere("stays", |process_lock| {
        let guard = lock(&process_lock());
        let holder = guard.add_holder().unwrap();
        let holder = guard.remove_holder(holder).unwrap().unwrap().keep().unwrap();
        assert!(holder.is_in_place().unwrap());
        assert!(!guard.has_no_holder().unwrap());
        let other = guard.add_holder().unwrap();
        assert!(guard.remove_holder(other).unwrap().is_none());
        assert!(guard.remove_holder(holder).unwrap().is_some());
    });
}

#[test]
fn as_long_as_a_last_one_out_is_there_nobody_sits() {
    everywhere("belt", |process_lock| {
        let guard = lock(&process_lock());
        let holder = guard.add_holder().unwrap();
        let last = guard.remove_holder(holder).unwrap().unwrap();
        assert_eq!(guard.add_holder().unwrap_err().status, Status::Storage);
        assert!(!guard.has_no_holder().unwrap(), "somebody still has to do with the slot");
        drop(last);
        assert!(guard.add_holder().is_ok());
    });
}

#[test]
fn slots_of_other_names_are_other_slots() {
    let folder = Folder::new("names");
    let process_lock = |name| ProcessLock::on_disk(&folder.0, name);
    let guard = lock(&process_lock("slot"));
    let _seat = guard.add_holder().unwrap();
    for other in ["slot2", "slot.1"] {
        assert!(lock(&process_lock(other)).has_no_holder().unwrap());
    }
    let mut files: Vec<_> = folder.0.read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
    files.sort();
    assert_eq!(files, ["slot.1.holders", "slot.1.lock", "slot.holders", "slot.lock", "slot2.holders", "slot2.lock"]);
}

#[test]
fn a_share_touches_nothing_until_it_is_entered() {
    let folder = Folder::new("untouched");
    let process_lock = ProcessLock::on_disk(&folder.0, "slot");
    assert_eq!(folder.0.read_dir().unwrap().count(), 0);
    let error = ProcessLock::on_disk(&folder.0.join("missing"), "slot").lock(&mut at_once).unwrap_err();
    assert_eq!(error.status, Status::Storage, "and not that of whoever waits");
    drop(lock(&process_lock));
    assert_eq!(folder.0.read_dir().unwrap().count(), 2);
}

#[cfg(unix)]
mod removed {
    use super::*;
    use std::fs;

    struct Slot(Folder);

    impl Slot {
        fn lock(&self) -> ProcessLockGuard {
            lock(&self.process_lock())
        }

        fn process_lock(&self) -> ProcessLock {
            ProcessLock::on_disk(&self.0.0, "slot")
        }

        fn remove(&self, ending: &str) {
            fs::remove_file(self.0.0.join(format!("slot.{ending}"))).unwrap();
        }
    }

    #[test]
    fn who_sits_on_a_removed_file_is_not_the_last_one_out_while_others_sit_on_it_or_on_the_new_one() {
        let slot = Slot(Folder::new("removed-seats"));
        let guard = slot.lock();
        let mut old = vec![guard.add_holder().unwrap(), guard.add_holder().unwrap()];
        slot.remove("holders");
        let new = guard.add_holder().unwrap();
        assert!(new.is_in_place().unwrap());
        assert!(old.iter().all(|holder| !holder.is_in_place().unwrap()));
        assert!(guard.remove_holder(old.pop().unwrap()).unwrap().is_none(), "one sits on each");
        assert!(guard.remove_holder(old.pop().unwrap()).unwrap().is_none(), "one sits on the new one");
        assert!(guard.remove_holder(new).unwrap().is_some());
    }

    #[test]
    fn who_sits_on_a_removed_file_is_the_last_one_out_if_nobody_came_since() {
        let slot = Slot(Folder::new("removed-last"));
        let guard = slot.lock();
        let (first, second) = (guard.add_holder().unwrap(), guard.add_holder().unwrap());
        slot.remove("holders");
        assert!(guard.remove_holder(first).unwrap().is_none());
        let last = guard.remove_holder(second).unwrap().unwrap();
        assert!(guard.add_holder().is_err(), "nor may anybody sit on the new file then");
        drop(last);
        assert!(guard.add_holder().is_ok());
    }

    #[test]
    fn a_new_seat_mends_it() {
        let slot = Slot(Folder::new("removed-mended"));
        let guard = slot.lock();
        let mut holder = guard.add_holder().unwrap();
        slot.remove("holders");
        assert!(guard.has_no_holder().unwrap(), "as far as can be seen");
        assert!(!holder.is_in_place().unwrap());
        holder = guard.add_holder().unwrap();
        assert!(!guard.has_no_holder().unwrap());
        assert!(guard.remove_holder(holder).unwrap().is_some());
    }

    #[test]
    fn through_another_gate_nobody_comes_while_the_last_one_gives_the_slot_back() {
        let slot = Slot(Folder::new("removed-gate"));
        let guard = slot.lock();
        let holder = guard.add_holder().unwrap();
        slot.remove("lock");
        drop(slot.lock());
        let last = guard.remove_holder(holder).unwrap().unwrap();
        slot.remove("lock");
        assert!(is_locked(&slot.process_lock()));
        drop(last);
        assert!(!is_locked(&slot.process_lock()));
    }
}

/// Many threads come and go. `slot` is what the server counts, `seated` the truth; both change inside the gate alone.
#[test]
fn in_a_crowd_the_slot_is_taken_once_and_given_back_once_and_everybody_has_their_turn() {
    everywhere("crowd", |process_lock| {
        let (slot, seated, inside) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicBool::new(false));
        let come_in = || {
            let guard = process_lock().lock(&mut retry_while_in_use()).unwrap();
            assert!(!inside.swap(true, Ordering::SeqCst), "two in the gate");
            assert_eq!(guard.has_no_holder().unwrap(), seated.load(Ordering::SeqCst) == 0);
            assert_eq!(slot.load(Ordering::SeqCst), seated.load(Ordering::SeqCst) > 0);
            guard
        };
        let go_on = |guard: ProcessLockGuard| {
            inside.store(false, Ordering::SeqCst);
            drop(guard);
            thread::yield_now();
        };
        let live = || {
            for _ in 0..25 {
                let guard = come_in();
                let holder = guard.add_holder().unwrap();
                seated.fetch_add(1, Ordering::SeqCst);
                slot.store(true, Ordering::SeqCst);
                go_on(guard);
                let guard = come_in();
                let others = seated.fetch_sub(1, Ordering::SeqCst) - 1;
                let last = guard.remove_holder(holder).unwrap();
                assert_eq!(last.is_some(), others == 0);
                if last.is_some() {
                    assert!(slot.swap(false, Ordering::SeqCst), "given back twice");
                    drop(last);
                }
                go_on(guard);
            }
        };
        thread::scope(|scope| {
            (0..6).for_each(|_| drop(scope.spawn(live)));
        });
        assert!(come_in().has_no_holder().unwrap());
    });
}
