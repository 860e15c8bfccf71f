//! The first and the last thing a person reads: what is traced and how, and what came out.
//!
//! In: [`Meta`] and [`Summary`]; out: lines. The summary ends with advice that follows from its own numbers.

use super::findings;
use super::layout::{Line, counted, grouped, span};
use super::state::Looks;
use super::{ALARM, BOLD, DIM, Events, PLAIN};
use crate::ingest::event::LossPoint;
use crate::probe::budget::{self, Budget, Mode};
use crate::probe::estimate::Estimate;
use crate::probe::filter::Filter;
use crate::sink::printable::printable;
use crate::sink::record::{LevelCoverage, Meta, OwnUse, ProbeHits, Progress, Silence, Summary};
use crate::sink::words;
use bytesize::ByteSize;

/// Share of one CPU, in percent, below which a target does not feel the probes whatever their share of its own time.
const FELT_PERCENT: f64 = 0.2;

/// Shorter than this, a target that did nothing says nothing of it, in nanoseconds.
const SHORT_NS: u64 = 3_000_000_000;

/// Probes the summary lists; the cheapest are summed up.
const PROBE_ROWS: usize = 14;

/// Where the text of the summary begins, and where it goes on in the next line.
const INDENT: usize = 10;

/// Columns of two counts beside each other.
const TWO_COUNTS: usize = INDENT + 2 * 31 + 2;

/// What is traced, with which probes, and what is missing.
pub(super) fn header(meta: &Meta) -> Vec<Line> {
    let go_version = meta.go_version.as_deref().unwrap_or("unknown Go version");
    let module = meta.module.as_deref().map(|module| format!(", module {module}")).unwrap_or_default();
    let mut lines = vec![
        Line::default()
            .text(BOLD, format!("goflow {}", meta.goflow))
            .text(PLAIN, format!("  {} ", printable(&meta.binary.to_string())))
            .text(DIM, format!("({}{})", printable(go_version), printable(&module)))
            .wrapping(2),
        match meta.interval_ns {
            Some(interval_ns) => without_probes(meta, interval_ns),
            None => with_probes(meta),
        },
    ];
    lines.extend(meta.filter.as_ref().map(recorded));
    let unused: Vec<_> = meta
        .unavailable
        .iter()
        .filter(|missing| missing.is_unused)
        .map(|missing| printable(&missing.what).to_string())
        .collect();
    if !unused.is_empty() {
        let text = format!("this program has no {}", unused.join(", no "));
        lines.push(Line::default().text(DIM, text).wrapping(2));
    }
    for missing in meta.unavailable.iter().filter(|missing| !missing.is_unused) {
        let text = format!("not available: {}: {}", printable(&missing.what), printable(&missing.why));
        lines.push(Line::default().text(ALARM, text).wrapping(2));
    }
    lines
}

fn without_probes(meta: &Meta, interval_ns: u64) -> Line {
    let text = format!(
        "no probe; memory is read every {}, level {}; names from {}, offsets from {}",
        span(interval_ns),
        meta.level,
        meta.symbol_source,
        meta.offset_source
    );
    Line::default().text(DIM, text).wrapping(2)
}

fn with_probes(meta: &Meta) -> Line {
    let text = format!(
        "{} in place after {} ({}), level {}; names from {}, offsets from {}",
        counted(meta.probes.len() as u64, "probe"),
        span(meta.attach_ns),
        meta.attach_method.replace('_', " "),
        meta.level,
        meta.symbol_source,
        meta.offset_source
    );
    Line::default().text(DIM, text).wrapping(2)
}

