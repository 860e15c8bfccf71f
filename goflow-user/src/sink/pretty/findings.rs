//! What is wrong with a process, as it turns out and in the end.
//!
//! In: findings in words; out: lines. Of many, in the end, those are told first that matter most; the rest is counted.

use super::layout::{Line, counted};
use super::report::entry;
use super::{ALARM, BESIDE_TIME, BOLD, DIM, PLAIN};
use crate::detect::Severity;
use crate::sink::findings::Described;
use crate::sink::printable::printable;
use crate::sink::record::{FindingChange, Summary};
use anstyle::Style;
use std::cmp::Reverse;

/// Sentences of a finding that are told as it opens.
const SENTENCES: usize = 6;

/// Findings told in the end.
const SHOWN: usize = 8;

/// A finding that opens or resolves; `stamp` is the beginning of its line.
pub(super) fn change(stamp: Line, change: &FindingChange) -> Vec<Line> {
    let Described { finding, evidence, .. } = &change.described;
    let rule = finding.rule;
    if !change.is_open {
        let text = format!("{}: resolved", rule.id);
        return vec![stamp.text(BOLD, text).text(DIM, first(evidence)).wrapping(BESIDE_TIME)];
    }
    let about = format!(" ({}; goflow explain {})", finding.confidence.name(), rule.id);
    let title = stamp
        .text(style(rule.severity), rule.id)
        .text(PLAIN, format!(": {}", rule.title))
        .text(DIM, about)
        .wrapping(BESIDE_TIME);
    let mut lines = vec![title];
    for sentence in evidence.iter().take(SENTENCES) {
        let text = format!("{:>BESIDE_TIME$}- {}", "", printable(sentence));
        lines.push(Line::default().text(PLAIN, text).wrapping(BESIDE_TIME + 2));
    }
    lines
}

/// What is wrong in the end.
pub(super) fn summary(summary: &Summary) -> Vec<Line> {
    let mut open: Vec<&Described<'_>> = summary.findings.iter().map(|(_, one)| one).collect();
    open.sort_by_key(|one| Reverse((one.finding.confidence, one.finding.rule.severity)));
    let mut lines = Vec::new();
    for (index, described) in open.iter().take(SHOWN).enumerate() {
        let finding = &described.finding;
        let line = entry(if index == 0 { "found" } else { "" })
            .text(style(finding.rule.severity), finding.rule.id)
            .text(DIM, format!(" ({})", finding.confidence.name()))
            .text(PLAIN, first(&described.evidence));
        lines.push(line);
    }
    let rest = open.len().saturating_sub(SHOWN) as u64;
    if rest > 0 {
        lines.push(entry("").text(DIM, format!("and {} more", counted(rest, "finding"))));
    }
    lines
}

fn first(evidence: &[String]) -> String {
    evidence.first().map_or_else(String::new, |sentence| format!(": {}", printable(sentence)))
}

fn style(severity: Severity) -> Style {
    match severity {
        Severity::Error => ALARM,
        Severity::Warning | Severity::Note => BOLD,
    }
}
