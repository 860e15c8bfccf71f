//! From options to probes in place: opens the targets, analyses their binaries, plans, loads and attaches.

use super::TraceOptions;
use super::ingest::Maps;
use super::names::{self, ProcessStart};
use super::phases::Phases;
use super::snapshots::{Looks, Pace, Wanted};
use crate::advice::Advise as _;
use crate::binary::addr::LoadBias;
use crate::binary::offsets::OffsetSource;
use crate::ingest::event::MonotonicNs;
use crate::ingest::ring::RingReader;
use crate::probe::attach::{self, AttachError, Attached, Scope};
use crate::probe::catalog::Level;
use crate::probe::feature::{self, Support};
use crate::probe::filter::Filter;
use crate::probe::keeper::{Duty, Keep, Keeper};
use crate::probe::load::{self, AttachMethod, KernelSide, Programs};
use crate::probe::plan::{Plan, PlannedSite};
use crate::sink::record::{Meta, ProbeMeta, Unavailable};
use crate::target::executable::Executable;
use crate::target::lease::Lease;
use crate::target::memory::{Memory as _, MemoryError, ProcessMemory};
use crate::target::refusal::Refusal;
use crate::target::snapshot::reader::{Options, Reader};
use crate::target::{Pid, host, process};
use anyhow::{Context as _, anyhow, bail};
use rustix::thread::capabilities;
use std::fmt;
use std::io;
use std::os::fd::AsFd;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::thread::{self, ScopedJoinHandle};

/// The machine and the choices that hold for every binary of a session.
pub(super) struct Environment {
    pub(super) kernel: String,
    pub(super) kernel_version: (u32, u32),
    pub(super) method: AttachMethod,
    /// Who holds the probes; `None` where there are none.
    pub(super) keeper: Option<Arc<Keeper>>,
    /// Who makes the hits by which it is measured what one costs.
    pub(super) hitter: Option<Arc<Keeper>>,
    pub(super) phases: Phases,
}

/// One binary, with its probes in.
pub(super) struct Traced {
    pub(super) executable: Arc<Executable>,
    /// `None` where it is looked at without any.
    pub(super) probes: Option<Probes>,
    pub(super) meta: Meta,
    /// Processes that ran before the first event, where that is known.
    pub(super) processes: Vec<ProcessStart>,
    /// Processes whose memory is to be read.
    pub(super) wanted: Vec<Wanted>,
    /// Processes that run it are to be searched for.
    pub(super) search: bool,
}

/// Probes in place.
pub(super) struct Probes {
    pub(super) plan: Plan,
    pub(super) attached: Attached,
    pub(super) reader: RingReader,
    pub(super) maps: Maps,
}

impl Environment {
    /// To be called before goflow has a second thread.
    pub(super) fn detect(options: &TraceOptions, phases: Phases) -> anyhow::Result<Self> {
        require_initial_pid_namespace()?;
        let kernel = host::kernel_release();
        let Some(kernel_version) = host::kernel_version(&kernel) else {
            bail!("the kernel release {kernel:?} does not start with a version");
        };
        let method = match options.attach {
            None => attach::supported_method(),
            Some(AttachMethod::UprobeMulti) => match feature::multi_uprobe() {
                Support::Yes => AttachMethod::UprobeMulti,
                Support::No => bail!(
                    "this kernel ({kernel}) has no multi-uprobe link (6.6 and later have); use `--attach auto`"
                ),
                Support::Unknown(error) if is_about_privilege(&error) => AttachMethod::UprobeMulti,
                Support::Unknown(error) => {
                    return Err(error).context("whether this kernel has multi-uprobe links cannot be told");
                }
            },
            Some(method) => method,
        };
        if options.level > Level::Snapshot {
            require_privilege(method, options.attach.unwrap_or(AttachMethod::UprobeMulti), kernel_version)?;
        }
        phases.done(&format!("machine examined: Linux {kernel}, {}", method.name()));
        let probes = options.level > Level::Snapshot;
        let keeper = probes.then(|| start_keeper(Duty::Keep)).transpose()?;
        let hitter = probes.then(|| start_keeper(Duty::Hit)).transpose()?;
        Ok(Self { kernel, kernel_version, method, keeper, hitter, phases })
    }
}

/// What is lacking is told by name later.
fn is_about_privilege(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::PermissionDenied
}

fn start_keeper(duty: Duty) -> anyhow::Result<Arc<Keeper>> {
    let keeper = Keeper::start(duty).map_err(host::NoTask::of("the process that is to hold the probes"))?;
    Ok(Arc::new(keeper))
}

/// The programs report pids of the initial namespace. Looked up in another one they would mean other processes, or none.
fn require_initial_pid_namespace() -> anyhow::Result<()> {
    if host::in_initial_pid_namespace() == Some(false) {
        return Err(anyhow!("goflow runs in a pid namespace of its own, where it cannot tell which process is which"))
            .advise(|| "run it on the host; in a container, start that with the host's (`--pid=host`, `hostPID: true`)");
    }
    Ok(())
}

