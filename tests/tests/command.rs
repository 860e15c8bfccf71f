//! `goflow trace -- CMD`: traced from its first instruction, on its own terminal, as its own user, with its own status.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use goflow_tests::PATIENCE;
use goflow_tests::goflow::{Finished, Goflow, binary, on_a_terminal, run};
use goflow_tests::programs::{Program, go_versions};
use goflow_tests::script::Script;
use goflow_tests::stream::{Kind, Session};
use goflow_tests::until;
use rustix::process::Signal;
use serde::Deserialize;
use tempfile::TempDir;

/// What the program `short` says of itself.
#[derive(Deserialize)]
struct Short {
    uid: u32,
    gid: u32,
    pid: u32,
    terminal: bool,
}

impl Short {
    /// From the one line of JSON among whatever else is in an output.
    fn parse(output: &[u8]) -> Result<Self> {
        let output = String::from_utf8_lossy(output).into_owned();
        let line = output.lines().find(|line| line.starts_with('{'));
        let line = line.with_context(|| format!("the program printed {output:?}"))?;
        Ok(serde_json::from_str(line.trim_end())?)
    }
}

/// A directory for the output file and where the session goes.
struct Recording {
    directory: TempDir,
}

impl Recording {
    fn new() -> Result<Self> {
        Ok(Self { directory: TempDir::new()? })
    }

    fn path(&self) -> std::path::PathBuf {
        self.directory.path().join("session.jsonl")
    }

    /// `goflow trace … --output FILE -- COMMAND…`
    fn command(&self, program: &Path, arguments: &[&str]) -> Result<Command> {
        let mut command = Command::new(binary()?);
        command.args(["trace", "--format", "json", "--output"]).arg(self.path());
        command.arg("--").arg(program).args(arguments);
        Ok(command)
    }

    fn session(&self, finished: &Finished) -> Result<Session> {
        let bytes =
            fs::read(self.path()).with_context(|| format!("no session; stderr: {}", finished.stderr))?;
        Session::parse(&bytes).with_context(|| finished.stderr.clone())
    }
}

#[test]
fn a_command_is_traced_from_the_creation_of_its_main_goroutine() -> Result<()> {
    for go in [go_versions().first(), go_versions().last()].into_iter().flatten() {
        let recording = Recording::new()?;
        let program = Program::named("short").go(go).build()?;
        let finished = Goflow::spawn(&mut recording.command(&program, &["5", "1"])?)?.finish()?;
        ensure!(finished.status.success(), "{}: {}", finished.status, finished.stderr);
        let pid = Short::parse(&finished.stdout)?.pid;
        let session = recording.session(&finished)?;
        session.assert_nothing_lost()?;
        ensure!(session.events.iter().all(|event| event.pid == pid), "events of another process");

        let first = session.events.first().context("no events")?;
        let Kind::GoroutineCreate { child, start, .. } = &first.kind else {
            anyhow::bail!("the first event is no creation: {first:?}");
        };
        ensure!(*child == Some(1), "the first goroutine is {child:?}");
        let start = start.as_ref().context("without a start function")?;
        ensure!(start.function() == "runtime.main", "it starts in {start:?}");
        let sends = session.of_kind("chan_send").filter(|event| event.goid == Some(1)).count();
        ensure!(sends == 5, "{sends} sends of 5");
        ensure!(session.exits.iter().map(|exit| exit.pid).eq([pid]), "its end: {:?}", session.exits);
        // Its parent, goflow, has not taken note of its end before its clock was read.
        ensure!(session.summary.target_cpu_ns > Some(0), "{:?}", session.summary);
    }
    Ok(())
}

#[test]
fn the_exit_status_of_the_command_is_passed_on() -> Result<()> {
    let program = Program::named("short").build()?;
    for (end, status) in [("0", 0), ("3", 3), ("255", 255), ("kill", 128 + 9)] {
        let recording = Recording::new()?;
        let finished = Goflow::spawn(&mut recording.command(&program, &["1", "1", end])?)?.finish()?;
        ensure!(finished.status.code() == Some(status), "{end}: {}; {}", finished.status, finished.stderr);
        recording.session(&finished)?;
    }
    Ok(())
}

