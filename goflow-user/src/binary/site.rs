//! Where in a Go function's machine code a probe goes: the cheapest instruction at which a call is seen exactly once.
//!
//! In: the bytes of one amd64 function body and its link-time address. Out: one [`Site`] for the entry, or one per `RET`, at it or where its result is.
//! Refused: bytes that are no instructions, a branch into the middle of one, bodies in which no instruction is both safe
//! and hit once per call, tail calls where results are wanted, everything the kernel cannot probe.
//! The hard thing is stack growth: `morestack` jumps back to the function's start, so whatever stands before or on the
//! stack check runs twice. Go's prologue is written by `stacksplit` and `preprocess` in cmd/internal/obj/x86/obj6.go
//! (Go 1.18 to 1.27); what the kernel accepts and emulates is in arch/x86/kernel/uprobes.c (Linux 5.8 to 7.0).

use super::addr::LinkAddr;
use iced_x86::{
    Code, Decoder, DecoderOptions, FlowControl, Formatter, GasFormatter, Instruction, InstructionInfoFactory,
    Mnemonic, OpAccess, OpKind, Register,
};
use std::collections::BTreeMap;

/// One instruction to probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// Link-time address of the instruction.
    pub address: LinkAddr,
    /// The instruction, AT&T syntax.
    pub instruction: String,
    /// What a hit costs the target.
    pub class: SiteClass,
    /// What is true of the registers here.
    pub point: SitePoint,
    /// The site is the `jbe` of the stack check. A hit with the carry or the zero flag set must be ignored: the branch
    /// is taken to `morestack` and the function starts again, with the same arguments, once the stack has grown.
    pub on_stack_check: bool,
}

/// How the kernel gets past the probed instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SiteClass {
    /// The kernel does what the instruction does: one trap per hit.
    Emulated,
    /// The kernel runs a copy of the instruction with the trap flag set: two traps per hit, about four times the cost.
    SingleStepped,
}

impl SiteClass {
    /// The word for it in the output.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Emulated => "emulated",
            Self::SingleStepped => "single-stepped",
        }
    }
}

/// Which values the registers hold at a site.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SitePoint {
    /// Argument registers, `g` (R14), RSP and RBP are as the caller left them; the return address is at `(%rsp)`.
    Entry,
    /// Result registers are set; the return address is at `(%rsp)`.
    Return,
    /// The first result register is set and stays so up to the `RET` that follows; RSP is inside the frame.
    Result,
}

impl SitePoint {
    /// The word for it in the output.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Entry => "entry",
            Self::Return => "return",
            Self::Result => "result",
        }
    }
}

/// Why no site could be given.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SiteError {
    /// The body has no bytes.
    #[error("the function at {0} has an empty body")]
    Empty(LinkAddr),
    /// The body is longer than a function's: the function table is damaged.
    #[error("the function at {start} would have {len} bytes, more than the {LONGEST_BODY} that are decoded")]
    TooLong {
        /// Start of the function.
        start: LinkAddr,
        /// Its length in bytes.
        len: usize,
    },
    /// The bytes at this address are not an instruction, so branches of the body cannot be known.
    #[error("the bytes at {address} are not a complete x86-64 instruction (function at {start})")]
    Undecodable {
        /// Start of the function.
        start: LinkAddr,
        /// First byte that could not be decoded.
        address: LinkAddr,
    },
    /// A branch goes into the middle of an instruction: the body is not plain compiler output.
    #[error("the branch at {from} goes to {target}, which is inside another instruction")]
    BranchIntoInstruction {
        /// The branch.
        from: LinkAddr,
        /// Where it goes.
        target: LinkAddr,
    },
    /// The body loads `g` from thread-local storage, as ABI0 code does: its arguments are on the stack.
    #[error("the function at {0} follows Go's ABI0 (arguments on the stack); its ABIInternal body is needed")]
    Abi0(LinkAddr),
    /// Every instruction at the entry is refused by the kernel, or is hit more than once per call.
    #[error(
        "no instruction at the entry of the function at {start} is both accepted by the kernel and run once per call"
    )]
    NoSafeInstruction {
        /// Start of the function.
        start: LinkAddr,
    },
    /// The body leaves by a jump, so its `RET` instructions do not see every return.
    #[error(
        "the function at {start} leaves by the jump at {address}, which its RET instructions would not see"
    )]
    TailCall {
        /// Start of the function.
        start: LinkAddr,
        /// The jump.
        address: LinkAddr,
    },
    /// The body leaves by a far, an interrupt or a prefixed return, which Go does not compile.
    #[error("the function at {start} leaves by the return at {address}, which is no plain RET")]
    ForeignReturn {
        /// Start of the function.
        start: LinkAddr,
        /// The instruction.
        address: LinkAddr,
    },
    /// The body has no `RET`.
    #[error("the function at {0} never returns")]
    NoReturn(LinkAddr),
}

