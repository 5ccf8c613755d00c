//! The connection table: finds the connection of a segment, and keeps the number of them bounded.
//!
//! # Which connection a segment belongs to
//!
//! The key is the unordered pair of endpoints. Several connections may have it: in different VLANs or
//! tunnels (*scopes*), or one after the other. Each direction of a connection is bound to the scope in
//! which it is first seen. A segment belongs to the connection whose direction is bound to its scope, or
//! whose direction is not bound yet and whose other direction has the same scope; else to one whose
//! direction is not bound yet and whose sequence numbers it fits. Where several remain, sequence numbers
//! decide (`fit.rs`), then the later one. So two conversations with equal addresses in two VLANs stay
//! apart, and one whose directions run through different VLANs stays one. A packet that was seen already
//! in another scope is a copy, and opens nothing.
//!
//! A SYN with a new sequence number is a new connection (`admit.rs`). The old one is closed as soon as the
//! new one is answered, so that a lone forged SYN does not cut a conversation in two.

mod admit;
mod bounds;
mod close;
mod index;
mod live;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::hash::{BuildHasher, Hasher};
use std::net::{IpAddr, Ipv4Addr};

use super::clock::Clock;
use super::entry::{Entry, State};
use super::lru::List;
use super::options::{FlowOptions, FlowStats};
use super::recent::Fingerprint;
use super::slab::Slab;
use crate::decode::{Endpoint, Segment};
use crate::event::{Emit, SinkError};
use crate::time::Timestamp;
use index::Index;

/// The connection table.
#[derive(Debug)]
pub struct FlowTable {
    options: FlowOptions,
    hasher: foldhash::quality::RandomState,
    sampler: foldhash::fast::FixedState,
    index: Index,
    slab: Slab,
    lists: [List; 4],
    /// When streams want to be asked, with slot and connection id.
    deadlines: BinaryHeap<Reverse<(Timestamp, u32, u64)>>,
    /// Nothing is due before this.
    next_due: Option<Timestamp>,
    clock: Clock,
    next_id: u64,
    memory: usize,
    stats: FlowStats,
}

/// What a look into the table finds.
enum Found {
    Nothing,
    Entry(u32),
    /// The packet was captured before, in another scope, for this connection.
    Copy(u32),
}

/// A segment with what the table worked out for it, once.
#[derive(Debug, Clone, Copy)]
struct Arrival<'a> {
    segment: &'a Segment<'a>,
    key: [&'a Endpoint; 2],
    /// Which of the key's ends sent it.
    side: usize,
    hash: u32,
    fingerprint: Fingerprint,
    /// The table's time.
    now: Timestamp,
}

impl FlowTable {
    /// An empty table.
    pub fn new(options: FlowOptions) -> Self {
        Self {
            options,
            hasher: foldhash::quality::RandomState::default(),
            sampler: foldhash::fast::FixedState::default(),
            index: Index::default(),
            slab: Slab::default(),
            lists: [List::default(); 4],
            deadlines: BinaryHeap::new(),
            next_due: None,
            clock: Clock::default(),
            next_id: 1,
            memory: 0,
            stats: FlowStats::default(),
        }
    }

    /// Counts so far.
    pub fn stats(&self) -> FlowStats {
        let open =
            [State::HalfOpen, State::Active, State::Closing].map(|state| self.list(state).len() as u64);
        let mut stats = FlowStats {
            open: open.iter().sum(),
            memory: self.memory,
            ..self.stats
        };
        for active in self.slab.iter().filter_map(|(_, entry)| entry.active()) {
            active.streams.iter().for_each(|stream| stats.add(&stream.totals));
        }
        stats
    }

    /// Takes a segment and tells what comes of it.
    ///
    /// # Errors
    /// What `emit` returns.
    pub fn segment(&mut self, segment: &Segment<'_>, emit: &mut Emit<'_>) -> Result<(), SinkError> {
        self.stats.segments += 1;
        let now = self.clock.advance(segment.time);
        self.expire(emit)?;
        let (key, side) = Entry::key_of(segment);
        let arrival = Arrival {
            segment,
            key,
            side,
            hash: hash_of(&self.hasher, key),
            fingerprint: Fingerprint::of(segment, &self.sampler),
            now,
        };
        match self.find(&arrival) {
            Found::Nothing => self.fresh(&arrival, emit)?,
            Found::Entry(slot) => self.known(slot, &arrival, emit)?,
            Found::Copy(slot) => self.copy(slot, &arrival, emit)?,
        }
        self.bound(emit)
    }

