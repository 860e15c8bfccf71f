//! What a wait reason says of what is waited for.
//!
//! In: the runtime's text (`waitReasonStrings`, src/runtime/runtime2.go, Go 1.18 to 1.27). Out: where to look for it. A text
//! that is not known leads nowhere, and the goroutine waits for nothing that has an address.

use super::Direction;
use crate::target::id::SyncPrimitive;

/// Where what a goroutine waits for is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// A channel, by its sudog.
    Channel(Direction),
    /// A nil channel, which is nowhere.
    NilChannel(Direction),
    /// Channels, by its sudogs.
    Select,
    /// A timer, by the goroutine itself.
    Sleep,
    /// A semaphore, by the table; of this kind of object, where the text tells.
    Semaphore(Option<(SyncPrimitive, Option<Direction>)>),
    /// A `sync.Cond`.
    Cond,
    /// A descriptor of the network poller.
    Descriptor,
    /// Nothing with an address.
    Other,
}

impl Reason {
    /// By the runtime's text.
    pub(super) fn of(text: &str) -> Self {
        let semaphore = |kind, direction| Self::Semaphore(Some((kind, direction)));
        match text.strip_suffix(" (durable)").unwrap_or(text) {
            "chan receive" => Self::Channel(Direction::Receive),
            "chan send" => Self::Channel(Direction::Send),
            "chan receive (nil chan)" => Self::NilChannel(Direction::Receive),
            "chan send (nil chan)" => Self::NilChannel(Direction::Send),
            "select" => Self::Select,
            "sleep" => Self::Sleep,
            "semacquire" => Self::Semaphore(None),
            "sync.Mutex.Lock" => semaphore(SyncPrimitive::Mutex, None),
            "sync.RWMutex.RLock" => semaphore(SyncPrimitive::RwMutex, Some(Direction::Read)),
            "sync.RWMutex.Lock" => semaphore(SyncPrimitive::RwMutex, Some(Direction::Write)),
            "sync.WaitGroup.Wait" => semaphore(SyncPrimitive::WaitGroup, None),
            "sync.Cond.Wait" => Self::Cond,
            "IO wait" => Self::Descriptor,
            _ => Self::Other,
        }
    }

    /// True when only the stack tells what it is, or where.
    pub(super) fn needs_stack(self) -> bool {
        matches!(
            self,
            Self::Semaphore(None | Some((SyncPrimitive::Mutex, _))) | Self::Cond | Self::Descriptor
        )
    }
}
