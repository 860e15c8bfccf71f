//! The JSON lines of `goflow trace --format json`, in types, and what must hold of every stream.
//!
//! In: the bytes of a whole session; out: a [`Session`]. It refuses a stream that breaks the contract: another first
//! line than `meta`, another last than `summary`, an unknown kind, counts that do not add up, or hits that are neither
//! an event nor a counted loss. The fields are those the tests look at; the schema itself is held elsewhere.

use std::collections::{BTreeMap, HashMap, HashSet};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

/// One session of goflow.
#[derive(Clone, Debug)]
pub struct Session {
    /// One for each traced binary, in the order they came.
    pub metas: Vec<Meta>,
    /// Processes, as they were announced.
    pub processes: Vec<Process>,
    /// Processes that have ended, in the order of the stream.
    pub exits: Vec<ProcessExit>,
    /// Events, in the order of the stream.
    pub events: Vec<Event>,
    /// Snapshots, in the order of the stream.
    pub snapshots: Vec<Taken>,
    /// Losses, in the order of the stream.
    pub lost: Vec<Lost>,
    /// Where probes went out and in to keep to the budget, in the order of the stream.
    pub coverage: Vec<Coverage>,
    /// What somebody has changed, in the order of the stream.
    pub controls: Vec<Control>,
    /// What turned out to be wrong, or right again, in the order of the stream.
    pub findings: Vec<FindingChange>,
    /// How far it was, in the order of the stream.
    pub progress: Vec<Progress>,
    /// What was counted in the kernel, in the order of the stream.
    pub totals: Vec<Totals>,
    /// The last line.
    pub summary: Summary,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Line {
    Meta(Meta),
    Process(Process),
    ProcessExit(ProcessExit),
    Event(Event),
    Snapshot(Taken),
    Lost(Lost),
    Coverage(Coverage),
    Control(Control),
    Finding(FindingChange),
    Progress(Progress),
    Totals(Totals),
    Summary(Summary),
}

/// A traced binary.
#[derive(Clone, Debug, Deserialize)]
pub struct Meta {
    /// Path of the binary.
    pub binary: String,
    /// It is no longer there.
    #[serde(default)]
    pub binary_deleted: bool,
    /// Such as `go1.26.8`.
    pub go_version: Option<String>,
    /// Position-independent.
    pub pie: bool,
    /// `elf`, `dwarf` or `pclntab`.
    pub symbol_source: String,
    /// `dwarf` or `table`.
    pub offset_source: String,
    /// `snapshot`, `lifecycle`, `blocking` or `channels`.
    pub level: String,
    /// `uprobe_multi` or `perf_event`; `none` at level `snapshot`.
    pub attach_method: String,
    /// How long attaching took.
    pub attach_ns: u64,
    /// Probes in place.
    pub probes: Vec<Probe>,
    /// Probes that are not, and why.
    pub unavailable: Vec<Unavailable>,
}

/// One probe site.
#[derive(Clone, Debug, Deserialize)]
pub struct Probe {
    /// The contract's name of the probe.
    pub probe: String,
    /// Go function.
    pub function: String,
    /// `entry` or `return`.
    pub at: String,
    /// Link-time address of the instruction.
    pub address: String,
    /// The instruction.
    pub instruction: String,
    /// `emulated` or `single-stepped`.
    pub class: String,
}

/// Something that is not to be had.
#[derive(Clone, Debug, Deserialize)]
pub struct Unavailable {
    /// What.
    pub what: String,
    /// Why.
    pub why: String,
}

/// A process that runs a traced binary.
#[derive(Clone, Debug, Deserialize)]
pub struct Process {
    /// Its id.
    pub pid: u32,
    /// Its binary.
    pub binary: String,
    /// It is no longer there.
    #[serde(default)]
    pub binary_deleted: bool,
}

/// A process that was announced has ended.
#[derive(Clone, Debug, Deserialize)]
pub struct ProcessExit {
    /// When goflow found it.
    pub t_ns: u64,
    /// Its id.
    pub pid: u32,
}

/// One event.
#[derive(Clone, Debug, Deserialize)]
pub struct Event {
    /// `CLOCK_MONOTONIC`.
    pub t_ns: u64,
    /// Process.
    pub pid: u32,
    /// Thread; `None` where no probe saw it.
    pub tid: Option<u32>,
    /// `snapshot` where no probe saw it.
    pub source: Option<String>,
    /// Where no probe saw it: it happened after this, and before `t_ns`.
    pub since_ns: Option<u64>,
    /// Acting goroutine; 0 is the runtime itself, `None` unreadable.
    pub goid: Option<u64>,
    /// What happened.
    #[serde(flatten)]
    pub kind: Kind,
}

/// What happened.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[expect(missing_docs, reason = "the fields are those of docs/events.md")]
pub enum Kind {
    GoroutineCreate {
        child: Option<u64>,
        created_at: Option<Position>,
        start: Option<Position>,
    },
    GoroutineExit,
    Park {
        wait_reason: Option<String>,
        stack: Vec<Position>,
        #[serde(default)]
        blocked_on: Vec<serde_json::Value>,
    },
    Ready {
        target: Option<u64>,
        parked_ns: Option<u64>,
        wait_reason: Option<String>,
        #[serde(default)]
        stack: Vec<Position>,
    },
    ChanMake {
        chan: Option<String>,
        cap: Option<u64>,
        elem_type: Option<String>,
        elem_size: Option<u64>,
    },
    ChanSend(ChanOp),
    ChanRecv(ChanOp),
    ChanClose(ChanOp),
    Select {
        sends: u32,
        receives: u32,
        cases: Option<Vec<serde_json::Value>>,
        blocking: bool,
        site: Option<Position>,
    },
    SyncWait {
        sync: String,
        addr: String,
        site: Option<Position>,
    },
    WaitgroupAdd {
        addr: String,
        delta: i64,
        counter: Option<i64>,
        waiters: Option<u64>,
        site: Option<Position>,
    },
}

impl Kind {
    /// The contract's word.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::GoroutineCreate { .. } => "goroutine_create",
            Self::GoroutineExit => "goroutine_exit",
            Self::Park { .. } => "park",
            Self::Ready { .. } => "ready",
            Self::ChanMake { .. } => "chan_make",
            Self::ChanSend(_) => "chan_send",
            Self::ChanRecv(_) => "chan_recv",
            Self::ChanClose(_) => "chan_close",
            Self::Select { .. } => "select",
            Self::SyncWait { .. } => "sync_wait",
            Self::WaitgroupAdd { .. } => "waitgroup_add",
        }
    }
}