/// What is recorded, where that is not everything.
fn recorded(filter: &Filter) -> Line {
    let mut only = Vec::new();
    if let Some(sample) = filter.sample {
        only.push(format!("one of {} goroutines", grouped(sample.one_of().into())));
    }
    if !filter.created_at.is_empty() {
        let places: Vec<String> = filter.created_at.iter().map(ToString::to_string).collect();
        only.push(format!("goroutines created at {}", printable(&places.join(", "))));
    }
    if !filter.channels.is_empty() {
        let channels: Vec<String> =
            filter.channels.iter().map(|channel| format!("{:#x}", channel.0)).collect();
        only.push(format!("of channel operations and waits those on {}", channels.join(", ")));
    }
    if let Some(least) = filter.min_block {
        only.push(format!("of waits those of {} and more, when they end", span(least.as_nanos() as u64)));
    }
    let only =
        if filter.records_nothing() { "no event".to_owned() } else { format!("only {}", only.join("; ")) };
    let counted = if filter.aggregate { "; channels and waits are counted in the kernel" } else { "" };
    Line::default().text(DIM, format!("recorded: {only}{counted}")).wrapping(2)
}

/// What of the events was shown.
pub(super) struct Shown {
    pub(super) events: Events,
    /// Every one.
    pub(super) is_whole: bool,
    /// Columns of the terminal, where there is one.
    pub(super) width: Option<usize>,
}

/// Totals, what is told of the processes' state, cost and advice.
pub(super) fn summary(
    summary: &Summary,
    metas: &[Meta],
    looks: &Looks,
    shown: &Shown,
    state: Vec<Line>,
) -> Vec<Line> {
    let mut lines = vec![
        Line::default(),
        Line::default()
            .text(BOLD, "summary")
            .text(PLAIN, format!("  {}, {}", span(summary.duration_ns), printable(&summary.ended)))
            .text(DIM, processes(summary))
            .wrapping(INDENT - 1),
    ];
    lines.extend(counts(summary, shown.width));
    lines.push(losses(summary));
    if state.is_empty() {
        lines.push(entry("state").text(DIM, no_state(summary)));
    }
    lines.extend(state);
    lines.extend(findings::summary(summary));
    match metas.first().and_then(|meta| meta.interval_ns) {
        Some(interval_ns) => lines.extend(looking(looks.apart_ns().max(interval_ns))),
        None => {
            lines.extend(probes(summary));
            lines.extend(watched(summary));
            lines.push(cost(summary));
            let text = format!("{}out after {}", attached(metas), span(summary.detach_ns));
            lines.push(entry("attach").text(PLAIN, text));
        }
    }
    lines.push(own(summary));
    if let Some(advice) = advice(summary, shown) {
        lines.push(entry("next").text(PLAIN, advice));
    }
    lines
}

/// How long attaching took, for each binary.
fn attached(metas: &[Meta]) -> String {
    if metas.is_empty() {
        return String::new();
    }
    let binaries: Vec<String> = metas.iter().map(|meta| meta.binary.to_string()).collect();
    let each = metas.iter().zip(&binaries).map(|(meta, binary)| match metas.len() {
        1 => span(meta.attach_ns),
        _ => format!("{} ({})", span(meta.attach_ns), printable(short(binary, &binaries))),
    });
    format!("probes in after {}, ", each.collect::<Vec<_>>().join(" and "))
}

/// The name of the file where that is enough to tell `binary` from the others of `all`, else its path.
fn short<'a>(binary: &'a str, all: &[String]) -> &'a str {
    fn name(path: &str) -> &str {
        path.rsplit('/').next().unwrap_or(path)
    }
    let is_unique = all.iter().filter(|other| name(other) == name(binary)).count() <= 1;
    if is_unique { name(binary) } else { binary }
}

/// The start of a line of the summary.
pub(super) fn entry(title: &str) -> Line {
    Line::default().text(DIM, format!("  {title:<8}")).wrapping(INDENT)
}

