//! Several sinks on threads of their own, each with the connections that fall to it.
//!
//! What is one thread's business with a connection is done by as many as there are: watching it, and making files
//! and copying into them, which is the system's work and takes longer than all of ours. What comes out is the same:
//! nothing of a connection depends on others, and the lines of an index are put into their order.

use crate::event::{Connection, Event, Sink, SinkError};
use crate::lasting::Lasting;
use crate::output::Order;
use crate::relay::Relay;
use crate::shard;
use crate::time::Timestamp;

/// The threads.
#[derive(Debug)]
pub struct Crew<S> {
    members: Vec<Relay<S>>,
    /// Whose connections are, by [`Connection::slot`].
    of: Vec<u8>,
    shares: Shares,
    order: Order,
}

/// Who has which connections. A hash alone gave one of four members three times as much of eight long ones as another.
#[derive(Debug)]
struct Shares {
    /// The member that each part of all connections, by their hash, has once there was one: connections of the same
    /// addresses stay in their order.
    parts: Vec<Option<u8>>,
    /// Connections that each member has just now.
    open: Vec<usize>,
}

/// Parts of all connections.
const PARTS: usize = 1 << 12;

impl Shares {
    fn new(members: usize) -> Self {
        Self {
            parts: vec![None; PARTS],
            open: vec![0; members],
        }
    }

    /// The member for a connection of this hash: that of its part, or the one with the fewest.
    fn opened(&mut self, hash: u64) -> u8 {
        // The low bits say which of several runs has the connection.
        let part = self.parts.get_mut((hash >> 32) as usize % PARTS);
        let fewest = || (0..).zip(&self.open).min_by_key(|(_, open)| **open);
        let member = part.map_or(0, |part| {
            *part.get_or_insert_with(|| fewest().map_or(0, |(member, _)| member))
        });
        if let Some(open) = self.open.get_mut(usize::from(member)) {
            *open += 1;
        }
        member
    }

    fn closed(&mut self, member: usize) {
        if let Some(open) = self.open.get_mut(member) {
            *open = open.saturating_sub(1);
        }
    }
}

impl<S: Sink + Send + 'static> Crew<S> {
    /// Starts a thread for each of these sinks, at most 255, which write the lines of one index in this order.
    ///
    /// # Errors
    /// What the system says.
    pub fn new(sinks: Vec<S>, order: Order, lasting: &Lasting) -> std::io::Result<Self> {
        let start = |sink| Relay::new(sink, lasting.clone());
        let members: Vec<_> = sinks.into_iter().map(start).collect::<Result<_, _>>()?;
        Ok(Self {
            shares: Shares::new(members.len()),
            members,
            of: Vec::new(),
            order,
        })
    }

    /// The sinks, also if the run has failed.
    pub fn into_sinks(self) -> Vec<S> {
        self.members.into_iter().filter_map(Relay::into_sink).collect()
    }

    fn each(&mut self, act: impl FnMut(&mut Relay<S>) -> Result<(), SinkError>) -> Result<(), SinkError> {
        self.members.iter_mut().map(act).fold(Ok(()), Result::and)
    }
}

impl<S: Sink + Send + 'static> Sink for Crew<S> {
    fn event(&mut self, connection: &Connection, event: &Event<'_>) -> Result<(), SinkError> {
        let slot = connection.slot as usize;
        if let Event::Opened = event {
            if self.of.len() <= slot {
                self.of.resize(slot + 1, 0);
            }
            if let Some(of) = self.of.get_mut(slot) {
                *of = self
                    .shares
                    .opened(shard::hash(connection.client, connection.server));
            }
        }
        let of = self.of.get(slot).map_or(0, |of| usize::from(*of));
        if let Event::Closed(_) = event {
            self.order.is_next(of);
            self.shares.closed(of);
        }
        self.members
            .get_mut(of)
            .map_or(Ok(()), |member| member.event(connection, event))
    }

    fn tick(&mut self, now: Timestamp) -> Result<(), SinkError> {
        self.each(|member| member.tick(now))
    }

    fn silent(&mut self, now: Timestamp) -> Result<(), SinkError> {
        self.each(|member| member.silent(now))
    }

    fn flush(&mut self) -> Result<(), SinkError> {
        self.each(Relay::flush)
    }

    fn take_warnings(&mut self) -> Vec<String> {
        self.members.iter_mut().flat_map(Relay::take_warnings).collect()
    }

    fn finish(&mut self) -> Result<(), SinkError> {
        // All of them have their last before the first is waited for.
        let flushed = self.each(Relay::flush);
        let finished = self.each(Relay::finish);
        let index = self.order.finish();
        flushed
            .and(finished)
            .and(index.map_err(|error| SinkError::io("flows.jsonl", error)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_as_many_and_the_same_addresses_stay_with_one() {
        let mut shares = Shares::new(4);
        let hash = |n: u64| n << 32 | 7;
        let of: Vec<u8> = (0..8).map(|n| shares.opened(hash(n))).collect();
        assert_eq!(of, [0, 1, 2, 3, 0, 1, 2, 3]);
        assert_eq!(shares.opened(hash(2)), 2, "again, while all have two");
        for member in [1, 1, 3] {
            shares.closed(member);
        }
        assert_eq!([8, 9, 10].map(|n| shares.opened(hash(n))), [1, 1, 3]);
        assert_eq!(shares.opened(hash(5)), 1);
    }
}
