//! Added cost per probed operation: goflow's programs, an empty program at the same instructions, bpftrace's `count()`
//! at the symbols.

use anyhow::{Context, Result, bail};
use goflow_tests::programs::Program;
use goflow_tests::stats::{median, spread};
use goflow_tests::target::Target;
use goflow_user::ingest::event::MonotonicNs;
use goflow_user::ingest::order::Orderer;
use goflow_user::ingest::ring::RingReader;
use goflow_user::probe::attach::{self, Attached, Scope};
use goflow_user::probe::catalog::Level;
use goflow_user::probe::load::{self, AttachMethod};
use goflow_user::probe::plan::Plan;
use goflow_user::target::executable::Executable;
use goflow_user::target::{Pid, host};
use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::os::fd::AsFd as _;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Interleaved rounds; each measures every variant once.
const ROUNDS: usize = 15;
/// How long a variant is measured in a round.
const WINDOW: Duration = Duration::from_millis(200);
/// What the rates need to settle after probes went in or out.
const SETTLE: Duration = Duration::from_millis(60);

/// Programs whose operations hit few and known probes.
const PROGRAMS: [(&str, &str); 2] = [
    ("buffered", "one send and one receive that never park"),
    ("pingpong", "a round trip that parks and readies"),
];

/// Prints the section.
pub(crate) fn run() -> Result<()> {
    println!(
        "Added cost per probed operation ({ROUNDS} interleaved rounds of {WINDOW:?}, medians; ratios are within a round)\n"
    );
    for (name, what) in PROGRAMS {
        measure(name, what)?;
    }
    Ok(())
}

struct Bench {
    target: Target,
    executable: Executable,
    plan: Plan,
    pid: Pid,
}

/// Nanoseconds per operation in each round.
#[derive(Default)]
struct Samples {
    baseline: Vec<f64>,
    empty: Vec<f64>,
    goflow: Vec<f64>,
    goflow_without_stack: Vec<f64>,
    bpftrace: Vec<f64>,
    hits_per_operation: Vec<f64>,
}

fn measure(name: &str, what: &str) -> Result<()> {
    let binary = Program::named(name).build()?;
    let target = Target::start::<&str>(&binary, &[])?;
    let pid = Pid(target.pid());
    let executable = Executable::open(&binary)?;
    let plan = plan(&executable, 8)?;
    let mut bench = Bench { target, executable, plan, pid };
    let mut samples = Samples::default();
    for _ in 0..ROUNDS {
        samples.baseline.push(bench.cost()?);
        samples.empty.push(bench.with_empty_program()?);
        let (cost, hits_per_operation) = bench.with_goflow(8)?;
        samples.goflow.push(cost);
        samples.hits_per_operation.push(hits_per_operation);
        samples.goflow_without_stack.push(bench.with_goflow(0)?.0);
        samples.bpftrace.push(bench.with_bpftrace(&binary)?);
    }
    bench.target.finish()?;
    report(name, what, &samples);
    Ok(())
}

fn report(name: &str, what: &str, samples: &Samples) {
    let hits = median(&samples.hits_per_operation);
    let baseline = median(&samples.baseline);
    println!("{name}: {what}; {baseline:.0} ns without probes, {hits:.2} hits an operation");
    let added = |values: &[f64]| -> Vec<f64> {
        values.iter().zip(&samples.baseline).map(|(with, without)| (with - without) / hits).collect()
    };
    let empty = added(&samples.empty);
    let bpftrace = added(&samples.bpftrace);
    println!("  {:<34} {:>9} {:>7} {:>10} {:>12}", "added per hit", "ns", "±", "× empty", "× bpftrace");
    for (label, values) in [
        ("empty program, same instruction", &empty),
        ("goflow, park stacks of 8 frames", &added(&samples.goflow)),
        ("goflow, --stack-depth 0", &added(&samples.goflow_without_stack)),
        ("bpftrace count() at the symbol", &bpftrace),
    ] {
        let ns = median(values);
        // Within a round, so that what else the machine does falls on both alike.
        let ratio =
            |to: &[f64]| median(&values.iter().zip(to).map(|(value, to)| value / to).collect::<Vec<_>>());
        let (to_empty, to_bpftrace) = (ratio(&empty), ratio(&bpftrace));
        println!("  {label:<34} {ns:>9.0} {:>7.0} {to_empty:>10.2} {to_bpftrace:>12.2}", spread(values));
    }
    println!();
}

fn plan(executable: &Executable, stack_depth: u32) -> Result<Plan> {
    let binary = executable.binary();
    let (offsets, _) = binary.offsets()?;
    Ok(Plan::new(binary, &offsets, Level::Channels, stack_depth))
}

