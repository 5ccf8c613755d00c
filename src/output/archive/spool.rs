//! Where members wait that are not over: one file without a name, in blocks that come back when they are copied.
//!
//! One file for all of them: no number of long connections takes more than one descriptor. Runs of zeros (gaps)
//! take no space, neither here nor where they are copied to.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use crc32fast::Hasher;

/// Bytes of a block.
const BLOCK: u64 = 64 << 10;

/// Bytes copied at once.
const COPIED: usize = 256 << 10;

/// Zeros of a whole page of the copy are not written.
const PAGE: u64 = 4 << 10;

static ZEROS: [u8; BLOCK as usize] = [0; BLOCK as usize];

/// The file.
#[derive(Debug)]
pub struct Spool {
    file: File,
    free: Vec<u32>,
    /// Blocks from here on were never used.
    fresh: u32,
    /// What nobody wrote may be other than zeros: the file system takes no space back, or a write failed half-way.
    soiled: bool,
}

/// Bytes in the spool, one behind the other.
#[derive(Debug, Default)]
pub struct Spooled {
    runs: Vec<Run>,
    len: u64,
    crc: Hasher,
}

/// Blocks in a row.
#[derive(Debug, Clone, Copy)]
struct Run {
    /// `None` is zeros.
    first: Option<u32>,
    count: u32,
}

impl Spooled {
    /// Bytes in it.
    pub const fn len(&self) -> u64 {
        self.len
    }

    /// Nothing is in it.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Only the first `len` bytes are left. The CRC is no longer theirs.
    pub fn truncate(&mut self, len: u64) {
        self.len = self.len.min(len);
    }

    /// CRC-32 of its bytes and of `tail` behind them.
    pub fn crc_with(&self, tail: &[u8]) -> u32 {
        let mut crc = self.crc.clone();
        crc.update(tail);
        crc.finalize()
    }

    /// The last block, where it has room.
    fn open_block(&self) -> Option<Option<u32>> {
        let last = self.runs.last().filter(|_| !self.len.is_multiple_of(BLOCK))?;
        Some(last.first.map(|first| first + (last.count - 1)))
    }

    fn push(&mut self, block: Option<u32>, count: u32) {
        let follows = self.runs.last_mut().filter(|run| match (run.first, block) {
            (Some(first), Some(block)) => first.checked_add(run.count) == Some(block),
            (None, None) => run.count.checked_add(count).is_some(),
            _ => false,
        });
        match follows {
            Some(run) => run.count += count,
            None => self.runs.push(Run { first: block, count }),
        }
    }

    /// Takes the last block off.
    fn pop(&mut self) -> Option<u32> {
        let run = self.runs.last_mut()?;
        run.count -= 1;
        let block = run.first.map(|first| first + run.count);
        if run.count == 0 {
            self.runs.pop();
        }
        block
    }
}

impl Spool {
    /// A spool in `file`, which is empty and open for reading and writing.
    pub fn new(file: File) -> Self {
        Self {
            file,
            free: Vec::new(),
            fresh: 0,
            soiled: false,
        }
    }

    /// Adds bytes.
    ///
    /// # Errors
    /// What the system says; nothing of `bytes` was added then.
    pub fn append(&mut self, to: &mut Spooled, bytes: &[u8]) -> io::Result<()> {
        let before = to.len;
        let mut rest = bytes;
        while !rest.is_empty() {
            let within = to.len % BLOCK;
            let room = usize::try_from(BLOCK - within).unwrap_or(usize::MAX);
            let (now, later) = rest.split_at_checked(room).unwrap_or((rest, &[]));
            if let Err(error) = self.append_within(to, within, now) {
                self.soiled = true;
                while to.len > before {
                    let filled = (to.len - 1) % BLOCK + 1;
                    let step = filled.min(to.len - before);
                    if step == filled
                        && let Some(block) = to.pop()
                    {
                        self.give_back(block, 1);
                    }
                    to.len -= step;
                }
                return Err(error);
            }
            to.len += now.len() as u64;
            rest = later;
        }
        to.crc.update(bytes);
        Ok(())
    }

    /// Adds what fits into a block.
    fn append_within(&mut self, to: &mut Spooled, within: u64, bytes: &[u8]) -> io::Result<()> {
        if let Some(Some(block)) = to.open_block() {
            return self.file.write_all_at(bytes, u64::from(block) * BLOCK + within);
        }
        let block = self.take()?;
        let at = u64::from(block) * BLOCK;
        // Zeros end in it.
        let written = self
            .zeros(at, within)
            .and_then(|()| self.file.write_all_at(bytes, at + within));
        if written.is_err() {
            self.give_back(block, 1);
            return written;
        }
        if within > 0 {
            to.pop();
        }
        to.push(Some(block), 1);
        Ok(())
    }

