//! The accounts of a session as Prometheus metrics, in the text exposition format.
//!
//! In: [`Accounts`], as they are at one moment; out: text. What is not known is absent: a metric that is 0 is known to be 0.
//! Names, types, labels and meanings are those of `docs/metrics.md`. The number of series is bounded by the number of
//! binaries, levels and probes, whatever the target does.

use std::collections::BTreeMap;

use goflow_common::probe::ProbeId;
use prometheus::proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};
use prometheus::{TEXT_FORMAT, TextEncoder};

use super::record::{BinaryName, LevelCoverage, OwnUse};
use super::words;
use crate::binary::site::SiteClass;
use crate::ingest::event::LossPoint;
use crate::probe::budget::Mode;
use crate::probe::cost::{Costs, HitCost};

/// The content type of what [`text`] gives.
pub const CONTENT_TYPE: &str = TEXT_FORMAT;

/// The accounts of a session at one moment.
#[derive(Clone, Debug)]
pub struct Accounts {
    /// goflow's own version.
    pub goflow: &'static str,
    /// Hits so far, also from before the window, by binary and probe.
    pub hits: Vec<(BinaryName, ProbeId, u64)>,
    /// Events passed on so far.
    pub events: u64,
    /// Findings by rule, of every rule by which it is told what is wrong.
    pub findings: BTreeMap<&'static str, FindingCount>,
    /// Events lost so far, by place.
    pub lost: BTreeMap<LossPoint, u64>,
    /// Levels that have probes.
    pub levels: Vec<LevelAccount>,
    /// What work on breakpoints has cost the targets, nanoseconds.
    pub turned_ns: u64,
    /// Processes that are traced now.
    pub processes: u64,
    /// CPU time of the targets in the window, as far as it could be read, nanoseconds.
    pub target_cpu_ns: u64,
    /// The part of their CPU time that the targets lost to probes over the horizon of the budget; `None` where they used none.
    pub overhead: Option<f64>,
    /// The same in the whole window; `None` also where their CPU time is not known.
    pub overhead_in_all: Option<f64>,
    /// The part that they are to lose at most; `None` for any.
    pub budget: Option<f64>,
    /// What a hit is reckoned to cost; `None` without probes.
    pub costs: Option<Costs>,
    /// That was measured on this machine in this session, and not assumed.
    pub is_cost_measured: bool,
    /// What goflow itself uses: CPU time since it started.
    pub own: OwnUse,
    /// When goflow started, nanoseconds since the Unix epoch; `None` when it is not known.
    pub own_start_ns: Option<u64>,
}

/// Findings of one rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FindingCount {
    /// That are open now.
    pub open: u64,
    /// That have opened so far.
    pub opened: u64,
}

/// One level's part in them.
#[derive(Clone, Copy, Debug)]
pub struct LevelAccount {
    /// How much it is watched.
    pub coverage: LevelCoverage,
    /// All its probes are in.
    pub is_watched: bool,
    /// What its hits have cost, nanoseconds; `None` while what one costs is still being measured, since the sum could else
    /// become less.
    pub cost_ns: Option<u64>,
}

/// A metric that is being filled.
struct Family {
    name: &'static str,
    help: &'static str,
    kind: MetricType,
    series: Vec<Metric>,
}

impl Family {
    fn counter(name: &'static str, help: &'static str) -> Self {
        Self { name, help, kind: MetricType::COUNTER, series: Vec::new() }
    }

    fn gauge(name: &'static str, help: &'static str) -> Self {
        Self { name, help, kind: MetricType::GAUGE, series: Vec::new() }
    }

    fn with(mut self, labels: &[(&str, &str)], value: f64) -> Self {
        let mut metric = Metric::from_label(labels.iter().map(|(name, value)| label(name, value)).collect());
        if self.kind == MetricType::COUNTER {
            let mut counter = Counter::default();
            counter.set_value(value);
            metric.set_counter(counter);
        } else {
            let mut gauge = Gauge::default();
            gauge.set_value(value);
            metric.set_gauge(gauge);
        }
        self.series.push(metric);
        self
    }

