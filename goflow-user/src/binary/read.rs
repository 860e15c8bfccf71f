//! Little-endian reads at an offset of a byte slice; `None` past the end. The offset is untrusted.

/// The `N` bytes at `offset`.
pub(crate) fn array<const N: usize>(data: &[u8], offset: usize) -> Option<[u8; N]> {
    data.get(offset..)?.first_chunk::<N>().copied()
}

/// A byte at `offset`.
pub(crate) fn u8_at(data: &[u8], offset: usize) -> Option<u8> {
    data.get(offset).copied()
}

/// A 32-bit word at `offset`.
pub(crate) fn u32_at(data: &[u8], offset: usize) -> Option<u32> {
    array(data, offset).map(u32::from_le_bytes)
}

/// A signed 32-bit word at `offset`.
pub(crate) fn i32_at(data: &[u8], offset: usize) -> Option<i32> {
    array(data, offset).map(i32::from_le_bytes)
}

/// A 64-bit word at `offset`.
pub(crate) fn u64_at(data: &[u8], offset: usize) -> Option<u64> {
    array(data, offset).map(u64::from_le_bytes)
}

/// An unsigned varint (LEB128, as in Go's `encoding/binary.Uvarint`) of at most `u64`: its value and length in bytes.
pub(crate) fn uvarint(data: &[u8]) -> Option<(u64, usize)> {
    let mut value = 0_u64;
    for (i, &byte) in data.iter().take(10).enumerate() {
        let bits = u64::from(byte & 0x7f);
        let shift = 7 * i;
        if shift == 63 && bits > 1 {
            return None;
        }
        value |= bits << shift;
        if byte & 0x80 == 0 {
            return Some((value, i + 1));
        }
    }
    None
}

/// The bytes up to the next NUL at `offset`, as text; at most `limit` bytes long.
pub(crate) fn c_str(data: &[u8], offset: usize, limit: usize) -> Option<&str> {
    let tail = data.get(offset..)?;
    let tail = tail.get(..limit).unwrap_or(tail);
    let end = memchr_nul(tail)?;
    std::str::from_utf8(&tail[..end]).ok()
}

fn memchr_nul(data: &[u8]) -> Option<usize> {
    data.iter().position(|&b| b == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_past_the_end_are_none() {
        assert_eq!(u32_at(&[1, 0, 0, 0], 0), Some(1));
        assert_eq!(u32_at(&[1, 0, 0, 0], 1), None);
        assert_eq!(u64_at(&[0; 8], usize::MAX), None);
    }

    #[test]
    fn a_varint_longer_than_64_bits_is_none() {
        assert_eq!(uvarint(&[0x85, 0x01]), Some((133, 2)));
        assert_eq!(uvarint(&[0xff; 10]), None);
        assert_eq!(uvarint(&[0x80]), None);
        let mut max = [0xff; 10];
        max[9] = 1;
        assert_eq!(uvarint(&max), Some((u64::MAX, 10)));
    }

    #[test]
    fn text_without_a_nul_within_the_limit_is_none() {
        assert_eq!(c_str(b"main.main\0x", 0, 100), Some("main.main"));
        assert_eq!(c_str(b"main.main\0x", 0, 5), None);
        assert_eq!(c_str(b"main", 0, 100), None);
        assert_eq!(c_str(b"\xff\0", 0, 100), None);
    }
}
