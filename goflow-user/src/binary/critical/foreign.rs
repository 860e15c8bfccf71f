//! Locks that code gives back without ever having taken one of their kind: somebody else's.
//!
//! In: where a function begins. Out: the `Unlock` calls to which some way leads from there, and no way on which a lock of that
//! kind may have been taken, or tried, before: neither by what it calls directly, nor, where there was one, by a call of what is only
//! known when it runs. It is
//! no error in Go: a mutex belongs to no goroutine. Asked of a function that a `go` statement starts, it tells that what the
//! goroutine gives back another one has taken. What a closure does counts only if it has been deferred, which the stack tells.

use super::{Body, Event, Lock, Sections, block_starts, is_own_closure, slowly_taken_by, taken_code, target};
use crate::binary::addr::LinkAddr;
use crate::binary::frame::Frame;
use iced_x86::{FlowControl, Instruction};
use std::sync::Arc;

/// How deep calls are followed for what they give back.
const DEPTH: u32 = 3;

/// How deep calls are followed for locks that they take. One that goes deeper may take any.
const TAKES: u32 = 6;

/// Unlocks that are told of one function.
const MOST: usize = 8;

/// A lock that is given back by code that has not taken it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ForeignUnlock {
    /// What kind of lock.
    pub lock: Lock,
    /// The instruction that gives it back, or calls what does.
    pub at: LinkAddr,
    /// A closure of the function does, which it may have deferred, or handed to somebody else.
    pub is_in_closure: bool,
}

/// Kinds of locks, a bit for each.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Kinds(u8);

impl Kinds {
    const ALL: Self = Self(0b111);

    fn of(locks: impl IntoIterator<Item = Lock>) -> Self {
        Self(locks.into_iter().fold(0, |bits, lock| bits | 1 << lock as u8))
    }

    fn has(self, lock: Lock) -> bool {
        self.0 & 1 << lock as u8 != 0
    }

    fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl Sections<'_> {
    /// The locks that the function which begins at `entry` gives back and has not taken.
    pub fn foreign_unlocks(&mut self, entry: LinkAddr) -> Arc<[ForeignUnlock]> {
        self.foreign(entry, DEPTH)
    }

    fn foreign(&mut self, entry: LinkAddr, depth: u32) -> Arc<[ForeignUnlock]> {
        if let Some(known) = self.foreign.get(&(entry, depth)) {
            return Arc::clone(known);
        }
        // One that calls itself is taken to do nothing there.
        self.foreign.insert((entry, depth), Arc::default());
        let mut found = self.find_foreign(entry, depth).unwrap_or_default();
        found.sort_unstable();
        found.dedup();
        found.truncate(MOST);
        let found: Arc<[ForeignUnlock]> = found.into();
        self.foreign.insert((entry, depth), Arc::clone(&found));
        found
    }

    fn find_foreign(&mut self, entry: LinkAddr, depth: u32) -> Option<Vec<ForeignUnlock>> {
        let depth = depth.checked_sub(1)?;
        let body = self.entry(entry).filter(|start| *start == entry).and_then(|entry| self.body(entry))?;
        let (mut found, before) = (Vec::new(), self.taken_before(&body));
        // A deferred call may come before what takes the lock in the source, and runs behind it; it is the last call.
        let calls = before.iter().zip(&body.instructions).filter(|(_, one)| is_call(one));
        let ever = calls.filter_map(|(taken, _)| *taken).fold(Kinds::default(), Kinds::with);
        for closure in self.own_closures(&body) {
            let unlocks = self.foreign(closure, depth);
            let foreign = unlocks.iter().filter(|one| !ever.has(one.lock));
            found.extend(foreign.map(|one| ForeignUnlock { is_in_closure: true, ..*one }));
        }
        for (at, taken) in before.into_iter().enumerate() {
            let Some(taken) = taken else { continue };
            match body.events.get(&at) {
                Some(&Event::Release(lock, _)) if !taken.has(lock) => {
                    let at = LinkAddr(body.instructions[at].ip());
                    found.push(ForeignUnlock { lock, at, is_in_closure: false });
                }
                Some(&Event::Call(callee)) => {
                    let called = self.foreign(callee, depth);
                    found.extend(called.iter().filter(|one| !taken.has(one.lock)));
                }
                _ => {}
            }
        }
        Some(found)
    }

    /// Functions inside this one that it makes closures of.
    fn own_closures(&self, body: &Body<'_>) -> Vec<LinkAddr> {
        let mut closures: Vec<LinkAddr> = body.instructions.iter().filter_map(taken_code).collect();
        closures.sort_unstable();
        closures.dedup();
        closures.retain(|&closure| is_own_closure(body.name, self.name(closure)));
        closures
    }

