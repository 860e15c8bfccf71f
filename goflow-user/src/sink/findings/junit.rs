//! Findings as tests, in the XML that JUnit began and that CI shows: each rule that was asked is one, and passes where nothing was
//! found that is to be failed on.
//!
//! What was found is the text of the failure, as a person reads it; of a rule that passes it is what the test printed. Where
//! nothing was looked at, nothing has passed: the tests are told as skipped.

use super::{Found, Report, TEST_MAIN, relative, text};
use crate::detect::{Confidence, Rule};
use chrono::DateTime;
use quick_junit::{NonSuccessKind, Property, TestCase, TestCaseStatus, TestSuite};
use std::io::{self, Write};
use std::time::Duration;

/// The class of each test, by which CI groups them.
const CLASS: &str = "goflow.check";

/// What the report does not tell itself.
pub struct Asked<'a> {
    /// The rules that were asked.
    pub rules: &'a [&'static Rule],
    /// Whether a finding that is so sure is to be failed on.
    pub is_failure: &'a dyn Fn(Confidence) -> bool,
    /// What to add to a time of the report to have it since 1970, nanoseconds; `None` where nobody knows when that was.
    pub wall_clock_offset_ns: Option<i64>,
}

/// Writes a report; files under `root` are named from there.
///
/// # Errors
/// `out` takes no more.
pub fn write(report: &Report<'_>, asked: &Asked<'_>, root: &str, out: &mut dyn Write) -> io::Result<()> {
    let mut suite = TestSuite::new(format!("goflow check: {}", report.name()));
    suite.set_time(Duration::from_nanos(report.duration_ns));
    if let Some(offset) = asked.wall_clock_offset_ns {
        suite.set_timestamp(DateTime::from_timestamp_nanos(offset.saturating_add_unsigned(report.started.0)));
    }
    for process in &report.processes {
        let pid = process.pid.map_or_else(|| "unknown".to_owned(), |pid| pid.to_string());
        suite.add_property(Property::new("pid", pid));
        suite.add_property(Property::new("binary", process.binary.as_str()));
    }
    for rule in asked.rules {
        suite.add_test_case(test(report, asked, rule, root)?);
    }
    if !report.limits.is_empty() {
        let limits = report.limits.iter().map(|limit| format!("not found out: {limit}\n"));
        suite.set_system_out(limits.collect::<String>());
    }
    let mut all = quick_junit::Report::new("goflow check");
    all.set_time(Duration::from_nanos(report.duration_ns));
    all.add_test_suite(suite);
    all.serialize(&mut *out).map_err(io::Error::other)
}

fn test(report: &Report<'_>, asked: &Asked<'_>, rule: &Rule, root: &str) -> io::Result<TestCase> {
    let found: Vec<&Found<'_>> =
        report.findings.iter().filter(|found| found.described.finding.rule == rule).collect();
    let fails = |found: &&&Found<'_>| (asked.is_failure)(found.described.finding.confidence);
    let failures: Vec<&Found<'_>> = found.iter().filter(fails).copied().collect();
    let mut test = TestCase::new(rule.id, status(report, rule, &failures)?);
    test.set_classname(CLASS);
    if let Some(place) = failures.iter().chain(&found).find_map(|one| place(one)) {
        let (file, line) = place;
        test.extra.insert("file".into(), relative(file, root).into());
        test.extra.insert("line".into(), line.to_string().into());
    }
    if failures.is_empty() && !found.is_empty() {
        test.set_system_out(described(report, &found)?);
    }
    Ok(test)
}

fn status(report: &Report<'_>, rule: &Rule, failures: &[&Found<'_>]) -> io::Result<TestCaseStatus> {
    let unasked = if report.processes.is_empty() {
        Some(report.limits.first().map_or("nothing was looked at", String::as_str))
    } else {
        report.unasked.iter().find(|(one, _)| *one == rule).map(|(_, why)| why.as_str())
    };
    if let Some(why) = unasked.filter(|_| failures.is_empty()) {
        let mut skipped = TestCaseStatus::skipped();
        skipped.set_message(why);
        return Ok(skipped);
    }
    let Some(first) = failures.first() else { return Ok(TestCaseStatus::success()) };
    let mut failure = TestCaseStatus::non_success(NonSuccessKind::Failure);
    let more = match failures.len() {
        1 => String::new(),
        count => format!(", at {count} places"),
    };
    let evidence = first.described.evidence.first().map_or_else(String::new, |why| format!(": {why}"));
    failure.set_message(format!("{}{more}{evidence}", rule.title));
    failure.set_type(first.described.finding.confidence.name());
    failure.set_description(described(report, failures)?);
    Ok(failure)
}

/// Where the first goroutine of a finding waits.
fn place<'f>(found: &'f Found<'_>) -> Option<(&'f str, u32)> {
    let places = found.described.goroutines.iter().filter_map(|named| named.place.as_ref());
    let mut places = places.filter_map(|place| Some((place.file.as_deref()?, place.line?)));
    // What `go test` generates is no file that anybody could open.
    let is_written = |place: &(&str, u32)| place.0 != TEST_MAIN;
    places.clone().find(is_written).or_else(|| places.next())
}

/// Findings as a person reads them.
fn described(report: &Report<'_>, findings: &[&Found<'_>]) -> io::Result<String> {
    let mut bytes = Vec::new();
    for found in findings {
        text::finding(report, found, &mut bytes)?;
    }
    let plain = anstream::adapter::strip_bytes(&bytes).into_vec();
    Ok(String::from_utf8_lossy(&plain).into_owned())
}
