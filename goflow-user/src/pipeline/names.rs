//! Answers the sinks' questions from the analysed binaries: which function, which wait reason, which type.

use crate::binary::addr::{LinkAddr, LoadBias, RuntimeAddr};
use crate::ingest::event::WaitReason;
use crate::sink::record::{BinaryName, Frame, Names};
use crate::target::Pid;
use crate::target::executable::Executable;
use std::collections::HashMap;
use std::sync::Arc;

/// A process began to run one of the traced binaries.
#[derive(Clone)]
pub(super) struct ProcessStart {
    pub(super) pid: Pid,
    pub(super) executable: Arc<Executable>,
    pub(super) bias: LoadBias,
}

/// Which process runs which binary, and where it is loaded.
#[derive(Default)]
pub(super) struct Processes {
    by_pid: HashMap<Pid, ProcessStart>,
}

/// What an executable is called in the output.
pub(super) fn name(executable: &Executable) -> BinaryName {
    let path = executable.path().to_string_lossy();
    BinaryName { path: path.into(), is_deleted: executable.is_deleted() }
}

impl Processes {
    /// Takes note of a process; an earlier one with the same pid is forgotten.
    pub(super) fn insert(&mut self, start: ProcessStart) {
        self.by_pid.insert(start.pid, start);
    }

    /// Forgets a process that has ended.
    pub(super) fn remove(&mut self, pid: Pid) {
        self.by_pid.remove(&pid);
    }

    fn at(&self, pid: Pid, address: RuntimeAddr) -> Option<(&Executable, LinkAddr)> {
        let process = self.by_pid.get(&pid)?;
        Some((&process.executable, process.bias.to_link(address)))
    }
}

impl Names for Processes {
    fn frames(&self, pid: Pid, pc: RuntimeAddr) -> Vec<Frame<'_>> {
        self.at(pid, pc).map_or_else(Vec::new, |(executable, pc)| executable.binary().frames_of_call(pc))
    }

    fn function_at(&self, pid: Pid, entry: RuntimeAddr) -> Option<Frame<'_>> {
        let (executable, entry) = self.at(pid, entry)?;
        executable.binary().function_at(entry)
    }

    fn started_function(&self, pid: Pid, entry: RuntimeAddr) -> Option<Frame<'_>> {
        let (executable, entry) = self.at(pid, entry)?;
        executable.binary().started_function(entry)
    }

    fn wait_reason(&self, pid: Pid, reason: WaitReason) -> Option<&str> {
        self.by_pid.get(&pid)?.executable.binary().wait_reason(reason.0)
    }

    fn type_name(&self, pid: Pid, addr: RuntimeAddr) -> Option<String> {
        let (executable, addr) = self.at(pid, addr)?;
        executable.binary().type_name(addr)
    }
}
