//! Segments that begin a connection, or end one by beginning the next with the same addresses.

use super::{Arrival, FlowTable};
use crate::decode::Flags;
use crate::event::{ClientKnown, CloseReason, Emit, SinkError, TcpNote};
use crate::flow::entry::{Active, ENTRY_COST, Entry, Phase, Sides, State, Syns};
use crate::flow::lru::Links;
use crate::flow::out::{Identity, Out};

/// Connections with the same ends at once, at the most.
const NAMESAKES: usize = 64;

impl FlowTable {
    /// A segment of no connection that is known.
    pub(super) fn fresh(&mut self, arrival: &Arrival<'_>, emit: &mut Emit<'_>) -> Result<(), SinkError> {
        let Arrival { segment, side, .. } = *arrival;
        let flags = segment.flags;
        if flags.has(Flags::RST) {
            // Nothing to reset: an answer to something that the capture lacks.
            self.stats.late_segments += 1;
            return Ok(());
        }
        self.stats.doubled += u64::from(self.is_doubled(arrival));
        self.thin_out(arrival, emit)?;
        let lone_syn = flags.has(Flags::SYN) && !flags.has(Flags::ACK) && segment.payload_wire_len == 0;
        let mut entry = Entry {
            ends: arrival.key.map(|end| *end),
            id: self.next_id,
            state: State::HalfOpen,
            links: Links::default(),
            scopes: Sides::default(),
            isn: Sides::default(),
            first_time: segment.time,
            last_time: segment.time,
            touched: arrival.now,
            vlan: segment.vlan,
            mac: segment.mac,
            phase: Phase::HalfOpen(Syns {
                fingerprint: arrival.fingerprint,
                count: u16::from(lone_syn),
                copies: 0,
                window_scale: segment.window_scale.unwrap_or(0),
                told: false,
            }),
        };
        entry.scopes.set(side, segment.scope);
        if lone_syn {
            entry.isn.set(side, segment.seq);
        }
        self.next_id += 1;
        let slot = self.slab.insert(entry);
        self.memory += ENTRY_COST;
        self.index.insert(arrival.hash, slot);
        self.push(slot, State::HalfOpen);
        if lone_syn {
            return Ok(());
        }
        self.promote(slot, arrival);
        self.live(slot, arrival, emit)
    }

    /// Makes room among connections with the same ends, in as many VLANs: each of them makes every look into the table
    /// longer.
    fn thin_out(&mut self, arrival: &Arrival<'_>, emit: &mut Emit<'_>) -> Result<(), SinkError> {
        let namesakes = self.namesakes(arrival);
        if namesakes.clone().count() < NAMESAKES {
            return Ok(());
        }
        let oldest = namesakes.min_by_key(|(_, entry)| entry.touched);
        let oldest = oldest.map(|(slot, _)| slot);
        oldest.map_or(Ok(()), |slot| self.evict(slot, emit))
    }

    /// Whether a segment of no connection that is known fits one along another path (VLANs, tunnels).
    fn is_doubled(&self, arrival: &Arrival<'_>) -> bool {
        self.namesakes(arrival).any(|(_, entry)| {
            entry.state == State::Active
                && entry.same_path(arrival.side, arrival.segment) == 0
                && entry.fit(arrival.side, arrival.segment) == 3
        })
    }

    /// A segment of a connection that is in the table.
    pub(super) fn known(
        &mut self,
        slot: u32,
        arrival: &Arrival<'_>,
        emit: &mut Emit<'_>,
    ) -> Result<(), SinkError> {
        let Some(state) = self.slab.get(slot).map(|entry| entry.state) else {
            return Ok(());
        };
        match state {
            State::Tombstone => self.late(slot, arrival, emit),
            State::HalfOpen => self.half_open(slot, arrival, emit),
            State::Closing | State::Active => {
                if self.makes_way(slot, arrival, emit)? {
                    return self.fresh(arrival, emit);
                }
                self.live(slot, arrival, emit)
            }
        }
    }

    /// For a connection that is over.
    fn late(&mut self, slot: u32, arrival: &Arrival<'_>, emit: &mut Emit<'_>) -> Result<(), SinkError> {
        let anew = self
            .slab
            .get(slot)
            .is_some_and(|entry| entry.begins_anew(arrival.side, arrival.segment));
        if anew {
            self.remove(slot);
            return self.fresh(arrival, emit);
        }
        self.stats.late_segments += 1;
        Ok(())
    }

    /// For a connection of which only SYNs were seen.
    fn half_open(&mut self, slot: u32, arrival: &Arrival<'_>, emit: &mut Emit<'_>) -> Result<(), SinkError> {
        let Arrival { segment, side, .. } = *arrival;
        let Some(entry) = self.slab.get_mut(slot) else {
            return Ok(());
        };
        let again = entry.has_seen(side, &arrival.fingerprint);
        let isn = entry.isn.get(side);
        let Phase::HalfOpen(syns) = &mut entry.phase else {
            return Ok(());
        };
        if again {
            syns.copies = syns.copies.saturating_add(1);
            return Ok(());
        }
        let lone_syn = segment.flags.has(Flags::SYN) && !segment.flags.has(Flags::ACK);
        match isn {
            Some(isn) if lone_syn && isn != segment.seq => {
                self.close(slot, CloseReason::Reused, emit)?;
                self.fresh(arrival, emit)
            }
            Some(_) if lone_syn && segment.payload_wire_len == 0 => {
                syns.count = syns.count.saturating_add(1);
                syns.fingerprint = arrival.fingerprint;
                let tell = syns.count == Syns::TOLD;
                entry.last_time = segment.time;
                entry.touched = arrival.now;
                self.touch(slot, State::HalfOpen);
                if tell {
                    self.tell_unanswered(slot, arrival, emit)?;
                }
                Ok(())
            }
            _ => {
                self.promote(slot, arrival);
                self.supersede(slot, arrival.hash, emit)?;
                self.live(slot, arrival, emit)
            }
        }
    }

