//! Birth and death of goroutines: `newproc1`, `goexit0`.

use super::Header;

/// `newproc1` returns a new goroutine; `header.goid` is its creator.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
#[cfg_attr(feature = "user", derive(bytemuck::Pod, bytemuck::Zeroable))]
pub struct GoroutineCreate {
    /// Common part.
    pub header: Header,
    /// The new goroutine's id.
    pub child: u64,
    /// `g.gopc`: return address of the call that the `go` statement compiled to.
    pub created_pc: u64,
    /// `g.startpc`: entry of the function the goroutine runs.
    pub start_pc: u64,
}

/// `goexit0`: `header.goid` has ended.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
#[cfg_attr(feature = "user", derive(bytemuck::Pod, bytemuck::Zeroable))]
pub struct GoroutineExit {
    /// Common part.
    pub header: Header,
}
