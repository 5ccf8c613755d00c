//! Two connections that any bytes make: who sends what when, whether it makes sense or not.
//!
//! What a side says at a sequence number follows from the number alone, so that the truth is known without being
//! kept, and stays the same where addresses are used again. Only a forged segment says something else.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use flowdump::decode::{Endpoint, Flags, Scope, Segment};
use flowdump::time::Timestamp;

const FIN: u8 = Flags::FIN;
const SYN: u8 = Flags::SYN;
const RST: u8 = Flags::RST;
const ACK: u8 = Flags::ACK;

/// Behind so many lost bytes no more is lost at once: within half the sequence space offsets are never in doubt.
const FAR: u32 = 1 << 29;

/// How far the table's clock believes a lone packet.
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Operations taken from one input at the most.
const OPERATIONS: usize = 120;

/// When it begins.
const START: i64 = 1_700_000_000_000_000_000;

/// The server's port of both connections; clients have others.
pub const SERVER: u16 = 25;
const CLIENTS: u16 = 40_000;

/// A segment with its own bytes.
#[derive(Clone)]
pub struct Sent {
    /// Which of the two connections, and which side of it (0 is the client).
    pub pair: usize,
    pub side: usize,
    pub time: Timestamp,
    pub seq: u32,
    pub ack: u32,
    pub flags: u8,
    pub window: u16,
    pub window_scale: Option<u8>,
    pub ip_id: u16,
    pub ttl: u8,
    pub scope: u64,
    /// What the capture has of the payload.
    pub payload: Vec<u8>,
    pub wire_len: u32,
}

/// In one line, for whoever has to find out what went wrong.
impl fmt::Debug for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            pair,
            side,
            seq,
            ack,
            flags,
            wire_len,
            ..
        } = self;
        let (time, captured) = (self.time.nanos() - START, self.payload.len());
        write!(
            f,
            "{time} ns: {pair}/{side} flags {flags:#x} {seq}+{wire_len} ({captured} captured) ack {ack}"
        )
    }
}

impl Sent {
    pub fn has(&self, flags: u8) -> bool {
        self.flags & flags == flags
    }

    /// Sequence number of its first byte.
    pub fn first(&self) -> u32 {
        self.seq.wrapping_add(u32::from(self.has(SYN)))
    }

    /// What it has of the stream; the text in a reset is none.
    pub fn stream_bytes(&self) -> &[u8] {
        if self.has(RST) { &[] } else { &self.payload }
    }

    /// As decode would give it.
    pub fn segment(&self) -> Segment<'_> {
        let client = end(1, CLIENTS + self.pair as u16);
        let server = end(2, SERVER);
        let (source, destination) = if self.side == 0 {
            (client, server)
        } else {
            (server, client)
        };
        Segment {
            time: self.time,
            source,
            destination,
            scope: Scope(self.scope),
            vlan: None,
            mac: None,
            interface: 0,
            seq: self.seq,
            ack: self.ack,
            flags: Flags(self.flags),
            window: self.window,
            window_scale: self.window_scale,
            ip_id: self.ip_id,
            ttl: self.ttl,
            payload: &self.payload,
            payload_wire_len: self.wire_len,
        }
    }
}

fn end(host: u8, port: u16) -> Endpoint {
    Endpoint {
        address: IpAddr::V4(Ipv4Addr::new(10, 0, 0, host)),
        port,
    }
}

/// Which connection a client's port belongs to.
pub fn pair_of(client: u16) -> usize {
    usize::from(client - CLIENTS)
}

/// One call of the table.
#[derive(Debug)]
pub enum Step {
    Segment(Sent),
    Tick(Timestamp),
}

/// All that happens.
#[derive(Debug)]
pub struct Script {
    pub steps: Vec<Step>,
    /// When it is over.
    pub end: Timestamp,
    /// Bounds so tight that small input meets them.
    pub tight: bool,
    /// Time goes only ahead, and by less than a day from packet to packet.
    pub steady: bool,
}

/// The byte that a side says at a sequence number.
fn said(pair: usize, side: usize, seq: u32) -> u8 {
    let mixed = (seq ^ (pair * 2 + side) as u32).wrapping_mul(0x9e37_79b1);
    ((mixed ^ (mixed >> 15)).wrapping_mul(0x85eb_ca77) >> 24) as u8
}

