//! Capture files as one source of packets.
//!
//! Several files are one capture, ordered by the time of their first packet (rotated files); each is read
//! to its end before the next.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::bytes::{Bytes, patiently};
use super::capturer::now;
use super::format::{Format, Item, Record};
use super::{CaptureError, LinkType, Next, Packet, Source};
use crate::lasting::Lasting;
use crate::time::Timestamp;

/// Pipes and compressed files beyond this many are opened only when their turn comes: descriptors are limited, and by
/// then the run may have given up the right to read them.
const OPEN_AT_ONCE: usize = 512;

/// The same for files that are mapped, which takes no descriptor; Linux allows twice as many maps.
const MAPPED_AT_ONCE: usize = 1 << 15;

/// One opened file.
#[derive(Debug)]
struct Open {
    path: PathBuf,
    bytes: Bytes,
    format: Format,
    /// The packet at the window's start, or the one that ended there.
    record: Option<Record>,
    /// It was looked at ahead of its turn.
    peeked: bool,
    told: bool,
}

/// Packets through a pipe whose times are so near to ours are being captured: clocks of machines differ, and networks
/// take their time.
const CLOCKS_APART: Duration = Duration::from_secs(60);

/// Files that begin so much before another one's end overlap. Less than that is what rotation comes to where packets of
/// several queues are not quite in order.
const OVERLAP: Duration = Duration::from_millis(100);

/// A file whose turn has not come.
#[derive(Debug)]
enum Waiting {
    Open(Box<Open>),
    Closed(PathBuf),
}

/// Capture files, one after the other.
#[derive(Debug)]
pub struct FileSource {
    current: Option<Open>,
    /// Files to come, the next one last.
    waiting: Vec<Waiting>,
    link_types: Vec<LinkType>,
    nanoseconds: bool,
    warnings: Vec<String>,
    /// Bytes of files done, and of all, where all lengths are known.
    done: u64,
    total: Option<u64>,
    /// The file of those done that ends last, and when.
    latest: Option<(Timestamp, PathBuf)>,
    /// That files overlap was said.
    overlap_told: bool,
    /// The last packet's time, and when it was given out: packet time goes on while a pipe's writer pauses.
    last: Option<(Timestamp, Instant)>,
    stop: Arc<AtomicBool>,
}

impl FileSource {
    /// Opens capture files; `-` is stdin. A file that can't be opened or is no capture is an error now,
    /// before anything is written.
    ///
    /// # Errors
    /// [`CaptureError::Io`] and [`CaptureError::Broken`], naming the file.
    pub fn open(paths: &[PathBuf]) -> Result<Self, CaptureError> {
        Self::open_until(paths, Arc::default())
    }

    /// The same. The first packet of a pipe is waited for no longer once `stop` is set.
    ///
    /// # Errors
    /// As of [`open`](Self::open).
    pub fn open_until(paths: &[PathBuf], stop: Arc<AtomicBool>) -> Result<Self, CaptureError> {
        let mut link_types = Vec::new();
        let mut nanoseconds = false;
        let mut total = Some(0);
        let mut files = Vec::new();
        let (mut mapped, mut streams) = (0..MAPPED_AT_ONCE, 0..OPEN_AT_ONCE);
        for (index, path) in paths.iter().enumerate() {
            let mut open = Open::new(path, &stop)?;
            total = total.zip(open.bytes.len()).map(|(total, len)| total + len);
            let first = open.look_ahead(&stop);
            link_types.extend(open.format.link_types());
            nanoseconds |= open.format.nanoseconds();
            let room = match &open.bytes {
                Bytes::Map { .. } => mapped.next(),
                Bytes::Stream(_) => streams.next(),
            };
            let waiting = if room.is_some() {
                Waiting::Open(Box::new(open))
            } else {
                Waiting::Closed(open.path)
            };
            files.push((first, index, waiting));
        }
        files.sort_by_key(|(first, index, _)| (first.unwrap_or(Timestamp::NEVER), *index));
        link_types.sort_unstable();
        link_types.dedup();
        let waiting = files.into_iter().rev().map(|(_, _, waiting)| waiting).collect();
        Ok(Self {
            current: None,
            waiting,
            link_types,
            nanoseconds,
            warnings: Vec::new(),
            done: 0,
            total,
            latest: None,
            overlap_told: false,
            last: None,
            stop,
        })
    }

