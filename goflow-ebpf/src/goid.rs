//! Which goroutine a `g` is.
//!
//! Reading `g.goid` costs the target about 140 ns a hit, more than sending the record. So each CPU remembers answers.
//! An answer stays true until the runtime gives the `g` to another goroutine, which only `newproc1` does: its probe
//! raises the epoch, and what was remembered under an older epoch is not used. User space turns the memory on once
//! that probe is in and off before it goes out, because only in between does no `newproc1` go unseen. What
//! never passes through `newproc1` (a `g0`, goid 0) is not remembered at all.
//!
//! The `m` of a `g` on a thread is remembered in the same way. That is true for as long as the thread lives, because a
//! thread has one `m`, or for callbacks from C one after the other, each with a `g0` of its own (runtime/proc.go,
//! `allocm`, `needm`).

use crate::{
    maps::{GOID_EPOCH, GOID_MEMORY, add, config},
    target::read,
};
use goflow_common::{event::GOID_UNKNOWN, goid::Epoch};

/// Answers remembered on one CPU; a power of two.
const SLOTS: u64 = 64;

/// What one CPU remembers.
pub(crate) type Memory = [Answer; SLOTS as usize];

/// One answer. The question is stored XORed with it: a task that preempts another on the same CPU can mix two answers in
/// one slot, and then the two words do not fit together.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Answer {
    question_and_answer: u64,
    answer: u64,
}

/// `gp.goid` of process `pid`, 0 for a nil `gp`, [`GOID_UNKNOWN`] when it cannot be read.
#[inline(always)]
pub(crate) fn goid_of(gp: u64, pid: u32) -> u64 {
    if gp == 0 {
        return 0;
    }
    remembered(gp, pid, || read_goid(gp), |goid| goid != 0 && goid != GOID_UNKNOWN)
}

/// The `m` of `gp`, which runs on thread `tid`; `None` when it cannot be read.
#[inline(always)]
pub(crate) fn m_of(gp: u64, tid: u32) -> Option<u64> {
    // An address is far below this: the two kinds of questions are never the same.
    const ABOUT_M: u64 = 1 << 63;
    let read_m = || read(gp.wrapping_add(u64::from(config!(g_m)))).unwrap_or(0);
    match remembered(gp | ABOUT_M, tid, read_m, |m| m != 0) {
        0 => None,
        m => Some(m),
    }
}

/// The return address of the `go` statement that created the goroutine of `gp`; 0 where there is none, or it cannot be read.
#[inline(always)]
pub(crate) fn created_at(gp: u64, pid: u32) -> u64 {
    const ABOUT_CREATION: u64 = 1 << 62;
    let read_gopc = || read(gp.wrapping_add(u64::from(config!(g_gopc)))).unwrap_or(0);
    remembered(gp | ABOUT_CREATION, pid, read_gopc, |pc| pc != 0)
}

/// What is known of `gp` and `id`, else what `read` gives, which is remembered if it is `worth_it`.
#[inline(always)]
fn remembered(gp: u64, id: u32, read: impl FnOnce() -> u64, worth_it: impl FnOnce(u64) -> bool) -> u64 {
    let Some(question) = question(gp, id) else { return read() };
    let Some(memory) = GOID_MEMORY.get_ptr_mut(0) else { return read() };
    // SAFETY: the pointer is to the map's value, and the slot is below `SLOTS`.
    let slot = unsafe { memory.cast::<Answer>().add((question % SLOTS) as usize) };
    // SAFETY: as above; volatile because a preempting task may change it between the reads.
    let known = unsafe { slot.read_volatile() };
    if known.question_and_answer ^ known.answer == question {
        return known.answer;
    }
    let answer = read();
    if worth_it(answer) {
        // SAFETY: as above.
        unsafe { slot.write_volatile(Answer { question_and_answer: question ^ answer, answer }) };
    }
    answer
}

/// `gp.goid`, from the target's memory.
#[inline(always)]
pub(crate) fn read_goid(gp: u64) -> u64 {
    read(gp.wrapping_add(u64::from(config!(g_goid)))).unwrap_or(GOID_UNKNOWN)
}

/// Everything the answer depends on, mixed into one word; `None` while nothing may be remembered.
#[inline(always)]
fn question(gp: u64, id: u32) -> Option<u64> {
    let epoch = GOID_EPOCH.get_ptr(0)?;
    // SAFETY: the pointer is to the map's value; volatile because other CPUs and user space write it.
    let epoch = Epoch(unsafe { epoch.read_volatile() });
    if !epoch.is_on() {
        return None;
    }
    // Odd constants with well-spread bits (the golden ratio's and xxHash's).
    let mixed = gp.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ epoch.0.wrapping_mul(0xc2b2_ae3d_27d4_eb4f);
    let mixed = mixed.wrapping_add(u64::from(id).wrapping_mul(0x1656_67b1_9e37_79f9));
    Some(mixed ^ (mixed >> 32))
}

/// A `g` has got a new goroutine: every answer so far is void.
#[inline(always)]
pub(crate) fn forget() {
    if let Some(epoch) = GOID_EPOCH.get_ptr_mut(0) {
        // SAFETY: the pointer is to the map's value.
        unsafe { add(epoch, Epoch::STEP) };
    }
}
