//! IP headers of both versions, and what may stand between them and what they carry.
//!
//! etherparse reads the fields. How far the packet goes is told by the cursor: lengths of zero (segmentation offload,
//! jumbograms) and packets that the snaplen cut must not be errors.

use std::net::{IpAddr, Ipv4Addr};

use etherparse::err::{ipv4, ipv6};
use etherparse::{
    IpAuthHeaderSlice, IpNumber, Ipv4HeaderSlice, Ipv6FragmentHeaderSlice, Ipv6HeaderSlice,
    Ipv6RawExtHeaderSlice, ip_number,
};

use super::cursor::Cursor;
use super::link::Layer;
use super::unread::Unread;

/// An IP header as the TCP segment needs it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ip {
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    /// Identification of an IPv4 header.
    pub(super) id: u16,
    pub(super) ttl: u8,
    /// What it carries.
    pub(super) protocol: u8,
    /// Where it carries only a part of that.
    pub(super) part: Option<Part>,
}

/// A fragment's place in its datagram.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part {
    pub(super) id: u32,
    pub(super) offset: usize,
    pub(super) more: bool,
}

impl Default for Ip {
    fn default() -> Self {
        let nobody = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        Self {
            source: nobody,
            destination: nobody,
            id: 0,
            ttl: 0,
            protocol: 0,
            part: None,
        }
    }
}

/// The most that one packet holds where segments are put together: Linux stops at 512 KiB (BIG TCP).
const LARGEST_OFFLOADED: usize = 1 << 20;

/// Of a header that does not say how long its packet is: all the rest of the frame, as segmentation offload leaves it.
fn offloaded(cursor: &Cursor<'_>) -> Result<(), Unread> {
    if cursor.wire > LARGEST_OFFLOADED {
        return Err(Unread::BadIp);
    }
    Ok(())
}

/// RFC 791, section 3.1; an authentication header may follow.
pub(super) fn v4(cursor: &mut Cursor<'_>, ip: &mut Ip) -> Result<Layer, Unread> {
    let short = short(cursor);
    let header = Ipv4HeaderSlice::from_slice(cursor.bytes).map_err(|error| match error {
        ipv4::HeaderSliceError::Len(_) => short,
        ipv4::HeaderSliceError::Content(_) => Unread::BadIp,
    })?;
    let header_len = header.slice().len();
    cursor.take(header_len);
    match usize::from(header.total_len()).checked_sub(header_len) {
        Some(len) => cursor.limit(len),
        None => offloaded(cursor)?,
    }
    let part = header.is_fragmenting_payload().then(|| Part {
        id: u32::from(header.identification()),
        offset: usize::from(header.fragments_offset().value()) * 8,
        more: header.more_fragments(),
    });
    *ip = Ip {
        source: header.source_addr().into(),
        destination: header.destination_addr().into(),
        id: header.identification(),
        ttl: header.ttl(),
        protocol: header.protocol().0,
        part,
    };
    if ip.protocol == ip_number::AUTH.0 && ip.part.is_none() {
        authentication(cursor, ip)?;
    }
    Ok(Layer::Carried)
}

/// RFC 8200, sections 3 and 4.
pub(super) fn v6(cursor: &mut Cursor<'_>, ip: &mut Ip) -> Result<Layer, Unread> {
    let header = Ipv6HeaderSlice::from_slice(cursor.bytes).map_err(|error| match error {
        ipv6::HeaderSliceError::Len(_) => short(cursor),
        ipv6::HeaderSliceError::Content(_) => Unread::BadIp,
    })?;
    cursor.take(header.slice().len());
    match usize::from(header.payload_length()) {
        0 => offloaded(cursor)?,
        len => cursor.limit(len),
    }
    *ip = Ip {
        source: header.source_addr().into(),
        destination: header.destination_addr().into(),
        id: 0,
        ttl: header.hop_limit(),
        protocol: header.next_header().0,
        part: None,
    };
    if ip.protocol != ip_number::TCP.0 {
        extensions(cursor, ip)?;
    }
    Ok(Layer::Carried)
}

/// What stands in front of the payload, up to a fragment header that fragments: all behind that belongs to the whole.
pub(super) fn extensions(cursor: &mut Cursor<'_>, ip: &mut Ip) -> Result<(), Unread> {
    let mut first = true;
    while ip.part.is_none() {
        match IpNumber(ip.protocol) {
            ip_number::IPV6_HOP_BY_HOP if !first => return Err(short(cursor)),
            ip_number::IPV6_HOP_BY_HOP | ip_number::IPV6_ROUTE | ip_number::IPV6_DEST_OPTIONS => {
                let header = Ipv6RawExtHeaderSlice::from_slice(cursor.bytes).map_err(|_| short(cursor))?;
                cursor.take(header.slice().len());
                ip.protocol = header.next_header().0;
            }
            ip_number::AUTH => authentication(cursor, ip)?,
            ip_number::IPV6_FRAG => {
                let header = Ipv6FragmentHeaderSlice::from_slice(cursor.bytes).map_err(|_| short(cursor))?;
                cursor.take(header.slice().len());
                ip.protocol = header.next_header().0;
                ip.part = header.is_fragmenting_payload().then(|| Part {
                    id: header.identification(),
                    offset: usize::from(header.fragment_offset().value()) * 8,
                    more: header.more_fragments(),
                });
            }
            _ => break,
        }
        first = false;
    }
    Ok(())
}