/// First kernel that has multi-uprobe links; without privilege it cannot be asked.
const MULTI_UPROBE_SINCE: (u32, u32) = (6, 6);

/// Everything that follows would fail too, each step with an error of its own that names no capability. `method` is what
/// can be had with the capabilities that are held, `wanted` what would be taken with those that are not.
fn require_privilege(
    method: AttachMethod,
    wanted: AttachMethod,
    kernel_version: (u32, u32),
) -> anyhow::Result<()> {
    let held = capabilities(None).context("the capabilities of goflow cannot be read")?.effective;
    if feature::may_probe(held, method) {
        return Ok(());
    }
    let wanted = if kernel_version >= MULTI_UPROBE_SINCE { wanted } else { AttachMethod::PerfEvent };
    let is_root = rustix::process::geteuid().is_root();
    Err(anyhow!("no permission to probe: {}", feature::lacking(held, wanted, is_root)))
        .advise(|| "run it with sudo; `goflow doctor` prints the command that gives it what it lacks")
}

/// Does the same with each of `items` at the same time, on a thread each; in their order, or the first error in it.
pub(super) fn side_by_side<T: Send, R: Send>(
    items: Vec<T>,
    work: impl Fn(T) -> anyhow::Result<R> + Sync,
) -> anyhow::Result<Vec<R>> {
    let work = &work;
    thread::scope(|scope| {
        let spawn = |item| thread::Builder::new().spawn_scoped(scope, move || work(item));
        let threads: Vec<_> = items.into_iter().map(spawn).collect();
        let join = |thread: io::Result<ScopedJoinHandle<'_, anyhow::Result<R>>>| {
            let thread = thread.map_err(host::NoTask::of("a thread"))?;
            thread.join().unwrap_or_else(|panic| resume_unwind(panic))
        };
        threads.into_iter().map(join).collect()
    })
}

/// Puts the probes of all binaries in, or none. What takes long, the analysis and the kernel's verifier, comes first and side
/// by side, so that all of them start to be recorded at nearly the same time.
pub(super) fn attach_all(
    executables: Vec<(Executable, Scope)>,
    lease: Option<&Lease>,
    options: &TraceOptions,
    environment: &Environment,
) -> anyhow::Result<Vec<Traced>> {
    side_by_side(executables, |(executable, scope)| Prepared::new(executable, scope, options, environment))?
        .into_iter()
        .map(|prepared| prepared.attach(lease, options, environment))
        .collect()
}

/// One binary, with everything done that does not touch its processes.
struct Prepared {
    executable: Executable,
    scope: Scope,
    offset_source: OffsetSource,
    /// `None` where it is looked at without probes.
    loaded: Option<Loaded>,
}

/// Programs in the kernel that are not attached yet.
struct Loaded {
    plan: Plan,
    programs: Programs,
    kernel_side: KernelSide,
}

impl Prepared {
    fn new(
        executable: Executable,
        scope: Scope,
        options: &TraceOptions,
        environment: &Environment,
    ) -> anyhow::Result<Self> {
        let binary = executable.binary();
        let (offsets, offset_source) =
            binary.offsets().with_context(|| format!("{} cannot be traced", executable.path().display()))?;
        if options.level == Level::Snapshot {
            may_be_read(&executable, &scope)?;
            return Ok(Self { executable, scope, offset_source, loaded: None });
        }
        let path = executable.path().display();
        // Of every level, because `goflow ctl` may want more while the session runs.
        let mut plan = Plan::new(binary, &offsets, Level::Channels, options.stack_depth);
        if options.filter.thins() {
            let applied = options.filter.apply(&mut plan, binary, &offsets);
            applied.with_context(|| format!("the filter does not fit {}", executable.path().display()))?;
        }
        if plan.sites.iter().all(|planned| planned.spec.level > options.level) {
            bail!("{path} has no function that goflow could probe: {}", reasons(&plan));
        }
        tell_plan(&plan, environment.phases, &path);
        let filter = attach::needs_target_filter(environment.method, environment.kernel_version, &scope);
        let (programs, kernel_side) = load::load(&plan, environment.method, filter, options.ring_bytes)?;
        environment.phases.done(&format!("eBPF programs loaded: {path}"));
        let mut kernel_side = allow(kernel_side, &scope, filter)?;
        if let Scope::Processes(pids) = &scope {
            pids.iter().try_for_each(|&pid| kernel_side.add_channels(pid, &plan.chosen.channels))?;
        }
        let loaded = Some(Loaded { plan, programs, kernel_side });
        Ok(Self { executable, scope, offset_source, loaded })
    }

