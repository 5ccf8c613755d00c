//! A segment for a connection that has its streams.

use super::{Arrival, FlowTable};
use crate::decode::{Flags, Segment};
use crate::event::{ClientKnown, Emit, SinkError, TcpNote};
use crate::flow::entry::{Active, Entry, Phase, State};
use crate::flow::out::Out;
use crate::flow::stream;

/// Finished connections that wait for late segments, at the most: tens of milliseconds where tens of thousands end in a
/// second. What is kept of more of them, here and in the sinks, would leave the processor's cache until their end comes.
const LINGERING: usize = 1024;

impl FlowTable {
    pub(super) fn live(
        &mut self,
        slot: u32,
        arrival: &Arrival<'_>,
        emit: &mut Emit<'_>,
    ) -> Result<(), SinkError> {
        let Arrival { segment, side, .. } = *arrival;
        let flags = segment.flags;
        let Some(entry) = self.slab.get_mut(slot) else {
            return Ok(());
        };
        entry.scopes.set_once(side, segment.scope);
        entry.last_time = entry.last_time.max(segment.time);
        entry.touched = arrival.now;
        if flags.has(Flags::SYN) && entry.isn.get(side).is_none() {
            late_syn(entry, slot, arrival);
        }
        let own_isn = entry.isn.get(side);
        let other_syn = flags.has(Flags::SYN) && own_isn.is_some_and(|isn| isn != segment.seq);
        let chosen = entry
            .active_mut()
            .filter(|_| !other_syn)
            .and_then(|active| active.choose(side, segment));
        if let Some((side, isn)) = chosen {
            entry.isn.set(side, isn);
        }
        let client_isn = entry.isn.get(1 - side);
        let Some(Active {
            identity,
            streams,
            first_fin,
            reset,
            handshake,
            ..
        }) = entry.active_mut()
        else {
            return Ok(());
        };
        let [zero, one] = streams;
        let (own, other) = if side == 0 { (zero, one) } else { (one, zero) };
        let mut out = Out {
            identity,
            side,
            time: segment.time,
            now: arrival.now,
            arrival: self.stats.segments,
            emit,
            opened: &mut self.stats.opened,
        };
        if own.duplicate(segment, &arrival.fingerprint, &self.options.lasting) {
            own.totals.duplicate_captures += 1;
            out.note(TcpNote::DuplicateCapture)?;
            self.touch_in_place(slot);
            return Ok(());
        }
        if other_syn {
            own.begin_instead(segment, &arrival.fingerprint, &mut out)?;
            self.touch_in_place(slot);
            return Ok(());
        }
        let is_reset = flags.has(Flags::RST);
        if flags.has(Flags::ACK) && !is_reset {
            // First, so that what was waiting for it comes before the answer to it.
            out.side = 1 - side;
            let all = own.totals.syn || flags.has(Flags::SYN);
            other.acknowledge(segment.ack, all, &self.options, &mut out)?;
            out.side = side;
            own.wait_for(other);
        }
        let bare;
        let what = if is_reset {
            // What a reset carries is a diagnostic text at best (RFC 9293, section 3.5.3), never stream.
            bare = Segment {
                payload: &[],
                payload_wire_len: 0,
                ..*segment
            };
            &bare
        } else if flags.has(Flags::FIN) && !own.fin_fits(segment, other) {
            out.note(TcpNote::FinIgnored)?;
            own.doubt_fin(segment);
            bare = Segment {
                flags: flags.without(Flags::FIN),
                ..*segment
            };
            &bare
        } else {
            segment
        };
        own.segment(what, &arrival.fingerprint, &self.options, &mut out)?;
        if own.totals.fin && !other.totals.fin {
            *first_fin = Some(side);
        }
        if own.totals.syn && other.totals.syn && flags.has(Flags::ACK) && side == out.identity.client_side {
            let first = client_isn.map(|isn| isn.wrapping_add(1));
            *handshake |= first.is_some_and(|first| segment.ack.wrapping_sub(first) < 1 << 31);
            if *handshake {
                // Also of one in which nobody says anything, while that lasts.
                out.open()?;
            }
        }
        if is_reset {
            let answers =
                !flags.has(Flags::ACK) || other.distance(segment.ack).is_none_or(|far| far < 1 << 30);
            if answers && own.reset_fits(segment.seq, other) {
                // Behind both FINs it only says that nobody listens any more.
                if !(own.ended() && other.ended()) {
                    reset.get_or_insert(side);
                }
                own.reset(segment.seq, other.totals.syn, &mut out)?;
            } else {
                out.note(TcpNote::ResetIgnored)?;
            }
        }
        stream::wait_together(streams, &self.options, &mut out)?;
        self.settle(slot);
        if self.list(State::Closing).len() > LINGERING
            && let Some(oldest) = self.list(State::Closing).first()
        {
            self.close_lingering(oldest, emit)?;
        }
        Ok(())
    }

    /// Brings the books up to date with what a connection's streams have become: memory, deadline, state.
    #[inline]
    pub(super) fn settle(&mut self, slot: u32) {
        let Some(entry) = self.slab.get_mut(slot) else {
            return;
        };
        let id = entry.id;
        let Some(active) = entry.active_mut() else {
            return;
        };
        let [zero, one] = &active.streams;
        let cost = Active::COST + zero.cost() + one.cost();
        self.memory = (self.memory + cost).saturating_sub(active.cost);
        active.cost = cost;
        let due = zero.due.into_iter().chain(one.due).min();
        let sooner = due.filter(|due| active.deadline.is_none_or(|set| *due < set));
        let state = if active.over() {
            State::Closing
        } else {
            State::Active
        };
        if let Some(due) = sooner {
            active.deadline = Some(due);
            self.set_deadline(due, slot, id);
        }
        self.relist(slot, state);
    }

    /// A packet that was captured before in another scope.
    pub(super) fn copy(
        &mut self,
        slot: u32,
        arrival: &Arrival<'_>,
        emit: &mut Emit<'_>,
    ) -> Result<(), SinkError> {
        let Some(entry) = self.slab.get_mut(slot) else {
            return Ok(());
        };
        match &mut entry.phase {
            Phase::HalfOpen(syns) => syns.copies = syns.copies.saturating_add(1),
            Phase::Streams(active) => {
                let Active {
                    identity, streams, ..
                } = &mut **active;
                if let Some(stream) = streams.get_mut(arrival.side) {
                    stream.totals.duplicate_captures += 1;
                }
                Out {
                    identity,
                    side: arrival.side,
                    time: arrival.segment.time,
                    now: arrival.now,
                    arrival: self.stats.segments,
                    emit,
                    opened: &mut self.stats.opened,
                }
                .note(TcpNote::DuplicateCapture)?;
            }
            Phase::Tombstone(_) => {}
        }
        Ok(())
    }
}

/// A SYN that comes behind other segments of its side: settles who is the client, if nobody was told yet.
fn late_syn(entry: &mut Entry, slot: u32, arrival: &Arrival<'_>) {
    let Arrival { segment, side, .. } = *arrival;
    entry.isn.set(side, segment.seq);
    let told = entry.active().is_none_or(|active| {
        active.identity.opened || active.identity.connection.client_known == ClientKnown::Syn
    });
    if told {
        return;
    }
    let known = if segment.flags.has(Flags::ACK) {
        (1 - side, ClientKnown::SynAck)
    } else {
        (side, ClientKnown::Syn)
    };
    let identity = entry.identity(slot, Some(known), side);
    if let Some(active) = entry.active_mut() {
        active.identity = identity;
    }
}
