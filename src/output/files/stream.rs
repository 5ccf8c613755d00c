//! One direction on its way into files: what waits of it, where that belongs, and what became of it. The writer moves it
//! on; none of it needs the system.

use std::io;

use super::waiting::Waiting;
use crate::output::archive::Spooled;
use crate::output::index::FileEntry;

/// Gaps split a direction into so many files: a packet of 57 bytes is enough for another.
const FILES: usize = 1000;

/// From then on a file has holes for them, up to this length: file systems take 16 TiB at the least.
const LONGEST: u64 = 1 << 40;

/// The file that a direction is in.
#[derive(Debug, Default)]
pub(super) struct Stream {
    /// Files made so far, the current one last.
    pub(super) files: Vec<FileEntry>,
    /// The next byte begins a new file with this ending.
    pub(super) ending: Option<&'static str>,
    /// It is in the file of its TLS part.
    pub(super) tls: bool,
    /// The current file exists.
    pub(super) made: bool,
    /// What of the current file waits outside memory until it is over, where it is an archive's member.
    pub(super) spooled: Option<Box<Spooled>>,
    /// Where the writer finds it open.
    pub(super) stamp: u64,
    /// Where in the current file `waiting` begins.
    pub(super) position: u64,
    /// Where in the stream `waiting` begins.
    pub(super) offset: u64,
    pub(super) waiting: Waiting,
    /// Missing bytes that stand before whatever comes next.
    pub(super) gap: u64,
    /// Its number in the queue of streams to be written.
    pub(super) due: Option<u64>,
}

/// A file that could not be written: which, why, and how many bytes did not make it.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) name: String,
    pub(super) source: io::Error,
    pub(super) bytes: u64,
}

impl Stream {
    /// Whether a new file may begin behind a gap.
    pub(super) fn may_split(&self, gap: u64) -> bool {
        let end = self.position.saturating_add(self.waiting.len() as u64);
        self.files.len() < FILES || end.saturating_add(gap) > LONGEST
    }

    /// What follows goes to a new file with this ending.
    pub(super) fn split(&mut self, ending: &'static str) {
        self.ending = Some(ending);
    }

    /// Whether bytes wait to be written.
    pub(super) fn waits(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Where in the stream its end is, but for what is missing there.
    pub(super) fn end(&self) -> u64 {
        self.offset.saturating_add(self.waiting.len() as u64)
    }

    /// There is a file now, which gets its name when it is made. Mostly it stays the only one.
    pub(super) fn begin(&mut self) {
        if self.files.is_empty() {
            self.files.reserve_exact(1);
            self.files.push(FileEntry::default());
        }
    }

    /// Bytes of an archive's member that is given up, but for those that were told to be missing.
    pub(super) fn not_told_missing(&self) -> u64 {
        let told = self.files.last().map_or(0, |entry| entry.not_written);
        self.position.saturating_sub(told)
    }

    /// So many bytes that waited are behind us.
    pub(super) fn passed(&mut self, len: usize) {
        self.position = self.position.saturating_add(len as u64);
        self.offset = self.offset.saturating_add(len as u64);
    }

    /// Puts into the index what became of the last `len` bytes.
    pub(super) fn outcome(&mut self, written: io::Result<()>, len: u64) -> Result<(), Failure> {
        let Some(entry) = self.files.last_mut() else {
            return Ok(());
        };
        entry.bytes = self.position;
        written.map_err(|source| {
            entry.not_written = entry.not_written.saturating_add(len);
            Failure {
                name: entry.name.clone(),
                source,
                bytes: len,
            }
        })
    }
}
