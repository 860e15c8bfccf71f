//! `goflow check` on programs whose faults are known: what it finds, where, how sure, what it leaves alone, and what it says
//! where it cannot know.
//!
//! What it prints as JSON is held against docs/check.schema.json and docs/graph.schema.json.
//!
//! A part of the corpus of `cargo xtask bench detect`, one of each kind, on the oldest, a middle and the newest Go.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use goflow_tests::corpus::Kernel;
use goflow_tests::goflow::{Finished, Goflow, run};
use goflow_tests::programs::{Flavour, Program};
use goflow_tests::repository;
use goflow_tests::target::Target;
use rustix::process::Signal;
use serde_json::Value;

const VERSIONS: [&str; 3] = ["1.18.10", "1.22.12", "1.27.4"];

/// A kernel is in its state so soon.
const SETTLED: Duration = Duration::from_millis(500);

/// With what is to be found, how sure at least.
const FAULTS: [(&str, &str); 21] = [
    ("account-transfer", "circular-wait"),
    ("cache-double-lock", "circular-wait"),
    ("config-metrics-order", "circular-wait"),
    ("orders-on-one-line", "circular-wait"),
    ("session-upgrade", "circular-wait"),
    ("hub-send-under-lock", "circular-wait"),
    ("keyed-locks", "circular-wait"),
    ("batch-defer-in-loop", "circular-wait"),
    ("locker-pair", "circular-wait"),
    ("once-and-channel", "circular-wait"),
    ("worker-waits-own-group", "goroutine-leak"),
    ("range-never-closed", "goroutine-leak"),
    ("range-never-closed", "channel-not-closed"),
    ("stopped-ticker-range", "channel-not-closed"),
    ("timeout-drops-result", "goroutine-leak"),
    ("group-missed-done", "goroutine-leak"),
    ("nil-channel-field", "goroutine-leak"),
    ("cond-lost-signal", "goroutine-leak"),
    ("stopped-ticker-range", "goroutine-leak"),
    ("pipeline-early-break", "goroutine-leak"),
    ("subscriber-never-unsubscribes", "goroutine-leak"),
];

/// With what is to be suspected: it goes on, but badly.
const STALLS: [(&str, &str); 9] = [
    ("backlog-growth", "unbounded-growth"),
    ("bulk-starved", "slow-consumer"),
    ("lock-convoy", "lock-contention"),
    ("one-processor-hogs", "long-running"),
    ("request-timer-leak", "timer-leak"),
    ("session-ticker-growth", "unbounded-growth"),
    ("slow-feed", "slow-producer"),
    ("slow-indexer", "slow-consumer"),
    ("snapshot-blocks-readers", "lock-contention"),
];

/// That unlock what others have locked, with how sure that is at least.
const FOREIGN: [(&str, &str); 2] =
    [("catalogue-read-handed-over", "likely"), ("transaction-foreign-unlock", "suspected")];

/// With goroutines that wait for what is in package variables, which no code names that may still run.
const OF_PACKAGES: [&str; 5] = [
    "batch-of-a-package",
    "pool-of-a-package",
    "ready-never-closed",
    "results-of-a-package",
    "warm-without-broadcast",
];

/// The same to look at, but code names them that may still be called: by a mux, a timer, a table, an interface, after a signal.
const STILL_NAMED: [&str; 4] =
    ["alarm-feeds-package", "handler-feeds-package", "plugin-by-interface", "signal-feeds-idle-worker"];

/// Each looks like one of those.
const HEALTHY: [&str; 24] = [
    "rounds-by-afterfunc",
    "replies-to-moving-requests",
    "locks-taken-out-of-sight",
    "read-through-cache",
    "transaction-own-unlock",
    "fair-turns",
    "keyed-expiry",
    "number-generator",
    "pool-light-load",
    "queue-filled-in-bursts",
    "idle-worker-pool",
    "finalizer-closes",
    "held-in-channel-buffer",
    "held-by-timer-method",
    "held-by-unsafe-pointer",
    "held-in-sync-map",
    "afterfunc-closes",
    "long-holder",
    "main-waits-signal",
    "main-select-forever",
    "token-ring",
    "cond-slow-signaller",
    "nested-locks-ordered",
    "mutual-wait-timeout",
];

