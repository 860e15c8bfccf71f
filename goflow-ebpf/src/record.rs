//! From a hit to the start of a record.

use crate::{
    maps::{TARGETS, config},
    target::Registers,
};
use aya_ebpf::helpers::bpf_get_current_pid_tgid;
use goflow_common::{event::Header, probe::ProbeId};

/// Decides whether this hit is recorded, and fills the common part of its record (without the goid, whose source differs
/// by probe, and without the time, which is set when there is room for the record).
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
    Some(Header { t_ns: 0, goid: 0, ip: regs.ip(), pid, tid: pid_tgid as u32, probe: probe as u32, flags: 0 })
}
