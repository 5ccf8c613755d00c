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
    order: Order,
}

impl<S: Sink + Send + 'static> Crew<S> {
    /// Starts a thread for each of these sinks, at most 255, which write the lines of one index in this order.
    ///
    /// # Errors
    /// What the system says.
    pub fn new(sinks: Vec<S>, order: Order, lasting: &Lasting) -> std::io::Result<Self> {
        let start = |sink| Relay::new(sink, lasting.clone());
        Ok(Self {
            members: sinks.into_iter().map(start).collect::<Result<_, _>>()?,
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
                let hash = shard::hash(connection.client, connection.server);
                // The low bits say which of several runs has the connection.
                *of = ((hash >> 32) % self.members.len().max(1) as u64) as u8;
            }
        }
        let of = self.of.get(slot).map_or(0, |of| usize::from(*of));
        if let Event::Closed(_) = event {
            self.order.is_next(of);
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
