//! IP fragments put together, in a bounded table.
//!
//! The first copy of a byte wins, as in our TCP reassembler. etherparse's `IpDefragBuf` lets the last
//! one win and its pool is not bounded, so the few lines of range keeping are our own.
//!
//! A capture of several interfaces has each fragment more than once. A datagram therefore stays for a while after it is
//! complete: what comes again of it must not begin another one, into which the next with its identification would run.
//! Nor must the next one lose what it has in common with it (tails of zeros, which some senders send first).

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::time::Duration;

use super::Scope;
use super::datagram::Datagram;
use crate::time::Timestamp;

/// The largest IP payload.
const LARGEST: usize = 65_535;

/// How long fragments wait for the rest of their datagrams, in packet time.
const TIMEOUT: Duration = Duration::from_secs(30);

/// How long after its datagram was complete a fragment that says the same is a copy, in packet time. A router's queue
/// may lie between two sightings; a fast sender is through its 16 bits of identifications after about as long, but then
/// says something else.
const SIGHTINGS: Duration = Duration::from_secs(1);

/// What the fragments of one datagram have in common (RFC 791, section 3.2; RFC 8200, section 4.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    pub(super) id: u32,
    pub(super) protocol: u8,
    pub(super) scope: Scope,
}

/// Where a datagram stands in the order in which memory is freed: what is complete goes first.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    waiting: bool,
    serial: u64,
}

/// The table of datagrams that are incomplete, or were not long ago.
#[derive(Debug)]
pub(super) struct Fragments {
    memory: usize,
    used: usize,
    serial: u64,
    datagrams: HashMap<Key, Datagram, foldhash::quality::RandomState>,
    /// By age.
    order: BTreeMap<Place, Key>,
    /// Fragments thrown away with their datagrams.
    pub(super) lost: u64,
    /// Fragments that said what was there already.
    pub(super) copies: u64,
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
            copies: 0,
            conflicts: 0,
        }
    }

    /// Takes a fragment. `Ok(Some)` is the datagram's payload, complete.
    ///
    /// # Errors
    /// The fragment can't be.
    // Most packets are none: their way stays short.
    #[cold]
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
        if let Some(known) = self.datagrams.get_mut(&key) {
            let complete = known.complete();
            if known.has(offset, more, fragment) && (!complete || time.apart(known.time) <= SIGHTINGS) {
                known.again(offset, fragment.len());
                self.copies += 1;
                return Ok(None);
            }
            if complete && let Some(finished) = self.remove(&key) {
                for (offset, more, fragment) in finished.next_began_with(offset) {
                    self.copies -= 1;
                    self.put(key, offset, more, fragment, time);
                }
            }
        }
        Ok(self.put(key, offset, more, fragment, time))
    }

    /// Puts a fragment to those of its datagram, which may be the first.
    fn put(
        &mut self,
        key: Key,
        offset: usize,
        more: bool,
        fragment: &[u8],
        time: Timestamp,
    ) -> Option<Vec<u8>> {
        let serial = &mut self.serial;
        let order = &mut self.order;
        let datagram = self.datagrams.entry(key).or_insert_with(|| {
            let place = next(serial, true);
            order.insert(place, key);
            Datagram::new(time, place)
        });
        let before = if datagram.fragments == 0 {
            0
        } else {
            datagram.cost()
        };
        datagram.fragments += 1;
        self.conflicts += u64::from(!datagram.add(offset, more, fragment));
        self.used = self.used + datagram.cost() - before;
        let whole = datagram.whole().map(<[u8]>::to_vec);
        if whole.is_some() {
            order.remove(&datagram.place);
            datagram.place = next(serial, false);
            order.insert(datagram.place, key);
            datagram.time = time;
        }
        while self.used > self.memory && self.drop_first() {}
        whole
    }

    /// Fragments that wait for the rest of their datagrams.
    pub(super) fn waiting(&self) -> u64 {
        let datagrams = self.datagrams.values();
        datagrams
            .filter(|datagram| datagram.place.waiting)
            .map(|datagram| datagram.fragments)
            .sum()
    }

    fn expire(&mut self, now: Timestamp) {
        for (waiting, limit) in [(false, SIGHTINGS), (true, TIMEOUT)] {
            while let Some((place, key)) = self.order.range(Place { waiting, serial: 0 }..).next()
                && place.waiting == waiting
                && let Some(oldest) = self.datagrams.get(key)
                && now.since(oldest.time) > limit
            {
                self.forget(*key);
            }
        }
    }

    fn drop_first(&mut self) -> bool {
        let first = self.order.pop_first();
        first.map(|(_, key)| self.forget(key)).is_some()
    }

    fn forget(&mut self, key: Key) {
        let lost = self.remove(&key).filter(|datagram| datagram.place.waiting);
        self.lost += lost.map_or(0, |datagram| datagram.fragments);
    }

    fn remove(&mut self, key: &Key) -> Option<Datagram> {
        let datagram = self.datagrams.remove(key)?;
        self.order.remove(&datagram.place);
        self.used = self.used.saturating_sub(datagram.cost());
        Some(datagram)
    }
}

