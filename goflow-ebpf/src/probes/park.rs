//! Parking and readying.

use crate::{
    goid::goid_of,
    maps::config,
    record::{begin, emit, emit_in_place},
    target::{Registers, goid_behind_system_stack, read, return_address},
};
use goflow_common::{
    MAX_STACK_DEPTH,
    event::park::{Park, ParkWithStack, Ready, SHORT_STACK},
    probe::ProbeId,
};

/// `func gopark(unlockf func(*g, unsafe.Pointer) bool, lock unsafe.Pointer, reason waitReason, …)` (1.18–1.27).
#[inline(always)]
pub(crate) fn gopark(regs: &Registers<'_>) {
    let probe = ProbeId::Gopark;
    let Some(mut header) = begin(regs, probe) else { return };
    header.goid = goid_of(regs.g(), header.pid);
    // `reason` is one byte wide, so only the low byte of its register is defined.
    let wait_reason = (regs.arg2() & 0xff) as u32;
    let park = Park { header, lock: regs.arg1(), wait_reason, depth: 0 };
    let wanted = config!(stack_depth);
    if wanted == 0 {
        emit(&park, probe);
    } else if wanted <= SHORT_STACK as u32 {
        emit_in_place(probe, |record| fill::<SHORT_STACK>(record, park, regs, wanted));
    } else {
        emit_in_place(probe, |record| fill::<MAX_STACK_DEPTH>(record, park, regs, wanted));
    }
}

/// Writes a park with the return addresses along the chain of saved frame pointers (`[fp]` = next, `[fp + 8]` = return
/// address).
#[inline(always)]
fn fill<const N: usize>(record: *mut ParkWithStack<N>, park: Park, regs: &Registers<'_>, wanted: u32) {
    // SAFETY: `record` is reserved memory of its type, and every index below is less than `N`.
    unsafe {
        copy_words(&raw mut (*record).park, &park);
        let stack = (&raw mut (*record).stack).cast::<u64>();
        *stack = return_address(regs);
        let mut fp = regs.caller_fp();
        let mut depth = 1;
        while depth < N {
            if depth >= wanted as usize || fp == 0 {
                break;
            }
            let Some([next, pc]) = read::<[u64; 2]>(fp) else { break };
            *stack.add(depth) = pc;
            depth += 1;
            // A stack grows down, so the chain only ever leads up; anything else is not a frame.
            if next <= fp {
                break;
            }
            fp = next;
        }
        (*record).park.depth = depth as u32;
    }
}

/// Copies word by word. An assignment would become a call of a byte-wise `memmove`.
///
/// # Safety
/// `to` is valid for writing and aligned to eight bytes.
#[inline(always)]
unsafe fn copy_words(to: *mut Park, from: &Park) {
    let (to, from) = (to.cast::<u64>(), core::ptr::from_ref(from).cast::<u64>());
    for word in 0..size_of::<Park>() / 8 {
        // SAFETY: both are records of that many words; the caller vouches for `to`.
        unsafe { to.add(word).write_volatile(*from.add(word)) };
    }
}

/// `func ready(gp *g, traceskip int, next bool)` (1.18–1.27), on the system stack of the goroutine that wakes.
#[inline(always)]
pub(crate) fn ready(regs: &Registers<'_>) {
    let probe = ProbeId::Ready;
    let Some(mut header) = begin(regs, probe) else { return };
    header.goid = goid_behind_system_stack(regs.g(), header.pid);
    emit(&Ready { header, target: goid_of(regs.arg0(), header.pid) }, probe);
}
