//! Streams as files: each direction of each connection, byte for byte, at true offsets.
//!
//! Small streams are written in one go at their end: one open, one write, one close. Larger ones are written
//! in large pieces. What waits in memory and how many files are open is bounded. With an archive streams are its
//! members, and go to it when they are over.

mod folder;
mod lines;
mod stream;
mod trouble;
mod waiting;
mod writer;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::archive::Format;
use super::index::{self, Gathered};
use super::name::Namer;
use super::sync::Syncer;
use crate::event::{Closing, Connection, Direction, Event, Kind, Sink, SinkError};
use crate::lasting::Lasting;
use crate::slots::Slots;
use crate::time::Timestamp;
use folder::Folders;
pub use lines::Order;
use stream::Stream;
use trouble::Trouble;
use waiting::Memory;
use writer::{GAP, Writer};

/// Memory for what waits of all streams, at the most.
const WAITING: usize = 48 << 20;

/// When streams go to a new folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotation {
    /// A folder for each day, UTC, of connections' first packets.
    Day,
    /// After so many bytes.
    Size(u64),
}

/// How streams become files.
#[derive(Debug, Clone)]
pub struct FilesOptions {
    /// The folder, or the archive.
    pub folder: PathBuf,
    /// It is an archive: a new one is made, without rotation.
    pub archive: Option<Format>,
    /// An archive's index may be deflated by a thread of its own.
    pub aside: bool,
    /// Whether the user named it: then it may exist; else a new one is made beside it.
    pub named: bool,
    /// How files are named.
    pub namer: Namer,
    /// A gap of so many bytes starts a new file.
    pub min_gap: u64,
    /// Whether TLS goes to a file of its own.
    pub split_tls: bool,
    /// Folders in the folder.
    pub rotation: Option<Rotation>,
    /// Bytes are on disk after this time (live).
    pub patience: Option<Duration>,
    /// A full disk ends the run where false; else what can be kept is kept.
    pub keep_going: bool,
    /// Files open at once.
    pub open_files: usize,
}

/// What is known of a connection. It is small once its streams are over: of many short connections most are waiting for
/// late segments then, and what is kept of them is no longer in the processor's cache when their end comes.
#[derive(Debug)]
struct State {
    connection: Connection,
    folder: u32,
    /// While they are not over.
    streams: [Option<Box<Stream>>; 2],
    /// What the index tells of the files of those that are.
    files: [Vec<u8>; 2],
    gathered: Gathered,
}

impl State {
    fn stream_mut(&mut self, direction: Direction) -> &mut Stream {
        direction.of_mut(&mut self.streams).get_or_insert_default()
    }
}

/// A stream that waits to be written.
#[derive(Debug, Clone, Copy)]
struct Due {
    since: Timestamp,
    slot: u32,
    direction: Direction,
}

/// Writes streams to files.
#[derive(Debug)]
pub struct Files {
    options: FilesOptions,
    folders: Folders,
    /// Live, into a folder.
    syncer: Option<Syncer>,
    writer: Writer,
    states: Slots<State>,
    /// The streams that wait, by the number that they took.
    due: BTreeMap<u64, Due>,
    next_due: u64,
    trouble: Trouble,
    /// Of the last tick: it goes back where the clock does.
    now: Timestamp,
    /// Of the index, made last.
    line: Vec<u8>,
}

impl Files {
    /// Makes or opens the folder, or makes the archive. Bytes in `lasting` are written from where they lie.
    ///
    /// # Errors
    /// [`SinkError::Io`] with the folder's name.
    pub fn new(options: FilesOptions, lasting: Lasting) -> Result<Self, SinkError> {
        let folders = match options.archive {
            Some(format) => Folders::archive(&options.folder, format, options.aside)?,
            None => Folders::new(&options.folder, options.named, options.rotation)?,
        };
        Ok(Self::of(folders, options, lasting, WAITING))
    }

