//! The walk from a packet's first byte to its TCP segment.

use std::net::IpAddr;
use std::time::Duration;

use etherparse::err::{ipv4, ipv6};
use etherparse::{Ipv6ExtensionSlice, LaxIpv4Slice, LaxIpv6Slice, TcpOptionElement, TcpOptionsIterator};

use super::cursor::{Around, Cursor, be16, be32};
use super::fragments::{Fragments, Key};
use super::link::{self, Layer, scope};
use super::tunnel;
use super::unread::{Unread, UnreadCounts};
use super::{Endpoint, Flags, Segment};
use crate::capture::Packet;
use crate::time::Timestamp;

/// Layers in one another, at the most.
const DEEPEST: u8 = 16;

/// How packets are read.
#[derive(Debug, Clone)]
pub struct DecodeOptions {
    /// VLANs and tunnels do not keep conversations apart.
    pub ignore_vlan: bool,
    /// Bytes for fragments that wait for the rest of their datagrams.
    pub fragment_memory: usize,
    /// How long they wait, in packet time.
    pub fragment_timeout: Duration,
}

impl Default for DecodeOptions {
    fn default() -> Self {
        Self {
            ignore_vlan: false,
            fragment_memory: 16 << 20,
            fragment_timeout: Duration::from_secs(30),
        }
    }
}

/// Turns packets into segments.
#[derive(Debug)]
pub struct Decoder {
    ignore_vlan: bool,
    fragments: Fragments,
    /// The datagram that was put together last.
    whole: Vec<u8>,
    counts: UnreadCounts,
}

/// An IP header as the TCP segment needs it.
#[derive(Debug, Clone, Copy)]
struct Ip {
    source: IpAddr,
    destination: IpAddr,
    id: u16,
    ttl: u8,
}

/// Where a walk stands.
#[derive(Debug, Clone, Copy)]
enum At {
    Layer(Layer),
    /// Behind an IP header, with the protocol that it names.
    Transport(u8, Ip),
    /// The same, and only a part of what it carries.
    Fragment(Fragment),
}

/// A fragment's place in its datagram.
#[derive(Debug, Clone, Copy)]
struct Fragment {
    key: Key,
    offset: usize,
    more: bool,
    ip: Ip,
}

/// Where a walk ended.
enum Walked<'a> {
    Segment(Segment<'a>),
    Fragment(Fragment, &'a [u8], Around),
}

impl Decoder {
    /// A decoder with nothing waiting.
    pub fn new(options: DecodeOptions) -> Self {
        Self {
            ignore_vlan: options.ignore_vlan,
            fragments: Fragments::new(options.fragment_memory, options.fragment_timeout),
            whole: Vec::new(),
            counts: UnreadCounts::default(),
        }
    }

    /// The packet's TCP segment. `None` where it has none, or none yet, or none that can be read:
    /// counted by reason.
    pub fn decode<'a>(&'a mut self, packet: &Packet<'a>) -> Option<Segment<'a>> {
        let mut cursor = Cursor {
            bytes: packet.captured,
            wire: packet.captured.len().max(packet.wire_len as usize),
        };
        let mut around = Around {
            interface: packet.interface,
            ..Around::default()
        };
        let ignore = self.ignore_vlan;
        let walked = link::first(packet.link_type, &mut cursor, &mut around)
            .and_then(|layer| walk(At::Layer(layer), cursor, around, packet.time, ignore));
        let reason = match walked {
            Ok(Walked::Segment(segment)) => return Some(segment),
            Err(reason) => reason,
            Ok(Walked::Fragment(fragment, bytes, around)) => {
                let Fragment {
                    key,
                    offset,
                    more,
                    ip,
                } = fragment;
                match self.fragments.add(key, offset, more, bytes, packet.time) {
                    Err(()) => Unread::BadFragment,
                    Ok(None) => return None,
                    Ok(Some(whole)) => {
                        self.whole = whole;
                        let cursor = Cursor {
                            bytes: &self.whole,
                            wire: self.whole.len(),
                        };
                        let at = At::Transport(key.protocol, ip);
                        match walk(at, cursor, around, packet.time, ignore) {
                            Ok(Walked::Segment(segment)) => return Some(segment),
                            Err(reason) => reason,
                            // Fragments within what was itself put together from fragments.
                            Ok(Walked::Fragment(..)) => Unread::TooDeep,
                        }
                    }
                }
            }
        };
        self.counts.add(reason, 1);
        None
    }

    /// What gave no segment so far, by reason. Fragments that still wait are counted as lost.
    pub fn unread(&self) -> UnreadCounts {
        let mut counts = self.counts.clone();
        counts.add(
            Unread::LostFragment,
            self.fragments.lost + self.fragments.waiting(),
        );
        counts
    }
}

/// Takes layer after layer off, down to a TCP segment or a fragment.
fn walk(
    mut at: At,
    mut cursor: Cursor<'_>,
    mut around: Around,
    time: Timestamp,
    ignore_vlan: bool,
) -> Result<Walked<'_>, Unread> {
    loop {
        around.depth += 1;
        if around.depth > DEEPEST {
            return Err(Unread::TooDeep);
        }
        at = match at {
            At::Layer(Layer::Ethernet) => At::Layer(link::ethernet(&mut cursor, &mut around)?),
            At::Layer(Layer::Type(0x0800)) => ipv4(&mut cursor, &around)?,
            At::Layer(Layer::Type(0x86dd)) => ipv6(&mut cursor, &around)?,
            At::Layer(Layer::Type(kind)) => {
                At::Layer(ethertype(kind, &mut cursor, &mut around, ignore_vlan)?)
            }
            At::Layer(Layer::Ip) => At::Layer(match cursor.peek().map(|byte| byte >> 4) {
                Some(4) => Layer::Type(0x0800),
                Some(6) => Layer::Type(0x86dd),
                Some(_) => return Err(Unread::NotIp),
                None => return Err(Unread::CutIp),
            }),
            At::Layer(Layer::Llc) => At::Layer(link::llc(&mut cursor)?),
            At::Layer(Layer::Ppp) => At::Layer(link::ppp(&mut cursor)?),
            At::Layer(Layer::PppoeSession) => At::Layer(link::pppoe(&mut cursor, &mut around)?),
            At::Layer(Layer::Ieee80211) => At::Layer(link::ieee80211(&mut cursor, &mut around)?),
            At::Transport(6, ip) => {
                if ignore_vlan {
                    around.scope = super::Scope(0);
                }
                return tcp(cursor, ip, &around, time).map(Walked::Segment);
            }
            At::Fragment(_) if cursor.cut() => return Err(Unread::LostFragment),
            At::Fragment(fragment) => return Ok(Walked::Fragment(fragment, cursor.bytes, around)),
            At::Transport(protocol, _) => At::Layer(inside(protocol, &mut cursor, &mut around)?),
        };
    }
}

