//! What it means for the run that something could not be written: its end, or, where it is to go on with what can be
//! kept, a warning now and then and an error at the end.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::stream::Failure;
use crate::event::SinkError;
use crate::time::Timestamp;

/// How often the same trouble is told of.
const TELL_AGAIN: Duration = Duration::from_secs(60);

/// A disk that takes no more, should it come to that.
#[derive(Debug)]
pub(super) struct Trouble {
    folder: PathBuf,
    keep_going: bool,
    /// When it was told last.
    told: Option<Timestamp>,
    bytes: u64,
    warnings: Vec<String>,
}

impl Trouble {
    pub(super) fn new(folder: &Path, keep_going: bool) -> Self {
        Self {
            folder: folder.to_owned(),
            keep_going,
            told: None,
            bytes: 0,
            warnings: Vec::new(),
        }
    }

    /// What a failure means for the run.
    pub(super) fn outcome(&mut self, now: Timestamp, written: Result<(), Failure>) -> Result<(), SinkError> {
        let Err(failure) = written else { return Ok(()) };
        let path = self.folder.join(&failure.name);
        if !self.keep_going {
            return Err(SinkError::io(path.display().to_string(), failure.source));
        }
        let first = self.bytes == 0;
        self.bytes += failure.bytes;
        if first || self.told.is_none_or(|told| now.apart(told) >= TELL_AGAIN) {
            self.told = Some(now);
            self.warnings.push(format!(
                "{}: {}; {} bytes of streams not written so far, going on with what can be kept",
                path.display(),
                failure.source,
                self.bytes
            ));
        }
        Ok(())
    }

    pub(super) fn take_warnings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.warnings)
    }

    /// What is to be said at the end.
    pub(super) fn verdict(&self) -> Result<(), SinkError> {
        if self.told.is_none() {
            return Ok(());
        }
        let what = self.folder.display().to_string();
        let source = io::Error::other(format!("{} bytes of streams could not be written", self.bytes));
        Err(SinkError::io(what, source))
    }
}