fn start(kernel: &str, go: &str, flavour: Flavour) -> Result<Target> {
    let program = Program::named("kernels").go(go).flavour(flavour).build()?;
    let target = Target::start(&program, &[kernel])?;
    thread::sleep(SETTLED);
    Ok(target)
}

fn check(target: &Target, more: &[&str]) -> Result<Finished> {
    let pid = target.pid().to_string();
    run(&[&["check", "--pid", &pid, "--for", "1500ms"], more].concat())
}

fn json(finished: &Finished) -> Result<Value> {
    ensure!(finished.status.code() != Some(2), "{}", finished.stderr);
    Ok(serde_json::from_slice(&finished.stdout)?)
}

/// A report, as its schema says.
fn report(finished: &Finished) -> Result<Value> {
    valid("check", json(finished)?)
}

fn valid(schema: &str, value: Value) -> Result<Value> {
    let schema = fs::read_to_string(repository().join(format!("docs/{schema}.schema.json")))?;
    let validator = jsonschema::validator_for(&serde_json::from_str(&schema)?)?;
    let errors = validator.iter_errors(&value).map(|error| format!("{}: {error}", error.instance_path()));
    let errors: Vec<String> = errors.take(5).collect();
    ensure!(errors.is_empty(), "{errors:#?}\n{value:#}");
    Ok(value)
}

fn kernel(name: &str) -> Result<Kernel> {
    Kernel::all()?.into_iter().find(|kernel| kernel.name == name).with_context(|| name.to_owned())
}

/// The rules of findings that are more than suspected.
fn sure(report: &Value) -> BTreeSet<String> {
    let findings = report["findings"].as_array().into_iter().flatten();
    let sure = findings.filter(|finding| finding["confidence"] != "suspected");
    sure.filter_map(|finding| finding["rule"].as_str().map(str::to_owned)).collect()
}

/// Several at a time: each waits for most of its time.
fn side_by_side<T: Sync>(all: &[T], each: impl Fn(&T) -> Result<()> + Sync) -> Result<()> {
    for chunk in all.chunks(7) {
        thread::scope(|scope| -> Result<()> {
            let threads: Vec<_> = chunk.iter().map(|one| scope.spawn(|| each(one))).collect();
            threads.into_iter().try_for_each(|thread| match thread.join() {
                Ok(result) => result,
                Err(panic) => std::panic::resume_unwind(panic),
            })
        })?;
    }
    Ok(())
}

#[test]
fn each_fault_is_found_at_its_lines_by_every_go_and_without_symbols() -> Result<()> {
    for (go, flavour) in [
        (VERSIONS[0], Flavour::Plain),
        (VERSIONS[1], Flavour::Pie),
        (VERSIONS[2], Flavour::Plain),
        (VERSIONS[2], Flavour::Stripped),
    ] {
        side_by_side(&FAULTS, |&(name, rule)| {
            let what = || format!("{name}, Go {go}, {}", flavour.name());
            let target = start(name, go, flavour)?;
            let finished = check(&target, &["--format", "json"])?;
            let report = report(&finished)?;
            let score = kernel(name)?.score(&report)?;
            ensure!(finished.status.code() == Some(1), "{}: {}: {report:#}", what(), finished.status);
            ensure!(sure(&report).contains(rule), "{}: {report:#}", what());
            ensure!(score.false_alarms.is_empty(), "{}: {:?}", what(), score.false_alarms);
            let missing: Vec<_> =
                kernel(name)?.stuck.into_keys().filter(|line| !score.lines.contains(line)).collect();
            ensure!(missing.is_empty(), "{}: nothing about lines {missing:?}: {report:#}", what());
            target.finish()
        })?;
    }
    Ok(())
}

