//! The maps, and the configuration that user space writes before the object is loaded.

use crate::goid::Memory;
use aya_ebpf::{
    macros::map,
    maps::{Array, HashMap, PerCpuArray, RingBuf},
};
use core::arch::asm;
use goflow_common::{
    LAYOUT_VERSION,
    config::{ProbeConfig, SiteTable},
    probe::ProbeId,
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
    semacquire1_has_reason: 0,
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

/// What user space reads; its size is set at load.
#[map]
pub(crate) static EVENTS: RingBuf = RingBuf::with_byte_size(8 << 20, 0);

/// Thread groups to record when `filter_targets` is set.
#[map]
pub(crate) static TARGETS: HashMap<u32, u8> = HashMap::with_max_entries(1024, 0);

/// Events that found the ring buffer full, by `ProbeId`, per CPU.
#[map]
pub(crate) static LOST: PerCpuArray<[u64; ProbeId::COUNT]> = PerCpuArray::with_max_entries(1, 0);

/// 1 while goids may be remembered; user space writes it.
#[map]
pub(crate) static GOID_MEMORY_ON: Array<u64> = Array::with_max_entries(1, 0);

/// How often a `g` has got a new goroutine.
#[map]
pub(crate) static GOID_EPOCH: Array<u64> = Array::with_max_entries(1, 0);

/// What is remembered, by CPU.
#[map]
pub(crate) static GOID_MEMORY: PerCpuArray<Memory> = PerCpuArray::with_max_entries(1, 0);

/// Counts an event of `probe` as lost.
///
/// The add is atomic although the map is per CPU: a task in a program can be preempted by another task that hits a
/// probe on the same CPU, and the counts are compared exactly.
#[inline(always)]
pub(crate) fn count_lost(probe: ProbeId) {
    if let Some(counters) = LOST.get_ptr_mut(0) {
        // SAFETY: the pointer is into the map's value, and `probe` is below `ProbeId::COUNT` by its type; the
        // instruction is BPF_ATOMIC | BPF_ADD on eight aligned bytes.
        unsafe {
            let counter = counters.cast::<u64>().add(probe as usize);
            asm!("lock *(u64 *)({counter} + 0) += {one}", counter = in(reg) counter, one = in(reg) 1u64);
        }
    }
}
