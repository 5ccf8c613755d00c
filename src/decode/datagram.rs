//! What the fragments of one datagram said.

use std::collections::BTreeMap;

use super::fragments::Place;
use crate::time::Timestamp;

/// Memory accounted for a datagram beside its bytes.
const DATAGRAM_COST: usize = 256;

/// A datagram, as far as its fragments came.
#[derive(Debug, Default)]
pub(super) struct Datagram {
    bytes: Vec<u8>,
    /// Ranges that are there, by start, never touching.
    present: BTreeMap<usize, usize>,
    /// Length, once the last fragment was seen.
    len: Option<usize>,
    /// Its fragments, by offset.
    seen: BTreeMap<usize, Seen>,
    /// Of the first fragment; then of the one that made it complete.
    pub(super) time: Timestamp,
    /// Copies excluded.
    pub(super) fragments: u64,
    pub(super) place: Place,
}

/// How a fragment came.
#[derive(Debug)]
struct Seen {
    end: usize,
    /// After so many others.
    after: usize,
    /// Copies included.
    times: u64,
}

impl Datagram {
    pub(super) fn new(time: Timestamp, place: Place) -> Self {
        Self {
            time,
            place,
            ..Self::default()
        }
    }

    pub(super) fn cost(&self) -> usize {
        DATAGRAM_COST + self.bytes.len() + (self.present.len() + self.seen.len()) * 64
    }

    /// Puts a fragment where nothing is yet. Whether it is the same as what is there already.
    pub(super) fn add(&mut self, offset: usize, more: bool, fragment: &[u8]) -> bool {
        let mut agrees = true;
        let end = offset + fragment.len();
        if !more {
            self.len.get_or_insert(end);
        }
        let after = self.seen.len();
        let times = 1;
        self.seen.entry(offset).or_insert(Seen { end, after, times });
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        let mut at = offset;
        while at < end {
            let covered = self
                .present
                .range(..=at)
                .next_back()
                .map(|(_, end)| *end)
                .filter(|end| *end > at);
            if let Some(covered) = covered {
                let upto = covered.min(end);
                agrees &= self.bytes.get(at..upto) == fragment.get(at - offset..upto - offset);
                at = upto;
                continue;
            }
            let upto = self
                .present
                .range(at..)
                .next()
                .map_or(end, |(start, _)| end.min(*start));
            if let (Some(target), Some(source)) = (
                self.bytes.get_mut(at..upto),
                fragment.get(at - offset..upto - offset),
            ) {
                target.copy_from_slice(source);
            }
            at = upto;
        }
        self.mark(offset, end);
        agrees
    }

    /// Notes that a range is there, joined with those that it touches.
    fn mark(&mut self, mut start: usize, mut end: usize) {
        if let Some((before, reach)) = self.present.range(..=start).next_back()
            && *reach >= start
        {
            (start, end) = (*before, end.max(*reach));
        }
        while let Some((behind, reach)) = self.present.range(start + 1..).next()
            && *behind <= end
        {
            let (behind, reach) = (*behind, *reach);
            self.present.remove(&behind);
            end = end.max(reach);
        }
        self.present.insert(start, end);
    }

    /// Whether a fragment says what is there already, in the same place.
    pub(super) fn has(&self, offset: usize, more: bool, fragment: &[u8]) -> bool {
        let end = offset + fragment.len();
        let covered = self.present.range(..=offset).next_back();
        covered.is_some_and(|(_, reach)| *reach >= end)
            && more == (self.len != Some(end))
            && self.bytes.get(offset..end) == Some(fragment)
    }

    /// Counts a copy of a fragment.
    pub(super) fn again(&mut self, offset: usize, len: usize) {
        let seen = self.seen.get_mut(&offset);
        if let Some(seen) = seen.filter(|seen| seen.end == offset + len) {
            seen.times += 1;
        }
    }

    /// What was taken for copies, but the next datagram, whose fragment at `offset` says something else, began with:
    /// what came more often than all of this one did, if both came in one order.
    pub(super) fn next_began_with(&self, offset: usize) -> impl Iterator<Item = (usize, bool, &[u8])> {
        let sightings = self.seen.values().map(|seen| seen.times).min();
        let after = self.seen.get(&offset).map_or(0, |seen| seen.after);
        let before = self.seen.iter().filter(move |(_, seen)| seen.after < after);
        before
            .filter(move |(_, seen)| Some(seen.times) > sightings)
            .filter_map(|(at, seen)| Some((*at, self.len != Some(seen.end), self.bytes.get(*at..seen.end)?)))
    }

    pub(super) fn complete(&self) -> bool {
        self.len
            .is_some_and(|len| self.present.get(&0).is_some_and(|end| *end >= len))
    }

    /// Its payload, once that is complete.
    pub(super) fn whole(&self) -> Option<&[u8]> {
        self.bytes.get(..self.len?).filter(|_| self.complete())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scattered_fragments_join_as_they_touch() {
        let mut datagram = Datagram::default();
        for (offset, ranges) in [(16, 1), (0, 2), (32, 3), (8, 2), (24, 1)] {
            datagram.add(offset, true, &[offset as u8; 8]);
            assert_eq!(datagram.present.len(), ranges, "with the one at {offset}");
        }
        assert_eq!(datagram.present.first_key_value(), Some((&0, &40)));
        datagram.add(4, true, &[99; 60]);
        assert_eq!(datagram.present.first_key_value(), Some((&0, &64)));
        assert_eq!(
            (datagram.bytes[39], datagram.bytes[40]),
            (32, 99),
            "the first copy stays"
        );
    }
}
