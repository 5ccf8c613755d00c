//! What the table keeps of a connection: little for a SYN that nobody answered, more once it lives.

use super::lru::Links;
use super::out::Identity;
use super::recent::Fingerprint;
use super::stream::Stream;
use crate::decode::{Endpoint, Flags, Scope, Segment};
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

impl State {
    /// All of them; what matters least comes first.
    pub(super) const ALL: [Self; 4] = [Self::Tombstone, Self::HalfOpen, Self::Closing, Self::Active];
}

/// One value for each side, where it is known. (Two options would take twice the space: there may be
/// millions of these.)
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sides<T> {
    values: [T; 2],
    known: [bool; 2],
}

impl<T: Copy> Sides<T> {
    pub(super) fn get(&self, side: usize) -> Option<T> {
        let known = self.known.get(side).copied().unwrap_or_default();
        self.values.get(side).copied().filter(|_| known)
    }

    pub(super) fn set(&mut self, side: usize, value: T) {
        if let (Some(place), Some(known)) = (self.values.get_mut(side), self.known.get_mut(side)) {
            *place = value;
            *known = true;
        }
    }

    /// Keeps the first value.
    pub(super) fn set_once(&mut self, side: usize, value: T) {
        if self.get(side).is_none() {
            self.set(side, value);
        }
    }

    /// The side of which alone something is known.
    fn only(&self) -> Option<usize> {
        match self.known {
            [true, false] => Some(0),
            [false, true] => Some(1),
            _ => None,
        }
    }

    pub(super) fn none(&self) -> bool {
        self.known == [false; 2]
    }
}

/// SYNs that nobody answered so far.
#[derive(Debug, Clone, Copy)]
pub(super) struct Syns {
    /// The last one.
    pub(super) fingerprint: Fingerprint,
    pub(super) count: u16,
    /// Duplicate captures of them.
    pub(super) copies: u16,
    pub(super) window_scale: u8,
    /// The connection was told of all the same.
    pub(super) told: bool,
}

impl Syns {
    /// Of so many, unanswered, is told: the third comes after three seconds.
    pub(super) const TOLD: u16 = 3;

    /// Bytes that they take more for being told of.
    pub(super) const fn cost(&self) -> usize {
        if self.told { DOWNSTREAM } else { 0 }
    }
}

/// The two streams and what goes with them.
#[derive(Debug)]
pub(super) struct Active {
    pub(super) identity: Identity,
    pub(super) streams: [Stream; 2],
    /// When a stream wants to be asked again, as it stands in the table's heap.
    pub(super) deadline: Option<Timestamp>,
    /// Side whose FIN came first.
    pub(super) first_fin: Option<usize>,
    /// Side that reset it.
    pub(super) reset: Option<usize>,
    /// SYN, SYN-ACK and its ACK were seen.
    pub(super) handshake: bool,
    /// Memory accounted for it.
    pub(super) cost: usize,
}

/// Memory that watchers and sinks keep for a connection that has said something, on average (measured with 30,000
/// SMTP sessions in the middle of DATA: 2.4 KB more than for as many that nobody understands). Accounted here
/// because the bound is here.
const DOWNSTREAM: usize = 2560;

impl Active {
    /// Memory accounted for the box itself, and for what others keep of the connection.
    pub(super) const COST: usize = size_of::<Self>() + DOWNSTREAM;

    /// Whether nothing more is to be expected than late segments.
    pub(super) fn over(&self) -> bool {
        let [zero, one] = &self.streams;
        let over = |stream: &Stream, peer: &Stream| stream.ended() && (peer.ended() || !peer.seen());
        self.reset.is_some() || over(zero, one) || over(one, zero)
    }

    pub(super) fn stream(&self, side: usize) -> Option<&Stream> {
        self.streams.get(side)
    }

