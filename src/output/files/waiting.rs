//! Bytes of a stream that wait to be written: where they lie, or copies of those that do not last.

use std::io::IoSlice;

use crate::lasting::{Lasting, Place};
use crate::output::store::SLICES;

/// Bytes that wait, copied or in all, are written when there would be more.
const COPIED: usize = 128 << 10;
const MOST: usize = 1 << 20;

/// Bytes that wait.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    /// Where they are; none while all are copies.
    pieces: Vec<Piece>,
    copied: Vec<u8>,
    len: usize,
}

#[derive(Debug)]
enum Piece {
    There(Place),
    /// The next so many of the copied bytes.
    Copied(usize),
}

impl Waiting {
    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many bytes wait.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Memory that they take.
    pub(super) fn memory(&self) -> usize {
        self.copied.len() + self.pieces.len() * size_of::<Piece>()
    }

    /// Whether memory was made for them.
    pub(super) fn has_room(&self) -> bool {
        self.copied.capacity() + self.pieces.capacity() > 0
    }

    /// Whether what waits should be written before `more` bytes come.
    pub(super) fn is_full(&self, more: usize) -> bool {
        !self.is_empty()
            && (self.copied.len() + more > COPIED || self.len + more > MOST || self.pieces.len() >= SLICES)
    }

    /// Adds bytes, which last where they have a place.
    pub(super) fn push(&mut self, bytes: &[u8], place: Option<Place>) {
        self.len += bytes.len();
        match place {
            Some(place) => {
                if self.pieces.is_empty() && !self.copied.is_empty() {
                    self.pieces.push(Piece::Copied(self.copied.len()));
                }
                self.pieces.push(Piece::There(place));
            }
            None => {
                self.copied.extend_from_slice(bytes);
                self.copied_more(bytes.len());
            }
        }
    }

    /// Adds so many zeros.
    pub(super) fn zeros(&mut self, len: usize) {
        self.len += len;
        self.copied.resize(self.copied.len() + len, 0);
        self.copied_more(len);
    }

    fn copied_more(&mut self, more: usize) {
        match self.pieces.last_mut() {
            Some(Piece::Copied(len)) => *len += more,
            Some(Piece::There(_)) => self.pieces.push(Piece::Copied(more)),
            None => {}
        }
    }

    /// All of them, in order.
    pub(super) fn slices<'a>(&'a self, lasting: &'a Lasting) -> Vec<IoSlice<'a>> {
        let mut rest = self.copied.as_slice();
        let slice = |piece: &Piece| match piece {
            Piece::There(place) => IoSlice::new(lasting.bytes(*place)),
            Piece::Copied(len) => {
                let (bytes, after) = rest.split_at_checked(*len).unwrap_or_default();
                rest = after;
                IoSlice::new(bytes)
            }
        };
        if self.pieces.is_empty() {
            return vec![IoSlice::new(&self.copied)];
        }
        self.pieces.iter().map(slice).collect()
    }

    /// The copies: all of them, where none has a place.
    pub(super) fn copied(&self) -> &[u8] {
        &self.copied
    }

    /// They are written; the memory is used again.
    pub(super) fn clear(&mut self) {
        self.pieces.clear();
        self.copied.clear();
        self.len = 0;
    }
}
