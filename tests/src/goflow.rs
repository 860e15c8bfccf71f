//! Runs the real `goflow`.
//!
//! In: command-line arguments; out: a finished run, or one that is attached and waits to be stopped. The binary is
//! `$GOFLOW_BIN`, else the release, else the debug build of this repository; there is no test without it.

use std::ffi::OsStr;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::output::Output;
use crate::stream::{Meta, Session};
use crate::{PATIENCE, repository, wait_for};

/// The binary under test.
///
/// # Errors
/// There is none.
pub fn binary() -> Result<PathBuf> {
    if let Some(binary) = std::env::var_os("GOFLOW_BIN") {
        let binary = PathBuf::from(binary);
        ensure!(binary.is_file(), "GOFLOW_BIN names {}, which is no file", binary.display());
        return Ok(binary);
    }
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| repository().join("target"), PathBuf::from);
    for profile in ["release", "debug"] {
        let binary = target.join(profile).join("goflow");
        if binary.is_file() {
            return Ok(binary);
        }
    }
    bail!("no goflow to test: `cargo build --release`, or set GOFLOW_BIN to one")
}

/// How a finished goflow ended and what it printed.
#[derive(Debug)]
pub struct Finished {
    /// Exit status.
    pub status: ExitStatus,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error, as text.
    pub stderr: String,
    /// From start to end.
    pub took: Duration,
}

impl Finished {
    /// The session on stdout, of a goflow that ended well.
    ///
    /// # Errors
    /// It did not end with 0, or the stream breaks the contract.
    pub fn session(&self) -> Result<Session> {
        ensure!(
            self.status.success(),
            "goflow ended with {} (signal {:?}):\n{}",
            self.status,
            self.status.signal(),
            self.stderr
        );
        Session::parse(&self.stdout).with_context(|| format!("stderr: {}", self.stderr))
    }

    /// Fails unless goflow refused: status 2, within a second, and with each of these words on stderr.
    ///
    /// # Errors
    /// It did something else.
    pub fn assert_refused(&self, words: &[&str]) -> Result<()> {
        let Self { status, stderr, took, .. } = self;
        ensure!(status.code() == Some(2), "expected status 2, got {status}; stderr:\n{stderr}");
        ensure!(*took < Duration::from_secs(1), "refused only after {took:?}:\n{stderr}");
        ensure!(!stderr.trim().is_empty(), "refused without a word");
        ensure!(!stderr.contains("panicked"), "it panicked:\n{stderr}");
        for word in words {
            ensure!(stderr.to_lowercase().contains(&word.to_lowercase()), "does not say {word:?}:\n{stderr}");
        }
        Ok(())
    }
}

/// A goflow that runs.
pub struct Goflow {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Option<Output>,
    stderr: Option<Output>,
    started: Instant,
}

impl Goflow {
    /// Starts `goflow` with these arguments.
    ///
    /// # Errors
    /// There is no goflow.
    pub fn start<A: AsRef<OsStr>>(arguments: &[A]) -> Result<Self> {
        Self::spawn(Command::new(binary()?).args(arguments))
    }

    /// Starts `command`, which runs goflow in some special way. Unless it says otherwise there is no budget: tests are to
    /// see every event, also of a target that does nothing else.
    ///
    /// # Errors
    /// It does not start.
    pub fn spawn(command: &mut Command) -> Result<Self> {
        let started = Instant::now();
        if !command.get_envs().any(|(name, _)| name == "GOFLOW_BUDGET") {
            command.env("GOFLOW_BUDGET", "none");
        }
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {command:?}"))?;
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().map(Output::of);
        let stderr = child.stderr.take().map(Output::of);
        Ok(Self { child, stdin, stdout, stderr, started })
    }

    /// Starts `goflow trace --format json` with these arguments and waits until its probes are in.
    ///
    /// # Errors
    /// It ends, or does not get that far in time; with what it said.
    pub fn attach<A: AsRef<OsStr>>(arguments: &[A]) -> Result<Self> {
        let mut command = Command::new(binary()?);
        command.args(["trace", "--format", "json"]).args(arguments);
        Self::spawn(&mut command)?.attached()
    }

