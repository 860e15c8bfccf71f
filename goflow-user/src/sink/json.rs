//! JSON lines: one object a line, in the schema of `docs/events.md`, fast enough to keep every event.
//!
//! In: [`Record`]s; out: bytes in a writer. An absent field does not apply; `null` means that it could not be read.
//! Event lines are written by hand into one reused buffer, and everything that has to be looked up and escaped
//! (source positions, wait reasons, type names) is rendered once and kept in [`fragment`]; the few other lines go through
//! serde. The hard thing is that the target chooses the addresses, so whatever is kept is bounded.

mod documents;
mod fragment;
mod line;
mod state;
mod totals;

pub(in crate::sink) use state::{BlockedObject, Hex};

use std::io::{self, Write};

use self::fragment::Fragments;
use self::line::Line;
use super::record::{Names, Record, Sink};
use super::words;
use crate::binary::addr::RuntimeAddr;
use crate::ingest::event::{
    ChanAddr, ChanOp, EndedPark, Event, EventKind, Goid, MonotonicNs, Pid, WaitReason,
};
use crate::model::{Change, Inferred};

/// Version of the line schema, in every `meta` line. Fields are only ever added under one version.
pub const SCHEMA_VERSION: u32 = 1;

/// Bytes after which the buffer goes out even in the middle of a batch; large enough that a write costs less than a
/// hundredth of the time that filling it takes.
const WRITE_AT: usize = 128 * 1024;

/// The address by which JSON names a nil channel.
const NIL: u64 = 0;

/// Writes a session as JSON lines.
pub struct Json<W> {
    writer: W,
    out: Vec<u8>,
    fragments: Fragments,
}

impl<W: Write> Json<W> {
    /// A sink that writes to `writer`, unbuffered: it does its own buffering.
    pub fn new(writer: W) -> Self {
        Self { writer, out: Vec::with_capacity(WRITE_AT + 16 * 1024), fragments: Fragments::default() }
    }

    fn drain(&mut self) -> io::Result<()> {
        self.writer.write_all(&self.out)?;
        self.out.clear();
        Ok(())
    }
}

impl<W: Write> Sink for Json<W> {
    fn write(&mut self, record: &Record, names: &dyn Names) -> io::Result<()> {
        match record {
            Record::Event(event) => {
                EventWriter { pid: event.pid, fragments: &mut self.fragments, names }
                    .event(&mut self.out, event);
            }
            Record::Inferred(inferred) => {
                EventWriter { pid: inferred.pid, fragments: &mut self.fragments, names }
                    .inferred(&mut self.out, inferred)?;
            }
            Record::Meta(meta) => documents::meta(&mut self.out, meta)?,
            Record::ProcessStart { pid, binary } => {
                self.fragments.forget(*pid);
                documents::process(&mut self.out, *pid, binary)?;
            }
            Record::ProcessExit { pid, t } => {
                self.fragments.forget(*pid);
                documents::process_exit(&mut self.out, *pid, *t)?;
            }
            Record::Lost(lost) => documents::lost(&mut self.out, lost)?,
            Record::Gap(gap) => documents::gap(&mut self.out, *gap)?,
            Record::Coverage(together) => documents::coverage(&mut self.out, together)?,
            Record::Totals(totals) => totals::line(&mut self.out, totals, names)?,
            Record::Progress(progress) => documents::progress(&mut self.out, progress)?,
            Record::Control(control) => documents::control(&mut self.out, *control)?,
            Record::Finding(change) => documents::finding(&mut self.out, change)?,
            Record::Snapshot { pid, snapshot } => documents::snapshot(&mut self.out, *pid, snapshot)?,
            Record::Summary(summary) => documents::summary(&mut self.out, summary, names)?,
        }
        self.out.push(b'\n');
        if self.out.len() >= WRITE_AT { self.drain() } else { Ok(()) }
    }

    fn flush(&mut self, _now: MonotonicNs) -> io::Result<()> {
        self.drain()?;
        self.writer.flush()
    }
}

/// Writes one event line; `pid` decides what its addresses mean.
struct EventWriter<'a> {
    pid: Pid,
    fragments: &'a mut Fragments,
    names: &'a dyn Names,
}

