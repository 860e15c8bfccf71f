//! The program `counts`: what it says it did, against what goflow saw.
//!
//! In: the JSON line of `tests/programs/counts` and a [`Session`]; out: every difference, goroutine by goroutine. The
//! hard thing is what not to compare: the runtime's own goroutines are not in the script, and the observing goroutine
//! takes a semaphore whenever it looks, as the program's header says.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::stream::{Event, Kind, Position, Session};

/// What the program did.
#[derive(Debug, Deserialize)]
pub struct Script {
    /// `runtime.Version()`.
    pub go: String,
    /// It called into C.
    pub cgo: bool,
    /// Every goroutine of the script, parents first.
    pub goroutines: Vec<Tally>,
}

/// What one goroutine did.
#[derive(Debug, Deserialize)]
pub struct Tally {
    /// Its id.
    pub goid: u64,
    /// Its creator; 0 for main.
    pub parent: u64,
    /// Function with the `go` statement.
    pub created_by: String,
    /// `file:line` of the `go` statement.
    pub created_at: String,
    /// It has ended.
    pub exited: bool,
    goroutine_create: u64,
    chan_make: u64,
    chan_send: u64,
    chan_recv: u64,
    chan_close: u64,
    select: u64,
    semaphore: Option<u64>,
    mutex: u64,
    rwmutex: u64,
    waitgroup: u64,
    waitgroup_add: u64,
    cond: u64,
    readies: u64,
    woken: u64,
    timer_woken: u64,
    /// How often it parked, by the reason that the runtime's traceback gave.
    pub parks: BTreeMap<String, u64>,
}

impl Script {
    /// Reads the program's line.
    ///
    /// # Errors
    /// It is something else.
    pub fn parse(line: &str) -> Result<Self> {
        let script: Self = serde_json::from_str(line).with_context(|| format!("not a script: {line:?}"))?;
        ensure!(script.goroutines.len() > 1, "the program did nothing");
        Ok(script)
    }

    /// Every difference between the script and what goflow saw of process `pid`, in words; the kinds that are not of
    /// the session's level must be absent.
    #[must_use]
    pub fn differences(&self, session: &Session, pid: u32) -> Vec<String> {
        let level = &session.meta().level;
        let mut differences = Vec::new();
        for tally in &self.goroutines {
            let seen = Seen::of(session, pid, tally.goid);
            for (what, expected) in tally.expected(level) {
                let got = seen.0.get(&what).copied().unwrap_or(0);
                if got != expected {
                    differences
                        .push(format!("goroutine {}: {what} {expected}, goflow saw {got}", tally.goid));
                }
            }
            let known = tally.expected(level);
            for (what, got) in &seen.0 {
                let unscripted = what == "semaphore" && tally.semaphore.is_none() && level != "lifecycle";
                if !unscripted && !known.contains_key(what) {
                    differences.push(format!("goroutine {}: goflow saw {got} of {what}", tally.goid));
                }
            }
            differences.extend(tally.birth_differences(session, pid));
        }
        differences
    }
}

impl Script {
    /// What does not fit where only the goroutines that `is_recorded` are: of those everything is there, of the others nothing.
    /// Whom a goroutine wakes is recorded with the one that it wakes, and is not looked at.
    #[must_use]
    pub fn differences_where(
        &self,
        session: &Session,
        pid: u32,
        is_recorded: impl Fn(&Tally) -> bool,
    ) -> Vec<String> {
        let mut differences = Vec::new();
        for tally in &self.goroutines {
            let seen = Seen::of(session, pid, tally.goid);
            for (what, expected) in tally.expected(&session.meta().level) {
                // A creation is recorded with the goroutine that is created.
                if what == "ready by" || what == "goroutine_create" {
                    continue;
                }
                let expected = if is_recorded(tally) { expected } else { 0 };
                let got = seen.0.get(&what).copied().unwrap_or(0);
                if got != expected {
                    differences
                        .push(format!("goroutine {}: {what} {expected}, goflow saw {got}", tally.goid));
                }
            }
        }
        differences
    }

    /// Everything of one kind that the script did.
    #[must_use]
    pub fn sum(&self, of: impl Fn(&Tally) -> u64) -> u64 {
        self.goroutines.iter().map(of).sum()
    }
}

