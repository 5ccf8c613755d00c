//! The link layer, down to what it carries.
//!
//! Sources: <https://www.tcpdump.org/linktypes.html> and the standards named at each.

use super::cursor::{Around, Cursor, be16, be32};
use super::unread::Unread;
use crate::capture::LinkType;

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layer {
    Ethernet,
    /// By EtherType.
    Type(u16),
    /// IP of whatever version its first nibble says.
    Ip,
    /// What the IP header before it says.
    Carried,
    Llc,
    Ppp,
    PppoeSession,
    Ieee80211,
}

/// Kinds of scope.
pub(super) mod scope {
    pub const VLAN: u8 = 1;
    pub const PPPOE: u8 = 2;
    pub const GRE: u8 = 3;
    pub const VXLAN: u8 = 4;
    pub const GENEVE: u8 = 5;
    pub const IP_IN_IP: u8 = 6;
    pub const TEREDO: u8 = 7;
    pub const GTP: u8 = 8;
    pub const ERSPAN: u8 = 9;
}

type Step = Result<Layer, Unread>;

/// Takes off what the link type puts in front.
pub(super) fn first(link_type: LinkType, cursor: &mut Cursor<'_>, around: &mut Around) -> Step {
    match link_type.0 {
        1 => Ok(Layer::Ethernet),
        113 => sll(cursor),
        276 => sll2(cursor, around),
        0 | 108 => null(cursor),
        12 | 14 | 101 => Ok(Layer::Ip),
        228 => Ok(Layer::Type(0x0800)),
        229 => Ok(Layer::Type(0x86dd)),
        9 => Ok(Layer::Ppp),
        50 => match cursor.peek() {
            Some(0x0f | 0x8f) => cisco_hdlc(cursor),
            _ => Ok(Layer::Ppp),
        },
        51 => Ok(Layer::PppoeSession),
        104 => cisco_hdlc(cursor),
        105 => Ok(Layer::Ieee80211),
        127 => radiotap(cursor, around),
        119 => prism(cursor),
        163 => avs(cursor),
        192 => ppi(cursor),
        274 => cursor.take(8).map(|_| Layer::Ethernet).ok_or(Unread::CutLink),
        other => Err(Unread::LinkType(other)),
    }
}

/// Ethernet II or IEEE 802.3.
pub(super) fn ethernet(cursor: &mut Cursor<'_>, around: &mut Around) -> Step {
    let header: &[u8; 14] = cursor.array().ok_or(Unread::CutLink)?;
    let [d0, d1, d2, d3, d4, d5, s0, s1, s2, s3, s4, s5, t0, t1] = *header;
    around.mac = Some(([s0, s1, s2, s3, s4, s5], [d0, d1, d2, d3, d4, d5]));
    let kind = u16::from_be_bytes([t0, t1]);
    if kind <= 1500 {
        // A length: what lies behind it is padding.
        cursor.limit(usize::from(kind));
        return Ok(Layer::Llc);
    }
    Ok(Layer::Type(kind))
}

/// IEEE 802.1Q tag, the outer type already read. Twelve bits count: the rest is priority.
pub(super) fn vlan(cursor: &mut Cursor<'_>, around: &mut Around, ignore: bool) -> Step {
    let [t0, t1, k0, k1]: [u8; 4] = *cursor.array().ok_or(Unread::CutLink)?;
    let id = u16::from_be_bytes([t0, t1]) & 0x0fff;
    around.vlan.get_or_insert(id);
    // VLAN 0 is a priority tag on an untagged frame.
    if !ignore && id != 0 {
        around.enter(scope::VLAN, u32::from(id));
    }
    let kind = u16::from_be_bytes([k0, k1]);
    if kind <= 1500 {
        cursor.limit(usize::from(kind));
        return Ok(Layer::Llc);
    }
    Ok(Layer::Type(kind))
}

/// IEEE 802.2 with SNAP.
pub(super) fn llc(cursor: &mut Cursor<'_>) -> Step {
    match cursor.bytes {
        [0xaa, 0xaa, 0x03, _, _, _, t0, t1, ..] => {
            let kind = u16::from_be_bytes([*t0, *t1]);
            cursor.take(8);
            Ok(Layer::Type(kind))
        }
        [0x06, 0x06, 0x03, ..] => {
            cursor.take(3);
            Ok(Layer::Type(0x0800))
        }
        [] | [_] | [_, _] => Err(Unread::CutLink),
        _ => Err(Unread::NotIp),
    }
}

