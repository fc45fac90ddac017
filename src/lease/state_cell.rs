//! What of a lease is read without waiting: its state and its deadline, a few loads away for any number of threads, an
//! audio callback's too, whatever its owner is doing.
//!
//! A [`Face`] stays where it is for good and shows one lease after another, each under a generation of its own. Its one
//! writer is a [`Display`], which is lent to the lease: it can't be copied, and the face is not lent again before it is
//! dropped. So nobody has to tell a lease whose handle was freed to keep still; what it shows then is seen by nobody.

use crate::lease::state_machine::{Millis, State};
use crate::lease::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use crate::lease::sync::atomic::{AtomicBool, AtomicI64, AtomicU64};

/// What of a lease is read without waiting.
#[derive(Debug, Default)]
pub struct Face {
    /// Whose it is, and what it shows: a [`stamp`], or [`NOBODY`].
    stamp: AtomicU64,
    /// Of the lease in `stamp`, or of one that will be there soon, or was.
    runs_until: AtomicI64,
    /// There is a [`Display`] of it.
    lent: AtomicBool,
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

impl Face {
    /// How the lease of this generation stands; `None` if it is not here, or has not shown itself yet. One load.
    pub fn state(&self, generation: u32) -> Option<State> {
        // Nothing is read beside it, so nothing needs to be ordered.
        state_of(self.stamp.load(Relaxed), generation)
    }

    /// When licensed work must stop, by the lease of this generation; `None` as for [`Face::state`]. Three loads.
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
    pub fn lend(&'static self, generation: u32) -> Option<Display> {
        // Acquired from the last one's drop, so that whatever it wrote comes before what this one writes.
        self.lent.compare_exchange(false, true, Acquire, Relaxed).ok()?;
        let shown = stamp(generation, BLANK);
        self.stamp.store(shown, Relaxed);
        Some(Display { face: self, shown })
    }

    /// It is nobody's, until it is lent again: whatever its writer shows from now on is not seen. Who clears and lends does
    /// one after the other, under a lock.
    pub fn clear(&self) {
        // Nothing is read beside it. Swapped, so that it falls before or after a `show` and never between.
        self.stamp.swap(NOBODY, Relaxed);
    }
}

/// The state in a stamp, if it is of this generation.
fn state_of(seen: u64, generation: u32) -> Option<State> {
    let number = usize::try_from(seen ^ stamp(generation, 0)).ok()?;
    STATES.get(number.checked_sub(1)?).copied()
}

/// The writer's end of a [`Face`]: one lease's, for as long as it likes.
#[derive(Debug)]
pub struct Display {
    face: &'static Face,
    /// The last stamp it has put there.
    shown: u64,
}

impl Display {
    /// Shows how the lease stands, to whoever has its handle; to nobody once that is freed. When licensed work must stop
    /// at once, in [`State::Lost`] and [`State::Released`], `runs_until` is [`Millis::MIN`].
    pub fn show(&mut self, state: State, runs_until: Millis) {
        // Released, so that who reads it also sees that the face was cleared before; see `Face::runs_until`.
        self.face.runs_until.store(runs_until, Release);
        // A cleared face stays clear. Released, so that who sees this state sees this deadline.
        let next = self.shown & !stamp(0, u32::MAX) | stamp(0, state as u32);
        if self.face.stamp.compare_exchange(self.shown, next, Release, Relaxed).is_ok() {
            self.shown = next;
        }
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        self.face.lent.store(false, Release);
    }
}

#[cfg(all(test, loom))]
mod loom;

#[cfg(test)]
mod tests {
    use super::*;

    fn face() -> &'static Face {
        Box::leak(Box::default())
    }

    fn shown(face: &Face, generation: u32) -> (Option<State>, Option<Millis>) {
        (face.state(generation), face.runs_until(generation))
    }

    #[test]
    fn every_state_and_deadline_is_read_as_it_was_shown() {
        let face = face();
        for generation in [0, 1, u32::MAX] {
            let mut lease = face.lend(generation).unwrap();
            for number in 1..=6 {
                let state = STATES[number - 1];
                assert_eq!(state as usize, number, "the numbers are those of the C ABI");
                for runs_until in [0, 1, -1, Millis::MIN, Millis::MAX] {
                    lease.show(state, runs_until);
                    assert_eq!(shown(face, generation), (Some(state), Some(runs_until)));
                }
            }
        }
    }

    #[test]
    fn a_face_shows_nothing_to_other_generations_nor_before_its_lease_has_shown_anything() {
        let face = face();
        let strangers: Vec<u32> = (0..u32::BITS).map(|bit| 7 ^ 1 << bit).collect();
        let nobody_sees_any = |generations: &[u32]| generations.iter().all(|one| shown(face, *one) == (None, None));
        assert!(nobody_sees_any(&strangers) && nobody_sees_any(&[7]), "nobody's");
        assert!(!face.is_of(0) && !face.is_of(7));
        let mut lease = face.lend(7).unwrap();
        assert!(nobody_sees_any(&strangers) && nobody_sees_any(&[7]), "blank");
        assert!(face.is_of(7) && !strangers.iter().any(|one| face.is_of(*one)));
        lease.show(State::Grace, 70);
        assert!(nobody_sees_any(&strangers));
        assert_eq!(shown(face, 7), (Some(State::Grace), Some(70)));
    }

    #[test]
    fn once_cleared_nothing_that_its_lease_shows_is_seen_again() {
        for seen in [false, true] {
            let face = face();
            let mut lease = face.lend(0).unwrap();
            if seen {
                lease.show(State::Active, 10);
            }
            face.clear();
            for state in STATES {
                assert_eq!(shown(face, 0), (None, None));
                lease.show(state, 11);
            }
            assert_eq!(shown(face, 0), (None, None));
        }
    }

    #[test]
    fn a_face_is_lent_again_when_its_display_is_dropped_and_not_before() {
        let face = face();
        let mut first = face.lend(0).unwrap();
        first.show(State::Active, 10);
        face.clear();
        assert!(face.lend(1).is_none());
        assert_eq!(shown(face, 1), (None, None));
        drop(first);
        let mut second = face.lend(1).unwrap();
        assert_eq!((shown(face, 0), shown(face, 1)), ((None, None), (None, None)), "not the deadline of the first");
        second.show(State::Borrowed, 20);
        assert_eq!((shown(face, 0), shown(face, 1)), ((None, None), (Some(State::Borrowed), Some(20))));
    }

    #[test]
    fn what_a_lease_showed_last_stays_when_it_has_gone_until_its_handle_is_freed() {
        let face = face();
        face.lend(3).unwrap().show(State::Lost, Millis::MIN);
        assert_eq!(shown(face, 3), (Some(State::Lost), Some(Millis::MIN)));
        face.clear();
        assert_eq!(shown(face, 3), (None, None));
    }
}
