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

/// `ready(gp)` where waits are recorded as a whole: with the park that it ends, and room for `N` frames, as in
/// [`ParkWithStack`].
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ReadyAfterPark<const N: usize> {
    /// Fixed part.
    pub fixed: ParkThatEnded,
    /// Return addresses of the goroutine that becomes runnable, innermost first.
    pub stack: [u64; N],
}

/// The fixed part of [`ReadyAfterPark`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
#[cfg_attr(feature = "user", derive(bytemuck::Pod, bytemuck::Zeroable))]
pub struct ParkThatEnded {
    /// Who wakes whom.
    pub ready: Ready,
    /// When the goroutine parked, as [`Header::t_ns`].
    pub parked_ns: u64,
    /// See [`Park::lock`].
    pub lock: u64,
    /// See [`Park::wait_reason`].
    pub wait_reason: u32,
    /// How many entries of the stack are valid.
    pub depth: u32,
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
