//! Addresses of runtime variables in a binary without symbols, from the instructions that use them.
//!
//! In: a function that gives the body of a Go function by name (amd64). Out: a variable's link-time address. Refused: a
//! function that is not there, a pattern that does not occur, and one that occurs with two addresses; nothing is picked
//! from several. The hard thing is telling one variable from its neighbours in the same function, so each rule asks for
//! what the variable alone is used for there:
//!
//! | variable | function | pattern | Go source | versions |
//! |---|---|---|---|---|
//! | `allgs` | `runtime.allgadd` | the only slice whose three words are all used: `append` | runtime/proc.go | 1.18–1.27 |
//! | `allgptr` | `runtime.allgadd` | the only pointer compared in place | runtime/proc.go | 1.18–1.27 |
//! | `allglen` | `runtime.allgadd` | the only atomic store besides that of `allgptr` | runtime/proc.go | 1.18–1.27 |
//! | `allm` | `runtime.mcommoninit` | the only atomic store | runtime/proc.go | 1.18–1.27 |
//! | `allp` | `runtime.preemptall` | the only slice that is ranged over | runtime/proc.go | 1.18–1.27 |
//! | `mheap_` | `runtime.mallocinit` | the only address handed to `runtime.(*mheap).init` | runtime/malloc.go | 1.18–1.27 |
//! | `sched` | `runtime.newproc1` | the only atomic add of a batch of 16: goroutine ids, to its first field | runtime/proc.go | 1.18–1.27 |
//! | `semtable` | `runtime.semacquire1`, `runtime.semrelease1` | the only address that both take | runtime/sema.go | 1.18–1.27 |
//! | `waitReasonStrings` | `runtime.waitReason.String` | the only array of strings that is indexed | runtime/runtime2.go | 1.18–1.27 |

use super::addr::LinkAddr;
use iced_x86::{Code, Decoder, DecoderOptions, Instruction, Mnemonic, OpKind, Register};
use std::collections::BTreeSet;
use std::fmt;

/// A variable of package runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Global {
    /// `runtime.allgs []*g`: every goroutine there ever was, dead ones included.
    Allgs,
    /// `runtime.allglen uintptr`: length of `allgs`, published after its elements.
    Allglen,
    /// `runtime.allgptr **g`: elements of `allgs`, published before the length.
    Allgptr,
    /// `runtime.allm *m`: head of the list of threads.
    Allm,
    /// `runtime.allp []*p`: every processor.
    Allp,
    /// `runtime.mheap_ mheap`: the heap's own state.
    Mheap,
    /// `runtime.sched schedt`: the scheduler's state.
    Sched,
    /// `runtime.semtable`: the table of semaphores with waiters.
    Semtable,
    /// `runtime.waitReasonStrings [...]string`: texts of the wait reasons.
    WaitReasonStrings,
}

impl Global {
    /// Every variable that can be found.
    pub const ALL: [Self; 9] = [
        Self::Allgs,
        Self::Allglen,
        Self::Allgptr,
        Self::Allm,
        Self::Allp,
        Self::Mheap,
        Self::Sched,
        Self::Semtable,
        Self::WaitReasonStrings,
    ];

    /// Name of the variable, as the linker spells it.
    #[must_use]
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Allgs => "runtime.allgs",
            Self::Allglen => "runtime.allglen",
            Self::Allgptr => "runtime.allgptr",
            Self::Allm => "runtime.allm",
            Self::Allp => "runtime.allp",
            Self::Mheap => "runtime.mheap_",
            Self::Sched => "runtime.sched",
            Self::Semtable => "runtime.semtable",
            Self::WaitReasonStrings => "runtime.waitReasonStrings",
        }
    }

    /// The function whose instructions tell.
    fn function(self) -> &'static str {
        match self {
            Self::Allgs | Self::Allglen | Self::Allgptr => "runtime.allgadd",
            Self::Allm => "runtime.mcommoninit",
            Self::Allp => "runtime.preemptall",
            Self::Mheap => "runtime.mallocinit",
            Self::Sched => "runtime.newproc1",
            Self::Semtable => "runtime.semacquire1",
            Self::WaitReasonStrings => "runtime.waitReason.String",
        }
    }
}

impl fmt::Display for Global {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.symbol())
    }
}