/// The cheapest instruction at which each call of the function is seen once, its arguments intact.
///
/// `code` is the whole body (trailing padding does not matter) and `start` the address of its first byte. From Go 1.21 it
/// is the `push %rbp` behind the stack check; before, where frames are made by `sub`, the `jbe` of the stack check itself.
///
/// # Errors
/// See [`SiteError`]; [`SiteError::TailCall`] and [`SiteError::NoReturn`] do not come from here.
pub fn entry_site(code: &[u8], start: LinkAddr) -> Result<Site, SiteError> {
    let body = Body::decode(code, start)?;
    if body.straight_start().any(loads_g_from_tls) {
        return Err(SiteError::Abi0(start));
    }
    let check = StackCheck::find(&body);
    let first = check.as_ref().map_or(0, |check| check.branch + 1);
    let restart = check.as_ref().and_then(|check| check.restart);
    let hit_once = |index: usize| body.runs_once_per_call(index, restart);

    let mut stepped = None;
    for index in body.entry_path(first) {
        match kernel_class(body.bytes(index)) {
            Some(SiteClass::Emulated) if hit_once(index) => {
                return Ok(body.site(index, SiteClass::Emulated, SitePoint::Entry, false));
            }
            Some(SiteClass::SingleStepped) if stepped.is_none() && hit_once(index) => stepped = Some(index),
            Some(_) | None => {}
        }
    }
    if let Some(StackCheck { branch, .. }) = check
        && hit_once(branch)
        && kernel_class(body.bytes(branch)) == Some(SiteClass::Emulated)
    {
        return Ok(body.site(branch, SiteClass::Emulated, SitePoint::Entry, true));
    }
    let index = stepped.ok_or(SiteError::NoSafeInstruction { start })?;
    Ok(body.site(index, SiteClass::SingleStepped, SitePoint::Entry, false))
}

/// Every `RET` of the function, in address order: together they see each return once.
///
/// Go code returns by `RET` alone: panics are calls, `morestack` is called, and stack growth does not pass a `RET`. All of
/// these sites are single-stepped; the kernel emulates no `RET`.
///
/// # Errors
/// See [`SiteError`]; a body that can also leave by a jump is refused, because those returns would be missed.
pub fn return_sites(code: &[u8], start: LinkAddr) -> Result<Vec<Site>, SiteError> {
    let body = Body::decode(code, start)?;
    if let Some(index) = (0..body.len()).find(|&index| body.leaves_by_jump(index)) {
        return Err(SiteError::TailCall { start, address: body.address(index) });
    }
    let returns = || (0..body.len()).filter(|&at| body.instruction(at).flow_control() == FlowControl::Return);
    // `c3` and `c2 iw`, which is what Go writes; a prefix would be decoded as a return too, and so would a far one.
    let near = |index| matches!(body.bytes(index).first(), Some(0xc3 | 0xc2));
    if let Some(index) = returns().find(|&index| !near(index)) {
        return Err(SiteError::ForeignReturn { start, address: body.address(index) });
    }
    let sites: Vec<Site> = returns()
        .filter_map(|index| {
            kernel_class(body.bytes(index)).map(|class| body.site(index, class, SitePoint::Return, false))
        })
        .collect();
    if sites.is_empty() { Err(SiteError::NoReturn(start)) } else { Ok(sites) }
}