impl Bench {
    /// Nanoseconds per operation, as things stand.
    fn cost(&mut self) -> Result<f64> {
        thread::sleep(SETTLE);
        Ok(1e9 / self.target.rate(WINDOW)?)
    }

    fn attach(&self, programs: &load::Programs) -> Result<Attached> {
        let scope = Scope::Processes(vec![self.pid]);
        let kernel = host::kernel_version(&host::kernel_release()).context("no kernel version")?;
        Ok(attach::attach(programs, &self.plan, self.executable.as_fd(), &scope, kernel, None)?)
    }

    fn with_empty_program(&mut self) -> Result<f64> {
        let attached = self.attach(&load::load_empty(AttachMethod::UprobeMulti)?)?;
        let cost = self.cost()?;
        let _ = attached.detach();
        Ok(cost)
    }

    /// Nanoseconds per operation, and hits per operation.
    fn with_goflow(&mut self, stack_depth: u32) -> Result<(f64, f64)> {
        let plan = plan(&self.executable, stack_depth)?;
        let (programs, kernel_side) = load::load(&plan, AttachMethod::UprobeMulti, false, 8 << 20)?;
        let load::KernelSide { events, counters, goid_memory, .. } = kernel_side;
        let reader = Reader::start(RingReader::new(events, counters, now()))?;
        let mut attached = self.attach(&programs)?;
        attached.remember_goids(&plan, goid_memory)?;
        thread::sleep(SETTLE);
        let (hits, operations) = (reader.hits(), self.target.operations()?);
        let cost = self.cost()?;
        let (hits, operations) = (reader.hits() - hits, self.target.operations()? - operations);
        let _ = attached.detach();
        reader.stop()?;
        Ok((cost, hits as f64 / operations as f64))
    }

    fn with_bpftrace(&mut self, binary: &std::path::Path) -> Result<f64> {
        let functions: BTreeSet<&str> = self.plan.sites.iter().map(|site| site.function).collect();
        let probes: Vec<String> =
            functions.iter().map(|function| format!("uprobe:{}:\"{function}\"", binary.display())).collect();
        let script = format!("BEGIN {{ printf(\"in\\n\"); }} {} {{ @ = count(); }}", probes.join(", "));
        let mut bpftrace = Bpftrace::start(&script, self.pid)?;
        // Its BEGIN runs before its other probes are in.
        thread::sleep(Duration::from_secs(1));
        let cost = self.cost();
        bpftrace.stop()?;
        cost
    }
}

fn now() -> MonotonicNs {
    MonotonicNs(host::monotonic_ns())
}

/// Empties the ring buffer as a session does, without a sink.
struct Reader {
    stop: Arc<AtomicBool>,
    hits: Arc<AtomicU64>,
    thread: JoinHandle<Result<()>>,
}

impl Reader {
    fn start(mut reader: RingReader) -> Result<Self> {
        let (stop, hits) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let (stopped, counted) = (Arc::clone(&stop), Arc::clone(&hits));
        let thread = thread::Builder::new().name("reader".into()).spawn(move || {
            let mut orderer = Orderer::default();
            while !stopped.load(Ordering::Acquire) {
                let drained = reader.drain(now(), &mut orderer, &mut |_| {});
                orderer.release(drained.certain).for_each(drop);
                counted.store(reader.hits()?.iter().sum(), Ordering::Release);
                thread::sleep(Duration::from_millis(4));
            }
            Ok(())
        })?;
        Ok(Self { stop, hits, thread })
    }

    fn hits(&self) -> u64 {
        self.hits.load(Ordering::Acquire)
    }

    fn stop(self) -> Result<()> {
        self.stop.store(true, Ordering::Release);
        match self.thread.join() {
            Ok(result) => result,
            Err(_) => bail!("the reader panicked"),
        }
    }
}

struct Bpftrace(Child);

impl Bpftrace {
    /// Returns once it attaches.
    fn start(script: &str, pid: Pid) -> Result<Self> {
        let mut child = Command::new("bpftrace")
            .args(["-p", &pid.to_string(), "-e", script])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("bpftrace is missing; `cargo xtask setup` installs it")?;
        let stdout = child.stdout.take().context("no pipe")?;
        let started = BufReader::new(stdout).lines().map_while(Result::ok).any(|line| line == "in");
        if !started {
            bail!("bpftrace did not attach: {script}");
        }
        Ok(Self(child))
    }

    fn stop(&mut self) -> Result<()> {
        let pid = rustix::process::Pid::from_child(&self.0);
        rustix::process::kill_process(pid, rustix::process::Signal::INT)?;
        self.0.wait()?;
        Ok(())
    }
}

impl Drop for Bpftrace {
    fn drop(&mut self) {
        // A failed measurement must not leave bpftrace behind; when it has ended already this is refused.
        let _ = self.0.kill();
    }
}
