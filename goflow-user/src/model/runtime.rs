//! What the model must know of a process's Go runtime: the meaning of its wait reasons, and two offsets.

use crate::binary::GoBinary;
use crate::binary::offsets::Offsets;
use crate::target::id::WaitReason;
use crate::target::snapshot::Reason;
use std::sync::Arc;

/// Offsets of fields to which events point, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fields {
    /// `lock` in an `hchan`.
    pub hchan_lock: u64,
    /// `notify` in a `sync.Cond`.
    pub cond_notify: u64,
}

/// A binary's numbers; cheap to copy.
#[derive(Clone, Debug, Default)]
pub struct Runtime {
    reasons: Arc<[Reason]>,
    fields: Fields,
}

impl Runtime {
    /// From the binary's wait reasons, in the order of their numbers, and the fields it has.
    pub fn new<'t>(wait_reasons: impl IntoIterator<Item = &'t str>, fields: Fields) -> Self {
        Self { reasons: wait_reasons.into_iter().map(Reason::of).collect(), fields }
    }

    /// Of a program.
    #[must_use]
    pub fn of(binary: &GoBinary<'_>, offsets: &Offsets) -> Self {
        let reasons = (0..=u8::MAX).map_while(|reason| binary.wait_reason(reason));
        let cond_notify = offsets.cond.map_or(0, |cond| u64::from(cond.notify));
        Self::new(reasons, Fields { hchan_lock: u64::from(offsets.hchan.lock), cond_notify })
    }

    /// What a reason means; a number without a text is [`Reason::Other`].
    #[must_use]
    pub fn reason(&self, reason: WaitReason) -> Reason {
        self.reasons.get(usize::from(reason.0)).copied().unwrap_or(Reason::Other)
    }

    pub(super) fn fields(&self) -> Fields {
        self.fields
    }
}
