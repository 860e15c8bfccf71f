//! What a trace knows of the state of its targets: goroutines that were parked before it came, wake-ups around the moment
//! when it attaches, and processes that are stopped, end, or replace themselves while they are read.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use goflow_tests::goflow::{Goflow, run};
use goflow_tests::programs::{Flavour, Program, go_versions};
use goflow_tests::stream::{Session, State};
use goflow_tests::target::Target;
use goflow_tests::{PATIENCE, until};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// A waiting goroutine: why, and the kind, address and direction of each thing that it waits for.
type Waits = BTreeMap<u64, (String, Vec<String>)>;

fn state_of(session: &Session, pid: u32) -> Result<&State> {
    let state = session.summary.state.iter().find(|state| state.pid == pid);
    state.with_context(|| format!("no state of {pid} in {:?}", session.summary))
}

fn objects(list: &[Value]) -> Vec<String> {
    let mut objects: Vec<String> =
        list.iter().map(|it| format!("{} {} {}", it["kind"], it["address"], it["direction"])).collect();
    objects.sort();
    objects
}

fn waits_of(state: &State) -> Waits {
    let wait = |wait: &goflow_tests::stream::LongWait| {
        (wait.goid, (wait.wait_reason.clone().unwrap_or_default(), objects(&wait.blocked_on)))
    };
    state.longest_waits.iter().map(wait).collect()
}

/// What a fresh snapshot says: waiting goroutines of the program, and how many there are in all.
fn fresh(pid: u32) -> Result<(Waits, u64)> {
    let finished = run(&["snapshot", "--pid", &pid.to_string(), "--format", "json"])?;
    ensure!(finished.status.success(), "{}", finished.stderr);
    let snapshot: Value = serde_json::from_slice(&finished.stdout)?;
    let all = snapshot["goroutines"].as_array().context("goroutines")?;
    let own: Vec<&Value> = all.iter().filter(|it| it["system"] == false).collect();
    let waits = own.iter().filter(|it| it["state"] == "waiting").filter_map(|it| {
        let on = objects(it["blocked_on"].as_array()?);
        Some((it["goid"].as_u64()?, (it["wait_reason"].as_str()?.to_owned(), on)))
    });
    Ok((waits.collect(), own.len() as u64))
}

