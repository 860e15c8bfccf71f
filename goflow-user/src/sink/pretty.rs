//! What a person reads over SSH: a header, a line for each event as long as a person can follow, then counts by kind and
//! site once a second, losses where they happen, and a summary that says what to do next.
//!
//! In: [`Record`]s; out: lines that fit the terminal. Channels and goroutines are called by the source position they come
//! from ([`book`]). The hard thing is to stay readable at any rate: above [`LINES_PER_SECOND`] the rest of a second is
//! folded ([`fold`]), and what is folded is counted, never dropped.

mod book;
mod findings;
mod fold;
pub(super) mod layout;
mod report;
mod state;
mod totals;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Duration;

use anstyle::{AnsiColor, Style};

use self::book::Book;
use self::fold::{Channels, Detail, Fold, Key, Row};
use self::layout::{Line, counted, cut_end, cut_start, grouped, span};
use self::report::Shown;
use self::state::Looks;
use super::printable::printable;
use super::record::{
    BinaryName, Control, Coverage, FindingChange, Meta, Names, Progress, Record, Setting, Sink, Totals,
};
use super::words;
use crate::ingest::event::{
    ChanAddr, ChanOp, Event, EventKind, Gap, LossPoint, Lost, MonotonicNs, Pid, SyncPrimitive,
};
use crate::model::{Change, Inferred};
use crate::probe::budget::{Budget, LEVELS, Mode};
use crate::probe::catalog::Level;
use crate::target::snapshot::Snapshot;

/// Lines a second that a person can follow; more are folded.
const LINES_PER_SECOND: u64 = 40;

/// Rows of a fold: fits half of a usual terminal.
const FOLD_ROWS: usize = 15;

/// Cases of a `select` whose channels are named on its line.
const CASES: usize = 3;

/// How long one fold lasts, in nanoseconds.
const WINDOW_NS: u64 = 1_000_000_000;

/// How late an event may be here, in nanoseconds: ingest holds events back for 10 ms and pauses for 20 ms.
const LATE_NS: u64 = 100_000_000;

/// How goroutines are called, and at the level that has them, channels ([`book`]).
const LEGEND: [&str; 2] = [
    "g7@a.go:5          goroutine 7, created at a.go:5; g7 alone: where is not known (yet), it is older than the trace",
    "chan int@a.go:5#2  second channel made at a.go:5; a channel that is older has an address",
];

/// Where the text of the legend begins.
const LEGEND_TEXT: usize = 19;

/// Where what follows the time of a line begins.
const BESIDE_TIME: usize = 13;

/// Least columns for what an event is about and where it happened: a name and a line number of each.
const LEAST_BESIDE_KIND: usize = 24;

/// Back to the start of the line, and nothing on it (ECMA-48 CR, EL 2).
pub(crate) const CLEAR_LINE: &str = "\r\x1b[2K";

pub(super) const DIM: Style = Style::new().dimmed();
pub(super) const PLAIN: Style = Style::new();
pub(super) const BOLD: Style = Style::new().bold();
pub(super) const ALARM: Style = AnsiColor::Red.on_default().bold();
const WHO: Style = AnsiColor::Cyan.on_default();

/// How kinds are called on screen, in the order of [`words::KINDS`].
const LABELS: [&str; words::KINDS.len()] = [
    "create",
    "exit",
    "park",
    "ready",
    "chan make",
    "chan send",
    "chan recv",
    "chan close",
    "select",
    "sync wait",
    "wg add",
];

/// Which events are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Events {
    /// All at a readable rate, else counts by kind and site.
    Folded,
    /// Every one.
    Every,
    /// None: header, losses and summary only, because the events go elsewhere.
    None,
}

/// What the output can show.
#[derive(Clone, Copy, Debug)]
pub struct View {
    /// Columns of the terminal; `None` where nothing limits a line, as in a file.
    pub width: Option<usize>,
    /// Whether escape sequences for colours may be written.
    pub colour: bool,
    /// Which events are shown.
    pub events: Events,
    /// Whether one line may be written over and over with how far the session is: only on a terminal of its own.
    pub progress: bool,
    /// What ends the session.
    pub until: Until,
}

/// What ends a session, unless its targets end before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// The person who started it.
    Interrupted,
    /// A time.
    Elapsed(Duration),
    /// The end of the command that goflow started, which Ctrl-C reaches as well.
    CommandEnds,
}

impl Until {
    fn sentence(self) -> String {
        match self {
            Self::Interrupted => "recording; Ctrl-C ends it".to_owned(),
            Self::Elapsed(time) => {
                format!("recording for {}; Ctrl-C ends it sooner", humantime::format_duration(time))
            }
            Self::CommandEnds => "recording until the command ends".to_owned(),
        }
    }
}

