//! Where the bytes of a capture file come from: a memory map for regular files, a bounded buffer for
//! all that can't be mapped (stdin, FIFO) or is compressed. Told apart by content, never by name.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use memmap2::{Mmap, UncheckedAdvice};
use nix::libc::O_NONBLOCK;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

/// Bytes in sequence, looked at through a window.
pub(super) enum Bytes {
    Map {
        map: Arc<Mmap>,
        at: usize,
        /// Up to here it is in the processor's cache.
        near: usize,
        /// Up to here its pages were given back.
        left: usize,
    },
    Stream(Stream),
}

impl std::fmt::Debug for Bytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Map { map, at, .. } => write!(f, "Map({at} of {})", map.len()),
            Self::Stream(stream) => write!(f, "Stream(at {})", stream.position),
        }
    }
}

/// A reader behind a buffer that grows to what a record needs, which the format bounds.
pub(super) struct Stream {
    reader: Box<dyn Read + Send>,
    buffer: Vec<u8>,
    /// Window within the buffer.
    begin: usize,
    end: usize,
    /// Offset of the window in the (decompressed) stream.
    position: u64,
    finished: bool,
    /// What was wrong, told whenever more is asked for than came before it.
    error: Option<(io::ErrorKind, String)>,
}

/// A pipe whose writer may pause: `WouldBlock` says so, at once after the last byte, later from time to time.
struct Patient {
    file: File,
    paused: bool,
}

/// How long a pipe is waited for.
const PAUSE: Duration = Duration::from_millis(100);

impl Patient {
    fn new(file: File) -> Self {
        Self { file, paused: false }
    }
}

impl Read for Patient {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let patience = if self.paused { PAUSE } else { Duration::ZERO };
        let timeout = PollTimeout::try_from(patience).unwrap_or(PollTimeout::ZERO);
        let ready = poll(&mut [PollFd::new(self.file.as_fd(), PollFlags::POLLIN)], timeout)?;
        self.paused = ready == 0;
        if self.paused {
            Err(io::ErrorKind::WouldBlock.into())
        } else {
            self.file.read(buffer)
        }
    }
}

/// Asks for what a pipe has yet to give, for as long as that takes.
///
/// # Errors
/// What `ask` returns but for `WouldBlock`; that the run is to stop.
pub(super) fn patiently<T>(stop: &AtomicBool, mut ask: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match ask() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if stop.load(Ordering::Relaxed) {
                    return Err(io::Error::other("stopped before its first bytes came"));
                }
            }
            answer => return answer,
        }
    }
}

/// Opening a FIFO that nobody writes would wait where no signal ends it. Elsewhere such a FIFO seems to be at its end.
const AT_ONCE: i32 = if cfg!(target_os = "linux") { O_NONBLOCK } else { 0 };

/// Read at once.
const CHUNK: usize = 256 << 10;

/// A map is brought into the processor's cache in steps of this size.
const NEAR: usize = 32 << 10;

/// So much of a map stays behind the bytes at hand, for those who write them.
const BEHIND: usize = 64 << 20;

/// What lies further back is given back in steps of this size.
const LEAVE: usize = 8 << 20;

