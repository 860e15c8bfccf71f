//! Which goroutines and channels are recorded.
//!
//! A filter decides by goroutine and never by event, so that what is recorded of a goroutine is all of it: its creation, its
//! end, what it does, and who wakes it. It cannot spare the target the trap, but whatever comes after that.

use crate::{
    goid::created_at,
    maps::{BIASES, CHANNELS, GO_STATEMENTS, config},
};
use goflow_common::{
    aggregate::Key,
    event::{GOID_UNKNOWN, Header},
};

/// Whether anything is recorded at all; where not, what a record needs is not even read.
#[inline(always)]
pub(crate) fn records_anything() -> bool {
    config!(record_nothing) == 0
}

/// Whether what the goroutine of `gp` does, and what is done to it, is recorded.
#[inline(always)]
pub(crate) fn admits(header: &Header, gp: u64, goid: u64) -> bool {
    records_anything() && is_in_sample(goid) && was_created_where_wanted(gp, header.pid)
}

/// Whether `chan` is one of the channels that are wanted.
#[inline(always)]
pub(crate) fn admits_channel(chan: u64, pid: u32) -> bool {
    // SAFETY: the value is not kept beyond this expression, and nobody deletes while we look.
    config!(filter_channels) == 0 || unsafe { CHANNELS.get(Key { address: chan, pid: pid.into() }) }.is_some()
}

/// By a hash, since programs create goroutines in patterns. The runtime itself (goid 0) is no goroutine.
#[inline(always)]
fn is_in_sample(goid: u64) -> bool {
    let below = config!(sample_below);
    if below == 0 || goid == 0 || goid == GOID_UNKNOWN {
        return true;
    }
    // The finaliser of MurmurHash3, shortened.
    let mixed = (goid ^ (goid >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let mixed = (mixed ^ (mixed >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    ((mixed >> 32) as u32) < below
}

/// A process that user space does not know yet is recorded whole.
#[inline(always)]
fn was_created_where_wanted(gp: u64, pid: u32) -> bool {
    if config!(filter_created) == 0 {
        return true;
    }
    let mut at = created_at(gp, pid);
    if config!(is_pie) != 0 {
        // SAFETY: the value is copied at once, and an entry that is deleted meanwhile is not unmapped.
        let Some(bias) = (unsafe { BIASES.get(pid) }) else { return true };
        at = at.wrapping_sub(*bias);
    }
    // SAFETY: the value is not kept beyond this expression.
    unsafe { GO_STATEMENTS.get(at) }.is_some()
}
