//! An allocator that wipes memory before it frees it.
//!
//! Keys, passwords and tokens pass through texts, headers, bodies and buffers. Most of these belong to the HTTP and TLS
//! libraries, which wipe nothing. Freed memory would keep such secrets as long as the process lives, and a core file
//! would show them. The shared library therefore wipes all memory that it frees, and not only the secrets of its own
//! code.

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::ptr;

#[global_allocator]
static ALLOCATOR: WipingAllocator = WipingAllocator;

/// The system's allocator, with a wipe before each free. A block that grows is always moved, so that the old block is
/// wiped too.
struct WipingAllocator;

// SAFETY: each call goes to the system's allocator with the same layout. A block is wiped after its owner has freed it
// and before the system gets it, so no other code uses it then.
unsafe impl GlobalAlloc for WipingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the contract of this function, which is the system's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the contract of this function, which is the system's.
        unsafe { System.alloc_zeroed(layout) }
    }

    // Not inlined, because every drop of memory calls it.
    #[inline(never)]
    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller has got this block from here with this layout, and does not use it any more.
        unsafe { ptr::write_bytes(memory, 0, layout.size()) };
        // Without this the compiler would remove the write, because no code reads the block afterwards.
        black_box(memory);
        // SAFETY: the caller keeps the contract of this function, which is the system's.
        unsafe { System.dealloc(memory, layout) }
    }

    #[inline(never)]
    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, length: usize) -> *mut u8 {
        // SAFETY: the caller promises that the new length is valid for a layout of this alignment.
        let moved = unsafe { self.alloc(Layout::from_size_align_unchecked(length, layout.align())) };
        if !moved.is_null() {
            // SAFETY: both blocks are at least that long. They do not overlap, because the new block was free.
            unsafe { ptr::copy_nonoverlapping(memory, moved, layout.size().min(length)) };
            // SAFETY: the caller has got the old block from here with this layout, and its content was copied.
            unsafe { self.dealloc(memory, layout) };
        }
        moved
    }
}
