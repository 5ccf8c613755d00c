//! TLS made by hand: records, messages and hellos as bytes, and a conversation that feeds them to a watcher.

use flowdump::event::Direction::{self, ToClient, ToServer};
use flowdump::time::Timestamp;
use flowdump::tls::{Started, TlsEvent, TlsHow, TlsWatcher};

/// Some ciphertext: bytes that are no record headers.
pub fn noise(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 37 % 251) as u8 | 0x80).collect()
}

pub fn record(content_type: u8, payload: &[u8]) -> Vec<u8> {
    let [high, low] = (payload.len() as u16).to_be_bytes();
    [&[content_type, 3, 3, high, low], payload].concat()
}

pub fn message(number: u8, body: &[u8]) -> Vec<u8> {
    let [_, a, b, c] = (body.len() as u32).to_be_bytes();
    [&[number, a, b, c], body].concat()
}

pub fn handshake(number: u8, body: &[u8]) -> Vec<u8> {
    record(22, &message(number, body))
}

/// Application data; in TLS 1.3 also a Finished.
pub fn data(len: usize) -> Vec<u8> {
    record(23, &noise(len))
}

/// An encrypted Finished of TLS 1.2.
pub fn finished() -> Vec<u8> {
    record(22, &noise(40))
}

pub fn change_cipher_spec() -> Vec<u8> {
    record(20, &[1])
}

pub fn alert(level: u8, description: u8) -> Vec<u8> {
    record(21, &[level, description])
}

/// Behind its length in `width` bytes.
pub fn list(width: usize, content: &[u8]) -> Vec<u8> {
    let len = (content.len() as u32).to_be_bytes();
    [&len[4 - width..], content].concat()
}

pub fn numbers(numbers: &[u16]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_be_bytes()).collect()
}

pub fn extension(number: u16, content: &[u8]) -> Vec<u8> {
    [&number.to_be_bytes(), list(2, content).as_slice()].concat()
}

pub fn sni(name: &str) -> Vec<u8> {
    extension(0, &list(2, &[&[0], list(2, name.as_bytes()).as_slice()].concat()))
}

/// Body of a ClientHello of TLS 1.2.
pub fn client_hello(session_id: &[u8], ciphers: &[u16], extensions: &[Vec<u8>]) -> Vec<u8> {
    [
        vec![3, 3],
        vec![7; 32],
        list(1, session_id),
        list(2, &numbers(ciphers)),
        list(1, &[0]),
        list(2, &extensions.concat()),
    ]
    .concat()
}

/// Body of a ServerHello of TLS 1.2.
pub fn server_hello(random: &[u8; 32], session_id: &[u8], cipher: u16, extensions: &[Vec<u8>]) -> Vec<u8> {
    [
        vec![3, 3],
        random.to_vec(),
        list(1, session_id),
        numbers(&[cipher]),
        vec![0],
        list(2, &extensions.concat()),
    ]
    .concat()
}

/// supported_versions of a client, of a server.
pub fn versions(offered: &[u16]) -> Vec<u8> {
    extension(43, &list(1, &numbers(offered)))
}

pub fn version(chosen: u16) -> Vec<u8> {
    extension(43, &numbers(&[chosen]))
}

/// A plain hello of a client that offers TLS 1.3 and 1.2.
pub fn hello() -> Vec<u8> {
    handshake(
        1,
        &client_hello(&[], &[0x1301, 0xc02f], &[versions(&[0x0304, 0x0303])]),
    )
}

/// Its answer in TLS 1.2.
pub fn answer12() -> Vec<u8> {
    handshake(2, &server_hello(&[9; 32], &[], 0xc02f, &[]))
}

/// Its answer in TLS 1.3.
pub fn answer13() -> Vec<u8> {
    handshake(2, &server_hello(&[9; 32], &[], 0x1301, &[version(0x0304)]))
}

/// A HelloRetryRequest that asks for secp256r1.
pub fn retry() -> Vec<u8> {
    let random = [
        0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2,
        0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
    ];
    let group = extension(51, &numbers(&[23]));
    handshake(2, &server_hello(&random, &[], 0x1301, &[group, version(0x0304)]))
}

/// A watcher and what it told.
pub struct Talk {
    watcher: TlsWatcher,
    at: [u64; 2],
    pub events: Vec<TlsEvent>,
}

const NOW: Timestamp = Timestamp::from_nanos(1_800_000_000_000_000_000);

impl Talk {
    pub fn new(how: TlsHow) -> Self {
        let started = Started {
            time: NOW,
            how,
            offsets: [Some(0); 2],
        };
        Self {
            watcher: TlsWatcher::new(started),
            at: [0; 2],
            events: Vec::new(),
        }
    }

    pub fn starttls() -> Self {
        Self::new(TlsHow::Starttls)
    }

    pub fn says(mut self, direction: Direction, pieces: &[Vec<u8>]) -> Self {
        for bytes in pieces {
            let at = &mut self.at[direction.index()];
            self.watcher
                .data(direction, *at, NOW, bytes, &mut |event| self.events.push(event));
            *at += bytes.len() as u64;
        }
        self
    }

    pub fn client(self, pieces: &[Vec<u8>]) -> Self {
        self.says(ToServer, pieces)
    }

    pub fn server(self, pieces: &[Vec<u8>]) -> Self {
        self.says(ToClient, pieces)
    }

    pub fn gap(mut self, direction: Direction, len: u64) -> Self {
        let at = &mut self.at[direction.index()];
        self.watcher
            .gap(direction, len, NOW, &mut |event| self.events.push(event));
        *at += len;
        self
    }

    pub fn close(mut self) -> Vec<TlsEvent> {
        self.watcher.close(NOW, &mut |event| self.events.push(event));
        self.events
    }
}
