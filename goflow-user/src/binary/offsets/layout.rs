//! The runtime structs that goflow reads, and where each field's offset is found in the program's own type information.
//!
//! One declaration per struct serves the type, the DWARF reader and the generated table, so they cannot disagree. A path
//! is a Go field name, or names joined by dots where a struct holds another; `sizeof` is the struct's size. Where Go
//! renamed a field the newer path stands first. `Option` marks a field that some supported Go version does not have;
//! which versions those are is in the table.

use super::dwarf::{DwarfError, FieldOffset, Struct};

/// A struct that is read from DWARF.
pub(super) trait Layout: Sized {
    /// Go's names of the struct, newest first.
    const GO: &'static [&'static str];

    fn read(fields: &Struct<'_, '_>) -> Result<Self, DwarfError>;
}

macro_rules! layouts {
    ($(
        $(#[$struct_doc:meta])*
        $name:ident from $($go:literal)|+ {
            $( $(#[$field_doc:meta])* $field:ident: $kind:ty = $($path:literal)|+, )*
        }
    )*) => {$(
        $(#[$struct_doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $name {
            $( $(#[$field_doc])* pub $field: $kind, )*
        }

        impl Layout for $name {
            const GO: &'static [&'static str] = &[$($go),+];

            fn read(fields: &Struct<'_, '_>) -> Result<Self, DwarfError> {
                Ok(Self { $( $field: <$kind>::read(fields, &[$($path),+])?, )* })
            }
        }
    )*};
}

layouts! {
    /// `runtime.g`, a goroutine (src/runtime/runtime2.go).
    G from "runtime.g" {
        /// Size of the struct.
        size: u32 = "sizeof",
        /// Lowest address of the stack.
        stack_lo: u32 = "stack.lo",
        /// One past the highest address of the stack.
        stack_hi: u32 = "stack.hi",
        /// Pointer to the thread that runs it, nil when none does.
        m: u32 = "m",
        /// Saved stack pointer of a goroutine that does not run.
        sched_sp: u32 = "sched.sp",
        /// Saved program counter of a goroutine that does not run.
        sched_pc: u32 = "sched.pc",
        /// Saved frame pointer of a goroutine that does not run.
        sched_bp: u32 = "sched.bp",
        /// Saved link register (arm64).
        sched_lr: u32 = "sched.lr",
        /// The goroutine itself, as a number the collector does not see.
        sched_g: u32 = "sched.g",
        /// Stack pointer at which it entered a system call.
        syscallsp: u32 = "syscallsp",
        /// Program counter at which it entered a system call.
        syscallpc: u32 = "syscallpc",
        /// Frame pointer at which it entered a system call.
        syscallbp: Option<u32> = "syscallbp",
        /// Stack pointer that a traceback must reach.
        stktopsp: u32 = "stktopsp",
        /// Passed between parker and waker; for a channel, the sudog that was served.
        param: u32 = "param",
        /// Status (`uint32`).
        atomicstatus: u32 = "atomicstatus",
        /// Goroutine id (64 bits).
        goid: u32 = "goid",
        /// Next in a run queue or in the list of free goroutines.
        schedlink: u32 = "schedlink",
        /// When it was found blocked, nanoseconds of the runtime's clock; only the collector sets it.
        waitsince: u32 = "waitsince",
        /// Why it waits (`uint8`), an index into `runtime.waitReasonStrings`.
        waitreason: u32 = "waitreason",
        /// True while its stack is in use by a channel operation that waits.
        active_stack_chans: u32 = "activeStackChans",
        /// True between the decision to park on a channel and the park.
        parking_on_chan: u32 = "parkingOnChan",
        /// The thread it is locked to, as a number the collector does not see.
        lockedm: u32 = "lockedm",
        /// Counts how often it left a CPU (`uint8`, from a random start).
        tracking_seq: u32 = "trackingSeq",
        /// Id of the goroutine that created it.
        parent_goid: Option<u32> = "parentGoid",
        /// Return address of the `go` statement that created it.
        gopc: u32 = "gopc",
        /// Pointer to a slice of [`AncestorInfo`]; only with `GODEBUG=tracebackancestors`.
        ancestors: u32 = "ancestors",
        /// Entry of the function it started with.
        startpc: u32 = "startpc",
        /// List of the sudogs it waits with, in lock order.
        waiting: u32 = "waiting",
        /// Pointer to its profiler labels.
        labels: u32 = "labels",
        /// Pointer to the timer of its `time.Sleep`.
        timer: u32 = "timer",
        /// When its `time.Sleep` ends, nanoseconds of the runtime's clock.
        sleep_when: Option<u32> = "sleepWhen",
        /// 1 once a case of its select has won (`uint32`).
        select_done: u32 = "selectDone",
        /// Argument of a coroutine switch.
        coroarg: Option<u32> = "coroarg",
        /// Pointer to the `testing/synctest` bubble it belongs to.
        bubble: Option<u32> = "bubble" | "syncGroup",
    }

    /// `runtime.m`, a thread (src/runtime/runtime2.go).
    M from "runtime.m" {
        /// Pointer to the goroutine with the scheduler's stack.
        g0: u32 = "g0",
        /// Thread id as the kernel knows it (`uint64`).
        procid: u32 = "procid",
        /// Pointer to the goroutine with the signal handler's stack.
        gsignal: u32 = "gsignal",
        /// Pointer to the goroutine that runs.
        curg: u32 = "curg",
        /// The processor it holds, as a number the collector does not see; 0 when none.
        p: u32 = "p",
        /// Id (`int64`).
        id: u32 = "id",
        /// True while it looks for work.
        spinning: u32 = "spinning",
        /// True while it sleeps on a note.
        blocked: u32 = "blocked",
        /// True while it runs C code.
        incgo: u32 = "incgo",
        /// Next in `runtime.allm`.
        alllink: u32 = "alllink",
        /// The goroutine that is locked to it, as a number the collector does not see.
        lockedg: u32 = "lockedg",
        /// First argument of the `gopark` under way.
        waitunlockf: u32 = "waitunlockf",
        /// Second argument of the `gopark` under way.
        waitlock: u32 = "waitlock",
    }

    /// `runtime.p`, a processor (src/runtime/runtime2.go).
    P from "runtime.p" {
        /// Id (`int32`).
        id: u32 = "id",
        /// Status (`uint32`).
        status: u32 = "status",
        /// The thread that holds it, as a number the collector does not see.
        m: u32 = "m",
        /// Head of the run queue (`uint32`).
        runqhead: u32 = "runqhead",
        /// Tail of the run queue (`uint32`).
        runqtail: u32 = "runqtail",
        /// The run queue, 256 goroutines.
        runq: u32 = "runq",
        /// The goroutine that runs next.
        runnext: u32 = "runnext",
        /// Slice of timers: of `*timer`, or of [`TimerWhen`] where that is present.
        timers: u32 = "timers.heap" | "timers",
    }

    /// `runtime.mheap`, the heap's own state (src/runtime/mheap.go).
    Mheap from "runtime.mheap" {
        /// Slice of pointers to every [`Mspan`] there ever was.
        allspans: u32 = "allspans",
    }

    /// `runtime.mspan`, a run of pages of the heap (src/runtime/mheap.go).
    Mspan from "runtime.mspan" {
        /// Address of its first byte.
        start_addr: u32 = "startAddr",
        /// How many pages of 8 KiB it has.
        npages: u32 = "npages",
        /// Size class in the upper bits; the lowest says that its objects have no pointers (`uint8`).
        spanclass: u32 = "spanclass",
        /// What it is used for (`uint8`): 1 for objects.
        state: u32 = "state",
        /// Bytes from one object to the next.
        elemsize: u32 = "elemsize",
        /// Pointer to the first [`Special`] of its objects.
        specials: u32 = "specials",
    }

    /// `runtime.special`, what is kept beside an object (src/runtime/mheap.go). What the kind has comes behind it: for a
    /// finalizer or a cleanup, first the function.
    Special from "runtime.special" {
        /// Size of the struct.
        size: u32 = "sizeof",
        /// Pointer to the next of the span.
        next: u32 = "next",
        /// Of the object, from the start of the span: `uint16` where it is followed by `kind` at once, else `uintptr`.
        offset: u32 = "offset",
        /// Kind (`byte`).
        kind: u32 = "kind",
    }

    /// `runtime._defer`, a deferred call (src/runtime/runtime2.go).
    Deferred from "runtime._defer" {
        /// Stack pointer of the function that deferred it.
        sp: u32 = "sp",
        /// Pointer to the closure; nil for a frame that keeps its own.
        func: u32 = "fn",
        /// Pointer to the one deferred before.
        link: u32 = "link",
    }

    /// `runtime.hchan`, a channel (src/runtime/chan.go).
    Hchan from "runtime.hchan" {
        /// Size of the struct.
        size: u32 = "sizeof",
        /// Values in the buffer (`uint`).
        qcount: u32 = "qcount",
        /// Capacity (`uint`).
        dataqsiz: u32 = "dataqsiz",
        /// Pointer to the buffer.
        buf: u32 = "buf",
        /// Size of a value in bytes (`uint16`).
        elemsize: u32 = "elemsize",
        /// Not 0 when closed (`uint32`).
        closed: u32 = "closed",
        /// Pointer to the timer that feeds it.
        timer: Option<u32> = "timer",
        /// Pointer to the type of a value.
        elemtype: u32 = "elemtype",
        /// Index in the buffer of the next value sent (`uint`).
        sendx: u32 = "sendx",
        /// Index in the buffer of the next value received (`uint`).
        recvx: u32 = "recvx",
        /// [`Waitq`] of the receivers.
        recvq: u32 = "recvq",
        /// [`Waitq`] of the senders.
        sendq: u32 = "sendq",
        /// The lock that `gopark` is given.
        lock: u32 = "lock",
    }

    /// `runtime.waitq`, a queue of sudogs (src/runtime/chan.go).
    Waitq from "runtime.waitq" {
        /// Pointer to the first sudog.
        first: u32 = "first",
        /// Pointer to the last sudog.
        last: u32 = "last",
    }

    /// `runtime.sudog`, a goroutine in a wait list (src/runtime/runtime2.go).
    Sudog from "runtime.sudog" {
        /// Size of the struct.
        size: u32 = "sizeof",
        /// Pointer to the goroutine.
        g: u32 = "g",
        /// Next in the queue, or the right subtree in a semaphore's treap.
        next: u32 = "next",
        /// Previous in the queue, or the left subtree in a semaphore's treap.
        prev: u32 = "prev",
        /// Where the value is, or the semaphore's address. Go 1.26 keeps a pair and this is its second half, which
        /// stays set while the leak detector hides the first.
        elem: u32 = "elem.vu" | "elem",
        /// When it began to wait, in CPU ticks; 0 unless profiled.
        acquiretime: u32 = "acquiretime",
        /// When it was woken, in CPU ticks; -1 asks for it.
        releasetime: u32 = "releasetime",
        /// Treap priority, or the number in a `sync.Cond`'s queue (`uint32`).
        ticket: u32 = "ticket",
        /// True when it takes part in a select.
        is_select: u32 = "isSelect",
        /// True when it was woken by a value, false by `close`.
        success: u32 = "success",
        /// Length of the semaphore's wait list, in its head (`uint16`).
        waiters: Option<u32> = "waiters",
        /// Parent in a semaphore's treap.
        parent: u32 = "parent",
        /// Next in `g.waiting`, or in a semaphore's wait list.
        waitlink: u32 = "waitlink",
        /// Last of a semaphore's wait list.
        waittail: u32 = "waittail",
        /// Pointer to the channel; a pair from Go 1.26 on, see `elem`.
        c: u32 = "c.maybeTraceablePtr.vu" | "c",
    }

    /// `runtime.semaRoot`, a bucket of the semaphore table (src/runtime/sema.go).
    SemaRoot from "runtime.semaRoot" {
        /// The lock that `gopark` is given.
        lock: u32 = "lock",
        /// Root of the treap of sudogs, one per address.
        treap: u32 = "treap",
        /// Waiters in the bucket (`uint32`).
        nwait: u32 = "nwait",
    }

    /// `runtime.timer` (src/runtime/time.go).
    Timer from "runtime.timer" {
        /// Size of the struct.
        size: u32 = "sizeof",
        /// When it fires, nanoseconds of the runtime's clock (`int64`).
        when: u32 = "when",
        /// Period of a ticker, nanoseconds, 0 for none (`int64`).
        period: u32 = "period",
        /// Function to call.
        f: u32 = "f",
        /// Its first argument, an interface.
        arg: u32 = "arg",
        /// Its second argument.
        seq: u32 = "seq",
        /// Status (`uint32`), up to Go 1.22.
        status: Option<u32> = "status",
        /// State bits (`uint8`), from Go 1.23 on.
        state: Option<u32> = "state",
        /// True when it belongs to a channel.
        is_chan: Option<u32> = "isChan",
        /// Goroutines that block on its channel (`uint32`).
        blocked: Option<u32> = "blocked",
    }

    /// `runtime.scase`, a case of a select (src/runtime/select.go).
    Scase from "runtime.scase" {
        /// Size of the struct.
        size: u32 = "sizeof",
        /// Pointer to the channel, nil for a nil channel.
        c: u32 = "c",
        /// Where the value is.
        elem: u32 = "elem",
    }

    /// `runtime.ancestorInfo` (src/runtime/runtime2.go).
    AncestorInfo from "runtime.ancestorInfo" {
        /// Size of the struct.
        size: u32 = "sizeof",
        /// Slice of program counters.
        pcs: u32 = "pcs",
        /// Id of the ancestor (64 bits).
        goid: u32 = "goid",
        /// Return address of the `go` statement that created it.
        gopc: u32 = "gopc",
    }

    /// Type descriptor: `internal/abi.Type` (src/internal/abi/type.go), up to Go 1.20 `runtime._type` (src/runtime/type.go).
    TypeDescriptor from "internal/abi.Type" | "runtime._type" {
        /// Size of the descriptor's common part.
        size: u32 = "sizeof",
        /// Size of a value in bytes (`uintptr`).
        value_size: u32 = "Size_" | "size",
        /// Flags (`uint8`); bit 1 says that the name has an extra star in front.
        tflag: u32 = "TFlag" | "tflag",
        /// Kind (`uint8`).
        kind: u32 = "Kind_" | "kind",
        /// Offset of the name from `moduledata.types` (`int32`).
        str: u32 = "Str" | "str",
    }

    /// `runtime.notifyList`, the queue of a `sync.Cond` (src/runtime/sema.go).
    NotifyList from "runtime.notifyList" {
        /// Number of the next waiter (`uint32`).
        wait: u32 = "wait",
        /// Number of the next waiter to wake (`uint32`).
        notify: u32 = "notify",
        /// The lock that `gopark` is given.
        lock: u32 = "lock",
        /// Pointer to the first sudog.
        head: u32 = "head",
        /// Pointer to the last sudog.
        tail: u32 = "tail",
    }

    /// `runtime.timerWhen`, an entry of a processor's timer heap from Go 1.23 on (src/runtime/time.go).
    TimerWhen from "runtime.timerWhen" {
        /// Size of an entry.
        size: u32 = "sizeof",
        /// Pointer to the timer.
        timer: u32 = "timer",
        /// When it fires, nanoseconds of the runtime's clock (`int64`).
        when: u32 = "when",
    }

    /// `runtime.pollDesc`, a descriptor the network poller watches (src/runtime/netpoll.go).
    PollDesc from "runtime.pollDesc" {
        /// Size of the struct.
        size: u32 = "sizeof",
        /// Next in the list of free ones.
        link: u32 = "link",
        /// The file descriptor (`uintptr`).
        fd: u32 = "fd",
        /// The lock.
        lock: u32 = "lock",
        /// True when it is being closed.
        closing: u32 = "closing",
        /// The goroutine that waits to read; 0, 1 and 2 are states (`uintptr`).
        rg: u32 = "rg",
        /// The goroutine that waits to write, as `rg`.
        wg: u32 = "wg",
        /// Deadline for reads, nanoseconds of the runtime's clock, -1 once passed (`int64`).
        rd: u32 = "rd",
        /// Deadline for writes, as `rd`.
        wd: u32 = "wd",
    }

    /// `sync.Mutex` (src/sync/mutex.go; from Go 1.24 around the one in src/internal/sync/mutex.go).
    Mutex from "sync.Mutex" {
        /// State bits (`int32`).
        state: u32 = "mu.state" | "state",
        /// The semaphore that waiters sleep on (`uint32`).
        sema: u32 = "mu.sema" | "sema",
    }

    /// `sync.RWMutex` (src/sync/rwmutex.go).
    RwMutex from "sync.RWMutex" {
        /// The mutex that writers hold.
        w: u32 = "w",
        /// The semaphore that a writer sleeps on (`uint32`).
        writer_sem: u32 = "writerSem",
        /// The semaphore that readers sleep on (`uint32`).
        reader_sem: u32 = "readerSem",
        /// Readers, minus 2^30 while a writer waits or holds (`int32`).
        reader_count: u32 = "readerCount",
        /// Readers that a waiting writer still waits for (`int32`).
        reader_wait: u32 = "readerWait",
    }

    /// `sync.WaitGroup` (src/sync/waitgroup.go).
    WaitGroup from "sync.WaitGroup" {
        /// Counter in the high, waiters in the low half (`uint64`). Go 1.18 and 1.19 have it here when the struct is
        /// 8-byte aligned, as it always is on 64-bit machines.
        state: u32 = "state" | "state1",
        /// The semaphore that waiters sleep on (`uint32`).
        sema: u32 = "sema" | "state2",
    }

    /// `sync.Cond` (src/sync/cond.go).
    Cond from "sync.Cond" {
        /// The locker, an interface.
        l: u32 = "L",
        /// [`NotifyList`] of the waiters.
        notify: u32 = "notify",
    }
}
