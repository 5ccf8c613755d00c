//! Data that came before its turn: ranges of stream offsets, apart from one another.
//!
//! Invariant: pieces never overlap, and the map's order is the stream's. What comes first stays;
//! a later copy fills only what is still free.

use std::collections::BTreeMap;

use crate::lasting::{Lasting, PlaceOrCopy};
use crate::time::Timestamp;

/// Accounted for each piece beside its bytes: its share of a map node that is two thirds full, and an allocation (measured
/// with two million pieces of a byte).
const PIECE_COST: usize = 144;

/// A run of bytes with what the snaplen cut behind them.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) bytes: PlaceOrCopy,
    /// Bytes on the wire behind `bytes` that were not captured.
    pub(super) cut: u32,
    pub(super) came: Came,
}

/// When a piece came, and with which packet of the run: times may be equal, or go back. A piece that came late keeps
/// older ones waiting: it counts as the oldest of them.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Came {
    pub(super) time: Timestamp,
    pub(super) arrival: u64,
}

impl Piece {
    fn len(&self) -> u64 {
        self.bytes.len() as u64 + u64::from(self.cut)
    }
}

/// What came of an insertion.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Inserted {
    /// Bytes that were new (cut ones included).
    pub(super) new: u64,
    /// Bytes that were held already, with the same content as far as captured.
    pub(super) same: u64,
    /// Where the first of them is that were held already, with other content, and how many: in each piece from the
    /// first to the last difference.
    pub(super) conflict: Option<(u64, u64)>,
}

/// The pieces of one direction.
#[derive(Debug, Default)]
pub(super) struct Held {
    pieces: BTreeMap<u64, Piece>,
    bytes: usize,
}

impl Held {
    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Memory accounted for all pieces.
    pub(super) fn cost(&self) -> usize {
        self.bytes + self.pieces.len() * PIECE_COST
    }

    /// Offset of the first piece.
    pub(super) fn first(&self) -> Option<u64> {
        self.pieces.first_key_value().map(|(offset, _)| *offset)
    }

    /// The same, and when it came.
    pub(super) fn first_came(&self) -> Option<(u64, Came)> {
        let first = self.pieces.first_key_value();
        first.map(|(offset, piece)| (*offset, piece.came))
    }

    /// Whether the byte before `offset` is held.
    pub(super) fn holds_before(&self, offset: u64) -> bool {
        !self.is_empty() && self.covering(offset.saturating_sub(1)).is_some()
    }

    /// Whether at least `count` pieces follow one another without a hole, from the first on.
    pub(super) fn begins_with(&self, count: usize) -> bool {
        let mut end = self.first();
        let run = self.pieces.iter().take(count);
        run.take_while(|(offset, piece)| end.replace(*offset + piece.len()) == Some(**offset))
            .count()
            == count
    }

    /// Takes the first piece out if it begins at `offset`.
    pub(super) fn take_at(&mut self, offset: u64) -> Option<Piece> {
        let entry = self.pieces.first_entry()?;
        if *entry.key() != offset {
            return None;
        }
        let piece = entry.remove();
        self.bytes -= piece.bytes.len();
        Some(piece)
    }

    /// Drops everything from `limit` on and says how many bytes that was. Pieces never straddle it:
    /// the caller passes a piece's start.
    pub(super) fn drop_from(&mut self, limit: u64) -> u64 {
        if self.is_empty() {
            return 0;
        }
        self.pieces.split_off(&limit).into_values().fold(0, |sum, piece| {
            self.bytes -= piece.bytes.len();
            sum + piece.len()
        })
    }

    /// Drops everything before `limit` and says how many bytes that was. A piece that straddles it goes as
    /// a whole.
    pub(super) fn drop_before(&mut self, limit: u64) -> u64 {
        if self.is_empty() {
            return 0;
        }
        let kept = self.pieces.split_off(&limit);
        std::mem::replace(&mut self.pieces, kept)
            .into_values()
            .fold(0, |sum, piece| {
                self.bytes -= piece.bytes.len();
                sum + piece.len()
            })
    }

