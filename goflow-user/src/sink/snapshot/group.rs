//! Goroutines that have something in common, the largest group first.

use super::View;
use crate::binary::frame::Frame;
use crate::target::snapshot::Goroutine;
use std::collections::HashMap;

/// What goroutines are grouped by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// Where they were created.
    Creation,
    /// Where they stand, all frames.
    Stack,
    /// What they do: why they wait, else their state.
    Reason,
}

/// Some goroutines, and what they have in common.
pub struct Group<'a> {
    /// Lines that say it.
    pub key: Vec<String>,
    /// By goid.
    pub goroutines: Vec<&'a Goroutine>,
}

/// The groups of a view's goroutines: largest first, then by what they have in common.
#[must_use]
pub fn groups<'a>(view: &View<'a>, by: By) -> Vec<Group<'a>> {
    let mut groups: HashMap<Vec<String>, Vec<&'a Goroutine>> = HashMap::new();
    for &goroutine in &view.chosen {
        groups.entry(key(view, goroutine, by)).or_default().push(goroutine);
    }
    let mut groups: Vec<Group<'a>> =
        groups.into_iter().map(|(key, goroutines)| Group { key, goroutines }).collect();
    groups.sort_by(|a, b| b.goroutines.len().cmp(&a.goroutines.len()).then_with(|| a.key.cmp(&b.key)));
    groups
}

fn key(view: &View<'_>, goroutine: &Goroutine, by: By) -> Vec<String> {
    match by {
        By::Reason => vec![reason(view, goroutine)],
        By::Creation => {
            let Some(pc) = goroutine.creation() else {
                return vec!["(started by the runtime)".to_owned()];
            };
            let place = view.place(pc);
            vec![place.frames.first().map_or_else(|| pc.to_string(), |frame| position(view, frame))]
        }
        By::Stack => {
            let named = view.profiled(goroutine);
            let lines = named.iter().map(|named| match &named.frame {
                Some(frame) => position(view, frame),
                None => named.pc.to_string(),
            });
            let lines: Vec<String> = lines.collect();
            if lines.is_empty() { vec![format!("({})", goroutine.state.name())] } else { lines }
        }
    }
}

/// Why it waits, or what it does.
#[must_use]
pub fn reason(view: &View<'_>, goroutine: &Goroutine) -> String {
    let reason = view.wait_reason(goroutine).filter(|reason| !reason.is_empty());
    reason.unwrap_or_else(|| goroutine.state.name().to_owned())
}

fn position(view: &View<'_>, frame: &Frame<'_>) -> String {
    let function = view.printed(frame.function);
    match (frame.file, frame.line) {
        (Some(file), Some(line)) => format!("{function} {file}:{line}"),
        _ => function.into_owned(),
    }
}
