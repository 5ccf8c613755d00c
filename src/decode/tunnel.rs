//! Tunnels inside IP: GRE, and those that ride on UDP.

use super::cursor::{Around, Cursor, be16, be24, be32};
use super::link::{Layer, scope};
use super::unread::Unread;

type Step = Result<Layer, Unread>;

/// GRE (RFC 2784, RFC 2890), PPTP's (RFC 2637) and ERSPAN.
pub(super) fn gre(cursor: &mut Cursor<'_>, around: &mut Around) -> Step {
    let header: &[u8; 4] = cursor.array().ok_or(Unread::CutLink)?;
    let (flags, protocol) = (be16(header, 0), be16(header, 2));
    let has = |mask: u16| flags & mask != 0;
    let mut word = |present: bool| {
        if present {
            cursor.array::<4>().map(Some).ok_or(Unread::CutLink)
        } else {
            Ok(None)
        }
    };
    match flags & 0x0007 {
        0 => {
            if has(0x4000) {
                return Err(Unread::NotIp);
            }
            word(has(0x8000))?;
            let key = word(has(0x2000))?.map_or(0, |key| be32(key, 0));
            let sequence = word(has(0x1000))?.is_some();
            match protocol {
                // ERSPAN I has no header, II has eight bytes behind a GRE sequence number.
                0x88be => {
                    let session = if sequence {
                        be16(cursor.array::<8>().ok_or(Unread::CutLink)?, 2) & 0x03ff
                    } else {
                        0
                    };
                    around.enter(scope::ERSPAN, u32::from(session));
                    Ok(Layer::Ethernet)
                }
                0x22eb => {
                    let header: &[u8; 12] = cursor.array().ok_or(Unread::CutLink)?;
                    around.enter(scope::ERSPAN, u32::from(be16(header, 2) & 0x03ff));
                    if be16(header, 10) & 1 == 1 {
                        cursor.array::<8>().ok_or(Unread::CutLink)?;
                    }
                    Ok(Layer::Ethernet)
                }
                kind => {
                    around.enter(scope::GRE, key);
                    Ok(Layer::Type(kind))
                }
            }
        }
        // The call number of PPTP differs by direction and does not count for the scope.
        1 => {
            word(true)?;
            word(has(0x1000))?;
            word(has(0x0080))?;
            around.enter(scope::GRE, 0);
            if protocol == 0x880b {
                Ok(Layer::Ppp)
            } else {
                Err(Unread::NotIp)
            }
        }
        _ => Err(Unread::NotIp),
    }
}

/// What UDP carries, if it is a tunnel by its well-known port.
pub(super) fn udp(cursor: &mut Cursor<'_>, around: &mut Around) -> Step {
    let header: &[u8; 8] = cursor.array().ok_or(Unread::CutLink)?;
    let (source, destination) = (be16(header, 0), be16(header, 2));
    match destination {
        4789 | 8472 => vxlan(cursor, around),
        6081 => geneve(cursor, around),
        2152 => gtp(cursor, around),
        3544 => teredo(cursor, around),
        _ if source == 3544 => teredo(cursor, around),
        _ => Err(Unread::NotTcp),
    }
}

/// RFC 7348.
fn vxlan(cursor: &mut Cursor<'_>, around: &mut Around) -> Step {
    let header: &[u8; 8] = cursor.array().ok_or(Unread::CutLink)?;
    if header.first().is_none_or(|flags| flags & 0x08 == 0) {
        return Err(Unread::NotTcp);
    }
    around.enter(scope::VXLAN, be24(header, 4));
    Ok(Layer::Ethernet)
}

/// RFC 8926.
fn geneve(cursor: &mut Cursor<'_>, around: &mut Around) -> Step {
    let header: &[u8; 8] = cursor.array().ok_or(Unread::CutLink)?;
    let [first, ..] = header;
    if first >> 6 != 0 {
        return Err(Unread::NotTcp);
    }
    cursor
        .take(usize::from(first & 0x3f) * 4)
        .ok_or(Unread::CutLink)?;
    around.enter(scope::GENEVE, be24(header, 4));
    match be16(header, 2) {
        0x6558 => Ok(Layer::Ethernet),
        kind => Ok(Layer::Type(kind)),
    }
}

/// 3GPP TS 29.281. Tunnel numbers differ by direction and do not count for the scope.
fn gtp(cursor: &mut Cursor<'_>, around: &mut Around) -> Step {
    let [flags, kind, ..]: [u8; 8] = *cursor.array().ok_or(Unread::CutLink)?;
    if flags >> 5 != 1 || kind != 0xff {
        return Err(Unread::NotTcp);
    }
    if flags & 0x07 != 0 {
        let [_, _, _, mut next]: [u8; 4] = *cursor.array().ok_or(Unread::CutLink)?;
        while flags & 0x04 != 0 && next != 0 {
            let words = cursor.peek().filter(|words| *words > 0).ok_or(Unread::NotTcp)?;
            let extension = cursor.take(usize::from(words) * 4).ok_or(Unread::CutLink)?;
            next = extension.last().copied().unwrap_or(0);
        }
    }
    around.enter(scope::GTP, 0);
    match cursor.peek().map(|byte| byte >> 4) {
        Some(4 | 6) => Ok(Layer::Ip),
        _ => Err(Unread::NotTcp),
    }
}

/// RFC 4380: authentication and origin headers may stand in front of the IPv6 packet.
fn teredo(cursor: &mut Cursor<'_>, around: &mut Around) -> Step {
    if let [0, 1, client, authentication, ..] = cursor.bytes {
        cursor
            .take(13 + usize::from(*client) + usize::from(*authentication))
            .ok_or(Unread::CutLink)?;
    }
    if cursor.bytes.starts_with(&[0, 0]) {
        cursor.take(8).ok_or(Unread::CutLink)?;
    }
    if cursor.peek().is_none_or(|byte| byte >> 4 != 6) {
        return Err(Unread::NotTcp);
    }
    around.enter(scope::TEREDO, 0);
    Ok(Layer::Type(0x86dd))
}
