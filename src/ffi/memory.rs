//! Memory that is wiped before it is given back.
//!
//! Keys, passwords and tokens go through texts, headers, bodies and buffers, most of them of the libraries that speak
//! HTTP and TLS, which wipe nothing. Given back as it is, such memory keeps them for as long as the process lives, and
//! shows them in its core file. To wipe what is ours alone would leave theirs, so the shared library wipes all of its own.

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::ptr;

#[global_allocator]
static MEMORY: Wiped = Wiped;

/// The system's memory. A text that grows is moved, so that what it leaves behind is wiped too.
struct Wiped;

// SAFETY: it is the system's allocator, which is asked with the same layouts; what is given back is nobody's, so it may be
// written to until the system has it.
unsafe impl GlobalAlloc for Wiped {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller promises.
        unsafe { System.alloc_zeroed(layout) }
    }

    // Not inlined, for it stands everywhere.
    #[inline(never)]
    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller promises that it came from here with this layout, and does not use it any more.
        unsafe { ptr::write_bytes(memory, 0, layout.size()) };
        // Or else the compiler leaves that out, as nobody reads it.
        black_box(memory);
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(memory, layout) }
    }

    #[inline(never)]
    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, length: usize) -> *mut u8 {
        // SAFETY: the caller promises that the new length is fit for a layout of this alignment.
        let moved = unsafe { self.alloc(Layout::from_size_align_unchecked(length, layout.align())) };
        if !moved.is_null() {
            // SAFETY: both are at least that long, and apart: the new one was nobody's.
            unsafe { ptr::copy_nonoverlapping(memory, moved, layout.size().min(length)) };
            // SAFETY: as the caller promises of the old one, which is in use no more.
            unsafe { self.dealloc(memory, layout) };
        }
        moved
    }
}