impl Tally {
    /// Sends, receives and closes.
    #[must_use]
    pub fn operations(&self) -> [u64; 3] {
        [self.chan_send, self.chan_recv, self.chan_close]
    }

    /// How often it was made runnable by `ready`.
    #[must_use]
    pub fn wakes(&self) -> u64 {
        self.woken + self.timer_woken
    }

    fn expected(&self, level: &str) -> BTreeMap<String, u64> {
        let mut expected = BTreeMap::new();
        let mut put = |what: &str, count| expected.insert(what.to_owned(), count);
        put("goroutine_create", self.goroutine_create);
        put("goroutine_exit", self.exited.into());
        if level != "lifecycle" {
            put("ready by", self.readies);
            put("ready of", self.woken + self.timer_woken);
            put("mutex", self.mutex);
            put("rwmutex", self.rwmutex);
            put("waitgroup", self.waitgroup);
            put("cond", self.cond);
            if let Some(semaphore) = self.semaphore {
                put("semaphore", semaphore);
            }
            for (reason, count) in &self.parks {
                put(&format!("park for {reason:?}"), *count);
            }
        }
        if level == "channels" {
            put("chan_make", self.chan_make);
            put("chan_send", self.chan_send);
            put("chan_recv", self.chan_recv);
            put("chan_close", self.chan_close);
            put("select", self.select);
            put("waitgroup_add", self.waitgroup_add);
        }
        expected
    }

    /// Its creation was seen once, by its parent, at its `go` statement.
    fn birth_differences(&self, session: &Session, pid: u32) -> Option<String> {
        let births: Vec<_> = session
            .events
            .iter()
            .filter(|event| event.pid == pid)
            .filter_map(|event| match &event.kind {
                Kind::GoroutineCreate { child, created_at, .. } if *child == Some(self.goid) => {
                    Some((event.goid, created_at.clone()))
                }
                _ => None,
            })
            .collect();
        let told = (self.parent != 0).then(|| (Some(self.parent), self.position()));
        let as_told = match (&births[..], &told) {
            ([], None) => true,
            ([birth], Some(told)) => birth == told,
            _ => false,
        };
        (!as_told).then(|| format!("goroutine {}: born {told:?}, goflow saw {births:?}", self.goid))
    }

    /// Where the `go` statement is; `None` for main.
    #[must_use]
    pub fn position(&self) -> Option<Position> {
        let (file, line) = self.created_at.rsplit_once(':')?;
        Some(Position {
            function: Some(self.created_by.clone()),
            file: Some(file.to_owned()),
            line: line.parse().ok(),
        })
    }
}

/// Events by what they were, of one goroutine.
#[derive(Default)]
struct Seen(BTreeMap<String, u64>);

impl Seen {
    fn of(session: &Session, pid: u32, goid: u64) -> Self {
        let mut seen = Self::default();
        for event in session.events.iter().filter(|event| event.pid == pid) {
            seen.add(event, goid);
        }
        seen
    }

    fn add(&mut self, event: &Event, goid: u64) {
        if matches!(event.kind, Kind::Ready { target, .. } if target == Some(goid)) {
            self.count("ready of".to_owned());
        }
        if event.goid != Some(goid) {
            return;
        }
        match &event.kind {
            Kind::Park { wait_reason, .. } => {
                let reason = wait_reason.as_deref().unwrap_or("nothing it could name");
                self.count(format!("park for {reason:?}"));
            }
            Kind::SyncWait { sync, .. } => self.count(sync.clone()),
            Kind::Ready { .. } => self.count("ready by".to_owned()),
            Kind::GoroutineCreate { .. }
            | Kind::GoroutineExit
            | Kind::ChanMake { .. }
            | Kind::ChanSend(_)
            | Kind::ChanRecv(_)
            | Kind::ChanClose(_)
            | Kind::Select { .. }
            | Kind::WaitgroupAdd { .. } => self.count(event.kind.name().to_owned()),
        }
    }

    fn count(&mut self, what: String) {
        *self.0.entry(what).or_default() += 1;
    }
}
