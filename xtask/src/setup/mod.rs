//! `cargo xtask setup`: the shared first half of every other task.
//!
//! One list of requirements (`list`), one loop over it: look, say what is missing and why, get it, look again.
//! Idempotent; when everything is there it prints one line. Only apt-get runs as root, everything else as the caller.

mod debian;
mod go;
mod list;
mod rust;
mod services;

use std::fmt;

use anyhow::{Result, bail};
use clap::ValueEnum;

pub(crate) use go::find as find_go;

use crate::cmd::headline;
use crate::ctx::Ctx;
use list::{Get, Look, REQUIREMENTS, Requirement};

/// Install what goflow needs to be built, shown and tested.
///
/// Looks at each requirement, lists what is missing and why it is needed, and gets it: Debian packages by apt-get (the
/// only step that needs root), a compiler component by rustup, the rest into ~/.cache/goflow. Debian 12 and 13.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Report what is there and what is missing; install nothing. Exit status 1 if anything is missing
    #[arg(long)]
    check: bool,
    /// What to set up for; each includes those before it
    #[arg(long = "for", value_enum, default_value_t = Scope::Test, value_name = "WHAT")]
    scope: Scope,
}

/// The smallest task that needs a thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Scope {
    /// Build goflow
    Build,
    /// Build the demo service as well
    Demo,
    /// Run every test
    Test,
    /// Compare with other tools
    Bench,
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Build => "build",
            Self::Demo => "demo",
            Self::Test => "test",
            Self::Bench => "bench",
        })
    }
}

/// The task itself: reports, or installs and says what to do next.
pub(crate) fn run_task(ctx: &Ctx, args: &Args) -> Result<()> {
    if args.check {
        return check(ctx, args.scope);
    }
    ensure(ctx, args.scope)?;
    eprintln!("\nNext: `cargo xtask demo` shows goflow at work; `cargo xtask test` runs every test.");
    Ok(())
}

fn check(ctx: &Ctx, scope: Scope) -> Result<()> {
    let mut missing = 0;
    for requirement in wanted(scope) {
        match (requirement.look)(ctx) {
            Look::Here(what) => {
                println!("have     {:18} {what}; to {}", requirement.name, requirement.why);
            }
            Look::Missing => {
                missing += 1;
                println!(
                    "missing  {:18} needed to {}; {}",
                    requirement.name,
                    requirement.why,
                    requirement.way()
                );
            }
        }
    }
    let all = wanted(scope).count();
    println!("{}", present(scope, all - missing, all));
    match missing {
        0 => Ok(()),
        n => bail!("{n} of {all} requirements are missing; `cargo xtask setup --for {scope}` gets them"),
    }
}

/// Makes sure that everything `scope` needs is there.
pub(crate) fn ensure(ctx: &Ctx, scope: Scope) -> Result<()> {
    let all: Vec<_> = wanted(scope).collect();
    let look = || all.iter().copied().filter(|r| r.is_missing(ctx)).collect::<Vec<_>>();
    let mut missing = look();
    if missing.is_empty() {
        eprintln!("setup: {}", present(scope, all.len(), all.len()));
        return Ok(());
    }
    if !packages(&missing).is_empty() {
        // What Debian offers decides what is missing: with a recent Go in its lists, no pip is.
        debian::refresh_lists(ctx, &packages(&missing))?;
        missing = look();
    }
    headline(&format!(
        "setup: {}; the rest will be installed now",
        present(scope, all.len() - missing.len(), all.len())
    ));
    for requirement in &missing {
        eprintln!("  {:18} needed to {}; {}", requirement.name, requirement.why, requirement.way());
    }
    install(ctx, &missing)?;
    eprintln!("setup: done; {}", present(scope, all.len(), all.len()));
    Ok(())
}

/// A smaller task needs less, so the numbers differ from task to task.
fn present(scope: Scope, there: usize, all: usize) -> String {
    format!("{there} of {all} requirements of `{scope}` present ({} for all tasks)", REQUIREMENTS.len())
}

fn install(ctx: &Ctx, missing: &[&Requirement]) -> Result<()> {
    debian::install(ctx, &packages(missing))?;
    for requirement in missing {
        if let Get::Task { run, .. } = requirement.get
            && requirement.is_missing(ctx)
        {
            headline(&format!("setup: {}", requirement.name));
            run(ctx)?;
        }
        if requirement.is_missing(ctx) {
            bail!(
                "{} was installed and still cannot be found; it is needed to {}",
                requirement.name,
                requirement.why
            );
        }
    }
    Ok(())
}

/// Debian packages of all missing requirements, for one call of apt-get.
fn packages(missing: &[&Requirement]) -> Vec<&'static str> {
    missing
        .iter()
        .flat_map(|requirement| match requirement.get {
            Get::Packages(packages) => packages,
            Get::Task { .. } => &[],
        })
        .copied()
        .collect()
}

fn wanted(scope: Scope) -> impl Iterator<Item = &'static Requirement> {
    REQUIREMENTS.iter().filter(move |requirement| requirement.scope <= scope)
}
