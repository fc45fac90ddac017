//! Tests of the process lock, in memory and on disk. To the system each open lock file is a holder of its own, so two
//! process locks of one folder behave like those of two processes.

use super::*;
use crate::lease::storage::lock::tests::Folder;
use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

/// Runs `test` in memory and on disk. Each process lock that `test` makes is the same one.
fn in_memory_and_on_disk(name: &str, test: fn(&(dyn Fn() -> ProcessLock + Sync))) {
    let in_memory = ProcessLock::in_memory();
    test(&|| in_memory.clone());
    let folder = Folder::new(name);
    test(&|| ProcessLock::on_disk(&folder.0, "slot"));
}

/// Sleeps for each pause, and times out after a minute, which is longer than any test waits.
pub(crate) fn wait_a_minute() -> impl FnMut(Duration) -> Result<(), Error> {
    let mut left = Duration::from_secs(60);
    move |pause| {
        thread::sleep(pause);
        left = left.checked_sub(pause).ok_or_else(|| Error::new(Status::Timeout))?;
        Ok(())
    }
}

fn do_not_wait(_: Duration) -> Result<(), Error> {
    Err(Error::new(Status::Timeout))
}

fn lock(process_lock: &ProcessLock) -> ProcessLockGuard {
    process_lock.lock(&mut do_not_wait).unwrap()
}

fn is_locked(process_lock: &ProcessLock) -> bool {
    process_lock.lock(&mut do_not_wait).is_err_and(|error| error.status == Status::Timeout)
}

#[test]
fn only_the_last_holder_is_told_so() {
    in_memory_and_on_disk("last", |process_lock| {
        let guard = lock(&process_lock());
        assert!(guard.has_no_holder().unwrap());
        let holders: Vec<HolderLock> = (0..3).map(|_| guard.add_holder().unwrap()).collect();
        drop(guard);
        let guard = lock(&process_lock());
        let last = holders.len() - 1;
        for (number, holder) in holders.into_iter().enumerate() {
            assert!(!guard.has_no_holder().unwrap());
            assert_eq!(guard.remove_holder(holder).unwrap().is_some(), number == last);
        }
        assert!(guard.has_no_holder().unwrap());
        let holder = guard.add_holder().unwrap();
        assert!(guard.remove_holder(holder).unwrap().is_some(), "a second time");
    });
}

#[test]
fn killed_process_is_no_holder_any_more() {
    in_memory_and_on_disk("killed", |process_lock| {
        let guard = lock(&process_lock());
        let (killed, living) = (guard.add_holder().unwrap(), guard.add_holder().unwrap());
        drop(killed);
        assert!(!guard.has_no_holder().unwrap());
        assert!(guard.remove_holder(living).unwrap().is_some());
        drop(guard.add_holder());
        assert!(guard.has_no_holder().unwrap());
    });
}

#[test]
fn lock_excludes_others_until_it_is_dropped() {
    in_memory_and_on_disk("excludes", |process_lock| {
        let guard = lock(&process_lock());
        assert!(is_locked(&process_lock()));
        let waits = RefCell::new((Some(guard), 0));
        let locked = process_lock().lock(&mut |_| {
            let (guard, count) = &mut *waits.borrow_mut();
            *count += 1;
            if *count == 5 {
                guard.take();
            }
            if *count < 100 { Ok(()) } else { Err(Error::new(Status::Timeout)) }
        });
        assert_eq!(waits.borrow().1, 5);
        assert!(is_locked(&process_lock()));
        drop(locked);
        assert!(!is_locked(&process_lock()), "also after an attempt that timed out");
    });
}

#[test]
fn error_of_pause_ends_the_wait() {
    in_memory_and_on_disk("ended", |process_lock| {
        let _guard = lock(&process_lock());
        for status in [Status::Timeout, Status::Cancelled] {
            assert_eq!(process_lock().lock(&mut |_| Err(Error::new(status))).unwrap_err().status, status);
        }
    });
}

