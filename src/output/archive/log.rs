//! What grows with the run and is read only at its end: the index, ZIP's directory.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::spool::{Spool, Spooled};

/// Index and directory are gathered to so many bytes before they go to the spool.
const LOGGED: usize = 128 << 10;

/// What grows with the run and is read only at its end.
#[derive(Debug, Default)]
pub struct Log {
    /// What was moved to the spool.
    pub spooled: Spooled,
    /// What follows it.
    pub waiting: Vec<u8>,
}

impl Log {
    /// Bytes in it.
    pub fn len(&self) -> u64 {
        self.spooled.len() + self.waiting.len() as u64
    }

    /// What has become long goes to the spool, before more is put into `waiting`.
    ///
    /// # Errors
    /// What the system says; nothing has changed then.
    pub fn make_room(&mut self, spool: &mut Spool) -> io::Result<()> {
        if self.waiting.len() >= LOGGED {
            spool.append(&mut self.spooled, &self.waiting)?;
            self.waiting.clear();
        }
        Ok(())
    }

    /// Only the first `len` bytes stay.
    pub fn truncate(&mut self, len: u64) {
        match len.checked_sub(self.spooled.len()) {
            Some(waiting) => self
                .waiting
                .truncate(usize::try_from(waiting).unwrap_or(usize::MAX)),
            None => {
                self.spooled.truncate(len);
                self.waiting.clear();
            }
        }
    }

    /// Copies it to `at` in a file.
    ///
    /// # Errors
    /// What the system says.
    pub fn copy(&self, spool: &Spool, to: &File, at: u64) -> io::Result<()> {
        spool.copy(&self.spooled, to, at)?;
        to.write_all_at(&self.waiting, at + self.spooled.len())
    }
}
