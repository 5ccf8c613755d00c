//! One direction of a connection in sequence space: segments in, bytes in order out.
//!
//! Offsets here are 64 bits wide and begin at [`ORIGIN`], so that earlier bytes than the first one seen
//! have a place, and streams may be longer than 4 GiB. What leaves is counted from the stream's start.
//!
//! The first copy of a byte wins. In order, bytes go straight from the packet to the sink (`intake.rs`). A
//! hole waits until the other side acknowledged it (`holes::GAP_ALLOWANCE` later it is a gap), until
//! too much waits behind it, or until the end (`holes.rs`). Data far ahead of anything plausible waits for
//! confirmation, so that one forged segment can't declare a gap over all that follows.

mod holes;
mod intake;
mod pair;

pub(super) use pair::{flush, wait_together};

use super::entry::Syns;
use super::held::Held;
use super::options::FlowOptions;
use super::out::Out;
use super::recent::{Fingerprint, Recent};
use super::tail::Tail;
use crate::decode::{Flags, Segment};
use crate::event::{GapReason, SinkError, TcpNote, Totals};
use crate::lasting::{Lasting, Place, PlaceOrCopy};
use crate::time::Timestamp;

/// Internal offset of the byte at `base`.
const ORIGIN: u64 = 1 << 32;

/// Data further ahead than this of all that was sent or acknowledged is not believed at once.
const PLAUSIBLE: u64 = 64 << 20;

/// So many bytes are believed to be missing because a segment without any says so.
const EVIDENT: u64 = 1 << 20;

/// One direction.
#[derive(Debug, Default)]
pub(super) struct Stream {
    /// Sequence number at [`ORIGIN`].
    base: Option<u32>,
    /// Internal offset of the stream's first byte, once that is settled.
    start: Option<u64>,
    /// Internal offset of the next byte to give out; [`ORIGIN`] while there is a base but no start.
    next: u64,
    /// End of the furthest data believed.
    highest: u64,
    /// Where the stream begins at the latest, by what was said before any byte of it came. Whether that may be one too
    /// low, as the number of a keep-alive is.
    begins: Option<(u64, bool)>,
    /// Initial sequence number of another answer to the same SYN, which may be the stream's.
    instead: Option<u32>,
    /// What the other side acknowledged, as far as believed.
    acked: Option<u64>,
    /// When it last acknowledged more than before, in the table's time.
    acked_at: Timestamp,
    /// What this side sent by the number of a segment without bytes, as far as believed.
    told: u64,
    /// It acknowledges, be it what came before the start: it is in the capture, and will acknowledge what follows.
    heard: bool,
    fin: Option<u64>,
    /// A FIN outside the window: nothing, unless it is acknowledged.
    doubtful_fin: Option<u64>,
    /// Where a reset stands that was believed.
    reset_at: Option<u64>,
    ended: bool,
    held: Held,
    tail: Tail,
    recent: Recent,
    /// Since when data waits behind a hole (or for the start).
    waiting: Option<Timestamp>,
    /// Since when the hole at `next` is known to be acknowledged.
    acknowledged: Option<Timestamp>,
    /// Nothing is given out before it is known what is missing here or in the other direction.
    waits: bool,
    /// Last acknowledgement and window that this side sent, to tell repeats.
    sent: Option<(u32, u16)>,
    window_scale: u8,
    /// When [`Stream::progress`] wants to be called at the latest, in the table's time.
    pub(super) due: Option<Timestamp>,
    pub(super) totals: Totals,
}

impl Stream {
    /// Memory accounted beside the struct itself.
    pub(super) fn cost(&self) -> usize {
        self.held.cost() + self.tail.cost() + self.recent.cost()
    }

    /// Whether the other side has acknowledged anything of it.
    pub(super) fn is_acknowledged(&self) -> bool {
        self.acked.is_some()
    }

    /// Whether anything of this side was seen.
    pub(super) fn seen(&self) -> bool {
        self.totals.packets > 0
    }

    /// Nothing follows any more.
    pub(super) fn ended(&self) -> bool {
        self.ended
    }

    /// Bytes at its end that the other side, where it was seen, never acknowledged.
    pub(super) fn unacknowledged(&self, other: &Self) -> u64 {
        let told = self.acked.or(self.start).filter(|_| other.seen());
        told.map_or(0, |told| self.next.saturating_sub(told))
    }

