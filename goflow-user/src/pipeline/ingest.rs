//! The ingest thread: empties the ring buffers of all binaries on a timer and passes events on without ever waiting.

use super::budget::Spans;
use super::names::ProcessStart;
use super::outbox::Outbox;
use super::snapshots::{Ask, Examined, Taken, Wanted};
use super::state::Feed;
use super::told::Told;
use super::watch::Doorbell;
use super::{Message, ProcessExit};
use crate::binary::addr::{LinkAddr, LoadBias};
use crate::ingest::decode::Decoded;
use crate::ingest::event::{Event, Gap, LossPoint, MonotonicNs};
use crate::ingest::order::Orderer;
use crate::ingest::ring::{Drained, RingReader};
use crate::model::Seen;
use crate::probe::catalog::Level;
use crate::probe::load::{Biases, LoadError, Waits};
use crate::probe::plan::Plan;
use crate::probe::totals::TotalsReader;
use crate::sink::metrics::FindingCount;
use crate::sink::record::{self, Control, Coverage, FindingChange};
use crate::target::Pid;
use crate::target::executable::Executable;
use crate::target::host::monotonic_ns;
use crate::target::snapshot::Snapshot;
use crossbeam_channel::{Receiver, Sender};
use goflow_common::probe::ProbeId;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

/// Pause between two looks at the buffers while many events come; 4 MiB last for 25 ms of what two CPUs can produce.
const BUSY_PAUSE: Duration = Duration::from_millis(4);
/// Longest pause, reached when few come: each look costs as much as a hundred events.
const IDLE_PAUSE: Duration = Duration::from_millis(20);
/// So many in one look are many.
const MANY: usize = 2_048;

/// How often what is counted in the kernel is told, nanoseconds.
const BETWEEN_TOTALS_NS: u64 = 10_000_000_000;
/// Channels, and places, of each process that are told of before the end.
const TOTALS_BEFORE_THE_END: usize = 100;

/// Events passed on at once.
const BATCH: usize = 2048;

/// One traced binary, as the ingest thread sees it.
pub(super) struct Source {
    executable: Arc<Executable>,
    reader: RingReader,
    sites: HashMap<ProbeId, Vec<LinkAddr>>,
    /// Processes known so far, with where each is loaded.
    known: HashMap<Pid, LoadBias>,
    /// Records from before all probes were in, or after the first came out.
    outside: Hits,
    /// Records from while some of the probes of their level were in and some were not.
    unwatched: Hits,
    /// Tells the programs where processes are loaded; `None` where that is nowhere asked for.
    biases: Option<Biases>,
    /// Who waits since when; `None` where that is nowhere asked for.
    waits: Option<Waits>,
    /// What is counted in the kernel, if anything.
    totals: Option<TotalsReader>,
}

/// What the programs keep of processes that the ingest thread meets and sees end.
pub(super) struct Maps {
    pub(super) biases: Biases,
    pub(super) waits: Waits,
    /// `None` where nothing is counted.
    pub(super) totals: Option<TotalsReader>,
}

/// What control wants of the ingest thread.
pub(super) enum Request {
    /// Tell the sinks, after the last event of the process.
    Exit(ProcessExit),
    /// Tell the model and the sinks, after the events up to the snapshot's end.
    Snapshot(Taken),
    /// Tell the model, after the snapshot that it was found after.
    Examined(Box<Examined>),
    /// Tell the sinks what has turned out to be wrong, or right again.
    Findings(Vec<FindingChange>),
    /// Tell the model and the sinks what was not seen of a process.
    Gap(Gap),
    /// Tell the model that a process runs another program now.
    Replaced(Pid),
    /// A process has executed its program anew, and is loaded elsewhere.
    Moved(Pid),
    /// Tell the model why there is no snapshot of a process.
    NoSnapshot(Pid, String),
    /// Tell the model and the sinks that the probes of these levels went in or out together, after the events before.
    Coverage(Vec<Coverage>),
    /// Tell the sinks what somebody has changed, after the events before.
    Control(Control),
    /// The counters, when everything that was sent before this is counted.
    Tally(Sender<Tally>),
}

