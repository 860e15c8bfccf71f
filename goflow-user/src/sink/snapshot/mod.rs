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
use crate::target::snapshot::{Goroutine, Snapshot};
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
    places: RefCell<HashMap<u64, Rc<Place<'a>>, foldhash::fast::RandomState>>,
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
        let look_up = || Rc::new(self.look_up(pc));
        Rc::clone(self.places.borrow_mut().entry(pc.0).or_insert_with(look_up))
    }

    fn look_up(&self, pc: RuntimeAddr) -> Place<'a> {
        let binary: &'a GoBinary<'a> = self.binary;
        let link = self.bias.to_link(pc);
        let entry = |at| {
            let table = binary.pclntab().ok()?;
            table.range(&table.find_pc(at)?).map(|range| range.start)
        };
        // A goroutine that has not run yet stands at an entry, where the byte before is another function's.
        if entry(link) == Some(link) {
            return Place { frames: binary.frames(link), offset: Some(0) };
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
        let mut stack = Vec::new();
        for &pc in &goroutine.stack.frames {
            let place = self.place(pc);
            if place.frames.is_empty() {
                stack.push(Named { pc, frame: None, offset: None });
            }
            stack.extend(place.frames.iter().map(|frame| Named {
                pc,
                frame: Some(*frame),
                offset: place.offset.filter(|_| !frame.inlined),
            }));
        }
        stack
    }
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
}

impl Named<'_> {
    /// Its function, or its address.
    #[must_use]
    pub fn function(&self) -> String {
        self.frame.map_or_else(|| self.pc.to_string(), |frame| frame.function.to_owned())
    }
}
