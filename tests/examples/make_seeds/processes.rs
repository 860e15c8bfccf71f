//! Processes with a goroutine in each kind of wait, for each layout of the runtime's structs, and processes of whose goroutines
//! some can be woken and some cannot.
//!
//! Out: `tests/fuzz/seeds/snapshot/` and `tests/fuzz/seeds/reach/`. What is where comes from the same offsets by which goflow
//! reads; what must be found of it is held by `tests/tests/fuzz.rs`.

use anyhow::{Context, Result};
use goflow_user::binary::GoBinary;
use goflow_user::binary::offsets::Offsets;

use crate::fuzz::process::{
    Change, FEW_FRAMES, FUNCTIONS, HEAP, MIRRORED, NO_STACKS, ROOTS, STATE, VARIABLE, VERSIONS, input, pc_in,
    programs,
};
use crate::fuzz::program::DEPTH;

/// Bytes of a goroutine's stack.
const STACK: u64 = 112;

/// Bytes in front of the first stack, which goflow reads along with it: real stacks are no smaller.
const BEFORE: usize = 512;

/// Words of a stack below its first frame.
const BELOW: u64 = 2;

const WAITING: u32 = 4;

/// Bytes of a page of Go's heap.
const PAGE: u64 = 8192;

/// Bytes of an object in the processes of pages: no struct but `g` is larger.
const OBJECT: u64 = 128;

/// Bytes of a frame, return address included, in the processes of pages: as the function table says. In the others, frames have
/// nothing but what is needed to walk them by frame pointers.
const FRAME: u64 = DEPTH + 8;

/// Which goroutines of [`full`] receive, receive too, send and select.
const RECEIVERS_AND_SENDERS: [usize; 4] = [6, 7, 8, 9];

pub(super) fn write_all() -> Result<()> {
    for (index, version) in (0_u8..).zip(VERSIONS) {
        let process = full(index)?;
        crate::write("snapshot", version, &process.input(index, 0, &[]))?;
        if index == 3 {
            let changes = [(4, 3), (9, 0), (14, 1), (20, 0), (27, 2)].map(|(call, kind)| Change {
                call,
                kind,
                offset: if kind == 2 { 6000 } else { 8 * u32::from(call) },
                word: HEAP + 8,
            });
            crate::write("snapshot", "changing", &process.input(index, FEW_FRAMES, &changes[1..]))?;
            crate::write("snapshot", "ending", &process.input(index, NO_STACKS, &changes[..1]))?;
        }
    }
    let newest = VERSIONS.len() as u8 - 1;
    crate::write("snapshot", "one-id-twice", &one_id_twice(newest)?.input(newest, 0, &[]))?;
    crate::write("snapshot", "cycles", &cycles(newest)?.input(newest, MIRRORED, &[]))?;
    for (index, version) in (0_u8..).zip(VERSIONS) {
        let process = stranded(index)?;
        crate::write("reach", version, &process.input(index, 0, &[]))?;
        if index == newest {
            let changes = [(30, 0), (38, 1), (44, 0), (60, 2)].map(|(call, kind)| Change {
                call,
                kind,
                offset: if kind == 2 { 12_000 } else { 8 * u32::from(call) },
                word: HEAP + PAGE + 8,
            });
            crate::write("reach", "changing", &process.input(index, 0, &changes))?;
            crate::write("reach", "mirrored", &process.input(index, MIRRORED, &[]))?;
        }
    }
    Ok(())
}

/// What a process consists of, under construction.
struct Process {
    binary: &'static GoBinary<'static>,
    offsets: Offsets,
    heap: Vec<u8>,
    goroutines: Vec<u64>,
    channels: Vec<u64>,
    /// `allm`, and the roots of the table of semaphores.
    threads: u64,
    roots: [u64; ROOTS],
    /// What is taken of the heap starts at multiples of this.
    align: usize,
    /// Up to where the first page, which holds no objects, is taken; `None` where there are no pages.
    low: Option<usize>,
    state: Option<[u64; STATE]>,
}

/// A goroutine as it is made.
struct Made {
    g: u64,
    /// Its lowest words, below the first frame.
    words: u64,
}