/// Why there is nothing to tell of what goroutines were doing at the end: whoever was traced has ended, or nobody was there,
/// or nobody was read.
fn no_state(summary: &Summary) -> String {
    match (summary.processes.as_slice(), &summary.silence) {
        ([one], _) => format!("none: process {} has ended", one.0),
        (many @ [_, ..], _) => format!("none: all {} have ended", counted(many.len() as u64, "process")),
        ([], Some(Silence::Ended)) => "none: the target has ended".to_owned(),
        ([], Some(Silence::NobodyRuns)) => "none: nobody ran this file".to_owned(),
        ([], _) => "not known: there was no snapshot".to_owned(),
    }
}

fn processes(summary: &Summary) -> String {
    match summary.processes.as_slice() {
        [] => String::new(),
        [one] => format!(", process {}", one.0),
        many => format!(", {}", counted(many.len() as u64, "process")),
    }
}

fn total(summary: &Summary) -> u64 {
    summary.counts.iter().map(|(_, count)| count).sum()
}

fn lost(summary: &Summary) -> u64 {
    summary.lost.iter().map(|(_, count)| count).sum()
}

/// Counts by kind, two to a line where that fits.
fn counts(summary: &Summary, width: Option<usize>) -> Vec<Line> {
    let beside = if width.is_none_or(|width| width >= TWO_COUNTS) { 2 } else { 1 };
    let seen: Vec<_> = summary.counts.iter().filter(|(_, count)| *count > 0).collect();
    let mut lines = vec![entry("events").text(BOLD, grouped(total(summary)))];
    for group in seen.chunks(beside) {
        let texts = group.iter().map(|(kind, count)| format!("{:<17}{:>13}", kind, grouped(*count)));
        lines.push(
            Line::default().text(PLAIN, format!("          {}", texts.collect::<Vec<_>>().join("   "))),
        );
    }
    lines
}

fn losses(summary: &Summary) -> Line {
    if lost(summary) + summary.gaps == 0 {
        return entry("lost").text(PLAIN, "none");
    }
    let hidden =
        (summary.gaps > 0).then(|| format!("what was done around {}", counted(summary.gaps, "exec")));
    let places = summary.lost.iter().filter(|(_, count)| *count > 0);
    let texts = places.map(|(at, count)| format!("{} in the {}", grouped(*count), words::loss_point(*at)));
    entry("lost").text(ALARM, texts.chain(hidden).collect::<Vec<_>>().join(", "))
}

/// Hits by probe, the costliest first.
fn probes(summary: &Summary) -> Vec<Line> {
    let mut hits: Vec<&ProbeHits> = summary.hits.iter().filter(|probe| probe.hits > 0).collect();
    hits.sort_by_key(|probe| std::cmp::Reverse(probe.cost_ns));
    let mut binaries: Vec<String> = summary.hits.iter().map(|probe| probe.binary.to_string()).collect();
    binaries.sort_unstable();
    binaries.dedup();
    let row = |title: &str, probe: &ProbeHits| {
        let line = entry(title)
            .number(PLAIN, &grouped(probe.hits), 13)
            .number(DIM, &format!("≈ {}", span(probe.cost_ns)), 12)
            .text(PLAIN, printable(&probe.function))
            .text(DIM, estimated(probe));
        match binaries.len() {
            0 | 1 => line,
            _ => line.text(DIM, format!(" in {}", printable(short(&probe.binary.to_string(), &binaries)))),
        }
    };
    let mut lines = Vec::new();
    for (index, probe) in hits.iter().take(PROBE_ROWS).enumerate() {
        lines.push(row(if index == 0 { "hits" } else { "" }, probe));
    }
    if let Some(rest) = hits.get(PROBE_ROWS..).filter(|rest| !rest.is_empty()) {
        let hits = rest.iter().map(|probe| probe.hits).sum();
        lines.push(
            entry("")
                .number(DIM, &grouped(hits), 13)
                .text(DIM, format!("at {} more {}", rest.len(), words::plural(rest.len() as u64, "probe"))),
        );
    }
    lines
}

