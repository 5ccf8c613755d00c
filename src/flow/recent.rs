//! The last few segments of one direction: enough to tell a packet that was captured twice from one
//! that was sent twice, and to see that a retransmission says something else.

use std::hash::{BuildHasher, Hasher};

use crate::decode::Segment;
use crate::time::Timestamp;

/// Segments remembered for each direction. Copies mostly follow at once; a capture of two interfaces may
/// have all of a short exchange on one before the same on the other.
const KEPT: usize = 16;

/// Two sightings of one packet are at most so many nanoseconds apart (two capture points merged: 15 to 85 ms seen).
const SIGHTINGS: u64 = 100_000_000;

/// Without an IP identification, and along the same path, only a copy that comes within so many nanoseconds is no
/// retransmission.
const INSTANT: u64 = 200_000;

/// What identifies a packet among others of its direction, in 32 bytes: there are many.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fingerprint {
    time: Timestamp,
    /// Hash of a sample of the payload.
    content: u32,
    seq: u32,
    ack: u32,
    len: u32,
    /// Interface, link-layer addresses, time to live, VLANs: the way that it took.
    path: u16,
    ip_id: u16,
    window: u16,
    flags: u8,
    payload: Payload,
}

/// What can be said of a remembered payload by its sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Payload {
    /// All of it was captured.
    Whole,
    /// The snaplen cut it.
    Cut,
    /// It has other bytes than the stream.
    Conflicting,
}

// Sixteen for each direction.
const _: () = assert!(size_of::<Fingerprint>() == 32);

impl Fingerprint {
    pub(super) fn of(segment: &Segment<'_>, hasher: &foldhash::fast::FixedState) -> Self {
        let links = segment.mac.map_or(0, |(source, destination)| {
            mac(source) ^ mac(destination).rotate_left(17)
        });
        let rest = segment.scope.0 ^ (u64::from(segment.ttl) << 48) ^ u64::from(segment.interface);
        let mut path = hasher.build_hasher();
        path.write_u128(u128::from(links) << 64 | u128::from(rest));
        Self {
            time: segment.time,
            content: sample(segment.payload, hasher) as u32,
            seq: segment.seq,
            ack: segment.ack,
            len: segment.payload_wire_len,
            path: path.finish() as u16,
            ip_id: segment.ip_id,
            window: segment.window,
            flags: segment.flags.0,
            payload: if segment.payload.len() == segment.payload_wire_len as usize {
                Payload::Whole
            } else {
                Payload::Cut
            },
        }
    }

    /// Whether this and `other` are sightings of one packet, by all that samples tell.
    pub(super) fn same_packet(&self, other: &Self) -> bool {
        let same_words = self.seq == other.seq
            && self.ack == other.ack
            && self.len == other.len
            && self.flags == other.flags
            && self.window == other.window
            && self.ip_id == other.ip_id
            && self.content == other.content;
        if !same_words {
            return false;
        }
        let apart = self.time.nanos_since(other.time).unsigned_abs();
        // A sender counts identifications up, so that an equal one is the same packet. Zero says nothing:
        // then it must have come another way, or at once.
        apart <= SIGHTINGS && (self.ip_id != 0 || self.path != other.path || apart <= INSTANT)
    }
}

/// Hash of the first and last bytes, or of all where that is little: in the hot path a whole payload would cost more
/// than all the rest of reassembly. What lies between was not yet in the processor's cache, unlike the headers of
/// this packet and of the next one, beside which these bytes lie.
fn sample(payload: &[u8], hasher: &foldhash::fast::FixedState) -> u64 {
    let (Some(first), Some(last)) = (payload.first_chunk::<48>(), payload.last_chunk::<16>()) else {
        return if payload.is_empty() {
            0
        } else {
            hasher.hash_one(payload)
        };
    };
    let mut state = hasher.build_hasher();
    let (words, _) = first.as_chunks();
    for word in words {
        state.write_u128(u128::from_ne_bytes(*word));
    }
    state.write_u128(u128::from_ne_bytes(*last));
    state.finish()
}

fn mac(address: [u8; 6]) -> u64 {
    let [a, b, c, d, e, f] = address;
    u64::from_ne_bytes([a, b, c, d, e, f, 0, 0])
}

/// The last few segments.
#[derive(Debug, Default)]
pub(super) struct Recent {
    ring: Vec<Fingerprint>,
    next: usize,
}

impl Recent {
    /// Memory accounted.
    pub(super) fn cost(&self) -> usize {
        self.ring.capacity() * size_of::<Fingerprint>()
    }

    /// Remembers a segment.
    pub(super) fn push(&mut self, fingerprint: Fingerprint) {
        if self.ring.len() < KEPT {
            self.ring.push(fingerprint);
        } else if let Some(slot) = self.ring.get_mut(self.next) {
            *slot = fingerprint;
        }
        self.next = (self.next + 1) % KEPT;
    }

    /// The segment remembered last has other bytes than the stream.
    pub(super) fn last_conflicts(&mut self) {
        let last = self.next.checked_sub(1).unwrap_or(KEPT - 1);
        if let Some(last) = self.ring.get_mut(last) {
            last.payload = Payload::Conflicting;
        }
    }

    /// Whether the packet was seen before, by all that samples tell.
    pub(super) fn has(&self, fingerprint: &Fingerprint) -> bool {
        self.ring.iter().any(|other| other.same_packet(fingerprint))
    }

    /// Whether one that had other bytes than the stream was.
    pub(super) fn has_conflicting(&self, fingerprint: &Fingerprint) -> bool {
        let conflicting = |other: &&Fingerprint| other.payload == Payload::Conflicting;
        self.ring
            .iter()
            .filter(conflicting)
            .any(|other| other.same_packet(fingerprint))
    }

    /// Whether a segment with the same place in the stream had another content; `None` where none is remembered
    /// that was captured as a whole (samples of more and of fewer bytes differ whatever these are) and was the stream's.
    pub(super) fn differs(&self, fingerprint: &Fingerprint) -> Option<bool> {
        self.ring
            .iter()
            .filter(|other| other.payload == Payload::Whole && fingerprint.payload == Payload::Whole)
            .find(|other| other.seq == fingerprint.seq && other.len == fingerprint.len && other.len > 0)
            .map(|other| other.content != fingerprint.content)
    }
}
