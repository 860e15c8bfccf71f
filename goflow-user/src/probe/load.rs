//! From a plan to programs in the kernel: fills in the configuration, creates the maps, passes the verifier.
//!
//! In: the embedded object and a plan. Out: [`Programs`], ready to attach, and [`KernelSide`], what user space reads.
//! An object of another layout version is refused. aya 0.14 cannot load a program for a multi-uprobe link: that is done in
//! [`super::multi`], maps and all.

use super::buffer::{EventBuffer, Rings};
use super::filter::{Chosen, MOST};
use super::plan::Plan;
use super::totals::{TotalsError, TotalsReader};
use super::{multi, sys};
use crate::binary::addr::LoadBias;
use crate::target::Pid;
use crate::target::host::{is_out_of_files, monotonic_ns};
use crate::target::id::ChanAddr;
use aya::maps::{Array, HashMap, Map, MapData, PerCpuArray, RingBuf};
use aya::programs::{ProgramError, UProbe};
use aya::{Ebpf, EbpfLoader};
use goflow_common::LAYOUT_VERSION;
use goflow_common::config::ProbeConfig;
use goflow_common::goid::Epoch;
use goflow_common::probe::ProbeId;
use goflow_common::ring::Geometry;
use serde::{Deserialize, Serialize};
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use thiserror::Error;

/// The eBPF object that `build.rs` made.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/goflow.bpf.o"));

/// The program behind the multi-uprobe link.
const MULTI_PROGRAM: &str = "all_probes";
/// The global that holds the [`ProbeConfig`].
const CONFIG_SYMBOL: &str = "GOFLOW_CONFIG";
/// The global that holds the [`goflow_common::config::SiteTable`].
const SITES_SYMBOL: &str = "GOFLOW_SITES";

