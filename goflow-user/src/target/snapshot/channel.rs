//! A channel as a snapshot has it: its `hchan` and both wait queues (src/runtime/chan.go). No logic.

use super::Few;
use crate::binary::addr::RuntimeAddr;
use crate::target::id::{ChanAddr, Goid, MonotonicNs};

/// A channel that somebody waits on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Channel {
    /// Address of the `hchan`.
    pub address: ChanAddr,
    /// Values in its buffer.
    pub len: u64,
    /// Size of its buffer in values; 0 for an unbuffered channel.
    pub cap: u64,
    /// Size of a value in bytes.
    pub elem_size: u16,
    /// Type descriptor of a value; `None` when nil.
    pub elem_type: Option<RuntimeAddr>,
    /// It was closed.
    pub closed: bool,
    /// Position in the buffer of the next value sent.
    pub sendx: u64,
    /// Position in the buffer of the next value received.
    pub recvx: u64,
    /// Who waits to send, in the order in which they will be served.
    pub senders: Few<Waiter>,
    /// Who waits to receive, in the order in which they will be served.
    pub receivers: Few<Waiter>,
    /// The timer or ticker that sends to it, from Go 1.23 on.
    pub timer: Option<ChanTimer>,
}

/// A goroutine in a channel's queue. One that selects twice on the channel stands there twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiter {
    /// The goroutine.
    pub goid: Goid,
    /// It waits in a select.
    pub select: bool,
}

/// The timer behind a channel (`time.After`, `time.NewTimer`, `time.NewTicker`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChanTimer {
    /// Address of the `runtime.timer`.
    pub address: RuntimeAddr,
    /// When it fires next; `None` when it is stopped.
    pub when: Option<MonotonicNs>,
    /// Nanoseconds between two ticks of a ticker; `None` for a timer.
    pub period_ns: Option<u64>,
}
