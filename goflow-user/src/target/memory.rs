//! Memory of a target: a live process, and for tests and core files anything else that answers reads.
//!
//! In: runs of addresses. Out: their bytes, and for each run how many could be read: all, the first few, or none. What is
//! hard is to be quick: a call of the kernel costs more than the bytes it brings, so [`read_each`] sorts what is wanted,
//! joins neighbours into one run, and reads many runs with one call. Nothing is allocated by a length from the target.
//!
//! A read may never return: the kernel waits for whoever provides the page (userfaultfd, a network file system). The
//! thread that reads cannot end that, but whoever waits for it can know by its [`Pulse`].

use super::Pid;
use crate::binary::addr::RuntimeAddr;
use std::cell::Cell;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use thiserror::Error;

/// One contiguous piece to read.
#[derive(Debug)]
pub struct Run<'b> {
    /// Where it starts.
    pub address: RuntimeAddr,
    /// Where the bytes go.
    pub into: &'b mut [u8],
    /// How many bytes, from its start, were read; the rest of `into` means nothing.
    pub read: usize,
}

/// Why the memory of a target cannot be read at all. That a certain address cannot be read is no error.
#[derive(Debug, Error)]
pub enum MemoryError {
    /// There is no such process any more.
    #[error("process {0} has ended")]
    Ended(Pid),
    /// The kernel refuses.
    #[error("the memory of process {pid} may not be read: {error}")]
    Refused {
        /// The process.
        pid: Pid,
        /// What the kernel said.
        #[source]
        error: io::Error,
    },
    /// Anything else.
    #[error("the memory of process {pid} could not be read: {error}")]
    Failed {
        /// The process.
        pid: Pid,
        /// What the kernel said.
        #[source]
        error: io::Error,
    },
    /// The reads took longer than they were given, see [`Limited`].
    #[error("reading was ended after {}", humantime::format_duration(*.0))]
    OutOfTime(Duration),
    /// [`Pulse::cancel`] was called.
    #[error("nobody waits for it any more")]
    Unwanted,
}

/// Where a thread stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registers {
    /// Program counter.
    pub pc: u64,
    /// Stack pointer.
    pub sp: u64,
    /// Frame pointer.
    pub bp: u64,
}

/// Something whose memory can be read.
pub trait Memory {
    /// The registers of the thread with this id of the kernel's; `None` where they are not known.
    fn registers(&self, tid: u64) -> Option<Registers>;

    /// Whether this is of one moment, so that also what ran holds still.
    fn stands_still(&self) -> bool;

    /// How long it can still be read.
    fn left(&self) -> Duration {
        Duration::MAX
    }

