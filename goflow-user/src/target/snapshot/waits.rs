//! What goroutines wait with: their sudogs, and the channels those stand at.
//!
//! In: the `g`s that wait. Out: the sudogs of each, the channels they stand at, the order of each channel's queues. A list
//! that does not hold together (a sudog of another goroutine, a cycle) is a breach of its goroutine, which is then read
//! again. Every walk is bounded by what the goroutines themselves own. What is hard is to be quick: nearly every goroutine
//! has one sudog, so those lie in one vector beside the goroutines, and are found from a channel by an order that is sorted
//! once; a hash table of them took a third of a snapshot of 100,000.

use super::Direction;
use super::raw::Raw;
use super::room;
use crate::binary::addr::RuntimeAddr;
use crate::binary::offsets::Offsets;
use crate::binary::read::{array, u8_at, u32_at, u64_at};
use crate::target::id::Goid;
use crate::target::memory::{Memory, MemoryError, read_each};
use std::collections::{HashMap, HashSet};

/// Most cases of a select (src/cmd/compile: `selectgo` counts them in 16 bits).
const MOST_CASES: usize = 1 << 16;

/// Most sudogs in all.
const MOST_SUDOGS: usize = 1 << 24;

/// Most sudogs read one by one because they joined a queue after the goroutines were read.
const MOST_LATE: usize = 4096;

pub(in crate::target) type Map<V> = HashMap<u64, V, foldhash::fast::RandomState>;
pub(in crate::target) type Set = HashSet<u64, foldhash::fast::RandomState>;

/// A `sudog` (src/runtime/runtime2.go).
#[derive(Clone, Copy, Debug)]
pub(super) struct Sudog {
    pub(super) g: u64,
    pub(super) next: u64,
    pub(super) prev: u64,
    pub(super) elem: u64,
    pub(super) c: u64,
    pub(super) waitlink: u64,
    pub(super) select: bool,
}

impl Sudog {
    pub(super) fn decode(bytes: &[u8], offsets: &Offsets) -> Option<Self> {
        let layout = &offsets.sudog;
        let word = |offset: u32| u64_at(bytes, offset as usize);
        Some(Self {
            g: word(layout.g)?,
            next: word(layout.next)?,
            prev: word(layout.prev)?,
            elem: word(layout.elem)?,
            c: word(layout.c)?,
            waitlink: word(layout.waitlink)?,
            select: u8_at(bytes, layout.is_select as usize)? != 0,
        })
    }
}

/// A sudog of a goroutine that was read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Own {
    /// Where it is; 0 for a goroutine that has none.
    address: u64,
    next: u64,
    pub(super) elem: u64,
    pub(super) c: u64,
    /// The goroutine, once it is part of the snapshot; 0 before.
    pub(super) goid: u64,
    /// Place in its queue when the channel was last read; the highest number for none.
    pub(super) place: u32,
    /// The next one of the goroutine, 0 for none.
    more: u32,
    pub(super) select: bool,
    /// The queue of its channel that it stands in, as far as known.
    pub(super) side: Option<Direction>,
}

impl Own {
    const NONE: Self = Self {
        address: 0,
        next: 0,
        elem: 0,
        c: 0,
        goid: 0,
        place: u32::MAX,
        more: 0,
        select: false,
        side: None,
    };

    fn of(address: u64, sudog: &Sudog) -> Self {
        let Sudog { next, elem, c, select, .. } = *sudog;
        Self { address, next, elem, c, select, ..Self::NONE }
    }
}

/// An `hchan` (src/runtime/chan.go).
#[derive(Clone, Copy, Debug)]
pub(super) struct Hchan {
    pub(super) len: u64,
    pub(super) cap: u64,
    pub(super) elem_size: u16,
    pub(super) elem_type: u64,
    pub(super) closed: u32,
    pub(super) sendx: u64,
    pub(super) recvx: u64,
    pub(super) timer: u64,
    first_sender: u64,
    first_receiver: u64,
}