/// What has been counted so far.
#[derive(Default)]
pub(super) struct Tally {
    /// As of this moment.
    pub(super) at: MonotonicNs,
    /// Of each binary, all.
    pub(super) hits: Vec<Hits>,
    /// Of each binary, while all probes of their level were in.
    pub(super) watched: Vec<Hits>,
    /// Of each binary.
    pub(super) hits_in_window: Vec<Hits>,
    /// Events passed on.
    pub(super) events: u64,
    /// Events lost, by place.
    pub(super) lost: BTreeMap<LossPoint, u64>,
    /// Findings by rule, as they were told.
    pub(super) findings: BTreeMap<&'static str, FindingCount>,
}

/// Hits of one binary, by probe.
pub(super) type Hits = [u64; ProbeId::COUNT];

/// The time in which every probe is in.
pub(super) struct Window {
    opened: MonotonicNs,
    closed_ns: AtomicU64,
}

impl Window {
    /// It begins now.
    pub(super) fn open() -> Self {
        Self { opened: MonotonicNs(monotonic_ns()), closed_ns: AtomicU64::new(u64::MAX) }
    }

    /// It ends now; returns how long it was, in nanoseconds.
    pub(super) fn close(&self) -> u64 {
        let now = monotonic_ns();
        self.closed_ns.store(now, Ordering::Release);
        now - self.opened.0
    }

    /// When it ended, or a moment that has not come.
    pub(super) fn end(&self) -> MonotonicNs {
        MonotonicNs(self.closed_ns.load(Ordering::Acquire))
    }

    /// How long it has been, in nanoseconds.
    pub(super) fn elapsed_ns(&self) -> u64 {
        monotonic_ns() - self.opened.0
    }

    /// It has ended before `t`.
    pub(super) fn is_over_at(&self, t: MonotonicNs) -> bool {
        t.0 > self.closed_ns.load(Ordering::Acquire)
    }

    fn contains(&self, t: MonotonicNs) -> bool {
        self.opened <= t && t.0 <= self.closed_ns.load(Ordering::Acquire)
    }
}

/// What the ingest thread reports when it ends.
pub(super) struct Totals {
    /// From when everything had been read.
    pub(super) tally: Tally,
    /// Of each binary, hits that are no event.
    pub(super) eventless: Vec<Hits>,
    /// Those of `hits` that a filter left out.
    pub(super) filtered: Vec<Hits>,
    pub(super) processes: Vec<Pid>,
}

impl Source {
    pub(super) fn new(executable: Arc<Executable>, plan: &Plan, reader: RingReader, maps: Maps) -> Self {
        let Maps { biases, waits, totals } = maps;
        let mut sites: HashMap<ProbeId, Vec<LinkAddr>> = HashMap::new();
        for planned in &plan.sites {
            sites.entry(planned.spec.probe).or_default().push(planned.site.address);
        }
        Self {
            executable,
            reader,
            sites,
            known: HashMap::new(),
            outside: [0; ProbeId::COUNT],
            unwatched: [0; ProbeId::COUNT],
            biases: (plan.config.filter_created != 0 && plan.config.is_pie != 0).then_some(biases),
            waits: (plan.config.whole_waits != 0 || plan.config.aggregate != 0).then_some(waits),
            totals,
        }
    }

    /// The program of a process is over: tells what was counted of it, and begins anew.
    fn close_totals(&mut self, pid: Pid, t: MonotonicNs, outbox: &mut Outbox) {
        let last = self.tell_totals(pid, t, true, outbox);
        tell_unread(last.and_then(|()| self.totals.as_mut().map_or(Ok(()), |totals| totals.forget(pid))));
        self.waits.iter_mut().for_each(|waits| waits.forget(pid));
    }

    /// Tells what was counted in the kernel of one process, if anything is.
    fn tell_totals(
        &self,
        pid: Pid,
        t: MonotonicNs,
        is_last: bool,
        outbox: &mut Outbox,
    ) -> Result<(), LoadError> {
        let Some(reader) = &self.totals else { return Ok(()) };
        let (mut totals, uncounted) = (reader.of(pid)?, reader.uncounted()?);
        let all = totals.channels.len() + totals.sites.len();
        if !is_last {
            totals.channels.truncate(TOTALS_BEFORE_THE_END);
            totals.sites.truncate(TOTALS_BEFORE_THE_END);
        }
        let left_out = (all - totals.channels.len() - totals.sites.len()) as u64;
        outbox.push(Message::Totals(Box::new(record::Totals {
            pid,
            t,
            is_last,
            totals,
            left_out,
            uncounted,
        })));
        Ok(())
    }

