//! What may stand in front of a session: PROXY (v1, v2), SOCKS (4, 4a, 5), HTTP CONNECT.
//!
//! XCLIENT and XFORWARD are commands of the session itself.

use std::ops::Range;

use crate::event::Direction;
use crate::mail::proxied::VERSION_2;

/// Longest message of one of these that is read; longer ones are none.
const MAX: usize = 1024;

/// What the bytes at hand are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Preambled {
    /// So many bytes of a preamble.
    Skip(usize),
    /// Too few to tell.
    More,
    /// None, or no longer.
    Over,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    None,
    Http,
    Socks4,
    Socks5,
}

/// Follows both directions through a preamble.
#[derive(Debug)]
pub(crate) struct Preamble {
    way: Way,
    /// Messages seen, by direction.
    seen: [u8; 2],
    /// SOCKS 5: the server wants a name and a password.
    login: bool,
}

impl Preamble {
    pub(crate) fn new() -> Self {
        Self {
            way: Way::None,
            seen: [0; 2],
            login: false,
        }
    }

    /// Looks at the next bytes of a direction.
    pub(crate) fn next(&mut self, direction: Direction, bytes: &[u8]) -> Preambled {
        let seen = self.seen.get(direction.index()).copied().unwrap_or_default();
        let result = match direction {
            Direction::ToServer => self.client(seen, bytes),
            Direction::ToClient => self.server(seen, bytes),
        };
        match result {
            Preambled::More if bytes.len() >= MAX => Preambled::Over,
            Preambled::Skip(n) if n > bytes.len() && n <= MAX => Preambled::More,
            Preambled::Skip(n) if n > MAX => Preambled::Over,
            Preambled::Skip(n) => {
                if let Some(seen) = self.seen.get_mut(direction.index()) {
                    *seen = seen.saturating_add(1);
                }
                Preambled::Skip(n)
            }
            other => other,
        }
    }

    fn client(&mut self, seen: u8, bytes: &[u8]) -> Preambled {
        if seen == 0 {
            self.way = match bytes {
                [4, 1 | 2, ..] => Way::Socks4,
                [5, 1..=16, ..] => Way::Socks5,
                [4 | 5] => return Preambled::More,
                _ if bytes.starts_with(b"CONNECT ") => Way::Http,
                _ if b"CONNECT ".starts_with(bytes) => return Preambled::More,
                _ if bytes.starts_with(b"PROXY ") => return up_to(bytes, b"\n"),
                _ if bytes.starts_with(VERSION_2) => {
                    return match bytes.get(14..16) {
                        Some([high, low]) => {
                            Preambled::Skip(16 + usize::from(u16::from_be_bytes([*high, *low])))
                        }
                        _ => Preambled::More,
                    };
                }
                _ if b"PROXY ".starts_with(bytes) || VERSION_2.starts_with(bytes) => return Preambled::More,
                _ => return Preambled::Over,
            };
        }
        match (self.way, seen, bytes) {
            (Way::Http, 0, _) => up_to(bytes, b"\r\n\r\n"),
            (Way::Socks4, 0, [_, _, _, _, 0, 0, 0, host, ..]) if *host != 0 => nul_ended(bytes, 2),
            (Way::Socks4, 0, _) => nul_ended(bytes, 1),
            (Way::Socks5, 0, [_, methods, ..]) => Preambled::Skip(2 + usize::from(*methods)),
            (Way::Socks5, 1, [1, ..]) if self.login => login(bytes),
            (Way::Socks5, 1, [5, ..]) => socks5_address(bytes),
            (Way::Socks5, 2, [5, ..]) if self.login => socks5_address(bytes),
            _ => Preambled::Over,
        }
    }

    fn server(&mut self, seen: u8, bytes: &[u8]) -> Preambled {
        match (self.way, seen, bytes) {
            (Way::Http, 0, _) if bytes.starts_with(b"HTTP/") => up_to(bytes, b"\r\n\r\n"),
            (Way::Http, 0, _) if b"HTTP/".starts_with(bytes) => Preambled::More,
            (Way::Socks4, 0, [0, ..]) => Preambled::Skip(8),
            (Way::Socks5, 0, [5, method]) | (Way::Socks5, 0, [5, method, ..]) => {
                self.login = *method == 2;
                Preambled::Skip(2)
            }
            (Way::Socks5, 0, [5]) => Preambled::More,
            (Way::Socks5, 1, [1, ..]) if self.login => Preambled::Skip(2),
            (Way::Socks5, 1, [5, ..]) => socks5_address(bytes),
            (Way::Socks5, 2, [5, ..]) if self.login => socks5_address(bytes),
            _ => Preambled::Over,
        }
    }
}

/// Where in a client's message a password stands.
pub(crate) fn secret_in(message: &[u8]) -> Range<usize> {
    const HEADER: &[u8] = b"Proxy-Authorization:";
    match message {
        // SOCKS 5's login is the only one that begins so.
        [1, name, ..] => (3 + usize::from(*name)).min(message.len())..message.len(),
        _ if message.starts_with(b"CONNECT ") => {
            let is_header = |window: &[u8]| window.eq_ignore_ascii_case(HEADER);
            let Some(header) = message.windows(HEADER.len()).position(is_header) else {
                return 0..0;
            };
            let start = header + HEADER.len();
            let line = message
                .get(start..)
                .and_then(|rest| rest.split(|byte| *byte == b'\r').next());
            start..start + line.map_or(0, <[u8]>::len)
        }
        _ => 0..0,
    }
}

fn up_to(bytes: &[u8], end: &[u8]) -> Preambled {
    match memchr::memmem::find(bytes, end) {
        Some(at) => Preambled::Skip(at + end.len()),
        None => Preambled::More,
    }
}

/// SOCKS 4: eight bytes and so many strings.
fn nul_ended(bytes: &[u8], strings: usize) -> Preambled {
    let nuls = bytes.iter().enumerate().skip(8).filter(|(_, byte)| **byte == 0);
    match nuls.map(|(at, _)| at).nth(strings - 1) {
        Some(at) => Preambled::Skip(at + 1),
        None => Preambled::More,
    }
}

/// RFC 1929, section 2.
fn login(bytes: &[u8]) -> Preambled {
    let name = bytes.get(1).copied().map(usize::from);
    let password = name
        .and_then(|name| bytes.get(2 + name))
        .copied()
        .map(usize::from);
    match (name, password) {
        (Some(name), Some(password)) => Preambled::Skip(3 + name + password),
        _ => Preambled::More,
    }
}

/// RFC 1928, sections 4 and 6: request and reply have the same shape.
fn socks5_address(bytes: &[u8]) -> Preambled {
    match bytes {
        [_, _, _, 1, ..] => Preambled::Skip(10),
        [_, _, _, 4, ..] => Preambled::Skip(22),
        [_, _, _, 3, len, ..] => Preambled::Skip(7 + usize::from(*len)),
        [_, _, _, 3] | [_] | [_, _] | [_, _, _] => Preambled::More,
        _ => Preambled::Over,
    }
}