    /// Which kinds of locks some way to each instruction has taken; `None` where none leads. What was given back meanwhile stays: it
    /// is not always told which of several that was.
    fn taken_before(&mut self, body: &Body<'_>) -> Vec<Option<Kinds>> {
        let mut before: Vec<Option<Kinds>> = vec![None; body.instructions.len()];
        let starts = block_starts(body, &body.by_address);
        let (mut todo, mut anywhere) = (vec![(0, Kinds::default())], None::<Kinds>);
        while let Some((at, taken)) = todo.pop() {
            let Some(instruction) = body.instructions.get(at) else { continue };
            let all = before[at].unwrap_or_default().with(taken);
            if before[at] == Some(all) {
                continue;
            }
            before[at] = Some(all);
            let after = all.with(self.taken_at(body, at));
            match instruction.flow_control() {
                FlowControl::UnconditionalBranch => {
                    todo.extend(target(instruction, &body.by_address).map(|at| (at, after)));
                }
                FlowControl::ConditionalBranch => {
                    todo.extend(target(instruction, &body.by_address).map(|at| (at, after)));
                    todo.push((at + 1, after));
                }
                // A switch: any block may be next, with whatever has been taken before any of them.
                FlowControl::IndirectBranch => {
                    let all = anywhere.unwrap_or_default().with(after);
                    if anywhere.replace(all) != Some(all) {
                        todo.extend(starts.iter().map(|&at| (at, all)));
                    }
                }
                FlowControl::Return | FlowControl::Exception | FlowControl::Interrupt => {}
                FlowControl::Next
                | FlowControl::Call
                | FlowControl::IndirectCall
                | FlowControl::XbeginXabortXend => todo.push((at + 1, after)),
            }
        }
        before
    }

    /// What an instruction may leave taken. A call of what is not known may leave anything.
    fn taken_at(&mut self, body: &Body<'_>, at: usize) -> Kinds {
        let instruction = &body.instructions[at];
        match body.events.get(&at) {
            Some(&Event::Take(site)) => Kinds::of([body.sites[site].lock]),
            Some(&Event::Try(lock)) => Kinds::of([lock]),
            Some(&Event::Call(callee)) => self.left_by_call(body.name, callee),
            Some(Event::Release(..) | Event::ReleaseAll) => Kinds::default(),
            None if instruction.flow_control() == FlowControl::IndirectCall => Kinds::ALL,
            // One more sign of a lock that is taken, should its quick half not have been told from other code; and a Once calls
            // whatever it was given.
            None => match self.callee(instruction).and_then(|callee| self.name(callee)) {
                Some(name) if name.starts_with("sync.(*Once).") => Kinds::ALL,
                name => Kinds::of(name.and_then(slowly_taken_by)),
            },
        }
    }

    /// What calling a function may leave taken: of the program's own any kind that it, or what it calls, takes at all, since what it
    /// gives back again is not always told; of another's what it keeps.
    fn left_by_call(&mut self, caller: &str, callee: LinkAddr) -> Kinds {
        let name = self.name(callee).unwrap_or_default();
        if is_of_program(caller, name) {
            return self.takes(callee, TAKES);
        }
        Kinds::of(self.effect(callee, super::DEPTH).takes.into_iter().map(|(lock, _)| lock))
    }

    /// Which kinds of locks a function of the program may take, whatever becomes of them.
    fn takes(&mut self, entry: LinkAddr, depth: u32) -> Kinds {
        if let Some(known) = self.takes.get(&(entry, depth)) {
            return Kinds(*known);
        }
        let Some(further) = depth.checked_sub(1) else { return Kinds::ALL };
        let Some(body) = self.body(entry) else { return Kinds::default() };
        // One that calls itself takes no more than is found without.
        self.takes.insert((entry, depth), 0);
        let mut kinds = Kinds::default();
        for (at, instruction) in body.instructions.iter().enumerate() {
            kinds = kinds.with(match body.events.get(&at) {
                Some(&Event::Call(callee))
                    if is_of_program(body.name, self.name(callee).unwrap_or_default()) =>
                {
                    self.takes(callee, further)
                }
                _ if is_plain(instruction) => Kinds::default(),
                _ => self.taken_at(&body, at),
            });
            if kinds == Kinds::ALL {
                break;
            }
        }
        self.takes.insert((entry, depth), kinds.0);
        kinds
    }
}

fn is_call(instruction: &Instruction) -> bool {
    matches!(instruction.flow_control(), FlowControl::Call | FlowControl::IndirectCall)
}

/// Neither a call, nor something that is done to a lock.
fn is_plain(instruction: &Instruction) -> bool {
    !is_call(instruction) && !instruction.has_lock_prefix()
}

/// Whether a function belongs to a program of which the other is a part, and not to Go's standard library: those packages have no
/// dot in the first part of their path, as those of a program may have none only where they are its own.
fn is_of_program(one: &str, function: &str) -> bool {
    let first = |function: &str| {
        let frame = Frame { function, file: None, line: None, inlined: false, wrapper: false };
        frame.package().split('/').next().unwrap_or_default().to_owned()
    };
    let package = first(function);
    package == "main" || package.contains('.') || package == first(one)
}
