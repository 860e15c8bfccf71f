//! Who waits since when, from park to wake-up.
//!
//! Remembered only where something asks for it: a wait that is recorded as a whole, or counted. An entry belongs to a `g` and
//! stays when its goroutine goes on, to be used for the next wait: writing in place is cheaper than to insert and delete.

use crate::{
    filter::admits_channel,
    maps::{PARKED, WAIT_EPOCH, config},
};
use aya_ebpf::{bindings::BPF_ANY, helpers::bpf_ktime_get_ns};
use goflow_common::{aggregate::Key, event::Header};

/// The last wait of a `g`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Parked {
    /// When it began; 0 when it is over.
    pub(crate) t_ns: u64,
    /// The `lock` argument of `gopark`.
    pub(crate) lock: u64,
    pub(crate) wait_reason: u32,
    /// Twice the epoch in which it began, and one more if the goroutine was about to `select` on
    /// a channel that is recorded.
    epoch_and_selects: u32,
}

/// A wait that is over.
pub(crate) struct Ended {
    pub(crate) parked: Parked,
    pub(crate) ns: u64,
}

impl Parked {
    /// The channel that it was about, and whether it was to send; `None` where it was about something else.
    #[inline(always)]
    pub(crate) fn channel(&self) -> Option<(u64, bool)> {
        let is_send = self.wait_reason == config!(reason_send);
        if self.lock == 0 || !(is_send || self.wait_reason == config!(reason_receive)) {
            return None;
        }
        Some((self.lock.wrapping_sub(u64::from(config!(hchan_lock))), is_send))
    }

    /// Whether a filter on channels lets it through.
    #[inline(always)]
    fn is_wanted(&self, pid: u32) -> bool {
        if config!(filter_channels) == 0 {
            return true;
        }
        match self.channel() {
            Some((chan, _)) => admits_channel(chan, pid),
            None => self.epoch_and_selects & SELECTS != 0 && self.wait_reason == config!(reason_select),
        }
    }
}

impl Ended {
    /// Whether it is to be recorded.
    #[inline(always)]
    pub(crate) fn is_wanted(&self, pid: u32) -> bool {
        self.ns >= config!(min_block_ns) && self.parked.is_wanted(pid)
    }
}

/// Set in [`Parked::epoch_and_selects`].
const SELECTS: u32 = 1;

/// Raised by user space whenever probes went out: a goroutine that parked before may have gone on since, and waited again.
#[inline(always)]
fn epoch() -> u32 {
    // SAFETY: the pointer is to the map's value; volatile because user space writes it.
    WAIT_EPOCH.get_ptr(0).map_or(0, |epoch| unsafe { epoch.read_volatile() })
}

/// Whether anything asks for waits.
#[inline(always)]
fn are_kept() -> bool {
    config!(whole_waits) != 0 || config!(aggregate) != 0
}

/// The goroutine of `gp` parks. False when that is not remembered.
#[inline(always)]
pub(crate) fn begin(header: &Header, gp: u64, lock: u64, wait_reason: u32) -> bool {
    if !are_kept() {
        return false;
    }
    let key = Key { address: gp, pid: header.pid.into() };
    // SAFETY: the helper has no preconditions.
    let t_ns = unsafe { bpf_ktime_get_ns() };
    if let Some(parked) = PARKED.get_ptr_mut(key) {
        // SAFETY: the pointer is to the map's value, which only hits of this goroutine write.
        unsafe {
            (*parked).lock = lock;
            (*parked).wait_reason = wait_reason;
            (*parked).epoch_and_selects = (*parked).epoch_and_selects & SELECTS | epoch() << 1;
            (*parked).t_ns = t_ns;
        }
        return true;
    }
    let parked = Parked { t_ns, lock, wait_reason, epoch_and_selects: epoch() << 1 };
    PARKED.insert(key, parked, BPF_ANY.into()).is_ok()
}

/// The goroutine of `gp` is about to `select`: `is_wanted` if one of the channels is recorded.
#[inline(always)]
pub(crate) fn selects(header: &Header, gp: u64, is_wanted: bool) {
    if config!(filter_channels) == 0 || config!(whole_waits) == 0 {
        return;
    }
    let key = Key { address: gp, pid: header.pid.into() };
    let selects = if is_wanted { SELECTS } else { 0 };
    match PARKED.get_ptr_mut(key) {
        // SAFETY: the pointer is to the map's value, which only hits of this goroutine write.
        Some(parked) => unsafe {
            (*parked).epoch_and_selects = (*parked).epoch_and_selects & !SELECTS | selects;
        },
        // Where there is no room, the wait is recorded as two records.
        None if is_wanted => {
            _ = PARKED.insert(
                key,
                Parked { t_ns: 0, lock: 0, wait_reason: 0, epoch_and_selects: selects },
                BPF_ANY.into(),
            );
        }
        None => {}
    }
}

/// The goroutine of `gp` is made runnable; `None` when it was not seen to park.
#[inline(always)]
pub(crate) fn end(header: &Header, gp: u64) -> Option<Ended> {
    if !are_kept() {
        return None;
    }
    let entry = PARKED.get_ptr_mut(Key { address: gp, pid: header.pid.into() })?;
    // SAFETY: the pointer is to the map's value; of a goroutine that waits nobody else writes it.
    let parked = unsafe { *entry };
    if parked.t_ns == 0 || parked.epoch_and_selects >> 1 != epoch() & (u32::MAX >> 1) {
        return None;
    }
    // SAFETY: as above; the helper has no preconditions.
    let now = unsafe {
        (*entry).t_ns = 0;
        bpf_ktime_get_ns()
    };
    Some(Ended { parked, ns: now.wrapping_sub(parked.t_ns) })
}
