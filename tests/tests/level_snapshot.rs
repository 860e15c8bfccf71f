//! `goflow trace --level snapshot`: no probe in the target, and every change that lasts longer than the time between two
//! looks is told.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use goflow_tests::goflow::{Goflow, binary, run};
use goflow_tests::programs::{Flavour, Program, go_versions};
use goflow_tests::stream::{Event, Kind, Session};
use goflow_tests::target::Target;
use goflow_tests::{PATIENCE, until};
use serde_json::Value;

/// Longer than two looks at ten a second.
const STEP: Duration = Duration::from_millis(250);

fn goid(answer: &str, what: &str) -> Result<u64> {
    let answer: Value = serde_json::from_str(answer)?;
    answer[what].as_u64().with_context(|| format!("no {what} in {answer}"))
}

/// Each event of the session about `goid`, in a word.
fn story(session: &Session, goid: u64) -> Vec<String> {
    let word = |event: &Event| match &event.kind {
        Kind::GoroutineCreate { child, .. } if *child == Some(goid) => Some("created".to_owned()),
        Kind::GoroutineExit if event.goid == Some(goid) => Some("exited".to_owned()),
        Kind::Ready { target, .. } if *target == Some(goid) => Some("woken".to_owned()),
        Kind::Park { wait_reason, .. } if event.goid == Some(goid) => wait_reason.clone(),
        _ => None,
    };
    session.events.iter().filter_map(word).collect()
}

