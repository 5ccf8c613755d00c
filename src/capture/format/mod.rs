//! pcap and pcapng, out of a window of bytes: the one parser for maps and streams.
//!
//! Formats: draft-ietf-opsawg-pcap and draft-ietf-opsawg-pcapng. The parser sees a window that begins at
//! a record and says whether it holds a record, needs more, or is broken; where the window comes from it
//! does not know.

mod pcap;
mod pcapng;

use self::pcap::Pcap;
use self::pcapng::Pcapng;
use super::{LinkType, Packet};
use crate::text::hex;
use crate::time::Timestamp;

/// More than this no block can have, nor a packet's captured bytes whatever a snaplen says: what claims
/// more is broken.
const LARGEST_BLOCK: u32 = 64 << 20;

/// What a look at the window gives.
#[derive(Debug)]
pub(super) enum Item {
    /// A packet, told where it was asked for.
    Packet,
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
    /// Of 64 bits, so that no two fields are moved at once, which waits for the stores of both.
    interface: u64,
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
            interface: self.interface as u32,
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
        let start = start.get(..Self::DETECT).unwrap_or(start);
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
        match Pcap::detect(magic, start) {
            Some(pcap) => pcap.map(|pcap| (Self::Pcap(pcap), Self::DETECT)),
            None => Err(looks_like(start)),
        }
    }

    /// What a capture is of which nothing can be read, and the length of its header.
    pub(super) fn nothing() -> (Self, usize) {
        (Self::Pcapng(Pcapng::default()), 0)
    }

    /// Looks at the window. A packet is written to its place at once: moved there, the processor would wait for it to
    /// have been written elsewhere.
    ///
    /// # Errors
    /// In words, what is broken at the window's start.
    #[inline]
    pub(super) fn item(&mut self, window: &[u8], packet: &mut Option<Record>) -> Result<Item, String> {
        match self {
            Self::Pcap(pcap) => pcap.item(window, packet),
            Self::Pcapng(pcapng) => pcapng.item(window, packet),
        }
    }

    /// Whether the headers so far promise times finer than microseconds.
    pub(super) fn nanoseconds(&self) -> bool {
        match self {
            Self::Pcap(pcap) => pcap.nanoseconds(),
            Self::Pcapng(pcapng) => pcapng.nanoseconds(),
        }
    }

    /// Link types that the headers so far name.
    pub(super) fn link_types(&self) -> Vec<LinkType> {
        match self {
            Self::Pcap(pcap) => vec![pcap.link_type()],
            Self::Pcapng(pcapng) => pcapng.link_types(),
        }
    }

    /// A sentence on something odd in the record just read, told once for a file.
    pub(super) fn take_oddity(&mut self) -> Option<&'static str> {
        match self {
            Self::Pcap(pcap) => pcap.take_oddity(),
            Self::Pcapng(_) => None,
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
        [0x04, 0x22, 0x4d, 0x18, ..] => "lz4: unpack it first (unlz4)",
        [0xfd, b'7', b'z', b'X', b'Z', ..] => "xz: unpack it first (unxz)",
        [0x7f, b'E', b'L', b'F', ..] => "a program",
        [0x16, 0x03, ..] => "a TLS stream",
        _ if start
            .iter()
            .all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace()) =>
        {
            "text"
        }
        _ => {
            return format!(
                "neither pcap nor pcapng: begins with {}",
                hex(start.get(..8).unwrap_or(start))
            );
        }
    };
    format!("neither pcap nor pcapng, but {what}")
}
