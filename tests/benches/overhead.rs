//! What a target loses to goflow, and whether goflow knows: run by `cargo xtask bench overhead`.
//!
//! Each row is a program under load, each column a way to look at it; a measurement stands between two without goflow, and
//! what is printed is the median of the ratios. Throughput and the 99th percentile of the latency are the target's own
//! figures, or those of wrk where that makes the load.

mod overhead {
    pub(crate) mod estimates;
}

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use goflow_tests::goflow::binary;
use goflow_tests::programs::Program;
use goflow_tests::services::Service;
use goflow_tests::stats::{median, spread};
use goflow_tests::target::Target;
use goflow_tests::{PATIENCE, until};
use goflow_user::binary::GoBinary;
use goflow_user::probe::attach::{self, Scope};
use goflow_user::probe::catalog::Level;
use goflow_user::probe::load::{self, AttachMethod};
use goflow_user::probe::plan;
use goflow_user::target::executable::Executable;
use goflow_user::target::host;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// Interleaved rounds, unless another number is given.
const ROUNDS: usize = 7;
/// How long a measurement is; that of the budget is as long as the time over which it is held.
const WINDOW: Duration = Duration::from_secs(3);
const BUDGET_WINDOW: Duration = Duration::from_secs(10);
/// What rates need to settle after probes went in or out.
const SETTLE: Duration = Duration::from_millis(200);

/// A way to look at the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    /// `goflow trace` at this level, whatever it costs.
    Unlimited(&'static str),
    /// `goflow trace` as it is without options.
    Default,
    /// bpftrace counts calls of the same functions.
    Bpftrace,
}

const LOOKS: [Look; 5] = [
    Look::Unlimited("lifecycle"),
    Look::Unlimited("blocking"),
    Look::Unlimited("channels"),
    Look::Default,
    Look::Bpftrace,
];

impl Look {
    /// The column on the command line.
    fn word(self) -> &'static str {
        match self {
            Self::Unlimited(level) => level,
            Self::Default => "default",
            Self::Bpftrace => "bpftrace",
        }
    }

    fn name(self) -> String {
        match self {
            Self::Unlimited(level) => format!("{level}, no budget"),
            Self::Default => "default budget".to_owned(),
            Self::Bpftrace => "bpftrace count()".to_owned(),
        }
    }
}

/// Rows, by name.
const ROWS: [(&str, &str); 10] = [
    ("pingpong", "two goroutines that do nothing but wake each other"),
    ("buffered", "one goroutine that does nothing but send and receive"),
    ("paced", "one goroutine, 20 µs of work for a send and a receive"),
    ("pipeline", "three stages, 2 µs of work in each, buffers of 64"),
    ("pool", "eight workers, 20 µs a job, a mutex"),
    ("churn", "a goroutine for each 9 µs of work"),
    ("idle", "100,000 goroutines that wait, and two that work"),
    ("http", "net/http and four workers under wrk"),
    ("caddy", "Debian's caddy serves a file to wrk"),
    ("etcd", "Debian's etcd stores what wrk posts"),
];

fn main() -> Result<()> {
    // `cargo bench` passes `--bench`; a number is that of the rounds, anything else selects rows and columns by name.
    let words: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let rounds = words.iter().find_map(|word| word.parse().ok()).unwrap_or(ROUNDS);
    let (looks, names): (Vec<&String>, Vec<&String>) = words
        .iter()
        .filter(|word| word.parse::<usize>().is_err())
        .partition(|word| LOOKS.iter().any(|look| look.word() == **word));
    if names.iter().any(|name| *name == "turn") {
        return turn(rounds);
    }
    if names.iter().any(|name| *name == "own") {
        return own(rounds);
    }
    if names.iter().any(|name| *name == "estimates") {
        return overhead::estimates::run(rounds);
    }
    if let Some(unknown) = names.iter().find(|name| !ROWS.iter().any(|(known, _)| known == *name)) {
        let words = LOOKS.map(Look::word);
        bail!(
            "{unknown} is none of the rows {:?} and none of the columns {words:?}",
            ROWS.map(|(name, _)| name)
        );
    }
    let is_wanted = |look: &Look| looks.is_empty() || looks.iter().any(|word| *word == look.word());
    let looks: Vec<Look> = LOOKS.into_iter().filter(is_wanted).collect();
    println!(
        "What the target loses ({rounds} interleaved rounds, medians of the ratios to its neighbours without goflow)\n"
    );
    for (name, what) in ROWS {
        if names.is_empty() || names.iter().any(|wanted| *wanted == name) {
            row(name, what, rounds, &looks)?;
        }
    }
    Ok(())
}