#[test]
fn nothing_is_found_where_nothing_is_wrong() -> Result<()> {
    for go in VERSIONS {
        side_by_side(&HEALTHY, |name| {
            let target = start(name, go, Flavour::Plain)?;
            let finished = check(&target, &["--format", "json"])?;
            let report = report(&finished)?;
            ensure!(sure(&report).is_empty(), "{name}, Go {go}: {report:#}");
            ensure!(finished.status.success(), "{name}, Go {go}: {}", finished.status);
            target.finish()
        })?;
    }
    Ok(())
}

#[test]
fn what_goes_badly_is_suspected_at_its_lines_by_every_go() -> Result<()> {
    for (go, flavour) in
        [(VERSIONS[0], Flavour::Plain), (VERSIONS[1], Flavour::Plain), (VERSIONS[2], Flavour::Stripped)]
    {
        side_by_side(&STALLS, |&(name, rule)| {
            let what = || format!("{name}, Go {go}, {}", flavour.name());
            let target = start(name, go, flavour)?;
            let pid = target.pid().to_string();
            let report = json(&run(&["check", "--pid", &pid, "--for", "4s", "--format", "json"])?)?;
            let score = kernel(name)?.score(&report)?;
            let suspected = (rule.to_owned(), "suspected".to_owned());
            ensure!(score.rules.contains(&suspected), "{}: {report:#}", what());
            ensure!(score.found_after_ns.is_some(), "{}: {report:#}", what());
            ensure!(sure(&report).is_empty(), "{}: {report:#}", what());
            target.finish()
        })?;
    }
    Ok(())
}

#[test]
fn who_waits_for_a_package_variable_that_no_code_names_any_more_is_suspected() -> Result<()> {
    let looks = ["--level", "snapshot", "--format", "json"];
    for (go, flavour) in
        [(VERSIONS[0], Flavour::Plain), (VERSIONS[1], Flavour::Pie), (VERSIONS[2], Flavour::Cgo)]
    {
        side_by_side(&OF_PACKAGES, |name| {
            let what = || format!("{name}, Go {go}, {}", flavour.name());
            let target = start(name, go, flavour)?;
            let report = report(&check(&target, &looks)?)?;
            let score = kernel(name)?.score(&report)?;
            let suspected = ("goroutine-leak".to_owned(), "suspected".to_owned());
            ensure!(score.rules.contains(&suspected), "{}: {report:#}", what());
            ensure!(
                kernel(name)?.stuck.keys().all(|line| score.lines.contains(line)),
                "{}: {report:#}",
                what()
            );
            ensure!(report["findings"].to_string().contains("no function names one of them"), "{report:#}");
            target.finish()
        })?;
        side_by_side(&STILL_NAMED, |name| {
            let target = start(name, go, flavour)?;
            let report = report(&check(&target, &looks)?)?;
            let found = report["findings"].as_array().map_or(0, Vec::len);
            ensure!(found == 0, "{name}, Go {go}, {}: {report:#}", flavour.name());
            target.finish()
        })?;
    }
    Ok(())
}

#[test]
fn who_unlocks_what_others_lock_is_told_with_the_line() -> Result<()> {
    for go in VERSIONS {
        side_by_side(&FOREIGN, |&(name, least)| {
            let target = start(name, go, Flavour::Plain)?;
            let (pid, looks) = (target.pid().to_string(), ["--level", "snapshot", "--format", "json"]);
            let report = report(&run(&[&["check", "--pid", &pid, "--for", "3s"][..], &looks].concat())?)?;
            let kernel = kernel(name)?;
            let score = kernel.score(&report)?;
            let is_sure = sure(&report).contains("mutex-unlocked-by-other");
            ensure!(score.found_after_ns.is_some(), "{name}, Go {go}: {report:#}");
            ensure!(least != "likely" || is_sure, "{name}, Go {go}: {report:#}");
            ensure!(
                score.lines == kernel.here && score.false_alarms.is_empty(),
                "{name}, Go {go}: {report:#}"
            );
            target.finish()
        })?;
    }
    Ok(())
}