    /// Whether these options leave it to several threads to write one folder: where names of connections may be equal,
    /// where files lie depends on what was written before, or all goes into one file, order matters.
    pub fn can_be_shared(options: &FilesOptions) -> bool {
        options.archive.is_none() && options.rotation.is_none() && options.namer.is_unique()
    }

    /// Makes or opens the folder for so many threads, one of these for each. Whoever shares connections out tells the
    /// order in which they end.
    ///
    /// # Errors
    /// [`SinkError::Io`] with the folder's name.
    pub fn shared(
        options: &FilesOptions,
        lasting: &Lasting,
        threads: usize,
    ) -> Result<(Order, Vec<Self>), SinkError> {
        let (order, folders) = Folders::shared(&options.folder, options.named, threads)?;
        let options = FilesOptions {
            open_files: (options.open_files / threads.max(1)).max(1),
            ..options.clone()
        };
        let waiting = WAITING / threads.max(1);
        let one = |folders| Self::of(folders, options.clone(), lasting.clone(), waiting);
        Ok((order, folders.into_iter().map(one).collect()))
    }

    fn of(folders: Folders, options: FilesOptions, lasting: Lasting, most_waiting: usize) -> Self {
        let folder = (options.keep_going && options.archive.is_none())
            .then(|| std::fs::File::open(folders.path()).ok())
            .flatten();
        Self {
            trouble: Trouble::new(folders.path(), options.keep_going),
            folders,
            syncer: folder.map(|folder| Syncer::new(folder.into())),
            writer: Writer::new(
                options.namer.clone(),
                options.open_files,
                lasting,
                Memory::new(most_waiting),
            ),
            options,
            states: Slots::default(),
            due: BTreeMap::new(),
            next_due: 0,
            now: Timestamp::default(),
            line: Vec::new(),
        }
    }

    /// Where files go.
    pub fn folder(&self) -> PathBuf {
        self.folders.path().to_owned()
    }

    /// Files made so far, or members of an archive that has ended; indexes not counted.
    pub fn made(&self) -> u64 {
        self.folders.in_archive().unwrap_or(self.writer.made)
    }

    fn take(&mut self, connection: &Connection) -> Result<Box<State>, SinkError> {
        match self.states.take(connection.slot) {
            Some(state) => Ok(state),
            None => Ok(Box::new(State {
                connection: connection.clone(),
                folder: self.folders.enter(connection.first_time)?,
                streams: [None, None],
                files: [Vec::new(), Vec::new()],
                gathered: Gathered::default(),
            })),
        }
    }

    fn data(
        &mut self,
        state: &mut State,
        direction: Direction,
        kind: Kind,
        bytes: &[u8],
    ) -> Result<(), SinkError> {
        let State {
            connection,
            folder,
            streams,
            gathered,
            ..
        } = state;
        let stream = direction.of_mut(streams).get_or_insert_default();
        let Some(folder) = self.folders.get(*folder) else {
            return Ok(());
        };
        folder.bytes += bytes.len() as u64;
        let (target, who) = (&mut folder.target, (&*connection, direction));
        let mut written = Ok(());
        if kind == Kind::Tls && self.options.split_tls && !std::mem::replace(&mut stream.tls, true) {
            let tls = gathered.tls_offset(direction);
            written = self.writer.begin_tls(target, who, stream, tls);
        }
        let written = written.and(self.writer.append(target, who, stream, bytes));
        if stream.waits() && stream.due.is_none() {
            stream.due = Some(self.next_due);
            let due = Due {
                since: self.now,
                slot: connection.slot,
                direction,
            };
            self.due.insert(self.next_due, due);
            self.next_due += 1;
        }
        self.trouble.outcome(self.now, written)
    }