/// Putting probes in and taking them out again, in a second, and how many.
const TURNS: u32 = 20;

/// What it takes from a target that its probes go in and out, though it never hits one.
fn turn(rounds: usize) -> Result<()> {
    println!(
        "What it takes from the target that the probes of a level go in and out again ({rounds} interleaved rounds)\n"
    );
    for name in ["pipeline", "pool"] {
        let mut load = Load::start(name)?;
        let executable = Executable::open(&load.executable)?;
        let (offsets, _) = executable.binary().offsets()?;
        // Neither creates goroutines once it runs.
        let plan = plan::Plan::new(executable.binary(), &offsets, Level::Lifecycle, 0);
        let kernel = host::kernel_version(&host::kernel_release()).context("no kernel version")?;
        let scope = Scope::Processes(vec![goflow_user::target::Pid(load.target.pid())]);
        let (mut lost, mut took) = (Vec::new(), Vec::new());
        thread::sleep(Duration::from_secs(1));
        let mut before = load.measure(WINDOW)?;
        for _ in 0..rounds {
            let (programs, _kernel_side) = load::load(&plan, AttachMethod::UprobeMulti, false, 1 << 20)?;
            let stop = AtomicBool::new(false);
            let with = thread::scope(|scope_of_threads| -> Result<Measured> {
                let turning = scope_of_threads.spawn(|| -> Result<Vec<f64>> {
                    let mut took = Vec::new();
                    while !stop.load(Ordering::Relaxed) {
                        let start = Instant::now();
                        let attached =
                            attach::attach(&programs, &plan, executable.as_fd(), &scope, kernel, None)?;
                        took.push(start.elapsed().as_secs_f64() * 1e3);
                        let _ = attached.detach();
                        thread::sleep((Duration::from_secs(1) / TURNS).saturating_sub(start.elapsed()));
                    }
                    Ok(took)
                });
                let measured = load.measure(WINDOW);
                stop.store(true, Ordering::Relaxed);
                took.extend(turning.join().map_err(|_| anyhow::anyhow!("the thread panicked"))??);
                measured
            })?;
            let after = load.measure(WINDOW)?;
            let turns = took.len() as f64 / (lost.len() + 1) as f64 / WINDOW.as_secs_f64();
            // Both use two CPUs.
            lost.push((1.0 - with.rate / f64::midpoint(before.rate, after.rate)) * 2e3 / turns);
            before = after;
        }
        println!(
            "  {name:10} {:>6.2} ms of CPU time ± {:.2}; going in takes {:.1} ms",
            median(&lost),
            spread(&lost),
            median(&took)
        );
    }
    Ok(())
}

/// Messages a second of the program whose goroutines all do a little; each is four events.
const STEADY: &str = "12500";

/// What goflow itself uses while it writes down every event of a program that makes 50,000 a second: at the beginning and after
/// each of so many rounds.
fn own(rounds: usize) -> Result<()> {
    println!("What goflow itself uses at 50,000 events a second, all of them written as JSON\n");
    for goroutines in ["2000", "10000"] {
        let executable = Program::named("steady").build()?;
        let mut command = Command::new(&executable);
        let mut target = Target::spawn(command.args([goroutines, STEADY]), &executable)?;
        target.line()?;
        let goflow = Goflow::start(target.pid(), &["--budget", "none"])?;
        thread::sleep(Duration::from_secs(2));
        for round in 1..=rounds {
            let (start, before) = (Instant::now(), goflow.ticks()?);
            thread::sleep(BUDGET_WINDOW);
            let share = (goflow.ticks()? - before) / start.elapsed().as_secs_f64();
            println!(
                "  {goroutines:>6} goroutines, after {:>4} s: {share:.1} % of one CPU, {:.1} MiB now, {:.1} MiB at most",
                2 + round as u64 * BUDGET_WINDOW.as_secs(),
                goflow.mib("VmRSS:")?,
                goflow.mib("VmHWM:")?
            );
        }
        goflow.finish(&mut Samples::default())?;
        target.finish()?;
    }
    Ok(())
}

