//! Reads what belongs to goroutines besides their `g`: sudogs, stacks, labels, and what tells what they wait for.
//!
//! In: `g`s as they were read. Out: [`Details`] for each, and the [`Evidence`] of what they wait for. Everything is read for all
//! of them together, kind by kind.

use super::blocked::FEW_FRAMES;
use super::{Options, Reader, Session};
use crate::binary::addr::RuntimeAddr;
use crate::binary::read::u64_at;
use crate::target::memory::{Memory, MemoryError, read_each};
use crate::target::snapshot::found::{self, Descriptor, Suspect};
use crate::target::snapshot::raw::Raw;
use crate::target::snapshot::reason::Reason;
use crate::target::snapshot::semaphore;
use crate::target::snapshot::stack::{self, Walk};
use crate::target::snapshot::waits::Map;
use crate::target::snapshot::{Label, Stack, State, labels, room};
use std::collections::HashSet;

/// What was read of a goroutine besides its `g`.
#[derive(Default)]
pub(super) struct Details {
    pub(super) labels: Vec<Label>,
    pub(super) stack: Stack,
    pub(super) stack_unknown: Option<&'static str>,
    pub(super) labels_unknown: bool,
    /// It was read in several parts, which belong together only if it has not moved.
    pub(super) has_parts: bool,
    /// Where its sudogs are.
    pub(super) own: Option<u32>,
}

/// What tells what goroutines wait for.
pub(super) struct Evidence {
    /// Whose sudogs do not hold together, by where they are.
    pub(super) breached: HashSet<u32>,
    /// Stacks that tell, by `g`.
    pub(super) walked: Map<Walk>,
    pub(super) table: semaphore::Table,
    pub(super) found: Found,
    /// When sleeps end, by timer.
    pub(super) sleeps: Map<u64>,
}

pub(super) struct Found {
    pub(super) lists: Map<u64>,
    pub(super) descriptors: Map<Descriptor>,
}

/// Goroutines by what there is to be read of them. One pass tells: each over all of them costs a hundredth of a snapshot.
#[derive(Default)]
struct Kinds<'r> {
    all: &'r [Raw],
    waiting: Vec<&'r Raw>,
    running: Vec<&'r Raw>,
    /// Those whose stack tells what they wait for.
    told_by_stack: Vec<&'r Raw>,
    /// Those whose stack is wanted for nothing else.
    walked: Vec<&'r Raw>,
    labelled: Vec<&'r Raw>,
    conds: Vec<&'r Raw>,
    descriptors: Vec<&'r Raw>,
    /// Those that sleep, and do not say themselves until when.
    asleep: Vec<&'r Raw>,
    /// Some wait for semaphores.
    semaphores: bool,
}

/// Keeps `most` of these, those that have waited longest, as far as that is known, in their order.
fn longest_first(raws: &mut Vec<&Raw>, most: usize) {
    let order = |raw: &&Raw| (raw.wait_since.wrapping_sub(1), raw.goid);
    if let Some(beyond) = raws.len().checked_sub(most).filter(|beyond| *beyond > 0) {
        raws.select_nth_unstable_by_key(most, order);
        raws.truncate(raws.len() - beyond);
    }
    raws.sort_unstable_by_key(order);
}

impl Kinds<'_> {
    /// Which of all a goroutine is, that is one of them.
    fn place(&self, raw: &Raw) -> usize {
        (std::ptr::from_ref(raw).addr() - self.all.as_ptr().addr()) / size_of::<Raw>()
    }
}

