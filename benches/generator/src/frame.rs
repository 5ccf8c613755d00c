//! One TCP segment as an Ethernet frame, all checksums right, so that no reader has a reason to refuse it.

use std::net::Ipv4Addr;

/// FIN.
pub const FIN: u8 = 0x01;
/// SYN.
pub const SYN: u8 = 0x02;
/// PSH.
pub const PSH: u8 = 0x08;
/// ACK.
pub const ACK: u8 = 0x10;

/// Ethernet and IPv4 headers.
const TCP_AT: usize = 14 + 20;
/// TCP options: NOP, NOP, time stamps.
const DATA_OPTIONS: usize = 12;
/// TCP options of a SYN: MSS, SACK permitted, time stamps, NOP, window scale.
const SYN_OPTIONS: usize = 20;
/// What an Ethernet frame carries with [`DATA_OPTIONS`].
pub const SEGMENT: usize = 1500 - 20 - 20 - DATA_OPTIONS;

/// An address and a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Endpoint {
    pub address: Ipv4Addr,
    pub port: u16,
}

/// What a frame says.
#[derive(Debug, Clone, Copy)]
pub struct Segment<'a> {
    pub source: Endpoint,
    pub destination: Endpoint,
    pub seq: u32,
    pub ack: u32,
    pub flags: u8,
    pub ip_id: u16,
    /// Microseconds since the epoch; gives the time stamp option.
    pub time: u64,
    pub payload: &'a [u8],
}

/// Writes the frame into `out`, over what was in it.
pub fn write(segment: &Segment<'_>, out: &mut Vec<u8>) {
    let syn = segment.flags & SYN != 0;
    let tcp_len = 20 + if syn { SYN_OPTIONS } else { DATA_OPTIONS };
    let ip_len = (20 + tcp_len + segment.payload.len()) as u16;
    let (source, destination) = (
        segment.source.address.octets(),
        segment.destination.address.octets(),
    );

    out.clear();
    out.extend_from_slice(&[
        0x02,
        0,
        destination[0],
        destination[1],
        destination[2],
        destination[3],
    ]);
    out.extend_from_slice(&[0x02, 0, source[0], source[1], source[2], source[3]]);
    out.extend_from_slice(&[0x08, 0x00]);

    out.extend_from_slice(&[0x45, 0]);
    out.extend_from_slice(&ip_len.to_be_bytes());
    out.extend_from_slice(&segment.ip_id.to_be_bytes());
    out.extend_from_slice(&[0x40, 0, 64, 6, 0, 0]);
    out.extend_from_slice(&source);
    out.extend_from_slice(&destination);
    let sum = finish(sum_words(&out[14..TCP_AT]));
    out[24..26].copy_from_slice(&sum.to_be_bytes());

    out.extend_from_slice(&segment.source.port.to_be_bytes());
    out.extend_from_slice(&segment.destination.port.to_be_bytes());
    out.extend_from_slice(&segment.seq.to_be_bytes());
    let ack = if segment.flags & ACK != 0 { segment.ack } else { 0 };
    out.extend_from_slice(&ack.to_be_bytes());
    out.extend_from_slice(&[((tcp_len / 4) << 4) as u8, segment.flags]);
    out.extend_from_slice(&0xfaf0_u16.to_be_bytes());
    out.extend_from_slice(&[0, 0, 0, 0]);
    let stamp = (segment.time / 1000) as u32;
    if syn {
        out.extend_from_slice(&[2, 4, 0x05, 0xb4, 4, 2, 8, 10]);
        out.extend_from_slice(&stamp.to_be_bytes());
        out.extend_from_slice(&[0, 0, 0, 0, 1, 3, 3, 7]);
    } else {
        out.extend_from_slice(&[1, 1, 8, 10]);
        out.extend_from_slice(&stamp.to_be_bytes());
        out.extend_from_slice(&stamp.wrapping_sub(1).to_be_bytes());
    }
    out.extend_from_slice(segment.payload);
    let pseudo = sum_words(&source) + sum_words(&destination) + 6 + u64::from(ip_len - 20);
    let sum = finish(pseudo + sum_words(&out[TCP_AT..]));
    out[TCP_AT + 16..TCP_AT + 18].copy_from_slice(&sum.to_be_bytes());
}

/// The one's complement sum of RFC 1071, not yet folded.
fn sum_words(bytes: &[u8]) -> u64 {
    let mut words = bytes.chunks_exact(4);
    let mut sum: u64 = words
        .by_ref()
        .map(|w| u64::from(u32::from_be_bytes([w[0], w[1], w[2], w[3]])))
        .sum();
    let mut last = [0; 4];
    let rest = words.remainder();
    last[..rest.len()].copy_from_slice(rest);
    sum += u64::from(u32::from_be_bytes(last));
    sum
}

fn finish(mut sum: u64) -> u16 {
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}
