//! The lines of an index, written by one thread or by several, in the order in which connections end.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::output::room::Ahead;

/// Lines are written in pieces of this size.
const PIECE: usize = 128 << 10;

/// Room on the disk beyond the lines that there are: for those of the connections that are open when it is full.
const SPARE: u64 = 8 << 10;

/// Takes the lines of one thread.
#[derive(Debug)]
pub(super) enum Lines {
    /// The only one.
    Own(LineFile),
    /// One of several.
    Shared { order: Order, lane: usize },
}

impl Lines {
    /// Lines go behind what there is.
    pub(super) fn new(file: File) -> io::Result<Self> {
        LineFile::new(file).map(Self::Own)
    }

    /// For so many threads.
    pub(super) fn share(self, threads: usize) -> (Order, Vec<Self>) {
        let file = match self {
            Self::Own(file) => file,
            Self::Shared { order, .. } => return (order, Vec::new()),
        };
        let order = Order(Arc::new(Mutex::new(Lanes {
            file,
            order: VecDeque::new(),
            lanes: vec![VecDeque::new(); threads],
            held: 0,
        })));
        let lane = |lane| Self::Shared {
            order: order.clone(),
            lane,
        };
        let lanes = (0..threads).map(lane).collect();
        (order, lanes)
    }

    pub(super) fn write(&mut self, line: &[u8]) -> io::Result<()> {
        match self {
            Self::Own(file) => file.write(line),
            Self::Shared { order, lane } => order.lock().line(*lane, line),
        }
    }

    /// Writes out what can be: a line that another one comes before waits for it.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Own(file) => file.flush(),
            Self::Shared { order, .. } => order.lock().file.flush(),
        }
    }
}

/// Lines on their way into a file.
#[derive(Debug)]
pub(super) struct LineFile {
    file: File,
    written: u64,
    waiting: Vec<u8>,
    ahead: Ahead,
}

impl LineFile {
    fn new(file: File) -> io::Result<Self> {
        let written = file.metadata()?.len();
        let mut ahead = Ahead::default();
        ahead.keep(&file, written + SPARE);
        Ok(Self {
            file,
            written,
            waiting: Vec::new(),
            ahead,
        })
    }

    /// Takes a line in, or says why those before it can't be written; they wait on then.
    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        if self.waiting.len() >= PIECE {
            self.flush()?;
        }
        self.waiting.extend_from_slice(line);
        self.expect(0);
        Ok(())
    }

    /// So many bytes will come.
    fn expect(&mut self, bytes: u64) {
        let all = self.written + self.waiting.len() as u64 + bytes;
        self.ahead.keep(&self.file, all + SPARE);
    }

    /// Writes what waits, on a full disk as many whole lines as it takes.
    fn flush(&mut self) -> io::Result<()> {
        let flushed = self.file.write_all_at(&self.waiting, self.written);
        let mut whole = self.waiting.len();
        if flushed.is_err() {
            let came = self.file.metadata()?.len().saturating_sub(self.written);
            let came = self.waiting.get(..usize::try_from(came).unwrap_or(whole));
            whole = came
                .and_then(|came| memchr::memrchr(b'\n', came))
                .map_or(0, |end| end + 1);
        }
        self.waiting.drain(..whole);
        self.written += whole as u64;
        if flushed.is_err() {
            self.cut()?;
        }
        flushed
    }

    /// Nothing is behind the lines any more, nor room for others.
    fn cut(&mut self) -> io::Result<()> {
        self.ahead.cut(self.written);
        self.file.set_len(self.written)
    }
}

impl Drop for LineFile {
    fn drop(&mut self) {
        // Whoever wants to know of errors has flushed.
        let _ = self.flush().and_then(|()| self.cut());
    }
}

/// The order in which lines of several threads become one file.
#[derive(Debug, Clone)]
pub struct Order(Arc<Mutex<Lanes>>);

#[derive(Debug)]
struct Lanes {
    file: LineFile,
    /// Whose lines are to come.
    order: VecDeque<usize>,
    /// Lines that came before their turn, by thread. No more than the threads' channels hold.
    lanes: Vec<VecDeque<Vec<u8>>>,
    /// Bytes of these.
    held: u64,
}

impl Order {
    fn lock(&self) -> MutexGuard<'_, Lanes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next line, after those announced before, is this thread's.
    pub fn is_next(&self, lane: usize) {
        self.lock().order.push_back(lane);
    }

    /// No more lines come: those that are there are written, whatever they waited for.
    ///
    /// # Errors
    /// What the system says.
    pub fn finish(&self) -> io::Result<()> {
        let mut lanes = self.lock();
        while let Some(lane) = lanes.order.pop_front() {
            if let Some(line) = lanes.lanes.get_mut(lane).and_then(VecDeque::pop_front) {
                lanes.file.write(&line)?;
            }
        }
        // Of connections that the run left open nobody has told.
        let Lanes { file, lanes, .. } = &mut *lanes;
        for line in lanes.iter_mut().flat_map(|lane| lane.drain(..)) {
            file.write(&line)?;
        }
        file.flush()
    }
}

impl Lanes {
    fn line(&mut self, lane: usize, line: &[u8]) -> io::Result<()> {
        if let Some(waiting) = self.lanes.get_mut(lane) {
            waiting.push_back(line.to_vec());
            self.held += line.len() as u64;
        }
        while let Some(lane) = self.order.front()
            && let Some(line) = self.lanes.get_mut(*lane).and_then(VecDeque::pop_front)
        {
            self.order.pop_front();
            self.held = self.held.saturating_sub(line.len() as u64);
            self.file.write(&line)?;
        }
        self.file.expect(self.held);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_several_threads_come_in_the_order_that_was_told() {
        let path = tempfile::NamedTempFile::new().unwrap();
        let (order, mut lanes) = Lines::new(path.reopen().unwrap()).unwrap().share(3);
        let now = || std::fs::read_to_string(path.path()).unwrap();
        for lane in [0, 2, 1, 0] {
            order.is_next(lane);
        }
        lanes[1].write(b"third\n").unwrap();
        lanes[2].write(b"second\n").unwrap();
        lanes[2].flush().unwrap();
        assert_eq!(now(), "");
        lanes[0].write(b"first\n").unwrap();
        lanes[0].flush().unwrap();
        assert_eq!(now(), "first\nsecond\nthird\n");
        order.is_next(2);
        lanes[2].write(b"fifth, while the fourth never came\n").unwrap();
        order.finish().unwrap();
        lanes[1].write(b"nobody said when\n").unwrap();
        order.finish().unwrap();
        let last = "fifth, while the fourth never came\nnobody said when\n";
        assert_eq!(now(), format!("first\nsecond\nthird\n{last}"));
    }
}
