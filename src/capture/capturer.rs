//! The capture thread: moves packets from the kernel's buffer into the ring, and watches over the interface.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use super::CaptureError;
use super::device::{Device, Lost};
use super::interfaces::{self, Presence};
use super::live::LiveOptions;
use super::ring::Filler;
use crate::privileges;
use crate::time::Timestamp;

/// The thread looks so often whether it is to stop.
const PULSE: Duration = Duration::from_millis(50);

/// … and so often for room in the ring while it holds packets that could not be handed over.
const RETRY: Duration = Duration::from_millis(2);

/// Counters and the interface's state are looked at so often.
const CHECK: Duration = Duration::from_millis(250);

/// How long an absent interface is left alone before the next look.
pub(super) const ABSENCE: Duration = Duration::from_millis(200);

/// At the end, the kernel's buffer is empty when nothing came for so long (a block of it is given to us when it is
/// full or `device::RETIRE` old).
const QUIET: Duration = Duration::from_millis(40);

/// A packet is hardly ever longer than this, segmentation offload included.
const LARGEST: usize = 1 << 16;

/// What the kernel drops so long after the ring was full, it drops because of us: its buffer was full, too.
const BLAME: Duration = Duration::from_millis(500);

/// What the thread and the source share.
#[derive(Debug, Default)]
pub(super) struct Shared {
    pub(super) seen: AtomicU64,
    pub(super) by_kernel: AtomicU64,
    pub(super) by_interface: AtomicU64,
    pub(super) by_us: AtomicU64,
    /// Nobody wants packets any more, not even those that are there.
    pub(super) abandoned: AtomicBool,
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
pub(super) struct Capturer {
    pub(super) device: Device,
    pub(super) options: LiveOptions,
    pub(super) filter: String,
    pub(super) filler: Filler,
    pub(super) shared: Arc<Shared>,
    pub(super) stop: Arc<AtomicBool>,
    /// When there was no room for what the kernel holds.
    pub(super) held_back: Option<Instant>,
}

impl Capturer {
    pub(super) fn run(mut self) {
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
pub(super) fn now() -> Timestamp {
    let since_epoch = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp::default() + since_epoch
}