    fn attach(
        self,
        lease: Option<&Lease>,
        options: &TraceOptions,
        environment: &Environment,
    ) -> anyhow::Result<Traced> {
        let Self { executable, scope, offset_source, loaded } = self;
        let meta = meta(&executable, offset_source, options, environment);
        match loaded {
            Some(loaded) => loaded.attach(executable, &scope, lease, meta, options.level, environment),
            None => Ok(without_probes(executable, scope, meta)),
        }
    }
}

impl Loaded {
    fn attach(
        self,
        executable: Executable,
        scope: &Scope,
        lease: Option<&Lease>,
        meta: Meta,
        level: Level,
        environment: &Environment,
    ) -> anyhow::Result<Traced> {
        let Self { plan, programs, kernel_side } = self;
        let KernelSide { events, counters, goid_memory, mut biases, totals, waits, wait_epoch, .. } =
            kernel_side;
        if let (Scope::Processes(pids), true) = (scope, executable.binary().is_pie()) {
            for (pid, bias) in pids.iter().filter_map(|&pid| Some((pid, bias_of(&executable, pid)?))) {
                biases.insert(pid, bias);
            }
        }
        let start = MonotonicNs(host::monotonic_ns());
        let lease = lease.map(AsFd::as_fd);
        let keep = environment.keeper.as_ref().map(|keeper| Keep { keeper, lease, level: Some(level) });
        let (file, kernel) = (executable.as_fd(), environment.kernel_version);
        let mut attached = process::despite_exec(
            || attach::attach(&programs, &plan, file, scope, kernel, keep),
            |error| if let AttachError::Gone(pid) = error { Some(*pid) } else { None },
        )?;
        environment.phases.done(&format!("probes in: {}", executable.path().display()));
        attached.remember_goids(&plan, goid_memory)?;
        attached.tell_gaps_in_waits(wait_epoch);
        let meta = Meta {
            attach_method: environment.method.name(),
            start,
            attach_ns: attached.took().as_nanos() as u64,
            interval_ns: None,
            probes: probes(&plan, level),
            unavailable: unavailable(&plan, level),
            ..meta
        };
        executable.release_pages();
        let executable = Arc::new(executable);
        let processes = match scope {
            Scope::AllProcesses => Vec::new(),
            Scope::Processes(pids) => pids.iter().filter_map(|&pid| running(&executable, pid)).collect(),
        };
        let reader = RingReader::new(events, counters, start);
        let wanted = processes.iter().map(Wanted::announced).collect();
        let probes = Some(Probes { plan, attached, reader, maps: Maps { biases, waits, totals } });
        Ok(Traced { executable, probes, meta, processes, wanted, search: false })
    }
}

/// A binary of which only the memory of its processes is read.
fn without_probes(executable: Executable, scope: Scope, meta: Meta) -> Traced {
    executable.release_pages();
    let executable = Arc::new(executable);
    let (wanted, search) = match scope {
        Scope::AllProcesses => (Vec::new(), true),
        Scope::Processes(pids) => {
            (pids.into_iter().map(|pid| unannounced(&executable, pid)).collect(), false)
        }
    };
    Traced { executable, probes: None, meta, processes: Vec::new(), wanted, search }
}

/// What `-v` tells of the probes before they go in.
fn tell_plan(plan: &Plan, phases: Phases, path: &dyn fmt::Display) {
    let (sites, missing) = (plan.sites.len(), plan.unavailable.len());
    phases.done(&format!("probes planned: {path}: {sites} sites, {missing} not available"));
    for PlannedSite { spec: _, function, site, offset: _ } in &plan.sites {
        let (address, at, class) = (site.address, site.point.name(), site.class.name());
        tracing::info!(%address, at, instruction = site.instruction, class, "site of {function}");
    }
    for missing in &plan.unavailable {
        tracing::info!(why = missing.why, "not available: {}", missing.spec.gives);
    }
}

/// Stacks in the first snapshot of a trace: the summary names the longest waits only, and a million stacks took as long as
/// everything else twice over.
const STACKS_OF_OLD_WAITS: usize = 20_000;

/// How often processes are read, and what.
pub(super) fn looks(options: &TraceOptions) -> (Pace, Looks) {
    // The innermost frame of each is that of `gopark`, which is not told.
    let frames = options.stack_depth as usize + 1;
    let all = Options { stacks: options.stack_depth > 0, frames, labels: false, ..Options::default() };
    let examine = options.rules.iter().any(|rule| !rule.is_of_events);
    if options.level > Level::Snapshot {
        // Where whoever parks later stands, its event tells.
        let first = Options { most_stacks: STACKS_OF_OLD_WAITS, ..all };
        return (Pace::Adaptive, Looks { first, later: Options { stacks: false, ..all }, examine });
    }
    (Pace::Every(options.interval), Looks { first: all, later: all, examine })
}

