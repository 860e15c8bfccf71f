//! However goflow ends, its target runs on and its text is again what the file says.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use goflow_tests::goflow::{Goflow, binary};
use goflow_tests::programs::Program;
use goflow_tests::target::Target;
use goflow_tests::until;
use rustix::process::{Pid, Signal, kill_process};

#[test]
fn sigint_ends_the_session_with_a_summary_and_leaves_no_breakpoint() -> Result<()> {
    an_orderly_signal_leaves_no_breakpoint(Signal::INT, "interrupted")
}

#[test]
fn sigterm_ends_the_session_with_a_summary_and_leaves_no_breakpoint() -> Result<()> {
    an_orderly_signal_leaves_no_breakpoint(Signal::TERM, "terminated")
}

#[test]
fn sighup_ends_the_session_with_a_summary_and_leaves_no_breakpoint() -> Result<()> {
    an_orderly_signal_leaves_no_breakpoint(Signal::HUP, "hung up")
}

#[test]
fn under_nohup_a_trace_outlives_its_terminal() -> Result<()> {
    let process = Target::start(&Program::named("pingpong").build()?, &[""; 0])?;
    let mut nohup = Command::new("nohup");
    nohup.arg(binary()?).args(["trace", "--format", "json", "--pid", &process.pid().to_string()]);
    let mut goflow = Goflow::spawn(&mut nohup)?.attached()?;
    goflow.signal(Signal::HUP)?;
    std::thread::sleep(Duration::from_millis(300));
    ensure!(!goflow.has_ended()?, "it has ended");
    let session = goflow.stop()?;
    ensure!(session.summary.ended == "interrupted", "ended: {}", session.summary.ended);
    process.finish()
}

#[test]
fn sigkill_leaves_no_breakpoint() -> Result<()> {
    let target = storm_with_breakpoints()?;
    target.goflow.signal(Signal::KILL)?;
    let finished = target.goflow.finish()?;
    ensure!(!finished.status.success(), "survived SIGKILL");
    runs_on_untouched(target.process)
}

fn an_orderly_signal_leaves_no_breakpoint(signal: Signal, ended: &str) -> Result<()> {
    let target = storm_with_breakpoints()?;
    target.goflow.signal(signal)?;
    let session = target.goflow.finish()?.session()?;
    ensure!(!session.events.is_empty(), "no event of a busy program");
    ensure!(session.summary.ended == ended, "ended: {}", session.summary.ended);
    // When goflow has ended in order, the probes are out: no waiting here.
    target.process.assert_text_is_untouched()?;
    runs_on_untouched(target.process)
}

struct Traced {
    process: Target,
    goflow: Goflow,
}

/// The comparison of text can only prove absence if it shows the breakpoints while they are there.
fn storm_with_breakpoints() -> Result<Traced> {
    let mut process = Target::start(&Program::named("storm").build()?, &[""; 0])?;
    process.assert_text_is_untouched().context("before")?;
    let goflow = Goflow::attach_to(process.pid())?;
    let altered = process.altered_text()?;
    ensure!(altered.iter().all(|byte| byte.memory == 0xcc), "not breakpoints: {altered:x?}");
    let probes = goflow.meta()?.probes.len();
    ensure!(probes >= 10 && altered.len() == probes, "{probes} probes, breakpoints: {altered:x?}");
    goes_on(&mut process)?;
    Ok(Traced { process, goflow })
}

fn runs_on_untouched(mut target: Target) -> Result<()> {
    until("the text is that of the file", Duration::from_secs(10), || {
        Ok(target.altered_text()?.is_empty().then_some(()))
    })?;
    goes_on(&mut target)?;
    target.finish()
}

fn goes_on(target: &mut Target) -> Result<()> {
    let before = target.operations()?;
    until("the target goes on", Duration::from_secs(10), || Ok((target.operations()? > before).then_some(())))
}

#[test]
fn a_stopped_target_is_said_to_be_stopped_and_is_traced_from_when_it_continues() -> Result<()> {
    let mut process = Target::start(&Program::named("storm").build()?, &[""; 0])?;
    let pid = Pid::from_raw(process.pid().try_into()?).context("a pid")?;
    kill_process(pid, Signal::STOP)?;
    let stat = format!("/proc/{}/stat", process.pid());
    until("it stands still", Duration::from_secs(10), || {
        Ok(std::fs::read_to_string(&stat)?.contains(") T ").then_some(()))
    })?;
    let goflow = Goflow::attach_to(process.pid())?;
    std::thread::sleep(Duration::from_millis(200));
    ensure!(!goflow.printed().contains(r#""type":"event""#), "events of a process that is stopped");
    kill_process(pid, Signal::CONT)?;
    until("events", Duration::from_secs(10), || {
        Ok(goflow.printed().contains(r#""type":"event""#).then_some(()))
    })?;
    goflow.signal(Signal::INT)?;
    let finished = goflow.finish()?;
    let said = format!("process {} is stopped by a signal", process.pid());
    ensure!(finished.stderr.contains(&said), "{}", finished.stderr);
    finished.session()?;
    goes_on(&mut process)?;
    runs_on_untouched(process)
}
