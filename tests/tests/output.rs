//! Where the events go: nothing is dropped without being counted, and an output that fails ends the session in order.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use goflow_tests::goflow::{Goflow, binary, on_a_terminal, run};
use goflow_tests::programs::Program;
use goflow_tests::target::Target;
use goflow_tests::{PATIENCE, until, wait_for};
use rustix::process::{Pid, Signal, kill_process};

fn storm() -> Result<Target> {
    Target::start(&Program::named("storm").build()?, &[""; 0])
}

/// A goflow that does not get to read, as on an overloaded machine: the kernel's buffer fills up.
#[test]
fn every_event_that_finds_the_buffer_full_is_counted_and_shown_as_lost() -> Result<()> {
    let target = storm()?;
    let goflow = Goflow::attach(&["--pid", &target.pid().to_string(), "--buffer", "64KiB"])?;
    goflow.signal(Signal::STOP)?;
    std::thread::sleep(Duration::from_millis(500));
    goflow.signal(Signal::CONT)?;
    // The harness refuses a stream in which hits are not events and losses, kind by kind and in sum.
    let session = goflow.stop()?;
    let ring = session.summary.lost.get("ring").copied().unwrap_or(0);
    ensure!(ring > 1000, "lost only {ring} of {} events", session.events.len());
    ensure!(session.lost.iter().any(|lost| lost.at == "ring"), "no lost line in the stream");
    target.assert_text_is_untouched()?;
    target.finish()
}

#[test]
fn a_trace_without_an_event_says_what_the_target_did_instead() -> Result<()> {
    let target = storm()?;
    let pid = target.pid().to_string();
    let signal =
        |signal| kill_process(Pid::from_raw(pid.parse()?).context("a pid")?, signal).context("signal");
    let printed = |arguments: &[&str]| -> Result<String> {
        let finished = run(&[&["trace", "--duration", "300ms"], arguments].concat())?;
        ensure!(finished.status.success(), "{}", finished.stderr);
        Ok(String::from_utf8(finished.stdout)?)
    };
    signal(Signal::STOP)?;
    std::thread::sleep(Duration::from_millis(200));
    let text = printed(&["--pid", &pid])?;
    ensure!(text.contains(&format!("next    process {pid} is stopped by a signal")), "{text}");

    let goflow = Goflow::start(&["trace", "--pid", &pid])?;
    until("the probes are in", PATIENCE, || Ok(goflow.printed().contains("in place").then_some(())))?;
    signal(Signal::KILL)?;
    let finished = goflow.finish()?;
    let text = String::from_utf8(finished.stdout)?;
    ensure!(text.contains("next    no event before the target ended"), "{text}{}", finished.stderr);

    let directory = tempfile::tempdir()?;
    let copy = directory.path().join("nobody");
    std::fs::copy(Program::named("storm").build()?, &copy)?;
    let text = printed(&["--binary", copy.to_str().context("a path")?])?;
    ensure!(text.contains("next    no process was found that runs this file"), "{text}");
    Ok(())
}

#[test]
fn with_v_it_tells_how_long_each_step_took_and_where_each_probe_is() -> Result<()> {
    let target = storm()?;
    let pid = target.pid().to_string();
    let arguments =
        ["trace", "-v", "--format", "json", "--level", "lifecycle", "--duration", "300ms", "--pid"];
    let finished = run(&[&arguments[..], &[&pid]].concat())?;
    let lines: Vec<&str> = finished.stderr.lines().filter(|line| line.contains("INFO")).collect();
    let mut from = 0;
    for step in
        ["machine examined", "executable read", "probes planned", "eBPF programs loaded", "probes in: "]
    {
        let at = lines[from..].iter().position(|line| line.contains(step) && line.contains("after="));
        from += at.with_context(|| format!("no {step:?} after line {from}: {lines:#?}"))?;
    }
    for step in ["first snapshot written", "first event written"] {
        ensure!(lines[from..].iter().any(|line| line.contains(step)), "no {step:?}: {lines:#?}");
    }
    for probe in &finished.session()?.meta().probes {
        let site = format!("site of {} ", probe.function);
        let told = lines.iter().any(|line| line.contains(&site) && line.contains(&probe.address));
        ensure!(told, "no {site:?} at {}: {lines:#?}", probe.address);
    }
    target.finish()
}