    /// Reads each run and sets its [`Run::read`].
    ///
    /// # Errors
    /// Nothing at all can be read; see [`MemoryError`].
    fn read_runs(&self, runs: &mut [Run<'_>]) -> Result<(), MemoryError>;

    /// Reads one piece; `false` when not all of it could be read.
    ///
    /// # Errors
    /// As [`Memory::read_runs`].
    fn read(&self, address: RuntimeAddr, into: &mut [u8]) -> Result<bool, MemoryError> {
        let wanted = into.len();
        let mut runs = [Run { address, into, read: 0 }];
        self.read_runs(&mut runs)?;
        Ok(runs[0].read == wanted)
    }
}

/// Most runs in one call (`IOV_MAX` of Linux).
const MOST_RUNS: usize = 1024;

/// Most bytes in one call: large enough that calls do not count, small enough to stay in a CPU's cache.
const BATCH: usize = 1 << 18;

thread_local! {
    /// Where a batch goes. Fresh memory would be cleared by the kernel page by page, which takes longer than to fill it.
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    /// What is wanted, in its order.
    static ORDER: Cell<Vec<Piece>> = const { Cell::new(Vec::new()) };
}

/// Neighbours this far apart are read as one run. Less than a page, so that no page is touched that holds neither.
const GAP: u64 = 2048;

/// Reads `size` bytes at each of `addresses`, in whatever order is quickest, and hands each to `each` with its index.
/// The bytes are `None` where not all of them could be read.
///
/// # Errors
/// As [`Memory::read_runs`].
pub fn read_each(
    memory: &dyn Memory,
    addresses: &[u64],
    size: usize,
    mut each: impl FnMut(usize, Option<&[u8]>),
) -> Result<(), MemoryError> {
    if addresses.is_empty() {
        return Ok(());
    }
    let mut order = ORDER.take();
    order.clear();
    order.extend((0..).zip(addresses).map(|(index, &address)| Piece { address, index }));
    // Stable, because most of them lie in order already.
    order.sort();
    let mut buffer = BUFFER.take();
    if buffer.len() < BATCH.max(size) {
        buffer.resize(BATCH.max(size), 0);
    }
    let mut rest = order.as_slice();
    while !rest.is_empty() {
        let (batch, spans) = next_batch(rest, size, buffer.len());
        read_batch(memory, &rest[..batch], size, &spans, &mut buffer, &mut each)?;
        rest = &rest[batch..];
    }
    BUFFER.set(buffer);
    ORDER.set(order);
    Ok(())
}

/// Something wanted: where it is, and which of all it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Piece {
    address: u64,
    index: u32,
}

/// A run of a batch: its first address, its length, and how many of the wanted pieces it covers.
struct Span {
    address: u64,
    len: usize,
    pieces: usize,
}

/// How many of `order` fit one call, and as which runs.
fn next_batch(order: &[Piece], size: usize, room: usize) -> (usize, Vec<Span>) {
    let mut spans: Vec<Span> = Vec::new();
    let (mut used, mut taken) = (0, 0);
    for &Piece { address, .. } in order {
        // An address so high that its piece would wrap cannot be joined to anything.
        let end = address.checked_add(size as u64);
        let more = spans.len() < MOST_RUNS && used + size <= room;
        let joined = spans.last_mut().and_then(|span| {
            let distance = address - span.address;
            let gap = distance.saturating_sub(span.len as u64);
            let longer = usize::try_from(distance).ok()?.checked_add(size)?.max(span.len);
            (gap <= GAP && end.is_some() && used + longer - span.len <= room).then_some((span, longer))
        });
        match joined {
            Some((span, longer)) => {
                used += longer - span.len;
                span.len = longer;
                span.pieces += 1;
            }
            None if more => {
                used += size;
                spans.push(Span { address, len: size, pieces: 1 });
            }
            None => break,
        }
        taken += 1;
    }
    (taken, spans)
}

fn read_batch(
    memory: &dyn Memory,
    order: &[Piece],
    size: usize,
    spans: &[Span],
    buffer: &mut [u8],
    each: &mut impl FnMut(usize, Option<&[u8]>),
) -> Result<(), MemoryError> {
    let mut runs = Vec::with_capacity(spans.len());
    let mut room = buffer;
    for span in spans {
        let (into, rest) = room.split_at_mut(span.len);
        room = rest;
        runs.push(Run { address: RuntimeAddr(span.address), into, read: 0 });
    }
    memory.read_runs(&mut runs)?;
    let mut pieces = order;
    let mut alone = vec![0; if runs.iter().all(|run| run.read == run.into.len()) { 0 } else { size }];
    for (span, run) in spans.iter().zip(&runs) {
        let (mine, rest) = pieces.split_at(span.pieces);
        pieces = rest;
        for &Piece { address, index } in mine {
            let at = (address - span.address) as usize;
            if at + size <= run.read {
                each(index as usize, Some(&run.into[at..at + size]));
            } else if span.pieces > 1 && memory.read(RuntimeAddr(address), &mut alone)? {
                // A neighbour could not be read; this one may stand beyond it.
                each(index as usize, Some(&alone));
            } else {
                each(index as usize, None);
            }
        }
    }
    Ok(())
}

/// The memory of a live process. It is not stopped: what is read may change meanwhile.
#[derive(Clone, Copy, Debug)]
pub struct ProcessMemory {
    pid: Pid,
}

impl ProcessMemory {
    /// The memory of `pid`. Whoever holds a [`super::process::Process`] of it knows that no other process has that pid.
    #[must_use]
    pub fn of(pid: Pid) -> Self {
        Self { pid }
    }

