//! The command line: parses, calls one subcommand, and turns its result into an exit status.
//!
//! In: the arguments of the process; out: 0 when the command did what was asked, 2 on an error of any kind (1 is for
//! commands that have findings). An error is printed as what failed and why, and what to do next, on standard error.
//! Colour goes only where it can be shown.

mod check;
mod ctl;
mod doctor;
mod explain;
mod graph;
mod inspect;
mod looks;
mod options;
pub mod out_of_memory;
mod output;
mod progress;
pub mod reference;
mod snapshot;
mod source;
mod trace;

use std::ffi::OsString;
use std::fmt;
use std::io::{self, Write as _};
use std::process::ExitCode;

use anstyle::{AnsiColor, Style};
use anyhow::Context as _;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{ArgAction, Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum};
use tracing::Subscriber;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::advice::{advice_of, messages};
use crate::binary::BinaryError;
use crate::probe::attach::AttachError;
use crate::probe::load::LoadError;
use crate::sink::printable::printable;
use crate::target::executable::{self, ExecutableError};
use crate::target::host;
use crate::target::refusal::Refusal;
use crate::target::spawn::SpawnError;

/// Exit status of every error, also of wrong usage.
const EXIT_ERROR: u8 = 2;

const EXAMPLES: &str = "\
Examples:
  sudo goflow trace --pid 1234              what happens in a running process, until Ctrl-C
  sudo goflow trace --duration 10s -- ./svc a command from its first instruction, for ten seconds
  sudo goflow trace --pid 1234 --level blocking
                                            only who blocks and who wakes whom: cheaper
  sudo goflow snapshot --pid 1234           what every goroutine is doing now
  sudo goflow check --pid 1234              what is wrong: deadlocks, leaked goroutines
  goflow check -- go test ./...             the same of each test program
  sudo goflow ctl level blocking            a trace that runs is to see less from now on
  goflow inspect ./svc                      what is known of a program, and where probes would go
  goflow doctor                             whether this machine can trace, and how to mend it

Exit status: 0 done, 1 findings of `goflow check`, 2 error. `goflow trace -- CMD` passes on the status of CMD, \
and so does `goflow check -- CMD` where it finds nothing.";

/// See every goroutine and channel of a running Go program.
///
/// goflow attaches to any Go program (1.18 or later) on Linux without a rebuild, a restart or an import, stripped or
/// not, and never stops it or writes to it.
#[derive(Parser)]
#[command(name = "goflow", version, after_long_help = EXAMPLES, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    global: Global,
}

#[derive(Args)]
#[command(next_help_heading = "Everywhere")]
struct Global {
    /// When to use colours
    #[arg(long, global = true, value_enum, value_name = "WHEN", default_value_t = Color::Auto)]
    color: Color,
    /// Tell more about what goflow does and how long each step takes, on standard error; repeat for more
    #[arg(short, long, global = true, action = ArgAction::Count)]
    verbose: u8,
}

#[derive(Subcommand)]
enum Command {
    Trace(trace::TraceArgs),
    Snapshot(snapshot::SnapshotArgs),
    Check(check::CheckArgs),
    Explain(explain::ExplainArgs),
    Graph(graph::GraphArgs),
    Ctl(ctl::CtlArgs),
    Inspect(inspect::InspectArgs),
    Doctor(doctor::DoctorArgs),
    Completions(reference::CompletionsArgs),
    #[command(hide = true)]
    Man(reference::ManArgs),
}

/// When to use colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Color {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

impl From<Color> for anstream::ColorChoice {
    fn from(color: Color) -> Self {
        match color {
            Color::Auto => Self::Auto,
            Color::Always => Self::Always,
            Color::Never => Self::Never,
        }
    }
}

/// The whole command line, as clap sees it.
fn command() -> clap::Command {
    Cli::command()
}

/// Runs the command line of this process and returns its exit status.
#[must_use]
pub fn run() -> ExitCode {
    out_of_memory::be_sparing();
    executable::survive_truncation();
    output::survive_size_limit();
    let cli = match parse(std::env::args_os()) {
        Ok(cli) => cli,
        Err(error) => {
            let status = ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(EXIT_ERROR));
            return finish(error.print().map(|()| status).context("the help could not be written"));
        }
    };
    anstream::ColorChoice::write_global(cli.global.color.into());
    log_to_stderr(cli.global.verbose);
    let result = match cli.command {
        Command::Trace(args) => trace::run(&args),
        Command::Snapshot(args) => snapshot::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Graph(args) => graph::run(&args),
        Command::Ctl(args) => ctl::run(&args),
        Command::Inspect(args) => inspect::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Completions(args) => reference::completions(&args),
        Command::Man(args) => reference::man(&args),
    };
    finish(result)
}

