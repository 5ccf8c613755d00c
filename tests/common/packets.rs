//! Packets made by hand: conversations as lists of TCP segments that a test may lose, swap, repeat and
//! change, and the frames around them.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use flowdump::decode::{Endpoint, Flags, Scope, Segment};
use flowdump::time::Timestamp;

pub const FIN: u8 = Flags::FIN;
pub const SYN: u8 = Flags::SYN;
pub const RST: u8 = Flags::RST;
pub const PSH: u8 = Flags::PSH;
pub const ACK: u8 = Flags::ACK;

/// When conversations begin, unless a test says otherwise.
pub const START: i64 = 1_700_000_000;

/// A TCP segment with its own bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct Tcp {
    pub time: Timestamp,
    pub source: SocketAddr,
    pub destination: SocketAddr,
    pub seq: u32,
    pub ack: u32,
    pub flags: u8,
    pub window: u16,
    pub ip_id: u16,
    pub ttl: u8,
    pub payload: Vec<u8>,
    /// Bytes of the payload that were captured, where the snaplen cut it.
    pub captured: Option<usize>,
    pub interface: u32,
    pub vlans: Vec<u16>,
}

impl Tcp {
    /// As decode would give it.
    pub fn segment(&self) -> Segment<'_> {
        let end = |address: SocketAddr| Endpoint {
            address: address.ip(),
            port: address.port(),
        };
        let captured = self
            .captured
            .unwrap_or(self.payload.len())
            .min(self.payload.len());
        Segment {
            time: self.time,
            source: end(self.source),
            destination: end(self.destination),
            scope: Scope(
                self.vlans
                    .iter()
                    .fold(0, |scope, vlan| scope * 4096 + u64::from(*vlan)),
            ),
            vlan: self.vlans.first().copied(),
            mac: None,
            interface: self.interface,
            seq: self.seq,
            ack: self.ack,
            flags: Flags(self.flags),
            window: self.window,
            window_scale: None,
            ip_id: self.ip_id,
            ttl: self.ttl,
            payload: &self.payload[..captured],
            payload_wire_len: u32::try_from(self.payload.len()).expect("a small payload"),
        }
    }

    /// The same segment, later.
    pub fn later(&self, by: Duration) -> Self {
        Self {
            time: self.time + by,
            ..self.clone()
        }
    }

    /// The TCP header and payload.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(self.source.port().to_be_bytes());
        bytes.extend(self.destination.port().to_be_bytes());
        bytes.extend(self.seq.to_be_bytes());
        bytes.extend(self.ack.to_be_bytes());
        bytes.extend([5 << 4, self.flags]);
        bytes.extend(self.window.to_be_bytes());
        bytes.extend([0; 4]);
        bytes.extend(&self.payload);
        bytes
    }

    /// The IP packet. `says` is the total length that its header claims, where it is not the truth.
    pub fn ip(&self, says: Option<u16>) -> Vec<u8> {
        self.ip_around(&self.bytes(), 0, false, says)
    }

    /// The IP packets of its fragments, each with at most `size` bytes (a multiple of eight).
    pub fn fragments(&self, size: usize) -> Vec<Vec<u8>> {
        let whole = self.bytes();
        let pieces: Vec<&[u8]> = whole.chunks(size).collect();
        let last = pieces.len() - 1;
        pieces
            .iter()
            .enumerate()
            .map(|(index, piece)| self.ip_around(piece, index * size, index < last, None))
            .collect()
    }

    fn ip_around(&self, piece: &[u8], offset: usize, more: bool, says: Option<u16>) -> Vec<u8> {
        let length = |header: usize| says.unwrap_or(u16::try_from(header + piece.len()).unwrap_or(0));
        let fragmented = offset > 0 || more;
        let place = u16::try_from(offset).expect("within a datagram");
        let mut bytes = Vec::new();
        match (self.source.ip(), self.destination.ip()) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                bytes.extend([0x45, 0]);
                bytes.extend(length(20).to_be_bytes());
                bytes.extend(self.ip_id.to_be_bytes());
                bytes.extend(((place / 8) | (u16::from(more) << 13)).to_be_bytes());
                bytes.extend([self.ttl, 6, 0, 0]);
                bytes.extend(source.octets());
                bytes.extend(destination.octets());
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                let extension = if fragmented { 8 } else { 0 };
                bytes.extend([0x60, 0, 0, 0]);
                bytes.extend(length(extension).to_be_bytes());
                bytes.extend([if fragmented { 44 } else { 6 }, self.ttl]);
                bytes.extend(source.octets());
                bytes.extend(destination.octets());
                if fragmented {
                    bytes.extend([6, 0]);
                    bytes.extend((place | u16::from(more)).to_be_bytes());
                    bytes.extend([0, 0]);
                    bytes.extend(self.ip_id.to_be_bytes());
                }
            }
            _ => panic!("both ends speak the same IP"),
        }
        bytes.extend(piece);
        bytes
    }

    /// Ethernet with this segment's VLAN tags around an IP packet, padded as Ethernet does.
    pub fn ethernet(&self, ip: &[u8]) -> Vec<u8> {
        let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];
        for vlan in &self.vlans {
            frame.extend([0x81, 0]);
            frame.extend((vlan | 0xa000).to_be_bytes());
        }
        frame.extend(if self.source.is_ipv4() {
            [0x08, 0]
        } else {
            [0x86, 0xdd]
        });
        frame.extend(ip);
        // Padding is not always zeros.
        while frame.len() < 60 {
            frame.push(b'P');
        }
        frame
    }

    /// The whole frame.
    pub fn frame(&self) -> Vec<u8> {
        self.ethernet(&self.ip(None))
    }
}