    /// Takes note of a process that was there before the first event.
    pub(super) fn know(&mut self, start: &ProcessStart) {
        self.known.insert(start.pid, start.bias);
    }
}

fn without(mut hits: Hits, others: &Hits) -> Hits {
    for (hits, others) in hits.iter_mut().zip(others) {
        *hits -= others;
    }
    hits
}

/// Where the ingest thread passes things on to.
pub(super) struct Outlets {
    /// The sink thread.
    pub(super) messages: Sender<Message>,
    /// Events on their way through it that are not written yet.
    pub(super) unwritten: Arc<AtomicU64>,
    /// The state thread.
    pub(super) feed: Feed,
    /// The thread that takes snapshots.
    pub(super) snapshots: Sender<Ask>,
}

/// Moves events until `done`, then takes the rest.
pub(super) struct Ingest {
    sources: Vec<Source>,
    /// Puts the events of all sources in order.
    orderer: Orderer,
    outbox: Outbox,
    feed: Feed,
    /// To the thread that takes snapshots.
    snapshots: Sender<Ask>,
    /// Snapshots that wait for the events up to their end.
    taken: Vec<Taken>,
    /// What was found out after snapshots, and waits as long as those.
    examined: Vec<Examined>,
    /// Processes that have been told of and have not ended.
    alive: BTreeSet<Pid>,
    /// What was last seen of each process, where there are no probes.
    seen: HashMap<Pid, Seen>,
    /// Changes inferred so far.
    inferred: u64,
    /// When what is counted in the kernel was last told.
    totals_told: MonotonicNs,
    window: Arc<Window>,
    spans: Arc<Spans>,
    /// Where probes of levels went in or out together, which has not been told of.
    coverage: Vec<Vec<Coverage>>,
    /// What somebody has changed, and has not been told of.
    controls: Vec<Control>,
    /// Who wants the counters after this round.
    tallies: Vec<Sender<Tally>>,
    requests: Receiver<Request>,
    /// Rung for each process that was not known from the start.
    doorbell: Option<Doorbell>,
    /// Processes that have ended, and perhaps have events on the way.
    ending: Vec<ProcessExit>,
    /// Every process seen.
    processes: BTreeSet<Pid>,
    /// Set by control when the probes are out.
    done: Arc<AtomicBool>,
    /// Set here when the output is closed.
    output_closed: Arc<AtomicBool>,
    lost: BTreeMap<LossPoint, u64>,
    findings: Told,
}

impl Ingest {
    pub(super) fn new(
        sources: Vec<Source>,
        Outlets { messages, unwritten, feed, snapshots }: Outlets,
        (window, spans): (Arc<Window>, Arc<Spans>),
        requests: Receiver<Request>,
        doorbell: Option<Doorbell>,
        done: Arc<AtomicBool>,
        output_closed: Arc<AtomicBool>,
    ) -> Self {
        let processes: BTreeSet<Pid> =
            sources.iter().flat_map(|source| source.known.keys()).copied().collect();
        Self {
            sources,
            orderer: Orderer::default(),
            outbox: Outbox::new(messages, unwritten),
            feed,
            snapshots,
            taken: Vec::new(),
            examined: Vec::new(),
            alive: processes.clone(),
            seen: HashMap::new(),
            inferred: 0,
            totals_told: MonotonicNs(monotonic_ns()),
            window,
            spans,
            coverage: Vec::new(),
            controls: Vec::new(),
            tallies: Vec::new(),
            requests,
            doorbell,
            ending: Vec::new(),
            processes,
            done,
            output_closed,
            lost: BTreeMap::new(),
            findings: Told::default(),
        }
    }

    /// The thread's body.
    pub(super) fn run(mut self) -> Result<Totals, LoadError> {
        let mut pause = BUSY_PAUSE;
        while !self.done.load(Ordering::Acquire) {
            let taken = self.round()?;
            pause = if taken >= MANY { BUSY_PAUSE } else { (pause * 2).min(IDLE_PAUSE) };
            // Who asks for counters wakes this thread: by those of long ago no budget is kept.
            thread::park_timeout(pause);
        }
        while self.round()? > 0 {}
        self.finish()
    }

