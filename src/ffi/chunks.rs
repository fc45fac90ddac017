//! A list that only grows and whose entries never move, so a reader keeps its reference while another thread adds
//! some.

use std::sync::OnceLock;

/// Number of entries in the first chunk. Each later chunk has twice as many as the one before.
const FIRST: usize = 16;
/// Number of chunks. Together they have more entries than a token can name.
const CHUNKS: usize = 24;

/// Entries in chunks, each allocated when it is first needed.
#[derive(Debug)]
pub(super) struct Chunks<T> {
    chunks: [OnceLock<Box<[T]>>; CHUNKS],
}

/// Returns the chunk of an entry, and the entry's index in it.
fn place(index: usize) -> (usize, usize) {
    let doublings = (index / FIRST + 1).ilog2();
    (doublings as usize, index - FIRST * ((1 << doublings) - 1))
}

impl<T: Default> Chunks<T> {
    pub(super) const fn new() -> Chunks<T> {
        Chunks { chunks: [const { OnceLock::new() }; CHUNKS] }
    }

    /// Returns an entry, or `None` if its chunk was never allocated. Wait-free.
    #[inline]
    pub(super) fn get(&self, index: usize) -> Option<&T> {
        let (chunk, place) = place(index);
        self.chunks.get(chunk)?.get()?.get(place)
    }

    /// Returns an entry and allocates its chunk if it is missing. `None` if the index is too large.
    pub(super) fn reach(&self, index: usize) -> Option<&T> {
        let (chunk, place) = place(index);
        let made = || (0..FIRST << chunk).map(|_| T::default()).collect();
        self.chunks.get(chunk)?.get_or_init(made).get(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::ptr;

    #[test]
    fn every_entry_has_a_place_of_its_own_and_keeps_it() {
        let chunks = Chunks::<Cell<usize>>::new();
        let last = FIRST * 100;
        let mut places = Vec::new();
        for index in 0..last {
            let entry = chunks.reach(index).unwrap();
            assert_eq!(entry.replace(index + 1), 0, "{index} is another's");
            places.push(ptr::from_ref(entry));
        }
        for (index, place) in places.into_iter().enumerate() {
            let entry = chunks.get(index).unwrap();
            assert_eq!((entry.get(), ptr::from_ref(entry)), (index + 1, place));
        }
    }

    #[test]
    fn what_was_never_reached_is_not_there() {
        let chunks = Chunks::<u8>::new();
        assert_eq!(chunks.get(0), None);
        chunks.reach(FIRST).unwrap();
        assert_eq!((chunks.get(0), chunks.get(FIRST * 3 - 1), chunks.get(FIRST * 3)), (None, Some(&0), None));
        for beyond in [FIRST << 30, usize::MAX] {
            assert_eq!((chunks.get(beyond), chunks.reach(beyond)), (None, None));
        }
    }
}
