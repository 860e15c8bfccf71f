//! Which locks code gives back if it goes on from here, without taking them first.
//!
//! In: where a function goes on after a call, or where one begins. Out: an [`Ahead`]: the locks on some way from there, each as
//! a [`Path`] from what the code has in its registers at that point: what it adds, what it loads. Whoever has the memory follows
//! the paths to the very lock. It is what a call that is under way will do, or a deferred closure; the other half, what was done
//! before, is [`super`]. A function that is called through memory (an interface, a closure) is told with the path to its code.
//! Everything is bounded; a way that is not followed gives nothing back.

use super::{Body, Event, Lock, Sections, is_own_closure, released_by, taken_by};
use crate::binary::addr::LinkAddr;
use crate::binary::frame::Frame;
use iced_x86::{FlowControl, Instruction, Mnemonic, OpKind, Register};
use std::collections::HashMap;
use std::sync::Arc;

/// How often one instruction is passed, on different ways.
const MOST_PASSES: u8 = 3;

/// Instructions that are passed in all.
const MOST_STEPS: usize = 1 << 15;

/// Loads behind each other.
const MOST_LOADS: usize = 8;

/// Locks and calls that are told of one function.
const MOST_TOLD: usize = 32;

/// How deep calls are followed.
const DEPTH: u32 = 3;

/// Where a path begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Root {
    /// What this register holds when the code begins.
    Register(Register),
    /// An address.
    Address(LinkAddr),
}

/// How a value comes about: of the root, plus the first of `steps`; for each further one what lies there, plus it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Path {
    /// Where it begins.
    pub root: Root,
    /// What is added, with a load between each two. Never empty.
    pub steps: Vec<i64>,
}

impl Path {
    fn of(root: Root) -> Self {
        Self { root, steps: vec![0] }
    }

    fn plus(mut self, offset: i64) -> Self {
        if let Some(last) = self.steps.last_mut() {
            *last = last.wrapping_add(offset);
        }
        self
    }

    fn load(mut self) -> Option<Self> {
        self.steps.push(0);
        (self.steps.len() <= MOST_LOADS).then_some(self)
    }

    /// Where it lies so many bytes behind the root itself.
    fn behind(&self, root: Root) -> Option<i64> {
        match self.steps.as_slice() {
            [offset] if self.root == root => Some(*offset),
            _ => None,
        }
    }

    /// The same, of a function that is called with `registers`.
    fn called_with(&self, registers: &HashMap<Register, Path>) -> Option<Self> {
        let Root::Register(register) = self.root else { return Some(self.clone()) };
        let (first, more) = self.steps.split_first()?;
        let mut path = registers.get(&register)?.clone().plus(*first);
        path.steps.extend(more);
        (path.steps.len() <= MOST_LOADS).then_some(path)
    }
}

/// A call of what is only known when it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Through {
    /// To the code.
    pub code: Path,
    /// To what it is called with, by register: of an interface the receiver (`RAX`), of a closure itself (`RDX`).
    pub with: Vec<(Register, Path)>,
}

/// What code does to locks if it goes on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ahead {
    /// What it gives back that it has not taken on the way; `None` where it is not known which lock.
    pub releases: Vec<(Lock, Option<Path>)>,
    /// What it takes and has not given back at its end; `None` where it is not known which lock.
    pub takes: Vec<(Lock, Option<Path>)>,
    /// What it calls, unless it has called another method of the same thing before.
    pub calls: Vec<Through>,
}

/// One way through a function.
#[derive(Clone, Default)]
struct Way {
    at: usize,
    registers: HashMap<Register, Path>,
    /// What it put on the stack, by offset from the stack pointer at the start; `None` for what is not known.
    stack: HashMap<i64, Option<Path>>,
    taken: Vec<(Lock, Option<Path>)>,
    called: Vec<Path>,
}

const STACK: Root = Root::Register(Register::RSP);

