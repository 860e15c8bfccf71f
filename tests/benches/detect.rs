//! How well `goflow check` finds what is wrong: run by `cargo xtask bench detect`.
//!
//! Every kernel of the corpus runs as a process of its own and is checked for three seconds, some side by side. Words select
//! kernels and classes by name; `go1.18.10` the Go that builds them. `pass` is what looks at many goroutines take.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use goflow_tests::corpus::{Kernel, Score};
use goflow_tests::goflow;
use goflow_tests::programs::Program;
use goflow_tests::stats::median;
use goflow_tests::target::Target;
use goflow_user::detect::{Detection, Thresholds};
use goflow_user::pipeline::examine::{Examination, Moment};
use goflow_user::target::Pid;
use goflow_user::target::executable::Executable;
use goflow_user::target::memory::ProcessMemory;
use goflow_user::target::process::load_bias;
use goflow_user::target::reach::Limits;
use rustix::time::{ClockId, clock_gettime};

/// Kernels side by side.
const SIDE_BY_SIDE: usize = 6;

/// Goroutines of the pass, and how often it is measured.
const MANY: usize = 100_000;
/// See [`MANY`].
const ROUNDS: usize = 9;

/// A kernel is in its state so soon.
const SETTLED: Duration = Duration::from_millis(400);

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let go = words.iter().find_map(|word| word.strip_prefix("go1.").map(|rest| format!("1.{rest}")));
    let names: BTreeSet<&String> = words.iter().filter(|word| !word.starts_with("go1.")).collect();
    let mut program = Program::named("kernels");
    if let Some(go) = &go {
        program = program.go(go);
    }
    if names.is_empty() || names.contains(&"pass".to_owned()) {
        pass()?;
    }
    let executable = program.build()?;
    let is_wanted =
        |kernel: &Kernel| names.is_empty() || names.contains(&kernel.name) || names.contains(&kernel.class);
    let kernels: Vec<Kernel> = Kernel::all()?.into_iter().filter(is_wanted).collect();
    if kernels.is_empty() {
        return Ok(());
    }
    let scores = run_all(&kernels, &executable)?;
    print(&kernels, &scores);
    Ok(())
}

/// What a look at many goroutines takes, and of that the detectors.
fn pass() -> Result<()> {
    let target = Target::start(&Program::named("many").build()?, &[MANY.to_string(), "2".to_owned()])?;
    let pid = Pid(target.pid());
    let executable = Executable::of_process(pid)?;
    let bias = load_bias(pid, executable.binary().image().lowest_address())?;
    let memory = ProcessMemory::of(pid);
    let mut examination =
        Examination::new(executable.binary(), bias, Some(pid), |_| true, Thresholds::default())?;
    let (mut looks, mut passes) = (Taken::default(), Taken::default());
    let mut detection = Detection::default();
    for _ in 0..ROUNDS {
        looks.add(|| examination.look(&memory, Limits { bytes: 4 << 30, until: None }, Moment::Moving))?;
        let process = examination.process().context("the process is not in the model")?;
        ensure!(process.goroutines().count() >= MANY, "not all goroutines are in the model");
        passes.add(|| detection.look(process));
    }
    println!("A look at {MANY} goroutines that wait, beside two workers; ms, median and worst of {ROUNDS}\n");
    println!("  {:12} {:>18} {:>18}", "", "elapsed", "CPU time");
    println!("  {:12} {looks}\n  {:12} {passes}\n", "whole", "detectors");
    target.finish()
}

/// Milliseconds that something took each time: the workers have both CPUs of a small machine, so by the clock and on a CPU.
#[derive(Default)]
struct Taken {
    elapsed: Vec<f64>,
    on_cpu: Vec<f64>,
}

impl Taken {
    fn add<T>(&mut self, what: impl FnOnce() -> T) -> T {
        let cpu = || {
            let now = clock_gettime(ClockId::ThreadCPUTime);
            now.tv_sec as f64 * 1e3 + now.tv_nsec as f64 / 1e6
        };
        let (began, on_cpu) = (Instant::now(), cpu());
        let result = what();
        self.elapsed.push(began.elapsed().as_secs_f64() * 1e3);
        self.on_cpu.push(cpu() - on_cpu);
        result
    }
}

impl fmt::Display for Taken {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let worst = |times: &[f64]| times.iter().copied().fold(0.0, f64::max);
        let of = |times: &[f64]| format!("{:>9.1} {:>8.1}", median(times), worst(times));
        write!(out, "{} {}", of(&self.elapsed), of(&self.on_cpu))
    }
}

