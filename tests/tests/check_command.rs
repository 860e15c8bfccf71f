//! `goflow check -- CMD`: whom it looks at among the processes of a command, what it keeps of those that have ended, what it does
//! where one hangs, and that nothing is left behind.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use goflow_tests::goflow::{Finished, Goflow, binary, on_a_terminal, run};
use goflow_tests::programs::{Program, go_command, go_versions};
use goflow_tests::{PATIENCE, repository, until};
use goflow_user::target::Pid;
use goflow_user::target::family::{Member, descendants, run_of};
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

/// The file that `goflow check` writes to.
struct Findings {
    directory: TempDir,
}

impl Findings {
    fn new() -> Result<Self> {
        Ok(Self { directory: TempDir::new()? })
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("findings")
    }

    /// `goflow check OPTIONS --output FILE -- COMMAND`
    fn command(&self, options: &[&str], command: &[&str]) -> Result<Command> {
        let mut goflow = Command::new(binary()?);
        goflow.arg("check").args(options).arg("--output").arg(self.path()).arg("--").args(command);
        Ok(goflow)
    }

    /// The same with `go test` of packages in `tests/programs/checked`, by the newest Go.
    fn of_tests(&self, options: &[&str], packages: &[&str]) -> Result<Command> {
        let go = go_command()?;
        let go = go.to_str().context("a path that is text")?;
        let mut goflow = self.command(options, &[&[go, "test", "-count=1"], packages].concat())?;
        goflow
            .current_dir(repository().join("tests/programs/checked"))
            .env("GOTOOLCHAIN", format!("go{}", go_versions().last().context("no Go")?))
            .env("GOFLAGS", "-buildvcs=false")
            .env("GOWORK", "off");
        Ok(goflow)
    }

    fn text(&self, finished: &Finished) -> Result<String> {
        fs::read_to_string(self.path()).with_context(|| format!("no findings; stderr: {}", finished.stderr))
    }

    /// As JSON, as the schema says.
    fn report(&self, finished: &Finished) -> Result<Value> {
        let value = serde_json::from_str(&self.text(finished)?)?;
        let schema = fs::read_to_string(repository().join("docs/check.schema.json"))?;
        let validator = jsonschema::validator_for(&serde_json::from_str(&schema)?)?;
        let errors = validator.iter_errors(&value).map(|error| format!("{}: {error}", error.instance_path()));
        let errors: Vec<String> = errors.take(5).collect();
        ensure!(errors.is_empty(), "{errors:#?}\n{value:#}");
        Ok(value)
    }
}

fn list<'v>(value: &'v Value, key: &str) -> &'v [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

/// File names of the programs that were looked at.
fn programs(report: &Value) -> BTreeSet<String> {
    let binaries = list(&report["meta"], "processes").iter().filter_map(|process| process["binary"].as_str());
    binaries.filter_map(|binary| Some(Path::new(binary).file_name()?.to_str()?.to_owned())).collect()
}

/// Findings that are more than suspected: the rule, the file name of the program, and the place of the first goroutine.
fn sure(report: &Value) -> BTreeSet<(String, String)> {
    let sure = list(report, "findings").iter().filter(|finding| finding["confidence"] != "suspected");
    let named = sure.map(|finding| {
        let binary = finding["binary"].as_str().unwrap_or_default();
        let program = binary.rsplit('/').next().unwrap_or_default();
        (finding["rule"].as_str().unwrap_or_default().to_owned(), program.to_owned())
    });
    named.collect()
}

/// It says of the test that hangs that it does: all its goroutines wait, two of them in a circle.
fn has_deadlock(report: &Value) -> bool {
    let rules = ["deadlock", "circular-wait"];
    sure(report).iter().any(|(rule, program)| rules.contains(&rule.as_str()) && program == "hung.test")
}

/// The line of a test of `tests/programs/checked` that is marked.
fn marked(package: &str) -> Result<(String, u64)> {
    let name = format!("{package}_test.go");
    let source = fs::read_to_string(repository().join("tests/programs/checked").join(package).join(&name))?;
    let line = source.lines().position(|line| line.ends_with("// stuck")).context("no line is marked")?;
    Ok((name, line as u64 + 1))
}

/// Whether a goroutine of the finding stands at the marked line.
fn is_at(finding: &Value, (name, line): &(String, u64)) -> bool {
    let stacks = list(finding, "goroutines").iter().flat_map(|goroutine| list(goroutine, "stack"));
    let mut places = stacks.filter(|place| place["line"] == *line);
    places.any(|place| place["file"].as_str().is_some_and(|file| file.ends_with(name)))
}

/// Fails if one of these processes still runs.
fn assert_gone(family: &[Member]) -> Result<()> {
    ensure!(!family.is_empty(), "nobody was there");
    for member in family {
        let left = run_of(member.pid).is_some_and(|run| run == member.run);
        ensure!(
            !left,
            "process {} is left: {:?}",
            member.pid,
            fs::read_link(format!("/proc/{}/exe", member.pid))
        );
    }
    Ok(())
}