impl Sections<'_> {
    /// What the function does from the call on that returns to `pc`; its paths begin at the stack pointer there.
    pub fn ahead_of_call(&mut self, pc: LinkAddr) -> Arc<Ahead> {
        if let Some(ahead) = self.ahead.get(&pc) {
            return Arc::clone(ahead);
        }
        let ahead = Arc::new(self.follow_from(pc).unwrap_or_default());
        self.ahead.insert(pc, Arc::clone(&ahead));
        ahead
    }

    /// What the function does that begins at `entry`; its paths begin at the registers that it is called with.
    pub fn ahead_of(&mut self, entry: LinkAddr) -> Arc<Ahead> {
        self.summary(entry, DEPTH)
    }

    fn follow_from(&mut self, pc: LinkAddr) -> Option<Ahead> {
        let before = LinkAddr(pc.0.checked_sub(1)?);
        let frames = self.binary.frames(before);
        if frames.last().is_none_or(|frame| frame.is_of_sync() && frame.function != "sync.(*Once).doSlow") {
            return None;
        }
        let body = self.entry(before).and_then(|entry| self.body(entry))?;
        let at = body.instructions.iter().position(|instruction| instruction.ip() == pc.0)?;
        let registers = HashMap::from([(Register::RSP, Path::of(STACK))]);
        Some(self.follow(&body, Way { at, registers, ..Way::default() }, DEPTH))
    }

    fn summary(&mut self, entry: LinkAddr, depth: u32) -> Arc<Ahead> {
        if let Some(ahead) = self.summaries.get(&entry) {
            return Arc::clone(ahead);
        }
        let ahead = match self.name(entry) {
            Some(name) if self.entry(entry) == Some(entry) => self.summary_of(entry, name, depth),
            _ => Some(Ahead::default()),
        };
        // One for which there was no depth left is read when it is asked for by itself.
        let Some(ahead) = ahead.map(Arc::new) else { return Arc::default() };
        self.summaries.insert(entry, Arc::clone(&ahead));
        ahead
    }

    fn summary_of(&mut self, entry: LinkAddr, name: &str, depth: u32) -> Option<Ahead> {
        let receiver = Some(Path::of(Root::Register(Register::RAX)));
        if let Some(lock) = released_by(name) {
            return Some(Ahead { releases: vec![(lock, receiver)], ..Ahead::default() });
        }
        if let Some(lock) = taken_by(name) {
            return Some(Ahead { takes: vec![(lock, receiver)], ..Ahead::default() });
        }
        let frame = Frame { function: name, file: None, line: None, inlined: false, wrapper: false };
        // Of the runtime's and that package's own code only what stands for a method, and what gives back the lock of a Once.
        if frame.is_of_sync() && !name.ends_with("-fm") && !name.starts_with("sync.(*Once).doSlow") {
            return Some(Ahead::default());
        }
        let depth = depth.checked_sub(1)?;
        // One that calls itself is taken to do nothing there.
        self.summaries.insert(entry, Arc::default());
        let Some(body) = self.body(entry) else { return Some(Ahead::default()) };
        let registers =
            Register::values().filter(|one| one.is_gpr64()).map(|one| (one, Path::of(Root::Register(one))));
        let mut ahead = self.follow(&body, Way { registers: registers.collect(), ..Way::default() }, depth);
        // Its frame is gone when somebody looks.
        let is_own = |path: &Path| path.root == STACK;
        for (_, path) in ahead.releases.iter_mut().chain(&mut ahead.takes) {
            *path = path.take().filter(|path| !is_own(path));
        }
        ahead.calls.retain(|call| !is_own(&call.code));
        Some(ahead)
    }

    /// Follows every way from one place on, to the end of the function.
    fn follow(&mut self, body: &Body, start: Way, depth: u32) -> Ahead {
        let mut ahead = Ahead::default();
        let mut passes = vec![0_u8; body.instructions.len()];
        let (mut todo, mut steps) = (vec![start], 0);
        while let Some(mut way) = todo.pop() {
            while let Some(instruction) = body.instructions.get(way.at) {
                steps += 1;
                let passed = &mut passes[way.at];
                if *passed >= MOST_PASSES || steps > MOST_STEPS {
                    break;
                }
                *passed += 1;
                // The function begins anew, on a larger stack.
                let callee = self.callee(instruction).and_then(|callee| self.name(callee));
                if callee.is_some_and(|name| name.starts_with("runtime.morestack")) {
                    break;
                }
                self.pass(body, &mut way, depth, &mut ahead);
                match instruction.flow_control() {
                    FlowControl::Return => {
                        way.taken.into_iter().for_each(|one| add(&mut ahead.takes, one));
                        break;
                    }
                    FlowControl::UnconditionalBranch => match super::target(instruction, &body.by_address) {
                        Some(at) => way.at = at,
                        None => break,
                    },
                    FlowControl::ConditionalBranch => {
                        if let Some(at) = super::target(instruction, &body.by_address) {
                            todo.push(Way { at, ..way.clone() });
                        }
                        way.at += 1;
                    }
                    FlowControl::IndirectBranch => {
                        let starts = super::block_starts(body, &body.by_address);
                        todo.extend(starts.into_iter().map(|at| Way { at, ..way.clone() }));
                        break;
                    }
                    FlowControl::Exception | FlowControl::Interrupt => break,
                    FlowControl::Next
                    | FlowControl::Call
                    | FlowControl::IndirectCall
                    | FlowControl::XbeginXabortXend => way.at += 1,
                }
            }
        }
        ahead
    }

    /// What one instruction does.
    fn pass(&mut self, body: &Body, way: &mut Way, depth: u32, ahead: &mut Ahead) {
        let instruction = &body.instructions[way.at];
        let is_call = instruction.mnemonic() == Mnemonic::Call;
        let place = |way: &Way, back: i64| {
            let place = if is_call { way.register(Register::RAX) } else { way.address(instruction) };
            place.map(|path| path.plus(-back))
        };
        match body.events.get(&way.at) {
            Some(&Event::Take(site)) => {
                let lock = body.sites[site].lock;
                let place = place(way, self.back(lock, is_call));
                way.taken.push((lock, place));
            }
            Some(&Event::Try(lock)) => {
                let place = place(way, self.back(lock, is_call));
                way.taken.push((lock, place));
            }
            Some(&Event::Release(lock, _)) => {
                let place = place(way, self.back(lock, is_call));
                way.release(lock, place, ahead);
            }
            // Deferred calls are known by what is registered of them, and not by what stands at the end for all that may be.
            Some(&Event::Call(callee)) if !is_own_closure(body.name, self.name(callee)) => {
                let called = self.summary(callee, depth);
                way.call(&called, ahead);
            }
            None if instruction.flow_control() == FlowControl::IndirectCall => {
                way.call_through(instruction, ahead);
            }
            Some(Event::Call(_) | Event::ReleaseAll) | None => {}
        }
        way.step(instruction);
    }

    /// From the word that is changed back to the lock, where the change is not in a function of its own.
    fn back(&self, lock: Lock, is_call: bool) -> i64 {
        if lock == Lock::Read && !is_call { self.reader_count } else { 0 }
    }
}

