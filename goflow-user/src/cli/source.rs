//! What `snapshot`, `check` and `graph` read: a process, or a core file that one has left.
//!
//! In: `--pid`, `--core` and `--binary`; out: what these name, opened, and errors that say what to do. A process is opened before
//! the program that it runs, so that whoever finds nothing to read can ask whether it has ended.

use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, bail};
use clap::{ArgGroup, Args};

use crate::advice::Advise as _;
use crate::binary::addr::LoadBias;
use crate::target::Pid;
use crate::target::core::{CoreFile, CoreMemory};
use crate::target::executable::Executable;
use crate::target::memory::MemoryError;
use crate::target::process::{self, Process};
use crate::target::refusal::Refusal;
use crate::target::snapshot::reader::SnapshotError;

/// What helps where a core file and a program do not belong together.
const OTHER_PROGRAM: &str = "give the very program that the core file is of with --binary FILE";

// No doc comment: clap would take it for the text of each command that has these.
#[derive(Args, Clone)]
#[command(group = ArgGroup::new("source").args(["pid", "core"]).required(true))]
pub(super) struct SourceArgs {
    /// Look at this process
    #[arg(long, value_name = "PID", value_parser = clap::value_parser!(u32).range(1..))]
    pid: Option<u32>,
    /// Look at the process that left this core file
    #[arg(long, value_name = "FILE")]
    core: Option<PathBuf>,
    /// The executable that the core file is of; without it, the one that the core file names
    #[arg(long, value_name = "FILE", requires = "core", conflicts_with = "pid")]
    binary: Option<PathBuf>,
}

/// What is to be read.
#[derive(Clone, Copy, Debug)]
pub(super) enum Source<'a> {
    /// A process.
    Process(Pid),
    /// A core file, and the program that it is said to be of.
    Core(&'a Path, Option<&'a Path>),
}

impl SourceArgs {
    pub(super) fn source(&self) -> anyhow::Result<Source<'_>> {
        match (self.pid, &self.core) {
            (Some(pid), _) => Ok(Source::Process(Pid(pid))),
            (None, Some(core)) => Ok(Source::Core(core, self.binary.as_deref())),
            (None, None) => bail!("nothing to look at: give --pid PID or --core FILE"),
        }
    }

    /// Files that are read, so none of them may be written.
    pub(super) fn inputs(&self) -> Vec<PathBuf> {
        self.core.iter().chain(&self.binary).cloned().collect()
    }
}

/// Opens a process.
///
/// # Errors
/// There is none, or it is a thread.
pub(super) fn open_process(pid: Pid) -> anyhow::Result<Process> {
    Process::open(pid)
        .map_err(|error| match error.raw_os_error() {
            Some(libc::ESRCH) => anyhow!("there is no process {pid}"),
            _ => anyhow!(error).context(format!("process {pid} cannot be opened")),
        })
        .advise(|| "`pgrep -l NAME` finds the pid of a program")
}

/// The program that a process runs, and how far it was moved.
///
/// # Errors
/// It is none of Go's, or may not be read.
pub(super) fn program_of(pid: Pid) -> anyhow::Result<(Executable, LoadBias)> {
    let executable = Executable::of_process(pid).map_err(anyhow::Error::from).or_else(advise)?;
    let bias = bias_of(pid, &executable)?;
    Ok((executable, bias))
}

/// How far the program of a process was moved.
///
/// # Errors
/// The memory map may not be read, or the process runs another program by now.
pub(super) fn bias_of(pid: Pid, executable: &Executable) -> anyhow::Result<LoadBias> {
    process::load_bias(pid, executable.binary().image().lowest_address())
        .with_context(|| format!("where process {pid} has its program is not known"))
        .or_else(advise)
}

/// A core file and its program.
pub(super) struct OpenedCore {
    pub(super) core: CoreFile,
    pub(super) executable: Executable,
}

impl OpenedCore {
    /// Opens both.
    ///
    /// # Errors
    /// One of them is not what it should be.
    pub(super) fn open(path: &Path, binary: Option<&Path>) -> anyhow::Result<Self> {
        let core = CoreFile::open(path)
            .advise(|| "give --core the file that the kernel, gcore or systemd-coredump wrote")?;
        let binary = binary
            .or(core.executable())
            .with_context(|| format!("{} does not name its program", path.display()))
            .advise(|| "give the program with --binary FILE")?;
        let executable = Executable::open(binary).advise(|| OTHER_PROGRAM)?;
        Ok(Self { core, executable })
    }

    /// What was in memory.
    ///
    /// # Errors
    /// The core file is of another program.
    pub(super) fn memory(&self) -> anyhow::Result<CoreMemory<'_>> {
        self.core.memory(self.executable.binary(), self.executable.path()).advise(|| OTHER_PROGRAM)
    }
}

/// Says of what was read from a core file that it may be of another program.
pub(super) fn advise_other_program<T>(result: Result<T, impl Into<anyhow::Error>>) -> anyhow::Result<T> {
    result.advise(|| OTHER_PROGRAM)
}

/// The kernel does not let this user read the process.
pub(super) fn is_refused(error: &anyhow::Error) -> bool {
    error.chain().any(|link| {
        let io = link.downcast_ref::<io::Error>().map(io::Error::kind);
        let memory = match link.downcast_ref::<SnapshotError>() {
            Some(SnapshotError::Memory(memory)) => Some(memory),
            _ => link.downcast_ref::<MemoryError>(),
        };
        io == Some(io::ErrorKind::PermissionDenied) || matches!(memory, Some(MemoryError::Refused { .. }))
    })
}

/// Adds what helps where the kernel refuses.
pub(super) fn advise<T>(error: anyhow::Error) -> anyhow::Result<T> {
    if is_refused(&error) {
        return Err(error).advise(|| Refusal::detect().advice_to_read());
    }
    Err(error)
}
