//! What must have come out, by what was sent.
//!
//! A stream that begins without a SYN may begin with any segment, or, where the other side's SYN was seen, with what
//! that side acknowledged: it is right if some beginning makes all of it right. Where connections were told apart (a
//! reset, addresses used again), each is held only to what its senders ever said; where there was one, to every byte of it.

use std::collections::BTreeMap;
use std::ops::Range;

use flowdump::decode::Flags;
use flowdump::event::{Closing, Direction, GapReason, Totals};

use crate::wire::{Script, Sent, Step, pair_of};
use crate::{Told, What, options};

/// Accounted for a piece that is held, beside its bytes; a segment may fill two holes.
const PIECES: u64 = 2 * 96;

/// Data further ahead than this is not believed at once.
const PLAUSIBLE: i64 = 64 << 20;

/// In longer streams (by gaps) it is not clear any more which offset a sequence number means.
const LONG: i64 = 1 << 30;

/// A connection as it was told.
struct Case<'a> {
    script: &'a Script,
    pair: usize,
    told: Vec<(usize, &'a Told)>,
    /// Whose direction is the client's.
    client_side: usize,
    closed: usize,
    closing: &'a Closing,
    /// No other connection had its ends.
    alone: bool,
}

/// One direction of it.
struct Stream<'a> {
    side: usize,
    totals: &'a Totals,
    /// By its side and by the other one, with the call of each.
    sent: Vec<(usize, &'a Sent)>,
    peer: Vec<(usize, &'a Sent)>,
    /// The other side's SYN was seen.
    peer_began: bool,
    runs: Vec<Run<'a>>,
}

/// A piece of what came out.
struct Run<'a> {
    /// Place among all events.
    order: usize,
    call: usize,
    offset: i64,
    len: i64,
    what: &'a What,
}

impl Run<'_> {
    fn end(&self) -> i64 {
        self.offset + self.len
    }
}

/// Offset of a sequence number in a stream whose first byte has `base`.
fn offset(seq: u32, base: u32) -> i64 {
    i64::from(seq.wrapping_sub(base) as i32)
}

/// Where a segment's captured bytes lie.
fn range(sent: &Sent, base: u32) -> Range<i64> {
    let from = offset(sent.first(), base);
    from..from + sent.stream_bytes().len() as i64
}

/// Looks at every connection.
pub fn check(script: &Script, told: &[Told]) {
    let mut by_id: BTreeMap<u64, Vec<(usize, &Told)>> = BTreeMap::new();
    for (order, told) in told.iter().enumerate() {
        by_id.entry(told.id).or_default().push((order, told));
    }
    let pairs: Vec<usize> = by_id.values().map(|told| pair_of(told[0].1.client)).collect();
    for told in by_id.into_values() {
        let (_, last) = told[told.len() - 1];
        let What::Closed(closing) = &last.what else {
            panic!("not closed: {last:?}")
        };
        let pair = pair_of(last.client);
        let case = Case {
            script,
            pair,
            client_side: last.client_side,
            closed: last.call,
            closing,
            alone: pairs.iter().filter(|other| **other == pair).count() == 1,
            told,
        };
        case.check();
    }
}

