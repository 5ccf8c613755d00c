//! A thread that writes sheets, so that whoever fills them does not wait for the system's copying.

use std::io::{self, Write};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::sheet::{BLOCK, Sheet, WriteSheets};

/// Sheets between the two threads.
const SHEETS: usize = 4;

/// Hands sheets to a thread. What went wrong there is told by a later call, [`WriteSheets::finish`] at the latest.
#[derive(Debug)]
pub struct Behind {
    full: Option<Sender<Sheet>>,
    empty: Receiver<Sheet>,
    /// Where the next sheet begins, within a block.
    at: usize,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Behind {
    /// Starts the thread, which writes each sheet at once. Blocks are counted from here.
    ///
    /// # Errors
    /// What the system says.
    pub fn new(mut writer: impl Write + Send + 'static) -> io::Result<Self> {
        let (to_writer, full) = bounded::<Sheet>(SHEETS);
        let (to_us, empty) = bounded(SHEETS + 2);
        let thread = std::thread::Builder::new()
            .name("output".to_owned())
            .spawn(move || {
                for mut sheet in full {
                    writer.write_sheet(&mut sheet)?;
                    // Nobody may need it any more.
                    let _ = to_us.try_send(sheet);
                }
                writer.flush()
            })?;
        Ok(Self {
            full: Some(to_writer),
            empty,
            at: 0,
            thread: Some(thread),
        })
    }

    fn hand_over(&mut self, sheet: Sheet) -> io::Result<()> {
        self.at = (self.at + sheet.len()) % BLOCK;
        match &self.full {
            Some(full) if full.send(sheet).is_ok() => Ok(()),
            // It has gone because of an error of its own.
            _ => self.finish().and(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }
}

impl WriteSheets for Behind {
    fn write_sheet(&mut self, sheet: &mut Sheet) -> io::Result<()> {
        let empty = self.empty.try_recv().unwrap_or_default();
        self.hand_over(std::mem::replace(sheet, empty))
    }

    fn write_blocks(&mut self, sheet: &mut Sheet) -> io::Result<()> {
        let odd = ((self.at + sheet.len()) % BLOCK).min(sheet.len());
        let mut next = self.empty.try_recv().unwrap_or_default();
        next.put(sheet.as_slice().get(sheet.len() - odd..).unwrap_or_default());
        sheet.take_back(odd);
        self.hand_over(std::mem::replace(sheet, next))
    }

    fn finish(&mut self) -> io::Result<()> {
        self.full = None;
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(written)) => written,
            Some(Err(panic)) => std::panic::resume_unwind(panic),
            None => Ok(()),
        }
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

    fn put(behind: &mut Behind, line: &str) -> io::Result<()> {
        let mut sheet = Sheet::default();
        sheet.put(line.as_bytes());
        let written = behind.write_sheet(&mut sheet);
        assert!(sheet.is_empty());
        written
    }

    #[test]
    fn all_is_written_in_order() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut behind = Behind::new(file.reopen().unwrap()).unwrap();
        let lines: Vec<String> = (0..10_000).map(|line| format!("{line}\n")).collect();
        for line in &lines {
            put(&mut behind, line).unwrap();
        }
        behind.finish().unwrap();
        assert_eq!(std::fs::read_to_string(file.path()).unwrap(), lines.concat());
    }

    /// Remembers how long the pieces were that it was given.
    #[derive(Default, Clone)]
    struct Pieces(std::sync::Arc<std::sync::Mutex<(Vec<usize>, Vec<u8>)>>);

    impl Write for Pieces {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut pieces = self.0.lock().unwrap();
            pieces.0.push(bytes.len());
            pieces.1.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn blocks_are_written_whole_again_after_what_had_to_be_seen_at_once() {
        let written = Pieces::default();
        let mut behind = Behind::new(written.clone()).unwrap();
        let mut sheet = Sheet::default();
        let mut put = Vec::new();
        let mut line = |sheet: &mut Sheet, len: usize| {
            let bytes = vec![put.len() as u8; len];
            put.extend_from_slice(&bytes);
            sheet.put(&bytes);
        };
        line(&mut sheet, BLOCK + 100);
        behind.write_blocks(&mut sheet).unwrap();
        assert_eq!(sheet.len(), 100);
        behind.write_sheet(&mut sheet).unwrap();
        assert!(sheet.is_empty());
        line(&mut sheet, BLOCK + 300);
        behind.write_blocks(&mut sheet).unwrap();
        assert_eq!(sheet.len(), 400);
        line(&mut sheet, 3 * BLOCK);
        behind.write_blocks(&mut sheet).unwrap();
        behind.write_sheet(&mut sheet).unwrap();
        behind.finish().unwrap();
        let written = written.0.lock().unwrap();
        assert_eq!(written.0, [BLOCK, 100, BLOCK - 100, 3 * BLOCK, 400]);
        assert_eq!(written.1, put);
    }

    #[test]
    fn an_error_is_told_by_a_later_call_and_once() {
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let mut behind = Behind::new(full).unwrap();
        let told = (0..100).find_map(|_| put(&mut behind, "line\n").err()).unwrap();
        assert_eq!(told.kind(), io::ErrorKind::StorageFull);
        behind.finish().unwrap();
        // Also where nothing more is to be written.
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let mut behind = Behind::new(full).unwrap();
        put(&mut behind, "line\n").unwrap();
        let told = (0..100).find_map(|_| {
            std::thread::sleep(std::time::Duration::from_millis(10));
            behind.write_sheet(&mut Sheet::default()).err()
        });
        assert_eq!(told.unwrap().kind(), io::ErrorKind::StorageFull);
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let mut behind = Behind::new(full).unwrap();
        put(&mut behind, "line\n").unwrap();
        assert_eq!(behind.finish().unwrap_err().kind(), io::ErrorKind::StorageFull);
    }
}
