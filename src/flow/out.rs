//! The way out for what a stream tells: knows the connection, and tells of it before the first event.

use crate::event::{Connection, Direction, Emit, EndHow, Event, GapReason, Kind, SinkError, TcpNote};
use crate::time::Timestamp;

/// Who is who in a connection; settled when it is first told of.
#[derive(Debug)]
pub(super) struct Identity {
    pub(super) connection: Connection,
    /// Which side (0 or 1 of the table's key) is the client.
    pub(super) client_side: usize,
    pub(super) opened: bool,
}

impl Identity {
    /// What a side sends.
    pub(super) fn direction(&self, side: usize) -> Direction {
        if side == self.client_side {
            Direction::ToServer
        } else {
            Direction::ToClient
        }
    }
}

/// Sends events of one side.
pub(super) struct Out<'a, 'e> {
    pub(super) identity: &'a mut Identity,
    pub(super) side: usize,
    /// Time of the packet at hand: what users see.
    pub(super) time: Timestamp,
    /// The table's time: what waiting is measured by.
    pub(super) now: Timestamp,
    /// Packets come so far, the one at hand included.
    pub(super) arrival: u64,
    pub(super) emit: &'a mut Emit<'e>,
    /// Counted here because whoever opens is deep in a stream.
    pub(super) opened: &'a mut u64,
}

impl Out<'_, '_> {
    fn direction(&self) -> Direction {
        self.identity.direction(self.side)
    }

    fn event(&mut self, event: &Event<'_>) -> Result<(), SinkError> {
        self.open()?;
        (self.emit)(&self.identity.connection, event)
    }

    /// Tells of the connection if that has not been done.
    pub(super) fn open(&mut self) -> Result<(), SinkError> {
        if !self.identity.opened {
            self.identity.opened = true;
            *self.opened += 1;
            (self.emit)(&self.identity.connection, &Event::Opened)?;
        }
        Ok(())
    }

    pub(super) fn data(&mut self, offset: u64, time: Timestamp, bytes: &[u8]) -> Result<(), SinkError> {
        self.open()?;
        let direction = self.direction();
        (self.emit)(
            &self.identity.connection,
            &Event::Data {
                direction,
                offset,
                time,
                kind: Kind::Plain,
                bytes,
            },
        )
    }

    pub(super) fn gap(
        &mut self,
        offset: u64,
        len: u64,
        time: Timestamp,
        reason: GapReason,
    ) -> Result<(), SinkError> {
        let direction = self.direction();
        self.event(&Event::Gap {
            direction,
            offset,
            len,
            time,
            reason,
        })
    }

    /// Notes on a connection that has not been told of are not worth opening it for: its start is being
    /// waited for.
    pub(super) fn note(&mut self, note: TcpNote) -> Result<(), SinkError> {
        if !self.identity.opened {
            return Ok(());
        }
        let (direction, time) = (self.direction(), self.time);
        self.event(&Event::Note {
            direction,
            time,
            note,
        })
    }

    pub(super) fn end(&mut self, how: EndHow) -> Result<(), SinkError> {
        let (direction, time) = (self.direction(), self.time);
        self.event(&Event::End { direction, time, how })
    }
}
