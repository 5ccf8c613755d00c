//! What a stream does about what is missing: how long it waits, when it declares a gap, how it ends.

use std::time::Duration;

use super::{EVIDENT, FlowOptions, ORIGIN, Out, PLAUSIBLE, Stream};
use crate::decode::Segment;
use crate::event::{EndHow, GapReason, SinkError};

/// How long the first data of a stream without SYN waits for what may have come before it.
const START_HOLD: Duration = Duration::from_millis(50);

/// How long acknowledged but missing bytes may still turn up before they are a gap.
const GAP_ALLOWANCE: Duration = Duration::from_millis(20);

/// The same where the other side, whose acknowledgements would tell, is not in the capture.
const ONE_SIDED_ALLOWANCE: Duration = Duration::from_secs(2);

/// So many pieces in a row confirm even what looked implausible.
const CONFIRMING: usize = 4;

impl Stream {
    /// The other side acknowledged all before `seq`. `all`: its SYN was seen, so that all that it acknowledges was sent
    /// while packets were captured.
    pub(in crate::flow) fn acknowledge(
        &mut self,
        seq: u32,
        all: bool,
        options: &FlowOptions,
        out: &mut Out<'_, '_>,
    ) -> Result<(), SinkError> {
        self.heard = true;
        self.base(seq);
        let Some(offset) = self.offset_of(seq) else {
            return Ok(());
        };
        if all {
            self.begins_by(offset, false);
        }
        let limit = self.highest.max(self.next).saturating_add(PLAUSIBLE);
        let implausible = offset > limit && !self.held.holds_before(offset);
        if implausible || self.start.is_some_and(|start| offset < start) {
            return Ok(());
        }
        if self.acked.is_none_or(|acked| acked < offset) {
            self.acked = Some(offset);
            self.acked_at = out.now;
        }
        // A FIN is acknowledged by one number more.
        if let Some(fin) = self.doubtful_fin
            && offset == fin + 1
            && self.fin.is_none()
            && self.highest <= fin
        {
            (self.fin, self.highest, self.totals.fin) = (Some(fin), fin, true);
        }
        if self.held.is_empty() && self.fin.is_none() {
            return Ok(());
        }
        if self.start.is_none() && self.held.first().is_some_and(|first| offset > first) {
            // Whoever has some of it has all before it, and what it says now may be the answer.
            self.settle_at_held();
            self.drain(options, out)?;
        }
        self.progress(options, out)
    }

    /// Bytes before `offset` may have been sent before the first packet; those behind it were not.
    pub(super) fn begins_by(&mut self, offset: u64, one_too_low: bool) {
        if self.start.is_none() {
            let begins = (offset, one_too_low);
            self.begins = Some(self.begins.map_or(begins, |before| before.min(begins)));
        }
    }

    /// Where the stream begins, for want of a SYN: at what is held, or at a FIN that is all there is.
    pub(super) fn settle_at_held(&mut self) {
        if let (None, Some(first)) = (self.start, self.held.first().or(self.fin)) {
            self.settle(self.beginning(first));
        }
    }

    /// Where a stream begins whose first bytes are at `first`: before them, if bytes are known to be missing.
    pub(super) fn beginning(&self, first: u64) -> u64 {
        let begins = self.begins.filter(|(begins, one_too_low)| {
            let missing = first.saturating_sub(*begins);
            missing > u64::from(*one_too_low) && missing <= EVIDENT
        });
        begins.map_or(first, |(begins, _)| begins)
    }

    /// Does what is due: a start to settle, gaps to declare, the end. Sets `due`.
    #[inline]
    pub(in crate::flow) fn progress(
        &mut self,
        options: &FlowOptions,
        out: &mut Out<'_, '_>,
    ) -> Result<(), SinkError> {
        self.due = None;
        if self.held.is_empty() && self.fin.is_none() {
            return Ok(());
        }
        self.progress_of_waiting(options, out)
    }

