//! How TCP carries what two hosts say, as a capture near the receiver sees it: segments, acknowledgements,
//! and what goes wrong on the way.

use std::io::{self, Write};

use crate::capture::Capture;
use crate::frame::{ACK, Endpoint, FIN, PSH, SEGMENT, SYN, Segment};
use crate::manifest::Stream;
use crate::random::Random;
use crate::script::{Script, Side};

/// How often things go wrong, in ten thousand data segments.
#[derive(Debug, Clone, Copy, Default)]
pub struct Faults {
    /// The receiver got it, the capture did not: a hole that nothing fills.
    pub missing: u64,
    /// Lost before the capture, and sent again 5 to 30 segments later.
    pub lost: u64,
    /// Overtaken by up to three segments.
    pub late: u64,
    /// Sent twice.
    pub again: u64,
}

/// Two hosts, and what each has sent and received.
pub struct Conversation {
    first: u64,
    ends: [Endpoint; 2],
    isn: [u32; 2],
    ip_id: [u16; 2],
    sent: [Stream; 2],
    received: [Received; 2],
}

/// What one host has of the other's stream.
#[derive(Default)]
struct Received {
    next: u64,
    above: Vec<(u64, u64)>,
    unacknowledged: u32,
}

impl Received {
    fn take(&mut self, start: u64, end: u64) {
        self.above.push((start, end));
        while let Some(at) = self.above.iter().position(|run| run.0 <= self.next) {
            self.next = self.next.max(self.above.swap_remove(at).1);
        }
        self.unacknowledged += 1;
    }
}

impl Conversation {
    /// Two hosts that have not yet met. `wraps`: sequence numbers pass 2^32 early on.
    pub fn new(client: Endpoint, server: Endpoint, wraps: bool, random: &mut Random) -> Self {
        let isn = if wraps {
            [u32::MAX - 1000, u32::MAX - 50]
        } else {
            [random.next() as u32, random.next() as u32]
        };
        Self {
            first: 0,
            ends: [client, server],
            isn,
            ip_id: [random.next() as u16, random.next() as u16],
            sent: [Stream::default(), Stream::default()],
            received: [Received::default(), Received::default()],
        }
    }

    /// Writes one segment; `offset` counts from the SYN, which is 0.
    fn emit<W: Write>(
        &mut self,
        capture: &mut Capture<W>,
        side: Side,
        offset: u64,
        flags: u8,
        ack: u64,
        payload: &[u8],
    ) -> io::Result<()> {
        let (from, to) = (side.index(), side.other().index());
        self.ip_id[from] = self.ip_id[from].wrapping_add(1);
        capture.segment(&Segment {
            source: self.ends[from],
            destination: self.ends[to],
            seq: self.isn[from].wrapping_add(offset as u32),
            ack: self.isn[to].wrapping_add(ack as u32),
            flags,
            ip_id: self.ip_id[from],
            time: capture.now(),
            payload,
        })
    }

    /// The client's SYN.
    ///
    /// # Errors
    /// What writing gave; so of all that follows.
    pub fn syn<W: Write>(&mut self, capture: &mut Capture<W>) -> io::Result<()> {
        self.first = capture.now();
        self.emit(capture, Side::Client, 0, SYN, 0, &[])
    }

    /// The server's answer to it.
    pub fn syn_ack<W: Write>(&mut self, capture: &mut Capture<W>) -> io::Result<()> {
        self.emit(capture, Side::Server, 0, SYN | ACK, 1, &[])
    }

    /// A segment of nothing but the acknowledgement of all that `side` has.
    pub fn acknowledge<W: Write>(&mut self, capture: &mut Capture<W>, side: Side) -> io::Result<()> {
        let received = &mut self.received[side.index()];
        received.unacknowledged = 0;
        let ack = received.next + 1;
        let offset = self.sent[side.index()].len() + 1;
        self.emit(capture, side, offset, ACK, ack, &[])
    }