    /// One look at every buffer; returns the number of records taken.
    fn round(&mut self) -> Result<usize, LoadError> {
        self.answer();
        let now = MonotonicNs(monotonic_ns());
        let (mut taken, mut certain, mut has_lost) = (0, now, false);
        for index in 0..self.sources.len() {
            let (drained, lost) = self.drain(index, now)?;
            taken += drained.records;
            certain = certain.min(drained.certain);
            has_lost |= lost;
        }
        let mut ordered = self.orderer.release(certain);
        while let Some(events) = batch(&mut ordered) {
            has_lost |= !self.feed.events(&events);
            self.outbox.push_events(events);
        }
        drop(ordered);
        if has_lost {
            self.ask(Ask::Lost);
        }
        self.tell_coverage(certain);
        self.tell_snapshots(certain);
        self.tell_examined(certain);
        self.tell_exits(certain);
        if now.0.saturating_sub(self.totals_told.0) >= BETWEEN_TOTALS_NS {
            self.totals_told = now;
            self.tell_totals(now, false);
        }
        self.pass_on(Outbox::pump);
        self.tell_tallies(now)?;
        Ok(taken)
    }

    /// One look at the buffers of one binary, and whether anything was lost.
    fn drain(&mut self, index: usize, now: MonotonicNs) -> Result<(Drained, bool), LoadError> {
        let source = &mut self.sources[index];
        let Source { executable, reader, sites, known, outside, unwatched, biases, waits: _, totals: _ } =
            source;
        let mut appeared = Vec::new();
        let mut seen = |decoded: &Decoded| {
            outside[decoded.probe as usize] += u64::from(!self.window.contains(decoded.event.t));
            unwatched[decoded.probe as usize] +=
                u64::from(!self.spans.contains(decoded.probe, decoded.event.t));
            appeared.extend(appearance(executable, sites, known, decoded));
        };
        let drained = reader.drain(now, &mut self.orderer, &mut seen);
        let losses = reader.losses()?;
        let has_lost = !losses.is_empty();
        if let Some(biases) = biases {
            appeared.iter().for_each(|start: &ProcessStart| biases.insert(start.pid, start.bias));
        }
        for start in appeared {
            self.meet(start);
        }
        for lost in losses {
            *self.lost.entry(lost.at).or_default() += lost.count;
            self.feed.lost(&lost);
            self.outbox.push(Message::Lost(lost));
        }
        Ok((drained, has_lost))
    }

    fn answer(&mut self) {
        let mut has_gap = false;
        for request in self.requests.try_iter() {
            match request {
                Request::Exit(exit) => self.ending.push(exit),
                Request::Snapshot(taken) => self.taken.push(taken),
                Request::Examined(examined) => self.examined.push(*examined),
                Request::Findings(changes) => {
                    for change in changes {
                        self.findings.note(&change);
                        self.outbox.push(Message::Finding(Box::new(change)));
                    }
                }
                Request::Gap(gap) => {
                    has_gap = true;
                    self.feed.gap(gap);
                    self.outbox.push(Message::Gap(gap));
                }
                Request::Replaced(pid) => {
                    self.feed.ended(pid);
                    self.findings.ended(pid);
                }
                Request::Moved(pid) => {
                    for source in &mut self.sources {
                        source.biases.iter_mut().for_each(|biases| biases.remove(pid));
                        // Of a position-independent one the first event tells, while names are still those of before.
                        if !source.executable.binary().is_pie() {
                            let now = MonotonicNs(monotonic_ns());
                            source.close_totals(pid, now, &mut self.outbox);
                        }
                    }
                }
                Request::NoSnapshot(pid, why) => self.feed.no_snapshot(pid, why),
                Request::Coverage(coverage) => self.coverage.push(coverage),
                Request::Control(control) => self.controls.push(control),
                Request::Tally(answer) => self.tallies.push(answer),
            }
        }
        if has_gap {
            self.ask(Ask::Lost);
        }
    }

    fn tell_tallies(&mut self, at: MonotonicNs) -> Result<(), LoadError> {
        for answer in mem::take(&mut self.tallies) {
            // Control has given up if it does not listen.
            let _ = answer.send(self.tally(at)?);
        }
        Ok(())
    }

