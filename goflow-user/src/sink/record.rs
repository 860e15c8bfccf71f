//! What a session hands to its sinks: a closed enum, the same for every output.

use crate::binary::addr::{LinkAddr, RuntimeAddr};
pub use crate::binary::frame::Frame;
use std::fmt;
use std::sync::Arc;

use super::findings::Described;
use crate::ingest::event::{Event, Gap, LossPoint, Lost, MonotonicNs, Pid, WaitReason};
use crate::model::{Inferred, Overview};
use crate::probe::budget::Mode;
use crate::probe::catalog::Level;
use crate::probe::estimate::Estimate;
use crate::probe::filter::Filter;
use crate::probe::totals::ProcessTotals;
use crate::target::host::OwnMemory;
use crate::target::process::Standstill;
use crate::target::snapshot::Snapshot;
use goflow_common::probe::ProbeId;

/// One thing to write. A session is [`Record::Meta`] once per binary, then events and losses, then one
/// [`Record::Summary`].
#[derive(Clone, Debug)]
pub enum Record {
    /// A binary that is traced.
    Meta(Box<Meta>),
    /// A process of one of the binaries appeared or was there from the start, or replaced its program by `exec`.
    /// What sinks know of an earlier process with this pid is void from here on.
    ProcessStart {
        /// The process.
        pid: Pid,
        /// [`Meta::binary`] of the binary it runs.
        binary: BinaryName,
    },
    /// A process that was announced has ended: no event of it follows, and its pid may come again as another's.
    ProcessExit {
        /// The process.
        pid: Pid,
        /// When goflow found it ended: after its last event, and some milliseconds late.
        t: MonotonicNs,
    },
    /// A probe was hit.
    Event(Event),
    /// A snapshot of a process was read. It comes after the events up to its end.
    Snapshot {
        /// The process.
        pid: Pid,
        /// What was read.
        snapshot: Arc<Snapshot>,
    },
    /// Two snapshots differ: there is no probe.
    Inferred(Inferred),
    /// Events are missing.
    Lost(Lost),
    /// All that a process did for a time is missing: it executed its program from another thread than its first.
    Gap(Gap),
    /// The probes of these levels went out together, or are all in again: to keep to the budget, or as somebody wants it.
    Coverage(Vec<Coverage>),
    /// Somebody has changed what is watched.
    Control(Control),
    /// What was counted in the kernel of a process: every ten seconds, and when it or the session ends.
    Totals(Box<Totals>),
    /// Something has turned out to be wrong, or is right again.
    Finding(Box<FindingChange>),
    /// How far the session is and what it costs, about once a second, where the output has room for it.
    Progress(Progress),
    /// The end.
    Summary(Box<Summary>),
}

/// What a binary is called. Two are told apart by it unless both were deleted at one path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BinaryName {
    /// Its path, as the user would open it.
    pub path: Arc<str>,
    /// It is no longer there: it was deleted, or replaced by another file.
    pub is_deleted: bool,
}

impl From<&str> for BinaryName {
    fn from(path: &str) -> Self {
        Self { path: path.into(), is_deleted: false }
    }
}

impl fmt::Display for BinaryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path)?;
        f.write_str(if self.is_deleted { " (deleted)" } else { "" })
    }
}

/// Facts about one traced binary and the session.
#[derive(Clone, Debug)]
pub struct Meta {
    /// goflow's own version.
    pub goflow: &'static str,
    /// Kernel release, as `uname -r`.
    pub kernel: String,
    /// What the binary is called.
    pub binary: BinaryName,
    /// Go build id (the text of the `NT_GO_BUILD_ID` note), if the binary has one.
    pub build_id: Option<String>,
    /// Go version, such as `go1.26.6`; `None` when the binary does not tell.
    pub go_version: Option<String>,
    /// Main module path, if the build info names one.
    pub module: Option<String>,
    /// Position-independent executable.
    pub pie: bool,
    /// Where function names come from: `elf`, `dwarf` or `pclntab`.
    pub symbol_source: &'static str,
    /// Where struct offsets come from: `dwarf` or `table`.
    pub offset_source: &'static str,
    /// `snapshot`, `lifecycle`, `blocking` or `channels`.
    pub level: &'static str,
    /// `uprobe_multi` or `perf_event`; `none` where there are no probes.
    pub attach_method: &'static str,
    /// Without probes, the time between two snapshots of a process, nanoseconds.
    pub interval_ns: Option<u64>,
    /// Just before the first probe went in; the zero of every time a person is shown.
    pub start: MonotonicNs,
    /// How long attaching took, in nanoseconds.
    pub attach_ns: u64,
    /// Offset to add to a `t_ns` (monotonic) to get nanoseconds since the Unix epoch, at session start.
    pub wall_clock_offset_ns: i64,
    /// What is recorded, where that is not everything.
    pub filter: Option<Filter>,
    /// Every probe that is in place from the start.
    pub probes: Vec<ProbeMeta>,
    /// Probes of the level that could not be placed, and why.
    pub unavailable: Vec<Unavailable>,
}