fn add<T: PartialEq>(told: &mut Vec<T>, one: T) {
    if told.len() < MOST_TOLD && !told.contains(&one) {
        told.push(one);
    }
}

impl Way {
    fn register(&self, register: Register) -> Option<Path> {
        self.registers.get(&register.full_register()).cloned()
    }

    fn set(&mut self, register: Register, value: Option<Path>) {
        match value {
            Some(value) => self.registers.insert(register.full_register(), value),
            None => self.registers.remove(&register.full_register()),
        };
    }

    /// The address of an instruction's memory operand.
    fn address(&self, instruction: &Instruction) -> Option<Path> {
        if instruction.is_ip_rel_memory_operand() {
            return Some(Path::of(Root::Address(LinkAddr(instruction.ip_rel_memory_address()))));
        }
        if instruction.memory_index() != Register::None || instruction.memory_segment() == Register::FS {
            return None;
        }
        let base = self.register(instruction.memory_base())?;
        Some(base.plus(instruction.memory_displacement64().cast_signed()))
    }

    fn load(&self, address: Path) -> Option<Path> {
        match address.behind(STACK).and_then(|offset| self.stack.get(&offset)) {
            Some(put) => put.clone(),
            None => address.load(),
        }
    }

    /// Gives a lock back that was taken on this way, or else before.
    fn release(&mut self, lock: Lock, place: Option<Path>, ahead: &mut Ahead) {
        let is_it = |taken: &(Lock, Option<Path>)| {
            taken.0 == lock && (taken.1.is_none() || place.is_none() || taken.1 == place)
        };
        match self.taken.iter().rposition(is_it) {
            Some(at) => _ = self.taken.remove(at),
            None => add(&mut ahead.releases, (lock, place)),
        }
    }

