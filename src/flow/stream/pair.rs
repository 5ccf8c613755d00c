//! Both directions of a connection, where one waits for missing bytes: what the other side says meanwhile may be the
//! answer to what is held, so that it is held, too, and both come in the order of their packets.

use std::cmp::Ordering;

use super::{FlowOptions, Out, Stream};
use crate::event::{EndHow, GapReason, SinkError};
use crate::time::Timestamp;

/// What a stream has to give.
enum Held {
    /// Bytes that go on where it stands.
    Next(Timestamp),
    /// Bytes up to this offset are missing.
    Hole(u64, Timestamp),
}

/// Has both directions wait while one does; and where none does any more, gives out what both hold.
pub(in crate::flow) fn wait_together(
    streams: &mut [Stream; 2],
    options: &FlowOptions,
    out: &mut Out<'_, '_>,
) -> Result<(), SinkError> {
    if streams
        .iter()
        .all(|stream| !stream.waits && stream.acknowledged.is_none())
    {
        return Ok(());
    }
    let wait = |streams: &[Stream; 2]| {
        streams.iter().any(|stream| stream.acknowledged.is_some())
            && streams
                .iter()
                .all(|stream| stream.held.cost() <= options.hold_per_direction)
    };
    if !wait(streams) && streams.iter().any(|stream| stream.waits) {
        give_out(streams, options, out, false)?;
        for (side, stream) in streams.iter_mut().enumerate() {
            out.side = side;
            if stream.held.is_empty() {
                stream.waiting = None;
            }
            stream.progress(options, out)?;
            if stream.totals.reset && stream.held.is_empty() && !stream.ended {
                stream.end(EndHow::Reset, out)?;
            }
        }
    }
    let waits = wait(streams);
    for stream in streams {
        stream.waits = waits;
    }
    Ok(())
}

/// The connection is over: gives out what is held, declares what is missing.
pub(in crate::flow) fn flush(
    streams: &mut [Stream; 2],
    options: &FlowOptions,
    out: &mut Out<'_, '_>,
) -> Result<(), SinkError> {
    give_out(streams, options, out, true)?;
    for (side, stream) in streams.iter_mut().enumerate() {
        out.side = side;
        stream.flush(out)?;
    }
    Ok(())
}

/// Gives out what is held, the oldest packet first. At the end all that is missing is a gap; before it, what is not
/// acknowledged or missing for a short time only is waited for.
fn give_out(
    streams: &mut [Stream; 2],
    options: &FlowOptions,
    out: &mut Out<'_, '_>,
    at_end: bool,
) -> Result<(), SinkError> {
    for stream in streams.iter_mut() {
        stream.waits = false;
        if at_end {
            stream.settle_at_held();
        }
    }
    let mut stuck = [false; 2];
    loop {
        let ready = streams.iter().zip(&stuck).enumerate();
        let ready = ready.filter(|(_, (_, stuck))| !**stuck);
        let first = ready
            .filter_map(|(side, (stream, _))| Some((side, stream.first_held()?)))
            .min_by_key(|(_, Held::Next(time) | Held::Hole(_, time))| *time);
        let Some((side, held)) = first else { break };
        let Some(stream) = streams.get_mut(side) else {
            break;
        };
        out.side = side;
        match held {
            Held::Next(_) => {
                stream.give_first(options, out)?;
            }
            Held::Hole(end, _) if at_end && !stream.believable(end) => stream.disbelieve(end, out)?,
            Held::Hole(end, time) if at_end || stream.is_gap(end, time, options, out) => {
                stream.gap(end, GapReason::Lost, time, out)?;
            }
            Held::Hole(end, _) => {
                if stream.is_acknowledged(end) {
                    // The other side's answers are behind it.
                    break;
                }
                if let Some(stuck) = stuck.get_mut(side) {
                    *stuck = true;
                }
            }
        }
    }
    Ok(())
}

impl Stream {
    /// What comes now may be the answer to what is missing in the other direction.
    pub(in crate::flow) fn wait_for(&mut self, other: &Self) {
        self.waits |= other.acknowledged.is_some();
    }

    fn first_held(&self) -> Option<Held> {
        let (offset, time) = self.held.first_with_time()?;
        self.start.filter(|_| !self.ended)?;
        match offset.cmp(&self.next) {
            Ordering::Less => None,
            Ordering::Equal => Some(Held::Next(time)),
            Ordering::Greater => Some(Held::Hole(offset, time)),
        }
    }

    fn is_acknowledged(&self, end: u64) -> bool {
        self.acked.is_some_and(|acked| acked >= end)
    }

    /// Whether what is missing before `end`, where a packet of `time` goes on, has been waited for long enough.
    fn is_gap(&self, end: u64, time: Timestamp, options: &FlowOptions, out: &Out<'_, '_>) -> bool {
        self.is_acknowledged(end) && self.believable(end) && time + options.gap_allowance <= out.time
    }
}
