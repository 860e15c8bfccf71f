//! The only wiring: a session's threads and the closed set of messages between them.
//!
//! ```text
//! ring buffer ──▶ ingest thread ──Message, bounded──▶ sink thread ──▶ terminal, file
//!      Request ▲   ▲  │ │ └─Fact──▶ state thread (model)    │
//!              │   │  │ └─Ask──▶ snapshot thread ─Request─┐  │
//!              │   └──┼────────────────────────────────────┘  │
//!              │      ▼ new processes                         ▼
//!    signals, pidfds, clock ──▶ control (the caller's thread) ◀── closed output
//!                                  └─Accounts──▶ metrics thread ──▶ HTTP, where it was asked for
//!                                 ▲ └─Answer──▶ ctl thread ◀──▶ local socket ◀──▶ goflow ctl
//!                                 └────Asked────┘
//! ```
//!
//! The snapshot thread reads the memory of the targets, so that nobody else waits for that. The ingest thread holds a
//! snapshot back until the events up to its end have passed, and then gives both the model and the output the same order.
//!
//! The ingest thread never waits for the sink: what does not fit the queue is counted and shown as lost. Control
//! decides when the session ends, takes the probes out, and only then are the rest of the ring buffer and the counters
//! read, so that hits, events and losses of the summary belong together.

mod accounts;
mod budget;
mod control;
pub mod ctl;
mod displaced;
pub mod examine;
mod ingest;
mod metrics;
mod names;
mod outbox;
mod output;
mod phases;
mod session;
mod snapshots;
mod state;
mod told;
mod watch;

use crate::detect::Rule;
use crate::ingest::event::{Event, Gap, Lost, MonotonicNs};
use crate::model::Inferred;
use crate::probe::budget::Budget;
use crate::probe::catalog::Level;
use crate::probe::filter::Filter;
use crate::probe::load::AttachMethod;
use crate::sink::record::{Control, Coverage, FindingChange, Meta, Progress, Sink, Totals};
use crate::target::Pid;
use crate::target::snapshot::Snapshot;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

pub use control::trace;
pub use metrics::parse_address as parse_metrics_address;

/// What to trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Targets {
    /// Processes that run already.
    Pids(Vec<Pid>),
    /// Every process that runs this file, now and later.
    Binary(PathBuf),
    /// A command that goflow starts: program and arguments.
    Command(Vec<OsString>),
}

/// How a session is to run.
#[derive(Clone, Debug)]
pub struct TraceOptions {
    /// What to trace.
    pub targets: Targets,
    /// Which probes.
    pub level: Level,
    /// At [`Level::Snapshot`], the time between two snapshots of a process.
    pub interval: Duration,
    /// How long; `None` until the target ends or a signal comes.
    pub duration: Option<Duration>,
    /// Frames to record for each park.
    pub stack_depth: u32,
    /// Size of the ring buffer in bytes, a power of two and a multiple of the page size.
    pub ring_bytes: u32,
    /// How to attach; `None` takes the best that the kernel has.
    pub attach: Option<AttachMethod>,
    /// How much of their CPU time the targets may lose.
    pub budget: Budget,
    /// Where to serve metrics, an address that no other machine reaches; `None` for nowhere.
    pub metrics: Option<SocketAddr>,
    /// What is recorded.
    pub filter: Filter,
    /// By which rules it is told what is wrong; none where nobody wants to know.
    pub rules: Vec<&'static Rule>,
}

/// How a session ended.
#[derive(Debug)]
pub struct Outcome {
    /// The exit status of the command that was traced, if it was one and has ended.
    pub command: Option<ExitStatus>,
    /// A signal ended it.
    pub is_interrupted: bool,
}

/// A process has ended, found at a time.
#[derive(Clone, Copy)]
struct ProcessExit {
    pid: Pid,
    t: MonotonicNs,
}

/// What travels from the ingest thread and control to the sink thread.
enum Message {
    /// Of every binary: headers stand together.
    Meta(Vec<Meta>),
    Process(names::ProcessStart),
    Exit(ProcessExit),
    Events(Vec<Event>),
    Inferred(Vec<Inferred>),
    Snapshot(Pid, Arc<Snapshot>),
    Lost(Lost),
    Gap(Gap),
    Coverage(Vec<Coverage>),
    Totals(Box<Totals>),
    Control(Control),
    Finding(Box<FindingChange>),
    Progress(Progress),
}

/// An output that can be handed to the sink thread.
pub type BoxedSink = Box<dyn Sink + Send>;
