//! pcap and pcapng, out of a window of bytes: the one parser for maps and streams.
//!
//! Formats: draft-ietf-opsawg-pcap and draft-ietf-opsawg-pcapng. The parser sees a window that begins at
//! a record and says whether it holds a record, needs more, or is broken; where the window comes from it
//! does not know.

use super::{LinkType, Packet};
use crate::time::Timestamp;

/// More than this no record or block can have: what claims more is broken.
const LARGEST_PACKET: u32 = 1 << 20;
const LARGEST_BLOCK: u32 = 64 << 20;

/// Interfaces of one pcapng section, at the most.
const MOST_INTERFACES: usize = 65_536;

/// Decryption secrets kept, in bytes.
const MOST_SECRETS: usize = 1 << 20;

/// What a look at the window gives.
#[derive(Debug)]
pub(super) enum Item {
    /// A packet.
    Packet(Record),
    /// Something else of so many bytes, passed over.
    Passed(usize),
    /// The window must hold at least so many bytes.
    Need(usize),
}

/// A packet in the window.
#[derive(Debug, Clone, Copy)]
pub(super) struct Record {
    time: Timestamp,
    link_type: LinkType,
    interface: u32,
    wire_len: u32,
    /// Where its captured bytes begin.
    from: usize,
    captured: usize,
    /// Length of the whole record.
    pub(super) used: usize,
}

impl Record {
    /// The packet, out of the window in which it was found.
    pub(super) fn packet<'w>(&self, window: &'w [u8]) -> Packet<'w> {
        Packet {
            time: self.time,
            link_type: self.link_type,
            interface: self.interface,
            captured: window
                .get(self.from..self.from + self.captured)
                .unwrap_or_default(),
            wire_len: self.wire_len,
        }
    }

    pub(super) fn time(&self) -> Timestamp {
        self.time
    }
}

/// Byte order of a file or section.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Little,
    Big,
}

impl Order {
    fn u16(self, bytes: &[u8], at: usize) -> u16 {
        let chunk = bytes
            .get(at..)
            .and_then(|rest| rest.first_chunk())
            .copied()
            .unwrap_or_default();
        match self {
            Self::Little => u16::from_le_bytes(chunk),
            Self::Big => u16::from_be_bytes(chunk),
        }
    }

    fn u32(self, bytes: &[u8], at: usize) -> u32 {
        let chunk = bytes
            .get(at..)
            .and_then(|rest| rest.first_chunk())
            .copied()
            .unwrap_or_default();
        match self {
            Self::Little => u32::from_le_bytes(chunk),
            Self::Big => u32::from_be_bytes(chunk),
        }
    }
}

/// A capture format with what its headers said so far.
#[derive(Debug)]
pub(super) enum Format {
    Pcap(Pcap),
    Pcapng(Pcapng),
}

impl Format {
    /// Bytes that [`Format::detect`] needs.
    pub(super) const DETECT: usize = 24;

    /// The format of a capture that begins with `start`, and how many bytes its header takes.
    ///
    /// # Errors
    /// In words, what it looks like instead.
    pub(super) fn detect(start: &[u8]) -> Result<(Self, usize), String> {
        let Some(magic) = start.first_chunk::<4>().copied() else {
            return Err(if start.is_empty() {
                "the file is empty".into()
            } else {
                "too short for a capture".into()
            });
        };
        if magic == [0x0a, 0x0d, 0x0d, 0x0a] {
            return Ok((Self::Pcapng(Pcapng::default()), 0));
        }
        let little = u32::from_le_bytes(magic);
        let big = u32::from_be_bytes(magic);
        let known = |order, magic: u32| match magic {
            0xa1b2_c3d4 => Some((order, 1_000, 16)),
            0xa1b2_3c4d => Some((order, 1, 16)),
            // Kuznetzov's "modified" format: eight more bytes in each record header.
            0xa1b2_cd34 => Some((order, 1_000, 24)),
            _ => None,
        };
        let Some((order, unit, record)) = known(Order::Little, little).or_else(|| known(Order::Big, big))
        else {
            return Err(looks_like(start));
        };
        if start.len() < Self::DETECT {
            return Err("cut short within the pcap file header".into());
        }
        let (major, minor) = (order.u16(start, 4), order.u16(start, 6));
        if major != 2 {
            return Err(format!("pcap version {major}.{minor}, which nobody has defined"));
        }
        let snaplen = order.u32(start, 16);
        // The upper bits hold the length of a frame check sequence.
        let link_type = link_type_of(order.u32(start, 20) & 0x0fff_ffff);
        Ok((
            Self::Pcap(Pcap {
                order,
                unit,
                record,
                snaplen,
                link_type,
                bad_time: false,
            }),
            Self::DETECT,
        ))
    }

