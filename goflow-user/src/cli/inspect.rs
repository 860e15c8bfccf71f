//! `goflow inspect`: everything that can be known about a program from its file, without running it.
//!
//! In: a path; out: its facts as text for people or as one JSON object with stable keys, and what is not available with
//! the reason. It needs no privilege but to read the file. What `goflow trace` would refuse, it refuses the same way.

mod facts;
mod text;

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, ValueEnum};

use self::facts::Facts;
use crate::target::executable::Executable;

const EXAMPLES: &str = "\
Examples:
  goflow inspect ./svc
      What goflow knows about a program, and where its probes would go.
  goflow inspect /proc/1234/exe
      The program that a process runs, also when its file was replaced or is in a container.
  goflow inspect --format json ./svc | jq -r '.not_available[] | .what + \": \" + .why'
      What would be missing from a trace, and why.
  goflow inspect --format json ./svc | jq -r '.functions[] | .name + \" \" + .address'
      Where the probed functions are.

Exit status: 0 for a Go program that goflow can read, 2 for anything else.";

/// Show what goflow knows about a Go program from its file alone
///
/// Go version, module, build ids, where names and struct offsets come from, the addresses of the runtime's variables,
/// and for each probed function the instruction that would be probed. At the end stands what will not be available in a
/// trace of this program, and why. Nothing is run and no privilege is needed; a stripped program is as good as any.
#[derive(Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct InspectArgs {
    /// The executable, as `go build` made it or as it was shipped
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// How to write the facts
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = Format::Text)]
    format: Format,
}

/// How facts are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people: one fact a line
    Text,
    /// For programs: one JSON object; docs/inspect.md explains the fields
    Json,
}

pub(super) fn run(args: &InspectArgs) -> anyhow::Result<ExitCode> {
    let executable = Executable::open(&args.file)?;
    let facts = Facts::of(&args.file, executable.binary());
    let mut out = match args.format {
        Format::Text => text::page(&facts).into_bytes(),
        Format::Json => serde_json::to_vec(&facts).context("the facts could not be written as JSON")?,
    };
    if args.format == Format::Json {
        out.push(b'\n');
    }
    io::stdout().write_all(&out).context("the facts could not be written")?;
    Ok(ExitCode::SUCCESS)
}
