//! The walk from a packet's first byte to its TCP segment.

use etherparse::{TcpOptionElement, TcpOptionsIterator};

use super::cursor::{Around, Cursor, be16, be32};
use super::fragments::{Fragments, Key};
use super::ip;
use super::link::{self, Layer, scope};
use super::tunnel;
use super::unread::{Unread, UnreadCounts};
use super::{Endpoint, Flags, Scope, Segment};
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
}

impl Default for DecodeOptions {
    fn default() -> Self {
        Self {
            ignore_vlan: false,
            fragment_memory: 16 << 20,
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

impl Decoder {
    /// A decoder with nothing waiting.
    pub fn new(options: DecodeOptions) -> Self {
        Self {
            ignore_vlan: options.ignore_vlan,
            fragments: Fragments::new(options.fragment_memory),
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
        let found = find(
            packet,
            &mut cursor,
            &mut around,
            self.ignore_vlan,
            &mut self.fragments,
            &mut self.whole,
        );
        match found {
            Ok(Some(header)) => Some(segment(&header, &cursor, &around, packet.time)),
            Ok(None) => None,
            Err(reason) => {
                self.counts.add(reason, 1);
                None
            }
        }
    }

    /// Fragments so far that were seen before: nothing of them is missing.
    pub fn copies(&self) -> u64 {
        self.fragments.copies
    }

    /// What gave no segment so far, by reason. Fragments that still wait are counted as lost.
    pub fn unread(&self) -> UnreadCounts {
        let mut counts = self.counts.clone();
        counts.add(
            Unread::LostFragment,
            self.fragments.lost + self.fragments.waiting(),
        );
        counts.add(Unread::FragmentConflict, self.fragments.conflicts);
        counts
    }
}

/// Goes down to the packet's TCP header. `None` where that is in a datagram whose fragments are not all there yet.
fn find<'a>(
    packet: &Packet<'a>,
    cursor: &mut Cursor<'a>,
    around: &mut Around,
    ignore_vlan: bool,
    fragments: &mut Fragments,
    whole: &'a mut Vec<u8>,
) -> Result<Option<Tcp<'a>>, Unread> {
    let layer = link::first(packet.link_type, cursor, around)?;
    walk(layer, cursor, around, ignore_vlan)?;
    if let Some(part) = around.ip.part.take() {
        let key = Key {
            source: around.ip.source,
            destination: around.ip.destination,
            id: part.id,
            protocol: around.ip.protocol,
            scope: around.scope,
        };
        let added = fragments.add(key, part.offset, part.more, cursor.bytes, packet.time);
        let Some(datagram) = added.map_err(|()| Unread::BadFragment)? else {
            return Ok(None);
        };
        *whole = datagram;
        *cursor = Cursor {
            bytes: whole,
            wire: whole.len(),
        };
        walk(Layer::Carried, cursor, around, ignore_vlan)?;
        if around.ip.part.is_some() {
            // Fragments within what was itself put together from fragments.
            return Err(Unread::TooDeep);
        }
    }
    if ignore_vlan {
        around.scope = Scope(0);
    }
    tcp(cursor).map(Some)
}

/// Takes layer after layer off, down to a TCP segment or a fragment.
fn walk(
    mut layer: Layer,
    cursor: &mut Cursor<'_>,
    around: &mut Around,
    ignore_vlan: bool,
) -> Result<(), Unread> {
    loop {
        around.depth += 1;
        if around.depth > DEEPEST {
            return Err(Unread::TooDeep);
        }
        layer = match layer {
            Layer::Ethernet => link::ethernet(cursor, around)?,
            Layer::Type(0x0800) => ip::v4(cursor, &mut around.ip)?,
            Layer::Type(0x86dd) => ip::v6(cursor, &mut around.ip)?,
            Layer::Type(kind) => ethertype(kind, cursor, around, ignore_vlan)?,
            Layer::Ip => match cursor.peek().map(|byte| byte >> 4) {
                Some(4) => Layer::Type(0x0800),
                Some(6) => Layer::Type(0x86dd),
                Some(_) => return Err(Unread::NotIp),
                None => return Err(Unread::CutIp),
            },
            Layer::Llc => link::llc(cursor)?,
            Layer::Ppp => link::ppp(cursor)?,
            Layer::PppoeSession => link::pppoe(cursor, around)?,
            Layer::Ieee80211 => link::ieee80211(cursor, around)?,
            Layer::Carried if around.ip.part.is_some() => {
                return if cursor.cut() {
                    Err(Unread::LostFragment)
                } else {
                    Ok(())
                };
            }
            Layer::Carried if around.ip.protocol == 6 => return Ok(()),
            Layer::Carried => inside(around.ip.protocol, cursor, around)?,
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
        // These stood behind a fragment header.
        43 | 44 | 60 if around.ip.source.is_ipv6() => {
            ip::extensions(cursor, &mut around.ip).map(|()| Layer::Carried)
        }
        51 => ip::authentication(cursor, &mut around.ip).map(|()| Layer::Carried),
        50 => Err(Unread::Esp),
        _ => Err(Unread::NotTcp),
    }
}

/// A TCP header, RFC 9293, section 3.1.
struct Tcp<'a> {
    fixed: &'a [u8; 20],
    /// As far as they were captured.
    options: &'a [u8],
}

fn tcp<'a>(cursor: &mut Cursor<'a>) -> Result<Tcp<'a>, Unread> {
    let cut = cursor.cut();
    let fixed: &[u8; 20] = cursor
        .array()
        .ok_or(if cut { Unread::CutTcp } else { Unread::BadTcp })?;
    let [.., offset_byte, _, _, _, _, _, _, _] = *fixed;
    let options_len = usize::from(offset_byte >> 4)
        .checked_sub(5)
        .ok_or(Unread::BadTcp)?
        * 4;
    let options = match cursor.take(options_len) {
        Some(options) => options,
        // The snaplen cut the options: the payload is missing, but its place is known.
        None if cut && options_len <= cursor.wire => {
            let options = cursor.bytes;
            *cursor = Cursor {
                bytes: &[],
                wire: cursor.wire - options_len,
            };
            options
        }
        None => return Err(Unread::BadTcp),
    };
    Ok(Tcp { fixed, options })
}

fn segment<'a>(header: &Tcp<'_>, payload: &Cursor<'a>, around: &Around, time: Timestamp) -> Segment<'a> {
    let [.., flags, w0, w1, _, _, _, _] = *header.fixed;
    let flags = Flags(flags);
    let window_scale = if flags.has(Flags::SYN) {
        window_scale(header.options)
    } else {
        None
    };
    Segment {
        time,
        source: Endpoint {
            address: around.ip.source,
            port: be16(header.fixed, 0),
        },
        destination: Endpoint {
            address: around.ip.destination,
            port: be16(header.fixed, 2),
        },
        scope: around.scope,
        vlan: around.vlan,
        mac: around.mac,
        interface: around.interface,
        seq: be32(header.fixed, 4),
        ack: be32(header.fixed, 8),
        flags,
        window: u16::from_be_bytes([w0, w1]),
        window_scale,
        ip_id: around.ip.id,
        ttl: around.ip.ttl,
        payload: payload.bytes,
        payload_wire_len: u32::try_from(payload.wire).unwrap_or(u32::MAX),
    }
}

/// Window scale (RFC 7323, section 2), the last one.
fn window_scale(options: &[u8]) -> Option<u8> {
    let shift = |option| match option {
        TcpOptionElement::WindowScale(shift) => Some(shift),
        _ => None,
    };
    TcpOptionsIterator::from_slice(options)
        .flatten()
        .filter_map(shift)
        .last()
}