    /// Bytes in one segment that arrives at once.
    pub fn data<W: Write>(&mut self, capture: &mut Capture<W>, side: Side, bytes: &[u8]) -> io::Result<()> {
        let offset = self.sent[side.index()].len();
        self.sent[side.index()].sent(bytes);
        self.carry(capture, side, offset, bytes)
    }

    /// Writes a data segment and lets it arrive.
    fn carry<W: Write>(
        &mut self,
        capture: &mut Capture<W>,
        side: Side,
        offset: u64,
        bytes: &[u8],
    ) -> io::Result<()> {
        let back = &mut self.received[side.index()];
        back.unacknowledged = 0;
        let ack = back.next + 1;
        self.received[side.other().index()].take(offset, offset + bytes.len() as u64);
        self.emit(capture, side, offset + 1, PSH | ACK, ack, bytes)
    }

    /// FIN, with the acknowledgement of all that `side` has, the other's FIN included if it was sent.
    pub fn fin<W: Write>(
        &mut self,
        capture: &mut Capture<W>,
        side: Side,
        other_is_over: bool,
    ) -> io::Result<()> {
        let ack = self.received[side.index()].next + 1 + u64::from(other_is_over);
        let offset = self.sent[side.index()].len() + 1;
        self.emit(capture, side, offset, FIN | ACK, ack, &[])
    }

    /// The last acknowledgement.
    pub fn last<W: Write>(&mut self, capture: &mut Capture<W>, side: Side) -> io::Result<()> {
        let ack = self.received[side.index()].next + 2;
        let offset = self.sent[side.index()].len() + 2;
        self.emit(capture, side, offset, ACK, ack, &[])
    }

    /// Its lines in the manifest.
    pub fn describe(self, manifest: &mut impl Write) -> io::Result<()> {
        let [client, server] = self.ends;
        let [to_server, to_client] = self.sent;
        to_server.write(manifest, self.first, client, server)?;
        to_client.write(manifest, self.first, server, client)
    }
}

/// A conversation with the application that fills it, a few packets at a time.
pub struct Session<S> {
    conversation: Conversation,
    script: S,
    faults: Faults,
    phase: Phase,
    side: Side,
    bytes: Vec<u8>,
    /// Where in the stream `bytes` starts, and how many of them have had their first chance.
    base: u64,
    done: usize,
    waiting: Vec<Waiting>,
    /// Data segments so far.
    count: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Meeting,
    Talking,
    Over,
}

/// A segment that comes later: a range of the turn's bytes, due after so many segments.
struct Waiting {
    due: u64,
    start: usize,
    end: usize,
}

impl<S: Script> Session<S> {
    /// A session that has not begun.
    pub const fn new(conversation: Conversation, script: S, faults: Faults) -> Self {
        Self {
            conversation,
            script,
            faults,
            phase: Phase::Meeting,
            side: Side::Client,
            bytes: Vec::new(),
            base: 0,
            done: 0,
            waiting: Vec::new(),
            count: 0,
        }
    }

    /// Goes on by about a dozen packets; false when it is over.
    ///
    /// # Errors
    /// What writing gave.
    pub fn step<W: Write>(&mut self, capture: &mut Capture<W>, random: &mut Random) -> io::Result<bool> {
        match self.phase {
            Phase::Meeting => {
                self.conversation.syn(capture)?;
                capture.wait(random.between(1, 30));
                self.conversation.syn_ack(capture)?;
                capture.wait(random.between(1, 30));
                self.conversation.acknowledge(capture, Side::Client)?;
                self.phase = Phase::Talking;
            }
            Phase::Talking => {
                for _ in 0..random.between(4, 16) {
                    capture.wait(random.between(1, 9));
                    if !self.segment(capture, random)? && !self.turn(capture, random)? {
                        self.part(capture, random)?;
                        self.phase = Phase::Over;
                        break;
                    }
                }
            }
            Phase::Over => {}
        }
        Ok(self.phase != Phase::Over)
    }