    fn tally(&self, at: MonotonicNs) -> Result<Tally, LoadError> {
        let mut lost = self.lost.clone();
        *lost.entry(LossPoint::Sink).or_default() += self.outbox.total_dropped();
        let hits: Vec<Hits> =
            self.sources.iter().map(|source| source.reader.hits()).collect::<Result<_, _>>()?;
        // What was lost has no time, and counts as seen.
        let without_those = |of: fn(&Source) -> &Hits| {
            hits.iter().zip(&self.sources).map(|(hits, source)| without(*hits, of(source))).collect()
        };
        Ok(Tally {
            at,
            watched: without_those(|source| &source.unwatched),
            hits_in_window: without_those(|source| &source.outside),
            hits,
            events: self.outbox.total_taken() + self.inferred,
            lost,
            findings: self.findings.counts(),
        })
    }

    fn meet(&mut self, start: ProcessStart) {
        self.ask(Ask::Start(Wanted::announced(&start)));
        self.announce(start);
    }

    /// Tells the model and the sinks of a process, or that it has executed its program anew.
    fn announce(&mut self, start: ProcessStart) {
        if self.alive.contains(&start.pid) && start.executable.binary().is_pie() {
            let now = MonotonicNs(monotonic_ns());
            self.sources.iter_mut().for_each(|source| source.close_totals(start.pid, now, &mut self.outbox));
        }
        if let Some(doorbell) = &mut self.doorbell {
            doorbell.announce(start.pid);
        }
        self.processes.insert(start.pid);
        self.alive.insert(start.pid);
        self.feed.started(&start);
        self.outbox.push(Message::Process(start));
    }

    fn ask(&self, ask: Ask) {
        // The thread is gone when control has stopped it.
        let _ = self.snapshots.send(ask);
    }

    /// Passes on where the probes of a level went in or out before `until`. What is not seen of goroutines, a snapshot tells.
    fn tell_coverage(&mut self, until: MonotonicNs) {
        // First what was asked for, then what came of it.
        for control in self.controls.extract_if(.., |control| control.t < until) {
            self.outbox.push(Message::Control(control));
        }
        let is_due = |together: &mut Vec<Coverage>| together.iter().all(|one| one.t < until);
        let due: Vec<Vec<Coverage>> = self.coverage.extract_if(.., is_due).collect();
        for together in due {
            if together.iter().any(|one| one.level < Level::Channels) {
                self.ask(Ask::Lost);
            }
            self.feed.coverage(together.clone());
            self.outbox.push(Message::Coverage(together));
        }
    }

    /// Passes on the snapshots that ended before `until`: the events before have been passed on.
    fn tell_snapshots(&mut self, until: MonotonicNs) {
        let due: Vec<Taken> = self.taken.extract_if(.., |taken| taken.snapshot.ended < until).collect();
        // What comes after the window would tell of changes that no event does.
        let due = due.into_iter().filter(|taken| !self.window.is_over_at(taken.snapshot.ended));
        let due: Vec<Taken> = due.collect();
        for Taken { pid, snapshot, start, since } in due {
            if let Some(start) = start {
                match since {
                    Some(since) => _ = self.seen.insert(pid, Seen::nobody(since)),
                    None => _ = self.seen.remove(&pid),
                }
                for source in &mut self.sources {
                    if Arc::ptr_eq(&source.executable, &start.executable) {
                        source.known.insert(pid, start.bias);
                    }
                }
                self.announce(start);
            }
            // One of a process that has ended is of no use any more.
            if self.alive.contains(&pid) {
                if self.sources.is_empty() {
                    self.infer(pid, &snapshot);
                }
                self.feed.snapshot(pid, &snapshot);
                self.outbox.push(Message::Snapshot(pid, snapshot));
            }
        }
    }

    /// Passes on what was found out after snapshots that ended before `until`, which have been passed on.
    fn tell_examined(&mut self, until: MonotonicNs) {
        let due = self.examined.extract_if(.., |examined| examined.ended < until);
        for Examined { pid, reach, at, ended } in due {
            if self.alive.contains(&pid) && !self.window.is_over_at(ended) {
                self.feed.examined(pid, reach, at);
            }
        }
    }

    /// Without probes, what happened is what two snapshots differ by.
    fn infer(&mut self, pid: Pid, snapshot: &Snapshot) {
        let Some(seen) = self.seen.get_mut(&pid) else {
            self.seen.insert(pid, Seen::of(snapshot));
            return;
        };
        let changes = seen.advance(pid, snapshot);
        if !changes.is_empty() {
            self.inferred += changes.len() as u64;
            self.outbox.push(Message::Inferred(changes));
        }
    }

