//! The steps of the test command, in data: what each runs, and what runs beside it.
//!
//! Side by side only what shares no lock and is not measured: two cargo commands in one target directory would wait
//! for each other, and a second load would disturb the integration tests, which count and time real probes.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::Selection;
use crate::ctx::{Ctx, Rank};
use crate::{build, setup};

/// One line of the table.
#[derive(Clone, Copy)]
pub(super) struct Step {
    pub(super) name: &'static str,
    /// What it runs, one after the other, until one fails.
    pub(super) commands: fn(&Ctx, Selection) -> Result<Vec<Command>>,
}

/// An integration test program: a file in tests/tests.
struct Suite {
    name: &'static str,
    /// It attaches probes.
    privileged: bool,
    /// It takes seconds.
    quick: bool,
}

const fn suite(name: &'static str, privileged: bool, quick: bool) -> Suite {
    Suite { name, privileged, quick }
}

/// All of them, each with what it takes.
const SUITES: &[Suite] = &[
    suite("binary_matrix", false, false),
    suite("offset_table", false, false),
    suite("stripped", false, false),
    suite("inspect", false, false),
    suite("object", false, false),
    suite("fuzz", false, false),
    suite("attach_detach", true, false),
    suite("bad_input", true, true),
    suite("binary_scope", true, false),
    suite("budget", true, false),
    suite("command", true, true),
    suite("check", true, false),
    suite("check_command", true, true),
    suite("ctl", true, true),
    suite("doctor", true, true),
    suite("filters", true, false),
    suite("findings", true, true),
    suite("go_trace", true, false),
    suite("ground_truth", true, false),
    suite("killed", true, false),
    suite("known_programs", true, true),
    suite("level_snapshot", true, true),
    suite("matrix", true, false),
    suite("metrics", true, false),
    suite("output", true, true),
    suite("schema", true, true),
    suite("services", true, false),
    suite("signals", true, true),
    suite("snapshot", true, false),
    suite("stack_growth", true, false),
    suite("state", true, false),
    suite("withheld", true, false),
];

/// The stages in order.
pub(super) fn stages(selection: Selection) -> Vec<Vec<Step>> {
    let step = |name, commands| Step { name, commands };
    let mut stages = vec![
        vec![step("formatting", formatting), step("house rules", house_rules)],
        vec![step("lints", lints), step("release build", |ctx, _| Ok(vec![build::release_command(ctx)?]))],
        vec![step("unit tests", unit_tests)],
    ];
    if !selection.quick {
        stages.push(vec![step("tests without privilege", tests_without_privilege)]);
    }
    if selection.privileged {
        stages.push(vec![step("tests that probe", tests_that_probe)]);
    }
    stages
}

/// Names of the suites that `--without privileged` leaves out.
pub(super) fn privileged_suites() -> Vec<&'static str> {
    SUITES.iter().filter(|suite| suite.privileged).map(|suite| suite.name).collect()
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
    let mut units = ctx.cargo();
    units.args(["test", "--workspace", "--exclude", "goflow-ebpf", "--exclude", "goflow-tests"]);
    units.arg("--no-fail-fast");
    let mut harness = ctx.cargo();
    harness.args(["test", "--package", "goflow-tests", "--lib"]);
    Ok(vec![units, harness])
}

fn tests_without_privilege(ctx: &Ctx, selection: Selection) -> Result<Vec<Command>> {
    let mut test = integration_tests(ctx, selection, false)?;
    test.envs(test_variables(ctx)?);
    Ok(vec![test])
}

/// As root, or through a runner that calls sudo for each test program.
fn tests_that_probe(ctx: &Ctx, selection: Selection) -> Result<Vec<Command>> {
    let vars = test_variables(ctx)?;
    let mut test = integration_tests(ctx, selection, true)?;
    if ctx.rank == Rank::Sudo {
        let triple = build::host(ctx)?.to_uppercase().replace('-', "_");
        test.env(format!("CARGO_TARGET_{triple}_RUNNER"), sudo_runner(ctx, &vars)?);
    }
    test.envs(vars);
    Ok(vec![test])
}