/// Waits until goflow has told of a snapshot.
fn with_snapshot(goflow: &Goflow) -> Result<()> {
    until("a snapshot", PATIENCE, || Ok(goflow.printed().contains(r#""type":"snapshot""#).then_some(())))
}

#[test]
fn who_was_parked_before_the_trace_is_in_its_state_with_origin_and_reason() -> Result<()> {
    for go in [go_versions().first(), go_versions().last()].into_iter().flatten() {
        for flavour in [Flavour::Plain, Flavour::Stripped, Flavour::Pie] {
            let target =
                Target::start::<&str>(&Program::named("idle").go(go).flavour(flavour).build()?, &[])?;
            for level in ["lifecycle", "channels"] {
                let goflow = Goflow::attach(&["--pid", &target.pid().to_string(), "--level", level])?;
                with_snapshot(&goflow)?;
                let session = goflow.stop()?;
                let what = || format!("{go} {} {level}: {:?}", flavour.name(), session.summary.state);
                let state = state_of(&session, target.pid())?;
                ensure!(state.complete == (level == "channels") && state.snapshots > 0, "{}", what());
                ensure!(state.goroutines == 7 && state.states["waiting"] == 6, "{}", what());
                ensure!(state.longest_waits.len() == 6, "{}", what());
                for wait in &state.longest_waits {
                    let created = wait.created_at.as_ref().with_context(what)?;
                    let here = created.file.as_deref().is_some_and(|file| file.ends_with("idle/main.go"));
                    ensure!(
                        created.function() == "main.main" && here && created.line == Some(31),
                        "{}",
                        what()
                    );
                    ensure!(!wait.blocked_on.is_empty(), "{}", what());
                }
                ensure!(waits_of(state) == fresh(target.pid())?.0, "{}", what());
            }
            target.finish()?;
        }
    }
    Ok(())
}

/// The probes go in while goroutines are created, park, are woken and end by the hundred thousand a second; then everything
/// is held. One snapshot was read, the rest is events: had one been missed or counted twice where the two meet, the state
/// would not be that of a fresh snapshot.
#[test]
fn after_an_attach_under_load_the_state_is_that_of_a_fresh_snapshot() -> Result<()> {
    for go in [go_versions().first(), go_versions().last()].into_iter().flatten() {
        let mut target = Target::start::<&str>(&Program::named("pausing").go(go).build()?, &[])?;
        let mut by_events = 0;
        for round in 0..40 {
            let goflow = Goflow::attach_to(target.pid())?;
            std::thread::sleep(Duration::from_millis(round * 7 % 60));
            ensure!(target.ask()? == "held", "{}", target.complaints());
            let (waits, goroutines) = fresh(target.pid())?;
            with_snapshot(&goflow)?;
            let session = goflow.stop()?;
            let state = state_of(&session, target.pid())?;
            let what = || format!("go{go}, round {round}: {state:?}, lost {:?}", session.summary.lost);
            ensure!(target.ask()? == "running", "{}", target.complaints());
            // On a slow machine the buffer may overflow, and the session be over before the snapshot after that.
            if !state.complete {
                let why = state.incomplete_because.as_deref().unwrap_or_default();
                ensure!(why.contains("were lost"), "{}", what());
                continue;
            }
            ensure!(state.goroutines == goroutines, "not {goroutines}: {}", what());
            ensure!(waits_of(state) == waits, "not {waits:?}: {}", what());
            by_events += u64::from(state.snapshots == 1);
        }
        // Where a loss or a slow machine brought a second snapshot, that one has told it all.
        ensure!(by_events > 20, "go{go}: only {by_events} rounds rest on one snapshot");
        target.finish()?;
    }
    Ok(())
}

/// goflow stands still for a moment, so that the buffer overflows; the snapshot after that tells everything again.
#[test]
fn after_a_loss_the_state_is_known_again_from_a_snapshot() -> Result<()> {
    let mut target = Target::start::<&str>(&Program::named("pausing").build()?, &[])?;
    let mut repaired = 0;
    for round in 0..10 {
        let goflow = Goflow::attach(&["--pid", &target.pid().to_string(), "--buffer", "64KiB"])?;
        with_snapshot(&goflow)?;
        goflow.signal(Signal::STOP)?;
        std::thread::sleep(Duration::from_millis(100));
        ensure!(target.ask()? == "held", "{}", target.complaints());
        goflow.signal(Signal::CONT)?;
        until("a snapshot after the loss", PATIENCE, || {
            Ok(has_snapshot_after_loss(&goflow.printed()).then_some(()))
        })?;
        let (waits, goroutines) = fresh(target.pid())?;
        goflow.signal(Signal::INT)?;
        let finished = goflow.finish()?;
        let session = finished.session()?;
        let state = state_of(&session, target.pid())?;
        let what = || format!("round {round}: {state:?}, lost {:?}", session.summary.lost);
        ensure!(target.ask()? == "running", "{}", target.complaints());
        // On a busy machine so small a buffer may overflow once more.
        if !has_snapshot_after_loss(&String::from_utf8_lossy(&finished.stdout)) {
            ensure!(!state.complete, "{}", what());
            continue;
        }
        ensure!(state.complete && state.goroutines == goroutines, "{}", what());
        ensure!(waits_of(state) == waits, "not {waits:?}: {}", what());
        repaired += 1;
    }
    ensure!(repaired > 0, "no snapshot was the last word in any round");
    target.finish()
}

/// How long after a loss what was lost may still be under way, nanoseconds: a snapshot from before that does not tell it all.
const SETTLES_NS: u64 = 100_000_000;

/// Whether a snapshot in a stream began after everything that was lost had settled.
fn has_snapshot_after_loss(stream: &str) -> bool {
    let last = |kind: &str, time: &str| {
        let lines = stream.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.filter(|line| line["type"] == kind).filter_map(|line| line[time].as_u64()).max()
    };
    last("lost", "to_ns").is_some_and(|lost| last("snapshot", "t_ns") > Some(lost + SETTLES_NS))
}

#[test]
fn a_process_is_read_at_once_and_then_about_once_a_second() -> Result<()> {
    let target = Target::start::<&str>(&Program::named("idle").build()?, &[])?;
    let pid = target.pid().to_string();
    let session = Goflow::attach(&["--pid", &pid, "--duration", "3500ms"])?.finish()?.session()?;
    let snapshots = &session.snapshots;
    ensure!((3..=4).contains(&snapshots.len()), "{snapshots:?}");
    let apart = snapshots.windows(2).map(|pair| pair[1].t_ns - pair[0].t_ns);
    ensure!(apart.clone().all(|apart| apart >= 1_000_000_000), "{snapshots:?}");
    target.finish()
}

#[test]
fn a_command_has_a_state_from_its_first_goroutines_on() -> Result<()> {
    for flavour in [Flavour::Plain, Flavour::Pie] {
        let program = Program::named("idle").flavour(flavour).build()?;
        let mut command = Command::new(goflow_tests::goflow::binary()?);
        let output = tempfile::tempdir()?;
        let file = output.path().join("trace.jsonl");
        command.args(["trace", "--format", "json", "--duration", "1500ms", "--output"]).arg(&file);
        let mut goflow = Goflow::spawn(command.arg("--").arg(&program))?;
        until("the end of the trace", PATIENCE, || {
            let text = std::fs::read_to_string(&file).unwrap_or_default();
            Ok(text.contains(r#""type":"summary""#).then_some(()))
        })?;
        let session = Session::parse(&std::fs::read(&file)?)?;
        goflow.close_stdin();
        ensure!(goflow.finish()?.status.success());
        let [state] = session.summary.state.as_slice() else {
            anyhow::bail!("{}: {:?}", flavour.name(), session.summary)
        };
        ensure!(state.complete && state.states["waiting"] == 6, "{}: {state:?}", flavour.name());
    }
    Ok(())
}

#[test]
fn a_stopped_process_has_a_state_too() -> Result<()> {
    let target = Target::start::<&str>(&Program::named("idle").build()?, &[])?;
    let pid = Pid::from_raw(i32::try_from(target.pid())?).context("a pid")?;
    // The runtime's own goroutines still start when the program already says that it runs; then every thread sleeps.
    std::thread::sleep(Duration::from_millis(300));
    kill_process(pid, Signal::STOP)?;
    let traced = ["channels", "snapshot"].map(|level| -> Result<Session> {
        let goflow = Goflow::attach(&["--pid", &target.pid().to_string(), "--level", level])?;
        with_snapshot(&goflow)?;
        goflow.stop()
    });
    kill_process(pid, Signal::CONT)?;
    for session in traced {
        let session = session?;
        let state = state_of(&session, target.pid())?;
        ensure!(state.complete && state.states["waiting"] == 6, "{state:?}");
    }
    target.finish()
}

/// Processes of many goroutines, whose reading takes a while, are killed at every moment of it.
#[test]
fn a_process_that_ends_while_it_is_read_ends_the_trace_in_order() -> Result<()> {
    let program = Program::named("many").build()?;
    for level in ["lifecycle", "snapshot"] {
        for round in 0..6 {
            let mut target = Target::start(&program, &["100000", "0"])?;
            let rate: &[&str] = if level == "snapshot" { &["--rate", "100"] } else { &[] };
            let pid = target.pid().to_string();
            let goflow = Goflow::attach(&[&["--pid", &pid, "--level", level], rate].concat())?;
            std::thread::sleep(Duration::from_millis(round * 23));
            kill_process(Pid::from_raw(i32::try_from(target.pid())?).context("a pid")?, Signal::KILL)?;
            target.end()?;
            let finished = goflow.finish()?;
            let session = finished.session().with_context(|| format!("{level}, round {round}"))?;
            ensure!(session.summary.ended == "target exited", "{:?}", session.summary);
            ensure!(session.summary.state.is_empty(), "{:?}", session.summary.state);
            ensure!(!finished.stderr.contains("no snapshot"), "{}", finished.stderr);
        }
    }
    Ok(())
}

/// A shell becomes the traced program, that becomes another, over and over while it is read.
#[test]
fn a_process_that_executes_another_program_is_not_told_as_the_old_one() -> Result<()> {
    let idle = Program::named("idle").build()?;
    for level in ["lifecycle", "snapshot"] {
        let script = "read line; exec \"$0\"";
        let mut command = Command::new("sh");
        let other = Target::spawn(command.args(["-c", script]).arg(&idle), Path::new("/bin/sh"))?;
        // The same file, which both run in the end.
        let target = Target::start::<&str>(&idle, &[])?;
        let path = idle.to_str().context("a path")?;
        let mut other = other;
        let goflow = Goflow::attach(&["--binary", path, "--level", level])?;
        ensure!(other.ask()? == "running", "{}", other.complaints());
        let pid = format!(r#""pid":{},"#, other.pid());
        // The first may have come before everybody was parked.
        until("two snapshots of the new program", PATIENCE, || {
            let printed = goflow.printed();
            let snapshots = printed.lines().filter(|line| line.contains(r#""type":"snapshot""#));
            Ok((snapshots.filter(|line| line.contains(&pid)).count() >= 2).then_some(()))
        })
        .with_context(|| format!("{level}: {}", goflow.printed()))?;
        let session = goflow.stop()?;
        let state = state_of(&session, other.pid())?;
        ensure!(state.complete == (level == "snapshot"), "{level}: {state:?}");
        ensure!(state.states["waiting"] == 6, "{level}: {state:?}");
        target.finish()?;
        other.finish()?;
    }
    Ok(())
}

#[test]
fn without_the_right_to_read_memory_the_trace_goes_on_and_says_so_once() -> Result<()> {
    let target = Target::start::<&str>(&Program::named("storm").build()?, &[])?;
    let mut command = Command::new("setpriv");
    command.args(["--bounding-set", "-sys_ptrace", "--"]).arg(goflow_tests::goflow::binary()?);
    let program = Program::named("storm").build()?;
    let path = program.to_str().context("a path")?;
    command.args([
        "trace",
        "--format",
        "json",
        "--level",
        "lifecycle",
        "--duration",
        "500ms",
        "--binary",
        path,
    ]);
    let finished = Goflow::spawn(&mut command)?.finish()?;
    let session = finished.session()?;
    ensure!(!session.events.is_empty(), "no event");
    let state = state_of(&session, target.pid())?;
    ensure!(!state.complete && state.snapshots == 0, "{state:?}");
    ensure!(finished.stderr.matches("no snapshot:").count() <= 1, "{}", finished.stderr);
    target.finish()
}
