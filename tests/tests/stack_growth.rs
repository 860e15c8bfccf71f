//! A goroutine whose stack grows inside a probed function runs that function's start twice; goflow counts it once. And a
//! stack that has grown lies where nothing may follow it in memory; goflow reads it to its end.

use std::collections::{BTreeMap, HashSet};

use anyhow::{Context, Result, ensure};
use goflow_tests::goflow::{self, Goflow};
use goflow_tests::programs::{Program, go_versions};
use goflow_tests::stream::{Kind, Session};
use goflow_tests::target::Target;
use serde::Deserialize;

#[derive(Deserialize)]
struct Report {
    calls: BTreeMap<String, u64>,
    grown: BTreeMap<String, u64>,
}

#[test]
fn a_function_that_restarts_on_a_larger_stack_is_counted_once_by_the_oldest_go() -> Result<()> {
    no_event_is_doubled(go_versions().first().context("no Go versions")?)
}

#[test]
fn a_function_that_restarts_on_a_larger_stack_is_counted_once_by_the_newest_go() -> Result<()> {
    no_event_is_doubled(go_versions().last().context("no Go versions")?)
}

#[test]
fn a_stack_is_read_to_its_end_in_programs_of_the_oldest_go() -> Result<()> {
    stacks_are_whole(go_versions().first().context("no Go versions")?)
}

#[test]
fn a_stack_is_read_to_its_end_in_programs_of_the_newest_go() -> Result<()> {
    stacks_are_whole(go_versions().last().context("no Go versions")?)
}

fn stacks_are_whole(go: &str) -> Result<()> {
    let program = Program::named("deep").go(go).build()?;
    let program = program.to_str().context("a path that is not UTF-8")?;
    let session =
        goflow::run(&["trace", "--format", "json", "--stack-depth", "32", "--", program])?.session()?;
    session.assert_nothing_lost()?;
    let calls: Vec<String> = (0..10).map(|depth| format!("main.f{depth}")).collect();
    let calls: Vec<&str> =
        calls.iter().map(String::as_str).chain(["main.receive", "runtime.goexit"]).collect();
    let (mut receives, mut selects, mut cases_read) = (0, 0, 0);
    for event in &session.events {
        match &event.kind {
            Kind::Park { stack, .. } => {
                let names: Vec<&str> =
                    stack.iter().map(|frame| frame.function.as_deref().unwrap_or("?")).collect();
                if names.contains(&"main.f0") {
                    ensure!(names.ends_with(&calls), "{names:?}");
                    receives += 1;
                } else if names.contains(&"main.choose") {
                    ensure!(names.ends_with(&["main.choose", "runtime.goexit"]), "{names:?}");
                    selects += 1;
                }
            }
            Kind::Select { cases: Some(cases), .. } if cases.len() == 2 => cases_read += 1,
            _ => {}
        }
    }
    ensure!((receives, selects) == (100, 100), "{receives} parks in f0 and {selects} in choose");
    ensure!(cases_read >= 100, "the cases of {cases_read} selects were read");
    Ok(())
}

fn no_event_is_doubled(go: &str) -> Result<()> {
    let mut target = Target::start(&Program::named("stackgrow").go(go).build()?, &[""; 0])?;
    let goflow = Goflow::attach_to(target.pid())?;
    let report = target.ask()?;
    let session = goflow.stop()?;
    target.finish()?;

    let report: Report = serde_json::from_str(&report).with_context(|| report.clone())?;
    session.assert_nothing_lost()?;
    let seen = operations_of_the_divers(&session);
    for (operation, calls) in &report.calls {
        let grown = report.grown.get(operation).copied().unwrap_or(0);
        ensure!(grown > 0, "no stack grew inside {operation}: this would prove nothing");
        let seen = match operation.as_str() {
            // None of them has to wait, so they are hits and no events.
            "rwmutex" => hits_of(&session, "rwmutex_lock"),
            "waitgroup" => hits_of(&session, "waitgroup_wait"),
            event => seen.get(event).copied().unwrap_or(0),
        };
        ensure!(seen == *calls, "{calls} of {operation} ({grown} on a growing stack), goflow saw {seen}");
    }
    Ok(())
}

fn hits_of(session: &Session, probe: &str) -> u64 {
    session.summary.hits.iter().filter(|hits| hits.probe == probe).map(|hits| hits.hits).sum()
}

/// Events of the goroutines that dive, by the words of the report; the main goroutine only makes and closes channels.
fn operations_of_the_divers(session: &Session) -> BTreeMap<&str, u64> {
    let divers: HashSet<Option<u64>> = session
        .events
        .iter()
        .filter(|event| event.goid == Some(1))
        .filter_map(|event| match event.kind {
            Kind::GoroutineCreate { child, .. } => Some(child),
            _ => None,
        })
        .collect();
    let mut seen = BTreeMap::new();
    for event in session.events.iter().filter(|event| divers.contains(&event.goid)) {
        let word = match &event.kind {
            Kind::SyncWait { sync, .. } => sync.as_str(),
            kind => kind.name(),
        };
        *seen.entry(word).or_default() += 1;
    }
    seen
}