impl Hchan {
    fn decode(bytes: &[u8], offsets: &Offsets) -> Option<Self> {
        let layout = &offsets.hchan;
        let word = |offset: u32| u64_at(bytes, offset as usize);
        let first = |queue: u32| word(queue + offsets.waitq.first);
        let hchan = Self {
            len: word(layout.qcount)?,
            cap: word(layout.dataqsiz)?,
            elem_size: array(bytes, layout.elemsize as usize).map(u16::from_le_bytes)?,
            elem_type: word(layout.elemtype)?,
            closed: u32_at(bytes, layout.closed as usize)?,
            sendx: word(layout.sendx)?,
            recvx: word(layout.recvx)?,
            timer: layout.timer.and_then(word).unwrap_or(0),
            first_sender: first(layout.sendq)?,
            first_receiver: first(layout.recvq)?,
        };
        hchan.holds_together().then_some(hchan)
    }

    /// What is true of every channel at every time.
    fn holds_together(&self) -> bool {
        let in_buffer = |index: u64| index < self.cap || index == 0;
        self.len <= self.cap && in_buffer(self.sendx) && in_buffer(self.recvx) && self.closed <= 1
    }
}

/// A sudog at a channel: sorted, those of one channel lie together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct At {
    pub(super) channel: u64,
    address: u64,
    /// Its place in [`Waits::own`].
    pub(super) own: u32,
}

/// Everything that was found, over all attempts.
#[derive(Default)]
pub(super) struct Waits {
    /// First one for each goroutine of the first attempt, in their order, then what more those have; then the next attempt.
    own: Vec<Own>,
    /// For each attempt the sudogs at channels, sorted.
    attempts: Vec<Vec<At>>,
    /// Channels of the first attempt, sorted; `None` where there is none.
    channels: Vec<(u64, Option<Hchan>)>,
    /// Channels that were read again.
    later: Map<Option<Hchan>>,
    /// Room for the order of the next snapshot's first attempt.
    room: Vec<At>,
}

impl Waits {
    /// Forgets everything, but keeps the room.
    pub(super) fn clear(&mut self) {
        self.own.clear();
        if let Some(mut order) = self.attempts.drain(..).next() {
            order.clear();
            self.room = order;
        }
        self.channels.clear();
        self.later.clear();
    }

    /// Reads the sudogs of the `waiting` goroutines and the channels they stand at. Gives the place of the first one's
    /// sudog, for [`Waits::of`], the others' following it, and the places of those whose list does not hold together.
    pub(super) fn read(
        &mut self,
        memory: &dyn Memory,
        offsets: &Offsets,
        waiting: &[&Raw],
    ) -> Result<(u32, HashSet<u32>), MemoryError> {
        let mut breached = HashSet::new();
        let from = self.own.len();
        room::reserve(&mut self.own, waiting.len());
        self.own.resize(from + waiting.len(), Own::NONE);
        let mut order = std::mem::take(&mut self.room);
        order.reserve(waiting.len());
        // Which goroutine each address is of, and the place of the sudog that led there.
        let mut addresses: Vec<u64> = Vec::with_capacity(waiting.len());
        let mut steps: Vec<(u32, u32)> = Vec::with_capacity(waiting.len());
        for (index, raw) in waiting.iter().enumerate().filter(|(_, raw)| raw.waiting != 0) {
            addresses.push(raw.waiting);
            steps.push((index as u32, 0));
        }
        let mut seen = HashSet::<(u32, u64)>::new();
        for step in 0..MOST_CASES {
            if steps.is_empty() {
                break;
            }
            let (mut next, mut next_steps) = (Vec::new(), Vec::new());
            read_each(memory, &addresses, offsets.sudog.size as usize, |at, bytes| {
                let ((index, before), address) = (steps[at], addresses[at]);
                let raw = waiting[index as usize];
                let sudog = bytes.and_then(|bytes| Sudog::decode(bytes, offsets));
                let cycle = step > 0 && (address == raw.waiting || !seen.insert((index, address)));
                let Some(sudog) = sudog.filter(|sudog| sudog.g == raw.addr && !cycle) else {
                    breached.insert(from as u32 + index);
                    return;
                };
                if self.own.len() > MOST_SUDOGS {
                    breached.insert(from as u32 + index);
                    return;
                }
                let own = Own::of(address, &sudog);
                let place = if step == 0 {
                    self.own[from + index as usize] = own;
                    from as u32 + index
                } else {
                    let place = self.own.len() as u32;
                    self.own[before as usize].more = place;
                    self.own.push(own);
                    place
                };
                // Without a channel it waits for a semaphore, whose list of others `waitlink` is.
                if sudog.c != 0 {
                    order.push(At { channel: sudog.c, address, own: place });
                    if sudog.waitlink != 0 {
                        next.push(sudog.waitlink);
                        next_steps.push((index, place));
                    }
                }
            })?;
            (addresses, steps) = (next, next_steps);
        }
        breached.extend(steps.into_iter().map(|(index, _)| from as u32 + index));
        // Stable, because much of it lies in order: allocated one after the other.
        order.sort();
        self.read_channels(memory, offsets, &order)?;
        self.attempts.push(order);
        Ok((from as u32, breached))
    }

