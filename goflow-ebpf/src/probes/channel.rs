//! Channels.

use crate::{
    goid::goid_of,
    kernel::Kernel,
    maps::config,
    record::begin,
    target::{Registers, callers_return_address, read, return_address},
};
use goflow_common::{
    event::{
        FLAG_NONBLOCKING, FLAG_UNREADABLE, Header,
        channel::{ChanMake, ChanOp},
    },
    probe::ProbeId,
};

/// At `ret` of `func makechan(t *chantype, size int) *hchan` (1.18–1.27).
#[inline(always)]
pub(crate) fn makechan<K: Kernel>(regs: &Registers<'_>) {
    let probe = ProbeId::Makechan;
    let Some(mut header) = begin(regs, probe) else { return };
    header.goid = goid_of(regs.g(), header.pid);
    let chan = regs.arg0();
    // `hchan` starts with `qcount uint; dataqsiz uint` in every version (runtime/chan.go).
    let sizes = read::<[u64; 2]>(chan);
    let elem_size = read::<u16>(chan.wrapping_add(u64::from(config!(hchan_elemsize))));
    let elem_type = read::<u64>(chan.wrapping_add(u64::from(config!(hchan_elemtype))));
    if sizes.is_none() || elem_size.is_none() || elem_type.is_none() {
        header.flags |= FLAG_UNREADABLE;
    }
    let record = ChanMake {
        header,
        chan,
        site_pc: return_address(regs),
        cap: sizes.unwrap_or([0; 2])[1],
        elem_type: elem_type.unwrap_or(0),
        elem_size: u32::from(elem_size.unwrap_or(0)),
        reserved: 0,
    };
    K::emit(record, probe);
}

/// `func chansend(c *hchan, ep unsafe.Pointer, block bool, callerpc uintptr) bool` (1.18–1.27).
#[inline(always)]
pub(crate) fn chansend<K: Kernel>(regs: &Registers<'_>) {
    let probe = ProbeId::Chansend;
    let Some(header) = begin(regs, probe) else { return };
    operation::<K>(header, regs, probe, blocks(regs), regs.arg3());
}

/// `func chanrecv(c *hchan, ep unsafe.Pointer, block bool) (selected, received bool)` (1.18–1.27). Compiled code calls
/// it through `chanrecv1`, `chanrecv2` and `selectnbrecv`, so the receive stands one frame further up.
#[inline(always)]
pub(crate) fn chanrecv<K: Kernel>(regs: &Registers<'_>) {
    let probe = ProbeId::Chanrecv;
    let Some(header) = begin(regs, probe) else { return };
    operation::<K>(header, regs, probe, blocks(regs), callers_return_address(regs));
}

/// `func closechan(c *hchan)` (1.18–1.27).
#[inline(always)]
pub(crate) fn closechan<K: Kernel>(regs: &Registers<'_>) {
    let probe = ProbeId::Closechan;
    let Some(header) = begin(regs, probe) else { return };
    operation::<K>(header, regs, probe, true, return_address(regs));
}

/// The `block bool` argument: only its low byte is defined.
#[inline(always)]
fn blocks(regs: &Registers<'_>) -> bool {
    regs.arg2() & 0xff != 0
}

/// The `hchan` is not read: that would cost the target as much as everything else here.
#[inline(always)]
fn operation<K: Kernel>(
    mut header: Header,
    regs: &Registers<'_>,
    probe: ProbeId,
    blocking: bool,
    site_pc: u64,
) {
    header.goid = goid_of(regs.g(), header.pid);
    if !blocking {
        header.flags |= FLAG_NONBLOCKING;
    }
    K::emit(ChanOp { header, chan: regs.arg0(), site_pc }, probe);
}
