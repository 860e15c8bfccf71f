//! Channels.

use crate::{
    aggregate,
    filter::{admits, admits_channel, records_anything},
    goid::goid_of,
    kernel::Kernel,
    maps::{config, count_filtered},
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
    let (chan, site_pc) = (regs.arg0(), return_address(regs));
    aggregate::made(&header, chan, site_pc, probe);
    if !admits_operation(&mut header, regs, chan) {
        return count_filtered(probe);
    }
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
        site_pc,
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
    operation::<K>(header, regs, probe, blocks(regs), |regs| regs.arg3());
}

/// `func chanrecv(c *hchan, ep unsafe.Pointer, block bool) (selected, received bool)` (1.18–1.27). Compiled code calls
/// it through `chanrecv1`, `chanrecv2` and `selectnbrecv`, so the receive stands one frame further up.
#[inline(always)]
pub(crate) fn chanrecv<K: Kernel>(regs: &Registers<'_>) {
    let probe = ProbeId::Chanrecv;
    let Some(header) = begin(regs, probe) else { return };
    operation::<K>(header, regs, probe, blocks(regs), callers_return_address);
}

/// `func closechan(c *hchan)` (1.18–1.27).
#[inline(always)]
pub(crate) fn closechan<K: Kernel>(regs: &Registers<'_>) {
    let probe = ProbeId::Closechan;
    let Some(header) = begin(regs, probe) else { return };
    operation::<K>(header, regs, probe, true, return_address);
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
    site_pc: impl FnOnce(&Registers<'_>) -> u64,
) {
    let chan = regs.arg0();
    aggregate::operation(&header, chan, probe);
    if !admits_operation(&mut header, regs, chan) {
        return count_filtered(probe);
    }
    if !blocking {
        header.flags |= FLAG_NONBLOCKING;
    }
    K::emit(ChanOp { header, chan, site_pc: site_pc(regs) }, probe);
}

/// Whether what the current goroutine does with `chan` is recorded; fills in who that is.
#[inline(always)]
fn admits_operation(header: &mut Header, regs: &Registers<'_>, chan: u64) -> bool {
    if !records_anything() || !admits_channel(chan, header.pid) {
        return false;
    }
    header.goid = goid_of(regs.g(), header.pid);
    admits(header, regs.g(), header.goid)
}
