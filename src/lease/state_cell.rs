//! What of a lease is read without waiting: its state and its deadline, a few loads away for any number of threads, an
//! audio callback's too, whatever its owner is doing.
//!
//! A [`StateCell`] stays where it is for good and shows one lease after another, each under a generation of its own. Its one
//! writer is a [`StateWriter`], which is lent to the lease: it can't be copied, and the face is not lent again before it is
//! dropped. So nobody has to tell a lease whose handle was freed to keep still; what it shows then is seen by nobody.

use crate::lease::state_machine::{Millis, State};
use crate::lease::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use crate::lease::sync::atomic::{AtomicBool, AtomicI64, AtomicU64};

/// What of a lease is read without waiting.
#[derive(Debug, Default)]
pub struct StateCell {
    /// Whose it is, and what it shows: a [`stamp`], or [`NOBODY`].
    stamp: AtomicU64,
    /// Of the lease in `stamp`, or of one that will be there soon, or was.
    runs_until: AtomicI64,
    /// There is a [`StateWriter`] of it.
    has_writer: AtomicBool,
}

/// The stamp of a face that is nobody's.
const NOBODY: u64 = 0;
/// In a stamp, the state of a lease that has shown none yet.
const BLANK: u32 = u32::MAX;

/// A generation, and a state's number, which is never 0.
const fn stamp(generation: u32, state: u32) -> u64 {
    (generation as u64) << 32 | state as u64
}

/// The states, by number from 1.
const STATES: [State; 6] =
    [State::Active, State::Degraded, State::Grace, State::Borrowed, State::Lost, State::Released];

impl StateCell {
    /// How the lease of this generation stands; `None` if it is not here, or has not shown itself yet. One load.
    pub fn state(&self, generation: u32) -> Option<State> {
        // Nothing is read beside it, so nothing needs to be ordered.
        state_of(self.stamp.load(Relaxed), generation)
    }

    /// When licensed work must stop, by the lease of this generation; `None` as for [`StateCell::state`]. Three loads.
    ///
    /// It is at least as new as any state that this thread has read.
    pub fn runs_until(&self, generation: u32) -> Option<Millis> {
        // The stamp was released after this lease's first deadline, so what is read is this lease's or a later one's. A
        // later one's was released after the stamp had become another's, which is then seen too. A stamp never becomes
        // this lease's again, so two looks are enough, and whatever changes in between, there is no loop.
        state_of(self.stamp.load(Acquire), generation)?;
        let runs_until = self.runs_until.load(Acquire);
        state_of(self.stamp.load(Relaxed), generation)?;
        Some(runs_until)
    }

    /// Whether it was lent to the lease of this generation last, and not cleared since.
    pub fn is_of(&self, generation: u32) -> bool {
        let seen = self.stamp.load(Relaxed);
        // A stamp has a state beside the generation, so it is never that of nobody.
        seen != NOBODY && seen >> 32 == u64::from(generation)
    }

    /// The one who may write here, for the lease of this generation; `None` while there is still another. Each lease has
    /// a generation of its own, and one is let in at a time.
    pub fn writer(&'static self, generation: u32) -> Option<StateWriter> {
        // Acquired from the last one's drop, so that whatever it wrote comes before what this one writes.
        self.has_writer.compare_exchange(false, true, Acquire, Relaxed).ok()?;
        let published = stamp(generation, BLANK);
        self.stamp.store(published, Relaxed);
        Some(StateWriter { cell: self, published })
    }

    /// It is nobody's, until it is lent again: whatever its writer shows from now on is not seen. Who clears and lends does
    /// one after the other, under a lock.
    pub fn clear(&self) {
        // Nothing is read beside it. Swapped, so that it falls before or after a `publish` and never between.
        self.stamp.swap(NOBODY, Relaxed);
    }
}

/// The state in a stamp, if it is of this generation.
fn state_of(seen: u64, generation: u32) -> Option<State> {
    let number = usize::try_from(seen ^ stamp(generation, 0)).ok()?;
    STATES.get(number.checked_sub(1)?).copied()
}

/// The writer's end of a [`StateCell`]: one lease's, for as long as it likes.
#[derive(Debug)]
pub struct StateWriter {
    cell: &'static StateCell,
    /// The last stamp it has put there.
    published: u64,
}

