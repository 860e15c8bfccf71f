//! The state thread: keeps the model, fed by the ingest thread with everything in the order of its time.
//!
//! In: facts through a [`Feed`]; out, when the feed is gone: what each process that lives was doing in the end. The ingest
//! thread never waits for this one: events that exceed a bound are not passed on, and the model is told that it lost them.

use super::ingest::{Request, Window};
use super::names::ProcessStart;
use crate::binary::addr::RuntimeAddr;
use crate::detect::{Change, Detection, Rule};
use crate::ingest::event::{Event, Gap, LossPoint, Lost, MonotonicNs};
use crate::model::{Limits, Model, Outlook, Overview, Process, Runtime, Waits};
use crate::probe::catalog::Level;
use crate::probe::filter::Filter;
use crate::sink::findings::{Described, Namer};
use crate::sink::record::{Coverage, FindingChange, ProcessState};
use crate::target::Pid;
use crate::target::executable::Executable;
use crate::target::reach::Reach;
use crate::target::snapshot::{Snapshot, Start};
use crossbeam_channel::{Receiver, Sender, unbounded};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Events on their way to the model: a tenth of a second of what two CPUs can produce, or some 6 MB.
const MOST_ON_THE_WAY: usize = 48 * 1024;

/// How long what has ended is known: in a trace nobody asks for it, and a busy program ends ten thousand goroutines a second.
const RETENTION_NS: u64 = 1_000_000_000;

/// Findings kept of processes that have ended.
const MOST_LEFT: usize = 256;

/// Longest waits told of each process.
const LONGEST: usize = 10;

/// What the model is told.
pub(super) enum Fact {
    Started(ProcessStart, Runtime),
    Ended(Pid),
    Events(Vec<Event>),
    Lost(Lost),
    Gap(Gap),
    Coverage(Vec<Coverage>),
    Snapshot(Pid, Arc<Snapshot>),
    /// Who can still be woken in a process, as found out after a snapshot that began then; `None` where it could not be.
    Examined(Pid, Option<Box<Reach>>, MonotonicNs),
    /// Why there is none of this process.
    NoSnapshot(Pid, String),
}

/// The ingest thread's end.
pub(super) struct Feed {
    facts: Sender<Fact>,
    on_the_way: Arc<AtomicUsize>,
    window: Arc<Window>,
    /// What of each binary the model must know.
    runtimes: Vec<(Arc<Executable>, Runtime)>,
    /// Events that the model did not get since the last that it got.
    dropped: Option<Lost>,
}

