//! What goroutines wait for: channels and sync objects of the model.

use super::misuse::Closed;
use crate::binary::addr::RuntimeAddr;
use crate::target::id::{ChanAddr, Goid, MonotonicNs, SyncPrimitive};
use crate::target::snapshot::Direction;
use foldhash::HashMap;

/// Distinct goroutines remembered for each role of a channel; more are only counted.
const USERS: usize = 16;

/// A channel.
#[derive(Clone, Debug)]
pub struct Channel {
    /// Address of its `hchan`.
    pub address: ChanAddr,
    /// Who made it, where and when, if that was seen.
    pub made: Option<Made>,
    /// Size of its buffer in values.
    pub cap: Option<u64>,
    /// Size of a value in bytes.
    pub elem_size: Option<u32>,
    /// Type descriptor of a value.
    pub elem_type: Option<RuntimeAddr>,
    /// Values in the buffer, and when that was read.
    pub len: Option<(u64, MonotonicNs)>,
    /// Where the next value is sent and received, and how many there are, in the last snapshot.
    pub(super) position: Option<(u64, u64, u64)>,
    /// When a snapshot last had values come or go in the buffer since the one before.
    pub moved: Option<MonotonicNs>,
    /// Goroutines that had it on their stacks, or one step from there, when it last had values; some if they are many.
    pub at_hand: Vec<Goid>,
    /// Sends that were called.
    pub sends: Use,
    /// Receives that were called.
    pub receives: Use,
    /// Its close, if that was seen.
    pub closed: Option<Closed>,
    /// When it was last heard of.
    pub last: MonotonicNs,
}

/// The making of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Made {
    /// By whom.
    pub by: Option<Goid>,
    /// Return address in the function that made it.
    pub site: Option<RuntimeAddr>,
    /// When.
    pub at: MonotonicNs,
}

/// One side of a channel.
#[derive(Clone, Debug, Default)]
pub struct Use {
    /// Operations that were called. One case of a `select` is not counted: which case it took is not seen.
    pub count: u64,
    /// Goroutines that used it so, with how often; the first [`USERS`] of them.
    pub users: Vec<(Goid, u64)>,
    /// Operations by goroutines that are not among `users`.
    pub others: u64,
    /// Nanoseconds that goroutines were blocked on this side, in waits that ended.
    pub blocked_ns: u64,
    /// How many such waits there were.
    pub blocked: u64,
    /// First and last operation.
    pub span: Option<(MonotonicNs, MonotonicNs)>,
}

impl Use {
    pub(super) fn add(&mut self, goid: Option<Goid>, at: MonotonicNs) {
        self.count += 1;
        let first = self.span.map_or(at, |(first, _)| first);
        self.span = Some((first, at));
        let Some(goid) = goid else {
            self.others += 1;
            return;
        };
        if let Some((_, count)) = self.users.iter_mut().find(|(user, _)| *user == goid) {
            *count += 1;
        } else if self.users.len() < USERS {
            self.users.push((goid, 1));
        } else {
            self.others += 1;
        }
    }

    pub(super) fn waited(&mut self, ns: u64) {
        self.blocked += 1;
        self.blocked_ns = self.blocked_ns.saturating_add(ns);
    }

    /// Operations a second between the first and the last; `None` for fewer than two.
    #[must_use]
    pub fn rate(&self) -> Option<f64> {
        let (first, last) = self.span?;
        let ns = last.0.checked_sub(first.0).filter(|ns| *ns > 0)?;
        Some((self.count.saturating_sub(1)) as f64 * 1e9 / ns as f64)
    }
}

impl Channel {
    pub(super) fn new(address: ChanAddr, at: MonotonicNs) -> Self {
        Self {
            address,
            made: None,
            cap: None,
            elem_size: None,
            elem_type: None,
            len: None,
            position: None,
            moved: None,
            at_hand: Vec::new(),
            sends: Use::default(),
            receives: Use::default(),
            closed: None,
            last: at,
        }
    }

    /// The side that `direction` uses; `None` for the directions of other objects.
    pub(super) fn side(&mut self, direction: Direction) -> Option<&mut Use> {
        match direction {
            Direction::Send => Some(&mut self.sends),
            Direction::Receive => Some(&mut self.receives),
            Direction::Read | Direction::Write => None,
        }
    }
}

/// A mutex, wait group, condition variable or semaphore that somebody has waited for.
#[derive(Clone, Debug)]
pub struct SyncObject {
    /// What it is.
    pub kind: SyncPrimitive,
    /// Where.
    pub address: RuntimeAddr,
    /// Waits for it that were seen to begin.
    pub waits: u64,
    /// Nanoseconds that goroutines were blocked on it, in waits that ended.
    pub blocked_ns: u64,
    /// When it was last heard of.
    pub last: MonotonicNs,
}

/// Objects by identity, at most so many: the one unheard of for longest makes room.
#[derive(Clone, Debug)]
pub(super) struct Objects<K, V> {
    map: HashMap<K, V>,
    most: usize,
    /// How many had to leave although they may still be there.
    forgotten: u64,
}

impl<K: Copy + Eq + std::hash::Hash, V> Objects<K, V> {
    pub(super) fn new(most: usize) -> Self {
        Self { map: HashMap::default(), most, forgotten: 0 }
    }

    pub(super) fn get(&self, key: &K) -> Option<&V> {
        self.map.get(key)
    }

    pub(super) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.map.get_mut(key)
    }

    /// The object, made where it is not known. `last` tells when one was last heard of.
    pub(super) fn entry(&mut self, key: K, last: fn(&V) -> MonotonicNs, make: impl FnOnce() -> V) -> &mut V {
        if self.map.len() >= self.most && !self.map.contains_key(&key) {
            self.forget_the_older_half(last);
        }
        self.map.entry(key).or_insert_with(make)
    }

    /// Half at once, so that it costs a constant share of what made it necessary.
    fn forget_the_older_half(&mut self, last: fn(&V) -> MonotonicNs) {
        let mut times: Vec<MonotonicNs> = self.map.values().map(last).collect();
        let middle = times.len() / 2;
        let (_, median, _) = times.select_nth_unstable(middle);
        let median = *median;
        let before = self.map.len();
        self.map.retain(|_, value| last(value) > median);
        self.forgotten += (before - self.map.len()) as u64;
    }

    pub(super) fn insert(&mut self, key: K, value: V) {
        self.map.insert(key, value);
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &V> {
        self.map.values()
    }

    pub(super) fn retain(&mut self, mut keep: impl FnMut(&V) -> bool) {
        self.map.retain(|_, value| keep(value));
    }

    pub(super) fn len(&self) -> usize {
        self.map.len()
    }

    pub(super) fn forgotten(&self) -> u64 {
        self.forgotten
    }
}
