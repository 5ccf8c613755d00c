//! IP fragments put together, in a bounded table.
//!
//! The first copy of a byte wins, as in our TCP reassembler. etherparse's `IpDefragBuf` lets the last
//! one win and its pool is not bounded, so the few lines of range keeping are our own.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::time::Duration;

use super::Scope;
use crate::time::Timestamp;

/// The largest IP payload.
const LARGEST: usize = 65_535;

/// How long fragments wait for the rest of their datagrams, in packet time.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Memory accounted for a datagram beside its bytes.
const DATAGRAM_COST: usize = 256;

/// What the fragments of one datagram have in common (RFC 791, section 3.2; RFC 8200, section 4.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    pub(super) id: u32,
    pub(super) protocol: u8,
    pub(super) scope: Scope,
}

#[derive(Debug, Default)]
struct Datagram {
    bytes: Vec<u8>,
    /// Ranges that are there, by start, never touching.
    present: BTreeMap<usize, usize>,
    /// Length, once the last fragment was seen.
    len: Option<usize>,
    first_time: Timestamp,
    fragments: u64,
    serial: u64,
}

impl Datagram {
    fn cost(&self) -> usize {
        DATAGRAM_COST + self.bytes.len() + self.present.len() * 64
    }

    /// Puts a fragment where nothing is yet. Whether it is the same as what is there already.
    fn add(&mut self, offset: usize, fragment: &[u8]) -> bool {
        let mut agrees = true;
        let end = offset + fragment.len();
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

    fn complete(&self) -> bool {
        self.len
            .is_some_and(|len| self.present.get(&0).is_some_and(|end| *end >= len))
    }
}

/// The table of incomplete datagrams.
#[derive(Debug)]
pub(super) struct Fragments {
    memory: usize,
    used: usize,
    serial: u64,
    datagrams: HashMap<Key, Datagram, foldhash::quality::RandomState>,
    /// By age.
    order: BTreeMap<u64, Key>,
    /// Fragments thrown away with their datagrams.
    pub(super) lost: u64,
    /// Fragments that had other content where there was some.
    pub(super) conflicts: u64,
}

impl Fragments {
    pub(super) fn new(memory: usize) -> Self {
        Self {
            memory,
            used: 0,
            serial: 0,
            datagrams: HashMap::default(),
            order: BTreeMap::new(),
            lost: 0,
            conflicts: 0,
        }
    }

    /// Takes a fragment. `Ok(Some)` is the datagram's payload, complete.
    ///
    /// # Errors
    /// The fragment can't be.
    pub(super) fn add(
        &mut self,
        key: Key,
        offset: usize,
        more: bool,
        fragment: &[u8],
        time: Timestamp,
    ) -> Result<Option<Vec<u8>>, ()> {
        let end = offset + fragment.len();
        if end > LARGEST || fragment.is_empty() || (more && !fragment.len().is_multiple_of(8)) {
            return Err(());
        }
        self.expire(time);
        let serial = &mut self.serial;
        let order = &mut self.order;
        let datagram = self.datagrams.entry(key).or_insert_with(|| {
            *serial += 1;
            order.insert(*serial, key);
            Datagram {
                first_time: time,
                serial: *serial,
                ..Datagram::default()
            }
        });
        let before = if datagram.fragments == 0 {
            0
        } else {
            datagram.cost()
        };
        datagram.fragments += 1;
        if !more {
            datagram.len.get_or_insert(end);
        }
        self.conflicts += u64::from(!datagram.add(offset, fragment));
        self.used = self.used + datagram.cost() - before;
        if datagram.complete() {
            let whole = self.remove(&key).map(|mut datagram| {
                datagram.bytes.truncate(datagram.len.unwrap_or(LARGEST));
                datagram.bytes
            });
            return Ok(whole);
        }
        while self.used > self.memory && self.drop_oldest() {}
        Ok(None)
    }