#[test]
fn pauses_are_short_and_of_many_lengths() {
    in_memory_and_on_disk("pauses", |process_lock| {
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
fn last_holder_that_keeps_the_slot_is_a_holder() {
    in_memory_and_on_disk("keeps", |process_lock| {
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
fn while_a_last_holder_exists_none_can_be_added() {
    in_memory_and_on_disk("last-excludes", |process_lock| {
        let guard = lock(&process_lock());
        let holder = guard.add_holder().unwrap();
        let last = guard.remove_holder(holder).unwrap().unwrap();
        assert_eq!(guard.add_holder().unwrap_err().status, Status::Storage);
        assert!(!guard.has_no_holder().unwrap(), "the last holder counts");
        drop(last);
        assert!(guard.add_holder().is_ok());
    });
}

#[test]
fn locks_of_other_names_are_other_locks() {
    let folder = Folder::new("names");
    let process_lock = |name| ProcessLock::on_disk(&folder.0, name);
    let guard = lock(&process_lock("slot"));
    let _holder = guard.add_holder().unwrap();
    for other in ["slot2", "slot.1"] {
        assert!(lock(&process_lock(other)).has_no_holder().unwrap());
    }
    let mut files: Vec<_> = folder.0.read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
    files.sort();
    assert_eq!(files, ["slot.1.holders", "slot.1.lock", "slot.holders", "slot.lock", "slot2.holders", "slot2.lock"]);
}

#[test]
fn lock_files_are_created_by_the_first_lock() {
    let folder = Folder::new("untouched");
    let process_lock = ProcessLock::on_disk(&folder.0, "slot");
    assert_eq!(folder.0.read_dir().unwrap().count(), 0);
    let error = ProcessLock::on_disk(&folder.0.join("missing"), "slot").lock(&mut do_not_wait).unwrap_err();
    assert_eq!(error.status, Status::Storage, "and not the error of `pause`");
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
    fn holder_on_removed_file_counts_those_on_both_files() {
        let slot = Slot(Folder::new("removed-holders"));
        let guard = slot.lock();
        let mut old = vec![guard.add_holder().unwrap(), guard.add_holder().unwrap()];
        slot.remove("holders");
        let new = guard.add_holder().unwrap();
        assert!(new.is_in_place().unwrap());
        assert!(old.iter().all(|holder| !holder.is_in_place().unwrap()));
        assert!(guard.remove_holder(old.pop().unwrap()).unwrap().is_none(), "one holder is on each file");
        assert!(guard.remove_holder(old.pop().unwrap()).unwrap().is_none(), "one holder is on the new file");
        assert!(guard.remove_holder(new).unwrap().is_some());
    }

    #[test]
    fn holder_on_removed_file_is_last_if_none_came_since() {
        let slot = Slot(Folder::new("removed-last"));
        let guard = slot.lock();
        let (first, second) = (guard.add_holder().unwrap(), guard.add_holder().unwrap());
        slot.remove("holders");
        assert!(guard.remove_holder(first).unwrap().is_none());
        let last = guard.remove_holder(second).unwrap().unwrap();
        assert!(guard.add_holder().is_err(), "no holder can be added on the new file either");
        drop(last);
        assert!(guard.add_holder().is_ok());
    }

    #[test]
    fn new_holder_lock_repairs_a_removed_file() {
        let slot = Slot(Folder::new("removed-repaired"));
        let guard = slot.lock();
        let mut holder = guard.add_holder().unwrap();
        slot.remove("holders");
        assert!(guard.has_no_holder().unwrap(), "the new file has none");
        assert!(!holder.is_in_place().unwrap());
        holder = guard.add_holder().unwrap();
        assert!(!guard.has_no_holder().unwrap());
        assert!(guard.remove_holder(holder).unwrap().is_some());
    }

    #[test]
    fn removed_lock_file_lets_none_in_while_last_holder_releases() {
        let slot = Slot(Folder::new("removed-lock"));
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

/// Many threads become holders and stop again. `slot` is what the server counts, `holders` the true number; both change
/// only under the process lock.
#[test]
fn many_threads_take_and_release_the_slot_once_each() {
    in_memory_and_on_disk("crowd", |process_lock| {
        let (slot, holders, is_locked) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicBool::new(false));
        let lock = || {
            let guard = process_lock().lock(&mut wait_a_minute()).unwrap();
            assert!(!is_locked.swap(true, Ordering::SeqCst), "two threads have the lock");
            assert_eq!(guard.has_no_holder().unwrap(), holders.load(Ordering::SeqCst) == 0);
            assert_eq!(slot.load(Ordering::SeqCst), holders.load(Ordering::SeqCst) > 0);
            guard
        };
        let unlock = |guard: ProcessLockGuard| {
            is_locked.store(false, Ordering::SeqCst);
            drop(guard);
            thread::yield_now();
        };
        let hold_and_release = || {
            for _ in 0..25 {
                let guard = lock();
                let holder = guard.add_holder().unwrap();
                holders.fetch_add(1, Ordering::SeqCst);
                slot.store(true, Ordering::SeqCst);
                unlock(guard);
                let guard = lock();
                let others = holders.fetch_sub(1, Ordering::SeqCst) - 1;
                let last = guard.remove_holder(holder).unwrap();
                assert_eq!(last.is_some(), others == 0);
                if last.is_some() {
                    assert!(slot.swap(false, Ordering::SeqCst), "released twice");
                    drop(last);
                }
                unlock(guard);
            }
        };
        thread::scope(|scope| {
            (0..6).for_each(|_| drop(scope.spawn(hold_and_release)));
        });
        assert!(lock().has_no_holder().unwrap());
    });
}
