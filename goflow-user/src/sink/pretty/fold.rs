//! Repeats of one second as counts by kind and site.
//!
//! In: digests of events; out: the rows with the highest counts, and how many events the other rows hold. Nothing is
//! dropped without being counted: a row beyond the limit goes to a remainder that is shown.

use foldhash::HashMap;

use super::book::{SiteId, TextId};
use crate::ingest::event::{ChanAddr, Pid, SyncPrimitive};

/// Rows to keep apart in one second.
const ROW_LIMIT: usize = 10_000;

/// What makes two events a repeat of each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    /// Position in [`crate::sink::words::KINDS`].
    pub(super) kind: usize,
    /// Where, if that is known.
    pub(super) site: Option<SiteId>,
    /// What else tells the event from others at its site.
    pub(super) detail: Detail,
}

/// The part of an event that is neither its kind, its site nor its channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Detail {
    /// Nothing.
    None,
    /// A wait reason or a start function.
    Text(TextId),
    /// Kind of sync object.
    Sync(SyncPrimitive),
    /// Numbers of send and receive cases.
    Cases(u32, u32),
}

/// The channels of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Channels {
    /// The events are about no channel, or a nil one.
    None,
    /// All events are about this one, with the type of its elements where that is known.
    One(Pid, ChanAddr, Option<TextId>),
    /// About more than one, with the type of their elements where all have the same.
    Several(Option<TextId>),
}

impl Channels {
    fn elem_type(self) -> Option<TextId> {
        match self {
            Self::None => None,
            Self::One(_, _, elem_type) | Self::Several(elem_type) => elem_type,
        }
    }

    fn and(self, other: Self) -> Self {
        if self == other {
            return self;
        }
        // The type of a channel may become known in between.
        if let (Self::One(pid, chan, elem_type), Self::One(other_pid, other_chan, other_type)) = (self, other)
            && (pid, chan) == (other_pid, other_chan)
        {
            return Self::One(pid, chan, elem_type.or(other_type));
        }
        Self::Several(self.elem_type().filter(|elem_type| other.elem_type() == Some(*elem_type)))
    }
}

/// One row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Row {
    /// How many events.
    pub(super) count: u64,
    /// Their channels.
    pub(super) channels: Channels,
}

/// The events of one window.
#[derive(Default)]
pub(super) struct Fold {
    rows: HashMap<Key, Row>,
    beyond_limit: u64,
    events: u64,
}

impl Fold {
    /// Counts one event.
    pub(super) fn add(&mut self, key: Key, channels: Channels) {
        self.events += 1;
        if let Some(row) = self.rows.get_mut(&key) {
            row.count += 1;
            row.channels = row.channels.and(channels);
        } else if self.rows.len() < ROW_LIMIT {
            self.rows.insert(key, Row { count: 1, channels });
        } else {
            self.beyond_limit += 1;
        }
    }

    /// How many events are folded.
    pub(super) fn events(&self) -> u64 {
        self.events
    }

    /// The `most` rows with the highest counts, in a fixed order, and the number of rows and events left out (rows
    /// beyond the limit count as one).
    pub(super) fn top(&self, most: usize) -> (Vec<(Key, Row)>, usize, u64) {
        let mut rows: Vec<_> = self.rows.iter().map(|(key, row)| (*key, *row)).collect();
        rows.sort_unstable_by_key(|(key, row)| (std::cmp::Reverse(row.count), key.kind, key.site));
        let left_out = rows.split_off(most.min(rows.len()));
        let events = left_out.iter().map(|(_, row)| row.count).sum::<u64>() + self.beyond_limit;
        (rows, left_out.len() + usize::from(self.beyond_limit > 0), events)
    }

    /// Starts over; keeps its memory, because the next second will look alike.
    pub(super) fn clear(&mut self) {
        self.rows.clear();
        self.beyond_limit = 0;
        self.events = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(kind: usize, cases: u32) -> Key {
        Key { kind, site: None, detail: Detail::Cases(cases, 0) }
    }

    #[test]
    fn rows_come_by_count_and_what_is_left_out_is_counted() {
        let mut fold = Fold::default();
        for (kind, times) in [(5, 2), (6, 9), (2, 1), (8, 4)] {
            for _ in 0..times {
                fold.add(key(kind, 0), Channels::None);
            }
        }
        let (rows, left_rows, left_events) = fold.top(2);
        let shown: Vec<_> = rows.iter().map(|(key, row)| (key.kind, row.count)).collect();
        assert_eq!(shown, [(6, 9), (8, 4)]);
        assert_eq!((left_rows, left_events), (2, 3));
        assert_eq!(fold.events(), 16);
    }

    #[test]
    fn rows_beyond_the_limit_are_counted_in_the_remainder() {
        let mut fold = Fold::default();
        for cases in 0..ROW_LIMIT as u32 + 5 {
            fold.add(key(8, cases), Channels::None);
        }
        let (rows, _, left_events) = fold.top(1);
        assert_eq!(rows.iter().map(|(_, row)| row.count).sum::<u64>() + left_events, fold.events());
        assert_eq!(fold.rows.len(), ROW_LIMIT);
    }

    #[test]
    fn a_row_about_two_channels_names_neither_but_what_they_have_in_common() {
        let text = |number| Some(TextId::of_test(number));
        let channels = |chans: &[(u64, Option<TextId>)]| {
            let mut fold = Fold::default();
            for (chan, elem_type) in chans {
                fold.add(key(5, 0), Channels::One(Pid(1), ChanAddr(*chan), *elem_type));
            }
            fold.top(1).0[0].1.channels
        };
        let (int, string) = (text(1), text(2));
        assert_eq!(channels(&[(1, int), (1, int)]), Channels::One(Pid(1), ChanAddr(1), int));
        assert_eq!(channels(&[(1, int), (2, int), (1, int)]), Channels::Several(int));
        assert_eq!(channels(&[(1, int), (2, string), (1, int)]), Channels::Several(None));
        assert_eq!(channels(&[(1, int), (2, None), (3, int)]), Channels::Several(None));
    }
}
