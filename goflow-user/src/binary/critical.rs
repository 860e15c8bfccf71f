//! Which locks a function holds while a call that it made is under way.
//!
//! In: a return address. Out: the `Lock` calls that some way through the function leads over to that call, without an `Unlock` in
//! between. Go's mutexes do not know who holds them, and the quick half of `Lock` is inlined; so this reads the machine code
//! between the two, and the inline tables tell which atomic instructions belong to them. What a function that is called takes or
//! gives back counts too. Which lock it is is better told by what comes next, see [`Ahead`]. Not seen here: locks behind an
//! interface, and those that are taken by a function that is passed around.
//! Everything is bounded, and what cannot be decoded holds nothing.

mod ahead;
mod foreign;

pub use ahead::{Ahead, Path, Root, Through};
pub use foreign::ForeignUnlock;

use super::addr::LinkAddr;
use super::frame::Frame;
use super::{GoBinary, OpenDefers};
use iced_x86::{Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic, OpKind, Register};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Most bytes of a body that are decoded.
const LONGEST_BODY: usize = 1 << 18;

/// Most places in a function that take a lock; the bits behind theirs tell what calls took.
const MOST_SITES: usize = 58;

/// How deep calls are followed for what they take and give back.
const DEPTH: u32 = 3;

/// What kind of lock, and how it is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lock {
    /// A `sync.Mutex`.
    Mutex,
    /// A `sync.RWMutex`, alone.
    Write,
    /// A `sync.RWMutex`, with others that read.
    Read,
}

impl Lock {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::Mutex, Self::Write, Self::Read];

    /// A call took one.
    fn kept_bit(self) -> u64 {
        1 << (61 + self as u32)
    }

    /// One was given back that the function had not taken.
    fn gave_bit(self) -> u64 {
        1 << (58 + self as u32)
    }
}

/// Where a lock is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LockPlace {
    /// A package variable.
    Variable(LinkAddr),
    /// So many bytes behind a pointer that the function has.
    Behind(i64),
}

/// A lock that is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// What kind.
    pub lock: Lock,
    /// Where it is.
    pub place: LockPlace,
    /// The instruction that took it, or that called what did.
    pub taken_at: LinkAddr,
}

/// What an instruction does to locks.
#[derive(Clone, Copy, Debug)]
enum Event {
    Take(usize),
    /// Takes a lock if it is free.
    Try(Lock),
    Release(Lock, LockPlace),
    ReleaseAll,
    Call(LinkAddr),
}

/// What a function has to do with locks at a call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Section {
    /// The locks that it may have taken, and has not given back.
    pub held: Vec<Held>,
    /// What functions may have taken which it called, for it to give back; at no place that is known.
    pub kept: Vec<Held>,
    /// Those that it may have taken before where it takes one just now: in a loop.
    pub again: Vec<Held>,
    /// Kinds of locks that it takes itself somewhere.
    pub takes: Vec<Lock>,
    /// Kinds of locks that it may have given back for its caller.
    pub gave: Vec<Lock>,
    /// Where the function begins, if it is known.
    pub entry: Option<LinkAddr>,
}

/// A function, read.
#[derive(Default)]
struct Body<'b> {
    name: &'b str,
    instructions: Vec<Instruction>,
    /// Of each instruction.
    by_address: HashMap<u64, usize>,
    /// By instruction.
    events: HashMap<usize, Event>,
    sites: Vec<Held>,
    /// Kinds of locks that a deferred call gives back.
    deferred: Vec<Lock>,
}

/// What calling a function does to locks.
#[derive(Clone, Default)]
struct Effect {
    takes: Vec<(Lock, LockPlace)>,
    releases: Vec<Lock>,
}

/// Reads functions of one binary, each once.
pub struct Sections<'b> {
    binary: &'b GoBinary<'b>,
    /// From a `sync.RWMutex` to the word that readers are counted in.
    reader_count: i64,
    bodies: HashMap<LinkAddr, Option<Arc<Body<'b>>>>,
    effects: HashMap<LinkAddr, Effect>,
    sections: HashMap<LinkAddr, Arc<Section>>,
    ahead: HashMap<LinkAddr, Arc<Ahead>>,
    summaries: HashMap<LinkAddr, Arc<Ahead>>,
    open_defers: HashMap<LinkAddr, Option<Arc<OpenDefers>>>,
    foreign: HashMap<(LinkAddr, u32), Arc<[ForeignUnlock]>>,
    takes: HashMap<(LinkAddr, u32), u8>,
}