impl Bytes {
    /// Opens a file, `-` for stdin. Waits for the first bytes of a pipe, unless `stop` is set.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn open(path: &Path, stop: &AtomicBool) -> io::Result<Self> {
        let pipe = |file| Self::stream(Box::new(Patient::new(file)), stop);
        if path.as_os_str() == "-" {
            return pipe(File::from(io::stdin().as_fd().try_clone_to_owned()?));
        }
        let file = File::options().read(true).custom_flags(AT_ONCE).open(path)?;
        let metadata = file.metadata()?;
        if metadata.is_dir() {
            return Err(io::Error::other("is a directory (give the capture files in it)"));
        }
        if !metadata.is_file() || metadata.len() == 0 {
            return pipe(file);
        }
        say_what_truncating_does()?;
        // SAFETY: the map is only read. Whoever truncates a file while it is mapped makes reads beyond its
        // new end fail with SIGBUS, as in every program that maps files (ripgrep, mold); captures are
        // appended to or rotated by renaming, both harmless.
        #[allow(unsafe_code)]
        let map = unsafe { Mmap::map(&file)? };
        if compressed(&map) {
            return Self::stream(Box::new(file), stop);
        }
        let map = Arc::new(map);
        Ok(Self::Map {
            map,
            at: 0,
            near: 0,
            left: 0,
        })
    }

    /// A stream, unpacked if it is compressed.
    pub(super) fn stream(mut reader: Box<dyn Read + Send>, stop: &AtomicBool) -> io::Result<Self> {
        // A pipe may give its first bytes one at a time.
        let mut start = Vec::new();
        patiently(stop, || {
            let missing = 4 - start.len() as u64;
            reader.by_ref().take(missing).read_to_end(&mut start)
        })?;
        let reader = io::Cursor::new(start.clone()).chain(reader);
        let reader: Box<dyn Read + Send> = match start.as_slice() {
            [0x1f, 0x8b, ..] => Box::new(flate2::bufread::MultiGzDecoder::new(BufReader::with_capacity(
                CHUNK, reader,
            ))),
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => {
                let mut decoder = zstd::stream::read::Decoder::new(reader)?;
                // A frame may ask for a window of gigabytes; 128 MiB is what the zstd program allows.
                decoder.window_log_max(27)?;
                Box::new(decoder)
            }
            _ => Box::new(reader),
        };
        Ok(Self::Stream(Stream {
            reader,
            buffer: Vec::new(),
            begin: 0,
            end: 0,
            position: 0,
            finished: false,
            error: None,
        }))
    }

    /// Makes the window at least `need` bytes long, if there are so many.
    ///
    /// # Errors
    /// `WouldBlock`: whoever writes the pipe has nothing just now, ask again. Else reading (or unpacking) failed,
    /// and the window holds no more than what came before.
    pub(super) fn fill(&mut self, need: usize) -> io::Result<bool> {
        match self {
            Self::Map { map, at, .. } => Ok(map.len() - *at >= need),
            Self::Stream(stream) => stream.fill(need),
        }
    }

    /// The window: the bytes from here on.
    pub(super) fn window(&self) -> &[u8] {
        match self {
            Self::Map { map, at, .. } => map.get(*at..).unwrap_or_default(),
            Self::Stream(stream) => stream.buffer.get(stream.begin..stream.end).unwrap_or_default(),
        }
    }

    /// Moves on.
    pub(super) fn consume(&mut self, len: usize) {
        match self {
            Self::Map { map, at, near, left } => {
                *at = (*at + len).min(map.len());
                if *at >= *near {
                    *near = *at + NEAR;
                    bring_near(map.get(*at..).unwrap_or_default());
                    while *at >= *left + BEHIND + LEAVE {
                        leave(map, *left);
                        *left += LEAVE;
                    }
                }
            }
            Self::Stream(stream) => {
                stream.begin = (stream.begin + len).min(stream.end);
                stream.position += len as u64;
            }
        }
    }

    /// Offset of the window in the (decompressed) file.
    pub(super) fn position(&self) -> u64 {
        match self {
            Self::Map { at, .. } => *at as u64,
            Self::Stream(stream) => stream.position,
        }
    }

    /// The map, where it is one.
    pub(super) fn map(&self) -> Option<Arc<Mmap>> {
        match self {
            Self::Map { map, .. } => Some(map.clone()),
            Self::Stream(_) => None,
        }
    }

    /// Length in all, where it is known.
    pub(super) fn len(&self) -> Option<u64> {
        match self {
            Self::Map { map, .. } => Some(map.len() as u64),
            Self::Stream(_) => None,
        }
    }
}

/// The last words of a run whose capture was truncated under it, by a tcpdump that began anew, say.
const TRUNCATED: &[u8] =
    b"flowdump: a capture was truncated while it was read (or its disk fails): the run ends here. \
What other programs truncate can be read by cat FILE | flowdump -r -\n";

/// SIGBUS on a page of the map that is no more: said in words. Not beside other handlers: that of Rust's library would
/// be called first, and let the next thread that comes to such a page die.
fn say_what_truncating_does() -> io::Result<()> {
    extern "C" fn end(_: i32) {
        let _ = nix::unistd::write(io::stderr(), TRUNCATED);
        signal_hook::low_level::exit(1)
    }
    let action = SigAction::new(SigHandler::Handler(end), SaFlags::SA_ONSTACK, SigSet::empty());
    // SAFETY: the handler does nothing but write(2) and _exit(2), which are async-signal-safe.
    #[allow(unsafe_code)]
    let before = unsafe { sigaction(Signal::SIGBUS, &action) };
    before.map(|_| ()).map_err(io::Error::from)
}

/// Gives back pages of a map. Taking a large map apart takes long, and at the end nothing else is done meanwhile; nor is
/// it to look as if the capture were in our memory.
fn leave(map: &Mmap, begin: usize) {
    // SAFETY: the map is of a file, shared and only read: who comes back to these pages finds what the file has there.
    #[allow(unsafe_code)]
    let left = unsafe { map.unchecked_advise_range(UncheckedAdvice::DontNeed, begin, LEAVE) };
    // Where the system does not take the advice nothing is lost.
    let _ = left;
}