#[test]
fn a_command_has_its_own_stdin_and_stdout_and_the_session_goes_to_the_file() -> Result<()> {
    let recording = Recording::new()?;
    let program = Program::named("counts").build()?;
    let mut goflow = Goflow::spawn(&mut recording.command(&program, &["1"])?)?;
    goflow.stdin().context("no stdin")?.write_all(b"go\n")?;
    until("the program's answer", PATIENCE, || Ok((goflow.printed().lines().count() == 2).then_some(())))?;
    goflow.close_stdin();
    let finished = goflow.finish()?;
    ensure!(finished.status.success(), "{}: {}", finished.status, finished.stderr);

    let stdout = String::from_utf8(finished.stdout.clone())?;
    let script = Script::parse(stdout.lines().nth(1).context("no script")?)?;
    let session = recording.session(&finished)?;
    let created = session.of_kind("goroutine_create").filter_map(|event| match &event.kind {
        Kind::GoroutineCreate { child, .. } => *child,
        _ => None,
    });
    let created: Vec<u64> = created.collect();
    for goroutine in &script.goroutines {
        ensure!(created.contains(&goroutine.goid), "the creation of goroutine {} is missing", goroutine.goid);
    }
    Ok(())
}

#[test]
fn a_command_keeps_the_terminal() -> Result<()> {
    let program = Program::named("short").build()?;
    let recording = Recording::new()?;
    let command = recording.command(&program, &["1", "0", "7"])?;
    let mut goflow = Goflow::spawn(&mut on_a_terminal(&command))?;
    goflow.stdin().context("no stdin")?.write_all(b"typed\n")?;
    let finished = goflow.finish()?;
    let shown = String::from_utf8_lossy(&finished.stdout).into_owned();
    ensure!(finished.status.code() == Some(7), "{}: {shown}", finished.status);
    ensure!(Short::parse(&finished.stdout)?.terminal, "no terminal: {shown}");
    // Once from the terminal's echo, once from the program.
    ensure!(shown.matches("typed").count() == 2, "the line typed did not reach the program: {shown:?}");
    Ok(())
}

#[test]
fn ctrl_c_on_the_terminal_ends_the_command_and_the_session_in_order() -> Result<()> {
    let program = Program::named("storm").build()?;
    let recording = Recording::new()?;
    let mut goflow = Goflow::spawn(&mut on_a_terminal(&recording.command(&program, &[])?))?;
    until("the command runs", PATIENCE, || Ok(goflow.printed().contains("running").then_some(())))?;
    goflow.stdin().context("no stdin")?.write_all(b"\x03")?;
    let finished = goflow.finish()?;
    ensure!(finished.status.code() == Some(128 + 2), "{}", finished.status);
    recording.session(&finished)?;
    Ok(())
}

#[test]
fn a_command_under_sudo_runs_as_the_invoking_user_on_its_terminal_with_its_status() -> Result<()> {
    let user = User::new()?;
    let recording = Recording::new()?;
    // The user must be able to execute the program, and the cache may be in root's home.
    let copy = recording.directory.path().join("short");
    fs::copy(Program::named("short").build()?, &copy)?;
    open_to_all(recording.directory.path())?;
    let command = recording.command(&copy, &["1", "0", "7"])?;
    let mut goflow = Goflow::spawn(&mut on_a_terminal(&user.sudo(&command)))?;
    goflow.stdin().context("no stdin")?.write_all(b"typed\n")?;
    let finished = goflow.finish()?;
    let shown = String::from_utf8_lossy(&finished.stdout).into_owned();
    ensure!(finished.status.code() == Some(7), "{}: {shown}", finished.status);
    let short = Short::parse(&finished.stdout)?;
    ensure!((short.uid, short.gid) == (user.uid, user.gid), "ran as {}:{}: {shown}", short.uid, short.gid);
    ensure!(short.terminal, "no terminal: {shown}");
    ensure!(shown.matches("typed").count() >= 2, "the line typed did not reach the program: {shown:?}");

    let session = recording.session(&finished)?;
    let sends = session.of_kind("chan_send").filter(|event| event.pid == short.pid).count();
    ensure!(sends >= 1, "not traced");
    let file = fs::metadata(recording.path())?;
    ensure!((file.uid(), file.gid()) == (user.uid, user.gid), "the file is {}:{}", file.uid(), file.gid());
    Ok(())
}