    /// Packet time has come to `now` without a packet.
    ///
    /// # Errors
    /// What `emit` returns.
    pub fn tick(&mut self, now: Timestamp, emit: &mut Emit<'_>) -> Result<(), SinkError> {
        self.clock.advance(now);
        self.expire(emit)
    }

    /// The capture is over: everything held is given out, every connection closed.
    ///
    /// # Errors
    /// What `emit` returns.
    pub fn finish(&mut self, emit: &mut Emit<'_>) -> Result<(), SinkError> {
        let mut open: Vec<(u64, u32)> = self.slab.iter().map(|(slot, entry)| (entry.id, slot)).collect();
        open.sort_unstable();
        for (_, slot) in open {
            self.close_at_end(slot, emit)?;
        }
        Ok(())
    }

    /// Connections with the same ends.
    fn namesakes(&self, arrival: &Arrival<'_>) -> impl Iterator<Item = (u32, &Entry)> + Clone {
        let [lesser, greater] = arrival.key;
        self.index.slots(arrival.hash).filter_map(move |slot| {
            let entry = self.slab.get(slot)?;
            let [first, second] = &entry.ends;
            (first == lesser && second == greater).then_some((slot, entry))
        })
    }

    fn find(&self, arrival: &Arrival<'_>) -> Found {
        let Arrival { segment, side, .. } = *arrival;
        let mut candidates = self.namesakes(arrival);
        let Some((slot, entry)) = candidates.next() else {
            return Found::Nothing;
        };
        if candidates.next().is_none() && entry.same_path(side, segment) > 0 {
            return Found::Entry(slot);
        }
        let mut best: Option<((u8, bool, u8, u64), u32)> = None;
        for (slot, entry) in self.namesakes(arrival) {
            let path = entry.same_path(side, segment);
            if path == 0 {
                continue;
            }
            let rank = (
                path,
                entry.state != State::Tombstone,
                entry.fit(side, segment),
                entry.id,
            );
            if best.is_none_or(|(other, _)| rank > other) {
                best = Some((rank, slot));
            }
        }
        best.map_or_else(|| self.find_copy(arrival), |(_, slot)| Found::Entry(slot))
    }

    /// For a segment whose path is that of no connection. Looks into all that each namesake remembers, and so is asked
    /// last.
    fn find_copy(&self, arrival: &Arrival<'_>) -> Found {
        let seen =
            |(slot, entry): (u32, &Entry)| entry.has_seen(arrival.side, &arrival.fingerprint).then_some(slot);
        match self.namesakes(arrival).filter_map(seen).last() {
            // Seen already, but for its bytes: they conflict with that connection's, and make no other.
            Some(slot) if self.contradicts(slot, arrival) => Found::Entry(slot),
            Some(slot) => Found::Copy(slot),
            None => Found::Nothing,
        }
    }

    /// Whether a segment has other bytes than a connection's stream in its place.
    fn contradicts(&self, slot: u32, arrival: &Arrival<'_>) -> bool {
        let active = self.slab.get(slot).and_then(Entry::active);
        let stream = active.and_then(|active| active.stream(arrival.side));
        stream.is_some_and(|stream| stream.contradicts(arrival.segment, &self.options.lasting))
    }
}

/// A key's hash, seeded because the wire picks the keys; a few wide writes instead of the many that deriving
/// makes.
#[inline]
fn hash_of(hasher: &foldhash::quality::RandomState, key: [&Endpoint; 2]) -> u32 {
    let mut state = hasher.build_hasher();
    let wide = |address: Ipv4Addr, port: u16| u128::from(address.to_bits()) << 16 | u128::from(port);
    let [one, other] = key;
    if let (IpAddr::V4(first), IpAddr::V4(second)) = (one.address, other.address) {
        state.write_u128(wide(first, one.port) << 64 | wide(second, other.port));
    } else {
        for end in key {
            state.write_u128(match end.address {
                IpAddr::V4(address) => u128::from(address.to_bits()),
                IpAddr::V6(address) => address.to_bits(),
            });
            state.write_u16(end.port);
        }
    }
    state.finish() as u32
}
