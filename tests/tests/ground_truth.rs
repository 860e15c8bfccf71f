//! The model against Go's own execution tracer, goroutine by goroutine: who exists, who created it and where, when it was
//! blocked and why, who unblocked it.
//!
//! Each program does one kind of work and records itself while goflow watches; `go tool trace` puts the recording into
//! words. The tests are data (loads × versions), so their names come from it. A test prints its figures; it fails where
//! goflow tells another story, and says how the two differ.
//!
//! Three things are no differences. The probe and the tracer look at different instructions of the same park, so the same
//! moment has two times, up to [`SAME_MOMENT`] apart. A CPU that stands still between the two (see
//! [`goflow_tests::stalls`]) puts them as far apart as it stood; that time is taken off. And the tracer sees what no probe sees: the end of a collection makes
//! goroutines runnable without `runtime.ready`, so the model has them waiting until they next do something or a snapshot
//! comes; that time is told apart.

use std::collections::BTreeMap;
use std::fmt;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use goflow_tests::programs::{Program, go_versions, trace_in_words};
use goflow_tests::recorder::{Recorder, Recording};
use goflow_tests::stalls::{Stalls, Watch};
use goflow_tests::target::Target;
use goflow_tests::truth::{self, Life, Wait};
use goflow_user::ingest::event::{Event, EventKind};
use goflow_user::model::{Goroutine, Model, State};
use goflow_user::target::id::Goid;
use goflow_user::target::snapshot::Snapshot;
use libtest_mimic::{Arguments, Failed, Trial};

const LOADS: [&str; 15] = [
    "unbuffered",
    "buffered",
    "selects",
    "mutex",
    "rwmutex",
    "waitgroup",
    "cond",
    "timers",
    "context",
    "network",
    "syscalls",
    "fanout",
    "pool",
    "many",
    "gc",
];

/// The tracer's format since Go 1.22 has absolute times.
const OLDEST: u32 = 22;

/// Times of the same moment that are closer than this are the same. Between the probe and the tracer are a trap and some
/// runtime code, a microsecond or two, and now and then on a busy machine another process, for a tick of the scheduler.
/// That no wait is missed, invented or told in another order is held apart from the times, exactly.
const SAME_MOMENT: u64 = 4_000_000;

/// Differences that are told in full.
const TOLD: usize = 20;

fn main() {
    let mut tests = Vec::new();
    for go in go_versions().into_iter().filter(|go| minor(go) >= OLDEST) {
        for load in LOADS {
            let name = format!("go{go} {load}: the model is what the runtime's tracer recorded");
            tests.push(Trial::test(name, move || test(go, load)));
        }
    }
    libtest_mimic::run(&Arguments::from_args(), tests).exit();
}

fn minor(go: &str) -> u32 {
    go.split('.').nth(1).and_then(|minor| minor.parse().ok()).unwrap_or(0)
}

fn test(go: &str, load: &str) -> Result<(), Failed> {
    compare(go, load).map_err(|error| format!("{error:#}").into())
}

fn compare(go: &str, load: &str) -> Result<()> {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("runtime.trace");
    let program = Program::named("truth").go(go).build()?;
    // Ahead of the rest of the machine: a thread that loses its CPU between the probe and the tracer gives one moment two
    // times.
    let mut first = Command::new("chrt");
    first.args(["--rr", "10"]).arg(&program).arg(load).arg(&file);
    let mut target = Target::spawn(&mut first, &program)?;
    ensure!(target.line()? == "waiting", "{}", target.complaints());
    let watch = Watch::begin()?;
    let recorder = Recorder::attach(target.pid(), &program, 8)?;
    let snapshot = recorder.snapshot()?;
    ensure!(target.ask()? == "done", "{}", target.complaints());
    let recording = recorder.stop()?;
    let stalls = watch.end()?;
    target.finish()?;

    let truth = truth::lives(&trace_in_words(&file)?)?;
    let story = Story::told_by(&recording, &snapshot)?;
    let report = Report::of(&truth, &story, &recording, &stalls);
    println!("go{go} {load}: {report}");
    report.verdict()
}

