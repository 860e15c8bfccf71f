//! Go's own execution tracer and goflow watch the same goroutines and must tell the same story: who created whom, who
//! blocked how often and why, who woke whom, who ended.
//!
//! The program records itself with `runtime/trace`; `go tool trace -d=parsed` of the newest Go puts the recording into
//! words. Nothing in its load is scripted, so this is the truth that no program of ours had to predict.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use goflow_tests::goflow::Goflow;
use goflow_tests::programs::{Program, go_versions, trace_in_words};
use goflow_tests::stream::{Kind, Session};
use goflow_tests::target::Target;

#[test]
fn goflow_tells_the_story_that_the_runtime_tells_of_the_oldest_comparable_go() -> Result<()> {
    // The recording's format is that of Go 1.22, which later tools still read.
    goflow_agrees_with_the_runtime(
        go_versions().iter().find(|go| go.starts_with("1.22.")).context("no Go 1.22")?,
    )
}

#[test]
fn goflow_tells_the_story_that_the_runtime_tells_of_the_newest_go() -> Result<()> {
    goflow_agrees_with_the_runtime(go_versions().last().context("no Go")?)
}

fn goflow_agrees_with_the_runtime(go: &str) -> Result<()> {
    let directory = tempfile::tempdir()?;
    let recording = directory.path().join("runtime.trace");
    let mut target = Target::start(&Program::named("selftrace").go(go).build()?, &[&recording])?;
    let goflow = Goflow::attach_to(target.pid())?;
    ensure!(target.ask()? == "done", "{}", target.complaints());
    let session = goflow.stop()?;
    target.finish()?;
    session.assert_nothing_lost()?;

    let told = Story::of_the_runtime(&recording)?;
    let seen = Story::of_goflow(&session);
    let created_by_load: BTreeSet<u64> =
        seen.lives.iter().filter(|(_, life)| life.of_load).map(|(goid, _)| *goid).collect();
    ensure!(created_by_load.len() == 8 + 1 + 400, "goflow saw {} goroutines", created_by_load.len());
    let blocks: u64 = created_by_load.iter().flat_map(|goid| seen.lives[goid].blocks.values()).sum();
    ensure!(blocks > 400, "only {blocks} blocks: nothing to compare");
    let mut differences = Vec::new();
    for goid in &created_by_load {
        let (told, seen) = (told.lives.get(goid), &seen.lives[goid]);
        if told.is_none_or(|told| !told.is_told_by(seen)) {
            differences.push(format!("goroutine {goid}: the runtime tells {told:?}, goflow {seen:?}"));
        }
    }
    let (count, differences) = (differences.len(), differences.join("\n"));
    ensure!(count == 0, "{count} differences:\n{differences}");
    Ok(())
}

/// What is known of every goroutine that was born in the meantime.
#[derive(Debug, Default)]
struct Story {
    lives: BTreeMap<u64, Life>,
}

#[derive(Debug, Default)]
struct Life {
    parent: u64,
    /// Created by a function of the program's own; only goflow's story says so.
    of_load: bool,
    blocks: BTreeMap<String, u64>,
    /// By the goroutine that woke it; 0 is the runtime.
    wakes: BTreeMap<u64, u64>,
    exits: u64,
}

impl Life {
    fn is_told_by(&self, other: &Self) -> bool {
        (self.parent, &self.blocks, &self.wakes, self.exits)
            == (other.parent, &other.blocks, &other.wakes, other.exits)
    }
}

impl Story {
    /// Lines such as `M=1 P=0 G=7 StateTransition Time=… GoID=18 Running->Waiting Reason="chan receive"`.
    fn of_the_runtime(recording: &Path) -> Result<Self> {
        let mut story = Self::default();
        for line in trace_in_words(recording)?.lines().filter(|line| line.contains(" StateTransition ")) {
            let Some(goid) = field(line, " GoID=") else { continue };
            let goid: u64 = goid.parse().with_context(|| line.to_owned())?;
            // No goroutine is -1 there and 0 in goflow.
            let actor: i64 = field(line, " G=").unwrap_or("-1").parse().with_context(|| line.to_owned())?;
            let actor = u64::try_from(actor).unwrap_or(0);
            let reason = line.split_once("Reason=\"").map(|(_, rest)| rest.trim_end_matches('"'));
            if line.contains(" NotExist->Runnable ") {
                story.lives.insert(goid, Life { parent: actor, ..Life::default() });
            }
            let Some(life) = story.lives.get_mut(&goid) else { continue };
            if line.contains(" Running->Waiting ") {
                *life.blocks.entry(reason.unwrap_or_default().to_owned()).or_default() += 1;
            } else if line.contains(" Waiting->Runnable ") {
                *life.wakes.entry(actor).or_default() += 1;
            } else if line.contains(" Running->NotExist ") {
                life.exits += 1;
            }
        }
        ensure!(!story.lives.is_empty(), "the recording tells of no goroutine");
        Ok(story)
    }

    fn of_goflow(session: &Session) -> Self {
        let mut story = Self::default();
        for event in &session.events {
            let actor = event.goid.unwrap_or(u64::MAX);
            match &event.kind {
                Kind::GoroutineCreate { child: Some(child), created_at, .. } => {
                    let of_load = created_at.as_ref().is_some_and(|at| at.function().starts_with("main."));
                    story.lives.insert(*child, Life { parent: actor, of_load, ..Life::default() });
                }
                Kind::Ready { target: Some(target), .. } => {
                    story.with(*target, |life| *life.wakes.entry(actor).or_default() += 1);
                }
                Kind::Park { wait_reason, .. } => {
                    let reason = in_the_tracers_words(wait_reason.as_deref().unwrap_or_default()).to_owned();
                    story.with(actor, |life| *life.blocks.entry(reason).or_default() += 1);
                }
                Kind::GoroutineExit => story.with(actor, |life| life.exits += 1),
                Kind::GoroutineCreate { .. }
                | Kind::Ready { .. }
                | Kind::ChanMake { .. }
                | Kind::ChanSend(_)
                | Kind::ChanRecv(_)
                | Kind::ChanClose(_)
                | Kind::Select { .. }
                | Kind::SyncWait { .. }
                | Kind::WaitgroupAdd { .. } => {}
            }
        }
        story
    }

    fn with(&mut self, goid: u64, change: impl FnOnce(&mut Life)) {
        if let Some(life) = self.lives.get_mut(&goid) {
            change(life);
        }
    }
}

/// The word after `key`, up to the next space.
fn field<'l>(line: &'l str, key: &str) -> Option<&'l str> {
    let (_, rest) = line.split_once(key)?;
    rest.split(' ').next()
}

/// The tracer has fewer words than the runtime's tracebacks (src/runtime/traceruntime.go, `traceBlockReasonStrings`).
fn in_the_tracers_words(wait_reason: &str) -> &str {
    match wait_reason {
        "sync.Cond.Wait" => "sync.(*Cond).Wait",
        "semacquire" => "sync",
        other if other.starts_with("sync.") => "sync",
        other => other,
    }
}