    /// Without labels; nothing where the value is not known.
    fn of(self, value: Option<f64>) -> Self {
        match value {
            Some(value) => self.with(&[], value),
            None => self,
        }
    }

    fn finish(self) -> MetricFamily {
        let mut family = MetricFamily::default();
        family.set_name(self.name.to_owned());
        family.set_help(self.help.to_owned());
        family.set_field_type(self.kind);
        family.set_metric(self.series);
        family
    }
}

fn label(name: &str, value: &str) -> LabelPair {
    let mut pair = LabelPair::default();
    pair.set_name(name.to_owned());
    pair.set_value(value.to_owned());
    pair
}

/// Everything, as a server of metrics is to answer.
///
/// # Errors
/// A metric is not one; there is none such.
pub fn text(accounts: &Accounts) -> prometheus::Result<String> {
    let families = [
        of_session(accounts),
        of_findings(accounts),
        of_levels(accounts),
        of_costs(accounts),
        of_goflow(accounts),
    ];
    // What has no series is not known, or does not apply.
    let known = families.into_iter().flatten().filter(|family| !family.series.is_empty());
    TextEncoder::new().encode_to_string(&known.map(Family::finish).collect::<Vec<_>>())
}

fn of_session(accounts: &Accounts) -> Vec<Family> {
    // Two binaries that were deleted at one path have one name, and a series must not come twice.
    let mut hits = BTreeMap::<(String, &str), u64>::new();
    for (binary, probe, count) in &accounts.hits {
        *hits.entry((binary.to_string(), words::probe(*probe))).or_default() += count;
    }
    let by_probe = Family::counter("goflow_probe_hits_total", "Hits of probes in the targets.");
    let by_probe = hits.iter().fold(by_probe, |family, ((binary, probe), count)| {
        family.with(&[("binary", binary), ("probe", probe)], number(*count))
    });
    let lost = Family::counter("goflow_events_lost_total", "Events that were lost, by the place where.");
    let lost = [LossPoint::Ring, LossPoint::Sink, LossPoint::Decode].into_iter().fold(lost, |family, at| {
        let count = accounts.lost.get(&at).copied().unwrap_or(0);
        family.with(&[("place", words::loss_point(at))], number(count))
    });
    vec![
        by_probe,
        Family::counter("goflow_events_total", "Events passed on to the output.")
            .of(Some(number(accounts.events))),
        lost,
        Family::gauge("goflow_target_processes", "Processes that are traced.")
            .of(Some(number(accounts.processes))),
        Family::counter(
            "goflow_target_cpu_seconds_total",
            "CPU time that the targets have used, with what probes took of it.",
        )
        .of(Some(seconds(accounts.target_cpu_ns))),
    ]
}

fn of_findings(accounts: &Accounts) -> Vec<Family> {
    let open = Family::gauge("goflow_findings", "Findings that are open, by rule.");
    let opened = Family::counter("goflow_findings_opened_total", "Findings that have opened, by rule.");
    let all = accounts.findings.iter();
    let (open, opened) = all.fold((open, opened), |(open, opened), (rule, count)| {
        let labels = [("rule", *rule)];
        (open.with(&labels, number(count.open)), opened.with(&labels, number(count.opened)))
    });
    vec![open, opened]
}

