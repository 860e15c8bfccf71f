//! How fast the model takes events, and how much memory a goroutine takes in it.
//!
//! Run by `cargo xtask bench model`. The events are those of a real program, recorded from its probes before the clock
//! runs.

use anyhow::{Context, Result, ensure};
use goflow_tests::programs::Program;
use goflow_tests::stats;
use goflow_tests::target::Target;
use goflow_user::binary::addr::RuntimeAddr;
use goflow_user::ingest::event::{Event, EventKind, MonotonicNs};
use goflow_user::ingest::ring::RingReader;
use goflow_user::model::{Limits, Model, Runtime};
use goflow_user::probe::attach::{self, Scope};
use goflow_user::probe::catalog::Level;
use goflow_user::probe::load;
use goflow_user::probe::plan::Plan;
use goflow_user::target::executable::Executable;
use goflow_user::target::id::{Goid, WaitReason};
use goflow_user::target::{Pid, Tid, host};
use std::fs;
use std::os::fd::AsFd as _;
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
    let (pid, runtime, events) = record()?;
    let mut rates = Vec::new();
    for _ in 0..ROUNDS {
        let mut model = Model::new(Limits::default());
        model.started(pid, runtime.clone());
        let start = Instant::now();
        events.iter().for_each(|event| model.apply(event));
        rates.push(events.len() as f64 / start.elapsed().as_secs_f64());
        let tally = model.process(pid).context("the process is gone")?.tally();
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

fn record() -> Result<(Pid, Runtime, Vec<Event>)> {
    let file = Program::named("storm").build()?;
    let target = Target::start::<&str>(&file, &[])?;
    let pid = Pid(target.pid());
    let executable = Executable::open(&file)?;
    let binary = executable.binary();
    let (offsets, _) = binary.offsets()?;
    let plan = Plan::new(binary, &offsets, Level::Channels, FRAMES as u32);
    let runtime = Runtime::of(binary, &offsets);
    let method = attach::supported_method();
    let (programs, load::KernelSide { events, counters, .. }) = load::load(&plan, method, false, 32 << 20)?;
    let kernel = host::kernel_version(&host::kernel_release()).context("no kernel version")?;
    let now = || MonotonicNs(host::monotonic_ns());
    let mut reader = RingReader::new(events, counters, now());
    let attached = attach::attach(programs, &plan, executable.as_fd(), &Scope::Processes(vec![pid]), kernel)?;
    let mut recorded = Vec::new();
    let start = Instant::now();
    while start.elapsed() < RECORDING {
        reader.drain(now(), &mut |_| {}, &mut recorded);
        thread::sleep(Duration::from_millis(2));
    }
    let _ = attached.detach();
    while reader.drain(now(), &mut |_| {}, &mut recorded) > 0 {}
    reader.finish(&mut recorded);
    ensure!(reader.losses(now())?.is_empty(), "events were lost: nothing to compare");
    target.finish()?;
    Ok((pid, runtime, recorded))
}
