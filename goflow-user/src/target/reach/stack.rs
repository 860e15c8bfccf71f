//! The live pointers on the stack of a goroutine that does not run.
//!
//! In: where it stands, and the words of its stack. Out: every word that its functions may still use as a pointer, by the
//! compiler's own notes ([`crate::binary::stack_map`]); what calls have left behind is not among them. Where the notes do not
//! tell (code that was interrupted, assembly), all words of the frame are. `None` where the frames do not fit each other: then
//! nothing is known of any of them.

use crate::binary::GoBinary;
use crate::binary::addr::{LoadBias, RuntimeAddr};
use crate::binary::stack_map::StackMap;
use crate::target::snapshot::Map;
use std::ops::Range;
use std::sync::Arc;

/// Most frames of a stack.
const MOST_FRAMES: usize = 1 << 16;

/// Most places in code of which is remembered what is known there. A process that makes them up has no end of them.
const MOST_POINTS: usize = 1 << 20;

/// Words of a record of a deferred call or of a panic that lies on the stack.
const RECORD_WORDS: u64 = 16;

/// What is known of where a frame stands, by return address.
struct Point {
    /// From the stack pointer to the return address.
    depth: u64,
    /// `None` where all words may be pointers.
    map: Option<StackMap>,
    /// Its caller was interrupted somewhere, not at a call.
    is_injected: bool,
    /// Nothing called it.
    is_outermost: bool,
}

/// Reads frames of one binary.
pub(super) struct Frames<'b> {
    binary: &'b GoBinary<'b>,
    bias: LoadBias,
    points: Map<Option<Arc<Point>>>,
}

/// The words of a stack from `start` up.
pub(super) struct Words<'w> {
    pub(super) start: u64,
    pub(super) words: &'w [u64],
}

impl Words<'_> {
    fn end(&self) -> u64 {
        self.start + 8 * self.words.len() as u64
    }

    pub(super) fn at(&self, address: u64) -> Option<u64> {
        let place = address.checked_sub(self.start)? / 8;
        self.words.get(usize::try_from(place).ok()?).copied()
    }

    pub(super) fn range(&self, range: Range<u64>) -> impl Iterator<Item = u64> + '_ {
        let from = range.start.saturating_sub(self.start).div_ceil(8) as usize;
        let to = (range.end.saturating_sub(self.start) / 8) as usize;
        self.words.get(from..to.min(self.words.len())).unwrap_or(&[]).iter().copied()
    }
}

/// A frame on a stack.
#[derive(Clone, Copy, Debug)]
pub(super) struct FrameAt {
    /// Where its function goes on.
    pub(super) pc: u64,
    /// Its lowest word.
    pub(super) sp: u64,
    /// What is above its return address.
    pub(super) argp: u64,
}

/// What was found on a stack.
#[derive(Default)]
struct Found {
    live: Vec<u64>,
    /// Variables that live if something points to them.
    objects: Vec<Range<u64>>,
}

impl<'b> Frames<'b> {
    pub(super) fn new(binary: &'b GoBinary<'b>, bias: LoadBias) -> Self {
        Self { binary, bias, points: Map::default() }
    }

    /// The live words of the stack of a goroutine that goes on at `pc`, with its stack pointer at the start of `words`.
    /// `records` are its innermost panic and deferred call, where it has such.
    pub(super) fn live(&mut self, pc: u64, words: &Words<'_>, records: &[u64]) -> Option<Vec<u64>> {
        let mut found = Found::default();
        self.walk(pc, words, &mut found)?;
        let Found { mut live, objects } = found;
        let is_on_stack = |word: &u64| (words.start..words.end()).contains(word);
        for record in records.iter().copied().filter(is_on_stack) {
            live.extend(words.range(record..record.saturating_add(8 * RECORD_WORDS)));
        }
        spread(&mut live, objects, words);
        Some(live)
    }

    /// The frames of a goroutine that goes on at `pc`, innermost first, as far as they fit each other.
    pub(super) fn frames(&mut self, pc: u64, words: &Words<'_>) -> Vec<FrameAt> {
        let (mut pc, mut sp, mut frames) = (pc, words.start, Vec::new());
        while let Some(point) = self.point(pc).filter(|_| frames.len() < MOST_FRAMES) {
            let argp = sp.saturating_add(point.depth).saturating_add(8);
            if argp > words.end() {
                break;
            }
            frames.push(FrameAt { pc, sp, argp });
            let Some(caller) = words.at(argp - 8).filter(|_| !point.is_outermost) else { break };
            (pc, sp) = (caller, argp);
        }
        frames
    }

    fn walk(&mut self, pc: u64, words: &Words<'_>, found: &mut Found) -> Option<()> {
        let (mut pc, mut sp) = (pc, words.start);
        let mut is_interrupted = false;
        for _ in 0..MOST_FRAMES {
            let point = self.point(pc)?;
            let returns = sp.checked_add(point.depth)?;
            let argp = returns.checked_add(8)?;
            if argp > words.end() {
                return None;
            }
            // The caller's frame pointer is saved below the return address, where there is a frame.
            let varp = if point.depth > 0 { returns.checked_sub(8)? } else { returns };
            match &point.map {
                Some(map) if !is_interrupted => map.collect(sp..varp, argp, words, found),
                _ => found.live.extend(words.range(sp..returns)),
            }
            // A word is in one frame, and among the arguments of the one that it calls. Maps that say otherwise are made up.
            if found.live.len().max(found.objects.len()) > 2 * words.words.len() {
                return None;
            }
            if point.is_outermost {
                return Some(());
            }
            is_interrupted = point.is_injected;
            (pc, sp) = (words.at(returns)?, argp);
        }
        None
    }