    /// Reads as many runs as one call brings, and gives how many are settled.
    fn read_some(self, runs: &mut [Run<'_>]) -> Result<usize, MemoryError> {
        let local: Vec<libc::iovec> = runs
            .iter_mut()
            .map(|run| libc::iovec { iov_base: run.into.as_mut_ptr().cast(), iov_len: run.into.len() })
            .collect();
        let remote: Vec<libc::iovec> = runs
            .iter()
            .map(|run| libc::iovec { iov_base: run.address.0 as *mut libc::c_void, iov_len: run.into.len() })
            .collect();
        let count = runs.len() as libc::c_ulong;
        // SAFETY: each local vector is a live, exclusive buffer of that length; the remote ones are addresses of another
        // process, which the kernel checks.
        let read = unsafe {
            libc::process_vm_readv(self.pid.0.cast_signed(), local.as_ptr(), count, remote.as_ptr(), count, 0)
        };
        let mut read = match usize::try_from(read) {
            Ok(read) => read,
            Err(_) => self.judge(io::Error::last_os_error())?,
        };
        for (settled, run) in runs.iter_mut().enumerate() {
            run.read = read.min(run.into.len());
            read -= run.read;
            if run.read < run.into.len() {
                // The kernel stops at the first byte it cannot read; what follows has not been tried.
                return Ok(settled + 1);
            }
        }
        Ok(runs.len())
    }

    /// An address that is not mapped is no error: nothing was read.
    fn judge(self, error: io::Error) -> Result<usize, MemoryError> {
        let pid = self.pid;
        match error.raw_os_error() {
            // EINVAL and ENOMEM: a sum of lengths, or an address, that no process has.
            Some(libc::EFAULT | libc::EINVAL | libc::EIO | libc::ENOMEM) => Ok(0),
            Some(libc::ESRCH) => Err(MemoryError::Ended(pid)),
            Some(libc::EPERM | libc::EACCES) => Err(MemoryError::Refused { pid, error }),
            _ => Err(MemoryError::Failed { pid, error }),
        }
    }
}

impl Memory for ProcessMemory {
    fn registers(&self, _: u64) -> Option<Registers> {
        None
    }

    fn stands_still(&self) -> bool {
        false
    }

    fn read_runs(&self, runs: &mut [Run<'_>]) -> Result<(), MemoryError> {
        let mut rest = runs;
        while !rest.is_empty() {
            let most = rest.len().min(MOST_RUNS);
            let settled = self.read_some(&mut rest[..most])?;
            rest = &mut rest[settled..];
        }
        Ok(())
    }
}

/// A read that has not returned for so long is said not to answer: a page from the slowest disk takes tens of
/// milliseconds.
pub const NO_ANSWER: Duration = Duration::from_secs(2);

/// Why memory may not answer.
pub const WHY_NO_ANSWER: &str = "whoever provides its pages does not (userfaultfd, as in a migration or a sandbox, or a \
network file system)";

/// Whether whoever reads memory still gets answers, for those who wait for it on another thread.
#[derive(Clone, Debug, Default)]
pub struct Pulse {
    under_way: Arc<Mutex<Option<UnderWay>>>,
    is_cancelled: Arc<AtomicBool>,
    bytes_read: Arc<AtomicU64>,
}

/// A read that has not returned.
#[derive(Clone, Copy, Debug)]
struct UnderWay {
    began: Instant,
    /// Whose memory, where it is a process's.
    pid: Option<Pid>,
}

impl Pulse {
    /// The process whose memory has not answered for [`NO_ANSWER`].
    #[must_use]
    pub fn is_stuck(&self) -> Option<Pid> {
        let UnderWay { began, pid } = (*self.under_way.lock().unwrap_or_else(PoisonError::into_inner))?;
        pid.filter(|_| began.elapsed() >= NO_ANSWER)
    }

