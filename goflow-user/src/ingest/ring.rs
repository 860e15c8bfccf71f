//! Takes records out of the rings, and notices what the kernel had to drop.
//!
//! In: the maps of a session; out: decoded events, to be put in order, and loss windows between them. Nothing wakes this
//! reader: the kernel side submits without a wake-up (a forced one costs the target 6 µs a hit), so the caller polls.

use super::decode::{self, Decoded};
use super::event::{LossPoint, Lost, MonotonicNs};
use super::order::{HOLD_NS, Orderer};
use crate::probe::buffer::EventBuffer;
use crate::probe::load::{Counters, LoadError};
use crate::target::host::monotonic_ns;
use goflow_common::probe::ProbeId;

/// Records taken in one go, so that a busy target cannot keep the caller from its other duties: of all rings, but of each
/// as many as one CPU can make until the next look.
const MOST_PER_DRAIN: usize = 65_536;
const LEAST_PER_RING: usize = 8_192;

/// Reads one session's rings.
pub struct RingReader {
    events: EventBuffer,
    counters: Counters,
    taken: [u64; ProbeId::COUNT],
    progress: Vec<Progress>,
    lost_before: u64,
    looked_at: MonotonicNs,
    undecodable: u64,
}

/// How far one ring has been read.
#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    /// The moment from before which nothing more can come.
    complete_until: MonotonicNs,
    /// A look that found more than has been read since: its time, and the place in the ring up to which records had begun.
    open_look: Option<(MonotonicNs, u64)>,
}

impl Progress {
    /// A look before a drain. One that is open stays: while as much comes as a drain takes, no drain reads all that a new
    /// look finds.
    fn look(&mut self, now: MonotonicNs, reserved: u64) {
        self.open_look.get_or_insert((now, reserved));
    }

    /// After a drain.
    fn has_read(&mut self, read: u64) {
        if let Some((at, _)) = self.open_look.take_if(|(_, reserved)| read >= *reserved) {
            self.complete_until = at;
        }
    }

    /// After a drain of the kernel's ring, which takes a record's time before its place, so that one may come late by
    /// [`HOLD_NS`].
    fn has_read_of_kernel_ring(&mut self, now: MonotonicNs, is_all: bool, last: Option<MonotonicNs>) {
        if let Some(until) = if is_all { Some(now) } else { last } {
            self.complete_until = MonotonicNs(until.0.saturating_sub(HOLD_NS));
        }
    }
}

/// What one look at the rings brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drained {
    /// Records taken.
    pub records: usize,
    /// Every event from before this moment has come.
    pub certain: MonotonicNs,
}

impl RingReader {
    /// A reader for maps that were just created, at time `now`.
    #[must_use]
    pub fn new(events: EventBuffer, counters: Counters, now: MonotonicNs) -> Self {
        Self {
            progress: vec![Progress::default(); events.rings() as usize],
            events,
            counters,
            taken: [0; ProbeId::COUNT],
            lost_before: 0,
            looked_at: now,
            undecodable: 0,
        }
    }

    /// Gives what is there to `orderer`; `seen` is shown every record as it comes, unordered. `now` must not be later than
    /// this call.
    pub fn drain(
        &mut self,
        now: MonotonicNs,
        orderer: &mut Orderer,
        seen: &mut dyn FnMut(&Decoded),
    ) -> Drained {
        let Self { events, taken, undecodable, progress, .. } = self;
        let most = (MOST_PER_DRAIN / events.rings() as usize).max(LEAST_PER_RING);
        let mut drained = Drained { records: 0, certain: now };
        for (ring, progress) in (0..).zip(progress) {
            if let Some(extent) = events.extent(ring) {
                progress.look(now, extent.reserved);
            }
            let mut last = None;
            let records = events.take(ring, most, |record| match decode::decode(record) {
                Ok(decoded) => {
                    taken[decoded.probe as usize] += 1;
                    seen(&decoded);
                    last = Some(decoded.event.t);
                    orderer.push(decoded.event);
                }
                Err(error) => {
                    *undecodable += 1;
                    tracing::debug!(%error, "a record could not be decoded");
                }
            });
            match events.extent(ring) {
                Some(extent) => progress.has_read(extent.read),
                None => progress.has_read_of_kernel_ring(now, records < most, last),
            }
            drained.records += records;
            drained.certain = drained.certain.min(progress.complete_until);
        }
        drained
    }

    /// What was lost since the last call, as windows that end when it had been counted: the caller may have lost its CPU for long
    /// since it took the records.
    ///
    /// # Errors
    /// The counters could not be read.
    pub fn losses(&mut self) -> Result<Vec<Lost>, LoadError> {
        let began = MonotonicNs(monotonic_ns());
        let lost: u64 = self.counters.lost()?.iter().sum();
        let to = MonotonicNs(monotonic_ns());
        let window = |at, count| Lost { from: self.looked_at, to, at, count };
        let mut windows = Vec::new();
        if lost > self.lost_before {
            windows.push(window(LossPoint::Ring, lost - self.lost_before));
        }
        if self.undecodable > 0 {
            windows.push(window(LossPoint::Decode, self.undecodable));
        }
        self.lost_before = lost;
        self.undecodable = 0;
        self.looked_at = began;
        Ok(windows)
    }

    /// Hits of each probe so far that are no event.
    ///
    /// # Errors
    /// The counters could not be read.
    pub fn eventless(&self) -> Result<[u64; ProbeId::COUNT], LoadError> {
        self.counters.eventless()
    }

    /// Hits of each probe so far that a filter left out.
    ///
    /// # Errors
    /// The counters could not be read.
    pub fn filtered(&self) -> Result<[u64; ProbeId::COUNT], LoadError> {
        self.counters.filtered()
    }

    /// Hits of each probe so far: the records that were taken, those that were lost, those that were left out, and the hits
    /// that needed none.
    ///
    /// # Errors
    /// The counters could not be read.
    pub fn hits(&self) -> Result<[u64; ProbeId::COUNT], LoadError> {
        let mut hits = self.counters.lost()?;
        for others in [self.taken, self.counters.eventless()?, self.counters.filtered()?] {
            hits.iter_mut().zip(others).for_each(|(hits, others)| *hits += others);
        }
        Ok(hits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_certain_moves_on_although_no_drain_reads_everything() {
        let mut progress = Progress::default();
        let mut certain = Vec::new();
        for round in 1..=6 {
            // A hundred records come, and then eighty of all that wait are read.
            progress.look(MonotonicNs(round * 10), round * 100);
            progress.has_read(round * 80);
            certain.push(progress.complete_until.0);
        }
        // The 100 of the first look are read in the second round, the 300 of the next one in the fourth.
        assert_eq!(certain, [0, 10, 10, 30, 30, 30]);
    }

    #[test]
    fn a_drain_that_reads_everything_makes_the_time_of_its_look_certain() {
        let mut progress = Progress::default();
        progress.look(MonotonicNs(7), 0);
        progress.has_read(0);
        assert_eq!(progress.complete_until, MonotonicNs(7));
    }
}