/// Writes a session for a person.
pub struct Pretty<W: Write> {
    writer: W,
    out: String,
    view: View,
    book: Book,
    window: Window,
    alarm: Alarm,
    metas: Vec<Meta>,
    first_pid: Option<Pid>,
    many_processes: bool,
    looks: Looks,
    has_column_titles: bool,
    /// What ends the session is to be said, or has been.
    is_until_due: bool,
    has_said_until: bool,
    /// The last line on the screen is one that will be written over.
    has_progress: bool,
    /// How each level is watched, where that has been told.
    modes: BTreeMap<Level, Mode>,
    has_folded: bool,
}

/// Tells of losses. Among events each stands in its place; where only losses are told, one a second is enough, and the
/// summary has them all.
#[derive(Default)]
struct Alarm {
    told_at: Option<MonotonicNs>,
    /// One for each place.
    untold: Vec<Lost>,
}

impl Alarm {
    const PAUSE_NS: u64 = 1_000_000_000;

    /// What is to be told now, each place for itself: what helps at one does not at another.
    fn ring(&mut self, lost: &Lost, events: Events) -> Vec<Lost> {
        if events != Events::None {
            return vec![lost.clone()];
        }
        match self.untold.iter_mut().find(|untold| untold.at == lost.at) {
            Some(untold) => (untold.count, untold.to) = (untold.count + lost.count, lost.to),
            None => self.untold.push(lost.clone()),
        }
        if self.told_at.is_some_and(|told_at| lost.to.0.saturating_sub(told_at.0) < Self::PAUSE_NS) {
            return Vec::new();
        }
        self.told_at = Some(lost.to);
        let mut lost = std::mem::take(&mut self.untold);
        lost.sort_by_key(|lost| lost.to);
        lost
    }
}

/// The current second.
#[derive(Default)]
struct Window {
    from: Option<MonotonicNs>,
    /// The end of the window before. What comes late belongs to this one: a time that was told is not told again.
    floor: MonotonicNs,
    /// The last time in it.
    to: MonotonicNs,
    lines: u64,
    is_folding: bool,
    fold_from: MonotonicNs,
    fold: Fold,
    /// By place.
    lost: BTreeMap<LossPoint, u64>,
    /// Processes that were not seen for a time.
    gaps: u64,
    /// New processes, and those that have ended.
    started: u64,
    ended: u64,
    /// Those that have ended, and whose names are forgotten with the window.
    leaving: Vec<Pid>,
}

impl Window {
    fn is_fold_empty(&self) -> bool {
        self.fold.events() + self.started + self.ended == 0
    }
}

/// Widths of the columns that depend on the terminal's.
struct Columns {
    who: usize,
    what: usize,
    site: usize,
}

impl<W: Write> Pretty<W> {
    /// A sink that writes to `writer`, unbuffered: it does its own buffering.
    pub fn new(writer: W, view: View) -> Self {
        Self {
            writer,
            out: String::new(),
            view,
            book: Book::default(),
            window: Window::default(),
            alarm: Alarm::default(),
            metas: Vec::new(),
            first_pid: None,
            many_processes: false,
            looks: Looks::default(),
            has_column_titles: false,
            is_until_due: false,
            has_said_until: false,
            has_progress: false,
            modes: BTreeMap::new(),
            has_folded: false,
        }
    }

    fn event(&mut self, event: &Event, names: &dyn Names) {
        if self.view.events == Events::None {
            return;
        }
        let t = self.enter_window(event.t);
        let Digest { key, channels } = self.digest(event, names);
        if self.is_line_due(t) {
            self.event_line(event, key);
        } else {
            self.window.fold.add(key, channels);
        }
        if let (EventKind::GoroutineExit, Some(goid)) = (&event.kind, event.goid) {
            self.book.exited(event.pid, goid);
        }
    }

    /// What two snapshots differ by, at the later one.
    fn inferred(&mut self, inferred: &Inferred, names: &dyn Names) {
        if self.view.events == Events::None {
            return;
        }
        let Inferred { pid, since: _, until, goid, ref change } = *inferred;
        self.roll(until);
        self.window.from.get_or_insert(until);
        let book = &mut self.book;
        let (site, detail) = match change {
            Change::Created { parent: _, created_at, start } => {
                let site = book.creation_site(pid, *created_at, *start, names);
                if let Some(site) = site {
                    book.created(pid, goid, site);
                }
                (site, start.map_or(Detail::None, |entry| Detail::Text(book.start(pid, entry, names))))
            }
            Change::Exited | Change::Readied => (book.creation(pid, goid), Detail::None),
            Change::Parked { reason, on: _, stack } => {
                let reason = reason.map(|reason| Detail::Text(book.wait_reason(pid, reason, names)));
                (book.site_of_stack(pid, stack, names), reason.unwrap_or(Detail::None))
            }
        };
        let key = Key { kind: words::change_index(change), site, detail };
        if self.is_line_due(until) {
            self.inferred_line(inferred, key);
        } else {
            self.window.fold.add(key, Channels::None);
        }
        if matches!(change, Change::Exited) {
            self.book.exited(pid, goid);
        }
    }

