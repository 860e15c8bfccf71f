//! The maps, and the configuration that user space writes before the object is loaded.

use crate::goid::Memory;
use aya_ebpf::{
    bindings::BPF_F_MMAPABLE,
    macros::map,
    maps::{Array, HashMap, PerCpuArray, RingBuf},
};
use core::arch::asm;
use goflow_common::{
    LAYOUT_VERSION,
    config::{ProbeConfig, SiteTable},
    probe::ProbeId,
    ring::{Chunk, Positions},
};

/// Per-binary constants; read-only to the programs, so the verifier prunes on them.
#[unsafe(no_mangle)]
pub(crate) static GOFLOW_CONFIG: ProbeConfig = ProbeConfig {
    layout_version: LAYOUT_VERSION,
    filter_targets: 0,
    on_stack_check: 0,
    stack_depth: 0,
    g_goid: 0,
    g_m: 0,
    g_gopc: 0,
    g_startpc: 0,
    m_curg: 0,
    hchan_elemsize: 0,
    hchan_elemtype: 0,
    poll_desc_rg: 0,
    poll_desc_wg: 0,
    semacquire1_has_reason: 0,
    rings: 0,
    ring_chunks: 0,
};

/// Which probe each site belongs to; read-only as well.
#[unsafe(no_mangle)]
pub(crate) static GOFLOW_SITES: SiteTable = SiteTable::EMPTY;

/// Reads one field of the configuration so that the compiler cannot fold in the value it was compiled with.
macro_rules! config {
    ($field:ident) => {{
        // SAFETY: the static is initialised, aligned, and written by nobody after the object is loaded.
        unsafe { core::ptr::read_volatile(&raw const $crate::maps::GOFLOW_CONFIG.$field) }
    }};
}
pub(crate) use config;

/// What user space reads, where the kernel is any; its size is set at load.
#[map]
pub(crate) static EVENTS: RingBuf = RingBuf::with_byte_size(8 << 20, 0);

/// Where each of goflow's own rings is, on newer kernels; their number is set at load.
#[map]
pub(crate) static RING_POSITIONS: Array<Positions> = Array::with_max_entries(1, BPF_F_MMAPABLE);

/// Their memory; its size is set at load.
#[map]
pub(crate) static RING_CHUNKS: Array<Chunk> = Array::with_max_entries(1, BPF_F_MMAPABLE);

/// Thread groups to record when `filter_targets` is set.
#[map]
pub(crate) static TARGETS: HashMap<u32, u8> = HashMap::with_max_entries(1024, 0);

/// Events that found the ring buffer full, by `ProbeId`, per CPU.
#[map]
static LOST: PerCpuArray<[u64; ProbeId::COUNT]> = PerCpuArray::with_max_entries(1, 0);

/// Hits that are no event, such as a wait for a WaitGroup that is done, by `ProbeId`, per CPU: they cost the target, too.
#[map]
static EVENTLESS: PerCpuArray<[u64; ProbeId::COUNT]> = PerCpuArray::with_max_entries(1, 0);

/// The epoch of the goid memory, see [`goflow_common::goid::Epoch`].
#[map]
pub(crate) static GOID_EPOCH: Array<u64> = Array::with_max_entries(1, 0);

/// What is remembered, by CPU.
#[map]
pub(crate) static GOID_MEMORY: PerCpuArray<Memory> = PerCpuArray::with_max_entries(1, 0);

/// Counts an event of `probe` as lost.
#[inline(always)]
pub(crate) fn count_lost(probe: ProbeId) {
    count(&LOST, probe);
}

/// Counts a hit of `probe` that is no event.
#[inline(always)]
pub(crate) fn count_eventless(probe: ProbeId) {
    count(&EVENTLESS, probe);
}

/// Adds one.
///
/// The add is atomic although the map is per CPU: a task in a program can be preempted by another task that hits a
/// probe on the same CPU, and the counts are compared exactly.
#[inline(always)]
fn count(map: &'static PerCpuArray<[u64; ProbeId::COUNT]>, probe: ProbeId) {
    if let Some(counters) = map.get_ptr_mut(0) {
        // SAFETY: the pointer is into the map's value, and `probe` is below `ProbeId::COUNT` by its type; the
        // instruction is BPF_ATOMIC | BPF_ADD on eight aligned bytes.
        unsafe {
            let counter = counters.cast::<u64>().add(probe as usize);
            asm!("lock *(u64 *)({counter} + 0) += {one}", counter = in(reg) counter, one = in(reg) 1u64);
        }
    }
}
