//! Objects that only the stack of a goroutine points to: the descriptor of an `IO wait`, and up to Go 1.25 the queue of a
//! `sync.Cond`.
//!
//! In: the lowest words of parked goroutines' stacks. Out: for each `g` the object. A word is no proof: it is believed only
//! when the object it points to points back to the goroutine, a `pollDesc` by its `rg` or `wg` (src/runtime/netpoll.go), a
//! `notifyList` by a sudog in its list (src/runtime/sema.go).

use super::Direction;
use super::waits::{Map, Set, Sudog};
use crate::binary::addr::RuntimeAddr;
use crate::binary::offsets::{Offsets, PollDesc};
use crate::binary::read::{u32_at, u64_at};
use crate::target::memory::{Memory, MemoryError, read_each};

/// Most sudogs walked in all.
const MOST_STEPS: usize = 1 << 20;

/// A goroutine and the words on its stack.
pub(super) struct Suspect<'w> {
    pub(super) g: u64,
    pub(super) stack: (u64, u64),
    pub(super) words: &'w [u64],
}

impl Suspect<'_> {
    /// The word can be a pointer to something on the heap.
    fn is_pointer(&self, word: u64) -> bool {
        let (lo, hi) = self.stack;
        word > 4096 && word.is_multiple_of(8) && !(lo..hi).contains(&word)
    }

    /// The words that can be, each once.
    fn pointers(&self) -> impl Iterator<Item = u64> + '_ {
        let mut seen = Set::default();
        self.words
            .iter()
            .copied()
            .filter(|&word| self.is_pointer(word))
            .filter(move |&word| seen.insert(word))
    }

    /// Where the struct starts that the word at a place points into.
    fn start(&self, (index, into): Place) -> Option<u64> {
        let word = self.words.get(index).copied().filter(|&word| self.is_pointer(word))?;
        word.checked_sub(u64::from(into))
    }
}

/// Where a pointer stands on a stack, in words from its lowest, and how far into the struct it points, in bytes.
type Place = (usize, u32);

/// Goroutines whose known places are tried together.
const TOGETHER: usize = 4096;

/// Goroutines that are searched to the last word together: each has up to 200 places.
const SAMPLE: usize = 64;

/// Most places that are tried before all are.
const MOST_PLACES: usize = 8;

/// A descriptor that a goroutine waits on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Descriptor {
    pub(super) address: u64,
    pub(super) number: u32,
    pub(super) direction: Direction,
}

/// The descriptors of `suspects`, by `g`. Nearly all of them came to wait through the same calls, so the pointer stands at the
/// same few places of their stacks: where it was found before is tried first, and everywhere only where that fails.
pub(super) fn descriptors(
    memory: &dyn Memory,
    offsets: &Offsets,
    suspects: &[Suspect<'_>],
) -> Result<Map<Descriptor>, MemoryError> {
    let mut found = Map::default();
    let Some(layout) = offsets.poll_desc else { return Ok(found) };
    let mut places = Vec::new();
    let mut rest = suspects;
    while !rest.is_empty() {
        let most = if places.is_empty() { SAMPLE } else { TOGETHER };
        let (now, later) = rest.split_at(most.min(rest.len()));
        rest = later;
        let tried: Vec<_> =
            now.iter().flat_map(|suspect| places.iter().map(move |&at| (suspect, at))).collect();
        look(memory, &layout, &tried, &mut found, &mut places)?;
        let missing: Vec<_> = now.iter().filter(|suspect| !found.contains_key(&suspect.g)).collect();
        for missing in missing.chunks(SAMPLE) {
            // `netpollblock` has a pointer to the field, its caller one to the struct.
            let of = |suspect: &Suspect<'_>| {
                let words = 0..suspect.words.len();
                words.flat_map(move |index| [0, layout.rg, layout.wg].map(|into| (index, into)))
            };
            let all: Vec<_> =
                missing.iter().flat_map(|&suspect| of(suspect).map(move |at| (suspect, at))).collect();
            look(memory, &layout, &all, &mut found, &mut places)?;
        }
    }
    Ok(found)
}

