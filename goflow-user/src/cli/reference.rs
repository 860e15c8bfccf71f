//! What is generated from the command line's own description: completions, man pages, and the page `docs/cli.md`.
//!
//! In: clap's model of the command line; out: text. [`markdown`] is also what the test of that page compares with.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use clap_complete::Shell;
use clap_mangen::Man;

use crate::advice::Advise as _;

/// Columns of the generated page.
const PAGE_WIDTH: usize = 100;

/// Print a completion script for a shell
#[derive(Args)]
#[command(after_long_help = "\
Examples:
  goflow completions bash > /etc/bash_completion.d/goflow
  goflow completions zsh > \"${fpath[1]}/_goflow\"
  goflow completions fish > ~/.config/fish/completions/goflow.fish")]
pub(super) struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Write the man pages
#[derive(Args)]
pub(super) struct ManArgs {
    /// The directory to write them to; it is created if need be
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

pub(super) fn completions(args: &CompletionsArgs) -> anyhow::Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut visible(&super::command()), "goflow", &mut script);
    let script = with_pids(args.shell, &String::from_utf8(script)?);
    io::stdout().write_all(script.as_bytes()).context("the script could not be written")?;
    Ok(ExitCode::SUCCESS)
}

/// Offers running processes where a pid is wanted, for which clap_complete has no word. Other shells offer nothing there.
fn with_pids(shell: Shell, script: &str) -> String {
    match shell {
        Shell::Bash => {
            let files = r#"COMPREPLY=($(compgen -f "${cur}"))"#;
            let pids = r#"COMPREPLY=($(compgen -W "$(cd /proc && echo [0-9]*)" -- "${cur}"))"#;
            ["--pid)\n", "--session)\n"].into_iter().fold(script.to_owned(), |script, option| {
                let mut pieces = script.split(option);
                let first = pieces.next().unwrap_or_default().to_owned();
                pieces.fold(first, |out, piece| out + option + &piece.replacen(files, pids, 1))
            })
        }
        Shell::Zsh => script.replace(":PID:_default'", ":PID:_pids'"),
        Shell::Fish => {
            let with_pids = |line: &str| {
                let is_pid = [" -l pid ", " -l session "].iter().any(|option| line.contains(option));
                let is_pid = is_pid && line.ends_with(" -r");
                line.to_owned() + if is_pid { " -f -a '(__fish_complete_pids)'\n" } else { "\n" }
            };
            script.lines().map(with_pids).collect()
        }
        _ => script.to_owned(),
    }
}

/// The command line without what is hidden: clap_complete offers everything it is given.
fn visible(command: &clap::Command) -> clap::Command {
    // clap wants names that live for ever. These are a few, and the program ends after this.
    let mut shown = clap::Command::new(&*command.get_name().to_owned().leak())
        .disable_help_subcommand(command.is_disable_help_subcommand_set())
        .args(command.get_arguments().filter(|argument| !argument.is_hide_set()).cloned())
        .subcommands(command.get_subcommands().filter(|command| !command.is_hide_set()).map(visible));
    if let Some(about) = command.get_about() {
        shown = shown.about(about.clone());
    }
    if let Some(version) = command.get_version() {
        shown = shown.version(&*version.to_owned().leak()).propagate_version(true);
    }
    shown
}

pub(super) fn man(args: &ManArgs) -> anyhow::Result<ExitCode> {
    let failed = || format!("the man pages could not be written to {}", args.out.display());
    std::fs::create_dir_all(&args.out)
        .and_then(|()| {
            let mut root = super::command().disable_help_subcommand(true);
            root.build();
            let below = root
                .get_subcommands()
                .flat_map(|command| [command].into_iter().chain(command.get_subcommands()));
            below
                .filter(|command| !command.is_hide_set() && command.get_name() != "help")
                .chain([&root])
                .try_for_each(|command| write_man_page(command, &args.out))
        })
        .with_context(failed)
        .advise(|| "give a directory that you may write to: goflow man --out DIR")?;
    Ok(ExitCode::SUCCESS)
}

fn write_man_page(command: &clap::Command, out: &Path) -> io::Result<()> {
    let man = Man::new(without_first_line(command)).source(concat!("goflow ", env!("CARGO_PKG_VERSION")));
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    page.extend_from_slice(synopsis_section(command).as_bytes());
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if command.get_subcommands().any(|command| !command.is_hide_set()) {
        man.render_subcommands_section(&mut page)?;
    }
    if let Some(text) = command.get_after_long_help() {
        page.extend_from_slice(verbatim_section(&text.to_string()).as_bytes());
    }
    std::fs::write(out.join(man.get_filename()), page)
}

/// The description without the line that NAME has already.
fn without_first_line(command: &clap::Command) -> clap::Command {
    let rest = command.get_long_about().and_then(|long| {
        let about = command.get_about()?.to_string();
        long.to_string()
            .strip_prefix(&about)?
            .strip_prefix('.')
            .map(str::to_owned)
            .or_else(|| long.to_string().strip_prefix(&about).map(str::to_owned))
    });
    match rest.as_deref().map(str::trim_start) {
        Some(rest) if !rest.is_empty() => command.clone().long_about(rest.to_owned()),
        _ => command.clone(),
    }
}

