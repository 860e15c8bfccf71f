//! Parking and readying: `gopark`, `ready`.

use super::Header;
use crate::MAX_STACK_DEPTH;

/// A park without its stack, as it is sent when no frames are wanted.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
#[cfg_attr(feature = "user", derive(bytemuck::Pod, bytemuck::Zeroable))]
pub struct Park {
    /// Common part.
    pub header: Header,
    /// The `lock` argument of `gopark`: `&hchan.lock` for a channel, the semaphore root's lock, else 0 or any.
    pub lock: u64,
    /// Wait reason, a number of this Go version.
    pub wait_reason: u32,
    /// How many entries of the stack are valid.
    pub depth: u32,
}

/// A park with room for `N` frames: [`SHORT_STACK`] or [`MAX_STACK_DEPTH`]. Entries from `depth` on are meaningless.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ParkWithStack<const N: usize> {
    /// Fixed part.
    pub park: Park,
    /// Return addresses, innermost first; the first is in the caller of `gopark`.
    pub stack: [u64; N],
}

/// Frames in the smaller of the two park records; a ring-buffer reservation has a constant size.
pub const SHORT_STACK: usize = 8;

const _: () = assert!(SHORT_STACK <= MAX_STACK_DEPTH);

/// `ready(gp)`: `header.goid` makes `target` runnable.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
#[cfg_attr(feature = "user", derive(bytemuck::Pod, bytemuck::Zeroable))]
pub struct Ready {
    /// Common part.
    pub header: Header,
    /// The goroutine that becomes runnable.
    pub target: u64,
}