/// The exit status of a result, once what was printed has been written and an error told.
fn finish(result: anyhow::Result<ExitCode>) -> ExitCode {
    // What is left in the buffer would be dropped without a word where it cannot be written, as on a full disk.
    let written = || io::stdout().flush().context("standard output could not be written");
    let result = result.and_then(|status| match written() {
        // What was found is the same without a reader.
        Err(error) if is_broken_pipe(&error) => Ok(status),
        written => written.map(|()| status),
    });
    result.unwrap_or_else(|error| {
        if is_broken_pipe(&error) {
            return ExitCode::SUCCESS;
        }
        // Nothing is left to tell it to when standard error is closed.
        let _ = print_error(&error);
        ExitCode::from(EXIT_ERROR)
    })
}

/// Parses with the colours asked for, which clap itself would learn too late for its own messages.
fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Cli, clap::Error> {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let mut command = command().color(colour_of_messages(&arguments));
    let matches = command.try_get_matches_from_mut(&arguments);
    let mut matches = matches.map_err(|error| with_suggestion(error, &arguments))?;
    let of_trace = matches.subcommand_matches("trace");
    let has_budget =
        of_trace.and_then(|matches| matches.value_source("budget")) == Some(ValueSource::CommandLine);
    let cli = Cli::from_arg_matches_mut(&mut matches).map_err(|error| error.format(&mut command))?;
    if let Command::Trace(args) = &cli.command {
        args.check(&mut command, has_budget)?;
    }
    Ok(cli)
}

/// Says how a target is given to whoever gave one as it is, where clap knows only that it expects none there.
fn with_suggestion(mut error: clap::Error, arguments: &[OsString]) -> clap::Error {
    let words: Vec<&str> = arguments.iter().map(|word| word.to_str().unwrap_or_default()).collect();
    let Some(ContextValue::String(first)) = error.get(ContextKind::InvalidArg) else { return error };
    if error.kind() != ErrorKind::UnknownArgument || first.starts_with('-') {
        return error;
    }
    let at = words.iter().position(|word| word == first).unwrap_or(words.len());
    let tip = words[..at].iter().find_map(|word| match *word {
        "trace" => trace::suggestion(&words[at..]),
        "snapshot" => snapshot::suggestion(first),
        "check" => Some(check::suggestion(first)),
        _ => None,
    });
    if let Some(tip) = tip {
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
    }
    error
}

fn colour_of_messages(arguments: &[OsString]) -> clap::ColorChoice {
    let words: Vec<&str> =
        arguments.iter().take_while(|word| *word != "--").filter_map(|word| word.to_str()).collect();
    let given = |when: &str| {
        let joined = format!("--color={when}");
        words.contains(&joined.as_str()) || words.windows(2).any(|pair| pair == ["--color", when])
    };
    match (given("always"), given("never")) {
        (true, _) => clap::ColorChoice::Always,
        (_, true) => clap::ColorChoice::Never,
        _ => clap::ColorChoice::Auto,
    }
}

/// Warnings by default; `-v` to `-vvv` for more, in goflow's own modules.
fn log_to_stderr(verbose: u8) {
    let level = match verbose {
        0 => "warn",
        1 => "warn,goflow_user=info",
        2 => "info,goflow_user=debug",
        _ => "debug,goflow_user=trace",
    };
    let colour = anstream::AutoStream::choice(&io::stderr()) != anstream::ColorChoice::Never;
    let log = tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::new(level))
        .with_writer(io::stderr)
        // What cannot be written, because the terminal was closed, would be told to that terminal, by a panic.
        .log_internal_errors(false)
        .with_ansi(colour);
    if verbose == 0 { log.event_format(ForUsers).init() } else { log.init() }
}

/// A message for whoever uses goflow, without the time and the module that whoever mends it wants.
struct ForUsers;

impl<S, N> FormatEvent<S, N> for ForUsers
where
    S: Subscriber + for<'lookup> LookupSpan<'lookup>,
    N: for<'writer> FormatFields<'writer> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &tracing::Event<'_>,
    ) -> fmt::Result {
        write!(writer, "goflow: ")?;
        context.field_format().format_fields(writer.by_ref(), event)?;
        writeln!(writer)
    }
}

