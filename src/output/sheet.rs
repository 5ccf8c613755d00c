//! Bytes that wait to be written, in memory that is made once.
//!
//! A vector looks at its capacity and calls `memmove` for each piece, which for lines of a few dozen bytes costs
//! more than the copy. A sheet keeps its full length all the time, so that short pieces can be copied in one
//! length known to the compiler, a few vector moves: what they write too much is written over by the next piece.

/// Up to so many bytes are copied without a call.
pub const SHORT: usize = 96;

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
    #[inline]
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
    #[inline]
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

    /// Appends the first `len` bytes of `bytes`; cheaper than [`Self::put`] for short ones that more bytes follow.
    #[inline]
    pub fn put_first(&mut self, bytes: &[u8], len: usize) {
        if len <= SHORT
            && let Some(from) = bytes.first_chunk::<SHORT>()
            && let Some(to) = self.room(SHORT).first_chunk_mut::<SHORT>()
        {
            *to = *from;
            self.keep(len);
        } else {
            self.put(bytes.get(..len).unwrap_or(bytes));
        }
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
            sheet.put_first(&text, len);
            sheet.put(&text[256 - len..]);
            wanted.extend_from_slice(&text[..len]);
            wanted.extend_from_slice(&text[256 - len..]);
        }
        assert_eq!(sheet.as_slice(), wanted);
        sheet.take_back(256);
        assert_eq!(sheet.as_slice(), &wanted[..wanted.len() - 256]);
        sheet.clear();
        assert!(sheet.is_empty());
    }
}