/// A send, a receive or a close.
#[derive(Clone, Debug, Deserialize)]
pub struct ChanOp {
    /// Hex address.
    pub chan: String,
    /// Where.
    pub site: Option<Position>,
}

/// A place in the program.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Hash)]
pub struct Position {
    /// Go function.
    pub function: Option<String>,
    /// Source file.
    pub file: Option<String>,
    /// Line.
    pub line: Option<u32>,
}

impl Position {
    /// The function's name, or nothing where it has none.
    #[must_use]
    pub fn function(&self) -> &str {
        self.function.as_deref().unwrap_or_default()
    }
}

/// A snapshot was read.
#[derive(Clone, Debug, Deserialize)]
pub struct Taken {
    /// When its reading began.
    pub t_ns: u64,
    /// Of which process.
    pub pid: u32,
    /// How long it took.
    pub duration_ns: u64,
    /// Goroutines found.
    pub goroutines: u64,
    /// What could not be read.
    pub unknown: u64,
}

/// Events that are missing.
#[derive(Clone, Debug, Deserialize)]
pub struct Lost {
    /// `ring`, `sink`, `decode` or `exec`.
    pub at: String,
    /// How many, where that is known.
    pub count: Option<u64>,
    /// Nothing was lost before.
    pub from_ns: u64,
    /// Nor afterwards.
    pub to_ns: u64,
    /// Whose, at `exec`.
    pub pid: Option<u32>,
}