/// The processes that goflow has started, once one of them runs `name`.
fn family(goflow: &Goflow, name: &str) -> Result<Vec<Member>> {
    until(name, PATIENCE, || {
        let family = descendants(Pid(goflow.pid()));
        let runs = |member: &Member| {
            let exe = fs::read_link(format!("/proc/{}/exe", member.pid));
            exe.is_ok_and(|exe| exe.file_name().is_some_and(|file| file == name))
        };
        Ok(family.iter().any(runs).then_some(family))
    })
}

#[test]
fn each_test_program_of_go_test_is_looked_at_and_what_was_found_outlives_it() -> Result<()> {
    let findings = Findings::new()?;
    let mut command = findings.of_tests(&["--format", "json"], &["./leaky", "./healthy"])?;
    let finished = Goflow::spawn(&mut command)?.finish()?;
    let report = findings.report(&finished)?;
    ensure!(finished.status.code() == Some(1), "{}: {report:#}", finished.status);
    let printed = String::from_utf8_lossy(&finished.stdout);
    for package in ["leaky", "healthy"] {
        ensure!(printed.contains(&format!("goflow.test/checked/{package}")), "{printed}");
    }
    // Neither go nor what it compiles and links with.
    let expected = ["healthy.test", "leaky.test"].map(str::to_owned);
    ensure!(programs(&report) == expected.into(), "{report:#}");
    ensure!(sure(&report) == BTreeSet::from([("goroutine-leak".into(), "leaky.test".into())]), "{report:#}");
    let marked = marked("leaky")?;
    ensure!(list(&report, "findings").iter().any(|finding| is_at(finding, &marked)), "{report:#}");
    ensure!(report["meta"]["command"][1] == "test" && report["meta"]["pid"].is_null(), "{report:#}");
    Ok(())
}

#[test]
fn a_test_that_hangs_is_reported_and_ended_and_the_others_run() -> Result<()> {
    let findings = Findings::new()?;
    let options = ["--format", "json", "--end-hung", "2s"];
    let mut command = findings.of_tests(&options, &["-p=1", "./hung", "./healthy"])?;
    let finished = Goflow::spawn(&mut command)?.finish()?;
    let report = findings.report(&finished)?;
    ensure!(finished.status.code() == Some(1), "{}: {report:#}", finished.status);
    ensure!(has_deadlock(&report), "{report:#}");
    let marked = marked("hung")?;
    ensure!(list(&report, "findings").iter().any(|finding| is_at(finding, &marked)), "{report:#}");
    ensure!(finished.stderr.contains("can never go on"), "{}", finished.stderr);
    let printed = String::from_utf8_lossy(&finished.stdout);
    // Go prints its goroutines, and go test goes on.
    ensure!(
        printed.contains("SIGQUIT") && printed.contains("ok  \tgoflow.test/checked/healthy"),
        "{printed}"
    );
    Ok(())
}

#[test]
fn the_same_fault_in_several_processes_is_told_once() -> Result<()> {
    let findings = Findings::new()?;
    let kernels = Program::named("kernels").build()?;
    // Of what a shell runs in the background it takes the input away, with which these end.
    let both =
        format!("exec 3<&0; {0} account-transfer <&3 & {0} account-transfer <&3; wait", kernels.display());
    let mut command = findings.command(&["--format", "json", "--for", "3s"], &["sh", "-c", &both])?;
    let finished = Goflow::spawn(&mut command)?.finish()?;
    let report = findings.report(&finished)?;
    ensure!(finished.status.code() == Some(1), "{}: {report:#}", finished.status);
    ensure!(list(&report["meta"], "processes").len() == 2, "{report:#}");
    let [finding] = list(&report, "findings") else { anyhow::bail!("{report:#}") };
    ensure!(
        list(finding, "other_pids").len() == 1 && finding["other_pids"][0] != finding["pid"],
        "{report:#}"
    );
    Ok(())
}

#[test]
fn a_service_is_looked_at_for_the_time_given_and_then_ended() -> Result<()> {
    let findings = Findings::new()?;
    let kernels = Program::named("kernels").build()?;
    let program = kernels.to_str().context("a path that is text")?;
    let mut command = findings.command(&["--for", "2s"], &[program, "idle-worker-pool"])?;
    let goflow = Goflow::spawn(&mut command)?;
    let family = family(&goflow, "kernels")?;
    let finished = goflow.finish()?;
    let text = findings.text(&finished)?;
    ensure!(finished.status.success(), "{}: {text}{}", finished.status, finished.stderr);
    ensure!(
        text.starts_with("nothing found in process ") && text.contains("kernels idle-worker-pool,"),
        "{text}"
    );
    assert_gone(&family)
}

