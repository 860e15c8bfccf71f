//! What this kernel can do, found by asking it and not from its version.
//!
//! In: nothing; out: one [`Support`] per feature, with three answers, because a caller without privilege learns nothing
//! from a refusal. Nothing stays behind: every test object dies with its descriptor. The last word has
//! [`uprobe_trial`], which puts a probe into goflow itself and lets it be hit.

use std::ffi::CStr;
use std::fs;
use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, AsRawFd as _, RawFd};

use aya::maps::{Array, Map, MapData, MapError, MapType};
use aya::programs::{ProgramError, ProgramType};
use aya::sys::{BpfHelper, is_helper_supported, is_map_supported, is_program_supported};
use aya_obj::generated::{BPF_PSEUDO_MAP_VALUE, bpf_insn};
use rustix::thread::CapabilitySet;

use super::load::AttachMethod;
use super::sys;

/// Kernel object behind uprobes that are perf events; its file `type` holds the number of the PMU.
const UPROBE_PMU: &str = "/sys/bus/event_source/devices/uprobe/type";

/// goflow's own executable.
const SELF: &CStr = c"/proc/self/exe";

/// Hits that [`uprobe_trial`] makes, and must count.
pub const TRIAL_HITS: u64 = 3;

/// Whether the kernel has a feature.
#[derive(Debug)]
pub enum Support {
    /// It has.
    Yes,
    /// It has not.
    No,
    /// It would not say, mostly because the caller lacks a privilege.
    Unknown(io::Error),
}

impl Support {
    /// True for a certain yes.
    #[must_use]
    pub fn is_yes(&self) -> bool {
        matches!(self, Self::Yes)
    }
}

/// Programs of the type that uprobes run.
#[must_use]
pub fn programs() -> Support {
    answer_of_program(is_program_supported(ProgramType::KProbe))
}

/// Ring buffer maps (Linux 5.8).
#[must_use]
pub fn ring_buffer() -> Support {
    match is_map_supported(MapType::RingBuf) {
        Ok(true) => Support::Yes,
        Ok(false) => Support::No,
        Err(error) => unless_absent(error.io_error),
    }
}

/// Cookies, by which one program tells its probes apart (Linux 5.15).
#[must_use]
pub fn cookies() -> Support {
    answer_of_program(is_helper_supported(ProgramType::KProbe, BpfHelper::BPF_FUNC_get_attach_cookie))
}

/// Links that hold many uprobes (Linux 6.6).
///
/// A kernel that knows them looks at the path only once it has accepted the program, and "/" is not a regular file:
/// `EBADF`. One that does not know them refuses the attach type with `EINVAL`.
#[must_use]
pub fn multi_uprobe() -> Support {
    let program = match sys::load_multi_uprobe_program("goflow_feature", &[return_zero(), exit()], c"GPL") {
        Ok(program) => program,
        Err((error, _log)) => return unless_absent(error),
    };
    match sys::link_multi_uprobe(program.as_fd(), c"/", &[1], &[0], None) {
        // "/" cannot be probed; a kernel that says otherwise is not one we know.
        Ok(_link) => Support::Unknown(io::Error::other("the kernel accepted a probe on a directory")),
        Err(error) => match error.raw_os_error() {
            Some(libc::EBADF) => Support::Yes,
            Some(libc::EINVAL) => Support::No,
            _ => Support::Unknown(error),
        },
    }
}

/// The capabilities that placing probes takes; `CAP_SYS_ADMIN` stands for all of them.
///
/// A multi-uprobe link asks for `CAP_PERFMON` (kernel/trace/bpf_trace.c) and its program for `CAP_BPF`; a uprobe that is a
/// perf event asks for `CAP_SYS_ADMIN`, since a fix of 2025 that went to every stable kernel.
#[must_use]
pub const fn capabilities_needed(method: AttachMethod) -> CapabilitySet {
    match method {
        AttachMethod::UprobeMulti => CapabilitySet::BPF.union(CapabilitySet::PERFMON),
        AttachMethod::PerfEvent => CapabilitySet::SYS_ADMIN,
    }
}

/// The capabilities that matter to goflow, and their names in capabilities(7).
const CAPABILITIES: [(CapabilitySet, &str); 4] = [
    (CapabilitySet::SYS_ADMIN, "CAP_SYS_ADMIN"),
    (CapabilitySet::SYS_PTRACE, "CAP_SYS_PTRACE"),
    (CapabilitySet::BPF, "CAP_BPF"),
    (CapabilitySet::PERFMON, "CAP_PERFMON"),
];

