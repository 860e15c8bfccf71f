//! Birth and death of goroutines.

use crate::{
    aggregate,
    filter::admits,
    goid::{forget, goid_of, read_goid},
    kernel::Kernel,
    maps::{config, count_filtered},
    record::begin,
    target::{Registers, goid_behind_system_stack, read},
};
use goflow_common::{
    event::{
        FLAG_UNREADABLE,
        goroutine::{GoroutineCreate, GoroutineExit},
    },
    probe::ProbeId,
};

/// Before `ret` of `func newproc1(fn *funcval, callergp *g, callerpc uintptr, …) *g` (1.18–1.27): `AX` is the new `g`,
/// complete but not yet runnable; it runs on the system stack of its creator.
#[inline(always)]
pub(crate) fn newproc1<K: Kernel>(regs: &Registers<'_>) {
    let probe = ProbeId::Newproc1;
    let Some(mut header) = begin(regs, probe) else { return };
    forget();
    let new = regs.arg0();
    let created_pc = read::<u64>(new.wrapping_add(u64::from(config!(g_gopc))));
    aggregate::created(&header, created_pc.unwrap_or(0), probe);
    let child = read_goid(new);
    if !admits(&header, new, child) {
        return count_filtered(probe);
    }
    header.goid = goid_behind_system_stack(regs.g(), &header);
    let start_pc = read::<u64>(new.wrapping_add(u64::from(config!(g_startpc))));
    if created_pc.is_none() || start_pc.is_none() {
        header.flags |= FLAG_UNREADABLE;
    }
    let record = GoroutineCreate {
        header,
        child,
        created_pc: created_pc.unwrap_or(0),
        start_pc: start_pc.unwrap_or(0),
    };
    K::emit(record, probe);
}

/// `func goexit0(gp *g)` (1.18–1.27), entered through `mcall` on `g0`.
#[inline(always)]
pub(crate) fn goexit0<K: Kernel>(regs: &Registers<'_>) {
    let probe = ProbeId::Goexit0;
    let Some(mut header) = begin(regs, probe) else { return };
    let gp = regs.arg0();
    aggregate::exited(&header, gp, probe);
    header.goid = goid_of(gp, header.pid);
    if !admits(&header, gp, header.goid) {
        return count_filtered(probe);
    }
    K::emit(GoroutineExit { header }, probe);
}