impl Process {
    fn new(version: u8) -> Result<Self> {
        let binary = programs().get(usize::from(version)).context("no such version")?;
        let (offsets, _) = binary.offsets()?;
        Ok(Self {
            binary,
            offsets,
            heap: vec![0; BEFORE],
            goroutines: Vec::new(),
            channels: Vec::new(),
            threads: 0,
            roots: [0; ROOTS],
            align: 8,
            low: None,
            state: None,
        })
    }

    /// One whose heap is of pages: the first has stacks and what is the runtime's own, the second has objects of [`OBJECT`] bytes.
    fn in_pages(version: u8) -> Result<Self> {
        let heap = vec![0; PAGE as usize];
        Ok(Self { heap, align: OBJECT as usize, low: Some(BEFORE), ..Self::new(version)? })
    }

    fn take(&mut self, size: u32) -> u64 {
        let at = self.heap.len().next_multiple_of(self.align);
        self.heap.resize(at + size.next_multiple_of(8) as usize, 0);
        HEAP + at as u64
    }

    /// As [`Self::take`], of what is no object.
    fn take_low(&mut self, size: u32) -> u64 {
        let Some(at) = self.low else { return self.take(size) };
        self.low = Some(at + size.next_multiple_of(8) as usize);
        HEAP + at as u64
    }

    /// A list of words that is no object.
    fn list(&mut self, words: &[u64]) -> u64 {
        let list = self.take_low(8 * words.len() as u32);
        for (at, &word) in (list..).step_by(8).zip(words) {
            self.put(at, word);
        }
        list
    }

    fn put(&mut self, address: u64, value: u64) {
        self.bytes(address, &value.to_le_bytes());
    }

    fn word(&self, address: u64) -> u64 {
        let at = (address - HEAP) as usize;
        self.heap[at..].first_chunk().map_or(0, |word| u64::from_le_bytes(*word))
    }

    fn bytes(&mut self, address: u64, bytes: &[u8]) {
        let at = (address - HEAP) as usize;
        self.heap[at..at + bytes.len()].copy_from_slice(bytes);
    }

    fn struct_of(&mut self, size: u32, fields: &[(u32, u64)]) -> u64 {
        let address = self.take(size);
        for &(offset, value) in fields {
            self.put(address + u64::from(offset), value);
        }
        address
    }

    /// A goroutine with this status that stands, called by these functions, in the first of them.
    fn goroutine(&mut self, status: u32, reason: &str, calls: &[&str]) -> Result<Made> {
        let offsets = self.offsets;
        let goid = self.goroutines.len() as u64 + 1;
        let (stack, frame) = if self.low.is_some() { (16 + 4 * FRAME, FRAME) } else { (STACK, 16) };
        let lo = self.take_low(stack as u32);
        let (words, hi) = (lo + 16, lo + stack);
        // At each frame pointer stands the caller's, above it the return address.
        let mut at = words + 8 * BELOW;
        let first = at;
        for (index, name) in calls.iter().enumerate().skip(1) {
            let next = at + frame;
            self.put(at, if index + 1 == calls.len() { 0 } else { next });
            self.put(at + 8, pc_in(name));
            at = next;
        }
        let g = offsets.g;
        let number = if status == WAITING { self.number(reason)? } else { 0 };
        let start = calls.iter().rev().find(|name| **name != "runtime.goexit").context("no calls")?;
        let (pc, in_syscall) = (pc_in(calls[0]), status == 3);
        let address = self.struct_of(
            g.size,
            &[
                (g.stack_lo, lo),
                (g.stack_hi, hi),
                (g.goid, goid),
                (g.gopc, pc_in("main.main")),
                (g.startpc, pc_in(start) - 17),
                (if in_syscall { g.syscallsp } else { g.sched_sp }, words),
                (if in_syscall { g.syscallpc } else { g.sched_pc }, pc),
                (if in_syscall { g.syscallbp.unwrap_or(g.sched_bp) } else { g.sched_bp }, first),
            ],
        );
        self.bytes(address + u64::from(g.atomicstatus), &status.to_le_bytes());
        self.bytes(address + u64::from(g.waitreason), &[number]);
        if let Some(parent) = g.parent_goid {
            self.put(address + u64::from(parent), u64::from(goid > 1));
        }
        self.goroutines.push(address);
        Ok(Made { g: address, words })
    }