    fn call(&mut self, called: &Ahead, ahead: &mut Ahead) {
        let here = |path: &Option<Path>, way: &Self| path.as_ref()?.called_with(&way.registers);
        for (lock, path) in &called.releases {
            let path = here(path, self);
            self.release(*lock, path, ahead);
        }
        for (lock, path) in &called.takes {
            let path = here(path, self);
            self.taken.push((*lock, path));
        }
        for call in &called.calls {
            let with =
                |(register, path): &(Register, Path)| Some((*register, path.called_with(&self.registers)?));
            if let Some(code) = call.code.called_with(&self.registers) {
                let with = call.with.iter().filter_map(with).collect();
                self.note(Through { code, with }, ahead);
            }
        }
    }

    /// A call by a register: of a method, whose code is in an interface's table, or of a closure.
    fn call_through(&mut self, instruction: &Instruction, ahead: &mut Ahead) {
        let code = match instruction.op0_kind() {
            OpKind::Register => self.register(instruction.op0_register()),
            _ => self.address(instruction).and_then(|address| self.load(address)),
        };
        let Some(code) = code.filter(|code| code.steps.len() > 1) else { return };
        let with = [Register::RAX, Register::RDX];
        let with = with.into_iter().filter_map(|one| Some((one, self.register(one)?))).collect();
        self.note(Through { code, with }, ahead);
    }

    fn note(&mut self, call: Through, ahead: &mut Ahead) {
        let with = |register| call.with.iter().find(|(one, _)| *one == register).map(|(_, path)| path);
        let is_closure = with(Register::RDX)
            .is_some_and(|closure| closure.clone().load().is_some_and(|code| code == call.code));
        let Some(on) = with(if is_closure { Register::RDX } else { Register::RAX }) else { return };
        if !self.called.contains(on) {
            self.called.push(on.clone());
            add(&mut ahead.calls, call);
        }
    }

    /// What an instruction does to registers and to the stack.
    fn step(&mut self, instruction: &Instruction) {
        let (first, second) = (instruction.op0_kind(), instruction.op1_kind());
        let is_wide = instruction.op0_kind() == OpKind::Register && instruction.op0_register().is_gpr64();
        match instruction.mnemonic() {
            Mnemonic::Call => {
                let stack = self.register(Register::RSP);
                self.registers.clear();
                self.set(Register::RSP, stack);
            }
            Mnemonic::Mov if is_wide && second == OpKind::Register => {
                self.set(instruction.op0_register(), self.register(instruction.op1_register()));
            }
            Mnemonic::Mov if is_wide && second == OpKind::Memory => {
                let value = self.address(instruction).and_then(|address| self.load(address));
                self.set(instruction.op0_register(), value);
            }
            Mnemonic::Lea if is_wide => self.set(instruction.op0_register(), self.address(instruction)),
            Mnemonic::Add | Mnemonic::Sub if is_wide && is_immediate(second) => {
                let by = instruction.immediate(1).cast_signed();
                let by = if instruction.mnemonic() == Mnemonic::Sub { by.wrapping_neg() } else { by };
                let value = self.register(instruction.op0_register()).map(|path| path.plus(by));
                self.set(instruction.op0_register(), value);
            }
            Mnemonic::Push => {
                let stack = self.register(Register::RSP).map(|path| path.plus(-8));
                if let Some(offset) = stack.as_ref().and_then(|path| path.behind(STACK)) {
                    self.stack.insert(offset, None);
                }
                self.set(Register::RSP, stack);
            }
            Mnemonic::Pop => {
                let stack = self.register(Register::RSP).map(|path| path.plus(8));
                self.set(instruction.op0_register(), None);
                self.set(Register::RSP, stack);
            }
            Mnemonic::Cmp | Mnemonic::Test | Mnemonic::Nop => {}
            _ if first == OpKind::Memory => self.store(instruction),
            _ => self.forget(instruction),
        }
    }

    fn store(&mut self, instruction: &Instruction) {
        let offset = self.address(instruction).and_then(|address| address.behind(STACK));
        if let Some(offset) = offset {
            let size = instruction.memory_size().size().max(1) as i64;
            let is_word = size == 8 && instruction.mnemonic() == Mnemonic::Mov;
            let value = match instruction.op1_kind() {
                OpKind::Register if is_word => self.register(instruction.op1_register()),
                _ => None,
            };
            let mut at = offset & !7;
            while at < offset + size {
                self.stack.insert(at, value.clone());
                at += 8;
            }
        }
        self.forget(instruction);
    }

