//! The spine without sinks: capture → decode → flow, with everything it tells kept, and the promises that
//! `event.rs` makes about the order of events checked on the way.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::packets::Tcp;
use flowdump::capture::{CaptureError, FileSource, Next, Packet, Source};
use flowdump::decode::{DecodeOptions, Decoder, Segment};
use flowdump::event::{
    CloseReason, Closing, Connection, Direction, EndHow, Event, GapReason, SinkError, TcpNote,
};
use flowdump::flow::{FlowOptions, FlowStats, FlowTable};
use flowdump::time::Timestamp;

/// A piece of a stream as it came out: bytes, or none where the capture lacks them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Run {
    Data(Vec<u8>),
    Gap(u64, GapReason),
}

/// One direction as it came out; neighbours of one kind are joined.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stream {
    pub runs: Vec<Run>,
    pub len: u64,
    pub gap_count: u64,
    pub end: Option<EndHow>,
}

impl Stream {
    /// All bytes in order, without what is missing.
    pub fn bytes(&self) -> Vec<u8> {
        self.runs
            .iter()
            .flat_map(|run| match run {
                Run::Data(bytes) => bytes.as_slice(),
                Run::Gap(..) => &[],
            })
            .copied()
            .collect()
    }

    /// What is missing: offset and length.
    pub fn gaps(&self) -> Vec<(u64, u64)> {
        let mut at = 0;
        let mut gaps = Vec::new();
        for run in &self.runs {
            match run {
                Run::Data(bytes) => at += bytes.len() as u64,
                Run::Gap(len, _) => {
                    gaps.push((at, *len));
                    at += len;
                }
            }
        }
        gaps
    }

    /// Bytes as text with `[n missing]` where they are missing: what a reader of a test wants to see.
    pub fn text(&self) -> String {
        self.runs
            .iter()
            .map(|run| match run {
                Run::Data(bytes) => String::from_utf8_lossy(bytes).into_owned(),
                Run::Gap(len, _) => format!("[{len} missing]"),
            })
            .collect()
    }

    fn data(&mut self, bytes: &[u8]) {
        self.len += bytes.len() as u64;
        match self.runs.last_mut() {
            Some(Run::Data(before)) => before.extend_from_slice(bytes),
            _ => self.runs.push(Run::Data(bytes.to_vec())),
        }
    }

    fn gap(&mut self, len: u64, reason: GapReason) {
        self.len += len;
        self.gap_count += 1;
        match self.runs.last_mut() {
            Some(Run::Gap(before, why)) if *why == reason => *before += len,
            _ => self.runs.push(Run::Gap(len, reason)),
        }
    }
}

/// One connection as it came out.
#[derive(Debug, Clone)]
pub struct Seen {
    pub connection: Connection,
    /// Client → server, server → client.
    pub streams: [Stream; 2],
    pub notes: Vec<(Direction, TcpNote)>,
    pub closing: Option<Closing>,
}

impl Seen {
    pub fn to_server(&self) -> &Stream {
        &self.streams[0]
    }

    pub fn to_client(&self) -> &Stream {
        &self.streams[1]
    }

    pub fn closed(&self) -> &Closing {
        self.closing
            .as_ref()
            .expect("every connection is closed at the end")
    }

    pub fn reason(&self) -> CloseReason {
        self.closed().reason
    }

    pub fn has_note(&self, is_it: impl Fn(&TcpNote) -> bool) -> bool {
        self.notes.iter().any(|(_, note)| is_it(note))
    }
}

/// Takes events, keeps them, and checks their promises: opened first and closed last, offsets that run on
/// without a hole or an overlap, nothing behind the end, totals that are the sum of what was told.
#[derive(Debug, Default)]
pub struct Watch {
    pub connections: Vec<Seen>,
    by_id: HashMap<u64, usize>,
    slots: HashMap<u32, u64>,
    /// Keep no bytes: for runs that are about counts.
    pub only_count: bool,
}

