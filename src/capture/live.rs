//! Live capture: libpcap on a thread of its own, which does nothing but empty the kernel's buffer into the ring.
//!
//! The thread begins with the first `next()`, so that it inherits what the run has been reduced to by then: user,
//! capabilities, sandbox. Only with `wait` it keeps CAP_NET_RAW in reserve, which reopening an interface takes; the
//! thread that parses has none of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::capturer::{ABSENCE, Capturer, Shared, now};
use super::device::Device;
use super::interfaces::{self, Presence};
use super::ring::{Drainer, Received, ring};
use super::{CaptureError, LinkType, Next, Source};
use crate::privileges;

/// Bytes of packets that wait for the program while a terminal or disk is slow.
const RING: usize = 64 << 20;

/// `Next::Idle` comes as soon as there is nothing to give, so that what the last packet brought is flushed, but at
/// most so often …
const PAUSE: Duration = Duration::from_millis(5);

/// … and when nothing comes at all, so often.
const IDLE: Duration = Duration::from_millis(100);

/// What to capture, and how.
#[derive(Debug, Clone)]
pub struct LiveOptions {
    /// The interface, or `any`.
    pub interface: String,
    /// See also what is not for this machine. Never asked for on `any`.
    pub promiscuous: bool,
    /// Bytes kept of each packet.
    pub snaplen: u32,
    /// The kernel's buffer, in bytes.
    pub buffer_size: u32,
    /// For a console: hand each packet over within about 5 ms rather than 20.
    pub immediate: bool,
    /// Wait for the interface to appear, and to come back.
    pub wait: bool,
}

/// What became of the packets so far. Nothing here wraps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LiveStats {
    /// Packets that passed the filter and were given to the program, or wait for it.
    pub seen: u64,
    /// Lost because the kernel's buffer was full although we had room.
    pub dropped_by_kernel: u64,
    /// Lost in the interface or its driver, filter or not; where the system tells.
    pub dropped_by_interface: u64,
    /// Lost because processing was too slow, and our buffer and then the kernel's were full.
    pub dropped_by_us: u64,
}

/// Packets from an interface while they pass.
#[derive(Debug)]
pub struct LiveSource {
    link_type: LinkType,
    /// Until the first `next()`.
    capturer: Option<Capturer>,
    thread: Option<JoinHandle<()>>,
    drainer: Drainer,
    shared: Arc<Shared>,
    interface: String,
    warnings: Vec<String>,
    /// When `Idle` was given last, and whether it was the last that was given.
    rested: Instant,
    resting: bool,
    ended: bool,
}

impl LiveSource {
    /// Opens the interface, which takes privileges: drop them after this and before the first `next()`. The kernel
    /// gathers packets from here on. With `wait`, blocks until the interface is there and up; `None` where it was stopped
    /// before.
    ///
    /// When `stop` is set, what the kernel held at that moment is still given, then `End`.
    ///
    /// # Errors
    /// [`CaptureError::Filter`]; [`CaptureError::Live`] naming the interface, with what to do about it.
    pub fn open(
        options: &LiveOptions,
        filter: &str,
        stop: Arc<AtomicBool>,
    ) -> Result<Option<Self>, CaptureError> {
        let mut warnings = Vec::new();
        while Self::must_wait(options) {
            if stop.load(Ordering::Relaxed) {
                return Ok(None);
            }
            if warnings.is_empty() {
                warnings.push(format!("{}: capturing since it came", options.interface));
            }
            std::thread::sleep(ABSENCE);
        }
        let device = Device::open(options, filter)?;
        let (filler, drainer) = ring(RING);
        let shared = Arc::<Shared>::default();
        let link_type = device.link_type();
        let capturer = Capturer {
            device,
            options: options.clone(),
            filter: filter.to_owned(),
            filler,
            shared: Arc::clone(&shared),
            stop,
            held_back: None,
        };
        let interface = options.interface.clone();
        Ok(Some(Self {
            link_type,
            capturer: Some(capturer),
            thread: None,
            drainer,
            shared,
            interface,
            warnings,
            rested: Instant::now(),
            resting: false,
            ended: false,
        }))
    }

    /// Whether [`open`](Self::open) will wait for the interface: say so before.
    pub fn must_wait(options: &LiveOptions) -> bool {
        let absent = || {
            matches!(
                interfaces::presence(&options.interface),
                Some((Presence::Missing | Presence::Down, _))
            )
        };
        options.wait && absent()
    }

    /// What packets begin with. With `wait` an interface that comes back may begin them otherwise: each packet
    /// has its own.
    pub fn link_type(&self) -> LinkType {
        self.link_type
    }

    /// What became of the packets so far, at most a quarter of a second old; exact after the end.
    pub fn stats(&self) -> LiveStats {
        LiveStats {
            seen: self.shared.seen.load(Ordering::Relaxed),
            dropped_by_kernel: self.shared.by_kernel.load(Ordering::Relaxed),
            dropped_by_interface: self.shared.by_interface.load(Ordering::Relaxed),
            dropped_by_us: self.shared.by_us.load(Ordering::Relaxed),
        }
    }

    fn live_error(&self, reason: String) -> CaptureError {
        CaptureError::Live {
            interface: self.interface.clone(),
            reason,
        }
    }

    /// Starts the thread, the first time.
    fn begin(&mut self) -> Result<(), CaptureError> {
        let Some(capturer) = self.capturer.take() else {
            return Ok(());
        };
        let waits = capturer.options.wait;
        let thread = std::thread::Builder::new()
            .name("capture".into())
            .spawn(move || capturer.run());
        self.thread =
            Some(thread.map_err(|error| self.live_error(format!("no thread to capture on: {error}")))?);
        if waits {
            // The thread has its own copy by now.
            privileges::forget_capture();
        }
        Ok(())
    }

    /// Ends the thread and takes what its counters came to.
    fn end(&mut self) {
        self.ended = true;
        self.shared.abandoned.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic there shows as `Received::Abandoned`.
            let _ = thread.join();
        }
    }
}

impl Source for LiveSource {
    fn next(&mut self) -> Result<Next<'_>, CaptureError> {
        if self.ended {
            return Ok(Next::End);
        }
        self.begin()?;
        while !self.drainer.advance() {
            let patience = if self.resting {
                IDLE
            } else {
                PAUSE.saturating_sub(self.rested.elapsed())
            };
            match self.drainer.receive(patience) {
                Received::Packets => {}
                Received::Warning(sentence) => self.warnings.push(sentence),
                Received::Nothing => {
                    (self.rested, self.resting) = (Instant::now(), true);
                    return Ok(Next::Idle(now()));
                }
                Received::End => {
                    self.end();
                    return Ok(Next::End);
                }
                Received::Lost(error) => {
                    self.end();
                    return Err(error);
                }
                Received::Abandoned => {
                    self.end();
                    return Err(self.live_error("the capture thread ended unexpectedly".into()));
                }
            }
        }
        self.resting = false;
        Ok(self.drainer.packet().map_or(Next::End, Next::Packet))
    }

    fn is_live(&self) -> bool {
        true
    }

    fn take_warnings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.warnings)
    }

    fn nanoseconds(&self) -> bool {
        super::device::NANOSECONDS
    }
}

impl Drop for LiveSource {
    fn drop(&mut self) {
        self.end();
    }
}
