//! One archive instead of a folder: every stream is a stored member, written front to back. The index, the last
//! member, is deflated in a ZIP archive.
//!
//! A member's header has its length, so it goes in as a whole when its stream is over; what can't wait in memory
//! until then waits in the spool. A member that can't be written (disk full) leaves nothing behind, and for the end and
//! what it tells of there is room from the beginning, so that the archive is readable whatever happens, once
//! [`Archive::finish`] has put its end to it.
//!
//! What is kept in memory of a member that is written is the hash of its name (10 to 21 bytes), to tell when a
//! name comes again; ZIP's central directory waits in the spool, too.

mod deflate;
mod end;
mod index;
mod log;
mod names;
mod spool;
mod tar;
mod zip;

#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::numbers::Numbers;
use super::room::Room;
use super::store::create_new;
use crate::time::Timestamp;
use end::Mark;
use index::Index;
use log::Log;
use names::Names;
use spool::Spool;
pub use spool::Spooled;
use zip::{Member, Method};

/// Members are gathered to so many bytes before they are written.
const GATHERED: usize = 1 << 20;

/// So far apart (bytes) are the places that a full archive can go back to: 24 bytes each in memory.
const APART: u64 = 512 << 10;

/// The end takes so much room at the most, beside index and directory: headers, and blocks that are not full.
const END: u64 = 8 << 10;

/// The index's name.
const INDEX: &str = "flows.jsonl";

/// How an archive is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A central directory at the end, ZIP64 where it takes that.
    Zip,
    /// GNU tar.
    Tar,
}

impl Format {
    /// What a file's name says: `.zip`, `.tar`.
    pub fn of(path: &Path) -> Option<Self> {
        // `x.zip/` is a folder, whoever wants one of that name.
        let named = !path.as_os_str().as_encoded_bytes().ends_with(b"/");
        let ending = path.extension().filter(|_| named)?;
        if ending.eq_ignore_ascii_case("zip") {
            Some(Self::Zip)
        } else if ending.eq_ignore_ascii_case("tar") {
            Some(Self::Tar)
        } else {
            None
        }
    }

    /// About so many bytes a line of the index takes.
    const fn line(self) -> u64 {
        match self {
            Self::Zip => 160,
            Self::Tar => 1024,
        }
    }

    /// How the index is kept.
    const fn index(self) -> Method {
        match self {
            Self::Zip => Method::Deflated,
            Self::Tar => Method::Stored,
        }
    }
}

/// An archive that is being written.
#[derive(Debug)]
pub struct Archive {
    path: PathBuf,
    format: Format,
    file: File,
    /// Where in the file `gathered` goes.
    at: u64,
    /// Whole members.
    gathered: Vec<u8>,
    header: Vec<u8>,
    spool: Spool,
    /// Bytes that went through it so far.
    spooled: u64,
    room: Room,
    names: Names,
    numbers: Numbers,
    /// Until the archive is ended.
    index: Option<Index>,
    /// Lines of the index that are to come.
    lines: u64,
    directory: Log,
    members: u64,
    /// Streams in the archive that has ended.
    streams: u64,
    /// Where the last member in the file ends.
    safe: Mark,
    /// Ends of members before it, at least [`APART`] bytes apart.
    marks: Vec<Mark>,
    latest: Timestamp,
}