    /// Adds zeros.
    ///
    /// # Errors
    /// What the system says; none was added then.
    pub fn skip(&mut self, to: &mut Spooled, len: u64) -> io::Result<()> {
        if len == 0 {
            return Ok(());
        }
        let mut rest = len;
        if let Some(block) = to.open_block() {
            let within = to.len % BLOCK;
            let now = rest.min(BLOCK - within);
            if let Some(block) = block {
                self.zeros(u64::from(block) * BLOCK + within, now)?;
            }
            rest -= now;
        }
        let mut blocks = rest.div_ceil(BLOCK);
        while blocks > 0 {
            let count = u32::try_from(blocks).unwrap_or(u32::MAX);
            to.push(None, count);
            blocks -= u64::from(count);
        }
        to.len += len;
        to.crc.combine(&crc_of_zeros(len));
        Ok(())
    }

    /// Sees to it that so many bytes of a block are zeros, where nothing else was written since it was taken.
    fn zeros(&self, at: u64, len: u64) -> io::Result<()> {
        let zeros = ZEROS.get(..usize::try_from(len).unwrap_or(0));
        match zeros.filter(|_| self.soiled) {
            Some(zeros) => self.file.write_all_at(zeros, at),
            None => Ok(()),
        }
    }

    fn take(&mut self) -> io::Result<u32> {
        if let Some(block) = self.free.pop() {
            return Ok(block);
        }
        let block = self.fresh;
        let fresh = block.checked_add(1).ok_or(io::ErrorKind::FileTooLarge)?;
        // All of it can be read.
        self.file.set_len(u64::from(fresh) * BLOCK)?;
        self.fresh = fresh;
        Ok(block)
    }

    /// Copies it to `at` in a file that has nothing there.
    ///
    /// # Errors
    /// What the system says.
    pub fn copy(&self, from: &Spooled, to: &File, at: u64) -> io::Result<()> {
        let mut buffer = Vec::new();
        let mut done = 0;
        for run in &from.runs {
            let in_run = (u64::from(run.count) * BLOCK).min(from.len.saturating_sub(done));
            let mut copied = in_run;
            if let Some(first) = run.first {
                buffer.resize(COPIED, 0);
                copied = 0;
                while copied < in_run {
                    let step = usize::try_from(in_run - copied).unwrap_or(COPIED).min(COPIED);
                    let piece = buffer.get_mut(..step).unwrap_or_default();
                    self.file
                        .read_exact_at(piece, u64::from(first) * BLOCK + copied)?;
                    write_but_zeros(to, piece, at + done + copied)?;
                    copied += step as u64;
                }
            }
            done += copied;
        }
        Ok(())
    }

    /// Takes the blocks back.
    pub fn release(&mut self, spooled: Spooled) {
        for run in spooled.runs {
            if let Some(first) = run.first {
                self.give_back(first, run.count);
            }
        }
    }

    /// Blocks can be used again, and the file system has their space back where it takes that.
    fn give_back(&mut self, first: u32, count: u32) {
        #[cfg(target_os = "linux")]
        {
            use nix::fcntl::{FallocateFlags, fallocate};

            let flags = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
            let at = |blocks: u32| i64::from(blocks) * BLOCK.cast_signed();
            // A file system that can't keeps it until the end.
            self.soiled |= fallocate(&self.file, flags, at(first), at(count)).is_err();
        }
        #[cfg(not(target_os = "linux"))]
        {
            self.soiled = true;
        }
        // The last one first: they are taken from the end.
        self.free.extend((first..first.saturating_add(count)).rev());
    }
}

/// Writes bytes to a file that has nothing there; pages of zeros stay holes.
fn write_but_zeros(to: &File, bytes: &[u8], at: u64) -> io::Result<()> {
    let first = usize::try_from(PAGE - at % PAGE).unwrap_or(0).min(bytes.len());
    let (first, others) = bytes.split_at(first);
    let mut begin = 0;
    let mut end = 0;
    for page in std::iter::once(first).chain(others.chunks(PAGE as usize)) {
        if ZEROS.starts_with(page) {
            to.write_all_at(bytes.get(begin..end).unwrap_or_default(), at + begin as u64)?;
            begin = end + page.len();
        }
        end += page.len();
    }
    to.write_all_at(bytes.get(begin..end).unwrap_or_default(), at + begin as u64)
}