    /// The number of a wait reason; up to Go 1.19 there was one for all semaphores, and for WaitGroups longer.
    fn number(&self, reason: &str) -> Result<u8> {
        let find = |text| (0..=u8::MAX).find(|&number| self.binary.wait_reason(number) == Some(text));
        find(reason).or_else(|| find("semacquire")).with_context(|| format!("no {reason:?}"))
    }

    fn is_since(&self, version: &str) -> bool {
        self.binary.go_version().is_some_and(|own| own.as_str() >= version)
    }

    /// One that waits, in a function of the program's own.
    fn waiting(&mut self, reason: &str) -> Result<Made> {
        self.goroutine(WAITING, reason, &["runtime.gopark", "main.work", "runtime.goexit"])
    }

    /// It waits to receive from a channel, alone.
    fn receives(&mut self, made: &Made, channel: u64) {
        let Offsets { g, hchan, sudog, .. } = self.offsets;
        let own = self.sudog(made.g, &[(sudog.c, channel)]);
        self.put(made.g + u64::from(g.waiting), own);
        self.queue(channel, hchan.recvq, &[own]);
    }

    fn sudog(&mut self, g: u64, fields: &[(u32, u64)]) -> u64 {
        let layout = self.offsets.sudog;
        let sudog = self.struct_of(layout.size, &[(layout.g, g)]);
        for &(offset, value) in fields {
            self.put(sudog + u64::from(offset), value);
        }
        sudog
    }

    /// A channel, with the first of those that wait to send and to receive.
    fn channel(&mut self, len: u64, cap: u64, timer: u64) -> u64 {
        let layout = self.offsets.hchan;
        let channel = self.struct_of(layout.size, &[(layout.qcount, len), (layout.dataqsiz, cap)]);
        self.bytes(channel + u64::from(layout.elemsize), &8_u16.to_le_bytes());
        if let Some(offset) = layout.timer {
            self.put(channel + u64::from(offset), timer);
        }
        self.channels.push(channel);
        channel
    }

    /// The sudog of a goroutine that waits for the semaphore at `address`; from Go 1.26 on the goroutine points to it.
    fn semaphore(&mut self, g: u64, address: u64) -> u64 {
        let own = self.sudog(g, &[(self.offsets.sudog.elem, address)]);
        if self.is_since("go1.26") {
            self.put(g + u64::from(self.offsets.g.waiting), own);
        }
        own
    }

    /// Labels of one pair: a slice of pairs from Go 1.24 on, before a map with one bucket (src/runtime/pprof/label.go).
    fn labels(&mut self) -> u64 {
        let text = self.take(8);
        self.bytes(text, b"jobnight");
        let header = [text, 3, text + 3, 5];
        if self.is_since("go1.24") {
            let pairs = self.take(32);
            for (at, word) in (pairs..).step_by(8).zip(header) {
                self.put(at, word);
            }
            return self.struct_of(16, &[(0, pairs), (8, 1)]);
        }
        let bucket = self.struct_of(8 + 16 * 16 + 8, &[(0, 9), (8, header[0]), (16, header[1])]);
        self.put(bucket + 8 + 8 * 16, header[2]);
        self.put(bucket + 16 + 8 * 16, header[3]);
        let map = self.struct_of(48, &[(0, 1), (16, bucket)]);
        self.struct_of(8, &[(0, map)])
    }

    fn queue(&mut self, channel: u64, queue: u32, sudogs: &[u64]) {
        let (waitq, layout) = (self.offsets.waitq, self.offsets.sudog);
        let queue = channel + u64::from(queue);
        self.put(queue + u64::from(waitq.first), sudogs.first().copied().unwrap_or(0));
        self.put(queue + u64::from(waitq.last), sudogs.last().copied().unwrap_or(0));
        for pair in sudogs.windows(2) {
            self.put(pair[0] + u64::from(layout.next), pair[1]);
            self.put(pair[1] + u64::from(layout.prev), pair[0]);
        }
    }

