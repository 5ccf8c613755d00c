//! Whom a proxy speaks for: the header of HAProxy's PROXY protocol, version 1 and 2.
//!
//! The crate that reads it (ppp) brings its builders, and a second thiserror, for what is twenty lines here.

use std::net::{IpAddr, SocketAddr};

use crate::time::Timestamp;

/// Start of a header of version 2.
pub(crate) const VERSION_2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// What a PROXY header says ("The PROXY protocol", sections 2.1 and 2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proxied {
    /// Time of its first byte.
    pub time: Timestamp,
    /// 1 or 2.
    pub version: u8,
    /// Client and server of the connection that the proxy passes on; `None` where it names none: `UNKNOWN`, `LOCAL`
    /// (its own health check), or no TCP over IP.
    pub peers: Option<[SocketAddr; 2]>,
}

impl Proxied {
    /// Reads a whole header; `None` of what is none.
    pub(crate) fn read(time: Timestamp, header: &[u8]) -> Option<Self> {
        let (version, peers) = match header.strip_prefix(VERSION_2) {
            Some(rest) => (2, binary(rest)),
            None => (1, text(header.strip_prefix(b"PROXY ")?)),
        };
        Some(Self { time, version, peers })
    }
}

/// `TCP4 192.0.2.7 198.51.100.1 40000 25`.
fn text(rest: &[u8]) -> Option<[SocketAddr; 2]> {
    let mut words = std::str::from_utf8(rest).ok()?.split_ascii_whitespace();
    let ("TCP4" | "TCP6") = words.next()? else {
        return None;
    };
    let mut address = || words.next()?.parse::<IpAddr>().ok();
    let (client, server) = (address()?, address()?);
    let mut port = || words.next()?.parse().ok();
    Some([(client, port()?).into(), (server, port()?).into()])
}

/// What follows the signature: version and command, family and transport, length, addresses, ports, more.
fn binary(rest: &[u8]) -> Option<[SocketAddr; 2]> {
    const PROXY: u8 = 0x21;
    let (&[PROXY, family, _, _], addresses) = rest.split_first_chunk()? else {
        return None;
    };
    match family {
        0x11 => peers::<4, 8>(addresses),
        0x21 => peers::<16, 32>(addresses),
        _ => None,
    }
}

/// Two addresses of `N` bytes, two ports.
fn peers<const N: usize, const BOTH: usize>(bytes: &[u8]) -> Option<[SocketAddr; 2]>
where
    IpAddr: From<[u8; N]>,
{
    let (addresses, ports) = bytes.split_at_checked(BOTH)?;
    let (client, server) = addresses.split_at_checked(N)?;
    let address = |bytes: &[u8]| <[u8; N]>::try_from(bytes).ok().map(IpAddr::from);
    let &[a, b, c, d] = ports.first_chunk()?;
    Some([
        (address(client)?, u16::from_be_bytes([a, b])).into(),
        (address(server)?, u16::from_be_bytes([c, d])).into(),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(header: &[u8]) -> Option<String> {
        let proxied = Proxied::read(Timestamp::default(), header)?;
        let peers = proxied
            .peers
            .map(|[client, server]| format!(" {client} {server}"));
        Some(format!("{}{}", proxied.version, peers.unwrap_or_default()))
    }

    fn binary(rest: &[u8]) -> Option<String> {
        said(&[VERSION_2, rest].concat())
    }

    #[test]
    fn both_versions_name_client_and_server() {
        let text = b"PROXY TCP4 192.0.2.7 198.51.100.1 40000 25\r\n";
        assert_eq!(said(text).unwrap(), "1 192.0.2.7:40000 198.51.100.1:25");
        let text = b"PROXY TCP6 2001:db8::7 2001:db8::1 40000 25\r\n";
        assert_eq!(said(text).unwrap(), "1 [2001:db8::7]:40000 [2001:db8::1]:25");
        let v4 = b"\x21\x11\0\x0f\xc0\0\x02\x07\xc6\x33\x64\x01\x9c\x40\0\x19\x04\0\0";
        assert_eq!(binary(v4).unwrap(), "2 192.0.2.7:40000 198.51.100.1:25");
        let net = b"\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0";
        let v6 = [
            &b"\x21\x21\0\x24"[..],
            net,
            b"\x07",
            net,
            b"\x01",
            b"\x9c\x40\0\x19",
        ]
        .concat();
        assert_eq!(binary(&v6).unwrap(), "2 [2001:db8::7]:40000 [2001:db8::1]:25");
    }

    #[test]
    fn a_proxy_may_name_nobody_or_lie_about_lengths() {
        assert_eq!(binary(b"\x20\0\0\0").unwrap(), "2", "its own health check");
        assert_eq!(
            binary(b"\x21\x31\0\xd8/tmp/sock").unwrap(),
            "2",
            "of a socket of files"
        );
        assert_eq!(binary(b"\x21\x11\0\x05\x0a\0\0\x01\x0a").unwrap(), "2");
        assert_eq!(binary(b"\x21").unwrap(), "2");
        assert_eq!(said(b"PROXY UNKNOWN ::1 ::2 1 2\r\n").unwrap(), "1");
        assert_eq!(said(b"PROXY TCP4 192.0.2.7 mx 40000 99999\r\n").unwrap(), "1");
        assert_eq!(said(b"EHLO mx\r\n"), None);
    }
}