    fn inferred_line(&mut self, inferred: &Inferred, key: Key) {
        self.column_titles();
        let Inferred { pid, until, goid, .. } = *inferred;
        let name = |goid| self.book.goroutine_name(pid, goid);
        let (who, what) = match &inferred.change {
            Change::Created { parent: Some(parent), .. } => {
                (name(Some(*parent)), format!("g{} {}", goid.0, self.detail(key.detail)))
            }
            Change::Created { parent: None, .. } => {
                ("?".to_owned(), format!("g{} {}", goid.0, self.detail(key.detail)))
            }
            Change::Exited => (name(Some(goid)), key.site.map_or("", |_| "created at").to_owned()),
            Change::Readied => ("?".to_owned(), name(Some(goid))),
            Change::Parked { on, .. } => {
                let object = on.first().map(|on| self.book.object(pid, on)).unwrap_or_default();
                (name(Some(goid)), self.detail(key.detail) + &object)
            }
        };
        let site = key.site.map_or("", |site| self.book.full(site));
        let site = if matches!(inferred.change, Change::Readied) { "" } else { site };
        let line = self.row(self.stamp(until, Some(pid)), Some(&who), key.kind, &what, site);
        self.line(line);
    }

    /// While a session goes on they would be in the way of its events.
    fn totals(&mut self, totals: &Totals, names: &dyn Names) {
        if totals.is_last {
            let many = self.many_processes;
            totals::lines(totals, many, &mut self.book, names).into_iter().for_each(|line| self.line(line));
        }
    }

    /// Decides whether the next thing gets a line of its own, and counts it if so.
    fn is_line_due(&mut self, t: MonotonicNs) -> bool {
        let window = &mut self.window;
        if self.view.events == Events::Every {
            return true;
        }
        if !window.is_folding && window.lines >= LINES_PER_SECOND {
            window.is_folding = true;
        }
        if window.is_folding {
            if window.is_fold_empty() {
                window.fold_from = t;
            }
            return false;
        }
        window.lines += 1;
        true
    }

    /// Takes note of a time in the current window, after ending one that is over; what is earlier than the window is as if
    /// it happened at its start.
    fn enter_window(&mut self, t: MonotonicNs) -> MonotonicNs {
        let t = t.max(self.window.floor);
        self.roll(t);
        self.window.from.get_or_insert(t);
        self.window.to = self.window.to.max(t);
        t
    }

    /// Ends the window if `now` is beyond it.
    fn roll(&mut self, now: MonotonicNs) {
        let Some(from) = self.window.from else { return };
        let end = from.0.saturating_add(WINDOW_NS);
        if now.0 >= end {
            self.close_window(MonotonicNs(end));
        }
    }

    fn close_window(&mut self, end: MonotonicNs) {
        let folded = self.window.fold.events();
        if !self.window.is_fold_empty() {
            self.fold_table(end);
        }
        self.window.fold.clear();
        for pid in self.window.leaving.drain(..) {
            self.book.forget(pid);
        }
        self.window.floor = end;
        self.window.from = None;
        self.window.lines = 0;
        self.window.lost.clear();
        self.window.gaps = 0;
        self.window.started = 0;
        self.window.ended = 0;
        self.window.is_folding = folded > LINES_PER_SECOND;
        if self.book.make_room() {
            self.line(Line::default().text(
                DIM,
                "  (names learned so far were dropped to bound memory; what was made before shows as a number)",
            ));
        }
    }

