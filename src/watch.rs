//! The watchers of all connections: finds out what a connection speaks and hands its bytes to who understands.
//!
//! Bytes are passed on exactly as they come, cut and labelled; what is told of them follows them. What nobody
//! understands passes uncopied.

mod one;
mod room;
mod tls;

use crate::budget::Budget;
use crate::event::{Connection, Emit, EndHow, Event, SinkError};
use crate::mail::input::Out;

use one::Watch;

/// State of all connections, by their slots.
#[derive(Default)]
pub struct Watchers {
    slots: Vec<Slot>,
    budget: Budget,
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

impl Slot {
    /// Puts another in its place.
    fn clear(&mut self, budget: &mut Budget, next: Self) {
        if let Self::Watched(Some(watch)) = std::mem::replace(self, next) {
            budget.give_back(watch.share);
        }
    }
}

impl Watchers {
    /// No connections.
    pub fn new() -> Self {
        Self::default()
    }

    /// With so many bytes for what all connections keep to be understood later, and a little for each of them.
    #[must_use]
    pub fn within(mut self, bytes: usize) -> Self {
        self.budget = Budget::new(bytes);
        self
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
        let budget = &mut self.budget;
        let mut out = Out::new(connection, emit);
        let watched = match (event, slot) {
            (Event::Opened, slot) => {
                slot.clear(budget, Slot::default());
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
                if watch.tight != budget.is_spent() {
                    watch.tighten(budget.is_spent());
                }
                watch.data(*direction, *offset, *time, bytes, &mut out)?;
                if out.recount {
                    watch.account(budget);
                }
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
                watch.gap(*direction, *len, *time, &mut out)?;
                watch.account(budget);
                return Ok(());
            }
            Event::End { direction, time, how } => {
                if let Some(watch) = watched {
                    if *how != EndHow::Fin {
                        watch.flush(direction.reverse(), &mut out)?;
                    }
                    watch.end(*direction, *time, &mut out)?;
                    watch.account(budget);
                    if watch.is_over() {
                        self.pass(index);
                    }
                }
            }
            Event::Closed(closing) => {
                if let Some(mut watch) = watched.take() {
                    budget.give_back(std::mem::take(&mut watch.share));
                    watch.close(closing.last_time, &mut out)?;
                }
            }
            _ => {}
        }
        out.event(event)
    }

    fn pass(&mut self, index: usize) {
        if let Some(slot) = self.slots.get_mut(index) {
            slot.clear(&mut self.budget, Slot::Passing);
        }
    }
}

#[cfg(test)]
mod tests;
