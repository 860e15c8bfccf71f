//! Reads what belongs to goroutines besides their `g`: sudogs, stacks, labels, and what tells what they wait for.
//!
//! In: `g`s as they were read. Out: [`Details`] for each. Everything is read for all of them together, kind by kind.

use super::blocked::FEW_FRAMES;
use super::{Reader, Session};
use crate::binary::addr::RuntimeAddr;
use crate::binary::read::u64_at;
use crate::target::memory::{Memory, MemoryError, read_each};
use crate::target::snapshot::found::{self, Descriptor, Suspect};
use crate::target::snapshot::raw::Raw;
use crate::target::snapshot::reason::Reason;
use crate::target::snapshot::semaphore;
use crate::target::snapshot::stack::{self, Walk};
use crate::target::snapshot::waits::Map;
use crate::target::snapshot::{Blocked, Label, Stack, State, labels};

/// What was read of a goroutine besides its `g`.
#[derive(Default)]
pub(super) struct Details {
    pub(super) blocked_on: Vec<Blocked>,
    pub(super) labels: Vec<Label>,
    pub(super) stack: Stack,
    /// Why what it waits for is not known.
    pub(super) wait_unknown: Option<&'static str>,
    pub(super) stack_unknown: Option<&'static str>,
    pub(super) labels_unknown: bool,
    /// It was read in several parts, which belong together only if it has not moved.
    pub(super) has_parts: bool,
    /// Where its sudogs are.
    pub(super) own: Option<u32>,
}

/// What tells what a goroutine waits for.
pub(super) struct Evidence<'e> {
    /// Where the goroutine's sudogs are.
    pub(super) own: Option<u32>,
    pub(super) walk: Option<&'e Walk>,
    pub(super) table: &'e semaphore::Table,
    pub(super) found: &'e Found,
    pub(super) sleeps: &'e Map<u64>,
}

pub(super) struct Found {
    pub(super) lists: Map<u64>,
    pub(super) descriptors: Map<Descriptor>,
}

impl Reader<'_> {
    /// Reads what belongs to each goroutine.
    pub(super) fn details(
        &mut self,
        session: &mut Session<'_>,
        all: &[Raw],
        details: &mut Vec<Details>,
    ) -> Result<(), MemoryError> {
        details.clear();
        details.resize_with(all.len(), Details::default);
        let waiting: Vec<usize> =
            (0..all.len()).filter(|&n| matches!(all[n].state, State::Waiting | State::Leaked)).collect();
        let raws: Vec<&Raw> = waiting.iter().map(|&n| &all[n]).collect();
        let (first, breached) = session.waits.read(session.memory, &self.offsets, &raws)?;
        for (own, &n) in (first..).zip(&waiting) {
            details[n].own = Some(own);
        }
        let walked = self.walks(session, all, details)?;
        let table = self.semaphores(session.memory, &raws)?;
        let found = self.found(session, &raws, first, &walked)?;
        let sleeps = self.sleeps(session.memory, &raws)?;
        for (at, &n) in waiting.iter().enumerate() {
            let raw = &all[n];
            details[n].has_parts |= raw.waiting != 0 || self.reason(raw) != Reason::Other;
            if breached.contains(&at) {
                details[n].wait_unknown = Some("its list of waits does not hold together");
                continue;
            }
            let (walk, own) = (walked.get(&raw.addr), details[n].own);
            let evidence = Evidence { own, walk, table: &table, found: &found, sleeps: &sleeps };
            match self.blocked_on(session, raw, &evidence) {
                Ok(blocked_on) => details[n].blocked_on = blocked_on,
                Err(why) => details[n].wait_unknown = Some(why),
            }
        }
        for (raw, details) in all.iter().zip(details) {
            if session.options.labels && raw.labels != 0 {
                self.labels(session, raw, details)?;
            }
        }
        Ok(())
    }

    /// Walks the stacks that are wanted, and those that tell what a goroutine waits for.
    fn walks(
        &self,
        session: &Session<'_>,
        all: &[Raw],
        details: &mut [Details],
    ) -> Result<Map<Walk>, MemoryError> {
        let mut walked = Map::default();
        let stacks = session.options.stacks;
        let wanted = |raw: &Raw| match raw.state {
            State::Running | State::Idle | State::CopyStack => false,
            _ => stacks || self.reason(raw).needs_stack(),
        };
        let chosen: Vec<usize> = (0..all.len()).filter(|&n| wanted(&all[n])).collect();
        let raws: Vec<&Raw> = chosen.iter().map(|&n| &all[n]).collect();
        let most = if stacks { session.options.frames } else { FEW_FRAMES };
        let keep = |raw: &Raw| matches!(self.reason(raw), Reason::Cond | Reason::Descriptor);
        let depth_at = |pc| self.depth_at(pc);
        let program = self.program(&depth_at, most);
        let walks = stack::walk(session.memory, &raws, &keep, &program)?;
        for (&n, mut walk) in chosen.iter().zip(walks) {
            details[n].has_parts = true;
            let is_evidence = self.reason(&all[n]).needs_stack();
            if stacks {
                let frames = if is_evidence { walk.frames.clone() } else { std::mem::take(&mut walk.frames) };
                details[n].stack =
                    Stack { frames: frames.into_iter().map(RuntimeAddr).collect(), end: walk.end };
            }
            if is_evidence {
                walked.insert(all[n].addr, walk);
            }
        }
        self.running(session, all, details)?;
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

    fn semaphores(&self, memory: &dyn Memory, waiting: &[&Raw]) -> Result<semaphore::Table, MemoryError> {
        let any = waiting.iter().any(|raw| matches!(self.reason(raw), Reason::Semaphore(_)));
        match self.globals.semtable {
            Some(semtable) if any => semaphore::read(memory, &self.offsets, semtable),
            _ => Ok(semaphore::Table::default()),
        }
    }

    /// What only stacks point to.
    fn found(
        &self,
        session: &Session<'_>,
        waiting: &[&Raw],
        first: u32,
        walked: &Map<Walk>,
    ) -> Result<Found, MemoryError> {
        let of = |reason: Reason| {
            let raws = (first..).zip(waiting).filter(move |(_, raw)| self.reason(raw) == reason);
            raws.filter_map(|(own, raw)| {
                let words = walked.get(&raw.addr)?.words.as_slice();
                Some((own, Suspect { g: raw.addr, stack: raw.stack, words }))
            })
        };
        let has_address = |own| session.waits.of(Some(own)).any(|sudog| sudog.elem != 0);
        let conds: Vec<_> =
            of(Reason::Cond).filter(|&(own, _)| !has_address(own)).map(|(_, suspect)| suspect).collect();
        let descriptors: Vec<_> = of(Reason::Descriptor).map(|(_, suspect)| suspect).collect();
        Ok(Found {
            lists: found::notify_lists(session.memory, &self.offsets, &conds)?,
            descriptors: found::descriptors(session.memory, &self.offsets, &descriptors)?,
        })
    }

    /// When each sleep ends, by the timer's address.
    fn sleeps(&self, memory: &dyn Memory, waiting: &[&Raw]) -> Result<Map<u64>, MemoryError> {
        let asleep = waiting.iter().filter(|raw| self.reason(raw) == Reason::Sleep && raw.timer != 0);
        let timers: Vec<u64> = asleep.filter(|raw| raw.sleep_when.is_none()).map(|raw| raw.timer).collect();
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