    /// Learns from an event and tells what it counts as.
    fn digest(&mut self, event: &Event, names: &dyn Names) -> Digest {
        let pid = event.pid;
        let book = &mut self.book;
        let mut channels = Channels::None;
        let (site, detail) = match &event.kind {
            EventKind::GoroutineCreate { child, created_at, start } => {
                let site = book.creation_site(pid, *created_at, *start, names);
                if let (Some(child), Some(site)) = (child, site) {
                    book.created(pid, *child, site);
                }
                (site, start.map_or(Detail::None, |entry| Detail::Text(book.start(pid, entry, names))))
            }
            EventKind::GoroutineExit => (event.goid.and_then(|goid| book.creation(pid, goid)), Detail::None),
            EventKind::Park { reason, lock: _, stack } => {
                let reason = book.wait_reason(pid, *reason, names);
                (book.site_of_stack(pid, stack, names), Detail::Text(reason))
            }
            EventKind::Ready { target, ended: None } => {
                (target.and_then(|goid| book.creation(pid, goid)), Detail::None)
            }
            EventKind::Ready { target: _, ended: Some(ended) } => {
                let reason = book.wait_reason(pid, ended.reason, names);
                (book.site_of_stack(pid, &ended.stack, names), Detail::Text(reason))
            }
            EventKind::ChanMake { chan, elem_type, site, cap: _, elem_size: _ } => {
                let site = site.map(|pc| book.site(pid, pc, names));
                let elem_type = elem_type.and_then(|descriptor| book.elem_type(pid, descriptor, names));
                if let (Some(chan), Some(site)) = (chan, site) {
                    book.made(pid, *chan, elem_type, site);
                }
                (site, elem_type.map_or(Detail::None, Detail::Text))
            }
            EventKind::ChanSend(op) | EventKind::ChanRecv(op) | EventKind::ChanClose(op) => {
                if let Some(chan) = op.chan {
                    channels = Channels::One(pid, chan, book.elem_type_of(pid, chan));
                }
                (op.site.map(|pc| book.site(pid, pc, names)), Detail::None)
            }
            EventKind::Select { sends, receives, site, blocking: _, chans: _ } => {
                (site.map(|pc| book.site(pid, pc, names)), Detail::Cases(*sends, *receives))
            }
            EventKind::SyncWait { primitive, site, addr: _, reason: _ } => {
                (site.map(|pc| book.site(pid, pc, names)), Detail::Sync(*primitive))
            }
            EventKind::WaitGroupAdd { site, addr: _, delta: _, state: _ } => {
                let detail = Detail::Sync(SyncPrimitive::WaitGroup);
                (site.map(|pc| book.site(pid, pc, names)), detail)
            }
        };
        Digest { key: Key { kind: words::kind_index(&event.kind), site, detail }, channels }
    }

    fn event_line(&mut self, event: &Event, key: Key) {
        self.column_titles();
        let who = self.book.goroutine_name(event.pid, event.goid);
        let what = self.what(event, key);
        let site = key.site.map_or("", |site| self.book.full(site));
        let site = if matches!(event.kind, EventKind::Ready { ended: None, .. }) { "" } else { site };
        let line = self.row(self.stamp(event.t, Some(event.pid)), Some(&who), key.kind, &what, site);
        self.line(line);
    }

    /// A line of the table that begins with `start`: in columns, or one after the other where the columns would be too narrow
    /// to say anything.
    fn row(&self, start: Line, who: Option<&str>, kind: usize, what: &str, site: &str) -> Line {
        let label = LABELS[kind];
        let Some(columns) = self.columns() else {
            let cells = [(WHO, who.unwrap_or("")), (BOLD, label), (PLAIN, what), (DIM, site)];
            let cells = cells.into_iter().filter(|(_, text)| !text.is_empty());
            return cells
                .fold(start, |line, (style, text)| line.column(style, text, 0))
                .wrapping(BESIDE_TIME);
        };
        let (line, site_width) = match who {
            Some(who) => (start.column(WHO, &cut_end(who, columns.who), columns.who), columns.site),
            None => (start, columns.site + columns.who),
        };
        line.column(BOLD, label, 10)
            .column(PLAIN, &cut_end(what, columns.what), columns.what.min(40))
            .text(DIM, cut_start(site, site_width))
    }

    /// What one event is about, beside its goroutine, kind and site.
    fn what(&self, event: &Event, key: Key) -> String {
        let book = &self.book;
        match &event.kind {
            EventKind::GoroutineCreate { child, .. } => {
                let child = child.map_or("g?".to_owned(), |goid| format!("g{}", goid.0));
                format!("{child} {}", self.detail(key.detail))
            }
            EventKind::GoroutineExit => key.site.map_or("", |_| "created at").to_owned(),
            EventKind::Park { .. } => self.detail(key.detail),
            EventKind::Ready { target, ended: None } => book.goroutine_name(event.pid, *target),
            EventKind::Ready { target, ended: Some(ended) } => {
                let waited = span(event.t.0.saturating_sub(ended.since.0));
                format!(
                    "{} after {waited}, {}",
                    book.goroutine_name(event.pid, *target),
                    self.detail(key.detail)
                )
            }
            EventKind::ChanMake { chan, cap, .. } => {
                let name = chan.map_or("chan ?".to_owned(), |chan| book.channel_name_here(event.pid, chan));
                format!("{name}{}", buffer(*cap))
            }
            EventKind::ChanSend(op) | EventKind::ChanRecv(op) => {
                self.channel_op(event.pid, op) + if op.blocking { "" } else { ", non-blocking" }
            }
            EventKind::ChanClose(op) => self.channel_op(event.pid, op),
            EventKind::Select { sends, receives, blocking, chans, site: _ } => {
                let cases = match chans.as_deref() {
                    Some(chans @ [_, ..]) => self.cases(event.pid, *sends, *receives, chans),
                    Some([]) | None => self.detail(key.detail),
                };
                cases + if *blocking { "" } else { ", with default" }
            }
            EventKind::SyncWait { addr, .. } => format!("{} {addr}", self.detail(key.detail)),
            EventKind::WaitGroupAdd { addr, delta, state, site: _ } => {
                let had = state.map_or_else(String::new, |state| {
                    let waiters = counted(state.waiters.into(), "waiter");
                    format!(", {} before, {waiters}", state.counter)
                });
                format!("{} {addr} {delta:+}{had}", self.detail(key.detail))
            }
        }
    }

