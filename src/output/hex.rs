//! Hex dumps: 16 bytes a row, as `hexdump -C` has them.

use super::digits::{hex_u8, hex_u32};
use super::sheet::SHORT;

/// Bytes a row.
pub const ROW: usize = 16;

/// The most digits of an offset, and how many there are where fewer would do.
const DIGITS: (usize, usize) = (16, 8);
/// Where the first byte is, and the first character.
const BYTES: usize = DIGITS.0 + 2;
const CHARACTERS: usize = BYTES + 3 * ROW + 3;

/// The text of one row, where it can be copied as a short piece ([`super::sheet::Sheet::put_firsts`]).
#[derive(Debug)]
pub struct Row {
    text: [u8; DIGITS.0 - DIGITS.1 + SHORT],
    begin: usize,
    end: usize,
}

impl Row {
    /// At most [`ROW`] bytes that stand at `offset`.
    #[inline]
    pub fn new(offset: u64, bytes: &[u8]) -> Self {
        match bytes.first_chunk() {
            Some(bytes) => Self::of(offset, bytes),
            None => Self::last(offset, bytes),
        }
    }

    #[inline(always)]
    fn of(offset: u64, bytes: &[u8; ROW]) -> Self {
        let mut text = [b' '; _];
        let mut put = |at: usize, what: &[u8]| {
            if let Some(place) = text.get_mut(at..at + what.len()) {
                place.copy_from_slice(what);
            }
        };
        put(0, &hex_u32((offset >> 32) as u32));
        put(8, &hex_u32(offset as u32));
        for (column, byte) in bytes.iter().enumerate() {
            put(byte_at(column), &hex_u8(*byte));
        }
        let characters = bytes.map(|byte| if (0x20..0x7f).contains(&byte) { byte } else { b'.' });
        put(CHARACTERS - 1, b"|");
        put(CHARACTERS, &characters);
        put(CHARACTERS + ROW, b"|");
        Self {
            text,
            begin: DIGITS.1.min(offset.leading_zeros() as usize / 4),
            end: CHARACTERS + ROW + 1,
        }
    }

    /// A row that is not full.
    #[cold]
    fn last(offset: u64, bytes: &[u8]) -> Self {
        let mut padded = [0; ROW];
        for (to, from) in padded.iter_mut().zip(bytes) {
            *to = *from;
        }
        let mut row = Self::of(offset, &padded);
        let end = CHARACTERS + bytes.len();
        if let Some(none) = row.text.get_mut(byte_at(bytes.len())..CHARACTERS - 1) {
            none.fill(b' ');
        }
        if let Some(bar) = row.text.get_mut(end) {
            *bar = b'|';
        }
        row.end = end + 1;
        row
    }

    /// The text, and how much of it is meant.
    #[inline]
    pub fn text(&self) -> (&[u8], usize) {
        (
            self.text.get(self.begin..).unwrap_or_default(),
            self.end - self.begin,
        )
    }
}

/// Where a byte stands; there is a gap after half of them.
const fn byte_at(column: usize) -> usize {
    BYTES + 3 * column + column / (ROW / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(offset: u64, bytes: &[u8]) -> String {
        let row = Row::new(offset, bytes);
        let (text, len) = row.text();
        assert!(text.len() >= SHORT);
        String::from_utf8(text[..len].to_vec()).unwrap()
    }

    #[test]
    fn a_row_looks_like_hexdump_s() {
        assert_eq!(
            row(16, b"220 mx.example\r\n"),
            "00000010  32 32 30 20 6d 78 2e 65  78 61 6d 70 6c 65 0d 0a  |220 mx.example..|"
        );
        assert_eq!(
            row(32, b"E\x1b"),
            "00000020  45 1b                                             |E.|"
        );
        assert_eq!(
            row(0xfedc_ba98_7654, b"12345678"),
            "fedcba987654  31 32 33 34 35 36 37 38                           |12345678|"
        );
        assert_eq!(
            row(u64::MAX, b"12345678\xff"),
            "ffffffffffffffff  31 32 33 34 35 36 37 38  ff                       |12345678.|"
        );
    }
}
