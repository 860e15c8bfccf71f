//! The system's allocator, with a word to the user where it has no more.
//!
//! Without memory goflow is aborted, and the kernel takes its probes out with it. What is hard is that nothing may be
//! allocated to say so.

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::{self, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};

/// Says once, on standard error, that there is no more memory, and what to do.
pub struct Telling;

static IS_TOLD: AtomicBool = AtomicBool::new(false);

const MESSAGE: &str = "goflow: out of memory\n\
    help: raise the limit on its memory (`ulimit -v unlimited`, or that of its container); goflow needs about 200 MB of \
    addresses, and more with a larger --buffer\n";

fn told(pointer: *mut u8) -> *mut u8 {
    if pointer.is_null() && !IS_TOLD.swap(true, Ordering::Relaxed) {
        // Unbuffered. There is nobody else to tell.
        let _ = io::stderr().write_all(MESSAGE.as_bytes());
    }
    pointer
}

// SAFETY: every call is passed on as it is to the system's allocator, which keeps the contract.
unsafe impl GlobalAlloc for Telling {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller promises.
        told(unsafe { System.alloc(layout) })
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller promises.
        told(unsafe { System.alloc_zeroed(layout) })
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as the caller promises.
        told(unsafe { System.realloc(pointer, layout, size) })
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }
}
