//! `--budget`: what does not fit is watched in windows, what fits is watched all the time, and what is estimated of the
//! rest is near the truth. Whether a target really loses no more than that is `cargo xtask bench overhead`'s to tell.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use goflow_tests::goflow::{Goflow, binary, run};
use goflow_tests::programs::Program;
use goflow_tests::stream::Session;
use goflow_tests::target::Target;

/// Long enough for a dozen windows.
const LONG: Duration = Duration::from_secs(6);

/// A session with a budget, and how many operations the target counts meanwhile.
fn trace(target: &mut Target, budget: &str, arguments: &[&str], span: Duration) -> Result<(Session, u64)> {
    let mut command = std::process::Command::new(binary()?);
    command.args(["trace", "--format", "json", "--pid", &target.pid().to_string(), "--budget", budget]);
    let goflow = Goflow::spawn(command.args(arguments))?.attached()?;
    let before = target.operations()?;
    let until = Instant::now() + span;
    std::thread::sleep(until.saturating_duration_since(Instant::now()));
    let after = target.operations()?;
    Ok((goflow.stop()?, after - before))
}

/// Until a level has been watched in so many windows, and for so long at least. On a machine that is busy with other things
/// windows are rare, because they may last.
fn wait_for_windows(goflow: &Goflow, level: &str, least: usize, span: Duration) -> Result<()> {
    let start = Instant::now();
    let begin = format!(r#""level":"{level}","watched":true"#);
    loop {
        std::thread::sleep(LONG / 6);
        let windows = goflow.printed().matches(&begin).count();
        if windows >= least && start.elapsed() >= span {
            return Ok(());
        }
        ensure!(start.elapsed() < LONG * 20, "{windows} windows of {level}");
    }
}

fn level<'a>(session: &'a Session, level: &str) -> Result<&'a goflow_tests::stream::LevelCoverage> {
    session.summary.coverage.iter().find(|one| one.level == level).context("no such level")
}

/// Each level goes out and in by turns, and in as often as it was watched again.
fn turns_alternate(session: &Session) -> Result<()> {
    for of in &session.summary.coverage {
        let turns = session.coverage.iter().filter(|one| one.level == of.level);
        let turns: Vec<bool> = turns.map(|one| one.watched).collect();
        let ins = turns.iter().filter(|watched| **watched).count() as u64;
        ensure!(turns.iter().enumerate().all(|(at, watched)| *watched == (at % 2 == 1)), "{turns:?}");
        ensure!(ins + 1 == of.windows || ins == of.windows, "{of:?} {turns:?}");
    }
    Ok(())
}

#[test]
fn a_target_that_does_nothing_else_is_watched_in_windows_and_keeps_its_goroutines_in_sight() -> Result<()> {
    let target = Target::start::<&str>(&Program::named("pingpong").build()?, &[])?;
    let goflow = Goflow::attach(&["--pid", &target.pid().to_string(), "--budget", "2%"])?;
    wait_for_windows(&goflow, "blocking", 2, LONG)?;
    wait_for_windows(&goflow, "channels", 2, Duration::ZERO)?;
    let session = goflow.stop()?;
    let summary = &session.summary;
    ensure!(summary.budget == Some(0.02) && summary.cost_source == "measured", "{summary:?}");
    ensure!(level(&session, "lifecycle")?.mode == "continuous", "{:?}", summary.coverage);
    for sampled in ["blocking", "channels"] {
        let level = level(&session, sampled)?;
        ensure!(level.mode == "sampled" && level.windows > 1, "{level:?}");
        ensure!(level.watched_ns < summary.duration_ns / 4, "{level:?}");
    }
    turns_alternate(&session)?;
    let used = summary.target_cpu_ns.context("no CPU time")?;
    // The machine may hold up goflow for longer than it can foresee.
    ensure!(summary.cost_ns < used / 20, "{} of {used}", summary.cost_ns);
    target.assert_text_is_untouched()?;
    target.finish()
}

#[test]
fn while_a_level_is_not_watched_none_of_its_breakpoints_is_in_the_target() -> Result<()> {
    let program = Program::named("pingpong").build()?;
    let target = Target::start::<&str>(&program, &[])?;
    let mut command = std::process::Command::new(binary()?);
    command.args(["trace", "--format", "json", "--pid", &target.pid().to_string(), "--budget", "1%"]);
    let goflow = Goflow::spawn(&mut command)?.attached()?;
    let probes = goflow.meta()?.probes;
    let of_lifecycle =
        probes.iter().filter(|probe| ["newproc1", "goexit0"].contains(&probe.probe.as_str())).count();
    let until = Instant::now() + LONG;
    let mut fewest = usize::MAX;
    while Instant::now() < until && fewest > of_lifecycle {
        fewest = fewest.min(target.altered_text()?.len());
    }
    ensure!(fewest == of_lifecycle && fewest < probes.len(), "{fewest} of {} breakpoints", probes.len());
    goflow.stop()?;
    target.assert_text_is_untouched()?;
    target.finish()
}

#[test]
fn what_fits_the_budget_is_seen_to_the_last_event() -> Result<()> {
    // Some hundred messages a second: where no CPU is idle, what goflow itself uses counts as well.
    let mut target = Target::start(&Program::named("paced").build()?, &["3200000"])?;
    let (session, operations) = trace(&mut target, "2%", &[], Duration::from_secs(2))?;
    ensure!(session.coverage.is_empty(), "{:?}", session.coverage);
    ensure!(session.summary.coverage.iter().all(|one| one.mode == "continuous" && one.windows == 1));
    ensure!(session.summary.hits.iter().all(|hits| hits.estimated.is_none()), "{:?}", session.summary.hits);
    session.assert_nothing_lost()?;
    let sends = session.of_kind("chan_send").count() as u64;
    ensure!(sends >= operations && operations > 100, "{sends} of {operations}");
    target.finish()
}

