//! Which locks a frame will give back, read from where it stands.
//!
//! In: what the code does from there on, and what deferred closures do ([`crate::binary::critical::Ahead`]), as paths; the stack
//! and the memory. Out: the addresses of those locks. A deferred call is one whose bit is set in its frame, or that has a record on
//! the goroutine. What cannot be followed to its end is left out, and it is told that something was.

use super::ReachError;
use super::stack::{FrameAt, Words};
use crate::binary::addr::{LinkAddr, LoadBias, RuntimeAddr};
use crate::binary::critical::{Ahead, Lock, Path, Root, Section, Sections, Through};
use crate::binary::offsets::Deferred;
use crate::target::memory::Memory;
use iced_x86::Register;
use std::sync::Arc;

/// Calls through memory behind each other that are followed.
const DEPTH: u32 = 3;

/// Records of deferred calls of one goroutine that are read.
const MOST_RECORDS: usize = 256;

/// Words of one goroutine that are read outside of its stack.
const MOST_READS: u32 = 4096;

/// A lock that will be given back, or taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) lock: Lock,
    pub(super) address: u64,
}

/// What a frame will do to locks.
#[derive(Debug, Default)]
pub(super) struct Given {
    /// What its code gives back itself.
    pub(super) ahead: Vec<Known>,
    /// What its deferred calls give back.
    pub(super) deferred: Vec<Known>,
    /// What its code takes and leaves to them.
    pub(super) taken: Vec<Known>,
    /// Kinds of locks of which it gives some back, or takes some, that cannot be told.
    pub(super) unknown: Vec<Lock>,
}

/// A deferred call that has a record.
#[derive(Clone, Copy, Debug)]
struct Record {
    sp: u64,
    closure: u64,
}

/// Follows paths on behalf of one goroutine.
pub(super) struct Giver<'r, 's, 'b> {
    memory: &'r dyn Memory,
    bias: LoadBias,
    sections: &'s mut Sections<'b>,
    stack: &'s Words<'s>,
    records: Vec<Record>,
    reads: u32,
}

impl<'r, 's, 'b> Giver<'r, 's, 'b> {
    /// For the goroutine with this stack, whose innermost deferred call has its record at `first`.
    pub(super) fn new(
        memory: &'r dyn Memory,
        bias: LoadBias,
        sections: &'s mut Sections<'b>,
        stack: &'s Words<'s>,
        (layout, first): (&Deferred, u64),
    ) -> Result<Self, ReachError> {
        let mut giver = Self { memory, bias, sections, stack, records: Vec::new(), reads: 0 };
        let mut at = first;
        while at != 0 && giver.records.len() < MOST_RECORDS {
            let mut word = |offset: u32| giver.word(at.wrapping_add(u64::from(offset)));
            let (sp, closure, link) = (word(layout.sp)?, word(layout.func)?, word(layout.link)?);
            let (Some(sp), Some(closure), Some(link)) = (sp, closure, link) else { break };
            giver.records.push(Record { sp, closure });
            at = link;
        }
        Ok(giver)
    }

    /// What the function of `frame` has to do with locks where it stands.
    pub(super) fn section(&mut self, frame: FrameAt) -> Arc<Section> {
        self.sections.at(self.bias.to_link(RuntimeAddr(frame.pc)))
    }

    /// What `frame` will do.
    pub(super) fn of(&mut self, frame: FrameAt) -> Result<Given, ReachError> {
        let mut given = Given::default();
        let pc = self.bias.to_link(RuntimeAddr(frame.pc));
        for closure in self.closures(frame, pc)? {
            let mut own = Given::default();
            self.call(closure, &[(Register::RDX, closure)], DEPTH, &mut own)?;
            given.deferred.extend(own.ahead);
            given.unknown.extend(own.unknown);
        }
        let ahead = self.sections.ahead_of_call(pc);
        self.follow(&ahead, &[(Register::RSP, frame.sp)], DEPTH, &mut given)?;
        Ok(given)
    }

