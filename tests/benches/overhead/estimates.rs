//! How near the truth the estimates of a session with the default budget are: of sends, of programs that count them.

use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use goflow_tests::goflow::{Goflow, binary};
use goflow_tests::programs::Program;
use goflow_tests::stats::median;
use goflow_tests::stream::Session;
use goflow_tests::target::Target;

/// How long each session is.
const SPAN: Duration = Duration::from_secs(60);

/// A program, what it is told, and how many times it sends for each of its operations.
const LOADS: [(&str, &[&str], u64); 5] = [
    ("pingpong", &[], 2),
    ("buffered", &[], 1),
    ("paced", &["20000"], 1),
    ("loads", &["pipeline"], 3),
    ("loads", &["pool"], 2),
];

/// What one session said.
struct Told {
    /// Of the truth, above or below.
    off: f64,
    /// What it said how far that may be, as a part of the truth.
    error: f64,
    windows: f64,
    watched: f64,
}

/// Prints the section.
pub(crate) fn run(rounds: usize) -> Result<()> {
    println!("Sends as estimated with a budget of 2 %, in sessions of {SPAN:?} ({rounds} rounds)\n");
    println!("  {:20} {:>8} {:>8} {:>10} {:>8} {:>8}", "", "off", "worst", "told", "windows", "watched");
    for (program, arguments, sends) in LOADS {
        let executable = Program::named(program).build()?;
        let told = (0..rounds)
            .map(|_| session(&executable, arguments, sends))
            .collect::<Result<Vec<_>>>()?
            .into_iter()
            .flatten()
            .collect::<Vec<_>>();
        let name = [&[program], arguments].concat().join(" ");
        if told.len() < rounds {
            println!("  {name:20} no estimate in {} of {rounds} rounds", rounds - told.len());
        }
        if told.is_empty() {
            continue;
        }
        let of = |value: fn(&Told) -> f64| told.iter().map(value).collect::<Vec<f64>>();
        let distances = of(|told| told.off.abs());
        println!(
            "  {name:20} {:>+6.1} % {:>6.1} % {:>8.1} % {:>8.0} {:>6.2} %",
            median(&of(|told| told.off)) * 100.0,
            distances.iter().copied().fold(0.0, f64::max) * 100.0,
            median(&of(|told| told.error)) * 100.0,
            median(&of(|told| told.windows)),
            median(&of(|told| told.watched)) * 100.0,
        );
    }
    Ok(())
}

/// `None` where nothing could be estimated.
fn session(executable: &Path, arguments: &[&str], sends: u64) -> Result<Option<Told>> {
    let mut target = Target::start(executable, arguments)?;
    let mut command = Command::new(binary()?);
    command.args(["trace", "--format", "json", "--pid", &target.pid().to_string(), "--budget", "2%"]);
    let goflow = Goflow::spawn(&mut command)?.attached()?;
    let (start, before) = (Instant::now(), target.operations()?);
    thread::sleep(SPAN);
    let (operations, span) = (target.operations()? - before, start.elapsed());
    let told = told(&goflow.stop()?, (operations * sends) as f64, span)?;
    target.finish()?;
    Ok(told)
}

fn told(session: &Session, sends: f64, span: Duration) -> Result<Option<Told>> {
    let summary = &session.summary;
    // The program was asked a little after goflow began and a little before it ended.
    let truth = sends * summary.duration_ns as f64 / span.as_nanos() as f64;
    let hits = summary.hits.iter().find(|hits| hits.probe == "chansend").context("no chansend")?;
    let coverage = summary.coverage.iter().find(|one| one.level == "channels").context("no channels")?;
    let estimate = match hits.estimated {
        None => Some((hits.hits, 0)),
        Some(estimated) => estimated.hits.zip(estimated.error),
    };
    Ok(estimate.map(|(hits, error)| Told {
        off: hits as f64 / truth - 1.0,
        error: error as f64 / truth,
        windows: coverage.windows as f64,
        watched: coverage.watched_ns as f64 / summary.duration_ns as f64,
    }))
}
