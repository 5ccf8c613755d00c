//! What the table keeps of a connection: little for a SYN that nobody answered, more once it lives.

use super::lru::Links;
use super::out::Identity;
use super::recent::Fingerprint;
use super::stream::Stream;
use crate::decode::{Endpoint, Scope, Segment};
use crate::event::{ClientKnown, CloseReason, Connection};
use crate::time::Timestamp;

/// Where a connection stands. Each state has its own list, ordered by last activity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Over and told of; here to absorb late segments.
    Tombstone = 0,
    /// A SYN without answer.
    HalfOpen = 1,
    /// Over, waiting a moment for late segments.
    Closing = 2,
    /// Alive.
    Active = 3,
}

/// The two streams and what goes with them.
#[derive(Debug)]
pub(super) struct Active {
    pub(super) identity: Identity,
    pub(super) streams: [Stream; 2],
    /// When a stream wants to be asked again, as it stands in the table's heap.
    pub(super) deadline: Option<Timestamp>,
    /// Side that reset it.
    pub(super) reset: Option<usize>,
    /// SYN, SYN-ACK and its ACK were seen.
    pub(super) handshake: bool,
    /// Memory accounted for it.
    pub(super) cost: usize,
}

/// A connection in the table.
#[derive(Debug)]
pub(super) struct Entry {
    /// Both ends, the smaller first: side 0 and side 1.
    pub(super) ends: [Endpoint; 2],
    pub(super) id: u64,
    pub(super) state: State,
    pub(super) links: Links,
    /// In which VLANs and tunnels each side was first seen.
    pub(super) scopes: [Option<Scope>; 2],
    /// Initial sequence number of each side, where its SYN was seen.
    pub(super) isn: [Option<u32>; 2],
    /// Tombstones: sequence number behind the last byte of each side.
    pub(super) ended_at: [Option<u32>; 2],
    pub(super) first_time: Timestamp,
    pub(super) last_time: Timestamp,
    /// SYNs seen while half open.
    pub(super) syns: u16,
    /// Duplicate captures of them.
    pub(super) copies: u16,
    pub(super) vlan: Option<u16>,
    pub(super) mac: Option<([u8; 6], [u8; 6])>,
    pub(super) window_scale: u8,
    /// Of the last SYN while half open.
    pub(super) fingerprint: Fingerprint,
    pub(super) active: Option<Box<Active>>,
}

impl Active {
    /// Memory accounted for the box itself.
    pub(super) const COST: usize = size_of::<Self>();
}

/// Memory accounted for an entry with its share of the index.
pub(super) const ENTRY_COST: usize = size_of::<Entry>() + 12;

impl Entry {
    /// The side that the segment comes from, by the ends of the table's key.
    pub(super) fn side_of(segment: &Segment<'_>) -> usize {
        usize::from(segment.source > segment.destination)
    }

    /// The key: both ends, the smaller first.
    pub(super) fn key_of(segment: &Segment<'_>) -> [Endpoint; 2] {
        if segment.source > segment.destination {
            [segment.destination, segment.source]
        } else {
            [segment.source, segment.destination]
        }
    }

    /// The side that opened, from SYNs seen: only a lone SYN or a SYN-ACK tells.
    fn syn_side(&self) -> Option<usize> {
        match self.isn {
            [Some(_), None] => Some(0),
            [None, Some(_)] => Some(1),
            _ => None,
        }
    }

    /// The connection as told to sinks; `client_side` where it is known, else guessed from ports.
    pub(super) fn identity(
        &self,
        slot: u32,
        known: Option<(usize, ClientKnown)>,
        speaker: usize,
    ) -> Identity {
        let known = known.or_else(|| self.syn_side().map(|side| (side, ClientKnown::Syn)));
        let (client_side, client_known) =
            known.unwrap_or_else(|| (guess_client(&self.ends, speaker), ClientKnown::Guessed));
        let [zero, one] = self.ends;
        let (client, server) = if client_side == 0 {
            (zero, one)
        } else {
            (one, zero)
        };
        // The addresses of the first packet are the client's first only if the client sent it.
        let mac = self.mac.map(|(source, destination)| {
            if speaker == client_side {
                (source, destination)
            } else {
                (destination, source)
            }
        });
        Identity {
            connection: Connection {
                id: self.id,
                slot,
                client,
                server,
                client_known,
                first_time: self.first_time,
                scope: self.scopes.iter().flatten().next().copied().unwrap_or_default(),
                vlan: self.vlan,
                mac,
            },
            client_side,
            opened: false,
        }
    }

