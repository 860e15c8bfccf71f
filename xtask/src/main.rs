//! Project tasks: `cargo xtask <task>`. This file parses and dispatches; each task is a module of its own.
//!
//! Depends on nothing that needs setting up, so that the first command on a bare machine can explain itself.

mod bench;
mod build;
mod cmd;
mod ctx;
mod demo;
mod generate;
mod install;
mod setup;
mod test;
mod tidy;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// goflow's project tasks.
///
/// Each task does all set-up that it needs, says before it installs anything, and can be repeated. Run as root, or as
/// a user with sudo: then everything is built as the user, and sudo is used for Debian packages and for tracing only.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    Setup(setup::Args),
    Build(build::Args),
    Demo(demo::Args),
    Test(test::Args),
    Bench(bench::Args),
    Generate(generate::Args),
    Tidy(tidy::Args),
    Install(install::Args),
}

fn main() -> ExitCode {
    match run(Cli::parse().task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> Result<()> {
    let ctx = ctx::Ctx::find()?;
    match task {
        Task::Setup(args) => setup::run_task(&ctx, &args),
        Task::Build(args) => build::run_task(&ctx, &args),
        Task::Demo(args) => demo::run_task(&ctx, &args),
        Task::Test(args) => test::run_task(&ctx, &args),
        Task::Bench(args) => bench::run_task(&ctx, &args),
        Task::Generate(args) => generate::run_task(&ctx, &args),
        Task::Tidy(args) => tidy::run_task(&ctx, &args),
        Task::Install(args) => install::run_task(&ctx, &args),
    }
}