    fn input(&self, version: u8, flags: u8, changes: &[Change]) -> Vec<u8> {
        let mut heap = self.heap.clone();
        // Behind everything, or where in the first page there is room.
        let at = self.low.unwrap_or(heap.len());
        let list: Vec<u8> = self.goroutines.iter().flat_map(|g| g.to_le_bytes()).collect();
        heap.resize(heap.len().max(at + list.len()), 0);
        heap[at..at + list.len()].copy_from_slice(&list);
        let mut words = [0; 3 + ROOTS];
        words[..3].copy_from_slice(&[self.goroutines.len() as u64, HEAP + at as u64, self.threads]);
        words[3..].copy_from_slice(&self.roots);
        input((version, flags), changes, words, self.state, &heap)
    }
}

/// One of everything.
fn full(version: u8) -> Result<Process> {
    let mut process = Process::new(version)?;
    running(&mut process)?;
    channels(&mut process)?;
    semaphores(&mut process)?;
    elsewhere(&mut process)?;
    Ok(process)
}

/// Goroutines that do not wait, the dead, and a thread.
fn running(process: &mut Process) -> Result<()> {
    let Offsets { g, m, p, .. } = process.offsets;
    let first = process.goroutine(3, "", &["runtime.main", "main.main", "runtime.goexit"])?;
    let processor = process.struct_of(p.id + 8, &[(p.id, 0)]);
    let size = [m.procid, m.id, m.p, m.alllink].into_iter().max().unwrap_or(0) + 8;
    process.threads = process.struct_of(size, &[(m.procid, 4242), (m.id, 0), (m.p, processor)]);
    process.put(first.g + u64::from(g.m), process.threads);
    for status in [0, 1, 2, 6, 9] {
        process.goroutine(status, "", &["main.work", "runtime.goexit"])?;
    }
    Ok(())
}

/// Two that receive, one that sends, one that selects between both channels, and one that waits for a timer's.
fn channels(process: &mut Process) -> Result<()> {
    let Offsets { g, hchan, sudog, timer, .. } = process.offsets;
    let (empty, full) = (process.channel(0, 0, 0), process.channel(2, 2, 0));
    let mut receivers = Vec::new();
    for _ in 0..2 {
        let receiver = process.waiting("chan receive")?.g;
        let own = process.sudog(receiver, &[(sudog.c, empty)]);
        process.put(receiver + u64::from(g.waiting), own);
        receivers.push(own);
    }
    let sender = process.waiting("chan send")?.g;
    let sending = process.sudog(sender, &[(sudog.c, full)]);
    process.put(sender + u64::from(g.waiting), sending);
    let selector = process.waiting("select")?.g;
    let cases = [empty, full].map(|channel| process.sudog(selector, &[(sudog.c, channel)]));
    for case in cases {
        process.bytes(case + u64::from(sudog.is_select), &[1]);
    }
    process.put(cases[0] + u64::from(sudog.waitlink), cases[1]);
    process.put(selector + u64::from(g.waiting), cases[0]);
    receivers.push(cases[0]);
    process.queue(empty, hchan.recvq, &receivers);
    process.queue(full, hchan.sendq, &[sending, cases[1]]);
    let ticker = process.struct_of(timer.size, &[(timer.when, 5_000_000_000), (timer.period, 1_000_000)]);
    let ticks = process.channel(0, 1, ticker);
    let waiter = process.waiting("chan receive")?.g;
    let own = process.sudog(waiter, &[(sudog.c, ticks)]);
    process.put(waiter + u64::from(g.waiting), own);
    process.queue(ticks, hchan.recvq, &[own]);
    Ok(())
}

/// Two that wait for a mutex; three for objects whose semaphores are other nodes of its treap; one at another root.
fn semaphores(process: &mut Process) -> Result<()> {
    let sudog = process.offsets.sudog;
    let objects = process.take(64);
    let lock_slow = if process.is_since("go1.24") { FUNCTIONS[9] } else { FUNCTIONS[8] };
    let mut waiters = Vec::new();
    for (reason, call, semaphore) in [
        ("sync.Mutex.Lock", lock_slow, 4),
        ("sync.Mutex.Lock", lock_slow, 4),
        ("sync.RWMutex.RLock", "sync.(*RWMutex).RLock", 20),
        ("sync.RWMutex.Lock", "sync.(*RWMutex).Lock", 32),
        ("sync.WaitGroup.Wait", "sync.(*WaitGroup).Wait", 48),
        ("semacquire", "main.work", 60),
    ] {
        let g =
            process.goroutine(WAITING, reason, &["runtime.gopark", call, "main.work", "runtime.goexit"])?.g;
        waiters.push(process.semaphore(g, objects + semaphore));
    }
    let links = [(0, sudog.waitlink, 1), (0, sudog.prev, 2), (0, sudog.next, 3), (3, sudog.next, 4)];
    for (from, field, to) in links {
        process.put(waiters[from] + u64::from(field), waiters[to]);
    }
    process.roots = [waiters[0], 0, waiters[5], 0, 0];
    Ok(())
}