/// What was measured of one look.
#[derive(Default)]
struct Samples {
    throughput: Vec<f64>,
    p99: Vec<f64>,
    /// What goflow says it took of the target's CPU time, by its probes and by its own work.
    told: Vec<f64>,
    /// Of one CPU.
    goflow_cpu: Vec<f64>,
    goflow_mib: Vec<f64>,
}

fn row(name: &str, what: &str, rounds: usize, looks: &[Look]) -> Result<()> {
    let mut load = Load::start(name)?;
    let mut samples: Vec<Samples> = looks.iter().map(|_| Samples::default()).collect();
    let mut baseline = Vec::new();
    thread::sleep(Duration::from_secs(1));
    for _ in 0..rounds {
        let mut before = load.measure(WINDOW)?;
        for (&look, samples) in looks.iter().zip(&mut samples) {
            let with = load.measure_with(look, samples)?;
            thread::sleep(SETTLE);
            let after = load.measure(WINDOW)?;
            baseline.push(before.rate);
            samples.throughput.push(with.rate / f64::midpoint(before.rate, after.rate));
            if let (Some(before), Some(with), Some(after)) = (before.p99, with.p99, after.p99) {
                samples.p99.push(with / f64::midpoint(before, after));
            }
            before = after;
        }
    }
    println!(
        "{name}: {what}; {:.0} operations/s ± {:.1} %",
        median(&baseline),
        percent(spread(&baseline) / median(&baseline))
    );
    println!(
        "  {:22} {:>10} {:>7} {:>8} {:>7} {:>8} {:>8} {:>8}",
        "", "throughput", "±", "p99", "±", "told", "CPU", "RSS"
    );
    for (look, samples) in looks.iter().zip(&samples) {
        let ratio = |values: &[f64]| {
            if values.is_empty() { "–".to_owned() } else { format!("{:.3}", median(values)) }
        };
        let spread = |values: &[f64]| {
            if values.is_empty() { "–".to_owned() } else { format!("{:.3}", spread(values)) }
        };
        let share = |values: &[f64]| {
            if values.is_empty() { "–".to_owned() } else { format!("{:.1} %", median(values)) }
        };
        let memory = |values: &[f64]| {
            if values.is_empty() { "–".to_owned() } else { format!("{:.0} MiB", median(values)) }
        };
        println!(
            "  {:22} {:>10} {:>7} {:>8} {:>7} {:>8} {:>8} {:>8}",
            look.name(),
            ratio(&samples.throughput),
            spread(&samples.throughput),
            ratio(&samples.p99),
            spread(&samples.p99),
            share(&samples.told),
            share(&samples.goflow_cpu),
            memory(&samples.goflow_mib)
        );
    }
    println!();
    // A service would not end by itself.
    drop(load);
    Ok(())
}

fn percent(part: f64) -> f64 {
    part * 100.0
}

/// Operations a second, and the 99th percentile of how long one took, in any unit.
struct Measured {
    rate: f64,
    p99: Option<f64>,
}

/// A program under load.
struct Load {
    target: Target,
    executable: PathBuf,
    /// Where wrk sends its requests, and what it is told besides.
    wrk: Option<Vec<String>>,
    _directory: TempDir,
}

impl Load {
    fn start(name: &str) -> Result<Self> {
        let directory = TempDir::new()?;
        match name {
            "caddy" => return Self::caddy(directory),
            "etcd" => return Self::etcd(directory),
            _ => {}
        }
        let (program, arguments): (&str, &[&str]) = match name {
            "pingpong" | "buffered" => (name, &[]),
            "paced" => ("paced", &["20000"]),
            "idle" => ("many", &["100000", "2"]),
            load => ("loads", &[load]),
        };
        let executable = Program::named(program).build()?;
        let mut command = Command::new(&executable);
        let mut target = Target::spawn(command.args(arguments), &executable)?;
        let first = target.line()?;
        let wrk = first.strip_prefix("port ").map(|port| vec![format!("http://127.0.0.1:{port}/")]);
        if wrk.is_some() {
            target.line()?;
        }
        Ok(Self { target, executable, wrk, _directory: directory })
    }

    fn caddy(directory: TempDir) -> Result<Self> {
        let port = free_port()?;
        fs::write(directory.path().join("file.txt"), "a line of text\n".repeat(100))?;
        let executable = Service::Caddy.executable()?;
        let mut command = Command::new(&executable);
        command.arg("file-server").arg("--root").arg(directory.path()).env("HOME", directory.path());
        command.arg("--listen").arg(format!("127.0.0.1:{port}"));
        Self::service(command, executable, port, vec![format!("http://127.0.0.1:{port}/file.txt")], directory)
    }