/// Touches each cache line of the next records. Going from header to header waits for memory once a packet, because
/// each says where the next one is; these loads wait for nothing, so that memory is read as fast as it can be.
fn bring_near(bytes: &[u8]) {
    const LINE: usize = 64;
    const PAGE: usize = 4096;
    let (lines, _) = bytes.get(..NEAR + PAGE).unwrap_or(bytes).as_chunks::<LINE>();
    let word =
        |[a, b, c, d, e, f, g, h, ..]: &[u8; LINE]| u64::from_ne_bytes([*a, *b, *c, *d, *e, *f, *g, *h]);
    std::hint::black_box(lines.iter().fold(0, |all, line| all ^ word(line)));
}

/// gzip or zstd, by content.
fn compressed(start: &[u8]) -> bool {
    matches!(
        start,
        [0x1f, 0x8b, ..] | [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..]
    )
}

impl Stream {
    fn fill(&mut self, need: usize) -> io::Result<bool> {
        while self.end - self.begin < need && !self.finished {
            if self.buffer.len() - self.begin < need.max(1) || self.end == self.buffer.len() {
                self.buffer.copy_within(self.begin..self.end, 0);
                self.end -= self.begin;
                self.begin = 0;
                if self.buffer.len() < need.max(CHUNK) {
                    self.buffer.resize(need.max(CHUNK), 0);
                }
            }
            match self
                .reader
                .read(self.buffer.get_mut(self.end..).unwrap_or_default())
            {
                Ok(0) => self.finished = true,
                Ok(count) => self.end += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(error),
                Err(error) => {
                    self.finished = true;
                    self.error = Some((error.kind(), error.to_string()));
                }
            }
        }
        let enough = self.end - self.begin >= need;
        match &self.error {
            Some((kind, reason)) if !enough => Err(io::Error::new(*kind, reason.clone())),
            _ => Ok(enough),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A reader that gives a byte at a time, as a slow pipe may.
    struct Slow(io::Cursor<Vec<u8>>);

    impl Read for Slow {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let one = buffer.len().min(1);
            self.0.read(buffer.get_mut(..one).unwrap_or_default())
        }
    }

    fn all(mut bytes: Bytes) -> Vec<u8> {
        let mut result = Vec::new();
        while bytes.fill(1).unwrap_or(false) {
            result.extend_from_slice(bytes.window());
            let len = bytes.window().len();
            bytes.consume(len);
        }
        result
    }

    #[test]
    fn compression_is_told_by_content_even_from_a_pipe_that_gives_single_bytes() {
        let plain: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        io::Write::write_all(&mut gz, &plain).unwrap();
        let gz = gz.finish().unwrap();
        let zst = zstd::encode_all(plain.as_slice(), 1).unwrap();
        let go_on = AtomicBool::new(false);
        for packed in [plain.clone(), gz, zst] {
            let slow = Bytes::stream(Box::new(Slow(io::Cursor::new(packed.clone()))), &go_on).unwrap();
            assert!(all(slow) == plain);
            let fast = Bytes::stream(Box::new(io::Cursor::new(packed)), &go_on).unwrap();
            assert!(all(fast) == plain);
        }
    }

    #[test]
    fn a_map_that_was_passed_takes_little_memory_and_still_says_the_same() {
        use std::os::unix::fs::FileExt;
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len((BEHIND + 4 * LEAVE) as u64).unwrap();
        file.as_file().write_all_at(b"begin", 0).unwrap();
        let mut bytes = Bytes::open(file.path(), &AtomicBool::new(false)).unwrap();
        while bytes.fill(1).unwrap() {
            bytes.consume(1000);
        }
        // (Proc says how much of each map there is.)
        if let Ok(maps) = std::fs::read_to_string("/proc/self/smaps") {
            let (_, ours) = maps.split_once(&*file.path().to_string_lossy()).unwrap();
            let (_, rss) = ours.split_once("Rss:").unwrap();
            let kib: usize = rss.split_whitespace().next().unwrap().parse().unwrap();
            assert!(
                (BEHIND >> 11..=(BEHIND + LEAVE + NEAR) >> 10).contains(&kib),
                "{kib} KiB"
            );
        }
        assert_eq!(bytes.map().unwrap().get(..5).unwrap(), b"begin");
    }
}