/// Names of those capabilities of `set` that matter to goflow.
#[must_use]
pub fn capability_names(set: CapabilitySet) -> Vec<&'static str> {
    CAPABILITIES.iter().filter(|(one, _)| set.contains(*one)).map(|(_, name)| *name).collect()
}

/// What `held` lacks to place probes, as a sentence; for whoever is not root also what it lacks to look at processes of
/// other users.
#[must_use]
pub fn lacking(held: CapabilitySet, method: AttachMethod, is_root: bool) -> String {
    let missing = capability_names(capabilities_needed(method).difference(held)).join(" and ");
    let enough = match method {
        AttachMethod::UprobeMulti => " (or CAP_SYS_ADMIN, which is enough alone)",
        AttachMethod::PerfEvent => "",
    };
    let others = if is_root || held.contains(CapabilitySet::SYS_PTRACE) {
        ""
    } else {
        ", and CAP_SYS_PTRACE to look at processes of other users"
    };
    format!("goflow lacks {missing}{enough}{others}")
}

/// True when `held` is enough to place probes.
#[must_use]
pub fn may_probe(held: CapabilitySet, method: AttachMethod) -> bool {
    held.contains(CapabilitySet::SYS_ADMIN) || held.contains(capabilities_needed(method))
}

/// The number of the perf PMU for uprobes.
///
/// # Errors
/// The kernel has none, or `/sys` is not there.
pub fn uprobe_pmu() -> io::Result<u32> {
    let text = fs::read_to_string(UPROBE_PMU)?;
    text.trim()
        .parse()
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, format!("{UPROBE_PMU} holds {text:?}")))
}

/// Probes a function of goflow itself the way a session would, calls it [`TRIAL_HITS`] times, and returns how many hits
/// the kernel counted.
///
/// It fails wherever a session would: by capabilities, by security modules, by a sandbox that only looks like Linux.
///
/// # Errors
/// The kernel's refusal.
pub fn uprobe_trial(method: AttachMethod) -> io::Result<u64> {
    let offset = file_offset_of(trial_target as *const () as u64)?;
    match method {
        AttachMethod::UprobeMulti => trial_by_link(offset),
        AttachMethod::PerfEvent => trial_by_perf_event(offset),
    }
}

fn hit_the_trial_target() {
    for _ in 0..TRIAL_HITS {
        std::hint::black_box(trial_target as extern "C" fn(u64) -> u64)(1);
    }
}

fn trial_by_link(offset: u64) -> io::Result<u64> {
    let layout = aya_obj::Map::new_from_params(MapType::Array as u32, 4, 8, 1, 0);
    let map = MapData::create(layout, "goflow_trial", None).map_err(refusal)?;
    let code = count_into(map.fd().as_fd().as_raw_fd());
    let program =
        sys::load_multi_uprobe_program("goflow_trial", &code, c"GPL").map_err(|(error, _log)| error)?;
    let link = sys::link_multi_uprobe(program.as_fd(), SELF, &[offset], &[0], None)?;
    hit_the_trial_target();
    drop(link);
    let map = Map::Array(map);
    let counter = Array::<_, u64>::try_from(&map).map_err(refusal)?;
    counter.get(&0, 0).map_err(refusal)
}

/// The kernel's error, where there is one under aya's.
fn refusal(error: MapError) -> io::Error {
    match error {
        MapError::CreateError { io_error, .. } => io_error,
        MapError::SyscallError(error) => error.io_error,
        other => io::Error::other(other),
    }
}

fn trial_by_perf_event(offset: u64) -> io::Result<u64> {
    let mut counter =
        fs::File::from(sys::open_uprobe(uprobe_pmu()?, SELF, offset, sys::Whose::OfThisThread)?);
    hit_the_trial_target();
    let mut count = [0; 8];
    counter.read_exact(&mut count)?;
    Ok(u64::from_ne_bytes(count))
}

