//! The corpus of kernels in `tests/programs/kernels`: what each is labelled with, and how a report of `goflow check` fares
//! against that.
//!
//! In: the comments of a kernel's file (`main.go` there tells what they mean); a report as JSON. Out: [`Kernel`]s and [`Score`]s.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::repository;

/// A kernel and its labels.
#[derive(Clone, Debug)]
pub struct Kernel {
    /// Its name, which is that of its file.
    pub name: String,
    /// Kind of the fault, or `correct`.
    pub class: String,
    /// Rules of which any one finds it.
    pub expect: BTreeSet<String>,
    /// Lines at which goroutines stay for good, with how many.
    pub stuck: BTreeMap<u32, u32>,
    /// Lines to blame for what is no goroutine being stuck.
    pub here: BTreeSet<u32>,
}

impl Kernel {
    /// Every kernel, by name.
    ///
    /// # Errors
    /// A file cannot be read, or has no class.
    pub fn all() -> Result<Vec<Self>> {
        let mut kernels = Vec::new();
        for entry in fs::read_dir(repository().join("tests/programs/kernels"))? {
            let path = entry?.path();
            let name = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default().to_owned();
            if path.extension().is_some_and(|extension| extension == "go") {
                kernels.extend(Self::parse(&name, &fs::read_to_string(&path)?));
            }
        }
        kernels.sort_by(|one, other| one.name.cmp(&other.name));
        ensure!(!kernels.is_empty(), "there are no kernels");
        for kernel in &kernels {
            let is_correct = kernel.class == "correct";
            ensure!(is_correct == kernel.expect.is_empty(), "{}: a class and what is expected", kernel.name);
        }
        Ok(kernels)
    }

    /// `None` for a file without a class, which is no kernel.
    fn parse(name: &str, source: &str) -> Option<Self> {
        let label = |label| source.lines().find_map(|line| line.strip_prefix(label));
        let class = label("//goflow:class ")?.trim().to_owned();
        let expect =
            label("//goflow:expect ").unwrap_or_default().split_whitespace().map(str::to_owned).collect();
        let (mut stuck, mut here) = (BTreeMap::new(), BTreeSet::new());
        for (line, text) in (1..).zip(source.lines()) {
            if let Some((_, count)) = text.split_once("// stuck") {
                let count = count.strip_prefix(':').and_then(|count| count.trim().parse().ok());
                stuck.insert(line, count.unwrap_or(1));
            }
            if text.contains("// here") {
                here.insert(line);
            }
        }
        Some(Self { name: name.to_owned(), class, expect, stuck, here })
    }

    /// It has no fault.
    #[must_use]
    pub fn is_correct(&self) -> bool {
        self.class == "correct"
    }

    /// How a report fares.
    ///
    /// # Errors
    /// It is no report.
    pub fn score(&self, report: &Value) -> Result<Score> {
        let mut score = Score::default();
        let findings = report["findings"].as_array().context("a report has findings")?;
        let started = report["meta"]["started_ns"].as_u64().unwrap_or(0);
        for finding in findings {
            let text = |key: &str| finding[key].as_str().unwrap_or_default().to_owned();
            let (rule, confidence) = (text("rule"), text("confidence"));
            let places = self.places(finding);
            let is_marked = |line: &u32| self.stuck.contains_key(line) || self.here.contains(line);
            let hits: BTreeSet<u32> = places.iter().copied().filter(is_marked).collect();
            // Where a goroutine runs, nobody knows without stopping it; where it comes from is known.
            let is_from_here = !self.here.is_empty() && self.made_here(finding);
            if (!hits.is_empty() || is_from_here) && self.expect.contains(&rule) {
                let after = finding["opened_ns"].as_u64().unwrap_or(0).saturating_sub(started);
                score.found_after_ns = Some(score.found_after_ns.unwrap_or(u64::MAX).min(after));
            }
            if !hits.is_empty() {
                score.lines.extend(hits);
            } else if confidence != "suspected" {
                score.false_alarms.push(format!("{rule} ({confidence}) at {places:?}"));
            }
            score.rules.insert((rule, confidence));
        }
        Ok(score)
    }

    /// A goroutine of the finding was created by the kernel.
    fn made_here(&self, finding: &Value) -> bool {
        let file = format!("/{}.go", self.name);
        let goroutines = finding["goroutines"].as_array();
        goroutines.into_iter().flatten().any(|goroutine| {
            goroutine["created_at"]["file"].as_str().is_some_and(|name| name.ends_with(&file))
        })
    }

    /// Lines of the kernel's own file at which the goroutines of a finding stand, and those of its functions.
    fn places(&self, finding: &Value) -> BTreeSet<u32> {
        let file = format!("/{}.go", self.name);
        let goroutines = finding["goroutines"].as_array().into_iter().flatten();
        let frames = goroutines.filter_map(|goroutine| goroutine["stack"].as_array()).flatten();
        let frames = frames.chain(finding["functions"].as_array().into_iter().flatten());
        let own = frames.filter(|frame| frame["file"].as_str().is_some_and(|name| name.ends_with(&file)));
        own.filter_map(|frame| frame["line"].as_u64()?.try_into().ok()).collect()
    }
}

/// How a report fares against the labels.
#[derive(Clone, Debug, Default)]
pub struct Score {
    /// From the first look until one of the expected rules had it.
    pub found_after_ns: Option<u64>,
    /// Marked lines that some finding names.
    pub lines: BTreeSet<u32>,
    /// Findings that are more than suspected at lines that are not marked.
    pub false_alarms: Vec<String>,
    /// What was found, with how sure.
    pub rules: BTreeSet<(String, String)>,
}
