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
use std::cell::Cell;
use std::collections::BTreeSet;
use std::ops::Range;
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

/// What one look has spent of its [`Limits`].
pub(super) struct Budget {
    limits: Limits,
    bytes: Cell<u64>,
}

impl Budget {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, bytes: Cell::new(0) }
    }

    /// Bytes so far.
    pub(super) fn spent(&self) -> u64 {
        self.bytes.get()
    }

    /// So many bytes are about to be read.
    pub(super) fn spend(&self, bytes: u64) -> Result<(), ReachError> {
        self.has_room(bytes)?;
        if self.limits.until.is_some_and(|until| Instant::now() >= until) {
            return Err(ReachError::TooSlow(self.spent()));
        }
        self.bytes.set(self.spent() + bytes);
        Ok(())
    }

    /// Refuses what is more than is left.
    fn has_room(&self, bytes: u64) -> Result<(), ReachError> {
        let has_room = bytes <= self.limits.bytes.saturating_sub(self.spent());
        has_room.then_some(()).ok_or(ReachError::TooLarge(self.limits.bytes))
    }
}
/// So much of a package variable is looked at that something points to.
const VARIABLE: u64 = 128;

/// What a program has outside of the heap: its package variables, which are reached one by one, and its code.
pub(super) struct Program {
    /// In the order of their addresses.
    variables: Vec<Variable>,
    is_reached: Vec<bool>,
    /// Where the executable is in memory.
    image: Range<u64>,
    /// Words that are addresses in it and in none of these variables, each once.
    words: Vec<u64>,
    seen: Set,
}

/// A package variable.
pub(super) struct Variable {
    pub(super) range: Range<u64>,
    /// It is the runtime's own, which is no way to anything.
    pub(super) is_runtimes: bool,
    /// There is something to look for in it. A lock may be all of one that has none.
    pub(super) has_pointers: bool,
}

impl Program {
    pub(super) fn new(variables: Vec<Variable>, image: Range<u64>) -> Self {
        let is_reached = vec![false; variables.len()];
        Self { variables, is_reached, image, words: Vec::new(), seen: Set::default() }
    }

    fn place(&self, address: u64) -> Option<usize> {
        let place = self.variables.partition_point(|one| one.range.start <= address).checked_sub(1)?;
        self.variables[place].range.contains(&address).then_some(place)
    }

    /// Whether a variable has been reached; `None` for what is none.
    fn is_reached(&self, address: u64) -> Option<bool> {
        self.place(address).map(|place| self.is_reached[place])
    }

    /// Takes a word that points to no object; returns a variable that it reaches for the first time.
    fn take(&mut self, word: u64) -> Option<Range<u64>> {
        if !self.image.contains(&word) {
            return None;
        }
        match self.place(word) {
            Some(place) => {
                let one = &self.variables[place];
                let is_new = !one.is_runtimes && !std::mem::replace(&mut self.is_reached[place], true);
                (is_new && one.has_pointers).then(|| one.range.clone())
            }
            None => {
                if self.seen.insert(word) {
                    self.words.push(word);
                }
                None
            }
        }
    }
}

/// Marks objects.
pub(super) struct Marker<'m> {
    memory: &'m dyn Memory,
    spans: &'m Spans,
    /// A bit for each object.
    marked: Vec<u64>,
    /// Objects that are not looked into: the runtime's own, whose words are no pointers of the program.
    opaque: &'m Set,
    /// Where package variables are that are followed when something points to them, and which have been.
    variables: Vec<Range<u64>>,
    variables_seen: Set,
    program: Option<Program>,
    /// A bit for each object that somebody waits to be reached, and those of them that were.
    watched: Vec<u64>,
    reached: Vec<u64>,
    /// What is read into.
    buffer: Vec<u8>,
    /// Ranges to be read.
    todo: Vec<(u64, u64)>,
    /// How many bytes those are, and those that were not noted down because they are too many.
    wanted: u64,
    budget: &'m Budget,
    pub(super) objects: u64,
}

