//! Which package variables the code names that may still run.
//!
//! In: the goroutines that go on, and the functions that what they reach leads to. Out: more that is reached: the variables that
//! those functions name, and those of what they call. A package variable is within everybody's reach by its address alone, but only
//! code that names it has that address, and a goroutine that goes on runs what comes behind in the functions on its stack and what
//! those call, no more. What may be called through an interface counts as called, what may be called through a value where there is
//! one. So of what nobody names who goes on it is not proven that nobody comes, but as likely as that the program plays no
//! tricks.

use super::mark::Marker;
use crate::binary::addr::{LinkAddr, LoadBias, RuntimeAddr};
use crate::binary::mentions::{Mentions, Named};
use std::collections::HashSet;

/// Follows code.
pub(super) struct Code<'k, 'b> {
    mentions: &'k mut Mentions<'b>,
    bias: LoadBias,
    /// Entries of functions that may be called.
    called: HashSet<LinkAddr>,
    todo: Vec<LinkAddr>,
    variables: HashSet<LinkAddr>,
    named: Vec<LinkAddr>,
    /// There is code that cannot be read, and could name anything.
    is_blind: bool,
}

impl<'k, 'b> Code<'k, 'b> {
    /// So far nothing runs but what is called from outside.
    pub(super) fn new(mentions: &'k mut Mentions<'b>, bias: LoadBias) -> Self {
        let todo = mentions.from_outside().to_vec();
        let called = todo.iter().copied().collect();
        let (variables, named) = (HashSet::new(), Vec::new());
        Self { mentions, bias, called, todo, variables, named, is_blind: false }
    }

    /// Whether there is code that cannot be read.
    pub(super) fn is_blind(&self) -> bool {
        self.is_blind
    }

    /// A goroutine goes on: `pcs` are where the functions on its stack do, if that is known; else it may do whatever the function
    /// does that it began with.
    pub(super) fn goes_on(&mut self, pcs: Option<&[u64]>, start: u64) {
        let Some(pcs) = pcs else { return self.call(self.bias.to_link(RuntimeAddr(start))) };
        for pc in pcs {
            let ahead = self.mentions.ahead(self.bias.to_link(RuntimeAddr(*pc)));
            self.take(ahead.as_deref());
        }
    }

    /// Brings `marker` to what the code names that it has found, and to what that calls; whether it is to go on from there.
    pub(super) fn advance(&mut self, marker: &mut Marker<'_>) -> bool {
        for word in marker.take_code() {
            let named = self.mentions.at(self.bias.to_link(RuntimeAddr(word)));
            self.take(Some(&named));
        }
        while let Some(entry) = self.todo.pop() {
            let named = self.mentions.of(entry);
            self.take(named.as_deref());
        }
        let found = !self.named.is_empty();
        for variable in self.named.drain(..) {
            marker.word(self.bias.to_runtime(variable).0);
        }
        found
    }

    fn call(&mut self, entry: LinkAddr) {
        if self.called.insert(entry) {
            self.todo.push(entry);
        }
    }

    fn take(&mut self, named: Option<&Named>) {
        let Some(named) = named else {
            self.is_blind = true;
            return;
        };
        for &entry in &named.functions {
            self.call(entry);
        }
        for &variable in &named.variables {
            if self.variables.insert(variable) {
                self.named.push(variable);
            }
        }
    }
}
