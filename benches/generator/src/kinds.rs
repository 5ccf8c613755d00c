//! The kinds of captures, each a load of its own.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Write};
use std::net::Ipv4Addr;

use clap::ValueEnum;

use crate::capture::Capture;
use crate::conversation::{Conversation, Faults, Session};
use crate::frame::{Endpoint, SYN, Segment};
use crate::mix;
use crate::random::Random;
use crate::script::{Script, Side, Turn};
use crate::smtp::Smtp;
use crate::text::Text;

/// What the traffic is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// 8 long connections that fetch random bytes.
    Bulk,
    /// 8 long connections, lines of text in both directions.
    BulkText,
    /// SMTP, bodies of 2 to 200 KB, half STARTTLS, 1 % reordered, 0.5 % retransmitted, 50 at once.
    Mail,
    /// Connections of six packets each, some 320 at once.
    Swarm,
    /// SYNs of distinct addresses, and 300 mail sessions between them, a third of them slow.
    Synflood,
    /// 5 % of the data segments lost (a tenth of them for good), 10 % reordered, 20 connections at once.
    Lossy,
}

/// How much of it.
#[derive(Debug, Clone, Copy)]
pub struct Amount {
    /// Bytes of the capture, reached by the last connection that starts below it.
    pub size: u64,
    /// Connections of *swarm*, SYNs of *synflood*; the others take `size`.
    pub connections: u64,
}

/// Writes a capture of a kind, and its manifest's lines.
///
/// # Errors
/// What writing gave.
pub fn generate<W: Write>(
    kind: Kind,
    amount: Amount,
    seed: u64,
    capture: &mut Capture<W>,
    manifest: &mut impl Write,
) -> io::Result<()> {
    let mut random = Random::new(seed);
    match kind {
        Kind::Bulk => bulk(amount.size, None, &mut random, capture, manifest),
        Kind::BulkText => bulk(
            amount.size,
            Some(Text::new(&mut random)),
            &mut random,
            capture,
            manifest,
        ),
        Kind::Mail => mail(amount.size, &mut random, capture, manifest),
        Kind::Swarm => swarm(amount.connections, &mut random, capture, manifest),
        Kind::Synflood => synflood(amount.connections, &mut random, capture, manifest),
        Kind::Lossy => lossy(amount.size, &mut random, capture, manifest),
    }
}

const fn endpoint(a: u8, b: u8, c: u8, d: u8, port: u16) -> Endpoint {
    Endpoint {
        address: Ipv4Addr::new(a, b, c, d),
        port,
    }
}

/// The client of connection `id` in 10.77.0.0/16: no two within a capture are the same.
fn client(id: u64) -> Endpoint {
    endpoint(
        10,
        77,
        (id >> 8) as u8,
        id as u8,
        1024 + (id / 65_536 * 977 + id % 50_000) as u16,
    )
}

struct Bulk<'t> {
    size: u64,
    text: Option<&'t Text>,
    side: Side,
    begun: bool,
}

impl Script for Bulk<'_> {
    fn next(&mut self, random: &mut Random, written: u64, bytes: &mut Vec<u8>) -> Option<Turn> {
        if written >= self.size {
            return None;
        }
        if let Some(text) = self.text {
            let len = random.between(1000, 65_536) as usize;
            text.prose(random, bytes, len);
            self.side = self.side.other();
        } else if self.begun {
            random.fill(bytes, 256 << 10);
            self.side = Side::Server;
        } else {
            random.fill(bytes, 200);
            self.begun = true;
        }
        Some(Turn::of(self.side))
    }
}

fn bulk<W: Write>(
    size: u64,
    text: Option<Text>,
    random: &mut Random,
    capture: &mut Capture<W>,
    manifest: &mut impl Write,
) -> io::Result<()> {
    let mut id = 0;
    mix::run(capture, manifest, random, 8, |_, random| {
        id += 1;
        let conversation = Conversation::new(client(id), endpoint(10, 78, 0, 1, 9000), id == 1, random);
        let script = Bulk {
            size,
            text: text.as_ref(),
            side: Side::Client,
            begun: false,
        };
        (id <= 8).then(|| Session::new(conversation, script, Faults::default()))
    })
}

fn mail<W: Write>(
    size: u64,
    random: &mut Random,
    capture: &mut Capture<W>,
    manifest: &mut impl Write,
) -> io::Result<()> {
    let text = Text::new(random);
    let faults = Faults {
        late: 100,
        again: 50,
        ..Faults::default()
    };
    let mut id = 0;
    mix::run(capture, manifest, random, 50, |capture, random| {
        id += 1;
        let conversation = Conversation::new(client(id), endpoint(10, 78, 0, 1, 25), id == 1, random);
        let script = Smtp::new(random, &text, id, 2_000, 200_000, id.is_multiple_of(2));
        (capture.written() < size).then(|| Session::new(conversation, script, faults))
    })
}

/// Turns of random bytes to and fro.
struct Exchange {
    turns: u64,
    side: Side,
}

