//! Stacks of goroutines that ran when their process was caught.
//!
//! In: memory that stands still, with the registers of each thread: a core file. Out: the stack from where the goroutine's
//! thread stands, if that is on the goroutine's own stack; else from where the goroutine left it, which is in its `g` while
//! its thread works for it on the system stack (`gosave_systemstack_switch` in src/runtime/asm_amd64.s; a fatal panic ends
//! there), and in the frame of the signal while its thread runs a signal handler. What is none of these is told as unknown.
//! A goroutine of a live process has no stack that holds still.

use super::details::Details;
use super::{Reader, Session};
use crate::binary::addr::RuntimeAddr;
use crate::binary::read::u64_at;
use crate::target::memory::{Memory, MemoryError, Registers};
use crate::target::snapshot::raw::Raw;
use crate::target::snapshot::{Stack, StackEnd, stack};

/// Bytes searched for the frame of a signal, up from the stack pointer: the size of a signal stack (`malg(32 * 1024)` in
/// src/runtime/os_linux.go).
const SIGNAL_STACK: usize = 32 << 10;

/// Offsets from the return address in the frame that the kernel makes for a signal: `rt_sigframe` of
/// arch/x86/include/asm/sigframe.h, `ucontext` of asm-generic/ucontext.h, `sigcontext` of asm/sigcontext.h.
const UC_FLAGS: usize = 8;
const UC_LINK: usize = 8 + 8;
const UC_STACK: usize = 8 + 16;
const MCONTEXT: usize = 8 + 40;
/// Of `uc_flags`, `UC_FP_XSTATE`, `UC_SIGCONTEXT_SS` and `UC_STRICT_RESTORE_SS` (arch/x86/include/uapi/asm/ucontext.h); any
/// kernel of today sets one of them.
const ALL_FLAGS: u64 = 7;
const SIGNAL_BP: usize = MCONTEXT + 10 * 8;
const SIGNAL_SP: usize = MCONTEXT + 15 * 8;
const SIGNAL_PC: usize = MCONTEXT + 16 * 8;

impl Reader<'_> {
    /// The stack of a goroutine that runs.
    pub(super) fn running(
        &self,
        session: &Session<'_>,
        raw: &Raw,
        details: &mut Details,
    ) -> Result<(), MemoryError> {
        details.stack.end = StackEnd::Running;
        if !session.options.stacks || !session.memory.stands_still() {
            return Ok(());
        }
        match self.caught(session, raw)? {
            Ok(raw) => details.stack = self.stack_of(session, &raw)?,
            Err(why) => details.stack_unknown = Some(why),
        }
        Ok(())
    }

    fn stack_of(&self, session: &Session<'_>, raw: &Raw) -> Result<Stack, MemoryError> {
        let depth_at = |pc| self.depth_at(pc);
        let program = self.program(&depth_at, session.options.frames);
        let walks = stack::walk(session.memory, &[raw], &|_| false, &program)?;
        let walk = walks.into_iter().next();
        Ok(walk.map_or_else(Stack::default, |walk| Stack {
            frames: walk.frames.into_iter().map(RuntimeAddr).collect(),
            end: walk.end,
        }))
    }

    /// The goroutine as it would be if it had been parked where it was caught, or why that is not known.
    fn caught(&self, session: &Session<'_>, raw: &Raw) -> Result<Result<Raw, &'static str>, MemoryError> {
        let Some(thread) = session.threads.get(&raw.m) else {
            return Ok(Err("it runs, and its thread is not known"));
        };
        let Some(registers) = session.memory.registers(thread.tid) else {
            return Ok(Err("it runs, and the core file has no registers of its thread"));
        };
        if let Some(raw) = self.at(raw, registers) {
            return Ok(Ok(raw));
        }
        // Cleared while the goroutine itself runs (`gogo` and `systemstack` in src/runtime/asm_amd64.s).
        if raw.has_stack() {
            return Ok(Ok(*raw));
        }
        let interrupted = self.interrupted(session.memory, registers.sp)?;
        let found = interrupted.into_iter().find_map(|registers| self.at(raw, registers));
        Ok(found.ok_or("it runs, and its thread left its stack in a way that leaves no trace of where"))
    }

    /// The goroutine, if it stands on its own stack with these registers.
    fn at(&self, raw: &Raw, Registers { pc, sp, bp }: Registers) -> Option<Raw> {
        // A function with a frame has the frame pointer right below its return address; one without has its caller's, and
        // the walk starts by the function table.
        let bp = match self.depth_at(pc) {
            Some(0) => 0,
            Some(depth) => sp.checked_add(depth)?.checked_sub(8)?,
            None => bp,
        };
        Some(Raw { pc, sp, bp, ..*raw }).filter(Raw::has_stack)
    }

    /// Registers in the frames of signals that lie above `sp`, innermost first. The frame of a signal tells the stack that it
    /// lies on, and where in Go code it came. It begins with the address that its handler returns to, which is a function of
    /// the runtime, or of the C library in a program with cgo.
    fn interrupted(&self, memory: &dyn Memory, sp: u64) -> Result<Vec<Registers>, MemoryError> {
        let mut bytes = vec![0; SIGNAL_STACK];
        let mut runs = [crate::target::memory::Run { address: RuntimeAddr(sp), into: &mut bytes, read: 0 }];
        memory.read_runs(&mut runs)?;
        let read = runs[0].read;
        bytes.truncate(read);
        let mut found = Vec::new();
        for at in (0..bytes.len()).step_by(8) {
            let word = |offset: usize| u64_at(&bytes, at + offset);
            let place = sp + at as u64;
            let (Some(flags), Some(link)) = (word(UC_FLAGS), word(UC_LINK)) else { continue };
            let (Some(base), Some(size)) = (word(UC_STACK), word(UC_STACK + 16)) else { continue };
            let on_signal_stack = place.checked_sub(base).is_some_and(|into| into < size);
            if !(1..=ALL_FLAGS).contains(&flags) || link != 0 || !on_signal_stack {
                continue;
            }
            let (Some(pc), Some(sp), Some(bp)) = (word(SIGNAL_PC), word(SIGNAL_SP), word(SIGNAL_BP)) else {
                continue;
            };
            if self.depth_at(pc).is_some() {
                found.push(Registers { pc, sp, bp });
            }
        }
        Ok(found)
    }
}