impl<'b> Sections<'b> {
    /// For `binary`.
    #[must_use]
    pub fn new(binary: &'b GoBinary<'b>) -> Self {
        let offsets = binary.offsets().ok();
        let rw_mutex = offsets.and_then(|(offsets, _)| offsets.rw_mutex);
        Self {
            binary,
            reader_count: rw_mutex.map_or(16, |rw_mutex| i64::from(rw_mutex.reader_count)),
            bodies: HashMap::new(),
            effects: HashMap::new(),
            sections: HashMap::new(),
            ahead: HashMap::new(),
            summaries: HashMap::new(),
            open_defers: HashMap::new(),
            foreign: HashMap::new(),
            takes: HashMap::new(),
        }
    }

    /// What the function has to do with locks which made the call that returns to `pc`.
    pub fn at(&mut self, pc: LinkAddr) -> Arc<Section> {
        if let Some(section) = self.sections.get(&pc) {
            return Arc::clone(section);
        }
        let section = Arc::new(self.find(pc).unwrap_or_default());
        self.sections.insert(pc, Arc::clone(&section));
        section
    }

    /// Where the frame that returns to `pc` keeps the calls that it has deferred, if it keeps them itself.
    pub fn open_defers(&mut self, pc: LinkAddr) -> Option<Arc<OpenDefers>> {
        let binary = self.binary;
        self.open_defers.entry(pc).or_insert_with(|| binary.open_defers(pc).map(Arc::new)).clone()
    }

    fn find(&mut self, pc: LinkAddr) -> Option<Section> {
        let binary: &'b GoBinary<'b> = self.binary;
        let entry = self.entry(LinkAddr(pc.0.checked_sub(1)?))?;
        let frames = binary.frames_of_call(pc);
        // The package's own functions hold what is theirs, but for this one, which calls the program with its lock held.
        if frames.last().is_none_or(|frame| frame.is_of_sync() && frame.function != "sync.(*Once).doSlow") {
            return None;
        }
        let body = self.body(entry)?;
        let call = body.instructions.iter().position(|instruction| instruction.next_ip() == pc.0)?;
        let before = self.flow(&body, DEPTH);
        let held = *before.get(call)?;
        // The lock that is being waited for just now was not taken, although the quick half of taking it is behind.
        let under_way =
            lock_of(&frames).map_or_else(Vec::new, |lock| self.under_way(&body, call, lock, &frames));
        let tries = body.events.values().filter_map(|event| match event {
            Event::Try(lock) => Some(*lock),
            _ => None,
        });
        let mut section = Section { entry: Some(entry), takes: tries.collect(), ..Section::default() };
        for (n, site) in body.sites.iter().enumerate() {
            let is_taken = |bits: u64| bits & (1 << n) != 0;
            if !section.takes.contains(&site.lock) {
                section.takes.push(site.lock);
            }
            let at = body.by_address.get(&site.taken_at.0);
            if !is_taken(held) {
            } else if !under_way.contains(&n) {
                section.held.push(*site);
            } else if at.and_then(|at| before.get(*at)).is_some_and(|bits| is_taken(*bits)) {
                section.again.push(*site);
            }
        }
        for lock in Lock::ALL.into_iter().filter(|lock| held & lock.kept_bit() != 0) {
            let taken_at = self.taken_by_call(&body, lock).unwrap_or(entry);
            section.kept.push(Held { lock, place: LockPlace::Behind(0), taken_at });
        }
        section.gave = Lock::ALL.into_iter().filter(|lock| held & lock.gave_bit() != 0).collect();
        Some(section)
    }

