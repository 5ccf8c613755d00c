//! A writer behind which a thread writes, so that whoever writes does not wait for the system's copying.

use std::io::{self, Write};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded};

/// Pieces between the two threads.
const PIECES: usize = 4;

/// Hands what is written to a thread. What went wrong there is told by a later call: [`Write::flush`], which waits
/// until all is written, or takes the error away, is the last one.
#[derive(Debug)]
pub struct Behind {
    full: Option<Sender<Vec<u8>>>,
    empty: Receiver<Vec<u8>>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Behind {
    /// Starts the thread, which writes each piece at once.
    ///
    /// # Errors
    /// What the system says.
    pub fn new(mut writer: impl Write + Send + 'static) -> io::Result<Self> {
        let (to_writer, full) = bounded::<Vec<u8>>(PIECES);
        let (to_us, empty) = bounded(PIECES + 2);
        let thread = std::thread::Builder::new()
            .name("output".to_owned())
            .spawn(move || {
                for mut piece in full {
                    writer.write_all(&piece)?;
                    piece.clear();
                    // Nobody may need it any more.
                    let _ = to_us.try_send(piece);
                }
                writer.flush()
            })?;
        Ok(Self {
            full: Some(to_writer),
            empty,
            thread: Some(thread),
        })
    }

    fn join(&mut self) -> io::Result<()> {
        self.full = None;
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(written)) => written,
            Some(Err(panic)) => std::panic::resume_unwind(panic),
            None => Ok(()),
        }
    }
}

impl Write for Behind {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut piece = self.empty.try_recv().unwrap_or_default();
        piece.extend_from_slice(bytes);
        match &self.full {
            Some(full) if full.send(piece).is_ok() => Ok(bytes.len()),
            // It has gone because of an error of its own.
            _ => self.join().and(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.join()
    }
}

impl Drop for Behind {
    fn drop(&mut self) {
        // Whoever wants to know of errors has flushed.
        self.full = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_is_written_in_order() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut behind = Behind::new(file.reopen().unwrap()).unwrap();
        let lines: Vec<String> = (0..10_000).map(|line| format!("{line}\n")).collect();
        for line in &lines {
            behind.write_all(line.as_bytes()).unwrap();
        }
        behind.flush().unwrap();
        assert_eq!(std::fs::read_to_string(file.path()).unwrap(), lines.concat());
    }

    #[test]
    fn an_error_is_told_by_a_later_call_and_once() {
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let mut behind = Behind::new(full).unwrap();
        let told = (0..100).find_map(|_| behind.write_all(b"line\n").err()).unwrap();
        assert_eq!(told.kind(), io::ErrorKind::StorageFull);
        behind.flush().unwrap();
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let mut behind = Behind::new(full).unwrap();
        behind.write_all(b"line\n").unwrap();
        assert_eq!(behind.flush().unwrap_err().kind(), io::ErrorKind::StorageFull);
    }
}
