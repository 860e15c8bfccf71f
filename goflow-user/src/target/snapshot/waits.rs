//! What goroutines wait with: their sudogs, and the channels those stand at.
//!
//! In: the `g`s that wait. Out: sudogs by address, channels by address, the order of each channel's queues. A list that
//! does not hold together (a sudog of another goroutine, a cycle, two lists that meet) is a breach of its goroutine, which
//! is then read again. Every walk is bounded by what the goroutines themselves own.

use super::Direction;
use super::raw::Raw;
use crate::binary::addr::RuntimeAddr;
use crate::binary::offsets::Offsets;
use crate::binary::read::{array, u8_at, u32_at, u64_at};
use crate::target::memory::{Memory, MemoryError, read_each};
use std::collections::{HashMap, HashSet};

/// Most cases of a select (src/cmd/compile: `selectgo` counts them in 16 bits).
const MOST_CASES: usize = 1 << 16;

/// Most sudogs in all.
const MOST_SUDOGS: usize = 1 << 24;

/// Most sudogs read one by one because they joined a queue after the goroutines were read.
const MOST_LATE: usize = 4096;

pub(super) type Map<V> = HashMap<u64, V, foldhash::fast::RandomState>;
pub(super) type Set = HashSet<u64, foldhash::fast::RandomState>;

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
    /// The queue of its channel that it was last seen in.
    pub(super) side: Option<Direction>,
    /// The attempt in which it was read.
    attempt: u32,
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
            side: None,
            attempt: 0,
        })
    }
}

/// An `hchan` (src/runtime/chan.go).
#[derive(Clone, Debug)]
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
    /// Sudogs in the order of the queue.
    pub(super) senders: Vec<u64>,
    pub(super) receivers: Vec<u64>,
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
            senders: Vec::new(),
            receivers: Vec::new(),
        };
        hchan.holds_together().then_some(hchan)
    }

    /// What is true of every channel at every time.
    fn holds_together(&self) -> bool {
        let in_buffer = |index: u64| index < self.cap || index == 0;
        self.len <= self.cap && in_buffer(self.sendx) && in_buffer(self.recvx) && self.closed <= 1
    }
}

/// Everything that was found, over all attempts.
#[derive(Default)]
pub(super) struct Waits {
    pub(super) sudogs: Map<Sudog>,
    pub(super) channels: Map<Hchan>,
    /// Which attempt this is.
    attempt: u32,
}

impl Waits {
    /// Reads the sudogs of the `waiting` goroutines and the channels they stand at. Gives the goroutines, by their place in
    /// `waiting`, whose list does not hold together.
    pub(super) fn read(
        &mut self,
        memory: &dyn Memory,
        offsets: &Offsets,
        waiting: &[&Raw],
    ) -> Result<HashSet<usize>, MemoryError> {
        let mut breached = HashSet::new();
        self.attempt += 1;
        self.sudogs.reserve(waiting.len());
        let mut channels = Vec::new();
        let mut frontier: Vec<(usize, u64)> = waiting
            .iter()
            .enumerate()
            .filter(|(_, raw)| raw.waiting != 0)
            .map(|(index, raw)| (index, raw.waiting))
            .collect();
        for _ in 0..MOST_CASES {
            if frontier.is_empty() {
                break;
            }
            frontier.sort_unstable_by_key(|&(_, address)| address);
            let addresses: Vec<u64> = frontier.iter().map(|&(_, address)| address).collect();
            let mut next = Vec::new();
            read_each(memory, &addresses, offsets.sudog.size as usize, |at, bytes| {
                let (index, address) = frontier[at];
                let sudog = bytes.and_then(|bytes| Sudog::decode(bytes, offsets));
                let sudog = sudog.filter(|sudog| sudog.g == waiting[index].addr);
                let Some(sudog) = sudog.map(|sudog| Sudog { attempt: self.attempt, ..sudog }) else {
                    breached.insert(index);
                    return;
                };
                let before = self.sudogs.insert(address, sudog);
                // Met twice in one attempt: a cycle, or two lists that meet.
                let again = before.is_some_and(|before| before.attempt == self.attempt);
                if again || self.sudogs.len() > MOST_SUDOGS {
                    breached.insert(index);
                    return;
                }
                // Without a channel it waits for a semaphore, whose list of others `waitlink` is.
                if sudog.c != 0 {
                    channels.push(sudog.c);
                    if sudog.waitlink != 0 {
                        next.push((index, sudog.waitlink));
                    }
                }
            })?;
            frontier = next;
        }
        breached.extend(frontier.into_iter().map(|(index, _)| index));
        self.read_channels(memory, offsets, channels)?;
        Ok(breached)
    }

    fn read_channels(
        &mut self,
        memory: &dyn Memory,
        offsets: &Offsets,
        mut addresses: Vec<u64>,
    ) -> Result<(), MemoryError> {
        addresses.sort_unstable();
        addresses.dedup();
        self.channels.reserve(addresses.len());
        read_each(memory, &addresses, offsets.hchan.size as usize, |at, bytes| {
            match bytes.and_then(|bytes| Hchan::decode(bytes, offsets)) {
                Some(hchan) => self.channels.insert(addresses[at], hchan),
                None => self.channels.remove(&addresses[at]),
            };
        })?;
        let mut late = MOST_LATE;
        for address in addresses {
            let Some(hchan) = self.channels.get(&address) else { continue };
            let (senders, receivers) = (hchan.first_sender, hchan.first_receiver);
            let senders = self.queue(memory, offsets, (address, Direction::Send), senders, &mut late)?;
            let receivers =
                self.queue(memory, offsets, (address, Direction::Receive), receivers, &mut late)?;
            if let Some(hchan) = self.channels.get_mut(&address) {
                (hchan.senders, hchan.receivers) = (senders, receivers);
            }
        }
        Ok(())
    }

    /// The sudogs of a queue of `channel` from `first` on, as far as they are its own.
    fn queue(
        &mut self,
        memory: &dyn Memory,
        offsets: &Offsets,
        (channel, direction): (u64, Direction),
        first: u64,
        late: &mut usize,
    ) -> Result<Vec<u64>, MemoryError> {
        let mut queue = Vec::new();
        let mut at = first;
        // No queue is longer than all sudogs there are; a cycle is.
        while at != 0 && queue.len() <= self.sudogs.len() {
            let known = self.sudogs.get_mut(&at);
            let sudog = match known {
                Some(sudog) => {
                    sudog.side = Some(direction);
                    Some(*sudog)
                }
                None if *late > 0 => {
                    *late -= 1;
                    let mut bytes = vec![0; offsets.sudog.size as usize];
                    let whole = memory.read(RuntimeAddr(at), &mut bytes)?;
                    whole.then(|| Sudog::decode(&bytes, offsets)).flatten()
                }
                None => None,
            };
            let Some(sudog) = sudog.filter(|sudog| sudog.c == channel) else { break };
            queue.push(at);
            at = sudog.next;
        }
        Ok(queue)
    }

    /// The sudogs of a goroutine whose list was found to hold together, in lock order.
    pub(super) fn of<'a>(&'a self, raw: &Raw) -> impl Iterator<Item = (u64, &'a Sudog)> + 'a {
        let mut at = raw.waiting;
        let owner = raw.addr;
        let mut left = MOST_CASES;
        std::iter::from_fn(move || {
            left = left.checked_sub(1)?;
            let address = at;
            let sudog = self.sudogs.get(&address).filter(|sudog| sudog.g == owner)?;
            at = if sudog.c == 0 { 0 } else { sudog.waitlink };
            Some((address, sudog))
        })
    }
}
