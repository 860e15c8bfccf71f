//! The keeper: a process that does nothing but hold the probes.
//!
//! In: requests over a socket, with descriptors; out: probes that are in until they are asked out or the socket ends. What
//! is hard: a thread that has been sent a SIGKILL cannot finish what it does in the kernel, and the kernel can then neither
//! place nor remove a breakpoint. So the process that does both is not the one that people, supervisors and the
//! out-of-memory killer end: it is forked before goflow has a second thread, has a session, a name and a few pages of its
//! own, and takes no signal. When goflow dies, however, the socket ends and the keeper takes the probes out.

use super::calibration;
use super::catalog::Level;
use super::link::{self, Links, Order, Refusal};
use crate::target::signal_mask::SignalMask;
use crate::target::{host, process};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::retry_on_intr;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, Shutdown, SocketFlags, SocketType, recv, recvmsg, send, sendmsg,
    shutdown, socketpair,
};
use rustix::process::{
    Pid, Signal, WaitOptions, chdir, kill_process, set_parent_process_death_signal, setsid, waitpid,
};
use rustix::thread::set_name;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::ffi::CStr;
use std::fs::{self, File};
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd, RawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

/// What a keeper is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duty {
    /// To hold the probes of a session.
    Keep,
    /// To make hits on functions of goflow's own, and hold their probes.
    Hit,
}

impl Duty {
    /// What `ps` and `top` call it. Without the name of goflow, so that `pkill goflow` does not find it.
    fn name(self) -> &'static CStr {
        match self {
            Self::Keep => c"probe-keeper",
            Self::Hit => c"probe-costs",
        }
    }
}

/// Descriptors in one message: the file, and a program for each probe. The kernel takes 253.
const MOST_DESCRIPTORS: usize = 64;

/// The longest message: a few hundred places and ten thousand pids.
const MOST_BYTES: usize = 192 << 10;

/// What goflow asks for.
#[derive(Debug, Serialize, Deserialize)]
enum Request {
    /// With the file and the programs as descriptors.
    Attach(Order),
    /// Of an earlier answer.
    Detach(u32),
    /// Of an earlier answer, these groups of its places.
    Withdraw(u32, Vec<usize>),
    /// Of an earlier answer, one group of its places, for these processes if it is not for everybody.
    Restore(u32, usize, Vec<u32>),
    /// Of an earlier answer, for this process, which has executed the file anew.
    Renew(u32, u32),
    /// A round of hits on functions of its own.
    Hit,
}

/// Under which number links are held, or how many were renewed; 0 where there is nothing to tell.
type Answer = Result<u32, Refusal>;

/// What the keeper holds.
struct Held {
    /// Dropped first: some of the others must outlast the probes.
    links: Links,
    order: Order,
    /// The file, then the programs, then what is only to be held.
    descriptors: Vec<OwnedFd>,
}

/// Who is to hold the probes, and what else for as long.
#[derive(Clone, Copy)]
pub struct Keep<'a> {
    /// Who.
    pub keeper: &'a Arc<Keeper>,
    /// The lease of the file, which nobody may overwrite before the probes are out.
    pub lease: Option<BorrowedFd<'a>>,
    /// The probes of each level are to go out and in by themselves, and those up to this one are in from the start. `None`:
    /// all of them together, since closing several links takes longer than closing one.
    pub level: Option<Level>,
}

/// A process that holds probes. Dropping it takes out what it still holds, and waits for its end.
#[derive(Debug)]
pub struct Keeper {
    process: Pid,
    socket: OwnedFd,
    /// A request and its answer belong together.
    turn: Mutex<()>,
}

/// Why the keeper has put no probes in.
#[derive(Debug)]
pub(super) enum KeeperError {
    /// The kernel would not.
    Refused(Refusal),
    /// It has ended in the middle of it.
    Ended(io::Error),
}