fn of_levels(accounts: &Accounts) -> Vec<Family> {
    let mut cost = Family::counter(
        "goflow_cost_seconds_total",
        "CPU time that the hits of a level's probes took from the targets.",
    );
    let mut watched = Family::gauge("goflow_level_watched", "Whether all probes of a level are in now.");
    let mut time =
        Family::counter("goflow_level_watched_seconds_total", "How long all probes of a level have been in.");
    let mut windows = Family::counter(
        "goflow_level_windows_total",
        "In how many pieces that was, with the one that lasts.",
    );
    let mut modes =
        Family::gauge("goflow_level_mode", "How a level is watched: 1 for the mode that it has now.");
    for LevelAccount { coverage, is_watched, cost_ns } in &accounts.levels {
        let LevelCoverage { level, mode, watched_ns, off_ns: _, windows: pieces } = *coverage;
        let of_level = [("level", level)];
        if let Some(cost_ns) = cost_ns {
            cost = cost.with(&of_level, seconds(*cost_ns));
        }
        watched = watched.with(&of_level, flag(*is_watched));
        time = time.with(&of_level, seconds(watched_ns));
        windows = windows.with(&of_level, number(pieces));
        for one in [Mode::Continuous, Mode::Sampled, Mode::Removed, Mode::Off] {
            modes = modes.with(&[("level", level), ("mode", one.name())], flag(one == mode));
        }
    }
    vec![cost, watched, time, windows, modes]
}

fn of_costs(accounts: &Accounts) -> Vec<Family> {
    let mut hit = Family::gauge(
        "goflow_hit_cost_seconds",
        "What one hit is reckoned to cost, by the class of the probed instruction and by what is done in it.",
    );
    let has_probes = accounts.costs.is_some();
    if let Some(costs) = accounts.costs {
        for class in [SiteClass::Emulated, SiteClass::SingleStepped] {
            let HitCost { trap_ns, record_ns, stack_ns } = costs.of(class);
            for (work, cost_ns) in [("trap", trap_ns), ("record", record_ns), ("stack", stack_ns)] {
                hit = hit.with(&[("class", class.name()), ("work", work)], seconds(cost_ns));
            }
        }
    }
    let overhead = Family::gauge(
        "goflow_overhead_ratio",
        "Part of their CPU time that the targets lost to probes in the last 10 seconds, over which a budget is held.",
    );
    let in_all = Family::gauge("goflow_session_overhead_ratio", "The same since all probes were in.");
    vec![
        Family::counter(
            "goflow_turn_seconds_total",
            "CPU time that putting probes in and taking them out took from the targets.",
        )
        .of(has_probes.then(|| seconds(accounts.turned_ns))),
        overhead.of(accounts.overhead),
        in_all.of(accounts.overhead_in_all),
        Family::gauge("goflow_budget_ratio", "Part of their CPU time that the targets are to lose at most.")
            .of(accounts.budget),
        hit,
        Family::gauge(
            "goflow_hit_cost_measured",
            "Whether that was measured on this machine, and is not assumed.",
        )
        .of(has_probes.then(|| flag(accounts.is_cost_measured))),
    ]
}

fn of_goflow(accounts: &Accounts) -> Vec<Family> {
    let OwnUse { cpu_ns, displaced_ns, memory } = accounts.own;
    vec![
        Family::counter(
            "goflow_process_cpu_seconds_total",
            "CPU time of goflow itself, with that of the process that holds its probes.",
        )
        .of(Some(seconds(cpu_ns))),
        Family::counter(
            "goflow_displaced_cpu_seconds_total",
            "How much of that the targets would have used: none while a CPU is idle.",
        )
        .of(Some(seconds(displaced_ns))),
        Family::gauge("goflow_process_resident_memory_bytes", "Memory of goflow itself that is in RAM.")
            .of(memory.map(|memory| number(memory.resident))),
        Family::gauge("goflow_process_resident_memory_max_bytes", "The most of it that was so far.")
            .of(memory.map(|memory| number(memory.peak))),
        Family::gauge("goflow_process_start_time_seconds", "When goflow started, since the Unix epoch.")
            .of(accounts.own_start_ns.map(seconds)),
        Family::gauge("goflow_build_info", "Which goflow this is; always 1.")
            .with(&[("version", accounts.goflow)], 1.0),
    ]
}

#[expect(clippy::cast_precision_loss, reason = "Prometheus has no other numbers; exact up to 2^53")]
fn number(count: u64) -> f64 {
    count as f64
}

