//! The interfaces that can be captured from, as `--list-interfaces` shows them, and the one taken unasked.
//! Nothing here needs privileges.

use std::fmt::Write as _;
use std::net::IpAddr;

use nix::ifaddrs::getifaddrs;
use nix::net::if_::{InterfaceFlags, if_nametoindex};

use super::CaptureError;
use crate::text::is_harmless;

/// The name that stands for all interfaces.
pub const ANY: &str = "any";

/// What the names of other things begin with that libpcap captures from.
const UNNUMBERED: [&str; 5] = ["bluetooth", "dbus-", "nflog", "nfqueue", "usbmon"];

/// One interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InterfaceInfo {
    /// As `-i` takes it.
    pub name: String,
    /// libpcap's words, if it has any.
    pub description: Option<String>,
    /// None of the system's network interfaces: all of them (`any`), or something else that packets come from.
    pub pseudo: bool,
    /// Administratively up.
    pub up: bool,
    /// Up, and its cable or peer is there.
    pub running: bool,
    /// What its packets begin with, where that is known without opening it.
    pub link_type: Option<&'static str>,
    /// IPv4 and IPv6 addresses.
    pub addresses: Vec<IpAddr>,
}

/// Whether packets can come from an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Presence {
    Up,
    Down,
    Missing,
}

/// All interfaces that libpcap knows, in its order: the most useful first.
///
/// # Errors
/// [`CaptureError::Live`] with libpcap's reason.
pub fn list() -> Result<Vec<InterfaceInfo>, CaptureError> {
    let failed = |reason: String| CaptureError::Live {
        interface: "interfaces".into(),
        reason,
    };
    let devices = pcap::Device::list().map_err(|error| failed(error.to_string()))?;
    Ok(devices
        .into_iter()
        .map(|device| InterfaceInfo {
            pseudo: !matches!(presence(&device.name), Some((Presence::Up | Presence::Down, _))),
            up: device.flags.is_up(),
            running: device.flags.is_running(),
            link_type: link_type(&device.name),
            addresses: device.addresses.iter().map(|address| address.addr).collect(),
            description: device.desc,
            name: device.name,
        })
        .collect())
}

/// The list as aligned columns with a heading, a line each.
pub fn table(interfaces: &[InterfaceInfo]) -> String {
    const HEADING: [&str; 5] = ["INTERFACE", "STATE", "LINK TYPE", "ADDRESSES", "DESCRIPTION"];
    let mut rows = vec![HEADING.map(str::to_owned)];
    rows.extend(interfaces.iter().map(|interface| {
        let state = match interface {
            InterfaceInfo { pseudo: true, .. } => "-",
            InterfaceInfo {
                up: true,
                running: true,
                ..
            } => "up",
            InterfaceInfo { up: true, .. } => "no carrier",
            InterfaceInfo { up: false, .. } => "down",
        };
        let addresses: Vec<_> = interface.addresses.iter().map(IpAddr::to_string).collect();
        [
            harmless(&interface.name),
            state.to_owned(),
            interface.link_type.unwrap_or("-").to_owned(),
            if addresses.is_empty() {
                "-".to_owned()
            } else {
                addresses.join(" ")
            },
            interface.description.as_deref().map(harmless).unwrap_or_default(),
        ]
    }));
    // A machine with twenty addresses on one interface must not push the descriptions of all out of sight.
    let width = |column: usize| {
        let lengths = rows
            .iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count());
        lengths.max().unwrap_or(0).min(48)
    };
    let widths = [width(0), width(1), width(2), width(3), 0];
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            let _ = write!(line, "{cell:width$}  ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// The interface to capture from when none is named: the one that leads to most of the world, else the first
/// that is up and no loopback, else whatever libpcap names first.
///
/// # Errors
/// [`CaptureError::Live`]: there is none.
pub fn default_interface() -> Result<String, CaptureError> {
    let devices = list()?;
    let usable = |device: &&InterfaceInfo| device.up && device.running && !device.pseudo;
    let by_route =
        default_route().and_then(|name| devices.iter().filter(usable).find(|device| device.name == name));
    let by_order = || {
        let mut candidates = devices
            .iter()
            .filter(usable)
            .filter(|device| !device.addresses.is_empty());
        candidates.find(|device| !device.addresses.iter().any(IpAddr::is_loopback))
    };
    by_route
        .or_else(by_order)
        .or_else(|| devices.first())
        .map(|device| device.name.clone())
        .ok_or_else(|| CaptureError::Live {
            interface: "interfaces".into(),
            reason: "there is none to capture from; name one with -i".into(),
        })
}

/// Whether packets can come from an interface, and its number: a new interface of the same name has another one.
/// `None` for what the system does not number (`any`, nflog, usbmon).
pub(super) fn presence(name: &str) -> Option<(Presence, u32)> {
    if name == ANY || name.contains(':') {
        return None;
    }
    let Ok(index) = if_nametoindex(name) else {
        let missing = !UNNUMBERED.iter().any(|kind| name.starts_with(kind));
        return missing.then_some((Presence::Missing, 0));
    };
    let up = getifaddrs().is_ok_and(|addresses| {
        addresses
            .filter(|address| address.interface_name == name)
            .any(|address| address.flags.contains(InterfaceFlags::IFF_UP))
    });
    Some((if up { Presence::Up } else { Presence::Down }, index))
}

/// The link type by the kernel's hardware type: what libpcap will choose when it opens the interface.
#[cfg(target_os = "linux")]
fn link_type(name: &str) -> Option<&'static str> {
    if name == ANY {
        return Some("Linux cooked");
    }
    let hardware = getifaddrs().ok()?.find_map(|address| {
        let hardware = address.address.as_ref()?.as_link_addr()?.hatype();
        (address.interface_name == name).then_some(hardware)
    })?;
    match hardware {
        1 | 772 => Some("Ethernet"),
        512 => Some("PPP"),
        768 | 769 | 776 | 778 | 823 | 65534 => Some("raw IP"),
        801..=803 => Some("802.11"),
        _ => None,
    }
}

