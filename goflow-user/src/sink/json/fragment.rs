//! JSON that is rendered once and copied often: source positions, wait reasons, type names.
//!
//! In: numbers of one process and the [`Names`] that explain them; out: bytes. A lookup costs the binary's line table a
//! search and the text an escape, and a busy service hits the same few hundred places; so the text is kept, per process,
//! in one arena. Bounded: the target chooses the addresses, so when the arena or the number of processes reaches its
//! limit everything is forgotten and rendered again as it comes.

use foldhash::HashMap;

use super::line::Line;
use crate::binary::addr::RuntimeAddr;
use crate::ingest::event::{Pid, WaitReason};
use crate::sink::record::{Frame, Names};

/// Bytes of rendered text to keep: some 40,000 source positions.
const ARENA_LIMIT: usize = 4 << 20;

/// Processes to keep text for.
const PROCESS_LIMIT: usize = 4096;

/// What is known so far.
#[derive(Default)]
pub(super) struct Fragments {
    arena: Vec<u8>,
    processes: HashMap<Pid, Process>,
}

/// Text of one process: the same address means something else in another.
#[derive(Default)]
struct Process {
    calls: HashMap<RuntimeAddr, CallSpan>,
    starts: HashMap<RuntimeAddr, Span>,
    types: HashMap<RuntimeAddr, Span>,
    wait_reasons: HashMap<WaitReason, Span>,
}

/// A part of the arena.
#[derive(Clone, Copy)]
struct Span {
    start: usize,
    end: usize,
}

/// The frames of one return address.
#[derive(Clone, Copy)]
struct CallSpan {
    frames: Span,
    innermost: Span,
    user: Span,
}

/// The source position of a call, as JSON.
pub(super) struct Call<'a> {
    /// Every frame, innermost first, comma-separated: more than one where functions were inlined.
    pub(super) frames: &'a [u8],
    /// The innermost frame alone.
    pub(super) innermost: &'a [u8],
    /// The innermost frame that is not the code of a sync object, else the innermost one.
    pub(super) user: &'a [u8],
}

impl Fragments {
    /// Forgets everything when a limit is reached. Called once per event, so that spans of one event stay valid.
    pub(super) fn make_room(&mut self) {
        if self.arena.len() > ARENA_LIMIT || self.processes.len() > PROCESS_LIMIT {
            self.arena.clear();
            self.processes.clear();
        }
    }

    /// Forgets one process: its pid now runs something else.
    pub(super) fn forget(&mut self, pid: Pid) {
        self.processes.remove(&pid);
    }

    /// Where the call that returns to `pc` stands.
    pub(super) fn call(&mut self, pid: Pid, pc: RuntimeAddr, names: &dyn Names) -> Call<'_> {
        let Self { arena, processes } = self;
        let known = &mut processes.entry(pid).or_default().calls;
        let span = *known.entry(pc).or_insert_with(|| render_call(arena, pc, &names.frames(pid, pc)));
        let text = |span: Span| &arena[span.start..span.end];
        Call { frames: text(span.frames), innermost: text(span.innermost), user: text(span.user) }
    }

    /// The function that starts at `entry`.
    pub(super) fn start(&mut self, pid: Pid, entry: RuntimeAddr, names: &dyn Names) -> &[u8] {
        let Self { arena, processes } = self;
        let known = &mut processes.entry(pid).or_default().starts;
        let span = *known.entry(entry).or_insert_with(|| {
            rendered(arena, |line| match names.function_at(pid, entry) {
                Some(frame) => frame_json(line, &frame),
                None => unnamed_json(line, entry),
            })
        });
        &arena[span.start..span.end]
    }

    /// The runtime's text of a wait reason; for a number without a text `null,"wait_reason_number":N`.
    pub(super) fn wait_reason(&mut self, pid: Pid, reason: WaitReason, names: &dyn Names) -> &[u8] {
        let Self { arena, processes } = self;
        let known = &mut processes.entry(pid).or_default().wait_reasons;
        let span = *known.entry(reason).or_insert_with(|| {
            rendered(arena, |line| match names.wait_reason(pid, reason) {
                Some(text) => _ = line.text(text),
                None => _ = line.raw(b"null,\"wait_reason_number\":").number(reason.0.into()),
            })
        });
        &arena[span.start..span.end]
    }

    /// Go's name of an element type; for a descriptor without one `null,"elem_type_addr":"0x…"`.
    pub(super) fn elem_type(&mut self, pid: Pid, descriptor: RuntimeAddr, names: &dyn Names) -> &[u8] {
        let Self { arena, processes } = self;
        let known = &mut processes.entry(pid).or_default().types;
        let span = *known.entry(descriptor).or_insert_with(|| {
            rendered(arena, |line| match names.type_name(pid, descriptor) {
                Some(name) => _ = line.text(&name),
                None => _ = line.raw(b"null,\"elem_type_addr\":").hex(descriptor.0),
            })
        });
        &arena[span.start..span.end]
    }
}