    /// Puts `bytes` (and `cut` more that were not captured) at `offset`, where nothing is held yet.
    pub(super) fn insert(
        &mut self,
        offset: u64,
        bytes: &[u8],
        cut: u32,
        came: Came,
        lasting: &Lasting,
    ) -> Inserted {
        let mut result = Inserted::default();
        let end = offset
            .saturating_add(bytes.len() as u64)
            .saturating_add(u64::from(cut));
        let last = self.pieces.last_key_value();
        if last.is_none_or(|(start, piece)| start + piece.len() <= offset) && offset < end {
            // Behind a hole, all the rest mostly comes in order.
            self.fill(offset, end, offset, bytes, came, lasting);
            result.new = end - offset;
            return result;
        }
        // Of what was not captured no more than up to the next piece: the rest is a hole, or held.
        let captured = offset + bytes.len() as u64;
        let first = self.covering(offset).map_or(offset, |(start, _)| start);
        let mut free = Vec::new();
        let mut at = offset;
        for (start, piece) in self.pieces.range(first..end) {
            if at > captured {
                break;
            }
            if at < *start {
                // Earlier than this one, and than all behind it.
                free.push((at, *start, piece.came.arrival));
                at = *start;
            }
            if at > captured {
                break;
            }
            let upto = end.min(start + piece.len());
            result.same += upto - at;
            let kept = (*start, lasting.kept(&piece.bytes));
            if let Some((first, len)) = difference(kept, (offset, bytes)) {
                result.same -= len;
                let (_, sum) = result.conflict.get_or_insert((first, 0));
                *sum += len;
            }
            at = upto;
        }
        if at < end && at <= captured {
            let behind = self.pieces.range(end..).next();
            let arrival = behind.map_or(came.arrival, |(_, piece)| piece.came.arrival);
            free.push((at, end, arrival));
        }
        for (at, upto, arrival) in free {
            self.fill(at, upto, offset, bytes, Came { arrival, ..came }, lasting);
            result.new += upto - at;
        }
        result
    }

    /// Whether other bytes than `bytes` are held at `offset`.
    pub(super) fn contradicts(&self, offset: u64, bytes: &[u8], lasting: &Lasting) -> bool {
        let end = offset.saturating_add(bytes.len() as u64);
        let first = self.covering(offset).map_or(offset, |(start, _)| start);
        self.pieces.range(first..end).any(|(start, piece)| {
            let kept = (*start, lasting.kept(&piece.bytes));
            difference(kept, (offset, bytes)).is_some()
        })
    }

    /// The piece that covers `offset`.
    fn covering(&self, offset: u64) -> Option<(u64, &Piece)> {
        let (start, piece) = self.pieces.range(..=offset).next_back()?;
        (start + piece.len() > offset).then_some((*start, piece))
    }

    /// Holds the part of `bytes` (which begin at `offset`) that covers the free range `at..upto`.
    fn fill(&mut self, at: u64, upto: u64, offset: u64, bytes: &[u8], came: Came, lasting: &Lasting) {
        let from = usize::try_from(at - offset)
            .unwrap_or(usize::MAX)
            .min(bytes.len());
        let to = usize::try_from(upto - offset)
            .unwrap_or(usize::MAX)
            .min(bytes.len());
        let part = bytes.get(from..to).unwrap_or_default();
        self.bytes += part.len();
        let cut = u32::try_from(upto - at - part.len() as u64).unwrap_or(u32::MAX);
        self.pieces.insert(
            at,
            Piece {
                bytes: lasting.keep(part),
                cut,
                came,
            },
        );
    }
}

/// Bytes from an offset on.
type Run<'a> = (u64, &'a [u8]);

