//! The slow paths of `sync`: semaphore, mutex, RWMutex, WaitGroup, Cond; and how a WaitGroup is counted.

use super::Header;

/// `header.goid` is about to wait for a sync object; `header.probe` tells which kind.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
#[cfg_attr(feature = "user", derive(bytemuck::Pod, bytemuck::Zeroable))]
pub struct SyncWait {
    /// Common part.
    pub header: Header,
    /// Address of the object: the semaphore word, the `Mutex`, the `RWMutex`, the `WaitGroup` or the notify list.
    pub addr: u64,
    /// Return address in the caller of the probed function.
    pub site_pc: u64,
    /// Wait reason for a semaphore of Go 1.20 and later; meaningless where `has_reason` is 0.
    pub wait_reason: u32,
    /// 1 when `wait_reason` is valid.
    pub has_reason: u32,
}

/// `header.goid` is about to change the counter of a WaitGroup.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
#[cfg_attr(feature = "user", derive(bytemuck::Pod, bytemuck::Zeroable))]
pub struct WaitGroupAdd {
    /// Common part.
    pub header: Header,
    /// Address of the `WaitGroup`.
    pub addr: u64,
    /// By how much; `Done` is -1.
    pub delta: i64,
    /// Its state before: the counter in the upper half, in the lower one a flag and 31 bits that count who waits. 0 unless
    /// `has_state` is 1.
    pub state: u64,
    /// Return address in the caller of `Add`.
    pub site_pc: u64,
    /// 1 when `state` was read, which it is where `delta` is above 0.
    pub has_state: u64,
}