fn ethertype(
    kind: u16,
    cursor: &mut Cursor<'_>,
    around: &mut Around,
    ignore_vlan: bool,
) -> Result<Layer, Unread> {
    match kind {
        0x8100 | 0x88a8 | 0x9100 | 0x9200 => link::vlan(cursor, around, ignore_vlan),
        0x8847 | 0x8848 => link::mpls(cursor),
        0x8864 => link::pppoe(cursor, around),
        0x880b => Ok(Layer::Ppp),
        0x6558 => Ok(Layer::Ethernet),
        _ => Err(Unread::NotIp),
    }
}

/// What an IP payload that is no TCP may carry.
fn inside(protocol: u8, cursor: &mut Cursor<'_>, around: &mut Around) -> Result<Layer, Unread> {
    match protocol {
        17 => tunnel::udp(cursor, around),
        47 => tunnel::gre(cursor, around),
        4 | 41 => {
            around.enter(scope::IP_IN_IP, 0);
            Ok(if protocol == 4 {
                Layer::Type(0x0800)
            } else {
                Layer::Type(0x86dd)
            })
        }
        50 => Err(Unread::Esp),
        _ => Err(Unread::NotTcp),
    }
}

/// How long the IP payload is on the wire: what the header says, as far as the frame was that long. Zero
/// (segmentation offload, jumbograms) and less than the header mean the rest of the frame.
fn payload_len(says: usize, header: usize, cursor: &Cursor<'_>) -> usize {
    let rest = cursor.wire.saturating_sub(header);
    if says < header {
        rest
    } else {
        rest.min(says - header)
    }
}

fn ipv4(cursor: &mut Cursor<'_>, around: &Around) -> Result<At, Unread> {
    let (slice, error) = LaxIpv4Slice::from_slice(cursor.bytes).map_err(|error| match error {
        ipv4::HeaderSliceError::Len(_) => short(cursor),
        ipv4::HeaderSliceError::Content(_) => Unread::BadIp,
    })?;
    let header = slice.header();
    if error.is_some() {
        return Err(short(cursor));
    }
    let header_len = header.slice().len();
    let len = payload_len(usize::from(header.total_len()), header_len, cursor);
    // An authentication header may stand between.
    let extension = slice.extensions().auth.map_or(0, |header| header.slice().len());
    cursor.take(header_len);
    cursor.limit(len);
    let cut = short(cursor);
    cursor.take(extension).ok_or(cut)?;
    let ip = Ip {
        source: header.source_addr().into(),
        destination: header.destination_addr().into(),
        id: header.identification(),
        ttl: header.ttl(),
    };
    let protocol = slice.payload().ip_number.0;
    if !header.is_fragmenting_payload() {
        return Ok(At::Transport(protocol, ip));
    }
    Ok(At::Fragment(Fragment {
        key: key(&ip, u32::from(ip.id), protocol, around),
        offset: usize::from(header.fragments_offset().value()) * 8,
        more: header.more_fragments(),
        ip,
    }))
}

