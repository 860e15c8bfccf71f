//! What the programs count in maps, so that it is complete although not every hit is recorded.
//!
//! Everything is words: the programs add to them one by one, and user space reads a value as an array of them.

/// Buckets of a histogram of waits.
pub const BUCKETS: usize = 24;

/// Waits shorter than this many bits of nanoseconds are in the first bucket.
const FIRST_BUCKET_BITS: u32 = 10;

/// What a total is about.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "user", derive(bytemuck::Pod, bytemuck::Zeroable))]
pub struct Key {
    /// Of an `hchan`, or of a call; runtime.
    pub address: u64,
    /// Thread group id, and [`Key::GONE`].
    pub pid: u64,
}

impl Key {
    /// In [`Key::pid`]: the total is that of all channels that are gone and were made by the call at `address`.
    pub const GONE: u64 = 1 << 32;
}

/// Waits that have ended.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "user", derive(bytemuck::Pod, bytemuck::Zeroable))]
pub struct Waits {
    /// How many.
    pub count: u64,
    /// How long they took together, nanoseconds.
    pub total_ns: u64,
    /// How many by duration, see [`Waits::bucket`].
    pub buckets: [u64; BUCKETS],
}

impl Waits {
    /// The bucket of a wait: bucket `n` has those shorter than [`Waits::bucket_end_ns`] of `n` that are in no earlier one,
    /// and the last has all others.
    #[inline(always)]
    #[must_use]
    pub const fn bucket(ns: u64) -> usize {
        let bits = u64::BITS - ns.leading_zeros();
        let bucket = bits.saturating_sub(FIRST_BUCKET_BITS) as usize;
        if bucket < BUCKETS { bucket } else { BUCKETS - 1 }
    }

    /// Waits in a bucket, but for the last, are shorter than this, nanoseconds.
    #[must_use]
    pub const fn bucket_end_ns(bucket: usize) -> u64 {
        1 << (bucket as u32 + FIRST_BUCKET_BITS)
    }
}

/// Of one channel. All but `made_at` are counts, in words.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "user", derive(bytemuck::Pod, bytemuck::Zeroable))]
pub struct ChannelTotals {
    /// Return address in the function that made it; 0 when that was not seen.
    pub made_at: u64,
    /// Calls of `chansend`. A `select` of two cases or more is none.
    pub sends: u64,
    /// Calls of `chanrecv`.
    pub receives: u64,
    /// Calls of `closechan`.
    pub closes: u64,
    /// Senders that had to wait.
    pub senders: Waits,
    /// Receivers that had to wait.
    pub receivers: Waits,
}

/// Of the goroutines that one `go` statement created.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "user", derive(bytemuck::Pod, bytemuck::Zeroable))]
pub struct SiteTotals {
    /// Goroutines created.
    pub created: u64,
    /// Goroutines that ended.
    pub exited: u64,
    /// Their waits, whatever for.
    pub waits: Waits,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_in_the_first_bucket_that_it_is_shorter_than_the_end_of() {
        for ns in [0, 1, 1_023, 1_024, 1_025, 2_047, 2_048, 1 << 20, (1 << 20) - 1, 1 << 32, u64::MAX] {
            let bucket = Waits::bucket(ns);
            let is_last = bucket == BUCKETS - 1;
            assert!(is_last || ns < Waits::bucket_end_ns(bucket), "{ns} is in {bucket}");
            assert!(bucket == 0 || ns >= Waits::bucket_end_ns(bucket - 1), "{ns} is in {bucket}");
        }
    }
}
