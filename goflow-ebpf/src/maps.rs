//! The maps, and the configuration that user space writes before the object is loaded.

use crate::{goid::Memory, waits::Parked};
use aya_ebpf::{
    bindings::BPF_F_MMAPABLE,
    macros::map,
    maps::{Array, HashMap, PerCpuArray, RingBuf},
};
use core::arch::asm;
use goflow_common::{
    LAYOUT_VERSION,
    aggregate::{ChannelTotals, Key, SiteTotals},
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
    g_sched_bp: 0,
    hchan_lock: 0,
    record_nothing: 0,
    sample_below: 0,
    filter_created: 0,
    is_pie: 0,
    filter_channels: 0,
    whole_waits: 0,
    aggregate: 0,
    reason_send: 0,
    reason_receive: 0,
    reason_select: 0,
    min_block_ns: 0,
    probes: 0,
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

/// Hits that were left out because of a filter, by `ProbeId`, per CPU.
#[map]
static FILTERED: PerCpuArray<[u64; ProbeId::COUNT]> = PerCpuArray::with_max_entries(1, 0);

/// Hits that are in no total because a map was full, by `ProbeId`, per CPU.
#[map]
static UNCOUNTED: PerCpuArray<[u64; ProbeId::COUNT]> = PerCpuArray::with_max_entries(1, 0);

/// The `go` statements whose goroutines are recorded, by return address, where `filter_created` is set; sized at load, as
/// all of the following.
#[map]
pub(crate) static GO_STATEMENTS: HashMap<u64, u8> = HashMap::with_max_entries(1, 0);

/// Where each process is loaded, above the link-time addresses.
#[map]
pub(crate) static BIASES: HashMap<u32, u64> = HashMap::with_max_entries(1024, 0);

/// The channels that are recorded, where `filter_channels` is set.
#[map]
pub(crate) static CHANNELS: HashMap<Key, u8> = HashMap::with_max_entries(1, 0);

/// Goroutines that wait, by the address of their `g`.
#[map]
pub(crate) static PARKED: HashMap<Key, Parked> = HashMap::with_max_entries(1, 0);

/// Which of those entries are of waits that were seen without a gap, see [`crate::waits`].
#[map]
pub(crate) static WAIT_EPOCH: Array<u32> = Array::with_max_entries(1, 0);

/// What was counted of each channel.
#[map]
pub(crate) static CHANNEL_TOTALS: HashMap<Key, ChannelTotals> = HashMap::with_max_entries(1, 0);

/// What was counted of the goroutines of each `go` statement.
#[map]
pub(crate) static SITE_TOTALS: HashMap<Key, SiteTotals> = HashMap::with_max_entries(1, 0);

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

/// Counts a hit of `probe` as left out.
#[inline(always)]
pub(crate) fn count_filtered(probe: ProbeId) {
    count(&FILTERED, probe);
}

/// Counts a hit of `probe` as missing in the totals.
#[inline(always)]
pub(crate) fn count_uncounted(probe: ProbeId) {
    count_uncounted_times(probe, 1);
}

/// Counts so many hits of `probe` as missing in the totals.
#[inline(always)]
pub(crate) fn count_uncounted_times(probe: ProbeId, times: u64) {
    count_times(&UNCOUNTED, probe, times);
}

#[inline(always)]
fn count(map: &'static PerCpuArray<[u64; ProbeId::COUNT]>, probe: ProbeId) {
    count_times(map, probe, 1);
}

/// Adds to a counter.
///
/// The add is atomic although the map is per CPU: a task in a program can be preempted by another task that hits a
/// probe on the same CPU, and the counts are compared exactly.
#[inline(always)]
fn count_times(map: &'static PerCpuArray<[u64; ProbeId::COUNT]>, probe: ProbeId, times: u64) {
    if let Some(counters) = map.get_ptr_mut(0) {
        // SAFETY: the pointer is into the map's value, and `probe` is below `ProbeId::COUNT` by its type.
        unsafe { add(counters.cast::<u64>().add(probe as usize), times) };
    }
}

/// Adds to a word that others add to as well.
///
/// # Safety
/// `word` is in a map's value, and aligned.
#[inline(always)]
pub(crate) unsafe fn add(word: *mut u64, amount: u64) {
    // SAFETY: the caller vouches for `word`; the instruction is an atomic add of eight bytes.
    unsafe { asm!("lock *(u64 *)({word} + 0) += {amount}", word = in(reg) word, amount = in(reg) amount) };
}