    /// Looks at the window. `end` says that no more bytes will come than the window has.
    ///
    /// # Errors
    /// In words, what is broken at the window's start.
    pub(super) fn item(&mut self, window: &[u8]) -> Result<Item, String> {
        match self {
            Self::Pcap(pcap) => pcap.item(window),
            Self::Pcapng(pcapng) => pcapng.item(window),
        }
    }

    /// Whether the headers so far promise times finer than microseconds.
    pub(super) fn nanoseconds(&self) -> bool {
        match self {
            Self::Pcap(pcap) => pcap.unit == 1,
            Self::Pcapng(pcapng) => pcapng
                .interfaces
                .iter()
                .any(|interface| match interface.resolution {
                    Resolution::Decimal(digits) => digits > 6,
                    Resolution::Binary(digits) => digits > 20,
                }),
        }
    }

    /// Link types that the headers so far name.
    pub(super) fn link_types(&self) -> Vec<LinkType> {
        match self {
            Self::Pcap(pcap) => vec![pcap.link_type],
            Self::Pcapng(pcapng) => {
                let mut types: Vec<_> = pcapng
                    .interfaces
                    .iter()
                    .map(|interface| interface.link_type)
                    .collect();
                types.sort_unstable();
                types.dedup();
                types
            }
        }
    }

    /// A sentence on something odd in the record just read, told once for a file.
    pub(super) fn take_oddity(&mut self) -> Option<&'static str> {
        match self {
            Self::Pcap(pcap) if pcap.bad_time => {
                pcap.bad_time = false;
                Some("a packet's time has a fraction of a second or more: carried over into its seconds")
            }
            _ => None,
        }
    }
}

/// LINKTYPE of what a pcap header says: some systems wrote their own DLT numbers.
fn link_type_of(number: u32) -> LinkType {
    LinkType(match number {
        // DLT_RAW of OpenBSD and of the others, DLT_LOOP of OpenBSD is 12 there but RAW in files.
        12 | 14 => 101,
        other => other,
    })
}

/// What a file that is no capture looks like.
fn looks_like(start: &[u8]) -> String {
    let what = match start {
        [0x4d, 0x3c, 0x2b, 0x1a, ..] | [0x1a, 0x2b, 0x3c, 0x4d, ..] => "a pcapng block in the middle",
        [0x34, 0xcd, 0xb2, 0xa1, ..] | [0xa1, 0xb2, 0xcd, 0x34, ..] => "a modified pcap",
        [0x1c, 0x00, 0x01, 0xac, ..] | [0xac, 0x01, 0x00, 0x1c, ..] => "an IXIA capture, which is not read",
        [b's', b'n', b'o', b'o', b'p', ..] => "a snoop capture, which is not read (editcap converts it)",
        [b'X', b'C', b'P', 0, ..] => "a NetXRay or Sniffer capture, which is not read (editcap converts it)",
        [b'G', b'M', b'B', b'U', ..] => "a Network Monitor capture, which is not read (editcap converts it)",
        [0x50, 0x4b, 0x03, 0x04, ..] => "a zip archive: unpack it first",
        [0x42, 0x5a, 0x68, ..] => "bzip2: unpack it first (bunzip2)",
        [0xfd, b'7', b'z', b'X', b'Z', ..] => "xz: unpack it first (unxz)",
        [0x7f, b'E', b'L', b'F', ..] => "a program",
        [0x16, 0x03, ..] => "a TLS stream",
        _ if start
            .iter()
            .all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace()) =>
        {
            "text"
        }
        _ => return format!("neither pcap nor pcapng: begins with {}", hex(start)),
    };
    format!("neither pcap nor pcapng, but {what}")
}