/// Where both have bytes: the offset of the first that differs, and how many there are up to the last one.
pub(super) fn difference((one_at, one): Run<'_>, (other_at, other): Run<'_>) -> Option<(u64, u64)> {
    let from = one_at.max(other_at);
    let one = one.get(usize::try_from(from - one_at).ok()?..)?;
    let other = other.get(usize::try_from(from - other_at).ok()?..)?;
    let common = one.len().min(other.len());
    let (one, other) = (one.get(..common)?, other.get(..common)?);
    if one == other {
        return None;
    }
    let mut differ = one.iter().zip(other).map(|(one, other)| one != other);
    let first = differ.position(|differs| differs)?;
    let more = differ.rposition(|differs| differs).map_or(0, |last| last + 1);
    Some((from + first as u64, more as u64 + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn insert(held: &mut Held, offset: u64, bytes: &[u8]) -> Inserted {
        held.insert(offset, bytes, 0, Came::default(), &Lasting::default())
    }

    #[test]
    fn the_first_copy_stays_and_the_second_fills_what_is_free() {
        let mut held = Held::default();
        insert(&mut held, 10, b"BBBB");
        let result = insert(&mut held, 8, b"aabbcccc");
        assert_eq!(
            result,
            Inserted {
                new: 4,
                same: 0,
                conflict: Some((10, 4))
            }
        );
        assert_eq!(
            held.take_at(8)
                .map(|piece| Lasting::default().kept(&piece.bytes).to_vec()),
            Some(b"aa".to_vec())
        );
        assert_eq!(
            held.take_at(10)
                .map(|piece| Lasting::default().kept(&piece.bytes).to_vec()),
            Some(b"BBBB".to_vec())
        );
        assert_eq!(
            held.take_at(14)
                .map(|piece| Lasting::default().kept(&piece.bytes).to_vec()),
            Some(b"cc".to_vec())
        );
        assert_eq!(held.cost(), 0);
    }

    #[test]
    fn bytes_between_pieces_that_differ_are_new_and_no_conflict() {
        let mut held = Held::default();
        insert(&mut held, 10, b"BBBB");
        insert(&mut held, 20, b"CCCC");
        assert_eq!(
            insert(&mut held, 8, b"..BxxB......CyyC.."),
            Inserted {
                new: 10,
                same: 4,
                conflict: Some((11, 4))
            }
        );
    }

    #[test]
    fn other_bytes_than_those_held_are_seen_in_whatever_piece() {
        let mut held = Held::default();
        insert(&mut held, 10, b"BBBB");
        held.insert(20, b"CC", 2, Came::default(), &Lasting::default());
        let contradicts = |offset, bytes| held.contradicts(offset, bytes, &Lasting::default());
        for (offset, same) in [
            (8, &b"..BB"[..]),
            (12, b"BB......CC??.."),
            (0, b"before"),
            (24, b"behind"),
        ] {
            assert!(!contradicts(offset, same), "{offset}");
        }
        for (offset, other) in [(8, &b"..BX"[..]), (13, b"X"), (12, b"BB......CX"), (21, b"X")] {
            assert!(contradicts(offset, other), "{offset}");
        }
    }

    #[test]
    fn what_the_snaplen_cut_reaches_to_the_next_piece() {
        let mut held = Held::default();
        for offset in [20, 24] {
            insert(&mut held, offset, b"xx");
        }
        let cut = held.insert(12, b"abcd", 20, Came::default(), &Lasting::default());
        assert_eq!((cut.new, cut.same, cut.conflict), (8, 0, None));
        let gaps_and_pieces: Vec<_> = held.pieces.iter().map(|(at, piece)| (*at, piece.len())).collect();
        assert_eq!(gaps_and_pieces, [(12, 8), (20, 2), (24, 2)]);
        // A piece that is there already says how long it is.
        let again = held.insert(14, b"cd", 20, Came::default(), &Lasting::default());
        assert_eq!((again.new, again.same, again.conflict), (0, 6, None));
        assert_eq!(held.pieces.len(), 3);
    }

    #[test]
    fn a_run_ends_at_the_first_hole() {
        let mut held = Held::default();
        assert!(!held.begins_with(1));
        for offset in [10, 12, 16, 18] {
            insert(&mut held, offset, b"xx");
        }
        assert!(held.begins_with(2) && !held.begins_with(3));
        insert(&mut held, 14, b"xx");
        assert!(held.begins_with(5) && !held.begins_with(6));
    }

    #[test]
    fn a_piece_counts_as_the_oldest_of_those_that_it_keeps_waiting() {
        let mut held = Held::default();
        let pieces: [(u64, &[u8]); 5] = [
            (30, b"C"),
            (40, b"D"),
            (20, b"B"),
            (35, b"c"),
            (10, b"A..........b"),
        ];
        for ((offset, bytes), arrival) in pieces.into_iter().zip(1..) {
            let came = Came {
                arrival,
                ..Came::default()
            };
            held.insert(offset, bytes, 0, came, &Lasting::default());
        }
        let mut ages = Vec::new();
        while let Some((offset, came)) = held.first_came() {
            ages.push((offset, came.arrival));
            held.take_at(offset);
        }
        assert_eq!(ages, [(10, 1), (20, 1), (21, 1), (30, 1), (35, 2), (40, 2)]);
    }

    #[test]
    fn what_the_snaplen_cut_keeps_its_place() {
        let mut held = Held::default();
        let result = held.insert(100, b"abc", 7, Came::default(), &Lasting::default());
        assert_eq!(result.new, 10);
        assert!(held.begins_with(1) && !held.begins_with(2));
        insert(&mut held, 110, b"d");
        assert!(
            held.begins_with(2) && !held.begins_with(3),
            "nothing is missing between"
        );
        assert_eq!(
            insert(&mut held, 105, b"zz"),
            Inserted {
                new: 0,
                same: 2,
                conflict: None
            }
        );
        assert_eq!(
            held.take_at(100).map(|piece| (piece.bytes.len(), piece.cut)),
            Some((3, 7))
        );
    }
}