    fn channel_op(&self, pid: Pid, op: &ChanOp) -> String {
        let cap = op.chan.and_then(|chan| self.book.untold_cap(pid, chan));
        self.channel_or_nil(pid, op.chan) + &buffer(cap)
    }

    fn channel_or_nil(&self, pid: Pid, chan: Option<ChanAddr>) -> String {
        match chan {
            None => "nil channel".to_owned(),
            Some(chan) => self.book.channel_name(pid, chan),
        }
    }

    /// The channels of a `select`, sends first: `send chan int@a.go:5#1; recv nil channel and 2 more`.
    fn cases(&self, pid: Pid, sends: u32, receives: u32, chans: &[Option<ChanAddr>]) -> String {
        let shown = &chans[..chans.len().min(CASES)];
        let (sent, received) = shown.split_at(shown.len().min(sends as usize));
        let named = |op: &str, chans: &[Option<ChanAddr>]| {
            let names = chans.iter().map(|chan| self.channel_or_nil(pid, *chan)).collect::<Vec<_>>();
            (!names.is_empty()).then(|| format!("{op} {}", names.join(", ")))
        };
        let ops = [named("send", sent), named("recv", received)].into_iter().flatten().collect::<Vec<_>>();
        let more = (sends as usize + receives as usize).saturating_sub(shown.len());
        ops.join("; ") + &if more > 0 { format!(" and {more} more") } else { String::new() }
    }

    fn detail(&self, detail: Detail) -> String {
        match detail {
            Detail::None => String::new(),
            Detail::Text(id) => self.book.text(id).to_owned(),
            Detail::Sync(primitive) => words::primitive(primitive).to_owned(),
            Detail::Cases(sends, receives) => {
                format!("{}, {}", counted(sends.into(), "send"), counted(receives.into(), "receive"))
            }
        }
    }

    fn fold_table(&mut self, end: MonotonicNs) {
        let (rows, left_rows, left_events) = self.window.fold.top(FOLD_ROWS);
        self.fold_heading(end);
        self.has_folded = true;
        for (key, row) in rows {
            self.fold_row(key, row);
        }
        if left_rows > 0 {
            let rest = format!("at {left_rows} more {}", words::plural(left_rows as u64, "site"));
            self.line(Line::default().number(DIM, &grouped(left_events), 12).text(DIM, rest));
        }
    }

    fn fold_heading(&mut self, end: MonotonicNs) {
        let window = &self.window;
        let places = window.lost.iter().enumerate().map(|(n, (at, lost))| {
            let alarm = if n == 0 { " LOST" } else { "" };
            format!("{}{alarm} in the {}", grouped(*lost), words::loss_point(*at))
        });
        let hidden = (window.gaps > 0).then(|| format!("LOST around {}", counted(window.gaps, "exec")));
        let lost = places.chain(hidden).collect::<Vec<_>>().join(", ");
        let (lost, lost_style) = if lost.is_empty() { ("none lost".to_owned(), DIM) } else { (lost, ALARM) };
        let mut processes = String::new();
        if window.started > 0 {
            let new = words::plural(window.started, "process");
            processes.push_str(&format!(", {} new {new}", grouped(window.started)));
        }
        if window.ended > 0 {
            processes.push_str(&format!(", {} ended", counted(window.ended, "process")));
        }
        let line = Line::default()
            .text(BOLD, format!("{:>11} to {} s  ", self.seconds(window.fold_from), self.seconds(end)))
            .text(BOLD, counted(window.fold.events(), "event"))
            .text(DIM, format!(" by kind and site{processes}, "))
            .text(lost_style, lost)
            .text(DIM, if self.has_folded { "" } else { " (--all prints every one)" })
            .wrapping(BESIDE_TIME);
        self.line(line);
    }