#[test]
fn a_threshold_decides_from_when_on_something_is_told() -> Result<()> {
    let target = start("lock-convoy", VERSIONS[2], Flavour::Plain)?;
    let rules = |more: &[&str]| -> Result<usize> {
        let report =
            json(&check(&target, &[&["--format", "json", "--rules", "lock-contention"], more].concat())?)?;
        Ok(report["findings"].as_array().context("findings")?.len())
    };
    ensure!(rules(&["--threshold", "looks=2", "--threshold", "waiters=4"])? == 1);
    ensure!(rules(&["--threshold", "looks=2", "--threshold", "waiters=9"])? == 0);
    let refused = check(&target, &["--threshold", "waiter=4"])?;
    ensure!(
        refused.status.code() == Some(2) && refused.stderr.contains("looks, waiters"),
        "{}",
        refused.stderr
    );
    // Who waits is seen where nothing else can be found out.
    ensure!(rules(&["--threshold", "looks=2", "--most-memory", "0"])? == 1);
    target.finish()
}

#[test]
fn what_cannot_be_read_is_told_and_nothing_is_sure_without_it() -> Result<()> {
    let target = start("range-never-closed", VERSIONS[2], Flavour::Plain)?;
    let finished = check(&target, &["--format", "json", "--most-memory", "0"])?;
    let report = report(&finished)?;
    ensure!(sure(&report).is_empty() && finished.status.success(), "{report:#}");
    ensure!(report["meta"]["limits"].to_string().contains("more than 0 MB"), "{report:#}");
    target.finish()
}

#[test]
fn a_core_file_proves_what_a_process_only_makes_likely() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let target = start("account-transfer", VERSIONS[2], Flavour::Plain)?;
    let prefix = directory.path().join("core");
    let gcore = Command::new("gcore").arg("-o").arg(&prefix).arg(target.pid().to_string()).output()?;
    ensure!(gcore.status.success(), "{}", String::from_utf8_lossy(&gcore.stderr));
    let live = report(&check(&target, &["--format", "json"])?)?;
    let core = format!("{}.{}", prefix.display(), target.pid());
    let finished = run(&["check", "--core", &core, "--format", "json"])?;
    let report = report(&finished)?;
    let of = |report: &Value, key: &str| report["findings"][0][key].as_str().map(str::to_owned);
    ensure!(of(&report, "rule").as_deref() == Some("circular-wait"), "{report:#}");
    ensure!(of(&report, "confidence").as_deref() == Some("proven"), "{report:#}");
    // The same fault, wherever it is.
    ensure!(of(&report, "fingerprint") == of(&live, "fingerprint"), "{report:#}\n{live:#}");
    ensure!(finished.status.code() == Some(1), "{}", finished.status);
    target.finish()
}

#[test]
fn a_person_is_told_who_waits_for_whom_and_where_the_lock_was_taken() -> Result<()> {
    let target = start("account-transfer", VERSIONS[2], Flavour::Plain)?;
    let finished = check(&target, &[])?;
    let text = String::from_utf8(finished.stdout)?;
    for part in [
        "circular-wait: goroutines wait for each other in a circle (",
        "is blocked in sync.Mutex.Lock at main.transfer (",
        "account-transfer.go:23)",
        "which it locked at main.transfer (",
        "account-transfer.go:19)",
        "goflow explain circular-wait",
    ] {
        ensure!(text.contains(part), "no {part:?} in:\n{text}");
    }
    ensure!(!text.contains('\x1b'), "colours go to terminals only:\n{text}");
    for (fail_on, status) in [("suspected", 1), ("likely", 1), ("never", 0)] {
        let finished = check(&target, &["--fail-on", fail_on])?;
        ensure!(finished.status.code() == Some(status), "{fail_on}: {}", finished.status);
    }
    let others = check(&target, &["--rules", "starvation,long-running"])?;
    ensure!(others.status.success(), "{}", String::from_utf8_lossy(&others.stdout));
    target.finish()
}

