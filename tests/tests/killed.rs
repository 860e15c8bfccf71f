//! A SIGKILL finds goflow in the middle of whatever it does, and the target's text is again what the file says.
//!
//! The kernel cannot write to a target in the course of a process that is to die, so what is held here is that the process
//! that is killed is never the one that places and removes breakpoints. `signals` has the ends that leave goflow time.

use std::fs;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use goflow_tests::goflow::{Goflow, binary};
use goflow_tests::programs::Program;
use goflow_tests::target::Target;
use goflow_tests::until;
use rustix::process::{Pid, Signal, kill_process};

/// A process without a name: the variable that all processes of a session, and no others, have in their environment.
const MARK: &str = "GOFLOW_TESTS_SESSION";

/// How goflow is to attach, and how many moments of its start and of its end are tried.
struct Sweep {
    attach: &'static str,
    starts: u32,
    ends: u32,
    /// How long its end may take.
    end: Duration,
}

#[test]
fn killed_at_any_moment_of_its_start_or_end_goflow_leaves_no_breakpoint() -> Result<()> {
    let end = Duration::from_millis(50);
    Sweep { attach: "uprobe-multi", starts: 40, ends: 25, end }.run()
}

#[test]
fn neither_does_it_with_perf_events() -> Result<()> {
    let end = Duration::from_millis(1500);
    Sweep { attach: "perf", starts: 15, ends: 15, end }.run()
}

#[test]
fn without_the_process_that_holds_the_probes_a_trace_ends_and_says_so() -> Result<()> {
    let mut target = storm()?;
    let session = Session::start(&target, "auto", "keeper")?;
    let goflow = session.goflow.attached()?;
    ensure!(!target.altered_text()?.is_empty(), "no breakpoint");
    let mut holder = others_with("keeper", goflow.pid())?;
    // Beside it there may be the one that measures what a hit costs.
    holder.retain(|pid| {
        fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name == "probe-keeper\n")
    });
    let [holder] = holder[..] else { anyhow::bail!("processes beside goflow: {holder:?}") };
    send(holder, Signal::KILL)?;
    let finished = goflow.finish()?;
    ensure!(finished.status.code() == Some(2), "{}", finished.status);
    ensure!(finished.stderr.contains("ended the process that holds the probes"), "{}", finished.stderr);
    target.assert_text_is_untouched()?;
    target.operations()?;
    target.finish()
}

#[test]
fn a_holder_of_the_probes_that_is_stopped_goes_on_when_it_is_needed() -> Result<()> {
    let target = storm()?;
    for signal in [Signal::INT, Signal::KILL] {
        let session = Session::start(&target, "auto", "stopped")?;
        let goflow = session.goflow.attached()?;
        let pid = goflow.pid();
        for holder in others_with("stopped", pid)? {
            send(holder, Signal::STOP)?;
        }
        goflow.signal(signal)?;
        goflow.finish()?;
        until("the holder ends", Duration::from_secs(20), || {
            Ok(others_with("stopped", pid)?.is_empty().then_some(()))
        })?;
        target.assert_text_is_untouched()?;
    }
    target.finish()
}

impl Sweep {
    fn run(&self) -> Result<()> {
        let target = storm()?;
        let started = Instant::now();
        let session = Session::start(&target, self.attach, "first")?;
        let goflow = session.goflow.attached()?;
        let start = started.elapsed();
        goflow.stop()?;
        let (mut moment, mut unattached) = (0, 0);
        // Where the machine has more to do than at the first start, later moments follow until one is late enough.
        while moment < self.starts || (unattached == moment && moment < 4 * self.starts) {
            let session = Session::start(&target, self.attach, &format!("start {moment}"))?;
            // A little beyond, so that the last are attached.
            sleep(start * 5 / 4 * moment / self.starts);
            unattached += u32::from(!session.goflow.printed().contains(r#""type":"meta""#));
            session.dies_without_a_trace(&target)?;
            moment += 1;
        }
        ensure!(
            (1..moment).contains(&unattached),
            "killed before the start was over: {unattached} of {moment}"
        );
        for moment in 0..self.ends {
            let mark = format!("end {moment}");
            let Session { goflow, .. } = Session::start(&target, self.attach, &mark)?;
            let goflow = goflow.attached()?;
            goflow.signal(Signal::TERM)?;
            sleep(self.end * moment / self.ends);
            Session { goflow, mark }.dies_without_a_trace(&target)?;
        }
        target.finish()
    }
}

fn storm() -> Result<Target> {
    Target::start(&Program::named("storm").build()?, &[""; 0])
}

/// A trace whose processes can be told.
struct Session {
    goflow: Goflow,
    mark: String,
}

impl Session {
    fn start(target: &Target, attach: &str, mark: &str) -> Result<Self> {
        let mut command = Command::new(binary()?);
        command.args(["trace", "--format", "json", "--attach", attach, "--pid", &target.pid().to_string()]);
        command.env(MARK, marked(mark));
        Ok(Self { goflow: Goflow::spawn(&mut command)?, mark: mark.to_owned() })
    }

    fn dies_without_a_trace(self, target: &Target) -> Result<()> {
        let Self { goflow, mark } = self;
        let pid = goflow.pid();
        // One that has ended by itself is as good.
        let _ = goflow.signal(Signal::KILL);
        goflow.finish()?;
        until("the rest of goflow ends", Duration::from_secs(20), || {
            Ok(others_with(&mark, pid)?.is_empty().then_some(()))
        })?;
        target.assert_text_is_untouched().with_context(|| mark)
    }
}

/// Tests run side by side, so the mark has this process in it.
fn marked(mark: &str) -> String {
    format!("{} {mark}", std::process::id())
}

/// The processes of a session beside goflow's own.
fn others_with(mark: &str, goflow: u32) -> Result<Vec<u32>> {
    let wanted = format!("{MARK}={}", marked(mark));
    let has_mark = |pid: &u32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|&byte| byte == 0).any(|variable| variable == wanted.as_bytes())
    };
    let mut pids = Vec::new();
    for entry in fs::read_dir("/proc")? {
        pids.extend(entry?.file_name().to_str().and_then(|name| name.parse::<u32>().ok()));
    }
    pids.retain(|pid| *pid != goflow && has_mark(pid));
    Ok(pids)
}

fn send(pid: u32, signal: Signal) -> Result<()> {
    let pid = Pid::from_raw(pid.try_into()?).context("a pid")?;
    Ok(kill_process(pid, signal)?)
}
