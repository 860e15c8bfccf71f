//! What one hit costs on this machine: measured on functions of goflow's own.
//!
//! In: how probes are attached here; out: [`Costs`], for each class of instruction with an empty program, with goflow's own
//! and its record, and with the stack of a park. It fails wherever a session would. What is hard: a hit costs whoever makes it,
//! so a thread of ours makes them, with the registers and a stack as a goroutine has them. Each is timed by itself, and the
//! median counts, since others use the machine as well; and between two of them the thread touches other memory, because a
//! trap that comes right after a trap finds everything in the cache. That thread is a [`Keeper`]'s, one that has nothing else
//! to do: a SIGKILL to goflow does not find it placing probes.

use super::attach::{self, AttachError, Attached, Scope};
use super::buffer::EventBuffer;
use super::catalog::CATALOG;
use super::cost::{Costs, HitCost};
use super::feature;
use super::filter::Chosen;
use super::keeper::{Keep, Keeper};
use super::load::{self, AttachMethod, LoadError, Programs};
use super::plan::{Plan, PlannedSite};
use crate::binary::addr::{FileOffset, LinkAddr};
use crate::binary::site::{Site, SiteClass, SitePoint};
use crate::target::host;
use goflow_common::LAYOUT_VERSION;
use goflow_common::config::ProbeConfig;
use goflow_common::event::park::SHORT_STACK;
use goflow_common::probe::ProbeId;
use std::arch::{asm, global_asm};
use std::fs::File;
use std::hint::black_box;
use std::io;
use std::os::fd::AsFd as _;
use std::sync::Arc;
use thiserror::Error;

/// Hits at each place in one round.
const HITS: usize = 32;
/// Rounds for somebody who asks for the figures.
pub const THOROUGH: usize = 50;

/// What a program touches between two hits: more than the first cache holds, less than the second.
const WORK_BYTES: usize = 64 << 10;
/// Room for what the programs send in one round.
const RING_BYTES: u32 = 1 << 20;

