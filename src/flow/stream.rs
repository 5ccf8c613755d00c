//! One direction of a connection in sequence space: segments in, bytes in order out.
//!
//! Offsets here are 64 bits wide and begin at [`ORIGIN`], so that earlier bytes than the first one seen
//! have a place, and streams may be longer than 4 GiB. What leaves is counted from the stream's start.
//!
//! The first copy of a byte wins. In order, bytes go straight from the packet to the sink. A hole waits
//! until the other side acknowledged it ([`FlowOptions::gap_allowance`] later it is a gap), until too much
//! waits behind it, or until the end. Data far ahead of anything plausible waits for confirmation, so that
//! one forged segment can't declare a gap over all that follows.

use super::held::{Held, Inserted};
use super::options::FlowOptions;
use super::out::Out;
use super::recent::{Fingerprint, Recent};
use super::tail::Tail;
use crate::decode::{Flags, Segment};
use crate::event::{EndHow, GapReason, SinkError, TcpNote, Totals};
use crate::time::Timestamp;

/// Internal offset of the byte at `base`.
const ORIGIN: u64 = 1 << 32;

/// Data further ahead than this of all that was sent or acknowledged is not believed at once.
const PLAUSIBLE: u64 = 64 << 20;

/// So many pieces in a row confirm even what looked implausible.
const CONFIRMING: usize = 4;

/// Pieces that the start of a stream without SYN waits for at the most.
const START_PIECES: usize = 16;

/// One direction.
#[derive(Debug, Default)]
pub(super) struct Stream {
    /// Sequence number at [`ORIGIN`].
    base: Option<u32>,
    /// Internal offset of the stream's first byte, once that is settled.
    start: Option<u64>,
    /// Internal offset of the next byte to give out.
    next: u64,
    /// End of the furthest data seen.
    highest: u64,
    /// What the other side acknowledged, as far as believed.
    acked: Option<u64>,
    fin: Option<u64>,
    ended: bool,
    held: Held,
    tail: Tail,
    recent: Recent,
    /// Since when data waits behind a hole (or for the start).
    waiting: Option<Timestamp>,
    /// Since when the hole is known to be acknowledged.
    acknowledged: Option<Timestamp>,
    /// Last acknowledgement and window that this side sent, to tell repeats.
    sent: Option<(u32, u16)>,
    window_scale: u8,
    /// When [`Stream::progress`] wants to be called at the latest.
    pub(super) due: Option<Timestamp>,
    pub(super) totals: Totals,
}

impl Stream {
    /// Memory accounted beside the struct itself.
    pub(super) fn cost(&self) -> usize {
        self.held.cost() + self.tail.cost() + Recent::COST
    }

    /// Whether anything of this side was seen.
    pub(super) fn seen(&self) -> bool {
        self.totals.packets > 0
    }

    /// Nothing follows any more.
    pub(super) fn ended(&self) -> bool {
        self.ended
    }

    /// FIN seen; bytes before it may be missing.
    pub(super) fn finishing(&self) -> bool {
        self.fin.is_some()
    }

    /// The sequence number that would come next, for as long as anything is known of it.
    pub(super) fn next_seq(&self) -> Option<u32> {
        let reference = if self.start.is_some() { self.next } else { ORIGIN };
        Some(self.base?.wrapping_add(reference.wrapping_sub(ORIGIN) as u32))
    }

    /// Internal offset of a sequence number: the one nearest to where the stream stands.
    fn offset_of(&self, seq: u32) -> Option<u64> {
        let reference = if self.start.is_some() { self.next } else { ORIGIN };
        let delta = i64::from(seq.wrapping_sub(self.next_seq()?) as i32);
        reference.checked_add_signed(delta)
    }

    /// How far `seq` lies from where this stream goes on; `None` where that is not known.
    pub(super) fn distance(&self, seq: u32) -> Option<u64> {
        Some(
            self.offset_of(seq)?
                .abs_diff(if self.start.is_some() { self.next } else { ORIGIN }),
        )
    }

    /// The stream begins behind this initial sequence number.
    pub(super) fn begin(&mut self, isn: u32) {
        let first = isn.wrapping_add(1);
        self.totals.syn = true;
        if self.start.is_none() {
            let begin = self.offset_of(first).unwrap_or(ORIGIN);
            self.base.get_or_insert(first);
            self.settle(begin);
        }
    }

