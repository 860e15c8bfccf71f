//! `cargo xtask bench`: the numbers that goflow promises, measured against what else there is on the same machine.

use anyhow::Result;
use clap::ValueEnum;

use crate::build;
use crate::cmd::run;
use crate::ctx::{Ctx, Rank};
use crate::setup::{self, Scope};
use crate::test::{sudo_runner, test_variables};

/// Measure what goflow costs.
///
/// Ratios of interleaved rounds against an empty program and against bpftrace in the same run, so that a busy machine
/// disturbs both sides alike. Leave the machine alone while this runs.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// What to measure
    #[arg(value_enum)]
    what: What,
    /// Sections of it, such as per-hit, session, time, cost, own, estimates, or rows of overhead, such as pingpong or http, and how many rounds
    /// of it (default: all)
    sections: Vec<String>,
}

#[derive(Clone, Copy, ValueEnum)]
enum What {
    /// `goflow trace`: cost per hit, attach and detach, throughput, memory
    Trace,
    /// `goflow snapshot`: how long one takes, and what it costs the target
    Snapshot,
    /// The model: events a second, memory of a goroutine
    Model,
    /// What programs under load lose to each level, to the default budget, and to bpftrace; some 40 minutes
    Overhead,
    /// What `goflow check` finds in a corpus of programs whose faults are known, and what it blames that is right; two minutes
    Detect,
}

impl What {
    /// Name of the bench in tests/Cargo.toml.
    fn bench(self) -> &'static str {
        match self {
            Self::Trace => "trace",
            Self::Snapshot => "snapshot",
            Self::Model => "model",
            Self::Overhead => "overhead",
            Self::Detect => "detect",
        }
    }
}

/// Sets up, builds the release goflow, measures it.
pub(crate) fn run_task(ctx: &Ctx, args: &Args) -> Result<()> {
    setup::ensure(ctx, Scope::Bench)?;
    build::release(ctx)?;
    let vars = test_variables(ctx)?;
    let mut bench = ctx.cargo();
    bench
        .args(["bench", "--package", "goflow-tests", "--bench", args.what.bench(), "--"])
        .args(&args.sections);
    if ctx.rank == Rank::Sudo {
        let triple = build::host(ctx)?.to_uppercase().replace('-', "_");
        bench.env(format!("CARGO_TARGET_{triple}_RUNNER"), sudo_runner(ctx, &vars)?);
    }
    run(bench.envs(vars))
}
