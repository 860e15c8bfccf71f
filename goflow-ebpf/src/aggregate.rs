//! Counting in maps, for user space to read instead of a stream: see [`goflow_common::aggregate`].

use crate::{
    goid::created_at,
    maps::{CHANNEL_TOTALS, SITE_TOTALS, add, config, count_uncounted, count_uncounted_times},
    waits::Ended,
};
use aya_ebpf::{bindings::BPF_NOEXIST, helpers::generated::bpf_map_update_elem, maps::HashMap};
use core::mem::offset_of;
use goflow_common::{
    aggregate::{BUCKETS, ChannelTotals, Key, SiteTotals, Waits},
    event::Header,
    probe::ProbeId,
};

/// What a new entry begins with: too large for the stack of a program.
static NOTHING: ChannelTotals =
    ChannelTotals { made_at: 0, sends: 0, receives: 0, closes: 0, senders: NO_WAITS, receivers: NO_WAITS };
const NO_WAITS: Waits = Waits { count: 0, total_ns: 0, buckets: [0; BUCKETS] };
const _: () = assert!(size_of::<SiteTotals>() <= size_of::<ChannelTotals>());

/// Words of a channel's totals that are counts.
const COUNTS: usize = size_of::<ChannelTotals>() / 8 - 1;

/// A channel operation is called, on a nil channel as well.
#[inline(always)]
pub(crate) fn operation(header: &Header, chan: u64, probe: ProbeId) {
    if config!(aggregate) == 0 {
        return;
    }
    let field = match probe {
        ProbeId::Chansend => offset_of!(ChannelTotals, sends),
        ProbeId::Chanrecv => offset_of!(ChannelTotals, receives),
        _ => offset_of!(ChannelTotals, closes),
    };
    match entry(&CHANNEL_TOTALS, Key { address: chan, pid: header.pid.into() }) {
        // SAFETY: the field is a word of the map's value.
        Some(totals) => unsafe { add(totals.cast::<u8>().add(field).cast(), 1) },
        None => count_uncounted(probe),
    }
}

/// A channel is made. What was counted under its address is of one that is gone, and goes to the place that made that one.
#[inline(always)]
pub(crate) fn made(header: &Header, chan: u64, site_pc: u64, probe: ProbeId) {
    if config!(aggregate) == 0 || chan == 0 {
        return;
    }
    let pid = u64::from(header.pid);
    let Some(totals) = entry(&CHANNEL_TOTALS, Key { address: chan, pid }) else {
        return count_uncounted(probe);
    };
    // SAFETY: the pointer is to the map's value, and nobody else has the channel yet.
    let before = unsafe { (*totals).made_at };
    match entry(&CHANNEL_TOTALS, Key { address: before, pid: pid | Key::GONE }) {
        // SAFETY: both are values of the map, of `COUNTS` words behind the first.
        Some(gone) => unsafe { move_counts(totals.cast::<u64>().add(1), gone.cast::<u64>().add(1)) },
        // SAFETY: as above.
        None => unsafe { drop_counts(totals, probe) },
    }
    // SAFETY: as above.
    unsafe { (*totals).made_at = site_pc };
}

/// What was counted of a channel that is gone has no room, and is not that of the one that has its address by now.
///
/// # Safety
/// It is a value of a map.
#[inline(always)]
unsafe fn drop_counts(totals: *mut ChannelTotals, probe: ProbeId) {
    // SAFETY: the caller vouches for it.
    let operations = unsafe { (*totals).sends + (*totals).receives + (*totals).closes };
    count_uncounted_times(probe, operations);
    let mut word = 1;
    while word <= COUNTS {
        // SAFETY: a word of the value.
        unsafe { totals.cast::<u64>().add(word).write_volatile(0) };
        word += 1;
    }
}

/// # Safety
/// Both are valid for `COUNTS` words, in values of a map.
#[inline(always)]
unsafe fn move_counts(from: *mut u64, to: *mut u64) {
    let mut word = 0;
    while word < COUNTS {
        // SAFETY: the caller vouches for both.
        unsafe {
            let count = from.add(word).read_volatile();
            if count != 0 {
                add(to.add(word), count);
                from.add(word).write_volatile(0);
            }
        }
        word += 1;
    }
}

/// A goroutine was created at `site_pc`.
#[inline(always)]
pub(crate) fn created(header: &Header, site_pc: u64, probe: ProbeId) {
    of_site(header.pid, site_pc, probe, |totals| {
        // SAFETY: the pointer is to a map's value.
        unsafe { add(&raw mut (*totals).created, 1) }
    });
}

/// The goroutine of `gp` ended.
#[inline(always)]
pub(crate) fn exited(header: &Header, gp: u64, probe: ProbeId) {
    of_goroutine(header, gp, probe, |totals| {
        // SAFETY: the pointer is to a map's value.
        unsafe { add(&raw mut (*totals).exited, 1) }
    });
}

/// The goroutine of `gp` has waited.
#[inline(always)]
pub(crate) fn waited(header: &Header, gp: u64, ended: &Ended, probe: ProbeId) {
    if config!(aggregate) == 0 {
        return;
    }
    of_goroutine(header, gp, probe, |totals| {
        // SAFETY: the pointer is to a map's value.
        unsafe { add_wait(&raw mut (*totals).waits, ended.ns) }
    });
    let Some((chan, is_send)) = ended.parked.channel() else { return };
    match entry(&CHANNEL_TOTALS, Key { address: chan, pid: header.pid.into() }) {
        // SAFETY: as above.
        Some(totals) => unsafe {
            let waits = if is_send { &raw mut (*totals).senders } else { &raw mut (*totals).receivers };
            add_wait(waits, ended.ns);
        },
        None => count_uncounted(probe),
    }
}

#[inline(always)]
fn of_goroutine(header: &Header, gp: u64, probe: ProbeId, change: impl FnOnce(*mut SiteTotals)) {
    if config!(aggregate) != 0 {
        of_site(header.pid, created_at(gp, header.pid), probe, change);
    }
}

#[inline(always)]
fn of_site(pid: u32, site_pc: u64, probe: ProbeId, change: impl FnOnce(*mut SiteTotals)) {
    if config!(aggregate) == 0 {
        return;
    }
    match entry(&SITE_TOTALS, Key { address: site_pc, pid: pid.into() }) {
        Some(totals) => change(totals),
        None => count_uncounted(probe),
    }
}

/// # Safety
/// `waits` is in a map's value.
#[inline(always)]
unsafe fn add_wait(waits: *mut Waits, ns: u64) {
    // SAFETY: the caller vouches for `waits`, and a bucket is below `BUCKETS`.
    unsafe {
        add(&raw mut (*waits).count, 1);
        add(&raw mut (*waits).total_ns, ns);
        add((&raw mut (*waits).buckets).cast::<u64>().add(Waits::bucket(ns)), 1);
    }
}

/// The entry of `key`, a new one where there is none; `None` when the map is full.
#[inline(always)]
fn entry<V>(map: &'static HashMap<Key, V>, key: Key) -> Option<*mut V> {
    if let Some(known) = map.get_ptr_mut(key) {
        return Some(known);
    }
    // SAFETY: `map` is a map of the object, and key and value are as long as it says. When another CPU is first, that is as good.
    unsafe {
        bpf_map_update_elem(
            core::ptr::from_ref(map).cast_mut().cast(),
            (&raw const key).cast(),
            (&raw const NOTHING).cast(),
            BPF_NOEXIST.into(),
        );
    }
    map.get_ptr_mut(key)
}