    /// Takes the next turn of the script; false when there is none.
    fn turn<W: Write>(&mut self, capture: &mut Capture<W>, random: &mut Random) -> io::Result<bool> {
        self.bytes.clear();
        self.done = 0;
        let before = self.side;
        let Some(turn) = self.script.next(random, capture.written(), &mut self.bytes) else {
            return Ok(false);
        };
        self.side = turn.side;
        let stream = &mut self.conversation.sent[self.side.index()];
        self.base = stream.len();
        if turn.tls_starts {
            stream.tls_starts();
        }
        if before == self.side && self.conversation.received[self.side.other().index()].unacknowledged > 0 {
            self.conversation.acknowledge(capture, self.side.other())?;
        }
        Ok(true)
    }

    /// Sends one data segment, or keeps it for later; false when the turn is over.
    fn segment<W: Write>(&mut self, capture: &mut Capture<W>, random: &mut Random) -> io::Result<bool> {
        let due = self
            .waiting
            .iter()
            .position(|waiting| waiting.due <= self.count || self.done == self.bytes.len());
        if let Some(at) = due {
            let Waiting { start, end, .. } = self.waiting.remove(at);
            self.arrive(capture, start, end)?;
            return Ok(true);
        }
        if self.done == self.bytes.len() {
            return Ok(false);
        }
        let (start, end) = (self.done, self.bytes.len().min(self.done + SEGMENT));
        self.done = end;
        self.count += 1;
        let faults = self.faults;
        let fate = random.below(10_000);
        let limits = [faults.missing, faults.lost, faults.late, faults.again];
        let mut limit = 0;
        let fate = limits.iter().position(|share| {
            limit += share;
            fate < limit
        });
        let stream = &mut self.conversation.sent[self.side.index()];
        if fate == Some(0) {
            stream.lost(end - start);
            let offset = self.base + start as u64;
            self.conversation.received[self.side.other().index()].take(offset, offset + (end - start) as u64);
            return Ok(true);
        }
        stream.sent(&self.bytes[start..end]);
        match fate {
            Some(1) => self.waiting.push(Waiting {
                due: self.count + random.between(5, 30),
                start,
                end,
            }),
            Some(2) => self.waiting.push(Waiting {
                due: self.count + random.between(1, 3),
                start,
                end,
            }),
            _ => {
                self.arrive(capture, start, end)?;
                if fate == Some(3) {
                    self.waiting.push(Waiting {
                        due: self.count + random.between(1, 5),
                        start,
                        end,
                    });
                }
            }
        }
        Ok(true)
    }

    /// A data segment reaches capture and receiver, which acknowledges every second one at least.
    fn arrive<W: Write>(&mut self, capture: &mut Capture<W>, start: usize, end: usize) -> io::Result<()> {
        let (side, other) = (self.side, self.side.other());
        let bytes = std::mem::take(&mut self.bytes);
        let payload = bytes.get(start..end).unwrap_or_default();
        let carried = self
            .conversation
            .carry(capture, side, self.base + start as u64, payload);
        self.bytes = bytes;
        carried?;
        let received = &self.conversation.received[other.index()];
        if received.unacknowledged >= 2 || !received.above.is_empty() {
            capture.wait(1);
            self.conversation.acknowledge(capture, other)?;
        }
        Ok(())
    }

    /// Says goodbye, the client first.
    fn part<W: Write>(&mut self, capture: &mut Capture<W>, random: &mut Random) -> io::Result<()> {
        self.conversation.fin(capture, Side::Client, false)?;
        capture.wait(random.between(1, 30));
        self.conversation.fin(capture, Side::Server, true)?;
        capture.wait(random.between(1, 30));
        self.conversation.last(capture, Side::Client)
    }

    /// Its lines in the manifest.
    ///
    /// # Errors
    /// What writing gave.
    pub fn describe(self, manifest: &mut impl Write) -> io::Result<()> {
        self.conversation.describe(manifest)
    }
}