/// `goflow trace | head` is not an error.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let mut sources = error.chain().filter_map(|link| link.downcast_ref::<io::Error>());
    sources.any(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

fn print_error(error: &anyhow::Error) -> io::Result<()> {
    const NAME: Style = AnsiColor::Red.on_default().bold();
    const HELP: Style = AnsiColor::Cyan.on_default().bold();
    let of_binary =
        || error.chain().find_map(|link| link.downcast_ref::<BinaryError>()).map(|of| of.advice().to_owned());
    let mut stderr = anstream::stderr().lock();
    writeln!(stderr, "{NAME}goflow{NAME:#}: {}", printable_lines(&messages(error).join(": ")))?;
    let certain = advice_on_files(error).or_else(|| advice_on_tasks(error));
    match certain
        .or_else(|| advice_of(error).map(str::to_owned))
        .or_else(of_binary)
        .or_else(|| advice_by_kind(error))
    {
        Some(advice) => writeln!(stderr, "{HELP}help{HELP:#}: {}", printable_lines(&advice)),
        None => Ok(()),
    }
}

/// What helps where no more files may be opened, whatever it was that needed one.
fn advice_on_files(error: &anyhow::Error) -> Option<String> {
    let mut errors = error.chain().filter_map(|link| link.downcast_ref::<io::Error>());
    let error = errors.find(|error| host::is_out_of_files(error))?;
    if error.raw_os_error() == Some(libc::ENFILE) {
        return Some("the whole system has no more: raise fs.file-max, or end what holds them".to_owned());
    }
    let limit = host::open_files_limits().0.map_or("no limit".to_owned(), |limit| limit.to_string());
    Some(format!(
        "the limit on open files is {limit}: raise it (`ulimit -n 1024`, LimitNOFILE= of a systemd unit, nofile of a container)"
    ))
}

/// What helps where no more threads or processes may be started, or nothing more mapped.
fn advice_on_tasks(error: &anyhow::Error) -> Option<String> {
    error.chain().find_map(|link| {
        if let Some(SpawnError::Start { error, .. }) = link.downcast_ref::<SpawnError>() {
            return host::is_out_of_tasks(error).then(host::advice_on_tasks);
        }
        let of_task = link.downcast_ref::<host::NoTask>().and_then(host::NoTask::advice);
        of_task.or_else(|| host::advice_on_addresses(link.downcast_ref::<io::Error>()?))
    })
}

/// What helps against a whole kind of errors. The rest says in its message what to do.
fn advice_by_kind(error: &anyhow::Error) -> Option<String> {
    error.chain().find_map(|link| {
        let executable = link.downcast_ref::<ExecutableError>();
        if let Some(ExecutableError::Open { error, .. }) = executable {
            let is_missing = error.kind() == io::ErrorKind::NotFound;
            return is_missing.then(|| "give the path of a Go program".to_owned());
        }
        if let Some(ExecutableError::NotAllowed { .. }) = executable {
            return Some(Refusal::detect().advice_to_look());
        }
        if let Some(error) = link.downcast_ref::<io::Error>() {
            return advice_on_writing(error.kind()).map(str::to_owned);
        }
        let attach = link.downcast_ref::<AttachError>();
        // It is no fault of the machine that a process has ended.
        let is_of_kernel =
            attach.is_some_and(|error| !matches!(error, AttachError::Gone(_))) || link.is::<LoadError>();
        is_of_kernel.then(|| "`goflow doctor` tells what this machine lacks, -v tells more".to_owned())
    })
}

/// What helps where an output has no more room.
fn advice_on_writing(kind: io::ErrorKind) -> Option<&'static str> {
    match kind {
        io::ErrorKind::FileTooLarge => {
            Some("raise the limit on file sizes (`ulimit -f unlimited`), or write to a pipe")
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            Some("make room, or give --output a file in another place")
        }
        _ => None,
    }
}

/// Messages name files and quote what stands in them; those of the kernel have several lines.
fn printable_lines(text: &str) -> String {
    text.split('\n').map(printable).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        command().debug_assert();
    }

    #[test]
    fn colours_of_clap_follow_the_flag_but_not_that_of_the_traced_command() {
        let choice =
            |words: &[&str]| colour_of_messages(&words.iter().map(OsString::from).collect::<Vec<_>>());
        assert_eq!(choice(&["goflow", "--color", "never", "trace"]), clap::ColorChoice::Never);
        assert_eq!(choice(&["goflow", "trace", "--color=always"]), clap::ColorChoice::Always);
        assert_eq!(choice(&["goflow", "trace", "--", "ls", "--color=always"]), clap::ColorChoice::Auto);
    }

    #[test]
    fn whatever_needed_a_file_too_many_the_limit_is_named() {
        let too_many = || io::Error::from_raw_os_error(libc::EMFILE);
        let refused = AttachError::Refused { sites: 14, error: too_many() };
        let filled = LoadError::Fill(too_many());
        for error in [
            refused.into(),
            filled.into(),
            anyhow::Error::from(too_many()).context("signals cannot be received"),
        ] {
            let advice = advice_on_files(&error).unwrap_or_else(|| panic!("{error:?}"));
            assert!(advice.contains("the limit on open files is"), "{advice}");
        }
        assert_eq!(advice_on_files(&anyhow::anyhow!("Too many open files")), None);
    }

    #[test]
    fn a_closed_pipe_is_recognised_under_any_context() {
        let error =
            anyhow::Error::from(io::Error::from(io::ErrorKind::BrokenPipe)).context("the output failed");
        assert!(is_broken_pipe(&error));
        assert!(!is_broken_pipe(&anyhow::anyhow!("broken pipe")));
    }
}