impl Archive {
    /// A new archive at `path`, or `NAME~1.zip`, `NAME~2.zip` … where that stands already, mode 0640. Missing
    /// folders are made. What is beside it, for the spool and for room, has no name. Its index may be deflated `aside`: by a
    /// thread of its own.
    ///
    /// # Errors
    /// What the system says.
    pub fn create(path: &Path, format: Format, aside: bool) -> io::Result<Self> {
        let folder = path.parent().unwrap_or(Path::new(""));
        if !folder.as_os_str().is_empty() {
            std::fs::create_dir_all(folder)?;
        }
        let nameless = || {
            let mut hidden = OsString::from(".");
            hidden.push(path.file_name().unwrap_or_default());
            hidden.push(".spool");
            let (file, hidden) = create_new(&folder.join(hidden), 0o600)?;
            std::fs::remove_file(hidden).map(|()| file)
        };
        let (spool, mut room) = (Spool::new(nameless()?), Room::new(nameless()?));
        room.keep(END, 0)?;
        let (file, path) = create_new(path, 0o640)?;
        let mut names = Names::default();
        names.take(INDEX);
        Ok(Self {
            path,
            format,
            file,
            at: 0,
            gathered: Vec::with_capacity(GATHERED),
            header: Vec::new(),
            spool,
            spooled: 0,
            room,
            names,
            numbers: Numbers::default(),
            index: Some(Index::new(format.index(), aside)),
            lines: 0,
            directory: Log::default(),
            members: 0,
            streams: 0,
            safe: Mark::default(),
            marks: Vec::new(),
            latest: Timestamp::default(),
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Streams in it, once it has ended.
    pub const fn streams(&self) -> u64 {
        self.streams
    }

    /// The first of the names that `name(0)`, `name(1)`, … give that no member has, now taken.
    ///
    /// # Errors
    /// None while there are numbers.
    pub fn name(&mut self, name: impl FnMut(u32) -> String) -> io::Result<String> {
        let Self { numbers, names, .. } = self;
        let taken = numbers.first_free(name, |name| Ok(names.take(name).then_some(())));
        taken.map(|((), name)| name)
    }

    /// Puts `piece` behind what is in the spool of a member, at offset `at` in it: zeros fill what lies between.
    ///
    /// # Errors
    /// What the system says; nothing of the piece is there then.
    pub fn spool(&mut self, member: &mut Spooled, at: u64, piece: &[u8]) -> io::Result<()> {
        self.spooled += piece.len() as u64;
        let mut put = |spool: &mut Spool| {
            spool.skip(member, at.saturating_sub(member.len()))?;
            spool.append(member, piece)
        };
        put(&mut self.spool).or_else(|_| {
            self.spare();
            put(&mut self.spool)
        })
    }

    /// Gives the spool's space back: there will be no such member.
    pub fn release(&mut self, spooled: Spooled) {
        self.spool.release(spooled);
    }

    /// So many lines of the index are to come.
    pub const fn expect_lines(&mut self, lines: u64) {
        self.lines = lines;
    }

    /// Keeps room for what is to come into the file whatever happens, and so many bytes more.
    fn keep_room(&mut self, more: u64) -> io::Result<()> {
        let index = self.index.as_ref().map_or(0, Index::len);
        let lines = self.lines * self.format.line();
        let promised = END + self.gathered.len() as u64 + self.directory.len() + index + lines;
        self.room.keep(promised + more, self.at + self.spooled)
    }

    /// Adds a member: what is in the spool, and `tail` at offset `at` in it, behind it or behind zeros. Gives the
    /// spool's space back in every case.
    ///
    /// # Errors
    /// What the system says; the archive is without that member then.
    pub fn add(
        &mut self,
        name: &str,
        time: Timestamp,
        mut spooled: Spooled,
        at: u64,
        tail: &[u8],
    ) -> io::Result<()> {
        let gathers = if spooled.is_empty() { tail.len() as u64 } else { 0 };
        let room = self.keep_room(gathers);
        let room = room.and_then(|()| self.spool(&mut spooled, at, b""));
        let added = room.and_then(|()| {
            self.latest = self.latest.max(time);
            let len = spooled.len().saturating_add(tail.len() as u64);
            let member = Member {
                name,
                time: time.into(),
                method: Method::Stored,
                len,
                crc: match self.format {
                    Format::Zip => spooled.crc_with(tail),
                    Format::Tar => 0,
                },
                packed: len,
                offset: 0,
            };
            self.member(member, time, &spooled, tail)
        });
        self.spool.release(spooled);
        added
    }

    /// Adds a member; where it begins is found here.
    fn member(
        &mut self,
        mut member: Member<'_>,
        time: Timestamp,
        spooled: &Spooled,
        tail: &[u8],
    ) -> io::Result<()> {
        let mut header = std::mem::take(&mut self.header);
        header.clear();
        let padding = match self.format {
            Format::Zip => {
                member.local_header(&mut header)?;
                0
            }
            Format::Tar => {
                tar::header(member.name, time, member.packed, &mut header)?;
                tar::padding(member.packed)
            }
        };
        let written = self.put(&header, spooled, tail, padding);
        self.header = header;
        member.offset = written?;
        self.members += 1;
        if self.format == Format::Zip {
            member.central_header(&mut self.directory.waiting);
        }
        if self.gathered.is_empty() {
            self.mark();
        }
        Ok(())
    }

    /// Writes a member, or gathers it; where it begins.
    fn put(&mut self, header: &[u8], spooled: &Spooled, tail: &[u8], padding: usize) -> io::Result<u64> {
        const ZEROS: [u8; tar::BLOCK] = [0; tar::BLOCK];
        let padding = ZEROS.get(..padding).unwrap_or_default();
        self.directory.make_room(&mut self.spool)?;
        let small = header.len() + tail.len() + padding.len();
        if self.gathered.len() + small > GATHERED || !spooled.is_empty() {
            self.flush()?;
        }
        let begin = self.at + self.gathered.len() as u64;
        if spooled.is_empty() && small <= GATHERED {
            for part in [header, tail, padding] {
                self.gathered.extend_from_slice(part);
            }
            return Ok(begin);
        }
        let mut written = self.write(begin, [header, tail, padding], spooled);
        if written.is_err() {
            self.spare();
            written = self.write(begin, [header, tail, padding], spooled);
        }
        written?;
        let behind = begin + header.len() as u64 + spooled.len();
        self.at = behind + (tail.len() + padding.len()) as u64;
        Ok(begin)
    }

    /// Writes a member at `begin`: its header, what is in the spool, its tail and padding.
    fn write(&self, begin: u64, [header, tail, padding]: [&[u8]; 3], spooled: &Spooled) -> io::Result<()> {
        let body = begin + header.len() as u64;
        let behind = body + spooled.len();
        let written = self
            .file
            .write_all_at(header, begin)
            .and_then(|()| self.spool.copy(spooled, &self.file, body))
            .and_then(|()| self.file.write_all_at(tail, behind))
            .and_then(|()| self.file.write_all_at(padding, behind + tail.len() as u64));
        self.settled(written)
    }

    /// The disk is full: room that is no longer needed is there for others.
    fn spare(&mut self) {
        self.room.give_back();
        // Where there is none, members that come later are refused.
        let _ = self.keep_room(0);
    }

    /// Writes what is gathered, so that the file has all members added so far.
    ///
    /// # Errors
    /// What the system says; what is gathered waits then.
    pub fn flush(&mut self) -> io::Result<()> {
        let mut written = self.file.write_all_at(&self.gathered, self.at);
        let full = written.is_err();
        if full {
            self.room.give_back();
            written = self.file.write_all_at(&self.gathered, self.at);
        }
        self.settled(written)?;
        self.at += self.gathered.len() as u64;
        self.gathered.clear();
        self.mark();
        if full && self.index.is_some() {
            self.spare();
        }
        Ok(())
    }

    /// All members are in the file.
    fn mark(&mut self) {
        if self
            .marks
            .last()
            .is_none_or(|mark| self.safe.at >= mark.at + APART)
        {
            self.marks.push(self.safe);
        }
        self.safe = Mark {
            at: self.at,
            members: self.members,
            directory: self.directory.len(),
        };
    }

    /// What was written in vain goes: holes have to be holes, and the space is needed.
    fn settled(&self, written: io::Result<()>) -> io::Result<()> {
        written.or_else(|error| self.file.set_len(self.at).and(Err(error)))
    }

    /// A line of the index, unless the archive has ended.
    ///
    /// # Errors
    /// What the system says; the index is without it then.
    pub fn index(&mut self, line: &[u8]) -> io::Result<()> {
        let index = self.index.as_mut();
        index.map_or(Ok(()), |index| index.line(line, &mut self.spool))?;
        let _ = self.keep_room(0);
        Ok(())
    }
}
