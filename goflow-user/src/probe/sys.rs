//! The calls of bpf(2) that aya 0.14 does not offer: loading a program for a multi-uprobe link, creating the link, testing
//! whether the kernel has it, and giving the variables of an object their values. And perf events that aya does not open: a
//! uprobe, which it opens only for the process that has loaded the program, and the clock of a thread.
//!
//! In: instructions or descriptors that the caller owns; out: owned descriptors or the kernel's error. Layouts are
//! those of `union bpf_attr` in include/uapi/linux/bpf.h and of `struct perf_event_attr` in include/uapi/linux/perf_event.h,
//! as generated in `aya_obj`.

use aya_obj::generated::{
    PERF_EVENT_IOC_ENABLE, PERF_EVENT_IOC_SET_BPF, PERF_FLAG_FD_CLOEXEC, bpf_attach_type, bpf_attr, bpf_cmd,
    bpf_insn, bpf_link_info, bpf_prog_type, perf_event_attr, perf_sw_ids, perf_type_id,
};
use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};

/// Enough for the verifier's story of one program.
const VERIFIER_LOG_BYTES: usize = 1 << 20;

/// Loads a program with the attach type that a multi-uprobe link requires.
///
/// # Errors
/// The kernel's error and the verifier's log.
pub(super) fn load_multi_uprobe_program(
    name: &str,
    instructions: &[bpf_insn],
    license: &CStr,
) -> Result<OwnedFd, (io::Error, String)> {
    let mut attr = program_attr(name, instructions, license);
    load(&mut attr).or_else(|_| {
        // Only a failure is worth the verifier's time to write.
        let mut log = vec![0u8; VERIFIER_LOG_BYTES];
        let mut attr = program_attr(name, instructions, license);
        // SAFETY: a program attribute was just built, so this is the active member.
        let program = unsafe { &mut attr.__bindgen_anon_3 };
        program.log_level = 1;
        program.log_size = VERIFIER_LOG_BYTES as u32;
        program.log_buf = log.as_mut_ptr() as u64;
        load(&mut attr).map_err(|error| {
            let end = log.iter().position(|&byte| byte == 0).unwrap_or(log.len());
            (error, String::from_utf8_lossy(&log[..end]).into_owned())
        })
    })
}

/// The verifier gives up with EAGAIN when a signal comes. By then its handler has run, so the next attempt goes through;
/// as many as libbpf makes.
fn load(attr: &mut bpf_attr) -> io::Result<OwnedFd> {
    const ATTEMPTS: u32 = 5;
    let mut result = bpf(bpf_cmd::BPF_PROG_LOAD, attr);
    for _ in 1..ATTEMPTS {
        if !matches!(&result, Err(error) if error.raw_os_error() == Some(libc::EAGAIN)) {
            break;
        }
        result = bpf(bpf_cmd::BPF_PROG_LOAD, attr);
    }
    result
}

fn program_attr(name: &str, instructions: &[bpf_insn], license: &CStr) -> bpf_attr {
    let mut attr = zeroed_attr();
    // SAFETY: writing the members of the variant that BPF_PROG_LOAD reads.
    let program = unsafe { &mut attr.__bindgen_anon_3 };
    program.prog_type = bpf_prog_type::BPF_PROG_TYPE_KPROBE as u32;
    program.expected_attach_type = bpf_attach_type::BPF_TRACE_UPROBE_MULTI as u32;
    program.insns = instructions.as_ptr() as u64;
    program.insn_cnt = instructions.len() as u32;
    program.license = license.as_ptr() as u64;
    // One byte less than the field: the kernel wants a terminator.
    for (to, from) in program.prog_name.iter_mut().take(15).zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    attr
}

