//! `-w`: packets back into pcap files, the format that every tool reads.
//!
//! Names and turns of several files are tcpdump's (`-C`, `-G`, `-W`).

#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{LinkType, Packet};
use crate::time::Timestamp;

/// Written to the file at once. More gathers only while the file can't be written.
const CHUNK: usize = 64 << 10;

/// While the disk is full, packets beyond this are refused.
const MOST_HELD: usize = 4 << 20;

/// What a packet waits for at the most, by the time of those that follow.
const HELD_FOR: Duration = Duration::from_millis(500);

/// As errors name it.
const STANDARD_OUTPUT: &str = "standard output";

/// When to begin a new file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WriteOptions {
    /// Before the file grows beyond so many bytes, unless a single packet does that.
    pub size: Option<u64>,
    /// Once so much time has passed since the file's first packet.
    pub every: Option<Duration>,
    /// Keep so many files: after the last one the first is written anew. They are numbered from 0, with leading
    /// zeros, so that they sort.
    pub count: Option<u32>,
}

/// Why a packet is not in the file.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The file could not be made or written. What was taken in before is tried again with the next call.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A pcap file holds packets of one link type.
    #[error(
        "{}: a pcap file holds one link type, and packets of another came (LINKTYPE {} after {}); write them one \
         capture at a time",
        path.display(), second.0, first.0
    )]
    SecondLinkType {
        /// The file.
        path: PathBuf,
        /// What the file holds.
        first: LinkType,
        /// What came.
        second: LinkType,
    },
    /// The format's seconds are 32 bits, unsigned.
    #[error(
        "{}: a pcap file holds times from 1970 to 2106, and a packet of another came ({seconds} seconds after 1970 \
         began)",
        path.display()
    )]
    Time {
        /// The file.
        path: PathBuf,
        /// Of the packet.
        seconds: i64,
    },
    /// Whoever read the pipe has gone.
    #[error("nobody reads the packets any more")]
    Closed,
    /// Only files have names that can be counted on.
    #[error("standard output can't be written in several files")]
    Rotation,
}

/// Writes packets of one link type as pcap.
pub struct PacketWriter {
    /// As given, without the number.
    base: PathBuf,
    /// The file at hand.
    path: PathBuf,
    out: Box<dyn Write + Send>,
    options: WriteOptions,
    link_type: LinkType,
    snaplen: u32,
    nanoseconds: bool,
    /// Files begun before this one.
    number: u64,
    /// Not yet written.
    held: Vec<u8>,
    /// Where packets end in it.
    ends: Vec<usize>,
    /// Bytes of this file, held ones included.
    size: u64,
    /// Time of this file's first packet.
    first: Option<Timestamp>,
    flushed: Timestamp,
    lost: u64,
}

impl std::fmt::Debug for PacketWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PacketWriter")
            .field("path", &self.path)
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}

impl PacketWriter {
    /// Makes the first file, anew if it exists, readable by owner and group: it holds mail. `-` is stdout.
    /// The first packet says which link type the files hold; `link_type` is what one without packets says. Times are
    /// written in microseconds, as tcpdump does unasked: see [`nanoseconds`](Self::nanoseconds).
    ///
    /// # Errors
    /// [`WriteError::Io`], [`WriteError::Rotation`].
    pub fn create(
        path: &Path,
        link_type: LinkType,
        snaplen: u32,
        options: WriteOptions,
    ) -> Result<Self, WriteError> {
        let standard_output = path.as_os_str() == "-";
        if standard_output && (options.size.is_some() || options.every.is_some()) {
            return Err(WriteError::Rotation);
        }
        let first = if standard_output {
            PathBuf::from(STANDARD_OUTPUT)
        } else {
            name(path, 0, &options)
        };
        let out: Box<dyn Write + Send> = if standard_output {
            Box::new(io::stdout())
        } else {
            Box::new(create(&first)?)
        };
        Ok(Self {
            base: path.to_owned(),
            path: first,
            out,
            options,
            link_type,
            snaplen,
            nanoseconds: false,
            number: 0,
            held: Vec::with_capacity(CHUNK * 2),
            ends: Vec::new(),
            size: 0,
            first: None,
            flushed: Timestamp::default(),
            lost: 0,
        })
    }

    /// Times in nanoseconds: the files have another magic number then, which all but old tools know. To be said
    /// before the first packet.
    #[must_use]
    pub fn nanoseconds(mut self, yes: bool) -> Self {
        self.nanoseconds = yes;
        self
    }

