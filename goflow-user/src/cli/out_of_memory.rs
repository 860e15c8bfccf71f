//! The system's allocator, told to be sparing, and with a word to the user where it has no more.
//!
//! Without memory goflow ends as with any error, and its keeper takes the probes out. What is hard is that nothing may be
//! allocated to say so, and that a null that is passed on would end it by SIGABRT.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, Ordering};

/// Ends goflow when there is no more memory, with what to do on standard error.
pub struct Telling;

static IS_TOLD: AtomicBool = AtomicBool::new(false);

const MESSAGE: &[u8] = b"goflow: out of memory\n\
    help: raise the limit on its memory (`ulimit -v unlimited`, or that of its container); goflow needs about 200 MB of \
    addresses, and more with a larger --buffer\n";

/// What the C library keeps for each thread that allocates, and does not give back, is a sixth of what goflow uses at 2,000
/// goroutines (`cargo xtask bench overhead own`). To be called before there is a second thread.
pub fn be_sparing() {
    /// Its own default, which without being set grows with what is freed: then what has been read in a look stays.
    const LARGE: libc::c_int = 128 << 10;
    for (parameter, value) in
        [(libc::M_ARENA_MAX, 2), (libc::M_MMAP_THRESHOLD, LARGE), (libc::M_TRIM_THRESHOLD, LARGE)]
    {
        // SAFETY: it takes two numbers, and no other thread allocates yet. Where it refuses, all is as before.
        unsafe { libc::mallopt(parameter, value) };
    }
}

fn told(pointer: *mut u8) -> *mut u8 {
    if pointer.is_null() { tell_and_exit() } else { pointer }
}

#[cold]
fn tell_and_exit() -> ! {
    if IS_TOLD.swap(true, Ordering::Relaxed) {
        loop {
            // Another thread is about to end the process, and must not be cut short.
            // SAFETY: it takes nothing and touches nothing.
            unsafe { libc::pause() };
        }
    }
    // Not by the standard library: whoever holds its lock may be the one that wants memory.
    // SAFETY: the message lives for ever, and neither call returns to code that has run out of memory.
    unsafe {
        libc::write(libc::STDERR_FILENO, MESSAGE.as_ptr().cast(), MESSAGE.len());
        libc::_exit(super::EXIT_ERROR.into());
    }
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