/// What the model said over time.
struct Story {
    model: Model,
    waits: BTreeMap<u64, Vec<Wait>>,
}

impl Story {
    fn told_by(recording: &Recording, snapshot: &Snapshot) -> Result<Self> {
        let mut story = Self { model: recording.model(), waits: BTreeMap::new() };
        let mut seen = false;
        for event in &recording.events {
            if event.t > snapshot.ended && !seen {
                story.see(recording, snapshot);
                seen = true;
            }
            story.model.apply(event);
            let touched = [event.goid, touched(event)];
            for goid in touched.into_iter().flatten() {
                story.note(recording, goid)?;
            }
        }
        if !seen {
            story.see(recording, snapshot);
        }
        let tally = story.model.process(recording.pid).context("no process")?.tally();
        ensure!(tally.impossible == 0 && tally.unattributed == 0, "{tally:?}");
        Ok(story)
    }

    fn see(&mut self, recording: &Recording, snapshot: &Snapshot) {
        self.model.reconcile(recording.pid, snapshot);
    }

    /// Writes down where a wait has begun or ended.
    fn note(&mut self, recording: &Recording, goid: Goid) -> Result<()> {
        let process = self.model.process(recording.pid).context("no process")?;
        let Some(goroutine) = process.goroutine(goid) else { return Ok(()) };
        let waits = self.waits.entry(goid.0).or_default();
        let open = waits.last().filter(|wait| wait.to.is_none()).map(|wait| wait.from);
        let now = goroutine.wait.as_ref().map(|wait| wait.since.0);
        if open == now {
            return Ok(());
        }
        if let (Some(_), Some(last)) = (open, waits.last_mut()) {
            let by_ready = goroutine.woken.filter(|woken| woken.at == goroutine.since);
            last.to = Some(now.unwrap_or(goroutine.since.0));
            last.by = by_ready.and_then(|woken| woken.by).map_or(0, |by| by.0);
        }
        if let Some(wait) = &goroutine.wait {
            let reason = wait.reason.and_then(|reason| recording.executable.binary().wait_reason(reason.0));
            waits.push(Wait { from: wait.since.0, to: None, reason: tracer_word(reason).to_owned(), by: 0 });
        }
        Ok(())
    }
}

/// The other goroutine that an event changes.
fn touched(event: &Event) -> Option<Goid> {
    match &event.kind {
        EventKind::GoroutineCreate { child, .. } => *child,
        EventKind::Ready { target, .. } => *target,
        EventKind::GoroutineExit
        | EventKind::Park { .. }
        | EventKind::ChanMake { .. }
        | EventKind::ChanSend(_)
        | EventKind::ChanRecv(_)
        | EventKind::ChanClose(_)
        | EventKind::Select { .. }
        | EventKind::SyncWait { .. }
        | EventKind::WaitGroupAdd { .. } => None,
    }
}

/// What the tracer calls a wait reason (`traceBlockReasonStrings` in src/runtime/traceruntime.go).
fn tracer_word(reason: Option<&str>) -> &str {
    match reason.unwrap_or("unknown") {
        "IO wait" => "network",
        "sync.Cond.Wait" => "sync.(*Cond).Wait",
        "semacquire"
        | "sync.Mutex.Lock"
        | "sync.RWMutex.Lock"
        | "sync.RWMutex.RLock"
        | "sync.WaitGroup.Wait" => "sync",
        "wait for GC cycle" => "wait until GC ends",
        "GC assist wait" | "GC assist marking" => "GC mark assist wait for work",
        other => other,
    }
}

/// Waits that no probe sees: the collector stops a goroutine without `gopark` (`preemptPark` in src/runtime/proc.go).
fn is_watched(wait: &Wait) -> bool {
    wait.reason != "preempted"
}

