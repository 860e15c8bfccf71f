//! `cargo xtask test`: everything that must hold, in stages; steps of one stage run side by side.
//!
//! A failed step does not hide the others: all run, failures are shown with their output, and a table tells the times.
//! A step that stands alone in its stage writes to the terminal; the output of others goes to target/xtask/logs, and the
//! terminal tells when each ends.

mod steps;

use std::fs::{self, File};
use std::panic::resume_unwind;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::cmd::{headline, shown};
use crate::ctx::Ctx;
use crate::setup::{self, Scope};
use steps::Step;
pub(crate) use steps::{sudo_runner, test_variables};

/// Set up and run every test.
///
/// Formatting, house rules, lints, unit tests, and the integration tests on real Go programs and services. Probing needs
/// root: a user's tests are built as the user, and those that probe are run by sudo.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Leave out the integration tests that take minutes
    #[arg(long)]
    quick: bool,
    /// Leave out the tests that probe; without this, being unable to probe is a failure
    #[arg(long, value_enum, value_name = "WHAT")]
    without: Option<Without>,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Without {
    /// Tests that attach probes, which takes root
    Privileged,
}

/// What to run, as the steps see it.
#[derive(Clone, Copy)]
pub(crate) struct Selection {
    /// Only what takes seconds.
    pub(crate) quick: bool,
    /// Tests that need root as well.
    pub(crate) privileged: bool,
}

/// How a step ended.
struct Outcome {
    name: &'static str,
    took: Duration,
    error: Option<anyhow::Error>,
    log: Option<PathBuf>,
}

/// Runs all steps and fails if one did.
pub(crate) fn run_task(ctx: &Ctx, args: &Args) -> Result<()> {
    let selection = Selection { quick: args.quick, privileged: args.without != Some(Without::Privileged) };
    if selection.privileged {
        ctx.ask_for_root("probing")
            .context("the tests that probe can be left out by `--without privileged`")?;
    }
    let start = Instant::now();
    setup::ensure(ctx, Scope::Test)?;
    let outcomes = run_stages(ctx, selection)?;
    print_table(&outcomes, start.elapsed());
    if !selection.privileged {
        println!(
            "Left out on request, because they attach probes: {}.",
            steps::privileged_suites().join(", ")
        );
    }
    let failed: Vec<_> = outcomes.iter().filter(|o| o.error.is_some()).map(|o| o.name).collect();
    if !failed.is_empty() {
        bail!("{} of {} steps failed: {}", failed.len(), outcomes.len(), failed.join(", "));
    }
    println!("All {} steps are fine.", outcomes.len());
    Ok(())
}

fn run_stages(ctx: &Ctx, selection: Selection) -> Result<Vec<Outcome>> {
    let logs = ctx.scratch().join("logs");
    fs::create_dir_all(&logs).with_context(|| format!("cannot create {}", logs.display()))?;
    let mut outcomes = Vec::new();
    for stage in steps::stages(selection) {
        let names: Vec<_> = stage.iter().map(|step| step.name).collect();
        headline(&format!("test: {}", names.join(" | ")));
        let ended = run_stage(ctx, selection, &stage, &logs);
        for outcome in ended.iter().filter(|outcome| outcome.error.is_some()) {
            show_failure(outcome);
        }
        outcomes.extend(ended);
    }
    Ok(outcomes)
}

fn run_stage(ctx: &Ctx, selection: Selection, stage: &[Step], logs: &std::path::Path) -> Vec<Outcome> {
    if let [step] = stage {
        return vec![run_step(ctx, selection, step, None)];
    }
    std::thread::scope(|scope| {
        let running: Vec<_> = stage
            .iter()
            .map(|step| {
                let log = logs.join(format!("{}.log", step.name.replace(' ', "-")));
                eprintln!("  {}: runs, output in {}", step.name, log.display());
                scope.spawn(move || run_step(ctx, selection, step, Some(log)))
            })
            .collect();
        let joined =
            running.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic)));
        joined.collect()
    })
}

fn run_step(ctx: &Ctx, selection: Selection, step: &Step, log: Option<PathBuf>) -> Outcome {
    let start = Instant::now();
    let mut run = |mut command: Command| run_logged(&mut command, log.as_ref());
    let result =
        (step.commands)(ctx, selection).and_then(|commands| commands.into_iter().try_for_each(&mut run));
    let outcome = Outcome { name: step.name, took: start.elapsed(), error: result.err(), log };
    eprintln!("{}", outcome.line());
    outcome
}

impl Outcome {
    fn word(&self) -> &'static str {
        if self.error.is_some() { "FAILED" } else { "fine" }
    }

    /// What is told when the step ends, while others may still run.
    fn line(&self) -> String {
        format!("  {}: {} after {}", self.name, self.word(), seconds(self.took))
    }
}

/// Runs with stdin closed and, where there is a log, all output appended to it.
fn run_logged(command: &mut Command, log: Option<&PathBuf>) -> Result<()> {
    command.stdin(Stdio::null());
    if let Some(path) = log {
        let file = File::options().create(true).append(true).open(path);
        let file = file.with_context(|| format!("cannot write {}", path.display()))?;
        command.stdout(file.try_clone()?).stderr(file);
    } else {
        eprintln!("  $ {}", shown(command));
    }
    let status = command.status().with_context(|| format!("cannot start {}", shown(command)))?;
    if !status.success() {
        bail!("`{}` failed ({status})", shown(command));
    }
    Ok(())
}

fn show_failure(outcome: &Outcome) {
    let Some(error) = &outcome.error else { return };
    if let Some(text) = outcome.log.as_ref().and_then(|log| fs::read_to_string(log).ok()) {
        eprintln!("--- output of {} ---\n{text}--- end of {} ---", outcome.name, outcome.name);
    }
    eprintln!("{} failed: {error:#}", outcome.name);
}

fn print_table(outcomes: &[Outcome], total: Duration) {
    println!("\n{:32} {:8} {:>10}", "step", "result", "time");
    for outcome in outcomes {
        println!("{:32} {:8} {:>10}", outcome.name, outcome.word(), seconds(outcome.took));
    }
    println!("{:32} {:8} {:>10}", "with setup", "", seconds(total));
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_that_ends_is_told_with_its_time() {
        let took = Duration::from_millis(1_250);
        let fine = Outcome { name: "lints", took, error: None, log: None };
        assert_eq!(fine.line(), "  lints: fine after 1.2 s");
        let failed = Outcome { error: Some(anyhow::anyhow!("why")), ..fine };
        assert_eq!(failed.line(), "  lints: FAILED after 1.2 s");
    }
}
