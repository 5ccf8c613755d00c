//! The end of an archive: its index and, in a ZIP archive, its directory.

use std::io;
use std::os::unix::fs::FileExt;

use super::index::Whole;
use super::zip::{self, Member};
use super::{Archive, Format, INDEX, tar};

/// An archive up to the end of a member.
#[derive(Debug, Clone, Copy, Default)]
pub struct Mark {
    pub at: u64,
    pub members: u64,
    /// Bytes of the directory.
    pub directory: u64,
}

impl Archive {
    /// Adds the index and ends the archive; only the first call does.
    ///
    /// # Errors
    /// What the system said first. The archive is still readable where its end could be written.
    pub fn finish(&mut self) -> io::Result<()> {
        let Some(index) = self.index.take() else {
            return Ok(());
        };
        let index = index.finish()?;
        self.room.give_back();
        let mut outcome = self.flush();
        if outcome.is_err() {
            self.back_to(self.safe);
        }
        let mut marks = std::mem::take(&mut self.marks);
        let mut ended = self.end(Some(&index));
        // Where no room could be kept the last members make some for index and directory, ...
        while ended.is_err()
            && let Some(mark) = marks.pop()
        {
            outcome = outcome.and(ended);
            self.back_to(mark);
            ended = self.end(Some(&index));
        }
        // ... and the index for an end.
        if ended.is_err() {
            outcome = outcome.and(ended);
            self.back_to(Mark::default());
            ended = self.end(None);
        }
        outcome.and(ended)
    }

    /// Forgets the members that came after `mark`.
    fn back_to(&mut self, mark: Mark) {
        self.gathered.clear();
        self.directory.truncate(mark.directory);
        self.members = mark.members;
        self.at = mark.at;
        self.safe = mark;
        // Where that fails, so does what follows.
        let _ = self.file.set_len(self.at);
    }

    fn end(&mut self, index: Option<&Whole>) -> io::Result<()> {
        let streams = self.members;
        if let Some(index) = index {
            let member = Member {
                name: INDEX,
                time: self.latest.into(),
                method: self.format.index(),
                len: index.len,
                crc: index.crc,
                packed: index.packed.len(),
                offset: 0,
            };
            self.member(member, self.latest, &index.packed.spooled, &index.packed.waiting)?;
            self.flush()?;
        }
        let mut at = self.at;
        let mut end = Vec::new();
        match self.format {
            Format::Zip => {
                self.directory.copy(&self.spool, &self.file, at)?;
                zip::end(self.members, self.directory.len(), at, &mut end);
                at += self.directory.len();
            }
            Format::Tar => end.resize(2 * tar::BLOCK, 0),
        }
        self.file.write_all_at(&end, at)?;
        self.file.set_len(at + end.len() as u64)?;
        self.streams = streams;
        Ok(())
    }
}

/// A run that ends before its beginning leaves an archive, too.
impl Drop for Archive {
    fn drop(&mut self) {
        let _ = self.finish();
    }
}
