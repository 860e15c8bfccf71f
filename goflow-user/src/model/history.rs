//! The last transitions of a goroutine, in constant memory.

use super::goroutine::{Cause, State};
use crate::target::id::{Goid, MonotonicNs};

/// How many are kept.
pub const KEPT: usize = 6;

/// One transition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// When.
    pub at: MonotonicNs,
    /// To which state.
    pub state: State,
    /// Why.
    pub cause: Cause,
    /// Who did it, where that is another goroutine: its creator, or who woke it.
    pub by: Option<Goid>,
}

/// The last [`KEPT`] transitions.
#[derive(Clone, Copy, Debug)]
pub struct History {
    steps: [Step; KEPT],
    /// Transitions so far.
    count: u64,
}

impl Default for History {
    fn default() -> Self {
        let nothing = Step { at: MonotonicNs(0), state: State::Unknown, cause: Cause::Acted, by: None };
        Self { steps: [nothing; KEPT], count: 0 }
    }
}

impl History {
    pub(super) fn push(&mut self, step: Step) {
        self.steps[(self.count % KEPT as u64) as usize] = step;
        self.count += 1;
    }

    /// What is kept, oldest first.
    pub fn steps(&self) -> impl Iterator<Item = &Step> {
        let kept = self.count.min(KEPT as u64);
        (self.count - kept..self.count).map(|number| &self.steps[(number % KEPT as u64) as usize])
    }

    /// How many transitions there were.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_steps_make_room() {
        let mut history = History::default();
        for at in 0..KEPT as u64 + 2 {
            history.push(Step { at: MonotonicNs(at), state: State::Awake, cause: Cause::Acted, by: None });
        }
        let kept: Vec<u64> = history.steps().map(|step| step.at.0).collect();
        assert_eq!(kept, (2..KEPT as u64 + 2).collect::<Vec<_>>());
        assert_eq!(history.count(), KEPT as u64 + 2);
    }
}