    fn fold_row(&mut self, key: Key, row: Row) {
        let what = match (LABELS[key.kind], row.channels) {
            ("chan send" | "chan recv" | "chan close", Channels::None) => "nil channel".to_owned(),
            (_, Channels::One(pid, chan, _)) => {
                self.book.channel_name(pid, chan) + &buffer(self.book.untold_cap(pid, chan))
            }
            (_, Channels::Several(Some(elem_type))) => format!("several chan {}", self.book.text(elem_type)),
            (_, Channels::Several(None)) => "several channels".to_owned(),
            ("ready", Channels::None) if key.detail != Detail::None => {
                format!("after {}", self.detail(key.detail))
            }
            ("ready" | "exit", Channels::None) => {
                key.site.map_or("older goroutines", |_| "goroutines from").to_owned()
            }
            ("chan make", Channels::None) => format!("chan {}", self.detail(key.detail)),
            (_, Channels::None) => self.detail(key.detail),
        };
        let site = key.site.map_or("", |site| self.book.full(site));
        let count = Line::default().number(BOLD, &grouped(row.count), 12);
        let line = self.row(count, None, key.kind, &what, site);
        self.line(line);
    }

    fn process(&mut self, pid: Pid, binary: &BinaryName) {
        self.book.forget(pid);
        self.window.leaving.retain(|leaving| *leaving != pid);
        self.many_processes |= *self.first_pid.get_or_insert(pid) != pid;
        if self.view.events == Events::None {
            return;
        }
        // The record has no time of its own; it happens where it stands between the events.
        let now = self.window.from.unwrap_or(self.window.floor.max(self.zero()));
        if self.is_line_due(now) {
            let text = format!("process {} runs {}", pid.0, printable(&binary.to_string()));
            self.line(Line::default().text(DIM, format!("{:>11}  {text}", "")).wrapping(BESIDE_TIME));
        } else {
            self.window.started += 1;
        }
    }

    fn process_exit(&mut self, pid: Pid, t: MonotonicNs) {
        if self.window.is_fold_empty() {
            self.book.forget(pid);
        } else {
            // What is folded is still to be told, by its names.
            self.window.leaving.push(pid);
        }
        self.looks.forget(pid);
        if self.view.events == Events::None {
            return;
        }
        let window_t = self.enter_window(t);
        if self.is_line_due(window_t) {
            let line = self.stamp(t, None).text(DIM, format!("process {} has ended", pid.0));
            self.line(line);
        } else {
            self.window.ended += 1;
        }
    }

    /// Whoever was created before the probes were in gets its name from a snapshot, and so do channels; of those the summary
    /// tells as well.
    fn learn(&mut self, pid: Pid, snapshot: &Snapshot, names: &dyn Names) {
        self.book.waited_on(pid, &snapshot.channels, names);
        if self.view.events == Events::None {
            return;
        }
        for goroutine in &snapshot.goroutines {
            self.book.existed(pid, goroutine, names);
        }
    }

    fn lost(&mut self, lost: &Lost) {
        *self.window.lost.entry(lost.at).or_default() += lost.count;
        if self.window.is_folding {
            return;
        }
        let level = self.metas.first().map_or("", |meta| meta.level);
        for lost in self.alarm.ring(lost, self.view.events) {
            let (from, why) = (self.seconds(lost.from), loss_reason(lost.at));
            let remedy = report::remedy(lost.at, level, self.view.events);
            let line = self
                .stamp(lost.to, None)
                .text(ALARM, format!("LOST {}", counted(lost.count, "event")))
                .text(PLAIN, format!(" since {from} s: {why}; {remedy}"))
                .wrapping(BESIDE_TIME);
            self.line(line);
        }
    }

    /// Tells what was not seen, which is rare enough for a line of its own at any time.
    fn gap(&mut self, Gap { pid, from, to }: Gap) {
        self.window.gaps += 1;
        let why = "it executed its program anew from another thread than its first, and is seen again";
        let line = self
            .stamp(to, None)
            .text(ALARM, format!("LOST what process {} did", pid.0))
            .text(PLAIN, format!(" since {} s: {why}", self.seconds(from)))
            .wrapping(BESIDE_TIME);
        self.line(line);
    }

    /// Tells when levels are watched in another way from here on, and not of every window. What changes together and alike is one
    /// line.
    fn coverage(&mut self, together: &[Coverage]) {
        let mut told: Vec<(Mode, Mode, MonotonicNs, Vec<Level>)> = Vec::new();
        for Coverage { level, t, is_watched: _, mode } in together {
            let at_start = self.mode_at_start(*level);
            let before = self.modes.insert(*level, *mode).unwrap_or(at_start);
            if before == *mode {
                continue;
            }
            if (before, at_start, *level) == (Mode::Off, Mode::Off, Level::Channels) && self.has_column_titles
            {
                // Those of a higher level are named now.
                self.line(Line::default().text(DIM, LEGEND[1]).wrapping(LEGEND_TEXT));
            }
            match told.iter_mut().find(|(from, to, ..)| (*from, *to) == (before, *mode)) {
                Some((.., levels)) => levels.push(*level),
                None => told.push((before, *mode, *t, vec![*level])),
            }
        }
        for (before, mode, t, mut levels) in told {
            levels.sort_unstable();
            let (style, text) = change_of_mode(before, mode);
            let line = self
                .stamp(t, None)
                .text(style, format!("{}: {text}", of_levels(&levels)))
                .wrapping(BESIDE_TIME);
            self.line(line);
        }
    }

