//! Deflates, on a thread of its own where there may be one: it is an eighth of what a million short connections take,
//! and the one thread that writes an archive is the one that all others wait for.

use std::io::{self, Write};
use std::thread::JoinHandle;

use crc32fast::Hasher;
use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use flate2::Compression;
use flate2::write::DeflateEncoder;

/// Pieces on their way to the thread.
const PIECES: usize = 4;

/// Deflates piece by piece.
#[derive(Debug)]
pub enum Deflate {
    Here(Box<Encoder>),
    /// The thread is started for the first piece: by then whoever writes has given up what it needs no more, and the
    /// thread inherits that.
    Later,
    There(Thread),
}

impl Deflate {
    /// On a thread of its own, or here.
    pub fn new(aside: bool) -> Self {
        if aside { Self::Later } else { Self::here() }
    }

    fn here() -> Self {
        Self::Here(Box::new(Encoder::new()))
    }

    /// Takes `piece`, leaves an empty one, and puts behind `packed` what has been deflated meanwhile.
    ///
    /// # Errors
    /// None: it all goes to memory.
    pub fn piece(&mut self, piece: &mut Vec<u8>, packed: &mut Vec<u8>) -> io::Result<()> {
        if matches!(self, Self::Later) {
            // Where the system has no thread to spare it is done here.
            *self = Thread::start().map_or_else(|_| Self::here(), Self::There);
        }
        match self {
            Self::Here(encoder) => {
                encoder.put(piece)?;
                packed.append(encoder.packed());
                piece.clear();
            }
            Self::There(thread) => thread.put(piece, packed),
            Self::Later => {}
        }
        Ok(())
    }

    /// Bytes of pieces taken, of which nothing has come back yet.
    pub const fn under_way(&self) -> u64 {
        match self {
            Self::Here(_) | Self::Later => 0,
            Self::There(thread) => thread.under_way,
        }
    }

    /// Takes the last piece, and puts all that is left behind `packed`; the CRC-32 of all pieces.
    ///
    /// # Errors
    /// None: it all goes to memory.
    pub fn finish(self, last: &[u8], packed: &mut Vec<u8>) -> io::Result<u32> {
        let mut encoder = match self {
            Self::Here(encoder) => *encoder,
            Self::Later => Encoder::new(),
            Self::There(thread) => thread.finish(packed)?,
        };
        encoder.put(last)?;
        packed.append(&mut encoder.deflate.finish()?);
        Ok(encoder.crc.finalize())
    }
}

/// What deflates.
#[derive(Debug)]
pub struct Encoder {
    deflate: DeflateEncoder<Vec<u8>>,
    crc: Hasher,
}

impl Encoder {
    fn new() -> Self {
        Self {
            // Level 1: the next one takes a third longer to make the archive a twenty-fifth smaller.
            deflate: DeflateEncoder::new(Vec::new(), Compression::fast()),
            crc: Hasher::new(),
        }
    }

    fn put(&mut self, piece: &[u8]) -> io::Result<()> {
        self.crc.update(piece);
        self.deflate.write_all(piece)
    }

    /// What has come of it so far, to be taken.
    fn packed(&mut self) -> &mut Vec<u8> {
        self.deflate.get_mut()
    }
}

/// A thread that deflates.
#[derive(Debug)]
pub struct Thread {
    pieces: Sender<Vec<u8>>,
    /// Pieces that are done, and what has come of them.
    done: Receiver<(Vec<u8>, Vec<u8>)>,
    under_way: u64,
    thread: JoinHandle<io::Result<Encoder>>,
}

impl Thread {
    fn start() -> io::Result<Self> {
        let (to_thread, pieces) = bounded::<Vec<u8>>(PIECES);
        let (to_us, done) = unbounded();
        let thread = std::thread::Builder::new()
            .name("deflate".to_owned())
            .spawn(move || {
                let mut encoder = Encoder::new();
                for piece in pieces {
                    encoder.put(&piece)?;
                    let packed = std::mem::take(encoder.packed());
                    // Nobody is there any more where the run has failed.
                    let _ = to_us.send((piece, packed));
                }
                Ok(encoder)
            })?;
        Ok(Self {
            pieces: to_thread,
            done,
            under_way: 0,
            thread,
        })
    }

    fn put(&mut self, piece: &mut Vec<u8>, packed: &mut Vec<u8>) {
        let mut empty = Vec::new();
        for (piece, from_it) in self.done.try_iter() {
            self.under_way = self.under_way.saturating_sub(piece.len() as u64);
            packed.extend_from_slice(&from_it);
            empty = piece;
        }
        empty.clear();
        let piece = std::mem::replace(piece, empty);
        self.under_way += piece.len() as u64;
        // Where the thread is gone, joining it says why.
        let _ = self.pieces.send(piece);
    }

    fn finish(self, packed: &mut Vec<u8>) -> io::Result<Encoder> {
        let Self {
            pieces, done, thread, ..
        } = self;
        drop(pieces);
        for (_, from_it) in done {
            packed.extend_from_slice(&from_it);
        }
        thread
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn it_makes_no_difference_where() {
        let [here, there] = [false, true].map(|aside| {
            let mut deflate = Deflate::new(aside);
            let (mut packed, mut all) = (Vec::new(), Vec::new());
            for number in 0..1000 {
                let mut piece = format!("piece {number}\n").repeat(number).into_bytes();
                all.extend_from_slice(&piece);
                deflate.piece(&mut piece, &mut packed).unwrap();
                assert!(piece.is_empty());
                assert_eq!(deflate.under_way() > 0, aside && number > 0);
            }
            let crc = deflate.finish(b"last", &mut packed).unwrap();
            all.extend_from_slice(b"last");
            assert_eq!(crc, crc32fast::hash(&all));
            let mut back = Vec::new();
            let mut inflate = flate2::read::DeflateDecoder::new(packed.as_slice());
            inflate.read_to_end(&mut back).unwrap();
            assert!(back == all);
            packed
        });
        assert!(here == there);
    }
}
