//! A running target: a Go program with its standard streams in the test's hands.
//!
//! In: an executable; out: a process that dies with its handle. [`Target::altered_text`] compares the program text in
//! memory with the file, byte by byte: the only proof that no breakpoint was left.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde::Deserialize;

use crate::output::Output;
use crate::{PATIENCE, wait_for};

/// A process under test.
pub struct Target {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Output,
    stderr: Output,
    read: usize,
    executable: PathBuf,
}

impl Target {
    /// Starts `executable` and waits for its first line, by which the programs of these tests say that they are up.
    ///
    /// # Errors
    /// It does not start or says nothing.
    pub fn start<A: AsRef<OsStr>>(executable: &Path, arguments: &[A]) -> Result<Self> {
        let mut target = Self::spawn(Command::new(executable).args(arguments), executable)?;
        target.line().with_context(|| format!("{} did not come up", executable.display()))?;
        Ok(target)
    }

    /// Starts `command`; `executable` is the file whose text the process runs.
    ///
    /// # Errors
    /// It does not start.
    pub fn spawn(command: &mut Command, executable: &Path) -> Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {command:?}"))?;
        let stdin = child.stdin.take();
        let stdout = Output::of(child.stdout.take().context("no pipe")?);
        let stderr = Output::of(child.stderr.take().context("no pipe")?);
        Ok(Self { child, stdin, stdout, stderr, read: 0, executable: executable.to_owned() })
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The next line it prints.
    ///
    /// # Errors
    /// None comes; if that is because it has ended, with how it did.
    pub fn line(&mut self) -> Result<String> {
        let (line, next) = self.stdout.line_at(self.read, PATIENCE).map_err(|error| self.explain(error))?;
        self.read = next;
        Ok(line)
    }

    /// Sends a line feed and gives the line that comes back.
    ///
    /// # Errors
    /// The process has ended or does not answer.
    pub fn ask(&mut self) -> Result<String> {
        let stdin = self.stdin.as_mut().context("stdin is closed")?;
        stdin.write_all(b"\n").map_err(|error| self.explain(error.into()))?;
        self.line()
    }

    /// Sends `order` without a line feed and gives the line that comes back.
    ///
    /// # Errors
    /// As [`Target::ask`].
    pub fn order(&mut self, order: &str) -> Result<String> {
        let stdin = self.stdin.as_mut().context("stdin is closed")?;
        stdin.write_all(order.as_bytes()).map_err(|error| self.explain(error.into()))?;
        self.line()
    }

    /// What a target that does not answer says of itself.
    fn explain(&mut self, error: anyhow::Error) -> anyhow::Error {
        let ended = match wait_for(&mut self.child, Duration::from_secs(1)) {
            Ok(status) => format!("the target ended with {status} (signal {:?})", status.signal()),
            Err(_) => "the target lives".to_owned(),
        };
        error.context(format!("{ended}; stderr:\n{}", self.complaints()))
    }

    /// The throughput counter of the programs that have one.
    ///
    /// # Errors
    /// It does not answer, or something else.
    pub fn operations(&mut self) -> Result<u64> {
        #[derive(Deserialize)]
        struct Answer {
            operations: u64,
        }
        let line = self.ask()?;
        let answer: Answer = serde_json::from_str(&line).with_context(|| format!("answered {line:?}"))?;
        Ok(answer.operations)
    }

    /// Operations a second, measured over `window`.
    ///
    /// # Errors
    /// As [`Target::operations`].
    pub fn rate(&mut self, window: Duration) -> Result<f64> {
        let start = Instant::now();
        let before = self.operations()?;
        std::thread::sleep(window);
        let after = self.operations()?;
        Ok((after - before) as f64 / start.elapsed().as_secs_f64())
    }

    /// Closes its stdin, by which these programs end, and checks that it ended well.
    ///
    /// # Errors
    /// It does not end, or not with status 0.
    pub fn finish(mut self) -> Result<()> {
        let status = self.end()?;
        if !status.success() {
            return Err(self.explain(anyhow!("not in order")));
        }
        Ok(())
    }

