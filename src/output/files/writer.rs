//! Puts streams into files: few open at once, written in large pieces.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;

use crate::event::{Connection, Direction};
use crate::output::index::FileEntry;
use crate::output::name::{Namer, numbered};
use crate::output::store::{Store, write_at};

/// Bytes of a stream that are gathered before they are written.
const PIECE: usize = 256 << 10;

/// Zeros of a gap up to this are written; beyond it the file gets a hole.
const WRITTEN_ZEROS: u64 = 4096;

/// Spare buffers are kept for so many streams.
const SPARE: usize = 32;

/// The file that a direction is in.
#[derive(Debug, Default)]
pub(super) struct Stream {
    /// Files made so far, the current one last.
    pub(super) files: Vec<FileEntry>,
    /// The next byte begins a new file with this ending.
    ending: Option<&'static str>,
    /// It is in the file of its TLS part.
    pub(super) tls: bool,
    /// The current file exists.
    made: bool,
    /// Where the writer finds it open.
    stamp: u64,
    /// Where in the current file `buffer` begins.
    position: u64,
    /// Where in the stream `buffer` begins.
    offset: u64,
    buffer: Vec<u8>,
    /// Missing bytes that stand before whatever comes next.
    gap: u64,
    /// It stands in the queue of streams to be written.
    pub(super) queued: bool,
}

/// Writes streams.
#[derive(Debug)]
pub(super) struct Writer {
    namer: Namer,
    /// Open files by the time of their last use.
    open: BTreeMap<u64, File>,
    most_open: usize,
    next_stamp: u64,
    spare: Vec<Vec<u8>>,
    /// Bytes of all streams that wait in memory.
    pub(super) waiting: usize,
    /// Files made.
    pub(super) made: u64,
}

/// A file that could not be written: which, why, and how many bytes did not make it.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) name: String,
    pub(super) source: io::Error,
    pub(super) bytes: u64,
}

impl Stream {
    /// What follows goes to a new file with this ending.
    pub(super) fn split(&mut self, ending: &'static str) {
        self.ending = Some(ending);
    }

    /// Whether bytes wait to be written.
    pub(super) fn waits(&self) -> bool {
        !self.buffer.is_empty()
    }
}

impl Writer {
    pub(super) fn new(namer: Namer, most_open: usize) -> Self {
        Self {
            namer,
            open: BTreeMap::new(),
            most_open,
            next_stamp: 0,
            spare: Vec::new(),
            waiting: 0,
            made: 0,
        }
    }

    /// Bytes that the capture lacks.
    pub(super) fn gap(&mut self, stream: &mut Stream, len: u64) {
        stream.gap = stream.gap.saturating_add(len);
    }

    /// The stream's next bytes.
    pub(super) fn append(
        &mut self,
        store: &Store,
        (connection, direction): (&Connection, Direction),
        stream: &mut Stream,
        bytes: &[u8],
    ) -> Result<(), Failure> {
        let mut written = Ok(());
        if let Some(ending) = stream.ending.take() {
            written = self.write(store, (connection, direction), stream, &[]);
            self.close(stream);
            stream.offset = stream.offset.saturating_add(stream.gap);
            stream.gap = 0;
            stream.position = 0;
            // An ending is put behind the name that the stream has; one that has none yet gets its own first.
            let stem = match stream.files.last() {
                Some(file) => file.name.clone(),
                None => self.namer.name(connection, direction, 0),
            };
            stream.files.push(FileEntry {
                name: stem + ending,
                offset: stream.offset,
                bytes: 0,
                not_written: 0,
            });
        } else if stream.gap > WRITTEN_ZEROS || stream.gap > 0 && stream.buffer.is_empty() {
            written = self.write(store, (connection, direction), stream, &[]);
            let at_start = stream.files.is_empty();
            if at_start {
                self.begin(stream, connection, direction);
            }
            stream.position = stream.position.saturating_add(stream.gap);
            stream.offset = stream.offset.saturating_add(stream.gap);
            stream.gap = 0;
        } else if stream.gap > 0 {
            let zeros = usize::try_from(stream.gap).unwrap_or(0);
            stream.buffer.resize(stream.buffer.len() + zeros, 0);
            self.waiting += zeros;
            stream.gap = 0;
        }
        if stream.files.is_empty() {
            self.begin(stream, connection, direction);
        }
        if stream.buffer.len() + bytes.len() > PIECE {
            let tail = if bytes.len() >= PIECE { bytes } else { &[] };
            let now = self.write(store, (connection, direction), stream, tail);
            written = written.and(now);
            if !tail.is_empty() {
                return written;
            }
        }
        if stream.buffer.capacity() == 0
            && bytes.len() > 512
            && let Some(spare) = self.spare.pop()
        {
            stream.buffer = spare;
        }
        stream.buffer.extend_from_slice(bytes);
        self.waiting += bytes.len();
        written
    }