impl Watch {
    pub fn event(&mut self, connection: &Connection, event: &Event<'_>) {
        if let Event::Opened = event {
            assert!(
                !self.by_id.contains_key(&connection.id),
                "opened twice: {connection:?}"
            );
            assert!(
                self.slots.insert(connection.slot, connection.id).is_none(),
                "slot is taken"
            );
            self.by_id.insert(connection.id, self.connections.len());
            return self.connections.push(Seen {
                connection: connection.clone(),
                streams: Default::default(),
                notes: Vec::new(),
                closing: None,
            });
        }
        let index = *self
            .by_id
            .get(&connection.id)
            .expect("opened before anything else");
        let seen = &mut self.connections[index];
        assert!(seen.closing.is_none(), "an event behind the close: {event:?}");
        assert_eq!(
            seen.connection.client, connection.client,
            "who is who is settled when it is told"
        );
        match event {
            Event::Data {
                direction,
                offset,
                bytes,
                ..
            } => {
                let stream = &mut seen.streams[direction.index()];
                assert!(!bytes.is_empty() && stream.end.is_none(), "{event:?}");
                assert_eq!(*offset, stream.len, "each byte once, in order");
                if self.only_count {
                    stream.len += bytes.len() as u64
                } else {
                    stream.data(bytes)
                }
            }
            Event::Gap {
                direction,
                offset,
                len,
                reason,
                ..
            } => {
                let stream = &mut seen.streams[direction.index()];
                assert!(*len > 0 && stream.end.is_none(), "{event:?}");
                assert_eq!(*offset, stream.len, "a gap is where bytes are missing");
                stream.gap(*len, *reason);
            }
            Event::Note { direction, note, .. } => seen.notes.push((*direction, *note)),
            Event::End { direction, how, .. } => {
                let stream = &mut seen.streams[direction.index()];
                assert!(stream.end.replace(*how).is_none(), "ended twice");
            }
            Event::Closed(closing) => {
                for (stream, totals) in seen.streams.iter().zip(&closing.totals) {
                    assert_eq!(
                        stream.len,
                        totals.bytes + totals.gap_bytes,
                        "{:?}",
                        seen.connection
                    );
                    assert_eq!(stream.gap_count, totals.gaps);
                }
                seen.closing = Some((*closing).clone());
                assert_eq!(self.slots.remove(&connection.slot), Some(connection.id));
            }
            Event::Opened | Event::Cut { .. } | Event::Mail(_) | Event::Tls(_) => {
                unreachable!("flow does not say {event:?}")
            }
        }
    }

    /// The capture is over: everything that was opened is closed.
    pub fn end(&self) {
        assert!(self.slots.is_empty(), "still open: {:?}", self.slots);
    }
}

/// Everything that a run told.
#[derive(Debug)]
pub struct Replay {
    pub packets: u64,
    /// By reason, as it is told to users.
    pub unread: Vec<(String, u64)>,
    pub stats: FlowStats,
    pub warnings: Vec<String>,
    pub errors: Vec<String>,
    pub connections: Vec<Seen>,
}

/// Decoder and table, fed packet by packet.
pub struct Spine {
    decoder: Decoder,
    table: FlowTable,
    watch: Watch,
    packets: u64,
}

impl Default for Spine {
    fn default() -> Self {
        Self::new(DecodeOptions::default(), FlowOptions::default())
    }
}

impl Spine {
    pub fn new(decode: DecodeOptions, flow: FlowOptions) -> Self {
        Self {
            decoder: Decoder::new(decode),
            table: FlowTable::new(flow),
            watch: Watch::default(),
            packets: 0,
        }
    }

    /// The same, keeping no bytes.
    pub fn counting(flow: FlowOptions) -> Self {
        let mut spine = Self::new(DecodeOptions::default(), flow);
        spine.watch.only_count = true;
        spine
    }