    /// The closures that a frame has deferred.
    fn closures(&mut self, frame: FrameAt, pc: LinkAddr) -> Result<Vec<u64>, ReachError> {
        let records = self.records.iter().filter(|record| (frame.sp..frame.argp).contains(&record.sp));
        let mut closures: Vec<u64> =
            records.map(|record| record.closure).filter(|&closure| closure != 0).collect();
        let Some(defers) = self.sections.open_defers(pc) else { return Ok(closures) };
        let returns = frame.argp.wrapping_sub(8);
        let varp = if returns > frame.sp { returns.wrapping_sub(8) } else { returns };
        let bits = varp.wrapping_sub(defers.bits);
        let Some(word) = self.word(bits & !7)? else { return Ok(closures) };
        let bits = word >> (8 * (bits & 7));
        for (n, slot) in defers.slots.iter().enumerate() {
            if bits & (1 << n) != 0 {
                closures.extend(self.word(varp.wrapping_sub(*slot))?);
            }
        }
        Ok(closures)
    }

    /// What the code does that `at` points to, called with these.
    fn call(
        &mut self,
        at: u64,
        with: &[(Register, u64)],
        depth: u32,
        given: &mut Given,
    ) -> Result<(), ReachError> {
        let Some(code) = self.word(at)? else { return Ok(()) };
        self.run(code, with, depth, given)
    }

    fn run(
        &mut self,
        code: u64,
        with: &[(Register, u64)],
        depth: u32,
        given: &mut Given,
    ) -> Result<(), ReachError> {
        let Some(depth) = depth.checked_sub(1) else { return Ok(()) };
        let ahead: Arc<Ahead> = self.sections.ahead_of(self.bias.to_link(RuntimeAddr(code)));
        self.follow(&ahead, with, depth, given)
    }

    fn follow(
        &mut self,
        ahead: &Ahead,
        with: &[(Register, u64)],
        depth: u32,
        given: &mut Given,
    ) -> Result<(), ReachError> {
        for (lock, path) in &ahead.takes {
            match self.known(*lock, path.as_ref(), with)? {
                Some(known) => given.taken.push(known),
                None => given.unknown.push(*lock),
            }
        }
        for (lock, path) in &ahead.releases {
            match self.known(*lock, path.as_ref(), with)? {
                Some(known) => given.ahead.push(known),
                None => given.unknown.push(*lock),
            }
        }
        for Through { code, with: arguments } in &ahead.calls {
            let Some(code) = self.value(code, with)? else { continue };
            let mut values = Vec::new();
            for (register, path) in arguments {
                values.extend(self.value(path, with)?.map(|value| (*register, value)));
            }
            self.run(code, &values, depth, given)?;
        }
        Ok(())
    }

    fn known(
        &mut self,
        lock: Lock,
        path: Option<&Path>,
        with: &[(Register, u64)],
    ) -> Result<Option<Known>, ReachError> {
        let Some(path) = path else { return Ok(None) };
        Ok(self.value(path, with)?.map(|address| Known { lock, address }))
    }

    /// What a path leads to; `None` where it cannot be followed.
    fn value(&mut self, path: &Path, with: &[(Register, u64)]) -> Result<Option<u64>, ReachError> {
        let root = match path.root {
            Root::Address(link) => Some(self.bias.to_runtime(link).0),
            Root::Register(register) => {
                with.iter().find(|(one, _)| *one == register).map(|(_, value)| *value)
            }
        };
        let (Some(mut value), Some((first, more))) = (root, path.steps.split_first()) else {
            return Ok(None);
        };
        value = value.wrapping_add_signed(*first);
        for step in more {
            let Some(word) = self.word(value)? else { return Ok(None) };
            value = word.wrapping_add_signed(*step);
        }
        Ok(Some(value))
    }

    /// The word at an address, from the stack as it was read where it lies there.
    fn word(&mut self, address: u64) -> Result<Option<u64>, ReachError> {
        if let Some(word) = self.stack.at(address) {
            return Ok(Some(word));
        }
        if address < 4096 || self.reads >= MOST_READS {
            return Ok(None);
        }
        self.reads += 1;
        let mut bytes = [0; 8];
        let is_read = self.memory.read(RuntimeAddr(address), &mut bytes)?;
        Ok(is_read.then(|| u64::from_le_bytes(bytes)))
    }
}