    fn mode_at_start(&self, level: Level) -> Mode {
        let of = |meta: &Meta| LEVELS.into_iter().find(|known| known.name() == meta.level);
        if Some(level) <= self.metas.first().and_then(of) { Mode::Continuous } else { Mode::Off }
    }

    /// Tells what somebody has changed.
    fn control(&mut self, Control { t, change }: Control) {
        let budget = |share: Option<f64>| share.map_or(Budget::Unlimited, Budget::Share);
        let text = match change {
            Setting::Level { from, to } => format!("level {to} from here on, it was {from}"),
            Setting::Budget { from, to } => {
                format!("budget {} from here on, it was {}", budget(to), budget(from))
            }
        };
        let line = self.stamp(t, None).text(BOLD, format!("goflow ctl: {text}")).wrapping(BESIDE_TIME);
        self.line(line);
    }

    /// Tells what has turned out to be wrong, which is rare enough for lines of its own at any time.
    fn finding(&mut self, change: &FindingChange) {
        let stamp = self.stamp(change.t, Some(change.pid));
        findings::change(stamp, change).into_iter().for_each(|line| self.line(line));
    }

    /// After the last header.
    fn say_until(&mut self) {
        if std::mem::take(&mut self.is_until_due) {
            self.has_said_until = true;
            self.line(Line::default().text(DIM, self.view.until.sentence()).wrapping(2));
        }
    }

    fn column_titles(&mut self) {
        if self.has_column_titles {
            return;
        }
        self.has_column_titles = true;
        let has_channels = self.metas.first().is_some_and(|meta| meta.level == "channels");
        for text in LEGEND.iter().take(if has_channels { 2 } else { 1 }) {
            self.line(Line::default().text(DIM, *text).wrapping(LEGEND_TEXT));
        }
        let pid = if self.many_processes { format!("{:<8}  ", "pid") } else { String::new() };
        let line = Line::default().text(DIM, format!("{:>11}  {pid}", "seconds"));
        let line = match self.columns() {
            Some(columns) => line
                .column(DIM, "goroutine", columns.who)
                .column(DIM, "event", 10)
                .column(DIM, "what", columns.what.min(40))
                .text(DIM, "where"),
            None => line.text(DIM, "goroutine  event  what  where").wrapping(BESIDE_TIME),
        };
        self.line(line);
    }

    /// Time, and the process where there is more than one.
    fn stamp(&self, t: MonotonicNs, pid: Option<Pid>) -> Line {
        let line = Line::default().number(DIM, &self.seconds(t), 11);
        match pid {
            Some(pid) if self.many_processes => line.column(DIM, &pid.0.to_string(), 8),
            _ => line,
        }
    }

    /// Seconds since the session started.
    fn seconds(&self, t: MonotonicNs) -> String {
        let since = t.0.saturating_sub(self.zero().0);
        format!("{}.{:06}", since / 1_000_000_000, since / 1_000 % 1_000_000)
    }

    fn zero(&self) -> MonotonicNs {
        self.metas.first().map_or(MonotonicNs(0), |meta| meta.start)
    }

    /// `None` on a terminal that has no room for columns.
    fn columns(&self) -> Option<Columns> {
        let Some(width) = self.view.width else {
            return Some(Columns { who: 24, what: usize::MAX, site: usize::MAX / 2 });
        };
        let who = (width / 6).clamp(9, 24);
        let fixed = 11 + 10 + 8 + if self.many_processes { 10 } else { 0 };
        let rest = width.saturating_sub(fixed + who);
        let what = rest * 45 / 100;
        (rest >= LEAST_BESIDE_KIND).then_some(Columns { who, what, site: rest - what })
    }

    fn progress(&mut self, progress: &Progress) {
        if !self.view.progress {
            return;
        }
        self.clear_progress();
        let line = report::progress(progress).finish(self.view.width, self.view.colour);
        self.out.push_str(line.trim_end_matches('\n'));
        self.has_progress = true;
    }

    fn clear_progress(&mut self) {
        if std::mem::take(&mut self.has_progress) {
            self.out.push_str(CLEAR_LINE);
        }
    }

    fn line(&mut self, line: Line) {
        self.clear_progress();
        let text = line.finish(self.view.width, self.view.colour);
        self.out.push_str(&text);
    }

