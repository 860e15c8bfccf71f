//! Parking and readying.

use crate::{
    maps::config,
    record::{begin, emit, emit_prefix},
    target::{Registers, goid_behind_system_stack, goid_of, read, return_address},
};
use goflow_common::{
    MAX_STACK_DEPTH,
    event::park::{Park, ParkWithStack, Ready},
    probe::ProbeId,
};

/// `func gopark(unlockf func(*g, unsafe.Pointer) bool, lock unsafe.Pointer, reason waitReason, …)` (1.18–1.27).
#[inline(always)]
pub(crate) fn gopark(regs: &Registers<'_>) {
    let probe = ProbeId::Gopark;
    let Some(mut header) = begin(regs, probe) else { return };
    header.goid = goid_of(regs.g());
    let park = Park { header, lock: regs.arg1(), wait_reason: regs.arg2() as u8, depth: 0, reserved: [0; 6] };
    let mut record = ParkWithStack { park, stack: [0; MAX_STACK_DEPTH] };
    let depth = walk_frame_pointers(regs, &mut record.stack);
    record.park.depth = depth as u8;
    let bytes = size_of::<Park>() as u64 + depth * 8;
    if bytes <= size_of::<ParkWithStack>() as u64 {
        emit_prefix(&record, bytes, probe);
    }
}

/// Collects return addresses along the chain of saved frame pointers (`[fp]` = next, `[fp + 8]` = return address)
/// and returns how many.
#[inline(always)]
fn walk_frame_pointers(regs: &Registers<'_>, stack: &mut [u64; MAX_STACK_DEPTH]) -> u64 {
    let wanted = config!(stack_depth) as usize;
    if wanted == 0 {
        return 0;
    }
    stack[0] = return_address(regs);
    let mut fp = regs.caller_fp();
    let mut depth = 1;
    while depth < MAX_STACK_DEPTH {
        if depth >= wanted || fp == 0 {
            break;
        }
        let Some([next, pc]) = read::<[u64; 2]>(fp) else { break };
        stack[depth] = pc;
        depth += 1;
        // A stack grows down, so the chain only ever leads up; anything else is not a frame.
        if next <= fp {
            break;
        }
        fp = next;
    }
    depth as u64
}

/// `func ready(gp *g, traceskip int, next bool)` (1.18–1.27), on the system stack of the goroutine that wakes.
#[inline(always)]
pub(crate) fn ready(regs: &Registers<'_>) {
    let probe = ProbeId::Ready;
    let Some(mut header) = begin(regs, probe) else { return };
    header.goid = goid_behind_system_stack(regs.g());
    emit(&Ready { header, target: goid_of(regs.arg0()) }, probe);
}
