//! Room for what is read and written on a connection.

use ureq::unversioned::transport::{Buffers, LazyBuffers};

/// The longest head of a reply that is read. A license server needs less than 1 KiB, but proxies add policies and cookies.
pub(super) const LONGEST_HEAD_BYTES: usize = 64 * 1024;

/// Room for the head of a usual reply, and for each piece of a body.
const USUAL_BYTES: usize = 16 * 1024;

/// Returns buffers for a connection. They take memory when they are first used.
pub(super) fn buffers() -> LazyBuffers {
    LazyBuffers::new(USUAL_BYTES, USUAL_BYTES)
}

/// Makes room for more input, if there is none left. The head of a reply must be in the buffer as a whole, because a
/// parser begins anew each time.
pub(super) fn make_room(buffers: &mut LazyBuffers) {
    if !buffers.input_append_buf().is_empty() {
        return;
    }
    // The longest head and some bytes more, by which ureq sees that a head is longer.
    let mut larger = LazyBuffers::new(LONGEST_HEAD_BYTES + USUAL_BYTES, USUAL_BYTES);
    let input = buffers.input();
    larger.input_append_buf()[..input.len()].copy_from_slice(input);
    larger.input_appended(input.len());
    *buffers = larger;
}
