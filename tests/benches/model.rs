//! How fast the model takes events, and how much memory a goroutine takes in it.
//!
//! Run by `cargo xtask bench model`. The events are those of a real program, recorded from its probes before the clock
//! runs.

use anyhow::{Context, Result, ensure};
use goflow_tests::programs::Program;
use goflow_tests::recorder::{Recorder, Recording};
use goflow_tests::stats;
use goflow_tests::target::Target;
use goflow_user::binary::addr::RuntimeAddr;
use goflow_user::ingest::event::{Event, EventKind, MonotonicNs};
use goflow_user::model::{Limits, Model, Runtime};
use goflow_user::target::id::{Goid, WaitReason};
use goflow_user::target::{Pid, Tid};
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

/// How long the program is recorded.
const RECORDING: Duration = Duration::from_secs(2);
/// How often the recording is played.
const ROUNDS: usize = 9;
/// Goroutines whose memory is measured.
const GOROUTINES: u64 = 100_000;
/// Frames of each one's stack.
const FRAMES: u64 = 8;

fn main() -> Result<()> {
    memory()?;
    let recording = record()?;
    let events = &recording.events;
    let mut rates = Vec::new();
    for _ in 0..ROUNDS {
        let mut model = recording.model();
        let start = Instant::now();
        events.iter().for_each(|event| model.apply(event));
        rates.push(events.len() as f64 / start.elapsed().as_secs_f64());
        let tally = model.process(recording.pid).context("the process is gone")?.tally();
        ensure!(tally.impossible == 0, "{tally:?}");
    }
    println!("Events of a channel storm, {} recorded, played {ROUNDS} times on one core\n", events.len());
    println!("  events a second  {:>12.0}  median", stats::median(&rates));
    println!("                   {:>12.0}  worst", rates.iter().copied().fold(f64::INFINITY, f64::min));
    Ok(())
}

/// What a parked goroutine with a stack takes, by how much this process grows.
fn memory() -> Result<()> {
    let mut model = Model::new(Limits::default());
    model.started(Pid(1), Runtime::default());
    let before = resident()?;
    for goid in 1..=GOROUTINES {
        let event = |goid, kind| Event {
            t: MonotonicNs(goid),
            pid: Pid(1),
            tid: Tid(1),
            goid: Some(Goid(goid)),
            kind,
        };
        let child = EventKind::GoroutineCreate {
            child: Some(Goid(goid)),
            created_at: Some(RuntimeAddr(1)),
            start: Some(RuntimeAddr(2)),
        };
        let stack = (0..FRAMES).map(RuntimeAddr).collect();
        model.apply(&event(GOROUTINES + 1, child));
        model.apply(&event(goid, EventKind::Park { reason: WaitReason(1), lock: None, stack }));
    }
    let bytes = (resident()? - before) / (GOROUTINES as f64);
    println!("Memory, {GOROUTINES} parked goroutines with stacks of {FRAMES} frames\n");
    println!("  bytes each       {bytes:>12.0}\n");
    Ok(())
}

/// Resident bytes of this process.
fn resident() -> Result<f64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    let kib: f64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib * 1024.0)
}

fn record() -> Result<Recording> {
    let program = Program::named("storm").build()?;
    let target = Target::start::<&str>(&program, &[])?;
    let recorder = Recorder::attach(target.pid(), &program, FRAMES as u32)?;
    thread::sleep(RECORDING);
    let recording = recorder.stop()?;
    target.finish()?;
    Ok(recording)
}