/// What one side has sent so far.
#[derive(Debug, Clone, Copy, Default)]
struct Sender {
    isn: u32,
    /// Bytes behind the SYN.
    sent: u32,
    syn: bool,
    fin: bool,
}

impl Sender {
    /// The sequence number that comes next.
    fn next(&self) -> u32 {
        self.isn.wrapping_add(1).wrapping_add(self.sent)
    }
}

/// Reads operations of five bytes: what, where, how much, what is acknowledged, how long after the one before.
pub fn script(input: &[u8]) -> Option<Script> {
    let (&[options, one, other], operations) = input.split_first_chunk()?;
    let isn = |pair: u32, byte: u8| match byte {
        0..128 => u32::MAX - u32::from(byte) * 37 - pair,
        _ => (u32::from(byte) << 24) + pair,
    };
    let sender = |isn| Sender {
        isn,
        ..Sender::default()
    };
    let mut wire = Wire {
        senders: [0, 1].map(|pair| [sender(isn(pair, one)), sender(isn(pair, other))]),
        now: Timestamp::from_nanos(START),
        numbered: options & 2 != 0,
        packets: 0,
        steady: true,
        steps: Vec::new(),
    };
    for operation in operations.as_chunks().0.iter().take(OPERATIONS) {
        wire.operation(*operation);
    }
    let times = wire.steps.iter().filter_map(|step| match step {
        Step::Segment(sent) => Some(sent.time),
        Step::Tick(_) => None,
    });
    let times: Vec<Timestamp> = times.chain([wire.now]).collect();
    let next = |pair: &[Timestamp]| pair[0] <= pair[1] && pair[1].since(pair[0]) < DAY;
    Some(Script {
        end: wire.now,
        tight: options & 1 != 0,
        steady: wire.steady && times.windows(2).all(next),
        steps: wire.steps,
    })
}

struct Wire {
    senders: [[Sender; 2]; 2],
    now: Timestamp,
    /// Packets have an IP identification.
    numbered: bool,
    packets: u16,
    steady: bool,
    steps: Vec<Step>,
}

impl Wire {
    fn operation(&mut self, [what, place, len, ack, pause]: [u8; 5]) {
        self.pass(pause);
        let (side, pair) = (usize::from(what & 1), usize::from(what >> 1 & 1));
        let [own, peer] = [self.senders[pair][side], self.senders[pair][1 - side]];
        let (next, near) = (own.next(), u32::from(place & 0x7f) << (3 * (place >> 7)));
        let far = u32::from(place) << 23;
        let len = match u32::from(len) {
            len @ 0..100 => len,
            len @ 100..200 => (len - 100) * 8,
            len => (len - 199) * 30,
        };
        let (ack, acks) = acknowledged(&peer, ack);
        let plain = Sent {
            pair,
            side,
            time: self.now,
            seq: next,
            ack,
            flags: acks,
            window: 60_000,
            window_scale: None,
            ip_id: 0,
            ttl: 64,
            scope: 0,
            payload: Vec::new(),
            wire_len: 0,
        };
        let syn = Sent {
            seq: own.isn,
            ack: if peer.syn { ack } else { 0 },
            flags: SYN | if peer.syn { acks } else { 0 },
            window_scale: Some(place % 16),
            ..plain.clone()
        };
        let at = |seq| Sent { seq, ..plain.clone() };
        match what >> 2 {
            0..12 => self.say(plain, len),
            12..16 => self.senders[pair][side].sent += len,
            16..24 => self.say(at(next.wrapping_sub(near)), len),
            24..32 => self.say(at(next.wrapping_add(near)), len),
            32..35 => self.forge(at(next.wrapping_sub(near)), len),
            35..38 => self.forge(at(next.wrapping_add(near)), len),
            38 | 39 => self.say(syn, 0),
            40..43 => self.say(
                Sent {
                    flags: acks | FIN,
                    ..plain
                },
                len * u32::from(place & 1),
            ),
            43 => self.say(
                Sent {
                    flags: acks | RST,
                    ..at(next.wrapping_add(near))
                },
                len & 1,
            ),
            44..49 => self.say(plain, 0),
            49 | 50 => self.say(at(next.wrapping_sub(1)), len & 1),
            51 => self.say(at(next.wrapping_add(far)), len),
            52 => {
                let isn = |old: u32| old.wrapping_add(own.sent).wrapping_add(far).wrapping_add(near);
                self.senders[pair] = [own, peer].map(|sender| Sender {
                    isn: isn(sender.isn),
                    ..Sender::default()
                });
                let isn = self.senders[pair][side].isn;
                self.say(
                    Sent {
                        seq: isn,
                        flags: SYN,
                        ack: 0,
                        ..syn
                    },
                    0,
                );
            }
            53..56 => self.steps.push(Step::Tick(self.now)),
            56 | 57 => self.again(64, 0),
            58 => self.again(63, 1),
            59 if own.sent < FAR => self.senders[pair][side].sent += u32::from(place) << 18,
            60 => self.say(Sent { window: 0, ..plain }, len & 1),
            61 => self.say(
                Sent {
                    flags: acks | FIN,
                    ..at(next.wrapping_add(far))
                },
                0,
            ),
            62 => {
                self.say(plain, len);
                if let Some(Step::Segment(sent)) = self.steps.last_mut() {
                    sent.payload.truncate(usize::from(place));
                }
            }
            _ => self.say(syn, len),
        }
    }

