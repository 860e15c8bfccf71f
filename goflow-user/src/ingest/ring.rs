//! Takes records out of the kernel's ring buffer, and notices what the kernel had to drop.
//!
//! In: the maps of a session; out: decoded events in time order with loss windows between them. Nothing wakes this
//! reader: the kernel side submits without a wake-up (a forced one costs the target 6 µs a hit), so the caller polls.

use super::decode::{self, Decoded};
use super::event::{Event, LossPoint, Lost, MonotonicNs};
use super::order::Orderer;
use crate::probe::load::{Counters, LoadError};
use aya::maps::{MapData, RingBuf};
use goflow_common::probe::ProbeId;

/// Records taken in one go, so that a busy target cannot keep the caller from its other duties.
pub const MOST_PER_DRAIN: usize = 65_536;

/// Reads one session's ring buffer.
pub struct RingReader {
    events: RingBuf<MapData>,
    counters: Counters,
    taken: [u64; ProbeId::COUNT],
    orderer: Orderer,
    lost_before: u64,
    looked_at: MonotonicNs,
    undecodable: u64,
}

impl RingReader {
    /// A reader for maps that were just created, at time `now`.
    #[must_use]
    pub fn new(events: RingBuf<MapData>, counters: Counters, now: MonotonicNs) -> Self {
        Self {
            events,
            counters,
            taken: [0; ProbeId::COUNT],
            orderer: Orderer::default(),
            lost_before: 0,
            looked_at: now,
            undecodable: 0,
        }
    }

    /// Takes what is there. `seen` is shown every record as it comes (unordered); `out` gets the events whose order is
    /// certain. Returns how many records were taken.
    pub fn drain(&mut self, now: MonotonicNs, seen: &mut dyn FnMut(&Decoded), out: &mut Vec<Event>) -> usize {
        let mut taken = 0;
        while taken < MOST_PER_DRAIN {
            let Some(record) = self.events.next() else { break };
            taken += 1;
            match decode::decode(&record) {
                Ok(decoded) => {
                    self.taken[decoded.probe as usize] += 1;
                    seen(&decoded);
                    self.orderer.push(decoded.event);
                }
                Err(error) => {
                    self.undecodable += 1;
                    tracing::debug!(%error, "a record could not be decoded");
                }
            }
        }
        self.orderer.release(now, out);
        taken
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

    /// Hits of each probe so far: the records that were taken, and those that were lost.
    ///
    /// # Errors
    /// The counters could not be read.
    pub fn hits(&self) -> Result<[u64; ProbeId::COUNT], LoadError> {
        let mut hits = self.counters.lost()?;
        for (hits, taken) in hits.iter_mut().zip(self.taken) {
            *hits += taken;
        }
        Ok(hits)
    }
}
