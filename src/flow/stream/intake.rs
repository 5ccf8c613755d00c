//! What a segment brings to a stream: bytes in order, early, again, or outside of it.

use std::time::Duration;

use super::{EVIDENT, Fingerprint, FlowOptions, ORIGIN, Out, PLAUSIBLE, Stream};
use crate::decode::{Flags, Segment};
use crate::event::{SinkError, TcpNote};
use crate::flow::held::{Came, Inserted};
use crate::time::Timestamp;

/// Pieces that the start of a stream without SYN waits for at the most.
const START_PIECES: usize = 16;

/// A keep-alive comes no sooner than this after all was acknowledged; systems let that be set to seconds.
const KEEP_ALIVE_AFTER: Duration = Duration::from_millis(500);

/// A run of bytes at an internal offset, with as many more behind them as the snaplen cut.
#[derive(Debug, Clone, Copy)]
struct Chunk<'a> {
    offset: u64,
    bytes: &'a [u8],
    cut: u32,
}

impl<'a> Chunk<'a> {
    fn len(&self) -> u64 {
        self.bytes.len() as u64 + u64::from(self.cut)
    }

    fn end(&self) -> u64 {
        self.offset + self.len()
    }

    /// Its first `len` bytes, and what is left behind them.
    fn split(self, len: u64) -> (Self, Self) {
        let len = len.min(self.len());
        let captured = usize::try_from(len).unwrap_or(usize::MAX).min(self.bytes.len());
        let (bytes, rest) = self.bytes.split_at(captured);
        let cut = u32::try_from(len - captured as u64).unwrap_or(u32::MAX);
        let first = Self { bytes, cut, ..self };
        let rest = Self {
            offset: self.offset + len,
            bytes: rest,
            cut: self.cut - cut.min(self.cut),
        };
        (first, rest)
    }
}

impl Stream {
    /// Takes a segment of this side.
    pub(in crate::flow) fn segment(
        &mut self,
        segment: &Segment<'_>,
        fingerprint: &Fingerprint,
        options: &FlowOptions,
        out: &mut Out<'_, '_>,
    ) -> Result<(), SinkError> {
        self.totals.packets += 1;
        let conflicts = self.totals.conflicts;
        let flags = segment.flags;
        let syn = flags.has(Flags::SYN);
        if syn {
            if self.totals.syn && self.start.is_some() {
                self.totals.retransmissions += 1;
                out.note(TcpNote::Retransmission { offset: 0, len: 0 })?;
            }
            self.window_scale = segment.window_scale.unwrap_or(0).min(14);
            self.begin(segment.seq, Some(out))?;
            // What overtook it waits for nothing any more.
            self.drain(options, out)?;
        }
        let first = segment.seq.wrapping_add(u32::from(syn));
        self.base(first);
        let offset = self.offset_of(first).unwrap_or(ORIGIN);
        let len = u64::from(segment.payload_wire_len);
        if segment.window == 0 && !flags.has(Flags::RST) && !syn {
            self.totals.zero_windows += 1;
            out.note(TcpNote::ZeroWindow)?;
        }
        let plain = !syn && !flags.has(Flags::FIN) && !flags.has(Flags::RST);
        if plain && len <= 1 && !self.ended && self.keeps_alive(offset, segment, out.now) {
            self.totals.keep_alives += 1;
            out.note(TcpNote::KeepAlive)?;
        } else if len > 0 {
            self.data(offset, segment, fingerprint, options, out)?;
        } else if plain {
            self.begins_by(offset, true);
            if offset <= self.highest.max(self.next).saturating_add(EVIDENT) {
                self.told = self.told.max(offset);
            }
        }
        if flags.has(Flags::FIN) {
            self.totals.fin = true;
            let end = offset + len;
            if self.fin.is_none() && self.plausible(end) && (self.start.is_none() || end >= self.next) {
                self.fin = Some(end);
                self.highest = self.highest.max(end);
                if self.start.is_none() {
                    self.waiting.get_or_insert(out.now);
                }
            }
        }
        self.sent = Some((segment.ack, segment.window));
        self.recent.push(*fingerprint);
        if self.totals.conflicts != conflicts {
            self.recent.last_conflicts();
        }
        self.progress(options, out)
    }

    /// Whether a segment of a byte at the most repeats what was sent and acknowledged long ago (RFC 1122, section
    /// 4.2.3.6). Its byte is not the one that was sent. Where that one is not known, a byte by itself is data if it is
    /// pushed, as all that ends what was written is, or if it was acknowledged just now: packets of both sides may be
    /// captured in another order than they were sent.
    fn keeps_alive(&self, offset: u64, segment: &Segment<'_>, now: Timestamp) -> bool {
        if self.start.is_some() && offset + 1 == self.next {
            return true;
        }
        let idle = segment.payload_wire_len == 1 && !segment.flags.has(Flags::PSH);
        let acknowledged = self.acked == Some(offset + 1) && now.apart(self.acked_at) >= KEEP_ALIVE_AFTER;
        match self.start {
            Some(_) => idle && acknowledged && offset > self.next,
            None => {
                let first = self.held.is_empty() && self.acked.is_none() && segment.payload == [0];
                idle && (acknowledged || first)
            }
        }
    }

