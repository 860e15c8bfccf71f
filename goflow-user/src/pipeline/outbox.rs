//! What waits for room in the queue to the sink thread.
//!
//! In: messages in order; out: the same, in the same order, into a bounded channel, without ever waiting for it. The bound
//! that matters is events, and messages differ in size by a thousand: on a busy machine the sink thread is late while
//! every look at the buffers brings a handful of events, so waiting batches grow before new ones are made. What exceeds
//! the bound is dropped, counted, and reported in its place in the stream as soon as there is room.

use super::Message;
use crate::ingest::event::{Event, LossPoint, Lost};
use crossbeam_channel::{Sender, TrySendError};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Events in one message, at most.
const BATCH: usize = 2048;
/// Events that may wait here: with the channel's own, about 100,000 or 10 MB.
const MOST_WAITING: usize = 80 * 1024;

/// An ordered outbox in front of a bounded channel.
pub(super) struct Outbox {
    channel: Sender<Message>,
    waiting: VecDeque<Message>,
    /// Events in `waiting`.
    events: usize,
    /// Dropped since the last event that was taken.
    dropped: Option<Lost>,
    /// Taken in all.
    total_taken: u64,
    /// Dropped in all.
    total_dropped: u64,
    /// Taken and not yet written, here and behind the channel.
    unwritten: Arc<AtomicU64>,
    closed: bool,
}

impl Outbox {
    /// In front of `channel`; adds to `unwritten` what whoever writes takes off again.
    pub(super) fn new(channel: Sender<Message>, unwritten: Arc<AtomicU64>) -> Self {
        Self {
            channel,
            waiting: VecDeque::new(),
            events: 0,
            dropped: None,
            total_taken: 0,
            total_dropped: 0,
            unwritten,
            closed: false,
        }
    }

    /// True once nobody reads the channel any more.
    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Events taken so far.
    pub(super) fn total_taken(&self) -> u64 {
        self.total_taken
    }

    /// Events dropped so far.
    pub(super) fn total_dropped(&self) -> u64 {
        self.total_dropped
    }

    /// Takes one of the few messages without which later ones cannot be understood; it is never dropped.
    pub(super) fn push(&mut self, message: Message) {
        if let Message::Inferred(changes) = &message {
            self.unwritten.fetch_add(changes.len() as u64, Ordering::Relaxed);
        }
        self.waiting.push_back(message);
    }

    /// Takes events, as many as fit.
    pub(super) fn push_events(&mut self, mut events: Vec<Event>) {
        let excess = events.split_off(events.len().min(MOST_WAITING.saturating_sub(self.events)));
        if !events.is_empty() {
            self.report_dropped();
            self.append(events);
        }
        self.drop_events(&excess);
    }

    fn append(&mut self, events: Vec<Event>) {
        self.events += events.len();
        self.total_taken += events.len() as u64;
        self.unwritten.fetch_add(events.len() as u64, Ordering::Relaxed);
        let mut events = events.into_iter().peekable();
        if let Some(Message::Events(last)) = self.waiting.back_mut() {
            let room = BATCH.saturating_sub(last.len());
            last.extend(events.by_ref().take(room));
        }
        while events.peek().is_some() {
            self.waiting.push_back(Message::Events(events.by_ref().take(BATCH).collect()));
        }
    }

    fn drop_events(&mut self, events: &[Event]) {
        let (Some(first), Some(last)) = (events.first(), events.last()) else { return };
        let window = Lost { from: first.t, to: last.t, at: LossPoint::Sink, count: 0 };
        let lost = self.dropped.get_or_insert(window);
        lost.to = last.t;
        lost.count += events.len() as u64;
        self.total_dropped += events.len() as u64;
    }

    fn report_dropped(&mut self) {
        if let Some(lost) = self.dropped.take() {
            self.waiting.push_back(Message::Lost(lost));
        }
    }

    /// Passes on what the channel has room for.
    pub(super) fn pump(&mut self) {
        while let Some(message) = self.waiting.pop_front() {
            let events = events_in(&message);
            match self.channel.try_send(message) {
                Ok(()) => self.events -= events,
                Err(TrySendError::Full(message)) => return self.waiting.push_front(message),
                Err(TrySendError::Disconnected(_)) => return self.close(),
            }
        }
    }