/// PPP (RFC 1661, RFC 1662): address and control may be left out, the protocol may be one byte.
pub(super) fn ppp(cursor: &mut Cursor<'_>) -> Step {
    if cursor.bytes.starts_with(&[0xff, 0x03]) {
        cursor.take(2);
    }
    let first = cursor.peek().ok_or(Unread::CutLink)?;
    let protocol = if first & 1 == 1 {
        cursor.take(1);
        u16::from(first)
    } else {
        u16::from_be_bytes(*cursor.array().ok_or(Unread::CutLink)?)
    };
    match protocol {
        0x0021 => Ok(Layer::Type(0x0800)),
        0x0057 => Ok(Layer::Type(0x86dd)),
        0x0281 => Ok(Layer::Type(0x8847)),
        0x002d | 0x002f | 0x00fd => Err(Unread::Compressed),
        _ => Err(Unread::NotIp),
    }
}

/// PPPoE session (RFC 2516).
pub(super) fn pppoe(cursor: &mut Cursor<'_>, around: &mut Around) -> Step {
    let header: &[u8; 6] = cursor.array().ok_or(Unread::CutLink)?;
    around.enter(scope::PPPOE, u32::from(be16(header, 2)));
    cursor.limit(usize::from(be16(header, 4)));
    Ok(Layer::Ppp)
}

/// MPLS label stack (RFC 3032). What it carries is not said: the first nibble tells IP, zero is the
/// control word of a pseudowire (RFC 4385). Labels differ by direction and do not count for the scope.
pub(super) fn mpls(cursor: &mut Cursor<'_>) -> Step {
    loop {
        let label: &[u8; 4] = cursor.array().ok_or(Unread::CutLink)?;
        if be32(label, 0) & 0x100 != 0 {
            break;
        }
    }
    match cursor.peek().map(|byte| byte >> 4) {
        Some(4) => Ok(Layer::Type(0x0800)),
        Some(6) => Ok(Layer::Type(0x86dd)),
        Some(0) => cursor.take(4).map(|_| Layer::Ethernet).ok_or(Unread::CutLink),
        Some(_) => Ok(Layer::Ethernet),
        None => Err(Unread::CutLink),
    }
}

/// An IEEE 802.11 data frame that is not encrypted.
pub(super) fn ieee80211(cursor: &mut Cursor<'_>, around: &mut Around) -> Step {
    const DATA: u8 = 0x08;
    let (kind, flags) = match cursor.bytes {
        [kind, flags, ..] => (*kind, *flags),
        _ => return Err(Unread::CutLink),
    };
    if kind & 0x0c != DATA || kind & 0x40 != 0 {
        return Err(Unread::NotIp);
    }
    let (quality, order) = (kind & 0x80 != 0, flags & 0x80 != 0);
    let both = flags & 0x03 == 0x03;
    let len = 24 + 6 * usize::from(both) + 2 * usize::from(quality) + 4 * usize::from(quality && order);
    let header = cursor.take(len).ok_or(Unread::CutLink)?;
    if flags & 0x40 != 0 {
        return Err(Unread::EncryptedLink);
    }
    if around.padded {
        cursor
            .take(len.next_multiple_of(4) - len)
            .ok_or(Unread::CutLink)?;
    }
    if quality
        && header
            .get(24 + 6 * usize::from(both))
            .is_some_and(|control| control & 0x80 != 0)
    {
        return Err(Unread::Aggregate);
    }
    let address = |at: usize| {
        header
            .get(at..)
            .and_then(|rest| rest.first_chunk::<6>())
            .copied()
            .unwrap_or_default()
    };
    around.mac = Some(match flags & 0x03 {
        0 => (address(10), address(4)),
        1 => (address(10), address(16)),
        2 => (address(16), address(4)),
        _ => (address(24), address(16)),
    });
    Ok(Layer::Llc)
}

fn sll(cursor: &mut Cursor<'_>) -> Step {
    let header: &[u8; 16] = cursor.array().ok_or(Unread::CutLink)?;
    cooked(be16(header, 2), be16(header, 14))
}

fn sll2(cursor: &mut Cursor<'_>, around: &mut Around) -> Step {
    let header: &[u8; 20] = cursor.array().ok_or(Unread::CutLink)?;
    around.interface = be32(header, 4);
    cooked(be16(header, 8), be16(header, 0))
}

