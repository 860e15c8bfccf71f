//! The ingest thread: empties the ring buffers of all binaries on a timer and passes events on without ever waiting.

use super::Message;
use super::names::ProcessStart;
use super::outbox::Outbox;
use crate::binary::addr::{LinkAddr, LoadBias};
use crate::ingest::decode::Decoded;
use crate::ingest::event::{LossPoint, MonotonicNs};
use crate::ingest::ring::RingReader;
use crate::probe::load::LoadError;
use crate::probe::plan::Plan;
use crate::target::Pid;
use crate::target::executable::Executable;
use crate::target::host::monotonic_ns;
use crossbeam_channel::Sender;
use goflow_common::probe::ProbeId;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// Pause between two looks at the buffers while events come; 8 MiB last for 50 ms of what two CPUs can produce.
const BUSY_PAUSE: Duration = Duration::from_millis(4);
/// Longest pause, reached when nothing comes.
const IDLE_PAUSE: Duration = Duration::from_millis(20);

/// Events passed on at once when the session ends; the outbox takes more.
const REST: usize = 2048;

/// One traced binary, as the ingest thread sees it.
pub(super) struct Source {
    executable: Arc<Executable>,
    reader: RingReader,
    sites: HashMap<ProbeId, Vec<LinkAddr>>,
    /// Processes known so far, with where each is loaded.
    known: HashMap<Pid, LoadBias>,
}

/// What the ingest thread reports when it ends.
pub(super) struct Totals {
    pub(super) lost: BTreeMap<LossPoint, u64>,
    pub(super) hits: Vec<[u64; ProbeId::COUNT]>,
    pub(super) processes: Vec<Pid>,
}

impl Source {
    pub(super) fn new(executable: Arc<Executable>, plan: &Plan, reader: RingReader) -> Self {
        let mut sites: HashMap<ProbeId, Vec<LinkAddr>> = HashMap::new();
        for planned in &plan.sites {
            sites.entry(planned.spec.probe).or_default().push(planned.site.address);
        }
        Self { executable, reader, sites, known: HashMap::new() }
    }

    /// Takes note of a process that was there before the first event.
    pub(super) fn know(&mut self, start: &ProcessStart) {
        self.known.insert(start.pid, start.bias);
    }
}

/// Moves events until `done`, then takes the rest.
pub(super) struct Ingest {
    sources: Vec<Source>,
    outbox: Outbox,
    /// Set by control when the probes are out.
    done: Arc<AtomicBool>,
    /// Set here when the output is closed.
    output_closed: Arc<AtomicBool>,
    lost: BTreeMap<LossPoint, u64>,
}

impl Ingest {
    pub(super) fn new(
        sources: Vec<Source>,
        messages: Sender<Message>,
        done: Arc<AtomicBool>,
        output_closed: Arc<AtomicBool>,
    ) -> Self {
        Self { sources, outbox: Outbox::new(messages), done, output_closed, lost: BTreeMap::new() }
    }

    /// The thread's body.
    pub(super) fn run(mut self) -> Result<Totals, LoadError> {
        let mut pause = BUSY_PAUSE;
        while !self.done.load(Ordering::Acquire) {
            let taken = self.round()?;
            pause = if taken > 0 { BUSY_PAUSE } else { (pause * 2).min(IDLE_PAUSE) };
            thread::sleep(pause);
        }
        while self.round()? > 0 {}
        self.finish()
    }

    /// One look at every buffer; returns the number of records taken.
    fn round(&mut self) -> Result<usize, LoadError> {
        let mut taken = 0;
        for index in 0..self.sources.len() {
            let now = MonotonicNs(monotonic_ns());
            let source = &mut self.sources[index];
            let mut appeared = Vec::new();
            let mut events = Vec::new();
            let Source { executable, reader, sites, known } = source;
            let mut seen = |decoded: &Decoded| {
                appeared.extend(appearance(executable, sites, known, decoded));
            };
            taken += reader.drain(now, &mut seen, &mut events);
            let losses = reader.losses(now)?;
            for start in appeared {
                self.outbox.push(Message::Process(start));
            }
            for lost in losses {
                *self.lost.entry(lost.at).or_default() += lost.count;
                self.outbox.push(Message::Lost(lost));
            }
            self.outbox.push_events(events);
        }
        self.pass_on(Outbox::pump);
        Ok(taken)
    }

    fn pass_on(&mut self, how: fn(&mut Outbox)) {
        how(&mut self.outbox);
        if self.outbox.is_closed() {
            self.output_closed.store(true, Ordering::Release);
        }
    }

    fn finish(mut self) -> Result<Totals, LoadError> {
        let mut rest = Vec::new();
        let mut hits = Vec::new();
        let mut processes = Vec::new();
        for source in &mut self.sources {
            source.reader.finish(&mut rest);
            hits.push(source.reader.hits()?);
            processes.extend(source.known.keys().copied());
        }
        // The probes are out: nothing can be lost by waiting now.
        self.pass_on(Outbox::flush);
        while !rest.is_empty() {
            self.outbox.push_events(rest.drain(..rest.len().min(REST)).collect());
            self.pass_on(Outbox::flush);
        }
        *self.lost.entry(LossPoint::Sink).or_default() += self.outbox.total_dropped();
        processes.sort_unstable();
        Ok(Totals { lost: self.lost, hits, processes })
    }
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
