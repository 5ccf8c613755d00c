//! The last bytes given out of a stream, kept so that a retransmission can be compared with them.
//!
//! Bounded and small, because every connection has two: [`PIECES`] pieces, and no more than [`KEPT`] bytes where they
//! have to be copied. What comes again later is compared by sample only (`recent.rs`), or not at all. The manual names
//! these bounds.

use std::collections::VecDeque;

use super::held::difference;
use crate::lasting::{Lasting, Place, PlaceOrCopy};

/// So many of the last pieces are kept …
const PIECES: usize = 64;

/// … and so many of the last bytes, where they are copies.
const KEPT: usize = 4096;

/// The last bytes of one direction.
#[derive(Debug, Default)]
pub(super) struct Tail {
    /// In the stream's order, apart from one another where there was a gap.
    pieces: VecDeque<Piece>,
    /// Bytes in them that are copies.
    copied: usize,
}

/// Bytes that were given out at once.
#[derive(Debug)]
struct Piece {
    offset: u64,
    bytes: PlaceOrCopy,
}

impl Piece {
    fn end(&self) -> u64 {
        self.offset + self.bytes.len() as u64
    }
}

impl Tail {
    /// Memory accounted.
    pub(super) fn cost(&self) -> usize {
        self.copied + self.pieces.capacity() * size_of::<Piece>()
    }

    /// Takes bytes that were given out up to offset `end`; `place` is where they last.
    pub(super) fn push(&mut self, bytes: &[u8], place: Option<Place>, end: u64) {
        let mut spare = Vec::new();
        let kept_from = end.saturating_sub(KEPT as u64);
        let old = |piece: &Piece| piece.end() <= kept_from;
        while self.pieces.len() >= PIECES || self.copied > 0 && self.pieces.front().is_some_and(old) {
            if let Some(PlaceOrCopy::Copied(bytes)) = self.pieces.pop_front().map(|piece| piece.bytes) {
                self.copied -= bytes.capacity();
                spare = bytes;
            }
        }
        let (offset, bytes) = if let Some(place) = place {
            (end - bytes.len() as u64, PlaceOrCopy::There(place))
        } else {
            let last = bytes.get(bytes.len().saturating_sub(KEPT)..).unwrap_or_default();
            spare.clear();
            spare.extend_from_slice(last);
            self.copied += spare.capacity();
            (end - last.len() as u64, PlaceOrCopy::Copied(spare))
        };
        self.pieces.push_back(Piece { offset, bytes });
    }

    /// How many of `bytes`, which claim to lie at `offset`, differ from what was given out there, as a
    /// run from the first to the last difference: its offset and length.
    pub(super) fn conflict(&self, offset: u64, bytes: &[u8], lasting: &Lasting) -> Option<(u64, u64)> {
        let pieces = self.pieces.iter();
        pieces
            .filter_map(|piece| difference((piece.offset, lasting.kept(&piece.bytes)), (offset, bytes)))
            .reduce(|(first, _), (last, len)| (first, last + len - first))
    }

    /// Whether all of a range is still here to be compared.
    pub(super) fn covers(&self, offset: u64, len: u64) -> bool {
        let end = offset + len;
        let here = |piece: &Piece| piece.end().min(end).saturating_sub(piece.offset.max(offset));
        self.pieces.iter().map(here).sum::<u64>() == len
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(tail: &mut Tail, bytes: &[u8], end: u64) {
        tail.push(bytes, None, end);
    }

    fn conflict(tail: &Tail, offset: u64, bytes: &[u8]) -> Option<(u64, u64)> {
        tail.conflict(offset, bytes, &Lasting::default())
    }

    #[test]
    fn a_changed_byte_is_found_while_it_is_kept() {
        let mut tail = Tail::default();
        push(&mut tail, &[b'a'; 3000], 3000);
        push(&mut tail, &[b'b'; 3000], 6000);
        assert_eq!(conflict(&tail, 2999, b"ab"), None);
        assert_eq!(conflict(&tail, 2998, b"aXb"), Some((2999, 1)));
        assert_eq!(conflict(&tail, 2998, b"aXbbY"), Some((2999, 4)), "in two pieces");
        assert_eq!(conflict(&tail, 5990, &[b'x'; 100]), Some((5990, 10)));
        assert!(tail.covers(1904, 4096) && !tail.covers(2998, 3003));
        assert!(tail.cost() < 2 * (5000 + PIECES * size_of::<Piece>()));
        push(&mut tail, &[b'c'; 5000], 11000);
        assert_eq!(conflict(&tail, 2998, b"XX"), None, "forgotten by now");
        assert_eq!(conflict(&tail, 10_999, b"d"), Some((10_999, 1)));
    }

    #[test]
    fn what_is_missing_is_not_compared() {
        let mut tail = Tail::default();
        push(&mut tail, b"before", 6);
        push(&mut tail, b"behind", 106);
        assert_eq!(conflict(&tail, 4, &[b'x'; 96]), Some((4, 2)));
        assert_eq!(conflict(&tail, 100, b"Behind"), Some((100, 1)));
        assert!(tail.covers(0, 6) && !tail.covers(0, 7) && tail.covers(102, 4));
    }

    #[test]
    fn there_are_few_pieces() {
        let mut tail = Tail::default();
        for end in 1..=1000 {
            push(&mut tail, b"x", end);
        }
        assert!(tail.covers(1000 - PIECES as u64, PIECES as u64));
        assert!(!tail.covers(900, 100));
    }
}