    /// A capture that is no file of its own (within another one, or in memory), named as errors shall name it.
    ///
    /// # Errors
    /// [`CaptureError::Io`] and [`CaptureError::Broken`]: it can't be read or is no capture.
    pub fn read(name: &Path, reader: Box<dyn std::io::Read + Send>) -> Result<Self, CaptureError> {
        let stop = Arc::default();
        let bytes = Bytes::stream(reader, &stop).map_err(|source| CaptureError::Io {
            path: name.to_owned(),
            source,
        })?;
        let open = Open::of(name, bytes, &stop)?;
        Ok(Self {
            current: None,
            link_types: open.format.link_types(),
            nanoseconds: open.format.nanoseconds(),
            waiting: vec![Waiting::Open(Box::new(open))],
            warnings: Vec::new(),
            done: 0,
            total: None,
            latest: None,
            overlap_told: false,
            last: None,
            stop,
        })
    }

    /// Link types that the files' headers name.
    pub fn link_types(&self) -> &[LinkType] {
        &self.link_types
    }

    /// The maps of all files that are open at this moment, beyond their turn.
    pub fn lasting(&self) -> Lasting {
        let maps = self.waiting.iter().filter_map(|waiting| match waiting {
            Waiting::Open(open) => open.bytes.map(),
            Waiting::Closed(_) => None,
        });
        Lasting::new(maps.collect())
    }

    /// The file at hand, opened if its turn has just come.
    fn turn(&mut self) -> Result<bool, CaptureError> {
        if self.current.is_none() {
            let open = match self.waiting.pop() {
                None => return Ok(false),
                Some(Waiting::Open(open)) => *open,
                Some(Waiting::Closed(path)) => {
                    let mut open = Open::new(&path, &self.stop)?;
                    open.look_ahead(&self.stop);
                    open
                }
            };
            if !self.overlap_told {
                let overlap = self.overlap(&open);
                self.overlap_told = overlap.is_some();
                self.warnings.extend(overlap);
            }
            self.current = Some(open);
        }
        Ok(true)
    }

    /// What is to be said where a file begins before those ahead of it end.
    fn overlap(&self, open: &Open) -> Option<String> {
        let (end, path) = self.latest.as_ref()?;
        (open.time()? < *end - OVERLAP).then(|| {
            let (one, other) = (path.display(), open.path.display());
            format!(
                "{other} begins before {one} ends, and is read behind it: \
                 `mergecap -w - {one} {other} | flowdump -r -` puts their packets in order"
            )
        })
    }
}

impl Source for FileSource {
    /// After an error the next call goes on with the next file.
    fn next(&mut self) -> Result<Next<'_>, CaptureError> {
        while self.turn()? {
            let Some(open) = &mut self.current else { break };
            let step = open.step();
            match step {
                Ok(Step::Packet) => break,
                Ok(Step::Pause) => {
                    let (time, since) = self.last.unwrap_or((Timestamp::default(), Instant::now()));
                    return Ok(Next::Idle(time + since.elapsed()));
                }
                _ => {}
            }
            self.done += open.bytes.position();
            self.warnings.extend(open.oddity());
            if let Ok(Step::Cut { offset, how }) = &step {
                self.warnings.push(format!(
                    "{}: cut short in its last record, at byte {offset} ({how}); what is whole was used",
                    open.path.display()
                ));
            }
            if let Some(open) = self.current.take() {
                let end = open.time().map(|time| (time, open.path));
                self.latest = self.latest.take().max(end);
            }
            step?;
        }
        let packet = self.current.as_ref().and_then(Open::packet);
        if let Some(packet) = &packet
            && self.total.is_none()
        {
            self.last = Some((packet.time, Instant::now()));
        }
        Ok(packet.map_or(Next::End, Next::Packet))
    }

    fn is_live(&self) -> bool {
        // Within a record the writer's buffer has more.
        let nothing_begun = self
            .current
            .as_ref()
            .is_some_and(|open| open.bytes.window().is_empty());
        let clock = self.last.map(|(time, since)| time + since.elapsed());
        nothing_begun && clock.is_some_and(|clock| clock.apart(now()) < CLOCKS_APART)
    }

    fn take_warnings(&mut self) -> Vec<String> {
        let oddity = self.current.as_mut().and_then(Open::oddity);
        self.warnings.extend(oddity);
        std::mem::take(&mut self.warnings)
    }

    fn nanoseconds(&self) -> bool {
        self.nanoseconds
    }

    fn progress(&self) -> Option<(u64, u64)> {
        let at = self.current.as_ref().map_or(0, |open| open.bytes.position());
        self.total.map(|total| (self.done + at, total))
    }
}