    /// Writes out a direction, and closes its file if it is over.
    fn write(&mut self, state: &mut State, direction: Direction, over: bool) -> Result<(), SinkError> {
        let State {
            connection,
            folder,
            streams,
            files,
            ..
        } = state;
        let place = direction.of_mut(streams);
        let (Some(stream), Some(folder)) = (place, self.folders.get(*folder)) else {
            return Ok(());
        };
        let who = (&*connection, direction);
        if let Some(due) = stream.due.take() {
            self.due.remove(&due);
        }
        if !over {
            let written = self.writer.write(&mut folder.target, who, stream);
            return self.trouble.outcome(self.now, written);
        }
        let written = self.writer.finish(&mut folder.target, who, stream);
        let listed = index::list(&stream.files, direction.of_mut(files));
        *direction.of_mut(streams) = None;
        listed.map_err(|error| SinkError::io("flows.jsonl", error.into()))?;
        self.trouble.outcome(self.now, written)
    }

    fn close(&mut self, mut state: Box<State>, closing: Option<&Closing>) -> Result<(), SinkError> {
        let mut kept = Ok(());
        for direction in Direction::BOTH {
            let written = self.write(&mut state, direction, true);
            kept = kept.and(written);
        }
        let State {
            connection,
            gathered,
            files,
            ..
        } = &*state;
        let line = gathered.line(connection, closing, files, &mut self.line);
        line.map_err(|error| SinkError::io("flows.jsonl", error.into()))?;
        let written = self.folders.leave(state.folder, &self.line);
        let written = self.trouble.outcome(self.now, written);
        kept.and(written)
    }

    /// Writes out the stream that has waited longest.
    fn write_oldest(&mut self) -> Result<(), SinkError> {
        let Some((_, due)) = self.due.pop_first() else {
            return Ok(());
        };
        let Some(mut state) = self.states.take(due.slot) else {
            return Ok(());
        };
        let written = self.write(&mut state, due.direction, false);
        self.states.put(due.slot, state);
        written
    }
}

impl Sink for Files {
    fn event(&mut self, connection: &Connection, event: &Event<'_>) -> Result<(), SinkError> {
        let mut state = self.take(connection)?;
        state.gathered.event(event);
        let done = match event {
            Event::Data {
                direction,
                kind,
                bytes,
                ..
            } => self.data(&mut state, *direction, *kind, bytes),
            Event::Gap { direction, len, .. } => {
                let min_gap = self.options.min_gap;
                let stream = state.stream_mut(*direction);
                if *len >= min_gap && stream.may_split(*len) {
                    stream.split(GAP);
                }
                self.writer.gap(stream, *len);
                Ok(())
            }
            Event::End { direction, .. } => self.write(&mut state, *direction, true),
            Event::Closed(closing) => return self.close(state, Some(closing)),
            _ => Ok(()),
        };
        self.states.put(connection.slot, state);
        done?;
        while self.writer.memory.is_short() && !self.due.is_empty() {
            self.write_oldest()?;
        }
        Ok(())
    }

    fn tick(&mut self, now: Timestamp) -> Result<(), SinkError> {
        self.now = now;
        let Some(patience) = self.options.patience else {
            return Ok(());
        };
        let mut wrote = false;
        // Members go to an archive when they are over, and not before.
        while self.options.archive.is_none()
            && self
                .due
                .first_key_value()
                .is_some_and(|(_, due)| now.apart(due.since) >= patience)
        {
            self.write_oldest()?;
            wrote = true;
        }
        if let Some(syncer) = self.syncer.as_mut().filter(|_| wrote) {
            syncer.written();
        }
        let flushed = self.folders.flush(now, patience);
        self.trouble.outcome(self.now, flushed)
    }

    fn finish(&mut self) -> Result<(), SinkError> {
        // Connections are still open only where the run failed; what came of them is kept.
        let mut kept = Ok(());
        for state in self.states.take_all() {
            let closed = self.close(state, None);
            kept = kept.and(closed);
        }
        let finished = self.folders.finish();
        let finished = self.trouble.outcome(self.now, finished);
        finished.and(kept)?;
        self.trouble.verdict()
    }

    fn take_warnings(&mut self) -> Vec<String> {
        self.trouble.take_warnings()
    }
}
