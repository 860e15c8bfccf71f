//! Objects that only the stack of a goroutine points to: the descriptor of an `IO wait`, and up to Go 1.25 the queue of a
//! `sync.Cond`.
//!
//! In: the lowest words of parked goroutines' stacks. Out: for each `g` the object. A word is no proof: it is believed only
//! when the object it points to points back to the goroutine, a `pollDesc` by its `rg` or `wg` (src/runtime/netpoll.go), a
//! `notifyList` by a sudog in its list (src/runtime/sema.go).

use super::Direction;
use super::waits::{Map, Set, Sudog};
use crate::binary::addr::RuntimeAddr;
use crate::binary::offsets::Offsets;
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
    /// The words that can be pointers to something on the heap, each once.
    fn pointers(&self) -> impl Iterator<Item = u64> + '_ {
        let (lo, hi) = self.stack;
        let mut seen = Set::default();
        let outside = move |word: &u64| *word > 4096 && word.is_multiple_of(8) && !(lo..hi).contains(word);
        self.words.iter().copied().filter(outside).filter(move |&word| seen.insert(word))
    }
}

/// A descriptor that a goroutine waits on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Descriptor {
    pub(super) address: u64,
    pub(super) number: u32,
    pub(super) direction: Direction,
}

/// The descriptors of `suspects`, by `g`.
pub(super) fn descriptors(
    memory: &dyn Memory,
    offsets: &Offsets,
    suspects: &[Suspect<'_>],
) -> Result<Map<Descriptor>, MemoryError> {
    let mut found = Map::default();
    let Some(layout) = offsets.poll_desc else { return Ok(found) };
    let mut candidates: Vec<(u64, u64)> = Vec::new();
    for suspect in suspects {
        // `netpollblock` has a pointer to the field, its caller one to the struct.
        for back in [0, layout.rg, layout.wg] {
            let starts = suspect.pointers().filter_map(|word| word.checked_sub(u64::from(back)));
            candidates.extend(starts.map(|start| (start, suspect.g)));
        }
    }
    candidates.sort_unstable();
    candidates.dedup();
    let addresses: Vec<u64> = candidates.iter().map(|&(address, _)| address).collect();
    let size = [layout.rg, layout.wg, layout.fd].into_iter().max().unwrap_or(0) as usize + 8;
    read_each(memory, &addresses, size, |index, bytes| {
        let (address, g) = candidates[index];
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
        }
    })?;
    Ok(found)
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
