//! goflow's own library on a running target: its events in order, and snapshots of it, for tests and benches that hold
//! the model and not the command against something.
//!
//! In: a target of [`crate::target`]; out: a [`Recording`]. The hard thing is that nothing may be lost: a thread of its own
//! empties the ring buffer, and a loss is an error.

use std::os::fd::AsFd as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use goflow_user::binary::addr::LoadBias;
use goflow_user::ingest::event::{Event, MonotonicNs};
use goflow_user::ingest::order::Orderer;
use goflow_user::ingest::ring::RingReader;
use goflow_user::model::{Limits, Model, Runtime};
use goflow_user::probe::attach::{self, Attached, Scope};
use goflow_user::probe::catalog::Level;
use goflow_user::probe::load;
use goflow_user::probe::plan::Plan;
use goflow_user::target::executable::Executable;
use goflow_user::target::memory::ProcessMemory;
use goflow_user::target::snapshot::Snapshot;
use goflow_user::target::snapshot::reader::{Options, Reader};
use goflow_user::target::{Pid, host, process};

/// Large enough for everything that a test's program does while the reader is kept from its CPU.
const RING_BYTES: u32 = 64 << 20;
/// Between two looks at the ring buffer.
const PAUSE: Duration = Duration::from_millis(10);

/// Probes that are in, and a thread that takes what they tell.
pub struct Recorder {
    executable: Executable,
    bias: LoadBias,
    pid: Pid,
    runtime: Runtime,
    attached: Attached,
    done: Arc<AtomicBool>,
    reader: JoinHandle<Result<Vec<Event>>>,
}

/// What was seen of a process between two moments.
pub struct Recording {
    /// Of which.
    pub pid: Pid,
    /// What the model must know of its runtime.
    pub runtime: Runtime,
    /// Everything the probes told, in order; nothing was lost.
    pub events: Vec<Event>,
    /// The program.
    pub executable: Executable,
    /// Where it is loaded.
    pub bias: LoadBias,
}

fn now() -> MonotonicNs {
    MonotonicNs(host::monotonic_ns())
}

impl Recorder {
    /// Puts every probe in. Parks carry stacks of up to `frames` frames.
    ///
    /// # Errors
    /// What goflow itself would say.
    pub fn attach(pid: u32, file: &Path, frames: u32) -> Result<Self> {
        let pid = Pid(pid);
        let executable = Executable::open(file)?;
        let binary = executable.binary();
        let (offsets, _) = binary.offsets()?;
        let plan = Plan::new(binary, &offsets, Level::Channels, frames);
        let runtime = Runtime::of(binary, &offsets);
        let bias = process::load_bias(pid, binary.image().lowest_address())?;
        let (programs, load::KernelSide { events, counters, goid_memory, .. }) =
            load::load(&plan, attach::supported_method(), false, RING_BYTES)?;
        let kernel = host::kernel_version(&host::kernel_release()).context("no kernel version")?;
        let mut ring = RingReader::new(events, counters, now());
        let scope = Scope::Processes(vec![pid]);
        let mut attached = attach::attach(&programs, &plan, executable.as_fd(), &scope, kernel, None)?;
        attached.remember_goids(&plan, goid_memory)?;
        let done = Arc::<AtomicBool>::default();
        let stopped = Arc::clone(&done);
        let reader = thread::Builder::new().name("recorder".into()).spawn(move || {
            let (mut orderer, mut events) = (Orderer::default(), Vec::new());
            while !stopped.load(Ordering::Acquire) {
                let drained = ring.drain(now(), &mut orderer, &mut |_| {});
                events.extend(orderer.release(drained.certain));
                thread::sleep(PAUSE);
            }
            while ring.drain(now(), &mut orderer, &mut |_| {}).records > 0 {}
            events.extend(orderer.finish());
            let losses = ring.losses()?;
            ensure!(losses.is_empty(), "{losses:?}");
            Ok(events)
        })?;
        Ok(Self { executable, bias, pid, runtime, attached, done, reader })
    }

    /// What is in the process's memory now.
    ///
    /// # Errors
    /// See [`Reader::take`].
    pub fn snapshot(&self) -> Result<Snapshot> {
        let mut reader = Reader::new(self.executable.binary(), self.bias)?;
        Ok(reader.take(&ProcessMemory::of(self.pid), Options::default())?)
    }

    /// Takes the probes out.
    ///
    /// # Errors
    /// Something was lost.
    pub fn stop(self) -> Result<Recording> {
        let _ = self.attached.detach();
        self.done.store(true, Ordering::Release);
        let events = self.reader.join().map_err(|_| anyhow!("the reader panicked"))??;
        let Self { executable, bias, pid, runtime, .. } = self;
        Ok(Recording { pid, runtime, events, executable, bias })
    }
}

impl Recording {
    /// A model that knows the process and nothing of it.
    #[must_use]
    pub fn model(&self) -> Model {
        let mut model = Model::new(Limits::default());
        model.started(self.pid, self.runtime.clone());
        model
    }
}
