//! Whether a segment is a connection's, by its scope and its numbers.
//!
//! Most keys have one connection and most scopes are equal, so that all of this is asked seldom.

use super::entry::{Entry, Phase, State};
use super::recent::Fingerprint;
use crate::decode::{Flags, Segment};

/// Sequence numbers within so many bytes of where a stream stands are taken for its.
const NEAR: u64 = 1 << 24;

impl Entry {
    /// Whether VLANs and tunnels allow a segment to be this connection's: 2 is the same path, 1 another
    /// one that its numbers make likely, 0 no.
    pub(super) fn same_path(&self, side: usize, segment: &Segment<'_>) -> u8 {
        match (self.scopes.get(side), self.scopes.get(1 - side)) {
            (Some(scope), _) => 2 * u8::from(scope == segment.scope),
            (None, Some(other)) if other != segment.scope => u8::from(self.fit(side, segment) >= 2),
            (None, _) => 2,
        }
    }

    /// How well a segment's numbers fit the connection: 3 exactly or on both sides, 2 on one, 1 can't be
    /// told, 0 not at all.
    pub(super) fn fit(&self, side: usize, segment: &Segment<'_>) -> u8 {
        let syn = segment.flags.has(Flags::SYN);
        let ack = segment.flags.has(Flags::ACK).then_some(segment.ack);
        if let Some(isn) = self.isn.get(side).filter(|_| syn) {
            return 3 * u8::from(isn == segment.seq);
        }
        match &self.phase {
            Phase::Streams(active) => {
                if syn && ack.is_none() {
                    let late = active
                        .stream(side)
                        .is_some_and(|stream| stream.late_syn_fits(segment.seq));
                    return 2 * u8::from(late);
                }
                let near = |distance: Option<u64>| distance.map(|distance| distance < NEAR);
                let own = near(
                    active
                        .stream(side)
                        .and_then(|stream| stream.distance(segment.seq)),
                );
                let other = near(ack.and_then(|ack| active.stream(1 - side)?.distance(ack)));
                match (own, other) {
                    (Some(true), Some(true)) => 3,
                    (Some(true), None) | (None, Some(true)) => 2,
                    (None, None) => 1,
                    _ => 0,
                }
            }
            Phase::HalfOpen(_) => {
                let behind = |isn: Option<u32>, number: u32| {
                    isn.map(|isn| u64::from(number.wrapping_sub(isn.wrapping_add(1))))
                };
                let own = behind(self.isn.get(side), segment.seq);
                let other = ack.and_then(|ack| behind(self.isn.get(1 - side), ack));
                match own.into_iter().chain(other).min() {
                    Some(0) => 3,
                    Some(far) if far < NEAR => 2,
                    Some(_) => 0,
                    None => 1,
                }
            }
            Phase::Tombstone(_) => u8::from(!self.begins_anew(side, segment)),
        }
    }

    /// Whether a segment for a closed connection is none of its: a SYN with another number, or bytes that
    /// its streams did not have.
    pub(super) fn begins_anew(&self, side: usize, segment: &Segment<'_>) -> bool {
        let Phase::Tombstone(ends) = &self.phase else {
            return false;
        };
        if segment.flags.has(Flags::SYN) {
            return self.isn.get(side) != Some(segment.seq);
        }
        if segment.payload_wire_len == 0 || segment.flags.has(Flags::RST) {
            return false;
        }
        let Some(end) = ends.get(side) else {
            return true;
        };
        // A byte behind the FIN's number is a probe at most.
        let behind = segment
            .seq
            .wrapping_add(segment.payload_wire_len)
            .wrapping_sub(end.wrapping_add(1)) as i32;
        behind > 0 || u64::from(behind.unsigned_abs()) > NEAR
    }

    /// Whether this very packet of this side was captured before, along whatever path, by all that samples tell.
    pub(super) fn has_seen(&self, side: usize, fingerprint: &Fingerprint) -> bool {
        match &self.phase {
            Phase::Streams(active) => active
                .stream(side)
                .is_some_and(|stream| stream.has_seen(fingerprint)),
            Phase::HalfOpen(syns) => {
                self.isn.get(side).is_some() && syns.fingerprint.same_packet(fingerprint)
            }
            Phase::Tombstone(_) => false,
        }
    }

    /// Whether data for a connection that is over, but for late segments, shows that it is not, or that
    /// there is another: its numbers are far from it, or behind both FINs, or a side that reset it goes on speaking (the reset
    /// was not its, or did not arrive).
    pub(super) fn outlived(&self, side: usize, segment: &Segment<'_>) -> bool {
        if self.state != State::Closing || segment.payload_wire_len == 0 || segment.flags.has(Flags::RST) {
            return false;
        }
        let Some((active, stream, other)) = self
            .active()
            .and_then(|active| Some((active, active.stream(side)?, active.stream(1 - side)?)))
        else {
            return false;
        };
        stream.distance(segment.seq).is_some_and(|far| far > NEAR)
            || (stream.ended_before(segment.seq) && other.ended_before(segment.ack))
            || (active.reset == Some(side) && stream.ended() && stream.goes_on(segment))
    }
}