fn hex(start: &[u8]) -> String {
    start
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect::<Vec<_>>()
        .join(" ")
}

/// State of a pcap file.
#[derive(Debug)]
pub(super) struct Pcap {
    order: Order,
    /// Nanoseconds of one unit of the fraction.
    unit: u64,
    /// Length of a record header.
    record: usize,
    snaplen: u32,
    link_type: LinkType,
    bad_time: bool,
}

impl Pcap {
    fn item(&mut self, window: &[u8]) -> Result<Item, String> {
        if window.len() < self.record {
            return Ok(Item::Need(self.record));
        }
        let (seconds, fraction) = (self.order.u32(window, 0), self.order.u32(window, 4));
        let (captured, wire_len) = (self.order.u32(window, 8), self.order.u32(window, 12));
        // Programs exist that do not keep to the snaplen they wrote; nobody writes a megabyte.
        if captured > LARGEST_PACKET.max(self.snaplen.min(LARGEST_BLOCK)) {
            return Err(format!(
                "a packet claims {captured} captured bytes (snaplen {})",
                self.snaplen
            ));
        }
        let used = self.record + captured as usize;
        if window.len() < used {
            return Ok(Item::Need(used));
        }
        let nanos = u64::from(fraction) * self.unit;
        self.bad_time |= nanos >= 1_000_000_000;
        let time = Timestamp::from_nanos((u64::from(seconds) * 1_000_000_000 + nanos) as i64);
        Ok(Item::Packet(Record {
            time,
            link_type: self.link_type,
            interface: 0,
            wire_len: wire_len.max(captured),
            from: self.record,
            captured: captured as usize,
            used,
        }))
    }
}

/// One interface of a pcapng section.
#[derive(Debug, Clone, Copy)]
struct Interface {
    link_type: LinkType,
    snaplen: u32,
    resolution: Resolution,
    /// if_tsoffset, seconds.
    offset: i64,
}

/// if_tsresol: units a second.
#[derive(Debug, Clone, Copy)]
enum Resolution {
    Decimal(u32),
    Binary(u32),
}

impl Resolution {
    /// Nanoseconds of `units`, and whether they fit.
    fn nanos(self, units: u64) -> Option<i128> {
        let units = i128::from(units);
        Some(match self {
            Self::Decimal(exponent @ 0..=9) => units.checked_mul(10_i128.pow(9 - exponent))?,
            Self::Decimal(exponent) => units / 10_i128.checked_pow(exponent - 9)?,
            Self::Binary(exponent) => units.checked_mul(1_000_000_000)?.checked_shr(exponent)?,
        })
    }
}

/// State of a pcapng file.
#[derive(Debug, Default)]
pub(super) struct Pcapng {
    /// `None` before the first section header.
    order: Option<Order>,
    interfaces: Vec<Interface>,
    /// Interfaces of sections before this one: numbers go on, so that they stay distinct in the file.
    before: u32,
    secrets: Vec<(u32, Box<[u8]>)>,
    secrets_len: usize,
}

const SECTION: u32 = 0x0a0d_0d0a;