    /// Takes over what the table saw while the connection was half open.
    pub(super) fn begin_from_table(
        &mut self,
        isn: u32,
        syns: u16,
        copies: u16,
        window_scale: u8,
        fingerprint: Fingerprint,
    ) {
        self.begin(isn);
        self.window_scale = window_scale.min(14);
        self.totals.packets = u64::from(syns);
        self.totals.retransmissions = u64::from(syns.saturating_sub(1));
        self.totals.duplicate_captures = u64::from(copies);
        self.recent.push(fingerprint);
    }

    /// Whether a SYN that was seen late can be this stream's.
    pub(super) fn late_syn_fits(&self, isn: u32) -> bool {
        let Some(begin) = self.offset_of(isn.wrapping_add(1)) else {
            return true;
        };
        match self.start {
            Some(start) => begin == start && !self.totals.syn,
            None => begin.abs_diff(ORIGIN) < (1 << 20),
        }
    }

    fn settle(&mut self, begin: u64) {
        self.start = Some(begin);
        self.next = begin;
        self.highest = self.highest.max(begin);
        self.acked = self.acked.filter(|acked| *acked >= begin);
    }

    /// Whether the segment says nothing that was not said before: the only ones for which a search for
    /// its twin is worth while.
    fn repeats(&self, segment: &Segment<'_>) -> bool {
        if segment.payload_wire_len > 0 || segment.flags.has(Flags::FIN) || segment.flags.has(Flags::SYN) {
            let first = segment.seq.wrapping_add(u32::from(segment.flags.has(Flags::SYN)));
            let end = self
                .offset_of(first)
                .map(|offset| offset + u64::from(segment.payload_wire_len));
            end.is_some_and(|end| end <= self.highest.max(if self.start.is_some() { self.next } else { 0 }))
        } else {
            segment.flags.has(Flags::RST) || self.sent == Some((segment.ack, segment.window))
        }
    }

    /// Whether this very packet was captured before.
    pub(super) fn duplicate(&self, segment: &Segment<'_>, fingerprint: &Fingerprint) -> bool {
        self.repeats(segment) && self.recent.has(fingerprint)
    }

    /// Whether this very packet was captured before, along whatever path.
    pub(super) fn has_seen(&self, fingerprint: &Fingerprint) -> bool {
        self.recent.has(fingerprint)
    }

    /// Takes a segment of this side.
    pub(super) fn segment(
        &mut self,
        segment: &Segment<'_>,
        fingerprint: Fingerprint,
        options: &FlowOptions,
        out: &mut Out<'_, '_>,
    ) -> Result<(), SinkError> {
        self.totals.packets += 1;
        let flags = segment.flags;
        let syn = flags.has(Flags::SYN);
        if syn {
            if self.totals.syn && self.start.is_some() {
                self.totals.retransmissions += 1;
                out.note(TcpNote::Retransmission { offset: 0, len: 0 })?;
            }
            self.window_scale = segment.window_scale.unwrap_or(0).min(14);
            self.begin(segment.seq);
        }
        let first = segment.seq.wrapping_add(u32::from(syn));
        self.base.get_or_insert(first);
        let offset = self.offset_of(first).unwrap_or(ORIGIN);
        let len = u64::from(segment.payload_wire_len);
        if segment.window == 0 && !flags.has(Flags::RST) && !syn {
            self.totals.zero_windows += 1;
            out.note(TcpNote::ZeroWindow)?;
        }
        let plain = !syn && !flags.has(Flags::FIN) && !flags.has(Flags::RST);
        if plain && len <= 1 && self.start.is_some() && !self.ended && offset + 1 == self.next {
            self.totals.keep_alives += 1;
            out.note(TcpNote::KeepAlive)?;
        } else if len > 0 {
            self.data(offset, segment, &fingerprint, options, out)?;
        }
        if flags.has(Flags::FIN) {
            self.totals.fin = true;
            let end = offset + len;
            let plausible = end <= self.highest.max(self.next).saturating_add(PLAUSIBLE);
            if self.fin.is_none() && plausible && end >= self.next {
                self.fin = Some(end);
                self.highest = self.highest.max(end);
            }
        }
        self.sent = Some((segment.ack, segment.window));
        self.recent.push(fingerprint);
        self.progress(segment.time, options, out)
    }