/// For every `RET` of the function the cheapest instruction that is run just before it and nowhere else, with the first result
/// already in RAX: an emulated one where there is one, as the `jne` with which Go's `releasem` ends, else the `RET` itself.
///
/// # Errors
/// See [`return_sites`].
pub fn result_sites(code: &[u8], start: LinkAddr) -> Result<Vec<Site>, SiteError> {
    let body = Body::decode(code, start)?;
    let cheaper = |at: Site| {
        let before = body.index_of(at.address.0).and_then(|index| body.emulated_before(index));
        before.map_or(at, |index| body.site(index, SiteClass::Emulated, SitePoint::Result, false))
    };
    Ok(return_sites(code, start)?.into_iter().map(cheaper).collect())
}

/// How far before a `RET` is looked; the end of `releasem` has some eight instructions.
const LONGEST_END: usize = 24;

/// Most bytes of a body that are decoded; the largest probed function, `selectgo`, has some 5,500.
const LONGEST_BODY: usize = 1 << 18;

/// Registers that an entry probe reads: Go's integer arguments and `g` (src/cmd/compile/abi-internal.md, the same from Go
/// 1.17 on), and the stack and frame pointers, by which the caller is found.
const ENTRY_REGISTERS: [Register; 12] = [
    Register::RAX,
    Register::RBX,
    Register::RCX,
    Register::RDI,
    Register::RSI,
    Register::R8,
    Register::R9,
    Register::R10,
    Register::R11,
    Register::R14,
    Register::RSP,
    Register::RBP,
];

/// A decoded function body. Go puts no data between its instructions (jump tables and constants are in `.rodata`), so a
/// sweep from the start meets every instruction; [`Body::decode`] holds the branches against that.
struct Body<'c> {
    code: &'c [u8],
    start: LinkAddr,
    instructions: Vec<Instruction>,
    /// Branch targets inside the body, each with the indices of the instructions that go there.
    targets: BTreeMap<u64, Vec<usize>>,
    has_indirect_jump: bool,
}

impl<'c> Body<'c> {
    fn decode(code: &'c [u8], start: LinkAddr) -> Result<Self, SiteError> {
        if code.is_empty() {
            return Err(SiteError::Empty(start));
        }
        if code.len() > LONGEST_BODY {
            return Err(SiteError::TooLong { start, len: code.len() });
        }
        if start.checked_add(code.len() as u64).is_none() {
            return Err(SiteError::Undecodable { start, address: start });
        }
        let mut instructions = Vec::with_capacity(code.len() / 4);
        for instruction in &mut Decoder::with_ip(64, code, start.0, DecoderOptions::NONE) {
            if instruction.is_invalid() {
                return Err(SiteError::Undecodable { start, address: LinkAddr(instruction.ip()) });
            }
            instructions.push(instruction);
        }
        let has_indirect_jump = instructions.iter().any(|i| i.flow_control() == FlowControl::IndirectBranch);
        let mut body = Self { code, start, instructions, targets: BTreeMap::new(), has_indirect_jump };
        body.collect_targets()?;
        Ok(body)
    }

    fn collect_targets(&mut self) -> Result<(), SiteError> {
        for (index, instruction) in self.instructions.iter().enumerate() {
            let Some(target) = jump_target(instruction).filter(|&target| self.contains(target)) else {
                continue;
            };
            if self.instructions.binary_search_by_key(&target, Instruction::ip).is_err() {
                let (from, target) = (LinkAddr(instruction.ip()), LinkAddr(target));
                return Err(SiteError::BranchIntoInstruction { from, target });
            }
            self.targets.entry(target).or_default().push(index);
        }
        Ok(())
    }

    fn len(&self) -> usize {
        self.instructions.len()
    }

    fn instruction(&self, index: usize) -> &Instruction {
        &self.instructions[index]
    }

    fn address(&self, index: usize) -> LinkAddr {
        LinkAddr(self.instructions[index].ip())
    }