    /// A first sequence number: offsets count from it.
    fn base(&mut self, first: u32) {
        if self.base.is_none() {
            self.base = Some(first);
            self.next = ORIGIN;
        }
    }

    /// The sequence number that would come next, for as long as anything is known of it.
    pub(super) fn next_seq(&self) -> Option<u32> {
        Some(self.base?.wrapping_add(self.next.wrapping_sub(ORIGIN) as u32))
    }

    /// Internal offset of a sequence number: the one nearest to where the stream stands.
    fn offset_of(&self, seq: u32) -> Option<u64> {
        let delta = i64::from(seq.wrapping_sub(self.next_seq()?) as i32);
        self.next.checked_add_signed(delta)
    }

    /// How far `seq` lies from where this stream goes on; `None` where that is not known.
    pub(super) fn distance(&self, seq: u32) -> Option<u64> {
        Some(self.offset_of(seq)?.abs_diff(self.next))
    }

    /// Whether a SYN-ACK with this acknowledgement answers this stream's SYN. With that, data may have been sent (RFC
    /// 7413), and as long as the server said nothing else, that is what it may acknowledge, too.
    pub(super) fn answered_by(&self, ack: u32, server: &Self) -> bool {
        let (Some(start), Some(offset)) = (self.start, self.offset_of(ack)) else {
            return false;
        };
        offset == start || server.nothing_said() && (start..=self.highest.max(self.next)).contains(&offset)
    }

    /// Whether the stream has ended before this number, its FIN counted.
    pub(super) fn ended_before(&self, seq: u32) -> bool {
        self.fin.is_some() && self.ended && self.offset_of(seq).is_some_and(|offset| offset > self.next + 1)
    }

    /// Whether a segment brings bytes behind all that came before.
    pub(super) fn goes_on(&self, segment: &Segment<'_>) -> bool {
        let end = segment.seq.wrapping_add(segment.payload_wire_len);
        segment.payload_wire_len > 0 && self.offset_of(end).is_some_and(|end| end > self.highest)
    }

    /// The stream begins behind this initial sequence number.
    fn begin(&mut self, isn: u32, out: Option<&mut Out<'_, '_>>) -> Result<(), SinkError> {
        let first = isn.wrapping_add(1);
        self.totals.syn = true;
        if self.start.is_none() {
            let begin = self.offset_of(first).unwrap_or(ORIGIN);
            self.base(first);
            let before = self.held.drop_before(begin);
            self.settle(begin);
            if let Some(out) = out.filter(|_| before > 0) {
                self.outside(before, out)?;
            }
        }
        Ok(())
    }

    /// Whether nothing of this stream is known but its SYN.
    fn nothing_said(&self) -> bool {
        self.acked.is_none() && self.totals.bytes == 0 && self.held.is_empty() && !self.totals.fin
    }

    /// Another SYN of the same connection, with another number. Which one counts the next packet will say, if none has.
    /// What it carries has no place yet, and is told of as lying outside.
    pub(super) fn begin_instead(
        &mut self,
        syn: &Segment<'_>,
        fingerprint: &Fingerprint,
        out: &mut Out<'_, '_>,
    ) -> Result<(), SinkError> {
        self.totals.packets += 1;
        self.recent.push(*fingerprint);
        self.instead = Some(syn.seq).filter(|_| self.nothing_said());
        out.note(TcpNote::SynIgnored)?;
        self.outside(syn.payload_wire_len.into(), out)
    }

    /// Whether there are two initial sequence numbers to choose from.
    pub(super) fn is_undecided(&self) -> bool {
        self.instead.is_some()
    }

    /// Decides between two initial sequence numbers by the first number that is sent or acknowledged: it lies nearer behind
    /// the one that counts. Returns that, if it is not the first.
    pub(super) fn choose(&mut self, seq: u32) -> Option<u32> {
        let isn = self.instead.take()?;
        let first = isn.wrapping_add(1);
        let nearer = seq.wrapping_sub(first) < seq.wrapping_sub(self.base?);
        // Nothing has a place yet but the stream's start, which is at its base.
        nearer.then(|| {
            self.base = Some(first);
            isn
        })
    }

