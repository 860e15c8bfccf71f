//! The identity of each probe: one number for the kernel side, the plan, the counters and the sinks.

/// A probed Go function. The discriminant is the index into the per-probe counters and the cookie of the probe.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ProbeId {
    /// `runtime.newproc1`, at its return: a goroutine was created.
    Newproc1 = 0,
    /// `runtime.goexit0`: a goroutine ended.
    Goexit0 = 1,
    /// `runtime.gopark`: a goroutine parks.
    Gopark = 2,
    /// `runtime.ready`: a goroutine is made runnable by another.
    Ready = 3,
    /// `runtime.makechan`, at its return: a channel was made.
    Makechan = 4,
    /// `runtime.chansend`.
    Chansend = 5,
    /// `runtime.chanrecv`.
    Chanrecv = 6,
    /// `runtime.closechan`.
    Closechan = 7,
    /// `runtime.selectgo`.
    Selectgo = 8,
    /// `runtime.semacquire1`, the slow path of every semaphore.
    Semacquire1 = 9,
    /// `sync.(*Mutex).lockSlow` (`internal/sync` from Go 1.24).
    MutexLockSlow = 10,
    /// `sync.(*RWMutex).Lock`, a writer.
    RwMutexLock = 11,
    /// `sync.(*WaitGroup).Wait`.
    WaitGroupWait = 12,
    /// `sync.runtime_notifyListWait`, where `sync.(*Cond).Wait` blocks.
    NotifyListWait = 13,
    /// `runtime.netpollready`: the network poller makes goroutines runnable.
    NetpollReady = 14,
    /// `sync.(*WaitGroup).Add`, of which `Done` is a call.
    WaitGroupAdd = 15,
}

impl ProbeId {
    /// How many probes there are.
    pub const COUNT: usize = 16;

    /// Every probe, in the order of its discriminant.
    pub const ALL: [ProbeId; Self::COUNT] = [
        Self::Newproc1,
        Self::Goexit0,
        Self::Gopark,
        Self::Ready,
        Self::Makechan,
        Self::Chansend,
        Self::Chanrecv,
        Self::Closechan,
        Self::Selectgo,
        Self::Semacquire1,
        Self::MutexLockSlow,
        Self::RwMutexLock,
        Self::WaitGroupWait,
        Self::NotifyListWait,
        Self::NetpollReady,
        Self::WaitGroupAdd,
    ];

    /// The probe with this number, or `None` for a number this version does not know.
    #[must_use]
    pub fn from_raw(raw: u32) -> Option<Self> {
        Self::ALL.get(raw as usize).copied()
    }
}
