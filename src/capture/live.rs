//! Live capture: libpcap on a thread of its own, which does nothing but empty the kernel's buffer into the ring.
//!
//! The thread begins with the first `next()`, so that it inherits what the run has been reduced to by then: user,
//! capabilities, sandbox. Only with `wait` it keeps CAP_NET_RAW in reserve, which reopening an interface takes; the
//! thread that parses has none of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use super::device::{Device, Lost};
use super::interfaces::{self, Presence};
use super::ring::{Drainer, Filler, Received, ring};
use super::{CaptureError, LinkType, Next, Source};
use crate::privileges;
use crate::time::Timestamp;

/// Bytes of packets that wait for the program while a terminal or disk is slow.
const RING: usize = 64 << 20;

/// `Next::Idle` comes as soon as there is nothing to give, so that what the last packet brought is flushed, but at
/// most so often …
const PAUSE: Duration = Duration::from_millis(5);

/// … and when nothing comes at all, so often.
const IDLE: Duration = Duration::from_millis(100);

/// The thread looks so often whether it is to stop.
const PULSE: Duration = Duration::from_millis(50);

/// … and so often for room in the ring while it holds packets that could not be handed over.
const RETRY: Duration = Duration::from_millis(2);

/// Counters and the interface's state are looked at so often.
const CHECK: Duration = Duration::from_millis(250);

/// How long an absent interface is left alone before the next look.
const ABSENCE: Duration = Duration::from_millis(200);

/// At the end, the kernel's buffer is empty when nothing came for so long (a block of it is given to us when it is
/// full or `device::RETIRE` old).
const QUIET: Duration = Duration::from_millis(40);

/// A packet is hardly ever longer than this, segmentation offload included.
const LARGEST: usize = 1 << 16;

/// What the kernel drops so long after the ring was full, it drops because of us: its buffer was full, too.
const BLAME: Duration = Duration::from_millis(500);

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