/// The probes of a level went out or in.
#[derive(Clone, Debug, Deserialize)]
pub struct Coverage {
    /// When.
    pub t_ns: u64,
    /// Whose.
    pub level: String,
    /// All of them are in from here on.
    pub watched: bool,
    /// `continuous`, `sampled`, `removed` or `off`.
    pub mode: String,
}

/// Somebody has changed the session.
#[derive(Clone, Debug, Deserialize)]
pub struct Control {
    /// When.
    pub t_ns: u64,
    /// `level` or `budget`.
    pub what: String,
    /// Its value before.
    pub from: serde_json::Value,
    /// And after.
    pub to: serde_json::Value,
}

/// How far it is, and what it costs.
#[derive(Clone, Debug, Deserialize)]
pub struct Progress {
    /// Since all probes were in.
    pub elapsed_ns: u64,
    /// Events passed on.
    pub events: u64,
    /// Cost to the targets.
    pub cost_ns: u64,
    /// CPU time of the targets.
    pub target_cpu_ns: Option<u64>,
    /// CPU time of goflow itself.
    pub goflow_cpu_ns: u64,
    /// How much of it the targets would have used.
    pub goflow_displaced_ns: u64,
    /// Memory of goflow itself.
    pub goflow_memory_bytes: Option<u64>,
    /// The most so far.
    pub goflow_memory_peak_bytes: Option<u64>,
}

/// What was counted in the kernel of a process.
#[derive(Clone, Debug, Deserialize)]
pub struct Totals {
    /// Of which.
    pub pid: u32,
    /// No others follow.
    pub last: bool,
    /// Busiest first.
    pub channels: Vec<ChannelTotals>,
    /// Most waits first.
    pub creation_sites: Vec<SiteTotals>,
    /// Channels and sites that are not among them.
    pub left_out: u64,
    /// What found no room.
    pub uncounted: u64,
}

/// Of one channel, or of all that are gone of those made at one place.
#[derive(Clone, Debug, Deserialize)]
pub struct ChannelTotals {
    /// Hex address.
    pub chan: Option<String>,
    /// Where it was made, if that was seen.
    pub made_at: Option<Position>,
    /// Sends.
    pub sends: u64,
    /// Receives.
    pub receives: u64,
    /// Closes.
    pub closes: u64,
    /// Senders that waited.
    pub send_waits: Waits,
    /// Receivers that waited.
    pub receive_waits: Waits,
}

/// Of the goroutines of one `go` statement.
#[derive(Clone, Debug, Deserialize)]
pub struct SiteTotals {
    /// Where it is.
    pub created_at: Option<Position>,
    /// Created.
    pub created: u64,
    /// Ended.
    pub exited: u64,
    /// Their waits.
    pub waits: Waits,
}

/// Waits that have ended.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Waits {
    /// How many.
    pub count: u64,
    /// How long together.
    pub total_ns: u64,
    /// By duration.
    pub histogram: Vec<Bucket>,
}

/// Waits that are shorter than this and in no bucket before.
#[derive(Clone, Debug, Deserialize)]
pub struct Bucket {
    /// The last has no end.
    pub below_ns: Option<u64>,
    /// How many.
    pub count: u64,
}

/// How much of the time a level was watched.
#[derive(Clone, Debug, Deserialize)]
pub struct LevelCoverage {
    /// Which.
    pub level: String,
    /// `continuous`, `sampled`, `removed` or `off`.
    pub mode: String,
    /// How long.
    pub watched_ns: u64,
    /// How long nobody wanted it.
    pub off_ns: u64,
    /// In how many pieces.
    pub windows: u64,
}

