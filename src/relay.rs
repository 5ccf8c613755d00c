//! Sinks on a thread of their own, so that reading and writing overlap.
//!
//! Events go in batches through a short channel, and the batches come back empty. Of bytes that last only the
//! place is told, others are copied. The sinks see the same events in the same order as without it: output is the
//! same, byte for byte.

use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};

use crate::event::{
    Closing, Connection, Direction, EndHow, Event, GapReason, Kind, Sink, SinkError, TcpNote,
};
use crate::lasting::{Lasting, Place};
use crate::mail::MailEvent;
use crate::privileges;
use crate::time::Timestamp;
use crate::tls::TlsEvent;

/// Batches between the two threads.
const BATCHES: usize = 4;

/// A batch goes when it tells of so many bytes of streams: what the reader has just seen should still be in the
/// processor's cache when it is written; …
const BYTES: usize = 256 << 10;

/// … or so many events.
const EVENTS: usize = 4096;

/// What the sinks are to be told.
#[derive(Debug)]
enum Told {
    Opened(Box<Connection>),
    Data {
        direction: Direction,
        offset: u64,
        time: Timestamp,
        kind: Kind,
        bytes: Bytes,
    },
    Gap {
        direction: Direction,
        offset: u64,
        len: u64,
        time: Timestamp,
        reason: GapReason,
    },
    Cut {
        direction: Direction,
        offset: u64,
        time: Timestamp,
    },
    Note {
        direction: Direction,
        time: Timestamp,
        note: TcpNote,
    },
    End {
        direction: Direction,
        time: Timestamp,
        how: EndHow,
    },
    Mail(Box<MailEvent>),
    Tls(Box<TlsEvent>),
    Closed(Box<Closing>),
    Tick(Timestamp),
    Flush,
}

#[derive(Debug)]
enum Bytes {
    There(Place),
    /// The next so many bytes of the batch.
    Copied(usize),
}

/// Events on their way.
#[derive(Debug, Default)]
struct Batch {
    /// With the slot of their connection.
    told: Vec<(u32, Told)>,
    copied: Vec<u8>,
    /// Bytes of streams that it tells of.
    bytes: usize,
}

/// The near end: a sink that passes on what it is told.
#[derive(Debug)]
pub struct Relay<S> {
    lasting: Lasting,
    batch: Batch,
    to_writer: Option<Sender<Batch>>,
    empty: Receiver<Batch>,
    writer: Option<JoinHandle<(S, Result<(), SinkError>)>>,
    /// The sink, once it is back.
    sink: Option<S>,
    warnings: Receiver<String>,
}

impl<S: Sink + Send + 'static> Relay<S> {
    /// Starts the thread, which inherits what privileges and sandbox the calling one has.
    ///
    /// # Errors
    /// What the system says.
    pub fn new(sink: S, lasting: Lasting) -> std::io::Result<Self> {
        let (to_writer, full) = bounded(BATCHES);
        let (to_reader, empty) = bounded(BATCHES + 2);
        let (complain, warnings) = unbounded();
        let theirs = lasting.clone();
        let writer = std::thread::Builder::new()
            .name("write".to_owned())
            .spawn(move || {
                // `--wait` keeps it in reserve, for the capture thread alone.
                privileges::forget_capture();
                writes(sink, &theirs, &full, &to_reader, &complain)
            })?;
        let (writer, to_writer) = (Some(writer), Some(to_writer));
        Ok(Self {
            lasting,
            batch: Batch::default(),
            to_writer,
            empty,
            writer,
            sink: None,
            warnings,
        })
    }

    /// The sink, also if the run has failed.
    pub fn into_sink(mut self) -> Option<S> {
        let _ = self.join();
        self.sink.take()
    }

    /// The sink, once [`Sink::finish`] has been called.
    pub fn sink(&self) -> Option<&S> {
        self.sink.as_ref()
    }

    fn tell(&mut self, slot: u32, told: Told) -> Result<(), SinkError> {
        self.batch.told.push((slot, told));
        if self.batch.told.len() >= EVENTS || self.batch.bytes >= BYTES {
            self.send()
        } else {
            Ok(())
        }
    }

    fn send(&mut self) -> Result<(), SinkError> {
        let next = self.empty.try_recv().unwrap_or_default();
        let batch = std::mem::replace(&mut self.batch, next);
        match &self.to_writer {
            Some(to_writer) if to_writer.send(batch).is_ok() => Ok(()),
            // It has gone because of an error of its own.
            _ => self.join(),
        }
    }

    fn join(&mut self) -> Result<(), SinkError> {
        self.to_writer = None;
        match self.writer.take().map(JoinHandle::join) {
            Some(Ok((sink, outcome))) => {
                self.sink = Some(sink);
                outcome
            }
            Some(Err(panic)) => std::panic::resume_unwind(panic),
            None => Ok(()),
        }
    }
}

