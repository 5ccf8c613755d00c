//! The lines of an index, written by one thread or by several, in the order in which connections end.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Lines are written in pieces of this size.
const PIECE: usize = 128 << 10;

/// Takes the lines of one thread.
#[derive(Debug)]
pub(super) enum Lines {
    /// The only one.
    Own(BufWriter<File>),
    /// One of several.
    Shared { order: Order, lane: usize },
}

impl Lines {
    pub(super) fn new(file: File) -> Self {
        Self::Own(BufWriter::with_capacity(PIECE, file))
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
            Self::Own(file) => file.write_all(line),
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

/// The order in which lines of several threads become one file.
#[derive(Debug, Clone)]
pub struct Order(Arc<Mutex<Lanes>>);

#[derive(Debug)]
struct Lanes {
    file: BufWriter<File>,
    /// Whose lines are to come.
    order: VecDeque<usize>,
    /// Lines that came before their turn, by thread. No more than the threads' channels hold.
    lanes: Vec<VecDeque<Vec<u8>>>,
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
                lanes.file.write_all(&line)?;
            }
        }
        lanes.file.flush()
    }
}

impl Lanes {
    fn line(&mut self, lane: usize, line: &[u8]) -> io::Result<()> {
        if let Some(waiting) = self.lanes.get_mut(lane) {
            waiting.push_back(line.to_vec());
        }
        while let Some(lane) = self.order.front()
            && let Some(line) = self.lanes.get_mut(*lane).and_then(VecDeque::pop_front)
        {
            self.order.pop_front();
            self.file.write_all(&line)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_several_threads_come_in_the_order_that_was_told() {
        let path = tempfile::NamedTempFile::new().unwrap();
        let (order, mut lanes) = Lines::new(path.reopen().unwrap()).share(3);
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
        lanes[2]
            .write(b"the last, while the fourth never came\n")
            .unwrap();
        order.finish().unwrap();
        assert_eq!(
            now(),
            "first\nsecond\nthird\nthe last, while the fourth never came\n"
        );
    }
}
