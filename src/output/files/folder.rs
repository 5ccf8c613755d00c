//! What streams go to, each with its index: one folder, a new one each day or so many bytes, or an archive.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::Rotation;
use super::lines::{Lines, Order};
use super::stream::Failure;
use crate::event::SinkError;
use crate::output::archive::{Archive, Format};
use crate::output::clock::utc;
use crate::output::numbers::Numbers;
use crate::output::store::Store;
use crate::time::Timestamp;

/// The index's name, before a `~n` that it may get.
const INDEX: &str = "flows";

/// Folders of days that stay open though no connection is in them: around midnight, and where a clock is wrong, days
/// come in turns.
const IDLE_DAYS: usize = 4;

/// Folders of days that connections are in at once. Some last for months; each folder is two open files, of the thousand
/// that systems mostly give.
const BUSY_DAYS: usize = 100;

/// Where streams are kept.
#[derive(Debug)]
pub(super) enum Target {
    Store(Arc<Store>),
    Archive(Box<Archive>),
}

/// A folder, or an archive, that streams go to.
#[derive(Debug)]
pub(super) struct Folder {
    pub(super) target: Target,
    /// Bytes of streams in it.
    pub(super) bytes: u64,
    /// An archive has an index of its own.
    index: Option<Lines>,
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
    path: PathBuf,
    folders: BTreeMap<u32, Folder>,
    /// Where the last connection went.
    current: Option<u32>,
    next: u32,
    /// The names of the days' indexes, once made: a day that comes again goes on in its own.
    indexes: BTreeMap<i64, String>,
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
        let mut folders = Self::none(outer.path(), rotation);
        if rotation.is_none() {
            // Trouble with the folder is to be known before the first packet.
            folders.open(Timestamp::default())?;
        }
        Ok(folders)
    }

    /// One archive, with a new name.
    pub(super) fn archive(path: &Path, format: Format, aside: bool) -> Result<Self, SinkError> {
        let archive = Archive::create(path, format, aside);
        let archive = archive.map_err(|error| SinkError::io(path.display().to_string(), error))?;
        let mut folders = Self::none(archive.path(), None);
        folders.insert(
            Timestamp::default(),
            Target::Archive(Box::new(archive)),
            None,
            "flows.jsonl".to_owned(),
        );
        Ok(folders)
    }

    /// One folder for so many threads.
    pub(super) fn shared(path: &Path, named: bool, threads: usize) -> Result<(Order, Vec<Self>), SinkError> {
        let mut first = Self::new(path, named, None)?;
        let opened = first.current.and_then(|id| first.folders.remove(&id));
        let Some((Target::Store(store), Some(index), index_name)) =
            opened.map(|folder| (folder.target, folder.index, folder.index_name))
        else {
            return Err(SinkError::io(
                path.display().to_string(),
                io::ErrorKind::NotFound.into(),
            ));
        };
        let (order, lanes) = index.share(threads);
        let one = |index| {
            let mut folders = Self::none(&first.path, None);
            let target = Target::Store(store.clone());
            folders.insert(Timestamp::default(), target, Some(index), index_name.clone());
            folders
        };
        Ok((order, lanes.into_iter().map(one).collect()))
    }

    fn none(path: &Path, rotation: Option<Rotation>) -> Self {
        Self {
            rotation,
            path: path.to_owned(),
            folders: BTreeMap::new(),
            current: None,
            next: 0,
            indexes: BTreeMap::new(),
            now: Timestamp::default(),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Streams in the archive that has ended, where it is one.
    pub(super) fn in_archive(&self) -> Option<u64> {
        self.folders.values().find_map(|folder| match &folder.target {
            Target::Archive(archive) => Some(archive.streams()),
            Target::Store(_) => None,
        })
    }

    /// The folder for a connection that begins at `time`; it has to [`Folders::leave`] it.
    pub(super) fn enter(&mut self, time: Timestamp) -> Result<u32, SinkError> {
        let day = day_of(time);
        let fits = self
            .current
            .and_then(|id| self.folders.get(&id))
            .is_some_and(|folder| match self.rotation {
                None => true,
                Some(Rotation::Day) => folder.day == day,
                Some(Rotation::Size(most)) => folder.bytes < most,
            });
        let id = match self.current {
            Some(id) if fits => id,
            _ => self.turn_to(time, day)?,
        };
        if let Some(folder) = self.folders.get_mut(&id) {
            folder.connections += 1;
            folder.expect();
        }
        Ok(id)
    }

    /// Another folder than that of the last connection. A day has its own, whichever came before it: a packet with a
    /// wrong date takes no other along. Only where connections of too many days are open it is the same as before.
    fn turn_to(&mut self, time: Timestamp, day: i64) -> Result<u32, SinkError> {
        let mut open = None;
        if self.rotation == Some(Rotation::Day) {
            let folders = &self.folders;
            let of_day = folders.iter().find(|(_, folder)| folder.day == day);
            let busy = || folders.values().filter(|folder| folder.connections > 0).count();
            open = match of_day {
                Some((id, _)) => Some(*id),
                None => self.current.filter(|_| busy() >= BUSY_DAYS),
            };
        }
        let id = match open {
            Some(id) => id,
            None => self.open(time)?,
        };
        self.current = Some(id);
        self.release()
            .map_err(|failure| SinkError::io(failure.name, failure.source))?;
        Ok(id)
    }

    fn open(&mut self, time: Timestamp) -> Result<u32, SinkError> {
        let failed = |path: &Path, error| SinkError::io(path.display().to_string(), error);
        let store = match self.rotation {
            None => Store::open(&self.path),
            Some(Rotation::Day) => {
                Store::open(&self.path).and_then(|outer| outer.inner(&utc(time).format("%Y%m%d").to_string()))
            }
            Some(Rotation::Size(_)) => {
                Store::create(&self.path.join(utc(time).format("%Y%m%dT%H%M%SZ").to_string()))
            }
        };
        let store = store.map_err(|error| failed(&self.path, error))?;
        let day = day_of(time);
        // Who looks after folders may have taken it away.
        let known = self.indexes.get(&day);
        let known = known.and_then(|name| Some((store.reopen(name).ok()?, name.clone())));
        let (index, index_name) = known
            .map_or_else(|| new_index(&store), Ok)
            .and_then(|(index, name)| Ok((Lines::new(index)?, name)))
            .map_err(|error| failed(&store.path().join("flows.jsonl"), error))?;
        if self.rotation == Some(Rotation::Day) {
            self.indexes.insert(day, index_name.clone());
        }
        Ok(self.insert(time, Target::Store(Arc::new(store)), Some(index), index_name))
    }

    /// The folder that new connections go to from now on.
    fn insert(&mut self, time: Timestamp, target: Target, index: Option<Lines>, index_name: String) -> u32 {
        let id = self.next;
        self.next = self.next.wrapping_add(1);
        self.folders.insert(
            id,
            Folder {
                target,
                bytes: 0,
                index,
                index_name,
                waiting: None,
                connections: 0,
                day: day_of(time),
            },
        );
        self.current = Some(id);
        id
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
        folder.expect();
        folder.waiting.get_or_insert(self.now);
        let written = match (&mut folder.target, &mut folder.index) {
            (Target::Archive(archive), _) => archive.index(line),
            (Target::Store(_), Some(index)) => index.write(line),
            (Target::Store(_), None) => Ok(()),
        };
        let written = written.map_err(|error| folder.failure(error, line.len()));
        if folder.connections > 0 || self.current == Some(id) {
            return written;
        }
        written.and(self.release())
    }

    /// Closes folders that no connection is in and that no new one is expected in, the oldest first.
    fn release(&mut self) -> Result<(), Failure> {
        let kept = match self.rotation {
            Some(Rotation::Day) => IDLE_DAYS,
            _ => 0,
        };
        let idle = self
            .folders
            .iter()
            .filter_map(|(id, folder)| (folder.connections == 0 && self.current != Some(*id)).then_some(*id));
        let idle: Vec<u32> = idle.collect();
        let over = idle.len().saturating_sub(kept);
        let released = idle.iter().take(over).filter_map(|id| self.folders.remove(id));
        released
            .map(|mut folder| folder.flush())
            .fold(Ok(()), Result::and)
    }

    /// Indexes, and members of archives, are on disk after `patience`.
    pub(super) fn flush(&mut self, now: Timestamp, patience: Duration) -> Result<(), Failure> {
        self.now = now;
        let mut flushed = Ok(());
        for folder in self.folders.values_mut() {
            if folder.waiting.is_some_and(|since| now.apart(since) >= patience) {
                flushed = flushed.and(folder.flush());
            }
        }
        flushed
    }

    pub(super) fn finish(&mut self) -> Result<(), Failure> {
        self.folders
            .values_mut()
            .map(Folder::finish)
            .fold(Ok(()), Result::and)
    }
}

fn new_index(store: &Store) -> io::Result<(File, String)> {
    store.create_file(&mut Numbers::default(), |count| {
        if count == 0 {
            format!("{INDEX}.jsonl")
        } else {
            format!("{INDEX}~{count}.jsonl")
        }
    })
}

/// Days since 1970.
const fn day_of(time: Timestamp) -> i64 {
    time.seconds().div_euclid(86_400)
}

impl Folder {
    /// Tells an archive how many lines of its index are to come at the least.
    const fn expect(&mut self) {
        if let Target::Archive(archive) = &mut self.target {
            archive.expect_lines(self.connections);
        }
    }

    fn flush(&mut self) -> Result<(), Failure> {
        self.waiting = None;
        let flushed = match (&mut self.target, &mut self.index) {
            (Target::Archive(archive), _) => archive.flush(),
            (Target::Store(_), Some(index)) => index.flush(),
            (Target::Store(_), None) => Ok(()),
        };
        flushed.map_err(|error| self.failure(error, 0))
    }

    fn finish(&mut self) -> Result<(), Failure> {
        match &mut self.target {
            Target::Archive(archive) => archive.finish().map_err(|error| self.failure(error, 0)),
            Target::Store(_) => self.flush(),
        }
    }

    fn failure(&self, source: io::Error, bytes: usize) -> Failure {
        Failure {
            name: self.index_name.clone(),
            source,
            bytes: bytes as u64,
        }
    }
}
