//! `cargo xtask test`: everything that must hold, in stages; steps of one stage run side by side.
//!
//! A failed step does not hide the others: all run, a table tells the times, and what failed is told again at the end,
//! where it is read first. The output of each step goes to target/xtask/logs; that of a step that stands alone in its
//! stage goes to the terminal as well, and of others the terminal tells when each ends.

mod failures;
mod steps;

use std::fs::{self, File};
use std::io::{self, IsTerminal as _, Read as _, Write as _};
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc;
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

/// How long what a command wrote may take to come after its end.
const REST: Duration = Duration::from_secs(2);

/// How a step ended.
struct Outcome {
    name: &'static str,
    took: Duration,
    error: Option<anyhow::Error>,
    log: PathBuf,
}

/// Where a step's output goes besides its log.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Show {
    /// To the terminal, as it comes.
    Now,
    /// Nowhere: other steps run at the same time.
    Later,
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
    show_failures(&outcomes);
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
        outcomes.extend(run_stage(ctx, selection, &stage, &logs));
    }
    Ok(outcomes)
}

fn run_stage(ctx: &Ctx, selection: Selection, stage: &[Step], logs: &Path) -> Vec<Outcome> {
    let log = |step: &Step| logs.join(format!("{}.log", step.name.replace(' ', "-")));
    if let [step] = stage {
        return vec![run_step(ctx, selection, step, log(step), Show::Now)];
    }
    std::thread::scope(|scope| {
        let running: Vec<_> = stage
            .iter()
            .map(|step| {
                let log = log(step);
                eprintln!("  {}: runs, output in {}", step.name, log.display());
                scope.spawn(move || run_step(ctx, selection, step, log, Show::Later))
            })
            .collect();
        let joined =
            running.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic)));
        joined.collect()
    })
}

fn run_step(ctx: &Ctx, selection: Selection, step: &Step, log: PathBuf, show: Show) -> Outcome {
    let start = Instant::now();
    let result = run_commands(ctx, selection, step, &log, show);
    let outcome = Outcome { name: step.name, took: start.elapsed(), error: result.err(), log };
    eprintln!("{}", outcome.line());
    outcome
}

fn run_commands(ctx: &Ctx, selection: Selection, step: &Step, log: &Path, show: Show) -> Result<()> {
    let log = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
    let commands = (step.commands)(ctx, selection)?;
    commands.into_iter().try_for_each(|command| run_logged(command, &log, show))
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

/// Runs with stdin closed and all output written to the log.
fn run_logged(command: Command, log: &File, show: Show) -> Result<()> {
    let shown = shown(&command);
    if show == Show::Now {
        eprintln!("  $ {shown}");
    }
    let status = tee(command, log, show).with_context(|| format!("cannot run {shown}"))?;
    if !status.success() {
        bail!("`{shown}` failed ({status})");
    }
    Ok(())
}

fn tee(mut command: Command, log: &File, show: Show) -> io::Result<ExitStatus> {
    let (output, input) = io::pipe()?;
    if show == Show::Now && io::stderr().is_terminal() && std::env::var_os("CARGO_TERM_COLOR").is_none() {
        command.env("CARGO_TERM_COLOR", "always");
    }
    let mut child = command.stdin(Stdio::null()).stdout(input.try_clone()?).stderr(input).spawn()?;
    // It holds our ends of the pipe, which would not come to its end.
    drop(command);
    let (log, (copied, ended)) = (log.try_clone()?, mpsc::channel());
    std::thread::spawn(move || copied.send(copy(output, log, show)));
    let status = child.wait()?;
    // A process that the command left behind may hold the pipe for as long as it likes.
    ended.recv_timeout(REST).unwrap_or(Ok(()))?;
    Ok(status)
}

fn copy(mut output: io::PipeReader, mut log: File, show: Show) -> io::Result<()> {
    let mut buffer = [0; 1 << 14];
    loop {
        let length = output.read(&mut buffer)?;
        if length == 0 {
            return Ok(());
        }
        log.write_all(&buffer[..length])?;
        if show == Show::Now {
            io::stderr().write_all(&buffer[..length])?;
        }
    }
}

/// What failed, in the words of its output.
fn show_failures(outcomes: &[Outcome]) {
    for outcome in outcomes {
        let Some(error) = &outcome.error else { continue };
        eprintln!("\n--- {} failed: {error:#} ---", outcome.name);
        let text = fs::read(&outcome.log).unwrap_or_default();
        eprintln!("{}", failures::told_in(&String::from_utf8_lossy(&text)));
        eprintln!("--- all of its output is in {} ---", outcome.log.display());
    }
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
        let fine = Outcome { name: "lints", took, error: None, log: PathBuf::new() };
        assert_eq!(fine.line(), "  lints: fine after 1.2 s");
        let failed = Outcome { error: Some(anyhow::anyhow!("why")), ..fine };
        assert_eq!(failed.line(), "  lints: FAILED after 1.2 s");
    }

    #[test]
    fn both_streams_of_a_command_are_in_the_log_and_its_status_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut shell = Command::new("sh");
        shell.args(["-c", "echo one; echo two >&2; exit 3"]);
        let error = run_logged(shell, &File::create(&path).unwrap(), Show::Later).unwrap_err();
        assert!(error.to_string().ends_with("failed (exit status: 3)"), "{error}");
        assert_eq!(fs::read_to_string(path).unwrap(), "one\ntwo\n");
    }

    #[test]
    fn what_a_command_leaves_running_is_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut shell = Command::new("sh");
        shell.args(["-c", "echo said; sleep 60 & echo $! >pid"]).current_dir(dir.path());
        let start = Instant::now();
        run_logged(shell, &File::create(&path).unwrap(), Show::Later).unwrap();
        assert!(start.elapsed() < Duration::from_secs(30));
        assert_eq!(fs::read_to_string(path).unwrap(), "said\n");
        let left = fs::read_to_string(dir.path().join("pid")).unwrap();
        assert!(Command::new("kill").arg(left.trim()).status().unwrap().success());
    }
}