/// Why a variable was not found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GlobalError {
    /// The binary has no such function.
    #[error("{global} is looked for in the instructions of {function}, which the binary does not have")]
    NoFunction {
        /// The variable.
        global: Global,
        /// The function.
        function: &'static str,
    },
    /// The function does not use the variable in the known way.
    #[error("{function} does not use {global} as Go 1.18 to 1.27 do")]
    NotFound {
        /// The variable.
        global: Global,
        /// The function.
        function: &'static str,
    },
    /// More than one address is used in that way.
    #[error("{function} uses {} addresses as it would use {global}: {}", .candidates.len(), list(.candidates))]
    Ambiguous {
        /// The variable.
        global: Global,
        /// The function.
        function: &'static str,
        /// The addresses.
        candidates: Vec<LinkAddr>,
    },
    /// Instructions of this architecture are not decoded.
    #[error("{global} has no symbol, and its address can be had from instructions on amd64 only")]
    Architecture {
        /// The variable.
        global: Global,
    },
}

fn list(addresses: &[LinkAddr]) -> String {
    addresses.iter().map(LinkAddr::to_string).collect::<Vec<_>>().join(", ")
}

/// Most bytes of a body that are decoded; the largest of these functions, `semacquire1`, has some 1,000.
const LONGEST_BODY: usize = 1 << 16;

/// How many goroutine ids a processor takes at a time (`_GoidCacheBatch` in src/runtime/proc.go, Go 1.18 to 1.27).
const GOID_BATCH: u64 = 16;