#[test]
fn what_the_command_prints_and_how_it_ends_is_passed_on_where_nothing_is_found() -> Result<()> {
    for (script, status) in
        [("echo hello; exit 0", 0), ("echo hello; exit 7", 7), ("echo hello; kill -9 $$", 128 + 9)]
    {
        let finished = run(&["check", "--", "sh", "-c", script])?;
        let printed = String::from_utf8_lossy(&finished.stdout);
        ensure!(finished.status.code() == Some(status), "{script}: {}", finished.status);
        ensure!(printed.starts_with("hello\nnothing looked at in any process of sh"), "{script}: {printed}");
        ensure!(printed.contains("not found out: the command started no Go program"), "{script}: {printed}");
    }
    Ok(())
}

#[test]
fn a_program_that_is_over_at_once_is_told_as_not_looked_at_and_no_test_passes_for_that() -> Result<()> {
    let short = Program::named("short").build()?;
    let short = short.to_str().context("a path that is text")?;
    let finished =
        run(&["check", "--format", "junit", "--", "sh", "-c", &format!("{short} 1 1 > /dev/null")])?;
    let text = String::from_utf8(finished.stdout)?;
    let document = roxmltree::Document::parse(&text)?;
    let count = |name: &str| document.descendants().filter(|node| node.has_tag_name(name)).count();
    ensure!(count("testcase") >= 7 && count("skipped") == count("testcase"), "{text}");
    Ok(())
}

#[test]
fn a_command_that_cannot_be_started_is_refused() -> Result<()> {
    let directory = TempDir::new()?;
    let file = directory.path().join("file");
    fs::write(&file, "")?;
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644))?;
    let file = file.to_str().context("a path that is text")?;
    run(&["check", "--", "no-such-program-anywhere"])?
        .assert_refused(&["no-such-program-anywhere", "is not in PATH"])?;
    run(&["check", "--", "/no/such/program"])?
        .assert_refused(&["/no/such/program", "could not be started"])?;
    run(&["check", "--", file])?.assert_refused(&[file, "is not executable"])?;
    run(&["check", "--output", "/no/such/directory/file", "--", "touch", &format!("{file}.started")])?
        .assert_refused(&["/no/such/directory/file"])?;
    ensure!(
        !Path::new(&format!("{file}.started")).exists(),
        "it was started although its report had no place"
    );
    Ok(())
}

#[test]
fn an_interrupt_ends_the_command_and_what_was_found_is_told() -> Result<()> {
    let findings = Findings::new()?;
    let options = ["--format", "json", "--end-hung", "never"];
    let goflow = Goflow::spawn(&mut findings.of_tests(&options, &["./hung"])?)?;
    let family = family(&goflow, "hung.test")?;
    std::thread::sleep(std::time::Duration::from_secs(2));
    goflow.signal(Signal::INT)?;
    let finished = goflow.finish()?;
    let report = findings.report(&finished)?;
    ensure!(finished.status.code() == Some(1), "{}: {report:#}", finished.status);
    ensure!(has_deadlock(&report), "{report:#}");
    assert_gone(&family)
}

#[test]
fn ctrl_c_on_the_terminal_reaches_the_command_once_and_goflow_reports() -> Result<()> {
    let findings = Findings::new()?;
    let script = "trap 'echo caught; exit 5' INT; echo ready; while :; do sleep 0.1; done";
    let command = findings.command(&[], &["sh", "-c", script])?;
    let mut goflow = Goflow::spawn(&mut on_a_terminal(&command))?;
    until("the command runs", PATIENCE, || Ok(goflow.printed().contains("ready").then_some(())))?;
    std::io::Write::write_all(goflow.stdin().context("no stdin")?, b"\x03")?;
    let finished = goflow.finish()?;
    let shown = String::from_utf8_lossy(&finished.stdout).into_owned();
    ensure!(finished.status.code() == Some(5), "{}: {shown}", finished.status);
    ensure!(shown.matches("caught").count() == 1, "{shown}");
    ensure!(findings.text(&finished)?.contains("any process of sh"), "{shown}");
    Ok(())
}

#[test]
fn a_command_that_ignores_an_interrupt_is_ended_by_the_second_signal_with_its_orphans() -> Result<()> {
    let findings = Findings::new()?;
    let kernels = Program::named("kernels").build()?;
    // Its parent ends at once, so it is an orphan; it would end with its input.
    let script = format!(
        "trap '' INT TERM; (tail -f /dev/null | {} idle-worker-pool &); sleep 1000",
        kernels.display()
    );
    let goflow = Goflow::spawn(&mut findings.command(&[], &["sh", "-c", &script])?)?;
    let family = family(&goflow, "kernels")?;
    goflow.signal(Signal::INT)?;
    std::thread::sleep(std::time::Duration::from_millis(500));
    ensure!(run_of(Pid(goflow.pid())).is_some(), "it did not wait for the command");
    goflow.signal(Signal::INT)?;
    let finished = goflow.finish()?;
    ensure!(finished.status.code() == Some(128 + 9), "{}: {}", finished.status, finished.stderr);
    ensure!(findings.text(&finished)?.contains("kernels"), "{}", findings.text(&finished)?);
    assert_gone(&family)
}