/// The totals.
#[derive(Clone, Debug, Deserialize)]
pub struct Summary {
    /// Why the session ended.
    pub ended: String,
    /// From when all probes were in until goflow began to take them out.
    pub duration_ns: u64,
    /// How long taking the probes out took.
    pub detach_ns: u64,
    /// Events by kind.
    pub counts: BTreeMap<String, u64>,
    /// Losses by place.
    pub lost: BTreeMap<String, u64>,
    /// How often a process was not seen for a time.
    pub gaps: u64,
    /// Hits by probe.
    pub hits: Vec<Hits>,
    /// The highest level at the end.
    pub level: String,
    /// How often somebody has changed level or budget.
    pub changes: u64,
    /// What the targets were to lose at most, as a part of 1.
    pub budget: Option<f64>,
    /// How much of the time each level was watched.
    pub coverage: Vec<LevelCoverage>,
    /// `measured` or `assumed`.
    pub cost_source: String,
    /// Estimated cost to the targets in that time.
    pub cost_ns: u64,
    /// CPU time of the targets in that time.
    pub target_cpu_ns: Option<u64>,
    /// Why that is not known.
    pub target_cpu_unknown: Option<String>,
    /// CPU time of goflow itself.
    pub goflow_cpu_ns: u64,
    /// How much of it the targets would have used.
    pub goflow_displaced_ns: u64,
    /// Most memory of goflow itself.
    pub goflow_memory_peak_bytes: Option<u64>,
    /// Every process seen.
    pub processes: Vec<u32>,
    /// What those that live were doing at the end.
    pub state: Vec<State>,
    /// What was wrong in the end.
    pub findings: Vec<Finding>,
}

/// A finding that opened or resolved.
#[derive(Clone, Debug, Deserialize)]
pub struct FindingChange {
    /// In which process.
    pub pid: u32,
    /// `opened` or `resolved`.
    pub change: String,
    /// What.
    #[serde(flatten)]
    pub finding: Finding,
}

/// Something that is wrong.
#[derive(Clone, Debug, Deserialize)]
pub struct Finding {
    /// By which rule.
    pub rule: String,
    /// `suspected`, `likely` or `proven`.
    pub confidence: String,
    /// The same in every process.
    pub fingerprint: String,
    /// Who is in it.
    pub goroutines: Vec<serde_json::Value>,
    /// Why.
    pub evidence: Vec<String>,
}

/// What a process was doing at the end.
#[derive(Clone, Debug, Deserialize)]
pub struct State {
    /// The process.
    pub pid: u32,
    /// Nothing is missing.
    pub complete: bool,
    /// What is.
    pub incomplete_because: Option<String>,
    /// Snapshots that it rests on.
    pub snapshots: u64,
    /// When the last one began.
    pub snapshot_ns: Option<u64>,
    /// Goroutines alive, without the runtime's own.
    pub goroutines: u64,
    /// What they do.
    pub states: BTreeMap<String, u64>,
    /// Why they wait.
    pub wait_reasons: Vec<ReasonCount>,
    /// Who has waited longest.
    pub longest_waits: Vec<LongWait>,
    /// Channels known.
    pub channels: u64,
}

/// How many wait for a reason.
#[derive(Clone, Debug, Deserialize)]
pub struct ReasonCount {
    /// The reason.
    pub wait_reason: Option<String>,
    /// How many.
    pub count: u64,
}

/// A wait that lasts.
#[derive(Clone, Debug, Deserialize)]
pub struct LongWait {
    /// Who waits.
    pub goid: u64,
    /// Since when.
    pub since_ns: u64,
    /// The park was seen.
    pub exact: bool,
    /// Why.
    pub wait_reason: Option<String>,
    /// What for.
    pub blocked_on: Vec<serde_json::Value>,
    /// Where it was created.
    pub created_at: Option<Position>,
}

/// Hits of one probe, as the kernel counted them.
#[derive(Clone, Debug, Deserialize)]
pub struct Hits {
    /// The contract's name of the probe.
    pub probe: String,
    /// How often.
    pub hits: u64,
    /// How many of them are no event.
    pub eventless: u64,
    /// How many of them a filter left out.
    pub filtered: u64,
    /// What that is estimated to have cost.
    pub cost_ns: u64,
    /// How many there would have been had it been in all the time.
    pub estimated: Option<Estimated>,
}

/// An estimate.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Estimated {
    /// How many, where that can be told.
    pub hits: Option<u64>,
    /// The truth is within so many of it, with 95 % confidence.
    pub error: Option<u64>,
}

