//! Where the events go: nothing is dropped without being counted, and an output that fails ends the session in order.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use goflow_tests::goflow::{Goflow, binary, run};
use goflow_tests::programs::Program;
use goflow_tests::target::Target;
use goflow_tests::{PATIENCE, wait_for};
use rustix::process::Signal;

fn storm() -> Result<Target> {
    Target::start(&Program::named("storm").build()?, &[""; 0])
}

/// A goflow that does not get to read, as on an overloaded machine: the kernel's buffer fills up.
#[test]
fn every_event_that_finds_the_buffer_full_is_counted_and_shown_as_lost() -> Result<()> {
    let target = storm()?;
    let goflow = Goflow::attach(&["--pid", &target.pid().to_string(), "--buffer", "64KiB"])?;
    goflow.signal(Signal::STOP)?;
    std::thread::sleep(Duration::from_millis(500));
    goflow.signal(Signal::CONT)?;
    // The harness refuses a stream in which hits are not events and losses, kind by kind and in sum.
    let session = goflow.stop()?;
    let ring = session.summary.lost.get("ring").copied().unwrap_or(0);
    ensure!(ring > 1000, "lost only {ring} of {} events", session.events.len());
    ensure!(session.lost.iter().any(|lost| lost.at == "ring"), "no lost line in the stream");
    target.assert_text_is_untouched()?;
    target.finish()
}

#[test]
fn a_duration_ends_the_session_by_itself() -> Result<()> {
    let target = storm()?;
    let finished = run(&[
        "trace",
        "--format",
        "json",
        "--level",
        "lifecycle",
        "--duration",
        "300ms",
        "--pid",
        &target.pid().to_string(),
    ])?;
    let session = finished.session()?;
    ensure!(session.summary.ended == "duration reached", "ended: {}", session.summary.ended);
    let duration = Duration::from_nanos(session.summary.duration_ns);
    ensure!(duration >= Duration::from_millis(300), "ended after {duration:?}");
    target.assert_text_is_untouched()?;
    target.finish()
}

#[test]
fn a_full_disk_ends_the_session_with_an_error() -> Result<()> {
    let target = storm()?;
    let mut command = Command::new(binary()?);
    command.args(["trace", "--format", "json", "--output", "/dev/full", "--pid", &target.pid().to_string()]);
    let finished = Goflow::spawn(&mut command)?.finish()?;
    ensure!(finished.status.code() == Some(2), "{}: {}", finished.status, finished.stderr);
    for word in ["/dev/full", "No space left"] {
        ensure!(finished.stderr.contains(word), "does not say {word:?}: {}", finished.stderr);
    }
    target.assert_text_is_untouched()?;
    target.finish()
}

/// As `goflow trace … | head -1` does.
#[test]
fn a_reader_that_goes_away_ends_the_session_quietly() -> Result<()> {
    let target = storm()?;
    let mut goflow = Command::new(binary()?)
        .args(["trace", "--format", "json", "--pid", &target.pid().to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut reader = BufReader::new(goflow.stdout.take().context("no pipe")?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    drop(reader);
    wait_for(&mut goflow, PATIENCE)?;
    let output = goflow.wait_with_output()?;
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(line.contains(r#""type":"meta""#), "{line}; {stderr}");
    ensure!(output.status.code() == Some(0), "{}: {stderr}", output.status);
    target.assert_text_is_untouched()?;
    target.finish()
}
