//! Looks at the memory of a process again and again, and tells what is wrong with it.
//!
//! In: a binary, where it is mapped, its memory. Out: what has opened and resolved at each look, and what could not be found
//! out and why. It needs no probe and costs the target nothing.

use crate::binary::GoBinary;
use crate::binary::addr::LoadBias;
use crate::detect::{Change, Detection, Finding, Rule, Thresholds, Unasked};
use crate::model::{Limits as ModelLimits, Model, Process, Runtime};
use crate::target::Pid;
use crate::target::id::MonotonicNs;
use crate::target::memory::Memory;
use crate::target::reach::{Known, Limits, Reach, ReachError};
use crate::target::snapshot::Snapshot;
use crate::target::snapshot::reader::{Options, Reader, SnapshotError};
use std::collections::BTreeSet;

/// Stands for the process where a core file does not tell its pid.
const NOBODY: Pid = Pid(0);

/// A process under examination.
pub struct Examination<'b> {
    reader: Reader<'b>,
    known: Known<'b>,
    pid: Pid,
    model: Model,
    detection: Detection,
    looks: u32,
    /// When the first look began.
    started: MonotonicNs,
    /// Why something could not be found out.
    limits: BTreeSet<String>,
    /// Why the last look could not find out whom nobody can wake.
    blind: Option<String>,
}

/// What makes a look certain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// It is read while it runs.
    Moving,
    /// Nothing has moved since before the look, nor does: a core file.
    Still,
}

impl<'b> Examination<'b> {
    /// Of a process in which `binary` was moved by `bias`, by the rules that are `wanted` with their `thresholds`.
    ///
    /// # Errors
    /// The binary does not tell what is needed.
    pub fn new(
        binary: &'b GoBinary<'b>,
        bias: LoadBias,
        pid: Option<Pid>,
        wanted: impl Fn(&'static Rule) -> bool,
        thresholds: Thresholds,
    ) -> Result<Self, SnapshotError> {
        let pid = pid.unwrap_or(NOBODY);
        let reader = Reader::new(binary, bias)?;
        let (offsets, _) = binary.offsets()?;
        let mut model = Model::new(ModelLimits::default());
        model.started(pid, Runtime::of(binary, &offsets));
        Ok(Self {
            reader,
            known: Known::following_code(binary, bias),
            pid,
            model,
            detection: Detection::with(wanted, thresholds),
            looks: 0,
            started: MonotonicNs(0),
            limits: BTreeSet::new(),
            blind: None,
        })
    }

    /// Looks once more.
    ///
    /// # Errors
    /// The goroutines cannot be read. That something else cannot is in [`Self::limits`].
    pub fn look(
        &mut self,
        memory: &dyn Memory,
        limits: Limits,
        moment: Moment,
    ) -> Result<Vec<Change>, SnapshotError> {
        let options = Options { labels: false, ..Options::default() };
        let snapshot = self.reader.take(memory, options)?;
        if self.looks == 0 {
            self.started = snapshot.started;
        }
        if let Some(why) = snapshot.cut_short() {
            self.limits.insert(format!("the goroutines were not all read: {why}"));
        }
        let reach = match Reach::of(&self.reader, memory, &snapshot, &mut self.known, limits) {
            Ok(reach) => reach,
            Err(ReachError::Memory(error)) => return Err(error.into()),
            Err(ReachError::List(error)) => return Err(error),
            Err(error) => {
                // Without it a lock has no holder and nobody is unreachable, which must not be taken for what was found.
                let why = format!("who can still be woken: {error}");
                if let Some(before) = self.blind.replace(why.clone()) {
                    self.limits.remove(&before);
                }
                self.limits.insert(why);
                self.model.reconcile(self.pid, &snapshot);
                self.model.learn_nothing(self.pid, snapshot.started);
                return Ok(self.detect(&snapshot));
            }
        };
        tracing::debug!(
            bytes = reach.bytes,
            objects = reach.objects,
            unreachable = reach.unreachable.len(),
            "look"
        );
        let at = snapshot.started;
        self.model.reconcile(self.pid, &snapshot);
        self.model.learn(self.pid, &reach, at, moment == Moment::Still);
        self.blind = None;
        Ok(self.detect(&snapshot))
    }

    fn detect(&mut self, snapshot: &Snapshot) -> Vec<Change> {
        self.looks += 1;
        self.model.expire(snapshot.ended);
        let changes = self.model.process(self.pid).map(|process| self.detection.look(process));
        changes.unwrap_or_default()
    }

    /// What is wrong now.
    pub fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.detection.open()
    }

    /// The state of the process.
    #[must_use]
    pub fn process(&self) -> Option<&Process> {
        self.model.process(self.pid)
    }

    /// How often it was looked.
    #[must_use]
    pub fn looks(&self) -> u32 {
        self.looks
    }

    /// When the first look began.
    #[must_use]
    pub fn started(&self) -> MonotonicNs {
        self.started
    }

    /// What could not be found out, a sentence each, without the full stop.
    #[must_use]
    pub fn limits(&self) -> Vec<String> {
        self.limits.iter().cloned().collect()
    }

    /// Something else that could not be found out, without the full stop.
    pub fn limit(&mut self, why: String) {
        self.limits.insert(why);
    }

    /// The rules that could not be asked, and why.
    #[must_use]
    pub fn unasked(&self) -> Vec<(&'static Rule, String)> {
        let looks = self.looks;
        let why = |why| match why {
            Unasked::Unreached => self.blind.clone().unwrap_or_else(|| "there was no look".to_owned()),
            Unasked::FewLooks(needed) => {
                let were = if looks == 1 { "was" } else { "were" };
                format!("{needed} looks are compared, and there {were} {looks}")
            }
        };
        let process = self.process();
        let unasked = process.into_iter().flat_map(|process| self.detection.unasked(process, looks));
        unasked.map(|(rule, unasked)| (rule, why(unasked))).collect()
    }

    /// When the last look began.
    #[must_use]
    pub fn last_look(&self) -> Option<MonotonicNs> {
        self.process().and_then(Process::snapshot)
    }
}