    fn bytes(&self, index: usize) -> &'c [u8] {
        let instruction = self.instruction(index);
        let offset = (instruction.ip().wrapping_sub(self.start.0)) as usize;
        &self.code[offset..offset + instruction.len()]
    }

    fn contains(&self, address: u64) -> bool {
        address.wrapping_sub(self.start.0) < self.code.len() as u64
    }

    fn index_of(&self, address: u64) -> Option<usize> {
        self.instructions.binary_search_by_key(&address, Instruction::ip).ok()
    }

    /// The instructions up to the first call or jump.
    fn straight_start(&self) -> impl Iterator<Item = &Instruction> {
        self.instructions.iter().take_while(|instruction| instruction.flow_control() == FlowControl::Next)
    }

    /// Indices from `first` on that every call passes with its entry registers unchanged.
    fn entry_path(&self, first: usize) -> impl Iterator<Item = usize> {
        let mut info = InstructionInfoFactory::new();
        let mut intact = true;
        (first..self.len()).take_while(move |&index| {
            let was_intact = intact;
            let instruction = self.instruction(index);
            intact = intact
                && instruction.flow_control() == FlowControl::Next
                && !changes_entry_register(&mut info, instruction);
            was_intact
        })
    }

    /// No branch of the body leads to the instruction a second time in one call. `restart` is the jump that follows
    /// `morestack`; it begins the call anew and is not counted.
    fn runs_once_per_call(&self, index: usize, restart: Option<usize>) -> bool {
        let address = self.instruction(index).ip();
        let back = self.targets.range(..=address).flat_map(|(_, from)| from);
        // A jump table's targets are not known, but the compiler has no block in front of the frame.
        let unknown = self.has_indirect_jump && restart.is_none() && !is_push(self.instruction(index));
        !unknown && back.copied().all(|from| Some(from) == restart)
    }

    /// The nearest instruction before the `RET` at index `end` that the kernel emulates, that every run to this `RET` and
    /// none to another passes once, and behind which RAX is not written.
    fn emulated_before(&self, end: usize) -> Option<usize> {
        if self.has_indirect_jump {
            return None;
        }
        let mut info = InstructionInfoFactory::new();
        for index in (end.saturating_sub(LONGEST_END)..end).rev() {
            let instruction = self.instruction(index);
            let stays = match instruction.flow_control() {
                FlowControl::Next => true,
                FlowControl::ConditionalBranch => jump_target(instruction).is_some_and(|target| {
                    (self.instruction(index + 1).ip()..=self.instruction(end).ip()).contains(&target)
                }),
                _ => false,
            };
            if !stays {
                return None;
            }
            let is_emulated = kernel_class(self.bytes(index)) == Some(SiteClass::Emulated);
            if is_emulated && !is_push(instruction) && self.is_entered_through(index, end) {
                return Some(index);
            }
            if writes_rax(&mut info, instruction) {
                return None;
            }
        }
        None
    }

    /// Nothing from elsewhere jumps to what is behind `first` and not behind `end`.
    fn is_entered_through(&self, first: usize, end: usize) -> bool {
        let behind = self.instruction(first + 1).ip()..=self.instruction(end).ip();
        self.targets.range(behind).flat_map(|(_, from)| from).all(|from| (first..end).contains(from))
    }

    /// The instruction is a jump to outside the body, or one whose target cannot be told from a tail call's.
    fn leaves_by_jump(&self, index: usize) -> bool {
        let instruction = self.instruction(index);
        match instruction.flow_control() {
            FlowControl::IndirectBranch => !is_jump_table(instruction),
            _ => jump_target(instruction).is_some_and(|target| !self.contains(target)),
        }
    }

    fn site(&self, index: usize, class: SiteClass, point: SitePoint, on_stack_check: bool) -> Site {
        let mut formatter = GasFormatter::new();
        formatter.options_mut().set_branch_leading_zeros(false);
        formatter.options_mut().set_uppercase_hex(false);
        let mut instruction = String::new();
        formatter.format(self.instruction(index), &mut instruction);
        Site { address: self.address(index), instruction, class, point, on_stack_check }
    }
}

/// Go's stack check at the start of a body.
struct StackCheck {
    /// Index of the `jbe` to the block that calls `morestack`.
    branch: usize,
    /// Index of the jump with which that block starts the function again.
    restart: Option<usize>,
}