    /// Nobody wants the answer any more: the next read through a [`Limited`] ends with [`MemoryError::Unwanted`].
    pub fn cancel(&self) {
        self.is_cancelled.store(true, Ordering::Release);
    }

    /// [`Pulse::cancel`] was called.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.is_cancelled.load(Ordering::Acquire)
    }

    /// Bytes that were read so far.
    #[must_use]
    pub fn bytes_read(&self) -> u64 {
        self.bytes_read.load(Ordering::Relaxed)
    }

    fn set(&self, under_way: Option<UnderWay>) {
        *self.under_way.lock().unwrap_or_else(PoisonError::into_inner) = under_way;
    }
}

/// Memory that is read for a limited time, and whose reads show on a [`Pulse`].
pub struct Limited<'m> {
    memory: &'m dyn Memory,
    pid: Option<Pid>,
    began: Instant,
    limit: Duration,
    pulse: &'m Pulse,
}

impl<'m> Limited<'m> {
    /// Gives the reads of `memory`, which is that of `pid` where it is a process's, `limit` from now on.
    #[must_use]
    pub fn new(memory: &'m dyn Memory, pid: Option<Pid>, limit: Duration, pulse: &'m Pulse) -> Self {
        Self { memory, pid, began: Instant::now(), limit, pulse }
    }
}

impl Memory for Limited<'_> {
    fn registers(&self, tid: u64) -> Option<Registers> {
        self.memory.registers(tid)
    }

    fn stands_still(&self) -> bool {
        self.memory.stands_still()
    }

    fn left(&self) -> Duration {
        self.limit.saturating_sub(self.began.elapsed())
    }

