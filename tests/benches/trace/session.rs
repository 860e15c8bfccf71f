//! A whole `goflow trace`: from its start to the first event, its detach, and how many events reach a file.

use anyhow::{Context, Result, ensure};
use goflow_tests::goflow::binary;
use goflow_tests::programs::{Flavour, Program};
use goflow_tests::services::Service;
use goflow_tests::stats::median;
use goflow_tests::target::Target;
use serde_json::Value;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Attaches measured for each row.
const ATTACHES: usize = 9;
/// How long events are written to a file.
const STREAM: Duration = Duration::from_secs(5);
/// Where caddy listens.
const ADDRESS: &str = "127.0.0.1:18180";

/// Prints the section.
pub(crate) fn run() -> Result<()> {
    println!("Start of goflow to the first event on its output, and detach ({ATTACHES} rounds, ms)\n");
    println!("  {:<46} {:>8} {:>8} {:>8} {:>8}", "target", "median", "worst", "detach", "worst");
    let storm = storm()?;
    for method in ["uprobe-multi", "perf"] {
        row(&format!("storm, every CPU busy, {method}"), storm.pid(), method)?;
    }
    storm.finish()?;
    let caddy = Caddy::start()?;
    for method in ["uprobe-multi", "perf"] {
        let label = format!("caddy ({} MB, stripped) under wrk, {method}", caddy.megabytes);
        row(&label, caddy.process.0.id(), method)?;
    }
    drop(caddy);
    println!();
    stream()
}

fn storm() -> Result<Target> {
    let binary = Program::named("storm").flavour(Flavour::Stripped).build()?;
    Target::start::<&str>(&binary, &[])
}

/// A process that ends with its handle.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself; then both are refused.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Debian's caddy as shipped, answering wrk on every CPU.
struct Caddy {
    process: Process,
    _load: Process,
    megabytes: u64,
}

impl Caddy {
    fn start() -> Result<Self> {
        let caddy = Service::Caddy.executable()?;
        let size = fs::metadata(&caddy)?.len();
        let process = Process(
            Command::new(&caddy)
                .args(["respond", "--listen", ADDRESS, "--body", "hello"])
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()?,
        );
        let deadline = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(ADDRESS).is_err() {
            ensure!(Instant::now() < deadline, "caddy does not listen on {ADDRESS}");
            thread::sleep(Duration::from_millis(20));
        }
        let load = Command::new("wrk")
            .args(["-t2", "-c32", "-d120s", &format!("http://{ADDRESS}/")])
            .stdout(Stdio::null())
            .spawn()
            .context("wrk is missing; `cargo xtask setup --for bench` installs it")?;
        thread::sleep(Duration::from_millis(500));
        Ok(Self { process, _load: Process(load), megabytes: size >> 20 })
    }
}

fn row(label: &str, pid: u32, method: &str) -> Result<()> {
    let (mut firsts, mut detaches) = (Vec::new(), Vec::new());
    for _ in 0..ATTACHES {
        let (first, detach) = attach_once(pid, method)?;
        firsts.push(first);
        detaches.push(detach);
    }
    let worst = |values: &[f64]| values.iter().copied().fold(0.0, f64::max);
    println!(
        "  {label:<46} {:>8.0} {:>8.0} {:>8.0} {:>8.0}",
        median(&firsts),
        worst(&firsts),
        median(&detaches),
        worst(&detaches)
    );
    Ok(())
}

/// Milliseconds from the start of goflow to the first event it prints, and for its detach.
fn attach_once(pid: u32, method: &str) -> Result<(f64, f64)> {
    let started = Instant::now();
    let mut goflow = Process(
        Command::new(binary()?)
            .args(["trace", "--pid", &pid.to_string(), "--duration", "500ms", "--format", "json"])
            // With a budget the probes of a busy target are out before the end.
            .args(["--attach", method, "--budget", "none"])
            .stdout(Stdio::piped())
            .spawn()?,
    );
    let stdout = goflow.0.stdout.take().context("no pipe")?;
    let (mut first, mut last) = (None, String::new());
    for line in BufReader::new(stdout).lines() {
        last = line?;
        if first.is_none() && last.starts_with(r#"{"type":"event""#) {
            first = Some(started.elapsed().as_secs_f64() * 1e3);
        }
    }
    let summary: Value = serde_json::from_str(&last)?;
    let detach = summary["detach_ns"].as_f64().context("the summary has no detach_ns")? / 1e6;
    Ok((first.context("no event came")?, detach))
}

/// A target that fires probes as fast as one CPU can, into a file.
fn stream() -> Result<()> {
    let target = Target::start::<&str>(&Program::named("buffered").build()?, &[])?;
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("events.json");
    let mut goflow = Process(
        Command::new(binary()?)
            .args(["trace", "--budget", "none", "--pid", &target.pid().to_string()])
            .args(["--format", "json", "--output"])
            .arg(&file)
            .args(["--duration", &format!("{}s", STREAM.as_secs())])
            .spawn()?,
    );
    thread::sleep(STREAM - Duration::from_millis(200));
    let status = fs::read_to_string(format!("/proc/{}/status", goflow.0.id()))?;
    ensure!(goflow.0.wait()?.success(), "goflow failed");
    target.finish()?;
    let summary: Value = serde_json::from_str(&last_line(&file)?)?;
    let total = |key: &str| -> u64 {
        summary[key].as_object().into_iter().flat_map(|map| map.values()).filter_map(Value::as_u64).sum()
    };
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("unknown").trim();
    println!("Events into a file as JSON lines ({STREAM:?})\n");
    println!("  events a second  {:>12.0}", total("counts") as f64 / STREAM.as_secs_f64());
    println!("  lost             {:>12}", total("lost"));
    println!("  peak RSS         {peak:>15}");
    println!("  file             {:>9} MB", fs::metadata(&file)?.len() >> 20);
    Ok(())
}

fn last_line(file: &std::path::Path) -> Result<String> {
    use std::io::{Read as _, Seek as _, SeekFrom};
    let mut file = fs::File::open(file)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(1 << 16)))?;
    let mut end = String::new();
    file.read_to_string(&mut end)?;
    Ok(end.lines().last().unwrap_or_default().to_owned())
}
