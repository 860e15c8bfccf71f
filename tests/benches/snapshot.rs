//! What snapshots take, and what they cost the target: run by `cargo xtask bench snapshot`.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use goflow_tests::programs::{Flavour, Program};
use goflow_tests::stats::{median, spread};
use goflow_tests::target::Target;
use goflow_user::target::Pid;
use goflow_user::target::executable::Executable;
use goflow_user::target::memory::ProcessMemory;
use goflow_user::target::process::load_bias;
use goflow_user::target::snapshot::reader::{Options, Reader};
use rustix::time::{ClockId, clock_gettime};

/// Goroutines, rounds, and the time promised in milliseconds.
const SIZES: [(usize, usize, f64); 3] = [(2_000, 51, 2.0), (100_000, 11, 100.0), (1_000_000, 5, 1500.0)];

/// Between two snapshots of the cost section.
const EVERY: Duration = Duration::from_millis(100);
/// Pairs of rounds, with and without snapshots.
const PAIRS: usize = 15;
/// How long a round is.
const ROUND: Duration = Duration::from_millis(1000);

fn main() -> Result<()> {
    // `cargo bench` passes `--bench`; anything else selects sections by name, and of the times those with so many goroutines.
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let run = |name: &str| wanted.is_empty() || wanted.iter().any(|word| word == name);
    let sizes: Vec<usize> = wanted.iter().filter_map(|word| word.parse().ok()).collect();
    if run("time") || !sizes.is_empty() {
        time(&sizes)?;
    }
    if run("cost") {
        cost()?;
    }
    Ok(())
}

fn many(goroutines: usize, workers: usize) -> Result<Target> {
    let program = Program::named("many").flavour(Flavour::Stripped).build()?;
    Target::start(&program, &[goroutines.to_string(), workers.to_string()])
}

/// What a snapshot takes, in this process, with everything that is known of the binary at hand.
fn time(sizes: &[usize]) -> Result<()> {
    println!("One snapshot, ms (median and worst of the rounds; of its CPU time the median)\n");
    println!(
        "  {:>10} {:>9} {:>9} {:>9} {:>9}   {:>9} {:>9} {:>9}",
        "goroutines", "promised", "median", "worst", "cpu", "stacks", "worst", "cpu"
    );
    let wanted = |goroutines| sizes.is_empty() || sizes.contains(&goroutines);
    for (goroutines, rounds, promised) in SIZES.into_iter().filter(|&(goroutines, ..)| wanted(goroutines)) {
        let target = many(goroutines, 0)?;
        let plain = measure(&target, goroutines, rounds, false)?;
        let stacks = measure(&target, goroutines, rounds.min(5), true)?;
        println!("  {goroutines:>10} {promised:>9.1} {plain}   {stacks}");
        target.finish()?;
    }
    println!();
    Ok(())
}

/// What was measured, as it is printed.
fn measure(target: &Target, goroutines: usize, rounds: usize, stacks: bool) -> Result<String> {
    let pid = Pid(target.pid());
    let executable = Executable::of_process(pid)?;
    let bias = load_bias(pid, executable.binary().image().lowest_address())?;
    let mut reader = Reader::new(executable.binary(), bias)?;
    let memory = ProcessMemory::of(pid);
    let options = Options { stacks, ..Options::default() };
    let (mut took, mut cpu) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let (start, start_cpu) = (Instant::now(), cpu_ms());
        let snapshot = reader.take(&memory, options)?;
        took.push(start.elapsed().as_secs_f64() * 1e3);
        cpu.push(cpu_ms() - start_cpu);
        ensure!(snapshot.goroutines.len() > goroutines, "{} goroutines", snapshot.goroutines.len());
        ensure!(snapshot.unknown.is_empty(), "{:?}", &snapshot.unknown[..1]);
    }
    let worst = took.iter().copied().fold(0.0, f64::max);
    Ok(format!("{:>9.2} {worst:>9.2} {:>9.2}", median(&took), median(&cpu)))
}

/// CPU time of this thread in milliseconds: on a busy machine, what a snapshot would take on an idle one.
fn cpu_ms() -> f64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    now.tv_sec as f64 * 1e3 + now.tv_nsec as f64 / 1e6
}

/// The throughput of a target with 2,000 goroutines while it is read ten times a second, against rounds in which it is not.
fn cost() -> Result<()> {
    let mut target = many(2_000, 1)?;
    let pid = Pid(target.pid());
    let executable = Executable::of_process(pid)?;
    let bias = load_bias(pid, executable.binary().image().lowest_address())?;
    let mut ratios = Vec::new();
    let mut taken = 0_usize;
    for pair in 0..PAIRS {
        // Which comes first alternates, so that a drift of the machine disturbs both alike.
        let rates = [pair % 2 == 0, pair % 2 != 0].map(|reads| -> Result<(bool, f64)> {
            let stop = AtomicBool::new(false);
            thread::scope(|scope| {
                let reading = scope.spawn(|| -> Result<usize> {
                    let mut reader = Reader::new(executable.binary(), bias)?;
                    let mut count = 0;
                    while reads && !stop.load(Ordering::Relaxed) {
                        reader
                            .take(&ProcessMemory::of(pid), Options { stacks: false, ..Options::default() })?;
                        count += 1;
                        thread::sleep(EVERY);
                    }
                    Ok(count)
                });
                let rate = target.rate(ROUND);
                stop.store(true, Ordering::Relaxed);
                taken += reading.join().map_err(|_| anyhow::anyhow!("the reader panicked"))??;
                Ok((reads, rate?))
            })
        });
        let [first, second] = rates;
        let (first, second) = (first?, second?);
        let (with, without) = if first.0 { (first.1, second.1) } else { (second.1, first.1) };
        ratios.push(with / without);
    }
    target.finish().context("the target")?;
    println!(
        "Throughput with 10 snapshots a second of 2,000 goroutines, as a ratio ({PAIRS} pairs of {ROUND:?})\n"
    );
    println!(
        "  promised 0.98   median {:.3}   ± {:.3}   {taken} snapshots",
        median(&ratios),
        spread(&ratios)
    );
    Ok(())
}