impl StateWriter {
    /// Shows how the lease stands, to whoever has its handle; to nobody once that is freed. When licensed work must stop
    /// at once, in [`State::Lost`] and [`State::Released`], `runs_until` is [`Millis::MIN`].
    pub fn publish(&mut self, state: State, runs_until: Millis) {
        // Released, so that who reads it also sees that the face was cleared before; see `StateCell::runs_until`.
        self.cell.runs_until.store(runs_until, Release);
        // A cleared face stays clear. Released, so that who sees this state sees this deadline.
        let next = self.published & !stamp(0, u32::MAX) | stamp(0, state as u32);
        if self.cell.stamp.compare_exchange(self.published, next, Release, Relaxed).is_ok() {
            self.published = next;
        }
    }
}

impl Drop for StateWriter {
    fn drop(&mut self) {
        self.cell.has_writer.store(false, Release);
    }
}

#[cfg(all(test, loom))]
mod loom;

#[cfg(test)]
mod tests {
    use super::*;

    fn cell() -> &'static StateCell {
        Box::leak(Box::default())
    }

    fn published(cell: &StateCell, generation: u32) -> (Option<State>, Option<Millis>) {
        (cell.state(generation), cell.runs_until(generation))
    }

    #[test]
    fn every_state_and_deadline_is_read_as_it_was_shown() {
        let cell = cell();
        for generation in [0, 1, u32::MAX] {
            let mut lease = cell.writer(generation).unwrap();
            for number in 1..=6 {
                let state = STATES[number - 1];
                assert_eq!(state as usize, number, "the numbers are those of the C ABI");
                for runs_until in [0, 1, -1, Millis::MIN, Millis::MAX] {
                    lease.publish(state, runs_until);
                    assert_eq!(published(cell, generation), (Some(state), Some(runs_until)));
                }
            }
        }
    }

    #[test]
    fn a_face_shows_nothing_to_other_generations_nor_before_its_lease_has_shown_anything() {
        let cell = cell();
        let strangers: Vec<u32> = (0..u32::BITS).map(|bit| 7 ^ 1 << bit).collect();
        let nobody_sees_any = |generations: &[u32]| generations.iter().all(|one| published(cell, *one) == (None, None));
        assert!(nobody_sees_any(&strangers) && nobody_sees_any(&[7]), "nobody's");
        assert!(!cell.is_of(0) && !cell.is_of(7));
        let mut lease = cell.writer(7).unwrap();
        assert!(nobody_sees_any(&strangers) && nobody_sees_any(&[7]), "blank");
        assert!(cell.is_of(7) && !strangers.iter().any(|one| cell.is_of(*one)));
        lease.publish(State::Grace, 70);
        assert!(nobody_sees_any(&strangers));
        assert_eq!(published(cell, 7), (Some(State::Grace), Some(70)));
    }

    #[test]
    fn once_cleared_nothing_that_its_lease_shows_is_seen_again() {
        for seen in [false, true] {
            let cell = cell();
            let mut lease = cell.writer(0).unwrap();
            if seen {
                lease.publish(State::Active, 10);
            }
            cell.clear();
            for state in STATES {
                assert_eq!(published(cell, 0), (None, None));
                lease.publish(state, 11);
            }
            assert_eq!(published(cell, 0), (None, None));
        }
    }

    #[test]
    fn a_face_is_lent_again_when_its_display_is_dropped_and_not_before() {
        let cell = cell();
        let mut first = cell.writer(0).unwrap();
        first.publish(State::Active, 10);
        cell.clear();
        assert!(cell.writer(1).is_none());
        assert_eq!(published(cell, 1), (None, None));
        drop(first);
        let mut second = cell.writer(1).unwrap();
        assert_eq!(
            (published(cell, 0), published(cell, 1)),
            ((None, None), (None, None)),
            "not the deadline of the first"
        );
        second.publish(State::Borrowed, 20);
        assert_eq!((published(cell, 0), published(cell, 1)), ((None, None), (Some(State::Borrowed), Some(20))));
    }

    #[test]
    fn what_a_lease_showed_last_stays_when_it_has_gone_until_its_handle_is_freed() {
        let cell = cell();
        cell.writer(3).unwrap().publish(State::Lost, Millis::MIN);
        assert_eq!(published(cell, 3), (Some(State::Lost), Some(Millis::MIN)));
        cell.clear();
        assert_eq!(published(cell, 3), (None, None));
    }
}