/// How much of the time the levels were watched, where that is not all of it.
fn watched(summary: &Summary) -> Option<Line> {
    if summary.coverage.iter().all(is_whole) {
        return None;
    }
    let of_level = |one: &LevelCoverage| {
        let share = percent(one.watched_ns, Some(summary.duration_ns)).unwrap_or(0.0);
        match (one.windows, one.mode) {
            _ if is_whole(one) => format!("{} all the time", one.level),
            (_, Mode::Removed) => format!("{} {share:.1} % of it, then no more", one.level),
            (_, Mode::Off) => format!("{} {share:.1} % of it, then switched off", one.level),
            (windows, _) => format!("{} {share:.1} % of it in {}", one.level, counted(windows, "window")),
        }
    };
    let levels: Vec<String> = summary.coverage.iter().map(of_level).collect();
    Some(entry("watched").text(BOLD, levels.join(", ")))
}

fn is_whole(one: &LevelCoverage) -> bool {
    one.mode == Mode::Continuous && one.windows <= 1 && one.off_ns == 0
}

/// What the hits of a probe tell of those that were not seen.
fn estimated(probe: &ProbeHits) -> String {
    let Some(Estimate { total, error }) = probe.estimate else { return String::new() };
    match total.and_then(|total| Some((total, percent(error?, Some(total))?))) {
        Some((total, error)) if error < 100.0 => format!("  of ≈ {} ± {error:.0} %", grouped(total)),
        _ => "  of many more".to_owned(),
    }
}

/// What looking without probes cost, and what it does not see.
fn looking(apart_ns: u64) -> [Line; 2] {
    let blind = format!(
        "what began and ended between two looks, {} apart at most; who woke whom; what did not wait",
        span(apart_ns)
    );
    [entry("cost").text(PLAIN, "nothing to the target"), entry("unseen").text(PLAIN, blind)]
}

/// What goflow itself used.
fn own(summary: &Summary) -> Line {
    let OwnUse { cpu_ns, displaced_ns, memory } = summary.own;
    let share = percent(cpu_ns, Some(summary.duration_ns)).unwrap_or(0.0);
    let displaced = match percent(displaced_ns, summary.target_cpu_ns.as_ref().ok().copied()) {
        Some(part) if part >= 0.05 => {
            format!(", ≈ {part:.1} % of the target's, since no CPU was idle")
        }
        _ => String::new(),
    };
    let memory = match memory {
        Some(memory) => format!("{} of memory at most", bytes(memory.peak)),
        None => "how much memory is not known".to_owned(),
    };
    entry("goflow")
        .text(PLAIN, format!("{} of CPU time, {share:.1} % of one CPU{displaced}; {memory}", span(cpu_ns)))
}

fn bytes(count: u64) -> String {
    ByteSize::b(count).display().iec().to_string()
}

/// Cost in percent of the CPU time the target used, which includes that cost.
fn cost_percent(summary: &Summary) -> Option<f64> {
    percent(summary.cost_ns, summary.target_cpu_ns.as_ref().ok().copied())
}

#[expect(clippy::cast_precision_loss, reason = "an estimate, shown with one decimal")]
fn percent(cost_ns: u64, used_ns: Option<u64>) -> Option<f64> {
    let used = used_ns.filter(|used| *used > 0)?;
    Some(cost_ns as f64 * 100.0 / used as f64)
}

/// Whether the share is worth a word: of a target that does next to nothing, a few hits are a large share of next to
/// nothing.
fn is_costly(summary: &Summary) -> bool {
    // What a trace keeps to unless it is told otherwise.
    let costly = Budget::DEFAULT.share().map_or(f64::INFINITY, budget::percent);
    cost_percent(summary).is_some_and(|percent| percent > costly)
        && percent(summary.cost_ns, Some(summary.duration_ns)).is_some_and(|percent| percent > FELT_PERCENT)
}

