//! From a hit to a record in the ring buffer.

use crate::{
    maps::{EVENTS, HITS, LOST, TARGETS, config, count},
    target::Registers,
};
use aya_ebpf::{
    bindings::BPF_RB_NO_WAKEUP,
    helpers::{bpf_get_current_pid_tgid, bpf_ktime_get_ns, generated::bpf_ringbuf_output},
};
use goflow_common::{event::Header, probe::ProbeId};

/// Decides whether this hit is recorded, counts it, and fills the common part of its record (without the goid, whose
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
    count(&HITS, probe);
    Some(Header {
        // SAFETY: the helper has no preconditions.
        t_ns: unsafe { bpf_ktime_get_ns() },
        goid: 0,
        ip: regs.ip(),
        pid,
        tid: pid_tgid as u32,
        probe: probe as u8,
        flags: 0,
        reserved: [0; 6],
    })
}

/// Sends a whole record.
#[inline(always)]
pub(crate) fn emit<T>(record: &T, probe: ProbeId) {
    emit_prefix(record, size_of::<T>() as u64, probe);
}

/// Sends the first `bytes` bytes of a record; the caller bounds `bytes` by the size of `T`.
#[inline(always)]
pub(crate) fn emit_prefix<T>(record: &T, bytes: u64, probe: ProbeId) {
    // The reader polls, so a full record costs no wake-up (+6 µs a hit when forced).
    // SAFETY: `record` is initialised and at least `bytes` long; the verifier checks the bound again.
    let result = unsafe {
        bpf_ringbuf_output(
            (&raw const EVENTS).cast_mut().cast(),
            core::ptr::from_ref(record).cast_mut().cast(),
            bytes,
            u64::from(BPF_RB_NO_WAKEUP),
        )
    };
    if result != 0 {
        count(&LOST, probe);
    }
}
