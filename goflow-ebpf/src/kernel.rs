//! What the programs may assume of the kernel they run in.
//!
//! Two entry points lead to the same handlers: one program for kernels with the multi-uprobe link (Linux 6.6 and later),
//! and one per probe for any kernel from 5.8 on. The former can do without the kernel's ring buffer, whose calls cost
//! the target more than the whole rest of a record, and read the stack in larger pieces. A handler is generic over which.

use crate::{
    maps::{EVENTS, RING_CHUNKS, RING_POSITIONS, config, count_lost},
    stack::{self, Frames, Start},
};
use aya_ebpf::{
    bindings::BPF_RB_NO_WAKEUP,
    helpers::{bpf_get_smp_processor_id, bpf_ktime_get_ns, generated::bpf_ringbuf_output},
};
use core::{arch::asm, mem::offset_of};
use goflow_common::{
    event::Header,
    probe::ProbeId,
    ring::{Geometry, Positions, SLOT_WORDS, slots_of},
};

/// The reader polls: a forced wake-up would add 6 µs to a hit.
const NO_WAKEUP: u64 = BPF_RB_NO_WAKEUP as u64;

/// What a handler leaves to the kernel it runs in.
pub(crate) trait Kernel {
    /// Gives a record its time and sends it, or counts it as lost.
    fn emit<T: Copy + 'static>(record: T, probe: ProbeId);

    /// Makes room for a record that is too large for the stack, lets `fill` write it, gives it its time and sends it, or
    /// counts it as lost.
    fn emit_in_place<T: 'static>(probe: ProbeId, fill: impl FnOnce(*mut T));

    /// Walks the chain of saved frame pointers; see [`stack`].
    fn walk<const N: usize>(from: Start, frames: Frames<N>) -> usize;
}

/// Any kernel from 5.8 on.
pub(crate) struct Any;

impl Kernel for Any {
    #[inline(always)]
    fn emit<T: Copy + 'static>(mut record: T, probe: ProbeId) {
        // SAFETY: the record is initialised and as long as stated.
        let result = unsafe {
            set_time(&raw mut record);
            bpf_ringbuf_output(
                (&raw const EVENTS).cast_mut().cast(),
                (&raw mut record).cast(),
                size_of::<T>() as u64,
                NO_WAKEUP,
            )
        };
        if result != 0 {
            count_lost(probe);
        }
    }

    #[inline(always)]
    fn emit_in_place<T: 'static>(probe: ProbeId, fill: impl FnOnce(*mut T)) {
        match EVENTS.reserve::<T>(0) {
            Some(mut entry) => {
                fill(entry.as_mut_ptr());
                // SAFETY: the place is reserved for the record.
                unsafe { set_time(entry.as_mut_ptr()) };
                entry.submit(NO_WAKEUP);
            }
            None => count_lost(probe),
        }
    }

    #[inline(always)]
    fn walk<const N: usize>(from: Start, frames: Frames<N>) -> usize {
        stack::walk_frame_by_frame(from, frames)
    }
}

/// A kernel with the multi-uprobe link.
pub(crate) struct Since6_6;

impl Kernel for Since6_6 {
    #[inline(always)]
    fn emit<T: Copy + 'static>(record: T, probe: ProbeId) {
        Self::emit_in_place(probe, |place: *mut T| {
            // SAFETY: the place is reserved for a `T`, and both are aligned to eight bytes.
            unsafe { copy_words(place, &record) }
        });
    }

    #[inline(always)]
    fn emit_in_place<T: 'static>(probe: ProbeId, fill: impl FnOnce(*mut T)) {
        let Some(commit) = reserve(slots_of(size_of::<T>())) else { return count_lost(probe) };
        // SAFETY: the slots begin with the commit word, and behind it is room for a `T`, which nobody else writes and the
        // reader does not read before the commit. x86 keeps the order of the stores.
        unsafe {
            let record = commit.add(1).cast::<T>();
            fill(record);
            // Not before the reservation: the reader relies on it.
            set_time(record);
            commit.write_volatile(size_of::<T>() as u64);
        }
    }

    #[inline(always)]
    fn walk<const N: usize>(from: Start, frames: Frames<N>) -> usize {
        stack::walk_in_windows(from, frames)
    }
}