    fn point(&mut self, pc: u64) -> Option<Arc<Point>> {
        let (binary, bias) = (self.binary, self.bias);
        if self.points.len() >= MOST_POINTS {
            self.points.clear();
        }
        self.points.entry(pc).or_insert_with(|| point(binary, bias, pc).map(Arc::new)).clone()
    }
}

/// Adds what lives because something that lives points to it.
fn spread(live: &mut Vec<u64>, mut objects: Vec<Range<u64>>, words: &Words<'_>) {
    objects.sort_unstable_by_key(|object| object.start);
    // A stack of 16 MB may have tens of thousands of both, so each word is looked up; two variables do not share one.
    objects.dedup_by(|later, earlier| {
        let overlaps = later.start < earlier.end;
        if overlaps {
            earlier.end = earlier.end.max(later.end);
        }
        overlaps
    });
    let mut seen = vec![false; objects.len()];
    let mut at = 0;
    while let Some(&word) = live.get(at) {
        at += 1;
        let place = objects.partition_point(|object| object.start <= word).checked_sub(1);
        let Some(place) = place.filter(|&place| objects[place].contains(&word)) else { continue };
        if !std::mem::replace(&mut seen[place], true) {
            live.extend(words.range(objects[place].clone()));
        }
    }
}

fn point(binary: &GoBinary<'_>, bias: LoadBias, pc: u64) -> Option<Point> {
    let (table, link) = (binary.pclntab().ok()?, bias.to_link(RuntimeAddr(pc)));
    let name = table.name(&table.find_pc(link)?)?;
    // They hold the arguments of a call that they make by registers of which no map tells.
    let is_reflected = matches!(name, "reflect.makeFuncStub" | "reflect.methodValueCall");
    Some(Point {
        depth: table.stack_depth(link)?,
        map: if is_reflected { None } else { table.stack_map(link) },
        is_injected: matches!(name, "runtime.asyncPreempt" | "runtime.sigpanic"),
        is_outermost: matches!(name, "runtime.goexit" | "runtime.rt0_go" | "runtime.mstart"),
    })
}

impl StackMap {
    /// Takes the live words of a frame whose locals are in `locals` and whose arguments begin at `argp`.
    fn collect(&self, locals: Range<u64>, argp: u64, words: &Words<'_>, found: &mut Found) {
        let at = |base: u64, offset: i32| base.wrapping_add_signed(i64::from(offset));
        match &self.locals {
            Some(places) => {
                found.live.extend(places.iter().filter_map(|&place| words.at(at(locals.end, place))));
            }
            None => found.live.extend(words.range(locals.clone())),
        }
        match &self.args {
            Some(places) => found.live.extend(places.iter().filter_map(|&place| words.at(at(argp, place)))),
            None => found.live.extend(words.range(argp..argp.saturating_add(u64::from(self.args_size)))),
        }
        found.objects.extend(self.objects.iter().map(|object| {
            let start = at(if object.offset < 0 { locals.end } else { argp }, object.offset);
            start..start.saturating_add(u64::from(object.size))
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_live_word_points_to_lives_with_all_that_it_leads_to_and_nothing_else_does() {
        let words: Vec<u64> = (0..64).map(|n| if n == 8 { 0x1000 + 8 * 20 } else { n }).collect();
        let words = Words { start: 0x1000, words: &words };
        let at = |n: u64| 0x1000 + 8 * n;
        let objects = || vec![at(40)..at(42), at(20)..at(22), at(8)..at(10)];
        // The middle of the first, which leads to the second; one word behind an object is in none.
        let mut live = vec![7, at(9), at(42), at(19)];
        spread(&mut live, objects(), &words);
        assert_eq!(live, [7, at(9), at(42), at(19), at(20), 9, 20, 21]);
        let mut live = Vec::new();
        spread(&mut live, objects(), &words);
        assert!(live.is_empty());
    }

    #[test]
    fn variables_that_overlap_live_together() {
        let words = Words { start: 0x1000, words: &(0..8).collect::<Vec<_>>() };
        let mut live = vec![0x1008];
        spread(&mut live, vec![0x1018..0x1028, 0x1008..0x1020, 0x1008..0x1010], &words);
        assert_eq!(live, [0x1008, 1, 2, 3, 4]);
    }

    #[test]
    fn a_stack_full_of_variables_and_pointers_takes_no_time_to_speak_of() {
        // Each frame of a deep recursion has a variable, and a pointer to the next one's.
        let count = 1_u64 << 17;
        let words: Vec<u64> = (1..=count).map(|next| 0x10_0000 + 8 * next).collect();
        let words = Words { start: 0x10_0000, words: &words };
        let objects = (0..count).map(|n| 0x10_0000 + 8 * n..0x10_0000 + 8 * n + 8).collect();
        let mut live = vec![0x10_0000];
        spread(&mut live, objects, &words);
        assert_eq!(live.len() as u64, count + 1);
    }
}
