//! What only events tell of a process, while it is looked at.
//!
//! In: a process, and the rules that need events. Out: what those found, once the looks beside it are over. The trace runs on the
//! thread that calls, because it forks before it starts others; the looks run on one of their own, which is started when the probes
//! are in. That nothing could be traced is a limit of what was found out, and no error: looks find
//! the most.

use std::io;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::anyhow;
use crossbeam_channel::{Receiver, bounded};

use crate::advice::messages;
use crate::cli::trace::DEFAULT_RING_BYTES;
use crate::detect::Rule;
use crate::ingest::event::MonotonicNs;
use crate::pipeline::{self, Outcome, Targets, TraceOptions};
use crate::probe::budget::{Budget, Mode};
use crate::probe::catalog::Level;
use crate::probe::filter::Filter;
use crate::sink::findings::Described;
use crate::sink::record::{Names, Record, Sink, Summary};
use crate::target::Pid;

/// Frames of parks: whoever waits in a send is named by the function that called it.
const STACK_DEPTH: u32 = 16;

/// What is to be traced.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) pid: Pid,
    /// Those that need events.
    pub(super) rules: Vec<&'static Rule>,
    pub(super) budget: Budget,
    pub(super) duration: Duration,
}

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) findings: Vec<Described<'static>>,
    /// What could not be found out and why, without the full stop.
    pub(super) limits: Vec<String>,
    /// Why nothing could be traced.
    pub(super) unavailable: Option<String>,
}

/// What looks at the process: it is told that somebody wants an end, and by whom it will be told what came of the trace.
type Look<T> = Box<dyn FnOnce(&AtomicBool, &Receiver<Told>) -> anyhow::Result<T> + Send>;

/// The thread that looks, once it has been started.
type Looking<T> = Option<JoinHandle<anyhow::Result<T>>>;

/// Traces on this thread, and looks on another from when the probes are in. Where they cannot be, looks on this one.
///
/// # Errors
/// Those of `look`, or there is no thread for it.
pub(super) fn beside<T: Send + 'static>(
    plan: &Plan,
    look: impl FnOnce(&AtomicBool, &Receiver<Told>) -> anyhow::Result<T> + Send + 'static,
) -> anyhow::Result<T> {
    let (tell, told) = bounded(1);
    let shared = Arc::<Shared>::default();
    let start = Arc::new(Mutex::new(Start { look: Some(Box::new(look)), told: Some(told), looking: None }));
    let sink = Collect { shared: Arc::clone(&shared), start: Arc::clone(&start) };
    let outcome = pipeline::trace(&plan.options(), Box::new(sink));
    if outcome.as_ref().is_ok_and(|outcome| outcome.is_interrupted) {
        shared.is_over.store(true, Ordering::Release);
    }
    let seen = std::mem::take(&mut *locked(&shared.seen));
    // Looks that have failed do not listen.
    let _ = tell.send(plan.told(outcome, seen));
    let Start { look, told, looking } = std::mem::take(&mut *locked(&start));
    match (looking, look, told) {
        (Some(looking), ..) => looking.join().unwrap_or_else(|panic| resume_unwind(panic)),
        (None, Some(look), Some(told)) => look(&shared.is_over, &told),
        (None, ..) => Err(anyhow!("the thread goflow-looks cannot be started")),
    }
}

/// What has to be done once the probes are in.
struct Start<T> {
    look: Option<Look<T>>,
    told: Option<Receiver<Told>>,
    looking: Looking<T>,
}

impl<T> Default for Start<T> {
    fn default() -> Self {
        Self { look: None, told: None, looking: None }
    }
}

impl<T: Send + 'static> Start<T> {
    fn run(&mut self, shared: &Arc<Shared>) {
        let (Some(look), Some(told)) = (self.look.take(), self.told.take()) else { return };
        let shared = Arc::clone(shared);
        let looks = move || {
            let result = look(&shared.is_over, &told);
            shared.have_looked.store(true, Ordering::Release);
            result
        };
        self.looking = thread::Builder::new().name("goflow-looks".into()).spawn(looks).ok();
    }
}

/// What trace and looks tell each other.
#[derive(Default)]
struct Shared {
    /// Somebody wants an end.
    is_over: AtomicBool,
    /// Nobody waits for the rest of the trace.
    have_looked: AtomicBool,
    seen: Mutex<Seen>,
}

/// Who panics with it in hand has told why.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Plan {
    fn options(&self) -> TraceOptions {
        TraceOptions {
            targets: Targets::Pids(vec![self.pid]),
            level: Level::Channels,
            interval: Duration::from_secs(1),
            duration: Some(self.duration),
            stack_depth: STACK_DEPTH,
            ring_bytes: DEFAULT_RING_BYTES,
            attach: None,
            budget: self.budget,
            metrics: None,
            filter: Filter::default(),
            rules: self.rules.clone(),
        }
    }

    fn told(&self, outcome: anyhow::Result<Outcome>, seen: Seen) -> Told {
        let Seen { findings, watched } = seen;
        let unavailable = outcome.err().map(|error| messages(&error).join(": "));
        let in_part = watched.map(|part| {
            let percent = part * 100.0;
            format!("events were seen {percent:.0} % of the time, for all of them cost more than --budget")
        });
        let why = unavailable.clone().or(in_part);
        let names: Vec<&str> = self.rules.iter().map(|rule| rule.id).collect();
        let limits = why.map(|why| format!("what only events tell ({}): {why}", names.join(", ")));
        Told { findings, limits: limits.into_iter().collect(), unavailable }
    }
}

/// What the trace has told.
#[derive(Default)]
struct Seen {
    findings: Vec<Described<'static>>,
    /// What part of the time channels were watched, where that was not all of it.
    watched: Option<f64>,
}

/// Keeps what is found, and nothing else.
struct Collect<T> {
    shared: Arc<Shared>,
    start: Arc<Mutex<Start<T>>>,
}

impl<T: Send + 'static> Sink for Collect<T> {
    fn write(&mut self, record: &Record, _names: &dyn Names) -> io::Result<()> {
        match record {
            // The first: the probes are in.
            Record::Meta(_) => locked(&self.start).run(&self.shared),
            Record::Finding(change) if change.is_open => {
                locked(&self.shared.seen).add(change.described.clone());
            }
            Record::Summary(summary) => locked(&self.shared.seen).close(summary),
            _ => {}
        }
        Ok(())
    }

    fn flush(&mut self, _now: MonotonicNs) -> io::Result<()> {
        // As for a reader that has gone away: the trace ends.
        let have_looked = self.shared.have_looked.load(Ordering::Acquire);
        if have_looked { Err(io::ErrorKind::BrokenPipe.into()) } else { Ok(()) }
    }
}

impl Seen {
    /// What is told again, later, is told better.
    fn add(&mut self, described: Described<'static>) {
        match self.findings.iter_mut().find(|known| known.fingerprint == described.fingerprint) {
            Some(known) => *known = described,
            None => self.findings.push(described),
        }
    }

    fn close(&mut self, summary: &Summary) {
        summary.findings.iter().for_each(|(_, one)| self.add(one.clone()));
        let channels = summary.coverage.iter().find(|one| one.level == Level::Channels.name());
        let part = |watched_ns: u64| watched_ns as f64 / summary.duration_ns.max(1) as f64;
        self.watched =
            channels.filter(|one| one.mode != Mode::Continuous).map(|one| part(one.watched_ns).min(1.0));
    }
}