#[test]
fn code_scanning_is_told_the_line_and_a_fingerprint() -> Result<()> {
    let target = start("account-transfer", VERSIONS[2], Flavour::Plain)?;
    let report = report(&check(&target, &["--format", "json"])?)?;
    let log = json(&check(&target, &["--format", "sarif"])?)?;
    let run = &log["runs"][0];
    ensure!(log["version"] == "2.1.0" && run["tool"]["driver"]["name"] == "goflow", "{log:#}");
    let found = &run["results"][0];
    let first = &found["locations"][0]["physicalLocation"];
    ensure!(found["ruleId"] == "circular-wait" && found["level"] == "error", "{log:#}");
    ensure!(found["partialFingerprints"]["goflow/v1"] == report["findings"][0]["fingerprint"], "{log:#}");
    let uri = first["artifactLocation"]["uri"].as_str().unwrap_or_default();
    ensure!(uri.ends_with("kernels/account-transfer.go") && first["region"]["startLine"] == 23, "{log:#}");
    let rules = run["tool"]["driver"]["rules"].as_array().context("rules")?;
    ensure!(rules.iter().any(|rule| rule["id"] == found["ruleId"]), "{log:#}");
    target.finish()
}

#[test]
fn ci_is_shown_each_rule_as_a_test_that_passes_or_fails_at_its_line() -> Result<()> {
    let target = start("account-transfer", VERSIONS[2], Flavour::Plain)?;
    let finished = check(&target, &["--format", "junit"])?;
    ensure!(finished.status.code() == Some(1), "{}: {}", finished.status, finished.stderr);
    let text = String::from_utf8(finished.stdout)?;
    let document = roxmltree::Document::parse(&text)?;
    let named =
        |name: &str| document.descendants().filter(|node| node.has_tag_name(name)).collect::<Vec<_>>();
    let (suites, tests) = (named("testsuite"), named("testcase"));
    let rules = String::from_utf8(run(&["explain"])?.stdout)?;
    let rules: Vec<_> = rules.lines().filter_map(|line| line.split_whitespace().next()).collect();
    let names: Vec<_> = tests.iter().filter_map(|test| test.attribute("name")).collect();
    ensure!(names == rules, "{names:?} are not the rules {rules:?}");
    let [suite] = suites.as_slice() else { anyhow::bail!("{text}") };
    let count = |name| suite.attribute(name).and_then(|count| count.parse::<usize>().ok());
    ensure!(
        (count("tests"), count("failures"), count("errors")) == (Some(rules.len()), Some(1), Some(0)),
        "{text}"
    );
    ensure!(suite.attribute("timestamp").is_some() && suite.attribute("time").is_some(), "{text}");

    let failures = named("failure");
    let [failure] = failures.as_slice() else { anyhow::bail!("{text}") };
    let test = failure.parent().context("a failure is of a test")?;
    ensure!(test.attribute("name") == Some("circular-wait"), "{text}");
    ensure!(test.attribute("line") == Some("23"), "{text}");
    let file = test.attribute("file").unwrap_or_default();
    ensure!(file.ends_with("kernels/account-transfer.go"), "{text}");
    let said = failure.text().unwrap_or_default();
    ensure!(said.contains("which it locked at main.transfer (") && !said.contains('\x1b'), "{said}");

    let passed = check(&target, &["--format", "junit", "--fail-on", "never"])?;
    let text = String::from_utf8(passed.stdout)?;
    ensure!(passed.status.success() && !text.contains("<failure"), "{}: {text}", passed.status);
    ensure!(text.contains("which it locked at"), "what was found is told all the same: {text}");
    target.finish()
}

