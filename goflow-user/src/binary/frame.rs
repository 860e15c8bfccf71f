//! One source position, as every stage names it.

/// One source position, borrowed from the binary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Function, as the binary spells it.
    pub function: &'a str,
    /// Source file, as the binary spells it; `None` when unknown.
    pub file: Option<&'a str>,
    /// Line; `None` when unknown.
    pub line: Option<u32>,
    /// True when this frame was inlined into the next one.
    pub inlined: bool,
}