impl<'m> Marker<'m> {
    pub(super) fn new(memory: &'m dyn Memory, spans: &'m Spans, opaque: &'m Set, budget: &'m Budget) -> Self {
        let marked = vec![0; spans.objects.div_ceil(64) as usize];
        Self {
            memory,
            spans,
            marked,
            opaque,
            variables: Vec::new(),
            variables_seen: Set::default(),
            program: None,
            watched: Vec::new(),
            reached: Vec::new(),
            buffer: Vec::new(),
            todo: Vec::new(),
            wanted: 0,
            budget,
            objects: 0,
        }
    }

    /// Follows what points to package variables too, which lie in these ranges.
    pub(super) fn through(mut self, variables: Vec<Range<u64>>) -> Self {
        self.variables = variables;
        self
    }

    /// Reaches package variables one by one.
    pub(super) fn in_program(mut self, program: Program) -> Self {
        self.program = Some(program);
        self
    }

    /// Words that were found since the last time and may be code.
    pub(super) fn take_code(&mut self) -> Vec<u64> {
        self.program.as_mut().map(|program| std::mem::take(&mut program.words)).unwrap_or_default()
    }

    /// The words from `start` to `end` are to be looked at.
    pub(super) fn range(&mut self, start: u64, end: u64) {
        let Some(mut at) = start.checked_next_multiple_of(8).filter(|&at| at < end) else { return };
        self.wanted = self.wanted.saturating_add(end - at);
        // A goroutine may claim a stack of a gigabyte, and there may be millions of them.
        if self.budget.has_room(self.wanted).is_err() {
            return;
        }
        while at < end {
            let next = at.saturating_add(PIECE).min(end);
            self.todo.push((at, next));
            at = next;
        }
    }

    /// A word that may be a pointer.
    pub(super) fn word(&mut self, word: u64) {
        let Some(object) = self.spans.object(word) else { return self.variable(word) };
        if self.is_new(&object) && object.has_pointers && !self.opaque.contains(&object.address) {
            self.range(object.address, object.address + object.size);
        }
    }

    fn variable(&mut self, word: u64) {
        if let Some(program) = &mut self.program {
            if let Some(variable) = program.take(word) {
                self.range(variable.start, variable.end.next_multiple_of(8));
            }
            return;
        }
        let Some(end) = self.variables.iter().find(|range| range.contains(&word)).map(|range| range.end)
        else {
            return;
        };
        let start = word & !7;
        if self.variables_seen.insert(start) {
            self.range(start, end.min(start + VARIABLE));
        }
    }

    /// Whether what lies at `address` has been reached; `None` where no object of the heap is, nor a variable that is reached by
    /// itself.
    pub(super) fn is_reached(&self, address: u64) -> Option<bool> {
        if let Some(is_reached) = self.program.as_ref().and_then(|program| program.is_reached(address)) {
            return Some(is_reached);
        }
        let Object { number, .. } = self.spans.object(address)?;
        Some(self.marked.get(number as usize / 64)? & (1 << (number % 64)) != 0)
    }

    fn is_new(&mut self, object: &Object) -> bool {
        let (at, bit) = (object.number as usize / 64, 1 << (object.number % 64));
        let Some(word) = self.marked.get_mut(at) else { return false };
        let new = *word & bit == 0;
        *word |= bit;
        self.objects += u64::from(new);
        if new && self.watched.get(at).is_some_and(|watched| watched & bit != 0) {
            self.reached.push(object.number);
        }
        new
    }

    /// That the object at `address` is reached is told from here on; returns its number, `None` where there is none.
    pub(super) fn watch(&mut self, address: u64) -> Option<u64> {
        let Object { number, .. } = self.spans.object(address)?;
        self.watched.resize(self.marked.len(), 0);
        *self.watched.get_mut(number as usize / 64)? |= 1 << (number % 64);
        Some(number)
    }