impl<'a> Case<'a> {
    fn stream(&self, side: usize) -> Stream<'a> {
        let client = side == self.client_side;
        let direction = if client {
            Direction::ToServer
        } else {
            Direction::ToClient
        };
        let steps = self.script.steps.iter().enumerate().take(self.closed + 1);
        let segments = steps.filter_map(|(call, step)| match step {
            Step::Segment(sent) if sent.pair == self.pair => Some((call, sent)),
            _ => None,
        });
        let (sent, peer) = segments.partition(|(_, sent)| sent.side == side);
        let runs = self.told.iter().filter_map(|(order, told)| {
            let (whose, offset, len) = match &told.what {
                What::Data {
                    direction,
                    offset,
                    bytes,
                    ..
                } => (*direction, *offset, bytes.0.len() as u64),
                What::Gap {
                    direction,
                    offset,
                    len,
                    ..
                } => (*direction, *offset, *len),
                _ => return None,
            };
            let (offset, len) = (offset as i64, len as i64);
            (whose == direction).then_some(Run {
                order: *order,
                call: told.call,
                offset,
                len,
                what: &told.what,
            })
        });
        Stream {
            side,
            totals: &self.closing.totals[direction.index()],
            sent,
            peer,
            peer_began: self.closing.totals[direction.reverse().index()].syn,
            runs: runs.collect(),
        }
    }

    fn check(&self) {
        let streams = [0, 1].map(|side| self.stream(side));
        let long = |stream: &Stream<'_>| stream.runs.last().is_some_and(|run| run.end() > LONG);
        if streams.iter().any(long) {
            return;
        }
        let right = streams.each_ref().map(|stream| {
            let mut wrong = Vec::new();
            let mut right = Vec::new();
            for base in stream.bases() {
                match self.check_stream(stream, base) {
                    Ok(()) => right.push(base),
                    Err(why) => wrong.push(format!("from {base}: {why}")),
                }
            }
            assert!(
                !right.is_empty() || stream.sent.is_empty() && stream.runs.is_empty(),
                "side {} of {:?} is wrong: {wrong:#?}\n{:#?}",
                stream.side,
                self.told,
                self.script
            );
            right
        });
        // Only where it is beyond doubt where both begin.
        if let [&[one], &[other]] = right.each_ref().map(Vec::as_slice)
            && self.whole(&streams)
        {
            let [zero, first] = &streams;
            for (own, base, peer, peer_base) in [(zero, one, first, other), (first, other, zero, one)] {
                if let Err(why) = self.answers_wait(own, peer, base, peer_base) {
                    panic!("side {}: {why}: {:?}\n{:#?}", own.side, self.told, self.script);
                }
            }
            if let Err(why) = self.nothing_waits(&streams, [one, other]) {
                panic!("{why}: {:?}\n{:#?}", self.told, self.script);
            }
        }
    }

    /// Whether there is nothing about it that reassembly may take for something else.
    fn whole(&self, streams: &[Stream<'_>; 2]) -> bool {
        let odd = |sent: &Sent| sent.has(Flags::RST) || sent.payload.len() < sent.wire_len as usize;
        self.alone
            && self.script.steady
            && !self.script.tight
            && streams.iter().all(|stream| {
                let unclear = stream.totals.outside_bytes + stream.totals.keep_alives;
                unclear == 0 && !stream.sent.iter().any(|(_, sent)| odd(sent))
            })
    }

    fn check_stream(&self, stream: &Stream<'_>, base: u32) -> Result<(), String> {
        let cut = |sent: &Sent| sent.payload.len() < sent.wire_len as usize;
        // A keep-alive's byte is not the stream's, whoever comes first.
        let first_wins = self.alone
            && stream.totals.outside_bytes + stream.totals.keep_alives == 0
            && !stream.sent.iter().any(|(_, sent)| cut(sent));
        for run in &stream.runs {
            match run.what {
                What::Data { bytes, time, .. } => {
                    let from = stream.source(run, &bytes.0, base, first_wins)?;
                    if first_wins && from.time != *time {
                        return Err(format!("not the time of its packet: {:?}", run.what));
                    }
                }
                What::Gap { reason, .. } if self.alone && run.call < self.closed => {
                    self.gap(stream, run, *reason, base)?;
                }
                _ => {}
            }
        }
        if self.alone {
            let lost = self.unaccounted(stream, base);
            if lost > stream.totals.outside_bytes + stream.totals.keep_alives {
                return Err(format!("{lost} bytes came and were not told of"));
            }
        }
        Ok(())
    }

    /// A gap is declared where the other side has the bytes, or where no more can be held.
    fn gap(&self, stream: &Stream<'_>, run: &Run<'_>, reason: GapReason, base: u32) -> Result<(), String> {
        let before = |call: usize| call <= run.call;
        let acks = || {
            let acks = stream
                .peer
                .iter()
                .filter(|(_, sent)| sent.has(Flags::ACK) && !sent.has(Flags::RST));
            acks.map(|(call, sent)| (*call, offset(sent.ack, base), sent.has(Flags::SYN)))
        };
        match reason {
            GapReason::Snaplen => {}
            GapReason::Lost => {
                // It takes a while, so that the acknowledgement is not of this very call.
                let acknowledged = acks().any(|(call, ack, _)| call < run.call && ack >= run.end());
                // What a SYN of another number acknowledges is not believed.
                let one_sided = !acks().any(|(call, ack, syn)| {
                    !syn && call < run.call && (0..=run.offset.min(PLAUSIBLE)).contains(&ack)
                });
                if !acknowledged && !one_sided {
                    return Err(format!("nobody has what is called lost: {:?}", run.what));
                }
            }
            GapReason::Bound => {
                let behind = stream
                    .sent
                    .iter()
                    .filter(|(call, sent)| before(*call) && range(sent, base).end > run.offset);
                let held: u64 = behind.map(|(_, sent)| u64::from(sent.wire_len) + PIECES).sum();
                if held <= options(self.script.tight).hold_per_direction as u64 {
                    return Err(format!(
                        "{held} bytes are not too many to be held: {:?}",
                        run.what
                    ));
                }
            }
        }
        Ok(())
    }

    /// How many bytes came while the connection was open and are neither in its data nor in a gap that was declared
    /// by then.
    fn unaccounted(&self, stream: &Stream<'_>, base: u32) -> u64 {
        let mut left: Vec<Range<i64>> = Vec::new();
        for (call, sent) in stream.sent.iter().filter(|(call, _)| *call < self.closed) {
            let Range { start: mut at, end } = range(sent, base);
            for run in &stream.runs {
                if run.end() <= at {
                    continue;
                }
                if run.offset >= end {
                    break;
                }
                let told = match run.what {
                    What::Gap {
                        reason: GapReason::Snaplen,
                        ..
                    }
                    | What::Data { .. } => true,
                    _ => run.call <= *call,
                };
                left.push(at..run.offset);
                if !told {
                    left.push(at.max(run.offset)..run.end().min(end));
                }
                at = run.end();
            }
            left.push(at..end);
        }
        left.retain(|range| !range.is_empty());
        left.sort_by_key(|range| range.start);
        let mut upto = i64::MIN;
        let mut sum = 0;
        for Range { start, end } in left {
            sum += (end - start.max(upto)).max(0);
            upto = upto.max(end);
        }
        sum as u64
    }

    /// What a side acknowledged with its words comes before them.
    fn answers_wait(
        &self,
        own: &Stream<'_>,
        peer: &Stream<'_>,
        base: u32,
        peer_base: u32,
    ) -> Result<(), String> {
        if peer
            .sent
            .iter()
            .any(|(_, sent)| range(sent, peer_base).end.abs() > PLAUSIBLE)
        {
            return Ok(());
        }
        for run in &own.runs {
            let What::Data { bytes, .. } = run.what else {
                continue;
            };
            let answer = own.source(run, &bytes.0, base, true)?;
            let Some((call, _)) = own.sent.iter().find(|(_, sent)| std::ptr::eq(*sent, answer)) else {
                continue;
            };
            let ack = offset(answer.ack, peer_base);
            let questions = peer.sent.iter().filter(|(sent, _)| sent < call);
            // One that came late counts as old as what waits for it.
            let late = own
                .sent
                .iter()
                .any(|(sent, other)| sent < call && range(other, base).end > run.end());
            if late || !answer.has(Flags::ACK) || ack > PLAUSIBLE {
                continue;
            }
            for (_, question) in questions {
                let asked = range(question, peer_base);
                let late = peer.runs.iter().find(|other| {
                    let same = other.offset.max(asked.start) < other.end().min(asked.end).min(ack);
                    same && other.order > run.order && matches!(other.what, What::Data { .. })
                });
                if let Some(late) = late {
                    return Err(format!("{:?} comes before {:?}", run.what, late.what));
                }
            }
        }
        Ok(())
    }

    /// Where nothing is missing on either side nothing is kept back.
    fn nothing_waits(&self, streams: &[Stream<'_>; 2], bases: [u32; 2]) -> Result<(), String> {
        let mut came: [Option<i64>; 2] = [None; 2];
        for call in 0..self.closed {
            for ((stream, base), came) in streams.iter().zip(bases).zip(&mut came) {
                let Some((_, sent)) = stream.sent.iter().find(|(sent, _)| *sent == call) else {
                    continue;
                };
                let Range { start, end } = range(sent, base);
                if came.is_none() && !sent.has(Flags::SYN) || start > came.unwrap_or(0) {
                    return Ok(());
                }
                *came = (*came).max(Some(end));
            }
            for (stream, came) in streams.iter().zip(came) {
                let told = stream
                    .runs
                    .iter()
                    .filter(|run| run.call <= call)
                    .map(Run::end)
                    .max();
                if told.unwrap_or(0) < came.unwrap_or(0) {
                    return Err(format!("side {} waits for nothing at {call}", stream.side));
                }
            }
        }
        Ok(())
    }
}

impl<'a> Stream<'a> {
    /// Sequence numbers with which it may begin.
    fn bases(&self) -> Vec<u32> {
        let syns = || self.sent.iter().filter(|(_, sent)| sent.has(Flags::SYN));
        let mut bases: Vec<u32> = if self.totals.syn {
            syns().map(|(_, sent)| sent.first()).collect()
        } else {
            let ends = |sent: &Sent| [sent.first(), sent.first().wrapping_add(sent.wire_len)];
            let told = self.peer.iter().filter(|(_, sent)| sent.has(Flags::ACK));
            let told = told.map(|(_, sent)| sent.ack).filter(|_| self.peer_began);
            self.sent.iter().flat_map(|(_, sent)| ends(sent)).chain(told).collect()
        };
        bases.sort_unstable();
        bases.dedup();
        bases
    }

    /// The packet that brought a run of data. `first_wins`: its bytes are those that came first, all with one packet.
    fn source(&self, run: &Run<'_>, bytes: &[u8], base: u32, first_wins: bool) -> Result<&'a Sent, String> {
        let mut open = vec![true; bytes.len()];
        let mut source: Option<&'a Sent> = None;
        for (_, sent) in self.sent.iter().filter(|(call, _)| *call <= run.call) {
            let range = range(sent, base);
            for at in range.start.max(run.offset)..range.end.min(run.end()) {
                let here = (at - run.offset) as usize;
                let same = bytes[here] == sent.stream_bytes()[(at - range.start) as usize];
                if first_wins && open[here] && !same {
                    return Err(format!("not what came first: {:?}", run.what));
                }
                if first_wins && open[here] && source.is_some_and(|other| !std::ptr::eq(other, *sent)) {
                    return Err(format!("of two packets: {:?}", run.what));
                }
                if same && open[here] {
                    open[here] = false;
                    source.get_or_insert(*sent);
                }
            }
        }
        match source {
            Some(source) if !open.contains(&true) => Ok(source),
            _ => Err(format!("nobody said this: {:?}", run.what)),
        }
    }
}
