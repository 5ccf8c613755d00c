//! Bytes that wait to be written, in memory that is made once, and who writes them.
//!
//! A vector looks at its capacity and calls `memmove` for each piece, which for lines of a few dozen bytes costs
//! more than the copy. A sheet keeps its full length all the time, so that short pieces can be copied in one
//! length known to the compiler, a few vector moves: what they write too much is written over by the next piece.

use std::io::{self, Write};

/// Up to so many bytes are copied without a call.
pub const SHORT: usize = 96;

/// Files are written fastest in pieces of so many bytes that begin at multiples of it: ext4 keeps such a piece as one in
/// the page cache (large folios), and takes a third longer for pieces that begin within a page.
pub const BLOCK: usize = 128 << 10;

/// Bytes that wait to be written.
#[derive(Debug, Default)]
pub struct Sheet {
    /// As long as it may grow without a new allocation; what is behind `filled` means nothing.
    bytes: Vec<u8>,
    filled: usize,
}

impl Sheet {
    /// A sheet with room for so many bytes.
    pub fn with_capacity(capacity: usize) -> Self {
        Self {
            bytes: vec![0; capacity],
            filled: 0,
        }
    }

    /// What was put on it.
    pub fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.filled).unwrap_or_default()
    }

    /// How many bytes were put on it.
    pub const fn len(&self) -> usize {
        self.filled
    }

    /// Whether nothing was.
    pub const fn is_empty(&self) -> bool {
        self.filled == 0
    }

    /// Takes all back; the memory stays.
    pub const fn clear(&mut self) {
        self.filled = 0;
    }

    /// Takes the last `len` bytes back.
    pub const fn take_back(&mut self, len: usize) {
        self.filled = self.filled.saturating_sub(len);
    }

    /// `len` bytes or more to write to, behind what was put on it, of whatever content.
    #[inline(always)]
    pub fn room(&mut self, len: usize) -> &mut [u8] {
        if self.bytes.len() - self.filled < len {
            self.grow(len);
        }
        self.bytes.get_mut(self.filled..).unwrap_or_default()
    }

    #[cold]
    fn grow(&mut self, len: usize) {
        let len = (self.filled + len).max(self.bytes.len() * 2);
        self.bytes.resize(len, 0);
    }

    /// Keeps the first `len` bytes of the room.
    #[inline(always)]
    pub fn keep(&mut self, len: usize) {
        self.filled = (self.filled + len).min(self.bytes.len());
    }

    /// Appends `bytes`.
    pub fn put(&mut self, bytes: &[u8]) {
        if let Some(place) = self.room(bytes.len()).get_mut(..bytes.len()) {
            place.copy_from_slice(bytes);
        }
        self.keep(bytes.len());
    }

    /// Appends the first so many bytes of one and of another; cheaper than [`Self::put`] for short ones that more
    /// bytes follow.
    #[inline(always)]
    pub fn put_firsts(&mut self, (one, one_len): (&[u8], usize), (other, other_len): (&[u8], usize)) {
        if one_len <= SHORT
            && other_len <= SHORT
            && let (Some(one), Some(other)) = (one.first_chunk::<SHORT>(), other.first_chunk::<SHORT>())
            && let Some(to) = self.room(2 * SHORT).first_chunk_mut::<{ 2 * SHORT }>()
        {
            for (len, from) in [(0, one), (one_len, other)] {
                if let Some(to) = to.get_mut(len..len + SHORT) {
                    to.copy_from_slice(from);
                }
            }
            self.keep(one_len + other_len);
        } else {
            self.put(one.get(..one_len).unwrap_or(one));
            self.put(other.get(..other_len).unwrap_or(other));
        }
    }
}

/// Takes what was put on sheets.
pub trait WriteSheets {
    /// Writes what is on a sheet, and leaves an empty one.
    ///
    /// # Errors
    /// What the system says, maybe to an earlier sheet.
    fn write_sheet(&mut self, sheet: &mut Sheet) -> io::Result<()>;

    /// Writes what is on a sheet that has a [`BLOCK`] or more; less than a block may stay on it for the next time.
    ///
    /// # Errors
    /// What the system says, maybe to an earlier sheet.
    fn write_blocks(&mut self, sheet: &mut Sheet) -> io::Result<()> {
        self.write_sheet(sheet)
    }

    /// Waits until all is written.
    ///
    /// # Errors
    /// What the system said, unless an earlier call has told it.
    fn finish(&mut self) -> io::Result<()>;
}

impl<W: Write> WriteSheets for W {
    fn write_sheet(&mut self, sheet: &mut Sheet) -> io::Result<()> {
        let written = self.write_all(sheet.as_slice());
        sheet.clear();
        written
    }

    fn finish(&mut self) -> io::Result<()> {
        self.flush()
    }
}

impl WriteSheets for Box<dyn WriteSheets + Send> {
    fn write_sheet(&mut self, sheet: &mut Sheet) -> io::Result<()> {
        (**self).write_sheet(sheet)
    }

    fn write_blocks(&mut self, sheet: &mut Sheet) -> io::Result<()> {
        (**self).write_blocks(sheet)
    }

    fn finish(&mut self) -> io::Result<()> {
        (**self).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_stand_one_behind_the_other() {
        let text: Vec<u8> = (0..=255).collect();
        let mut sheet = Sheet::default();
        let mut wanted = Vec::new();
        for len in (0..=256).chain((0..=256).rev()) {
            sheet.put_firsts((&text, len), (&text[len / 2..], len / 2));
            sheet.put(&text[256 - len..]);
            wanted.extend_from_slice(&text[..len]);
            wanted.extend_from_slice(&text[len / 2..][..len / 2]);
            wanted.extend_from_slice(&text[256 - len..]);
        }
        assert_eq!(sheet.as_slice(), wanted);
        sheet.take_back(256);
        assert_eq!(sheet.as_slice(), &wanted[..wanted.len() - 256]);
        sheet.clear();
        assert!(sheet.is_empty());
    }
}