/// Attaches a program to many places of one file at once.
///
/// `offsets` are file offsets, `cookies` one for each. With `pid`, other processes of the file pay nothing.
///
/// # Errors
/// The kernel's: `EOPNOTSUPP`-like 524 when one instruction cannot be probed, `ESRCH` when the process is gone.
pub(super) fn link_multi_uprobe(
    program: BorrowedFd<'_>,
    path: &CStr,
    offsets: &[u64],
    cookies: &[u64],
    pid: Option<u32>,
) -> io::Result<OwnedFd> {
    debug_assert_eq!(offsets.len(), cookies.len());
    let mut attr = zeroed_attr();
    // SAFETY: writing the members of the variant that BPF_LINK_CREATE reads.
    unsafe {
        let link = &mut attr.link_create;
        link.__bindgen_anon_1.prog_fd = program.as_raw_fd() as u32;
        link.attach_type = bpf_attach_type::BPF_TRACE_UPROBE_MULTI as u32;
        let multi = &mut link.__bindgen_anon_3.uprobe_multi;
        multi.path = path.as_ptr() as u64;
        multi.offsets = offsets.as_ptr() as u64;
        multi.cookies = cookies.as_ptr() as u64;
        multi.cnt = offsets.len() as u32;
        multi.pid = pid.unwrap_or(0);
    }
    bpf(bpf_cmd::BPF_LINK_CREATE, &mut attr)
}

/// Whether the process that a multi-uprobe link is for is not the one any more that it was created for: it has executed a
/// program from another thread than its first, which ended the task that the kernel holds the link's process by.
///
/// # Errors
/// The kernel's; before Linux 6.8 it tells nothing of such links.
pub(super) fn has_lost_its_process(link: BorrowedFd<'_>) -> io::Result<bool> {
    // SAFETY: plain integers, for which zero asks for nothing beyond them.
    let mut info: bpf_link_info = unsafe { std::mem::zeroed() };
    let mut attr = zeroed_attr();
    attr.info.bpf_fd = link.as_raw_fd() as u32;
    attr.info.info_len = size_of::<bpf_link_info>() as u32;
    attr.info.info = std::ptr::from_mut(&mut info) as u64;
    // SAFETY: `info` is as long as is said, and outlives the call.
    unsafe { call(bpf_cmd::BPF_OBJ_GET_INFO_BY_FD, &mut attr) }?;
    // SAFETY: the link was created as one of many uprobes, so this is what the kernel has filled in.
    Ok(unsafe { info.__bindgen_anon_1.uprobe_multi }.pid == 0)
}

/// Whose hits a perf event is for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Whose {
    /// Those of every process that maps the file.
    Everybodys,
    /// Those of this process.
    Process(u32),
    /// Those of the calling thread.
    OfThisThread,
}

/// Puts a breakpoint on one place of a file and counts its hits. `pmu` is the number of the kernel's PMU for uprobes.
///
/// # Errors
/// The kernel's.
pub(super) fn open_uprobe(pmu: u32, path: &CStr, offset: u64, whose: Whose) -> io::Result<OwnedFd> {
    let mut attr = event_attr(pmu);
    attr.__bindgen_anon_3.uprobe_path = path.as_ptr() as u64;
    attr.__bindgen_anon_4.probe_offset = offset;
    // The processor matters only to counts, and programs run wherever the breakpoint is hit.
    match whose {
        Whose::Everybodys => open_event(&attr, ANY, 0),
        Whose::Process(pid) => open_event(&attr, pid as libc::pid_t, ANY),
        Whose::OfThisThread => open_event(&attr, 0, ANY),
    }
}

/// Counts the nanoseconds that a thread is on a processor, and those of the threads that it creates from here on. Thread 0 is
/// the caller's.
///
/// # Errors
/// The kernel's: `ESRCH` when the thread is gone, `EINVAL` before Linux 5.13.
pub(super) fn open_task_clock(tid: u32) -> io::Result<OwnedFd> {
    let mut attr = event_attr(perf_type_id::PERF_TYPE_SOFTWARE as u32);
    attr.config = perf_sw_ids::PERF_COUNT_SW_TASK_CLOCK as u64;
    attr.set_inherit(1);
    // A process that it forks is another one.
    attr.set_inherit_thread(1);
    open_event(&attr, tid as libc::pid_t, ANY)
}

