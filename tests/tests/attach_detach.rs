//! A thousand attach and detach rounds on a busy target neither crash nor slow it.

use std::fs;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use goflow_tests::goflow::Goflow;
use goflow_tests::programs::Program;
use goflow_tests::target::Target;
use goflow_user::probe::attach::{self, Scope};
use goflow_user::probe::catalog::Level;
use goflow_user::probe::load;
use goflow_user::probe::plan::Plan;
use goflow_user::target::executable::Executable;
use goflow_user::target::{Pid, host};

/// Through the library, since starting a thousand processes would test the machine: the same load, link and close that
/// `goflow trace` does, with nobody reading the events.
#[test]
fn a_thousand_rounds_on_a_busy_target_do_not_crash_or_slow_it() -> Result<()> {
    let program = Program::named("storm").build()?;
    let mut target = Target::start(&program, &[""; 0])?;
    let rounds = Rounds::on(&program, target.pid())?;
    let mut last = 0;
    for hundred in 0..10 {
        for round in 0..100 {
            rounds.once().with_context(|| format!("round {}", hundred * 100 + round))?;
        }
        let operations = target.operations().with_context(|| format!("after {} rounds", hundred * 100))?;
        ensure!(operations > last, "the target stands still at {operations} operations");
        last = operations;
    }
    target.assert_text_is_untouched()?;
    is_as_fast_as_new(&program, &mut target)?;
    target.finish()
}

/// And as a user does it, with a process each time.
#[test]
fn fifty_sessions_in_a_row_see_events_and_leave_nothing() -> Result<()> {
    let program = Program::named("storm").build()?;
    let mut target = Target::start(&program, &[""; 0])?;
    let pid = target.pid().to_string();
    let mut total = 0;
    for round in 0..50 {
        let goflow = Goflow::attach(&["--pid", &pid, "--duration", "20ms", "--level", "lifecycle"])?;
        let session = goflow.finish()?.session().with_context(|| format!("round {round}"))?;
        // On a machine that is busy with more, the target may not have run at all in that time.
        let cpu_ns = session.summary.target_cpu_ns.context("no CPU time of the target")?;
        let seen = session.events.len() as u64 + session.lost_events();
        ensure!(seen > 0 || cpu_ns < 10_000_000, "round {round} saw nothing in {cpu_ns} ns of its CPU time");
        total += seen;
        target.assert_text_is_untouched().with_context(|| format!("round {round}"))?;
    }
    ensure!(total > 0, "fifty sessions saw nothing");
    target.operations()?;
    target.finish()
}

struct Rounds {
    executable: Executable,
    plan: Plan,
    scope: Scope,
    kernel: (u32, u32),
}

impl Rounds {
    fn on(program: &Path, pid: u32) -> Result<Self> {
        let executable = Executable::open(program)?;
        let binary = executable.binary();
        let (offsets, _) = binary.offsets()?;
        let plan = Plan::new(binary, &offsets, Level::Channels, 8);
        let kernel = host::kernel_version(&host::kernel_release()).context("no kernel version")?;
        Ok(Self { executable, plan, scope: Scope::Processes(vec![Pid(pid)]), kernel })
    }

    fn once(&self) -> Result<()> {
        let method = attach::supported_method();
        let filter = attach::needs_target_filter(method, self.kernel, &self.scope);
        let (programs, kernel_side) = load::load(&self.plan, method, filter, 1 << 20)?;
        let file = self.executable.as_fd();
        let attached = attach::attach(&programs, &self.plan, file, &self.scope, self.kernel, None)?;
        let took = attached.detach();
        drop(kernel_side);
        ensure!(took < Duration::from_secs(5), "detaching took {took:?}");
        Ok(())
    }
}

/// Against a process of the same program that was never traced, at the same time, since what else runs on the machine
/// changes both alike. What a machine does to one of the two does not last; what goflow had done to one would.
fn is_as_fast_as_new(program: &Path, target: &mut Target) -> Result<()> {
    let mut ratios = Vec::new();
    for _ in 0..4 {
        let mut new = Target::start(program, &[""; 0])?;
        let before = (Work::of(target)?, Work::of(&mut new)?);
        let start = Instant::now();
        // Enough for the kernel's accounting, which is in hundredths of a second.
        while before.0.until_now(target)?.cpu_s < 1.0 || before.1.until_now(&mut new)?.cpu_s < 1.0 {
            ensure!(start.elapsed() < Duration::from_secs(60), "the targets get no CPU");
            std::thread::sleep(Duration::from_millis(100));
        }
        let ratio = before.0.until_now(target)?.rate() / before.1.until_now(&mut new)?.rate();
        if ratio > 0.8 {
            return Ok(());
        }
        ratios.push(ratio);
    }
    bail!("work per CPU second, against a process that was never traced: {ratios:.2?}")
}

/// What a process has done and what it took.
#[derive(Clone, Copy)]
struct Work {
    operations: u64,
    cpu_s: f64,
}

impl Work {
    fn of(target: &mut Target) -> Result<Self> {
        Ok(Self { operations: target.operations()?, cpu_s: cpu_seconds(target.pid())? })
    }

    fn until_now(self, target: &mut Target) -> Result<Self> {
        let now = Self::of(target)?;
        Ok(Self { operations: now.operations - self.operations, cpu_s: now.cpu_s - self.cpu_s })
    }

    fn rate(self) -> f64 {
        self.operations as f64 / self.cpu_s
    }
}

/// User and system time of a process (proc(5), stat: fields 14 and 15, in ticks of 10 ms).
fn cpu_seconds(pid: u32) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, fields) = stat.rsplit_once(')').context("no command name")?;
    let ticks: Vec<u64> =
        fields.split_ascii_whitespace().skip(11).take(2).map(str::parse).collect::<Result<_, _>>()?;
    Ok(ticks.iter().sum::<u64>() as f64 / 100.0)
}