/// Sets `Header::t_ns`, with which every record begins.
///
/// # Safety
/// `record` is valid for writing.
#[inline(always)]
unsafe fn set_time<T>(record: *mut T) {
    const { assert!(size_of::<T>() >= size_of::<Header>() && offset_of!(Header, t_ns) == 0) };
    // SAFETY: the caller vouches for `record`; the helper has no preconditions.
    unsafe { record.cast::<u64>().write_volatile(bpf_ktime_get_ns()) };
}

/// Reserves `slots` slots in this CPU's ring and returns their first word; `None` when they are not free.
#[inline(always)]
fn reserve(slots: u64) -> Option<*mut u64> {
    let geometry = Geometry { rings: config!(rings), chunks: config!(ring_chunks) };
    // SAFETY: the helper has no preconditions.
    let ring = unsafe { bpf_get_smp_processor_id() } & (geometry.rings - 1);
    let positions: *mut Positions = RING_POSITIONS.get_ptr_mut(ring)?;
    // SAFETY: the pointer is to the map's value.
    let (reserved, released) = unsafe { (&raw mut (*positions).reserved, &raw const (*positions).released) };
    // Another task may come between on this CPU, and another CPU where they share a ring.
    let mut attempts_left: u64 = 8;
    while attempts_left != 0 {
        // SAFETY: no instruction at all. The compiler no longer knows how often the loop is run and leaves it one, where
        // it would make eight copies in each handler; the verifier does.
        unsafe {
            asm!("/* {left} */", left = inout(reg) attempts_left, options(nomem, nostack, preserves_flags))
        };
        attempts_left -= 1;
        // SAFETY: as above; volatile because others write both.
        let (position, released) = unsafe { (reserved.read_volatile(), released.read_volatile()) };
        if position.wrapping_sub(released) + slots > geometry.slots() {
            return None;
        }
        // Looked up before the slots are taken: from then on nothing may fail.
        let chunk = RING_CHUNKS.get_ptr_mut(geometry.chunk(ring, position))?;
        // SAFETY: `reserved` is an aligned word of the map.
        if unsafe { compare_and_swap(reserved, position, position + slots) } {
            // SAFETY: every record that begins in one of the chunk's slots ends inside it.
            return Some(unsafe { chunk.cast::<u64>().add(Geometry::slot(position) * SLOT_WORDS) });
        }
    }
    None
}

/// `*place = new` if it is `expected`; true when it was.
///
/// # Safety
/// `place` is valid for reading and writing, and aligned.
#[inline(always)]
unsafe fn compare_and_swap(place: *mut u64, expected: u64, new: u64) -> bool {
    let found: u64;
    // The instruction set that the object is built for has no mnemonic for it: BPF_STX | BPF_ATOMIC | BPF_DW, destination
    // r1, source r2, BPF_CMPXCHG, which compares with r0 and leaves there what it found
    // (Documentation/bpf/standardization/instruction-set.rst).
    // SAFETY: the caller vouches for `place`.
    unsafe {
        asm!(
            ".byte 0xdb, 0x21, 0, 0, 0xf1, 0, 0, 0",
            in("r1") place,
            in("r2") new,
            inlateout("r0") expected => found,
        );
    }
    found == expected
}

/// Copies word by word. An assignment would become a call of a byte-wise `memmove`.
///
/// # Safety
/// `to` is valid for writing; it and `T` are aligned to eight bytes and `T` is of whole words.
#[inline(always)]
pub(crate) unsafe fn copy_words<T>(to: *mut T, from: &T) {
    const { assert!(size_of::<T>() % 8 == 0 && align_of::<T>() == 8) };
    let (to, from) = (to.cast::<u64>(), core::ptr::from_ref(from).cast::<u64>());
    for word in 0..size_of::<T>() / 8 {
        // SAFETY: both are records of that many words; the caller vouches for `to`.
        unsafe { to.add(word).write_volatile(*from.add(word)) };
    }
}
