//! A list that only grows and whose entries never move, so that a thread can read an entry while others are added.

use std::sync::OnceLock;

/// Number of entries in the first chunk. Each further chunk has twice as many as the one before.
const FIRST: usize = 16;
/// Number of chunks, enough for more entries than a token can name.
const CHUNKS: usize = 24;

/// The list: chunks of entries, each made when it is needed.
#[derive(Debug)]
pub(super) struct Chunks<T> {
    chunks: [OnceLock<Box<[T]>>; CHUNKS],
}

/// Returns the chunk of an entry, and the entry's place in the chunk.
fn place(index: usize) -> (usize, usize) {
    let doublings = (index / FIRST + 1).ilog2();
    (doublings as usize, index - FIRST * ((1 << doublings) - 1))
}

impl<T: Default> Chunks<T> {
    /// Makes a list without chunks.
    pub(super) const fn new() -> Chunks<T> {
        Chunks { chunks: [const { OnceLock::new() }; CHUNKS] }
    }

    /// Returns an entry, if its chunk was made. Wait-free.
    #[inline]
    pub(super) fn get(&self, index: usize) -> Option<&T> {
        let (chunk, place) = place(index);
        self.chunks.get(chunk)?.get()?.get(place)
    }

    /// Returns an entry, and makes its chunk if there is none. `None` beyond the last possible entry.
    pub(super) fn get_or_make(&self, index: usize) -> Option<&T> {
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
    fn each_entry_has_its_own_place_and_keeps_it() {
        let chunks = Chunks::<Cell<usize>>::new();
        let last = FIRST * 100;
        let mut places = Vec::new();
        for index in 0..last {
            let entry = chunks.get_or_make(index).unwrap();
            assert_eq!(entry.replace(index + 1), 0, "{index} has the place of another entry");
            places.push(ptr::from_ref(entry));
        }
        for (index, place) in places.into_iter().enumerate() {
            let entry = chunks.get(index).unwrap();
            assert_eq!((entry.get(), ptr::from_ref(entry)), (index + 1, place));
        }
    }

    #[test]
    fn entry_is_found_only_after_its_chunk_was_made() {
        let chunks = Chunks::<u8>::new();
        assert_eq!(chunks.get(0), None);
        chunks.get_or_make(FIRST).unwrap();
        assert_eq!((chunks.get(0), chunks.get(FIRST * 3 - 1), chunks.get(FIRST * 3)), (None, Some(&0), None));
        for beyond in [FIRST << 30, usize::MAX] {
            assert_eq!((chunks.get(beyond), chunks.get_or_make(beyond)), (None, None));
        }
    }
}