#[test]
fn what_is_estimated_is_as_near_the_truth_as_it_says() -> Result<()> {
    // Probes would take some 7 % of its time.
    let mut target = Target::start(&Program::named("paced").build()?, &["20000"])?;
    let mut command = std::process::Command::new(binary()?);
    command.args(["trace", "--format", "json", "--pid", &target.pid().to_string(), "--budget", "2%"]);
    let goflow = Goflow::spawn(&mut command)?.attached()?;
    let before = target.operations()?;
    let start = Instant::now();
    // An estimate needs some windows to know its error by.
    wait_for_windows(&goflow, "channels", 8, LONG * 2)?;
    let (span, operations) = (start.elapsed(), target.operations()? - before);
    let session = goflow.stop()?;
    ensure!(level(&session, "channels")?.mode == "sampled", "{:?}", session.summary.coverage);
    let sends = session.summary.hits.iter().find(|hits| hits.probe == "chansend").context("no chansend")?;
    let estimate = sends.estimated.context("no estimate")?;
    let (hits, error) = (estimate.hits.context("no number")?, estimate.error.context("no error")?);
    // The program was asked a little after goflow began and a little before it ended.
    let scale = session.summary.duration_ns as f64 / span.as_nanos() as f64;
    let truth = operations as f64 * scale;
    let off = (hits as f64 - truth).abs();
    // Twice the error that 19 of 20 estimates keep to, so that 1 of 10,000 does not.
    ensure!(off <= 2.0 * error as f64 + 0.02 * truth, "{estimate:?} of {truth}");
    ensure!(sends.hits < hits / 2 && error < hits / 3, "{sends:?}");
    target.finish()
}

#[test]
fn a_load_that_grows_a_thousandfold_is_watched_in_windows_and_as_before_once_it_calms() -> Result<()> {
    let mut target = Target::start(&Program::named("paced").build()?, &["4000000", "4000", "4000000"])?;
    let mut command = std::process::Command::new(binary()?);
    command.args(["trace", "--format", "json", "--pid", &target.pid().to_string(), "--budget", "2%"]);
    let goflow = Goflow::spawn(&mut command)?.attached()?;
    std::thread::sleep(LONG / 2);
    ensure!(!goflow.printed().contains(r#""type":"coverage""#), "{}", goflow.printed());
    target.order("n")?;
    wait_for_windows(&goflow, "channels", 4, LONG * 2)?;
    target.order("n")?;
    // What it has paid for the burst may last for ten seconds.
    let start = Instant::now();
    let is_continuous = || {
        let printed = goflow.printed();
        let last = printed.lines().rev().find(|line| line.contains(r#""type":"coverage""#));
        last.is_some_and(|line| line.contains(r#""watched":true,"mode":"continuous""#))
    };
    while !is_continuous() {
        ensure!(start.elapsed() < LONG * 20, "it is still watched in windows");
        std::thread::sleep(LONG / 6);
    }
    let session = goflow.stop()?;
    ensure!(level(&session, "channels")?.mode == "continuous", "{:?}", session.summary.coverage);
    ensure!(level(&session, "lifecycle")?.windows == 1, "{:?}", session.summary.coverage);
    keeps_to(&session, 0.02)?;
    target.assert_text_is_untouched()?;
    target.finish()
}

/// Of every ten seconds the hits have taken no more than a part. The machine may hold up goflow for longer than it can foresee.
fn keeps_to(session: &Session, part: f64) -> Result<()> {
    let told = &session.progress;
    for (index, from) in told.iter().enumerate() {
        let is_ten = |to: &&goflow_tests::stream::Progress| to.elapsed_ns - from.elapsed_ns >= 10_000_000_000;
        let Some(to) = told[index..].iter().find(is_ten) else { break };
        let cost = to.cost_ns.saturating_sub(from.cost_ns) as f64;
        let used =
            to.target_cpu_ns.context("no time")?.saturating_sub(from.target_cpu_ns.context("no time")?);
        ensure!(cost <= 2.0 * part * used as f64, "{from:?} {to:?}");
    }
    Ok(())
}

#[test]
fn where_probes_come_out_slowly_what_does_not_fit_stays_out_and_that_is_said() -> Result<()> {
    let mut target = Target::start::<&str>(&Program::named("pingpong").build()?, &[])?;
    let (session, _) = trace(&mut target, "2%", &["--attach", "perf"], Duration::from_secs(5))?;
    ensure!(level(&session, "channels")?.mode == "removed", "{:?}", session.summary.coverage);
    ensure!(level(&session, "lifecycle")?.mode == "continuous", "{:?}", session.summary.coverage);
    ensure!(
        session.coverage.iter().all(|one| !one.watched && one.mode == "removed"),
        "{:?}",
        session.coverage
    );
    target.assert_text_is_untouched()?;
    target.finish()
}

#[test]
fn a_budget_that_is_none_is_refused_with_what_one_is() -> Result<()> {
    let target = Target::start::<&str>(&Program::named("pingpong").build()?, &[])?;
    let pid = target.pid().to_string();
    for (budget, words) in [
        ("2", ["percent sign", "none"]),
        ("0%", ["0.01%", "--level snapshot"]),
        ("200%", ["100%", "none"]),
        ("NaN%", ["100%", "none"]),
        ("much%", ["much", "number"]),
    ] {
        run(&["trace", "--pid", &pid, "--budget", budget])?.assert_refused(&words)?;
    }
    target.assert_text_is_untouched()?;
    target.finish()
}