    /// Whether this segment's numbers fit the connection, as far as can be told: the greater the better.
    pub(super) fn fit(&self, side: usize, segment: &Segment<'_>) -> u8 {
        const NEAR: u64 = 1 << 24;
        let syn = segment.flags.has(crate::decode::Flags::SYN);
        let ack = segment
            .flags
            .has(crate::decode::Flags::ACK)
            .then_some(segment.ack);
        if let Some(active) = &self.active {
            if syn && ack.is_none() {
                return u8::from(self.isn_of(side) == Some(segment.seq)) * 3;
            }
            let own = active
                .streams
                .get(side)
                .and_then(|stream| stream.distance(segment.seq));
            let other = active
                .streams
                .get(1 - side)
                .zip(ack)
                .and_then(|(stream, ack)| stream.distance(ack));
            let near = |distance: Option<u64>| distance.map(|distance| distance < NEAR);
            return match (near(own), near(other)) {
                (Some(true), Some(true)) => 3,
                (Some(true), None) | (None, Some(true)) => 2,
                (None, None) => 1,
                _ => 0,
            };
        }
        let own = self.isn_of(side);
        let other = self.isn_of(1 - side);
        let follows = own.is_some_and(|isn| isn == segment.seq && syn || isn.wrapping_add(1) == segment.seq);
        let answers = other
            .zip(ack)
            .is_some_and(|(isn, ack)| isn.wrapping_add(1) == ack);
        u8::from(follows || answers) * 3
    }

    /// Whether this very packet of this side was captured before, along whatever path.
    pub(super) fn has_seen(&self, side: usize, fingerprint: &Fingerprint) -> bool {
        match &self.active {
            Some(active) => active
                .streams
                .get(side)
                .is_some_and(|stream| stream.has_seen(fingerprint)),
            None => {
                self.state == State::HalfOpen
                    && self.isn_of(side).is_some()
                    && self.fingerprint.same_packet(fingerprint)
            }
        }
    }

    /// Binds a side to the scope in which it is first seen.
    pub(super) fn bind(&mut self, side: usize, scope: Scope) {
        if let Some(bound) = self.scopes.get_mut(side) {
            bound.get_or_insert(scope);
        }
    }

    /// Remembers where a stream ended, for the tombstone.
    pub(super) fn set_end(&mut self, side: usize, seq: u32) {
        if let Some(end) = self.ended_at.get_mut(side) {
            *end = Some(seq);
        }
    }

    /// Whether a segment lies where the closed connection's stream ended; `None` where that is not known.
    pub(super) fn fit_tombstone(&self, side: usize, segment: &Segment<'_>) -> Option<bool> {
        let end = self.ended_at.get(side).copied().flatten()?;
        let distance = (segment.seq.wrapping_sub(end) as i32).unsigned_abs();
        Some(distance < 1 << 24)
    }

    pub(super) fn isn_of(&self, side: usize) -> Option<u32> {
        self.isn.get(side).copied().flatten()
    }

    pub(super) fn set_isn(&mut self, side: usize, isn: u32) {
        if let Some(slot) = self.isn.get_mut(side) {
            *slot = Some(isn);
        }
    }

    pub(super) fn scope_of(&self, side: usize) -> Option<Scope> {
        self.scopes.get(side).copied().flatten()
    }

    /// Why it is over, when its linger has run out.
    pub(super) fn close_reason(&self) -> CloseReason {
        use crate::event::Direction;
        let Some(active) = &self.active else {
            return CloseReason::Timeout;
        };
        match active.reset {
            Some(side) if side == active.identity.client_side => CloseReason::Reset(Direction::ToServer),
            Some(_) => CloseReason::Reset(Direction::ToClient),
            None => CloseReason::Fin,
        }
    }
}

/// With no SYN seen: the server is on the well-known port, else on the lower one; on equal ports who
/// spoke first is the client.
fn guess_client(ends: &[Endpoint; 2], speaker: usize) -> usize {
    let [zero, one] = ends;
    let known =
        |port: u16| matches!(port, 1..=1023 | 2525 | 3128 | 3306 | 4190 | 5432 | 8080 | 8443 | 10024..=10026);
    match (known(zero.port), known(one.port)) {
        (true, false) => 1,
        (false, true) => 0,
        _ if zero.port < one.port => 1,
        _ if zero.port > one.port => 0,
        _ => speaker,
    }
}
