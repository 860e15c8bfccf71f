//! What `goflow trace` tells of what is wrong: faults of the corpus as they open, what is done to closed channels, which only
//! events tell, and nothing of programs that are right.

use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use goflow_tests::corpus::Kernel;
use goflow_tests::goflow::{Goflow, run};
use goflow_tests::programs::Program;
use goflow_tests::stream::{Finding, Session};
use goflow_tests::target::Target;

const VERSIONS: [&str; 2] = ["1.18.10", "1.27.4"];

/// Two looks and more, however busy the machine is.
const LONGEST: Duration = Duration::from_secs(60);

fn start(kernel: &str, go: &str) -> Result<Target> {
    Target::start(&Program::named("kernels").go(go).build()?, &[kernel])
}

/// Traces until something is found, or for `least` where nothing is to be.
fn trace(target: &Target, arguments: &[&str], least: Option<Duration>) -> Result<Session> {
    let pid = target.pid().to_string();
    let goflow = Goflow::attach(&[&["--pid", &pid], arguments].concat())?;
    let start = Instant::now();
    loop {
        thread::sleep(Duration::from_millis(200));
        let is_over = match least {
            Some(least) => start.elapsed() >= least,
            None => goflow.printed().contains(r#""type":"finding""#),
        };
        if is_over {
            return goflow.stop();
        }
        ensure!(start.elapsed() < LONGEST, "nothing was found");
    }
}

fn kernel(name: &str) -> Result<Kernel> {
    Kernel::all()?.into_iter().find(|kernel| kernel.name == name).with_context(|| name.to_owned())
}

/// Lines of a kernel's own file in the stacks of a finding.
fn lines(finding: &Finding, name: &str) -> BTreeSet<u64> {
    let file = format!("/{name}.go");
    let frames = finding.goroutines.iter().filter_map(|one| one["stack"].as_array()).flatten();
    let own = frames.filter(|frame| frame["file"].as_str().is_some_and(|path| path.ends_with(&file)));
    own.filter_map(|frame| frame["line"].as_u64()).collect()
}

#[test]
fn a_fault_is_told_as_it_opens_and_in_the_end_at_every_level() -> Result<()> {
    for (go, level) in
        VERSIONS.into_iter().flat_map(|go| ["snapshot", "lifecycle", "channels"].map(|level| (go, level)))
    {
        for (name, rule) in [("account-transfer", "circular-wait"), ("range-never-closed", "goroutine-leak")]
        {
            let target = start(name, go)?;
            let session = trace(&target, &["--level", level], None)?;
            let what = || format!("{name}, Go {go}, level {level}: {:?}", session.findings);
            let opened = session.findings.iter().find(|one| one.finding.rule == rule).with_context(what)?;
            ensure!(opened.change == "opened" && opened.pid == target.pid(), "{}", what());
            ensure!(opened.finding.confidence != "suspected", "{}", what());
            ensure!(session.summary.findings.iter().any(|one| one.rule == rule), "{}", what());
            let stuck: BTreeSet<u64> = kernel(name)?.stuck.into_keys().map(u64::from).collect();
            ensure!(!lines(&opened.finding, name).is_disjoint(&stuck), "{}", what());
            target.finish()?;
        }
    }
    Ok(())
}

#[test]
fn what_is_done_to_a_closed_channel_is_told_with_the_lines_of_both() -> Result<()> {
    for go in VERSIONS {
        for (name, rule) in [
            ("send-after-close", "send-on-closed-risk"),
            ("close-under-sender", "send-on-closed-risk"),
            ("double-close-stop", "double-close-risk"),
        ] {
            let target = start(name, go)?;
            let session = trace(&target, &["--level", "channels", "--budget", "none"], None)?;
            let found = &session.summary.findings;
            let what = || format!("{name}, Go {go}: {found:?}");
            let finding = found.iter().find(|one| one.rule == rule).with_context(what)?;
            ensure!(finding.confidence == "proven", "{}", what());
            let here: BTreeSet<u64> = kernel(name)?.here.into_iter().map(u64::from).collect();
            ensure!(here.is_subset(&lines(finding, name)), "{} and not {here:?}", what());
            target.finish()?;
        }
    }
    Ok(())
}

#[test]
fn who_is_counted_too_late_for_a_wait_is_told_with_the_lines_of_both() -> Result<()> {
    for go in ["1.18.10", "1.24.13", "1.27.4"] {
        let mut fingerprints = BTreeSet::new();
        for name in ["group-add-after-wait", "group-add-inside", "group-add-inside"] {
            let target = start(name, go)?;
            let session = trace(&target, &["--level", "channels", "--budget", "none"], None)?;
            let found = &session.summary.findings;
            let what = || format!("{name}, Go {go}: {found:?}");
            let finding = found.iter().find(|one| one.rule == "waitgroup-misuse").with_context(what)?;
            ensure!(finding.confidence != "proven", "{}", what());
            let here: BTreeSet<u64> = kernel(name)?.here.into_iter().map(u64::from).collect();
            ensure!(here.is_subset(&lines(finding, name)), "{} and not {here:?}", what());
            fingerprints.insert(finding.fingerprint.clone());
            target.finish()?;
        }
        ensure!(fingerprints.len() == 2, "Go {go}: {fingerprints:?}");
    }
    Ok(())
}

#[test]
fn of_programs_that_are_right_nothing_is_told_and_of_rules_that_are_not_wanted_neither() -> Result<()> {
    let healthy = [
        "idle-worker-pool",
        "token-ring",
        "nested-locks-ordered",
        "mutual-wait-timeout",
        "members-add-members",
        "group-reused",
        "group-tasks-queued",
        "group-gated",
    ];
    let cases = healthy.map(|name| (name, &["--budget", "none"][..]));
    // Probes come out and go in again while it makes channels where others were.
    let sampled = [("channels-made-anew", &["--level", "channels"][..])];
    let unwanted = [
        ("account-transfer", &["--rules", "none"][..]),
        ("account-transfer", &["--rules", "unbounded-growth,double-close-risk"][..]),
    ];
    for (name, arguments) in cases.into_iter().chain(sampled).chain(unwanted) {
        let target = start(name, VERSIONS[1])?;
        let session = trace(&target, arguments, Some(Duration::from_secs(4)))?;
        let sure = |finding: &&Finding| finding.confidence != "suspected";
        let told = session.findings.iter().map(|one| &one.finding).chain(&session.summary.findings);
        let told: Vec<&Finding> = told.filter(sure).collect();
        ensure!(told.is_empty(), "{name}: {told:?}");
        target.finish()?;
    }
    Ok(())
}

/// A busy program in the same session fills the buffer all the time, so that of the others events are missing as well.
#[test]
fn where_events_are_lost_what_is_stuck_is_found_all_the_same_and_nothing_is_made_up() -> Result<()> {
    let faults = [("account-transfer", "circular-wait"), ("range-never-closed", "goroutine-leak")];
    let of_events = ["close-under-sender", "double-close-stop", "group-add-after-wait", "group-add-inside"];
    let healthy = [
        "channels-made-anew",
        "close-once",
        "group-reused",
        "group-tasks-queued",
        "idle-worker-pool",
        "members-add-members",
        "token-ring",
    ];
    for go in ["1.18.10", "1.24.13", "1.27.4"] {
        let names = faults.map(|(name, _)| name).into_iter().chain(of_events).chain(healthy);
        let targets =
            names.map(|name| Ok((name, start(name, go)?))).collect::<Result<Vec<(&str, Target)>>>()?;
        let storm = Target::start(&Program::named("storm").build()?, &[""; 0])?;
        let pids: Vec<String> = targets
            .iter()
            .map(|(_, target)| target)
            .chain([&storm])
            .map(|one| one.pid().to_string())
            .collect();
        let mut arguments = vec!["--level", "channels", "--budget", "none", "--buffer", "64KiB"];
        arguments.extend(pids.iter().flat_map(|pid| ["--pid", pid]));
        let goflow = Goflow::attach(&arguments)?;
        thread::sleep(Duration::from_secs(5));
        let session = goflow.stop()?;
        ensure!(
            session.summary.lost.values().sum::<u64>() > 0,
            "nothing was lost: {:?}",
            session.summary.lost
        );
        for (name, target) in targets {
            let told = session.findings.iter().filter(|one| one.pid == target.pid());
            let sure: BTreeSet<&str> = told
                .filter(|one| one.finding.confidence != "suspected")
                .map(|one| one.finding.rule.as_str())
                .collect();
            let expected = kernel(name)?.expect;
            ensure!(sure.iter().all(|rule| expected.contains(*rule)), "{name}, Go {go}: {sure:?}");
            let fault = faults.iter().find(|(fault, _)| *fault == name);
            ensure!(fault.is_none_or(|(_, rule)| sure.contains(rule)), "{name}, Go {go}: {sure:?}");
            target.finish()?;
        }
        storm.finish()?;
    }
    Ok(())
}

#[test]
fn a_rule_that_there_is_not_is_refused_with_those_that_there_are() -> Result<()> {
    let target = start("token-ring", VERSIONS[1])?;
    let finished = run(&["trace", "--pid", &target.pid().to_string(), "--rules", "deadlocks"])?;
    finished.assert_refused(&["deadlocks", "circular-wait", "goroutine-leak"])?;
    target.finish()
}

#[test]
fn a_person_reads_what_is_wrong_where_it_is_and_how_to_learn_more() -> Result<()> {
    let target = start("account-transfer", VERSIONS[1])?;
    let pid = target.pid().to_string();
    let finished = run(&["trace", "--pid", &pid, "--duration", "8s", "--level", "blocking"])?;
    let text = String::from_utf8_lossy(&finished.stdout);
    for words in ["circular-wait: goroutines wait for each other", "goflow explain circular-wait", "found"] {
        ensure!(text.contains(words), "no {words:?} in {text}");
    }
    target.finish()
}
