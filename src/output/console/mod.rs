//! The console: both directions interleaved, a line at a time, each line with its own time and addresses.
//!
//! The unit is the line, not the packet. What the wire says is made harmless on the way out. Whole lines of
//! all connections interleave in capture order.

mod due;
mod margin;
mod options;
mod page;
mod remarks;
mod silence;
mod state;
mod whole;

use super::clock::Clock;
use super::digits::push_endpoint;
use super::sheet::{BLOCK, Sheet, WriteSheets};
use super::words;
use crate::budget::Budget;
use crate::event::{Connection, Direction, EndHow, Event, Sink, SinkError, TcpNote};
use crate::slots::Slots;
use crate::time::Timestamp;
use due::{Due, Queue, Waits};
use margin::Margins;
pub use options::{Body, ConsoleOptions, Show, TlsStyle};
use page::Page;
use silence::Silence;
use state::State;

/// Shows connections on `W`.
#[derive(Debug)]
pub struct Console<W> {
    options: ConsoleOptions,
    clock: Clock,
    margins: Margins,
    states: Slots<State>,
    due: Queue<Waits>,
    silences: Queue<()>,
    buffer: Sheet,
    /// For lines in the making.
    budget: Budget,
    /// Raw: whose bytes came last, and whether they ended a line.
    last: Option<(u64, Direction, bool)>,
    writer: W,
}

impl<W: WriteSheets> Console<W> {
    /// A console that writes to `writer`, which should not buffer.
    pub fn new(writer: W, options: ConsoleOptions) -> Self {
        Self {
            clock: Clock::new(options.time),
            margins: Margins::default(),
            options,
            states: Slots::default(),
            due: Queue::default(),
            silences: Queue::default(),
            buffer: Sheet::with_capacity(BLOCK * 2),
            last: None,
            budget: Budget::default(),
            writer,
        }
    }

    /// With so many bytes for all lines in the making, and a little for each connection.
    #[must_use]
    pub fn within(mut self, bytes: usize) -> Self {
        self.budget = Budget::new(bytes);
        self
    }

    /// Writes what there is. Where that is nothing, asks what became of what was written before.
    fn write_out(&mut self) -> Result<(), SinkError> {
        let written = self.writer.write_sheet(&mut self.buffer);
        written.map_err(|source| SinkError::io("standard output", source))
    }

    /// Writes if there is enough of it; less waits until it is to be seen.
    fn write_blocks(&mut self) -> Result<(), SinkError> {
        if self.buffer.len() < BLOCK {
            return Ok(());
        }
        let written = self.writer.write_blocks(&mut self.buffer);
        written.map_err(|source| SinkError::io("standard output", source))
    }