    /// Reads the channels of `order`.
    fn read_channels(
        &mut self,
        memory: &dyn Memory,
        offsets: &Offsets,
        order: &[At],
    ) -> Result<(), MemoryError> {
        let mut addresses: Vec<u64> = order.iter().map(|at| at.channel).collect();
        addresses.dedup();
        let mut channels: Vec<(u64, Option<Hchan>)> = Vec::new();
        if self.attempts.is_empty() {
            channels = std::mem::take(&mut self.channels);
        }
        room::reserve(&mut channels, addresses.len());
        channels.extend(addresses.iter().map(|&address| (address, None)));
        read_each(memory, &addresses, offsets.hchan.size as usize, |at, bytes| {
            channels[at].1 = bytes.and_then(|bytes| Hchan::decode(bytes, offsets));
        })?;
        let mut late = MOST_LATE;
        for (group, &(address, hchan)) in order.chunk_by(|a, b| a.channel == b.channel).zip(&channels) {
            let Some(hchan) = hchan else { continue };
            let ends = [(Direction::Send, hchan.first_sender), (Direction::Receive, hchan.first_receiver)];
            if let ([alone], true) = (group, self.attempts.is_empty())
                && let Some((direction, _)) = ends.iter().find(|(_, first)| *first == alone.address)
            {
                let own = &mut self.own[alone.own as usize];
                (own.side, own.place) = (Some(*direction), 0);
                continue;
            }
            self.forget_order(address);
            for (direction, first) in ends {
                self.queue(memory, offsets, (address, direction), group, first, &mut late)?;
            }
        }
        if self.attempts.is_empty() {
            self.channels = channels;
        } else {
            self.later.extend(channels);
        }
        Ok(())
    }

    /// The sudogs at `channel` that an attempt before this one found.
    fn before(&self, channel: u64) -> impl Iterator<Item = &[At]> {
        self.attempts.iter().map(move |order| {
            let start = order.partition_point(|at| at.channel < channel);
            let len = order[start..].partition_point(|at| at.channel == channel);
            &order[start..start + len]
        })
    }

    /// Those that the channel's queues have no more come last.
    fn forget_order(&mut self, channel: u64) {
        let stale: Vec<u32> = self.before(channel).flatten().map(|at| at.own).collect();
        for own in stale {
            self.own[own as usize].place = u32::MAX;
        }
    }

    /// Walks a queue of `channel` from `first` on, as far as the sudogs are its own. `group` are those that this attempt
    /// found there.
    fn queue(
        &mut self,
        memory: &dyn Memory,
        offsets: &Offsets,
        (channel, direction): (u64, Direction),
        group: &[At],
        first: u64,
        late: &mut usize,
    ) -> Result<(), MemoryError> {
        let mut at = first;
        let mut hint = 0;
        // No queue is longer than all sudogs that are known of it, and those that came since; a cycle is.
        let mut left =
            if at == 0 { 0 } else { group.len() + self.before(channel).map(<[At]>::len).sum::<usize>() };
        let mut place = 0;
        while at != 0 {
            if let Some(own) = self.find(channel, at, group, &mut hint) {
                let Some(fewer) = left.checked_sub(1) else { break };
                left = fewer;
                let own = &mut self.own[own as usize];
                (own.side, own.place) = (Some(direction), place);
                at = own.next;
            } else {
                let Some(fewer) = late.checked_sub(1) else { break };
                *late = fewer;
                let mut bytes = vec![0; offsets.sudog.size as usize];
                let whole = memory.read(RuntimeAddr(at), &mut bytes)?;
                let sudog = whole.then(|| Sudog::decode(&bytes, offsets)).flatten();
                let Some(sudog) = sudog.filter(|sudog| sudog.c == channel) else { break };
                at = sudog.next;
            }
            place += 1;
        }
        Ok(())
    }