/// A sleep, a condition, a descriptor, and labels.
fn elsewhere(process: &mut Process) -> Result<()> {
    let Offsets { g, timer, notify_list, poll_desc, sudog, .. } = process.offsets;
    let asleep = process.waiting("sleep")?.g;
    let alarm = process.struct_of(timer.size, &[(timer.when, 7_000_000_000)]);
    process.put(asleep + u64::from(g.timer), alarm);
    if let Some(when) = g.sleep_when {
        process.put(asleep + u64::from(when), 7_000_000_000);
    }
    let calls = ["runtime.gopark", "sync.runtime_notifyListWait", "main.work", "runtime.goexit"];
    let waiting = process.goroutine(WAITING, "sync.Cond.Wait", &calls)?;
    let layout = notify_list.context("no notifyList")?;
    let own = process.semaphore(waiting.g, 0);
    let list =
        process.struct_of(layout.tail + 8, &[(layout.wait, 1), (layout.head, own), (layout.tail, own)]);
    process.put(waiting.words, list);
    if process.is_since("go1.25") {
        process.put(own + u64::from(sudog.elem), list);
    }
    let reader = process.waiting("IO wait")?;
    let layout = poll_desc.context("no pollDesc")?;
    let size = [layout.rg, layout.wg, layout.fd].into_iter().max().unwrap_or(0) + 8;
    let descriptor = process.struct_of(size, &[(layout.fd, 7), (layout.rg, reader.g)]);
    process.put(reader.words, descriptor + u64::from(layout.rg));
    let labelled = process.goroutine(1, "", &["main.work", "runtime.goexit"])?.g;
    let labels = process.labels();
    process.put(labelled + u64::from(g.labels), labels);
    Ok(())
}

/// Everything once, and then each list led back to where it began.
fn cycles(version: u8) -> Result<Process> {
    let mut process = full(version)?;
    let sudog = process.offsets.sudog;
    for field in [sudog.next, sudog.prev, sudog.waitlink] {
        process.put(process.roots[0] + u64::from(field), process.roots[0]);
    }
    process.put(process.threads + u64::from(process.offsets.m.alllink), process.threads);
    let hchan = process.offsets.hchan;
    let queue = process.channels[0] + u64::from(hchan.recvq + process.offsets.waitq.first);
    let first = process.word(queue);
    for field in [sudog.next, sudog.waitlink] {
        process.put(first + u64::from(field), first);
    }
    // Frame pointers that lead to themselves, and to the end of the address space.
    let g = process.offsets.g;
    let (last, other) = (process.goroutines[1], process.goroutines[2]);
    let bp = process.word(last + u64::from(g.sched_bp));
    process.put(bp, bp);
    for (field, value) in
        [(g.stack_lo, u64::MAX - 0xff), (g.stack_hi, u64::MAX), (g.sched_sp, u64::MAX - 0x3f)]
    {
        process.put(other + u64::from(field), value);
    }
    process.put(other + u64::from(g.sched_bp), u64::MAX - 15);
    Ok(process)
}

/// Everything once, but the two that receive have one id, and so have the sender and one whose list leads nowhere.
fn one_id_twice(version: u8) -> Result<Process> {
    let mut process = full(version)?;
    let g = process.offsets.g;
    let [receiver, same, sender, selector] = RECEIVERS_AND_SENDERS.map(|index| process.goroutines[index]);
    for (to, from) in [(same, receiver), (selector, sender)] {
        let goid = process.word(from + u64::from(g.goid));
        process.put(to + u64::from(g.goid), goid);
    }
    process.put(selector + u64::from(g.waiting), 8);
    Ok(process)
}