    /// Looks at the connections whose time in a queue has come, and again when `look` says.
    fn look_at_due<Q: Ord + Copy>(
        &mut self,
        queue: fn(&mut Self) -> &mut Queue<Q>,
        now: Timestamp,
        look: impl Fn(&mut Page<'_>, &mut State, Due<Q>) -> Option<Timestamp>,
    ) -> Result<(), SinkError> {
        while let Some(due) = queue(self).pop(now) {
            let Some(mut state) = self.states.take(due.slot) else {
                continue;
            };
            if state.id == due.id {
                let mut page = Page {
                    options: &self.options,
                    clock: &mut self.clock,
                    margins: &mut self.margins,
                    out: &mut self.buffer,
                };
                if let Some(at) = look(&mut page, &mut state, due) {
                    queue(self).push(Due { at, ..due });
                }
                state.account(&mut self.budget);
                // There may be very many at once.
                self.write_blocks()?;
            }
            self.states.put(due.slot, state);
        }
        Ok(())
    }

    /// Takes the connection's state out for as long as it is worked on.
    fn take(&mut self, connection: &Connection) -> Box<State> {
        self.states.take(connection.slot).unwrap_or_else(|| {
            let addresses = Direction::BOTH.map(|direction| {
                let (from, to) = connection.endpoints(direction);
                let mut text = Vec::new();
                push_endpoint(from, &mut text);
                text.extend_from_slice(b" > ");
                push_endpoint(to, &mut text);
                text
            });
            Box::new(State {
                id: connection.id,
                addresses,
                ..State::default()
            })
        })
    }
}

impl<W: WriteSheets> Sink for Console<W> {
    fn event(&mut self, connection: &Connection, event: &Event<'_>) -> Result<(), SinkError> {
        if matches!(event, Event::Opened) {
            self.clock.start(connection.first_time);
            if !self.options.verbose && !self.options.live {
                return Ok(());
            }
        }
        let mut state = self.take(connection);
        let mut page = Page {
            options: &self.options,
            clock: &mut self.clock,
            margins: &mut self.margins,
            out: &mut self.buffer,
        };
        match event {
            Event::Data {
                direction,
                offset,
                time: at,
                kind,
                bytes,
            } => {
                page.data(&mut state, *direction, *offset, *at, *kind, bytes, &mut self.last);
                if self.options.live {
                    state.silence = Silence::behind(*direction, *at, *kind, bytes);
                }
            }
            Event::Gap {
                direction,
                len,
                time: at,
                reason,
                ..
            } => {
                page.gap(&mut state, *direction, *len, *at, *reason);
            }
            Event::Cut {
                direction,
                time: at,
                offset,
            } => {
                page.finish_line(&mut state, *direction);
                page.remark(
                    &state,
                    *direction,
                    *at,
                    &format!("cut here, after {offset} bytes"),
                );
            }
            Event::Note {
                direction,
                time: at,
                note: note @ (TcpNote::Conflict { .. } | TcpNote::Unanswered { .. }),
            } => {
                if let TcpNote::Unanswered { .. } = note {
                    // It says so itself, and nothing is open.
                    state.silence = None;
                }
                page.remark(&state, *direction, *at, &words::note(note));
            }
            Event::End {
                direction,
                time: at,
                how,
            } => {
                page.finish_run(&mut state);
                state.last = state.last.max(*at);
                if *direction == Direction::ToClient || *how != EndHow::Fin {
                    state.silence = None;
                }
                // A reset ends both.
                for ended in Direction::BOTH {
                    if ended == *direction || *how != EndHow::Fin {
                        page.finish_line(&mut state, ended);
                        page.tell_folded(&mut state, ended);
                    }
                }
                let text = match how {
                    EndHow::Fin => None,
                    EndHow::Reset if state.shown => Some("connection reset"),
                    EndHow::Reset => Some("connection reset, no data"),
                    EndHow::Refused => Some("connection refused"),
                };
                if let Some(text) = text {
                    state.shown = true;
                    page.remark(&state, *direction, *at, text);
                }
            }
            Event::Mail(event) => page.mail(connection, &mut state, event),
            Event::Tls(event) => page.tls(connection, &mut state, event),
            Event::Closed(closing) => {
                page.closed(connection, &mut state, closing);
                self.budget.give_back(state.share);
                return self.write_blocks();
            }
            Event::Note {
                direction,
                time: at,
                note,
            } if self.options.verbose => {
                page.remark(&state, *direction, *at, &words::note(note));
            }
            Event::Opened => {
                if self.options.live {
                    state.silence = Silence::at_first(connection);
                }
                if self.options.verbose {
                    let text = words::opened(connection.client_known);
                    page.remark(&state, Direction::ToServer, connection.first_time, text);
                }
            }
            Event::Note { .. } => {}
        }
        state.account(&mut self.budget);
        if self.budget.is_spent() && state.share.is_large() {
            page.let_go(&mut state);
            state.account(&mut self.budget);
        }
        let id = state.id;
        for direction in Direction::BOTH {
            let Some(line) = state.lines.get_mut(direction.index()) else {
                continue;
            };
            if !line.queued && !line.bytes.is_empty() {
                line.queued = true;
                let at = line.time + self.options.patience;
                self.due.push(Due {
                    at,
                    slot: connection.slot,
                    id,
                    waits: Waits::Line(direction),
                });
            }
        }
        if let Some(run) = state.run.as_ref().filter(|_| !state.run_queued) {
            let at = run.time + self.options.patience;
            self.due.push(Due {
                at,
                slot: connection.slot,
                id,
                waits: Waits::Run,
            });
            state.run_queued = true;
        }
        if let Some(at) = state.silence.as_ref().and_then(Silence::due)
            && state.silence_queued.is_none_or(|queued| at < queued)
        {
            state.silence_queued = Some(at);
            self.silences.push(Due {
                at,
                slot: connection.slot,
                id,
                waits: (),
            });
        }
        self.states.put(connection.slot, state);
        let states = &self.states;
        let is_open = |slot, id| states.get(slot).is_some_and(|state| state.id == id);
        self.due.clean(|due| is_open(due.slot, due.id));
        self.silences.clean(|due| is_open(due.slot, due.id));
        self.write_blocks()
    }

    fn tick(&mut self, now: Timestamp) -> Result<(), SinkError> {
        // What began since then waits for its own time.
        self.look_at_due(
            |console| &mut console.due,
            now,
            |page, state, due| page.overdue(state, due.waits, now),
        )
    }

    fn silent(&mut self, now: Timestamp) -> Result<(), SinkError> {
        self.look_at_due(
            |console| &mut console.silences,
            now,
            |page, state, due| page.silence(state, due.at, now),
        )
    }

    fn flush(&mut self) -> Result<(), SinkError> {
        self.write_out()
    }

    fn finish(&mut self) -> Result<(), SinkError> {
        let written = if self.buffer.is_empty() {
            Ok(())
        } else {
            self.write_out()
        };
        let flushed = self.writer.finish();
        written.and(flushed.map_err(|source| SinkError::io("standard output", source)))
    }
}

#[cfg(test)]
mod testing {
    //! What tests of the console show, and how: plainly.

    use std::time::Duration;

    use super::*;
    use crate::decode::{Endpoint, Scope};
    use crate::event::ClientKnown;
    use crate::output::clock::TimeStyle;
    use crate::output::escape::Unprintable;
    use crate::output::palette::Palette;

    pub(super) fn options() -> ConsoleOptions {
        ConsoleOptions {
            palette: Palette::none(),
            time: TimeStyle::None,
            prefix: true,
            show: Show::Lines(Unprintable::Escape),
            tls: TlsStyle::Records,
            body: Body::All,
            secrets: false,
            unicode: true,
            verbose: false,
            live: false,
            patience: Duration::from_secs(1),
        }
    }

    pub(super) fn connection() -> Connection {
        let endpoint = |port| Endpoint {
            address: std::net::Ipv4Addr::LOCALHOST.into(),
            port,
        };
        Connection {
            id: 1,
            slot: 0,
            client: endpoint(1025),
            server: endpoint(25),
            client_known: ClientKnown::Syn,
            first_time: Timestamp::default(),
            scope: Scope::default(),
            vlan: None,
            mac: None,
        }
    }
}

#[cfg(test)]
mod tests;
