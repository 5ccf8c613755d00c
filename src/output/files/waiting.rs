//! Bytes of a stream that wait to be written: where they lie, or copies of those that do not last.

use std::io::IoSlice;

use crate::lasting::{Lasting, Place};
use crate::output::store::SLICES;

/// Bytes that wait, copied or in all, are written when there would be more.
pub(super) const COPIED: usize = 128 << 10;
const MOST: usize = 1 << 20;

/// A stream that begins with more than so many bytes will fill a large buffer; others mostly need no more than these.
pub(super) const SMALL: usize = 512;

/// Spare buffers are kept for so many streams.
const SPARE: usize = 32;

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

    /// Memory that was made for them.
    pub(super) fn memory(&self) -> usize {
        self.copied.capacity() + self.pieces.capacity() * size_of::<Piece>()
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
    fn clear(&mut self) {
        self.pieces.clear();
        self.copied.clear();
        self.len = 0;
    }
}

/// Memory for what waits of all streams. Empty buffers count, too: a stream has none while nothing of it waits.
#[derive(Debug)]
pub(super) struct Memory {
    used: usize,
    most: usize,
    spare: Vec<Waiting>,
}

impl Memory {
    /// For so many bytes at the most.
    pub(super) const fn new(most: usize) -> Self {
        Self {
            used: 0,
            most,
            spare: Vec::new(),
        }
    }

    /// Whether something should be written.
    pub(super) const fn is_short(&self) -> bool {
        self.used > self.most
    }

    /// What is counted.
    #[cfg(test)]
    pub(super) const fn used(&self) -> usize {
        self.used
    }

    /// Adds to what waits of a stream.
    pub(super) fn add(&mut self, waiting: &mut Waiting, add: impl FnOnce(&mut Waiting)) {
        let before = waiting.memory();
        add(waiting);
        self.used += waiting.memory() - before;
    }

    /// Takes what waits, to [`Memory::give_back`] it once it is written.
    pub(super) fn take(&mut self, waiting: &mut Waiting) -> Waiting {
        let waiting = std::mem::take(waiting);
        self.used = self.used.saturating_sub(waiting.memory());
        waiting
    }

    /// It is written.
    pub(super) fn give_back(&mut self, mut waiting: Waiting) {
        if waiting.memory() > 0 && self.spare.len() < SPARE {
            waiting.clear();
            self.spare.push(waiting);
        }
    }

    /// A spare buffer for a stream that has none, no larger than `largest`, while there is plenty: later each has what it
    /// needs.
    pub(super) fn lend(&mut self, waiting: &mut Waiting, largest: usize) {
        if waiting.memory() == 0
            && self.used < self.most / 2
            && let Some(spare) = self.spare.pop_if(|spare| spare.memory() <= largest)
        {
            self.used += spare.memory();
            *waiting = spare;
        }
    }
}
