//! What the last looks found of one thing: at how many of them it was so, and whether it becomes more.
//!
//! In: what a look found, or that it found nothing. Out: counts. A look is a moment: a lock that is fought for is free now and
//! then, so what is so at most looks is not taken back by one. A look that could not tell says neither.

use crate::target::id::MonotonicNs;

/// Looks that are remembered at the least: four seconds at the pace of `goflow check`.
const KEPT: u32 = 8;

/// Looks that can be remembered.
pub(super) const MOST_KEPT: u32 = 64;

/// Of so many looks one has to agree at two: 40 %, which is what a lock that is held for half of all time shows at the least.
const SHARE: (u32, u32) = (2, 5);

/// At which of the last looks something was so.
#[derive(Clone, Copy, Debug)]
pub(super) struct Recent {
    /// The last look is the lowest bit.
    bits: u64,
    looks: u32,
    /// Looks that have to agree.
    needed: u32,
    /// When it was first so.
    pub(super) since: MonotonicNs,
}

impl Recent {
    /// It is so, for the first time.
    pub(super) fn first(at: MonotonicNs, needed: u32) -> Self {
        Self { bits: 1, looks: 1, needed: needed.min(MOST_KEPT), since: at }
    }

    /// Another look.
    pub(super) fn look(&mut self, is_so: bool) {
        let kept = self.needed.max(KEPT);
        self.bits = (self.bits << 1 | u64::from(is_so)) & (u64::MAX >> (MOST_KEPT - kept));
        self.looks = (self.looks + 1).min(kept);
    }

    /// At how many looks it was so.
    pub(super) fn hits(self) -> u32 {
        self.bits.count_ones()
    }

    /// Of so many.
    pub(super) fn looks(self) -> u32 {
        self.looks
    }

    /// There were enough looks, and it was so at a good part of them.
    pub(super) fn is_often(self) -> bool {
        let is_good_part = self.hits() * SHARE.1 >= self.looks * SHARE.0;
        self.looks >= self.needed && is_good_part && self.hits() >= self.needed.div_ceil(2)
    }

    /// There were enough looks, and it was so at all of them but one in five.
    pub(super) fn is_usual(self) -> bool {
        self.looks >= self.needed && self.hits() * 5 >= self.looks * 4
    }

    /// It was not so at any look that is remembered.
    pub(super) fn is_over(self) -> bool {
        self.bits == 0
    }
}

/// A number that is counted at each look.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trend {
    pub(super) first: u64,
    pub(super) last: u64,
    /// Looks in a row at which it was more than at the one before.
    risen: u32,
    pub(super) since: MonotonicNs,
    /// The last look that counted it.
    at: MonotonicNs,
}

impl Trend {
    /// The first count.
    pub(super) fn first(count: u64, at: MonotonicNs) -> Self {
        Self { first: count, last: count, risen: 0, since: at, at }
    }

    /// Another count; one that is less begins anew.
    pub(super) fn count(&mut self, count: u64, at: MonotonicNs) {
        if count < self.last {
            *self = Self::first(count, at);
            return;
        }
        self.risen += u32::from(count > self.last);
        (self.last, self.at) = (count, at);
    }

    /// It was more at each of so many looks, and is so much more by now.
    pub(super) fn grows(&self, looks: u32, by: u64) -> bool {
        self.risen + 1 >= looks && self.last - self.first >= by
    }

    /// From the first count to the last, in nanoseconds.
    pub(super) fn took_ns(&self) -> u64 {
        self.at.0.saturating_sub(self.since.0)
    }
}