#[test]
fn sigterm_to_goflow_ends_the_session_and_leaves_the_command_running() -> Result<()> {
    let program = Program::named("pingpong").build()?;
    let recording = Recording::new()?;
    let mut goflow = Goflow::spawn(&mut recording.command(&program, &[])?)?;
    until("the command runs", PATIENCE, || Ok(goflow.printed().contains("running").then_some(())))?;
    goflow.signal(Signal::TERM)?;
    goflow.close_stdin();
    let finished = goflow.finish()?;
    recording.session(&finished)?;
    Ok(())
}

#[test]
fn sighup_to_goflow_ends_the_session_and_leaves_the_command_running() -> Result<()> {
    let recording = Recording::new()?;
    // A file that nobody else runs.
    let program = recording.directory.path().join("pingpong");
    fs::copy(Program::named("pingpong").build()?, &program)?;
    let mut goflow = Goflow::spawn(&mut recording.command(&program, &[])?)?;
    until("the command runs", PATIENCE, || Ok(goflow.printed().contains("running").then_some(())))?;
    goflow.signal(Signal::HUP)?;
    until("goflow ends", PATIENCE, || Ok(goflow.has_ended()?.then_some(())))?;
    // As long as its standard input is open.
    ensure!(running(&program)?.len() == 1, "the command has ended");
    goflow.close_stdin();
    let session = recording.session(&goflow.finish()?)?;
    ensure!(session.summary.ended == "hung up", "ended: {}", session.summary.ended);
    Ok(())
}