/// One probe site.
#[derive(Clone, Debug)]
pub struct ProbeMeta {
    /// Which probe.
    pub probe: ProbeId,
    /// Go function, as the binary spells it.
    pub function: String,
    /// Link-time address of the probed instruction.
    pub address: LinkAddr,
    /// The probed instruction, AT&T syntax.
    pub instruction: String,
    /// `emulated` or `single-stepped`.
    pub class: &'static str,
    /// `entry` or `return`.
    pub at: &'static str,
}

/// Something the user asked for and does not get.
#[derive(Clone, Debug)]
pub struct Unavailable {
    /// What.
    pub what: String,
    /// Why, in a sentence.
    pub why: String,
    /// True when the program has no use for it, so that nothing is lost.
    pub is_unused: bool,
}

/// From here on a level is watched, or is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Coverage {
    /// Which: what it adds to the levels before it.
    pub level: Level,
    /// When all its probes were in, or before the first came out.
    pub t: MonotonicNs,
    /// Every event of the level follows, until it is told otherwise.
    pub is_watched: bool,
    /// How it is watched from here on.
    pub mode: Mode,
}

/// Somebody has changed a session that is under way (`goflow ctl`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Control {
    /// When; what follows from it takes effect a little later.
    pub t: MonotonicNs,
    /// What it was, and what it is from here on.
    pub change: Setting,
}

/// What can be changed, with its value before and after.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Setting {
    /// The highest level that is watched.
    Level {
        /// Before.
        from: &'static str,
        /// After.
        to: &'static str,
    },
    /// The part of their CPU time that the targets may lose; `None` for any.
    Budget {
        /// Before.
        from: Option<f64>,
        /// After.
        to: Option<f64>,
    },
}

/// How much of the time a level was watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LevelCoverage {
    /// Which: what it adds to the levels before it.
    pub level: &'static str,
    /// How it was watched in the end.
    pub mode: Mode,
    /// How long all its probes were in, nanoseconds.
    pub watched_ns: u64,
    /// How long nobody wanted it, nanoseconds: an estimate tells nothing of that time.
    pub off_ns: u64,
    /// In how many pieces.
    pub windows: u64,
}

/// What was counted in the kernel since the session began.
#[derive(Clone, Debug)]
pub struct Totals {
    /// Of which process.
    pub pid: Pid,
    /// Up to when.
    pub t: MonotonicNs,
    /// No others follow of this process and its program.
    pub is_last: bool,
    /// What was counted.
    pub totals: ProcessTotals,
    /// Channels and places with less than these that are not among them.
    pub left_out: u64,
    /// Of all processes, what found no room in the maps.
    pub uncounted: u64,
}

/// A finding opens or resolves.
#[derive(Clone, Debug)]
pub struct FindingChange {
    /// In which process.
    pub pid: Pid,
    /// When the look began that found it so.
    pub t: MonotonicNs,
    /// It is wrong from here on; else it is right again.
    pub is_open: bool,
    /// What, in words.
    pub described: Described<'static>,
}

/// How far a session is.
#[derive(Clone, Debug)]
pub struct Progress {
    /// When the counters were read.
    pub t: MonotonicNs,
    /// Since all probes were in, nanoseconds.
    pub elapsed_ns: u64,
    /// Events passed on so far.
    pub events: u64,
    /// Events lost so far, at any place.
    pub lost: u64,
    /// Estimated CPU time taken from the targets so far, nanoseconds.
    pub cost_ns: u64,
    /// What a hit costs was measured on this machine in this session, and not assumed.
    pub is_cost_measured: bool,
    /// CPU time the targets used so far, nanoseconds; `None` when it is not known.
    pub target_cpu_ns: Option<u64>,
    /// Levels that are not watched all the time.
    pub sampled: Vec<&'static str>,
    /// What goflow itself uses.
    pub own: OwnUse,
}

/// What goflow itself uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnUse {
    /// CPU time in the window, with that of the process that holds the probes, nanoseconds.
    pub cpu_ns: u64,
    /// How much of what it has used since it was started the targets would have used, nanoseconds: none while a CPU is idle.
    pub displaced_ns: u64,
    /// Memory now and at most so far; `None` when it is not known.
    pub memory: Option<OwnMemory>,
}

