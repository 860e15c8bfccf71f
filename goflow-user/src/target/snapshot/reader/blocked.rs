//! What a goroutine waits for, from the evidence.
//!
//! In: its wait reason, its sudogs, the table of semaphores, the calls on its stack. Out: what it is blocked on, or why that
//! is not known. What is hard is the kind of a semaphore, which older versions of Go tell by nothing but the stack.

use super::details::Evidence;
use super::{Reader, Session};
use crate::binary::addr::RuntimeAddr;
use crate::target::id::{MonotonicNs, SyncPrimitive};
use crate::target::snapshot::raw::Raw;
use crate::target::snapshot::reason::Reason;
use crate::target::snapshot::semaphore;
use crate::target::snapshot::{Blocked, BlockedOn, Direction, Few, State};

/// Frames that tell what a goroutine waits for.
pub(super) const FEW_FRAMES: usize = 12;

/// A call in package sync that ends in a semaphore.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    MutexLock,
    RwMutexLock,
    RwMutexRLock,
    WaitGroupWait,
}

impl Reader<'_> {
    pub(super) fn reason(&self, raw: &Raw) -> Reason {
        match raw.state {
            State::Waiting | State::Leaked => {
                self.reasons.get(usize::from(raw.reason)).copied().unwrap_or(Reason::Other)
            }
            _ => Reason::Other,
        }
    }

    /// What a goroutine waits for, whose sudogs are at `own`.
    pub(super) fn blocked_on(
        &mut self,
        session: &mut Session<'_>,
        raw: &Raw,
        own: Option<u32>,
        evidence: &Evidence,
    ) -> Result<Few<Blocked>, &'static str> {
        let Some(place) = own else { return Ok(Few::default()) };
        if evidence.breached.contains(&place) {
            return Err("its list of waits does not hold together");
        }
        let one = |on, address, direction| {
            Few::from_buf([Blocked { on, address: Some(RuntimeAddr(address)), direction, until: None }])
        };
        match self.reason(raw) {
            Reason::NilChannel(direction) => Ok(Few::from_buf([Blocked {
                on: BlockedOn::Channel,
                address: None,
                direction: Some(direction),
                until: None,
            }])),
            Reason::Channel(direction) => {
                let blocked = cases(session, own, Some(direction));
                let alone = blocked.len() == 1;
                if alone { Ok(blocked) } else { Err("it is in the queue of no channel, or of several") }
            }
            Reason::Select => {
                let blocked = cases(session, own, None);
                // Every case is of a nil channel where it stands in no queue at all (`selectgo` in src/runtime/select.go).
                if blocked.is_empty() && raw.waiting != 0 {
                    Err("it is in the queue of no channel")
                } else {
                    Ok(blocked)
                }
            }
            Reason::EmptySelect => Ok(Few::default()),
            Reason::Other => Ok(cases(session, own, None)),
            Reason::Sleep => {
                if raw.timer == 0 {
                    return Err("it sleeps without a timer");
                }
                let end = raw.sleep_when.or_else(|| evidence.sleeps.get(&raw.timer).copied());
                Ok(Few::from_buf([Blocked {
                    on: BlockedOn::Timer,
                    address: Some(RuntimeAddr(raw.timer)),
                    direction: None,
                    until: end.map(MonotonicNs),
                }]))
            }
            Reason::Semaphore(kind) => self.semaphore(session, raw, own, kind, evidence),
            Reason::Cond => {
                let list = session.waits.of(own).map(|sudog| sudog.elem).find(|&elem| elem != 0);
                let list = list.or_else(|| evidence.found.lists.get(&raw.addr).copied());
                let list = list.ok_or("its stack does not lead to the queue that it is in")?;
                let notify = self.offsets.cond.map_or(0, |cond| cond.notify);
                let address = list.wrapping_sub(u64::from(notify));
                Ok(one(BlockedOn::Sync(SyncPrimitive::Cond), address, None))
            }
            Reason::Descriptor => {
                let descriptor = evidence.found.descriptors.get(&raw.addr);
                let descriptor = descriptor.ok_or("its stack does not lead to the descriptor")?;
                let on = BlockedOn::Descriptor(descriptor.number);
                Ok(one(on, descriptor.address, Some(descriptor.direction)))
            }
        }
    }

    /// The sync object whose semaphore a goroutine waits for.
    fn semaphore(
        &mut self,
        session: &mut Session<'_>,
        raw: &Raw,
        own: Option<u32>,
        kind: Option<(SyncPrimitive, Option<Direction>)>,
        evidence: &Evidence,
    ) -> Result<Few<Blocked>, &'static str> {
        let listed = evidence.table.waiters.get(&raw.addr).copied();
        let own = || {
            let own = session.waits.of(own).find(|sudog| sudog.c == 0 && sudog.elem != 0)?;
            Some(semaphore::Waiter { semaphore: own.elem, place: u32::MAX })
        };
        let waiter = match (listed.or_else(own), evidence.table.broken) {
            (Some(waiter), _) => waiter,
            (None, Some(why)) => return Err(why),
            (None, None) => return Err("it is not in the table of semaphores"),
        };
        session.places.insert(raw.addr, waiter.place);
        let calls = evidence.walked.get(&raw.addr).map_or(&[][..], |walk| &walk.frames);
        let kind = self.kind_by_stack(calls).or(kind);
        let (primitive, direction) = kind.unwrap_or((SyncPrimitive::Semaphore, None));
        let of_mutex = self.reason(raw) == Reason::Semaphore(Some((SyncPrimitive::Mutex, None)))
            || self.calls_of(calls).contains(&Call::MutexLock);
        let into = self.offset_of_semaphore(primitive, direction, of_mutex);
        let (primitive, into) = into.map_or((SyncPrimitive::Semaphore, 0), |into| (primitive, into));
        Ok(Few::from_buf([Blocked {
            on: BlockedOn::Sync(primitive),
            address: Some(RuntimeAddr(waiter.semaphore.wrapping_sub(u64::from(into)))),
            direction,
            until: None,
        }]))
    }

    /// Where in the object its semaphore is.
    fn offset_of_semaphore(
        &self,
        primitive: SyncPrimitive,
        direction: Option<Direction>,
        of_mutex: bool,
    ) -> Option<u32> {
        let offsets = &self.offsets;
        let mutex = || offsets.mutex.map(|mutex| mutex.sema);
        match (primitive, direction) {
            (SyncPrimitive::Mutex, _) => mutex(),
            // Writers first compete for a mutex inside.
            (SyncPrimitive::RwMutex, Some(Direction::Write)) if of_mutex => {
                Some(offsets.rw_mutex?.w + mutex()?)
            }
            (SyncPrimitive::RwMutex, Some(Direction::Write)) => Some(offsets.rw_mutex?.writer_sem),
            (SyncPrimitive::RwMutex, _) => Some(offsets.rw_mutex?.reader_sem),
            (SyncPrimitive::WaitGroup, _) => offsets.wait_group.map(|group| group.sema),
            (SyncPrimitive::Semaphore | SyncPrimitive::Cond, _) => Some(0),
        }
    }

    /// What the calls on a stack say of the semaphore at its end.
    fn kind_by_stack(&mut self, frames: &[u64]) -> Option<(SyncPrimitive, Option<Direction>)> {
        let calls = self.calls_of(frames);
        Some(match calls.iter().find(|&&call| call != Call::MutexLock).or(calls.first())? {
            Call::MutexLock => (SyncPrimitive::Mutex, None),
            Call::RwMutexLock => (SyncPrimitive::RwMutex, Some(Direction::Write)),
            Call::RwMutexRLock => (SyncPrimitive::RwMutex, Some(Direction::Read)),
            Call::WaitGroupWait => (SyncPrimitive::WaitGroup, None),
        })
    }

    /// The calls of package sync at the top of a stack, innermost first: those without another between them.
    fn calls_of(&mut self, frames: &[u64]) -> Vec<Call> {
        let mut calls = Vec::new();
        for &pc in frames.iter().take(FEW_FRAMES) {
            match self.call_at(pc) {
                Some(call) => calls.push(call),
                // Below it stand the runtime's frames, above it nothing of package sync.
                None if !calls.is_empty() => break,
                None => {}
            }
        }
        calls
    }

    fn call_at(&mut self, pc: u64) -> Option<Call> {
        let (binary, bias) = (self.binary, self.bias);
        let class = || {
            let frames = binary.frames_of_call(bias.to_link(RuntimeAddr(pc)));
            // The outermost of what was inlined into one another: `RWMutex.Lock` over its `Mutex.Lock`.
            frames.iter().filter_map(|frame| call_named(frame.function)).next_back()
        };
        *self.calls.entry(pc).or_insert_with(class)
    }
}

fn call_named(function: &str) -> Option<Call> {
    match function {
        // In package internal/sync from Go 1.24 on.
        "sync.(*Mutex).lockSlow" | "internal/sync.(*Mutex).lockSlow" => Some(Call::MutexLock),
        "sync.(*Mutex).Lock" | "internal/sync.(*Mutex).Lock" => Some(Call::MutexLock),
        "sync.(*RWMutex).Lock" => Some(Call::RwMutexLock),
        "sync.(*RWMutex).RLock" => Some(Call::RwMutexRLock),
        "sync.(*WaitGroup).Wait" => Some(Call::WaitGroupWait),
        _ => None,
    }
}

/// The channels of a goroutine's sudogs. In a select the queue that a sudog stands in tells the direction.
fn cases(session: &Session<'_>, own: Option<u32>, direction: Option<Direction>) -> Few<Blocked> {
    let at_channels = session.waits.of(own).filter(|sudog| sudog.c != 0);
    let blocked = at_channels.map(|sudog| Blocked {
        on: BlockedOn::Channel,
        address: Some(RuntimeAddr(sudog.c)),
        direction: direction.or(sudog.side),
        until: None,
    });
    blocked.collect()
}
