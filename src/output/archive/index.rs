//! The index of an archive, packed while its lines come, so that little is left to do at the end.
//!
//! It is a kilobyte a connection, and of many short connections most of an archive: deflating it takes less time
//! than the system takes to write it down, to read it again and to write it where it belongs.

use std::io;

use super::deflate::Deflate;
use super::log::Log;
use super::spool::Spool;
use super::zip::Method;

/// Lines are deflated in pieces of this size: the encoder clears a buffer for each of them.
const PIECE: usize = 256 << 10;

/// Lines so far.
#[derive(Debug)]
pub struct Index {
    /// As the archive will have them, but for those that follow.
    packed: Log,
    /// Not yet deflated; none where lines are stored.
    lines: Vec<u8>,
    deflate: Option<Deflate>,
    /// Bytes of all lines.
    len: u64,
}

/// All lines.
#[derive(Debug)]
pub struct Whole {
    pub packed: Log,
    /// Bytes of the lines.
    pub len: u64,
    /// Their CRC-32, where they are deflated: nothing else needs it.
    pub crc: u32,
}

impl Index {
    /// No lines. They may be deflated by a thread of its own.
    pub fn new(method: Method, aside: bool) -> Self {
        Self {
            packed: Log::default(),
            lines: Vec::new(),
            deflate: (method == Method::Deflated).then(|| Deflate::new(aside)),
            len: 0,
        }
    }

    /// Bytes that it will take in the archive, at the most: lines are deflated to a third or less.
    pub fn len(&self) -> u64 {
        let under_way = self.deflate.as_ref().map_or(0, Deflate::under_way);
        self.packed.len() + (under_way + self.lines.len() as u64) / 2
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
                    deflate.piece(&mut self.lines, &mut self.packed.waiting)?;
                }
                self.lines.extend_from_slice(line);
            }
        }
        self.len += line.len() as u64;
        Ok(())
    }

    /// There are no more.
    ///
    /// # Errors
    /// None: what is left goes to memory.
    pub fn finish(mut self) -> io::Result<Whole> {
        let mut crc = 0;
        if let Some(deflate) = self.deflate {
            crc = deflate.finish(&self.lines, &mut self.packed.waiting)?;
        }
        Ok(Whole {
            packed: self.packed,
            len: self.len,
            crc,
        })
    }
}