/// What a Linux "cooked" header carries, by ARPHRD_ type and protocol.
fn cooked(hardware: u16, protocol: u16) -> Step {
    match (hardware, protocol) {
        (803, _) => Err(Unread::NotIp),
        (_, 0x0001) => Err(Unread::NotIp),
        (_, 0x0004) => Ok(Layer::Llc),
        (_, kind) => Ok(Layer::Type(kind)),
    }
}

/// NULL and LOOP: an address family in the byte order of whoever captured, which differs by system.
fn null(cursor: &mut Cursor<'_>) -> Step {
    let family: [u8; 4] = *cursor.array().ok_or(Unread::CutLink)?;
    let family = match u32::from_be_bytes(family) {
        big if big < 0x1_0000 => big,
        _ => u32::from_le_bytes(family),
    };
    match family {
        2 => Ok(Layer::Type(0x0800)),
        10 | 23 | 24 | 28 | 30 => Ok(Layer::Type(0x86dd)),
        _ => Err(Unread::NotIp),
    }
}

fn cisco_hdlc(cursor: &mut Cursor<'_>) -> Step {
    let [_, _, t0, t1]: [u8; 4] = *cursor.array().ok_or(Unread::CutLink)?;
    Ok(Layer::Type(u16::from_be_bytes([t0, t1])))
}

/// What a receiver says of a frame, whose flags may tell that the frame's header is padded
/// (radiotap.org/fields/Flags).
fn radiotap(cursor: &mut Cursor<'_>, around: &mut Around) -> Step {
    const TSFT: u8 = 1;
    const FLAGS: u8 = 2;
    const PADDED: u8 = 0x20;
    let header = little_endian_header(cursor)?;
    // The highest bit of a word of what is present says that another follows.
    let mut words = header.get(4..).unwrap_or_default().chunks_exact(4);
    let last = words.position(|word| word.last().is_some_and(|byte| byte & 0x80 == 0));
    let fields = 4 + 4 * (last.unwrap_or(0) + 1);
    let present = header.get(4).copied().unwrap_or(0);
    let flags = match present & TSFT {
        0 => fields,
        _ => fields.next_multiple_of(8) + 8,
    };
    around.padded = present & FLAGS != 0 && header.get(flags).is_some_and(|flags| flags & PADDED != 0);
    Ok(Layer::Ieee80211)
}

/// A header whose length is the little-endian number in its bytes 2 and 3.
fn little_endian_header<'a>(cursor: &mut Cursor<'a>) -> Result<&'a [u8], Unread> {
    let len = match cursor.bytes {
        [_, _, l0, l1, ..] => u16::from_le_bytes([*l0, *l1]),
        _ => return Err(Unread::CutLink),
    };
    cursor.take(usize::from(len)).ok_or(Unread::CutLink)
}

fn prism(cursor: &mut Cursor<'_>) -> Step {
    let len = match cursor.bytes {
        [_, _, _, _, rest @ ..] => rest
            .first_chunk()
            .map(|len| u32::from_le_bytes(*len))
            .ok_or(Unread::CutLink)?,
        _ => return Err(Unread::CutLink),
    };
    // The same link type may carry an AVS header, big-endian.
    if be32(cursor.bytes, 0) & 0xffff_f000 == 0x8021_1000 {
        return avs(cursor);
    }
    cursor
        .take(usize::try_from(len).unwrap_or(usize::MAX))
        .map(|_| Layer::Ieee80211)
        .ok_or(Unread::CutLink)
}

fn avs(cursor: &mut Cursor<'_>) -> Step {
    let len = be32(cursor.bytes, 4);
    cursor
        .take(usize::try_from(len).unwrap_or(usize::MAX))
        .map(|_| Layer::Ieee80211)
        .ok_or(Unread::CutLink)
}

/// PPI: a header of its own length, and the DLT of what follows, both little-endian.
fn ppi(cursor: &mut Cursor<'_>) -> Step {
    let inner = match cursor.bytes {
        [_, _, _, _, rest @ ..] => rest
            .first_chunk()
            .map(|dlt| u32::from_le_bytes(*dlt))
            .ok_or(Unread::CutLink)?,
        _ => return Err(Unread::CutLink),
    };
    little_endian_header(cursor)?;
    match inner {
        1 => Ok(Layer::Ethernet),
        105 => Ok(Layer::Ieee80211),
        12 | 101 => Ok(Layer::Ip),
        other => Err(Unread::LinkType(other)),
    }
}