/// What a step through a file comes to.
enum Step {
    /// A packet stands at the window's start.
    Packet,
    /// A pipe's writer has nothing just now.
    Pause,
    End,
    /// The file ends within a record that begins at `offset`, or its packing ends too soon.
    Cut {
        offset: u64,
        how: String,
    },
}

impl Open {
    /// What is odd about it, once.
    fn oddity(&mut self) -> Option<String> {
        let oddity = self.format.take_oddity()?;
        let first = !std::mem::replace(&mut self.told, true);
        first.then(|| format!("{}: {oddity}", self.path.display()))
    }

    fn new(path: &Path, stop: &AtomicBool) -> Result<Self, CaptureError> {
        let bytes = Bytes::open(path, stop).map_err(|source| CaptureError::Io {
            path: path.to_owned(),
            source,
        })?;
        Self::of(path, bytes, stop)
    }

    /// Reads the header.
    fn of(path: &Path, mut bytes: Bytes, stop: &AtomicBool) -> Result<Self, CaptureError> {
        let io = |source| CaptureError::Io {
            path: path.to_owned(),
            source,
        };
        let cut = match patiently(stop, || bytes.fill(Format::DETECT)) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => true,
            filled => filled.map(|_| false).map_err(io)?,
        };
        let detected = if cut && bytes.window().is_empty() {
            // That its packing ends too soon is told when its turn comes, as any cut is.
            Ok(Format::nothing())
        } else {
            Format::detect(bytes.window())
        };
        let (format, header) = detected.map_err(|reason| CaptureError::Broken {
            path: path.to_owned(),
            offset: 0,
            reason,
        })?;
        bytes.consume(header);
        Ok(Self {
            path: path.to_owned(),
            bytes,
            format,
            record: None,
            peeked: false,
            told: false,
        })
    }

    /// Time of the first packet, which stays to be read. That of a pipe is waited for.
    fn look_ahead(&mut self, stop: &AtomicBool) -> Option<Timestamp> {
        loop {
            // An error is told when its turn comes, behind what comes before it.
            match self.step() {
                Ok(Step::Packet) => {
                    self.peeked = true;
                    return self.time();
                }
                Ok(Step::Pause) if !stop.load(Ordering::Relaxed) => {}
                _ => return None,
            }
        }
    }

    /// Of the last packet that `step` found.
    fn time(&self) -> Option<Timestamp> {
        self.record.map(|record| record.time())
    }

    /// The packet that `step` found.
    fn packet(&self) -> Option<Packet<'_>> {
        self.record.map(|record| record.packet(self.bytes.window()))
    }

    /// Goes on to the next packet. Inlined: its result would be taken apart right behind it, once a packet.
    #[inline(always)]
    fn step(&mut self) -> Result<Step, CaptureError> {
        if std::mem::take(&mut self.peeked) {
            return Ok(Step::Packet);
        }
        if let Some(record) = &mut self.record {
            self.bytes.consume(std::mem::take(&mut record.used));
        }
        loop {
            match self.format.item(self.bytes.window(), &mut self.record) {
                Ok(Item::Packet) => return Ok(Step::Packet),
                Ok(Item::Passed(used)) => self.bytes.consume(used),
                Ok(Item::Need(need)) => {
                    if let Some(step) = self.fill(need)? {
                        return Ok(step);
                    }
                }
                Err(reason) => return Err(self.broken(reason)),
            }
        }
    }

    /// Makes the window `need` bytes long; if that can't be, says what the step comes to.
    fn fill(&mut self, need: usize) -> Result<Option<Step>, CaptureError> {
        let offset = self.bytes.position();
        match self.bytes.fill(need) {
            Ok(true) => Ok(None),
            Ok(false) => {
                let have = self.bytes.window().len();
                Ok(Some(if have == 0 {
                    Step::End
                } else {
                    let how = format!("{} bytes missing", need - have);
                    Step::Cut { offset, how }
                }))
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(Some(Step::Pause)),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                let how = error.to_string();
                Ok(Some(Step::Cut { offset, how }))
            }
            Err(error) => Err(self.broken(error.to_string())),
        }
    }

    fn broken(&self, reason: String) -> CaptureError {
        CaptureError::Broken {
            path: self.path.clone(),
            offset: self.bytes.position(),
            reason,
        }
    }
}
