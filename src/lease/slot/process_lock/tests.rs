//! What a share promises, wherever it is. To the system each lock that is taken is a holder of its own, in whatever
//! process, so that two shares of one folder are what two processes have.

use super::*;
use crate::lease::storage::lock::tests::Folder;
use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

/// Runs it with what makes the same share again and again: in memory, and on disk.
fn everywhere(name: &str, test: fn(&(dyn Fn() -> Share + Sync))) {
    let in_memory = Share::in_memory();
    test(&|| in_memory.clone());
    let folder = Folder::new(name);
    test(&|| Share::on_disk(&folder.0, "slot"));
}

/// Waits longer than anybody has to.
pub(crate) fn patiently() -> impl FnMut(Duration) -> Result<(), Error> {
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

fn enter(share: &Share) -> Gate {
    share.enter(&mut at_once).unwrap()
}

fn is_locked(share: &Share) -> bool {
    share.enter(&mut at_once).is_err_and(|error| error.status == Status::Timeout)
}

#[test]
fn the_last_one_out_learns_it_and_nobody_before() {
    everywhere("last", |share| {
        let gate = enter(&share());
        assert!(gate.is_empty().unwrap());
        let seats: Vec<Seat> = (0..3).map(|_| gate.sit().unwrap()).collect();
        drop(gate);
        let gate = enter(&share());
        let last = seats.len() - 1;
        for (place, seat) in seats.into_iter().enumerate() {
            assert!(!gate.is_empty().unwrap());
            assert_eq!(gate.leave(seat).unwrap().is_some(), place == last);
        }
        assert!(gate.is_empty().unwrap());
        let seat = gate.sit().unwrap();
        assert!(gate.leave(seat).unwrap().is_some(), "and again");
    });
}

#[test]
fn who_is_killed_leaves_no_seat_behind() {
    everywhere("killed", |share| {
        let gate = enter(&share());
        let (killed, polite) = (gate.sit().unwrap(), gate.sit().unwrap());
        drop(killed);
        assert!(!gate.is_empty().unwrap());
        assert!(gate.leave(polite).unwrap().is_some());
        drop(gate.sit());
        assert!(gate.is_empty().unwrap());
    });
}

#[test]
fn only_one_stands_in_the_gate_until_it_opens() {
    everywhere("gate", |share| {
        let gate = enter(&share());
        assert!(is_locked(&share()));
        let waits = RefCell::new((Some(gate), 0));
        let entered = share().enter(&mut |_| {
            let (gate, count) = &mut *waits.borrow_mut();
            *count += 1;
            if *count == 5 {
                gate.take();
            }
            if *count < 100 { Ok(()) } else { Err(Error::new(Status::Timeout)) }
        });
        assert_eq!(waits.borrow().1, 5);
        assert!(is_locked(&share()));
        drop(entered);
        assert!(!is_locked(&share()), "also after a waiting that was ended");
    });
}

#[test]
fn who_waits_ends_it_with_an_error_of_their_own() {
    everywhere("ended", |share| {
        let _gate = enter(&share());
        for status in [Status::Timeout, Status::Cancelled] {
            assert_eq!(share().enter(&mut |_| Err(Error::new(status))).unwrap_err().status, status);
        }
    });
}

#[test]
fn the_pauses_are_short_and_of_many_lengths() {
    everywhere("pauses", |share| {
        let _gate = enter(&share());
        let mut pauses = Vec::new();
        let waited = share().enter(&mut |pause| {
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
    everywhere("stays", |share| {
        let gate = enter(&share());
        let seat = gate.sit().unwrap();
        let seat = gate.leave(seat).unwrap().unwrap().stay().unwrap();
        assert!(seat.is_in_place().unwrap());
        assert!(!gate.is_empty().unwrap());
        let other = gate.sit().unwrap();
        assert!(gate.leave(other).unwrap().is_none());
        assert!(gate.leave(seat).unwrap().is_some());
    });
}

#[test]
fn as_long_as_a_last_one_out_is_there_nobody_sits() {
    everywhere("belt", |share| {
        let gate = enter(&share());
        let seat = gate.sit().unwrap();
        let last = gate.leave(seat).unwrap().unwrap();
        assert_eq!(gate.sit().unwrap_err().status, Status::Storage);
        assert!(!gate.is_empty().unwrap(), "somebody still has to do with the slot");
        drop(last);
        assert!(gate.sit().is_ok());
    });
}

#[test]
fn slots_of_other_names_are_other_slots() {
    let folder = Folder::new("names");
    let share = |name| Share::on_disk(&folder.0, name);
    let gate = enter(&share("slot"));
    let _seat = gate.sit().unwrap();
    for other in ["slot2", "slot.1"] {
        assert!(enter(&share(other)).is_empty().unwrap());
    }
    let mut files: Vec<_> = folder.0.read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
    files.sort();
    assert_eq!(files, ["slot.1.gate", "slot.1.seat", "slot.gate", "slot.seat", "slot2.gate", "slot2.seat"]);
}

#[test]
fn a_share_touches_nothing_until_it_is_entered() {
    let folder = Folder::new("untouched");
    let share = Share::on_disk(&folder.0, "slot");
    assert_eq!(folder.0.read_dir().unwrap().count(), 0);
    let error = Share::on_disk(&folder.0.join("missing"), "slot").enter(&mut at_once).unwrap_err();
    assert_eq!(error.status, Status::Storage, "and not that of whoever waits");
    drop(enter(&share));
    assert_eq!(folder.0.read_dir().unwrap().count(), 2);
}

#[cfg(unix)]
mod removed {
    use super::*;
    use std::fs;

    struct Slot(Folder);

    impl Slot {
        fn enter(&self) -> Gate {
            enter(&self.share())
        }

        fn share(&self) -> Share {
            Share::on_disk(&self.0.0, "slot")
        }

        fn remove(&self, ending: &str) {
            fs::remove_file(self.0.0.join(format!("slot.{ending}"))).unwrap();
        }
    }

    #[test]
    fn who_sits_on_a_removed_file_is_not_the_last_one_out_while_others_sit_on_it_or_on_the_new_one() {
        let slot = Slot(Folder::new("removed-seats"));
        let gate = slot.enter();
        let mut old = vec![gate.sit().unwrap(), gate.sit().unwrap()];
        slot.remove("seat");
        let new = gate.sit().unwrap();
        assert!(new.is_in_place().unwrap());
        assert!(old.iter().all(|seat| !seat.is_in_place().unwrap()));
        assert!(gate.leave(old.pop().unwrap()).unwrap().is_none(), "one sits on each");
        assert!(gate.leave(old.pop().unwrap()).unwrap().is_none(), "one sits on the new one");
        assert!(gate.leave(new).unwrap().is_some());
    }

    #[test]
    fn who_sits_on_a_removed_file_is_the_last_one_out_if_nobody_came_since() {
        let slot = Slot(Folder::new("removed-last"));
        let gate = slot.enter();
        let (first, second) = (gate.sit().unwrap(), gate.sit().unwrap());
        slot.remove("seat");
        assert!(gate.leave(first).unwrap().is_none());
        let last = gate.leave(second).unwrap().unwrap();
        assert!(gate.sit().is_err(), "nor may anybody sit on the new file then");
        drop(last);
        assert!(gate.sit().is_ok());
    }

    #[test]
    fn a_new_seat_mends_it() {
        let slot = Slot(Folder::new("removed-mended"));
        let gate = slot.enter();
        let mut seat = gate.sit().unwrap();
        slot.remove("seat");
        assert!(gate.is_empty().unwrap(), "as far as can be seen");
        assert!(!seat.is_in_place().unwrap());
        seat = gate.sit().unwrap();
        assert!(!gate.is_empty().unwrap());
        assert!(gate.leave(seat).unwrap().is_some());
    }

    #[test]
    fn through_another_gate_nobody_comes_while_the_last_one_gives_the_slot_back() {
        let slot = Slot(Folder::new("removed-gate"));
        let gate = slot.enter();
        let seat = gate.sit().unwrap();
        slot.remove("gate");
        drop(slot.enter());
        let last = gate.leave(seat).unwrap().unwrap();
        slot.remove("gate");
        assert!(is_locked(&slot.share()));
        drop(last);
        assert!(!is_locked(&slot.share()));
    }
}

/// Many threads come and go. `slot` is what the server counts, `seated` the truth; both change inside the gate alone.
#[test]
fn in_a_crowd_the_slot_is_taken_once_and_given_back_once_and_everybody_has_their_turn() {
    everywhere("crowd", |share| {
        let (slot, seated, inside) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicBool::new(false));
        let come_in = || {
            let gate = share().enter(&mut patiently()).unwrap();
            assert!(!inside.swap(true, Ordering::SeqCst), "two in the gate");
            assert_eq!(gate.is_empty().unwrap(), seated.load(Ordering::SeqCst) == 0);
            assert_eq!(slot.load(Ordering::SeqCst), seated.load(Ordering::SeqCst) > 0);
            gate
        };
        let go_on = |gate: Gate| {
            inside.store(false, Ordering::SeqCst);
            drop(gate);
            thread::yield_now();
        };
        let live = || {
            for _ in 0..25 {
                let gate = come_in();
                let seat = gate.sit().unwrap();
                seated.fetch_add(1, Ordering::SeqCst);
                slot.store(true, Ordering::SeqCst);
                go_on(gate);
                let gate = come_in();
                let others = seated.fetch_sub(1, Ordering::SeqCst) - 1;
                let last = gate.leave(seat).unwrap();
                assert_eq!(last.is_some(), others == 0);
                if last.is_some() {
                    assert!(slot.swap(false, Ordering::SeqCst), "given back twice");
                    drop(last);
                }
                go_on(gate);
            }
        };
        thread::scope(|scope| {
            (0..6).for_each(|_| drop(scope.spawn(live)));
        });
        assert!(come_in().is_empty().unwrap());
    });
}
