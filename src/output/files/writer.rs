//! Puts streams into files: few open at once, written in large pieces.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;

use nix::errno::Errno;

use super::folder::Target;
use super::stream::{Failure, Stream};
use super::waiting::{COPIED, Memory, SMALL};
use crate::event::{Connection, Direction};
use crate::lasting::Lasting;
use crate::output::archive::{Archive, Spooled};
use crate::output::index::FileEntry;
use crate::output::name::{Namer, numbered};
use crate::output::numbers::Numbers;
use crate::output::store::{Store, write_at};

/// Zeros of a gap up to this are written; beyond it the file gets a hole.
const WRITTEN_ZEROS: u64 = 4096;

/// What the name of a file that begins behind a gap ends in.
pub(super) const GAP: &str = "~gap";

/// What the name of a file that begins with TLS ends in.
const TLS: &str = ".tls";

/// Writes streams.
#[derive(Debug)]
pub(super) struct Writer {
    namer: Namer,
    lasting: Lasting,
    /// Open files by the time of their last use.
    open: BTreeMap<u64, File>,
    most_open: usize,
    next_stamp: u64,
    numbers: Numbers,
    pub(super) memory: Memory,
    /// Files made.
    pub(super) made: u64,
}

impl Writer {
    pub(super) fn new(namer: Namer, most_open: usize, lasting: Lasting, memory: Memory) -> Self {
        Self {
            namer,
            lasting,
            open: BTreeMap::new(),
            most_open,
            next_stamp: 0,
            numbers: Numbers::default(),
            memory,
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
        target: &mut Target,
        (connection, direction): (&Connection, Direction),
        stream: &mut Stream,
        bytes: &[u8],
    ) -> Result<(), Failure> {
        if bytes.len() > COPIED {
            return self.append_parts(target, (connection, direction), stream, bytes);
        }
        let mut written = Ok(());
        if let Some(ending) = stream.ending.take() {
            stream.offset = stream.offset.saturating_add(stream.gap);
            stream.gap = 0;
            written = self.begin(target, (connection, direction), stream, ending);
        } else if stream.gap > WRITTEN_ZEROS || stream.gap > 0 && stream.waiting.is_empty() {
            written = self.write(target, (connection, direction), stream);
            stream.begin();
            stream.position = stream.position.saturating_add(stream.gap);
            stream.offset = stream.offset.saturating_add(stream.gap);
            stream.gap = 0;
        } else if stream.gap > 0 {
            let zeros = usize::try_from(stream.gap).unwrap_or(0);
            self.memory
                .add(&mut stream.waiting, |waiting| waiting.zeros(zeros));
            stream.gap = 0;
        }
        stream.begin();
        let full = stream.waiting.is_full(bytes.len());
        if full {
            let now = self.write(target, (connection, direction), stream);
            written = written.and(now);
        }
        let fills = full || bytes.len() > SMALL;
        self.memory
            .lend(&mut stream.waiting, if fills { usize::MAX } else { SMALL });
        // An archive's spool takes whole buffers.
        let lasts = match target {
            Target::Store(_) => self.lasting.place(bytes),
            Target::Archive(_) => None,
        };
        self.memory
            .add(&mut stream.waiting, |waiting| waiting.push(bytes, lasts));
        written
    }

    /// The same for a packet longer than a buffer.
    #[cold]
    fn append_parts(
        &mut self,
        target: &mut Target,
        who: (&Connection, Direction),
        stream: &mut Stream,
        bytes: &[u8],
    ) -> Result<(), Failure> {
        let parts = bytes.chunks(COPIED);
        parts
            .map(|part| self.append(target, who, stream, part))
            .fold(Ok(()), Result::and)
    }

    /// What follows is TLS, which begins at `tls` if that is known, and has a file of its own. What is missing before it
    /// is in one of the two, unless it is so much that it is in none.
    pub(super) fn begin_tls(
        &mut self,
        target: &mut Target,
        who: (&Connection, Direction),
        stream: &mut Stream,
        tls: Option<u64>,
    ) -> Result<(), Failure> {
        if stream.ending.is_some() {
            stream.ending = Some(TLS);
            return Ok(());
        }
        let written = match tls {
            Some(tls) if tls <= stream.end() => Ok(()),
            _ => self.fill(target, who, stream),
        };
        written.and(self.begin(target, who, stream, TLS))
    }

    /// The next file of a stream begins where the last one ends.
    fn begin(
        &mut self,
        target: &mut Target,
        (connection, direction): (&Connection, Direction),
        stream: &mut Stream,
        ending: &str,
    ) -> Result<(), Failure> {
        let written = self.end(target, (connection, direction), stream);
        stream.position = 0;
        // An ending is put behind the name that the stream has; one that has none yet gets its own first.
        let stem = match stream.files.last() {
            Some(file) => without_gap(&file.name).to_owned(),
            None => self.namer.name(connection, direction, 0),
        };
        stream.files.push(FileEntry {
            name: stem + ending,
            offset: stream.offset,
            bytes: 0,
            not_written: 0,
        });
        written
    }

    /// What is missing at a file's end makes it as long as the stream was: its last byte says so.
    fn fill(
        &mut self,
        target: &mut Target,
        who: (&Connection, Direction),
        stream: &mut Stream,
    ) -> Result<(), Failure> {
        if stream.gap == 0 || stream.files.is_empty() {
            return Ok(());
        }
        stream.gap -= 1;
        self.append(target, who, stream, &[0])
    }

    /// Writes what waits.
    pub(super) fn write(
        &mut self,
        target: &mut Target,
        who: (&Connection, Direction),
        stream: &mut Stream,
    ) -> Result<(), Failure> {
        if stream.waiting.is_empty() {
            return Ok(());
        }
        let waiting = self.memory.take(&mut stream.waiting);
        let len = waiting.len();
        let written = match target {
            Target::Store(store) => self.file(store, who, stream).and_then(|file| {
                let written = write_at(&file, &mut waiting.slices(&self.lasting), stream.position);
                if written.is_err() {
                    // Part of a piece helps nobody; the index needs the space.
                    let _ = file.set_len(stream.position);
                }
                self.keep(stream, file);
                written
            }),
            Target::Archive(archive) => self.spool(archive, who, stream, waiting.copied()),
        };
        stream.passed(len);
        self.memory.give_back(waiting);
        let missing = match target {
            Target::Store(_) => len as u64,
            Target::Archive(_) => stream.not_told_missing(),
        };
        stream.outcome(written, missing)
    }

    /// Puts a piece of a member where it waits. What can't wait there makes room for others at once: all of a member is
    /// in the archive, or nothing.
    fn spool(
        &mut self,
        archive: &mut Archive,
        who: (&Connection, Direction),
        stream: &mut Stream,
        piece: &[u8],
    ) -> io::Result<()> {
        self.member(archive, who, stream)?;
        let spooled = stream.spooled.get_or_insert_default();
        let written = archive.spool(spooled, stream.position, piece);
        if written.is_err()
            && let Some(spooled) = stream.spooled.take()
        {
            archive.release(*spooled);
        }
        written
    }

    /// The stream is over: writes what waits, closes the file.
    pub(super) fn finish(
        &mut self,
        target: &mut Target,
        who: (&Connection, Direction),
        stream: &mut Stream,
    ) -> Result<(), Failure> {
        let written = match stream.ending {
            Some(_) => Ok(()),
            None => self.fill(target, who, stream),
        };
        written.and(self.end(target, who, stream))
    }

    /// The file is over.
    fn end(
        &mut self,
        target: &mut Target,
        who: (&Connection, Direction),
        stream: &mut Stream,
    ) -> Result<(), Failure> {
        let written = match target {
            Target::Store(_) => self.write(target, who, stream),
            Target::Archive(archive) => self.end_member(archive, who, stream),
        };
        self.close(stream);
        written
    }

    /// Adds what is in the spool and what waits to the archive.
    fn end_member(
        &mut self,
        archive: &mut Archive,
        who: (&Connection, Direction),
        stream: &mut Stream,
    ) -> Result<(), Failure> {
        if stream.waiting.is_empty() && stream.spooled.is_none() {
            return Ok(());
        }
        let waiting = self.memory.take(&mut stream.waiting);
        let spooled = stream
            .spooled
            .take()
            .map_or_else(Spooled::default, |spooled| *spooled);
        let written = self.member(archive, who, stream).and_then(|()| {
            let name = stream.files.last().map_or("", |entry| entry.name.as_str());
            archive.add(name, who.0.first_time, spooled, stream.position, waiting.copied())
        });
        stream.passed(waiting.len());
        self.memory.give_back(waiting);
        stream.outcome(written, stream.not_told_missing())
    }

    fn close(&mut self, stream: &mut Stream) {
        self.open.remove(&stream.stamp);
        stream.made = false;
    }

    /// Sees to it that the archive's member has a name of its own, unless it was given up.
    fn member(
        &mut self,
        archive: &mut Archive,
        who: (&Connection, Direction),
        stream: &mut Stream,
    ) -> io::Result<()> {
        if stream.files.last().is_some_and(|entry| entry.not_written > 0) {
            return Err(Errno::ENOSPC.into());
        }
        if !stream.made {
            self.make(who, stream, |name| archive.name(name).map(|name| ((), name)))?;
        }
        Ok(())
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
        loop {
            let opened = if stream.made {
                let name = stream.files.last().map_or("", |entry| entry.name.as_str());
                store.reopen(name)
            } else {
                let mut numbers = std::mem::take(&mut self.numbers);
                let made = self.make(who, stream, |name| store.create_file(&mut numbers, name));
                self.numbers = numbers;
                made
            };
            match opened {
                // Others may have taken what we counted on.
                Err(error) if too_many_open(&error) && self.open.pop_first().is_some() => {}
                opened => return opened,
            }
        }
    }

    /// Makes the stream's file with `create`, which takes the first free one of the names it is given.
    fn make<T>(
        &mut self,
        (connection, direction): (&Connection, Direction),
        stream: &mut Stream,
        create: impl FnOnce(&mut dyn FnMut(u32) -> String) -> io::Result<(T, String)>,
    ) -> io::Result<T> {
        let Some(entry) = stream.files.last_mut() else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let mut name = |count| {
            if entry.name.is_empty() {
                self.namer.name(connection, direction, count)
            } else {
                numbered(entry.name.clone(), count)
            }
        };
        match create(&mut name) {
            Ok((made, name)) => {
                entry.name = name;
                stream.made = true;
                self.made += 1;
                Ok(made)
            }
            Err(error) => {
                // The index tells of what is not there.
                entry.name = name(0);
                Err(error)
            }
        }
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

/// A name without the ending that a gap gave it and its number: names do not grow with each gap.
fn without_gap(name: &str) -> &str {
    let (stem, number) = name.rsplit_once(GAP).unwrap_or((name, ""));
    let number = number.strip_prefix('~').unwrap_or(number);
    if number.bytes().all(|byte| byte.is_ascii_digit()) {
        stem
    } else {
        name
    }
}

fn too_many_open(error: &io::Error) -> bool {
    let number = error.raw_os_error().map(Errno::from_raw);
    matches!(number, Some(Errno::EMFILE | Errno::ENFILE))
}
