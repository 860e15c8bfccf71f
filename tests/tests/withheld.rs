//! Memory that does not answer, or that holds a list without end: goflow says so and ends.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use goflow_tests::goflow::{Goflow, run};
use goflow_tests::programs::Program;
use goflow_tests::target::Target;
use goflow_tests::until;
use rustix::process::Signal;
use serde_json::Value;
use std::os::unix::process::ExitStatusExt as _;

/// The last Go that lets a program name the runtime's variables.
fn withheld(what: &str) -> Result<Target> {
    Target::start(&Program::named("withheld").go("1.22.12").build()?, &[what])
}

/// The target lives and is as it was.
fn is_well(mut target: Target) -> Result<()> {
    ensure!(target.ask()? == "still running");
    target.assert_text_is_untouched()?;
    target.finish()
}

#[test]
fn memory_that_does_not_answer_is_told_and_given_up() -> Result<()> {
    let target = withheld("page")?;
    let pid = target.pid().to_string();
    let finished = run(&["snapshot", "--timeout", "3s", "--pid", &pid])?;
    ensure!(finished.status.code() == Some(2), "{}: {}", finished.status, finished.stderr);
    let (took, limit) = (finished.took, Duration::from_secs(3));
    ensure!(took >= limit && took < limit * 3, "ended after {took:?}");
    for words in ["waits 3s for it", "does not answer; gave up after 3s", "help: ", "userfaultfd"] {
        ensure!(finished.stderr.contains(words), "does not say {words:?}: {}", finished.stderr);
    }
    is_well(target)
}

#[test]
fn an_interrupt_ends_a_snapshot_that_waits_for_memory() -> Result<()> {
    let target = withheld("page")?;
    let pid = target.pid().to_string();
    let goflow = Goflow::start(&["snapshot", "--pid", &pid])?;
    std::thread::sleep(Duration::from_millis(500));
    let sent = Instant::now();
    goflow.signal(Signal::INT)?;
    let finished = goflow.finish()?;
    ensure!(sent.elapsed() < Duration::from_secs(1), "ended after {:?}", sent.elapsed());
    // Which a shell tells as 130.
    ensure!(
        finished.status.signal() == Some(Signal::INT.as_raw()),
        "{}: {}",
        finished.status,
        finished.stderr
    );
    is_well(target)
}

#[test]
fn a_trace_goes_on_without_the_memory_that_does_not_answer() -> Result<()> {
    let target = withheld("page")?;
    let pid = target.pid().to_string();
    for level in ["lifecycle", "snapshot"] {
        let finished = run(&["trace", "--level", level, "--duration", "3500ms", "--pid", &pid])?;
        let text = String::from_utf8(finished.stdout)? + &finished.stderr;
        ensure!(finished.status.success(), "{}: {text}", finished.status);
        ensure!(finished.took < Duration::from_secs(8), "ended after {:?}", finished.took);
        ensure!(text.contains(&format!("memory of process {pid} does not answer: whoever")), "{text}");
        ensure!(text.contains("state   not known"), "{text}");
    }
    let goflow = Goflow::start(&["trace", "--level", "lifecycle", "--pid", &pid])?;
    until("the probes are in", Duration::from_secs(5), || {
        Ok(goflow.printed().contains("in place").then_some(()))
    })?;
    goflow.signal(Signal::INT)?;
    let sent = Instant::now();
    let finished = goflow.finish()?;
    ensure!(finished.status.success(), "{}: {}", finished.status, finished.stderr);
    ensure!(sent.elapsed() < Duration::from_secs(4), "ended after {:?}", sent.elapsed());
    is_well(target)
}

#[test]
fn a_list_of_sixteen_million_wild_goroutines_is_left_alone_after_some_of_them() -> Result<()> {
    let target = withheld("list")?;
    let pid = target.pid().to_string();
    let finished = run(&["snapshot", "--format", "json", "--pid", &pid])?;
    ensure!(finished.status.success(), "{}: {}", finished.status, finished.stderr);
    ensure!(finished.took < Duration::from_secs(20), "took {:?}", finished.took);
    ensure!(finished.stderr.contains("the snapshot is not complete: 1"), "{}", finished.stderr);
    let snapshot: Value = serde_json::from_slice(&finished.stdout)?;
    let unknown = snapshot["unknown"].as_array().context("unknown")?;
    let rest = unknown.iter().find(|unknown| unknown["what"] == "the rest of the snapshot");
    let why = rest.and_then(|rest| rest["why"].as_str()).context("nothing of the rest")?;
    ensure!(why.contains("of the 16777216 entries in the list of goroutines were not read"), "{why}");
    ensure!(snapshot["goroutines"][0]["goid"] == 1, "{}", snapshot["goroutines"]);

    // On a busy machine it is the time that cuts it short.
    let text = run(&["trace", "--level", "lifecycle", "--duration", "13s", "--pid", &pid])?;
    ensure!(text.stderr.contains("no snapshot: it was cut short: "), "{}", text.stderr);
    is_well(target)
}