/// Totals of a session.
#[derive(Clone, Debug)]
pub struct Summary {
    /// The window: from when all probes were in until goflow began to take them out, nanoseconds.
    pub duration_ns: u64,
    /// How long taking the probes out took, nanoseconds.
    pub detach_ns: u64,
    /// Events delivered to the sink by JSON kind name, in a fixed order.
    pub counts: Vec<(&'static str, u64)>,
    /// Events lost, by place.
    pub lost: Vec<(LossPoint, u64)>,
    /// Times in which a process was not seen, see [`Record::Gap`].
    pub gaps: u64,
    /// Hits per probe, also outside the window.
    pub hits: Vec<ProbeHits>,
    /// The highest level that was watched in the end; [`Meta::level`] is that of the start.
    pub level: &'static str,
    /// The part of their CPU time that the targets were to lose at most, in the end; `None` for any.
    pub budget: Option<f64>,
    /// How often somebody has changed either, see [`Record::Control`].
    pub changes: u64,
    /// How much of the window each level was watched.
    pub coverage: Vec<LevelCoverage>,
    /// CPU time that the hits of the window took from the targets, and the work on breakpoints, nanoseconds.
    pub cost_ns: u64,
    /// What a hit costs was measured on this machine in this session, and not assumed.
    pub is_cost_measured: bool,
    /// CPU time the targets used in the window, nanoseconds; or why it is not known.
    pub target_cpu_ns: Result<u64, String>,
    /// What goflow itself used in the window.
    pub own: OwnUse,
    /// Processes seen.
    pub processes: Vec<Pid>,
    /// When the window ended, and with it what is told of each process's state.
    pub end: MonotonicNs,
    /// What those that live were doing then, by pid.
    pub state: Vec<ProcessState>,
    /// What is wrong with them, and was with those that have ended.
    pub findings: Vec<(Pid, Described<'static>)>,
    /// Why the session ended, as a sentence fragment ("duration reached", "interrupted", "target exited").
    pub ended: String,
    /// Of a session without an event, what the targets did instead.
    pub silence: Option<Silence>,
}

/// Why there was no event, from what the targets were doing at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Silence {
    /// They lived, and did nothing that the level sees.
    Idle,
    /// Each has ended.
    Ended,
    /// They were not read to the end even once.
    Unread,
    /// Nobody was found to run the file.
    NobodyRuns,
    /// These do not run, and with them none.
    StandStill(Vec<(Pid, Standstill)>),
}

/// What a process was doing at the end.
#[derive(Clone, Debug)]
pub struct ProcessState {
    /// Its goroutines and channels.
    pub overview: Overview,
    /// Snapshots that this rests on.
    pub snapshots: u64,
    /// How long reading them took together, nanoseconds.
    pub snapshots_ns: u64,
    /// Why the last attempt gave no snapshot.
    pub failure: Option<String>,
}

/// Kernel-side count of one probe.
#[derive(Clone, Debug)]
pub struct ProbeHits {
    /// [`Meta::binary`] of the binary it is in.
    pub binary: BinaryName,
    /// Which probe.
    pub probe: ProbeId,
    /// Go function.
    pub function: String,
    /// Hits.
    pub hits: u64,
    /// Those of them that are no event, such as a call that turned out not to wait.
    pub eventless: u64,
    /// Those of `hits` that a filter left out.
    pub filtered: u64,
    /// Estimated cost to the target, nanoseconds.
    pub cost_ns: u64,
    /// Hits in the window had it been in all the time; `None` where it was.
    pub estimate: Option<Estimate>,
}

/// Turns numbers of a process into names. Sinks ask, the pipeline answers from the analysed binary.
pub trait Names {
    /// Frames of the *call* that returns to `pc`, innermost first; empty when the address is not in the binary.
    fn frames(&self, pid: Pid, pc: RuntimeAddr) -> Vec<Frame<'_>>;
    /// Frames of the function that starts at `entry` (for start functions).
    fn function_at(&self, pid: Pid, entry: RuntimeAddr) -> Option<Frame<'_>>;
    /// The function that a goroutine runs which starts at `entry`; not the wrapper by which the compiler passes its arguments on,
    /// where it can be told.
    fn started_function(&self, pid: Pid, entry: RuntimeAddr) -> Option<Frame<'_>> {
        self.function_at(pid, entry)
    }
    /// The runtime's text of a wait reason.
    fn wait_reason(&self, pid: Pid, reason: WaitReason) -> Option<&str>;
    /// Go's name of the type whose descriptor is at `addr`.
    fn type_name(&self, pid: Pid, addr: RuntimeAddr) -> Option<String>;
}

/// An output of a session.
pub trait Sink {
    /// Writes one record.
    ///
    /// # Errors
    /// The output failed (a full disk, a closed pipe); the session ends.
    fn write(&mut self, record: &Record, names: &dyn Names) -> std::io::Result<()>;

    /// Called when nothing came for a while and at the end of each batch: make what was written visible. `now` lets a
    /// sink close a time window although no event came.
    ///
    /// # Errors
    /// As [`Sink::write`].
    fn flush(&mut self, now: MonotonicNs) -> std::io::Result<()>;
}