/// RFC 4302.
pub(super) fn authentication(cursor: &mut Cursor<'_>, ip: &mut Ip) -> Result<(), Unread> {
    let header = IpAuthHeaderSlice::from_slice(cursor.bytes).map_err(|_| short(cursor))?;
    cursor.take(header.slice().len());
    ip.protocol = header.next_header().0;
    Ok(())
}

/// Why an IP header has less bytes than it should.
fn short(cursor: &Cursor<'_>) -> Unread {
    if cursor.cut() {
        Unread::CutIp
    } else {
        Unread::BadIp
    }
}

#[cfg(test)]
mod tests {
    use etherparse::{LaxIpPayloadSlice, LaxIpv4Slice, LaxIpv6Slice};
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;

    type Read = Option<(Ip, Vec<u8>)>;

    fn ours(bytes: &[u8], read: fn(&mut Cursor<'_>, &mut Ip) -> Result<Layer, Unread>) -> Read {
        let (wire, mut ip) = (bytes.len(), Ip::default());
        let mut cursor = Cursor { bytes, wire };
        read(&mut cursor, &mut ip).ok()?;
        Some((ip, cursor.bytes.to_vec()))
    }

    /// etherparse goes on behind a fragment header, into what only the whole datagram has.
    fn same(ours: &Read, theirs: Option<(IpAddr, IpAddr, u8, bool, &[u8])>) {
        if ours.as_ref().is_some_and(|(ip, _)| ip.part.is_some()) {
            assert!(theirs.is_none_or(|(_, _, _, fragmented, _)| fragmented));
            return;
        }
        let ours = ours.as_ref().map(|(ip, payload)| {
            (
                ip.source,
                ip.destination,
                ip.protocol,
                ip.part.is_some(),
                payload.as_slice(),
            )
        });
        assert_eq!(ours, theirs);
    }

    fn theirs<'a>(
        source: impl Into<IpAddr>,
        destination: impl Into<IpAddr>,
        payload: &LaxIpPayloadSlice<'a>,
    ) -> (IpAddr, IpAddr, u8, bool, &'a [u8]) {
        let protocol = payload.ip_number.0;
        (
            source.into(),
            destination.into(),
            protocol,
            payload.fragmented,
            payload.payload,
        )
    }

    fn set(packet: &mut [u8], fields: impl IntoIterator<Item = (usize, u8)>) {
        for (at, value) in fields {
            if let Some(byte) = packet.get_mut(at) {
                *byte = value;
            }
        }
    }

    /// Bytes in which lengths and protocols are mostly small enough to mean something.
    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        vec(
            prop_oneof![select(&[0, 1, 2, 6, 44, 51, 60][..]), any::<u8>()],
            0..120,
        )
    }

    proptest! {
        #[test]
        fn v4_reads_what_etherparse_reads_laxly(
            mut packet in bytes(),
            first in select(&[0x45, 0x46, 0x4f, 0x44, 0x65][..]),
            protocol in select(&[6, 17, 51][..]),
            len in 0..130_u8,
            whole in any::<bool>(),
        ) {
            set(&mut packet, [(0, first), (2, 0), (3, len), (9, protocol)]);
            if whole {
                set(&mut packet, [(6, 0), (7, 0)]);
            }
            let read = LaxIpv4Slice::from_slice(&packet).ok().filter(|(_, error)| error.is_none());
            same(&ours(&packet, v4), read.as_ref().map(|(slice, _)| {
                let header = slice.header();
                theirs(header.source_addr(), header.destination_addr(), slice.payload())
            }));
        }

        #[test]
        fn v6_reads_what_etherparse_reads_laxly(
            mut packet in bytes(),
            first in select(&[0x60, 0x60, 0x60, 0x45][..]),
            next in select(&[0, 6, 17, 43, 44, 51, 60][..]),
            len in 0..90_u8,
        ) {
            set(&mut packet, [(0, first), (4, 0), (5, len), (6, next)]);
            let read = LaxIpv6Slice::from_slice(&packet).ok().filter(|(_, error)| error.is_none());
            same(&ours(&packet, v6), read.as_ref().map(|(slice, _)| {
                let header = slice.header();
                theirs(header.source_addr(), header.destination_addr(), slice.payload())
            }));
        }
    }
}