    /// Tells of a connection that nobody answers, while somebody tries.
    fn tell_unanswered(
        &mut self,
        slot: u32,
        arrival: &Arrival<'_>,
        emit: &mut Emit<'_>,
    ) -> Result<(), SinkError> {
        let Some(entry) = self.slab.get_mut(slot) else {
            return Ok(());
        };
        let mut identity = entry.identity(slot, None, arrival.side);
        let Phase::HalfOpen(syns) = &mut entry.phase else {
            return Ok(());
        };
        syns.told = true;
        self.memory += syns.cost();
        let mut out = Out {
            identity: &mut identity,
            side: arrival.side,
            time: arrival.segment.time,
            now: arrival.now,
            arrival: self.stats.segments,
            emit,
            opened: &mut self.stats.opened,
        };
        out.open()?;
        out.note(TcpNote::Unanswered { syns: syns.count })
    }

    /// Whether a segment for a living connection begins another one with its addresses; what of the old one
    /// is known to be over then is closed.
    fn makes_way(
        &mut self,
        slot: u32,
        arrival: &Arrival<'_>,
        emit: &mut Emit<'_>,
    ) -> Result<bool, SinkError> {
        let Arrival { segment, side, .. } = *arrival;
        let Some(entry) = self.slab.get(slot) else {
            return Ok(false);
        };
        let syn = segment.flags.has(Flags::SYN);
        let stream = |side| entry.active().and_then(|active| active.stream(side));
        let reason = if syn && entry.isn.get(side) != Some(segment.seq) {
            let its_own = match entry.isn.get(side) {
                None => stream(side).is_some_and(|stream| stream.late_syn_fits(segment.seq)),
                // A server without memory of the SYN answers it again with another number (RFC 4987, section 3.6).
                Some(_) => {
                    let streams = stream(1 - side).zip(stream(side));
                    segment.flags.has(Flags::ACK)
                        && streams.is_some_and(|(client, server)| client.answered_by(segment.ack, server))
                }
            };
            if its_own {
                return Ok(false);
            }
            CloseReason::Reused
        } else if entry.outlived(side, segment) {
            entry.close_reason()
        } else {
            return Ok(false);
        };
        if entry.state == State::Closing {
            let reason = entry.close_reason();
            self.close(slot, reason, emit)?;
            self.remove(slot);
        } else if segment.flags.has(Flags::ACK) {
            self.close(slot, reason, emit)?;
        }
        Ok(true)
    }

    /// The SYN's connection lives: gives it its streams.
    fn promote(&mut self, slot: u32, arrival: &Arrival<'_>) {
        let Some(entry) = self.slab.get_mut(slot) else {
            return;
        };
        let Phase::HalfOpen(syns) = &entry.phase else {
            return;
        };
        let syns = *syns;
        self.memory = self.memory.saturating_sub(syns.cost());
        let flags = arrival.segment.flags;
        let known = match (flags.has(Flags::SYN) && entry.isn.none(), flags.has(Flags::ACK)) {
            (true, true) => Some((1 - arrival.side, ClientKnown::SynAck)),
            (true, false) => Some((arrival.side, ClientKnown::Syn)),
            (false, _) => None,
        };
        let speaker = if syns.count > 0 {
            usize::from(entry.isn.get(0).is_none())
        } else {
            arrival.side
        };
        let identity = Identity {
            opened: syns.told,
            ..entry.identity(slot, known, speaker)
        };
        let mut active = Box::new(Active {
            identity,
            streams: Default::default(),
            deadline: None,
            first_fin: None,
            reset: None,
            handshake: false,
            cost: Active::COST,
        });
        for (side, stream) in active.streams.iter_mut().enumerate() {
            if let Some(isn) = entry.isn.get(side) {
                stream.begin_from_table(isn, &syns);
            }
        }
        entry.phase = Phase::Streams(active);
        self.memory += Active::COST;
        self.relist(slot, State::Active);
    }

    /// A new connection is answered: older ones with its addresses, in its scope, are over.
    fn supersede(&mut self, slot: u32, hash: u32, emit: &mut Emit<'_>) -> Result<(), SinkError> {
        let Some(new) = self.slab.get(slot) else {
            return Ok(());
        };
        let same_path = |entry: &Entry| {
            [0, 1].into_iter().all(|side| {
                let (one, other) = (entry.scopes.get(side), new.scopes.get(side));
                one.is_none() || other.is_none() || one == other
            })
        };
        let mut older: Vec<(u64, u32, CloseReason)> = self
            .index
            .slots(hash)
            .filter_map(|other| Some((other, self.slab.get(other)?)))
            .filter(|(_, entry)| entry.ends == new.ends && entry.id < new.id && same_path(entry))
            .filter_map(|(other, entry)| match entry.state {
                State::Tombstone => None,
                State::Closing => Some((entry.id, other, entry.close_reason())),
                State::HalfOpen | State::Active => Some((entry.id, other, CloseReason::Reused)),
            })
            .collect();
        // The index has no order of its own.
        older.sort_unstable_by_key(|(id, ..)| *id);
        for (_, other, reason) in older {
            self.close(other, reason, emit)?;
            self.remove(other);
        }
        Ok(())
    }
}