#[test]
fn a_terminal_that_is_closed_leaves_a_complete_session() -> Result<()> {
    let program = Program::named("storm").build()?;
    let recording = Recording::new()?;
    let goflow = Goflow::spawn(&mut on_a_terminal(&recording.command(&program, &[])?))?;
    until("the command runs", PATIENCE, || Ok(goflow.printed().contains("running").then_some(())))?;
    // The other end of the terminal goes, and with it what goflow could tell anybody.
    goflow.signal(Signal::KILL)?;
    let summary = || Ok(fs::read_to_string(recording.path())?.contains(r#""type":"summary""#).then_some(()));
    until("the session is complete", PATIENCE, summary)?;
    let session = recording.session(&goflow.finish()?)?;
    // The command, which gets SIGHUP as well, may have been quicker.
    let ended = session.summary.ended.as_str();
    ensure!(["hung up", "target exited"].contains(&ended), "ended: {ended}");
    Ok(())
}

#[test]
fn ctrl_backslash_on_the_terminal_is_the_commands_to_answer() -> Result<()> {
    let program = Program::named("storm").build()?;
    let recording = Recording::new()?;
    let mut goflow = Goflow::spawn(&mut on_a_terminal(&recording.command(&program, &[])?))?;
    until("the command runs", PATIENCE, || Ok(goflow.printed().contains("running").then_some(())))?;
    goflow.stdin().context("no stdin")?.write_all(b"\x1c")?;
    let finished = goflow.finish()?;
    let shown = String::from_utf8_lossy(&finished.stdout).into_owned();
    // How Go answers: every goroutine on standard error, and status 2.
    ensure!(finished.status.code() == Some(2), "{}: {shown}", finished.status);
    ensure!(shown.contains("SIGQUIT: quit") && shown.contains("goroutine 1 "), "{shown}");
    let session = recording.session(&finished)?;
    ensure!(session.summary.ended == "target exited", "ended: {}", session.summary.ended);
    Ok(())
}

/// A program that on SIGINT still makes goroutines before it ends.
fn graceful(recording: &Recording) -> Result<Goflow> {
    let program = Program::named("graceful").build()?;
    let goflow = Goflow::spawn(&mut on_a_terminal(&recording.command(&program, &[])?))?;
    until("the command runs", PATIENCE, || Ok(goflow.printed().contains("running").then_some(())))?;
    Ok(goflow)
}

#[test]
fn what_a_command_does_on_ctrl_c_is_traced_to_its_end() -> Result<()> {
    let recording = Recording::new()?;
    let mut goflow = graceful(&recording)?;
    goflow.stdin().context("no stdin")?.write_all(b"\x03")?;
    let finished = goflow.finish()?;
    let shown = String::from_utf8_lossy(&finished.stdout).into_owned();
    ensure!(finished.status.code() == Some(5), "{}: {shown}", finished.status);
    ensure!(shown.contains("stopped"), "{shown}");
    let session = recording.session(&finished)?;
    ensure!(session.summary.ended == "target exited", "ended: {}", session.summary.ended);
    let created = session.of_kind("goroutine_create").filter(|event| match &event.kind {
        Kind::GoroutineCreate { start, .. } => {
            start.as_ref().is_some_and(|start| start.function() == "main.tidy")
        }
        _ => false,
    });
    let created = created.count();
    ensure!(created == 3, "{created} of the 3 goroutines of the shutdown");
    Ok(())
}

#[test]
fn a_second_ctrl_c_ends_the_trace_and_the_command_still_ends_by_itself() -> Result<()> {
    let recording = Recording::new()?;
    let mut goflow = graceful(&recording)?;
    goflow.stdin().context("no stdin")?.write_all(b"\x03")?;
    until("the command tidies up", PATIENCE, || Ok(goflow.printed().contains("stopping").then_some(())))?;
    std::thread::sleep(std::time::Duration::from_millis(150));
    goflow.stdin().context("no stdin")?.write_all(b"\x03")?;
    let finished = goflow.finish()?;
    let shown = String::from_utf8_lossy(&finished.stdout).into_owned();
    ensure!(finished.status.code() == Some(5), "{}: {shown}", finished.status);
    let session = recording.session(&finished)?;
    ensure!(session.summary.ended == "interrupted", "ended: {}", session.summary.ended);
    Ok(())
}

/// The trace has nothing more to see, and says so at once instead of when the other program ends.
#[test]
fn a_command_that_executes_another_program_ends_the_trace_with_that_reason() -> Result<()> {
    let recording = Recording::new()?;
    let program = Program::named("successor").build()?;
    let started = Instant::now();
    let goflow = Goflow::spawn(&mut recording.command(&program, &["300", "/bin/sleep", "2"])?)?;
    let finished = goflow.finish()?;
    ensure!(finished.status.code() == Some(0), "{}: {}", finished.status, finished.stderr);
    ensure!(started.elapsed() >= Duration::from_secs(2), "goflow did not wait for the command");
    let session = recording.session(&finished)?;
    ensure!(session.summary.ended == "target executed another program", "{}", session.summary.ended);
    ensure!(
        session.summary.duration_ns < 1_500_000_000,
        "told only after {} ns",
        session.summary.duration_ns
    );
    ensure!(session.of_kind("chan_send").count() > 0, "what came before is not there");
    Ok(())
}

#[test]
fn a_signal_that_comes_before_the_command_is_let_go_keeps_it_from_starting() -> Result<()> {
    let program = Program::named("pingpong").build()?;
    let mut kept = 0;
    for delay_ms in 0..40 {
        let recording = Recording::new()?;
        let mut goflow = Goflow::spawn(&mut recording.command(&program, &[])?)?;
        std::thread::sleep(std::time::Duration::from_millis(delay_ms));
        // To goflow alone, as when it comes before the fork. Before goflow handles it, it ends by it.
        goflow.signal(Signal::INT)?;
        goflow.close_stdin();
        let finished = goflow.finish()?;
        let started = String::from_utf8_lossy(&finished.stdout).contains("running");
        if finished.status.code() == Some(2) {
            ensure!(!started, "it was started: {}", finished.stderr);
            ensure!(finished.stderr.contains("before the command was started"), "{}", finished.stderr);
            kept += 1;
        } else {
            let by_signal = finished.status.signal() == Some(Signal::INT.as_raw());
            ensure!(started && finished.status.success() || by_signal, "{finished:?}");
        }
    }
    ensure!(kept > 0, "no signal came in time");
    Ok(())
}

#[test]
fn a_command_that_prints_between_the_lines_of_a_trace_is_told_so_once() -> Result<()> {
    let program = Program::named("short").build()?;
    let program = program.to_str().context("a path")?;
    let finished = run(&["trace", "--format", "json", "--", program, "1", "1"])?;
    ensure!(finished.status.success(), "{}: {}", finished.status, finished.stderr);
    ensure!(finished.stderr.matches("--output FILE").count() == 1, "{}", finished.stderr);
    let recording = Recording::new()?;
    let finished = Goflow::spawn(&mut recording.command(Path::new(program), &["1", "1"])?)?.finish()?;
    ensure!(!finished.stderr.contains("--output FILE"), "{}", finished.stderr);
    Ok(())
}

#[test]
fn a_command_that_cannot_be_run_is_refused_with_its_name() -> Result<()> {
    run(&["trace", "--", "no-such-program-here"])?.assert_refused(&["no-such-program-here"])?;
    run(&["trace", "--", "/etc/passwd"])?.assert_refused(&["/etc/passwd"])?;
    run(&["trace", "--", "/bin/true"])?.assert_refused(&["/bin/true", "Go"])
}

/// Pids of what runs `program`, or is about to: a forked child is called as goflow is until its `exec`.
fn running(program: &Path) -> Result<Vec<String>> {
    let name = program.to_str().context("a path")?.as_bytes();
    let mut pids = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let entry = entry?;
        // What is no process has no command line, and what has ended meanwhile has none either.
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        if line.split(|byte| *byte == 0).any(|word| word == name) {
            pids.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    Ok(pids)
}

#[test]
fn a_command_that_waits_for_its_probes_never_outlives_goflow() -> Result<()> {
    for delay_ms in (0..50).step_by(2) {
        let recording = Recording::new()?;
        // Its standard input is goflow's, so that it ends with this test whatever happens.
        let program = recording.directory.path().join("pingpong");
        fs::copy(Program::named("pingpong").build()?, &program)?;
        let mut goflow = Goflow::spawn(&mut recording.command(&program, &[])?)?;
        std::thread::sleep(std::time::Duration::from_millis(delay_ms));
        goflow.signal(Signal::KILL)?;
        goflow.close_stdin();
        goflow.finish()?;
        until("nothing is left", PATIENCE, || Ok(running(&program)?.is_empty().then_some(())))
            .with_context(|| format!("killed after {delay_ms} ms"))?;
    }
    Ok(())
}

/// A user that exists as long as this, may run goflow as root by sudo, and nothing else.
struct User {
    name: String,
    uid: u32,
    gid: u32,
    rule: PathBuf,
}

impl User {
    fn new() -> Result<Self> {
        let name = format!("goflow-test-{}", std::process::id());
        succeed(Command::new("useradd").args(["--no-create-home", "--user-group", &name]))?;
        let id = |what: &str| -> Result<u32> {
            let output = Command::new("id").args([what, &name]).output()?;
            Ok(String::from_utf8(output.stdout)?.trim().parse()?)
        };
        // From here on Drop tidies up.
        let mut user =
            Self { uid: 0, gid: 0, rule: Path::new("/etc/sudoers.d").join(&name), name: name.clone() };
        (user.uid, user.gid) = (id("-u")?, id("-g")?);
        fs::write(&user.rule, format!("{name} ALL=(root) NOPASSWD: {}\n", binary()?.display()))?;
        fs::set_permissions(&user.rule, fs::Permissions::from_mode(0o440))?;
        Ok(user)
    }

    /// `sudo COMMAND`, by this user.
    fn sudo(&self, command: &Command) -> Command {
        let mut sudo = Command::new("runuser");
        sudo.args(["-u", &self.name, "--", "sudo"]).arg(command.get_program()).args(command.get_args());
        sudo
    }
}

impl Drop for User {
    fn drop(&mut self) {
        // What cannot be removed stays behind under a name that tells where it is from.
        let _ = fs::remove_file(&self.rule);
        let _ = Command::new("userdel").arg(&self.name).status();
    }
}

fn succeed(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("cannot start {command:?}"))?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

fn open_to_all(directory: &Path) -> Result<()> {
    Ok(fs::set_permissions(directory, fs::Permissions::from_mode(0o777))?)
}
