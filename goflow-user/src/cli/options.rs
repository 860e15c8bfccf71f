//! Options that more than one command has.

use clap::Args;

use crate::probe::budget::Budget;

/// What the target may lose.
#[derive(Clone, Debug, Args)]
pub(super) struct BudgetOption {
    /// How much of its CPU time the target may lose to its probes, such as 2% or 0.5%; none: whatever it takes
    ///
    /// While everything fits, every event is seen. What does not fit is watched in short windows, at times that are not in
    /// step with the target, channel operations first, goroutines that come and go last; the summary of a trace tells how
    /// much was watched, and estimates the rest. Kept over every ten seconds.
    #[arg(
        long,
        value_name = "SHARE",
        default_value_t = Budget::DEFAULT,
        env = "GOFLOW_BUDGET",
        value_parser = parse_budget,
        allow_hyphen_values = true
    )]
    pub(super) budget: Budget,
}

/// A variable of the environment that is set to nothing says nothing.
fn parse_budget(text: &str) -> Result<Budget, String> {
    if text.is_empty() { Ok(Budget::DEFAULT) } else { text.parse() }
}

/// How much is read.
#[derive(Clone, Debug, Args)]
pub(super) struct MemoryOption {
    /// Read this much of the heap and of the stacks at each look at most, in MB; 0 tells only who waits
    #[arg(long, value_name = "MB", default_value_t = 4096, value_parser = clap::value_parser!(u64).range(0..=1 << 20))]
    most_memory: u64,
}

impl MemoryOption {
    /// In bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.most_memory << 20
    }
}
