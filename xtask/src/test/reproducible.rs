//! Two clean builds of the eBPF object, in two directories of different length, must give the same bytes.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::run_logged;
use crate::cmd::capture;
use crate::ctx::Ctx;

/// Builds twice from copies of the checkout and compares.
pub(super) fn run(ctx: &Ctx, log: Option<&Path>) -> Result<()> {
    let scratch = ctx.scratch().join("reproducible");
    if scratch.exists() {
        fs::remove_dir_all(&scratch)?;
    }
    let one = build_copy(ctx, &scratch.join("a"), log)?;
    let other = build_copy(ctx, &scratch.join("a-longer/path"), log)?;
    compare(&one, &other)?;
    fs::remove_dir_all(&scratch).with_context(|| format!("cannot remove {}", scratch.display()))
}

/// Copies what git knows and would add, builds goflow-user's build script there, and returns the object.
fn build_copy(ctx: &Ctx, into: &Path, log: Option<&Path>) -> Result<PathBuf> {
    let files = capture(ctx.command("git").args(["ls-files", "--cached", "--others", "--exclude-standard"]))?;
    for file in files.lines().filter(|file| ctx.root.join(file).is_file()) {
        let to = into.join(file);
        fs::create_dir_all(to.parent().context("a file of the checkout has no directory")?)?;
        fs::copy(ctx.root.join(file), &to).with_context(|| format!("cannot copy {file}"))?;
    }
    let target = into.join("target");
    let mut check = ctx.cargo();
    check.current_dir(into).env("CARGO_TARGET_DIR", &target).env_remove("GOFLOW_EBPF_OBJECT");
    check.args(["check", "--package", "goflow-user", "--lib"]);
    run_logged(&mut check, log.map(Path::to_path_buf).as_ref())?;
    find_object(&target.join("debug/build"))
}

/// The one `goflow.bpf.o` that a build script put into its output directory.
fn find_object(builds: &Path) -> Result<PathBuf> {
    let mut found = Vec::new();
    for build in fs::read_dir(builds).with_context(|| format!("cannot read {}", builds.display()))? {
        let object = build?.path().join("out").join(OBJECT);
        if object.exists() {
            found.push(object);
        }
    }
    match found.as_slice() {
        [object] => Ok(object.clone()),
        _ => bail!("{} objects named {OBJECT} below {}, not one", found.len(), builds.display()),
    }
}

/// As goflow-user/build.rs names it.
const OBJECT: &str = "goflow.bpf.o";

fn compare(one: &Path, other: &Path) -> Result<()> {
    let read = |path: &Path| fs::read(path).with_context(|| format!("cannot read {}", path.display()));
    let (left, right) = (read(one)?, read(other)?);
    if left == right {
        return Ok(());
    }
    let at = left.iter().zip(&right).position(|(l, r)| l != r).unwrap_or(left.len().min(right.len()));
    bail!(
        "two builds of the eBPF object differ at byte {at} ({} and {} bytes): {} {}",
        left.len(),
        right.len(),
        one.display(),
        other.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_reported_with_its_place() {
        let dir = tempfile::tempdir().unwrap();
        let (one, other) = (dir.path().join("one"), dir.path().join("other"));
        fs::write(&one, b"same bytes").unwrap();
        fs::write(&other, b"same bytes").unwrap();
        assert!(compare(&one, &other).is_ok());
        fs::write(&other, b"same bites").unwrap();
        assert!(compare(&one, &other).unwrap_err().to_string().contains("differ at byte 6"));
        fs::write(&other, b"same").unwrap();
        assert!(compare(&one, &other).unwrap_err().to_string().contains("differ at byte 4 (10 and 4 bytes)"));
    }
}
