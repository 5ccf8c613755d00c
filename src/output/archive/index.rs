//! The index of an archive, packed while its lines come, so that little is left to do at the end.
//!
//! It is a kilobyte a connection, and of many short connections most of an archive: deflating it takes less time
//! than the system takes to write it down, to read it again and to write it where it belongs.

use std::io::{self, Write};

use crc32fast::Hasher;
use flate2::Compression;
use flate2::write::DeflateEncoder;

use super::log::Log;
use super::spool::Spool;
use super::zip::Method;

/// Lines are deflated in pieces of this size: the encoder clears a buffer for each of them.
const PIECE: usize = 64 << 10;

/// Lines so far.
#[derive(Debug)]
pub struct Index {
    /// As the archive will have them, but for those that follow.
    packed: Log,
    /// Not yet deflated; none where lines are stored.
    lines: Vec<u8>,
    deflate: Option<DeflateEncoder<Vec<u8>>>,
    /// Bytes of all lines, and their CRC-32.
    len: u64,
    crc: Hasher,
}

/// All lines.
#[derive(Debug)]
pub struct Whole {
    pub packed: Log,
    /// Bytes of the lines, and their CRC-32.
    pub len: u64,
    pub crc: u32,
}

impl Index {
    /// No lines.
    pub fn new(method: Method) -> Self {
        // Level 1: the next one takes a third longer to make the archive a twenty-fifth smaller.
        let deflate = || DeflateEncoder::new(Vec::new(), Compression::fast());
        Self {
            packed: Log::default(),
            lines: Vec::new(),
            deflate: (method == Method::Deflated).then(deflate),
            len: 0,
            crc: Hasher::new(),
        }
    }

    /// Bytes that it will take in the archive, at the most: lines are deflated to a third or less.
    pub fn len(&self) -> u64 {
        self.packed.len() + self.lines.len() as u64 / 2
    }

    /// The next line.
    ///
    /// # Errors
    /// What the system says; the index is without it then.
    pub fn line(&mut self, line: &[u8], spool: &mut Spool) -> io::Result<()> {
        match &mut self.deflate {
            None => {
                self.packed.make_room(spool)?;
                self.packed.waiting.extend_from_slice(line);
            }
            Some(deflate) => {
                if self.lines.len() >= PIECE {
                    self.packed.make_room(spool)?;
                    deflate.write_all(&self.lines)?;
                    self.packed.waiting.append(deflate.get_mut());
                    self.lines.clear();
                }
                self.lines.extend_from_slice(line);
            }
        }
        self.len += line.len() as u64;
        self.crc.update(line);
        Ok(())
    }

    /// There are no more.
    ///
    /// # Errors
    /// None: what is left goes to memory.
    pub fn finish(mut self) -> io::Result<Whole> {
        if let Some(mut deflate) = self.deflate {
            deflate.write_all(&self.lines)?;
            self.packed.waiting.append(&mut deflate.finish()?);
        }
        Ok(Whole {
            packed: self.packed,
            len: self.len,
            crc: self.crc.finalize(),
        })
    }
}