impl<S: Sink + Send + 'static> Sink for Relay<S> {
    fn event(&mut self, connection: &Connection, event: &Event<'_>) -> Result<(), SinkError> {
        let told = match event {
            Event::Opened => Told::Opened(Box::new(connection.clone())),
            Event::Data {
                direction,
                offset,
                time,
                kind,
                bytes,
            } => {
                self.batch.bytes += bytes.len();
                let bytes = self.lasting.place(bytes).map_or_else(
                    || {
                        self.batch.copied.extend_from_slice(bytes);
                        Bytes::Copied(bytes.len())
                    },
                    Bytes::There,
                );
                Told::Data {
                    direction: *direction,
                    offset: *offset,
                    time: *time,
                    kind: *kind,
                    bytes,
                }
            }
            Event::Gap {
                direction,
                offset,
                len,
                time,
                reason,
            } => Told::Gap {
                direction: *direction,
                offset: *offset,
                len: *len,
                time: *time,
                reason: *reason,
            },
            Event::Cut {
                direction,
                offset,
                time,
            } => Told::Cut {
                direction: *direction,
                offset: *offset,
                time: *time,
            },
            Event::Note {
                direction,
                time,
                note,
            } => Told::Note {
                direction: *direction,
                time: *time,
                note: *note,
            },
            Event::End { direction, time, how } => Told::End {
                direction: *direction,
                time: *time,
                how: *how,
            },
            Event::Mail(event) => Told::Mail(Box::new((*event).clone())),
            Event::Tls(event) => Told::Tls(Box::new((*event).clone())),
            Event::Closed(closing) => Told::Closed(Box::new((*closing).clone())),
        };
        self.tell(connection.slot, told)
    }

    fn tick(&mut self, now: Timestamp) -> Result<(), SinkError> {
        self.tell(0, Told::Tick(now))
    }

    fn flush(&mut self) -> Result<(), SinkError> {
        self.tell(0, Told::Flush)?;
        self.send()
    }

    fn take_warnings(&mut self) -> Vec<String> {
        self.warnings.try_iter().collect()
    }

    fn finish(&mut self) -> Result<(), SinkError> {
        self.send()?;
        self.join()?;
        self.sink.as_mut().map_or(Ok(()), Sink::finish)
    }
}

/// The thread: until the near end is gone, or the sink fails.
fn writes<S: Sink>(
    mut sink: S,
    lasting: &Lasting,
    full: &Receiver<Batch>,
    empty: &Sender<Batch>,
    complain: &Sender<String>,
) -> (S, Result<(), SinkError>) {
    let mut connections = Vec::new();
    for mut batch in full {
        let written = write(&mut sink, lasting, &mut connections, &batch);
        for warning in sink.take_warnings() {
            let _ = complain.send(warning);
        }
        if written.is_err() {
            return (sink, written);
        }
        batch.told.clear();
        batch.copied.clear();
        batch.bytes = 0;
        // The near end may have gone; then nobody needs it.
        let _ = empty.try_send(batch);
    }
    (sink, Ok(()))
}

fn write<S: Sink>(
    sink: &mut S,
    lasting: &Lasting,
    connections: &mut Vec<Option<Box<Connection>>>,
    batch: &Batch,
) -> Result<(), SinkError> {
    let mut rest = batch.copied.as_slice();
    for (slot, told) in &batch.told {
        let slot = *slot as usize;
        match told {
            Told::Tick(now) => {
                sink.tick(*now)?;
                continue;
            }
            Told::Flush => {
                sink.flush()?;
                continue;
            }
            Told::Opened(connection) => {
                if connections.len() <= slot {
                    connections.resize_with(slot + 1, || None);
                }
                if let Some(place) = connections.get_mut(slot) {
                    *place = Some(connection.clone());
                }
            }
            _ => {}
        }
        // Nothing is told of a connection before it is opened.
        let Some(connection) = connections.get(slot).and_then(Option::as_deref) else {
            continue;
        };
        let event = match told {
            Told::Tick(_) | Told::Flush => continue,
            Told::Opened(_) => Event::Opened,
            Told::Data {
                direction,
                offset,
                time,
                kind,
                bytes,
            } => {
                let bytes = match bytes {
                    Bytes::There(place) => lasting.bytes(*place),
                    Bytes::Copied(len) => {
                        let (bytes, after) = rest.split_at_checked(*len).unwrap_or_default();
                        rest = after;
                        bytes
                    }
                };
                Event::Data {
                    direction: *direction,
                    offset: *offset,
                    time: *time,
                    kind: *kind,
                    bytes,
                }
            }
            Told::Gap {
                direction,
                offset,
                len,
                time,
                reason,
            } => Event::Gap {
                direction: *direction,
                offset: *offset,
                len: *len,
                time: *time,
                reason: *reason,
            },
            Told::Cut {
                direction,
                offset,
                time,
            } => Event::Cut {
                direction: *direction,
                offset: *offset,
                time: *time,
            },
            Told::Note {
                direction,
                time,
                note,
            } => Event::Note {
                direction: *direction,
                time: *time,
                note: *note,
            },
            Told::End { direction, time, how } => Event::End {
                direction: *direction,
                time: *time,
                how: *how,
            },
            Told::Mail(event) => Event::Mail(event),
            Told::Tls(event) => Event::Tls(event),
            Told::Closed(closing) => Event::Closed(closing),
        };
        sink.event(connection, &event)?;
        if let (Told::Closed(_), Some(place)) = (told, connections.get_mut(slot)) {
            *place = None;
        }
    }
    Ok(())
}