/// The place behind all others that wait, or that are complete.
fn next(serial: &mut u64, waiting: bool) -> Place {
    *serial += 1;
    Place {
        waiting,
        serial: *serial,
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
        assert_eq!((table.waiting(), table.lost), (0, 0));
        assert_eq!(table.conflicts, 1, "x is not B");
        for _ in 0..2 {
            assert_eq!(table.add(key(2), 0, true, b"aaaaaaaa", at(0)), Ok(None));
        }
        assert_eq!(
            (table.conflicts, table.copies),
            (1, 1),
            "what is the same is none"
        );
    }

    #[test]
    fn what_comes_again_of_a_complete_datagram_begins_none() {
        let mut table = Fragments::new(1 << 20);
        let pieces: [(usize, bool, &[u8]); 2] = [(0, true, b"headerAA"), (8, false, b"tail")];
        for round in 0..3 {
            for (offset, more, piece) in pieces {
                let whole = table.add(key(1), offset, more, piece, at(0));
                let completes = round == 0 && offset == 8;
                assert_eq!(whole, Ok(completes.then(|| b"headerAAtail".to_vec())));
            }
        }
        assert_eq!((table.copies, table.waiting(), table.lost), (4, 0, 0));
        // The next datagram with the same identification, at once, with the same tail.
        assert_eq!(table.add(key(1), 0, true, b"headerBB", at(0)), Ok(None));
        let whole = table.add(key(1), 8, false, b"tail", at(0));
        assert_eq!(whole, Ok(Some(b"headerBBtail".to_vec())));
        // What is in another place says something else.
        assert_eq!(table.add(key(1), 8, true, b"tailtail", at(0)), Ok(None));
        assert_eq!((table.copies, table.waiting()), (4, 1));
    }

    /// Fragments as captured, by their letters: the head, a middle and a tail of zeros.
    fn fragments(head: &'static [u8], order: &str) -> Vec<(usize, bool, &'static [u8])> {
        order
            .chars()
            .map(|which| match which {
                'h' => (0, true, head),
                'm' => (8, true, &b"00000000"[..]),
                _ => (16, false, &b"0000"[..]),
            })
            .collect()
    }

    #[test]
    fn a_datagram_may_begin_with_what_the_one_before_ended_with() {
        for (first, second, copies) in [
            ("thm", "thm", 0),
            ("tmh", "tmh", 0),
            ("mth", "mth", 0),
            ("ttmmhh", "ttmmhh", 6),
            ("tmhtmh", "tmhtmh", 6),
            ("tmhtmhtmh", "tmhtmhtmh", 12),
            ("tthm", "thm", 1),
            ("hmthmt", "hmthmt", 6),
        ] {
            let mut table = Fragments::new(1 << 20);
            for (head, order, whole) in [
                (b"headerAA", first, b"headerAA000000000000"),
                (b"headerBB", second, b"headerBB000000000000"),
            ] {
                let wholes: Vec<_> = fragments(head, order)
                    .into_iter()
                    .filter_map(|(offset, more, piece)| {
                        table.add(key(1), offset, more, piece, at(0)).expect("possible")
                    })
                    .collect();
                assert_eq!(wholes, [whole], "{first} {second}");
            }
            assert_eq!((table.copies, table.waiting()), (copies, 0), "{first} {second}");
        }
    }

    #[test]
    fn copies_of_all_of_a_datagram_are_none_of_the_next() {
        for order in ["tmh", "hmt"] {
            let mut table = Fragments::new(1 << 20);
            let copies: String = order.chars().flat_map(|which| [which; 3]).collect();
            for (offset, more, piece) in fragments(b"headerAA", &copies) {
                table.add(key(1), offset, more, piece, at(0)).expect("possible");
            }
            for (offset, more, piece) in [(0, true, &b"headerBB"[..]), (8, true, b"11111111")] {
                assert_eq!(table.add(key(1), offset, more, piece, at(0)), Ok(None), "{order}");
            }
            let whole = table.add(key(1), 16, false, b"1111", at(0));
            assert_eq!(whole, Ok(Some(b"headerBB111111111111".to_vec())), "{order}");
            assert_eq!(table.copies, 6, "{order}");
        }
    }

    #[test]
    fn after_a_while_the_same_is_a_datagram_of_its_own() {
        let mut table = Fragments::new(1 << 20);
        for seconds in [0, 5, 3] {
            let now = at(seconds);
            assert_eq!(table.add(key(1), 8, false, b"tail", now), Ok(None));
            let whole = table.add(key(1), 0, true, b"headerAA", now);
            assert_eq!(whole, Ok(Some(b"headerAAtail".to_vec())), "at {seconds} s");
        }
        assert_eq!((table.copies, table.lost), (0, 0));
        assert_eq!(table.add(key(2), 0, true, b"headerAA", at(9)), Ok(None));
        assert_eq!((table.datagrams.len(), table.order.len()), (1, 1), "forgotten");
    }

    #[test]
    fn complete_datagrams_make_room_before_any_that_waits() {
        let mut table = Fragments::new(10_000);
        assert_eq!(table.add(key(0), 0, true, &[0; 8], at(0)), Ok(None));
        for id in 1..100 {
            assert_eq!(table.add(key(id), 0, true, &[1; 1000], at(0)), Ok(None));
            let whole = table.add(key(id), 1000, false, &[2; 1000], at(0));
            assert!(whole.is_ok_and(|whole| whole.is_some()));
            assert!(table.used <= 10_000 && table.datagrams.len() == table.order.len());
        }
        assert_eq!((table.waiting(), table.lost), (1, 0));
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
    fn impossible_fragments_are_refused() {
        let mut table = Fragments::new(1 << 20);
        assert_eq!(table.add(key(1), 65_528, true, &[0; 16], at(0)), Err(()));
        assert_eq!(table.add(key(1), 0, true, &[0; 7], at(0)), Err(()));
    }
}
