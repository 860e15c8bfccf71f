//! What a wait reason says of what is waited for: the one place that knows the runtime's texts.
//!
//! In: the runtime's text (`waitReasonStrings`, src/runtime/runtime2.go, Go 1.18 to 1.27). Out: the kind of thing, which tells
//! where to look for it. A text that is not known leads nowhere, and the goroutine waits for nothing that has an address.

use super::Direction;
use crate::target::id::SyncPrimitive;

/// What a goroutine waits for, as far as its wait reason tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// A channel; its sudog tells which.
    Channel(Direction),
    /// A nil channel, which is nowhere.
    NilChannel(Direction),
    /// Channels; its sudogs tell which.
    Select,
    /// A select without a case, which nothing ends.
    EmptySelect,
    /// A timer; the goroutine itself tells which.
    Sleep,
    /// A semaphore, which is in the table; of this kind of object, where the text tells.
    Semaphore(Option<(SyncPrimitive, Option<Direction>)>),
    /// A `sync.Cond`.
    Cond,
    /// A descriptor of the network poller.
    Descriptor,
    /// Nothing with an address: the runtime's own affairs.
    Other,
}

/// What the runtime puts behind the text of a wait in a bubble of `testing/synctest` (Go 1.24, and from 1.25 on).
const BUBBLE: [&str; 2] = [" (synctest)", " (durable)"];

impl Reason {
    /// By the runtime's text.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let semaphore = |kind, direction| Self::Semaphore(Some((kind, direction)));
        match BUBBLE.iter().find_map(|bubble| text.strip_suffix(bubble)).unwrap_or(text) {
            "chan receive" => Self::Channel(Direction::Receive),
            "chan send" => Self::Channel(Direction::Send),
            "chan receive (nil chan)" => Self::NilChannel(Direction::Receive),
            "chan send (nil chan)" => Self::NilChannel(Direction::Send),
            "select" => Self::Select,
            "select (no cases)" => Self::EmptySelect,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::binary::offsets::wait_reasons;
    use crate::binary::version::GoVersion;

    #[test]
    fn the_texts_of_every_go_that_speak_of_a_channel_or_of_package_sync_are_known() {
        let mut known = 0;
        for minor in 18..=27 {
            let version = GoVersion::parse(&format!("go1.{minor}")).unwrap();
            for text in wait_reasons(&version).unwrap() {
                let has_object = ["chan ", "select", "sema", "sync."].iter().any(|it| text.starts_with(it));
                assert_eq!(has_object, is_object(Reason::of(text)), "Go 1.{minor}: {text:?}");
                known += usize::from(has_object);
            }
        }
        assert!(known > 70, "{known}");
        assert_eq!(Reason::of("select (synctest)"), Reason::Select);
        assert_eq!(Reason::of("chan send (durable)"), Reason::Channel(Direction::Send));
    }

    fn is_object(reason: Reason) -> bool {
        match reason {
            Reason::Channel(_)
            | Reason::NilChannel(_)
            | Reason::Select
            | Reason::EmptySelect
            | Reason::Semaphore(_)
            | Reason::Cond => true,
            Reason::Sleep | Reason::Descriptor | Reason::Other => false,
        }
    }
}