    /// Decides which of two initial sequence numbers of a side counts, if a segment that `side` sends says so. Returns it
    /// with its side, where it is not the first.
    #[inline]
    pub(super) fn choose(&mut self, side: usize, segment: &Segment<'_>) -> Option<(usize, u32)> {
        let undecided = self.streams.iter().any(Stream::is_undecided);
        if !undecided || segment.flags.has(Flags::RST) {
            return None;
        }
        let acknowledged = segment.flags.has(Flags::ACK).then_some((1 - side, segment.ack));
        let mut numbers = [Some((side, segment.seq)), acknowledged].into_iter().flatten();
        numbers.find_map(|(side, number)| {
            let isn = self.streams.get_mut(side)?.choose(number)?;
            Some((side, isn))
        })
    }
}

/// What a connection has, by its state.
#[derive(Debug)]
pub(super) enum Phase {
    HalfOpen(Syns),
    /// Active or closing.
    Streams(Box<Active>),
    /// Sequence number behind the last byte of each side.
    Tombstone(Sides<u32>),
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
    pub(super) scopes: Sides<Scope>,
    /// Initial sequence number of each side, where its SYN was seen.
    pub(super) isn: Sides<u32>,
    pub(super) first_time: Timestamp,
    pub(super) last_time: Timestamp,
    /// Last activity in the table's time.
    pub(super) touched: Timestamp,
    pub(super) vlan: Option<u16>,
    pub(super) mac: Option<([u8; 6], [u8; 6])>,
    pub(super) phase: Phase,
}

/// Memory accounted for an entry with its share of the index.
pub(super) const ENTRY_COST: usize = size_of::<Entry>() + 12;

// A SYN flood makes millions of these.
const _: () = assert!(ENTRY_COST < 200);

impl Entry {
    /// The key, both ends, the smaller first; and which of them the segment comes from.
    pub(super) fn key_of<'a>(segment: &'a Segment<'_>) -> ([&'a Endpoint; 2], usize) {
        let (source, destination) = (&segment.source, &segment.destination);
        if source > destination {
            ([destination, source], 1)
        } else {
            ([source, destination], 0)
        }
    }

    pub(super) fn active(&self) -> Option<&Active> {
        match &self.phase {
            Phase::Streams(active) => Some(active),
            _ => None,
        }
    }

    /// Whether sinks know of a connection that was never answered.
    pub(super) fn is_told(&self) -> bool {
        matches!(&self.phase, Phase::HalfOpen(syns) if syns.told)
    }

    pub(super) fn active_mut(&mut self) -> Option<&mut Active> {
        match &mut self.phase {
            Phase::Streams(active) => Some(active),
            _ => None,
        }
    }

    /// The connection as told to sinks; the client's side where it is known, else by a lone SYN, else
    /// guessed from ports. `speaker` sent the first packet.
    pub(super) fn identity(
        &self,
        slot: u32,
        known: Option<(usize, ClientKnown)>,
        speaker: usize,
    ) -> Identity {
        let known = known.or_else(|| Some((self.isn.only()?, ClientKnown::Syn)));
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
        let scope = self.scopes.get(speaker).or(self.scopes.get(1 - speaker));
        Identity {
            connection: Connection {
                id: self.id,
                slot,
                client,
                server,
                client_known,
                first_time: self.first_time,
                scope: scope.unwrap_or_default(),
                vlan: self.vlan,
                mac,
            },
            client_side,
            opened: false,
        }
    }

    /// Why it is over, when its linger has run out.
    pub(super) fn close_reason(&self) -> CloseReason {
        let Some(active) = self.active() else {
            return CloseReason::Timeout;
        };
        let reset = active.reset.map(|side| active.identity.direction(side));
        reset.map_or(CloseReason::Fin, CloseReason::Reset)
    }
}

/// With no SYN seen: the server is on the well-known port, else on the lower one; on equal ports who
/// spoke first is the client. This list is not the one of mail, of which nothing is known here: any server whose port
/// may lie above its client's belongs in it.
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