impl Keeper {
    /// Forks. To be called while the caller has one thread.
    ///
    /// # Errors
    /// There is another thread already, or the system has no room for a process.
    pub fn start(duty: Duty) -> io::Result<Self> {
        if fs::read_dir("/proc/self/task")?.count() != 1 {
            return Err(io::Error::other("other threads run already"));
        }
        let (socket, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        let before = SignalMask::all().block()?;
        // SAFETY: the process has one thread, so no lock is held and the child may do what its parent may.
        let forked = unsafe { libc::fork() };
        if forked == 0 {
            drop(socket);
            end_after(|| keep(&theirs, duty));
        }
        let failed = io::Error::last_os_error();
        before.set()?;
        let process = Pid::from_raw(forked).filter(|_| forked > 0).ok_or(failed)?;
        Ok(Self { process, socket, turn: Mutex::default() })
    }

    /// True when it has ended, which it does not before it is dropped: somebody has ended it. Then the probes are out.
    ///
    /// # Errors
    /// The system refused to say.
    pub fn has_ended(&self) -> io::Result<bool> {
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        let mut socket = [PollFd::new(&self.socket, PollFlags::IN)];
        Ok(retry_on_intr(|| poll(&mut socket, Some(&at_once)))? > 0)
    }

    /// Has probes put in; returns under which number they are held.
    pub(super) fn attach(
        &self,
        order: Order,
        file: BorrowedFd<'_>,
        programs: &[BorrowedFd<'_>],
        lease: Option<BorrowedFd<'_>>,
    ) -> Result<u32, KeeperError> {
        let descriptors: Vec<_> = [file].into_iter().chain(programs.iter().copied()).chain(lease).collect();
        self.ask(&Request::Attach(order), &descriptors)
    }

    /// Has the probes of this process put in anew if the kernel has lost sight of it; returns for how many that was done.
    pub(super) fn renew(&self, number: u32, pid: u32) -> Result<u32, KeeperError> {
        self.ask(&Request::Renew(number, pid), &[])
    }

    /// Has the probes of these groups taken out.
    pub(super) fn withdraw(&self, number: u32, groups: Vec<usize>) -> Result<(), KeeperError> {
        self.ask(&Request::Withdraw(number, groups), &[]).map(|_| ())
    }

    /// Has the probes of one group put in again, for those of `alive` that they were for.
    pub(super) fn restore(&self, number: u32, group: usize, alive: Vec<u32>) -> Result<(), KeeperError> {
        self.ask(&Request::Restore(number, group, alive), &[]).map(|_| ())
    }

    /// Somebody may have stopped it, and then it would never answer. It is our child, so its pid is its own.
    fn wake(&self) {
        // One that has ended needs no waking.
        let _ = kill_process(self.process, Signal::CONT);
    }

    fn ask(&self, request: &Request, descriptors: &[BorrowedFd<'_>]) -> Result<u32, KeeperError> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        self.wake();
        tell(&self.socket, request, descriptors).map_err(|error| match error.kind() {
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => KeeperError::Ended(error),
            // It did not get there: more processes than a message holds.
            io::ErrorKind::ArgumentListTooLong => KeeperError::Refused(Refusal::TooLong),
            _ => KeeperError::Refused(Refusal::of(&error, None, None)),
        })?;
        match hear::<Answer>(&self.socket) {
            Ok(Some(answer)) => answer.map_err(KeeperError::Refused),
            Ok(None) => Err(KeeperError::Ended(io::ErrorKind::UnexpectedEof.into())),
            Err(error) => Err(KeeperError::Ended(error)),
        }
    }

    /// Whose process it is.
    pub(super) fn pid(&self) -> crate::target::Pid {
        crate::target::Pid(self.process.as_raw_nonzero().get().unsigned_abs())
    }

    /// CPU time that it has used since it was forked, in nanoseconds; `None` where the system does not tell.
    #[must_use]
    pub fn cpu_ns(&self) -> Option<u64> {
        // Nobody takes note of its end before it is dropped, so that its pid is its own.
        process::cpu_ns_of(self.pid())
    }

    /// Has it make a round of hits for [`calibration`].
    pub(super) fn hit(&self) -> io::Result<calibration::Round> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        self.wake();
        tell(&self.socket, &Request::Hit, &[])?;
        hear(&self.socket)?.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    /// Has probes taken out; false when the keeper has ended in the middle of it. If it had ended before, they are out.
    pub(super) fn detach(&self, number: u32) -> bool {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        self.wake();
        tell(&self.socket, &Request::Detach(number), &[]).is_err()
            || matches!(hear::<()>(&self.socket), Ok(Some(())))
    }
}

/// Between requests it becomes readable when the keeper has ended.
impl AsFd for Keeper {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        // It may have ended; then there is nothing to end, and perhaps somebody else has taken note of it.
        let _ = shutdown(&self.socket, Shutdown::Both);
        self.wake();
        let _ = retry_on_intr(|| waitpid(Some(self.process), WaitOptions::empty()));
    }
}

/// In the child: whatever happens, nothing of what the parent does after its fork.
fn end_after(body: impl FnOnce() -> io::Result<()>) -> ! {
    let result = catch_unwind(AssertUnwindSafe(body));
    let status = i32::from(!matches!(result, Ok(Ok(()))));
    // SAFETY: ends the process at once, without what the parent has registered for its own end.
    unsafe { libc::_exit(status) }
}

/// The life of the keeper. Its signals are blocked already.
fn keep(socket: &OwnedFd, duty: Duty) -> io::Result<()> {
    setsid()?;
    set_name(duty.name())?;
    // Until it has had its turn, the target pays for probes that were to be out.
    host::run_before_others();
    // One that was stopped goes on when goflow dies, and takes the probes out.
    set_parent_process_death_signal(Some(Signal::CONT))?;
    // It must not keep a file system busy, nor a pipe or a file of goflow's open.
    chdir("/")?;
    let null = File::options().read(true).write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    rustix::stdio::dup2_stderr(&null)?;
    close_all_but(socket.as_raw_fd())?;
    serve(socket)
}

fn close_all_but(kept: RawFd) -> io::Result<()> {
    let mut open = Vec::new();
    for entry in fs::read_dir("/proc/self/fd")? {
        open.extend(entry?.file_name().to_str().and_then(|name| name.parse::<RawFd>().ok()));
    }
    for descriptor in open.into_iter().filter(|&one| one > libc::STDERR_FILENO && one != kept) {
        // SAFETY: nothing in this process uses what the parent had open, and its owners are never dropped here. The one of
        // the directory is closed already.
        unsafe { libc::close(descriptor) };
    }
    Ok(())
}

/// Until the socket ends. The links that are held then close as this returns.
fn serve(socket: &OwnedFd) -> io::Result<()> {
    let mut held: HashMap<u32, Held> = HashMap::new();
    let mut next = 0;
    loop {
        let (request, descriptors) = match hear_with_descriptors(socket)? {
            Some(heard) => heard,
            None => return Ok(()),
        };
        match request {
            Request::Attach(order) => {
                let attached = Held::attach(order, descriptors).map(|one| {
                    next += 1;
                    held.insert(next, one);
                    next
                });
                tell::<Answer>(socket, &attached, &[])?;
            }
            Request::Renew(number, pid) => {
                let renewed = held.get_mut(&number).map_or(Ok(0), |held| held.renew(pid));
                tell::<Answer>(socket, &renewed, &[])?;
            }
            Request::Withdraw(number, groups) => {
                if let Some(held) = held.get_mut(&number) {
                    held.links.withdraw(&groups);
                }
                tell::<Answer>(socket, &Ok(0), &[])?;
            }
            Request::Restore(number, group, alive) => {
                let restored = held.get_mut(&number).map_or(Ok(()), |held| held.restore(group, &alive));
                tell::<Answer>(socket, &restored.map(|()| 0), &[])?;
            }
            Request::Hit => tell(socket, &calibration::hit(), &[])?,
            Request::Detach(number) => {
                let mut going = held.remove(&number);
                if let Some(going) = &mut going {
                    going.links.take_out();
                }
                tell(socket, &(), &[])?;
            }
        }
    }
}

impl Held {
    fn attach(order: Order, descriptors: Vec<OwnedFd>) -> Result<Self, Refusal> {
        let links = with_file(&descriptors, |file, programs| link::create(&order, file, programs))?;
        Ok(Self { links, order, descriptors })
    }

    fn restore(&mut self, group: usize, alive: &[u32]) -> Result<(), Refusal> {
        let Self { links, order, descriptors } = self;
        with_file(descriptors, |file, programs| link::restore(order, file, programs, links, group, alive))
    }

    fn renew(&mut self, pid: u32) -> Result<u32, Refusal> {
        let Self { links, order, descriptors } = self;
        with_file(descriptors, |file, programs| link::renew(order, file, programs, links, pid))
    }
}

fn with_file<T>(
    descriptors: &[OwnedFd],
    work: impl FnOnce(BorrowedFd<'_>, &[BorrowedFd<'_>]) -> Result<T, Refusal>,
) -> Result<T, Refusal> {
    let borrowed: Vec<_> = descriptors.iter().map(AsFd::as_fd).collect();
    let (file, programs) = borrowed.split_first().ok_or(Refusal::Incomplete)?;
    work(*file, programs)
}

fn tell<T: Serialize>(socket: &OwnedFd, message: &T, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let bytes = serde_json::to_vec(message)?;
    if bytes.len() > MOST_BYTES {
        return Err(io::ErrorKind::ArgumentListTooLong.into());
    }
    if descriptors.is_empty() {
        retry_on_intr(|| send(socket, &bytes, SendFlags::NOSIGNAL))?;
        return Ok(());
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !ancillary.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::ErrorKind::ArgumentListTooLong.into());
    }
    retry_on_intr(|| sendmsg(socket, &[IoSlice::new(&bytes)], &mut ancillary, SendFlags::NOSIGNAL))?;
    Ok(())
}

/// `None` when the other side has ended.
fn hear<T: DeserializeOwned>(socket: &OwnedFd) -> io::Result<Option<T>> {
    let mut bytes = [0; 256];
    let (length, _) = retry_on_intr(|| recv(socket, &mut bytes, RecvFlags::empty()))?;
    understood(&bytes[..length])
}

fn hear_with_descriptors(socket: &OwnedFd) -> io::Result<Option<(Request, Vec<OwnedFd>)>> {
    let mut bytes = vec![0; MOST_BYTES];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut slices = [IoSliceMut::new(&mut bytes)];
    let message = retry_on_intr(|| recvmsg(socket, &mut slices, &mut ancillary, RecvFlags::CMSG_CLOEXEC))?;
    let mut descriptors = Vec::new();
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            descriptors.extend(rights);
        }
    }
    Ok(understood(&bytes[..message.bytes])?.map(|request| (request, descriptors)))
}

/// No message is empty, so nothing is the end.
fn understood<T: DeserializeOwned>(bytes: &[u8]) -> io::Result<Option<T>> {
    if bytes.is_empty() { Ok(None) } else { Ok(Some(serde_json::from_slice(bytes)?)) }
}