/// `r1 = &map[0]; r2 = 1; lock *r1 += r2; return 0`, for an array map of one 64-bit value.
fn count_into(map: RawFd) -> [bpf_insn; 6] {
    const LOAD_64: u8 = 0x18;
    const MOVE: u8 = 0xb7;
    const ATOMIC_ADD_64: u8 = 0xdb;
    [
        instruction(LOAD_64, 1, BPF_PSEUDO_MAP_VALUE as u8, map),
        instruction(0, 0, 0, 0),
        instruction(MOVE, 2, 0, 1),
        instruction(ATOMIC_ADD_64, 1, 2, 0),
        return_zero(),
        exit(),
    ]
}

fn return_zero() -> bpf_insn {
    instruction(0xb7, 0, 0, 0)
}

fn exit() -> bpf_insn {
    instruction(0x95, 0, 0, 0)
}

fn instruction(code: u8, destination: u8, source: u8, imm: i32) -> bpf_insn {
    let registers = bpf_insn::new_bitfield_1(destination, source);
    bpf_insn { code, _bitfield_align_1: [], _bitfield_1: registers, off: 0, imm }
}

/// The function that [`uprobe_trial`] probes.
#[inline(never)]
extern "C" fn trial_target(value: u64) -> u64 {
    std::hint::black_box(value)
}

/// Where in this executable's file the code at `address` comes from.
pub(super) fn file_offset_of(address: u64) -> io::Result<u64> {
    let maps = fs::read_to_string("/proc/self/maps")?;
    maps.lines()
        .find_map(|line| offset_in_mapping(line, address))
        .ok_or_else(|| io::Error::other(format!("{address:#x} is in no mapping of /proc/self/maps")))
}

/// Reads `start-end perms offset …`, all in hex.
fn offset_in_mapping(line: &str, address: u64) -> Option<u64> {
    let hex = |text: &str| u64::from_str_radix(text, 16).ok();
    let mut fields = line.split_ascii_whitespace();
    let (start, end) = fields.next()?.split_once('-')?;
    let offset = hex(fields.nth(1)?)?;
    let start = hex(start)?;
    (start..hex(end)?).contains(&address).then(|| address - start + offset)
}

fn answer_of_program(result: Result<bool, ProgramError>) -> Support {
    match result {
        Ok(true) => Support::Yes,
        Ok(false) => Support::No,
        Err(ProgramError::SyscallError(error)) => unless_absent(error.io_error),
        Err(error) => Support::Unknown(io::Error::other(error)),
    }
}

/// A kernel without bpf(2) says so.
fn unless_absent(error: io::Error) -> Support {
    if error.raw_os_error() == Some(libc::ENOSYS) { Support::No } else { Support::Unknown(error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_missing_capability_is_named() {
        let multi = |held| lacking(held, AttachMethod::UprobeMulti, true);
        assert_eq!(
            multi(CapabilitySet::empty()),
            "goflow lacks CAP_BPF and CAP_PERFMON (or CAP_SYS_ADMIN, which is enough alone)"
        );
        assert_eq!(
            multi(CapabilitySet::PERFMON),
            "goflow lacks CAP_BPF (or CAP_SYS_ADMIN, which is enough alone)"
        );
        let both = CapabilitySet::BPF | CapabilitySet::PERFMON;
        assert_eq!(
            lacking(both, AttachMethod::PerfEvent, false),
            "goflow lacks CAP_SYS_ADMIN, and CAP_SYS_PTRACE to look at processes of other users"
        );
        assert_eq!(
            lacking(both | CapabilitySet::SYS_PTRACE, AttachMethod::PerfEvent, false),
            "goflow lacks CAP_SYS_ADMIN"
        );
    }

    #[test]
    fn the_offset_of_an_address_counts_from_the_start_of_the_file() {
        let line = "55d0c0a00000-55d0c0b00000 r-xp 00042000 fe:00 1234    /usr/bin/goflow";
        assert_eq!(offset_in_mapping(line, 0x55d0_c0a0_0010), Some(0x42010));
        assert_eq!(offset_in_mapping(line, 0x55d0_c0b0_0000), None);
        assert_eq!(offset_in_mapping("garbage", 0), None);
    }

    #[test]
    fn a_refusal_without_privilege_is_not_a_no() {
        assert!(matches!(unless_absent(io::Error::from_raw_os_error(libc::EPERM)), Support::Unknown(_)));
        assert!(matches!(unless_absent(io::Error::from_raw_os_error(libc::ENOSYS)), Support::No));
    }
}
