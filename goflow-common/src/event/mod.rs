//! The records of the ring buffer, one file per family. Every record starts with a [`Header`].
//!
//! Fields are words and double words only: LLVM's BPF backend turns the initialisation of byte arrays into calls of a
//! byte-wise `memset`, once for every hit.

pub mod channel;
pub mod goroutine;
pub mod park;
pub mod select;
pub mod sync;

/// The goroutine id could not be read (the page was not present). Never a real goid: those count up from 1.
pub const GOID_UNKNOWN: u64 = u64::MAX;

/// [`Header::flags`]: the operation does not block (`select` with `default`, or a `len`-style attempt).
pub const FLAG_NONBLOCKING: u32 = 1 << 0;
/// [`Header::flags`]: memory of the target that the record describes could not be read; the affected fields are 0.
pub const FLAG_UNREADABLE: u32 = 1 << 1;

/// The start of every record.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
#[cfg_attr(feature = "user", derive(bytemuck::Pod, bytemuck::Zeroable))]
pub struct Header {
    /// `CLOCK_MONOTONIC`, nanoseconds, when there was room for the record of the hit, before the probed instruction ran.
    pub t_ns: u64,
    /// The goroutine that acts; 0 when the runtime itself acts on a system stack, [`GOID_UNKNOWN`] when unreadable.
    pub goid: u64,
    /// Runtime address of the probed instruction, from which user space learns where the binary is loaded.
    pub ip: u64,
    /// Thread group id (what user space calls a process id), in the initial pid namespace.
    pub pid: u32,
    /// Thread id, in the initial pid namespace.
    pub tid: u32,
    /// [`crate::probe::ProbeId`] of the probe that was hit.
    pub probe: u32,
    /// `FLAG_*`.
    pub flags: u32,
}
