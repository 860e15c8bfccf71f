//! What user space tells the eBPF programs before they are loaded.
//!
//! It is one read-only global, so the verifier sees constants and prunes the branches a binary does not need.

/// Marks a struct offset that this Go version does not have.
pub const OFFSET_ABSENT: u32 = u32::MAX;

/// Per-binary constants of the eBPF programs. All offsets are in bytes from the start of the named runtime struct.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "user", derive(bytemuck::Pod, bytemuck::Zeroable))]
pub struct ProbeConfig {
    /// [`crate::LAYOUT_VERSION`] of the side that wrote it.
    pub layout_version: u32,
    /// 1: only thread groups listed in the map `TARGETS` are recorded; 0: every process that hits a probe.
    pub filter_targets: u32,
    /// Bit `1 << ProbeId`: the probe sits on the `jbe` of the stack check and must ignore a hit that branches to
    /// `morestack`, because the function starts again after the stack has grown.
    pub on_stack_check: u32,
    /// Frames to record for a park, 0 to [`crate::MAX_STACK_DEPTH`].
    pub stack_depth: u32,
    /// `g.goid`.
    pub g_goid: u32,
    /// `g.m`.
    pub g_m: u32,
    /// `g.gopc`, the return address of the `go` statement.
    pub g_gopc: u32,
    /// `g.startpc`.
    pub g_startpc: u32,
    /// `m.curg`.
    pub m_curg: u32,
    /// `hchan.elemsize` (`uint16`).
    pub hchan_elemsize: u32,
    /// `hchan.elemtype`.
    pub hchan_elemtype: u32,
    /// 1 where `semacquire1` takes a wait reason as fifth argument (Go 1.20 and later), else 0.
    pub semacquire1_has_reason: u32,
}