    /// Writes a packet. After [`WriteError::Io`] it may be called again with the next one: what could not be
    /// written is kept and tried again, up to a bound (see [`lost`](Self::lost)), so that a disk that was full for
    /// a while leaves no half records behind.
    ///
    /// # Errors
    /// [`WriteError`].
    pub fn write(&mut self, packet: &Packet<'_>) -> Result<(), WriteError> {
        let seconds = u32::try_from(packet.time.seconds()).map_err(|_| WriteError::Time {
            path: self.path.clone(),
            seconds: packet.time.seconds(),
        })?;
        if self.size == 0 && self.number == 0 {
            self.link_type = packet.link_type;
        }
        if packet.link_type != self.link_type {
            return Err(WriteError::SecondLinkType {
                path: self.path.clone(),
                first: self.link_type,
                second: packet.link_type,
            });
        }
        if self.is_over(packet) {
            self.begin_next().inspect_err(|_| self.lost += 1)?;
        }
        if self.held.len() >= MOST_HELD {
            self.flush().inspect_err(|_| self.lost += 1)?;
        }
        self.write_header();
        let captured = u32::try_from(packet.captured.len()).unwrap_or(u32::MAX);
        let unit = if self.nanoseconds { 1 } else { 1000 };
        for number in [
            seconds,
            packet.time.subsec_nanos() / unit,
            captured,
            packet.wire_len.max(captured),
        ] {
            self.held.extend(number.to_le_bytes());
        }
        self.held.extend_from_slice(packet.captured);
        self.ends.push(self.held.len());
        self.size += 16 + u64::from(captured);
        self.first.get_or_insert(packet.time);
        if self.held.len() >= CHUNK || packet.time.since(self.flushed) >= HELD_FOR {
            self.flushed = packet.time;
            self.flush()?;
        }
        Ok(())
    }

    /// Brings everything into the file, its header too. To be called several times a second while nothing comes.
    ///
    /// # Errors
    /// [`WriteError::Io`]; nothing is lost, it is tried again with the next call.
    pub fn tick(&mut self, now: Timestamp) -> Result<(), WriteError> {
        self.write_header();
        self.flushed = now;
        self.flush()
    }

    /// The end: everything is in the file.
    ///
    /// # Errors
    /// [`WriteError::Io`]; what waits is counted as [`lost`](Self::lost).
    pub fn finish(&mut self) -> Result<(), WriteError> {
        self.write_header();
        self.flush().inspect_err(|_| self.lost += self.ends.len() as u64)
    }

    /// Packets that are in no file: too much waited for room on the disk already, or there was none at the end.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    fn is_over(&self, packet: &Packet<'_>) -> bool {
        let Some(first) = self.first else { return false };
        let size = self.size + 16 + packet.captured.len() as u64;
        self.options.size.is_some_and(|most| size > most)
            || self
                .options
                .every
                .is_some_and(|most| packet.time.since(first) >= most)
    }

    fn begin_next(&mut self) -> Result<(), WriteError> {
        self.flush()?;
        let path = name(&self.base, self.number + 1, &self.options);
        self.out = Box::new(create(&path)?);
        self.path = path;
        self.number += 1;
        self.size = 0;
        self.first = None;
        Ok(())
    }

    /// Every file begins with it, a file without packets too.
    fn write_header(&mut self) {
        if self.size > 0 {
            return;
        }
        let magic: u32 = if self.nanoseconds {
            0xa1b2_3c4d
        } else {
            0xa1b2_c3d4
        };
        let (major, minor): (u16, u16) = (2, 4);
        self.held.extend(magic.to_le_bytes());
        self.held.extend(major.to_le_bytes());
        self.held.extend(minor.to_le_bytes());
        for number in [0, 0, self.snaplen, self.link_type.0] {
            self.held.extend(number.to_le_bytes());
        }
        self.size = 24;
    }

    fn flush(&mut self) -> Result<(), WriteError> {
        let mut written = 0;
        let mut result = Ok(());
        while let Some(rest) = self.held.get(written..).filter(|rest| !rest.is_empty()) {
            match self.out.write(rest) {
                Ok(0) => result = Err(io::ErrorKind::WriteZero.into()),
                Ok(len) => {
                    written += len;
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => result = Err(error),
            }
            break;
        }
        self.held.drain(..written);
        self.ends.retain_mut(|end| {
            let waits = *end > written;
            *end = end.saturating_sub(written);
            waits
        });
        // Standard output has a buffer of its own.
        result.and_then(|()| self.out.flush()).map_err(|source| {
            if source.kind() == io::ErrorKind::BrokenPipe {
                return WriteError::Closed;
            }
            let path = self.path.clone();
            WriteError::Io { path, source }
        })
    }
}

/// However the run ends.
impl Drop for PacketWriter {
    fn drop(&mut self) {
        self.write_header();
        let _ = self.flush();
    }
}

fn create(path: &Path) -> Result<File, WriteError> {
    let opened = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o640)
        .open(path);
    opened.map_err(|source| WriteError::Io {
        path: path.to_owned(),
        source,
    })
}

/// FILE, FILE1, FILE2 …; with a count FILE0, FILE1 … around and around, all numbers of the same width.
fn name(base: &Path, number: u64, options: &WriteOptions) -> PathBuf {
    let rotates = options.size.is_some() || options.every.is_some();
    let suffix = match options.count.filter(|count| rotates && *count > 0) {
        Some(count) => {
            let width = (count - 1).to_string().len();
            format!("{:0width$}", number % u64::from(count))
        }
        None if number == 0 => String::new(),
        None => number.to_string(),
    };
    let mut name = OsString::from(base);
    name.push(suffix);
    name.into()
}