/// How far it is, for who waits.
pub(super) fn progress(progress: &Progress) -> Line {
    let seconds = progress.elapsed_ns / 1_000_000_000;
    let elapsed = format!("{}:{:02}", seconds / 60, seconds % 60);
    let (lost_style, lost) = match progress.lost {
        0 => (DIM, "none lost".to_owned()),
        lost => (ALARM, format!("{} LOST", grouped(lost))),
    };
    let line = Line::default()
        .text(DIM, format!("{elapsed}  "))
        .text(BOLD, counted(progress.events, "event"))
        .text(DIM, ", ")
        .text(lost_style, lost);
    let line = match percent(progress.cost_ns, progress.target_cpu_ns) {
        Some(percent) if percent > 100.0 => line.text(DIM, ", cost: nearly all its CPU time"),
        Some(percent) => line.text(DIM, format!(", cost ≈ {percent:.1} %")),
        None => line,
    };
    let line = match progress.sampled.as_slice() {
        [] => line,
        levels => line.text(DIM, format!(", {} in windows", levels.join(" and "))),
    };
    let OwnUse { cpu_ns, displaced_ns: _, memory } = progress.own;
    let share = percent(cpu_ns, Some(progress.elapsed_ns)).unwrap_or(0.0);
    let memory = memory.map(|memory| format!(", {}", bytes(memory.resident))).unwrap_or_default();
    line.text(DIM, format!("; goflow {share:.1} % of one CPU{memory}"))
}

fn cost(summary: &Summary) -> Line {
    let source = if summary.is_cost_measured { "a hit was measured here" } else { "estimate" };
    let source = match summary.budget {
        Some(share) => format!("budget {} %; {source}", budget::percent(share)),
        None => source.to_owned(),
    };
    let cost = format!("≈ {} of the target's CPU time ({source})", span(summary.cost_ns));
    match (cost_percent(summary), &summary.target_cpu_ns) {
        (Some(percent), Ok(used)) if percent > 100.0 => {
            let sums = format!("{} of {}", span(summary.cost_ns), span(*used));
            let why = "the estimate is too high for this machine";
            entry("cost")
                .text(if is_costly(summary) { ALARM } else { BOLD }, "nearly all")
                .text(PLAIN, format!(" of the target's CPU time: ≈ {sums}; {why}"))
        }
        (Some(percent), Ok(used)) => {
            let style = if is_costly(summary) { ALARM } else { BOLD };
            entry("cost").text(style, format!("≈ {percent:.1} %")).text(
                PLAIN,
                format!(" of the target's CPU time: {} of {} ({source})", span(summary.cost_ns), span(*used)),
            )
        }
        (_, Ok(_)) => entry("cost").text(PLAIN, format!("{cost}, which was none")),
        (_, Err(why)) => entry("cost").text(PLAIN, format!("{cost}; of how much is not known: {why}")),
    }
}

/// What to do next, from the numbers; `None` where there is nothing to better.
fn advice(summary: &Summary, shown: &Shown) -> Option<String> {
    let level = summary.level;
    Some(match (lost(summary), lower(level)) {
        (1.., _) => to_lose_nothing(summary, level, shown.events),
        (_, Some(less)) if is_costly(summary) && summary.budget.is_none() => {
            format!("to cost the target less: --budget {}, or --level {less}", Budget::DEFAULT)
        }
        _ if summary.coverage.iter().any(|one| one.mode == Mode::Removed) => without_removed(summary),
        (_, less) if summary.coverage.iter().any(|one| one.mode == Mode::Sampled) => {
            let less = less.map(|less| format!(", or fewer kinds by --level {less}")).unwrap_or_default();
            format!("to see more: a larger --budget, or none{less}")
        }
        _ if total(summary) == 0 => of_silence(summary, level),
        _ if shown.is_whole || shown.events == Events::None => return None,
        _ => "--format json --output trace.jsonl keeps every event; fields: docs/events.md".to_owned(),
    })
}

