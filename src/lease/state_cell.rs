//! The state and the deadline of a lease, which any thread reads by a few atomic loads and without waiting. Even an
//! audio callback may read them, whatever another thread does with the lease.
//!
//! A [`StateCell`] is never moved or freed. It belongs to one lease after another, each under its own generation. A
//! lease writes to it by the cell's only [`StateWriter`], which can't be copied, and the next lease gets a writer only
//! after this one was dropped. A lease whose handle was freed may therefore go on writing: no reader sees it, because
//! the cell was cleared.

use crate::lease::state_machine::{Millis, State};
use crate::lease::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use crate::lease::sync::atomic::{AtomicBool, AtomicI64, AtomicU64};

/// The state and the deadline of a lease, for readers that must not wait.
#[derive(Debug, Default)]
pub struct StateCell {
    /// The generation of the lease and the lease's state, as [`stamp`] packs them; or [`CLEARED`].
    stamp: AtomicU64,
    /// The deadline of the lease in `stamp`. While another lease takes over the cell, it may belong to the earlier or
    /// the later lease.
    runs_until: AtomicI64,
    /// True if there is a [`StateWriter`] of the cell.
    has_writer: AtomicBool,
}

/// The stamp of a cell that belongs to no lease.
const CLEARED: u64 = 0;
/// In a stamp, the state of a lease that has published no state yet.
const UNPUBLISHED: u32 = u32::MAX;

/// Packs a generation and a state's number, which is never 0.
const fn stamp(generation: u32, state: u32) -> u64 {
    (generation as u64) << 32 | state as u64
}

/// The states in the order of their numbers, which begin at 1.
const STATES: [State; 6] =
    [State::Active, State::Degraded, State::Grace, State::Borrowed, State::Lost, State::Released];

impl StateCell {
    /// Returns the state of the lease of this generation, by one load. `None` if the cell does not belong to that
    /// lease, or the lease has published no state yet.
    pub fn state(&self, generation: u32) -> Option<State> {
        // Relaxed, because no other value is read that would have to be ordered.
        state_of(self.stamp.load(Relaxed), generation)
    }

    /// Returns when licensed work must stop, as the lease of this generation says, by three loads. `None` as for
    /// [`StateCell::state`].
    ///
    /// The deadline is at least as new as any state that this thread has read.
    pub fn runs_until(&self, generation: u32) -> Option<Millis> {
        // The stamp was released after this lease's first deadline, so the deadline that is read belongs to this lease
        // or to a later one. A later lease's deadline was released after the stamp had changed its generation, so the
        // second load of the stamp sees that change. A stamp never returns to an earlier generation, so two loads are
        // enough, and no loop is needed.
        state_of(self.stamp.load(Acquire), generation)?;
        let runs_until = self.runs_until.load(Acquire);
        state_of(self.stamp.load(Relaxed), generation)?;
        Some(runs_until)
    }

    /// Returns the number that the owner of this generation counts, as [`StateWriter::publish_count`] has published it; 0
    /// as [`StateCell::state`] returns `None`.
    pub fn count(&self, generation: u32) -> u32 {
        self.runs_until(generation).and_then(|count| u32::try_from(count).ok()).unwrap_or_default()
    }

    /// Returns whether the cell belongs to the lease of this generation: it had the last writer, and the cell was not
    /// cleared since.
    pub fn is_of(&self, generation: u32) -> bool {
        let seen = self.stamp.load(Relaxed);
        // A stamp contains a state beside the generation, so generation 0 is never taken for a cleared cell.
        seen != CLEARED && seen >> 32 == u64::from(generation)
    }

    /// Returns the writer of the cell for the lease of this generation; `None` while an earlier writer exists. No two
    /// leases have the same generation.
    pub fn writer(&'static self, generation: u32) -> Option<StateWriter> {
        // This acquires the drop of the last writer, so that everything that it has written comes before.
        self.has_writer.compare_exchange(false, true, Acquire, Relaxed).ok()?;
        let published = stamp(generation, UNPUBLISHED);
        self.stamp.store(published, Relaxed);
        Some(StateWriter { cell: self, published })
    }

