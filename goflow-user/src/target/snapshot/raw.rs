//! The bytes of a `g` as numbers, before anything is believed.
//!
//! In: one read of a `g` (src/runtime/runtime2.go). Out: a [`Raw`], or nothing when the status or the id is none that a
//! live goroutine has. [`Raw::still`] tells whether a later read is of the same goroutine in the same place.

use super::State;
use crate::binary::offsets::{G, Offsets};
use crate::binary::read::{u8_at, u32_at, u64_at};

/// `_Gscan`: set while the collector scans the stack.
const SCAN: u32 = 0x1000;

/// What stands at the address of a `g`.
pub(in crate::target) enum Slot {
    /// A goroutine.
    Live(Raw),
    /// None: it has ended, or has not begun.
    Dead,
    /// Neither: torn, or no `g` at all.
    Nonsense(&'static str),
}

/// The fields of a `g` that goflow reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::target) struct Raw {
    pub(in crate::target) addr: u64,
    pub(in crate::target) state: State,
    pub(in crate::target) scanned: bool,
    pub(in crate::target) goid: u64,
    pub(in crate::target) reason: u8,
    pub(in crate::target) wait_since: u64,
    pub(in crate::target) parent: u64,
    pub(in crate::target) gopc: u64,
    pub(in crate::target) startpc: u64,
    pub(in crate::target) waiting: u64,
    pub(in crate::target) labels: u64,
    pub(in crate::target) timer: u64,
    pub(in crate::target) sleep_when: Option<u64>,
    pub(in crate::target) m: u64,
    /// Its innermost deferred call: `_defer`, which stands in front of `m` in every Go.
    pub(in crate::target) deferred: u64,
    pub(in crate::target) locked: bool,
    /// How often it left a CPU, modulo 256 from a random start.
    pub(in crate::target) tracking_seq: u8,
    pub(in crate::target) stack: (u64, u64),
    pub(in crate::target) sp: u64,
    pub(in crate::target) pc: u64,
    /// 0 where this Go does not save it, as for system calls up to Go 1.22.
    pub(in crate::target) bp: u64,
}

impl Raw {
    /// How many bytes from the start of a `g` are needed.
    pub(in crate::target) fn span(offsets: &Offsets) -> usize {
        offsets.g.size as usize
    }

    pub(in crate::target) fn decode(addr: u64, bytes: &[u8], g: &G) -> Slot {
        Self::fields(addr, bytes, g).unwrap_or(Slot::Nonsense("its fields lie outside of it"))
    }

    fn fields(addr: u64, bytes: &[u8], g: &G) -> Option<Slot> {
        let word = |offset: u32| u64_at(bytes, offset as usize);
        let optional = |offset: Option<u32>| offset.and_then(word);
        let status = u32_at(bytes, g.atomicstatus as usize)?;
        let state = match status & !SCAN {
            0 => State::Idle,
            1 => State::Runnable,
            2 => State::Running,
            3 => State::Syscall,
            4 => State::Waiting,
            // `_Gdead`, and `_Gdeadextra` of Go 1.26: a thread of C that is not in Go code.
            6 | 11 => return Some(Slot::Dead),
            8 => State::CopyStack,
            9 => State::Preempted,
            10 => State::Leaked,
            _ => return Some(Slot::Nonsense("its status is none of the runtime's")),
        };
        let goid = word(g.goid)?;
        if goid == 0 {
            let begun = state != State::Idle;
            return Some(if begun { Slot::Nonsense("it has no id") } else { Slot::Dead });
        }
        let in_syscall = state == State::Syscall;
        let (sp, pc, bp) = if in_syscall {
            (word(g.syscallsp)?, word(g.syscallpc)?, optional(g.syscallbp).unwrap_or(0))
        } else {
            (word(g.sched_sp)?, word(g.sched_pc)?, word(g.sched_bp)?)
        };
        Some(Slot::Live(Self {
            addr,
            state,
            scanned: status & SCAN != 0,
            goid,
            reason: u8_at(bytes, g.waitreason as usize)?,
            wait_since: word(g.waitsince)?,
            parent: optional(g.parent_goid).unwrap_or(0),
            gopc: word(g.gopc)?,
            startpc: word(g.startpc)?,
            waiting: word(g.waiting)?,
            labels: word(g.labels)?,
            timer: word(g.timer)?,
            sleep_when: optional(g.sleep_when),
            m: word(g.m)?,
            deferred: word(g.m.checked_sub(8)?)?,
            locked: word(g.lockedm)? != 0,
            tracking_seq: u8_at(bytes, g.tracking_seq as usize)?,
            stack: (word(g.stack_lo)?, word(g.stack_hi)?),
            sp,
            pc,
            bp,
        }))
    }

    /// The same goroutine, whatever it does.
    pub(in crate::target) fn same(&self, later: &Self) -> bool {
        (self.addr, self.goid, self.gopc) == (later.addr, later.goid, later.gopc)
    }

    /// The same goroutine, and it has not moved: what was read of it in between belongs together.
    pub(in crate::target) fn still(&self, later: &Self) -> bool {
        // The collector sets these two of a goroutine that sleeps on.
        Self { scanned: self.scanned, wait_since: self.wait_since, ..*later } == *self
    }

    /// Its saved registers can be those of a goroutine on this stack.
    pub(in crate::target) fn has_stack(&self) -> bool {
        let (lo, hi) = self.stack;
        lo < self.sp && self.sp < hi && self.sp.is_multiple_of(8)
    }
}