/// What to do where levels are out for good.
fn without_removed(summary: &Summary) -> String {
    let (out, kept): (Vec<&LevelCoverage>, Vec<&LevelCoverage>) =
        summary.coverage.iter().partition(|one| one.mode == Mode::Removed);
    let names: Vec<&str> = out.iter().map(|one| one.level).collect();
    let kept = kept.last().map_or("snapshot", |one| one.level);
    format!(
        "to see all of {} again: a larger --budget, or none; --level {kept} is what fits",
        names.join(" and ")
    )
}

/// The level below `level`, which records less.
fn lower(level: &str) -> Option<&'static str> {
    match level {
        "channels" => Some("blocking"),
        "blocking" => Some("lifecycle"),
        _ => None,
    }
}

/// For each place that something was lost at, what helps there.
fn to_lose_nothing(summary: &Summary, level: &str, events: Events) -> String {
    let places: Vec<LossPoint> =
        summary.lost.iter().filter(|(_, count)| *count > 0).map(|(at, _)| *at).collect();
    let hint = |at: &LossPoint| match places.as_slice() {
        [_] => remedy(*at, level, events),
        _ => format!("in the {}: {}", words::loss_point(*at), remedy(*at, level, events)),
    };
    let hints: Vec<String> = places.iter().map(hint).collect();
    match hints.as_slice() {
        [one] => format!("to lose nothing: {one}"),
        several => format!("to lose nothing {}", several.join("; ")),
    }
}

/// What helps against losses at `at`.
pub(super) fn remedy(at: LossPoint, level: &str, events: Events) -> String {
    let less = lower(level).map(|less| format!("--level {less}, or ")).unwrap_or_default();
    match (at, events) {
        (LossPoint::Ring, _) => format!("{less}a larger --buffer"),
        (LossPoint::Sink, Events::None) => format!("{less}a faster reader or disk for the output"),
        (LossPoint::Sink, Events::Folded | Events::Every) => {
            format!("{less}--output FILE, which is faster than a terminal")
        }
        (LossPoint::Decode, _) => "please report this with the output of goflow doctor".to_owned(),
    }
}

/// What to do about a session without an event.
fn of_silence(summary: &Summary, level: &str) -> String {
    let lasted = span(summary.duration_ns);
    match &summary.silence {
        Some(Silence::StandStill(still)) => match still.as_slice() {
            [(pid, why)] => format!("process {pid} {}", why.sentence()),
            [(pid, why), rest @ ..] => format!("process {pid} {} (and {} more)", why.sentence(), rest.len()),
            [] => format!("no event in {lasted}"),
        },
        Some(Silence::NobodyRuns) => {
            format!("no process was found that runs this file, in {lasted}: start one, or trace it by --pid")
        }
        Some(Silence::Ended) => {
            "no event before the target ended: trace it from its start, by -- CMD".to_owned()
        }
        Some(Silence::Unread) => {
            "the first look at its memory was not over by then; a million goroutines take seconds: trace longer".to_owned()
        }
        Some(Silence::Idle) | None if level == "snapshot" && summary.processes.is_empty() => {
            "no snapshot could be taken: a message of goflow says why; -v tells more".to_owned()
        }
        Some(Silence::Idle) | None if summary.duration_ns < SHORT_NS => {
            format!("no event in {lasted}: trace longer; {} tells a hang", look(summary))
        }
        Some(Silence::Idle) | None if level == "snapshot" => {
            format!(
                "nothing changed between two looks: {} tells a hang; --level lifecycle sees what is shorter",
                look(summary)
            )
        }
        Some(Silence::Idle) | None => format!(
            "no event: the target was idle, or hangs ({} tells), or cannot be traced (goflow doctor)",
            look(summary)
        ),
    }
}

/// The command that shows where each goroutine of what was traced stands.
fn look(summary: &Summary) -> String {
    let alive = summary.state.iter().map(|state| state.overview.pid);
    match alive.chain(summary.processes.iter().copied()).next() {
        Some(pid) => format!("goflow snapshot --pid {pid}"),
        None => "goflow snapshot --pid PID".to_owned(),
    }
}
