//! `goflow doctor --cost`: what a probe costs here, measured.
//!
//! In: nothing; out: [`Costs`] as a table for people and as the numbers for programs. It is measured the way a trace does
//! it, and refused for the same reasons.

use std::fmt::Write as _;
use std::sync::Arc;

use anyhow::Context as _;
use serde::Serialize;

use crate::probe::attach;
use crate::probe::calibration::{self, THOROUGH};
use crate::probe::cost::{Costs, HitCost};
use crate::probe::keeper::{Duty, Keeper};
use crate::target::host;

/// What one hit costs, in nanoseconds of the target's CPU time, by how the kernel gets past the instruction.
#[derive(Serialize)]
pub(super) struct Cost {
    attach_method: &'static str,
    emulated: Hit,
    single_stepped: Hit,
}

#[derive(Serialize)]
struct Hit {
    trap_ns: u64,
    record_ns: u64,
    stack_ns: u64,
}

impl From<HitCost> for Hit {
    fn from(HitCost { trap_ns, record_ns, stack_ns }: HitCost) -> Self {
        Self { trap_ns, record_ns, stack_ns }
    }
}

/// Measures. To be called while goflow has one thread.
pub(super) fn measure() -> anyhow::Result<Cost> {
    let keeper =
        Keeper::start(Duty::Hit).context("the process that is to hold the probes cannot be started")?;
    let method = attach::supported_method();
    let release = host::kernel_release();
    let kernel = host::kernel_version(&release).with_context(|| format!("no kernel version in {release}"))?;
    let Costs { emulated, single_stepped } =
        calibration::measure(&Arc::new(keeper), method, kernel, |rounds, _| rounds < THOROUGH)
            .context("what a probe costs could not be measured")?;
    Ok(Cost {
        attach_method: method.name(),
        emulated: emulated.into(),
        single_stepped: single_stepped.into(),
    })
}

/// The table, with a blank line before it.
pub(super) fn text(cost: &Cost) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(
        out,
        "\nWhat one hit costs the program that makes it, measured here ({}), in ns:",
        cost.attach_method
    );
    let _ = writeln!(
        out,
        "  {:<16}{:>12}{:>16}{:>20}",
        "instruction", "trap alone", "with a record", "and a park's stack"
    );
    for (name, Hit { trap_ns, record_ns, stack_ns }) in
        [("emulated", &cost.emulated), ("single-stepped", &cost.single_stepped)]
    {
        let _ = writeln!(out, "  {name:<16}{trap_ns:>12}{record_ns:>16}{stack_ns:>20}");
    }
    let share = cost.emulated.record_ns as f64 * 10_000.0 / 1e9 * 100.0;
    let _ = writeln!(
        out,
        "So ten thousand hits a second cost {share:.1} % of one CPU. `goflow inspect FILE` shows which instruction is of which kind."
    );
    out
}
