//! Parking and readying: `gopark`, `ready`.

use super::Header;
use crate::MAX_STACK_DEPTH;

/// The fixed part of a park record; `depth` return addresses follow it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
#[cfg_attr(feature = "user", derive(bytemuck::Pod, bytemuck::Zeroable))]
pub struct Park {
    /// Common part.
    pub header: Header,
    /// The `lock` argument of `gopark`: `&hchan.lock` for a channel, the semaphore root's lock, else 0 or any.
    pub lock: u64,
    /// Wait reason, a number of this Go version.
    pub wait_reason: u8,
    /// How many entries of the stack are valid.
    pub depth: u8,
    /// Zero.
    pub reserved: [u8; 6],
}

/// A park record with room for the deepest stack, as the kernel side builds it. Only the first `depth` entries of
/// `stack` are sent.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "user", derive(bytemuck::Pod, bytemuck::Zeroable))]
pub struct ParkWithStack {
    /// Fixed part.
    pub park: Park,
    /// Return addresses, innermost first; the first is in the caller of `gopark`.
    pub stack: [u64; MAX_STACK_DEPTH],
}

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