    /// Numbers of the watched objects that were reached since the last time.
    pub(super) fn take_reached(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.reached)
    }

    /// Follows everything that is to be looked at, to its end.
    pub(super) fn run(&mut self) -> Result<(), ReachError> {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.resize(BATCH, 0);
        loop {
            self.budget.has_room(self.wanted)?;
            if self.todo.is_empty() {
                self.buffer = buffer;
                return Ok(());
            }
            let batch = self.next_batch();
            let size: u64 = batch.iter().map(|(start, end)| end - start).sum();
            self.wanted -= size;
            self.budget.spend(size)?;
            for words in read(self.memory, &batch, &mut buffer)? {
                for word in words.chunks_exact(8).filter_map(|word| word.try_into().ok()) {
                    self.word(u64::from_le_bytes(word));
                }
            }
        }
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
    (memory, budget): (&dyn Memory, &Budget),
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
        budget.spend(range.1 - range.0)?;
        buffer.resize((range.1 - range.0) as usize, 0);
        let Some(words) = read(memory, &[range], &mut buffer)?.pop() else { continue };
        for word in words.chunks_exact(8).filter_map(|word| word.try_into().ok()) {
            follow(u64::from_le_bytes(word), &mut todo);
        }
    }
    Ok((found.into_iter().collect(), seen.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::memory::{MemoryError, Registers};

    /// Memory in which every word is 1.
    struct Ones;

    impl Memory for Ones {
        fn registers(&self, _: u64) -> Option<Registers> {
            None
        }

        fn stands_still(&self) -> bool {
            true
        }

        fn read_runs(&self, runs: &mut [Run<'_>]) -> Result<(), MemoryError> {
            for run in runs {
                run.into.fill(1);
                run.read = run.into.len();
            }
            Ok(())
        }
    }

    /// What a look may spend, and what it says after these ranges.
    fn marked(bytes: u64, ranges: &[(u64, u64)]) -> (usize, u64, Result<(), ReachError>) {
        let (spans, opaque) = (Spans::default(), Set::default());
        let budget = Budget::new(Limits { bytes, until: None });
        let mut marker = Marker::new(&Ones, &spans, &opaque, &budget);
        ranges.iter().for_each(|&(start, end)| marker.range(start, end));
        let noted = marker.todo.len();
        let ran = marker.run();
        (noted, budget.spent(), ran)
    }

    #[test]
    fn a_range_at_the_end_of_the_address_space_is_as_long_as_it_is() {
        for start in [u64::MAX - 6, u64::MAX] {
            let (noted, spent, ran) = marked(1 << 20, &[(start, u64::MAX)]);
            assert_eq!((noted, spent, ran.is_ok()), (0, 0, true), "{start:#x}");
        }
        let (_, spent, ran) =
            marked(1 << 20, &[(u64::MAX - 23, u64::MAX), (0x1008, 0x1000), (0x1001, 0x1007)]);
        assert_eq!((spent, ran.is_ok()), (23, true));
    }

    #[test]
    fn ranges_beyond_the_limit_are_refused_before_room_is_taken_for_them() {
        let stack = (0x10_0000, 0x10_0000 + (1 << 30));
        let (noted, spent, ran) = marked(1 << 20, &[stack; 1000]);
        assert_eq!((noted, spent), (0, 0));
        assert!(matches!(ran, Err(ReachError::TooLarge(limit)) if limit == 1 << 20));
        // To the byte.
        for (limit, is_enough) in [(0x3000, true), (0x2fff, false)] {
            let (_, spent, ran) = marked(limit, &[(0x1000, 0x3000), (0x8000, 0x9000)]);
            assert_eq!((spent == 0x3000, ran.is_ok()), (is_enough, is_enough), "{ran:?}");
        }
    }
}
