//! The end of a connection: what is told of it, and what stays.

use super::FlowTable;
use crate::event::{CloseReason, Closing, Emit, Event, SinkError};
use crate::flow::entry::{Active, Entry, Phase, Sides, State};
use crate::flow::out::{Identity, Out};
use crate::flow::stream::{self, Stream};
use crate::time::Timestamp;

impl FlowTable {
    /// Tells the end of a connection; what stays is a tombstone, where late segments may be expected.
    pub(super) fn close(
        &mut self,
        slot: u32,
        reason: CloseReason,
        emit: &mut Emit<'_>,
    ) -> Result<(), SinkError> {
        self.close_at(self.clock.now(), slot, reason, emit)
    }

    /// The same where it was over at `now`, in the table's time, whenever that is noticed.
    pub(super) fn close_at(
        &mut self,
        now: Timestamp,
        slot: u32,
        reason: CloseReason,
        emit: &mut Emit<'_>,
    ) -> Result<(), SinkError> {
        let time = self.clock.packet_time(now);
        let Some(entry) = self.slab.get_mut(slot) else {
            return Ok(());
        };
        let phase = std::mem::replace(&mut entry.phase, Phase::Tombstone(Sides::default()));
        // Where they are: they are large, and connections many.
        let (mut active, mut alone);
        let mut closing = Closing {
            reason,
            last_time: entry.last_time,
            handshake: false,
            first_fin: None,
            totals: Default::default(),
        };
        let identity = match phase {
            Phase::Tombstone(_) => return Ok(()),
            Phase::Streams(streams) => {
                active = streams;
                let Active {
                    identity,
                    streams,
                    first_fin,
                    handshake,
                    cost,
                    ..
                } = &mut *active;
                self.memory = self.memory.saturating_sub(*cost);
                let mut ends = Sides::default();
                let mut out = Out {
                    identity,
                    side: 0,
                    time,
                    now,
                    arrival: self.stats.segments,
                    emit,
                    opened: &mut self.stats.opened,
                };
                stream::flush(streams, &self.options, &mut out)?;
                for (side, stream) in streams.iter().enumerate() {
                    if let Some(seq) = stream.next_seq() {
                        ends.set(side, seq);
                    }
                }
                entry.phase = Phase::Tombstone(ends);
                if matches!(reason, CloseReason::Timeout | CloseReason::CaptureEnd)
                    && streams.iter().all(|stream| stream.ended() || !stream.seen())
                {
                    // All that was missing were bytes before a FIN.
                    closing.reason = CloseReason::Fin;
                }
                closing.first_fin = first_fin.map(|side| identity.direction(side));
                let [zero, one] = streams;
                zero.totals.unacknowledged = zero.unacknowledged(one);
                one.totals.unacknowledged = one.unacknowledged(zero);
                closing.totals = if identity.client_side == 0 {
                    [zero.totals, one.totals]
                } else {
                    [one.totals, zero.totals]
                };
                let alone = |one: &Stream, other: &Stream| {
                    !other.seen() && (one.totals.bytes > 0 || other.is_acknowledged())
                };
                self.stats.one_sided += u64::from(alone(zero, one) || alone(one, zero));
                closing.handshake = *handshake;
                identity
            }
            Phase::HalfOpen(syns) => {
                let speaker = usize::from(entry.isn.get(0).is_none());
                let [totals, _] = &mut closing.totals;
                totals.packets = u64::from(syns.count);
                totals.retransmissions = u64::from(syns.count.saturating_sub(1));
                totals.duplicate_captures = u64::from(syns.copies);
                totals.syn = true;
                self.memory = self.memory.saturating_sub(syns.cost());
                alone = Identity {
                    opened: syns.told,
                    ..entry.identity(slot, None, speaker)
                };
                &mut alone
            }
        };
        let mut out = Out {
            identity,
            side: 0,
            time,
            now,
            arrival: self.stats.segments,
            emit,
            opened: &mut self.stats.opened,
        };
        out.open()?;
        self.stats.closed += 1;
        closing.totals.iter().for_each(|totals| self.stats.add(totals));
        emit(&identity.connection, &Event::Closed(&closing))?;
        match closing.reason {
            CloseReason::Fin | CloseReason::Reset(_) => self.relist(slot, State::Tombstone),
            CloseReason::Reused | CloseReason::Timeout | CloseReason::Evicted | CloseReason::CaptureEnd => {
                self.remove(slot);
            }
        }
        Ok(())
    }

    /// The linger of a finished connection is over.
    pub(super) fn close_lingering(&mut self, slot: u32, emit: &mut Emit<'_>) -> Result<(), SinkError> {
        let reason = self.slab.get(slot).map(Entry::close_reason);
        reason.map_or(Ok(()), |reason| self.close(slot, reason, emit))
    }

    /// The capture is over.
    pub(super) fn close_at_end(&mut self, slot: u32, emit: &mut Emit<'_>) -> Result<(), SinkError> {
        match self.slab.get(slot).map(|entry| entry.state) {
            None | Some(State::Tombstone) => Ok(()),
            Some(State::Closing) => self.close_lingering(slot, emit),
            Some(State::HalfOpen | State::Active) => self.close(slot, CloseReason::CaptureEnd, emit),
        }
    }
}
