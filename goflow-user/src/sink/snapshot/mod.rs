//! A snapshot for a person or a program: as a goroutine dump ([`text`]), one JSON object ([`json`]), folded stacks
//! ([`folded`]) or a profile ([`pprof`]).
//!
//! In: a [`View`]: the snapshot, the binary that names its numbers, and which goroutines were asked for. Out: bytes. Each
//! program counter is looked up once, because many goroutines stand at the same few places.

pub mod folded;
pub mod group;
pub mod json;
pub mod pprof;
pub mod text;

use crate::binary::GoBinary;
use crate::binary::addr::{LoadBias, RuntimeAddr};
use crate::binary::frame::Frame;
use crate::target::Pid;
use crate::target::snapshot::{Goroutine, Snapshot, State};
use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

/// Where a snapshot comes from.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The process; `None` for a core file that does not tell.
    pub pid: Option<Pid>,
    /// The core file; `None` for a live process.
    pub core: Option<String>,
    /// Path of the binary.
    pub binary: String,
    /// It is no longer there.
    pub binary_deleted: bool,
    /// What to add to a time of the snapshot for nanoseconds since the Unix epoch; `None` for a core file.
    pub wall_clock_offset_ns: Option<i64>,
}

/// A snapshot with everything that explains it.
pub struct View<'a> {
    /// Where it comes from.
    pub origin: Origin,
    /// What was read.
    pub snapshot: &'a Snapshot,
    /// The goroutines to tell of, in the order to tell them.
    pub chosen: Vec<&'a Goroutine>,
    binary: &'a GoBinary<'a>,
    bias: LoadBias,
    places: RefCell<HashMap<(u64, Arrival), Rc<Place<'a>>, foldhash::fast::RandomState>>,
}

/// What is at a program counter.
#[derive(Debug)]
pub struct Place<'a> {
    /// Innermost first: inlined calls, then the function itself. Empty where nothing is known.
    pub frames: Vec<Frame<'a>>,
    /// Bytes from the function's entry; `None` when that is not known.
    pub offset: Option<u64>,
}

impl<'a> View<'a> {
    /// A view of every goroutine of `snapshot`, of a process in which `binary` was moved by `bias`.
    #[must_use]
    pub fn new(snapshot: &'a Snapshot, binary: &'a GoBinary<'a>, bias: LoadBias, origin: Origin) -> Self {
        let chosen = snapshot.goroutines.iter().collect();
        Self { origin, snapshot, chosen, binary, bias, places: RefCell::default() }
    }

    /// The binary that the numbers are of.
    #[must_use]
    pub fn binary(&self) -> &'a GoBinary<'a> {
        self.binary
    }

    /// What is at `pc`, a return address or the entry of a function.
    pub fn place(&self, pc: RuntimeAddr) -> Rc<Place<'a>> {
        self.looked_up(pc, Arrival::Returns)
    }

    fn looked_up(&self, pc: RuntimeAddr, arrival: Arrival) -> Rc<Place<'a>> {
        let look_up = || Rc::new(self.look_up(pc, arrival));
        Rc::clone(self.places.borrow_mut().entry((pc.0, arrival)).or_insert_with(look_up))
    }

    fn look_up(&self, pc: RuntimeAddr, arrival: Arrival) -> Place<'a> {
        let binary: &'a GoBinary<'a> = self.binary;
        let link = self.bias.to_link(pc);
        let entry = |at| {
            let table = binary.pclntab().ok()?;
            table.range(&table.find_pc(at)?).map(|range| range.start)
        };
        // A goroutine that has not run yet stands at an entry, where the byte before is another function's.
        let start = entry(link);
        if start == Some(link) || arrival == Arrival::GoesOn {
            return Place { frames: binary.frames(link), offset: start.map(|start| link.0 - start.0) };
        }
        let frames = binary.frames_of_call(link);
        let call = link.0.checked_sub(1).map(crate::binary::addr::LinkAddr);
        let start = call.and_then(entry);
        Place { frames, offset: start.map(|start| link.0 - start.0) }
    }

    /// Where the function that starts at `entry` is declared.
    #[must_use]
    pub fn declared(&self, entry: RuntimeAddr) -> Option<Frame<'a>> {
        let binary: &'a GoBinary<'a> = self.binary;
        binary.function_at(self.bias.to_link(entry))
    }

    /// Why a goroutine waits, in the binary's words; the number where it has none.
    #[must_use]
    pub fn wait_reason(&self, goroutine: &Goroutine) -> Option<String> {
        let reason = goroutine.wait_reason?;
        let text = self.binary.wait_reason(reason.0);
        Some(text.map_or_else(|| format!("wait reason {}", reason.0), str::to_owned))
    }

    /// The type whose descriptor is at `address`.
    #[must_use]
    pub fn type_name(&self, address: RuntimeAddr) -> Option<String> {
        self.binary.type_name(self.bias.to_link(address))
    }

    /// The frames of a goroutine, innermost first, inlined calls too; an unknown address is a frame of its own.
    #[must_use]
    pub fn stack(&self, goroutine: &Goroutine) -> Vec<Named<'a>> {
        let mut stack: Vec<Named<'a>> = Vec::new();
        for &pc in &goroutine.stack.frames {
            let callee = stack.last().and_then(|named| named.frame).map_or("", |frame| frame.function);
            // What ran when its process was caught goes on with the very instruction too.
            let caught = stack.is_empty() && goroutine.state == State::Running;
            let goes_on = caught || INJECTED.contains(&callee);
            let arrival = if goes_on { Arrival::GoesOn } else { Arrival::Returns };
            let place = self.looked_up(pc, arrival);
            if place.frames.is_empty() {
                stack.push(Named { pc, frame: None, offset: None, elided: false });
            }
            for frame in &place.frames {
                let callee = stack.last().and_then(|named| named.frame).map_or("", |frame| frame.function);
                stack.push(Named {
                    pc,
                    frame: Some(*frame),
                    offset: place.offset.filter(|_| !frame.inlined),
                    elided: frame.wrapper && !PANICS.contains(&callee),
                });
            }
        }
        stack
    }

    /// The frames of a goroutine that Go's own goroutine profile has: without wrappers and without the `runtime.goexit` that is
    /// below everything (`tracebackPCs` in src/runtime/traceback.go, `allFrames` in src/runtime/pprof/proto.go). Such a profile
    /// names functions as the binary's table does, with their type arguments (`runtime_FrameSymbolName`, from Go 1.21 on; up
    /// to Go 1.20 the table itself has `[...]`).
    #[must_use]
    pub fn profiled(&self, goroutine: &Goroutine) -> Vec<Named<'a>> {
        let mut stack = self.stack(goroutine);
        stack.retain(|named| !named.elided && named.frame.is_none_or(|frame| frame.function != GOEXIT));
        stack
    }

    /// The name of a function as a traceback of this binary's Go has it: without type arguments (`funcNamePiecesForPrint` in
    /// src/runtime/traceback.go; up to Go 1.20 the linker has done that already).
    #[must_use]
    pub fn printed<'n>(&self, function: &'n str) -> Cow<'n, str> {
        printed(function, self.at_least((1, 27)))
    }

    /// Whether the binary's Go is this release or a later one; `true` where it is not known.
    pub(super) fn at_least(&self, release: (u32, u32)) -> bool {
        self.binary.go_version().is_none_or(|version| version.at_least(release))
    }
}

