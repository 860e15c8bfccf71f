//! From a hit to a record in the ring buffer.

use crate::{
    maps::{EVENTS, TARGETS, config, count_lost},
    target::Registers,
};
use aya_ebpf::{
    bindings::BPF_RB_NO_WAKEUP,
    helpers::{bpf_get_current_pid_tgid, bpf_ktime_get_ns, generated::bpf_ringbuf_output},
};
use goflow_common::{event::Header, probe::ProbeId};

/// The reader polls: a forced wake-up would add 6 µs to a hit.
const NO_WAKEUP: u64 = BPF_RB_NO_WAKEUP as u64;

/// Decides whether this hit is recorded, and fills the common part of its record (without the goid, whose
/// source differs by probe).
#[inline(always)]
pub(crate) fn begin(regs: &Registers<'_>, probe: ProbeId) -> Option<Header> {
    if config!(on_stack_check) & (1 << probe as u32) != 0 && regs.below_or_equal() {
        return None;
    }
    let pid_tgid = bpf_get_current_pid_tgid();
    let pid = (pid_tgid >> 32) as u32;
    // SAFETY: the value is not kept beyond this expression, and nobody deletes while we look.
    if config!(filter_targets) != 0 && unsafe { TARGETS.get(pid) }.is_none() {
        return None;
    }
    Some(Header {
        // SAFETY: the helper has no preconditions.
        t_ns: unsafe { bpf_ktime_get_ns() },
        goid: 0,
        ip: regs.ip(),
        pid,
        tid: pid_tgid as u32,
        probe: probe as u32,
        flags: 0,
    })
}

/// Sends a record.
#[inline(always)]
pub(crate) fn emit<T>(record: &T, probe: ProbeId) {
    // SAFETY: `record` is initialised and as long as stated.
    let result = unsafe {
        bpf_ringbuf_output(
            (&raw const EVENTS).cast_mut().cast(),
            core::ptr::from_ref(record).cast_mut().cast(),
            size_of::<T>() as u64,
            NO_WAKEUP,
        )
    };
    if result != 0 {
        count_lost(probe);
    }
}

/// Reserves room for a record that is too large for the stack, lets `fill` write it and sends it.
#[inline(always)]
pub(crate) fn emit_in_place<T: 'static>(probe: ProbeId, fill: impl FnOnce(*mut T)) {
    match EVENTS.reserve::<T>(0) {
        Some(mut entry) => {
            fill(entry.as_mut_ptr());
            entry.submit(NO_WAKEUP);
        }
        None => count_lost(probe),
    }
}