fn seconds(ns: u64) -> f64 {
    number(ns) / 1e9
}

fn flag(is_so: bool) -> f64 {
    f64::from(u8::from(is_so))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::host::OwnMemory;

    fn accounts() -> Accounts {
        let coverage = LevelCoverage {
            level: "channels",
            mode: Mode::Sampled,
            watched_ns: 1_500_000_000,
            off_ns: 0,
            windows: 3,
        };
        Accounts {
            goflow: "0.1.0",
            hits: vec![
                ("/srv/\"app\"".into(), ProbeId::Gopark, 7),
                ("/srv/\"app\"".into(), ProbeId::Gopark, 5),
                ("/srv/other".into(), ProbeId::Gopark, 0),
            ],
            findings: [("deadlock", FindingCount { open: 1, opened: 3 })].into(),
            events: 9,
            lost: [(LossPoint::Ring, 2)].into(),
            levels: vec![LevelAccount { coverage, is_watched: false, cost_ns: Some(250_000) }],
            turned_ns: 3_000_000,
            processes: 1,
            target_cpu_ns: 2_000_000_000,
            overhead: Some(0.015),
            overhead_in_all: None,
            budget: Some(0.02),
            costs: Some(Costs::ASSUMED),
            is_cost_measured: false,
            own: OwnUse {
                cpu_ns: 40_000_000,
                displaced_ns: 1_000_000,
                memory: Some(OwnMemory { resident: 4096, peak: 8192 }),
            },
            own_start_ns: Some(1_700_000_000_500_000_000),
        }
    }

    fn lines(accounts: &Accounts) -> Vec<String> {
        text(accounts).unwrap().lines().map(str::to_owned).collect()
    }

    #[test]
    fn accounts_are_series_in_base_units() {
        let lines = lines(&accounts());
        for line in [
            // Two binaries of one name are one series, and what a path contains is escaped.
            r#"goflow_probe_hits_total{binary="/srv/\"app\"",probe="gopark"} 12"#,
            r#"goflow_probe_hits_total{binary="/srv/other",probe="gopark"} 0"#,
            r#"goflow_events_lost_total{place="ring"} 2"#,
            r#"goflow_events_lost_total{place="sink"} 0"#,
            r#"goflow_findings{rule="deadlock"} 1"#,
            r#"goflow_findings_opened_total{rule="deadlock"} 3"#,
            r#"goflow_cost_seconds_total{level="channels"} 0.00025"#,
            r#"goflow_level_watched{level="channels"} 0"#,
            r#"goflow_level_watched_seconds_total{level="channels"} 1.5"#,
            r#"goflow_level_mode{level="channels",mode="sampled"} 1"#,
            r#"goflow_level_mode{level="channels",mode="removed"} 0"#,
            "goflow_target_cpu_seconds_total 2",
            "goflow_turn_seconds_total 0.003",
            "goflow_overhead_ratio 0.015",
            r#"goflow_hit_cost_seconds{class="single-stepped",work="stack"} 0.0000099"#,
            "goflow_hit_cost_measured 0",
            "goflow_process_start_time_seconds 1700000000.5",
            r#"goflow_build_info{version="0.1.0"} 1"#,
            "# TYPE goflow_events_total counter",
            "# TYPE goflow_budget_ratio gauge",
        ] {
            assert!(lines.iter().any(|one| one == line), "no {line} in {lines:#?}");
        }
    }

    #[test]
    fn what_is_not_known_is_absent_and_not_zero() {
        let mut accounts = accounts();
        accounts.levels[0].cost_ns = None;
        (accounts.overhead, accounts.budget, accounts.costs) = (None, None, None);
        (accounts.own.memory, accounts.own_start_ns) = (None, None);
        let text = text(&accounts).unwrap();
        for name in ["cost", "overhead", "budget", "memory", "start_time", "turn"] {
            assert!(!text.contains(name), "{name}: {text}");
        }
    }
}
