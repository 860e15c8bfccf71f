//! Every Go minor from 1.18 on, in every way to build: all probes resolve, and what goflow saw of a scripted program is,
//! goroutine by goroutine, what the program did, with nothing lost.
//!
//! The tests are data (`go-versions.txt` × [`Flavour`]), so their names come from it: `go1.22.12 pie: …`.

use anyhow::{Context, Result, ensure};
use goflow_tests::goflow::Goflow;
use goflow_tests::programs::{Flavour, Program, go_versions};
use goflow_tests::script::Script;
use goflow_tests::stream::{Session, probes_of_level};
use goflow_tests::target::Target;
use libtest_mimic::{Arguments, Failed, Trial};

fn main() {
    let mut tests = Vec::new();
    for go in go_versions() {
        for flavour in Flavour::MATRIX {
            let name = format!("go{go} {}: goflow's counts are the program's", flavour.name());
            tests.push(Trial::test(name, move || test(go, flavour, &["--level", "channels"])));
        }
    }
    let newest = go_versions().last().copied().unwrap_or_default();
    for level in ["lifecycle", "blocking"] {
        let name = format!("go{newest} stripped: level {level} counts its kinds exactly and no others");
        tests.push(Trial::test(name, move || test(newest, Flavour::Stripped, &["--level", level])));
    }
    // As on a kernel before 6.6; both ways must be tested on every kernel.
    let name = format!("go{newest} stripped: one perf event a probe counts the same");
    let one_by_one = ["--level", "channels", "--attach", "perf"];
    tests.push(Trial::test(name, move || test(newest, Flavour::Stripped, &one_by_one)));
    libtest_mimic::run(&Arguments::from_args(), tests).exit();
}

fn test(go: &str, flavour: Flavour, options: &[&str]) -> Result<(), Failed> {
    counts_are_exact(go, flavour, options).map_err(|error| format!("{error:#}").into())
}

fn counts_are_exact(go: &str, flavour: Flavour, options: &[&str]) -> Result<()> {
    let program = Program::named("counts").go(go).flavour(flavour).build()?;
    let mut target = Target::start(&program, &["3"])?;
    let pid = target.pid().to_string();
    let goflow = Goflow::attach(&[&["--pid", &pid], options].concat())?;
    let line = target.ask()?;
    let session = goflow.stop()?;

    let script = Script::parse(&line)?;
    ensure!(script.go == format!("go{go}"), "built by {}", script.go);
    ensure!(script.cgo == (flavour == Flavour::Cgo), "cgo is {}", script.cgo);
    every_probe_is_in_place(&session, go, flavour, options[1])?;
    let one_by_one = options.contains(&"perf");
    ensure!((session.meta().attach_method == "perf_event") == one_by_one, "{}", session.meta().attach_method);
    session.assert_nothing_lost()?;
    let differences = script.differences(&session, target.pid());
    ensure!(differences.is_empty(), "{} differences:\n{}", differences.len(), differences.join("\n"));
    target.assert_text_is_untouched()?;
    target.finish().context("after the trace")
}

fn every_probe_is_in_place(session: &Session, go: &str, flavour: Flavour, level: &str) -> Result<()> {
    let meta = session.meta();
    ensure!(meta.level == level, "level {}", meta.level);
    ensure!(meta.go_version.as_deref() == Some(&format!("go{go}")), "taken for {:?}", meta.go_version);
    ensure!(meta.pie == (flavour == Flavour::Pie), "pie is {}", meta.pie);
    ensure!(meta.unavailable.is_empty(), "unavailable: {:?}", meta.unavailable);
    let in_place: Vec<&str> = meta.probes.iter().map(|probe| probe.probe.as_str()).collect();
    let missing: Vec<&str> =
        probes_of_level(level).into_iter().filter(|probe| !in_place.contains(probe)).collect();
    ensure!(missing.is_empty(), "not in place: {missing:?}");
    let extra: Vec<&&str> = in_place.iter().filter(|probe| !probes_of_level(level).contains(probe)).collect();
    ensure!(extra.is_empty(), "not of this level: {extra:?}");
    Ok(())
}
