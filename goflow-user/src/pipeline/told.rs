//! How many findings are open, by rule, for metrics.
//!
//! In: findings as they open and resolve, and the ends of processes, which resolve what was wrong with them. Out: counts.

use crate::sink::metrics::FindingCount;
use crate::sink::record::FindingChange;
use crate::target::Pid;
use std::collections::{BTreeMap, BTreeSet};

/// What makes findings of one process the same: the rule, and the fingerprint.
type Key = (&'static str, String);

/// What has been told so far.
#[derive(Debug, Default)]
pub(super) struct Told {
    open: BTreeMap<Pid, BTreeSet<Key>>,
    opened: BTreeMap<&'static str, u64>,
}

impl Told {
    /// One opens or resolves. Those with one fingerprint are one fault.
    pub(super) fn note(&mut self, change: &FindingChange) {
        let rule = change.described.finding.rule.id;
        let open = self.open.entry(change.pid).or_default();
        let key = (rule, change.described.fingerprint.clone());
        if !change.is_open {
            open.remove(&key);
        } else if open.insert(key) {
            *self.opened.entry(rule).or_default() += 1;
        }
    }

    /// A process has ended.
    pub(super) fn ended(&mut self, pid: Pid) {
        self.open.remove(&pid);
    }

    /// By rule; those of which none has ever opened are left out.
    pub(super) fn counts(&self) -> BTreeMap<&'static str, FindingCount> {
        let count = |(rule, opened): (&&'static str, &u64)| {
            let of_rule = self.open.values().flatten().filter(|(open, _)| open == rule);
            (*rule, FindingCount { open: of_rule.count() as u64, opened: *opened })
        };
        self.opened.iter().map(count).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::rule::{DEADLOCK, GOROUTINE_LEAK, Rule};
    use crate::detect::{Confidence, Finding};
    use crate::sink::findings::Described;
    use crate::target::id::MonotonicNs;
    use std::borrow::Cow;

    fn change(pid: u32, rule: &'static Rule, fingerprint: &str, is_open: bool) -> FindingChange {
        let finding = Finding {
            rule,
            confidence: Confidence::Likely,
            since: MonotonicNs(0),
            opened: MonotonicNs(0),
            goroutines: Vec::new(),
            more: 0,
            functions: Vec::new(),
            objects: Vec::new(),
            evidence: Vec::new(),
            identity: Vec::new(),
        };
        let described = Described {
            finding: Cow::Owned(finding),
            fingerprint: fingerprint.to_owned(),
            goroutines: Vec::new(),
            functions: Vec::new(),
            evidence: Vec::new(),
        };
        FindingChange { pid: Pid(pid), t: MonotonicNs(1), is_open, described }
    }

    #[test]
    fn what_resolves_and_what_ends_is_open_no_more_and_has_been_opened() {
        let mut told = Told::default();
        let counts = |told: &Told| -> Vec<(&str, u64, u64)> {
            told.counts().into_iter().map(|(rule, count)| (rule, count.open, count.opened)).collect()
        };
        assert_eq!(counts(&told), []);
        for (pid, fingerprint) in [(7, "a"), (7, "b"), (7, "b"), (8, "a")] {
            told.note(&change(pid, &GOROUTINE_LEAK, fingerprint, true));
        }
        told.note(&change(7, &DEADLOCK, "a", true));
        assert_eq!(counts(&told), [("deadlock", 1, 1), ("goroutine-leak", 3, 3)]);
        told.note(&change(7, &DEADLOCK, "a", false));
        told.ended(Pid(8));
        assert_eq!(counts(&told), [("deadlock", 0, 1), ("goroutine-leak", 2, 3)]);
        told.note(&change(7, &DEADLOCK, "a", true));
        assert_eq!(counts(&told), [("deadlock", 1, 2), ("goroutine-leak", 2, 3)]);
    }
}
