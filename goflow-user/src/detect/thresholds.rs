//! From when on something is told: numbers that a user may set (`goflow check --threshold NAME=VALUE`).
//!
//! In: a name and a value as text. Out: [`Thresholds`]. Refused: names that are none, and values that are no number or below
//! what makes sense, such as one look, from which nothing can be seen to go on.

use super::recent::MOST_KEPT;
use std::ops::RangeInclusive;

/// From when on rules that count tell something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thresholds {
    /// Looks that have to agree.
    pub looks: u32,
    /// Goroutines that wait for one lock.
    pub waiters: u64,
    /// Goroutines from one place that there are more than at first.
    pub goroutines: u64,
    /// Values in a channel that there are more than at first.
    pub backlog: u64,
    /// Timers that call the same that there are more than at first.
    pub timers: u64,
    /// Goroutines that wait to send to one channel.
    pub senders: u64,
    /// Goroutines that wait to receive from one channel.
    pub receivers: u64,
    /// Seconds that a goroutine waits.
    pub blocked: u64,
}

impl Default for Thresholds {
    /// Five looks take two seconds and a half at the pace of `goflow check`, and three in a crowd are more than two that meet by
    /// chance. A garbage collection notes who waits, and one is forced every two minutes, so a minute is known of most that wait
    /// for two.
    fn default() -> Self {
        Self {
            looks: 5,
            waiters: 3,
            goroutines: 4,
            backlog: 32,
            timers: 16,
            senders: 2,
            receivers: 3,
            blocked: 60,
        }
    }
}

/// A name, the rules that it is of, and the values that make sense.
type Known = (&'static str, &'static str, RangeInclusive<u64>);

/// Every threshold, in the order of the fields.
const KNOWN: [Known; 8] = [
    (
        "looks",
        "lock-contention, long-blocked, long-running, starvation, slow-consumer, slow-producer, timer-leak, unbounded-growth",
        2..=MOST_KEPT as u64,
    ),
    ("waiters", "lock-contention", 1..=u64::MAX),
    ("goroutines", "unbounded-growth", 1..=u64::MAX),
    ("backlog", "unbounded-growth", 1..=u64::MAX),
    ("timers", "timer-leak", 1..=u64::MAX),
    ("senders", "slow-consumer", 1..=u64::MAX),
    ("receivers", "slow-producer", 1..=u64::MAX),
    ("blocked", "long-blocked", 1..=u64::MAX),
];

impl Thresholds {
    /// The names, each with the rules that it is of.
    pub fn names() -> impl Iterator<Item = (&'static str, &'static str)> {
        KNOWN.iter().map(|(name, rules, _)| (*name, *rules))
    }

    /// Sets the threshold of this name.
    ///
    /// # Errors
    /// What is wrong, and what would be right.
    pub fn set(&mut self, name: &str, value: u64) -> Result<(), String> {
        let Some((_, _, known)) = KNOWN.iter().find(|(known, ..)| *known == name) else {
            let names: Vec<&str> = Self::names().map(|(name, _)| name).collect();
            return Err(format!("there is no threshold {name:?}; there are {}", names.join(", ")));
        };
        if !known.contains(&value) {
            let (least, most) = (known.start(), known.end());
            let right =
                if *most == u64::MAX { format!("{least} or more") } else { format!("{least} to {most}") };
            return Err(format!("{name} is {value}; it has to be {right}"));
        }
        match name {
            "looks" => self.looks = u32::try_from(value).unwrap_or(u32::MAX),
            "waiters" => self.waiters = value,
            "goroutines" => self.goroutines = value,
            "backlog" => self.backlog = value,
            "timers" => self.timers = value,
            "senders" => self.senders = value,
            "receivers" => self.receivers = value,
            _ => self.blocked = value,
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_sets_a_threshold_of_its_own() {
        let mut thresholds = Thresholds::default();
        for ((name, _), value) in Thresholds::names().zip(10..) {
            thresholds.set(name, value).unwrap();
        }
        let expected = Thresholds {
            looks: 10,
            waiters: 11,
            goroutines: 12,
            backlog: 13,
            timers: 14,
            senders: 15,
            receivers: 16,
            blocked: 17,
        };
        assert_eq!(thresholds, expected);
    }

    #[test]
    fn the_page_of_each_rule_has_its_thresholds() {
        for (name, rules) in Thresholds::names() {
            for rule in rules.split(", ") {
                let page = crate::detect::Rule::named(rule).map_or("", |rule| rule.page);
                assert!(page.contains(&format!("`{name}`")), "{rule} has no {name}");
            }
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_what_would() {
        let mut thresholds = Thresholds::default();
        assert!(thresholds.set("look", 3).unwrap_err().contains("looks, waiters"));
        assert!(thresholds.set("looks", 1).unwrap_err().contains("2 to 64"));
        assert!(thresholds.set("timers", 0).unwrap_err().contains("1 or more"));
        assert_eq!(thresholds, Thresholds::default());
    }
}
