//! The one list of probed Go functions: names, level, the signature each handler assumes and where that holds.
//!
//! The kernel-side handlers are in `goflow-ebpf/src/probes/`; a signature here that is wrong for a Go version means
//! wrong events, so each is checked against the toolchains by the matrix test.

use goflow_common::probe::ProbeId;
use serde::{Deserialize, Serialize};

/// How much is probed; each level includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Nothing: what happens is inferred from snapshots.
    Snapshot,
    /// Creation and exit of goroutines.
    Lifecycle,
    /// And parks, wake-ups and waits for sync objects.
    Blocking,
    /// And every channel operation, and every count of a WaitGroup.
    Channels,
}

impl Level {
    /// The word for it on the command line and in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Snapshot => "snapshot",
            Self::Lifecycle => "lifecycle",
            Self::Blocking => "blocking",
            Self::Channels => "channels",
        }
    }
}

/// Which instruction of a function is probed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// After the stack check, with the arguments in their registers.
    Entry,
    /// Every `ret`, with the result in `AX` and the return address on top of the stack.
    Return,
    /// Before every `ret`, with the result in `AX`.
    Result,
}

/// What goflow knows about one probe.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// Which probe.
    pub probe: ProbeId,
    /// The lowest level that includes it.
    pub level: Level,
    /// The function's symbol; where it moved between packages, the newest name first.
    pub functions: &'static [&'static str],
    /// Where in the function.
    pub point: Point,
    /// The Go signature the handler relies on, with the versions in which it holds.
    pub signature: &'static str,
    /// The eBPF program that serves it where there is no multi-uprobe link.
    pub program: &'static str,
    /// What the user loses without it.
    pub gives: &'static str,
    /// Why a correct program may lack the function, if it may: the linker drops what is never called.
    pub may_be_absent: Option<&'static str>,
}