/// Ended by `injectglist` (src/runtime/proc.go) and not by `ready`, at the end of a collection.
fn ends_unseen(wait: &Wait) -> bool {
    ["wait until GC ends", "GC mark assist wait for work"].contains(&wait.reason.as_str())
}

#[derive(Default)]
struct Report {
    goroutines: usize,
    waits: usize,
    /// Waits that another goroutine or the runtime ended, and how many of those have the same one in both stories.
    unblocked: usize,
    unblocked_alike: usize,
    /// Goroutine-time, and how much of it the two stories differ; nanoseconds.
    lived: u64,
    apart: u64,
    /// The same, and each small difference of the same moment.
    raw: u64,
    /// Part of `lived` in which a goroutine ran that had been made runnable without `ready`.
    unseen: u64,
    /// Part of `lived` in which the stories differ and a CPU stood still.
    stalled: u64,
    differences: Vec<String>,
    /// When the two stories differ.
    moments: Vec<String>,
}

impl Report {
    fn of(truth: &BTreeMap<u64, Life>, story: &Story, recording: &Recording, stalls: &Stalls) -> Self {
        let mut report = Self::default();
        let process = story.model.process(recording.pid);
        for (goid, life) in truth {
            let (Some(born), Some(died)) = (life.born, life.died) else { continue };
            report.goroutines += 1;
            let Some(goroutine) = process.and_then(|process| process.goroutine(Goid(*goid))) else {
                report.differences.push(format!("goroutine {goid} is not in the model: {life:?}"));
                continue;
            };
            report.birth(life, goroutine, recording);
            let told = story.waits.get(goid).map_or(&[][..], Vec::as_slice);
            let waits: Vec<&Wait> = life.waits.iter().filter(|wait| is_watched(wait)).collect();
            report.waits(*goid, &waits, told);
            report.time(*goid, &waits, told, (born, died), stalls);
        }
        report
    }

    fn birth(&mut self, life: &Life, goroutine: &Goroutine, recording: &Recording) {
        let goid = goroutine.goid.0;
        let site = goroutine.created_at.and_then(|pc| {
            let frames = recording.executable.binary().frames_of_call(recording.bias.to_link(pc));
            let frame = frames.first()?;
            Some((frame.function.to_string(), frame.line.unwrap_or(0)))
        });
        if goroutine.parent != Some(Goid(life.parent)) {
            let parent = goroutine.parent;
            self.differences.push(format!("goroutine {goid}: parent {} is {parent:?}", life.parent));
        }
        // What a timer starts has no `go` statement of a goroutine for the tracer.
        if life.created_at.is_some() && site != life.created_at {
            self.differences.push(format!("goroutine {goid}: made at {:?}, told {site:?}", life.created_at));
        }
        if goroutine.state != State::Dead {
            self.differences.push(format!("goroutine {goid} has ended and is {:?}", goroutine.state));
        }
    }

    fn waits(&mut self, goid: u64, truth: &[&Wait], told: &[Wait]) {
        self.waits += truth.len();
        let reasons = |waits: &mut dyn Iterator<Item = &Wait>| -> Vec<String> {
            waits.map(|wait| wait.reason.clone()).collect()
        };
        let (was, is) = (reasons(&mut truth.iter().copied()), reasons(&mut told.iter()));
        if was != is {
            let at = was.iter().zip(&is).take_while(|(was, is)| was == is).count();
            let around = |list: &[String]| {
                format!("{} waits, there {:?}", list.len(), list.get(at..(at + 3).min(list.len())))
            };
            self.differences.push(format!(
                "goroutine {goid}, wait {at}: {}; told {}",
                around(&was),
                around(&is)
            ));
            return;
        }
        for (was, is) in truth.iter().zip(told).filter(|(was, _)| was.to.is_some() && !ends_unseen(was)) {
            self.unblocked += 1;
            if was.by == is.by {
                self.unblocked_alike += 1;
            } else if self.differences.len() < TOLD {
                self.differences.push(format!("goroutine {goid}: {was:?}, told {is:?}"));
            }
        }
    }

