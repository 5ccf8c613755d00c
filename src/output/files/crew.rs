//! Files written by several threads, each with the connections that fall to it.
//!
//! Making files and copying into them is the system's work and takes longer than all of ours; two threads do it in
//! not much more than half the time. What comes out is the same: names do not depend on other connections, and the
//! lines of the index are put into their order.

use std::path::{Path, PathBuf};

use super::lines::Merge;
use super::{Files, FilesOptions};
use crate::event::{Connection, Event, Sink, SinkError};
use crate::lasting::Lasting;
use crate::relay::Relay;
use crate::shard;
use crate::time::Timestamp;

/// The threads.
#[derive(Debug)]
pub struct Crew {
    writers: Vec<Relay<Files>>,
    /// Whose connections are, by [`Connection::slot`].
    of: Vec<u8>,
    order: Merge,
    folder: PathBuf,
}

impl Crew {
    /// Whether what these options ask for can be shared out: where names of connections may be equal, where files
    /// lie depends on what was written before, or all goes into one file, order matters.
    pub fn can(options: &FilesOptions) -> bool {
        options.archive.is_none() && options.rotation.is_none() && options.namer.is_unique()
    }

    /// Starts so many threads.
    ///
    /// # Errors
    /// [`SinkError::Io`]: the folder can't be made, or no thread.
    pub fn new(options: &FilesOptions, lasting: &Lasting, threads: u8) -> Result<Self, SinkError> {
        let (order, files) = Files::shared(options, lasting, threads.max(1).into())?;
        let folder = files.first().map(Files::folder).unwrap_or_default();
        let start = |files| {
            Relay::new(files, lasting.clone()).map_err(|error| SinkError::io("a thread to write on", error))
        };
        Ok(Self {
            writers: files.into_iter().map(start).collect::<Result<_, _>>()?,
            of: Vec::new(),
            order,
            folder,
        })
    }

    /// Where files go.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Files made, once [`Sink::finish`] has been called.
    pub fn made(&self) -> u64 {
        self.writers.iter().filter_map(Relay::sink).map(Files::made).sum()
    }

    fn each(&mut self, act: impl FnMut(&mut Relay<Files>) -> Result<(), SinkError>) -> Result<(), SinkError> {
        self.writers.iter_mut().map(act).fold(Ok(()), Result::and)
    }
}

impl Sink for Crew {
    fn event(&mut self, connection: &Connection, event: &Event<'_>) -> Result<(), SinkError> {
        let slot = connection.slot as usize;
        if let Event::Opened = event {
            if self.of.len() <= slot {
                self.of.resize(slot + 1, 0);
            }
            if let Some(of) = self.of.get_mut(slot) {
                let hash = shard::hash(connection.client, connection.server);
                // The low bits say which of several runs has the connection.
                *of = ((hash >> 32) % self.writers.len() as u64) as u8;
            }
        }
        let of = self.of.get(slot).map_or(0, |of| usize::from(*of));
        if let Event::Closed(_) = event {
            self.order.expect(of);
        }
        self.writers
            .get_mut(of)
            .map_or(Ok(()), |writer| writer.event(connection, event))
    }

    fn tick(&mut self, now: Timestamp) -> Result<(), SinkError> {
        self.each(|writer| writer.tick(now))
    }

    fn flush(&mut self) -> Result<(), SinkError> {
        self.each(Relay::flush)
    }

    fn take_warnings(&mut self) -> Vec<String> {
        self.writers.iter_mut().flat_map(Relay::take_warnings).collect()
    }

    fn finish(&mut self) -> Result<(), SinkError> {
        // All of them have their last before the first is waited for.
        let flushed = self.each(Relay::flush);
        let finished = self.each(Relay::finish);
        let index = self.order.finish();
        let index = index
            .map_err(|error| SinkError::io(self.folder.join("flows.jsonl").display().to_string(), error));
        flushed.and(finished).and(index)
    }
}
