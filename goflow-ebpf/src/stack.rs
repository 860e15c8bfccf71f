//! The stack of a goroutine that parks: return addresses along the chain of saved frame pointers (`[fp]` is the next
//! one, `[fp + 8]` the return address).
//!
//! A read of the target costs the same whatever its size, so where the kernel lets a program index its own stack by a
//! variable (Linux 5.12 and later) frames are read by the window and not one by one.

use crate::target::{Registers, read, read_words};
use core::mem::MaybeUninit;

/// Bytes read at once. A program has 512 bytes of stack; the frames of `gopark`'s callers are some tens of bytes each.
const WINDOW_BYTES: u64 = 256;
const WINDOW_WORDS: usize = WINDOW_BYTES as usize / 8;

/// A piece of the stack.
#[repr(C)]
struct Window {
    words: MaybeUninit<[u64; WINDOW_WORDS]>,
    /// The verifier does not see that an index is a multiple of eight, and takes a read of the last word for one that may end
    /// some bytes behind it.
    beyond: u64,
}

/// Where a walk begins.
#[derive(Clone, Copy)]
pub(crate) struct Start {
    /// Where the first return address lies.
    return_address_at: u64,
    /// The frame pointer of the function that it leads to.
    fp: u64,
}

impl Start {
    /// At the caller of the probed function.
    #[inline(always)]
    pub(crate) fn of_hit(regs: &Registers<'_>) -> Self {
        Self { return_address_at: regs.sp(), fp: regs.caller_fp() }
    }

    /// At the caller of the function whose frame pointer is `fp`; `None` when that is not one.
    #[inline(always)]
    pub(crate) fn above(fp: u64) -> Option<Self> {
        Some(Self { return_address_at: fp.wrapping_add(8), fp: read(fp).filter(|&next| next > fp)? })
    }
}

/// Where return addresses go.
pub(crate) struct Frames<const N: usize> {
    /// Room for `N` of them.
    pub(crate) to: *mut u64,
    /// How many are wanted.
    pub(crate) wanted: u32,
}

impl<const N: usize> Frames<N> {
    /// # Safety
    /// `depth` is less than `N`.
    #[inline(always)]
    unsafe fn put(&self, depth: usize, pc: u64) {
        // SAFETY: there is room for `N`.
        unsafe { *self.to.add(depth) = pc };
    }

    #[inline(always)]
    fn is_full(&self, depth: usize) -> bool {
        depth >= self.wanted as usize
    }
}

/// Reads every frame by itself; returns how many there are.
#[inline(always)]
pub(crate) fn walk_frame_by_frame<const N: usize>(from: Start, frames: Frames<N>) -> usize {
    // SAFETY: `N` is not 0.
    unsafe { frames.put(0, read(from.return_address_at).unwrap_or(0)) };
    let mut fp = from.fp;
    let mut depth = 1;
    while depth < N {
        if frames.is_full(depth) || fp == 0 {
            break;
        }
        let Some([next, pc]) = read::<[u64; 2]>(fp) else { break };
        if pc == 0 {
            break;
        }
        // SAFETY: the loop's condition.
        unsafe { frames.put(depth, pc) };
        depth += 1;
        // A stack grows down, so the chain only ever leads up; anything else is not a frame.
        if next <= fp {
            break;
        }
        fp = next;
    }
    depth
}

/// Reads windows of the stack and takes the frames out of them; returns how many there are.
#[inline(always)]
pub(crate) fn walk_in_windows<const N: usize>(from: Start, frames: Frames<N>) -> usize {
    let mut start = from.return_address_at;
    let mut window = Window { words: MaybeUninit::uninit(), beyond: 0 };
    let words: *mut u64 = (&raw mut window).cast();
    if !read_words(start, &mut window.words) {
        return walk_frame_by_frame(from, frames);
    }
    // SAFETY: `N` is not 0, and the window has been filled, as every one below before it is looked at.
    unsafe { frames.put(0, *words) };
    let mut fp = from.fp;
    let mut depth = 1;
    while depth < N {
        if frames.is_full(depth) || fp == 0 {
            break;
        }
        if fp.wrapping_sub(start) > WINDOW_BYTES - 16 {
            start = fp;
            if !read_words(start, &mut window.words) {
                // The end of the stack is near, and behind it may be nothing. The frame goes to the end of a window that
                // begins before it, so that nothing is taken for read that is not.
                let Some(frame) = read::<[u64; 2]>(fp) else { break };
                start = fp.wrapping_sub(WINDOW_BYTES - 16);
                // SAFETY: both words are inside the window.
                unsafe { words.add(WINDOW_WORDS - 2).cast::<[u64; 2]>().write(frame) };
            }
        }
        let word = (fp.wrapping_sub(start) / 8) as usize;
        if word > WINDOW_WORDS - 2 {
            break;
        }
        // SAFETY: both words are inside the window, which has been filled.
        let (next, pc) = unsafe { (*words.add(word), *words.add(word + 1)) };
        if pc == 0 {
            break;
        }
        // SAFETY: the loop's condition.
        unsafe { frames.put(depth, pc) };
        depth += 1;
        if next <= fp {
            break;
        }
        fp = next;
    }
    depth
}