/// Functions that a signal handler makes the interrupted code seem to have called, so that they "return" to the very
/// instruction (`isInjectedCall` in src/runtime/traceback.go).
const INJECTED: [&str; 3] = ["runtime.sigpanic", "runtime.asyncPreempt", "runtime.debugCallV2"];

/// Functions that a wrapper calls instead of what it wraps; then it is shown (`elideWrapperCalling`).
const PANICS: [&str; 3] = ["runtime.gopanic", "runtime.sigpanic", "runtime.panicwrap"];

/// Into which function the runtime has every goroutine return.
const GOEXIT: &str = "runtime.goexit";

/// How control comes to an address on a stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Arrival {
    /// By the return from a call, which stands before it.
    Returns,
    /// The instruction there was interrupted.
    GoesOn,
}

fn printed(function: &str, has_generic_methods: bool) -> Cow<'_, str> {
    let (Some(first), Some(last)) = (function.find('['), function.rfind(']')) else { return function.into() };
    if last <= first {
        return function.into();
    }
    let (head, inner, tail) = (&function[..first], &function[first + 1..last], &function[last + 1..]);
    let between = if has_generic_methods { between_brackets(inner) } else { Some(None) };
    match between {
        Some(None) => format!("{head}[...]{tail}").into(),
        Some(Some(between)) => format!("{head}[...]{between}[...]{tail}").into(),
        None => function.into(),
    }
}

/// What stands between the brackets of a generic type and those of its generic method: `Some(None)` where there is one pair
/// only, `None` where brackets do not match. `inner` is what is between the first and the last bracket.
fn between_brackets(inner: &str) -> Option<Option<&str>> {
    let (mut depth, mut closed) = (1_usize, None);
    for (at, letter) in inner.char_indices() {
        match (letter, closed) {
            ('[', Some(closed)) if depth == 0 => return Some(Some(&inner[closed + 1..at])),
            ('[', _) => depth += 1,
            (']', _) => {
                depth = depth.checked_sub(1)?;
                closed = (depth == 0).then_some(at);
            }
            _ => {}
        }
    }
    (depth == 1).then_some(None)
}

/// A frame of a stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Named<'a> {
    /// Its program counter, which it shares with what was inlined into it.
    pub pc: RuntimeAddr,
    /// What it is; `None` for code that nothing names.
    pub frame: Option<Frame<'a>>,
    /// Bytes from the function's entry; `None` for an inlined call.
    pub offset: Option<u64>,
    /// A wrapper between a call and what was called, which Go's tracebacks and profiles leave out.
    pub elided: bool,
}

impl Named<'_> {
    /// It was inlined into the next frame.
    #[must_use]
    pub fn is_inlined(&self) -> bool {
        self.frame.is_some_and(|frame| frame.inlined)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_printed_as_the_runtime_prints_them() {
        for (name, before, since) in [
            ("main.f", "main.f", "main.f"),
            ("main.Map[go.shape.int]", "main.Map[...]", "main.Map[...]"),
            ("main.Map[go.shape.[]uint8].func1", "main.Map[...].func1", "main.Map[...].func1"),
            ("main.(*T[go.shape.int]).M[go.shape.[4]int]", "main.(*T[...]", "main.(*T[...]).M[...]"),
            ("main.a]b[", "main.a]b[", "main.a]b["),
            ("main.[[]", "main.[...]", "main.[[]"),
        ] {
            assert_eq!(printed(name, true), since);
            // Before there were generic methods, all up to the last bracket.
            assert_eq!(printed(name, false), before);
        }
    }
}
