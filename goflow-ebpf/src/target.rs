//! Reading the target: memory, and registers of Go's ABIInternal on amd64.

use crate::{
    goid::{goid_of, m_of},
    maps::config,
};
use aya_ebpf::{
    EbpfContext as _,
    helpers::{bpf_probe_read_user, generated},
    programs::ProbeContext,
};
use core::mem::MaybeUninit;
use goflow_common::event::{GOID_UNKNOWN, Header};

/// The registers of the target at the probed instruction.
pub(crate) struct Registers<'a>(&'a aya_ebpf::bindings::pt_regs);

impl<'a> Registers<'a> {
    /// The registers of this hit.
    #[inline(always)]
    pub(crate) fn of(ctx: &'a ProbeContext) -> Self {
        // SAFETY: the kernel passes a valid pt_regs to a uprobe program for as long as it runs.
        Self(unsafe { &*ctx.as_ptr().cast() })
    }

    /// Instruction pointer: the probed instruction.
    #[inline(always)]
    pub(crate) fn ip(&self) -> u64 {
        self.0.rip
    }

    /// `R14`: the current `g` (`cmd/compile/abi-internal.md`, amd64, since Go 1.17).
    #[inline(always)]
    pub(crate) fn g(&self) -> u64 {
        self.0.r14
    }

    /// First integer argument or result: `AX`.
    #[inline(always)]
    pub(crate) fn arg0(&self) -> u64 {
        self.0.rax
    }

    /// Second integer argument: `BX`.
    #[inline(always)]
    pub(crate) fn arg1(&self) -> u64 {
        self.0.rbx
    }

    /// Third integer argument: `CX`.
    #[inline(always)]
    pub(crate) fn arg2(&self) -> u64 {
        self.0.rcx
    }

    /// Fourth integer argument: `DI`.
    #[inline(always)]
    pub(crate) fn arg3(&self) -> u64 {
        self.0.rdi
    }

    /// Fifth integer argument: `SI`.
    #[inline(always)]
    pub(crate) fn arg4(&self) -> u64 {
        self.0.rsi
    }

    /// Sixth integer argument: `R8`.
    #[inline(always)]
    pub(crate) fn arg5(&self) -> u64 {
        self.0.r8
    }

    /// Frame pointer of the caller: every probe site is before the function sets up its own frame, or at its `ret`.
    #[inline(always)]
    pub(crate) fn caller_fp(&self) -> u64 {
        self.0.rbp
    }

    /// Where the return address lies, for the same reason.
    #[inline(always)]
    pub(crate) fn sp(&self) -> u64 {
        self.0.rsp
    }

    /// True when a `jbe` here would branch: carry or zero is set.
    #[inline(always)]
    pub(crate) fn below_or_equal(&self) -> bool {
        const CARRY: u64 = 1 << 0;
        const ZERO: u64 = 1 << 6;
        self.0.eflags & (CARRY | ZERO) != 0
    }
}

/// Reads a value of the target; `None` when the page is not present.
#[inline(always)]
pub(crate) fn read<T>(addr: u64) -> Option<T> {
    // SAFETY: the helper checks the address and copies; `T` is one of the integer types and arrays used here, for
    // which every bit pattern is valid.
    unsafe { bpf_probe_read_user(addr as *const T) }.ok()
}

/// Reads words of the target into `to`, for what is too large to be returned; false when one is not present, and then
/// `to` is all zero.
#[inline(always)]
pub(crate) fn read_words<const N: usize>(addr: u64, to: &mut MaybeUninit<[u64; N]>) -> bool {
    let bytes = size_of::<[u64; N]>() as u32;
    // SAFETY: `to` is writable and as long as stated; the helper checks the address.
    unsafe { generated::bpf_probe_read_user(to.as_mut_ptr().cast(), bytes, addr as *const _) == 0 }
}

/// The return address of the probed function.
#[inline(always)]
pub(crate) fn return_address(regs: &Registers<'_>) -> u64 {
    read(regs.sp()).unwrap_or(0)
}

/// The return address of the function that called the probed one: what stands above its saved frame pointer.
#[inline(always)]
pub(crate) fn callers_return_address(regs: &Registers<'_>) -> u64 {
    read(regs.caller_fp().wrapping_add(8)).unwrap_or(0)
}

/// The goroutine on whose behalf the runtime runs on this thread, `g.m.curg`, where `R14` is a `g0`.
#[inline(always)]
pub(crate) fn goid_behind_system_stack(g: u64, header: &Header) -> u64 {
    let Some(m) = m_of(g, header.tid) else { return GOID_UNKNOWN };
    let Some(curg) = read::<u64>(m.wrapping_add(u64::from(config!(m_curg)))) else { return GOID_UNKNOWN };
    goid_of(curg, header.pid)
}