/// Why the eBPF programs could not be loaded.
#[derive(Debug, Error)]
pub enum LoadError {
    /// The embedded object was built from other sources than this user space.
    #[error(
        "the eBPF object has layout version {found:?}, this goflow needs {LAYOUT_VERSION}; \
         rebuild without GOFLOW_BPF_OBJECT"
    )]
    Layout {
        /// What the object says, if it says anything.
        found: Option<u32>,
    },
    /// The object could not be parsed or its maps could not be created.
    #[error("the eBPF object could not be loaded; `goflow doctor` tells what this kernel or user lacks")]
    Object(#[from] aya::EbpfError),
    /// The object could not be relocated for the multi-uprobe link.
    #[error("the eBPF object could not be prepared for a multi-uprobe link")]
    Relocation(#[from] aya_obj::relocation::EbpfRelocationError),
    /// The object could not be parsed for the multi-uprobe link.
    #[error("the eBPF object could not be parsed for a multi-uprobe link")]
    Parse(#[from] aya_obj::ParseError),
    /// The object lacks something that this user space expects in it.
    #[error("the eBPF object has no {0}; rebuild without GOFLOW_BPF_OBJECT")]
    Missing(&'static str),
    /// A map could not be created or opened.
    #[error("an eBPF map could not be set up; `goflow doctor` tells what this kernel or user lacks")]
    Map(#[from] aya::maps::MapError),
    /// What was counted in the kernel could not be read.
    #[error(transparent)]
    Totals(#[from] TotalsError),
    /// What a map holds from the start could not be put there.
    #[error("an eBPF map could not be filled: {0}")]
    Fill(#[source] io::Error),
    /// The rings could not be mapped into this process.
    #[error("the event buffers cannot be mapped; a smaller --buffer may help")]
    Mapping(#[source] io::Error),
    /// The kernel refused a program.
    #[error("the kernel refused the eBPF program {program}: {error}{}{log}", if .log.is_empty() { "" } else { "\n" })]
    Verifier {
        /// Which program.
        program: &'static str,
        /// The kernel's error.
        #[source]
        error: io::Error,
        /// The end of the verifier's log.
        log: String,
    },
    /// The kernel refused a program that aya loads.
    #[error("the kernel refused the eBPF program {program}")]
    Program {
        /// Which program.
        program: &'static str,
        /// The kernel's error.
        source: ProgramError,
    },
}

/// How the programs will be attached, which decides how they must be loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AttachMethod {
    /// One link for all sites (Linux 6.6 and later).
    UprobeMulti,
    /// One perf event per site.
    PerfEvent,
}

impl AttachMethod {
    /// The word for it in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::UprobeMulti => "uprobe_multi",
            Self::PerfEvent => "perf_event",
        }
    }
}

/// Verified programs that are not attached yet.
pub enum Programs {
    /// One for every probe.
    One {
        /// The program.
        program: OwnedFd,
        /// How it is to be attached.
        method: AttachMethod,
    },
    /// Each planned probe's own program, inside aya.
    PerProbe(Box<Ebpf>),
}

impl Programs {
    /// How they are to be attached.
    pub(super) fn method(&self) -> AttachMethod {
        match self {
            Self::One { method, .. } => *method,
            Self::PerProbe(_) => AttachMethod::PerfEvent,
        }
    }

    /// The one that runs at the probe whose program has this name.
    pub(super) fn find(&self, name: &'static str) -> Result<BorrowedFd<'_>, LoadError> {
        match self {
            Self::One { program, .. } => Ok(program.as_fd()),
            Self::PerProbe(ebpf) => {
                let failed = |source| LoadError::Program { program: name, source };
                let program = ebpf.program(name).ok_or(LoadError::Missing(name))?;
                let uprobe: &UProbe = program.try_into().map_err(failed)?;
                Ok(uprobe.fd().map_err(failed)?.as_fd())
            }
        }
    }
}

/// The maps that user space reads while and after the probes are in.
pub struct KernelSide {
    /// Where the records come from.
    pub events: EventBuffer,
    /// Losses.
    pub counters: Counters,
    /// Lets the programs remember goids.
    pub goid_memory: GoidMemory,
    /// Where each process of a position-independent binary is loaded, for the filter by creation.
    pub biases: Biases,
    /// Who waits since when, for what is recorded or counted of whole waits.
    pub waits: Waits,
    /// Lets the programs know that waits were not seen for a time.
    pub wait_epoch: WaitEpoch,
    /// What is counted in the kernel, where that was asked for.
    pub totals: Option<TotalsReader>,
    /// Which processes to record, where the filter is on.
    targets: HashMap<MapData, u32, u8>,
    go_statements: HashMap<MapData, u64, u8>,
    channels: HashMap<MapData, [u64; 2], u8>,
}

/// Per-probe counters of the kernel side.
pub struct Counters {
    lost: PerCpuArray<MapData, [u64; ProbeId::COUNT]>,
    eventless: PerCpuArray<MapData, [u64; ProbeId::COUNT]>,
    filtered: PerCpuArray<MapData, [u64; ProbeId::COUNT]>,
}

/// Loads what `plan` needs. `filter_targets` makes the programs record only processes named by
/// [`KernelSide::add_target`]; `ring_bytes` must be a power of two and a multiple of the page size.
///
/// # Errors
/// See [`LoadError`].
pub fn load(
    plan: &Plan,
    method: AttachMethod,
    filter_targets: bool,
    ring_bytes: u32,
) -> Result<(Programs, KernelSide), LoadError> {
    check_layout(OBJECT)?;
    let sizes = Sizes::new(method, ring_bytes, plan);
    let Geometry { rings, chunks } = sizes.own;
    let config = ProbeConfig {
        filter_targets: u32::from(filter_targets),
        rings,
        ring_chunks: chunks,
        probes: plan.sites.iter().fold(0, |bits, planned| bits | 1 << planned.spec.probe as u64),
        ..plan.config
    };
    let sites = plan.site_table();
    let globals = [(CONFIG_SYMBOL, bytemuck::bytes_of(&config)), (SITES_SYMBOL, sites.as_bytes().as_slice())];
    match method {
        AttachMethod::UprobeMulti => {
            let (program, mut maps) = multi::load(OBJECT, MULTI_PROGRAM, globals, &sizes.entries())?;
            let kernel_side = KernelSide::take(|name| maps.remove(name), method, sizes, &plan.chosen)?;
            Ok((Programs::One { program, method }, kernel_side))
        }
        AttachMethod::PerfEvent => {
            let mut loader = EbpfLoader::new();
            for (name, data) in globals {
                loader.override_global(name, data, true);
            }
            for (name, entries) in sizes.entries() {
                loader.map_max_entries(name, entries);
            }
            let mut ebpf = loader.load(OBJECT)?;
            load_per_probe(&mut ebpf, plan)?;
            let kernel_side = KernelSide::take(|name| ebpf.take_map(name), method, sizes, &plan.chosen)?;
            Ok((Programs::PerProbe(Box::new(ebpf)), kernel_side))
        }
    }
}

/// Goroutines whose waits are remembered at a time. A park that finds no room is recorded as without a filter.
const MOST_WAITS: u32 = 262_144;

/// Channels, and places that create goroutines, that are counted by themselves.
const MOST_TOTALS: (u32, u32) = (16_384, 8_192);

/// How large the maps are; what the programs do not use is as small as may be.
#[derive(Clone, Copy)]
struct Sizes {
    kernel_bytes: u32,
    own: Geometry,
    go_statements: u32,
    channels: u32,
    waits: u32,
    has_totals: bool,
}

impl Sizes {
    fn new(method: AttachMethod, bytes: u32, plan: &Plan) -> Self {
        let (kernel_bytes, own) = match method {
            AttachMethod::UprobeMulti => {
                let cpus = aya::util::nr_cpus().map_or(1, |cpus| cpus as u32);
                (rustix::param::page_size() as u32, Geometry::new(bytes, cpus))
            }
            AttachMethod::PerfEvent => (bytes, Geometry { rings: 1, chunks: 1 }),
        };
        let room_for = |count: usize| count.clamp(1, MOST) as u32;
        let has_totals = plan.config.aggregate != 0;
        Self {
            kernel_bytes,
            own,
            go_statements: room_for(plan.chosen.go_statements.len()),
            channels: room_for(plan.chosen.channels.len()),
            waits: if has_totals || plan.config.whole_waits != 0 { MOST_WAITS } else { 1 },
            has_totals,
        }
    }

    /// Of each map whose size is not that of the object.
    fn entries(self) -> [(&'static str, u32); 8] {
        let Geometry { rings, chunks } = self.own;
        let (channels, sites) = if self.has_totals { MOST_TOTALS } else { (1, 1) };
        [
            ("EVENTS", self.kernel_bytes),
            ("RING_POSITIONS", rings),
            ("RING_CHUNKS", rings * chunks),
            ("GO_STATEMENTS", self.go_statements),
            ("CHANNELS", self.channels),
            ("PARKED", self.waits),
            ("CHANNEL_TOTALS", channels),
            ("SITE_TOTALS", sites),
        ]
    }
}

/// A program that does nothing: what a trap costs before goflow does anything in it.
///
/// # Errors
/// The kernel refused it.
pub fn load_empty(method: AttachMethod) -> Result<Programs, LoadError> {
    // r0 = 0; exit (Documentation/bpf/standardization/instruction-set.rst)
    const NOTHING: [u8; 16] = [0xb7, 0, 0, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0];
    let nothing = aya_obj::copy_instructions(&NOTHING)?;
    sys::load_multi_uprobe_program("empty", &nothing, c"GPL")
        .map(|program| Programs::One { program, method })
        .map_err(|(error, log)| LoadError::Verifier { program: "empty", error, log })
}

/// Compares the version that the object was compiled with against ours: the first word of its configuration.
fn check_layout(object: &[u8]) -> Result<(), LoadError> {
    let found = compiled_layout_version(object);
    if found == Some(LAYOUT_VERSION) { Ok(()) } else { Err(LoadError::Layout { found }) }
}

fn compiled_layout_version(object: &[u8]) -> Option<u32> {
    use object::{Object as _, ObjectSection as _, ObjectSymbol as _};
    let file = object::File::parse(object).ok()?;
    let symbol = file.symbol_by_name(CONFIG_SYMBOL)?;
    let section = file.section_by_index(symbol.section_index()?).ok()?;
    let bytes = section.data_range(symbol.address(), 4).ok()??;
    Some(u32::from_le_bytes(bytes.try_into().ok()?))
}

fn load_per_probe(ebpf: &mut Ebpf, plan: &Plan) -> Result<(), LoadError> {
    let mut wanted: Vec<&'static str> = plan.sites.iter().map(|site| site.spec.program).collect();
    wanted.dedup();
    for program in wanted {
        let uprobe = uprobe_mut(ebpf, program)?;
        uprobe.load().map_err(|source| refused(program, source))?;
    }
    Ok(())
}

/// What the verifier has to say of a program matters only where it is the one who refused it.
fn refused(program: &'static str, source: ProgramError) -> LoadError {
    match source {
        ProgramError::LoadError { io_error: error, .. } if is_out_of_files(&error) => {
            LoadError::Verifier { program, error, log: String::new() }
        }
        source => LoadError::Program { program, source },
    }
}

fn uprobe_mut<'a>(ebpf: &'a mut Ebpf, name: &'static str) -> Result<&'a mut UProbe, LoadError> {
    let program = ebpf.program_mut(name).ok_or(LoadError::Missing(name))?;
    program.try_into().map_err(|source| LoadError::Program { program: name, source })
}

impl KernelSide {
    fn take(
        mut find: impl FnMut(&str) -> Option<Map>,
        method: AttachMethod,
        sizes: Sizes,
        chosen: &Chosen,
    ) -> Result<Self, LoadError> {
        let mut map = |name| find(name).ok_or(LoadError::Missing(name));
        let events = match method {
            AttachMethod::UprobeMulti => {
                let (positions, chunks) = (map("RING_POSITIONS")?, map("RING_CHUNKS")?);
                let (Map::Array(positions), Map::Array(chunks)) = (&positions, &chunks) else {
                    return Err(LoadError::Missing("rings of the right kind"));
                };
                EventBuffer::Own(Rings::map(positions, chunks, sizes.own).map_err(LoadError::Mapping)?)
            }
            AttachMethod::PerfEvent => EventBuffer::Kernel(RingBuf::try_from(map("EVENTS")?)?),
        };
        let totals = (map("CHANNEL_TOTALS")?, map("SITE_TOTALS")?, map("UNCOUNTED")?);
        let totals = TotalsReader::new(totals.0, totals.1, totals.2)?;
        let mut kernel_side = Self {
            events,
            counters: Counters {
                lost: PerCpuArray::try_from(map("LOST")?)?,
                eventless: PerCpuArray::try_from(map("EVENTLESS")?)?,
                filtered: PerCpuArray::try_from(map("FILTERED")?)?,
            },
            biases: Biases(HashMap::try_from(map("BIASES")?)?),
            waits: Waits(HashMap::try_from(map("PARKED")?)?),
            wait_epoch: WaitEpoch(Array::try_from(map("WAIT_EPOCH")?)?),
            totals: sizes.has_totals.then_some(totals),
            goid_memory: GoidMemory(Array::try_from(map("GOID_EPOCH")?)?),
            targets: HashMap::try_from(map("TARGETS")?)?,
            go_statements: HashMap::try_from(map("GO_STATEMENTS")?)?,
            channels: HashMap::try_from(map("CHANNELS")?)?,
        };
        for statement in &chosen.go_statements {
            kernel_side.go_statements.insert(statement.0, 1, 0)?;
        }
        Ok(kernel_side)
    }

    /// Lets the programs record what this process does with these channels.
    ///
    /// # Errors
    /// The kernel refused.
    pub fn add_channels(&mut self, pid: Pid, channels: &[ChanAddr]) -> Result<(), LoadError> {
        for channel in channels {
            self.channels.insert([channel.0, pid.0.into()], 1, 0)?;
        }
        Ok(())
    }

    /// Lets the programs record this process.
    ///
    /// # Errors
    /// The map is full (1,024 processes) or the kernel refused.
    pub fn add_target(&mut self, pid: Pid) -> Result<(), LoadError> {
        Ok(self.targets.insert(pid.0, 1, 0)?)
    }
}

/// Where the processes of a position-independent binary are loaded. One that is not in it is recorded whole.
pub struct Biases(HashMap<MapData, u32, u64>);

impl Biases {
    /// Tells the programs of a process. Where there is no room for it, it is recorded whole.
    pub fn insert(&mut self, pid: Pid, bias: LoadBias) {
        if let Err(error) = self.0.insert(pid.0, bias.0, 0) {
            tracing::debug!(%error, "process {pid} is recorded whole");
        }
    }

    /// The process has ended, or is loaded elsewhere by now.
    pub fn remove(&mut self, pid: Pid) {
        // One that was never told of is not there.
        let _ = self.0.remove(&pid.0);
    }
}

/// Who waits since when.
pub struct Waits(HashMap<MapData, [u64; 2], [u64; 3]>);

impl Waits {
    /// Forgets a process that has ended.
    pub fn forget(&mut self, pid: Pid) {
        // What the kernel does not give now is overwritten, or stays in the way of nobody but a later process of this pid.
        let gone: Vec<[u64; 2]> =
            self.0.keys().filter_map(Result::ok).filter(|[_, of]| *of == u64::from(pid.0)).collect();
        gone.iter().for_each(|key| _ = self.0.remove(key));
    }
}

/// Which of the waits were seen without a gap.
pub struct WaitEpoch(Array<MapData, u32>);

impl WaitEpoch {
    /// Probes on parks or wake-ups went out: what waits since before may have gone on unseen.
    ///
    /// # Errors
    /// The kernel refused.
    pub fn advance(&mut self) -> Result<(), LoadError> {
        let epoch = self.0.get(&0, 0)?;
        Ok(self.0.set(0, epoch.wrapping_add(1), 0)?)
    }
}

/// The switch of the kernel side's memory of goids. It may be on only while the probe on `newproc1` is in place, for that is
/// what voids the memory.
pub struct GoidMemory(Array<MapData, u64>);

impl GoidMemory {
    /// Turns the memory on or off.
    ///
    /// # Errors
    /// The kernel refused.
    pub fn set(&mut self, on: bool) -> Result<(), LoadError> {
        let epoch = if on { Epoch::on(monotonic_ns()) } else { Epoch::OFF };
        Ok(self.0.set(0, epoch.0, 0)?)
    }
}

impl Counters {
    /// Events by probe that found the ring buffer full.
    ///
    /// # Errors
    /// The map could not be read.
    pub fn lost(&self) -> Result<[u64; ProbeId::COUNT], LoadError> {
        sum(&self.lost)
    }

    /// Hits by probe that a filter left out.
    ///
    /// # Errors
    /// The map could not be read.
    pub fn filtered(&self) -> Result<[u64; ProbeId::COUNT], LoadError> {
        sum(&self.filtered)
    }

    /// Hits by probe that are no event.
    ///
    /// # Errors
    /// The map could not be read.
    pub fn eventless(&self) -> Result<[u64; ProbeId::COUNT], LoadError> {
        sum(&self.eventless)
    }
}

/// Over all CPUs.
pub(super) fn sum(
    map: &PerCpuArray<MapData, [u64; ProbeId::COUNT]>,
) -> Result<[u64; ProbeId::COUNT], LoadError> {
    let mut sum = [0u64; ProbeId::COUNT];
    for counters in map.get(&0, 0)?.iter() {
        for (sum, counter) in sum.iter_mut().zip(counters) {
            *sum += counter;
        }
    }
    Ok(sum)
}
