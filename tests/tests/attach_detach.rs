//! A thousand attach and detach rounds on a busy target neither crash nor slow it.

use std::fs;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
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
    let before = operations_per_cpu_second(&mut target)?;
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
    let after = operations_per_cpu_second(&mut target)?;
    ensure!(after > 0.7 * before, "{before:.0} operations per CPU second before, {after:.0} after");
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
        ensure!(seen > 0 || cpu_ns < 2_000_000, "round {round} saw nothing in {cpu_ns} ns of its CPU time");
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
        let attached = attach::attach(programs, &self.plan, file, &self.scope, self.kernel)?;
        let took = attached.detach();
        drop(kernel_side);
        ensure!(took < Duration::from_secs(5), "detaching took {took:?}");
        Ok(())
    }
}

/// Throughput that does not depend on what else runs on the machine.
fn operations_per_cpu_second(target: &mut Target) -> Result<f64> {
    let (operations, cpu) = (target.operations()?, cpu_seconds(target.pid())?);
    let start = Instant::now();
    // Enough for the kernel's accounting, which is in hundredths of a second.
    while cpu_seconds(target.pid())? - cpu < 2.0 {
        ensure!(start.elapsed() < Duration::from_secs(60), "the target gets no CPU");
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok((target.operations()? - operations) as f64 / (cpu_seconds(target.pid())? - cpu))
}

/// User and system time of a process (proc(5), stat: fields 14 and 15, in ticks of 10 ms).
fn cpu_seconds(pid: u32) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, fields) = stat.rsplit_once(')').context("no command name")?;
    let ticks: Vec<u64> =
        fields.split_ascii_whitespace().skip(11).take(2).map(str::parse).collect::<Result<_, _>>()?;
    Ok(ticks.iter().sum::<u64>() as f64 / 100.0)
}