/// CRC-32 of so many zeros, by doubling: a gap costs its length's logarithm.
fn crc_of_zeros(len: u64) -> Hasher {
    let mut crc = Hasher::new();
    let mut power = Hasher::new();
    power.update(&[0]);
    let mut rest = len;
    while rest > 0 {
        if rest & 1 == 1 {
            crc.combine(&power);
        }
        rest >>= 1;
        if rest > 0 {
            let half = power.clone();
            power.combine(&half);
        }
    }
    crc
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    impl Spool {
        /// What is in it is lost.
        pub fn truncate(&self) {
            self.file.set_len(0).unwrap();
        }
    }

    #[derive(Debug, Clone)]
    enum Step {
        Append(usize, Vec<u8>),
        Skip(usize, u64),
        Release(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        let long = (any::<u8>(), 0..200_000_usize).prop_map(|(byte, len)| vec![byte; len]);
        let short = proptest::collection::vec(any::<u8>(), 0..10);
        let lengths = prop_oneof![0..10_u64, 60_000..70_000_u64, 0..300_000_u64];
        prop_oneof![
            3 => (0..3_usize, prop_oneof![short, long]).prop_map(|(who, bytes)| Step::Append(who, bytes)),
            2 => (0..3_usize, lengths).prop_map(|(who, len)| Step::Skip(who, len)),
            1 => (0..3_usize).prop_map(Step::Release),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]
        #[test]
        fn what_went_in_comes_out(soiled in any::<bool>(), steps in proptest::collection::vec(step(), 0..30)) {
            let mut spool = Spool::new(tempfile::tempfile().unwrap());
            spool.soiled = soiled;
            let mut spooled: [Spooled; 3] = Default::default();
            let mut wanted: [Vec<u8>; 3] = Default::default();
            for step in steps {
                match step {
                    Step::Append(who, bytes) => {
                        spool.append(&mut spooled[who], &bytes).unwrap();
                        wanted[who].extend(bytes);
                    }
                    Step::Skip(who, len) => {
                        spool.skip(&mut spooled[who], len).unwrap();
                        let len = wanted[who].len() + len as usize;
                        wanted[who].resize(len, 0);
                    }
                    Step::Release(who) => {
                        spool.release(std::mem::take(&mut spooled[who]));
                        wanted[who].clear();
                    }
                }
            }
            for (spooled, wanted) in spooled.iter().zip(&wanted) {
                let copy = tempfile::tempfile().unwrap();
                spool.copy(spooled, &copy, 0).unwrap();
                copy.set_len(spooled.len()).unwrap();
                let mut found = vec![0; wanted.len()];
                copy.read_exact_at(&mut found, 0).unwrap();
                prop_assert_eq!(spooled.len(), wanted.len() as u64);
                prop_assert!(&found == wanted);
                let mut crc = Hasher::new();
                crc.update(wanted);
                crc.update(b"tail");
                prop_assert_eq!(spooled.crc_with(b"tail"), crc.finalize());
            }
        }
    }

    #[test]
    fn blocks_are_used_again_and_zeros_take_none() {
        let mut spool = Spool::new(tempfile::tempfile().unwrap());
        for _ in 0..10 {
            let mut spooled = Spooled::default();
            spool.append(&mut spooled, &[1; 200_000]).unwrap();
            spool.skip(&mut spooled, 1 << 40).unwrap();
            spool.append(&mut spooled, &[1; 200_000]).unwrap();
            assert!(spooled.runs.len() < 10, "{:?}", spooled.runs);
            spool.release(spooled);
        }
        assert_eq!(u64::from(spool.fresh), 2 * 200_000_u64.div_ceil(BLOCK));
    }

    #[test]
    fn a_byte_between_zeros_takes_no_whole_block() {
        use std::os::unix::fs::MetadataExt;

        let mut spool = Spool::new(tempfile::tempfile().unwrap());
        let mut spooled = Spooled::default();
        for _ in 0..1000 {
            spool.append(&mut spooled, b"x").unwrap();
            spool.skip(&mut spooled, 60_000).unwrap();
        }
        let copy = tempfile::tempfile().unwrap();
        spool.copy(&spooled, &copy, 30).unwrap();
        for file in [&spool.file, &copy] {
            let taken = file.metadata().unwrap().blocks() * 512;
            assert!(taken < 1000 * BLOCK / 2, "{taken}");
        }
    }
}