    /// The sudog at `address`, if it is known and stands at `channel`. The one behind `hint` is the likeliest.
    fn find(&self, channel: u64, address: u64, group: &[At], hint: &mut usize) -> Option<u32> {
        let guess = group.get(*hint).filter(|at| at.address == address);
        let place = match guess {
            Some(_) => Ok(*hint),
            None => group.binary_search_by_key(&address, |at| at.address),
        };
        if let Ok(place) = place {
            *hint = place + 1;
            return Some(group[place].own);
        }
        let own = self.before(channel).find_map(|group| {
            let place = group.binary_search_by_key(&address, |at| at.address).ok()?;
            Some(group[place].own)
        });
        own.filter(|&own| self.own[own as usize].c == channel)
    }

    /// The sudogs of a goroutine whose list was found to hold together, in lock order: from the place of its first.
    pub(super) fn of(&self, first: Option<u32>) -> impl Iterator<Item = &Own> {
        let first = first.and_then(|first| self.own.get(first as usize)).filter(|own| own.address != 0);
        std::iter::successors(first, |own| match own.more {
            0 => None,
            more => self.own.get(more as usize),
        })
    }

    /// Changes each sudog of a goroutine.
    fn each_of(&mut self, first: Option<u32>, mut change: impl FnMut(&mut Own)) {
        let mut at = first;
        while let Some(own) = at.and_then(|at| self.own.get_mut(at as usize)) {
            at = Some(own.more).filter(|&more| more != 0);
            change(own);
        }
    }

    /// The goroutine has moved: what was read of its sudogs leads nowhere.
    pub(super) fn forget(&mut self, first: Option<u32>) {
        self.each_of(first, |own| *own = Own { more: own.more, ..Own::NONE });
    }

    /// The goroutine is part of the snapshot, and waits at its channels in these `directions`.
    pub(super) fn enter(
        &mut self,
        first: Option<u32>,
        goid: u64,
        mut directions: impl Iterator<Item = Option<Direction>>,
    ) {
        self.each_of(first, |own| {
            if own.c == 0 {
                return;
            }
            if let Some(direction) = directions.next() {
                (own.goid, own.side) = (goid, direction);
            }
        });
    }

    /// These goroutines are no part of the snapshot after all.
    pub(super) fn leave(&mut self, goids: &HashSet<Goid>) {
        for own in self.own.iter_mut().filter(|own| goids.contains(&Goid(own.goid))) {
            own.goid = 0;
        }
    }

    /// How many channels the first attempt found: nearly all there are.
    pub(super) fn channels_of_first(&self) -> usize {
        self.channels.len()
    }

    /// Calls `each` with every channel that a goroutine of the snapshot stands at, by address: what it is, and who stands
    /// there.
    pub(super) fn each_channel(&self, mut each: impl FnMut(u64, Option<&Hchan>, &mut Vec<&Own>)) {
        let mut all = Vec::new();
        let order = match self.attempts.as_slice() {
            [only] => only,
            attempts => {
                all.extend(attempts.iter().flatten().copied());
                all.sort();
                &all
            }
        };
        let mut channels = self.channels.iter().peekable();
        let mut members = Vec::new();
        for group in order.chunk_by(|a, b| a.channel == b.channel) {
            let address = group[0].channel;
            let own = group.iter().map(|at| &self.own[at.own as usize]);
            members.clear();
            members.extend(own.filter(|own| own.goid != 0 && own.c == address));
            while channels.next_if(|(channel, _)| *channel < address).is_some() {}
            let first = channels.peek().filter(|(channel, _)| *channel == address);
            let hchan = match self.later.get(&address) {
                Some(later) => later.as_ref(),
                None => first.and_then(|(_, hchan)| hchan.as_ref()),
            };
            if !members.is_empty() {
                each(address, hchan, &mut members);
            }
        }
    }
}
