//! `select`.

use crate::{
    record::{begin, emit},
    target::{Registers, goid_of, read, return_address},
};
use goflow_common::{
    MAX_SELECT_CASES,
    event::{FLAG_NONBLOCKING, FLAG_UNREADABLE, select::Select},
    probe::ProbeId,
};

/// `func selectgo(cas0 *scase, order0 *uint16, pc0 *uintptr, nsends, nrecvs int, block bool) (int, bool)`
/// (1.18–1.27); `scase` is `{c *hchan; elem unsafe.Pointer}` (runtime/select.go), send cases first.
#[inline(always)]
pub(crate) fn selectgo(regs: &Registers<'_>) {
    let probe = ProbeId::Selectgo;
    let Some(mut header) = begin(regs, probe) else { return };
    header.goid = goid_of(regs.g());
    if regs.arg5() & 0xff == 0 {
        header.flags |= FLAG_NONBLOCKING;
    }
    let mut record = Select {
        header,
        site_pc: return_address(regs),
        sends: regs.arg3() as u32,
        receives: regs.arg4() as u32,
        chans: [0; MAX_SELECT_CASES],
    };
    let cases = u64::from(record.sends) + u64::from(record.receives);
    // The cases lie on the caller's stack: a read past them stays on it, but near its end may meet an unmapped page.
    for (index, chan) in record.chans.iter_mut().enumerate() {
        if index as u64 >= cases {
            break;
        }
        match read::<u64>(regs.arg0().wrapping_add(index as u64 * 16)) {
            Some(value) => *chan = value,
            None => record.header.flags |= FLAG_UNREADABLE,
        }
    }
    emit(&record, probe);
}