/// A process that neither the model nor the sinks know: its first snapshot tells of it. A child that has not executed the
/// program yet does not run it before now.
fn unannounced(executable: &Arc<Executable>, pid: Pid) -> Wanted {
    let runs = Executable::id_of_process(pid).is_ok_and(|id| id == executable.id());
    let since = (!runs).then(|| MonotonicNs(host::monotonic_ns()));
    Wanted { pid, executable: Arc::clone(executable), announced: false, since }
}

/// What there is to say of a binary without probes.
fn meta(
    executable: &Executable,
    offset_source: OffsetSource,
    options: &TraceOptions,
    environment: &Environment,
) -> Meta {
    let binary = executable.binary();
    Meta {
        goflow: env!("CARGO_PKG_VERSION"),
        kernel: environment.kernel.clone(),
        binary: names::name(executable),
        build_id: binary.go_build_id().map(str::to_owned),
        go_version: binary.go_version().map(|version| version.as_str().to_owned()),
        module: binary.module().map(str::to_owned),
        pie: binary.is_pie(),
        symbol_source: binary.symbol_source().name(),
        offset_source: offset_source.name(),
        level: options.level.name(),
        attach_method: "none",
        interval_ns: Some(options.interval.as_nanos() as u64),
        start: MonotonicNs(host::monotonic_ns()),
        attach_ns: 0,
        wall_clock_offset_ns: host::wall_clock_offset_ns(),
        filter: Some(options.filter.clone()).filter(Filter::thins),
        probes: Vec::new(),
        unavailable: Vec::new(),
    }
}

/// Nothing would come of a session in which no snapshot can be taken: what stands in the way is told at once.
fn may_be_read(executable: &Executable, scope: &Scope) -> anyhow::Result<()> {
    let binary = executable.binary();
    let reader = |bias| Reader::new(binary, bias);
    reader(LoadBias(0)).with_context(|| format!("{} cannot be read", executable.path().display()))?;
    let Scope::Processes(pids) = scope else { return Ok(()) };
    for &pid in pids {
        // A child that has not executed its program yet is goflow's own.
        if Executable::id_of_process(pid).ok() != Some(executable.id()) {
            continue;
        }
        let at = if binary.is_pie() {
            let Ok(bias) = process::load_bias(pid, binary.image().lowest_address()) else { continue };
            bias.to_runtime(binary.image().lowest_address())
        } else {
            LoadBias(0).to_runtime(binary.image().lowest_address())
        };
        // What has ended meanwhile is found by whoever waits for it.
        if let Err(error @ MemoryError::Refused { .. }) = ProcessMemory::of(pid).read(at, &mut [0; 8]) {
            return Err(error).advise(|| Refusal::detect().advice_to_read());
        }
    }
    Ok(())
}

fn allow(mut kernel_side: KernelSide, scope: &Scope, filter: bool) -> anyhow::Result<KernelSide> {
    if let (true, Scope::Processes(pids)) = (filter, scope) {
        for &pid in pids {
            kernel_side.add_target(pid)?;
        }
    }
    Ok(kernel_side)
}

/// Where a running process has its binary; `None` leaves that to its first event, as for a child that has not executed
/// its program yet.
fn running(executable: &Arc<Executable>, pid: Pid) -> Option<ProcessStart> {
    let bias = bias_of(executable, pid)?;
    Some(ProcessStart { pid, executable: Arc::clone(executable), bias })
}

fn bias_of(executable: &Executable, pid: Pid) -> Option<LoadBias> {
    let binary = executable.binary();
    if !binary.is_pie() {
        return Some(LoadBias(0));
    }
    let same = Executable::id_of_process(pid).is_ok_and(|id| id == executable.id());
    same.then(|| process::load_bias(pid, binary.image().lowest_address()).ok())?
}

/// Those that are in from the start.
fn probes(plan: &Plan, level: Level) -> Vec<ProbeMeta> {
    plan.sites
        .iter()
        .filter(|planned| planned.spec.level <= level)
        .map(|planned| ProbeMeta {
            probe: planned.spec.probe,
            function: planned.function.to_owned(),
            address: planned.site.address,
            instruction: planned.site.instruction.clone(),
            class: planned.site.class.name(),
            at: planned.site.point.name(),
        })
        .collect()
}

fn unavailable(plan: &Plan, level: Level) -> Vec<Unavailable> {
    plan.unavailable
        .iter()
        .filter(|missing| missing.spec.level <= level)
        .map(|missing| Unavailable {
            what: missing.spec.gives.to_owned(),
            why: missing.why.clone(),
            is_unused: missing.is_unused,
        })
        .collect()
}

fn reasons(plan: &Plan) -> String {
    plan.unavailable.iter().map(|missing| missing.why.as_str()).collect::<Vec<_>>().join("; ")
}