fn integration_tests(ctx: &Ctx, selection: Selection, privileged: bool) -> Result<Command> {
    every_suite_is_listed(&ctx.root.join("tests/tests"))?;
    let mut test = ctx.cargo();
    test.args(["test", "--package", "goflow-tests", "--no-fail-fast"]);
    for suite in SUITES.iter().filter(|suite| suite.privileged == privileged) {
        if suite.quick || !selection.quick {
            test.args(["--test", suite.name]);
        }
    }
    Ok(test)
}

/// A suite that somebody adds must not be left out silently.
fn every_suite_is_listed(dir: &Path) -> Result<()> {
    for file in fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))? {
        let path = file?.path();
        let name = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        if path.is_file() && !SUITES.iter().any(|suite| suite.name == name) {
            bail!("{} is in no step; add it to SUITES in xtask/src/test/steps.rs", path.display());
        }
    }
    Ok(())
}

/// What integration tests and benches are told; see tests/src/lib.rs.
pub(crate) fn test_variables(ctx: &Ctx) -> Result<Vec<(&'static str, OsString)>> {
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

/// A script that cargo puts before each test program. sudo drops the environment, so the script sets it again; what
/// root wrote into the caller's cache is given back, or the caller could not add to it.
pub(crate) fn sudo_runner(ctx: &Ctx, vars: &[(&str, OsString)]) -> Result<PathBuf> {
    let file = ctx.scratch().join("run-as-root");
    let mut script = String::from("#!/bin/sh\n# Written by cargo xtask.\nsudo env");
    for (name, value) in vars {
        let value = value.to_str().with_context(|| format!("{name} is not UTF-8: {}", value.display()))?;
        script.push_str(&format!(" {}", quoted(&format!("{name}={value}"))));
    }
    let cache = quoted(&ctx.cache.to_string_lossy());
    script.push_str(&format!(
        " \"$@\"\nstatus=$?\nsudo chown -R \"$(id -u):$(id -g)\" {cache}\nexit $status\n"
    ));
    fs::create_dir_all(ctx.scratch())?;
    fs::write(&file, script).with_context(|| format!("cannot write {}", file.display()))?;
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755))?;
    Ok(file)
}

fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_integration_test_program_is_in_a_step() {
        let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/tests");
        every_suite_is_listed(&tests).unwrap();
        for suite in SUITES {
            assert!(tests.join(suite.name).with_extension("rs").is_file(), "{} is gone", suite.name);
        }
    }

    #[test]
    fn a_program_that_nobody_listed_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("forgotten.rs"), "").unwrap();
        let error = every_suite_is_listed(dir.path()).unwrap_err().to_string();
        assert!(error.contains("forgotten.rs is in no step"), "{error}");
    }

    #[test]
    fn the_runner_passes_values_and_the_exit_status_on() {
        let dir = tempfile::tempdir().unwrap();
        let sudo = dir.path().join("sudo");
        fs::write(&sudo, "#!/bin/sh\n[ \"$1\" = chown ] || exec \"$@\"\n").unwrap();
        fs::set_permissions(&sudo, fs::Permissions::from_mode(0o755)).unwrap();
        let ctx = Ctx { root: dir.path().into(), cache: dir.path().join("ca che"), rank: Rank::Sudo };
        let runner = sudo_runner(&ctx, &[("GOFLOW_A", "it's two words".into())]).unwrap();
        let mut run = Command::new(runner);
        run.env(
            "PATH",
            std::env::join_paths([dir.path(), Path::new("/usr/bin"), Path::new("/bin")]).unwrap(),
        );
        let output = run.args(["sh", "-c", "echo \"$GOFLOW_A\"; exit 3"]).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), "it's two words\n");
        assert_eq!(output.status.code(), Some(3));
    }
}
