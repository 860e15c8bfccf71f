//! Bytes of one line: the few JSON shapes an event needs, appended to a buffer without an allocation.

/// Appends to the line under construction. The caller writes the punctuation; every value method writes one whole value.
pub(super) struct Line<'a>(pub(super) &'a mut Vec<u8>);

impl Line<'_> {
    /// Bytes that are JSON already.
    pub(super) fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }

    pub(super) fn number(&mut self, value: u64) -> &mut Self {
        self.raw(itoa::Buffer::new().format(value).as_bytes())
    }

    pub(super) fn number_or_null(&mut self, value: Option<u64>) -> &mut Self {
        match value {
            Some(value) => self.number(value),
            None => self.raw(b"null"),
        }
    }

    pub(super) fn signed(&mut self, value: i64) -> &mut Self {
        self.raw(if value < 0 { b"-" } else { b"" }).number(value.unsigned_abs())
    }

    pub(super) fn signed_or_null(&mut self, value: Option<i64>) -> &mut Self {
        match value {
            Some(value) => self.signed(value),
            None => self.raw(b"null"),
        }
    }

    pub(super) fn boolean(&mut self, value: bool) -> &mut Self {
        self.raw(if value { b"true" } else { b"false" })
    }

    /// An address as a string, `"0xc000012345"`: no reader can then round it to a double.
    pub(super) fn hex(&mut self, value: u64) -> &mut Self {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = *b"0000000000000000";
        let mut rest = value;
        let mut start = text.len();
        loop {
            start -= 1;
            text[start] = DIGITS[(rest & 0xf) as usize];
            rest >>= 4;
            if rest == 0 {
                break;
            }
        }
        self.raw(b"\"0x").raw(&text[start..]).raw(b"\"")
    }

    pub(super) fn hex_or_null(&mut self, value: Option<u64>) -> &mut Self {
        match value {
            Some(value) => self.hex(value),
            None => self.raw(b"null"),
        }
    }

    /// Text from a binary, quoted and escaped.
    #[expect(clippy::expect_used, reason = "writing text to a Vec cannot fail")]
    pub(super) fn text(&mut self, text: &str) -> &mut Self {
        serde_json::to_writer(&mut *self.0, text).expect("text into a Vec");
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Line<'_>)) -> String {
        let mut out = Vec::new();
        write(&mut Line(&mut out));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn addresses_are_hex_strings_without_leading_zeros() {
        for value in [0, 1, 0xf, 0x10, 0xc000_0123_4560, u64::MAX] {
            assert_eq!(written(|line| _ = line.hex(value)), format!("\"{value:#x}\""));
        }
    }

    #[test]
    fn numbers_keep_all_64_bits() {
        assert_eq!(written(|line| _ = line.number(u64::MAX)), "18446744073709551615");
        assert_eq!(written(|line| _ = line.number_or_null(None)), "null");
        for value in [i64::MIN, -1, 0, i64::MAX] {
            assert_eq!(written(|line| _ = line.signed_or_null(Some(value))), value.to_string());
        }
        assert_eq!(written(|line| _ = line.signed_or_null(None)), "null");
    }

    #[test]
    fn control_characters_in_a_hostile_name_are_escaped() {
        assert_eq!(written(|line| _ = line.text("a\x1b[2J\"\n")), r#""a\u001b[2J\"\n""#);
    }
}
