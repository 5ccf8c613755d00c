//! Whether anybody still takes what the run writes. Packets and events are written by different threads, and each may be
//! the last to lose its reader.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::config::Config;
use crate::event::SinkError;

/// Counts outputs.
#[derive(Debug, Clone)]
pub(super) struct Readers(Arc<AtomicUsize>);

impl Readers {
    /// Of all that is written to.
    pub(super) fn of(config: &Config) -> Self {
        let outputs = [
            config.console.is_some(),
            config.files.is_some(),
            config.json.is_some(),
            config.summary.is_some(),
            config.write.is_some(),
        ];
        let outputs = outputs.into_iter().filter(|output| *output).count();
        Self(Arc::new(AtomicUsize::new(outputs)))
    }

    /// The reader of one has gone, which each tells once.
    ///
    /// # Errors
    /// [`SinkError::Closed`]: it was the last.
    pub(super) fn one_gone(&self) -> Result<(), SinkError> {
        if self.0.fetch_sub(1, Ordering::Relaxed) > 1 {
            Ok(())
        } else {
            Err(SinkError::Closed)
        }
    }
}