    fn begin(&self, stream: &mut Stream, connection: &Connection, direction: Direction) {
        let name = self.namer.name(connection, direction, 0);
        stream.files.push(FileEntry {
            name,
            offset: 0,
            bytes: 0,
            not_written: 0,
        });
    }

    /// Writes what waits, and `tail` behind it.
    pub(super) fn write(
        &mut self,
        store: &Store,
        who: (&Connection, Direction),
        stream: &mut Stream,
        tail: &[u8],
    ) -> Result<(), Failure> {
        if stream.buffer.is_empty() && tail.is_empty() {
            return Ok(());
        }
        let mut buffer = std::mem::take(&mut stream.buffer);
        self.waiting = self.waiting.saturating_sub(buffer.len());
        let len = (buffer.len() + tail.len()) as u64;
        let written = self.file(store, who, stream).and_then(|file| {
            write_at(&file, &buffer, stream.position)?;
            write_at(&file, tail, stream.position + buffer.len() as u64)?;
            self.keep(stream, file);
            Ok(())
        });
        stream.position = stream.position.saturating_add(len);
        stream.offset = stream.offset.saturating_add(len);
        buffer.clear();
        stream.buffer = buffer;
        let Some(entry) = stream.files.last_mut() else {
            return Ok(());
        };
        entry.bytes = stream.position;
        written.map_err(|source| {
            entry.not_written += len;
            Failure {
                name: entry.name.clone(),
                source,
                bytes: len,
            }
        })
    }

    /// The stream is over: writes what waits, closes the file.
    pub(super) fn finish(
        &mut self,
        store: &Store,
        who: (&Connection, Direction),
        stream: &mut Stream,
    ) -> Result<(), Failure> {
        let written = self.write(store, who, stream, &[]);
        self.close(stream);
        let buffer = std::mem::take(&mut stream.buffer);
        if buffer.capacity() > 0 && self.spare.len() < SPARE {
            self.spare.push(buffer);
        }
        written
    }

    fn close(&mut self, stream: &mut Stream) {
        self.open.remove(&stream.stamp);
        stream.made = false;
    }

    /// The stream's file, taken out of the open ones, opened or made where it has to be.
    fn file(
        &mut self,
        store: &Store,
        who: (&Connection, Direction),
        stream: &mut Stream,
    ) -> io::Result<File> {
        if let Some(file) = self.open.remove(&stream.stamp) {
            return Ok(file);
        }
        let first = stream.files.len() == 1 && !stream.tls;
        let Some(entry) = stream.files.last_mut() else {
            return Err(io::ErrorKind::NotFound.into());
        };
        if stream.made {
            return store.reopen(&entry.name);
        }
        let (connection, direction) = who;
        let (file, name) = store.create_file(|count| {
            if first && count > 0 {
                self.namer.name(connection, direction, count)
            } else {
                numbered(entry.name.clone(), count)
            }
        })?;
        entry.name = name;
        stream.made = true;
        self.made += 1;
        Ok(file)
    }

    /// Keeps a file open for the next piece; another one is closed for it if need be.
    fn keep(&mut self, stream: &mut Stream, file: File) {
        if self.open.len() >= self.most_open {
            self.open.pop_first();
        }
        self.next_stamp += 1;
        stream.stamp = self.next_stamp;
        self.open.insert(stream.stamp, file);
    }
}