#[test]
fn a_duration_ends_the_session_by_itself() -> Result<()> {
    let target = storm()?;
    let finished = run(&[
        "trace",
        "--format",
        "json",
        "--level",
        "lifecycle",
        "--duration",
        "300ms",
        "--pid",
        &target.pid().to_string(),
    ])?;
    let session = finished.session()?;
    ensure!(session.summary.ended == "duration reached", "ended: {}", session.summary.ended);
    let duration = Duration::from_nanos(session.summary.duration_ns);
    ensure!(duration >= Duration::from_millis(300), "ended after {duration:?}");
    target.assert_text_is_untouched()?;
    target.finish()
}

/// Perf events are taken out one by one, for longer than the trace has lasted, and the target works on.
#[test]
fn the_cpu_time_of_the_target_is_that_of_the_time_in_which_its_hits_were_counted() -> Result<()> {
    let target = storm()?;
    for method in ["uprobe-multi", "perf"] {
        let pid = target.pid().to_string();
        let words = ["trace", "--format", "json", "--duration", "100ms", "--attach", method, "--pid", &pid];
        let summary = run(&words)?.session()?.summary;
        let used = summary.target_cpu_ns.with_context(|| format!("{summary:?}"))?;
        let most = summary.duration_ns * std::thread::available_parallelism()?.get() as u64;
        // The clock of a process is behind by a scheduler tick on each CPU.
        ensure!(
            used <= most + most / 10,
            "{method}: {used} ns of {most} ns, {} ns to detach",
            summary.detach_ns
        );
        let all: u64 = summary.hits.iter().map(|probe| probe.cost_ns).sum();
        ensure!(0 < summary.cost_ns && summary.cost_ns <= all, "{method}: {} of {all} ns", summary.cost_ns);
    }
    target.assert_text_is_untouched()?;
    target.finish()
}

#[test]
fn who_waits_at_a_terminal_for_a_file_is_told_how_far_it_is_and_a_pipe_is_not() -> Result<()> {
    let target = storm()?;
    let directory = tempfile::tempdir()?;
    let mut trace = Command::new(binary()?);
    trace.args(["trace", "--level", "lifecycle", "--duration", "3500ms", "--format", "json", "--output"]);
    trace.arg(directory.path().join("trace.jsonl")).args(["--pid", &target.pid().to_string()]);
    let on_terminal = Goflow::spawn(&mut on_a_terminal(&trace))?.finish()?;
    let shown = String::from_utf8(on_terminal.stdout)?;
    ensure!(on_terminal.status.success(), "{}: {shown}", on_terminal.status);
    for progress in ["\r\x1b[2K", " events", "none lost", "cost \u{2248} "] {
        ensure!(shown.contains(progress), "no {progress:?} in {shown:?}");
    }
    // On a busy machine seconds may be skipped.
    let told = ["0:01  ", "0:02  ", "0:03  "].iter().any(|at| shown.contains(at));
    ensure!(told, "no second is told: {shown:?}");
    let (_, end) = shown.rsplit_once("\r\x1b[2K").context("nothing was written over")?;
    ensure!(end.contains("summary") && !end.contains("0:0"), "not removed at the end: {shown:?}");

    let piped = Goflow::spawn(&mut trace)?.finish()?;
    ensure!(piped.status.success() && piped.stderr.contains("summary"), "{}: {}", piped.status, piped.stderr);
    ensure!(!piped.stderr.contains('\r') && !piped.stderr.contains("0:0"), "{:?}", piped.stderr);
    target.finish()
}

#[test]
fn a_full_disk_ends_the_session_with_an_error() -> Result<()> {
    let target = storm()?;
    let mut command = Command::new(binary()?);
    command.args(["trace", "--format", "json", "--output", "/dev/full", "--pid", &target.pid().to_string()]);
    let finished = Goflow::spawn(&mut command)?.finish()?;
    ensure!(finished.status.code() == Some(2), "{}: {}", finished.status, finished.stderr);
    for word in ["/dev/full", "No space left"] {
        ensure!(finished.stderr.contains(word), "does not say {word:?}: {}", finished.stderr);
    }
    target.assert_text_is_untouched()?;
    target.finish()
}

