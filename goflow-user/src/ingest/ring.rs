//! Takes records out of the rings, and notices what the kernel had to drop.
//!
//! In: the maps of a session; out: decoded events in time order with loss windows between them. Nothing wakes this
//! reader: the kernel side submits without a wake-up (a forced one costs the target 6 µs a hit), so the caller polls.

use super::decode::{self, Decoded};
use super::event::{Event, LossPoint, Lost, MonotonicNs};
use super::order::{HOLD_NS, Orderer};
use crate::probe::buffer::EventBuffer;
use crate::probe::load::{Counters, LoadError};
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
    orderer: Orderer,
    /// Of each ring, the moment from before which nothing more can come.
    complete_until: Vec<MonotonicNs>,
    lost_before: u64,
    looked_at: MonotonicNs,
    undecodable: u64,
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
            complete_until: vec![MonotonicNs::default(); events.rings() as usize],
            events,
            counters,
            taken: [0; ProbeId::COUNT],
            orderer: Orderer::default(),
            lost_before: 0,
            looked_at: now,
            undecodable: 0,
        }
    }

    /// Takes what is there; `seen` is shown every record as it comes, unordered. `now` must not be later than this call.
    pub fn drain(&mut self, now: MonotonicNs, seen: &mut dyn FnMut(&Decoded)) -> Drained {
        let Self { events, taken, orderer, undecodable, complete_until, .. } = self;
        let most = (MOST_PER_DRAIN / events.rings() as usize).max(LEAST_PER_RING);
        let mut drained = Drained::default();
        for (ring, complete_until) in complete_until.iter_mut().enumerate() {
            let mut last = None;
            let look = events.take(ring as u32, most, |record| match decode::decode(record) {
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
            drained.records += look.records;
            match (events.takes_time_after_place(), look.is_all, last) {
                (true, true, _) => *complete_until = now,
                (true, false, _) | (false, false, None) => {}
                (false, true, _) => *complete_until = MonotonicNs(now.0.saturating_sub(HOLD_NS)),
                (false, false, Some(last)) => *complete_until = MonotonicNs(last.0.saturating_sub(HOLD_NS)),
            }
        }
        drained.certain = complete_until.iter().copied().min().unwrap_or_default();
        drained
    }

    /// Hands out what happened before `certain`, which a call of [`Self::drain`] has told.
    pub fn release(&mut self, certain: MonotonicNs, out: &mut Vec<Event>) {
        self.orderer.release(certain, out);
    }

    /// Hands out everything that is still held back. Call it when the probes are out and the buffer is drained.
    pub fn finish(&mut self, out: &mut Vec<Event>) {
        self.orderer.finish(out);
        if self.orderer.late() > 0 {
            tracing::info!(late = self.orderer.late(), "events came too late to be put in order");
        }
    }

    /// What was lost since the last call, as windows that end `now`.
    ///
    /// # Errors
    /// The counters could not be read.
    pub fn losses(&mut self, now: MonotonicNs) -> Result<Vec<Lost>, LoadError> {
        let lost: u64 = self.counters.lost()?.iter().sum();
        let window = |at, count| Lost { from: self.looked_at, to: now, at, count };
        let mut windows = Vec::new();
        if lost > self.lost_before {
            windows.push(window(LossPoint::Ring, lost - self.lost_before));
        }
        if self.undecodable > 0 {
            windows.push(window(LossPoint::Decode, self.undecodable));
        }
        self.lost_before = lost;
        self.undecodable = 0;
        self.looked_at = now;
        Ok(windows)
    }

    /// Hits of each probe so far that are no event.
    ///
    /// # Errors
    /// The counters could not be read.
    pub fn eventless(&self) -> Result<[u64; ProbeId::COUNT], LoadError> {
        self.counters.eventless()
    }

    /// Hits of each probe so far: the records that were taken, those that were lost, and the hits that needed none.
    ///
    /// # Errors
    /// The counters could not be read.
    pub fn hits(&self) -> Result<[u64; ProbeId::COUNT], LoadError> {
        let mut hits = self.counters.lost()?;
        for (hits, others) in hits.iter_mut().zip(self.taken.iter().zip(self.counters.eventless()?)) {
            *hits += others.0 + others.1;
        }
        Ok(hits)
    }
}