    pub fn packet(&mut self, packet: &Packet<'_>) {
        self.packets += 1;
        if let Some(segment) = self.decoder.decode(packet) {
            Self::give(&mut self.table, &mut self.watch, &segment);
        }
    }

    pub fn segment(&mut self, segment: &Segment<'_>) {
        Self::give(&mut self.table, &mut self.watch, segment);
    }

    fn give(table: &mut FlowTable, watch: &mut Watch, segment: &Segment<'_>) {
        let mut emit = |connection: &Connection, event: &Event<'_>| -> Result<(), SinkError> {
            watch.event(connection, event);
            Ok(())
        };
        table.segment(segment, &mut emit).expect("the watch never fails");
    }

    /// Packet time goes on without packets.
    pub fn tick(&mut self, now: Timestamp) {
        let watch = &mut self.watch;
        let mut emit = |connection: &Connection, event: &Event<'_>| -> Result<(), SinkError> {
            watch.event(connection, event);
            Ok(())
        };
        self.table.tick(now, &mut emit).expect("the watch never fails");
    }

    /// Counts so far.
    pub fn stats(&self) -> FlowStats {
        self.table.stats()
    }

    /// What was told so far.
    pub fn so_far(&self) -> &[Seen] {
        &self.watch.connections
    }

    pub fn finish(mut self) -> Replay {
        let watch = &mut self.watch;
        let mut emit = |connection: &Connection, event: &Event<'_>| -> Result<(), SinkError> {
            watch.event(connection, event);
            Ok(())
        };
        self.table.finish(&mut emit).expect("the watch never fails");
        self.watch.end();
        Replay {
            packets: self.packets,
            unread: self
                .decoder
                .unread()
                .iter()
                .map(|(why, count)| (why.to_string(), count))
                .collect(),
            stats: self.table.stats(),
            warnings: Vec::new(),
            errors: Vec::new(),
            connections: self.watch.connections,
        }
    }
}

/// Segments through a table of its own, to the end.
pub fn play<'t>(segments: impl IntoIterator<Item = &'t Tcp>) -> Replay {
    play_into(Spine::default(), segments)
}

/// The same with options of its own.
pub fn play_into<'t>(mut spine: Spine, segments: impl IntoIterator<Item = &'t Tcp>) -> Replay {
    for segment in segments {
        spine.segment(&segment.segment());
    }
    spine.finish()
}

impl Replay {
    /// The only connection of a capture that has one.
    pub fn only(&self) -> &Seen {
        match self.connections.as_slice() {
            [one] => one,
            several => panic!("one connection was expected, {} came", several.len()),
        }
    }
}

/// Reads capture files through the spine to their end.
pub fn replay_files(paths: &[PathBuf]) -> Replay {
    replay_into(paths, Spine::default())
}

/// Reads one.
pub fn replay(path: &Path) -> Replay {
    replay_files(&[path.to_owned()])
}

/// Reads capture files through a spine with options of its own.
pub fn replay_into(paths: &[PathBuf], spine: Spine) -> Replay {
    replay_source(FileSource::open(paths), spine)
}

/// Reads a capture to its end, whatever is wrong with it.
pub fn replay_source(source: Result<FileSource, CaptureError>, mut spine: Spine) -> Replay {
    let mut errors = Vec::new();
    let mut warnings = Vec::new();
    match source {
        Err(error) => errors.push(error.to_string()),
        Ok(mut source) => loop {
            match source.next() {
                Ok(Next::Packet(packet)) => spine.packet(&packet),
                Ok(Next::Idle(_)) => {}
                Ok(Next::End) => {
                    warnings.extend(source.take_warnings());
                    break;
                }
                Err(error) => errors.push(error.to_string()),
            }
            warnings.extend(source.take_warnings());
        },
    }
    Replay {
        warnings,
        errors,
        ..spine.finish()
    }
}