/// Every probe's name, and the kind (and sync object) of its events.
const PROBES: [(&str, &str, Option<&str>); 16] = [
    ("newproc1", "goroutine_create", None),
    ("goexit0", "goroutine_exit", None),
    ("gopark", "park", None),
    ("ready", "ready", None),
    ("netpollready", "ready", None),
    ("makechan", "chan_make", None),
    ("chansend", "chan_send", None),
    ("chanrecv", "chan_recv", None),
    ("closechan", "chan_close", None),
    ("selectgo", "select", None),
    ("semacquire1", "sync_wait", Some("semaphore")),
    ("mutex_lock_slow", "sync_wait", Some("mutex")),
    ("rwmutex_lock", "sync_wait", Some("rwmutex")),
    ("waitgroup_wait", "sync_wait", Some("waitgroup")),
    ("notify_list_wait", "sync_wait", Some("cond")),
    ("waitgroup_add", "waitgroup_add", None),
];

/// The probes of a level, by the contract's names.
#[must_use]
pub fn probes_of_level(level: &str) -> Vec<&'static str> {
    let in_level = |kind: &str| match kind {
        "goroutine_create" | "goroutine_exit" => true,
        "park" | "ready" | "sync_wait" => level != "lifecycle",
        _ => level == "channels",
    };
    PROBES.iter().filter(|(_, kind, _)| in_level(kind)).map(|(probe, ..)| *probe).collect()
}