    /// Passes on the ends that were found before `until`: what those processes did has been passed on before. Their pids may
    /// come again, as other processes.
    fn tell_exits(&mut self, until: MonotonicNs) {
        for exit in self.ending.extract_if(.., |exit| exit.t < until) {
            for source in &mut self.sources {
                if source.known.remove(&exit.pid).is_some() {
                    source.close_totals(exit.pid, exit.t, &mut self.outbox);
                }
                source.biases.iter_mut().for_each(|biases| biases.remove(exit.pid));
            }
            let is_known = self.alive.remove(&exit.pid);
            self.seen.remove(&exit.pid);
            self.feed.ended(exit.pid);
            self.findings.ended(exit.pid);
            // The thread is gone when control has stopped it.
            let _ = self.snapshots.send(Ask::end_of(exit));
            if let Some(doorbell) = &mut self.doorbell {
                doorbell.forget(exit.pid);
            }
            if is_known {
                self.outbox.push(Message::Exit(exit));
            }
        }
    }

    /// Tells what was counted in the kernel of every process that lives.
    fn tell_totals(&mut self, t: MonotonicNs, is_last: bool) {
        for source in &self.sources {
            for &pid in source.known.keys() {
                tell_unread(source.tell_totals(pid, t, is_last, &mut self.outbox));
            }
        }
    }

    fn pass_on(&mut self, how: fn(&mut Outbox)) {
        how(&mut self.outbox);
        if self.outbox.is_closed() {
            self.output_closed.store(true, Ordering::Release);
        }
    }

    fn finish(mut self) -> Result<Totals, LoadError> {
        self.answer();
        // The probes are out: nothing can be lost by waiting now.
        self.pass_on(Outbox::flush);
        let mut orderer = mem::take(&mut self.orderer);
        let mut rest = orderer.finish();
        while let Some(events) = batch(&mut rest) {
            self.feed.events(&events);
            self.outbox.push_events(events);
            self.pass_on(Outbox::flush);
        }
        drop(rest);
        if orderer.late() > 0 {
            tracing::info!(late = orderer.late(), "events came too late to be put in order");
        }
        self.tell_coverage(MonotonicNs(u64::MAX));
        self.tell_snapshots(MonotonicNs(u64::MAX));
        self.tell_examined(MonotonicNs(u64::MAX));
        self.tell_exits(MonotonicNs(u64::MAX));
        self.tell_totals(self.window.end(), true);
        self.pass_on(Outbox::flush);
        Ok(Totals {
            tally: self.tally(MonotonicNs(monotonic_ns()))?,
            eventless: self
                .sources
                .iter()
                .map(|source| source.reader.eventless())
                .collect::<Result<_, _>>()?,
            filtered: self.sources.iter().map(|source| source.reader.filtered()).collect::<Result<_, _>>()?,
            processes: self.processes.into_iter().collect(),
        })
    }
}

/// The stream goes on without.
fn tell_unread(totals: Result<(), LoadError>) {
    if let Err(error) = totals {
        tracing::warn!("{error}");
    }
}

/// The next events, in one piece; `None` when there are no more.
fn batch(events: &mut impl Iterator<Item = Event>) -> Option<Vec<Event>> {
    let batch: Vec<Event> = events.take(BATCH).collect();
    (!batch.is_empty()).then_some(batch)
}

/// A process that this event shows for the first time, or at another place than before (it has executed anew).
fn appearance(
    executable: &Arc<Executable>,
    sites: &HashMap<ProbeId, Vec<LinkAddr>>,
    known: &mut HashMap<Pid, LoadBias>,
    decoded: &Decoded,
) -> Option<ProcessStart> {
    let pid = decoded.event.pid;
    let sites = sites.get(&decoded.probe)?;
    let at = known.get(&pid);
    if at.is_some_and(|bias| sites.contains(&bias.to_link(decoded.ip))) {
        return None;
    }
    // The loader moves a binary by whole pages, so only one site of a function fits (or they are a page apart, and any
    // of them would be a guess).
    const PAGE: u64 = 0xfff;
    let mut fitting = sites.iter().filter(|site| site.0 & PAGE == decoded.ip.0 & PAGE);
    let site = *fitting.next()?;
    if fitting.next().is_some() {
        return None;
    }
    let bias = LoadBias::between(site, decoded.ip);
    known.insert(pid, bias);
    Some(ProcessStart { pid, executable: Arc::clone(executable), bias })
}