impl EventWriter<'_> {
    fn event(&mut self, out: &mut Vec<u8>, event: &Event) {
        self.fragments.make_room();
        let mut line = Line(out);
        line.raw(b"{\"type\":\"event\",\"t_ns\":").number(event.t.0);
        line.raw(b",\"pid\":").number(event.pid.0.into());
        line.raw(b",\"tid\":").number(event.tid.0.into());
        line.raw(b",\"goid\":").number_or_null(event.goid.map(|goid| goid.0));
        line.raw(b",\"kind\":\"").raw(words::kind(&event.kind).as_bytes()).raw(b"\"");
        self.kind(&mut line, &event.kind);
        line.raw(b"}");
    }

    /// What two snapshots differ by. Of a creation the actor is the creator, as it is for a probe.
    fn inferred(&mut self, out: &mut Vec<u8>, inferred: &Inferred) -> io::Result<()> {
        self.fragments.make_room();
        let actor = match &inferred.change {
            Change::Created { parent, .. } => *parent,
            Change::Readied => None,
            Change::Exited | Change::Parked { .. } => Some(inferred.goid),
        };
        let mut line = Line(out);
        line.raw(b"{\"type\":\"event\",\"source\":\"snapshot\",\"t_ns\":").number(inferred.until.0);
        line.raw(b",\"since_ns\":").number(inferred.since.0);
        line.raw(b",\"pid\":").number(inferred.pid.0.into());
        line.raw(b",\"goid\":").number_or_null(actor.map(|goid| goid.0));
        let kind = words::KINDS[words::change_index(&inferred.change)];
        line.raw(b",\"kind\":\"").raw(kind.as_bytes()).raw(b"\"");
        match &inferred.change {
            Change::Created { parent: _, created_at, start } => {
                line.raw(b",\"child\":").number(inferred.goid.0);
                self.call(&mut line, b",\"created_at\":", *created_at);
                self.start(&mut line, *start);
            }
            Change::Exited => {}
            Change::Readied => _ = line.raw(b",\"target\":").number(inferred.goid.0),
            Change::Parked { reason, on, stack } => {
                match reason {
                    Some(reason) => self.wait_reason(&mut line, *reason),
                    None => _ = line.raw(b",\"wait_reason\":null"),
                }
                line.raw(b",\"blocked_on\":");
                let on: Vec<BlockedObject> = on.iter().map(BlockedObject::from).collect();
                serde_json::to_writer(&mut *line.0, &on)?;
                self.stack(&mut line, stack);
            }
        }
        line.raw(b"}");
        Ok(())
    }

    fn kind(&mut self, line: &mut Line<'_>, kind: &EventKind) {
        match kind {
            EventKind::GoroutineCreate { child, created_at, start } => {
                line.raw(b",\"child\":").number_or_null(child.map(|Goid(goid)| goid));
                self.call(line, b",\"created_at\":", *created_at);
                self.start(line, *start);
            }
            EventKind::GoroutineExit => {}
            EventKind::Park { reason, lock: _, stack } => {
                self.wait_reason(line, *reason);
                self.stack(line, stack);
            }
            EventKind::Ready { target, ended } => {
                line.raw(b",\"target\":").number_or_null(target.map(|Goid(goid)| goid));
                if let Some(EndedPark { since, reason, lock: _, stack }) = ended.as_deref() {
                    line.raw(b",\"parked_ns\":").number(since.0);
                    self.wait_reason(line, *reason);
                    self.stack(line, stack);
                }
            }
            EventKind::ChanMake { chan, cap, elem_size, elem_type, site } => {
                line.raw(b",\"chan\":").hex_or_null(chan.map(|ChanAddr(addr)| addr));
                line.raw(b",\"cap\":").number_or_null(*cap);
                self.elem_type(line, *elem_type);
                line.raw(b",\"elem_size\":").number_or_null(elem_size.map(u64::from));
                self.call(line, b",\"site\":", *site);
            }
            EventKind::ChanSend(op) | EventKind::ChanRecv(op) => {
                self.chan_op(line, op);
                line.raw(b",\"blocking\":").boolean(op.blocking);
            }
            EventKind::ChanClose(op) => self.chan_op(line, op),
            EventKind::Select { sends, receives, blocking, chans, site } => {
                cases(line, *sends, *receives, chans.as_deref());
                line.raw(b",\"blocking\":").boolean(*blocking);
                self.call(line, b",\"site\":", *site);
            }
            EventKind::SyncWait { primitive, addr, reason, site } => {
                line.raw(b",\"sync\":\"").raw(words::primitive(*primitive).as_bytes()).raw(b"\"");
                line.raw(b",\"addr\":").hex(addr.0);
                if let Some(reason) = reason {
                    self.wait_reason(line, *reason);
                }
                self.user(line, b",\"site\":", *site);
            }
            EventKind::WaitGroupAdd { addr, delta, state, site } => {
                line.raw(b",\"addr\":").hex(addr.0);
                line.raw(b",\"delta\":").signed(*delta);
                if *delta > 0 {
                    let counter = state.map(|state| i64::from(state.counter));
                    line.raw(b",\"counter\":").signed_or_null(counter);
                    line.raw(b",\"waiters\":").number_or_null(state.map(|state| state.waiters.into()));
                }
                self.user(line, b",\"site\":", *site);
            }
        }
    }

    fn chan_op(&mut self, line: &mut Line<'_>, op: &ChanOp) {
        line.raw(b",\"chan\":").hex(op.chan.map_or(NIL, |chan| chan.0));
        self.call(line, b",\"site\":", op.site);
    }

    fn call(&mut self, line: &mut Line<'_>, key: &[u8], pc: Option<RuntimeAddr>) {
        line.raw(key);
        match pc {
            Some(pc) => line.raw(self.fragments.call(self.pid, pc, self.names).innermost),
            None => line.raw(b"null"),
        };
    }

    /// As [`Self::call`], past the code of the sync object.
    fn user(&mut self, line: &mut Line<'_>, key: &[u8], pc: Option<RuntimeAddr>) {
        line.raw(key);
        match pc {
            Some(pc) => line.raw(self.fragments.call(self.pid, pc, self.names).user),
            None => line.raw(b"null"),
        };
    }

    fn start(&mut self, line: &mut Line<'_>, entry: Option<RuntimeAddr>) {
        line.raw(b",\"start\":");
        match entry {
            Some(entry) => line.raw(self.fragments.start(self.pid, entry, self.names)),
            None => line.raw(b"null"),
        };
    }

    fn stack(&mut self, line: &mut Line<'_>, stack: &[RuntimeAddr]) {
        line.raw(b",\"stack\":[");
        for (depth, pc) in stack.iter().enumerate() {
            if depth > 0 {
                line.raw(b",");
            }
            line.raw(self.fragments.call(self.pid, *pc, self.names).frames);
        }
        line.raw(b"]");
    }

    fn wait_reason(&mut self, line: &mut Line<'_>, reason: WaitReason) {
        line.raw(b",\"wait_reason\":").raw(self.fragments.wait_reason(self.pid, reason, self.names));
    }

    fn elem_type(&mut self, line: &mut Line<'_>, descriptor: Option<RuntimeAddr>) {
        line.raw(b",\"elem_type\":");
        match descriptor {
            Some(descriptor) => line.raw(self.fragments.elem_type(self.pid, descriptor, self.names)),
            None => line.raw(b"null"),
        };
    }
}

/// The counts tell how many cases there are; `cases` lists the first of them, sends before receives.
fn cases(line: &mut Line<'_>, sends: u32, receives: u32, chans: Option<&[Option<ChanAddr>]>) {
    line.raw(b",\"sends\":").number(sends.into());
    line.raw(b",\"receives\":").number(receives.into());
    let Some(chans) = chans else {
        line.raw(b",\"cases\":null");
        return;
    };
    line.raw(b",\"cases\":[");
    for (index, chan) in chans.iter().enumerate() {
        let is_send = u32::try_from(index).is_ok_and(|index| index < sends);
        line.raw(if index > 0 { b"," } else { b"" });
        line.raw(if is_send { b"{\"op\":\"send\",\"chan\":" } else { b"{\"op\":\"recv\",\"chan\":" });
        line.hex(chan.map_or(NIL, |ChanAddr(addr)| addr)).raw(b"}");
    }
    line.raw(b"]");
}

#[cfg(test)]
mod tests;