impl Session {
    /// Reads a whole stream and checks its form.
    ///
    /// # Errors
    /// The stream breaks the contract; the message names the line or the sums.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let (mut metas, mut processes, mut events, mut lost) = (vec![], vec![], vec![], vec![]);
        let (mut exits, mut gone, mut snapshots) = (vec![], HashSet::new(), vec![]);
        let (mut summary, mut coverage, mut progress, mut totals) = (None, vec![], vec![], vec![]);
        let (mut controls, mut findings) = (vec![], vec![]);
        ensure!(bytes.last() == Some(&b'\n'), "the stream does not end with a line feed");
        for (number, line) in bytes[..bytes.len() - 1].split(|byte| *byte == b'\n').enumerate() {
            let what = || format!("line {}: {}", number + 1, String::from_utf8_lossy(line));
            ensure!(summary.is_none(), "after the summary comes {}", what());
            let parsed = serde_json::from_slice(line).with_context(what)?;
            ensure!(!metas.is_empty() || matches!(parsed, Line::Meta(_)), "before any meta line: {}", what());
            match parsed {
                Line::Meta(meta) => metas.push(meta),
                Line::Process(process) => {
                    gone.remove(&process.pid);
                    processes.push(process);
                }
                Line::ProcessExit(exit) => {
                    let was_announced = processes.iter().any(|process: &Process| process.pid == exit.pid);
                    ensure!(was_announced && gone.insert(exit.pid), "nobody was there to end: {}", what());
                    exits.push(exit);
                }
                Line::Event(event) => {
                    ensure!(!gone.contains(&event.pid), "after the end of its process: {}", what());
                    events.push(event);
                }
                Line::Snapshot(taken) => {
                    ensure!(!gone.contains(&taken.pid), "after the end of its process: {}", what());
                    snapshots.push(taken);
                }
                Line::Lost(window) => lost.push(window),
                Line::Coverage(one) => coverage.push(one),
                Line::Control(one) => controls.push(one),
                Line::Finding(one) => findings.push(one),
                Line::Progress(one) => progress.push(one),
                Line::Totals(one) => {
                    ensure!(!gone.contains(&one.pid), "after the end of its process: {}", what());
                    totals.push(one);
                }
                Line::Summary(last) => summary = Some(last),
            }
        }
        let summary = summary.context("the stream has no summary")?;
        let session = Self {
            metas,
            processes,
            exits,
            events,
            snapshots,
            lost,
            coverage,
            controls,
            findings,
            progress,
            totals,
            summary,
        };
        session.check()?;
        Ok(session)
    }

    fn check(&self) -> Result<()> {
        self.counts_are_the_events()?;
        self.losses_add_up()?;
        self.hits_are_events_or_losses()?;
        self.events_belong_to_announced_processes()?;
        self.threads_go_forward()
    }

    fn counts_are_the_events(&self) -> Result<()> {
        let mut counted: BTreeMap<&str, u64> = BTreeMap::new();
        for event in &self.events {
            *counted.entry(event.kind.name()).or_default() += 1;
        }
        for (kind, count) in &self.summary.counts {
            let seen = counted.remove(kind.as_str()).unwrap_or(0);
            ensure!(seen == *count, "the summary counts {count} of {kind}, the stream has {seen}");
        }
        ensure!(counted.is_empty(), "the summary does not count {counted:?}");
        Ok(())
    }

    fn losses_add_up(&self) -> Result<()> {
        for (place, total) in &self.summary.lost {
            let lines: u64 =
                self.lost.iter().filter(|lost| lost.at == *place).filter_map(|lost| lost.count).sum();
            ensure!(lines == *total, "the summary lost {total} at {place}, the lost lines say {lines}");
        }
        let (gaps, others): (Vec<&Lost>, Vec<&Lost>) = self.lost.iter().partition(|lost| lost.at == "exec");
        ensure!(
            gaps.len() as u64 == self.summary.gaps,
            "{gaps:?}, and the summary has {}",
            self.summary.gaps
        );
        let changes = self.controls.len() as u64;
        ensure!(changes == self.summary.changes, "{:?}, not {}", self.controls, self.summary.changes);
        ensure!(gaps.iter().all(|gap| gap.count.is_none() && gap.pid.is_some()), "{gaps:?}");
        let known = |lost: &&Lost| self.summary.lost.contains_key(&lost.at) && lost.count.is_some();
        ensure!(others.iter().all(known), "a lost line names another place: {others:?}");
        Ok(())
    }

    fn hits_are_events_or_losses(&self) -> Result<()> {
        let hits: u64 = self.summary.hits.iter().map(|hits| hits.hits - hits.eventless - hits.filtered).sum();
        let probed = || self.events.iter().filter(|event| event.source.is_none());
        let (events, lost) = (probed().count() as u64, self.lost_events());
        ensure!(hits == events + lost, "{hits} hits are not {events} events and {lost} losses");
        for (probe, kind, sync) in PROBES {
            let probes = PROBES
                .iter()
                .filter(|(_, other, object)| (*other, *object) == (kind, sync))
                .map(|(name, ..)| *name);
            let names: Vec<&str> = probes.collect();
            let of_kind = self.summary.hits.iter().filter(|hits| names.contains(&hits.probe.as_str()));
            let hits: u64 = of_kind.map(|hits| hits.hits - hits.eventless - hits.filtered).sum();
            let seen = probed().filter(|event| is_of(&event.kind, kind, sync)).count() as u64;
            ensure!(seen <= hits && hits <= seen + lost, "{probe}: {hits} hits, {seen} events, {lost} lost");
        }
        Ok(())
    }

    fn events_belong_to_announced_processes(&self) -> Result<()> {
        let stray = self.events.iter().find(|event| !self.summary.processes.contains(&event.pid));
        ensure!(stray.is_none(), "the summary does not know the process of {stray:?}");
        Ok(())
    }

    /// Between threads the order is the merger's promise; within one it is the kernel's.
    fn threads_go_forward(&self) -> Result<()> {
        let mut last: HashMap<(u32, Option<u32>), u64> = HashMap::new();
        for event in &self.events {
            let before = last.insert((event.pid, event.tid), event.t_ns).unwrap_or(0);
            if event.t_ns < before {
                bail!("thread {:?} goes back from {before} at {event:?}", event.tid);
            }
        }
        Ok(())
    }

    /// How many events were lost, at any place.
    #[must_use]
    pub fn lost_events(&self) -> u64 {
        self.summary.lost.values().sum()
    }

    /// The first traced binary.
    #[must_use]
    pub fn meta(&self) -> &Meta {
        // `parse` refuses a stream without one.
        &self.metas[0]
    }

    /// Events of one kind.
    pub fn of_kind(&self, kind: &str) -> impl Iterator<Item = &Event> {
        self.events.iter().filter(move |event| event.kind.name() == kind)
    }

    /// Fails if anything was lost.
    ///
    /// # Errors
    /// Something was.
    pub fn assert_nothing_lost(&self) -> Result<()> {
        ensure!(self.lost_events() == 0 && self.lost.is_empty(), "lost: {:?}", self.summary.lost);
        Ok(())
    }
}

