//! What can be wrong: each rule with what a person is told about it.

/// How bad it is where it is so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Worth to know.
    Note,
    /// It costs, or will.
    Warning,
    /// Something does not work any more.
    Error,
}

impl Severity {
    /// The word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// A rule.
#[derive(Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its name in every output.
    pub id: &'static str,
    /// What it finds, in half a sentence.
    pub title: &'static str,
    /// How bad that is.
    pub severity: Severity,
    /// Only events tell: without probes it finds nothing.
    pub is_of_events: bool,
    /// Its page: what, why, an example, how to mend it, and when it is a false alarm. Markdown.
    pub page: &'static str,
}

/// What a rule needs.
enum By {
    Looks,
    Events,
}

macro_rules! rules {
    ($($(#[$doc:meta])* $name:ident = $id:literal, $severity:ident, $by:ident, $title:literal;)*) => {
        $(
            $(#[$doc])*
            pub static $name: Rule = Rule {
                id: $id,
                title: $title,
                severity: Severity::$severity,
                is_of_events: matches!(By::$by, By::Events),
                page: include_str!(concat!("../../../docs/rules/", $id, ".md")),
            };
        )*
        /// Every rule, by name.
        pub static RULES: &[&Rule] = &[$(&$name),*];
    };
}

rules! {
    /// Channels that somebody takes values from until the end that never comes.
    CHANNEL_NOT_CLOSED = "channel-not-closed", Warning, Looks, "goroutines wait for the end of a channel that nobody can close any more";
    /// Goroutines that wait in a circle.
    CIRCULAR_WAIT = "circular-wait", Error, Looks, "goroutines wait for each other in a circle";
    /// Nothing goes on.
    DEADLOCK = "deadlock", Error, Looks, "every goroutine waits for another";
    /// Channels that are closed twice.
    DOUBLE_CLOSE_RISK = "double-close-risk", Warning, Events, "a channel is closed twice";
    /// Goroutines nobody can wake.
    GOROUTINE_LEAK = "goroutine-leak", Warning, Looks, "goroutines wait where nobody can come any more";
    /// Many wait for one lock.
    LOCK_CONTENTION = "lock-contention", Note, Looks, "many goroutines wait for one lock, again and again";
    /// For long in need of somebody.
    LONG_BLOCKED = "long-blocked", Note, Looks, "a goroutine has been waiting for long to send, or for a lock";
    /// On a CPU all the time.
    LONG_RUNNING = "long-running", Note, Looks, "a goroutine computes at every look";
    /// Locks that are not given back by who took them.
    MUTEX_UNLOCKED_BY_OTHER = "mutex-unlocked-by-other", Warning, Looks, "a goroutine unlocks what another one has locked";
    /// Channels that are closed while somebody sends.
    SEND_ON_CLOSED_RISK = "send-on-closed-risk", Warning, Events, "a channel is closed while goroutines still send on it";
    /// Senders wait all the time.
    SLOW_CONSUMER = "slow-consumer", Warning, Looks, "goroutines wait to send nearly all the time: who receives is slower";
    /// Receivers wait all the time.
    SLOW_PRODUCER = "slow-producer", Note, Looks, "goroutines wait to receive all the time: who sends is slower";
    /// Runnable, and not run.
    STARVATION = "starvation", Warning, Looks, "goroutines are ready to run, and do not get to";
    /// Timers that nobody stops.
    TIMER_LEAK = "timer-leak", Warning, Looks, "timers that are set for long become more and more";
    /// More and more of them.
    UNBOUNDED_GROWTH = "unbounded-growth", Warning, Looks, "goroutines from one place, or values in a channel, become more and more";
    /// Goroutines that count themselves too late.
    WAITGROUP_MISUSE = "waitgroup-misuse", Warning, Events, "a goroutine counts itself in a wait group that is waited for already";
}

impl Rule {
    /// The rule of this name.
    #[must_use]
    pub fn named(id: &str) -> Option<&'static Self> {
        RULES.iter().copied().find(|rule| rule.id == id)
    }
}