    /// Takes over what the table saw while the connection was half open.
    pub(super) fn begin_from_table(&mut self, isn: u32, syns: &Syns) {
        // Nothing is held yet, so that there is nothing to tell.
        let _ = self.begin(isn, None);
        self.window_scale = syns.window_scale.min(14);
        self.totals.packets = u64::from(syns.count);
        self.totals.retransmissions = u64::from(syns.count.saturating_sub(1));
        self.totals.duplicate_captures = u64::from(syns.copies);
        self.recent.push(syns.fingerprint);
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
        let flags = segment.flags;
        if flags.has(Flags::SYN) && segment.payload_wire_len == 0 {
            self.totals.syn
        } else if segment.payload_wire_len > 0 || flags.has(Flags::FIN) {
            let first = segment.seq.wrapping_add(u32::from(flags.has(Flags::SYN)));
            let end = self
                .offset_of(first)
                .map(|offset| offset + u64::from(segment.payload_wire_len));
            end.is_some_and(|end| end <= self.highest)
        } else {
            let not_ahead = |(ack, _): (u32, u16)| segment.ack.wrapping_sub(ack) as i32 <= 0;
            flags.has(Flags::RST) || self.sent.is_some_and(not_ahead)
        }
    }

    /// Whether this very packet was captured before. One that conflicts with the stream is a copy of one that did.
    pub(super) fn duplicate(
        &self,
        segment: &Segment<'_>,
        fingerprint: &Fingerprint,
        lasting: &Lasting,
    ) -> bool {
        self.repeats(segment)
            && self.recent.has(fingerprint)
            && (!self.contradicts(segment, lasting) || self.recent.has_conflicting(fingerprint))
    }

    /// Whether what is remembered of the stream has other bytes in the segment's place. Reads all of them: only
    /// asked where a sample says that they came before.
    pub(super) fn contradicts(&self, segment: &Segment<'_>, lasting: &Lasting) -> bool {
        // A byte alone may be a keep-alive's, and what a reset carries is no stream's.
        if segment.payload.len() <= 1 || segment.flags.has(Flags::RST) {
            return false;
        }
        let syn = segment.flags.has(Flags::SYN);
        let offset = self.offset_of(segment.seq.wrapping_add(u32::from(syn)));
        offset.is_some_and(|offset| {
            self.tail.conflict(offset, segment.payload, lasting).is_some()
                || self.held.contradicts(offset, segment.payload, lasting)
        })
    }

    /// Whether this very packet was captured before, along whatever path, by all that samples tell.
    pub(super) fn has_seen(&self, fingerprint: &Fingerprint) -> bool {
        self.recent.has(fingerprint)
    }

    /// Gives out bytes at `next`, and what the snaplen cut behind them as a gap.
    fn give(
        &mut self,
        (bytes, place): (&[u8], Option<Place>),
        cut: u32,
        time: Timestamp,
        out: &mut Out<'_, '_>,
    ) -> Result<(), SinkError> {
        let start = self.start.unwrap_or(self.next);
        self.acknowledged = None;
        if !bytes.is_empty() {
            let offset = self.next - start;
            self.next += bytes.len() as u64;
            self.highest = self.highest.max(self.next);
            self.totals.bytes += bytes.len() as u64;
            self.tail.push(bytes, place, self.next);
            out.data(offset, time, bytes)?;
        }
        if cut > 0 {
            self.gap(self.next + u64::from(cut), GapReason::Snaplen, time, out)?;
        }
        Ok(())
    }

    /// Gives out what is held and has become due.
    fn drain(&mut self, options: &FlowOptions, out: &mut Out<'_, '_>) -> Result<(), SinkError> {
        if self.waits {
            return Ok(());
        }
        while !self.held.is_empty() {
            if !self.give_first(options, out)? {
                return Ok(());
            }
        }
        self.waiting = None;
        Ok(())
    }

    /// Gives out the first piece that is held, if it goes on where the stream stands.
    fn give_first(&mut self, options: &FlowOptions, out: &mut Out<'_, '_>) -> Result<bool, SinkError> {
        let Some(piece) = self.held.take_at(self.next) else {
            return Ok(false);
        };
        let place = match piece.bytes {
            PlaceOrCopy::There(place) => Some(place),
            PlaceOrCopy::Copied(_) => None,
        };
        let bytes = options.lasting.kept(&piece.bytes);
        self.give((bytes, place), piece.cut, piece.came.time, out)?;
        Ok(true)
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

    /// Bytes that are no part of the stream.
    fn outside(&mut self, len: u64, out: &mut Out<'_, '_>) -> Result<(), SinkError> {
        if len == 0 {
            return Ok(());
        }
        self.totals.outside_bytes += len;
        out.note(TcpNote::OutsideStream { len })
    }
}