/// As a pager does that was paused. The probes come out in time, goflow says why it is still there, and a signal ends it.
#[test]
fn a_reader_that_takes_nothing_keeps_no_probe_in_and_is_told_of() -> Result<()> {
    let target = storm()?;
    let directory = tempfile::tempdir()?;
    let messages = directory.path().join("stderr");
    let mut command = Command::new(binary()?);
    command.args(["trace", "--all", "--duration", "500ms", "--pid", &target.pid().to_string()]);
    command.stdout(Stdio::piped()).stderr(std::fs::File::create(&messages)?);
    let mut goflow = command.spawn()?;
    let told = until("it says so", PATIENCE, || {
        let told = std::fs::read_to_string(&messages)?;
        Ok(told.contains("Ctrl-C ends goflow").then_some(told))
    });
    let untouched = target.assert_text_is_untouched();
    kill_process(Pid::from_child(&goflow), Signal::INT)?;
    let ended = wait_for(&mut goflow, PATIENCE);
    // The test is over either way.
    let _ = goflow.kill();
    ensure!(told?.contains("the probes are out; "), "{}", std::fs::read_to_string(&messages)?);
    untouched?;
    ended?;
    ensure!(goflow.wait()?.code() == Some(2), "{}", std::fs::read_to_string(&messages)?);
    target.finish()
}

/// The statement is `go two(1, 2)`, of which the compiler makes a function without arguments.
#[test]
fn what_a_goroutine_runs_is_told_and_not_the_wrapper_that_the_compiler_made() -> Result<()> {
    for go in goflow_tests::programs::go_versions() {
        let program = Program::named("frames").go(go).build()?;
        let mut command = Command::new(binary()?);
        command.args(["trace", "--all", "--level", "lifecycle", "--"]).arg(program);
        let mut goflow = Goflow::spawn(&mut command)?;
        // The program ends with it.
        goflow.close_stdin();
        let text = String::from_utf8(goflow.finish()?.stdout)?;
        let created: Vec<&str> = text.lines().filter(|line| line.contains(" create ")).collect();
        ensure!(created.iter().any(|line| line.contains(" main.two ")), "go{go}: {created:#?}");
        ensure!(!created.iter().any(|line| line.contains("wrap")), "go{go}: {created:#?}");
    }
    Ok(())
}

/// goflow under a limit of the shell, such as `-f 64`.
fn limited(limit: &str, arguments: &[&str]) -> Result<Command> {
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("ulimit {limit} && exec \"$0\" \"$@\"")]).arg(binary()?).args(arguments);
    Ok(shell)
}

#[test]
fn a_limit_on_open_files_is_named_wherever_it_is_met() -> Result<()> {
    let target = storm()?;
    let pid = target.pid().to_string();
    for limit in ["6", "16", "22"] {
        for method in ["auto", "uprobe-multi", "perf"] {
            let arguments = ["trace", "--duration", "1s", "--attach", method, "--pid", &pid];
            let finished = Goflow::spawn(&mut limited(&format!("-n {limit}"), &arguments)?)?.finish()?;
            finished.assert_refused(&[
                "Too many open files",
                &format!("open files is {limit}"),
                "ulimit -n",
            ])?;
            ensure!(!finished.stderr.contains("has no multi-uprobe"), "{}", finished.stderr);
        }
    }
    let finished = Goflow::spawn(&mut limited("-n 5", &["doctor"])?)?.finish()?;
    let report = String::from_utf8_lossy(&finished.stdout);
    ensure!(finished.status.code() == Some(2) && report.contains("ulimit -n"), "{report}");
    ensure!(!report.contains("local disk"), "{report}");
    // A limit that goflow may raise itself is none.
    let mut soft = Command::new("prlimit");
    soft.arg("--nofile=16:1024").arg(binary()?).args(["trace", "--duration", "100ms", "--pid", &pid]);
    let finished = Goflow::spawn(&mut soft)?.finish()?;
    ensure!(finished.status.success(), "{}", finished.stderr);
    target.assert_text_is_untouched()?;
    target.finish()
}