    fn read_runs(&self, runs: &mut [Run<'_>]) -> Result<(), MemoryError> {
        let now = Instant::now();
        if self.pulse.is_cancelled() {
            return Err(MemoryError::Unwanted);
        }
        if now - self.began >= self.limit {
            return Err(MemoryError::OutOfTime(self.limit));
        }
        self.pulse.set(Some(UnderWay { began: now, pid: self.pid }));
        let read = self.memory.read_runs(runs);
        self.pulse.set(None);
        let bytes: usize = runs.iter().map(|run| run.read).sum();
        self.pulse.bytes_read.fetch_add(bytes as u64, Ordering::Relaxed);
        read
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers each read after a time.
    struct Slow(Duration);

    impl Memory for Slow {
        fn registers(&self, tid: u64) -> Option<Registers> {
            Some(Registers { pc: tid, sp: 0, bp: 0 })
        }

        fn stands_still(&self) -> bool {
            true
        }

        fn read_runs(&self, runs: &mut [Run<'_>]) -> Result<(), MemoryError> {
            std::thread::sleep(self.0);
            runs.iter_mut().for_each(|run| run.read = run.into.len());
            Ok(())
        }
    }

    #[test]
    fn reads_end_when_their_time_is_over_or_nobody_wants_them() {
        let pulse = Pulse::default();
        let limit = Duration::from_millis(50);
        let slow = Slow(Duration::from_millis(20));
        let limited = Limited::new(&slow, None, limit, &pulse);
        let mut reads = 0;
        let error = loop {
            match limited.read(RuntimeAddr(1), &mut [0]) {
                Ok(_) => reads += 1,
                Err(error) => break error,
            }
        };
        assert!((1..=3).contains(&reads), "{reads}");
        assert!(matches!(error, MemoryError::OutOfTime(at) if at == limit), "{error}");
        assert_eq!(error.to_string(), "reading was ended after 50ms");

        let quick = Slow(Duration::ZERO);
        let unlimited = Limited::new(&quick, None, Duration::MAX, &pulse);
        assert!(unlimited.stands_still());
        assert!(unlimited.left() > Duration::from_secs(3600) && limited.left() == Duration::ZERO);
        assert_eq!(unlimited.registers(7).map(|registers| registers.pc), Some(7));
        assert!(unlimited.read(RuntimeAddr(1), &mut [0]).unwrap());
        pulse.cancel();
        assert!(matches!(unlimited.read(RuntimeAddr(1), &mut [0]), Err(MemoryError::Unwanted)));
    }

    #[test]
    fn a_read_that_does_not_return_shows_to_another_thread() {
        let pulse = Pulse::default();
        let theirs = pulse.clone();
        let reader = std::thread::spawn(move || {
            let slow = Slow(NO_ANSWER + Duration::from_millis(500));
            let limited = Limited::new(&slow, Some(Pid(7)), Duration::MAX, &theirs);
            limited.read(RuntimeAddr(1), &mut [0]).unwrap()
        });
        std::thread::sleep(NO_ANSWER / 2);
        assert_eq!(pulse.is_stuck(), None);
        std::thread::sleep(NO_ANSWER / 2 + Duration::from_millis(200));
        assert_eq!(pulse.is_stuck(), Some(Pid(7)));
        assert!(reader.join().unwrap());
        assert_eq!(pulse.is_stuck(), None);
    }

    fn own() -> ProcessMemory {
        ProcessMemory::of(Pid(std::process::id()))
    }

    /// Two pages of which the second cannot be read.
    fn readable_then_not() -> *mut u8 {
        // SAFETY: a fresh private mapping, of which one page loses its permissions.
        unsafe {
            let map = libc::mmap(
                std::ptr::null_mut(),
                8192,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            );
            assert_ne!(map, libc::MAP_FAILED);
            std::ptr::write_bytes(map.cast::<u8>(), 7, 4096);
            assert_eq!(libc::mprotect(map.cast::<u8>().add(4096).cast(), 4096, libc::PROT_NONE), 0);
            map.cast()
        }
    }

    #[test]
    fn a_run_that_ends_in_the_unmapped_is_told_from_one_that_is_all_of_it() {
        let page = readable_then_not() as u64;
        let (mut a, mut b, mut c) = ([0; 64], [0; 64], [0; 64]);
        let mut runs = [
            Run { address: RuntimeAddr(page + 4096 - 16), into: &mut a, read: 99 },
            Run { address: RuntimeAddr(page + 4096), into: &mut b, read: 99 },
            Run { address: RuntimeAddr(page), into: &mut c, read: 99 },
        ];
        own().read_runs(&mut runs).unwrap();
        assert_eq!([runs[0].read, runs[1].read, runs[2].read], [16, 0, 64]);
        assert_eq!((a[15], c), (7, [7; 64]));
    }

    #[test]
    fn pieces_come_back_under_their_index_however_they_lie() {
        let words: Vec<u64> = (0..100_000).collect();
        let base = words.as_ptr() as u64;
        let addresses: Vec<u64> =
            (0..100_000_u64).map(|n| base + 8 * (n.wrapping_mul(7919) % 100_000)).collect();
        let mut found = vec![None; addresses.len()];
        read_each(&own(), &addresses, 8, |index, bytes| {
            found[index] = bytes.map(|bytes| u64::from_le_bytes(bytes.try_into().unwrap()));
        })
        .unwrap();
        assert!((0..100_000_u64).all(|n| found[n as usize] == Some(n.wrapping_mul(7919) % 100_000)));
    }

    #[test]
    fn a_piece_beside_an_unreadable_one_is_read() {
        let page = readable_then_not() as u64;
        let addresses = [page + 4096, page + 4090, page + 4000, 8, u64::MAX - 3, u64::MAX];
        let mut read = [None; 6];
        read_each(&own(), &addresses, 16, |index, bytes| read[index] = Some(bytes.is_some())).unwrap();
        assert_eq!(read, [Some(false), Some(false), Some(true), Some(false), Some(false), Some(false)]);
    }

    #[test]
    fn a_process_that_is_not_there_has_ended() {
        let nobody = ProcessMemory::of(Pid(4_194_304));
        assert!(matches!(nobody.read(RuntimeAddr(4096), &mut [0; 8]), Err(MemoryError::Ended(_))));
    }
}
