//! One opened interface: libpcap's handle with its quirks kept in here.

use std::os::fd::AsFd;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use pcap::{Active, Capture, Linktype};

use super::filter::{link_type_of_dlt, refusal, text};
use super::interfaces::{self, ANY, Presence};
use super::live::LiveOptions;
use super::{CaptureError, LinkType};
use crate::time::Timestamp;

/// Only Linux is known to give nanoseconds when asked; the binding doesn't tell whether the wish was granted.
pub(super) const NANOSECONDS: bool = cfg!(target_os = "linux");

/// A block of the kernel's buffer is given to us when it is full or so many milliseconds old (TPACKET_V3).
/// libpcap's immediate mode would do without, but gives every packet the room of the largest: 64 MiB hold 256
/// packets on `any` then, and a burst is lost.
const RETIRE: i32 = 20;
const RETIRE_FOR_CONSOLE: i32 = 5;

/// Packets read before the flags are looked at again.
const BURST: usize = 4096;

/// Why an interface gives nothing any more.
#[derive(Debug)]
pub(super) enum Lost {
    Missing,
    Down,
    Other(String),
}

impl Lost {
    pub(super) fn reason(&self) -> String {
        match self {
            Self::Missing => "the interface went away".into(),
            Self::Down => "the interface went down".into(),
            Self::Other(text) => text.clone(),
        }
    }
}

/// An open interface.
pub(super) struct Device {
    name: String,
    capture: Capture<Active>,
    link_type: LinkType,
    /// The system's number of the interface that was opened.
    index: Option<u32>,
    /// libpcap's counters when last read: 32 bits, they wrap.
    drops: (u32, u32),
}

impl std::fmt::Debug for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Device")
            .field("name", &self.name)
            .field("link_type", &self.link_type)
            .finish_non_exhaustive()
    }
}

impl Device {
    pub(super) fn open(options: &LiveOptions, filter: &str) -> Result<Self, CaptureError> {
        let name = options.interface.as_str();
        let presence = interfaces::presence(name);
        let failed = |error: pcap::Error| CaptureError::Live {
            interface: name.to_owned(),
            reason: reason(name, error),
        };
        if let Some((Presence::Down, _)) = presence {
            let reason = format!("the interface is down (`ip link set {name} up`, or --wait for it)");
            return Err(CaptureError::Live {
                interface: name.to_owned(),
                reason,
            });
        }
        // The binding asserts a descriptor that D-Bus captures lack.
        if name.starts_with("dbus-") {
            return Err(CaptureError::Live {
                interface: name.to_owned(),
                reason: "no packets pass there".into(),
            });
        }
        let positive = |size: u32| i32::try_from(size).unwrap_or(i32::MAX);
        let mut inactive = Capture::from_device(name)
            .map_err(failed)?
            // On `any` this would be a warning, which the binding takes for an error.
            .promisc(options.promiscuous && name != ANY)
            .snaplen(positive(options.snaplen))
            .buffer_size(positive(options.buffer_size))
            .timeout(if options.immediate {
                RETIRE_FOR_CONSOLE
            } else {
                RETIRE
            });
        if NANOSECONDS {
            inactive = inactive.precision(pcap::Precision::Nano);
        }
        let mut capture = inactive.open().and_then(Capture::setnonblock).map_err(failed)?;
        let sll2 = super::filter::dlt_of(LinkType::LINUX_SLL2);
        if capture.get_datalink() == Linktype::LINUX_SLL
            && capture
                .list_datalinks()
                .is_ok_and(|types| types.contains(&Linktype(sll2)))
        {
            capture.set_datalink(Linktype(sll2)).map_err(failed)?;
        }
        capture
            .filter(filter, true)
            .map_err(|error| refusal(filter, error))?;
        Ok(Self {
            name: name.to_owned(),
            link_type: link_type_of_dlt(capture.get_datalink().0),
            index: presence.map(|(_, index)| index),
            capture,
            drops: (0, 0),
        })
    }

    pub(super) fn link_type(&self) -> LinkType {
        self.link_type
    }

