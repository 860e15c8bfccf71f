//! The steps of the test command, in data: what each runs, and what runs beside it.
//!
//! Side by side only what shares no lock and is not measured: two cargo commands in one target directory would wait
//! for each other, and a second load would disturb the integration tests, which count and time real probes.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::{Selection, reproducible};
use crate::ctx::{Ctx, Rank};
use crate::{build, setup};

/// One line of the table.
pub(super) struct Step {
    pub(super) name: &'static str,
    pub(super) work: Work,
    /// Left out by `--quick`.
    slow: bool,
}

/// What a step does.
#[derive(Clone, Copy)]
pub(super) enum Work {
    /// Runs commands, one after the other, until one fails.
    Commands(fn(&Ctx, Selection) -> Result<Vec<Command>>),
    /// Runs code of ours, which may write to the log.
    Call(fn(&Ctx, Option<&Path>) -> Result<()>),
}

const fn step(name: &'static str, commands: fn(&Ctx, Selection) -> Result<Vec<Command>>) -> Step {
    Step { name, work: Work::Commands(commands), slow: false }
}

/// The stages in order.
pub(super) fn stages(selection: Selection) -> Vec<Vec<Step>> {
    let reproducible = Step { name: "reproducible object", work: Work::Call(reproducible::run), slow: true };
    let fuzz = Step { name: "fuzz targets", work: Work::Commands(fuzz), slow: true };
    let stages = vec![
        vec![step("formatting", formatting), step("house rules", house_rules)],
        vec![step("lints", lints)],
        vec![step("unit tests", unit_tests)],
        vec![step("release build", |ctx, _| Ok(vec![build::release_command(ctx)?])), reproducible],
        vec![fuzz],
        vec![step("integration tests", integration_tests)],
    ];
    let wanted = |step: &Step| !(selection.quick && step.slow);
    let stages = stages.into_iter().map(|stage| stage.into_iter().filter(wanted).collect::<Vec<_>>());
    stages.filter(|stage| !stage.is_empty()).collect()
}

fn formatting(ctx: &Ctx, _: Selection) -> Result<Vec<Command>> {
    let mut fmt = ctx.cargo();
    fmt.args(["fmt", "--all", "--check"]);
    Ok(vec![fmt])
}

fn house_rules(ctx: &Ctx, _: Selection) -> Result<Vec<Command>> {
    let mut tidy = ctx.command(std::env::current_exe().context("cannot find this program's own file")?);
    tidy.arg("tidy");
    Ok(vec![tidy])
}

/// goflow-ebpf compiles for the eBPF target only.
fn lints(ctx: &Ctx, _: Selection) -> Result<Vec<Command>> {
    let mut host = ctx.cargo();
    host.args(["clippy", "--workspace", "--exclude", "goflow-ebpf", "--all-targets", "--", "-D", "warnings"]);
    Ok(vec![host])
}

fn unit_tests(ctx: &Ctx, _: Selection) -> Result<Vec<Command>> {
    let mut test = ctx.cargo();
    test.args([
        "test",
        "--workspace",
        "--exclude",
        "goflow-ebpf",
        "--exclude",
        "goflow-tests",
        "--no-fail-fast",
    ]);
    Ok(vec![test])
}

fn fuzz(ctx: &Ctx, _: Selection) -> Result<Vec<Command>> {
    let mut test = ctx.cargo();
    test.current_dir(ctx.root.join("tests/fuzz")).args(["test", "--release"]);
    Ok(vec![test])
}

/// As root, or through a runner that calls sudo for each test binary.
fn integration_tests(ctx: &Ctx, selection: Selection) -> Result<Vec<Command>> {
    let vars = test_variables(ctx)?;
    let mut test = ctx.cargo();
    test.args(["test", "--package", "goflow-tests", "--no-fail-fast", "--"]);
    if selection.quick {
        test.arg("quick_");
    }
    if !selection.privileged {
        test.args(["--skip", "privileged"]);
    } else if ctx.rank == Rank::Sudo {
        let triple = build::host(ctx)?.to_uppercase().replace('-', "_");
        test.env(format!("CARGO_TARGET_{triple}_RUNNER"), sudo_runner(ctx, &vars)?);
    }
    test.envs(vars);
    Ok(vec![test])
}

/// What the integration tests are told; see tests/src/lib.rs.
fn test_variables(ctx: &Ctx) -> Result<Vec<(&'static str, OsString)>> {
    let go = setup::find_go(ctx).context("no Go ≥ 1.21 is here; `cargo xtask setup` gets one")?;
    let go_dir = go.parent().context("the path of go has no directory")?;
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path =
        std::env::join_paths(std::iter::once(go_dir.to_path_buf()).chain(std::env::split_paths(&path)))?;
    Ok(vec![
        ("GOFLOW_BIN", build::release_path(ctx)?.into_os_string()),
        ("GOFLOW_CACHE", ctx.cache.clone().into_os_string()),
        ("GOFLOW_GO", go.into_os_string()),
        ("GOFLAGS", "-buildvcs=false".into()),
        ("PATH", path),
    ])
}

/// A script that cargo puts before each test binary. sudo drops the environment, so the script sets it again.
fn sudo_runner(ctx: &Ctx, vars: &[(&str, OsString)]) -> Result<PathBuf> {
    let file = ctx.scratch().join("run-as-root");
    let mut script = String::from("#!/bin/sh\n# Written by cargo xtask test.\nexec sudo env");
    for (name, value) in vars {
        let value = value.to_str().with_context(|| format!("{name} is not UTF-8: {}", value.display()))?;
        script.push_str(&format!(" '{name}={}'", value.replace('\'', r"'\''")));
    }
    script.push_str(" \"$@\"\n");
    fs::write(&file, script).with_context(|| format!("cannot write {}", file.display()))?;
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755))?;
    Ok(file)
}