/// A little less than it needs is told by the allocator, and much less by the first thread that does not start. With less than its
/// own program takes the kernel ends it before it has begun.
#[test]
fn a_limit_on_addresses_is_named_whatever_it_stops() -> Result<()> {
    let target = storm()?;
    let pid = target.pid().to_string();
    let program = std::fs::metadata(binary()?)?.len() >> 10;
    for beside in [1 << 10, 2 << 10, 30 << 10] {
        let arguments = ["trace", "--duration", "1s", "--pid", &pid];
        let limit = format!("-v {}", program + beside);
        let finished = Goflow::spawn(&mut limited(&limit, &arguments)?)?.finish()?;
        finished.assert_refused(&["ulimit -v unlimited"]).with_context(|| limit)?;
    }
    target.assert_text_is_untouched()?;
    target.finish()
}

#[test]
fn a_limit_on_file_sizes_ends_the_session_with_an_error_and_not_by_a_signal() -> Result<()> {
    let target = storm()?;
    let pid = target.pid().to_string();
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("trace.jsonl");
    let name = file.to_str().context("a path")?;
    for command in [&["trace", "--duration", "30s"][..], &["snapshot"]] {
        let arguments = [command, &["--format", "json", "--output", name, "--pid", &pid]].concat();
        let finished = Goflow::spawn(&mut limited("-f 2", &arguments)?)?.finish()?;
        ensure!(finished.status.code() == Some(2), "{}: {}", finished.status, finished.stderr);
        for word in [name, "File too large", "help: ", "ulimit -f unlimited"] {
            ensure!(finished.stderr.contains(word), "does not say {word:?}: {}", finished.stderr);
        }
        ensure!(std::fs::metadata(&file)?.len() > 0, "nothing was written");
    }
    target.assert_text_is_untouched()?;
    target.finish()
}

#[test]
fn a_lack_of_memory_is_told_with_status_2_and_leaves_no_probe() -> Result<()> {
    let target = storm()?;
    let pid = target.pid().to_string();
    let (mut lacking, mut enough) = (0, 0);
    // Every thread reserves 64 MB of addresses for what it allocates, so enough is far above what is used.
    for kilobytes in (16..320).step_by(24).chain([1024]).map(|megabytes| megabytes * 1024) {
        let arguments = ["trace", "--format", "json", "--duration", "200ms", "--pid", &pid];
        let finished = Goflow::spawn(&mut limited(&format!("-v {kilobytes}"), &arguments)?)?.finish()?;
        let said = &finished.stderr;
        match finished.status.code() {
            Some(0) => enough += 1,
            // The loader of the system, before goflow has begun.
            Some(127) => ensure!(said.contains("error while loading"), "{kilobytes} kB: {said}"),
            Some(2) if said.contains("goflow: out of memory\nhelp: raise") => lacking += 1,
            Some(2) => ensure!(said.contains("goflow: "), "{kilobytes} kB: {said}"),
            _ => bail!("{kilobytes} kB: {}: {said}", finished.status),
        }
        // Who lacks memory leaves the probes to the process that holds them.
        until("the text is that of the file", PATIENCE, || {
            Ok(target.altered_text()?.is_empty().then_some(()))
        })
        .with_context(|| format!("{kilobytes} kB: {said}"))?;
    }
    ensure!(lacking > 0 && enough > 0, "{lacking} times too little, {enough} times enough");
    target.finish()
}

/// As `goflow trace … | head -1` does.
#[test]
fn a_reader_that_goes_away_ends_the_session_quietly() -> Result<()> {
    let target = storm()?;
    let mut goflow = Command::new(binary()?)
        .args(["trace", "--format", "json", "--pid", &target.pid().to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut reader = BufReader::new(goflow.stdout.take().context("no pipe")?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    drop(reader);
    wait_for(&mut goflow, PATIENCE)?;
    let output = goflow.wait_with_output()?;
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(line.contains(r#""type":"meta""#), "{line}; {stderr}");
    ensure!(output.status.code() == Some(0), "{}: {stderr}", output.status);
    target.assert_text_is_untouched()?;
    target.finish()
}