    /// Closes its stdin and waits for the end.
    ///
    /// # Errors
    /// It does not end.
    pub fn end(&mut self) -> Result<ExitStatus> {
        self.stdin = None;
        wait_for(&mut self.child, PATIENCE)
    }

    /// True while the process lives.
    ///
    /// # Errors
    /// Its state cannot be had.
    pub fn is_alive(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }

    /// Everything it printed so far.
    #[must_use]
    pub fn printed(&self) -> String {
        String::from_utf8_lossy(&self.stdout.so_far()).into_owned()
    }

    /// Everything it wrote to stderr so far.
    #[must_use]
    pub fn complaints(&self) -> String {
        String::from_utf8_lossy(&self.stderr.so_far()).into_owned()
    }

    /// Where the program text in memory differs from the file.
    ///
    /// # Errors
    /// The text cannot be read.
    pub fn altered_text(&self) -> Result<Vec<AlteredByte>> {
        altered_text(self.pid(), &self.executable)
    }

    /// Fails if any byte of the text differs from the file.
    ///
    /// # Errors
    /// One does, or the text cannot be read.
    pub fn assert_text_is_untouched(&self) -> Result<()> {
        let altered = self.altered_text()?;
        ensure!(altered.is_empty(), "{} bytes of the text differ from the file: {altered:x?}", altered.len());
        Ok(())
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        // The test is over either way, and a process that is gone cannot be killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A byte of program text that is not what the file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AlteredByte {
    /// Offset in the file.
    pub offset: u64,
    /// In the file.
    pub file: u8,
    /// In memory; `0xcc` is a breakpoint.
    pub memory: u8,
}

/// Compares the executable mappings of `executable` in process `pid` with the file.
///
/// # Errors
/// Either cannot be read, or the process does not map the file.
pub fn altered_text(pid: u32, executable: &Path) -> Result<Vec<AlteredByte>> {
    let file = File::open(executable)?;
    let memory = File::open(format!("/proc/{pid}/mem"))?;
    let maps = fs::read_to_string(format!("/proc/{pid}/maps"))?;
    let mut altered = Vec::new();
    let mut compared = 0;
    for text in maps.lines().filter_map(|line| Mapping::text_of(line, executable)) {
        let length = usize::try_from(text.length)?;
        let (mut in_file, mut in_memory) = (vec![0; length], vec![0; length]);
        let on_disk = file.metadata()?.len().saturating_sub(text.offset).min(text.length);
        let on_disk = usize::try_from(on_disk)?;
        file.read_exact_at(&mut in_file[..on_disk], text.offset)?;
        memory.read_exact_at(&mut in_memory, text.start)?;
        let pairs = in_file.iter().zip(&in_memory).take(on_disk);
        altered.extend(pairs.enumerate().filter(|(_, (file, memory))| file != memory).map(
            |(at, (file, memory))| AlteredByte {
                offset: text.offset + at as u64,
                file: *file,
                memory: *memory,
            },
        ));
        compared += on_disk;
    }
    if compared == 0 {
        bail!("process {pid} maps no text of {}:\n{maps}", executable.display());
    }
    Ok(altered)
}

struct Mapping {
    start: u64,
    length: u64,
    offset: u64,
}

impl Mapping {
    /// One line of `/proc/PID/maps`, if it is executable memory of this file.
    fn text_of(line: &str, executable: &Path) -> Option<Self> {
        let mut fields = line.split_ascii_whitespace();
        let (start, end) = fields.next()?.split_once('-')?;
        let executable_memory = fields.next()?.as_bytes().get(2) == Some(&b'x');
        let offset = u64::from_str_radix(fields.next()?, 16).ok()?;
        let path = fields.nth(2)?;
        if !executable_memory || Path::new(path) != executable {
            return None;
        }
        let (start, end) = (u64::from_str_radix(start, 16).ok()?, u64::from_str_radix(end, 16).ok()?);
        Some(Self { start, length: end - start, offset })
    }
}