/// Reads what stands at these places of these stacks, takes the descriptors that point back, and learns their places.
fn look(
    memory: &dyn Memory,
    layout: &PollDesc,
    tried: &[(&Suspect<'_>, Place)],
    found: &mut Map<Descriptor>,
    places: &mut Vec<Place>,
) -> Result<(), MemoryError> {
    let starts = tried.iter().filter_map(|&(suspect, at)| Some((suspect.start(at)?, suspect.g, at)));
    let mut candidates: Vec<(u64, u64, Place)> = starts.collect();
    candidates.sort_unstable();
    candidates.dedup_by_key(|&mut (start, g, _)| (start, g));
    let addresses: Vec<u64> = candidates.iter().map(|&(start, ..)| start).collect();
    let size = [layout.rg, layout.wg, layout.fd].into_iter().max().unwrap_or(0) as usize + 8;
    read_each(memory, &addresses, size, |index, bytes| {
        let (address, g, at) = candidates[index];
        let Some(bytes) = bytes else { return };
        let word = |offset: u32| u64_at(bytes, offset as usize);
        let direction = match (word(layout.rg) == Some(g), word(layout.wg) == Some(g)) {
            (true, _) => Direction::Read,
            (false, true) => Direction::Write,
            (false, false) => return,
        };
        // A descriptor is an `int` of C.
        let number = word(layout.fd).and_then(|fd| u32::try_from(fd).ok());
        if let Some(number) = number.filter(|&number| i32::try_from(number).is_ok()) {
            found.insert(g, Descriptor { address, number, direction });
            if places.len() < MOST_PLACES && !places.contains(&at) {
                places.push(at);
            }
        }
    })
}

/// Addresses of the `notifyList`s that `suspects` wait in, by `g`.
pub(super) fn notify_lists(
    memory: &dyn Memory,
    offsets: &Offsets,
    suspects: &[Suspect<'_>],
) -> Result<Map<u64>, MemoryError> {
    let mut found = Map::default();
    let Some(layout) = offsets.notify_list else { return Ok(found) };
    let mut addresses: Vec<u64> = suspects.iter().flat_map(Suspect::pointers).collect();
    addresses.sort_unstable();
    addresses.dedup();
    let size = [layout.wait, layout.notify, layout.head, layout.tail].into_iter().max().unwrap_or(0) + 8;
    let mut lists = Vec::new();
    read_each(memory, &addresses, size as usize, |index, bytes| {
        let Some(bytes) = bytes else { return };
        let word = |offset: u32| u64_at(bytes, offset as usize).filter(|&word| word > 4096 && word % 8 == 0);
        let number = |offset: u32| u32_at(bytes, offset as usize);
        let somebody_waits = number(layout.wait) != number(layout.notify);
        if let (Some(head), Some(tail), true) = (word(layout.head), word(layout.tail), somebody_waits) {
            lists.push((addresses[index], head, tail));
        }
    })?;
    let suspected: Set = suspects.iter().map(|suspect| suspect.g).collect();
    let mut left = MOST_STEPS;
    for (list, head, tail) in lists {
        let waiters = waiters(memory, offsets, head, tail, &mut left)?;
        found.extend(waiters.into_iter().filter(|g| suspected.contains(g)).map(|g| (g, list)));
    }
    Ok(found)
}

/// The goroutines of a list, if it is one: sudogs without a channel that end at `tail`.
fn waiters(
    memory: &dyn Memory,
    offsets: &Offsets,
    head: u64,
    tail: u64,
    left: &mut usize,
) -> Result<Vec<u64>, MemoryError> {
    let mut bytes = vec![0; offsets.sudog.size as usize];
    let mut waiters = Vec::new();
    let mut at = head;
    while *left > 0 && memory.read(RuntimeAddr(at), &mut bytes)? {
        *left -= 1;
        let Some(sudog) = Sudog::decode(&bytes, offsets) else { break };
        if sudog.c != 0 || sudog.g == 0 || sudog.select {
            break;
        }
        waiters.push(sudog.g);
        match sudog.next {
            0 if at == tail => return Ok(waiters),
            0 => break,
            next => at = next,
        }
    }
    Ok(Vec::new())
}
