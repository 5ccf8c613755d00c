//! The folders that streams go to, each with its index: one, or a new one each day or so many bytes.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::time::Duration;

use super::Rotation;
use super::writer::Failure;
use crate::event::SinkError;
use crate::output::clock::utc;
use crate::output::store::Store;
use crate::time::Timestamp;

/// The index's name, before a `~n` that it may get.
const INDEX: &str = "flows";

/// A folder that streams go to.
#[derive(Debug)]
pub(super) struct Folder {
    pub(super) store: Store,
    /// Bytes of streams in it.
    pub(super) bytes: u64,
    index: BufWriter<File>,
    index_name: String,
    /// Since when lines wait in memory.
    waiting: Option<Timestamp>,
    /// Connections that are in it and not over.
    connections: u64,
    day: i64,
}

/// All folders that connections are in.
#[derive(Debug)]
pub(super) struct Folders {
    rotation: Option<Rotation>,
    outer: Store,
    folders: BTreeMap<u32, Folder>,
    current: Option<u32>,
    next: u32,
    now: Timestamp,
}

impl Folders {
    pub(super) fn new(path: &Path, named: bool, rotation: Option<Rotation>) -> Result<Self, SinkError> {
        let outer = if named {
            Store::open(path)
        } else {
            Store::create(path)
        };
        let outer = outer.map_err(|error| SinkError::io(path.display().to_string(), error))?;
        let mut folders = Self {
            rotation,
            outer,
            folders: BTreeMap::new(),
            current: None,
            next: 0,
            now: Timestamp::default(),
        };
        if rotation.is_none() {
            // Trouble with the folder is to be known before the first packet.
            folders.open(Timestamp::default())?;
        }
        Ok(folders)
    }

    pub(super) fn path(&self) -> &Path {
        self.outer.path()
    }

    /// The folder for a connection that begins at `time`; it has to [`Folders::leave`] it.
    pub(super) fn enter(&mut self, time: Timestamp) -> Result<u32, SinkError> {
        let day = time.seconds().div_euclid(86_400);
        let fits = self
            .current
            .and_then(|id| self.folders.get(&id))
            .is_some_and(|folder| match self.rotation {
                None => true,
                Some(Rotation::Day) => folder.day >= day,
                Some(Rotation::Size(most)) => folder.bytes < most,
            });
        let id = match self.current {
            Some(id) if fits => id,
            _ => self.open(time)?,
        };
        if let Some(folder) = self.folders.get_mut(&id) {
            folder.connections += 1;
        }
        Ok(id)
    }

    fn open(&mut self, time: Timestamp) -> Result<u32, SinkError> {
        let failed = |path: &Path, error| SinkError::io(path.display().to_string(), error);
        let store = match self.rotation {
            None => Store::open(self.outer.path()),
            Some(Rotation::Day) => {
                Store::open(&self.outer.path().join(utc(time).format("%Y%m%d").to_string()))
            }
            Some(Rotation::Size(_)) => Store::create(
                &self
                    .outer
                    .path()
                    .join(utc(time).format("%Y%m%dT%H%M%SZ").to_string()),
            ),
        };
        let store = store.map_err(|error| failed(self.outer.path(), error))?;
        let (index, index_name) = store
            .create_file(|count| {
                if count == 0 {
                    format!("{INDEX}.jsonl")
                } else {
                    format!("{INDEX}~{count}.jsonl")
                }
            })
            .map_err(|error| failed(&store.path().join("flows.jsonl"), error))?;
        let id = self.next;
        self.next = self.next.wrapping_add(1);
        self.folders.insert(
            id,
            Folder {
                store,
                bytes: 0,
                index: BufWriter::with_capacity(128 << 10, index),
                index_name,
                waiting: None,
                connections: 0,
                day: time.seconds().div_euclid(86_400),
            },
        );
        let before = self.current.replace(id);
        if let Some(before) = before {
            self.release(before)
                .map_err(|failure| SinkError::io(failure.name, failure.source))?;
        }
        Ok(id)
    }

    pub(super) fn get(&mut self, id: u32) -> Option<&mut Folder> {
        self.folders.get_mut(&id)
    }

    /// A connection is over; `line` is for the index.
    pub(super) fn leave(&mut self, id: u32, line: &[u8]) -> Result<(), Failure> {
        let Some(folder) = self.folders.get_mut(&id) else {
            return Ok(());
        };
        folder.connections = folder.connections.saturating_sub(1);
        folder.waiting.get_or_insert(self.now);
        let written = folder
            .index
            .write_all(line)
            .map_err(|error| folder.failure(error, line.len()));
        written.and(self.release(id))
    }

    /// Closes a folder that no connection is in and that no new one will be.
    fn release(&mut self, id: u32) -> Result<(), Failure> {
        if self.current == Some(id) || self.folders.get(&id).is_none_or(|folder| folder.connections > 0) {
            return Ok(());
        }
        self.folders
            .remove(&id)
            .map_or(Ok(()), |mut folder| folder.flush())
    }

    /// Indexes are on disk after `patience`.
    pub(super) fn flush(&mut self, now: Timestamp, patience: Duration) -> Result<(), Failure> {
        self.now = now;
        let mut flushed = Ok(());
        for folder in self.folders.values_mut() {
            if folder.waiting.is_some_and(|since| now.since(since) >= patience) {
                flushed = flushed.and(folder.flush());
            }
        }
        flushed
    }

    pub(super) fn finish(&mut self) -> Result<(), Failure> {
        self.folders
            .values_mut()
            .map(Folder::flush)
            .fold(Ok(()), Result::and)
    }
}

impl Folder {
    fn flush(&mut self) -> Result<(), Failure> {
        self.waiting = None;
        self.index.flush().map_err(|error| self.failure(error, 0))
    }

    fn failure(&self, source: io::Error, bytes: usize) -> Failure {
        Failure {
            name: self.index_name.clone(),
            source,
            bytes: bytes as u64,
        }
    }
}
