//! `cargo xtask generate`: the committed files that are made from something else.
//!
//! There is one: the table of struct offsets and wait reasons by Go release. What makes it is also what tests it, in
//! tests/tests/offset_table.rs, because it needs goflow's own reader of debug information and this crate must not.

use anyhow::Result;

use crate::cmd::run;
use crate::ctx::Ctx;
use crate::setup::{self, Scope};
use crate::test::test_variables;

/// Rewrite the generated files, or check that they are fresh.
///
/// Builds a small program with the first, a middle and the newest patch release of each Go that goflow supports, for
/// amd64 and arm64, and reads the offsets from its debug information. Toolchains that cannot be had are named. Checking
/// asks the newest patch releases only.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Change nothing; fail where a file is stale
    #[arg(long)]
    check: bool,
}

/// Sets up, then has the table written or checked.
pub(crate) fn run_task(ctx: &Ctx, args: &Args) -> Result<()> {
    setup::ensure(ctx, Scope::Test)?;
    let mut table = ctx.cargo();
    table.args(["test", "--package", "goflow-tests", "--test", "offset_table"]);
    if !args.check {
        table.args(["--", "--write"]);
    }
    run(table.envs(test_variables(ctx)?))
}
