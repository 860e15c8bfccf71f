//! `goflow explain`: what a rule of `goflow check` finds, and what to do about it.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;

use crate::detect::{RULES, Rule};

/// Explain a rule of goflow check
///
/// What the rule finds and why that is bad, an example, how to mend it, and when it is a false alarm. Without a rule, lists
/// all of them.
#[derive(Args, Clone)]
pub(super) struct ExplainArgs {
    /// The rule, as findings name it
    #[arg(value_name = "RULE", value_parser = super::check::parse_rule)]
    rule: Option<&'static Rule>,
}

pub(super) fn run(args: &ExplainArgs) -> anyhow::Result<ExitCode> {
    let text = args.rule.map_or_else(list, |rule| rule.page.to_owned());
    anstream::stdout().write_all(text.as_bytes()).context("the explanation could not be written")?;
    Ok(ExitCode::SUCCESS)
}

fn list() -> String {
    let width = RULES.iter().map(|rule| rule.id.len()).max().unwrap_or(0);
    let mut text = String::new();
    for rule in RULES {
        let _ = writeln!(text, "{:width$}  {:8} {}", rule.id, rule.severity.name(), rule.title);
    }
    text
}