impl Script for Exchange {
    fn next(&mut self, random: &mut Random, _: u64, bytes: &mut Vec<u8>) -> Option<Turn> {
        self.turns = self.turns.checked_sub(1)?;
        let len = random.between(10_000, 250_000) as usize;
        random.fill(bytes, len);
        self.side = self.side.other();
        Some(Turn::of(self.side))
    }
}

fn lossy<W: Write>(
    size: u64,
    random: &mut Random,
    capture: &mut Capture<W>,
    manifest: &mut impl Write,
) -> io::Result<()> {
    let faults = Faults {
        missing: 50,
        lost: 450,
        late: 1000,
        again: 0,
    };
    let mut id = 0;
    mix::run(capture, manifest, random, 20, |capture, random| {
        id += 1;
        let conversation = Conversation::new(client(id), endpoint(10, 78, 0, 1, 9000), id == 1, random);
        let script = Exchange {
            turns: random.between(1, 18),
            side: Side::Server,
        };
        (capture.written() < size).then(|| Session::new(conversation, script, faults))
    })
}

/// Between two packets of one connection this many others begin.
const SWARM_STRIDE: u64 = 64;

fn swarm<W: Write>(
    connections: u64,
    random: &mut Random,
    capture: &mut Capture<W>,
    manifest: &mut impl Write,
) -> io::Result<()> {
    let mut open: VecDeque<Conversation> = VecDeque::new();
    let mut over = 0;
    let mut payload = Vec::new();
    for id in 0..connections + 5 * SWARM_STRIDE {
        if id < connections {
            // The port tells apart those whose address comes again after 2^24.
            let client = endpoint(
                10,
                (id >> 16) as u8,
                (id >> 8) as u8,
                id as u8,
                20_000 + (id >> 24) as u16,
            );
            let server = endpoint(192, 0, 2, 1 + (id % 8) as u8, 80);
            open.push_back(Conversation::new(client, server, false, random));
        }
        // Connection n sends its packet k when connection n + 64k opens.
        for packet in 0..6 {
            let Some(at) = id.checked_sub(packet * SWARM_STRIDE + over) else {
                continue;
            };
            let Some(conversation) = open.get_mut(at as usize) else {
                continue;
            };
            capture.wait(random.between(1, 9));
            match packet {
                0 => conversation.syn(capture)?,
                1 => conversation.syn_ack(capture)?,
                2 | 3 => {
                    let side = if packet == 2 { Side::Client } else { Side::Server };
                    payload.clear();
                    let len = random.between(20, 200) as usize;
                    random.fill(&mut payload, len);
                    conversation.data(capture, side, &payload)?;
                }
                4 => conversation.fin(capture, Side::Client, false)?,
                _ => {
                    conversation.fin(capture, Side::Server, true)?;
                    if let Some(last) = open.pop_front() {
                        last.describe(manifest)?;
                        over += 1;
                    }
                }
            }
        }
    }
    Ok(())
}

/// Real connections in a flood, and how many of them last as long as it does.
const REAL: u64 = 300;
const SLOW: u64 = 100;

fn synflood<W: Write>(
    syns: u64,
    random: &mut Random,
    capture: &mut Capture<W>,
    manifest: &mut impl Write,
) -> io::Result<()> {
    let text = Text::new(random);
    let server = endpoint(10, 78, 0, 1, 25);
    // When a session goes on next, counted in SYNs.
    let mut due: BTreeMap<(u64, u64), Session<Smtp>> = (1..=REAL)
        .map(|id| {
            let conversation = Conversation::new(client(id), server, false, random);
            let script = Smtp::new(random, &text, id, 2_000, 20_000, false);
            let start = if id <= SLOW {
                random.below(syns / 20 + 1)
            } else {
                random.below(syns)
            };
            ((start, id), Session::new(conversation, script, Faults::default()))
        })
        .collect();
    for id in 0..syns {
        while let Some(entry) = due.first_entry() {
            let ((at, real), mut session) = entry.remove_entry();
            if at > id {
                due.insert((at, real), session);
                break;
            }
            capture.wait(random.between(1, 5));
            if session.step(capture, random)? {
                let pause = if real <= SLOW { syns / 50 } else { 500 };
                due.insert((at + 1 + random.below(pause + 1), real), session);
            } else {
                session.describe(manifest)?;
            }
        }
        capture.wait(random.between(0, 3));
        // Odd times anything is a permutation of 24 bits; what is above them goes to the port.
        let host = (id as u32).wrapping_mul(0x9e_3779) & 0xff_ffff;
        let source = endpoint(
            45,
            (host >> 16) as u8,
            (host >> 8) as u8,
            host as u8,
            1024 + (id >> 24) as u16,
        );
        capture.segment(&Segment {
            source,
            destination: server,
            seq: random.next() as u32,
            ack: 0,
            flags: SYN,
            ip_id: id as u16,
            time: capture.now(),
            payload: &[],
        })?;
    }
    for (_, mut session) in due {
        while session.step(capture, random)? {
            capture.wait(random.between(1, 50));
        }
        session.describe(manifest)?;
    }
    Ok(())
}