fn run_all(kernels: &[Kernel], executable: &Path) -> Result<BTreeMap<String, Score>> {
    let (next, scores) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    let worker = || -> Result<()> {
        while let Some(kernel) = kernels.get(next.fetch_add(1, Ordering::Relaxed)) {
            let score = check(kernel, executable).with_context(|| kernel.name.clone())?;
            scores
                .lock()
                .map_err(|_| anyhow::anyhow!("a thread panicked"))?
                .insert(kernel.name.clone(), score);
        }
        Ok(())
    };
    thread::scope(|scope| -> Result<()> {
        let workers: Vec<_> = (0..SIDE_BY_SIDE).map(|_| scope.spawn(worker)).collect();
        for worker in workers {
            worker.join().map_err(|_| anyhow::anyhow!("a thread panicked"))??;
        }
        Ok(())
    })?;
    scores.into_inner().map_err(|_| anyhow::anyhow!("a thread panicked"))
}

fn check(kernel: &Kernel, executable: &Path) -> Result<Score> {
    let target = Target::start(executable, &[&kernel.name])?;
    thread::sleep(SETTLED);
    let pid = target.pid().to_string();
    let output =
        Command::new(goflow::binary()?).args(["check", "--pid", &pid, "--format", "json"]).output()?;
    ensure!(output.status.code() != Some(2), "{}", String::from_utf8_lossy(&output.stderr));
    kernel.score(&serde_json::from_slice(&output.stdout)?)
}

fn print(kernels: &[Kernel], scores: &BTreeMap<String, Score>) {
    let mut classes: BTreeMap<&str, (usize, usize, usize, usize)> = BTreeMap::new();
    let mut confusion: BTreeMap<(String, String), BTreeMap<String, usize>> = BTreeMap::new();
    let (mut times, mut alarms) = (Vec::new(), 0);
    for kernel in kernels {
        let Some(score) = scores.get(&kernel.name) else { continue };
        let class = classes.entry(&kernel.class).or_default();
        class.0 += 1;
        class.1 += usize::from(score.found_after_ns.is_some());
        class.2 += kernel.stuck.len();
        class.3 += score.lines.iter().filter(|line| kernel.stuck.contains_key(line)).count();
        times.extend(score.found_after_ns.map(|ns| ns as f64 / 1e9));
        for (rule, confidence) in &score.rules {
            let expected = if kernel.is_correct() {
                "correct".to_owned()
            } else if kernel.expect.contains(rule) {
                "expected".to_owned()
            } else {
                "other fault".to_owned()
            };
            *confusion.entry((rule.clone(), confidence.clone())).or_default().entry(expected).or_default() +=
                1;
        }
        if !kernel.is_correct() && score.found_after_ns.is_none() {
            println!(
                "  missed       {:30} {:22} expected {:?}, found {:?}",
                kernel.name, kernel.class, kernel.expect, score.rules
            );
        }
        for alarm in &score.false_alarms {
            alarms += 1;
            println!("  false alarm  {:30} {:22} {alarm}", kernel.name, kernel.class);
        }
    }
    println!("\n  {:24} {:>8} {:>8} {:>8} {:>14}", "class", "kernels", "found", "recall", "stuck lines");
    let (mut all, mut found) = (0, 0);
    for (class, (count, hit, stuck, lines)) in &classes {
        let recall = if *class == "correct" { String::new() } else { percent(*hit, *count) };
        let lines = if *stuck > 0 { format!("{lines} of {stuck}") } else { String::new() };
        println!("  {class:24} {count:>8} {hit:>8} {recall:>8} {lines:>14}");
        if *class != "correct" {
            (all, found) = (all + count, found + hit);
        }
    }
    println!("\n  recall {}, {alarms} false alarms of likely or above", percent(found, all));
    if !times.is_empty() {
        times.sort_by(f64::total_cmp);
        println!(
            "  time to detect, from the first look: median {:.2} s, longest {:.2} s",
            median(&times),
            times.last().copied().unwrap_or(0.0)
        );
    }
    println!(
        "\n  {:24} {:10} {:>10} {:>12} {:>10}",
        "rule", "confidence", "expected", "other fault", "correct"
    );
    for ((rule, confidence), counts) in &confusion {
        let count = |what: &str| counts.get(what).copied().unwrap_or(0);
        println!(
            "  {rule:24} {confidence:10} {:>10} {:>12} {:>10}",
            count("expected"),
            count("other fault"),
            count("correct")
        );
    }
}

fn percent(part: usize, whole: usize) -> String {
    if whole == 0 { "–".to_owned() } else { format!("{:.1} %", 100.0 * part as f64 / whole as f64) }
}