/// Gives address and bytes of the body of the function of this name.
pub type FunctionBody<'f, 'd> = dyn Fn(&str) -> Option<(LinkAddr, &'d [u8])> + 'f;

/// Finds the address of `global` in the instructions that use it.
///
/// # Errors
/// See [`GlobalError`].
pub fn find(global: Global, body: &FunctionBody<'_, '_>) -> Result<LinkAddr, GlobalError> {
    let function = global.function();
    let uses = Uses::of(global, function, body)?;
    let candidates = match global {
        Global::Allgs => uses.slices(3),
        Global::Allp => uses.slices(2),
        Global::Allgptr => uses.compared(),
        Global::Allglen => &uses.stored() - &uses.compared(),
        Global::Allm => uses.stored(),
        Global::Mheap => {
            let callee = "runtime.(*mheap).init";
            let (entry, _) = body(callee).ok_or(GlobalError::NoFunction { global, function: callee })?;
            uses.handed_to(entry)
        }
        Global::Sched => uses.added(GOID_BATCH),
        Global::Semtable => &uses.taken() & &Uses::of(global, "runtime.semrelease1", body)?.taken(),
        Global::WaitReasonStrings => uses.indexed(),
    };
    let mut candidates: Vec<LinkAddr> = candidates.into_iter().map(LinkAddr).collect();
    match (candidates.pop(), candidates.is_empty()) {
        (Some(address), true) => Ok(address),
        (Some(last), false) => {
            candidates.push(last);
            Err(GlobalError::Ambiguous { global, function, candidates })
        }
        (None, _) => Err(GlobalError::NotFound { global, function }),
    }
}

/// How many texts `runtime.waitReasonStrings` has: `waitReason.String` compares with it first.
#[must_use]
pub fn wait_reason_count(body: &FunctionBody<'_, '_>) -> Option<u8> {
    let (start, code) = body(Global::WaitReasonStrings.function())?;
    let compare = Decoder::with_ip(64, code, start.0, DecoderOptions::NONE).decode();
    (compare.code() == Code::Cmp_AL_imm8).then(|| compare.immediate8())
}

/// The instructions of a function, to be asked how they use addresses relative to the program counter.
struct Uses {
    instructions: Vec<Instruction>,
}

impl Uses {
    fn of(global: Global, function: &'static str, body: &FunctionBody<'_, '_>) -> Result<Self, GlobalError> {
        let (start, code) = body(function).ok_or(GlobalError::NoFunction { global, function })?;
        let code = code.get(..LONGEST_BODY).unwrap_or(code);
        let decoder = Decoder::with_ip(64, code, start.0, DecoderOptions::NONE);
        Ok(Self { instructions: decoder.into_iter().collect() })
    }

    /// Addresses whose 8 bytes an instruction reads or writes in place.
    fn words(&self) -> BTreeSet<u64> {
        let words =
            self.instructions.iter().filter(|i| i.mnemonic() != Mnemonic::Lea && i.memory_size().size() == 8);
        words.filter_map(operand).collect()
    }

    /// First words of runs of exactly `len` neighbouring words: 3 for a slice that is appended to, 2 for one that is read.
    fn slices(&self, len: u64) -> BTreeSet<u64> {
        let words = self.words();
        let used = |address: u64| words.contains(&address);
        let is_run = |first: u64| {
            !used(first.wrapping_sub(8))
                && (0..len).all(|n| used(first.wrapping_add(8 * n)))
                && !used(first.wrapping_add(8 * len))
        };
        words.iter().copied().filter(|&first| is_run(first)).collect()
    }

    /// Addresses whose 8 bytes are compared with a register.
    fn compared(&self) -> BTreeSet<u64> {
        let compares = self.instructions.iter().filter(|i| {
            i.code() == Code::Cmp_rm64_r64
                || (i.code() == Code::Cmp_r64_rm64 && i.op1_kind() == OpKind::Memory)
        });
        compares.filter_map(operand).collect()
    }

    /// Addresses that are taken, and then stored to by `xchg`, which is how Go stores atomically.
    fn stored(&self) -> BTreeSet<u64> {
        let stores = self.instructions.iter().enumerate().filter(|(_, i)| i.code() == Code::Xchg_rm64_r64);
        stores
            .filter_map(|(at, store)| operand(store).or_else(|| self.taken_into(store.memory_base(), at)))
            .collect()
    }

    /// Addresses to whose 8 bytes this constant is added atomically.
    fn added(&self, amount: u64) -> BTreeSet<u64> {
        let adds = self.instructions.iter().enumerate().filter(|(_, i)| i.code() == Code::Xadd_rm64_r64);
        let of_amount = adds.filter(|&(at, add)| self.constant_in(add.op1_register(), at) == Some(amount));
        of_amount
            .filter_map(|(at, add)| operand(add).or_else(|| self.taken_into(add.memory_base(), at)))
            .collect()
    }

    /// Addresses that are taken.
    fn taken(&self) -> BTreeSet<u64> {
        self.instructions.iter().filter(|i| i.mnemonic() == Mnemonic::Lea).filter_map(operand).collect()
    }

    /// Addresses that are the first argument of a call of the function at `callee`.
    fn handed_to(&self, callee: LinkAddr) -> BTreeSet<u64> {
        let is_call = |i: &Instruction| {
            i.mnemonic() == Mnemonic::Call
                && i.op0_kind() == OpKind::NearBranch64
                && i.near_branch_target() == callee.0
        };
        let calls = self.instructions.iter().enumerate().filter(|(_, i)| is_call(i));
        calls.filter_map(|(at, _)| self.taken_into(Register::RAX, at)).collect()
    }

    /// Addresses that are taken, and then indexed by a register for both words of a string.
    fn indexed(&self) -> BTreeSet<u64> {
        let loads_word = |i: &Instruction, displacement: u64| {
            i.code() == Code::Mov_r64_rm64
                && i.memory_index() != Register::None
                && i.memory_displacement64() == displacement
        };
        let loads = self.instructions.windows(2).enumerate();
        let strings = loads.filter(|(_, pair)| {
            loads_word(&pair[0], 0)
                && loads_word(&pair[1], 8)
                && pair[0].memory_base() == pair[1].memory_base()
        });
        strings.filter_map(|(at, pair)| self.taken_into(pair[0].memory_base(), at)).collect()
    }

    /// The address that `register` holds at the instruction `at`, when it was taken just before.
    fn taken_into(&self, register: Register, at: usize) -> Option<u64> {
        self.written_before(register, at).filter(|write| write.mnemonic() == Mnemonic::Lea).and_then(operand)
    }

    /// The constant that `register` holds at the instruction `at`, when it was loaded just before.
    fn constant_in(&self, register: Register, at: usize) -> Option<u64> {
        let write = self.written_before(register, at)?;
        let loads = matches!(write.code(), Code::Mov_r32_imm32 | Code::Mov_r64_imm64 | Code::Mov_rm64_imm32);
        loads.then(|| write.immediate(1))
    }

    /// The last of the few instructions in front of `at` whose first operand is `register`, in any width.
    fn written_before(&self, register: Register, at: usize) -> Option<&Instruction> {
        const NEAR: usize = 4;
        let names = |i: &&Instruction| {
            i.op0_kind() == OpKind::Register && i.op0_register().full_register() == register.full_register()
        };
        self.instructions[..at].iter().rev().take(NEAR).find(names)
    }
}

/// The address of a memory operand that is relative to the program counter.
fn operand(instruction: &Instruction) -> Option<u64> {
    instruction.is_ip_rel_memory_operand().then(|| instruction.ip_rel_memory_address())
}

#[cfg(test)]
mod tests;