/// A conversation in the making: both sides' numbers, and the segments so far. Sides acknowledge what they
/// have seen, a millisecond passes between segments.
#[derive(Debug, Clone)]
pub struct Talk {
    pub client: SocketAddr,
    pub server: SocketAddr,
    pub now: Timestamp,
    /// Between segments.
    pub pace: Duration,
    /// Next sequence number of client and server.
    pub seq: [u32; 2],
    pub segments: Vec<Tcp>,
    pub ip_id: u16,
}

impl Default for Talk {
    fn default() -> Self {
        Self::between("10.0.0.1:40000", "10.0.0.2:25")
    }
}

impl Talk {
    pub fn between(client: &str, server: &str) -> Self {
        Self {
            client: client.parse().expect("an address"),
            server: server.parse().expect("an address"),
            now: Timestamp::from_nanos(START * 1_000_000_000),
            pace: Duration::from_millis(1),
            seq: [1000, 5000],
            segments: Vec::new(),
            ip_id: 1,
        }
    }

    /// The same ends, later, with other initial sequence numbers.
    pub fn again(&self, seq: [u32; 2]) -> Self {
        Self {
            seq,
            segments: Vec::new(),
            now: self.now + Duration::from_secs(1),
            ..self.clone()
        }
    }

    /// A segment from client (0) or server (1); advances that side's numbers.
    pub fn send(&mut self, side: usize, flags: u8, payload: &[u8]) -> &mut Self {
        let (source, destination) = if side == 0 {
            (self.client, self.server)
        } else {
            (self.server, self.client)
        };
        self.now = self.now + self.pace;
        self.ip_id = self.ip_id.wrapping_add(1);
        self.segments.push(Tcp {
            time: self.now,
            source,
            destination,
            seq: self.seq[side],
            ack: if flags & ACK == 0 { 0 } else { self.seq[1 - side] },
            flags,
            window: 60_000,
            ip_id: self.ip_id,
            ttl: 64,
            payload: payload.to_vec(),
            captured: None,
            interface: 0,
            vlans: Vec::new(),
        });
        let length = u32::try_from(payload.len()).expect("a small payload");
        let control = u32::from(flags & SYN != 0) + u32::from(flags & FIN != 0);
        self.seq[side] = self.seq[side].wrapping_add(length + control);
        self
    }

    pub fn handshake(&mut self) -> &mut Self {
        self.send(0, SYN, b"").send(1, SYN | ACK, b"").send(0, ACK, b"")
    }

    pub fn client(&mut self, payload: &[u8]) -> &mut Self {
        self.send(0, PSH | ACK, payload)
    }

    pub fn server(&mut self, payload: &[u8]) -> &mut Self {
        self.send(1, PSH | ACK, payload)
    }

    /// The server acknowledges all it has.
    pub fn server_acks(&mut self) -> &mut Self {
        self.send(1, ACK, b"")
    }

    /// FIN from both, the client first, and the last acknowledgement.
    pub fn close(&mut self) -> &mut Self {
        self.send(0, FIN | ACK, b"")
            .send(1, FIN | ACK, b"")
            .send(0, ACK, b"")
    }

    /// Nothing is said for a while.
    pub fn pause(&mut self, seconds: f64) -> &mut Self {
        self.now = self.now + Duration::from_secs_f64(seconds);
        self
    }

    /// The last segment is not in the capture.
    pub fn lost(&mut self) -> &mut Self {
        self.segments.pop();
        self
    }

    /// The last segment sent so far, to be changed.
    pub fn last(&mut self) -> &mut Tcp {
        self.segments.last_mut().expect("something was sent")
    }
}