    /// To every process given by its id.
    ///
    /// # Errors
    /// As [`Goflow::attach`].
    pub fn attach_to(pid: u32) -> Result<Self> {
        Self::attach(&["--pid", &pid.to_string()])
    }

    /// Waits for the `meta` line, which goflow writes once its probes are in.
    ///
    /// # Errors
    /// As [`Goflow::attach`].
    pub fn attached(mut self) -> Result<Self> {
        let stdout = self.stdout.as_ref().context("stdout is gone")?;
        match stdout.line_at(0, PATIENCE) {
            Ok((line, _)) if line.contains(r#""type":"meta""#) => Ok(self),
            Ok((line, _)) => bail!("the first line is not meta: {line}"),
            Err(error) => {
                self.child.kill()?;
                let Finished { status, stderr, .. } = self.collect()?;
                bail!("goflow did not attach: {error}; {status}; stderr:\n{stderr}")
            }
        }
    }

    /// The `meta` line of a goflow that is attached.
    ///
    /// # Errors
    /// It has not printed one.
    pub fn meta(&self) -> Result<Meta> {
        let printed = self.printed();
        let line = printed.lines().next().context("goflow has printed nothing")?;
        Ok(serde_json::from_str(line)?)
    }

    /// Its standard input.
    pub fn stdin(&mut self) -> Option<&mut ChildStdin> {
        self.stdin.as_mut()
    }

    /// Closes its standard input.
    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// What it printed so far.
    #[must_use]
    pub fn printed(&self) -> String {
        let bytes = self.stdout.as_ref().map(Output::so_far).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Its process id, which stays its own until it is collected.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has ended by itself.
    ///
    /// # Errors
    /// It cannot be asked.
    pub fn has_ended(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_some())
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// It is gone.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).context("cannot signal goflow")
    }

    /// Stops it as a user would, with SIGINT, and reads its session.
    ///
    /// # Errors
    /// It does not end in time or not well, or the stream breaks the contract.
    pub fn stop(self) -> Result<Session> {
        self.signal(Signal::INT)?;
        self.finish()?.session()
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// It does not end.
    pub fn finish(mut self) -> Result<Finished> {
        if let Err(error) = wait_for(&mut self.child, PATIENCE) {
            self.child.kill()?;
            let finished = self.collect()?;
            bail!("goflow: {error}; stderr:\n{}", finished.stderr);
        }
        self.collect()
    }

    fn collect(&mut self) -> Result<Finished> {
        let status = self.child.wait()?;
        let took = self.started.elapsed();
        let stdout = self.stdout.take().map(Output::finish).unwrap_or_default();
        let stderr = self.stderr.take().map(Output::finish).unwrap_or_default();
        let stderr = String::from_utf8_lossy(&stderr).into_owned();
        Ok(Finished { status, stdout, stderr, took })
    }
}

impl Drop for Goflow {
    fn drop(&mut self) {
        // The test is over either way, and a process that is gone cannot be killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs `goflow` with these arguments to its end.
///
/// # Errors
/// There is no goflow, or it does not end.
pub fn run<A: AsRef<OsStr>>(arguments: &[A]) -> Result<Finished> {
    Goflow::start(arguments)?.finish()
}

/// The same command on a pseudo-terminal of its own.
#[must_use]
pub fn on_a_terminal(command: &Command) -> Command {
    let words: Vec<&OsStr> = std::iter::once(command.get_program()).chain(command.get_args()).collect();
    let quoted: Vec<String> =
        words.iter().map(|word| format!("'{}'", word.to_string_lossy().replace('\'', r"'\''"))).collect();
    // A shell between the two would get the terminal's signals as well, and its status is not that of what it ran.
    let line = format!("exec {}", quoted.join(" "));
    let mut script = Command::new("script");
    script.env("SHELL", "/bin/sh").args(["--quiet", "--flush", "--return", "--command", &line, "/dev/null"]);
    script
}
