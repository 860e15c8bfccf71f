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
    io::stdout().write_all(&script).context("the script could not be written")?;
    Ok(ExitCode::SUCCESS)
}

/// The command line without what is hidden: clap_complete offers everything it is given.
fn visible(command: &clap::Command) -> clap::Command {
    // clap wants names that live for ever. These are a few, and the program ends after this.
    let mut shown = clap::Command::new(&*command.get_name().to_owned().leak())
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
            root.get_subcommands()
                .filter(|command| !command.is_hide_set())
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
    man.render_synopsis_section(&mut page)?;
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

/// A section whose lines stay as they are: examples are to be copied, and their columns line up.
fn verbatim_section(text: &str) -> String {
    let (title, body) = match text.split_once(":\n") {
        Some((title, body)) if !title.contains([' ', '\n']) => (title.to_uppercase(), body),
        _ => ("NOTES".to_owned(), text),
    };
    let mut section = format!(".SH {title}\n.nf\n");
    for line in body.lines() {
        // groff_char(7): these four mean something else unless they are spelled out.
        let escaped =
            line.replace('\\', "\\e").replace('-', "\\-").replace('\'', "\\(aq").replace('`', "\\(ga");
        let guard = if escaped.starts_with('.') { "\\&" } else { "" };
        let _ = writeln!(section, "{guard}{escaped}");
    }
    section + ".fi\n"
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
