//! Frames with their times, and the pcap and pcapng files that hold them.

use super::packets::Tcp;
use flowdump::capture::{LinkType, Packet};
use flowdump::time::Timestamp;

/// A captured frame: bytes, how many of them were kept, when.
#[derive(Debug, Clone)]
pub struct Frame {
    pub time: Timestamp,
    pub bytes: Vec<u8>,
    pub captured: usize,
}

impl Frame {
    pub fn new(time: Timestamp, bytes: Vec<u8>) -> Self {
        Self {
            time,
            captured: bytes.len(),
            bytes,
        }
    }

    pub fn packet(&self) -> Packet<'_> {
        Packet {
            time: self.time,
            link_type: LinkType::ETHERNET,
            interface: 0,
            captured: &self.bytes[..self.captured],
            wire_len: u32::try_from(self.bytes.len()).expect("a small frame"),
        }
    }
}

/// How a pcap file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PcapStyle {
    pub big_endian: bool,
    pub nanoseconds: bool,
}

/// A pcap file of these segments.
pub fn pcap_of<'t>(segments: impl IntoIterator<Item = &'t Tcp>) -> Vec<u8> {
    let frames: Vec<_> = segments
        .into_iter()
        .map(|segment| Frame::new(segment.time, segment.frame()))
        .collect();
    let style = PcapStyle {
        big_endian: false,
        nanoseconds: true,
    };
    pcap(&frames, style)
}

/// A pcap file of Ethernet frames.
pub fn pcap(frames: &[Frame], style: PcapStyle) -> Vec<u8> {
    let magic: u32 = if style.nanoseconds {
        0xa1b2_3c4d
    } else {
        0xa1b2_c3d4
    };
    let u32s = |file: &mut Vec<u8>, numbers: &[u32]| {
        for number in numbers {
            file.extend(if style.big_endian {
                number.to_be_bytes()
            } else {
                number.to_le_bytes()
            });
        }
    };
    let version = if style.big_endian {
        0x0002_0004
    } else {
        0x0004_0002
    };
    let mut file = Vec::new();
    u32s(&mut file, &[magic, version, 0, 0, 262_144, 1]);
    for frame in frames {
        let fraction = frame.time.subsec_nanos() / if style.nanoseconds { 1 } else { 1000 };
        let seconds = u32::try_from(frame.time.seconds()).expect("a time of this century");
        u32s(
            &mut file,
            &[seconds, fraction, frame.captured as u32, frame.bytes.len() as u32],
        );
        file.extend(&frame.bytes[..frame.captured]);
    }
    file
}

/// A pcapng file of Ethernet frames in nanoseconds: two sections, the second in the other byte order, with
/// an unknown block among the packets.
pub fn pcapng(frames: &[Frame]) -> Vec<u8> {
    let (first, second) = frames.split_at(frames.len() / 2);
    let mut file = section(first, false);
    file.extend(section(second, true));
    file
}

fn section(frames: &[Frame], big: bool) -> Vec<u8> {
    let u32b = |number: u32| {
        if big {
            number.to_be_bytes()
        } else {
            number.to_le_bytes()
        }
    };
    let u16b = |number: u16| {
        if big {
            number.to_be_bytes()
        } else {
            number.to_le_bytes()
        }
    };
    let block = |kind: u32, body: &[u8]| {
        let padded = body.len().next_multiple_of(4);
        let total = u32::try_from(padded + 12).expect("a small block");
        let mut block = Vec::new();
        block.extend(u32b(kind));
        block.extend(u32b(total));
        block.extend(body);
        block.resize(8 + padded, 0);
        block.extend(u32b(total));
        block
    };
    let mut header = u32b(0x1a2b_3c4d).to_vec();
    header.extend(u16b(1));
    header.extend(u16b(0));
    header.extend([0xff; 8]);
    let mut file = block(0x0a0d_0d0a, &header);
    // Ethernet, no snaplen, if_tsresol 9, end of options.
    let mut interface = u16b(1).to_vec();
    interface.extend(u16b(0));
    interface.extend(u32b(0));
    interface.extend([u16b(9), u16b(1)].concat());
    interface.extend([9, 0, 0, 0]);
    interface.extend([0; 4]);
    file.extend(block(1, &interface));
    file.extend(block(0x0bad, b"an unknown block"));
    for frame in frames {
        let nanos = u64::try_from(frame.time.nanos()).expect("a time of this century");
        let mut body = u32b(0).to_vec();
        body.extend(u32b((nanos >> 32) as u32));
        body.extend(u32b(nanos as u32));
        body.extend(u32b(frame.captured as u32));
        body.extend(u32b(frame.bytes.len() as u32));
        body.extend(&frame.bytes[..frame.captured]);
        file.extend(block(6, &body));
    }
    file
}

/// A block of a pcapng file.
#[derive(Debug, Clone, Copy)]
pub enum Block<'a> {
    /// An interface of this link type, its times in microseconds.
    Interface(u16),
    /// A packet: the number of its interface, microseconds, bytes.
    Packet(u32, u64, &'a [u8]),
}

/// A pcapng file of these blocks, little-endian.
pub fn pcapng_of(blocks: &[Block<'_>]) -> Vec<u8> {
    let mut file = Vec::new();
    let mut put = |kind: u32, words: &[u32], bytes: &[u8]| {
        let padded = bytes.len().next_multiple_of(4);
        let total = u32::try_from(12 + words.len() * 4 + padded).expect("a small block");
        let end = file.len() + total as usize;
        for word in [kind, total].iter().chain(words) {
            file.extend(word.to_le_bytes());
        }
        file.extend(bytes);
        file.resize(end - 4, 0);
        file.extend(total.to_le_bytes());
    };
    put(0x0a0d_0d0a, &[0x1a2b_3c4d, 1, u32::MAX, u32::MAX], b"");
    for block in blocks {
        match *block {
            Block::Interface(link_type) => put(1, &[link_type.into(), 0], b""),
            Block::Packet(interface, micros, bytes) => {
                let len = u32::try_from(bytes.len()).expect("a small packet");
                let (high, low) = ((micros >> 32) as u32, micros as u32);
                put(6, &[interface, high, low, len, len], bytes);
            }
        }
    }
    file
}
