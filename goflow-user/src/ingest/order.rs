//! Puts events into the order of their time.
//!
//! The rings of several CPUs are read one after the other, and within a ring a task that is preempted while it writes its
//! record ends up before one with an earlier time. What makes an order certain depends on the kind of ring:
//!
//! - In goflow's own rings the time is taken *after* room was reserved. A ring of which everything was read that had been
//!   reserved at a look can therefore only bring times after that look; one where a record is still being written brings
//!   nothing from before the last look that found it complete. The earliest of these moments over all rings is certain.
//! - In the kernel's ring the time is taken before, so two CPUs can enter their records in the other order, and one record
//!   can come late by as long as its task did not run. There, events are held for [`HOLD_NS`].
//!
//! ```text
//! CPU 0   t=10 ─────────────reserve        kernel's ring: t=12, t=10
//! CPU 1          t=12 ─reserve             released:      t=10, t=12
//! ```
//!
//! The contract: events from before a moment that the caller knows to be certain are released in order. An event that comes
//! later than that is released with the next ones and counted as late; it is never dropped. Pure: the caller tells the
//! time.

use super::event::{Event, MonotonicNs};

/// How long events of the kernel's ring are held. Longer than a scheduling quantum of a loaded machine, shorter than a
/// person notices.
pub const HOLD_NS: u64 = 10_000_000;

/// Events for which room is kept between two looks.
const USUALLY_HELD: usize = 16 * 1024;

/// Holds the youngest events back until their order is certain.
#[derive(Debug, Default)]
pub struct Orderer {
    /// In the order they came.
    held: Vec<Event>,
    released: MonotonicNs,
    late: u64,
}

impl Orderer {
    /// Takes one event, of any ring of any session. Those of one ring come in its order.
    pub fn push(&mut self, event: Event) {
        if event.t < self.released {
            self.late += 1;
        }
        self.held.push(event);
    }

    /// Hands out what happened before `certain`.
    pub fn release(&mut self, certain: MonotonicNs) -> impl Iterator<Item = Event> {
        // After a time in which much was held.
        self.held.shrink_to(USUALLY_HELD.max(self.held.len()));
        self.sort();
        let count = self.held.partition_point(|event| event.t < certain);
        self.released = self.released.max(certain);
        self.held.drain(..count)
    }

    /// Hands out everything that is held: nothing can come any more.
    pub fn finish(&mut self) -> impl Iterator<Item = Event> {
        self.sort();
        self.held.drain(..)
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
    fn what_comes_in_another_order_goes_out_in_order_and_not_before_it_is_certain() {
        let mut orderer = Orderer::default();
        let mut out = Vec::new();
        orderer.push(at(12));
        orderer.push(at(10));
        out.extend(orderer.release(MonotonicNs(10)));
        assert_eq!(times(&out), [0; 0]);
        orderer.push(at(11));
        out.extend(orderer.release(MonotonicNs(13)));
        assert_eq!(times(&out), [10, 11, 12]);
        assert_eq!(orderer.late(), 0);
    }

    #[test]
    fn an_event_that_comes_too_late_is_counted_and_still_delivered() {
        let mut orderer = Orderer::default();
        let mut out = Vec::new();
        orderer.push(at(30));
        out.extend(orderer.release(MonotonicNs(30)));
        orderer.push(at(5));
        out.extend(orderer.finish());
        assert_eq!(times(&out), [5, 30]);
        assert_eq!(orderer.late(), 1);
    }

    proptest! {
        #[test]
        fn whatever_comes_before_it_is_certain_is_put_in_order(
            jitter in proptest::collection::vec(0..HOLD_NS, 1..200),
            step in 1..HOLD_NS / 4,
            batch in 1usize..20,
        ) {
            let mut orderer = Orderer::default();
            let mut out = Vec::new();
            // A record comes `jitter` after its time.
            let mut hits: Vec<(u64, u64)> =
                jitter.iter().enumerate().map(|(i, j)| (i as u64 * step + j, i as u64 * step)).collect();
            hits.sort_by_key(|hit| hit.0);
            for chunk in hits.chunks(batch) {
                chunk.iter().for_each(|hit| orderer.push(at(hit.1)));
                out.extend(orderer.release(MonotonicNs(chunk[0].0.saturating_sub(HOLD_NS))));
            }
            out.extend(orderer.finish());
            prop_assert_eq!(out.len(), jitter.len());
            prop_assert_eq!(orderer.late(), 0);
            prop_assert!(out.is_sorted_by_key(|event| event.t));
        }
    }
}