    fn data(
        &mut self,
        offset: u64,
        segment: &Segment<'_>,
        fingerprint: &Fingerprint,
        options: &FlowOptions,
        out: &mut Out<'_, '_>,
    ) -> Result<(), SinkError> {
        let time = segment.time;
        let mut bytes = segment.payload;
        let mut cut = segment
            .payload_wire_len
            .saturating_sub(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        let mut len = bytes.len() as u64 + u64::from(cut);
        if let Some(fin) = self.fin.filter(|fin| offset + len > *fin) {
            let surplus = offset + len - fin.max(offset);
            self.outside(surplus, out)?;
            len -= surplus;
            bytes = bytes
                .get(..usize::try_from(len).unwrap_or(usize::MAX).min(bytes.len()))
                .unwrap_or_default();
            cut = u32::try_from(len - bytes.len() as u64).unwrap_or(0);
            if len == 0 {
                return Ok(());
            }
        }
        let Some(start) = self.start else {
            return self.before_start(offset, bytes, cut, segment, options, out);
        };
        let mut offset = offset;
        if offset < start {
            let surplus = len.min(start - offset);
            self.outside(surplus, out)?;
            (bytes, cut) = behind(bytes, cut, surplus);
            offset += surplus;
            len -= surplus;
        }
        self.highest = self.highest.max(offset + len);
        if offset < self.next && len > 0 {
            let old = len.min(self.next - offset);
            self.again(offset, bytes, old, fingerprint, out)?;
            (bytes, cut) = behind(bytes, cut, old);
            offset += old;
            len -= old;
        }
        if len == 0 {
            return Ok(());
        }
        if self.ended {
            return self.outside(len, out);
        }
        let free = self.held.first().is_none_or(|first| first >= offset + len);
        if offset == self.next && free {
            self.give(bytes, cut, time, out)?;
            return self.drain(out);
        }
        if offset > self.next {
            self.totals.out_of_order += 1;
            out.note(TcpNote::OutOfOrder {
                offset: offset - start,
                len,
            })?;
        }
        self.hold(offset, bytes, cut, time, out)?;
        self.drain(out)
    }

    /// Data while it is not settled where the stream begins: held for a moment, unless the other side
    /// told already what it waits for.
    fn before_start(
        &mut self,
        offset: u64,
        bytes: &[u8],
        cut: u32,
        segment: &Segment<'_>,
        options: &FlowOptions,
        out: &mut Out<'_, '_>,
    ) -> Result<(), SinkError> {
        self.highest = self.highest.max(offset + u64::from(segment.payload_wire_len));
        if self.held.is_empty() && self.acked == Some(offset) {
            self.settle(offset);
            return self.give(bytes, cut, segment.time, out);
        }
        self.held.insert(offset, bytes, cut, segment.time);
        self.waiting.get_or_insert(segment.time);
        if self
            .held
            .first_run()
            .is_some_and(|(count, _)| count >= START_PIECES)
            || self.held.cost() > options.hold_per_direction
        {
            self.settle_at_held();
            self.drain(out)?;
        }
        Ok(())
    }

    fn settle_at_held(&mut self) {
        if let (None, Some(first)) = (self.start, self.held.first()) {
            self.settle(first);
        }
    }

    /// Gives out bytes at `next`, and what the snaplen cut behind them as a gap.
    fn give(
        &mut self,
        bytes: &[u8],
        cut: u32,
        time: Timestamp,
        out: &mut Out<'_, '_>,
    ) -> Result<(), SinkError> {
        let start = self.start.unwrap_or(self.next);
        if !bytes.is_empty() {
            let offset = self.next - start;
            self.next += bytes.len() as u64;
            self.totals.bytes += bytes.len() as u64;
            self.tail.push(bytes, self.next);
            out.data(offset, time, bytes)?;
        }
        if cut > 0 {
            self.gap(self.next + u64::from(cut), GapReason::Snaplen, time, out)?;
        }
        Ok(())
    }

    fn drain(&mut self, out: &mut Out<'_, '_>) -> Result<(), SinkError> {
        if self.held.is_empty() {
            self.waiting = None;
            return Ok(());
        }
        while let Some(piece) = self.held.take_at(self.next) {
            self.give(&piece.bytes, piece.cut, piece.time, out)?;
        }
        if self.held.is_empty() {
            self.waiting = None;
        }
        Ok(())
    }

    fn gap(
        &mut self,
        upto: u64,
        reason: GapReason,
        time: Timestamp,
        out: &mut Out<'_, '_>,
    ) -> Result<(), SinkError> {
        let len = upto.saturating_sub(self.next);
        if len == 0 {
            return Ok(());
        }
        let offset = self.next - self.start.unwrap_or(self.next);
        self.next = upto;
        self.highest = self.highest.max(upto);
        self.totals.gaps += 1;
        self.totals.gap_bytes += len;
        self.acknowledged = None;
        out.gap(offset, len, time, reason)
    }

    fn hold(
        &mut self,
        offset: u64,
        bytes: &[u8],
        cut: u32,
        time: Timestamp,
        out: &mut Out<'_, '_>,
    ) -> Result<(), SinkError> {
        let Inserted {
            new: _,
            same,
            conflict,
        } = self.held.insert(offset, bytes, cut, time);
        self.waiting.get_or_insert(time);
        let offset = offset - self.start.unwrap_or(offset);
        if same > 0 {
            self.retransmission(offset, same, out)?;
        }
        if conflict > 0 {
            self.conflict(offset, conflict, out)?;
        }
        Ok(())
    }

    /// Bytes that were given out (or declared missing) before.
    fn again(
        &mut self,
        offset: u64,
        bytes: &[u8],
        len: u64,
        fingerprint: &Fingerprint,
        out: &mut Out<'_, '_>,
    ) -> Result<(), SinkError> {
        let start = self.start.unwrap_or(offset);
        let old = bytes
            .get(..usize::try_from(len).unwrap_or(usize::MAX).min(bytes.len()))
            .unwrap_or_default();
        self.retransmission(offset - start, len, out)?;
        if let Some((at, run)) = self.tail.conflict(offset, old) {
            self.conflict(at - start, run, out)?;
        } else if !self.tail.covers(offset, len) && self.recent.differs(fingerprint) == Some(true) {
            self.conflict(offset - start, len, out)?;
        }
        Ok(())
    }

    fn retransmission(&mut self, offset: u64, len: u64, out: &mut Out<'_, '_>) -> Result<(), SinkError> {
        self.totals.retransmissions += 1;
        self.totals.retransmitted_bytes += len;
        out.note(TcpNote::Retransmission { offset, len })
    }

    fn conflict(&mut self, offset: u64, len: u64, out: &mut Out<'_, '_>) -> Result<(), SinkError> {
        self.totals.conflicts += 1;
        self.totals.conflict_bytes += len;
        out.note(TcpNote::Conflict { offset, len })
    }

    fn outside(&mut self, len: u64, out: &mut Out<'_, '_>) -> Result<(), SinkError> {
        self.totals.outside_bytes += len;
        out.note(TcpNote::OutsideStream { len })
    }

    /// The other side acknowledged all before `seq`.
    pub(super) fn acknowledge(
        &mut self,
        seq: u32,
        time: Timestamp,
        options: &FlowOptions,
        out: &mut Out<'_, '_>,
    ) -> Result<(), SinkError> {
        self.base.get_or_insert(seq);
        let Some(offset) = self.offset_of(seq) else {
            return Ok(());
        };
        let limit = self.highest.max(self.next).max(ORIGIN).saturating_add(PLAUSIBLE);
        if offset > limit || self.start.is_some_and(|start| offset < start) {
            return Ok(());
        }
        self.acked = self.acked.max(Some(offset));
        if self.start.is_none() && self.held.first_run().is_some_and(|(_, end)| offset >= end) {
            self.settle_at_held();
            self.drain(out)?;
        }
        if self.held.is_empty() && self.fin.is_none() {
            return Ok(());
        }
        self.progress(time, options, out)
    }

    /// Does what is due at `now`: a start to settle, gaps to declare, the end. Sets `due`.
    pub(super) fn progress(
        &mut self,
        now: Timestamp,
        options: &FlowOptions,
        out: &mut Out<'_, '_>,
    ) -> Result<(), SinkError> {
        self.due = None;
        if self.held.is_empty() && self.fin.is_none() {
            return Ok(());
        }
        if self.start.is_none() {
            let due = self.waiting.map(|since| since + options.start_hold);
            if self.held.is_empty() {
                // A FIN is all that was seen.
                if let Some(fin) = self.fin {
                    self.settle(fin);
                }
            } else if due.is_some_and(|due| due > now) {
                self.due = due;
                return Ok(());
            }
            self.settle_at_held();
            self.drain(out)?;
        }
        while let Some(target) = self.hole_end() {
            if !self.believable(target) {
                break;
            }
            let full = self.held.cost() > options.hold_per_direction;
            let due = if self.acked.is_some_and(|acked| acked >= target) {
                Some(*self.acknowledged.get_or_insert(now) + options.gap_allowance)
            } else if self.acked.is_none() {
                self.waiting.map(|since| since + options.one_sided_allowance)
            } else {
                None
            };
            if !full && due.is_none_or(|due| due > now) {
                self.due = due;
                return Ok(());
            }
            self.gap(target, GapReason::Lost, now, out)?;
            self.drain(out)?;
            self.waiting = self.waiting.map(|_| now);
        }
        self.finish_at_fin(out)
    }

    /// Where the hole at `next` ends: at the first held piece, or at the FIN.
    fn hole_end(&self) -> Option<u64> {
        self.held
            .first()
            .or(self.fin)
            .filter(|end| *end > self.next && !self.ended)
    }

    /// Whether a hole may be declared up to `target`: not on the word of a lone segment far ahead.
    fn believable(&self, target: u64) -> bool {
        target <= self.next.max(self.acked.unwrap_or(0)).saturating_add(PLAUSIBLE)
            || self
                .held
                .first_run()
                .is_some_and(|(count, _)| count >= CONFIRMING)
    }

    fn finish_at_fin(&mut self, out: &mut Out<'_, '_>) -> Result<(), SinkError> {
        if self.fin == Some(self.next) && !self.ended && self.start.is_some() {
            self.ended = true;
            out.end(EndHow::Fin)?;
        }
        Ok(())
    }

    /// Whether a reset from this side fits what is known of its sequence numbers (RFC 9293,
    /// section 3.10.7.4, as far as an observer can tell): from what the other side acknowledged up to the
    /// end of the window that it offers.
    pub(super) fn reset_fits(&self, seq: u32, other: &Self) -> bool {
        let Some(offset) = self.offset_of(seq) else {
            return true;
        };
        if self.start.is_none() {
            return offset.abs_diff(self.highest.max(ORIGIN)) <= 1 << 20;
        }
        let window = other
            .sent
            .map_or(0, |(_, window)| u64::from(window) << other.window_scale)
            .max(65_535);
        let from = self
            .acked
            .unwrap_or(self.next.saturating_sub(window))
            .min(self.next.saturating_sub(1));
        offset >= from && offset <= self.highest.max(self.next) + window
    }

    /// A believed reset: over at once, unless bytes before it may still come.
    pub(super) fn reset(&mut self, out: &mut Out<'_, '_>) -> Result<(), SinkError> {
        self.totals.reset = true;
        if self.held.is_empty() && !self.ended {
            self.ended = true;
            out.end(EndHow::Reset)?;
        }
        Ok(())
    }

    /// The connection is over: gives out what is held, declares what is missing.
    pub(super) fn flush(&mut self, now: Timestamp, out: &mut Out<'_, '_>) -> Result<(), SinkError> {
        self.settle_at_held();
        if self.start.is_none() {
            return Ok(());
        }
        self.drain(out)?;
        while let Some(target) = self.hole_end() {
            if !self.believable(target) {
                let dropped = self.held.drop_from(target);
                if dropped == 0 {
                    break;
                }
                self.outside(dropped, out)?;
                continue;
            }
            self.gap(target, GapReason::Lost, now, out)?;
            self.drain(out)?;
        }
        // One acknowledged number more than there are bytes is a FIN that was not captured.
        if let Some(acked) = self
            .acked
            .filter(|acked| self.fin.is_none() && !self.ended && *acked > self.next + 1)
        {
            self.gap(acked, GapReason::Lost, now, out)?;
        }
        self.finish_at_fin(out)?;
        if self.totals.reset && !self.ended {
            self.ended = true;
            out.end(EndHow::Reset)?;
        }
        Ok(())
    }
}

/// What is left of a segment's content behind its first `skip` bytes.
fn behind(bytes: &[u8], cut: u32, skip: u64) -> (&[u8], u32) {
    let skipped = usize::try_from(skip).unwrap_or(usize::MAX).min(bytes.len());
    let surplus = u32::try_from(skip - skipped as u64).unwrap_or(u32::MAX);
    (
        bytes.get(skipped..).unwrap_or_default(),
        cut.saturating_sub(surplus),
    )
}
