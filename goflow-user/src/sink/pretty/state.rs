//! The lines of the summary that tell what a process was doing at the end.
//!
//! In: [`ProcessState`]s; out: lines. Of several processes the first few are shown; what is left out is counted.

use super::book::Book;
use super::layout::{Line, counted, grouped, span};
use super::report::entry;
use super::{ALARM, BOLD, DIM, PLAIN};
use crate::ingest::event::{MonotonicNs, Pid, WaitReason};
use crate::model::{AlikeWaits, Missing};
use crate::probe::budget::Mode;
use crate::sink::printable::printable;
use crate::sink::record::{LevelCoverage, Names, ProcessState, Summary};
use crate::sink::words;
use crate::target::snapshot::Snapshot;
use foldhash::HashMap;

/// Processes shown.
const PROCESSES: usize = 3;
/// Wait reasons shown of each: a hang is often the rarest of them, and a program has hardly more.
const REASONS: usize = 16;
/// Waits shown of each.
const WAITS: usize = 5;

/// Where the text begins beside how long a goroutine waits.
const BESIDE_WAIT: usize = 25;

/// How far looks at the same process were apart.
#[derive(Default)]
pub(super) struct Looks {
    last: HashMap<Pid, MonotonicNs>,
    apart_ns: u64,
}

impl Looks {
    /// Counts one.
    pub(super) fn look(&mut self, pid: Pid, snapshot: &Snapshot) {
        if let Some(last) = self.last.insert(pid, snapshot.started) {
            self.apart_ns = self.apart_ns.max(snapshot.ended.0.saturating_sub(last.0));
        }
    }

    /// The pid may come again as another process's.
    pub(super) fn forget(&mut self, pid: Pid) {
        self.last.remove(&pid);
    }

    /// From the beginning of one look to the end of the next at most; nanoseconds.
    pub(super) fn apart_ns(&self) -> u64 {
        self.apart_ns
    }
}

/// What those that live were doing.
pub(super) fn lines(summary: &Summary, level: &str, book: &mut Book, names: &dyn Names) -> Vec<Line> {
    let mut lines = Vec::new();
    let many = summary.processes.len() > 1;
    let sees_parks = sees_parks(summary, level);
    for (index, state) in summary.state.iter().take(PROCESSES).enumerate() {
        let title = if index == 0 { "state" } else { "" };
        lines.extend(counts(title, state, many, book, names));
        let waits = state.overview.alike.iter().take(WAITS);
        for wait in waits {
            lines.push(long_wait(state.overview.pid, wait, summary.end, sees_parks, book, names));
        }
    }
    if let Some(rest) = summary.state.len().checked_sub(PROCESSES).filter(|rest| *rest > 0) {
        let processes = words::plural(rest as u64, "process");
        let text = format!("and of {rest} more {processes}; --format json has them all");
        lines.push(entry("").text(DIM, text));
    }
    lines
}

/// Whether no park was missed because nobody watched.
fn sees_parks(summary: &Summary, level: &str) -> bool {
    let of_parks = |one: &&LevelCoverage| one.level == "blocking";
    let has_windows = |one: &LevelCoverage| one.mode != Mode::Continuous || one.windows > 1;
    let in_windows = summary.coverage.iter().find(of_parks).is_some_and(has_windows);
    matches!(level, "blocking" | "channels") && !in_windows
}

fn counts(title: &str, state: &ProcessState, many: bool, book: &mut Book, names: &dyn Names) -> Vec<Line> {
    let overview = &state.overview;
    if overview.missing == Some(Missing::NoSnapshot) && overview.goroutines == 0 {
        // Nobody was seen, which is not to say that nobody is there.
        let why = words::incomplete(state).unwrap_or_default();
        return vec![entry(title).text(ALARM, format!("{}not known: {}", of(state, many), printable(&why)))];
    }
    let mut parts = vec![format!("{} awake", grouped(overview.awake))];
    if overview.syscall > 0 {
        parts[0].push_str(&format!(" ({} in a system call)", grouped(overview.syscall)));
    }
    parts.push(format!("{} waiting", grouped(overview.waiting)));
    if overview.unknown > 0 {
        parts.push(format!("{} unknown", grouped(overview.unknown)));
    }
    let of = of(state, many);
    let counts = entry(title)
        .text(BOLD, format!("{of}{}", counted(overview.goroutines, "goroutine")))
        .text(PLAIN, format!(": {}", parts.join(", ")))
        .text(
            DIM,
            format!("; {} of the runtime's own, {}", overview.system, counted(overview.channels, "channel")),
        );
    let mut lines = vec![counts];
    if let Some(why) = words::incomplete(state) {
        lines.push(entry("").text(ALARM, format!("not complete: {}", printable(&why))));
    }
    if !overview.reasons.is_empty() {
        lines.push(entry("").text(PLAIN, format!("waiting for: {}", reasons(state, book, names))));
    }
    lines
}

/// Which process it is, where there are many.
fn of(state: &ProcessState, many: bool) -> String {
    if many { format!("process {}: ", state.overview.pid.0) } else { String::new() }
}

fn reasons(state: &ProcessState, book: &mut Book, names: &dyn Names) -> String {
    let reasons = &state.overview.reasons;
    let mut texts: Vec<String> = reasons
        .iter()
        .take(REASONS)
        .map(|(reason, count)| {
            format!("{} {}", grouped(*count), text(state.overview.pid, *reason, book, names))
        })
        .collect();
    let rest: u64 = reasons.iter().skip(REASONS).map(|(_, count)| count).sum();
    if rest > 0 {
        texts.push(format!("{} other", grouped(rest)));
    }
    texts.join(", ")
}

fn long_wait(
    pid: Pid,
    waits: &AlikeWaits,
    end: MonotonicNs,
    sees_parks: bool,
    book: &mut Book,
    names: &dyn Names,
) -> Line {
    let wait = &waits.longest;
    let lasts = span(end.0.saturating_sub(wait.since.0));
    let at_least = match (wait.exact, sees_parks) {
        (true, _) => "",
        // Without events of parks: so long it was found waiting at each look.
        (false, false) => "seen ",
        (false, true) => "≥ ",
    };
    let alike = match waits.count {
        0 | 1 => String::new(),
        count => format!(" and {} like it:", grouped(count - 1)),
    };
    let on = if waits.same_object { wait.on.as_slice() } else { &[] };
    let object = on.first().map(|on| book.object(pid, on)).unwrap_or_default();
    let more = on.len().saturating_sub(1);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let place = book.site_of_stack(pid, &wait.stack, names);
    let place = place.map_or_else(String::new, |site| format!(" at {}", book.full(site)));
    let origin = wait.created_at.map(|pc| match book.go_statement(pid, pc, names) {
        Some(site) => format!(", created at {}", book.full(site)),
        None => ", started by the runtime".to_owned(),
    });
    entry("")
        .number(PLAIN, &format!("{at_least}{lasts}"), 13)
        .text(BOLD, format!("g{}{alike}", wait.goid.0))
        .text(PLAIN, format!(" {}{object}{more}{place}", text(pid, wait.reason, book, names)))
        .text(DIM, origin.unwrap_or_default())
        .wrapping(BESIDE_WAIT)
}

fn text(pid: Pid, reason: Option<WaitReason>, book: &mut Book, names: &dyn Names) -> String {
    let id = reason.map(|reason| book.wait_reason(pid, reason, names));
    id.map_or("unknown reason", |id| book.text(id)).to_owned()
}
