//! Live: what was written is put onto the disk itself from time to time, so that a power cut takes little.
//!
//! On a thread of its own: a disk may take its time, and nobody waits for it.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use crossbeam_channel::{Sender, bounded};

/// How often.
const EVERY: Duration = Duration::from_millis(500);

/// Asks for it, and never waits.
#[derive(Debug)]
pub struct Syncer {
    folder: Option<OwnedFd>,
    thread: Option<Sender<()>>,
    asked: Option<Instant>,
}

impl Syncer {
    /// For the file system that `folder` is on.
    pub fn new(folder: OwnedFd) -> Self {
        Self {
            folder: Some(folder),
            thread: None,
            asked: None,
        }
    }

    /// Something has been written. The thread starts with the first call, under what the calling one may do by then.
    pub fn written(&mut self) {
        if self.asked.is_some_and(|asked| asked.elapsed() < EVERY) {
            return;
        }
        self.asked = Some(Instant::now());
        if let Some(folder) = self.folder.take() {
            let (ask, asked) = bounded(1);
            // Without a thread the kernel does it in its own time.
            let thread = std::thread::Builder::new()
                .name("sync".to_owned())
                .spawn(move || {
                    for () in asked {
                        sync(&folder);
                    }
                });
            self.thread = thread.is_ok().then_some(ask);
        }
        if let Some(thread) = &self.thread {
            // A question that waits already asks for this, too.
            let _ = thread.try_send(());
        }
    }
}

#[cfg(target_os = "linux")]
fn sync(folder: &OwnedFd) {
    // A disk that fails says so when it is written to.
    let _ = nix::unistd::syncfs(folder);
}

#[cfg(not(target_os = "linux"))]
fn sync(_: &OwnedFd) {
    nix::unistd::sync();
}