fn ipv6(cursor: &mut Cursor<'_>, around: &Around) -> Result<At, Unread> {
    let (slice, error) = LaxIpv6Slice::from_slice(cursor.bytes).map_err(|error| match error {
        ipv6::HeaderSliceError::Len(_) => short(cursor),
        ipv6::HeaderSliceError::Content(_) => Unread::BadIp,
    })?;
    let header = slice.header();
    let says = usize::from(header.payload_length());
    let len = payload_len(if says == 0 { 0 } else { says + 40 }, 40, cursor);
    let extensions = slice.extensions().slice().len();
    cursor.take(40);
    cursor.limit(len);
    if error.is_some() {
        return Err(short(cursor));
    }
    let cut = short(cursor);
    cursor.take(extensions).ok_or(cut)?;
    let ip = Ip {
        source: header.source_addr().into(),
        destination: header.destination_addr().into(),
        id: 0,
        ttl: header.hop_limit(),
    };
    let protocol = slice.payload().ip_number.0;
    if !slice.is_payload_fragmented() {
        return Ok(At::Transport(protocol, ip));
    }
    let fragment = slice
        .extensions()
        .clone()
        .into_iter()
        .find_map(|extension| match extension {
            Ipv6ExtensionSlice::Fragment(fragment) => Some(fragment),
            _ => None,
        });
    let header = fragment.ok_or(Unread::BadFragment)?;
    Ok(At::Fragment(Fragment {
        key: key(&ip, header.identification(), protocol, around),
        offset: usize::from(header.fragment_offset().value()) * 8,
        more: header.more_fragments(),
        ip,
    }))
}

/// Why an IP header has less bytes than it should.
fn short(cursor: &Cursor<'_>) -> Unread {
    if cursor.cut() {
        Unread::CutIp
    } else {
        Unread::BadIp
    }
}

fn key(ip: &Ip, id: u32, protocol: u8, around: &Around) -> Key {
    Key {
        source: ip.source,
        destination: ip.destination,
        id,
        protocol,
        scope: around.scope,
    }
}

/// RFC 9293, section 3.1.
fn tcp<'a>(mut cursor: Cursor<'a>, ip: Ip, around: &Around, time: Timestamp) -> Result<Segment<'a>, Unread> {
    let cut = cursor.cut();
    let header: &[u8; 20] = cursor
        .array()
        .ok_or(if cut { Unread::CutTcp } else { Unread::BadTcp })?;
    let [.., offset_byte, flags, w0, w1, _, _, _, _] = *header;
    let options_len = usize::from(offset_byte >> 4)
        .checked_sub(5)
        .ok_or(Unread::BadTcp)?
        * 4;
    let options = match cursor.take(options_len) {
        Some(options) => options,
        // The snaplen cut the options: the payload is missing, but its place is known.
        None if cut && options_len <= cursor.wire => {
            let options = cursor.bytes;
            cursor = Cursor {
                bytes: &[],
                wire: cursor.wire - options_len,
            };
            options
        }
        None => return Err(Unread::BadTcp),
    };
    let mut segment = Segment {
        time,
        source: Endpoint {
            address: ip.source,
            port: be16(header, 0),
        },
        destination: Endpoint {
            address: ip.destination,
            port: be16(header, 2),
        },
        scope: around.scope,
        vlan: around.vlan,
        mac: around.mac,
        interface: around.interface,
        seq: be32(header, 4),
        ack: be32(header, 8),
        flags: Flags(flags),
        window: u16::from_be_bytes([w0, w1]),
        window_scale: None,
        mss: None,
        ip_id: ip.id,
        ttl: ip.ttl,
        payload: cursor.bytes,
        payload_wire_len: u32::try_from(cursor.wire).unwrap_or(u32::MAX),
    };
    if segment.flags.has(Flags::SYN) {
        for option in TcpOptionsIterator::from_slice(options).flatten() {
            match option {
                TcpOptionElement::WindowScale(shift) => segment.window_scale = Some(shift),
                TcpOptionElement::MaximumSegmentSize(size) => segment.mss = Some(size),
                _ => {}
            }
        }
    }
    Ok(segment)
}