impl Pcapng {
    fn item(&mut self, window: &[u8]) -> Result<Item, String> {
        if window.len() < 12 {
            return Ok(Item::Need(12));
        }
        let section = window.starts_with(&SECTION.to_be_bytes());
        if section {
            // Its byte-order magic says how to read its own length.
            let order = match window.get(8..12) {
                Some([0x4d, 0x3c, 0x2b, 0x1a]) => Order::Little,
                Some([0x1a, 0x2b, 0x3c, 0x4d]) => Order::Big,
                _ => return Err("a section header with an unknown byte-order magic".into()),
            };
            self.order = Some(order);
        }
        let Some(order) = self.order else {
            return Err("no section header at the start".into());
        };
        let (kind, total) = (order.u32(window, 0), order.u32(window, 4));
        if total < 12 || total % 4 != 0 || total > LARGEST_BLOCK {
            return Err(format!(
                "a block of type {kind:#x} claims to be {total} bytes long"
            ));
        }
        let used = total as usize;
        let Some(block) = window.get(..used) else {
            return Ok(Item::Need(used));
        };
        if order.u32(block, used - 4) != total {
            return Err(format!(
                "a block's lengths differ: {total} at its start, {} at its end",
                order.u32(block, used - 4)
            ));
        }
        let body = block.get(8..used - 4).unwrap_or_default();
        match kind {
            SECTION => self.section(order, body)?,
            1 => self.interface(order, body)?,
            0x0000_0002 | 0x0000_0006 => {
                let (interface, body) = if kind == 6 {
                    (order.u32(body, 0), body)
                } else {
                    (u32::from(order.u16(body, 0)), body)
                };
                return self.packet(order, interface, body, used).map(Item::Packet);
            }
            3 => return self.simple(order, body, used).map(Item::Packet),
            0x0000_000a => self.secrets(order, body),
            _ => {}
        }
        Ok(Item::Passed(used))
    }

    fn section(&mut self, order: Order, body: &[u8]) -> Result<(), String> {
        if body.len() < 16 {
            return Err("a section header that is too short".into());
        }
        let major = order.u16(body, 4);
        if major != 1 {
            return Err(format!("pcapng version {major}, which nobody has defined"));
        }
        options(order, body.get(16..).unwrap_or_default(), |_, _| Ok(()))?;
        self.before = self
            .before
            .saturating_add(u32::try_from(self.interfaces.len()).unwrap_or(u32::MAX));
        self.interfaces.clear();
        Ok(())
    }

    fn interface(&mut self, order: Order, body: &[u8]) -> Result<(), String> {
        if body.len() < 8 {
            return Err("an interface description that is too short".into());
        }
        if self.interfaces.len() >= MOST_INTERFACES {
            return Err(format!("more than {MOST_INTERFACES} interfaces"));
        }
        let mut interface = Interface {
            link_type: link_type_of(u32::from(order.u16(body, 0))),
            snaplen: order.u32(body, 4),
            resolution: Resolution::Decimal(6),
            offset: 0,
        };
        options(order, body.get(8..).unwrap_or_default(), |code, value| {
            match (code, value) {
                (9, [resolution, ..]) => {
                    let exponent = u32::from(resolution & 0x7f);
                    interface.resolution = if resolution & 0x80 == 0 {
                        if exponent > 20 {
                            return Err(format!(
                                "an interface with a time resolution of 10^-{exponent} seconds"
                            ));
                        }
                        Resolution::Decimal(exponent)
                    } else {
                        if exponent > 63 {
                            return Err(format!(
                                "an interface with a time resolution of 2^-{exponent} seconds"
                            ));
                        }
                        Resolution::Binary(exponent)
                    };
                }
                (14, value) => {
                    if let Some(chunk) = value.first_chunk::<8>() {
                        interface.offset = match order {
                            Order::Little => i64::from_le_bytes(*chunk),
                            Order::Big => i64::from_be_bytes(*chunk),
                        };
                    }
                }
                _ => {}
            }
            Ok(())
        })?;
        self.interfaces.push(interface);
        Ok(())
    }

    /// Enhanced Packet Block, and the obsolete Packet Block, whose fixed part has the same shape.
    fn packet(&self, order: Order, index: u32, body: &[u8], used: usize) -> Result<Record, String> {
        if body.len() < 20 {
            return Err("a packet block that is too short".into());
        }
        let interface = self.interface_of(index)?;
        let units = u64::from(order.u32(body, 4)) << 32 | u64::from(order.u32(body, 8));
        let (captured, wire_len) = (order.u32(body, 12), order.u32(body, 16));
        if body.len() - 20 < captured as usize {
            return Err(format!(
                "a packet claims {captured} captured bytes in a block of {used}"
            ));
        }
        let nanos = interface.resolution.nanos(units).and_then(|nanos| {
            i64::try_from(nanos.checked_add(i128::from(interface.offset).checked_mul(1_000_000_000)?)?).ok()
        });
        let Some(nanos) = nanos else {
            return Err(format!(
                "a packet's time of {units} units lies beyond the year 2262"
            ));
        };
        Ok(Record {
            time: Timestamp::from_nanos(nanos),
            link_type: interface.link_type,
            interface: self.before.saturating_add(index),
            wire_len: wire_len.max(captured),
            from: 28,
            captured: captured as usize,
            used,
        })
    }

