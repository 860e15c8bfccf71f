//! `goflow graph`: who waits for whom in a process, as a graph.
//!
//! In: arguments; out: the graph in one of three forms. It looks as `goflow check` does, twice at least.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, ValueEnum};

use super::looks::{How, Origin, examine, parse_time};
use super::options::MemoryOption;
use super::output::OutputFile;
use super::source::SourceArgs;
use crate::detect::Thresholds;
use crate::pipeline::examine::Examination;
use crate::sink::findings::Namer;
use crate::sink::graph::WaitFor;

const EXAMPLES: &str = "\
Examples:
  sudo goflow graph --pid 1234 | dot -Tsvg > waits.svg
      As a picture, by Graphviz; circles are red.
  sudo goflow graph --pid 1234 --format mermaid
      For a page that shows Mermaid, such as an issue.
  sudo goflow graph --pid 1234 --format json | jq -r '.edges[] | select(.circle)'
      The circle alone.
  goflow graph --core core.1234 --binary ./svc --all
      Of a process that is gone, with those that wait for something nobody else has to do with.

Exit status: 0 done, 2 error.";

/// Show who waits for whom, as a graph
///
/// Goroutines that wait and the channels, locks, wait groups and conditions that they wait for, who holds which lock, and who could
/// end which wait. What lies in a circle is marked. The process is read, not stopped, and no probe is placed.
#[derive(Args, Clone)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct GraphArgs {
    #[command(flatten)]
    source: SourceArgs,
    /// Look for this time, such as 1s or 10s
    #[arg(long = "for", value_name = "TIME", default_value = "500ms", value_parser = parse_time, conflicts_with = "core")]
    duration: Duration,
    /// How to write the graph
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = Format::Dot)]
    format: Format,
    /// Write to this file instead of standard output (`-`)
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Also goroutines that wait for something that nobody else is seen to have to do with
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    memory: MemoryOption,
}

/// How a graph is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For Graphviz
    Dot,
    /// One JSON object; docs/check.md explains the fields
    Json,
    /// A Mermaid flow chart
    Mermaid,
}

pub(super) fn run(args: &GraphArgs) -> anyhow::Result<ExitCode> {
    let how = How {
        duration: args.duration,
        most_bytes: args.memory.bytes(),
        thresholds: Thresholds::default(),
        is_over: None,
    };
    examine(args.source.source()?, how, |_| true, |examination, origin| write(args, examination, origin))?;
    Ok(ExitCode::SUCCESS)
}

fn write(args: &GraphArgs, examination: &Examination<'_>, origin: &Origin<'_>) -> anyhow::Result<()> {
    let process = examination.process().context("nothing was read")?;
    let namer = Namer::new(origin.executable.binary(), origin.bias, process, origin.now(examination));
    let graph = WaitFor::of(process, &namer, args.all);
    let mut bytes = Vec::new();
    match args.format {
        Format::Dot => graph.dot(&mut bytes)?,
        Format::Json => graph.json(&mut bytes)?,
        Format::Mermaid => graph.mermaid(&mut bytes)?,
    }
    if graph.is_empty() && args.format != Format::Json {
        tracing::warn!("nobody is seen to wait for another; --all has everybody who waits");
    }
    let written = match args.output.as_deref().filter(|path| *path != Path::new("-")) {
        Some(path) => {
            let mut file = OutputFile::open(path, &args.source.inputs())?;
            file.write_all(&bytes).and_then(|()| file.flush())
        }
        None => io::stdout().lock().write_all(&bytes),
    };
    written.context("the graph could not be written")
}
