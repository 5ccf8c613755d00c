//! Numbers and addresses as text, without `fmt`: names and indexes have dozens of them for each connection.

use std::io::Write;
use std::net::IpAddr;

use crate::decode::Endpoint;
use crate::event::Connection;

/// Appends a number.
pub fn push_number(number: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Appends an address as `Display` has it.
pub fn push_address(address: IpAddr, out: &mut Vec<u8>) {
    match address {
        IpAddr::V4(address) => {
            let [first, rest @ ..] = address.octets();
            push_octet(first, out);
            for octet in rest {
                out.push(b'.');
                push_octet(octet, out);
            }
        }
        IpAddr::V6(address) => {
            // Writing to a vector can't fail.
            let _ = write!(out, "{address}");
        }
    }
}

/// Appends an address and a port: `192.0.2.1:25`, `[2001:db8::1]:25`.
pub fn push_endpoint(Endpoint { address, port }: Endpoint, out: &mut Vec<u8>) {
    if address.is_ipv4() {
        push_address(address, out);
    } else {
        out.push(b'[');
        push_address(address, out);
        out.push(b']');
    }
    out.push(b':');
    push_number(port.into(), out);
}

/// Appends what tells a connection from all others, of other runs, too.
pub fn push_uid(connection: &Connection, out: &mut Vec<u8>) {
    let nanos = connection.first_time.nanos().cast_unsigned();
    let zeros = (nanos.leading_zeros() / 4).min(15) as usize;
    let digits = [hex_u32((nanos >> 32) as u32), hex_u32(nanos as u32)];
    out.push(b'C');
    out.extend_from_slice(digits.as_flattened().get(zeros..).unwrap_or_default());
    out.push(b'.');
    push_number(connection.id, out);
}

/// Two digits.
#[inline]
pub const fn hex_u8(byte: u8) -> [u8; 2] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    const PAIRS: [[u8; 2]; 256] = {
        let mut pairs = [[0; 2]; 256];
        let mut byte = 0;
        while byte < pairs.len() {
            pairs[byte] = [DIGITS[byte >> 4], DIGITS[byte & 15]];
            byte += 1;
        }
        pairs
    };
    PAIRS[byte as usize]
}

/// Eight digits, a byte each, all at once.
#[inline]
pub fn hex_u32(number: u32) -> [u8; 8] {
    let mut each = u64::from(number);
    each = (each | each << 16) & 0x0000_ffff_0000_ffff;
    each = (each | each << 8) & 0x00ff_00ff_00ff_00ff;
    each = (each | each << 4) & 0x0f0f_0f0f_0f0f_0f0f;
    let letters = (each + 0x0606_0606_0606_0606) >> 4 & 0x0101_0101_0101_0101;
    (each + 0x3030_3030_3030_3030 + letters * u64::from(b'a' - b'0' - 10)).to_be_bytes()
}

fn push_octet(octet: u8, out: &mut Vec<u8>) {
    if octet >= 100 {
        out.push(b'0' + octet / 100);
    }
    if octet >= 10 {
        out.push(b'0' + octet / 10 % 10);
    }
    out.push(b'0' + octet % 10);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::Scope;
    use crate::event::ClientKnown;
    use crate::time::Timestamp;

    #[test]
    fn a_uid_is_the_first_time_as_hex_and_the_number() {
        let nobody = Endpoint {
            address: "::".parse().unwrap(),
            port: 0,
        };
        for nanos in [0, 15, 16, 1_795_225_103_120_345_000, i64::MAX, -1] {
            let connection = Connection {
                id: 12,
                slot: 0,
                client: nobody,
                server: nobody,
                client_known: ClientKnown::Syn,
                first_time: Timestamp::from_nanos(nanos),
                scope: Scope::default(),
                vlan: None,
                mac: None,
            };
            let mut out = Vec::new();
            push_uid(&connection, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), format!("C{nanos:x}.12"));
        }
    }

    #[test]
    fn addresses_are_as_display_has_them() {
        for text in [
            "0.0.0.9",
            "10.77.100.255",
            "::",
            "2001:db8::1",
            "::ffff:192.0.2.1",
        ] {
            let address = text.parse().unwrap();
            let mut out = Vec::new();
            push_address(address, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), text);
            let mut out = Vec::new();
            push_endpoint(Endpoint { address, port: 4190 }, &mut out);
            let display = std::net::SocketAddr::new(address, 4190).to_string();
            assert_eq!(String::from_utf8(out).unwrap(), display);
        }
    }
}
