//! From a packet's first byte to its TCP segment.
//!
//! Link layer, tunnels, IP, fragments. Slices into the packet, no copies (but for fragments put
//! together). Never fails loudly: what can't be read is counted by reason.

mod cursor;
mod datagram;
mod decoder;
mod fragments;
mod ip;
mod link;
mod tunnel;
mod unread;

pub use decoder::{DecodeOptions, Decoder};
pub use unread::{Unread, UnreadCounts};

use std::net::IpAddr;

use crate::time::Timestamp;

/// One end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    /// Address. IPv4-mapped IPv6 addresses stay IPv6, as on the wire.
    pub address: IpAddr,
    /// Port.
    pub port: u16,
}

/// The VLANs and tunnels that a segment came through, folded into one number; 0 is none.
///
/// Equal scopes are the same path; the flow table decides when two scopes may be one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Scope(pub u64);

/// TCP flags, the low byte of RFC 9293, section 3.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flags(pub u8);

impl Flags {
    /// No more data from the sender.
    pub const FIN: u8 = 0x01;
    /// Synchronise sequence numbers.
    pub const SYN: u8 = 0x02;
    /// Reset the connection.
    pub const RST: u8 = 0x04;
    /// Push.
    pub const PSH: u8 = 0x08;
    /// The acknowledgement field is significant.
    pub const ACK: u8 = 0x10;

    /// The same without the bits of `mask`.
    pub const fn without(self, mask: u8) -> Self {
        Self(self.0 & !mask)
    }

    /// Whether all bits of `mask` are set.
    pub const fn has(self, mask: u8) -> bool {
        self.0 & mask == mask
    }
}

/// One TCP segment, its payload a slice of the packet.
#[derive(Debug, Clone, Copy)]
pub struct Segment<'a> {
    /// When its packet was captured (for fragments: the one that completed it).
    pub time: Timestamp,
    /// Sender.
    pub source: Endpoint,
    /// Receiver.
    pub destination: Endpoint,
    /// VLANs and tunnels around it.
    pub scope: Scope,
    /// The outermost 802.1Q VLAN, 12 bits, for names and the index.
    pub vlan: Option<u16>,
    /// Link-layer addresses, source and destination, where the link has them.
    pub mac: Option<([u8; 6], [u8; 6])>,
    /// The interface within the capture.
    pub interface: u32,
    /// Sequence number of the first payload byte (of the SYN where there is one).
    pub seq: u32,
    /// Acknowledgement number; means something only with ACK.
    pub ack: u32,
    /// Flags.
    pub flags: Flags,
    /// Window as on the wire, not scaled.
    pub window: u16,
    /// Window scale option of a SYN (RFC 7323, section 2), as sent.
    pub window_scale: Option<u8>,
    /// Identification of the IPv4 header (to tell a copy from a retransmission); 0 for IPv6.
    pub ip_id: u16,
    /// Time to live or hop limit.
    pub ttl: u8,
    /// What was captured of the payload.
    pub payload: &'a [u8],
    /// Payload length by the IP header; more than `payload.len()` where the snaplen cut it.
    pub payload_wire_len: u32,
}
