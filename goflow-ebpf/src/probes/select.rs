//! `select`.

use crate::{
    filter::{admits, admits_channel, records_anything},
    goid::goid_of,
    kernel::Kernel,
    maps::{config, count_filtered},
    record::begin,
    target::{Registers, read, return_address},
    waits,
};
use goflow_common::{
    MAX_SELECT_CASES,
    event::{FLAG_NONBLOCKING, FLAG_UNREADABLE, select::Select},
    probe::ProbeId,
};

/// `func selectgo(cas0 *scase, order0 *uint16, pc0 *uintptr, nsends, nrecvs int, block bool) (int, bool)`
/// (1.18–1.27); `scase` is `{c *hchan; elem unsafe.Pointer}` (runtime/select.go), send cases first.
#[inline(always)]
pub(crate) fn selectgo<K: Kernel>(regs: &Registers<'_>) {
    let probe = ProbeId::Selectgo;
    let Some(mut header) = begin(regs, probe) else { return };
    if !records_anything() {
        return count_filtered(probe);
    }
    header.goid = goid_of(regs.g(), header.pid);
    if regs.arg5() & 0xff == 0 {
        header.flags |= FLAG_NONBLOCKING;
    }
    let sends = regs.arg3() as u32;
    let receives = regs.arg4() as u32;
    // All at once, since a read costs the target the same whatever its size; user space knows how many are meant.
    let mut chans = [0; MAX_SELECT_CASES];
    if let Some(cases) = read::<[[u64; 2]; MAX_SELECT_CASES]>(regs.arg0()) {
        for (chan, [hchan, _elem]) in chans.iter_mut().zip(cases) {
            *chan = hchan;
        }
    } else if !read_one_by_one(regs.arg0(), sends.wrapping_add(receives), &mut chans) {
        header.flags |= FLAG_UNREADABLE;
    }
    let cases = (sends.wrapping_add(receives) as usize).min(MAX_SELECT_CASES);
    let is_wanted = has_wanted_channel(&chans, cases, header.pid);
    waits::selects(&header, regs.g(), is_wanted);
    if !is_wanted || !admits(&header, regs.g(), header.goid) {
        return count_filtered(probe);
    }
    K::emit(Select { header, site_pc: return_address(regs), sends, receives, chans }, probe);
}

/// Whether one of the first `count` channels is recorded; of a longer `select` the others are not known.
#[inline(always)]
fn has_wanted_channel(chans: &[u64; MAX_SELECT_CASES], count: usize, pid: u32) -> bool {
    config!(filter_channels) == 0
        || chans.iter().enumerate().any(|(index, &chan)| index < count && admits_channel(chan, pid))
}

/// Reads `count` cases, for an array that lies at the end of a stack with nothing behind it; false when one is unreadable.
#[inline(always)]
fn read_one_by_one(cases: u64, count: u32, chans: &mut [u64; MAX_SELECT_CASES]) -> bool {
    const CASE_BYTES: u64 = 16;
    let mut at = cases;
    for (index, chan) in chans.iter_mut().enumerate() {
        if index as u32 >= count {
            break;
        }
        let Some(hchan) = read(at) else { return false };
        *chan = hchan;
        at = at.wrapping_add(CASE_BYTES);
    }
    true
}