fn rendered(arena: &mut Vec<u8>, render: impl FnOnce(&mut Line<'_>)) -> Span {
    let start = arena.len();
    render(&mut Line(arena));
    Span { start, end: arena.len() }
}

fn render_call(arena: &mut Vec<u8>, pc: RuntimeAddr, frames: &[Frame<'_>]) -> CallSpan {
    let start = arena.len();
    let (mut innermost, mut user) = (None, None);
    for frame in frames {
        if innermost.is_some() {
            arena.push(b',');
        }
        let span = rendered(arena, |line| frame_json(line, frame));
        innermost.get_or_insert(span);
        if !frame.is_of_sync() {
            user.get_or_insert(span);
        }
    }
    let innermost = innermost.unwrap_or_else(|| rendered(arena, |line| unnamed_json(line, pc)));
    CallSpan { frames: Span { start, end: arena.len() }, innermost, user: user.unwrap_or(innermost) }
}

fn frame_json(line: &mut Line<'_>, frame: &Frame<'_>) {
    line.raw(b"{\"function\":").text(frame.function).raw(b",\"file\":");
    match frame.file {
        Some(file) => line.text(file),
        None => line.raw(b"null"),
    };
    line.raw(b",\"line\":").number_or_null(frame.line.map(u64::from));
    if frame.inlined {
        line.raw(b",\"inlined\":true");
    }
    line.raw(b"}");
}

/// An address that the binary has no name for: C code, the vDSO, or a stack that was not a chain of frames.
fn unnamed_json(line: &mut Line<'_>, addr: RuntimeAddr) {
    line.raw(b"{\"function\":null,\"file\":null,\"line\":null,\"address\":").hex(addr.0).raw(b"}");
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// Names a pc after itself and counts how often it was asked.
    #[derive(Default)]
    struct Counting {
        asked: Cell<u64>,
    }

    impl Names for Counting {
        fn frames(&self, _: Pid, _: RuntimeAddr) -> Vec<Frame<'_>> {
            self.asked.set(self.asked.get() + 1);
            vec![Frame {
                function: "main.f",
                file: Some("/src/main.go"),
                line: Some(7),
                inlined: false,
                wrapper: false,
            }]
        }
        fn function_at(&self, _: Pid, _: RuntimeAddr) -> Option<Frame<'_>> {
            None
        }
        fn wait_reason(&self, _: Pid, _: WaitReason) -> Option<&str> {
            None
        }
        fn type_name(&self, _: Pid, _: RuntimeAddr) -> Option<String> {
            None
        }
    }

    #[test]
    fn a_position_is_looked_up_once_per_process() {
        let names = Counting::default();
        let mut fragments = Fragments::default();
        for _ in 0..3 {
            fragments.call(Pid(1), RuntimeAddr(0x10), &names);
        }
        assert_eq!(names.asked.get(), 1);
        fragments.call(Pid(2), RuntimeAddr(0x10), &names);
        assert_eq!(names.asked.get(), 2, "another process may have another binary there");
    }

    #[test]
    fn a_reused_pid_is_looked_up_again() {
        let names = Counting::default();
        let mut fragments = Fragments::default();
        fragments.call(Pid(1), RuntimeAddr(0x10), &names);
        fragments.forget(Pid(1));
        fragments.call(Pid(1), RuntimeAddr(0x10), &names);
        assert_eq!(names.asked.get(), 2);
    }

    #[test]
    fn a_target_that_invents_addresses_cannot_make_the_arena_grow_without_bound() {
        let names = Counting::default();
        let mut fragments = Fragments::default();
        for pc in 0..200_000 {
            fragments.make_room();
            fragments.call(Pid(1), RuntimeAddr(pc), &names);
        }
        assert_eq!(names.asked.get(), 200_000);
        assert!(fragments.arena.len() < ARENA_LIMIT + 1024, "{}", fragments.arena.len());
    }

    #[test]
    fn a_storm_of_processes_cannot_make_the_table_grow_without_bound() {
        let names = Counting::default();
        let mut fragments = Fragments::default();
        for pid in 0..20_000 {
            fragments.make_room();
            fragments.call(Pid(pid), RuntimeAddr(1), &names);
        }
        assert!(fragments.processes.len() <= PROCESS_LIMIT + 1, "{}", fragments.processes.len());
    }
}
