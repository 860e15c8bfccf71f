//! What follows from events, held back until it is known that they were all there.
//!
//! Probes of a level come out, and go in, one after another, and that they did so is told once all have: by then events have come that
//! only some of them could tell of. A channel that is closed, collected, made anew at the same address and closed again looks like one
//! that is closed twice when its making is the one that was not seen. So what was found waits for as long as such news may take,
//! and goes when they come.

use crate::target::id::MonotonicNs;
use std::collections::VecDeque;

/// What is held back at a time; more is not, as it will come again.
const MOST: usize = 1024;

/// What rests on events between two times.
#[derive(Clone, Debug)]
struct Held<T> {
    from: MonotonicNs,
    to: MonotonicNs,
    what: T,
}

/// What is held back, in the order of its end.
#[derive(Clone, Debug)]
pub(super) struct HeldBack<T> {
    held: VecDeque<Held<T>>,
    /// When the probes last began to come out.
    out_since: MonotonicNs,
}

impl<T> Default for HeldBack<T> {
    fn default() -> Self {
        Self { held: VecDeque::new(), out_since: MonotonicNs(u64::MAX) }
    }
}

impl<T> HeldBack<T> {
    pub(super) fn hold(&mut self, (from, to): (MonotonicNs, MonotonicNs), what: T) {
        if self.held.len() < MOST {
            self.held.push_back(Held { from, to, what });
        }
    }

    /// From `t` on the probes came out, or, if `is_in`, from `t` on they were all in again.
    pub(super) fn turned(&mut self, t: MonotonicNs, is_in: bool) {
        if is_in {
            let out_since = self.out_since;
            self.held.retain(|held| held.to < out_since || held.from >= t);
        } else {
            self.out_since = t;
            self.held.retain(|held| held.to < t);
        }
    }

    /// What is certain at `now`, where news take `ns` at most.
    pub(super) fn ready(&mut self, now: MonotonicNs, ns: u64) -> Vec<T> {
        let is_ready = |held: &Held<T>| now.0.saturating_sub(held.to.0) >= ns;
        let ready = self.held.iter().take_while(|held| is_ready(held)).count();
        self.held.drain(..ready).map(|held| held.what).collect()
    }

    /// Everything: no news will come.
    pub(super) fn all(&mut self) -> Vec<T> {
        self.held.drain(..).map(|held| held.what).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(spans: &[(u64, u64)]) -> HeldBack<(u64, u64)> {
        let mut held = HeldBack::default();
        spans.iter().for_each(|&(from, to)| held.hold((MonotonicNs(from), MonotonicNs(to)), (from, to)));
        held
    }

    #[test]
    fn what_ends_after_the_probes_began_to_come_out_goes() {
        let mut out = held(&[(1, 5), (2, 10), (11, 12)]);
        out.turned(MonotonicNs(10), false);
        assert_eq!(out.all(), [(1, 5)]);
    }

    #[test]
    fn what_begins_before_all_were_in_again_goes_and_what_was_before_stays() {
        let mut turned = held(&[(1, 5)]);
        turned.turned(MonotonicNs(10), false);
        for (from, to) in [(3, 19), (19, 21), (20, 22)] {
            turned.hold((MonotonicNs(from), MonotonicNs(to)), (from, to));
        }
        turned.turned(MonotonicNs(20), true);
        assert_eq!(turned.all(), [(1, 5), (20, 22)]);
    }

    #[test]
    fn it_is_certain_once_no_news_can_come() {
        let mut held = held(&[(1, 5), (6, 8)]);
        assert_eq!(held.ready(MonotonicNs(14), 10), []);
        assert_eq!(held.ready(MonotonicNs(15), 10), [(1, 5)]);
        assert_eq!(held.all(), [(6, 8)]);
    }
}