    /// Adds up where one story has the goroutine blocked and the other has not.
    fn time(&mut self, goid: u64, truth: &[&Wait], told: &[Wait], (born, died): (u64, u64), stalls: &Stalls) {
        self.lived += died - born;
        let span = |wait: &Wait| (wait.from.max(born), wait.to.unwrap_or(died).min(died));
        let was: Vec<(u64, u64)> = truth.iter().map(|wait| span(wait)).collect();
        let is: Vec<(u64, u64)> = told.iter().map(span).collect();
        let unseen: Vec<u64> =
            truth.iter().filter(|wait| ends_unseen(wait)).filter_map(|wait| wait.to).collect();
        for (from, to) in apart(&was, &is, born, died) {
            if unseen.contains(&from) {
                self.unseen += to - from;
                continue;
            }
            self.raw += to - from;
            let stalled = stalls.within(from, to);
            self.stalled += stalled;
            if to - from - stalled < SAME_MOMENT {
                continue;
            }
            self.apart += to - from - stalled;
            if self.moments.len() < TOLD {
                self.moments.push(format!("goroutine {goid}: {from} to {to}, {} µs", (to - from) / 1000));
            }
        }
    }

    fn agreement(&self) -> f64 {
        1.0 - self.apart as f64 / self.lived.max(1) as f64
    }

    fn unblocker(&self) -> f64 {
        if self.unblocked == 0 { 1.0 } else { self.unblocked_alike as f64 / self.unblocked as f64 }
    }

    fn verdict(&self) -> Result<()> {
        ensure!(self.goroutines > 0 && self.waits > 10, "nothing to compare: {self}");
        let (count, told) = (self.differences.len(), &self.differences[..self.differences.len().min(TOLD)]);
        // A wake-up told of another goroutine is a difference that the ratio allows for.
        let allowed = self.unblocked - self.unblocked_alike;
        ensure!(count <= allowed, "{count} differences; {self}\n{}", told.join("\n"));
        ensure!(self.unblocker() >= 0.999, "{self}\n{}", told.join("\n"));
        ensure!(self.agreement() >= 0.999, "{self}; they differ at\n{}", self.moments.join("\n"));
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = |share: f64| share * 100.0;
        write!(
            f,
            "{} goroutines, {} waits; state right for {:.4} % of the time ({:.2} % by the \
             letter; not counted: {:.2} % after wake-ups that no probe sees, {:.2} % while a CPU stood still), \
             unblocker of {:.4} %",
            self.goroutines,
            self.waits,
            percent(self.agreement()),
            percent(1.0 - self.raw as f64 / self.lived.max(1) as f64),
            percent(self.unseen as f64 / self.lived.max(1) as f64),
            percent(self.stalled as f64 / self.lived.max(1) as f64),
            percent(self.unblocker()),
        )
    }
}

/// Where exactly one of two lists of spans covers a moment of `born..died`, in order. Both lists are in order.
fn apart(one: &[(u64, u64)], other: &[(u64, u64)], born: u64, died: u64) -> Vec<(u64, u64)> {
    let mut edges: Vec<u64> = one.iter().chain(other).flat_map(|(from, to)| [*from, *to]).collect();
    edges.extend([born, died]);
    edges.sort_unstable();
    edges.dedup();
    let covers = |spans: &[(u64, u64)], at: u64| {
        let index = spans.partition_point(|(from, _)| *from <= at);
        index > 0 && at < spans[index - 1].1
    };
    let mut found: Vec<(u64, u64)> = Vec::new();
    for pair in edges.windows(2) {
        let (from, to) = (pair[0], pair[1]);
        if covers(one, from) == covers(other, from) {
            continue;
        }
        match found.last_mut() {
            Some(last) if last.1 == from => last.1 = to,
            _ => found.push((from, to)),
        }
    }
    found
}