    /// Time goes on, or back.
    fn pass(&mut self, pause: u8) {
        let many = u64::from(pause >> 3);
        let ahead = match pause & 7 {
            0 => Duration::ZERO,
            1 => Duration::from_micros(10 * many),
            2 | 3 => Duration::from_millis(many),
            4 => Duration::from_millis(10 * many),
            5 => Duration::from_secs(many),
            6 => Duration::from_secs(200 * many),
            _ => {
                self.steady = false;
                let back = if many < 16 {
                    1_000_000 << many
                } else {
                    -(86_400_000_000_000 * many as i64)
                };
                self.now = Timestamp::from_nanos(self.now.nanos() - back);
                return;
            }
        };
        self.now = self.now + ahead;
    }

    /// Sends a segment with so many bytes of the truth.
    fn say(&mut self, mut sent: Sent, len: u32) {
        let Sent { pair, side, .. } = sent;
        let first = sent.first();
        sent.payload = (0..len)
            .map(|at| said(pair, side, first.wrapping_add(at)))
            .collect();
        sent.wire_len = len;
        self.send(sent);
    }

    /// The same with other bytes.
    fn forge(&mut self, mut sent: Sent, len: u32) {
        let Sent { pair, side, seq, .. } = sent;
        sent.payload = (0..len)
            .map(|at| !said(pair, side, seq.wrapping_add(at)))
            .collect();
        sent.wire_len = len;
        self.send(sent);
    }

    fn send(&mut self, mut sent: Sent) {
        self.packets += 1;
        sent.ip_id = if self.numbered { self.packets } else { 0 };
        let sender = &mut self.senders[sent.pair][sent.side];
        let end = sent.first().wrapping_add(sent.wire_len);
        let ahead = end.wrapping_sub(sender.next());
        // What lies ahead comes early: the bytes before it may still be sent.
        if !sent.has(RST) && ahead <= sent.wire_len {
            sender.sent += ahead;
        }
        sender.syn |= sent.has(SYN);
        sender.fin |= sent.has(FIN) && end == sender.next();
        self.steps.push(Step::Segment(sent));
    }

    /// The last packet was captured twice.
    fn again(&mut self, ttl: u8, scope: u64) {
        let last = self.steps.iter().rev().find_map(|step| match step {
            Step::Segment(sent) => Some(sent),
            Step::Tick(_) => None,
        });
        let again = last.map(|sent| Sent {
            time: self.now,
            ttl,
            scope,
            ..sent.clone()
        });
        self.steps.extend(again.map(Step::Segment));
    }
}

/// What a segment acknowledges, of what the other side has sent, and the flag for it.
fn acknowledged(peer: &Sender, choice: u8) -> (u32, u8) {
    let all = peer.next().wrapping_add(u32::from(peer.fin));
    let some = u32::from(choice >> 3);
    match choice & 7 {
        0 | 1 => (all, ACK),
        2 => (0, 0),
        3 => (all.wrapping_sub(some), ACK),
        4 => (all.wrapping_sub(8 * some), ACK),
        5 => (all.wrapping_add(some), ACK),
        6 => (all.wrapping_add(64 * some), ACK),
        _ => (all.wrapping_add(some << 22), ACK),
    }
}