#[cfg(not(target_os = "linux"))]
fn link_type(_name: &str) -> Option<&'static str> {
    None
}

/// The interface of the default route with the lowest metric.
fn default_route() -> Option<String> {
    lowest_metric(&std::fs::read_to_string("/proc/net/route").ok()?)
}

fn lowest_metric(routes: &str) -> Option<String> {
    let default_routes = routes.lines().skip(1).filter_map(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        // Iface Destination Gateway Flags RefCnt Use Metric Mask …
        let (name, destination, metric, mask) =
            (fields.first()?, fields.get(1)?, fields.get(6)?, fields.get(7)?);
        let default = *destination == "00000000" && *mask == "00000000";
        default.then(|| (metric.parse().unwrap_or(u64::MAX), *name))
    });
    default_routes.min().map(|(_, name)| name.to_owned())
}

/// Interfaces can be named by whoever makes a container. Tabs would break the columns.
fn harmless(text: &str) -> String {
    text.chars()
        .map(|char| {
            if char != '\t' && is_harmless(char) {
                char
            } else {
                '?'
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_listed_with_its_addresses() {
        let interfaces = list().unwrap();
        let lo = interfaces
            .iter()
            .find(|interface| interface.name == "lo")
            .unwrap();
        assert_eq!(lo.link_type, Some("Ethernet"));
        assert!(lo.addresses.contains(&"127.0.0.1".parse().unwrap()), "{lo:?}");
        assert!(
            interfaces
                .iter()
                .any(|interface| interface.name == ANY && interface.pseudo)
        );
    }

    #[test]
    fn columns_are_aligned_and_what_controls_or_misleads_does_not_pass() {
        let interface = |name: &str, address: &str, up| InterfaceInfo {
            name: name.into(),
            description: Some("uplink\x1b[2J\u{202e}".into()),
            pseudo: false,
            up,
            running: up,
            link_type: Some("Ethernet"),
            addresses: address.parse().into_iter().collect(),
        };
        let text = table(&[
            interface("eth0", "192.0.2.1", true),
            interface("longer-name", "", false),
        ]);
        assert_eq!(
            text,
            "INTERFACE    STATE  LINK TYPE  ADDRESSES  DESCRIPTION\n\
             eth0         up     Ethernet   192.0.2.1  uplink?[2J?\n\
             longer-name  down   Ethernet   -          uplink?[2J?\n"
        );
    }

    #[test]
    fn the_default_route_with_the_lowest_metric_counts() {
        let routes = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n\
            wlan0\t00000000\t0100000A\t0003\t0\t0\t600\t00000000\t0\t0\t0\n\
            eth0\t00000000\t0100000A\t0003\t0\t0\t100\t00000000\t0\t0\t0\n\
            eth1\t0000A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n";
        assert_eq!(lowest_metric(routes).as_deref(), Some("eth0"));
        assert_eq!(lowest_metric("nonsense\n\n1 2"), None);
    }

    #[test]
    fn what_is_not_there_is_missing() {
        assert_eq!(presence("no-such-if0"), Some((Presence::Missing, 0)));
        assert!(matches!(
            presence("lo"),
            Some((Presence::Up | Presence::Down, 1..))
        ));
        for name in [ANY, "nflog", "nflog:5", "usbmon1"] {
            assert_eq!(presence(name), None, "{name}");
        }
    }
}