impl StackCheck {
    /// One of the three forms of `stacksplit`, by frame size:
    /// `cmp 0x10(%r14),%rsp`, `lea -N(%rsp),%r12; cmp 0x10(%r14),%r12`, and for huge frames, whose subtraction can wrap,
    /// `mov %rsp,%r12; sub $N,%r12; jb morestack; cmp 0x10(%r14),%r12`, each followed by `jbe morestack`.
    fn find(body: &Body<'_>) -> Option<Self> {
        let at = |index: usize| body.instructions.get(index);
        let first = at(0)?;
        let (compared, compare) = match first.mnemonic() {
            Mnemonic::Lea if first.memory_base() == Register::RSP => (first.op0_register(), 1),
            Mnemonic::Mov
                if first.op1_kind() == OpKind::Register && first.op1_register() == Register::RSP =>
            {
                let (sub, wrapped) = (at(1)?, at(2)?);
                let subtracts = sub.mnemonic() == Mnemonic::Sub && sub.op0_register() == first.op0_register();
                if !(subtracts && wrapped.mnemonic() == Mnemonic::Jb) {
                    return None;
                }
                (first.op0_register(), 3)
            }
            _ => (Register::RSP, 0),
        };
        let branch = compare + 1;
        if !(compares_stack_guard(at(compare)?, compared) && at(branch)?.mnemonic() == Mnemonic::Jbe) {
            return None;
        }
        Some(Self { branch, restart: restart_after_morestack(body, branch) })
    }
}

/// `cmp 0x10(%r14),reg`: against `g.stackguard0`, or `0x18`: `g.stackguard1`, in functions that run on the system stack.
fn compares_stack_guard(instruction: &Instruction, register: Register) -> bool {
    instruction.code() == Code::Cmp_r64_rm64
        && instruction.op0_register() == register
        && instruction.memory_base() == Register::R14
        && instruction.memory_index() == Register::None
        && matches!(instruction.memory_displacement64(), 0x10 | 0x18)
}

/// The block behind a stack check: spill the argument registers, call `morestack`, reload them, jump to the start.
fn restart_after_morestack(body: &Body<'_>, branch: usize) -> Option<usize> {
    let first = body.index_of(jump_target(body.instruction(branch))?)?;
    let mut calls = 0;
    for index in first..body.len() {
        let instruction = body.instruction(index);
        match instruction.flow_control() {
            FlowControl::Next => {}
            FlowControl::Call => calls += 1,
            FlowControl::UnconditionalBranch => {
                let restarts = calls == 1 && jump_target(instruction) == Some(body.start.0);
                return restarts.then_some(index);
            }
            _ => return None,
        }
    }
    None
}

/// Target of a direct jump; calls are not jumps, a call of the function itself is a new entry.
fn jump_target(instruction: &Instruction) -> Option<u64> {
    let jumps = matches!(
        instruction.flow_control(),
        FlowControl::ConditionalBranch | FlowControl::UnconditionalBranch | FlowControl::XbeginXabortXend
    );
    (jumps && instruction.op0_kind() == OpKind::NearBranch64).then(|| instruction.near_branch64())
}

/// `jmp *(%table,%index,8)`, the compiler's jump table (cmd/compile/internal/amd64/ssa.go, `OpAMD64JUMPTABLE`, from Go 1.19).
fn is_jump_table(instruction: &Instruction) -> bool {
    instruction.code() == Code::Jmp_rm64
        && instruction.op0_kind() == OpKind::Memory
        && instruction.memory_index() != Register::None
        && instruction.memory_index_scale() == 8
}

fn is_push(instruction: &Instruction) -> bool {
    instruction.mnemonic() == Mnemonic::Push
}

/// `mov %fs:-8,reg`: ABI0 code fetches `g` itself, ABIInternal code has it in R14.
fn loads_g_from_tls(instruction: &Instruction) -> bool {
    instruction.mnemonic() == Mnemonic::Mov
        && instruction.op1_kind() == OpKind::Memory
        && instruction.memory_segment() == Register::FS
}

fn writes_rax(info: &mut InstructionInfoFactory, instruction: &Instruction) -> bool {
    changes(info, instruction, &[Register::RAX])
}