    /// Takes the cell from its lease: readers see nothing that the writer publishes from now on. The caller holds a
    /// lock, so that a clear and a new writer come one after the other.
    pub fn clear(&self) {
        // Relaxed, because no other value has to be ordered. A swap, so that it comes before or after the exchange in
        // `publish` and never between its load and its store.
        self.stamp.swap(CLEARED, Relaxed);
    }
}

/// Returns the state in a stamp, if the stamp is of this generation.
fn state_of(seen: u64, generation: u32) -> Option<State> {
    let number = usize::try_from(seen ^ stamp(generation, 0)).ok()?;
    STATES.get(number.checked_sub(1)?).copied()
}

/// The only writer of a [`StateCell`], which belongs to one lease.
#[derive(Debug)]
pub struct StateWriter {
    cell: &'static StateCell,
    /// The last stamp that this writer has stored.
    published: u64,
}

impl StateWriter {
    /// Publishes the state and the deadline of the lease to every thread that has the lease's handle. After the handle
    /// was freed, no thread sees them. In [`State::Lost`] and [`State::Released`] licensed work must stop at once, so
    /// `runs_until` is [`Millis::MIN`].
    pub fn publish(&mut self, state: State, runs_until: Millis) {
        // Released, so that a thread that reads it also sees that the cell was cleared before; see
        // `StateCell::runs_until`.
        self.cell.runs_until.store(runs_until, Release);
        // The exchange fails for a cleared cell, which stays cleared. Released, so that a thread that reads this state
        // also reads this deadline.
        let next = self.published & !stamp(0, u32::MAX) | stamp(0, state as u32);
        if self.cell.stamp.compare_exchange(self.published, next, Release, Relaxed).is_ok() {
            self.published = next;
        }
    }
}

impl StateWriter {
    /// Publishes a number, for an owner that has no state: a client counts its events.
    pub fn publish_count(&mut self, count: usize) {
        self.publish(State::Active, Millis::try_from(count).unwrap_or(Millis::MAX));
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
    fn state_and_deadline_are_read_as_published() {
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
    fn count_is_read_as_published_until_the_cell_is_cleared() {
        let cell = cell();
        let mut client = cell.writer(3).unwrap();
        assert_eq!(cell.count(3), 0);
        for count in [1, 2_000, 0] {
            client.publish_count(count);
            assert_eq!((cell.count(3), cell.count(4)), (u32::try_from(count).unwrap(), 0));
        }
        client.publish_count(7);
        cell.clear();
        assert_eq!(cell.count(3), 0);
    }

    #[test]
    fn cell_shows_only_what_its_own_generation_published() {
        let cell = cell();
        let others: Vec<u32> = (0..u32::BITS).map(|bit| 7 ^ 1 << bit).collect();
        let none_sees_any = |generations: &[u32]| generations.iter().all(|one| published(cell, *one) == (None, None));
        assert!(none_sees_any(&others) && none_sees_any(&[7]), "cleared");
        assert!(!cell.is_of(0) && !cell.is_of(7));
        let mut lease = cell.writer(7).unwrap();
        assert!(none_sees_any(&others) && none_sees_any(&[7]), "unpublished");
        assert!(cell.is_of(7) && !others.iter().any(|one| cell.is_of(*one)));
        lease.publish(State::Grace, 70);
        assert!(none_sees_any(&others));
        assert_eq!(published(cell, 7), (Some(State::Grace), Some(70)));
    }

    #[test]
    fn cleared_cell_shows_nothing_that_is_published_later() {
        for was_published in [false, true] {
            let cell = cell();
            let mut lease = cell.writer(0).unwrap();
            if was_published {
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
    fn cell_has_a_new_writer_only_after_the_last_is_dropped() {
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
            "the deadline of the first lease is not seen"
        );
        second.publish(State::Borrowed, 20);
        assert_eq!((published(cell, 0), published(cell, 1)), ((None, None), (Some(State::Borrowed), Some(20))));
    }

    #[test]
    fn last_state_stays_until_the_cell_is_cleared() {
        let cell = cell();
        cell.writer(3).unwrap().publish(State::Lost, Millis::MIN);
        assert_eq!(published(cell, 3), (Some(State::Lost), Some(Millis::MIN)));
        cell.clear();
        assert_eq!(published(cell, 3), (None, None));
    }
}