/// How the command is used as its help says it, where clap_mangen leaves out what an option wants.
fn synopsis_section(command: &clap::Command) -> String {
    let usage = command.clone().render_usage().to_string();
    let lines = usage.lines().map(|line| line.strip_prefix("Usage: ").unwrap_or(line).trim());
    lines.fold(".SH SYNOPSIS\n".to_owned(), |section, line| section + &escaped(line) + "\n.br\n")
}

/// A section whose lines stay as they are: examples are to be copied, and their columns line up.
fn verbatim_section(text: &str) -> String {
    let (title, body) = match text.split_once(":\n") {
        Some((title, body)) if !title.contains([' ', '\n']) => (title.to_uppercase(), body),
        _ => ("NOTES".to_owned(), text),
    };
    let mut section = format!(".SH {title}\n.nf\n");
    for line in body.lines() {
        let _ = writeln!(section, "{}", escaped(line));
    }
    section + ".fi\n"
}

/// A line of text for roff(7).
fn escaped(line: &str) -> String {
    // groff_char(7): these four mean something else unless they are spelled out.
    let escaped = line.replace('\\', "\\e").replace('-', "\\-").replace('\'', "\\(aq").replace('`', "\\(ga");
    let guard = if escaped.starts_with('.') { "\\&" } else { "" };
    format!("{guard}{escaped}")
}

/// The page `docs/cli.md`: the long help of every command that is not hidden.
#[must_use]
pub fn markdown() -> String {
    let mut page = String::from(
        "# goflow: the command line\n\n\
         <!-- Generated by `GOFLOW_UPDATE_DOCS=1 cargo test -p goflow-user --test cli`; do not edit. -->\n\n\
         The same text as `goflow help` and `goflow COMMAND --help` print.\n",
    );
    let mut root = super::command().term_width(PAGE_WIDTH).disable_help_subcommand(true);
    root.build();
    section(&mut page, &mut root);
    for command in root.get_subcommands_mut().filter(|command| !command.is_hide_set()) {
        section(&mut page, command);
        command.get_subcommands_mut().for_each(|command| section(&mut page, command));
    }
    page
}

fn section(page: &mut String, command: &mut clap::Command) {
    let name = command.get_display_name().unwrap_or(command.get_name()).replace('-', " ");
    let help = command.render_long_help().to_string();
    // Writing to a String cannot fail.
    let _ = write!(page, "\n## {name}\n\n```text\n");
    for line in help.lines() {
        let _ = writeln!(page, "{}", line.trim_end());
    }
    page.push_str("```\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn completions_offer_the_processes_that_run_where_a_pid_is_wanted() {
        for (shell, word) in
            [(Shell::Bash, "cd /proc"), (Shell::Zsh, ":PID:_pids'"), (Shell::Fish, "__fish_complete_pids")]
        {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut visible(&crate::cli::command()), "goflow", &mut script);
            let script = with_pids(shell, std::str::from_utf8(&script).unwrap());
            // Of trace, of snapshot, of check and of graph, and the session of ctl and of each of its three commands.
            assert_eq!(script.matches(word).count(), 8, "{shell}: {script}");
            assert!(script.contains("--output") || script.contains("-l output"), "{shell}: {script}");
        }
    }

    #[test]
    fn the_synopsis_names_the_value_of_each_option_that_is_needed() {
        let mut root = crate::cli::command().disable_help_subcommand(true);
        root.build();
        let synopsis = |name| synopsis_section(root.find_subcommand(name).unwrap());
        assert_eq!(
            synopsis("snapshot"),
            ".SH SYNOPSIS\ngoflow snapshot [OPTIONS] <\\-\\-pid <PID>|\\-\\-core <FILE>>\n.br\n"
        );
        assert!(synopsis("trace").contains("<\\-\\-pid PID | \\-\\-binary PATH"), "{}", synopsis("trace"));
    }

    #[test]
    fn each_example_is_one_line_of_a_page_and_so_one_to_copy() {
        let mut root = crate::cli::command();
        root.build();
        let commands: Vec<&clap::Command> = [&root].into_iter().chain(root.get_subcommands()).collect();
        for text in commands.iter().filter_map(|command| command.get_after_long_help()) {
            for line in
                text.to_string().lines().filter(|line| line.contains("goflow ") && line.starts_with("  "))
            {
                assert!(line.chars().count() <= PAGE_WIDTH, "{line}");
            }
        }
    }

    #[test]
    fn completions_offer_what_help_shows_and_nothing_that_is_hidden() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish, Shell::Elvish, Shell::PowerShell] {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut visible(&crate::cli::command()), "goflow", &mut script);
            let script = String::from_utf8(script).unwrap();
            for word in ["stack-depth", "inspect", "color", "version"] {
                assert!(script.contains(word), "{shell} does not offer {word}");
            }
            for word in ["attach", "uprobe-multi"] {
                let offered = script.lines().find(|line| line.contains(&format!("-{word}")));
                assert_eq!(offered, None, "{shell} offers {word}");
            }
            assert!(!script.contains("man pages"), "{shell} offers the hidden command man");
        }
    }
}