    fn progress_of_waiting(&mut self, options: &FlowOptions, out: &mut Out<'_, '_>) -> Result<(), SinkError> {
        if self.start.is_none() {
            let due = self.waiting.map(|since| since + START_HOLD);
            if due.is_some_and(|due| due > out.now) {
                self.due = due;
                return Ok(());
            }
            self.settle_at_held();
            self.drain(options, out)?;
        }
        while let Some(target) = self.hole_end() {
            let full = self.held.cost() > options.hold_per_direction;
            if !self.believable(target) {
                if full {
                    self.disbelieve(target, out)?;
                    continue;
                }
                break;
            }
            let due = if self.acked.is_some_and(|acked| acked >= target) {
                Some(*self.acknowledged.get_or_insert(out.now) + GAP_ALLOWANCE)
            } else if !self.heard {
                self.waiting.map(|since| since + ONE_SIDED_ALLOWANCE)
            } else {
                None
            };
            let reason = if due.is_some_and(|due| due <= out.now) {
                GapReason::Lost
            } else if full {
                GapReason::Bound
            } else {
                self.due = due;
                return Ok(());
            };
            let time = self.held.first_came().map_or(out.time, |(_, came)| came.time);
            self.gap(target, reason, time, out)?;
            self.drain(options, out)?;
            self.waiting = self.waiting.map(|_| out.now);
        }
        self.acknowledged = None;
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
    pub(super) fn believable(&self, target: u64) -> bool {
        target <= self.next.max(self.acked.unwrap_or(0)).saturating_add(PLAUSIBLE)
            || self.held.begins_with(CONFIRMING)
    }

    /// Gives up on all that waits from `target` on. Says so, and leaves nothing to wait for.
    pub(super) fn disbelieve(&mut self, target: u64, out: &mut Out<'_, '_>) -> Result<(), SinkError> {
        let dropped = self.held.drop_from(target);
        self.fin = self.fin.filter(|fin| *fin < target);
        self.waiting = None;
        self.outside(dropped, out)
    }

    fn finish_at_fin(&mut self, out: &mut Out<'_, '_>) -> Result<(), SinkError> {
        // Data that came before a FIN which denies it stands: the stream ends behind it.
        let reached = self.fin.is_some_and(|fin| fin <= self.next);
        if reached && !self.ended && !self.waits && self.start.is_some() {
            self.end(EndHow::Fin, out)?;
        }
        Ok(())
    }

    /// Nothing follows: what still waits was none of it.
    pub(super) fn end(&mut self, how: EndHow, out: &mut Out<'_, '_>) -> Result<(), SinkError> {
        self.ended = true;
        let dropped = self.held.drop_from(self.next);
        self.outside(dropped, out)?;
        out.end(how)
    }

    /// Whether a reset from this side fits what is known of its sequence numbers (RFC 9293,
    /// section 3.10.7.4, as far as an observer can tell): from what the other side acknowledged up to the
    /// end of the window that it offers.
    pub(in crate::flow) fn reset_fits(&self, seq: u32, other: &Self) -> bool {
        let Some(offset) = self.offset_of(seq) else {
            return true;
        };
        if self.start.is_none() {
            return offset.abs_diff(self.highest.max(ORIGIN)) <= 1 << 20;
        }
        let window = other.offered();
        let from = self
            .acked
            .unwrap_or(self.next.saturating_sub(window))
            .min(self.next.saturating_sub(1));
        offset >= from && offset <= self.highest.max(self.next) + window
    }

    /// Whether a segment with a FIN ends within what the other side takes; twice that, because packets of both sides may
    /// be captured in another order than they were sent. Without the SYNs the window is not known.
    pub(in crate::flow) fn fin_fits(&self, segment: &Segment<'_>, other: &Self) -> bool {
        let end = self
            .offset_of(segment.seq)
            .map(|offset| offset + u64::from(segment.payload_wire_len));
        let from = self.next.max(self.acked.unwrap_or(0));
        let known = self.start.is_some() && other.totals.syn;
        !known || end.is_none_or(|end| end <= from + 2 * other.offered())
    }

    /// Remembers the FIN of a segment that does not fit.
    pub(in crate::flow) fn doubt_fin(&mut self, segment: &Segment<'_>) {
        self.doubtful_fin = self
            .offset_of(segment.seq)
            .map(|offset| offset + u64::from(segment.payload_wire_len));
    }

    /// The window that this side offers, or the most that it may be without its scale.
    fn offered(&self) -> u64 {
        let window = self.sent.map_or(0, |(_, window)| u64::from(window));
        (window << self.window_scale).max(65_535)
    }

    /// A believed reset at `seq`: over at once, unless bytes before it may still come. `syn`: the other side sent one.
    pub(in crate::flow) fn reset(
        &mut self,
        seq: u32,
        syn: bool,
        out: &mut Out<'_, '_>,
    ) -> Result<(), SinkError> {
        self.totals.reset = true;
        self.reset_at = self.offset_of(seq);
        if syn && self.totals.packets == 1 && !self.ended {
            self.end(EndHow::Refused, out)
        } else if self.reset_is_due() {
            self.end(EndHow::Reset, out)
        } else {
            Ok(())
        }
    }

    /// Whether a reset was believed, and all before it came.
    pub(super) fn reset_is_due(&self) -> bool {
        let all_came = self
            .reset_at
            .is_none_or(|at| self.start.is_some() && at <= self.next);
        self.totals.reset && !self.ended && !self.waits && self.held.is_empty() && all_came
    }

    /// The connection is over, and nothing is held any more: declares what is missing at the end.
    pub(super) fn flush(&mut self, out: &mut Out<'_, '_>) -> Result<(), SinkError> {
        let sent = self.told.max(self.acked.unwrap_or(0));
        if self.start.is_none() {
            // No byte was captured, but packets without any may tell where they began and how many there were.
            let begin = self.beginning(sent);
            if begin == sent || !self.seen() {
                return Ok(());
            }
            self.settle(begin);
        }
        while let Some(target) = self.hole_end() {
            if self.believable(target) {
                self.gap(target, GapReason::Lost, out.time, out)?;
            } else {
                self.disbelieve(target, out)?;
            }
        }
        // One number more than there are bytes is a FIN that was not captured.
        if self.fin.is_none() && !self.ended && sent > self.next + 1 {
            self.gap(sent, GapReason::Lost, out.time, out)?;
        }
        self.finish_at_fin(out)?;
        if self.totals.reset && !self.ended {
            self.end(EndHow::Reset, out)?;
        }
        Ok(())
    }
}