/// The thread's own end.
pub(super) struct State {
    facts: Receiver<Fact>,
    on_the_way: Arc<AtomicUsize>,
    /// Whether parks and wake-ups are among the events.
    waits: Waits,
    /// A filter leaves some of them out.
    is_thinned: bool,
    model: Model,
    accounts: HashMap<Pid, Account>,
    /// By which it is told what is wrong.
    rules: Vec<&'static Rule>,
    /// To the ingest thread, for the sinks.
    requests: Sender<Request>,
    /// What was wrong with processes when they ended.
    left: Vec<(Pid, Described<'static>)>,
}

/// What is told when a session is over.
pub(super) struct Ending {
    /// What the processes that live were doing.
    pub(super) states: Vec<ProcessState>,
    /// What is wrong with them, and was with those that have ended.
    pub(super) findings: Vec<(Pid, Described<'static>)>,
}

/// One process, and its snapshots.
#[derive(Default)]
struct Account {
    start: Option<ProcessStart>,
    count: u64,
    took_ns: u64,
    failure: Option<String>,
    detection: Option<Detection>,
}

/// Both ends, for a session at this level.
pub(super) fn pair(
    level: Level,
    filter: &Filter,
    rules: &[&'static Rule],
    window: Arc<Window>,
    requests: Sender<Request>,
) -> (Feed, State) {
    let (sender, facts) = unbounded();
    let on_the_way = Arc::<AtomicUsize>::default();
    let feed = Feed {
        facts: sender,
        on_the_way: Arc::clone(&on_the_way),
        window,
        runtimes: Vec::new(),
        dropped: None,
    };
    (
        feed,
        State {
            facts,
            on_the_way,
            waits: match level {
                Level::Lifecycle => Waits::Unseen,
                _ if filter.thins() => Waits::Thinned,
                _ => Waits::Watched,
            },
            is_thinned: filter.thins(),
            model: Model::new(Limits { retention_ns: RETENTION_NS, ..Limits::default() }),
            accounts: HashMap::new(),
            rules: rules.to_vec(),
            requests,
            left: Vec::new(),
        },
    )
}

impl Feed {
    /// A process runs a traced binary from here on.
    pub(super) fn started(&mut self, start: &ProcessStart) {
        if let Some(runtime) = self.runtime(&start.executable) {
            self.tell(Fact::Started(start.clone(), runtime));
        }
    }

    /// A process has ended.
    pub(super) fn ended(&mut self, pid: Pid) {
        self.tell(Fact::Ended(pid));
    }

    /// Passes on what happened while every probe was in: afterwards some changes are seen and some are not. Returns
    /// whether all of it fitted.
    pub(super) fn events(&mut self, events: &[Event]) -> bool {
        let count = events.partition_point(|event| !self.window.is_over_at(event.t));
        let events = &events[..count];
        let (Some(first), Some(last)) = (events.first(), events.last()) else { return true };
        if self.on_the_way.load(Ordering::Acquire) + events.len() > MOST_ON_THE_WAY {
            // To the model it does not matter where its events were lost.
            let window = Lost { from: first.t, to: last.t, at: LossPoint::Ring, count: 0 };
            let dropped = self.dropped.get_or_insert(window);
            dropped.to = dropped.to.max(last.t);
            dropped.count += events.len() as u64;
            return false;
        }
        self.tell_dropped();
        self.on_the_way.fetch_add(events.len(), Ordering::AcqRel);
        self.tell(Fact::Events(events.to_vec()));
        true
    }

    /// Events are missing.
    pub(super) fn lost(&mut self, lost: &Lost) {
        self.tell(Fact::Lost(lost.clone()));
    }

    /// Events of one process are missing.
    pub(super) fn gap(&mut self, gap: Gap) {
        self.tell(Fact::Gap(gap));
    }

    /// The probes of these levels went in or out.
    pub(super) fn coverage(&mut self, coverage: Vec<Coverage>) {
        self.tell(Fact::Coverage(coverage));
    }

    /// A snapshot, after the events up to its end.
    pub(super) fn snapshot(&mut self, pid: Pid, snapshot: &Arc<Snapshot>) {
        self.tell_dropped();
        self.tell(Fact::Snapshot(pid, Arc::clone(snapshot)));
    }

    /// What was found out after a snapshot of a process that began at `at`.
    pub(super) fn examined(&mut self, pid: Pid, reach: Option<Reach>, at: MonotonicNs) {
        self.tell(Fact::Examined(pid, reach.map(Box::new), at));
    }

    /// There is no snapshot of a process.
    pub(super) fn no_snapshot(&mut self, pid: Pid, why: String) {
        self.tell(Fact::NoSnapshot(pid, why));
    }

    fn tell_dropped(&mut self) {
        if let Some(dropped) = self.dropped.take() {
            self.tell(Fact::Lost(dropped));
        }
    }

    fn tell(&self, fact: Fact) {
        // A thread that is gone says why when it is joined.
        let _ = self.facts.send(fact);
    }

    fn runtime(&mut self, executable: &Arc<Executable>) -> Option<Runtime> {
        if let Some((_, runtime)) = self.runtimes.iter().find(|(known, _)| Arc::ptr_eq(known, executable)) {
            return Some(runtime.clone());
        }
        let (offsets, _) = executable.binary().offsets().ok()?;
        let runtime = Runtime::of(executable.binary(), &offsets);
        self.runtimes.push((Arc::clone(executable), runtime.clone()));
        Some(runtime)
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.tell_dropped();
    }
}

impl State {
    /// The thread's body: takes facts until the feed is gone.
    pub(super) fn run(mut self) -> Ending {
        while let Ok(fact) = self.facts.recv() {
            self.take(fact);
        }
        // Nothing follows.
        self.model.hold_nothing_back();
        let pids: Vec<Pid> = self.accounts.keys().copied().collect();
        pids.iter().for_each(|&pid| self.detect_by_events(pid));
        let mut states: Vec<ProcessState> =
            self.model.processes().map(|process| self.state(process)).collect();
        states.sort_unstable_by_key(|state| state.overview.pid);
        let mut findings = std::mem::take(&mut self.left);
        for state in &states {
            let pid = state.overview.pid;
            findings.extend(self.findings(pid).into_iter().map(|one| (pid, one)));
        }
        Ending { states, findings }
    }

    fn take(&mut self, fact: Fact) {
        match fact {
            Fact::Started(start, runtime) => {
                let pid = start.pid;
                self.model.started(pid, runtime);
                if self.is_thinned {
                    // Of a channel that is made anew at an address nobody may be told.
                    self.model.channels_watched(MonotonicNs(u64::MAX), false);
                }
                let wanted = |rule| self.rules.contains(&rule);
                let detection = (!self.rules.is_empty()).then(|| Detection::new(wanted));
                let account = Account { start: Some(start), detection, ..Account::default() };
                self.accounts.insert(pid, account);
            }
            Fact::Ended(pid) => {
                self.model.hold_nothing_back_of(pid);
                self.detect_by_events(pid);
                let room = MOST_LEFT.saturating_sub(self.left.len());
                self.left.extend(self.findings(pid).into_iter().take(room).map(|one| (pid, one)));
                self.model.ended(pid);
                self.accounts.remove(&pid);
            }
            Fact::Events(events) => {
                events.iter().for_each(|event| self.model.apply(event));
                self.on_the_way.fetch_sub(events.len(), Ordering::AcqRel);
                self.model.expire(events.last().map_or(MonotonicNs(0), |event| event.t));
            }
            Fact::Lost(lost) => self.model.lose(&lost),
            Fact::Gap(gap) => self.model.miss(gap),
            Fact::Coverage(coverage) => coverage.into_iter().for_each(|one| self.cover(one)),
            Fact::Snapshot(pid, snapshot) => {
                self.model.reconcile(pid, &snapshot);
                self.model.expire(snapshot.ended);
                let account = self.accounts.entry(pid).or_default();
                account.count += 1;
                account.took_ns += snapshot.ended.0 - snapshot.started.0;
                account.failure = None;
                if self.rules.iter().all(|rule| rule.is_of_events) {
                    self.detect_by_events(pid);
                }
            }
            Fact::Examined(pid, reach, at) => {
                match reach {
                    Some(reach) => self.model.learn(pid, &reach, at, false),
                    None => self.model.learn_nothing(pid, at),
                }
                self.detect(pid, at);
            }
            Fact::NoSnapshot(pid, why) => self.accounts.entry(pid).or_default().failure = Some(why),
        }
    }

    /// Asks the rules after a look at a process that began at `at`, and tells what has changed.
    fn detect(&mut self, pid: Pid, at: MonotonicNs) {
        self.ask(pid, at, Detection::look);
    }

    /// Asks those that need no look.
    fn detect_by_events(&mut self, pid: Pid) {
        if let Some(at) = self.model.process(pid).and_then(Process::last_misuse) {
            self.ask(pid, at, |detection, process| detection.look_at_events(process, at));
        }
    }

    fn ask(&mut self, pid: Pid, at: MonotonicNs, ask: impl FnOnce(&mut Detection, &Process) -> Vec<Change>) {
        let (Some(account), Some(process)) = (self.accounts.get_mut(&pid), self.model.process(pid)) else {
            return;
        };
        let (Some(detection), Some(start)) = (&mut account.detection, &account.start) else { return };
        let namer = Namer::new(start.executable.binary(), start.bias, process, at);
        let tell = |change| {
            let (is_open, finding) = match change {
                Change::Opened(finding) => (true, finding),
                Change::Resolved(finding) => (false, finding),
            };
            FindingChange { pid, t: at, is_open, described: namer.describe(&finding).into_owned() }
        };
        let changes: Vec<FindingChange> = ask(detection, process).into_iter().map(tell).collect();
        if !changes.is_empty() {
            // A thread that is gone says why when it is joined.
            let _ = self.requests.send(Request::Findings(changes));
        }
    }

    /// What is wrong with a process in the end.
    fn findings(&self, pid: Pid) -> Vec<Described<'static>> {
        let (Some(account), Some(process)) = (self.accounts.get(&pid), self.model.process(pid)) else {
            return Vec::new();
        };
        let (Some(detection), Some(start)) = (&account.detection, &account.start) else { return Vec::new() };
        let now = process.snapshot().unwrap_or_default();
        let namer = Namer::new(start.executable.binary(), start.bias, process, now);
        detection.open().map(|finding| namer.describe(finding).into_owned()).collect()
    }

    /// While parks or births are not seen, what is known of goroutines is what the last snapshot told.
    fn cover(&mut self, Coverage { level, t, is_watched, mode: _ }: Coverage) {
        if level == Level::Channels {
            return self.model.channels_watched(t, is_watched);
        }
        if level == Level::Blocking {
            self.waits = match (is_watched, self.is_thinned) {
                (false, _) => Waits::Unwatched,
                (true, true) => Waits::Thinned,
                (true, false) => Waits::Watched,
            };
        }
        self.model.unwatched(t);
    }

    fn state(&self, process: &Process) -> ProcessState {
        let account = self.accounts.get(&process.pid());
        let start = account.and_then(|account| account.start.as_ref());
        let is_system = |entry: RuntimeAddr| {
            start.is_some_and(|at| Start::of(at.executable.binary(), at.bias.to_link(entry)) != Start::User)
        };
        let overview = Overview::of(process, LONGEST, &Outlook { waits: self.waits, is_system });
        ProcessState {
            snapshots: account.map_or(0, |account| account.count),
            snapshots_ns: account.map_or(0, |account| account.took_ns),
            failure: account.and_then(|account| account.failure.clone()),
            overview,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingest::event::EventKind;
    use crate::target::Tid;
    use crate::target::id::Goid;

    fn events(times: std::ops::Range<u64>) -> Vec<Event> {
        let kind = || EventKind::Ready { target: Some(Goid(2)), ended: None };
        let event =
            |t| Event { t: MonotonicNs(t), pid: Pid(1), tid: Tid(1), goid: Some(Goid(1)), kind: kind() };
        times.map(event).collect()
    }

    fn opened(window: Arc<Window>) -> (Feed, State) {
        pair(Level::Channels, &Filter::default(), &[], window, unbounded().0)
    }

    fn facts(state: &State) -> Vec<String> {
        let word = |fact| match fact {
            Fact::Events(events) => format!("{} events", events.len()),
            Fact::Lost(lost) => format!("{} lost {}..{}", lost.count, lost.from.0, lost.to.0),
            Fact::Snapshot(..) => "snapshot".to_owned(),
            Fact::Started(..)
            | Fact::Ended(_)
            | Fact::NoSnapshot(..)
            | Fact::Examined(..)
            | Fact::Gap(_)
            | Fact::Coverage(_) => "other".to_owned(),
        };
        state.facts.try_iter().map(word).collect()
    }

    #[test]
    fn what_the_model_does_not_get_in_time_it_is_told_to_have_lost() {
        let (mut feed, state) = opened(Arc::new(Window::open()));
        let most = MOST_ON_THE_WAY as u64;
        assert!(feed.events(&events(0..most)));
        assert!(!feed.events(&events(most..most + 3)));
        assert!(!feed.events(&events(most + 3..most + 5)));
        feed.snapshot(Pid(1), &Arc::default());
        state.on_the_way.store(0, Ordering::Release);
        assert!(feed.events(&events(most + 5..most + 6)));
        let lost = format!("5 lost {most}..{}", most + 4);
        assert_eq!(facts(&state), [format!("{most} events"), lost, "snapshot".into(), "1 events".into()]);
    }

    #[test]
    fn what_happens_after_the_window_is_not_the_models() {
        let window = Arc::new(Window::open());
        let (mut feed, state) = opened(Arc::clone(&window));
        window.close();
        let now = crate::target::host::monotonic_ns();
        assert!(feed.events(&events(now - 1_000_000_000..now - 999_999_998)));
        assert!(feed.events(&events(now + 1..now + 5)));
        assert_eq!(facts(&state), ["2 events"]);
    }
}
