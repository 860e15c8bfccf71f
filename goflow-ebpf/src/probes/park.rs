//! Parking and readying.

use crate::{
    aggregate,
    filter::{admits, records_anything},
    goid::goid_of,
    kernel::{Kernel, copy_words},
    maps::{config, count_eventless, count_filtered},
    record::begin,
    stack::{Frames, Start},
    target::{Registers, goid_behind_system_stack, read},
    waits::{self, Ended},
};
use goflow_common::{
    MAX_STACK_DEPTH,
    event::{
        Header,
        park::{Park, ParkThatEnded, ParkWithStack, Ready, ReadyAfterPark, SHORT_STACK},
    },
    probe::ProbeId,
};

/// `func gopark(unlockf func(*g, unsafe.Pointer) bool, lock unsafe.Pointer, reason waitReason, …)` (1.18–1.27).
#[inline(always)]
pub(crate) fn gopark<K: Kernel>(regs: &Registers<'_>) {
    let probe = ProbeId::Gopark;
    let Some(mut header) = begin(regs, probe) else { return };
    let lock = regs.arg1();
    // `reason` is one byte wide, so only the low byte of its register is defined.
    let wait_reason = (regs.arg2() & 0xff) as u32;
    let is_kept = waits::begin(&header, regs.g(), lock, wait_reason);
    if (is_kept && config!(whole_waits) != 0) || !records_anything() {
        return count_filtered(probe);
    }
    header.goid = goid_of(regs.g(), header.pid);
    if !admits(&header, regs.g(), header.goid) {
        return count_filtered(probe);
    }
    let park = Park { header, lock, wait_reason, depth: 0 };
    let wanted = config!(stack_depth);
    let from = Start::of_hit(regs);
    if wanted == 0 {
        K::emit(park, probe);
    } else if wanted <= SHORT_STACK as u32 {
        K::emit_in_place(probe, |record| fill::<K, SHORT_STACK>(record, park, from, wanted));
    } else {
        K::emit_in_place(probe, |record| fill::<K, MAX_STACK_DEPTH>(record, park, from, wanted));
    }
}

/// Writes a park with its stack.
#[inline(always)]
fn fill<K: Kernel, const N: usize>(record: *mut ParkWithStack<N>, park: Park, from: Start, wanted: u32) {
    // SAFETY: `record` is reserved memory of its type.
    unsafe {
        copy_words(&raw mut (*record).park, &park);
        let to = (&raw mut (*record).stack).cast();
        (*record).park.depth = K::walk(from, Frames::<N> { to, wanted }) as u32;
    }
}

/// `func ready(gp *g, traceskip int, next bool)` (1.18–1.27), on the system stack of the goroutine that wakes.
#[inline(always)]
pub(crate) fn ready<K: Kernel>(regs: &Registers<'_>) {
    let probe = ProbeId::Ready;
    let Some(header) = begin(regs, probe) else { return };
    wake::<K>(header, regs.arg0(), probe, |header| goid_behind_system_stack(regs.g(), header));
}

/// The goroutine of `gp` becomes runnable, which `by` tells who did.
#[inline(always)]
fn wake<K: Kernel>(mut header: Header, gp: u64, probe: ProbeId, by: impl FnOnce(&Header) -> u64) {
    let ended = waits::end(&header, gp);
    if let Some(ended) = &ended {
        aggregate::waited(&header, gp, ended, probe);
    }
    let is_unwanted = match &ended {
        Some(ended) => config!(whole_waits) != 0 && !ended.is_wanted(header.pid),
        // Of what it waited for since before the first probe nothing is known, but that it was no channel that is asked for.
        None => config!(filter_channels) != 0,
    };
    if is_unwanted || !records_anything() {
        return count_filtered(probe);
    }
    let target = goid_of(gp, header.pid);
    if !admits(&header, gp, target) {
        return count_filtered(probe);
    }
    header.goid = by(&header);
    let ready = Ready { header, target };
    match ended {
        Some(ended) if config!(whole_waits) != 0 => emit_with_park::<K>(ready, gp, &ended, probe),
        _ => K::emit(ready, probe),
    }
}

/// Sends a wake-up with the park that it ends, whose stack is still there.
#[inline(always)]
fn emit_with_park<K: Kernel>(ready: Ready, gp: u64, ended: &Ended, probe: ProbeId) {
    let fixed = ParkThatEnded {
        ready,
        parked_ns: ended.parked.t_ns,
        lock: ended.parked.lock,
        wait_reason: ended.parked.wait_reason,
        depth: 0,
    };
    let wanted = config!(stack_depth);
    let from = if wanted == 0 {
        None
    } else {
        // `gopark` has called `mcall`, which saves its frame pointer and has no frame of its own (runtime/asm_amd64.s).
        read(gp.wrapping_add(u64::from(config!(g_sched_bp)))).and_then(Start::above)
    };
    if wanted <= SHORT_STACK as u32 {
        K::emit_in_place(probe, |record| fill_with_park::<K, SHORT_STACK>(record, &fixed, from, wanted));
    } else {
        K::emit_in_place(probe, |record| fill_with_park::<K, MAX_STACK_DEPTH>(record, &fixed, from, wanted));
    }
}

#[inline(always)]
fn fill_with_park<K: Kernel, const N: usize>(
    record: *mut ReadyAfterPark<N>,
    fixed: &ParkThatEnded,
    from: Option<Start>,
    wanted: u32,
) {
    // SAFETY: `record` is reserved memory of its type.
    unsafe {
        copy_words(&raw mut (*record).fixed, fixed);
        if let Some(from) = from {
            let to = (&raw mut (*record).stack).cast();
            (*record).fixed.depth = K::walk(from, Frames::<N> { to, wanted }) as u32;
        }
    }
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
    wake::<K>(header, gp, ProbeId::NetpollReady, |_| 0);
    true
}
