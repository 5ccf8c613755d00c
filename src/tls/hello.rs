//! Reads the two hellos and the server's key exchange.
//!
//! Messages are parsed by tls-parser, extensions one by one: a malformed one must not hide those behind it.

use tls_parser::{
    TlsExtension, TlsMessageHandshake, parse_tls_client_hello_extension, parse_tls_handshake_client_hello,
    parse_tls_handshake_msg_server_hello, parse_tls_server_hello_extension,
};

use super::event::{ClientHello, ServerHello};
use super::names::{
    cipher_encrypts, cipher_name, group_is_post_quantum, group_name, is_grease, is_tls13, listed,
};

/// What a ServerHello says when it is a HelloRetryRequest: SHA-256 of that word (RFC 8446, section 4.1.3).
const RETRY: [u8; 32] = [
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2,
    0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
];

/// What of the client's offer is needed to understand the server's answer.
#[derive(Default)]
pub(super) struct Offer {
    pub(super) session_id: Vec<u8>,
    pub(super) ticket: bool,
    pub(super) early_data: bool,
}

/// A ClientHello without its handshake header. `None` if it can't be read.
pub(super) fn client_hello(body: &[u8]) -> Option<(ClientHello, Offer)> {
    let (_, hello) = parse_tls_handshake_client_hello(body).ok()?;
    let session_id = hello.session_id.unwrap_or_default();
    let mut seen = ClientHello {
        cipher_count: hello.ciphers.iter().filter(|cipher| !is_grease(cipher.0)).count(),
        ..ClientHello::default()
    };
    let mut offer = Offer {
        session_id: session_id.to_vec(),
        ..Offer::default()
    };
    for extension in extensions(hello.ext.unwrap_or_default()) {
        let Ok((_, extension)) = parse_tls_client_hello_extension(extension) else {
            continue;
        };
        match extension {
            TlsExtension::SNI(names) => {
                let host = names.iter().find(|(kind, _)| kind.0 == 0);
                seen.sni = host.map(|(_, name)| text(name));
            }
            TlsExtension::SupportedVersions(versions) => {
                seen.versions = versions
                    .iter()
                    .map(|version| version.0)
                    .filter(|&v| !is_grease(v))
                    .collect();
            }
            TlsExtension::ALPN(names) => {
                let names = names.iter().filter(|name| !is_grease_name(name));
                seen.alpn = listed(names.map(|name| text(name)));
            }
            TlsExtension::EllipticCurves(groups) => {
                let groups = || {
                    groups
                        .iter()
                        .map(|group| group.0)
                        .filter(|&group| !is_grease(group))
                };
                seen.groups = listed(groups().map(|group| group_name(group).into_owned()));
                seen.post_quantum = groups().any(group_is_post_quantum);
            }
            TlsExtension::SessionTicket(ticket) => offer.ticket = !ticket.is_empty(),
            TlsExtension::PreSharedKey(_) => seen.resumption_offered = true,
            TlsExtension::EarlyData(_) => offer.early_data = true,
            _ => {}
        }
    }
    if seen.versions.is_empty() {
        seen.versions.push(hello.version.0);
    }
    // A client of TLS 1.3 sends a session id whether it has a session or not (RFC 8446, appendix D.4).
    let session = !session_id.is_empty() && !seen.versions.iter().any(|&version| is_tls13(version));
    seen.resumption_offered |= offer.ticket || session;
    Some((seen, offer))
}

/// A CLIENT-HELLO in SSL 2.0's format, from its message type on (RFC 5246, appendix E.2).
pub(super) fn ssl2_client_hello(body: &[u8]) -> Option<(ClientHello, Offer)> {
    let (&[1, v1, v2, c1, c2, s1, s2, _, _], rest) = body.split_first_chunk::<9>()? else {
        return None;
    };
    let (ciphers, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes([c1, c2])))?;
    let (session_id, _) = rest.split_at_checked(usize::from(u16::from_be_bytes([s1, s2])))?;
    let hello = ClientHello {
        versions: vec![u16::from_be_bytes([v1, v2])],
        cipher_count: ciphers.len() / 3,
        resumption_offered: !session_id.is_empty(),
        sslv2: true,
        ..ClientHello::default()
    };
    let offer = Offer {
        session_id: session_id.to_vec(),
        ..Offer::default()
    };
    Some((hello, offer))
}

/// A ServerHello without its handshake header. `offer` is the client's, where it was seen.
pub(super) fn server_hello(body: &[u8], offer: Option<&Offer>) -> Option<ServerHello> {
    let (_, message) = parse_tls_handshake_msg_server_hello(body).ok()?;
    let (version, random, session_id, cipher, ext) = match message {
        TlsMessageHandshake::ServerHello(hello) => (
            hello.version,
            hello.random,
            hello.session_id,
            hello.cipher,
            hello.ext,
        ),
        TlsMessageHandshake::ServerHelloV13Draft18(hello) => {
            (hello.version, hello.random, None, hello.cipher, hello.ext)
        }
        _ => return None,
    };
    let mut seen = ServerHello {
        version: version.0,
        cipher: cipher.0,
        cipher_name: cipher_name(cipher.0).into_owned(),
        retry: random == RETRY,
        encrypts: cipher_encrypts(cipher.0),
        ..ServerHello::default()
    };
    let mut psk = false;
    for extension in extensions(ext.unwrap_or_default()) {
        let Ok((_, extension)) = parse_tls_server_hello_extension(extension) else {
            continue;
        };
        match extension {
            TlsExtension::SupportedVersions(versions) => {
                seen.version = versions.first().map_or(seen.version, |version| version.0);
            }
            TlsExtension::ALPN(names) => seen.alpn = names.first().map(|name| text(name)),
            TlsExtension::KeyShare(share) | TlsExtension::KeyShareOld(share) => {
                seen.group = share
                    .first_chunk()
                    .map(|&group| group_name(u16::from_be_bytes(group)).into_owned());
            }
            TlsExtension::PreSharedKey(_) => psk = true,
            _ => {}
        }
    }
    seen.resumed = if seen.retry {
        None
    } else if is_tls13(seen.version) {
        Some(psk)
    } else {
        offer.and_then(|offer| resumed(offer, session_id.unwrap_or_default()))
    };
    Some(seen)
}

/// Whether a server of TLS 1.2 or earlier resumes: it repeats the client's session id (RFC 5246, section 7.4.1.3).
/// With a ticket and no session id the hello does not tell (RFC 5077, section 3.4).
fn resumed(offer: &Offer, session_id: &[u8]) -> Option<bool> {
    if !offer.session_id.is_empty() {
        Some(session_id == offer.session_id)
    } else if offer.ticket {
        None
    } else {
        Some(false)
    }
}

/// Name of the group in a ServerKeyExchange, where its parameters name one (RFC 8422, section 5.4).
/// Curves only: finite fields come with their primes.
pub(super) fn key_exchange_group(body: &[u8], cipher: u16) -> Option<String> {
    let ecdhe = cipher_name(cipher).contains("ECDH");
    match body {
        &[3, high, low, ..] if ecdhe => Some(group_name(u16::from_be_bytes([high, low])).into_owned()),
        _ => None,
    }
}

/// Each extension, its number and length included.
fn extensions(mut list: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (&[_, _, high, low], _) = list.split_first_chunk::<4>()?;
        let (extension, rest) = list.split_at_checked(4 + usize::from(u16::from_be_bytes([high, low])))?;
        list = rest;
        Some(extension)
    })
}

fn is_grease_name(name: &[u8]) -> bool {
    matches!(name, &[high, low] if is_grease(u16::from_be_bytes([high, low])))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
