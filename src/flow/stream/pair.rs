//! Both directions of a connection, where one waits for missing bytes: what the other side says meanwhile may be the
//! answer to what is held, so that it is held, too, and both come in the order of their packets.

use std::cmp::Ordering;

use super::{FlowOptions, Out, Stream};
use crate::event::{EndHow, GapReason, SinkError};
use crate::flow::held::Came;

/// What a stream has to give.
enum Held {
    /// Bytes that go on where it stands.
    Next,
    /// Bytes up to this offset are missing.
    Hole(u64),
}

/// Has both directions wait while one does; and where none does any more, gives out what both hold.
pub(in crate::flow) fn wait_together(
    streams: &mut [Stream; 2],
    options: &FlowOptions,
    out: &mut Out<'_, '_>,
) -> Result<(), SinkError> {
    let one_waits = |streams: &[Stream; 2]| streams.iter().any(|stream| stream.acknowledged.is_some());
    if !one_waits(streams) {
        if streams.iter().all(|stream| !stream.waits) {
            return Ok(());
        }
        give_out(streams, options, out, false)?;
        for (side, stream) in streams.iter_mut().enumerate() {
            out.side = side;
            if stream.held.is_empty() {
                stream.waiting = None;
            }
            stream.progress(options, out)?;
            if stream.reset_is_due() {
                stream.end(EndHow::Reset, out)?;
            }
        }
    }
    let waits = one_waits(streams);
    for (side, stream) in streams.iter_mut().enumerate() {
        stream.waits = waits;
        if waits && stream.held.cost() > options.hold_per_direction {
            // More than may be held: out of order rather than not at all.
            stream.waits = false;
            out.side = side;
            stream.drain(options, out)?;
            stream.waits = true;
        }
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

/// Gives out what is held, the oldest packet first. At the end all that is missing is a gap; before it, what is missing
/// is waited for, and with it the other side where it has acknowledged that.
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
    loop {
        let ready = streams.iter().enumerate();
        let first = ready
            .filter_map(|(side, stream)| Some((side, stream.first_held(at_end)?)))
            .min_by_key(|(_, (_, came))| came.arrival);
        let Some((side, (held, came))) = first else { break };
        let Some(stream) = streams.get_mut(side) else {
            break;
        };
        out.side = side;
        match held {
            Held::Next => {
                stream.give_first(options, out)?;
            }
            Held::Hole(end) if at_end => {
                if stream.believable(end) {
                    stream.gap(end, GapReason::Lost, came.time, out)?;
                } else {
                    stream.disbelieve(end, out)?;
                }
            }
            // The other side's answers are behind it.
            Held::Hole(_) => break,
        }
    }
    Ok(())
}

impl Stream {
    /// What comes now may be the answer to what is missing in the other direction.
    pub(in crate::flow) fn wait_for(&mut self, other: &Self) {
        self.waits |= other.acknowledged.is_some();
    }

    /// What it has to give first, and when the bytes came that are held there. A hole counts if the other side has
    /// acknowledged it, and at the end.
    fn first_held(&self, at_end: bool) -> Option<(Held, Came)> {
        let (offset, came) = self.held.first_came()?;
        self.start.filter(|_| !self.ended)?;
        let held = match offset.cmp(&self.next) {
            Ordering::Less => None,
            Ordering::Equal => Some(Held::Next),
            Ordering::Greater => {
                let counts = at_end || self.acked.is_some_and(|acked| acked >= offset);
                counts.then_some(Held::Hole(offset))
            }
        };
        held.map(|held| (held, came))
    }
}
