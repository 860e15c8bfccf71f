//! Locks that code gives back without ever having taken one of their kind: somebody else's.
//!
//! In: where a function begins. Out: the `Unlock` calls to which some way leads from there, and no way on which a lock of that
//! kind has been taken, or tried, before. What functions that are called take and keep counts, what they give back as well. It is
//! no error in Go: a mutex belongs to no goroutine. Asked of a function that a `go` statement starts, it tells that what the
//! goroutine gives back another one has taken. What a closure does counts only if it has been deferred, which the stack tells.

use super::{Body, Event, Lock, Sections, block_starts, is_own_closure, slowly_taken_by, taken_code, target};
use crate::binary::addr::LinkAddr;
use iced_x86::FlowControl;
use std::sync::Arc;

/// How deep calls are followed for what they give back.
const DEPTH: u32 = 3;

/// How deep calls are followed for locks that they try.
const TRIES: u32 = 2;

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
        // A deferred call may come before what takes the lock in the source, and runs behind it.
        let ever = before.iter().flatten().fold(Kinds::default(), |ever, taken| ever.with(*taken));
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

    fn taken_at(&mut self, body: &Body<'_>, at: usize) -> Kinds {
        match body.events.get(&at) {
            Some(&Event::Take(site)) => Kinds::of([body.sites[site].lock]),
            Some(&Event::Try(lock)) => Kinds::of([lock]),
            Some(&Event::Call(callee)) => {
                let kept = self.effect(callee, super::DEPTH).takes;
                Kinds::of(kept.into_iter().map(|(lock, _)| lock)).with(self.tries(callee, TRIES))
            }
            Some(Event::Release(..) | Event::ReleaseAll) => Kinds::default(),
            // One more sign of a lock that is taken, should its quick half not have been told from other code.
            None => {
                let callee = self.callee(&body.instructions[at]).and_then(|callee| self.name(callee));
                Kinds::of(callee.and_then(slowly_taken_by))
            }
        }
    }

    /// Which kinds of locks a function takes if they are free: whether it has them at its end is told by what it returns.
    fn tries(&mut self, entry: LinkAddr, depth: u32) -> Kinds {
        let Some(depth) = depth.checked_sub(1) else { return Kinds::default() };
        let Some(body) = self.body(entry) else { return Kinds::default() };
        let mut kinds = Kinds::default();
        for event in body.events.values() {
            kinds = kinds.with(match event {
                Event::Try(lock) => Kinds::of([*lock]),
                Event::Call(callee) => self.tries(*callee, depth),
                Event::Take(_) | Event::Release(..) | Event::ReleaseAll => Kinds::default(),
            });
        }
        kinds
    }
}