/// Why nothing could be measured.
#[derive(Debug, Error)]
pub enum CalibrationError {
    /// The programs could not be loaded.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The probes could not be attached.
    #[error(transparent)]
    Attach(#[from] AttachError),
    /// goflow's own code could not be found in its file.
    #[error("goflow's own executable cannot be probed: {0}")]
    Own(#[source] io::Error),
    /// The process that makes the hits has ended.
    #[error("the process that makes the hits has ended: {0}")]
    Ended(#[source] io::Error),
}

// The first instruction is the one that is probed, and what follows undoes it. One of each class for each kind of program, so
// that all can be probed at once. `goflow_calibration_start` is never called.
global_asm!(
    ".pushsection .text.goflow_calibration, \"ax\", @progbits",
    ".balign 64",
    ".globl goflow_calibration_start, goflow_calibration_unprobed",
    "goflow_calibration_start:",
    "push rbp",
    "pop rbp",
    "ret",
    ".balign 64",
    "goflow_calibration_unprobed:",
    "push rbp",
    "pop rbp",
    "ret",
    ".irp kind, trap, record, stack",
    ".globl goflow_calibration_emulated_\\kind, goflow_calibration_stepped_\\kind",
    ".balign 64",
    "goflow_calibration_emulated_\\kind:",
    "push rbp",
    "pop rbp",
    "ret",
    ".balign 64",
    "goflow_calibration_stepped_\\kind:",
    "sub rsp, 8",
    "add rsp, 8",
    "ret",
    ".endr",
    ".popsection",
);

// SAFETY: the functions above, which take nothing, return nothing and leave every register as it was.
unsafe extern "C" {
    fn goflow_calibration_start();
    fn goflow_calibration_unprobed();
    fn goflow_calibration_emulated_trap();
    fn goflow_calibration_emulated_record();
    fn goflow_calibration_emulated_stack();
    fn goflow_calibration_stepped_trap();
    fn goflow_calibration_stepped_record();
    fn goflow_calibration_stepped_stack();
}

/// A place to hit, and what answers there.
struct Place {
    function: unsafe extern "C" fn(),
    class: SiteClass,
    /// Whose handler runs; `None` for the empty program.
    probe: Option<ProbeId>,
}

impl Place {
    const fn new(function: unsafe extern "C" fn(), class: SiteClass, probe: Option<ProbeId>) -> Self {
        Self { function, class, probe }
    }
}

/// By class, and in each in the order of the fields of [`HitCost`].
const PLACES: [Place; 6] = [
    Place::new(goflow_calibration_emulated_trap, SiteClass::Emulated, None),
    Place::new(goflow_calibration_emulated_record, SiteClass::Emulated, Some(ProbeId::Chansend)),
    Place::new(goflow_calibration_emulated_stack, SiteClass::Emulated, Some(ProbeId::Gopark)),
    Place::new(goflow_calibration_stepped_trap, SiteClass::SingleStepped, None),
    Place::new(goflow_calibration_stepped_record, SiteClass::SingleStepped, Some(ProbeId::Chansend)),
    Place::new(goflow_calibration_stepped_stack, SiteClass::SingleStepped, Some(ProbeId::Gopark)),
];

/// Measures, in the process of `keeper`, for as many rounds as `goes_on` says when it is told how many there have been and what they say, and
/// for one at least; in between it may wait. [`THOROUGH`] rounds take some 30 ms of CPU time, the verifier as much again, and the
/// kernel takes its time to take the probes out.
///
/// # Errors
/// See [`CalibrationError`].
pub fn measure(
    keeper: &Arc<Keeper>,
    method: AttachMethod,
    kernel: (u32, u32),
    goes_on: impl FnMut(usize, Costs) -> bool,
) -> Result<Costs, CalibrationError> {
    let file = File::open("/proc/self/exe").map_err(CalibrationError::Own)?;
    let attach = |programs: &Programs, plan: &Plan| -> Result<Attached, AttachError> {
        let scope = Scope::Processes(vec![keeper.pid()]);
        attach::attach(
            programs,
            plan,
            file.as_fd(),
            &scope,
            kernel,
            Some(Keep { keeper, lease: None, level: None }),
        )
    };
    let own = plan(|place| place.probe)?;
    // Which probe it is called does not matter to the empty program.
    let empty = plan(|place| place.probe.is_none().then_some(ProbeId::Chansend))?;
    let (programs, mut kernel_side) = load::load(&own, method, false, RING_BYTES)?;
    let nothing = load::load_empty(method)?;
    let _own = attach(&programs, &own)?;
    let _empty = attach(&nothing, &empty)?;
    // As in a session. Nothing here passes through `newproc1`.
    kernel_side.goid_memory.set(true)?;
    run(keeper, &mut kernel_side.events, goes_on)
}

/// Probes of the places for which `probe` has one. Before them stands one that is never hit: see [`super::link`] for what
/// becomes of the first in a process that probes itself.
fn plan(probe: impl Fn(&Place) -> Option<ProbeId>) -> Result<Plan, CalibrationError> {
    let start = Place::new(goflow_calibration_start, SiteClass::Emulated, None);
    let mut sites = vec![planned(&start, ProbeId::Chansend)?];
    for place in &PLACES {
        if let Some(probe) = probe(place) {
            sites.push(planned(place, probe)?);
        }
    }
    let config = ProbeConfig {
        layout_version: LAYOUT_VERSION,
        stack_depth: SHORT_STACK as u32,
        ..bytemuck::Zeroable::zeroed()
    };
    Ok(Plan { sites, unavailable: Vec::new(), config, chosen: Chosen::default() })
}

fn planned(place: &Place, probe: ProbeId) -> Result<PlannedSite, CalibrationError> {
    let address = place.function as usize as u64;
    let site = Site {
        address: LinkAddr(address),
        instruction: String::new(),
        class: place.class,
        point: SitePoint::Entry,
        on_stack_check: false,
    };
    let spec = &CATALOG[probe as usize];
    let offset = FileOffset(feature::file_offset_of(address).map_err(CalibrationError::Own)?);
    Ok(PlannedSite { spec, function: "a function of goflow", site, offset })
}

fn run(
    keeper: &Keeper,
    events: &mut EventBuffer,
    mut goes_on: impl FnMut(usize, Costs) -> bool,
) -> Result<Costs, CalibrationError> {
    let mut rounds: [Vec<u64>; PLACES.len()] = Default::default();
    loop {
        let round = keeper.hit().map_err(CalibrationError::Ended)?;
        for (rounds, ns) in rounds.iter_mut().zip(round) {
            rounds.push(ns);
        }
        // What was sent is taken out of the rings, which have room for a few rounds.
        for ring in 0..events.rings() {
            events.take(ring, usize::MAX, |_| {});
        }
        let costs = costs(&rounds);
        if !goes_on(rounds[0].len(), costs) {
            return Ok(costs);
        }
    }
}

/// What these rounds say of each place.
fn costs(rounds: &[Vec<u64>; PLACES.len()]) -> Costs {
    let [trap, record, stack, stepped_trap, stepped_record, stepped_stack] =
        rounds.each_ref().map(|ns| median(ns.clone()));
    Costs {
        emulated: HitCost { trap_ns: trap, record_ns: record, stack_ns: stack },
        single_stepped: HitCost { trap_ns: stepped_trap, record_ns: stepped_record, stack_ns: stepped_stack },
    }
}

/// Nanoseconds of a hit at each place.
pub(super) type Round = [u64; PLACES.len()];

/// What the keeper does for a round.
pub(super) fn hit() -> Round {
    let mut goroutine = Goroutine::new();
    let (clock, ticks) = (host::monotonic_ns(), ticks());
    // What it takes to look at the clock, and to call a function.
    let nothing = goroutine.median_of_calls(goflow_calibration_unprobed);
    let took = PLACES.each_ref().map(|place| goroutine.median_of_calls(place.function));
    let (ns, ticks) = (host::monotonic_ns() - clock, self::ticks() - ticks);
    took.map(|took| took.saturating_sub(nothing) * ns / ticks.max(1))
}

fn median(mut values: Vec<u64>) -> u64 {
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or(0)
}

/// The processor's time stamp counter, which runs at one rate.
fn ticks() -> u64 {
    // SAFETY: every amd64 processor has the instruction, and Linux lets programs use it.
    unsafe { std::arch::x86_64::_rdtsc() }
}

/// A stack as the programs walk it: where the next frame lies, and a return address. The distance is that of frames in Go's
/// standard library, for it decides how many reads the walk takes.
struct Stack([u64; SHORT_STACK * Self::FRAME_WORDS]);

impl Stack {
    const FRAME_WORDS: usize = 12;

    /// Chained at the place where it lies.
    fn chain(&mut self) {
        let start = self.0.as_ptr() as u64;
        for frame in 0..SHORT_STACK {
            let at = frame * Self::FRAME_WORDS;
            let next = start + ((at + Self::FRAME_WORDS) * size_of::<u64>()) as u64;
            self.0[at] = if frame + 1 < SHORT_STACK { next } else { 0 };
            self.0[at + 1] = 1;
        }
    }
}

/// What a thread that runs Go code has, as far as the programs look.
struct Goroutine {
    /// Its `g`: the goid is all that they read of it.
    g: u64,
    stack: Box<Stack>,
    /// What it does between two hits.
    work: Vec<u64>,
}

impl Goroutine {
    fn new() -> Self {
        let mut stack = Box::new(Stack([0; _]));
        stack.chain();
        Self { g: 1, stack, work: vec![1; WORK_BYTES / size_of::<u64>()] }
    }

    /// Ticks of a call of `function`.
    fn median_of_calls(&mut self, function: unsafe extern "C" fn()) -> u64 {
        let mut took = Vec::with_capacity(HITS);
        for _ in 0..HITS {
            self.work.iter_mut().for_each(|word| *word = black_box(*word).wrapping_add(1));
            let start = ticks();
            self.call(function);
            took.push(ticks() - start);
        }
        median(took)
    }

    fn call(&self, function: unsafe extern "C" fn()) {
        // SAFETY: the function leaves registers and stack as they were, and so does what stands around the call: Go's current
        // `g` and the frame pointer are put back before anybody can miss what was there.
        unsafe {
            asm!(
                "push r14",
                "push rbp",
                "mov r14, rdi",
                "mov rbp, rsi",
                "call rdx",
                "pop rbp",
                "pop r14",
                in("rdi") &raw const self.g,
                in("rsi") self.stack.0.as_ptr(),
                in("rdx") function,
            );
        }
    }
}
