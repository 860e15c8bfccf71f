//! `select`.

use crate::{
    goid::goid_of,
    kernel::Kernel,
    record::begin,
    target::{Registers, read, return_address},
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
    header.goid = goid_of(regs.g(), header.pid);
    if regs.arg5() & 0xff == 0 {
        header.flags |= FLAG_NONBLOCKING;
    }
    let sends = regs.arg3() as u32;
    let receives = regs.arg4() as u32;
    // All at once, since a read costs the target the same whatever its size. The cases lie in the caller's frame, so what
    // follows them is readable too, and user space knows how many are meant.
    let cases = read::<[[u64; 2]; MAX_SELECT_CASES]>(regs.arg0());
    if cases.is_none() {
        header.flags |= FLAG_UNREADABLE;
    }
    let mut chans = [0; MAX_SELECT_CASES];
    if let Some(cases) = cases {
        for (chan, [hchan, _elem]) in chans.iter_mut().zip(cases) {
            *chan = hchan;
        }
    }
    K::emit(Select { header, site_pc: return_address(regs), sends, receives, chans }, probe);
}