    /// Simple Packet Block: no time, no captured length; the snaplen of interface 0 tells.
    fn simple(&self, order: Order, body: &[u8], used: usize) -> Result<Record, String> {
        let interface = self.interface_of(0)?;
        if body.len() < 4 {
            return Err("a simple packet block that is too short".into());
        }
        let wire_len = order.u32(body, 0);
        let limit = if interface.snaplen == 0 {
            wire_len
        } else {
            wire_len.min(interface.snaplen)
        };
        let captured = usize::try_from(limit).unwrap_or(usize::MAX).min(body.len() - 4);
        Ok(Record {
            time: Timestamp::default(),
            link_type: interface.link_type,
            interface: self.before,
            wire_len: wire_len.max(captured as u32),
            from: 12,
            captured,
            used,
        })
    }

    fn interface_of(&self, index: u32) -> Result<&Interface, String> {
        usize::try_from(index)
            .ok()
            .and_then(|index| self.interfaces.get(index))
            .ok_or_else(|| {
                format!(
                    "a packet of interface {index}, of which only {} are described",
                    self.interfaces.len()
                )
            })
    }

    fn secrets(&mut self, order: Order, body: &[u8]) {
        let len = usize::try_from(order.u32(body, 4)).unwrap_or(usize::MAX);
        if let Some(secret) = body.get(8..).and_then(|rest| rest.get(..len))
            && self.secrets_len + len <= MOST_SECRETS
        {
            self.secrets_len += len;
            self.secrets.push((order.u32(body, 0), secret.into()));
        }
    }

    /// Decryption secrets seen so far: type (0x544c534b is a TLS key log) and content.
    #[cfg(test)]
    fn secrets_seen(&self) -> &[(u32, Box<[u8]>)] {
        &self.secrets
    }
}

/// Calls `each` with every option of a block.
fn options(
    order: Order,
    mut rest: &[u8],
    mut each: impl FnMut(u16, &[u8]) -> Result<(), String>,
) -> Result<(), String> {
    while rest.len() >= 4 {
        let (code, len) = (order.u16(rest, 0), usize::from(order.u16(rest, 2)));
        if code == 0 {
            return Ok(());
        }
        let Some(value) = rest.get(4..4 + len) else {
            return Err(format!(
                "an option of {len} bytes in a block that has {} left",
                rest.len() - 4
            ));
        };
        each(code, value)?;
        rest = rest.get(4 + len.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolutions_decimal_and_binary() {
        assert_eq!(Resolution::Decimal(6).nanos(1_500_000), Some(1_500_000_000));
        assert_eq!(Resolution::Decimal(9).nanos(7), Some(7));
        assert_eq!(Resolution::Decimal(12).nanos(7_999), Some(7));
        assert_eq!(Resolution::Binary(8).nanos(384), Some(1_500_000_000));
        assert_eq!(Resolution::Binary(63).nanos(u64::MAX), Some(1_999_999_999));
        assert_eq!(
            Resolution::Decimal(0).nanos(u64::MAX),
            Some(i128::from(u64::MAX) * 1_000_000_000)
        );
    }

    #[test]
    fn decryption_secrets_are_kept() {
        let mut ng = Pcapng {
            order: Some(Order::Little),
            ..Pcapng::default()
        };
        let mut block = Vec::new();
        for word in [10_u32, 28, 0x544c_534b, 5] {
            block.extend(word.to_le_bytes());
        }
        block.extend(b"KEYS!\0\0\0");
        block.extend(28_u32.to_le_bytes());
        assert!(matches!(ng.item(&block), Ok(Item::Passed(28))));
        assert_eq!(ng.secrets_seen(), [(0x544c_534b, b"KEYS!".as_slice().into())]);
    }
}