/// Goroutines that wait, by their ids: 3, 4, 6, 8 and 9 for what somebody has who goes on, 2 and 5 for what nobody has.
fn stranded(version: u8) -> Result<Process> {
    let mut process = Process::in_pages(version)?;
    let Offsets { g, m, p, timer, special, .. } = process.offsets;
    let first = process.goroutine(2, "", &["runtime.main", "main.main", "runtime.goexit"])?;
    let size = [m.procid, m.id, m.p, m.alllink].into_iter().max().unwrap_or(0) + 8;
    process.threads = process.take_low(size);
    process.put(process.threads + u64::from(m.procid), 4242);
    process.put(first.g + u64::from(g.m), process.threads);
    let [lost, kept, next, fired, finalized] = [(); 5].map(|()| process.channel(0, 0, 0));
    let lock = process.take(8);
    // Its state: locked.
    process.put(lock, 1);

    let calls = ["runtime.gopark", "main.work", "main.main", "runtime.goexit"];
    let holder = process.goroutine(WAITING, "chan receive", &calls)?;
    process.receives(&holder, lost);
    // It holds that lock, and the variable.
    process.put(frame(&holder, 1), lock);
    let reader = process.waiting("chan receive")?;
    process.receives(&reader, kept);
    process.put(frame(&reader, 1), next);
    let last = process.waiting("chan receive")?;
    process.receives(&last, next);
    let lock_slow = if process.is_since("go1.24") { FUNCTIONS[9] } else { FUNCTIONS[8] };
    for (root, mutex) in [(0, lock), (2, VARIABLE)] {
        let calls = ["runtime.gopark", lock_slow, "main.work", "runtime.goexit"];
        let waiter = process.goroutine(WAITING, "sync.Mutex.Lock", &calls)?;
        process.roots[root] = process.semaphore(waiter.g, mutex + 4);
    }
    process.waiting("sleep")?;
    for channel in [fired, finalized] {
        let waiter = process.waiting("chan receive")?;
        process.receives(&waiter, channel);
    }
    process.goroutine(6, "", &["main.work", "runtime.goexit"])?;

    let alarm = process.struct_of(timer.size, &[(timer.when, 7_000_000_000), (timer.arg, fired)]);
    if let Some(status) = timer.status {
        process.bytes(alarm + u64::from(status), &1_u32.to_le_bytes());
    }
    // From Go 1.23 on each stands beside the time at which it fires.
    let timers = match process.offsets.timer_when {
        Some(entry) if entry.timer == 0 => process.list(&[alarm, 7_000_000_000]),
        Some(_) => process.list(&[7_000_000_000, alarm]),
        None => process.list(&[alarm]),
    };
    let slice = process.list(&[timers, 1]);
    // Nothing else of a processor is read.
    let processors = process.list(&[slice.wrapping_sub(u64::from(p.timers))]);

    // A finalizer of the first object: a closure that has the channel.
    let closure = process.struct_of(16, &[(0, pc_in("main.work")), (8, finalized)]);
    let record = process.take_low(special.size + 8);
    process.bytes(record + u64::from(special.kind), &[1]);
    process.put(record + u64::from(special.size), closure);

    let mut spans = Vec::new();
    // One that holds the objects, one without pointers that is not mapped, one that is not in use, and one that makes no sense.
    for (page, pages, size, class, state, specials) in [
        (1, 1, OBJECT, 10, 1, record),
        (9, 4, 4 * PAGE, 1, 1, 0),
        (13, 1, 64, 10, 2, 0),
        (2, u64::MAX, 24, 10, 1, 0),
    ] {
        let layout = process.offsets.mspan;
        let span = process.take_low(layout.specials.max(layout.elemsize) + 8);
        process.put(span + u64::from(layout.start_addr), HEAP + page * PAGE);
        process.put(span + u64::from(layout.npages), pages);
        process.put(span + u64::from(layout.elemsize), size);
        process.put(span + u64::from(layout.specials), specials);
        process.bytes(span + u64::from(layout.spanclass), &[class]);
        process.bytes(span + u64::from(layout.state), &[state]);
        spans.push(span);
    }
    let list = process.list(&spans);
    process.state = Some([processors, 1, list, spans.len() as u64, 1, kept]);
    Ok(process)
}

/// The lowest word of the frame of the function at `depth` of those that a goroutine of a process of pages was made with.
fn frame(made: &Made, depth: u64) -> u64 {
    made.words + FRAME * depth
}
