//! Room on a disk, taken before there are bytes for it: what is to be written last has its place when others have
//! filled up the rest.

use std::fs::File;
use std::io;

/// Room is taken in steps of so many bytes at the least.
const STEP: u64 = 8 << 10;

/// And of so many at the most, the larger the more of it there is: asking for each few lines takes time.
const LONGEST_STEP: u64 = 1 << 20;

/// Takes more room, of which there is `taken`, for `bytes` in all; gives what there is then.
fn more(file: &File, taken: u64, bytes: u64) -> io::Result<u64> {
    let missing = (bytes - taken).next_multiple_of(STEP);
    let ample = missing.max((taken / 8).next_multiple_of(STEP).min(LONGEST_STEP));
    allocate(file, taken, ample)
        .map(|()| taken + ample)
        .or_else(|_| allocate(file, taken, missing).map(|()| taken + missing))
}

/// A file that takes room and holds nothing; none while there is plenty.
#[derive(Debug)]
pub struct Room {
    file: File,
    kept: u64,
    plenty: Plenty,
}

/// For so many bytes there is room in any case, until so many in all were written.
#[derive(Debug, Clone, Copy, Default)]
struct Plenty {
    bytes: u64,
    until: u64,
}

impl Room {
    /// None yet; `file` is empty.
    pub const fn new(file: File) -> Self {
        Self {
            file,
            kept: 0,
            plenty: Plenty { bytes: 0, until: 0 },
        }
    }

    /// Sees to it that there is room for so many bytes, now that so many others were written. A file system that can't do
    /// that promises nothing.
    ///
    /// # Errors
    /// There is no such room; it is as much as before then.
    pub fn keep(&mut self, bytes: u64, written: u64) -> io::Result<()> {
        let Plenty { bytes: most, until } = self.plenty;
        if bytes <= self.kept || bytes <= most && written <= until {
            return Ok(());
        }
        let quarter = available(&self.file) / 4;
        if bytes <= quarter {
            self.plenty = Plenty {
                bytes: quarter,
                until: written.saturating_add(quarter),
            };
            return Ok(());
        }
        self.plenty = Plenty::default();
        self.kept = more(&self.file, self.kept, bytes)?;
        Ok(())
    }

    /// Whoever needs it may have it now.
    pub fn give_back(&mut self) {
        if self.file.set_len(0).is_ok() {
            self.kept = 0;
        }
    }
}

/// Room for the bytes of a file that is being written, beyond its end. What is left of it goes when the file's length
/// is set.
#[derive(Debug, Default)]
pub struct Ahead {
    taken: u64,
}

impl Ahead {
    /// Sees to it that there is room for the first so many bytes, if it can be had.
    pub fn keep(&mut self, file: &File, bytes: u64) {
        if bytes > self.taken {
            self.taken = more(file, self.taken, bytes).unwrap_or(self.taken);
        }
    }

    /// The file's length was set to so many bytes.
    pub fn cut(&mut self, len: u64) {
        self.taken = self.taken.min(len);
    }
}

/// Bytes that the file system has for us, as far as it says.
fn available(file: &File) -> u64 {
    nix::sys::statvfs::fstatvfs(file).map_or(0, |system| system.blocks_available() * system.fragment_size())
}

#[cfg(target_os = "linux")]
fn allocate(file: &File, at: u64, len: u64) -> io::Result<()> {
    use nix::errno::Errno;
    use nix::fcntl::{FallocateFlags, fallocate};

    let (at, len) = (at.cast_signed(), len.cast_signed());
    loop {
        match fallocate(file, FallocateFlags::FALLOC_FL_KEEP_SIZE, at, len) {
            Err(Errno::EINTR) => {}
            Err(Errno::EOPNOTSUPP | Errno::ENOSYS) => return Ok(()),
            done => return done.map_err(io::Error::from),
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn allocate(_: &File, _: u64, _: u64) -> io::Result<()> {
    Ok(())
}
