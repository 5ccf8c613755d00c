//! Leaves out what stands past a number of bytes in each direction (`--max-bytes`), and says so once.

use crate::event::{Connection, Direction, Emit, Event, SinkError};
use crate::time::Timestamp;

/// Cuts every stream at the same length.
#[derive(Debug)]
pub struct Limit {
    most: u64,
    /// By [`Connection::slot`]: the connection, and whether each direction was cut.
    told: Vec<(u64, [bool; 2])>,
    cut: u64,
}

impl Limit {
    /// Keeps `most` bytes of each direction.
    pub fn new(most: u64) -> Self {
        Self {
            most,
            told: Vec::new(),
            cut: 0,
        }
    }

    /// Streams cut so far.
    pub fn cut(&self) -> u64 {
        self.cut
    }

    /// Passes an event on, cut where need be.
    ///
    /// # Errors
    /// What `emit` returns.
    pub fn event(
        &mut self,
        connection: &Connection,
        event: &Event<'_>,
        emit: &mut Emit<'_>,
    ) -> Result<(), SinkError> {
        match event {
            Event::Data {
                direction,
                offset,
                time,
                kind,
                bytes,
            } => {
                let room = usize::try_from(self.most.saturating_sub(*offset)).unwrap_or(usize::MAX);
                let Some((kept, _)) = bytes.split_at_checked(room) else {
                    return emit(connection, event);
                };
                if !kept.is_empty() {
                    let (direction, offset, time, kind) = (*direction, *offset, *time, *kind);
                    emit(
                        connection,
                        &Event::Data {
                            direction,
                            offset,
                            time,
                            kind,
                            bytes: kept,
                        },
                    )?;
                }
                if kept.len() < bytes.len() {
                    self.tell(connection, *direction, *time, emit)?;
                }
                Ok(())
            }
            Event::Gap {
                direction,
                offset,
                len,
                time,
                reason,
            } if offset.saturating_add(*len) > self.most => {
                let (direction, offset, time, reason) = (*direction, *offset, *time, *reason);
                let len = self.most.saturating_sub(offset);
                if len > 0 {
                    emit(
                        connection,
                        &Event::Gap {
                            direction,
                            offset,
                            len,
                            time,
                            reason,
                        },
                    )?;
                }
                self.tell(connection, direction, time, emit)
            }
            _ => emit(connection, event),
        }
    }

    /// Tells of the cut, once for each direction.
    fn tell(
        &mut self,
        connection: &Connection,
        direction: Direction,
        time: Timestamp,
        emit: &mut Emit<'_>,
    ) -> Result<(), SinkError> {
        if !self.first(connection, direction) {
            return Ok(());
        }
        self.cut += 1;
        let offset = self.most;
        emit(
            connection,
            &Event::Cut {
                direction,
                offset,
                time,
            },
        )
    }

    /// Whether this direction is cut for the first time.
    fn first(&mut self, connection: &Connection, direction: Direction) -> bool {
        let slot = connection.slot as usize;
        if self.told.len() <= slot {
            self.told.resize(slot + 1, (0, [false; 2]));
        }
        let Some((id, told)) = self.told.get_mut(slot) else {
            return false;
        };
        if *id != connection.id {
            (*id, *told) = (connection.id, [false; 2]);
        }
        told.get_mut(direction.index())
            .is_some_and(|told| !std::mem::replace(told, true))
    }
}