    fn drain(&mut self) -> io::Result<()> {
        self.writer.write_all(self.out.as_bytes())?;
        self.out.clear();
        Ok(())
    }
}

impl<W: Write> Sink for Pretty<W> {
    fn write(&mut self, record: &Record, names: &dyn Names) -> io::Result<()> {
        if !matches!(record, Record::Meta(_)) {
            self.say_until();
        }
        match record {
            Record::Event(event) => self.event(event, names),
            Record::Inferred(inferred) => self.inferred(inferred, names),
            Record::Lost(lost) => self.lost(lost),
            Record::Gap(gap) => self.gap(*gap),
            Record::Coverage(together) => self.coverage(together),
            Record::Control(control) => self.control(*control),
            Record::Finding(change) => self.finding(change),
            Record::ProcessStart { pid, binary } => self.process(*pid, binary),
            Record::Totals(totals) => self.totals(totals, names),
            Record::Progress(progress) => self.progress(progress),
            Record::Snapshot { pid, snapshot } => {
                self.looks.look(*pid, snapshot);
                self.learn(*pid, snapshot, names);
            }
            Record::ProcessExit { pid, t } => self.process_exit(*pid, *t),
            Record::Meta(meta) => {
                for line in report::header(meta) {
                    self.line(line);
                }
                self.is_until_due = self.view.events == Events::None && !self.has_said_until;
                if let Some(module) = &meta.module {
                    self.book.know_module(module);
                }
                self.metas.push((**meta).clone());
            }
            Record::Summary(summary) => {
                // Some events are later than the window: the probes come out one after the other.
                let attach_ns = self.metas.first().map_or(0, |meta| meta.attach_ns);
                let end = MonotonicNs(self.zero().0.saturating_add(attach_ns + summary.duration_ns));
                self.close_window(end.max(self.window.to));
                let state = state::lines(summary, summary.level, &mut self.book, names);
                let events = self.view.events;
                let is_whole = events == Events::Every || events == Events::Folded && !self.has_folded;
                let shown = Shown { events, is_whole, width: self.view.width };
                for line in report::summary(summary, &self.metas, &self.looks, &shown, state) {
                    self.line(line);
                }
            }
        }
        if self.out.len() >= 64 * 1024 { self.drain() } else { Ok(()) }
    }

    fn flush(&mut self, now: MonotonicNs) -> io::Result<()> {
        // What happened just now may still be on its way here.
        self.roll(MonotonicNs(now.0.saturating_sub(LATE_NS)));
        self.say_until();
        self.drain()?;
        self.writer.flush()
    }
}

impl<W: Write> Drop for Pretty<W> {
    fn drop(&mut self) {
        self.clear_progress();
        // After an error there may be nobody to write to.
        let _ = self.drain();
    }
}

/// An event as it is counted.
struct Digest {
    key: Key,
    channels: Channels,
}

/// A channel's buffer, as a suffix.
fn buffer(cap: Option<u64>) -> String {
    match cap {
        Some(0) => " (unbuffered)".to_owned(),
        Some(cap) => format!(" (buffer {cap})"),
        None => String::new(),
    }
}

fn of_levels(levels: &[Level]) -> String {
    let names: Vec<&str> = levels.iter().map(|level| level.name()).collect();
    match names.as_slice() {
        [one] => format!("level {one}"),
        [all @ .., last] => format!("levels {} and {last}", all.join(", ")),
        [] => String::new(),
    }
}

/// What it means that a level is watched in another way.
fn change_of_mode(before: Mode, now: Mode) -> (Style, &'static str) {
    match (before, now) {
        (Mode::Off, Mode::Continuous) => (DIM, "every event is seen from here on"),
        (_, Mode::Continuous) => (DIM, "every event is seen again"),
        (_, Mode::Off) => (BOLD, "no event is seen from here on: it is switched off"),
        (_, Mode::Sampled) => {
            (BOLD, "events are seen in short windows from here on: all of them cost more than --budget")
        }
        // Windows are only where probes can be taken out quickly.
        (Mode::Sampled, Mode::Removed) => {
            (ALARM, "no event is seen any more: the probes could not be put in again")
        }
        (Mode::Continuous | Mode::Removed | Mode::Off, Mode::Removed) => (
            ALARM,
            "no event is seen from here on: they cost more than --budget, and probes cannot be taken out quickly here",
        ),
    }
}

/// Why events are missing.
fn loss_reason(at: LossPoint) -> &'static str {
    match at {
        LossPoint::Ring => "the ring buffer was full",
        LossPoint::Sink => "the output could not keep up",
        LossPoint::Decode => "a record could not be decoded",
    }
}

#[cfg(test)]
mod tests;
