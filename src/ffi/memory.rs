//! A global allocator that wipes memory before it frees it.
//!
//! Keys, passwords and tokens pass through strings, headers, bodies and buffers. Most of those belong to the libraries
//! for HTTP and TLS, which wipe nothing. Freed without wiping, such memory keeps the secrets for as long as the
//! process lives, and a core file shows them. Wiping only our own buffers would leave theirs, so the library wipes
//! everything.

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::ptr;

#[global_allocator]
static MEMORY: Wiped = Wiped;

/// The system's allocator, with wiping. A growing buffer is always moved, so that its old memory is wiped too.
struct Wiped;

// SAFETY: every call goes to the system's allocator with the same layout. Freed memory has no owner, so it may be
// written to until the system takes it back.
unsafe impl GlobalAlloc for Wiped {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the rules above.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the rules above.
        unsafe { System.alloc_zeroed(layout) }
    }

    // Not inlined, because every drop in the library would contain a copy.
    #[inline(never)]
    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller promises that the memory came from here with this layout, and no longer uses it.
        unsafe { ptr::write_bytes(memory, 0, layout.size()) };
        // Without this the compiler drops the write, because no code reads the memory afterwards.
        black_box(memory);
        // SAFETY: the caller keeps the rules above.
        unsafe { System.dealloc(memory, layout) }
    }

    #[inline(never)]
    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, length: usize) -> *mut u8 {
        // SAFETY: the caller promises that the new length is valid for a layout of this alignment.
        let moved = unsafe { self.alloc(Layout::from_size_align_unchecked(length, layout.align())) };
        if !moved.is_null() {
            // SAFETY: both are at least that long, and they don't overlap, because the new one was just allocated.
            unsafe { ptr::copy_nonoverlapping(memory, moved, layout.size().min(length)) };
            // SAFETY: the caller promises this for the old memory, and the copy above was its last use.
            unsafe { self.dealloc(memory, layout) };
        }
        moved
    }
}