/// What the thread and the source share.
#[derive(Debug, Default)]
struct Shared {
    seen: AtomicU64,
    by_kernel: AtomicU64,
    by_interface: AtomicU64,
    by_us: AtomicU64,
    /// Nobody wants packets any more, not even those that are there.
    abandoned: AtomicBool,
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
    /// gathers packets from here on. With `wait`, blocks until the interface is there and up; a stop while
    /// waiting gives a source that is at its end.
    ///
    /// When `stop` is set, what the kernel held at that moment is still given, then `End`.
    ///
    /// # Errors
    /// [`CaptureError::Filter`]; [`CaptureError::Live`] naming the interface, with what to do about it.
    pub fn open(options: &LiveOptions, filter: &str, stop: Arc<AtomicBool>) -> Result<Self, CaptureError> {
        let mut warnings = Vec::new();
        if Self::must_wait(options) {
            warnings.push(format!("{}: capturing since it came", options.interface));
        }
        let device = loop {
            if !Self::must_wait(options) {
                break Some(Device::open(options, filter)?);
            }
            if stop.load(Ordering::Relaxed) {
                break None;
            }
            std::thread::sleep(ABSENCE);
        };
        let (filler, drainer) = ring(RING);
        let shared = Arc::<Shared>::default();
        let link_type = device.as_ref().map_or(LinkType::ETHERNET, Device::link_type);
        let ended = device.is_none();
        let capturer = device.map(|device| Capturer {
            device,
            options: options.clone(),
            filter: filter.to_owned(),
            filler,
            shared: Arc::clone(&shared),
            stop,
            held_back: None,
        });
        let interface = options.interface.clone();
        Ok(Self {
            link_type,
            capturer,
            thread: None,
            drainer,
            shared,
            interface,
            warnings,
            rested: Instant::now(),
            resting: false,
            ended,
        })
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

/// What a look into the kernel's buffer came to.
enum Taken {
    /// Packets, and so many bytes.
    Packets(usize),
    /// Packets that are later than asked for.
    Beyond,
    /// There was nothing; `pending`: the ring waits for the program to take more.
    Nothing { pending: bool },
    /// The ring is full.
    NoRoom,
}

/// The thread's own.
#[derive(Debug)]
struct Capturer {
    device: Device,
    options: LiveOptions,
    filter: String,
    filler: Filler,
    shared: Arc<Shared>,
    stop: Arc<AtomicBool>,
    /// When there was no room for what the kernel holds.
    held_back: Option<Instant>,
}

impl Capturer {
    fn run(mut self) {
        loop {
            let lost = self.capture();
            self.drain();
            self.count();
            let Some(lost) = lost else {
                return self.filler.end();
            };
            let name = &self.options.interface;
            if !self.options.wait {
                let error = CaptureError::Live {
                    interface: name.clone(),
                    reason: lost.reason(),
                };
                return self.filler.lost(error);
            }
            self.filler
                .warn(format!("{name}: {}; waiting for it to come back", lost.reason()));
            match self.reopened() {
                Ok(Some(device)) => self.device = device,
                Ok(None) => return self.filler.end(),
                Err(error) => return self.filler.lost(error),
            }
            self.filler.warn(format!("{}: is back", self.options.interface));
        }
    }

    fn stopping(&self) -> bool {
        self.stop.load(Ordering::Relaxed) || self.shared.abandoned.load(Ordering::Relaxed)
    }

    /// Until the end is asked for (`None`) or the interface is lost.
    fn capture(&mut self) -> Option<Lost> {
        let mut checked = Instant::now();
        while !self.stopping() {
            let taken = match self.take(None) {
                Ok(taken) => taken,
                Err(lost) => return Some(lost),
            };
            if checked.elapsed() >= CHECK {
                checked = Instant::now();
                self.count();
                if let Some(lost) = self.device.lost() {
                    return Some(lost);
                }
            }
            match taken {
                Taken::Packets(_) | Taken::Beyond => {}
                Taken::Nothing { pending: false } => self.device.wait(PULSE),
                Taken::Nothing { pending: true } => self.device.wait(RETRY),
                Taken::NoRoom => std::thread::sleep(RETRY),
            }
        }
        None
    }

    /// Reads what the kernel holds at this moment, and waits for room for it.
    fn drain(&mut self) {
        let until = now();
        // Since the first of the looks that found nothing, not since the last that found something: between two looks
        // this thread may wait for the processor for any time.
        let mut quiet: Option<Instant> = None;
        // Should the clock have been set back: no more than this fits into the kernel's buffer.
        let mut left = self.options.buffer_size as usize;
        while left > 0 && !self.shared.abandoned.load(Ordering::Relaxed) {
            match self.take(Some(until)) {
                Ok(Taken::Beyond) => return,
                Ok(Taken::Packets(bytes)) => {
                    left = left.saturating_sub(bytes);
                    quiet = None;
                }
                Ok(Taken::NoRoom) => {
                    quiet = None;
                    std::thread::sleep(RETRY);
                }
                Ok(Taken::Nothing { .. }) | Err(_) => {
                    if quiet.get_or_insert_with(Instant::now).elapsed() >= QUIET {
                        return;
                    }
                    std::thread::sleep(RETRY);
                }
            }
        }
    }

    /// Moves as many packets from the kernel's buffer into the ring as there are and as surely fit. What does not fit
    /// stays with the kernel, whose buffer so makes ours longer.
    fn take(&mut self, until: Option<Timestamp>) -> Result<Taken, Lost> {
        let most = self.filler.room() / LARGEST;
        if most == 0 {
            self.held_back = Some(Instant::now());
            return Ok(Taken::NoRoom);
        }
        let (filler, shared, link_type) = (&mut self.filler, &self.shared, self.device.link_type());
        let (mut bytes, mut beyond) = (0, false);
        let taken = self.device.read(most, |time, wire_len, captured| {
            beyond |= until.is_some_and(|until| time > until);
            if beyond {
                return;
            }
            bytes += captured.len();
            let counter = if filler.push(link_type, time, wire_len, captured) {
                &shared.seen
            } else {
                &shared.by_us
            };
            counter.fetch_add(1, Ordering::Relaxed);
        })?;
        let pending = self.filler.hand_over();
        Ok(match taken {
            _ if beyond => Taken::Beyond,
            0 => Taken::Nothing { pending },
            _ => Taken::Packets(bytes),
        })
    }

    /// Adds what the system's counters grew by.
    fn count(&mut self) {
        let (by_kernel, by_interface) = self.device.dropped();
        let ours = self.held_back.is_some_and(|at| at.elapsed() < BLAME);
        let counter = if ours {
            &self.shared.by_us
        } else {
            &self.shared.by_kernel
        };
        counter.fetch_add(by_kernel, Ordering::Relaxed);
        self.shared
            .by_interface
            .fetch_add(by_interface, Ordering::Relaxed);
    }

    /// The interface once it is up again; `None`: the end was asked for.
    fn reopened(&self) -> Result<Option<Device>, CaptureError> {
        loop {
            if self.stopping() {
                return Ok(None);
            }
            std::thread::sleep(ABSENCE);
            if interfaces::presence(&self.options.interface)
                .is_none_or(|(presence, _)| presence == Presence::Up)
            {
                let opened = privileges::with_capture(|| Device::open(&self.options, &self.filter));
                match opened {
                    Ok(device) => return Ok(Some(device)),
                    // Gone again between the look and the opening.
                    Err(_)
                        if !matches!(
                            interfaces::presence(&self.options.interface),
                            Some((Presence::Up, _))
                        ) => {}
                    Err(error) => return Err(error),
                }
            }
        }
    }
}

/// The only wall clock of the program.
fn now() -> Timestamp {
    let since_epoch = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp::default() + since_epoch
}