    /// What an instruction writes that is not told apart.
    fn forget(&mut self, instruction: &Instruction) {
        if instruction.op0_kind() == OpKind::Register {
            self.set(instruction.op0_register(), None);
        }
        let others: &[Register] = match instruction.mnemonic() {
            Mnemonic::Xchg | Mnemonic::Xadd if instruction.op1_kind() == OpKind::Register => {
                &[instruction.op1_register()]
            }
            Mnemonic::Cmpxchg => &[Register::RAX],
            Mnemonic::Mul
            | Mnemonic::Imul
            | Mnemonic::Div
            | Mnemonic::Idiv
            | Mnemonic::Cqo
            | Mnemonic::Cdq
            | Mnemonic::Cdqe
            | Mnemonic::Cwde => &[Register::RAX, Register::RDX],
            Mnemonic::Movsq | Mnemonic::Movsb | Mnemonic::Stosq | Mnemonic::Stosb => {
                &[Register::RSI, Register::RDI, Register::RCX]
            }
            Mnemonic::Cpuid | Mnemonic::Rdtsc | Mnemonic::Rdtscp => {
                &[Register::RAX, Register::RBX, Register::RCX, Register::RDX]
            }
            _ => &[],
        };
        for register in others {
            self.set(*register, None);
        }
    }
}

fn is_immediate(kind: OpKind) -> bool {
    matches!(
        kind,
        OpKind::Immediate8 | OpKind::Immediate8to64 | OpKind::Immediate32 | OpKind::Immediate32to64
    )
}

#[cfg(test)]
mod tests {
    use super::super::{Held, LockPlace};
    use super::*;
    use crate::binary::GoBinary;
    use crate::binary::fixture::GoFile;
    use crate::binary::listing::Listing;
    use iced_x86::{Decoder, DecoderOptions};

    /// `main.copyLines.deferwrap1`, which calls `Unlock` of an interface, go1.27.4.
    const UNLOCK_OF_INTERFACE: &str = "
704f20: 49 3b 66 10  cmp 0x10(%r14),%rsp
704f24: 76 1c  jbe 704f42 <main.copyLines.deferwrap1+0x22>
704f26: 55  push %rbp
704f27: 48 89 e5  mov %rsp,%rbp
704f2a: 48 83 ec 08  sub $0x8,%rsp
704f2e: 48 8b 4a 08  mov 0x8(%rdx),%rcx
704f32: 48 8b 42 10  mov 0x10(%rdx),%rax
704f36: 48 8b 49 20  mov 0x20(%rcx),%rcx
704f3a: ff d1  call *%rcx
704f3c: 48 83 c4 08  add $0x8,%rsp
704f40: 5d  pop %rbp
704f41: c3  ret
704f42: e8 b9 69 d8 ff  call 48b900 <runtime.morestack.abi0>
704f47: eb d7  jmp 704f20 <main.copyLines.deferwrap1>
";

    /// `sync.(*Mutex).Unlock-fm`, go1.27.4, without its end, that asks for a larger stack.
    const METHOD_VALUE: &str = "
70aa60: 49 3b 66 10  cmp 0x10(%r14),%rsp
70aa64: 76 25  jbe 70aa8b <sync.(*Mutex).Unlock-fm+0x2b>
70aa66: 55  push %rbp
70aa67: 48 89 e5  mov %rsp,%rbp
70aa6a: 48 83 ec 10  sub $0x10,%rsp
70aa6e: 48 8b 42 08  mov 0x8(%rdx),%rax
70aa72: bb ff ff ff ff  mov $0xffffffff,%ebx
70aa77: f0 0f c1 18  lock xadd %ebx,(%rax)
70aa7b: ff cb  dec %ebx
70aa7d: 74 06  je 70aa85 <sync.(*Mutex).Unlock-fm+0x25>
70aa7f: 90  nop
70aa80: e8 fb a3 d8 ff  call 494e80 <internal/sync.(*Mutex).unlockSlow>
70aa85: 48 83 c4 10  add $0x10,%rsp
70aa89: 5d  pop %rbp
70aa8a: c3  ret
";

