//! The watchers of all connections: finds out what a connection speaks and hands its bytes to who understands.
//!
//! Bytes are passed on exactly as they come, cut and labelled; what is told of them follows them. What nobody
//! understands passes uncopied.

mod one;
mod tls;

use crate::event::{Connection, Emit, EndHow, Event, SinkError};
use crate::mail::input::Out;

use one::Watch;

/// State of all connections, by their slots.
#[derive(Default)]
pub struct Watchers {
    slots: Vec<Slot>,
}

/// One connection.
enum Slot {
    /// Somebody may understand it; `None` before the first byte.
    Watched(Option<Box<Watch>>),
    /// Nobody does.
    Passing,
}

impl Default for Slot {
    fn default() -> Self {
        Self::Watched(None)
    }
}

impl Watchers {
    /// No connections.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes one event of the flow table, passes it on, cut and labelled, and adds what watchers tell.
    ///
    /// # Errors
    /// Those of `emit`.
    pub fn event(
        &mut self,
        connection: &Connection,
        event: &Event<'_>,
        emit: &mut Emit<'_>,
    ) -> Result<(), SinkError> {
        let index = connection.slot as usize;
        if index >= self.slots.len() {
            self.slots.resize_with(index + 1, Slot::default);
        }
        let Some(slot) = self.slots.get_mut(index) else {
            return emit(connection, event);
        };
        let mut out = Out { connection, emit };
        let watched = match (event, slot) {
            (Event::Opened, slot) => {
                *slot = Slot::default();
                return out.event(event);
            }
            (_, Slot::Passing) => return out.event(event),
            (_, Slot::Watched(watched)) => watched,
        };
        match event {
            Event::Data {
                direction,
                offset,
                time,
                bytes,
                ..
            } => {
                let watch = watched.get_or_insert_with(|| Box::new(Watch::new(connection)));
                if watch.passes(*direction) {
                    return out.event(event);
                }
                watch.data(*direction, *offset, *time, bytes, &mut out)?;
                if watch.is_over() {
                    self.pass(index);
                }
                return Ok(());
            }
            Event::Gap {
                direction, len, time, ..
            } => {
                let watch = watched.get_or_insert_with(|| Box::new(Watch::new(connection)));
                watch.flush(*direction, &mut out)?;
                out.event(event)?;
                return watch.gap(*direction, *len, *time, &mut out);
            }
            Event::End { direction, time, how } => {
                if let Some(watch) = watched {
                    if *how != EndHow::Fin {
                        watch.flush(direction.reverse(), &mut out)?;
                    }
                    watch.end(*direction, *time, &mut out)?;
                    if watch.is_over() {
                        self.pass(index);
                    }
                }
            }
            Event::Closed(closing) => {
                if let Some(mut watch) = watched.take() {
                    watch.close(closing.last_time, &mut out)?;
                }
            }
            _ => {}
        }
        out.event(event)
    }

    fn pass(&mut self, index: usize) {
        if let Some(slot) = self.slots.get_mut(index) {
            *slot = Slot::Passing;
        }
    }
}
