//! A snapshot as folded stacks, one line for each: `outermost;…;innermost count`, as flame-graph tools read them.

use super::{Named, View};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{self, Write};

/// Writes the stacks in the order of their text, of the frames that Go's own profile has. A goroutine without a stack is its
/// state in brackets.
///
/// # Errors
/// The output fails.
pub fn write(view: &View<'_>, out: &mut impl Write) -> io::Result<()> {
    let mut stacks: BTreeMap<String, u64> = BTreeMap::new();
    for &goroutine in &view.chosen {
        let stack = view.profiled(goroutine);
        // A semicolon separates frames, and can stand in the name of a type.
        let names = stack.iter().rev().map(|named| name(named).replace(';', ","));
        let mut line = names.collect::<Vec<_>>().join(";");
        if line.is_empty() {
            line = format!("[{}]", goroutine.state.name());
        }
        *stacks.entry(line).or_default() += 1;
    }
    for (stack, count) in stacks {
        writeln!(out, "{stack} {count}")?;
    }
    Ok(())
}

/// The name of a frame's function as a profile has it, or the frame's address.
fn name<'a>(named: &Named<'a>) -> Cow<'a, str> {
    named.frame.map_or_else(|| named.pc.to_string().into(), |frame| frame.function.into())
}