#[test]
fn a_circle_is_marked_in_the_graph() -> Result<()> {
    let target = start("account-transfer", VERSIONS[2], Flavour::Plain)?;
    let pid = target.pid().to_string();
    let graph = |format| run(&["graph", "--pid", &pid, "--format", format]);
    let drawn = valid("graph", json(&graph("json")?)?)?;
    let list = |key: &str| drawn[key].as_array().cloned().unwrap_or_default();
    let circle = |key: &str| list(key).into_iter().filter(|one| one["circle"] == true).collect::<Vec<_>>();
    ensure!(
        (circle("goroutines").len(), circle("objects").len(), circle("edges").len()) == (2, 2, 4),
        "{drawn:#}"
    );
    let ids: BTreeSet<String> = ["goroutines", "objects"]
        .iter()
        .flat_map(|key| list(key))
        .filter_map(|node| node["id"].as_str().map(str::to_owned))
        .collect();
    for edge in list("edges") {
        let is_known = |end: &str| edge[end].as_str().is_some_and(|id| ids.contains(id));
        ensure!(is_known("from") && is_known("to"), "{edge:#} leads nowhere: {drawn:#}");
    }
    let dot = String::from_utf8(graph("dot")?.stdout)?;
    ensure!(dot.starts_with("digraph goflow {") && dot.contains("color=red"), "{dot}");
    let mermaid = String::from_utf8(graph("mermaid")?.stdout)?;
    ensure!(mermaid.starts_with("flowchart LR") && mermaid.contains("classDef circle"), "{mermaid}");
    target.finish()
}

#[test]
fn bad_input_is_refused_with_what_to_do() -> Result<()> {
    for (arguments, part) in [
        (&["check"][..], "--pid"),
        (&["check", "./svc"], "-- ./svc"),
        (&["check", "1"], "--pid 1"),
        (&["check", "--pid", "1", "--", "true"], "cannot be used with"),
        (&["check", "--pid", "1", "--end-hung", "10s"], "cannot be used with"),
        (&["check", "--end-hung", "soon", "--", "true"], "or never"),
        (&["check", "--pid", "1", "--for", "1ms"], "too short for two looks"),
        (
            &["check", "--pid", "1", "--rules", "nonsense"],
            "there is no such rule; there are channel-not-closed",
        ),
        (&["check", "--pid", "4194305"], "there is no process 4194305"),
        (&["check", "--core", "/dev/null"], "/dev/null"),
        (&["explain", "nonsense"], "there is no such rule"),
    ] {
        let finished = run(arguments)?;
        ensure!(finished.status.code() == Some(2), "{arguments:?}: {}", finished.status);
        ensure!(finished.stderr.contains(part), "{arguments:?}: {}", finished.stderr);
    }
    let no_go = Command::new("sleep").arg("30").spawn()?;
    let finished = run(&["check", "--pid", &no_go.id().to_string()])?;
    let mut no_go = no_go;
    no_go.kill()?;
    no_go.wait()?;
    ensure!(finished.status.code() == Some(2), "{}: {}", finished.status, finished.stderr);
    Ok(())
}

/// By another file, and by the same, which could be read on as if nothing had been.
#[test]
fn a_process_that_executes_another_program_is_told_as_it_was_before() -> Result<()> {
    let program = Program::named("successor").build()?;
    let own = program.to_str().context("a path")?;
    for next in [&["/bin/sleep", "3"][..], &[own, "work"]] {
        let target = Target::start(&program, &[&["leaking", "1500"], next].concat())?;
        let pid = target.pid().to_string();
        let finished = run(&["check", "--pid", &pid, "--for", "3s", "--format", "json"])?;
        ensure!(finished.status.code() == Some(1), "{}: {}", finished.status, finished.stderr);
        ensure!(finished.stderr.contains("went on as another program"), "{}", finished.stderr);
        let rules = sure(&report(&finished)?);
        ensure!(rules == BTreeSet::from(["goroutine-leak".to_owned()]), "{rules:?}");
        target.finish()?;
    }
    Ok(())
}