    /// Whether data up to `end` may be this stream's, by all that is known of it.
    fn plausible(&self, end: u64) -> bool {
        end <= self.highest.max(self.next).saturating_add(PLAUSIBLE)
    }

    fn data(
        &mut self,
        offset: u64,
        segment: &Segment<'_>,
        fingerprint: &Fingerprint,
        options: &FlowOptions,
        out: &mut Out<'_, '_>,
    ) -> Result<(), SinkError> {
        let captured = u32::try_from(segment.payload.len()).unwrap_or(u32::MAX);
        let mut chunk = Chunk {
            offset,
            bytes: segment.payload,
            cut: segment.payload_wire_len.saturating_sub(captured),
        };
        if let Some(fin) = self.fin.filter(|fin| chunk.end() > *fin) {
            let (inside, behind) = chunk.split(fin.saturating_sub(offset));
            self.outside(behind.len(), out)?;
            chunk = inside;
        }
        let Some(start) = self.start else {
            return self.before_start(chunk, segment, options, out);
        };
        if chunk.offset < start {
            let (before, inside) = chunk.split(start - chunk.offset);
            self.outside(before.len(), out)?;
            chunk = inside;
        }
        let highest = self.highest;
        if self.plausible(chunk.end()) {
            self.highest = self.highest.max(chunk.end());
        }
        if chunk.offset < self.next {
            let (old, new) = chunk.split(self.next - chunk.offset);
            self.again(old, fingerprint, options, out)?;
            chunk = new;
        }
        if chunk.len() == 0 {
            return Ok(());
        }
        if self.ended {
            return self.outside(chunk.len(), out);
        }
        if !self.waits
            && chunk.offset == self.next
            && self.held.first().is_none_or(|first| first >= chunk.end())
        {
            let place = options.lasting.place(chunk.bytes);
            self.give((chunk.bytes, place), chunk.cut, segment.time, out)?;
        } else {
            // What follows a segment that came before its turn does not, by itself: one lost is not a thousand out of order.
            if chunk.offset > self.next && chunk.offset != highest {
                self.totals.out_of_order += 1;
                out.note(TcpNote::OutOfOrder {
                    offset: chunk.offset - start,
                    len: chunk.len(),
                })?;
            }
            self.hold(chunk, segment, options, out)?;
        }
        self.drain(options, out)
    }

    /// Data while it is not settled where the stream begins: held for a moment, unless the other side
    /// told already what it waits for.
    fn before_start(
        &mut self,
        chunk: Chunk<'_>,
        segment: &Segment<'_>,
        options: &FlowOptions,
        out: &mut Out<'_, '_>,
    ) -> Result<(), SinkError> {
        if chunk.len() == 0 {
            return Ok(());
        }
        if self.ended {
            return self.outside(chunk.len(), out);
        }
        self.highest = self.highest.max(chunk.end());
        if self.held.is_empty() && self.acked == Some(chunk.offset) {
            self.settle(self.beginning(chunk.offset));
            if !self.waits && self.next == chunk.offset {
                let place = options.lasting.place(chunk.bytes);
                return self.give((chunk.bytes, place), chunk.cut, segment.time, out);
            }
        }
        self.hold(chunk, segment, options, out)?;
        if self.held.begins_with(START_PIECES) || self.held.cost() > options.hold_per_direction {
            self.settle_at_held();
            self.drain(options, out)?;
        }
        Ok(())
    }

    fn hold(
        &mut self,
        chunk: Chunk<'_>,
        segment: &Segment<'_>,
        options: &FlowOptions,
        out: &mut Out<'_, '_>,
    ) -> Result<(), SinkError> {
        let came = Came {
            time: segment.time,
            arrival: out.arrival,
        };
        let Inserted {
            new: _,
            same,
            conflict,
        } = self
            .held
            .insert(chunk.offset, chunk.bytes, chunk.cut, came, &options.lasting);
        self.waiting.get_or_insert(out.now);
        let offset = chunk.offset - self.start.unwrap_or(chunk.offset);
        if same > 0 {
            self.retransmission(offset, same, out)?;
        }
        if let Some((first, len)) = conflict {
            self.conflict(first - (chunk.offset - offset), len, out)?;
        }
        Ok(())
    }

    /// Bytes that were given out (or declared missing) before.
    fn again(
        &mut self,
        old: Chunk<'_>,
        fingerprint: &Fingerprint,
        options: &FlowOptions,
        out: &mut Out<'_, '_>,
    ) -> Result<(), SinkError> {
        if old.len() == 0 {
            return Ok(());
        }
        let start = self.start.unwrap_or(old.offset);
        self.retransmission(old.offset - start, old.len(), out)?;
        if let Some((at, run)) = self.tail.conflict(old.offset, old.bytes, &options.lasting) {
            self.conflict(at - start, run, out)?;
        } else if !self.tail.covers(old.offset, old.len()) && self.recent.differs(fingerprint) == Some(true) {
            self.conflict(old.offset - start, old.len(), out)?;
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
}