    /// By hand: a lock behind a pointer that is put elsewhere on the stack first.
    const BY_THE_STACK: &str = "
1000: 48 8b 44 24 18  mov 0x18(%rsp),%rax
1005: 48 89 44 24 20  mov %rax,0x20(%rsp)
100a: 48 8b 4c 24 20  mov 0x20(%rsp),%rcx
100f: 48 8d 41 08  lea 0x8(%rcx),%rax
1013: e8 e8 0f 00 00  call 2000
1018: 48 8b 4c 24 20  mov 0x20(%rsp),%rcx
101d: 48 8d 41 08  lea 0x8(%rcx),%rax
1021: e8 da 0f 00 00  call 2000
1026: c3  ret
";

    fn body(listing: &str) -> Body<'static> {
        let Listing { start, code } = Listing::parse(listing);
        let decoder = Decoder::with_ip(64, &code, start.0, DecoderOptions::NONE);
        let instructions: Vec<Instruction> = decoder.into_iter().collect();
        let by_address = instructions.iter().enumerate().map(|(at, one)| (one.ip(), at)).collect();
        Body { name: "main.f", instructions, by_address, ..Body::default() }
    }

    fn ahead(body: &Body<'_>, registers: &[Register]) -> Ahead {
        let file = GoFile::default().build();
        let binary = GoBinary::parse(&file).unwrap();
        let registers = registers.iter().map(|one| (*one, Path::of(Root::Register(*one)))).collect();
        Sections::new(&binary).follow(body, Way { registers, ..Way::default() }, DEPTH)
    }

    fn path(register: Register, steps: &[i64]) -> Path {
        Path { root: Root::Register(register), steps: steps.to_vec() }
    }

    #[test]
    fn a_method_of_an_interface_is_told_by_the_way_to_its_code_and_to_its_receiver() {
        let ahead = ahead(&body(UNLOCK_OF_INTERFACE), &[Register::RDX, Register::RSP]);
        let [call] = ahead.calls.as_slice() else { panic!("{ahead:?}") };
        assert_eq!(call.code, path(Register::RDX, &[8, 0x20, 0]));
        assert!(call.with.contains(&(Register::RAX, path(Register::RDX, &[0x10, 0]))), "{call:?}");
        assert_eq!((ahead.releases, ahead.takes), (Vec::new(), Vec::new()));
    }

    #[test]
    fn a_method_value_gives_back_the_lock_that_it_was_made_of() {
        let mut body = body(METHOD_VALUE);
        let at = body.by_address[&0x70_aa77];
        body.events.insert(at, Event::Release(Lock::Mutex, LockPlace::Behind(0)));
        let ahead = ahead(&body, &[Register::RDX, Register::RSP]);
        assert_eq!(ahead.releases, [(Lock::Mutex, Some(path(Register::RDX, &[8, 0])))]);
    }

    #[test]
    fn what_is_put_on_the_stack_is_known_when_it_is_read_again() {
        let mut body = body(BY_THE_STACK);
        let calls = [0x1013, 0x1021].map(|address| body.by_address[&address]);
        body.events.insert(calls[1], Event::Release(Lock::Write, LockPlace::Behind(8)));
        let lock = path(Register::RSP, &[0x18, 8]);
        let given = ahead(&body, &[Register::RSP]);
        assert_eq!(given.releases, [(Lock::Write, Some(lock.clone()))]);
        // One that is taken on the way is none that it has already.
        body.sites.push(Held { lock: Lock::Write, place: LockPlace::Behind(8), taken_at: LinkAddr(0x1013) });
        body.events.insert(calls[0], Event::Take(0));
        assert_eq!(ahead(&body, &[Register::RSP]), Ahead::default());
        // And one that is not given back any more is left to others.
        body.events.remove(&calls[1]);
        assert_eq!(ahead(&body, &[Register::RSP]).takes, [(Lock::Write, Some(lock))]);
    }

    #[test]
    fn the_paths_of_a_called_function_begin_where_it_was_called() {
        let caller = HashMap::from([(Register::RAX, path(Register::RSP, &[0x18, 8]))]);
        let callee = path(Register::RAX, &[16, 0]);
        assert_eq!(callee.called_with(&caller), Some(path(Register::RSP, &[0x18, 24, 0])));
        assert_eq!(path(Register::RBX, &[0]).called_with(&caller), None, "not known there");
        let long = path(Register::RAX, &[0; MOST_LOADS]);
        assert_eq!(long.called_with(&caller), None);
    }
}
