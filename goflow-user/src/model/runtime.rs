//! What the model must know of a process's Go runtime: the meaning of its wait reasons, and one offset.

use crate::binary::GoBinary;
use crate::binary::offsets::Offsets;
use crate::target::id::WaitReason;
use crate::target::snapshot::Direction;
use std::sync::Arc;

/// The kind of thing that a wait reason speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WaitKind {
    /// A channel, nil or not.
    Channel(Direction),
    /// A `select`.
    Select,
    /// A semaphore, and whatever of package sync is built on it; a condition variable.
    Sync,
    /// The runtime's own affairs, sleep, input and output.
    Other,
}

impl WaitKind {
    /// The kind of a reason by its text, as in `waitReasonStrings` (src/runtime/runtime2.go, Go 1.18–1.27). What stands
    /// behind the first words tells a nil channel, or that it happens in a `synctest` bubble.
    #[must_use]
    pub fn of(text: &str) -> Self {
        const KINDS: [(&str, WaitKind); 8] = [
            ("chan receive", WaitKind::Channel(Direction::Receive)),
            ("chan send", WaitKind::Channel(Direction::Send)),
            ("select", WaitKind::Select),
            ("semacquire", WaitKind::Sync),
            ("sync.Cond.Wait", WaitKind::Sync),
            ("sync.Mutex.Lock", WaitKind::Sync),
            ("sync.RWMutex.", WaitKind::Sync),
            ("sync.WaitGroup.Wait", WaitKind::Sync),
        ];
        KINDS.iter().find(|(start, _)| text.starts_with(start)).map_or(Self::Other, |(_, kind)| *kind)
    }
}

/// A binary's numbers; cheap to copy.
#[derive(Clone, Debug, Default)]
pub struct Runtime {
    kinds: Arc<[WaitKind]>,
    hchan_lock: u64,
}

impl Runtime {
    /// From the binary's wait reasons, in the order of their numbers, and the offset of `hchan.lock` in bytes.
    pub fn new<'t>(wait_reasons: impl IntoIterator<Item = &'t str>, hchan_lock: u64) -> Self {
        Self { kinds: wait_reasons.into_iter().map(WaitKind::of).collect(), hchan_lock }
    }

    /// Of a program.
    #[must_use]
    pub fn of(binary: &GoBinary<'_>, offsets: &Offsets) -> Self {
        let reasons = (0..=u8::MAX).map_while(|reason| binary.wait_reason(reason));
        Self::new(reasons, u64::from(offsets.hchan.lock))
    }

    /// The kind of a reason; a number without a text is [`WaitKind::Other`].
    #[must_use]
    pub fn wait_kind(&self, reason: WaitReason) -> WaitKind {
        self.kinds.get(usize::from(reason.0)).copied().unwrap_or(WaitKind::Other)
    }

    pub(super) fn hchan_lock(&self) -> u64 {
        self.hchan_lock
    }
}