fn is_of(kind: &Kind, name: &str, of: Option<&str>) -> bool {
    kind.name() == name && of.is_none_or(|of| matches!(kind, Kind::SyncWait { sync, .. } if sync == of))
}

#[cfg(test)]
mod tests {
    use super::*;

    const META: &str = r#"{"type":"meta","binary":"/b","go_version":null,"pie":false,"symbol_source":"elf","offset_source":"dwarf","level":"channels","attach_method":"uprobe_multi","attach_ns":1,"probes":[],"unavailable":[]}"#;
    const EXIT: &str = r#"{"type":"event","t_ns":9,"pid":1,"tid":2,"goid":3,"kind":"goroutine_exit"}"#;

    fn summary(exits: u64, hits: u64, lost: u64) -> String {
        format!(
            r#"{{"type":"summary","ended":"x","duration_ns":1,"detach_ns":1,"counts":{{"goroutine_exit":{exits}}},"lost":{{"ring":{lost}}},"gaps":0,"hits":[{{"probe":"goexit0","hits":{hits},"eventless":0,"filtered":0,"cost_ns":1}}],"level":"channels","budget":null,"changes":0,"coverage":[],"cost_source":"assumed","cost_ns":1,"target_cpu_ns":null,"goflow_cpu_ns":1,"goflow_displaced_ns":0,"processes":[1],"state":[],"findings":[]}}"#
        )
    }

    fn parse(lines: &[&str]) -> Result<Session> {
        Session::parse((lines.join("\n") + "\n").as_bytes())
    }

    fn refusal(lines: &[&str]) -> String {
        parse(lines).unwrap_err().to_string()
    }

    #[test]
    fn a_stream_in_form_is_read() {
        let session = parse(&[META, EXIT, &summary(1, 1, 0)]).unwrap();
        assert_eq!(session.of_kind("goroutine_exit").count(), 1);
    }

    #[test]
    fn a_stream_out_of_form_is_refused() {
        assert!(refusal(&[EXIT, META, &summary(1, 1, 0)]).contains("before any meta"));
        assert!(refusal(&[META, EXIT]).contains("no summary"));
        assert!(refusal(&[META, &summary(0, 0, 0), EXIT]).contains("after the summary"));
        assert!(
            refusal(&[META, &EXIT.replace("goroutine_exit", "nap"), &summary(0, 0, 0)]).contains("line 2")
        );
        assert!(refusal(&[META, EXIT, &summary(2, 1, 0)]).contains("the summary counts 2"));
        assert!(refusal(&[META, EXIT, &summary(1, 2, 0)]).contains("2 hits are not 1 events"));
        assert!(refusal(&[META, EXIT, &summary(1, 2, 1)]).contains("the lost lines say 0"));
        assert!(
            refusal(&[META, &EXIT.replace(r#""pid":1"#, r#""pid":7"#), &summary(1, 1, 0)])
                .contains("process")
        );
        let (start, end) =
            (r#"{"type":"process","pid":1,"binary":"/b"}"#, r#"{"type":"process_exit","t_ns":9,"pid":1}"#);
        assert!(refusal(&[META, start, end, EXIT, &summary(1, 1, 0)]).contains("after the end"));
        assert!(refusal(&[META, end, &summary(0, 0, 0)]).contains("nobody was there"));
        assert!(refusal(&[META, start, end, end, &summary(0, 0, 0)]).contains("nobody was there"));
        parse(&[META, start, end, start, EXIT, end, &summary(1, 1, 0)]).unwrap();
        let earlier = EXIT.replace(r#""t_ns":9"#, r#""t_ns":8"#);
        assert!(refusal(&[META, EXIT, &earlier, &summary(2, 2, 0)]).contains("goes back"));
    }
}
