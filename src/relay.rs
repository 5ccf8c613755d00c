//! Watchers and sinks on a thread of their own, so that reading and writing overlap.
//!
//! Events go in batches through a short channel, and the batches come back empty. Of bytes that last only the
//! place is told, others are copied. The sinks see the same events in the same order as without it: output is the
//! same, byte for byte.

use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};

use crate::event::{Closing, Connection, Event, Sink, SinkError};
use crate::lasting::{Lasting, Place};
use crate::privileges;
use crate::slots::Slots;
use crate::time::Timestamp;

/// Batches between the two threads: as much as is written while the one that reads waits for its turn on a busy
/// processor. With half as many the others then have nothing to do.
const BATCHES: usize = 8;

/// A batch goes when it tells of so many bytes of streams: what the reader has just seen should still be in the
/// processor's cache when it is written; …
const BYTES: usize = 256 << 10;

/// … or so many events, for the same reason: with 4096 a flood of short connections takes a seventh longer.
const EVENTS: usize = 256;

/// Room for copies that an empty batch keeps: a capture may have packets of 64 MB.
const KEPT: usize = 1 << 20;

/// What the sinks are to be told. What comes with it lies beside it in the batch, in the same order.
#[derive(Debug)]
enum Told {
    /// Without the bytes of [`Event::Data`].
    Event(Event<'static>),
    Closed,
    Tick(Timestamp),
    Silent(Timestamp),
    Flush,
}

#[derive(Debug)]
enum Bytes {
    There(Place),
    /// The next so many bytes of the copies.
    Copied(usize),
}

/// Events on their way.
#[derive(Debug, Default)]
struct Batch {
    /// With the slot of their connection.
    told: Vec<(u32, Told)>,
    opened: Vec<Connection>,
    data: Vec<Bytes>,
    copied: Vec<u8>,
    closings: Vec<Closing>,
    /// Bytes of streams that it tells of.
    bytes: usize,
}

impl Batch {
    fn clear(&mut self) {
        self.told.clear();
        self.opened.clear();
        self.data.clear();
        self.copied.clear();
        self.copied.shrink_to(KEPT);
        self.closings.clear();
        self.bytes = 0;
    }
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
        let batch = &mut self.batch;
        let told = match *event {
            Event::Opened => {
                batch.opened.push(connection.clone());
                Told::Event(Event::Opened)
            }
            Event::Data {
                direction,
                offset,
                time,
                kind,
                bytes,
            } => {
                batch.bytes += bytes.len();
                batch.data.push(self.lasting.place(bytes).map_or_else(
                    || {
                        batch.copied.extend_from_slice(bytes);
                        Bytes::Copied(bytes.len())
                    },
                    Bytes::There,
                ));
                Told::Event(Event::Data {
                    direction,
                    offset,
                    time,
                    kind,
                    bytes: &[],
                })
            }
            Event::Gap {
                direction,
                offset,
                len,
                time,
                reason,
            } => Told::Event(Event::Gap {
                direction,
                offset,
                len,
                time,
                reason,
            }),
            Event::Cut {
                direction,
                offset,
                time,
            } => Told::Event(Event::Cut {
                direction,
                offset,
                time,
            }),
            Event::Note {
                direction,
                time,
                note,
            } => Told::Event(Event::Note {
                direction,
                time,
                note,
            }),
            Event::End { direction, time, how } => Told::Event(Event::End { direction, time, how }),
            Event::Closed(closing) => {
                batch.closings.push(closing.clone());
                Told::Closed
            }
            // Who tells of these is among the sinks.
            Event::Mail(_) | Event::Tls(_) => return Ok(()),
        };
        self.tell(connection.slot, told)
    }

    fn tick(&mut self, now: Timestamp) -> Result<(), SinkError> {
        self.tell(0, Told::Tick(now))
    }

    fn silent(&mut self, now: Timestamp) -> Result<(), SinkError> {
        self.tell(0, Told::Silent(now))
    }

    fn flush(&mut self) -> Result<(), SinkError> {
        self.tell(0, Told::Flush)?;
        self.send()
    }

    fn take_warnings(&mut self) -> Vec<String> {
        self.warnings.try_iter().collect()
    }

    fn finish(&mut self) -> Result<(), SinkError> {
        let written = self.send();
        let written = written.and(self.join());
        // Also a sink that has just failed: what it can still keep of what it was told before is kept.
        written.and(self.sink.as_mut().map_or(Ok(()), Sink::finish))
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
    let mut connections = Slots::default();
    for mut batch in full {
        let written = write(&mut sink, lasting, &mut connections, &batch);
        for warning in sink.take_warnings() {
            let _ = complain.send(warning);
        }
        if written.is_err() {
            return (sink, written);
        }
        batch.clear();
        // The near end may have gone; then nobody needs it.
        let _ = empty.try_send(batch);
    }
    (sink, Ok(()))
}

fn write<S: Sink>(
    sink: &mut S,
    lasting: &Lasting,
    connections: &mut Slots<Connection>,
    batch: &Batch,
) -> Result<(), SinkError> {
    let mut opened = batch.opened.iter();
    let mut data = batch.data.iter();
    let mut copied = batch.copied.as_slice();
    let mut closings = batch.closings.iter();
    for (slot, told) in &batch.told {
        let mut event = match told {
            Told::Tick(now) => {
                sink.tick(*now)?;
                continue;
            }
            Told::Silent(now) => {
                sink.silent(*now)?;
                continue;
            }
            Told::Flush => {
                sink.flush()?;
                continue;
            }
            Told::Closed => match closings.next() {
                Some(closing) => Event::Closed(closing),
                None => continue,
            },
            Told::Event(event) => event.clone(),
        };
        match &mut event {
            Event::Opened => {
                if let Some(connection) = opened.next() {
                    connections.put(*slot, Box::new(connection.clone()));
                }
            }
            Event::Data { bytes, .. } => {
                *bytes = match data.next() {
                    Some(Bytes::There(place)) => lasting.bytes(*place),
                    Some(Bytes::Copied(len)) => {
                        let (bytes, rest) = copied.split_at_checked(*len).unwrap_or_default();
                        copied = rest;
                        bytes
                    }
                    None => &[],
                };
            }
            _ => {}
        }
        // Nothing is told of a connection before it is opened.
        if let Some(connection) = connections.get(*slot) {
            sink.event(connection, &event)?;
        }
        if let Event::Closed(_) = event {
            connections.take(*slot);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes nothing, and counts how often it was told that this was all.
    struct Full(usize);

    impl Sink for Full {
        fn event(&mut self, _: &Connection, _: &Event<'_>) -> Result<(), SinkError> {
            Err(SinkError::Closed)
        }

        fn finish(&mut self) -> Result<(), SinkError> {
            self.0 += 1;
            Ok(())
        }
    }

    #[test]
    fn a_sink_that_fails_at_the_very_end_still_finishes() {
        let mut relay = Relay::new(Full(0), Lasting::default()).unwrap();
        relay
            .event(&crate::mail::tests::connection(), &Event::Opened)
            .unwrap();
        assert!(matches!(relay.finish(), Err(SinkError::Closed)));
        assert_eq!(relay.into_sink().unwrap().0, 1);
    }

    #[test]
    fn a_batch_that_comes_back_keeps_no_long_packet_s_room() {
        let mut batch = Batch::default();
        batch.copied.resize(60_000_000, b'x');
        batch.clear();
        assert!(batch.copied.capacity() <= KEPT);
    }
}