    /// Fragments that wait for the rest of their datagrams.
    pub(super) fn waiting(&self) -> u64 {
        self.datagrams.values().map(|datagram| datagram.fragments).sum()
    }

    fn expire(&mut self, now: Timestamp) {
        while let Some((_, key)) = self.order.first_key_value()
            && self
                .datagrams
                .get(key)
                .is_none_or(|oldest| now.since(oldest.first_time) > TIMEOUT)
            && self.drop_oldest()
        {}
    }

    fn drop_oldest(&mut self) -> bool {
        let Some((_, key)) = self.order.pop_first() else {
            return false;
        };
        if let Some(datagram) = self.remove(&key) {
            self.lost += datagram.fragments;
        }
        true
    }

    fn remove(&mut self, key: &Key) -> Option<Datagram> {
        let datagram = self.datagrams.remove(key)?;
        self.order.remove(&datagram.serial);
        self.used = self.used.saturating_sub(datagram.cost());
        Some(datagram)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(id: u32) -> Key {
        Key {
            source: IpAddr::from([10, 0, 0, 1]),
            destination: IpAddr::from([10, 0, 0, 2]),
            id,
            protocol: 6,
            scope: Scope(0),
        }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_nanos(seconds * 1_000_000_000)
    }

    #[test]
    fn in_any_order_and_the_first_copy_wins() {
        let mut table = Fragments::new(1 << 20);
        assert_eq!(table.add(key(1), 16, false, b"tail", at(0)), Ok(None));
        assert_eq!(table.add(key(1), 8, true, b"BBBBBBBB", at(0)), Ok(None));
        let whole = table.add(key(1), 0, true, b"aaaaaaaaxxxxxxxx", at(0));
        assert_eq!(whole, Ok(Some(b"aaaaaaaaBBBBBBBBtail".to_vec())));
        assert_eq!((table.used, table.waiting(), table.lost), (0, 0, 0));
        assert_eq!(table.conflicts, 1, "x is not B");
        for _ in 0..2 {
            assert_eq!(table.add(key(2), 0, true, b"aaaaaaaa", at(0)), Ok(None));
        }
        assert_eq!(table.conflicts, 1, "what is the same is none");
    }

    #[test]
    fn what_never_completes_is_dropped_by_time_and_by_memory_and_counted() {
        let mut table = Fragments::new(10_000);
        assert_eq!(table.add(key(1), 0, true, &[1; 8], at(0)), Ok(None));
        assert_eq!(table.add(key(2), 0, true, &[2; 8], at(31)), Ok(None));
        assert_eq!(table.lost, 1, "the first timed out");
        for id in 3..10 {
            assert_eq!(table.add(key(id), 0, true, &[0; 4000], at(31)), Ok(None));
        }
        assert!(table.used <= 10_000);
        assert_eq!(table.lost + table.waiting(), 9);
    }

    #[test]
    fn scattered_fragments_join_as_they_touch() {
        let mut datagram = Datagram::default();
        for (offset, ranges) in [(16, 1), (0, 2), (32, 3), (8, 2), (24, 1)] {
            datagram.add(offset, &[offset as u8; 8]);
            assert_eq!(datagram.present.len(), ranges, "with the one at {offset}");
        }
        assert_eq!(datagram.present.first_key_value(), Some((&0, &40)));
        datagram.add(4, &[99; 60]);
        assert_eq!(datagram.present.first_key_value(), Some((&0, &64)));
        assert_eq!(
            (datagram.bytes[39], datagram.bytes[40]),
            (32, 99),
            "the first copy stays"
        );
    }

    #[test]
    fn impossible_fragments_are_refused() {
        let mut table = Fragments::new(1 << 20);
        assert_eq!(table.add(key(1), 65_528, true, &[0; 16], at(0)), Err(()));
        assert_eq!(table.add(key(1), 0, true, &[0; 7], at(0)), Err(()));
    }
}
