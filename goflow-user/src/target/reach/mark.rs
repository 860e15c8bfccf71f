//! Marks what can be reached, as a collector does, but from outside and without type information.
//!
//! In: ranges of memory to begin with. Out: which objects of the heap their words lead to. Every word that could be a pointer
//! to an object is taken for one, so that more is reached than by the runtime's own collector, never less: of a process that
//! stands still. Objects are read in batches and never kept; what is kept is a bit for each.

use super::ReachError;
use super::spans::{Object, Spans};
use crate::binary::addr::RuntimeAddr;
use crate::target::memory::{Memory, Run};
use crate::target::snapshot::Set;
use std::collections::BTreeSet;
use std::time::Instant;

/// Bytes read at once.
const BATCH: usize = 1 << 20;

/// Pieces read at once.
const PIECES: usize = 1024;

/// A larger object is read in pieces of so many bytes.
const PIECE: u64 = 1 << 17;

/// What may be spent on one look.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of the heap and of stacks that are read at most.
    pub bytes: u64,
    /// When it is to be over.
    pub until: Option<Instant>,
}

/// Marks objects.
pub(super) struct Marker<'m> {
    memory: &'m dyn Memory,
    spans: &'m Spans,
    /// A bit for each object.
    marked: Vec<u64>,
    /// Objects that are not looked into: the runtime's own, whose words are no pointers of the program.
    opaque: &'m Set,
    /// Ranges to be read.
    todo: Vec<(u64, u64)>,
    limits: Limits,
    pub(super) bytes: u64,
    pub(super) objects: u64,
}

impl<'m> Marker<'m> {
    pub(super) fn new(memory: &'m dyn Memory, spans: &'m Spans, opaque: &'m Set, limits: Limits) -> Self {
        let marked = vec![0; spans.objects.div_ceil(64) as usize];
        Self { memory, spans, marked, opaque, todo: Vec::new(), limits, bytes: 0, objects: 0 }
    }

    /// The words from `start` to `end` are to be looked at.
    pub(super) fn range(&mut self, start: u64, end: u64) {
        let mut at = start.next_multiple_of(8);
        while at < end {
            let next = at.saturating_add(PIECE).min(end);
            self.todo.push((at, next));
            at = next;
        }
    }

    /// A word that may be a pointer.
    pub(super) fn word(&mut self, word: u64) {
        let Some(object) = self.spans.object(word) else { return };
        if self.is_new(&object) && object.has_pointers && !self.opaque.contains(&object.address) {
            self.range(object.address, object.address + object.size);
        }
    }

    /// Whether what lies at `address` has been reached; `None` where no object of the heap is.
    pub(super) fn is_reached(&self, address: u64) -> Option<bool> {
        let Object { number, .. } = self.spans.object(address)?;
        Some(self.marked.get(number as usize / 64)? & (1 << (number % 64)) != 0)
    }

    fn is_new(&mut self, object: &Object) -> bool {
        let Some(word) = self.marked.get_mut(object.number as usize / 64) else { return false };
        let bit = 1 << (object.number % 64);
        let new = *word & bit == 0;
        *word |= bit;
        self.objects += u64::from(new);
        new
    }

    /// Follows everything that is to be looked at, to its end.
    pub(super) fn run(&mut self) -> Result<(), ReachError> {
        let mut buffer = vec![0; BATCH];
        while !self.todo.is_empty() {
            let batch = self.next_batch();
            let size: u64 = batch.iter().map(|(start, end)| end - start).sum();
            self.bytes += size;
            if self.bytes > self.limits.bytes {
                return Err(ReachError::TooLarge(self.limits.bytes));
            }
            if self.limits.until.is_some_and(|until| Instant::now() >= until) {
                return Err(ReachError::TooSlow(self.bytes));
            }
            for words in read(self.memory, &batch, &mut buffer)? {
                for word in words.chunks_exact(8).filter_map(|word| word.try_into().ok()) {
                    self.word(u64::from_le_bytes(word));
                }
            }
        }
        Ok(())
    }

    /// The last ranges, as many as are read at once, by address.
    fn next_batch(&mut self) -> Vec<(u64, u64)> {
        let (mut batch, mut size) = (Vec::new(), 0);
        while let Some(&(start, end)) = self.todo.last() {
            size += (end - start) as usize;
            if size > BATCH || batch.len() >= PIECES {
                break;
            }
            self.todo.pop();
            batch.push((start, end));
        }
        batch.sort_unstable();
        batch
    }
}

/// The bytes of each range, as far as they could be read.
fn read<'b>(
    memory: &dyn Memory,
    ranges: &[(u64, u64)],
    buffer: &'b mut [u8],
) -> Result<Vec<&'b [u8]>, ReachError> {
    let mut rest = buffer;
    let mut runs = Vec::with_capacity(ranges.len());
    for &(start, end) in ranges {
        let (into, after) = rest.split_at_mut((end - start) as usize);
        runs.push(Run { address: RuntimeAddr(start), into, read: 0 });
        rest = after;
    }
    memory.read_runs(&mut runs)?;
    Ok(runs.into_iter().map(|run| &run.into[..run.read]).collect())
}

/// Which of `targets` these words lead to, and how many objects were looked at for that; `targets` are sorted. At most `most` are.
pub(super) fn lead(
    memory: &dyn Memory,
    spans: &Spans,
    opaque: &Set,
    from: &[u64],
    targets: &[u64],
    most: usize,
) -> Result<(Vec<u64>, usize), ReachError> {
    let (mut seen, mut found) = (Set::default(), BTreeSet::new());
    let (mut todo, mut buffer) = (Vec::new(), Vec::new());
    let mut follow = |word: u64, todo: &mut Vec<(u64, u64)>| {
        let Some(object) = spans.object(word).filter(|object| !opaque.contains(&object.address)) else {
            return;
        };
        if seen.len() >= most || !seen.insert(object.address) {
            return;
        }
        let end = object.address + object.size;
        let first = targets.partition_point(|&target| target < object.address);
        found.extend(targets[first..].iter().take_while(|&&target| target < end));
        if object.has_pointers {
            todo.push((object.address, end.min(object.address + PIECE)));
        }
    };
    from.iter().for_each(|&word| follow(word, &mut todo));
    while let Some(range) = todo.pop() {
        buffer.resize((range.1 - range.0) as usize, 0);
        let Some(words) = read(memory, &[range], &mut buffer)?.pop() else { continue };
        for word in words.chunks_exact(8).filter_map(|word| word.try_into().ok()) {
            follow(u64::from_le_bytes(word), &mut todo);
        }
    }
    Ok((found.into_iter().collect(), seen.len()))
}