fn changes_entry_register(info: &mut InstructionInfoFactory, instruction: &Instruction) -> bool {
    changes(info, instruction, &ENTRY_REGISTERS)
}

fn changes(info: &mut InstructionInfoFactory, instruction: &Instruction, registers: &[Register]) -> bool {
    info.info(instruction).used_registers().iter().any(|used| {
        let writes = !matches!(
            used.access(),
            OpAccess::None | OpAccess::Read | OpAccess::CondRead | OpAccess::NoMemAccess
        );
        writes && registers.contains(&used.register().full_register())
    })
}

/// What the kernel does with a probe on this instruction, `None` where it refuses it or where it must not be tried.
///
/// Follows `uprobe_init_insn`, `branch_setup_xol_ops` and `push_setup_xol_ops` of arch/x86/kernel/uprobes.c, and where
/// kernels differ, the strictest: longer nops are emulated only by newer ones, VEX and EVEX are refused by older ones,
/// the two-byte table is skipped by newer ones.
fn kernel_class(bytes: &[u8]) -> Option<SiteClass> {
    let opcode_at = bytes.iter().position(|byte| !is_prefix(*byte))?;
    let (prefixes, opcode) = bytes.split_at(opcode_at);
    // is_prefix_bad(): es, cs, ss, ds, lock.
    if prefixes.iter().any(|prefix| matches!(prefix, 0x26 | 0x2e | 0x36 | 0x3e | 0xf0)) {
        return None;
    }
    match (prefixes, opcode) {
        ([] | [0x41], [0x50..=0x57]) => Some(SiteClass::Emulated),
        ([], [0x90] | [0x70..=0x7f | 0xe8 | 0xe9 | 0xeb, ..] | [0x0f, 0x80..=0x8f, ..]) => {
            Some(SiteClass::Emulated)
        }
        // A prefixed branch or nop: an operand-size prefix makes the kernel refuse it, the others serve nobody.
        (_, [0x90 | 0x70..=0x7f | 0xe8 | 0xe9 | 0xeb, ..] | [0x0f, 0x80..=0x8f, ..]) => None,
        // The copy of a repeated string instruction traps, and hits the probe again, at every repetition.
        (_, [0xa4..=0xa7 | 0xaa..=0xaf, ..]) if prefixes.iter().any(|p| matches!(p, 0xf2 | 0xf3)) => None,
        (_, [0x0f, second, ..]) => is_good_two_byte(*second).then_some(SiteClass::SingleStepped),
        (_, [first, ..]) => is_good_one_byte(*first).then_some(SiteClass::SingleStepped),
        (_, []) => None,
    }
}

/// Legacy and REX prefixes in 64-bit code.
fn is_prefix(byte: u8) -> bool {
    matches!(byte, 0x26 | 0x2e | 0x36 | 0x3e | 0x40..=0x4f | 0x64..=0x67 | 0xf0 | 0xf2 | 0xf3)
}

/// `good_insns_64`, without VEX (c4, c5), EVEX (62) and XOP (8f), and without the stores to SS (8e, `insn_masking_exception`).
fn is_good_one_byte(opcode: u8) -> bool {
    !matches!(
        opcode,
        0x06 | 0x07 | 0x0e | 0x16 | 0x17 | 0x1e | 0x1f | 0x27 | 0x2f | 0x37 | 0x3f | 0x60..=0x62 | 0x6c..=0x6f | 0x82
            | 0x8e | 0x8f | 0x9a | 0xc4 | 0xc5 | 0xcc..=0xcf | 0xd4..=0xd6 | 0xe4..=0xe7 | 0xea | 0xec..=0xef | 0xf1 | 0xf4
            | 0xfa | 0xfb
    )
}

/// `good_2byte_insns`, without the three-byte maps (38, 3a), which it lumps together.
fn is_good_two_byte(opcode: u8) -> bool {
    !matches!(
        opcode,
        0x00 | 0x01 | 0x05..=0x09 | 0x0b | 0x30 | 0x34 | 0x35 | 0x37 | 0x38 | 0x3a | 0x78 | 0x79 | 0xae
    )
}

#[cfg(test)]
mod listings;
#[cfg(test)]
mod tests;
