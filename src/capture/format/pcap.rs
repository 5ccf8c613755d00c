//! Records of a pcap file: a header of fixed length and the packet.

use super::{Format, Item, LARGEST_BLOCK, Order, Record, link_type_of};
use crate::capture::LinkType;
use crate::time::Timestamp;

/// Captured bytes that a packet may claim beyond its file's snaplen: programs exist that do not keep to
/// the one they wrote, but nobody writes a megabyte.
const LARGEST_PACKET: u32 = 1 << 20;

/// State of a pcap file.
#[derive(Debug)]
pub(in crate::capture) struct Pcap {
    order: Order,
    /// Nanoseconds of one unit of the fraction.
    unit: u64,
    /// Length of a record header.
    record: usize,
    snaplen: u32,
    /// Of an old version, in which a record's two lengths stand the other way round, or may.
    old: bool,
    link_type: LinkType,
    bad_time: bool,
}

impl Pcap {
    /// A file that begins with this magic number; `None` if it is none of pcap's.
    pub(super) fn detect(magic: [u8; 4], start: &[u8]) -> Option<Result<Self, String>> {
        let known = |order, magic: u32| match magic {
            0xa1b2_c3d4 => Some((order, 1_000, 16)),
            0xa1b2_3c4d => Some((order, 1, 16)),
            // Kuznetzov's "modified" format: eight more bytes in each record header.
            0xa1b2_cd34 => Some((order, 1_000, 24)),
            _ => None,
        };
        let (order, unit, record) = known(Order::Little, u32::from_le_bytes(magic))
            .or_else(|| known(Order::Big, u32::from_be_bytes(magic)))?;
        if start.len() < Format::DETECT {
            return Some(Err("cut short within the pcap file header".into()));
        }
        let (major, minor) = (order.u16(start, 4), order.u16(start, 6));
        // 543.0 is tcpdump's of DG/UX, otherwise 2.2.
        if major != 2 && (major, minor) != (543, 0) {
            return Some(Err(format!(
                "pcap version {major}.{minor}, which nobody has defined"
            )));
        }
        Some(Ok(Self {
            order,
            unit,
            record,
            snaplen: order.u32(start, 16),
            old: major != 2 || minor <= 3,
            // The upper bits say whether there is a frame check sequence, and how long it is.
            link_type: link_type_of(order.u32(start, 20) & 0x03ff_ffff),
            bad_time: false,
        }))
    }

    pub(super) fn nanoseconds(&self) -> bool {
        self.unit == 1
    }

    pub(super) fn link_type(&self) -> LinkType {
        self.link_type
    }

    pub(super) fn take_oddity(&mut self) -> Option<&'static str> {
        std::mem::take(&mut self.bad_time)
            .then_some("a packet's time has a fraction of a second or more: carried over into its seconds")
    }

    pub(super) fn item(&mut self, window: &[u8], packet: &mut Option<Record>) -> Result<Item, String> {
        let Some(header) = window.first_chunk::<16>().filter(|_| window.len() >= self.record) else {
            return Ok(Item::Need(self.record));
        };
        let (seconds, fraction) = (self.order.u32(header, 0), self.order.u32(header, 4));
        let (mut captured, mut wire_len) = (self.order.u32(header, 8), self.order.u32(header, 12));
        // Version 2.3 turned them round, but not all programs that wrote this number did. The captured length is the
        // smaller one whoever wrote it. No packet is as long as what is no record says.
        if self.old && captured > wire_len && captured <= LARGEST_PACKET {
            (captured, wire_len) = (wire_len, captured);
        }
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
        *packet = Some(Record {
            time,
            link_type: self.link_type,
            interface: 0,
            wire_len: wire_len.max(captured),
            from: self.record,
            captured: captured as usize,
            used,
        });
        Ok(Item::Packet)
    }
}
