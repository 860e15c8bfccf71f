//! What `goflow doctor --cost` measures is in the order that physics gives it.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use goflow_tests::goflow::binary;
use serde_json::Value;

/// The numbers are the machine's, and others use it as well; a trap, a trap that sends a record and two traps are told apart
/// on any.
#[test]
fn a_hit_costs_more_with_a_record_and_most_where_the_kernel_steps() -> Result<()> {
    let output = Command::new(binary()?).args(["doctor", "--cost", "--format", "json"]).output()?;
    let report: Value = serde_json::from_slice(&output.stdout)?;
    let cost = |class: &str, what: &str| {
        report["cost"][class][what].as_u64().with_context(|| format!("no {what} of {class} in {report}"))
    };
    let (trap, stack) = (cost("emulated", "trap_ns")?, cost("emulated", "stack_ns")?);
    ensure!(trap > 50 && trap < stack, "{report}");
    ensure!(cost("emulated", "record_ns")? < cost("single_stepped", "record_ns")?, "{report}");
    ensure!(cost("single_stepped", "trap_ns")? > trap, "{report}");
    let text = Command::new(binary()?).args(["doctor", "--cost"]).output()?;
    let text = String::from_utf8(text.stdout)?;
    ensure!(text.contains("single-stepped") && text.contains("% of one CPU"), "{text}");
    Ok(())
}