/// By JUnit as skipped, by SARIF as a notification: nothing that was not asked has passed.
#[test]
fn what_could_not_be_asked_has_not_passed() -> Result<()> {
    let target = start("nil-channel-field", VERSIONS[2], Flavour::Plain)?;
    let unread = |format| check(&target, &["--most-memory", "0", "--level", "snapshot", "--format", format]);
    let text = String::from_utf8(unread("junit")?.stdout)?;
    let document = roxmltree::Document::parse(&text)?;
    let tests = document.descendants().filter(|node| node.has_tag_name("testcase"));
    let is_skipped =
        |test: &roxmltree::Node<'_, '_>| test.children().any(|node| node.has_tag_name("skipped"));
    let skipped: BTreeSet<_> = tests.filter(is_skipped).filter_map(|test| test.attribute("name")).collect();
    ensure!(
        ["deadlock", "circular-wait", "goroutine-leak"].iter().all(|rule| skipped.contains(rule)),
        "{text}"
    );
    let log = json(&unread("sarif")?)?;
    let told = &log["runs"][0]["invocations"][0]["toolExecutionNotifications"];
    ensure!(told.to_string().contains("who can still be woken"), "{log:#}");
    target.finish()
}

#[test]
fn an_interrupted_check_tells_what_it_has_found() -> Result<()> {
    for level in ["snapshot", "channels"] {
        let target = start("account-transfer", VERSIONS[2], Flavour::Plain)?;
        let pid = target.pid().to_string();
        let words = ["check", "--pid", &pid, "--for", "5m", "--level", level, "--format", "json"];
        let goflow = Goflow::start(&words)?;
        thread::sleep(Duration::from_secs(3));
        goflow.signal(Signal::INT)?;
        let finished = goflow.finish()?;
        let report = report(&finished)?;
        ensure!(finished.status.code() == Some(1) && !sure(&report).is_empty(), "{level}: {report:#}");
        ensure!(report["meta"]["limits"].to_string().contains("was interrupted"), "{level}: {report:#}");
        target.finish()?;
    }
    Ok(())
}

#[test]
fn every_rule_is_explained() -> Result<()> {
    let list = String::from_utf8(run(&["explain"])?.stdout)?;
    ensure!(list.lines().count() >= 7, "{list}");
    for line in list.lines() {
        let rule = line.split_whitespace().next().context("a rule")?;
        let page = String::from_utf8(run(&["explain", rule])?.stdout)?;
        for heading in ["## Why it matters", "## Example", "## How to mend it", "## When it is a false alarm"]
        {
            ensure!(page.contains(heading), "{rule} has no {heading}");
        }
    }
    Ok(())
}

#[test]
fn what_only_events_tell_is_found_and_where_they_cannot_be_had_that_is_said() -> Result<()> {
    let target = start("double-close-stop", VERSIONS[2], Flavour::Plain)?;
    let pid = target.pid().to_string();
    let finished = run(&["check", "--pid", &pid, "--format", "json", "--budget", "none"])?;
    let report = json(&finished)?;
    ensure!(finished.status.code() == Some(1) && sure(&report).contains("double-close-risk"), "{report:#}");
    let fingerprints: Vec<_> = report["findings"].as_array().into_iter().flatten().collect();
    ensure!(fingerprints.len() == 1, "one fault is told more than once: {report:#}");
    ensure!(report["meta"]["limits"] == serde_json::json!([]), "{report:#}");
    let alone = json(&check(&target, &["--format", "json", "--level", "snapshot"])?)?;
    ensure!(alone["findings"] == serde_json::json!([]), "{alone:#}");
    let refused = check(&target, &["--level", "snapshot", "--rules", "double-close-risk"])?;
    refused.assert_refused(&["double-close-risk", "--level channels"])?;
    target.assert_text_is_untouched()?;
    target.finish()
}