    /// Gives `take` time, length on the wire and bytes of each packet that is there, `most` at the most, and returns
    /// how many. Doesn't wait.
    pub(super) fn read(
        &mut self,
        most: usize,
        mut take: impl FnMut(Timestamp, u32, &[u8]),
    ) -> Result<usize, Lost> {
        let taken = self.capture.dispatch(Some(most.min(BURST)), |packet| {
            let fraction = u32::try_from(packet.header.ts.tv_usec).unwrap_or(0);
            let nanos = if NANOSECONDS {
                fraction
            } else {
                fraction.saturating_mul(1000)
            };
            let time = Timestamp::from_parts(packet.header.ts.tv_sec, nanos).unwrap_or_default();
            take(time, packet.header.len, packet.data);
        });
        match taken {
            Ok(taken) => Ok(taken),
            Err(pcap::Error::TimeoutExpired) => Ok(0),
            Err(error) => Err(self.lost().unwrap_or_else(|| Lost::Other(text(error)))),
        }
    }

    /// Waits until there is something to read, so long at the most.
    pub(super) fn wait(&self, patience: Duration) {
        let mut descriptors = [PollFd::new(self.capture.as_fd(), PollFlags::POLLIN)];
        let timeout = PollTimeout::try_from(patience).unwrap_or(PollTimeout::ZERO);
        let _ = poll(&mut descriptors, timeout);
        // The error itself comes from `read`; where it doesn't, poll returns at once for ever.
        let in_error = |events: PollFlags| events.intersects(PollFlags::POLLERR | PollFlags::POLLHUP);
        if descriptors.iter().filter_map(PollFd::revents).any(in_error) {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Whether the interface is there no more, or down. libpcap does not tell in every case.
    pub(super) fn lost(&self) -> Option<Lost> {
        let (presence, index) = interfaces::presence(&self.name)?;
        match presence {
            Presence::Missing => Some(Lost::Missing),
            _ if Some(index) != self.index => Some(Lost::Missing),
            Presence::Down => Some(Lost::Down),
            Presence::Up => None,
        }
    }

    /// How many packets the kernel's buffer and the interface dropped since the last call.
    pub(super) fn dropped(&mut self) -> (u64, u64) {
        let Ok(stats) = self.capture.stats() else {
            return (0, 0);
        };
        let now = (stats.dropped, stats.if_dropped);
        let before = std::mem::replace(&mut self.drops, now);
        (growth(before.0, now.0), growth(before.1, now.1))
    }
}

/// How far a counter of 32 bits went on. Going back means that it was reset.
fn growth(before: u32, now: u32) -> u64 {
    let growth = now.wrapping_sub(before);
    if growth > u32::MAX / 2 {
        0
    } else {
        u64::from(growth)
    }
}

/// libpcap's words for why an interface can't be opened, in ours where we know better.
fn reason(name: &str, error: pcap::Error) -> String {
    let text = text(error);
    let known = || {
        name == ANY
            || pcap::Device::list().is_ok_and(|devices| devices.iter().any(|device| device.name == name))
    };
    if !matches!(
        interfaces::presence(name),
        Some((Presence::Up | Presence::Down, _))
    ) && !known()
    {
        return "no such interface (--list-interfaces shows them)".into();
    }
    let refused = ["ermission denied", "ermission to", "not permitted", "CAP_NET_RAW"];
    if refused.iter().any(|words| text.contains(words)) {
        let program = std::env::current_exe().unwrap_or_else(|_| "flowdump".into());
        return format!(
            "permission denied: run it with sudo, or `sudo setcap cap_net_raw,cap_net_admin+ep {}` (make setcap)",
            program.display()
        );
    }
    if text.is_empty() {
        "can't be opened, and libpcap does not say why".into()
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_of_32_bits_are_followed_over_their_end() {
        assert_eq!(growth(10, 15), 5);
        assert_eq!(growth(u32::MAX - 1, 3), 5);
        assert_eq!(growth(15, 10), 0, "a counter that was reset");
    }

    #[test]
    fn what_does_not_exist_is_named_so_whoever_asks() {
        let error = pcap::Error::PcapError("no-such-if0: You don't have permission to capture".into());
        assert!(reason("no-such-if0", error).contains("--list-interfaces"));
    }

    #[test]
    fn a_refusal_tells_both_ways_out() {
        let error = pcap::Error::PcapError(
            "lo: Attempt to create packet socket failed - CAP_NET_RAW may be required".into(),
        );
        let reason = reason("lo", error);
        assert!(
            reason.contains("sudo, or") && reason.contains("setcap cap_net_raw,cap_net_admin+ep /"),
            "{reason}"
        );
    }
}