/// What a perf event has counted, the threads that inherited it included.
///
/// # Errors
/// The kernel's.
pub(super) fn read_count(event: &OwnedFd) -> io::Result<u64> {
    let mut count = [0; size_of::<u64>()];
    rustix::io::read(event, &mut count)?;
    Ok(u64::from_ne_bytes(count))
}

/// Whichever there is: process, processor, or group of events.
const ANY: libc::c_int = -1;

fn event_attr(kind: u32) -> perf_event_attr {
    // SAFETY: a plain struct of integers, for which zero is the documented default.
    let mut attr: perf_event_attr = unsafe { std::mem::zeroed() };
    attr.size = size_of::<perf_event_attr>() as u32;
    attr.type_ = kind;
    attr
}

fn open_event(attr: &perf_event_attr, pid: libc::pid_t, cpu: libc::c_int) -> io::Result<OwnedFd> {
    let (no_group, flags) = (ANY, libc::c_ulong::from(PERF_FLAG_FD_CLOEXEC));
    // SAFETY: `attr` and what it points to outlive the call.
    let event = unsafe {
        libc::syscall(libc::SYS_perf_event_open, std::ptr::from_ref(attr), pid, cpu, no_group, flags)
    };
    if event < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call has returned a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(event as RawFd) })
}

/// Has a program run at each hit of a perf event.
///
/// # Errors
/// The kernel's.
pub(super) fn run_at(event: &OwnedFd, program: BorrowedFd<'_>) -> io::Result<()> {
    let requests = [(PERF_EVENT_IOC_SET_BPF, program.as_raw_fd()), (PERF_EVENT_IOC_ENABLE, 0)];
    for (request, argument) in requests {
        // SAFETY: both requests take a number; the descriptors are open.
        if unsafe { libc::ioctl(event.as_raw_fd(), libc::Ioctl::from(request), argument) } < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Sets the only element of an array, which is as long as `value`.
///
/// # Errors
/// The kernel's.
pub(super) fn set_first_element(map: BorrowedFd<'_>, value: &[u8]) -> io::Result<()> {
    let key = 0_u32;
    let mut attr = zeroed_attr();
    // SAFETY: writing the members of the variant that BPF_MAP_UPDATE_ELEM reads.
    unsafe {
        let element = &mut attr.__bindgen_anon_2;
        element.map_fd = map.as_raw_fd() as u32;
        element.key = std::ptr::from_ref(&key) as u64;
        element.__bindgen_anon_1.value = value.as_ptr() as u64;
    }
    // SAFETY: key and value outlive the call.
    unsafe { call(bpf_cmd::BPF_MAP_UPDATE_ELEM, &mut attr) }.map(drop)
}

/// Lets nobody change a map from user space any more.
///
/// # Errors
/// The kernel's.
pub(super) fn freeze(map: BorrowedFd<'_>) -> io::Result<()> {
    let mut attr = zeroed_attr();
    attr.__bindgen_anon_2.map_fd = map.as_raw_fd() as u32;
    // SAFETY: this command reads the descriptor only.
    unsafe { call(bpf_cmd::BPF_MAP_FREEZE, &mut attr) }.map(drop)
}

fn zeroed_attr() -> bpf_attr {
    // SAFETY: bpf_attr is a union of plain integers and pointers-as-integers; all zero is its documented default.
    unsafe { std::mem::zeroed() }
}

/// A command that returns a new descriptor.
fn bpf(command: bpf_cmd, attr: &mut bpf_attr) -> io::Result<OwnedFd> {
    // SAFETY: `attr` is a valid bpf_attr, and what it points to outlives the call.
    let descriptor = unsafe { call(command, attr) }?;
    // SAFETY: these commands return a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// # Safety
/// What `attr` points to is valid for what `command` does with it.
unsafe fn call(command: bpf_cmd, attr: &mut bpf_attr) -> io::Result<RawFd> {
    // SAFETY: `attr` is a valid bpf_attr of the given size; the caller vouches for the rest.
    let result = unsafe {
        libc::syscall(libc::SYS_bpf, command as libc::c_long, std::ptr::from_mut(attr), size_of::<bpf_attr>())
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result as RawFd) }
}
