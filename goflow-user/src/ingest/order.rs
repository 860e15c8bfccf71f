//! Puts events into the order of their time.
//!
//! The rings of two CPUs are read one after the other. And the kernel side takes the time of a hit *before* it reserves
//! room, so a task that is preempted between the two enters its record late, behind that of another task:
//!
//! ```text
//! task A   t=10 ─────────────reserve        ring order: t=12, t=10
//! task B          t=12 ─reserve             released:   t=10, t=12
//! ```
//!
//! The contract: an event is held until one at least [`HOLD_NS`] younger has been seen (or the clock says so), and then
//! released in order. An event that comes later than that is released at once and counted as late; it is never
//! dropped. Pure: the caller tells the time.

use super::event::{Event, MonotonicNs};

/// How long an event is held. Longer than a scheduling quantum of a loaded machine, shorter than a person notices.
pub const HOLD_NS: u64 = 10_000_000;

/// Holds the youngest events back until their order is certain.
#[derive(Debug, Default)]
pub struct Orderer {
    /// In the order they came.
    held: Vec<Event>,
    newest: MonotonicNs,
    released: MonotonicNs,
    late: u64,
}

impl Orderer {
    /// Takes one event. Those of one ring come in its order.
    pub fn push(&mut self, event: Event) {
        self.newest = self.newest.max(event.t);
        if event.t < self.released {
            self.late += 1;
        }
        self.held.push(event);
    }

    /// Appends to `out` what is certain when it is `now`, which must not be behind the hits seen so far.
    pub fn release(&mut self, now: MonotonicNs, out: &mut Vec<Event>) {
        self.release_until(MonotonicNs(self.newest.max(now).0.saturating_sub(HOLD_NS)), out);
    }

    /// As [`Self::release`], when a ring has been read only up to an event at `read_until`.
    pub fn release_of_partly_read(&mut self, read_until: MonotonicNs, out: &mut Vec<Event>) {
        self.release_until(MonotonicNs(read_until.0.saturating_sub(HOLD_NS)), out);
    }

    fn release_until(&mut self, certain: MonotonicNs, out: &mut Vec<Event>) {
        self.sort();
        let count = self.held.partition_point(|event| event.t <= certain);
        self.released = self.released.max(certain);
        out.extend(self.held.drain(..count));
    }

    /// Appends everything that is held: nothing can come any more.
    pub fn finish(&mut self, out: &mut Vec<Event>) {
        self.sort();
        self.released = self.newest;
        out.append(&mut self.held);
    }

    /// What is held consists of a few runs that are nearly in order, which a stable sort merges. Equal times keep the
    /// order of their ring.
    fn sort(&mut self) {
        self.held.sort_by_key(|event| event.t);
    }

    /// Events that came too late to be put in order.
    #[must_use]
    pub fn late(&self) -> u64 {
        self.late
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingest::event::{EventKind, Goid, Pid, Tid};
    use proptest::prelude::*;

    fn at(t: u64) -> Event {
        Event {
            t: MonotonicNs(t),
            pid: Pid(1),
            tid: Tid(1),
            goid: Some(Goid(1)),
            kind: EventKind::GoroutineExit,
        }
    }

    fn times(events: &[Event]) -> Vec<u64> {
        events.iter().map(|event| event.t.0).collect()
    }

    #[test]
    fn what_is_behind_a_partly_read_ring_waits_for_it() {
        let mut orderer = Orderer::default();
        let mut out = Vec::new();
        orderer.push(at(1));
        orderer.push(at(HOLD_NS + 5));
        orderer.push(at(HOLD_NS * 9));
        orderer.release_of_partly_read(MonotonicNs(HOLD_NS + 5), &mut out);
        assert_eq!(times(&out), [1]);
        orderer.push(at(HOLD_NS + 6));
        orderer.release(MonotonicNs(HOLD_NS * 10), &mut out);
        assert_eq!(times(&out), [1, HOLD_NS + 5, HOLD_NS + 6, HOLD_NS * 9]);
        assert_eq!(orderer.late(), 0);
    }

    #[test]
    fn records_that_two_cpus_entered_in_the_other_order_come_out_in_order() {
        let mut orderer = Orderer::default();
        let mut out = Vec::new();
        orderer.push(at(12));
        orderer.push(at(10));
        orderer.release(MonotonicNs(12), &mut out);
        assert_eq!(times(&out), [0; 0]);
        orderer.release(MonotonicNs(12 + HOLD_NS), &mut out);
        assert_eq!(times(&out), [10, 12]);
        assert_eq!(orderer.late(), 0);
    }

    #[test]
    fn an_event_that_comes_too_late_is_counted_and_still_delivered() {
        let mut orderer = Orderer::default();
        let mut out = Vec::new();
        orderer.push(at(HOLD_NS * 3));
        orderer.release(MonotonicNs(HOLD_NS * 3), &mut out);
        orderer.push(at(5));
        orderer.finish(&mut out);
        assert_eq!(times(&out), [5, HOLD_NS * 3]);
        assert_eq!(orderer.late(), 1);
    }

    proptest! {
        #[test]
        fn displacement_below_the_hold_is_always_put_right(
            jitter in proptest::collection::vec(0..HOLD_NS, 1..200),
            step in 1..HOLD_NS / 4,
            batch in 1usize..20,
        ) {
            let mut orderer = Orderer::default();
            let mut out = Vec::new();
            // The ring order is that of the reservation, which is `jitter` after the hit.
            let mut hits: Vec<(u64, u64)> =
                jitter.iter().enumerate().map(|(i, j)| (i as u64 * step + j, i as u64 * step)).collect();
            hits.sort_by_key(|hit| hit.0);
            for chunk in hits.chunks(batch) {
                chunk.iter().for_each(|hit| orderer.push(at(hit.1)));
                orderer.release(MonotonicNs(chunk[0].1), &mut out);
            }
            orderer.finish(&mut out);
            prop_assert_eq!(out.len(), jitter.len());
            prop_assert_eq!(orderer.late(), 0);
            prop_assert!(out.is_sorted_by_key(|event| event.t));
        }
    }
}
