//! Parking and readying.

use crate::{
    goid::goid_of,
    kernel::{Kernel, copy_words},
    maps::{config, count_eventless},
    record::begin,
    stack::Frames,
    target::{Registers, goid_behind_system_stack, read},
};
use goflow_common::{
    MAX_STACK_DEPTH,
    event::{
        Header,
        park::{Park, ParkWithStack, Ready, SHORT_STACK},
    },
    probe::ProbeId,
};

/// `func gopark(unlockf func(*g, unsafe.Pointer) bool, lock unsafe.Pointer, reason waitReason, …)` (1.18–1.27).
#[inline(always)]
pub(crate) fn gopark<K: Kernel>(regs: &Registers<'_>) {
    let probe = ProbeId::Gopark;
    let Some(mut header) = begin(regs, probe) else { return };
    header.goid = goid_of(regs.g(), header.pid);
    // `reason` is one byte wide, so only the low byte of its register is defined.
    let wait_reason = (regs.arg2() & 0xff) as u32;
    let park = Park { header, lock: regs.arg1(), wait_reason, depth: 0 };
    let wanted = config!(stack_depth);
    if wanted == 0 {
        K::emit(park, probe);
    } else if wanted <= SHORT_STACK as u32 {
        K::emit_in_place(probe, |record| fill::<K, SHORT_STACK>(record, park, regs, wanted));
    } else {
        K::emit_in_place(probe, |record| fill::<K, MAX_STACK_DEPTH>(record, park, regs, wanted));
    }
}

/// Writes a park with its stack.
#[inline(always)]
fn fill<K: Kernel, const N: usize>(
    record: *mut ParkWithStack<N>,
    park: Park,
    regs: &Registers<'_>,
    wanted: u32,
) {
    // SAFETY: `record` is reserved memory of its type.
    unsafe {
        copy_words(&raw mut (*record).park, &park);
        let to = (&raw mut (*record).stack).cast();
        (*record).park.depth = K::walk(regs, Frames::<N> { to, wanted }) as u32;
    }
}

/// `func ready(gp *g, traceskip int, next bool)` (1.18–1.27), on the system stack of the goroutine that wakes.
#[inline(always)]
pub(crate) fn ready<K: Kernel>(regs: &Registers<'_>) {
    let probe = ProbeId::Ready;
    let Some(mut header) = begin(regs, probe) else { return };
    header.goid = goid_behind_system_stack(regs.g(), &header);
    K::emit(Ready { header, target: goid_of(regs.arg0(), header.pid) }, probe);
}

/// `func netpollready(toRun *gList, pd *pollDesc, mode int32)` (1.18–1.27; from 1.22 on with a result), on a system stack:
/// the runtime puts who waits for the descriptor into a run queue without calling `ready`.
#[inline(always)]
pub(crate) fn netpollready<K: Kernel>(regs: &Registers<'_>) {
    // `mode` is one of these or their sum (runtime/netpoll.go).
    const READ: u32 = b'r' as u32;
    const WRITE: u32 = b'w' as u32;
    let probe = ProbeId::NetpollReady;
    let Some(header) = begin(regs, probe) else { return };
    let mode = regs.arg2() as u32;
    let pd = regs.arg1();
    let wakes_reader = (mode == READ || mode == READ + WRITE)
        && wake_by_poller::<K>(header, pd.wrapping_add(u64::from(config!(poll_desc_rg))));
    let wakes_writer = (mode == WRITE || mode == READ + WRITE)
        && wake_by_poller::<K>(header, pd.wrapping_add(u64::from(config!(poll_desc_wg))));
    if !wakes_reader && !wakes_writer {
        count_eventless(probe);
    }
}

/// Tells that the goroutine in `slot`, a `pollDesc.rg` or `.wg`, becomes runnable; false when none is there.
#[inline(always)]
fn wake_by_poller<K: Kernel>(header: Header, slot: u64) -> bool {
    /// The largest of the states that are not a `g`: `pdNil`, `pdReady`, `pdWait` (runtime/netpoll.go).
    const PD_WAIT: u64 = 2;
    let Some(gp) = read::<u64>(slot).filter(|&gp| gp > PD_WAIT) else { return false };
    K::emit(Ready { header, target: goid_of(gp, header.pid) }, ProbeId::NetpollReady);
    true
}