/// Every probe, in the order of [`ProbeId`].
pub const CATALOG: [Spec; ProbeId::COUNT] = [
    Spec {
        probe: ProbeId::Newproc1,
        level: Level::Lifecycle,
        functions: &["runtime.newproc1"],
        point: Point::Result,
        signature: "1.18–1.22: func newproc1(fn *funcval, callergp *g, callerpc uintptr) *g; \
                    1.23–1.27: and (parked bool, waitreason waitReason)",
        program: "newproc1",
        gives: "goroutine creation",
        may_be_absent: None,
    },
    Spec {
        probe: ProbeId::Goexit0,
        level: Level::Lifecycle,
        functions: &["runtime.goexit0"],
        point: Point::Entry,
        signature: "1.18–1.27: func goexit0(gp *g)",
        program: "goexit0",
        gives: "goroutine exit",
        may_be_absent: None,
    },
    Spec {
        probe: ProbeId::Gopark,
        level: Level::Blocking,
        functions: &["runtime.gopark"],
        point: Point::Entry,
        signature: "1.18–1.20: func gopark(unlockf func(*g, unsafe.Pointer) bool, lock unsafe.Pointer, \
                    reason waitReason, traceEv byte, traceskip int); 1.21–1.27: traceReason traceBlockReason",
        program: "gopark",
        gives: "parks and their stacks",
        may_be_absent: None,
    },
    Spec {
        probe: ProbeId::Ready,
        level: Level::Blocking,
        functions: &["runtime.ready"],
        point: Point::Entry,
        signature: "1.18–1.27: func ready(gp *g, traceskip int, next bool)",
        program: "ready",
        gives: "who wakes whom",
        may_be_absent: None,
    },
    Spec {
        probe: ProbeId::Makechan,
        level: Level::Channels,
        functions: &["runtime.makechan"],
        point: Point::Return,
        signature: "1.18–1.27: func makechan(t *chantype, size int) *hchan",
        program: "makechan",
        gives: "channel creation",
        may_be_absent: None,
    },
    Spec {
        probe: ProbeId::Chansend,
        level: Level::Channels,
        functions: &["runtime.chansend"],
        point: Point::Entry,
        signature: "1.18–1.27: func chansend(c *hchan, ep unsafe.Pointer, block bool, callerpc uintptr) bool",
        program: "chansend",
        gives: "channel sends",
        may_be_absent: None,
    },
    Spec {
        probe: ProbeId::Chanrecv,
        level: Level::Channels,
        functions: &["runtime.chanrecv"],
        point: Point::Entry,
        signature: "1.18–1.27: func chanrecv(c *hchan, ep unsafe.Pointer, block bool) (selected, received bool)",
        program: "chanrecv",
        gives: "channel receives",
        may_be_absent: None,
    },
    Spec {
        probe: ProbeId::Closechan,
        level: Level::Channels,
        functions: &["runtime.closechan"],
        point: Point::Entry,
        signature: "1.18–1.27: func closechan(c *hchan)",
        program: "closechan",
        gives: "channel closes",
        may_be_absent: Some("the program never closes a channel"),
    },
    Spec {
        probe: ProbeId::Selectgo,
        level: Level::Channels,
        functions: &["runtime.selectgo"],
        point: Point::Entry,
        signature: "1.18–1.27: func selectgo(cas0 *scase, order0 *uint16, pc0 *uintptr, nsends, nrecvs int, \
                    block bool) (int, bool)",
        program: "selectgo",
        gives: "selects of two cases or more",
        may_be_absent: Some("the program has no select of two cases or more"),
    },
    Spec {
        probe: ProbeId::Semacquire1,
        level: Level::Blocking,
        functions: &["runtime.semacquire1"],
        point: Point::Entry,
        signature: "1.18–1.19: func semacquire1(addr *uint32, lifo bool, profile semaProfileFlags, skipframes int); \
                    1.20–1.27: and reason waitReason",
        program: "semacquire1",
        gives: "waits for semaphores",
        may_be_absent: None,
    },
    Spec {
        probe: ProbeId::MutexLockSlow,
        level: Level::Blocking,
        functions: &["internal/sync.(*Mutex).lockSlow", "sync.(*Mutex).lockSlow"],
        point: Point::Entry,
        signature: "1.18–1.23: func (m *Mutex) lockSlow() in sync; 1.24–1.27: in internal/sync",
        program: "mutex_lock_slow",
        gives: "waits for mutexes",
        may_be_absent: Some("the program never locks a mutex"),
    },
    Spec {
        probe: ProbeId::RwMutexLock,
        level: Level::Blocking,
        functions: &["sync.(*RWMutex).Lock"],
        point: Point::Entry,
        signature: "1.18–1.27: func (rw *RWMutex) Lock()",
        program: "rwmutex_lock",
        gives: "writers of RWMutexes",
        may_be_absent: Some("the program never write-locks an RWMutex"),
    },
    Spec {
        probe: ProbeId::WaitGroupWait,
        level: Level::Blocking,
        functions: &["sync.(*WaitGroup).Wait"],
        point: Point::Entry,
        signature: "1.18–1.27: func (wg *WaitGroup) Wait()",
        program: "waitgroup_wait",
        gives: "waits for WaitGroups",
        may_be_absent: Some("the program never waits for a WaitGroup"),
    },
    Spec {
        probe: ProbeId::NotifyListWait,
        level: Level::Blocking,
        functions: &["sync.runtime_notifyListWait"],
        point: Point::Entry,
        signature: "1.18–1.27: func notifyListWait(l *notifyList, t uint32)",
        program: "notify_list_wait",
        gives: "waits for Conds",
        may_be_absent: Some("the program never waits for a Cond"),
    },
    Spec {
        probe: ProbeId::NetpollReady,
        level: Level::Blocking,
        functions: &["runtime.netpollready"],
        point: Point::Entry,
        signature: "1.18–1.21: func netpollready(toRun *gList, pd *pollDesc, mode int32); 1.22–1.27: and returns int32",
        program: "netpollready",
        gives: "wake-ups by the network poller",
        may_be_absent: None,
    },
    Spec {
        probe: ProbeId::WaitGroupAdd,
        level: Level::Channels,
        functions: &["sync.(*WaitGroup).Add"],
        point: Point::Entry,
        signature: "1.18–1.27: func (wg *WaitGroup) Add(delta int)",
        program: "waitgroup_add",
        gives: "counts of WaitGroups",
        may_be_absent: Some("the program never counts in a WaitGroup"),
    },
];

/// The entry of one probe.
#[must_use]
pub fn spec(probe: ProbeId) -> &'static Spec {
    &CATALOG[probe as usize]
}

/// The probes of a level, in catalogue order.
pub fn of_level(level: Level) -> impl Iterator<Item = &'static Spec> {
    CATALOG.iter().filter(move |spec| spec.level <= level)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_catalogue_stands_in_the_order_of_the_probe_ids() {
        for (index, spec) in CATALOG.iter().enumerate() {
            assert_eq!(spec.probe as usize, index);
        }
    }

    #[test]
    fn each_level_includes_the_one_before() {
        let count = |level| of_level(level).count();
        assert!(count(Level::Lifecycle) < count(Level::Blocking));
        assert!(count(Level::Blocking) < count(Level::Channels));
        assert_eq!(count(Level::Channels), ProbeId::COUNT);
    }
}
