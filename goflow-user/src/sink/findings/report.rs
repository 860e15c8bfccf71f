//! What was checked, and what was found there.
//!
//! In: processes, each with what is wrong with it, in any order. Out: [`Report`], in which the same fault is told once, whoever
//! has it: of several processes of one program, as tests are, the surest finding stays, and knows who else has it.

use super::Described;
use crate::detect::Rule;
use crate::target::id::MonotonicNs;
use std::cmp::Reverse;

/// What was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Of {
    /// A process that ran already.
    Process,
    /// The process that left this core file.
    Core(String),
    /// Each process of this command.
    Command(Vec<String>),
}

/// A process that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// The process; `None` for a core file that does not tell.
    pub pid: Option<u32>,
    /// Path of the binary.
    pub binary: String,
    /// Its Go version.
    pub go_version: Option<String>,
    /// When the first look began.
    pub started: MonotonicNs,
    /// How often it was looked.
    pub looks: u32,
    /// From the first look to the last, nanoseconds.
    pub duration_ns: u64,
    /// Goroutines at the last look, without the runtime's own.
    pub goroutines: u64,
}

/// A finding, and who has it.
#[derive(Clone, Debug)]
pub struct Found<'f> {
    /// What was found.
    pub described: Described<'f>,
    /// The process that its goroutines are of, by its place in [`Report::processes`].
    pub process: usize,
    /// Other processes that have it as well.
    pub others: Vec<usize>,
}

/// What was checked, and what was found.
#[derive(Debug)]
pub struct Report<'f> {
    /// What was checked.
    pub of: Of,
    /// The processes that were looked at.
    pub processes: Vec<Subject>,
    /// When the first look began.
    pub started: MonotonicNs,
    /// From the first look to the last, or for as long as the command was looked at, nanoseconds.
    pub duration_ns: u64,
    /// What could not be found out, a sentence each, without the full stop.
    pub limits: Vec<String>,
    /// Rules that could not be asked, and why.
    pub unasked: Vec<(&'static Rule, String)>,
    /// What was found, the surest first.
    pub findings: Vec<Found<'f>>,
}

impl<'f> Report<'f> {
    /// Without a process yet.
    #[must_use]
    pub fn new(of: Of) -> Self {
        Self {
            of,
            processes: Vec::new(),
            started: MonotonicNs(0),
            duration_ns: 0,
            limits: Vec::new(),
            unasked: Vec::new(),
            findings: Vec::new(),
        }
    }

    /// Adds a process and what is wrong with it.
    pub fn add(&mut self, process: Subject, limits: Vec<String>, findings: Vec<Described<'f>>) {
        let at = self.processes.len();
        if at == 0 || process.started < self.started {
            self.started = process.started;
        }
        self.duration_ns = self.duration_ns.max(process.duration_ns);
        self.processes.push(process);
        for limit in limits {
            if !self.limits.contains(&limit) {
                self.limits.push(limit);
            }
        }
        findings.into_iter().for_each(|described| self.found(at, described));
        self.findings.sort_by_key(|found| {
            let finding = &found.described.finding;
            Reverse((finding.confidence, finding.rule.severity))
        });
    }

    /// Takes note of a finding; one with a fingerprint that is known is the same fault.
    fn found(&mut self, process: usize, described: Described<'f>) {
        let same = |known: &&mut Found<'f>| known.described.fingerprint == described.fingerprint;
        let Some(known) = self.findings.iter_mut().find(same) else {
            return self.findings.push(Found { described, process, others: Vec::new() });
        };
        let is_surer = described.finding.confidence > known.described.finding.confidence;
        if known.process == process {
            let before = if is_surer {
                std::mem::replace(&mut known.described, described).goroutines
            } else {
                described.goroutines
            };
            known.described.goroutines.extend(before);
            return;
        }
        let other = if is_surer {
            known.described = described;
            std::mem::replace(&mut known.process, process)
        } else {
            process
        };
        if !known.others.contains(&other) {
            known.others.push(other);
        }
    }

    /// The process, where there is only one.
    #[must_use]
    pub fn only(&self) -> Option<&Subject> {
        match self.processes.as_slice() {
            [one] => Some(one),
            _ => None,
        }
    }

    /// The process that a finding is of.
    #[must_use]
    pub fn process_of(&self, found: &Found<'_>) -> Option<&Subject> {
        self.processes.get(found.process)
    }

    /// Pids of the others that have it.
    pub fn others<'r>(&'r self, found: &'r Found<'_>) -> impl Iterator<Item = u32> + 'r {
        found.others.iter().filter_map(|&at| self.processes.get(at)?.pid)
    }

    /// How often it was looked, at all of them.
    #[must_use]
    pub fn looks(&self) -> u64 {
        self.processes.iter().map(|process| u64::from(process.looks)).sum()
    }

    /// Goroutines at the last look at each.
    #[must_use]
    pub fn goroutines(&self) -> u64 {
        self.processes.iter().map(|process| process.goroutines).sum()
    }

    /// What was checked, in words.
    #[must_use]
    pub fn name(&self) -> String {
        let binary = self.only().map(|one| format!(" ({})", one.binary)).unwrap_or_default();
        match (&self.of, self.only().and_then(|one| one.pid)) {
            (Of::Core(core), _) => format!("core file {core}{binary}"),
            (Of::Process, Some(pid)) => format!("process {pid}{binary}"),
            (Of::Process, None) => format!("the process{binary}"),
            (Of::Command(words), Some(pid)) => format!("process {pid}{binary} of {}", words.join(" ")),
            (Of::Command(words), None) => match self.processes.len() {
                0 => format!("any process of {}", words.join(" ")),
                count => format!("{count} processes of {}", words.join(" ")),
            },
        }
    }
}