    fn etcd(directory: TempDir) -> Result<Self> {
        let (port, peers) = (free_port()?, free_port()?);
        let executable = Service::Etcd.executable()?;
        let mut command = Command::new(&executable);
        command.arg("--data-dir").arg(directory.path().join("data")).arg("--unsafe-no-fsync");
        for (option, port) in [
            ("listen-client-urls", port),
            ("advertise-client-urls", port),
            ("listen-peer-urls", peers),
            ("initial-advertise-peer-urls", peers),
        ] {
            command.arg(format!("--{option}=http://127.0.0.1:{port}"));
        }
        command.arg(format!("--initial-cluster=default=http://127.0.0.1:{peers}"));
        let script = directory.path().join("put.lua");
        fs::write(&script, "wrk.method = 'POST'\nwrk.body = '{\"key\":\"Zm9v\",\"value\":\"YmFy\"}'\n")?;
        let url = format!("http://127.0.0.1:{port}/v3/kv/put");
        Self::service(
            command,
            executable,
            port,
            vec!["-s".to_owned(), script.display().to_string(), url],
            directory,
        )
    }

    fn service(
        mut command: Command,
        executable: PathBuf,
        port: u16,
        wrk: Vec<String>,
        directory: TempDir,
    ) -> Result<Self> {
        let target = Target::spawn(&mut command, &executable)?;
        until(
            "the service listens",
            PATIENCE,
            || Ok(std::net::TcpStream::connect(("127.0.0.1", port)).ok()),
        )?;
        Ok(Self { target, executable, wrk: Some(wrk), _directory: directory })
    }

    fn measure(&mut self, window: Duration) -> Result<Measured> {
        match &self.wrk {
            Some(words) => wrk(words, window),
            None => self.ask_over(window),
        }
    }

    /// What the target itself counts.
    fn ask_over(&mut self, window: Duration) -> Result<Measured> {
        let mut ask = || -> Result<(Instant, Value)> {
            let line = self.target.ask()?;
            Ok((Instant::now(), serde_json::from_str(&line)?))
        };
        let (start, before) = ask()?;
        thread::sleep(window);
        let (end, after) = ask()?;
        let operations = |value: &Value| value["operations"].as_f64().context("no operations");
        let rate = (operations(&after)? - operations(&before)?) / (end - start).as_secs_f64();
        Ok(Measured { rate, p99: after["p99_ns"].as_f64().filter(|p99| *p99 > 0.0) })
    }

    fn measure_with(&mut self, look: Look, samples: &mut Samples) -> Result<Measured> {
        let pid = self.target.pid();
        match look {
            Look::Bpftrace => {
                let mut bpftrace = bpftrace(pid, &self.executable)?;
                let measured = self.measure(WINDOW);
                interrupt(&bpftrace.0)?;
                bpftrace.0.wait()?;
                measured
            }
            Look::Default => {
                // From the start on: the first moments cost most, and belong to what is promised.
                let goflow = Goflow::start(pid, &["--budget", "2%"])?;
                let measured = self.measure(BUDGET_WINDOW)?;
                goflow.finish(samples)?;
                Ok(measured)
            }
            Look::Unlimited(level) => {
                let goflow = Goflow::start(pid, &["--budget", "none", "--level", level])?;
                thread::sleep(SETTLE);
                let measured = self.measure(WINDOW)?;
                goflow.finish(samples)?;
                Ok(measured)
            }
        }
    }
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

/// Requests a second and the 99th percentile of their latency in milliseconds.
fn wrk(words: &[String], window: Duration) -> Result<Measured> {
    let mut wrk = Command::new("wrk");
    wrk.args(["-t1", "-c16", "--latency"]).arg(format!("-d{}s", window.as_secs())).args(words);
    let output = wrk.output().context("wrk is missing; `cargo xtask setup` installs it")?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success() && !text.contains("Non-2xx"), "wrk: {text}");
    let after = |title: &str| text.lines().find_map(|line| line.trim().strip_prefix(title)).map(str::trim);
    let rate = after("Requests/sec:").and_then(|rate| rate.parse().ok()).context("wrk tells no rate")?;
    Ok(Measured { rate, p99: after("99%").and_then(milliseconds) })
}

