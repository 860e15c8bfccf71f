//! `goflow trace -- CMD`: traced from its first instruction, on its own terminal, as its own user, with its own status.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use goflow_tests::PATIENCE;
use goflow_tests::goflow::{Finished, Goflow, binary, run};
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
fn a_command_under_sudo_runs_as_the_invoking_user() -> Result<()> {
    let (uid, gid) = (65534, 65534);
    let recording = Recording::new()?;
    let program = Program::named("short").build()?;
    // The user must be able to execute the program, and the cache may be in root's home.
    let copy = recording.directory.path().join("short");
    fs::copy(&program, &copy)?;
    open_to_all(recording.directory.path())?;
    let mut command = recording.command(&copy, &["1", "1"])?;
    command.env("SUDO_UID", uid.to_string()).env("SUDO_GID", gid.to_string()).env("SUDO_USER", "nobody");
    let finished = Goflow::spawn(&mut command)?.finish()?;
    ensure!(finished.status.success(), "{}: {}", finished.status, finished.stderr);
    let short = Short::parse(&finished.stdout)?;
    ensure!((short.uid, short.gid) == (uid, gid), "ran as {}:{}", short.uid, short.gid);
    let sends = recording.session(&finished)?.of_kind("chan_send").count();
    ensure!(sends >= 1, "not traced");
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
fn a_command_that_cannot_be_run_is_refused_with_its_name() -> Result<()> {
    run(&["trace", "--", "no-such-program-here"])?.assert_refused(&["no-such-program-here"])?;
    run(&["trace", "--", "/etc/passwd"])?.assert_refused(&["/etc/passwd"])?;
    run(&["trace", "--", "/bin/true"])?.assert_refused(&["/bin/true", "Go"])
}

/// The same command on a pseudo-terminal of its own.
fn on_a_terminal(command: &Command) -> Command {
    let words: Vec<&OsStr> = std::iter::once(command.get_program()).chain(command.get_args()).collect();
    let quoted: Vec<String> =
        words.iter().map(|word| format!("'{}'", word.to_string_lossy().replace('\'', r"'\''"))).collect();
    let mut script = Command::new("script");
    script.args(["--quiet", "--flush", "--return", "--command", &quoted.join(" "), "/dev/null"]);
    script
}

fn open_to_all(directory: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    Ok(fs::set_permissions(directory, fs::Permissions::from_mode(0o777))?)
}