    /// The sites of the lock that the call at `call`, which stands in these frames, is about to take. Where several are on one line of
    /// the source, it is the one that leads there without another.
    fn under_way(&self, body: &Body<'_>, call: usize, lock: Lock, frames: &[Frame<'_>]) -> Vec<usize> {
        let is_same =
            |site: &Held| site.lock == lock && same_call(&self.binary.frames(site.taken_at), frames);
        let same = body.sites.iter().enumerate().filter(|(_, site)| is_same(site));
        let at = |site: &Held| body.by_address.get(&site.taken_at.0).copied();
        let same: Vec<(usize, usize)> = same.filter_map(|(n, site)| Some((n, at(site)?))).collect();
        let places: HashSet<usize> = same.iter().map(|(_, at)| *at).collect();
        let leads = |from: usize| from == call || leads_without(body, from, call, &places);
        same.iter().filter(|(_, at)| same.len() == 1 || leads(*at)).map(|(n, _)| *n).collect()
    }

    /// The first call that takes such a lock and keeps it.
    fn taken_by_call(&mut self, body: &Body<'_>, lock: Lock) -> Option<LinkAddr> {
        let calls = body.events.iter().filter_map(|(at, event)| match event {
            Event::Call(callee) => Some((*at, *callee)),
            _ => None,
        });
        let mut calls: Vec<(usize, LinkAddr)> = calls.collect();
        calls.sort_unstable();
        let takes = |effect: Effect| effect.takes.iter().any(|(taken, _)| *taken == lock);
        let (at, _) = calls.into_iter().find(|&(_, callee)| takes(self.effect(callee, DEPTH)))?;
        Some(LinkAddr(body.instructions[at].ip()))
    }

    fn entry(&self, pc: LinkAddr) -> Option<LinkAddr> {
        let table = self.binary.pclntab().ok()?;
        Some(table.range(&table.find_pc(pc)?)?.start)
    }

    fn body(&mut self, entry: LinkAddr) -> Option<Arc<Body<'b>>> {
        if let Some(body) = self.bodies.get(&entry) {
            return body.clone();
        }
        let body = self.read(entry).map(Arc::new);
        self.bodies.insert(entry, body.clone());
        body
    }

    fn read(&self, entry: LinkAddr) -> Option<Body<'b>> {
        let binary: &'b GoBinary<'b> = self.binary;
        let table = binary.pclntab().ok()?;
        let record = table.find_pc(entry)?;
        let (range, name) = (table.range(&record)?, table.name(&record)?);
        let code = self.binary.code(&range)?;
        let code = code.get(..LONGEST_BODY).unwrap_or(code);
        let decoder = Decoder::with_ip(64, code, range.start.0, DecoderOptions::NONE);
        let instructions: Vec<Instruction> = decoder.into_iter().collect();
        let by_address = instructions.iter().enumerate().map(|(at, one)| (one.ip(), at)).collect();
        let mut body = Body { name, instructions, by_address, ..Body::default() };
        let mut closures = HashSet::new();
        for at in 0..body.instructions.len() {
            let instruction = body.instructions[at];
            if instruction.is_invalid() {
                return None;
            }
            if let Some(event) = self.event(&mut body, at) {
                body.events.insert(at, event);
            }
            let closure = taken_code(&instruction).filter(|target| !range.contains(target));
            if let Some(closure) = closure.filter(|&closure| closures.insert(closure)) {
                self.note_deferred(&mut body, name, closure);
            }
        }
        Some(body)
    }

    /// A function of this one's own that gives locks back is deferred, or goes on by itself: at the end of this one nothing says
    /// any more that it has them.
    fn note_deferred(&self, body: &mut Body<'_>, name: &str, closure: LinkAddr) {
        let table = self.binary.pclntab().ok();
        let record = table.and_then(|table| Some((table, table.find_pc(closure)?)));
        let Some((table, record)) = record else { return };
        let is_own = table.name(&record).is_some_and(|other| other.starts_with(name) && other != name);
        let Some(range) = table.range(&record).filter(|range| is_own && range.start == closure) else {
            return;
        };
        let Some(code) = self.binary.code(&range) else { return };
        let code = code.get(..LONGEST_BODY).unwrap_or(code);
        let decoder = Decoder::with_ip(64, code, range.start.0, DecoderOptions::NONE);
        let instructions: Vec<Instruction> = decoder.into_iter().collect();
        for (at, instruction) in instructions.iter().enumerate() {
            let released = match self.callee(instruction) {
                Some(callee) => self.name(callee).and_then(released_by),
                None if instruction.has_lock_prefix() => self.around(&instructions, at, released_in),
                None => None,
            };
            body.deferred.extend(released.filter(|lock| !body.deferred.contains(lock)));
        }
    }

    fn name(&self, entry: LinkAddr) -> Option<&'b str> {
        let binary: &'b GoBinary<'b> = self.binary;
        let table = binary.pclntab().ok()?;
        table.name(&table.find_pc(entry)?)
    }

    fn callee(&self, instruction: &Instruction) -> Option<LinkAddr> {
        let is_direct = instruction.op0_kind() == OpKind::NearBranch64;
        (instruction.mnemonic() == Mnemonic::Call && is_direct)
            .then(|| LinkAddr(instruction.near_branch_target()))
    }

    fn event(&self, body: &mut Body<'_>, at: usize) -> Option<Event> {
        let instruction = body.instructions[at];
        if let Some(callee) = self.callee(&instruction) {
            let name = self.name(callee)?;
            let place = argument(&body.instructions, at);
            if let Some(lock) = taken_by(name) {
                return take(body, lock, place, instruction.ip());
            }
            if let Some(lock) = released_by(name) {
                return Some(Event::Release(lock, place));
            }
            if let Some(lock) = tried_by(name) {
                return Some(Event::Try(lock));
            }
            if name == "runtime.deferreturn" {
                return Some(Event::ReleaseAll);
            }
            let frame = Frame { function: name, file: None, line: None, inlined: false, wrapper: false };
            let is_runtime =
                matches!(frame.package().split('/').next(), Some("runtime" | "internal" | "sync"));
            return (!is_runtime).then_some(Event::Call(callee));
        }
        if !instruction.has_lock_prefix() {
            return None;
        }
        let belongs_to = |of: fn(&[Frame<'_>]) -> Option<Lock>| self.around(&body.instructions, at, of);
        let place = |lock| {
            let place = operand(&body.instructions, at);
            let back = if lock == Lock::Read { self.reader_count } else { 0 };
            match place {
                LockPlace::Variable(link) => LockPlace::Variable(LinkAddr(link.0.wrapping_sub(back as u64))),
                LockPlace::Behind(offset) => LockPlace::Behind(offset - back),
            }
        };
        if let Some(lock) = belongs_to(lock_of) {
            let place = place(lock);
            return take(body, lock, place, instruction.ip());
        }
        if let Some(lock) = belongs_to(|frames| frames.iter().find_map(|frame| tried_by(frame.function))) {
            return Some(Event::Try(lock));
        }
        belongs_to(released_in).map(|lock| Event::Release(lock, place(lock)))
    }

    /// Which inlined call an atomic instruction belongs to: the compiler may give it the line of the call itself (always from Go 1.27
    /// on), but those that look at its result that of the function that was inlined. Others may stand in between.
    fn around(
        &self,
        instructions: &[Instruction],
        at: usize,
        of: fn(&[Frame<'_>]) -> Option<Lock>,
    ) -> Option<Lock> {
        const NEAR: usize = 16;
        for (n, instruction) in instructions[at..].iter().take(NEAR).enumerate() {
            // The next one has a call of its own.
            if n > 0 && instruction.has_lock_prefix() {
                break;
            }
            if let Some(lock) = of(&self.binary.frames(LinkAddr(instruction.ip()))) {
                return Some(lock);
            }
            if instruction.flow_control() != FlowControl::Next {
                break;
            }
        }
        None
    }

    /// Which of its sites a function may hold in front of each instruction, a bit for each.
    fn flow(&mut self, body: &Body<'_>, depth: u32) -> Vec<u64> {
        self.run(body, depth).0
    }

    fn run(&mut self, body: &Body<'_>, depth: u32) -> (Vec<u64>, Effect) {
        let by_address = &body.by_address;
        let starts = block_starts(body, by_address);
        let (mut before, mut known) =
            (vec![0; body.instructions.len()], vec![false; body.instructions.len()]);
        let mut effect = Effect::default();
        let mut todo = vec![(0, 0_u64)];
        // What one may hold that jumps somewhere else, wherever it does; nothing before one does.
        let mut anywhere = None;
        while let Some((at, held)) = todo.pop() {
            let Some(instruction) = body.instructions.get(at) else { continue };
            if known[at] && before[at] | held == before[at] {
                continue;
            }
            (known[at], before[at]) = (true, before[at] | held);
            let held = self.after(body, at, before[at], depth, &mut effect);
            match instruction.flow_control() {
                FlowControl::Return => {
                    let kept = body
                        .sites
                        .iter()
                        .enumerate()
                        .filter(|(n, site)| held & (1 << n) != 0 && !body.deferred.contains(&site.lock));
                    let own = kept.map(|(_, site)| (site.lock, site.place));
                    let of_calls = Lock::ALL
                        .into_iter()
                        .filter(|lock| held & lock.kept_bit() != 0 && !body.deferred.contains(lock));
                    for one in own.chain(of_calls.map(|lock| (lock, LockPlace::Behind(0)))) {
                        if !effect.takes.contains(&one) {
                            effect.takes.push(one);
                        }
                    }
                }
                FlowControl::UnconditionalBranch => {
                    todo.extend(target(instruction, by_address).map(|at| (at, held)));
                }
                FlowControl::ConditionalBranch => {
                    todo.extend(target(instruction, by_address).map(|at| (at, held)));
                    todo.push((at + 1, held));
                }
                // A switch: any block may be next. Only what is new is passed on: a body of nothing but such jumps has as many
                // blocks as instructions.
                FlowControl::IndirectBranch => {
                    let all = anywhere.unwrap_or(0) | held;
                    if anywhere.replace(all) != Some(all) {
                        todo.extend(starts.iter().map(|&at| (at, all)));
                    }
                }
                FlowControl::Exception | FlowControl::Interrupt => {}
                FlowControl::Next
                | FlowControl::Call
                | FlowControl::IndirectCall
                | FlowControl::XbeginXabortXend => {
                    todo.push((at + 1, held));
                }
            }
        }
        (before, effect)
    }

    fn after(&mut self, body: &Body<'_>, at: usize, held: u64, depth: u32, effect: &mut Effect) -> u64 {
        match body.events.get(&at) {
            None | Some(Event::Try(_)) => held,
            Some(Event::Take(site)) => held | 1 << site,
            Some(Event::ReleaseAll) => 0,
            Some(&Event::Release(lock, place)) => release(body, held, lock, Some(place), effect),
            Some(&Event::Call(callee)) => {
                let Effect { takes, releases } = self.effect(callee, depth);
                let mut held = held;
                for lock in releases {
                    held = release(body, held, lock, None, effect);
                }
                // Whatever it takes and keeps, this one has from there on: at the places that it has itself for such.
                for (lock, place) in takes {
                    let is_same = |site: &Held| (site.lock, site.place) == (lock, place);
                    held |= match body.sites.iter().position(is_same) {
                        Some(n) => 1 << n,
                        None => lock.kept_bit(),
                    };
                }
                held
            }
        }
    }

    fn effect(&mut self, callee: LinkAddr, depth: u32) -> Effect {
        if let Some(effect) = self.effects.get(&callee) {
            return effect.clone();
        }
        if depth == 0 {
            return Effect::default();
        }
        // One that calls itself is taken to do nothing there.
        self.effects.insert(callee, Effect::default());
        let effect = self.body(callee).map(|body| self.run(&body, depth - 1).1).unwrap_or_default();
        self.effects.insert(callee, effect.clone());
        effect
    }
}

/// What a function gives back that it holds, or that its caller does.
fn release(body: &Body<'_>, held: u64, lock: Lock, place: Option<LockPlace>, effect: &mut Effect) -> u64 {
    let of = |is: &dyn Fn(&Held) -> bool| {
        let sites = body.sites.iter().enumerate().filter(|(_, site)| site.lock == lock && is(site));
        sites.fold(0, |bits, (n, _)| bits | 1 << n) & held
    };
    let exact = of(&|site| Some(site.place) == place);
    let all = of(&|_| true) | held & lock.kept_bit();
    if all == 0 && !effect.releases.contains(&lock) {
        effect.releases.push(lock);
    }
    let held = if all == 0 { held | lock.gave_bit() } else { held };
    held & !if exact == 0 { all } else { exact }
}

fn take(body: &mut Body<'_>, lock: Lock, place: LockPlace, at: u64) -> Option<Event> {
    if body.sites.len() >= MOST_SITES {
        return None;
    }
    body.sites.push(Held { lock, place, taken_at: LinkAddr(at) });
    Some(Event::Take(body.sites.len() - 1))
}

fn target(instruction: &Instruction, by_address: &HashMap<u64, usize>) -> Option<usize> {
    (instruction.op0_kind() == OpKind::NearBranch64)
        .then(|| by_address.get(&instruction.near_branch_target()).copied())
        .flatten()
}

/// Whether some way leads from one instruction to another that passes none of these.
fn leads_without(body: &Body<'_>, from: usize, to: usize, without: &HashSet<usize>) -> bool {
    let (mut seen, mut todo) = (HashSet::new(), vec![from]);
    while let Some(at) = todo.pop() {
        let Some(instruction) = body.instructions.get(at) else { continue };
        let jump = target(instruction, &body.by_address);
        let falls = match instruction.flow_control() {
            FlowControl::UnconditionalBranch
            | FlowControl::IndirectBranch
            | FlowControl::Return
            | FlowControl::Exception
            | FlowControl::Interrupt => None,
            FlowControl::ConditionalBranch
            | FlowControl::Next
            | FlowControl::Call
            | FlowControl::IndirectCall
            | FlowControl::XbeginXabortXend => Some(at + 1),
        };
        let is_branch = instruction.flow_control() != FlowControl::Call;
        for next in jump.filter(|_| is_branch).into_iter().chain(falls) {
            if next == to {
                return true;
            }
            if !without.contains(&next) && seen.insert(next) {
                todo.push(next);
            }
        }
    }
    false
}

/// Where something else jumps to, or nothing falls through to.
fn block_starts(body: &Body<'_>, by_address: &HashMap<u64, usize>) -> Vec<usize> {
    let has_switch = body.instructions.iter().any(|one| one.flow_control() == FlowControl::IndirectBranch);
    if !has_switch {
        return Vec::new();
    }
    let ends = |one: &Instruction| {
        matches!(
            one.flow_control(),
            FlowControl::UnconditionalBranch | FlowControl::Return | FlowControl::IndirectBranch
        )
    };
    let mut starts: Vec<usize> =
        body.instructions.iter().enumerate().filter(|(_, one)| ends(one)).map(|(at, _)| at + 1).collect();
    starts.extend(body.instructions.iter().filter_map(|one| target(one, by_address)));
    starts.sort_unstable();
    starts.dedup();
    starts
}

/// Whether `other` is a function inside the one that is called `name`.
fn is_own_closure(name: &str, other: Option<&str>) -> bool {
    other.is_some_and(|other| other != name && other.starts_with(name))
}

/// The address of code that an instruction takes.
fn taken_code(instruction: &Instruction) -> Option<LinkAddr> {
    (instruction.mnemonic() == Mnemonic::Lea && instruction.is_ip_rel_memory_operand())
        .then(|| LinkAddr(instruction.ip_rel_memory_address()))
}

/// The place that the memory operand of the instruction at `at` is.
fn operand(instructions: &[Instruction], at: usize) -> LockPlace {
    let instruction = &instructions[at];
    if instruction.is_ip_rel_memory_operand() {
        return LockPlace::Variable(LinkAddr(instruction.ip_rel_memory_address()));
    }
    let offset = (instruction.memory_displacement64()).cast_signed();
    behind(instructions, at, instruction.memory_base(), offset)
}

/// The place that the first argument of the call at `at` points to.
fn argument(instructions: &[Instruction], at: usize) -> LockPlace {
    behind(instructions, at, Register::RAX, 0)
}

/// The place so many bytes behind what a register holds, as far as the instructions just in front tell.
fn behind(instructions: &[Instruction], at: usize, register: Register, offset: i64) -> LockPlace {
    const NEAR: usize = 12;
    let (mut register, mut offset) = (register.full_register(), offset);
    for instruction in instructions[..at].iter().rev().take(NEAR) {
        let is_write = instruction.op0_kind() == OpKind::Register
            && instruction.op0_register().full_register() == register;
        if instruction.flow_control() != FlowControl::Next
            && instruction.flow_control() != FlowControl::ConditionalBranch
        {
            break;
        }
        if !is_write {
            continue;
        }
        match instruction.mnemonic() {
            Mnemonic::Lea if instruction.is_ip_rel_memory_operand() => {
                let address = instruction.ip_rel_memory_address().wrapping_add_signed(offset);
                return LockPlace::Variable(LinkAddr(address));
            }
            Mnemonic::Lea if instruction.memory_index() == Register::None => {
                offset = offset.wrapping_add(instruction.memory_displacement64().cast_signed());
                register = instruction.memory_base().full_register();
            }
            Mnemonic::Mov if instruction.op1_kind() == OpKind::Register => {
                register = instruction.op1_register().full_register();
            }
            _ => break,
        }
    }
    // The stack pointer is no pointer of the program's.
    LockPlace::Behind(if register == Register::RSP { 0 } else { offset })
}

/// What an inlined call takes, that the innermost frames are of.
fn lock_of(frames: &[Frame<'_>]) -> Option<Lock> {
    frames.iter().find_map(|frame| taken_by(frame.function))
}

fn released_in(frames: &[Frame<'_>]) -> Option<Lock> {
    frames.iter().find_map(|frame| released_by(frame.function))
}

fn taken_by(function: &str) -> Option<Lock> {
    match function {
        "sync.(*Mutex).Lock" | "internal/sync.(*Mutex).Lock" => Some(Lock::Mutex),
        "sync.(*RWMutex).Lock" => Some(Lock::Write),
        "sync.(*RWMutex).RLock" | "sync.(*rlocker).Lock" => Some(Lock::Read),
        _ => None,
    }
}

fn released_by(function: &str) -> Option<Lock> {
    match function {
        "sync.(*Mutex).Unlock" | "internal/sync.(*Mutex).Unlock" => Some(Lock::Mutex),
        "sync.(*RWMutex).Unlock" => Some(Lock::Write),
        "sync.(*RWMutex).RUnlock" | "sync.(*rlocker).Unlock" => Some(Lock::Read),
        _ => None,
    }
}

/// What the slow half of taking a lock is for, which is not inlined (src/sync/mutex.go, src/sync/rwmutex.go).
fn slowly_taken_by(function: &str) -> Option<Lock> {
    match function {
        "sync.(*Mutex).lockSlow" | "internal/sync.(*Mutex).lockSlow" => Some(Lock::Mutex),
        "sync.runtime_SemacquireRWMutexR" | "sync.runtime_SemacquireMutex" => Some(Lock::Read),
        _ => None,
    }
}

fn tried_by(function: &str) -> Option<Lock> {
    match function {
        "sync.(*Mutex).TryLock" | "internal/sync.(*Mutex).TryLock" => Some(Lock::Mutex),
        "sync.(*RWMutex).TryLock" => Some(Lock::Write),
        "sync.(*RWMutex).TryRLock" => Some(Lock::Read),
        _ => None,
    }
}

/// Two instructions belong to one call in the source: what is around the frames of package sync, and of what that calls, is the same.
fn same_call(one: &[Frame<'_>], other: &[Frame<'_>]) -> bool {
    let around = |frames: &[Frame<'_>]| {
        let outer = frames.iter().rposition(Frame::is_of_sync).map_or(0, |sync| sync + 1);
        frames[outer..].iter().map(|frame| (frame.function.to_owned(), frame.line)).collect::<Vec<_>>()
    };
    around(one) == around(other)
}

#[cfg(test)]
mod listings;
#[cfg(test)]
mod tests;