fn milliseconds(text: &str) -> Option<f64> {
    let unit = text.find(char::is_alphabetic)?;
    let scale = match &text[unit..] {
        "us" => 1e-3,
        "ms" => 1.0,
        "s" => 1e3,
        _ => return None,
    };
    Some(text[..unit].parse::<f64>().ok()? * scale)
}

/// A process that ends with its handle.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // One that has ended refuses.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn interrupt(child: &Child) -> Result<()> {
    Ok(kill_process(Pid::from_child(child), Signal::INT)?)
}

struct Goflow {
    process: Process,
    started: Instant,
}

impl Goflow {
    fn start(pid: u32, arguments: &[&str]) -> Result<Self> {
        let mut command = Command::new(binary()?);
        command.args(["trace", "--format", "json", "--output", "/dev/null", "--color", "never"]);
        command.args(["--pid", &pid.to_string()]).args(arguments);
        let process = Process(command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?);
        Ok(Self { process, started: Instant::now() })
    }

    /// CPU time, in hundredths of a second: utime and stime (proc_pid_stat(5)).
    fn ticks(&self) -> Result<f64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.process.0.id()))?;
        let fields: Vec<f64> = stat
            .rsplit(')')
            .next()
            .unwrap_or("")
            .split_whitespace()
            .filter_map(|field| field.parse().ok())
            .collect();
        Ok(fields.get(10..12).context("no times in stat")?.iter().sum())
    }

    /// Of its memory, by the name that proc_pid_status(5) has for it.
    fn mib(&self, key: &str) -> Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.0.id()))?;
        let size = status.lines().find_map(|line| line.strip_prefix(key)).context("no such size")?;
        Ok(size.trim().trim_end_matches(" kB").parse::<f64>()? / 1024.0)
    }

    /// Ends it, and reads what it told and used.
    fn finish(mut self, samples: &mut Samples) -> Result<()> {
        samples.goflow_cpu.push(self.ticks()? / self.started.elapsed().as_secs_f64());
        samples.goflow_mib.push(self.mib("VmHWM:")?);
        interrupt(&self.process.0)?;
        let stderr = self.process.0.stderr.take().context("no pipe")?;
        let lines: Vec<String> = BufReader::new(stderr).lines().collect::<std::io::Result<_>>()?;
        ensure!(self.process.0.wait()?.success(), "goflow: {}", lines.join("\n"));
        let cost =
            lines.iter().find_map(|line| line.trim().strip_prefix("cost")).context("goflow tells no cost")?;
        let told =
            cost.trim().trim_start_matches("≈ ").split(' ').next().and_then(|share| share.parse().ok());
        let own = lines
            .iter()
            .find_map(|line| line.trim().strip_prefix("goflow  "))
            .context("goflow tells not what it used")?;
        let displaced =
            own.split_once(", ≈ ").and_then(|(_, rest)| rest.split(' ').next()?.parse::<f64>().ok());
        samples.told.push(told.unwrap_or(100.0) + displaced.unwrap_or(0.0));
        Ok(())
    }
}

/// Counts calls of the functions that level `channels` probes.
fn bpftrace(pid: u32, file: &std::path::Path) -> Result<Process> {
    let executable = Executable::open(file)?;
    let binary: &GoBinary<'_> = executable.binary();
    let mut functions: Vec<&str> =
        plan::place(binary, Level::Channels).0.iter().map(|planned| planned.function).collect();
    functions.dedup();
    // A stripped file has no symbols to go by.
    let place = |function: &&str| -> Option<String> {
        let at = binary.function(function)?.range.start;
        Some(format!("uprobe:{}:{at}", file.display()))
    };
    let probes: Vec<String> = functions.iter().filter_map(place).collect();
    let script = format!("BEGIN {{ printf(\"in\\n\"); }} {} {{ @ = count(); }}", probes.join(", "));
    let mut command = Command::new("bpftrace");
    command.args(["--unsafe", "-p", &pid.to_string(), "-e", &script]);
    let mut child = Process(command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?);
    let stdout = child.0.stdout.take().context("no pipe")?;
    let started = BufReader::new(stdout).lines().map_while(Result::ok).any(|line| line == "in");
    ensure!(started, "bpftrace did not attach: {script}");
    // Its BEGIN runs before its other probes are in.
    thread::sleep(Duration::from_secs(1));
    Ok(child)
}
