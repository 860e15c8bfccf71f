//! What `goflow doctor --cost` measures is in the order that physics gives it, and what `goflow doctor` says works without
//! privilege does.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};
use goflow_tests::goflow::binary;
use goflow_tests::programs::Program;
use serde_json::Value;
use tempfile::TempDir;

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

/// A command of a user who may nothing.
fn as_nobody(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--bounding-set=-all"]);
    command.arg("--inh-caps=-all").arg(program);
    command
}

/// Ends with the test.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn without_privilege_that_works_which_the_verdict_says_works() -> Result<()> {
    let directory = TempDir::new()?;
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755))?;
    let copy = |from: &Path, name: &str| -> Result<_> {
        let path = directory.path().join(name);
        fs::copy(from, &path)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        Ok(path)
    };
    let goflow = copy(&binary()?, "goflow")?;
    let program = copy(&Program::named("idle").build()?, "idle")?;
    let doctor = String::from_utf8(as_nobody(&goflow).arg("doctor").output()?.stdout)?;
    let may_read = doctor.contains("of processes of this user");
    ensure!(may_read == doctor.contains("only processes of this user"), "{doctor}");
    let target = as_nobody(&program).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let target = Killed(target);
    let pid = target.0.id();
    goflow_tests::until("the target runs", goflow_tests::PATIENCE, || {
        Ok((fs::read_link(format!("/proc/{pid}/exe"))? == program).then_some(()))
    })?;
    let pid = pid.to_string();
    for arguments in [
        &["snapshot", "--pid", &pid][..],
        &["trace", "--level", "snapshot", "--duration", "300ms", "--pid", &pid],
    ] {
        let output = as_nobody(&goflow).args(arguments).output()?;
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.success() == may_read, "{arguments:?}: {}\n{told}\n{doctor}", output.status);
    }
    Ok(())
}