    /// Passes everything on, and waits for room: for when no probe is in any more, so that nothing is lost by it.
    pub(super) fn flush(&mut self) {
        self.report_dropped();
        while let Some(message) = self.waiting.pop_front() {
            self.events -= events_in(&message);
            if self.channel.send(message).is_err() {
                return self.close();
            }
        }
    }

    fn close(&mut self) {
        self.closed = true;
        self.waiting.clear();
        self.events = 0;
    }
}

fn events_in(message: &Message) -> usize {
    match message {
        Message::Events(events) => events.len(),
        Message::Meta(_)
        | Message::Process(_)
        | Message::Exit(_)
        | Message::Inferred(_)
        | Message::Snapshot(..)
        | Message::Lost(_)
        | Message::Gap(_)
        | Message::Coverage(_)
        | Message::Totals(_)
        | Message::Control(_)
        | Message::Finding(_)
        | Message::Progress(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingest::event::{EventKind, MonotonicNs};
    use crate::target::{Pid, Tid};
    use crossbeam_channel::{Receiver, bounded};

    fn events(times: std::ops::Range<u64>) -> Vec<Event> {
        let event = |t| Event {
            t: MonotonicNs(t),
            pid: Pid(1),
            tid: Tid(1),
            goid: None,
            kind: EventKind::GoroutineExit,
        };
        times.map(event).collect()
    }

    /// Times of events, and losses as (from, to, count), in the order of the channel.
    fn received(channel: &Receiver<Message>) -> (Vec<u64>, Vec<(u64, u64, u64)>) {
        let (mut times, mut lost) = (Vec::new(), Vec::new());
        for message in channel.try_iter() {
            match message {
                Message::Events(events) => times.extend(events.iter().map(|event| event.t.0)),
                Message::Lost(window) => lost.push((window.from.0, window.to.0, window.count)),
                Message::Meta(_)
                | Message::Process(_)
                | Message::Exit(_)
                | Message::Inferred(_)
                | Message::Snapshot(..)
                | Message::Gap(_)
                | Message::Coverage(_)
                | Message::Totals(_)
                | Message::Control(_)
                | Message::Finding(_)
                | Message::Progress(_) => {}
            }
        }
        (times, lost)
    }

    #[test]
    fn many_small_batches_wait_without_loss_and_keep_their_order() {
        let (sender, receiver) = bounded(1);
        let mut outbox = Outbox::new(sender, Arc::default());
        for t in 0..10_000 {
            outbox.push_events(events(t..t + 1));
            outbox.pump();
        }
        assert!(outbox.waiting.len() < 10, "{} messages for 10,000 events", outbox.waiting.len());
        let mut times = Vec::new();
        while times.len() < 10_000 {
            times.extend(received(&receiver).0);
            outbox.pump();
        }
        assert_eq!(times, (0..10_000).collect::<Vec<_>>());
        assert_eq!(outbox.total_dropped(), 0);
    }

    #[test]
    fn what_exceeds_the_bound_is_one_loss_between_what_was_kept() {
        let (sender, receiver) = bounded(1000);
        let mut outbox = Outbox::new(sender, Arc::default());
        let most = MOST_WAITING as u64;
        outbox.push_events(events(0..most + 5));
        outbox.push_events(events(most + 5..most + 7));
        assert_eq!((outbox.total_taken(), outbox.total_dropped()), (most, 7));
        assert_eq!(outbox.unwritten.load(Ordering::Relaxed), most);
        outbox.pump();
        outbox.push_events(events(most + 7..most + 9));
        outbox.flush();
        let (times, lost) = received(&receiver);
        assert_eq!(lost, [(most, most + 6, 7)]);
        assert_eq!(times.len() as u64, most + 2);
        assert_eq!(times.last(), Some(&(most + 8)));
    }

    #[test]
    fn a_loss_with_nothing_after_it_is_reported_at_the_end() {
        let (sender, receiver) = bounded(1000);
        let mut outbox = Outbox::new(sender, Arc::default());
        outbox.push_events(events(0..MOST_WAITING as u64 + 1));
        outbox.flush();
        let most = MOST_WAITING as u64;
        assert_eq!(received(&receiver).1, [(most, most, 1)]);
    }

    #[test]
    fn a_reader_that_is_gone_is_noticed_and_nothing_piles_up() {
        let (sender, receiver) = bounded(1);
        let mut outbox = Outbox::new(sender, Arc::default());
        drop(receiver);
        outbox.push_events(events(0..10));
        outbox.pump();
        assert!(outbox.is_closed() && outbox.waiting.is_empty());
    }
}