impl Reader<'_> {
    /// Reads what belongs to each goroutine.
    pub(super) fn details(
        &mut self,
        session: &mut Session<'_>,
        all: &[Raw],
        details: &mut Vec<Details>,
    ) -> Result<Evidence, MemoryError> {
        details.clear();
        room::reserve(details, all.len());
        details.resize_with(all.len(), Details::default);
        let kinds = self.kinds(session.options, all);
        let (first, breached) = session.waits.read(session.memory, &self.offsets, &kinds.waiting)?;
        for (own, raw) in (first..).zip(&kinds.waiting) {
            let has_parts = raw.waiting != 0 || self.reason(raw) != Reason::Other;
            let details = &mut details[kinds.place(raw)];
            (details.own, details.has_parts) = (Some(own), has_parts);
        }
        let walked = self.walks(session, &kinds, details)?;
        for raw in &kinds.running {
            self.running(session, raw, &mut details[kinds.place(raw)])?;
        }
        let table = self.semaphores(session.memory, kinds.semaphores)?;
        let found = self.found(session, &kinds, details, &walked)?;
        let sleeps = self.sleeps(session.memory, &kinds.asleep)?;
        for raw in &kinds.labelled {
            self.labels(session, raw, &mut details[kinds.place(raw)])?;
        }
        Ok(Evidence { breached, walked, table, found, sleeps })
    }

    /// Sorts goroutines by what there is to be read of them.
    fn kinds<'r>(&self, options: Options, all: &'r [Raw]) -> Kinds<'r> {
        let mut kinds = Kinds { all, waiting: Vec::with_capacity(all.len()), ..Kinds::default() };
        for raw in all {
            let reason = self.reason(raw);
            match raw.state {
                State::Waiting | State::Leaked => kinds.waiting.push(raw),
                State::Running => kinds.running.push(raw),
                State::Idle | State::Runnable | State::Syscall | State::CopyStack | State::Preempted => {}
            }
            let has_stack = !matches!(raw.state, State::Running | State::Idle | State::CopyStack);
            if has_stack && reason.needs_stack() {
                kinds.told_by_stack.push(raw);
            } else if has_stack && options.stacks {
                kinds.walked.push(raw);
            }
            if options.labels && raw.labels != 0 {
                kinds.labelled.push(raw);
            }
            match reason {
                Reason::Semaphore(_) => kinds.semaphores = true,
                Reason::Cond => kinds.conds.push(raw),
                Reason::Descriptor => kinds.descriptors.push(raw),
                Reason::Sleep if raw.timer != 0 && raw.sleep_when.is_none() => kinds.asleep.push(raw),
                _ => {}
            }
        }
        longest_first(&mut kinds.walked, options.most_stacks);
        kinds
    }

    /// Walks the stacks that tell what a goroutine waits for, and then, while there is time, those that are wanted.
    fn walks(
        &self,
        session: &mut Session<'_>,
        kinds: &Kinds<'_>,
        details: &mut [Details],
    ) -> Result<Map<Walk>, MemoryError> {
        let mut walked = Map::default();
        let stacks = session.options.stacks;
        let most = if stacks { session.options.frames } else { FEW_FRAMES };
        let keep = |raw: &Raw| matches!(self.reason(raw), Reason::Cond | Reason::Descriptor);
        let depth_at = |pc| self.depth_at(pc);
        let program = self.program(&depth_at, most);
        let walks = stack::walk(session.memory, &kinds.told_by_stack, &keep, &program)?;
        for (raw, walk) in kinds.told_by_stack.iter().zip(walks) {
            let details = &mut details[kinds.place(raw)];
            details.has_parts = true;
            if stacks {
                let frames = walk.frames.iter().copied().map(RuntimeAddr).collect();
                details.stack = Stack { frames, end: walk.end };
            }
            walked.insert(raw.addr, walk);
        }
        let mut rest = kinds.walked.as_slice();
        // What follows is another look at every goroutine, and less than one at what they wait for.
        while !rest.is_empty() && session.memory.left() > session.look * 2 {
            let (now, later) = rest.split_at(rest.len().min(stack::CHUNK));
            rest = later;
            for (raw, walk) in now.iter().zip(stack::walk(session.memory, now, &keep, &program)?) {
                let details = &mut details[kinds.place(raw)];
                details.has_parts = true;
                let frames = walk.frames.into_iter().map(RuntimeAddr).collect();
                details.stack = Stack { frames, end: walk.end };
            }
        }
        session.lacks_stacks |= !rest.is_empty();
        Ok(walked)
    }

    /// The depth of the stack at an instruction, in bytes.
    pub(super) fn depth_at(&self, pc: u64) -> Option<u64> {
        self.binary.pclntab().ok()?.stack_depth(self.bias.to_link(RuntimeAddr(pc)))
    }

    /// What a walk of at most so many frames needs to know.
    pub(super) fn program<'f>(
        &self,
        depth_at: &'f dyn Fn(u64) -> Option<u64>,
        most: usize,
    ) -> stack::Program<'f> {
        let (goexit, injected) = (self.goexit.clone(), self.injected.clone());
        stack::Program { depth_at, goexit, injected, most }
    }

    fn semaphores(&self, memory: &dyn Memory, any: bool) -> Result<semaphore::Table, MemoryError> {
        match self.globals.semtable {
            Some(semtable) if any => semaphore::read(memory, &self.offsets, semtable),
            _ => Ok(semaphore::Table::default()),
        }
    }

    /// What only stacks point to.
    fn found(
        &self,
        session: &Session<'_>,
        kinds: &Kinds<'_>,
        details: &[Details],
        walked: &Map<Walk>,
    ) -> Result<Found, MemoryError> {
        let suspect = |raw: &&Raw| {
            let words = walked.get(&raw.addr)?.words.as_slice();
            Some(Suspect { g: raw.addr, stack: raw.stack, words })
        };
        let has_address = |raw: &&Raw| {
            let own = details[kinds.place(raw)].own;
            session.waits.of(own).any(|sudog| sudog.elem != 0)
        };
        let conds: Vec<_> = kinds.conds.iter().filter(|raw| !has_address(raw)).filter_map(suspect).collect();
        let descriptors: Vec<_> = kinds.descriptors.iter().filter_map(suspect).collect();
        Ok(Found {
            lists: found::notify_lists(session.memory, &self.offsets, &conds)?,
            descriptors: found::descriptors(session.memory, &self.offsets, &descriptors)?,
        })
    }

    /// When each sleep ends, by the timer's address.
    fn sleeps(&self, memory: &dyn Memory, asleep: &[&Raw]) -> Result<Map<u64>, MemoryError> {
        let timers: Vec<u64> = asleep.iter().map(|raw| raw.timer).collect();
        let mut ends = Map::default();
        let when = self.offsets.timer.when as usize;
        read_each(memory, &timers, when + 8, |index, bytes| {
            if let Some(end) = bytes.and_then(|bytes| u64_at(bytes, when)) {
                ends.insert(timers[index], end);
            }
        })?;
        Ok(ends)
    }

    fn labels(&self, session: &mut Session<'_>, raw: &Raw, details: &mut Details) -> Result<(), MemoryError> {
        details.has_parts |= raw.state != State::Running;
        if !session.labels.contains_key(&raw.labels) {
            let labels = labels::read(session.memory, self.release, raw.labels)?;
            session.labels.insert(raw.labels, labels);
        }
        match session.labels.get(&raw.labels) {
            Some(Some(labels)) => details.labels.clone_from(labels),
            _ => details.labels_unknown = true,
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting(goid: u64, wait_since: u64) -> Raw {
        Raw {
            addr: 0x1000 * goid,
            state: State::Waiting,
            scanned: false,
            goid,
            reason: 0,
            wait_since,
            parent: 0,
            gopc: 0,
            startpc: 0,
            waiting: 0,
            labels: 0,
            timer: 0,
            sleep_when: None,
            m: 0,
            deferred: 0,
            locked: false,
            tracking_seq: 0,
            stack: (0, 0),
            sp: 0,
            pc: 0,
            bp: 0,
        }
    }

    #[test]
    fn of_too_many_stacks_those_of_the_longest_waits_are_read() {
        // Since when 1 and 4 wait is not known.
        let all = [waiting(4, 0), waiting(3, 70), waiting(1, 0), waiting(2, 50), waiting(5, 60)];
        let kept = |most| {
            let mut raws: Vec<&Raw> = all.iter().collect();
            longest_first(&mut raws, most);
            raws.iter().map(|raw| raw.goid).collect::<Vec<_>>()
        };
        assert_eq!(kept(usize::MAX), [2, 5, 3, 1, 4]);
        assert_eq!((kept(5), kept(4), kept(2)), (vec![2, 5, 3, 1, 4], vec![2, 5, 3, 1], vec![2, 5]));
        assert!(kept(0).is_empty());
    }
}
