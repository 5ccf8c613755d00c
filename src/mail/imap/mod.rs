//! IMAP (RFC 9051) and ManageSieve (RFC 5804): lines with literals in them.
//!
//! They differ in that IMAP's commands carry tags, by which its replies name them.

mod client;
mod server;

use std::collections::VecDeque;

use crate::event::{Direction, Kind, SinkError};
use crate::mail::Protocol;
use crate::mail::input::{Input, Out};
use crate::mail::shared::{Core, Flow, Forgotten};
use crate::time::Timestamp;

/// How the client's bytes are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Commands, or the rest of one behind a literal.
    Commands,
    /// A line is a command only if it looks like one.
    Lost,
    /// The next line is a secret.
    Secret,
    /// A literal, so many octets of it left.
    Literal(u64, Kind),
    /// It depends on the reply.
    Undecided(Why),
}

/// What the client waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Why {
    Auth,
    Starttls,
    /// Leave to send a literal.
    Literal(u64, Kind),
}

/// A command in the making: its lines so far, small literals in quotes.
#[derive(Debug)]
struct Building {
    time: Timestamp,
    offset: u64,
    text: Vec<u8>,
    /// From here on, `text` holds a secret.
    secret: Option<usize>,
    /// A literal is being put into `text`: its quote is open.
    inlining: bool,
}

#[derive(Debug)]
struct Asked {
    tag: String,
    verb: String,
    time: Timestamp,
}

/// One session.
#[derive(Debug)]
pub(crate) struct Imap {
    pub(crate) core: Core,
    mode: Mode,
    known: bool,
    building: Option<Box<Building>>,
    queue: VecDeque<Asked>,
    /// What the server's line at hand is called.
    kind: Kind,
    /// Octets left of a literal of the server, and whether its line goes on.
    literal: Option<u64>,
    goes_on: bool,
    compressed: bool,
}

impl Imap {
    pub(crate) fn new(protocol: Protocol, from_start: bool) -> Self {
        let mut core = Core::new(protocol);
        core.greeted = !from_start;
        Self {
            core,
            mode: Mode::Commands,
            known: true,
            building: None,
            queue: VecDeque::new(),
            kind: Kind::Reply,
            literal: None,
            goes_on: false,
            compressed: false,
        }
    }

    fn is_sieve(&self) -> bool {
        self.core.protocol == Protocol::ManageSieve
    }

    /// Bytes of memory that it keeps and could do without.
    #[inline]
    pub(crate) fn keeps(&self) -> usize {
        let building = self.building.as_ref();
        let text = building.map_or(0, |building| building.text.capacity());
        self.core.keeps() + self.queue.capacity() * size_of::<Asked>() + text
    }

    pub(crate) fn data(&mut self, input: &mut Input<'_>, out: &mut Out<'_, '_>) -> Result<Flow, SinkError> {
        self.core.see(input);
        while !input.is_empty() {
            if self.compressed {
                let rest = input.rest().len();
                input.pass(rest, Kind::Plain, out)?;
                break;
            }
            let flow = match input.direction {
                Direction::ToServer => self.client(input, out)?,
                Direction::ToClient => self.server(input, out)?,
            };
            if flow != Flow::Go {
                return Ok(flow);
            }
        }
        Ok(Flow::Go)
    }

    pub(crate) fn gap(&mut self, direction: Direction, len: u64) {
        match direction {
            Direction::ToServer => match self.mode {
                Mode::Literal(left, kind) | Mode::Undecided(Why::Literal(left, kind)) if left >= len => {
                    self.core.gapped(direction);
                    self.literal_passed(left, len, kind);
                }
                _ => {
                    self.core.gap(direction);
                    self.core.kept = None;
                    self.building = None;
                    self.mode = Mode::Lost;
                }
            },
            Direction::ToClient => match self.literal {
                Some(left) if left >= len => {
                    self.core.gapped(direction);
                    self.literal = Some(left - len);
                }
                _ => {
                    self.core.gap(direction);
                    self.core.greeted = true;
                    self.literal = None;
                    self.goes_on = false;
                    if self.is_sieve() {
                        self.queue.clear();
                    }
                }
            },
        }
    }

    pub(crate) fn plain_again(&mut self, direction: Direction) {
        self.core.restart(direction);
        self.core.switch.plain_again();
        self.core.greeted = true;
        match direction {
            Direction::ToServer => {
                self.queue.clear();
                self.core.kept = None;
                self.building = None;
                self.mode = Mode::Commands;
            }
            Direction::ToClient => {
                self.literal = None;
                self.goes_on = false;
            }
        }
    }

    pub(crate) fn close(&mut self, time: Timestamp, out: &mut Out<'_, '_>) -> Result<(), SinkError> {
        self.core.close_switch(time, out)?;
        if self.mode == Mode::Undecided(Why::Starttls) {
            self.understand_kept(Mode::Commands, out)?;
        }
        self.core.tell_auth(None, out)
    }

    fn understand_kept(&mut self, mode: Mode, out: &mut Out<'_, '_>) -> Result<(), SinkError> {
        self.mode = mode;
        match self.core.take_kept() {
            Ok(Some(kept)) => self.data(&mut kept.passed(Direction::ToServer), out).map(|_| ()),
            Ok(None) => Ok(()),
            Err(Forgotten) => {
                self.lose_client();
                Ok(())
            }
        }
    }

    /// What the client sends is a command only where it begins like one; the line at hand is none.
    fn lose_client(&mut self) {
        self.mode = Mode::Lost;
        self.known = false;
    }
}
