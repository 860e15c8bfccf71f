//! Text of a binary or a file name that nobody vetted, made fit for a terminal.
//!
//! In: any text; out: the same without control and direction-changing characters, so that a function name cannot drive
//! the reader's terminal. JSON does not need it: its writer escapes them.

use std::borrow::Cow;

/// `text` without characters that would move the cursor, change colours or reverse the direction of reading.
#[must_use]
pub fn printable(text: &str) -> Cow<'_, str> {
    if text.chars().any(is_unsafe) {
        Cow::Owned(text.chars().map(|c| if is_unsafe(c) { char::REPLACEMENT_CHARACTER } else { c }).collect())
    } else {
        Cow::Borrowed(text)
    }
}

fn is_unsafe(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_escape_sequence_in_a_name_does_not_reach_the_terminal() {
        assert_eq!(printable("main.\x1b[2Jx\u{202e}y"), "main.\u{fffd}[2Jx\u{fffd}y");
    }
}