fn looks(goflow: &Goflow) -> usize {
    goflow.printed().matches(r#""type":"snapshot""#).count()
}

/// Waits for two more looks, of which the second began after this.
fn look_twice(goflow: &Goflow) -> Result<()> {
    let before = looks(goflow);
    until("two looks", PATIENCE, || Ok((looks(goflow) >= before + 2).then_some(())))
}

#[test]
fn every_change_of_a_slow_program_is_told_and_no_probe_is_placed() -> Result<()> {
    for go in [go_versions().first(), go_versions().last()].into_iter().flatten() {
        for flavour in [Flavour::Plain, Flavour::Stripped, Flavour::Pie] {
            slow_program(go, flavour).with_context(|| format!("go{go} {}", flavour.name()))?;
        }
    }
    Ok(())
}

fn slow_program(go: &str, flavour: Flavour) -> Result<()> {
    let mut target = Target::start::<&str>(&Program::named("slow").go(go).flavour(flavour).build()?, &[])?;
    let old = goid(&target.order("c")?, "created")?;
    let goflow = Goflow::attach(&["--pid", &target.pid().to_string(), "--level", "snapshot"])?;
    look_twice(&goflow)?;
    target.assert_text_is_untouched()?;
    let mut created = Vec::new();
    for _ in 0..4 {
        created.push(goid(&target.order("c")?, "created")?);
        look_twice(&goflow)?;
    }
    ensure!(goid(&target.order("x")?, "exited")? == old);
    look_twice(&goflow)?;
    ensure!(goid(&target.order("m")?, "mutex")? == created[0]);
    look_twice(&goflow)?;
    for expected in &created[1..3] {
        ensure!(goid(&target.order("x")?, "exited")? == *expected);
        look_twice(&goflow)?;
    }
    target.assert_text_is_untouched()?;
    let session = goflow.stop()?;
    let told = |goid| story(&session, goid);
    ensure!(told(old) == ["exited"], "{old}: {:?}", told(old));
    let lock = if minor(go) < 20 { "semacquire" } else { "sync.Mutex.Lock" };
    let expected = ["created", "chan receive", "woken", lock];
    ensure!(told(created[0]) == expected, "{}: {:?}", created[0], told(created[0]));
    for &goid in &created[1..3] {
        ensure!(told(goid) == ["created", "chan receive", "exited"], "{goid}: {:?}", told(goid));
    }
    ensure!(told(created[3]) == ["created", "chan receive"], "{:?}", told(created[3]));
    windows_are_right(&session)?;
    details_are_right(&session, &created, minor(go))?;
    ensure!(session.meta().probes.is_empty() && session.summary.hits.is_empty());
    ensure!(session.meta().attach_method == "none" && session.summary.cost_ns == 0);
    ensure!(session.summary.goflow_cpu_ns > 0);
    target.finish()
}

fn minor(go: &str) -> u32 {
    go.split('.').nth(1).and_then(|minor| minor.parse().ok()).unwrap_or(0)
}

/// Each change lies between two readings that follow each other.
fn windows_are_right(session: &Session) -> Result<()> {
    for event in &session.events {
        ensure!(event.source.as_deref() == Some("snapshot") && event.tid.is_none(), "{event:?}");
        let since = event.since_ns.context("no since_ns")?;
        let at = |t| move |taken: &goflow_tests::stream::Taken| taken.t_ns + taken.duration_ns == t;
        let later = session.snapshots.iter().position(at(event.t_ns));
        let later = later.with_context(|| format!("no snapshot ends with {event:?}"))?;
        let before = later.checked_sub(1).map(|before| &session.snapshots[before]);
        ensure!(before.is_some_and(|before| before.t_ns == since), "{event:?} after {before:?}");
    }
    Ok(())
}

fn details_are_right(session: &Session, created: &[u64], minor: u32) -> Result<()> {
    for event in &session.events {
        match &event.kind {
            Kind::GoroutineCreate { child: Some(child), created_at, start } if created.contains(child) => {
                let site = created_at.as_ref().context("no created_at")?;
                ensure!(site.function() == "main.create", "{event:?}");
                let start = start.as_ref().context("no start")?;
                ensure!(start.function().starts_with("main.create") || start.function() == "main.work");
                ensure!(event.goid == (minor >= 21).then_some(1), "{event:?}");
            }
            Kind::Park { wait_reason, stack, blocked_on } if event.goid == Some(created[0]) => {
                let [on] = blocked_on.as_slice() else { anyhow::bail!("{event:?}") };
                let kind = if wait_reason.as_deref() == Some("chan receive") { "channel" } else { "mutex" };
                ensure!(on["kind"] == kind, "{event:?}");
                let functions: Vec<&str> = stack.iter().map(|position| position.function()).collect();
                ensure!(functions.contains(&"main.work"), "{functions:?}");
                ensure!(!functions.contains(&"runtime.gopark"), "{functions:?}");
            }
            _ => {}
        }
    }
    Ok(())
}

#[test]
fn processes_that_start_and_end_later_are_found_and_told() -> Result<()> {
    let program = Program::named("slow").flavour(Flavour::Pie).build()?;
    let first = Target::start::<&str>(&program, &[])?;
    let path = program.to_str().context("a path")?;
    let goflow = Goflow::attach(&["--binary", path, "--level", "snapshot"])?;
    look_twice(&goflow)?;
    let mut second = Target::start::<&str>(&program, &[])?;
    let goid = goid(&second.order("c")?, "created")?;
    let pid = format!(r#""pid":{}"#, second.pid());
    until("the second process", PATIENCE, || {
        Ok(goflow
            .printed()
            .lines()
            .any(|line| line.contains("snapshot") && line.contains(&pid))
            .then_some(()))
    })?;
    std::thread::sleep(STEP);
    let (second_pid, first_pid) = (second.pid(), first.pid());
    second.finish()?;
    until("its end", PATIENCE, || Ok(goflow.printed().contains("process_exit").then_some(())))?;
    let session = goflow.stop()?;
    ensure!(session.processes.iter().map(|it| it.pid).collect::<Vec<_>>() == [first_pid, second_pid]);
    ensure!(session.exits.iter().map(|it| it.pid).collect::<Vec<_>>() == [second_pid]);
    ensure!(story(&session, goid).first().is_some_and(|word| word == "created"), "{:?}", session.events);
    let main = session.events.iter().find(|event| {
        matches!(event.kind, Kind::GoroutineCreate { child: Some(1), .. }) && event.pid == second_pid
    });
    ensure!(main.is_some(), "the first goroutine of the second process was not told as created");
    ensure!(session.summary.state.iter().map(|it| it.pid).collect::<Vec<_>>() == [first_pid]);
    first.finish()
}

#[test]
fn a_command_is_told_from_its_first_goroutine_to_its_end() -> Result<()> {
    for flavour in [Flavour::Plain, Flavour::Pie] {
        let program = Program::named("slow").flavour(flavour).build()?;
        let directory = tempfile::tempdir()?;
        let file = directory.path().join("trace.jsonl");
        let mut command = Command::new(binary()?);
        command.args(["trace", "--level", "snapshot", "--format", "json", "--output"]).arg(&file);
        let mut goflow = Goflow::spawn(command.arg("--").arg(&program))?;
        until("a look", PATIENCE, || {
            let text = std::fs::read_to_string(&file).unwrap_or_default();
            Ok(text.contains(r#""type":"snapshot""#).then_some(()))
        })?;
        std::thread::sleep(STEP);
        goflow.close_stdin();
        let finished = goflow.finish()?;
        ensure!(finished.status.success(), "{}", finished.stderr);
        let session = Session::parse(&std::fs::read(&file)?)?;
        ensure!(story(&session, 1).first().is_some_and(|word| word == "created"), "{:?}", session.events);
        ensure!(
            session.summary.ended == "target exited" && session.exits.len() == 1,
            "{:?}",
            session.summary
        );
        ensure!(finished.stderr.contains("unseen"), "{}", finished.stderr);
    }
    Ok(())
}

#[test]
fn several_processes_are_looked_at_as_often_as_asked() -> Result<()> {
    let program = Program::named("idle").build()?;
    let targets = [Target::start::<&str>(&program, &[])?, Target::start::<&str>(&program, &[])?];
    let pids = [targets[0].pid().to_string(), targets[1].pid().to_string()];
    let arguments =
        ["--level", "snapshot", "--rate", "20", "--duration", "2s", "--pid", &pids[0], "--pid", &pids[1]];
    let session = Goflow::attach(&arguments)?.finish()?.session()?;
    for target in &targets {
        let looks = session.snapshots.iter().filter(|taken| taken.pid == target.pid()).count();
        ensure!((20..=41).contains(&looks), "{looks} looks in 2 s at 20 a second");
    }
    ensure!(session.summary.state.len() == 2, "{:?}", session.summary.state);
    Ok(())
}

#[test]
fn what_cannot_be_read_is_refused_before_anything_is_written() -> Result<()> {
    let target = Target::start::<&str>(&Program::named("idle").build()?, &[])?;
    let pid = target.pid().to_string();
    let mut command = Command::new("setpriv");
    command.args(["--bounding-set", "-sys_ptrace", "--"]).arg(binary()?);
    command.args(["trace", "--level", "snapshot", "--pid", &pid]);
    Goflow::spawn(&mut command)?.finish()?.assert_refused(&["CAP_SYS_PTRACE"])?;
    for rate in ["0", "-1", "NaN", "1000", "fast"] {
        let rate = format!("--rate={rate}");
        run(&["trace", "--level", "snapshot", "--pid", &pid, &rate])?.assert_refused(&["0.01 to 100"])?;
    }
    run(&["trace", "--rate", "5", "--pid", &pid])?.assert_refused(&["--level snapshot"])?;
    target.finish()
}

/// A program of so many goroutines that one look at them takes longer than the trace.
#[test]
fn a_trace_that_ends_before_its_first_look_says_so_and_does_not_wait_for_it() -> Result<()> {
    let target = Target::start(&Program::named("many").build()?, &["300000", "1"])?;
    let pid = target.pid().to_string();
    let finished = run(&["trace", "--level", "snapshot", "--duration", "50ms", "--pid", &pid])?;
    let shown = String::from_utf8_lossy(&finished.stdout);
    ensure!(finished.status.success() && finished.stderr.is_empty(), "{}", finished.stderr);
    ensure!(shown.contains("the first look at its memory was not over by then"), "{shown}");
    ensure!(finished.took < Duration::from_secs(3), "it took {:?}", finished.took);
    target.finish()
}

/// Neither BPF nor the right to place probes: memory is all that is needed.
#[test]
fn the_right_to_read_memory_is_enough() -> Result<()> {
    let target = Target::start::<&str>(&Program::named("idle").build()?, &[])?;
    let pid = target.pid().to_string();
    let mut command = Command::new("setpriv");
    command.args(["--bounding-set", "-all,+sys_ptrace", "--"]).arg(binary()?);
    command.args(["trace", "--level", "snapshot", "--format", "json", "--duration", "500ms", "--pid", &pid]);
    let session = Goflow::spawn(&mut command)?.finish()?.session()?;
    let [state] = session.summary.state.as_slice() else { anyhow::bail!("{:?}", session.summary) };
    ensure!(state.complete && state.states["waiting"] == 6, "{state:?}");
    target.finish()
}
